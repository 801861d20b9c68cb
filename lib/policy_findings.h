/*
 * Collecting what is wrong with a policy. Places are named by a chain of steps on the stack, which
 * becomes text only when something is reported.
 */
#pragma once

#include "lib/policy.h"
#include "lib/yaml.h"

enum { POLICY_FINDINGS_MAX = 200 }; /* what is reported; the rest is counted */

/* One step from the root: a key, or an index into a list. */
struct doc_path {
	const struct doc_path *up; /* NULL: the root */
	const char *name;	   /* NULL: the index counts */
	size_t index;
};

#define PATH_KEY(up_, name_) (&(const struct doc_path){ .up = (up_), .name = (name_) })
#define PATH_INDEX(up_, i_)  (&(const struct doc_path){ .up = (up_), .index = (i_) })

/* @f may be NULL. An allocation that fails loses the text, never the count. */
void policy_finding(struct policy_findings *f, enum policy_severity severity, struct yaml_pos pos,
	const struct doc_path *path, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* Into the order of the text; among equals, as they were found. */
void policy_findings_sort(struct policy_findings *f);

/* "a.b[3].c", cut to @size. */
void doc_path_format(const struct doc_path *path, char *out, size_t size);
