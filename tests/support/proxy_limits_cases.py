"""Cases of proxy_cases.py, suite "limits": one for the outcome of each limit of docs/limits.md that
nothing else reaches. Deadlines are looked at from both sides, with a clock that is ours."""
import contextlib, signal

resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)

LIMITS_POLICY = """
version: 1
network_policies:
  limits:
    name: limits
    endpoints:
      - { host: api.test, port: 443, protocol: rest, enforcement: enforce, access: read-only }
      - { host: full.test, port: 443, protocol: rest, enforcement: enforce, access: full }
      - { host: plain.test, port: 80, protocol: rest, enforcement: enforce, access: full }
      - { host: raw.test, port: 7 }
      - { host: "*.wild.test", port: 7 }
      - { host: "**.deep.test", port: 7 }
      - { host: gql.test, port: 443, protocol: graphql, enforcement: enforce, access: read-only, graphql_max_body_bytes: 8000000 }
      - host: rpc.test
        port: 443
        protocol: json-rpc
        enforcement: enforce
        rules: [ { allow: { method: sum } } ]
      - host: ws.test
        port: 443
        protocol: websocket
        enforcement: enforce
        rules: [ { allow: { method: GET, path: /chat } }, { allow: { method: WEBSOCKET_TEXT, path: /chat } } ]
    binaries: [ { path: /usr/bin/* } ]
"""
with open(TMP + "/limits.yaml", "w") as f:
    f.write(LIMITS_POLICY)


GET_FULL = b"GET / HTTP/1.1\r\nHost: full.test\r\n\r\n"


def pin(name, port, to):
    return ["--connect-to", "%s:%d:127.0.0.1:%d" % (name, port, to)]


@contextlib.contextmanager
def limited(*args, **kw):
    """A proxy of its own, whose clock is ours."""
    pins = sum((pin(n, 443, origin.port) for n in ("api.test", "full.test", "gql.test", "rpc.test", "ws.test")), [])
    pins = [*args, *pins, *pin("plain.test", 80, plain.port), *pin("raw.test", 7, raw_port)]
    old = with_driver(*pins, policy=TMP + "/limits.yaml", clock=True, **kw)
    try:
        yield D
    finally:
        without_driver(old)


def is_open(s):
    """Nothing was said, and the connection is there."""
    s.setblocking(False)
    try:
        return s.recv(1) is None
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except OSError:
        return False
    finally:
        s.settimeout(TIMEOUT)


def expires(s, ms):
    """`ms` pass since the connection was heard of, which is there until then."""
    D.advance(ms - 1500)
    eq(is_open(s), True)
    D.advance(1600)


def lasts(s, ms):
    """The connection is there until `ms` have passed since it was heard of, and not longer."""
    expires(s, ms)
    eq(closed(s), True)


def is_502_after(s, ms, text):
    expires(s, ms)
    status, _, body = response(s)
    eq(status, 502)
    has(json.loads(body)["detail"], text)


class Mute:
    """Accepts and says nothing, or what it is given."""

    def __init__(self, says=b""):
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.sock.getsockname()[1]
        self.kept = []
        self.says = says
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            c, _ = self.sock.accept()
            self.kept.append(at_once(c))
            if self.says:
                c.sendall(self.says)


# ---- how long ----

@case
def a_connection_that_nobody_announces_is_reset_after_2_s():
    with limited():
        s = socket.create_connection(("127.0.0.1", D.port))
        s.settimeout(TIMEOUT)
        lasts(s, 2000)
        # An announcement waits as long for its connection.
        t = socket.socket()
        t.settimeout(TIMEOUT)
        t.bind(("127.0.0.1", 0))
        D.register(t)
        D.advance(2100)
        t.connect(("127.0.0.1", D.port))
        D.advance(2100)
        eq(closed(t), True)


@case
def a_client_that_says_nothing_after_connect_is_reset_after_10_s():
    with limited():
        s, head = tunnel("api.test")
        has(head, b"200")
        lasts(s, 10000)


@case
def a_tls_handshake_ends_after_15_s():
    with limited():
        s, head = tunnel("api.test")
        s.sendall(b"\x16\3\1\2\0\1\0\1")
        lasts(s, 15000)


@case
def a_head_that_does_not_end_is_408_after_30_s_however_it_drips():
    with limited():
        s = tls("api.test")
        for _ in range(3):
            s.sendall(b"GET /slow HTTP/1.1\r\nHost: ap"[0:9])
            D.advance(9500)
        eq(is_open(s), True)
        D.advance(2500)
        eq(response(s)[0], 408)
        eq(closed(s), True)
        s = D.connect()
        s.sendall(b"CONNECT api.test:443 HT")
        D.advance(29000)
        eq(is_open(s), True)
        D.advance(1500)
        eq(response(s)[0], 408)
        s = tls("gql.test")
        s.sendall(b"POST /g HTTP/1.1\r\nHost: gql.test\r\nContent-Length: 9\r\n\r\n{")
        D.advance(30500)
        eq(response(s)[0], 408)


@case
def a_connection_without_a_request_is_closed_after_120_s():
    with limited():
        s = tls("api.test")
        eq(get("api.test", "/", s)[0], 200)
        lasts(s, 120000)


@case
def a_resolver_that_does_not_answer_is_502_after_10_s():
    with limited("--answer", "*.wild.test=", "--asked", TMP + "/mute.asked"):
        s = D.connect()
        s.sendall(b"CONNECT a.wild.test:7 HTTP/1.1\r\nHost: a.wild.test:7\r\n\r\n")
        wait_for(lambda: os.path.exists(TMP + "/mute.asked"))
        is_502_after(s, 10000, "did not answer in time")


@case
def an_answer_of_the_resolver_serves_for_15_s_and_64_are_kept():
    asked = TMP + "/asked"
    with limited("--answer", "*.wild.test=10.0.0.1", "--asked", asked):
        def ask_for(name):
            """Each time as another program, for a destination in use keeps its addresses."""
            ask_for.n += 1
            s = D.connect("%s.wild.test 7 /usr/bin/b%d" % (name, ask_for.n))
            s.sendall(b"\0")
            eq(closed(s), True)
            with open(asked) as f:
                return f.read().split().count(name + ".wild.test")
        ask_for.n = 0
        eq(ask_for("first"), 1)
        D.advance(14000)
        eq(ask_for("first"), 1)
        D.advance(1500)
        eq(ask_for("first"), 2)
        for i in range(63):
            ask_for("n%d" % i)
        eq(ask_for("first"), 2)
        ask_for("n63")
        eq(ask_for("first"), 3)


@case
def an_upstream_proxy_that_does_not_answer_is_502_after_30_s():
    mute = Mute()
    with limited("--upstream-proxy", "http://127.0.0.1:%d" % mute.port):
        s = D.connect()
        s.sendall(b"CONNECT a.wild.test:7 HTTP/1.1\r\nHost: a.wild.test:7\r\n\r\n")
        wait_for(lambda: mute.kept)
        is_502_after(s, 30000, "the upstream proxy did not answer in time")


@case
def an_upstream_proxy_whose_answer_has_no_end_is_502():
    mute = Mute(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1500)
    with limited("--upstream-proxy", "http://127.0.0.1:%d" % mute.port):
        s, head = tunnel("a.wild.test", 7)
        has(head, b"502")
        has(read_until(s, b"}"), b"the upstream proxy")


@case
def a_server_that_does_not_finish_its_handshake_is_502_after_15_s():
    mute = Mute()
    with limited(*pin("api.test", 443, mute.port)):
        s = tls("api.test")
        s.sendall(b"GET / HTTP/1.1\r\nHost: api.test\r\n\r\n")
        wait_for(lambda: mute.kept)
        is_502_after(s, 15000, "TLS handshake in time")


@case
def a_server_that_does_not_answer_is_504_after_600_s_and_one_that_stops_is_cut():
    begun, gate = threading.Event(), threading.Event()

    def never(srv, c, head):
        begun.set()
        gate.wait(6 * TIMEOUT)
        return False

    def stops(srv, c, head):
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        gate.wait(6 * TIMEOUT)
        return False
    origin.scripts.update({"/never": never, "/stops": stops})
    try:
        with limited():
            s = tls("api.test")
            s.sendall(b"GET /never HTTP/1.1\r\nHost: api.test\r\n\r\n")
            eq(begun.wait(TIMEOUT), True)
            expires(s, 600000)
            eq(response(s)[0], 504)
            s = tls("api.test")
            s.sendall(b"GET /stops HTTP/1.1\r\nHost: api.test\r\n\r\n")
            has(read_until(s, b"half"), b"half")
            lasts(s, 600000)
    finally:
        gate.set()


@case
def an_upload_that_goes_on_is_not_cut():
    begun = threading.Event()

    def counts(srv, c, head):
        begun.set()
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % len(srv.read_body(c, head)))
    origin.scripts["/slow"] = counts
    with limited():
        s = tls("full.test")
        s.sendall(b"POST /slow HTTP/1.1\r\nHost: full.test\r\nContent-Length: 4\r\n\r\n")
        eq(begun.wait(TIMEOUT), True)  # the handshake with the server has a deadline of its own
        for byte in b"abcd":
            D.advance(400000)
            eq(is_open(s), True)
            s.sendall(bytes([byte]))
        eq(response(s)[::2], (200, b"4"))


@case
def a_warm_connection_is_kept_for_60_s_and_for_a_post_for_10():
    body = b"POST / HTTP/1.1\r\nHost: full.test\r\nContent-Length: 0\r\n\r\n"
    with limited():
        def ask_after(ms, text):
            D.advance(ms)
            before = origin.connections
            eq(ask(tls("full.test"), text)[0], 200)
            return origin.connections - before
        get_ = b"GET / HTTP/1.1\r\nHost: full.test\r\n\r\n"
        ask_after(0, get_)
        eq(ask_after(50000, get_), 0)
        eq(ask_after(61000, get_), 1)
        eq(ask_after(9000, body), 0)
        eq(ask_after(11000, body), 1)


@case
def no_connection_is_warm_after_the_host_has_slept():
    body = b"POST / HTTP/1.1\r\nHost: full.test\r\nContent-Length: 0\r\n\r\n"
    with limited():
        def opened():
            before = origin.connections
            eq(ask(tls("full.test"), body)[0], 200)
            return origin.connections - before
        opened()
        D.sleep(1000)
        eq(opened(), 0)
        D.sleep(3600000)
        eq(opened(), 1)
        eq(opened(), 0)


@case
def a_wall_clock_that_jumps_changes_no_deadline_and_spoils_no_certificate():
    # The client's clock jumps with it: it looks at the leaf as of then.
    def leaf_holds_at(ahead_ms):
        s = tls("api.test", context=client_context(verify=False))
        leaf = s.getpeercert(binary_form=True)
        s.close()
        with open(TMP + "/jump.pem", "w") as f:
            f.write(ssl.DER_cert_to_PEM_cert(leaf))
        return subprocess.run(["openssl", "verify", "-x509_strict", "-attime", str(int(time.time()) + ahead_ms // 1000), "-CAfile", D.ca,
                               "-verify_hostname", "api.test", TMP + "/jump.pem"], capture_output=True).returncode == 0
    day = 86400000
    with limited():
        kept = tls("full.test")
        eq(ask(kept, GET_FULL)[0], 200)
        for ahead in (0, 400 * day, -30 * day, 3 * day, -2 * 3600000):
            D.set_wall(ahead)
            eq(leaf_holds_at(ahead), True)
            eq(leaf_holds_at(ahead + 30 * day), False)
            # 120 s between requests is 120 s, and what was open stays open.
            eq(ask(kept, GET_FULL)[0], 200)
            t = D.request_event()["t"] - time.time() * 1000 - ahead
            if abs(t) > 60000:
                raise AssertionError("the log says a time that is %d ms off" % t)
        # A server's certificate is judged as of now, and the reason is told.
        D.set_wall(4000 * day)
        status, _, text = ask(tls("api.test", context=client_context(verify=False)), b"GET / HTTP/1.1\r\nHost: api.test\r\n\r\n")
        eq(status, 502)
        has(text, b"expired")
        D.set_wall(0)
        D.advance(100000)
        eq(ask(kept, GET_FULL)[0], 200)
        D.advance(121000)
        eq(closed(kept), True)


@case
def a_websocket_message_has_30_s_between_its_parts_and_120_in_all():
    def code(s):
        op, data = ws_read(s)
        return op, struct.unpack(">H", data[:2])[0]
    with limited():
        s, head = ws_open("ws.test")
        has(head, b"101")
        s.sendall(ws_frame(1, b"a", fin=False))
        D.advance(25000)
        s.sendall(ws_frame(9, b""))
        eq(ws_read(s)[0], 9)
        D.advance(28000)
        eq(is_open(s), True)
        D.advance(2500)
        eq(code(s), (8, 1008))
        s, head = ws_open("ws.test")
        s.sendall(ws_frame(1, b"a", fin=False))
        for _ in range(5):
            s.sendall(ws_frame(0, b"b", fin=False) + ws_frame(9, b""))
            eq(ws_read(s)[0], 9)
            D.advance(23500)
        eq(is_open(s), True)
        D.advance(3000)
        eq(code(s), (8, 1008))
        # One that is finished in time is followed by another that has its own time.
        s, head = ws_open("ws.test")
        for _ in range(8):
            s.sendall(ws_frame(1, b"a", fin=False))
            D.advance(20000)
            s.sendall(ws_frame(0, b"b"))
            eq(ws_read(s), (1, b"ab"))


@case
def a_relay_without_a_byte_is_closed_after_4_hours():
    with limited():
        s, head = tunnel("raw.test", 7)
        eq(read_until(s, b"\n"), b"220 hello\n")
        lasts(s, 4 * 3600 * 1000)


@case
def the_last_answer_waits_2_s_for_its_reader():
    with limited():
        s, head = tunnel("unknown.test")
        has(head, b"403")
        json.loads(s.recv(65536))
        eq(s.recv(1), b"")
        s.sendall(b"x")
        D.advance(2100)
        try:
            for _ in range(200):
                s.sendall(b"x")
                time.sleep(0.01)
            raise AssertionError("the connection is still there")
        except ConnectionError:
            pass


# ---- how many ----

@case
def the_4097th_connection_is_reset_and_logged():
    with limited():
        first = [D.connect() for _ in range(4096)]
        last = D.connect()
        eq(closed(last), True)
        eq(is_open(first[0]) and is_open(first[-1]), True)
        D.await_event(d="deny", w="too many connections")
        for s in first[:10]:
            s.close()
        D.advance(10)
        eq(get("api.test", "/")[0], 200)
        for s in first:
            s.close()


def is_told(s):
    """The supervisor's word arrives: a policy that is too long to come without a descriptor."""
    with open(TMP + "/long.yaml", "w") as f:
        f.write(LIMITS_POLICY + "# " + "long " * 10000 + "\n")
    eq(D.policy(TMP + "/long.yaml"), [b"2", b"0"])
    eq(is_open(s), True)


@case
def connections_leave_16_descriptors_to_the_supervisor():
    with limited(nofile=40):
        held = [D.connect() for _ in range(60)]
        D.await_event(w="out of descriptors: new connections are reset or wait")
        is_told(held[0])


@case
def dials_leave_16_descriptors_to_the_supervisor():
    """One is held by each request that the server does not answer."""
    with limited(*pin("plain.test", 80, Mute().port), nofile=72):
        held = [D.connect("plain.test 80") for _ in range(40)]
        D.settle()
        for s in held:
            s.sendall(b"GET / HTTP/1.1\r\nHost: plain.test\r\n\r\n")
        wait_for(lambda: not all([is_open(s) for s in held]))
        D.settle()
        alive = [s for s in held if is_open(s)]
        eq(0 < len(alive) < 40, True)
        is_told(alive[0])


@case
def of_announced_connections_the_oldest_is_forgotten_beyond_8192():
    def announce(others):
        s = socket.socket()
        s.settimeout(TIMEOUT)
        s.bind(("127.0.0.1", 0))
        D.register(s)
        u = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        own = s.getsockname()[1]
        for port in [p for p in range(20000, 30000) if p != own][:others]:
            u.sendto(b"%d" % port, D.tuples)
        u.close()
        D.policy(TMP + "/limits.yaml")  # comes after them
        s.connect(("127.0.0.1", D.port))
        s.sendall(b"CONNECT unknown.test:443 HTTP/1.1\r\nHost: unknown.test:443\r\n\r\n")
        return s
    with limited():
        has(read_until(announce(1000), b"\r\n\r\n"), b"403")
    with limited():
        s = announce(8192)
        D.advance(2100)
        eq(closed(s), True)


@case
def the_257th_question_in_flight_is_503():
    with limited("--answer", "*.wild.test="):
        waiting = []
        for i in range(256):
            s = D.connect()
            s.sendall(b"CONNECT n%d.wild.test:7 HTTP/1.1\r\nHost: n%d.wild.test:7\r\n\r\n" % (i, i))
            waiting.append(s)
        D.advance(10)
        s = D.connect()
        s.sendall(b"CONNECT other.wild.test:7 HTTP/1.1\r\nHost: other.wild.test:7\r\n\r\n")
        status, _, body = response(s)
        eq(status, 503)
        has(json.loads(body)["detail"], "too many questions in flight")
        eq(is_open(waiting[0]), True)


@case
def the_513th_connect_in_flight_is_503():
    # Its queue is full, and Linux answers nobody then.
    server = socket.create_server(("127.0.0.1", 0), backlog=0)
    full = [socket.socket() for _ in range(4)]
    for c in full:
        c.setblocking(False)
        c.connect_ex(server.getsockname())
    select.select([server], [], [], TIMEOUT)  # the first is in the queue: it is full
    with limited(*pin("raw.test", 7, server.getsockname()[1])):
        def asking():
            s = D.connect()
            s.sendall(b"CONNECT raw.test:7 HTTP/1.1\r\nHost: raw.test:7\r\n\r\n")
            return s
        waiting = [asking() for _ in range(512)]
        D.settle()
        status, _, body = response(asking())
        eq(status, 503)
        has(json.loads(body)["detail"], "too many connects in flight")
        eq(all([is_open(s) for s in waiting]), True)
        # One gives up, and there is room for another. (A mere end may be that of one direction.)
        reset(waiting[0])
        D.settle()
        last = asking()
        D.settle()
        eq(is_open(last), True)


@case
def questions_that_the_resolver_has_no_room_for_wait_for_it():
    """Names so long that its socket does not take all that may be in flight: when it is slow, and when it starts."""
    deep = b".".join([b"d" * 60] * 3) + b".deep.test"

    def ask_for(s, name):
        s.sendall(b"CONNECT %s:7 HTTP/1.1\r\nHost: %s:7\r\n\r\n" % (name, name))
    for is_there in (True, False):
        with limited("--answer", "*.deep.test=10.0.0.1"):
            if is_there:
                s = D.connect()
                ask_for(s, deep)
                eq(response(s)[0], 403)
            waiting = [D.connect() for _ in range(256)]
            D.settle()
            os.kill(D.proc.pid, signal.SIGSTOP)
            try:
                for i, s in enumerate(waiting):
                    ask_for(s, b"n%d." % i + deep)
                D.rest()
            finally:
                os.kill(D.proc.pid, signal.SIGCONT)
            eq((is_there, [status for status in (response(s)[0] for s in waiting) if status != 403]), (is_there, []))


@case
def the_1025th_destination_in_use_is_refused_and_unused_ones_are_forgotten():
    server = Mute(b"hi\n")
    with limited(*pin("raw.test", 7, server.port)):
        def relay(i):
            s = D.connect("raw.test 7 /usr/bin/b%d" % i)
            try:
                s.sendall(b"\0")  # what is refused waits for a client to tell
                return s, s.recv(3)
            except ConnectionError:
                return s, b""
        used = [D.connect("raw.test 7 /usr/bin/b%d" % i) for i in range(1024)]
        eq([s.recv(3) for s in used], [b"hi\n"] * 1024)
        eq(relay(2000)[1], b"")
        eq(relay(5)[1], b"hi\n")
        used[0].close()
        for c in server.kept:
            c.shutdown(socket.SHUT_WR)
        D.await_event(m="closed")
        eq(relay(2001)[1], b"hi\n")


@case
def warm_connections_are_64_of_a_destination_and_256_of_all():
    server = Server(False)
    gate = threading.Event()
    together = threading.Semaphore(0)

    def wait(srv, c, head):
        together.release()
        gate.wait(6 * TIMEOUT)
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    server.scripts["/wait"] = wait
    text = b"GET /wait HTTP/1.1\r\nHost: plain.test\r\n\r\n"
    with limited(*pin("plain.test", 80, server.port)):
        def burst(n, binary):
            gate.clear()
            before = server.connections
            clients = [D.connect("plain.test 80 /usr/bin/" + binary) for _ in range(n)]
            for s in clients:
                s.sendall(text)
            for _ in clients:
                together.acquire(timeout=TIMEOUT)
            gate.set()
            for s in clients:
                eq(response(s)[0], 200)
                s.close()
            return server.connections - before
        eq(burst(70, "one"), 70)
        eq(burst(70, "one"), 6)
        for name in ("two", "three", "four", "five"):
            eq(burst(60, name), 60)
        # 64 and four times 60 are more than 256: those of the first that idled longest went.
        eq(burst(60, "five"), 0)
        eq(burst(64, "one"), 48)


@case
def of_clients_that_pin_64_hosts_are_left_alone_under_audit():
    pins = sum((pin("n%d.wild.test" % i, 443, origin.port) for i in range(65)), [])
    with limited("--audit", *pins):
        mine = ssl.create_default_context(cafile=TMP + "/origin.crt")
        mine.check_hostname = False

        def takes(i):
            try:
                tls("n%d.wild.test" % i, context=mine)
                return True
            except (ssl.SSLError, ConnectionError):
                return False
        eq([takes(i) for i in range(65)], [False] * 65)
        D.await_event(h="n64.wild.test", g="tls")
        eq(takes(63), True)
        eq(takes(64), False)


@case
def too_many_pins_and_exceptions_do_not_start():
    def starts(*args):
        cmd = [BUILD + "/support/proxy_driver", "--proxy", BUILD + "/bin/openshell-proxy", "--policy", TMP + "/limits.yaml", *args, "--", "true"]
        return subprocess.run(cmd, capture_output=True).returncode == 0
    many = lambda n: sum((pin("n%d.test" % i, 443, 1) for i in range(n)), [])
    eq((starts(*many(256)), starts(*many(257))), (True, False))
    names = lambda n: ["--upstream-proxy", "http://127.0.0.1:1", "--no-proxy", ",".join("n%d.test" % i for i in range(n))]
    eq((starts(*names(128)), starts(*names(129))), (True, False))


@case
def the_101st_field_is_431_and_502_in_an_answer():
    fields = lambda n: b"".join(b"X-%d: y\r\n" % i for i in range(n))
    origin.scripts["/fields"] = lambda srv, c, head: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + fields(100) + b"\r\n")
    origin.scripts["/less"] = lambda srv, c, head: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + fields(90) + b"\r\n")
    with limited():
        head = b"GET / HTTP/1.1\r\nHost: api.test\r\n"
        eq(ask(tls("api.test"), head + fields(90) + b"\r\n")[0], 200)
        s = tls("api.test")
        eq(ask(s, head + fields(100) + b"\r\n")[0], 431)
        eq(closed(s), True)
        eq(get("api.test", "/less")[0], 200)
        eq(get("api.test", "/fields")[0], 502)


@case
def batches_have_256_operations_and_1024_messages():
    def gql(n):
        return post_json("gql.test", "/graphql", json.dumps([{"query": "{a}"}] * n).encode())[0]

    def rpc_batch(n):
        one = b'{"jsonrpc":"2.0","id":1,"method":"sum"}'
        return post_json("rpc.test", "/mcp", b"[" + b",".join([one] * n) + b"]")[0]
    with limited():
        eq((gql(256), gql(257)), (200, 403))
        eq((rpc_batch(1024), rpc_batch(1025)), (200, 403))


@case
def the_33rd_message_that_is_put_together_closes_with_1013():
    with limited():
        kept = [ws_open("ws.test")[0] for _ in range(33)]
        for s in kept:
            s.sendall(ws_frame(1, b"a", fin=False) + ws_frame(9, b""))
        codes = [ws_read(s) for s in kept]
        eq([op for op, _ in codes].count(9), 32)
        last = [s for s, (op, _) in zip(kept, codes) if op == 8]
        eq([struct.unpack(">H", data[:2])[0] for op, data in codes if op == 8], [1013])
        eq(len(last), 1)


# ---- how much ----

@case
def heads_have_16_kib_inside_a_tunnel_and_in_an_answer():
    origin.scripts["/long"] = lambda srv, c, head: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: " + b"a" * 16400 + b"\r\n\r\n")
    with limited():
        one = lambda n: ask(tls("api.test"), b"GET / HTTP/1.1\r\nHost: api.test\r\nX: " + b"a" * n + b"\r\n\r\n")[0]
        eq((one(16000), one(16400)), (200, 431))
        eq(get("api.test", "/long")[0], 502)


@case
def paths_have_4096_bytes_and_queries_256_parameters():
    with limited():
        eq((get("api.test", "/" + "a" * 4095)[0], get("api.test", "/" + "a" * 4096)[0]), (200, 400))
        query = lambda n: get("api.test", "/?" + "&".join("a=b" for _ in range(n)))[0]
        eq((query(256), query(257)), (200, 400))


@case
def chunk_extensions_and_trailers_are_limited():
    def up(extension, trailers):
        s = tls("full.test")
        s.sendall(b"POST /c HTTP/1.1\r\nHost: full.test\r\nTransfer-Encoding: chunked\r\n\r\n1;" + extension + b"\r\nx\r\n0\r\n" + trailers + b"\r\n")
        status = response(s)[0]
        return status if status == 200 else closed(s) and "closed"

    def cut(srv, c, head):
        c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n1;" + b"e" * 2000 + b"\r\ny\r\n0\r\n\r\n")
        return False
    origin.scripts["/cut"] = cut
    with limited():
        eq((up(b"e" * 900, b"A: b\r\n"), up(b"e" * 1100, b""), up(b"e", b"A: " + b"b" * 8300 + b"\r\n")), (200, "closed", "closed"))
        s = tls("api.test")
        s.sendall(b"GET /cut HTTP/1.1\r\nHost: api.test\r\n\r\n")
        got = b""
        with contextlib.suppress(OSError):
            while (b := s.recv(4096)):
                got += b
        eq(got.endswith(b"0\r\n\r\n"), False)
        get_ = get("api.test", "/")
        eq(get_[0], 200)


@case
def a_hello_beyond_64_kib_is_closed():
    with limited():
        s, head = tunnel("api.test")
        with contextlib.suppress(OSError):
            s.sendall(b"\x16\3\1\x40\0\1\1\xff\xff" + b"\3\3" + b"a" * 16378)
            for _ in range(16):
                s.sendall(b"\x16\3\1\x40\0" + b"a" * 16384)
        got = b""
        with contextlib.suppress(OSError):
            while (b := s.recv(4096)):
                got += b
        eq(got[:1] in (b"", b"\x15"), True)


@case
def an_inspected_body_beyond_4_mib_is_413_whatever_an_endpoint_says():
    with limited():
        body = lambda n: b'{"query": "{ a }", "x": "' + b"y" * n + b'"}'
        eq(post_json("gql.test", "/graphql", body(4194304 - len(body(0))))[0], 200)
        eq(post_json("gql.test", "/graphql", body(4194304))[0], 413)


@case
def what_tls_reads_ahead_of_a_full_read_is_not_forgotten():
    # 64 KiB is one read. The last record begins before its end and ends behind it, and all of it is there at once: that
    # takes a window which an upload has opened.
    body = lambda n: b'{"query": "{ a }", "x": "' + b"y" * (n - 27) + b'"}'
    head = lambda n: b"POST /graphql HTTP/1.1\r\nHost: gql.test\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % n
    with limited():
        s = tls("gql.test")
        eq(ask(s, head(3000000) + body(3000000))[0], 200)
        os.kill(D.proxy_pid(), signal.SIGSTOP)
        try:
            s.sendall(head(65536))
            s.sendall(body(65536))
        finally:
            os.kill(D.proxy_pid(), signal.SIGCONT)
        eq(response(s)[0], 200)


@case
def a_relay_keeps_little_for_a_side_that_does_not_read():
    server = Mute()
    block = bytes(65536)
    with limited(*pin("raw.test", 7, server.port)):
        s, head = tunnel("raw.test", 7)
        has(head, b"200")
        wait_for(lambda: server.kept)
        far = server.kept[0]
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        s.setblocking(False)
        sent, quiet = 0, 0
        # Full is what stays full while the proxy turns.
        while quiet < 5 and sent < 64 << 20:
            try:
                sent += s.send(block)
                quiet = 0
            except BlockingIOError:
                D.settle()
                quiet += 1
        # A pipe of 256 KiB, and what the kernel keeps for four ends of sockets.
        eq(sent < 32 << 20, True)
        # Others are relayed, and what was held arrives as soon as it is read.
        t, head = tunnel("raw.test", 7)
        wait_for(lambda: len(server.kept) > 1)
        t.sendall(b"there")
        eq(server.kept[1].recv(5), b"there")
        s.settimeout(TIMEOUT)
        s.shutdown(socket.SHUT_WR)
        far.settimeout(TIMEOUT)
        left = sent
        while (b := far.recv(1 << 20)):
            left -= len(b)
        eq(left, 0)


@case
def who_moves_much_lets_others_have_their_turn():
    """Eight that never have to wait for bytes; somebody else's requests are answered all the same."""
    done = threading.Event()
    block = bytes(1 << 20)

    def flood(c):
        with contextlib.suppress(OSError):
            while not done.is_set():
                c.sendall(block)

    def drain(c):
        with contextlib.suppress(OSError):
            while not done.is_set() and c.recv(1 << 20):
                pass
    server = Mute()
    try:
        with limited(*pin("raw.test", 7, server.port)):
            for _ in range(8):
                s = D.connect("raw.test 7")
                threading.Thread(target=drain, args=(s,), daemon=True).start()
            wait_for(lambda: len(server.kept) == 8)
            for c in server.kept:
                threading.Thread(target=flood, args=(c,), daemon=True).start()
            for _ in range(20):
                eq(get("api.test", "/")[0], 200)
            done.set()
    finally:
        done.set()


@case
def websocket_text_beyond_4_mib_is_1009_and_a_raw_frame_beyond_16_is_1002():
    def code(first, size):
        s, head = ws_open("ws.test")
        has(head, b"101")
        with contextlib.suppress(OSError):
            s.sendall(bytes([first, 0xff]) + struct.pack(">Q", size) + b"\1\2\3\4" + b"x" * 1000)
        op, data = ws_read(s)
        return op, struct.unpack(">H", data[:2])[0]
    with limited():
        eq(code(0x81, (4 << 20) + 1), (8, 1009))
        eq(code(0x82, (16 << 20) + 1), (8, 1002))


@case
def a_trust_store_beyond_8_mib_trusts_nobody():
    store = TMP + "/store.pem"
    with open(store, "w") as f, open(TMP + "/origin.crt") as g:
        f.write(g.read())
        f.write("# a comment\n" * 800000)
    with limited("--trust", store, "--extra-ca", "/dev/null"):
        status, _, body = get("api.test", "/")
        eq(status, 502)


# ---- HTTP/2 ----

def raw_h2(is_acked=True):
    """A connection on which frames are ours to write; its preface and SETTINGS are exchanged."""
    context = client_context()
    context.set_alpn_protocols(["h2"])
    s = tls("api.test", context=context)
    s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + h2_frame(4, 0, 0) + (h2_frame(4, 1, 0) if is_acked else b""))
    while h2_read(s)[:2] != (4, 1):
        pass
    return s


def h2_frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def h2_read(s):
    head = read_until_len(s, 9)
    if len(head) < 9:
        return None, 0, 0, b""
    return head[3], head[4], struct.unpack(">I", head[5:])[0], read_until_len(s, struct.unpack(">I", b"\0" + head[:3])[0])


def goaway(s):
    """The code of the GOAWAY that comes."""
    with contextlib.suppress(OSError):
        while True:
            kind, _, _, payload = h2_read(s)
            if kind is None:
                return None
            if kind == 7:
                return struct.unpack(">I", payload[4:8])[0]


def h2_head(path=b"/"):
    return b"\x82\x87\x04" + bytes([len(path)]) + path + b"\x41\x08api.test"


@case
def h2_has_100_streams_at_a_time_and_goaway_for_who_knows_that():
    gate = threading.Event()
    origin.scripts["/gate"] = lambda srv, c, head: (gate.wait(6 * TIMEOUT), c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))[1]

    def next_of(s, *kinds):
        while True:
            frame = h2_read(s)
            if frame[0] is None or frame[0] in kinds:
                return frame
    try:
        with limited():
            for is_acked in (True, False):
                s = raw_h2(is_acked)
                for i in range(101):
                    s.sendall(h2_frame(1, 5, 2 * i + 1, h2_head(b"/gate")))
                kind, _, stream, payload = next_of(s, 3, 7)
                eq((kind, stream), (7, 0) if is_acked else (3, 201))
                eq(payload if kind == 3 else payload[4:8], b"\0\0\0" + (b"\1" if is_acked else b"\7"))
            s.sendall(h2_frame(4, 1, 0))
            gate.set()
            eq(next_of(s, 1)[0], 1)
    finally:
        gate.set()


@case
def h2_without_a_request_says_goaway_and_ends_after_120_s():
    with limited():
        s = raw_h2()
        s.sendall(h2_frame(1, 5, 1, h2_head()))
        while h2_read(s)[:3] != (0, 1, 1):
            pass
        D.settle()
        D.advance(118500)
        eq(is_open(s), True)
        D.advance(1600)
        eq(goaway(s), 0)
        eq(closed(s), True)


@case
def h2_settings_and_acknowledgements_without_end_are_goaway():
    with limited():
        s = raw_h2()
        s.sendall(h2_frame(4, 0, 0, struct.pack(">HI", 9999, 1) * 33))
        eq(goaway(s) is not None, True)
        D.await_event(d="deny", h="api.test", g="http-parser")
        s = raw_h2()
        # It does not read: answers to its PINGs pile up.
        with contextlib.suppress(OSError):
            s.settimeout(1)
            for _ in range(200):
                s.sendall(h2_frame(6, 0, 0, b"12345678") * 2000)
        s.settimeout(TIMEOUT)
        eq(goaway(s) in (None, 1, 2, 11), True)
        eq(get("api.test", "/")[0], 200)


@case
def h2_data_without_a_byte_is_goaway_after_100_frames():
    with limited():
        for count, want in ((100, 1), (101, 7)):
            s = raw_h2()
            empty = h2_frame(0, 0, 1) * (count - 1) + h2_frame(0, 8, 1, b"\2\0\0")  # the last one has padding
            s.sendall(h2_frame(1, 4, 1, h2_head()) + (empty + h2_frame(0, 8, 1, b"\2x\0\0")) * 2 + h2_frame(0, 1, 1))
            kind = payload = None
            while kind not in (1, 7):
                kind, _, _, payload = h2_read(s)
            eq((count, kind), (count, want))
        eq(payload[4:8], b"\0\0\0\x0b")
        D.await_event(d="deny", h="api.test", w="the HTTP/2 connection exceeded a limit and is closed")


# ---- servers that flood ----

INTERIM = b"HTTP/1.1 103 Early Hints\r\n\r\n"


def endless(text, first=b"", done=lambda: None):
    """Says `first`, then `text` for as long as anybody listens."""
    def script(srv, c, head):
        with contextlib.suppress(OSError):
            c.sendall(first)
            while True:
                c.sendall(text)
        done()
        return False
    return script


def until_closed(s):
    got = b""
    with contextlib.suppress(OSError):
        while (b := s.recv(65536)):
            got += b
    return got


def resident_kib():
    with open("/proc/%d/status" % D.proxy_pid()) as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


def await_cut(host, why):
    D.await_event(d="deny", g="upstream", h=host)
    has([e["w"] for e in D.events() if e.get("g") == "upstream"][-1], why)


@case
def the_129th_interim_answer_or_64_kib_of_them_are_502():
    final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    origin.scripts["/many"] = lambda srv, c, head: c.sendall(INTERIM * 128 + final)
    origin.scripts["/endless"] = endless(INTERIM)
    origin.scripts["/long"] = endless(b"HTTP/1.1 103 Early Hints\r\nLink: " + b"a" * 8000 + b"\r\n\r\n")

    def outcome(path, version=b"1.1"):
        s, n = tls("api.test"), 0
        s.sendall(b"GET %s HTTP/%s\r\nHost: api.test\r\n\r\n" % (path, version))
        while True:
            status, _, body = response(s)
            if status != 103:
                break
            n += 1
        if status == 502:
            has(json.loads(body)["detail"], "too many interim answers")
            await_cut("api.test", "too many interim answers")
        return status, n
    with limited():
        eq(outcome(b"/many"), (200, 128))
        eq(outcome(b"/many", b"1.0"), (200, 0))
        eq(outcome(b"/endless"), (502, 128))
        eq(outcome(b"/endless", b"1.0"), (502, 0))
        eq(outcome(b"/long"), (502, 8))
        eq(get("api.test", "/")[0], 200)


class AnswersH2:
    """Speaks HTTP/2 as far as a request; the frames of `answer`, which is given its stream, follow."""

    def __init__(self, answer):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(TMP + "/origin.crt", TMP + "/origin.key")
        self.context.set_alpn_protocols(["h2"])
        self.answer, self.told = answer, []
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            c, _ = self.sock.accept()
            threading.Thread(target=self.serve, args=(at_once(c),), daemon=True).start()

    def serve(self, c):
        with contextlib.suppress(OSError):
            c.settimeout(TIMEOUT)
            c = self.context.wrap_socket(c, server_side=True)
            read_until_len(c, 24)
            c.sendall(h2_frame(4, 0, 0))
            kind = stream = None
            while kind != 1:
                kind, _, stream, _ = h2_read(c)
            for frames in self.answer(stream):
                c.sendall(frames)
            self.told.append(goaway(c))


H2_INTERIM, H2_OK = b"\x08\x03103", b"\x88"  # their heads, compressed


@case
def the_129th_interim_answer_over_http2_is_502_and_goaway():
    if not h2:
        print("# needs python3-h2")
        return

    def outcome(count, method):
        server = AnswersH2(lambda n: [h2_frame(1, 4, n, H2_INTERIM) * count + h2_frame(1, 5, n, H2_OK)])
        with limited(*pin("full.test", 443, server.port)):
            got = H2("full.test").ask(method, "/many")
            if got["status"] == 502:
                has(json.loads(got["body"])["detail"], "exceeded a limit")
                await_cut("full.test", "exceeded a limit")
        wait_for(lambda: server.told)
        return got["status"], got["interim"].count(103), server.told
    for method in ("POST", "GET"):
        eq(outcome(128, method), (200, 128, [None]))
        eq(outcome(129, method), (502, 128, [11]))


def for_ever(frames, *first):
    yield from first
    while True:
        yield frames


@case
def servers_that_flood_over_http2_are_502_or_cut_and_told():
    if not h2:
        print("# needs python3-h2")
        return
    fields = b"\0\1x\1y"
    floods = {
        "interim answers": (502, lambda n: for_ever(h2_frame(1, 4, n, H2_INTERIM) * 100)),
        "continuations": (502, lambda n: for_ever(h2_frame(9, 0, n, fields), h2_frame(1, 0, n, H2_OK))),
        "fields": (502, lambda n: [h2_frame(1, 4, n, H2_OK + fields * 101)]),
        "settings": (502, lambda n: for_ever(h2_frame(4, 0, 0, struct.pack(">HI", 9999, 1) * 33))),
        "pings": (502, lambda n: for_ever(h2_frame(6, 0, 0, b"12345678") * 1000)),
        # Behind an answer they cut it.
        "trailers": (200, lambda n: [h2_frame(1, 4, n, H2_OK) + h2_frame(0, 0, n, b"x") + h2_frame(1, 5, n, fields * 101)]),
        "empty data": (200, lambda n: for_ever(h2_frame(0, 0, n) * 1000, h2_frame(1, 4, n, H2_OK) + h2_frame(0, 0, n, b"x"))),
    }
    for name, (status, flood) in floods.items():
        with limited(*pin("full.test", 443, AnswersH2(flood).port)):
            eq(H2("api.test").ask("GET", "/")["status"], 200)
            before = resident_kib()
            got = H2("full.test").ask("POST", "/flood")
            eq((name, got["status"], got["reset"] is None), (name, status, status == 502))
            await_cut("full.test", "full.test:443")
            eq(get("api.test", "/")[0], 200)
            if os.environ.get("VARIANT") not in ("asan", "tsan") and resident_kib() - before > 8 * 1024:
                raise AssertionError("%s: %d KiB are held" % (name, resident_kib() - before))


@case
def for_an_http2_client_that_does_not_read_few_interim_answers_are_kept():
    over = threading.Semaphore(0)
    origin.scripts["/endless"] = endless(INTERIM, done=over.release)
    with limited():
        eq(get("api.test", "/")[0], 200)
        before = resident_kib()
        s = raw_h2()
        for i in range(100):
            s.sendall(h2_frame(1, 5, 2 * i + 1, h2_head(b"/endless")))
        for _ in range(100):
            eq(over.acquire(timeout=2 * TIMEOUT), True)
        D.settle()
        if os.environ.get("VARIANT") not in ("asan", "tsan") and resident_kib() - before > 32 * 1024:
            raise AssertionError("%d KiB are held for one client" % (resident_kib() - before))
        eq(get("api.test", "/")[0], 200)


@case
def fields_and_trailers_without_end_are_502_or_cut_and_told():
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
    origin.scripts["/fields"] = endless(b"X: y\r\n" * 100, b"HTTP/1.1 200 OK\r\n")
    origin.scripts["/field"] = endless(b"x" * 1000, b"HTTP/1.1 200 OK\r\nX: ")
    origin.scripts["/trailers"] = endless(b"X: y\r\n" * 100, chunked)
    origin.scripts["/trailer"] = endless(b"x" * 1000, chunked + b"X: ")
    origin.scripts["/few"] = lambda srv, c, head: c.sendall(chunked + b"X: y\r\n" * 100 + b"\r\n")
    origin.scripts["/some"] = lambda srv, c, head: c.sendall(chunked + b"X: y\r\n" * 101 + b"\r\n")
    with limited():
        for path, why in (("/fields", "the response head is too large"), ("/field", "the response head is too large")):
            status, _, body = get("api.test", path)
            eq(status, 502)
            has(json.loads(body)["detail"], why)
        eq(get("api.test", "/few")[0], 200)
        for path in ("/trailers", "/trailer", "/some"):
            s = tls("api.test")
            s.sendall(b"GET %s HTTP/1.1\r\nHost: api.test\r\n\r\n" % path.encode())
            got = until_closed(s)
            eq(got[:15], b"HTTP/1.1 200 OK"[:len(got)])  # or nothing of it, when all came at once
            eq(got.endswith(b"\r\n\r\n"), False)
            await_cut("api.test", "its body or its trailers are malformed or too long")
        eq(get("api.test", "/")[0], 200)


@case
def of_empty_pipes_16_are_kept_for_relays():
    server = Mute()
    block = bytes(65536)

    def pipes():
        fds = "/proc/%d/fd" % D.proxy_pid()
        return len([f for f in os.listdir(fds) if os.readlink(fds + "/" + f).startswith("pipe:")]) // 2
    with limited(*pin("raw.test", 7, server.port)):
        may_look = os.geteuid() == 0
        at_first = pipes() if may_look else 0
        clients = []
        for i in range(40):
            clients.append(D.connect("raw.test 7"))
            wait_for(lambda: len(server.kept) > i)
            server.kept[i].setblocking(False)
        for c in server.kept:
            quiet = 0
            while quiet < 5:  # full is what stays full while the proxy turns
                try:
                    c.send(block)
                    quiet = 0
                except BlockingIOError:
                    D.settle()
                    quiet += 1
        if may_look:
            eq(pipes() - at_first >= 40, True)
        for c in server.kept:
            c.setblocking(True)
            c.shutdown(socket.SHUT_WR)
        for s in clients:
            until_closed(s)
            s.shutdown(socket.SHUT_WR)
        wait_for(lambda: len([e for e in D.events() if e.get("m") == "closed"]) == 40)
        D.settle()
        if may_look:
            eq(pipes() - at_first, 16)
