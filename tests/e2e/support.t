#!/bin/bash
# The test tools themselves: a test is worth what they are.
. "$(dirname "$0")/../support/tap.sh"

start_origin
get() {
	curl -sS --cacert "$origin_ca" --connect-to "api.github.com:443:127.0.0.1:$origin" "$@"
}

run user id -u
is "$out" "$T_UID" 'commands run as the unprivileged user'
not_ok 'which is not root' test "$out" = 0
is "$(stat -c %a:%u "$T")" "700:$T_UID" 'the private directory is closed to others'

run user test -x "$T_BIN/openshell"
is "$status" 0 'the user can run the programs'

run get https://api.github.com/zen
is "$out" 'Anything added dilutes everything else.' 'the origin serves /zen over TLS'
run get -d '{"title":"oops"}' https://api.github.com/repos/octocat/hello-world/issues
like "$out" '"created":true,"bytes":16' 'and takes a POST'
like "$(cat "$origin_log")" '^request POST /repos/octocat/hello-world/issues host=api.github.com body=16$' 'which is in its log'
run get -o "$T/tmp/big" -w '%{size_download}' https://api.github.com/bytes/1048577
is "$out" 1048577 'downloads have the length that was asked for'
run get -H 'Transfer-Encoding: chunked' --data-binary @"$T/tmp/big" https://api.github.com/upload
like "$out" '"bytes":1048577' 'uploads are counted, chunked ones as well'
run curl -sS "https://127.0.0.1:$origin/zen"
is "$status" 60 'nobody else trusts its certificate'

start expired "$T_SUPPORT/origin" --days -1 --ca "$T/tmp/expired.pem"
run curl -sS --cacert "$T/tmp/expired.pem" --connect-to "api.github.com:443:127.0.0.1:$expired" https://api.github.com/zen
is "$status" 60 'an expired certificate is one'
like "$err" 'expired' 'for that reason'

start canary "$T_SUPPORT/canary" "$T/tmp/canary.log" 127.0.0.1 "@canary-$$"
printf 'x' >/dev/udp/127.0.0.1/"$canary"
ok 'the canary hears a datagram' wait_line "$T/tmp/canary.log" '^udp$'
: 2>/dev/null >/dev/tcp/127.0.0.1/"$canary"
ok 'and a connection' wait_line "$T/tmp/canary.log" '^tcp$'

run "$T_SUPPORT/ptydrive" -e '[$] $' -s 'tty && stty size\n' -e '33 77' -s 'exit 3\n' -r 33x77 -- env PS1='$ ' sh
is "$status" 3 'ptydrive gives the exit status of what it drove'
like "$out" '/dev/pts/' 'which had a terminal'
run "$T_SUPPORT/ptydrive" -t 1 -e 'never' -- sh -c 'read x'
is "$status" 124 'and gives up in time'

mkfifo "$T/tmp/fifo"
sh -c 'setsid sh -c "echo \$\$ >\"$0/tmp/pid\"; read x <\"$0/tmp/fifo\"" &' "$T" &
wait_line "$T/tmp/pid" '^[0-9]+$' >"$T/tmp/line"
like "$(leftovers)" "^$(cat "$T/tmp/line") " 'a daemon that a test left is found'
kill "$(cat "$T/tmp/line")"
ok 'and waited for' wait_gone "$(cat "$T/tmp/line")"
is "$(leftovers)" '' 'nothing else is left'

done_testing
