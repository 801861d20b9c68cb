#include "launcher/forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launcher/ctl.h"
#include "launcher/out.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/loop.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "lib/state.h"
#include "lib/str.h"

enum { BACKLOG = 64, PUMP_MAX = 64 * 1024, ANSWER_MS = 5000, DIAL_MS = 200 };

/* Between us and the dialler. */
enum {
	DIAL = 1, /* → dialler (empty): the port is the request's id */
	DIALLED,  /* dialler → errno:u32 fds: the connection, where that is 0 */
};

int forward_parse(const char *text, struct forward_spec *ret, struct err *err)
{
	const char *colon = strrchr(text, ':'), *port = colon ? colon + 1 : text;
	struct in6_addr a;
	uint64_t v;
	size_t n = colon ? (size_t)(colon - text) : 0;

	*ret = (struct forward_spec){ .bind = "127.0.0.1" };
	if (str_to_u64(port, 65535, &v) < 0)
		return err_set(err, -EINVAL, "invalid forward spec '%s': want [bind:]port", text);
	if (v == 0)
		return err_set(err, -EINVAL, "'%s': port must be between 1 and 65535", text);
	ret->port = (uint16_t)v;
	if (!colon)
		return 0;
	if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
		text++;
		n -= 2;
	}
	if (n == 0 || n >= sizeof(ret->bind))
		return err_set(err, -EINVAL, "invalid forward spec '%s': want [bind:]port", text);
	memcpy(ret->bind, text, n);
	ret->bind[n] = '\0';
	if (inet_pton(AF_INET, ret->bind, &a) != 1 && inet_pton(AF_INET6, ret->bind, &a) != 1)
		return err_set(
			err, -EINVAL, "invalid forward spec: '%s' is not an IP address", ret->bind);
	return 0;
}

static socklen_t address(struct sockaddr_storage *ss, const char *ip, uint16_t port)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;

	memset(ss, 0, sizeof(*ss));
	if (inet_pton(AF_INET, ip, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		return sizeof(*in);
	}
	(void)inet_pton(AF_INET6, ip, &in6->sin6_addr);
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	return sizeof(*in6);
}

/* --- the dialler: a child inside the sandbox's network namespace --- */

/* The owning user namespace first: bubblewrap nests two, and our uid owns the outer one. */
static int join(int netns)
{
	auto_close int userns = ioctl(netns, NS_GET_USERNS);

	if (userns < 0)
		return -errno;
	if (setns(userns, CLONE_NEWUSER) < 0 && errno != EINVAL)
		return -errno;
	return setns(netns, CLONE_NEWNET) < 0 ? -errno : 0;
}

/* A loopback connect is answered at once, but not before connect(2) returns. One that is not (the
 * server's backlog is full) goes on by itself. */
static int connected(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int e = 0;
	socklen_t len = sizeof(e);

	if (poll(&p, 1, DIAL_MS) == 1)
		(void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len);
	return -e;
}

static int dial(const char *ip, uint16_t port)
{
	struct sockaddr_storage ss;
	socklen_t len = address(&ss, ip, port);
	auto_close int fd = -1;
	int r;

	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&ss, len) < 0 && errno != EINPROGRESS)
		return -errno;
	r = connected(fd);
	return r < 0 ? r : take_fd(fd);
}

static void dial_one(int sock, uint16_t port)
{
	auto_close int fd = dial("127.0.0.1", port);
	auto_msg_out struct msg_out m;

	if (fd < 0)
		fd = dial("::1", port);
	msg_out_init(&m, DIALLED, 0);
	msg_put_u32(&m, fd < 0 ? (uint32_t)-fd : 0);
	if (fd >= 0)
		msg_put_fd(&m, fd);
	(void)msg_send(sock, &m);
}

static _Noreturn void dialler(int sock, int netns)
{
	int r;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)prctl(PR_SET_DUMPABLE, 0);
	r = join(netns);
	for (;;) {
		auto_msg_in struct msg_in m = { 0 };

		if (r < 0 || msg_recv(sock, &m) <= 0)
			_exit(1);
		dial_one(sock, (uint16_t)m.id);
	}
}

static int dialler_start(int netns, int *ret_sock)
{
	int sv[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		(void)close(sv[0]);
		dialler(sv[1], netns);
	}
	(void)close(sv[1]);
	if (pid < 0) {
		(void)close(sv[0]);
		return -EAGAIN;
	}
	*ret_sock = sv[0];
	return 0;
}

/* --- connections --- */

struct forward {
	struct loop *loop;
	struct watch listener, supervisor, signals;
	int dialler;
	uint16_t port;
	unsigned int n_connections;
};

struct side {
	struct watch watch;
	struct connection *connection;
	struct buf out; /* on its way to this side */
	bool has_ended; /* no more will be read from it */
	bool is_shut;	/* told that no more will come */
};

/* Two sides; what one says goes to the other. Dies when both directions have ended. */
struct connection {
	struct forward *forward;
	struct side client, server;
	int n_buried;
};

static struct side *other(struct side *s)
{
	struct connection *c = s->connection;

	return s == &c->client ? &c->server : &c->client;
}

static void side_destroy(struct watch *w)
{
	struct side *s = container_of(w, struct side, watch);
	struct connection *c = s->connection;

	(void)close(w->fd);
	buf_done(&s->out);
	if (++c->n_buried < 2)
		return;
	c->forward->n_connections--;
	free(c);
}

static void connection_end(struct connection *c)
{
	watch_bury(c->forward->loop, &c->client.watch);
	watch_bury(c->forward->loop, &c->server.watch);
}

static uint32_t side_wants(struct side *s)
{
	uint32_t want = 0;

	if (!s->has_ended && buf_room(&other(s)->out) > 0)
		want |= EPOLLIN;
	if (s->out.len)
		want |= EPOLLOUT;
	return want;
}

/* Sends what waits for @s; once that is all and the far side has ended, says so. */
static int flush_side(struct side *s)
{
	while (s->out.len) {
		ssize_t n = send(s->watch.fd, buf_head(&s->out), s->out.len, MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR || errno == ENOTCONN ? 0 : -errno;
		buf_consume(&s->out, (size_t)n);
	}
	if (other(s)->has_ended && !s->is_shut) {
		s->is_shut = true;
		(void)shutdown(s->watch.fd, SHUT_WR);
	}
	return 0;
}

static int fill_side(struct side *s)
{
	struct buf *to = &other(s)->out;
	ssize_t n = buf_read(to, s->watch.fd, buf_room(to));

	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n == 0)
		s->has_ended = true;
	return n < 0 ? (int)n : 0;
}

static void on_side(struct loop *loop, struct watch *w, uint32_t events)
{
	struct side *s = container_of(w, struct side, watch);
	struct connection *c = s->connection;
	int r = 0;

	if (events & EPOLLERR)
		r = -EIO;
	if (r == 0 && (events & (EPOLLIN | EPOLLHUP)) && (side_wants(s) & EPOLLIN))
		r = fill_side(s);
	if (r == 0)
		r = flush_side(s);
	if (r == 0)
		r = flush_side(other(s));
	if (r == 0)
		r = watch_set(loop, &c->client.watch, side_wants(&c->client));
	if (r == 0)
		r = watch_set(loop, &c->server.watch, side_wants(&c->server));
	if (r < 0 || (c->client.is_shut && c->server.is_shut))
		connection_end(c);
}

/* The far end of a new connection, from the dialler: descriptor or -errno. */
static int ask_dialler(const struct forward *f)
{
	auto_msg_in struct msg_in m = { 0 };
	uint32_t e;
	int r = msg_send_empty(f->dialler, DIAL, f->port);

	if (r == 0)
		r = msg_recv(f->dialler, &m);
	if (r <= 0)
		return r < 0 ? r : -EPIPE;
	e = msg_get_u32(&m);
	return e ? -(int)e : msg_get_fd(&m);
}

static void side_init(struct side *s, struct connection *c, int fd)
{
	s->connection = c;
	buf_init(&s->out, PUMP_MAX);
	watch_init(&s->watch, fd, on_side, side_destroy);
}

static void on_listener(struct loop *loop, struct watch *w, uint32_t events)
{
	struct forward *f = container_of(w, struct forward, listener);
	auto_close int client = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	auto_close int server = -1;
	struct connection *c;

	(void)events;
	/* Nobody listens inside, or too many at once: the client sees its connection close. */
	if (client < 0 || f->n_connections >= FORWARD_CONNECTIONS_MAX)
		return;
	server = ask_dialler(f);
	c = server < 0 ? NULL : calloc(1, sizeof(*c));
	if (!c)
		return;
	c->forward = f;
	f->n_connections++;
	side_init(&c->client, c, take_fd(client));
	side_init(&c->server, c, take_fd(server));
	if (watch_set(loop, &c->client.watch, EPOLLIN) < 0 ||
		watch_set(loop, &c->server.watch, EPOLLIN) < 0)
		connection_end(c);
}

/* --- the process --- */

/* The supervisor says nothing; that it can be read means that it is gone. */
static void on_end(struct loop *loop, struct watch *w, uint32_t events)
{
	(void)w;
	(void)events;
	loop_stop(loop);
}

static int listen_on(const struct forward_spec *spec, struct err *err)
{
	struct sockaddr_storage ss;
	socklen_t len = address(&ss, spec->bind, spec->port);
	auto_close int fd = -1;
	int one = 1;

	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&ss, len) < 0 || listen(fd, BACKLOG) < 0)
		return err_set(err, -errno, "cannot listen on %s port %u: %s", spec->bind,
			spec->port, err_name(errno));
	return take_fd(fd);
}

static int get_netns(int sock, struct err *err)
{
	auto_msg_in struct msg_in m = { 0 };
	int r;

	r = msg_send_empty(sock, CTL_NETNS, 0);
	if (r < 0)
		return err_set(err, r, "cannot talk to the supervisor: %s", err_name(r));
	r = ctl_wait(sock, CTL_NETNS_FD, ANSWER_MS, &m, NULL, err);
	return r < 0 ? r : msg_get_fd(&m);
}

static int signals_open(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* "forward-PORT", locked: one of a kind. */
static int pid_file_make(const char *sandbox, const struct forward_spec *spec, int *ret_dir,
	char *name, size_t size, struct err *err)
{
	auto_close int dir = -1, fd = -1;
	char text[64];

	dir = state_runtime_dir(sandbox, err);
	if (dir < 0)
		return dir;
	(void)str_format(name, size, "forward-%u", spec->port);
	fd = state_lock_file(dir, name, true);
	if (fd == -EBUSY)
		return err_set(err, fd, "port %u is forwarded to sandbox '%s' already", spec->port,
			sandbox);
	(void)str_format(text, sizeof(text), "%d\n%s\n", (int)getpid(), spec->bind);
	if (fd < 0 || ftruncate(fd, 0) < 0 || fd_write_all(fd, text, strlen(text)) < 0)
		return err_set(err, -EIO, "cannot write the pid file of the forward");
	*ret_dir = take_fd(dir);
	return take_fd(fd);
}

static int serve(struct forward *f, int listener, int supervisor, int signals)
{
	int r;

	f->loop = loop_new();
	if (!f->loop)
		return -ENOMEM;
	watch_init(&f->listener, listener, on_listener, NULL);
	watch_init(&f->supervisor, supervisor, on_end, NULL);
	watch_init(&f->signals, signals, on_end, NULL);
	r = watch_set(f->loop, &f->listener, EPOLLIN);
	if (r == 0)
		r = watch_set(f->loop, &f->supervisor, EPOLLIN);
	if (r == 0)
		r = watch_set(f->loop, &f->signals, EPOLLIN);
	if (r == 0)
		r = loop_run(f->loop);
	loop_free(f->loop);
	return r;
}

int forward_run(const char *sandbox, const struct forward_spec *spec, void (*on_ready)(void *arg),
	void *arg, struct err *err)
{
	auto_close int sock = -1, netns = -1, listener = -1, dir = -1, pid_file = -1,
		       dial_sock = -1;
	auto_close int signals = -1;
	struct forward f = { .port = spec->port };
	char name[32];
	int r;

	sock = state_control_connect(sandbox, err);
	if (sock < 0)
		return sock;
	netns = get_netns(sock, err);
	if (netns < 0)
		return netns;
	pid_file = pid_file_make(sandbox, spec, &dir, name, sizeof(name), err);
	if (pid_file < 0)
		return pid_file;
	listener = listen_on(spec, err);
	signals = signals_open();
	r = listener < 0 || signals < 0 ? listener : dialler_start(netns, &dial_sock);
	if (r == 0) {
		f.dialler = dial_sock;
		on_ready(arg);
		r = serve(&f, listener, sock, signals);
	}
	(void)unlinkat(dir, name, 0);
	return r < 0 && err && !err->text[0] ? err_set(err, r, "%s", err_name(r)) : r;
}

/* --- in the background --- */

static const char is_up = '+';

static void report_ready(void *arg)
{
	int *report = arg;

	(void)fd_write_all(*report, &is_up, 1);
	(void)close(take_fd(*report));
}

static _Noreturn void background(const char *sandbox, const struct forward_spec *spec, int report)
{
	struct err err = { 0 };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)setsid();
	for (int fd = 0; null >= 0 && fd <= STDERR_FILENO; fd++)
		(void)dup2(null, fd);
	if (chdir("/") == 0 && forward_run(sandbox, spec, report_ready, &report, &err) < 0 &&
		report >= 0)
		(void)fd_write_all(report, err.text, strlen(err.text));
	_exit(0);
}

int forward_start(
	const char *sandbox, const struct forward_spec *spec, int *ret_pid, struct err *err)
{
	auto_close int read_end = -1, write_end = -1;
	char text[ERR_TEXT_MAX];
	int p[2];
	pid_t pid;
	ssize_t n;

	if (pipe2(p, O_CLOEXEC) < 0)
		return err_set(err, -errno, "pipe: %s", err_name(errno));
	read_end = p[0];
	write_end = p[1];
	pid = fork();
	if (pid == 0)
		background(sandbox, spec, take_fd(write_end));
	if (pid < 0)
		return err_set(err, -errno, "fork: %s", err_name(errno));
	(void)close(take_fd(write_end));
	do
		n = read(read_end, text, sizeof(text) - 1);
	while (n < 0 && errno == EINTR);
	text[n > 0 ? n : 0] = '\0';
	if (n < 1 || text[0] != is_up)
		return err_set(err, -EIO, "%s", n > 0 ? text : "the forwarding process ended");
	if (ret_pid)
		*ret_pid = pid;
	return 0;
}
