/*
 * How a policy reaches a running sandbox: what `policy set` and `policy update` share.
 */
#pragma once

#include <stdbool.h>

#include "lib/state.h"

/*
 * Sends @yaml (valid) as a new revision and says what became of it; with @wait returns when it
 * decides, or after @timeout_s. Static sections it does not have are those of the revision before.
 * @origin is recorded with it. Returns the status to exit with.
 */
int policy_submit(const struct state *s, const char *yaml, const char *origin, bool wait,
	unsigned int timeout_s);
