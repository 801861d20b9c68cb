"""Cases of proxy_cases.py for clients that speak HTTP/2 (python3-h2); run in its namespace."""
import h2.config, h2.connection, h2.errors, h2.events, h2.exceptions


class H2:
    """A client with one connection; wait() collects what comes for a stream until it ends."""

    def __init__(self, host, sock=None, **kw):
        if sock is None:
            context = client_context()
            context.set_alpn_protocols(["h2", "http/1.1"])
            sock = tls(host, context=context)
            eq(sock.selected_alpn_protocol(), "h2")
        self.sock, self.host = sock, host
        self.scheme = kw.get("scheme", "https")
        self.c = h2.connection.H2Connection(h2.config.H2Configuration(
            header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False))
        self.c.initiate_connection()
        self.streams = {}
        self.goaway, self.greeted = None, False
        self.flush()

    def flush(self):
        self.sock.sendall(self.c.data_to_send())

    def start(self, method, path, headers=(), end=True, authority=None):
        stream = self.c.get_next_available_stream_id()
        self.streams[stream] = dict(status=None, headers={}, body=b"", trailers=None, done=False, reset=None, interim=[])
        self.c.send_headers(stream, [(":method", method), (":scheme", self.scheme), (":authority", authority or self.host),
                                     (":path", path)] + list(headers), end_stream=end)
        self.flush()
        return stream

    def send(self, stream, data, end=False):
        while data:
            room = min(self.c.local_flow_control_window(stream), self.c.max_outbound_frame_size, len(data))
            if room == 0:
                self.step()
                continue
            self.c.send_data(stream, data[:room])
            data = data[room:]
            self.flush()
        if end:
            self.c.end_stream(stream)
            self.flush()

    def step(self):
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("the proxy closed the connection")
        for e in self.c.receive_data(data):
            s = self.streams.get(getattr(e, "stream_id", None))
            if isinstance(e, h2.events.ResponseReceived):
                s["headers"] = dict(e.headers)
                s["status"] = int(s["headers"][":status"])
                s["ended_with_head"] = e.stream_ended is not None
            elif isinstance(e, h2.events.InformationalResponseReceived):
                s["interim"].append(int(dict(e.headers)[":status"]))
            elif isinstance(e, h2.events.DataReceived):
                s["body"] += e.data
                self.c.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
            elif isinstance(e, h2.events.TrailersReceived):
                s["trailers"] = dict(e.headers)
            elif isinstance(e, h2.events.StreamEnded):
                s["done"] = True
            elif isinstance(e, h2.events.StreamReset) and s and not s["done"]:
                s["reset"], s["done"] = int(e.error_code), True
            elif isinstance(e, h2.events.RemoteSettingsChanged):
                self.greeted = True
            elif isinstance(e, h2.events.ConnectionTerminated):
                self.goaway = int(e.error_code)
        self.flush()

    def wait(self, stream):
        while not self.streams[stream]["done"]:
            self.step()
        return self.streams[stream]

    def ask(self, method, path, headers=(), body=None, **kw):
        stream = self.start(method, path, headers, end=body is None, **kw)
        if body is not None:
            self.send(stream, body, end=True)
        return self.wait(stream)


@case
def h2_request_is_judged_logged_and_forwarded_as_http1():
    a = H2("api.test").ask("GET", "/a/../two?x=1", [("x-up", "1")])
    eq(a["status"], 200)
    got = json.loads(a["body"])
    eq(got["line"], "GET /two?x=1 HTTP/1.1")
    has(got["head"], "Host: api.test\r\n")
    has(got["head"], "x-up: 1\r\n")
    e = D.request_event()
    eq((e["d"], e["v"], e["x"]), ("allow", "GET", "/two"))


@case
def h2_denial_is_403_and_the_connection_goes_on():
    c = H2("api.test")
    before = len(origin.log)
    a = c.ask("POST", "/denied-over-h2", body=b"secret")
    eq(a["status"], 403)
    eq(json.loads(a["body"])["error"], "policy_denied")
    if b"denied-over-h2" in origin.log[before:] or b"secret" in origin.log[before:]:
        raise AssertionError("bytes of a denied request reached the server")
    eq(c.ask("GET", "/after")["status"], 200)


@case
def h2_early_answer_is_followed_by_no_reset_until_the_client_had_its_time():
    c = H2("api.test")
    for wait in (0.0, 0.05):
        stream = c.start("POST", "/denied", end=False)
        time.sleep(wait)
        c.send(stream, b"x" * 1000, end=True)
        a = c.wait(stream)
        eq((a["status"], a["reset"]), (403, None))
    stream = c.start("POST", "/denied", end=False)
    eq(c.wait(stream)["status"], 403)
    ended = []
    while not ended:
        ended = [e for e in c.c.receive_data(c.sock.recv(65536)) if isinstance(e, h2.events.StreamReset)]
    eq(int(ended[0].error_code), 0)
    eq(c.ask("GET", "/")["status"], 200)


@case
def h2_host_that_no_policy_names_is_refused_in_http2():
    context = client_context(verify=False)
    context.set_alpn_protocols(["h2"])
    s = D.connect("unknown.test 443")
    s = context.wrap_socket(s, server_hostname="unknown.test")
    a = H2("unknown.test", s).ask("GET", "/")
    eq(a["status"], 403)
    has(a["body"].decode(), "no matching network policy")


@case
def h2_requests_do_not_wait_for_each_other():
    gate = threading.Event()

    def slow(server, c, head):
        gate.wait(TIMEOUT)
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow")
    origin.scripts["/slow"] = slow
    c = H2("api.test")
    first = c.start("GET", "/slow")
    eq(c.ask("GET", "/fast")["status"], 200)
    eq(c.streams[first]["done"], False)
    gate.set()
    eq(c.wait(first)["body"], b"slow")


@case
def h2_bodies_go_up_with_and_without_a_length():
    c = H2("full.test")
    body = b"x" * 700001
    eq(json.loads(c.ask("POST", "/up", body=body)["body"])["body"], 700001)
    eq(json.loads(c.ask("PUT", "/up", [("content-length", "700001")], body)["body"])["body"], 700001)


@case
def h2_trailers_reach_the_client():
    def script(server, c, head):
        c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Grpc-Status\r\n\r\n"
                  b"5\r\nhello\r\n0\r\nGrpc-Status: 0\r\nHost: evil\r\n\r\n")
    origin.scripts["/trailers"] = script
    a = H2("api.test").ask("GET", "/trailers")
    eq((a["body"], a["trailers"]), (b"hello", {"grpc-status": "0"}))


@case
def h2_large_answer_comes_whole_through_small_windows():
    blob = os.urandom(6 << 20)

    def script(server, c, head):
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(blob))
        c.sendall(blob)
    origin.scripts["/blob"] = script
    c = H2("api.test")
    one, two = c.start("GET", "/blob"), c.start("GET", "/blob")
    for stream in (one, two):
        a = c.wait(stream)
        eq((len(a["body"]), a["reset"], a["body"] == blob), (len(blob), None, True))


@case
def h2_stream_both_ways_at_once():
    def script(server, c, head):
        c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            n = int(server.read_line(c), 16)
            if n == 0:
                server.read_line(c)
                break
            data = server.read_exact(c, n)
            server.read_exact(c, 2)
            c.sendall(b"%x\r\n" % n + data.upper() + b"\r\n")
        c.sendall(b"0\r\n\r\n")
    origin.scripts["/echo"] = script
    c = H2("full.test")
    stream = c.start("POST", "/echo", end=False)
    for word in (b"one", b"two"):
        c.send(stream, word)
        want = len(c.streams[stream]["body"]) + 3
        while len(c.streams[stream]["body"]) < want:
            c.step()
    c.c.end_stream(stream)
    c.flush()
    eq(c.wait(stream)["body"], b"ONETWO")


@case
def h2_authority_that_differs_is_421():
    eq(H2("api.test").ask("GET", "/", authority="full.test")["status"], 421)
    eq(H2("api.test").ask("GET", "/", authority="api.test:444")["status"], 421)


@case
def h2_malformed_requests_are_400_or_reset():
    c = H2("api.test")
    a = c.ask("GET", "/", [("x-http-method", "PUT"), ("x-method-override", "PUT")])
    eq(a["status"], 400)
    has(a["body"].decode(), "more than one method override")
    eq(c.ask("GET", "/", [("host", "other.test")])["status"], 400)
    eq(c.ask("GET", "/", [("connection", "close")])["reset"], 1)
    eq(c.ask("GET", "/", [("x", "a\r\nb: c")])["reset"], 1)
    eq(c.ask("GET", "/")["status"], 200)


@case
def h2_websocket_by_extended_connect_is_refused_for_its_stream_alone():
    c = H2("ws.test")
    other = c.start("GET", "/other", end=False)
    while not c.greeted:
        c.step()
    eq(c.c.remote_settings.enable_connect_protocol, 0)
    before = origin.connections
    for extra in ([(":protocol", "websocket")], [(":protocol", "websocket"), ("sec-websocket-version", "13")]):
        stream = c.start("CONNECT", "/chat", extra, end=False)
        eq(c.wait(stream)["reset"], 1)
        e = D.await_event(d="deny", g="http-parser", h="ws.test")
        has(e["w"], "RFC 8441")
    plain = c.c.get_next_available_stream_id()
    c.streams[plain] = dict(status=None, headers={}, body=b"", trailers=None, done=False, reset=None, interim=[])
    c.c.send_headers(plain, [(":method", "CONNECT"), (":authority", "ws.test:443")])
    c.flush()
    a = c.wait(plain)
    eq(a["status"], 400)
    has(a["body"].decode(), "CONNECT within HTTP/2 is not supported")
    a = c.ask("connect", "/chat")
    eq(a["status"], 400)
    eq(origin.connections, before)
    c.c.end_stream(other)
    c.flush()
    eq(c.wait(other)["status"], 403)
    s, head = ws_open("ws.test")
    has(head, b"101")


@case
def h2_method_override_is_judged_as_what_it_asks_for():
    eq(H2("api.test").ask("GET", "/", [("x-http-method-override", "DELETE")])["status"], 403)


@case
def h2_graphql_bodies_are_judged():
    c, json_type = H2("gql.test"), [("content-type", "application/json")]
    eq(c.ask("POST", "/graphql", json_type, b'{"query":"{ viewer }"}')["status"], 200)
    eq(c.ask("POST", "/graphql", json_type, b'{"query":"mutation { drop }"}')["status"], 403)


@case
def h2_keys_in_bodies_do_not_reach_the_server():
    key = b"sk-over-http2-0123456789"
    c = H2("closed.red.test")
    eq(json.loads(c.ask("POST", "/red", body=b"key=" + key)["body"])["body"], len("key=[REDACTED]"))
    eq(c.ask("POST", "/red", body=b"\x1f\x8b" + key)["status"], 403)
    if key in origin.log:
        raise AssertionError("the key arrived")
    eq(json.loads(H2("open.red.test").ask("POST", "/red", body=b"\x1f\x8b" + key)["body"])["body"], 2 + len(key))


@case
def h2_head_keeps_the_announced_length():
    a = H2("api.test").ask("HEAD", "/")
    eq((a["status"], a["headers"].get("content-length"), a["body"]), (200, "5", b""))


@case
def h2_stream_that_the_client_resets_ends_upstream_too():
    gone = threading.Event()

    def script(server, c, head):
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        try:
            if c.recv(1) == b"":
                gone.set()
        except OSError:
            gone.set()
        return False
    origin.scripts["/half"] = script
    c = H2("api.test")
    stream = c.start("GET", "/half")
    while c.streams[stream]["status"] is None:
        c.step()
    c.c.reset_stream(stream, 8)
    c.flush()
    if not gone.wait(TIMEOUT):
        raise AssertionError("the server was not told")
    eq(c.ask("GET", "/")["status"], 200)


@case
def h2_answer_that_is_cut_resets_the_stream():
    def script(server, c, head):
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        return False
    origin.scripts["/cut"] = script
    c = H2("api.test")
    a = c.ask("GET", "/cut")
    if a["reset"] is None:
        raise AssertionError("taken for a whole answer")
    eq(c.ask("GET", "/")["status"], 200)


@case
def h2_server_that_cannot_be_reached_is_502():
    context = client_context()
    context.set_alpn_protocols(["h2"])
    eq(H2("refused.test", tls("refused.test", context=context)).ask("GET", "/")["status"], 502)


@case
def h2_prior_knowledge_works_on_a_plain_port():
    s, head = tunnel("plain.test", 80)
    has(head, b"200")
    a = H2("plain.test", s, scheme="http").ask("GET", "/plain")
    eq(a["status"], 200)
    s, head = tunnel("plain.test", 80)
    for b in b"PRI * HT":
        s.sendall(bytes([b]))
    s.sendall(b"TP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
    eq(s.recv(9)[3], 4)


@case
def h2_post_in_pieces_is_not_taken_for_a_preface():
    s, head = tunnel("plain.test", 80)
    for b in b"PRI":
        s.sendall(bytes([b]))
        time.sleep(0.01)
    s.sendall(b"NT / HTTP/1.1\r\nHost: plain.test\r\n\r\n")
    eq(response(s)[0], 200)


@case
def h2_interim_answers_are_passed_on():
    def script(server, c, head):
        c.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    origin.scripts["/hints"] = script
    a = H2("api.test").ask("GET", "/hints")
    eq((a["interim"], a["status"]), ([103], 200))


@case
def h2_flood_of_resets_ends_the_connection():
    c = H2("api.test")
    try:
        for _ in range(2000):
            stream = c.start("GET", "/")
            c.c.reset_stream(stream, 8)
            c.flush()
        while True:
            c.step()
    except (OSError, h2.exceptions.ProtocolError):
        pass
    D.await_event(d="deny", h="api.test", w="the HTTP/2 connection exceeded a limit and is closed")
    eq(H2("api.test").ask("GET", "/")["status"], 200)


@case
def h2_connection_ends_when_the_policy_no_longer_allows_it():
    c = H2("audit.test")
    eq(c.ask("GET", "/")["status"], 200)
    try:
        with_policy(lambda p: p.replace("host: audit.test", "host: other.test"))
        try:
            a = c.ask("GET", "/")
        except (OSError, h2.exceptions.ProtocolError):
            return
        raise AssertionError("answered %r" % a["status"])
    finally:
        with_policy(lambda p: p)


@case
def h2_refused_connection_asks_anew_when_the_policy_changes():
    context = client_context(verify=False)
    context.set_alpn_protocols(["h2"])
    c = H2("unknown.test", context.wrap_socket(D.connect("unknown.test 443"), server_hostname="unknown.test"))
    eq(c.ask("GET", "/")["status"], 403)
    try:
        with_policy(lambda p: p)
        while c.goaway is None:
            c.step()
        eq(c.goaway, 0)
    finally:
        with_policy(lambda p: p)


# ---- servers that speak HTTP/2 ----

class H2Origin:
    """Echoes bodies in capitals as they come, ends with trailers; special paths below."""

    def __init__(self, tls=True):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(TMP + "/origin.crt", TMP + "/origin.key")
        self.context.set_alpn_protocols(["h2"])
        self.tls, self.connections, self.requests = tls, 0, []
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            s, _ = self.sock.accept()
            self.connections += 1
            threading.Thread(target=self.serve, args=(at_once(s),), daemon=True).start()

    def serve(self, s):
        try:
            s.settimeout(TIMEOUT)
            if self.tls:
                s = self.context.wrap_socket(s, server_side=True)
            c = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
            c.initiate_connection()
            s.sendall(c.data_to_send())
            paths, queue = {}, {}
            while True:
                data = s.recv(65536)
                if not data:
                    return
                for e in c.receive_data(data):
                    if isinstance(e, h2.events.RequestReceived):
                        self.begin(c, e, paths, queue)
                    elif isinstance(e, h2.events.DataReceived):
                        if e.stream_id in queue:
                            queue[e.stream_id] += e.data.upper()
                        c.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
                    elif isinstance(e, h2.events.StreamEnded) and e.stream_id in queue:
                        paths[e.stream_id] = "ended"
                    elif isinstance(e, h2.events.StreamReset):
                        queue.pop(e.stream_id, None)
                self.pump(c, paths, queue)
                s.sendall(c.data_to_send())
        except (OSError, h2.exceptions.ProtocolError):
            pass
        finally:
            s.close()

    def begin(self, c, e, paths, queue):
        h = dict(e.headers)
        self.requests.append(h)
        stream, path = e.stream_id, h[":path"]
        if path == "/refused":
            c.reset_stream(stream, 7)
        elif path == "/error":
            c.send_headers(stream, [(":status", "200"), ("grpc-status", "5")], end_stream=True)
        elif path == "/goaway":
            c.send_headers(stream, [(":status", "204")], end_stream=True)
            c.close_connection()
        else:
            c.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc"), ("x-path", path)])
            paths[stream] = path
            queue[stream] = b"z" * 3000000 if path == "/large" else b""

    def pump(self, c, paths, queue):
        for stream in list(queue):
            while queue[stream]:
                n = min(len(queue[stream]), c.local_flow_control_window(stream), c.max_outbound_frame_size)
                if n <= 0:
                    break
                c.send_data(stream, queue[stream][:n])
                queue[stream] = queue[stream][n:]
            if not queue[stream] and paths.get(stream) == "ended":
                c.send_headers(stream, [("grpc-status", "0")], end_stream=True)
                del queue[stream]


def with_h2_origin(fn, tls_=True, host="full.test", port=443):
    global D
    o = H2Origin(tls_)
    old = with_driver("--connect-to", "%s:%d:127.0.0.1:%d" % (host, port, o.port))
    try:
        fn(o)
    finally:
        D.close()
        D = old


@case
def h2_grpc_goes_from_end_to_end_with_trailers():
    def run(o):
        c = H2("full.test")
        a = c.ask("POST", "/svc/Call", [("content-type", "application/grpc"), ("te", "trailers")], b"hello")
        eq((a["status"], a["body"], a["trailers"]), (200, b"HELLO", {"grpc-status": "0"}))
        eq(o.requests[0].get("te"), "trailers")
        eq(o.requests[0][":authority"], "full.test")
        eq(o.requests[0][":path"], "/svc/Call")
        a = c.ask("POST", "/error", body=b"x")
        eq((a["headers"]["grpc-status"], a["body"], a["ended_with_head"]), ("5", b"", True))
        for i in range(5):
            eq(c.ask("POST", "/svc/Call", body=b"x%d" % i)["body"], b"X%d" % i)
        eq(o.connections, 1)
    with_h2_origin(run)


@case
def h2_grpc_streams_both_ways_at_once():
    def run(o):
        c = H2("full.test")
        one, two = (c.start("POST", "/svc/Stream", end=False) for _ in range(2))
        for word in (b"a", b"bc", b"def"):
            for stream in (one, two):
                want = len(c.streams[stream]["body"]) + len(word)
                c.send(stream, word)
                while len(c.streams[stream]["body"]) < want:
                    c.step()
        for stream in (one, two):
            c.c.end_stream(stream)
            c.flush()
            a = c.wait(stream)
            eq((a["body"], a["trailers"]), (b"ABCDEF", {"grpc-status": "0"}))
    with_h2_origin(run)


@case
def h2_large_bodies_go_both_ways_between_h2_and_h2():
    def run(o):
        c = H2("full.test")
        body = os.urandom(1 << 20).hex().encode()
        a = c.ask("POST", "/up", body=body)
        eq((len(a["body"]), a["body"] == body.upper()), (len(body), True))
        eq(len(c.ask("GET", "/large")["body"]), 3000000)
    with_h2_origin(run)


@case
def h2_stream_refused_by_the_server_is_502_and_the_rest_goes_on():
    def run(o):
        c = H2("full.test")
        eq(c.ask("GET", "/one")["status"], 200)
        eq(c.ask("GET", "/refused")["status"], 502)
        eq(c.ask("GET", "/two")["status"], 200)
    with_h2_origin(run)


@case
def h2_goaway_of_the_server_means_a_new_connection():
    def run(o):
        c = H2("full.test")
        eq(c.ask("GET", "/goaway")["status"], 204)
        eq(c.ask("GET", "/one")["status"], 200)
        eq(o.connections, 2)
    with_h2_origin(run)


@case
def h2_without_tls_reaches_a_server_that_speaks_it():
    def run(o):
        s, head = tunnel("plain.test", 80)
        has(head, b"200")
        a = H2("plain.test", s, scheme="http").ask("POST", "/svc", body=b"abc")
        eq((a["body"], a["trailers"]), (b"ABC", {"grpc-status": "0"}))
    with_h2_origin(run, False, "plain.test", 80)


@case
def h2_denied_requests_never_open_a_stream_upstream():
    def run(o):
        eq(H2("api.test").ask("POST", "/denied", body=b"x")["status"], 403)
        eq((o.connections, o.requests), (0, []))
    with_h2_origin(run, host="api.test")
