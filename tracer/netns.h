/*
 * The sandbox's network namespace, set up from outside.
 *
 * A short-lived child joins it, gives loopback its further addresses, binds the proxy's and the
 * resolver's sockets there and passes them out. It must join the user namespace that owns the
 * network namespace first (NS_GET_USERNS, 4.9): bubblewrap nests two, and only the outer one, in
 * which our uid is the owner, may configure the network.
 */
#pragma once

#include <stdbool.h>

#include "lib/err.h"

struct netns_sockets {
	int proxy4, proxy6; /* listening; -1 where the host has no such family */
	int dns4, dns6;	    /* UDP; where nobody is told of them the second is at 127.0.0.1 */
	int dns4_tcp, dns6_tcp; /* listening */
	int diag;	    /* NETLINK_SOCK_DIAG: what is bound inside */
};

/* 0 and the sockets, which the caller owns; -errno with a text. */
int netns_setup(int netns_fd, bool has_resolv_conf, struct netns_sockets *ret, struct err *err);
void netns_sockets_close(struct netns_sockets *s);
