#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "lib/glob.h"
#include "unit/slow_glob.h"

static bool matches(enum glob_flavour flavour, const char *pattern, const char *text)
{
	auto_glob struct glob *g = NULL;
	const char *why = NULL;

	assert_int_equal(glob_compile(pattern, flavour, &g, &why), 0);
	return glob_match(g, text, strlen(text));
}

static int fault(enum glob_flavour flavour, const char *pattern)
{
	struct glob *g = NULL;
	const char *why = NULL;
	int r = glob_compile(pattern, flavour, &g, &why);

	glob_free(g);
	assert_true(r == 0 || why);
	return r;
}

struct row {
	const char *pattern, *text;
	bool match;
};

static void run(enum glob_flavour flavour, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (matches(flavour, rows[i].pattern, rows[i].text) == rows[i].match)
			continue;
		fail_msg("'%s' and '%s': not %d", rows[i].pattern, rows[i].text, rows[i].match);
	}
}

static void paths_are_matched_segment_by_segment(void **state)
{
	static const struct row rows[] = {
		{ "**", "/any/thing", true },
		{ "**", "", true },
		{ "/**", "/a/b", true },
		{ "/*", "/a", true },
		{ "/*", "/a/b", false },
		{ "*", "/a", false },
		{ "/repos/**", "/repos", false },
		{ "/repos/**", "/repos/", true },
		{ "/a/**/z", "/a/z", true },
		{ "/a/**/z", "/a/b/c/z", true },
		{ "/a/**/z", "/a/bz", false },
		{ "**/x", "/a/b/x", true },
		{ "**/x", "x", true },
		{ "/foo**", "/foobar", true },
		{ "/foo**", "/foo/bar", false },
		{ "/foo/**bar", "/foo/a/xbar", false },
		{ "/a?c", "/abc", true },
		{ "/a?c", "/a/c", false },
		{ "/v[12]/x", "/v2/x", true },
		{ "/v[^12]/x", "/v1/x", false },
		{ "/v[!1]/x", "/v2/x", true },
		{ "/{a,b}/x", "/b/x", true },
		{ "/{a,b}/x", "/c/x", false },
		{ "/a\\*b", "/a*b", true },
		{ "/a\\*b", "/axb", false },
		{ "/a/**/b/**", "/a/b", false },
		{ "/a/**/b/**", "/a/b/c", true },
		{ "", "/", false },
		{ "", "", true },
	};

	(void)state;
	run(GLOB_PATH, rows, ARRAY_SIZE(rows));
}

static void values_are_divided_by_dots(void **state)
{
	static const struct row rows[] = {
		{ "foo-*", "foo-a/b", true },
		{ "v1.*", "v1.2", true },
		{ "v1.*", "v1.2.3", false },
		{ "*", "a.b", false },
		{ "**", "a.b", true },
		{ "**", "", true },
		{ "a?c", "a.c", false },
		{ "{x,y}", "y", true },
		{ "a**", "a.b", false },
		{ "v1.**", "v1.2.3", true },
		{ "true", "TRUE", false },
		{ "a[.]b", "a.b", false },
	};

	(void)state;
	run(GLOB_VALUE, rows, ARRAY_SIZE(rows));
}

static void hosts_are_matched_label_by_label(void **state)
{
	static const struct row rows[] = {
		{ "*.example.com", "api.example.com", true },
		{ "*.example.com", "a.b.example.com", false },
		{ "*.example.com", "example.com", false },
		{ "*.example.com", "aexample.com", false },
		{ "**.example.com", "a.b.example.com", true },
		{ "**.example.com", "example.com", false },
		{ "*-x.example.com", "a-x.example.com", true },
		{ "*.s3.*.aws.com", "b.s3.eu.aws.com", true },
		{ "*.s3.*.aws.com", "b.s3.a.eu.aws.com", false },
		{ "*.EXAMPLE.com", "a.example.com", true },
	};

	(void)state;
	run(GLOB_HOST, rows, ARRAY_SIZE(rows));
}

static void endpoint_paths_cross_slashes(void **state)
{
	static const struct row rows[] = {
		{ "", "/x", true },
		{ "**", "/x", true },
		{ "/**", "/v1/m", true },
		{ "/v1/**", "/v1", true },
		{ "/v1/**", "/v1/m", true },
		{ "/v1/**", "/v10", false },
		{ "/v*/m", "/v1/a/m", true },
		{ "/graphql", "/graphql/", false },
		{ "/v?/x", "/v//x", true },
		{ "/a/**/z", "/a/b/c/z", true },
		{ "/{a,b}", "/a", false },
		{ "/{a,b}", "/{a,b}", true },
		{ "[", "[", true },
		{ "[", "/v1", false },
	};

	(void)state;
	run(GLOB_SELECT, rows, ARRAY_SIZE(rows));
}

static void selectors_take_whole_labels(void **state)
{
	static const struct row rows[] = {
		{ "**", "localhost", true },
		{ "**", "a.b.c", true },
		{ "*", "a.b", false },
		{ "**.example.com", "example.com", false },
		{ "**.example.com", "a.b.example.com", true },
	};

	(void)state;
	run(GLOB_SELECTOR, rows, ARRAY_SIZE(rows));
}

static void what_is_no_pattern_is_refused(void **state)
{
	(void)state;
	assert_int_equal(fault(GLOB_PATH, "/a[b"), -EINVAL);
	assert_int_equal(fault(GLOB_PATH, "/a{b"), -EINVAL);
	assert_int_equal(fault(GLOB_PATH, "/a}b"), -EINVAL);
	assert_int_equal(fault(GLOB_PATH, "/[b-a]"), -EINVAL);
	assert_int_equal(fault(GLOB_PATH, "/a\\"), -EINVAL);
	assert_int_equal(fault(GLOB_VALUE, "[unclosed"), -EINVAL);
	assert_int_equal(fault(GLOB_PATH, "{{{{{{{{{a}}}}}}}}}"), -E2BIG);
}

static void a_pattern_past_its_limit_is_refused(void **state)
{
	auto_free char *text = malloc(GLOB_PATTERN_MAX + 2);

	(void)state;
	memset(text, 'a', GLOB_PATTERN_MAX + 1);
	text[GLOB_PATTERN_MAX + 1] = '\0';
	assert_int_equal(fault(GLOB_PATH, text), -E2BIG);
	text[GLOB_PATTERN_MAX] = '\0';
	assert_int_equal(fault(GLOB_PATH, text), 0);
}

/* A backtracking matcher would not come back from this. */
static void a_hostile_pattern_costs_no_more_than_its_product(void **state)
{
	char pattern[4000] = "", text[4000];

	(void)state;
	for (int i = 0; i < 1000; i++)
		memcpy(pattern + 2 * i, "*a", 3);
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_true(matches(GLOB_PATH, pattern, text));
	text[sizeof(text) - 2] = 'b';
	assert_false(matches(GLOB_PATH, pattern, text));
}

static int overlap(enum glob_flavour fa, const char *a, enum glob_flavour fb, const char *b)
{
	auto_glob struct glob *x = NULL, *y = NULL;
	const char *why;

	assert_int_equal(glob_compile(a, fa, &x, &why), 0);
	assert_int_equal(glob_compile(b, fb, &y, &why), 0);
	assert_int_equal(glob_overlaps(x, y), glob_overlaps(y, x));
	return glob_overlaps(x, y);
}

static void patterns_with_a_text_in_common_overlap(void **state)
{
	(void)state;
	assert_int_equal(overlap(GLOB_HOST, "*.example.com", GLOB_HOST, "api.*.com"), 1);
	assert_int_equal(overlap(GLOB_HOST, "*.example.com", GLOB_HOST, "*.other.com"), 0);
	assert_int_equal(overlap(GLOB_HOST, "**.example.com", GLOB_HOST, "*.b.example.com"), 1);
	assert_int_equal(overlap(GLOB_HOST, "*.example.com", GLOB_HOST, "*.b.example.com"), 0);
	assert_int_equal(overlap(GLOB_SELECT, "/v[12]", GLOB_SELECT, "/v[34]"), 0);
	assert_int_equal(overlap(GLOB_SELECT, "/v[12]", GLOB_SELECT, "/v[2-4]"), 1);
	assert_int_equal(overlap(GLOB_SELECTOR, "**.example.com", GLOB_HOST, "*.example.com"), 1);
	assert_int_equal(overlap(GLOB_PATH, "/a{b,c}", GLOB_PATH, "/a?"), 1);
}

/* --- against the slow one --- */

static uint64_t seed = 0x9e3779b97f4a7c15u;

static unsigned int draw(unsigned int n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned int)(seed >> 33) % n;
}

static void random_pattern(char *out, const char *sep)
{
	static const char *const parts[] = { "a", "b", "ab", "*", "**", "?", "[ab]", "[!a]",
		"{a,b}", "{a*,b}", "\\*" };
	unsigned int n = draw(6);

	*out = '\0';
	for (unsigned int i = 0; i < n; i++) {
		(void)strcat(out, parts[draw(11)]);
		if (draw(3) == 0)
			(void)strcat(out, sep);
	}
}

static void random_text(char *out)
{
	unsigned int n = draw(8);

	for (unsigned int i = 0; i < n; i++)
		*out++ = "aab/.*"[draw(6)];
	*out = '\0';
}

enum { PATTERNS = 20000, TEXTS = 50 };

static void compare_with_slow(enum glob_flavour flavour, const char *sep)
{
	char pattern[128], text[16];

	for (int i = 0; i < PATTERNS; i++) {
		auto_glob struct glob *g = NULL;
		const char *why;

		random_pattern(pattern, sep);
		assert_int_equal(glob_compile(pattern, flavour, &g, &why), 0);
		for (int k = 0; k < TEXTS; k++) {
			bool slow;

			random_text(text);
			slow = slow_match(sep[0], pattern, text);
			if (glob_match(g, text, strlen(text)) != slow)
				fail_msg("'%s' and '%s': the slow matcher says %d", pattern, text,
					slow);
		}
	}
}

static void a_million_random_paths_match_as_the_slow_matcher_says(void **state)
{
	(void)state;
	compare_with_slow(GLOB_PATH, "/");
}

static void a_million_random_values_match_as_the_slow_matcher_says(void **state)
{
	(void)state;
	compare_with_slow(GLOB_VALUE, ".");
}

static void overlap_is_never_denied_to_patterns_that_share_a_text(void **state)
{
	char a[128], b[128], text[16];

	(void)state;
	for (int i = 0; i < PATTERNS; i++) {
		random_pattern(a, "/");
		random_pattern(b, "/");
		random_text(text);
		if (slow_match('/', a, text) && slow_match('/', b, text) &&
			overlap(GLOB_PATH, a, GLOB_PATH, b) != 1)
			fail_msg("'%s' and '%s' share '%s'", a, b, text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_are_matched_segment_by_segment),
		cmocka_unit_test(values_are_divided_by_dots),
		cmocka_unit_test(hosts_are_matched_label_by_label),
		cmocka_unit_test(endpoint_paths_cross_slashes),
		cmocka_unit_test(selectors_take_whole_labels),
		cmocka_unit_test(what_is_no_pattern_is_refused),
		cmocka_unit_test(a_pattern_past_its_limit_is_refused),
		cmocka_unit_test(a_hostile_pattern_costs_no_more_than_its_product),
		cmocka_unit_test(patterns_with_a_text_in_common_overlap),
		cmocka_unit_test(a_million_random_paths_match_as_the_slow_matcher_says),
		cmocka_unit_test(a_million_random_values_match_as_the_slow_matcher_says),
		cmocka_unit_test(overlap_is_never_denied_to_patterns_that_share_a_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
