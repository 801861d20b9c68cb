#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <unistd.h>

#include "tracer/watchman.h"

static void a_call_that_hangs_is_interrupted(void **state)
{
	struct watchman *w = watchman_new();
	int fds[2];
	char c;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(watchman_begin(w), 0);
		assert_int_equal(read(fds[0], &c, 1), -1);
		assert_int_equal(errno, EINTR);
		watchman_end(w);
	}
	(void)close(fds[0]);
	(void)close(fds[1]);
	watchman_free(w);
}

static void outside_of_a_call_nobody_is_disturbed(void **state)
{
	struct watchman *w = watchman_new();
	unsigned int left = 100000;

	(void)state;
	assert_int_equal(watchman_begin(w), 0);
	watchman_end(w);
	assert_int_equal(usleep(left), 0);
	watchman_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_that_hangs_is_interrupted),
		cmocka_unit_test(outside_of_a_call_nobody_is_disturbed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
