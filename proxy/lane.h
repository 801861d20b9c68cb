/*
 * Memory between one HTTP/2 stream and somebody who speaks HTTP/1.
 *
 * The holder (an inner connection, or an exchange's leg) has a struct stream like any other; what
 * it receives was written here from the frames that came, what it sends is taken apart and goes
 * out as frames. Room is bounded both ways: the peer's window is given back as the holder
 * receives, and the holder may send as the stream takes.
 *
 * Nothing happens within a call of the holder's: the owner is told by wake() and looks at the lane
 * in a turn of its own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "lib/buf.h"
#include "lib/http1.h"
#include "proxy/http2.h"
#include "proxy/side.h"
#include "proxy/stream.h"

enum {
	LANE_HEAD_MAX = 4 * HTTP1_HEAD_MAX,
	/* A message as HTTP/1: the window, in chunks of one byte at the worst, and the head. */
	LANE_IN_MAX = 8 * H2_STREAM_WINDOW,
	LANE_OUT_MAX = 128 * 1024,
};

enum lane_state {
	LANE_HEAD = 0, /* the head that the holder sends is being collected */
	LANE_BODY,     /* its body is being passed on */
	LANE_DONE,     /* all of it was passed on, or nothing more will be */
};

struct lane {
	struct stream stream;		   /* what the holder has; first */
	TAILQ_ENTRY(lane) link;		   /* the owner's */
	void *owner;			   /* struct front or struct back; NULL: gone */
	void *holder;			   /* struct conn or struct leg; NULL: gone */
	void (*wake)(struct lane *lane);   /* the owner should look at it */
	void (*let_go)(struct lane *lane); /* the holder has gone; may free the lane */
	struct h2_stream *st;		   /* NULL: not begun, or over */
	bool is_over;			   /* the stream is */
	enum lane_state state;
	char method[HTTP1_METHOD_MAX + 1]; /* of the request */
	struct buf in, out;		   /* what the holder receives, and what it sent */
	bool is_chunked;		   /* the body in @in */
	bool is_cut; /* part of it is lost: what the peer says then, its end above all, is nothing */
	bool is_in_ended, is_out_ended;
	size_t owed;	  /* body bytes in @in that the peer's window lacks */
	uint64_t done_ms; /* when LANE_DONE was reached, while the peer had not ended */
	size_t late;	  /* bytes that came after that and were thrown away */
	size_t scan;
	struct http1_body body; /* of @out */
};

/* NULL when out of memory. */
struct lane *lane_new(void *owner, void (*wake)(struct lane *), void (*let_go)(struct lane *));
void lane_free(struct lane *lane);

/* Frames that came: body, and the end with its trailers. 0, -ENOBUFS, -ENOMEM. */
int lane_put_data(struct lane *lane, const char *data, size_t len);
int lane_put_end(struct lane *lane, const struct http1_header *trailers, size_t n);

/*
 * Passes on what the holder sent of a body, as far as the stream takes it; lane->body was set up.
 * 0, or -errno when it is malformed.
 */
int lane_pump(struct lane *lane);

/* What the holder, with its side @s, waits for and could have now: EPOLLIN, EPOLLOUT. */
uint32_t lane_due(const struct lane *lane, const struct side *s);
