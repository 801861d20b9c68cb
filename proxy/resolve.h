/*
 * Asking the resolver process.
 *
 * Names are resolved outside this process, by the host's own rules, and only after policy has said
 * yes to the name. Answers are used again for a few seconds: long enough for the connections of
 * one page, short enough for a laptop that changes networks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lib/loop.h"
#include "lib/netaddr.h"
#include "proxy/limits.h"

struct resolver;
struct resolve_query;

struct resolve_answer {
	struct netaddr addrs[RESOLVED_ADDRS_MAX];
	size_t n;
	char error[128]; /* why there is none; "" when n > 0 */
};

typedef void resolve_fn(struct resolve_query *q, const struct resolve_answer *answer);

/* Embedded in whoever asks; zero when not asking. */
struct resolve_query {
	TAILQ_ENTRY(resolve_query) link;
	uint32_t id;
	bool is_asking, is_sent;
	resolve_fn *fn;
	struct timer timeout;
	struct resolver *resolver;
	char name[256];
};

/* @need is called (with @arg) when a resolver process is wanted and there is none. */
struct resolver *resolver_new(struct loop *loop, void (*need)(void *arg), void *arg);
/* The socket to a resolver process; owned from now on. Questions that waited go out. */
int resolver_attach(struct resolver *r, int fd);

/*
 * Asks for @name. 1: @ret holds the answer already; 0: @fn will be called, once, never from within
 * this call; -EBUSY: too many questions in flight; -errno.
 */
int resolver_ask(struct resolver *r, struct resolve_query *q, const char *name, resolve_fn *fn,
	struct resolve_answer *ret);
/* Forgets the question. Harmless when it was not asked. */
void resolver_cancel(struct resolve_query *q);
