/*
 * What one endpoint's rules say about one request: openshell-upstream.md section 2.7.
 */
#include <string.h>

#include "lib/cleanup.h"
#include "lib/policy_impl.h"
#include "lib/str.h"
#include "lib/url.h"

static bool matcher_takes(const struct matcher *m, const char *value)
{
	size_t len = strlen(value);

	for (size_t i = 0; i < m->n; i++)
		if (glob_match(m->globs[i], value, len))
			return true;
	return false;
}

/* --- method, path, query --- */

bool rule_matches_method(const struct rule *rule, const char *method, bool get_covers_head)
{
	if (!rule->method)
		return false;
	if (strcmp(rule->method, "*") == 0 || str_case_eq(rule->method, method))
		return true;
	return get_covers_head && str_case_eq(rule->method, "GET") && str_case_eq(method, "HEAD");
}

bool rule_matches_path(const struct rule *rule, const char *path)
{
	return rule->any_path || glob_match(rule->path, path, strlen(path));
}

/*
 * An allow rule wants the parameter present and every value to match; a deny rule wants one. What some
 * servers take for the parameter (its last value, under another spelling) is a value that does not match
 * for the one, and one that may for the other.
 */
static bool param_matches(const struct matcher *m, const struct request *r, bool is_deny)
{
	size_t present = 0, matching = 0;

	for (size_t i = 0; i < r->n_query; i++) {
		bool is_it = strcmp(r->query[i].name, m->key) == 0;

		if (!is_it && !url_param_may_be(r->query[i].name, m->key, false))
			continue;
		present++;
		matching += (is_it || is_deny) && matcher_takes(m, r->query[i].value);
	}
	return is_deny ? matching > 0 : present > 0 && matching == present;
}

static bool query_matches(const struct rule *rule, const struct request *r, bool is_deny)
{
	for (size_t i = 0; i < rule->n_query; i++)
		if (!param_matches(&rule->query[i], r, is_deny))
			return false;
	return true;
}

/* A rule without a path never matches, allow or deny; nor does a GraphQL rule. */
static bool rest_matches(const struct rule *rule, const struct request *r, bool is_deny)
{
	return rule->type == RULE_TYPE_NONE && rule_matches_method(rule, r->method, true) &&
	       rule_matches_path(rule, r->path) && query_matches(rule, r, is_deny);
}

static const struct rule *rest_find(
	const struct rule *rules, size_t n, const struct request *r, bool is_deny)
{
	for (size_t i = 0; i < n; i++)
		if (rest_matches(&rules[i], r, is_deny))
			return &rules[i];
	return NULL;
}

static struct judgement judge_rest(const struct endpoint *e, const struct request *r)
{
	const struct rule *rule = rest_find(e->rules, e->n_rules, r, false);

	return (struct judgement){ rule ? RULING_ALLOW : RULING_NONE, rule, NULL };
}

/* --- GraphQL --- */

static bool type_matches(enum rule_type want, enum graphql_type is)
{
	switch (want) {
	case RULE_TYPE_ANY:
		return is != GRAPHQL_NONE;
	case RULE_TYPE_QUERY:
		return is == GRAPHQL_QUERY;
	case RULE_TYPE_MUTATION:
		return is == GRAPHQL_MUTATION;
	case RULE_TYPE_SUBSCRIPTION:
		return is == GRAPHQL_SUBSCRIPTION;
	case RULE_TYPE_NONE:
		break;
	}
	return false;
}

static bool operation_matches(const struct rule *rule, const struct graphql_op *op)
{
	if (!type_matches(rule->type, op->type))
		return false;
	return !rule->operation ||
	       (op->name && glob_match(rule->operation, op->name, strlen(op->name)));
}

/* Every root field for an allow rule, any for a deny rule. */
static bool fields_match(const struct rule *rule, const struct graphql_op *op, bool is_deny)
{
	size_t matching = 0;

	if (!rule->fields.n)
		return true;
	for (size_t i = 0; i < op->n_fields; i++)
		matching += matcher_takes(&rule->fields, op->fields[i]);
	return is_deny ? matching > 0 : matching > 0 && matching == op->n_fields;
}

static const struct rule *graphql_find(
	const struct rule *rules, size_t n, const struct graphql_op *op, bool is_deny)
{
	for (size_t i = 0; i < n; i++)
		if (operation_matches(&rules[i], op) && fields_match(&rules[i], op, is_deny))
			return &rules[i];
	return NULL;
}

static const struct graphql_op *registered(const struct endpoint *e, const char *id)
{
	size_t low = 0, high = e->n_persisted;

	while (id && low < high) {
		size_t mid = (low + high) / 2;
		int order = strcmp(id, e->persisted[mid].id);

		if (order == 0)
			return &e->persisted[mid].op;
		if (order < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

/* What an operation sent only by hash or id stands for; NULL when nobody registered it or knows which is meant. */
static const struct graphql_op *resolve_persisted(
	const struct endpoint *e, const struct graphql_op *op)
{
	const struct graphql_op *known;

	if (op->is_ambiguous)
		return NULL;
	if (op->type != GRAPHQL_NONE)
		return op;
	if (!e->allow_registered)
		return NULL;
	known = registered(e, op->persisted_hash);
	return known ? known : registered(e, op->persisted_id);
}

static struct judgement judge_operation(const struct endpoint *e, const struct graphql_op *sent)
{
	const struct graphql_op *op = resolve_persisted(e, sent);
	const struct rule *rule;

	if (!op)
		return (struct judgement){ RULING_UNREGISTERED, NULL, NULL };
	rule = graphql_find(e->deny_rules, e->n_deny, op, true);
	if (rule)
		return (struct judgement){ RULING_BLOCKED, rule, NULL };
	rule = graphql_find(e->rules, e->n_rules, op, false);
	return (struct judgement){ rule ? RULING_ALLOW : RULING_NONE, rule, NULL };
}

/* One operation that is not allowed denies all. */
static struct judgement judge_graphql(const struct endpoint *e, const struct request *r)
{
	const struct graphql_facts *f = r->graphql;
	struct judgement j = { RULING_MALFORMED, NULL, "no GraphQL operation was found" };

	if (!f)
		return j;
	if (f->error)
		return (struct judgement){ RULING_MALFORMED, NULL, f->error };
	if (f->is_control)
		return (struct judgement){ RULING_ALLOW, NULL, NULL };
	for (size_t i = 0; i < f->n_ops; i++) {
		j = judge_operation(e, &f->ops[i]);
		if (j.ruling != RULING_ALLOW)
			break;
	}
	return j;
}

/* --- WebSocket --- */

/*
 * The upgrade is a GET, and nothing but an upgrade is allowed: a plain GET to a WebSocket endpoint
 * would be an uninspected HTTP exchange. Messages follow under the method WEBSOCKET_TEXT.
 */
static struct judgement judge_websocket(const struct endpoint *e, const struct request *r)
{
	bool is_message = strcmp(r->method, "WEBSOCKET_TEXT") == 0;

	if (is_message && e->websocket_graphql)
		return judge_graphql(e, r);
	if (!is_message && !r->is_websocket_upgrade)
		return (struct judgement){ RULING_NONE, NULL, NULL };
	return judge_rest(e, r);
}

/* --- JSON-RPC, MCP --- */

static bool rpc_method_matches(
	const struct endpoint *e, const struct rule *rule, const char *method)
{
	if (!rule->method)
		return false;
	if (e->protocol == PROTOCOL_MCP)
		return glob_match(rule->method_glob, method, strlen(method));
	return strcmp(rule->method, "*") == 0 || strcmp(rule->method, method) == 0;
}

static const struct rule *rpc_find(const struct endpoint *e, const struct rule *rules, size_t n,
	const struct jsonrpc_call *call)
{
	for (size_t i = 0; i < n; i++) {
		const struct rule *rule = &rules[i];

		if (!rpc_method_matches(e, rule, call->method))
			continue;
		if (!rule->tool.n || (call->tool && matcher_takes(&rule->tool, call->tool)))
			return rule;
	}
	return NULL;
}

/* The profile opens every method; tools/call only while no rule says which tools. */
static bool profile_allows(const struct endpoint *e, const struct jsonrpc_call *call)
{
	return e->protocol == PROTOCOL_MCP && e->mcp_all_methods &&
	       (strcmp(call->method, "tools/call") != 0 || !e->mcp_tools_narrowed);
}

static struct judgement judge_call(const struct endpoint *e, const struct jsonrpc_call *call)
{
	const struct rule *rule = rpc_find(e, e->deny_rules, e->n_deny, call);

	if (rule)
		return (struct judgement){ RULING_BLOCKED, rule, NULL };
	rule = rpc_find(e, e->rules, e->n_rules, call);
	if (rule || profile_allows(e, call))
		return (struct judgement){ RULING_ALLOW, rule, NULL };
	return (struct judgement){ RULING_NONE, NULL, NULL };
}

static struct judgement judge_rpc(const struct endpoint *e, const struct request *r)
{
	const struct jsonrpc_facts *f = r->jsonrpc;
	bool is_mcp = e->protocol == PROTOCOL_MCP;
	struct judgement j = { RULING_NONE, NULL, NULL };

	if (f && is_mcp && f->receive_stream && str_case_eq(r->method, "GET"))
		return (struct judgement){ RULING_ALLOW, NULL, NULL };
	if (!str_case_eq(r->method, "POST"))
		return j;
	if (!f || f->error)
		return (struct judgement){ RULING_MALFORMED, NULL,
			f ? f->error : "no JSON-RPC message was found" };
	if (f->has_response && !is_mcp)
		return (struct judgement){ RULING_MALFORMED, NULL,
			"JSON-RPC response frames are not permitted from client to server" };
	if (!f->n_calls && f->has_response)
		return (struct judgement){ RULING_ALLOW, NULL, NULL };
	for (size_t i = 0; i < f->n_calls; i++) {
		j = judge_call(e, &f->calls[i]);
		if (j.ruling != RULING_ALLOW)
			break;
	}
	return j;
}

/* --- all --- */

const struct rule *endpoint_blocks(const struct endpoint *e, const struct request *r)
{
	if (e->protocol != PROTOCOL_REST && e->protocol != PROTOCOL_WEBSOCKET)
		return NULL;
	return rest_find(e->deny_rules, e->n_deny, r, true);
}

struct judgement endpoint_judge(const struct endpoint *e, const struct request *r)
{
	switch (e->protocol) {
	case PROTOCOL_REST:
		return judge_rest(e, r);
	case PROTOCOL_WEBSOCKET:
		return judge_websocket(e, r);
	case PROTOCOL_GRAPHQL:
		return judge_graphql(e, r);
	case PROTOCOL_JSON_RPC:
	case PROTOCOL_MCP:
		return judge_rpc(e, r);
	case PROTOCOL_NONE:
	case PROTOCOL_TCP:
	case PROTOCOL_SQL:
		break;
	}
	return (struct judgement){ RULING_NONE, NULL, NULL };
}
