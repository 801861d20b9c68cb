/*
 * Changing a policy by small steps: what `policy update`, approved proposals and `policy learn
 * --merge` do to a document.
 *
 * All steps apply or none: on failure the document is not to be used any more. A step never grants
 * more than it says. Where merging into a rule that exists would give one of its binaries, or one
 * of its ports, something that was not asked for, the step is refused, or put into a rule of its
 * own if it did not name the existing one.
 *
 * Rules whose key begins with "_provider_" belong to credential providers and are left alone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/policy_doc.h"

enum { MERGE_PORTS_MAX = 64, MERGE_WARNINGS_MAX = 64, MERGE_TEXT_MAX = 400 };

enum merge_op_type {
	MERGE_ADD_RULE = 0,
	MERGE_REMOVE_ENDPOINT,
	MERGE_REMOVE_RULE,
	MERGE_ADD_ALLOW,
	MERGE_ADD_DENY,
	MERGE_REMOVE_BINARY,
};

/* Everything pointed to must live as long as the document that is changed. */
struct merge_op {
	enum merge_op_type type;
	const char *rule_name;		       /* ADD_RULE, REMOVE_RULE, REMOVE_BINARY */
	const struct doc_network_policy *rule; /* ADD_RULE */
	const char *host;		       /* REMOVE_ENDPOINT, ADD_ALLOW, ADD_DENY */
	uint16_t port;
	const struct doc_rule *rules; /* ADD_ALLOW, ADD_DENY */
	size_t n_rules;
	const char *binary; /* REMOVE_BINARY */
	bool is_evidence;   /* ADD_RULE: MCP may come to stand beside an endpoint without a path
			     * whose rules allow nothing at MCP's path; upstream refuses that */
};

enum merge_error {
	MERGE_OK = 0,
	MERGE_NO_MEMORY,
	MERGE_EMPTY_ADD_RULE_ENDPOINTS,
	MERGE_PROVIDER_RULE,
	MERGE_MCP_CONTRACT_CONFLICT,
	MERGE_CONFLICTING_INSPECTION_CONTRACTS,
	MERGE_NEW_BINARY_WOULD_INHERIT,
	MERGE_EXISTING_BINARIES_WOULD_INHERIT,
	MERGE_UNDECLARED_PORT_WOULD_CHANGE,
	MERGE_AMBIGUOUS_ENDPOINT_RULE,
	MERGE_CANNOT_REMOVE_BINARY_FROM_ANY,
	MERGE_ENDPOINT_NOT_FOUND,
	MERGE_ENDPOINT_HAS_NO_L7,
	MERGE_UNSUPPORTED_PROTOCOL,
	MERGE_NO_ALLOW_BASE,
	MERGE_UNSUPPORTED_ACCESS_PRESET,
};

/* "EmptyAddRuleEndpoints" …: upstream's names. */
const char *merge_error_name(enum merge_error e);

struct merge_warning {
	const char *name; /* "ExistingProtocolRetained" … */
	char text[MERGE_TEXT_MAX];
};

struct merge_report {
	enum merge_error error;
	size_t step;			 /* which operation failed */
	uint16_t ports[MERGE_PORTS_MAX]; /* that the error is about */
	size_t n_ports;
	struct merge_warning warnings[MERGE_WARNINGS_MAX]; /* what does not fit is not told */
	size_t n_warnings;
};

/* Applies @n operations in order: 0, or -EINVAL with the reason in @err and @ret, -ENOMEM. */
int policy_merge(struct policy_doc *d, const struct merge_op *ops, size_t n,
	struct merge_report *ret, struct err *err);
