#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/policy.h"
#include "lib/policy_diff.h"
#include "lib/policy_merge.h"
#include "lib/policy_merge_endpoint.h"
#include "lib/policy_print.h"
#include "lib/policy_shape.h"
#include "lib/policy_update.h"
#include "lib/str.h"
#include "support/vectors.h"

/* --- documents from the tables' JSON, which is YAML --- */

static struct policy_doc *doc_parse(const char *text)
{
	struct policy_findings f = { 0 };
	struct policy_doc *d = NULL;

	if (policy_doc_parse(text, strlen(text), &d, &f) < 0)
		fail_msg("%s: %s", text, f.n ? f.list[0].text : "?");
	policy_findings_done(&f);
	return d;
}

static struct policy_doc *doc_of(json_t *network_policies)
{
	json_t *whole = json_pack("{s:i, s:O}", "version", 1, "network_policies", network_policies);
	auto_free char *text = json_dumps(whole, 0);
	struct policy_doc *d = doc_parse(text);

	json_decref(whole);
	return d;
}

/* A policy of one rule; @key of its only endpoint holds @list. */
static struct policy_doc *doc_around(const char *key, json_t *list)
{
	json_t *policies =
		json_pack("{s:{s:[{s:s, s:O}]}}", "x", "endpoints", "host", "h", key, list);
	struct policy_doc *d = doc_of(policies);

	json_decref(policies);
	return d;
}

static const char *text_of(json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static const struct doc_network_policy *rule_of(const struct policy_doc *d, const char *key)
{
	for (size_t i = 0; i < d->network_policies.n; i++)
		if (strcmp(d->network_policies.list[i].head.key.text, key) == 0)
			return &d->network_policies.list[i];
	return NULL;
}

/* --- policy_merge.jsonl --- */

enum { OPS_MAX = 4 };

static struct policy_doc *op_of(json_t *json, struct merge_op *op)
{
	static const struct {
		const char *name;
		enum merge_op_type type;
	} types[] = { { "add-rule", MERGE_ADD_RULE }, { "remove-endpoint", MERGE_REMOVE_ENDPOINT },
		{ "remove-rule", MERGE_REMOVE_RULE }, { "add-allow", MERGE_ADD_ALLOW },
		{ "add-deny", MERGE_ADD_DENY }, { "remove-binary", MERGE_REMOVE_BINARY } };
	json_t *rules = json_object_get(json, "rules");
	struct policy_doc *d = NULL;

	*op = (struct merge_op){ .rule_name = text_of(json, "rule_name"),
		.host = text_of(json, "host"),
		.port = (uint16_t)json_integer_value(json_object_get(json, "port")),
		.binary = text_of(json, "binary") };
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (strcmp(types[i].name, text_of(json, "op")) == 0)
			op->type = types[i].type;
	if (op->type == MERGE_ADD_RULE) {
		json_t *one = json_pack("{s:O}", "x", json_object_get(json, "rule"));

		d = doc_of(one);
		json_decref(one);
		op->rule = &d->network_policies.list[0];
	} else if (op->type == MERGE_ADD_ALLOW || op->type == MERGE_ADD_DENY) {
		d = doc_around("deny_rules", rules ? rules : json_object_get(json, "deny_rules"));
		op->rules = d->network_policies.list[0].endpoints.list[0].deny_rules.list;
		op->n_rules = d->network_policies.list[0].endpoints.list[0].deny_rules.n;
	}
	return d;
}

static bool ports_match(json_t *ports, const struct doc_endpoint *e)
{
	if (json_array_size(ports) != endpoint_ports(e))
		return false;
	for (size_t i = 0; i < json_array_size(ports); i++)
		if (!endpoint_has_port(e, (uint16_t)json_integer_value(json_array_get(ports, i))))
			return false;
	return true;
}

static bool endpoint_matches(json_t *want, const struct doc_endpoint *e)
{
	json_t *count = json_object_get(want, "rule_count"),
	       *ports = json_object_get(want, "ports");
	const char *protocol = text_of(want, "protocol");
	const char *enforcement = text_of(want, "enforcement");

	return (!protocol || str_eq(protocol, e->protocol.text)) &&
	       (!enforcement || str_eq(enforcement, e->enforcement.text)) &&
	       (!count || (size_t)json_integer_value(count) == e->rules.n) &&
	       (!ports || ports_match(ports, e)) &&
	       (!vector_flag(want, "request_body_credential_rewrite") ||
		       e->request_body_credential_rewrite.value) &&
	       (!vector_flag(want, "allow_uninspected_credentials") ||
		       e->allow_uninspected_credentials.value);
}

static bool binaries_include(const struct doc_network_policy *p, json_t *paths)
{
	for (size_t i = 0; i < json_array_size(paths); i++) {
		bool is_there = false;

		for (size_t j = 0; j < p->binaries.n; j++)
			is_there |= str_eq(p->binaries.list[j].path.text,
				json_string_value(json_array_get(paths, i)));
		if (!is_there)
			return false;
	}
	return true;
}

static bool document_matches(
	json_t *expect, const struct policy_doc *d, const struct policy_doc *before)
{
	const struct doc_network_policy *p;
	json_t *count = json_object_get(expect, "binary_count"), *name;
	size_t i;

	json_array_foreach (json_object_get(expect, "absent"), i, name)
		if (rule_of(d, json_string_value(name)))
			return false;
	json_array_foreach (json_object_get(expect, "present"), i, name)
		if (!rule_of(d, json_string_value(name)))
			return false;
	json_array_foreach (json_object_get(expect, "unchanged"), i, name)
		if (!doc_equal(&doc_network_policy_shape, rule_of(d, json_string_value(name)),
			    rule_of(before, json_string_value(name))))
			return false;
	if (!text_of(expect, "rule"))
		return true;
	p = rule_of(d, text_of(expect, "rule"));
	return p && (!count || (size_t)json_integer_value(count) == p->binaries.n) &&
	       endpoint_matches(json_object_get(expect, "endpoint0"), &p->endpoints.list[0]) &&
	       binaries_include(p, json_object_get(expect, "binaries_include"));
}

static bool report_matches(json_t *expect, const struct merge_report *report)
{
	json_t *ports = json_object_get(expect, "ports"), *port = json_object_get(expect, "port");
	json_t *name;
	size_t i;

	json_array_foreach (json_object_get(expect, "warnings"), i, name) {
		bool is_there = false;

		for (size_t j = 0; j < report->n_warnings; j++)
			is_there |= str_eq(report->warnings[j].name, json_string_value(name));
		if (!is_there)
			return false;
	}
	if (vector_flag(expect, "ok"))
		return report->error == MERGE_OK;
	return str_eq(merge_error_name(report->error), text_of(expect, "error")) &&
	       (!ports ||
		       (report->n_ports == json_array_size(ports) &&
			       report->ports[0] == json_integer_value(json_array_get(ports, 0)))) &&
	       (!port || report->ports[0] == json_integer_value(port));
}

static bool merge_case(const char *id, json_t *input, json_t *expect)
{
	json_t *operations = json_object_get(input, "operations"), *json;
	auto_policy_doc struct policy_doc *d = doc_of(json_object_get(input, "network_policies"));
	auto_policy_doc struct policy_doc *before =
		doc_of(json_object_get(input, "network_policies"));
	struct policy_doc *parts[OPS_MAX] = { NULL };
	struct merge_op ops[OPS_MAX];
	struct merge_report report;
	struct err err = { 0 };
	bool is_good;
	size_t i;

	json_array_foreach (operations, i, json)
		parts[i] = op_of(json, &ops[i]);
	(void)policy_merge(d, ops, json_array_size(operations), &report, &err);
	is_good = report_matches(expect, &report) &&
		  (report.error || document_matches(expect, d, before));
	if (!is_good)
		print_message("%s: %s: %s\n", id, merge_error_name(report.error), err.text);
	for (i = 0; i < OPS_MAX; i++)
		policy_doc_free(parts[i]);
	return is_good;
}

static void upstream_merge_vectors_pass(void **state)
{
	(void)state;
	assert_int_equal(vectors_run("tests/vectors/policy_merge.jsonl", merge_case), 0);
}

/* --- cli_specs.jsonl --- */

static bool flag_matches(json_t *want, const char *key, const struct doc_bool *b)
{
	return vector_flag(want, key) == (b->is_set && b->value);
}

static bool spec_endpoint(struct policy_doc *d, const char *spec, json_t *expect, struct err *err)
{
	json_t *want = json_object_get(expect, "endpoint"),
	       *ips = json_object_get(want, "allowed_ips");
	struct doc_endpoint e;
	char name[UPDATE_NAME_MAX];

	if (update_parse_endpoint(d, spec, &e, err) < 0)
		return false;
	update_rule_name(name, e.host.text, endpoint_port(&e, 0));
	return str_eq(e.host.text, text_of(want, "host")) &&
	       e.port.value == json_integer_value(json_object_get(want, "port")) &&
	       str_eq(e.protocol.text, text_of(want, "protocol")) &&
	       str_eq(e.access.text, text_of(want, "access")) &&
	       str_eq(e.enforcement.text, text_of(want, "enforcement")) &&
	       flag_matches(
		       want, "websocket_credential_rewrite", &e.websocket_credential_rewrite) &&
	       flag_matches(want, "request_body_credential_rewrite",
		       &e.request_body_credential_rewrite) &&
	       e.allowed_ips.n == json_array_size(ips) &&
	       (!e.allowed_ips.n || str_eq(e.allowed_ips.list[0].text,
					    json_string_value(json_array_get(ips, 0)))) &&
	       str_eq(name, text_of(expect, "rule_name"));
}

static bool spec_l7(struct policy_doc *d, const char *spec, json_t *expect, struct err *err)
{
	struct update_l7 l;

	return update_parse_l7(d, "--add-allow", spec, &l, err) == 0 &&
	       str_eq(l.host, text_of(expect, "host")) &&
	       l.port == json_integer_value(json_object_get(expect, "port")) &&
	       str_eq(l.rule.method.text, text_of(expect, "method")) &&
	       str_eq(l.rule.path.text, text_of(expect, "path"));
}

static bool spec_remove(struct policy_doc *d, const char *spec, struct err *err)
{
	const char *host;
	uint16_t port;

	return update_parse_remove(d, spec, &host, &port, err) == 0;
}

static char **strings_of(json_t *list, char *to[8])
{
	size_t i;
	json_t *s;

	json_array_foreach (list, i, s)
		to[i] = (char *)(uintptr_t)json_string_value(s);
	to[json_array_size(list)] = NULL;
	return to;
}

static bool spec_flags(struct policy_doc *d, json_t *input, struct err *err)
{
	char *add[8], *allow[8], *binary[8];
	struct update_flags f = { .add_endpoint =
					  strings_of(json_object_get(input, "add_endpoint"), add),
		.add_allow = strings_of(json_object_get(input, "add_allow"), allow),
		.binary = strings_of(json_object_get(input, "binary"), binary),
		.rule_name = text_of(input, "rule_name") };
	struct update_plan plan;

	return update_plan_make(d, &f, &plan, err) == 0;
}

static bool spec_case(const char *id, json_t *input, json_t *expect)
{
	auto_policy_doc struct policy_doc *d = policy_doc_new();
	const char *kind = text_of(input, "kind"), *spec = text_of(input, "spec");
	const char *error = text_of(expect, "error");
	struct err err = { 0 };
	bool is_good;

	if (!str_starts(kind, "policy-update-"))
		return true;
	kind += strlen("policy-update-");
	if (strcmp(kind, "add-endpoint") == 0)
		is_good = spec_endpoint(d, spec, expect, &err);
	else if (strcmp(kind, "remove-endpoint") == 0)
		is_good = spec_remove(d, spec, &err);
	else if (strcmp(kind, "flags") == 0)
		is_good = spec_flags(d, input, &err);
	else
		is_good = spec_l7(d, spec, expect, &err);
	if (error)
		is_good = !is_good && strstr(err.text, error);
	if (!is_good)
		print_message("%s: %s\n", id, err.text);
	return is_good;
}

static void upstream_update_grammar_vectors_pass(void **state)
{
	(void)state;
	assert_int_equal(vectors_run("tests/vectors/cli_specs.jsonl", spec_case), 0);
}

/* Ours: upstream can write neither. */
static void ipv6_stands_in_brackets_and_paths_keep_their_colons(void **state)
{
	static const char *const bad[] = { "2001:db8::1:443", "[2001:db8::1]443", "[2001:db8::1]", "[2001:db8::1:443", "[]:443",
		"[a.test]:443", "[2001:db8::1]:443:full:rest:enforce::x" };
	auto_policy_doc struct policy_doc *d = policy_doc_new();
	struct err err = { 0 };
	struct doc_endpoint e;
	struct update_l7 l;
	const char *host;
	uint16_t port;

	(void)state;
	assert_int_equal(update_parse_endpoint(d, "[2001:db8::1]:443:read-only:rest", &e, &err), 0);
	assert_string_equal(e.host.text, "2001:db8::1");
	assert_int_equal(e.port.value, 443);
	assert_string_equal(e.access.text, "read-only");
	assert_int_equal(update_parse_l7(d, "--add-allow", "[::2]:80:post:/v1/models/x:run", &l, &err), 0);
	assert_string_equal(l.host, "::2");
	assert_int_equal(l.port, 80);
	assert_string_equal(l.rule.method.text, "POST");
	assert_string_equal(l.rule.path.text, "/v1/models/x:run");
	assert_int_equal(update_parse_remove(d, "[::2]:80", &host, &port, &err), 0);
	assert_string_equal(host, "::2");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_true(update_parse_endpoint(d, bad[i], &e, &err) < 0);
}

static void what_an_endpoint_may_not_be_is_refused_with_what_it_should(void **state)
{
	static const struct {
		const char *spec, *why;
	} cases[] = {
		{ "h:443:", "the last segment must not be empty" },
		{ "h:443:full:", "the last segment must not be empty" },
		{ "h:443:all", "access segment must be read-only, read-write or full" },
		{ "h:443:full:rest:warn", "enforcement segment must be enforce or audit" },
		{ "h:5432:full:tcp", "protocol tcp takes neither access nor enforcement" },
		{ "h:5432::tcp:enforce", "protocol tcp takes neither access nor enforcement" },
		{ "a b:443", "host must not contain blanks" },
		{ "h/x:443", "host must not contain blanks" },
		{ "h:443:full:websocket:enforce:request-body-credential-rewrite", "needs rest in the protocol segment" },
		{ "h:443:::", "the last segment must not be empty" },
	};
	auto_policy_doc struct policy_doc *d = policy_doc_new();
	auto_free char *host = calloc(1, UPDATE_SPEC_MAX + 8);
	struct err err = { 0 };
	struct doc_endpoint e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(update_parse_endpoint(d, cases[i].spec, &e, &err), -EINVAL);
		if (!strstr(err.text, cases[i].why) || !strstr(err.text, cases[i].spec))
			fail_msg("%s: %s", cases[i].spec, err.text);
	}
	(void)memset(host, 'h', UPDATE_SPEC_MAX - 4);
	(void)strcat(host, ":443");
	assert_int_equal(update_parse_endpoint(d, host, &e, &err), 0);
	(void)strcat(host, "0");
	assert_int_equal(update_parse_endpoint(d, host, &e, &err), -EINVAL);
	assert_non_null(strstr(err.text, "hhhh…': longer than 4096 bytes"));
}

/* They would stand in the policy, in the log and on somebody's terminal. */
static void control_characters_and_what_is_not_utf_8_is_refused(void **state)
{
	static char *bad[] = { (char *)"h\x01:443", NULL }, *good[] = { (char *)"h:443", NULL };
	static char *binary[] = { (char *)"/usr/bin/x\x7f", NULL };
	const struct update_flags flags[] = { { .add_endpoint = bad }, { .remove_endpoint = bad }, { .add_allow = bad },
		{ .add_deny = bad }, { .remove_rule = bad }, { .add_endpoint = good, .binary = binary },
		{ .add_endpoint = good, .rule_name = (char *)"\xff" }, { .add_endpoint = good, .rule_name = (char *)"a\nb" } };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(update_check_flags(&(struct update_flags){ .add_endpoint = good, .rule_name = (char *)"\xc3\xa9" }, &err), 0);
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		assert_int_equal(update_check_flags(&flags[i], &err), -EINVAL);
		assert_non_null(strstr(err.text, "must be UTF-8 without control characters"));
	}
}

/* Rules for requests go by endpoint, and the endpoints by name and port. */
static void rules_for_one_endpoint_are_one_operation(void **state)
{
	static char *allow[] = { (char *)"b.example:443:GET:/1", (char *)"a.example:443:GET:/2", (char *)"a.example:80:GET:/3",
		(char *)"B.example:443:PUT:/4", NULL };
	static const struct {
		const char *host;
		uint16_t port;
		size_t n;
	} want[] = { { "a.example", 80, 1 }, { "a.example", 443, 1 }, { "b.example", 443, 2 } };
	auto_policy_doc struct policy_doc *d = policy_doc_new();
	struct update_plan plan;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(update_plan_make(d, &(struct update_flags){ .add_allow = allow }, &plan, &err), 0);
	assert_int_equal(plan.n, ARRAY_SIZE(want));
	for (size_t i = 0; i < plan.n; i++) {
		assert_int_equal(plan.ops[i].type, MERGE_ADD_ALLOW);
		assert_string_equal(plan.ops[i].host, want[i].host);
		assert_int_equal(plan.ops[i].port, want[i].port);
		assert_int_equal(plan.ops[i].n_rules, want[i].n);
	}
	assert_string_equal(plan.ops[2].rules[1].path.text, "/4");
}

/* --- each step, its refusals and what it tells --- */

#define REST "protocol: rest, enforcement: enforce, "
#define ONE(key, fields) #key ": {endpoints: [{host: h, port: 443, " fields "}], binaries: [{path: /b}]}"
#define ADD(key, fields)                                                                           \
	"{'op': 'add-rule', 'rule_name': '" key "', 'rule': {'endpoints': [{'host': 'h', 'port': 443" fields \
	"}], 'binaries': [{'path': '/b'}]}}"
#define L7(op, rule) "{'op': '" op "', 'host': 'h', 'port': 443, 'rules': [" rule "]}"

/* @op is JSON with ' for ". @want: the error's name, a warning's, or a part of what is printed then; "!" before
 * it: a part that is not. */
static const struct step {
	const char *policies, *op, *error, *warning, *want;
} steps[] = {
	/* A provider's rules are nobody's to change. */
	{ ONE(p, ""), ADD("_provider_x", ""), "ProviderRule", NULL, NULL },
	{ ONE(_provider_x, ""), "{'op': 'remove-rule', 'rule_name': '_provider_x'}", "ProviderRule", NULL, NULL },
	{ ONE(p, ""), "{'op': 'remove-binary', 'rule_name': '_provider_x', 'binary': '/b'}", "ProviderRule", NULL, NULL },
	{ ONE(_provider_x, REST "access: full"), L7("add-allow", "{'method': 'GET', 'path': '/x'}"), "EndpointNotFound",
		NULL, NULL },
	{ ONE(_provider_x, ""), "{'op': 'remove-endpoint', 'host': 'h', 'port': 443}", NULL, "EndpointNotFound",
		"_provider_x" },
	{ ONE(_provider_x, ""), ADD("mine", ""), NULL, NULL, "  mine:" },
	/* Whose rule for requests it would be has to be clear. */
	{ ONE(p, REST "access: full") ", " ONE(q, REST "access: full"), L7("add-deny", "{'method': 'GET', 'path': '/x'}"),
		"AmbiguousEndpointRule", NULL, NULL },
	{ ONE(p, ""), L7("add-allow", "{'method': 'GET', 'path': '/x'}"), "EndpointHasNoL7Inspection", NULL, NULL },
	{ ONE(p, "protocol: graphql, access: full"), L7("add-allow", "{'method': 'GET', 'path': '/x'}"),
		"UnsupportedEndpointProtocol", NULL, NULL },
	{ ONE(p, REST), L7("add-deny", "{'method': 'GET', 'path': '/x'}"), "EndpointHasNoAllowBase", NULL, NULL },
	{ ONE(p, REST "access: odd"), L7("add-allow", "{'method': 'GET', 'path': '/x'}"), "UnsupportedAccessPreset", NULL,
		NULL },
	/* A denial stands once, whatever was allowed before stays. */
	{ ONE(p, REST "access: full"), L7("add-deny", "{'method': 'DELETE', 'path': '/x'}"), NULL, NULL,
		"deny_rules:\n          - method: DELETE\n            path: /x\n" },
	{ ONE(p, REST "access: full, deny_rules: [{method: DELETE, path: /x}]"),
		L7("add-deny", "{'method': 'DELETE', 'path': '/x'}, {'method': 'PUT', 'path': '/x'}"), NULL, NULL,
		"deny_rules:\n          - method: DELETE\n            path: /x\n          - method: PUT\n" },
	/* What is said already stays, and that is told. */
	{ ONE(p, REST "access: full"), ADD("p", ", 'protocol': 'rest', 'access': 'read-only'"), NULL, "ExistingAccessRetained",
		"access: full" },
	{ ONE(p, REST "rules: [{allow: {method: GET, path: /x}}]"), ADD("p", ", 'protocol': 'rest', 'access': 'read-only'"),
		NULL, "IgnoredIncomingAccessBecauseRulesExist", "!access" },
	{ ONE(p, "protocol: rest, enforcement: audit, access: full"),
		ADD("p", ", 'protocol': 'rest', 'enforcement': 'enforce', 'access': 'full'"), NULL, "ExistingEnforcementRetained",
		"enforcement: audit" },
	{ ONE(p, "tls: skip"), ADD("p", ", 'tls': 'terminate'"), NULL, "ExistingTlsRetained", "tls: skip" },
	{ ONE(p, REST "access: read-only"),
		ADD("p", ", 'protocol': 'rest', 'rules': [{'allow': {'method': 'PUT', 'path': '/x'}}]"), NULL,
		"ExpandedAccessPreset", "method: PUT" },
	{ ONE(p, REST "access: odd"), ADD("p", ", 'protocol': 'rest', 'rules': [{'allow': {'method': 'PUT', 'path': '/x'}}]"),
		"UnsupportedAccessPreset", NULL, NULL },
	/* What it lacks comes with the new one. */
	{ ONE(p, REST "access: full"), ADD("p", ", 'protocol': 'rest', 'access': 'full', 'deny_rules': [{'method': 'PUT'}]"),
		NULL, NULL, "deny_rules:\n          - method: PUT" },
	{ ONE(p, "allowed_ips: [10.0.0.1]"), ADD("p", ", 'allowed_ips': ['10.0.0.1', '10.0.0.2']"), NULL, NULL,
		"10.0.0.2" },
	{ "p: {endpoints: [{host: h, port: 443}]}", ADD("p", ""), NULL, "ExistingAnyBinaryScopeRetained", "!/b" },
	{ ONE(p, ""), "{'op': 'add-rule', 'rule_name': 'p', 'rule': {'endpoints': [], 'binaries': [{'path': '/b'}]}}",
		"EmptyAddRuleEndpoints", NULL, NULL },
	/* Taking away. */
	{ ONE(p, ""), "{'op': 'remove-endpoint', 'host': 'h', 'port': 1}", NULL, "EndpointNotFound", "  p:" },
	{ "p: {endpoints: [{host: h, ports: [443, 444]}], binaries: [{path: /b}]}",
		"{'op': 'remove-endpoint', 'host': 'h', 'port': 443}", NULL, NULL, "port: 444" },
	{ ONE(p, ""), "{'op': 'remove-rule', 'rule_name': 'q'}", NULL, "RuleNotFound", "  p:" },
	{ ONE(p, "") ", " ONE(q, ""), "{'op': 'remove-rule', 'rule_name': 'p'}", NULL, NULL, "!  p:" },
	{ ONE(p, ""), "{'op': 'remove-binary', 'rule_name': 'q', 'binary': '/b'}", NULL, "RuleNotFound", "  p:" },
	{ "p: {endpoints: [{host: h, port: 443}]}", "{'op': 'remove-binary', 'rule_name': 'p', 'binary': '/b'}",
		"CannotRemoveBinaryFromAnyBinaryScope", NULL, NULL },
	{ "p: {endpoints: [{host: h, port: 443}], binaries: [{path: /a}, {path: /b}]}",
		"{'op': 'remove-binary', 'rule_name': 'p', 'binary': '/b'}", NULL, NULL, "!/b" },
	/* Without a binary a rule would be everybody's. */
	{ ONE(p, ""), "{'op': 'remove-binary', 'rule_name': 'p', 'binary': '/b'}", NULL, NULL, "!  p:" },
};

static bool was_warned(const struct merge_report *report, const char *name)
{
	for (size_t i = 0; i < report->n_warnings; i++)
		if (str_eq(report->warnings[i].name, name))
			return true;
	return false;
}

static json_t *json_of(const char *quoted)
{
	auto_free char *text = strdup(quoted);
	json_t *json;

	for (char *c = text; *c; c++)
		if (*c == '\'')
			*c = '"';
	json = json_loads(text, 0, NULL);
	if (!json)
		fail_msg("%s", text);
	return json;
}

static void each_step_does_and_tells_what_it_should(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		const struct step *t = &steps[i];
		auto_buf struct buf before, after;
		auto_policy_doc struct policy_doc *d = NULL, *part = NULL;
		json_t *json = json_of(t->op);
		struct merge_report report;
		struct err err = { 0 };
		struct merge_op op;

		buf_init(&before, 65536);
		buf_init(&after, 65536);
		(void)buf_printf(&before, "version: 1\nnetwork_policies: {%s}\n", t->policies);
		d = doc_parse(buf_cstr(&before));
		part = op_of(json, &op);
		assert_int_equal(policy_merge(d, &op, 1, &report, &err) < 0, t->error != NULL);
		assert_int_equal(policy_print(&after, d), 0);
		if (t->error && !str_eq(merge_error_name(report.error), t->error))
			fail_msg("%s: %s instead of %s", t->op, merge_error_name(report.error), t->error);
		if (t->warning && !was_warned(&report, t->warning))
			fail_msg("%s: no warning %s in\n%s", t->op, t->warning, buf_cstr(&after));
		if (t->want && !strstr(buf_cstr(&after), t->want + (*t->want == '!')) == (*t->want != '!'))
			fail_msg("%s: %s in\n%s", t->op, t->want, buf_cstr(&after));
		json_decref(json);
	}
}

/* Whether MCP that was seen may stand beside what the policy has at the same host and port. */
static void mcp_that_was_seen_is_no_way_around_its_rules(void **state)
{
	static const struct {
		const char *old, *path;
		bool evident, asked; /* taken as evidence; as a request */
	} cases[] = {
		{ ONE(p, ""), "/mcp", true, true },
		{ ONE(p, REST "rules: [{allow: {method: GET, path: /a}}]"), "/mcp", true, false },
		{ ONE(p, REST "rules: [{allow: {method: GET, path: /a}}, {allow: {method: POST, path: '/m*'}}]"), "/mcp", false,
			false },
		{ ONE(p, REST "rules: [{allow: {method: GET, path: '/**'}}]"), "/mcp", false, false },
		{ ONE(p, REST "rules: [{allow: {method: GET}}]"), "/mcp", false, false },
		{ ONE(p, REST "access: full"), "/mcp", false, false },
		/* nobody can tell which paths a pattern leaves out */
		{ ONE(p, REST "rules: [{allow: {method: GET, path: /a}}]"), "/m*", false, false },
		/* by path, one endpoint gives way to the other */
		{ ONE(p, REST "access: full, path: '/api/**'"), "/mcp", true, true },
		{ ONE(p, REST "access: full, path: '/api/**'"), "/api/mcp", false, false },
		{ ONE(p, REST "access: full, path: /mcp"), "/mcp", false, false },
		{ ONE(p, REST "rules: [{allow: {method: GET, path: /a}}], path: '/**'"), "/mcp", true, false },
		{ ONE(p, REST "rules: [{allow: {method: GET, path: /a}}], path: '/m*'"), "/mcp", false, false },
	};

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
		bool is_evidence = i % 2, want = is_evidence ? cases[i / 2].evident : cases[i / 2].asked;
		auto_policy_doc struct policy_doc *d = NULL, *rule = NULL;
		char text[1024];
		struct merge_report report;
		struct merge_op op = { .type = MERGE_ADD_RULE, .rule_name = "seen", .is_evidence = is_evidence };
		struct err err = { 0 };
		int r;

		(void)snprintf(text, sizeof(text), "version: 1\nnetwork_policies: {%s}\n", cases[i / 2].old);
		d = doc_parse(text);
		(void)snprintf(text, sizeof(text),
			"version: 1\nnetwork_policies: {x: {endpoints: [{host: h, port: 443, path: '%s', protocol: mcp, "
			"rules: [{allow: {method: initialize}}]}], binaries: [{path: /b}]}}\n",
			cases[i / 2].path);
		rule = doc_parse(text);
		op.rule = &rule->network_policies.list[0];
		r = policy_merge(d, &op, 1, &report, &err);
		if ((r == 0) != want)
			fail_msg("%s beside {%s}: %s", cases[i / 2].path, cases[i / 2].old, err.text);
		if (!want && !strstr(err.text, is_evidence ? "MCP was seen at h:443, and rule 'p' of the policy"
							    : "endpoint h:443 would be inspected in two ways"))
			fail_msg("%s", err.text);
	}
}

/* --- whole updates --- */

static const char github[] = "version: 1\n"
			     "network_policies:\n"
			     "  github_api:\n"
			     "    name: github-api-readonly\n"
			     "    endpoints:\n"
			     "      - host: api.github.com\n"
			     "        port: 443\n"
			     "        protocol: rest\n"
			     "        enforcement: enforce\n"
			     "        access: read-only\n"
			     "    binaries:\n"
			     "      - path: /usr/bin/curl\n";

/* What becomes of @text with these flags, or the error. The caller frees. */
static char *updated(const char *text, const struct update_flags *f)
{
	auto_policy_doc struct policy_doc *d = doc_parse(text);
	struct update_plan plan;
	struct merge_report report;
	struct err err = { 0 };
	struct buf out;

	buf_init(&out, 1 << 20);
	if (update_plan_make(d, f, &plan, &err) < 0 ||
		policy_merge(d, plan.ops, plan.n, &report, &err) < 0)
		(void)buf_puts(&out, err.text);
	else
		assert_int_equal(policy_print(&out, d), 0);
	return buf_steal(&out);
}

#define LIST(...) ((char *[]){ __VA_ARGS__, NULL })

static void expect_valid(const char *text)
{
	struct policy_findings f = { 0 };
	struct policy *p = NULL;

	if (policy_load(text, strlen(text), &p, &f) < 0)
		fail_msg("%s\n%s", f.list[0].text, text);
	policy_findings_done(&f);
	policy_unref(p);
}

static void allowing_a_method_writes_the_preset_out(void **state)
{
	auto_free char *got = updated(
		github, &(struct update_flags){
				.add_allow = LIST("api.github.com:443:POST:/repos/*/issues") });

	(void)state;
	expect_valid(got);
	assert_null(strstr(got, "access:"));
	assert_non_null(strstr(got, "method: OPTIONS"));
	assert_non_null(strstr(got, "method: POST"));
	assert_non_null(strstr(got, "path: /repos/*/issues"));
}

static void a_new_endpoint_becomes_a_rule_of_its_own(void **state)
{
	auto_free char *got = updated(github,
		&(struct update_flags){ .add_endpoint = LIST("pkgs.example.com:443:read-only:rest:enforce"),
			.binary = LIST("/usr/bin/pip") });

	(void)state;
	expect_valid(got);
	assert_non_null(strstr(got, "  allow_pkgs_example_com_443:\n"));
	assert_non_null(strstr(got, "- path: /usr/bin/pip\n"));
}

static void another_binary_does_not_inherit_what_it_did_not_ask_for(void **state)
{
	auto_free char *got = updated(
		github, &(struct update_flags){
				.add_endpoint = LIST("api.github.com:443:full:rest:enforce"),
				.binary = LIST("/usr/bin/wget"),
				.rule_name = "github_api" });

	(void)state;
	assert_non_null(strstr(got, "/usr/bin/wget would get what rule 'github_api' allows"));
}

static void removing_the_last_endpoint_removes_the_rule(void **state)
{
	auto_free char *got = updated(
		github, &(struct update_flags){ .remove_endpoint = LIST("api.github.com:443") });

	(void)state;
	expect_valid(got);
	assert_null(strstr(got, "github"));
}

static void a_rule_for_one_port_leaves_the_others_alone(void **state)
{
	static const char two[] = "version: 1\n"
				  "network_policies:\n"
				  "  a:\n"
				  "    endpoints:\n"
				  "      - host: a.example\n"
				  "        ports: [443, 8443]\n"
				  "        protocol: rest\n"
				  "        access: read-only\n"
				  "    binaries: [{path: /usr/bin/curl}]\n";
	auto_free char *got = updated(
		two, &(struct update_flags){ .add_allow = LIST("a.example:443:DELETE:/x") });
	auto_policy_doc struct policy_doc *d = NULL;

	(void)state;
	expect_valid(got);
	d = doc_parse(got);
	assert_int_equal(d->network_policies.list[0].endpoints.n, 2);
	assert_true(endpoint_has_port(&d->network_policies.list[0].endpoints.list[1], 8443));
	assert_string_equal(d->network_policies.list[0].endpoints.list[1].access.text, "read-only");
}

/* --- what no merge may do, over a small world --- */

static const char *const world_binaries[] = { "/bin/a", "/bin/b", "/bin/c" };
static const char *const world_hosts[] = { "x.example", "y.example" };
static const uint16_t world_ports[] = { 443, 8443 };
static const char *const world_methods[] = { "GET", "POST", "DELETE" };
static const char *const world_paths[] = { "/p", "/q/1" };

static size_t pick(unsigned int *seed, size_t n)
{
	return (size_t)rand_r(seed) % n;
}

static void random_endpoint(struct buf *out, unsigned int *seed)
{
	static const char *const ports[] = { "[443]", "[8443]", "[443, 8443]" };
	static const char *const kinds[] = { "",
		"protocol: rest, enforcement: enforce, access: read-only, ",
		"protocol: rest, enforcement: enforce, access: full, ",
		"protocol: rest, enforcement: enforce, rules: [{allow: {method: POST, path: "
		"/p}}], ",
		"protocol: rest, enforcement: enforce, rules: [{allow: {method: GET, path: "
		"/q/*}}], " };

	assert_int_equal(
		buf_printf(out, "{%shost: %s, ports: %s}", kinds[pick(seed, ARRAY_SIZE(kinds))],
			world_hosts[pick(seed, 2)], ports[pick(seed, 3)]),
		0);
}

/* A policy of @n rules as flow YAML; the caller frees. */
static char *random_policy(unsigned int *seed, size_t n)
{
	struct buf out;

	buf_init(&out, 65536);
	(void)buf_puts(&out, "version: 1\nnetwork_policies: {");
	for (size_t i = 0; i < n; i++) {
		size_t endpoints = 1 + pick(seed, 2), binaries = 1 + pick(seed, 2);

		(void)buf_printf(&out, "%sr%zu: {endpoints: [", i ? ", " : "", i);
		for (size_t k = 0; k < endpoints; k++) {
			(void)buf_puts(&out, k ? ", " : "");
			random_endpoint(&out, seed);
		}
		(void)buf_puts(&out, "], binaries: [");
		for (size_t k = 0; k < binaries; k++)
			(void)buf_printf(
				&out, "%s{path: %s}", k ? ", " : "", world_binaries[pick(seed, 3)]);
		(void)buf_puts(&out, "]}");
	}
	(void)buf_puts(&out, "}\n");
	return buf_steal(&out);
}

static struct policy *load_or_null(const char *text)
{
	struct policy *p = NULL;

	return policy_load(text, strlen(text), &p, NULL) == 0 ? p : NULL;
}

static bool allows(
	const struct policy *p, const struct intent *connection, const struct request *rq)
{
	struct intent in = *connection;
	struct decision d;

	policy_decide(p, &in, &d);
	if (d.verdict != VERDICT_ALLOW || !d.carriage.is_inspected)
		return d.verdict == VERDICT_ALLOW;
	in.request = rq;
	policy_decide(p, &in, &d);
	return d.verdict == VERDICT_ALLOW;
}

/* Calls @each for everything that can be asked in this world. */
static void everything(
	void (*each)(const struct intent *, const struct request *, void *), void *arg)
{
	for (size_t i = 0; i < 3 * 2 * 2 * 3 * 2; i++) {
		struct intent in = { .binary = world_binaries[i % 3],
			.host = world_hosts[i / 3 % 2],
			.port = world_ports[i / 6 % 2] };
		struct request rq = { .method = world_methods[i / 12 % 3],
			.path = world_paths[i / 36] };

		each(&in, &rq, arg);
	}
}

struct three {
	const struct policy *before, *added, *after;
	const char *texts[3];
};

static void check_one(const struct intent *in, const struct request *rq, void *arg)
{
	const struct three *t = arg;

	if (allows(t->after, in, rq) && !allows(t->before, in, rq) && !allows(t->added, in, rq))
		fail_msg("%s %s %s %s:%u was given away\n%s\n%s\n%s", in->binary, rq->method,
			rq->path, in->host, in->port, t->texts[0], t->texts[1], t->texts[2]);
}

/* One random rule into one random policy; true when that gave a valid policy. */
static bool merge_randomly(unsigned int *seed)
{
	auto_free char *before = random_policy(seed, 1 + pick(seed, 2));
	auto_free char *added = random_policy(seed, 1), *after = NULL;
	auto_policy_doc struct policy_doc *d = doc_parse(before), *a = doc_parse(added);
	struct merge_op op = { .type = MERGE_ADD_RULE,
		.rule_name = pick(seed, 2) ? "r0" : "new",
		.rule = &a->network_policies.list[0],
		.is_evidence = pick(seed, 2) };
	struct three t = { .before = load_or_null(before), .added = load_or_null(added) };
	struct merge_report report;
	struct buf out;
	bool is_merged = false;

	buf_init(&out, 1 << 20);
	if (t.before && t.added && policy_merge(d, &op, 1, &report, NULL) == 0) {
		assert_int_equal(policy_print(&out, d), 0);
		after = buf_steal(&out);
		t.after = load_or_null(after);
		is_merged = t.after != NULL;
	}
	t.texts[0] = before;
	t.texts[1] = added;
	t.texts[2] = after;
	if (is_merged)
		everything(check_one, &t);
	policy_unref((struct policy *)(uintptr_t)t.before);
	policy_unref((struct policy *)(uintptr_t)t.added);
	policy_unref((struct policy *)(uintptr_t)t.after);
	return is_merged;
}

static void no_merge_gives_away_more_than_was_asked_for(void **state)
{
	unsigned int seed = 20261123, merged = 0;

	(void)state;
	for (int i = 0; i < 5000; i++)
		merged += merge_randomly(&seed);
	assert_true(merged > 1000);
}

/* Counts what @after allows and @before does not. */
struct gain {
	const struct policy *before, *after;
	size_t n;
};

static void count_gain(const struct intent *in, const struct request *rq, void *arg)
{
	struct gain *g = arg;

	g->n += allows(g->after, in, rq) && !allows(g->before, in, rq);
}

static void a_diff_misses_no_gain(void **state)
{
	unsigned int seed = 1123, seen = 0;

	(void)state;
	for (int i = 0; i < 3000; i++) {
		auto_free char *a = random_policy(&seed, 2), *b = random_policy(&seed, 2);
		auto_policy_doc struct policy_doc *x = doc_parse(a), *y = doc_parse(b);
		auto_policy_diff struct policy_diff d = { 0 };
		struct policy *before = load_or_null(a), *after = load_or_null(b);
		struct gain g = { .before = before, .after = after };

		assert_int_equal(policy_diff(x, y, &d), 0);
		if (before && after)
			everything(count_gain, &g);
		if (g.n && !d.gained)
			fail_msg("%zu gains are not told\n%s%s", g.n, a, b);
		seen += g.n > 0;
		policy_unref(before);
		policy_unref(after);
	}
	assert_true(seen > 500);
}

/* --- printing --- */

static bool survives_printing(const char *id, json_t *input, json_t *expect)
{
	const char *text =
		text_of(input, "yaml") ? text_of(input, "yaml") : text_of(input, "policy");
	auto_policy_doc struct policy_doc *d = NULL, *again = NULL;
	auto_buf struct buf out = { 0 }, twice = { 0 };

	(void)id;
	(void)expect;
	if (!text || policy_doc_parse(text, strlen(text), &d, NULL) < 0)
		return true;
	buf_init(&out, 16 << 20);
	buf_init(&twice, 16 << 20);
	if (policy_print(&out, d) < 0 || !buf_cstr(&out))
		return false;
	if (policy_doc_parse(buf_cstr(&out), out.len, &again, NULL) < 0 ||
		!doc_equal(&policy_doc_shape, d, again)) {
		print_message("%s\n", buf_cstr(&out));
		return false;
	}
	return policy_print(&twice, again) == 0 && strcmp(buf_cstr(&twice), buf_cstr(&out)) == 0;
}

static void what_is_printed_reads_back_the_same(void **state)
{
	(void)state;
	assert_int_equal(
		vectors_run("tests/vectors/policy_validation.jsonl", survives_printing), 0);
}

static void expect_yaml(const char *s, const char *yaml)
{
	auto_buf struct buf out = { 0 };

	buf_init(&out, 1000);
	assert_int_equal(policy_print_string(&out, s), 0);
	assert_string_equal(buf_cstr(&out), yaml);
}

static void strings_are_quoted_where_yaml_needs_it(void **state)
{
	(void)state;
	expect_yaml("api.github.com", "api.github.com");
	expect_yaml("/usr/bin/g++", "/usr/bin/g++");
	expect_yaml("/repos/*/x", "/repos/*/x");
	expect_yaml("*.example.com", "\"*.example.com\"");
	expect_yaml("443", "\"443\"");
	expect_yaml("No", "\"No\"");
	expect_yaml("", "\"\"");
	expect_yaml("a: b # c", "\"a: b # c\"");
	expect_yaml("- x", "\"- x\"");
	expect_yaml("a\"b\\\n", "\"a\\\"b\\\\\\u000a\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(upstream_merge_vectors_pass),
		cmocka_unit_test(what_an_endpoint_may_not_be_is_refused_with_what_it_should),
		cmocka_unit_test(control_characters_and_what_is_not_utf_8_is_refused),
		cmocka_unit_test(rules_for_one_endpoint_are_one_operation),
		cmocka_unit_test(each_step_does_and_tells_what_it_should),
		cmocka_unit_test(mcp_that_was_seen_is_no_way_around_its_rules),
		cmocka_unit_test(upstream_update_grammar_vectors_pass),
		cmocka_unit_test(ipv6_stands_in_brackets_and_paths_keep_their_colons),
		cmocka_unit_test(allowing_a_method_writes_the_preset_out),
		cmocka_unit_test(a_new_endpoint_becomes_a_rule_of_its_own),
		cmocka_unit_test(another_binary_does_not_inherit_what_it_did_not_ask_for),
		cmocka_unit_test(removing_the_last_endpoint_removes_the_rule),
		cmocka_unit_test(a_rule_for_one_port_leaves_the_others_alone),
		cmocka_unit_test(no_merge_gives_away_more_than_was_asked_for),
		cmocka_unit_test(a_diff_misses_no_gain),
		cmocka_unit_test(what_is_printed_reads_back_the_same),
		cmocka_unit_test(strings_are_quoted_where_yaml_needs_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
