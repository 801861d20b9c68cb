#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/spec.h"
#include "lib/strv.h"

static void everything_survives_the_round_trip(void **state)
{
	auto_spec struct sandbox_spec s = { 0 }, back = { 0 };
	auto_free char *json = NULL, *again = NULL;

	(void)state;
	s.id = strdup("id");
	s.name = strdup("demo");
	s.created_ms = 1700000000123;
	s.workdir = strdup("/work/with \"quotes\" and ü");
	assert_int_equal(strv_push(&s.ro, "/opt/a"), 0);
	assert_int_equal(strv_push(&s.ro, "/opt/b"), 0);
	assert_int_equal(strv_push(&s.env, "A=b=c"), 0);
	s.keep = s.audit = s.tty = true;
	s.upstream_ca = strdup("/etc/ca.pem");
	s.intercept = SPEC_INTERCEPT_PTRACE;
	json = spec_to_json(&s);
	assert_non_null(json);
	assert_int_equal(spec_from_json(&back, json, strlen(json), NULL), 0);
	again = spec_to_json(&back);
	assert_string_equal(json, again);
	assert_string_equal(back.ro[1], "/opt/b");
	assert_null(back.upstream_proxy);
	assert_int_equal(back.intercept, SPEC_INTERCEPT_PTRACE);
}

static void a_string_that_is_not_utf8_is_refused(void **state)
{
	struct sandbox_spec s = { .name = (char *)(uintptr_t) "\xff" };

	(void)state;
	assert_null(spec_to_json(&s));
}

static void bad_metadata_is_refused(void **state)
{
	static const char *const bad[] = { "", "[]", "{}", "{\"name\":1}", "{\"name\":null}",
		"{\"name\":\"a\",\"nmae\":1}", "{\"name\":\"a\",\"name\":\"b\"}",
		"{\"name\":\"a\",\"keep\":1}", "{\"name\":\"a\",\"ro\":[1]}",
		"{\"name\":\"a\",\"intercept\":\"magic\"}", "{\"name\":\"a\",\"created_at_ms\":-1}",
		"{\"name\":\"a\",\"ro\":\"/x\"}" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct sandbox_spec s = { 0 };
		struct err err = { 0 };

		if (spec_from_json(&s, bad[i], strlen(bad[i]), &err) != -EINVAL || !err.text[0])
			fail_msg("accepted: %s", bad[i]);
	}
}

static void ids_are_uuids_and_differ(void **state)
{
	char a[37], b[37];

	(void)state;
	spec_new_id(a);
	spec_new_id(b);
	assert_int_equal(strlen(a), 36);
	assert_int_equal(a[14], '4');
	assert_string_not_equal(a, b);
}

struct check {
	const char *text;
	const char *reason; /* NULL: accepted */
};

static void run(const struct check *c, size_t n, int (*fn)(const char *, struct err *))
{
	for (size_t i = 0; i < n; i++) {
		struct err err = { 0 };
		int r = fn(c[i].text, &err);

		if (r != (c[i].reason ? -EINVAL : 0))
			fail_msg("'%s': %d %s", c[i].text, r, err.text);
		if (c[i].reason && !strstr(err.text, c[i].reason))
			fail_msg("'%s': '%s' lacks '%s'", c[i].text, err.text, c[i].reason);
	}
}

static void environment_entries_are_checked(void **state)
{
	static const struct check cases[] = {
		{ "KEY=value", NULL },
		{ "KEY=", NULL },
		{ "_k9=a=b", NULL },
		{ "openshell_x=x", NULL },
		{ "OPENSHELL_SECRET=val", "reserved" },
		{ "KEY=val\nue", "newline" },
		{ "KEY=val\rue", "newline" },
		{ "=x", "keys must match" },
		{ "9A=x", "keys must match" },
		{ "A-B=x", "keys must match" },
		{ "KEY", "not KEY=VALUE" },
	};

	(void)state;
	run(cases, ARRAY_SIZE(cases), spec_env_check);
}

static void labels_are_checked_as_upstream_does(void **state)
{
	static const struct check cases[] = {
		{ "my-app=x", NULL },
		{ "a1-b2_c3.d4=", NULL },
		{ "example.com/my-label=v1-2_3.4", NULL },
		{ "é=1", NULL },
		{ "=prod", "key cannot be empty" },
		{ "-app=x", "must start with alphanumeric" },
		{ "app-=x", "must end with alphanumeric" },
		{ "app@name=x", "invalid characters" },
		{ "env=-prod", "must start with alphanumeric" },
		{ "env=prod-", "must end with alphanumeric" },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=x",
			"exceeds 63 characters" },
		{ "a", "expected 'key=value'" },
	};

	(void)state;
	run(cases, ARRAY_SIZE(cases), spec_label_check);
}

static void selectors_want_every_label(void **state)
{
	char *labels[] = { (char *)(uintptr_t) "env=prod", (char *)(uintptr_t) "team=a", NULL };
	struct err err = { 0 };

	(void)state;
	assert_true(spec_selector_matches("", labels));
	assert_true(spec_selector_matches("env=prod", labels));
	assert_true(spec_selector_matches("env=prod,,team=a,", labels));
	assert_false(spec_selector_matches("env=prod,team=b", labels));
	assert_false(spec_selector_matches("env=pro", labels));
	assert_false(spec_selector_matches("env=prod", NULL));
	assert_int_equal(spec_selector_check("a=1,,b=2", &err), 0);
	assert_int_equal(spec_selector_check("a=1,b", &err), -EINVAL);
}

static void pins_name_an_address(void **state)
{
	static const struct check cases[] = {
		{ "api.github.com:443:127.0.0.1:8443", NULL },
		{ "api.github.com:443:[::1]:8443", NULL },
		{ "[2001:db8::1]:443:[::1]:8443", NULL },
		{ "", "HOST:PORT:ADDR:PORT" },
		{ "api.github.com:443", "HOST:PORT:ADDR:PORT" },
		{ "api.github.com:443:127.0.0.1:8443:", "HOST:PORT:ADDR:PORT" },
		{ "api.github.com:443:127.0.0.1:8443:9", "HOST:PORT:ADDR:PORT" },
		{ ":443:127.0.0.1:8443", "HOST:PORT:ADDR:PORT" },
		{ "a:0:127.0.0.1:8443", "between 1 and 65535" },
		{ "a:443:127.0.0.1:65536", "between 1 and 65535" },
		{ "a:443:localhost:8443", "not an IP address" },
	};

	(void)state;
	run(cases, ARRAY_SIZE(cases), spec_connect_to_check);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_survives_the_round_trip),
		cmocka_unit_test(a_string_that_is_not_utf8_is_refused),
		cmocka_unit_test(bad_metadata_is_refused),
		cmocka_unit_test(ids_are_uuids_and_differ),
		cmocka_unit_test(environment_entries_are_checked),
		cmocka_unit_test(labels_are_checked_as_upstream_does),
		cmocka_unit_test(selectors_want_every_label),
		cmocka_unit_test(pins_name_an_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
