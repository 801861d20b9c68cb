#!/bin/bash
# More connects than anybody can answer (threats.md 19): the flood does not starve another process, does
# not fill memory, and is in the log with a count instead of a line each.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
arena flood
control
attack patience allowed.test 7000 50
is "$(outcome patience)" '50 of 50' 'control: alone, every connect is made'
tracer=$(descendant openshell-trace)
memory() { awk '/^Pss:/ { print $2 }' "/proc/$tracer/smaps_rollup" 2>/dev/null || echo 0; }
before=$(memory)
mkfifo "$T/tmp/hold"
exec 6<>"$T/tmp/hold"
(exec 6>&-; T_TIMEOUT=60 user openshell sandbox exec -n flood -- "$T/work/attack" flood denied.test 7000 500 <"$T/tmp/hold" >"$T/tmp/flood.out" 2>&1) &
flooder=$!
ok 'five hundred threads connect without end' wait_line "$T/tmp/flood.out" '500 threads' 30
T_TIMEOUT=60 attack patience allowed.test 7000 50
is "$(outcome patience)" '50 of 50' 'beside them every connect is made'
at_most "$(outcome worst)" 1000 'the slowest in ms'
at_most_memory $(($(memory) - before)) 16384 'what the supervisor grew by, in KiB'
# The control of the count: there were far more refusals than lines.
exec 6>&-
wait "$flooder"
size=$(cat "$T"/state/openshell/sandboxes/flood/log/* 2>/dev/null | wc -c)
at_most "$size" 1000000 'the log is of a size to read, in bytes'
run openshell logs flood --since 5m -n 0
like "$out" 'action=deny dst_host=denied\.test .*count=[0-9]{2,}' 'and the log counts what it folds'
# More connections, one after the other, than the sandbox has ports: closed ones keep none.
read -r first last < /proc/sys/net/ipv4/ip_local_port_range
many=$(((last - first) * 5 / 4))
T_TIMEOUT=120 attack patience denied.test 80 $many
is "$(outcome patience)" "$many of $many" 'a program that connects and closes does not run out of ports'
at_most "$(outcome worst)" 1000 'and none of its connects waits for one, in ms'
control
arena_closed 'action=deny dst_host=denied\.test'
