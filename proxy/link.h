/*
 * The supervisor's orders: set-up, policy, listeners, registrations.
 */
#pragma once

#include "proxy/proxy.h"

/* Watches PROXY_FD. 0 or -errno. */
int link_begin(struct proxy *px);
/* Asks for a resolver process. */
void link_need_resolver(void *px);
