/*
 * The decision.
 *
 * Layer 4 first: is there an endpoint for host, port and binary? Then, once the name is resolved,
 * the addresses: each must be one that some matching endpoint may reach. Then, when there is a
 * request, the rules of the matching endpoints together, in the protocol of the one whose path is
 * the most specific.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/barred.h"
#include "lib/cleanup.h"
#include "lib/policy_impl.h"
#include "lib/policy_nearest.h"
#include "lib/str.h"

static void __attribute__((format(printf, 3, 4)))
refuse(struct decision *d, enum decision_layer layer, const char *fmt, ...)
{
	va_list ap;

	d->verdict = VERDICT_DENY;
	d->layer = layer;
	va_start(ap, fmt);
	(void)vsnprintf(d->reason, sizeof(d->reason), fmt, ap);
	va_end(ap);
}

static void name_endpoint(struct decision *d, const struct endpoint *e)
{
	d->policy = e->group->name;
	d->policy_key = e->group->key;
	d->endpoint = e->number;
}

bool policy_protocol_is_http(enum policy_protocol p)
{
	switch (p) {
	case PROTOCOL_REST:
	case PROTOCOL_WEBSOCKET:
	case PROTOCOL_GRAPHQL:
	case PROTOCOL_JSON_RPC:
	case PROTOCOL_MCP:
		return true;
	case PROTOCOL_NONE:
	case PROTOCOL_TCP:
	case PROTOCOL_SQL:
		break;
	}
	return false;
}

/* --- middlewares --- */

static bool selector_has(struct glob *const *list, size_t n, const char *host)
{
	for (size_t i = 0; i < n; i++)
		if (glob_match(list[i], host, strlen(host)))
			return true;
	return false;
}

static bool middleware_wants(const struct middleware *m, const char *host)
{
	return selector_has(m->include, m->n_include, host) &&
	       !selector_has(m->exclude, m->n_exclude, host);
}

/* The first middleware that is interested in the host; with @strict, of those that fail closed. */
static const struct middleware *middleware_of(const struct policy *p, const char *host, bool strict)
{
	for (size_t i = 0; i < p->n_middlewares; i++)
		if ((!strict || !p->middlewares[i].fail_open) &&
			middleware_wants(&p->middlewares[i], host))
			return &p->middlewares[i];
	return NULL;
}

/* --- layer 4 --- */

/* The endpoint of the smallest policy key, and how the connection is to be carried. */
static const struct endpoint *connect_endpoint(
	const struct policy *p, const struct intent *in, struct carriage *c)
{
	const struct endpoint *e, *first = NULL;
	struct endpoint_walk w;

	endpoint_walk_init(&w, p, in);
	while ((e = endpoint_walk_next(&w))) {
		if (!first || e->group < first->group ||
			(e->group == first->group && e->number < first->number))
			first = e;
		c->is_inspected |= policy_protocol_is_http(e->protocol);
		c->tls_skip |= e->tls_skip;
		c->is_signed |= e->signing.mode != AWS_SIGN_NOTHING;
		c->allow_uninspected_credentials |= e->allow_uninspected_credentials;
	}
	return first;
}

/* Somebody else may connect there. */
static const struct endpoint *anybodys_endpoint(const struct policy *p, const struct intent *in)
{
	struct endpoint_walk w;

	endpoint_walk_init(&w, p, in);
	w.ignore_binary = true;
	return endpoint_walk_next(&w);
}

static void refuse_connection(const struct policy *p, const struct intent *in, struct decision *d)
{
	const struct endpoint *others = anybodys_endpoint(p, in);

	if (others)
		refuse(d, LAYER_L4, "binary '%s' not allowed in policy '%s'", in->binary,
			others->group->name);
	else
		refuse(d, LAYER_L4, "no matching network policy");
	policy_nearest_connection(p, in, others, d->nearest, sizeof(d->nearest));
}

/* What a middleware must see and nobody looks into stays here. */
static bool decide_carriage(const struct policy *p, const struct intent *in, struct decision *d)
{
	const struct middleware *m;

	if (d->carriage.is_inspected && !d->carriage.tls_skip)
		return true;
	m = middleware_of(p, in->host, true);
	if (!m)
		return true;
	refuse(d, LAYER_L4,
		"middleware '%s' fails closed and cannot inspect this connection: the "
		"endpoint in policy '%s' has no 'protocol', or 'tls: skip'",
		m->name, d->policy);
	return false;
}

static bool decide_connection(const struct policy *p, const struct intent *in, struct decision *d)
{
	const char *barred = barred_find(in->barred, in->host, in->port);
	const struct endpoint *e;

	if (barred) {
		refuse(d, LAYER_L4, "closed by --deny %s", barred);
		d->is_barred = true;
		return false;
	}
	if (in->identity_error) {
		refuse(d, LAYER_L4, "%s", in->identity_error);
		return false;
	}
	if (in->port == 0) { /* any port, where the index is asked */
		refuse(d, LAYER_L4, "port 0 is no port");
		return false;
	}
	if (!in->binary) {
		refuse(d, LAYER_L4, "the calling binary is unknown");
		return false;
	}
	e = connect_endpoint(p, in, &d->carriage);
	if (!e) {
		refuse_connection(p, in, d);
		return false;
	}
	name_endpoint(d, e);
	return decide_carriage(p, in, d);
}

/* --- the addresses --- */

/* A control plane's ports are closed wherever more than public addresses is open. */
static bool is_control_plane(uint16_t port)
{
	static const uint16_t ports[] = { 2379, 2380, 6443, 10250, 10255 };

	for (size_t i = 0; i < ARRAY_SIZE(ports); i++)
		if (port == ports[i])
			return true;
	return false;
}

static bool is_host_alias(const char *host)
{
	static const char *const names[] = { "host.openshell.internal", "host.containers.internal",
		"host.docker.internal" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(host, names[i]) == 0)
			return true;
	return false;
}

static bool is_own(const struct intent *in, const struct netaddr *a)
{
	for (size_t i = 0; i < in->n_own_addrs; i++)
		if (netaddr_equal(&in->own_addrs[i], a))
			return true;
	return false;
}

static enum netaddr_class class_of(const struct intent *in, const struct netaddr *a)
{
	enum netaddr_class class = netaddr_classify(a);

	return class == NETADDR_PUBLIC && is_own(in, a) ? NETADDR_INTERNAL : class;
}

enum reach { REACH_PUBLIC = 0, REACH_LISTED, REACH_ITSELF, REACH_ALIAS, REACH_DECLARED };

/* Which addresses an endpoint may reach: the order is upstream's (section 3.4). */
static enum reach reach_of(const struct endpoint *e)
{
	if (e->n_allowed_ips)
		return REACH_LISTED;
	if (e->is_ip)
		return REACH_ITSELF;
	if (e->host_glob || !e->host[0])
		return REACH_PUBLIC;
	return is_host_alias(e->host) ? REACH_ALIAS : REACH_DECLARED;
}

static bool is_listed(const struct endpoint *e, const struct netaddr *a)
{
	for (size_t i = 0; i < e->n_allowed_ips; i++)
		if (netprefix_contains(&e->allowed_ips[i], a))
			return true;
	return false;
}

/* The alias stands for the host itself, loopback included, and for nothing else. */
static bool alias_reaches(const struct intent *in, const struct netaddr *a)
{
	return strcmp(netaddr_range_name(a), "loopback") == 0 || is_own(in, a) ||
	       netaddr_classify(a) == NETADDR_INTERNAL;
}

static bool endpoint_reaches(
	const struct endpoint *e, const struct intent *in, const struct netaddr *a)
{
	enum netaddr_class class = class_of(in, a);

	switch (reach_of(e)) {
	case REACH_PUBLIC:
		return class == NETADDR_PUBLIC;
	case REACH_LISTED:
		return class != NETADDR_BLOCKED && is_listed(e, a);
	case REACH_ITSELF:
		return class != NETADDR_BLOCKED && netaddr_equal(&e->ip, a);
	case REACH_ALIAS:
		return alias_reaches(in, a);
	case REACH_DECLARED:
		return class != NETADDR_BLOCKED;
	}
	return false;
}

static bool some_endpoint_reaches(
	const struct policy *p, const struct intent *in, const struct netaddr *a)
{
	const struct endpoint *e;
	struct endpoint_walk w;

	endpoint_walk_init(&w, p, in);
	while ((e = endpoint_walk_next(&w)))
		if (endpoint_reaches(e, in, a) &&
			(reach_of(e) == REACH_PUBLIC || !is_control_plane(in->port)))
			return true;
	return false;
}

static bool some_endpoint_lists(const struct policy *p, const struct intent *in)
{
	const struct endpoint *e;
	struct endpoint_walk w;

	endpoint_walk_init(&w, p, in);
	while ((e = endpoint_walk_next(&w)))
		if (e->n_allowed_ips)
			return true;
	return false;
}

static void refuse_address(const struct policy *p, const struct intent *in, const struct netaddr *a,
	struct decision *d)
{
	enum netaddr_class class = class_of(in, a);
	char text[NETADDR_TEXT_MAX];

	(void)netaddr_format(a, text, sizeof(text));
	if (class == NETADDR_BLOCKED)
		refuse(d, LAYER_SSRF,
			"%s resolves to always-blocked address %s (%s), connection "
			"rejected",
			in->host, text, netaddr_range_name(a));
	else if (is_control_plane(in->port))
		refuse(d, LAYER_SSRF,
			"port %u is a blocked control-plane port, connection rejected", in->port);
	else if (some_endpoint_lists(p, in))
		refuse(d, LAYER_SSRF,
			"%s resolves to %s which is not in allowed_ips, connection "
			"rejected",
			in->host, text);
	else
		refuse(d, LAYER_SSRF,
			"%s resolves to internal address %s (%s), connection rejected", in->host,
			text, is_own(in, a) ? "this host" : netaddr_range_name(a));
}

static bool decide_addresses(const struct policy *p, const struct intent *in, struct decision *d)
{
	if (!in->addrs)
		return true;
	if (!in->n_addrs) {
		refuse(d, LAYER_SSRF, "%s has no address", in->host);
		return false;
	}
	for (size_t i = 0; i < in->n_addrs; i++) {
		if (!some_endpoint_reaches(p, in, &in->addrs[i])) {
			refuse_address(p, in, &in->addrs[i], d);
			return false;
		}
	}
	return true;
}

/* --- the request --- */

static bool path_matches(const struct glob *g, const char *path)
{
	return !g || glob_match(g, path, strlen(path));
}

static bool is_preferred(const struct endpoint *e, const struct endpoint *best)
{
	if (e->specificity != best->specificity)
		return e->specificity > best->specificity;
	return e->group != best->group ? e->group < best->group : e->number < best->number;
}

/* The inspected endpoint that says how to look: most specific path, then order of the policies. */
static const struct endpoint *select_endpoint(
	const struct policy *p, const struct intent *in, const char *path)
{
	const struct endpoint *e, *best = NULL;
	struct endpoint_walk w;

	endpoint_walk_init(&w, p, in);
	while ((e = endpoint_walk_next(&w))) {
		if (!policy_protocol_is_http(e->protocol) || !path_matches(e->path_select, path))
			continue;
		if (!best || is_preferred(e, best))
			best = e;
	}
	return best;
}

/* The verdict of all matching endpoints together. */
struct tally {
	const struct endpoint *allowed_by, *blocked_by, *failed_at;
	struct judgement allow, block, fail;
};

static void tally_add(struct tally *t, const struct endpoint *e, struct judgement j)
{
	bool is_earlier;

	switch (j.ruling) {
	case RULING_ALLOW:
		is_earlier = t->allowed_by && e->group < t->allowed_by->group;
		if (!t->allowed_by || is_earlier) {
			t->allowed_by = e;
			t->allow = j;
		}
		return;
	case RULING_BLOCKED:
		if (!t->blocked_by) {
			t->blocked_by = e;
			t->block = j;
		}
		return;
	case RULING_MALFORMED:
	case RULING_UNREGISTERED:
		if (!t->failed_at || j.ruling == RULING_MALFORMED) {
			t->failed_at = e;
			t->fail = j;
		}
		return;
	case RULING_NONE:
		return;
	}
}

/*
 * Allow rules count within the protocol of the selected endpoint: a REST rule must not rescue a
 * GraphQL operation. Deny rules of method and path hold everywhere.
 */
static void tally_all(const struct policy *p, const struct intent *in,
	const struct endpoint *selected, struct tally *t)
{
	const struct request *r = in->request;
	const struct endpoint *e;
	struct endpoint_walk w;

	endpoint_walk_init(&w, p, in);
	while ((e = endpoint_walk_next(&w))) {
		const struct rule *rule;

		if (!path_matches(e->path_rule, r->path))
			continue;
		rule = endpoint_blocks(e, r);
		if (rule)
			tally_add(t, e, (struct judgement){ RULING_BLOCKED, rule, NULL });
		if (e->protocol == selected->protocol)
			tally_add(t, e, endpoint_judge(e, r));
	}
}

static bool is_graphql(const struct endpoint *e, const struct request *r)
{
	return e->protocol == PROTOCOL_GRAPHQL ||
	       (e->websocket_graphql && strcmp(r->method, "WEBSOCKET_TEXT") == 0);
}

static void refuse_malformed(
	const struct endpoint *e, const struct request *r, const char *why, struct decision *d)
{
	if (is_graphql(e, r))
		refuse(d, LAYER_L7, "GraphQL request rejected: %s", why);
	else if (str_starts(why, "JSON-RPC"))
		refuse(d, LAYER_L7, "%s", why);
	else
		refuse(d, LAYER_L7, "JSON-RPC request rejected: %s", why);
}

static void refuse_request(const struct endpoint *selected, const struct request *r,
	const struct tally *t, struct decision *d)
{
	if (t->blocked_by && is_graphql(t->blocked_by, r))
		refuse(d, LAYER_L7, "GraphQL operation blocked by endpoint policy");
	else if (t->blocked_by)
		refuse(d, LAYER_L7, "%s %s blocked by deny rule", r->method, r->path);
	else if (t->failed_at)
		refuse(d, LAYER_L7, "GraphQL persisted query is not registered");
	else if (is_graphql(selected, r))
		refuse(d, LAYER_L7, "GraphQL operation not permitted by policy");
	else
		refuse(d, LAYER_L7, "%s %s not permitted by policy", r->method, r->path);
	if (!selected->is_enforcing)
		d->verdict = VERDICT_AUDIT;
}

static void name_rule(struct decision *d, const struct endpoint *e, const struct judgement *j)
{
	name_endpoint(d, e);
	d->rule = j->rule ? j->rule->number : -1;
	d->is_deny_rule = j->ruling == RULING_BLOCKED;
}

/* Only layer 4 matched, or no path of an inspected endpoint did. */
static void refuse_unselected(const struct policy *p, const struct intent *in, struct decision *d)
{
	const struct request *r = in->request;

	refuse(d, LAYER_L7, "%s %s not permitted by policy", r->method, r->path);
	if (d->carriage.is_inspected)
		policy_nearest_request(p, in, d->nearest, sizeof(d->nearest));
	else
		(void)snprintf(d->nearest, sizeof(d->nearest),
			"policy '%s' allows the connection and relays it uninspected: without "
			"'protocol' an endpoint has no rules for requests",
			d->policy);
}

static bool decide_request(const struct policy *p, const struct intent *in, struct decision *d)
{
	const struct endpoint *selected = select_endpoint(p, in, in->request->path);
	struct tally t = { 0 };

	if (!selected) {
		refuse_unselected(p, in, d);
		return false;
	}
	d->carriage.allow_encoded_slash = selected->allow_encoded_slash;
	tally_all(p, in, selected, &t);
	if (t.failed_at && t.fail.ruling == RULING_MALFORMED) {
		name_endpoint(d, t.failed_at);
		refuse_malformed(t.failed_at, in->request, t.fail.why, d);
		return false;
	}
	if (t.allowed_by && !t.blocked_by) {
		name_rule(d, t.allowed_by, &t.allow);
		return true;
	}
	if (t.blocked_by)
		name_rule(d, t.blocked_by, &t.block);
	else
		name_endpoint(d, selected);
	refuse_request(selected, in->request, &t, d);
	if (!t.blocked_by)
		policy_nearest_request(p, in, d->nearest, sizeof(d->nearest));
	return false;
}

void policy_decide(const struct policy *p, const struct intent *in, struct decision *ret)
{
	*ret = (struct decision){ .endpoint = -1, .rule = -1 };
	if (!decide_connection(p, in, ret) || !decide_addresses(p, in, ret))
		return;
	if (in->request && !decide_request(p, in, ret))
		return;
	ret->verdict = VERDICT_ALLOW;
	ret->layer = in->request ? LAYER_L7 : LAYER_L4;
}

/* --- what to look at --- */

/* An endpoint may sign requests that it does not judge. */
static void select_signing(const struct policy *p, const struct intent *in, struct inspection *ret)
{
	const struct endpoint *e;
	struct endpoint_walk w;

	endpoint_walk_init(&w, p, in);
	while ((e = endpoint_walk_next(&w)) && (!e->signing.mode || policy_protocol_is_http(e->protocol)))
		;
	if (e) /* policy_overlap.c sees to it that others say the same */
		*ret = (struct inspection){ .signing = e->signing,
			.credential_provider = e->credential_provider };
}

bool policy_select(
	const struct policy *p, const struct intent *in, const char *path, struct inspection *ret)
{
	const struct endpoint *e = select_endpoint(p, in, path);

	*ret = (struct inspection){ 0 };
	if (!e) {
		select_signing(p, in, ret);
		return false;
	}
	*ret = (struct inspection){
		.protocol = e->protocol,
		.is_enforcing = e->is_enforcing,
		.allow_encoded_slash = e->allow_encoded_slash,
		.body_max = e->body_max,
		.websocket_graphql = e->websocket_graphql,
		.websocket_text = e->protocol == PROTOCOL_WEBSOCKET,
		.mcp_strict_tool_names = e->mcp_strict_tool_names,
		.rewrite_body = e->rewrite_body,
		.rewrite_websocket = e->rewrite_websocket,
		.signing = e->signing,
		.credential_provider = e->credential_provider,
		.redact = middleware_of(p, in->host, false) != NULL,
		.redact_may_fail = !middleware_of(p, in->host, true),
	};
	return true;
}
