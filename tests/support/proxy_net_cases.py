"""Cases of proxy_cases.py, suite "net": several addresses, some of them dead. Runs as root of a user and
network namespace (tests/e2e/proxy-net.t); the servers are in another one, so that their addresses are not
this machine's."""
import contextlib

LIVE, REFUSING, DEAD = "93.184.216.34", "93.184.216.35", "93.184.217.%d"
LIVE6 = "2606:2800:220:1::7"
NET_POLICY = """
version: 1
network_policies:
  net:
    name: net
    endpoints:
      - { host: "*.wild.test", ports: [7, 8] }
      - { host: far.test, port: 443, protocol: rest, enforcement: enforce, access: full }
      - { host: 93.184.216.34, ports: [7, 8] }
      - { host: "*.web.test", port: 9, protocol: rest, enforcement: enforce, access: full }
      - { host: listed.test, port: 9, protocol: rest, enforcement: enforce, access: full, allowed_ips: [93.184.216.0/24] }
    binaries: [ { path: /usr/bin/* } ]
"""
with open(TMP + "/net.yaml", "w") as f:
    f.write(NET_POLICY)
with open(TMP + "/net2.yaml", "w") as f:
    f.write(NET_POLICY.replace("[93.184.216.0/24]", "[93.184.216.0/25]"))
with open(TMP + "/net3.yaml", "w") as f:
    f.write(NET_POLICY.replace("[93.184.216.0/24]", "[93.184.218.0/24]"))

FAR_SIDE = """
import os, socket, sys, threading
sys.stdin.readline()
assert os.system("ip link set lo up; ip link set far up; ip addr add 93.184.216.34/24 dev far; ip addr add 93.184.216.35/24 dev far; ip addr add 2606:2800:220:1::7/64 dev far nodad") == 0
def serve(l):
    while True:
        c, _ = l.accept()
        c.sendall(b"live\\n")
        c.close()
def web(l):
    while True:
        c, _ = l.accept()
        c.recv(65536)
        c.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 3\\r\\nConnection: close\\r\\n\\r\\nfar")
        c.close()
threading.Thread(target=web, args=(socket.create_server(("93.184.216.34", 9)),), daemon=True).start()
for port in (7, 8):
    for l in (socket.create_server(("93.184.216.34", port)), socket.create_server(("2606:2800:220:1::7", port), family=socket.AF_INET6)):
        threading.Thread(target=serve, args=(l,), daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""


def make_network():
    far = subprocess.Popen(["unshare", "-n", sys.executable, "-c", FAR_SIDE], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    own = os.readlink("/proc/self/ns/net")
    until = time.monotonic() + TIMEOUT
    while os.readlink("/proc/%d/ns/net" % far.pid) == own and time.monotonic() < until:
        time.sleep(0.002)
    for line in ("link add near type veth peer name far netns %d" % far.pid, "link set near up", "addr add 93.184.216.1/24 dev near",
                 "addr add 2606:2800:220:1::1/64 dev near nodad", "link add dead type veth peer name pit",
                 "link set dead arp off", "addr add 93.184.217.1/24 dev dead", "link set dead up", "link set pit up"):
        subprocess.run(["ip", *line.split()], check=True)
    far.stdin.write(b"go\n")
    far.stdin.flush()
    eq(far.stdout.readline(), b"ready\n")
    return far


FAR = make_network()


@contextlib.contextmanager
def net(*args, **answers):
    args = [*args, *sum((["--answer", "%s.wild.test=%s" % (n.replace("_", "-"), ",".join(a))] for n, a in answers.items()), [])]
    old = with_driver(*args, policy=TMP + "/net.yaml", clock=True)
    try:
        yield D
    finally:
        without_driver(old)


def begin(name, port=7):
    s = D.connect()
    s.sendall(b"CONNECT %s:%d HTTP/1.1\r\nHost: %s:%d\r\n\r\n" % (name.encode(), port, name.encode(), port))
    return s


def heard(s):
    """What the server said through a tunnel, or the status of a refusal."""
    head = read_until(s, b"\r\n\r\n")
    return read_until(s, b"\n") if b" 200 " in head else int(head.split()[1])


def silent(s):
    return not select.select([s], [], [], 0)[0]


def heard_after(ms, s):
    """The server says its word then, and not before."""
    D.advance(ms - 20)
    eq(silent(s), True)
    D.advance(30)
    eq(heard(s), b"live\n")


@case
def a_dead_first_address_costs_a_quarter_of_a_second():
    with net(both=[DEAD % 9, LIVE], dead=[DEAD % 9], live=[LIVE]):
        eq(heard(begin("live.wild.test")), b"live\n")
        heard_after(250, begin("both.wild.test"))
        s = begin("dead.wild.test")
        D.advance(13500)
        eq(silent(s), True)
        D.advance(1600)
        eq(heard(s), 502)


@case
def an_address_that_refuses_costs_nothing():
    with net(both=[REFUSING, LIVE], refused=[REFUSING]):
        eq(heard(begin("refused.wild.test")), 502)
        s = begin("both.wild.test")
        eq(heard(s), b"live\n")


@case
def families_take_turns():
    # Five dead ones of IPv4 come before the one of IPv6 that lives: it is tried second all the same.
    with net(six=[DEAD % 2, DEAD % 3, DEAD % 4, DEAD % 5, LIVE6]):
        heard_after(250, begin("six.wild.test"))


@case
def the_17th_address_is_not_dialled():
    def dials(n):
        s = begin("n%d.wild.test" % n)
        for _ in range(n):
            D.advance(260)
        D.advance(11000 if n > 15 else 0)
        return heard(s)
    dead = lambda n: [DEAD % (i + 2) for i in range(n)]
    with net(n15=dead(15) + [LIVE], n16=dead(16) + [LIVE]):
        eq((dials(15), dials(16)), (b"live\n", 502))


@case
def the_513th_connect_in_flight_is_503():
    with net("--answer", "one.web.test=%s" % LIVE, dead=[DEAD % 9], live=[LIVE]):
        waiting = [begin("dead.wild.test") for _ in range(512)]
        eq(all(silent(s) for s in waiting[:3]), True)
        D.policy(TMP + "/net.yaml")
        D.settle()
        eq(heard(begin("live.wild.test")), 503)
        status, body = far(web("one.web.test"), "one.web.test")
        eq((status, json.loads(body)["detail"]), (503, "connection to one.web.test:9 failed: too many connects in flight"))
        D.await_event(w="connection to live.wild.test:7 failed: too many connects in flight")
        D.advance(15100)
        eq(heard(waiting[0]), 502)
        eq(heard(begin("live.wild.test")), b"live\n")


@case
def no_proxy_takes_names_ports_and_prefixes():
    port, seen = corporate_proxy()
    proxy = ["--upstream-proxy", "http://127.0.0.1:%d" % port, "--no-proxy"]
    through = lambda host, to: heard(begin(host, to))
    with net(*proxy, "direct.wild.test:7 .sub.wild.test 93.184.216.32/28:7", direct=[LIVE], other=[LIVE]):
        eq(through("direct.wild.test", 7), b"live\n")
        eq(through(LIVE, 7), b"live\n")
        eq(seen, [])
        for n, (host, to) in enumerate((("direct.wild.test", 8), (LIVE, 8), ("other.wild.test", 7)), 1):
            eq(through(host, to), b"220 hello\n")
            has(seen[n - 1], b"CONNECT %s:%d HTTP/1.1\r\n" % (host.encode(), to))
            eq(len(seen), n)
    del seen[:]
    with net(*proxy, "93.184.216.0/27,2606:2800:220:1::/64"):
        eq(through(LIVE, 7), b"220 hello\n")
        eq(len(seen), 1)
    with net(*proxy, "*"):
        eq(through(LIVE, 7), b"live\n")
        eq(len(seen), 1)


def web(name):
    s = begin(name, 9)
    has(read_until(s, b"\r\n\r\n"), b" 200 ")
    return s


def far(s, name):
    s.sendall(b"GET / HTTP/1.1\r\nHost: %s:9\r\n\r\n" % name.encode())
    return response(s)[::2]


@case
def what_a_name_answers_later_is_not_dialled_for_who_came_earlier():
    """The second answer is refused to whoever asked, and to the connection of the first as well."""
    bait = socket.create_server(("127.0.0.1", 9))
    bait.settimeout(0)
    with net("--answer", "one.web.test=%s/127.0.0.1" % LIVE, "--answer", "two.web.test=%s" % LIVE):
        for name, later in (("two.web.test", b" 200 "), ("one.web.test", b" 403 ")):
            s = web(name)
            eq(far(s, name), (200, b"far"))
            D.advance(16000)
            t = begin(name, 9)
            has(read_until(t, b"\r\n"), later)
            eq(far(s, name), (200, b"far"))
        D.await_event(d="deny", h="one.web.test", g="ssrf")
    try:
        bait.accept()
        raise AssertionError("our own loopback was dialled")
    except BlockingIOError:
        pass


@case
def one_bad_address_among_good_ones_is_refused():
    with net(good=[LIVE, REFUSING], last=[LIVE, "127.0.0.1"], first=["127.0.0.1", LIVE]):
        eq([heard(begin(n + ".wild.test")) for n in ("good", "last", "first")], [b"live\n", 403, 403])


@case
def a_policy_that_no_longer_lists_the_address_closes_the_connection():
    with net("--answer", "listed.test=" + LIVE):
        s = web("listed.test")
        eq(far(s, "listed.test"), (200, b"far"))
        eq(D.policy(TMP + "/net2.yaml")[1], b"0")
        eq(far(s, "listed.test"), (200, b"far"))
        eq(D.policy(TMP + "/net3.yaml")[1], b"1")
        eq(closed(s), True)


@case
def this_machines_own_public_address_is_opened_by_no_name_and_no_audit():
    own = "93.184.216.1"
    bait = socket.create_server((own, 7))
    bait.settimeout(0)
    names = ("far.wild.test", "own.wild.test", "both.wild.test", "far.unnamed.test", "own.unnamed.test", own)
    for audit in ([], ["--audit"]):
        with net(*audit, "--answer", "far.unnamed.test=" + LIVE, "--answer", "own.unnamed.test=" + own, far=[LIVE], own=[own], both=[LIVE, own]):
            said = []
            for name in names:
                s = begin(name)
                said.append(int(read_until(s, b"\r\n\r\n").split()[1]))
                if said[-1] == 200:
                    D.advance(1000)  # audit waits for the first bytes of a client that may inspect
                    eq(read_until(s, b"\n"), b"live\n")
            eq((audit, said), (audit, [200, 403, 403, 200 if audit else 403, 403, 403]))
            D.await_event(d="deny", h="own.wild.test", g="ssrf")
            if audit:
                D.await_event(d="deny", h="own.unnamed.test", g="ssrf")
    try:
        bait.accept()
        raise AssertionError("this machine was dialled")
    except BlockingIOError:
        pass
