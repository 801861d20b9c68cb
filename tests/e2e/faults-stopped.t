#!/bin/bash
# A process of ours is stopped (SIGSTOP), as by a debugger: what needs it waits no longer than it says, with the
# reason; nothing opens; it can be deleted; and when it goes on, so does everything. (The workload's side of a
# stopped proxy: escape-stalled.t.)
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
arena stopped
sed 's/7000/7003/' "$T/work/arena.yaml" >"$T/work/new.yaml"
chmod 0644 "$T/work/new.yaml"
control
proxy=$(descendant openshell-proxy) supervisor=$(descendant openshell-trace)

kill -STOP "$proxy"
begun=$SECONDS
run openshell policy set stopped --policy "$T/work/new.yaml" --wait --timeout 1
is "$status" 124 'with the proxy stopped a policy is not reported as in force'
like "$err" 'Timeout waiting for the policy' 'which is said'
like "$err" '^hint: its proxy has not confirmed it' 'and who does not answer'
at_most $((SECONDS - begun)) 4 'in seconds'
run openshell sandbox exec -n stopped -- timeout 1 "$T/work/attack" reach denied.test 7000
unlike "$(outcome reach)" '^ok' 'nothing opens'
kill -CONT "$proxy"
run openshell policy set stopped --policy "$T/work/arena.yaml" --wait --timeout 10
is "$status" 0 'when it goes on, the next policy is in force'
control

# The supervisor, and all of another sandbox, which is deleted.
ok 'another sandbox' sandbox dead
dead=$(cat "$T/run/openshell/dead/pid")
kill -STOP "$supervisor" "$dead"
started=$SECONDS
each() { # NAME COMMAND...: in the background, its time and outcome in files
	local name=$1

	shift
	(
		T_TIMEOUT=40 openshell "$@" >/dev/null 2>"$T/tmp/$name.said"
		printf '%s %s\n' "$?" "$((SECONDS - started))" >"$T/tmp/$name.status"
	) &
	waiting+=($!)
}
waiting=()
each exec sandbox exec -n stopped -- true
each connect sandbox connect stopped
each set policy set stopped --policy "$T/work/new.yaml" --wait --timeout 2
each list sandbox list
each delete sandbox delete dead
each reach sandbox exec -n stopped -- "$T/work/attack" reach denied.test 7000
wait "${waiting[@]}"

# With nobody to take them connections to it fill its queue; the next one waits for room, and not for ever.
cat >"$T/work/crowd.py" <<'PY'
import socket, sys
held = []
while True:
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.setblocking(False)
    try:
        s.connect(sys.argv[1])
    except BlockingIOError:
        break
    held.append(s)
print("full", len(held), flush=True)
sys.stdin.read(1)
PY
chmod 0644 "$T/work/crowd.py"
mkfifo "$T/tmp/hold"
exec 6<>"$T/tmp/hold"
(exec 6>&-; as_user /usr/bin/python3 "$T/work/crowd.py" "$T/run/openshell/stopped/control" <"$T/tmp/hold" >"$T/tmp/crowd.out" 2>&1) &
crowd=$!
ok 'its queue is full' wait_line "$T/tmp/crowd.out" '^full [1-9]'
started=$SECONDS waiting=()
each queued sandbox exec -n stopped -- true
each policy policy set stopped --policy "$T/work/new.yaml" --wait --timeout 2
wait "${waiting[@]}"
exec 6>&-
wait "$crowd"
for name in queued policy exec connect set reach; do
	read -r status seconds <"$T/tmp/$name.status"
	not_ok "with the supervisor stopped, $name fails" test "$status" = 0
	at_most "$seconds" 15 'in seconds'
	like "$(cat "$T/tmp/$name.said")" 'does not answer' 'and says why'
done
read -r status seconds <"$T/tmp/list.status"
is "$status" 0 'the list is shown'
at_most "$seconds" 5 'in seconds'
kill -CONT "$supervisor"
run openshell policy set stopped --policy "$T/work/arena.yaml" --wait --timeout 10
control

read -r status seconds <"$T/tmp/delete.status"
is "$status" 0 'delete ends a sandbox whose supervisor is stopped'
at_most "$seconds" 15 'in seconds'
like "$(cat "$T/tmp/delete.said")" 'did not answer and was killed' 'and says how'
ok 'which is gone' wait_gone "$dead"

# Delete needs no proxy.
kill -STOP "$proxy"
begun=$SECONDS
run openshell sandbox delete stopped
is "$status" 0 'delete ends a sandbox whose proxy is stopped'
at_most $((SECONDS - begun)) 5 'in seconds'
is "$(leftovers)" '' 'nothing is left'
not_ok 'the denied canary is silent' grep -q . "$denied_log"
done_testing
