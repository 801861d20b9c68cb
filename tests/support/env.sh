# shellcheck shell=bash
# env.sh - where things are and who runs them; shared by the tests, the demo and the benchmarks.
#
# The product is rootless, so whoever starts a test, its sandboxes belong to an ordinary user: root
# drops to an unprivileged uid through setpriv(1). Every test has a private directory (mode 0700,
# owned by that user) with a home and the XDG directories in it, so that nothing of the caller's
# account is read or written, and two tests never see each other.
#
# Sets: T (the private directory), T_TOP (the tree), T_BIN (the programs, readable to the user),
# T_SUPPORT (test programs), T_UID. Defines: as_user, user, openshell, t_cleanup_pid.

T_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
T_BUILD=$T_TOP/build/${VARIANT:-release}

# A uid that owns nothing on any system we know; no passwd entry is needed.
T_UID_DEFAULT=64321
if [ "$(id -u)" = 0 ]; then
	T_UID=${OPENSHELL_TEST_UID:-$T_UID_DEFAULT}
else
	T_UID=$(id -u)
fi

T=$(mktemp -d "${TMPDIR:-/tmp}/openshell-test.XXXXXX")
chmod 0700 "$T"
mkdir -p "$T"/{home,config,state,run,work,tmp}
chmod 0700 "$T"/{home,config,state,run,work,tmp}

# How many times as long as usual everything may take: an emulated machine (tests/support/vm) needs that. It is
# for deadlines, after which a test gives up, and for no number that a test is about.
T_SLOW=${OPENSHELL_TEST_SLOW:-1}

T_PIDS=()

# Ends a helper that the test started when the test ends.
t_cleanup_pid() {
	T_PIDS+=("$1")
}

t_cleanup() {
	local pid

	for pid in "${T_PIDS[@]}"; do
		kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
	done
	[ -n "${OPENSHELL_TEST_KEEP:-}" ] || rm -rf "$T"
}
trap t_cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# Runs a command as the unprivileged user, environment as it is.
as_user() {
	if [ "$(id -u)" = 0 ]; then
		setpriv --reuid "$T_UID" --regid "$T_UID" --clear-groups -- "$@"
	else
		"$@"
	fi
}

# The programs, the test programs and the examples where the user can read them: in the tree, or
# copied when the tree lies somewhere closed (/root on a CI machine).
t_place() {
	T_BIN=$T_BUILD/bin
	T_SUPPORT=$T_BUILD/support
	T_EXAMPLES=$T_TOP/examples
	as_user test -r "$T_TOP/GNUmakefile" -a -x "$T_BIN" && return
	mkdir -p "$T/dist"
	cp -r "$T_BIN" "$T/dist/bin"
	cp -r "$T_SUPPORT" "$T/dist/support"
	cp -r "$T_EXAMPLES" "$T/dist/examples"
	T_BIN=$T/dist/bin T_SUPPORT=$T/dist/support T_EXAMPLES=$T/dist/examples
}

if [ "$(id -u)" = 0 ]; then
	chown "$T_UID:$T_UID" "$T" "$T"/{home,config,state,run,work,tmp}
fi
if ! [ -x "$T_BUILD/bin/openshell" ]; then
	echo "Bail out! $T_BUILD/bin/openshell is not built: run make"
	exit 1
fi
t_place
[ "$(id -u)" != 0 ] || ! [ -d "$T/dist" ] || chown -R "$T_UID:$T_UID" "$T/dist"

# What the caller of openshell has in the environment; a test adds its own with T_ENV. With T_EXEC=exec
# the shell itself becomes the command.
T_ENV=()
t_env() {
	${T_EXEC:-} env -i PATH="${T_PATH:-$T_BIN:/usr/local/bin:/usr/bin:/bin}" HOME="$T/home" USER=tester LOGNAME=tester \
		SHELL=/bin/bash TERM="${T_TERM:-xterm}" LANG=C.UTF-8 TMPDIR="$T/tmp" \
		XDG_CONFIG_HOME="$T/config" XDG_STATE_HOME="$T/state" XDG_RUNTIME_DIR="$T/run" \
		"${T_SANITIZER[@]}" "${T_ENV[@]}" "$@"
}

# What the sanitizers say of processes whose standard error is nobody's, and of those that can open no file
# any more (lib/instrument.h); done_testing looks.
T_SANITIZER=()
case ${VARIANT:-} in
asan | tsan)
	mkdir -m 1777 "$T/sanitizer"
	(umask 0 && : >"$T/sanitizer/children")
	T_SANITIZER=("ASAN_OPTIONS=log_path=$T/sanitizer/report:${ASAN_OPTIONS:-}"
		"UBSAN_OPTIONS=log_path=$T/sanitizer/report:print_stacktrace=1:${UBSAN_OPTIONS:-}"
		"TSAN_OPTIONS=log_path=$T/sanitizer/report:${TSAN_OPTIONS:-}"
		"OPENSHELL_INSTRUMENT_LOG=$T/sanitizer/children")
	export "${T_SANITIZER[@]}"
	;;
esac

# Runs a command as the unprivileged user in the private environment, for at most T_TIMEOUT seconds (times T_SLOW).
user() {
	t_env /usr/bin/timeout -k 5 "$((${T_TIMEOUT:-30} * T_SLOW))" "${T_DROP[@]}" "$@"
}

# The same in the foreground, for what must own a terminal; the command sees to its own end.
user_fg() {
	t_env "${T_DROP[@]}" "$@"
}

T_DROP=()
if [ "$(id -u)" = 0 ]; then
	T_DROP=(/usr/bin/setpriv --reuid "$T_UID" --regid "$T_UID" --clear-groups --)
fi

# T_INTERCEPT=ptrace runs a test with that backend.
openshell() {
	if [ -n "${T_INTERCEPT:-}" ] && [ "${1:-} ${2:-}" = 'sandbox create' ]; then
		user openshell sandbox create --intercept "$T_INTERCEPT" "${@:3}"
	else
		user openshell "$@"
	fi
}
