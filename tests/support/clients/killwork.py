"""The workload of log-kill.t: asks until it is cut off, and writes down what was answered.

usage: killwork.py ROUND ACKS COUNT

Four threads send requests, each with a path of its own, one makes connects that are refused, each to
a name of its own. What has been answered is one line in ACKS, which is therefore in the log already; after COUNT of them a line is printed:

	r 17-2-40	the request for /k/17-2-40 got an answer
	c 17-4-9	the connect to c17-4-9.test was refused
"""
import errno, http.client, os, socket, sys, threading

turn, acks, left = sys.argv[1], os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644), [None] * int(sys.argv[3])


def acknowledged(kind, name):
    os.write(acks, b"%s %s\n" % (kind, name.encode()))
    if left:
        left.pop()
        if not left:
            print("answered", flush=True)


def ask(thread):
    c = http.client.HTTPConnection("kill.test", 80, timeout=5)
    for i in range(100000):
        name = "%s-%d-%d" % (turn, thread, i)
        c.request("GET", "/k/" + name)
        c.getresponse().read()
        acknowledged(b"r", name)


def connect(thread):
    for i in range(100000):
        name = "%s-%d-%d" % (turn, thread, i)
        try:
            socket.create_connection(("c%s.test" % name, 7), timeout=5)
        except OSError as e:
            if e.errno != errno.ECONNREFUSED:
                raise
        acknowledged(b"c", name)


def end_with(fn, thread):
    try:
        fn(thread)
    except (OSError, http.client.HTTPException):
        os._exit(0)


threads = [threading.Thread(target=end_with, args=(ask, n)) for n in range(4)] + [threading.Thread(target=end_with, args=(connect, 4))]
for t in threads:
    t.start()
