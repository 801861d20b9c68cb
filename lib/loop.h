/*
 * The event loop: level-triggered epoll, one thread, timers, deferred destruction.
 *
 * A watch is embedded in the object that owns it. A handler never frees: it calls watch_bury(),
 * which takes the watch out of the kernel's set at once and calls destroy() after the batch of
 * events, so that a stale event in the same batch finds live memory. What an object wants is
 * computed in one place of its owner and set with watch_set().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct loop;
struct watch;
struct timer;

typedef void watch_fn(struct loop *loop, struct watch *w, uint32_t events);
typedef void timer_fn(struct loop *loop, struct timer *t);

struct watch {
	int fd;				   /* owned by the object that embeds the watch */
	uint32_t want;			   /* EPOLLIN | EPOLLOUT …; what the kernel was last told */
	bool is_added;			   /* in the kernel's set */
	bool is_dead;			   /* buried: no more events */
	watch_fn *on_event;
	void (*destroy)(struct watch *w);  /* called once after watch_bury(); may free the owner */
	TAILQ_ENTRY(watch) link;
};

struct timer {
	uint64_t at_ms;	 /* on the loop's clock; 0: not armed */
	size_t slot;	 /* place in the heap + 1 */
	timer_fn *on_time;
};

/* NULL when out of memory or descriptors. */
struct loop *loop_new(void);
void loop_free(struct loop *loop);

/* Milliseconds on a clock that only goes forward; read once a turn. */
uint64_t loop_now_ms(const struct loop *loop);

/* How long the host has slept since it was started: that clock stands still meanwhile. */
uint64_t loop_slept_ms(void);

/* Called once at the end of every turn, after handlers and before the loop sleeps again. */
void loop_set_after_turn(struct loop *loop, void (*fn)(struct loop *loop, void *arg), void *arg);

/*
 * Before the loop sleeps it looks for events for @us more (at most 999; 0, as it begins: not), if
 * it slept for less than twice that the last time. Under load it stays awake so: whoever has
 * something for it need not wake it, which costs both more than the looking does. Without load it
 * does not look, and the more often it did in vain, the less.
 */
void loop_set_polling(struct loop *loop, unsigned int us);

/* Sets up @w (not yet in the set). @destroy may be NULL. */
void watch_init(struct watch *w, int fd, watch_fn *on_event, void (*destroy)(struct watch *w));
/* Tells the kernel what is wanted; 0 takes the watch out of the set. 0 or -errno. */
int watch_set(struct loop *loop, struct watch *w, uint32_t want);
/* Ends the watch; destroy() follows after this batch. Twice is harmless. */
void watch_bury(struct loop *loop, struct watch *w);

/* (Re)arms for @in_ms from now; -ENOMEM when the heap cannot grow. */
int timer_set(struct loop *loop, struct timer *t, uint64_t in_ms);
void timer_clear(struct loop *loop, struct timer *t);

/* Runs until loop_stop(): 0, or -errno when epoll itself fails. */
int loop_run(struct loop *loop);
/* One turn that waits at most @max_wait_ms (-1: until something happens). For tests. */
int loop_turn(struct loop *loop, int max_wait_ms);
/* From now on no event is handed out, not even one of this turn: whoever stops may take everything down. */
void loop_stop(struct loop *loop);
