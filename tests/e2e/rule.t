#!/bin/bash
# From a denial to a rule: rule get, approve, reject, approve-all.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
start_origin
ok 'a sandbox that may do nothing' sandbox rules
in_it() { openshell sandbox exec -n rules -- "$@"; }

run in_it curl -sS --noproxy '*' https://api.github.com/zen
like "$out" policy_denied 'a request is refused'
run in_it curl -sS --noproxy '*' https://telemetry.test/v1
run openshell rule get rules
is "$status" 0 'the denials are listed'
like "$out" '/usr/bin/curl wants api\.github\.com:443' 'with who wanted what'
like "$out" 'host: api\.github\.com' 'and the rule that would allow it'
like "$out" '^    approved, the policy would allow:' 'and what the policy would allow with it'
like "$out" '^      /usr/bin/curl may .*api\.github\.com:443' 'in words'
run openshell rule get rules -o json
like "$(jq -r '.[] | select(.host == "api.github.com") | .gained[]' <<<"$out")" '^/usr/bin/curl may .*api\.github\.com:443' 'in JSON, too'
id=$(jq -r '.[] | select(.host == "api.github.com") | .id' <<<"$out")
other=$(jq -r '.[] | select(.host == "telemetry.test") | .id' <<<"$out")
like "$id" '^[0-9a-f]{12}$' 'JSON names it'

run openshell rule approve rules "$id"
is "$status" 0 'it is approved'
like "$err" '^openshell: the policy now allows:' 'and what that allows is said'
like "$err" '^  /usr/bin/curl may .*api\.github\.com:443' 'in words'
run in_it curl -sS https://api.github.com/zen
like "$out" 'Anything added' 'the same request passes at once'
run in_it wget -qO- https://api.github.com/zen
unlike "$status" '^0$' 'another program is still refused'
run openshell rule get rules
unlike "$out" "$id" 'what is allowed is no longer proposed'

run openshell rule reject rules "$other" --reason telemetry
is "$status" 0 'another one is rejected'
run openshell rule get rules
unlike "$out" telemetry 'and not listed again'
run openshell rule get rules --status rejected
like "$out" 'telemetry\.test' 'but when asked for'
run openshell rule approve rules 000000000000
is "$status" 1 'an unknown one is an error'
like "$err" "no proposal '000000000000'" 'that says so'
run openshell rule approve rules
is "$status" 2 'none at all is wrong usage'

run in_it curl -sS --noproxy '*' http://10.1.2.3:5432/
run openshell rule approve-all rules
like "$err" 'security note' 'approve-all leaves out what has a security note'
run openshell policy get rules
unlike "$out" '10\.1\.2\.3' 'so that it is not allowed'
# Which rules earn their place: policy coverage.
run openshell policy update rules --add-endpoint never.test:443 --binary /usr/bin/curl --wait
run openshell policy coverage rules
like "$out" ' [1-9][0-9]* .*api\.github\.com:443' 'what was used is counted'
like "$out" ' 0  never .*never\.test:443' 'what never was is said so'
run openshell policy coverage rules --unused -o json
is "$(jq -r '.[].what' <<<"$out")" 'never.test:443' 'and listed alone on demand'

run openshell sandbox delete rules
is "$(leftovers)" '' 'nothing is left'
done_testing
