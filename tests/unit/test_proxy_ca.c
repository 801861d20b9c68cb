#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "proxy/ca.h"
#include "proxy/crypto.h"
#include "proxy/limits.h"

static struct ca *ca;
static int64_t now;

static int set_up(void **state)
{
	(void)state;
	now = (int64_t)time(NULL);
	return ca_new("demo", &ca);
}

static int tear_down(void **state)
{
	(void)state;
	ca_free(ca);
	return 0;
}

static X509 *authority(void)
{
	auto_buf struct buf pem;
	BIO *bio;
	X509 *x;

	buf_init(&pem, 8192);
	assert_int_equal(ca_pem(ca, &pem), 0);
	bio = BIO_new_mem_buf(buf_head(&pem), (int)pem.len);
	x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	BIO_free(bio);
	assert_non_null(x);
	return x;
}

static SSL *session(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	SSL *ssl = SSL_new(ctx);

	SSL_CTX_free(ctx);
	return ssl;
}

/* Verifies as strict clients do (Python 3.13): RFC 5280 in full. */
static int verify_at(int64_t when, X509 *leaf, const char *host, const char *ip)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509 *root = authority();
	int r;

	X509_STORE_add_cert(store, root);
	X509_STORE_CTX_init(ctx, store, leaf, NULL);
	X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(ctx), X509_V_FLAG_X509_STRICT);
	X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(ctx), (time_t)when);
	X509_VERIFY_PARAM_set_purpose(X509_STORE_CTX_get0_param(ctx), X509_PURPOSE_SSL_SERVER);
	if (host)
		X509_VERIFY_PARAM_set1_host(X509_STORE_CTX_get0_param(ctx), host, 0);
	if (ip)
		X509_VERIFY_PARAM_set1_ip_asc(X509_STORE_CTX_get0_param(ctx), ip);
	r = X509_verify_cert(ctx);
	r = r == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	X509_free(root);
	return r;
}

static int verify(X509 *leaf, const char *host, const char *ip)
{
	return verify_at(now, leaf, host, ip);
}

static void a_leaf_is_valid_for_its_host_and_no_other(void **state)
{
	SSL *ssl = session();

	(void)state;
	assert_int_equal(ca_use_leaf(ca, "api.github.com", now, ssl), 0);
	assert_int_equal(verify(SSL_get_certificate(ssl), "api.github.com", NULL), X509_V_OK);
	assert_int_equal(verify(SSL_get_certificate(ssl), "github.com", NULL),
		X509_V_ERR_HOSTNAME_MISMATCH);
	SSL_free(ssl);
}

static void a_leaf_for_an_address_carries_the_address(void **state)
{
	SSL *ssl = session();

	(void)state;
	assert_int_equal(ca_use_leaf(ca, "192.0.2.7", now, ssl), 0);
	assert_int_equal(verify(SSL_get_certificate(ssl), NULL, "192.0.2.7"), X509_V_OK);
	assert_int_equal(ca_use_leaf(ca, "2001:db8::1", now, ssl), 0);
	assert_int_equal(verify(SSL_get_certificate(ssl), NULL, "2001:db8::1"), X509_V_OK);
	SSL_free(ssl);
}

static void a_host_too_long_for_a_common_name_still_gets_a_leaf(void **state)
{
	char host[254];
	SSL *ssl = session();

	(void)state;
	for (size_t i = 0; i < sizeof(host) - 1; i++)
		host[i] = i % 60 == 59 ? '.' : 'a';
	host[sizeof(host) - 1] = '\0';
	assert_int_equal(ca_use_leaf(ca, host, now, ssl), 0);
	assert_int_equal(verify(SSL_get_certificate(ssl), host, NULL), X509_V_OK);
	SSL_free(ssl);
}

static void the_same_host_gets_the_same_leaf_until_half_its_life(void **state)
{
	SSL *ssl = session();
	X509 *first;

	(void)state;
	assert_int_equal(ca_use_leaf(ca, "a.test", now, ssl), 0);
	first = SSL_get_certificate(ssl);
	X509_up_ref(first);
	assert_int_equal(ca_use_leaf(ca, "b.test", now, ssl), 0);
	assert_int_equal(ca_use_leaf(ca, "a.test", now + 3 * 86400, ssl), 0);
	assert_ptr_equal(SSL_get_certificate(ssl), first);
	assert_int_equal(ca_use_leaf(ca, "a.test", now + 4 * 86400, ssl), 0);
	assert_ptr_not_equal(SSL_get_certificate(ssl), first);
	X509_free(first);
	SSL_free(ssl);
}

static void a_clock_that_jumps_finds_valid_certificates(void **state)
{
	const int64_t jumps[] = { now, now + 400 * INT64_C(86400), now - 30 * INT64_C(86400),
		now + 3 * INT64_C(86400), now - 2 * INT64_C(3600), 60, now + 20000 * INT64_C(86400), now };
	SSL *ssl = session();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(jumps); i++) {
		assert_int_equal(ca_use_leaf(ca, "a.test", jumps[i], ssl), 0);
		assert_int_equal(verify_at(jumps[i], SSL_get_certificate(ssl), "a.test", NULL), X509_V_OK);
	}
	assert_int_not_equal(verify_at(now + 30 * INT64_C(86400), SSL_get_certificate(ssl), "a.test", NULL), X509_V_OK);
	SSL_free(ssl);
}

/* The certificate of a host; the reference is the cache's. */
static X509 *leaf_of(SSL *ssl, int i)
{
	char host[32];

	(void)snprintf(host, sizeof(host), "h%d.test", i);
	assert_int_equal(ca_use_leaf(ca, host, now, ssl), 0);
	return SSL_get_certificate(ssl);
}

/* Beyond the limit the one that was not used the longest is forgotten, and minted again. */
static void many_hosts_do_not_grow_the_cache(void **state)
{
	SSL *ssl = session();
	X509 *first, *second;

	(void)state;
	first = leaf_of(ssl, 0);
	X509_up_ref(first);
	second = leaf_of(ssl, 1);
	X509_up_ref(second);
	for (int i = 2; i < LEAVES_MAX; i++)
		(void)leaf_of(ssl, i);
	assert_ptr_equal(leaf_of(ssl, 0), first);
	(void)leaf_of(ssl, LEAVES_MAX);
	assert_ptr_equal(leaf_of(ssl, 0), first);
	assert_ptr_not_equal(leaf_of(ssl, 1), second);
	X509_free(first);
	X509_free(second);
	SSL_free(ssl);
}

static void the_authority_signs_no_further_authority(void **state)
{
	X509 *x = authority();

	(void)state;
	assert_int_equal(X509_get_extension_flags(x) & EXFLAG_CA, EXFLAG_CA);
	assert_int_equal(X509_get_pathlen(x), 0);
	X509_free(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_leaf_is_valid_for_its_host_and_no_other),
		cmocka_unit_test(a_leaf_for_an_address_carries_the_address),
		cmocka_unit_test(a_host_too_long_for_a_common_name_still_gets_a_leaf),
		cmocka_unit_test(the_same_host_gets_the_same_leaf_until_half_its_life),
		cmocka_unit_test(a_clock_that_jumps_finds_valid_certificates),
		cmocka_unit_test(many_hosts_do_not_grow_the_cache),
		cmocka_unit_test(the_authority_signs_no_further_authority),
	};

	crypto_init();
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
