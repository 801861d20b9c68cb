#include "tracer/notify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/queue.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/kernel.h"
#include "tracer/sandbox.h"

enum { RETRY_MS = 2, VALID_CHECK_MS = 1000 };

enum parked_for { FOR_HASH = 0, FOR_WRITE, FOR_RETRY };

struct parked {
	struct notifier *notifier;
	enum parked_for why;
	struct call call;
	struct watch watch; /* FOR_WRITE: a duplicate of the caller's socket */
	struct timer timer; /* looks whether the caller still waits */
	TAILQ_ENTRY(parked) link;
};

struct notifier {
	struct sandbox *sandbox;
	struct watch watch;
	size_t req_size, resp_size; /* as this kernel has them */
	struct seccomp_notif *req;
	struct seccomp_notif_resp *resp;
	TAILQ_HEAD(parked_list, parked) parked;
	unsigned int n_parked;
};

typedef struct answer handler(struct sandbox *s, struct notifier *n, struct call *c);

static handler *handler_of(int nr)
{
	switch (nr) {
	case SYS_connect:
		return connect_handle;
	case SYS_getpeername:
		return getpeername_handle;
	case SYS_sendto:
		return sendto_handle;
	case SYS_socket:
		return socket_handle;
	default:
		return NULL;
	}
}

bool notifier_is_valid(struct notifier *n, const struct call *c)
{
	uint64_t id = c->req.id;

	return ioctl(n->watch.fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

/* A caller that is gone is nobody to answer: ENOENT is fine. */
static void respond(struct notifier *n, const struct call *c, const struct answer *a)
{
	memset(n->resp, 0, n->resp_size);
	n->resp->id = c->req.id;
	if (a->kind == ANSWER_CONTINUE)
		n->resp->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	else if (a->kind == ANSWER_VALUE)
		n->resp->val = a->value;
	else
		n->resp->error = (int32_t)a->value;
	(void)ioctl(n->watch.fd, SECCOMP_IOCTL_NOTIF_SEND, n->resp);
}

static void run(struct notifier *n, struct call *c);

static void parked_destroy(struct watch *w)
{
	struct parked *p = container_of(w, struct parked, watch);

	if (w->fd >= 0)
		(void)close(w->fd);
	free(p);
}

static void unpark(struct parked *p)
{
	struct notifier *n = p->notifier;

	TAILQ_REMOVE(&n->parked, p, link);
	n->n_parked--;
	timer_clear(n->sandbox->loop, &p->timer);
	watch_bury(n->sandbox->loop, &p->watch);
}

static void resume(struct parked *p)
{
	struct notifier *n = p->notifier;
	struct call call = p->call;

	unpark(p);
	if (notifier_is_valid(n, &call))
		run(n, &call);
}

static void on_writable(struct loop *loop, struct watch *w, uint32_t events)
{
	(void)loop;
	(void)events;
	resume(container_of(w, struct parked, watch));
}

static void on_parked_time(struct loop *loop, struct timer *t)
{
	struct parked *p = container_of(t, struct parked, timer);

	if (p->why == FOR_RETRY)
		resume(p);
	else if (!notifier_is_valid(p->notifier, &p->call) ||
		 timer_set(loop, t, VALID_CHECK_MS) < 0)
		unpark(p);
}

static int park(struct notifier *n, const struct call *c, enum parked_for why, int fd)
{
	struct parked *p = n->n_parked < NOTIFY_PARKED_MAX ? calloc(1, sizeof(*p)) : NULL;

	if (!p) {
		if (fd >= 0)
			(void)close(fd);
		return -EAGAIN;
	}
	p->notifier = n;
	p->why = why;
	p->call = *c;
	p->timer.on_time = on_parked_time;
	watch_init(&p->watch, fd, on_writable, parked_destroy);
	TAILQ_INSERT_TAIL(&n->parked, p, link);
	n->n_parked++;
	if (timer_set(n->sandbox->loop, &p->timer, why == FOR_RETRY ? RETRY_MS : VALID_CHECK_MS) <
			0 ||
		(fd >= 0 && watch_set(n->sandbox->loop, &p->watch, EPOLLOUT) < 0)) {
		unpark(p);
		return -ENOMEM;
	}
	return 0;
}

static void run(struct notifier *n, struct call *c)
{
	static const enum parked_for why[] = { [ANSWER_PARK_HASH] = FOR_HASH,
		[ANSWER_PARK_WRITE] = FOR_WRITE,
		[ANSWER_PARK_RETRY] = FOR_RETRY };
	handler *h = handler_of(c->req.data.nr);
	struct answer a = { .kind = ANSWER_ERROR, .value = -ENOSYS, .fd = -1 };

	if (h)
		a = h(n->sandbox, n, c);
	if (a.kind >= ANSWER_PARK_HASH) {
		int r = park(n, c, why[a.kind], a.kind == ANSWER_PARK_WRITE ? a.fd : -1);

		if (r == 0)
			return;
		a = (struct answer){ .kind = ANSWER_ERROR, .value = r, .fd = -1 };
	}
	/* Every decision is in the log before its effect is visible (invariant 7). */
	if (log_flush(n->sandbox->log) < 0 && a.kind != ANSWER_ERROR)
		a = (struct answer){ .kind = ANSWER_ERROR, .value = -EIO, .fd = -1 };
	respond(n, c, &a);
}

void notifier_retry(struct notifier *n)
{
	struct parked_list now = TAILQ_HEAD_INITIALIZER(now);
	struct parked *p, *next;

	for (p = TAILQ_FIRST(&n->parked); p; p = next) {
		next = TAILQ_NEXT(p, link);
		if (p->why == FOR_HASH) {
			TAILQ_REMOVE(&n->parked, p, link);
			TAILQ_INSERT_TAIL(&now, p, link);
		}
	}
	while ((p = TAILQ_FIRST(&now))) {
		TAILQ_REMOVE(&now, p, link);
		TAILQ_INSERT_TAIL(&n->parked, p, link);
		resume(p);
	}
}

static void take_one(struct notifier *n)
{
	struct call c = { 0 };

	memset(n->req, 0, n->req_size);
	/* ENOENT: the caller was killed meanwhile. */
	if (ioctl(n->watch.fd, SECCOMP_IOCTL_NOTIF_RECV, n->req) < 0)
		return;
	c.req = *n->req;
	run(n, &c);
}

/* RECV blocks when there is nothing; EPOLLIN is asked for each one. */
static void on_notification(struct loop *loop, struct watch *w, uint32_t events)
{
	struct notifier *n = container_of(w, struct notifier, watch);

	(void)loop;
	if (events & EPOLLIN)
		take_one(n);
	else if (events & (EPOLLHUP | EPOLLERR))
		(void)watch_set(n->sandbox->loop, w, 0);
}

static int allocate(struct notifier *n)
{
	struct seccomp_notif_sizes sizes;

	if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
		return -errno;
	n->req_size = sizes.seccomp_notif > sizeof(*n->req) ? sizes.seccomp_notif :
							      sizeof(*n->req);
	n->resp_size = sizes.seccomp_notif_resp > sizeof(*n->resp) ? sizes.seccomp_notif_resp :
								     sizeof(*n->resp);
	n->req = calloc(1, n->req_size);
	n->resp = calloc(1, n->resp_size);
	return n->req && n->resp ? 0 : -ENOMEM;
}

struct notifier *notifier_new(struct sandbox *s, int listener, struct err *err)
{
	struct notifier *n = calloc(1, sizeof(*n));
	int r = n ? 0 : -ENOMEM;

	if (r < 0) {
		(void)close(listener);
		(void)err_set(err, r, "%s", err_name(r));
		return NULL;
	}
	n->sandbox = s;
	TAILQ_INIT(&n->parked);
	watch_init(&n->watch, listener, on_notification, NULL);
	/* Worth an order of magnitude where the kernel has it: the waker hands over its CPU. */
	(void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS,
		(unsigned long)SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
	r = allocate(n);
	if (r == 0)
		r = watch_set(s->loop, &n->watch, EPOLLIN);
	if (r == 0)
		return n;
	(void)err_set(err, r, "seccomp notifications: %s", err_name(r));
	notifier_free(n);
	return NULL;
}

void notifier_free(struct notifier *n)
{
	if (!n)
		return;
	for (struct parked *p; (p = TAILQ_FIRST(&n->parked));)
		unpark(p);
	(void)watch_set(n->sandbox->loop, &n->watch, 0);
	(void)close(n->watch.fd);
	free(n->req);
	free(n->resp);
	free(n);
}
