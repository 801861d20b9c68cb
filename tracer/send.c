/*
 * sendto() with an address: what a datagram asks of the network.
 *
 * The payload is copied and sent from here, on the duplicate, to the copy of the address. Within
 * the sandbox's own addresses everything goes; UDP to anywhere else is refused at once, so that
 * clients with a fallback (QUIC) take it. Over netlink only questions pass. The kernel's other way
 * to send to an address, sendmsg(), finds the same walls: the network namespace has no route out.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/netaddr.h"
#include "tracer/names.h"
#include "tracer/remote.h"
#include "tracer/sandbox.h"
#include "tracer/sockcall.h"

struct datagram {
	void *data; /* owned */
	size_t len;
	int flags;
};

static int copy_payload(const struct sockcall *sc, const struct call *c, struct datagram *d)
{
	size_t len = c->req.data.args[2];

	if (len > NOTIFY_PAYLOAD_MAX) {
		/* A stream takes what fits; a datagram is whole or not at all. */
		if (sc->type != SOCK_STREAM)
			return -EMSGSIZE;
		len = NOTIFY_PAYLOAD_MAX;
	}
	d->data = malloc(len ? len : 1);
	if (!d->data)
		return -ENOMEM;
	d->len = len;
	d->flags = (int)c->req.data.args[3];
	return remote_read(sc->tid, c->req.data.args[1], d->data, len) < 0 ? -EFAULT : 0;
}

static struct answer send_now(const struct sockcall *sc, const struct datagram *d,
	const struct sockaddr *sa, socklen_t len)
{
	ssize_t n = sendto(sc->sock, d->data, d->len, d->flags | MSG_DONTWAIT | MSG_NOSIGNAL, sa,
		len);

	if (n >= 0)
		return answer_value(n);
	if (errno == EAGAIN && !(d->flags & MSG_DONTWAIT) && !sockcall_is_nonblocking(sc))
		return answer_retry(sc, -EAGAIN);
	return answer_error(-errno);
}

static struct answer send_udp(struct sandbox *s, const struct sockcall *sc,
	const struct datagram *d, const struct sockaddr *sa, socklen_t len)
{
	char text[NETADDR_TEXT_MAX];
	struct netaddr a;
	const char *name;
	uint16_t port;

	if (netaddr_from_sockaddr(sa, len, &a, &port) < 0 || sockcall_is_inside(&a))
		return send_now(sc, d, sa, len);
	name = names_lookup(s->names, &a);
	sockcall_log_refused(s, sc, EVENT_SOCKET, "udp",
		name ? name : netaddr_format(&a, text, sizeof(text)), port,
		"UDP does not leave the sandbox");
	return answer_error(-ECONNREFUSED);
}

/* The types of rtnetlink come in fours: NEW, DEL, GET, SET. */
static bool is_question(const struct datagram *d)
{
	const struct nlmsghdr *h = d->data;
	size_t left = d->len;

	if (!NLMSG_OK(h, left))
		return false;
	for (; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left))
		if (h->nlmsg_type >= RTM_BASE && (h->nlmsg_type - RTM_BASE) % 4 != 2)
			return false;
	return true;
}

static struct answer send_netlink(struct sandbox *s, const struct sockcall *sc,
	const struct datagram *d, const struct sockaddr *sa, socklen_t len)
{
	if (is_question(d))
		return send_now(sc, d, sa, len);
	sockcall_log_refused(s, sc, EVENT_SOCKET, "netlink", NULL, 0,
		"netlink is for questions about addresses and routes only");
	return answer_error(-EPERM);
}

static struct answer send_unix(struct sandbox *s, struct notifier *n, const struct sockcall *sc,
	struct call *c, const struct datagram *d, const struct sockaddr_storage *ss, socklen_t len)
{
	struct sockaddr_storage there;
	auto_close int held = -1;
	socklen_t there_len;
	int r = unixsock_resolve(s, n, sc, c, ss, len, &there, &there_len, &held);

	return r < 0 ? answer_error(r) :
		       send_now(sc, d, (struct sockaddr *)&there, there_len);
}

/* The kernel ignores the address of a connected stream, and TCP fast open would connect by it. */
static struct answer send_stream(const struct sockcall *sc, const struct datagram *d)
{
	if (d->flags & MSG_FASTOPEN)
		return answer_error(-EOPNOTSUPP);
	return send_now(sc, d, NULL, 0);
}

struct answer sendto_handle(struct sandbox *s, struct notifier *n, struct call *c)
{
	__attribute__((cleanup(sockcall_done))) struct sockcall sc = { .sock = -1 };
	struct datagram d = { 0 };
	auto_free void *data = NULL;
	struct sockaddr_storage ss;
	socklen_t len = 0;
	int r = sockcall_open(s, n, c, &sc);

	if (r == 0)
		r = sockcall_read_addr(&sc, c->req.data.args[4], c->req.data.args[5], &ss, &len);
	if (r == 0)
		r = copy_payload(&sc, c, &d);
	data = d.data;
	if (r < 0)
		return answer_error(r);
	if (sc.domain == AF_UNIX)
		return send_unix(s, n, &sc, c, &d, &ss, len);
	if (sc.type == SOCK_STREAM)
		return send_stream(&sc, &d);
	if (sc.domain == AF_NETLINK)
		return send_netlink(s, &sc, &d, (struct sockaddr *)&ss, len);
	return send_udp(s, &sc, &d, (struct sockaddr *)&ss, len);
}
