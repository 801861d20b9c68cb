#!/bin/bash
# --cpu and --memory where a cgroup (v2) is delegated. Few machines that run tests delegate one, so the test
# brings a kernel of its own: User Mode Linux, on this host's files, read-only.
. "$(dirname "$0")/../support/tap.sh"

[ "$(id -u)" = 0 ] || skip_all 'only root can lend a kernel this host'"'"'s files'
uml=$(command -v linux.uml || command -v linux) || skip_all 'User Mode Linux is not installed'

# What the kernel starts: mounts, a cgroup as systemd delegates one, and the user's part in it.
own=$T/tmp/own
mkdir "$own"
cat >"$T/tmp/init" <<EOS
#!/bin/bash
export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t cgroup2 none /sys/fs/cgroup || exit
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs -o mode=0755 none $own
cd /sys/fs/cgroup && mkdir user user/session
for place in . user; do echo '+cpu +memory' >\$place/cgroup.subtree_control; done
chown -R $T_UID user
echo \$\$ >user/session/cgroup.procs
install -d -o $T_UID -m 700 $own/{home,config,state,run,work}
cd $own/work
setpriv --reuid $T_UID --regid $T_UID --clear-groups -- env -i PATH=$T_BIN:/usr/bin:/bin HOME=$own/home USER=tester \
	XDG_CONFIG_HOME=$own/config XDG_STATE_HOME=$own/state XDG_RUNTIME_DIR=$own/run bash $T/tmp/inner 2>&1
echo 'the end'
exec /sbin/poweroff -f
EOS
cat >"$T/tmp/inner" <<'EOS'
inside() { openshell sandbox exec -n "$1" -- /bin/sh -c "$2"; }
usage() { sed -n 's/^usage_usec //p' "/sys/fs/cgroup/user/openshell-$1/cpu.stat"; }
# Processor time, in milliseconds, of a loop that runs for a second.
spin() {
	local before

	before=$(usage "$1")
	inside "$1" 'exec timeout 1 sh -c "while :; do :; done"'
	echo $((($(usage "$1") - before) / 1000))
}
openshell sandbox create --name lim --keep --cpu 250m --memory 32Mi --no-auto-providers -- true
openshell sandbox create --name free --keep --cpu 4 --memory 512Mi --no-auto-providers -- true
echo "limits: $(cat /sys/fs/cgroup/user/openshell-lim/{cpu.max,memory.max} | tr '\n' ' ')"
echo "members: $(wc -l </sys/fs/cgroup/user/openshell-lim/cgroup.procs)"
echo "spin free: $(spin free)"
echo "spin lim: $(spin lim)"
echo "eat free: $(inside free 'head -c 80000000 /dev/zero | tail -c 75000000 | wc -c')"
echo "eat lim: $(inside lim 'head -c 80000000 /dev/zero | tail -c 75000000 | wc -c')"
echo "killed: $(sed -n 's/^oom_kill //p' /sys/fs/cgroup/user/openshell-lim/memory.events)"
echo "alive: $(inside lim 'echo yes')"
openshell sandbox stop lim
echo "stopped: $(ls -d /sys/fs/cgroup/user/openshell-lim 2>/dev/null)"
openshell sandbox start lim
echo "restarted: $(cat /sys/fs/cgroup/user/openshell-lim/memory.max)"
openshell sandbox delete lim free
echo "deleted: $(ls -d /sys/fs/cgroup/user/openshell-* 2>/dev/null)"
openshell doctor | sed -n 's/.*cgroup  */doctor: /p'
EOS
chmod 0755 "$T/tmp/init" "$T/tmp/inner" "$T/tmp"
timeout -k 5 120 "$uml" rootfstype=hostfs rootflags=/ ro mem=1536M init="$T/tmp/init" con=null con0=null,fd:1 \
	</dev/null >"$T/tmp/console" 2>"$T/tmp/uml.err"
grep -q '^Linux version\|Run .*/init as init' "$T/tmp/console" "$T/tmp/uml.err" || skip_all 'User Mode Linux does not start here'
console=$(tr -d '\r' <"$T/tmp/console")
# Its processes have less address space than AddressSanitizer's shadow takes.
if [ "${VARIANT:-}" = asan ] && grep -q 'ReserveShadowMemoryRange failed\|Shadow memory range interleaves' <<<"$console"; then
	skip_all 'AddressSanitizer does not start in User Mode Linux'
fi
said() { sed -n "s/^$1: //p" <<<"$console"; }
like "$console" '^the end$' 'the other kernel runs to the end'
is "$(said limits)" '25000 100000 33554432 ' 'the limits are those that were asked for'
ok 'the sandbox is in its cgroup' test "$(said members)" -gt 0
ok 'control: a loop with processors to spare uses them' test "$(said 'spin free')" -gt 600
at_most "$(said 'spin lim')" 450 'with a quarter of one it gets a quarter, in ms of 1000'
is "$(said 'eat free')" 75000000 'control: memory within the limit can be had'
not_ok 'more than the limit cannot' test "$(said 'eat lim')" = 75000000
ok 'the kernel has ended who tried' test "$(said killed)" -ge 1
is "$(said alive)" yes 'and nobody else'
is "$(said stopped)" '' 'stop removes the cgroup'
is "$(said restarted)" 33554432 'start makes it anew'
is "$(said deleted)" '' 'delete leaves none'
like "$(said doctor)" 'delegated: cpu memory' 'doctor says so'
done_testing
