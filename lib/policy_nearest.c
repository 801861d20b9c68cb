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

static void place(const struct rule *rule, char *out, size_t size)
{
	if (rule->number < 0)
		(void)str_copy(out, size, "by its access preset");
	else
		(void)str_format(out, size, "in rules[%d]", rule->number);
}

static void describe(const struct nearest *n, const struct request *r, char *out, size_t size)
{
	static const char *const what[] = { "", "path", "method", "query" };
	const char *path = n->rule->path ? glob_text(n->rule->path) : "**";
	char which[32];

	place(n->rule, which, sizeof(which));
	(void)snprintf(out, size, "policy '%s' allows %s %s %s; the %s differs%s%s",
		n->endpoint->group->name, n->rule->method, path, which, what[n->closeness],
		n->closeness == BY_METHOD ? ": " : "", n->closeness == BY_METHOD ? r->method : "");
}

/* --- operations and calls --- */

static const char *matcher_text(const struct matcher *m)
{
	return m->n && m->globs[0] ? glob_text(m->globs[0]) : "";
}

/* The first call that the endpoint does not allow on its own, or NULL. */
static const struct jsonrpc_call *offending_call(const struct endpoint *e, const struct request *r)
{
	for (size_t i = 0; r->jsonrpc && i < r->jsonrpc->n_calls; i++) {
		struct jsonrpc_facts one = { .calls = &r->jsonrpc->calls[i], .n_calls = 1 };
		struct request alone = *r;

		alone.jsonrpc = &one;
		if (endpoint_judge(e, &alone).ruling != RULING_ALLOW)
			return one.calls;
	}
	return NULL;
}

/* A rule about tools when a tool was called, else the one whose method begins most alike. */
static const struct rule *nearest_call_rule(
	const struct endpoint *e, const struct jsonrpc_call *call)
{
	const struct rule *best = NULL;
	size_t most = 0;

	for (size_t i = 0; i < e->n_rules; i++) {
		const struct rule *rule = &e->rules[i];
		size_t common;

		if (!rule->method)
			continue;
		common = common_length(rule->method, call->method);
		if (call->tool && rule->tool.n)
			common += 1 + common_length(matcher_text(&rule->tool), call->tool);
		if (!best || common > most) {
			best = rule;
			most = common;
		}
	}
	return best;
}

static void describe_call(const struct endpoint *e, const struct request *r, char *out, size_t size)
{
	const struct jsonrpc_call *call = offending_call(e, r);
	const struct rule *rule = call ? nearest_call_rule(e, call) : NULL;
	char where[32];

	if (!rule)
		return;
	place(rule, where, sizeof(where));
	if (rule->tool.n && call->tool)
		(void)snprintf(out, size,
			"policy '%s' allows %s of tool '%s' %s; the tool differs: %s",
			e->group->name, rule->method, matcher_text(&rule->tool), where, call->tool);
	else
		(void)snprintf(out, size,
			"policy '%s' allows method '%s' %s; the method differs: %s", e->group->name,
			rule->method, where, call->method);
}

static const struct graphql_op *offending_operation(
	const struct endpoint *e, const struct request *r)
{
	for (size_t i = 0; r->graphql && i < r->graphql->n_ops; i++) {
		struct graphql_facts one = { .ops = &r->graphql->ops[i], .n_ops = 1 };
		struct request alone = *r;

		alone.graphql = &one;
		if (endpoint_judge(e, &alone).ruling != RULING_ALLOW)
			return one.ops;
	}
	return NULL;
}

static const char *const operation_types[] = { [RULE_TYPE_NONE] = "none",
	[RULE_TYPE_ANY] = "operation",
	[RULE_TYPE_QUERY] = "query",
	[RULE_TYPE_MUTATION] = "mutation",
	[RULE_TYPE_SUBSCRIPTION] = "subscription" };

static enum rule_type type_of(const struct graphql_op *op)
{
	switch (op->type) {
	case GRAPHQL_QUERY:
		return RULE_TYPE_QUERY;
	case GRAPHQL_MUTATION:
		return RULE_TYPE_MUTATION;
	case GRAPHQL_SUBSCRIPTION:
		return RULE_TYPE_SUBSCRIPTION;
	case GRAPHQL_NONE:
		break;
	}
	return RULE_TYPE_NONE;
}

/* The first field that no pattern of the rule covers. */
static const char *uncovered_field(const struct rule *rule, const struct graphql_op *op)
{
	for (size_t i = 0; rule->fields.n && i < op->n_fields; i++) {
		bool is_covered = false;

		for (size_t k = 0; k < rule->fields.n; k++)
			is_covered |= glob_match(
				rule->fields.globs[k], op->fields[i], strlen(op->fields[i]));
		if (!is_covered)
			return op->fields[i];
	}
	return NULL;
}

static void describe_operation(
	const struct endpoint *e, const struct request *r, char *out, size_t size)
{
	const struct graphql_op *op = offending_operation(e, r);
	const struct rule *best = NULL;
	const char *field;
	char where[32];

	for (size_t i = 0; op && i < e->n_rules; i++)
		if (e->rules[i].type != RULE_TYPE_NONE &&
			(!best || e->rules[i].type == type_of(op)))
			best = &e->rules[i];
	if (!best || type_of(op) == RULE_TYPE_NONE)
		return;
	place(best, where, sizeof(where));
	field = uncovered_field(best, op);
	if (best->type != type_of(op) && best->type != RULE_TYPE_ANY)
		(void)snprintf(out, size,
			"policy '%s' allows a %s %s; the operation type differs: %s",
			e->group->name, operation_types[best->type], where,
			operation_types[type_of(op)]);
	else if (field)
		(void)snprintf(out, size,
			"policy '%s' allows a %s of field '%s' %s; the field differs: %s",
			e->group->name, operation_types[best->type], matcher_text(&best->fields),
			where, field);
	else
		(void)snprintf(out, size,
			"policy '%s' allows a %s named '%s' %s; the name differs: %s",
			e->group->name, operation_types[best->type],
			best->operation ? glob_text(best->operation) : "", where,
			op->name ? op->name : "(none)");
}

void policy_nearest_request(const struct policy *p, const struct intent *in, char *out, size_t size)
{
	const struct request *r = in->request;
	struct nearest best = { 0 };
	const struct endpoint *e;
	struct endpoint_walk w;

	out[0] = '\0';
	endpoint_walk_init(&w, p, in);
	while ((e = endpoint_walk_next(&w))) {
		if (e->protocol == PROTOCOL_JSON_RPC || e->protocol == PROTOCOL_MCP)
			describe_call(e, r, out, size);
		else if (r->graphql)
			describe_operation(e, r, out, size);
		else
			for (size_t i = 0; i < e->n_rules; i++)
				if (e->rules[i].method)
					consider(&best, e, &e->rules[i], r);
	}
	if (best.rule && !out[0])
		describe(&best, r, out, size);
}
