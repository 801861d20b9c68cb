/*
 * A route: where the requests of https://inference.local go, and with what credential.
 *
 * The launcher makes it of a provider and of what `inference set` was told, and sends it to the supervisor as
 * bytes that it does not look into; the proxy reads them.
 */
#pragma once

#include <stdint.h>

#include "lib/aws.h"
#include "lib/err.h"
#include "lib/inference.h"
#include "lib/url.h"

struct buf;

enum { INFERENCE_WORD_MAX = 63, INFERENCE_BASE_MAX = 1024, INFERENCE_SECRET_MAX = 8192 };

struct inference_route {
	char provider[INFERENCE_WORD_MAX + 1], type[INFERENCE_WORD_MAX + 1];
	char model[INFERENCE_MODEL_MAX + 1];
	struct url_authority server; /* its port is set */
	char base[INFERENCE_BASE_MAX + 1]; /* path, "" or without a final slash */
	bool is_tls;
	bool is_own; /* the operator's own base_url: may be on this machine or in a private network */
	uint32_t timeout_s;
	char region[AWS_WORD_MAX + 1]; /* Bedrock */
	/* The key; or Amazon's, which sign. Empty: none. */
	char secret[INFERENCE_SECRET_MAX + 1], key_id[INFERENCE_SECRET_MAX + 1], token[INFERENCE_SECRET_MAX + 1];
};

/* What is known of a type of provider. */
struct inference_type {
	const char *name;
	enum inference_style style;
	const char *base_url; /* NULL: there is none but the operator's */
	const char *base_key; /* upstream's name for base_url in a provider's configuration */
	const char *secret_key;
	const char *why_not; /* it is known, and cannot be routed: the reason */
};

/* NULL: nobody knows how to route it. */
const struct inference_type *inference_type(const char *name);

/*
 * Takes a base URL apart: http or https, no user, query or fragment; http for this machine and for private
 * networks alone. 0 or -EINVAL with text. Sets server, base and is_tls.
 */
int inference_base_parse(struct inference_route *r, const char *url, struct err *err);

/* Whether the server's name or address says that it is on this machine: "localhost", loopback, host.openshell.internal. */
bool inference_is_local(const struct inference_route *r);

/* The field that says who asks, "NAME: VALUE"; nothing where there is no secret. 0, -EINVAL for a type
 * that nobody knows, -ENOBUFS, -ENOMEM. */
int inference_credential_put(struct buf *out, const struct inference_route *r);

/* Texts, each ended by NUL. 0, -ENOBUFS, -ENOMEM. */
int inference_route_put(struct buf *out, const struct inference_route *r);
/* 0, -EPROTO. */
int inference_route_get(struct inference_route *ret, const char *data, size_t len);
