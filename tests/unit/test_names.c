#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "tracer/names.h"

static void a_name_keeps_its_addresses(void **state)
{
	struct names *n = names_new();
	struct netaddr a4, a6, b4, b6;

	(void)state;
	assert_int_equal(names_assign(n, "a.test", &a4, &a6), 0);
	assert_int_equal(names_assign(n, "a.test", &b4, &b6), 0);
	assert_true(netaddr_equal(&a4, &b4) && netaddr_equal(&a6, &b6));
	assert_int_equal(names_assign(n, "b.test", &b4, &b6), 0);
	assert_false(netaddr_equal(&a4, &b4) || netaddr_equal(&a6, &b6));
	assert_string_equal(names_lookup(n, &a4), "a.test");
	assert_string_equal(names_lookup(n, &a6), "a.test");
	assert_string_equal(names_lookup(n, &b6), "b.test");
	names_free(n);
}

static void addresses_outside_the_ranges_stand_for_nothing(void **state)
{
	static const char *const other[] = { "198.18.0.0", "198.17.255.255", "198.20.0.1", "127.0.0.1", "::1",
		"fd6f:7065:6e73:54::1" };
	struct names *n = names_new();
	struct netaddr a;

	(void)state;
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		assert_int_equal(netaddr_parse(other[i], &a), 0);
		assert_false(names_is_synthetic(&a));
		assert_null(names_lookup(n, &a));
	}
	assert_int_equal(netaddr_parse("198.18.0.1", &a), 0);
	assert_true(names_is_synthetic(&a));
	assert_null(names_lookup(n, &a));
	names_free(n);
}

/* The bound holds, the least recently used goes, and nobody inherits its address soon. */
static void a_forgotten_name_leaves_its_address_dead(void **state)
{
	struct names *n = names_new();
	struct netaddr first4, first6, kept4, kept6, a4, a6;
	char name[32];

	(void)state;
	(void)names_assign(n, "first.test", &first4, &first6);
	(void)names_assign(n, "kept.test", &kept4, &kept6);
	for (int i = 0; i < NAMES_MAX; i++) {
		(void)snprintf(name, sizeof(name), "n%d.test", i);
		assert_int_equal(names_assign(n, name, &a4, &a6), 0);
		assert_false(netaddr_equal(&a4, &first4) || netaddr_equal(&a6, &first6));
		assert_string_equal(names_lookup(n, &kept4), "kept.test");
	}
	assert_null(names_lookup(n, &first4));
	assert_null(names_lookup(n, &first6));
	assert_string_equal(names_lookup(n, &a4), name);
	names_free(n);
}

/* All of the pool is used before an address comes again, and never two names have one. */
static void addresses_come_again_as_late_as_possible(void **state)
{
	struct names *n = names_new();
	struct netaddr first4, first6, a4, a6;
	char name[32];
	int until = 0;

	(void)state;
	(void)names_assign(n, "first.test", &first4, &first6);
	for (int i = 0; i < 140000; i++) {
		(void)snprintf(name, sizeof(name), "n%d.test", i);
		assert_int_equal(names_assign(n, name, &a4, &a6), 0);
		assert_string_equal(names_lookup(n, &a4), name);
		if (netaddr_equal(&a4, &first4)) {
			until = i;
			break;
		}
		assert_false(netaddr_equal(&a6, &first6));
	}
	assert_true(until > 131000);
	names_free(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_keeps_its_addresses),
		cmocka_unit_test(addresses_outside_the_ranges_stand_for_nothing),
		cmocka_unit_test(a_forgotten_name_leaves_its_address_dead),
		cmocka_unit_test(addresses_come_again_as_late_as_possible),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
