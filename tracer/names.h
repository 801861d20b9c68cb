/*
 * Names and the synthetic addresses they resolve to.
 *
 * The sandbox's resolver asks nobody: it hands out an address of a private range and remembers
 * which name it stands for. A connection to that address carries the name back to the decision.
 * The mapping is bounded; the least recently used name gives way. An IPv4 address is given out
 * again as late as possible (round robin over 131 070), an IPv6 address never; a connection to an
 * address whose name was forgotten has no destination and is refused.
 */
#pragma once

#include <stddef.h>

#include "lib/netaddr.h"

struct names;

enum { NAMES_MAX = 32768, NAMES_LEN_MAX = 253 };

struct names *names_new(void);
void names_free(struct names *n);

/* The addresses that stand for @name (canonical: lower case, no trailing dot). 0 or -ENOMEM. */
int names_assign(struct names *n, const char *name, struct netaddr *ret_v4, struct netaddr *ret_v6);

/* The name behind a synthetic address, until the next names_assign(); NULL when it stands for none. */
const char *names_lookup(struct names *n, const struct netaddr *addr);
/* Whether @addr lies in one of the synthetic ranges. */
bool names_is_synthetic(const struct netaddr *addr);
