/*
 * What `openshell term` reads and does: the list of sandboxes, their logs (each followed from the
 * end, with inotify where there is some to be had), policies, and decisions. Fills the model in.
 */
#pragma once

#include <stddef.h>

#include "launcher/term_model.h"

struct pollfd;

enum {
	WORLD_FEEDS_MAX = 64,	 /* logs that are followed; further sandboxes show no counts */
	WORLD_COUNTED = 50000,	 /* events of each log that the counts begin with */
	WORLD_REFRESH_MS = 2000, /* the list of sandboxes is read anew */
};

struct term_world;

/* @m is borrowed. NULL when out of memory. */
struct term_world *world_new(struct term_model *m);
void world_free(struct term_world *w);

/* Reads the list of sandboxes; what is new is followed, what is gone no longer. */
void world_refresh(struct term_world *w);
/* Shows the events of the sandbox @name, of one that is gone too: 0, or -errno with text. */
int world_show(struct term_world *w, const char *name, struct err *err);
/* Does what a key asked for (TERM_STREAM to TERM_DECIDE). */
void world_do(struct term_world *w, enum term_want want);
/* Takes in what the logs have got since: true when the screen may have changed. @ret_wait_ms is
 * when to look again even without news, -1: never. */
bool world_follow(struct term_world *w, int *ret_wait_ms);
/* The descriptors that tell of news, at most WORLD_FEEDS_MAX: their number. */
size_t world_poll(const struct term_world *w, struct pollfd *ret);
