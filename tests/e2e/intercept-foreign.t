#!/bin/bash
# A socket of the host's network, handed in as standard input, is no way out: where an address would
# mean the host's network, the supervisor does not use it.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
cat >"$T/work/inner.py" <<'PY'
import socket, sys
s = socket.socket(fileno=0)
to = ("127.0.0.1", int(sys.argv[2])) if sys.argv[2].isdigit() else sys.argv[2].replace("@", "\0")
try:
    if sys.argv[1] == "sendto":
        s.sendto(b"out", to)
    elif sys.argv[1] == "sendmsg":
        s.sendmsg([b"out"], [], 0, to)
    else:
        s.connect(to)
        if s.family == socket.AF_UNIX:
            s.send(b"out")
except OSError:
    print("refused", flush=True)
PY
cat >"$T/work/outer.py" <<'PY'
# outer.py CALL WHERE COMMAND...: COMMAND gets inner.py's words; says whether the host's listener heard
# of it. WHERE: inet, or the name of a Unix datagram socket (@: an abstract one).
import os, socket, subprocess, sys
call, where, command = sys.argv[1], sys.argv[2], sys.argv[3:]
kind = socket.SOCK_STREAM if call == "connect" and where == "inet" else socket.SOCK_DGRAM
family = socket.AF_INET if where == "inet" else socket.AF_UNIX
if os.path.exists(where):
    os.unlink(where)
listener = socket.socket(family, kind)
listener.bind(("127.0.0.1", 0) if where == "inet" else where.replace("@", "\0"))
if kind == socket.SOCK_STREAM:
    listener.listen()
given = socket.socket(family, kind)
to = str(listener.getsockname()[1]) if where == "inet" else where
subprocess.run(command + ["/usr/bin/python3", "inner.py", call, to], stdin=given)
listener.setblocking(False)
try:
    listener.accept() if kind == socket.SOCK_STREAM else listener.recv(10)
    print("heard")
except BlockingIOError:
    print("silence")
PY
chmod 0644 "$T/work/"*.py
for call in connect sendto sendmsg; do
	# A Unix datagram socket, too: its abstract names are the host's, whatever the sandbox's are.
	for where in inet "@openshell-foreign-$$" "$T/work/host.dgram"; do
		run user /usr/bin/python3 outer.py "$call" "$where" env
		is "$out" heard "control: outside, $call on the socket reaches the host: ${where##*/}"
		run user /usr/bin/python3 outer.py "$call" "$where" openshell sandbox create --no-auto-providers --
		is "$out" $'refused\nsilence' "inside, $call is refused and the host hears nothing: ${where##*/}"
	done
done
done_testing
