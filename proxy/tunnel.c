#include "proxy/tunnel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>

#include "lib/cleanup.h"
#include "lib/placeholder.h"
#include "lib/str.h"
#include "lib/wsupgrade.h"
#include "proxy/exchange.h"
#include "proxy/exchange_internal.h"
#include "proxy/inject.h"
#include "proxy/inspect.h"
#include "proxy/judge.h"

/* Where the server's direction stands: how much of a frame header or payload is still to come. */
struct frames {
	uint8_t head[WS_HEADER_MAX];
	size_t head_len;
	uint64_t left;
};

struct tunnel {
	struct inspection inspection;
	bool is_inspected;
	const char *offer; /* the extension we offered; NULL: none */
	struct ws_parser up;
	struct frames down;
	struct buf ready; /* judged, waiting for the log */
	bool is_counted;  /* among the assemblies */
	uint64_t began_ms, heard_ms; /* the message being put together: its first bytes, its last */
	enum ws_close close; /* after what is ready: end */
	const char *why;
};

static unsigned int n_assemblies;

void tunnel_free(struct tunnel *t)
{
	if (!t)
		return;
	if (t->is_counted)
		n_assemblies--;
	ws_parser_done(&t->up);
	placeholder_wipe(&t->ready);
	free(t);
}

static bool looks_into_messages(const struct inspection *in)
{
	return in->websocket_text || in->websocket_graphql || in->redact || in->rewrite_websocket;
}

bool tunnel_is_as(const struct tunnel *t, const struct inspection *in)
{
	const struct inspection *now = &t->inspection;

	if (!looks_into_messages(in))
		return !t->is_inspected;
	return now->websocket_text == in->websocket_text && now->websocket_graphql == in->websocket_graphql &&
	       now->redact == in->redact && now->redact_may_fail == in->redact_may_fail &&
	       now->rewrite_websocket == in->rewrite_websocket && now->is_enforcing == in->is_enforcing;
}

static struct tunnel *tunnel_new(const struct inspection *in)
{
	struct tunnel *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->inspection = *in;
	t->is_inspected = looks_into_messages(in);
	buf_init(&t->ready, WS_TEXT_MAX + SIDE_IN_MAX);
	ws_parser_init(&t->up, false, false);
	return t;
}

int tunnel_prepare(struct conn *c, const struct http1_request *rq, const struct inspection *in,
	struct http1_send *s)
{
	const char *why = NULL;
	struct ws_upgrade u;
	int r;

	tunnel_free(take_ptr(c->tunnel));
	c->tunnel = tunnel_new(in);
	if (!c->tunnel)
		return -ENOMEM;
	r = ws_upgrade_parse(&u, rq->method, rq->minor, &rq->fields, &why);
	if (r < 0)
		return r;
	s->ws = HTTP1_WS_AS_SENT;
	if (!c->tunnel->is_inspected)
		return 0;
	s->ws = HTTP1_WS_REWRITE;
	s->ws_extension = c->tunnel->offer = u.extension;
	return 0;
}

/*
 * A binary message is nobody's operation, but servers (graphql-ws on ws 8) read it like text. What must be
 * searched for secrets is text, too.
 */
static bool denies_binary(const struct conn *c, const struct inspection *in)
{
	return in->redact || (in->websocket_graphql && in->is_enforcing && !c->px->is_audit);
}

/* The answer has to fit the request that went up, which is still in ex.head. */
static int check_answer(struct conn *c, const struct http1_response *answer, const char **ret_why)
{
	static struct http1_request sent;
	struct tunnel *t = c->tunnel;
	struct ws_upgrade u;
	bool is_deflated = false;
	int r;

	r = http1_request_parse(&sent, buf_head(&c->ex.head), c->ex.head.len, ret_why);
	if (r == 0)
		r = ws_upgrade_parse(&u, sent.method, sent.minor, &sent.fields, ret_why);
	if (r == 0)
		r = ws_answer_check(&u, &answer->fields, t->offer, !t->is_inspected, &is_deflated, ret_why);
	if (r == 0)
		ws_parser_init(&t->up, is_deflated, denies_binary(c, &t->inspection));
	return r;
}

static int answer_client(struct conn *c, const struct http1_response *answer)
{
	const struct http1_answer a = { .status = 101,
		.reason = answer->reason,
		.reason_len = answer->reason_len,
		.ws = HTTP1_WS_AS_SENT };
	struct buf *out = &c->px->writing;
	int r = http1_response_write(out, &a, answer->fields.list, answer->fields.n);

	if (r == 0)
		r = side_send(&c->client, buf_head(out), out->len);
	buf_reset(out);
	return r;
}

/* ---- the server's direction ---- */

/* Bytes a frame header needs, as far as its first two tell (RFC 6455, 5.2). */
static size_t head_size(const struct frames *f)
{
	uint8_t len;

	if (f->head_len < 2)
		return 2;
	len = f->head[1] & 0x7f;
	return 2u + (len == 126 ? 2u : len == 127 ? 8u : 0u) + (f->head[1] & 0x80 ? 4u : 0u);
}

static uint64_t payload_size(const struct frames *f)
{
	uint8_t len = f->head[1] & 0x7f;
	uint64_t n = 0;

	if (len < 126)
		return len;
	for (size_t i = 0; i < (len == 126 ? 2u : 8u); i++)
		n = n << 8 | f->head[2 + i];
	return n;
}

static void follow(struct frames *f, const char *data, size_t len)
{
	while (len) {
		if (f->left) {
			size_t n = f->left < len ? (size_t)f->left : len;

			f->left -= n;
			data += n;
			len -= n;
			continue;
		}
		f->head[f->head_len++] = (uint8_t)*data++;
		len--;
		if (f->head_len == head_size(f)) {
			f->left = payload_size(f);
			f->head_len = 0;
		}
	}
}

static int send_down(struct conn *c, const char *data, size_t len)
{
	follow(&c->tunnel->down, data, len);
	c->bytes_down += len;
	return side_send(&c->client, data, len);
}

/* ---- the client's direction ---- */

static void fresh_mask(uint8_t mask[4])
{
	while (getrandom(mask, 4, 0) != 4)
		continue;
}

static bool is_between_frames_up(const struct tunnel *t)
{
	return t->is_inspected && t->up.state == WS_HEADER && t->up.raw_len == 0 &&
		t->up.message != WS_BINARY;
}

void tunnel_close(struct conn *c, enum ws_close code, const char *reason)
{
	struct tunnel *t = c->tunnel;
	struct buf *out = &c->px->writing;
	uint8_t mask[4];

	buf_reset(out);
	if (t->down.left == 0 && t->down.head_len == 0 && ws_write_close(out, code, reason, NULL) == 0)
		(void)side_send(&c->client, buf_head(out), out->len);
	buf_reset(out);
	fresh_mask(mask);
	if (is_between_frames_up(t) && ws_write_close(out, code, reason, mask) == 0)
		(void)side_send(&c->leg->side, buf_head(out), out->len);
	buf_reset(out);
	conn_finish(c);
}

/* A middleware cannot read it and fails closed. */
static int refuse_message(struct conn *c)
{
	struct tunnel *t = c->tunnel;
	struct refusal r = { .status = 0, .error = "middleware_failed", .layer = LAYER_HTTP };

	t->close = WS_CLOSE_POLICY;
	t->why = "the message cannot be searched for secrets";
	(void)str_copy(r.detail, sizeof(r.detail), t->why);
	judge_log_refusal(c, &r, "WEBSOCKET_TEXT", exchange_path(c), "middleware");
	return 1;
}

/* With its secrets, or the end: 0, 1 when it ends the connection, -errno. */
static int accept_rewritten(struct conn *c, const char *text, size_t len, uint8_t mask[4])
{
	struct tunnel *t = c->tunnel;
	struct refusal f = { .error = "websocket", .layer = LAYER_HTTP };
	struct buf out;
	int r;

	buf_init(&out, WS_TEXT_MAX);
	r = inject_message(c, text, len, &out);
	if (r == 0)
		r = ws_write_frame(&t->ready, WS_TEXT, buf_head(&out), out.len, mask);
	placeholder_wipe(&out);
	if (r == 0 || r == -ENOMEM)
		return r;
	(void)str_copy(f.detail, sizeof(f.detail), r == -EACCES ?
		"Credential is not authorized for this request endpoint" :
		"Credential placeholder could not be resolved");
	judge_log_refusal(c, &f, "WEBSOCKET_TEXT", exchange_path(c), r == -EACCES ? "credential-binding" : "credentials");
	t->close = WS_CLOSE_POLICY;
	t->why = "credential unavailable";
	return 1;
}

static int accept_message(struct conn *c, const struct ws_item *item)
{
	const char *text;
	uint8_t mask[4];
	size_t len;
	int r = inspect_redact(&c->tunnel->inspection, item->data, item->len, &text, &len);

	if (r < 0)
		return r == -EPERM ? refuse_message(c) : r;
	fresh_mask(mask);
	if (c->tunnel->inspection.rewrite_websocket && placeholder_is_in(text, len))
		return accept_rewritten(c, text, len, mask);
	return ws_write_frame(&c->tunnel->ready, WS_TEXT, text, len, mask);
}

/* One text message: 0 when it may go (it is in .ready), 1 when it ends the connection, -errno. */
static int judge_message(struct conn *c, const struct ws_item *item)
{
	struct tunnel *t = c->tunnel;
	struct request rq = { .method = "WEBSOCKET_TEXT", .path = exchange_path(c) };
	struct inspected seen = {
		.protocol = t->inspection.websocket_graphql ? PROTOCOL_GRAPHQL : PROTOCOL_WEBSOCKET
	};
	struct decision d;
	int r;

	r = inspect_message(&t->inspection, item->data, item->len, &rq, &seen.operation);
	if (r < 0)
		return r;
	if (t->inspection.websocket_text || t->inspection.websocket_graphql) {
		judge_request(c, &rq, &seen, &d);
		if (d.verdict == VERDICT_DENY) {
			t->close = WS_CLOSE_POLICY;
			t->why = "not permitted by policy";
			return 1;
		}
	}
	return accept_message(c, item);
}

static void protocol_error(struct conn *c, const struct ws_item *item)
{
	struct refusal r = { .status = 0, .error = "websocket", .layer = LAYER_HTTP };

	(void)snprintf(r.detail, sizeof(r.detail), "WebSocket: %s", item->why);
	judge_log_refusal(c, &r, "WEBSOCKET_TEXT", exchange_path(c), "l7-websocket");
	c->tunnel->close = item->close;
	c->tunnel->why = item->why;
}

/* Takes frames apart until the input is used up or the connection has to end: 0 or -errno. */
static int judge_bytes(struct conn *c, const char *data, size_t len)
{
	struct tunnel *t = c->tunnel;
	int r = WS_PASS;

	while (r != WS_MORE && !t->close) {
		struct ws_item item = { 0 };
		size_t used = 0;
		int put = 0;

		r = ws_next(&t->up, data, len, &used, &item);
		data += used;
		len -= used;
		if (r == WS_PASS)
			put = buf_append(&t->ready, item.data, item.len);
		else if (r == WS_MESSAGE) {
			t->began_ms = loop_now_ms(c->px->loop);
			put = judge_message(c, &item);
		} else if (r == -EBADMSG)
			protocol_error(c, &item);
		else if (r < 0)
			return r;
		if (put < 0)
			return put;
	}
	return 0;
}

static void count_assembly(struct tunnel *t, uint64_t now_ms)
{
	bool is_on = ws_is_assembling(&t->up);

	t->heard_ms = now_ms;
	if (is_on && !t->is_counted)
		t->began_ms = now_ms;

	if (is_on && !t->is_counted && n_assemblies >= WS_ASSEMBLIES_MAX) {
		t->close = WS_CLOSE_CAPACITY;
		t->why = "too many messages at once";
		return;
	}
	n_assemblies += is_on ? !t->is_counted : t->is_counted ? -1u : 0u;
	t->is_counted = is_on;
}

static void run(struct conn *c, uint32_t on_client, uint32_t on_leg);

/* The log has the decisions: what they allowed goes up. */
static void commit_messages(struct conn *c)
{
	struct tunnel *t = c->tunnel;
	struct side *server = &c->leg->side;

	conn_set_state(c, CONN_TUNNEL);
	if (t->ready.len && side_send(server, buf_head(&t->ready), t->ready.len) < 0) {
		conn_close(c);
		return;
	}
	placeholder_wipe(&t->ready);
	if (t->close)
		tunnel_close(c, t->close, t->why);
	else
		run(c, EPOLLIN, 0);
}

/* 0; 1: the connection waits for the log; -errno. */
static int send_up(struct conn *c, const char *data, size_t len)
{
	struct tunnel *t = c->tunnel;
	int r;

	c->bytes_up += len;
	if (!t->is_inspected)
		return side_send(&c->leg->side, data, len);
	r = judge_bytes(c, data, len);
	if (r < 0)
		return r;
	count_assembly(t, loop_now_ms(c->px->loop));
	if (!t->ready.len && !t->close)
		return 0;
	conn_commit(c, commit_messages);
	return 1;
}

/* ---- both ---- */

enum { PUMP_ENDED = 1, PUMP_WAITS = 2 };

/* Everything @from has goes to the other side while that has room: 0, PUMP_…, -errno. */
static int pump(struct conn *c, struct side *from, struct side *to)
{
	size_t budget = PUMP_BUDGET;

	while (!side_is_full(to)) {
		ssize_t n = stream_recv(from->stream, c->px->scratch, sizeof(c->px->scratch));
		int r;

		if (n <= 0)
			return n == -EAGAIN ? 0 : n == 0 ? PUMP_ENDED : (int)n;
		r = from == &c->client ? send_up(c, c->px->scratch, (size_t)n) :
					 send_down(c, c->px->scratch, (size_t)n);
		if (r != 0)
			return r < 0 ? r : PUMP_WAITS;
		if (budget <= (size_t)n) {
			(void)timer_set(c->px->loop, &c->again, 0);
			break;
		}
		budget -= (size_t)n;
	}
	return 0;
}

static int flush(struct side *s, uint32_t events)
{
	int r = events & EPOLLOUT ? side_flush(s) : 0;

	return r == -EAGAIN ? 0 : r;
}

static int move(struct conn *c, uint32_t on_client, uint32_t on_leg)
{
	struct side *client = &c->client, *server = &c->leg->side;
	int r = flush(client, on_client);

	if (r == 0)
		r = flush(server, on_leg);
	/* Room on one side means that the other may be read again. */
	if (r == 0 && (on_leg || (on_client & EPOLLOUT)))
		r = pump(c, server, client);
	if (r == 0 && (on_client || (on_leg & EPOLLOUT)))
		r = pump(c, client, server);
	return r;
}

/* A message has to go on, and to end; what the server says meanwhile does not count. */
static uint64_t patience(const struct conn *c)
{
	const struct tunnel *t = c->tunnel;
	uint64_t now = loop_now_ms(c->px->loop), until = t->heard_ms + WS_FRAGMENT_IDLE_MS;

	if (!t->is_inspected || !ws_is_assembling(&t->up))
		return RELAY_IDLE_MS;
	if (until > t->began_ms + WS_MESSAGE_TOTAL_MS)
		until = t->began_ms + WS_MESSAGE_TOTAL_MS;
	return until > now ? until - now : 0;
}

static void run(struct conn *c, uint32_t on_client, uint32_t on_leg)
{
	int r = move(c, on_client, on_leg);

	if (r == PUMP_WAITS)
		return;
	if (r == PUMP_ENDED) {
		conn_finish(c);
		return;
	}
	if (r < 0) {
		conn_close(c);
		return;
	}
	(void)timer_set(c->px->loop, &c->deadline, patience(c));
	(void)side_want(c->px->loop, &c->client, !side_is_full(&c->leg->side));
	(void)side_want(c->px->loop, &c->leg->side, !side_is_full(&c->client));
}

void tunnel_on_client(struct conn *c, uint32_t events)
{
	run(c, events, 0);
}

void tunnel_on_leg(struct conn *c, uint32_t events)
{
	run(c, 0, events);
}

void tunnel_on_deadline(struct conn *c)
{
	if (ws_is_assembling(&c->tunnel->up))
		tunnel_close(c, WS_CLOSE_POLICY, "the message was not completed in time");
	else
		conn_close(c);
}

void tunnel_begin(struct conn *c, const struct http1_response *answer, const char *early, size_t len)
{
	const char *why = NULL;
	struct buf in;
	int r;

	r = check_answer(c, answer, &why);
	if (r < 0) {
		leg_close(take_ptr(c->leg));
		exchange_fault(c, 502, "upstream_failed", "upstream", "%s:%u: %s", c->host, c->port,
			why ? why : "the upgrade was answered wrongly");
		return;
	}
	if (answer_client(c, answer) < 0) {
		conn_close(c);
		return;
	}
	conn_set_state(c, CONN_TUNNEL);
	c->leg->side.out.max = WS_TEXT_MAX + SEND_PENDING_MAX;
	in = c->client.in;
	buf_init(&c->client.in, SIDE_IN_MAX);
	r = send_down(c, early, len);
	if (r == 0 && in.len)
		r = send_up(c, buf_head(&in), in.len);
	buf_done(&in);
	if (r < 0)
		conn_close(c);
	else if (r == 0)
		run(c, EPOLLIN, EPOLLIN);
}
