#!/bin/bash
# The caller's terminal (threats.md 44): a command cannot type into it, job control goes on working.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
arena terminal
T_TERM=dumb
drive() { run user_fg "$T_SUPPORT/ptydrive" "$@"; }
drive -- openshell sandbox create --no-auto-providers --tty -- "$T/work/attack" terminal
like "$out" 'TIOCSTI: ' 'the attempt was made'
drive -t 10 -e 'done-here' -s 'exit\n' -- sh -c "openshell sandbox create --no-auto-providers --no-tty -- '$T/work/attack' terminal; echo done-here; read rest; echo got=\$rest"
unlike "$out" 'TIOCSTI: ok' "on the caller's own terminal nothing can be typed"
unlike "$out" 'TIOCSTI with high bits: ok' 'nor with the bits the kernel ignores'
not_ok 'and nothing was' test -e "$T/work/typed-by-the-sandbox"
drive -r 30x99 -e '[$] ' -s 'stty size\n' -e '30 99' -z 41x77 -s 'stty size\n' -e '41 77' -s "sh -c 'echo star''ted; exec sleep 100'\n" -e started -s '\x1a' -e 'Stopped.*' -e '[$] ' \
	-s 'fg\n' -e 'exec sleep 100' -s '\x03' -e '[$] ' -s 'exit 5\n' -- openshell sandbox connect terminal
is "$status" 5 'size, resize, ^Z, fg and ^C work at a shell inside'
arena_closed ''
