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
# It says itself when it goes on: a shell names the job before it gives it the terminal, and ^C would be the shell's.
cat >"$T/work/job.py" <<'PY'
import signal
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.signal(signal.SIGCONT, lambda *_: print("resumed", flush=True))
print("started", flush=True)
while True:
    signal.pause()
PY
chmod 0644 "$T/work/job.py"
drive -r 30x99 -e '[$] ' -s 'stty size\n' -e '30 99' -z 41x77 -s 'stty size\n' -e '41 77' -s "/usr/bin/python3 '$T/work/job.py'\n" \
	-e started -s '\x1a' -e 'Stopped.*' -e '[$] ' -s 'fg\n' -e resumed -s '\x03' -e '[$] ' -s 'exit 5\n' -- openshell sandbox connect terminal
is "$status" 5 'size, resize, ^Z, fg and ^C work at a shell inside'
arena_closed ''
