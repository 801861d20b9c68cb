/*
 * What the two halves of lib/policy_merge.c share: the state of one merge, and the checks that a
 * step does not grant more than it says (policy_merge_check.c).
 */
#pragma once

#include "lib/policy_merge.h"

struct merge {
	struct policy_doc *d;
	struct merge_report *report;
	struct err *err;
};

/* Notes the error in the report and its text; returns -EINVAL (-ENOMEM for MERGE_NO_MEMORY). */
int merge_fail(struct merge *m, enum merge_error e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Notes a port that the error is about. */
void merge_note_port(struct merge *m, uint16_t port);

bool merge_has_binary(const struct doc_network_policy *p, const char *path);

/* There is one way of inspecting each host and port: 0, or an error. */
int merge_check_contracts(struct merge *m, const struct merge_op *op);
/* Adding @rule to @target gives no binary and no port more than it asks for: 0, or an error. */
int merge_check_widening(struct merge *m, const struct doc_network_policy *target,
	const struct doc_network_policy *rule);
