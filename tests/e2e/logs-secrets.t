#!/bin/bash
# What was asked for is in the log; queries, credentials and bodies are not, whichever way they went
# and whatever became of them, nor in what is made from the log. What is watched only is held to the
# rest of the rules.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
start_origin
canary=CANARY8d1f
url=https://api.github.com
cat >"$T/work/policy.yaml" <<EOS
version: 1
network_policies:
  api:
    endpoints:
      - { host: api.github.com, port: 443, protocol: rest, enforcement: enforce, rules: [ { allow: { method: GET, path: /zen } } ] }
    binaries:
      - { path: "$(readlink -f /usr/bin/curl)" }
EOS
chmod 0644 "$T/work/policy.yaml"

# ask SANDBOX: secrets wherever a request has room for them, on every way out.
ask() {
	local way

	for way in '' "--noproxy *"; do
		# shellcheck disable=SC2086 # the star is curl's
		openshell sandbox exec -n "$1" -- sh -fc '
			c="curl -sS -m 5 -o /dev/null '"$way"'" s='"$canary"' u='"$url"'
			$c "$u/zen?token=$s#$s"
			$c "$u/other?token=$s"
			$c -H "Authorization: Bearer $s" -b "session=$s" -A "$s" -e "$u/$s" "$u/zen"
			$c -u "$s:$s" "$u/zen"
			$c "https://$s:$s@api.github.com/other"
			$c -d "password=$s" "$u/zen?$s=1"
			$c -H "Content-Length: 1" -H "Content-Length: $s" "$u/zen?$s"
			$c -H "Upgrade: $s" -H "Connection: upgrade" "$u/zen?$s"
			$c -X "GET" "$u/a%zz?$s"
			$c "http://elsewhere.test/x?$s"
			$c -u "$s:$s" -d "$s" "http://api.github.com:443/zen?$s"
			$c -x "http://$s:$s@10.200.0.1:3128" "$u/zen?$s"
			true' >/dev/null 2>&1
	done
}

# everything SANDBOX: the log as it lies there, and all that is made from it.
everything() {
	cat "$T/state/openshell/sandboxes/$1"/log/*.log
	for form in text shorthand json; do openshell logs "$1" -n 0 --format "$form"; done
	openshell logs "$1" -n 0 -o yaml
	openshell rule get "$1"
	openshell rule get "$1" -o json
	openshell policy coverage "$1"
	openshell policy learn --from "$1" --include-denied
}

ok 'a sandbox that enforces' openshell sandbox create --name strict --detach --no-auto-providers --policy "$T/work/policy.yaml"
ask strict
log=$(openshell logs strict -n 0)
like "$log" 'l7_decision=allow .*l7_target=/zen ' 'control: what was allowed is in the log'
like "$log" 'l7_decision=deny .*l7_target=/other ' 'control: what was refused is, too'
like "$log" 'elsewhere\.test' 'control: and another host'
is "$(everything strict 2>&1 | grep -c "$canary")" 0 'no query, credential or body is, in any form'
[ "$(everything strict 2>&1 | grep -c "$canary")" = 0 ] || diag "$(everything strict 2>&1 | grep "$canary" | head -5)"
run openshell sandbox exec -n strict -- curl -s -o /dev/null "$url/$canary"
like "$(everything strict 2>&1)" "/$canary" 'control: a path is, so the search can find'

# Watched only.
run openshell sandbox create --name watched --detach --no-auto-providers --audit --deny denied.test
like "$out$err" '[Aa]udit' 'audit is said at the start'
like "$out$err" 'internal|private|file' 'and what it does not lift'
ask watched
log=$(openshell logs watched -n 0)
like "$log" 'l7_decision=audit .*l7_action=POST l7_target=/zen ' 'what would have been refused is recorded'
like "$log" 'action=audit .*binary=/usr/bin/curl .*ancestors=' 'with the program and those above it'
is "$(everything watched 2>&1 | grep -c "$canary")" 0 'and still without queries, credentials and bodies'
[ "$(everything watched 2>&1 | grep -c "$canary")" = 0 ] || diag "$(everything watched 2>&1 | grep "$canary" | head -5)"
run openshell sandbox exec -n watched -- curl -sS -m $((5 * T_SLOW)) http://169.254.169.254/latest
like "$(openshell logs watched -n 0)" 'action=deny dst_host=169\.254\.169\.254' 'a metadata service stays refused'
run openshell sandbox exec -n watched -- curl -sS -m $((5 * T_SLOW)) https://denied.test/
like "$(openshell logs watched -n 0)" 'action=deny dst_host=denied\.test' 'and so does what was denied by name'
run openshell sandbox exec -n watched -- sh -c 'echo x >/etc/canary'
unlike "$status" '^0$' 'and the file system'
openshell sandbox delete strict >/dev/null 2>&1
openshell sandbox delete watched >/dev/null 2>&1
is "$(leftovers)" '' 'nothing is left'
done_testing
