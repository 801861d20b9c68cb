/*
 * The sections of a policy that a running sandbox was built from: filesystem_policy, landlock,
 * process. They cannot change while it runs, but for paths that are added
 * (openshell-upstream.md section 1.4).
 */
#pragma once

#include <stdbool.h>

#include "lib/err.h"
#include "lib/policy_doc.h"

/*
 * Whether a sandbox that runs under @live may be given @update. Strict, as upstream is: an absent
 * section is a removed one; one that @live does not have may be added (what it adds is the
 * supervisor's to judge). 0, or -EINVAL with the field and why.
 */
int policy_static_check(
	const struct policy_doc *live, const struct policy_doc *update, struct err *err);

/*
 * Gives @update the static sections it does not have from @live, which must live as long: so that
 * every revision is whole, and a sandbox starts again from its last one. True when one was taken.
 */
bool policy_static_inherit(const struct policy_doc *live, struct policy_doc *update);

/*
 * Inherits, then checks, on texts: @ret is the completed text (the caller's), or NULL when @update was complete as it
 * is. 0; -EINVAL with the reason; -ENOMEM.
 */
int policy_static_complete(const char *live, const char *update, char **ret, struct err *err);
