/* A log line: whatever is parsed can be rendered in every form, and written and read again. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/event_render.h"
#include "lib/ocsf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct ocsf_origin origin = { .sandbox = "fuzz" };
	auto_event_record struct event_record r = { 0 }, again = { 0 };
	auto_buf struct buf out = { 0 }, line = { 0 };

	buf_init(&out, 64 << 20);
	buf_init(&line, EVENT_LINE_MAX);
	if (event_parse((const char *)data, size, &r) < 0)
		return 0;
	assert(event_render_text(&out, &r.event, true) == 0);
	assert(memchr(buf_head(&out), '\n', out.len) == buf_head(&out) + out.len - 1);
	buf_reset(&out);
	assert(ocsf_render_shorthand(&out, &r.event) == 0);
	assert(memchr(buf_head(&out), '\n', out.len) == buf_head(&out) + out.len - 1);
	assert(ocsf_render_json(&out, &r.event, &origin) == 0);
	assert(event_format(&line, &r.event) == 0);
	assert(event_parse(buf_head(&line), line.len - 1, &again) == 0);
	assert(again.event.level == r.event.level && again.event.adapter == r.event.adapter);
	return 0;
}
