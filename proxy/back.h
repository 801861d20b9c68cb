/*
 * Servers that speak HTTP/2.
 *
 * One connection carries many exchanges: each gets a leg whose stream is memory (lane.h), writes
 * its request there as HTTP/1 and reads the answer back. HTTP/2 is offered to the server where the
 * client speaks it too: gRPC needs it from end to end, others lose nothing without it.
 */
#pragma once

#include "proxy/upstream.h"

struct back;

/*
 * @leg's socket speaks HTTP/2 from now on: it becomes a connection that others may share, and @leg
 * a lane of it. 0 or -ENOMEM (the leg is as it was).
 */
int back_adopt(struct leg *leg);
/* A connection of @t with room for one more request, or NULL. */
struct back *back_find(const struct target *t, bool is_tls);
/* Makes @leg, which has no socket, a lane of @b. 0 or -ENOMEM. */
int back_join(struct back *b, struct leg *leg);
/* Connections of other generations than this take no more requests. */
void backs_retire(struct proxy *px, uint32_t generation);
/* No further request goes to those that are there. */
void backs_forget(struct proxy *px);
