/*
 * Requests whose rules look into the body: GraphQL, JSON-RPC, MCP.
 *
 * The body is collected whole, up to the endpoint's limit, before anything is decided; what goes
 * up afterwards is the body that was understood.
 */
#pragma once

#include "lib/http1.h"
#include "lib/policy.h"
#include "lib/request.h"
#include "proxy/conn.h"

/* A body as it was collected and understood. */
struct inspected {
	const char *data;      /* decoded; NULL: no body was collected */
	size_t len;
	const char *operation; /* for the log: what is asked for, without arguments; or NULL */
};

bool inspect_wants_body(const struct inspection *in, const struct http1_request *rq);

/*
 * Looks at @rest (@len bytes after the head). 1: the body is here, @rest moved past it and @facts
 * and @ret are set (valid until the next call); 0: more is needed, the connection is in CONN_BODY;
 * -EMSGSIZE, -EBADMSG, -ENOMEM with the reason.
 */
int inspect_body(struct conn *c, const struct inspection *in, const struct http1_request *rq,
	const char **rest, size_t *len, struct request *facts, struct inspected *ret,
	const char **ret_why);
