#!/bin/bash
# Being traced changes nothing for a program: stops, signals, exec, births, ends and waits come out as they
# do outside. What would get away from the tracer is refused.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
cp "$T_SUPPORT/life" "$T_SUPPORT/attack" "$T/work/"
chmod 0755 "$T/work/life" "$T/work/attack"
run user "$T/work/life"
is "$status" 0 'outside'
outside=$out
like "$outside" '^clone untraced: 4$' 'control: a child may be born untraced there'
for backend in seccomp ptrace; do
	ok "a sandbox with $backend" sandbox "$backend" --intercept "$backend"
	run inside "$backend" "$T/work/life"
	is "$(grep -v untraced <<<"$out")" "$(grep -v untraced <<<"$outside")" "$backend: the same inside"
done
like "$out" '^clone untraced: -1$' 'no child gets away from the tracer'
run inside ptrace "$T/work/attack borrow"
like "$out" '^ptrace init: .*EPERM' 'nobody traces anybody'
run inside ptrace 'kill -STOP 1; echo sent'
is "$out" sent 'pid 1 can be sent a stop'
run inside ptrace 'echo lives'
is "$out" lives 'and takes none'

# When the supervisor dies, everything inside does.
openshell sandbox exec -n ptrace -- sleep 1000 2>/dev/null &
until sleeper=$(descendant sleep); do :; done
run openshell sandbox delete seccomp
supervisor=$(descendant openshell-trace)
kill -9 "$supervisor"
ok 'the supervisor is dead' wait_gone "$supervisor"
ok 'and so is the workload' wait_gone "$sleeper"
wait $!
run openshell sandbox delete ptrace
is "$status" 0 'delete works'
is "$(leftovers)" '' 'nothing is left'
done_testing
