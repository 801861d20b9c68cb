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
pss() { awk '/^Pss:/ { print $2 }' "/proc/$1/smaps_rollup"; }
sample() { # one line: seconds, PSS of either in KiB, descriptors of both
	echo "$SECONDS $(pss "$tracer") $(pss "$proxy") $(find "/proc/$tracer/fd" "/proc/$proxy/fd" -mindepth 1 | wc -l)"
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

# What it costs. What leaks is there in quiet moments too: the medians of the last third against those of the second.
# What is held for a moment only depends on how many ask at once: the worst is bound by the budget of the design.
part() { # COLUMN THIRD: the values, ascending
	local n

	n=$(wc -l <"$T/tmp/samples")
	awk -v c="$1" -v n="$n" -v k="$2" 'NR > (k - 1) * n / 3 && NR <= k * n / 3 { print $c }' "$T/tmp/samples" | sort -n
}
middle() { part "$@" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] + 0 }'; }
flat() { # COLUMN ROOM NAME
	local second last

	second=$(middle "$1" 2) last=$(middle "$1" 3)
	at_most "$last" $((second + second / 20 + $2)) "$3 is flat: $second, then"
}
diag "seconds, PSS of the supervisor and of the proxy in KiB, descriptors: $(awk -v n="$(wc -l <"$T/tmp/samples")" \
	'NR % (int(n / 20) + 1) == 0 { printf "%s; ", $0 }' "$T/tmp/samples")"
flat 2 512 "the supervisor's memory (PSS, KiB)"
flat 3 512 "the proxy's memory"
flat 4 64 'the number of descriptors'
at_most "$(sort -n -k3 "$T/tmp/samples" | awk 'END { print $2 + $3 }')" $((8192 + connections * 48)) 'and at its worst within 8 MiB and 48 KiB a connection'
run openshell sandbox delete soak
is "$(leftovers)" '' 'nothing is left'
done_testing
