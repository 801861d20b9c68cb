/*
 * Reading events back: from the compact line on disk (lib/event.h) to what people and machines
 * read. A line that is torn or foreign is refused, never guessed at (lib/event_parse.c). Everything that came from
 * outside is neutralised again when it is rendered, for the file may have been written by others.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/event.h"

struct buf;

/* What a reader needs to know of a line before it decides to parse it. */
struct event_peek {
	uint64_t time_ms;
	uint64_t until_ms; /* of a folded line, else time_ms */
	uint32_t count;	   /* of a folded line, else 0 */
	enum event_level level;
	enum event_adapter adapter;
};

/*
 * Looks at the front of a line (without its newline), a few nanoseconds. A torn line with a whole
 * one behind it, as a killed writer leaves it, is cut to the whole one: @line and @len are moved
 * and the result is true. False for a line that is no event.
 */
bool event_peek(const char **line, size_t *len, struct event_peek *ret);

/* An event and what its strings live in. */
struct event_record {
	struct event event;
	char *text;		/* owned */
	const char **ancestors; /* owned */
};

#define auto_event_record __attribute__((cleanup(event_record_done)))

/*
 * 0, -EINVAL for a line that is torn or foreign (unknown keys are ignored, wrong types are not),
 * -ENOMEM. @ret must be zeroed or done; on failure it stays empty.
 */
int event_parse(const char *line, size_t len, struct event_record *ret);
void event_record_done(struct event_record *r);

/* "sandbox" for what happened in it, "gateway" for what was done to it (LIFECYCLE, POLICY). */
const char *event_source(enum event_adapter a);

/*
 * cli.md's text, one line with its newline, and below it the frames where there are some; colours only when asked for. 0, -ENOBUFS, -ENOMEM.
 * Upstream's shorthand and OCSF are lib/ocsf.h.
 */
int event_render_text(struct buf *out, const struct event *e, bool is_coloured);
