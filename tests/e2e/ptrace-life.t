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

# Of two filters a notification goes before a stop: a listener of the workload's own would let its connects
# go on unseen. The name is judged by nobody else: a socket that the host bound in the working directory.
start host "$T_SUPPORT/canary" "$T/tmp/host.log" 127.0.0.1 "$T/work/host.sock"
cat >"$T/work/dial.py" <<'PY'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
print("connected")
PY
printf 'version: 1\nprocess: { allow_user_namespaces: true }\n' >"$T/work/nesting.yaml"
chmod 0644 "$T/work/"*.py "$T/work/nesting.yaml"
mine="$T/work/attack under-mine /usr/bin/python3 $T/work/dial.py $T/work/host.sock"
run user bash -c "$mine"
is "$out" connected 'control: outside the listener lets it go on'
ok 'control: and it is heard' wait_line "$T/tmp/host.log" unix
ok 'a sandbox whose programs may install filters' sandbox nesting --intercept ptrace --policy "$T/work/nesting.yaml"
run inside nesting "$mine"
like "$status:$err" '^3:seccomp: Device or resource busy' 'no filter of theirs has a listener'
is "$(grep -c unix "$T/tmp/host.log")" 1 'the host hears no more'
run openshell sandbox delete nesting

# When the supervisor dies, everything inside does.
run openshell sandbox delete seccomp
run openshell sandbox delete ptrace
is "$status" 0 'a traced sandbox is deleted'
settled
ok 'another one' sandbox victim --intercept ptrace
openshell sandbox exec -n victim -- sleep 1000 2>/dev/null &
until sleeper=$(descendant sleep); do :; done
supervisor=$(descendant openshell-trace)
kill -9 "$supervisor"
ok 'the supervisor is dead' wait_gone "$supervisor"
ok 'and so is the workload' wait_gone "$sleeper"
wait $!
run openshell sandbox delete victim
is "$status" 0 'delete works'
is "$(leftovers)" '' 'nothing is left'
done_testing
