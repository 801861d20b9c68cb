"""The proxy between scripted clients and scripted servers; prints TAP.

usage: proxy_cases.py BUILD_DIR [--suite NAME] [NAME-PART...]

--suite runs the cases of proxy_NAME_cases.py instead of those that are here.

Each case is a function whose name is the sentence it proves. The server records every byte it is
sent, so that a case can show what never arrived; `allowed` requests beside it are the control.
"""
import base64, contextlib, hashlib, json, mmap, os, re, resource, select, signal, socket, ssl, struct, subprocess, sys, tempfile, threading, time, warnings, zlib

BUILD = os.path.abspath(sys.argv[1])
SUITE = sys.argv[3] if sys.argv[2:3] == ["--suite"] else None
ONLY = sys.argv[4 if SUITE else 2:]
TMP = tempfile.mkdtemp(prefix="proxy-cases.")
CASES = []
TIMEOUT = 10
UNCLEAN = []  # proxies that did not end well
warnings.simplefilter("ignore", DeprecationWarning)  # old TLS versions are meant

POLICY = """
version: 1
network_policies:
  api:
    name: api-policy
    endpoints:
      - { host: api.test, port: 443, protocol: rest, enforcement: enforce, access: read-only }
      - { host: full.test, port: 443, protocol: rest, enforcement: enforce, access: full }
      - { host: audit.test, port: 443, protocol: rest, enforcement: audit, access: read-only }
      - { host: plain.test, port: 80, protocol: rest, enforcement: enforce, access: full }
      - { host: badname.test, port: 443, protocol: rest, enforcement: enforce, access: full }
      - { host: raw.test, port: 7 }
      - { host: far.test, port: 443, protocol: rest, enforcement: enforce, access: full }
      - { host: far.test, port: 7 }
      - { host: 127.0.0.1, port: 443 }
      - { host: skip.test, port: 443, protocol: rest, tls: skip, enforcement: enforce, access: read-only }
      - { host: localhost, port: 443, protocol: rest, enforcement: enforce, access: read-only }
      - { host: closed.red.test, port: 443, protocol: rest, enforcement: enforce, access: full }
      - { host: open.red.test, port: 443, protocol: rest, enforcement: enforce, access: full }
      - { host: gql.red.test, port: 443, protocol: graphql, enforcement: enforce, access: full }
      - { host: nowhere.invalid, port: 443, protocol: rest, enforcement: enforce, access: read-only }
      - { host: refused.test, port: 443, protocol: rest, enforcement: enforce, access: read-only }
      - host: gql.test
        port: 443
        protocol: graphql
        enforcement: enforce
        access: read-only
      - host: rpc.test
        port: 443
        protocol: mcp
        enforcement: enforce
        rules:
          - allow: { method: initialize }
          - allow: { method: tools/call, tool: search }
      - host: ws.test
        port: 443
        protocol: websocket
        enforcement: enforce
        rules:
          - allow: { method: GET, path: /chat }
          - allow: { method: WEBSOCKET_TEXT, path: /chat }
      - host: wsgql.test
        port: 443
        protocol: websocket
        enforcement: enforce
        rules:
          - allow: { method: GET, path: /chat }
          - allow: { operation_type: query, fields: [viewer] }
      - host: wsro.test
        port: 443
        protocol: websocket
        enforcement: enforce
        access: read-only
    binaries: [ { path: /usr/bin/curl } ]
network_middlewares:
  keys:
    middleware: openshell/regex
    order: 1
    endpoints: { include: ["*.red.test"], exclude: [open.red.test] }
  lenient:
    middleware: openshell/regex
    order: 2
    on_error: fail_open
    endpoints: { include: ["*.red.test"] }
"""


def case(fn):
    CASES.append(fn)
    return fn


def eq(got, want):
    if got != want:
        raise AssertionError("got %r, want %r" % (got, want))


def has(text, part):
    if part not in text:
        raise AssertionError("%r is not in %r" % (part, text))


def at_once(s):
    """What it sends is there when the call returns: Nagle's algorithm waits for an acknowledgement, which takes 40 ms."""
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


# ---- the server ----

def certificate(name, names):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", "%s/%s.key" % (TMP, name), "-out", "%s/%s.crt" % (TMP, name), "-days", "2", "-subj", "/CN=" + names[0],
                    "-addext", "subjectAltName=" + ",".join("DNS:" + n for n in names)], check=True, capture_output=True)


class Server:
    """Accepts, records, and lets `script` (by request line) answer."""

    def __init__(self, tls):
        self.tls = tls
        self.log = bytearray()  # one, for threads that add to it
        self.messages = []  # of WebSockets
        self.connections = self.resumed = 0
        self.scripts = {}
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.sock.getsockname()[1]
        if tls:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(TMP + "/origin.crt", TMP + "/origin.key")
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            c, _ = self.sock.accept()
            self.connections += 1
            threading.Thread(target=self.serve, args=(at_once(c),), daemon=True).start()

    def serve(self, c):
        try:
            c.settimeout(TIMEOUT)
            if self.tls:
                c = self.context.wrap_socket(c, server_side=True)
                self.resumed += c.session_reused
            while True:
                head = self.read_head(c)
                if not head or head.startswith(b"PRI "):
                    return  # HTTP/2 was tried: this is no server for it
                path = head.split(b" ")[1].split(b"?")[0].decode()
                script = self.scripts.get(path)
                if script:
                    if script(self, c, head) is False:
                        return
                    continue
                body = self.read_body(c, head)
                answer = json.dumps({"line": head.split(b"\r\n")[0].decode(), "head": head.decode("latin1"), "body": len(body)}).encode()
                if head.startswith(b"HEAD "):
                    c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
                else:
                    c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
        except OSError:
            pass
        finally:
            c.close()

    def recv(self, c, n):
        data = c.recv(n)
        self.log += data
        return data

    def read_head(self, c):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            b = self.recv(c, 1)
            if not b:
                return b""
            head += b
        return head

    def read_exact(self, c, n):
        data = b""
        while len(data) < n:
            b = self.recv(c, n - len(data))
            if not b:
                raise OSError("end")
            data += b
        return data

    def read_line(self, c):
        line = b""
        while not line.endswith(b"\r\n"):
            line += self.read_exact(c, 1)
        return line

    def read_body(self, c, head):
        m = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        if m:
            return self.read_exact(c, int(m.group(1)))
        body = b""
        if re.search(rb"(?i)\r\ntransfer-encoding: chunked", head):
            while True:
                n = int(self.read_line(c), 16)
                if n == 0:
                    while self.read_line(c) != b"\r\n":
                        pass
                    return body
                body += self.read_exact(c, n)
                self.read_exact(c, 2)
        return body


# ---- the client ----

class Driver:
    def __init__(self, *args, nofile=None, policy=None, clock=False, faults=False):
        self.log_path = TMP + "/events.%d" % time.monotonic_ns()
        self.ca = self.log_path + ".pem"
        cmd = [BUILD + "/support/proxy_driver", "--proxy", os.environ.get("PROXY", BUILD + "/bin/openshell-proxy"), "--policy", policy or TMP + "/policy.yaml",
               "--log", self.log_path, "--ca-out", self.ca, "--extra-ca", TMP + "/origin.crt", "--binary", "/usr/bin/curl", *args,
               "--", "sh", "-c", "echo $PROXY_PORT $PROXY_TUPLES; exec cat"]
        if nofile:
            cmd = ["prlimit", "--nofile=%d:%d" % (nofile, nofile)] + cmd
        env = dict(os.environ)
        # In such a build the proxy looks for leaks (lib/instrument.h). The clock is loaded before the sanitizer's
        # library.
        env["OPENSHELL_INSTRUMENT_OPEN"] = "1"
        env["ASAN_OPTIONS"] = "detect_leaks=1:symbolize=1:verify_asan_link_order=0"
        if clock or faults:
            env["LD_PRELOAD"] = " ".join(([self.own_clock(env)] if clock else []) + ([self.own_faults(env)] if faults else []))
        self.proc = subprocess.Popen(cmd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)
        port, self.tuples = self.proc.stdout.readline().split()
        self.port = int(port)

    def preload(self, name):
        """The library that is made of tests/support/preload/NAME.c."""
        library = TMP + "/%s.so" % name
        if not os.path.exists(library):
            source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "preload", name + ".c")
            subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
        return library

    def share(self, name, size):
        """A file of zeros, and the memory that is it."""
        path = self.log_path + "." + name
        with open(path, "wb") as f:
            f.write(bytes(size))
        with open(path, "r+b") as f:
            return path, mmap.mmap(f.fileno(), size)

    def own_clock(self, env):
        """The proxy's clock goes on as we say, and stands still otherwise (tests/support/preload/clock.c)."""
        env["CLOCK_FILE"], self.clock = self.share("clock", 48)
        self.clock[40:] = struct.pack("Q", 1)
        return self.preload("clock")

    def own_faults(self, env):
        """The proxy's calls fail as we say (tests/support/preload/fault.c)."""
        env["FAULT_FILE"], self.faults = self.share("fault", 24)
        env["FAULT_PROGRAM"] = "openshell-proxy"
        return self.preload("fault")

    def fault(self, kinds, left=0):
        """One call of these kinds fails, after so many; no kind: none does. Whether the last one that was meant has failed."""
        has_failed = self.faults[16] == 1
        self.faults[:8] = bytes(8)
        self.faults[8:] = struct.pack("QQ", left, 0)
        self.faults[:8] = struct.pack("Q", kinds)
        return has_failed

    def is_faulty(self):
        """A call fails, or has."""
        return any(self.faults[:8]) or self.faults[16] == 1

    def rest(self):
        """Returns when the proxy has waited for something, since now, and there was nothing."""
        rests = struct.unpack("Q", self.clock[32:40])[0]
        until = time.monotonic() + TIMEOUT
        # A wait that had begun does not count.
        while struct.unpack("Q", self.clock[32:40])[0] < rests + 2:
            if time.monotonic() > until:
                raise AssertionError("the proxy does not come to rest")
            time.sleep(0.001)

    def settle(self):
        """Returns when the proxy has done what there was to do, with what its supervisor told it and answered."""
        found = None
        while found != self.clock[8:16]:
            found = self.clock[8:16]
            self.rest()
            self.command("sync")
            self.rest()

    def advance(self, ms):
        """Lets `ms` pass, and returns when the proxy has seen it."""
        self.settle()
        self.clock[:8] = struct.pack("Q", struct.unpack("Q", self.clock[:8])[0] + ms)
        self.settle()

    def set_wall(self, ms):
        """The wall clock is that much ahead, or behind, from now on."""
        self.clock[16:24] = struct.pack("q", ms)
        self.settle()

    def sleep(self, ms):
        """The host slept that long."""
        self.clock[24:32] = struct.pack("q", struct.unpack("q", self.clock[24:32])[0] + ms)
        self.settle()

    def proxy_pid(self):
        for line in subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(self.proc.pid)], capture_output=True, text=True).stdout.splitlines():
            if line.split()[1].startswith("openshell-proxy"):
                return int(line.split()[0])
        raise AssertionError("no proxy")

    def close(self):
        self.proc.stdin.close()
        status = self.proc.wait(TIMEOUT)
        UNCLEAN.extend(["%s: status %d" % (self.log_path, status)] if status == 96 else [])
        return status

    def register(self, sock, text=""):
        u = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        u.sendto(("%d %s" % (sock.getsockname()[1], text)).encode(), self.tuples)
        u.close()

    def connect(self, transparent=""):
        s = at_once(socket.create_connection(("127.0.0.1", self.port)))
        s.settimeout(TIMEOUT)
        self.register(s, transparent)
        return s

    def command(self, text):
        """What the driver answers, when it has done it and all that it was told before."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as u:
            u.settimeout(TIMEOUT)
            u.bind("")
            u.sendto(text.encode(), self.tuples)
            return u.recv(100).split()

    def policy(self, path):
        return self.command("policy " + path)

    def events(self):
        with open(self.log_path) as f:
            return [json.loads(line) for line in f]

    def request_event(self):
        return [e for e in self.events() if e["a"] == "L7"][-1]

    def await_event(self, **want):
        until = time.monotonic() + TIMEOUT
        while time.monotonic() < until:
            for e in reversed(self.events()):
                if all(e.get(k) == v for k, v in want.items()):
                    return e
            time.sleep(0.02)
        raise AssertionError("no event %r" % want)


RESET = struct.pack("ii", 1, 0)  # SO_LINGER: the end is one


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    s.close()


def wait_for(what):
    until = time.monotonic() + TIMEOUT
    while not what():
        if time.monotonic() > until:
            raise AssertionError("it did not come")
        time.sleep(0.002)


def read_until(s, end):
    data = b""
    while not data.endswith(end):
        b = s.recv(1)
        if not b:
            return data
        data += b
    return data


def tunnel(host, port=443):
    s = D.connect()
    s.sendall(b"CONNECT %s:%d HTTP/1.1\r\nHost: %s:%d\r\n\r\n" % (host.encode(), port, host.encode(), port))
    return s, read_until(s, b"\r\n\r\n")


def client_context(verify=True):
    c = ssl.create_default_context(cafile=D.ca)
    c.verify_flags |= ssl.VERIFY_X509_STRICT
    if not verify:
        c.check_hostname = False
        c.verify_mode = ssl.CERT_NONE
    return c


def tls(host, sni=None, context=None):
    s, head = tunnel(host)
    has(head, b"200")
    return (context or client_context()).wrap_socket(s, server_hostname=sni or host)


def response(s, method="GET"):
    """(status, head, body) of one answer."""
    head = read_until(s, b"\r\n\r\n")
    if not head:
        return None, b"", b""
    status = int(head.split(b" ")[1])
    m = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    body = b""
    if method == "HEAD" or status in (204, 304) or status < 200:
        pass
    elif m:
        while len(body) < int(m.group(1)):
            b = s.recv(int(m.group(1)) - len(body))
            if not b:
                break
            body += b
    elif re.search(rb"(?i)\r\ntransfer-encoding: chunked", head):
        while True:
            n = int(read_until(s, b"\r\n") or b"0", 16)
            part = read_until_len(s, n)
            body += part
            read_until(s, b"\r\n")
            if n == 0 or len(part) < n:
                break
    return status, head, body


def read_until_len(s, n):
    data = b""
    while len(data) < n:
        b = s.recv(n - len(data))
        if not b:
            break
        data += b
    return data


def ask(s, text, method="GET"):
    s.sendall(text)
    return response(s, method)


def get(host, path="/", s=None, extra=""):
    s = s or tls(host)
    return ask(s, ("GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (path, host, extra)).encode())


def closed(s):
    """True when the peer has ended the connection, in order or by reset."""
    try:
        return s.recv(1) == b""
    except (ConnectionError, ssl.SSLError):
        return True


# ---- entry ----

@case
def connect_to_an_unknown_host_is_403_with_a_reason():
    s, head = tunnel("unknown.test")
    has(head, b"HTTP/1.1 403 Forbidden\r\n")
    body = json.loads(s.recv(65536))
    eq(list(body)[:3], ["error", "policy", "detail"])
    eq(body["error"], "policy_denied")
    eq(body["reason"], "no matching network policy")
    eq(body["host"], "unknown.test")


@case
def what_is_suggested_is_what_was_refused_and_can_be_pasted():
    step = lambda answer: (json.loads(answer[2])["next_steps"] or [""])[0]
    ask_for = lambda path: step(ask(tls("api.test"), b"DELETE " + path + b" HTTP/1.1\r\nHost: api.test\r\n\r\n"))
    has(ask_for(b"/a"), "--add-allow 'api.test:443:DELETE:/a' --wait")
    has(ask_for(b"/v1/x:run"), "--add-allow 'api.test:443:DELETE:/v1/x:run' --wait")
    has(ask_for(b"/**"), "--add-allow 'api.test:443:DELETE:/[*][*]' --wait")
    eq(ask_for(b"/it's"), "")
    plain_ask = lambda host: ask(D.connect(), b"GET http://%s/p?q HTTP/1.1\r\nHost: %s\r\n\r\n" % (host, host))
    answer = plain_ask(b"unknown.test:81")
    eq(json.loads(answer[2])["detail"], "GET unknown.test:81/p not permitted by policy")
    answer = plain_ask(b"[2001:db8::1]:81")
    eq(json.loads(answer[2])["detail"], "GET [2001:db8::1]:81/p not permitted by policy")
    has(step(answer), "--add-endpoint '[2001:db8::1]:81' --binary '/usr/bin/curl'")


@case
def an_allowed_request_reaches_the_server_and_is_logged_first():
    status, _, body = get("api.test", "/logged")
    eq(status, 200)
    e = D.request_event()
    eq((e["a"], e["d"], e["v"], e["x"]), ("L7", "allow", "GET", "/logged"))


@case
def a_denied_method_is_403_and_not_one_byte_of_it_reaches_the_server():
    before = len(origin.log)
    s = tls("api.test")
    status, head, body = ask(s, b"POST /x HTTP/1.1\r\nHost: api.test\r\nContent-Length: 6\r\n\r\nsecret")
    eq(status, 403)
    has(head, b"X-OpenShell-Policy: api-policy\r\n")
    eq(json.loads(body)["detail"], "POST /x not permitted by policy")
    eq(list(json.loads(body))[:3], ["error", "policy", "detail"])
    eq(len(origin.log), before)


@case
def a_denied_get_leaves_the_connection_usable():
    s = tls("ws.test")
    eq(get("ws.test", "/other", s)[0], 403)
    eq(get("ws.test", "/other", s)[0], 403)


@case
def pipelined_requests_are_judged_one_by_one():
    before = origin.log.count(b"DELETE")
    s = tls("api.test")
    s.sendall(b"GET /a HTTP/1.1\r\nHost: api.test\r\n\r\nDELETE /b HTTP/1.1\r\nHost: api.test\r\n\r\nGET /c HTTP/1.1\r\nHost: api.test\r\n\r\n")
    eq(response(s)[0], 200)
    eq(response(s)[0], 403)
    eq(response(s)[0], 200)
    eq(origin.log.count(b"DELETE"), before)


@case
def absolute_form_is_forwarded_in_origin_form_and_kept_alive():
    s = D.connect()
    for path in ("/one", "/two"):
        status, _, body = ask(s, ("GET http://plain.test%s HTTP/1.1\r\nHost: plain.test\r\nProxy-Authorization: x\r\nProxy-Connection: keep-alive\r\n\r\n" % path).encode())
        eq(status, 200)
        eq(json.loads(body)["line"], "GET %s HTTP/1.1" % path)
        has(json.loads(body)["head"], "Via: ")
        if "roxy-" in json.loads(body)["head"]:
            raise AssertionError("a proxy header was forwarded")


@case
def absolute_form_for_https_is_400():
    s = D.connect()
    status, _, body = ask(s, b"GET https://api.test/ HTTP/1.1\r\nHost: api.test\r\n\r\n")
    eq(status, 400)
    has(json.loads(body)["detail"], "CONNECT")


@case
def origin_form_to_the_proxy_is_400():
    eq(ask(D.connect(), b"GET / HTTP/1.1\r\nHost: api.test\r\n\r\n")[0], 400)


@case
def a_connection_nobody_registered_is_reset():
    s = socket.create_connection(("127.0.0.1", D.port))
    s.settimeout(TIMEOUT)
    s.sendall(b"CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n")
    eq(closed(s), True)


@case
def a_registration_serves_once():
    s = D.connect()
    own = s.getsockname()
    s.close()
    t = socket.socket()
    t.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    t.settimeout(TIMEOUT)
    try:
        t.bind(own)
        t.connect(("127.0.0.1", D.port))
    except OSError:
        return  # the port is still taken: it cannot be used twice either
    t.sendall(b"CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n")
    eq(closed(t), True)


@case
def a_head_of_9_kib_to_the_proxy_is_431():
    s = D.connect()
    eq(ask(s, b"CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\nX: " + b"a" * 9000 + b"\r\n\r\n")[0], 431)


@case
def a_transparent_connection_to_an_unknown_host_gets_403_in_tls():
    s = client_context().wrap_socket(D.connect("unknown.test 443"), server_hostname="unknown.test")
    status, _, body = get("unknown.test", "/p", s)
    eq(status, 403)
    eq(json.loads(body)["path"], "/p")


@case
def a_transparent_connection_to_an_unknown_host_gets_403_in_http():
    eq(get("unknown.test", "/", D.connect("unknown.test 80"))[0], 403)


@case
def a_transparent_connection_of_another_protocol_to_an_unknown_host_is_reset():
    s = D.connect("unknown.test 22")
    s.sendall(b"\x00\x01binary")
    eq(closed(s), True)


@case
def another_binary_is_denied_and_told_why():
    s = client_context().wrap_socket(D.connect("api.test 443 /usr/bin/wget"), server_hostname="api.test")
    status, _, body = get("api.test", "/", s)
    eq(status, 403)
    has(json.loads(body)["binary"], "wget")


@case
def bytes_that_are_neither_tls_nor_http_do_not_pass_an_inspected_endpoint():
    before = len(origin.log)
    s, head = tunnel("api.test")
    s.sendall(b"\x01\x02\x03\x04")
    eq(closed(s), True)
    eq(len(origin.log), before)


# ---- TLS ----

class Shaped:
    """A TLS client whose first flight goes through `shape`, which gives the pieces to send."""

    def __init__(self, host, shape, context=None, sni=None):
        self.sock, _ = tunnel(host)
        self.inc, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = (context or client_context()).wrap_bio(self.inc, self.out, server_hostname=sni or host)
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                for piece in shape(self.out.read()):
                    self.sock.sendall(piece)
                shape = lambda data: [data]
                self.more()
        self.sock.sendall(self.out.read())

    def more(self):
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("the proxy closed the connection")
        self.inc.write(data)

    def sendall(self, data):
        self.tls.write(data)
        self.sock.sendall(self.out.read())

    def recv(self, n):
        while True:
            try:
                return self.tls.read(n)
            except ssl.SSLWantReadError:
                self.more()


def records(size):
    """The handshake messages of a flight in records of `size` bytes."""
    def shape(data):
        body, at = b"", 0
        while at < len(data):
            n = struct.unpack(">H", data[at + 3:at + 5])[0]
            body += data[at + 5:at + 5 + n]
            at += 5 + n
        return [b"\x16\3\1" + struct.pack(">H", len(body[i:i + size])) + body[i:i + size] for i in range(0, len(body), size)]
    return shape


def large_context(entries):
    """A ClientHello of some 250 bytes an entry, as one with key shares of the post-quantum kind is."""
    c = client_context()
    c.set_alpn_protocols(["x%03d" % i + "x" * 245 for i in range(entries)] + ["http/1.1"])
    return c


def with_extension(number, data=b""):
    """Puts an extension at the end of a ClientHello that came in one record."""
    def shape(flight):
        ext = struct.pack(">HH", number, len(data)) + data
        hello, at = bytearray(flight[9:]), 34
        at += 1 + hello[at]
        at += 2 + struct.unpack(">H", hello[at:at + 2])[0]
        at += 1 + hello[at]
        hello[at:at + 2] = struct.pack(">H", struct.unpack(">H", hello[at:at + 2])[0] + len(ext))
        hello += ext
        return [flight[:3] + struct.pack(">H", len(hello) + 4) + b"\1" + struct.pack(">I", len(hello))[1:] + bytes(hello)]
    return shape


def first_flight(host, shape, context):
    """Sends a shaped ClientHello alone and gives the socket."""
    out = ssl.MemoryBIO()
    t = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=host)
    try:
        t.do_handshake()
    except ssl.SSLWantReadError:
        pass
    s, _ = tunnel(host)
    for piece in shape(out.read()):
        s.sendall(piece)
    return s


@case
def a_client_hello_in_one_byte_segments_is_understood():
    eq(get("api.test", "/", Shaped("api.test", lambda data: [bytes([b]) for b in data]))[0], 200)


@case
def a_client_hello_over_several_records_is_understood():
    for size in (1, 7, 100):
        eq(get("api.test", "/", Shaped("api.test", records(size)))[0], 200)
    eq(get("api.test", "/", Shaped("api.test", records(100), sni="full.test"))[0], 421)


@case
def a_client_hello_beyond_4_and_16_kib_is_understood():
    whole = lambda data: [data]
    for entries in (18, 80):
        eq(get("api.test", "/", Shaped("api.test", whole, large_context(entries)))[0], 200)
        eq(get("api.test", "/", Shaped("api.test", records(1000), large_context(entries)))[0], 200)
        eq(get("api.test", "/", Shaped("api.test", whole, large_context(entries), sni="full.test"))[0], 421)


@case
def a_client_hello_that_is_none_is_refused():
    for data in (b"\x16\3\1\x40\0" + b"\1" + b"\xff" * 0x3fff, b"\x16\3\1\0\4\1\0\0\0", b"\x16\3\1\0\0" * 40,
                 b"\x80\x2e\1\3\1" + b"\0" * 43, b"\x16\3\1\0\x05\2\0\0\1\0"):
        s, _ = tunnel("api.test")
        got = b""
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            while (b := s.recv(4096)):
                got += b
        except OSError:
            pass
        if got and got[0] != 0x15:
            raise AssertionError(got)


@case
def an_encrypted_client_hello_is_judged_by_the_name_that_is_readable():
    c = client_context()
    c.maximum_version = ssl.TLSVersion.TLSv1_2
    s = first_flight("api.test", with_extension(0xfe0d, b"\0\0\1\0\1\7\0\x20" + b"k" * 32 + b"\0\x40" + b"e" * 64), c)
    eq(s.recv(1), b"\x16")
    s = first_flight("api.test", lambda data: [data], c)
    eq(s.recv(1), b"\x16")


@case
def early_data_is_not_taken():
    before = len(origin.log)
    s = first_flight("api.test", with_extension(42), client_context())
    s.sendall(b"\x17\3\3\0\x32" + b"GET /early HTTP/1.1\r\nHost: api.test\r\n\r\n".ljust(0x32, b" "))
    s.shutdown(socket.SHUT_WR)
    while s.recv(4096):
        pass
    eq(len(origin.log), before)
    eq(get("api.test", "/late")[0], 200)


@case
def a_client_hello_sent_together_with_connect_is_understood():
    s = D.connect()
    inc, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    t = client_context().wrap_bio(inc, out, server_hostname="api.test")
    try:
        t.do_handshake()
    except ssl.SSLWantReadError:
        pass
    s.sendall(b"CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n" + out.read())
    has(read_until(s, b"\r\n\r\n"), b"200")
    inc.write(s.recv(65536))
    for _ in range(20):
        try:
            t.do_handshake()
            return
        except ssl.SSLWantReadError:
            inc.write(s.recv(65536))
    raise AssertionError("no handshake")


@case
def the_server_name_must_agree_with_the_connection():
    s = tls("api.test", sni="full.test")
    eq(get("api.test", "/", s)[0], 421)


@case
def the_host_must_agree_with_the_connection():
    s = tls("api.test")
    eq(get("full.test", "/", s)[0], 421)


@case
def tls_1_2_clients_are_served():
    c = client_context()
    c.maximum_version = ssl.TLSVersion.TLSv1_2
    eq(get("api.test", "/", tls("api.test", context=c))[0], 200)


@case
def tls_1_1_clients_are_refused():
    c = client_context()
    c.set_ciphers("ALL:@SECLEVEL=0")
    c.minimum_version = ssl.TLSVersion.TLSv1
    c.maximum_version = ssl.TLSVersion.TLSv1_1
    try:
        tls("api.test", context=c)
    except (ssl.SSLError, ConnectionError):
        return
    raise AssertionError("TLS 1.1 was accepted")


@case
def clients_resume_their_sessions():
    c = client_context()
    c.maximum_version = ssl.TLSVersion.TLSv1_2
    a = tls("api.test", context=c)
    eq(get("api.test", "/", a)[0], 200)
    s, _ = tunnel("api.test")
    b = c.wrap_socket(s, server_hostname="api.test", session=a.session)
    eq(b.session_reused, True)


@case
def clients_resume_tls_1_3_sessions_too():
    c = client_context()
    c.minimum_version = ssl.TLSVersion.TLSv1_3
    a = tls("api.test", context=c)
    eq(get("api.test", "/", a)[0], 200)
    s, _ = tunnel("api.test")
    b = c.wrap_socket(s, server_hostname="api.test", session=a.session)
    eq(get("api.test", "/", b)[0], 200)
    eq(b.session_reused, True)


@case
def a_server_with_the_wrong_name_is_502_with_the_reason():
    status, _, body = get("badname.test", "/")
    eq(status, 502)
    has(json.loads(body)["detail"], "hostname mismatch")


@case
def a_server_of_tls_1_0_is_502_with_the_reason():
    old = Server(True)
    old.context.set_ciphers("ALL:@SECLEVEL=0")
    old.context.minimum_version = ssl.TLSVersion.TLSv1
    old.context.maximum_version = ssl.TLSVersion.TLSv1
    kept = with_driver("--connect-to", "api.test:443:127.0.0.1:%d" % old.port)
    try:
        status, _, body = get("api.test", "/")
        eq((status, json.loads(body)["error"]), (502, "upstream_tls_failed"))
        has(json.loads(body)["detail"], "version")
        eq(old.log, b"")
        old.context.set_ciphers("DEFAULT")
        old.context.maximum_version = ssl.TLSVersion.TLSv1_3
        eq(get("api.test", "/")[0], 200)
    finally:
        without_driver(kept)


@case
def a_server_that_wants_a_certificate_of_ours_is_502_with_the_reason():
    """In TLS 1.3 it says so when the handshake is over for us, and the request perhaps on its way."""
    def context(mode):
        new = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        new.load_cert_chain(TMP + "/origin.crt", TMP + "/origin.key")
        new.verify_mode = mode
        return new
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        for mode in (ssl.CERT_OPTIONAL, ssl.CERT_REQUIRED):
            c = context(mode).wrap_socket(listener.accept()[0], server_side=True, do_handshake_on_connect=False)
            try:
                c.do_handshake()
                c.recv(4096)
                c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            except ssl.SSLError:
                socket.socket.shutdown(c, socket.SHUT_WR)
                while socket.socket.recv(c, 4096):
                    pass
            c.close()
    threading.Thread(target=serve, daemon=True).start()
    kept = with_driver("--connect-to", "api.test:443:127.0.0.1:%d" % listener.getsockname()[1])
    try:
        eq(get("api.test", "/")[0], 200)
        status, _, body = get("api.test", "/")
        eq((status, json.loads(body)["error"]), (502, "upstream_failed"))
        has(json.loads(body)["detail"], "certificate required")
    finally:
        without_driver(kept)


@case
def sessions_with_servers_are_resumed():
    def bye(srv, c, head):
        c.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        return False
    origin.scripts["/bye"] = bye
    eq(get("full.test", "/bye")[0], 200)
    before, connections = origin.resumed, origin.connections
    eq(get("full.test", "/bye")[0], 200)
    eq((origin.resumed - before, origin.connections - connections), (1, 1))


@case
def a_server_that_refuses_is_502():
    status, _, body = get("refused.test", "/")
    eq(status, 502)
    has(json.loads(body)["detail"], "refused")


@case
def a_name_that_does_not_resolve_is_502():
    s, head = tunnel("nowhere.invalid")
    has(head, b"502")
    has(s.recv(65536), b"DNS resolution failed")


@case
def a_name_that_resolves_to_loopback_is_403():
    s, head = tunnel("localhost")
    has(head, b"403")
    eq(json.loads(s.recv(65536))["error"], "ssrf_denied")


@case
def warm_connections_save_the_second_handshake():
    eq(get("api.test", "/warm")[0], 200)
    before = origin.connections
    for _ in range(5):
        eq(get("api.test", "/warm")[0], 200)
    eq(origin.connections, before)


# ---- HTTP ----

def echoed(host, text):
    status, _, body = ask(tls(host), text)
    eq(status, 200)
    return json.loads(body)


@case
def the_canonical_path_is_what_is_sent():
    eq(echoed("api.test", b"GET /a/../b//c/%7euser?x=1 HTTP/1.1\r\nHost: api.test\r\n\r\n")["line"], "GET /b/c/~user?x=1 HTTP/1.1")


@case
def hop_by_hop_fields_stay_here():
    head = echoed("api.test", b"GET / HTTP/1.1\r\nHost: api.test\r\nConnection: X-Secret\r\nX-Secret: 1\r\nTE: trailers\r\nX-Kept: 2\r\n\r\n")["head"]
    has(head, "X-Kept: 2")
    if "X-Secret" in head or "TE:" in head:
        raise AssertionError(head)


@case
def a_method_override_is_judged_as_what_it_asks_for():
    s = tls("api.test")
    eq(ask(s, b"GET /o HTTP/1.1\r\nHost: api.test\r\nX-HTTP-Method-Override: DELETE\r\n\r\n")[0], 403)


@case
def smuggling_shapes_are_400_and_close():
    shapes = [
        b"POST /s HTTP/1.1\r\nHost: full.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /s HTTP/1.1\r\nHost: full.test\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
        b"GET /s HTTP/1.1\r\nHost: full.test\r\nHost: api.test\r\n\r\n",
        b"GET /s HTTP/1.1\r\nHost : full.test\r\n\r\n",
        b"GET /s HTTP/1.1\r\nHost: full.test\r\nX: a\r\n b\r\n\r\n",
        b"GET /s HTTP/1.1\r\nHost: full.test\r\nX: \rTransfer-Encoding: chunked\r\n\r\n",
        b"GET /s HTTP/1.1\nHost: full.test\n\n",
        b"POST /s HTTP/1.1\r\nHost: full.test\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"GET /s HTTP/0.9\r\nHost: full.test\r\n\r\n",
    ]
    before = len(origin.log)
    for shape in shapes:
        s = tls("full.test")
        status = ask(s, shape)[0]
        if status != 400:
            raise AssertionError("%r: %r" % (shape, status))
        eq(closed(s), True)
    eq(len(origin.log), before)


@case
def a_malformed_chunk_ends_the_request():
    s = tls("full.test")
    s.sendall(b"POST /c HTTP/1.1\r\nHost: full.test\r\nTransfer-Encoding: chunked\r\n\r\n-4\r\nabcd\r\n0\r\n\r\n")
    status = response(s)[0]
    if status not in (400, None):
        raise AssertionError(status)


@case
def chunked_bodies_and_trailers_go_up():
    s = tls("full.test")
    before = len(origin.log)
    status, _, body = ask(s, b"POST /t HTTP/1.1\r\nHost: full.test\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n4;ext=1\r\nabcd\r\n6\r\nefghij\r\n0\r\nX-T: v\r\n\r\n")
    eq(status, 200)
    eq(json.loads(body)["body"], 10)
    sent = origin.log[before:]
    has(sent, b"X-T: v\r\n")
    if b"ext" in sent:
        raise AssertionError("a chunk extension was forwarded")


@case
def large_bodies_go_up_whole():
    s = tls("full.test")
    n = 3000000
    s.sendall(b"PUT /l HTTP/1.1\r\nHost: full.test\r\nContent-Length: %d\r\n\r\n" % n)
    s.sendall(b"x" * n)
    status, _, body = response(s)
    eq((status, json.loads(body)["body"]), (200, n))


@case
def expect_100_continue_is_answered_by_the_server():
    def script(srv, c, head):
        has(head.decode(), "Expect: 100-continue")
        c.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = srv.read_body(c, head)
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % len(body))
    origin.scripts["/expect"] = script
    s = tls("full.test")
    s.sendall(b"POST /expect HTTP/1.1\r\nHost: full.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    eq(response(s)[0], 100)
    s.sendall(b"hello")
    eq(response(s)[2], b"5")


@case
def answers_without_a_body_end_where_they_should():
    for status in (204, 304):
        origin.scripts["/%d" % status] = lambda srv, c, head, st=status: c.sendall(b"HTTP/1.1 %d X\r\n%s\r\n" % (st, b"Content-Length: 99\r\n" if st == 304 else b""))
    s = tls("api.test")
    eq(get("api.test", "/204", s)[0], 204)
    eq(get("api.test", "/304", s)[0], 304)
    eq(ask(s, b"HEAD /h HTTP/1.1\r\nHost: api.test\r\n\r\n", "HEAD")[0], 200)
    eq(get("api.test", "/after", s)[0], 200)


@case
def an_answer_until_close_is_whole():
    def script(srv, c, head):
        c.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"y" * 100000)
        if isinstance(c, ssl.SSLSocket):
            try:
                c.unwrap()
            except OSError:
                pass
        return False
    origin.scripts["/close"] = script
    status, _, body = get("api.test", "/close")
    eq((status, len(body)), (200, 100000))


@case
def an_answer_that_is_cut_is_not_passed_off_as_whole():
    def script(srv, c, head):
        c.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"y" * 1000)
        c.shutdown(socket.SHUT_RDWR)
        return False
    origin.scripts["/torn"] = script
    s = tls("api.test")
    s.sendall(b"GET /torn HTTP/1.1\r\nHost: api.test\r\n\r\n")
    data = b""
    try:
        while True:
            b = s.recv(65536)
            if not b:
                break
            data += b
    except (ConnectionError, ssl.SSLError):
        return
    if data.endswith(b"0\r\n\r\n"):
        raise AssertionError("the cut answer has an end")


@case
def events_stream_as_they_come():
    gate = threading.Event()

    def script(srv, c, head):
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n8\r\ndata: 1\n\r\n")
        gate.wait(TIMEOUT)
        c.sendall(b"8\r\ndata: 2\n\r\n0\r\n\r\n")
    origin.scripts["/sse"] = script
    s = tls("api.test")
    s.sendall(b"GET /sse HTTP/1.1\r\nHost: api.test\r\n\r\n")
    read_until(s, b"\r\n\r\n")
    eq(read_until(s, b"data: 1\n\r\n"), b"8\r\ndata: 1\n\r\n")
    gate.set()
    eq(read_until(s, b"0\r\n\r\n"), b"8\r\ndata: 2\n\r\n0\r\n\r\n")


@case
def http_1_0_clients_get_no_chunks():
    origin.scripts["/chunks"] = lambda srv, c, head: c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    s = tls("api.test")
    s.sendall(b"GET /chunks HTTP/1.0\r\nHost: api.test\r\n\r\n")
    data = b""
    while True:
        b = s.recv(65536)
        if not b:
            break
        data += b
    eq(data.split(b"\r\n\r\n", 1)[1], b"abc")


@case
def http_1_0_is_a_protocol_that_a_client_may_offer():
    for offer, chosen in (["http/1.0"], "http/1.0"), (["http/1.0", "http/1.1"], "http/1.1"):
        context = client_context()
        context.set_alpn_protocols(offer)
        s = tls("api.test", context=context)
        eq((s.selected_alpn_protocol(), get("api.test", "/k", s)[0]), (chosen, 200))
    context = client_context()
    context.set_alpn_protocols(["smtp"])
    try:
        tls("api.test", context=context)
        raise AssertionError("another protocol was taken")
    except ssl.SSLError:
        pass


@case
def http_1_0_clients_that_ask_for_it_are_told_that_the_connection_stays():
    """ab -k waits for the end of the connection when it is not told."""
    one = lambda s, method, extra=b"": ask(s, method + b" /k HTTP/1.0\r\nHost: api.test\r\n" + extra + b"\r\n")
    s = tls("api.test")
    for _ in range(2):
        status, head, _ = one(s, b"GET", b"Connection: Keep-Alive\r\n")
        eq((status, b"Connection: keep-alive" in head), (200, True))
    status, head, _ = one(s, b"GET")
    eq((status, b"Connection: close" in head, closed(s)), (200, True, True))
    s = tls("api.test")
    status, head, _ = one(s, b"DELETE", b"Connection: Keep-Alive\r\n")
    eq((status, b"Connection: close" in head, closed(s)), (403, True, True))
    eq(b"Connection" in get("api.test", "/k")[1], False)


@case
def a_nonsense_answer_is_502():
    origin.scripts["/nonsense"] = lambda srv, c, head: c.sendall(b"SSH-2.0-x\r\n\r\n")
    eq(get("api.test", "/nonsense")[0], 502)


@case
def two_answers_to_one_request_do_not_reach_the_next_client():
    origin.scripts["/double"] = lambda srv, c, head: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
    eq(get("api.test", "/double")[2], b"a")
    for _ in range(3):
        has(get("api.test", "/next")[2], b"GET /next")


@case
def a_warm_connection_that_died_is_replaced():
    dead = []

    def script(srv, c, head):
        if dead:
            return None if c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nback") else None
        dead.append(1)
        return False
    origin.scripts["/dies"] = script
    eq(get("api.test", "/warm")[0], 200)
    eq(get("api.test", "/dies")[2], b"back")


@case
def a_slow_reader_holds_the_server_back():
    sent = [0]

    def script(srv, c, head):
        n = 64 * 1024 * 1024
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % n)
        c.settimeout(0.5)
        try:
            while sent[0] < n:
                sent[0] += c.send(b"z" * 65536)
        except (TimeoutError, OSError):
            pass
        return False
    origin.scripts["/flood"] = script
    s = tls("api.test")
    s.sendall(b"GET /flood HTTP/1.1\r\nHost: api.test\r\n\r\n")
    read_until(s, b"\r\n\r\n")
    time.sleep(1)
    if sent[0] > 32 * 1024 * 1024:
        raise AssertionError("the server could send %d bytes to a client that does not read" % sent[0])


@case
def audit_lets_pass_and_says_so():
    s = tls("audit.test")
    eq(ask(s, b"POST /a HTTP/1.1\r\nHost: audit.test\r\nContent-Length: 1\r\n\r\nx")[0], 200)
    e = D.request_event()
    eq((e["d"], e["v"], e["x"]), ("audit", "POST", "/a"))


@case
def trace_is_405():
    eq(ask(tls("full.test"), b"TRACE / HTTP/1.1\r\nHost: full.test\r\n\r\n")[0], 405)


# ---- relay ----

@case
def a_server_that_speaks_first_is_heard_through_the_relay():
    s, head = tunnel("raw.test", 7)
    has(head, b"200")
    eq(read_until(s, b"\n"), b"220 hello\n")


@case
def half_closed_relays_go_on_in_the_other_direction():
    s, _ = tunnel("raw.test", 7)
    read_until(s, b"\n")
    s.sendall(b"count me")
    s.shutdown(socket.SHUT_WR)
    eq(read_until(s, b"\n"), b"8\n")
    eq(s.recv(1), b"")
    D.await_event(m="closed", h="raw.test", up=8, down=12)


@case
def megabytes_pass_the_relay_both_ways():
    s, _ = tunnel("raw.test", 7)
    read_until(s, b"\n")
    n = 5000000
    threading.Thread(target=lambda: (s.sendall(b"r" * n), s.shutdown(socket.SHUT_WR)), daemon=True).start()
    eq(read_until(s, b"\n"), b"%d\n" % n)


@case
def tls_skip_is_relayed_untouched():
    s, head = tunnel("skip.test")
    has(head, b"200")
    c = ssl.create_default_context(cafile=TMP + "/origin.crt")
    t = c.wrap_socket(s, server_hostname="skip.test")
    eq(get("skip.test", "/", t)[0], 200)


# ---- bodies ----

def post_json(host, path, obj, extra=b""):
    body = obj if isinstance(obj, bytes) else json.dumps(obj).encode()
    s = tls(host)
    return ask(s, b"POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n" % (path.encode(), host.encode(), extra, len(body)) + body)


@case
def a_graphql_query_passes_and_a_mutation_does_not():
    eq(post_json("gql.test", "/graphql", {"query": "query V { viewer { login } }"})[0], 200)
    has(json.dumps(D.request_event()), "query V{viewer}")
    before = len(origin.log)
    eq(post_json("gql.test", "/graphql", {"query": "mutation { deleteRepo(id: 1) { id } }"})[0], 403)
    eq(post_json("gql.test", "/graphql", b"not json")[0], 403)
    eq(len(origin.log), before)


@case
def a_graphql_body_in_chunks_is_judged_whole_and_sent_with_a_length():
    s = tls("gql.test")
    s.sendall(b"POST /graphql HTTP/1.1\r\nHost: gql.test\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    for part in (b'{"query": "que', b'ry { vie', b'wer { login } }"}'):
        s.sendall(b"%x\r\n%s\r\n" % (len(part), part))
        time.sleep(0.02)
    s.sendall(b"0\r\n\r\n")
    status, _, body = response(s)
    eq(status, 200)
    has(json.loads(body)["head"], "Content-Length: 39")


@case
def an_expected_continue_is_said_for_a_body_that_is_judged():
    body = json.dumps({"query": "{ viewer { login } }"}).encode()
    s = tls("gql.test")
    s.sendall(b"POST /graphql HTTP/1.1\r\nHost: gql.test\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
    eq(response(s)[0], 100)
    s.sendall(body)
    eq(response(s)[0], 200)


@case
def a_body_beyond_the_limit_is_413():
    eq(post_json("gql.test", "/graphql", {"query": "{ a }", "x": "y" * 70000})[0], 413)


@case
def an_mcp_tool_call_is_judged_by_its_tool():
    call = lambda tool: {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {}}}
    eq(post_json("rpc.test", "/mcp", call("search"))[0], 200)
    before = len(origin.log)
    eq(post_json("rpc.test", "/mcp", call("delete"))[0], 403)
    eq(post_json("rpc.test", "/mcp", [call("search"), call("delete")])[0], 403)
    eq(len(origin.log), before)


# ---- WebSocket ----

def ws_accept(key):
    return base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


def ws_script(srv, c, head):
    key = re.search(rb"(?i)sec-websocket-key: (\S+)", head).group(1)
    c.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + ws_accept(key) + b"\r\n\r\n")
    while True:
        op, data = ws_read(c, srv)
        srv.messages.append((op, data))
        if op == 8:
            return False
        n = len(data)
        c.sendall(bytes([0x80 | op]) + (bytes([n]) if n < 126 else b"\x7e" + struct.pack(">H", n) if n < 65536 else b"\x7f" + struct.pack(">Q", n)) + data)


def ws_read(c, srv=None):
    rd = (lambda n: srv.read_exact(c, n)) if srv else (lambda n: read_until_len(c, n))
    h = rd(2)
    if len(h) < 2:
        return None, b""
    n = h[1] & 127
    if n == 126:
        n = struct.unpack(">H", rd(2))[0]
    elif n == 127:
        n = struct.unpack(">Q", rd(8))[0]
    mask = rd(4) if h[1] & 128 else b"\0\0\0\0"
    data = bytes(b ^ mask[i & 3] for i, b in enumerate(rd(n)))
    return h[0] & 15, data


def ws_frame(op, data, fin=True, mask=b"\1\2\3\4"):
    n = len(data)
    head = bytes([(0x80 if fin else 0) | op]) + (bytes([0x80 | n]) if n < 126 else bytes([0xfe]) + struct.pack(">H", n))
    return head + mask + bytes(b ^ mask[i & 3] for i, b in enumerate(data))


def ws_open(host, path="/chat", extra=""):
    origin.scripts[path] = ws_script
    s = tls(host)
    s.sendall(("GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n%s\r\n" % (path, host, extra)).encode())
    return s, read_until(s, b"\r\n\r\n")


@case
def a_websocket_is_upgraded_and_text_comes_back():
    s, head = ws_open("ws.test")
    has(head, b"101")
    s.sendall(ws_frame(1, b"hel", fin=False) + ws_frame(0, b"lo"))
    eq(ws_read(s), (1, b"hello"))
    s.sendall(ws_frame(9, b"ping"))
    eq(ws_read(s), (9, b"ping"))


@case
def an_upgrade_that_is_answered_wrongly_is_502_with_the_reason():
    def script(srv, c, head):
        good = b"Sec-WebSocket-Accept: " + ws_accept(re.search(rb"(?i)Sec-WebSocket-Key: (\S+)", head).group(1)) + b"\r\n"
        wrong = {b"good": good, b"accept": b"Sec-WebSocket-Accept: AAAA\r\n", b"none": b"", b"extension": good + b"Sec-WebSocket-Extensions: x-none\r\n",
                 b"protocol": good + b"Sec-WebSocket-Protocol: none\r\n"}[head.split(b" ")[1].split(b"?")[1]]
        c.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + wrong + b"\r\n")
        return bool(c.recv(1))
    origin.scripts["/chat"] = script
    def upgrade(way):
        s = tls("ws.test")
        s.sendall(b"GET /chat?%s HTTP/1.1\r\nHost: ws.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n" % way)
        return response(s)
    eq(upgrade(b"good")[0], 101)
    for way in (b"accept", b"none", b"extension", b"protocol"):
        status, _, body = upgrade(way)
        eq((way, status, json.loads(body)["error"]), (way, 502, "upstream_failed"))
        eq(any(json.loads(body)["detail"] in str(e) for e in D.events()), True)


@case
def a_text_message_that_no_rule_allows_closes_with_1008_and_does_not_arrive():
    s, head = ws_open("wsro.test")
    has(head, b"101")
    origin.messages.clear()
    s.sendall(ws_frame(1, b"secret"))
    op, data = ws_read(s)
    eq((op, struct.unpack(">H", data[:2])[0]), (8, 1008))
    if any(m[0] == 1 for m in origin.messages):
        raise AssertionError("the message arrived")


@case
def a_binary_message_is_no_way_around_the_rules_for_operations():
    # graphql-ws on ws 8 turns either kind into a string.
    denied = json.dumps({"id": "1", "type": "subscribe", "payload": {"query": "mutation { viewer { login } }"}}).encode()
    s, head = ws_open("ws.test")
    has(head, b"101")
    s.sendall(ws_frame(2, b"control"))
    eq(ws_read(s), (2, b"control"))
    for frames in (ws_frame(2, denied), ws_frame(2, denied[:9], fin=False) + ws_frame(0, denied[9:])):
        s, head = ws_open("wsgql.test", extra="Sec-WebSocket-Protocol: graphql-transport-ws\r\n")
        has(head, b"101")
        origin.messages.clear()
        s.sendall(frames)
        op, data = ws_read(s)
        eq((op, struct.unpack(">H", data[:2])[0]), (8, 1008))
        eq([m for m in origin.messages if m[0] != 8], [])
        D.await_event(a="L7", h="wsgql.test", w="WebSocket: binary frame denied on this endpoint")


@case
def graphql_operations_over_a_websocket_are_judged_one_by_one():
    s, head = ws_open("wsgql.test", extra="Sec-WebSocket-Protocol: graphql-transport-ws\r\n")
    has(head, b"101")
    sub = lambda q: json.dumps({"id": "1", "type": "subscribe", "payload": {"query": q}}).encode()
    s.sendall(ws_frame(1, b'{"type":"connection_init"}'))
    eq(ws_read(s)[0], 1)
    s.sendall(ws_frame(1, sub("{ viewer { login } }")))
    eq(ws_read(s), (1, sub("{ viewer { login } }")))
    origin.messages.clear()
    s.sendall(ws_frame(1, sub("mutation { viewer { login } }")))
    op, data = ws_read(s)
    eq((op, struct.unpack(">H", data[:2])[0]), (8, 1008))
    if any(m[0] == 1 for m in origin.messages):
        raise AssertionError("the message arrived")


@case
def compressed_messages_are_judged_and_arrive_readable():
    def script(srv, c, head):
        has(head.decode(), "permessage-deflate; client_no_context_takeover")
        key = re.search(rb"(?i)sec-websocket-key: (\S+)", head).group(1)
        c.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + ws_accept(key) +
                  b"\r\nSec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n\r\n")
        srv.messages.append(ws_read(c, srv))
        c.sendall(b"\x81\x02ok")
        ws_read(c, srv)
        return False
    s, head = None, None
    origin.messages.clear()
    real = globals()["ws_script"]
    globals()["ws_script"] = script
    try:
        s, head = ws_open("ws.test", extra="Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n")
    finally:
        globals()["ws_script"] = real
    has(head, b"permessage-deflate; client_no_context_takeover")
    z = zlib.compressobj(wbits=-15)
    packed = (z.compress(b"compressed hello") + z.flush(zlib.Z_SYNC_FLUSH))[:-4]
    frame = bytearray(ws_frame(1, packed))
    frame[0] |= 0x40
    s.sendall(bytes(frame))
    eq(ws_read(s), (1, b"ok"))
    if (1, b"compressed hello") not in origin.messages:
        raise AssertionError(origin.messages)


@case
def an_unmasked_frame_closes_with_1002():
    s, head = ws_open("ws.test")
    s.sendall(b"\x81\x02hi")
    op, data = ws_read(s)
    eq((op, struct.unpack(">H", data[:2])[0]), (8, 1002))


@case
def a_plain_get_on_a_websocket_endpoint_is_403():
    eq(get("ws.test", "/chat")[0], 403)


@case
def upgrades_on_other_endpoints_pass_as_they_are():
    s, head = ws_open("full.test", "/raw-ws")
    has(head, b"101")
    s.sendall(ws_frame(1, b"as is"))
    eq(ws_read(s), (1, b"as is"))


# ---- openshell/regex ----

KEY = b"sk-abcdefghijklmnop0123"


def post(host, body, extra="", path="/red", s=None):
    s = s or tls(host)
    return ask(s, ("POST %s HTTP/1.1\r\nHost: %s\r\n%sContent-Length: %d\r\n\r\n" % (path, host, extra, len(body))).encode() + body)


@case
def keys_in_bodies_do_not_reach_the_server():
    before = len(origin.log)
    for host in ("closed.red.test", "open.red.test"):
        eq(post(host, b"key=" + KEY + b" and on")[0], 200)
        s = tls(host)
        eq(ask(s, b"POST /red HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nkey=%s\r\n12\r\n%s\r\n0\r\n\r\n"
               % (host.encode(), KEY[:5], KEY[5:]))[0], 200)
    body = json.dumps({"query": '{ viewer(key: "%s") }' % KEY.decode()}).encode()
    eq(post("gql.red.test", body, "Content-Type: application/json\r\n")[0], 200)
    seen = origin.log[before:]
    if KEY in seen or KEY[5:] in seen:
        raise AssertionError("the key arrived")
    eq(seen.count(b"key=[REDACTED]"), 4)
    has(seen, b'viewer(key: \\"[REDACTED]\\")')
    eq(post("full.test", KEY)[0], 200)
    has(origin.log[before:], KEY)


@case
def what_a_middleware_cannot_read_stays_here_or_passes_as_it_fails():
    for body, status, error in ((b"\x1f\x8b\x08" + KEY, 403, "middleware_failed"), (b"x" * 262145, 413, "invalid_request")):
        before = origin.log.count(b"POST /cannot")
        got = post("closed.red.test", body, path="/cannot")
        eq((got[0], json.loads(got[2])["error"]), (status, error))
        eq(origin.log.count(b"POST /cannot"), before)
        at = len(origin.log)
        eq(json.loads(post("open.red.test", body, path="/cannot")[2])["body"], len(body))
        has(origin.log[at:], body)
    s = tls("open.red.test")
    s.sendall(b"POST /cannot HTTP/1.1\r\nHost: open.red.test\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(40):
        s.sendall(b"2710\r\n" + b"y" * 10000 + b"\r\n")
    s.sendall(b"0\r\n\r\n")
    eq(json.loads(response(s)[2])["body"], 400000)
    eq(get("open.red.test", "/", s)[0], 200)


@case
def keys_in_websocket_text_are_replaced_and_what_cannot_be_read_closes_with_1008():
    for host in ("closed.red.test", "open.red.test"):
        s, head = ws_open(host)
        has(head, b"101")
        s.sendall(ws_frame(1, b"a " + KEY[:9], fin=False) + ws_frame(0, KEY[9:] + b" z"))
        eq(ws_read(s), (1, b"a [REDACTED] z"))
    big = b"x" * 65000
    for host, want in (("closed.red.test", 8), ("open.red.test", 1)):
        s, head = ws_open(host)
        origin.messages.clear()
        s.sendall(ws_frame(1, big, fin=False) + b"".join(ws_frame(0, big, fin=False) for _ in range(4)) + ws_frame(0, b"end"))
        if want == 8:
            op, data = ws_read(s)
            eq((op, struct.unpack(">H", data[:2])[0]), (8, 1008))
            eq([m for m in origin.messages if m[0] == 1], [])
        else:
            wait_for(lambda: origin.messages)
            eq(len(origin.messages[0][1]), 5 * 65000 + 3)


# ---- a new policy ----

FULL_ACCESS = "host: full.test, port: 443, protocol: rest, enforcement: enforce, access: full"


def with_policy(change):
    path = TMP + "/policy.%d.yaml" % time.monotonic_ns()
    with open(path, "w") as f:
        f.write(change(POLICY))
    return D.policy(path)


@case
def a_kept_connection_obeys_the_new_policy_with_its_next_request():
    s = tls("full.test")
    eq(ask(s, b"POST /n HTTP/1.1\r\nHost: full.test\r\nContent-Length: 0\r\n\r\n")[0], 200)
    try:
        with_policy(lambda p: p.replace(FULL_ACCESS, FULL_ACCESS.replace("access: full", "access: read-only")))
        eq(ask(s, b"POST /n HTTP/1.1\r\nHost: full.test\r\nContent-Length: 0\r\n\r\n")[0], 403)
        eq(get("full.test", "/n", s)[0], 200)
    finally:
        with_policy(lambda p: p)


@case
def what_the_new_policy_does_not_allow_is_closed():
    kept, gone = tls("full.test"), tls("api.test")
    ws, head = ws_open("ws.test")
    raw, _ = tunnel("raw.test", 7)
    read_until(raw, b"\n")
    has(head, b"101")
    try:
        with_policy(lambda p: p.replace("api.test", "other.test").replace("raw.test", "other-raw.test").replace("ws.test", "other-ws.test"))
        eq(closed(gone), True)
        eq(closed(raw), True)
        op, data = ws_read(ws)
        eq((op, struct.unpack(">H", data[:2])[0]), (8, 1012))
        eq(get("full.test", "/n", kept)[0], 200)
    finally:
        with_policy(lambda p: p)


SLOW_POLICY = """
version: 1
network_policies:
  slow:
    endpoints:
      - { host: api.test, port: 443, protocol: rest, enforcement: enforce, rules: [ { allow: { method: GET, path: /slow, query: { id: "7" } } }%s ] }
      - { host: gql.test, port: 443, protocol: graphql, enforcement: enforce, rules: [ { allow: { operation_type: query, fields: [a] } }%s ] }
      - { host: rpc.test, port: 443, protocol: mcp, enforcement: enforce, rules: [ { allow: { method: initialize } }%s ] }
      - { host: ws.test, port: 443, protocol: %s, enforcement: enforce, access: full }
      - { host: other%d.test, port: 443 }
    binaries: [ { path: /usr/bin/curl } ]
"""
POST_TOO, B_TOO, SEARCH_TOO = ', { allow: { method: POST, path: /slow } }', ", { allow: { operation_type: query, fields: [b] } }", ", { allow: { method: tools/call, tool: search } }"


def slow_policy(*also, ws="rest", n=[0]):
    n[0] += 1
    path = TMP + "/slow.%d.yaml" % n[0]
    with open(path, "w") as f:
        f.write(SLOW_POLICY % tuple([text if text in also else "" for text in (POST_TOO, B_TOO, SEARCH_TOO)] + [ws, n[0]]))
    return path


class Stalled:
    """A TLS server that begins its handshake when it is told to."""

    def __init__(self):
        self.go, self.heard = threading.Event(), b""
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.accepted = threading.Event()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        c, _ = self.sock.accept()
        self.accepted.set()
        self.go.wait(TIMEOUT)
        try:
            c = origin.context.wrap_socket(c, server_side=True)
            self.heard += c.recv(65536)
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except OSError:
            pass


@case
def a_request_that_waits_for_its_server_is_judged_again_by_the_new_policy():
    request = b"POST /slow HTTP/1.1\r\nHost: api.test\r\nContent-Length: 2\r\n\r\nhi"
    for also, closes in ((POST_TOO, False), ("", True)):
        server = Stalled()
        old = with_driver("--connect-to", "api.test:443:127.0.0.1:%d" % server.sock.getsockname()[1], policy=slow_policy(POST_TOO))
        try:
            s = tls("api.test")
            s.sendall(request)
            eq(server.accepted.wait(TIMEOUT), True)
            eq(D.policy(slow_policy(also))[1], b"1" if closes else b"0")
            server.go.set()
            eq(closed(s) if closes else response(s)[0], True if closes else 200)
            eq(b"POST" in server.heard, not closes)
        finally:
            without_driver(old)


@case
def what_the_new_policy_still_allows_goes_on_whatever_its_rules_look_at():
    # A query, an operation, a tool, and a stream of events that has only just begun.
    more = threading.Event()

    def stream(srv, c, head):
        srv.read_body(c, head)
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        more.wait(TIMEOUT)
        c.sendall(b"4\r\nlast\r\n0\r\n\r\n")
    rpc = lambda method, params: json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    post = lambda host, body: b"POST /slow HTTP/1.1\r\nHost: " + host + b"\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    asked = {"query": ("api.test", b"GET /slow?id=7 HTTP/1.1\r\nHost: api.test\r\n\r\n", None),
             "post": ("api.test", b"POST /slow HTTP/1.1\r\nHost: api.test\r\nContent-Length: 0\r\n\r\n", POST_TOO),
             "a": ("gql.test", post(b"gql.test", b'{"query": "{ a }"}'), None),
             "b": ("gql.test", post(b"gql.test", b'{"query": "{ b }"}'), B_TOO),
             "stream": ("rpc.test", b"GET /slow HTTP/1.1\r\nHost: rpc.test\r\nAccept: text/event-stream\r\n\r\n", None),
             "search": ("rpc.test", post(b"rpc.test", rpc("tools/call", {"name": "search"})), SEARCH_TOO)}
    for also in ((POST_TOO, B_TOO, SEARCH_TOO), ()):
        old = with_driver(*[a for h in ("api", "gql", "rpc") for a in ("--connect-to", "%s.test:443:127.0.0.1:%d" % (h, origin.port))],
                          policy=slow_policy(POST_TOO, B_TOO, SEARCH_TOO))
        more.clear()
        origin.scripts["/slow"] = stream
        try:
            there = {}
            for name, (host, request, needs) in asked.items():
                there[name] = tls(host)
                there[name].sendall(request)
                has(read_until(there[name], b"first\r\n"), b"200 OK")
            goes = [name for name, (_, _, needs) in asked.items() if needs and needs not in also]
            eq(D.policy(slow_policy(*also))[1], b"%d" % len(goes))
            more.set()
            for name, s in there.items():
                if name in goes:
                    eq((name, closed(s)), (name, True))
                else:
                    eq((name, read_until(s, b"0\r\n\r\n")[-11:]), (name, b"last\r\n0\r\n\r\n"))
        finally:
            more.set()
            without_driver(old)


@case
def a_websocket_whose_messages_went_unseen_ends_when_a_new_policy_looks_at_them():
    for ws, want in (("rest", (2, b"still")), ("websocket", (8, struct.pack(">H", 1012) + b"the policy changed"))):
        old = with_driver("--connect-to", "ws.test:443:127.0.0.1:%d" % origin.port, policy=slow_policy())
        try:
            s, head = ws_open("ws.test")
            has(head, b"101")
            D.policy(slow_policy(ws=ws))
            if want[0] == 2:
                s.sendall(ws_frame(2, b"still"))
            eq(ws_read(s), want)
        finally:
            without_driver(old)


@case
def a_request_in_flight_is_judged_by_the_new_policy():
    begun, gate = threading.Semaphore(0), threading.Event()
    ended = threading.Semaphore(0)

    def slow(srv, c, head):
        begun.release()
        gate.wait(TIMEOUT)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            eq(c.recv(1), b"")
        ended.release()
        return False

    def in_flight(method):
        s = tls("full.test")
        s.sendall(method + b" /in-flight HTTP/1.1\r\nHost: full.test\r\nContent-Length: 0\r\n\r\n")
        eq(begun.acquire(timeout=TIMEOUT), True)
        return s
    origin.scripts["/in-flight"] = slow
    try:
        post, read = in_flight(b"POST"), in_flight(b"GET")
        eq(with_policy(lambda p: p.replace(FULL_ACCESS, FULL_ACCESS.replace("access: full", "access: read-only")))[1], b"1")
        eq(closed(post), True)
        gate.set()
        eq(response(read)[0], 200)
        # Both, and the other is not kept warm: it belongs to the old policy.
        eq(ended.acquire(timeout=TIMEOUT) and ended.acquire(timeout=TIMEOUT), True)
    finally:
        gate.set()
        with_policy(lambda p: p)


@case
def what_was_relayed_is_closed_when_the_new_policy_inspects_and_the_reverse():
    raw, _ = tunnel("raw.test", 7)
    read_until(raw, b"\n")
    kept, inspected = tls("api.test"), tls("full.test")
    eq(get("full.test", "/", inspected)[0], 200)
    try:
        # Bytes that were not looked at cannot be looked at now.
        with_policy(lambda p: p.replace("host: raw.test, port: 7", "host: raw.test, port: 7, protocol: rest, access: full")
                    .replace(FULL_ACCESS, "host: full.test, port: 443"))
        eq(closed(raw), True)
        eq(closed(inspected), True)
        eq(get("api.test", "/", kept)[0], 200)
    finally:
        with_policy(lambda p: p)


@case
def a_refused_connection_asks_anew_after_a_change():
    s = client_context().wrap_socket(D.connect("later.test 443"), server_hostname="later.test")
    eq(get("later.test", "/", s)[0], 403)
    try:
        with_policy(lambda p: p.replace("host: api.test", "host: later.test"))
        eq(closed(s), True)
    finally:
        with_policy(lambda p: p)


# ---- when things run out ----

def with_driver(*args, **kw):
    global D
    old, D = D, Driver(*args, **kw)
    return old


def without_driver(old):
    global D
    D.close()
    D = old


@case
def a_decision_that_cannot_be_logged_has_no_effect():
    global D
    old = with_driver("--log", "/dev/full", "--connect-to", "api.test:443:127.0.0.1:%d" % origin.port)
    before = origin.connections
    try:
        s = D.connect()
        s.sendall(b"CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n")
        eq(closed(s), True)
        eq(origin.connections, before)
    finally:
        D.close()
        D = old


@case
def running_out_of_descriptors_makes_connections_wait_and_not_the_proxy_spin():
    global D
    old = D
    D = Driver("--connect-to", "api.test:443:127.0.0.1:%d" % origin.port, nofile=40)
    try:
        held = [D.connect() for _ in range(60)]
        t = time.process_time()
        stat = lambda: sum(map(int, open("/proc/%d/stat" % D.proxy_pid()).read().split()[13:15]))
        before = stat()
        time.sleep(0.5)
        if stat() - before > 25:
            raise AssertionError("the proxy spins")
        for s in held:
            s.close()
        eq(get("api.test", "/after")[0], 200)
    finally:
        D.close()
        D = old


# ---- audit of a whole sandbox ----

@case
def audit_records_requests_to_hosts_that_no_policy_names():
    global D
    old = with_driver("--audit", "--connect-to", "unnamed.test:443:127.0.0.1:%d" % origin.port, "--connect-to", "unnamed.test:7:127.0.0.1:%d" % raw_port,
                      "--connect-to", "unnamed.test:80:127.0.0.1:%d" % plain.port, clock=True)
    try:
        s = tls("unnamed.test")
        eq(ask(s, b"POST /v1/x HTTP/1.1\r\nHost: unnamed.test\r\nContent-Length: 1\r\n\r\nx")[0], 200)
        e = D.request_event()
        eq((e["d"], e["v"], e["x"], e["h"]), ("audit", "POST", "/v1/x", "unnamed.test"))
        eq(get("unnamed.test", "/p", D.connect("unnamed.test 80"))[0], 200)
        s, head = tunnel("unnamed.test", 7)
        D.advance(280)
        eq(select.select([s], [], [], 0)[0], [])
        D.advance(30)
        eq(read_until(s, b"\n"), b"220 hello\n")
        s, head = tunnel("localhost", 80)
        has(head, b"403")
    finally:
        D.close()
        D = old


def rpc(method, **params):
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


GUESSES = [
    # body, what the event says of it: engine, operation
    ({"query": "query V { viewer { login } rate: rateLimit { cost } }", "variables": {"s": "secret"}}, "l7-graphql", "query V{rateLimit,viewer}"),
    ({"query": "{ viewer { login } }"}, "l7-graphql", "query{viewer}"),
    ({"query": "mutation M { addStar(id: \"secret\") { id } }"}, "l7-graphql", "mutation M{addStar}"),
    ([{"query": "{a}"}, {"query": "query B {b}"}], "l7-graphql", "query{a} query B{b}"),
    (rpc("eth_call", to="secret"), "l7-jsonrpc", "eth_call"),
    (b"[" + rpc("sum") + b"," + rpc("we ird, x") + b"]", "l7-jsonrpc", 'sum, "we ird, x"'),
    (rpc("tools/call", name="search", arguments={"q": "secret"}), "l7-mcp", "tools/call search"),
    (rpc("tools/call", name="we ird"), "l7-jsonrpc", "tools/call"),
    (b'{"jsonrpc":"2.0","method":"notifications/initialized"}', "l7-mcp", "notifications/initialized"),
    (b'{"jsonrpc":"2.0","id":1,"result":{}}', "l7-mcp", "(response)"),
    # and what is none of the three
    ({"query": {"match_all": {}}}, "l4", None),
    ({"query": "hello world"}, "l4", None),
    ({"id": "17", "name": "x"}, "l4", None),
    ({"jsonrpc": "1.0", "method": "x"}, "l4", None),
    (b'{"query": "{a}", "query": "{b}"}', "l4", None),
    (b"not json", "l4", None),
    (b'{"query": "{a}", "variables": "' + b"x" * 65536 + b'"}', "l4", None),
]


@case
def audit_records_what_bodies_ask_for_and_nothing_else_of_them():
    global D
    old = with_driver("--audit", "--connect-to", "unnamed.test:443:127.0.0.1:%d" % origin.port, clock=True)
    try:
        for body, engine, operation in GUESSES:
            eq(post_json("unnamed.test", "/any", body)[0], 200)
            e = D.request_event()
            eq((body, e["d"], e["v"], e["x"], e["g"], e.get("z")), (body, "audit", "POST", "/any", engine, operation))
        eq(get("unnamed.test", "/any?query=%7Ba%7D")[0], 200)
        e = D.request_event()
        eq((e["g"], e["z"], e["x"]), ("l7-graphql", "query{a}", "/any"))
        eq(get("unnamed.test", "/any?query=hello")[0], 200)
        eq(D.request_event().get("z"), None)
        eq(get("unnamed.test", "/any", extra="Accept: text/event-stream\r\n")[0], 200)
        e = D.request_event()
        eq((e["g"], e["z"]), ("l4", "(event stream)"))
        with open(D.log_path) as f:
            eq("secret" in f.read(), False)
    finally:
        D.close()
        D = old


@case
def audit_guesses_on_endpoints_that_audit_too():
    eq(post_json("audit.test", "/graphql", {"query": "{a}"})[0], 200)
    e = D.request_event()
    eq((e["d"], e["g"], e["z"]), ("audit", "l7-graphql", "query{a}"))
    eq(post_json("full.test", "/graphql", {"query": "{a}"})[0], 200)
    e = D.request_event()
    eq((e["d"], e["g"], e.get("z")), ("allow", "l7", None))


@case
def audit_lets_bodies_stream_that_it_cannot_wait_for():
    global D
    old = with_driver("--audit", "--connect-to", "unnamed.test:443:127.0.0.1:%d" % origin.port, clock=True)
    head = b"POST /slow HTTP/1.1\r\nHost: unnamed.test\r\nContent-Type: application/json\r\n"
    try:
        # A client that goes on only once the server has heard its first part.
        for framing, first, rest in (
            (b"Transfer-Encoding: chunked\r\n\r\n", b"7\r\n{\"first\r\n", b"3\r\n\":1\r\n1\r\n}\r\n0\r\n\r\n"),
            (b"Content-Length: 11\r\n\r\n", b"{\"first", b"\":1}"),
        ):
            s = tls("unnamed.test")
            before = len(origin.log)
            s.sendall(head + framing + first)
            D.advance(480)
            eq(b"POST" in origin.log[before:], False)
            D.advance(30)
            wait_for(lambda: b"{\"first" in origin.log[before:])
            s.sendall(rest)
            eq(response(s)[0], 200)
            has(origin.log[before:], b"\":1")
            eq(D.request_event().get("z"), None)
        # One that sends much more than is looked into, in parts so small that their framing is most of it.
        def swallow(srv, c, head):
            got = b""
            while not got.endswith(b"\r\n0\r\n\r\n"):
                got += c.recv(65536)
            swallow.spaces = got.count(b" ")
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        origin.scripts["/many"] = swallow
        s = tls("unnamed.test")
        s.sendall(head.replace(b"/slow", b"/many") + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 50000 + b"2\r\n{}\r\n0\r\n\r\n")
        eq((response(s)[0], swallow.spaces), (200, 50000))
        # One that sends a whole one, in chunks.
        s = tls("unnamed.test")
        s.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{\"que\r\n")
        D.settle()
        s.sendall(b"b\r\nry\": \"{a}\"}\r\n0\r\n\r\n")
        status, _, body = response(s)
        eq((status, json.loads(body)["body"]), (200, 16))
        has(json.loads(body)["head"], "ransfer-")
        eq(D.request_event()["z"], "query{a}")
        eq(ask(s, b"GET /next HTTP/1.1\r\nHost: unnamed.test\r\n\r\n")[0], 200)
    finally:
        D.close()
        D = old


@case
def audit_keeps_private_addresses_out_that_nobody_named():
    global D
    old = with_driver("--audit", "--connect-to", "unnamed.test:443:127.0.0.1:%d" % origin.port, clock=True)
    try:
        for host in ("10.0.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "127.0.0.1"):
            s, head = tunnel(host, 444)
            has(head, b"403")
            eq(D.await_event(h=host)["g"], "ssrf")
        eq(get("unnamed.test", "/")[0], 200)
    finally:
        D.close()
        D = old


@case
def what_the_operator_denies_stays_denied_in_audit():
    global D
    pins = [x for host in ("unnamed.test", "no.test", "a.no.test", "ported.test") for x in ("--connect-to", "%s:443:127.0.0.1:%d" % (host, origin.port))]
    pins += ["--connect-to", "api.test:443:127.0.0.1:%d" % origin.port, "--connect-to", "ported.test:444:127.0.0.1:%d" % origin.port]
    for audit in (["--audit"], []):
        old = with_driver(*audit, *pins, "--deny", "No.test.", "--deny", "*.no.test", "--deny", "ported.test:443", "--deny", "api.test", clock=True)
        before = origin.connections
        try:
            for host in ("no.test", "NO.test", "a.no.test", "ported.test", "api.test"):
                s, head = tunnel(host)
                has(head, b"403")
                has(read_until(s, b"}"), b"--deny")
                eq(D.await_event(h=host.lower())["g"], "deny")
            eq(origin.connections, before)
            if audit:
                eq(get("unnamed.test", "/")[0], 200)
                has(tunnel("ported.test", 444)[1], b"200")
        finally:
            D.close()
            D = old


@case
def audit_leaves_clients_alone_that_pin_certificates():
    global D
    old = with_driver("--audit", "--connect-to", "unnamed.test:443:127.0.0.1:%d" % origin.port, clock=True)
    try:
        pinned = ssl.create_default_context(cafile=TMP + "/origin.crt")
        try:
            tls("unnamed.test", context=pinned)
            raise AssertionError("the pinned client took our leaf")
        except ssl.SSLCertVerificationError:
            pass
        D.await_event(h="unnamed.test", g="tls")
        eq(get("unnamed.test", "/", tls("unnamed.test", context=pinned))[0], 200)
    finally:
        D.close()
        D = old


# ---- a corporate proxy ----

def corporate_proxy(status=b"200 OK"):
    sock = socket.create_server(("127.0.0.1", 0))
    seen = []

    def pipe(a, b):
        try:
            while True:
                data = a.recv(65536)
                if not data:
                    break
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def serve(c):
        head = read_until(c, b"\r\n\r\n")
        seen.append(head)
        host, port = head.split(b" ")[1].rsplit(b":", 1)
        if not status.startswith(b"200"):
            c.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
            c.close()
            return
        up = socket.create_connection(("127.0.0.1", origin.port if port == b"443" else raw_port))
        c.sendall(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 corp\r\n\r\n")
        threading.Thread(target=pipe, args=(c, up), daemon=True).start()
        pipe(up, c)

    def accept():
        while True:
            threading.Thread(target=serve, args=(sock.accept()[0],), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    return sock.getsockname()[1], seen


@case
def a_corporate_proxy_is_asked_by_name_and_with_its_password():
    global D
    port, seen = corporate_proxy()
    old = with_driver("--upstream-proxy", "http://us%%65r:p%%40ss@127.0.0.1:%d" % port)
    try:
        eq(get("far.test", "/corp")[0], 200)
        has(seen[0], b"CONNECT far.test:443 HTTP/1.1\r\n")
        has(seen[0], b"Proxy-Authorization: Basic " + base64.b64encode(b"user:p@ss") + b"\r\n")
        s, head = tunnel("far.test", 7)
        has(head, b"200")
        eq(read_until(s, b"\n"), b"220 hello\n")
        s, head = tunnel("unknown.test")
        has(head, b"403")
        eq(len(seen), 2)
        with open(D.log_path) as f:
            if "p@ss" in f.read():
                raise AssertionError("the password is in the log")
    finally:
        D.close()
        D = old


@case
def a_corporate_proxy_does_not_hear_of_addresses_that_are_refused():
    global D
    port, seen = corporate_proxy()
    old = with_driver("--upstream-proxy", "http://127.0.0.1:%d" % port)
    try:
        s, head = tunnel("127.0.0.1")
        has(head, b"403")
        eq(seen, [])
    finally:
        D.close()
        D = old


@case
def a_corporate_proxy_that_refuses_is_named_in_the_502():
    global D
    port, seen = corporate_proxy(b"407 Proxy Authentication Required")
    old = with_driver("--upstream-proxy", "http://127.0.0.1:%d" % port)
    try:
        status, _, body = get("far.test", "/corp")
        eq(status, 502)
        has(json.loads(body)["detail"], "407")
    finally:
        D.close()
        D = old
    old = with_driver("--upstream-proxy", "http://127.0.0.1:%d" % free_port())
    try:
        has(json.loads(get("far.test", "/corp")[2])["detail"], "the upstream proxy: Connection refused")
    finally:
        without_driver(old)
    has(json.loads(get("refused.test", "/")[2])["detail"], "failed: Connection refused")


@case
def no_proxy_keeps_hosts_away_from_the_corporate_proxy():
    global D
    port, seen = corporate_proxy()
    old = with_driver("--upstream-proxy", "http://127.0.0.1:%d" % port, "--no-proxy", "nowhere.invalid, .other.test:80 10.0.0.0/8")
    try:
        s, head = tunnel("nowhere.invalid")
        has(head, b"502")
        eq(seen, [])
    finally:
        D.close()
        D = old

# ---- HTTP/2 ----

def load(name):
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "proxy_%s_cases.py" % name)) as f:
        exec(compile(f.read(), f.name, "exec"), globals())


try:
    import h2
    load("h2")
except ImportError:
    h2 = None
    print("# the cases of HTTP/2 are left out: they need python3-h2")
if SUITE:
    CASES.clear()
    load(SUITE)


# ---- running them ----

def raw_server():
    sock = socket.create_server(("127.0.0.1", 0))

    def serve(c):
        n = 0
        try:
            c.sendall(b"220 hello\n")
            while b := c.recv(65536):
                n += len(b)
            c.sendall(b"%d\n" % n)
        except ConnectionError:
            pass
        c.close()

    def accept():
        while True:
            threading.Thread(target=serve, args=(sock.accept()[0],), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    return sock.getsockname()[1]


def free_port():
    s = socket.create_server(("127.0.0.1", 0))
    port = s.getsockname()[1]
    s.close()
    return port


raw_port = raw_server()
names = ["far.test", "unnamed.test", "api.test", "full.test", "audit.test", "gql.test", "rpc.test", "ws.test", "wsro.test", "wsgql.test", "skip.test", "closed.red.test", "open.red.test", "gql.red.test", "paths.test"]
certificate("origin", names)
with open(TMP + "/policy.yaml", "w") as f:
    f.write(POLICY)
origin, plain = Server(True), Server(False)
pins = ["%s:443:127.0.0.1:%d" % (n, origin.port) for n in names[2:] + ["badname.test"]]
pins += ["plain.test:80:127.0.0.1:%d" % plain.port, "raw.test:7:127.0.0.1:%d" % raw_port, "refused.test:443:127.0.0.1:%d" % free_port()]
D = Driver(*[a for p in pins for a in ("--connect-to", p)])

failed = 0
chosen = [c for c in CASES if not ONLY or any(o in c.__name__ for o in ONLY)]
print("1..%d" % (len(chosen) + 1))
for number, c in enumerate(chosen, 1):
    origin.scripts = {}
    try:
        c()
        print("ok %d - %s" % (number, c.__name__.replace("_", " ")))
    except Exception as e:
        failed += 1
        print("not ok %d - %s" % (number, c.__name__.replace("_", " ")))
        print("# %s: %s" % (type(e).__name__, str(e)[:1000]))
    sys.stdout.flush()
alive = D.proc.poll() is None and D.close() == 0 and not UNCLEAN
for unclean in UNCLEAN:
    print("# " + unclean)
print("%sok %d - the proxy lives to the end" % ("" if alive else "not ", len(chosen) + 1))
sys.exit(0 if alive and not failed else 1)
