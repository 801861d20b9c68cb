#include "lib/policy_nearest.h"

#include <stdio.h>
#include <string.h>

#include "lib/str.h"

static const char *host_text(const struct endpoint *e)
{
	return e->host[0] ? e->host : "(any host in allowed_ips)";
}

/* One binary stands for all; the policy is named, so the others are found. */
static const char *binary_text(const struct group *g)
{
	if (g->n_binaries)
		return g->binaries[0];
	if (g->n_binary_globs && g->binary_globs[0])
		return glob_text(g->binary_globs[0]);
	return NULL;
}

static void differs_in_binary(
	const struct endpoint *e, const struct intent *in, char *out, size_t size)
{
	const char *binary = binary_text(e->group);

	if (!binary)
		(void)snprintf(out, size, "policy '%s' lists no binaries, so nobody may use it",
			e->group->name);
	else
		(void)snprintf(out, size,
			"policy '%s' allows %s:%u for %s%s; the binary differs: %s", e->group->name,
			in->host, in->port, binary,
			e->group->n_binaries + e->group->n_binary_globs > 1 ? " and others" : "",
			in->binary);
}

/* The same host on another port; of the caller's own policies first. */
static const struct endpoint *other_port(
	const struct policy *p, const struct intent *in, bool ignore_binary)
{
	struct endpoint_walk w;

	endpoint_walk_init(&w, p, in);
	w.port = 0;
	w.ignore_binary = ignore_binary;
	return endpoint_walk_next(&w);
}

void policy_nearest_connection(const struct policy *p, const struct intent *in,
	const struct endpoint *others, char *out, size_t size)
{
	const struct endpoint *e;

	out[0] = '\0';
	if (others) {
		differs_in_binary(others, in, out, size);
		return;
	}
	e = other_port(p, in, false);
	if (!e)
		e = other_port(p, in, true);
	if (e && e->n_ports) {
		(void)snprintf(out, size, "policy '%s' allows %s:%u; the port differs: %u",
			e->group->name, host_text(e), e->ports[0], in->port);
		return;
	}
	e = in->host ? policy_index_sibling(p, in->host) : NULL;
	if (e && e->n_ports)
		(void)snprintf(out, size, "policy '%s' allows %s:%u; the host differs: %s",
			e->group->name, host_text(e), e->ports[0], in->host);
}

/* --- requests --- */

enum closeness { FAR = 0, BY_PATH, BY_METHOD, BY_QUERY };

static enum closeness closeness_of(const struct rule *rule, const struct request *r)
{
	bool method = rule_matches_method(rule, r->method, true);
	bool path = rule_matches_path(rule, r->path);

	if (method && path)
		return BY_QUERY;
	if (path)
		return BY_METHOD;
	return method && rule->path ? BY_PATH : FAR;
}

struct nearest {
	enum closeness closeness;
	const struct endpoint *endpoint;
	const struct rule *rule;
	size_t common; /* bytes of path in common */
};

static size_t common_length(const char *a, const char *b)
{
	size_t n = 0;

	while (a[n] && a[n] == b[n])
		n++;
	return n;
}

static void consider(struct nearest *best, const struct endpoint *e, const struct rule *rule,
	const struct request *r)
{
	enum closeness c = closeness_of(rule, r);
	size_t common = rule->path ? common_length(glob_text(rule->path), r->path) : 0;

	if (c == FAR || c < best->closeness ||
		(c == best->closeness && common <= best->common && best->rule))
		return;
	*best = (struct nearest){ c, e, rule, common };
}

static void describe(const struct nearest *n, const struct request *r, char *out, size_t size)
{
	static const char *const what[] = { "", "path", "method", "query" };
	const char *path = n->rule->path ? glob_text(n->rule->path) : "**";
	char which[32];

	if (n->rule->number < 0)
		(void)str_copy(which, sizeof(which), "by its access preset");
	else
		(void)str_format(which, sizeof(which), "in rules[%d]", n->rule->number);
	(void)snprintf(out, size, "policy '%s' allows %s %s %s; the %s differs%s%s",
		n->endpoint->group->name, n->rule->method, path, which, what[n->closeness],
		n->closeness == BY_METHOD ? ": " : "", n->closeness == BY_METHOD ? r->method : "");
}

void policy_nearest_request(const struct policy *p, const struct intent *in, char *out, size_t size)
{
	const struct request *r = in->request;
	struct nearest best = { 0 };
	const struct endpoint *e;
	struct endpoint_walk w;

	out[0] = '\0';
	endpoint_walk_init(&w, p, in);
	while ((e = endpoint_walk_next(&w)))
		for (size_t i = 0; i < e->n_rules; i++)
			if (e->rules[i].method && e->protocol != PROTOCOL_JSON_RPC &&
				e->protocol != PROTOCOL_MCP)
				consider(&best, e, &e->rules[i], r);
	if (best.rule)
		describe(&best, r, out, size);
}
