/*
 * Writing the log. Lines are collected and go out with one write(2) to an O_APPEND descriptor, at
 * the latest at the end of a turn of the loop and always before the effect of a decision becomes
 * visible (log_flush()). What log_flush() has accepted survives kill -9 of any process.
 *
 * Identical events that come in a flood are folded: of each kind LOG_FOLD_AFTER lines a second are
 * written in full, the next ones share one line whose count and last time are updated in place.
 * Identical means everything but time, connection and pid; the folded line carries those of its
 * first event. No event is dropped: one that could not be kept makes log_flush() fail, and later
 * is reported with a count.
 *
 * A writer needs its own open file description (logstore_open_writer()), never a duplicate of
 * another writer's, and in a confined process the system calls write, lseek, pread64, pwrite64
 * and fcntl (F_GETFL, F_SETFL).
 *
 * Segments, rotation, and reading belong to lib/logstore.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/event.h"

enum {
	LOG_FOLD_AFTER = 16,		   /* identical lines within LOG_FOLD_MS written in full */
	LOG_FOLD_MS = 1000,		   /* a folded line covers no more than this */
	LOG_FOLD_SLOTS = 64,		   /* kinds watched at once; what does not fit is written */
	LOG_FOLD_LINE_MAX = 1024,	   /* longer events are not folded */
	LOG_PENDING_WRITE = 256 * 1024,	   /* written before the end of the turn from here on */
	LOG_PENDING_MAX = 4 * 1024 * 1024, /* collected while the disk is full; then refused */
};

struct log;

/* @fd is owned from now on. NULL when out of memory (@fd is closed). */
struct log *log_new(int fd);
/* Flushes, then releases. NULL is fine. */
void log_free(struct log *log);
/* Changes to another segment: what is pending goes to the old one first. @fd is owned. */
void log_set_fd(struct log *log, int fd);

/* Collects one event. */
void log_event(struct log *log, const struct event *e);
/*
 * Writes what was collected: 0, or -errno (-ENOSPC …): then the decision that was logged must not
 * take effect. Lines stay pending and are tried again with the next flush.
 */
int log_flush(struct log *log);
/* Bytes written through this object so far, for rotation by size. */
size_t log_written(const struct log *log);
