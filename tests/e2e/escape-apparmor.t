#!/bin/bash
# Ubuntu's restriction of user namespaces (threats.md 54): bubblewrap dies as it brings loopback up. Nothing
# is started without it; the reason and the exact remedy are told, by create and by doctor. The host is
# played: the sysctl lies in a file system over /proc/sys/kernel, and bwrap says what it says there.
if [ "$(id -u)" = 0 ] && [ -z "${T_OWN_MOUNTS:-}" ]; then
	T_OWN_MOUNTS=1 exec unshare --mount "$BASH" "$0" "$@"
fi
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
[ "$(id -u)" = 0 ] || skip_all 'only root can play a host with this sysctl'
run openshell sandbox create --no-auto-providers -- echo up
is "$out" up 'control: here a sandbox starts'
run openshell doctor
unlike "$out" 'AppArmor restricts' 'control: and doctor has nothing to say about AppArmor'

mkdir "$T/kernel" "$T/bin"
for f in /proc/sys/kernel/*; do [ -f "$f" ] && cat "$f" >"$T/kernel/${f##*/}" 2>/dev/null; done
echo 1 >"$T/kernel/apparmor_restrict_unprivileged_userns"
mount --bind "$T/kernel" /proc/sys/kernel || skip_all 'nothing can be mounted over /proc/sys/kernel here'
chmod -R a+rX "$T/kernel"
cat >"$T/bin/bwrap" <<'EOS'
#!/bin/sh
[ "$1" != --version ] || exec /usr/bin/bwrap --version
echo 'bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted' >&2
exit 1
EOS
chmod 0755 "$T/bin" "$T/bin/bwrap"
T_PATH=$T/bin:$T_BIN:/usr/bin:/bin
run openshell doctor
is "$status" 1 'doctor: sandboxes cannot start'
like "$out" 'AppArmor restricts user namespaces and bubblewrap has no profile' 'doctor: it names the restriction'
like "$out" 'profile bwrap /usr/bin/bwrap' 'doctor: and the profile that mends it'
like "$out" 'apparmor_parser -r' 'doctor: with the command to load it'
run openshell sandbox create --no-auto-providers -- echo up
is "$status" 125 'create: nothing is started'
unlike "$out" up 'create: the command does not run without its sandbox'
like "$err" '^openshell: .*RTM_NEWADDR: Operation not permitted' 'create: it says what bubblewrap said'
like "$err" '^hint: .*(AppArmor|openshell doctor)' 'create: and where the remedy is'
run openshell sandbox list
like "$out" 'No sandboxes' 'nothing is left behind'
umount /proc/sys/kernel
T_PATH=
run openshell sandbox create --no-auto-providers -- echo up
is "$out" up 'control: without the restriction it starts again'
settled
is "$(leftovers)" '' 'nothing is left'
done_testing
