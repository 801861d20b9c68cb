#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "tracer/once.h"

static void the_same_is_said_once(void **state)
{
	struct once *o = once_new();

	(void)state;
	assert_true(once_is_new(o, "udp", "a.test", 53, "/bin/a"));
	assert_false(once_is_new(o, "udp", "a.test", 53, "/bin/a"));
	once_free(o);
}

static void each_part_counts(void **state)
{
	struct once *o = once_new();

	(void)state;
	assert_true(once_is_new(o, "udp", "a.test", 53, "/bin/a"));
	assert_true(once_is_new(o, "tcp", "a.test", 53, "/bin/a"));
	assert_true(once_is_new(o, "udp", "b.test", 53, "/bin/a"));
	assert_true(once_is_new(o, "udp", "a.test", 54, "/bin/a"));
	assert_true(once_is_new(o, "udp", "a.test", 53, "/bin/b"));
	assert_true(once_is_new(o, "udp", "a.test", 53, NULL));
	assert_true(once_is_new(o, "udp", NULL, 53, NULL));
	assert_true(once_is_new(o, "udpa", ".test", 53, "/bin/a"));
	once_free(o);
}

static void a_full_set_forgets_and_goes_on(void **state)
{
	struct once *o = once_new();
	char host[32];

	(void)state;
	for (int i = 0; i < 3 * ONCE_MAX; i++) {
		(void)snprintf(host, sizeof(host), "h%d", i);
		assert_true(once_is_new(o, "udp", host, 1, NULL));
		assert_false(once_is_new(o, "udp", host, 1, NULL));
	}
	once_free(o);
}

static void without_a_set_everything_is_new(void **state)
{
	(void)state;
	assert_true(once_is_new(NULL, "udp", "a", 1, NULL));
	assert_true(once_is_new(NULL, "udp", "a", 1, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_is_said_once),
		cmocka_unit_test(each_part_counts),
		cmocka_unit_test(a_full_set_forgets_and_goes_on),
		cmocka_unit_test(without_a_set_everything_is_new),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
