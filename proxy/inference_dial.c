/*
 * Where the server of a route is. The operator named it; what its name resolves to is checked all the same, but
 * that the operator's own base_url may be on this machine or in a private network.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "proxy/chain.h"
#include "proxy/conn.h"
#include "proxy/exchange_internal.h"
#include "proxy/inference.h"
#include "proxy/inference_internal.h"
#include "proxy/route.h"

static const struct inference_route *route_of(const struct conn *c)
{
	return &c->ex.call.on->route;
}

static void failed(struct conn *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void failed(struct conn *c, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	exchange_fault(c, 503, "upstream_unreachable", "inference", "the server of provider '%s' cannot be reached: %s",
		route_of(c)->provider, text);
}

/* A literal of the operator's was looked at when the route was made: loopback is the point of some. */
static bool is_literal(const struct inference_route *r)
{
	struct netaddr a;

	return r->is_own && (inference_is_local(r) || netaddr_parse(r->server.host, &a) == 0);
}

static bool address_is_good(const struct inference_route *r, const struct netaddr *a)
{
	enum netaddr_class class = netaddr_classify(a);
	bool is_private = class == NETADDR_INTERNAL || (class == NETADDR_PUBLIC && route_is_own(a));

	if (class == NETADDR_BLOCKED)
		return false;
	/* In clear text a credential goes no further than to the neighbours. */
	return is_private ? r->is_own : r->is_tls;
}

static bool addresses_are_good(const struct inference_route *r, const struct netaddr *addrs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!address_is_good(r, &addrs[i]))
			return false;
	return n > 0;
}

bool inference_may_dial(const struct conn *c, const struct target *t)
{
	return c->ex.call.on && (t->is_pinned || t->is_chained || addresses_are_good(route_of(c), t->addrs, t->n_addrs));
}

static void check(struct conn *c, const struct netaddr *addrs, size_t n)
{
	struct target *t = c->ex.call.target;

	if (!addresses_are_good(route_of(c), addrs, n)) {
		failed(c, "its name resolves to an address that is not for a server of its kind");
		return;
	}
	if (addrs != t->addrs)
		target_set_addrs(t, addrs, n, route_of(c)->server.port, false);
	exchange_dial(c);
}

static void use(struct conn *c, const struct netaddr *addrs, size_t n, uint16_t port)
{
	target_set_addrs(c->ex.call.target, addrs, n, port, true);
	exchange_dial(c);
}

static void on_answer(struct resolve_query *q, const struct resolve_answer *a)
{
	struct conn *c = container_of(q, struct conn, query);

	if (a->n)
		check(c, a->addrs, a->n);
	else
		failed(c, "%s", a->error);
}

static void on_chain_answer(struct resolve_query *q, const struct resolve_answer *a)
{
	struct conn *c = container_of(q, struct conn, query);

	if (!a->n) {
		failed(c, "the upstream proxy cannot be resolved: %s", a->error);
		return;
	}
	target_set_addrs(c->ex.call.target, a->addrs, a->n, chain_port(c->px->chain), false);
	c->ex.call.target->is_chained = true;
	exchange_dial(c);
}

static void ask(struct conn *c, const char *name, resolve_fn *fn)
{
	struct resolve_answer a;
	int r = resolver_ask(c->px->resolver, &c->query, name, fn, &a);

	if (r == 1)
		fn(&c->query, &a);
	else if (r < 0)
		failed(c, "%s", r == -EBUSY ? "too many questions in flight" : strerror(-r));
}

static void ask_chain(struct conn *c)
{
	struct resolve_answer a = { .n = 1 };

	if (netaddr_parse(chain_host(c->px->chain), &a.addrs[0]) == 0)
		on_chain_answer(&c->query, &a);
	else
		ask(c, chain_host(c->px->chain), on_chain_answer);
}

static void use_literal(struct conn *c)
{
	static const struct netaddr loopback[] = { { .family = AF_INET, .bytes = { 127, 0, 0, 1 } },
		{ .family = AF_INET6, .bytes = { [15] = 1 } } };
	const struct inference_route *r = route_of(c);
	struct netaddr a;

	if (netaddr_parse(r->server.host, &a) == 0)
		use(c, &a, 1, r->server.port);
	else if (!str_eq(r->server.host, "localhost") && c->px->host_gateway.family)
		use(c, &c->px->host_gateway, 1, r->server.port);
	else
		use(c, loopback, ARRAY_SIZE(loopback), r->server.port);
}

static const struct pin *pin_of(const struct conn *c)
{
	const struct url_authority *server = &route_of(c)->server;

	for (size_t i = 0; i < c->px->n_pins; i++)
		if (c->px->pins[i].port == server->port && str_eq(c->px->pins[i].host, server->host))
			return &c->px->pins[i];
	return NULL;
}

static void find(struct conn *c)
{
	const struct inference_route *r = route_of(c);
	const struct target *t = c->ex.call.target;
	const struct pin *pin = pin_of(c);

	if (pin)
		use(c, &pin->addr, 1, pin->to_port);
	else if (is_literal(r))
		use_literal(c);
	else if (chain_applies(c->px->chain, r->server.host, r->server.port))
		ask_chain(c);
	else if (target_is_ready(t))
		check(c, t->addrs, t->n_addrs);
	else
		ask(c, r->server.host, on_answer);
}

/* A program's path begins with a slash: nobody but routes shares these. */
void inference_open(struct conn *c)
{
	char who[4200];
	const struct target_key key = { .host = route_of(c)->server.host,
		.binary = who,
		.port = route_of(c)->server.port,
		.generation = c->generation };

	(void)snprintf(who, sizeof(who), "route %s", c->binary);
	conn_set_state(c, CONN_CONNECT);
	if (c->state != CONN_CONNECT)
		return;
	target_unref(c->ex.call.target);
	c->ex.call.target = target_get(c->px, &key);
	if (c->ex.call.target)
		find(c);
	else
		failed(c, "too many destinations are in use");
}
