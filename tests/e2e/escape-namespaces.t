#!/bin/bash
# Namespaces, mounts and the rest of the kernel (threats.md 24, 47, 48, 49).
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
arena ns
control
run user "$T/work/attack" namespaces
is "$(outcome 'unshare user')" ok 'control: outside, a user namespace can be made'
attack namespaces
unlike "$out" ': ok$' 'inside, no namespace, mount, chroot or host name can be'
run inside ns 'unshare -Ur true || bwrap --unshare-all --ro-bind / / true'
not_ok 'nor with the usual tools' test "$status" = 0
# Each kind is its own. What the host's programs share by number or name (memory, semaphores, queues) is not there.
for kind in user mnt pid net ipc uts cgroup; do
	[ -e "/proc/self/ns/$kind" ] || continue
	run user readlink "/proc/self/ns/$kind"
	host=$out
	run inside ns "readlink /proc/self/ns/$kind"
	like "$out" "^$kind:\[" "control: the sandbox's namespace has a number: $kind"
	not_ok "and it is not the host's" test "$out" = "$host"
done
cat >"$T/work/shm.py" <<'PY'
import ctypes, errno, sys
libc = ctypes.CDLL(None, use_errno=True)
n = libc.shmget(int(sys.argv[2]), 4096, 0o600 | (0o1000 if sys.argv[1] == "make" else 0))
if sys.argv[1] == "remove":
    libc.shmctl(n, 0, None)
print("found" if n >= 0 else errno.errorcode[ctypes.get_errno()])
PY
chmod 0644 "$T/work/shm.py"
key=$((0x05000000 + $$))
run user /usr/bin/python3 "$T/work/shm.py" make "$key"
run user /usr/bin/python3 "$T/work/shm.py" find "$key"
is "$out" found 'control: outside, shared memory of the host is found by its key'
run inside ns "/usr/bin/python3 $T/work/shm.py find $key"
is "$out" ENOENT 'inside it is not'
run user /usr/bin/python3 "$T/work/shm.py" remove "$key"
attack surface
unlike "$out" ': ok$' 'no keyring, bpf, perf, userfaultfd, module, handle, /proc or /sys control'
attack harmless
unlike "$out" ': E' 'control: memfd, pidfds of own children, nice, timers and pipes work'
attack pretend
unlike "$(outcome PR_SET_MM_EXE_FILE)" '^ok' 'nobody can change what /proc/PID/exe says'
unlike "$out" 'curl: try' 'nor run a descriptor without a path'
run inside ns 'su -c id 2>&1; ls -l /usr/bin/su'
unlike "$out" 'uid=0' 'a set-uid program gains nothing'
control
arena_closed ''
