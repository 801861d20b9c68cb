#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/cli.h"
#include "launcher/out.h"
#include "lib/cleanup.h"
#include "lib/str.h"
#include "lib/strv.h"

struct opts {
	bool flag;
	int choice;
	const char *text;
	char **list;
	unsigned int number;
	enum out_format format;
};

#define AT(field) offsetof(struct opts, field)

static const struct cli_option options[] = {
	{ CLI_FLAG, "flag", 'f', AT(flag), 0, NULL, "" },
	{ CLI_CHOICE, "yes", 'y', AT(choice), 1, NULL, "" },
	{ CLI_CHOICE, "no", 'n', AT(choice), -1, NULL, "" },
	{ CLI_STR, "text", 't', AT(text), 0, "TEXT", "" },
	{ CLI_LIST, "list", 'l', AT(list), 0, "ITEM", "" },
	{ CLI_UINT, "number", 0, AT(number), 100, "N", "" },
	{ CLI_FORMAT, "output", 'o', AT(format), 0, "FORMAT", "" },
	{ CLI_REFUSED, "from", 0, 0, 0, NULL, "because" },
	{ CLI_IGNORED, "old", 0, 0, 0, "VALUE", "" },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

static const struct cli_command plain = { .name = "plain", .options = options, .max_args = 2 };
static const struct cli_command dashes = {
	.name = "dashes", .options = options, .trailing = CLI_COMMAND
};
static const struct cli_command here = {
	.name = "here", .options = options, .trailing = CLI_COMMAND_HERE
};

const struct cli_command cli_root = { .name = "openshell" };

/* Parses the words of @line; standard error goes away meanwhile. */
static int parse(
	const struct cli_command *cmd, const char *line, struct opts *o, struct cli_args *a)
{
	static char text[512];
	static char *argv[64];
	int argc = 0, saved = dup(2), null = open("/dev/null", O_WRONLY), r;

	memset(o, 0, sizeof(*o));
	(void)str_copy(text, sizeof(text), line);
	for (char *w = strtok(text, " "); w; w = strtok(NULL, " "))
		argv[argc++] = w;
	argv[argc] = NULL;
	(void)dup2(null, 2);
	r = cli_parse(cmd, argc, argv, o, a);
	(void)dup2(saved, 2);
	(void)close(saved);
	(void)close(null);
	return r;
}

static void options_and_arguments_mix(void **state)
{
	struct cli_args a;
	struct opts o;

	(void)state;
	assert_int_equal(parse(&plain, "plain one -f two --text=x --number 7 -o json", &o, &a), -1);
	assert_int_equal(a.n_pos, 2);
	assert_string_equal(a.pos[0], "one");
	assert_string_equal(a.pos[1], "two");
	assert_null(a.pos[2]);
	assert_true(o.flag);
	assert_string_equal(o.text, "x");
	assert_int_equal(o.number, 7);
	assert_int_equal(o.format, OUT_JSON);
}

static void letters_combine_and_take_values(void **state)
{
	struct cli_args a;
	struct opts o;

	(void)state;
	assert_int_equal(parse(&plain, "plain -fyt hello", &o, &a), -1);
	assert_true(o.flag);
	assert_int_equal(o.choice, 1);
	assert_string_equal(o.text, "hello");
	assert_int_equal(parse(&plain, "plain -thello", &o, &a), -1);
	assert_string_equal(o.text, "hello");
}

static void lists_grow(void **state)
{
	struct cli_args a;
	struct opts o;

	(void)state;
	assert_int_equal(parse(&plain, "plain --list a -l b --list=c", &o, &a), -1);
	assert_int_equal(strv_len(o.list), 3);
	assert_string_equal(o.list[2], "c");
	strv_free(o.list);
}

static void wrong_usage_is_status_two(void **state)
{
	static const char *const lines[] = { "plain --bogus", "plain -z", "plain --text",
		"plain --flag=x", "plain --number 101", "plain --number -1", "plain --number x",
		"plain -o xml", "plain one two three", "plain --yes --no", "plain --from",
		"plain --from=x", "plain -- cmd", "plain --old" };
	struct cli_args a;
	struct opts o;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		if (parse(&plain, lines[i], &o, &a) != CLI_USAGE)
			fail_msg("%s", lines[i]);
	}
}

static void what_means_nothing_here_is_passed_over(void **state)
{
	struct cli_args a;
	struct opts o;

	(void)state;
	assert_int_equal(parse(&plain, "plain --old x -g gw --workspace=w -vv one", &o, &a), -1);
	assert_int_equal(a.n_pos, 1);
	assert_string_equal(a.pos[0], "one");
}

static void a_command_after_dashes_is_left_alone(void **state)
{
	struct cli_args a;
	struct opts o;

	(void)state;
	assert_int_equal(parse(&dashes, "dashes -f -- ls --text -- -l", &o, &a), -1);
	assert_int_equal(a.n_command, 4);
	assert_string_equal(a.command[0], "ls");
	assert_string_equal(a.command[2], "--");
	assert_null(a.command[4]);
	assert_null(o.text);
	assert_int_equal(parse(&dashes, "dashes ls", &o, &a), CLI_USAGE);
}

static void a_command_may_start_with_the_first_argument(void **state)
{
	struct cli_args a;
	struct opts o;

	(void)state;
	assert_int_equal(parse(&here, "here -f ls -l --text", &o, &a), -1);
	assert_int_equal(a.n_command, 3);
	assert_string_equal(a.command[1], "-l");
	assert_null(o.text);
	assert_int_equal(parse(&here, "here -f -- ls -l", &o, &a), -1);
	assert_int_equal(a.n_command, 2);
}

static void a_dash_alone_is_an_argument(void **state)
{
	struct cli_args a;
	struct opts o;

	(void)state;
	assert_int_equal(parse(&plain, "plain --text - -", &o, &a), -1);
	assert_string_equal(o.text, "-");
	assert_string_equal(a.pos[0], "-");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_and_arguments_mix),
		cmocka_unit_test(letters_combine_and_take_values),
		cmocka_unit_test(lists_grow),
		cmocka_unit_test(wrong_usage_is_status_two),
		cmocka_unit_test(what_means_nothing_here_is_passed_over),
		cmocka_unit_test(a_command_after_dashes_is_left_alone),
		cmocka_unit_test(a_command_may_start_with_the_first_argument),
		cmocka_unit_test(a_dash_alone_is_an_argument),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
