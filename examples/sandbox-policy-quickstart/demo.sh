#!/bin/bash
# demo.sh - the sandbox policy quickstart, without anybody at the keyboard.
#
# usage: demo.sh [NAME]
#
# Creates a sandbox, watches a request being blocked by default, applies policy.yaml while the
# sandbox runs, and shows that reads work and writes do not. Needs `openshell` and `curl`; leaves
# nothing but the sandbox's log. Fails if any step does not end as it should.
set -euo pipefail

name=${1:-quickstart-$$}
here=$(cd "$(dirname "$0")" && pwd)
url=https://api.github.com

bold='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
	bold=$(printf '\033[1m') plain=$(printf '\033[0m')
fi

# A command of the walkthrough is printed as one would type it, then run.
step() {
	printf '\n%s\n' "$bold$*$plain"
}

try() {
	printf '$ %s\n' "$*"
	"$@"
}

# Commands for the shell inside, which echoes nothing when it reads them from a pipe.
inside() {
	printf 'sandbox@%s:~$ %s\n' "$name" "$*"
	printf '%s\n' "$*" | openshell sandbox connect "$name"
	echo
}

want() {
	if ! grep -q -- "$1" <<<"$2"; then
		printf 'demo: wanted "%s", got:\n%s\n' "$1" "$2" >&2
		exit 1
	fi
}

quietly_delete() {
	openshell sandbox delete "$name" >/dev/null 2>&1 || true
}
trap quietly_delete EXIT

step '1. Create a sandbox'
try openshell sandbox create --name "$name" --keep --no-auto-providers -- true

step '2. Try to reach the GitHub API: blocked'
out=$(inside "curl -s $url/zen" 2>&1) || true
echo "$out"
want 403 "$out"

step '3. Check the deny log'
out=$(try openshell logs "$name" --since 5m)
echo "$out"
want 'deny_reason="no matching network policy"' "$out"

step '4. Apply the read-only GitHub API policy'
try openshell policy set "$name" --policy "$here/policy.yaml" --wait

step '5. GET works'
inside "curl -s $url/zen"
out=$(inside "curl -s $url/octocat")
echo "$out"
want MMMM "$out"

step '6. Try a write: blocked by L7'
out=$(inside "curl -s -X POST $url/repos/octocat/hello-world/issues -H 'Content-Type: application/json' -d '{\"title\":\"oops\"}'")
echo "$out"
want '"error":"policy_denied","policy":"github-api-readonly"' "$out"

step '7. Check the L7 deny log'
out=$(try openshell logs "$name" --level warn --since 5m)
echo "$out"
want l7_decision=deny "$out"

step '8. Clean up'
trap - EXIT
try openshell sandbox delete "$name"
