/*
 * The roots that real servers are verified with.
 *
 * A distribution's bundle holds some hundred and fifty certificates; parsed by OpenSSL they cost
 * ten milliseconds and three megabytes, of which a sandbox uses two or three. So the bundle is
 * only indexed, by the hash of the subject, when the first server has to be verified; a root is
 * parsed when a chain asks for its subject.
 */
#pragma once

#include <openssl/types.h>

struct trust;

/* @fds are PEM files, owned from now on; nothing is read yet. NULL when out of memory. */
struct trust *trust_new(const int *fds, unsigned int n);
void trust_free(struct trust *t);
/* Makes @store look up issuers here; @t must outlive it. 0 or -ENOMEM. */
int trust_attach(struct trust *t, X509_STORE *store);
