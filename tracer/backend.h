/*
 * How the calls of the workload come to the supervisor: the way that was asked for, or the first
 * that this host really offers.
 *
 * init tries to install the filter with a listener, unless that was ruled out, and says how that
 * went; what follows is decided here.
 */
#pragma once

#include <stdbool.h>

#include "lib/err.h"
#include "lib/spec.h"

struct msg_out;
struct sandbox;

/* Whether this version knows a way to do what was @asked. */
bool backend_exists(enum spec_intercept asked);

/* The filter for INIT_SETUP: empty where no listener is to be tried. */
void backend_put_filter(const struct sandbox *s, struct msg_out *m);

/* Each 0 or -errno with text, and sets @s->calls and @s->intercept. */
/* init has a listener, @number of its descriptors. */
int backend_listen(struct sandbox *s, int number, struct err *err);
/*
 * init has none, because of @errnum (0: none was tried). It has no filter yet and has started
 * nobody: it is traced, and so is everything that comes of it; or it was asked to cooperate; or
 * this is the end.
 */
int backend_without_listener(struct sandbox *s, int errnum, struct err *err);

/* A call has come before any command runs: it is init's, which proves that it does come. */
void backend_prove(struct sandbox *s);
