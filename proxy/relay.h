/*
 * Bytes that nobody inspects, from socket to socket through a pipe (splice(2)), both ways, each
 * way with its own end.
 */
#pragma once

#include "proxy/conn.h"

/* Both sockets are connected; what was read from the client already goes up first. */
void relay_begin(struct conn *c);
void relay_on_event(struct conn *c, uint32_t events);
/* Releases pipes; NULL is fine. */
void relay_free(struct relay_way *ways);
