#include "proxy/tunnel.h"

#include <errno.h>
#include <sys/epoll.h>

#include "lib/wsupgrade.h"

void tunnel_prepare(struct conn *c, const struct http1_request *rq, const struct inspection *in,
	struct http1_send *s)
{
	(void)c;
	(void)rq;
	(void)in;
	s->ws = HTTP1_WS_AS_SENT;
}

/* The answer has to fit the request that went up, which is still in ex.head. */
static int check_answer(struct conn *c, const struct http1_response *answer, const char **ret_why)
{
	static struct http1_request sent;
	struct ws_upgrade u;
	bool is_deflated;
	int r;

	r = http1_request_parse(&sent, buf_head(&c->ex.head), c->ex.head.len, ret_why);
	if (r == 0)
		r = ws_upgrade_parse(&u, sent.method, sent.minor, &sent.fields, ret_why);
	if (r == 0)
		r = ws_answer_check(&u, &answer->fields, NULL, true, &is_deflated, ret_why);
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

/* Everything @from has goes to @to while there is room: 0, 1 at the end, -errno. */
static int pump(struct conn *c, struct side *from, struct side *to)
{
	size_t budget = PUMP_BUDGET;

	while (!side_is_full(to)) {
		ssize_t n = stream_recv(from->stream, c->px->scratch, sizeof(c->px->scratch));
		int r;

		if (n <= 0)
			return n == -EAGAIN ? 0 : n == 0 ? 1 : (int)n;
		r = side_send(to, c->px->scratch, (size_t)n);
		if (r < 0)
			return r;
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

static void run(struct conn *c, struct side *from, struct side *to, uint32_t events)
{
	int r = flush(from, events);

	/* Room on this side: the other one may be read again. */
	if (r == 0 && (events & EPOLLOUT) && !side_is_full(from))
		r = pump(c, to, from);
	if (r == 0)
		r = pump(c, from, to);
	if (r != 0) {
		if (r > 0 && !side_is_full(to))
			conn_finish(c);
		else
			conn_close(c);
		return;
	}
	(void)timer_set(c->px->loop, &c->deadline, RELAY_IDLE_MS);
	(void)side_want(c->px->loop, from, !side_is_full(to));
	(void)side_want(c->px->loop, to, !side_is_full(from));
}

void tunnel_on_client(struct conn *c, uint32_t events)
{
	run(c, &c->client, &c->leg->side, events);
}

void tunnel_on_leg(struct conn *c, uint32_t events)
{
	run(c, &c->leg->side, &c->client, events);
}

void tunnel_begin(struct conn *c, const struct http1_response *answer, const char *early, size_t len)
{
	const char *why = NULL;
	struct buf *in = &c->client.in;

	if (check_answer(c, answer, &why) < 0 || answer_client(c, answer) < 0 ||
		side_send(&c->client, early, len) < 0 ||
		side_send(&c->leg->side, in->len ? buf_head(in) : "", in->len) < 0) {
		conn_close(c);
		return;
	}
	buf_done(in);
	conn_set_state(c, CONN_TUNNEL);
	if (c->state == CONN_TUNNEL)
		run(c, &c->client, &c->leg->side, EPOLLIN);
}
