/* The settings of a repository that a sandbox has made: what is kept has no more to be left out, and is what it
 * was when it is looked at again. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/gitadopt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *text_of(const struct buf *b)
{
	return b->len ? strndup(buf_head(b), b->len) : strdup("");
}

/* No URL that runs a program, no value that is an option. */
static void check_lines(char *text)
{
	for (char *save = NULL, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		assert(line[0] == '[' || line[0] == '\t');
		if (strncmp(line, "\turl = ", 7) == 0 || strncmp(line, "\tpushurl = ", 11) == 0)
			assert(!strstr(line, "::") && strchr(line, '=')[2] != '-');
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = strndup((const char *)data, size), *kept = NULL, *again = NULL;
	auto_buf struct buf once, twice;

	buf_init(&once, 1 << 20);
	buf_init(&twice, 1 << 20);
	if (gitadopt_config(&once, text) < 0)
		return 0;
	kept = text_of(&once);
	assert(gitadopt_config(&twice, kept) == 0);
	again = text_of(&twice);
	assert(strcmp(kept, again) == 0);
	for (const char *p = kept; *p; p++)
		assert((unsigned char)*p >= ' ' || *p == '\n' || *p == '\t');
	check_lines(kept);
	return 0;
}
