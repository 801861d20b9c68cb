/*
 * A sandbox's log as evidence: its events one by one, each with the code that asked (asker.h).
 */
#pragma once

#include "lib/err.h"
#include "lib/event.h"
#include "lib/logstore.h"

/* @e and its strings live until the function returns. A negative result ends the reading. */
typedef int evidence_fn(void *arg, const struct event *e);

/*
 * Calls @fn for the events of the log of sandbox @name, which may be gone (its log is kept), that fit @q,
 * oldest first; a line that is no event is skipped. @home is the sandbox's home for askers_new(),
 * borrowed. 0 or -errno, also @fn's, with text.
 */
int evidence_read(const char *name, int home, const struct logstore_query *q, evidence_fn *fn,
	void *arg, struct err *err);
