#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_buried_get_no_event),
		cmocka_unit_test(after_the_stop_nobody_gets_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
