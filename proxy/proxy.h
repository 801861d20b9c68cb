/*
 * What the whole process shares: one sandbox, one loop, one policy at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lib/buf.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/netaddr.h"
#include "lib/policy.h"
#include "proxy/limits.h"

struct back;
struct barred;
struct ca;
struct chain;
struct conn;
struct credentials;
struct inference;
struct leg;
struct listener;
struct resolver;
struct server;
struct target;
struct tls;
struct trust;

/* --connect-to: dial .addr:.to_port for .host:.port. The operator vouches for the address. */
struct pin {
	char host[256];
	uint16_t port;
	struct netaddr addr;
	uint16_t to_port;
};

/* A policy and its number: every decision is taken by one of these. */
struct generation {
	struct policy *policy; /* one reference */
	uint32_t number;
};

enum { TARGET_BUCKETS = 256 };

struct proxy {
	struct loop *loop;
	struct log *log;
	struct watch link; /* the supervisor; fd PROXY_FD */
	struct listener *listener;
	struct ca *ca;
	struct trust *trust;
	struct tls *tls;
	struct resolver *resolver;
	struct generation now;
	char sandbox[128];
	bool is_audit;	       /* --audit: let through what policy would deny, and say so */
	bool is_setup, is_ready;
	char untouched[UNTOUCHED_MAX][256]; /* --audit: relayed, for their clients pin certificates */
	unsigned int n_untouched;
	struct pin *pins;
	size_t n_pins;
	struct barred *barred; /* --deny */
	struct netaddr host_gateway; /* what host.openshell.internal is; family 0: nothing */
	struct chain *chain;	     /* --upstream-proxy; NULL: dial directly */
	struct credentials *credentials; /* of the providers that are attached; or NULL */
	bool had_credentials;	     /* placeholders may be about */
	struct inference *inference; /* the route to a model; NULL: none */
	bool has_advisor;	     /* http://policy.local serves */
	LIST_HEAD(, server) asks;    /* its questions to the supervisor (advisor.c) */
	uint32_t last_ask;

	LIST_HEAD(, target) targets[TARGET_BUCKETS];
	unsigned int n_targets;
	TAILQ_HEAD(, leg) idle_legs; /* the longest idle first */
	unsigned int n_idle_legs;
	TAILQ_HEAD(, back) backs; /* connections to servers that speak HTTP/2 */
	uint64_t slept_ms;	  /* of the host, when that was last looked at */

	TAILQ_HEAD(, conn) conns;
	TAILQ_HEAD(, conn) tupleless; /* of those, accepted and not yet registered; the oldest first */
	unsigned int n_conns;
	TAILQ_HEAD(, conn) commits; /* judged in this turn, waiting for the log */
	uint32_t commit_round;

	struct buf writing; /* a message being put together; empty between handlers */
	char scratch[SCRATCH_SIZE];
};
