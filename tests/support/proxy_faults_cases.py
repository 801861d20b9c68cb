"""Cases of proxy_cases.py, suite "faults": whatever is carried, each call by which it is, failing in turn
(tests/support/preload/fault.c). What may come of it is the whole answer, an answer of ours that says why, or the
end of the connection: never part of an answer for the whole, never a request that was not allowed, or that is not
in the log, at the server. The proxy goes on, and keeps nothing."""
import contextlib

MEMORY, EPOLL, RECV, SEND, OPEN, SPLICE = (1 << i for i in range(6))
ALL = (MEMORY, EPOLL, RECV, SEND, OPEN, SPLICE)
PATIENCE = 0.5  # with what hangs because of the fault
DEADLINES_MS = 5 * 3600 * 1000  # nothing that does nothing has longer


PINNED = ("api.test", "full.test", "gql.test", "ws.test", "closed.red.test")


def with_plain_ports(policy):
    """The same hosts without TLS: of its memory every handshake takes hundreds of pieces."""
    block = policy[policy.index("  api:"):policy.index("network_middlewares")]
    kept = [line for line in block.replace("port: 443", "port: 80").splitlines(True)
            if "port: 7 }" not in line and "tls: skip" not in line and "host: plain.test" not in line]
    return policy.replace(block, block + "".join(kept).replace("  api:", "  plain:").replace("api-policy", "plain-policy"))


with open(TMP + "/faults.yaml", "w") as f:
    f.write(with_plain_ports(POLICY))


def begin_faults(*more):
    pins = [*more] + ["%s:%d:127.0.0.1:%d" % (n, port, to) for n in PINNED for port, to in ((443, origin.port), (80, plain.port))]
    pins += ["plain.test:80:127.0.0.1:%d" % plain.port, "raw.test:7:127.0.0.1:%d" % raw_port]
    return with_driver(*[a for p in pins for a in ("--connect-to", p)], policy=TMP + "/faults.yaml", clock=True, faults=True)


def ended(s):
    """Sooner or later the connection is: what was asked on it comes to its end first."""
    s.setblocking(False)
    for _ in range(3):
        D.advance(DEADLINES_MS)
        try:
            while s.recv(65536):
                pass
            return
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except OSError:
            return
    raise AssertionError("the connection hangs")


hung = []


def settled(s, act):
    """What act() returns, or None when the connection ends."""
    s.settimeout(PATIENCE if D.is_faulty() else TIMEOUT)
    try:
        return act()
    except TimeoutError:
        hung.append(s)
        ended(s)
    except (OSError, ValueError, IndexError):
        pass  # its end, within an answer
    return None


def registered(transparent=""):
    """A connection that the proxy knows. (It cannot do without what its supervisor says, and ends when it has no memory for that.)"""
    s = D.connect(transparent)
    D.policy(TMP + "/faults.yaml")
    return s


def tunnel_to(host, port=443, arm=lambda: None):
    """The way in, or None."""
    s = registered()
    arm()
    head = settled(s, lambda: (s.sendall(b"CONNECT %s:%d HTTP/1.1\r\nHost: %s:%d\r\n\r\n" % (host.encode(), port, host.encode(), port)),
                               read_until(s, b"\r\n\r\n"))[1])
    if head and head.startswith(b"HTTP/1.1 200 "):
        return s
    if head and not head.startswith(b"HTTP/1.1 5"):
        raise AssertionError("CONNECT was answered %r" % head)
    s.close()
    return None


def tls_to(host, arm=lambda: None, alpn=()):
    s = tunnel_to(host, arm=arm)
    context = client_context()
    if alpn:
        context.set_alpn_protocols(alpn)
    return s and settled(s, lambda: context.wrap_socket(s, server_hostname=host))


class Fault:
    """Armed by calling it."""

    def __init__(self, kind, number):
        self.kind, self.number = kind, number
        self.server = plain if kind == MEMORY else origin

    def __call__(self):
        D.fault(self.kind, self.number)

    def connect(self, host, **kw):
        """Through TLS, unless memory is what fails."""
        return registered(host + " 80") if self.kind == MEMORY else tls_to(host, **kw)


def logged(*parts):
    with open(D.log_path) as f:
        lines = f.readlines()
    if not any(all(p in line for p in parts) for line in lines):
        raise AssertionError("not in the log: %r; its end: %r" % (parts, lines[-3:]))


def good_answer(server, path, got, check=lambda body: None, denials=(), denied=None):
    """The whole answer, one of ours, or none; and what arrived had been allowed first."""
    if got and got[0] == 200:
        eq(json.loads(got[2])["line"].split(" ")[1], path)
        check(json.loads(got[2]))
    elif got and got[0]:
        if got[0] < 500 and got[0] not in denials:
            raise AssertionError("%s was answered %r" % (path, got))
        has(json.loads(got[2]), "detail")
        if got[0] in denials:
            logged('"%s"' % (denied or path), '"deny"')
    if b" %s HTTP/1.1\r\n" % path.encode() in server.log:
        logged('"%s"' % path, '"allow"')


def descriptors():
    return len(os.listdir("/proc/%d/fd" % D.proxy_pid()))


def goes_on(number):
    path = "/after%d" % number
    status, _, body = ask(D.connect(), b"GET http://plain.test%s HTTP/1.1\r\nHost: plain.test\r\n\r\n" % path.encode())
    eq((status, json.loads(body)["line"]), (200, "GET %s HTTP/1.1" % path))


def each_fault(kinds, attempt, *pins):
    """attempt(), where the first call of a kind fails, then the second, until none does."""
    old = begin_faults(*pins)
    counts = []
    prefix = "/%d" % time.monotonic_ns()
    try:
        attempt(Fault(0, 0), prefix)  # a few empty pipes are kept
        goes_on(0)
        D.advance(DEADLINES_MS)
        before = descriptors()
        for kind in kinds:
            number = slow = 0
            while True:
                hung.clear()
                try:
                    attempt(Fault(kind, number), "%s/%d/%d/" % (prefix, kind, number))
                except Exception as e:
                    raise AssertionError("kind %d, call %d: %s: %s" % (kind, number, type(e).__name__, e)) from e
                has_failed = D.fault(0)
                goes_on(number)
                if has_failed:
                    number += 1
                elif not hung:
                    break
                elif (slow := slow + 1) > 20:  # the machine is slow, and the call had not been reached yet
                    raise AssertionError("kind %d, call %d: it hangs, and no call failed" % (kind, number))
            counts.append(number)
        D.advance(DEADLINES_MS)
        eq(descriptors(), before)
    finally:
        without_driver(old)
    print("# calls that failed: %s" % counts)
    if sum(counts) < 3:
        raise AssertionError("hardly any call failed")


def head_of(method, host, path, extra=b""):
    return b"%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (method, path.encode(), host.encode(), extra)


def chunked(*parts):
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts) + b"0\r\nX-Trailer: t\r\n\r\n"


@case
def a_connection_that_there_is_no_memory_for():
    """What the supervisor says has to be heard: without memory for it the proxy ends, and nobody has a way out."""
    ends = 0
    for number in range(1000):
        old = begin_faults()
        D.fault(MEMORY, number)
        head = None
        with contextlib.suppress(ConnectionError):
            head = tunnel("full.test")[1]
        if head and not head.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 5")):
            raise AssertionError("call %d: CONNECT was answered %r" % (number, head))
        has_failed = D.fault(0)
        try:
            goes_on(number)
            without_driver(old)
        except ConnectionError:
            ends += 1
            logged("the proxy cannot go on: message")
            D.proc.stdin.close()
            eq(D.proc.wait(TIMEOUT), 96)
            globals()["D"] = old
        if not has_failed:
            break
    eq((number > 5, 0 < ends < number), (True, True))


@case
def a_request_in_forward_mode():
    def attempt(arm, path):
        s = registered()
        arm()
        good_answer(plain, path, settled(s, lambda: ask(s, head_of(b"GET", "plain.test", "http://plain.test" + path))))
        s.close()
    each_fault(ALL, attempt)


@case
def the_way_in_through_tls():
    def attempt(arm, path):
        s = tls_to("full.test", arm)
        if s:
            good_answer(origin, path, settled(s, lambda: ask(s, head_of(b"GET", "full.test", path))))
            s.close()
    each_fault((EPOLL, RECV, SEND, OPEN, SPLICE), attempt)


@case
def a_handshake_that_cannot_be_sent_is_502_at_once():
    """Nobody waits for the answer to what was never sent."""
    old = begin_faults()
    try:
        s = tls_to("full.test")
        D.settle()  # what ends the client's own handshake has been sent
        D.fault(SEND)
        status, _, body = ask(s, head_of(b"GET", "full.test", "/unsent"))
        eq((D.fault(0), status, json.loads(body)["error"]), (True, 502, "upstream_tls_failed"))
        has(json.loads(body)["detail"], "Broken pipe")
    finally:
        without_driver(old)


@case
def what_is_denied_stays_denied():
    marker = b"kept-back-%d" % time.monotonic_ns()

    def request(arm, path):
        s = arm.connect("api.test")
        arm()
        good_answer(arm.server, path, settled(s, lambda: ask(s, head_of(b"POST", "api.test", path, b"Content-Length: %d\r\n" % len(marker)) + marker)),
                    denials=(403,))
        s.close()

    def connection(arm, path):
        s = registered("unknown.test 80")
        arm()
        good_answer(arm.server, path, settled(s, lambda: ask(s, head_of(b"GET", "unknown.test", path, b"X: %s\r\n" % marker))),
                    denials=(403,), denied="unknown.test")
        s.close()
    each_fault(ALL, request)
    each_fault(ALL, connection)
    eq(marker in origin.log + plain.log, False)


@case
def bodies_both_ways():
    big = b"b" * 150000

    def big_answer(srv, c, head):
        body = srv.read_body(c, head)
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    def attempt(arm, path):
        arm.server.scripts = {path: big_answer}
        s = arm.connect("full.test")
        arm()
        got = settled(s, lambda: ask(s, head_of(b"PUT", "full.test", path, b"Content-Length: %d\r\n" % len(big)) + big))
        if got and got[0] == 200:
            eq(big.startswith(got[2]), True)
            eq(len(got[2]) == len(big) or closed(s), True)
        s.close()
    each_fault(ALL, attempt)


@case
def chunks_both_ways():
    def in_chunks(srv, c, head):
        c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"w" * 100, srv.read_body(c, head)))

    def attempt(arm, path):
        arm.server.scripts = {path: in_chunks}
        s = arm.connect("full.test")
        arm()
        request = head_of(b"POST", "full.test", path, b"Transfer-Encoding: chunked\r\n") + chunked(b"z" * 5000, b"y" * 3)
        raw = settled(s, lambda: (s.sendall(request), read_until(s, b"X-Trailer: t\r\n\r\n"))[1]) or b""
        if b" 200 OK" in raw and raw.endswith(b"\r\n\r\n") and b"\r\n0\r\n" in raw:
            eq([raw.count(c) for c in (b"w", b"z", b"y")], [100, 5000, 3])
        s.close()
    each_fault(ALL, attempt)


@case
def an_answer_that_ends_with_its_connection():
    def until_close(srv, c, head):
        c.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"%" * 3000)
        return False

    def attempt(arm, path):
        arm.server.scripts = {path: until_close}
        s = arm.connect("full.test")
        arm()
        raw = settled(s, lambda: (s.sendall(head_of(b"GET", "full.test", path)), read_until(s, b"\r\n0\r\n\r\n"))[1]) or b""
        if b" 200 OK" in raw and raw.endswith(b"\r\n0\r\n\r\n"):
            eq(raw.count(b"%"), 3000)
        s.close()
    each_fault(ALL, attempt)


@case
def a_body_that_is_judged():
    secret = b"kept_back_%d" % time.monotonic_ns()

    def attempt(arm, path):
        is_denied = path.endswith("1")
        body = json.dumps({"query": "mutation { %s }" % secret.decode() if is_denied else "{ viewer { login } }"}).encode()
        s = arm.connect("gql.test")
        arm()
        head = head_of(b"POST", "gql.test", path, b"Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: %d\r\n" % len(body))
        got = settled(s, lambda: ask(s, head))
        if got and got[0] == 100:
            got = settled(s, lambda: ask(s, body))
        good_answer(arm.server, path, got, denials=(403,) if is_denied else ())
        s.close()
    each_fault(ALL, lambda arm, path: attempt(arm, path + "m0"))
    each_fault(ALL, lambda arm, path: attempt(arm, path + "m1"))
    eq(secret in origin.log + plain.log, False)


@case
def heads_and_bodies_that_come_in_pieces():
    pad = b"X-Pad: %s\r\n" % (b"p" * 9000)

    def parted(srv, c, head):
        body = srv.read_body(c, head)
        answer = json.dumps({"line": head.split(b"\r\n")[0].decode(), "body": len(body)}).encode()
        c.sendall(b"HTTP/1.1 200 OK\r\n")
        D.settle()
        c.sendall(pad + b"Content-Length: %d\r\n\r\n" % len(answer) + answer)

    def attempt(before, after, arm, path):
        arm.server.scripts = {path: parted}
        body = json.dumps({"query": "{ viewer { login } }", "variables": {"x": "y" * 20000}}).encode()
        request = head_of(b"POST", "gql.test", path, pad + b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)) + body
        s = arm.connect("gql.test")
        before()
        settled(s, lambda: s.sendall(request[:20]))
        D.settle()
        after()

        def act():
            for part in (request[20:9200], request[9200:12000], request[12000:]):
                s.sendall(part)
                D.settle()
            return response(s)
        good_answer(arm.server, path, settled(s, act), lambda got: eq(got["body"], len(body)))
        s.close()
    each_fault((MEMORY, RECV), lambda arm, path: attempt(lambda: None, arm, arm, path))
    each_fault((MEMORY,), lambda arm, path: attempt(arm, lambda: None, arm, path))


@case
def a_body_that_is_searched_for_keys():
    def attempt(arm, path):
        s = arm.connect("closed.red.test")
        arm()
        good_answer(arm.server, path, settled(s, lambda: ask(s, head_of(b"POST", "closed.red.test", path, b"Content-Length: %d\r\n" % (len(KEY) + 4)) + b"key=" + KEY)))
        s.close()
    before = len(origin.log), len(plain.log)
    each_fault(ALL, attempt)
    eq(KEY in origin.log[before[0]:] + plain.log[before[1]:], False)


@case
def a_websocket():
    origin.messages.clear()

    key = base64.b64encode(os.urandom(16))
    upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n" % key

    def attempt(arm, before, after, path):
        arm.server.scripts = {"/chat": ws_script}
        s = arm.connect("ws.test")
        before()
        head = settled(s, lambda: (s.sendall(head_of(b"GET", "ws.test", "/chat", upgrade)), read_until(s, b"\r\n\r\n"))[1])
        if head and head.startswith(b"HTTP/1.1 101 "):
            after()
            for text in (path.encode(), b"x" * 60000):
                got = settled(s, lambda: (s.sendall(ws_frame(1, text)), ws_read(s))[1])
                if not got or got[0] != 1 or len(got[1]) < len(text):
                    break
                eq(got[1], text)
        elif head and not head.startswith(b"HTTP/1.1 5"):
            raise AssertionError("the upgrade was answered %r" % head)
        s.close()
    each_fault(ALL, lambda arm, path: attempt(arm, arm, lambda: None, path))
    each_fault(ALL, lambda arm, path: attempt(arm, lambda: None, arm, path))
    eq({m[1][:1] for m in origin.messages + plain.messages if m[0] == 1}, {b"/", b"x"})  # as they were sent


@case
def bytes_that_nobody_looks_at():
    def attempt(before, after):
        s = tunnel_to("raw.test", 7, before)
        after()
        if not s:
            return

        def talk():
            hello = read_until(s, b"\n")
            s.sendall(b"z" * 100000)
            s.shutdown(socket.SHUT_WR)
            return hello + read_until(s, b"\n")
        got = settled(s, talk)
        if got and got.endswith(b"00\n"):
            eq(got, b"220 hello\n100000\n")
        s.close()
    each_fault(ALL, lambda arm, path: attempt(arm, lambda: None))
    each_fault(ALL, lambda arm, path: attempt(lambda: None, arm))


def ask_twice(client, arm, path, check):
    """Over one connection, which may end."""
    while not client.greeted:
        client.step()
    arm()
    for n in "ab":
        try:
            got = settled(client.sock, lambda: client.ask("POST", path + n, body=b"b" * 1000))
        except h2.exceptions.H2Error:
            break
        if not got:
            break
        check(path + n, got)
    client.sock.close()


@case
def requests_over_http2():
    if not h2:
        print("# needs python3-h2")
        return

    def attempt(arm, path):
        def check(path, got):
            if got["reset"] is None:
                good_answer(arm.server, path, (got["status"], None, got["body"]), lambda body: eq(body["body"], 1000))
        ask_twice(H2("full.test", arm.connect("full.test", alpn=["h2"]), scheme="http" if arm.kind == MEMORY else "https"), arm, path, check)
    each_fault(ALL, attempt)


@case
def requests_to_a_server_that_speaks_http2():
    if not h2:
        print("# needs python3-h2")
        return
    server = H2Origin(False)

    def check(path, got):
        if got["reset"] is None and got["status"] == 200:
            eq((got["body"], got["trailers"]), (b"B" * 1000, {"grpc-status": "0"}))
        elif got["reset"] is None and got["status"] < 500:
            raise AssertionError("%s was answered %r" % (path, got))
        if any(r[":path"] == path for r in server.requests):
            logged('"%s"' % path, '"allow"')

    def attempt(arm, path):
        ask_twice(H2("far.test", registered("far.test 80"), scheme="http"), arm, path, check)
    each_fault(ALL, attempt, "far.test:80:127.0.0.1:%d" % server.port)
