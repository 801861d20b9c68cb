/*
 * The client's half of a request: its head, and the body where rules look into it, is collected,
 * judged, and written anew into a buffer that stays with the connection; or it is answered here.
 */
#include "proxy/exchange.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "lib/inference.h"
#include "proxy/deny.h"
#include "proxy/exchange_internal.h"
#include "proxy/inference.h"
#include "proxy/inject.h"
#include "proxy/inspect.h"
#include "proxy/judge.h"
#include "proxy/request.h"
#include "proxy/tunnel.h"

enum { HEAD_KEEP = 4096 }; /* a larger buffer is not kept for the next request */

static void reset(struct exchange *ex)
{
	struct buf head = ex->head, path = ex->path;

	http1_body_done(&ex->up);
	http1_body_done(&ex->down);
	inference_call_done(&ex->call);
	*ex = (struct exchange){ .head = head, .path = path };
	if (head.alloc > HEAD_KEEP)
		buf_done(&ex->head);
	buf_reset(&ex->head);
	buf_reset(&ex->path);
}

/* ---- refusing ---- */

const char *exchange_path(struct conn *c)
{
	return c->ex.path.len ? buf_cstr(&c->ex.path) : "/"; /* what holds bytes has room for its NUL */
}

static const char *method_text(const struct conn *c)
{
	return c->ex.method[0] ? c->ex.method : "-";
}

static void send_refusal(struct conn *c)
{
	bool keep = c->ex.keep_client && !(c->refusal && c->refusal->is_stale);

	if (side_send(&c->client, buf_head(&c->ex.head), c->ex.head.len) < 0)
		conn_close(c);
	else if (keep)
		exchange_next(c);
	else
		conn_finish(c);
}

/* The answer is put together now, while its facts are at hand, and sent once it is in the log. */
static void refuse(struct conn *c, const struct refusal *r, bool keep)
{
	c->ex.keep_client = keep;
	buf_reset(&c->ex.head);
	if (deny_response(&c->ex.head, c, r, method_text(c), exchange_path(c), !keep) < 0)
		conn_close(c);
	else
		conn_commit(c, send_refusal);
}

/* One request at a time: see request.h. */
static struct judged now;

/* After a refusal only a request without a body leaves the connection in step. */
static bool may_keep(void)
{
	const struct http1_fields *f = &now.rq.fields;

	return now.rq.keep_alive && now.rq.minor > 0 && (f->framing == HTTP1_NO_BODY ||
					    (f->framing == HTTP1_LENGTH && f->content_length == 0));
}

void exchange_fault(struct conn *c, unsigned int status, const char *error, const char *engine,
	const char *fmt, ...)
{
	struct refusal r = { .status = status, .error = error, .layer = LAYER_HTTP };
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(r.detail, sizeof(r.detail), fmt, ap);
	va_end(ap);
	judge_log_refusal(c, &r, method_text(c), exchange_path(c), engine);
	refuse(c, &r, false);
}

static void out_of_memory(struct conn *c)
{
	exchange_fault(c, 503, "overloaded", "http-parser", "no memory for the request");
}

static void bad_request(struct conn *c, int r, const char *why)
{
	now.rq.effective_method[0] = '\0';
	now.target.path[0] = '\0';
	request_unreadable(c, &now, r, why);
	refuse(c, &now.refusal, false);
}

/* ---- collecting and judging ---- */

static int write_request(struct conn *c)
{
	struct exchange *ex = &c->ex;
	struct url_authority own;
	struct http1_send s;
	int r;

	if (c->is_inference)
		return inference_write(c, &now);
	r = request_to_send(c, &now, &s, &own);
	ex->is_last_up = s.close;
	ex->is_upgrade = now.rq.upgrade == HTTP1_UPGRADE_WEBSOCKET;
	if (r == 0 && ex->is_upgrade)
		r = tunnel_prepare(c, &now.rq, &now.inspection, &s);
	if (r < 0)
		return r;
	buf_reset(&ex->head);
	r = http1_request_write(&ex->head, &s, now.rq.fields.list, now.rq.fields.n);
	if (r == 0)
		inject_note(c, &now, ex->head.len);
	return r;
}

/* The whole body is here already, which is usual for small ones: one record carries it all. */
static int take_small_body(struct conn *c, const char **rest, size_t *len)
{
	struct exchange *ex = &c->ex;
	uint64_t want = now.rq.fields.content_length;
	int r;

	if (now.body.data) {
		ex->is_up_done = true;
		return buf_append(&ex->head, now.body.data, now.body.len);
	}
	if (ex->up.framing != HTTP1_LENGTH || *len < want)
		return 0;
	if (!inject_scan(c, *rest, (size_t)want))
		ex->inject.is_wanted = true; /* and will be refused */
	r = buf_append(&ex->head, *rest, (size_t)want);
	if (r < 0)
		return r;
	*rest += want;
	*len -= (size_t)want;
	ex->is_up_done = true;
	return 0;
}

/* Allowed: the request as it will go up is written, and what followed it is kept. */
static int accept_request(struct conn *c, const char **rest, size_t *len)
{
	struct exchange *ex = &c->ex;
	int r;

	ex->keep_client = now.rq.keep_alive;
	ex->minor = now.rq.minor;
	http1_body_init(&ex->up, now.rq.fields.framing, now.rq.fields.content_length);
	ex->is_up_done = now.rq.fields.framing == HTTP1_NO_BODY;
	r = write_request(c);
	return r < 0 ? r : take_small_body(c, rest, len);
}

static size_t body_max(const struct conn *c)
{
	return c->is_inference ? INFERENCE_BODY_MAX : inspect_body_max(&now.inspection, &now.rq);
}

/* The rules look into the body and some of it is missing: nothing is decided before it is here. */
static void collect_body(struct conn *c)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

	c->client.in.max = HTTP1_HEAD_MAX + 2 * body_max(c) + SCRATCH_SIZE;
	conn_set_state(c, CONN_BODY);
	if (!now.rq.expect_continue || c->has_said_continue)
		return;
	c->has_said_continue = true;
	if (side_send(&c->client, go_on, sizeof(go_on) - 1) < 0)
		conn_close(c);
}

/* Audit would like to know what the body asks for, but not at any price. */
static void await_guess(struct conn *c)
{
	uint64_t now_ms = loop_now_ms(c->px->loop);

	if (!c->guess_until_ms)
		c->guess_until_ms = now_ms + GUESS_MS;
	c->client.in.max = HTTP1_HEAD_MAX + 2 * GUESS_BODY_MAX + SCRATCH_SIZE;
	conn_set_state(c, CONN_BODY);
	if (c->state == CONN_BODY &&
		timer_set(c->px->loop, &c->deadline,
			c->guess_until_ms > now_ms ? (unsigned int)(c->guess_until_ms - now_ms)
						   : 0) < 0)
		conn_close(c);
}

/*
 * What is known of the request for the log, for the next generation, and for what is judged later: messages,
 * credentials.
 */
static int note_request(struct conn *c)
{
	memcpy(c->ex.method, request_method(&now), strlen(request_method(&now)) + 1);
	return buf_puts(&c->ex.path, request_path(&now));
}

/*
 * A whole head: @rest (@len bytes) follows it. @rest moves past a body that was taken along. All
 * of the parsed form points into the bytes of the caller and is used up when this returns.
 */
static void request_taken(struct conn *c, const char *head, size_t head_len, const char **rest,
	size_t *len)
{
	const char *why = NULL;
	enum request_outcome outcome;
	int r;

	r = http1_request_parse(&now.rq, head, head_len, &why);
	if (r < 0) {
		bad_request(c, r, why);
		return;
	}
	outcome = request_judge(c, &now, rest, len);
	if (note_request(c) < 0) {
		out_of_memory(c);
	} else if (outcome == REQUEST_REFUSED) {
		/* Malformed requests leave nothing in step; decided ones do. */
		refuse(c, &now.refusal, may_keep() && now.refusal.status == 403 && !c->is_inference);
	} else if (outcome == REQUEST_INCOMPLETE) {
		collect_body(c);
	} else if (outcome == REQUEST_GUESSING) {
		await_guess(c);
	} else {
		r = accept_request(c, rest, len);
		if (r < 0)
			out_of_memory(c);
		else if (!c->ex.inject.is_wanted || inject_check(c) == 0)
			conn_commit(c, exchange_send);
	}
}

/* The bytes from @rest on stay in the client's buffer, wherever they came from. */
static void keep_rest(struct conn *c, const char *rest, size_t len)
{
	struct buf *in = &c->client.in;

	if (c->state == CONN_CLOSED)
		return;
	if (in->len) {
		buf_consume(in, in->len - len);
		if (!in->len)
			buf_done(in);
	} else if (len && buf_append(in, rest, len) < 0) {
		conn_close(c);
	}
}

/* First bytes of a head are here: the rest has to follow soon. */
static void request_wait(struct conn *c, bool is_started)
{
	if (is_started && timer_set(c->px->loop, &c->deadline, HEAD_MS) < 0)
		conn_close(c);
	else if (side_want(c->px->loop, &c->client, true) < 0)
		conn_close(c);
}

static void request_found(struct conn *c, const char *data, size_t len, size_t head_len)
{
	const char *rest = data + head_len;
	size_t left = len - head_len;

	reset(&c->ex);
	request_taken(c, data, head_len, &rest, &left);
	if (c->state == CONN_BODY) {
		rest = data;
		left = len;
	}
	keep_rest(c, rest, left);
	if (c->state == CONN_BODY)
		request_wait(c, false);
}

/* Looks for a head in what is here: true when the matter is settled for this turn. */
static bool request_scan(struct conn *c, const char *data, size_t len)
{
	size_t max = c->is_forward ? (size_t)HTTP1_PROXY_HEAD_MAX : (size_t)HTTP1_HEAD_MAX;
	const char *why = NULL;
	int r = http1_head_find(data, len, max, &c->ex.scan_up, &why);

	if (r == 0)
		return false;
	c->ex.scan_up = 0;
	if (r > 0) {
		request_found(c, data, len, (size_t)r);
	} else {
		reset(&c->ex);
		bad_request(c, r, why);
	}
	return true;
}

/* The head and what is there of its body are in the client's buffer: all of it again. */
static void request_again(struct conn *c)
{
	const char *why = NULL;
	size_t scan = 0;
	int r;

	r = http1_head_find(buf_head(&c->client.in), c->client.in.len, HTTP1_HEAD_MAX, &scan, &why);
	if (r > 0)
		request_found(c, buf_head(&c->client.in), c->client.in.len, (size_t)r);
	else
		conn_close(c);
}

static void request_body_more(struct conn *c, const char *data, size_t len)
{
	int r = buf_append(&c->client.in, data, len);

	if (r == -ENOBUFS)
		exchange_fault(c, 413, "invalid_request", "http-parser",
			"the body is too large to be inspected");
	else if (r < 0)
		out_of_memory(c);
	else
		request_again(c);
}

void exchange_stop_guessing(struct conn *c)
{
	c->has_waited = true;
	request_again(c);
}

static void request_take(struct conn *c, ssize_t n)
{
	struct side *s = &c->client;

	if (n <= 0) {
		conn_close(c);
	} else if (c->state == CONN_BODY) {
		request_body_more(c, c->px->scratch, (size_t)n);
	} else if (!s->in.len) {
		if (request_scan(c, c->px->scratch, (size_t)n))
			return;
		if (buf_append(&s->in, c->px->scratch, (size_t)n) < 0)
			conn_close(c);
		else
			request_wait(c, true);
	} else if (buf_append(&s->in, c->px->scratch, (size_t)n) < 0) {
		reset(&c->ex);
		out_of_memory(c);
	} else if (!request_scan(c, buf_head(&s->in), s->in.len)) {
		request_wait(c, false);
	}
}

static void request_read(struct conn *c)
{
	ssize_t n = stream_recv(c->client.stream, c->px->scratch, sizeof(c->px->scratch));

	if (n == -EAGAIN) {
		request_wait(c, false);
		return;
	}
	request_take(c, n);
	/* What TLS has read ahead of one full read is announced by nobody. */
	if ((c->state == CONN_REQUEST || c->state == CONN_BODY) && c->client.wants_recv &&
		stream_has_pending(c->client.stream) && timer_set(c->px->loop, &c->again, 0) < 0)
		conn_close(c);
}

bool exchange_flushed(struct conn *c)
{
	int r = side_flush(&c->client);

	if (r == -EAGAIN)
		(void)side_want(c->px->loop, &c->client, c->client.wants_recv);
	else if (r < 0)
		conn_close(c);
	return r == 0;
}

void exchange_on_request(struct conn *c, uint32_t events)
{
	if ((events & EPOLLOUT) && !exchange_flushed(c))
		return;
	if (side_is_full(&c->client)) {
		(void)side_want(c->px->loop, &c->client, false);
		return;
	}
	/* There was no room for an answer: requests that were read before may be waiting for it. */
	if (c->state == CONN_REQUEST && !c->client.wants_recv)
		exchange_begin(c);
	else if (events & ~(uint32_t)EPOLLOUT || stream_has_pending(c->client.stream) || !c->client.wants_recv)
		request_read(c);
	else
		(void)side_want(c->px->loop, &c->client, true);
}

void exchange_begin(struct conn *c)
{
	struct buf *in = &c->client.in;

	conn_set_state(c, CONN_REQUEST);
	if (c->state != CONN_REQUEST)
		return;
	c->ex.scan_up = 0;
	c->has_said_continue = false;
	c->guess_until_ms = 0;
	c->has_waited = false;
	if (in->len <= SIDE_IN_MAX)
		in->max = SIDE_IN_MAX;
	if (side_is_full(&c->client)) {
		(void)side_want(c->px->loop, &c->client, false);
		return;
	}
	if (in->len && request_scan(c, buf_head(in), in->len))
		return;
	if (stream_has_pending(c->client.stream))
		request_read(c);
	else
		request_wait(c, in->len > 0);
}
