#!/bin/bash
# Unix sockets: those of the sandbox's own programs work, those of the host do not (threats.md 43).
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
cd "$T/work" || exit 1
start byname "$T_SUPPORT/canary" "$T/tmp/path.log" 127.0.0.1 "$T/run/bus"
start abstract "$T_SUPPORT/canary" "$T/tmp/abstract.log" 127.0.0.1 "@openshell-test-$$"
start inwork "$T_SUPPORT/canary" "$T/tmp/work.log" 127.0.0.1 "$T/work/host.sock"
ok 'a sandbox' sandbox unix

cat >"$T/work/dial.py" <<'PY'
import socket, sys
name = sys.argv[1]
s = socket.socket(socket.AF_UNIX, getattr(socket, sys.argv[2]) if len(sys.argv) > 2 else socket.SOCK_STREAM)
try:
    s.connect("\0" + name[1:] if name[0] == "@" else name)
    print("connected")
except OSError as e:
    print(e.errno, e.strerror)
PY
cat >"$T/work/pair.py" <<'PY'
import os, socket
for where in ("/tmp/own.sock", "/sandbox/own.sock", "\0own"):
    l = socket.socket(socket.AF_UNIX)
    l.bind(where)
    l.listen()
    c = socket.socket(socket.AF_UNIX)
    c.connect(where)
    c.send(b"hello")
    print(l.accept()[0].recv(5).decode(), where.strip("\0"))
a, b = socket.socketpair()
a.send(b"pair")
print(b.recv(4).decode())
PY
dial() { run inside unix "/usr/bin/python3 $T/work/dial.py $*"; }

run user /usr/bin/python3 "$T/work/dial.py" "$T/run/bus"
is "$out" connected 'outside, the socket with a path answers'
run user /usr/bin/python3 "$T/work/dial.py" "@openshell-test-$$"
is "$out" connected 'and the abstract one'
run user /usr/bin/python3 "$T/work/dial.py" "$T/work/host.sock"
is "$out" connected 'and the one in the working directory'
ok 'the canaries heard it' wait_line "$T/tmp/path.log" unix
ok 'both' wait_line "$T/tmp/abstract.log" unix
wait_line "$T/tmp/work.log" unix >/dev/null
: >"$T/tmp/path.log"
: >"$T/tmp/abstract.log"
: >"$T/tmp/work.log"

run inside unix "/usr/bin/python3 $T/work/pair.py"
is "$out" 'hello /tmp/own.sock
hello /sandbox/own.sock
hello own
pair' "the sandbox's own sockets work"
dial "$T/run/bus"
unlike "$out" connected "a socket in the caller's runtime directory"
dial "/proc/1/root$T/run/bus"
unlike "$out" connected 'through /proc/1/root'
dial "@openshell-test-$$"
unlike "$out" connected 'an abstract one'
dial "@openshell-test-$$" SOCK_DGRAM
unlike "$out" connected 'as a datagram'
dial "$T/work/host.sock"
unlike "$out" connected 'one that a host program bound in the working directory'
run inside unix "ln -s $T/work/host.sock /tmp/link.sock; /usr/bin/python3 $T/work/dial.py /tmp/link.sock"
unlike "$out" connected 'nor through a symbolic link'

# A pair of datagram sockets sends to any path; the system call takes an int, and the upper half of the
# register must not hide from the supervisor that there is one.
cat >"$T/work/ear.py" <<'PY'
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("ready", flush=True)
with open(sys.argv[2], "a", buffering=1) as log:
    while True:
        log.write("heard %s\n" % s.recv(100).decode())
PY
cat >"$T/work/shout.py" <<'PY'
import ctypes, errno, os, socket, sys
number = {"x86_64": 53, "aarch64": 199}[os.uname().machine]
pair = (ctypes.c_int * 2)()
call = ctypes.CDLL(None, use_errno=True).syscall
if call(*map(ctypes.c_long, (number, 1 << 32 | socket.AF_UNIX, socket.SOCK_DGRAM, 0)), pair) < 0:
    sys.exit("no pair: " + errno.errorcode[ctypes.get_errno()])
try:
    socket.socket(fileno=pair[0]).sendmsg([sys.argv[2].encode()], [], 0, sys.argv[1])
    print("sent")
except OSError as e:
    print(errno.errorcode[e.errno])
PY
start ear /usr/bin/python3 "$T/work/ear.py" "$T/work/ear.sock" "$T/tmp/ear.log"
run user /usr/bin/python3 "$T/work/shout.py" "$T/work/ear.sock" outside
is "$out" sent 'outside, a datagram from one of a pair arrives'
ok 'at the socket in the working directory' wait_line "$T/tmp/ear.log" 'heard outside'
# One in which there was no datagram socket yet.
ok 'a fresh sandbox' sandbox pairs
run inside pairs "/usr/bin/python3 $T/work/shout.py $T/work/ear.sock inside"
is "$out" EACCES 'one of a pair whose family has an upper half'
run user /usr/bin/python3 "$T/work/shout.py" "$T/work/ear.sock" last
wait_line "$T/tmp/ear.log" 'heard last' >/dev/null
not_ok 'it was not heard' grep -q inside "$T/tmp/ear.log"
run openshell logs pairs --since 5m
like "$out" 'WARN \[UNIX\] action=deny .*ear\.sock' 'and is in the log'
run openshell sandbox delete pairs
for path in /run/dbus/system_bus_socket /var/run/docker.sock "/run/user/$T_UID/bus" /tmp/.X11-unix/X0 /run/systemd/private; do
	dial "$path"
	unlike "$out" connected "$path"
done
not_ok 'the canaries stayed silent' grep -q . "$T/tmp/path.log" "$T/tmp/abstract.log" "$T/tmp/work.log"
run openshell logs unix --since 5m
like "$out" 'WARN \[UNIX\] action=deny .*(openshell-test-|host\.sock)' 'the attempts are in the log'
run openshell sandbox delete unix

# File systems on which a socket bound inside is found, or cannot be told from the host's.
cat >"$T/work/own.py" <<'PY'
import socket
l = socket.socket(socket.AF_UNIX)
l.bind("own.sock")
l.listen()
c = socket.socket(socket.AF_UNIX)
try:
    c.connect("own.sock")
    print("connected")
except OSError as e:
    print(e.errno)
PY
on() { # DIRECTORY
	cp "$T/work/own.py" "$1" && chown -R "$T_UID" "$1"
	run openshell sandbox create --name "$2" --no-keep --no-auto-providers --workdir "$1" -- /usr/bin/python3 own.py
}
own=$T/tmp/own
mkdir "$own"
on "$own" plain
is "$out" connected "a socket that the sandbox bound in its working directory works"
if [ "$(id -u)" = 0 ] && mkdir "$own"/{lower,upper,inner,over} && mount -t tmpfs none "$own/inner" &&
	mkdir "$own/inner"/{upper,work} && mount -t overlay none -o "lowerdir=$own/lower,upperdir=$own/inner/upper,workdir=$own/inner/work" "$own/over" 2>/dev/null; then
	on "$own/over" over
	is "$out" connected 'on overlayfs, too'
	umount "$own/over"
else
	skip 'on overlayfs, too' 'it cannot be mounted here'
fi
umount "$own/inner" 2>/dev/null
if [ "$(id -u)" = 0 ] && command -v mkfs.btrfs >/dev/null && mkdir "$own/btrfs" && truncate -s 120M "$T/tmp/btrfs.img" &&
	mkfs.btrfs -q "$T/tmp/btrfs.img" >/dev/null 2>&1 && mount -o loop "$T/tmp/btrfs.img" "$own/btrfs" 2>/dev/null; then
	on "$own/btrfs" btrfs
	is "$out" 13 'on btrfs it is refused'
	run openshell logs btrfs
	like "$out" 'WARN \[UNIX\] action=deny .*own\.sock.* deny_reason="on btrfs .*bind it in /tmp"' 'and the log says why, and what to do'
	umount "$own/btrfs"
else
	skip 'on btrfs it is refused' 'it cannot be made or mounted here'
fi
settled
is "$(leftovers)" '' 'nothing is left'
done_testing
