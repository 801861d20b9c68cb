#include "proxy/entry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/str.h"
#include "proxy/advisor.h"
#include "proxy/chain.h"
#include "proxy/credentials.h"
#include "proxy/deny.h"
#include "proxy/exchange.h"
#include "proxy/inference.h"
#include "proxy/judge.h"
#include "proxy/relay.h"
#include "proxy/sniff.h"

void entry_fault(struct refusal *r, unsigned int status, const char *error, const char *fmt, ...)
{
	va_list ap;

	*r = (struct refusal){ .status = status, .error = error, .layer = LAYER_HTTP };
	va_start(ap, fmt);
	(void)vsnprintf(r->detail, sizeof(r->detail), fmt, ap);
	va_end(ap);
}

static void answer_head(struct conn *c, const struct refusal *r)
{
	struct buf *out = &c->px->writing;

	buf_reset(out);
	if (deny_response(out, c, r, NULL, NULL, true) < 0 ||
		side_send(&c->client, buf_head(out), out->len) < 0)
		conn_close(c);
	else
		conn_finish(c);
	buf_reset(out);
}

/* The log has it; now the client is told in a way that it understands. */
static void tell_refused(struct conn *c)
{
	if (c->adapter == EVENT_CONNECT) {
		answer_head(c, c->refusal);
	} else if (c->adapter == EVENT_FORWARD) {
		c->is_inspected = true;
		exchange_begin(c);
	} else {
		conn_set_state(c, CONN_SNIFF);
		sniff_on_client(c, EPOLLIN);
	}
}

static void refuse(struct conn *c, const struct refusal *r)
{
	if (conn_refuse(c, r) < 0)
		conn_reset(c);
	else
		conn_commit(c, tell_refused);
}

static void refuse_decided(struct conn *c, const struct decision *d, const struct netaddr *addr)
{
	struct refusal r;

	judge_refusal(c, d, NULL, NULL, &r);
	judge_log_connection(c, d, addr);
	refuse(c, &r);
}

static void refuse_fault(struct conn *c, const struct refusal *r)
{
	judge_log_refusal(c, r, NULL, NULL, "upstream");
	refuse(c, r);
}

/* Requests of a forward-mode client start anew each time; everybody else goes on to sniff. */
static void open_inspected(struct conn *c)
{
	static const char ok[] = "HTTP/1.1 200 Connection Established\r\n\r\n";

	if (c->adapter == EVENT_FORWARD) {
		exchange_begin(c);
		return;
	}
	if (c->adapter == EVENT_CONNECT) {
		if (side_send(&c->client, ok, sizeof(ok) - 1) < 0 || c->client.out.len) {
			conn_close(c);
			return;
		}
		c->has_said_ok = true;
		stream_free(take_ptr(c->client.stream));
	}
	conn_set_state(c, CONN_SNIFF);
	sniff_on_client(c, EPOLLIN);
}

/* --audit: the first bytes tell whether requests can be recorded; silence means that they cannot. */
static void open_watched(struct conn *c)
{
	c->is_inspected = c->adapter == EVENT_FORWARD;
	open_inspected(c);
	if (c->state == CONN_SNIFF && timer_set(c->px->loop, &c->deadline, WATCH_MS) < 0)
		conn_close(c);
}

static void relay_failed(struct conn *c, unsigned int status, const char *text)
{
	struct refusal r;

	entry_fault(&r, status, "upstream_unreachable", "connection to %s:%u failed: %s", c->host,
		c->port, text);
	judge_log_refusal(c, &r, NULL, NULL, "upstream");
	if (c->adapter == EVENT_CONNECT)
		refuse(c, &r);
	else
		conn_commit(c, conn_reset);
}

void entry_relay(struct conn *c)
{
	int r = leg_open(c->target, c, false, 0, &c->leg);

	conn_set_state(c, CONN_CONNECT);
	if (r == -EBUSY)
		relay_failed(c, 503, "too many connects in flight");
	else if (r < 0)
		relay_failed(c, 502, err_name(r));
}

static void proceed(struct conn *c)
{
	if (c->is_watched)
		open_watched(c);
	else if (c->is_inspected || c->adapter == EVENT_FORWARD)
		open_inspected(c);
	else
		entry_relay(c);
}

/* The decision is made: the event, then its effect. */
static void log_and_proceed(struct conn *c, const struct decision *d)
{
	judge_log_connection(c, d, c->target->addrs);
	conn_commit(c, proceed);
}

/* Somebody who is trusted named the target's addresses. */
static void trust_addresses(struct conn *c)
{
	struct decision d;

	judge_connection(c, NULL, 0, &d);
	if (d.verdict == VERDICT_DENY)
		refuse_decided(c, &d, c->target->addrs);
	else
		log_and_proceed(c, &d);
}

/*
 * The last question. The target is shared with connections that are there already and will dial
 * what stands in it, so nothing gets there before the answer is yes. @addrs may be the target's own.
 */
static void check_addresses(struct conn *c, const struct netaddr *addrs, size_t n)
{
	struct decision d;

	judge_connection(c, addrs, n, &d);
	if (d.verdict == VERDICT_DENY) {
		refuse_decided(c, &d, addrs);
		return;
	}
	if (addrs != c->target->addrs)
		target_set_addrs(c->target, addrs, n, c->port, false);
	log_and_proceed(c, &d);
}

static void on_answer(struct resolve_query *q, const struct resolve_answer *a)
{
	struct conn *c = container_of(q, struct conn, query);
	struct refusal r;

	if (!a->n) {
		entry_fault(&r, 502, "upstream_unreachable", "DNS resolution failed for %s:%u: %s", c->host,
			c->port, a->error);
		refuse_fault(c, &r);
		return;
	}
	check_addresses(c, a->addrs, a->n);
}

/* The corporate proxy's addresses: the operator named it, so they are not checked. */
static void use_chain(struct conn *c, const struct netaddr *addrs, size_t n)
{
	target_set_addrs(c->target, addrs, n, chain_port(c->px->chain), false);
	c->target->is_chained = true;
	trust_addresses(c);
}

static void on_chain_answer(struct resolve_query *q, const struct resolve_answer *a)
{
	struct conn *c = container_of(q, struct conn, query);
	struct refusal r;

	if (a->n) {
		use_chain(c, a->addrs, a->n);
		return;
	}
	entry_fault(&r, 502, "upstream_unreachable", "the upstream proxy %s cannot be resolved: %s",
		chain_host(c->px->chain), a->error);
	refuse_fault(c, &r);
}

static const struct pin *pin_for(const struct proxy *px, const char *host, uint16_t port)
{
	for (size_t i = 0; i < px->n_pins; i++)
		if (px->pins[i].port == port && strcmp(px->pins[i].host, host) == 0)
			return &px->pins[i];
	return NULL;
}

static void ask_resolver(struct conn *c, const char *name, resolve_fn *fn)
{
	struct resolve_answer a;
	struct refusal f;
	int r;

	conn_set_state(c, CONN_RESOLVE);
	r = resolver_ask(c->px->resolver, &c->query, name, fn, &a);
	if (r == 1) {
		fn(&c->query, &a);
	} else if (r < 0) {
		entry_fault(&f, r == -EBUSY ? 503 : 502, "upstream_unreachable",
			"DNS resolution failed for %s:%u: %s", c->host, c->port,
			r == -EBUSY ? "too many questions in flight" : err_name(r));
		refuse_fault(c, &f);
	}
}

/* A literal address is checked before the corporate proxy may hear of it. */
static bool literal_is_refused(struct conn *c)
{
	struct netaddr literal;
	struct decision d;

	if (netaddr_parse(c->host, &literal) < 0)
		return false;
	judge_connection(c, &literal, 1, &d);
	if (d.verdict == VERDICT_DENY)
		refuse_decided(c, &d, &literal);
	return d.verdict == VERDICT_DENY;
}

static void find_chain(struct conn *c)
{
	struct netaddr addr;

	if (literal_is_refused(c))
		return;
	if (netaddr_parse(chain_host(c->px->chain), &addr) == 0)
		use_chain(c, &addr, 1);
	else
		ask_resolver(c, chain_host(c->px->chain), on_chain_answer);
}

/* Layer 4 said yes to the name. Only now may anybody be asked about it (invariant 3). */
static void find_addresses(struct conn *c)
{
	const struct target_key key = { .host = c->host,
		.binary = c->binary,
		.port = c->port,
		.generation = c->generation };
	const struct pin *pin = pin_for(c->px, c->host, c->port);
	struct netaddr literal;
	struct refusal f;

	c->target = target_get(c->px, &key);
	if (!c->target) {
		entry_fault(&f, 503, "overloaded", "too many destinations are in use");
		refuse_fault(c, &f);
	} else if (pin) {
		target_set_addrs(c->target, &pin->addr, 1, pin->to_port, true);
		trust_addresses(c);
	} else if (c->px->host_gateway.family && strcmp(c->host, "host.openshell.internal") == 0) {
		target_set_addrs(c->target, &c->px->host_gateway, 1, c->port, true);
		trust_addresses(c);
	} else if (chain_applies(c->px->chain, c->host, c->port)) {
		find_chain(c);
	} else if (netaddr_parse(c->host, &literal) == 0) {
		check_addresses(c, &literal, 1);
	} else if (target_is_ready(c->target)) {
		check_addresses(c, c->target->addrs, c->target->n_addrs);
	} else {
		ask_resolver(c, c->host, on_answer);
	}
}

/* No address, no policy: it is served here. */
static void open_advisor(struct conn *c)
{
	const struct target_key key = { .host = c->host,
		.binary = c->binary,
		.port = c->port,
		.generation = c->generation };
	struct refusal f;

	c->target = target_get(c->px, &key);
	if (!c->target) {
		entry_fault(&f, 503, "overloaded", "too many destinations are in use");
		refuse_fault(c, &f);
		return;
	}
	c->is_inspected = true;
	judge_log_advisor(c, NULL, NULL);
	conn_commit(c, open_inspected);
}

/* The route says where to; only what the operator bars is refused all the same. */
static void open_inference(struct conn *c)
{
	const struct target_key key = { .host = c->host,
		.binary = c->binary,
		.port = c->port,
		.generation = c->generation };
	struct decision d;
	struct refusal f;

	judge_connection(c, NULL, 0, &d);
	if (d.is_barred) {
		refuse_decided(c, &d, NULL);
		return;
	}
	c->target = c->px->inference ? target_get(c->px, &key) : NULL;
	if (c->target) {
		c->is_inference = c->is_inspected = true;
		judge_log_inference(c, NULL, NULL);
		conn_commit(c, open_inspected);
		return;
	}
	if (c->px->inference)
		entry_fault(&f, 503, "overloaded", "too many destinations are in use");
	else
		entry_fault(&f, 403, "policy_denied",
			"inference.local has no route to a model; outside the sandbox: openshell inference set "
			"--provider NAME --model MODEL");
	judge_log_refusal(c, &f, NULL, NULL, "inference");
	refuse(c, &f);
}

/*
 * A server that a credential is for, on an endpoint that is not inspected: requests are parsed all
 * the same, so that placeholders are replaced and requests signed, and none is judged. Where nobody may look,
 * nothing would be: false, and it was refused, unless the policy accepts that.
 */
static bool look_for_placeholders(struct conn *c, const struct decision *d)
{
	struct refusal f;

	c->is_passthrough = false;
	if (c->is_inspected)
		return true;
	if (!d->carriage.is_signed &&
		(d->carriage.allow_uninspected_credentials || !credentials_cover(c->px, c->host, c->port)))
		return true;
	if (!d->carriage.tls_skip) {
		c->is_inspected = c->is_passthrough = true;
		return true;
	}
	entry_fault(&f, 403, "uninspected_credentials", "%s:%u %s, and its endpoint is not inspected (tls: skip)",
		c->host, c->port, d->carriage.is_signed ? "wants signed requests" : "belongs to a credential provider");
	judge_log_refusal(c, &f, NULL, NULL, "credentials");
	refuse(c, &f);
	return false;
}

/* The name, the port and who asks are known. */
static void decide(struct conn *c)
{
	struct decision d;

	/* Who cannot be told from others is refused here as everywhere. */
	c->is_advisor = advisor_is(c->host, c->port) && c->binary && !c->denied;
	if (c->is_advisor) {
		open_advisor(c);
		return;
	}
	/* In forward mode nothing is encrypted, and nothing of that is for a model. */
	if (inference_is(c->host, c->port) && c->adapter != EVENT_FORWARD && c->binary && !c->denied) {
		open_inference(c);
		return;
	}
	judge_connection(c, NULL, 0, &d);
	if (d.verdict == VERDICT_DENY) {
		refuse_decided(c, &d, NULL);
		return;
	}
	c->carriage = d.carriage;
	c->is_inspected = d.carriage.is_inspected && !d.carriage.tls_skip;
	if (!look_for_placeholders(c, &d))
		return;
	c->is_watched = d.verdict == VERDICT_AUDIT && !sniff_is_untouched(c);
	find_addresses(c);
}

void entry_begin(struct conn *c)
{
	if (c->mode == TUPLE_TRANSPARENT) {
		c->adapter = EVENT_TCP;
		decide(c);
		return;
	}
	c->adapter = EVENT_CONNECT;
	c->client.stream = stream_tcp_new(c->client.w.fd);
	if (!c->client.stream) {
		conn_close(c);
		return;
	}
	conn_set_state(c, CONN_PROXY_HEAD);
	(void)side_want(c->px->loop, &c->client, true);
}

static void refuse_head(struct conn *c, unsigned int status, const char *error, const char *why)
{
	struct refusal r;

	entry_fault(&r, status, error, "%s", why);
	judge_log_refusal(c, &r, NULL, NULL, "http-parser");
	c->adapter = EVENT_CONNECT;
	refuse(c, &r);
}

static void take_destination(struct conn *c, const struct url_authority *a, uint16_t default_port)
{
	(void)str_copy(c->host, sizeof(c->host), a->host);
	c->port = a->port ? a->port : default_port;
}

static void on_connect(struct conn *c, const struct http1_request *rq, size_t head_len)
{
	take_destination(c, &rq->authority, 0); /* which has a port, or was not understood */
	buf_consume(&c->client.in, head_len);
	decide(c);
}

/* The head stays where it is: exchange.c reads it again once the connection is decided. */
static void on_absolute(struct conn *c, const struct http1_request *rq)
{
	if (rq->form != HTTP1_ABSOLUTE) {
		refuse_head(c, 400, "invalid_request_target",
			"this is a proxy: CONNECT or an absolute http:// target is expected");
		return;
	}
	if (rq->is_https) {
		refuse_head(c, 400, "invalid_request_target", "Use CONNECT for HTTPS URLs");
		return;
	}
	c->adapter = EVENT_FORWARD;
	c->is_forward = true;
	take_destination(c, &rq->authority, 80);
	decide(c);
}

static void on_whole_head(struct conn *c, size_t len)
{
	static struct http1_request rq;
	const char *why = "malformed request";
	int r = http1_request_parse(&rq, buf_head(&c->client.in), len, &why);

	if (r < 0)
		refuse_head(c, r == -EMSGSIZE ? 431 : 400, "invalid_request", why);
	else if (strcmp(rq.method, "CONNECT") == 0)
		on_connect(c, &rq, len);
	else
		on_absolute(c, &rq);
}

void entry_on_head(struct conn *c, uint32_t events)
{
	struct side *s = &c->client;
	const char *why = "malformed request";
	ssize_t n = 1;
	int r;

	if (events & EPOLLOUT) {
		r = side_flush(s);
		if (r < 0 && r != -EAGAIN) {
			conn_close(c);
			return;
		}
	}
	if (events & EPOLLIN)
		n = stream_recv(s->stream, c->px->scratch, HTTP1_PROXY_HEAD_MAX);
	if (n == 0 || (n < 0 && n != -EAGAIN)) {
		conn_close(c);
		return;
	}
	if ((events & EPOLLIN) && n > 0 && buf_append(&s->in, c->px->scratch, (size_t)n) < 0) {
		conn_close(c);
		return;
	}
	r = s->in.len ? http1_head_find(buf_head(&s->in), s->in.len, HTTP1_PROXY_HEAD_MAX,
				&c->ex.scan_up, &why) :
			0;
	if (r > 0) {
		c->ex.scan_up = 0;
		on_whole_head(c, (size_t)r);
	} else if (r < 0) {
		refuse_head(c, r == -EMSGSIZE ? 431 : 400, "invalid_request",
			r == -EMSGSIZE ? "the request head is too long" : why);
	} else {
		(void)side_want(c->px->loop, s, true);
	}
}

void entry_next(struct conn *c)
{
	c->host[0] = '\0';
	c->port = 0;
	c->adapter = EVENT_CONNECT;
	c->is_forward = c->is_inspected = c->is_passthrough = c->is_advisor = c->is_inference = c->is_watched = false;
	target_unref(take_ptr(c->target));
	free(take_ptr(c->refusal));
	conn_set_state(c, CONN_PROXY_HEAD);
	if (c->state == CONN_PROXY_HEAD)
		entry_on_head(c, 0);
}

void entry_on_deadline(struct conn *c)
{
	struct refusal r;

	if (c->state == CONN_PROXY_HEAD && c->client.in.len) {
		refuse_head(c, 408, "request_timeout", "the request head did not arrive in time");
	} else if (c->state == CONN_RESOLVE) {
		resolver_cancel(&c->query);
		entry_fault(&r, 502, "upstream_unreachable", "DNS resolution failed for %s:%u: no answer",
			c->host, c->port);
		refuse_fault(c, &r);
	} else if (c->state == CONN_SNIFF && c->is_watched) {
		entry_relay(c);
	} else {
		conn_reset(c);
	}
}

static void begin_relay(struct conn *c)
{
	static const char ok[] = "HTTP/1.1 200 Connection Established\r\n\r\n";

	if (c->adapter == EVENT_CONNECT && !c->has_said_ok &&
		side_send(&c->client, ok, sizeof(ok) - 1) < 0)
		conn_close(c);
	else
		relay_begin(c);
}

void entry_on_leg_ready(struct conn *c)
{
	begin_relay(c);
}

void entry_on_leg_failed(struct conn *c, const char *text)
{
	relay_failed(c, 502, text);
}
