/*
 * Writing the log. Lines are collected and go out with one write(2) to an O_APPEND descriptor, at
 * the latest at the end of a turn of the loop and always before the effect of a decision becomes
 * visible (log_flush()). Identical events that come in a flood are folded into one with a count;
 * none is dropped.
 *
 * Segments, rotation, the time index and reading belong to lib/logstore.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/event.h"

struct log;

/* @fd is owned from now on. NULL when out of memory. */
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
/* Milliseconds until folded events are due, or -1: for the owner's timer. */
int log_due_ms(const struct log *log);
