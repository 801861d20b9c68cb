#!/bin/bash
# What interception costs a connection, and what somebody else's flood does to it.
. "$(dirname "$0")/bench.sh"

helper target "$T_SUPPORT/accept"
helper origin "$T_SUPPORT/origin" --plain
cp "$T_BENCH/connect" "$T/work/connect"
cat >"$T/work/policy.yaml" <<EOS
version: 1
network_policies:
  bench:
    endpoints:
      - { host: bench.test, port: 7000 }
      - { host: bench.test, port: 7001 }
    binaries:
      - { path: "$T/work/connect" }
      - { path: /usr/bin/curl }
EOS
chmod 0644 "$T/work/policy.yaml"
for backend in seccomp ptrace; do
	openshell sandbox create --name "$backend" --keep --no-auto-providers --intercept "$backend" --policy "$T/work/policy.yaml" \
		--connect-to "bench.test:7000:127.0.0.1:$target" --connect-to "bench.test:7001:127.0.0.1:$origin" -- true || exit 1
done
inside() { openshell sandbox exec -n seccomp -- "$@"; }
traced() { openshell sandbox exec -n ptrace -- "$@"; }

count=300 rounds=7
for ((i = 0; i < rounds; i++)); do
	user "$T/work/connect" 127.0.0.1 "$target" $count >>"$T/tmp/plain"
	inside "$T/work/connect" bench.test 7000 $count >>"$T/tmp/ours"
	traced "$T/work/connect" bench.test 7000 $count >>"$T/tmp/traced"
done
bench connect_p50 "$(cut -d' ' -f1 "$T/tmp/ours" | median)" us "$(cut -d' ' -f1 "$T/tmp/plain" | median)" '<=1.6x' \
	"n=$((count * rounds)) in $rounds rounds in turn, against a plain loopback connect outside"
bench connect_p99 "$(cut -d' ' -f2 "$T/tmp/ours" | median)" us "$(cut -d' ' -f2 "$T/tmp/plain" | median)" - "the same connections"
bench connects_per_second "$(cut -d' ' -f3 "$T/tmp/ours" | median)" /s "$(cut -d' ' -f3 "$T/tmp/plain" | median)" - "one thread, socket() and close() included"
bench connect_p50_ptrace "$(cut -d' ' -f1 "$T/tmp/traced" | median)" us "$(cut -d' ' -f1 "$T/tmp/plain" | median)" - \
	"the same with --intercept ptrace, which has no budget: n=$((count * rounds))"
openshell sandbox delete ptrace >/dev/null

# The same with a call stack for each: by the preload library, and from outside.
openshell sandbox create --name stacks --keep --no-auto-providers --stacks --policy "$T/work/policy.yaml" \
	--connect-to "bench.test:7000:127.0.0.1:$target" -- true || exit 1
for ((i = 0; i < 3; i++)); do
	openshell sandbox exec -n stacks -- "$T/work/connect" bench.test 7000 $count >>"$T/tmp/lent"
	openshell sandbox exec -n stacks -- env -u LD_PRELOAD "$T/work/connect" bench.test 7000 $count >>"$T/tmp/outside"
done
bench connect_p50_stacks "$(cut -d' ' -f1 "$T/tmp/lent" | median)" us "$(cut -d' ' -f1 "$T/tmp/ours" | median)" - \
	"n=$((count * 3)) with --stacks, registers lent by the preload library, against connect_p50"
bench connect_p50_stacks_outside "$(cut -d' ' -f1 "$T/tmp/outside" | median)" us "$(cut -d' ' -f1 "$T/tmp/ours" | median)" - \
	"the same without the library: the caller is stopped for it"
openshell sandbox delete stacks >/dev/null

# The flood runs in one process, the measurement in another.
T_TIMEOUT=60 inside "$T/work/connect" bench.test 7000 1000000 1000 >/dev/null 2>&1 &
flooder=$!
read -r _ p99 _ < <(inside "$T/work/connect" bench.test 7000 500)
bench flood_other_p99 "$(ms "${p99:--}")" ms - '<=5ms' 'n=500 connections of another process while 1000 threads connect'
kill $flooder 2>/dev/null
openshell sandbox delete seccomp >/dev/null
wait $flooder 2>/dev/null

# Bytes that nobody inspects.
openshell sandbox create --name relay --keep --no-auto-providers --policy "$T/work/policy.yaml" \
	--connect-to "bench.test:7001:127.0.0.1:$origin" -- true
bytes=$((512 * 1024 * 1024))
for ((i = 0; i < 5; i++)); do
	user curl -sS -o /dev/null -w '%{speed_download}\n' "http://127.0.0.1:$origin/bytes/$bytes" >>"$T/tmp/direct"
	openshell sandbox exec -n relay -- curl -sS --noproxy '*' -o /dev/null -w '%{speed_download}\n' \
		"http://bench.test:7001/bytes/$bytes" >>"$T/tmp/relayed"
done
mib() { median <"$1" | awk '{ printf "%.0f", $1 / 1048576 }'; }
bench relay "$(mib "$T/tmp/relayed")" MiB/s "$(mib "$T/tmp/direct")" '>=0.8x' 'n=5 downloads of 512 MiB in turn, against curl to the same server outside'
openshell sandbox delete relay >/dev/null
