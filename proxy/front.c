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
#include "proxy/lane.h"

enum {
	NO_ERROR = 0,
	INTERNAL_ERROR = 2,
	REFUSED_STREAM = 7,
	LATE_MAX = 1024 * 1024, /* bytes of a request that nobody waits for; then it is reset */
};

struct front {
	struct conn *c;
	struct h2 *h2;
	struct timer timer;  /* the lanes want to be looked at */
	struct timer linger; /* clients that were answered have not ended their requests */
	TAILQ_HEAD(, lane) lanes;
};

static void wake(struct lane *lane)
{
	struct front *f = lane->owner;

	if (f && !f->timer.at_ms)
		(void)timer_set(f->c->px->loop, &f->timer, 0);
}

static void drop(struct lane *lane)
{
	struct front *f = lane->owner;

	if (f)
		TAILQ_REMOVE(&f->lanes, lane, link);
	/* The last one: the connection has a deadline of its own again. */
	if (f && TAILQ_EMPTY(&f->lanes))
		wake(lane);
	lane_free(lane);
}

static void let_go(struct lane *lane)
{
	if (lane->is_over)
		drop(lane);
	else
		wake(lane);
}

/* ---- up ---- */

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
	return http1_request_write(&lane->in, &s, rq->fields.list, rq->fields.n);
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
	lane = f->c->px->n_conns < CONNS_MAX ? lane_new(f, wake, let_go) : NULL;
	if (!lane || write_request(lane, rq) < 0 ||
		conn_new_inner(f->c, &lane->stream, (struct conn **)&lane->holder) < 0) {
		if (lane)
			lane_free(lane);
		h2_reset(st, REFUSED_STREAM);
		return;
	}
	memcpy(lane->method, rq->effective_method, sizeof(lane->method));
	lane->st = st;
	h2_set_user(st, lane);
	TAILQ_INSERT_TAIL(&f->lanes, lane, link);
	wake(lane);
}

static void on_data(void *arg, struct h2_stream *st, const char *data, size_t len)
{
	struct lane *lane = h2_user(st);

	(void)arg;
	if (!lane) {
		h2_consume(st, len);
		return;
	}
	if (!lane->holder || lane->state == LANE_DONE) {
		lane->late += len;
		h2_consume(st, len);
		if (lane->late > LATE_MAX)
			h2_reset(st, NO_ERROR);
		return;
	}
	if (lane_put_data(lane, data, len) < 0)
		h2_reset(st, INTERNAL_ERROR);
}

static void on_end(void *arg, struct h2_stream *st, const struct http1_header *trailers, size_t n)
{
	struct lane *lane = h2_user(st);

	(void)arg;
	if (lane && lane_put_end(lane, trailers, n) < 0)
		h2_reset(st, INTERNAL_ERROR);
}

static void on_room(void *arg, struct h2_stream *st)
{
	struct lane *lane = h2_user(st);

	(void)arg;
	if (lane)
		wake(lane);
}

/* The stream is over, so the inner connection is; the lane goes with it. */
static void end(struct lane *lane)
{
	lane->st = NULL;
	lane->is_over = true;
	lane->state = LANE_DONE;
	if (lane->holder)
		conn_close(lane->holder);
	else
		drop(lane);
}

static void on_close(void *arg, struct h2_stream *st, uint32_t error)
{
	struct lane *lane = h2_user(st);

	(void)arg;
	(void)error;
	if (!lane)
		return;
	end(lane);
}

/* No answer is possible any more: the log alone has the reason. */
static void on_fault(void *arg, const char *why)
{
	struct front *f = arg;
	struct refusal r = { .status = 400, .error = "invalid_request", .layer = LAYER_HTTP };

	(void)snprintf(r.detail, sizeof(r.detail), "%s", why);
	judge_log_refusal(f->c, &r, "-", "/", "http-parser");
	(void)log_flush(f->c->px->log);
}

static const struct h2_handler handler = { .on_request = on_request,
	.on_data = on_data,
	.on_end = on_end,
	.on_room = on_room,
	.on_close = on_close,
	.on_fault = on_fault };

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
	int n = http1_head_find(lane->out.len ? buf_head(&lane->out) : "", lane->out.len,
		LANE_HEAD_MAX, &lane->scan, &why);

	if (n == 0)
		return false;
	if (n < 0 || http1_response_parse(
			     &rs, buf_head(&lane->out), (size_t)n, lane->method, &why) < 0) {
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
	buf_consume(&lane->out, (size_t)n);
	if (rs.status >= 200) {
		http1_body_init(&lane->body, rs.fields.framing, rs.fields.content_length);
		lane->state = LANE_BODY;
	}
	return true;
}

static void lane_down(struct lane *lane)
{
	while (lane->state == LANE_HEAD && down_head(lane))
		;
	if (lane->state == LANE_BODY && lane_pump(lane) < 0)
		lane_fail(lane);
}

/* Answered before its request has ended: what still comes is thrown away, but not for ever. */
static void linger(struct lane *lane)
{
	struct front *f = lane->owner;

	if (!lane->st || lane->done_ms)
		return;
	lane->done_ms = loop_now_ms(f->c->px->loop);
	if (!f->linger.at_ms)
		(void)timer_set(f->c->px->loop, &f->linger, DRAIN_MS);
}

/*
 * One lane: what came down goes on, the inner connection is woken, and when the answer has passed
 * it is not needed any more: what it used upstream was given back before its last byte was here.
 */
static void lane_run(struct lane *lane)
{
	struct conn *inner = lane->holder;
	uint32_t events;

	if (lane->st)
		lane_down(lane);
	events = inner && lane->state != LANE_DONE ? lane_due(lane, &inner->client) : 0;
	if (events)
		conn_poke(inner, events);
	if (lane->state == LANE_DONE) {
		if (inner)
			conn_close(inner);
		linger(lane);
	} else if (!inner && (lane->state == LANE_HEAD || !lane->out.len)) {
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

	if (!TAILQ_EMPTY(&f->lanes))
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

static void on_linger(struct loop *loop, struct timer *t)
{
	struct front *f = container_of(t, struct front, linger);
	uint64_t now = loop_now_ms(loop);
	struct lane *lane;
	bool again = false;

	TAILQ_FOREACH (lane, &f->lanes, link) {
		if (!lane->done_ms || !lane->st)
			continue;
		if (now - lane->done_ms >= DRAIN_MS)
			h2_reset(lane->st, NO_ERROR);
		else
			again = true;
	}
	if (again)
		(void)timer_set(loop, &f->linger, DRAIN_MS);
	settle(f);
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
	f->linger.on_time = on_linger;
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

void front_retire(struct conn *c)
{
	h2_shutdown(c->front->h2);
	if (!c->front->timer.at_ms)
		(void)timer_set(c->px->loop, &c->front->timer, 0);
}

void front_close(struct conn *c)
{
	struct front *f = c->front;
	struct lane *lane;

	if (!f)
		return;
	timer_clear(c->px->loop, &f->timer);
	timer_clear(c->px->loop, &f->linger);
	while ((lane = TAILQ_FIRST(&f->lanes))) {
		TAILQ_REMOVE(&f->lanes, lane, link);
		lane->owner = NULL;
		end(lane);
	}
	h2_free(take_ptr(f->h2));
}

void front_free(struct front *f)
{
	free(f);
}
