/*
 * The first flight of a TLS client, read before anything is decided: server name, application
 * protocols, versions (RFC 8446 section 4.1.2, RFC 6066 section 3, RFC 7301).
 *
 * The owner keeps the bytes (they are handed to the TLS library or relayed afterwards) and asks
 * again when more have come. Nothing is copied but the name, nothing is allocated. A ClientHello
 * may come in any number of segments, over several records, with key shares of any size.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/url.h"

enum {
	TLSHELLO_MAX = 65536,	   /* bytes of a ClientHello, record headers included */
	TLSHELLO_RECORDS_MAX = 64, /* records it may be spread over */
	TLSHELLO_EXTENSIONS_MAX = 128,
};

enum tlshello_result {
	TLSHELLO_MORE = 0, /* could be a ClientHello, and is not whole yet */
	TLSHELLO_OK,
	TLSHELLO_NOT_TLS, /* something else */
	TLSHELLO_BAD,	  /* TLS, but malformed, beyond a limit, or SSLv2 */
};

struct tlshello {
	struct url_authority name; /* .host is "" when there is no server name */
	uint16_t max_version;	   /* the highest of SSL 3.0 to TLS 1.3 that is offered */
	bool has_alpn, offers_h2, offers_http11;
	bool has_ech; /* an encrypted ClientHello (or what looks like one): the name is the outer
			 one */
	bool has_early_data;
	size_t len; /* bytes of @data that are the ClientHello */
};

/* @ret is set with OK, @ret_why with BAD. */
enum tlshello_result tlshello_parse(
	struct tlshello *ret, const char *data, size_t len, const char **ret_why);
