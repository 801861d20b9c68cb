/* A logged stack, and the text of /proc/PID/maps: the workload chooses paths and how many there
 * are. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/stack.h"
#include "tracer/maps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), out[STACK_TEXT_MAX + 1], *p = text;
	struct stack s, again;
	struct map m;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (stack_parse(text, &s) == 0 && s.by != STACK_NONE) {
		stack_format(&s, out);
		assert(strlen(out) <= STACK_TEXT_MAX);
		assert(stack_parse(out, &again) == 0 && again.n_frames <= s.n_frames);
	}
	while (maps_next(&p, &m) > 0)
		assert(m.end > m.start && m.path >= text && m.path <= text + size);
	free(text);
	return 0;
}
