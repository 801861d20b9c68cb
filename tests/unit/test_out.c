#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "launcher/cli.h"
#include "launcher/out.h"
#include "launcher/sandbox.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/str.h"

/* The table belongs to main.c, which tests do not link. */
const struct cli_command cli_root = { .name = "openshell" };

static int saved, captured;

static void capture_begin(void)
{
	(void)fflush(stdout);
	saved = dup(STDOUT_FILENO);
	captured = memfd_create("out", MFD_CLOEXEC);
	(void)dup2(captured, STDOUT_FILENO);
}

static char *capture_end(void)
{
	char *text = NULL;

	(void)fflush(stdout);
	(void)dup2(saved, STDOUT_FILENO);
	(void)close(saved);
	assert_int_equal(fd_slurp(captured, 1 << 20, &text, NULL), 0);
	(void)close(captured);
	return text;
}

static char *rendered(const char *json, enum out_format format)
{
	json_t *v = json_loads(json, JSON_DECODE_ANY, NULL);

	assert_non_null(v);
	capture_begin();
	assert_int_equal(out_json(v, format), CLI_OK);
	return capture_end();
}

static void yaml_says_what_json_says(void **state)
{
	static const char *const cases[] = {
		"{\"a\":1,\"b\":[1,2,{\"c\":null}],\"d\":{},\"e\":[],\"f\":true}",
		"{\"yes\":\"yes\",\"no\":\"No\",\"null\":\"null\",\"num\":\"12\",\"float\":"
		"\"1e3\"}",
		"{\"empty\":\"\",\"blank\":\" \",\"dash\":\"-\",\"colon\":\"a: b\",\"hash\":\"a "
		"#b\"}",
		"{\"quote\":\"say "
		"\\\"hi\\\"\",\"nl\":\"a\\nb\",\"back\":\"a\\\\b\",\"tab\":\"\\t\"}",
		"{\"umlaut\":\"\\u00fc\",\"esc\":\"\\u001b[31m\",\"path\":\"/usr/bin\"}",
		"[[1,[2]],[{\"a\":[{\"b\":1}]}]]",
		"{\"a key\":{\"nested\":{\"deep\":[\"x\",\"*y\",\"&z\",\"!t\",\"%d\",\"@e\"]}}}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_free char *yaml = rendered(cases[i], OUT_YAML);
		json_t *want = json_loads(cases[i], 0, NULL), *got = sandbox_policy_json(yaml);

		if (!json_equal(want, got))
			fail_msg("%s\nbecame\n%s", cases[i], yaml);
		json_decref(want);
		json_decref(got);
	}
}

static void no_output_format_lets_escapes_through(void **state)
{
	auto_free char *json = rendered("{\"a\":\"\\u001b[2J\\u202e\\u009b\"}", OUT_JSON);
	auto_free char *yaml = rendered("{\"a\":\"\\u001b[2J\\u202e\\u009b\"}", OUT_YAML);

	(void)state;
	for (const char *s = json; *s; s++)
		assert_true(*s == '\n' || (*s >= ' ' && *s <= '~'));
	assert_null(strchr(yaml, '\033'));
	assert_null(strstr(yaml, "\342\200\256"));
}

static void tables_are_aligned_and_escaped(void **state)
{
	static const char *const cells[] = { "NAME", "STATE", "X", "a", "up\033[31m", NULL,
		"l\303\274nger", NULL, "z" };
	auto_free char *text = NULL;

	(void)state;
	capture_begin();
	out_table(cells, 3, 3);
	text = capture_end();
	assert_null(strchr(text, '\033'));
	assert_non_null(strstr(text, "NAME    STATE"));
	assert_non_null(strstr(text, "a       up\\x1b[31m\n"));
	assert_non_null(strstr(text, "l\303\274nger  "));
}

static void times_are_utc(void **state)
{
	char text[24];

	(void)state;
	out_time(text, 1775016272690);
	assert_string_equal(text, "2026-04-01 04:04:32");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(yaml_says_what_json_says),
		cmocka_unit_test(no_output_format_lets_escapes_through),
		cmocka_unit_test(tables_are_aligned_and_escaped),
		cmocka_unit_test(times_are_utc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
