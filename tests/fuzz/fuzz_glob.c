/*
 * Patterns of hosts, paths and values: "FLAVOUR PATTERN NUL TEXT". A match never costs more than
 * the product of the two, a text that matches two patterns shows that they overlap.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/glob.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct glob *g, const struct glob *any, const char *text, size_t len)
{
	bool is_match = glob_match(g, text, len);

	assert(glob_match(any, text, len));
	if (is_match)
		assert(glob_overlaps(g, any) != 0 && glob_overlaps(any, g) != 0);
	if (is_match && glob_is_literal(g))
		assert(glob_overlaps(g, g) == 1);
	if (glob_is_any(g))
		assert(is_match);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *why = NULL;
	struct glob *g = NULL, *any = NULL;
	char *pattern;
	size_t len;

	if (size < 2)
		return 0;
	pattern = strndup((const char *)data + 1, size - 1);
	len = strlen(pattern) + 2;
	assert(glob_compile("**", GLOB_PATH, &any, &why) == 0);
	if (glob_compile(pattern, data[0] % 5, &g, &why) < 0)
		assert(why);
	else if (len <= size)
		check(g, any, (const char *)data + len, size - len);
	glob_free(g);
	glob_free(any);
	free(pattern);
	return 0;
}
