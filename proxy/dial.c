#include "proxy/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "proxy/limits.h"
#include "proxy/peerfd.h"

struct attempt {
	struct watch w;
	struct dial *dial;
	struct netaddr addr;
	TAILQ_ENTRY(attempt) link;
};

struct dial {
	struct loop *loop;
	struct netaddr addrs[RESOLVED_ADDRS_MAX];
	size_t n, next;
	uint16_t port;
	TAILQ_HEAD(, attempt) attempts;
	struct timer stagger, deadline;
	int error; /* of the last attempt that failed */
	dial_fn *fn;
	void *arg;
};

static unsigned int n_dials;

static void attempt_destroy(struct watch *w)
{
	struct attempt *a = container_of(w, struct attempt, w);

	cleanup_close(&w->fd);
	free(a);
}

static void attempt_drop(struct dial *d, struct attempt *a)
{
	TAILQ_REMOVE(&d->attempts, a, link);
	watch_bury(d->loop, &a->w);
}

void dial_cancel(struct dial *d)
{
	if (!d)
		return;
	while (!TAILQ_EMPTY(&d->attempts))
		attempt_drop(d, TAILQ_FIRST(&d->attempts));
	timer_clear(d->loop, &d->stagger);
	timer_clear(d->loop, &d->deadline);
	n_dials--;
	free(d);
}

static void finish(struct dial *d, int fd, const struct netaddr *addr)
{
	dial_fn *fn = d->fn;
	void *arg = d->arg;
	struct netaddr copy = *addr;

	dial_cancel(d);
	fn(arg, fd, &copy);
}

static void try_next(struct dial *d);

static void attempt_failed(struct dial *d, struct attempt *a, int error)
{
	d->error = error;
	attempt_drop(d, a);
	if (d->next < d->n)
		try_next(d);
	else if (TAILQ_EMPTY(&d->attempts))
		finish(d, d->error, &d->addrs[d->n - 1]);
}

static void on_writable(struct loop *loop, struct watch *w, uint32_t events)
{
	struct attempt *a = container_of(w, struct attempt, w);
	struct dial *d = a->dial;
	socklen_t len = sizeof(int);
	int error = 0;

	(void)events;
	if (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error) {
		attempt_failed(d, a, -error);
		return;
	}
	(void)watch_set(loop, w, 0);
	finish(d, take_fd(w->fd), &a->addr);
}

static int attempt_connect(struct dial *d, struct attempt *a)
{
	struct sockaddr_storage ss;
	socklen_t len = netaddr_to_sockaddr(&a->addr, d->port, &ss);
	static const int on = 1;
	int fd;

	fd = peerfd_socket(ss.ss_family);
	if (fd < 0)
		return fd;
	watch_init(&a->w, fd, on_writable, attempt_destroy);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, (struct sockaddr *)&ss, len) < 0 && errno != EINPROGRESS)
		return -errno;
	return watch_set(d->loop, &a->w, EPOLLOUT);
}

/* Starts the next address that can be started at all; failures leave d->error. */
static void try_next(struct dial *d)
{
	while (d->next < d->n) {
		struct attempt *a = calloc(1, sizeof(*a));
		int r;

		if (!a) {
			d->error = -ENOMEM;
			break;
		}
		a->dial = d;
		a->addr = d->addrs[d->next++];
		watch_init(&a->w, -1, on_writable, attempt_destroy);
		TAILQ_INSERT_TAIL(&d->attempts, a, link);
		r = attempt_connect(d, a);
		if (r == 0)
			break;
		d->error = r;
		attempt_drop(d, a);
	}
	if (d->next < d->n)
		(void)timer_set(d->loop, &d->stagger, DIAL_STAGGER_MS);
	else if (TAILQ_EMPTY(&d->attempts))
		(void)timer_set(d->loop, &d->deadline, 0);
}

static void on_stagger(struct loop *loop, struct timer *t)
{
	(void)loop;
	try_next(container_of(t, struct dial, stagger));
}

static void on_deadline(struct loop *loop, struct timer *t)
{
	struct dial *d = container_of(t, struct dial, deadline);

	(void)loop;
	finish(d, TAILQ_EMPTY(&d->attempts) && d->error ? d->error : -ETIMEDOUT, &d->addrs[d->n - 1]);
}

/* The first address's family first, then in turns. */
static void interleave(struct dial *d, const struct netaddr *addrs, size_t n)
{
	uint16_t first = addrs[0].family;
	size_t a = 0, b = 0;

	while (d->n < n) {
		while (a < n && addrs[a].family != first)
			a++;
		if (a < n)
			d->addrs[d->n++] = addrs[a++];
		while (b < n && addrs[b].family == first)
			b++;
		if (b < n && d->n < n)
			d->addrs[d->n++] = addrs[b++];
	}
}

int dial_start(struct loop *loop, const struct netaddr *addrs, size_t n, uint16_t port, dial_fn *fn,
	void *arg, struct dial **ret)
{
	struct dial *d;

	if (n == 0)
		return -EADDRNOTAVAIL;
	if (n_dials >= DIALS_MAX)
		return -EBUSY;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	n_dials++;
	d->loop = loop;
	d->port = port;
	d->fn = fn;
	d->arg = arg;
	TAILQ_INIT(&d->attempts);
	d->stagger.on_time = on_stagger;
	d->deadline.on_time = on_deadline;
	interleave(d, addrs, n < RESOLVED_ADDRS_MAX ? n : RESOLVED_ADDRS_MAX);
	if (timer_set(loop, &d->deadline, DIAL_MS) < 0) {
		dial_cancel(d);
		return -ENOMEM;
	}
	try_next(d);
	*ret = d;
	return 0;
}
