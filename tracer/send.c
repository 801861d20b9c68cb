/*
 * sendto() with an address, sendmsg(), sendmmsg(): what a message asks of the network.
 *
 * A message is copied whole (address, bytes, control messages with their descriptors) and sent from
 * here, on the duplicate of the socket, to the copy of the address. Within the sandbox's own
 * addresses everything goes; UDP to anywhere else is refused at once, so that clients with a
 * fallback (QUIC) take it. Over netlink only questions pass. A path of AF_UNIX is judged by its inode.
 *
 * sendmsg() and sendmmsg() carry an address behind a pointer, so the filter cannot tell those that
 * have one, and every one of them is notified. Copying all of them would be slow and would change
 * what blocking means. But nothing outside the network namespace can be reached by them except over
 * a datagram socket of AF_UNIX, and those are rare and announce themselves; until there is one
 * (dgramgate.h), a sendmsg() simply goes on, whatever it is. UDP is carried out here even then, so
 * that what it asked for is in the log; should the descriptor be another one when a call goes on,
 * the network namespace refuses it all the same.
 *
 * Measured on two cores of a busy virtual machine: a notified call that goes on costs about 10 us
 * more (sendmsg of 64 bytes: 1.4 us without).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/netaddr.h"
#include "tracer/dgramgate.h"
#include "tracer/names.h"
#include "tracer/owner.h"
#include "tracer/remote.h"
#include "tracer/sandbox.h"
#include "tracer/sendparse.h"
#include "tracer/sockcall.h"

enum {
	PAYLOAD_MAX = 256 * 1024, /* of a datagram; of a stream what is copied at a time */
	CONTROL_MAX = 8192,
	PASSED_FDS_MAX = 253, /* SCM_MAX_FD */
	IOV_MAX_ = 1024,      /* UIO_MAXIOV */
	MESSAGES_MAX = 1024,  /* of one sendmmsg() */
};

struct outgoing {
	int flags;
	struct sockaddr_storage to;
	socklen_t to_len; /* 0: no address */
	void *data;	  /* owned */
	size_t len;	  /* of it */
	size_t total;	  /* the whole message; more than len for a stream */
	char *control;	  /* owned */
	size_t control_len;
	int fds[PASSED_FDS_MAX]; /* owned: duplicates of what is passed */
	size_t n_fds;
};

static void outgoing_done(struct outgoing *o)
{
	for (size_t i = 0; i < o->n_fds; i++)
		(void)close(o->fds[i]);
	free(o->data);
	free(o->control);
}

#define auto_outgoing __attribute__((cleanup(outgoing_done)))

static struct answer go_on(void)
{
	return (struct answer){ .kind = ANSWER_CONTINUE, .fd = -1 };
}

/* A stream takes what fits; a datagram is whole or not at all. */
static bool is_stream(const struct sockcall *sc)
{
	return sc->type == SOCK_STREAM;
}

/* Copies. */

static int copy_bytes(const struct sockcall *sc, struct outgoing *o, const struct iovec *iov,
	size_t n_iov, size_t skip)
{
	char *out;

	o->len = o->total - skip;
	if (o->len > PAYLOAD_MAX) {
		if (!is_stream(sc))
			return -EMSGSIZE;
		o->len = PAYLOAD_MAX;
	}
	out = o->data = malloc(o->len ? o->len : 1);
	if (!out)
		return -ENOMEM;
	for (size_t i = 0, left = o->len; i < n_iov && left; i++) {
		size_t from = skip < iov[i].iov_len ? skip : iov[i].iov_len;
		size_t n = iov[i].iov_len - from;

		skip -= from;
		n = n < left ? n : left;
		if (remote_read(sc->tid, (uintptr_t)iov[i].iov_base + from, out, n) < 0)
			return -EFAULT;
		out += n;
		left -= n;
	}
	return 0;
}

static int copy_iov(const struct sockcall *sc, const struct msghdr *mh, struct outgoing *o, size_t skip)
{
	auto_free struct iovec *iov = NULL;

	if (mh->msg_iovlen > IOV_MAX_)
		return -EMSGSIZE;
	iov = calloc(mh->msg_iovlen + 1, sizeof(*iov));
	if (!iov)
		return -ENOMEM;
	if (remote_read(sc->tid, (uintptr_t)mh->msg_iov, iov, mh->msg_iovlen * sizeof(*iov)) < 0)
		return -EFAULT;
	for (size_t i = 0; i < mh->msg_iovlen; i++) {
		if (iov[i].iov_len > SSIZE_MAX - o->total)
			return -EINVAL;
		o->total += iov[i].iov_len;
	}
	return skip > o->total ? -EFAULT : copy_bytes(sc, o, iov, mh->msg_iovlen, skip);
}

/* The caller's descriptors in a control message become ours. */
static int take_fds(struct sandbox *s, const struct sockcall *sc, struct outgoing *o,
	struct cmsghdr *cm)
{
	size_t n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	int *v = (int *)CMSG_DATA(cm);

	if (o->n_fds + n > PASSED_FDS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		int fd = owner_getfd(s->owners, sc->tid, v[i]);

		if (fd < 0) {
			sockcall_log_unreachable(s, sc, fd);
			return fd;
		}
		o->fds[o->n_fds++] = fd;
		v[i] = fd;
	}
	return 0;
}

/*
 * Who sends, in a message that says so itself (GDBus, systemd): whatever it says, the truth goes out.
 * User and group are the caller's; our process has no number in the sandbox, so the receiver sees 0.
 */
static int name_us(struct cmsghdr *cm)
{
	const struct ucred us = { .pid = getpid(), .uid = getuid(), .gid = getgid() };

	if (cm->cmsg_len != CMSG_LEN(sizeof(us)))
		return -EINVAL;
	memcpy(CMSG_DATA(cm), &us, sizeof(us));
	return 0;
}

/* What may stand beside a message: what needs no credentials, or is made ours. */
static bool is_plain_control(const struct cmsghdr *cm)
{
	static const struct {
		int level, type;
	} plain[] = {
		{ SOL_SOCKET, SCM_RIGHTS },
		{ SOL_SOCKET, SCM_CREDENTIALS },
		{ IPPROTO_IP, IP_PKTINFO },
		{ IPPROTO_IP, IP_TTL },
		{ IPPROTO_IP, IP_TOS },
		{ IPPROTO_IPV6, IPV6_PKTINFO },
		{ IPPROTO_IPV6, IPV6_HOPLIMIT },
		{ IPPROTO_IPV6, IPV6_TCLASS },
		{ IPPROTO_UDP, UDP_SEGMENT },
	};

	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		if (cm->cmsg_level == plain[i].level && cm->cmsg_type == plain[i].type)
			return true;
	return false;
}

static int copy_control(struct sandbox *s, const struct sockcall *sc, const struct msghdr *mh,
	struct outgoing *o)
{
	struct cmsghdr *cm;
	size_t at = 0;
	int r;

	if (!mh->msg_controllen)
		return 0;
	if (mh->msg_controllen > CONTROL_MAX)
		return -ENOBUFS;
	o->control = malloc(mh->msg_controllen);
	if (!o->control)
		return -ENOMEM;
	if (remote_read(sc->tid, (uintptr_t)mh->msg_control, o->control, mh->msg_controllen) < 0)
		return -EFAULT;
	o->control_len = mh->msg_controllen;
	while ((r = sendparse_control(o->control, o->control_len, &at, &cm)) > 0) {
		if (!is_plain_control(cm))
			return -EINVAL;
		if (cm->cmsg_level == SOL_SOCKET)
			r = cm->cmsg_type == SCM_RIGHTS ? take_fds(s, sc, o, cm) : name_us(cm);
		if (r < 0)
			return r;
	}
	return r;
}

/* What was read by number is the caller's only if the caller still waits. */
static int copied(struct notifier *n, const struct call *c, int r)
{
	return notifier_is_valid(n, c) ? r : -ESRCH;
}

/* @skip bytes of a stream's message have gone already, and with them what stood beside. */
static int copy_message(struct sandbox *s, const struct sockcall *sc, const struct msghdr *mh,
	int flags, size_t skip, struct outgoing *o)
{
	int32_t name_len = (int32_t)mh->msg_namelen;
	int r;

	o->flags = flags;
	if (name_len < 0)
		return -EINVAL;
	if (mh->msg_name && name_len) {
		/* As the kernel does it: what is too long for any address is cut. */
		if (name_len > (int32_t)sizeof(o->to))
			name_len = sizeof(o->to);
		r = sockcall_read_addr(sc, (uintptr_t)mh->msg_name, (uint64_t)name_len, &o->to,
			&o->to_len);
		if (r < 0)
			return r;
	}
	r = copy_iov(sc, mh, o, skip);
	return r == 0 && skip == 0 ? copy_control(s, sc, mh, o) : r;
}

/* Sending. */

/* The caller's own SIGPIPE: ours is never raised. */
static void raise_pipe(const struct sockcall *sc, const struct outgoing *o)
{
	if (is_stream(sc) && !(o->flags & MSG_NOSIGNAL))
		(void)kill(sc->tid, SIGPIPE);
}

/* Bytes, or -errno; never waits. MSG_ZEROCOPY would keep our pages: ENOBUFS says "not now". */
static ssize_t transmit(const struct sockcall *sc, const struct outgoing *o,
	const struct sockaddr *sa, socklen_t len)
{
	struct iovec iov = { .iov_base = o->data, .iov_len = o->len };
	const struct msghdr mh = { .msg_name = (void *)sa,
		.msg_namelen = sa ? len : 0,
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = o->control,
		.msg_controllen = o->control_len };
	ssize_t n;

	if (o->flags & MSG_ZEROCOPY)
		return -ENOBUFS;
	n = sendmsg(sc->sock, &mh, o->flags | MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno == EPIPE)
		raise_pipe(sc, o);
	return n < 0 ? -errno : n;
}

static ssize_t send_udp(struct sandbox *s, const struct sockcall *sc, const struct outgoing *o)
{
	char text[NETADDR_TEXT_MAX];
	const struct sockaddr *sa = (const struct sockaddr *)&o->to;
	struct netaddr a;
	const char *name;
	uint16_t port;

	if (!o->to_len || netaddr_from_sockaddr(sa, o->to_len, &a, &port) < 0 || sockcall_is_inside(&a))
		return transmit(sc, o, o->to_len ? sa : NULL, o->to_len);
	name = names_lookup(s->names, &a);
	sockcall_log_refused(s, sc, EVENT_SOCKET, "udp",
		name ? name : netaddr_format(&a, text, sizeof(text)), port,
		"UDP does not leave the sandbox");
	return -ECONNREFUSED;
}

static ssize_t send_netlink(struct sandbox *s, const struct sockcall *sc, const struct outgoing *o)
{
	if (sendparse_is_question(o->data, o->len))
		return transmit(sc, o, o->to_len ? (const struct sockaddr *)&o->to : NULL, o->to_len);
	sockcall_log_refused(s, sc, EVENT_SOCKET, "netlink", NULL, 0,
		"netlink is for questions about addresses and routes only");
	return -EPERM;
}

static ssize_t send_unix(struct sandbox *s, struct notifier *n, const struct sockcall *sc,
	struct call *c, const struct outgoing *o)
{
	struct sockaddr_storage there;
	auto_close int held = -1;
	socklen_t there_len;
	int r;

	if (!o->to_len)
		return transmit(sc, o, NULL, 0);
	r = unixsock_resolve(s, n, sc, c, &o->to, o->to_len, &there, &there_len, &held);
	return r < 0 ? r : transmit(sc, o, (struct sockaddr *)&there, there_len);
}

static ssize_t send_one(struct sandbox *s, struct notifier *n, const struct sockcall *sc,
	struct call *c, const struct outgoing *o)
{
	if (o->flags & MSG_FASTOPEN)
		return -EOPNOTSUPP;
	if (sc->is_foreign && o->to_len)
		return -EACCES;
	if (sc->domain == AF_UNIX)
		return send_unix(s, n, sc, c, o);
	/* The kernel ignores the address of a connected stream. */
	if (is_stream(sc))
		return transmit(sc, o, NULL, 0);
	if (sc->domain == AF_NETLINK)
		return send_netlink(s, sc, o);
	if (sc->domain == AF_INET || sc->domain == AF_INET6)
		return send_udp(s, sc, o);
	return -EOPNOTSUPP;
}

static bool may_wait(const struct sockcall *sc, int flags)
{
	return !(flags & MSG_DONTWAIT) && !sockcall_is_nonblocking(sc);
}

/* sendto() */

static int copy_sendto(const struct sockcall *sc, const struct call *c, struct outgoing *o)
{
	const __u64 *args = c->req.data.args;
	const struct iovec iov = { .iov_base = (void *)(uintptr_t)args[1], .iov_len = args[2] };
	int r = sockcall_read_addr(sc, args[4], args[5], &o->to, &o->to_len);

	o->flags = (int)args[3];
	o->total = iov.iov_len;
	if (r == 0 && is_stream(sc) && sc->domain != AF_UNIX)
		o->to_len = 0;
	return r < 0 ? r : copy_bytes(sc, o, &iov, 1, 0);
}

struct answer sendto_handle(struct sandbox *s, struct notifier *n, struct call *c)
{
	__attribute__((cleanup(sockcall_done))) struct sockcall sc = { .sock = -1 };
	auto_outgoing struct outgoing o = { 0 };
	int r = sockcall_open(s, n, c, &sc);
	ssize_t sent;

	if (r == 0)
		r = copied(n, c, copy_sendto(&sc, c, &o));
	if (r < 0)
		return answer_error(r);
	sent = send_one(s, n, &sc, c, &o);
	if (sent == -EAGAIN && may_wait(&sc, o.flags))
		return answer_retry(&sc, -EAGAIN);
	return sent < 0 ? answer_error((int)sent) : answer_value(sent);
}

/* sendmsg() and sendmmsg() */

/* The rest of a stream's message follows when there is room. */
static struct answer wait_for_room(const struct sockcall *sc, struct call *c)
{
	return (struct answer){ .kind = ANSWER_PARK_WRITE,
		.value = c->n_sent ? (int64_t)c->n_sent : -EAGAIN,
		.timeout_ms = sockcall_send_timeout_ms(sc),
		.fd = c->held >= 0 ? -1 : fcntl(sc->sock, F_DUPFD_CLOEXEC, 3) };
}

static struct answer send_message(struct sandbox *s, struct notifier *n, const struct sockcall *sc,
	struct call *c)
{
	const int flags = (int)c->req.data.args[2];
	struct msghdr mh;

	if (remote_read(sc->tid, c->req.data.args[1], &mh, sizeof(mh)) < 0)
		return answer_error(-EFAULT);
	for (;;) {
		auto_outgoing struct outgoing o = { 0 };
		ssize_t sent = copied(n, c, copy_message(s, sc, &mh, flags, c->n_sent, &o));

		if (sent == 0)
			sent = send_one(s, n, sc, c, &o);
		if (sent == -EAGAIN && may_wait(sc, flags))
			return is_stream(sc) ? wait_for_room(sc, c) : answer_retry(sc, -EAGAIN);
		if (sent < 0)
			return c->n_sent ? answer_value((int64_t)c->n_sent) : answer_error((int)sent);
		c->n_sent += (size_t)sent;
		if (c->n_sent >= o.total || !is_stream(sc) || !may_wait(sc, flags))
			return answer_value((int64_t)c->n_sent);
	}
}

/* How many went; or the error of the first. What it could wait for is what the first can. */
static struct answer send_messages(struct sandbox *s, struct notifier *n, const struct sockcall *sc,
	struct call *c)
{
	const __u64 *args = c->req.data.args;
	const uint32_t count = (uint32_t)args[2] < MESSAGES_MAX ? (uint32_t)args[2] : MESSAGES_MAX;
	ssize_t sent = 0;
	uint32_t done;

	for (done = 0; done < count; done++) {
		const uint64_t at = args[1] + done * sizeof(struct mmsghdr);
		auto_outgoing struct outgoing o = { 0 };
		struct mmsghdr m;

		sent = remote_read(sc->tid, at, &m, sizeof(m)) < 0 ? -EFAULT : 0;
		if (sent == 0)
			sent = copied(n, c, copy_message(s, sc, &m.msg_hdr, (int)args[3], 0, &o));
		if (sent == 0)
			sent = send_one(s, n, sc, c, &o);
		m.msg_len = (unsigned int)sent;
		if (sent < 0 || remote_write(sc->tid, at + offsetof(struct mmsghdr, msg_len),
					&m.msg_len, sizeof(m.msg_len)) < 0)
			break;
	}
	if (done || sent >= 0)
		return answer_value(done);
	if (sent == -EAGAIN && may_wait(sc, (int)args[3]))
		return answer_retry(sc, -EAGAIN);
	return answer_error((int)sent);
}

static bool is_udp(const struct sockcall *sc)
{
	return (sc->domain == AF_INET || sc->domain == AF_INET6) && sc->type == SOCK_DGRAM;
}

static struct answer send_all(struct sandbox *s, struct notifier *n, const struct sockcall *sc,
	struct call *c)
{
	return c->req.data.nr == SYS_sendmmsg ? send_messages(s, n, sc, c) :
						send_message(s, n, sc, c);
}

/* A stream that was parked has room again: the socket is the one of then. */
static struct answer resume(struct sandbox *s, struct notifier *n, struct call *c)
{
	const struct sockcall sc = { .tid = (pid_t)c->req.pid, .sock = c->held, .type = SOCK_STREAM };

	return send_message(s, n, &sc, c);
}

struct answer sendmsg_handle(struct sandbox *s, struct notifier *n, struct call *c)
{
	__attribute__((cleanup(sockcall_done))) struct sockcall sc = { .sock = -1 };
	int r;

	/* Pid 1 runs our code alone: it speaks to us. */
	if ((pid_t)c->req.pid == s->init.pid)
		return go_on();
	if (c->held >= 0)
		return resume(s, n, c);
	r = sockcall_try(s, n, c, &sc);
	if (!dgramgate_is_open(s->gate) && (r < 0 || !is_udp(&sc)) &&
		dgramgate_passed(s->gate, (pid_t)c->req.pid))
		return go_on();
	if (r == 0)
		return send_all(s, n, &sc, c);
	sockcall_log_unreachable(s, &sc, r);
	return answer_error(r);
}
