/* Heads are written from the parsed form: one reservation, then plain copies. */
#include <errno.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/http1_fields.h"

enum { FIXED_MAX = 512 }; /* all that is written beside the caller's strings */

struct writer {
	char *at;
};

static void put(struct writer *w, const char *s, size_t len)
{
	memcpy(w->at, s, len);
	w->at += len;
}

static void puts_(struct writer *w, const char *s)
{
	put(w, s, strlen(s));
}

static void put_number(struct writer *w, uint64_t v)
{
	char digits[20];
	size_t n = sizeof(digits);

	do
		digits[--n] = (char)('0' + v % 10);
	while (v /= 10);
	put(w, digits + n, sizeof(digits) - n);
}

static size_t fields_size(const struct http1_header *list, size_t n)
{
	size_t size = 0;

	for (size_t i = 0; i < n; i++)
		size += list[i].name_len + list[i].value_len + 4u;
	return size;
}

static void put_fields(struct writer *w, const struct http1_header *list, size_t n,
	enum http1_framing framing, enum http1_ws ws)
{
	for (size_t i = 0; i < n; i++) {
		const struct http1_header *h = &list[i];

		if (h->is_hop || (h->id == HTTP1_TRAILER && framing != HTTP1_CHUNKED) ||
			(h->id == HTTP1_WS_EXTENSIONS && ws == HTTP1_WS_REWRITE))
			continue;
		put(w, h->name, h->name_len);
		put(w, ": ", 2);
		put(w, h->value, h->value_len);
		put(w, "\r\n", 2);
	}
}

static void put_framing(struct writer *w, enum http1_framing framing, uint64_t content_length)
{
	if (framing == HTTP1_CHUNKED) {
		puts_(w, "Transfer-Encoding: chunked\r\n");
	} else if (framing == HTTP1_LENGTH) {
		puts_(w, "Content-Length: ");
		put_number(w, content_length);
		puts_(w, "\r\n");
	}
}

static void put_connection(struct writer *w, enum http1_ws ws, bool close, bool keep)
{
	if (ws != HTTP1_WS_NONE)
		puts_(w, "Connection: Upgrade\r\nUpgrade: websocket\r\n");
	else if (close)
		puts_(w, "Connection: close\r\n");
	else if (keep)
		puts_(w, "Connection: keep-alive\r\n");
}

static void put_host(struct writer *w, const struct url_authority *a, uint16_t default_port)
{
	puts_(w, a->is_ipv6 ? "Host: [" : "Host: ");
	puts_(w, a->host);
	puts_(w, a->is_ipv6 ? "]" : "");
	if (a->port && a->port != default_port) {
		puts_(w, ":");
		put_number(w, a->port);
	}
	puts_(w, "\r\n");
}

static void put_request_line(struct writer *w, const struct http1_send *s)
{
	puts_(w, s->method);
	puts_(w, " ");
	puts_(w, s->path);
	if (s->query) {
		puts_(w, "?");
		put(w, s->query, s->query_len);
	}
	puts_(w, " HTTP/1.1\r\n");
}

int http1_request_write(
	struct buf *out, const struct http1_send *s, const struct http1_header *list, size_t n)
{
	size_t extension = s->ws_extension ? strlen(s->ws_extension) : 0;
	size_t size = FIXED_MAX + strlen(s->method) + strlen(s->path) + s->query_len +
		      strlen(s->authority->host) + fields_size(list, n) + extension;
	struct writer w = { buf_reserve(out, size) };
	char *start = w.at;

	if (!w.at)
		return size > buf_room(out) ? -ENOBUFS : -ENOMEM;
	put_request_line(&w, s);
	put_host(&w, s->authority, s->default_port);
	put_fields(&w, list, n, s->framing, s->ws);
	put_framing(&w, s->framing, s->content_length);
	if (s->expect)
		puts_(&w, "Expect: 100-continue\r\n");
	if (s->via)
		puts_(&w, "Via: 1.1 openshell-sandbox\r\n");
	put_connection(&w, s->ws, s->close, false);
	if (extension) {
		puts_(&w, "Sec-WebSocket-Extensions: ");
		puts_(&w, s->ws_extension);
		puts_(&w, "\r\n");
	}
	puts_(&w, "\r\n");
	buf_commit(out, (size_t)(w.at - start));
	return 0;
}

int http1_response_write(
	struct buf *out, const struct http1_answer *a, const struct http1_header *list, size_t n)
{
	size_t size = FIXED_MAX + a->reason_len + fields_size(list, n);
	struct writer w = { buf_reserve(out, size) };
	char *start = w.at;

	if (!w.at)
		return size > buf_room(out) ? -ENOBUFS : -ENOMEM;
	puts_(&w, "HTTP/1.1 ");
	put_number(&w, a->status);
	puts_(&w, " ");
	if (a->reason)
		put(&w, a->reason, a->reason_len);
	puts_(&w, "\r\n");
	put_fields(&w, list, n, a->framing, a->ws);
	put_framing(&w, a->announces_length ? HTTP1_LENGTH : a->framing, a->content_length);
	put_connection(&w, a->ws, a->close, a->keep);
	puts_(&w, "\r\n");
	buf_commit(out, (size_t)(w.at - start));
	return 0;
}

/* Fields that a recipient must know before the body may not come after it. */
static bool is_trailer(const struct http1_header *h)
{
	static const char *const forbidden[] = { "authorization", "cookie", "set-cookie", "range",
		"content-range", "cache-control", "if-match", "if-none-match", "max-forwards",
		"location", "vary", "age", "expires", "date", "www-authenticate", "alt-svc" };

	if (h->is_hop || h->id != HTTP1_OTHER)
		return false;
	for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
		if (http1_equals(h->name, h->name_len, forbidden[i]))
			return false;
	}
	return true;
}

int http1_trailers_parse(
	struct http1_fields *f, const char *block, size_t len, const char **ret_why)
{
	struct http1_scan scan = { .is_request = true };
	size_t kept = 0;
	int r;

	http1_fields_init(f);
	if (len < 2 || memcmp(block + len - 2, "\r\n", 2) != 0) {
		*ret_why = "trailers do not end in an empty line";
		return -EBADMSG;
	}
	r = http1_fields_parse(f, &scan, block, len - 2, ret_why);
	for (size_t i = 0; i < f->n && r == 0; i++) {
		if (is_trailer(&f->list[i]))
			f->list[kept++] = f->list[i];
	}
	f->n = kept;
	return r;
}

int http1_trailers_write(struct buf *out, const char *block, size_t len, const char **ret_why)
{
	struct http1_fields f;
	int r = http1_trailers_parse(&f, block, len, ret_why);

	for (size_t i = 0; i < f.n && r == 0; i++) {
		const struct http1_header *h = &f.list[i];

		r = buf_printf(out, "%.*s: %.*s\r\n", (int)h->name_len, h->name, (int)h->value_len,
			h->value);
	}
	return r < 0 ? r : buf_puts(out, "\r\n");
}
