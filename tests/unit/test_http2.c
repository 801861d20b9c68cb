/* Two ends of a connection, back to back in memory; and single ends fed with raw frames. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/http2_head.h"
#include "proxy/http2.h"

/* What happened on one end, as text. */
struct end {
	struct h2 *h;
	struct buf log;
	struct h2_stream *last;
	bool hold; /* body bytes are not consumed */
	size_t data, held;
	unsigned int closes;
	int r; /* of h2_recv() */
};

static void say(struct end *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(struct end *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)buf_vprintf(&e->log, fmt, ap);
	va_end(ap);
}

static void on_request(void *arg, struct h2_stream *st, const struct http1_request *rq,
	unsigned int status, const char *why)
{
	struct end *e = arg;

	e->last = st;
	if (rq)
		say(e, "%s %.*s %s:%u framing=%d|", rq->effective_method, (int)rq->target_len,
			rq->target, rq->authority.host, rq->authority.port, rq->fields.framing);
	else
		say(e, "refused %u %s|", status, why);
}

static void on_response(
	void *arg, struct h2_stream *st, const struct http1_response *rs, const char *why)
{
	struct end *e = arg;

	(void)st;
	if (rs)
		say(e, "%u framing=%d n=%zu|", rs->status, rs->fields.framing, rs->fields.n);
	else
		say(e, "bad response %s|", why);
}

static void on_data(void *arg, struct h2_stream *st, const char *data, size_t len)
{
	struct end *e = arg;

	(void)data;
	e->data += len;
	if (e->hold)
		e->held += len;
	else
		h2_consume(st, len);
}

static void on_end(void *arg, struct h2_stream *st, const struct http1_header *trailers, size_t n)
{
	struct end *e = arg;

	(void)st;
	say(e, "end");
	for (size_t i = 0; i < n; i++)
		say(e, " %.*s=%.*s", (int)trailers[i].name_len, trailers[i].name,
			(int)trailers[i].value_len, trailers[i].value);
	say(e, "|");
}

static void on_close(void *arg, struct h2_stream *st, uint32_t error)
{
	struct end *e = arg;

	(void)st;
	e->last = e->last == st ? NULL : e->last;
	e->closes++;
	say(e, "close %u|", error);
}

static const struct h2_handler handler = { .on_request = on_request,
	.on_response = on_response,
	.on_data = on_data,
	.on_end = on_end,
	.on_close = on_close };

static void end_init(struct end *e, enum h2_role role)
{
	*e = (struct end){ .h = h2_new(role, &handler, e) };
	buf_init(&e->log, 1 << 20);
	assert_non_null(e->h);
}

static void end_done(struct end *e)
{
	h2_free(e->h);
	buf_done(&e->log);
}

static bool move(struct end *from, struct end *to)
{
	struct buf wire;
	bool any;

	buf_init(&wire, 256 * 1024);
	assert_int_equal(h2_send(from->h, &wire), 0);
	any = wire.len > 0;
	if (any && to->r == 0)
		to->r = h2_recv(to->h, buf_head(&wire), wire.len);
	buf_done(&wire);
	return any;
}

static void pump(struct end *a, struct end *b)
{
	while (move(a, b) | move(b, a))
		;
}

static void assert_log(struct end *e, const char *want)
{
	assert_string_equal(buf_cstr(&e->log), want);
	buf_reset(&e->log);
}

static struct h2_stream *ask(struct end *client, const char *method, const char *path,
	enum http1_framing framing, uint64_t length)
{
	static const struct url_authority authority = { .host = "h.test", .port = 443 };
	const struct http1_header list[] = {
		{ .name = "X-Up", .name_len = 4, .value = "1", .value_len = 1 },
		{ .name = "Connection",
			.name_len = 10,
			.value = "x",
			.value_len = 1,
			.is_hop = true },
	};
	struct http1_send s = { .method = method,
		.path = path,
		.query = "q=1",
		.query_len = 3,
		.authority = &authority,
		.default_port = 443,
		.framing = framing,
		.content_length = length };
	struct h2_stream *st = NULL;

	assert_int_equal(h2_request(client->h, &s, true, list, 2, &st), 0);
	return st;
}

static void answer(struct end *server, unsigned int status, enum http1_framing framing)
{
	struct http1_answer a = { .status = status, .framing = framing };

	assert_int_equal(h2_respond(server->last, &a, NULL, 0), 0);
}

static void a_request_and_its_answer_arrive(void **state)
{
	struct end client, server;

	(void)state;
	end_init(&client, H2_CLIENT);
	end_init(&server, H2_SERVER);
	(void)ask(&client, "GET", "/a", HTTP1_NO_BODY, 0);
	pump(&client, &server);
	assert_log(&server, "GET /a?q=1 h.test:0 framing=0|end|");
	answer(&server, 103, HTTP1_NO_BODY);
	answer(&server, 200, HTTP1_CHUNKED);
	assert_int_equal(h2_write(server.last, "hello", 5), 5);
	assert_int_equal(h2_end(server.last, NULL, 0), 0);
	pump(&client, &server);
	assert_log(&client, "103 framing=0 n=0|200 framing=2 n=0|end|close 0|");
	assert_log(&server, "close 0|");
	assert_int_equal(client.data, 5);
	assert_int_equal(h2_count(client.h) + h2_count(server.h), 0);
	end_done(&client);
	end_done(&server);
}

static void trailers_follow_the_body_both_ways(void **state)
{
	static const struct http1_header tail[] = {
		{ .name = "Grpc-Status", .name_len = 11, .value = "0", .value_len = 1 },
	};
	struct end client, server;
	struct h2_stream *st;

	(void)state;
	end_init(&client, H2_CLIENT);
	end_init(&server, H2_SERVER);
	st = ask(&client, "POST", "/rpc", HTTP1_CHUNKED, 0);
	assert_int_equal(h2_write(st, "body", 4), 4);
	assert_int_equal(h2_end(st, tail, 1), 0);
	pump(&client, &server);
	assert_log(&server, "POST /rpc?q=1 h.test:0 framing=2|end grpc-status=0|");
	assert_int_equal(server.data, 4);
	answer(&server, 200, HTTP1_CHUNKED);
	pump(&client, &server);
	assert_int_equal(h2_write(server.last, "more", 4), 4);
	pump(&client, &server);
	assert_int_equal(h2_end(server.last, tail, 1), 0);
	pump(&client, &server);
	assert_log(&client, "200 framing=2 n=0|end grpc-status=0|close 0|");
	end_done(&client);
	end_done(&server);
}

static void a_slow_reader_stops_the_sender(void **state)
{
	static char chunk[16384];
	struct end client, server;
	struct h2_stream *st;
	size_t sent = 0;

	(void)state;
	end_init(&client, H2_CLIENT);
	end_init(&server, H2_SERVER);
	server.hold = true;
	st = ask(&client, "PUT", "/big", HTTP1_LENGTH, 1 << 20);
	for (int i = 0; i < 200; i++) {
		size_t left = (1 << 20) - sent;

		sent += h2_write(st, chunk, left < sizeof(chunk) ? left : sizeof(chunk));
		pump(&client, &server);
	}
	assert_int_equal(server.data, H2_STREAM_WINDOW);
	assert_int_equal(sent, H2_STREAM_WINDOW + H2_STREAM_OUT_MAX);
	server.hold = false;
	h2_consume(server.last, server.held);
	while (sent < 1 << 20) {
		size_t left = (1 << 20) - sent;

		pump(&client, &server);
		sent += h2_write(st, chunk, left < sizeof(chunk) ? left : sizeof(chunk));
	}
	assert_int_equal(h2_end(st, NULL, 0), 0);
	pump(&client, &server);
	assert_int_equal(server.data, 1 << 20);
	assert_non_null(strstr(buf_cstr(&server.log), "end|"));
	end_done(&client);
	end_done(&server);
}

static void streams_that_are_dropped_give_their_window_back(void **state)
{
	static char chunk[65536];
	struct end client, server;

	(void)state;
	end_init(&client, H2_CLIENT);
	end_init(&server, H2_SERVER);
	server.hold = true;
	for (int i = 0; i < 3 * H2_WINDOW / 65536; i++) {
		struct h2_stream *st = ask(&client, "PUT", "/x", HTTP1_CHUNKED, 0);

		assert_int_equal(h2_write(st, chunk, sizeof(chunk)), sizeof(chunk));
		pump(&client, &server);
		h2_reset(server.last, 8);
		pump(&client, &server);
	}
	assert_int_equal(server.data, 3 * H2_WINDOW);
	end_done(&client);
	end_done(&server);
}

/* What arrives when eight streams send 256 KiB each. */
static size_t data_of_eight_streams(bool is_read)
{
	static char chunk[16384];
	struct h2_stream *st[8];
	struct end client, server;
	size_t data;

	end_init(&client, H2_CLIENT);
	end_init(&server, H2_SERVER);
	server.hold = !is_read;
	for (size_t n = 0; n < ARRAY_SIZE(st); n++)
		st[n] = ask(&client, "PUT", "/x", HTTP1_CHUNKED, 0);
	for (int i = 0; i < H2_STREAM_WINDOW / (int)sizeof(chunk); i++) {
		for (size_t n = 0; n < ARRAY_SIZE(st); n++)
			(void)h2_write(st[n], chunk, sizeof(chunk));
		pump(&client, &server);
	}
	data = server.data;
	end_done(&client);
	end_done(&server);
	return data;
}

static void slow_readers_of_many_streams_share_one_window(void **state)
{
	(void)state;
	assert_int_equal(data_of_eight_streams(true), 8 * H2_STREAM_WINDOW);
	assert_int_equal(data_of_eight_streams(false), H2_WINDOW);
}

static void an_answer_before_the_end_of_the_request_lets_the_client_finish(void **state)
{
	struct end client, server;
	struct h2_stream *st;

	(void)state;
	end_init(&client, H2_CLIENT);
	end_init(&server, H2_SERVER);
	st = ask(&client, "POST", "/x", HTTP1_CHUNKED, 0);
	pump(&client, &server);
	answer(&server, 403, HTTP1_NO_BODY);
	pump(&client, &server);
	assert_log(&client, "403 framing=0 n=0|end|");
	assert_int_equal(h2_write(st, "late", 4), 4);
	assert_int_equal(h2_end(st, NULL, 0), 0);
	pump(&client, &server);
	assert_log(&client, "close 0|");
	assert_int_equal(h2_count(server.h), 0);
	end_done(&client);
	end_done(&server);
}

static void what_follows_an_answer_is_taken_up_to_a_limit(void **state)
{
	static const char chunk[4096];
	struct end client, server;
	struct h2_stream *st;
	size_t sent = 0;

	(void)state;
	end_init(&client, H2_CLIENT);
	end_init(&server, H2_SERVER);
	st = ask(&client, "POST", "/x", HTTP1_CHUNKED, 0);
	pump(&client, &server);
	answer(&server, 403, HTTP1_NO_BODY);
	pump(&client, &server);
	for (; h2_count(server.h) && sent < 4 * H2_DISCARD_MAX; sent += sizeof(chunk)) {
		(void)h2_write(st, chunk, sizeof(chunk));
		pump(&client, &server);
	}
	assert_true(sent > H2_DISCARD_MAX && sent < 2 * H2_DISCARD_MAX);
	assert_int_equal(h2_count(server.h), 0);
	end_done(&client);
	end_done(&server);
}

static void a_flood_of_resets_ends_the_connection(void **state)
{
	struct end client, server;
	int i;

	(void)state;
	end_init(&client, H2_CLIENT);
	end_init(&server, H2_SERVER);
	for (i = 0; i < 2000 && h2_can_request(client.h); i++) {
		h2_reset(ask(&client, "GET", "/x", HTTP1_NO_BODY, 0), 8);
		pump(&client, &server);
	}
	/* A request that is reset before it left is never sent; those that left count. */
	for (; i < 4000 && h2_can_request(client.h) && server.r == 0; i++) {
		struct h2_stream *st = ask(&client, "GET", "/x", HTTP1_NO_BODY, 0);

		(void)move(&client, &server);
		h2_reset(st, 8);
		pump(&client, &server);
	}
	assert_true(i < 4000);
	assert_false(h2_can_request(client.h));
	end_done(&client);
	end_done(&server);
}

static void shutdown_lets_what_runs_finish(void **state)
{
	struct end client, server;

	(void)state;
	end_init(&client, H2_CLIENT);
	end_init(&server, H2_SERVER);
	(void)ask(&client, "GET", "/a", HTTP1_NO_BODY, 0);
	pump(&client, &server);
	h2_shutdown(server.h);
	pump(&client, &server);
	assert_false(h2_can_request(client.h));
	assert_false(h2_is_done(server.h));
	answer(&server, 204, HTTP1_NO_BODY);
	pump(&client, &server);
	assert_non_null(strstr(buf_cstr(&client.log), "204"));
	assert_true(h2_is_done(server.h));
	end_done(&client);
	end_done(&server);
}

/* One frame; @length overrides nothing. */
static void put_frame(struct buf *b, unsigned int type, unsigned int flags, uint32_t id,
	const void *payload, size_t len)
{
	const uint8_t header[] = { (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len,
		(uint8_t)type, (uint8_t)flags, (uint8_t)(id >> 24), (uint8_t)(id >> 16),
		(uint8_t)(id >> 8), (uint8_t)id };

	assert_int_equal(buf_append(b, header, sizeof(header)), 0);
	assert_int_equal(buf_append(b, payload, len), 0);
}

static void put_preface(struct buf *b)
{
	buf_init(b, 4 << 20);
	assert_int_equal(buf_puts(b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 0);
	put_frame(b, 4, 0, 0, "", 0);
}

/* A literal field without indexing. */
static size_t literal(uint8_t *out, const char *name, const char *value)
{
	size_t n = strlen(name), v = strlen(value);

	out[0] = 0;
	out[1] = (uint8_t)n;
	memcpy(out + 2, name, n);
	out[2 + n] = (uint8_t)v;
	memcpy(out + 3 + n, value, v);
	return 3 + n + v;
}

/* What a server makes of raw bytes; its log, and h2_recv()'s result in @ret. */
static const char *serve(const struct buf *b, int *ret)
{
	static char text[1024];
	struct end server;
	struct buf out;

	end_init(&server, H2_SERVER);
	*ret = h2_recv(server.h, buf_head(b), b->len);
	(void)snprintf(text, sizeof(text), "%s", buf_cstr(&server.log));
	buf_init(&out, 256 * 1024);
	(void)h2_send(server.h, &out);
	if (*ret == 0 && h2_is_done(server.h))
		*ret = -EPROTO;
	buf_done(&out);
	end_done(&server);
	return text;
}

static const char *serve_fields(const char *const *fields, bool is_end)
{
	uint8_t block[2048];
	size_t n = 0;
	struct buf b;
	const char *log;
	int r;

	for (; fields[0]; fields += 2)
		n += literal(block + n, fields[0], fields[1]);
	put_preface(&b);
	put_frame(&b, 1, is_end ? 5 : 4, 1, block, n);
	log = serve(&b, &r);
	assert_int_equal(r, 0);
	buf_done(&b);
	return log;
}

#define BASE ":method", "GET", ":scheme", "https", ":path", "/x"

static void malformed_requests_are_refused(void **state)
{
	static const char *const good[] = { BASE, ":authority", "H.test.", NULL };
	static const char *const only_host[] = { BASE, "host", "h.test:8443", NULL };
	static const char *const two_hosts[] = { BASE, ":authority", "h.test", "host", "other",
		NULL };
	static const char *const bad_authority[] = { BASE, ":authority", "u@h", NULL };
	static const char *const override[] = { BASE, ":authority", "h", "x-http-method", "delete",
		NULL };
	static const char *const overrides[] = { BASE, ":authority", "h", "x-http-method", "PUT",
		"x-method-override", "PUT", NULL };
	static const char *const te[] = { BASE, ":authority", "h", "te", "gzip", NULL };
	static const char *const connection[] = { BASE, ":authority", "h", "connection", "close",
		NULL };
	static const char *const upper[] = { BASE, ":authority", "h", "X-Up", "1", NULL };
	static const char *const late[] = { BASE, "a", "b", ":authority", "h", NULL };
	static const char *const crlf[] = { BASE, ":authority", "h", "a", "b\r\nc: d", NULL };

	(void)state;
	assert_string_equal(serve_fields(good, true), "GET /x h.test:0 framing=0|end|");
	assert_string_equal(serve_fields(only_host, false), "GET /x h.test:8443 framing=2|");
	assert_string_equal(serve_fields(override, true), "DELETE /x h:0 framing=0|end|");
	assert_non_null(strstr(serve_fields(two_hosts, true), "refused 400"));
	assert_non_null(strstr(serve_fields(bad_authority, true), "400 :authority is invalid"));
	assert_non_null(strstr(serve_fields(overrides, true), "refused 400"));
	/* nghttp2 resets these before they are a request. */
	assert_string_equal(serve_fields(te, true), "");
	assert_string_equal(serve_fields(connection, true), "");
	assert_string_equal(serve_fields(upper, true), "");
	assert_string_equal(serve_fields(late, true), "");
	assert_string_equal(serve_fields(crlf, true), "");
}

static void a_head_that_is_too_large_is_refused_with_431(void **state)
{
	static uint8_t block[65536];
	static const char *const base[] = { BASE, ":authority", "h", NULL };
	char value[101] = "";
	size_t n = 0;
	struct buf b;
	int r;

	(void)state;
	memset(value, 'v', 100);
	for (const char *const *f = base; f[0]; f += 2)
		n += literal(block + n, f[0], f[1]);
	for (int i = 0; i < 200; i++)
		n += literal(block + n, "a", value);
	put_preface(&b);
	put_frame(&b, 1, 1, 1, block, 16000);
	put_frame(&b, 9, 4, 1, block + 16000, n - 16000);
	assert_non_null(strstr(serve(&b, &r), "refused 431"));
	assert_int_equal(r, 0);
	buf_done(&b);
}

static void continuation_floods_end_the_connection(void **state)
{
	struct buf b;
	int r;

	(void)state;
	put_preface(&b);
	put_frame(&b, 1, 1, 1, "\x82", 1);
	for (int i = 0; i <= H2_CONTINUATIONS_MAX; i++)
		put_frame(&b, 9, 0, 1, "", 0);
	(void)serve(&b, &r);
	assert_int_equal(r, -EPROTO);
	buf_done(&b);
}

static void a_hpack_bomb_is_held_to_the_head_limit(void **state)
{
	static uint8_t block[9000];
	char value[4001] = "";
	struct buf b;
	size_t n = 0;
	int r;

	(void)state;
	block[n++] = 0x82;
	block[n++] = 0x87;
	block[n++] = 0x84;
	memcpy(block + n, "\x01\x01h", 3);
	n += 3;
	/* One field of 4000 bytes goes into the table, then it is named thousands of times. */
	block[n++] = 0x40;
	block[n++] = 1;
	block[n++] = 'a';
	block[n++] = 0x7f;
	block[n++] = (uint8_t)((4000 - 127) % 128 | 0x80);
	block[n++] = (uint8_t)((4000 - 127) / 128);
	memset(value, 'v', 4000);
	memcpy(block + n, value, 4000);
	n += 4000;
	memset(block + n, 0xbe, 4000);
	n += 4000;
	put_preface(&b);
	put_frame(&b, 1, 5, 1, block, n);
	assert_non_null(strstr(serve(&b, &r), "refused 431"));
	buf_done(&b);
}

static void faults_without_end_end_the_connection(void **state)
{
	static const char *const fields[] = { BASE, ":authority", "h", "X-Up", "1", NULL };
	uint8_t block[256];
	size_t n = 0;
	struct buf b;
	int r;

	(void)state;
	for (const char *const *f = fields; f[0]; f += 2)
		n += literal(block + n, f[0], f[1]);
	put_preface(&b);
	for (uint32_t i = 0; i <= H2_FAULTS_MAX; i++)
		put_frame(&b, 1, 5, 1 + 2 * i, block, n);
	(void)serve(&b, &r);
	assert_int_equal(r, -EPROTO);
	buf_done(&b);
}

static void cookies_become_one(void **state)
{
	static const char *const fields[] = { BASE, ":authority", "h", "cookie", "a=1", "x", "y",
		"cookie", "b=2", "cookie", "c=3", NULL };
	static struct http1_request r;
	struct http2_head h;
	const char *why;

	(void)state;
	http2_head_init(&h, true, false);
	for (const char *const *f = fields; f[0]; f += 2)
		http2_head_add(&h, f[0], strlen(f[0]), f[1], strlen(f[1]));
	assert_int_equal(http2_head_request(&h, true, &r, &why), 0);
	assert_int_equal(r.fields.n, 2);
	assert_memory_equal(r.fields.list[0].value, "a=1; b=2; c=3", 13);
	assert_int_equal(r.fields.list[0].value_len, 13);
	http2_head_done(&h);
}

static void heads_are_held_to_the_rules_without_nghttp2(void **state)
{
	static const char *const table[][12] = {
		{ BASE, ":authority", "h", "connection", "x", NULL },
		{ BASE, ":authority", "h", "Upper", "x", NULL },
		{ BASE, ":authority", "h", "transfer-encoding", "chunked", NULL },
		{ BASE, ":authority", "h", "te", "trailers, gzip", NULL },
		{ BASE, ":authority", "h", ":authority", "h", NULL },
		{ BASE, "a", "b", ":authority", "h", NULL },
		{ BASE, ":authority", "h", ":status", "200", NULL },
		{ BASE, ":authority", "h", "content-length", "5", NULL },
		{ BASE, NULL },
		{ ":method", "GET", ":scheme", "ftp", ":path", "/", ":authority", "h", NULL },
		{ ":method", "GET", ":scheme", "https", ":path", "x", ":authority", "h", NULL },
		{ ":method", "CONNECT", ":scheme", "https", ":path", "/", ":authority", "h", NULL },
		{ ":method", "GET", ":path", "/", ":authority", "h", NULL },
	};
	static struct http1_request r;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct http2_head h;
		const char *why = NULL;

		http2_head_init(&h, true, false);
		for (const char *const *f = table[i]; f[0]; f += 2)
			http2_head_add(&h, f[0], strlen(f[0]), f[1], strlen(f[1]));
		if (http2_head_request(&h, true, &r, &why) != -EBADMSG || !why)
			fail_msg("case %zu was accepted", i);
		http2_head_done(&h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_and_its_answer_arrive),
		cmocka_unit_test(trailers_follow_the_body_both_ways),
		cmocka_unit_test(a_slow_reader_stops_the_sender),
		cmocka_unit_test(streams_that_are_dropped_give_their_window_back),
		cmocka_unit_test(slow_readers_of_many_streams_share_one_window),
		cmocka_unit_test(an_answer_before_the_end_of_the_request_lets_the_client_finish),
		cmocka_unit_test(what_follows_an_answer_is_taken_up_to_a_limit),
		cmocka_unit_test(a_flood_of_resets_ends_the_connection),
		cmocka_unit_test(shutdown_lets_what_runs_finish),
		cmocka_unit_test(malformed_requests_are_refused),
		cmocka_unit_test(a_head_that_is_too_large_is_refused_with_431),
		cmocka_unit_test(continuation_floods_end_the_connection),
		cmocka_unit_test(a_hpack_bomb_is_held_to_the_head_limit),
		cmocka_unit_test(faults_without_end_end_the_connection),
		cmocka_unit_test(cookies_become_one),
		cmocka_unit_test(heads_are_held_to_the_rules_without_nghttp2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
