/* RAND_METHOD is deprecated in OpenSSL 3 for providers, which take a configuration: see ca.h on start-up time. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "proxy/crypto.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/random.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

static int kernel_random(unsigned char *out, int n)
{
	while (n > 0) {
		ssize_t got = getrandom(out, (size_t)n, 0);

		if (got < 0 && errno != EINTR)
			return 0;
		if (got > 0) {
			out += got;
			n -= (int)got;
		}
	}
	return 1;
}

static int random_ready(void)
{
	return 1;
}

/*
 * OpenSSL holds the buffer of a record only while there is a record in it (SSL_MODE_RELEASE_BUFFERS:
 * an idle connection has none), which takes and gives back two for each direction of an exchange.
 * A few stay here instead of going through the allocator, and through the cache of the processor,
 * every time.
 */
enum { RECORD_MIN = 16 * 1024, RECORD_MAX = 18 * 1024, RECORDS_SPARE = 4, RECORD_SLACK = 64 };

static void *records[RECORDS_SPARE];
static unsigned int n_records;

static void *crypto_malloc(size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	if (n <= RECORD_MIN || n > RECORD_MAX)
		return n ? malloc(n) : NULL;
	return n_records ? records[--n_records] : malloc(RECORD_MAX);
}

static void crypto_free(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	if (p && n_records < RECORDS_SPARE && malloc_usable_size(p) - RECORD_MAX < RECORD_SLACK)
		records[n_records++] = p;
	else
		free(p);
}

static void *crypto_realloc(void *p, size_t n, const char *file, int line)
{
	if (n)
		return realloc(p, n);
	crypto_free(p, file, line);
	return NULL;
}

void crypto_init(void)
{
	static const RAND_METHOD method = { .bytes = kernel_random,
		.pseudorand = kernel_random,
		.status = random_ready };

	(void)CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free);
	(void)OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	(void)RAND_set_rand_method(&method);
}
