/*
 * openshell-policy(5) against the loader: every key the loader knows is described and shown, every
 * example loads without an error.
 */
#include "unit/policy_test.h"

#include <fcntl.h>
#include <stdlib.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/policy_doc.h"

static const char page_path[] = "launcher/openshell-policy.5";

static char *read_page(void)
{
	auto_close int fd = open(page_path, O_RDONLY | O_CLOEXEC);
	auto_buf struct buf b;

	buf_init(&b, 1 << 20);
	assert_true(fd >= 0);
	assert_int_equal(buf_read_all(&b, fd), 0);
	return buf_steal(&b);
}

/* A line ".It Ic … KEY", where KEY is followed by a blank or the end of the line. */
static bool is_described(const char *page, const char *key)
{
	size_t len = strlen(key);

	for (const char *at = strstr(page, ".It Ic "); at; at = strstr(at + 1, ".It Ic ")) {
		const char *end = at + strcspn(at, "\n");

		for (const char *word = strstr(at, key); word && word < end;
			word = strstr(word + 1, key))
			if (word[-1] == ' ' && (word[len] == ' ' || word[len] == '\n'))
				return true;
	}
	return false;
}

/* "KEY:" as a key of some example. */
static bool is_shown(const char *page, const char *key)
{
	bool is_example = false;
	char with_colon[64];

	snprintf(with_colon, sizeof(with_colon), "%s:", key);
	for (const char *line = page; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t n = strcspn(line, "\n");
		const char *at = line;

		if (strncmp(line, ".Bd", 3) == 0 || strncmp(line, ".Ed", 3) == 0)
			is_example = line[1] == 'B';
		while (is_example && (at = strstr(at, with_colon)) && at < line + n) {
			if (at == line || strchr(" {-", at[-1]))
				return true;
			at++;
		}
	}
	return false;
}

static unsigned int n_missing;

static void check_field(void *opaque, const char *path)
{
	const char *page = opaque, *dot = strrchr(path, '.'), *key = dot ? dot + 1 : path;

	if (is_described(page, key) && is_shown(page, key))
		return;
	fprintf(stderr, "%s: '%s' is not %s\n", page_path, path,
		is_described(page, key) ? "shown" : "described");
	n_missing++;
}

static void every_key_is_described_and_shown(void **state)
{
	auto_free char *page = read_page();

	(void)state;
	n_missing = 0;
	policy_doc_fields(check_field, page);
	assert_int_equal(n_missing, 0);
}

static void load_example(const char *text, size_t len)
{
	struct policy_findings f = { 0 };
	struct policy *p = NULL;
	int r = policy_load(text, len, &p, &f);

	for (size_t i = 0; i < f.n; i++)
		if (f.list[i].severity == POLICY_ERROR)
			fprintf(stderr, "%s: %.*s\n", f.list[i].text, (int)len, text);
	policy_unref(p);
	policy_findings_done(&f);
	assert_int_equal(r, 0);
}

static void every_example_loads(void **state)
{
	static const char begin[] = ".Bd -literal\n";
	auto_free char *page = read_page();
	unsigned int n = 0;

	(void)state;
	for (const char *at = strstr(page, begin); at; at = strstr(at, begin)) {
		const char *end = strstr(at, "\n.Ed");

		assert_non_null(end);
		at += strlen(begin);
		load_example(at, (size_t)(end + 1 - at));
		n++;
	}
	assert_true(n > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_is_described_and_shown),
		cmocka_unit_test(every_example_loads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
