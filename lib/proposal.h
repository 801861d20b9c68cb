/*
 * Proposals: the denials of a sandbox, grouped by who wanted what, each with the exact rule that
 * would allow it (openshell-upstream.md, section 7).
 *
 * A group is a binary, a host and a port. Where requests were refused the rule names their methods
 * and paths; a path is widened in its last segment only, and only when that looks like an id. Hosts
 * and methods are never widened. What reaches loopback, link-local or a metadata service is never
 * proposed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/event.h"
#include "lib/policy_doc.h"
#include "lib/policy_merge.h"

enum {
	PROPOSALS_MAX = 4096,	    /* groups; beyond: counted in proposals_left_out() */
	PROPOSAL_SAMPLES_MAX = 20,  /* different requests kept of one group */
	PROPOSAL_ID_LEN = 12,
	PROPOSAL_PATH_MAX = 1024,
};

struct proposal_sample {
	const char *method, *path; /* the path widened */
	uint32_t count;
};

struct proposal {
	char id[PROPOSAL_ID_LEN + 1]; /* the same for the same group, always */
	const char *host, *binary;
	const char *asker; /* event->asker, the first; NULL: unknown */
	bool has_more_askers;
	uint16_t port;
	uint32_t count;
	uint64_t first_ms, last_ms;
	bool is_ssrf; /* the address was refused, not the name */
	struct proposal_sample samples[PROPOSAL_SAMPLES_MAX];
	size_t n_samples; /* 0: the connection itself was refused */
};

struct proposals;

/* NULL when out of memory; NULL is fine to free. */
struct proposals *proposals_new(void);
void proposals_free(struct proposals *p);

/* Takes one event of the log in; whatever is no denial is ignored. 0 or -ENOMEM. */
int proposals_event(struct proposals *p, const struct event *e);
size_t proposals_left_out(const struct proposals *p);
/* The groups, the most confident first; the array belongs to @p. */
const struct proposal *const *proposals_list(struct proposals *p, size_t *ret_n);

/* 0.1 to 0.95: how likely it is that this is wanted. */
double proposal_confidence(uint32_t count, uint16_t port, bool is_ssrf);
/* What somebody who approves should know: "internal address", "database port" …; NULL at the end.
 * At most three. */
void proposal_notes(const struct proposal *p, const char *ret[4]);
bool proposal_is_internal(const char *host);
/* False for destinations that are never proposed. */
bool proposal_is_proposable(const char *host);
/* An id at the end becomes a star, the query is cut. @ret holds PROPOSAL_PATH_MAX. */
void proposal_generalise(const char *path, char *ret);
bool proposal_looks_like_id(const char *segment);
/* "allow_api_example_com_443"; @ret holds @size. */
void proposal_rule_name(const char *host, uint16_t port, char *ret, size_t size);

/*
 * The step that adds the rule to @d, for policy_merge(). Lives as long as the document. 0 or
 * -ENOMEM.
 */
int proposal_step(const struct proposal *p, struct policy_doc *d, struct merge_op *ret);
