#!/bin/bash
# Two hundred sandboxes at once: what the start of each takes, what each needs while nothing happens, and
# how long it takes until all are gone.
. "$(dirname "$0")/bench.sh"

many=${OPENSHELL_BENCH_MANY:-200}
pss() {
	local pid total=0 one

	for pid in $(pgrep -u "$T_UID"); do
		case $(cat "/proc/$pid/comm" 2>/dev/null) in
		openshell-* | bwrap | init) ;;
		*) continue ;;
		esac
		one=$(sed -n 's/^Pss: *\([0-9]*\) kB/\1/p' "/proc/$pid/smaps_rollup" 2>/dev/null)
		total=$((total + ${one:-0}))
	done
	[ "$total" -gt 0 ] && echo "$total"
}

T_TIMEOUT=120
from=$EPOCHREALTIME
for i in $(seq "$many"); do
	openshell sandbox create --name "many-$i" --detach --no-auto-providers -- sleep 1000 >/dev/null 2>&1 || exit 1
done
up=$EPOCHREALTIME
bench many_start "$(ms $(((${up/./} - ${from/./}) / many)))" ms - - "start of each of $many sandboxes, one after the other, the shells that start them included"
if total=$(pss); then
	bench many_memory "$(awk -v k="$total" -v n="$many" 'BEGIN { printf "%.2f", k / n / 1024 }')" MiB - '<=8MiB' "PSS of our processes of each, bubblewrap's included"
else
	bench_absent many_memory 'only root may read the memory of processes that are not dumpable'
fi
from=$EPOCHREALTIME
openshell sandbox delete --all >/dev/null 2>&1
gone=$EPOCHREALTIME
bench many_delete "$(ms $(((${gone/./} - ${from/./}) / many)))" ms - '<=30ms' "delete of each, by delete --all"
