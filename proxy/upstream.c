#include "proxy/upstream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "proxy/advisor.h"
#include "proxy/back.h"
#include "proxy/chain.h"
#include "proxy/conn.h"
#include "proxy/dial.h"
#include "proxy/inference.h"
#include "proxy/judge.h"
#include "proxy/tls.h"

static unsigned int bucket_of(const struct target_key *key)
{
	uint32_t h = 2166136261u ^ key->port;

	for (const char *p = key->host; *p; p++)
		h = (h ^ (unsigned char)*p) * 16777619u;
	return h % TARGET_BUCKETS;
}

static bool is_target(const struct target *t, const struct target_key *key)
{
	return t->port == key->port && t->generation == key->generation &&
		strcmp(t->host, key->host) == 0 && strcmp(t->binary, key->binary) == 0;
}

static void target_free(struct target *t)
{
	LIST_REMOVE(t, link);
	t->px->n_targets--;
	SSL_SESSION_free(t->session);
	free(t->host);
	free(t->binary);
	free(t);
}

/* One that nobody uses any more, in any bucket. */
static bool forget_one(struct proxy *px)
{
	for (unsigned int i = 0; i < TARGET_BUCKETS; i++) {
		struct target *t;

		LIST_FOREACH(t, &px->targets[i], link)
			if (t->refs == 0)
				break;
		if (t) {
			target_free(t);
			return true;
		}
	}
	return false;
}

static struct target *target_new(struct proxy *px, const struct target_key *key)
{
	struct target *t;

	if (px->n_targets >= TARGETS_MAX && !forget_one(px))
		return NULL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->px = px;
	t->port = t->dial_port = key->port;
	t->generation = key->generation;
	TAILQ_INIT(&t->idle[0]);
	TAILQ_INIT(&t->idle[1]);
	t->host = strdup(key->host);
	t->binary = strdup(key->binary);
	LIST_INSERT_HEAD(&px->targets[bucket_of(key)], t, link);
	px->n_targets++;
	if (t->host && t->binary)
		return t;
	target_free(t);
	return NULL;
}

struct target *target_get(struct proxy *px, const struct target_key *key)
{
	struct target *t;

	LIST_FOREACH(t, &px->targets[bucket_of(key)], link)
		if (is_target(t, key))
			break;
	if (!t)
		t = target_new(px, key);
	if (t)
		t->refs++;
	return t;
}

/* Targets of the present generation stay: their addresses and sessions serve the next one. */
void target_unref(struct target *t)
{
	if (t && --t->refs == 0 && t->generation != t->px->now.number)
		target_free(t);
}

void target_set_addrs(struct target *t, const struct netaddr *addrs, size_t n, uint16_t port,
	bool is_pinned)
{
	t->n_addrs = n < RESOLVED_ADDRS_MAX ? n : RESOLVED_ADDRS_MAX;
	memcpy(t->addrs, addrs, t->n_addrs * sizeof(*addrs));
	t->dial_port = port;
	t->is_pinned = is_pinned;
	t->fresh_until_ms = is_pinned ? UINT64_MAX : loop_now_ms(t->px->loop) + RESOLVE_FRESH_MS;
}

void target_inherit(struct target *t, const struct target *from)
{
	if (t->n_addrs)
		return;
	target_set_addrs(t, from->addrs, from->n_addrs, from->dial_port, from->is_pinned);
	t->fresh_until_ms = from->fresh_until_ms;
	t->is_chained = from->is_chained;
}

bool target_is_ready(const struct target *t)
{
	return t->n_addrs && (t->n_idle || t->fresh_until_ms > loop_now_ms(t->px->loop));
}

static void leg_destroy(struct watch *w)
{
	struct leg *leg = container_of(w, struct leg, side.w);

	side_done(&leg->side);
	target_unref(leg->target);
	free(leg);
}

static void leave_pool(struct leg *leg)
{
	if (leg->state != LEG_IDLE)
		return;
	TAILQ_REMOVE(&leg->target->idle[leg->is_tls], leg, link);
	leg->target->n_idle--;
	TAILQ_REMOVE(&leg->target->px->idle_legs, leg, age);
	leg->target->px->n_idle_legs--;
}

void leg_close(struct leg *leg)
{
	SSL *ssl;

	if (!leg || leg->state == LEG_CLOSED)
		return;
	leave_pool(leg);
	leg->state = LEG_CLOSED;
	leg->conn = NULL;
	dial_cancel(leg->dial);
	leg->dial = NULL;
	timer_clear(leg->target->px->loop, &leg->timer);
	ssl = stream_ssl(leg->side.stream);
	if (ssl)
		tls_set_arg(ssl, NULL);
	watch_bury(leg->target->px->loop, &leg->side.w);
}

static void fail(struct leg *leg, enum leg_failure why, const char *text)
{
	struct conn *c = leg->conn;
	char copy[256];

	(void)str_copy(copy, sizeof(copy), text);
	leg_close(leg);
	if (c)
		conn_on_leg_failed(c, why, copy);
}

static void ready(struct leg *leg)
{
	leg->state = LEG_BUSY;
	timer_clear(leg->target->px->loop, &leg->timer);
	conn_on_leg_ready(leg->conn);
}

/* Alone, or as the first of many on a connection that speaks HTTP/2. */
static void ready_as(struct leg *leg, bool is_h2)
{
	if (is_h2 && back_adopt(leg) < 0)
		fail(leg, LEG_FAILED, "out of memory");
	else
		ready(leg);
}

static void shaken(struct leg *leg)
{
	ready_as(leg, tls_chose_h2(stream_ssl(leg->side.stream)));
}

static void shake(struct leg *leg);

static void on_idle_event(struct leg *leg)
{
	char c;
	ssize_t n = stream_recv(leg->side.stream, &c, 1);

	/* A session ticket, for example, is not an end; anything said unasked is. */
	if (n != -EAGAIN)
		leg_close(leg);
}

static void on_timeout(struct loop *loop, struct timer *t)
{
	struct leg *leg = container_of(t, struct leg, timer);

	(void)loop;
	if (leg->state == LEG_IDLE)
		leg_close(leg);
	else
		fail(leg, LEG_FAILED, leg->state == LEG_CHAINING ? "the upstream proxy did not answer in time" :
						    "the server did not finish the TLS handshake in time");
}

static int start_tls(struct leg *leg)
{
	struct target *t = leg->target;
	SSL *ssl = tls_connect_new(t->px->tls, t->host, t->session, leg->offers_h2);

	if (!ssl)
		return -ENOMEM;
	tls_set_arg(ssl, t);
	leg->side.stream = stream_tls_new(leg->side.w.fd, ssl, NULL, 0);
	if (!leg->side.stream)
		return -ENOMEM;
	leg->state = LEG_HANDSHAKE;
	return timer_set(t->px->loop, &leg->timer, UPSTREAM_HANDSHAKE_MS);
}

static void on_connected(struct leg *leg)
{
	if (leg->is_tls) {
		if (start_tls(leg) < 0)
			fail(leg, LEG_FAILED, "out of memory");
		else
			shake(leg);
		return;
	}
	leg->side.stream = stream_tcp_new(leg->side.w.fd);
	if (leg->side.stream)
		ready_as(leg, leg->offers_h2 && !leg->target->is_plain_http1);
	else
		fail(leg, LEG_FAILED, "out of memory");
}

/* Reads exactly the answer's head and nothing behind it: 1 when it is whole, 0 not yet, -errno. */
static int read_chain_answer(struct leg *leg)
{
	struct buf *in = &leg->side.in;
	ssize_t n;
	char *p;

	for (;;) {
		size_t scan = 0, before = in->len;
		const char *why;
		int r;

		p = buf_reserve(in, CHAIN_ANSWER_MAX);
		n = p ? recv(leg->side.w.fd, p, CHAIN_ANSWER_MAX, MSG_PEEK) : 0;
		if (n <= 0)
			return n == 0 ? -ECONNRESET : errno == EAGAIN ? 0 : -errno;
		buf_commit(in, (size_t)n);
		r = http1_head_find(buf_head(in), in->len, CHAIN_ANSWER_MAX, &scan, &why);
		if (r < 0)
			return r;
		if (r > 0)
			buf_truncate(in, (size_t)r);
		n = recv(leg->side.w.fd, p, in->len - before, 0);
		if (n != (ssize_t)(in->len - before))
			return -EIO;
		if (r > 0)
			return 1;
	}
}

static void on_chain_answer(struct leg *leg)
{
	static struct http1_response answer;
	const char *why = "its answer is malformed";
	char text[128];
	int r = read_chain_answer(leg);

	if (r == 0)
		return;
	if (r > 0)
		r = http1_response_parse(&answer, buf_head(&leg->side.in), leg->side.in.len, "CONNECT",
			&why);
	if (r >= 0 && answer.status / 100 == 2) {
		buf_done(&leg->side.in);
		timer_clear(leg->target->px->loop, &leg->timer);
		stream_free(take_ptr(leg->side.stream));
		on_connected(leg);
		return;
	}
	if (r >= 0)
		(void)snprintf(text, sizeof(text), "the upstream proxy answered %u", answer.status);
	else
		(void)snprintf(text, sizeof(text), "the upstream proxy: %s",
			r == -EBADMSG ? why : err_name(r));
	fail(leg, LEG_FAILED, text);
}

static void ask_chain(struct leg *leg)
{
	struct target *t = leg->target;
	struct buf *out = &t->px->writing;
	int r;

	leg->state = LEG_CHAINING;
	leg->side.stream = stream_tcp_new(leg->side.w.fd);
	r = leg->side.stream ? chain_request(out, t->px->chain, t->host, t->port) : -ENOMEM;
	if (r == 0)
		r = side_send(&leg->side, buf_head(out), out->len);
	buf_reset(out);
	if (r == 0)
		r = timer_set(t->px->loop, &leg->timer, PROXY_HANDSHAKE_MS);
	if (r == 0)
		r = side_want(t->px->loop, &leg->side, true);
	if (r < 0)
		fail(leg, LEG_FAILED, err_name(r));
}

static void on_dialled(void *arg, int fd, const struct netaddr *addr)
{
	struct leg *leg = arg;
	char text[128];

	leg->dial = NULL;
	leg->addr = *addr;
	if (fd < 0) {
		(void)snprintf(text, sizeof(text), "%s%s", leg->target->is_chained ? "the upstream proxy: " : "",
			err_name(fd));
		fail(leg, LEG_FAILED, text);
		return;
	}
	leg->side.w.fd = fd;
	if (leg->target->is_chained)
		ask_chain(leg);
	else
		on_connected(leg);
}

static bool may_dial(struct conn *c, const struct target *t)
{
	struct decision d;

	if (c->is_inference)
		return inference_may_dial(c, t);
	judge_target(c, &d);
	return d.verdict != VERDICT_DENY;
}

/*
 * The one way to a server, and the last gate before it: whoever put the addresses into the target, this caller
 * must be allowed to reach them. (Policies that load let all who share a target reach the same.)
 */
static int dial(struct leg *leg, struct target *t, struct conn *c)
{
	if (!may_dial(c, t))
		return -EACCES;
	return dial_start(t->px->loop, t->addrs, t->n_addrs, t->dial_port, on_dialled, leg, &leg->dial);
}

/* A server that refuses TLS over the protocols alone speaks another: once more, with HTTP/2. */
static bool dial_for_h2(struct leg *leg)
{
	struct target *t = leg->target;

	if (leg->offers_h2 || t->is_chained ||
		!strstr(stream_tls_error(leg->side.stream), "no application protocol"))
		return false;
	if (dial(leg, t, leg->conn) < 0)
		return false;
	t->is_only_http2 = leg->offers_h2 = true;
	timer_clear(t->px->loop, &leg->timer);
	(void)watch_set(t->px->loop, &leg->side.w, 0);
	tls_set_arg(stream_ssl(leg->side.stream), NULL);
	stream_free(take_ptr(leg->side.stream));
	(void)close(take_fd(leg->side.w.fd));
	leg->state = LEG_DIALLING;
	return true;
}

static void shake(struct leg *leg)
{
	struct loop *loop = leg->target->px->loop;
	int r = stream_handshake(leg->side.stream);

	if (r == 0)
		shaken(leg);
	else if (r != -EAGAIN && !dial_for_h2(leg))
		fail(leg, LEG_TLS_FAILED, stream_tls_error(leg->side.stream));
	else if (r != -EAGAIN)
		return;
	else if (side_want(loop, &leg->side, true) < 0)
		fail(leg, LEG_FAILED, "out of memory");
}

static void on_event(struct loop *loop, struct watch *w, uint32_t events)
{
	struct leg *leg = container_of(w, struct leg, side.w);

	if (leg->state == LEG_HANDSHAKE) {
		shake(leg);
		return;
	}
	if (leg->state == LEG_CHAINING) {
		on_chain_answer(leg);
		return;
	}
	if (leg->state == LEG_IDLE) {
		on_idle_event(leg);
		return;
	}
	(void)loop;
	if (leg->state == LEG_BUSY)
		conn_on_leg_event(leg->conn, events);
}

static int leg_new(struct target *t, struct conn *c, bool is_tls, struct leg **ret)
{
	struct leg *leg = calloc(1, sizeof(*leg));
	int r;

	if (!leg)
		return -ENOMEM;
	side_init(&leg->side, -1, on_event, leg_destroy);
	leg->timer.on_time = on_timeout;
	r = dial(leg, t, c);
	if (r < 0) {
		free(leg);
		return r;
	}
	t->refs++;
	leg->target = t;
	leg->conn = c;
	leg->is_tls = is_tls;
	leg->offers_h2 = c->is_inner || t->is_only_http2;
	leg->state = LEG_DIALLING;
	*ret = leg;
	return 0;
}

/* One without a socket of its own. */
static struct leg *leg_blank(void)
{
	struct leg *leg = calloc(1, sizeof(*leg));

	if (leg) {
		side_init(&leg->side, -1, on_event, leg_destroy);
		leg->timer.on_time = on_timeout;
	}
	return leg;
}

static int leg_begin(struct leg *leg, struct target *t, struct conn *c, struct leg **ret)
{
	t->refs++;
	leg->target = t;
	leg->conn = c;
	leg->state = LEG_BUSY;
	*ret = leg;
	return 1;
}

/* One more request on a connection that there is. */
static int leg_join(struct back *b, struct conn *c, struct leg **ret)
{
	struct leg *leg = leg_blank();

	if (!leg)
		return -ENOMEM;
	if (back_join(b, leg) == 0)
		return leg_begin(leg, c->target, c, ret);
	free(leg);
	return -ENOMEM;
}

/* The server is within this process. */
static int leg_local(struct target *t, struct conn *c, struct leg **ret)
{
	struct leg *leg = leg_blank();

	if (!leg)
		return -ENOMEM;
	leg->side.stream = advisor_stream_new(t->px, leg);
	if (leg->side.stream)
		return leg_begin(leg, t, c, ret);
	free(leg);
	return -ENOMEM;
}

/* Servers and everything on the way have given up meanwhile what was warm, and could not tell. */
static void forget_after_sleep(struct proxy *px)
{
	uint64_t slept = loop_slept_ms();

	if (slept < px->slept_ms + SLEEP_MS)
		return;
	px->slept_ms = slept;
	while (!TAILQ_EMPTY(&px->idle_legs))
		leg_close(TAILQ_FIRST(&px->idle_legs));
	backs_forget(px);
}

int leg_open(struct target *t, struct conn *c, bool is_tls, uint64_t idle_max_ms,
	struct leg **ret)
{
	bool may_h2 = c->is_inner || t->is_only_http2;
	struct leg *leg;
	struct back *b;

	if (c->is_advisor)
		return leg_local(t, c, ret);
	forget_after_sleep(t->px);
	leg = TAILQ_FIRST(&t->idle[is_tls]);
	b = may_h2 && idle_max_ms ? back_find(t, is_tls) : NULL;
	if (b)
		return leg_join(b, c, ret);
	if (!leg || loop_now_ms(t->px->loop) - leg->idle_since_ms >= idle_max_ms)
		return leg_new(t, c, is_tls, ret);
	leave_pool(leg);
	timer_clear(t->px->loop, &leg->timer);
	leg->state = LEG_BUSY;
	leg->conn = c;
	leg->is_reused = true;
	*ret = leg;
	return 1;
}

void leg_release(struct leg *leg)
{
	struct target *t = leg->target;
	struct proxy *px = t->px;

	leg->conn = NULL;
	if (!leg->side.in.len)
		buf_done(&leg->side.in);
	if (!leg->side.out.len)
		leg->side.out.max = SEND_PENDING_MAX;
	if (leg->side.w.fd < 0 || t->generation != px->now.number ||
		t->n_idle >= IDLE_PER_TARGET_MAX ||
		leg->side.in.len || leg->side.out.len ||
		side_want(px->loop, &leg->side, true) < 0 ||
		timer_set(px->loop, &leg->timer, POOL_IDLE_MS) < 0) {
		leg_close(leg);
		return;
	}
	if (px->n_idle_legs >= IDLE_MAX)
		leg_close(TAILQ_FIRST(&px->idle_legs));
	leg->state = LEG_IDLE;
	leg->idle_since_ms = loop_now_ms(px->loop);
	TAILQ_INSERT_HEAD(&t->idle[leg->is_tls], leg, link);
	t->n_idle++;
	TAILQ_INSERT_TAIL(&px->idle_legs, leg, age);
	px->n_idle_legs++;
}

void legs_retire(struct proxy *px, uint32_t generation)
{
	struct leg *leg, *next;

	for (leg = TAILQ_FIRST(&px->idle_legs); leg; leg = next) {
		next = TAILQ_NEXT(leg, age);
		if (leg->target->generation != generation)
			leg_close(leg);
	}
	backs_retire(px, generation);
}

static void keep_session(void *arg, SSL_SESSION *session)
{
	struct target *t = arg;

	SSL_SESSION_free(t->session);
	t->session = session;
}

void upstream_keep_sessions(struct tls *tls)
{
	tls_on_session(tls, keep_session);
}
