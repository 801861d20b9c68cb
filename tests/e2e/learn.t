#!/bin/bash
# From evidence to policy: a run in audit mode gives a policy that allows just that run, which is
# then extended step by step, compared, and read back in every form of the log.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
start_origin
url=https://api.github.com
cd "$T/work" || exit 1

# One run, one policy.
run openshell policy learn -o "$T/work/learned.yaml" -- sh -c "curl -s $url/zen; curl -s --noproxy '*' $url/octocat"
is "$status" 0 'learn'
like "$out" 'Anything added dilutes everything else\.' 'the command ran, and was let through'
learned=$(cat "$T/work/learned.yaml")
like "$learned" '^      - host: api\.github\.com' 'the policy names the host'
like "$learned" '^              path: /zen' 'and what was asked for'
like "$learned" '^          # 1 request by curl, first ' 'and how often'
run openshell policy check "$T/work/learned.yaml"
is "$status" 0 'the policy is valid'

# Enforced, it allows the same and nothing more.
ok 'a sandbox with the learned policy' openshell sandbox create --name learned --detach --policy "$T/work/learned.yaml"
run openshell sandbox exec -n learned -- curl -s "$url/zen"
like "$out" 'Anything added dilutes everything else\.' 'the same request succeeds'
run openshell sandbox exec -n learned -- curl -s "$url/other"
like "$out" '"detail":"GET /other not permitted by policy"' 'one more path does not'
run openshell sandbox exec -n learned -- curl -s -X POST "$url/zen"
like "$out" '"detail":"POST /zen not permitted by policy"' 'one more method does not'
run openshell sandbox exec -n learned -- curl -s https://example.com/
is "$status" 56 'one more host does not'

# Extended by steps; two at once lose nothing.
openshell policy update learned --add-allow api.github.com:443:GET:/one >/dev/null 2>&1 &
first=$!
run openshell policy update learned --add-allow api.github.com:443:GET:/two --wait
is "$status" 0 'update'
wait "$first"
run openshell policy get learned
like "$out" 'path: /one' 'an update at the same time is not lost'
like "$out" 'path: /two' 'nor is the other'
run openshell sandbox exec -n learned -- curl -s -o /dev/null -w '%{http_code}' "$url/two"
unlike "$out" 403 'what was added is allowed at once'
run openshell policy update learned --add-endpoint example.com:443
is "$status" 2 'an endpoint for nobody is refused'
like "$err" '^hint: .*--binary' 'with the line to write'
run openshell policy diff learned@1 learned
like "$out" 'curl may GET /one at api\.github\.com:443' 'diff says what became possible'
unlike "$out" 'GET /zen' 'and not what was possible before'

# The log in its three forms.
run openshell logs learned --level warn --since 5m
like "$out" 'WARN \[L7\] l7_decision=deny dst_host=api\.github\.com l7_action=POST l7_target=/zen l7_deny_reason="POST /zen not permitted by policy" policy=' 'text'
run openshell logs learned --format shorthand
like "$out" '^\[[0-9]+\.[0-9]{3}\] \[sandbox\] \[OCSF \] \[ocsf\] HTTP:POST \[MED\] DENIED /usr/bin/curl\([0-9]+\) -> POST ' 'shorthand'
run openshell logs learned --format json -n 0
ok 'every line is an OCSF event' python3 -c '
import json, sys
for line in sys.stdin:
    e = json.loads(line)
    assert e["metadata"]["version"] == "1.8.0" and e["type_uid"] == e["class_uid"] * 100 + e["activity_id"], line
' <<<"$out"

# From the log of a sandbox that is gone, too; refusals only when asked for.
ok 'delete' openshell sandbox delete learned
run openshell policy learn --from learned
is "$status" 0 'learn from a log'
like "$out" 'path: /zen' 'what was allowed is in it'
unlike "$out" 'path: /other' 'what was refused is not'
like "$err" 'refusals are not allowed by this policy; --include-denied adds them' 'and that is said'
run openshell policy learn --from learned --include-denied
like "$out" 'path: /other' 'unless it is asked for'

done_testing
