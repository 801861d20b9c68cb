/*
 * A request that was allowed (exchange_request.c) on its way: exchange_send() opens the way up,
 * pump_up() and pump_down() carry bodies, finish() decides what becomes of both connections.
 *
 * Nothing is allocated per request on a connection that is kept alive: heads are parsed where they
 * were read, and written into a buffer that stays.
 */
#include "proxy/exchange.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/inference_route.h"
#include "lib/str.h"
#include "proxy/entry.h"
#include "proxy/exchange_internal.h"
#include "proxy/inference.h"
#include "proxy/inference_internal.h"
#include "proxy/inject.h"
#include "proxy/judge.h"
#include "proxy/tunnel.h"

/* A head grows as it is written anew: its path is escaped, and a few fields are ours. */
static_assert(EXCHANGE_HEAD_MAX >= SIGN_BODY_MAX + HTTP1_HEAD_MAX + 3 * URL_PATH_MAX + HTTP1_HEAD_MAX,
	"the largest head with the largest body that is collected has room");

void exchange_init(struct exchange *ex)
{
	buf_init(&ex->head, EXCHANGE_HEAD_MAX);
	buf_init(&ex->path, URL_PATH_MAX + 1);
	http1_body_init(&ex->up, HTTP1_NO_BODY, 0);
	http1_body_init(&ex->down, HTTP1_NO_BODY, 0);
}

void exchange_done(struct exchange *ex)
{
	buf_done(&ex->head);
	buf_done(&ex->path);
	http1_body_done(&ex->up);
	http1_body_done(&ex->down);
	inference_call_done(&ex->call);
}

/* ---- the way up ---- */

static bool may_repeat(const struct conn *c)
{
	static const char *const idempotent[] = { "GET", "HEAD", "OPTIONS", "PUT", "DELETE" };

	for (size_t i = 0; i < ARRAY_SIZE(idempotent); i++)
		if (strcmp(c->ex.method, idempotent[i]) == 0)
			return true;
	return false;
}

static void open_leg(struct conn *c, uint64_t idle_max_ms)
{
	const struct inference_call *call = &c->ex.call;
	int r;

	if (c->is_inference)
		r = leg_open(call->target, c, call->on->route.is_tls, idle_max_ms, &c->leg);
	else
		r = leg_open(c->target, c, c->is_tls, idle_max_ms, &c->leg);
	if (r == 1) {
		exchange_on_leg_ready(c);
		return;
	}
	conn_set_state(c, CONN_CONNECT);
	if (r == -EBUSY)
		exchange_fault(c, 503, "upstream_unreachable", "upstream",
			"connection to %s:%u failed: too many connects in flight", c->host,
			c->port);
	else if (r < 0)
		exchange_on_leg_failed(c, LEG_FAILED, err_name(r));
}

void exchange_dial(struct conn *c)
{
	open_leg(c, may_repeat(c) ? POOL_IDLE_MS : POST_IDLE_MS);
}

void exchange_send(struct conn *c)
{
	if (c->is_inference)
		inference_open(c);
	else
		open_leg(c, c->ex.is_upgrade ? 0 : may_repeat(c) ? POOL_IDLE_MS : POST_IDLE_MS);
}

static void pump_up(struct conn *c);
static void pump_down(struct conn *c);

/* Bytes went one way or the other: the exchange has its time again. */
static void moved(struct conn *c)
{
	(void)timer_set(c->px->loop, &c->deadline, c->is_inference ? inference_patience_ms(c) : RESPONSE_MS);
}

/* 0; -EACCES: the request was refused after all; or another -errno. */
static int send_head(struct conn *c)
{
	struct exchange *ex = &c->ex;

	if (c->is_inference)
		return inference_send(c);
	if (ex->inject.is_wanted)
		return inject_send(c);
	if (ex->head.len > SEND_PENDING_MAX)
		c->leg->side.out.max = ex->head.len;
	return side_send(&c->leg->side, buf_head(&ex->head), ex->head.len);
}

void exchange_on_leg_ready(struct conn *c)
{
	struct exchange *ex = &c->ex;
	int r;

	conn_set_state(c, CONN_EXCHANGE);
	if (c->state != CONN_EXCHANGE)
		return;
	if (c->is_inference)
		moved(c);
	r = send_head(c);
	if (r == -EACCES)
		return;
	if (r < 0 || side_want(c->px->loop, &c->leg->side, true) < 0) {
		pump_down(c); /* finds out what happened, and whether to try again */
		return;
	}
	if (!ex->is_up_done)
		pump_up(c);
}

void exchange_on_leg_failed(struct conn *c, enum leg_failure why, const char *text)
{
	if (why == LEG_TLS_FAILED)
		exchange_fault(c, 502, "upstream_tls_failed", "tls", "TLS with %s:%u failed: %s", c->host, c->port,
			text);
	else
		exchange_fault(c, c->is_inference ? 503 : 502, "upstream_unreachable", "upstream",
			"connection to %s:%u failed: %s", c->host, c->port, text);
}

static int put_last_chunk(struct buf *out, const struct http1_body *b, const char **ret_why)
{
	const struct buf *t = &b->chunked.trailers;
	int r;

	if (!t->len) /* it was framed in another way */
		return buf_puts(out, CHUNKED_LAST);
	r = buf_append(out, "0\r\n", 3);
	if (r < 0)
		return r;
	return http1_trailers_write(out, buf_head(t), t->len, ret_why);
}

/*
 * Takes @b apart and sends it to @to in the framing @framing. *ret_used bytes of @data belonged to
 * this message; @ret_done tells that it is complete. What is in proxy->writing goes out first.
 */
static int carry(struct conn *c, struct http1_body *b, enum http1_framing framing, struct side *to,
	const char *data, size_t len, size_t *ret_used, bool *ret_done)
{
	struct buf *out = &c->px->writing;
	size_t at = 0;
	int r = CHUNKED_DATA;

	while (r == CHUNKED_DATA) {
		const char *slice = NULL, *why = NULL;
		size_t used = 0, n = 0;
		int put = 0;

		r = http1_body_next(b, data + at, len - at, &used, &slice, &n, &why);
		at += used;
		if (r == CHUNKED_DATA && framing == HTTP1_CHUNKED)
			put = chunked_put(out, slice, n);
		else if (r == CHUNKED_DATA && (out->len || n < len - at))
			put = buf_append(out, slice, n);
		else if (r == CHUNKED_DATA)
			put = side_send(to, slice, n);
		else if (r == CHUNKED_END && framing == HTTP1_CHUNKED)
			put = put_last_chunk(out, b, &why);
		if (put < 0)
			r = put;
	}
	*ret_used = at;
	*ret_done = r == CHUNKED_END;
	if (r >= 0 && out->len)
		r = side_send(to, buf_head(out), out->len);
	buf_reset(out);
	return r < 0 ? r : 0;
}

static void up_broken(struct conn *c)
{
	/* Part of the request is on its way: nobody can be told in HTTP any more. */
	if (c->ex.has_answer)
		conn_close(c);
	else
		exchange_fault(c, 400, "invalid_request", "http-parser", "malformed request body");
}

/* Some of the body is lost: what follows must not reach the server as if it were all. */
static void up_lost(struct conn *c)
{
	if (c->ex.has_answer) {
		conn_close(c);
		return;
	}
	leg_close(take_ptr(c->leg));
	exchange_fault(c, 503, "overloaded", "http-parser", "no memory for the request");
}

/* Of a body nothing is replaced here, and a placeholder is not for servers. */
static void up_placeholder(struct conn *c)
{
	if (c->ex.has_answer) {
		conn_close(c);
		return;
	}
	leg_close(take_ptr(c->leg));
	exchange_fault(c, 500, "credential_unavailable", "credentials",
		"Credential placeholder in a body that is not rewritten");
}

/* Sends some of the body; false when that was the end of it or of the connection. */
static bool carry_up(struct conn *c, const char *data, size_t len, bool is_kept)
{
	struct exchange *ex = &c->ex;
	size_t used = 0;
	int r;

	if (!inject_scan(c, data, len)) {
		up_placeholder(c);
		return false;
	}
	r = carry(c, &ex->up, ex->up.framing, &c->leg->side, data, len, &used, &ex->is_up_done);
	c->bytes_up += used;
	ex->sent_up += used;
	if (r == -EBADMSG || r == -EMSGSIZE) {
		up_broken(c);
		return false;
	}
	if (r == -ENOMEM || r == -ENOBUFS) {
		up_lost(c);
		return false;
	}
	if (is_kept) {
		buf_consume(&c->client.in, used);
		if (!c->client.in.len)
			buf_done(&c->client.in);
	} else if (used < len && buf_append(&c->client.in, data + used, len - used) < 0) {
		conn_close(c);
		return false;
	}
	/* A server that does not take the rest may still have answered: the way down will tell. */
	if (r < 0)
		ex->is_up_done = false;
	return r == 0 && !ex->is_up_done;
}

static void pump_up(struct conn *c)
{
	size_t budget = PUMP_BUDGET;
	bool go_on = true;
	ssize_t n = -EAGAIN;

	while (go_on && budget && !side_is_full(&c->leg->side)) {
		struct buf *in = &c->client.in;

		if (in->len) {
			go_on = carry_up(c, buf_head(in), in->len, true);
			continue;
		}
		n = stream_recv(c->client.stream, c->px->scratch, sizeof(c->px->scratch));
		if (n <= 0)
			break;
		moved(c);
		budget -= (size_t)n < budget ? (size_t)n : budget;
		go_on = carry_up(c, c->px->scratch, (size_t)n, false);
	}
	if (c->state != CONN_EXCHANGE)
		return;
	/* The rest of the request will never come; an answer that has begun still goes to whoever reads. */
	if ((n == 0 && !c->ex.has_answer) || (n < 0 && n != -EAGAIN)) {
		conn_close(c);
		return;
	}
	if (!budget)
		(void)timer_set(c->px->loop, &c->again, 0);
	(void)side_want(c->px->loop, &c->client,
		n != 0 && !c->ex.is_up_done && !side_is_full(&c->leg->side));
	(void)side_want(c->px->loop, &c->leg->side, c->leg->side.wants_recv);
}

/* ---- the way down ---- */

void exchange_next(struct conn *c)
{
	if (c->is_forward)
		entry_next(c);
	else
		exchange_begin(c);
}

static void finish(struct conn *c)
{
	struct exchange *ex = &c->ex;
	struct leg *leg = take_ptr(c->leg);

	if (ex->keep_leg && ex->is_up_done)
		leg_release(leg);
	else
		leg_close(leg);
	inference_call_done(&ex->call);
	if (!ex->keep_client || !ex->is_up_done)
		conn_finish(c);
	else
		exchange_next(c);
}

/* A cut is all that tells the client that this is not the end; the log has the reason. */
static void cut_answer(struct conn *c, const char *why)
{
	struct refusal r = { .layer = LAYER_HTTP };

	(void)snprintf(r.detail, sizeof(r.detail), "the answer of %s:%u was cut: %s", c->host, c->port, why);
	judge_log_refusal(c, &r, c->ex.method, exchange_path(c), "upstream");
	if (!c->is_inference || !inference_end_stream(c, r.detail))
		conn_close(c);
}

/* The server went away, or talks nonsense. */
static void down_broken(struct conn *c, const char *why)
{
	struct exchange *ex = &c->ex;

	if (ex->has_answer) {
		cut_answer(c, why);
		return;
	}
	/* It had died meanwhile, or does not take the request: not so if it has answered for a while. */
	if (c->leg->is_reused && !ex->has_retried && !ex->sent_up && !ex->n_interim && may_repeat(c)) {
		ex->has_retried = true;
		leg_close(take_ptr(c->leg));
		open_leg(c, 0);
		return;
	}
	leg_close(take_ptr(c->leg));
	exchange_fault(c, 502, "upstream_failed", "upstream", "%s:%u: %s", c->host, c->port, why);
}

/* A server that wants a certificate of ours says so in an alert after the handshake. */
static void put_end_reason(char *ret, size_t size, const struct stream *s, ssize_t n)
{
	const char *tls = n == -EPROTO && stream_ssl(s) ? stream_tls_error(s) : "";

	if (s->why)
		(void)str_copy(ret, size, s->why);
	else if (n < 0 && n != -EPROTO)
		(void)str_copy(ret, size, err_name((int)n));
	else
		(void)snprintf(ret, size, "the server closed the connection%s%s", *tls ? ": " : "", tls);
}

static void down_ended(struct conn *c, ssize_t n)
{
	struct exchange *ex = &c->ex;
	char why[128];

	if (n == 0 && ex->has_answer && http1_body_may_end(&ex->down)) {
		ex->keep_leg = false;
		if (ex->down_framing == HTTP1_CHUNKED)
			(void)side_send(&c->client, CHUNKED_LAST, sizeof(CHUNKED_LAST) - 1);
		finish(c);
	} else {
		put_end_reason(why, sizeof(why), c->leg->side.stream, n);
		down_broken(c, why);
	}
}

static struct http1_response answer;

/* How the client gets it: HTTP/1.0 knows no chunks, and a body that ends with the connection ends
 * with that of the client too. */
static void choose_framing(struct conn *c)
{
	struct exchange *ex = &c->ex;

	ex->down_framing = answer.fields.framing;
	if (ex->down_framing == HTTP1_CHUNKED && ex->minor == 0)
		ex->down_framing = HTTP1_UNTIL_CLOSE;
	if (ex->down_framing == HTTP1_UNTIL_CLOSE && ex->minor > 0)
		ex->down_framing = HTTP1_CHUNKED;
	/* So that there is a place for an error behind what has gone. */
	if (ex->call.is_event_stream && ex->down_framing == HTTP1_LENGTH)
		ex->down_framing = HTTP1_CHUNKED;
	if (ex->down_framing == HTTP1_UNTIL_CLOSE || !ex->is_up_done)
		ex->keep_client = false;
}

static int write_answer(struct conn *c)
{
	struct exchange *ex = &c->ex;
	struct http1_answer a = { .status = answer.status,
		.reason = answer.reason,
		.reason_len = answer.reason_len,
		.framing = ex->down_framing,
		.content_length = answer.fields.content_length,
		.announces_length = answer.fields.framing == HTTP1_NO_BODY && answer.fields.has_length,
		.close = !ex->keep_client && answer.status >= 200,
		.keep = ex->keep_client && ex->minor == 0 };

	return http1_response_write(&c->px->writing, &a, answer.fields.list, answer.fields.n);
}

/*
 * Whoever waits for the real answer may be kept waiting, but not at our expense: a client that does not read
 * holds what HTTP/2 has queued for it, and flow control knows nothing of heads.
 */
static bool is_interim_too_much(struct exchange *ex, size_t len)
{
	ex->n_interim++;
	ex->interim_bytes += len;
	return ex->n_interim > INTERIM_MAX || ex->interim_bytes > INTERIM_BYTES_MAX;
}

/* An interim answer: passed on, the real one follows. */
static int interim(struct conn *c)
{
	int r;

	if (c->ex.minor == 0) /* HTTP/1.0 does not know them */
		return 0;
	c->ex.down_framing = HTTP1_NO_BODY;
	r = write_answer(c);
	if (r == 0)
		r = side_send(&c->client, buf_head(&c->px->writing), c->px->writing.len);
	buf_reset(&c->px->writing);
	return r;
}

enum head_result { HEAD_MORE = 0, HEAD_INTERIM, HEAD_FINAL, HEAD_SETTLED };

static enum head_result answer_head(struct conn *c, const char *data, size_t len, size_t *ret_used)
{
	struct exchange *ex = &c->ex;
	const char *why = "malformed response";
	int r = http1_head_find(data, len, HTTP1_RESPONSE_HEAD_MAX, &ex->scan_down, &why);

	if (r == 0)
		return HEAD_MORE;
	if (r > 0) {
		*ret_used = (size_t)r;
		ex->scan_down = 0;
		r = http1_response_parse(&answer, data, (size_t)r, ex->method, &why);
	}
	if (r < 0) {
		c->leg->is_reused = false;
		down_broken(c, r == -EMSGSIZE ? "the response head is too large" : why);
		return HEAD_SETTLED;
	}
	if (answer.status == 101) {
		if (ex->is_upgrade && answer.is_upgrade)
			tunnel_begin(c, &answer, data + *ret_used, len - *ret_used);
		else
			down_broken(c, "the server switched protocols unasked");
		return HEAD_SETTLED;
	}
	if (answer.status < 200 && is_interim_too_much(ex, *ret_used)) {
		c->leg->is_reused = false;
		down_broken(c, "too many interim answers (1xx)");
		return HEAD_SETTLED;
	}
	if (answer.status < 200)
		return interim(c) < 0 ? (conn_close(c), HEAD_SETTLED) : HEAD_INTERIM;
	ex->has_answer = true;
	ex->keep_leg = answer.keep_alive && !ex->is_last_up;
	if (c->is_inference && !inference_on_answer(c, &answer))
		return HEAD_SETTLED;
	http1_body_init(&ex->down, answer.fields.framing, answer.fields.content_length);
	choose_framing(c);
	if (write_answer(c) < 0) {
		conn_close(c);
		return HEAD_SETTLED;
	}
	return HEAD_FINAL;
}

static bool carry_down(struct conn *c, const char *data, size_t len)
{
	struct exchange *ex = &c->ex;
	size_t used = 0;
	int r = carry(c, &ex->down, ex->down_framing, &c->client, data, len, &used, &ex->is_down_done);

	c->bytes_down += used;
	ex->call.got += used;
	if (c->is_inference && r >= 0 && ex->call.got > INFERENCE_ANSWER_MAX) {
		cut_answer(c, "it is longer than 32 MiB");
		return false;
	}
	if (r == -EBADMSG || r == -EMSGSIZE) {
		cut_answer(c, "its body or its trailers are malformed or too long");
		return false;
	}
	if (r < 0) {
		conn_close(c);
		return false;
	}
	if (!ex->is_down_done)
		return true;
	if (used < len)
		ex->keep_leg = false; /* more than one answer: this connection is out of step */
	finish(c);
	return false;
}

/* Bytes of the answer; false when pumping has to stop. */
static bool take_down(struct conn *c, const char *data, size_t len)
{
	struct buf *in = &c->leg->side.in;
	bool is_kept = in->len > 0;
	enum head_result r = HEAD_INTERIM;

	if (c->ex.has_answer)
		return carry_down(c, data, len);
	if (is_kept) {
		if (buf_append(in, data, len) < 0) {
			down_broken(c, "out of memory");
			return false;
		}
		data = buf_head(in);
		len = in->len;
	}
	while (r == HEAD_INTERIM && len) {
		size_t used = 0;

		r = answer_head(c, data, len, &used);
		if (r == HEAD_SETTLED)
			return false;
		data += used;
		len -= used;
	}
	if (r == HEAD_FINAL) {
		/* The bytes stay readable, and the leg may go back to the warm ones at once. */
		if (is_kept)
			buf_reset(in);
		return carry_down(c, data, len);
	}
	if (is_kept) {
		buf_consume(in, in->len - len);
		return true;
	}
	if (len && buf_append(in, data, len) < 0) {
		down_broken(c, "out of memory");
		return false;
	}
	return true;
}

static void pump_down(struct conn *c)
{
	struct stream *from = c->leg->side.stream;
	size_t budget = PUMP_BUDGET, size = sizeof(c->px->scratch);

	while (!side_is_full(&c->client)) {
		ssize_t n = stream_recv(from, c->px->scratch, size);

		if (n == -EAGAIN)
			break;
		if (n <= 0) {
			down_ended(c, n);
			return;
		}
		moved(c);
		if (!take_down(c, c->px->scratch, (size_t)n))
			return;
		if ((size_t)n < size && !stream_has_pending(from))
			break;
		if (budget <= (size_t)n) {
			(void)timer_set(c->px->loop, &c->again, 0);
			break;
		}
		budget -= (size_t)n;
	}
	(void)side_want(c->px->loop, &c->leg->side, !side_is_full(&c->client));
	(void)side_want(c->px->loop, &c->client, c->client.wants_recv);
}

void exchange_on_client(struct conn *c, uint32_t events)
{
	if ((events & EPOLLOUT) && c->state == CONN_EXCHANGE)
		moved(c);
	if ((events & EPOLLOUT) && !exchange_flushed(c))
		return;
	if ((events & EPOLLOUT) && !c->leg->side.wants_recv)
		pump_down(c);
	if (c->state == CONN_EXCHANGE && (events & ~(uint32_t)EPOLLOUT) && !c->ex.is_up_done)
		pump_up(c);
	else if (c->state == CONN_EXCHANGE)
		(void)side_want(c->px->loop, &c->client, c->client.wants_recv);
}

void exchange_on_leg(struct conn *c, uint32_t events)
{
	if (c->state != CONN_EXCHANGE)
		return;
	if (events & EPOLLOUT) {
		int r = side_flush(&c->leg->side);

		moved(c);
		if (r == 0 && !c->ex.is_up_done) {
			pump_up(c);
		} else if (r < 0 && r != -EAGAIN) {
			pump_down(c);
			return;
		} else {
			(void)side_want(c->px->loop, &c->leg->side, c->leg->side.wants_recv);
		}
	}
	if (c->state == CONN_EXCHANGE && (events & ~(uint32_t)EPOLLOUT))
		pump_down(c);
}

void exchange_on_deadline(struct conn *c)
{
	unsigned int late = c->is_inference ? 503 : 504;

	if (c->state == CONN_CONNECT) {
		leg_close(take_ptr(c->leg));
		resolver_cancel(&c->query);
		exchange_fault(c, late, "upstream_unreachable", "upstream", "connection to %s:%u took too long",
			c->host, c->port);
	} else if (c->state == CONN_EXCHANGE && !c->ex.has_answer) {
		leg_close(take_ptr(c->leg));
		exchange_fault(c, late, "upstream_failed", "upstream", "%s:%u did not answer in time", c->host,
			c->port);
	} else if (c->state == CONN_EXCHANGE) {
		cut_answer(c, "nothing moved for too long");
	} else if (c->state == CONN_BODY && c->guess_until_ms) {
		exchange_stop_guessing(c);
	} else if (c->state == CONN_BODY || (c->state == CONN_REQUEST && c->client.in.len)) {
		exchange_fault(c, 408, "request_timeout", "http-parser", "the request did not arrive in time");
	} else {
		conn_close(c);
	}
}
