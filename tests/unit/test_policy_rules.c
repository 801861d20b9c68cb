/*
 * Requests against the rules of each protocol; the facts are given, the parsers have tests of
 * their own.
 */
#include "unit/policy_test.h"

#include <errno.h>

#include "lib/cleanup.h"

static struct decision ask(const struct policy *p, const struct request *r)
{
	struct intent in = curl_to("h.test", 443);
	struct decision d;

	in.request = r;
	policy_decide(p, &in, &d);
	return d;
}

static struct policy *enforcing(const char *protocol, const char *rest)
{
	char text[2048];

	snprintf(text, sizeof(text),
		"host: h.test, port: 443, enforcement: enforce, protocol: %s, %s", protocol, rest);
	return policy_of_endpoint(text);
}

static void allowed(const struct policy *p, const struct request *r)
{
	struct decision d = ask(p, r);

	if (d.verdict != VERDICT_ALLOW)
		fail_msg("denied: %s", d.reason);
}

static void denied(const struct policy *p, const struct request *r, const char *reason)
{
	struct decision d = ask(p, r);

	assert_int_equal(d.verdict, VERDICT_DENY);
	assert_int_equal(d.layer, LAYER_L7);
	if (!strstr(d.reason, reason))
		fail_msg("'%s', not '%s'", d.reason, reason);
}

/* --- REST --- */

static struct request rest(const char *method, const char *path)
{
	return (struct request){ .method = method, .path = path };
}

static void get_covers_head_in_allow_and_in_deny_rules(void **state)
{
	struct policy *p = enforcing("rest", "rules: [{ allow: { method: GET, path: '**' } }], "
					     "deny_rules: [{ method: GET, path: /secret }]");
	struct request head = rest("head", "/x"), secret = rest("HEAD", "/secret");

	(void)state;
	allowed(p, &head);
	denied(p, &secret, "HEAD /secret blocked by deny rule");
	policy_unref(p);
}

static void an_allowed_query_matches_in_every_value_a_denied_one_in_any(void **state)
{
	static const struct query_param both[] = { { "t", "foo-a" }, { "t", "evil" } };
	static const struct query_param good[] = { { "t", "foo-a" }, { "other", "x" } };
	struct policy *p = enforcing("rest",
		"rules: [{ allow: { method: GET, path: /a, query: { t: 'foo-*' } } }, "
		"{ allow: { method: GET, path: /d } }], "
		"deny_rules: [{ method: GET, path: /d, query: { t: evil } }]");
	struct request r = rest("GET", "/a");

	(void)state;
	denied(p, &r, "not permitted");
	r.query = both;
	r.n_query = 2;
	denied(p, &r, "not permitted");
	r.query = good;
	allowed(p, &r);
	r.path = "/d";
	allowed(p, &r);
	r.query = both;
	denied(p, &r, "blocked by deny rule");
	policy_unref(p);
}

/* What PHP and Express take for the parameter "t_x" is no way around a rule for it. */
static void a_parameter_in_another_spelling_is_no_way_around_a_rule(void **state)
{
	static const char *const names[] = { " t_x", "t.x", "t x", "t_x[]", "t_x[0]", "t_x\xc0\x80y" };
	static const char *const others[] = { "t-x", "t_xy", "xt_x", "T_X", "t_x ", "_t_x" };
	struct policy *p = enforcing("rest",
		"rules: [{ allow: { method: GET, path: /a, query: { t_x: 'foo-*' } } }, "
		"{ allow: { method: GET, path: /d } }], "
		"deny_rules: [{ method: GET, path: /d, query: { t_x: evil } }]");
	struct query_param both[] = { { "t_x", "foo-a" }, { "", "evil" } };
	struct request r = rest("GET", "/a");

	(void)state;
	r.query = both;
	r.n_query = 2;
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		both[1].name = others[i];
		r.path = "/a";
		allowed(p, &r);
		r.path = "/d";
		allowed(p, &r);
	}
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		both[1].name = names[i];
		r.path = "/a";
		denied(p, &r, "not permitted");
		r.path = "/d";
		denied(p, &r, "blocked by deny rule");
	}
	policy_unref(p);
}

static void a_denial_names_the_nearest_rule(void **state)
{
	struct policy *p =
		enforcing("rest", "rules: [{ allow: { method: GET, path: '/repos/**' } }, "
				  "{ allow: { method: POST, path: '/repos/*/issues' } }]");
	struct request method = rest("DELETE", "/repos/a/issues"),
		       path = rest("POST", "/repos/a/pulls");

	(void)state;
	assert_string_equal(ask(p, &method).nearest,
		"policy 'p' allows GET /repos/** in rules[0]; the method differs: DELETE");
	assert_string_equal(ask(p, &path).nearest,
		"policy 'p' allows GET /repos/** in rules[0]; the method differs: POST");
	path.path = "/other";
	assert_string_equal(ask(p, &path).nearest,
		"policy 'p' allows POST /repos/*/issues in rules[1]; the path differs");
	policy_unref(p);
}

/* --- WebSocket --- */

static void a_websocket_endpoint_takes_upgrades_and_judged_messages(void **state)
{
	struct policy *p =
		enforcing("websocket", "rules: [{ allow: { method: GET, path: /ws } }, "
				       "{ allow: { method: WEBSOCKET_TEXT, path: /chat } }]");
	struct request plain = rest("GET", "/ws"), upgrade = plain;
	struct request text = rest("WEBSOCKET_TEXT", "/chat"),
		       other = rest("WEBSOCKET_TEXT", "/ws");

	(void)state;
	upgrade.is_websocket_upgrade = true;
	denied(p, &plain, "not permitted");
	allowed(p, &upgrade);
	allowed(p, &text);
	denied(p, &other, "not permitted");
	policy_unref(p);
}

static void read_only_lets_no_message_out(void **state)
{
	struct policy *p = enforcing("websocket", "access: read-only");
	struct request upgrade = rest("GET", "/ws"), text = rest("WEBSOCKET_TEXT", "/ws");
	struct intent in = curl_to("h.test", 443);
	struct inspection look;

	(void)state;
	upgrade.is_websocket_upgrade = true;
	allowed(p, &upgrade);
	denied(p, &text, "not permitted");
	assert_true(policy_select(p, &in, "/ws", &look));
	assert_true(look.websocket_text);
	policy_unref(p);
}

/* --- GraphQL --- */

static const char *const viewer[] = { "viewer" };
static const char *const two_fields[] = { "viewer", "admin" };
static const char *const delete_repo[] = { "deleteRepo" };

static struct graphql_op operation(
	enum graphql_type type, const char *name, const char *const *fields, size_t n)
{
	return (struct graphql_op){ .type = type, .name = name, .fields = fields, .n_fields = n };
}

static struct decision ask_graphql(const struct policy *p, const struct graphql_op *ops, size_t n)
{
	struct graphql_facts f = { .ops = ops, .n_ops = n };
	struct request r = { .method = "POST", .path = "/graphql", .graphql = &f };

	return ask(p, &r);
}

#define GRAPHQL_RULES                                                                              \
	"persisted_queries: allow_registered, graphql_persisted_queries: "                         \
	"{ abc: { operation_type: query, fields: [viewer] } }, "                                   \
	"rules: [{ allow: { operation_type: query, fields: [viewer, repo] } }, "                   \
	"{ allow: { operation_type: mutation, operation_name: 'Issue*' } }], "                     \
	"deny_rules: [{ operation_type: mutation, fields: [deleteRepo] }]"

static void every_operation_and_every_field_must_be_allowed(void **state)
{
	struct policy *p = enforcing("graphql", GRAPHQL_RULES);
	struct graphql_op query = operation(GRAPHQL_QUERY, NULL, viewer, 1);
	struct graphql_op wide = operation(GRAPHQL_QUERY, NULL, two_fields, 2);
	struct graphql_op none = operation(GRAPHQL_QUERY, NULL, NULL, 0);
	struct graphql_op batch[] = { query, operation(GRAPHQL_MUTATION, "Other", viewer, 1) };
	struct graphql_op named = operation(GRAPHQL_MUTATION, "IssueNew", viewer, 1);
	struct graphql_op blocked = operation(GRAPHQL_MUTATION, "IssueDelete", delete_repo, 1);

	(void)state;
	assert_int_equal(ask_graphql(p, &query, 1).verdict, VERDICT_ALLOW);
	assert_int_equal(ask_graphql(p, &wide, 1).verdict, VERDICT_DENY);
	assert_int_equal(ask_graphql(p, &none, 1).verdict, VERDICT_DENY);
	assert_int_equal(ask_graphql(p, batch, 2).verdict, VERDICT_DENY);
	assert_int_equal(ask_graphql(p, &named, 1).verdict, VERDICT_ALLOW);
	assert_string_equal(
		ask_graphql(p, &blocked, 1).reason, "GraphQL operation blocked by endpoint policy");
	policy_unref(p);
}

static void a_persisted_query_stands_for_what_was_registered(void **state)
{
	struct policy *p = enforcing("graphql", GRAPHQL_RULES);
	struct graphql_op known = { .is_persisted = true, .persisted_hash = "abc" };
	struct graphql_op by_id = { .is_persisted = true, .persisted_id = "abc" };
	struct graphql_op unknown = { .is_persisted = true, .persisted_hash = "xyz" };
	struct graphql_op query = operation(GRAPHQL_QUERY, NULL, viewer, 1);

	(void)state;
	assert_int_equal(ask_graphql(p, &known, 1).verdict, VERDICT_ALLOW);
	assert_int_equal(ask_graphql(p, &by_id, 1).verdict, VERDICT_ALLOW);
	assert_string_equal(
		ask_graphql(p, &unknown, 1).reason, "GraphQL persisted query is not registered");
	by_id.is_ambiguous = true;
	assert_string_equal(
		ask_graphql(p, &by_id, 1).reason, "GraphQL persisted query is not registered");
	query.is_ambiguous = true;
	assert_string_equal(
		ask_graphql(p, &query, 1).reason, "GraphQL persisted query is not registered");
	policy_unref(p);
}

/* Of the kind that was registered, whatever the order in which they were written. */
static void each_registered_query_has_its_own_kind(void **state)
{
	static const char *const ids[] = { "q", "m", "s" };
	static const char registry[] =
		"persisted_queries: allow_registered, graphql_persisted_queries: "
		"{ s: { operation_type: subscription }, q: { operation_type: query, operation_name: Q }, "
		"m: { operation_type: mutation } }, rules: [{ allow: { operation_type: %s } }]";
	static const char *const kinds[] = { "query", "mutation", "subscription" };

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		char text[512];
		struct policy *p;

		(void)snprintf(text, sizeof(text), registry, kinds[k]);
		p = enforcing("graphql", text);
		for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
			struct graphql_op op = { .is_persisted = true, .persisted_id = ids[i] };

			assert_int_equal(ask_graphql(p, &op, 1).verdict, i == k ? VERDICT_ALLOW : VERDICT_DENY);
		}
		policy_unref(p);
	}
}

static void what_was_not_understood_is_denied_even_in_audit(void **state)
{
	struct policy *p =
		policy_of_endpoint("host: h.test, port: 443, protocol: graphql, access: full");
	struct graphql_facts f = { .error = "no query" };
	struct request r = { .method = "POST", .path = "/graphql", .graphql = &f };

	(void)state;
	denied(p, &r, "GraphQL request rejected: no query");
	r.graphql = NULL;
	denied(p, &r, "GraphQL request rejected");
	policy_unref(p);
}

static void messages_of_a_graphql_websocket_are_operations(void **state)
{
	struct policy *p = enforcing("websocket", "rules: [{ allow: { method: GET, path: '**' } }, "
						  "{ allow: { operation_type: subscription } }]");
	struct graphql_op sub = operation(GRAPHQL_SUBSCRIPTION, NULL, viewer, 1);
	struct graphql_facts f = { .ops = &sub, .n_ops = 1 };
	struct request r = { .method = "WEBSOCKET_TEXT", .path = "/graphql", .graphql = &f };

	(void)state;
	allowed(p, &r);
	sub.type = GRAPHQL_MUTATION;
	denied(p, &r, "GraphQL operation not permitted by policy");
	f.is_control = true;
	allowed(p, &r);
	policy_unref(p);
}

static void a_rest_rule_does_not_rescue_an_operation(void **state)
{
	struct policy *p = policy_of("version: 1\nnetwork_policies:\n  p:\n    endpoints:\n"
				     "      - { host: h.test, port: 443, protocol: rest, access: "
				     "full, enforcement: enforce }\n"
				     "      - { host: h.test, port: 443, protocol: graphql, "
				     "access: read-only, path: /graphql,\n"
				     "          enforcement: enforce }\n"
				     "    binaries: [{ path: /usr/bin/curl }]\n");
	struct graphql_op mutation = operation(GRAPHQL_MUTATION, NULL, viewer, 1);

	(void)state;
	assert_int_equal(ask_graphql(p, &mutation, 1).verdict, VERDICT_DENY);
	policy_unref(p);
}

/* --- JSON-RPC and MCP --- */

static struct decision ask_rpc(const struct policy *p, const char *method, const char *tool)
{
	struct jsonrpc_call call = { method, tool };
	struct jsonrpc_facts f = {
		.calls = &call, .n_calls = method ? 1 : 0, .has_response = !method
	};
	struct request r = { .method = "POST", .path = "/rpc", .jsonrpc = &f };

	return ask(p, &r);
}

static void json_rpc_methods_are_exact(void **state)
{
	struct policy *p = enforcing("json-rpc", "rules: [{ allow: { method: initialize } }]");
	struct jsonrpc_call call = { "initialize", NULL };
	struct jsonrpc_facts f = { .calls = &call, .n_calls = 1 };
	struct request put = { .method = "PUT", .path = "/rpc", .jsonrpc = &f };

	(void)state;
	assert_int_equal(ask_rpc(p, "initialize", NULL).verdict, VERDICT_ALLOW);
	assert_int_equal(ask_rpc(p, "initialized", NULL).verdict, VERDICT_DENY);
	denied(p, &put, "not permitted");
	assert_string_equal(ask_rpc(p, NULL, NULL).reason,
		"JSON-RPC response frames are not permitted from client to server");
	policy_unref(p);
}

static void one_denied_call_denies_the_batch(void **state)
{
	struct policy *p = enforcing("json-rpc", "rules: [{ allow: { method: '*' } }], "
						 "deny_rules: [{ method: drop }]");
	struct jsonrpc_call calls[] = { { "list", NULL }, { "drop", NULL } };
	struct jsonrpc_facts f = { .calls = calls, .n_calls = 2, .is_batch = true };
	struct request r = { .method = "POST", .path = "/rpc", .jsonrpc = &f };

	(void)state;
	denied(p, &r, "blocked by deny rule");
	f.n_calls = 1;
	allowed(p, &r);
	f.n_calls = 0;
	denied(p, &r, "not permitted");
	policy_unref(p);
}

static void mcp_tools_are_named_one_by_one(void **state)
{
	struct policy *p = enforcing("mcp",
		"mcp: { allow_all_known_mcp_methods: true }, "
		"rules: [{ allow: { tool: 'read_*' } }], deny_rules: [{ tool: read_secret }]");
	struct request stream = { .method = "GET", .path = "/rpc" },
		       end = { .method = "DELETE", .path = "/rpc" };
	struct jsonrpc_facts f = { .receive_stream = true };

	(void)state;
	assert_int_equal(ask_rpc(p, "initialize", NULL).verdict, VERDICT_ALLOW);
	assert_int_equal(ask_rpc(p, "tools/call", "read_file").verdict, VERDICT_ALLOW);
	assert_int_equal(ask_rpc(p, "tools/call", "write_file").verdict, VERDICT_DENY);
	assert_int_equal(ask_rpc(p, "tools/call", "read_secret").verdict, VERDICT_DENY);
	assert_int_equal(ask_rpc(p, NULL, NULL).verdict, VERDICT_ALLOW);
	stream.jsonrpc = &f;
	allowed(p, &stream);
	f.receive_stream = false;
	denied(p, &stream, "not permitted");
	end.jsonrpc = &f;
	denied(p, &end, "not permitted");
	policy_unref(p);
}

static void the_profile_without_tool_rules_opens_all_tools(void **state)
{
	struct policy *p = enforcing("mcp", "mcp: { allow_all_known_mcp_methods: true }");
	struct policy *q = enforcing("mcp", "rules: [{ allow: { method: 'tools/*' } }]");

	(void)state;
	assert_int_equal(ask_rpc(p, "tools/call", "anything").verdict, VERDICT_ALLOW);
	assert_int_equal(ask_rpc(q, "tools/list", NULL).verdict, VERDICT_ALLOW);
	assert_int_equal(ask_rpc(q, "tools/a.b", NULL).verdict, VERDICT_DENY);
	assert_int_equal(ask_rpc(q, "initialize", NULL).verdict, VERDICT_DENY);
	policy_unref(p);
	policy_unref(q);
}

static void a_denied_call_or_operation_names_the_nearest_rule(void **state)
{
	struct policy *rpc = enforcing("json-rpc", "rules: [{ allow: { method: reports.list } }]");
	struct policy *mcp = enforcing("mcp",
		"rules: [{ allow: { method: initialize } }, { allow: { method: tools/call, "
		"tool: 'read_*' } }]");
	struct policy *graphql = enforcing("graphql", GRAPHQL_RULES);
	struct graphql_op wide = operation(GRAPHQL_QUERY, NULL, two_fields, 2);
	struct graphql_op sub = operation(GRAPHQL_SUBSCRIPTION, NULL, viewer, 1);
	struct graphql_op named = operation(GRAPHQL_MUTATION, "Other", viewer, 1);

	(void)state;
	assert_string_equal(ask_rpc(rpc, "reports.get", NULL).nearest,
		"policy 'p' allows method 'reports.list' in rules[0]; the method differs: "
		"reports.get");
	assert_string_equal(ask_rpc(mcp, "tools/call", "write_x").nearest,
		"policy 'p' allows tools/call of tool 'read_*' in rules[1]; the tool differs: "
		"write_x");
	assert_string_equal(ask_graphql(graphql, &wide, 1).nearest,
		"policy 'p' allows a query of field 'viewer' in rules[0]; the field differs: "
		"admin");
	assert_string_equal(ask_graphql(graphql, &sub, 1).nearest,
		"policy 'p' allows a query in rules[0]; the operation type differs: subscription");
	assert_string_equal(ask_graphql(graphql, &named, 1).nearest,
		"policy 'p' allows a mutation named 'Issue*' in rules[1]; the name differs: Other");
	policy_unref(rpc);
	policy_unref(mcp);
	policy_unref(graphql);
}

static void a_middleware_asks_for_redaction_on_its_hosts(void **state)
{
	struct policy *p = policy_of(
		"version: 1\nnetwork_policies:\n  p:\n    endpoints:\n"
		"      - { host: '*.test.com', port: 443, protocol: rest, access: full }\n"
		"    binaries: [{ path: /usr/bin/curl }]\n"
		"network_middlewares:\n  m:\n    middleware: openshell/regex\n"
		"    endpoints: { include: ['**.test.com'], exclude: [b.test.com] }\n");
	struct intent a = curl_to("a.test.com", 443), b = curl_to("b.test.com", 443);
	struct inspection look;

	(void)state;
	assert_true(policy_select(p, &a, "/", &look));
	assert_true(look.redact);
	assert_false(look.redact_may_fail);
	assert_true(policy_select(p, &b, "/", &look));
	assert_false(look.redact);
	policy_unref(p);
}

static void a_middleware_that_fails_closed_refuses_what_nobody_inspects(void **state)
{
	static const char text[] =
		"version: 1\nnetwork_policies:\n  p:\n    endpoints: [{ host: h.test, port: 443 "
		"}]\n"
		"    binaries: [{ path: /usr/bin/curl }]\n"
		"network_middlewares:\n  m: { middleware: openshell/regex, on_error: %s,\n"
		"    endpoints: { include: ['*.test'] } }\n";
	char closed[512], open[512];
	struct intent in = curl_to("h.test", 443);
	struct policy *p, *q;
	struct decision d;

	(void)state;
	snprintf(closed, sizeof(closed), text, "fail_closed");
	snprintf(open, sizeof(open), text, "fail_open");
	p = policy_of(closed);
	q = policy_of(open);
	policy_decide(p, &in, &d);
	assert_int_equal(d.verdict, VERDICT_DENY);
	assert_non_null(strstr(d.reason, "middleware 'm' fails closed"));
	policy_decide(q, &in, &d);
	assert_int_equal(d.verdict, VERDICT_ALLOW);
	policy_unref(p);
	policy_unref(q);
}

/* --- what a check refuses and `policy eval` is asked about all the same --- */

static struct policy *refused(const char *protocol, const char *rest)
{
	struct policy *p = NULL;
	char text[2048];

	(void)snprintf(text, sizeof(text),
		"version: 1\nnetwork_policies:\n  p:\n    binaries: [{ path: /usr/bin/curl }]\n"
		"    endpoints: [{ host: h.test, port: 443, enforcement: enforce, protocol: %s, %s }]\n",
		protocol, rest);
	assert_int_equal(policy_load(text, strlen(text), &p, NULL), -EINVAL);
	assert_int_equal(policy_load_refused(text, strlen(text), &p, NULL), 0);
	return p;
}

static void what_was_refused_allows_nothing(void **state)
{
	struct policy *access = refused("json-rpc", "access: full");
	struct policy *type = refused("graphql", "rules: [{ allow: { operation_type: Query } }]");
	struct policy *kind = refused("graphql",
		"persisted_queries: allow_registered, graphql_persisted_queries: { x: { fields: [viewer] } }, "
		"access: full");
	struct graphql_op query = operation(GRAPHQL_QUERY, NULL, viewer, 1);
	struct graphql_op registered = { .is_persisted = true, .persisted_id = "x" };

	(void)state;
	assert_int_equal(ask_rpc(access, "initialize", NULL).verdict, VERDICT_DENY);
	assert_int_equal(ask_graphql(type, &query, 1).verdict, VERDICT_DENY);
	assert_int_equal(ask_graphql(kind, &registered, 1).verdict, VERDICT_DENY);
	assert_int_equal(ask_graphql(kind, &query, 1).verdict, VERDICT_ALLOW);
	policy_unref(access);
	policy_unref(type);
	policy_unref(kind);
}

static void one_bad_address_makes_the_list_hold_nothing(void **state)
{
	struct policy *good = policy_of_endpoint("host: h.test, port: 443, allowed_ips: [10.0.0.1]");
	struct policy *bad = refused("rest", "access: full, allowed_ips: [10.0.0.1, 127.0.0.1]");
	struct netaddr a = { .family = AF_INET, .bytes = { 10, 0, 0, 1 } };
	struct intent in = curl_to("h.test", 443);
	struct decision d;

	(void)state;
	in.addrs = &a;
	in.n_addrs = 1;
	policy_decide(good, &in, &d);
	assert_int_equal(d.verdict, VERDICT_ALLOW);
	policy_decide(bad, &in, &d);
	assert_int_equal(d.verdict, VERDICT_DENY);
	policy_unref(good);
	policy_unref(bad);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(get_covers_head_in_allow_and_in_deny_rules),
		cmocka_unit_test(an_allowed_query_matches_in_every_value_a_denied_one_in_any),
		cmocka_unit_test(a_parameter_in_another_spelling_is_no_way_around_a_rule),
		cmocka_unit_test(a_denial_names_the_nearest_rule),
		cmocka_unit_test(a_websocket_endpoint_takes_upgrades_and_judged_messages),
		cmocka_unit_test(read_only_lets_no_message_out),
		cmocka_unit_test(every_operation_and_every_field_must_be_allowed),
		cmocka_unit_test(a_persisted_query_stands_for_what_was_registered),
		cmocka_unit_test(each_registered_query_has_its_own_kind),
		cmocka_unit_test(what_was_not_understood_is_denied_even_in_audit),
		cmocka_unit_test(messages_of_a_graphql_websocket_are_operations),
		cmocka_unit_test(a_rest_rule_does_not_rescue_an_operation),
		cmocka_unit_test(json_rpc_methods_are_exact),
		cmocka_unit_test(what_was_refused_allows_nothing),
		cmocka_unit_test(one_bad_address_makes_the_list_hold_nothing),
		cmocka_unit_test(one_denied_call_denies_the_batch),
		cmocka_unit_test(mcp_tools_are_named_one_by_one),
		cmocka_unit_test(the_profile_without_tool_rules_opens_all_tools),
		cmocka_unit_test(a_denied_call_or_operation_names_the_nearest_rule),
		cmocka_unit_test(a_middleware_that_fails_closed_refuses_what_nobody_inspects),
		cmocka_unit_test(a_middleware_asks_for_redaction_on_its_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
