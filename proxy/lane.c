#include "proxy/lane.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

static struct lane *lane_of(struct stream *s)
{
	return (struct lane *)s;
}

/* What the holder has received, the peer may send anew. */
static void give_back(struct lane *lane, size_t n)
{
	if (n > lane->owed || !lane->in.len)
		n = lane->owed;
	lane->owed -= n;
	if (!n || !lane->st)
		return;
	h2_consume(lane->st, n);
	lane->wake(lane);
}

static ssize_t lane_recv(struct stream *s, void *out, size_t n)
{
	struct lane *lane = lane_of(s);

	if (!lane->in.len && lane->is_in_ended)
		return 0;
	if (!lane->in.len)
		return lane->is_over ? -ECONNRESET : -EAGAIN;
	if (n > lane->in.len)
		n = lane->in.len;
	memcpy(out, buf_head(&lane->in), n);
	buf_consume(&lane->in, n);
	give_back(lane, n);
	return (ssize_t)n;
}

static ssize_t lane_send(struct stream *s, const void *data, size_t n)
{
	struct lane *lane = lane_of(s);
	size_t room = buf_room(&lane->out);

	if (lane->is_over)
		return -EPIPE;
	if (!room)
		return -EAGAIN;
	if (n > room)
		n = room;
	if (buf_append(&lane->out, data, n) < 0)
		return -ENOMEM;
	lane->wake(lane);
	return (ssize_t)n;
}

static int lane_nothing(struct stream *s)
{
	(void)s;
	return 0;
}

static int lane_shutdown(struct stream *s)
{
	struct lane *lane = lane_of(s);

	lane->is_out_ended = true;
	lane->wake(lane);
	return 0;
}

static bool lane_has_pending(const struct stream *s)
{
	const struct lane *lane = (const struct lane *)s;

	return lane->in.len || lane->is_in_ended || lane->is_over;
}

/* Asked whenever the holder says what it waits for: perhaps it is here already. */
static uint32_t lane_events(const struct stream *s, bool want_recv, bool want_send)
{
	struct lane *lane = lane_of((struct stream *)s);

	if ((want_recv && lane_has_pending(s)) || want_send)
		lane->wake(lane);
	return (want_recv ? EPOLLIN : 0u) | (want_send ? EPOLLOUT : 0u);
}

static void lane_destroy(struct stream *s)
{
	struct lane *lane = lane_of(s);

	lane->holder = NULL;
	lane->let_go(lane);
}

static const struct stream_ops lane_ops = {
	.recv = lane_recv,
	.send = lane_send,
	.handshake = lane_nothing,
	.flush = lane_nothing,
	.shutdown = lane_shutdown,
	.events = lane_events,
	.has_pending = lane_has_pending,
	.destroy = lane_destroy,
};

struct lane *lane_new(void *owner, void (*wake)(struct lane *), void (*let_go)(struct lane *))
{
	struct lane *lane = calloc(1, sizeof(*lane));

	if (!lane)
		return NULL;
	lane->stream = (struct stream){ .ops = &lane_ops, .fd = -1 };
	lane->owner = owner;
	lane->wake = wake;
	lane->let_go = let_go;
	buf_init(&lane->in, LANE_IN_MAX);
	buf_init(&lane->out, LANE_OUT_MAX);
	http1_body_init(&lane->body, HTTP1_NO_BODY, 0);
	return lane;
}

void lane_free(struct lane *lane)
{
	buf_done(&lane->in);
	buf_done(&lane->out);
	http1_body_done(&lane->body);
	free(lane);
}

int lane_put_data(struct lane *lane, const char *data, size_t len)
{
	int r;

	if (!len)
		return 0;
	if (lane->is_cut)
		return -EPIPE;
	r = lane->is_chunked ? chunked_put(&lane->in, data, len) : buf_append(&lane->in, data, len);
	if (r < 0) {
		lane->is_cut = true;
		return r;
	}
	lane->owed += len;
	lane->wake(lane);
	return 0;
}

static int put_last(struct buf *out, const struct http1_header *trailers, size_t n)
{
	int r = buf_append(out, "0\r\n", 3);

	for (size_t i = 0; i < n && r == 0; i++) {
		if (!trailers[i].is_hop)
			r = buf_printf(out, "%.*s: %.*s\r\n", (int)trailers[i].name_len,
				trailers[i].name, (int)trailers[i].value_len, trailers[i].value);
	}
	return r < 0 ? r : buf_append(out, "\r\n", 2);
}

int lane_put_end(struct lane *lane, const struct http1_header *trailers, size_t n)
{
	if (lane->is_cut)
		return -EPIPE;
	lane->is_in_ended = true;
	lane->wake(lane);
	return lane->is_chunked ? put_last(&lane->in, trailers, n) : 0;
}

static int pump_end(struct lane *lane)
{
	const struct buf *t = &lane->body.chunked.trailers;
	static struct http1_fields f;
	const char *why;
	int r = 0;

	lane->state = LANE_DONE;
	f.n = 0;
	if (lane->body.framing == HTTP1_CHUNKED && t->len > 2)
		r = http1_trailers_parse(&f, buf_head(t), t->len, &why);
	return r < 0 ? r : h2_end(lane->st, f.list, f.n);
}

/* One slice: 1 when there may be more, 0 when it can go no further now, -errno. */
static int pump_slice(struct lane *lane)
{
	size_t room = h2_write_room(lane->st), len = lane->out.len, used = 0, n = 0;
	bool may_end = http1_body_may_end(&lane->body);
	const char *data = NULL, *why;
	int r;

	if (!len && lane->is_out_ended)
		return may_end ? pump_end(lane) : -EPIPE;
	if (!room && (lane->body.framing == HTTP1_UNTIL_CLOSE || !may_end))
		return 0;
	r = http1_body_next(&lane->body, len ? buf_head(&lane->out) : "", len < room ? len : room,
		&used, &data, &n, &why);
	if (r < 0)
		return r;
	if (r == CHUNKED_DATA && h2_write(lane->st, data, n) != n)
		return -ENOMEM;
	buf_consume(&lane->out, used);
	if (r == CHUNKED_END)
		return pump_end(lane);
	return r == CHUNKED_DATA;
}

int lane_pump(struct lane *lane)
{
	int r = 1;

	while (r > 0 && lane->state == LANE_BODY)
		r = pump_slice(lane);
	return r;
}

uint32_t lane_due(const struct lane *lane, const struct side *s)
{
	uint32_t events = 0;

	if (s->wants_recv && lane_has_pending(&lane->stream))
		events |= EPOLLIN;
	if (side_is_full(s) && buf_room(&lane->out))
		events |= EPOLLOUT;
	return events;
}
