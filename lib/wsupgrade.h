/*
 * The opening handshake of WebSocket (RFC 6455 section 4) and the one extension that messages can
 * be judged under (RFC 7692): permessage-deflate without context takeover from the client.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct http1_fields;

enum {
	WS_PROTOCOLS_MAX = 32, /* subprotocols offered */
	WS_KEY_LEN = 24,       /* base64 of 16 bytes */
	WS_ACCEPT_SIZE = 29,   /* base64 of a SHA-1, with NUL */
};

#define WS_DEFLATE_OFFER      "permessage-deflate; client_no_context_takeover"
#define WS_DEFLATE_OFFER_BOTH WS_DEFLATE_OFFER "; server_no_context_takeover"

struct ws_upgrade {
	const char *key; /* WS_KEY_LEN bytes within the head */
	struct {
		const char *name;
		size_t len;
	} protocols[WS_PROTOCOLS_MAX];
	size_t n_protocols;
	/*
	 * What may be offered to the server when messages are to be read: one of the two constants
	 * above, or NULL when the client offered nothing that can be followed.
	 */
	const char *extension;
};

/*
 * Whether the request is a valid upgrade: GET, 1.1, Connection: upgrade, Upgrade: websocket, one
 * Sec-WebSocket-Key of 16 bytes, Sec-WebSocket-Version 13 once, well-formed lists. 0 or -EBADMSG.
 */
int ws_upgrade_parse(struct ws_upgrade *ret, const char *method, unsigned int minor,
	const struct http1_fields *f, const char **ret_why);

/* Sec-WebSocket-Accept for @key (WS_KEY_LEN bytes). */
void ws_accept(char ret[WS_ACCEPT_SIZE], const char *key);

/*
 * Whether the server's 101 answers that upgrade: one matching Sec-WebSocket-Accept, a subprotocol
 * that was offered or none, and the extension in @offered (NULL: none was sent on) or none.
 * @ret_deflate: compression is in force. 0 or -EBADMSG.
 *
 * With @is_opaque the frames are not going to be read, and any extension passes.
 */
int ws_answer_check(const struct ws_upgrade *u, const struct http1_fields *f, const char *offered,
	bool is_opaque, bool *ret_deflate, const char **ret_why);
