#!/bin/bash
# kill -9 of whoever writes the log, at random moments while both write: the supervisor and the proxy
# in turn, OPENSHELL_TEST_KILLS times. Whatever the workload was answered is in the log, and a kill
# leaves at most one torn line, which readers skip and count.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
kills=${OPENSHELL_TEST_KILLS:-24}
acks=$T/work/acks
start origin "$T_SUPPORT/origin" --plain
for each in killwork killcheck; do cp "$T_TOP/tests/support/clients/$each.py" "$T/work/"; done
cat >"$T/work/policy.yaml" <<EOS
version: 1
network_policies:
  kill:
    endpoints:
      - { host: kill.test, port: 80, protocol: rest, enforcement: enforce, access: read-only }
    binaries:
      - { path: "$(readlink -f /usr/bin/python3)" }
EOS
chmod 0644 "$T"/work/*
T_ENV+=("OPENSHELL_CONNECT_TO=kill.test:80:127.0.0.1:$origin")
: >"$acks"
chmod 0666 "$acks"
ok 'a sandbox' sandbox kill --policy "$T/work/policy.yaml"

killed=0
for ((i = 0; i < kills; i++)); do
	case $((i % 2)) in 0) comm=openshell-proxy ;; 1) comm=openshell-trace ;; esac
	# It says when it has been answered so often, and goes on.
	exec 6< <(exec 2>/dev/null; openshell sandbox exec -n kill -- /usr/bin/python3 -S "$T/work/killwork.py" "$i" "$acks" $((RANDOM % 80 + 2)))
	worker=$!
	read -r -t 20 _ <&6 || diag "round $i was not answered"
	if pid=$(descendant "$comm") && kill -9 "$pid"; then killed=$((killed + 1)); fi
	wait_gone "$pid" || break
	[ "$comm" != openshell-proxy ] || openshell sandbox stop kill >/dev/null 2>&1
	wait "$worker"
	exec 6<&-
	run openshell sandbox start kill
	[ "$status" = 0 ] || { diag "start: $err" && break; }
done
is "$killed" "$kills" "$kills writers were killed"

openshell logs kill -n 0 --format json >"$T/work/log.json" 2>"$T/tmp/told"
read -r acked events missing < <(/usr/bin/python3 "$T/work/killcheck.py" "$acks" <"$T/work/log.json" 2>"$T/tmp/missing")
ok "every round was answered ($acked answers, $events events)" test "$acked" -gt "$((kills * 2))"
is "$missing" 0 'and every answer is in the log'
[ "$missing" = 0 ] || diag "$(cat "$T/tmp/missing")"
torn=$(sed -n 's/.*openshell: \([0-9]*\) torn or foreign line.*/\1/p;s/^\([0-9]*\) torn or foreign line.*/\1/p' "$T/tmp/told")
at_most "${torn:-0}" "$kills" 'at most one torn line for each kill'
like "$(openshell logs kill -n 3 --format json)" '"class_uid":' 'readers go on behind them'

# Controls: an answer that never was would be missed; a torn line is skipped, counted and told.
echo 'r never' >>"$acks"
read -r acked events missing < <(/usr/bin/python3 "$T/work/killcheck.py" "$acks" <"$T/work/log.json" 2>/dev/null)
is "$missing" 1 'control: an answer that is not in the log is noticed'
segment=$(find "$T/state" -path '*/kill/log/*.log' | sort | tail -1)
before=$(grep -c . "$T/work/log.json")
printf '{"t":1775014132118,"l":1,"a":"L7","x":"/half' | as_user tee -a "$segment" >/dev/null
openshell sandbox stop kill >/dev/null 2>&1
run openshell sandbox start kill
run openshell logs kill -n 0 --format json
like "$err" "$((${torn:-0} + 1)) torn or foreign lines? skipped" 'control: a torn line is counted'
ok 'and what came after it is read' test "$(grep -c . <<<"$out")" -gt "$before"
ok 'delete' openshell sandbox delete kill
is "$(leftovers)" '' 'nothing is left'
done_testing
