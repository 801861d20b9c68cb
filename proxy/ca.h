/*
 * The sandbox's certificate authority: a P-256 key that exists in this process's memory alone, and
 * the leaves minted under it, one per host name, in a bounded cache.
 *
 * Certificates are written as DER by hand (der.h): OpenSSL 3's encoders cost a millisecond at
 * start-up, half of what the whole program may take.
 */
#pragma once

#include <stdint.h>
#include <openssl/types.h>

#include "lib/buf.h"

struct ca;

enum { LEAF_DAYS = 7 };

/* A new authority for the sandbox @name, valid whatever the clock says. 0, -ENOMEM, -EIO. */
int ca_new(const char *name, struct ca **ret);
/* NULL is fine. The key is wiped. */
void ca_free(struct ca *ca);

/* Appends the authority's certificate as PEM. 0 or what buf_append() says. */
int ca_pem(const struct ca *ca, struct buf *out);

/*
 * Gives @ssl a leaf for @host (canonical name or address literal) and its key; mints it unless it
 * is in the cache, valid and good for half its life still. 0, -ENOMEM, -EIO, -EINVAL for a name no
 * certificate can carry.
 */
int ca_use_leaf(struct ca *ca, const char *host, int64_t now, SSL *ssl);
