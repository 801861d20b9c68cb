/*
 * An HTTP/2 header list as an HTTP/1 head: the same struct, so that one judgement and one writer
 * serve both (RFC 9113 section 8). Held to the same rules as what lib/http1.h parses, and to
 * HTTP/2's own: pseudo fields first and once, no connection-specific fields, names in lower case.
 *
 * Names and values are copied; several Cookie fields become one (section 8.2.3).
 */
#pragma once

#include "lib/arena.h"
#include "lib/http1_fields.h"

enum { HTTP2_HEAD_MAX = HTTP1_HEAD_MAX /* names, values and 32 bytes for each: 431 beyond */ };

struct http2_slice {
	const char *s;
	size_t len;
};

struct http2_head {
	struct arena arena;
	size_t bytes;
	int error; /* the first failure: -EBADMSG, -EMSGSIZE, -ENOMEM; what follows is skipped */
	const char *why;
	struct http2_slice method, scheme, authority, path, status;
	bool has_regular; /* no pseudo field may follow */
	bool is_trailers;
	struct http1_scan scan;
	struct http1_fields fields;
};

/* @is_trailers: no pseudo field is allowed. */
void http2_head_init(struct http2_head *h, bool is_request, bool is_trailers);
/* Releases every slice handed out. */
void http2_head_done(struct http2_head *h);

/* Takes one field. Errors are kept in @h and reported by the functions below. */
void http2_head_add(struct http2_head *h, const char *name, size_t name_len, const char *value,
	size_t value_len);

/* Whether a method came and is CONNECT, of a head that may be incomplete. */
bool http2_head_is_connect(const struct http2_head *h);

/*
 * The request: @is_end, no body follows. A body without Content-Length counts as HTTP1_CHUNKED.
 * CONNECT is refused. Slices are @h's. 0, -EBADMSG (400), -EMSGSIZE (431), -ENOMEM.
 */
int http2_head_request(
	struct http2_head *h, bool is_end, struct http1_request *ret, const char **ret_why);
/* The answer to a request with @method, likewise. */
int http2_head_response(struct http2_head *h, bool is_end, const char *method,
	struct http1_response *ret, const char **ret_why);
