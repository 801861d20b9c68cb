#include "proxy/trust.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/asn1.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "proxy/limits.h"

enum { FILES_MAX = 4, CERTS_MAX = 4096 };

struct root {
	unsigned long hash; /* of the subject's canonical form */
	uint32_t at, len;   /* the PEM body within its file */
	uint8_t file;
};

struct trust {
	int fds[FILES_MAX];
	unsigned int n_fds;
	bool is_indexed;
	struct root *roots;
	size_t n_roots, alloc;
};

static const char pem_begin[] = "-----BEGIN CERTIFICATE-----";
static const char pem_end[] = "-----END CERTIFICATE-----";

struct trust *trust_new(const int *fds, unsigned int n)
{
	struct trust *t = n <= FILES_MAX ? calloc(1, sizeof(*t)) : NULL;

	if (!t)
		return NULL;
	memcpy(t->fds, fds, n * sizeof(*fds));
	t->n_fds = n;
	return t;
}

void trust_free(struct trust *t)
{
	if (!t)
		return;
	for (unsigned int i = 0; i < t->n_fds; i++)
		cleanup_close(&t->fds[i]);
	free(t->roots);
	free(t);
}

/* Base64 with line ends to DER, which the caller frees; NULL when it is none. */
static unsigned char *decode_pem(const char *text, size_t len, int *ret_len)
{
	auto_free char *flat = malloc(len + 1);
	auto_free unsigned char *der = malloc(len + 4);
	size_t n = 0;

	if (!flat || !der)
		return NULL;
	for (size_t i = 0; i < len; i++)
		if (text[i] > ' ')
			flat[n++] = text[i];
	*ret_len = EVP_DecodeBlock(der, (const unsigned char *)flat, (int)n);
	return *ret_len > 0 ? take_ptr(der) : NULL;
}

static X509 *parse_pem(const char *text, size_t len)
{
	int der_len;
	auto_free unsigned char *der = decode_pem(text, len, &der_len);
	const unsigned char *p = der;

	return der ? d2i_X509(NULL, &p, der_len) : NULL;
}

/* The head of an element at *p, which ends before @end: its tag, or -1. *p moves past the head. */
static int enter(const unsigned char **p, const unsigned char *end, long *ret_len)
{
	int tag, class;

	return ASN1_get_object(p, ret_len, &tag, &class, end - *p) & ~V_ASN1_CONSTRUCTED ? -1 : tag;
}

/*
 * The subject of a certificate: what comes before it is passed over. To take all of it apart for
 * the index, keys included, takes a hundred times as long, and everybody waits meanwhile.
 */
static X509_NAME *find_subject(const unsigned char *der, int der_len)
{
	enum { VERSION_TO_VALIDITY = 5 };
	const unsigned char *p = der, *end = der + der_len;
	long len;

	for (int depth = 0; depth < 2; depth++)
		if (enter(&p, end, &len) != V_ASN1_SEQUENCE)
			return NULL;
	for (int i = 0; i < VERSION_TO_VALIDITY; i++) {
		const unsigned char *first = p;

		/* The version of an X.509v1 certificate is not there: then this is the serial number. */
		if (enter(&p, end, &len) < 0)
			return NULL;
		if (i == 0 && *first == V_ASN1_INTEGER)
			i++;
		p += len;
	}
	return d2i_X509_NAME(NULL, &p, end - p);
}

static int add_root(struct trust *t, const struct root *r)
{
	if (t->n_roots == CERTS_MAX)
		return -E2BIG;
	if (t->n_roots == t->alloc) {
		size_t alloc = t->alloc ? t->alloc * 2 : 256;
		struct root *roots = realloc(t->roots, alloc * sizeof(*roots));

		if (!roots)
			return -ENOMEM;
		t->roots = roots;
		t->alloc = alloc;
	}
	t->roots[t->n_roots++] = *r;
	return 0;
}

/* What has no subject is no root, and what cannot be read will be none: the others count. */
static int index_one(struct trust *t, unsigned int file, const char *text, size_t at, size_t len)
{
	struct root r = { .at = (uint32_t)at, .len = (uint32_t)len, .file = (uint8_t)file };
	int der_len = 0;
	auto_free unsigned char *der = decode_pem(text + at, len, &der_len);
	X509_NAME *subject = der ? find_subject(der, der_len) : NULL;

	if (!subject)
		return 0;
	r.hash = X509_NAME_hash_ex(subject, NULL, NULL, NULL);
	X509_NAME_free(subject);
	return add_root(t, &r);
}

static int index_file(struct trust *t, unsigned int file)
{
	auto_free char *text = NULL;
	const char *p, *end;
	int r;

	r = fd_slurp(t->fds[file], TRUST_STORE_MAX, &text, NULL);
	for (p = text; r == 0 && (p = strstr(p, pem_begin)); p = end) {
		p += sizeof(pem_begin) - 1;
		end = strstr(p, pem_end);
		if (!end)
			break;
		r = index_one(t, file, text, (size_t)(p - text), (size_t)(end - p));
	}
	return r;
}

static void index_all(struct trust *t)
{
	t->is_indexed = true;
	for (unsigned int i = 0; i < t->n_fds; i++)
		if (index_file(t, i) < 0)
			break;
}

static bool load_root(struct trust *t, const struct root *root, X509_STORE *store,
	const X509_NAME *name)
{
	auto_free char *text = NULL;
	X509 *x = NULL;
	bool is_it;

	if (fd_slurp(t->fds[root->file], TRUST_STORE_MAX, &text, NULL) == 0)
		x = parse_pem(text + root->at, root->len);
	is_it = x && X509_NAME_cmp(X509_get_subject_name(x), name) == 0 && X509_STORE_add_cert(store, x) == 1;
	X509_free(x);
	return is_it;
}

/* What the store has now, as by_dir.c does it. The caller takes a reference of its own: that of set1 would be
 * nobody's. */
static int answer(X509_STORE *store, const X509_NAME *name, X509_OBJECT *ret)
{
	X509_OBJECT *found = X509_OBJECT_retrieve_by_subject(X509_STORE_get0_objects(store), X509_LU_X509, name);
	X509 *x = found ? X509_OBJECT_get0_X509(found) : NULL;

	if (!x || X509_OBJECT_set1_X509(ret, x) != 1)
		return 0;
	X509_free(x);
	return 1;
}

/* All roots of that subject go into the store; one is the answer. */
static int get_by_subject(X509_LOOKUP *lookup, X509_LOOKUP_TYPE type, const X509_NAME *name,
	X509_OBJECT *ret)
{
	struct trust *t = X509_LOOKUP_get_method_data(lookup);
	X509_STORE *store = X509_LOOKUP_get_store(lookup);
	unsigned long hash;
	bool is_found = false;

	if (type != X509_LU_X509)
		return 0;
	if (!t->is_indexed)
		index_all(t);
	hash = X509_NAME_hash_ex(name, NULL, NULL, NULL);
	for (size_t i = 0; i < t->n_roots; i++)
		if (t->roots[i].hash == hash &&
			load_root(t, &t->roots[i], store, name))
			is_found = true;
	return is_found ? answer(store, name, ret) : 0;
}

int trust_attach(struct trust *t, X509_STORE *store)
{
	static X509_LOOKUP_METHOD *method;
	X509_LOOKUP *lookup;

	if (!method) {
		method = X509_LOOKUP_meth_new("openshell trust store");
		if (!method || !X509_LOOKUP_meth_set_get_by_subject(method, get_by_subject))
			return -ENOMEM;
	}
	lookup = X509_STORE_add_lookup(store, method);
	if (!lookup)
		return -ENOMEM;
	return X509_LOOKUP_set_method_data(lookup, t) ? 0 : -ENOMEM;
}
