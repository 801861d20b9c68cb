/*
 * Accepting inside the sandbox's network namespace, and finding out who connected.
 *
 * The supervisor registers each connection by its source port. A registration and its connection
 * come in any order; whichever is first waits TUPLE_WAIT_MS for the other. A port serves once.
 */
#pragma once

#include <stdint.h>

#include "lib/tuple.h"
#include "proxy/proxy.h"

struct listener;

struct listener *listener_new(struct proxy *px);
/* Accepts on @fd (listening, non-blocking from now on), owned. 0 or -errno. */
int listener_add(struct listener *l, int fd);
/* Takes a PROXY_TUPLE message apart: 0, -EPROTO for a malformed one, -ENOMEM. */
int listener_on_tuple(struct listener *l, struct msg_in *m);
