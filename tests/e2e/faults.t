#!/bin/bash
# kill -9 of the supervisor, the proxy or the launcher: the workload never has more network than
# before, in practice none, and the next command cleans up and says so.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
start_origin
cd "$T/work" || exit 1

# A workload that asks for ever and writes down what came; `zen` is the control that it could.
cat >"$T/work/loop.sh" <<'EOS'
#!/bin/sh
while :; do
	case $(curl -sS -m 3 "$@" https://api.github.com/zen 2>&1) in
	Anything*) echo zen ;;
	*) echo refused ;;
	esac
done >>"$OUT"
EOS
chmod a+rx loop.sh

# victim NAME COMM: a sandbox with two such loops, then kill -9 of that process.
victim() {
	local name=$1 comm=$2 pid requests

	rm -f "$T/work/$name".{proxy,blind}
	ok "$comm: a sandbox" sandbox "$name" --policy "$T_EXAMPLES/sandbox-policy-quickstart/policy.yaml"
	openshell sandbox exec -n "$name" --env "OUT=$T/work/$name.proxy" -- ./loop.sh 2>/dev/null &
	loops=($!)
	openshell sandbox exec -n "$name" --env "OUT=$T/work/$name.blind" -- ./loop.sh --noproxy '*' 2>/dev/null &
	loops+=($!)
	ok "$comm: its workload has network" wait_line "$T/work/$name.proxy" zen
	ok "$comm: both ways" wait_line "$T/work/$name.blind" zen
	pid=$(descendant "$comm")
	ok "$comm: is found" test -n "$pid"
	kill -9 "$pid"
	ok "$comm: is dead" wait_gone "$pid"
}

# Either the workload is gone, or from a new mark on it gets nothing but refusals.
no_network() {
	local name=$1 what=$2

	if descendant curl >/dev/null || descendant loop.sh >/dev/null; then
		echo mark >>"$T/work/$name.proxy"
		echo mark >>"$T/work/$name.blind"
		wait_line "$T/work/$name.proxy" refused 5 >/dev/null
		unlike "$(sed '1,/mark/d' "$T/work/$name.proxy")" zen "$what: no network through the proxy"
		unlike "$(sed '1,/mark/d' "$T/work/$name.blind")" zen "$what: nor without"
	else
		pass "$what: the workload is gone"
	fi
	requests=$(grep -c request "$origin_log")
	run openshell sandbox exec -n "$name" -- curl -sS -m 3 https://api.github.com/zen
	unlike "$out" Anything "$what: a new command has none either"
	is "$(grep -c request "$origin_log")" "$requests" "$what: the server hears nothing more"
}

victim sup openshell-trace
no_network sup supervisor
run openshell sandbox list
unlike "$out" '^sup .*Ready' 'supervisor: the list knows'
run openshell sandbox delete sup
is "$status" 0 'supervisor: delete works'
wait "${loops[@]}"
is "$(leftovers)" '' 'supervisor: nothing is left'

victim prox openshell-proxy
no_network prox proxy
run openshell sandbox delete prox
is "$status" 0 'proxy: delete works'
wait "${loops[@]}"
is "$(leftovers)" '' 'proxy: nothing is left'

# The launcher of a one-shot command: the command ends with it.
mkfifo "$T/work/fifo"
[ "$(id -u)" != 0 ] || chown "$T_UID" "$T/work/fifo"
(T_EXEC="exec" t_env "${T_DROP[@]}" openshell sandbox create ${T_INTERCEPT:+--intercept "$T_INTERCEPT"} \
	--no-auto-providers -- sh -c 'echo up >fifo; exec sleep 1000') &
launcher=$!
read -r up <fifo
is "$up" up 'launcher: a command runs'
kill -9 "$launcher"
ok 'launcher: is dead' wait_gone "$launcher"
sleeper=$(descendant sleep)
[ -z "$sleeper" ] || ok 'launcher: its command ended' wait_gone "$sleeper" 10
run openshell sandbox list
is "$status" 0 'launcher: the next command works'
like "$out" 'No sandboxes found' 'and nothing is there'
deadline=$((SECONDS + 10 * T_SLOW))
while [ -n "$(leftovers)" ] && [ $SECONDS -lt $deadline ]; do wait_gone "$(leftovers | sed 's/ .*//;q')" 1; done
is "$(leftovers)" '' 'launcher: nothing is left'

# init inside, and everything at once.
victim all init
run openshell sandbox delete all
wait "${loops[@]}"
is "$(leftovers)" '' 'init: nothing is left after delete'
victim every bwrap
for comm in openshell-trace openshell-proxy init; do
	pid=$(descendant $comm) && kill -9 "$pid"
done
run openshell sandbox list
is "$status" 0 'all at once: the next command works'
run openshell sandbox delete every
wait "${loops[@]}"
is "$(leftovers)" '' 'all at once: nothing is left'
is "$(find "$T/run" -mindepth 1 ! -type d)" '' 'no socket is left'
done_testing
