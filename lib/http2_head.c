#include "lib/http2_head.h"

#include <errno.h>
#include <string.h>

enum { FIELD_OVERHEAD = 32 /* RFC 9113 section 6.5.2 */, ARENA_MAX = 16 * HTTP2_HEAD_MAX };

static const char no_connect[] = "CONNECT within HTTP/2 is not supported";

static int refuse(const char **ret_why, const char *why)
{
	*ret_why = why;
	return -EBADMSG;
}

void http2_head_init(struct http2_head *h, bool is_request, bool is_trailers)
{
	*h = (struct http2_head){ .is_trailers = is_trailers, .scan.is_request = is_request };
	http1_fields_init(&h->fields);
	arena_init(&h->arena, ARENA_MAX);
}

void http2_head_done(struct http2_head *h)
{
	arena_done(&h->arena);
}

static void fail(struct http2_head *h, int error, const char *why)
{
	if (h->error == 0) {
		h->error = error;
		h->why = why;
	}
}

static bool is(const char *s, size_t len, const char *word)
{
	return strlen(word) == len && memcmp(s, word, len) == 0;
}

static void add_pseudo(struct http2_head *h, const char *name, size_t name_len, const char *value,
	size_t value_len)
{
	const struct {
		const char *name;
		bool is_request;
		struct http2_slice *slice;
	} table[] = {
		{ ":method", true, &h->method },
		{ ":scheme", true, &h->scheme },
		{ ":authority", true, &h->authority },
		{ ":path", true, &h->path },
		{ ":status", false, &h->status },
	};

	if (h->has_regular || h->is_trailers) {
		fail(h, -EBADMSG, "pseudo header field in the wrong place");
		return;
	}
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (!is(name, name_len, table[i].name) || table[i].is_request != h->scan.is_request)
			continue;
		if (table[i].slice->s)
			fail(h, -EBADMSG, "pseudo header field is there twice");
		*table[i].slice = (struct http2_slice){ value, value_len };
		return;
	}
	fail(h, -EBADMSG, "unknown pseudo header field");
}

static bool is_lower(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (s[i] >= 'A' && s[i] <= 'Z')
			return false;
	}
	return true;
}

/* Fields that would speak of the connection, which HTTP/2 does in frames (section 8.2.2). */
static bool is_connection_specific(const char *name, size_t len)
{
	static const char *const names[] = { "connection", "keep-alive", "proxy-connection",
		"transfer-encoding", "upgrade" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (is(name, len, names[i]))
			return true;
	}
	return false;
}

/* Adds to the Cookie that is there. False when there is none. */
static bool join_cookie(struct http2_head *h, const char *value, size_t len)
{
	for (size_t i = 0; i < h->fields.n; i++) {
		struct http1_header *c = &h->fields.list[i];
		char *joined;

		if (!is(c->name, c->name_len, "cookie"))
			continue;
		joined = arena_printf(
			&h->arena, "%.*s; %.*s", (int)c->value_len, c->value, (int)len, value);
		if (!joined)
			fail(h, -EMSGSIZE, "header fields are too long");
		else
			c->value = joined;
		c->value_len = (uint16_t)(c->value_len + 2 + len);
		return true;
	}
	return false;
}

static void add_regular(struct http2_head *h, const char *name, size_t name_len, const char *value,
	size_t value_len)
{
	const char *why = NULL;
	int r;

	h->has_regular = true;
	if (!is_lower(name, name_len) || is_connection_specific(name, name_len)) {
		fail(h, -EBADMSG, "header field that HTTP/2 does not have");
		return;
	}
	if (is(name, name_len, "te")) {
		if (!is(value, value_len, "trailers"))
			fail(h, -EBADMSG, "TE is not trailers");
		return;
	}
	if (is(name, name_len, "cookie") && join_cookie(h, value, value_len))
		return;
	r = http1_fields_add(&h->fields, &h->scan, name, name_len, value, value_len, &why);
	if (r < 0)
		fail(h, r, why);
}

void http2_head_add(struct http2_head *h, const char *name, size_t name_len, const char *value,
	size_t value_len)
{
	char *n, *v;

	h->bytes += name_len + value_len + FIELD_OVERHEAD;
	if (h->bytes > HTTP2_HEAD_MAX)
		fail(h, -EMSGSIZE, "header fields are too long");
	if (h->error < 0)
		return;
	n = arena_strndup(&h->arena, name, name_len);
	v = arena_strndup(&h->arena, value, value_len);
	if (!n || !v)
		fail(h, -ENOMEM, "out of memory");
	else if (name_len && n[0] == ':')
		add_pseudo(h, n, name_len, v, value_len);
	else
		add_regular(h, n, name_len, v, value_len);
}

bool http2_head_is_connect(const struct http2_head *h)
{
	return h->method.s && is(h->method.s, h->method.len, "CONNECT");
}

static int check_pseudo(const struct http2_head *h, const char **ret_why)
{
	/* Which has neither scheme nor path (RFC 9113 section 8.5). */
	if (http2_head_is_connect(h))
		return refuse(ret_why, no_connect);
	if (!h->method.s || !h->scheme.s || !h->path.s)
		return refuse(ret_why, "request lacks :method, :scheme or :path");
	if (!is(h->scheme.s, h->scheme.len, "https") && !is(h->scheme.s, h->scheme.len, "http"))
		return refuse(ret_why, "request has an unsupported scheme");
	return 0;
}

/* :authority and Host, of which one must be there, must not differ. */
static int set_authority(const struct http2_head *h, struct http1_request *r, const char **ret_why)
{
	const struct http1_header *host =
		h->scan.host ? http1_find(r->fields.list, r->fields.n, HTTP1_HOST) : NULL;
	struct url_authority other;
	const char *why;

	r->authority = (struct url_authority){ .port = 0 };
	if (!h->authority.s && !host)
		return refuse(ret_why, "request has neither :authority nor Host");
	if (host && url_authority_parse(host->value, host->value_len, &other, &why) < 0)
		return refuse(ret_why, "Host header contains an invalid authority");
	if (!h->authority.s) {
		r->authority = other;
		return 0;
	}
	if (url_authority_parse(h->authority.s, h->authority.len, &r->authority, &why) < 0)
		return refuse(ret_why, ":authority is invalid");
	if (host && (strcmp(other.host, r->authority.host) != 0 || other.port != r->authority.port))
		return refuse(ret_why, ":authority does not match the Host header");
	return 0;
}

static int set_form(struct http1_request *r, const char **ret_why)
{
	/* In whatever case it came. */
	if (strcmp(r->method, "CONNECT") == 0)
		return refuse(ret_why, no_connect);
	r->form = HTTP1_ORIGIN;
	if (r->target[0] == '/')
		return 0;
	r->form = HTTP1_ASTERISK;
	return r->target_len == 1 && r->target[0] == '*' && strcmp(r->method, "OPTIONS") == 0
		       ? 0
		       : refuse(ret_why, "request target is not a path");
}

/* In HTTP/2 the end of a body is a flag; an announced length is checked against it. */
static int set_framing(struct http1_fields *f, bool is_end, const char **ret_why)
{
	if (is_end && f->has_length && f->content_length)
		return refuse(ret_why, "request announces a body and ends without one");
	f->framing = f->has_length ? HTTP1_LENGTH : is_end ? HTTP1_NO_BODY : HTTP1_CHUNKED;
	return 0;
}

int http2_head_request(
	struct http2_head *h, bool is_end, struct http1_request *ret, const char **ret_why)
{
	int r = h->error;

	if (r < 0) {
		*ret_why = h->why;
		return r;
	}
	ret->fields = h->fields;
	ret->minor = 1;
	ret->keep_alive = true;
	ret->upgrade = HTTP1_UPGRADE_NONE;
	ret->upgrade_why = NULL;
	r = check_pseudo(h, ret_why);
	if (r == 0)
		r = http1_set_method(ret, h->method.s, h->method.len, ret_why);
	if (r == 0)
		r = http1_set_target(ret, h->path.s, h->path.len, ret_why);
	if (r == 0)
		r = set_form(ret, ret_why);
	if (r == 0)
		r = set_authority(h, ret, ret_why);
	if (r == 0)
		r = set_framing(&ret->fields, is_end, ret_why);
	if (r == 0)
		r = http1_effective_method(ret->effective_method, ret->method, ret->fields.list,
			ret->fields.n, ret_why);
	if (r < 0)
		return r;
	ret->is_https = h->scheme.len == 5;
	ret->expect_continue = h->scan.expects_continue && !is_end;
	return 0;
}

int http2_head_response(struct http2_head *h, bool is_end, const char *method,
	struct http1_response *ret, const char **ret_why)
{
	struct http1_fields *f = &ret->fields;

	if (h->error < 0) {
		*ret_why = h->why;
		return h->error;
	}
	if (h->status.len != 3)
		return refuse(ret_why, "response lacks a valid :status");
	ret->status = 0;
	for (size_t i = 0; i < 3; i++) {
		if (h->status.s[i] < '0' || h->status.s[i] > '9')
			return refuse(ret_why, "status is not a number");
		ret->status = ret->status * 10 + (unsigned int)(h->status.s[i] - '0');
	}
	if (ret->status < 100 || ret->status > 599 || ret->status == 101)
		return refuse(ret_why, "status is out of range");
	*f = h->fields;
	ret->minor = 1;
	ret->reason = "";
	ret->reason_len = 0;
	ret->keep_alive = true;
	ret->is_upgrade = false;
	ret->is_event_stream =
		http1_has_media_type(f->list, f->n, HTTP1_CONTENT_TYPE, "text/event-stream");
	f->framing = http1_is_bodiless(ret->status, method) ? HTTP1_NO_BODY
		     : f->has_length			    ? HTTP1_LENGTH
		     : is_end				    ? HTTP1_NO_BODY
							    : HTTP1_CHUNKED;
	return 0;
}
