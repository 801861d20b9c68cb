# shellcheck shell=bash
# tap.sh - a test in shell: source this, call the functions, end with done_testing.
#
#	. "$(dirname "$0")/../support/tap.sh"
#	run openshell sandbox list
#	is "$status" 0 'list succeeds'
#	like "$out" 'No sandboxes' 'and says that there are none'
#	done_testing
#
# The test runs under subreap, so that every process it leads to, daemons included, stays its
# descendant: leftovers() can name them, and none outlives the test. Everything waits for an event
# or a deadline; nothing sleeps and hopes.

if [ -z "${T_UNDER_SUBREAP:-}" ]; then
	T_SUBREAP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/build/${VARIANT:-release}/support/subreap
	if ! [ -x "$T_SUBREAP" ]; then
		echo "Bail out! $T_SUBREAP is not built: run make support"
		exit 1
	fi
	T_UNDER_SUBREAP=1 exec "$T_SUBREAP" "$BASH" "$0" "$@"
fi

exec </dev/null
set -u
# shellcheck source=tests/support/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$T/work" || exit 1

t_count=0
t_failed=0
status=0 out='' err=''

diag() {
	printf '%s\n' "$*" | sed 's/^/# /' >&2
}

pass() {
	t_count=$((t_count + 1))
	printf 'ok %d - %s\n' "$t_count" "$1"
}

fail() {
	t_count=$((t_count + 1))
	t_failed=$((t_failed + 1))
	printf 'not ok %d - %s\n' "$t_count" "$1"
}

# ok DESCRIPTION COMMAND...: the command succeeds.
ok() {
	local what=$1

	shift
	if "$@" >/dev/null; then
		pass "$what"
	else
		fail "$what"
		diag "failed: $*"
	fi
}

# not_ok DESCRIPTION COMMAND...: the command fails.
not_ok() {
	local what=$1

	shift
	if "$@" >/dev/null; then
		fail "$what"
		diag "succeeded: $*"
	else
		pass "$what"
	fi
}

# is GOT WANT DESCRIPTION
is() {
	if [ "$1" = "$2" ]; then
		pass "$3"
	else
		fail "$3"
		diag "got:  $1"
		diag "want: $2"
		t_context
	fi
}

# like TEXT REGEX DESCRIPTION: some line of the text matches the extended regular expression.
like() {
	if grep -qE -e "$2" <<<"$1"; then
		pass "$3"
	else
		fail "$3"
		diag "no line matches: $2"
		diag "in: $(head -c 2000 <<<"$1")"
		t_context
	fi
}

unlike() {
	if grep -qE -e "$2" <<<"$1"; then
		fail "$3"
		diag "matches: $2"
		diag "in: $(grep -E -e "$2" <<<"$1" | head -5)"
	else
		pass "$3"
	fi
}

# at_most NUMBER LIMIT DESCRIPTION
at_most() {
	if [ "$1" -le "$2" ]; then
		pass "$3 ($1)"
	else
		fail "$3"
		diag "$1 is more than $2"
	fi
}

# The same for memory. With a sanitizer a process is measured together with its shadow, red zones and
# quarantine: the number says nothing of us.
at_most_memory() {
	case ${VARIANT:-} in
	asan | tsan) skip "$3" 'a sanitizer uses more memory than what is measured' ;;
	*) at_most "$@" ;;
	esac
}

# For tests in which memory runs out. A sanitizer's shadow alone is larger than what is left to a program then.
need_memory_limits() {
	case ${VARIANT:-} in
	asan | tsan) skip_all 'a sanitizer does not start with so little memory' ;;
	esac
}

skip() {
	t_count=$((t_count + 1))
	printf 'ok %d - %s # SKIP %s\n' "$t_count" "$1" "$2"
}

# The whole file, with the reason.
skip_all() {
	echo "1..0 # SKIP $*"
	exit 0
}

# Sandboxes need what bubblewrap needs: an unprivileged user namespace. A CI machine without it is
# wrong, and must say so.
need_sandbox() {
	local why

	why=$(user bwrap --unshare-all --ro-bind / / true 2>&1) && return
	if [ -n "${CI:-}" ]; then
		echo "Bail out! no unprivileged sandbox here: $why"
		exit 1
	fi
	skip_all "no unprivileged sandbox here: $why"
}

# What the last run() said: printed beneath a failure.
t_context() {
	[ -z "${t_last:-}" ] && return
	diag "after: ${t_last:0:200}"
	diag "  exit $status"
	[ -z "$err" ] || diag "  stderr: $(head -c 1500 <<<"$err")"
}

# run COMMAND...: sets status, out and err. Standard input is the caller's (here-strings work).
run() {
	t_last="$*"
	status=0
	"$@" >"$T/.out" 2>"$T/.err" || status=$?
	out=$(tr -d '\0' <"$T/.out")
	err=$(tr -d '\0' <"$T/.err")
}

done_testing() {
	local report

	for report in "$T"/sanitizer/*; do
		grep -qsE 'Sanitizer|runtime error:' "$report" || continue
		fail 'no sanitizer has anything to report'
		diag "$(head -40 "$report")"
	done
	echo "1..$t_count"
	[ "$t_failed" = 0 ]
	exit
}

# one_line_error REGEX DESCRIPTION: after run(): stderr is `openshell: …`, one line and at most a
# hint, and matches.
one_line_error() {
	local lines

	lines=$(grep -cv '^hint: ' <<<"$err")
	if [ "$lines" = 1 ] && grep -qE -e '^openshell: ' <<<"$err" && grep -qE -e "$1" <<<"$err"; then
		pass "$2"
	else
		fail "$2"
		diag "want one line 'openshell: …' with: $1"
		t_context
	fi
}

# wait_line FILE REGEX [SECONDS]: until the file has such a line; prints it. Follows with inotify.
wait_line() {
	local line r=0 pid

	exec 8< <(exec tail -n +1 -F "$1" 2>/dev/null)
	pid=$!
	line=$(timeout "$((${3:-10} * T_SLOW))" grep -m1 -E -e "$2" <&8) || r=1
	exec 8<&-
	kill "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
	printf '%s\n' "$line"
	return "$r"
}

# wait_count FILE REGEX COUNT [SECONDS]: until that many lines match.
wait_count() {
	local pid r=0

	exec 8< <(exec tail -n +1 -F "$1" 2>/dev/null)
	pid=$!
	# Through a pipe: with its output on /dev/null grep -m would wait for the end of the file.
	timeout "$((${4:-10} * T_SLOW))" grep -m "$3" -E -e "$2" <&8 | cat >/dev/null
	[ "${PIPESTATUS[0]}" = 0 ] || r=1
	exec 8<&-
	kill "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
	return "$r"
}

# wait_gone PID [SECONDS]: until the process has ended (pidfd).
wait_gone() {
	"$T_SUPPORT/gone" "$1" "$((${2:-10} * T_SLOW))"
}

# start VARIABLE COMMAND...: starts a helper that prints its port as first line, kept until the
# test's end; VARIABLE gets the port, VARIABLE_pid the process. Helpers run as the user.
start() {
	local start_name=$1 start_port=

	shift
	exec 7< <(exec 2>>"$T/helpers.err"; T_EXEC="exec" t_env "${T_DROP[@]}" "$@")
	t_cleanup_pid $!
	printf -v "${start_name}_pid" %s $!
	read -r -t $((10 * T_SLOW)) start_port <&7 || echo "Bail out! $1 did not start: $(tail -3 "$T/helpers.err")"
	exec 7<&-
	printf -v "$start_name" %s "$start_port"
}

# start_origin: the stand-in for api.github.com, with its own certificate; from then on openshell
# dials it for that name. Sets origin (port), origin_log, origin_ca.
start_origin() {
	origin_log=$T/tmp/origin.log origin_ca=$T/tmp/origin-ca.pem
	start origin "$T_SUPPORT/origin" --ca "$origin_ca" --log "$origin_log" "$@"
	T_ENV+=("OPENSHELL_CONNECT_TO=api.github.com:443:127.0.0.1:$origin" "OPENSHELL_UPSTREAM_CA=$origin_ca")
}

# The processes that descend from this test and are not the test itself, its subshells or helpers. Built
# with AddressSanitizer a process looks for leaks as it ends, built for coverage it writes counts: both are
# given the time for that.
leftovers() {
	local left deadline=$((SECONDS + 10 * T_SLOW))

	left=$(t_leftovers)
	while [[ ${VARIANT:-} = @(asan|cov) ]] && [ -n "$left" ] && [ $SECONDS -lt $deadline ]; do
		wait_gone "${left%% *}" 1
		left=$(t_leftovers)
	done
	[ -z "$left" ] || printf '%s\n' "$left"
}

t_leftovers() {
	local pid own command

	own=$(tr '\0' ' ' <"/proc/$$/cmdline")
	for pid in $("$T_SUPPORT/subreap" --list "$PPID"); do
		case " ${T_PIDS[*]} " in
		*" $pid "*) continue ;;
		esac
		command=$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") || continue
		case $command in
		'' | "$own" | *"subreap --list "*) ;;
		*) printf '%s %s\n' "$pid" "$command" ;;
		esac
	done 2>/dev/null
}

# Every file, socket and directory below the private state and runtime directories.
state_files() {
	(cd "$T" && find state run config -mindepth 2 | sort)
}

# inside NAME SCRIPT: runs a shell script in a sandbox that is up.
inside() {
	openshell sandbox exec -n "$1" -- /bin/sh -c "$2"
}

# policy_for BINARY...: the walkthrough's policy for these binaries, on standard output.
policy_for() {
	sed '/^    binaries:/,$d' "$T_EXAMPLES/sandbox-policy-quickstart/policy.yaml"
	echo '    binaries:'
	printf '      - { path: "%s" }\n' "$@"
}

# sandbox NAME [FLAGS...]: a kept sandbox that is up, its main process a shell that waits.
sandbox() {
	local name=$1

	shift
	run openshell sandbox create --name "$name" --keep --no-auto-providers "$@" -- true
	[ "$status" = 0 ] || diag "sandbox create $name: $err"
	[ -z "${T_INTERCEPT:-}" ] || [ "$(backend_of "$name")" = "$T_INTERCEPT" ] || status=1
	return "$status"
}

# backend_of NAME: what intercepts the connections of a sandbox that is up.
backend_of() {
	openshell sandbox get "$1" -o json | jq -r .intercept
}

# descendant COMM: the pid of the descendant of this test with that name (15 characters).
descendant() {
	local pid

	for pid in $("$T_SUPPORT/subreap" --list "$PPID"); do
		if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$1" ]; then
			echo "$pid"
			return
		fi
	done
	return 1
}

# settled: until no supervisor is left; one answers before it has quite ended.
settled() {
	local pid

	while pid=$(descendant openshell-trace); do wait_gone "$pid" 10; done
}

# arena NAME: a sandbox for attacks. Inside, allowed.test:7000 may be reached by the attack program
# and denied.test:7000 by nobody; both are canaries on the host's loopback, so that what was dialled
# is heard. Sets allowed_log and denied_log, and attack() to run one.
arena() {
	local name=$1

	shift
	arena=$name
	allowed_log=$T/tmp/allowed.log denied_log=$T/tmp/denied.log
	start allowed_port "$T_SUPPORT/canary" "$allowed_log"
	start denied_port "$T_SUPPORT/canary" "$denied_log"
	cp "$T_SUPPORT/attack" "$T/work/attack"
	chmod 0755 "$T/work/attack"
	cat >"$T/work/arena.yaml" <<-EOS
		version: 1
		network_policies:
		  allowed:
		    endpoints:
		      - { host: allowed.test, port: 7000 }
		    binaries:
		      - { path: "$T/work/attack" }
	EOS
	chmod 0644 "$T/work/arena.yaml"
	ok 'a sandbox' sandbox "$name" --policy "$T/work/arena.yaml" --connect-to "allowed.test:7000:127.0.0.1:$allowed_port" \
		--connect-to "denied.test:7000:127.0.0.1:$denied_port" "$@"
}

attack() {
	run openshell sandbox exec -n "$arena" -- "$T/work/attack" "$@"
}

# What became of an attempt of the last attack().
outcome() {
	sed -n "s|^$1: ||p" <<<"$out"
}

# The positive control: the allowed canary is heard, from inside, now.
control() {
	local before

	before=$(grep -c tcp "$allowed_log")
	run openshell sandbox exec -n "$arena" -- "$T/work/attack" reach allowed.test 7000
	is "$(outcome reach)" ok 'control: what the policy allows is reached'
	ok 'control: and its canary sings' wait_count "$allowed_log" tcp $((before + 1))
}

# The end of every arena: the denied canary heard nothing, the log has the line, nothing is left.
arena_closed() { # REGEX of the log line
	not_ok 'the denied canary is silent' grep -q . "$denied_log"
	run openshell logs "$arena" --since 5m
	[ -z "$1" ] || like "$out" "$1" 'the attempt is in the log'
	run openshell sandbox delete "$arena"
	is "$(leftovers)" '' 'nothing is left'
	done_testing
}
