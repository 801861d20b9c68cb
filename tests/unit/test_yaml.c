#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/buf.h"
#include "lib/yaml.h"

static char first[600]; /* "line:column text" of the first error */
static unsigned int n_errors;

static void on_error(void *opaque, struct yaml_pos pos, const char *text)
{
	(void)opaque;
	if (n_errors++ == 0)
		snprintf(first, sizeof(first), "%u:%u %s", pos.line, pos.column, text);
}

static int load(struct arena *a, const char *text, size_t len, const struct yaml_node **ret)
{
	n_errors = 0;
	first[0] = '\0';
	arena_init(a, YAML_ARENA_MAX);
	return yaml_load(a, text, len, on_error, NULL, ret);
}

static void refused(const char *text, const char *error)
{
	const struct yaml_node *root = NULL;
	struct arena a;

	assert_int_not_equal(load(&a, text, strlen(text), &root), 0);
	assert_null(root);
	arena_done(&a);
	if (!strstr(first, error))
		fail_msg("'%s': not '%s'", first, error);
}

static void nodes_know_their_place(void **state)
{
	static const char text[] = "a: 1\nlist:\n  - x\n  - { b: 'two' }\n";
	const struct yaml_node *root, *list;
	struct arena a;

	(void)state;
	assert_int_equal(load(&a, text, strlen(text), &root), 0);
	assert_int_equal(root->type, YAML_MAP);
	assert_int_equal(root->n, 2);
	list = root->map[1].value;
	assert_int_equal(list->type, YAML_LIST);
	assert_int_equal(list->list[0]->pos.line, 3);
	assert_int_equal(list->list[0]->pos.column, 5);
	assert_string_equal(list->list[1]->map[0].value->text, "two");
	assert_false(list->list[1]->map[0].value->is_plain);
	arena_done(&a);
}

static void an_empty_text_has_no_root(void **state)
{
	const struct yaml_node *root = (const struct yaml_node *)first;
	struct arena a;

	(void)state;
	assert_int_equal(load(&a, "# nothing\n", 10, &root), 0);
	assert_null(root);
	arena_done(&a);
}

static void an_empty_collection_may_be_all_there_is(void **state)
{
	const struct yaml_node *root;
	struct arena a;

	(void)state;
	assert_int_equal(load(&a, "[]\n", 3, &root), 0);
	assert_int_equal(root->type, YAML_LIST);
	assert_int_equal(root->n, 0);
	arena_done(&a);
}

static void an_alias_shares_its_anchor(void **state)
{
	static const char text[] = "a: &x [1, 2]\nb: *x\n";
	const struct yaml_node *root;
	struct arena a;

	(void)state;
	assert_int_equal(load(&a, text, strlen(text), &root), 0);
	assert_ptr_equal(root->map[0].value, root->map[1].value);
	arena_done(&a);
}

static void what_has_two_meanings_is_refused(void **state)
{
	(void)state;
	refused("a: 1\nb: 2\na: 3\n", "3:1 duplicate key 'a' (first on line 1)");
	refused("a: !!int 1\n", "tags are not supported");
	refused("%TAG ! tag:x,2000:\n---\na: 1\n", "tags are not supported");
	refused("a: 1\n---\nb: 2\n", "more than one document");
	refused("x: &x { a: 1 }\ny:\n  <<: *x\n", "merge keys");
	refused("? [a, b]\n: 1\n", "a key must be a string");
	refused("a: *nowhere\n", "unknown anchor '*nowhere'");
	refused("a: &a [*a]\n", "contains itself");
	refused("a: \"x\\0y\"\n", "NUL in a string");
	refused("a:\n\t- b\n", "2:1");
	refused("a: [1, 2\n", "");
}

static void every_duplicate_is_told(void **state)
{
	const struct yaml_node *root;
	struct arena a;
	char text[4096];
	size_t at = 0;

	(void)state;
	for (int i = 0; i < 30; i++)
		at += (size_t)sprintf(text + at, "k%d: 1\n", i % 25);
	assert_int_equal(load(&a, text, at, &root), -EINVAL);
	assert_int_equal(n_errors, 5);
	arena_done(&a);
}

static void utf16_is_not_guessed(void **state)
{
	static const char text[] = "\xff\xfe"
				   "a\0:\0 \0"
				   "1\0";
	const struct yaml_node *root;
	struct arena a;

	(void)state;
	assert_int_not_equal(load(&a, text, sizeof(text) - 1, &root), 0);
	arena_done(&a);
}

/* Ten levels of ten aliases each: ten thousand million values from one kilobyte. */
static void an_alias_bomb_is_refused(void **state)
{
	char text[2048];
	size_t at = (size_t)sprintf(text, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");

	(void)state;
	for (int i = 1; i < 10; i++) {
		at += (size_t)sprintf(text + at, "a%d: &a%d [", i, i);
		for (int k = 0; k < 10; k++)
			at += (size_t)sprintf(text + at, "%s*a%d", k ? ", " : "", i - 1);
		at += (size_t)sprintf(text + at, "]\n");
	}
	refused(text, "too large");
}

static void depth_has_a_limit(void **state)
{
	char text[512];

	(void)state;
	memset(text, '[', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	refused(text, "nested deeper than 64");
}

static void ten_megabytes_are_read_or_refused_in_bounded_time(void **state)
{
	static const char *const parts[] = { "a,", "*x,", "[],", "'',", "{a: b},", "-\n", "? a\n" };
	const struct yaml_node *root;

	(void)state;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		auto_buf struct buf b;
		struct arena a;

		buf_init(&b, 12 << 20);
		(void)buf_puts(&b, strchr(parts[i], '\n') ? "" : "x: &x 1\ny: [");
		while (b.len < 10 << 20)
			(void)buf_puts(&b, parts[i]);
		(void)load(&a, buf_head(&b), b.len, &root);
		arena_done(&a);
	}
}

static enum yaml_kind kind_of(const char *scalar)
{
	struct yaml_node n = { .type = YAML_SCALAR, .is_plain = true, .text = scalar };

	return yaml_kind(&n);
}

static void scalars_read_as_yaml_1_2_says(void **state)
{
	struct yaml_node quoted = { .type = YAML_SCALAR, .text = "1" };

	(void)state;
	assert_int_equal(kind_of("no"), YAML_STRING);
	assert_int_equal(kind_of("on"), YAML_STRING);
	assert_int_equal(kind_of("true"), YAML_BOOL);
	assert_int_equal(kind_of("~"), YAML_NULL);
	assert_int_equal(kind_of(""), YAML_NULL);
	assert_int_equal(kind_of("443"), YAML_INTEGER);
	assert_int_equal(kind_of("-1"), YAML_INTEGER);
	assert_int_equal(kind_of("0x1f"), YAML_INTEGER);
	assert_int_equal(kind_of("1.5"), YAML_FLOAT);
	assert_int_equal(kind_of("1e3"), YAML_FLOAT);
	assert_int_equal(kind_of(".inf"), YAML_FLOAT);
	assert_int_equal(kind_of("10.0.0.1"), YAML_STRING);
	assert_int_equal(kind_of("1_000"), YAML_STRING);
	assert_int_equal(yaml_kind(&quoted), YAML_STRING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nodes_know_their_place),
		cmocka_unit_test(an_empty_text_has_no_root),
		cmocka_unit_test(an_empty_collection_may_be_all_there_is),
		cmocka_unit_test(an_alias_shares_its_anchor),
		cmocka_unit_test(what_has_two_meanings_is_refused),
		cmocka_unit_test(every_duplicate_is_told),
		cmocka_unit_test(utf16_is_not_guessed),
		cmocka_unit_test(an_alias_bomb_is_refused),
		cmocka_unit_test(depth_has_a_limit),
		cmocka_unit_test(ten_megabytes_are_read_or_refused_in_bounded_time),
		cmocka_unit_test(scalars_read_as_yaml_1_2_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
