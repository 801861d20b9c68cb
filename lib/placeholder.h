/*
 * Credential placeholders (openshell-upstream.md, section 6): what stands in the sandbox's
 * environment instead of a secret, and how it is found in a request and replaced.
 *
 *	openshell:resolve:env:KEY		also v<digits>_KEY and s<64 hex digits>_KEY
 *	<prefix>-OPENSHELL-RESOLVE-ENV-KEY	for tools that look at a token's shape
 *
 * Only where a place is known: a whole header value, what follows a scheme in one, the user and
 * password of Basic, within a path segment or a query's value, within a body or message where a
 * policy asks for it. A placeholder anywhere else is an error, never passed on. Pure functions over
 * bytes: who may have which secret for which request is asked of a function of the caller.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct buf;

/*
 * The secret for @key: 0 and where it is (borrowed); -ENOKEY: there is none; -EACCES: not for this
 * request.
 */
typedef int placeholder_fn(
	void *arg, const char *key, size_t len, const char **ret, size_t *ret_len);

struct placeholder_source {
	placeholder_fn *find;
	void *arg;
	unsigned int n; /* how many were replaced so far */
};

/* Some form of it is in @s, as it is or percent-encoded. */
bool placeholder_is_in(const char *s, size_t len);

/*
 * Each appends the result to @out: 0; -ENOKEY when a placeholder stands where none is replaced, has
 * no secret, or has one that does not fit there (control bytes; "/", "?" … in a path; quotes in a
 * body); -EACCES; -ENOBUFS, -ENOMEM. After a failure @out may hold a part, secrets in it.
 */
int placeholder_value(
	struct placeholder_source *src, const char *value, size_t len, struct buf *out);
int placeholder_target(
	struct placeholder_source *src, const char *target, size_t len, struct buf *out);
/* A request head as http1_request_write() has it, up to its blank line. */
int placeholder_head(struct placeholder_source *src, const char *head, size_t len, struct buf *out);
/* JSON, plain text, a WebSocket message. */
int placeholder_text(struct placeholder_source *src, const char *text, size_t len, struct buf *out);
/* application/x-www-form-urlencoded. */
int placeholder_form(struct placeholder_source *src, const char *text, size_t len, struct buf *out);

/* The placeholder of @key: "openshell:resolve:env:KEY" in @ret. False when it does not fit. */
bool placeholder_for(const char *key, char *ret, size_t size);

/* Overwrites what @b holds and held, and releases it. */
void placeholder_wipe(struct buf *b);
