#!/bin/bash
# Messages to an address: sendto(), sendmsg() and sendmmsg() over datagrams of AF_UNIX and UDP. A host
# program's socket in the working directory is none of the sandbox's business.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
cat >"$T/work/host.py" <<'PY'
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print(1, flush=True)
log = open(sys.argv[2], "a", buffering=1)
while True:
    log.write("heard %r\n" % s.recv(99))
PY
cat >"$T/work/send.py" <<'PY'
import ctypes, errno, os, socket, struct, sys, threading
way, to = sys.argv[1], sys.argv[2]
to = (to, 7000) if to[0].isdigit() else to
libc = ctypes.CDLL(None, use_errno=True)

class iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_char_p), ("len", ctypes.c_size_t)]

class msghdr(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("namelen", ctypes.c_uint), ("iov", ctypes.POINTER(iovec)), ("iovlen", ctypes.c_size_t),
                ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t), ("flags", ctypes.c_int), ("pad", ctypes.c_int), ("len", ctypes.c_uint),
                ("pad2", ctypes.c_int)]

def sendmmsg(s, n):
    if isinstance(to, tuple):
        raw = struct.pack("=HH4s8x", socket.AF_INET, socket.htons(to[1]), socket.inet_aton(to[0]))
    else:
        raw = struct.pack("=H", socket.AF_UNIX) + os.fsencode(to) + b"\0"
    v = (msghdr * n)(*[msghdr(raw, len(raw), ctypes.pointer(iovec(b"mmsg", 4)), 1) for _ in range(n)])
    r = libc.sendmmsg(s.fileno(), v, n, 0)
    if r < 0:
        raise OSError(ctypes.get_errno(), "")
    return r, [m.len for m in v]

def spin():
    """A thread that was let go on with sendmsg() and never sleeps again."""
    a, b = socket.socketpair()
    a.sendmsg([b"x"])
    while True:
        pass

for _ in range(2 if "spin" in sys.argv else 0):
    threading.Thread(target=spin, daemon=True).start()
family = socket.AF_INET if isinstance(to, tuple) else socket.AF_UNIX
if way.startswith("pair"):
    s, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
else:
    s = socket.socket(family, socket.SOCK_RAW if way.startswith("raw") else socket.SOCK_DGRAM)
try:
    if way.endswith("sendto"):
        print("ok", s.sendto(b"sendto", to))
    elif way.endswith("sendmsg"):
        print("ok", s.sendmsg([b"send", b"msg"], [], 0, to))
    elif way.endswith("sendmmsg"):
        print("ok", *sendmmsg(s, 3))
    elif way.endswith("connect"):
        s.connect(to)
        print("ok", s.send(b"connect"))
except OSError as e:
    print(errno.errorcode[e.errno])
sys.stdout.flush()
os._exit(0)
PY
cat >"$T/work/partly.py" <<'PY'
# A signal ends a stream's sendmsg() of which a part has gone: the caller is told how much, once.
import signal, socket, threading
gate = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
a, b = socket.socketpair()
signal.signal(signal.SIGALRM, lambda *_: None)
signal.siginterrupt(signal.SIGALRM, False)
signal.setitimer(signal.ITIMER_REAL, 0.3)
sent = a.sendmsg([bytes(4 << 20)])
a.close()
heard = 0
while chunk := b.recv(1 << 20):
    heard += len(chunk)
print("partly" if 0 < sent < 4 << 20 else "whole", "same" if sent == heard else (sent, heard))
PY
chmod 0644 "$T/work/"*.py
start unused /usr/bin/python3 "$T/work/host.py" "$T/work/host.sock" "$T/tmp/host.log"
ok 'a sandbox' sandbox sends
send() { run inside sends "/usr/bin/python3 $T/work/send.py $*"; }
ways='sendto sendmsg sendmmsg pair-sendmsg pair-sendto raw-sendmsg connect'

for way in $ways; do
	run user /usr/bin/python3 "$T/work/send.py" "$way" "$T/work/host.sock"
	like "$out" '^ok' "control: outside, $way reaches it"
done
ok 'control: and it is heard' wait_line "$T/tmp/host.log" heard
: >"$T/tmp/host.log"
for way in $ways; do
	send "$way" "$T/work/host.sock"
	is "$out" EACCES "$way to the host's socket"
done
send sendmsg "$T/work/host.sock" spin
is "$out" EACCES 'beside threads that spin'
not_ok 'the host heard nothing' grep -q . "$T/tmp/host.log"
run openshell logs sends --since 5m
like "$out" 'WARN \[UNIX\] action=deny .*host\.sock' 'the attempts are in the log'

# The sandbox's own, there and elsewhere.
for path in "$T/work/own.sock" /tmp/own.sock; do
	run inside sends "/usr/bin/python3 $T/work/host.py $path /tmp/own.log >/dev/null & until [ -S $path ]; do :; done
		for way in sendto sendmsg sendmmsg pair-sendmsg connect; do /usr/bin/python3 $T/work/send.py \$way $path; done
		until [ \$(wc -l </tmp/own.log) -ge 7 ]; do :; done
		kill \$!; cat /tmp/own.log; rm -f /tmp/own.log"
	is "$(grep -c '^ok' <<<"$out"):$(grep -c '^heard' <<<"$out")" 5:7 "the sandbox's own socket $(basename "$(dirname "$path")")/own.sock hears all"
done

# How much of it: a datagram of 256 KiB, 1024 messages of one call, 8 KiB beside them, 253 descriptors.
cat >"$T/work/much.py" <<'PY'
import ctypes, errno, os, resource, socket, struct, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
path = sys.argv[1] + "/much.sock"
libc = ctypes.CDLL(None, use_errno=True)
server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
server.bind(path)
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for each in server, s:
    each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)

def outcome(what, *args):
    try:
        return what(*args)
    except OSError as e:
        return errno.errorcode[e.errno]

for n in 262144, 262145:
    print("datagram", n, outcome(s.sendto, bytes(n), path) == n and len(server.recv(1 << 20)) == n)
fd = os.open("/dev/null", os.O_RDONLY)
for n in 253, 254:
    print("descriptors", n, outcome(s.sendmsg, [b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("%di" % n, *[fd] * n))], 0, path))
    if n == 253:
        # The very file, and not what the supervisor has under the number.
        got = struct.unpack("%di" % n, server.recvmsg(9, socket.CMSG_SPACE(4 * n))[1][0][2])
        print("arrived", sum(os.path.sameopenfile(fd, each) for each in got))
# Kinds of control data that are many: a TTL for each of so many bytes.
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sink.bind(("127.0.0.1", 0))
one = (socket.IPPROTO_IP, socket.IP_TTL, struct.pack("i", 64))
for n in 8192 // socket.CMSG_SPACE(4), 8192 // socket.CMSG_SPACE(4) + 1:
    print("control", n * socket.CMSG_SPACE(4), outcome(u.sendmsg, [b"x"], [one] * n, 0, sink.getsockname()))

class iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_char_p), ("len", ctypes.c_size_t)]

class msghdr(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("namelen", ctypes.c_uint), ("iov", ctypes.POINTER(iovec)), ("iovlen", ctypes.c_size_t),
                ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t), ("flags", ctypes.c_int), ("pad", ctypes.c_int), ("len", ctypes.c_uint),
                ("pad2", ctypes.c_int)]

raw = struct.pack("=HH4s8x", socket.AF_INET, socket.htons(sink.getsockname()[1]), socket.inet_aton("127.0.0.1"))
for n in 1024, 1025:
    v = (msghdr * n)(*[msghdr(raw, len(raw), ctypes.pointer(iovec(b"mmsg", 4)), 1) for _ in range(n)])
    print("messages", n, libc.sendmmsg(u.fileno(), v, n, 0))
os.unlink(path)
PY
chmod 0644 "$T/work/much.py"
run user /usr/bin/python3 "$T/work/much.py" "$T/work"
is "$out" 'datagram 262144 True
datagram 262145 True
descriptors 253 1
arrived 253
descriptors 254 EINVAL
control 8184 1
control 8208 1
messages 1024 1024
messages 1025 1024' 'control: outside, more of it goes'
run inside sends "/usr/bin/python3 $T/work/much.py /tmp"
is "$out" 'datagram 262144 True
datagram 262145 False
descriptors 253 1
arrived 253
descriptors 254 EINVAL
control 8184 1
control 8208 ENOBUFS
messages 1024 1024
messages 1025 1024' 'inside, what is too much is refused and the rest is as it was'

run user /usr/bin/python3 "$T/work/partly.py"
is "$out" 'partly same' 'control: outside, a signal ends a long sendmsg() with what has gone'
run inside sends "/usr/bin/python3 $T/work/partly.py"
is "$out" 'partly same' 'inside as well'

for way in sendto sendmsg sendmmsg; do
	send "$way" 192.0.2.7
	is "$out" ECONNREFUSED "$way over UDP is refused at once"
done
run openshell logs sends --since 5m
is "$(grep -c 'dst_host=192\.0\.2\.7' <<<"$out")" 1 'and logged, once for the destination'
run openshell sandbox delete sends
is "$(leftovers)" '' 'nothing is left'
done_testing
