/*
 * http://policy.local: what an agent inside may ask about its sandbox, and propose
 * (openshell-upstream.md, section 7.5).
 *
 * A server within the proxy: to an exchange it is a leg like any other, whose stream is memory.
 * What it is asked for, the supervisor has; what agents propose is understood here, in the process
 * that can do nothing else, and handed on as text. Nothing that can be asked here decides anything.
 */
#pragma once

#include <stdbool.h>

#include "lib/msg.h"
#include "proxy/proxy.h"

struct leg;
struct stream;

/* Whether @host:@port is it. */
bool advisor_is(const char *host, uint16_t port);
/* The server's side of @leg; NULL when out of memory. */
struct stream *advisor_stream_new(struct proxy *px, struct leg *leg);
/* PROXY_ADVISOR and PROXY_TOLD. 0 or -EPROTO. */
int advisor_on_setting(struct proxy *px, struct msg_in *m);
int advisor_on_told(struct proxy *px, struct msg_in *m);
/* Appends what a denied agent can do about it: `,"agent_guidance":…` and the elements of
 * next_steps. */
int advisor_put_guidance(struct buf *out);
int advisor_put_steps(struct buf *out);
