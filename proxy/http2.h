/*
 * One HTTP/2 connection, either end of it: nghttp2 behind limits, without a socket.
 *
 * Bytes that arrived go into h2_recv(), which calls the owner's handler; bytes to send come out of
 * h2_send(). Heads are struct http1_request and struct http1_response, so that they are judged,
 * logged and forwarded by the code that serves HTTP/1. Body bytes count against the peer's
 * windows until the owner says h2_consume(): a far side that is slow stops this one.
 *
 * From within a handler everything may be called but h2_recv(), h2_send() and h2_free().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/http1.h"

struct h2;
struct h2_stream;

enum {
	H2_STREAMS_MAX = 100,	       /* concurrent requests of one client; beyond: refused */
	H2_STREAM_WINDOW = 256 * 1024, /* body bytes of one stream not yet consumed */
	H2_WINDOW = 1024 * 1024,       /* of all streams of a connection */
	H2_STREAM_OUT_MAX = 64 * 1024, /* body bytes of one stream waiting to be sent */
	H2_OUT_MAX = 64 * 1024,	       /* h2_send() stops when this much waits in the buffer */
	H2_DISCARD_MAX = 1024 * 1024,  /* of a body whose request is answered already: reset */
	H2_RESET_BURST = 200,	       /* RST_STREAM a peer may send at once (CVE-2023-44487) … */
	H2_RESET_RATE = 50,	       /* … and per second: then GOAWAY */
	H2_INTERIM_MAX = 128,	  /* 1xx answers to one request: GOAWAY */
	H2_FAULTS_MAX = 100,	  /* streams that broke the rules, so that we reset them: GOAWAY */
	H2_CONTINUATIONS_MAX = 8, /* CONTINUATION frames of one head (CVE-2024-28182): GOAWAY */
	H2_SETTINGS_MAX = 32,	  /* entries of one SETTINGS frame: GOAWAY */
	H2_ACKS_MAX = 256,	  /* PING and SETTINGS waiting for their answer to go: GOAWAY */
	H2_EMPTY_MAX = 100,	  /* DATA frames in a row that carry nothing (CVE-2019-9518): GOAWAY */
};

enum h2_role { H2_SERVER = 0 /* towards a client */, H2_CLIENT /* towards a server */ };

/* Any may be NULL. @st is dead after on_close(). */
struct h2_handler {
	/*
	 * Server: a request came; it must be answered. @rq and its slices live as long as @st.
	 * @rq is NULL when it cannot be understood: answer with @status (400, 431), @why says why.
	 */
	void (*on_request)(void *arg, struct h2_stream *st, const struct http1_request *rq,
		unsigned int status, const char *why);
	/* Client: an answer came, or a 1xx before it. NULL: it cannot be understood; the stream is
	 * reset. */
	void (*on_response)(
		void *arg, struct h2_stream *st, const struct http1_response *rs, const char *why);
	/* Bytes of the body, borrowed. To be consumed sooner or later. */
	void (*on_data)(void *arg, struct h2_stream *st, const char *data, size_t len);
	/* The peer's message is complete; its trailers live as long as @st. */
	void (*on_end)(
		void *arg, struct h2_stream *st, const struct http1_header *trailers, size_t n);
	/* Body bytes have left: h2_write_room() is more than before. Called from h2_send(). */
	void (*on_room)(void *arg, struct h2_stream *st);
	/* The stream is over: @error is 0 when both sides ended it (RFC 9113 section 7). */
	void (*on_close)(void *arg, struct h2_stream *st, uint32_t error);
	/* The peer broke the rules, so that a stream is reset or the connection ends with GOAWAY:
	 * @why, of static storage. Called before those frames leave. */
	void (*on_fault)(void *arg, const char *why);
};

/* The peer's settings and ours are exchanged from the first h2_send() on. NULL: out of memory. */
struct h2 *h2_new(enum h2_role role, const struct h2_handler *handler, void *arg);
/* Streams that are still open get no on_close(). NULL is fine. */
void h2_free(struct h2 *h);

/*
 * Bytes from the peer, all of them. 0; -EPROTO: the connection is beyond repair: send what
 * h2_send() still has (a GOAWAY), then close. -ENOMEM.
 */
int h2_recv(struct h2 *h, const void *data, size_t len);
/* Appends what is to be sent, until @out holds H2_OUT_MAX. 0 or -ENOMEM. */
int h2_send(struct h2 *h, struct buf *out);
bool h2_wants_send(const struct h2 *h);
/* Nothing will be received or sent any more: close. */
bool h2_is_done(const struct h2 *h);
/* Finishes the requests there are and takes no more. */
void h2_shutdown(struct h2 *h);
/* The peer has sent its settings: it does speak HTTP/2. */
bool h2_is_greeted(const struct h2 *h);
/* Open streams. */
unsigned int h2_count(const struct h2 *h);

/* Client: whether another request may be sent on this connection now. */
bool h2_can_request(const struct h2 *h);
/*
 * Client: sends a request. @s as for HTTP/1 (framing says whether a body follows), the fields of
 * @list but the hop-by-hop ones, and TE: trailers. 0, -EAGAIN (not now, another
 * connection), -EMSGSIZE, -ENOMEM.
 */
int h2_request(struct h2 *h, const struct http1_send *s, bool is_https,
	const struct http1_header *list, size_t n, struct h2_stream **ret);
/*
 * Server: sends an answer, or a 1xx before it; framing says whether a body follows. It may come
 * before the request has ended: what then follows is thrown away, up to H2_DISCARD_MAX.
 */
int h2_respond(struct h2_stream *st, const struct http1_answer *a, const struct http1_header *list,
	size_t n);

/* Takes body bytes to be sent: how many, 0 when there is no room (on_room() follows). */
size_t h2_write(struct h2_stream *st, const void *data, size_t len);
size_t h2_write_room(const struct h2_stream *st);
/* The body is complete; trailers follow if there are any. 0 or -ENOMEM. */
int h2_end(struct h2_stream *st, const struct http1_header *trailers, size_t n);
/* The owner has passed on @len bytes that on_data() gave it. */
void h2_consume(struct h2_stream *st, size_t len);
/* Ends the stream at once; @error of RFC 9113 section 7 (8: CANCEL). */
void h2_reset(struct h2_stream *st, uint32_t error);

void h2_set_user(struct h2_stream *st, void *user);
void *h2_user(const struct h2_stream *st);
