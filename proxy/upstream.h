/*
 * Connections to real servers, and the warm ones that wait for the next request.
 *
 * A target is where a connection may go: (host, port, who asks, policy generation), with two lists
 * of warm connections, plain and TLS. They are shared within a target only, so that no request ever travels on a
 * connection that was opened for another program or under another policy.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <openssl/ssl.h>

#include "lib/netaddr.h"
#include "proxy/limits.h"
#include "proxy/proxy.h"
#include "proxy/side.h"

struct dial;

struct target {
	LIST_ENTRY(target) link;
	struct proxy *px;
	unsigned int refs; /* connections and legs that point here */
	char *host, *binary; /* owned */
	uint16_t port, dial_port;
	uint32_t generation;
	struct netaddr addrs[RESOLVED_ADDRS_MAX]; /* checked; exactly these are dialled */
	size_t n_addrs;
	bool is_pinned;	 /* an operator named them: they are not checked */
	bool is_chained; /* likewise; they are those of the corporate proxy, which is asked for a tunnel */
	uint64_t fresh_until_ms; /* then the addresses are asked for and checked again */
	TAILQ_HEAD(leg_list, leg) idle[2]; /* plain, TLS; the most recently used first */
	unsigned int n_idle;
	SSL_SESSION *session; /* for resumption; NULL: none */
	bool is_only_http2;   /* HTTP/1 alone was offered, and TLS refused it */
	bool is_plain_http1;  /* HTTP/2 without TLS was tried, and not understood */
};

struct target_key {
	const char *host, *binary;
	uint16_t port;
	uint32_t generation;
};

/* Finds or makes; a reference for the caller. NULL when out of memory or beyond TARGETS_MAX. */
struct target *target_get(struct proxy *px, const struct target_key *key);
void target_unref(struct target *t);
/* Addresses that were checked: connections that are there already dial them. They hold for RESOLVE_FRESH_MS, or
 * for good when @is_pinned. */
void target_set_addrs(struct target *t, const struct netaddr *addrs, size_t n, uint16_t port,
	bool is_pinned);
/* The same destination in another generation: what was checked for it stays checked. */
void target_inherit(struct target *t, const struct target *from);
/* The addresses are good, or a warm connection makes them unnecessary. */
bool target_is_ready(const struct target *t);

enum leg_state {
	LEG_CLOSED = 0, /* zeroed memory, or buried */
	LEG_DIALLING,
	LEG_CHAINING,	/* connected to and asking the corporate proxy for a tunnel */
	LEG_HANDSHAKE,	/* TLS with the server */
	LEG_BUSY,	/* belongs to a connection */
	LEG_IDLE,	/* warm, in its target's list */
};

struct leg {
	struct side side;
	enum leg_state state;
	struct target *target; /* one reference */
	struct conn *conn;     /* who uses it; NULL when idle */
	struct dial *dial;
	struct timer timer;
	uint64_t idle_since_ms;
	struct netaddr addr;   /* where it is connected */
	bool is_tls;
	bool offers_h2;	       /* its client speaks HTTP/2; perhaps the server does */
	bool is_reused;	       /* it carried a request before: may turn out to be dead */
	TAILQ_ENTRY(leg) link; /* LEG_IDLE: in target->idle[is_tls] */
	TAILQ_ENTRY(leg) age;  /* LEG_IDLE: in proxy->idle_legs */
};

/*
 * A connection to @t for @c. 1: a warm one, usable now; 0: being opened, conn_on_leg_ready() or
 * conn_on_leg_failed() follows, never from within this call; -errno: no. Warm ones that idled longer
 * than @idle_max_ms are passed over (0: a new one is wanted).
 */
int leg_open(struct target *t, struct conn *c, bool is_tls, uint64_t idle_max_ms,
	struct leg **ret);
/* Back to the warm ones; closed when there are enough. The connection forgets it. */
void leg_release(struct leg *leg);
/* NULL is fine. */
void leg_close(struct leg *leg);
/* Closes the warm legs of all generations but @generation. */
void legs_retire(struct proxy *px, uint32_t generation);

struct tls;
/* Sessions that servers give are kept with their targets, for resumption. */
void upstream_keep_sessions(struct tls *tls);
