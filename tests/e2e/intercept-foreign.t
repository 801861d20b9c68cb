#!/bin/bash
# A socket of the host's network, handed in as standard input, is no way out: where an address would
# mean the host's network, the supervisor does not use it.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
cat >"$T/work/inner.py" <<'PY'
import socket, sys
s = socket.socket(fileno=0)
to = ("127.0.0.1", int(sys.argv[2]))
try:
    if sys.argv[1] == "sendto":
        s.sendto(b"out", to)
    elif sys.argv[1] == "sendmsg":
        s.sendmsg([b"out"], [], 0, to)
    else:
        s.connect(to)
except OSError:
    print("refused", flush=True)
PY
cat >"$T/work/outer.py" <<'PY'
# outer.py CALL COMMAND...: COMMAND gets inner.py's words; says whether the host's listener heard of it.
import socket, subprocess, sys
call, command = sys.argv[1], sys.argv[2:]
kind = socket.SOCK_STREAM if call == "connect" else socket.SOCK_DGRAM
listener = socket.socket(socket.AF_INET, kind)
listener.bind(("127.0.0.1", 0))
if kind == socket.SOCK_STREAM:
    listener.listen()
given = socket.socket(socket.AF_INET, kind)
subprocess.run(command + ["/usr/bin/python3", "inner.py", call, str(listener.getsockname()[1])], stdin=given)
listener.setblocking(False)
try:
    listener.accept() if kind == socket.SOCK_STREAM else listener.recv(10)
    print("heard")
except BlockingIOError:
    print("silence")
PY
chmod 0644 "$T/work/"*.py
for call in connect sendto sendmsg; do
	run user /usr/bin/python3 outer.py "$call" env
	is "$out" heard "control: outside, $call on the socket reaches the host"
	run user /usr/bin/python3 outer.py "$call" openshell sandbox create --no-auto-providers --
	is "$out" $'refused\nsilence' "inside, $call is refused and the host hears nothing"
done
done_testing
