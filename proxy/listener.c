#include "proxy/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "lib/cleanup.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "proxy/conn.h"
#include "proxy/peerfd.h"

enum { FAMILIES = 2, ACCEPT_BURST = 64, BUCKETS = 256 };

/* A registration that waits for its connection. */
struct waiting {
	LIST_ENTRY(waiting) link;
	TAILQ_ENTRY(waiting) age;
	uint64_t until_ms;
	struct msg_in msg; /* what the strings of .tuple point into */
	struct tuple tuple;
};

struct port {
	struct watch w;
	struct listener *l;
};

struct listener {
	struct proxy *px;
	struct port ports[FAMILIES];
	unsigned int n_ports;
	LIST_HEAD(, waiting) waiting[BUCKETS];
	TAILQ_HEAD(, waiting) ages; /* the oldest first */
	unsigned int n_waiting;
	struct timer expiry;
	struct timer recovery; /* armed while nothing can be accepted */
};

static void waiting_free(struct listener *l, struct waiting *w)
{
	LIST_REMOVE(w, link);
	TAILQ_REMOVE(&l->ages, w, age);
	l->n_waiting--;
	free(w->tuple.ancestors);
	msg_in_free(&w->msg);
	free(w);
}

static struct waiting *waiting_find(struct listener *l, const struct netaddr *source, uint32_t port)
{
	struct waiting *w;

	LIST_FOREACH(w, &l->waiting[port % BUCKETS], link)
		if (w->tuple.source_port == port && netaddr_equal(&w->tuple.source, source))
			break;
	return w;
}

static void on_expiry(struct loop *loop, struct timer *t)
{
	struct listener *l = container_of(t, struct listener, expiry);
	struct waiting *w;

	while ((w = TAILQ_FIRST(&l->ages)) && w->until_ms <= loop_now_ms(loop))
		waiting_free(l, w);
	if (w)
		(void)timer_set(loop, &l->expiry, w->until_ms - loop_now_ms(loop));
}

static void on_recovered(struct loop *loop, struct timer *t)
{
	struct listener *l = container_of(t, struct listener, recovery);

	for (unsigned int i = 0; i < l->n_ports; i++)
		(void)watch_set(loop, &l->ports[i].w, EPOLLIN);
}

struct listener *listener_new(struct proxy *px)
{
	struct listener *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->px = px;
	TAILQ_INIT(&l->ages);
	l->expiry.on_time = on_expiry;
	l->recovery.on_time = on_recovered;
	return l;
}

static void refuse_one(struct listener *l, int fd, const char *reason)
{
	const struct event e = { .level = EVENT_WARN,
		.adapter = EVENT_TCP,
		.action = EVENT_DENY,
		.reason = reason };

	log_event(l->px->log, &e);
	peerfd_end_by_reset(fd);
	cleanup_close(&fd);
}

static void welcome(struct listener *l, int fd, const struct sockaddr_storage *from, socklen_t len)
{
	struct netaddr source = { .family = 0 };
	struct waiting *w;
	uint16_t port = 0;
	struct conn *c;

	if (l->px->n_conns >= CONNS_MAX) {
		refuse_one(l, fd, "too many connections");
		return;
	}
	if (netaddr_from_sockaddr((const struct sockaddr *)from, len, &source, &port) < 0 ||
		conn_new(l->px, fd, &c) < 0) {
		refuse_one(l, fd, "out of memory");
		return;
	}
	w = waiting_find(l, &source, port);
	if (!w) {
		conn_await_tuple(c, &source, port);
		return;
	}
	conn_start(c, &w->tuple);
	waiting_free(l, w);
}

/* No descriptor or memory is left: the kernel would report the same connection again and again. */
static void pause_accepting(struct listener *l)
{
	const struct event e = { .level = EVENT_WARN,
		.adapter = EVENT_TCP,
		.action = EVENT_DENY,
		.reason = "out of descriptors: new connections are reset or wait" };

	log_event(l->px->log, &e);
	if (timer_set(l->px->loop, &l->recovery, ACCEPT_PAUSE_MS) < 0)
		return;
	for (unsigned int i = 0; i < l->n_ports; i++)
		(void)watch_set(l->px->loop, &l->ports[i].w, 0);
}

static void on_acceptable(struct loop *loop, struct watch *w, uint32_t events)
{
	struct listener *l = container_of(w, struct port, w)->l;

	(void)loop;
	(void)events;
	for (int i = 0; i < ACCEPT_BURST; i++) {
		struct sockaddr_storage from;
		socklen_t len;
		int fd = peerfd_accept(w->fd, &from, &len);

		if (fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM)
			pause_accepting(l);
		if (fd < 0)
			break;
		welcome(l, fd, &from, len);
	}
}

/*
 * What accept(2) returns inherits both. The way to the workload is loopback: it loses nothing, so
 * the host's default may only slow it down. BBR does; it paces what it sends with a timer.
 */
static void tune(int fd)
{
	static const char plain[] = "reno";
	static const int on = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, plain, sizeof(plain) - 1);
}

int listener_add(struct listener *l, int fd)
{
	struct port *p;
	int r;

	if (l->n_ports == FAMILIES)
		return -EPROTO;
	r = fd_set_nonblock(fd, true);
	if (r < 0)
		return r;
	tune(fd);
	p = &l->ports[l->n_ports++];
	p->l = l;
	watch_init(&p->w, fd, on_acceptable, NULL);
	return watch_set(l->px->loop, &p->w, EPOLLIN);
}

/*
 * The connection that was accepted before its registration came. Of two from one source the first has
 * ended, and its registration comes first: the one that came first is meant.
 */
static struct conn *conn_find(struct listener *l, const struct tuple *t)
{
	struct conn *c;

	TAILQ_FOREACH(c, &l->px->tupleless, tuple)
		if (c->source_port == t->source_port && netaddr_equal(&c->source, &t->source))
			return c;
	return NULL;
}

static int keep(struct listener *l, struct msg_in *m, const struct tuple *t)
{
	struct waiting *w = waiting_find(l, &t->source, t->source_port);

	/* The port was used again: what waited for the old connection is void. */
	if (w)
		waiting_free(l, w);
	if (l->n_waiting >= TUPLES_MAX)
		waiting_free(l, TAILQ_FIRST(&l->ages));
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->tuple = *t;
	w->msg = *m;
	*m = (struct msg_in){ 0 };
	w->until_ms = loop_now_ms(l->px->loop) + TUPLE_WAIT_MS;
	LIST_INSERT_HEAD(&l->waiting[t->source_port % BUCKETS], w, link);
	TAILQ_INSERT_TAIL(&l->ages, w, age);
	if (l->n_waiting++ == 0)
		return timer_set(l->px->loop, &l->expiry, TUPLE_WAIT_MS);
	return 0;
}

int listener_on_tuple(struct listener *l, struct msg_in *m)
{
	struct tuple t;
	struct conn *c;
	int r;

	if (!tuple_get(m, &t))
		return -EPROTO;
	c = conn_find(l, &t);
	if (c) {
		conn_start(c, &t);
		free(t.ancestors);
		return 0;
	}
	r = keep(l, m, &t);
	if (r < 0)
		free(t.ancestors);
	return r;
}
