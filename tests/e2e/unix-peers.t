#!/bin/bash
# Servers of the sandbox that ask who their client is: user and group are right everywhere. The process
# is the client's in messages, and 0 ("not of this namespace") where the supervisor made the connection.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
cd "$T/work" || exit 1
ok 'a sandbox' sandbox peers

cat >cred.py <<'PY'
import os, socket, struct
SCM_CREDENTIALS = 2
def name(raw):
    pid, uid, gid = struct.unpack("3i", raw)
    who = "self" if pid == os.getpid() else "other" if pid else "0"
    return "%s %s" % (who, "own" if (uid, gid) == (os.getuid(), os.getgid()) else "foreign")
l = socket.socket(socket.AF_UNIX)
l.bind("/tmp/s")
l.listen()
c = socket.socket(socket.AF_UNIX)
c.connect("/tmp/s")
a, _ = l.accept()
print("server:", name(a.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)))
print("client:", name(c.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)))
a.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
def said(how, *args):
    try:
        getattr(c, how)(*args)
        print(how + ":", *[name(data) for _, kind, data in a.recvmsg(10, 100)[1] if kind == SCM_CREDENTIALS])
    except OSError as e:
        print(how + ":", e.strerror)
me = [(socket.SOL_SOCKET, SCM_CREDENTIALS, struct.pack("3i", os.getpid(), os.getuid(), os.getgid()))]
liar = [(socket.SOL_SOCKET, SCM_CREDENTIALS, struct.pack("3i", 1, os.getuid(), os.getgid()))]
said("send", b"x")
said("sendmsg", [b"x"], me)
said("sendmsg", [b"x"], liar)
socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
print("with datagrams")
said("send", b"x")
said("sendmsg", [b"x"], me)
said("sendmsg", [b"x"], liar)
PY
run inside peers 'exec /usr/bin/python3 cred.py'
is "$out" 'server: 0 own
client: self own
send: self own
sendmsg: self own
sendmsg: Operation not permitted
with datagrams
send: self own
sendmsg: 0 own
sendmsg: 0 own' 'user and group are right; nobody can claim another'

# Real ones. has COMMAND...: whether all of these are on this host.
has() {
	local each

	for each; do
		command -v "$each" >/dev/null || return
	done
}
if has ssh-agent; then
	run inside peers 'eval "$(ssh-agent)" >/dev/null; ssh-keygen -q -t ed25519 -N "" -C tester -f /tmp/key; ssh-add -q /tmp/key; ssh-add -l; ssh-agent -k >/dev/null'
	like "$out" '^256 SHA256:.* tester \(ED25519\)$' 'ssh-agent'
else
	skip 'ssh-agent' 'not on this host'
fi
if has tmux; then
	run inside peers 'export TMUX_TMPDIR=/tmp; tmux new-session -d -s mine "sleep 1000" && tmux ls; tmux kill-server'
	like "$out" '^mine: 1 windows' 'tmux'
else
	skip 'tmux' 'not on this host'
fi
if has dbus-run-session gdbus; then
	run inside peers 'dbus-run-session -- gdbus call --session -d org.freedesktop.DBus -o / -m org.freedesktop.DBus.GetConnectionUnixUser org.freedesktop.DBus'
	is "$out" "(uint32 $T_UID,)" 'dbus-daemon and GDBus'
	run inside peers "/usr/bin/python3 -c 'import socket; socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)'; exec dbus-run-session -- gdbus call --session -d org.freedesktop.DBus -o / -m org.freedesktop.DBus.ListNames"
	like "$out" org.freedesktop.DBus 'where datagrams are in use, too'
else
	skip 'dbus-daemon and GDBus' 'not on this host'
	skip 'where datagrams are in use, too' 'not on this host'
fi
postgres=$(dirname "$(find /usr/lib/postgresql -name initdb 2>/dev/null | sort | tail -1)" 2>/dev/null)
if [ -x "$postgres/initdb" ]; then
	T_TIMEOUT=60 run inside peers "export PATH=$postgres:\$PATH; initdb -D /tmp/pg -A peer -N >/dev/null 2>&1; pg_ctl -D /tmp/pg -o '-k /tmp -c listen_addresses=' -l /tmp/pg.log -w start >/dev/null
		psql -h /tmp -d postgres -Atc 'select current_user'; psql -h /tmp -U other -d postgres -Atc 'select 1'; pg_ctl -D /tmp/pg -m immediate stop >/dev/null"
	is "$out" sandbox 'postgres: peer authentication lets its user in'
	like "$err" 'Peer authentication failed for user "other"' 'and nobody else'
else
	skip 'postgres: peer authentication lets its user in' 'not on this host'
	skip 'and nobody else' 'not on this host'
fi
run openshell sandbox delete peers
settled
is "$(leftovers)" '' 'nothing is left'
done_testing
