/*
 * What a loader says: errors with their place, warnings, suggestions; and what it must survive.
 */
#include "unit/policy_test.h"

#include <stdlib.h>
#include <errno.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/policy_doc.h"
#include "lib/policy_findings.h"

static struct policy_findings load(const char *text, int *ret)
{
	struct policy_findings f = { 0 };
	struct policy *p = NULL;

	*ret = policy_load(text, strlen(text), &p, &f);
	policy_unref(p);
	return f;
}

/* Some finding of that severity is at @place ("line:column") and its field and text hold @words. */
static bool says(const struct policy_findings *f, enum policy_severity severity, const char *place,
	const char *words)
{
	for (size_t i = 0; i < f->n; i++) {
		char at[32], whole[2048];

		snprintf(at, sizeof(at), "%u:%u", f->list[i].line, f->list[i].column);
		snprintf(whole, sizeof(whole), "%s: %s", f->list[i].field, f->list[i].text);
		if (f->list[i].severity == severity && (!place || strcmp(at, place) == 0) &&
			strstr(whole, words))
			return true;
	}
	return false;
}

static void show(const struct policy_findings *f)
{
	for (size_t i = 0; i < f->n; i++)
		fprintf(stderr, "%u:%u: %s: %s\n", f->list[i].line, f->list[i].column,
			f->list[i].field, f->list[i].text);
}

static void error_is(const char *text, const char *place, const char *words)
{
	struct policy_findings f;
	int r;

	f = load(text, &r);
	if (r != -EINVAL || !says(&f, POLICY_ERROR, place, words)) {
		show(&f);
		fail_msg("no error '%s' at %s", words, place);
	}
	policy_findings_done(&f);
}

static void warning_is(const char *text, const char *words)
{
	struct policy_findings f;
	int r;

	f = load(text, &r);
	if (r != 0 || !says(&f, POLICY_WARNING, NULL, words)) {
		show(&f);
		fail_msg("%d, no warning '%s'", r, words);
	}
	policy_findings_done(&f);
}

/* One endpoint in flow style; its policy has a binary. */
static const char *endpoint(const char *fields)
{
	static char text[4096];

	snprintf(text, sizeof(text),
		"version: 1\nnetwork_policies:\n  p:\n    endpoints:\n      - { %s }\n"
		"    binaries: [{ path: /usr/bin/curl }]\n",
		fields);
	return text;
}

static const char *rest(const char *fields)
{
	char text[2048];

	snprintf(text, sizeof(text),
		"host: h.test, port: 443, protocol: rest, enforcement: enforce, %s", fields);
	return endpoint(text);
}

static void an_unknown_key_is_told_with_its_place_and_what_was_meant(void **state)
{
	(void)state;
	error_is("version: 1\nnetwork_policies:\n  p:\n    endpoints:\n      - host: h\n"
		 "        port: 1\n        rules:\n          - alow: { method: GET, path: / }\n",
		"8:13",
		"network_policies.p.endpoints[0].rules[0]: unknown field 'alow' (did you mean "
		"'allow'?)");
}

static void all_errors_are_told_in_the_order_of_the_file(void **state)
{
	struct policy_findings f;
	int r;

	(void)state;
	f = load("version: 2\nlandlock:\n  compatibility: bestefort\nprocess:\n"
		 "  run_as_user: root\nnetwork_policies:\n  p:\n    endpoints:\n"
		 "      - { host: '*', port: 443 }\n      - { host: h, port: 70000 }\n",
		&r);
	assert_int_equal(r, -EINVAL);
	/* types and ranges come first: what they leave open is not guessed at */
	assert_int_equal(f.n_errors, 1);
	assert_true(says(&f, POLICY_ERROR, "10:26", "70000 is out of range"));
	policy_findings_done(&f);
	f = load("version: 2\nlandlock:\n  compatibility: bestefort\nprocess:\n"
		 "  run_as_user: root\nnetwork_policies:\n  p:\n    endpoints:\n"
		 "      - { host: '*', port: 443 }\n",
		&r);
	assert_int_equal(f.n_errors, 4);
	for (size_t i = 1; i < f.n; i++)
		assert_true(f.list[i].line >= f.list[i - 1].line);
	assert_true(says(&f, POLICY_ERROR, "1:10", "version must be 1, got 2"));
	assert_true(says(&f, POLICY_ERROR, "3:18", "did you mean 'best_effort'?"));
	assert_true(says(&f, POLICY_ERROR, "5:16", "run_as_user must be 'sandbox' or a numeric"));
	assert_true(says(&f, POLICY_ERROR, "9:17", "invalid host wildcard"));
	policy_findings_done(&f);
}

struct row {
	const char *fields, *words;
};

static void what_an_endpoint_may_not_be_is_refused(void **state)
{
	static const struct row rows[] = {
		{ "port: 443", "host must not be empty" },
		{ "host: h", "must declare at least one port" },
		{ "host: h, port: 0", "invalid port 0" },
		{ "host: h, ports: [0, 443]", "invalid port 0" },
		{ "host: h, port: 443, ports: [443]", "port and ports are mutually exclusive" },
		{ "host: h, port: '443'", "expected a number" },
		{ "host: h, port: 0443", "not a plain decimal number" },
		{ "host: h, port: 0x1bb", "not a plain decimal number" },
		{ "host: 443, port: 443", "expected a string, got number '443': put it in quotes" },
		{ "host: https://h/x, port: 443", "a URL is no host" },
		{ "host: 'h:443', port: 443", "write the port in 'port'" },
		{ "host: 'foo**.example.com', port: 1", "recursive host wildcard" },
		{ "host: '*.com', port: 1", "TLD wildcard" },
		{ "host: '*.com.', port: 1", "TLD wildcard" },
		{ "host: '**.com.', port: 1", "TLD wildcard" },
		{ "host: '{*.com,a.b.test}', port: 1", "TLD wildcard" },
		{ "host: '*.{com,a.test}', port: 1", "TLD wildcard" },
		{ "host: '*.{{com},a.test}', port: 1", "TLD wildcard" },
		{ "host: '*.co[m.]', port: 1", "TLD wildcard" },
		{ "host: '*.co[]m.]', port: 1", "TLD wildcard" },
		{ "host: '*.co[!]a.]', port: 1", "TLD wildcard" },
		{ "host: '*.co[m.', port: 1", "TLD wildcard" },
		{ "host: '*\\.com.', port: 1", "TLD wildcard" },
		{ "host: '[::1]:443', port: 1", "write the port in 'port'" },
		{ "host: 'a.*b.example.com', port: 1", "must be a whole label" },
		{ "host: h, port: 1, protocol: ftp", "unknown protocol 'ftp'" },
		{ "host: h, port: 1, protocol: rest", "requires rules or access" },
		{ "host: h, port: 1, protocol: rest, access: readonly",
			"did you mean 'read-only'?" },
		{ "host: h, port: 1, protocol: rest, access: full, enforcement: enforced",
			"did you mean 'enforce'?" },
		{ "host: h, port: 1, protocol: rest, access: full, rules: []",
			"rules list cannot be empty" },
		{ "host: h, port: 1, protocol: rest, access: full, deny_rules: []",
			"deny_rules list cannot be empty" },
		{ "host: h, port: 1, deny_rules: [{ method: GET, path: / }]",
			"deny_rules require protocol" },
		{ "host: h, port: 1, protocol: tcp, access: full",
			"protocol tcp does not support" },
		{ "host: h., port: 1, protocol: tcp", "omit the trailing DNS root dot" },
		{ "host: h, port: 1, protocol: sql, access: full, enforcement: enforce",
			"SQL enforcement" },
		{ "host: h, port: 1, protocol: json-rpc, access: full",
			"does not support access presets" },
		{ "host: h, port: 1, protocol: json-rpc, rules: [{ allow: { method: 'a.*' } }]",
			"patterns are not supported" },
		{ "host: h, port: 1, protocol: mcp", "mcp.allow_all_known_mcp_methods is false" },
		{ "host: h, port: 1, protocol: mcp, rules: [{ allow: { method: '*' } }]",
			"only supported below 'tools/'" },
		{ "host: h, port: 1, protocol: mcp, rules: [{ allow: { method: initialize, tool: x "
		  "} }]",
			"needs method tools/call" },
		{ "host: h, port: 1, protocol: mcp, mcp: { strict_tool_names: false }, "
		  "rules: [{ allow: { method: tools/call, tool: 'x*' } }]",
			"strict_tool_names: true" },
		{ "host: h, port: 1, protocol: graphql, rules: [{ allow: { operation_type: Query } "
		  "}]",
			"operation_type must be" },
		{ "host: h, port: 1, protocol: graphql, rules: [{ allow: { operation_type: '*' } "
		  "}]",
			"write one rule for each" },
		{ "host: h, port: 1, protocol: graphql, rules: [{ allow: { operation_type: query, "
		  "fields: [] } }]",
			"must not be empty" },
		{ "host: h, port: 1, protocol: rest, access: full, path: repos",
			"path must start with '/'" },
		{ "host: h, port: 1, protocol: rest, access: full, graphql_max_body_bytes: 0",
			"must be positive" },
		{ "host: h, port: 1, protocol: rest, access: full, mcp: {}",
			"only valid for protocol mcp" },
		{ "host: h, port: 1, credential_signing: sigv4", "signing_service" },
		{ "host: h, port: 1, credential_signing: sigv5, signing_service: s3",
			"unrecognized" },
		{ "host: h, port: 1, credential_binding: {}", "missing field 'provider'" },
		{ "host: h, port: 1, allowed_ips: [127.0.0.1]", "always-blocked" },
		{ "host: h, port: 1, allowed_ips: ['0.0.0.0/0']", "always-blocked" },
		{ "host: h, port: 1, allowed_ips: ['10.0.0.0/33']", "neither an address" },
		{ "host: \"a\\tb\", port: 1", "it holds a control character" },
		{ "host: \"a\\x7fb\", port: 1", "it holds a control character" },
		{ "host: a..b, port: 1, protocol: tcp", "'a..b' has an empty label" },
		{ "host: .a, port: 1, protocol: tcp", "'.a' has an empty label" },
		{ "host: a b, port: 1, protocol: tcp", "'a b' holds whitespace" },
		{ "host: '{a,b}.test', port: 1, protocol: tcp", "braces are not supported" },
		{ "port: 1, protocol: tcp, allowed_ips: [10.0.0.1]", "host must not be empty" },
		{ "port: 1, protocol: mcp, mcp: { allow_all_known_mcp_methods: true }, allowed_ips: [10.0.0.1]",
			"protocol mcp requires a host" },
		{ "host: h, port: 1, protocol: graphql, access: full, persisted_queries: allow",
			"expected one of: deny, allow_registered" },
		{ "host: h, port: 1, protocol: graphql, access: full, graphql_persisted_queries: { x: { "
		  "operation_type: write } }",
			"graphql_persisted_queries.x.operation_type: operation_type must be query" },
		{ "host: h, port: 1, protocol: graphql, access: full, graphql_persisted_queries: { x: {} }",
			"operation_type must be query" },
		{ "host: h, port: 1, credential_binding: { provider: '' }", "provider must not be empty" },
		{ "host: h, port: 1, protocol: json-rpc", "requires explicit rules with allow.method" },
		{ "host: h, port: 1, protocol: rest, access: full, rules: [{ allow: { method: GET, path: / } }]",
			"rules and access are mutually exclusive" },
		{ "host: h, port: 1, protocol: rest, rules: [{}]", "no allow clause found" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		error_is(endpoint(rows[i].fields), NULL, rows[i].words);
}

static void a_condition_of_another_protocol_is_refused_not_ignored(void **state)
{
	(void)state;
	error_is(
		rest("rules: [{ allow: { method: POST, path: /graphql, operation_type: query } }]"),
		NULL, "not supported for protocol rest");
	error_is(rest("rules: [{ allow: { method: POST, path: /mcp, tool: x } }]"), NULL,
		"not supported for protocol rest");
	error_is(rest("rules: [{ allow: { method: GET, path: /a, command: SELECT } }]"), NULL,
		"command is only supported for protocol sql");
	error_is(endpoint("host: h, port: 1, protocol: graphql, rules: [{ allow: { operation_type: query, "
			  "path: /graphql } }]"),
		NULL, "select paths with the endpoint's 'path'");
	error_is(endpoint("host: h, port: 1, protocol: json-rpc, rules: [{ allow: { method: a, path: /rpc } }]"),
		NULL, "path and query are not supported for protocol json-rpc");
	error_is(endpoint("host: h, port: 1, protocol: json-rpc, rules: [{ allow: { method: a } }], "
			  "deny_rules: [{ method: a, query: { k: v } }]"),
		NULL, "deny_rules[0]: path and query are not supported for protocol json-rpc");
	error_is(endpoint("host: h, port: 1, protocol: sql, rules: [{ allow: { command: SELECT, path: / } }]"),
		NULL, "path and query are not supported for protocol sql");
	error_is(endpoint("host: h, port: 1, protocol: websocket, rules: [{ allow: { method: WEBSOCKET_TEXT, "
			  "path: / } }], deny_rules: [{ operation_type: mutation }]"),
		NULL, "use operation_type instead of WEBSOCKET_TEXT");
	error_is(endpoint("host: h, port: 1, protocol: mcp, rules: [{ allow: { method: tools/call, tool: a, "
			  "params: { name: a } } }]"),
		NULL, "tool and params.name are mutually exclusive");
	error_is(endpoint("host: h, port: 1, protocol: mcp, rules: [{ allow: { method: tools/call, "
			  "params: { arguments: a } } }]"),
		NULL, "params.arguments: argument matching is not supported");
	error_is(rest("rules: [{ allow: { method: GET, path: '/a[b' } }]"), NULL, "unclosed '['");
	error_is(rest("rules: [{ allow: { method: GET, path: /a, query: { k: { any: [] } } } }]"),
		NULL, "allow.query.k.any");
	error_is(rest("rules: [{ allow: { method: GET, path: /a, query: { k: { mode: x } } } }]"),
		NULL, "unknown matcher keys");
}

/* One rule narrows the tools, the other gives them all back or takes them all. */
static void mcp_tools_are_listed_or_all(void **state)
{
#define TOOLS "host: h, port: 1, protocol: mcp, rules: [{ allow: { method: tools/call, tool: a } }"
	(void)state;
	error_is(endpoint(TOOLS ", { allow: { method: tools/call } }]"), NULL,
		"rules[1].allow: allows every tool call and conflicts");
	error_is(endpoint(TOOLS "], deny_rules: [{ method: tools/call }]"), NULL,
		"deny_rules[0]: denies every tool call and conflicts");
	warning_is(endpoint("host: h, port: 1, protocol: mcp, mcp: { allow_all_known_mcp_methods: true }, "
			    "rules: [{ allow: {} }]"),
		"rules[0].allow: an empty rule has no effect");
}

static void what_a_sandbox_is_given_is_held_to_its_rules(void **state)
{
	auto_buf struct buf b;

	(void)state;
	error_is("version: 1\nfilesystem_policy:\n  read_only: [/a/..b, /a/..]\n", "3:23",
		"filesystem_policy.read_only[1]: path contains '..' traversal component: '/a/..'");
	error_is("version: 1\nfilesystem_policy:\n  read_write: [/a/../b]\n", "3:16", "traversal component");
	error_is("version: 1\nfilesystem_policy: { read_write: [//./] }\n", NULL, "overly broad");
	error_is("version: 1\nfilesystem_policy: { read_only: [a] }\n", NULL, "path must be absolute");
	buf_init(&b, 1 << 20);
	(void)buf_puts(&b, "version: 1\nfilesystem_policy:\n  read_write: [/rw]\n  read_only:\n");
	for (int i = 0; i < 256; i++)
		(void)buf_printf(&b, "  - /ro%d\n", i);
	error_is(buf_cstr(&b), "3:3", "too many filesystem paths (257 > 256)");
}

static void a_policy_and_its_programs_have_names(void **state)
{
#define BINARY(path)                                                                               \
	"version: 1\nnetwork_policies:\n  p:\n    endpoints: [{ host: h, port: 1 }]\n"             \
	"    binaries: [{ path: " path " }]\n"
	(void)state;
	error_is("version: 1\nnetwork_policies:\n  '': { endpoints: [{ host: h, port: 1 }] }\n", "3:3",
		"the name of a policy must not be empty");
	error_is(BINARY("''"), "5:16", "binaries[0].path: a binary needs a path");
	error_is(BINARY("'/usr/bin/[*'"), "5:24", "invalid pattern");
	warning_is(BINARY("curl"), "'curl' can never match: programs are known by their absolute path");
	warning_is(BINARY("'/usr/bin/curl?'"), "without '*' this is a literal path");
	warning_is(BINARY("'/usr/bin/**'"), "covers every program at any depth below");
}

/* What is in the denied list is found, and what is in it thousands of times is not looked for. */
static void rules_are_compared_with_denials_up_to_a_limit(void **state)
{
	for (int n = 100; n <= 400; n += 300) {
		struct policy_findings f = { 0 };
		struct policy *p = NULL;
		auto_buf struct buf b;

		(void)state;
		buf_init(&b, 1 << 20);
		(void)buf_puts(&b, "version: 1\nnetwork_policies:\n  p:\n    binaries: [{ path: /b }]\n"
				   "    endpoints:\n      - host: h\n        port: 1\n        protocol: rest\n"
				   "        enforcement: enforce\n        rules:\n");
		for (int i = 0; i < n; i++)
			(void)buf_printf(&b, "        - allow: { method: GET, path: /%d }\n", i);
		(void)buf_puts(&b, "        deny_rules:\n");
		for (int i = 0; i < n; i++)
			(void)buf_printf(&b, "        - { method: GET, path: /%d }\n", i);
		assert_int_equal(policy_load(buf_head(&b), b.len, &p, &f), 0);
		assert_int_equal(f.n, n == 100 ? 100 : 0);
		policy_findings_done(&f);
		policy_unref(p);
	}
}

static void a_host_is_no_longer_than_a_name_can_be(void **state)
{
	char host[256], text[512];
	struct policy_findings f;
	int r;

	(void)state;
	memset(host, 'a', sizeof(host));
	host[255] = '\0';
	(void)snprintf(text, sizeof(text), "host: %s, port: 1", host);
	error_is(endpoint(text), "5:17", "it is longer than 253 bytes");
	(void)snprintf(text, sizeof(text), "host: %s., port: 1", host + 2);
	f = load(endpoint(text), &r);
	assert_int_equal(r, 0);
	policy_findings_done(&f);
}

static void what_is_legal_and_surprising_is_warned_of(void **state)
{
	(void)state;
	warning_is(endpoint("host: h, port: 1, protocol: rest, access: read-only"),
		"omitted means 'audit'");
	warning_is(rest("access: full"), "'full' allows every method");
	warning_is(rest("access: full, tls: terminate"), "deprecated");
	warning_is(rest("access: full, tls: skip"), "pass unseen");
	warning_is(rest("rules: [{ allow: { method: GET } }]"), "without 'path'");
	warning_is(rest("access: full, deny_rules: [{ method: POST }]"), "never denies anything");
	warning_is(rest("rules: [{ allow: { method: GET, path: repos } }]"), "can never match");
	warning_is(rest("rules: [{ allow: { method: GET, path: '*' } }]"), "write '**'");
	warning_is(rest("rules: [{ allow: { method: GET, path: '/api/v1*' } }]"),
		"wider than it looks");
	warning_is(rest("rules: [{ allow: { method: FROB, path: / } }]"), "no method");
	warning_is(rest("rules: [{ allow: { method: GET, path: /a/b } }], "
			"deny_rules: [{ method: '*', path: '/a/**' }]"),
		"shadowed by deny_rules[0]");
	warning_is(endpoint("host: '*example.test.com', port: 1"), "wider than it looks");
	warning_is(endpoint("host: 127.0.0.1, port: 1"), "never reachable");
	warning_is(endpoint("host: '[::1]', port: 1"), "never reachable");
	warning_is(endpoint("host: '[example.test]', port: 1"), "can never match");
	warning_is(endpoint("host: ., port: 1"), "can never match: it has an empty label");
	warning_is(endpoint("host: h, port: 1, access: full"), "no effect without 'protocol'");
	warning_is(endpoint("host: h, port: 1, allowed_ips: ['10.0.0.0/8']"), "very wide");
	warning_is(endpoint("host: h, port: 1, websocket_credential_rewrite: true"), "is ignored");
	warning_is("version: 1\nnetwork_policies:\n  p:\n    endpoints: [{ host: h, port: 1 }]\n",
		"nobody can use these endpoints");
	warning_is("version: 1\nnetwork_policies:\n  p:\n    endpoints: [{ host: h, port: 1 }]\n"
		   "    binaries: [{ path: '**' }]\n",
		"lets every program");
	warning_is("version: 1\nnetwork_policies:\n  p:\n    endpoints: [{ host: h, port: 1 }]\n"
		   "    binaries: [{ path: '/usr/bin/python3*' }]\n",
		"whose name begins so");
	warning_is(endpoint("host: 'a b.test', port: 1"), "it holds whitespace");
	warning_is(endpoint("host: 'a?.test', port: 1"), "without '*' it is a literal name");
	warning_is(endpoint("host: a..test, port: 1"), "it has an empty label");
	warning_is(rest("access: full, tls: on-demand"), "'on-demand' is treated as automatic");
	warning_is(rest("access: full, json_rpc: { max_body_bytes: 1 }"), "the protocol is not json-rpc or mcp");
	warning_is(rest("access: full, graphql_persisted_queries: { x: { operation_type: query } }"),
		"the protocol is not graphql or websocket");
	warning_is(endpoint("host: h, port: 1, signing_service: s3"), "no effect without credential_signing");
	warning_is(endpoint("host: h, port: 1, rules: [{ allow: { method: GET, path: / } }]"),
		"rules: has no effect without 'protocol'");
	warning_is(rest("rules: [{ allow: { path: /a } }]"), "without 'method' the rule never allows anything");
	warning_is(rest("access: full, deny_rules: [{ path: /a }]"),
		"without 'method' the rule never denies anything");
	warning_is(rest("rules: [{ allow: { method: GET, path: / } }, {}]"),
		"rules[1]: no allow clause: this element allows nothing");
}

/* One of a few names, or what stands in front of a name of two labels, is no wildcard for a registry. */
static void a_wildcard_in_front_of_a_name_is_none_for_a_registry(void **state)
{
	static const char *const good[] = { "*.a.test", "*.a.test.", "**.a.test", "*.{a.test,b.test}", "{*.a.test,b.test}",
		"*.a.{test,org}", "*-x.a.t[ef]st", "*.a.\\test" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct policy_findings f;
		char fields[128];
		int r;

		(void)snprintf(fields, sizeof(fields), "host: '%s', port: 1", good[i]);
		f = load(endpoint(fields), &r);
		show(&f);
		assert_int_equal(r, 0);
		policy_findings_done(&f);
	}
}

static void a_useful_rule_is_not_warned_of(void **state)
{
	struct policy_findings f;
	int r;

	(void)state;
	f = load(rest("rules: [{ allow: { method: GET, path: /a/b } }, { allow: { method: POST, "
		      "path: '/c/**' } }], deny_rules: [{ method: POST, path: /a/b }, { method: "
		      "POST, "
		      "path: '/c/d/**' }]"),
		&r);
	show(&f);
	assert_int_equal(r, 0);
	assert_int_equal(f.n, 0);
	policy_findings_done(&f);
}

static const char *pair(const char *left, const char *right)
{
	static char text[4096];

	snprintf(text, sizeof(text),
		"version: 1\nnetwork_policies:\n"
		"  left:\n    endpoints: [{ port: 443, %s }]\n    binaries: [{ path: /usr/bin/curl "
		"}]\n"
		"  right:\n    endpoints: [{ port: 443, %s }]\n    binaries: [{ path: /usr/bin/git "
		"}]\n",
		left, right);
	return text;
}

static void endpoints_that_contradict_each_other_are_refused(void **state)
{
	static const struct {
		const char *left, *right, *words;
	} rows[] = {
		{ "host: h, tls: skip", "host: h", "tls=skip vs auto" },
		{ "host: '*.a.test', tls: skip", "host: b.a.test", "tls=skip vs auto" },
		{ "host: '*.a.b.test', tls: skip", "host: '**.b.test'", "tls=skip vs auto" },
		{ "host: h, protocol: tcp", "host: h", "protocol=tcp vs not tcp" },
		{ "host: h, allowed_ips: [10.0.0.1]", "host: h, allowed_ips: [10.0.0.2]",
			"allowed_ips" },
		{ "host: h, protocol: rest, access: full",
			"host: h, protocol: graphql, access: full", "protocol=rest vs graphql" },
		{ "host: h, protocol: rest, access: full, enforcement: enforce",
			"host: h, protocol: rest, access: full", "enforcement=enforce vs audit" },
		{ "host: h, credential_binding: { provider: a }",
			"host: h, credential_binding: { provider: b }",
			"credential_binding.provider='a' vs 'b'" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		error_is(pair(rows[i].left, rows[i].right), NULL, rows[i].words);
}

static void endpoints_that_never_meet_may_differ(void **state)
{
	static const struct {
		const char *left, *right;
	} rows[] = {
		{ "host: a.test, tls: skip", "host: b.test" },
		{ "host: '*.a.test', tls: skip", "host: x.y.a.test" },
		{ "host: h, protocol: rest, access: full, path: '/v[12]'",
			"host: h, protocol: graphql, access: full, path: '/v[34]'" },
		{ "host: h, protocol: rest, access: full",
			"host: h, protocol: graphql, access: full, path: /graphql" },
		{ "host: h", "host: h, protocol: rest, access: full" },
		{ "host: h, path: /a, credential_binding: { provider: a }",
			"host: h, path: /b, credential_binding: { provider: b }" },
		{ "host: h, allowed_ips: [10.0.0.1, 10.0.0.2]",
			"host: h, allowed_ips: [10.0.0.2, 10.0.0.1]" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *text = pair(rows[i].left, rows[i].right);
		struct policy_findings f;
		int r;

		f = load(text, &r);
		show(r ? &f : &(struct policy_findings){ 0 });
		assert_int_equal(r, 0);
		policy_findings_done(&f);
	}
}

static void a_refused_policy_can_still_be_asked(void **state)
{
	const char *text = pair("host: h, tls: skip", "host: h");
	struct policy_findings f = { 0 };
	struct intent in = curl_to("h", 443);
	struct policy *p = NULL;
	struct decision d;

	(void)state;
	assert_int_equal(policy_load(text, strlen(text), &p, NULL), -EINVAL);
	assert_int_equal(policy_load_refused(text, strlen(text), &p, &f), 0);
	assert_int_equal(f.n_errors, 1);
	policy_decide(p, &in, &d);
	assert_int_equal(d.verdict, VERDICT_ALLOW);
	policy_unref(p);
	policy_findings_done(&f);
}

static void signing_without_its_service_is_refused_and_can_be_asked(void **state)
{
	static const char text[] = "version: 1\nnetwork_policies:\n  a:\n    endpoints:\n"
				   "      - { host: h, port: 443, credential_signing: sigv4 }\n";
	struct policy_findings f = { 0 };
	struct policy *p = NULL;

	(void)state;
	assert_int_equal(policy_load_refused(text, strlen(text), &p, &f), 0);
	assert_int_equal(f.n_errors, 1);
	policy_unref(p);
	policy_findings_done(&f);
}

static void what_means_nothing_cannot_be_asked(void **state)
{
	static const char *const texts[] = { "version: 2\n", "version: 1\nbogus: 1\n",
		"version: [\n" };
	struct policy *p = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_int_equal(
			policy_load_refused(texts[i], strlen(texts[i]), &p, NULL), -EINVAL);
}

static void middlewares_are_held_to_their_rules(void **state)
{
#define MIDDLEWARE(more)                                                                           \
	"version: 1\nnetwork_middlewares:\n  m: { middleware: openshell/regex" more " }\n"
	(void)state;
	error_is("version: 1\nnetwork_middlewares:\n  m: { middleware: acme/dlp, "
		 "endpoints: { include: [h] } }\n",
		"3:20", "middleware 'acme/dlp' is not available");
	error_is(MIDDLEWARE(""), NULL, "at least one host pattern");
	error_is(MIDDLEWARE(", endpoints: { include: ['{a,b}.test'] }"), NULL,
		"braces are not supported");
	error_is(MIDDLEWARE(", endpoints: { include: ['a..test'] }"), NULL, "empty label");
	error_is(MIDDLEWARE(", on_error: open, endpoints: { include: [h] }"), NULL,
		"fail_closed, fail_open");
	error_is(MIDDLEWARE(", config: { mode: block }, endpoints: { include: [h] }"), NULL,
		"redact");
	error_is(MIDDLEWARE(", endpoints: { include: [''] }"), "3:60", "include[0]: invalid pattern '': it is empty");
	error_is(MIDDLEWARE(", endpoints: { include: [h], exclude: ['a b'] }"), NULL,
		"exclude[0]: invalid pattern 'a b': it holds whitespace");
	error_is("version: 1\nnetwork_middlewares:\n"
		 "  a: { middleware: openshell/regex, order: 1, endpoints: { include: [h] } }\n"
		 "  b: { middleware: openshell/regex, order: 2, endpoints: { include: [h] } }\n"
		 "  c: { middleware: openshell/regex, order: 2, endpoints: { include: [h] } }\n",
		"5:44", "network_middlewares.c.order: duplicate order 2 (also 'b')");
}

/* Except where the selector leaves the host out, or says that it may fail. */
static void what_is_to_be_inspected_may_not_skip_tls(void **state)
{
#define SKIPPED(more)                                                                              \
	"version: 1\nnetwork_policies:\n  p:\n    binaries: [{ path: /b }]\n"                      \
	"    endpoints: [{ host: a.test, port: 1, tls: skip }]\n"                                   \
	"network_middlewares:\n  m: { middleware: openshell/regex, " more " }\n"
	static const char *const good[] = {
		SKIPPED("endpoints: { include: ['*.test'], exclude: [b.test, a.test] }"),
		SKIPPED("on_error: fail_open, endpoints: { include: ['*.test'] }"),
		SKIPPED("endpoints: { include: [b.test] }"),
	};

	(void)state;
	error_is(SKIPPED("endpoints: { include: ['*.test'] }"), NULL, "cannot be inspected");
	error_is(SKIPPED("endpoints: { include: ['*.test'], exclude: [b.test] }"), NULL,
		"overlaps endpoint 'a.test' (line 5), whose 'tls: skip' cannot be inspected");
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct policy *p = policy_of(good[i]);

		policy_unref(p);
	}
}

static void too_many_errors_are_counted_not_kept(void **state)
{
	struct policy_findings f = { 0 };
	struct policy *p = NULL;
	auto_buf struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	(void)buf_puts(&b, "version: 1\nnetwork_policies:\n");
	for (int i = 0; i < 1000; i++)
		(void)buf_printf(&b, "  p%d: { endpoint: 1 }\n", i);
	assert_int_equal(policy_load(buf_head(&b), b.len, &p, &f), -EINVAL);
	assert_int_equal(f.n, POLICY_FINDINGS_MAX);
	assert_int_equal(f.n_errors, 1000);
	policy_findings_done(&f);
}

static void an_error_is_told_however_many_warnings_came_before(void **state)
{
	struct policy_findings f = { 0 };
	struct policy *p = NULL;
	auto_buf struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	(void)buf_puts(&b, "version: 1\nnetwork_policies:\n  p:\n    endpoints:\n");
	for (int i = 0; i < 500; i++)
		(void)buf_printf(&b, "      - { host: h%d, port: 1, access: full }\n", i);
	(void)buf_puts(&b, "      - { host: last }\n");
	assert_int_equal(policy_load(buf_head(&b), b.len, &p, &f), -EINVAL);
	assert_int_equal(f.n, POLICY_FINDINGS_MAX);
	assert_true(says(&f, POLICY_ERROR, NULL, "must declare at least one port"));
	policy_findings_done(&f);
}

static void a_hundred_thousand_rules_load(void **state)
{
	struct policy *p = NULL;
	auto_buf struct buf b;

	(void)state;
	buf_init(&b, POLICY_TEXT_MAX);
	(void)buf_puts(&b, "version: 1\nnetwork_policies:\n  p:\n    endpoints:\n      - host: h\n"
			   "        port: 443\n        protocol: rest\n        rules:\n");
	for (int i = 0; i < 100000; i++)
		(void)buf_printf(&b, "          - allow: { method: GET, path: /r%d/* }\n", i);
	assert_int_equal(policy_load(buf_head(&b), b.len, &p, NULL), 0);
	policy_unref(p);
}

/* The same host and port five thousand times: endpoints that agree are not compared in pairs. */
static void many_endpoints_of_one_host_load(void **state)
{
	struct policy *p = NULL;
	auto_buf struct buf b;

	(void)state;
	buf_init(&b, POLICY_TEXT_MAX);
	(void)buf_puts(&b, "version: 1\nnetwork_policies:\n  p:\n    endpoints:\n");
	for (int i = 0; i < 5000; i++)
		(void)buf_printf(&b,
			"      - { host: h, port: 443, protocol: rest, access: full, "
			"path: /p%d }\n",
			i);
	assert_int_equal(policy_load(buf_head(&b), b.len, &p, NULL), 0);
	policy_unref(p);
}

static void a_text_past_its_limit_is_refused(void **state)
{
	char *text = calloc(1, POLICY_TEXT_MAX + 1);
	struct policy_findings f = { 0 };
	struct policy *p = NULL;

	(void)state;
	assert_int_equal(policy_load(text, POLICY_TEXT_MAX + 1, &p, &f), -EINVAL);
	assert_true(says(&f, POLICY_ERROR, NULL, "too large"));
	policy_findings_done(&f);
	free(text);
}

static void the_first_error_is_one_line(void **state)
{
	struct policy_findings f;
	struct err err = { .text = "" };
	int r;

	(void)state;
	f = load("version: 1\nbogus: 1\n", &r);
	policy_findings_to_err(&f, "dev.yaml", &err);
	assert_string_equal(err.text, "dev.yaml:2:1: unknown field 'bogus'");
	policy_findings_done(&f);
	f = load("version: 1\nnetwork_policies:\n  p: { endpoints: [{ host: a b, port: 1 }] }\n  q: { endpoints: [{ host: h }] }\n", &r);
	assert_int_equal(f.list[0].severity, POLICY_WARNING);
	policy_findings_to_err(&f, "dev.yaml", &err);
	assert_string_equal(err.text, "dev.yaml:4:20: network_policies.q.endpoints[0].port: endpoint 'h' must declare at "
				      "least one port");
	policy_findings_done(&f);
	policy_findings_to_err(&f, "dev.yaml", &err); /* there was no memory to say it in */
	assert_string_equal(err.text, "dev.yaml: the policy could not be read");
}

static void an_empty_policy_is_refused(void **state)
{
	(void)state;
	error_is("", "1:1", "the policy is empty");
	error_is("[]\n", "1:1", "expected a map, got a list");
	error_is("process: {}\n", NULL, "missing field 'version'");
}

/* @rule and @denied in an endpoint of @protocol: the warning that the rule never allows anything. */
static bool is_shadowed(const char *protocol, const char *rule, const char *denied)
{
	char text[1024];
	struct policy_findings f = { 0 };
	struct policy *p = NULL;
	bool is_warned = false;

	(void)snprintf(text, sizeof(text),
		"version: 1\nnetwork_policies:\n  p:\n    endpoints:\n      - host: h\n        port: 443\n"
		"        protocol: %s\n        enforcement: %s\n        rules: [{ allow: {%s} }]\n"
		"        deny_rules: [{%s}]\n    binaries: [{ path: /b }]\n",
		protocol, strcmp(protocol, "sql") == 0 ? "audit" : "enforce", rule, denied);
	if (policy_load(text, strlen(text), &p, &f) < 0)
		fail_msg("%s: %s", text, f.list[0].text);
	for (size_t i = 0; i < f.n; i++)
		is_warned |= strstr(f.list[i].text, "shadowed by deny_rules[0]") != NULL;
	policy_findings_done(&f);
	policy_unref(p);
	return is_warned;
}

/* Never a warning where something is left that the rule allows. */
static void what_a_denial_takes_back_entirely_is_warned_of(void **state)
{
	static const struct {
		const char *protocol, *rule, *denied;
		bool want;
	} cases[] = {
		{ "rest", "method: GET, path: /a", "method: get, path: /a", true },
		{ "rest", "method: GET, path: '/a/*'", "method: '*', path: '/a/*'", true },
		{ "rest", "method: GET, path: '/a/*'", "method: '*', path: '**'", true },
		{ "rest", "method: GET, path: /a/b", "method: GET, path: '/a/*'", true },
		{ "rest", "method: GET, path: '/a/*'", "method: GET, path: '/a/**'", false },
		{ "rest", "method: GET, path: '/a/**'", "method: GET, path: /a/b", false },
		{ "rest", "method: GET, path: /a", "method: PUT, path: /a", false },
		{ "rest", "method: GET, path: /a", "method: GET, path: /a, query: { q: x }", false },
		{ "websocket", "method: WEBSOCKET_TEXT, path: /a", "method: WEBSOCKET_TEXT, path: '**'", true },
		{ "websocket", "method: GET, path: /a", "method: WEBSOCKET_TEXT, path: /a", false },
		{ "websocket", "operation_type: query", "operation_type: query", true },
		{ "graphql", "operation_type: query, operation_name: A", "operation_type: query", true },
		{ "graphql", "operation_type: query, operation_name: A", "operation_type: query, operation_name: A", true },
		{ "graphql", "operation_type: query", "operation_type: query, operation_name: A", false },
		{ "graphql", "operation_type: query", "operation_type: mutation", false },
		{ "graphql", "operation_type: query, fields: [a]", "operation_type: query, fields: [b, a]", true },
		{ "graphql", "operation_type: query, fields: [a]", "operation_type: query, fields: [b]", false },
		{ "graphql", "operation_type: query", "operation_type: query, fields: [b]", false },
		{ "json-rpc", "method: a.b", "method: a.b", true },
		{ "json-rpc", "method: a.b", "method: a.c", false },
		{ "mcp", "method: initialize", "method: initialize", true },
		{ "rest", "method: GET", "method: GET, path: /a", false },
		{ "sql", "command: SELECT", "command: SELECT", false },
		{ "rest", "method: GET, path: /a", "method: GET", false },
		{ "mcp", "method: tools/call", "method: tools/call, tool: x", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (is_shadowed(cases[i].protocol, cases[i].rule, cases[i].denied) != cases[i].want)
			fail_msg("%s: {%s} denied {%s}", cases[i].protocol, cases[i].rule, cases[i].denied);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_unknown_key_is_told_with_its_place_and_what_was_meant),
		cmocka_unit_test(all_errors_are_told_in_the_order_of_the_file),
		cmocka_unit_test(what_an_endpoint_may_not_be_is_refused),
		cmocka_unit_test(a_condition_of_another_protocol_is_refused_not_ignored),
		cmocka_unit_test(mcp_tools_are_listed_or_all),
		cmocka_unit_test(what_a_sandbox_is_given_is_held_to_its_rules),
		cmocka_unit_test(a_policy_and_its_programs_have_names),
		cmocka_unit_test(a_host_is_no_longer_than_a_name_can_be),
		cmocka_unit_test(rules_are_compared_with_denials_up_to_a_limit),
		cmocka_unit_test(what_is_legal_and_surprising_is_warned_of),
		cmocka_unit_test(what_a_denial_takes_back_entirely_is_warned_of),
		cmocka_unit_test(a_wildcard_in_front_of_a_name_is_none_for_a_registry),
		cmocka_unit_test(a_useful_rule_is_not_warned_of),
		cmocka_unit_test(endpoints_that_contradict_each_other_are_refused),
		cmocka_unit_test(endpoints_that_never_meet_may_differ),
		cmocka_unit_test(a_refused_policy_can_still_be_asked),
		cmocka_unit_test(signing_without_its_service_is_refused_and_can_be_asked),
		cmocka_unit_test(what_means_nothing_cannot_be_asked),
		cmocka_unit_test(middlewares_are_held_to_their_rules),
		cmocka_unit_test(what_is_to_be_inspected_may_not_skip_tls),
		cmocka_unit_test(too_many_errors_are_counted_not_kept),
		cmocka_unit_test(an_error_is_told_however_many_warnings_came_before),
		cmocka_unit_test(a_hundred_thousand_rules_load),
		cmocka_unit_test(many_endpoints_of_one_host_load),
		cmocka_unit_test(a_text_past_its_limit_is_refused),
		cmocka_unit_test(the_first_error_is_one_line),
		cmocka_unit_test(an_empty_policy_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
