/*
 * Proposals that agents made themselves, through http://policy.local (lib/inbox.h): what `rule`
 * shows of them, and how a decision reaches the sandbox. Their text came from inside: it is parsed
 * here anew, and escaped.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"
#include "lib/inbox.h"
#include "lib/policy_doc.h"
#include "lib/policy_merge.h"
#include "lib/state.h"

/* 0 or -errno with text. @b was set up. */
int ruleagent_load(struct inbox *b, const struct state *s, struct err *err);
/* Shows those with @status ("all": every one) as text, or appends them to @all: how many. */
size_t ruleagent_show(const struct inbox *b, const char *status, json_t *all);
/* Adds its rule to @d, and nothing else that its text may say; @ret_from (the caller's) has to live
 * as long as @d. 0 or -errno with text. */
int ruleagent_merge(const struct inbox_item *i, struct policy_doc *d, struct merge_report *report,
	struct policy_doc **ret_from, struct err *err);
/* The ids of those that wait; those with a security note are counted unless @with_flagged. */
int ruleagent_pending(const struct inbox *b, bool with_flagged, char ***ids, size_t *flagged);
/* Tells the supervisor. @id NULL: all that wait are forgotten. 0 or -errno with text. */
int ruleagent_decide(const char *sandbox, const char *id, const char *status, const char *reason,
	struct err *err);
/* Appends what was decided to @all. */
void ruleagent_history(const struct inbox *b, json_t *all);
