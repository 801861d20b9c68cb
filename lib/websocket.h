/*
 * WebSocket frames from a client (RFC 6455 section 5, RFC 7692): text messages are put together
 * to be judged, everything else passes as it came.
 *
 * The server's direction is not parsed. The owner asks ws_next() with whatever bytes arrived and
 * sends on what it returns; a text message that was allowed is written anew with
 * ws_write_frame(), in one frame and uncompressed. The mask for that is the owner's, for nothing
 * here is random.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"

enum {
	WS_TEXT_MAX = 4 * 1024 * 1024, /* a text message, inflated too: close with 1009 */
	WS_RAW_MAX = 16 * 1024 * 1024, /* a binary or continuation frame: 1002 */
	WS_FRAGMENTS_MAX = 4096,       /* frames of one message: 1002 */
	WS_CONTROL_MAX = 125,
	WS_HEADER_MAX = 14,
	WS_ASSEMBLIES_MAX = 32, /* text messages being put together, for all connections: 1013 */
	WS_FRAGMENT_IDLE_MS = 30000,  /* between bytes of a message that is being put together */
	WS_MESSAGE_TOTAL_MS = 120000, /* from its first byte to its last */
	WS_KEEP_BUFFER = 65536,	      /* larger message buffers are released after the message */
};

enum ws_close {
	WS_CLOSE_NONE = 0,
	WS_CLOSE_PROTOCOL = 1002,
	WS_CLOSE_UTF8 = 1007,
	WS_CLOSE_POLICY = 1008,
	WS_CLOSE_TOO_BIG = 1009,
	WS_CLOSE_RELOAD = 1012, /* the policy changed */
	WS_CLOSE_CAPACITY = 1013,
};

enum ws_opcode { WS_CONTINUATION = 0, WS_TEXT, WS_BINARY, WS_CLOSE = 8, WS_PING, WS_PONG };

enum ws_state {
	WS_HEADER = 0,	 /* collecting a frame header */
	WS_CONTROL,	 /* collecting the payload of a control frame */
	WS_TEXT_PAYLOAD, /* unmasking into text */
	WS_RAW_PAYLOAD,	 /* passing a binary frame's payload */
	WS_CLOSED,	 /* the client's close frame passed; nothing may follow */
	WS_FAILED,	 /* an error was reported; nothing more is taken */
};

struct ws_parser {
	enum ws_state state;
	bool has_deflate; /* permessage-deflate is in force */
	bool deny_binary; /* binary messages are refused with 1008 */

	uint8_t raw[WS_HEADER_MAX + WS_CONTROL_MAX]; /* the frame's header, a control frame whole */
	size_t raw_len;
	uint8_t opcode;
	bool is_final;
	uint8_t mask[4];
	unsigned int mask_at;
	uint64_t left; /* of the payload */

	enum ws_opcode
		message; /* WS_TEXT or WS_BINARY while fragments are due, else CONTINUATION */
	unsigned int fragments;
	bool is_compressed;
	struct buf text, inflated;
};

void ws_parser_init(struct ws_parser *p, bool has_deflate, bool deny_binary);
void ws_parser_done(struct ws_parser *p);

/* Whether a text message is being put together: the owner's deadlines apply. */
bool ws_is_assembling(const struct ws_parser *p);

struct ws_item {
	const char *data; /* valid until the next call */
	size_t len;
	enum ws_close close; /* on error: the code to close both sides with */
	const char *why;
};

enum ws_result {
	WS_MORE = 0, /* all input was used */
	WS_PASS,     /* item: bytes to send to the server as they are */
	WS_MESSAGE,  /* item: a whole text message, valid UTF-8 */
};

/* Takes some of @in: *ret_used bytes. enum ws_result; -EBADMSG with close and why; -ENOMEM. */
int ws_next(struct ws_parser *p, const char *in, size_t len, size_t *ret_used, struct ws_item *ret);

/* Appends a final frame; @mask is 4 bytes towards a server, NULL towards a client. */
int ws_write_frame(struct buf *out, enum ws_opcode opcode, const void *payload, size_t len,
	const uint8_t *mask);
/* Appends a close frame; @reason is cut to what fits. */
int ws_write_close(struct buf *out, enum ws_close code, const char *reason, const uint8_t *mask);
