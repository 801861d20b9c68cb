#include "lib/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum {
	LOOP_BATCH = 16, /* what ends a turn is paid once for all of them, and all of them wait for it */
	POLL_US_MAX = 999, /* timers have milliseconds: none is kept waiting */
	POLL_MISSES_MAX = 6,
};

struct loop {
	int epfd;
	bool is_stopping;
	uint64_t now_ms;
	TAILQ_HEAD(, watch) dead;
	struct timer **heap; /* a binary min-heap on at_ms */
	size_t n_timers, heap_alloc;
	void (*after_turn)(struct loop *loop, void *arg);
	void *after_turn_arg;
	uint64_t poll_ns; /* how long events are looked for before the loop sleeps; 0: not at all */
	bool is_busy;	  /* they would have been found so the last time it slept */
	unsigned int misses, passes; /* looks in vain in a row, and what is passed over for them */
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	(void)clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t clock_ms(clockid_t clock)
{
	return clock_ns(clock) / 1000000;
}

struct loop *loop_new(void)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return NULL;
	loop->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epfd < 0) {
		free(loop);
		return NULL;
	}
	TAILQ_INIT(&loop->dead);
	loop->now_ms = clock_ms(CLOCK_MONOTONIC);
	return loop;
}

static void bury_the_dead(struct loop *loop)
{
	for (struct watch *w; (w = TAILQ_FIRST(&loop->dead));) {
		TAILQ_REMOVE(&loop->dead, w, link);
		if (w->destroy)
			w->destroy(w);
	}
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	bury_the_dead(loop);
	(void)close(loop->epfd);
	free(loop->heap);
	free(loop);
}

uint64_t loop_now_ms(const struct loop *loop)
{
	return loop->now_ms;
}

uint64_t loop_slept_ms(void)
{
	uint64_t awake = clock_ms(CLOCK_MONOTONIC);

	return clock_ms(CLOCK_BOOTTIME) - awake;
}

void loop_set_after_turn(struct loop *loop, void (*fn)(struct loop *loop, void *arg), void *arg)
{
	loop->after_turn = fn;
	loop->after_turn_arg = arg;
}

void loop_set_polling(struct loop *loop, unsigned int us)
{
	assert(us <= POLL_US_MAX);
	loop->poll_ns = (uint64_t)us * 1000;
}

void watch_init(struct watch *w, int fd, watch_fn *on_event, void (*destroy)(struct watch *w))
{
	*w = (struct watch){ .fd = fd, .on_event = on_event, .destroy = destroy };
}

int watch_set(struct loop *loop, struct watch *w, uint32_t want)
{
	struct epoll_event ev = { .events = want, .data.ptr = w };
	int op;

	if (w->is_dead)
		return -EBADF;
	if (w->is_added ? want == w->want : want == 0)
		return 0;
	op = want == 0 ? EPOLL_CTL_DEL : w->is_added ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	if (epoll_ctl(loop->epfd, op, w->fd, &ev) < 0)
		return -errno;
	w->want = want;
	w->is_added = want != 0;
	return 0;
}

void watch_bury(struct loop *loop, struct watch *w)
{
	if (w->is_dead)
		return;
	(void)watch_set(loop, w, 0);
	w->is_dead = true;
	TAILQ_INSERT_TAIL(&loop->dead, w, link);
}

static void heap_place(struct loop *loop, size_t i, struct timer *t)
{
	loop->heap[i] = t;
	t->slot = i + 1;
}

static void heap_up(struct loop *loop, size_t i)
{
	struct timer *t = loop->heap[i];

	while (i > 0 && loop->heap[(i - 1) / 2]->at_ms > t->at_ms) {
		heap_place(loop, i, loop->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_place(loop, i, t);
}

static void heap_down(struct loop *loop, size_t i)
{
	struct timer *t = loop->heap[i];

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= loop->n_timers)
			break;
		if (child + 1 < loop->n_timers &&
			loop->heap[child + 1]->at_ms < loop->heap[child]->at_ms)
			child++;
		if (loop->heap[child]->at_ms >= t->at_ms)
			break;
		heap_place(loop, i, loop->heap[child]);
		i = child;
	}
	heap_place(loop, i, t);
}

static int heap_grow(struct loop *loop)
{
	size_t alloc = loop->heap_alloc ? loop->heap_alloc * 2 : 64;
	struct timer **heap;

	if (loop->n_timers < loop->heap_alloc)
		return 0;
	heap = realloc(loop->heap, alloc * sizeof(struct timer *));
	if (!heap)
		return -ENOMEM;
	loop->heap = heap;
	loop->heap_alloc = alloc;
	return 0;
}

int timer_set(struct loop *loop, struct timer *t, uint64_t in_ms)
{
	uint64_t at = loop->now_ms + in_ms;

	if (t->slot) {
		bool is_later = at > t->at_ms;

		t->at_ms = at;
		if (is_later)
			heap_down(loop, t->slot - 1);
		else
			heap_up(loop, t->slot - 1);
		return 0;
	}
	if (heap_grow(loop) < 0)
		return -ENOMEM;
	t->at_ms = at;
	loop->heap[loop->n_timers] = t;
	heap_up(loop, loop->n_timers++);
	return 0;
}

void timer_clear(struct loop *loop, struct timer *t)
{
	size_t i = t->slot;
	struct timer *last;

	if (!i)
		return;
	i--;
	last = loop->heap[--loop->n_timers];
	t->slot = 0;
	t->at_ms = 0;
	if (last == t)
		return;
	heap_place(loop, i, last);
	heap_up(loop, i);
	heap_down(loop, last->slot - 1);
}

/* At most as many as there are: one that is armed anew for now waits for the next turn. */
static void run_timers(struct loop *loop)
{
	size_t left = loop->n_timers;

	while (left-- && loop->n_timers && loop->heap[0]->at_ms <= loop->now_ms) {
		struct timer *t = loop->heap[0];

		timer_clear(loop, t);
		t->on_time(loop, t);
	}
}

static int sleep_ms(const struct loop *loop, int max_wait_ms)
{
	uint64_t left;

	if (!loop->n_timers)
		return max_wait_ms;
	left = loop->heap[0]->at_ms > loop->now_ms ? loop->heap[0]->at_ms - loop->now_ms : 0;
	if (left > 60000)
		left = 60000;
	return max_wait_ms >= 0 && (uint64_t)max_wait_ms < left ? max_wait_ms : (int)left;
}

/* ---- looking for events before sleeping: loop_set_polling() ---- */

static int sleep_for_events(struct loop *loop, struct epoll_event *ev, int ms)
{
	uint64_t since = loop->poll_ns ? clock_ns(CLOCK_MONOTONIC) : 0;
	int n = epoll_wait(loop->epfd, ev, LOOP_BATCH, ms);

	loop->is_busy = false;
	if (!loop->poll_ns || n <= 0 || clock_ns(CLOCK_MONOTONIC) - since >= 2 * loop->poll_ns)
		return n;
	if (loop->passes)
		loop->passes--;
	else
		loop->is_busy = true;
	return n;
}

/* In vain, perhaps because those who would have something want this very processor: less often. */
static void looked_in_vain(struct loop *loop)
{
	if (loop->misses < POLL_MISSES_MAX)
		loop->misses++;
	loop->passes = (1u << loop->misses) - 1;
}

static int look_for_events(struct loop *loop, struct epoll_event *ev)
{
	int n = epoll_wait(loop->epfd, ev, LOOP_BATCH, 0);
	uint64_t since = n == 0 ? clock_ns(CLOCK_MONOTONIC) : 0;

	if (n != 0)
		return n;
	do
		n = epoll_wait(loop->epfd, ev, LOOP_BATCH, 0);
	while (n == 0 && clock_ns(CLOCK_MONOTONIC) - since < loop->poll_ns);
	if (n == 0)
		looked_in_vain(loop);
	else
		loop->misses = 0;
	return n;
}

int loop_turn(struct loop *loop, int max_wait_ms)
{
	struct epoll_event ev[LOOP_BATCH];
	int ms = sleep_ms(loop, max_wait_ms), n = 0;

	if (loop->is_busy && ms != 0)
		n = look_for_events(loop, ev);
	if (n == 0)
		n = sleep_for_events(loop, ev, ms);
	if (n < 0 && errno != EINTR)
		return -errno;
	loop->now_ms = clock_ms(CLOCK_MONOTONIC);
	for (int i = 0; i < n && !loop->is_stopping; i++) {
		struct watch *w = ev[i].data.ptr;

		if (!w->is_dead)
			w->on_event(loop, w, ev[i].events);
	}
	run_timers(loop);
	if (loop->after_turn)
		loop->after_turn(loop, loop->after_turn_arg);
	bury_the_dead(loop);
	return 0;
}

int loop_run(struct loop *loop)
{
	int r = 0;

	loop->is_stopping = false;
	loop->now_ms = clock_ms(CLOCK_MONOTONIC);
	while (!loop->is_stopping && r == 0)
		r = loop_turn(loop, -1);
	return r;
}

void loop_stop(struct loop *loop)
{
	loop->is_stopping = true;
}
