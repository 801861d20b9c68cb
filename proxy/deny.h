/*
 * Answers of our own: the JSON that says what was refused, why, and what would allow it.
 */
#pragma once

#include "lib/buf.h"
#include "proxy/conn.h"

/* Appends the JSON body. @method and @path are NULL when a connection was refused. */
int deny_body(struct buf *out, const struct conn *c, const struct refusal *r, const char *method,
	const char *path);
/* Appends a whole HTTP/1.1 response with that body. The
 * body is left out for HEAD. */
int deny_response(struct buf *out, const struct conn *c, const struct refusal *r,
	const char *method, const char *path, bool close);
