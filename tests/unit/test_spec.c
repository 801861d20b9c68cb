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

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void environment_entries_are_checked(void **state)
{
	static const struct check cases[] = {
		{ "KEY=value", NULL },
		{ "KEY=", NULL },
		{ "_k9=a=b", NULL },
		{ "openshell_x=x", NULL },
		{ "K0=x", NULL },
		{ "OPENSHELL_SECRET=val", "reserved" },
		{ "v1_KEY=x", "reserved" },
		{ "v10_=x", "reserved" },
		{ "v1KEY=x", NULL },
		{ "v_KEY=x", NULL },
		{ "V1_KEY=x", NULL },
		{ "s" HEX64 "_KEY=x", "reserved" },
		{ "s" HEX64 "KEY=x", NULL },
		{ "s" HEX64 "0_KEY=x", NULL },
		{ "t" HEX64 "_KEY=x", NULL },
		{ "sabc_KEY=x", NULL },
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

static char *filled(const char *head, char with, size_t n)
{
	size_t len = strlen(head);
	char *s = calloc(1, len + n + 1);

	assert_non_null(s);
	memcpy(s, head, len);
	memset(s + len, with, n);
	return s;
}

static void an_environment_has_its_limits(void **state)
{
	auto_free char *value = filled("KEY=", 'v', SPEC_ENV_VALUE_MAX), *longer = filled("KEY=", 'v', SPEC_ENV_VALUE_MAX + 1);
	auto_free char *key = filled("", 'K', SPEC_ENV_KEY_MAX + 1);
	char *env[SPEC_ENV_MAX + 2] = { NULL };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(spec_env_check(value, &err), 0);
	assert_int_equal(spec_env_check(longer, &err), -EINVAL);
	assert_string_equal(err.text, "the value of 'KEY' exceeds 8192 bytes");
	key[SPEC_ENV_KEY_MAX] = '=';
	assert_int_equal(spec_env_check(key, &err), 0);
	assert_int_equal(spec_env_check_all(NULL, &err), 0);
	for (size_t i = 0; i < SPEC_ENV_MAX; i++)
		env[i] = (char *)(uintptr_t) "A=1";
	assert_int_equal(spec_env_check_all(env, &err), 0);
	env[SPEC_ENV_MAX] = (char *)(uintptr_t) "B=1";
	assert_int_equal(spec_env_check_all(env, &err), -EINVAL);
	assert_string_equal(err.text, "more than 128 variables");
	for (size_t i = 0; i <= SPEC_ENV_MAX; i++)
		env[i] = i < 31 ? value : NULL;
	assert_int_equal(spec_env_check_all(env, &err), 0);
	env[31] = value; /* 32 of them, each 4 bytes beyond 8 KiB */
	assert_int_equal(spec_env_check_all(env, &err), -EINVAL);
	assert_string_equal(err.text, "more than 262144 bytes of variables");
	env[3] = (char *)(uintptr_t) "OPENSHELL_X=1";
	assert_int_equal(spec_env_check_all(env, &err), -EINVAL);
	assert_string_equal(err.text, "'OPENSHELL_X' is reserved");
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
		{ "/a=x", "key prefix cannot be empty" },
		{ "ex_ample/a=x", "key prefix has invalid characters" },
		{ "example.com/=x", "key cannot be empty after '/'" },
		{ "a/b/c=x", "key has invalid characters" },
	};
	auto_free char *longest = filled("", 'k', 255), *longer = filled("", 'k', 255);
	struct err err = { 0 };

	(void)state;
	run(cases, ARRAY_SIZE(cases), spec_label_check);
	longest[200] = longer[200] = '/';
	longest[253] = longer[254] = '=';
	assert_int_equal(spec_label_check(longest, &err), 0);
	assert_int_equal(spec_label_check(longer, &err), -EINVAL);
	assert_string_equal(err.text, "label key exceeds 253 characters");
}

static void selectors_want_every_label(void **state)
{
	char *labels[] = { (char *)(uintptr_t) "env=prod", (char *)(uintptr_t) "team=a", NULL };
	char many[4 * SPEC_LABELS_MAX + 8] = "";
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
	for (size_t i = 0; i < SPEC_LABELS_MAX; i++)
		(void)strcat(many, "a=1,");
	assert_int_equal(spec_selector_check(many, &err), 0);
	(void)strcat(many, "a=1");
	assert_int_equal(spec_selector_check(many, &err), -EINVAL);
	assert_string_equal(err.text, "more than 64 labels in the selector");
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
		{ "[::1:443:127.0.0.1:8443", "HOST:PORT:ADDR:PORT" },
		{ "[::1]x:443:127.0.0.1:8443", "HOST:PORT:ADDR:PORT" },
		{ "[::1]", "HOST:PORT:ADDR:PORT" },
		{ "a:1:127.0.0.1:65535", NULL },
		{ "a:443:[::1", "HOST:PORT:ADDR:PORT" },
	};
	auto_free char *longer = filled("", 'h', 1000);
	struct err err = { 0 };

	(void)state;
	run(cases, ARRAY_SIZE(cases), spec_connect_to_check);
	assert_int_equal(spec_connect_to_check(longer, &err), -EINVAL);
	assert_non_null(strstr(err.text, "hhh…' is too long for HOST:PORT:ADDR:PORT"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_survives_the_round_trip),
		cmocka_unit_test(a_string_that_is_not_utf8_is_refused),
		cmocka_unit_test(bad_metadata_is_refused),
		cmocka_unit_test(ids_are_uuids_and_differ),
		cmocka_unit_test(environment_entries_are_checked),
		cmocka_unit_test(an_environment_has_its_limits),
		cmocka_unit_test(labels_are_checked_as_upstream_does),
		cmocka_unit_test(selectors_want_every_label),
		cmocka_unit_test(pins_name_an_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
