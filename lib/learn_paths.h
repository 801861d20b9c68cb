/*
 * Paths of one method on one endpoint, and how they are generalised (lib/learn.h). Pure but for
 * memory.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/buf.h"

struct learn_seen {
	uint64_t count, first_ms, last_ms;
};

/* Adds @more to @to. */
void learn_seen_add(struct learn_seen *to, const struct learn_seen *more);

struct learn_path {
	const char *path; /* a pattern; lives in the arena */
	bool is_many;	  /* stands for several paths */
	struct learn_seen seen;
};

struct learn_paths {
	struct learn_path *list; /* lives in the arena */
	size_t n;
};

/* Appends @path with what a pattern would read as a wildcard made literal: 0, -ENOBUFS, -ENOMEM. */
int learn_path_quote(struct buf *out, const char *path);
/* Appends @path with every segment that looks like an id as "*". */
int learn_path_without_ids(struct buf *out, const char *path);
/* Generalises what is not about ids in place, sorted by path afterwards: 0 or -ENOMEM. */
int learn_paths_generalise(struct arena *a, struct learn_paths *p);
