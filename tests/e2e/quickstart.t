#!/bin/bash
# The walkthrough this project exists for, line by line, as an ordinary user at a terminal, against
# a stand-in for api.github.com on loopback; then what the walkthrough promises about programs that
# ignore the proxy, about other programs, and about what is left when the sandbox is gone.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
start_origin
prompt='sandbox@demo:~\$ $'
cd "$T/work" && cp -r "$T_EXAMPLES" examples
before=$(cat /proc/self/mountinfo)

# Everything at a terminal: `terminal STEPS... -- COMMAND` as in ptydrive; out holds what appeared.
T_TERM=dumb # no bracketed paste in what appears
terminal() {
	run user_fg "$T_SUPPORT/ptydrive" -t 20 "$@"
	out=$(tr -d '\r' <<<"$out")
}

# 1, 2. Create; the request fails; the sandbox outlives the shell.
terminal -e "$prompt" -s 'curl -s https://api.github.com/zen\n' -e '^curl: .*$' -e "$prompt" -s 'exit\n' \
	-- openshell sandbox create --name demo --keep --no-auto-providers
is "$status" 56 "sandbox create opens a shell, and exit leaves it with the status of the last command"
like "$out" 'sandbox@demo:~\$ ' 'with the prompt of the walkthrough'
like "$out" '^curl: \(56\) (Received HTTP code 403 from proxy after CONNECT|CONNECT tunnel failed, response 403)' \
	'in curl'"'"'s own words'
not_ok 'nothing of it reached the server' grep -q . "$origin_log"
run openshell sandbox list
like "$out" '^demo .*Ready' 'the sandbox lives on'

# 3. The log.
run openshell logs demo --since 5m
is "$status" 0 'logs'
like "$out" '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z WARN \[CONNECT\] action=deny dst_host=api\.github\.com dst_port=443 binary=/usr/bin/curl deny_reason="no matching network policy" pid=[0-9]+' \
	'hold the denial with its reason'

# 4. The policy, live.
run openshell policy set demo --policy examples/sandbox-policy-quickstart/policy.yaml --wait
is "$status" 0 'policy set --wait'

# 5, 6. GET works, POST does not.
terminal -e "$prompt" -s 'curl -s https://api.github.com/zen\n' -e 'Anything added dilutes everything else\.' \
	-s 'curl -s https://api.github.com/octocat\n' -e 'Speak like a human\.' \
	-s 'curl -s -X POST https://api.github.com/repos/octocat/hello-world/issues -H "Content-Type: application/json" -d '"'"'{"title":"oops"}'"'"'\n' \
	-e '"error":.*' -s 'exit\n' -- openshell sandbox connect demo
is "$status" 0 'sandbox connect'
like "$out" 'Anything added dilutes everything else\.' 'GET /zen works'
like "$out" 'MMMMMMMMMMMMMMMMMMM' 'GET /octocat works'
like "$out" '\{"error":"policy_denied","policy":"github-api-readonly","detail":"POST /repos/octocat/hello-world/issues not permitted by policy"' \
	'POST is refused in the words of the walkthrough'
like "$(cat "$origin_log")" '^handshake TLSv1\.3 sni=api\.github\.com' 'the server saw real TLS for the real name'
like "$(cat "$origin_log")" '^request GET /zen host=api\.github\.com' 'and the GET'
unlike "$(cat "$origin_log")" '^request POST' 'and never the POST'

# 7. The L7 log.
run openshell logs demo --level warn --since 5m
like "$out" 'WARN \[L7\] l7_decision=deny dst_host=api\.github\.com l7_action=POST l7_target=/repos/octocat/hello-world/issues l7_deny_reason="POST /repos/octocat/hello-world/issues not permitted by policy" policy=github-api-readonly' \
	'the L7 denial is in the log'
unlike "$out" ' INFO ' '--level warn leaves the rest out'
run openshell logs demo --since 5m
like "$out" 'INFO \[CONNECT\] action=allow dst_host=api\.github\.com dst_port=443 binary=/usr/bin/curl policy=github-api-readonly' \
	'what was allowed is in it as well'

# Programs that ignore every proxy variable: connect() is intercepted, names are synthetic.
run inside demo 'env | grep -i _proxy= | sort'
like "$out" '^https_proxy=http://' 'programs that honour the proxy variables are told'
run inside demo "curl -sS --noproxy '*' https://api.github.com/zen"
is "$out" 'Anything added dilutes everything else.' 'curl --noproxy GETs'
run inside demo "curl -sS --noproxy '*' -d x=y https://api.github.com/repos/octocat/hello-world/issues"
like "$out" '"error":"policy_denied"' 'curl --noproxy cannot POST'
run openshell logs demo --since 5m
like "$out" 'INFO \[TCP\] action=allow dst_host=api\.github\.com dst_port=443 binary=/usr/bin/curl' 'that path is the transparent one'

# Another binary, the same URL.
run inside demo 'wget -q -O- https://api.github.com/zen'
isnt_zen() { unlike "$out" 'Anything added' "$1"; }
isnt_zen 'wget is denied'
run inside demo 'cp /usr/bin/curl /tmp/curl && /tmp/curl -sS https://api.github.com/zen'
isnt_zen 'a copy of curl is denied'
like "$err" '403' 'with a 403'
run inside demo "cp /usr/bin/curl /sandbox/curl; /sandbox/curl -sS --noproxy '*' https://api.github.com/zen"
isnt_zen 'also when it ignores the proxy'
run inside demo 'python3 -c "import urllib.request as u; print(u.urlopen(\"https://api.github.com/zen\").read())"'
isnt_zen 'python3 is denied'
run inside demo 'bash -c "exec -a /usr/bin/curl wget -q -O- https://api.github.com/zen"'
isnt_zen 'a wget that calls itself /usr/bin/curl is denied'
run openshell logs demo --since 5m
like "$out" 'action=deny dst_host=api\.github\.com dst_port=443 binary=/usr/bin/wget ' 'the log names wget'
like "$out" 'action=deny dst_host=api\.github\.com dst_port=443 binary=/tmp/curl ' 'and the copy by its path'
like "$out" 'action=deny dst_host=api\.github\.com dst_port=443 binary=/usr/bin/python3' 'and python'

# The rest of what one does with a sandbox that is up.
run openshell sandbox get demo -o json
is "$(jq -r .name <<<"$out")" demo 'sandbox get'
run openshell policy get demo
like "$out" 'api\.github\.com' 'policy get'
run openshell sandbox exec -n demo -- sh -c 'echo out; echo err >&2; exit 7'
is "$status:$out:$err" '7:out:err' 'exec keeps the streams and the status'
run openshell gateway start
is "$status" 0 'gateway start has nothing to start, and succeeds'
run openshell doctor
is "$status" 0 'doctor finds nothing missing here'

# 8. Delete: nothing stays but the log.
run openshell sandbox delete demo
is "$status" 0 'delete'
is "$(leftovers)" '' 'no process is left'
is "$(cat /proc/self/mountinfo)" "$before" 'no mount is left'
is "$(find "$T/run" -mindepth 1 ! -type d)" '' 'no socket or file is left in the runtime directory'
not_ok 'the state directory is gone' test -e "$T/state/openshell/sandboxes/demo"
run grep -c "$T" /proc/net/unix
is "$out" 0 'no socket is bound to a path of it'
run openshell logs demo --since 5m
like "$out" 'l7_decision=deny' 'the log stays readable'
run openshell sandbox list
like "$out" '^No sandboxes found\.' 'the list is empty'

done_testing
