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
