#!/bin/bash
# Agents read denials and propose rules through http://policy.local; people outside decide.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
start_origin
ok 'a sandbox that may do nothing' sandbox adv
in_it() { openshell sandbox exec -n adv -- "$@"; }
local_get() { in_it curl -sS --max-time 20 --noproxy '*' "http://policy.local$1"; }
local_post() { in_it curl -sS --max-time 20 --noproxy '*' -H 'Content-Type: application/json' -d "$1" http://policy.local/v1/proposals; }

run local_get /v1/policy/current
is "$(jq -r .error <<<"$out")" feature_disabled 'without the setting nothing is served'
run in_it curl -sS --noproxy '*' https://api.github.com/zen
unlike "$out" agent_guidance 'and a denial does not speak of it'

run openshell settings set adv --key agent_policy_proposals_enabled --value maybe
is "$status" 1 'a setting that is neither true nor false is refused'
run openshell settings set adv --key nonsense --value true
like "$err" 'Allowed keys: agent_policy_proposals_enabled' 'an unknown one is, with those that exist'
run openshell settings set adv --key proposal_approval_mode --value auto
is "$status" 1 'nobody but a person may approve'
ok 'it is switched on while the sandbox runs' openshell settings set adv --key agent_policy_proposals_enabled --value on
run openshell settings get adv --json
is "$(jq -r '.agent_policy_proposals_enabled|"\(.value) \(.scope)"' <<<"$out")" 'true sandbox' 'and shown'

run local_get /v1/policy/current
is "$(jq -r .format <<<"$out")" yaml 'the policy is served without proxy settings'
like "$(jq -r .policy_yaml <<<"$out")" '^version: 1' 'as YAML'
run in_it curl -sS http://policy.local/v1/policy/current
is "$(jq -r .format <<<"$out")" yaml 'and with them'
run in_it curl -sS --noproxy '*' -o /dev/null -w '%{http_code}' https://policy.local/v1/policy/current
unlike "$out" '^200' 'but not over TLS'
run in_it curl -sS --noproxy '*' https://api.github.com/zen?secret=s3cr3t
is "$(jq -r '.next_steps|map(.action)|join(" ")' <<<"$out")" \
	'read_skill inspect_policy inspect_recent_denials submit_proposal' 'a denial says what can be done'
like "$out" 'agent_guidance' 'in words too'
run local_get '/v1/denials?last=1'
is "$(jq '.denials|length' <<<"$out")" 1 'as many denials as were asked for'
like "$(jq -r '.denials[0]' <<<"$out")" 'DENIED /usr/bin/curl.*api\.github\.com' 'the newest first'
unlike "$out" 's3cr3t' 'without queries'
run local_get /v1/nonsense
is "$(jq -r .error <<<"$out")" not_found 'unknown routes are said to be'
run in_it curl -sS --noproxy '*' -X DELETE http://policy.local/v1/policy/current
is "$(jq -r .error <<<"$out")" not_found 'and what would change something does not exist'

rule() { # NAME HOST METHOD PATH [MORE]
	printf '{"intent_summary":"read \\u001b[31mzen","operations":[{"addRule":{"ruleName":"%s","rule":{"endpoints":[{"host":"%s","port":443,"protocol":"rest","enforcement":"enforce","rules":[{"allow":{"method":"%s","path":"%s"}}]%s}],"binaries":[{"path":"/usr/bin/curl"}]}}}]}' "$1" "$2" "$3" "$4" "${5:-}"
}
run local_post '{"operations":[]}'
is "$(jq -r .error <<<"$out")" invalid_proposal 'an empty proposal is refused'
run local_post '{"operations":[{"removeRule":{"ruleName":"x"}}]}'
like "$out" 'addRule is the only operation' 'nothing but rules can be proposed'
run local_post "$(rule x api.github.com GET /zen ',"nonsense":1')"
like "$out" "unknown field 'nonsense'" 'the loader of policies says what is wrong'
run local_post "$(rule x metadata.google.internal GET /)"
like "$out" 'can be allowed by no policy' 'a metadata service cannot be asked for'
run local_post "$(rule x api.github.com GET /zen ',"filesystemPolicy":{}')"
like "$out" invalid_proposal 'nor can what is no rule'
run in_it bash -c 'head -c 70000 /dev/zero | tr "\0" " " | curl -sS --noproxy "*" --data-binary @- http://policy.local/v1/proposals'
is "$(jq -r .error <<<"$out")" invalid_proposal 'nor what is too long'

run local_post "$(rule zen api.github.com GET /zen)"
is "$(jq -r .status <<<"$out")" submitted 'a rule is proposed'
id=$(jq -r '.accepted_chunk_ids[0]' <<<"$out")
run local_post "$(rule zen api.github.com GET /zen)"
is "$(jq -r '.accepted_chunk_ids[0]' <<<"$out")" "$id" 'the same again is the same'
run local_get "/v1/proposals/$id"
is "$(jq -r '"\(.status) \(.rule_name) \(.binary)"' <<<"$out")" 'pending zen /usr/bin/curl' 'its state can be asked for'
run local_get "/v1/proposals/$id/wait?timeout=1"
is "$(jq -r '"\(.status) \(.timed_out)"' <<<"$out")" 'pending true' 'waiting ends'
run local_get /v1/proposals/000000000000
is "$(jq -r .error <<<"$out")" chunk_not_found 'another id is unknown'
run in_it curl -sS --noproxy '*' https://api.github.com/zen
like "$out" policy_denied 'proposing changes nothing'

run openshell rule get adv
like "$out" "^$id  pending  proposed by an agent" 'people see it, and from whom it is'
like "$out" 'it says: "read .x1b\[31mzen"' 'its words are escaped'
unlike "$out" $'\x1b' 'all of them'
like "$out" '[|] +path: /zen' 'with the rule'
run openshell rule get adv -o json
is "$(jq -r --arg id "$id" '.[]|select(.id==$id)|.source' <<<"$out")" agent 'JSON says so too'

# Someone waits inside while it is approved outside.
in_it curl -sS --noproxy '*' "http://policy.local/v1/proposals/$id/wait?timeout=60" >"$T/tmp/waited" 2>&1 &
waiter=$!
wait_denials() { openshell logs adv -n 0 | grep -q "l7_target=/v1/proposals/$id/wait.*" ; }
until [ "$(openshell logs adv -n 0 | grep -c "/v1/proposals/$id/wait")" -ge 2 ]; do :; done
ok 'it is approved' openshell rule approve adv "$id"
wait "$waiter"
is "$(jq -r '"\(.status) \(.policy_reloaded)"' "$T/tmp/waited")" 'approved true' 'who waited hears of it'
run in_it curl -sS --noproxy '*' https://api.github.com/zen
like "$out" 'Anything added' 'and may do it now'
run in_it curl -sS --noproxy '*' https://api.github.com/octocat
like "$out" policy_denied 'but nothing else'
run openshell rule approve adv "$id"
is "$status" 1 'it cannot be approved twice'

run local_post "$(rule wide '*.example.com' '*' '/**')"
wide=$(jq -r '.accepted_chunk_ids[0]' <<<"$out")
# Sixty-four may wait; then who has waited longest hears how things are.
waits() { openshell logs adv -n 0 | grep -c "/v1/proposals/$wide/wait"; }
in_it curl -sS --noproxy '*' "http://policy.local/v1/proposals/$wide/wait?timeout=60" >"$T/tmp/first" 2>&1 &
first=$!
until [ "$(waits)" -ge 1 ]; do :; done
cat >"$T/work/waits.py" <<'PY'
import collections, http.client, json, sys, threading
heard = []
def wait():
    c = http.client.HTTPConnection("policy.local", timeout=100)
    c.request("GET", "/v1/proposals/%s/wait?timeout=60" % sys.argv[1])
    heard.append(json.loads(c.getresponse().read())["status"])
threads = [threading.Thread(target=wait) for _ in range(64)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(*sorted(collections.Counter(heard).items()))
PY
chmod 0644 "$T/work/waits.py"
in_it /usr/bin/python3 "$T/work/waits.py" "$wide" >"$T/tmp/others" 2>&1 &
others=$!
begun=$SECONDS
wait "$first"
is "$(jq -r .status "$T/tmp/first")" pending 'when sixty-four more wait, the first is told that nothing is decided'
at_most $((SECONDS - begun)) 30 'and not by its own time, in seconds'
run openshell rule get adv
like "$out" '! host wildcard' 'what is wide is flagged'
like "$out" '! every method' 'in each respect'
run openshell rule approve-all adv
unlike "$(openshell policy get adv)" 'example\.com' 'and not approved with the rest'
ok 'it is rejected' openshell rule reject adv "$wide" --reason 'name one host'
wait "$others"
is "$(cat "$T/tmp/others")" "('rejected', 64)" 'who waited, all sixty-four, hears of it'
run local_get "/v1/proposals/$wide/wait?timeout=60"
is "$(jq -r '"\(.status) \(.rejection_reason)"' <<<"$out")" 'rejected name one host' 'the agent gets the reason'
run openshell rule history adv
like "$out" 'approved +agent +zen' 'the history has what was approved'
like "$out" 'rejected +agent +wide: name one host' 'and rejected'

# A decision is about what was shown: denials that come later make another proposal of it.
in_it curl -sS --noproxy '*' https://api.github.com/octocat >/dev/null
shown=$(openshell rule get adv -o json | jq -r '.[]|select(.source=="denials" and .host=="api.github.com")|.id')
in_it curl -sS --noproxy '*' -X POST https://api.github.com/evil >/dev/null
run openshell rule approve adv "$shown"
is "$status" 1 'a rule that grew since it was shown is not approved'
like "$err" 'has changed' 'and the error says why'
unlike "$(openshell policy get adv)" '/evil' 'nothing of it is allowed'
shown=$(openshell rule get adv -o json | jq -r '.[]|select(.source=="denials" and .host=="api.github.com")|.id')
ok 'as it is shown now it can be' openshell rule approve adv "$shown"

run in_it bash -c 'for i in $(seq 40); do curl -sS --noproxy "*" -d "{\"operations\":[{\"addRule\":{\"ruleName\":\"r$i\",\"rule\":{\"endpoints\":[{\"host\":\"h$i.test\",\"port\":443}],\"binaries\":[{\"path\":\"/usr/bin/curl\"}]}}}]}" http://policy.local/v1/proposals; done'
like "$out" too_many_proposals 'a flood of proposals is refused'
ok 'all that wait are cleared' openshell rule clear adv
run openshell rule get adv
is "$out" '' 'and gone'

ok 'proposals outlive a stop' openshell sandbox stop adv
ok 'and a start' openshell sandbox start adv
run in_it cat /run/openshell/skills/policy_advisor.md
like "$out" 'policy\.local/v1/proposals' 'which brings the skill file'
run local_get "/v1/proposals/$wide"
is "$(jq -r .status <<<"$out")" rejected 'what was decided is remembered'
ok 'it is switched off' openshell settings delete adv --key agent_policy_proposals_enabled
run local_post "$(rule again api.github.com GET /zen)"
is "$(jq -r .error <<<"$out")" feature_disabled 'and off'
ok 'delete' openshell sandbox delete adv
is "$(leftovers)" '' 'nothing is left'
done_testing
