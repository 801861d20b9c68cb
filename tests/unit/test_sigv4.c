/* The examples of the Amazon S3 API Reference, "Authenticating Requests: Using the Authorization Header", whose
 * signatures it states, and the rules that they do not touch. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "proxy/sigv4.h"

#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static const struct sigv4 example = { .key_id = "AKIAIOSFODNN7EXAMPLE",
	.key_id_len = 20,
	.secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
	.secret_len = 40,
	.region = "us-east-1",
	.service = "s3",
	.now = 1369353600 }; /* 2013-05-24T00:00:00Z */

static void signs_as(const struct sigv4 *s, const char *head, const char *want)
{
	auto_buf struct buf out;
	const char *got;

	buf_init(&out, 65536);
	assert_int_equal(sigv4_sign(s, head, strlen(head), &out), 0);
	got = buf_cstr(&out);
	if (!strstr(got, want))
		fail_msg("%s\nis not in\n%s", want, got);
	assert_string_equal(got + out.len - 4, "\r\n\r\n");
}

static void examples_of_the_reference(void **state)
{
	struct sigv4 put = example;

	(void)state;
	signs_as(&example,
		"GET /test.txt HTTP/1.1\r\nHost: examplebucket.s3.amazonaws.com\r\nRange: bytes=0-9\r\n\r\n",
		"\r\nAuthorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
		"SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
		"Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41\r\n");
	signs_as(&example, "GET /?lifecycle HTTP/1.1\r\nHost: examplebucket.s3.amazonaws.com\r\n\r\n",
		"Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
	signs_as(&example, "GET /?prefix=J&max-keys=2 HTTP/1.1\r\nHost: examplebucket.s3.amazonaws.com\r\n\r\n",
		"Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
	put.body = "Welcome to Amazon S3.";
	put.body_len = 21;
	signs_as(&put,
		"PUT /test$file.text HTTP/1.1\r\nHost: examplebucket.s3.amazonaws.com\r\n"
		"Date: Fri, 24 May 2013 00:00:00 GMT\r\nx-amz-storage-class: REDUCED_REDUNDANCY\r\n\r\n",
		"SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class, "
		"Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

/* What @head is signed as by @s, to compare. */
static void same(const struct sigv4 *s, const char *head, const char *other, bool is_same)
{
	auto_buf struct buf a, b;

	buf_init(&a, 65536);
	buf_init(&b, 65536);
	assert_int_equal(sigv4_sign(s, head, strlen(head), &a), 0);
	assert_int_equal(sigv4_sign(s, other, strlen(other), &b), 0);
	assert_int_equal(strcmp(strstr(buf_cstr(&a), "Signature="), strstr(buf_cstr(&b), "Signature=")) == 0, is_same);
}

static void spelling_that_means_the_same(void **state)
{
	struct sigv4 bedrock = example;

	(void)state;
	bedrock.service = "bedrock";
	/* S3 signs what the path means; others what was sent. */
	same(&example, "GET /a%24 HTTP/1.1\r\nHost: h\r\n\r\n", "GET /a$ HTTP/1.1\r\nHost: h\r\n\r\n", true);
	same(&bedrock, "GET /a%24 HTTP/1.1\r\nHost: h\r\n\r\n", "GET /a$ HTTP/1.1\r\nHost: h\r\n\r\n", false);
	same(&example, "GET /a%2Fb HTTP/1.1\r\nHost: h\r\n\r\n", "GET /a/b HTTP/1.1\r\nHost: h\r\n\r\n", false);
	same(&example, "GET /?b=%7e&a=x%20y&a= HTTP/1.1\r\nHost: h\r\n\r\n", "GET /?a=&a=x+y&b=~ HTTP/1.1\r\nHost: h\r\n\r\n", true);
	same(&example, "GET / HTTP/1.1\r\nHost: h\r\nX-Amz-A: 1\r\nX-Amz-B: 2  3\r\n\r\n",
		"GET / HTTP/1.1\r\nx-amz-b: 2 3\r\nhost: h\r\nx-amz-a: 1\r\n\r\n", true);
	same(&example, "GET / HTTP/1.1\r\nHost: h\r\nX-Amz-A: 1\r\nX-Amz-A: 2\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nX-Amz-A: 1,2\r\n\r\n", true);
	same(&example, "GET / HTTP/1.1\r\nHost: h\r\nX-Amz-A: 1\r\nX-Amz-A: 2\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nX-Amz-A: 2\r\nX-Amz-A: 1\r\n\r\n", false);
	same(&example, "GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: a\r\nContent-Length: 0\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", true);
	same(&example, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET / HTTP/1.1\r\nHost: h2\r\n\r\n", false);
	same(&example, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", false);
}

static void temporary_credentials_are_signed_too(void **state)
{
	struct sigv4 s = example;

	(void)state;
	s.token = "FwoGZX";
	s.token_len = 6;
	signs_as(&s, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "\r\nX-Amz-Security-Token: FwoGZX\r\n");
	signs_as(&s, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,");
	s.payload = "UNSIGNED-PAYLOAD";
	signs_as(&s, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "\r\nX-Amz-Content-Sha256: UNSIGNED-PAYLOAD\r\n");
}

static void what_signed_it_before_goes(void **state)
{
	static const char head[] = "GET / HTTP/1.1\r\nAuthorization: AWS4 x\r\nHost: h\r\nX-AMZ-Date: 1\r\nx-amz-security-token: t\r\n"
				   "X-Amz-Content-Sha256: a\r\nX-Amz-Meta: stays\r\nAuthorization: again\r\n\r\n";
	auto_buf struct buf out, tight;

	(void)state;
	buf_init(&out, 4096);
	assert_int_equal(sigv4_strip(head, sizeof(head) - 1, &out), 0);
	assert_string_equal(buf_cstr(&out), "GET / HTTP/1.1\r\nHost: h\r\nX-Amz-Meta: stays\r\n\r\n");
	buf_init(&tight, 20);
	assert_int_equal(sigv4_strip(head, sizeof(head) - 1, &tight), -ENOBUFS);
}

static void nonsense_is_not_signed(void **state)
{
	auto_buf struct buf out;

	(void)state;
	buf_init(&out, 4096);
	assert_int_equal(sigv4_sign(&example, "GET\r\n\r\n", 7, &out), -EBADMSG);
	assert_int_equal(sigv4_sign(&example, "GET /\r\n\r\n", 9, &out), -EBADMSG);
	assert_int_equal(sigv4_sign(&example, "GET /?a=%ff HTTP/1.1\r\n\r\n", 24, &out), -EBADMSG);
	assert_int_equal(sigv4_sign(&example, "", 0, &out), -EBADMSG);
}

static void bodies(void **state)
{
	const struct {
		enum aws_signing mode;
		enum http1_framing framing;
		const char *said;
		enum sigv4_payload want;
	} cases[] = {
		{ AWS_SIGN_AUTO, HTTP1_NO_BODY, NULL, SIGV4_HASH },
		{ AWS_SIGN_AUTO, HTTP1_NO_BODY, "UNSIGNED-PAYLOAD", SIGV4_HASH },
		{ AWS_SIGN_AUTO, HTTP1_LENGTH, NULL, SIGV4_HASH },
		{ AWS_SIGN_AUTO, HTTP1_CHUNKED, NULL, SIGV4_UNSIGNED },
		{ AWS_SIGN_AUTO, HTTP1_LENGTH, EMPTY_HASH, SIGV4_SAID },
		{ AWS_SIGN_AUTO, HTTP1_LENGTH, "E3B0", SIGV4_HASH },
		{ AWS_SIGN_AUTO, HTTP1_LENGTH, EMPTY_HASH "0", SIGV4_HASH },
		{ AWS_SIGN_AUTO, HTTP1_LENGTH, "UNSIGNED-PAYLOAD", SIGV4_UNSIGNED },
		{ AWS_SIGN_AUTO, HTTP1_LENGTH, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", SIGV4_SAID },
		{ AWS_SIGN_AUTO, HTTP1_LENGTH, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", SIGV4_UNSUPPORTED },
		{ AWS_SIGN_BODY, HTTP1_CHUNKED, NULL, SIGV4_HASH },
		{ AWS_SIGN_BODY, HTTP1_LENGTH, "UNSIGNED-PAYLOAD", SIGV4_HASH },
		{ AWS_SIGN_BODY, HTTP1_LENGTH, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", SIGV4_UNSUPPORTED },
		{ AWS_SIGN_NO_BODY, HTTP1_LENGTH, EMPTY_HASH, SIGV4_UNSIGNED },
		{ AWS_SIGN_NO_BODY, HTTP1_LENGTH, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", SIGV4_UNSIGNED },
	};
	struct http1_fields f = { .n = 2 };
	char said[SIGV4_HASH_MAX + 1];

	(void)state;
	f.list[0] = (struct http1_header){ .name = "Host", .name_len = 4, .value = "h", .value_len = 1 };
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		f.framing = cases[i].framing;
		f.n = cases[i].said ? 2 : 1;
		f.list[1] = (struct http1_header){ .name = "X-Amz-Content-SHA256",
			.name_len = 20,
			.value = cases[i].said,
			.value_len = (uint16_t)(cases[i].said ? strlen(cases[i].said) : 0) };
		if (sigv4_payload(cases[i].mode, &f, said) != cases[i].want)
			fail_msg("case %zu", i);
		if (cases[i].want == SIGV4_SAID)
			assert_string_equal(said, cases[i].said);
	}
}

static void regions(void **state)
{
	static const char *const cases[][2] = {
		{ "bedrock-runtime.us-east-2.amazonaws.com", "us-east-2" },
		{ "*.s3.us-east-1.amazonaws.com", "us-east-1" },
		{ "s3.dualstack.us-west-2.amazonaws.com", "us-west-2" },
		{ "s3-fips.dualstack.us-gov-west-1.amazonaws.com", "us-gov-west-1" },
		{ "s3.cn-north-1.amazonaws.com.cn", "cn-north-1" },
		{ "bedrock.eu-central-1.api.aws", "eu-central-1" },
		{ "s3.amazonaws.com", "" },
		{ "bucket-1.s3.amazonaws.com", "" },
		{ "us-east-1.amazonaws.com", "" },
		{ "dualstack.amazonaws.com", "" },
		{ "amazonaws.com", "" },
		{ ".amazonaws.com", "" },
		{ "", "" },
		{ "s3.us-east-1.amazonaws.com.evil.test", "" },
		{ "s3.us-east-*.amazonaws.com", "" },
		{ "api.anthropic.com", "" },
	};
	char got[AWS_WORD_MAX + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(aws_region(cases[i][0], got), cases[i][1][0] != '\0');
		if (cases[i][1][0])
			assert_string_equal(got, cases[i][1]);
	}
	assert_true(aws_is_word("bedrock-runtime"));
	assert_false(aws_is_word(""));
	assert_false(aws_is_word("s3/x"));
	assert_false(aws_is_word("s3\r\nX: y"));
	assert_int_equal(aws_signing_parse("sigv4:no_body"), AWS_SIGN_NO_BODY);
	assert_int_equal(aws_signing_parse(""), AWS_SIGN_NOTHING);
	assert_int_equal(aws_signing_parse(NULL), AWS_SIGN_NOTHING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(examples_of_the_reference),
		cmocka_unit_test(spelling_that_means_the_same),
		cmocka_unit_test(temporary_credentials_are_signed_too),
		cmocka_unit_test(what_signed_it_before_goes),
		cmocka_unit_test(nonsense_is_not_signed),
		cmocka_unit_test(bodies),
		cmocka_unit_test(regions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
