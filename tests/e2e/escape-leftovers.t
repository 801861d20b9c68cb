#!/bin/bash
# What tries to stay (threats.md 50): daemons, nohup, ignored signals, forks without end.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
arena leftovers
cat >"$T/work/stay.sh" <<'EOS'
trap '' TERM HUP INT
setsid sh -c 'trap "" TERM HUP; exec sleep 1001' &
(nohup sleep 1002 >/dev/null 2>&1 &)
setsid setsid sh -c 'sleep 1003 & sleep 1004 & wait' >/dev/null 2>&1 &
for i in 1 2 3 4 5 6 7 8 9; do (exit 0) & done
/usr/bin/python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("/tmp/stays")'
sleep 0.2
pgrep -c sleep
EOS
run openshell sandbox create --no-auto-providers -- sh stay.sh
is "$status" 0 'a command that leaves daemons'
at_most 3 "${out:-0}" 'control: which were there; at least'
openshell sandbox delete leftovers >/dev/null
left=$(leftovers)
is "$left" '' 'none outlives the command'
is "$(find "$T/run" -mindepth 1 ! -type d)" '' 'nor does a socket'
is "$(grep -c "$T" /proc/self/mountinfo)" 0 'nor a mount'
done_testing
