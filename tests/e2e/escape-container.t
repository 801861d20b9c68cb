#!/bin/bash
# A container without privileges, and without user namespaces in it (threats.md 54): there can be no sandbox, so there
# is none: nothing runs, and the reason and its remedy are told, by create and by doctor. Not even what only looks on
# starts, for nothing would stand between it and the host.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
cp "$T_SUPPORT/attack" "$T/work/attack" && chmod 0755 "$T/work/attack"

# As Docker and Podman start one by default: a filter answers for every call that makes namespaces.
filtered() { user "$T/work/attack" under-container "$@"; }
# As an administrator has it who trusts no user namespace; and where a chroot(2) makes the kernel refuse.
limited() { user bwrap --unshare-user --disable-userns --dev-bind / / --proc /proc -- "$@"; }

# refuses WHERE REMEDY COMMAND...
refuses() {
	local where=$1 remedy=$2

	shift 2
	run "$@" "$T_BIN/openshell" sandbox create --no-auto-providers -- sh -c "echo up; touch $T/work/ran"
	is "$status:$out" 125: "$where: nothing runs"
	one_line_error 'namespace' "$where: the reason is told"
	like "$err" "^hint: .*$remedy" "$where: and the remedy"
	run "$@" "$T_BIN/openshell" sandbox create --name kept --keep --no-auto-providers -- touch "$T/work/ran"
	is "$status" 125 "$where: nor is anything kept"
	for how in seccomp ptrace preload; do
		run "$@" "$T_BIN/openshell" sandbox create --audit --intercept "$how" --no-auto-providers -- touch "$T/work/ran"
		is "$status" 125 "$where: nor does --audit --intercept $how run anything"
	done
	not_ok "$where: no command has run" test -e "$T/work/ran"
	run "$@" "$T_BIN/openshell" doctor
	is "$status" 1 "$where: doctor: sandboxes cannot start"
	like "$out" 'user_namespaces +this account cannot create user namespaces' "$where: doctor: the reason"
	like "$out" "mend: .*$remedy" "$where: doctor: the remedy"
	run openshell sandbox list
	like "$out" 'No sandboxes' "$where: nothing is left"
}

run openshell sandbox create --no-auto-providers -- echo up
is "$out" up 'control: outside of it a sandbox starts'
run filtered echo up
is "$out" up 'control: in it a command runs'
run filtered unshare --user true
like "$err" 'Operation not permitted' 'control: but makes no user namespace'
refuses 'filter' 'security-opt seccomp=unconfined|CONFIG_USER_NS' filtered

run limited unshare --user true
like "$err" 'No space left on device' 'control: none where the limit is reached'
refuses 'limit' 'sysctl -w user.max_user_namespaces' limited

# The tests themselves, in there: not one passes for having run nothing.
run env CI=1 "$T/work/attack" under-container "$T_TOP/tests/e2e/quickstart.t"
is "$status" 1 'the tests fail there'
like "$out" '^Bail out! no unprivileged sandbox here: .*[Nn]amespace' 'and say why'
run env -u CI "$T/work/attack" under-container "$T_TOP/tests/e2e/quickstart.t"
like "$out" '^1\.\.0 # SKIP no unprivileged sandbox here: .*[Nn]amespace' 'or say why they do not run'
is "$(leftovers)" '' 'no process is left'
done_testing
