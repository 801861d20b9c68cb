/*
 * The decisions that `openshell term` has read: the newest ones of one sandbox or of all, in the
 * order in which they came, each with a number that it keeps. A cursor is such a number, never a
 * place on the screen: what moves under it cannot be taken for it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/event_render.h"
#include "lib/logstore.h"
#include "lib/state.h"

enum {
	STREAM_KEPT = 4000,		     /* events; then the oldest quarter goes */
	STREAM_BYTES_MAX = 16 * 1024 * 1024, /* the same by their size */
	STREAM_HOST_MAX = 128,
	STREAM_ID_MAX = 40, /* of a sandbox: its random UUID */
};

/* What is wanted of the log; zeroed: everything. */
struct stream_filter {
	bool is_denied_only;
	uint32_t adapters;	    /* bits 1 << enum event_adapter; 0: all */
	char host[STREAM_HOST_MAX]; /* part of the destination; empty: any */
};

/* Which sandbox: a name may be used again, the id may not. */
struct stream_origin {
	char name[STATE_NAME_MAX + 1];
	char id[STREAM_ID_MAX]; /* empty: one that is gone */
};

struct stream_event {
	uint64_t number; /* from 1, rising; 0: none */
	uint64_t time_ms;
	struct stream_origin origin;
	char *line; /* as on disk; owned */
	size_t len;
};

struct stream {
	struct stream_filter filter;
	struct stream_event *list; /* by number; owned */
	size_t n, room, bytes;
	uint64_t last_number;
};

void stream_done(struct stream *s);
/* Forgets the events; numbers go on. */
void stream_clear(struct stream *s);

/* What to ask the log for, so that it need not all be read. Borrows from @f. */
struct logstore_query stream_query(const struct stream_filter *f);
/* Takes an event, if the filter wants it: 1, 0 if not or if it is none, -ENOMEM. */
int stream_add(struct stream *s, const struct stream_origin *from, const char *line, size_t len);
/* By time, after several logs were read one after the other; the numbers follow. */
void stream_sort(struct stream *s);

/* The place in the list of the first event whose number is not below @number; n behind the last. */
size_t stream_at(const struct stream *s, uint64_t number);
/* The event itself, or NULL when it is no longer kept. */
const struct stream_event *stream_find(const struct stream *s, uint64_t number);
/*
 * From the event @number in @direction (1, -1), without it and all the way round, the first that
 * holds @text (case does not matter) as `openshell logs` prints it: its number, 0 for none.
 */
uint64_t stream_search(const struct stream *s, uint64_t number, int direction, const char *text);
