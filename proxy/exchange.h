/*
 * HTTP/1 requests of one client, one after the other: collected, judged, written anew for the
 * server; the answer written anew for the client. Bodies stream through at constant memory.
 */
#pragma once

#include "proxy/conn.h"

/* The client may send a request now; what is already there is looked at. */
void exchange_begin(struct conn *c);
/* Bytes from the client in CONN_REQUEST or CONN_BODY. */
void exchange_on_request(struct conn *c, uint32_t events);
/* Either side is ready in CONN_EXCHANGE. */
void exchange_on_client(struct conn *c, uint32_t events);
void exchange_on_leg(struct conn *c, uint32_t events);
void exchange_on_leg_ready(struct conn *c);
void exchange_on_leg_failed(struct conn *c, enum leg_failure why, const char *text);
/* CONN_EXCHANGE took too long. */
void exchange_on_deadline(struct conn *c);
void exchange_init(struct exchange *ex);
/* Releases what an exchange holds. */
void exchange_done(struct exchange *ex);
