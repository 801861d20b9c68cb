/*
 * How a policy reaches a running sandbox: what `policy set`, `policy update`, `rule approve` and
 * `term` share.
 */
#pragma once

#include <stdbool.h>

#include "lib/state.h"

struct policy_answer {
	uint32_t version, active; /* the revision that was made, and the one that decides */
	bool is_changed;	  /* false: it said what the one before said */
	char hash[65];
	char note[256]; /* what takes effect later, or empty */
};

/*
 * Sends @yaml (valid) as a new revision and waits for the answer: 0; -ETIME after @timeout_ms;
 * -errno with text, then @ret_status (may be NULL) is the status to exit with. Static sections that
 * @yaml does not have are those of the revision before. @origin is recorded with it.
 */
int policy_send(const struct state *s, const char *yaml, const char *origin, int timeout_ms,
	struct policy_answer *ret, int *ret_status, struct err *err);

/*
 * The same, and says what became of it; with @wait returns when it decides, or after @timeout_s.
 * Returns the status to exit with.
 */
int policy_submit(const struct state *s, const char *yaml, const char *origin, bool wait,
	unsigned int timeout_s);
/* What policy_submit() says after policy_send() returned @r. */
int policy_report(const struct state *s, int r, int status, const struct policy_answer *answer,
	bool waited, const struct err *err);
