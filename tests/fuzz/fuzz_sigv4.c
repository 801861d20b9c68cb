/*
 * Requests that are signed for AWS, as the proxy writes them: what has been signed is a head, and signed again, without
 * what the first signature has added, it is the same. The first byte chooses the service, and a session token.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/http1.h"
#include "proxy/sigv4.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_MAX = 4 * HTTP1_HEAD_MAX };

/* As exchange_request.c writes a request that was let through. */
static int write_head(const char *data, size_t size, struct buf *out)
{
	static struct http1_request r;
	static struct url_target t;
	struct http1_send s;
	const char *why;
	size_t scan = 0;
	int n = http1_head_find(data, size, HTTP1_HEAD_MAX, &scan, &why);

	if (n <= 0 || http1_request_parse(&r, data, (size_t)n, &why) < 0 || r.form == HTTP1_AUTHORITY ||
		url_canonicalize(r.target, r.target_len, URL_ENCODED_SLASH, &t, &why) < 0)
		return -EBADMSG;
	s = (struct http1_send){ .method = r.effective_method,
		.path = t.path,
		.query = t.query,
		.query_len = t.query_len,
		.authority = &r.authority,
		.framing = r.fields.framing,
		.content_length = r.fields.content_length };
	return http1_request_write(out, &s, r.fields.list, r.fields.n);
}

static int sign(const struct sigv4 *s, const struct buf *head, struct buf *out)
{
	auto_buf struct buf bare;

	buf_init(&bare, OUT_MAX);
	assert(sigv4_strip(buf_head(head), head->len, &bare) == 0);
	return sigv4_sign(s, buf_head(&bare), bare.len, out);
}

static void check(const struct sigv4 *s, const struct buf *head)
{
	auto_buf struct buf once, twice;
	const char *why;
	size_t scan = 0;
	int r;

	buf_init(&once, OUT_MAX);
	buf_init(&twice, OUT_MAX);
	r = sign(s, head, &once);
	assert(r == 0 || r == -EBADMSG || r == -ENOBUFS);
	if (r < 0)
		return;
	assert(http1_head_find(buf_head(&once), once.len, OUT_MAX, &scan, &why) == (int)once.len);
	assert(sign(s, &once, &twice) == 0);
	assert(once.len == twice.len && memcmp(buf_head(&once), buf_head(&twice), once.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sigv4 s = { .key_id = "AKIA", .key_id_len = 4, .secret = "secret", .secret_len = 6, .region = "us-east-1" };
	auto_free char *copy = malloc(size ? size : 1);
	auto_buf struct buf head;

	buf_init(&head, OUT_MAX);
	if (!size)
		return 0;
	s.service = data[0] & 1 ? "s3" : "bedrock";
	s.token = data[0] & 2 ? "token" : NULL;
	s.token_len = s.token ? 5 : 0;
	s.payload = data[0] & 4 ? "UNSIGNED-PAYLOAD" : NULL;
	memcpy(copy, data + 1, size - 1);
	if (write_head(copy, size - 1, &head) == 0)
		check(&s, &head);
	return 0;
}
