#!/bin/bash
# A connect that cannot finish holds up nobody else (threats.md 20): full queues, and sockets whose
# owner sees to it that the handshake fails.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
start server "$T_SUPPORT/accept"
cat >"$T/work/policy.yaml" <<'EOS'
version: 1
network_policies:
  server:
    endpoints:
      - { host: server.test, port: 7000 }
    binaries:
      - { path: "/usr/bin/python3*" }
EOS
cat >"$T/work/block.py" <<'PY'
import ctypes, os, socket, struct, sys, threading
l = socket.socket()
l.bind(("127.0.0.1", 0))
l.listen(0)
u = socket.socket(socket.AF_UNIX)
u.bind("\0blocked")
u.listen(0)
v4 = [a[4] for a in socket.getaddrinfo("server.test", 7000, socket.AF_INET, socket.SOCK_STREAM)][0]

def tcp():
    socket.create_connection(l.getsockname())

def unix():
    s = socket.socket(socket.AF_UNIX)
    s.connect("\0blocked")
    threading.Event().wait()

def deaf():
    """A socket filter that drops every packet: the answer of the handshake, too."""
    s = socket.socket()
    code = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))
    s.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HxxxxxxP", 1, ctypes.addressof(code)))  # SO_ATTACH_FILTER
    s.connect(v4)

for f, n in ((tcp, 40), (unix, 40), (deaf, 10)):
    for _ in range(n):
        threading.Thread(target=f, daemon=True).start()
# Until all of them wait in the system call.
def waiting():
    n = 0
    for t in os.listdir("/proc/self/task"):
        with open("/proc/self/task/%s/syscall" % t) as f:
            n += f.read().startswith("42 ")
    return n
while waiting() < 80:
    pass
print("waiting", flush=True)
threading.Event().wait()
PY
cat >"$T/work/measure.py" <<'PY'
import socket, time
v4 = [a[4] for a in socket.getaddrinfo("server.test", 7000, socket.AF_INET, socket.SOCK_STREAM)][0]
worst = 0
for _ in range(50):
    start = time.monotonic()
    s = socket.create_connection(v4)
    worst = max(worst, time.monotonic() - start)
    s.close()
print("worst", "fine" if worst < 1 else worst)
PY
chmod 0644 "$T/work/"*
ok 'a sandbox' sandbox blocked --policy "$T/work/policy.yaml" --connect-to "server.test:7000:127.0.0.1:$server"
run inside blocked "/usr/bin/python3 $T/work/measure.py"
is "$out" 'worst fine' 'control: alone, a process connects'
openshell sandbox exec -n blocked -- /usr/bin/python3 "$T/work/block.py" >"$T/tmp/block.out" 2>&1 &
blocker=$!
ok 'ninety threads wait in connect()' wait_line "$T/tmp/block.out" waiting 20
run inside blocked "/usr/bin/python3 $T/work/measure.py"
is "$out" 'worst fine' 'beside them another process connects'
begun=$SECONDS
run openshell sandbox delete blocked
is "$status" 0 'delete works'
at_most $((SECONDS - begun)) 3 'and soon, in seconds'
wait "$blocker"
is "$(leftovers)" '' 'nothing is left'
done_testing
