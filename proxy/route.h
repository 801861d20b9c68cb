/*
 * Whether an address is this machine's own, asked of the kernel's routing table each time: a laptop
 * roams, and a list of addresses would be as old as the last look.
 */
#pragma once

#include <stdbool.h>

#include "lib/netaddr.h"

/* Opens the way to ask, before isolate_final(). 0 or -errno. */
int route_begin(void);
/* True when packets to @a would be delivered here, and when that cannot be found out. */
bool route_is_own(const struct netaddr *a);
