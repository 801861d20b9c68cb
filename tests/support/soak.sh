#!/bin/bash
# Mixed traffic over many connections, with a new policy every second, for SOAK_SECONDS: memory and
# descriptors stay what they were, no event is lost, no decision is one that neither policy would take.
# It ends by itself. `make soak SOAK_SECONDS=3600`; not part of make check.
. "$(dirname "$0")/tap.sh"

need_sandbox
seconds=${SOAK_SECONDS:-60} connections=${SOAK_CONNECTIONS:-1000}
start_origin
python=$(readlink -f /usr/bin/python3)
cp "$T_TOP/tests/support/clients/soak.py" "$T/work/soak.py"
chmod 0644 "$T/work/soak.py"
policy() { # PATHS...
	local path

	printf 'version: 1\nnetwork_policies:\n  soak:\n    endpoints:\n      - host: api.github.com\n        port: 443\n'
	printf '        protocol: rest\n        enforcement: enforce\n        rules:\n'
	for path in "$@"; do printf '          - allow: { method: GET, path: "%s" }\n' "$path"; done
	printf '    binaries: [ { path: "%s" } ]\n' "$python"
}
policy /zen '/bytes/**' >"$T/work/few.yaml"
policy /zen '/bytes/**' /octocat >"$T/work/more.yaml"
ok 'a sandbox' sandbox soak --policy "$T/work/few.yaml"
(T_TIMEOUT=$((seconds + 120)) openshell sandbox exec -n soak -- "$python" "$T/work/soak.py" "$connections" "$seconds" >"$T/tmp/counts" 2>"$T/tmp/soak.err") &
client=$!
ok 'traffic goes' wait_line "$origin_log" request 30

tracer=$(descendant openshell-trace) proxy=$(descendant openshell-proxy)
sample() { # one line: seconds, PSS of both in KiB, descriptors of both
	local pss=0 fds=0 pid

	for pid in "$tracer" "$proxy"; do
		pss=$((pss + $(awk '/^Pss:/ { print $2 }' "/proc/$pid/smaps_rollup")))
		fds=$((fds + $(find "/proc/$pid/fd" -mindepth 1 | wc -l)))
	done
	echo "$SECONDS $pss $fds"
}
reloads=0 failed=0 begun=$SECONDS
while [ $((SECONDS - begun)) -lt "$seconds" ]; do
	next=$((SECONDS + 1))
	for which in more few; do
		openshell policy set soak --policy "$T/work/$which.yaml" --wait >/dev/null 2>"$T/tmp/set.err" || failed=$((failed + 1))
		reloads=$((reloads + 1))
		[ $((reloads % 10)) != 0 ] || sample >>"$T/tmp/samples"
		# A second a policy, by the clock and not on top of what setting it took.
		[ "$SECONDS" -ge "$next" ] || "$T_SUPPORT/gone" $$ 1
		next=$((next + 1))
	done
done
wait "$client"
is "$failed" 0 "$reloads policies were set"
counts=$(cat "$T/tmp/counts")
diag "$counts"
ok 'the client counted' jq -e . <<<"$counts"
count() { jq -r "[to_entries[] | select(.key | test(\"$1\")) | .value] | add // 0" <<<"$counts"; }

# Decisions.
ok 'what both policies allow was answered' test "$(count '^both 200')" -gt 0
is "$(count '^both [345]')" 0 'and never refused'
ok 'what one of them allows was answered' test "$(count '^one 200')" -gt 0
ok 'and refused, both' test "$(count '^one 403')" -gt 0
is "$(count '^none 2|connected')" 0 'what none of them allows never was'
is "$(grep -c '^request POST' "$origin_log")" 0 'nor did the server see it'
is "$(count late)" 0 'nobody waited for ever'

# Events: what clients were told is in the log, folded or not; a refusal that a client did not live to
# read may be there as well.
T_TIMEOUT=600 run openshell logs soak -n 0
events() { awk -v want="$1" '$0 ~ want { n = 1; if (match($0, / count=[0-9]+/)) n = substr($0, RSTART + 7, RLENGTH - 7); sum += n } END { print sum + 0 }' <<<"$out"; }
refused=$(count '^none 403') logged=$(events 'l7_decision=deny.*l7_action=POST')
ok "each of $refused refused requests is in the log ($logged)" test "$logged" -ge "$refused"
at_most "$logged" $((refused + $(count '^none closed'))) 'and no other'
is "$(events 'action=deny dst_host=evil.test')" "$(count '^evil refused')" 'each refused connection is in the log'

# What it costs: the worst of the last third against the worst of the second.
flat() { # COLUMN ROOM NAME
	local n second last

	n=$(wc -l <"$T/tmp/samples")
	second=$(awk -v c="$1" -v n="$n" 'NR > n / 3 && NR <= 2 * n / 3 && $c > m { m = $c } END { print m + 0 }' "$T/tmp/samples")
	last=$(awk -v c="$1" -v n="$n" 'NR > 2 * n / 3 && $c > m { m = $c } END { print m + 0 }' "$T/tmp/samples")
	at_most "$last" $((second + second / 20 + $2)) "$3 is flat: $second, then"
}
flat 2 1024 'memory (PSS, KiB)'
flat 3 64 'the number of descriptors'
run openshell sandbox delete soak
is "$(leftovers)" '' 'nothing is left'
done_testing
