#include "proxy/conn.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "proxy/entry.h"
#include "proxy/exchange.h"
#include "proxy/front.h"
#include "proxy/judge.h"
#include "proxy/peerfd.h"
#include "proxy/relay.h"
#include "proxy/request.h"
#include "proxy/sniff.h"
#include "proxy/tunnel.h"

static const char *const state_names[CONN_STATES] = {
	"closed", "tuple", "proxy-head", "resolve", "sniff", "handshake", "request", "body",
	"decided", "connect", "exchange", "tunnel", "h2", "relay", "drain",
};

static const unsigned int state_ms[CONN_STATES] = {
	[CONN_TUPLE] = TUPLE_WAIT_MS,
	[CONN_PROXY_HEAD] = HEAD_MS,
	[CONN_RESOLVE] = 2 * RESOLVE_MS,
	[CONN_SNIFF] = SNIFF_MS,
	[CONN_HANDSHAKE] = HANDSHAKE_MS,
	[CONN_REQUEST] = KEEPALIVE_MS,
	[CONN_BODY] = HEAD_MS,
	[CONN_CONNECT] = DIAL_MS + PROXY_HANDSHAKE_MS + UPSTREAM_HANDSHAKE_MS,
	[CONN_EXCHANGE] = RESPONSE_MS,
	[CONN_TUNNEL] = RELAY_IDLE_MS,
	[CONN_H2] = KEEPALIVE_MS,
	[CONN_RELAY] = RELAY_IDLE_MS,
	[CONN_DRAIN] = DRAIN_MS,
};

#define S(state) (1u << CONN_##state)

/* What may follow what; every state may end in CLOSED or DRAIN. */
static const uint16_t may_follow[CONN_STATES] = {
	[CONN_CLOSED] = S(TUPLE),
	[CONN_TUPLE] = S(PROXY_HEAD) | S(RESOLVE) | S(DECIDED),
	[CONN_PROXY_HEAD] = S(RESOLVE) | S(DECIDED) | S(REQUEST),
	[CONN_RESOLVE] = S(DECIDED),
	[CONN_SNIFF] = S(HANDSHAKE) | S(REQUEST) | S(CONNECT) | S(DECIDED) | S(H2),
	[CONN_HANDSHAKE] = S(REQUEST) | S(H2),
	[CONN_REQUEST] = S(BODY) | S(DECIDED) | S(PROXY_HEAD),
	[CONN_BODY] = S(DECIDED),
	[CONN_DECIDED] = S(SNIFF) | S(CONNECT) | S(EXCHANGE) | S(REQUEST) | S(PROXY_HEAD) | S(RELAY) |
		S(TUNNEL),
	[CONN_CONNECT] = S(EXCHANGE) | S(RELAY) | S(REQUEST) | S(PROXY_HEAD) | S(DECIDED),
	[CONN_EXCHANGE] = S(REQUEST) | S(PROXY_HEAD) | S(TUNNEL) | S(CONNECT) | S(DECIDED),
	[CONN_TUNNEL] = S(DECIDED),
	[CONN_H2] = 0,
	[CONN_RELAY] = 0,
	[CONN_DRAIN] = 0,
};

void conn_set_state(struct conn *c, enum conn_state state)
{
	if (state != c->state && state != CONN_CLOSED && state != CONN_DRAIN &&
		!(may_follow[c->state] & (1u << state))) {
		fprintf(stderr, "openshell-proxy: connection state %s cannot follow %s\n",
			state_names[state], state_names[c->state]);
		abort();
	}
	c->state = state;
	if (!state_ms[state])
		timer_clear(c->px->loop, &c->deadline);
	else if (timer_set(c->px->loop, &c->deadline, state_ms[state]) < 0)
		conn_close(c);
}

/*
 * What is pending has as long as an exchange; only when it is out does the short wait begin. A
 * client that has ended its own direction still reads.
 */
static int discard_flush(struct conn *c)
{
	bool was_full = side_is_full(&c->client);
	int r = side_flush(&c->client);

	if (r == -EAGAIN && side_is_full(&c->client))
		return timer_set(c->px->loop, &c->deadline, RESPONSE_MS);
	if (r < 0 && r != -EAGAIN)
		return r;
	if (was_full && timer_set(c->px->loop, &c->deadline, DRAIN_MS) < 0)
		return -ENOMEM;
	if (r == 0)
		(void)stream_shutdown(c->client.stream);
	return 0;
}

static void discard(struct conn *c, uint32_t events)
{
	struct side *s = &c->client;
	size_t budget = PUMP_BUDGET;
	ssize_t n;

	(void)events;
	if (discard_flush(c) < 0) {
		conn_close(c);
		return;
	}
	do {
		n = stream_recv(s->stream, c->px->scratch, sizeof(c->px->scratch));
		budget -= n > 0 ? (size_t)n : 0;
	} while (n == (ssize_t)sizeof(c->px->scratch) && budget >= sizeof(c->px->scratch));
	if (n == 0 && side_is_full(s))
		(void)side_want(c->px->loop, s, false);
	else if (n != -EAGAIN && n <= 0)
		conn_close(c);
	else
		(void)side_want(c->px->loop, s, true);
}

typedef void client_fn(struct conn *c, uint32_t events);

static client_fn *const on_client[CONN_STATES] = {
	[CONN_PROXY_HEAD] = entry_on_head,
	[CONN_SNIFF] = sniff_on_client,
	[CONN_HANDSHAKE] = sniff_on_handshake,
	[CONN_REQUEST] = exchange_on_request,
	[CONN_BODY] = exchange_on_request,
	[CONN_EXCHANGE] = exchange_on_client,
	[CONN_TUNNEL] = tunnel_on_client,
	[CONN_H2] = front_on_client,
	[CONN_RELAY] = relay_on_event,
	[CONN_DRAIN] = discard,
};

static void on_client_event(struct loop *loop, struct watch *w, uint32_t events)
{
	struct conn *c = container_of(w, struct conn, client.w);

	if ((events & (EPOLLERR | EPOLLHUP)) && !c->client.wants_recv && c->state != CONN_RELAY) {
		conn_close(c);
		return;
	}
	if (c->state != CONN_RELAY && side_is_unwanted(loop, &c->client, events))
		return;
	if (on_client[c->state])
		on_client[c->state](c, events);
}

static void on_again(struct loop *loop, struct timer *t)
{
	struct conn *c = container_of(t, struct conn, again);

	(void)loop;
	if (on_client[c->state])
		on_client[c->state](c, EPOLLIN);
	if (c->state != CONN_CLOSED && c->leg && c->leg->state == LEG_BUSY)
		conn_on_leg_event(c, EPOLLIN);
}

static void on_deadline(struct loop *loop, struct timer *t)
{
	struct conn *c = container_of(t, struct conn, deadline);

	(void)loop;
	switch (c->state) {
	case CONN_TUPLE:
		conn_reset(c);
		break;
	case CONN_SNIFF:
	case CONN_HANDSHAKE:
	case CONN_PROXY_HEAD:
	case CONN_RESOLVE:
		entry_on_deadline(c);
		break;
	case CONN_REQUEST:
	case CONN_BODY:
	case CONN_CONNECT:
	case CONN_EXCHANGE:
		exchange_on_deadline(c);
		break;
	case CONN_TUNNEL:
		tunnel_on_deadline(c);
		break;
	case CONN_H2:
		front_on_deadline(c);
		break;
	default:
		conn_close(c);
	}
}

static void conn_destroy(struct watch *w)
{
	struct conn *c = container_of(w, struct conn, client.w);

	side_done(&c->client);
	exchange_done(&c->ex);
	relay_free(c->relay);
	tunnel_free(c->tunnel);
	front_free(c->front);
	free(c->refusal);
	free(c->binary);
	free(c->denied);
	free(c->stack);
	free(c->ancestors);
	free(c->ancestors_text);
	policy_unref(c->policy);
	free(c);
}

int conn_new(struct proxy *px, int fd, struct conn **ret)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	side_init(&c->client, fd, on_client_event, conn_destroy);
	c->px = px;
	c->deadline.on_time = on_deadline;
	c->again.on_time = on_again;
	exchange_init(&c->ex);
	TAILQ_INSERT_TAIL(&px->conns, c, link);
	px->n_conns++;
	conn_set_state(c, CONN_TUPLE);
	if (c->state == CONN_CLOSED) { /* no memory for its deadline */
		c->client.w.fd = -1;
		return -ENOMEM;
	}
	*ret = c;
	return 0;
}

/* One block of text for all ancestors, and the vector into it. */
static int copy_ancestors(struct conn *c, char *const *from)
{
	size_t n = 0, len = 0;
	char *p;

	while (from && from[n] && n < TUPLE_ANCESTORS_MAX)
		len += strlen(from[n++]) + 1;
	c->ancestors = calloc(n + 1, sizeof(*c->ancestors));
	p = c->ancestors_text = malloc(len + 1);
	if (!c->ancestors || !p)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		c->ancestors[i] = p;
		p = stpcpy(p, from[i]) + 1;
	}
	return 0;
}

static int copy_tuple(struct conn *c, const struct tuple *t)
{
	c->mode = t->mode;
	c->pid = t->pid;
	c->cookie = t->cookie;
	if (t->binary && !(c->binary = strdup(t->binary)))
		return -ENOMEM;
	if (t->denied && !(c->denied = strdup(t->denied)))
		return -ENOMEM;
	if (t->stack && !(c->stack = strdup(t->stack)))
		return -ENOMEM;
	if (t->mode == TUPLE_TRANSPARENT) {
		if (!t->host || t->port == 0 || t->port > 65535 ||
			!str_copy(c->host, sizeof(c->host), t->host))
			return -EINVAL;
		c->port = (uint16_t)t->port;
	}
	return copy_ancestors(c, t->ancestors);
}

void conn_await_tuple(struct conn *c, const struct netaddr *source, uint32_t source_port)
{
	c->source = *source;
	c->source_port = source_port;
	c->has_no_tuple = true;
	TAILQ_INSERT_TAIL(&c->px->tupleless, c, tuple);
}

static void end_waiting(struct conn *c)
{
	if (c->has_no_tuple)
		TAILQ_REMOVE(&c->px->tupleless, c, tuple);
	c->has_no_tuple = false;
}

void conn_start(struct conn *c, const struct tuple *t)
{
	end_waiting(c);
	if (copy_tuple(c, t) < 0 || (t->mode != TUPLE_EXPLICIT && t->mode != TUPLE_TRANSPARENT)) {
		conn_reset(c);
		return;
	}
	c->policy = policy_ref(c->px->now.policy);
	c->generation = c->px->now.number;
	entry_begin(c);
}

/* Who asks, and where to: as @outer was told and decided. */
static int copy_way(struct conn *c, const struct conn *outer)
{
	const struct tuple t = { .mode = outer->mode,
		.pid = outer->pid,
		.cookie = outer->cookie,
		.binary = outer->binary,
		.denied = outer->denied,
		.ancestors = outer->ancestors,
		.host = outer->host,
		.port = outer->port };

	memcpy(c->host, outer->host, sizeof(c->host));
	c->port = outer->port;
	c->adapter = outer->adapter;
	c->carriage = outer->carriage;
	c->is_inspected = outer->is_inspected;
	c->is_advisor = outer->is_advisor;
	c->is_inference = outer->is_inference;
	c->is_passthrough = outer->is_passthrough;
	c->is_tls = outer->is_tls;
	c->policy = policy_ref(outer->policy);
	c->generation = outer->generation;
	c->target = outer->target;
	if (c->target)
		c->target->refs++;
	if (outer->refusal && conn_refuse(c, outer->refusal) < 0)
		return -ENOMEM;
	return copy_tuple(c, &t);
}

int conn_new_inner(struct conn *outer, struct stream *stream, struct conn **ret)
{
	struct conn *c;
	int r = conn_new(outer->px, -1, &c);

	if (r < 0)
		return r;
	r = copy_way(c, outer);
	if (r < 0) {
		conn_close(c);
		return r;
	}
	c->is_inner = true;
	c->client.stream = stream;
	c->client.wants_recv = true;
	c->state = CONN_SNIFF; /* the way in is known: a request may follow */
	conn_set_state(c, CONN_REQUEST);
	*ret = c;
	return 0;
}

void conn_poke(struct conn *c, uint32_t events)
{
	if (on_client[c->state])
		on_client[c->state](c, events);
}

void conn_close(struct conn *c)
{
	if (c->client.w.is_dead)
		return;
	if (c->on_commit)
		TAILQ_REMOVE(&c->px->commits, c, commit);
	c->on_commit = NULL;
	end_waiting(c);
	resolver_cancel(&c->query);
	timer_clear(c->px->loop, &c->deadline);
	timer_clear(c->px->loop, &c->again);
	front_close(c);
	leg_close(take_ptr(c->leg));
	target_unref(take_ptr(c->target));
	TAILQ_REMOVE(&c->px->conns, c, link);
	c->px->n_conns--;
	c->state = CONN_CLOSED;
	watch_bury(c->px->loop, &c->client.w);
}

void conn_reset(struct conn *c)
{
	if (c->client.w.is_dead)
		return;
	peerfd_end_by_reset(c->client.w.fd);
	conn_close(c);
}

void conn_finish(struct conn *c)
{
	leg_close(take_ptr(c->leg));
	conn_set_state(c, CONN_DRAIN);
	if (c->state == CONN_DRAIN)
		discard(c, 0);
}

void conn_commit(struct conn *c, void (*fn)(struct conn *c))
{
	conn_set_state(c, CONN_DECIDED);
	c->on_commit = fn;
	c->commit_round = c->px->commit_round;
	TAILQ_INSERT_TAIL(&c->px->commits, c, commit);
	(void)side_want(c->px->loop, &c->client, false);
}

/* A decision that cannot be logged must not take effect (invariant 7). */
static void commits_refuse(struct proxy *px)
{
	struct conn *c;

	while ((c = TAILQ_FIRST(&px->commits)))
		conn_reset(c);
}

void conns_commit_all(struct proxy *px)
{
	struct conn *c;

	while (!TAILQ_EMPTY(&px->commits)) {
		if (log_flush(px->log) < 0) {
			commits_refuse(px);
			return;
		}
		/* What these decide in turn has to be written first: it waits for the next round. */
		px->commit_round++;
		while ((c = TAILQ_FIRST(&px->commits)) && c->commit_round != px->commit_round) {
			void (*fn)(struct conn *c) = c->on_commit;

			TAILQ_REMOVE(&px->commits, c, commit);
			c->on_commit = NULL;
			fn(c);
		}
	}
}

struct event conn_event(const struct conn *c)
{
	return (struct event){ .adapter = c->adapter,
		.host = c->host[0] ? c->host : NULL,
		.port = c->port,
		.protocol = "tcp",
		.binary = c->binary,
		.pid = c->pid,
		.ancestors = (const char *const *)c->ancestors,
		.generation = c->generation,
		.connection = c->cookie };
}

const char *conn_authority(const struct conn *c, char ret[CONN_AUTHORITY_MAX])
{
	(void)snprintf(ret, CONN_AUTHORITY_MAX, strchr(c->host, ':') ? "[%s]:%u" : "%s:%u", c->host, c->port);
	return ret;
}

int conn_refuse(struct conn *c, const struct refusal *r)
{
	if (!c->refusal)
		c->refusal = malloc(sizeof(*c->refusal));
	if (!c->refusal)
		return -ENOMEM;
	*c->refusal = *r;
	return 0;
}

void conn_on_leg_ready(struct conn *c)
{
	if (conn_is_http(c))
		exchange_on_leg_ready(c);
	else
		entry_on_leg_ready(c);
}

void conn_on_leg_failed(struct conn *c, enum leg_failure why, const char *text)
{
	c->leg = NULL;
	if (conn_is_http(c))
		exchange_on_leg_failed(c, why, text);
	else
		entry_on_leg_failed(c, text);
}

void conn_on_leg_event(struct conn *c, uint32_t events)
{
	if (c->state == CONN_RELAY)
		relay_on_event(c, events);
	else if (side_is_unwanted(c->px->loop, &c->leg->side, events))
		return;
	else if (c->state == CONN_TUNNEL)
		tunnel_on_leg(c, events);
	else
		exchange_on_leg(c, events);
}

/*
 * What the new policy says of the connection as it stands. Carried in another way than before
 * (inspected, signed or not) counts as not allowed: bytes that were not looked at cannot be looked at now.
 */
static bool is_still_allowed(struct conn *c)
{
	struct decision d;

	judge_target(c, &d);
	if (d.verdict == VERDICT_DENY)
		return false;
	return d.carriage.is_inspected == c->carriage.is_inspected &&
		d.carriage.tls_skip == c->carriage.tls_skip && d.carriage.is_signed == c->carriage.is_signed;
}

static void log_closed(struct conn *c)
{
	struct event e = conn_event(c);

	e.level = EVENT_WARN;
	e.action = EVENT_DENY;
	e.engine = "l4";
	e.reason = "the new policy does not allow this connection";
	log_event(c->px->log, &e);
}

/* The request in flight, or that waits for a way to the server, judged again: it is still at hand. */
static bool is_request_allowed(struct conn *c)
{
	const struct buf *sent = &c->ex.head;
	struct inspection how;

	if (!c->is_inspected || c->is_passthrough ||
		(c->state != CONN_CONNECT && c->state != CONN_EXCHANGE && c->state != CONN_TUNNEL))
		return true;
	return request_is_still_allowed(c, buf_head(sent), sent->len, &how) &&
	       (c->state != CONN_TUNNEL || tunnel_is_as(c->tunnel, &how));
}

bool conn_rejudge(struct conn *c, const struct generation *g)
{
	struct target_key key = { .host = c->host,
		.binary = c->binary,
		.port = c->port,
		.generation = g->number };
	struct target *t;

	if (c->state == CONN_TUPLE || c->state == CONN_DRAIN || c->state == CONN_CLOSED)
		return false;
	policy_unref(c->policy);
	c->policy = policy_ref(g->policy);
	c->generation = g->number;
	if (!c->host[0] || (!c->target && !c->refusal))
		return false;
	if (c->refusal) {
		c->refusal->is_stale = true;
		if (c->state == CONN_H2)
			front_retire(c);
		else if (c->state == CONN_REQUEST && !c->client.in.len)
			conn_finish(c);
		return false;
	}
	if (!c->is_advisor && !c->is_inference && (!is_still_allowed(c) || !is_request_allowed(c))) {
		log_closed(c);
		if (c->state == CONN_TUNNEL)
			tunnel_close(c, WS_CLOSE_RELOAD, "the policy changed");
		else
			conn_reset(c);
		return true;
	}
	t = target_get(c->px, &key);
	if (t) {
		target_inherit(t, c->target);
		target_unref(c->target);
		c->target = t;
	}
	return false;
}
