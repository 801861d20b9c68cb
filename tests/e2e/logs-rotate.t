#!/bin/bash
# The log of a sandbox goes on in a new segment when the current one is large or old, loses nothing
# by it, and drops the oldest beyond the limit; it outlives its sandbox.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
dir=$T/state/openshell/sandboxes/turns/log
ok 'a sandbox' openshell sandbox create --name turns --detach --no-auto-providers
segments() { find "$dir" -name '*.log' -printf '%f\n' | sort; }
current() { segments | tail -1; }
# refused PORT: one event, in the log when this returns.
refused() { openshell sandbox exec -n turns -- bash -c "exec 3<>/dev/tcp/192.0.2.1/$1" >/dev/null 2>&1; }
logged() { openshell logs turns -n 0 | grep -c "dst_port=$1 "; }
# Eight megabytes, from elsewhere.
grow() {
	/usr/bin/python3 -c 'print("\n".join(["{\"t\":1775014132118,\"l\":1,\"a\":\"TCP\",\"d\":\"allow\",\"h\":\"x.test\",\"o\":443}"] * 130000))' |
		as_user tee -a "$dir/$(current)" >/dev/null
}
again() {
	openshell sandbox stop turns >/dev/null 2>&1
	"$@"
	openshell sandbox start turns >/dev/null 2>&1
}
# It began two days ago, as its name tells.
age() {
	local last

	last=$(current)
	mv "$dir/$last" "$dir/${last%%-*}-$(($(date +%s) - 172800))000.log"
}

refused 1001
is "$(segments | wc -l) $(logged 1001)" '1 1' 'an event is in the only segment'
again grow
refused 1002
is "$(segments | wc -l)" 2 'beyond eight megabytes there is a second segment'
is "$(logged 1001) $(logged 1002) $(openshell logs turns -n 0 | grep -c x.test)" '1 1 130000' 'and nothing is lost'
again age
refused 1003
is "$(segments | wc -l)" 3 'a segment of two days ago is followed by another'
is "$(logged 1002) $(logged 1003)" '1 1' 'and nothing is lost'

# While it runs, and too much of it: the oldest goes, and that is told.
first=$(segments | head -1)
as_user truncate -s 600M "$dir/$first"
T_EXEC='exec' openshell logs turns -n 1 --tail >"$T/tmp/tail" 2>/dev/null &
follower=$!
grow
ok 'a running sandbox begins a segment, too, and says what it removed' wait_line "$T/tmp/tail" '1 old log segments? w[a-z]+ removed for room' 20
kill "$follower"
refused 1004
is "$(segments | wc -l)" 3 'one more, one less'
unlike "$(segments)" "$first" 'beyond the limit the oldest segment goes'
is "$(logged 1002) $(logged 1003) $(logged 1004)" '1 1 1' 'and no other'

ok 'delete' openshell sandbox delete turns
run openshell logs turns -n 0
is "$(grep -c 'dst_port=1004 ' <<<"$out")" 1 'the log outlives its sandbox'
is "$(leftovers)" '' 'nothing is left'
done_testing
