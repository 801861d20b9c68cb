#!/bin/bash
# The address or the descriptor changes under the supervisor's eyes (threats.md 1, 2): the name that
# was judged is the name that is dialled, whatever the memory says a moment later.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
races=${RACES:-20000} # the million of threats.md: RACES=1000000, some minutes
arena race
control
T_TIMEOUT=$((60 + races / 500)) attack race-address allowed.test denied.test 7000 "$races"
like "$out" '^race-address: [1-9][0-9]* of' 'some of the racing connects were allowed ones'
unlike "$out" '^race-address: ([0-9]+) of \1 connected' 'and not all'
T_TIMEOUT=$((60 + races / 500)) attack race-descriptor allowed.test 7000 "$races"
is "$status" 0 'a descriptor that becomes another socket harms nobody'
control
arena_closed 'WARN \[TCP\] action=deny dst_host=denied\.test dst_port=7000'
