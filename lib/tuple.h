/*
 * A registered connection: what the supervisor knows of one connect() and the proxy does not.
 *
 * The supervisor connects the workload's socket to the proxy's listener and then registers the
 * source with the intent: address and port, for any address of loopback will do as one, and the
 * same port is free on each. The proxy serves registered tuples only, each once; a connection
 * whose tuple does not arrive within TUPLE_WAIT_MS is reset.
 */
#pragma once

#include <stdint.h>

#include "lib/msg.h"
#include "lib/netaddr.h"

enum { TUPLE_WAIT_MS = 2000, TUPLE_ANCESTORS_MAX = 64 };

enum tuple_mode {
	TUPLE_NONE = 0,
	TUPLE_EXPLICIT,	   /* the program dialled the proxy itself: CONNECT or absolute-form */
	TUPLE_TRANSPARENT, /* the program dialled host:port and knows nothing of a proxy */
};

struct tuple {
	enum tuple_mode mode;
	struct netaddr source; /* within the sandbox's network namespace */
	uint32_t source_port; /* host order */
	const char *host;     /* transparent: canonical name or IP literal; else NULL */
	uint32_t port;	      /* transparent: the port asked for */
	uint32_t pid;	      /* as the sandbox's own pid namespace numbers it */
	const char *binary;   /* as the sandbox sees it; NULL: no identity, deny */
	char **ancestors;     /* NULL-terminated, nearest first, up to init (exclusive) */
	const char *sha256;   /* 64 hex of the binary */
	const char *denied;   /* identity refused (changed hash, deleted file, memfd): why; else NULL */
	uint64_t cookie;      /* for the log: the same on every event of this connection */
	const char *stack;    /* --stacks: for the log (lib/stack.h); else NULL */
};

void tuple_put(struct msg_out *m, const struct tuple *t);
/* Strings point into @m; the caller frees t->ancestors. False for a malformed one. */
bool tuple_get(struct msg_in *m, struct tuple *ret);
