#!/bin/bash
# The walkthrough as upstream's own script takes it: a sandbox that is kept, every command over ssh -F, one
# `policy update` instead of a file, and the log in upstream's shorthand.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
if ! [ -x /usr/sbin/sshd ] || ! command -v ssh >/dev/null; then skip_all 'no ssh server on this host'; fi
start_origin
cd "$T/work" || exit 1
# ssh wants its user to have an account, which the one of the tests may lack.
printf 'root:x:0:0::/root:/bin/sh\nperson:x:%s:%s::%s:/bin/sh\n' "$T_UID" "$T_UID" "$T/home" >"$T/tmp/passwd"
person() { user bwrap --dev-bind / / --ro-bind "$T/tmp/passwd" /etc/passwd "$@"; }

run openshell sandbox create --name policy-demo --no-auto-providers --no-tty -- echo 'sandbox ready'
is "$status:$out" '0:sandbox ready' 'created, with a command'
run person openshell sandbox ssh-config policy-demo
is "$status" 0 'ssh-config'
printf '%s\n' "$out" >config
host=$(awk '/^Host / { print $2; exit }' config)
over_ssh() { run person ssh -F config "$host" "$@"; }
over_ssh true
is "$status" 0 'ssh -F reaches it at once'
over_ssh curl -sSf --max-time $((5 * T_SLOW)) https://api.github.com/zen
not_ok 'a request is denied' test "$status" = 0
run openshell logs policy-demo --since 1m --source sandbox -n 10 --format shorthand
like "$out" 'NET:[A-Z]+ .*DENIED.*api\.github\.com:443.*\[reason:no matching network policy\]' 'which the log says in shorthand'
run openshell logs policy-demo --level warn --since 1m -n 5
like "$out" '\[CONNECT\] action=deny dst_host=api\.github\.com dst_port=443 binary=/usr/bin/curl' 'and in words'
run openshell policy update policy-demo --rule-name github_api --binary /usr/bin/curl \
	--add-endpoint api.github.com:443:read-only:rest:enforce --wait
is "$status" 0 'one rule is added'
over_ssh curl -sS --max-time $((10 * T_SLOW)) https://api.github.com/zen
is "$out" 'Anything added dilutes everything else.' 'reading is allowed'
over_ssh curl -sS --max-time $((10 * T_SLOW)) -X POST https://api.github.com/repos/octocat/hello-world/issues \
	-H 'Content-Type:\ application/json' -d "'{\"title\":\"oops\"}'"
is "$(jq -r .error <<<"$out")" policy_denied 'writing is not'
not_ok 'the server hears nothing of it' grep -q 'request POST' "$origin_log"
run openshell logs policy-demo --since 1m --source sandbox -n 10 --format shorthand
like "$out" 'HTTP:POST .*DENIED' 'the log has it'
like "$out" 'HTTP:GET .*ALLOWED' 'beside what was allowed'
run openshell sandbox delete policy-demo
is "$status" 0 'delete'
settled
is "$(leftovers)" '' 'nothing is left'
done_testing
