/*
 * WebSocket: the upgrade, and what follows 101 Switching Protocols.
 */
#pragma once

#include "lib/http1.h"
#include "lib/policy.h"
#include "proxy/conn.h"

/* The request @rq is a valid upgrade that was allowed: completes @s, the request for the server. */
void tunnel_prepare(struct conn *c, const struct http1_request *rq, const struct inspection *in,
	struct http1_send *s);
/* The server answered 101; @early (@len bytes) came with it. Answers the client and goes on. */
void tunnel_begin(struct conn *c, const struct http1_response *answer, const char *early, size_t len);
void tunnel_on_client(struct conn *c, uint32_t events);
void tunnel_on_leg(struct conn *c, uint32_t events);
