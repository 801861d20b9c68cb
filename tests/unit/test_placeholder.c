#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/buf.h"
#include "lib/placeholder.h"
#include "tests/support/vectors.h"

static int find_in(void *arg, const char *key, size_t len, const char **ret, size_t *ret_len)
{
	char name[256];
	json_t *v;

	(void)snprintf(name, sizeof(name), "%.*s", (int)len, key);
	v = json_object_get(arg, name);
	if (!v)
		return strncmp(key, "FOREIGN", 7) == 0 ? -EACCES : -ENOKEY;
	*ret = json_string_value(v);
	*ret_len = json_string_length(v);
	return 0;
}

/* The text that came out, or NULL for an error. */
static const char *out_of(int r, struct buf *out)
{
	return r < 0 ? NULL : buf_cstr(out);
}

static bool same(const char *got, json_t *want)
{
	return got && json_is_string(want) && strcmp(got, json_string_value(want)) == 0;
}

static const char *header_line(
	struct placeholder_source *src, const char *v, size_t len, struct buf *out)
{
	const char *colon = memchr(v, ':', len);
	size_t at = (size_t)(colon - v) + 1;
	int r = buf_append(out, v, at);

	while (v[at] == ' ')
		at++;
	if (r == 0)
		r = buf_putc(out, ' ');
	if (r == 0)
		r = placeholder_value(src, v + at, len - at, out);
	return out_of(r, out);
}

static bool one_case(const char *id, json_t *input, json_t *expect)
{
	const char *kind = json_string_value(json_object_get(input, "kind")), *got = NULL;
	json_t *value = json_object_get(input, "value"), *want;
	struct placeholder_source src = { find_in, json_object_get(input, "env"), 0 };
	const char *v = json_string_value(value);
	size_t len = json_string_length(value);
	auto_buf struct buf out;
	bool ok;

	buf_init(&out, 65536);
	if (strcmp(kind, "marker") == 0)
		return placeholder_is_in(v, len) ==
		       json_is_true(json_object_get(expect, "contains_marker"));
	if (strcmp(kind, "header_line") == 0)
		got = header_line(&src, v, len, &out);
	else if (strcmp(kind, "header_block") == 0)
		got = out_of(placeholder_head(&src, v, len, &out), &out);
	else if (strcmp(kind, "target") == 0)
		got = out_of(placeholder_target(&src, v, len, &out), &out);
	else if (strcmp(kind, "text") == 0)
		got = out_of(placeholder_text(&src, v, len, &out), &out);
	else
		got = out_of(placeholder_value(&src, v, len, &out), &out);
	if (json_object_get(expect, "error"))
		ok = !got;
	else {
		want = json_object_get(expect, "output");
		if (!want)
			want = json_object_get(expect, "resolved");
		if (!want)
			want = json_object_get(expect, "value");
		ok = same(got, want);
	}
	if (json_object_get(expect, "replacements"))
		ok = ok && src.n == json_integer_value(json_object_get(expect, "replacements"));
	if (!ok)
		print_error("%s: %s\n", id, got ? got : "(error)");
	return ok;
}

static void vectors_come_out(void **state)
{
	(void)state;
	assert_int_equal(vectors_run("tests/vectors/credential_placeholder.jsonl", one_case), 0);
}

static int text(const char *in,
	int (*fn)(struct placeholder_source *, const char *, size_t, struct buf *),
	const char *want)
{
	json_t *env = json_pack("{s:s, s:s}", "TOKEN", "tok", "QUOTED", "a\"b");
	struct placeholder_source src = { find_in, env, 0 };
	auto_buf struct buf out;
	int r;

	buf_init(&out, 65536);
	r = fn(&src, in, strlen(in), &out);
	if (r == 0)
		assert_string_equal(buf_cstr(&out), want);
	json_decref(env);
	return r;
}

static void a_secret_for_somebody_else_is_told_apart(void **state)
{
	(void)state;
	assert_int_equal(text("openshell:resolve:env:FOREIGN", placeholder_value, ""), -EACCES);
	assert_int_equal(text("openshell:resolve:env:NOBODY", placeholder_value, ""), -ENOKEY);
}

static void revisions_and_handles_mean_the_key(void **state)
{
	(void)state;
	assert_int_equal(text("openshell:resolve:env:v3_TOKEN", placeholder_value, "tok"), 0);
	assert_int_equal(text("openshell:resolve:env:s0123456789abcdef0123456789abcdef"
			      "0123456789abcdef0123456789abcdef_TOKEN",
				 placeholder_value, "tok"),
		0);
	assert_int_equal(text("openshell:resolve:env:s0123_TOKEN", placeholder_value, ""), -ENOKEY);
}

static void a_quote_in_a_body_is_refused(void **state)
{
	(void)state;
	assert_int_equal(
		text("{\"a\":\"openshell:resolve:env:QUOTED\"}", placeholder_text, ""), -ENOKEY);
	assert_int_equal(text("{\"a\":\"openshell:resolve:env:TOKEN\"}", placeholder_text,
				 "{\"a\":\"tok\"}"),
		0);
	assert_int_equal(text("a=1&t=openshell%3Aresolve%3Aenv%3ATOKEN&b=+", placeholder_form,
				 "a=1&t=tok&b=+"),
		0);
}

static void other_places_are_errors(void **state)
{
	static const char *const heads[] = {
		"GET / HTTP/1.1\r\nopenshell:resolve:env:TOKEN: x\r\n\r\n",
		"GET / HTTP/1.1\r\nX: a, openshell:resolve:env:TOKEN\r\n\r\n",
		"GET / HTTP/1.1\r\nX: openshell%3aresolve%3aenv%3aTOKEN\r\n\r\n",
		"GET /?openshell:resolve:env:TOKEN=1 HTTP/1.1\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
		assert_int_equal(text(heads[i], placeholder_head, ""), -ENOKEY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_come_out),
		cmocka_unit_test(a_secret_for_somebody_else_is_told_apart),
		cmocka_unit_test(revisions_and_handles_mean_the_key),
		cmocka_unit_test(a_quote_in_a_body_is_refused),
		cmocka_unit_test(other_places_are_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
