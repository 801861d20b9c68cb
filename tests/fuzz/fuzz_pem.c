/*
 * Certificates: PEM text as the proxy hands it to the supervisor, and as a trust store has it. An even first byte:
 * the rest is text; an odd one: it is DER, which is put into a frame, for nothing random is base64.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/x509_vfy.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "proxy/trust.h"
#include "tracer/javastore.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *frame(const uint8_t *der, size_t size)
{
	static const char begin[] = "-----BEGIN CERTIFICATE-----\n", end[] = "\n-----END CERTIFICATE-----\n";
	char *text = malloc(sizeof(begin) + sizeof(end) + 4 * (size / 3 + 1));
	char *p = stpcpy(text, begin);

	p += EVP_EncodeBlock((unsigned char *)p, der, (int)size);
	(void)strcpy(p, end);
	return text;
}

/* The subject of the certificate is asked for if it is one, so that it is found. */
static void look_up(int fd, const uint8_t *der, size_t size)
{
	struct trust *t = trust_new(&fd, 1);
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509_OBJECT *found = X509_OBJECT_new();
	const unsigned char *p = der;
	X509 *x = d2i_X509(NULL, &p, (long)size);
	X509_NAME *name = x ? X509_NAME_dup(X509_get_subject_name(x)) : X509_NAME_new();

	assert(trust_attach(t, store) == 0 && X509_STORE_CTX_init(ctx, store, NULL, NULL) == 1);
	(void)X509_STORE_CTX_get_by_subject(ctx, X509_LU_X509, name, found);
	X509_OBJECT_free(found);
	X509_NAME_free(name);
	X509_free(x);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	trust_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *pem = NULL;
	auto_buf struct buf store = { 0 };
	int fd;

	if (size < 2 || size > 65536)
		return 0;
	pem = data[0] & 1 ? frame(data + 1, size - 1) : strndup((const char *)data + 1, size - 1);
	buf_init(&store, 1 << 20);
	assert(javastore_build(&store, pem) == 0 && store.len >= 32);
	fd = fd_memfile("pem", pem, strlen(pem));
	assert(fd >= 0);
	look_up(fd, data + 1, size - 1);
	return 0;
}
