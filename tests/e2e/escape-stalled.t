#!/bin/bash
# Somebody on the way does not answer (threats.md 20): a server that is a black hole, one that never
# speaks, resets or trickles, a resolver that is dead, a proxy that was stopped. Others go on, and who
# waits can be interrupted.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
# A port that drops what comes: its queue is full.
cat >"$T/work/hole.py" <<'PY'
import socket, threading
l = socket.socket(); l.bind(("127.0.0.1", 0)); l.listen(0)
kept = []
for _ in range(4):
    s = socket.socket(); s.setblocking(False)
    s.connect_ex(l.getsockname()); kept.append(s)
print(l.getsockname()[1], flush=True)
threading.Event().wait()
PY
chmod 0644 "$T/work/hole.py"
start hole /usr/bin/python3 "$T/work/hole.py"
start mute "$T_SUPPORT/origin" --plain --silent --log "$T/tmp/mute.log"
start resets "$T_SUPPORT/origin" --plain --reset --log "$T/tmp/resets.log"
start slow "$T_SUPPORT/origin" --plain --name slow.test --log "$T/tmp/slow.log"
arena stalled --connect-to "hole.test:7000:127.0.0.1:$hole" --connect-to "mute.test:7000:127.0.0.1:$mute" \
	--connect-to "resets.test:7000:127.0.0.1:$resets" --connect-to "slow.test:7000:127.0.0.1:$slow"
control
{
	sed '/^    binaries:/,$d' "$T/work/arena.yaml"
	for host in hole mute resets slow dead; do printf '      - { host: %s.test, port: 7000 }\n' "$host"; done
	printf '    binaries:\n      - { path: "%s" }\n      - { path: /usr/bin/curl }\n' "$T/work/attack"
} >"$T/work/all.yaml"
run openshell policy set stalled --policy "$T/work/all.yaml" --wait
is "$status" 0 'a policy that allows them all'

get() { openshell sandbox exec -n stalled -- curl -sS --noproxy '*' -m "$2" -o /dev/null -w '%{http_code} %{size_download}\n' "http://$1.test:7000/$3"; }
run get slow 10 bytes/1000
is "$out" '200 1000' 'control: a server that answers'
for host in hole mute; do
	get "$host" 20 x >"$T/tmp/$host.out" 2>&1 &
done
ok 'somebody waits for one that is silent' wait_line "$T/tmp/mute.log" connect
get slow 20 trickle/100 >"$T/tmp/trickle.out" 2>&1 &
ok 'and for one that trickles' wait_line "$T/tmp/slow.log" trickle
attack patience allowed.test 7000 20
is "$(outcome patience)" '20 of 20' 'others go on'
at_most "$(outcome worst)" 1000 'the slowest in ms'
begun=$SECONDS
run get resets 10 x
like "$out" '^000' 'one that resets is over'
run get dead 10 x
unlike "$out" '^200' 'a name that nobody resolves is over as well'
at_most $((SECONDS - begun)) 12 'soon, in seconds'
ok 'what trickled came whole' wait_line "$T/tmp/trickle.out" '^200 100' 20
begun=$SECONDS
run openshell sandbox exec -n stalled -- timeout -s INT 1 "$T/work/attack" reach mute.test 7000
at_most $((SECONDS - begun)) 4 'who waits can be interrupted, in seconds'

# The proxy is stopped, as by a debugger. Nothing of the sandbox waits for it but who needs it.
proxy=$(descendant openshell-proxy)
kill -STOP "$proxy"
run inside stalled 'echo alive'
is "$out" alive 'with the proxy stopped, commands run'
run openshell sandbox exec -n stalled -- /usr/bin/python3 -c 'import socket
l = socket.socket(); l.bind(("127.0.0.1", 0)); l.listen()
socket.create_connection(l.getsockname(), 5); print("loop")'
is "$out" loop 'loopback works'
run openshell sandbox list
like "$out" '^stalled .*Ready' 'the list answers'
begun=$SECONDS
run openshell sandbox exec -n stalled -- timeout -s INT 1 "$T/work/attack" reach allowed.test 7000
at_most $((SECONDS - begun)) 4 'who connects waits, and can be interrupted, in seconds'
unlike "$(outcome end)" '^ok' 'and gets nothing'
run openshell policy set stalled --policy "$T/work/arena.yaml" --wait --timeout 1
is "$status" 124 'a policy that the proxy has not confirmed is not reported as set'
kill -CONT "$proxy"
run openshell policy set stalled --policy "$T/work/arena.yaml" --wait
is "$status" 0 'when it goes on, everything does'
control
wait %1 %2 %3 2>/dev/null
arena_closed 'dst_host=hole\.test'
