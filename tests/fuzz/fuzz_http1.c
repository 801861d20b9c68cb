/*
 * Request and response heads, chunked bodies. What is accepted must be accepted again when it has
 * been written anew, with the same facts.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/http1.h"
#include "lib/wsupgrade.h"

static void check_again(const struct http1_request *r, const struct url_target *t)
{
	struct http1_send s = { .method = r->effective_method,
		.path = t->path,
		.query = t->query,
		.query_len = t->query_len,
		.authority = &r->authority,
		.framing = r->fields.framing,
		.content_length = r->fields.content_length };
	static struct http1_request again;
	const char *why = NULL;
	struct buf out;
	size_t scan = 0;
	int n;

	buf_init(&out, 65536);
	assert(http1_request_write(&out, &s, r->fields.list, r->fields.n) == 0);
	n = http1_head_find(buf_head(&out), out.len, 65536, &scan, &why);
	assert(n > 0 && (size_t)n == out.len);
	/* Ours adds Host and the framing, for which the most that a client may send leaves no room. */
	if (r->authority.host[0] && r->fields.n + 2 <= HTTP1_HEADERS_MAX) {
		assert(http1_request_parse(&again, buf_head(&out), out.len, &why) == 0);
		assert(again.fields.framing == r->fields.framing);
		assert(again.fields.content_length == r->fields.content_length);
		assert(strcmp(again.authority.host, r->authority.host) == 0);
		assert(strcmp(again.method, r->effective_method) == 0);
	}
	buf_done(&out);
}

/* What http1.c calls an upgrade is one, and its answer the only one. */
static void try_upgrade(const struct http1_request *r)
{
	struct ws_upgrade u;
	const char *why = NULL;
	char accept[WS_ACCEPT_SIZE];

	if (ws_upgrade_parse(&u, r->method, r->minor, &r->fields, &why) < 0) {
		assert(why);
		return;
	}
	assert(u.n_protocols <= WS_PROTOCOLS_MAX);
	ws_accept(accept, u.key);
	assert(strlen(accept) == WS_ACCEPT_SIZE - 1);
}

static void try_answer(const struct http1_response *r)
{
	const struct ws_upgrade u = { .key = "MDEyMzQ1Njc4OWFiY2RlZg==",
		.protocols = { { "chat", 4 } },
		.n_protocols = 1,
		.extension = WS_DEFLATE_OFFER };
	const char *why = NULL;
	bool is_deflated;

	if (ws_answer_check(&u, &r->fields, WS_DEFLATE_OFFER, false, &is_deflated, &why) < 0)
		assert(why);
	else
		assert(ws_answer_check(&u, &r->fields, NULL, true, &is_deflated, &why) == 0);
}

static void try_request(const char *data, size_t size)
{
	static struct http1_request r;
	static struct url_target t;
	const char *why = NULL;
	size_t scan = 0;
	int n = http1_head_find(data, size, HTTP1_HEAD_MAX, &scan, &why);

	assert(n >= 0 || why);
	if (n <= 0 || http1_request_parse(&r, data, (size_t)n, &why) < 0)
		return;
	try_upgrade(&r);
	if (r.form != HTTP1_AUTHORITY &&
		url_canonicalize(r.target, r.target_len, URL_ENCODED_SLASH, &t, &why) == 0)
		check_again(&r, &t);
}

static void try_response(const char *data, size_t size)
{
	static struct http1_response r;
	const char *why = NULL;
	size_t scan = 0;
	int n = http1_head_find(data, size, HTTP1_RESPONSE_HEAD_MAX, &scan, &why);

	if (n > 0 && http1_response_parse(&r, data, (size_t)n, "GET", &why) == 0)
		try_answer(&r);
}

/* In one piece and byte by byte: the same verdict and the same data. */
static void try_chunked(const char *data, size_t size)
{
	struct chunked whole, pieces;
	size_t at = 0, used, n, n_whole = 0, n_pieces = 0, len;
	const char *slice, *why;
	int a = 0, b = 0;

	chunked_init(&whole);
	chunked_init(&pieces);
	do {
		a = chunked_next(&whole, data + at, size - at, &used, &slice, &n, &why);
		n_whole += a == CHUNKED_DATA ? n : 0;
		at += used;
	} while (a == CHUNKED_DATA);
	for (at = 0; at < size && b >= 0 && b != CHUNKED_END; at += len) {
		b = chunked_next(&pieces, data + at, 1, &used, &slice, &n, &why);
		n_pieces += b == CHUNKED_DATA ? n : 0;
		len = used ? used : 1;
	}
	assert((a < 0) == (b < 0) && n_whole == n_pieces);
	chunked_done(&whole);
	chunked_done(&pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1);

	memcpy(copy, data, size);
	try_request(copy, size);
	try_response(copy, size);
	try_chunked(copy, size);
	free(copy);
	return 0;
}
