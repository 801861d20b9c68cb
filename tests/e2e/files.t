#!/bin/bash
# The file system inside: what the policy grants, at its own place, and nothing else.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
user sh -c 'echo secret >"$HOME/.netrc"; mkdir "$HOME/.ssh"; echo key >"$HOME/.ssh/id"; echo mine >"$0/note"' "$T/work"
mkdir -m 0755 "$T/tmp/ro" "$T/tmp/rw" && echo shared >"$T/tmp/ro/file"
chown -R "$T_UID" "$T/tmp/rw" "$T/tmp/ro"
cd "$T/work" || exit 1

ok 'a sandbox' sandbox files --ro "$T/tmp/ro" --rw "$T/tmp/rw"
see() { run inside files "$1"; }

# The root holds what the policy lists and what is private, no more.
see 'cd /; ls -A'
expected='bin dev etc home lib lib32 lib64 libx32 proc run sandbox sbin tmp usr var'
for name in $out; do
	case " $expected $(cut -d/ -f2 <<<"$T") " in
	*" $name "*) ;;
	*) fail "/$name is not in the policy" ;;
	esac
done
like "$out" '^sandbox$' 'the home is there'
see 'ls -A /home /root /srv /opt /mnt /media /boot /sys 2>/dev/null'
is "$out" '' 'no home, /root, /srv, /opt, /mnt, /boot or /sys of the host'
see "cat $T/home/.netrc $T/home/.ssh/id; ls -a $T/home"
is "$out" '' "the caller's home does not exist"
see "ls -A $(dirname "$T/work")"
unlike "$out" 'state|config|home|run' 'nor what lies beside the working directory'

# The working directory, at its own path, with the caller's identity on the host.
see 'pwd; cat note; echo inside >new; mkdir d; stat -c %u new'
is "$out" "$T/work
mine
$T_UID" 'commands start in the working directory and can read and write it'
is "$(cat "$T/work/new"):$(stat -c %u "$T/work/new")" "inside:$T_UID" 'which is the real one'

# --ro and --rw.
see "cat $T/tmp/ro/file; echo no >$T/tmp/ro/new"
is "$out" shared '--ro can be read'
not_ok 'and not written' test -e "$T/tmp/ro/new"
see "echo yes >$T/tmp/rw/new"
is "$(cat "$T/tmp/rw/new" 2>/dev/null)" yes '--rw can be written'

# Read-only stays so.
for path in /usr/x /usr/bin/curl /etc/x /etc/passwd /lib/x /proc/sys/kernel/hostname; do
	see "echo x >>$path"
	not_ok "$path cannot be written" test "$status" = 0
done
see 'touch /tmp/x /var/tmp/x /sandbox/x /dev/shm/x /dev/null && echo ok >/dev/null && echo yes'
is "$out" yes 'the private directories can'
ls -A /tmp >"$T/.tmp-before"
see 'echo mark >/tmp/os-private-mark; ls -A /tmp /run /var/tmp'
not_ok '/tmp is private' test -e /tmp/os-private-mark
unlike "$out" "$(basename "$T" | sed 's/\./\\./')\$.*openshell-test\..*openshell-test\." "nor does it show the host's"
see 'ls -A /run; find /run -type s'
is "$out" openshell '/run holds our certificates and no socket'
see 'ls /dev'
unlike "$out" '^(sd|nvme|vd|mem|kmsg|loop|fuse|kvm|vsock)' 'no device of the host'
see 'for d in null zero full random urandom tty ptmx; do test -c /dev/$d || echo $d; done'
is "$out" '' 'the harmless devices are there'

# Who one is.
see 'id -un; id -u; echo $HOME $USER; hostname; cat /etc/hostname'
is "$out" "sandbox
$T_UID
/sandbox sandbox
files
files" 'the account is sandbox, the host is called like the sandbox'
see 'grep -E "^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp):" /proc/self/status'
unlike "$out" '^CapEff:\s+0*[1-9a-f]' 'no capability'
like "$out" '^NoNewPrivs:\s+1' 'no new privileges'
like "$out" '^Seccomp:\s+2' 'a filter'
see 'ulimit -Hc'
is "$out" 0 'what crashes leaves no core file with what it knew'
see 'ls /proc | grep -c "^[0-9]"'
at_most "$out" 8 "only the sandbox's own processes are visible"
see 'cat /proc/1/comm'
is "$out" init 'pid 1 is init'
see 'env | cut -d= -f1 | sort | tr "\n" " "'
unlike "$out" 'XDG_|OPENSHELL_(CONNECT_TO|UPSTREAM)|SSH_AUTH|DBUS|DISPLAY' "nothing of the caller's environment"
T_ENV+=(SECRET_TOKEN=hunter2)
run openshell sandbox exec -n files --env GIVEN=yes -- env
unlike "$out" 'hunter2' 'no secret of the caller'
like "$out" '^GIVEN=yes$' '--env is there'

# /sandbox survives stop and start.
see 'echo kept >/sandbox/kept; echo gone >/tmp/gone'
run openshell sandbox stop files
is "$status" 0 'stop'
run openshell sandbox start files
is "$status" 0 'start'
see 'cat /sandbox/kept; ls /tmp | grep -v openshell-test'
is "$out" kept 'the home survived, /tmp did not'
run openshell sandbox delete files
is "$status" 0 'delete'

# The home directory is never the working directory by accident.
cd "$T/home" || exit 1
run openshell sandbox create --no-auto-providers -- pwd
is "$out" /sandbox 'in the home directory a command starts in /sandbox'
like "$err" 'workdir' 'and is told why'
run openshell sandbox create --no-auto-providers --workdir "$T/home" -- cat .netrc
is "$out" secret 'unless the directory is named'
cd "$T/work" || exit 1
run openshell sandbox create --no-auto-providers --ro "$T/tmp/absent" -- true
like "$err" "$T/tmp/absent" 'a path that is not there is named'

# Whoever is granted a tree around our own directories does not get those: they say what every sandbox may.
run openshell sandbox create --no-auto-providers --rw "$T" -- sh -c "cat '$T/home/.netrc'
	find '$T/state/openshell' '$T/config/openshell' '$T/run/openshell' -mindepth 1; touch '$T/state/openshell/mark'"
is "$status:$out" 0:secret 'with everything around it granted, our own state is not there'
not_ok 'nor is it written' test -e "$T/state/openshell/mark"
ok 'control: it is outside' test -n "$(ls "$T/state/openshell")"

# A policy that says hard_requirement gets Landlock or nothing.
sed 's/best_effort/hard_requirement/; s/, \/app//' "$T_EXAMPLES/sandbox-policy-quickstart/policy.yaml" >"$T/work/hard.yaml"
run openshell sandbox create --no-auto-providers --policy hard.yaml -- sh -c 'cat note; echo x >/usr/x'
like "$out" mine 'with landlock: hard_requirement it works'
like "$err" '/usr/x' 'and still refuses'
for call in landlock_create_ruleset landlock_restrict_self; do
	run user "$T_SUPPORT/attack" under-filter "$call" openshell sandbox create --no-auto-providers --policy hard.yaml -- echo up
	is "$out" '' "without $call nothing runs"
	like "$err" '^openshell: Landlock cannot be applied, and the policy says hard_requirement' 'and it says why'
	run user "$T_SUPPORT/attack" under-filter "$call" openshell sandbox create --no-auto-providers -- echo up
	is "$out" up 'control: with best_effort it does'
done

# Behind the mounts it cannot be felt, but counted: the kernel stacks so many rulesets, and one is ours.
cat >"$T/work/layers.py" <<'PY'
import ctypes, os, struct
call = ctypes.CDLL(None, use_errno=True).syscall
call(157 if os.uname().machine == "x86_64" else 167, 38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
n, attr = 0, struct.pack("=Q", 1 << 6)  # MAKE_CHAR, which nobody may in any case
while True:
    fd = call(444, attr, ctypes.c_size_t(8), 0)
    if fd < 0 or call(446, fd, 0) < 0:
        break
    os.close(fd)
    n += 1
print(n)
PY
chmod 0644 "$T/work/layers.py"
run user /usr/bin/python3 "$T/work/layers.py"
if [ "$out" -gt 0 ]; then
	outside=$out
	run openshell sandbox create --no-auto-providers -- /usr/bin/python3 layers.py
	is "$out" $((outside - 1)) 'Landlock confines the sandbox'
else
	skip 'Landlock confines the sandbox' 'this kernel has none'
fi
is "$(leftovers)" '' 'nothing is left'
done_testing
