/*
 * Pending calls and whose turn it is.
 *
 * In quiet times a notification is taken, judged and answered in one turn of the loop. When tasks
 * queue, everything the kernel has is taken first and sorted into lanes, one a process, and the
 * lanes are served in turn. Tasks that were never seen share one lane: to find out their process
 * costs more than to serve them.
 *
 * A parked call looks, at growing intervals, whether its caller still waits and whether a signal
 * has arrived: a call that waits for its answer holds signals back (WAIT_KILLABLE_RECV, a ptrace
 * stop), so a connect that blocks is ended from here, with the kernel's own -ERESTARTSYS or EINTR
 * (see connect(2), signal(7)).
 */
#include "tracer/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/analyzer.h"
#include "lib/cleanup.h"
#include "tracer/dgramgate.h"
#include "tracer/owner.h"
#include "tracer/procfs.h"
#include "tracer/sandbox.h"
#include "tracer/sockcall.h"

enum {
	LANES = 256,
	TICK_MIN_MS = 2,
	TICK_MAX_MS = 128,
	SLICE_NS = 100000,	/* the shortest there is */
	SLOW_TICK_MAX_MS = 512, /* of a call that something will wake */
	PROXY_BATCH = 64, /* calls that the link takes at once when it has drained */
	VALID_CHECK_MS = 1000, /* of a call that waits for a hash */
};

enum pending_state {
	QUEUED = 0, /* in a lane, never looked at or to be looked at again */
	FOR_HASH,
	FOR_WRITE,
	FOR_RETRY,
	FOR_PROXY,
};

struct pending {
	struct notifier *notifier;
	enum pending_state state;
	struct call call;
	pid_t key; /* which lane */
	struct watch watch; /* FOR_WRITE: a duplicate of the caller's socket; else fd is -1 */
	struct timer timer;
	uint32_t tick_ms;
	uint64_t late_ms; /* when the caller's own time is over; 0: never */
	int late;	  /* and what it is told then */
	TAILQ_ENTRY(pending) link;
};

TAILQ_HEAD(pending_list, pending);

struct lane {
	pid_t key;
	struct pending_list calls;
	TAILQ_ENTRY(lane) turn;
	LIST_ENTRY(lane) bucket;
};

struct notifier {
	struct sandbox *sandbox;
	struct call_source *source;
	struct watch watch; /* of the source's descriptor */
	struct pending_list parked; /* not QUEUED */
	unsigned int n_pending;
	LIST_HEAD(, lane) lanes[LANES];
	TAILQ_HEAD(, lane) turns; /* lanes with calls, the next one first */
	struct timer next_turn;
	struct watch proxy; /* a duplicate of the link to the proxy: can it take more? */
	uint32_t last_tid;  /* who was answered last */
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
	case SYS_sendmsg:
	case SYS_sendmmsg:
		return sendmsg_handle;
	case SYS_socket:
	case SYS_socketpair:
		return socket_handle;
	default:
		return fsnote_is_for(nr) ? fsnote_handle : NULL;
	}
}

bool notifier_is_valid(struct notifier *n, const struct call *c)
{
	return n->source->ops->is_valid(n->source, c);
}

static struct answer failure(int r)
{
	return (struct answer){ .kind = ANSWER_ERROR, .value = r, .fd = -1 };
}

static struct answer ask(struct notifier *n, struct call *c)
{
	handler *h = handler_of(c->req.data.nr);
	struct answer a = h ? h(n->sandbox, n, c) : failure(-ENOSYS);

	if (!c->wants_stack)
		return a;
	cleanup_close(&a.fd);
	c->wants_stack = false;
	return c->wait;
}

static void answer(struct notifier *n, const struct call *c, struct answer a)
{
	/* Every decision is in the log before its effect is visible (invariant 7). */
	if (log_flush(n->sandbox->log) < 0 && a.kind != ANSWER_ERROR && !a.is_unjudged)
		a = failure(-EIO);
	n->last_tid = c->req.pid;
	n->source->ops->respond(n->source, c, &a);
}

/* Pending calls. */

static void pending_destroy(struct watch *w)
{
	struct pending *p = container_of(w, struct pending, watch);

	if (w->fd >= 0)
		(void)close(w->fd);
	free(p);
}

/* A call that is in no list any more ends. */
static void pending_end(struct pending *p)
{
	struct notifier *n = p->notifier;

	n->n_pending--;
	timer_clear(n->sandbox->loop, &p->timer);
	watch_bury(n->sandbox->loop, &p->watch);
}

static void pending_answer(struct pending *p, struct answer a)
{
	TAILQ_REMOVE(&p->notifier->parked, p, link);
	answer(p->notifier, &p->call, a);
	pending_end(p);
}

static struct lane *lane_get(struct notifier *n, pid_t key)
{
	unsigned int slot = (unsigned int)key % LANES;
	struct lane *l;

	LIST_FOREACH(l, &n->lanes[slot], bucket)
		if (l->key == key)
			return l;
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->key = key;
	TAILQ_INIT(&l->calls);
	LIST_INSERT_HEAD(&n->lanes[slot], l, bucket);
	TAILQ_INSERT_TAIL(&n->turns, l, turn);
	return l;
}

static void lane_free(struct notifier *n, struct lane *l)
{
	TAILQ_REMOVE(&n->turns, l, turn);
	LIST_REMOVE(l, bucket);
	free(l);
}

/* @p, in no list, waits for its turn. */
static void enqueue(struct notifier *n, struct pending *p)
{
	struct lane *l = lane_get(n, p->key);

	p->state = QUEUED;
	if (l && timer_set(n->sandbox->loop, &n->next_turn, 0) == 0) {
		TAILQ_INSERT_TAIL(&l->calls, p, link);
		return;
	}
	if (l && TAILQ_EMPTY(&l->calls))
		lane_free(n, l);
	answer(n, &p->call, failure(-EAGAIN));
	pending_end(p);
}

static void unpark(struct pending *p)
{
	struct notifier *n = p->notifier;

	TAILQ_REMOVE(&n->parked, p, link);
	timer_clear(n->sandbox->loop, &p->timer);
	if (p->watch.fd >= 0)
		(void)watch_set(n->sandbox->loop, &p->watch, 0);
	enqueue(n, p);
}

static void on_writable(struct loop *loop, struct watch *w, uint32_t events)
{
	(void)loop;
	(void)events;
	unpark(container_of(w, struct pending, watch));
}

/* Whether a signal waits to be taken by the caller. One that cannot be read has other troubles. */
static bool has_signal(struct pending *p)
{
	int procdir = owner_procdir(p->notifier->sandbox->owners, (pid_t)p->call.req.pid);

	return procdir >= 0 && procfs_has_signal(procdir) == 1 &&
	       notifier_is_valid(p->notifier, &p->call);
}

/* What a signal makes of a call: what has gone already is not sent again (send(2)). */
static struct answer interrupted(const struct pending *p)
{
	if (p->call.n_sent)
		return answer_value((int64_t)p->call.n_sent);
	return failure(p->late_ms ? -EINTR : -NOTIFY_RESTARTSYS);
}

static void on_tick(struct loop *loop, struct timer *t)
{
	struct pending *p = container_of(t, struct pending, timer);
	struct notifier *n = p->notifier;

	if (!notifier_is_valid(n, &p->call)) {
		TAILQ_REMOVE(&n->parked, p, link);
		pending_end(p);
	} else if (p->late_ms && loop_now_ms(loop) >= p->late_ms) {
		pending_answer(p, failure(p->late));
	} else if (p->state != FOR_HASH && has_signal(p)) {
		pending_answer(p, interrupted(p));
	} else if (p->state == FOR_RETRY) {
		unpark(p);
	} else {
		p->tick_ms = p->tick_ms < SLOW_TICK_MAX_MS ? p->tick_ms * 2 : p->tick_ms;
		if (timer_set(loop, t, p->tick_ms) < 0)
			pending_answer(p, failure(-ENOMEM));
	}
}

static enum pending_state state_for(enum answer_kind kind)
{
	switch (kind) {
	case ANSWER_PARK_HASH:
		return FOR_HASH;
	case ANSWER_PARK_WRITE:
		return FOR_WRITE;
	case ANSWER_PARK_PROXY:
		return FOR_PROXY;
	default:
		return FOR_RETRY;
	}
}

/* The caller's own patience counts from the first time. */
static void set_deadline(struct pending *p, const struct answer *a)
{
	if (!a->timeout_ms || p->late_ms)
		return;
	p->late_ms = loop_now_ms(p->notifier->sandbox->loop) + a->timeout_ms;
	p->late = (int)a->value;
}

static uint32_t first_tick(struct pending *p)
{
	if (p->state == FOR_HASH)
		return VALID_CHECK_MS;
	if (p->state == FOR_RETRY && p->tick_ms)
		return p->tick_ms < TICK_MAX_MS ? p->tick_ms * 2 : p->tick_ms;
	return TICK_MIN_MS;
}

static bool takes_events(struct pending *p, struct answer *a)
{
	struct loop *loop = p->notifier->sandbox->loop;

	if (p->state == FOR_PROXY)
		return watch_set(loop, &p->notifier->proxy, EPOLLOUT) == 0;
	if (p->state != FOR_WRITE)
		return true;
	if (p->watch.fd < 0) {
		p->watch.fd = a->fd;
		p->call.held = a->fd;
		a->fd = -1;
	}
	return p->watch.fd >= 0 && watch_set(loop, &p->watch, EPOLLOUT) == 0;
}

/* @p, in no list, waits for what @a says. */
static void park(struct pending *p, struct answer *a)
{
	struct notifier *n = p->notifier;

	p->state = state_for(a->kind);
	set_deadline(p, a);
	TAILQ_INSERT_TAIL(&n->parked, p, link);
	p->tick_ms = first_tick(p);
	if (takes_events(p, a) && timer_set(n->sandbox->loop, &p->timer, p->tick_ms) == 0)
		return;
	sockcall_log_shortage(n->sandbox, (pid_t)p->call.req.pid,
		p->state == FOR_WRITE && p->watch.fd < 0 ? -EMFILE : -ENOMEM, NULL, 0);
	pending_answer(p, failure(-ENOMEM));
}

static struct pending *pending_new(struct notifier *n, const struct call *c, pid_t key)
{
	struct pending *p = n->n_pending < NOTIFY_PENDING_MAX ? calloc(1, sizeof(*p)) : NULL;

	if (!p)
		return NULL;
	p->notifier = n;
	p->call = *c;
	p->key = key;
	p->timer.on_time = on_tick;
	watch_init(&p->watch, -1, on_writable, pending_destroy);
	n->n_pending++;
	return p;
}

/* No room, or no memory: the caller is refused, and the log says why. */
static void refuse(struct notifier *n, const struct call *c)
{
	const struct event e = { .level = EVENT_WARN,
		.adapter = EVENT_SOCKET,
		.action = EVENT_DENY,
		.pid = (uint32_t)owner_known_pid(n->sandbox->owners, (pid_t)c->req.pid),
		.reason = n->n_pending < NOTIFY_PENDING_MAX ? "the supervisor is out of memory" :
							      "too many calls wait" };

	sandbox_log(n->sandbox, &e);
	answer(n, c, failure(-EAGAIN));
}

static pid_t lane_key(struct notifier *n, const struct call *c)
{
	return owner_known_pid(n->sandbox->owners, (pid_t)c->req.pid);
}

/* Judges a call that is in no list and no memory of ours yet. */
static void run(struct notifier *n, struct call *c)
{
	struct answer a = ask(n, c);
	struct pending *p;

	if (a.kind < ANSWER_PARK_HASH) {
		answer(n, c, a);
		return;
	}
	p = pending_new(n, c, lane_key(n, c));
	if (p)
		park(p, &a);
	else
		refuse(n, c);
	cleanup_close(&a.fd);
}

static void run_pending(struct pending *p)
{
	struct answer a = ask(p->notifier, &p->call);

	if (a.kind >= ANSWER_PARK_HASH) {
		park(p, &a);
		cleanup_close(&a.fd);
		return;
	}
	answer(p->notifier, &p->call, a);
	pending_end(p);
}

/* Turns. */

static void serve_lane(struct notifier *n, struct lane *l)
{
	struct pending *p = TAILQ_FIRST(&l->calls);

	TAILQ_REMOVE(&l->calls, p, link);
	p->call.is_queued = true;
	p->call.has_company = !TAILQ_EMPTY(&l->calls);
	if (p->call.has_company) {
		TAILQ_REMOVE(&n->turns, l, turn);
		TAILQ_INSERT_TAIL(&n->turns, l, turn);
	} else {
		lane_free(n, l);
	}
	if (notifier_is_valid(n, &p->call))
		run_pending(p);
	else
		pending_end(p);
}

static void on_next_turn(struct loop *loop, struct timer *t)
{
	struct notifier *n = container_of(t, struct notifier, next_turn);
	struct lane *l;

	for (int i = 0; i < NOTIFY_TURN_MAX && (l = TAILQ_FIRST(&n->turns)); i++)
		serve_lane(n, l);
	if (!TAILQ_EMPTY(&n->turns))
		(void)timer_set(loop, t, 0);
}

/* The first @max of those that wait for @state. True when more are left. */
static bool unpark_some(struct notifier *n, enum pending_state state, unsigned int max)
{
	struct pending *p, *next;

	for (p = TAILQ_FIRST(&n->parked); p; p = next) {
		next = TAILQ_NEXT(p, link);
		if (p->state != state)
			continue;
		if (max-- == 0)
			return true;
		unpark(p);
	}
	return false;
}

void notifier_retry_one(struct notifier *n, uint64_t id)
{
	struct pending *p;

	TAILQ_FOREACH(p, &n->parked, link) {
		if (p->state != FOR_HASH || p->call.req.id != id)
			continue;
		unpark(p);
		return;
	}
}

void notifier_retry(struct notifier *n)
{
	(void)unpark_some(n, FOR_HASH, UINT_MAX);
}

static void on_proxy_writable(struct loop *loop, struct watch *w, uint32_t events)
{
	struct notifier *n = container_of(w, struct notifier, proxy);

	(void)events;
	/* Those that got their turn and found the link full again have parked anew. */
	if (!TAILQ_EMPTY(&n->turns))
		return;
	if (!unpark_some(n, FOR_PROXY, PROXY_BATCH))
		(void)watch_set(loop, w, 0);
}

static bool receive(struct notifier *n, struct call *ret)
{
	if (!n->source->ops->receive(n->source, ret))
		return false;
	dgramgate_returned(n->sandbox->gate, (pid_t)ret->req.pid);
	return true;
}

static bool has_more(struct notifier *n)
{
	return n->source->ops->has_more(n->source);
}

/* gcc 12: what hangs on a lane's list is not lost. */
ANALYZER_OFF("-Wanalyzer-malloc-leak")

static void take(struct notifier *n, const struct call *c)
{
	struct pending *p = pending_new(n, c, lane_key(n, c));

	if (p)
		enqueue(n, p);
	else
		refuse(n, c);
}

static void take_everything(struct notifier *n, const struct call *first)
{
	struct call c = *first;

	take(n, &c);
	while (n->n_pending < NOTIFY_PENDING_MAX && has_more(n))
		if (receive(n, &c))
			take(n, &c);
}

ANALYZER_ON

/*
 * One task that asks again and again, alone, is the common case and spared the question whether
 * others wait.
 */
static void on_call(struct loop *loop, struct watch *w, uint32_t events)
{
	struct notifier *n = container_of(w, struct notifier, watch);
	struct call c;

	if (!(events & EPOLLIN)) {
		if (events & (EPOLLHUP | EPOLLERR))
			(void)watch_set(loop, w, 0);
		return;
	}
	if (!receive(n, &c))
		return;
	if (TAILQ_EMPTY(&n->turns) && (c.req.pid == n->last_tid || !has_more(n)))
		run(n, &c);
	else
		take_everything(n, &c);
}

/* Room for a burst of connections; some of it stays free for what cannot wait. */
static int widen_link(int sock)
{
	const int wanted = 1024 * 1024;
	socklen_t len = sizeof(int);
	int size = 0;

	(void)setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof(wanted));
	(void)getsockopt(sock, SOL_SOCKET, SO_SNDBUF, &size, &len);
	return size / 4 * 3;
}

/*
 * Short turns on the processor, and soon: everybody who connects waits for this thread. Since 6.12
 * a task may ask for that (sched(7), EEVDF); older kernels ignore the field.
 */
static void ask_for_short_slices(void)
{
	const struct sched_attr_v0 {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} attr = { .size = sizeof(attr), .runtime = SLICE_NS };

	(void)syscall(SYS_sched_setattr, 0, &attr, 0);
}

static int start(struct notifier *n)
{
	int proxy = fcntl(n->sandbox->proxy_link.fd, F_DUPFD_CLOEXEC, 3), r;

	watch_init(&n->proxy, proxy, on_proxy_writable, NULL);
	if (proxy < 0)
		return -errno;
	ask_for_short_slices();
	n->sandbox->link_room = widen_link(proxy);
	r = sockcall_netns_id(n->sandbox->sockets.diag, &n->sandbox->netns_id);
	return r < 0 ? r : watch_set(n->sandbox->loop, &n->watch, EPOLLIN);
}

void call_source_free(struct call_source *src)
{
	if (src)
		src->ops->free(src);
}

struct notifier *notifier_new(struct sandbox *s, struct call_source *src, struct err *err)
{
	struct notifier *n = calloc(1, sizeof(*n));
	int r;

	if (!n) {
		(void)err_set(err, -ENOMEM, "%s", err_name(-ENOMEM));
		return NULL;
	}
	n->sandbox = s;
	n->source = src;
	TAILQ_INIT(&n->parked);
	TAILQ_INIT(&n->turns);
	n->next_turn.on_time = on_next_turn;
	watch_init(&n->watch, src->fd, on_call, NULL);
	r = start(n);
	if (r == 0)
		return n;
	(void)err_set(err, r, "interception: %s", err_name(r));
	notifier_free(n);
	return NULL;
}

void notifier_free(struct notifier *n)
{
	struct pending *p;

	if (!n)
		return;
	while ((p = TAILQ_FIRST(&n->parked))) {
		TAILQ_REMOVE(&n->parked, p, link);
		pending_end(p);
	}
	for (struct lane *l; (l = TAILQ_FIRST(&n->turns));) {
		while ((p = TAILQ_FIRST(&l->calls))) {
			TAILQ_REMOVE(&l->calls, p, link);
			pending_end(p);
		}
		lane_free(n, l);
	}
	timer_clear(n->sandbox->loop, &n->next_turn);
	(void)watch_set(n->sandbox->loop, &n->watch, 0);
	(void)watch_set(n->sandbox->loop, &n->proxy, 0);
	cleanup_close(&n->proxy.fd);
	free(n);
}
