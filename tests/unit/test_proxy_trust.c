#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include "proxy/trust.h"

enum { VERSION_1 = 0, VERSION_3 = 2 };

static EVP_PKEY *key;

static void add_text(X509_NAME *name, const char *field, const char *text)
{
	const unsigned char *bytes = (const unsigned char *)text;

	assert_int_equal(X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, bytes, -1, -1, 0), 1);
}

static X509_NAME *name_of(const char *cn)
{
	X509_NAME *name = X509_NAME_new();

	add_text(name, "O", "Roots");
	add_text(name, "CN", cn);
	return name;
}

/* A root that is issued by somebody else, so that the one name is not taken for the other. */
static void put_root(FILE *f, const char *cn, long version)
{
	X509 *x = X509_new();
	X509_NAME *subject = name_of(cn), *issuer = name_of("somebody else");

	assert_int_equal(X509_set_version(x, version), 1);
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), 4711), 1);
	assert_int_equal(X509_set_subject_name(x, subject), 1);
	assert_int_equal(X509_set_issuer_name(x, issuer), 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), 0));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 3600));
	assert_int_equal(X509_set_pubkey(x, key), 1);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_X509(f, x), 1);
	X509_NAME_free(subject);
	X509_NAME_free(issuer);
	X509_free(x);
}

static void put_text(FILE *f, const char *base64)
{
	assert_true(fprintf(f, "-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n", base64) > 0);
}

static bool has_root(X509_STORE *store, const char *cn)
{
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509_OBJECT *found = X509_OBJECT_new();
	X509_NAME *name = name_of(cn);
	bool has;

	assert_int_equal(X509_STORE_CTX_init(ctx, store, NULL, NULL), 1);
	has = X509_STORE_CTX_get_by_subject(ctx, X509_LU_X509, name, found) == 1;
	if (has)
		assert_int_equal(X509_NAME_cmp(X509_get_subject_name(X509_OBJECT_get0_X509(found)), name), 0);
	X509_NAME_free(name);
	X509_OBJECT_free(found);
	X509_STORE_CTX_free(ctx);
	return has;
}

/* Not base64; nothing; no sequence; lengths beyond the end, at either depth; one that is cut short. */
static const char *const no_certificates[] = {
	"!!!!", "", "AgEB", "MIIFazCCA1M=", "MAUwggNTAAA=", "MAowCKADAgECAgEB"
};

static void what_is_no_certificate_hides_none(void **state)
{
	int fd = memfd_create("roots", MFD_CLOEXEC);
	FILE *f = fdopen(dup(fd), "w");
	X509_STORE *store = X509_STORE_new();
	struct trust *t;

	(void)state;
	assert_non_null(f);
	put_root(f, "first", VERSION_3);
	for (size_t i = 0; i < sizeof(no_certificates) / sizeof(*no_certificates); i++)
		put_text(f, no_certificates[i]);
	put_root(f, "old", VERSION_1);
	put_root(f, "last", VERSION_3);
	assert_int_equal(fclose(f), 0);
	t = trust_new(&fd, 1);
	assert_non_null(t);
	assert_int_equal(trust_attach(t, store), 0);
	assert_true(has_root(store, "first"));
	assert_true(has_root(store, "old"));
	assert_true(has_root(store, "last"));
	assert_false(has_root(store, "somebody else"));
	assert_false(has_root(store, "nobody"));
	X509_STORE_free(store);
	trust_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_certificate_hides_none),
	};
	int r;

	key = EVP_EC_gen("P-256");
	r = key ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
	EVP_PKEY_free(key);
	return r;
}
