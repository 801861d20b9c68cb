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

/* What a request was understood as. */
enum learn_kind {
	LEARN_REST = 0, /* method and path are all that is known */
	LEARN_GRAPHQL,
	LEARN_JSONRPC,
	LEARN_MCP,
	LEARN_MCP_ASIDE, /* a response, or a GET for an event stream: MCP has them, and others */
};

/* One operation; "" where there is nothing. */
struct learn_operation {
	enum learn_kind kind;
	const char *type;   /* GraphQL: "query" … */
	const char *name;   /* GraphQL: the operation's; else the method */
	const char *detail; /* GraphQL: root fields, separated by commas; MCP: the tool */
};

struct learn_asked {
	const char *method, *template; /* the path without ids */
	struct learn_operation op;
	const char *path; /* the first one seen, quoted */
	bool is_many;	  /* others were seen */
	struct learn_seen seen;
	size_t next;	/* of the same use; index + 1 */
	size_t in_hash; /* of the same bucket */
	size_t use;
};

struct learn_use {
	const char *binary, *host;
	const char *asker;    /* the code of @binary that asked first, escaped; NULL: unknown */
	bool has_more_askers; /* and other code did, too */
	uint16_t port;
	struct learn_seen seen; /* connections */
	size_t asked;		/* first request; index + 1 */
	size_t in_hash;
};

/* Evidence for the rules of an endpoint, in their order: pointers move while the list grows. */
struct learn_evidence {
	struct learn_path *list; /* owned */
	size_t n, room;
};

int learn_evidence_add(struct learn_evidence *v, const struct learn_path *p);

struct learn_remark {
	const struct doc_head *head;
	const char *text;
};

struct learn {
	bool with_denied;
	size_t n_left_out, n_unsayable;
	struct arena arena;
	struct learn_use *uses; /* owned */
	size_t n_uses, room_uses;
	struct learn_asked *asked; /* owned */
	size_t n_asked, room_asked;
	size_t use_hash[LEARN_BUCKETS], asked_hash[LEARN_BUCKETS];
	struct buf path, template;   /* of the event that is being taken in */
	struct learn_spoken *spoken; /* by host, port and template; owned */
	size_t n_spoken;
	struct learn_remark *comments; /* owned */
	size_t n_comments, room_comments;
};

/*
 * How the requests to one path are to be judged: LEARN_REST unless all of them, whoever sent them,
 * were operations of one protocol to just this path. Reads what learn_spoken_prepare() left.
 */
enum learn_kind learn_spoken(const struct learn *l, const struct learn_asked *a);
/* 0 or -ENOMEM. */
int learn_spoken_prepare(struct learn *l);
/*
 * Fills @ret, which has host and port, with what @asked (@n requests to one path, of which
 * learn_spoken() said @kind) need. 0 or -ENOMEM.
 */
int learn_operations(struct learn *l, struct policy_doc *d, enum learn_kind kind,
	const struct learn_asked *asked, size_t n, struct doc_endpoint *ret,
	struct learn_evidence *evidence);

/* Room for one more of @size bytes in the array that @list points to; false when out of memory. */
bool learn_one_more(void *list, size_t n, size_t *room, size_t size);
/* A copy that lives as long as @l; NULL when out of memory. */
const char *learn_keep(struct learn *l, const char *s);
/* "3 requests by curl for several paths, first …": what learn_comment() tells of @head. 0, -ENOMEM.
 */
int learn_comment_add(struct learn *l, const struct doc_head *head, const char *what,
	const char *by, bool is_many, const struct learn_seen *seen);
/* Once all are there. */
void learn_comments_sort(struct learn *l);
