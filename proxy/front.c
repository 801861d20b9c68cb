#include "proxy/front.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>

#include "lib/cleanup.h"
#include "proxy/exchange.h"
#include "proxy/http2.h"
#include "proxy/judge.h"

enum {
	LANE_HEAD_MAX = 4 * HTTP1_HEAD_MAX,
	/* A request as HTTP/1: the window, in chunks of one byte at the worst, and the head. */
	LANE_UP_MAX = 8 * H2_STREAM_WINDOW,
	LANE_DOWN_MAX = 128 * 1024,
	INTERNAL_ERROR = 2,
	REFUSED_STREAM = 7,
	CANCEL = 8,
};

enum lane_state {
	LANE_HEAD = 0, /* the answer's head, or a 1xx, is being collected */
	LANE_BODY,
	LANE_DONE, /* the answer was passed on, or there will be none */
};

struct front {
	struct conn *c;
	struct h2 *h2;
	struct timer timer; /* the lanes want to be looked at */
	TAILQ_HEAD(, lane) lanes;
};

struct lane {
	struct stream stream; /* what the inner connection holds; first */
	TAILQ_ENTRY(lane) link;
	struct front *front;  /* NULL: the client's connection is gone */
	struct h2_stream *st; /* NULL: the stream is over */
	struct conn *inner;   /* NULL: it has ended */
	enum lane_state state;
	char method[HTTP1_METHOD_MAX + 1];
	struct buf up, down; /* HTTP/1 towards the inner connection, and from it */
	bool is_chunked, is_up_ended, is_down_ended;
	size_t owed; /* body bytes in @up that the client's window lacks */
	size_t scan;
	struct http1_body body;
};

static struct lane *lane_of(struct stream *s)
{
	return (struct lane *)s;
}

static void schedule(struct lane *lane)
{
	if (lane->front && !lane->front->timer.at_ms)
		(void)timer_set(lane->front->c->px->loop, &lane->front->timer, 0);
}

static void lane_free(struct lane *lane)
{
	if (lane->front)
		TAILQ_REMOVE(&lane->front->lanes, lane, link);
	buf_done(&lane->up);
	buf_done(&lane->down);
	http1_body_done(&lane->body);
	free(lane);
}

/* ---- the inner connection's stream ---- */

/* What the inner connection has taken, the client may send anew. */
static void give_back(struct lane *lane, size_t n)
{
	if (n > lane->owed || !lane->up.len)
		n = lane->owed;
	lane->owed -= n;
	if (!n || !lane->st)
		return;
	h2_consume(lane->st, n);
	schedule(lane);
}

static ssize_t lane_recv(struct stream *s, void *out, size_t n)
{
	struct lane *lane = lane_of(s);

	if (!lane->st)
		return -ECONNRESET;
	if (!lane->up.len)
		return lane->is_up_ended ? 0 : -EAGAIN;
	if (n > lane->up.len)
		n = lane->up.len;
	memcpy(out, buf_head(&lane->up), n);
	buf_consume(&lane->up, n);
	give_back(lane, n);
	return (ssize_t)n;
}

static ssize_t lane_send(struct stream *s, const void *data, size_t n)
{
	struct lane *lane = lane_of(s);
	size_t room = buf_room(&lane->down);

	if (!lane->st)
		return -EPIPE;
	if (!room)
		return -EAGAIN;
	if (n > room)
		n = room;
	if (buf_append(&lane->down, data, n) < 0)
		return -ENOMEM;
	schedule(lane);
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

	lane->is_down_ended = true;
	schedule(lane);
	return 0;
}

static bool lane_has_pending(const struct stream *s)
{
	const struct lane *lane = (const struct lane *)s;

	return lane->up.len || lane->is_up_ended || !lane->st;
}

/* Asked whenever the inner connection says what it waits for: perhaps it is here already. */
static uint32_t lane_events(const struct stream *s, bool want_recv, bool want_send)
{
	if ((want_recv && lane_has_pending(s)) || want_send)
		schedule(lane_of((struct stream *)s));
	return (want_recv ? EPOLLIN : 0u) | (want_send ? EPOLLOUT : 0u);
}

static void lane_destroy(struct stream *s)
{
	struct lane *lane = lane_of(s);

	lane->inner = NULL;
	schedule(lane);
	if (!lane->st)
		lane_free(lane);
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

/* ---- up ---- */

static int put_chunk(struct buf *out, const char *data, size_t len)
{
	char head[CHUNKED_HEAD_MAX];
	int r = buf_append(out, head, chunked_head(head, len));

	if (r == 0)
		r = buf_append(out, data, len);
	return r < 0 ? r : buf_append(out, "\r\n", 2);
}

static int put_end(struct buf *out, const struct http1_header *trailers, size_t n)
{
	int r = buf_append(out, "0\r\n", 3);

	for (size_t i = 0; i < n && r == 0; i++)
		r = buf_printf(out, "%.*s: %.*s\r\n", (int)trailers[i].name_len, trailers[i].name,
			(int)trailers[i].value_len, trailers[i].value);
	return r < 0 ? r : buf_append(out, "\r\n", 2);
}

/* The target goes on as it was sent: exchange.c makes it canonical. */
static int write_request(struct lane *lane, const struct http1_request *rq)
{
	char target[HTTP1_HEAD_MAX + 1];
	struct http1_send s = { .method = rq->effective_method,
		.path = target,
		.authority = &rq->authority,
		.framing = rq->fields.framing,
		.content_length = rq->fields.content_length,
		.expect = rq->expect_continue,
		.close = true };

	if (rq->target_len >= sizeof(target))
		return -EMSGSIZE;
	memcpy(target, rq->target, rq->target_len);
	target[rq->target_len] = '\0';
	lane->is_chunked = rq->fields.framing == HTTP1_CHUNKED;
	return http1_request_write(&lane->up, &s, rq->fields.list, rq->fields.n);
}

static struct lane *lane_new(struct front *f, struct h2_stream *st)
{
	struct lane *lane = calloc(1, sizeof(*lane));

	if (!lane)
		return NULL;
	lane->stream = (struct stream){ .ops = &lane_ops, .fd = -1 };
	lane->front = f;
	lane->st = st;
	buf_init(&lane->up, LANE_UP_MAX);
	buf_init(&lane->down, LANE_DOWN_MAX);
	http1_body_init(&lane->body, HTTP1_NO_BODY, 0);
	TAILQ_INSERT_TAIL(&f->lanes, lane, link);
	h2_set_user(st, lane);
	return lane;
}

/* No lane: what could not be understood is answered here, after the log has it. */
static void refuse(struct front *f, struct h2_stream *st, unsigned int status, const char *why)
{
	static const struct http1_header json = { .name = "content-type",
		.name_len = 12,
		.value = "application/json",
		.value_len = 16,
		.id = HTTP1_CONTENT_TYPE };
	struct refusal r = { .status = status, .error = "invalid_request", .layer = LAYER_HTTP };
	char body[256];
	int n = snprintf(
		body, sizeof(body), "{\"error\":\"invalid_request\",\"detail\":\"%s\"}", why);
	struct http1_answer a = {
		.status = status, .framing = HTTP1_LENGTH, .content_length = (uint64_t)n
	};

	(void)snprintf(r.detail, sizeof(r.detail), "%s", why);
	judge_log_refusal(f->c, &r, "-", "/", "http-parser");
	if (log_flush(f->c->px->log) < 0 || h2_respond(st, &a, &json, 1) < 0) {
		h2_reset(st, INTERNAL_ERROR);
		return;
	}
	(void)h2_write(st, body, (size_t)n);
	(void)h2_end(st, NULL, 0);
}

static void on_request(void *arg, struct h2_stream *st, const struct http1_request *rq,
	unsigned int status, const char *why)
{
	struct front *f = arg;
	struct lane *lane;

	if (rq && rq->is_https != f->c->is_tls) {
		refuse(f, st, 400, "the scheme of the request is not that of the connection");
		return;
	}
	if (!rq) {
		refuse(f, st, status, why);
		return;
	}
	lane = f->c->px->n_conns < CONNS_MAX ? lane_new(f, st) : NULL;
	if (!lane) {
		h2_reset(st, REFUSED_STREAM);
		return;
	}
	memcpy(lane->method, rq->effective_method, sizeof(lane->method));
	if (write_request(lane, rq) < 0 || conn_new_inner(f->c, &lane->stream, &lane->inner) < 0) {
		h2_set_user(st, NULL);
		lane_free(lane);
		h2_reset(st, REFUSED_STREAM);
		return;
	}
	schedule(lane);
}

static void on_data(void *arg, struct h2_stream *st, const char *data, size_t len)
{
	struct lane *lane = h2_user(st);
	int r;

	(void)arg;
	if (!lane || !lane->inner || lane->state == LANE_DONE) {
		h2_consume(st, len);
		return;
	}
	lane->owed += len;
	r = lane->is_chunked ? put_chunk(&lane->up, data, len) : buf_append(&lane->up, data, len);
	if (r < 0)
		h2_reset(st, INTERNAL_ERROR);
	else
		schedule(lane);
}

static void on_end(void *arg, struct h2_stream *st, const struct http1_header *trailers, size_t n)
{
	struct lane *lane = h2_user(st);

	(void)arg;
	if (!lane)
		return;
	lane->is_up_ended = true;
	if (lane->is_chunked && put_end(&lane->up, trailers, n) < 0)
		h2_reset(st, INTERNAL_ERROR);
	schedule(lane);
}

static void on_room(void *arg, struct h2_stream *st)
{
	struct lane *lane = h2_user(st);

	(void)arg;
	if (lane)
		schedule(lane);
}

static void on_close(void *arg, struct h2_stream *st, uint32_t error)
{
	struct lane *lane = h2_user(st);

	(void)arg;
	(void)error;
	if (!lane)
		return;
	lane->st = NULL;
	lane->state = LANE_DONE;
	if (lane->inner)
		conn_close(lane->inner);
	else
		lane_free(lane);
}

static const struct h2_handler handler = { .on_request = on_request,
	.on_data = on_data,
	.on_end = on_end,
	.on_room = on_room,
	.on_close = on_close };

/* ---- down ---- */

static void lane_fail(struct lane *lane)
{
	lane->state = LANE_DONE;
	h2_reset(lane->st, INTERNAL_ERROR);
}

/* One head of the answer; false when it is not whole. */
static bool down_head(struct lane *lane)
{
	static struct http1_response rs;
	struct http1_answer a;
	const char *why;
	int n = http1_head_find(lane->down.len ? buf_head(&lane->down) : "", lane->down.len,
		LANE_HEAD_MAX, &lane->scan, &why);

	if (n == 0)
		return false;
	if (n < 0 || http1_response_parse(
			     &rs, buf_head(&lane->down), (size_t)n, lane->method, &why) < 0) {
		lane_fail(lane);
		return false;
	}
	a = (struct http1_answer){ .status = rs.status,
		.framing = rs.fields.framing,
		.content_length = rs.fields.content_length,
		.announces_length = rs.fields.framing == HTTP1_NO_BODY && rs.fields.has_length };
	lane->scan = 0;
	if (h2_respond(lane->st, &a, rs.fields.list, rs.fields.n) < 0) {
		lane_fail(lane);
		return false;
	}
	buf_consume(&lane->down, (size_t)n);
	if (rs.status >= 200) {
		http1_body_init(&lane->body, rs.fields.framing, rs.fields.content_length);
		lane->state = LANE_BODY;
	}
	return true;
}

static void down_end(struct lane *lane)
{
	const struct buf *t = &lane->body.chunked.trailers;
	static struct http1_fields f;
	const char *why;

	lane->state = LANE_DONE;
	f.n = 0;
	if (lane->body.framing == HTTP1_CHUNKED && t->len > 2 &&
		http1_trailers_parse(&f, buf_head(t), t->len, &why) < 0)
		h2_reset(lane->st, INTERNAL_ERROR);
	else if (h2_end(lane->st, f.list, f.n) < 0)
		h2_reset(lane->st, INTERNAL_ERROR);
}

/* Some of the body, as much as the stream takes; false when it can go no further now. */
static bool down_body(struct lane *lane)
{
	size_t room = h2_write_room(lane->st), len = lane->down.len, used = 0, n = 0;
	const char *data = NULL, *why;
	int r;

	if (!len && lane->is_down_ended && http1_body_may_end(&lane->body)) {
		down_end(lane);
		return false;
	}
	if (!room && lane->body.framing != HTTP1_NO_BODY && !http1_body_may_end(&lane->body))
		return false;
	r = http1_body_next(&lane->body, len ? buf_head(&lane->down) : "", len < room ? len : room,
		&used, &data, &n, &why);
	if (r < 0) {
		lane_fail(lane);
		return false;
	}
	if (r == CHUNKED_DATA && h2_write(lane->st, data, n) != n) {
		lane_fail(lane);
		return false;
	}
	buf_consume(&lane->down, used);
	if (r == CHUNKED_END)
		down_end(lane);
	return r == CHUNKED_DATA;
}

static void lane_down(struct lane *lane)
{
	bool go_on = true;

	while (go_on && lane->state != LANE_DONE)
		go_on = lane->state == LANE_HEAD ? down_head(lane) : down_body(lane);
}

/* Wakes the inner connection for what it waits for. */
static void lane_wake(struct lane *lane)
{
	struct side *s = &lane->inner->client;
	uint32_t events = 0;

	if (s->wants_recv && lane_has_pending(&lane->stream))
		events |= EPOLLIN;
	if (side_is_full(s) && buf_room(&lane->down))
		events |= EPOLLOUT;
	if (events)
		conn_poke(lane->inner, events);
}

/*
 * One lane: what came down goes on, the inner connection is woken, and when the answer has passed
 * it is not needed any more: what it used upstream was given back before its last byte was here.
 */
static void lane_run(struct lane *lane)
{
	if (lane->st)
		lane_down(lane);
	if (lane->inner && lane->state != LANE_DONE)
		lane_wake(lane);
	if (!lane->st || lane->state == LANE_DONE) {
		if (lane->inner)
			conn_close(lane->inner);
	} else if (!lane->inner && (lane->state == LANE_HEAD || !lane->down.len)) {
		/* It ended without an answer, or in the middle of one, and all it said is passed
		 * on. */
		lane_fail(lane);
	}
}

static void flush(struct front *f)
{
	struct conn *c = f->c;
	struct buf *out = &c->px->writing;

	while (!side_is_full(&c->client) && h2_wants_send(f->h2)) {
		int r = h2_send(f->h2, out);

		if (r == 0 && !out->len)
			break;
		if (r == 0)
			r = side_send(&c->client, buf_head(out), out->len);
		buf_reset(out);
		if (r < 0) {
			conn_close(c);
			return;
		}
	}
}

/* While requests run, they have deadlines of their own. */
static void set_deadline(struct front *f)
{
	struct conn *c = f->c;

	if (h2_count(f->h2))
		timer_clear(c->px->loop, &c->deadline);
	else if (!c->deadline.at_ms && timer_set(c->px->loop, &c->deadline, KEEPALIVE_MS) < 0)
		conn_close(c);
}

static void settle(struct front *f)
{
	struct conn *c = f->c;

	flush(f);
	if (c->state != CONN_H2)
		return;
	if (h2_is_done(f->h2) && !side_is_full(&c->client)) {
		conn_finish(c);
		return;
	}
	set_deadline(f);
	if (c->state == CONN_H2)
		(void)side_want(c->px->loop, &c->client, !side_is_full(&c->client));
}

static void run(struct front *f)
{
	struct lane *lane, *next;

	for (lane = TAILQ_FIRST(&f->lanes); lane; lane = next) {
		next = TAILQ_NEXT(lane, link);
		lane_run(lane);
	}
	settle(f);
}

static void on_timer(struct loop *loop, struct timer *t)
{
	(void)loop;
	run(container_of(t, struct front, timer));
}

/* ---- the client's connection ---- */

static bool take(struct front *f, const void *data, size_t len)
{
	if (h2_recv(f->h2, data, len) == 0)
		return true;
	/* A GOAWAY says why. */
	flush(f);
	if (f->c->state == CONN_H2)
		conn_finish(f->c);
	return false;
}

static void read_client(struct front *f)
{
	struct conn *c = f->c;
	size_t budget = PUMP_BUDGET;

	while (budget && !side_is_full(&c->client)) {
		ssize_t n = stream_recv(c->client.stream, c->px->scratch, sizeof(c->px->scratch));

		if (n == -EAGAIN)
			break;
		if (n <= 0) {
			conn_close(c);
			return;
		}
		if (!take(f, c->px->scratch, (size_t)n))
			return;
		budget -= (size_t)n < budget ? (size_t)n : budget;
	}
	if (!budget)
		(void)timer_set(c->px->loop, &c->again, 0);
}

void front_on_client(struct conn *c, uint32_t events)
{
	int r = events & EPOLLOUT ? side_flush(&c->client) : 0;

	if (r < 0 && r != -EAGAIN) {
		conn_close(c);
		return;
	}
	if (events & ~(uint32_t)EPOLLOUT || stream_has_pending(c->client.stream))
		read_client(c->front);
	if (c->state == CONN_H2)
		run(c->front);
}

void front_begin(struct conn *c)
{
	struct front *f = calloc(1, sizeof(*f));
	struct buf *in = &c->client.in;
	bool ok;

	if (!f) {
		conn_close(c);
		return;
	}
	c->front = f;
	f->c = c;
	f->timer.on_time = on_timer;
	TAILQ_INIT(&f->lanes);
	f->h2 = h2_new(H2_SERVER, &handler, f);
	conn_set_state(c, CONN_H2);
	if (!f->h2 || c->state != CONN_H2) {
		conn_close(c);
		return;
	}
	ok = !in->len || take(f, buf_head(in), in->len);
	buf_done(in);
	if (ok)
		front_on_client(c, EPOLLIN);
}

void front_on_deadline(struct conn *c)
{
	h2_shutdown(c->front->h2);
	flush(c->front);
	if (c->state == CONN_H2)
		conn_finish(c);
}

void front_close(struct conn *c)
{
	struct front *f = c->front;
	struct lane *lane;

	if (!f)
		return;
	timer_clear(c->px->loop, &f->timer);
	while ((lane = TAILQ_FIRST(&f->lanes))) {
		TAILQ_REMOVE(&f->lanes, lane, link);
		lane->front = NULL;
		lane->st = NULL;
		if (lane->inner)
			conn_close(lane->inner);
		else
			lane_free(lane);
	}
	h2_free(take_ptr(f->h2));
}

void front_free(struct front *f)
{
	free(f);
}
