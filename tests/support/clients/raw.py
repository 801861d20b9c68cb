#!/usr/bin/python3
"""Bytes to the proxy as no client library would send them.

usage: raw.py CASES.json

CASES is a list of {"id", "connect", "sni"?, "send"?}: "connect" is sent to the explicit proxy as it is
(Latin-1; \\u0000 and the like included); when the answer is 200 and there is a "send", TLS is started with
"sni" (default api.github.com) and "send" goes through it. Prints one line a case: the id, the status of the
CONNECT, and the statuses of everything that came back inside, or the error.
"""
import concurrent.futures, json, os, re, socket, ssl, sys, urllib.parse

proxy = urllib.parse.urlparse(os.environ["https_proxy"])


def read_all(s):
    out = b""
    try:
        while True:
            b = s.recv(65536)
            if not b:
                return out
            out += b
            if b"\r\n\r\n" in out and not out.startswith(b"HTTP/1.1 200 Connection") and b"Content-Length" not in out:
                return out
    except OSError:
        return out


def connect(case):
    s = socket.create_connection((proxy.hostname, proxy.port), 5)
    s.settimeout(1.5)
    s.sendall(case["connect"].encode("latin-1"))
    head = b""
    while b"\r\n\r\n" not in head:
        b = s.recv(4096)
        if not b:
            break
        head += b
    return s, head


def run(case):
    s, head = connect(case)
    status = head.split(b"\r\n")[0].decode("latin-1").split(" ")
    first = status[1] if len(status) > 1 else "closed"
    if first != "200" or "send" not in case:
        return [first]
    context = ssl.create_default_context()
    context.check_hostname = False
    t = context.wrap_socket(s, server_hostname=case.get("sni", "api.github.com"))
    t.sendall(case["send"].encode("latin-1"))
    return [first] + re.findall(r"HTTP/1\.1 (\d\d\d)", read_all(t).decode("latin-1"))


def outcome(case):
    try:
        return [case["id"]] + run(case)
    except Exception as e:
        return [case["id"], type(e).__name__]


# Most of a case is waiting for what must not come: they wait side by side.
with concurrent.futures.ThreadPoolExecutor(20) as pool:
    for words in pool.map(outcome, json.load(open(sys.argv[1]))):
        print(*words)
