/*
 * What one policy allows that another does not, in words.
 *
 * Both are taken apart into single grants: this program, this host and port, this method and path.
 * A grant is new only if nothing in the other policy covers it, so a preset written out as rules is
 * no difference. Where it cannot be seen that one pattern covers another, the difference is
 * reported: too much rather than too little.
 */
#pragma once

#include "lib/policy_doc.h"

/* Lines without a newline, in a stable order; lib/strv.h. Zeroed is empty. */
struct policy_diff {
	char **gained;	/* what @b allows and @a did not */
	char **lost;	/* the reverse */
	char **changed; /* neither: how the sandbox is built */
};

#define auto_policy_diff __attribute__((cleanup(policy_diff_done)))

void policy_diff_done(struct policy_diff *d);

/* 0 or -ENOMEM. */
int policy_diff(const struct policy_doc *a, const struct policy_doc *b, struct policy_diff *ret);
