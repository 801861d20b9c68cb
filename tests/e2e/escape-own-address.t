#!/bin/bash
# An address that this machine got after the sandbox had started is this machine's (threats.md 35): a
# name that resolves to it is refused like one that resolved to loopback. The proxy runs under its
# driver in a network namespace of its own, where addresses come and go without harm.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
user unshare -rnm ip link set lo up 2>/dev/null || skip_all 'no ip(8), or no network namespace with rights over it'
cat >"$T/work/policy.yaml" <<'EOS'
version: 1
network_policies:
  wild:
    endpoints:
      - { host: "*.own.test", port: 7000 }
    binaries: [ { path: /usr/bin/curl } ]
EOS
printf '127.0.0.1 localhost\n93.184.216.34 first.own.test\n93.184.216.35 second.own.test\n2606:2800:220:1::7 sixth.own.test\n' >"$T/work/hosts"
cat >"$T/work/client.py" <<'PY'
import os, socket, sys

def ask(name):
    s = socket.create_connection(("127.0.0.1", int(os.environ["PROXY_PORT"])))
    u = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    u.sendto(b"%d" % s.getsockname()[1], os.environ["PROXY_TUPLES"])
    s.settimeout(10)
    s.sendall(b"CONNECT %s:7000 HTTP/1.1\r\nHost: %s:7000\r\n\r\n" % (name.encode(), name.encode()))
    data = b""
    while b"\r\n\r\n" not in data or b"Content-Length" in data and not data.endswith(b"}"):
        b = s.recv(4096)
        if not b:
            break
        data += b
    return data.decode().replace("\r\n", " ")

def direct(addr):
    s = socket.create_connection((addr, 7000), 5)
    return s.recv(100).decode().strip()

def canary():
    import threading
    l = socket.create_server(("::", 7000), family=socket.AF_INET6, dualstack_ipv6=True)
    def serve():
        while True:
            c, _ = l.accept()
            heard.append(1)
            c.sendall(b"sings\n")
            c.close()
    threading.Thread(target=serve, daemon=True).start()

heard = []
canary()
names = ("first", "second", "sixth")
addrs = ("93.184.216.34", "93.184.216.35", "2606:2800:220:1::7")
for n in names:
    print("before", n, ask(n + ".own.test"))
for a in ("93.184.216.34/24", "93.184.216.35/24"):
    assert os.system("ip addr add %s dev lo" % a) == 0
assert os.system("ip addr add 2606:2800:220:1::7/64 dev lo nodad") == 0
for n, a in zip(names, addrs):
    print("direct", n, direct(a))
said = len(heard)
for n in names:
    print("after", n, ask(n + ".own.test"))
print("heard", len(heard) - said)
assert os.system("ip addr flush dev lo scope global") == 0
for n in names:
    print("gone", n, ask(n + ".own.test"))
PY
chmod 0644 "$T"/work/*
run user unshare -rnm /bin/sh -ec "mount --bind '$T/work/hosts' /etc/hosts; ip link set lo up
	exec '$T_SUPPORT/proxy_driver' --proxy '$T_BIN/openshell-proxy' --policy '$T/work/policy.yaml' --log '$T/work/events' $* -- \
		/usr/bin/python3 '$T/work/client.py'"
for n in first second sixth; do
	like "$out" "^before $n HTTP/1.1 502" "control: $n.own.test may be dialled while the address is somebody else's"
	like "$out" "^direct $n sings" 'control: its service is heard when asked directly'
	like "$out" "^after $n HTTP/1.1 403 .*\"ssrf_denied\".*this host" 'once the address is ours it is refused'
	like "$out" "^gone $n HTTP/1.1 502" 'and when it has gone no longer'
done
like "$out" '^heard 0$' 'no service of this machine was dialled'
like "$(cat "$T/work/events")" '"ssrf".*first\.own\.test|first\.own\.test.*"ssrf"' 'the attempt is in the log'
done_testing
