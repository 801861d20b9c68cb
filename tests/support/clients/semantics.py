"""What connect() and its neighbours say, one line a case; the same text is wanted inside and outside.

usage: semantics.py HOST PORT    a TCP server there accepts and keeps connections
"""
import ctypes, errno, os, select, signal, socket, struct, sys, threading, time

host, port = sys.argv[1], int(sys.argv[2])
v4 = [a[4] for a in socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)][0]
libc = ctypes.CDLL(None, use_errno=True)


def name(r):
    return errno.errorcode.get(r, str(r)) if r else "0"


def say(what, *values):
    print(what + ":", *values, flush=True)


def full_listener():
    """A listener whose queue is full, so that connects to it wait."""
    l = socket.socket()
    l.bind(("127.0.0.1", 0))
    l.listen(0)
    held = []
    for _ in range(8):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(l.getsockname())
        held.append(s)
    return l, held


def blocking():
    s = socket.socket()
    say("blocking", name(s.connect_ex(v4)), name(s.connect_ex(v4)), s.getpeername() == v4)
    say("blocking flags", s.getblocking(), s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))


def nonblocking():
    s = socket.socket()
    s.setblocking(False)
    ep = select.epoll()
    ep.register(s, select.EPOLLOUT | select.EPOLLET)
    first = name(s.connect_ex(v4))
    events = 0
    while not events & select.EPOLLOUT or events & select.EPOLLHUP:
        got = ep.poll(5)
        events = got[0][1] if got else select.EPOLLOUT
    say("non-blocking", first, events & (select.EPOLLOUT | select.EPOLLERR), s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    say("non-blocking again", name(s.connect_ex(v4)), name(s.connect_ex(v4)))
    say("non-blocking flag", s.getblocking())


def refused():
    l = socket.socket()
    l.bind(("127.0.0.1", 0))
    s = socket.socket()
    say("refused", name(s.connect_ex(l.getsockname())), name(s.connect_ex(v4)), s.getpeername() == v4)


def bound():
    s = socket.socket()
    s.bind(("", 0))
    mine = s.getsockname()[1]
    say("bound before", name(s.connect_ex(v4)), s.getsockname()[1] == mine)


def listening():
    s = socket.socket()
    s.listen()
    say("listening", name(s.connect_ex(v4)))


def arguments():
    s = socket.socket()
    fd = s.fileno()
    good = struct.pack("=HH4s8x", socket.AF_INET, socket.htons(v4[1]), socket.inet_aton(v4[0]))
    for what, addr, length in (("short", good, 15), ("empty", good, 0), ("negative", good, -1), ("huge", good, 2**31 - 1), ("null", None, 16)):
        ctypes.set_errno(0)
        r = libc.connect(fd, addr, length)
        say("address " + what, r, name(ctypes.get_errno()))
    six = socket.socket(socket.AF_INET6)
    say("family", libc.connect(six.fileno(), good, 16), name(ctypes.get_errno()))
    say("no socket", libc.connect(os.open("/dev/null", os.O_RDWR), good, 16), name(ctypes.get_errno()))
    say("no descriptor", libc.connect(999, good, 16), name(ctypes.get_errno()))


def disconnect():
    s = socket.socket()
    a = name(s.connect_ex(v4))
    libc.connect(s.fileno(), struct.pack("=H14x", socket.AF_UNSPEC), 16)
    try:
        s.getpeername()
        peer = "connected"
    except OSError as e:
        peer = name(e.errno)
    say("disconnected and connected", a, peer, name(s.connect_ex(v4)), s.getpeername() == v4)


def mapped():
    s = socket.socket(socket.AF_INET6)
    to = ("::ffff:" + v4[0], v4[1])
    say("v4-mapped", name(s.connect_ex(to)), s.getpeername()[:2] == to)


def told():
    """getpeername() tells the address as the kernel keeps it, not the bytes that were given."""
    def peer(family, to, length):
        s = socket.socket(family)
        given = ctypes.create_string_buffer(to, 128)
        if libc.connect(s.fileno(), given, length):
            return name(ctypes.get_errno())
        back, room = ctypes.create_string_buffer(b"\x55" * 128, 128), ctypes.c_uint32(128)
        libc.getpeername(s.fileno(), back, ctypes.byref(room))
        return room.value, back.raw[room.value - 8 if family == socket.AF_INET else 4:room.value].hex().replace(address.hex(), "address")
    address = socket.inet_aton(v4[0])
    to4 = struct.pack("=H", socket.AF_INET) + struct.pack(">H", v4[1]) + address + b"Z" * 8
    to6 = struct.pack("=H", socket.AF_INET6) + struct.pack(">HI", v4[1], 0x12345) + b"\0" * 10 + b"\xff\xff" + address
    say("told, padding", *[peer(socket.AF_INET, to4, n) for n in (16, 17, 128)])
    say("told, flow and scope", *[peer(socket.AF_INET6, to6 + struct.pack("=I", 7), n) for n in (24, 28, 29)])


def multipath():
    try:
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
    except OSError:
        say("mptcp", "absent")
        return
    say("mptcp", name(s.connect_ex(v4)), s.getpeername() == v4, name(s.connect_ex(v4)))


def fast_open():
    s = socket.socket()
    s.setsockopt(socket.IPPROTO_TCP, 30, 1)  # TCP_FASTOPEN_CONNECT
    r = name(s.connect_ex(v4))
    s.sendall(b"x")
    say("fast open connect", r, s.getpeername() == v4)


def timeout():
    l, held = full_listener()
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 300000))
    start = time.monotonic()
    r = name(s.connect_ex(l.getsockname()))
    took = time.monotonic() - start
    say("SO_SNDTIMEO", r, 0.25 < took < 3, name(s.connect_ex(l.getsockname())))
    s = socket.socket()
    s.setblocking(False)
    say("waiting", name(s.connect_ex(l.getsockname())), name(s.connect_ex(l.getsockname())))


def interrupted():
    """No SA_RESTART: EINTR, and the connect goes on. With it: the connect does."""
    l, held = full_listener()
    seen = []
    signal.signal(signal.SIGALRM, lambda *a: seen.append(1))
    signal.siginterrupt(signal.SIGALRM, True)
    s = socket.socket()
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    to = struct.pack("=HH4s8x", socket.AF_INET, socket.htons(l.getsockname()[1]), socket.inet_aton("127.0.0.1"))
    start = time.monotonic()
    r = libc.connect(s.fileno(), to, 16)
    e = ctypes.get_errno()
    say("signal", r, name(e), time.monotonic() - start < 3)
    signal.siginterrupt(signal.SIGALRM, False)
    # Both things happen while it waits: a signal whose handler restarts, then room in the queue.
    waiter = os.fork()
    if waiter == 0:
        time.sleep(0.4)
        for _ in range(16):
            l.settimeout(3)
            try:
                l.accept()
            except OSError:
                break
        os._exit(0)
    s = socket.socket()
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    r = libc.connect(s.fileno(), to, 16)
    say("signal with SA_RESTART", r, len(seen) >= 1)
    for h in held:
        h.close()
    os.waitpid(waiter, 0)


def own_files():
    """A thread with a descriptor table of its own: its number means its socket."""
    first = socket.socket()
    result = []

    def work():
        libc.unshare(0x400)  # CLONE_FILES
        s = socket.socket()
        os.dup2(s.fileno(), first.fileno())
        copy = socket.socket(fileno=first.fileno())
        result.append(name(copy.connect_ex(v4)))
        try:
            result.append(copy.getpeername() == v4)
        except OSError as e:
            result.append(name(e.errno))
        copy.detach()

    t = threading.Thread(target=work)
    t.start()
    t.join()
    try:
        first.getpeername()
        other = "connected"
    except OSError as e:
        other = name(e.errno)
    say("own descriptor table", *result, other)


def children():
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        s = socket.socket()
        os.write(w, name(s.connect_ex(v4)).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    say("child", os.read(r, 100).decode())
    # subprocess uses vfork()
    import subprocess

    code = "import socket,sys; s=socket.socket(); print(s.connect_ex((sys.argv[1], int(sys.argv[2]))))"
    out = subprocess.run([sys.executable, "-c", code, v4[0], str(v4[1])], capture_output=True, text=True)
    say("vfork and exec", out.stdout.strip())


def unix():
    a, b = socket.socketpair()
    say("socketpair", a.getpeername() == "", a.send(b"x"), b.recv(1))
    l = socket.socket(socket.AF_UNIX)
    l.bind("\0semantics-%d" % os.getpid())
    l.listen(0)
    held = []
    while True:
        s = socket.socket(socket.AF_UNIX)
        s.setblocking(False)
        r = s.connect_ex(l.getsockname())
        if r:
            break
        held.append(s)
    say("unix, full", name(r))
    s = socket.socket(socket.AF_UNIX)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 200000))
    say("unix, SO_SNDTIMEO", name(s.connect_ex(l.getsockname())))
    t = threading.Timer(0.2, l.accept)
    t.start()
    s = socket.socket(socket.AF_UNIX)
    say("unix, waits", name(s.connect_ex(l.getsockname())), s.getpeername() == l.getsockname())
    t.join()


def datagrams():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    to = server.getsockname()
    c = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    say("udp sendto", c.sendto(b"one", to), server.recv(9))
    say("udp sendmsg", c.sendmsg([b"t", b"wo"], [], 0, to), server.recv(9))
    say("udp connect", name(c.connect_ex(to)), c.send(b"three"), server.recv(9), c.getpeername() == to)
    try:
        c.sendto(b"", ("127.0.0.1", 0))
    except OSError as e:
        say("udp port 0", name(e.errno))
    u = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    path = "%s/dgram-%d" % (os.getcwd(), os.getpid())
    u.bind(path)
    c = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    say("unix sendto", c.sendto(b"one", path), u.recv(9))
    say("unix sendmsg", c.sendmsg([b"t", b"wo"], [], 0, path), u.recv(9))
    with open("/proc/self/comm") as f:
        c.sendmsg([b"f"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", f.fileno()))], 0, path)
    data, anc, flags, addr = u.recvmsg(9, socket.CMSG_SPACE(4))
    got = struct.unpack("i", anc[0][2])[0]
    say("unix SCM_RIGHTS", data, len(anc), os.read(got, 99) == open("/proc/self/comm", "rb").read())
    say("unix relative", c.sendmsg([b"r"], [], 0, os.path.basename(path)), u.recv(9))
    try:
        c.sendmsg([b"x"], [], 0, path + "-absent")
    except OSError as e:
        say("unix absent", name(e.errno))
    os.unlink(path)


def messages():
    """By now a datagram socket of AF_UNIX exists: every sendmsg() is carried out by the supervisor."""
    a, b = socket.socketpair()
    big = os.urandom(3 << 20)
    got = []

    def read():
        while sum(map(len, got)) < len(big):
            got.append(b.recv(1 << 16))

    t = threading.Thread(target=read)
    t.start()
    n = a.sendmsg([big[: 1 << 20], big[1 << 20 :]])
    t.join()
    say("stream sendmsg", n == len(big), b"".join(got) == big)
    a.setblocking(False)
    n = a.sendmsg([big])
    say("stream sendmsg, full", 0 < n < len(big))
    try:
        while True:
            a.sendmsg([big])
    except OSError as e:
        say("stream sendmsg, no room", name(e.errno))
    a.setblocking(True)
    a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 200000))
    try:
        a.sendmsg([big])
    except OSError as e:
        say("stream sendmsg, SO_SNDTIMEO", name(e.errno))
    b.close()
    seen = []
    signal.signal(signal.SIGPIPE, lambda *x: seen.append(1))
    try:
        a.sendmsg([b"x"])
    except OSError as e:
        say("broken pipe", name(e.errno), len(seen))
    try:
        a.sendmsg([b"x"], [], socket.MSG_NOSIGNAL)
    except OSError as e:
        say("broken pipe, no signal", name(e.errno), len(seen))
    s = socket.create_connection(v4)
    say("tcp sendmsg", s.sendmsg([b"x", b"y"]))
    try:
        socket.socket().sendmsg([b"x"])
    except OSError as e:
        say("unconnected sendmsg", name(e.errno))
    for what, args in (("null", (None, 0)), ("bad", (ctypes.c_void_p(1), 0))):
        ctypes.set_errno(0)
        say("sendmsg " + what, libc.sendmsg(s.fileno(), *args), name(ctypes.get_errno()))


for case in (blocking, nonblocking, refused, bound, listening, arguments, disconnect, mapped, told, multipath, fast_open, timeout, interrupted,
             own_files, children, unix, datagrams, messages):
    try:
        case()
    except Exception as e:
        say(case.__name__, "raised", repr(e))
