/*
 * Allow rules that a deny rule of the same endpoint takes back entirely. Found by patterns that
 * certainly contain others, so a warning is never wrong, though some are not given.
 */
#include <string.h>

#include "lib/cleanup.h"
#include "lib/policy_check.h"
#include "lib/str.h"

/* A file of a hundred thousand rules is checked, not compared with itself. */
enum { SHADOW_PAIRS_MAX = 100 * 1000 };

static bool same_text(const struct doc_str *a, const struct doc_str *b)
{
	return strcmp(a->text ? a->text : "", b->text ? b->text : "") == 0;
}

static bool method_covers(const struct doc_str *deny, const struct doc_str *allow)
{
	if (!doc_has(deny) || !doc_has(allow))
		return false;
	return strcmp(deny->text, "*") == 0 || str_case_eq(deny->text, allow->text);
}

/* Every text of @allow is one of @deny: it is a literal that matches, or both are the same. */
static bool path_covers(const struct doc_str *deny, const struct doc_str *allow)
{
	auto_glob struct glob *d = NULL, *a = NULL;
	const char *why;

	if (!doc_has(deny) || !doc_has(allow))
		return false;
	if (same_text(deny, allow) || strcmp(deny->text, "**") == 0)
		return true;
	if (glob_compile(deny->text, GLOB_PATH, &d, &why) < 0 ||
		glob_compile(allow->text, GLOB_PATH, &a, &why) < 0)
		return false;
	return glob_is_literal(a) && glob_match(d, allow->text, strlen(allow->text));
}

static bool fields_cover(const struct doc_rule *deny, const struct doc_rule *allow)
{
	if (!deny->fields.n)
		return true;
	for (size_t i = 0; i < allow->fields.n; i++)
		for (size_t j = 0; j < deny->fields.n; j++)
			if (same_text(&deny->fields.list[j], &allow->fields.list[i]))
				return true;
	return false;
}

static bool graphql_covers(const struct doc_rule *deny, const struct doc_rule *allow)
{
	if (!doc_has(&deny->operation_type) || !doc_has(&allow->operation_type))
		return false;
	if (strcmp(deny->operation_type.text, "*") != 0 &&
		!same_text(&deny->operation_type, &allow->operation_type))
		return false;
	if (doc_has(&deny->operation_name) &&
		!same_text(&deny->operation_name, &allow->operation_name))
		return false;
	return fields_cover(deny, allow);
}

static bool rest_covers(const struct doc_rule *deny, const struct doc_rule *allow)
{
	return !deny->query.n && method_covers(&deny->method, &allow->method) &&
	       path_covers(&deny->path, &allow->path);
}

static bool rpc_covers(const struct doc_rule *deny, const struct doc_rule *allow)
{
	return !deny->tool.head.is_set && !deny->params.n &&
	       method_covers(&deny->method, &allow->method);
}

static bool covers(
	enum policy_protocol protocol, const struct doc_rule *deny, const struct doc_rule *allow)
{
	switch (protocol) {
	case PROTOCOL_REST:
		return rest_covers(deny, allow);
	case PROTOCOL_WEBSOCKET:
		return rest_covers(deny, allow) || graphql_covers(deny, allow);
	case PROTOCOL_GRAPHQL:
		return graphql_covers(deny, allow);
	case PROTOCOL_JSON_RPC:
	case PROTOCOL_MCP:
		return rpc_covers(deny, allow);
	case PROTOCOL_NONE:
	case PROTOCOL_TCP:
	case PROTOCOL_SQL:
		break;
	}
	return false;
}

void policy_check_shadows(const struct endpoint_check *c)
{
	const struct doc_path *rules = PATH_KEY(c->path, "rules");
	const struct doc_endpoint *e = c->e;

	if (e->rules.n * e->deny_rules.n > SHADOW_PAIRS_MAX)
		return;
	for (size_t i = 0; i < e->rules.n; i++) {
		const struct doc_rule *allow = &e->rules.list[i].allow;

		for (size_t j = 0; allow->head.is_set && j < e->deny_rules.n; j++) {
			const struct doc_rule *deny = &e->deny_rules.list[j];

			if (!covers(c->protocol, deny, allow))
				continue;
			odd(c->f, allow->head.pos, PATH_KEY(PATH_INDEX(rules, i), "allow"),
				"shadowed by deny_rules[%zu] (line %u): this rule never allows "
				"anything",
				j, deny->head.pos.line);
			break;
		}
	}
}
