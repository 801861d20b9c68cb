#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/event.h"

static char *formatted(const struct event *e)
{
	struct buf b;

	buf_init(&b, EVENT_LINE_MAX);
	assert_int_equal(event_format(&b, e), 0);
	return buf_steal(&b);
}

static void expect_line(const struct event *e, const char *line)
{
	auto_free char *got = formatted(e);

	assert_string_equal(got, line);
}

static void a_denied_connection_is_one_short_line(void **state)
{
	const char *const ancestors[] = { "/usr/bin/bash", "/usr/bin/env", NULL };
	struct event e = {
		.time_ms = 1775014132118,
		.level = EVENT_WARN,
		.adapter = EVENT_CONNECT,
		.action = EVENT_DENY,
		.host = "api.github.com",
		.port = 443,
		.binary = "/usr/bin/curl",
		.ancestors = ancestors,
		.pid = 64,
		.connection = 7,
		.reason = "no matching network policy",
	};

	(void)state;
	expect_line(&e,
		"{\"t\":1775014132118,\"c\":7,\"p\":64,\"l\":2,\"a\":\"CONNECT\",\"d\":\"deny\","
		"\"h\":\"api.github.com\",\"o\":443,\"b\":\"/usr/bin/curl\","
		"\"f\":[\"/usr/bin/bash\",\"/usr/bin/env\"],"
		"\"w\":\"no matching network policy\"}\n");
}

static void a_folded_line_keeps_count_and_time_at_their_place(void **state)
{
	struct event e = { .time_ms = 1775014132118, .count = 12, .until_ms = 1775014132200 };
	auto_free char *line = formatted(&e);

	(void)state;
	assert_memory_equal(line + EVENT_TIME_AT, "1775014132118", EVENT_TIME_WIDTH);
	assert_memory_equal(line + EVENT_COUNT_AT, "        12", EVENT_COUNT_WIDTH);
	assert_memory_equal(line + EVENT_UNTIL_AT, "1775014132200", EVENT_TIME_WIDTH);
	assert_memory_equal(line + EVENT_FOLD_END, ",\"l\":0", 6);
}

static void bytes_from_outside_are_escaped(void **state)
{
	struct event e = {
		.time_ms = 1775014132118,
		.level = EVENT_INFO,
		.adapter = EVENT_DNS,
		.host = "a\"b\\c\r\n\x1b]52;c\a\xff\xe2\x80\xae"
			"d\x7f",
	};

	(void)state;
	expect_line(&e,
		"{\"t\":1775014132118,\"l\":1,\"a\":\"DNS\",\"h\":\"a\\\"b\\\\c\\u000d\\u000a"
		"\\u001b]52;c\\u0007\\ufffd\\u202ed\\u007f\"}\n");
}

static void every_line_is_json(void **state)
{
	struct event e = { .time_ms = 5, .level = EVENT_ERROR, .count = 4000000000u };
	char all[256];

	(void)state;
	for (int i = 0; i < 255; i++)
		all[i] = (char)(i + 1);
	all[255] = '\0';
	e.binary = e.reason = e.target = e.message = all;
	{
		auto_free char *line = formatted(&e);
		json_t *json = json_loads(line, JSON_REJECT_DUPLICATES, NULL);

		assert_non_null(json);
		assert_int_equal(json_integer_value(json_object_get(json, "t")), 5);
		assert_int_equal(json_integer_value(json_object_get(json, "n")), 4000000000u);
		json_decref(json);
	}
}

static void a_query_on_a_target_is_cut_off(void **state)
{
	struct event e = { .time_ms = 1775014132118, .target = "/a/b?token=secret" };

	(void)state;
	expect_line(&e, "{\"t\":1775014132118,\"l\":0,\"a\":\"LIFECYCLE\",\"x\":\"/a/b\"}\n");
}

static void a_credential_placeholder_in_a_path_is_hidden(void **state)
{
	struct event e = { .time_ms = 1775014132118,
		.target = "/bot/xopenshell:resolve:env:v3_TOKEN/send?x" };

	(void)state;
	expect_line(&e, "{\"t\":1775014132118,\"l\":0,\"a\":\"LIFECYCLE\","
			"\"x\":\"/bot/[CREDENTIAL]/send\"}\n");
}

static void a_credential_placeholder_in_a_reason_is_hidden(void **state)
{
	struct event e = { .time_ms = 1775014132118,
		.reason = "POST /bot/x-OPENSHELL-RESOLVE-ENV-KEY/send not permitted by policy" };

	(void)state;
	expect_line(&e, "{\"t\":1775014132118,\"l\":0,\"a\":\"LIFECYCLE\","
			"\"w\":\"POST /bot/[CREDENTIAL]/send not permitted by policy\"}\n");
}

static void a_long_string_is_cut_and_shows_it(void **state)
{
	auto_free char *huge = malloc(3 * EVENT_FIELD_MAX);
	auto_free char *line = NULL;
	struct event e = { .time_ms = 1775014132118, .host = huge };

	(void)state;
	memset(huge, 'x', 3 * EVENT_FIELD_MAX - 1);
	huge[3 * EVENT_FIELD_MAX - 1] = '\0';
	line = formatted(&e);
	assert_in_range(strlen(line), EVENT_FIELD_MAX, EVENT_FIELD_MAX + 100);
	assert_non_null(strstr(line, "x\\u2026\"}\n"));
}

static void no_line_is_longer_than_the_maximum(void **state)
{
	auto_free char *huge = malloc(EVENT_SOURCE_MAX);
	const char *many[65];
	auto_free char *line = NULL;
	struct event e = { .ancestors = many };

	(void)state;
	memset(huge, 1, EVENT_SOURCE_MAX - 1);
	huge[EVENT_SOURCE_MAX - 1] = '\0';
	for (size_t i = 0; i < 64; i++)
		many[i] = huge;
	many[64] = NULL;
	e.message = e.host = e.addr = e.protocol = e.binary = e.policy = e.endpoint = e.rule = huge;
	e.engine = e.reason = e.nearest = e.method = e.target = e.operation = e.stack = huge;
	line = formatted(&e);
	assert_in_range(strlen(line), EVENT_SOURCE_MAX, EVENT_LINE_MAX);
}

static void a_line_that_does_not_fit_leaves_nothing(void **state)
{
	struct event e = { .host = "example.com" };
	auto_buf struct buf b = { 0 };

	(void)state;
	buf_init(&b, 40);
	assert_int_equal(event_format(&b, &e), -ENOBUFS);
	assert_int_equal(b.len, 0);
}

static void names_go_both_ways_and_unknown_ones_are_refused(void **state)
{
	enum event_adapter a = EVENT_LIFECYCLE;
	enum event_level l = EVENT_DEBUG;

	(void)state;
	for (int i = EVENT_LIFECYCLE; i <= EVENT_SOCKET; i++) {
		assert_true(event_adapter_from_name(event_adapter_name(i), &a));
		assert_int_equal(a, i);
	}
	assert_true(event_level_from_name("warn", &l));
	assert_int_equal(l, EVENT_WARN);
	assert_false(event_level_from_name("loud", &l));
	assert_string_equal(event_adapter_name(99), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_denied_connection_is_one_short_line),
		cmocka_unit_test(a_folded_line_keeps_count_and_time_at_their_place),
		cmocka_unit_test(bytes_from_outside_are_escaped),
		cmocka_unit_test(every_line_is_json),
		cmocka_unit_test(a_query_on_a_target_is_cut_off),
		cmocka_unit_test(a_credential_placeholder_in_a_path_is_hidden),
		cmocka_unit_test(a_credential_placeholder_in_a_reason_is_hidden),
		cmocka_unit_test(a_long_string_is_cut_and_shows_it),
		cmocka_unit_test(no_line_is_longer_than_the_maximum),
		cmocka_unit_test(a_line_that_does_not_fit_leaves_nothing),
		cmocka_unit_test(names_go_both_ways_and_unknown_ones_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
