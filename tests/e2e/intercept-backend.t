#!/bin/bash
# The interception backend: what was asked for by name is used, or nothing is started; what was not
# asked for is the first that this host really offers.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
create() { run openshell sandbox create --no-auto-providers "$@"; }

while read -r asked used; do
	create --name backend --keep --intercept "$asked" -- echo up
	is "$out" up "--intercept $asked"
	is "$(backend_of backend)" "$used" "is $used"
	run openshell logs backend --since 5m
	like "$(head -1 <<<"$out")" "sandbox started: intercept=$used " 'and the first line of the log says so'
	run openshell sandbox delete backend
done <<'EOS'
auto seccomp
seccomp seccomp
ptrace ptrace
EOS
create --intercept preload -- echo up
unlike "$out" up '--intercept preload does not start with another backend instead'
is "$status" 125 'and says so by its status'
one_line_error '--intercept preload: ' 'in one line, with the flag named'

# Where a seccomp listener exists already, as on WSL2 and in some containers.
cp "$T_SUPPORT/attack" "$T/tmp/attack" && chmod 0755 "$T/tmp/attack"
under() { run user "$T/tmp/attack" "under-$1" "$T_BIN/openshell" "${@:2}"; }
start_origin
policy_for /usr/bin/curl >"$T/work/policy.yaml"
under listener sandbox create --intercept seccomp --no-auto-providers -- echo up
is "$status" 125 'beside another listener: --intercept seccomp starts nothing'
one_line_error 'seccomp' 'says so'
like "$err" '^hint: .*--intercept ptrace' 'and what to do'
under listener sandbox create --name beside --keep --policy "$T/work/policy.yaml" --no-auto-providers -- \
	/usr/bin/curl -sS --noproxy '*' https://api.github.com/zen
like "$out" 'Anything added' 'without a flag what is allowed works'
is "$(backend_of beside)" ptrace 'with ptrace'
run inside beside "curl -sS --noproxy '*' -X POST https://api.github.com/repos/octocat/hello-world/issues"
like "$out" policy_denied 'what is not allowed does not'
run openshell logs beside --since 5m
like "$out" 'WARN \[LIFECYCLE\] .*intercepting with ptrace.*: Device or resource busy' 'and the log says why'
run openshell sandbox delete beside
under listener doctor
is "$status" 0 'doctor: sandboxes can start'
like "$out" 'interception +ptrace: ' 'with ptrace'
like "$out" 'seccomp +another seccomp listener' 'and why'

# And where it wants the very calls that we want: then nobody intercepts.
under rival sandbox create --no-auto-providers -- echo up
is "$status:$out" 125: 'beside a rival nothing starts'
one_line_error 'listener around this sandbox' 'and it says why'
under rival doctor
is "$status" 1 'doctor: sandboxes cannot start'
like "$out" 'interception +neither' 'for nothing works'
like "$out" 'nothing can be enforced here.* --intercept preload is cooperative' 'but what cooperates'
under rival sandbox create --audit --intercept preload --no-auto-providers -- echo up
is "$out" up 'which does start there, to look on'
under rival sandbox create --intercept preload --no-auto-providers -- echo up
is "$status:$out" 125: 'and not to enforce'
is "$(leftovers)" '' 'nothing is left'
done_testing
