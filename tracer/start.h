/*
 * Starting the processes of a sandbox: a straight line with deadlines, because until it is done
 * there is nobody else to talk to. bubblewrap is first, for its mounts take the longest; what it
 * does not need is done meanwhile.
 */
#pragma once

#include "lib/err.h"

struct sandbox;

/* Each 0 or -errno with text; what was started is in @s, to be killed by sandbox_end(). */
int start_bwrap(struct sandbox *s, struct err *err);
/* Sets up the network while bubblewrap mounts; hands over the filter and the certificates. */
int start_network(struct sandbox *s, struct err *err);
/* Waits until init is confined and ready. */
int start_finish(struct sandbox *s, struct err *err);
/* The proxy, when it is first needed; its answers come as events. */
int start_proxy(struct sandbox *s, struct err *err);
