/*
 * Checking a document. Private to lib/policy_check*.c.
 */
#pragma once

#include <stdio.h>

#include "lib/policy_findings.h"
#include "lib/policy_impl.h"

/*
 * An error. Most leave no doubt about what the rest means, so that `policy eval` can still answer
 * (policy_load_refused()); what is no pattern or no known word leaves nothing to ask.
 */
#define bad(f, pos, path, ...)                                                                     \
	((f)->n_refusals++, policy_finding((f), POLICY_ERROR, (pos), (path), __VA_ARGS__))
#define meaningless(f, pos, path, ...) policy_finding((f), POLICY_ERROR, (pos), (path), __VA_ARGS__)
#define odd(f, pos, path, ...)	       policy_finding((f), POLICY_WARNING, (pos), (path), __VA_ARGS__)

struct endpoint_check {
	struct policy_findings *f;
	const struct doc_endpoint *e;
	const struct doc_path *path;
	enum policy_protocol protocol;
	const char *where; /* for messages: the host as written */
};

void policy_check_endpoint(
	const struct doc_endpoint *e, const struct doc_path *path, struct policy_findings *f);
void policy_check_rules(const struct endpoint_check *c);
void policy_check_shadows(const struct endpoint_check *c);

/* Reports a pattern that is none. @name may be NULL when @path names the value already. */
void check_pattern(struct policy_findings *f, const struct doc_str *s, enum glob_flavour flavour,
	const struct doc_path *path);
/* @s is one of @words, or an error with a suggestion; absent and empty pass. */
bool check_word(struct policy_findings *f, const struct doc_str *s, const char *const *words,
	const struct doc_path *path);
