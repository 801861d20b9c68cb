/*
 * The format is sun.security.provider.JavaKeyStore's: big-endian numbers, strings with a length of
 * two bytes; magic, version, count; an entry each; SHA-1 of the password, a phrase and all before
 * it.
 */
#include "tracer/javastore.h"

#include <errno.h>
#include <nettle/base64.h>
#include <nettle/sha1.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"

enum { STORE_VERSION = 2, TRUSTED_CERT = 2, COUNT_AT = 8 };

static const char pem_begin[] = "-----BEGIN CERTIFICATE-----";
static const char pem_end[] = "-----END CERTIFICATE-----";

static void store_u32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static int put_u32(struct buf *out, uint32_t v)
{
	uint8_t p[4];

	store_u32(p, v);
	return buf_append(out, p, sizeof(p));
}

static int put_string(struct buf *out, const char *s)
{
	size_t len = strlen(s);
	const uint8_t head[2] = { (uint8_t)(len >> 8), (uint8_t)len };
	int r = buf_append(out, head, sizeof(head));

	return r < 0 ? r : buf_append(out, s, len);
}

static int put_cert(struct buf *out, uint32_t number, const uint8_t *der, size_t len)
{
	static const uint8_t no_date[8];
	char alias[32];
	int r = put_u32(out, TRUSTED_CERT);

	(void)snprintf(alias, sizeof(alias), "sandbox-%u", number);
	if (r == 0)
		r = put_string(out, alias);
	if (r == 0)
		r = buf_append(out, no_date, sizeof(no_date));
	if (r == 0)
		r = put_string(out, "X.509");
	if (r == 0)
		r = put_u32(out, (uint32_t)len);
	return r < 0 ? r : buf_append(out, der, len);
}

/* One certificate's base64: 1 when it went in, 0 when it is none, -errno. */
static int put_pem(struct buf *out, uint32_t number, const char *text, size_t len)
{
	auto_free uint8_t *der = malloc(BASE64_DECODE_LENGTH(len));
	size_t n = BASE64_DECODE_LENGTH(len);
	struct base64_decode_ctx ctx;
	int r;

	if (!der)
		return -ENOMEM;
	base64_decode_init(&ctx);
	if (!base64_decode_update(&ctx, &n, der, len, text) || !base64_decode_final(&ctx) || n == 0)
		return 0;
	r = put_cert(out, number, der, n);
	return r < 0 ? r : 1;
}

/* How many, or -errno. */
static int put_all(struct buf *out, const char *pem)
{
	int n = 0;

	for (const char *p = pem; (p = strstr(p, pem_begin));) {
		const char *body = p + sizeof(pem_begin) - 1, *end = strstr(body, pem_end);
		int r = end ? put_pem(out, (uint32_t)n, body, (size_t)(end - body)) : 0;

		if (r < 0 || !end)
			return r < 0 ? r : n;
		n += r;
		p = end;
	}
	return n;
}

static int put_digest(struct buf *out)
{
	static const uint8_t password[] = "\0c\0h\0a\0n\0g\0e\0i\0t";
	static const char phrase[] = "Mighty Aphrodite";
	uint8_t digest[SHA1_DIGEST_SIZE];
	struct sha1_ctx ctx;

	sha1_init(&ctx);
	sha1_update(&ctx, sizeof(password) - 1, password);
	sha1_update(&ctx, sizeof(phrase) - 1, (const uint8_t *)phrase);
	sha1_update(&ctx, out->len, (const uint8_t *)buf_head(out));
	sha1_digest(&ctx, sizeof(digest), digest);
	return buf_append(out, digest, sizeof(digest));
}

int javastore_build(struct buf *out, const char *pem)
{
	int r = put_u32(out, 0xfeedfeed), n;

	if (r == 0)
		r = put_u32(out, STORE_VERSION);
	if (r == 0)
		r = put_u32(out, 0);
	if (r < 0)
		return r;
	n = put_all(out, pem);
	if (n < 0)
		return n;
	store_u32((uint8_t *)buf_head(out) + COUNT_AT, (uint32_t)n);
	return put_digest(out);
}
