#!/bin/bash
# The wall clock is set, forwards and back, while a sandbox runs. Nothing that was logged is left out when it is
# asked for, a program keeps its identity and a changed one is refused, deadlines stand. The clock is that of the
# supervisor, the proxy and of who reads (tests/support/preload/clock.c); the host's stays as it is.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
# A sanitizer wants to be the first library; here it need not be.
options="${ASAN_OPTIONS:-}:verify_asan_link_order=0"
clock=$T/work/clock
"${CC:-cc}" -shared -fPIC -O2 -o "$T/work/clock.so" "$T_TOP/tests/support/preload/clock.c" -ldl || skip_all 'no compiler'
head -c 32 /dev/zero >"$clock"
chmod 0755 "$T/work/clock.so"
chmod 0666 "$clock"
# wall SECONDS: the wall clock is that much ahead.
wall() {
	/usr/bin/python3 -c 'import struct, sys; f = open(sys.argv[1], "r+b"); f.seek(16); f.write(struct.pack("q", int(sys.argv[2]) * 1000))' \
		"$clock" "$1"
}
mkdir "$T/libexec"
cp -r "$T_BIN"/openshell-* "$T_BIN"/*.so "$T_BIN/profiles" "$T/libexec/"
for program in openshell-tracer openshell-proxy; do
	rm "$T/libexec/$program"
	printf '#!/bin/sh\nASAN_OPTIONS="%s" LD_PRELOAD="%s" CLOCK_FILE="%s" exec "%s" "$@"\n' "$options" "$T/work/clock.so" "$clock" \
		"$T_BIN/$program" >"$T/libexec/$program"
	chmod 0755 "$T/libexec/$program"
done
chmod -R a+rX "$T/libexec"
T_ENV+=("OPENSHELL_LIBEXEC=$T/libexec")
arena jump
supervisor=$(descendant openshell-trace)
ok 'its clock is ours' grep -q clock.so "/proc/$supervisor/maps"
control

# Reads with that clock, too.
logs() {
	T_ENV+=("ASAN_OPTIONS=$options" "LD_PRELOAD=$T/work/clock.so" "CLOCK_FILE=$clock")
	run openshell logs jump "$@"
	unset 'T_ENV[-1]' 'T_ENV[-1]' 'T_ENV[-1]'
}
refused() { openshell sandbox exec -n jump -- bash -c "exec 3<>/dev/tcp/192.0.2.1/$1" >/dev/null 2>&1; }
# ports: those of the denials that the last logs() showed.
ports() { sed -n 's/.*action=deny dst_host=192\.0\.2\.1 dst_port=\([0-9]*\).*/\1/p' <<<"$out" | paste -sd' '; }
hour=3600 day=86400
refused 1001
logs --since 5m -n 0
is "$(ports)" 1001 'an event of now'
wall $hour
refused 1002
logs --since 5m -n 0
is "$(ports)" 1002 'an hour later it is old'
wall -$hour
refused 1003
logs --since 5m -n 0
is "$(ports)" '1001 1002 1003' 'two hours earlier all are of the last minutes, or of the future'
wall $hour
refused 1004
logs --since 5m -n 0
is "$(ports)" '1002 1004' 'and back: what was logged about that time is there, whatever was between'
logs --since 5m -n 1
is "$(ports)" 1004 'the last of them is the last'
logs --since 3h -n 0
is "$(ports)" '1001 1002 1003 1004' 'and all are there in the order in which they came'
control

# Identity: known by what the file is, not by when that is.
for ahead in $((400 * day)) $((-30 * day)) 0; do
	wall $ahead
	attack reach allowed.test 7000
	is "$(outcome reach)" ok "$((ahead / day)) days off a known program is known"
done
cp "$T/work/attack" "$T/work/kept"
printf x >>"$T/work/attack"
touch -r "$T/work/kept" "$T/work/attack"
wall $((-400 * day))
attack reach allowed.test 7000
unlike "$(outcome reach)" '^ok' 'a changed one is refused, however old it says it is'
wall 0
attack reach allowed.test 7000
unlike "$(outcome reach)" '^ok' 'and stays so'
logs -n 0
like "$out" 'hash changed' 'and the log says why'
cat "$T/work/kept" >"$T/work/attack"
control

# What has a time of its own: a new policy while the clock jumps.
for ahead in $((400 * day)) $((-400 * day)); do
	wall $ahead
	sed "s/^version.*/& # $ahead/" "$T/work/arena.yaml" >"$T/work/new.yaml"
	chmod 0644 "$T/work/new.yaml"
	run openshell policy set jump --policy "$T/work/new.yaml" --wait --timeout 10
	is "$status" 0 'a new policy is in force at once'
	control
done
wall 0
logs -n 0
is "$(ports)" '1001 1002 1003 1004' 'nothing of the log was lost on the way'
unset 'T_ENV[-1]'
arena_closed 'hash changed'
