#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/url.h"
#include "tests/support/vectors.h"

static const char *canonical(const char *target, unsigned int flags)
{
	static struct url_target t;
	const char *why = NULL;

	return url_canonicalize(target, strlen(target), flags, &t, &why) == 0 ? t.path : why;
}

/* Upstream's names of errors, and a word of ours. */
static bool is_error(const char *name, const char *why)
{
	static const struct {
		const char *name, *word;
	} table[] = {
		{ "TraversalAboveRoot", "above the root" },
		{ "EncodedSlashNotAllowed", "%2F" },
		{ "NullOrControlByte", "control byte" },
		{ "FragmentInRequestTarget", "fragment" },
		{ "PathTooLong", "too long" },
		{ "ResidualDotSegment", "dot segment" },
		{ "InvalidPercentEncoding", "percent-encoding" },
		{ "MalformedTarget", "not a path" },
		{ "NonAscii", "non-ASCII" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (strcmp(name, table[i].name) == 0)
			return strstr(why, table[i].word);
	}
	return false;
}

static bool path_case(const char *id, json_t *input, json_t *expect)
{
	json_t *target = json_object_get(input, "target");
	const char *error = json_string_value(json_object_get(expect, "error"));
	const char *query = json_string_value(json_object_get(expect, "query")), *why = "";
	unsigned int flags = 0;
	struct url_target t;
	int r;

	(void)id;
	flags |= vector_flag(input, "allow_encoded_slash") ? URL_ENCODED_SLASH : 0;
	flags |= vector_flag(input, "strip_path_parameters") ? 0 : URL_KEEP_PARAMS;
	r = url_canonicalize(
		json_string_value(target), json_string_length(target), flags, &t, &why);
	if (error)
		return r == -EBADMSG && is_error(error, why);
	if (r < 0 || strcmp(t.path, json_string_value(json_object_get(expect, "path"))) != 0)
		return false;
	if (query && (t.query_len != strlen(query) || memcmp(t.query, query, t.query_len) != 0))
		return false;
	return t.is_rewritten == vector_flag(expect, "rewritten");
}

static void every_path_of_the_table_is_canonicalised(void **state)
{
	(void)state;
	assert_int_equal(vectors_run("tests/vectors/path_canonicalization.jsonl", path_case), 0);
}

/* The values of @name in @q, in order, are those of @want. */
static bool same_values(const struct url_query *q, const char *name, json_t *want)
{
	size_t n = 0;

	for (size_t i = 0; i < q->n; i++) {
		json_t *v = json_array_get(want, n);
		struct buf plain;
		bool same;

		if (strcmp(q->params[i].name, name) != 0)
			continue;
		buf_init(&plain, 4096);
		assert_int_equal(url_plain(&plain, q->params[i].value), 0);
		same = v && plain.len == json_string_length(v) &&
		       (!plain.len ||
			       memcmp(buf_head(&plain), json_string_value(v), plain.len) == 0);
		buf_done(&plain);
		if (!same)
			return false;
		n++;
	}
	return n == json_array_size(want);
}

static bool query_case(const char *id, json_t *input, json_t *expect)
{
	const char *target = json_string_value(json_object_get(input, "target")), *why = "", *key;
	static struct url_query q;
	struct url_target t;
	size_t total = 0;
	json_t *values;

	(void)id;
	if (url_canonicalize(target, strlen(target), 0, &t, &why) < 0)
		return false;
	if (url_query_parse(&q, t.query, t.query_len, &why) < 0)
		return json_object_get(expect, "error") != NULL;
	if (json_object_get(expect, "error"))
		return false;
	json_object_foreach (json_object_get(expect, "query"), key, values) {
		if (!same_values(&q, key, values))
			return false;
		total += json_array_size(values);
	}
	return total == q.n &&
	       strcmp(t.path, json_string_value(json_object_get(expect, "path"))) == 0;
}

static void every_query_of_the_table_is_decoded(void **state)
{
	(void)state;
	assert_int_equal(vectors_run("tests/vectors/query_parsing.jsonl", query_case), 0);
}

static void canonical_form_is_a_fixed_point(void **state)
{
	static const char *const targets[] = { "/a/./b//c;x/../d%41%2541%20\"", "/", "//", "/a/..",
		"/%c3%a9/", "/.well-known/x", "/...", "/a/.b", "/a;x", "/%25" };

	(void)state;
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		char once[URL_PATH_MAX + 1];

		strcpy(once, canonical(targets[i], 0));
		assert_int_equal(once[0], '/');
		assert_string_equal(canonical(once, 0), once);
	}
}

static void encoded_bytes_that_swell_past_the_limit_are_refused(void **state)
{
	char path[3001];

	(void)state;
	memset(path, '"', sizeof(path) - 1);
	path[0] = '/';
	path[3000] = '\0';
	assert_non_null(strstr(canonical(path, 0), "too long"));
	memset(path + 1, 'a', 2999);
	assert_string_equal(canonical(path, 0), path);
}

static void absolute_form_of_another_scheme_is_refused(void **state)
{
	(void)state;
	assert_non_null(strstr(canonical("ftp://h/x", 0), "scheme"));
	assert_non_null(strstr(canonical("http://u@h/x", 0), "host contains"));
	assert_string_equal(canonical("HTTP://h?x", 0), "/");
	assert_string_equal(canonical("/x://y/", 0), "/x:/y/");
}

static void too_many_parameters_are_refused(void **state)
{
	static struct url_query q;
	char text[2 * URL_PARAMS_MAX + 3];
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 2 ? '&' : 'a';
	assert_int_equal(url_query_parse(&q, text, 2 * URL_PARAMS_MAX, &why), 0);
	assert_int_equal(q.n, URL_PARAMS_MAX);
	assert_int_equal(url_query_parse(&q, text, 2 * URL_PARAMS_MAX + 1, &why), -EBADMSG);
}

static void overlong_nul_in_a_query_is_refused(void **state)
{
	static struct url_query q;
	const char *why;

	(void)state;
	assert_int_equal(url_query_parse(&q, "x=%C0%80", 8, &why), -EBADMSG);
	assert_int_equal(url_query_parse(&q, "x=\xc0\x80", 4, &why), -EBADMSG);
	assert_int_equal(url_query_parse(&q, "x=%00", 5, &why), 0);
	assert_string_equal(q.params[0].value, "\xc0\x80");
}

static void authorities_are_canonicalised_and_round_trip(void **state)
{
	static const struct {
		const char *text, *host;
		unsigned int port;
	} table[] = {
		{ "Example.COM", "example.com", 0 },
		{ "example.com.:443", "example.com", 443 },
		{ "a_b-c.example", "a_b-c.example", 0 },
		{ "192.0.2.1:80", "192.0.2.1", 80 },
		{ "[2001:DB8:0:0::1]:8443", "2001:db8::1", 8443 },
		{ "[::ffff:192.0.2.1]", "192.0.2.1", 0 },
		{ "xn--mnchen-3ya.de", "xn--mnchen-3ya.de", 0 },
		{ "1password.com", "1password.com", 0 },
		{ "h", "h", 0 },
	};
	struct url_authority a, again;
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_int_equal(
			url_authority_parse(table[i].text, strlen(table[i].text), &a, &why), 0);
		assert_string_equal(a.host, table[i].host);
		assert_int_equal(a.port, table[i].port);
		assert_int_equal(url_host_parse(a.host, strlen(a.host), &again, &why), 0);
		assert_string_equal(again.host, a.host);
	}
}

static void ambiguous_hosts_are_refused(void **state)
{
	static const char *const table[] = { "", ".", "a..b", ".a", "a..", "u@h", "a b", "a\tb",
		"h:", "h:0", "h:65536", "h:080", "h:+1", "h:1:2", "127.1", "2130706433",
		"0x7f.0.0.1", "0x7f000001", "0177.0.0.1", "127.0.0.01", "1.2.3.4.5", "256.1.1.1",
		"[::1", "[::1]x", "::1]", "[fe80::1%eth0]", "[1.2.3.4]", "a%2eb",
		"m\xc3\xbcnchen.de", "a/b", "a\\b", "a\x01", "\x7f", "a*b", "[::1]:", "a,b",
		"host.0x1" };
	struct url_authority a;
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (url_authority_parse(table[i], strlen(table[i]), &a, &why) != -EBADMSG)
			fail_msg("'%s' was taken for '%s'", table[i], a.host);
	}
	assert_int_equal(url_authority_parse("a\0b", 3, &a, &why), -EBADMSG);
	assert_int_equal(url_authority_parse("h:8\0"
					     "0",
				 5, &a, &why),
		-EBADMSG);
}

static void long_hosts_are_refused(void **state)
{
	char host[300];
	struct url_authority a;
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(host); i++)
		host[i] = i % 50 == 49 ? '.' : 'a';
	assert_int_equal(url_host_parse(host, URL_HOST_MAX, &a, &why), 0);
	assert_int_equal(url_host_parse(host, URL_HOST_MAX + 1, &a, &why), -EBADMSG);
	memset(host, 'a', sizeof(host));
	assert_int_equal(url_host_parse(host, 63, &a, &why), 0);
	assert_int_equal(url_host_parse(host, 64, &a, &why), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_path_of_the_table_is_canonicalised),
		cmocka_unit_test(every_query_of_the_table_is_decoded),
		cmocka_unit_test(canonical_form_is_a_fixed_point),
		cmocka_unit_test(encoded_bytes_that_swell_past_the_limit_are_refused),
		cmocka_unit_test(absolute_form_of_another_scheme_is_refused),
		cmocka_unit_test(too_many_parameters_are_refused),
		cmocka_unit_test(overlong_nul_in_a_query_is_refused),
		cmocka_unit_test(authorities_are_canonicalised_and_round_trip),
		cmocka_unit_test(ambiguous_hosts_are_refused),
		cmocka_unit_test(long_hosts_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
