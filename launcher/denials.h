/*
 * The denials of a sandbox as proposals, and what people said of them: what `openshell rule` and
 * `openshell term` share.
 *
 * A proposal is what the log shows and the policy in force does not allow; only the decisions of
 * people are kept, in proposals.json of the sandbox's state directory.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "launcher/policysubmit.h"
#include "lib/err.h"
#include "lib/inbox.h"
#include "lib/policy.h"
#include "lib/policy_diff.h"
#include "lib/policy_merge.h"
#include "lib/proposal.h"
#include "lib/state.h"

struct json_t;

struct denials {
	struct state *state;   /* owned */
	struct policy *policy; /* in force when it was loaded */
	uint32_t version;      /* its revision */
	struct proposals *proposals;
	struct json_t *decisions; /* id → {status, reason, at_ms, what}; the key of shown ids */
	struct inbox inbox;	  /* what agents proposed; once it was loaded */
	bool has_inbox;
};

#define auto_denials __attribute__((cleanup(denials_done)))

void denials_done(struct denials *d);

/* The policy in force and what was decided, for d->state, which is set. 0, or -errno with text. */
int denials_load(struct denials *d, struct err *err);
/* Adds the denials of the whole log. 0, or -errno with text. */
int denials_read_log(struct denials *d, struct err *err);

/* By its id; NULL for "not there". */
const struct proposal *denials_find(struct denials *d, const char *id);
/*
 * What people name a proposal by: it stands for the rule as it is now. A group of denials grows as
 * the workload goes on asking; were its name to stay, what is approved could be more than what was
 * looked at. It is keyed, so that the workload cannot find two rules of one name. @ret is given back.
 */
const char *denials_shown_id(
	struct denials *d, const struct proposal *p, char ret[PROPOSAL_ID_LEN + 1]);
/* By that. */
const struct proposal *denials_find_shown(struct denials *d, const char *id);
/* "approved" (the policy allows it by now), "rejected" or "pending": a constant. */
const char *denials_status(const struct denials *d, const struct proposal *p);
/* The rule alone, as YAML, to be read before it is approved; the caller frees. NULL when out of
 * memory, or when there is no such rule. */
char *denials_rule_text(const struct proposal *p);

/* What is to be approved, and how. */
struct denials_approval {
	const struct proposal *const *list;
	size_t n;
	const struct inbox_item *const *items; /* and what agents proposed */
	size_t n_items;
	uint32_t version;   /* the policy it was decided on; another in force by then is an error.
			     * 0: whichever is */
	const char *origin; /* recorded with the revision */
	int timeout_ms;
};

/*
 * What the policy in force would allow with the rules of @a that it does not allow now. This may be
 * more than a rule says for itself: where the policy already has the endpoint the rule is merged
 * into that entry, with its programs and its rules. 0 and the version that was compared, or -errno
 * with text.
 */
int denials_effect(const struct denials *d, const struct denials_approval *a,
	struct policy_diff *ret, uint32_t *ret_version, struct err *err);

/*
 * Adds the rules of @a, and nothing else, to the policy in force then: one revision, which decides
 * when this returns. As policy_send(); @ret_report also holds warnings.
 */
int denials_approve(const struct denials *d, const struct denials_approval *a,
	struct merge_report *ret_report, struct policy_answer *ret, int *ret_status,
	struct err *err);
/* Remembers what was decided of @p; @reason may be NULL. 0 or -errno. */
int denials_decide(struct denials *d, const struct proposal *p, const char *status,
	const char *reason);
/* Keeps @p from being listed again; @reason may be NULL. 0 or -errno. */
int denials_reject(struct denials *d, const struct proposal *p, const char *reason);
/* Forgets everything that waits: what was refused so far is not proposed any more. 0 or -errno. */
int denials_clear(struct denials *d);
