/*
 * Both ends fed with whatever comes: a server that answers each request, and a client that has one
 * open. The first byte chooses.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "lib/buf.h"
#include "proxy/http2.h"

static void on_request(void *arg, struct h2_stream *st, const struct http1_request *rq,
	unsigned int status, const char *why)
{
	struct http1_answer a = { .status = rq ? 200 : status, .framing = HTTP1_CHUNKED };
	static struct url_target t;
	const char *reason;

	(void)arg;
	assert(rq || (status && why));
	if (rq)
		(void)url_canonicalize(rq->target, rq->target_len, 0, &t, &reason);
	(void)h2_respond(st, &a, rq ? rq->fields.list : NULL, rq ? rq->fields.n : 0);
}

static void on_data(void *arg, struct h2_stream *st, const char *data, size_t len)
{
	(void)arg;
	(void)h2_write(st, data, len);
	h2_consume(st, len);
}

static void on_end(void *arg, struct h2_stream *st, const struct http1_header *trailers, size_t n)
{
	(void)arg;
	(void)h2_end(st, trailers, n);
}

static const struct h2_handler handler = {
	.on_request = on_request, .on_data = on_data, .on_end = on_end
};

static void drain(struct h2 *h)
{
	auto_buf struct buf out = { .max = 512 * 1024 };

	(void)h2_send(h, &out);
}

static void run(enum h2_role role, const uint8_t *data, size_t size)
{
	static const struct url_authority authority = { .host = "h", .port = 443 };
	struct http1_send s = {
		.method = "POST", .path = "/", .authority = &authority, .framing = HTTP1_CHUNKED
	};
	struct h2 *h = h2_new(role, &handler, NULL);
	struct h2_stream *st;

	if (role == H2_CLIENT)
		(void)h2_request(h, &s, true, NULL, 0, &st);
	else
		(void)h2_recv(h, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
	drain(h);
	for (size_t n; size; data += n, size -= n) {
		n = size < 100 ? size : 100;
		if (h2_recv(h, data, n) < 0)
			break;
		drain(h);
	}
	h2_free(h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size)
		run(data[0] & 1 ? H2_CLIENT : H2_SERVER, data + 1, size - 1);
	return 0;
}
