#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/loop.h"

/* Two that are readable in the same turn; whoever is asked first ends both. */
struct pair {
	struct watch *watches[2];
	unsigned int asked;
	bool stops;
};

static struct pair *pair;

static void end_both(struct loop *loop, struct watch *w, uint32_t events)
{
	(void)w;
	(void)events;
	pair->asked++;
	for (int i = 0; i < 2; i++) {
		if (!pair->stops) {
			watch_bury(loop, pair->watches[i]);
			continue;
		}
		(void)watch_set(loop, pair->watches[i], 0);
		cleanup_close(&pair->watches[i]->fd);
		free(pair->watches[i]);
	}
	if (pair->stops)
		loop_stop(loop);
}

static void destroy(struct watch *w)
{
	cleanup_close(&w->fd);
	free(w);
}

static void run_pair(bool stops)
{
	struct loop *loop = loop_new();
	struct pair p = { .stops = stops };

	pair = &p;
	for (int i = 0; i < 2; i++) {
		p.watches[i] = calloc(1, sizeof(struct watch));
		watch_init(p.watches[i], eventfd(1, EFD_CLOEXEC), end_both, destroy);
		assert_int_equal(watch_set(loop, p.watches[i], EPOLLIN), 0);
	}
	assert_int_equal(loop_turn(loop, 1000), 0);
	assert_int_equal(p.asked, 1);
	loop_free(loop);
}

static void the_buried_get_no_event(void **state)
{
	(void)state;
	run_pair(false);
}

/* Who stops the loop takes everything down, in whatever order. */
static void after_the_stop_nobody_gets_one(void **state)
{
	(void)state;
	run_pair(true);
}

/* ---- polling ---- */

static unsigned int ticks;

static void on_tick(struct loop *loop, struct watch *w, uint32_t events)
{
	uint64_t n;

	(void)loop;
	(void)events;
	assert_int_equal(read(w->fd, &n, sizeof(n)), sizeof(n));
	ticks++;
}

static void tick_in(int fd, long us)
{
	const struct itimerspec at = { .it_value = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 } };

	assert_int_equal(timerfd_settime(fd, 0, &at, NULL), 0);
}

static uint64_t cpu_ms(void)
{
	struct timespec t;

	assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void one_that_looks_first_misses_nothing_and_sleeps_without_load(void **state)
{
	struct loop *loop = loop_new();
	struct watch w;
	uint64_t before;

	(void)state;
	ticks = 0;
	loop_set_polling(loop, 999);
	watch_init(&w, timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), on_tick, NULL);
	assert_int_equal(watch_set(loop, &w, EPOLLIN), 0);
	/* Short waits, found by looking and otherwise, then longer ones, each after a look in vain or none. */
	for (long i = 0; i < 200; i++) {
		tick_in(w.fd, 10 * i + 1);
		assert_int_equal(loop_turn(loop, 10000), 0);
		assert_int_equal(ticks, i + 1);
	}
	before = cpu_ms();
	tick_in(w.fd, 200000);
	assert_int_equal(loop_turn(loop, 10000), 0);
	assert_int_equal(ticks, 201);
	assert_true(cpu_ms() - before < 100);
	loop_free(loop);
	(void)close(w.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_buried_get_no_event),
		cmocka_unit_test(after_the_stop_nobody_gets_one),
		cmocka_unit_test(one_that_looks_first_misses_nothing_and_sleeps_without_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
