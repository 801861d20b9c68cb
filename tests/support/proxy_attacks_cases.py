"""Cases of proxy_cases.py, suite "attacks": every variant that threats.md, lines 28 to 33, spells out. What
is well-formed and allowed stands beside each table as the control, and the server's own record shows what
reached it."""

import contextlib, itertools

ATTACKS_POLICY = """
version: 1
network_policies:
  attacks:
    name: attacks
    endpoints:
      - { host: api.test, port: 443, protocol: rest, enforcement: enforce, access: read-only }
      - { host: full.test, port: 443, protocol: rest, enforcement: enforce, access: full }
      - { host: xn--bcher-kva.test, port: 443, protocol: rest, enforcement: enforce, access: full }
      - { host: a_b.test, port: 443, protocol: rest, enforcement: enforce, access: full }
      - { host: 93.184.216.34, port: 443, protocol: rest, enforcement: enforce, access: full }
      - { host: plain.test, port: 80, protocol: rest, enforcement: enforce, access: full }
      - host: ws.test
        port: 443
        protocol: rest
        enforcement: enforce
        rules: [ { allow: { method: GET, path: /chat } }, { allow: { method: POST, path: /form } }, { allow: { method: PUT, path: /form } } ]
      - host: paths.test
        port: 443
        protocol: rest
        enforcement: enforce
        rules: [ { allow: { method: GET, path: "/pub/*" } } ]
        deny_rules: [ { method: GET, path: "/pub/secret" } ]
    binaries: [ { path: /usr/bin/* } ]
"""
ATTACKS = TMP + "/attacks.yaml"
with open(ATTACKS, "w") as f:
    f.write(ATTACKS_POLICY)


def attacked(fn):
    """Runs the case against a proxy with the policy above."""
    def run():
        hosts = ("api.test", "full.test", "xn--bcher-kva.test", "a_b.test", "93.184.216.34", "ws.test", "paths.test")
        pins = sum((["--connect-to", "%s:443:127.0.0.1:%d" % (h, origin.port)] for h in hosts), [])
        old = with_driver(*pins, "--connect-to", "plain.test:80:127.0.0.1:%d" % plain.port, policy=ATTACKS)
        try:
            fn()
        finally:
            without_driver(old)
    run.__name__ = fn.__name__
    return run


def said_to(head):
    s = D.connect()
    s.sendall(head)
    line = read_until(s, b"\r\n")
    return int(line.split(b" ")[1]) if line else "closed"


# ---- 25: whose connection it is ----

OWNED = TMP + "/owned.yaml"
with open(OWNED, "w") as f:
    f.write("version: 1\nnetwork_policies:\n  curl:\n    endpoints: [ { host: api.test, port: 443, protocol: rest, enforcement: enforce, access: full } ]\n"
            "    binaries: [ { path: /usr/bin/curl } ]\n")


def owned(fn):
    """Runs the case against a proxy with a policy for curl alone."""
    def run():
        old = with_driver("--connect-to", "api.test:443:127.0.0.1:%d" % origin.port, policy=OWNED)
        try:
            fn()
        finally:
            without_driver(old)
    run.__name__ = fn.__name__
    return run


class FromPort:
    """Connections to the proxy from sources that are chosen; it looks at them, and at what is said of them, at once."""

    def __init__(self):
        with socket.create_server(("127.0.0.5", 0)) as free:
            self.port = free.getsockname()[1]

    def connect(self, addr):
        s = socket.socket()
        s.settimeout(TIMEOUT)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((addr, self.port))
        s.connect(("127.0.0.1", D.port))
        return s

    def tell(self, addr, binary):
        u = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        u.sendto(("%s:%d api.test 443 %s" % (addr, self.port, binary)).encode(), D.tuples)
        u.close()

    def all_told(self):
        """The driver has passed on what it was told: it answers one thing after the other."""
        os.kill(D.proxy_pid(), signal.SIGCONT)
        D.policy(OWNED)


def who_is(s):
    try:
        return get("api.test", "/", client_context().wrap_socket(s, server_hostname="api.test"))[0]
    except OSError:
        return "closed"


@case
@owned
def the_same_port_of_another_address_is_another_connection():
    # Whoever connects first, and whoever is told of first.
    for connected, told in itertools.product(itertools.permutations(("127.0.0.5", "127.0.0.6")), repeat=2):
        f = FromPort()
        os.kill(D.proxy_pid(), signal.SIGSTOP)
        try:
            there = {a: f.connect(a) for a in connected}
            for a in told:
                f.tell(a, "/usr/bin/curl" if a == "127.0.0.5" else "/opt/evil")
        finally:
            f.all_told()
        eq({a: who_is(s) for a, s in there.items()}, {"127.0.0.5": 200, "127.0.0.6": 403})


def told_before(told):
    """Who is who when that was said before anybody connected; again when it took so long that it was forgotten (2 s)."""
    for _ in range(5):
        f = FromPort()
        for a in told:
            f.tell(a, "/usr/bin/curl" if a == "127.0.0.5" else "/opt/evil")
        f.all_told()
        there = {a: f.connect(a) for a in told}
        got = {a: who_is(s) for a, s in there.items()}
        if "closed" not in got.values():
            break
    return got


@case
@owned
def what_is_said_of_a_port_before_it_connects_is_said_of_its_address():
    for told in itertools.permutations(("127.0.0.5", "127.0.0.6")):
        eq(told_before(told), {"127.0.0.5": 200, "127.0.0.6": 403})


@case
def what_is_said_of_a_port_serves_one_connection():
    old = with_driver("--connect-to", "api.test:443:127.0.0.1:%d" % origin.port, policy=OWNED, clock=True)
    try:
        for _ in range(5):
            f = FromPort()
            f.tell("127.0.0.5", "/usr/bin/curl")
            f.all_told()
            s = f.connect("127.0.0.5")
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with contextlib.suppress(OSError):  # it took 2 s, and was forgotten
                t = client_context().wrap_socket(s, server_hostname="api.test")
                eq(get("api.test", "/", t)[0], 200)
                break
        t.close()  # by a reset: the source is free at once
        s = f.connect("127.0.0.5")
        D.advance(2100)
        eq(closed(s), True)
        eq(len([e for e in D.events() if e["a"] == "TCP" and e["d"] == "allow"]), 1)
    finally:
        without_driver(old)


@case
@owned
def a_connection_is_not_taken_for_the_one_that_had_its_source_before():
    for before, now, want in (("/usr/bin/curl", "/opt/evil", (403, "closed")), ("/opt/evil", "/usr/bin/curl", (200, "closed"))):
        f = FromPort()
        os.kill(D.proxy_pid(), signal.SIGSTOP)
        try:
            old = f.connect("127.0.0.5")
            reset(old)  # the source is free at once
            s = f.connect("127.0.0.5")
            f.tell("127.0.0.5", before)
            f.tell("127.0.0.5", now)
        finally:
            f.all_told()
        got = who_is(s)
        if got not in want:
            raise AssertionError("%s after %s: %s" % (now, before, got))


@case
def who_cannot_be_told_gets_nothing_from_audit_and_nothing_from_policy_local():
    pins = ["--connect-to", "unnamed.test:443:127.0.0.1:%d" % origin.port, "--connect-to", "api.test:443:127.0.0.1:%d" % origin.port]
    for audit, unnamed in ((["--audit"], 200), ([], 403)):
        old = with_driver(*audit, *pins, policy=ATTACKS)
        try:
            for binary, want in (("/usr/bin/curl", (200, unnamed, 404)), ("-", (403, 403, 403)), ("-/usr/bin/curl", (403, 403, 403))):
                before = len(origin.log)
                got = [get(host, "/", client_context().wrap_socket(D.connect("%s 443 %s" % (host, binary)), server_hostname=host))[0] for host in ("api.test", "unnamed.test")]
                got.append(get("policy.local", "/", D.connect("policy.local 80 " + binary))[0])
                eq((audit, binary, tuple(got)), (audit, binary, want))
                eq(len(origin.log) > before, 200 in want)
        finally:
            without_driver(old)


# ---- 28: names ----

@case
@attacked
def names_that_do_not_round_trip_are_not_dialled():
    connect = lambda target, host=None: said_to(b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (target, host or target))
    before = origin.connections
    for target in (b"api.test:443", b"API.test:443", b"api.test.:443", b"xn--bcher-kva.test:443", b"a_b.test:443"):
        if connect(target) != 200:
            raise AssertionError("control %r" % target)
    bad = [b"api.test\0.evil.test:443", b"api.test\t.evil.test:443", b"api.test .evil.test:443", b"api.test%00:443", b"api.test%2eevil.test:443",
           b"api.test..:443", b".api.test:443", b"api..test:443", b"user@api.test:443", b"api.test@evil.test:443", b"api.test#evil.test:443",
           b"api.test/evil:443", b"api.test?x:443", b"api.test\\evil.test:443", b"b\xc3\xbccher.test:443", b"api.te\xd1\x95t:443", b"API.TES\xc5\xa4:443",
           b"api.test:443:443", b"api.test:0443443", b"api.test:65979", b"api.test:", b"api.test", b":443", b"api.test:+443", b"api.test:0x1bb",
           b"a" * 64 + b".api.test:443", b".".join([b"a" * 60] * 5) + b".api.test:443", b"127.1:443", b"0x7f000001:443", b"0177.0.0.1:443",
           b"2130706433:443", b"127.0.0.1.:443", b"[::1%25lo]:443", b"[fe80::1%25eth0]:443", b"[::ffff:127.0.0.1]:443", b"[::]:443", b"0.0.0.0:443",
           b"api.test.evil.test:443", b"evilapi.test:443", b"a-b.test:443"]
    for target in bad:
        got = connect(target)
        if got == 200:
            raise AssertionError("%r was taken" % target)
    for host in (b"evil.test:443", b"api.test:444", b"api.test:443\r\nHost: evil.test:443", b"api.test:443, evil.test"):
        if connect(b"api.test:443", host) == 200:
            raise AssertionError("CONNECT with Host %r" % host)
    for lines in (b"CONNECT api.test\r\n.evil.test:443 HTTP/1.1\r\n\r\n", b"CONNECT api.test:443\r\n\r\n", b"CONNECT api.test:443 HTTP/1.1\nHost: api.test\n\n"):
        if said_to(lines) == 200:
            raise AssertionError("%r" % lines)
    eq(origin.connections, before)


@case
def a_destination_without_a_port_is_400_in_audit_too():
    for audit in (["--audit"], []):
        old = with_driver(*audit, "--connect-to", "api.test:443:127.0.0.1:%d" % origin.port, policy=ATTACKS)
        try:
            eq([said_to(b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (t, t)) for t in (b"api.test:443", b"api.test", b"api.test:0", b"unnamed.test", b"[2001:db8::1]")],
               [200, 400, 400, 400, 400])
        finally:
            without_driver(old)


# ---- 29: fronting ----

def sni_of(connect, sni):
    """A TLS connection through CONNECT whose hello names `sni`, or nobody."""
    s, head = tunnel(connect)
    has(head, b"200")
    return client_context(verify=False).wrap_socket(s, server_hostname=sni)


@case
@attacked
def every_combination_of_connect_sni_and_host_agrees_or_is_421():
    names = ("api.test", "full.test")
    for connect in names:
        for sni in (*names, "evil.test", None):
            for host in (*names, "evil.test", "api.test:444", "full.test:80"):
                before = len(origin.log)
                status = get(host, "/front", sni_of(connect, sni))[0]
                want = 200 if sni in (connect, None) and host == connect else 421
                if status != want:
                    raise AssertionError("CONNECT %s, SNI %s, Host %s: %r, want %d" % (connect, sni, host, status, want))
                eq(len(origin.log) > before, want == 200)
    # A name with its port, in capitals, or with its dot is the same name; transparent ones are judged alike.
    for host in ("api.test:443", "API.test", "api.test."):
        eq(get(host, "/", sni_of("api.test", "api.test"))[0], 200)
    for sni, host, want in (("api.test", "api.test", 200), ("full.test", "api.test", 421), ("api.test", "full.test", 421), (None, "full.test", 421)):
        s = client_context(verify=False).wrap_socket(D.connect("api.test 443"), server_hostname=sni)
        eq((sni, host, get(host, "/", s)[0]), (sni, host, want))


@case
@attacked
def an_address_with_the_name_of_another_is_421():
    # 502: its own turn, for the server's certificate has no address.
    eq(get("93.184.216.34", "/", sni_of("93.184.216.34", None))[0], 502)
    before = len(origin.log)
    eq(get("api.test", "/", sni_of("93.184.216.34", "api.test"))[0], 421)
    eq(get("93.184.216.34", "/", sni_of("93.184.216.34", "api.test"))[0], 421)
    eq(get("api.test", "/", sni_of("93.184.216.34", None))[0], 421)
    eq(len(origin.log), before)


@case
@attacked
def absolute_forms_and_second_hosts_have_to_agree():
    before = len(origin.log) + len(plain.log)
    for text, want in (
        (b"GET https://api.test/ HTTP/1.1\r\nHost: api.test\r\n\r\n", 200),
        (b"GET https://full.test/ HTTP/1.1\r\nHost: api.test\r\n\r\n", (400, 421)),
        (b"GET https://api.test/ HTTP/1.1\r\nHost: full.test\r\n\r\n", (400, 421)),
        (b"GET https://full.test/ HTTP/1.1\r\nHost: full.test\r\n\r\n", (421,)),
        (b"GET http://api.test/ HTTP/1.1\r\nHost: api.test\r\n\r\n", (400,)),
        (b"GET https://api.test@full.test/ HTTP/1.1\r\nHost: api.test\r\n\r\n", (400,)),
        (b"GET / HTTP/1.1\r\nHost: api.test\r\nHost: full.test\r\n\r\n", (400,)),
        (b"GET / HTTP/1.1\r\nHost: api.test\r\nHost: api.test\r\n\r\n", (400,)),
        (b"GET / HTTP/1.1\r\nHost: api.test, full.test\r\n\r\n", (400,)),
        (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", (400, 421)),
        (b"GET / HTTP/1.1\r\n\r\n", (400,)),
    ):
        got = ask(tls("api.test"), text)[0]
        if got != want and (isinstance(want, int) or got not in want):
            raise AssertionError("%r: %r" % (text, got))
        if want == 200:
            before = len(origin.log) + len(plain.log)
    eq(ask(D.connect(), b"GET http://plain.test/ HTTP/1.1\r\nHost: plain.test\r\n\r\n")[0], 200)
    before = len(plain.log)
    eq(ask(D.connect(), b"GET http://plain.test/ HTTP/1.1\r\nHost: api.test\r\n\r\n")[0], 400)
    eq(len(plain.log), before)


@case
@attacked
def h2_coalesced_requests_and_authorities_are_421_one_by_one():
    if not h2:
        return
    c = H2("api.test")
    eq(c.ask("GET", "/mine")["status"], 200)
    before = origin.log.count(b"GET /theirs")
    for authority, headers, want in (("full.test", [], 421), ("full.test", [("host", "full.test")], 421), ("api.test", [("host", "full.test")], 400),
                                     ("full.test", [("host", "api.test")], 400), ("api.test:444", [], 421), ("evil.test", [], 421), ("u@api.test", [], 400)):
        eq((authority, c.ask("GET", "/theirs", headers, authority=authority)["status"]), (authority, want))
    eq(origin.log.count(b"GET /theirs"), before)
    for authority in ("api.test", "API.TEST", "api.test:443"):
        eq(c.ask("GET", "/mine", authority=authority)["status"], 200)
    context = client_context(verify=False)
    context.set_alpn_protocols(["h2"])
    s, head = tunnel("api.test")
    c = H2("full.test", context.wrap_socket(s, server_hostname="full.test"))
    eq((c.ask("GET", "/theirs")["status"], c.ask("GET", "/theirs", authority="api.test")["status"]), (421, 421))
    eq(origin.log.count(b"GET /theirs"), before)


# ---- 31: smuggling ----

HEAD = b"POST /s HTTP/1.1\r\nHost: full.test\r\n"
EVIL = b"DELETE /smuggled HTTP/1.1\r\nHost: full.test\r\n\r\n"


@case
@attacked
def framing_that_two_readers_read_differently_is_400_and_closes():
    chunked = b"0\r\n\r\n"
    shapes = [HEAD + fields + b"\r\n" + body for fields, body in (
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", chunked), (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", chunked),
        (b"Content-Length: 0\r\nContent-Length: 5\r\n", b"hello"), (b"Content-Length: 5, 5\r\n", b"hello"), (b"Content-Length: +5\r\n", b"hello"),
        (b"Content-Length: 0x5\r\n", b"hello"), (b"Content-Length: -5\r\n", b""), (b"Content-Length: 5 5\r\n", b"hello"), (b"Content-Length: \r\n", b""),
        (b"Content-Length: 99999999999999999999\r\n", b""), (b"Content-Length : 5\r\n", b"hello"), (b" Content-Length: 5\r\n", b"hello"),
        (b"Transfer-Encoding: xchunked\r\n", chunked), (b"Transfer-Encoding: chunked, identity\r\n", chunked), (b"Transfer-Encoding: identity, chunked\r\n", chunked),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", chunked), (b"Transfer-Encoding: chunked, chunked\r\n", chunked),
        (b"Transfer-Encoding: chunked;q=1\r\n", chunked), (b"Transfer-Encoding: \"chunked\"\r\n", chunked), (b"Transfer-Encoding: \x0bchunked\r\n", chunked),
        (b"Transfer-Encoding: gzip, chunked\r\n", chunked), (b"Transfer-Encoding : chunked\r\n", chunked), (b"Transfer-Encoding\r\n : chunked\r\n", chunked),
        (b"Transfer-Encoding:\r\n chunked\r\n", chunked), (b"X: a\r\n b\r\n", b""), (b"X: a\0b\r\n", b""), (b"X\0: a\r\n", b""), (b"X: a\rb\r\n", b""),
        (b"X: a\nY: b\r\n", b""), (b"X Y: a\r\n", b""), (b": a\r\n", b""), (b"X\r\n", b""), (b"X(: a\r\n", b""), (b"X\x80: a\r\n", b""))]
    shapes += [line + b"\r\nHost: full.test\r\n\r\n" for line in (
        b"GET /s HTTP/0.9", b"GET /s", b"GET  /s HTTP/1.1", b"GET /s  HTTP/1.1", b"GET\t/s HTTP/1.1", b"GET /s HTTP/1.1 ", b"GET /s HTTP/2.0", b"GET /s HTTP/1.10",
        b"GET /s http/1.1", b"GET /s\0 HTTP/1.1", b"GET /s x HTTP/1.1", b"G\x00T /s HTTP/1.1", b"G@T /s HTTP/1.1")]
    shapes += [b"GET /s HTTP/1.1\nHost: full.test\n\n", b"POST /s HTTP/1.0\r\nHost: full.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"]
    eq(ask(tls("full.test"), HEAD + b"Content-Length: 5\r\n\r\nhello")[0], 200)
    eq(ask(tls("full.test"), HEAD + b"Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")[0], 200)
    before = len(origin.log)
    for shape in shapes:
        s = tls("full.test")
        status = ask(s, shape + EVIL)[0]
        if status not in (400, 505):
            raise AssertionError("%r: %r" % (shape, status))
        eq(closed(s), True)
    eq(len(origin.log), before)


@case
@attacked
def chunks_and_trailers_are_read_one_way():
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    # Blanks around a size and extensions are understood; they stay here.
    for body in (b"5\r\nhello\r\n0\r\n\r\n", b" 5 \r\nhello\r\n0\r\n\r\n", b"5;a=b\r\nhello\r\n00\r\n\r\n"):
        before = len(origin.log)
        eq(ask(tls("full.test"), head + body)[0], 200)
        eq(origin.log[before:].split(b"\r\n\r\n", 1)[1], b"5\r\nhello\r\n0\r\n\r\n")
    for body in (b"5\nhello\r\n0\r\n\r\n", b"0x5\r\nhello\r\n0\r\n\r\n", b"+5\r\nhello\r\n0\r\n\r\n", b"5\r\nhelloX0\r\n\r\n",
                 b"5\r\nhello\n0\r\n\r\n", b"ffffffffffffffff1\r\n", b"5;a\nb\r\nhello\r\n0\r\n\r\n", b"\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\nX: a\nY: b\r\n\r\n",
                 b"5\r\nhello\r\n0\r\nX : a\r\n\r\n", b"5\r\nhello\r\n0\r\n X: a\r\n\r\n", b"5_0\r\nhello\r\n0\r\n\r\n"):
        s = tls("full.test")
        before = origin.log.count(b"DELETE /smuggled")
        s.sendall(head + body + EVIL)
        status = response(s)[0]
        if status not in (400, None):
            raise AssertionError("%r: %r" % (body, status))
        eq(origin.log.count(b"DELETE /smuggled"), before)
    before = len(origin.log)
    eq(ask(tls("full.test"), head + b"5\r\nhello\r\n0\r\nHost: evil.test\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\nX-Kept: 1\r\n\r\n")[0] in (200, 400), True)
    sent = origin.log[before:]
    if b"evil.test" in sent or b"Content-Length: 9" in sent:
        raise AssertionError(sent)


@case
@attacked
def what_follows_a_request_is_judged_as_one():
    for first in (b"GET /a HTTP/1.1\r\nHost: api.test\r\n\r\n", b"GET /a HTTP/1.1\r\nHost: api.test\r\nContent-Length: 3\r\n\r\nabc",
                  b"GET /a HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
                  b"HEAD /a HTTP/1.1\r\nHost: api.test\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: api.test\r\n\r\n",
                  b"GET /a HTTP/1.1\r\nHost: api.test\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
                  b"GET /a HTTP/1.1\r\nHost: api.test\r\nExpect: 100-continue\r\n\r\n"):
        s = tls("api.test")
        before = origin.log.count(b"DELETE")
        s.sendall(first + b"DELETE /b HTTP/1.1\r\nHost: api.test\r\n\r\n")
        got = [response(s, first.split(b" ")[0].decode())[0]]
        if got[0] is not None:
            got.append(response(s)[0])
        if got[0] == 200 and got[1] not in (403, None) or got[0] == 101:
            raise AssertionError("%r: %r" % (first, got))
        eq(origin.log.count(b"DELETE"), before)
        eq(b"h2c" in origin.log[-400:], False)


@case
@attacked
def an_upgrade_that_the_server_declines_hides_nothing():
    ws = b"GET /chat HTTP/1.1\r\nHost: ws.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
    before = origin.log.count(b"DELETE")
    s = tls("ws.test")
    s.sendall(ws + b"DELETE /chat HTTP/1.1\r\nHost: ws.test\r\n\r\n")
    eq(response(s)[0], 200)
    eq(response(s)[0] in (403, None), True)
    eq(origin.log.count(b"DELETE"), before)
    # And a 101 that nobody asked for is no way out either; neither are answers before their request.
    origin.scripts["/chat"] = lambda srv, c, head: c.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    s = tls("ws.test")
    s.sendall(b"GET /chat HTTP/1.1\r\nHost: ws.test\r\n\r\nDELETE /chat HTTP/1.1\r\nHost: ws.test\r\n\r\n")
    eq(response(s)[0], 502)
    eq(origin.log.count(b"DELETE"), before)
    origin.scripts["/chat"] = lambda srv, c, head: c.sendall(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    s = tls("ws.test")
    s.sendall(b"GET /chat HTTP/1.1\r\nHost: ws.test\r\n\r\n")
    statuses = []
    while not statuses or statuses[-1] < 200:
        statuses.append(response(s)[0])
    eq(statuses[-1], 200)


# ---- 32: paths ----

@case
@attacked
def no_spelling_of_a_path_passes_what_its_canonical_form_may_not():
    one = lambda path: ask(tls("paths.test"), b"GET " + path + b" HTTP/1.1\r\nHost: paths.test\r\n\r\n")
    for path, sent in ((b"/pub/a", "/pub/a"), (b"//pub//a", "/pub/a"), (b"/./pub/./a", "/pub/a"), (b"/x/../pub/a", "/pub/a"), (b"/%70ub/a", "/pub/a"), (b"/pub/a?/../secret", "/pub/a?/../secret"),
                       # A backslash is a byte like another: it is judged, and sent, as %5C.
                       (b"/pub/a\\..\\secret", "/pub/a%5C..%5Csecret"), (b"/pub/%5c..%5csecret", "/pub/%5C..%5Csecret")):
        status, _, body = one(path)
        eq((path, status), (path, 200))
        eq(json.loads(body)["line"], "GET %s HTTP/1.1" % sent)
    before = len(origin.log)
    for path in (b"/pub/secret", b"/pub//secret", b"/pub/./secret", b"/pub/x/../secret", b"/pub/%2e/secret", b"/pub/x/%2e%2e/secret", b"/pub/%73ecret", b"/pub/secret?x",
                 b"/pub/secret;a", b"/pub/secret;a=b/", b"/pub/a/b", b"/pub/a%2fb", b"/pub%2fa", b"/pub/..%2fetc", b"/pub/%252e%252e/secret", b"/pub/..;/secret",
                 b"/pub/%c0%af../x", b"/pub/%c0%ae%c0%ae/secret", b"/pub/%00", b"/pub/%0d%0aX:y", b"/pub/%", b"/pub/%zz",
                 b"/pub/a#/../secret", b"/PUB/a", b"/pub", b"/../pub/../secret", b"/pub/" + b"a" * 65536, b"/pub/\xff", b"pub/a", b"*"):
        try:
            status = one(path)[0]
        except OSError:
            status = None
        if status not in (400, 403, 431, None):
            raise AssertionError("%r: %r" % (path[:80], status))
    eq(len(origin.log), before)


# ---- 33: methods ----

@case
@attacked
def methods_are_judged_as_what_they_ask_for():
    def one(host, line, fields=b""):
        return ask(tls(host), line + b" HTTP/1.1\r\nHost: " + host.encode() + b"\r\n" + fields + b"\r\n", line.split(b" ")[0].decode().upper())[0]
    eq((one("api.test", b"GET /m"), one("api.test", b"OPTIONS /m"), one("api.test", b"OPTIONS *"), one("api.test", b"HEAD /m")), (200, 200, 200, 200))
    eq(one("api.test", b"GET /m", b"Content-Length: 0\r\n"), 200)
    before = len(origin.log)
    for method in (b"post", b"Delete", b"PATCH", b"PROPFIND", b"BREW", b"GETX", b"PRI", b"CONNECT"):
        if one("api.test", method + b" /m", b"Content-Length: 0\r\n") not in (400, 403, None):
            raise AssertionError(method)
    for method in (b"TRACE", b"trace", b"TRACK"):
        eq((method, one("full.test", method + b" /m", b"Authorization: Bearer t\r\n")), (method, 405))
    # To CGI, WSGI and Rack "_" and "-" are one byte.
    for name in (b"X-HTTP-Method-Override", b"X-Method-Override", b"X-HTTP-Method", b"x-http-method-override", b"X_HTTP_METHOD_OVERRIDE", b"x-http_method-override",
                 b"X_Method_Override", b"X_HTTP_Method"):
        for value in (b"DELETE", b"delete", b"POST"):
            eq((name, value, one("api.test", b"GET /m", name + b": " + value + b"\r\n")), (name, value, 403))
        eq((name, one("full.test", b"POST /m", name + b": TRACE\r\nContent-Length: 0\r\n")), (name, 400))
        eq((name, one("full.test", b"POST /m", name + b": PUT\r\nX-HTTP-Method: PUT\r\nContent-Length: 0\r\n")) if name != b"X-HTTP-Method" else (name, 400), (name, 400))
    eq(len(origin.log), before)
    # What may be asked for is sent as what was judged.
    before = len(origin.log)
    eq(one("full.test", b"POST /m", b"X-HTTP-Method-Override: DELETE\r\nContent-Length: 0\r\n"), 200)
    has(origin.log[before:], b"DELETE /m HTTP/1.1")
    eq(b"verride" in origin.log[before:], False)


@case
@attacked
def a_field_that_asks_for_another_resource_is_400():
    one = lambda fields: ask(tls("paths.test"), b"GET /pub/a HTTP/1.1\r\nHost: paths.test\r\n" + fields + b"\r\n")[0]
    eq((one(b""), one(b"X-Original-URL-Of: /pub/secret\r\n")), (200, 200))
    before = len(origin.log)
    for name in (b"X-Original-URL", b"x-rewrite-url", b"X_ORIGINAL_URL", b"X-Rewrite_Url"):
        eq((name, one(name + b": /pub/secret\r\n")), (name, 400))
    eq(len(origin.log), before)


@case
@attacked
def a_body_that_some_servers_take_for_a_request_is_the_last_thing_on_its_connection():
    """CL.0: here a server that looks at no body of a GET. It keeps to Connection: close, as all do."""
    def deaf(srv, c, head):
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + (b"" if head.startswith(b"HEAD") else b"ok"))
        if b"Connection: close" not in head:
            return True
        while c.recv(4096):
            pass
        return False
    origin.scripts["/deaf"] = deaf
    answered = []
    origin.scripts["/smuggled"] = lambda srv, c, head: answered.append(head) or deaf(srv, c, head)
    for method in (b"GET", b"HEAD", b"DELETE", b"get"):
        head = method + b" /deaf HTTP/1.1\r\nHost: full.test\r\n"
        s = tls("full.test")
        eq(ask(s, head + b"Content-Length: %d\r\n\r\n" % len(EVIL) + EVIL, method.decode().upper())[0], 200)
        eq(get("full.test", "/next", s)[0], 200)
        eq(ask(tls("full.test"), head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(EVIL) + EVIL + b"\r\n0\r\n\r\n", method.decode().upper())[0], 200)
        eq(get("full.test", "/next")[0], 200)
    eq(answered, [])
    # Control: without a body there is nothing to be taken for one, and the connection stays.
    known = origin.connections
    for _ in range(2):
        eq(ask(tls("full.test"), b"DELETE /plain HTTP/1.1\r\nHost: full.test\r\nContent-Length: 0\r\n\r\n")[0], 200)
    eq(origin.connections <= known + 1, True)
    eq(b"Connection: close" in origin.log[origin.log.rindex(b"DELETE /plain"):], False)


@case
@attacked
def a_method_in_the_query_of_a_post_is_judged_and_sent():
    def form(query, fields=b""):
        before = len(origin.log)
        status = ask(tls("ws.test"), b"POST /form" + query + b" HTTP/1.1\r\nHost: ws.test\r\n" + fields + b"Content-Length: 3\r\n\r\na=b")[0]
        return status, origin.log[before:].split(b" ")[0]
    eq(form(b""), (200, b"POST"))
    eq(form(b"?x=_method"), (200, b"POST"))
    eq(form(b"?_methods=DELETE&method=DELETE&%20method=DELETE&_method_=DELETE"), (200, b"POST"))
    eq(form(b"?_method=put"), (200, b"PUT"))
    for query in (b"?_method=DELETE", b"?a=b&_method=delete", b"?%5Fmethod=DELETE", b"?_method=%44ELETE", b"?.method=DELETE",
                  b"?%20_method=DELETE", b"?+.method=DELETE", b"?_method%00=DELETE", b"?_method%00x=DELETE"):
        eq((query, form(query)), (query, (403, b"")))
    for query in (b"?_method=PUT&_method=DELETE", b"?_method=GET", b"?_method=TRACE", b"?_method=x", b"?_method"):
        eq((query, form(query)), (query, (400, b"")))
    eq(form(b"?_method=PUT", b"X-HTTP-Method-Override: PUT\r\n"), (400, b""))


# ---- relays ----

@case
@attacked
def a_relay_keeps_half_closes_of_either_side_and_counts_both_ways():
    l = socket.create_server(("127.0.0.1", 0))
    heard = []

    def serve():
        c, _ = l.accept()
        c.sendall(b"220 first\n")  # before the client has said a word
        c.shutdown(socket.SHUT_WR)
        while (b := c.recv(4096)):
            heard.append(b)
        c.close()
    server = threading.Thread(target=serve, daemon=True)
    server.start()
    policy = TMP + "/relay.yaml"
    with open(policy, "w") as f:
        f.write("version: 1\nnetwork_policies:\n  r: { endpoints: [ { host: raw.test, port: 25, protocol: tcp } ], binaries: [ { path: /usr/bin/* } ] }\n")
    old = with_driver("--connect-to", "raw.test:25:127.0.0.1:%d" % l.getsockname()[1], policy=policy)
    try:
        s = D.connect("raw.test 25")
        eq(read_until(s, b"\n"), b"220 first\n")
        eq(s.recv(1), b"")  # the server has ended its direction, ours goes on
        s.sendall(b"still ")
        s.sendall(b"here")
        s.shutdown(socket.SHUT_WR)
        D.await_event(m="closed", h="raw.test", up=10, down=10)
        server.join(10)  # the proxy tells of the end before the server has read it
        eq(b"".join(heard), b"still here")
    finally:
        without_driver(old)


# ---- connections of the client that go on ----

@case
@attacked
def what_follows_on_a_connection_to_the_proxy_begins_anew():
    def said(s, head, want):
        s.sendall(head)
        status, _, body = response(s)
        eq((head.split(b"\r\n")[0], status), (head.split(b"\r\n")[0], want))
        return body
    allowed = b"GET http://plain.test/a HTTP/1.1\r\nHost: plain.test\r\n\r\n"
    denied = b"GET http://unknown.test/b HTTP/1.1\r\nHost: unknown.test\r\n\r\n"
    connect = b"CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n"
    s = D.connect()
    for head, want in ((allowed, 200), (denied, 403), (allowed, 200), (denied, 403), (denied, 403), (allowed, 200)):
        body = said(s, head, want)
        if want == 403:
            eq(json.loads(body)["host"], "unknown.test")
    # In the same write, and then into a tunnel.
    s.sendall(denied + allowed + denied)
    eq([response(s)[0] for _ in range(3)], [403, 200, 403])
    s.sendall(connect)
    has(read_until(s, b"\r\n\r\n"), b"200 Connection Established")
    eq(get("api.test", "/", client_context().wrap_socket(s, server_hostname="api.test"))[0], 200)
    D.await_event(a="CONNECT", h="api.test")
    # What cannot be read is not said to go where the last one went.
    s = D.connect()
    said(s, allowed, 200)
    said(s, b"GET nonsense HTTP/1.1\r\n\r\n", 400)
    eq([e.get("h") for e in D.events() if e.get("d") == "deny" and e["a"] == "CONNECT"][-1], None)


@case
@attacked
def who_floods_after_a_refusal_holds_up_nobody():
    # Three threads write into one connection that was answered and ends; others are served meanwhile.
    s = D.connect()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
    s.sendall(b"CONNECT unknown.test:443 HTTP/1.1\r\nHost: unknown.test:443\r\n\r\n")
    has(read_until(s, b"\r\n\r\n"), b"403")
    block, over = bytes(1 << 20), threading.Event()

    def flood():
        try:
            while not over.is_set():
                s.sendall(block)
        except OSError:
            pass
    threads = [threading.Thread(target=flood, daemon=True) for _ in range(3)]
    for t in threads:
        t.start()
    for _ in range(5):
        eq(get("api.test")[0], 200)
    over.set()
    s.close()


# ---- a new policy, and what is under way ----

def reload_policy(name, skip="", middleware=""):
    path = "%s/reload-%s.yaml" % (TMP, name)
    with open(path, "w") as f:
        f.write("version: 1\nnetwork_policies:\n  p:\n    endpoints:\n"
                "      - { host: skip.test, port: 443, protocol: rest, %senforcement: enforce, access: full }\n"
                "      - { host: full.test, port: 443, protocol: rest, enforcement: enforce, access: full }\n"
                "    binaries: [ { path: /usr/bin/* } ]\n%s" % (skip, middleware))
    return path


def reloaded(name, **how):
    """How many connections ended, by this policy."""
    return int(D.policy(reload_policy(name, **how))[1])


def with_reloads(**how):
    return with_driver("--connect-to", "skip.test:443:127.0.0.1:%d" % origin.port, "--connect-to", "full.test:443:127.0.0.1:%d" % origin.port,
                       policy=reload_policy("first", **how))


@case
def what_went_by_untouched_ends_when_a_new_policy_looks_into_it_and_the_reverse():
    skip, look = {"skip": "tls: skip, "}, {}
    theirs = ssl.create_default_context(cafile=TMP + "/origin.crt")
    for first, then, context in ((skip, look, theirs), (look, skip, None)):
        old = with_reloads(**first)
        try:
            s = tls("skip.test", context=context)
            eq(get("skip.test", "/", s)[0], 200)
            eq(reloaded("same", **first), 0)
            eq(get("skip.test", "/", s)[0], 200)
            eq(reloaded("other", **then), 1)
            eq(closed(s), True)
        finally:
            without_driver(old)


@case
def a_body_under_way_ends_when_a_new_policy_would_have_searched_it():
    regex = "network_middlewares:\n  keys:\n    middleware: openshell/regex\n    order: 1\n    on_error: %s\n    endpoints: { include: [full.test] }\n"
    begun = threading.Semaphore(0)

    def up(srv, c, head):
        begun.release()
        body = srv.read_body(c, head)
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    origin.scripts["/up"] = up
    for on_error, ends in (("fail_closed", 1), ("fail_open", 0)):
        old = with_reloads()
        try:
            s = tls("full.test")
            s.sendall(b"POST /up HTTP/1.1\r\nHost: full.test\r\nContent-Length: 10\r\n\r\n01234")
            eq(begun.acquire(timeout=TIMEOUT), True)
            eq((on_error, reloaded("other", middleware=regex % on_error)), (on_error, ends))
            if ends:
                eq(closed(s), True)
            else:
                s.sendall(b"56789")
                eq(response(s)[::2], (200, b"0123456789"))
        finally:
            without_driver(old)


@case
def a_refusal_of_the_old_policy_is_told_once_more_at_most():
    # Half of a request is here when the policy changes.
    old = with_reloads()
    try:
        s = D.connect("other.test 80")
        eq(get("other.test", "/", s)[0], 403)
        s.sendall(b"GET / HTTP/1.1\r\nHost: oth")
        eq(get("other.test", "/", D.connect("other.test 80"))[0], 403)  # by then the half has been read
        eq(reloaded("same"), 0)
        s.sendall(b"er.test\r\n\r\n")
        eq(response(s)[0], 403)
        eq(closed(s), True)
    finally:
        without_driver(old)


# ---- warm connections to servers ----

@case
def a_warm_connection_serves_the_same_program_under_the_same_policy():
    old = with_reloads()
    try:
        def opened(binary):
            before = origin.connections
            s = client_context().wrap_socket(D.connect("full.test 443 " + binary), server_hostname="full.test")
            eq(get("full.test", "/", s)[0], 200)
            s.close()
            return origin.connections - before
        eq([opened("/usr/bin/" + name) for name in ("curl", "curl", "wget", "wget", "curl")], [1, 0, 1, 0, 0])
        eq(reloaded("same"), 0)
        eq([opened("/usr/bin/" + name) for name in ("curl", "curl", "wget", "wget")], [1, 0, 1, 0])
    finally:
        without_driver(old)


@case
@attacked
def what_a_server_says_between_two_requests_is_the_answer_to_neither():
    more, said = threading.Event(), threading.Event()

    def twice(srv, c, head):
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst")
        more.wait(TIMEOUT)
        with contextlib.suppress(OSError):
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nunasked")
        said.set()
    origin.scripts["/twice"] = twice
    for client in ("the same", "the next"):
        more.clear()
        said.clear()
        s = tls("full.test")
        eq(get("full.test", "/twice", s)[::2], (200, b"first"))
        more.set()
        eq(said.wait(TIMEOUT), True)
        eq(get("api.test")[0], 200)  # by then it has been read
        status, _, body = get("full.test", "/asked", s if client == "the same" else None)
        eq((client, status, json.loads(body)["line"]), (client, 200, "GET /asked HTTP/1.1"))
