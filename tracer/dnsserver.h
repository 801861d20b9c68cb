/*
 * Serves dns.h on the sockets bound inside the sandbox, UDP and TCP.
 */
#pragma once

#include "lib/loop.h"
#include "tracer/netns.h"

struct dnsserver;
struct names;

enum { DNS_CLIENTS_MAX = 256, DNS_IDLE_MS = 5000 };

/* Takes the four DNS sockets out of @sockets. NULL on failure. @names outlives the server. */
struct dnsserver *dnsserver_new(struct loop *loop, struct names *names, const char *own_name,
	struct netns_sockets *sockets);
void dnsserver_free(struct dnsserver *d);
