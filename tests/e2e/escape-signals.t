#!/bin/bash
# Signals while a connect is pending, and what connect() means afterwards (threats.md 18, 21).
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
arena signals
control
before=$(grep -c tcp "$allowed_log")
T_TIMEOUT=60 attack storm allowed.test 7000 300
is "$(outcome storm)" '300 of 300 made' 'under an alarm a millisecond every connect ends well'
after=$(grep -c tcp "$allowed_log")
at_most $((after - before)) 320 'and none is made twice'
attack semantics allowed.test 7000
like "$(outcome non-blocking)" '^(connected|EINPROGRESS)$' 'non-blocking'
inside=$(outcome poll):$(outcome SO_ERROR):$(outcome again)
run user "$T/work/attack" semantics 127.0.0.1 "$allowed_port"
is "$inside" "$(outcome poll):$(outcome SO_ERROR):$(outcome again)" 'then writable, without error, connected: as outside'
attack semantics allowed.test 7000
is "$(outcome getpeername)" 'the address asked for' 'getpeername() says where one wanted to go'
arena_closed ''
