/*
 * The chunked transfer coding (RFC 9112 section 7.1), both ways, without copying.
 *
 * Strict: lines end in CRLF, sizes are plain hexadecimal without sign or prefix, extensions and
 * trailers are bounded and free of control bytes. Blanks around a size are taken, as some senders
 * pad it; sizes are never forwarded but written anew.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"

enum {
	CHUNKED_DIGITS_MAX = 16,      /* of a size, leading zeros included */
	CHUNKED_EXTENSION_MAX = 1024, /* bytes beside the digits on a size line */
	CHUNKED_TRAILERS_MAX = 8192,  /* all trailer lines of a body */
};

enum chunked_state {
	CHUNKED_SIZE = 0,  /* before or within the digits */
	CHUNKED_EXTENSION, /* after them, to the CR */
	CHUNKED_SIZE_LF,
	CHUNKED_BODY, /* left bytes of data to come */
	CHUNKED_BODY_CR,
	CHUNKED_BODY_LF,
	CHUNKED_TRAILER, /* collecting trailer lines up to the blank one */
	CHUNKED_DONE,
	CHUNKED_BROKEN, /* an error was reported; nothing more is taken */
};

struct chunked {
	enum chunked_state state;
	uint64_t left;
	unsigned int digits, extension; /* seen on this size line */
	bool is_blank;
	struct buf trailers; /* after CHUNKED_END: the trailer lines with the final blank line */
};

enum chunked_result { CHUNKED_MORE = 0, CHUNKED_DATA, CHUNKED_END };

void chunked_init(struct chunked *c);
void chunked_done(struct chunked *c);

/*
 * Takes some of @in: *ret_used bytes. CHUNKED_DATA: a slice of @in is data (call again with the
 * rest); CHUNKED_END: the body is complete; CHUNKED_MORE: all was used. -EBADMSG and the reason
 * for what is malformed or beyond a limit, -ENOMEM.
 */
int chunked_next(struct chunked *c, const char *in, size_t len, size_t *ret_used,
	const char **ret_data, size_t *ret_len, const char **ret_why);

/* Appends @len bytes as one chunk, @len above 0. -ENOMEM, or -ENOBUFS above the limit of @out. */
int chunked_put(struct buf *out, const char *data, size_t len);
/* What ends a body without trailers. */
#define CHUNKED_LAST "0\r\n\r\n"
