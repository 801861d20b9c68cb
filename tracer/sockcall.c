#include "tracer/sockcall.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/netaddr.h"
#include "tracer/addrs.h"
#include "tracer/once.h"
#include "tracer/owner.h"
#include "tracer/remote.h"
#include "tracer/sandbox.h"
#include "tracer/stacks.h"

struct answer answer_error(int r)
{
	return (struct answer){ .kind = ANSWER_ERROR, .value = r, .fd = -1 };
}

struct answer answer_value(int64_t v)
{
	return (struct answer){ .kind = ANSWER_VALUE, .value = v, .fd = -1 };
}

struct answer answer_retry(const struct sockcall *sc, int late)
{
	return (struct answer){ .kind = ANSWER_PARK_RETRY,
		.value = late,
		.timeout_ms = sockcall_send_timeout_ms(sc),
		.fd = -1 };
}

static int option(int sock, int name, void *out, socklen_t len)
{
	return getsockopt(sock, SOL_SOCKET, name, out, &len) < 0 ? -errno : 0;
}

/* A host's socket gives EPERM here: its namespace is not ours to look at. */
static int netns_inode(int sock, uint64_t *ret)
{
	auto_close int netns = ioctl(sock, SIOCGSKNS);
	struct stat st;

	if (netns < 0 || fstat(netns, &st) < 0)
		return -errno;
	*ret = st.st_ino;
	return 0;
}

int sockcall_netns_id(int sock, uint64_t *ret)
{
	int r = option(sock, SO_NETNS_COOKIE, ret, sizeof(*ret));

	return r == -ENOPROTOOPT ? netns_inode(sock, ret) : r;
}

/*
 * A socket of another network namespace, which the sandbox was given as standard input or by a
 * process outside: an address would mean the host's network there, an abstract name the host's sockets.
 */
static bool is_foreign(const struct sandbox *s, int sock)
{
	uint64_t its;

	return sockcall_netns_id(sock, &its) < 0 || its != s->netns_id;
}

uint16_t sockcall_source(const struct sockcall *sc, struct netaddr *ret)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	uint16_t port = 0;

	if (getsockname(sc->sock, (struct sockaddr *)&ss, &len) < 0 ||
		netaddr_from_sockaddr((struct sockaddr *)&ss, len, ret, &port) < 0)
		return 0;
	return port;
}

uint16_t sockcall_port(const struct sockcall *sc)
{
	struct netaddr source;

	return sockcall_source(sc, &source);
}

static int look(const struct sandbox *s, struct sockcall *sc)
{
	int r = option(sc->sock, SO_DOMAIN, &sc->domain, sizeof(sc->domain));

	if (r == 0)
		r = option(sc->sock, SO_TYPE, &sc->type, sizeof(sc->type));
	if (r == 0)
		r = option(sc->sock, SO_PROTOCOL, &sc->protocol, sizeof(sc->protocol));
	if (r < 0)
		return r;
	sc->is_foreign = is_foreign(s, sc->sock);
	if (sc->domain == AF_INET || sc->domain == AF_INET6)
		sc->port = sockcall_port(sc);
	return 0;
}

static int duplicate(struct sandbox *s, const struct call *c)
{
	int fd;

	if (!c->is_cooperative)
		return owner_getfd(s->owners, (pid_t)c->req.pid, (int)c->req.data.args[0]);
	fd = fcntl(c->lent, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? -errno : fd;
}

int sockcall_try(struct sandbox *s, struct notifier *n, struct call *c, struct sockcall *ret)
{
	struct sockcall sc = { .tid = (pid_t)c->req.pid, .call = c, .notifier = n };
	int r;

	sc.sock = duplicate(s, c);
	r = sc.sock < 0 ? sc.sock : look(s, &sc);
	if (r == 0 && !notifier_is_valid(n, c))
		r = -ESRCH;
	if (r < 0) {
		cleanup_close(&sc.sock);
		sc.sock = -1;
	}
	*ret = sc;
	return r;
}

int sockcall_open(struct sandbox *s, struct notifier *n, struct call *c, struct sockcall *ret)
{
	int r = sockcall_try(s, n, c, ret);

	if (r < 0)
		sockcall_log_unreachable(s, ret, r);
	return r;
}

void sockcall_done(struct sockcall *sc)
{
	cleanup_close(&sc->sock);
}

int sockcall_read_addr(const struct sockcall *sc, uint64_t addr, uint64_t len,
	struct sockaddr_storage *ret, socklen_t *ret_len)
{
	int32_t n = (int32_t)len;
	int r;

	/* As move_addr_to_kernel() has it; what is shorter than a family no protocol takes. */
	if (n < (int32_t)sizeof(sa_family_t) || n > (int32_t)sizeof(*ret))
		return -EINVAL;
	memset(ret, 0, sizeof(*ret));
	if (sc->call && sc->call->is_cooperative) {
		memcpy(ret, &sc->call->to, (size_t)n);
		*ret_len = (socklen_t)n;
		return 0;
	}
	r = remote_read(sc->tid, addr, ret, (size_t)n);
	if (r < 0)
		return r == -ESRCH ? r : -EFAULT;
	*ret_len = (socklen_t)n;
	return 0;
}

bool sockcall_is_nonblocking(const struct sockcall *sc)
{
	int fl = fcntl(sc->sock, F_GETFL);

	return fl >= 0 && fl & O_NONBLOCK;
}

uint32_t sockcall_send_timeout_ms(const struct sockcall *sc)
{
	struct timeval tv = { 0 };

	if (option(sc->sock, SO_SNDTIMEO, &tv, sizeof(tv)) < 0)
		return 0;
	/* Less than a millisecond is one; more than a day is forever enough. */
	if (tv.tv_sec >= 86400)
		return 86400u * 1000;
	return (uint32_t)(tv.tv_sec * 1000 + (tv.tv_usec + 999) / 1000);
}

int sockcall_connect(const struct sockcall *sc, const struct sockaddr *sa, socklen_t len)
{
	int fl = fcntl(sc->sock, F_GETFL), r;

	if (fl < 0)
		return -errno;
	if (!(fl & O_NONBLOCK))
		(void)fcntl(sc->sock, F_SETFL, fl | O_NONBLOCK);
	r = connect(sc->sock, sa, len) < 0 ? -errno : 0;
	if (!(fl & O_NONBLOCK))
		(void)fcntl(sc->sock, F_SETFL, fl);
	return r;
}

bool sockcall_is_own(const struct netaddr *a)
{
	struct netaddr own;

	(void)netaddr_parse(a->family == AF_INET ? ADDRS_HOST4 : ADDRS_HOST6, &own);
	return netaddr_equal(a, &own);
}

static bool is_zero(const uint8_t *p, size_t n)
{
	while (n--)
		if (*p++)
			return false;
	return true;
}

/* 127/8, ::1, and the unspecified address, which the kernel takes for loopback. */
bool sockcall_is_loopback(const struct netaddr *a)
{
	if (a->family == AF_INET)
		return a->bytes[0] == 127 || is_zero(a->bytes, 4);
	return is_zero(a->bytes, 15) && a->bytes[15] <= 1;
}

bool sockcall_is_inside(const struct netaddr *a)
{
	return sockcall_is_loopback(a) || sockcall_is_own(a);
}

/* Not of sendmmsg(): messages before the refused one have gone. */
static bool has_stack(struct sandbox *s, const struct sockcall *sc, const char **ret)
{
	if (!sc->call || sc->call->req.data.nr == SYS_sendmmsg)
		return true;
	sc->call->wants_stack = !stacks_get(s->stacks, sc->notifier, sc->call, ret, &sc->call->wait);
	return !sc->call->wants_stack;
}

void sockcall_log_refused(struct sandbox *s, const struct sockcall *sc, enum event_adapter adapter,
	const char *protocol, const char *host, uint16_t port, const char *reason)
{
	const struct owner none = { 0 }, *who = &none;
	struct event e = { .level = EVENT_WARN,
		.adapter = adapter,
		.action = EVENT_DENY,
		.protocol = protocol,
		.host = host,
		.port = port,
		.reason = reason };

	if (!has_stack(s, sc, &e.stack))
		return;
	/* The refusal does not wait for a hash: the path alone is logged then. */
	if (owner_get(s->owners, sc->tid, &who) < 0)
		who = &none;
	e.binary = who->binary;
	e.pid = (uint32_t)who->pid;
	e.ancestors = who->ancestors;
	if (once_is_new(s->once, protocol, host, port, who->binary))
		sandbox_log(s, &e);
}

void sockcall_log_unreachable(struct sandbox *s, const struct sockcall *sc, int r)
{
	const char *why = NULL;

	if (r == -EPERM)
		why = "the process cannot be looked into";
	else if (r == -EOPNOTSUPP)
		why = "the descriptor table is the thread's own: before Linux 6.9 only that of its process is in reach";
	if (why)
		sockcall_log_refused(s, sc, EVENT_SOCKET, r == -EPERM ? "fd" : "fdtable", NULL, 0, why);
	sockcall_log_shortage(s, sc->tid, r, NULL, 0);
}

void sockcall_log_shortage(struct sandbox *s, pid_t tid, int r, const char *host, uint16_t port)
{
	const bool is_memory = r == -ENOMEM || r == -ENOBUFS || r == -EAGAIN;
	const bool is_binaries = r == -EUSERS; /* owner.h */
	const struct event e = { .level = EVENT_WARN,
		.adapter = EVENT_SOCKET,
		.action = EVENT_DENY,
		.protocol = "tcp",
		.host = host,
		.port = port,
		.pid = (uint32_t)owner_known_pid(s->owners, tid),
		.reason = is_memory	? "the supervisor is out of memory or threads"
			  : is_binaries ? "more different executables than are remembered have asked; "
					  "another start of the sandbox forgets them"
					: "the supervisor is out of file descriptors" };

	if (is_memory || is_binaries || r == -EMFILE || r == -ENFILE)
		sandbox_log(s, &e);
}
