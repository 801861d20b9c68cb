#!/bin/bash
# A log of a million events, written here as a workload with bad intentions would have it: readers
# start at once, --tail too, and nothing in any field reaches a terminal or forges a line, in any
# form of the log or in what is made from it.
. "$(dirname "$0")/../support/tap.sh"

cd "$T/work" || exit 1

# Names, paths and reasons with everything that acts on a terminal, as JSON has it.
# shellcheck disable=SC2028
evil='\u001b[2J\u009b31m\u0007\r\n[x\u202e\u2066\u200b\u2028\u007f\ud83d\ude00'
dir=$T/state/openshell/sandboxes/million/log
as_user mkdir -p "$dir"
/usr/bin/python3 - "$T/tmp" "$evil" <<'EOS'
import sys
out, evil, t0, each = sys.argv[1], sys.argv[2], 1775014132118, 50000
for n in range(20):
    begun = t0 + n * each * 20
    with open(f"{out}/{n + 1:08d}-{begun:013d}.log", "w") as f:
        for i in range(each):
            f.write('{"t":%d,"c":%d,"p":7,"l":1,"a":"L7","d":"allow","h":"api.example.com","o":443,"b":"/usr/bin/curl","g":"l7","v":"GET","x":"/issues/%d"}\n'
                    % (begun + i * 20, i + 1, i))
        if n < 19:
            continue
        t = begun + each * 20
        for kind in ('"a":"L7","d":"deny","g":"l7","v":"GET%s","x":"/%s"', '"a":"CONNECT","d":"deny","g":"l4"', '"a":"FS","d":"deny"',
                     '"a":"LIFECYCLE","m":"sandbox %s"', '"a":"POLICY","m":"%s"', '"a":"UNIX","d":"deny"', '"a":"SOCKET","d":"deny"'):
            f.write('{"t":%d,"l":2,%s,"h":"h%s.test","o":443,"i":"/i%s","r":"r%s","b":"/b%s","f":["/f%s"],"k":"k%s","e":"e%s","y":"y%s","w":"w%s","q":"q%s","stack":"by=ptrace 0+10\\n0 /m%s"}\n'
                    .replace('%s', evil, 0) % ((t, kind.replace('%s', evil)) + (evil,) * 11))
EOS
chown -R --reference="$dir" "$T/tmp"/*.log 2>/dev/null
mv "$T/tmp"/*-*.log "$dir/"
is "$(cat "$dir"/*.log | wc -l)" 1000007 'a million events, and some more'

# Milliseconds until a command has written its first line; it is ended then.
first_line_ms() {
	local begin=${EPOCHREALTIME/./} pid line

	exec 6< <(exec 2>/dev/null; T_EXEC="exec" openshell "$@")
	pid=$!
	read -r -t 20 line <&6
	echo $(((${EPOCHREALTIME/./} - begin) / 1000))
	kill "$pid" 2>/dev/null
	exec 6<&-
	[ -n "$line" ]
}

# A full scan of such a log takes longer than all of these together may.
at_most "$(first_line_ms logs million)" 500 'ms until the last lines are there'
at_most "$(first_line_ms logs million --tail)" 500 'ms until --tail is'
at_most "$(first_line_ms logs million --tail -n 1 --format json)" 500 'ms until --tail as JSON is'
at_most "$(first_line_ms logs million --since 1d --level warn -n 3)" 500 'ms until --since and --level are' 2>/dev/null
is "$(openshell logs million -n 3 | wc -l)" 3 '-n counts'

# Nothing acts on whoever looks.
cat >"$T/work/clean.py" <<'EOS'
import sys, unicodedata
text = sys.stdin.buffer.read().decode()
bad = [c for c in text if c != "\n" and (unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Cs"))]
print(" ".join("U+%04X" % ord(c) for c in bad[:8]) if bad else "clean %d" % text.count("\n"))
EOS
clean() { /usr/bin/python3 "$T/work/clean.py"; }
for form in text shorthand json; do
	is "$(openshell logs million -n 7 --stacks --format "$form" | grep -v '^    ' | clean)" 'clean 7' "$form: seven events are seven clean lines"
	like "$(openshell logs million -n 7 --stacks --format "$form" | clean)" '^clean' "$form: and the stacks are clean"
done
like "$(openshell logs million -n 7 -o yaml | clean)" '^clean' 'yaml is clean'
like "$(openshell logs million -n 7 -o yaml)" 'api_version|class_uid' 'control: and there'
ok 'every line of JSON is JSON' /usr/bin/python3 -c 'import json, sys; [json.loads(l) for l in sys.stdin]' < <(openshell logs million -n 7 -o json)
run openshell policy learn --from million --include-denied
is "$status" 0 'a policy is learned from it'
like "$(clean <<<"$out$err")" '^clean' 'and is clean'
like "$err" 'no rule is made of them' 'what cannot be said is left out, and told'
printf '\x1b[2J\n' >esc
like "$(clean <esc)" 'U\+001B' 'control: what is not clean is noticed'
done_testing
