#include "proxy/back.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>

#include "lib/cleanup.h"
#include "proxy/conn.h"
#include "proxy/http2.h"
#include "proxy/lane.h"
#include "proxy/tls.h"

enum { INTERNAL_ERROR = 2, CANCEL = 8 };

struct back {
	struct side side;
	TAILQ_ENTRY(back) link; /* proxy->backs */
	struct h2 *h2;
	struct target *target; /* one reference */
	struct timer run;      /* the lanes want to be looked at */
	struct timer idle;     /* nobody used it for a while */
	TAILQ_HEAD(, lane) lanes;
	unsigned int n_lanes;
	bool is_tls;
	bool is_forgotten; /* takes no further request */
	const char *fault; /* the last thing that was wrong with what the server sent; or NULL */
};

static struct proxy *px_of(const struct back *b)
{
	return b->target->px;
}

static void wake(struct lane *lane)
{
	struct back *b = lane->owner;

	if (b && !b->run.at_ms)
		(void)timer_set(px_of(b)->loop, &b->run, 0);
}

static void drop(struct lane *lane)
{
	struct back *b = lane->owner;

	if (b) {
		TAILQ_REMOVE(&b->lanes, lane, link);
		b->n_lanes--;
		wake(lane);
	}
	lane_free(lane);
}

/* The exchange is done with it, or gave up: then the server hears of it. */
static void let_go(struct lane *lane)
{
	if (!lane->st) {
		drop(lane);
		return;
	}
	h2_reset(lane->st, CANCEL);
	wake(lane);
}

/* ---- what came from the server ---- */

/* The stream ended with its head, where a body might have been: gRPC's errors come so. */
static bool is_empty(const struct lane *lane, const struct http1_response *rs)
{
	return rs->fields.framing == HTTP1_NO_BODY && !rs->fields.has_length && rs->status >= 200 &&
	       rs->status != 204 && rs->status != 304 && strcmp(lane->method, "HEAD") != 0;
}

/* Written as HTTP/1; a body of unknown length is sent in chunks. */
static void on_response(
	void *arg, struct h2_stream *st, const struct http1_response *rs, const char *why)
{
	struct lane *lane = h2_user(st);
	struct http1_answer a;

	(void)arg;
	(void)why;
	if (!rs || !lane->holder)
		return; /* reset, or nobody waits */
	a = (struct http1_answer){ .status = rs->status,
		.framing = rs->fields.framing,
		.content_length = rs->fields.content_length,
		.announces_length = rs->fields.framing == HTTP1_NO_BODY && rs->fields.has_length };
	if (is_empty(lane, rs))
		a.framing = HTTP1_LENGTH;
	lane->is_chunked = rs->fields.framing == HTTP1_CHUNKED;
	if (http1_response_write(&lane->in, &a, rs->fields.list, rs->fields.n) < 0)
		h2_reset(st, INTERNAL_ERROR);
	wake(lane);
}

static void on_data(void *arg, struct h2_stream *st, const char *data, size_t len)
{
	struct lane *lane = h2_user(st);

	(void)arg;
	if (!lane->holder)
		h2_consume(st, len);
	else if (lane_put_data(lane, data, len) < 0)
		h2_reset(st, INTERNAL_ERROR);
}

static void on_end(void *arg, struct h2_stream *st, const struct http1_header *trailers, size_t n)
{
	struct lane *lane = h2_user(st);

	(void)arg;
	if (lane_put_end(lane, trailers, n) < 0)
		h2_reset(st, INTERNAL_ERROR);
}

static void on_room(void *arg, struct h2_stream *st)
{
	(void)arg;
	wake(h2_user(st));
}

/* The exchange reads what there is, and then an end or an error. */
static void end(struct lane *lane)
{
	const struct back *b = lane->owner;

	lane->st = NULL;
	lane->is_over = true;
	lane->state = LANE_DONE;
	lane->stream.why = b ? b->fault : lane->stream.why;
	if (lane->holder)
		wake(lane);
	else
		drop(lane);
}

static void on_close(void *arg, struct h2_stream *st, uint32_t error)
{
	struct back *b = arg;

	(void)error;
	end(h2_user(st));
	b->fault = NULL; /* another stream that ends has reasons of its own */
}

static void on_fault(void *arg, const char *why)
{
	((struct back *)arg)->fault = why;
}

static const struct h2_handler handler = { .on_response = on_response,
	.on_data = on_data,
	.on_end = on_end,
	.on_room = on_room,
	.on_close = on_close,
	.on_fault = on_fault };

/* ---- what goes to the server ---- */

static int submit(struct back *b, struct lane *lane, const struct http1_request *rq)
{
	char target[HTTP1_HEAD_MAX + 1];
	struct http1_send s = { .method = rq->method,
		.path = target,
		.authority = &rq->authority,
		.default_port = b->is_tls ? 443 : 80,
		.framing = rq->fields.framing,
		.content_length = rq->fields.content_length };
	int r;

	if (rq->target_len >= sizeof(target))
		return -EMSGSIZE;
	memcpy(target, rq->target, rq->target_len);
	target[rq->target_len] = '\0';
	r = h2_request(b->h2, &s, b->is_tls, rq->fields.list, rq->fields.n, &lane->st);
	if (r == 0)
		h2_set_user(lane->st, lane);
	return r;
}

/* The head of the request is here: false when it is not whole, or was refused. */
static bool up_head(struct back *b, struct lane *lane)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	static struct http1_request rq;
	const char *why;
	int n = http1_head_find(lane->out.len ? buf_head(&lane->out) : "", lane->out.len,
		LANE_HEAD_MAX, &lane->scan, &why);

	if (n == 0)
		return false;
	if (n < 0 || http1_request_parse(&rq, buf_head(&lane->out), (size_t)n, &why) < 0 ||
		submit(b, lane, &rq) < 0) {
		end(lane);
		return false;
	}
	/* HTTP/2 has windows for that: nobody needs to be asked. */
	if (rq.expect_continue)
		(void)buf_append(&lane->in, go_on, sizeof(go_on) - 1);
	buf_consume(&lane->out, (size_t)n);
	memcpy(lane->method, rq.method, sizeof(lane->method));
	http1_body_init(&lane->body, rq.fields.framing, rq.fields.content_length);
	lane->state = LANE_BODY;
	return true;
}

static void lane_up(struct back *b, struct lane *lane)
{
	if (lane->state == LANE_HEAD)
		(void)up_head(b, lane);
	if (lane->state == LANE_BODY && lane_pump(lane) < 0) {
		lane->state = LANE_DONE;
		h2_reset(lane->st, INTERNAL_ERROR);
	}
}

static void lane_run(struct back *b, struct lane *lane)
{
	struct leg *leg = lane->holder;
	uint32_t events;

	if (!leg)
		return;
	lane_up(b, lane);
	events = leg->state == LEG_BUSY ? lane_due(lane, &leg->side) : 0;
	if (events)
		conn_on_leg_event(leg->conn, events);
}

/* ---- the connection ---- */

static void back_destroy(struct watch *w)
{
	struct back *b = container_of(w, struct back, side.w);

	side_done(&b->side);
	target_unref(b->target);
	free(b);
}

/* Ends it, and every exchange on it: each sees what it had, then an error. */
static void back_close(struct back *b)
{
	struct proxy *px = px_of(b);
	struct lane *lane;
	SSL *ssl;

	if (b->side.w.is_dead)
		return;
	timer_clear(px->loop, &b->run);
	timer_clear(px->loop, &b->idle);
	TAILQ_REMOVE(&px->backs, b, link);
	if (!b->is_tls && b->side.w.fd >= 0 && !h2_is_greeted(b->h2))
		b->target->is_plain_http1 = true;
	ssl = stream_ssl(b->side.stream);
	if (ssl)
		tls_set_arg(ssl, NULL);
	h2_free(take_ptr(b->h2));
	watch_bury(px->loop, &b->side.w);
	while ((lane = TAILQ_FIRST(&b->lanes))) {
		struct leg *leg = lane->holder;

		TAILQ_REMOVE(&b->lanes, lane, link);
		lane->stream.why = b->fault;
		lane->owner = NULL;
		end(lane);
		if (leg && leg->state == LEG_BUSY)
			conn_on_leg_event(leg->conn, EPOLLIN);
	}
}

static void flush(struct back *b)
{
	struct buf *out = &px_of(b)->writing;

	while (!side_is_full(&b->side) && h2_wants_send(b->h2)) {
		int r = h2_send(b->h2, out);

		if (r == 0 && !out->len)
			break;
		if (r == 0)
			r = side_send(&b->side, buf_head(out), out->len);
		buf_reset(out);
		if (r < 0) {
			back_close(b);
			return;
		}
	}
}

static void settle(struct back *b)
{
	struct proxy *px = px_of(b);

	flush(b);
	if (b->side.w.is_dead)
		return;
	/* With requests on it, too, when it was ended over what the server sent. */
	if (h2_is_done(b->h2) ||
		(!b->n_lanes && (b->is_forgotten || b->target->generation != px->now.number))) {
		back_close(b);
		return;
	}
	if (b->n_lanes)
		timer_clear(px->loop, &b->idle);
	else if (!b->idle.at_ms)
		(void)timer_set(px->loop, &b->idle, POOL_IDLE_MS);
	(void)side_want(px->loop, &b->side, true);
}

static void run(struct back *b)
{
	struct lane *lane, *next;

	for (lane = TAILQ_FIRST(&b->lanes); lane && !b->side.w.is_dead; lane = next) {
		next = TAILQ_NEXT(lane, link);
		lane_run(b, lane);
	}
	if (!b->side.w.is_dead)
		settle(b);
}

static void read_server(struct back *b);

/* Bytes that TLS has read ahead are announced by nobody: they may be all that is to come. */
static void on_run(struct loop *loop, struct timer *t)
{
	struct back *b = container_of(t, struct back, run);

	(void)loop;
	if (stream_has_pending(b->side.stream))
		read_server(b);
	if (!b->side.w.is_dead)
		run(b);
}

static void on_idle(struct loop *loop, struct timer *t)
{
	(void)loop;
	back_close(container_of(t, struct back, idle));
}

static void read_server(struct back *b)
{
	struct proxy *px = px_of(b);
	size_t budget = PUMP_BUDGET;

	while (budget) {
		ssize_t n = stream_recv(b->side.stream, px->scratch, sizeof(px->scratch));

		if (n == -EAGAIN)
			return;
		if (n <= 0 || h2_recv(b->h2, px->scratch, (size_t)n) < 0) {
			if (n > 0 && !b->fault)
				b->fault = "the server does not keep to HTTP/2";
			back_close(b);
			return;
		}
		budget -= (size_t)n < budget ? (size_t)n : budget;
	}
	(void)timer_set(px->loop, &b->run, 0);
}

static void on_event(struct loop *loop, struct watch *w, uint32_t events)
{
	struct back *b = container_of(w, struct back, side.w);
	int r = events & EPOLLOUT ? side_flush(&b->side) : 0;

	(void)loop;
	if (r < 0 && r != -EAGAIN) {
		back_close(b);
		return;
	}
	read_server(b);
	if (!b->side.w.is_dead)
		run(b);
}

static struct back *back_new(struct target *t, bool is_tls)
{
	struct back *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->h2 = h2_new(H2_CLIENT, &handler, b);
	if (!b->h2) {
		free(b);
		return NULL;
	}
	side_init(&b->side, -1, on_event, back_destroy);
	b->target = t;
	t->refs++;
	b->is_tls = is_tls;
	b->run.on_time = on_run;
	b->idle.on_time = on_idle;
	TAILQ_INIT(&b->lanes);
	TAILQ_INSERT_TAIL(&t->px->backs, b, link);
	return b;
}

int back_join(struct back *b, struct leg *leg)
{
	struct lane *lane = lane_new(b, wake, let_go);

	if (!lane)
		return -ENOMEM;
	TAILQ_INSERT_TAIL(&b->lanes, lane, link);
	b->n_lanes++;
	lane->holder = leg;
	leg->side.stream = &lane->stream;
	/* A stream that the server refuses may be tried again elsewhere. */
	leg->is_reused = true;
	return 0;
}

int back_adopt(struct leg *leg)
{
	struct back *b = back_new(leg->target, leg->is_tls);
	struct stream *stream = leg->side.stream;
	int fd = leg->side.w.fd;

	if (!b)
		return -ENOMEM;
	(void)watch_set(px_of(b)->loop, &leg->side.w, 0);
	if (back_join(b, leg) < 0) {
		back_close(b);
		return -ENOMEM;
	}
	leg->side.w.fd = -1;
	b->side.w.fd = fd;
	b->side.stream = stream;
	(void)timer_set(px_of(b)->loop, &b->run, 0);
	return 0;
}

struct back *back_find(const struct target *t, bool is_tls)
{
	struct back *b;

	TAILQ_FOREACH (b, &t->px->backs, link)
		if (b->target == t && b->is_tls == is_tls && !b->is_forgotten &&
			b->n_lanes < H2_STREAMS_MAX && h2_can_request(b->h2))
			return b;
	return NULL;
}

void backs_retire(struct proxy *px, uint32_t generation)
{
	struct back *b, *next;

	for (b = TAILQ_FIRST(&px->backs); b; b = next) {
		next = TAILQ_NEXT(b, link);
		if (b->target->generation != generation && !b->n_lanes)
			back_close(b);
	}
}

void backs_forget(struct proxy *px)
{
	struct back *b, *next;

	for (b = TAILQ_FIRST(&px->backs); b; b = next) {
		next = TAILQ_NEXT(b, link);
		b->is_forgotten = true;
		if (!b->n_lanes)
			back_close(b);
	}
}
