#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/http1.h"
#include "lib/jsontext.h"

static struct http1_header field(enum http1_name id, const char *value)
{
	return (struct http1_header){ .id = id, .value = value, .value_len = strlen(value) };
}

/* Whoever reads the body on the other side must see the same text that was judged. */
static void a_body_is_json_in_utf_8_or_nothing_is_read(void **state)
{
	static const struct {
		const char *type, *why; /* NULL: it is read */
		bool plain;
	} cases[] = {
		{ "application/json", NULL, false },
		{ "Application/JSON", NULL, false },
		{ " application/json\t", NULL, false },
		{ "application/json-rpc", NULL, false },
		{ "application/jsonrequest", NULL, false },
		{ "application/graphql-response+json", NULL, false },
		{ "application/json;charset=utf-8", NULL, false },
		{ "application/json ; charset=UTF8 ", NULL, false },
		{ "application/json; charset=\"utf-8\"", NULL, false },
		{ "application/json; charset=us-ascii; odd", NULL, false },
		{ "application/json; charset", NULL, false },
		{ "text/plain", NULL, true },
		{ "text/plain; charset=utf-8", NULL, true },
		{ "text/plain", "Content-Type is not JSON", false },
		{ "text/json", "Content-Type is not JSON", false },
		{ "application/", "Content-Type is not JSON", true },
		{ "application/xml", "Content-Type is not JSON", true },
		{ "application/+json", "Content-Type is not JSON", true },
		{ "", "Content-Type is not JSON", true },
		{ "application/json, text/plain", "Content-Type is not JSON", true },
		{ "application/json; charset=utf-7", "unsupported charset or parameter", false },
		{ "application/json; charset=\"utf-7\"", "unsupported charset or parameter", false },
		{ "application/json; charset=\"utf-8", "unsupported charset or parameter", false },
		{ "application/json; charset=", "unsupported charset or parameter", false },
		{ "application/json; charset =utf-8", "unsupported charset or parameter", false },
		{ "application/json; charset*=utf-8''utf-7", "unsupported charset or parameter", false },
		{ "application/json; x=\"; charset=utf-8\"", "unsupported charset or parameter", false },
		{ "application/json; charset=utf-8; charset=utf-16", "unsupported charset or parameter", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct http1_header h = field(HTTP1_CONTENT_TYPE, cases[i].type);
		const char *why = jsontext_check_headers(&h, 1, cases[i].plain);

		if (cases[i].why ? !why || !strstr(why, cases[i].why) : why != NULL)
			fail_msg("'%s': %s", cases[i].type, why ? why : "read");
	}
}

static void what_is_encoded_or_of_two_types_is_not_read(void **state)
{
	struct http1_header plain[] = { field(HTTP1_CONTENT_TYPE, "application/json"),
		field(HTTP1_CONTENT_ENCODING, "Identity") };
	struct http1_header twice[] = { field(HTTP1_CONTENT_TYPE, "application/json"),
		field(HTTP1_CONTENT_TYPE, "application/json") };
	struct http1_header gzip[] = { field(HTTP1_CONTENT_TYPE, "application/json"),
		field(HTTP1_CONTENT_ENCODING, "gzip") };

	(void)state;
	assert_null(jsontext_check_headers(plain, 2, false));
	assert_null(jsontext_check_headers(NULL, 0, false));
	assert_string_equal(jsontext_check_headers(twice, 2, false), "more than one Content-Type");
	assert_string_equal(jsontext_check_headers(gzip, 2, false), "Content-Encoding is not supported");
}

/* As a parser that ignores case would take it, with the two letters beyond ASCII that fold into it. */
static void a_key_that_another_parser_takes_for_ours_is_seen(void **state)
{
	static const char *const keys[] = { "method", "result", "key", "size1", NULL };
	static const struct {
		const char *text;
		bool want;
	} cases[] = {
		{ "{\"method\":1,\"params\":2}", false },
		{ "{\"methods\":1,\"metho\":2,\"\":3}", false },
		{ "{\"Method\":1}", true },
		{ "{\"method\":1,\"METHOD\":2}", true },
		{ "{\"re\\u017fult\":1}", true },
		{ "{\"\\u212aey\":1}", true },
		{ "{\"RE\\u017fuLT\":1}", true },
		{ "{\"SIZE1\":1}", true },
		{ "{\"size\\u0011\":1}", false },
		{ "{\"re\\u0161ult\":1}", false },
		{ "{\"\\u212bey\":1}", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *why;
		json_t *v = NULL;

		assert_int_equal(jsontext_parse(cases[i].text, strlen(cases[i].text), &v, &why), 0);
		if (jsontext_has_lookalike(v, keys) != cases[i].want)
			fail_msg("%s", cases[i].text);
		json_decref(v);
	}
}

static const char *why_refused(const char *text)
{
	const char *why = "";
	json_t *v = NULL;
	int r = jsontext_parse(text, strlen(text), &v, &why);

	json_decref(v);
	return r == 0 ? NULL : why;
}

/* @n times @what, between @head and @tail; in the same place each time. */
static const char *repeated(const char *head, const char *what, size_t n, const char *tail)
{
	static char text[4 * JSONTEXT_VALUES_MAX];
	char *to = stpcpy(text, head);

	assert_true(strlen(head) + n * strlen(what) + strlen(tail) < sizeof(text));
	while (n--)
		to = stpcpy(to, what);
	(void)stpcpy(to, tail);
	return text;
}

static void nesting_is_bounded_before_anything_is_read(void **state)
{
	static const char deep[] = "JSON is nested too deeply", invalid[] = "invalid JSON";
	static const struct {
		const char *head, *what, *tail, *why;
		size_t n;
	} cases[] = {
		{ "", "[", "", invalid, JSONTEXT_DEPTH_MAX },
		{ "", "[", "", deep, JSONTEXT_DEPTH_MAX + 1 },
		{ "", "{", "", deep, JSONTEXT_DEPTH_MAX + 1 },
		{ "[0", ",[]", "]", NULL, 2 * JSONTEXT_DEPTH_MAX }, /* beside each other */
		{ "[0", ",{}", "]", NULL, 2 * JSONTEXT_DEPTH_MAX },
		{ "]]]]", "[", "", deep, JSONTEXT_DEPTH_MAX + 1 }, /* nothing is saved up */
		{ "[\"", "[", "\"]", NULL, 2 * JSONTEXT_DEPTH_MAX }, /* in a string */
		{ "[\"\\\"", "{", "\"]", NULL, 2 * JSONTEXT_DEPTH_MAX },
		{ "[\"\\\\\",", "[", "", deep, JSONTEXT_DEPTH_MAX }, /* behind one that ends in a backslash */
		{ "\"", "[", "", invalid, 2 * JSONTEXT_DEPTH_MAX },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *why = why_refused(repeated(cases[i].head, cases[i].what, cases[i].n, cases[i].tail));

		if (cases[i].why ? !why || strcmp(why, cases[i].why) != 0 : why != NULL)
			fail_msg("%zu: %s", i, why ? why : "read");
	}
}

/* Counted from above: one to begin with, one for each comma, one for each list and object. */
static void the_number_of_values_is_bounded(void **state)
{
	(void)state;
	assert_null(why_refused(repeated("[0", ",0", JSONTEXT_VALUES_MAX - 2, "]")));
	assert_string_equal(why_refused(repeated("[0", ",0", JSONTEXT_VALUES_MAX - 1, "]")), "JSON has too many values");
	assert_null(why_refused(repeated("[[]", ",{}", JSONTEXT_VALUES_MAX / 2 - 2, "]")));
	assert_string_equal(why_refused(repeated("[[]", ",{}", JSONTEXT_VALUES_MAX / 2 - 1, "]")), "JSON has too many values");
}

static void what_two_parsers_read_differently_is_refused(void **state)
{
	(void)state;
	assert_null(why_refused("{\"a\":1,\"b\":2}"));
	assert_null(why_refused("7"));
	assert_string_equal(why_refused("{\"a\":1,\"a\":2}"), "JSON has a duplicate key");
	assert_string_equal(why_refused("\"\\u0000\""), "JSON has a NUL in a string");
	assert_string_equal(why_refused("{\"\\u0000\":1}"), "JSON has a NUL in a string");
	assert_string_equal(why_refused("\"\xff\""), "invalid JSON");
	assert_string_equal(why_refused("1 2"), "invalid JSON");
}

static void nothing_in_plain_text_acts_on_a_terminal(void **state)
{
	json_t *v = json_pack("{s:s}", "k\x7f", "\x7f\x1bz\x7f");
	auto_free char *plain = jsontext_dumps(v, JSON_ENSURE_ASCII | JSON_COMPACT), *as_it_is = jsontext_dumps(v, JSON_COMPACT);

	(void)state;
	assert_string_equal(plain, "{\"k\\u007f\":\"\\u007f\\u001Bz\\u007f\"}");
	assert_string_equal(as_it_is, "{\"k\x7f\":\"\x7f\\u001Bz\x7f\"}");
	json_decref(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_body_is_json_in_utf_8_or_nothing_is_read),
		cmocka_unit_test(what_is_encoded_or_of_two_types_is_not_read),
		cmocka_unit_test(a_key_that_another_parser_takes_for_ours_is_seen),
		cmocka_unit_test(nesting_is_bounded_before_anything_is_read),
		cmocka_unit_test(the_number_of_values_is_bounded),
		cmocka_unit_test(what_two_parsers_read_differently_is_refused),
		cmocka_unit_test(nothing_in_plain_text_acts_on_a_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
