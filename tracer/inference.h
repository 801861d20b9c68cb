/*
 * The route of https://inference.local on its way from the launcher to the proxy: opaque bytes with a secret in
 * them, kept in memory because the proxy starts later than the sandbox, and wiped when others take their place.
 */
#pragma once

#include <stddef.h>

#include "lib/msg.h"

struct control;
struct sandbox;

struct inference {
	char *route; /* owned; NULL: none */
	size_t len;
};

/* CTL_INFERENCE. */
void inference_take(struct sandbox *s, struct control *c, struct msg_in *m);
/* Tells the proxy, which has no route before. 0 or -errno. */
int inference_tell(struct sandbox *s);
void inference_done(struct inference *in);
