/*
 * What an agent posts to http://policy.local/v1/proposals, as rules of a policy
 * (openshell-upstream.md, section 7.5):
 *
 *	{"intent_summary": "…",
 *	 "operations": [{"addRule": {"ruleName": "…", "rule": {"endpoints": […], "binaries":
 *[…]}}}]}
 *
 * Each rule becomes a policy of its own, checked by the loader that checks every policy and written
 * anew by its printer. Nothing but adding a rule can be proposed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"
#include "lib/policy_doc.h"

enum {
	AGENTRULE_BODY_MAX = 64 * 1024,
	AGENTRULE_OPERATIONS_MAX = 16,
	AGENTRULE_NAME_MAX = 128,
	AGENTRULE_INTENT_MAX = 512,
	AGENTRULE_NOTES_MAX = 12,
};

struct agentrule {
	char *name, *binary; /* the first binary, for whoever lists it */
	char *yaml;	     /* a policy with this rule alone */
};

struct agentrules {
	char intent[AGENTRULE_INTENT_MAX + 1];
	struct agentrule list[AGENTRULE_OPERATIONS_MAX];
	size_t n;
};

/* 0; -EINVAL with the reason for the agent in @err; -ENOMEM. */
int agentrules_parse(struct agentrules *ret, const char *json, size_t len, struct err *err);
void agentrules_done(struct agentrules *a);

/*
 * What somebody who approves the rules of @d should know: constants, NULL at the end. @ret holds
 * AGENTRULE_NOTES_MAX + 1.
 */
void agentrule_notes(const struct policy_doc *d, const char **ret);
