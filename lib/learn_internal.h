/*
 * What the two halves of lib/learn.h share: evidence is taken in by learn.c and made a policy by
 * learn_build.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/learn.h"
#include "lib/learn_paths.h"

enum { LEARN_BUCKETS = 16384 };

struct learn_asked {
	const char *method, *template; /* the path without ids */
	const char *path;	       /* the first one seen, quoted */
	bool is_many;		       /* others were seen */
	struct learn_seen seen;
	size_t next;	/* of the same use; index + 1 */
	size_t in_hash; /* of the same bucket */
	size_t use;
};

struct learn_use {
	const char *binary, *host;
	uint16_t port;
	struct learn_seen seen; /* connections */
	size_t asked;		/* first request; index + 1 */
	size_t in_hash;
};

struct learn_remark {
	const struct doc_head *head;
	const char *text;
};

struct learn {
	bool with_denied;
	size_t n_left_out;
	struct arena arena;
	struct learn_use *uses; /* owned */
	size_t n_uses, room_uses;
	struct learn_asked *asked; /* owned */
	size_t n_asked, room_asked;
	size_t use_hash[LEARN_BUCKETS], asked_hash[LEARN_BUCKETS];
	struct buf path, template;     /* of the event that is being taken in */
	struct learn_remark *comments; /* owned */
	size_t n_comments, room_comments;
};

/* Room for one more of @size bytes in the array that @list points to; false when out of memory. */
bool learn_one_more(void *list, size_t n, size_t *room, size_t size);
/* A copy that lives as long as @l; NULL when out of memory. */
const char *learn_keep(struct learn *l, const char *s);
/* "3 requests for several paths, first …": what learn_comment() tells of @head. 0 or -ENOMEM. */
int learn_comment_add(struct learn *l, const struct doc_head *head, const char *what, bool is_many,
	const struct learn_seen *seen);
/* Once all are there. */
void learn_comments_sort(struct learn *l);
