#include "proxy/judge.h"

#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "proxy/exchange_internal.h"
#include "proxy/inference_internal.h"
#include "proxy/route.h"

struct intent judge_intent(const struct conn *c)
{
	return (struct intent){ .host = c->host,
		.port = c->port,
		.binary = c->binary,
		.ancestors = (const char *const *)c->ancestors,
		.identity_error = c->denied,
		.barred = c->px->barred };
}

/*
 * Nobody wrote the host into a policy, so nothing says that it may reach more than public
 * addresses; --connect-to does.
 */
static void audit_addresses(const struct conn *c, const struct netaddr *addrs, size_t n,
	struct decision *ret)
{
	for (size_t i = 0; i < n; i++) {
		bool is_own = route_is_own(&addrs[i]);
		char text[NETADDR_TEXT_MAX];

		if (!is_own && netaddr_classify(&addrs[i]) == NETADDR_PUBLIC)
			continue;
		ret->verdict = VERDICT_DENY;
		ret->layer = LAYER_SSRF;
		(void)str_format(ret->reason, sizeof(ret->reason),
			"%s resolves to %s address %s, which audit does not open, connection "
			"rejected",
			c->host, is_own ? "this machine's" : netaddr_range_name(&addrs[i]),
			netaddr_format(&addrs[i], text, sizeof(text)));
		return;
	}
}

void judge_connection(struct conn *c, const struct netaddr *addrs, size_t n, struct decision *ret)
{
	struct netaddr own[RESOLVED_ADDRS_MAX];
	struct intent in = judge_intent(c);

	in.addrs = addrs;
	in.n_addrs = n;
	in.own_addrs = own;
	for (size_t i = 0; i < n && in.n_own_addrs < RESOLVED_ADDRS_MAX; i++)
		if (route_is_own(&addrs[i]))
			own[in.n_own_addrs++] = addrs[i];
	policy_decide(c->policy, &in, ret);
	/* --audit records what a policy would have to allow; who asks must still be known. */
	if (ret->verdict == VERDICT_DENY && c->px->is_audit && ret->layer == LAYER_L4 &&
		c->binary && !c->denied && !ret->is_barred) {
		ret->verdict = VERDICT_AUDIT;
		audit_addresses(c, addrs, n, ret);
	}
}

void judge_target(struct conn *c, struct decision *ret)
{
	const struct target *t = c->target;

	if (!t || !t->n_addrs || t->is_pinned || t->is_chained)
		judge_connection(c, NULL, 0, ret);
	else
		judge_connection(c, t->addrs, t->n_addrs, ret);
}

static enum event_action action_of(const struct decision *d)
{
	static const enum event_action actions[] = {
		[VERDICT_DENY] = EVENT_DENY,
		[VERDICT_AUDIT] = EVENT_AUDIT,
		[VERDICT_ALLOW] = EVENT_ALLOW,
	};

	return actions[d->verdict];
}

static const char *engine_of(const struct decision *d)
{
	static const char *const engines[] = {
		[LAYER_L4] = "l4",
		[LAYER_SSRF] = "ssrf",
		[LAYER_L7] = "l7",
		[LAYER_HTTP] = "http-parser",
	};

	return d->is_barred ? "deny" : engines[d->layer];
}

/* Whoever understood the request, or failed to. */
static const char *l7_engine_of(const struct decision *d, enum policy_protocol protocol)
{
	switch (d->layer == LAYER_HTTP || d->is_barred ? PROTOCOL_NONE : protocol) {
	case PROTOCOL_GRAPHQL:
		return "l7-graphql";
	case PROTOCOL_JSON_RPC:
		return "l7-jsonrpc";
	case PROTOCOL_MCP:
		return "l7-mcp";
	case PROTOCOL_WEBSOCKET:
		return "l7-websocket";
	default:
		return engine_of(d);
	}
}

static const char *text_or_null(const char *s)
{
	return s && *s ? s : NULL;
}

struct names {
	char endpoint[192], rule[32];
};

/* The event's fields that name the rule; @names holds their text. */
static void event_set_rule(struct event *e, const struct decision *d, struct names *names)
{
	e->policy = d->policy;
	if (d->policy_key && d->endpoint >= 0 &&
		str_format(names->endpoint, sizeof(names->endpoint),
			"network_policies.%s.endpoints[%d]", d->policy_key, d->endpoint))
		e->endpoint = names->endpoint;
	if (d->rule >= 0 && str_format(names->rule, sizeof(names->rule), "%s[%d]",
				    d->is_deny_rule ? "deny_rules" : "rules", d->rule))
		e->rule = names->rule;
}

static struct event decision_event(
	const struct conn *c, const struct decision *d, struct names *names)
{
	struct event e = conn_event(c);

	e.action = action_of(d);
	e.level = d->verdict == VERDICT_DENY ? EVENT_WARN : EVENT_INFO;
	e.engine = engine_of(d);
	if (d->verdict != VERDICT_ALLOW) {
		e.reason = text_or_null(d->reason);
		e.nearest = text_or_null(d->nearest);
	}
	event_set_rule(&e, d, names);
	return e;
}

void judge_log_connection(struct conn *c, const struct decision *d, const struct netaddr *addr)
{
	struct names names;
	struct event e = decision_event(c, d, &names);
	char text[NETADDR_TEXT_MAX];

	e.stack = c->stack;
	if (addr)
		e.addr = netaddr_format(addr, text, sizeof(text));
	log_event(c->px->log, &e);
}

void judge_request(struct conn *c, const struct request *rq, const struct inspected *seen,
	struct decision *ret)
{
	struct intent in = judge_intent(c);
	struct names names;
	struct event e;

	in.request = rq;
	policy_decide(c->policy, &in, ret);
	if (ret->verdict == VERDICT_DENY && c->px->is_audit && ret->layer != LAYER_HTTP &&
		!ret->is_barred)
		ret->verdict = VERDICT_AUDIT;
	e = decision_event(c, ret, &names);
	e.adapter = EVENT_L7;
	e.method = rq->method;
	e.target = rq->path;
	e.operation = seen->operation;
	e.engine = l7_engine_of(ret, seen->protocol);
	log_event(c->px->log, &e);
}

static void event_set_call(struct event *e, const struct conn *c)
{
	const struct inference_call *call = &c->ex.call;

	if (!call->on)
		return;
	e->model = call->on->route.model;
	e->provider = call->on->route.provider;
	e->operation = call->what->kind;
}

static struct event event_let_through(struct conn *c, const char *engine, const char *method, const char *path)
{
	struct event e = conn_event(c);

	e.level = EVENT_INFO;
	e.adapter = method ? EVENT_L7 : c->adapter;
	e.action = EVENT_ALLOW;
	e.engine = engine;
	e.method = method;
	e.target = path;
	event_set_call(&e, c);
	return e;
}

static void log_let_through(struct conn *c, const char *engine, const char *method, const char *path)
{
	struct event e = event_let_through(c, engine, method, path);

	log_event(c->px->log, &e);
}

void judge_log_inference(struct conn *c, const char *method, const char *path)
{
	log_let_through(c, "inference", method, path);
}

void judge_log_inference_answer(struct conn *c, unsigned int status)
{
	struct event e = event_let_through(c, "inference", c->ex.method, exchange_path(c));
	uint64_t ms = loop_now_ms(c->px->loop) - c->ex.call.began_ms;

	e.status = status;
	e.latency_ms = ms > 0 ? (uint32_t)ms : 1;
	log_event(c->px->log, &e);
}

void judge_log_credentials(struct conn *c, const char *text)
{
	struct event e = event_let_through(c, "credentials", c->ex.method, exchange_path(c));

	e.message = text;
	log_event(c->px->log, &e);
}

void judge_log_advisor(struct conn *c, const char *method, const char *path)
{
	log_let_through(c, "advisor", method, path);
}

void judge_log_passthrough(struct conn *c, const char *method, const char *path)
{
	log_let_through(c, "l4", method, path);
}

void judge_log_refusal(struct conn *c, const struct refusal *r, const char *method,
	const char *path, const char *engine)
{
	struct event e = conn_event(c);

	e.level = EVENT_WARN;
	e.adapter = method ? EVENT_L7 : c->adapter;
	e.action = EVENT_DENY;
	e.engine = engine;
	e.reason = text_or_null(r->reason) ? r->reason : r->detail;
	e.policy = text_or_null(r->policy);
	e.method = method;
	e.target = path;
	e.status = r->status;
	e.stack = method ? NULL : c->stack;
	if (method)
		event_set_call(&e, c);
	log_event(c->px->log, &e);
}

static const char *error_of(const struct decision *d)
{
	return d->layer == LAYER_SSRF ? "ssrf_denied" : "policy_denied";
}

void judge_refusal(const struct conn *c, const struct decision *d, const char *method,
	const char *path, struct refusal *ret)
{
	char authority[CONN_AUTHORITY_MAX];

	*ret = (struct refusal){
		.status = 403, .error = error_of(d), .layer = d->layer, .is_denial = true
	};
	(void)str_copy(ret->policy, sizeof(ret->policy), d->policy ? d->policy : "");
	(void)str_copy(ret->reason, sizeof(ret->reason), d->reason);
	(void)str_copy(ret->nearest, sizeof(ret->nearest), d->nearest);
	if (method)
		(void)snprintf(ret->detail, sizeof(ret->detail), "%s %s not permitted by policy",
			method, path);
	else if (d->layer == LAYER_SSRF)
		(void)snprintf(ret->detail, sizeof(ret->detail), "%s", d->reason);
	else
		(void)snprintf(ret->detail, sizeof(ret->detail),
			"CONNECT %s not permitted by policy", conn_authority(c, authority));
}
