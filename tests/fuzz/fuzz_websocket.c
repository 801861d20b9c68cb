/* Client frames: whole and in pieces, the same messages, the same bytes passed, the same verdict.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/websocket.h"

struct tally {
	int r;
	size_t messages, bytes, passed;
};

static void run(struct tally *t, const char *in, size_t len, size_t step, bool has_deflate)
{
	struct ws_parser p;
	struct ws_item item;
	size_t at = 0, used;

	ws_parser_init(&p, has_deflate, false);
	do {
		size_t n = len - at < step ? len - at : step;

		t->r = ws_next(&p, in + at, n, &used, &item);
		assert(used <= n && (t->r >= 0 || t->r == -ENOMEM || item.close));
		at += used;
		t->messages += t->r == WS_MESSAGE;
		t->bytes += t->r == WS_MESSAGE ? item.len : 0;
		t->passed += t->r == WS_PASS ? item.len : 0;
	} while (t->r >= 0 && (t->r != WS_MORE || at < len));
	ws_parser_done(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tally whole = { 0 }, pieces = { 0 };
	char *copy;

	if (size < 2)
		return 0;
	copy = malloc(size);
	memcpy(copy, data, size);
	run(&whole, copy + 1, size - 1, size, data[0] & 1);
	run(&pieces, copy + 1, size - 1, 1 + (data[0] >> 1) % 7, data[0] & 1);
	assert(whole.r == pieces.r && whole.messages == pieces.messages);
	assert(whole.bytes == pieces.bytes);
	assert(whole.r < 0 || whole.passed == pieces.passed);
	free(copy);
	return 0;
}
