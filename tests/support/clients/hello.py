#!/usr/bin/python3
"""A ClientHello in shapes that no library sends (threats.md 30).

usage: hello.py HOST CASE...

Each case opens a CONNECT tunnel, sends its shape of a hello and, where the other end goes on, ends the
handshake and asks for /zen. Prints `CASE STATUS` (of the answer) or `CASE closed|silent`.
"""
import os, socket, ssl, sys, urllib.parse

host = sys.argv[1]
proxy = urllib.parse.urlparse(os.environ["https_proxy"])


def tunnel():
    s = socket.create_connection((proxy.hostname, proxy.port), 5)
    s.settimeout(8)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.sendall(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        b = s.recv(1)
        if not b:
            raise ConnectionError
        head += b
    if b" 200 " not in head.split(b"\r\n")[0]:
        raise ConnectionError
    return s


def records(hello, size):
    """The handshake message of one record, spread over records of @size bytes."""
    body = hello[5:]
    return b"".join(hello[:3] + len(body[i:i + size]).to_bytes(2, "big") + body[i:i + size] for i in range(0, len(body), size))


def pump(s, tls, out):
    while True:
        try:
            return tls()
        except ssl.SSLWantReadError:
            if out[1].pending:
                s.sendall(out[1].read())
            data = s.recv(65536)
            if not data:
                raise ConnectionError
            out[0].write(data)


def talk(shape, sni=True, alpn=()):
    s = tunnel()
    bios = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname = sni
    if alpn:
        context.set_alpn_protocols(list(alpn))
    o = context.wrap_bio(*bios, server_hostname=host if sni else None)
    try:
        o.do_handshake()
    except ssl.SSLWantReadError:
        shape(s, bios[1].read())
    pump(s, o.do_handshake, bios)
    o.write(f"GET /zen HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    s.sendall(bios[1].read())
    return pump(s, lambda: o.read(4096), bios).split(b" ")[1].decode()


def bytewise(s, hello):
    for i in range(len(hello)):
        s.sendall(hello[i:i + 1])


def raw(data):
    s = tunnel()
    s.sendall(data)
    answer = s.recv(4096)
    return "closed" if not answer or answer[:1] == b"\x15" else "answer"


LONG = ["http/1.1"] + ["x" * 200 + str(i) for i in range(40)]
cases = {
    "plain": lambda: talk(lambda s, h: s.sendall(h)),
    "bytewise": lambda: talk(bytewise),
    "records-1": lambda: talk(lambda s, h: s.sendall(records(h, 60))),
    "records-many": lambda: talk(lambda s, h: s.sendall(records(h, 1))),
    "long": lambda: talk(lambda s, h: s.sendall(h), alpn=LONG),
    "no-sni": lambda: talk(lambda s, h: s.sendall(h), sni=False),
    "sslv2": lambda: raw(b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + b"\x01\x00\x80" * 7 + b"c" * 16),
    "huge-record": lambda: raw(b"\x16\x03\x01\xff\xff" + b"\x01\x00\xff\xfb\x03\x03" + b"h" * 65529),
    "endless": lambda: raw(b"".join(b"\x16\x03\x01\x40\x00" + (b"\x01\xff\xff\xff" if i == 0 else b"hhhh") + b"h" * 16380 for i in range(8))),
    "garbage": lambda: raw(b"\x16\x03\x01\x00\x05hello"),
    "not-tls": lambda: raw(b"SSH-2.0-x\r\n"),
    "alert-first": lambda: raw(b"\x15\x03\x01\x00\x02\x02\x28"),
    "empty-record": lambda: raw(b"\x16\x03\x01\x00\x00" * 200),
}
for name in sys.argv[2:] or cases:
    try:
        print(name, cases[name](), flush=True)
    except socket.timeout:
        print(name, "silent", flush=True)
    except (OSError, ssl.SSLError):
        print(name, "closed", flush=True)
