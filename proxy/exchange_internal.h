/*
 * Between the two files that serve HTTP/1 requests: exchange_request.c up to the decision,
 * exchange.c from there on.
 */
#pragma once

#include "proxy/conn.h"

/* The request in ex.head was allowed, and the log has it: it goes up. */
void exchange_send(struct conn *c);
/* The request's canonical path, "/" before there is one. Lives until the next request. */
const char *exchange_path(struct conn *c);
/* A failure: logged, answered, connection closed. */
void exchange_fault(struct conn *c, unsigned int status, const char *error, const char *engine,
	const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* An inference route's server is known: a leg to it is opened. */
void exchange_dial(struct conn *c);
/* The exchange is over and the client stays: its next request, which in forward mode names a target of its own. */
void exchange_next(struct conn *c);
/* CONN_BODY: the body that audit waits for is late; it goes on without having been looked at. */
void exchange_stop_guessing(struct conn *c);
/* What was kept for the client goes out; true when nothing is left of it. */
bool exchange_flushed(struct conn *c);
