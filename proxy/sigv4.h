/*
 * AWS Signature Version 4 in a header, for requests whose client holds placeholders instead of keys.
 *
 * Source: the Signature Version 4 pages of the AWS Identity and Access Management User Guide ("Create a signed AWS
 * API request") and, for S3 and its one encoding of the path, the Amazon S3 API Reference ("Authenticating Requests:
 * Using the Authorization Header").
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "lib/aws.h"
#include "lib/buf.h"
#include "lib/http1.h"

enum { SIGV4_HASH_MAX = 64 }; /* bytes of a hash in hex, and of the words in its place */

/* What x-amz-content-sha256 will say. */
enum sigv4_payload {
	SIGV4_UNSUPPORTED = 0, /* chunks signed one by one, with a key that the client does not have */
	SIGV4_HASH,	       /* of the body that goes up: it has to be here whole */
	SIGV4_SAID,	       /* what the client said: the server compares it with what arrives */
	SIGV4_UNSIGNED,
};

/* How @rq is to be signed. With SIGV4_SAID, @ret_said holds the words. */
enum sigv4_payload sigv4_payload(enum aws_signing mode, const struct http1_fields *f, char ret_said[static SIGV4_HASH_MAX + 1]);

struct sigv4 {
	const char *key_id, *secret, *token; /* token NULL: no temporary credentials */
	size_t key_id_len, secret_len, token_len;
	const char *region, *service;
	const char *payload; /* for x-amz-content-sha256; NULL: the hash of body */
	const char *body;
	size_t body_len;
	time_t now;
};

/* Appends @head, a request's as http1_request_write() has it, without the fields that sign it. 0, -ENOBUFS, -ENOMEM. */
int sigv4_strip(const char *head, size_t len, struct buf *out);

/*
 * Appends @head, which has come through sigv4_strip(), with the fields that sign it. 0; -EBADMSG: its query cannot be
 * read; -ENOBUFS, -ENOMEM. After a failure @out may hold a part.
 */
int sigv4_sign(const struct sigv4 *s, const char *head, size_t len, struct buf *out);
