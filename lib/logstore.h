/*
 * The segments of a sandbox's log: files NNNNNNNN-TTTTTTTTTTTTT.log in its log/ directory, the
 * number counting up and T the time (ms) at which the segment was begun. Lines are only appended.
 *
 * The supervisor opens the store, hands out writers (one open file description for each process:
 * its own and the proxy's) and rotates. When a segment is full or old the next one begins; when
 * all of them pass LOGSTORE_TOTAL_MAX the oldest goes, and that is said in the log.
 *
 * Readers need no cooperation: they take a view of the directory, find a time in each segment (the wall
 * clock may have been set, so times need not be in order), read backwards for the last lines, and follow
 * across rotation with inotify.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/event_render.h"

enum {
	LOGSTORE_SEGMENT_MAX = 8 * 1024 * 1024, /* a new segment begins beyond this */
	LOGSTORE_AGE_MAX_MS = 24 * 3600 * 1000, /* or when the current one is this old */
	LOGSTORE_TOTAL_MAX = 512 * 1024 * 1024, /* all segments; the oldest is removed beyond it */
	LOGSTORE_SEGMENTS_MAX = 4096,		/* the same by number */
};

struct logstore;

/*
 * Opens the store in @dirfd (borrowed), continues the last segment or begins one. A line that a
 * killed writer left unfinished is ended. 0 or -errno with the reason.
 */
int logstore_open(struct logstore **ret, int dirfd, uint64_t now_ms, struct err *err);
/* NULL is fine. */
void logstore_free(struct logstore *s);

/* A new open file description of the current segment, for log_new(), log_set_fd() or the proxy:
 * fd or -errno. The caller owns it. */
int logstore_open_writer(const struct logstore *s);

/* The newest segments for reading, the newest first: how many of @fds (the caller's) were opened. */
size_t logstore_open_newest(const struct logstore *s, int *fds, size_t n);
/*
 * Begins a new segment when the current one is full or old: 1 (writers are to be replaced), 0 not
 * needed, -errno (the current one stays in use). @ret_pruned is how many old segments had to be
 * removed for room: say so in the log. Cheap enough for every few seconds.
 */
int logstore_rotate(struct logstore *s, uint64_t now_ms, unsigned int *ret_pruned, struct err *err);

/* What is asked for; zeroed: everything. */
struct logstore_query {
	uint64_t since_ms; /* events whose last time is not before */
	size_t last;	   /* the last N of those that fit; 0: all */
	enum event_level min_level;
	uint32_t adapters; /* bits 1 << enum event_adapter; 0: all */
	/* Bytes that the line holds, as it stands on disk (escaped); NULL: any. Only searched for in
	 * lines that fit otherwise. */
	const char *contains;
};

/* @line has no newline and lives until the function returns. A negative result ends the reading
 * and is passed on. */
typedef int logstore_fn(void *arg, const struct event_peek *peek, const char *line, size_t len);

/* The segments as they were when the view was taken, for reading and then following. */
struct logstore_view;

/* Takes a view of @dirfd (borrowed, must outlive the view). 0, -ENOMEM, -errno. */
int logstore_view_open(struct logstore_view **ret, int dirfd);
/* NULL is fine. */
void logstore_view_free(struct logstore_view *v);

/* Calls @fn for the lines of the view, oldest first. 0, -errno, or what @fn returned. */
int logstore_read(
	struct logstore_view *v, const struct logstore_query *q, logstore_fn *fn, void *arg);
/*
 * The lines that came since the view was taken or last followed (@q->last is ignored). A folded
 * line is held back while it may still count: then @ret_wait_ms says when to look again even
 * without news, else it is -1. 0, -errno, or what @fn returned.
 */
int logstore_follow(struct logstore_view *v, const struct logstore_query *q, uint64_t now_ms,
	logstore_fn *fn, void *arg, int *ret_wait_ms);
/* An inotify descriptor that becomes readable when there may be news: fd or -errno. Owned by @v.
 * To be asked for before the view is read, so that nothing falls in between. */
int logstore_watch(struct logstore_view *v);
/* Empties the descriptor before logstore_follow(). False when the directory was moved or removed:
 * its sandbox is gone, and no more news will come after that call. */
bool logstore_watch_clear(struct logstore_view *v);
/* Lines skipped so far because they were torn or foreign. */
size_t logstore_torn(const struct logstore_view *v);
