#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/tlshello.h"

static struct tlshello hello;
static const char *why;

static enum tlshello_result parse(const struct buf *b)
{
	why = "";
	return tlshello_parse(&hello, buf_head(b), b->len, &why);
}

/* What OpenSSL sends first. */
static void openssl_hello(struct buf *out, const char *name, int max_version)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(ctx);
	BIO *in = BIO_new(BIO_s_mem()), *wire = BIO_new(BIO_s_mem());
	char bytes[4096];
	int n;

	(void)SSL_set_max_proto_version(ssl, max_version);
	if (name)
		(void)SSL_set_tlsext_host_name(ssl, name);
	(void)SSL_set_alpn_protos(ssl, (const unsigned char *)"\x02h2\x08http/1.1", 12);
	SSL_set_bio(ssl, in, wire);
	(void)SSL_connect(ssl);
	n = BIO_read(wire, bytes, sizeof(bytes));
	assert_true(n > 0);
	buf_init(out, 65536);
	assert_int_equal(buf_append(out, bytes, (size_t)n), 0);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
}

static void put16(struct buf *b, size_t v)
{
	assert_int_equal(buf_putc(b, (char)(v >> 8)), 0);
	assert_int_equal(buf_putc(b, (char)v), 0);
}

static void put(struct buf *b, const char *s, size_t n)
{
	assert_int_equal(buf_append(b, s, n), 0);
}

/* A handshake message with these extensions; no record header. */
static void build_message(struct buf *out, const struct buf *exts)
{
	static const char fixed[] = "\x03\x03"
				    "0123456789abcdef0123456789abcdef"
				    "\0"
				    "\0\x04\x0a\x0a\x13\x01"
				    "\x01";
	size_t n = sizeof(fixed) - 1 + 1 + 2 + exts->len; /* the method is the literal's NUL */

	buf_init(out, 1 << 20);
	put(out, "\x01", 1);
	put(out, (char[]){ (char)(n >> 16) }, 1);
	put16(out, n & 0xffff);
	put(out, fixed, sizeof(fixed));
	put16(out, exts->len);
	if (exts->len)
		put(out, buf_head(exts), exts->len);
}

static void add_extension(struct buf *exts, unsigned int type, const char *data, size_t n)
{
	put16(exts, type);
	put16(exts, n);
	put(exts, data, n);
}

static void add_name(struct buf *exts, const char *name, size_t n)
{
	char data[512] = { (char)((n + 3) >> 8), (char)(n + 3), 0, (char)(n >> 8), (char)n };

	memcpy(data + 5, name, n);
	add_extension(exts, 0, data, n + 5);
}

/* Cuts @message into records of at most @step bytes. */
static void to_records(struct buf *out, const struct buf *message, size_t step)
{
	buf_init(out, 1 << 21);
	for (size_t at = 0, n; at < message->len; at += n) {
		n = message->len - at < step ? message->len - at : step;
		put(out, "\x16\x03\x01", 3);
		put16(out, n);
		put(out, buf_head(message) + at, n);
	}
}

static void hello_of_openssl_is_read(void **state)
{
	struct buf b;

	(void)state;
	openssl_hello(&b, "Example.COM", TLS1_3_VERSION);
	assert_int_equal(parse(&b), TLSHELLO_OK);
	assert_string_equal(hello.name.host, "example.com");
	assert_int_equal(hello.max_version, 0x0304);
	assert_true(hello.has_alpn && hello.offers_h2 && hello.offers_http11);
	assert_false(hello.has_ech);
	assert_int_equal(hello.len, b.len);
	buf_done(&b);
	openssl_hello(&b, NULL, TLS1_2_VERSION);
	assert_int_equal(parse(&b), TLSHELLO_OK);
	assert_string_equal(hello.name.host, "");
	assert_int_equal(hello.max_version, 0x0303);
	buf_done(&b);
}

static void every_prefix_asks_for_more(void **state)
{
	struct buf b, exts, message;

	(void)state;
	openssl_hello(&b, "example.com", TLS1_3_VERSION);
	for (size_t n = 0; n < b.len; n++)
		assert_int_equal(tlshello_parse(&hello, buf_head(&b), n, &why), TLSHELLO_MORE);
	buf_done(&b);
	buf_init(&exts, 1000);
	add_name(&exts, "example.com", 11);
	build_message(&message, &exts);
	to_records(&b, &message, 7);
	for (size_t n = 0; n < b.len; n++)
		assert_int_equal(tlshello_parse(&hello, buf_head(&b), n, &why), TLSHELLO_MORE);
	assert_int_equal(parse(&b), TLSHELLO_OK);
	buf_done(&b);
	buf_done(&exts);
	buf_done(&message);
}

static void hello_is_read_whatever_the_records(void **state)
{
	static const size_t steps[] = { 2, 3, 5, 16, 64, 16384 };
	struct buf b, exts, message;

	(void)state;
	buf_init(&exts, 1000);
	add_extension(&exts, 0x0a0a, "", 0);
	add_name(&exts, "h.example", 9);
	add_extension(&exts, 43, "\x06\x1a\x1a\x03\x04\x03\x03", 7);
	build_message(&message, &exts);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		to_records(&b, &message, steps[i]);
		assert_int_equal(parse(&b), TLSHELLO_OK);
		assert_string_equal(hello.name.host, "h.example");
		assert_int_equal(hello.max_version, 0x0304);
		buf_done(&b);
	}
	buf_done(&exts);
	buf_done(&message);
}

static void name_after_a_large_key_share_is_found(void **state)
{
	char *share = calloc(1, 40000);
	struct buf b, exts, message;

	(void)state;
	buf_init(&exts, 65536);
	add_extension(&exts, 51, share, 40000);
	add_extension(&exts, 0xfe0d, share, 300);
	add_extension(&exts, 42, "", 0);
	add_name(&exts, "late.example", 12);
	build_message(&message, &exts);
	to_records(&b, &message, 16384);
	assert_int_equal(parse(&b), TLSHELLO_OK);
	assert_string_equal(hello.name.host, "late.example");
	assert_true(hello.has_ech && hello.has_early_data);
	buf_done(&b);
	buf_done(&exts);
	buf_done(&message);
	free(share);
}

static void what_is_not_tls_is_told_apart(void **state)
{
	(void)state;
	assert_int_equal(tlshello_parse(&hello, "GET / HTTP/1.1\r\n", 16, &why), TLSHELLO_NOT_TLS);
	assert_int_equal(tlshello_parse(&hello, "SSH-2.0-x", 9, &why), TLSHELLO_NOT_TLS);
	assert_int_equal(tlshello_parse(&hello, "\x80", 1, &why), TLSHELLO_MORE);
	assert_int_equal(tlshello_parse(&hello, "\x80\x2e\x01\x03\x01", 5, &why), TLSHELLO_BAD);
	assert_non_null(strstr(why, "SSLv2"));
	assert_int_equal(tlshello_parse(&hello, "\x80\x2e\x05", 3, &why), TLSHELLO_NOT_TLS);
	assert_int_equal(tlshello_parse(&hello, "\x16\x02", 2, &why), TLSHELLO_BAD);
	assert_int_equal(tlshello_parse(&hello, "\x16\x03\x01\0\0", 5, &why), TLSHELLO_BAD);
	assert_int_equal(tlshello_parse(&hello, "\x16\x03\x01\x40\x01", 5, &why), TLSHELLO_BAD);
	assert_int_equal(tlshello_parse(&hello, "\x16\x03\x01\0\4\2", 6, &why), TLSHELLO_BAD);
	assert_int_equal(tlshello_parse(&hello, "\x16\x03\x01\0\4\1\1\0\0", 9, &why), TLSHELLO_BAD);
	assert_non_null(strstr(why, "too long"));
}

/* A hello with one more extension, as it is judged. */
static const char *with_extension(unsigned int type, const char *data, size_t n)
{
	struct buf b, exts, message;
	enum tlshello_result r;

	buf_init(&exts, 65536);
	add_name(&exts, "h", 1);
	add_extension(&exts, type, data, n);
	build_message(&message, &exts);
	to_records(&b, &message, 16384);
	r = parse(&b);
	buf_done(&b);
	buf_done(&exts);
	buf_done(&message);
	return r == TLSHELLO_OK ? "ok" : r == TLSHELLO_BAD ? why : "other";
}

static void malformed_extensions_are_refused(void **state)
{
	(void)state;
	assert_string_equal(with_extension(16, "\0\3\2h2", 5), "ok");
	assert_non_null(strstr(with_extension(0, "\0\4\0\0\1h", 6), "twice"));
	assert_non_null(strstr(with_extension(16, "\0\0", 2), "empty"));
	assert_non_null(strstr(with_extension(16, "\0\3\3h2", 5), "shorter"));
	assert_non_null(strstr(with_extension(16, "\0\2\2h2", 5), "shorter"));
	assert_non_null(strstr(with_extension(16, "\0\3\2h2x", 6), "beyond"));
	assert_non_null(strstr(with_extension(16, "\0\x09\2h2", 5), "longer"));
	assert_non_null(strstr(with_extension(43, "\2\x7f\x1c", 3), "no known version"));
}

static void malformed_names_are_refused(void **state)
{
	static const char *const names[] = { "", "a b", "a\0b", "a..b", "127.1", "u@h" };
	static const size_t lens[] = { 0, 3, 3, 4, 5, 3 };

	(void)state;
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		struct buf b, exts, message;

		buf_init(&exts, 1000);
		add_name(&exts, names[i], lens[i]);
		build_message(&message, &exts);
		to_records(&b, &message, 16384);
		assert_int_equal(parse(&b), TLSHELLO_BAD);
		buf_done(&b);
		buf_done(&exts);
		buf_done(&message);
	}
}

static void too_many_records_are_refused(void **state)
{
	struct buf b, exts, message;

	(void)state;
	buf_init(&exts, 1000);
	add_name(&exts, "a-name-that-makes-the-message-longer.example", 44);
	build_message(&message, &exts);
	to_records(&b, &message, 1);
	assert_true(message.len > TLSHELLO_RECORDS_MAX);
	assert_int_equal(parse(&b), TLSHELLO_BAD);
	assert_non_null(strstr(why, "too many records"));
	buf_done(&b);
	buf_done(&exts);
	buf_done(&message);
}

static void another_record_or_trailing_bytes_are_refused(void **state)
{
	struct buf b, exts, message;

	(void)state;
	buf_init(&exts, 1000);
	add_name(&exts, "h", 1);
	build_message(&message, &exts);
	to_records(&b, &message, 20);
	buf_head(&b)[25] = 21;
	assert_int_equal(parse(&b), TLSHELLO_BAD);
	assert_non_null(strstr(why, "interrupted"));
	buf_done(&b);
	put(&message, "x", 1);
	to_records(&b, &message, 16384);
	assert_int_equal(parse(&b), TLSHELLO_BAD);
	assert_non_null(strstr(why, "does not end"));
	buf_done(&b);
	buf_done(&exts);
	buf_done(&message);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hello_of_openssl_is_read),
		cmocka_unit_test(every_prefix_asks_for_more),
		cmocka_unit_test(hello_is_read_whatever_the_records),
		cmocka_unit_test(name_after_a_large_key_share_is_found),
		cmocka_unit_test(what_is_not_tls_is_told_apart),
		cmocka_unit_test(malformed_extensions_are_refused),
		cmocka_unit_test(malformed_names_are_refused),
		cmocka_unit_test(too_many_records_are_refused),
		cmocka_unit_test(another_record_or_trailing_bytes_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
