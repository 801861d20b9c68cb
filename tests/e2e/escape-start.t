#!/bin/bash
# Starts that hang or go half way (threats.md 17, 52): whatever system call a filter around us takes
# away, a start either works, with everything, or ends soon with one line that says what was missing.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
starts=${STARTS:-100} # the thousand of threats.md: STARTS=1000
arena start
openshell sandbox delete start >/dev/null 2>&1
run user "$T/work/attack" under-filter none openshell sandbox create --no-auto-providers -- echo up
is "$out" up 'control: under a filter that takes nothing a sandbox starts'
cat >"$T/work/probe.sh" <<'EOS'
/usr/bin/curl -s -m 5 -o /dev/null --noproxy '*' http://probe.test:7000/ && echo out
echo up
EOS
for call in pidfd_open pidfd_getfd pidfd_send_signal seccomp sendmsg recvmsg connect landlock_create_ruleset landlock_restrict_self \
	openat2 clone3 close_range process_vm_readv epoll_pwait2 memfd_create unshare setns; do
	begun=${EPOCHREALTIME/./}
	T_TIMEOUT=20 run user "$T/work/attack" under-filter "$call" openshell sandbox create --no-auto-providers -- sh "$T/work/probe.sh"
	took=$(((${EPOCHREALTIME/./} - begun) / 1000))
	if [ "$status" = 0 ]; then
		is "$out" up "without $call it starts, and nothing gets out"
	else
		unlike "$out" 'up|out' "without $call nothing runs"
		like "$err" '^openshell: .+' "without $call it says why: $(head -1 <<<"$err" | cut -c1-100)"
	fi
	[ "$call" != seccomp ] || like "$err" 'seccomp filter' 'and that is what init could not do'
	at_most "$took" 6000 "without $call it does not hang, in ms"
done
is "$(leftovers)" '' 'none of them left a process'

slowest=0 failed=0
for ((i = 0; i < starts; i++)); do
	begun=${EPOCHREALTIME/./}
	openshell sandbox create --no-auto-providers -- true || failed=$((failed + 1))
	took=$(((${EPOCHREALTIME/./} - begun) / 1000))
	[ "$took" -le "$slowest" ] || slowest=$took
done
is "$failed" 0 "$starts starts, all of them worked"
at_most "$slowest" 5000 'the slowest in ms'
run openshell sandbox list
like "$out" 'No sandboxes' 'nothing is there'
is "$(leftovers)" '' 'nothing is left'
done_testing
