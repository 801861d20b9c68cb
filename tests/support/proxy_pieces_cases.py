"""Cases of proxy_cases.py, suite "pieces": what comes in two pieces is one, wherever it is parted; what ends too
early is not passed off as whole, wherever it ends. Each piece has been seen by the proxy before the next one is
sent: the clock is ours, and says when it has looked (Driver.settle())."""
import contextlib


@contextlib.contextmanager
def own_proxy(*args, policy=None):
    pins = ["%s:443:127.0.0.1:%d" % (n, origin.port) for n in names[2:]]
    pins += ["plain.test:80:127.0.0.1:%d" % plain.port, "raw.test:7:127.0.0.1:%d" % raw_port]
    old = with_driver(*args, *[a for p in pins for a in ("--connect-to", p)], policy=policy, clock=True)
    try:
        yield D
    finally:
        without_driver(old)


def final(s):
    """The first answer that is no interim one."""
    got = response(s)
    while got[0] and got[0] < 200:
        got = response(s)
    return got


def plain_connection():
    return D.connect("plain.test 80")


def get_plain(path):
    return b"GET %s HTTP/1.1\r\nHost: plain.test\r\n\r\n" % path.encode()


HINTED = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"


@case
def an_answer_is_whole_wherever_it_is_parted():
    with own_proxy():
        s = plain_connection()
        for wire in (HINTED, CHUNKED):
            for at in range(1, len(wire)):
                def parted(srv, c, head):
                    c.sendall(wire[:at])
                    D.settle()
                    c.sendall(wire[at:])
                plain.scripts = {"/parted": parted}
                s.sendall(get_plain("/parted"))
                status, _, body = final(s)
                eq((at, status, body), (at, 200, b"hello"))
        for first in range(1, len(HINTED), 7):
            for second in range(first + 1, len(HINTED), 7):
                def in_three(srv, c, head):
                    c.sendall(HINTED[:first])
                    for part in (HINTED[first:second], HINTED[second:]):
                        D.settle()
                        c.sendall(part)
                plain.scripts = {"/parted": in_three}
                s.sendall(get_plain("/parted"))
                status, _, body = final(s)
                eq((first, second, status, body), (first, second, 200, b"hello"))


@case
def an_answer_that_is_cut_is_502_before_its_first_byte_goes_on_and_a_cut_after():
    with own_proxy():
        for wire in (HINTED, CHUNKED):
            head_end = wire.index(b"200 OK") + wire[wire.index(b"200 OK"):].index(b"\r\n\r\n") + 4
            for by_reset in (False, True):
                for at in range(len(wire)):
                    def cut(srv, c, head):
                        c.sendall(wire[:at])
                        D.settle()
                        if by_reset:
                            c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                        return False
                    plain.scripts = {"/cut": cut}
                    s = plain_connection()
                    s.sendall(get_plain("/cut"))
                    if at < head_end:
                        status, _, body = final(s)
                        eq((at, status, json.loads(body)["error"]), (at, 502, "upstream_failed"))
                    else:
                        raw = b""
                        with contextlib.suppress(ConnectionError):
                            while part := s.recv(65536):
                                raw += part
                        has(raw, b" 200 OK\r\n")
                        eq((at, raw.endswith(wire[-5:])), (at, False))
                    s.close()


def posted(wire, at, act):
    s = plain_connection()
    s.sendall(wire[:at])
    D.settle()
    act(s)


POST = b"POST /post HTTP/1.1\r\nHost: plain.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"


@case
def a_request_is_whole_wherever_it_is_parted():
    with own_proxy():
        for wire in (POST, POST.replace(b"Transfer-Encoding: chunked", b"Content-Length: 5").replace(b"5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n", b"hello")):
            s = plain_connection()
            for at in range(1, len(wire)):
                s.sendall(wire[:at])
                D.settle()
                s.sendall(wire[at:])
                status, _, body = response(s)
                eq((at, status, json.loads(body)["body"]), (at, 200, 5))


@case
def a_request_that_is_cut_is_no_request_and_its_connections_end():
    began, whole, over = [], [], []

    def wait_for_all(srv, c, head):
        began.append(head)
        try:
            srv.read_body(c, head)
            whole.append(head)
        finally:
            over.append(head)
        return False
    with own_proxy():
        for wire in (POST, POST.replace(b"Transfer-Encoding: chunked", b"Content-Length: 6").replace(b"5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n", b"hello")):
            for end in (reset, lambda s: s.close(), lambda s: (s.shutdown(socket.SHUT_WR), eq(closed(s), True))):
                for at in range(len(wire)):
                    plain.scripts = {"/post": wait_for_all}
                    posted(wire, at, end)
        wait_for(lambda: len(over) == len(began))
        eq((len(began) > 50, whole), (True, []))
        eq(ask(plain_connection(), get_plain("/"))[0], 200)


@case
def a_client_that_ends_its_upload_still_gets_the_answer_that_has_begun():
    gate = threading.Event()

    def early(srv, c, head):
        c.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 10\r\n\r\nfirst")
        gate.wait(TIMEOUT)
        c.sendall(b"-half")
    with own_proxy():
        plain.scripts = {"/early": early}
        s = plain_connection()
        s.sendall(b"PUT /early HTTP/1.1\r\nHost: plain.test\r\nContent-Length: 100\r\n\r\nsome")
        head = read_until(s, b"first")
        has(head, b" 413 ")
        s.shutdown(socket.SHUT_WR)
        D.settle()  # the proxy does not spin
        gate.set()
        eq(read_until(s, b"-half"), b"-half")
        eq(closed(s), True)


@case
def a_server_that_goes_away_in_the_middle_of_an_upload_is_502():
    def gone(srv, c, head):
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        srv.read_exact(c, 1000)
        D.settle()
        return False
    with own_proxy():
        for host, port, server in (("plain.test", 80, plain), ("full.test", 443, origin)):
            server.scripts = {"/gone": gone}
            s = plain_connection() if port == 80 else tls(host)
            head = b"PUT /gone HTTP/1.1\r\nHost: %s\r\nContent-Length: 50000000\r\n\r\n" % host.encode()
            with contextlib.suppress(OSError):
                s.sendall(head + bytes(8000000))
            status, _, body = response(s)
            eq((host, status, json.loads(body)["error"]), (host, 502, "upstream_failed"))
            s.close()


@case
def a_body_that_turns_out_malformed_after_the_answer_has_begun_is_cut():
    ended = threading.Event()

    def early(srv, c, head):
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        with contextlib.suppress(OSError, ValueError):
            srv.read_body(c, head)
        ended.set()
        return False
    with own_proxy():
        plain.scripts = {"/early": early}
        s = plain_connection()
        s.sendall(b"POST /early HTTP/1.1\r\nHost: plain.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        has(read_until(s, b"first"), b" 200 ")
        s.sendall(b"nonsense\r\n")
        eq(closed(s), True)
        eq(ended.wait(TIMEOUT), True)


def hello(host):
    """A client of TLS in memory, and the first it says."""
    inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context().wrap_bio(inward, outward, server_hostname=host)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return client, inward, outward, outward.read()


@case
def a_client_may_part_its_first_bytes_anywhere_and_go_away_after_any():
    with own_proxy():
        for host in ("full.test", "unknown.test"):
            first = hello(host)[3]
            for at in sorted({1, 2, 3, 4, 5, 6, 9, 43, 44, len(first) // 2, len(first) - 1}):
                client, inward, outward, first = hello(host)
                s = D.connect(host + " 443")
                s.sendall(first[:at])
                D.settle()
                s.sendall(first[at:])
                while True:
                    try:
                        client.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        if outward.pending:
                            s.sendall(outward.read())
                        inward.write(s.recv(65536))
                client.write(b"GET /parted HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % host.encode())
                s.sendall(outward.read())
                answer = b""
                with contextlib.suppress(ConnectionError):
                    while part := s.recv(65536):
                        inward.write(part)
                        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                            answer += client.read(65536)
                has(answer, b"HTTP/1.1 200 " if host == "full.test" else b"HTTP/1.1 403 ")
            for at in (0, 1, 5, 6, len(first) - 1, len(first)):
                for begin in (lambda: D.connect(host + " 443"), lambda: tunnel("full.test")[0]):
                    s = begin()
                    s.sendall(first[:at])
                    D.settle()
                    reset(s)
        for start in (b"", b"P", b"PRI * HTTP/2.0\r", b"GET / HT"):
            s = D.connect("plain.test 80")
            s.sendall(start)
            D.settle()
            reset(s)
        D.settle()
        eq(get("full.test", "/after")[0], 200)


@case
def what_follows_an_upgrade_at_once_is_judged_and_goes_on():
    key = b"dGhlIHNhbXBsZSBub25jZQ=="
    upgrade = lambda host: (b"GET /chat HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                            b"Sec-WebSocket-Key: %s\r\n\r\n" % (host.encode(), key))
    with own_proxy():
        for host in ("ws.test", "full.test", "wsro.test"):
            origin.scripts = {"/chat": ws_script}
            origin.messages.clear()
            s = tls(host)
            s.sendall(upgrade(host) + ws_frame(1, b"early"))
            has(read_until(s, b"\r\n\r\n"), b"HTTP/1.1 101 ")
            op, data = ws_read(s)
            if host == "wsro.test":
                eq((op, struct.unpack(">H", data[:2])[0], [m for m in origin.messages if m[0] == 1]), (8, 1008, []))
            else:
                eq((op, data), (1, b"early"))


@case
def megabytes_pass_an_upgraded_connection_both_ways():
    with own_proxy():
        origin.scripts = {"/chat": ws_script}
        origin.messages.clear()
        s = tls("full.test")
        s.sendall(b"GET /chat HTTP/1.1\r\nHost: full.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                  b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        has(read_until(s, b"\r\n\r\n"), b"HTTP/1.1 101 ")
        big = os.urandom(4 * 1024 * 1024)
        s.sendall(b"\x82\xff" + struct.pack(">Q", len(big)) + b"\0\0\0\0" + big)
        eq(ws_read(s) == (2, big), True)


@case
def who_asks_without_reading_is_asked_to_wait_and_gets_all_in_order():
    count, size = 1000, 8000  # each is whole when it is read from the server: what is full is full between two

    def large(srv, c, head):
        large.seen += 1
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"%d" % (large.seen % 10) * size)
    large.seen = 0
    with own_proxy():
        plain.scripts = {"/large": large}
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.settimeout(TIMEOUT)
        s.connect(("127.0.0.1", D.port))
        D.register(s, "plain.test 80")
        threading.Thread(target=s.sendall, args=(get_plain("/large") * count,), daemon=True).start()

        def stands():
            seen = large.seen
            for _ in range(10):
                D.settle()
            return seen == large.seen > 1
        wait_for(stands)
        eq(large.seen < count, True)
        for i in range(1, count + 1):
            eq(response(s)[2] == b"%d" % (i % 10) * size, True)


@case
def a_judged_body_whose_framing_is_most_of_it_is_413():
    with own_proxy():
        before = origin.log.count(b"POST /framing")
        s = tls("gql.test")
        s.sendall(b"POST /framing HTTP/1.1\r\nHost: gql.test\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 60000)
        eq(response(s)[0], 413)
        eq(origin.log.count(b"POST /framing"), before)


@case
def http_1_0_without_a_host_is_for_the_connections_host():
    with own_proxy():
        status, _, body = ask(tls("full.test"), b"GET /old HTTP/1.0\r\n\r\n")
        eq(status, 200)
        has(json.loads(body)["head"], "Host: full.test\r\n")


@case
def http_1_0_is_told_of_no_interim_answer():
    with own_proxy():
        plain.scripts = {"/hinted": lambda srv, c, head: c.sendall(HINTED)}
        status, _, body = ask(plain_connection(), b"GET /hinted HTTP/1.0\r\nHost: plain.test\r\n\r\n")
        eq((status, body), (200, b"hello"))


@case
def a_malformed_upgrade_is_400_with_the_reason():
    with own_proxy():
        before = len(origin.log)
        status, _, body = ask(tls("full.test"), b"GET /chat HTTP/1.1\r\nHost: full.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n")
        eq((status, json.loads(body)["error"]), (400, "invalid_request"))
        eq(len(origin.log), before)


@case
def a_refused_connection_with_another_server_name_is_told_why_it_was_refused():
    with own_proxy():
        s = client_context(verify=False).wrap_socket(D.connect("unknown.test 443"), server_hostname="other.test")
        eq(get("unknown.test", "/", s)[0], 403)


@case
def an_unknown_protocol_is_relayed_under_audit_when_its_client_speaks_first():
    with own_proxy("--audit", "--connect-to", "unnamed.test:7:127.0.0.1:%d" % raw_port):
        for first in (b"\0\1binary", b"HELO there\r\n"):
            s = D.connect("unnamed.test 7")
            s.sendall(first)
            s.shutdown(socket.SHUT_WR)
            eq(read_until(s, b"\n") + read_until(s, b"\n"), b"220 hello\n%d\n" % len(first))
            D.await_event(h="unnamed.test", d="audit")


@case
def a_request_in_flight_that_the_new_policy_does_not_allow_is_cut_and_another_is_not():
    gate = threading.Event()
    ends = []

    def slow(srv, c, head):
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        gate.wait(TIMEOUT)
        c.sendall(b"-half")
    with own_proxy():
        origin.scripts = {"/slow": slow}
        kept, gone = tls("full.test"), tls("full.test")
        kept.sendall(b"GET /slow HTTP/1.1\r\nHost: full.test\r\n\r\n")
        gone.sendall(b"DELETE /slow HTTP/1.1\r\nHost: full.test\r\n\r\n")
        for s in (kept, gone):
            has(read_until(s, b"first"), b" 200 ")
        eq(int(with_policy(lambda p: p.replace("host: full.test, port: 443, protocol: rest, enforcement: enforce, access: full",
                                               "host: full.test, port: 443, protocol: rest, enforcement: enforce, access: read-only"))[1]), 1)
        eq(closed(gone), True)
        gate.set()
        eq(read_until(kept, b"-half"), b"-half")
