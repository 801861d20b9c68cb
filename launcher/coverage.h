/*
 * Which rules of the policy in force were used, by what and how often: the log names for every
 * decision the endpoint, and for a request the rule, that took it. An access preset has no rules
 * of its own: the endpoint stands for it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/state.h"

enum { COVERAGE_PLACE_MAX = 320, COVERAGE_BINARIES_MAX = 8 };

/* One thing that can be used: an endpoint, a rule or a deny rule of it. */
struct coverage_row {
	char place[COVERAGE_PLACE_MAX]; /* as in the log: "network_policies.K.endpoints[0] rules[1]"
					 */
	char what[256];			/* "api.github.com:443", "GET /zen", "deny DELETE **" */
	uint64_t count, last_ms;
	char *binaries[COVERAGE_BINARIES_MAX]; /* owned; the first few that used it */
	size_t n_binaries;
};

struct coverage {
	struct coverage_row *rows;
	size_t n, room;
	uint32_t version; /* of the policy */
};

#define auto_coverage __attribute__((cleanup(coverage_done)))

/* Zeroed, or half-made: fine. */
void coverage_done(struct coverage *c);
/* The rules of @s's policy, and their use in its last @last events (0: in all). @c is zeroed. 0, or
 * -errno with text. */
int coverage_load(struct coverage *c, const struct state *s, size_t last, struct err *err);
