/*
 * The rules of one endpoint: what each protocol's rules may say, section 2.4.
 */
#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/policy_check.h"
#include "lib/str.h"

/* One rule, allow or deny, with its place. */
struct rule_check {
	const struct endpoint_check *c;
	const struct doc_rule *r;
	const struct doc_path *path;
	bool is_deny;
};

static bool has_rest(const struct doc_rule *r)
{
	return doc_has(&r->method) || doc_has(&r->path) || r->query.n;
}

static bool has_graphql(const struct doc_rule *r)
{
	return doc_has(&r->operation_type) || doc_has(&r->operation_name) || r->fields.is_set;
}

static bool has_tool(const struct doc_rule *r)
{
	return r->tool.head.is_set || r->params.n;
}

static bool is_empty(const struct doc_rule *r)
{
	return !has_rest(r) && !has_graphql(r) && !has_tool(r) && !doc_has(&r->command);
}

static bool is_profile(const struct endpoint_check *c)
{
	return c->protocol == PROTOCOL_MCP && c->e->mcp.allow_all_known_mcp_methods.value;
}

/* --- matchers --- */

static void check_value(
	const struct rule_check *k, const struct doc_matcher *m, const struct doc_path *path)
{
	if (m->is_any && !m->values.n)
		bad(k->c->f, m->head.pos, PATH_KEY(path, "any"), "the list must not be empty");
	for (size_t i = 0; i < m->values.n; i++) {
		const struct doc_str *s = &m->values.list[i];

		if (m->is_any)
			check_pattern(k->c->f, s, GLOB_VALUE, PATH_INDEX(PATH_KEY(path, "any"), i));
		else
			check_pattern(k->c->f, s, GLOB_VALUE, path);
		if (m->is_glob && s->text && !strpbrk(s->text, "*?[{"))
			bad(k->c->f, s->pos, PATH_KEY(path, "glob"),
				"cannot parse '%.80s' as a pattern: it has no wildcard; write the "
				"string itself",
				s->text);
	}
}

static void check_query(const struct rule_check *k)
{
	const struct doc_path *path = PATH_KEY(k->path, "query");

	for (size_t i = 0; i < k->r->query.n; i++) {
		const struct doc_matcher *m = &k->r->query.list[i];

		check_value(k, m, PATH_KEY(path, m->head.key.text));
	}
}

/* --- what does not belong: an ignored condition would make a rule wider than it reads --- */

static void refuse_foreign(const struct rule_check *k, bool rest, bool graphql, bool tool)
{
	const struct doc_rule *r = k->r;
	const char *protocol = policy_protocol_name(k->c->protocol);
	struct yaml_pos pos = r->head.pos;

	if (!rest && (doc_has(&r->path) || r->query.n))
		bad(k->c->f, pos, k->path, "path and query are not supported for protocol %s",
			protocol);
	if (!graphql && has_graphql(r))
		bad(k->c->f, pos, k->path,
			"operation_type, operation_name and fields are not "
			"supported for protocol %s",
			protocol);
	if (!tool && has_tool(r))
		bad(k->c->f, pos, k->path, "tool and params are not supported for protocol %s",
			protocol);
	if (doc_has(&r->command) && k->c->protocol != PROTOCOL_SQL)
		bad(k->c->f, r->command.pos, PATH_KEY(k->path, "command"),
			"command is only supported for protocol sql");
}

/* --- REST and WebSocket --- */

static void check_method(const struct rule_check *k)
{
	static const char *const rest[] = { "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH",
		"OPTIONS", "*", NULL };
	static const char *const websocket[] = { "GET", "WEBSOCKET_TEXT", "*", NULL };
	const char *const *known = k->c->protocol == PROTOCOL_REST ? rest : websocket;
	const struct doc_str *s = &k->r->method;

	if (!doc_has(s))
		return;
	for (; *known; known++)
		if (str_case_eq(*known, s->text))
			return;
	odd(k->c->f, s->pos, PATH_KEY(k->path, "method"),
		"'%.80s' is no method that %s clients "
		"usually send",
		s->text, policy_protocol_name(k->c->protocol));
}

static void check_rule_path(const struct rule_check *k)
{
	const struct doc_str *s = &k->r->path;
	const struct doc_path *path = PATH_KEY(k->path, "path");
	size_t len;

	if (!doc_has(s))
		return;
	check_pattern(k->c->f, s, GLOB_PATH, path);
	len = strlen(s->text);
	if (!strchr("/*{[", s->text[0]))
		odd(k->c->f, s->pos, path, "'%.80s' can never match: a path begins with '/'",
			s->text);
	else if (strcmp(s->text, "*") == 0)
		odd(k->c->f, s->pos, path,
			"'*' can never match: it does not cross '/'; write '**'");
	else if (strchr(s->text, '?'))
		odd(k->c->f, s->pos, path,
			"'?' stands for one character here; a query belongs in "
			"'query'");
	else if (len > 1 && s->text[len - 1] == '*' && !strchr("*/", s->text[len - 2]))
		odd(k->c->f, s->pos, path,
			"'%.80s' is wider than it looks: it matches every name "
			"that begins so; write '%.*s' and '%.*s/**' for one name and what is below",
			s->text, (int)(len - 1), s->text, (int)(len - 1), s->text);
}

/* A rule without method or path says nothing, in silence. */
static void check_complete(const struct rule_check *k)
{
	const struct doc_rule *r = k->r;
	const char *effect = k->is_deny ? "never denies anything" : "never allows anything";

	if (is_empty(r))
		odd(k->c->f, r->head.pos, k->path, "an empty rule %s", effect);
	else if (!doc_has(&r->path))
		odd(k->c->f, r->head.pos, k->path, "without 'path' the rule %s; write path: \"**\"",
			effect);
	else if (!doc_has(&r->method))
		odd(k->c->f, r->head.pos, k->path,
			"without 'method' the rule %s; write method: \"*\"", effect);
}

static void check_rest_rule(const struct rule_check *k)
{
	refuse_foreign(k, true, false, false);
	check_complete(k);
	check_method(k);
	check_rule_path(k);
	check_query(k);
}

/* --- GraphQL --- */

static void check_operation(const struct rule_check *k)
{
	static const char *const types[] = { "query", "mutation", "subscription" };
	const struct doc_rule *r = k->r;
	const struct doc_path *path = PATH_KEY(k->path, "operation_type");
	bool is_known = false;

	for (size_t i = 0; doc_has(&r->operation_type) && i < ARRAY_SIZE(types); i++)
		is_known |= strcmp(r->operation_type.text, types[i]) == 0;
	if (!doc_has(&r->operation_type))
		bad(k->c->f, r->head.pos, path, "operation_type is required");
	else if (!is_known)
		bad(k->c->f, r->operation_type.pos, path,
			"operation_type must be query, mutation or subscription, got '%.80s'%s",
			r->operation_type.text,
			strcmp(r->operation_type.text, "*") == 0
				? ": write one rule for each, or 'access: full'"
				: "");
	check_pattern(k->c->f, &r->operation_name, GLOB_VALUE, PATH_KEY(k->path, "operation_name"));
	if (r->fields.is_set && !r->fields.n)
		bad(k->c->f, r->fields.pos, PATH_KEY(k->path, "fields"),
			"the list must not be empty; leave it out for every field");
	for (size_t i = 0; i < r->fields.n; i++)
		check_pattern(k->c->f, &r->fields.list[i], GLOB_VALUE,
			PATH_INDEX(PATH_KEY(k->path, "fields"), i));
}

static void check_graphql_rule(const struct rule_check *k)
{
	refuse_foreign(k, true, true, false);
	if (has_rest(k->r))
		bad(k->c->f, k->r->head.pos, k->path,
			"GraphQL rules must not combine method, path or query with operations; "
			"select "
			"paths with the endpoint's 'path'");
	if (!is_empty(k->r))
		check_operation(k);
}

/* --- WebSocket: transport rules, or rules about GraphQL operations --- */

static bool endpoint_has_operations(const struct doc_endpoint *e)
{
	for (size_t i = 0; i < e->rules.n; i++)
		if (has_graphql(&e->rules.list[i].allow))
			return true;
	for (size_t i = 0; i < e->deny_rules.n; i++)
		if (has_graphql(&e->deny_rules.list[i]))
			return true;
	return false;
}

static void check_websocket_rule(const struct rule_check *k)
{
	const struct doc_rule *r = k->r;

	if (!has_graphql(r)) {
		check_rest_rule(k);
		if (doc_has(&r->method) && str_case_eq(r->method.text, "WEBSOCKET_TEXT") &&
			endpoint_has_operations(k->c->e))
			bad(k->c->f, r->method.pos, PATH_KEY(k->path, "method"),
				"this endpoint judges GraphQL operations: use operation_type "
				"instead "
				"of WEBSOCKET_TEXT");
		return;
	}
	refuse_foreign(k, true, true, false);
	if (has_rest(r))
		bad(k->c->f, r->head.pos, k->path,
			"WebSocket GraphQL rules must not combine method, path or query with "
			"operation_type, operation_name or fields");
	check_operation(k);
}

/* --- JSON-RPC --- */

static void check_rpc_rule(const struct rule_check *k)
{
	const struct doc_str *s = &k->r->method;
	const struct doc_path *path = PATH_KEY(k->path, "method");

	refuse_foreign(k, false, false, false);
	if (!doc_has(s)) {
		if (!is_empty(k->r) || k->is_deny)
			bad(k->c->f, k->r->head.pos, path, "method is required");
	} else if (strcmp(s->text, "*") != 0 && strpbrk(s->text, "*?[]{}")) {
		bad(k->c->f, s->pos, path,
			"'%.80s': JSON-RPC methods are exact names or '*'; patterns are not "
			"supported",
			s->text);
	}
}

/* --- MCP --- */

static bool is_pattern(const char *s)
{
	return strpbrk(s, "*?[]{}") != NULL;
}

static void check_params(const struct rule_check *k)
{
	const struct doc_path *path = PATH_KEY(k->path, "params");

	for (size_t i = 0; i < k->r->params.n; i++) {
		const struct doc_matcher *m = &k->r->params.list[i];
		const char *name = m->head.key.text;

		if (strcmp(name, "name") != 0)
			bad(k->c->f, m->head.key.pos, PATH_KEY(path, name),
				"argument matching is not supported; only params.name is");
		else
			check_value(k, m, PATH_KEY(path, name));
	}
	if (k->r->tool.head.is_set && k->r->params.n)
		bad(k->c->f, k->r->head.pos, k->path,
			"tool and params.name are mutually exclusive");
}

/* A loose tool name could be spelled so that a pattern misses it. */
static void check_tool_wildcards(const struct rule_check *k, const struct doc_matcher *m)
{
	const struct doc_bool *strict = &k->c->e->mcp.strict_tool_names;

	if (!strict->is_set || strict->value)
		return;
	for (size_t i = 0; i < m->values.n; i++)
		if (m->values.list[i].text && is_pattern(m->values.list[i].text))
			bad(k->c->f, m->values.list[i].pos, PATH_KEY(k->path, "tool"),
				"wildcard tool names require mcp.strict_tool_names: true");
}

static void check_mcp_method(const struct rule_check *k)
{
	const struct doc_str *s = &k->r->method;
	const struct doc_path *path = PATH_KEY(k->path, "method");

	if (!doc_has(s)) {
		if (!is_profile(k->c) && (!is_empty(k->r) || k->is_deny))
			bad(k->c->f, k->r->head.pos, path,
				"method is required when mcp.allow_all_known_mcp_methods is false");
		else if (is_empty(k->r))
			odd(k->c->f, k->r->head.pos, k->path, "an empty rule has no effect");
		return;
	}
	if (has_tool(k->r) && strcmp(s->text, "tools/call") != 0)
		bad(k->c->f, s->pos, path,
			"a rule about tools needs method tools/call, got '%.80s'", s->text);
	else if (is_pattern(s->text) && !str_starts(s->text, "tools/"))
		bad(k->c->f, s->pos, path,
			"patterns are only supported below 'tools/', got '%.80s'", s->text);
	else
		check_pattern(k->c->f, s, GLOB_VALUE, path);
}

static void check_mcp_rule(const struct rule_check *k)
{
	const struct doc_rule *r = k->r;

	refuse_foreign(k, false, false, true);
	check_mcp_method(k);
	check_params(k);
	if (r->tool.head.is_set) {
		check_value(k, &r->tool, PATH_KEY(k->path, "tool"));
		check_tool_wildcards(k, &r->tool);
	}
	for (size_t i = 0; i < r->params.n; i++)
		check_tool_wildcards(k, &r->params.list[i]);
}

static bool covers_tool_calls(const struct doc_rule *r)
{
	auto_glob struct glob *g = NULL;
	const char *why;

	if (has_tool(r) || !doc_has(&r->method))
		return false;
	return glob_compile(r->method.text, GLOB_VALUE, &g, &why) == 0 &&
	       glob_match(g, "tools/call", strlen("tools/call"));
}

/* Naming some tools and opening or closing all of them cannot both be meant. */
static void check_tool_conflicts(const struct endpoint_check *c)
{
	const struct doc_path *rules = PATH_KEY(c->path, "rules");
	const struct doc_path *denies = PATH_KEY(c->path, "deny_rules");
	bool narrowed = false;

	for (size_t i = 0; i < c->e->rules.n; i++)
		narrowed |= has_tool(&c->e->rules.list[i].allow);
	for (size_t i = 0; narrowed && i < c->e->rules.n; i++) {
		const struct doc_rule *r = &c->e->rules.list[i].allow;

		if (covers_tool_calls(r))
			bad(c->f, r->head.pos, PATH_KEY(PATH_INDEX(rules, i), "allow"),
				"allows every tool call and conflicts with MCP tool allow rules");
	}
	for (size_t i = 0; narrowed && i < c->e->deny_rules.n; i++) {
		const struct doc_rule *r = &c->e->deny_rules.list[i];

		if (covers_tool_calls(r))
			bad(c->f, r->head.pos, PATH_INDEX(denies, i),
				"denies every tool call and conflicts with MCP tool allow rules");
	}
}

/* --- SQL --- */

static void check_sql_rule(const struct rule_check *k)
{
	refuse_foreign(k, false, false, false);
}

/* --- all --- */

/* Nobody asks about the rules of an endpoint without a protocol, and raw TCP has none. */
static void (*const rule_checks[])(const struct rule_check *k) = {
	[PROTOCOL_REST] = check_rest_rule,
	[PROTOCOL_WEBSOCKET] = check_websocket_rule,
	[PROTOCOL_GRAPHQL] = check_graphql_rule,
	[PROTOCOL_JSON_RPC] = check_rpc_rule,
	[PROTOCOL_MCP] = check_mcp_rule,
	[PROTOCOL_SQL] = check_sql_rule,
};

static void check_each(const struct endpoint_check *c)
{
	const struct doc_path *rules = PATH_KEY(c->path, "rules");
	const struct doc_path *denies = PATH_KEY(c->path, "deny_rules");

	for (size_t i = 0; i < c->e->rules.n; i++) {
		struct rule_check k = { c, &c->e->rules.list[i].allow,
			PATH_KEY(PATH_INDEX(rules, i), "allow"), false };

		if (k.r->head.is_set)
			rule_checks[c->protocol](&k);
		else
			odd(c->f, c->e->rules.list[i].head.pos, PATH_INDEX(rules, i),
				"no allow clause: this element allows nothing");
	}
	for (size_t i = 0; i < c->e->deny_rules.n; i++) {
		struct rule_check k = { c, &c->e->deny_rules.list[i], PATH_INDEX(denies, i), true };

		rule_checks[c->protocol](&k);
	}
}

/* Is there anything that allows, and does it fit the protocol? */
static void check_base(const struct endpoint_check *c)
{
	const struct doc_endpoint *e = c->e;
	bool has_access = doc_has(&e->access), has_base = has_access || e->rules.n;
	bool is_rpc = c->protocol == PROTOCOL_JSON_RPC, is_mcp = c->protocol == PROTOCOL_MCP;
	const struct doc_path *rules = PATH_KEY(c->path, "rules");

	if (has_access && (is_rpc || is_mcp))
		bad(c->f, e->access.pos, PATH_KEY(c->path, "access"),
			"protocol %s does not support access presets; use explicit rules with "
			"allow.method%s",
			policy_protocol_name(c->protocol),
			is_mcp ? " or mcp.allow_all_known_mcp_methods" : "");
	else if (has_access && e->rules.is_set && e->rules.n)
		bad(c->f, e->rules.pos, rules, "rules and access are mutually exclusive");
	else if (is_rpc && !has_base)
		bad(c->f, e->head.pos, rules,
			"protocol json-rpc requires explicit rules with allow.method");
	else if (is_mcp && !has_base && !is_profile(c))
		bad(c->f, e->head.pos, rules,
			"protocol mcp requires rules when mcp.allow_all_known_mcp_methods is "
			"false");
	else if (!is_rpc && !is_mcp && !has_base)
		bad(c->f, e->head.pos, rules,
			"protocol requires rules or access to define allowed traffic");
}

static void check_lists(const struct endpoint_check *c)
{
	const struct doc_endpoint *e = c->e;
	bool has_base = doc_has(&e->access) || e->rules.n;
	bool allows = false;

	if (e->rules.is_set && !e->rules.n)
		bad(c->f, e->rules.pos, PATH_KEY(c->path, "rules"),
			"rules list cannot be empty: it would deny all traffic");
	if (e->deny_rules.is_set && !e->deny_rules.n)
		bad(c->f, e->deny_rules.pos, PATH_KEY(c->path, "deny_rules"),
			"deny_rules list cannot be empty");
	for (size_t i = 0; i < e->rules.n; i++)
		allows |= e->rules.list[i].allow.head.is_set && !is_empty(&e->rules.list[i].allow);
	if (e->rules.n && !allows && !is_profile(c))
		bad(c->f, e->rules.pos, PATH_KEY(c->path, "rules"),
			"rules would deny all traffic (no allow clause found)");
	if (e->deny_rules.n && !has_base && !is_profile(c) && c->protocol != PROTOCOL_NONE)
		bad(c->f, e->deny_rules.pos, PATH_KEY(c->path, "deny_rules"),
			"deny_rules require rules or access to define the base allow set");
}

void policy_check_rules(const struct endpoint_check *c)
{
	const struct doc_endpoint *e = c->e;

	if (c->protocol == PROTOCOL_TCP)
		return;
	if (c->protocol == PROTOCOL_NONE) {
		if (e->deny_rules.n)
			bad(c->f, e->deny_rules.pos, PATH_KEY(c->path, "deny_rules"),
				"deny_rules require protocol (L7 inspection must be enabled)");
		if (e->rules.n)
			odd(c->f, e->rules.pos, PATH_KEY(c->path, "rules"),
				"has no effect without 'protocol': the connection is relayed "
				"uninspected");
		check_lists(c);
		return;
	}
	check_base(c);
	check_lists(c);
	check_each(c);
	policy_check_shadows(c);
	if (c->protocol == PROTOCOL_MCP)
		check_tool_conflicts(c);
}
