/*
 * A policy document as YAML, always the same text for the same document: keys in the order of the
 * schema, map entries sorted, two blanks a level, strings in quotes only where YAML needs them.
 * What it prints is read back as an equal document.
 */
#pragma once

#include "lib/buf.h"
#include "lib/policy_doc.h"

/* Comment lines (without "#", each ended by a newline) for the object at @head, or NULL: for rules,
 * endpoints, network policies and binaries. */
typedef const char *policy_comment_fn(void *arg, const struct doc_head *head);

/* 0, -ENOBUFS, -ENOMEM. */
int policy_print(struct buf *out, const struct policy_doc *d);
int policy_print_commented(
	struct buf *out, const struct policy_doc *d, policy_comment_fn *comment, void *arg);

/* One string as YAML would need it written. */
int policy_print_string(struct buf *out, const char *s);
