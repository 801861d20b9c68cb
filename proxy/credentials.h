/*
 * The secrets of the sandbox's providers, and for which requests each may be used.
 *
 * They come from the supervisor as opaque bytes, live in this process alone, which cannot be
 * dumped or traced, and are wiped when they are replaced. They leave it in one place: inject.c, in
 * a request that policy allowed, to an endpoint that the provider is for.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/msg.h"
#include "proxy/proxy.h"

enum {
	CREDENTIALS_MAX = 32 * 32,     /* of all providers */
	CREDENTIAL_ENDPOINTS_MAX = 64, /* of one provider */
};

/*
 * PROXY_CREDENTIALS. The bytes are texts, each ended by NUL: provider, key, secret, number of
 * endpoints, then host, port and path of each; again for the next. 0, -EPROTO, -ENOMEM.
 */
int credentials_on_message(struct proxy *px, struct msg_in *m);

/* Some secret is for a server on @host:@port. */
bool credentials_cover(const struct proxy *px, const char *host, uint16_t port);

/* What a secret is wanted for. */
struct credential_use {
	const char *host, *path; /* canonical */
	uint16_t port;
	const char *provider; /* bound to the endpoint by the policy's own word; NULL or "": none */
};

/* 0 and the secret (borrowed until the next message); -ENOKEY: no such key; -EACCES: not for this
 * use. */
int credentials_find(const struct proxy *px, const struct credential_use *use, const char *key,
	size_t len, const char **ret, size_t *ret_len);
