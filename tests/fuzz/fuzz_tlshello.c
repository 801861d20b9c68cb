/* A ClientHello: no prefix of one that is accepted is refused. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/tlshello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tlshello h;
	const char *why = NULL;
	enum tlshello_result r;
	char *copy = malloc(size + 1);

	memcpy(copy, data, size);
	r = tlshello_parse(&h, copy, size, &why);
	assert(r != TLSHELLO_BAD || why);
	if (r == TLSHELLO_OK) {
		assert(h.len <= size && h.max_version);
		for (size_t n = 0; n < h.len; n += 1 + h.len / 50)
			assert(tlshello_parse(&h, copy, n, &why) == TLSHELLO_MORE);
	}
	free(copy);
	return 0;
}
