/*
 * Clients that speak HTTP/2.
 *
 * Each of their requests becomes a connection of its own within the proxy: an inner struct conn
 * whose stream is memory, served by exchange.c like any other client. So there is one place where
 * requests are judged, logged, refused and forwarded, whatever version carried them. Between the
 * two stands a lane: it writes the request as HTTP/1 and reads the answer back (lib/http1.h), and
 * passes on how much either side can take.
 */
#pragma once

#include "proxy/conn.h"

struct front;

/* The client's TLS is up, or it greeted us in plain text: HTTP/2 from now on. */
void front_begin(struct conn *c);
/* CONN_H2: the client's socket is ready. */
void front_on_client(struct conn *c, uint32_t events);
/* Nothing happened for KEEPALIVE_MS. */
void front_on_deadline(struct conn *c);
/* Lets the requests of @c finish, and takes no more. */
void front_retire(struct conn *c);
/* Ends every request of @c; part of conn_close(). */
void front_close(struct conn *c);
/* Releases it; NULL is fine. */
void front_free(struct front *f);
