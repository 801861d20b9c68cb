#!/bin/bash
# policy learn --merge: what a log shows comes to stand beside what a policy has. Nothing that is
# allowed already is written again or narrowed, operations may stand beside requests at the same host
# and port, and where the two cannot stand together a line says why and nothing is written.
. "$(dirname "$0")/../support/tap.sh"

cd "$T/work" || exit 1

# seen NAME ENGINE METHOD PATH [OPERATION]: a log with one request, below a name of its own.
seen() {
	local dir=$T/state/openshell/sandboxes/$1/log

	as_user mkdir -p "$dir"
	printf '{"t":1775014132118,"c":1,"p":7,"l":1,"a":"L7","d":"audit","h":"api.example.com","o":443,"b":"/usr/bin/curl","g":"%s","v":"%s","x":"%s"%s}\n' \
		"$2" "$3" "$4" "${5:+,\"z\":\"$5\"}" | as_user tee -a "$dir/00000001-1775014132118.log" >/dev/null
}

# policy BINARY ENDPOINT: into policy.yaml.
policy() {
	cat >policy.yaml <<EOS
version: 1
network_policies:
  api:
    endpoints:
      - { host: api.example.com, port: 443$2 }
    binaries:
      - { path: $1 }
EOS
	chmod 0644 policy.yaml
}

# merged FROM WHAT: the result, in merged.yaml and $out, is a valid policy.
merged() {
	run openshell policy learn --from "$1" --merge policy.yaml
	is "$status" 0 "$2"
	printf '%s\n' "$out" >merged.yaml
	chmod 0644 merged.yaml
	ok 'and the policy is valid' openshell policy check merged.yaml
}

seen mcp l7-mcp POST /mcp 'tools/call search'
seen graphql l7-graphql POST /graphql 'query Viewer{viewer}'
seen rest l7 GET /one
seen both l7-mcp POST /mcp 'tools/call search'
seen both l7 GET /one

# Operations beside requests.
two=', protocol: rest, enforcement: enforce, rules: [ { allow: { method: GET, path: /two } } ]'
policy /usr/bin/curl "$two"
merged mcp 'MCP beside REST without a path'
like "$err" '^  /usr/bin/curl may tools/call with tool search at api\.example\.com:443 below /mcp' 'what it adds is shown'
unlike "$err" 'does no longer' 'and nothing is taken away'
like "$out" 'path: /two' 'what was there stays'
like "$out" '^        protocol: mcp' 'and the operation is beside it'
merged graphql 'GraphQL beside REST without a path'
like "$out" '^        protocol: graphql' 'has an endpoint of its own'
policy /usr/bin/node "$two"
merged mcp 'the same for another program'
like "$out" '^  example_com:' 'is a rule of its own'

# A request beside MCP; and what was learned once can be learned again.
policy /usr/bin/curl ', path: /mcp, protocol: mcp, enforcement: enforce, rules: [ { allow: { method: initialize } } ]'
merged rest 'REST beside MCP'
run openshell policy learn --from both -o both.yaml
cp both.yaml policy.yaml
merged both 'a learned policy with both is extended by the same log'
like "$err" 'allows all of it already' 'which adds nothing'

# Where the requests of the one are the other's there is a line, and no policy.
policy /usr/bin/curl ', protocol: rest, enforcement: enforce, access: read-write'
run openshell policy learn --from mcp --merge policy.yaml -o refused.yaml
is "$status" 1 'MCP where REST lets every path through is refused'
like "$err" "MCP was seen at api\.example\.com:443, and rule 'api' of the policy lets requests to the same path through" 'with the reason'
like "$err" 'give one of the two endpoints there a path' 'and what to do'
not_ok 'and nothing is written' test -e refused.yaml

# What is allowed already is neither written again nor narrowed.
policy /usr/bin/curl ''
merged both 'a policy that lets connections through uninspected'
like "$err" 'allows all of it already' 'allows all of it'
unlike "$err" 'does no longer' 'and still does'
unlike "$out" 'protocol:' 'uninspected'
policy /usr/bin/curl ', protocol: rest, enforcement: enforce, access: read-only'
merged rest 'a request that an access preset covers'
like "$out" 'access: read-only' 'leaves the preset as it is'

done_testing
