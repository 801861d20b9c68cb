/*
 * Header lines to struct http1_fields: the part that requests, responses and trailers share.
 * Private to lib/http1*.c and lib/http2_head.c.
 */
#pragma once

#include "lib/http1.h"

/* What the lines said, before it is known what kind of message this is. */
struct http1_scan {
	const struct http1_header *host;
	const struct http1_header *override;
	unsigned int n_host, n_length, n_override;
	bool has_coding;    /* a Transfer-Encoding; it is exactly "chunked" */
	bool has_websocket; /* Upgrade: websocket or a Sec-WebSocket-Key or -Version */
	bool has_h2c;
	bool expects_continue;
	bool is_request;
	struct {
		const char *name;
		size_t len;
	} nominated[HTTP1_NOMINATED_MAX];
	size_t n_nominated;
};

/*
 * Parses @len bytes of lines, each ending in CRLF, without the blank one. Sets fields->list, n,
 * says_*, has_length, content_length; framing is the caller's. 0, -EBADMSG, -EMSGSIZE.
 */
int http1_fields_parse(struct http1_fields *f, struct http1_scan *scan, const char *lines,
	size_t len, const char **ret_why);

void http1_fields_init(struct http1_fields *f);

/*
 * One field whose name and value are already apart. @name and @value are kept as slices; blanks
 * around the value are cut off. As above.
 */
int http1_fields_add(struct http1_fields *f, struct http1_scan *scan, const char *name,
	size_t name_len, const char *value, size_t value_len, const char **ret_why);

/* Marks what Connection named; after the last field. */
void http1_fields_end(struct http1_fields *f, const struct http1_scan *scan);

/* Parts of http1_request_parse(), for requests that come in another form. 0 or -EBADMSG. */
int http1_set_method(struct http1_request *r, const char *s, size_t len, const char **ret_why);
int http1_set_target(struct http1_request *r, const char *s, size_t len, const char **ret_why);
/* Whether an answer of that status to @method has no body whatever it announces. */
bool http1_is_bodiless(unsigned int status, const char *method);

/* The checks on framing that hold for every message: CL with TE, TE on 1.0. 0 or -EBADMSG. */
int http1_fields_check(const struct http1_fields *f, const struct http1_scan *scan,
	unsigned int minor, const char **ret_why);

/* "HTTP/1.0" or "HTTP/1.1": the minor version, or -1. */
int http1_minor(const char *s, size_t len);
bool http1_equals(const char *s, size_t len, const char *lower);
