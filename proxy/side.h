/*
 * One side of a connection: a watched socket, the stream over it, bytes that were read and not
 * understood yet, and bytes that could not be sent yet. The client's side lives in struct conn,
 * the server's in struct leg.
 *
 * Idle sides hold no buffer: reads go to a scratch area of the process, and only what is left over
 * is kept.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/buf.h"
#include "lib/loop.h"
#include "proxy/stream.h"

struct side {
	struct watch w;
	struct stream *stream; /* owned; NULL before it is known what speaks */
	struct buf in;	       /* at most SIDE_IN_MAX */
	struct buf out;	       /* at most SEND_PENDING_MAX */
	bool wants_recv;
};

/* @fd is owned (closed by side_done()). */
void side_init(struct side *s, int fd, watch_fn *on_event, void (*destroy)(struct watch *w));
/* Releases everything but the watch, which the owner has buried; call it from its destroy(). */
void side_done(struct side *s);

/*
 * Sends, keeping what does not go: 0, -ENOBUFS when more is pending than SEND_PENDING_MAX, or what
 * the stream says. Check side_is_full() before reading more for this side.
 */
int side_send(struct side *s, const void *data, size_t len);
/* Sends what was kept: 0 when nothing is left, -EAGAIN, -errno. */
int side_flush(struct side *s);
static inline bool side_is_full(const struct side *s)
{
	return s->out.len > 0;
}

/*
 * Tells the kernel what this side waits for. Interest in reading is dropped lazily: only when the
 * kernel has reported something that was not wanted (side_is_unwanted()), because on a keep-alive
 * connection it would be wanted again a moment later.
 */
int side_want(struct loop *loop, struct side *s, bool recv);
/* First thing in a handler: true when the event only said what is not wanted now. */
bool side_is_unwanted(struct loop *loop, struct side *s, uint32_t events);
