/*
 * connect(), getpeername() and socket(): what the workload asks of the network.
 *
 * A TCP connection to an address of the sandbox itself is made as asked. Any other is judged, and
 * then made to the proxy's listener, which lies inside the sandbox's network namespace: the socket
 * stays the program's own, with every flag and registration it has. The source port is registered
 * with the proxy together with who asked and for what; an unregistered connection is not served.
 *
 * A connect to the proxy is finished when it returns, whatever the socket's mode: its listener takes
 * connections within the system call. It is made on the socket as it is, with a watchman who breaks
 * it off should it wait after all; then the caller is parked until the socket is writable. To other
 * listeners of the sandbox, whose queues may be full, O_NONBLOCK is set for the moment.
 *
 * What a second connect() on the same socket is told (0, EALREADY, EISCONN) the kernel knows best: a
 * socket that is not fresh and not closed is connected to the proxy again, with no tuple beside it,
 * so that nothing but an answer can come of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/netaddr.h"
#include "lib/tuple.h"
#include "tracer/addrs.h"
#include "tracer/dgramgate.h"
#include "tracer/names.h"
#include "tracer/notify.h"
#include "tracer/owner.h"
#include "tracer/peers.h"
#include "tracer/remote.h"
#include "tracer/sandbox.h"
#include "tracer/sockcall.h"
#include "tracer/stacks.h"
#include "tracer/watchman.h"

/* The program's own result of a connect that gave @r here: it may want to wait. */
static struct answer finish(const struct sockcall *sc, struct call *c, int r,
	const struct sockaddr *sa, socklen_t len)
{
	struct pollfd p = { .fd = sc->sock, .events = POLLOUT };
	const int late = r == -EALREADY ? r : -EINPROGRESS;

	if (r == 0)
		return answer_value(0);
	if ((r != -EINPROGRESS && r != -EALREADY && r != -EINTR) || sockcall_is_nonblocking(sc))
		return answer_error(r);
	/* Loopback has usually finished by now; asking again gives the outcome. */
	if (poll(&p, 1, 0) == 1)
		r = sockcall_connect(sc, sa, len);
	if (r != -EINPROGRESS && r != -EALREADY && r != -EINTR)
		return r == 0 ? answer_value(0) : answer_error(r);
	memcpy(&c->to, sa, len);
	c->to_len = len;
	return (struct answer){ .kind = ANSWER_PARK_WRITE,
		.value = late,
		.timeout_ms = sockcall_send_timeout_ms(sc),
		.fd = c->held >= 0 ? -1 : fcntl(sc->sock, F_DUPFD_CLOEXEC, 3) };
}

static struct answer connect_as_asked(const struct sockcall *sc, struct call *c,
	const struct sockaddr *sa, socklen_t len)
{
	return finish(sc, c, sockcall_connect(sc, sa, len), sa, len);
}

/* The socket that was parked is writable: the same connect again tells what became of it. */
static struct answer connect_resumed(struct call *c)
{
	const struct sockcall sc = { .tid = (pid_t)c->req.pid, .sock = c->held };

	return connect_as_asked(&sc, c, (struct sockaddr *)&c->to, c->to_len);
}

/* Where the proxy listens, in the family that @sc needs to get to it. */
static socklen_t proxy_address(const struct sockcall *sc, const struct netaddr *asked,
	struct sockaddr_storage *ret)
{
	struct netaddr a;
	struct sockaddr_in6 *mapped = (struct sockaddr_in6 *)ret;

	(void)netaddr_parse(asked->family == AF_INET6 ? ADDRS_HOST6 : ADDRS_HOST4, &a);
	if (sc->domain == AF_INET6 && a.family == AF_INET) {
		memset(ret, 0, sizeof(*ret));
		mapped->sin6_family = AF_INET6;
		mapped->sin6_port = htons(ADDRS_PROXY_PORT);
		memset(&mapped->sin6_addr.s6_addr[10], 0xff, 2);
		memcpy(&mapped->sin6_addr.s6_addr[12], a.bytes, 4);
		return sizeof(*mapped);
	}
	return netaddr_to_sockaddr(&a, ADDRS_PROXY_PORT, ret);
}

/* Clients of these ports speak HTTP or TLS: the proxy can tell them in words why not. */
static bool is_web_port(uint16_t port)
{
	return port == 80 || port == 443 || port == 8080 || port == 8443;
}

struct destination {
	struct netaddr addr;
	uint16_t port;
	char text[NETADDR_TEXT_MAX];
	const char *host;  /* a name, or text */
	const char *stack; /* --stacks */
};

/*
 * In quiet times the handshake is over when connect() returns. Under load the kernel puts its half of
 * it off to a thread of its own (ksoftirqd); with others waiting nobody waits for that here.
 */
static int connect_watched(struct sandbox *s, const struct sockcall *sc, const struct call *c,
	const struct sockaddr *sa, socklen_t len)
{
	int r;

	if (c->is_queued)
		return sockcall_connect(sc, sa, len);
	r = watchman_begin(s->watchman);
	if (r < 0)
		return r;
	r = connect(sc->sock, sa, len) < 0 ? -errno : 0;
	watchman_end(s->watchman);
	return r;
}

/*
 * Whether the proxy has to catch up before it is told of more. A process with further calls waiting
 * leaves half of the link's room to the others. (EPOLLOUT comes at a third of it.)
 */
static bool must_wait(const struct sandbox *s, const struct call *c)
{
	const int room = c->has_company ? s->link_room / 2 : s->link_room;
	int queued = 0;

	return ioctl(s->proxy_link.fd, SIOCOUTQ, &queued) == 0 && queued > room;
}

static void log_proxy_gone(struct sandbox *s, const struct sockcall *sc, const struct destination *d)
{
	sockcall_log_refused(s, sc, EVENT_TCP, "tcp", d->host, d->port, "the proxy is gone");
}

/* Connects to the proxy and says whose connection it is. */
static struct answer connect_to_proxy(struct sandbox *s, const struct sockcall *sc, struct call *c,
	const struct destination *d, const struct owner *who, enum tuple_mode mode,
	const struct sockaddr *asked, socklen_t asked_len)
{
	struct sockaddr_storage proxy;
	socklen_t len = proxy_address(sc, &d->addr, &proxy);
	struct tuple t = { .mode = mode,
		.host = mode == TUPLE_TRANSPARENT ? d->host : NULL,
		.port = mode == TUPLE_TRANSPARENT ? d->port : 0,
		.pid = (uint32_t)who->pid,
		.binary = who->binary,
		.ancestors = (char **)who->ancestors,
		.sha256 = who->sha256,
		.denied = who->denied,
		.cookie = c->cookie,
		.stack = d->stack };
	int r;

	if (sandbox_wake_proxy(s) < 0) {
		log_proxy_gone(s, sc, d);
		return answer_error(-ECONNREFUSED);
	}
	if (must_wait(s, c))
		return (struct answer){ .kind = ANSWER_PARK_PROXY, .fd = -1 };
	r = connect_watched(s, sc, c, (struct sockaddr *)&proxy, len);
	if (r < 0 && r != -EINPROGRESS && r != -EINTR) {
		if (r == -ECONNREFUSED)
			log_proxy_gone(s, sc, d);
		sockcall_log_shortage(s, sc->tid, r, d->host, d->port);
		return answer_error(r);
	}
	t.source_port = sockcall_source(sc, &t.source);
	(void)peers_set(s->peers, sc->sock, (uint16_t)t.source_port, asked, asked_len);
	if (sandbox_send_tuple(s, &t) < 0) {
		sockcall_log_refused(s, sc, EVENT_TCP, "tcp", d->host, d->port,
			"the proxy cannot be told of the connection");
		return answer_error(-ECONNREFUSED);
	}
	return finish(sc, c, r, (struct sockaddr *)&proxy, len);
}

static void log_denied(struct sandbox *s, const struct destination *d, const struct owner *who,
	const struct decision *dec)
{
	const struct event e = { .level = EVENT_WARN,
		.adapter = EVENT_TCP,
		.action = EVENT_DENY,
		.host = d->host,
		.port = d->port,
		.protocol = "tcp",
		.binary = who->binary,
		.pid = (uint32_t)who->pid,
		.ancestors = who->ancestors,
		.policy = dec->policy,
		.engine = dec->is_barred ? "deny" : "l4",
		.reason = dec->reason,
		.nearest = dec->nearest[0] ? dec->nearest : NULL,
		.stack = d->stack };

	sandbox_log(s, &e);
}

static struct answer judge(struct sandbox *s, const struct sockcall *sc, struct call *c,
	const struct destination *d, const struct owner *who, const struct sockaddr *asked,
	socklen_t asked_len)
{
	const struct intent in = { .host = d->host,
		.port = d->port,
		.binary = who->binary,
		.ancestors = who->ancestors,
		.identity_error = who->denied,
		.barred = s->barred };
	struct decision dec = { 0 };

	if (names_is_synthetic(&d->addr) && d->host == d->text)
		(void)snprintf(dec.reason, sizeof(dec.reason), "the address stands for no name");
	else
		policy_decide(s->policy, &in, &dec);
	/* Port 0 there is not to be let through to, either. */
	if (dec.verdict == VERDICT_DENY && (!s->spec.audit || dec.is_barred || d->port == 0) &&
		!is_web_port(d->port)) {
		log_denied(s, d, who, &dec);
		return answer_error(-ECONNREFUSED);
	}
	return connect_to_proxy(s, sc, c, d, who, TUPLE_TRANSPARENT, asked, asked_len);
}

static struct answer connect_outside(struct sandbox *s, struct notifier *n,
	const struct sockcall *sc, struct call *c, struct destination *d,
	const struct sockaddr *asked, socklen_t asked_len)
{
	const struct owner *who;
	struct answer wait;
	const char *name;
	int r;

	if (!stacks_get(s->stacks, n, c, &d->stack, &wait))
		return wait;
	r = owner_get(s->owners, sc->tid, &who);
	if (r == -EINPROGRESS)
		return (struct answer){ .kind = ANSWER_PARK_HASH, .fd = -1 };
	if (r < 0)
		sockcall_log_shortage(s, sc->tid, r, NULL, d->port);
	if (r < 0 || !notifier_is_valid(n, c))
		return answer_error(-ECONNREFUSED);
	c->cookie = ++s->next_connection;
	(void)netaddr_format(&d->addr, d->text, sizeof(d->text));
	name = names_lookup(s->names, &d->addr);
	d->host = name ? name : d->text;
	if (sockcall_is_own(&d->addr))
		return connect_to_proxy(s, sc, c, d, who, TUPLE_EXPLICIT, asked, asked_len);
	return judge(s, sc, c, d, who, asked, asked_len);
}

/* Whether a connect of this socket has begun: then its outcome is asked for, not a new one. */
static bool has_begun(const struct sockcall *sc)
{
	struct sockaddr_storage peer;
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (sc->port == 0)
		return false;
	if (getsockopt(sc->sock, IPPROTO_TCP, TCP_INFO, &info, &len) == 0)
		return info.tcpi_state != TCP_CLOSE;
	len = sizeof(peer);
	return getpeername(sc->sock, (struct sockaddr *)&peer, &len) == 0;
}

static struct answer connect_again(const struct sockcall *sc, struct call *c,
	const struct destination *d)
{
	struct sockaddr_storage proxy;
	socklen_t len = proxy_address(sc, &d->addr, &proxy);

	return connect_as_asked(sc, c, (struct sockaddr *)&proxy, len);
}

static struct answer connect_tcp(struct sandbox *s, struct notifier *n, const struct sockcall *sc,
	struct call *c, const struct sockaddr *sa, socklen_t len)
{
	struct destination d = { .host = NULL };

	/* Malformed, of the other family, or AF_UNSPEC (disconnect): the kernel knows what to say.
	 * Nothing but loopback can be reached that way. */
	if (sa->sa_family != sc->domain || netaddr_from_sockaddr(sa, len, &d.addr, &d.port) < 0)
		return connect_as_asked(sc, c, sa, len);
	if (sockcall_is_loopback(&d.addr) ||
		(sockcall_is_own(&d.addr) && d.port != ADDRS_PROXY_PORT))
		return connect_as_asked(sc, c, sa, len);
	if (has_begun(sc))
		return connect_again(sc, c, &d);
	return connect_outside(s, n, sc, c, &d, sa, len);
}

/*
 * A connected UDP socket sends nothing by itself; resolvers connect one to learn their source
 * address. So it is connected as asked: there is a route for synthetic addresses alone, and what
 * is sent there comes back as "connection refused" at once.
 */
static struct answer connect_datagram(struct sandbox *s, const struct sockcall *sc, struct call *c,
	const struct sockaddr *sa, socklen_t len)
{
	char text[NETADDR_TEXT_MAX];
	struct netaddr a;
	uint16_t port = 0;

	if (netaddr_from_sockaddr(sa, len, &a, &port) == 0 && !sockcall_is_inside(&a) && port != 0 &&
		sc->type == SOCK_DGRAM && !names_is_synthetic(&a))
		sockcall_log_refused(s, sc, EVENT_SOCKET, "udp",
			netaddr_format(&a, text, sizeof(text)), port,
			"UDP does not leave the sandbox");
	return connect_as_asked(sc, c, sa, len);
}

struct answer connect_handle(struct sandbox *s, struct notifier *n, struct call *c)
{
	__attribute__((cleanup(sockcall_done))) struct sockcall sc = { .sock = -1 };
	struct sockaddr_storage ss;
	socklen_t len = 0;
	int r;

	if (c->held >= 0)
		return connect_resumed(c);
	r = sockcall_open(s, n, c, &sc);
	if (r == 0)
		r = sockcall_read_addr(&sc, c->req.data.args[1], c->req.data.args[2], &ss, &len);
	/* Memory was read by number, too. */
	if (r == 0 && !notifier_is_valid(n, c))
		r = -ESRCH;
	if (r < 0)
		return answer_error(r);
	if (sc.is_foreign) {
		sockcall_log_refused(s, &sc, EVENT_SOCKET, "fd", NULL, 0,
			"a socket of another network namespace");
		return answer_error(-EACCES);
	}
	if (sc.domain == AF_UNIX)
		return unixsock_connect(s, n, &sc, c, &ss, len);
	if ((sc.domain == AF_INET || sc.domain == AF_INET6) && sc.type == SOCK_STREAM)
		return connect_tcp(s, n, &sc, c, (struct sockaddr *)&ss, len);
	return connect_datagram(s, &sc, c, (struct sockaddr *)&ss, len);
}

/* As move_addr_to_user(): the address cut to the caller's room, its real length beside it. */
static int write_addr(pid_t tid, uint64_t addr, uint64_t addr_len, const void *sa, socklen_t len)
{
	int32_t room;
	uint32_t full = len;

	if (remote_read(tid, addr_len, &room, sizeof(room)) < 0)
		return -EFAULT;
	if (room < 0)
		return -EINVAL;
	if (remote_write(tid, addr, sa, (uint32_t)room < len ? (uint32_t)room : len) < 0)
		return -EFAULT;
	return remote_write(tid, addr_len, &full, sizeof(full)) < 0 ? -EFAULT : 0;
}

struct answer getpeername_handle(struct sandbox *s, struct notifier *n, struct call *c)
{
	__attribute__((cleanup(sockcall_done))) struct sockcall sc = { .sock = -1 };
	struct sockaddr_storage real, asked;
	socklen_t len = sizeof(real), asked_len;
	int r = sockcall_open(s, n, c, &sc);

	if (r < 0)
		return answer_error(r);
	if (getpeername(sc.sock, (struct sockaddr *)&real, &len) < 0)
		return answer_error(-errno);
	asked_len = peers_get(s->peers, sc.sock, &asked);
	if (c->is_cooperative) {
		c->to = asked_len ? asked : real;
		c->to_len = asked_len ? asked_len : len;
		return answer_value(0);
	}
	r = write_addr(sc.tid, c->req.data.args[1], c->req.data.args[2], asked_len ? &asked : &real,
		asked_len ? asked_len : len);
	return r < 0 ? answer_error(r) : answer_value(0);
}

/* What socket(2) says for a family or protocol that is not there. */
static int socket_refusal(int domain, int type, int protocol)
{
	if (domain == AF_INET || domain == AF_INET6) {
		if (type == SOCK_STREAM && (protocol == 0 || protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP))
			return 0;
		if (type == SOCK_DGRAM && (protocol == 0 || protocol == IPPROTO_UDP))
			return 0;
		return type == SOCK_RAW || type == SOCK_PACKET ? -EPERM : -EPROTONOSUPPORT;
	}
	return domain == AF_NETLINK ? -EPROTONOSUPPORT : -EAFNOSUPPORT;
}

/* A datagram socket of AF_UNIX, or a pair: fine as soon as every sendmsg() is ours to carry out. */
static struct answer open_gate(struct sandbox *s)
{
	int r = dgramgate_open(s->gate);

	if (r == -EAGAIN)
		return (struct answer){ .kind = ANSWER_PARK_RETRY, .fd = -1 };
	return r < 0 ? answer_error(r) : (struct answer){ .kind = ANSWER_CONTINUE, .fd = -1 };
}

/* All arguments are numbers, so what is let go on is what was judged. */
struct answer socket_handle(struct sandbox *s, struct notifier *n, struct call *c)
{
	const struct sockcall sc = { .tid = (pid_t)c->req.pid, .call = c, .notifier = n, .sock = -1 };
	int domain = (int)c->req.data.args[0];
	int type = (int)c->req.data.args[1] & 0xf;
	int protocol = (int)c->req.data.args[2];
	int r = socket_refusal(domain, type, protocol);
	const bool is_pair = c->req.data.nr == SYS_socketpair;
	char what[64];

	if (domain == AF_UNIX)
		return open_gate(s);
	if (r == 0)
		return (struct answer){ .kind = ANSWER_CONTINUE, .fd = -1 };
	(void)snprintf(what, sizeof(what), "socket%s(%d,%d,%d)", is_pair ? "pair" : "", domain, type, protocol);
	sockcall_log_refused(s, &sc, EVENT_SOCKET, what, NULL, 0,
		"sockets of this family, type or protocol are refused");
	return answer_error(r);
}
