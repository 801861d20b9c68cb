#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "lib/barred.h"
#include "lib/cleanup.h"
#include "lib/policy.h"

static struct barred *barred(char *const *list)
{
	struct barred *b = NULL;
	struct err err = { 0 };

	if (barred_new(list, &b, &err) < 0)
		fail_msg("%s", err.text);
	return b;
}

static void hosts_ports_and_patterns_are_closed(void **state)
{
	char *list[] = { (char *)"Example.com.", (char *)"*.wild.test", (char *)"**.deep.test",
		(char *)"port.test:8443", (char *)"192.0.2.7", (char *)"[2001:db8::1]:443",
		(char *)"2001:DB8::2", NULL };
	static const struct {
		const char *host;
		uint16_t port;
		const char *by; /* NULL: open */
	} cases[] = {
		{ "example.com", 443, "Example.com." },
		{ "www.example.com", 443, NULL },
		{ "a.wild.test", 1, "*.wild.test" },
		{ "a.b.wild.test", 1, NULL },
		{ "wild.test", 1, NULL },
		{ "a.b.deep.test", 1, "**.deep.test" },
		{ "port.test", 8443, "port.test:8443" },
		{ "port.test", 443, NULL },
		{ "192.0.2.7", 80, "192.0.2.7" },
		{ "2001:db8::1", 443, "[2001:db8::1]:443" },
		{ "2001:db8::1", 80, NULL },
		{ "2001:db8::2", 80, "2001:DB8::2" },
	};
	struct barred *b = barred(list);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *by = barred_find(b, cases[i].host, cases[i].port);

		if (by ? !cases[i].by || strcmp(by, cases[i].by) != 0 : cases[i].by != NULL)
			fail_msg("%s: %s", cases[i].host, by ? by : "open");
	}
	barred_free(b);
}

static void what_is_no_host_is_refused_with_the_reason(void **state)
{
	static const char *const bad[] = { "", "*", "**", "*.*", ":443", "a b", "h:0", "h:65536",
		"h:x", "http://h", "h/path" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char *list[] = { (char *)(uintptr_t)bad[i], NULL };
		struct barred *b = NULL;
		struct err err = { 0 };

		if (barred_new(list, &b, &err) != -EINVAL || !err.text[0])
			fail_msg("accepted: '%s'", bad[i]);
		assert_null(b);
	}
}

static void a_closed_destination_is_denied_whatever_the_policy_says(void **state)
{
	static const char yaml[] = "version: 1\nnetwork_policies:\n  a:\n    endpoints:\n"
				   "      - { host: example.com, port: 443 }\n"
				   "    binaries: [ { path: /usr/bin/curl } ]\n";
	char *list[] = { (char *)"example.com", NULL };
	struct barred *b = barred(list);
	struct intent in = { .host = "example.com", .port = 443, .binary = "/usr/bin/curl" };
	struct policy *p = NULL;
	struct decision d;

	(void)state;
	assert_int_equal(policy_load(yaml, strlen(yaml), &p, NULL), 0);
	policy_decide(p, &in, &d);
	assert_int_equal(d.verdict, VERDICT_ALLOW);
	in.barred = b;
	policy_decide(p, &in, &d);
	assert_int_equal(d.verdict, VERDICT_DENY);
	assert_true(d.is_barred);
	assert_string_equal(d.reason, "closed by --deny example.com");
	policy_unref(p);
	barred_free(b);
}

static void nothing_is_closed_by_nothing(void **state)
{
	struct barred *b = barred(NULL);

	(void)state;
	assert_null(barred_find(b, "example.com", 443));
	assert_null(barred_find(NULL, "example.com", 443));
	barred_free(b);
	barred_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_ports_and_patterns_are_closed),
		cmocka_unit_test(what_is_no_host_is_refused_with_the_reason),
		cmocka_unit_test(a_closed_destination_is_denied_whatever_the_policy_says),
		cmocka_unit_test(nothing_is_closed_by_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
