#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/event_render.h"
#include "lib/stack.h"

static const char *const ancestors[] = { "/usr/bin/bash", "/usr/bin/env", NULL };

static const struct event everything = {
	.time_ms = 1775014132118,
	.level = EVENT_WARN,
	.adapter = EVENT_L7,
	.action = EVENT_AUDIT,
	.message = "m",
	.host = "example.com",
	.port = 443,
	.addr = "192.0.2.1",
	.protocol = "h2",
	.binary = "/usr/bin/curl",
	.pid = 64,
	.ancestors = ancestors,
	.policy = "p",
	.endpoint = "network_policies.p.endpoints[0]",
	.rule = "rules[1]",
	.engine = "l7",
	.reason = "because",
	.nearest = "rules[0]: method differs",
	.method = "POST",
	.target = "/a",
	.operation = "query V{v}",
	.status = 403,
	.bytes_up = 1,
	.bytes_down = 2,
	.generation = 3,
	.connection = 4,
	.count = 5,
	.until_ms = 1775014132999,
	.stack = "by=ptrace 0+10,0+20\n1 /lib/libc.so.6",
};

static char *line_of(const struct event *e)
{
	struct buf b;

	buf_init(&b, EVENT_LINE_MAX);
	assert_int_equal(event_format(&b, e), 0);
	buf_truncate(&b, b.len - 1);
	return buf_steal(&b);
}

static void what_is_written_is_read_back(void **state)
{
	auto_free char *line = line_of(&everything), *again = NULL;
	auto_event_record struct event_record r = { 0 };

	(void)state;
	assert_int_equal(event_parse(line, strlen(line), &r), 0);
	again = line_of(&r.event);
	assert_string_equal(again, line);
	assert_string_equal(r.event.ancestors[1], "/usr/bin/env");
	assert_string_equal(r.event.operation, "query V{v}");
}

static void a_peek_tells_the_same_as_a_parse(void **state)
{
	auto_free char *line = line_of(&everything);
	const char *p = line;
	size_t len = strlen(line);
	struct event_peek peek;

	(void)state;
	assert_true(event_peek(&p, &len, &peek));
	assert_ptr_equal(p, line);
	assert_int_equal(peek.time_ms, 1775014132118);
	assert_int_equal(peek.until_ms, 1775014132999);
	assert_int_equal(peek.count, 5);
	assert_int_equal(peek.level, EVENT_WARN);
	assert_int_equal(peek.adapter, EVENT_L7);
}

static void torn_and_foreign_lines_are_refused(void **state)
{
	static const char *const lines[] = {
		"",
		"{",
		"}",
		"{\"t\":}",
		"{\"t\":1}",
		"{\"t\":1,\"l\":1,\"a\":\"CONNECT\"",
		"{\"t\":1,\"l\":9,\"a\":\"CONNECT\"}",
		"{\"t\":1,\"l\":-1,\"a\":\"CONNECT\"}",
		"{\"t\":1,\"l\":1,\"a\":\"NOBODY\"}",
		"{\"t\":1,\"l\":1,\"a\":\"CONNECT\",\"d\":\"maybe\"}",
		"{\"t\":1,\"l\":1,\"a\":\"CONNECT\",\"d\":1}",
		"{\"t\":1,\"l\":1,\"a\":\"CONNECT\",\"o\":\"443\"}",
		"{\"t\":1,\"l\":1,\"a\":\"CONNECT\",\"o\":-1}",
		"{\"t\":1,\"l\":1,\"a\":\"CONNECT\",\"o\":4294967296}",
		"{\"t\":1,\"l\":1,\"a\":\"CONNECT\",\"h\":1}",
		"{\"t\":1,\"l\":1,\"a\":\"CONNECT\",\"f\":\"x\"}",
		"{\"t\":1,\"l\":1,\"a\":\"CONNECT\",\"f\":[1]}",
		"{\"t\":1,\"l\":1,\"a\":\"CONNECT\",\"h\":\"a\",\"h\":\"b\"}",
		"{\"t\":99999999999999999999999999,\"l\":1,\"a\":\"CONNECT\"}",
		"[{\"t\":1,\"l\":1,\"a\":\"CONNECT\"}]",
		"hello",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct event_record r = { 0 };

		if (event_parse(lines[i], strlen(lines[i]), &r) != -EINVAL)
			fail_msg("accepted: %s", lines[i]);
		assert_null(r.text);
	}
}

static void an_unknown_key_is_passed_over(void **state)
{
	static const char *const values[] = { "{\"x\":[1]}", "{}", "[]", "[[1],[{}],\"]\"]", "-1.5e3",
		"true", "null", "\"\\u0041\"" };
	static const char *const broken[] = { "", "[[1]", "{\"x\":[1}", "{\"x\"}", "[1 2]", "]",
		"\"x", "[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values) + ARRAY_SIZE(broken); i++) {
		bool is_broken = i >= ARRAY_SIZE(values);
		const char *value = is_broken ? broken[i - ARRAY_SIZE(values)] : values[i];
		auto_event_record struct event_record r = { 0 };
		char line[128];
		int r_want = is_broken ? -EINVAL : 0;

		(void)snprintf(line, sizeof(line),
			"{\"t\":1,\"l\":1,\"a\":\"CONNECT\",\"future\":%s}", value);
		if (event_parse(line, strlen(line), &r) != r_want)
			fail_msg("%s: %s", is_broken ? "accepted" : "refused", line);
	}
}

static void strings_are_what_json_says(void **state)
{
	static const struct {
		const char *json, *text; /* NULL: refused */
	} cases[] = {
		{ "plain", "plain" },
		{ "\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t" },
		{ "\\u0041\\u00e9\\u20ac\\ud83d\\ude00", "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ "\xc3\xa9 long enough", "\xc3\xa9 long enough" },
		{ "\x7f", "\x7f" },
		{ "\\u0000", NULL },
		{ "\\ud83d", NULL },
		{ "\\ud83dx", NULL },
		{ "\\ud83d\\u0041", NULL },
		{ "\\ude00", NULL },
		{ "\\u12", NULL },
		{ "\\u12g4", NULL },
		{ "\\x41", NULL },
		{ "\\", NULL },
		{ "\xff", NULL },
		{ "\xc3", NULL },
		{ "a\tb", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_event_record struct event_record r = { 0 };
		char line[128];
		int got;

		(void)snprintf(line, sizeof(line), "{\"t\":1,\"l\":1,\"a\":\"DNS\",\"h\":\"%s\"}",
			cases[i].json);
		got = event_parse(line, strlen(line), &r);
		if (got != (cases[i].text ? 0 : -EINVAL))
			fail_msg("%d: %s", got, line);
		if (cases[i].text)
			assert_string_equal(r.event.host, cases[i].text);
	}
}

static void keys_may_come_in_any_order_with_blanks(void **state)
{
	static const char line[] = "{\"t\":1,\"l\":1,\"a\":\"DNS\" , \"gen\" : 7, \"f\": [ \"x\" ,\"y\" ], "
				   "\"h\":\"a\",\"d\":\"deny\",\"up\":0}";
	auto_event_record struct event_record r = { 0 };

	(void)state;
	assert_int_equal(event_parse(line, strlen(line), &r), 0);
	assert_int_equal(r.event.generation, 7);
	assert_string_equal(r.event.ancestors[1], "y");
	assert_null(r.event.ancestors[2]);
	assert_int_equal(r.event.action, EVENT_DENY);
}

static void long_lists_are_whole(void **state)
{
	const char *many[51] = { 0 };
	struct event e = { .time_ms = 1, .adapter = EVENT_DNS, .ancestors = many };
	auto_event_record struct event_record r = { 0 };
	auto_free char *line = NULL;
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(many) - 1; i++)
		many[i] = "/usr/bin/sh";
	line = line_of(&e);
	assert_int_equal(event_parse(line, strlen(line), &r), 0);
	while (r.event.ancestors[n])
		n++;
	assert_int_equal(n, 50);
}

static void a_whole_event_behind_a_torn_one_is_found(void **state)
{
	static const char line[] = "{\"t\":5,\"l\":1,\"a\":\"CONNECT\",\"z\":\"query {v"
				   "{\"t\":7,\"l\":2,\"a\":\"L7\",\"z\":\"query V{v}\"}";
	auto_event_record struct event_record r = { 0 };
	const char *p = line;
	size_t len = strlen(line);
	struct event_peek peek;

	(void)state;
	assert_true(event_peek(&p, &len, &peek));
	assert_int_equal(peek.time_ms, 7);
	assert_int_equal(event_parse(line, strlen(line), &r), 0);
	assert_string_equal(r.event.operation, "query V{v}");
}

static void expect_text(const struct event *e, const char *line)
{
	auto_buf struct buf out = { 0 };

	buf_init(&out, 65536);
	assert_int_equal(event_render_text(&out, e, false), 0);
	assert_string_equal(buf_cstr(&out), line);
}

static void connections_read_as_the_command_line_page_says(void **state)
{
	struct event e = {
		.time_ms = 1775016272690,
		.level = EVENT_WARN,
		.adapter = EVENT_CONNECT,
		.action = EVENT_DENY,
		.host = "api.github.com",
		.port = 443,
		.binary = "/usr/bin/curl",
		.pid = 64,
		.reason = "no matching network policy",
	};

	(void)state;
	expect_text(&e, "2026-04-01T04:04:32.690Z WARN [CONNECT] action=deny "
			"dst_host=api.github.com dst_port=443 binary=/usr/bin/curl "
			"deny_reason=\"no matching network policy\" pid=64\n");
	e.level = EVENT_INFO;
	e.action = EVENT_ALLOW;
	e.reason = NULL;
	e.policy = "github-api-readonly";
	e.pid = 71;
	expect_text(&e, "2026-04-01T04:04:32.690Z INFO [CONNECT] action=allow "
			"dst_host=api.github.com dst_port=443 binary=/usr/bin/curl "
			"policy=github-api-readonly pid=71\n");
}

static void requests_read_as_the_command_line_page_says(void **state)
{
	struct event e = {
		.time_ms = 1775016309402,
		.level = EVENT_WARN,
		.adapter = EVENT_L7,
		.action = EVENT_DENY,
		.host = "api.github.com",
		.method = "POST",
		.target = "/repos/octocat/hello-world/issues",
		.reason = "POST /repos/octocat/hello-world/issues not permitted by policy",
		.policy = "github-api-readonly",
	};

	(void)state;
	expect_text(&e, "2026-04-01T04:05:09.402Z WARN [L7] l7_decision=deny "
			"dst_host=api.github.com l7_action=POST "
			"l7_target=/repos/octocat/hello-world/issues l7_deny_reason=\"POST "
			"/repos/octocat/hello-world/issues not permitted by policy\" "
			"policy=github-api-readonly\n");
}

static void every_field_has_a_key(void **state)
{
	(void)state;
	expect_text(&everything,
		"2026-04-01T03:28:52.118Z WARN [L7] l7_decision=audit dst_host=example.com "
		"l7_action=POST l7_target=/a l7_deny_reason=because policy=p dst_port=443 "
		"binary=/usr/bin/curl pid=64 dst_ip=192.0.2.1 message=m protocol=h2 "
		"operation=\"query V{v}\" status=403 endpoint=network_policies.p.endpoints[0] "
		"rule=rules[1] engine=l7 nearest=\"rules[0]: method differs\" "
		"ancestors=\"/usr/bin/bash -> /usr/bin/env\" generation=3 connection=4 bytes_up=1 "
		"bytes_down=2 stack=ptrace:2 count=5 until=2026-04-01T03:28:52.999Z\n");
}

static void files_and_sockets_are_named_by_path(void **state)
{
	struct event e = {
		.time_ms = 1775016309402,
		.level = EVENT_WARN,
		.adapter = EVENT_UNIX,
		.action = EVENT_DENY,
		.addr = "/run/docker.sock",
		.binary = "/usr/bin/docker",
		.reason = "host socket",
	};

	(void)state;
	expect_text(&e, "2026-04-01T04:05:09.402Z WARN [UNIX] action=deny path=/run/docker.sock "
			"binary=/usr/bin/docker deny_reason=\"host socket\"\n");
}

static void bytes_from_outside_cannot_forge_a_line(void **state)
{
	struct event e = {
		.time_ms = 1775016309402,
		.level = EVENT_WARN,
		.adapter = EVENT_TCP,
		.action = EVENT_DENY,
		.host = "a\n2026 INFO [TCP] action=allow",
		.binary = "/tmp/\x1b]52;c;x\a\"q\\\xe2\x80\xae",
	};

	(void)state;
	expect_text(&e, "2026-04-01T04:05:09.402Z WARN [TCP] action=deny "
			"dst_host=\"a\\x0a2026 INFO [TCP] action=allow\" "
			"binary=\"/tmp/\\x1b]52;c;x\\x07\\\"q\\\\\\u{202e}\"\n");
	/* Blanks that are not the space: em, no-break, ideographic, Braille, Hangul filler. */
	e.host = "h";
	e.binary = "/tmp/x\xe2\x80\x83policy=a\xc2\xa0pid=1\xe3\x80\x80z\xe2\xa0\x80z\xe3\x85\xa4z\xc3\xa9";
	expect_text(&e, "2026-04-01T04:05:09.402Z WARN [TCP] action=deny dst_host=h "
			"binary=/tmp/x\\u{2003}policy=a\\xa0pid=1\\u{3000}z\\u{2800}z\\u{3164}z\xc3\xa9\n");
}

static void colours_come_only_when_asked_for(void **state)
{
	struct event e = { .time_ms = 1775016309402, .level = EVENT_WARN, .message = "m" };
	auto_buf struct buf out = { 0 };

	(void)state;
	buf_init(&out, 65536);
	assert_int_equal(event_render_text(&out, &e, true), 0);
	assert_string_equal(buf_cstr(&out), "2026-04-01T04:05:09.402Z\033[33m WARN\033[0m "
					    "[LIFECYCLE] message=m\n");
}

/* Names come from files that the workload wrote, paths from it, too. */
static void a_stack_stands_below_its_line(void **state)
{
	struct stack s = { .by = STACK_PTRACE };
	struct event e = { .time_ms = 1775016309402, .level = EVENT_WARN, .message = "m", .frames = &s };
	auto_buf struct buf out = { 0 };

	(void)state;
	buf_init(&out, 65536);
	assert_int_equal(stack_add_module(&s, "/tmp/a\nb", 1), 0);
	assert_int_equal(stack_add_frame(&s, 0, 0x1234), 0);
	assert_int_equal(stack_add_frame(&s, 0, 0x99), 0);
	s.frames[0].symbol = "ask\033[2J\xff";
	s.frames[0].into = 7;
	assert_int_equal(event_render_text(&out, &e, false), 0);
	assert_string_equal(buf_cstr(&out), "2026-04-01T04:05:09.402Z WARN [LIFECYCLE] message=m\n"
					    "    stack by=ptrace\n"
					    "    #0  ask\\x1b[2J\\xff+0x7  /tmp/a\\x0ab+0x1234\n"
					    "    #1  /tmp/a\\x0ab+0x99\n");
	buf_reset(&out);
	s = (struct stack){ .reason = "it took\ntoo long" };
	assert_int_equal(event_render_text(&out, &e, false), 0);
	assert_string_equal(buf_cstr(&out), "2026-04-01T04:05:09.402Z WARN [LIFECYCLE] message=m\n"
					    "    stack by=none: it took\\x0atoo long\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read_back),
		cmocka_unit_test(a_peek_tells_the_same_as_a_parse),
		cmocka_unit_test(torn_and_foreign_lines_are_refused),
		cmocka_unit_test(an_unknown_key_is_passed_over),
		cmocka_unit_test(strings_are_what_json_says),
		cmocka_unit_test(keys_may_come_in_any_order_with_blanks),
		cmocka_unit_test(long_lists_are_whole),
		cmocka_unit_test(a_whole_event_behind_a_torn_one_is_found),
		cmocka_unit_test(connections_read_as_the_command_line_page_says),
		cmocka_unit_test(requests_read_as_the_command_line_page_says),
		cmocka_unit_test(every_field_has_a_key),
		cmocka_unit_test(files_and_sockets_are_named_by_path),
		cmocka_unit_test(bytes_from_outside_cannot_forge_a_line),
		cmocka_unit_test(colours_come_only_when_asked_for),
		cmocka_unit_test(a_stack_stands_below_its_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
