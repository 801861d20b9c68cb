/*
 * Paths of one method on one endpoint, and how they are generalised (lib/learn.h). Pure but for
 * memory.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"

struct learn_seen {
	uint64_t count, first_ms, last_ms;
};

/* Adds @more to @to. */
void learn_seen_add(struct learn_seen *to, const struct learn_seen *more);

struct learn_path {
	const char *path; /* a pattern; lives in the arena */
	size_t distinct;  /* different paths it stands for */
	struct learn_seen seen;
};

struct learn_paths {
	struct learn_path *list; /* lives in the arena */
	size_t n;
};

/* @path with what a pattern would read as a wildcard made literal; NULL when out of memory. */
const char *learn_path_quote(struct arena *a, const char *path);
/* Generalises in place, sorted by path afterwards: 0 or -ENOMEM. */
int learn_paths_generalise(struct arena *a, struct learn_paths *p);
