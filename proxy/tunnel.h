/*
 * WebSocket: the upgrade, and what follows 101 Switching Protocols.
 *
 * Where rules look at messages, the client's text messages are put together, judged one by one and
 * written anew; everything else passes as it came. The server's direction is passed on, its frame
 * boundaries noted, so that a close frame of ours never lands inside a frame of the server's.
 */
#pragma once

#include "lib/http1.h"
#include "lib/policy.h"
#include "lib/websocket.h"
#include "proxy/conn.h"

struct tunnel;

/* The request @rq is a valid upgrade that was allowed: completes @s, the request for the server.
 * 0, -EBADMSG, -ENOMEM. */
int tunnel_prepare(struct conn *c, const struct http1_request *rq, const struct inspection *in,
	struct http1_send *s);
/* The server answered 101; @early (@len bytes) came with it. Answers the client and goes on. */
void tunnel_begin(struct conn *c, const struct http1_response *answer, const char *early, size_t len);
void tunnel_on_client(struct conn *c, uint32_t events);
void tunnel_on_leg(struct conn *c, uint32_t events);
/* Ends both sides with a close frame. */
void tunnel_close(struct conn *c, enum ws_close code, const char *reason);
void tunnel_on_deadline(struct conn *c);
/* Whether messages are looked at as @in asks for: what went unseen so far may hold half of one. */
bool tunnel_is_as(const struct tunnel *t, const struct inspection *in);
/* NULL is fine. */
void tunnel_free(struct tunnel *t);
