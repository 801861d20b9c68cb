/*
 * The grammar of `policy update` (openshell-upstream.md section 1.5): its flags, as the user gave
 * them, become the operations of lib/policy_merge.h.
 *
 *	--add-endpoint     host:port[:access[:protocol[:enforcement[:options]]]]
 *	--remove-endpoint  host:port
 *	--add-allow        host:port:METHOD:path_glob
 *	--add-deny         the same
 *
 * A segment may be empty only when a later one is not.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/policy_doc.h"
#include "lib/policy_merge.h"

enum { UPDATE_SPEC_MAX = 4096, UPDATE_SEGMENTS_MAX = 6, UPDATE_NAME_MAX = 320 };

/* A rule for one method and path on an endpoint. */
struct update_l7 {
	const char *host;
	uint16_t port;
	struct doc_rule rule;
};

/*
 * Each takes one specification; the strings of the result live in @d. 0, -EINVAL with the reason,
 * -ENOMEM.
 */
int update_parse_endpoint(
	struct policy_doc *d, const char *spec, struct doc_endpoint *ret, struct err *err);
int update_parse_l7(struct policy_doc *d, const char *flag, const char *spec, struct update_l7 *ret,
	struct err *err);
int update_parse_remove(struct policy_doc *d, const char *spec, const char **ret_host,
	uint16_t *ret_port, struct err *err);

/* The key of the rule that --add-endpoint makes: "allow_" host "_" port, in [A-Za-z0-9_]. */
void update_rule_name(char name[UPDATE_NAME_MAX], const char *host, uint16_t port);

/* What was on the command line; lists end with NULL or are NULL. */
struct update_flags {
	char *const *add_endpoint;
	char *const *remove_endpoint;
	char *const *add_allow;
	char *const *add_deny;
	char *const *remove_rule;
	char *const *binary;
	const char *rule_name;
};

/* Whether the flags go together: 0 or -EINVAL with the reason. */
int update_check_flags(const struct update_flags *f, struct err *err);

/* Operations in the order in which upstream sends them; owned by the document they live in. */
struct update_plan {
	struct merge_op *ops;
	size_t n;
};

/*
 * Checks the flags and makes the plan: added rules, removed endpoints, removed rules, then allow
 * and deny rules grouped by endpoint. Everything lives in @d. 0, -EINVAL with the reason, -ENOMEM.
 */
int update_plan_make(struct policy_doc *d, const struct update_flags *f, struct update_plan *ret,
	struct err *err);
