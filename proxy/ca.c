/* The low-level EC calls need no provider look-ups, which is why they are used although OpenSSL 3
 * would rather see EVP: start-up time, see ca.h. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "proxy/ca.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "lib/cleanup.h"
#include "lib/netaddr.h"
#include "proxy/der.h"
#include "proxy/limits.h"

enum {
	POINT_LEN = 65, /* uncompressed P-256 point */
	HOST_MAX = 253,
	CN_MAX = 64, /* ub-common-name, RFC 5280 */
	SERIAL_LEN = 16,
	SKEW_S = 3600, /* clocks that lag behind accept the certificate too */
};

/*
 * The authority lives as long as this process and is trusted by one sandbox: what bounds it is not the
 * calendar. The clock of a laptop jumps, from 1970 when its battery was empty, and programs that have read
 * the authority cannot be given another; so it holds from the first second to the last of the century.
 */
enum { CA_NOT_BEFORE = 0 };
#define CA_NOT_AFTER INT64_C(4102444799)

struct leaf {
	TAILQ_ENTRY(leaf) link;
	char host[HOST_MAX + 1];
	int64_t not_before, not_after;
	X509 *x509;
};

struct ca {
	EC_KEY *key;
	EVP_PKEY *leaf_key; /* one for all leaves: they belong to one process; NULL until needed */
	uint8_t point[POINT_LEN];
	uint8_t key_id[SHA_DIGEST_LENGTH];
	char name[CN_MAX + 1];
	struct der cert;
	TAILQ_HEAD(leaf_list, leaf) leaves; /* the most recently used first */
	unsigned int n_leaves;
};

static const uint8_t oid_ecdsa_sha256[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02 };
static const uint8_t oid_ec_public_key[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01 };
static const uint8_t oid_p256[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 };
static const uint8_t oid_common_name[] = { 0x55, 0x04, 0x03 };
static const uint8_t oid_key_id[] = { 0x55, 0x1d, 0x0e };
static const uint8_t oid_key_usage[] = { 0x55, 0x1d, 0x0f };
static const uint8_t oid_alt_name[] = { 0x55, 0x1d, 0x11 };
static const uint8_t oid_constraints[] = { 0x55, 0x1d, 0x13 };
static const uint8_t oid_authority_key_id[] = { 0x55, 0x1d, 0x23 };
static const uint8_t oid_ext_key_usage[] = { 0x55, 0x1d, 0x25 };
static const uint8_t oid_server_auth[] = { 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01 };

/* AlgorithmIdentifier ecdsa-with-SHA256: the parameters are absent (RFC 5758, 3.2). */
static void put_signature_algorithm(struct der *d)
{
	size_t end = d->at;

	der_element(d, DER_OID, oid_ecdsa_sha256, sizeof(oid_ecdsa_sha256));
	der_wrap(d, DER_SEQUENCE, end);
}

static void put_bits(struct der *d, const uint8_t *data, size_t n, unsigned int unused)
{
	uint8_t first = (uint8_t)unused;
	size_t end = d->at;

	der_raw(d, data, n);
	der_raw(d, &first, 1);
	der_wrap(d, DER_BIT_STRING, end);
}

static void put_name(struct der *d, const char *common_name)
{
	size_t end = d->at;

	der_element(d, DER_UTF8_STRING, common_name, strlen(common_name));
	der_element(d, DER_OID, oid_common_name, sizeof(oid_common_name));
	der_wrap(d, DER_SEQUENCE, end);
	der_wrap(d, DER_SET, end);
	der_wrap(d, DER_SEQUENCE, end);
}

static void put_public_key(struct der *d, const uint8_t point[POINT_LEN])
{
	size_t end = d->at, algorithm;

	put_bits(d, point, POINT_LEN, 0);
	algorithm = d->at;
	der_element(d, DER_OID, oid_p256, sizeof(oid_p256));
	der_element(d, DER_OID, oid_ec_public_key, sizeof(oid_ec_public_key));
	der_wrap(d, DER_SEQUENCE, algorithm);
	der_wrap(d, DER_SEQUENCE, end);
}

/* Closes an extension whose value is everything from d->at to @end. */
static void wrap_extension(struct der *d, const uint8_t *oid, size_t oid_len, bool is_critical,
	size_t end)
{
	static const uint8_t yes = 0xff;

	der_wrap(d, DER_OCTET_STRING, end);
	if (is_critical)
		der_element(d, DER_BOOLEAN, &yes, 1);
	der_element(d, DER_OID, oid, oid_len);
	der_wrap(d, DER_SEQUENCE, end);
}

static void put_key_usage(struct der *d, uint8_t bits, unsigned int unused)
{
	size_t end = d->at;

	put_bits(d, &bits, 1, unused);
	wrap_extension(d, oid_key_usage, sizeof(oid_key_usage), true, end);
}

static void put_authority_extensions(struct der *d, const struct ca *ca)
{
	static const uint8_t yes = 0xff, zero = 0;
	enum { CERT_AND_CRL_SIGN = 0x06 };
	size_t end = d->at;

	der_element(d, DER_OCTET_STRING, ca->key_id, sizeof(ca->key_id));
	wrap_extension(d, oid_key_id, sizeof(oid_key_id), false, end);
	put_key_usage(d, CERT_AND_CRL_SIGN, 1);
	end = d->at;
	der_element(d, DER_INTEGER, &zero, 1);
	der_element(d, DER_BOOLEAN, &yes, 1);
	der_wrap(d, DER_SEQUENCE, end);
	wrap_extension(d, oid_constraints, sizeof(oid_constraints), true, end);
}

static void put_alt_name(struct der *d, const char *host)
{
	enum { DNS_NAME = 2, IP_ADDRESS = 7 };
	struct netaddr addr;
	size_t end = d->at;

	if (netaddr_parse(host, &addr) == 0)
		der_element(d, DER_CONTEXT + IP_ADDRESS, addr.bytes,
			addr.family == AF_INET ? 4 : 16);
	else
		der_element(d, DER_CONTEXT + DNS_NAME, host, strlen(host));
	der_wrap(d, DER_SEQUENCE, end);
	wrap_extension(d, oid_alt_name, sizeof(oid_alt_name), false, end);
}

static void put_leaf_extensions(struct der *d, const struct ca *ca, const char *host)
{
	enum { DIGITAL_SIGNATURE = 0x80, KEY_ID = 0 };
	size_t end = d->at;

	der_element(d, DER_CONTEXT + KEY_ID, ca->key_id, sizeof(ca->key_id));
	der_wrap(d, DER_SEQUENCE, end);
	wrap_extension(d, oid_authority_key_id, sizeof(oid_authority_key_id), false, end);
	put_alt_name(d, host);
	end = d->at;
	der_element(d, DER_OID, oid_server_auth, sizeof(oid_server_auth));
	der_wrap(d, DER_SEQUENCE, end);
	wrap_extension(d, oid_ext_key_usage, sizeof(oid_ext_key_usage), false, end);
	put_key_usage(d, DIGITAL_SIGNATURE, 7);
	end = d->at;
	der_wrap(d, DER_SEQUENCE, end);
	wrap_extension(d, oid_constraints, sizeof(oid_constraints), true, end);
}

struct cert_spec {
	const char *subject;
	const char *host; /* NULL: the authority itself */
	const uint8_t *point;
	int64_t not_before, not_after;
};

/* TBSCertificate, last field first. */
static int put_tbs(struct der *d, const struct ca *ca, const struct cert_spec *spec)
{
	static const uint8_t version_3 = 2;
	uint8_t serial[SERIAL_LEN];
	size_t end = d->at, inner;

	if (RAND_bytes(serial, sizeof(serial)) != 1)
		return -EIO;
	serial[0] = (serial[0] & 0x7f) | 0x40;
	if (spec->host)
		put_leaf_extensions(d, ca, spec->host);
	else
		put_authority_extensions(d, ca);
	der_wrap(d, DER_SEQUENCE, end);
	der_wrap(d, DER_CONTEXT_CONSTRUCTED + 3, end);
	put_public_key(d, spec->point);
	put_name(d, spec->subject);
	inner = d->at;
	der_time(d, spec->not_after);
	der_time(d, spec->not_before);
	der_wrap(d, DER_SEQUENCE, inner);
	put_name(d, ca->name);
	put_signature_algorithm(d);
	der_positive(d, serial, sizeof(serial));
	inner = d->at;
	der_element(d, DER_INTEGER, &version_3, 1);
	der_wrap(d, DER_CONTEXT_CONSTRUCTED + 0, inner);
	der_wrap(d, DER_SEQUENCE, end);
	return 0;
}

static int put_certificate(struct der *d, const struct ca *ca, const struct cert_spec *spec)
{
	struct der tbs;
	uint8_t digest[SHA256_DIGEST_LENGTH], sig[80];
	unsigned int sig_len = 0;
	int r;

	der_init(&tbs);
	r = put_tbs(&tbs, ca, spec);
	if (r < 0)
		return r;
	(void)SHA256(der_data(&tbs), der_len(&tbs), digest);
	if (!ECDSA_sign(0, digest, sizeof(digest), sig, &sig_len, ca->key))
		return -EIO;
	der_init(d);
	put_bits(d, sig, sig_len, 0);
	put_signature_algorithm(d);
	der_raw(d, der_data(&tbs), der_len(&tbs));
	der_wrap(d, DER_SEQUENCE, DER_MAX);
	return tbs.is_full || d->is_full ? -EINVAL : 0;
}

static int key_new(EC_KEY **ret, uint8_t point[POINT_LEN])
{
	EC_KEY *key = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);

	if (!key)
		return -ENOMEM;
	if (!EC_KEY_generate_key(key) ||
		EC_POINT_point2oct(EC_KEY_get0_group(key), EC_KEY_get0_public_key(key),
			POINT_CONVERSION_UNCOMPRESSED, point, POINT_LEN, NULL) != POINT_LEN) {
		EC_KEY_free(key);
		return -EIO;
	}
	*ret = key;
	return 0;
}

DEFINE_CLEANUP(ca, ca_free)

int ca_new(const char *name, struct ca **ret)
{
	__attribute__((cleanup(cleanup_ca))) struct ca *ca = calloc(1, sizeof(*ca));
	struct cert_spec spec;
	int r;

	if (!ca)
		return -ENOMEM;
	TAILQ_INIT(&ca->leaves);
	r = key_new(&ca->key, ca->point);
	if (r < 0)
		return r;
	(void)SHA1(ca->point, sizeof(ca->point), ca->key_id);
	(void)snprintf(ca->name, sizeof(ca->name), "openshell %.40s sandbox CA", name);
	spec = (struct cert_spec){ .subject = ca->name,
		.point = ca->point,
		.not_before = CA_NOT_BEFORE,
		.not_after = CA_NOT_AFTER };
	r = put_certificate(&ca->cert, ca, &spec);
	if (r < 0)
		return r;
	*ret = take_ptr(ca);
	return 0;
}

static void leaf_free(struct ca *ca, struct leaf *leaf)
{
	TAILQ_REMOVE(&ca->leaves, leaf, link);
	ca->n_leaves--;
	X509_free(leaf->x509);
	free(leaf);
}

void ca_free(struct ca *ca)
{
	if (!ca)
		return;
	while (!TAILQ_EMPTY(&ca->leaves))
		leaf_free(ca, TAILQ_FIRST(&ca->leaves));
	EVP_PKEY_free(ca->leaf_key);
	EC_KEY_free(ca->key);
	free(ca);
}

int ca_pem(const struct ca *ca, struct buf *out)
{
	const uint8_t *der = der_data(&ca->cert);
	size_t left = der_len(&ca->cert);
	int r = buf_puts(out, "-----BEGIN CERTIFICATE-----\n");

	while (r == 0 && left) {
		size_t n = left < 48 ? left : 48;
		unsigned char line[65];

		(void)EVP_EncodeBlock(line, der, (int)n);
		r = buf_printf(out, "%s\n", (char *)line);
		der += n;
		left -= n;
	}
	return r < 0 ? r : buf_puts(out, "-----END CERTIFICATE-----\n");
}

static int leaf_key_ready(struct ca *ca)
{
	uint8_t point[POINT_LEN];
	EC_KEY *key = NULL;
	int r;

	if (ca->leaf_key)
		return 0;
	r = key_new(&key, point);
	if (r < 0)
		return r;
	ca->leaf_key = EVP_PKEY_new();
	if (!ca->leaf_key || !EVP_PKEY_assign_EC_KEY(ca->leaf_key, key)) {
		EC_KEY_free(key);
		EVP_PKEY_free(ca->leaf_key);
		ca->leaf_key = NULL;
		return -ENOMEM;
	}
	return 0;
}

static int leaf_point(const struct ca *ca, uint8_t point[POINT_LEN])
{
	const EC_KEY *key = EVP_PKEY_get0_EC_KEY(ca->leaf_key);

	return EC_POINT_point2oct(EC_KEY_get0_group(key), EC_KEY_get0_public_key(key),
		       POINT_CONVERSION_UNCOMPRESSED, point, POINT_LEN, NULL) == POINT_LEN ?
		0 :
		-EIO;
}

static int leaf_mint(struct ca *ca, const char *host, struct leaf *leaf)
{
	uint8_t point[POINT_LEN];
	const uint8_t *p;
	struct der cert;
	struct cert_spec spec = { .subject = strlen(host) <= CN_MAX ? host : "openshell leaf",
		.host = host,
		.point = point,
		.not_before = leaf->not_before,
		.not_after = leaf->not_after };
	int r;

	r = leaf_key_ready(ca);
	if (r == 0)
		r = leaf_point(ca, point);
	if (r == 0)
		r = put_certificate(&cert, ca, &spec);
	if (r < 0)
		return r;
	p = der_data(&cert);
	leaf->x509 = d2i_X509(NULL, &p, (long)der_len(&cert));
	return leaf->x509 ? 0 : -ENOMEM;
}

static struct leaf *leaf_find(struct ca *ca, const char *host, int64_t now)
{
	struct leaf *leaf;

	TAILQ_FOREACH(leaf, &ca->leaves, link)
		if (strcmp(leaf->host, host) == 0)
			break;
	if (leaf && (now < leaf->not_before || leaf->not_after - now < (int64_t)LEAF_DAYS * 86400 / 2)) {
		leaf_free(ca, leaf);
		return NULL;
	}
	return leaf;
}

static int leaf_add(struct ca *ca, const char *host, int64_t now, struct leaf **ret)
{
	struct leaf *leaf;
	int r;

	if (strlen(host) > HOST_MAX || !host[0])
		return -EINVAL;
	leaf = calloc(1, sizeof(*leaf));
	if (!leaf)
		return -ENOMEM;
	memcpy(leaf->host, host, strlen(host) + 1);
	leaf->not_before = now > SKEW_S ? now - SKEW_S : 0;
	leaf->not_after = now + (int64_t)LEAF_DAYS * 86400;
	r = leaf_mint(ca, host, leaf);
	if (r < 0) {
		free(leaf);
		return r;
	}
	if (ca->n_leaves == LEAVES_MAX)
		leaf_free(ca, TAILQ_LAST(&ca->leaves, leaf_list));
	TAILQ_INSERT_HEAD(&ca->leaves, leaf, link);
	ca->n_leaves++;
	*ret = leaf;
	return 0;
}

int ca_use_leaf(struct ca *ca, const char *host, int64_t now, SSL *ssl)
{
	struct leaf *leaf = leaf_find(ca, host, now);
	int r;

	if (!leaf) {
		r = leaf_add(ca, host, now, &leaf);
		if (r < 0)
			return r;
	} else if (leaf != TAILQ_FIRST(&ca->leaves)) {
		TAILQ_REMOVE(&ca->leaves, leaf, link);
		TAILQ_INSERT_HEAD(&ca->leaves, leaf, link);
	}
	if (SSL_use_certificate(ssl, leaf->x509) != 1 || SSL_use_PrivateKey(ssl, ca->leaf_key) != 1)
		return -EIO;
	return 0;
}
