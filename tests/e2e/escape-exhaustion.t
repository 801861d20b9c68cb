#!/bin/bash
# What peers can make the proxy hold (threats.md 40): half requests, clients that do not read, idle tunnels,
# heads without end, compressed bodies. Each has a limit with a stated outcome (docs/limits.md), memory stays
# flat, and others are served.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
start_origin
python=$(readlink -f /usr/bin/python3)
policy_for "$python" /usr/bin/curl >"$T/work/policy.yaml"
ok 'a sandbox' sandbox full --policy "$T/work/policy.yaml"
cat >"$T/work/exhaust.py" <<'PY'
import os, resource, socket, ssl, sys, urllib.parse, zlib
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
proxy = urllib.parse.urlparse(os.environ["https_proxy"])
what, count = sys.argv[1], int(sys.argv[2])
context = ssl.create_default_context()

def plain():
    s = socket.create_connection((proxy.hostname, proxy.port), 10)
    s.settimeout(10)
    return s

def tunnel():
    s = plain()
    s.sendall(b"CONNECT api.github.com:443 HTTP/1.1\r\nHost: api.github.com:443\r\n\r\n")
    if b" 200" not in s.recv(4096):
        raise ConnectionError
    return s

def tls():
    return context.wrap_socket(tunnel(), server_hostname="api.github.com")

def status(s):
    b = s.recv(65536)
    return b.split(b" ")[1].decode() if b else "closed"

def slow():
    for s in [plain() for _ in range(count)]:
        s.sendall(b"GET http://api.github.com/zen HTTP/1.1\r\nHost: api")
        kept.append(s)

def idle():
    kept.extend(tunnel() for _ in range(count))

def deaf():
    for s in [tls() for _ in range(count)]:
        s.sendall(b"GET /bytes/20000000 HTTP/1.1\r\nHost: api.github.com\r\n\r\n")
        kept.append(s)

def bombs():
    head = b"GET /zen HTTP/1.1\r\nHost: api.github.com\r\n"
    for extra in (b"X: " + b"a" * 300000 + b"\r\n", b"X: a\r\n" * 20000, b"C" * 200000 + b": a\r\n"):
        for _ in range(count):
            s = tls()
            try:
                s.sendall(head + extra + b"\r\n")
                print("bomb", status(s), flush=True)
            except OSError:
                print("bomb closed", flush=True)

def unzip():
    body = zlib.compress(b"\0" * 100000000, 9)
    s = tls()
    s.sendall(b"GET /zen HTTP/1.1\r\nHost: api.github.com\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    print("gzip", status(s))

kept = []
{"slow": slow, "idle": idle, "deaf": deaf, "bombs": bombs, "unzip": unzip}[what]()
print("there", flush=True)
sys.stdin.read()
PY
chmod 0644 "$T/work/exhaust.py"
zen() { run openshell sandbox exec -n full -- curl -sS -m $((10 * T_SLOW)) https://api.github.com/zen; like "$out" Anything "$1"; }
zen 'control: somebody is served'
proxy=$(descendant openshell-proxy)
memory() { awk '/^Rss:/ { print $2 }' "/proc/$proxy/smaps_rollup" 2>/dev/null || awk '/^VmRSS:/ { print $2 }' "/proc/$proxy/status"; }
before=$(memory)
mkfifo "$T/tmp/hold"
exec 6<>"$T/tmp/hold"
jobs=()
hold() {
	(exec 6>&-; T_TIMEOUT=120 user openshell sandbox exec -n full -- "$python" "$T/work/exhaust.py" "$@" <"$T/tmp/hold" >"$T/tmp/$1.out" 2>"$T/tmp/$1.err") &
	jobs+=($!)
	ok "$1: $2 of them are there" wait_line "$T/tmp/$1.out" there 30
	zen "$1: somebody else is served"
}
hold slow 400
hold idle 800
at_most_memory $((($(memory) - before) / 1200)) 48 'what each of these costs the proxy, in KiB'
held=$(memory)
hold deaf 40
at_most_memory $(($(memory) - held)) $((40 * 1024)) 'and forty that do not read, in KiB'
hold bombs 5
like "$(sort -u "$T/tmp/bombs.out" | tr '\n' ' ')" '^bomb (400|431|closed) (bomb (431|closed) )*there $' 'a head without end is refused'
held=$(memory)
hold unzip 1
at_most_memory $(($(memory) - held)) 8192 'a compressed body is not inflated, in KiB'
exec 6>&-
wait "${jobs[@]}"
run inside full 'for i in $(seq 300); do curl -s -o /dev/null -m 2 https://leaf$i.test/ & [ $((i % 30)) != 0 ] || wait; done; wait'
zen 'after three hundred names of which none is allowed, too'
at_most_memory $(($(memory) - before)) 131072 'what stays, in KiB'
run openshell logs full --since 5m
like "$out" 'WARN .*(431|too long|too many|larger|exceed)' 'the log says what was too much'
run openshell sandbox delete full
is "$(leftovers)" '' 'nothing is left'
done_testing
