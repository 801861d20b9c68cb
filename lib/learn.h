/*
 * From evidence to policy: the smallest policy that allows what a log shows.
 *
 * Evidence is who (binary) talked to whom (host, port) and, where requests were inspected, what was
 * asked for (method, path). Nothing is widened beyond it but paths, and those only where evidence
 * repeats: a segment that looks like an id becomes "*" once two of them were seen, any other
 * segment once LEARN_SIBLINGS different ones were, and more than LEARN_PATHS paths for one method
 * become their common directory. Host wildcards are never invented. Every rule says how often and
 * when it was used, and by which code where events have their asker.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"
#include "lib/event.h"
#include "lib/policy_doc.h"

enum {
	LEARN_SIBLINGS = 8,
	LEARN_PATHS = 100,
	LEARN_USES_MAX = 10000,	     /* different binary, host and port */
	LEARN_REQUESTS_MAX = 200000, /* different method and path of these, ids apart */
};

struct learn;

/* @with_denied: what was refused is evidence as well. NULL when out of memory. */
struct learn *learn_new(bool with_denied);
/* NULL is fine. */
void learn_free(struct learn *l);

/* Takes one event of the log in, in any order. 0, -E2BIG past a limit, -ENOMEM. */
int learn_event(struct learn *l, const struct event *e);

/* Different destinations that were seen, and denials that were left out. */
size_t learn_uses(const struct learn *l);
size_t learn_left_out(const struct learn *l);
/* Events of hosts that are no names, and of programs whose path would be a pattern: no rule can say
 * just them, so none does. */
size_t learn_unsayable(const struct learn *l);

/*
 * The policy: static sections of @statics (which must live as long as the result), network policies
 * of the evidence. Comments for policy_print_commented() are learn_comment() with @l. 0, -ENOMEM.
 */
int learn_policy(struct learn *l, const struct policy_doc *statics, struct policy_doc **ret);
const char *learn_comment(void *l, const struct doc_head *head);
