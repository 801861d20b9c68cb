#!/bin/bash
# Descriptors and processes of others (threats.md 13, 14): nothing of ours can be seen, borrowed,
# traced or signalled from inside; a process that cannot be looked into is denied, not waved through.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
exec 9</etc/passwd
arena theft
exec 9<&-
control
attack borrow
is "$(outcome 'inherited descriptors')" 0 'no descriptor is inherited'
unlike "$out" 'pidfd_getfd' 'none can be taken from init'
for what in 'open /proc/1/mem' 'open /proc/1/fd/3' 'ptrace init' 'process_vm_readv init' 'process_vm_writev init'; do
	like "$(outcome "$what")" '^(EPERM|EACCES|ENOENT|ESRCH|EFAULT|ENOSYS)$' "$what"
done
run inside theft 'cat /proc/[0-9]*/comm'
unlike "$out" 'openshell-(tracer|proxy)|bwrap' 'supervisor, proxy and bubblewrap are not even visible'

# Nor has init the listener, with which somebody could answer for us: it keeps the link to us and its signals alone.
cat >"$T/work/take.py" <<'PY'
import ctypes, os, sys
call = ctypes.CDLL(None, use_errno=True).syscall
pidfd = call(434, int(sys.argv[1]), 0)
for number in range(64):
    fd = call(438, pidfd, number, 0)
    if fd >= 0:
        print(os.readlink("/proc/self/fd/%d" % fd).split(":[")[0])
PY
chmod 0644 "$T/work/take.py"
run user /usr/bin/python3 "$T/work/take.py" "$(descendant init)"
like "$out" '^socket$' 'control: outside, what init has can be taken'
unlike "$out" seccomp 'the listener is not among it'
control
attack undumpable denied.test 7000
unlike "$(outcome connect)" '^ok' 'a process that is not dumpable gains nothing'
arena_closed 'action=deny dst_host=denied\.test'
