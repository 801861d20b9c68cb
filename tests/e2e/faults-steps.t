#!/bin/bash
# kill -9 at every step. strace writes down the system calls that one of our processes makes on its way; each
# is a step, and in a further run that process is killed there. After each: nothing runs, is mounted or lies
# around beyond what the next command clears away; what is on disk is the old or the new, never half; nobody
# got out. A few steps of each way, evenly spread; FAULTS_ALL=1: all of them (twenty minutes); FAULTS_SERIES: the
# ways whose name matches.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
command -v strace >/dev/null || skip_all 'strace is not installed'
[ "$(id -u)" = 0 ] || skip_all 'only root may count the steps of a supervisor, which is not dumpable'
steps_wanted=${FAULTS_STEPS:-3}
[ -z "${FAULTS_ALL:-}" ] || steps_wanted=100000
start_origin
cd "$T/work" || exit 1
policy_for /usr/bin/curl >old.yaml
sed 's/zen/octocat/; s/^version: 1/version: 1 # new/' old.yaml >new.yaml
printf '  added:\n    endpoints: [ { host: added.test, port: 443 } ]\n    binaries: [ { path: /usr/bin/curl } ]\n' >>new.yaml

# traced COMM: that program, when it is started next, is killed at the step.
mkdir "$T/libexec"
cp "$T_BIN"/openshell-* "$T/libexec/"
cp -r "$T_BIN/profiles" "$T/libexec/" 2>/dev/null
traced() {
	rm -f "$T/libexec/$1" "$T/tmp/trace"
	cat >"$T/libexec/$1" <<-EOS
		#!/bin/sh
		exec strace -D -q -o '$T/tmp/trace' $inject '$T_BIN/$1' "\$@"
	EOS
	chmod 0755 "$T/libexec/$1"
}
untraced() {
	rm -f "$T/libexec/$1"
	cp "$T_BIN/$1" "$T/libexec/$1"
}
was_killed() { wait_line "$T/tmp/trace" '[+]{3} |<detached' 2 | grep -q 'killed by SIGKILL'; }
chown -R "$T_UID" "$T/libexec"
# killing COMMAND...: runs it as the user, up to the step.
killing() {
	rm -f "$T/tmp/trace"
	# shellcheck disable=SC2086 # no word or two
	run user strace -q -o "$T/tmp/trace" $inject "$@"
}

# What has to be true after every step. Complaints are collected: one line of TAP for each series.
bad='' tracing='' step='' inject=''
complain() { bad="$bad"$'\n'"step $step: $*"; }
settle() {
	local left deadline=$((SECONDS + 5 * T_SLOW))

	left=$(leftovers)
	while [ -n "$left" ] && [ "$SECONDS" -lt "$deadline" ]; do
		wait_gone "${left%% *}" 1
		left=$(leftovers)
	done
}
clean_after() {
	run openshell sandbox list
	[ "$status" = 0 ] || complain "list: $err"
	run openshell sandbox delete --all
	[ "$status" = 0 ] || complain "delete: $err"
	settle
	[ -z "$(leftovers)" ] || complain "left: $(leftovers)"
	[ -z "$(find "$T/run" -mindepth 2 ! -type d ! -name '*.lock' 2>/dev/null)" ] || complain "files: $(find "$T/run" -mindepth 2 ! -type d)"
	[ -z "$(find "$T/state/openshell/sandboxes" -mindepth 1 -maxdepth 1 ! -name '.*' 2>/dev/null)" ] || complain "state: $(ls -A "$T/state/openshell/sandboxes")"
	! grep -q "$T" /proc/self/mountinfo || complain 'a mount is left'
}
# series NAME FUNCTION: FUNCTION goes the way once undisturbed, and then once for each step.
series() {
	local all=() killed=0 i n

	[[ $1 =~ ${FAULTS_SERIES:-} ]] || return 0
	bad='' step=none inject=
	"$2"
	mapfile -t all < <(sed -n 's/^\([a-z_0-9]*\)(.*/\1/p' "$T/tmp/trace" | awk '{ print $1 ":" ++n[$1] }')
	n=${#all[@]}
	for ((i = 0; i < n; i += n > steps_wanted ? n / steps_wanted : 1)); do
		step=${all[i]}
		inject="-e inject=${step%:*}:signal=KILL:when=${step#*:}"
		"$2" && killed=$((killed + 1))
	done
	ok "$1: killed at $killed of $n steps" test "$killed" -gt 0
	is "$bad" '' "$1: after each everything is in order"
}

# A command that gets out when it may: it did not when the server heard nothing.
create_launcher() {
	killing openshell sandbox create --no-auto-providers --name c --policy old.yaml -- true
	was_killed || return 1
	clean_after
}
create_tracer() {
	traced openshell-tracer
	T_ENV+=("OPENSHELL_LIBEXEC=$T/libexec")
	run openshell sandbox create --no-auto-providers --name c --policy old.yaml -- true
	local said=$err
	unset 'T_ENV[-1]'
	was_killed || { clean_after; return 1; }
	[ "$status" = 0 ] || grep -q '^openshell: ' <<<"$said" || complain "create said: $said"
	clean_after
}
series 'create, the launcher' create_launcher
series 'create, the supervisor' create_tracer
untraced openshell-tracer

# In a sandbox that is up: a process is watched from now on, then something is asked of it.
attach() { # COMM
	local pid

	pid=$(descendant "$1") || { complain "$1 does not run"; return 1; }
	rm -f "$T/tmp/trace"
	: >"$T/tmp/strace.err"
	# shellcheck disable=SC2086 # no word or two
	strace -o "$T/tmp/trace" $inject -p "$pid" 2>"$T/tmp/strace.err" &
	tracing=$!
	wait_line "$T/tmp/strace.err" attached 5 >/dev/null || complain "strace: $(cat "$T/tmp/strace.err")"
}
detach() {
	[ -n "$tracing" ] && kill -INT "$tracing" 2>/dev/null
	wait "$tracing" 2>/dev/null
}
up() {
	run openshell sandbox create --no-auto-providers --name s --policy old.yaml --keep -- curl -s -m 10 -o /dev/null https://api.github.com/zen
	[ "$status" = 0 ] || complain "create: $err"
}
# After a policy change that was cut short, the newest revision is one of the two, whole.
old_or_new() {
	run openshell sandbox stop s
	run openshell sandbox start s
	[ "$status" = 0 ] || complain "start: $err"
	run openshell policy get s --base
	case $status:$out in
	0:*added.test* | 0:*api.github.com*) ;;
	*) complain "policy: $status $out $err" ;;
	esac
	run openshell sandbox exec -n s -- curl -s -m 10 -o /dev/null -w '%{http_code}' https://evil.test/
	[ "$out" != 200 ] || complain 'it got out'
	run openshell policy list s
	[ "$status" = 0 ] || complain "revisions: $err"
}
set_of() { # COMM
	up
	attach "$1"
	T_TIMEOUT=15 run openshell policy set s --policy new.yaml --wait --timeout 5
	detach
	was_killed || { clean_after; return 1; }
	[ "$status" = 0 ] || grep -q '^openshell: ' <<<"$err" || complain "policy set said: $status $err"
	old_or_new
	clean_after
}
set_tracer() { set_of openshell-trace; }
set_proxy() { set_of openshell-proxy; }
set_launcher() {
	up
	killing openshell policy set s --policy new.yaml --wait
	was_killed || { clean_after; return 1; }
	old_or_new
	clean_after
}
connect_of() { # COMM
	local heard

	up
	attach "$1"
	T_TIMEOUT=15 run openshell sandbox exec -n s -- curl -s -m 5 -o /dev/null -w '%{http_code}' --noproxy '*' https://api.github.com/zen
	detach
	was_killed || { clean_after; return 1; }
	heard=$(grep -c '^request' "$origin_log")
	run openshell sandbox exec -n s -- curl -s -m 3 -o /dev/null -w '%{http_code}' https://api.github.com/zen
	[ "$out" != 200 ] || complain 'it got out without its fence'
	[ "$(grep -c '^request' "$origin_log")" = "$heard" ] || complain 'the server heard more'
	clean_after
}
connect_tracer() { connect_of openshell-trace; }
connect_proxy() { connect_of openshell-proxy; }
delete_tracer() {
	up
	attach openshell-trace
	T_TIMEOUT=20 run openshell sandbox delete s
	detach
	was_killed || { clean_after; return 1; }
	clean_after
}
delete_launcher() {
	up
	killing openshell sandbox delete s
	was_killed || { clean_after; return 1; }
	clean_after
}
series 'policy set, the launcher' set_launcher
series 'policy set, the supervisor' set_tracer
series 'policy set, the proxy' set_proxy
series 'connect, the supervisor' connect_tracer
series 'connect, the proxy' connect_proxy
series 'delete, the launcher' delete_launcher
series 'delete, the supervisor' delete_tracer

# Log rotation: what log_flush() said is written is there, whatever came then.
rotation() {
	local n last

	rm -rf "$T/work/log"
	mkdir "$T/work/log"
	chown "$T_UID" "$T/work/log"
	killing "$T_SUPPORT/logsteps" "$T/work/log" 9
	was_killed || return 1
	n=$out
	run user "$T_SUPPORT/logsteps" "$T/work/log" 1
	[ "$status" = 0 ] || complain "the log cannot be continued: $err"
	for last in $n; do
		grep -q "\"p\":${last}," "$T/work/log/"* || complain "event $last is lost"
	done
	[ "$(cat "$T/work/log/"* | jq -c . 2>/dev/null | wc -l)" -ge "$(wc -w <<<"$n")" ] || complain 'lines cannot be read'
}
series 'log rotation' rotation

run openshell sandbox create --no-auto-providers -- echo up
is "$out" up 'after all that a sandbox starts'
is "$(leftovers)" '' 'nothing is left'
done_testing
