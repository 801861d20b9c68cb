/*
 * Changing the policy of a sandbox by small steps: what `policy update` and `rule approve` share.
 */
#pragma once

#include "lib/err.h"
#include "lib/policy_doc.h"
#include "lib/state.h"

/* Whoever holds this may read the last revision and write the next; closing lets go. -errno. */
int policy_edit_lock(const struct state *s);
/* @d as text that loads: 0 and @ret_yaml (the caller's), or -errno with text. */
int policy_edit_print(const struct policy_doc *d, char **ret_yaml, struct err *err);
