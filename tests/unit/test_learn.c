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
#include "lib/learn.h"
#include "lib/policy.h"
#include "lib/policy_print.h"

static const uint64_t t0 = 1775014132118;

static void see_connection(struct learn *l, const char *binary, const char *host, uint32_t port)
{
	struct event e = { .time_ms = t0,
		.adapter = EVENT_TCP,
		.action = EVENT_AUDIT,
		.engine = "l4",
		.binary = binary,
		.host = host,
		.port = port };

	assert_int_equal(learn_event(l, &e), 0);
}

static void see_request(
	struct learn *l, const char *binary, const char *host, const char *method, const char *path)
{
	struct event e = { .time_ms = t0 + 60000,
		.adapter = EVENT_L7,
		.action = EVENT_ALLOW,
		.engine = "l7",
		.binary = binary,
		.host = host,
		.port = 443,
		.method = method,
		.target = path };

	assert_int_equal(learn_event(l, &e), 0);
}

/* The policy as text, the caller's; it is valid. */
static char *learned(struct learn *l)
{
	auto_policy_doc struct policy_doc *statics = NULL, *d = NULL;
	struct policy_findings findings = { 0 };
	struct policy *p = NULL;
	struct buf out;

	buf_init(&out, 1 << 20);
	assert_int_equal(
		policy_doc_parse(policy_default_yaml, strlen(policy_default_yaml), &statics, NULL),
		0);
	assert_int_equal(learn_policy(l, statics, &d), 0);
	assert_int_equal(policy_print_commented(&out, d, learn_comment, l), 0);
	if (policy_load(buf_cstr(&out), out.len, &p, &findings) < 0 || findings.n)
		fail_msg("%s\n%s", findings.n ? findings.list[0].text : "?", buf_cstr(&out));
	policy_findings_done(&findings);
	policy_unref(p);
	return buf_steal(&out);
}

static bool allows(const char *yaml, const char *binary, const char *host, uint16_t port,
	const char *method, const char *path)
{
	struct request rq = { .method = method, .path = path };
	struct intent in = {
		.host = host, .port = port, .binary = binary, .request = method ? &rq : NULL
	};
	struct policy *p = NULL;
	struct decision d;

	assert_int_equal(policy_load(yaml, strlen(yaml), &p, NULL), 0);
	policy_decide(p, &in, &d);
	policy_unref(p);
	return d.verdict == VERDICT_ALLOW;
}

static void see_operation(struct learn *l, const char *binary, const char *path, const char *engine,
	const char *operation)
{
	bool is_get = operation && strcmp(operation, "(event stream)") == 0;
	struct event e = { .time_ms = t0 + 60000,
		.adapter = EVENT_L7,
		.action = EVENT_AUDIT,
		.engine = engine,
		.binary = binary,
		.host = "api.example.com",
		.port = 443,
		.method = is_get ? "GET" : "POST",
		.target = path,
		.operation = operation };

	assert_int_equal(learn_event(l, &e), 0);
}

static void see_asker(struct learn *l, const char *host, const char *asker)
{
	struct event e = { .time_ms = t0,
		.adapter = EVENT_TCP,
		.action = EVENT_ALLOW,
		.engine = "l4",
		.binary = "/usr/bin/curl",
		.host = host,
		.port = 22,
		.asker = asker };

	assert_int_equal(learn_event(l, &e), 0);
}

static void what_would_be_a_pattern_is_no_evidence(void **state)
{
	struct learn *l = learn_new(false);
	auto_free char *yaml = NULL;

	(void)state;
	see_connection(l, "/usr/bin/curl", "*.example.com", 443);
	see_connection(l, "/usr/bin/curl", "a\nb", 443);
	see_connection(l, "/usr/bin/curl", "{a,b}.example.com", 443);
	see_connection(l, "/sandbox/bin/*", "a.example.com", 443);
	yaml = learned(l);
	assert_non_null(strstr(yaml, "network_policies: {}\n"));
	assert_int_equal(learn_unsayable(l), 4);
	learn_free(l);
}

static void comments_name_the_code_that_asked(void **state)
{
	struct learn *l = learn_new(false);
	auto_free char *yaml = NULL;

	(void)state;
	see_asker(l, "a.example.com", "dial in libcurl.so.4");
	see_asker(l, "a.example.com", NULL);
	see_asker(l, "a.example.com", "dial in libcurl.so.4");
	see_asker(l, "b.example.com", "dial in libcurl.so.4");
	see_asker(l, "b.example.com", "main in curl");
	yaml = learned(l);
	assert_non_null(
		strstr(yaml, "# 3 uninspected connections by curl (dial in libcurl.so.4), first"));
	assert_non_null(strstr(yaml, "by curl (dial in libcurl.so.4 and others), first"));
	learn_free(l);
}

static void nothing_seen_allows_nothing(void **state)
{
	struct learn *l = learn_new(false);
	auto_free char *yaml = learned(l);

	(void)state;
	assert_non_null(strstr(yaml, "network_policies: {}\n"));
	assert_non_null(strstr(yaml, "read_write:\n"));
	learn_free(l);
}

static void what_was_seen_is_allowed_and_one_more_is_not(void **state)
{
	struct learn *l = learn_new(false);
	auto_free char *yaml = NULL;

	(void)state;
	see_connection(l, "/usr/bin/ssh", "git.example.com", 22);
	see_connection(l, "/usr/bin/curl", "api.example.com", 443);
	see_request(l, "/usr/bin/curl", "api.example.com", "GET", "/users/me");
	see_request(l, "/usr/bin/curl", "api.example.com", "POST", "/items");
	yaml = learned(l);
	assert_true(allows(yaml, "/usr/bin/ssh", "git.example.com", 22, NULL, NULL));
	assert_true(allows(yaml, "/usr/bin/curl", "api.example.com", 443, "GET", "/users/me"));
	assert_true(allows(yaml, "/usr/bin/curl", "api.example.com", 443, "POST", "/items"));
	assert_false(allows(yaml, "/usr/bin/curl", "other.example.com", 443, NULL, NULL));
	assert_false(allows(yaml, "/usr/bin/wget", "api.example.com", 443, NULL, NULL));
	assert_false(allows(yaml, "/usr/bin/ssh", "git.example.com", 443, NULL, NULL));
	assert_false(allows(yaml, "/usr/bin/curl", "api.example.com", 443, "PUT", "/items"));
	assert_false(allows(yaml, "/usr/bin/curl", "api.example.com", 443, "GET", "/users/you"));
	learn_free(l);
}

static void one_sees(struct learn *l, const char *path, const char *engine, const char *operation)
{
	see_operation(l, "/usr/bin/curl", path, engine, operation);
}

static void graphql_is_learned_as_operations(void **state)
{
	struct learn *l = learn_new(false);
	auto_free char *yaml = NULL;

	(void)state;
	one_sees(l, "/graphql", "l7-graphql", "query Viewer{viewer,rate}");
	one_sees(l, "/graphql", "l7-graphql", "query Viewer{viewer}");
	one_sees(l, "/graphql", "l7-graphql", "query{zen} mutation Star{addStar}");
	see_request(l, "/usr/bin/curl", "api.example.com", "GET", "/users/me");
	yaml = learned(l);
	assert_non_null(strstr(yaml, "path: /graphql\n        protocol: graphql\n"));
	assert_non_null(strstr(yaml, "operation_type: mutation\n              operation_name: Star\n"
				     "              fields:\n                - addStar\n"));
	assert_non_null(strstr(yaml, "operation_name: Viewer\n              fields:\n"
				     "                - rate\n                - viewer\n"));
	assert_non_null(strstr(yaml, "# 2 requests by curl, first"));
	assert_null(strstr(yaml, "method: POST"));
	assert_true(allows(yaml, "/usr/bin/curl", "api.example.com", 443, "GET", "/users/me"));
	assert_false(allows(yaml, "/usr/bin/curl", "api.example.com", 443, "POST", "/graphql"));
	assert_false(allows(yaml, "/usr/bin/curl", "api.example.com", 443, "GET", "/graphql"));
	learn_free(l);
}

static void json_rpc_and_mcp_are_learned_as_calls(void **state)
{
	struct learn *l = learn_new(false);
	auto_free char *yaml = NULL;

	(void)state;
	one_sees(l, "/rpc", "l7-jsonrpc", "eth_call, eth_chainId");
	one_sees(l, "/mcp", "l7-mcp", "initialize");
	one_sees(l, "/mcp", "l7-mcp", "tools/call search");
	one_sees(l, "/mcp", "l7-mcp", "tools/call read.file");
	one_sees(l, "/mcp", "l4", "(event stream)");
	one_sees(l, "/mcp", "l7-mcp", "(response)");
	one_sees(l, "/mixed", "l7-mcp", "ping");
	one_sees(l, "/mixed", "l7-jsonrpc", "sum");
	see_operation(l, "/usr/bin/node", "/mcp", "l4", "(event stream)");
	yaml = learned(l);
	assert_non_null(strstr(yaml, "path: /rpc\n        protocol: json-rpc\n"));
	assert_non_null(strstr(yaml, "method: eth_chainId\n"));
	assert_non_null(strstr(yaml, "path: /mcp\n        protocol: mcp\n"));
	assert_non_null(strstr(yaml, "method: tools/call\n              tool: search\n"));
	assert_non_null(strstr(yaml, "tool: read.file\n"));
	assert_non_null(strstr(yaml, "path: /mixed\n        protocol: json-rpc\n"));
	assert_false(allows(yaml, "/usr/bin/curl", "api.example.com", 443, "GET", "/mcp"));
	assert_true(allows(yaml, "/usr/bin/node", "api.example.com", 443, "GET", "/mcp"));
	learn_free(l);
}

static void one_other_request_makes_a_path_rest_for_everybody(void **state)
{
	static const struct {
		const char *engine, *operation;
	} others[] = {
		{ "l7", NULL },
		{ "l4", NULL },
		{ "l7-jsonrpc", "sum" },
		{ "l7-graphql", "persisted{}" },
		{ "l7-graphql", "query Big{a,b\xe2\x80\xa6" },
		{ "l4", "(event stream)" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		struct learn *l = learn_new(false);
		auto_free char *yaml = NULL;

		one_sees(l, "/api", "l7-graphql", "query{a}");
		one_sees(l, "/api", "l7-graphql", "query{b}");
		see_operation(l, "/usr/bin/node", "/api", others[i].engine, others[i].operation);
		yaml = learned(l);
		assert_null(strstr(yaml, "graphql"));
		assert_true(
			allows(yaml, "/usr/bin/curl", "api.example.com", 443, "POST", "/api"));
		learn_free(l);
	}
}

static void many_names_of_one_type_are_no_rule_each(void **state)
{
	struct learn *l = learn_new(false);
	auto_free char *yaml = NULL;

	(void)state;
	for (int i = 0; i < LEARN_SIBLINGS; i++) {
		char text[64];

		(void)snprintf(text, sizeof(text), "query Q%d{viewer}", i);
		one_sees(l, "/graphql", "l7-graphql", text);
	}
	one_sees(l, "/graphql", "l7-graphql", "mutation One{addStar}");
	yaml = learned(l);
	assert_null(strstr(yaml, "operation_name: Q"));
	assert_non_null(strstr(yaml, "operation_name: One"));
	assert_non_null(strstr(yaml, "# 8 requests by curl,"));
	learn_free(l);
}

static void ids_are_generalised_once_two_were_seen(void **state)
{
	struct learn *l = learn_new(false);
	auto_free char *yaml = NULL;

	(void)state;
	see_request(l, "/usr/bin/curl", "api.example.com", "GET", "/repos/acme/x/issues/17");
	see_request(l, "/usr/bin/curl", "api.example.com", "GET", "/repos/acme/x/issues/18");
	see_request(l, "/usr/bin/curl", "api.example.com", "GET", "/runs/5");
	yaml = learned(l);
	assert_non_null(strstr(yaml, "path: /repos/acme/x/issues/*\n"));
	assert_non_null(strstr(yaml, "path: /runs/5\n"));
	assert_false(allows(yaml, "/usr/bin/curl", "api.example.com", 443, "GET", "/runs/6"));
	assert_false(allows(
		yaml, "/usr/bin/curl", "api.example.com", 443, "GET", "/repos/acme/y/issues/1"));
	learn_free(l);
}

static void words_are_generalised_only_when_many_were_seen(void **state)
{
	struct learn *few = learn_new(false), *many = learn_new(false);
	auto_free char *a = NULL, *b = NULL;

	(void)state;
	for (int i = 0; i < LEARN_SIBLINGS; i++) {
		char path[32];

		(void)snprintf(path, sizeof(path), "/pkg/%c-name", 'g' + i);
		if (i < LEARN_SIBLINGS - 1)
			see_request(few, "/usr/bin/npm", "r.example.com", "GET", path);
		see_request(many, "/usr/bin/npm", "r.example.com", "GET", path);
	}
	a = learned(few);
	b = learned(many);
	assert_null(strstr(a, "/pkg/*"));
	assert_non_null(strstr(b, "path: /pkg/*\n"));
	learn_free(few);
	learn_free(many);
}

static void very_many_paths_become_their_directory(void **state)
{
	struct learn *l = learn_new(false);
	auto_free char *yaml = NULL;

	(void)state;
	for (int i = 0; i < 300; i++) {
		char path[64];

		(void)snprintf(path, sizeof(path), "/npm/n%03dx/-/n%03dx-1.tgz", i, i);
		see_request(l, "/usr/bin/npm", "r.example.com", "GET", path);
	}
	yaml = learned(l);
	assert_non_null(strstr(yaml, "path: /npm/**\n"));
	assert_non_null(strstr(yaml, "# 300 requests by npm for several paths, first "));
	assert_false(allows(yaml, "/usr/bin/npm", "r.example.com", 443, "GET", "/other"));
	learn_free(l);
}

static void wildcards_in_a_path_stay_literal(void **state)
{
	struct learn *l = learn_new(false);
	auto_free char *yaml = NULL;

	(void)state;
	see_request(l, "/usr/bin/curl", "api.example.com", "GET", "/a*b/[c]/{d}");
	yaml = learned(l);
	assert_true(allows(yaml, "/usr/bin/curl", "api.example.com", 443, "GET", "/a*b/[c]/{d}"));
	assert_false(allows(yaml, "/usr/bin/curl", "api.example.com", 443, "GET", "/axb/c/{d}"));
	learn_free(l);
}

static void hosts_of_a_service_and_programs_alike_share_a_rule(void **state)
{
	struct learn *l = learn_new(false);
	auto_free char *yaml = NULL;

	(void)state;
	see_connection(l, "/usr/bin/git", "github.com", 443);
	see_connection(l, "/usr/bin/git", "codeload.github.com", 443);
	see_connection(l, "/usr/bin/gh", "github.com", 443);
	see_connection(l, "/usr/bin/gh", "codeload.github.com", 443);
	see_connection(l, "/usr/bin/gh", "api.github.com", 443);
	yaml = learned(l);
	assert_non_null(strstr(yaml, "  github_com:\n"));
	assert_non_null(strstr(yaml, "  github_com_gh:\n"));
	assert_false(allows(yaml, "/usr/bin/git", "api.github.com", 443, NULL, NULL));
	learn_free(l);
}

static void refused_things_are_left_out_unless_asked_for(void **state)
{
	struct event e = { .time_ms = t0,
		.adapter = EVENT_CONNECT,
		.action = EVENT_DENY,
		.engine = "l4",
		.binary = "/usr/bin/curl",
		.host = "x.example",
		.port = 443 };
	struct event ssrf = e;
	struct learn *without = learn_new(false), *with = learn_new(true);

	(void)state;
	ssrf.engine = "ssrf";
	ssrf.host = "internal.example";
	assert_int_equal(learn_event(without, &e), 0);
	assert_int_equal(learn_event(with, &e), 0);
	assert_int_equal(learn_event(with, &ssrf), 0);
	assert_int_equal(learn_uses(without), 0);
	assert_int_equal(learn_left_out(without), 1);
	assert_int_equal(learn_uses(with), 1);
	learn_free(without);
	learn_free(with);
}

static void what_the_proxy_serves_itself_needs_no_rule(void **state)
{
	struct event e = { .time_ms = t0,
		.adapter = EVENT_TCP,
		.action = EVENT_ALLOW,
		.engine = "inference",
		.binary = "/usr/bin/curl",
		.host = "inference.local",
		.port = 443 };
	struct learn *l = learn_new(false);

	(void)state;
	assert_int_equal(learn_event(l, &e), 0);
	e.engine = "advisor";
	assert_int_equal(learn_event(l, &e), 0);
	assert_int_equal(learn_uses(l), 0);
	e.engine = "l4"; /* a control */
	assert_int_equal(learn_event(l, &e), 0);
	assert_int_equal(learn_uses(l), 1);
	learn_free(l);
}

static void evidence_is_told_in_a_comment(void **state)
{
	struct learn *l = learn_new(false);
	auto_free char *yaml = NULL;

	(void)state;
	see_request(l, "/usr/bin/curl", "api.example.com", "GET", "/a");
	see_request(l, "/usr/bin/curl", "api.example.com", "GET", "/a");
	see_connection(l, "/usr/bin/ssh", "git.example.org", 22);
	yaml = learned(l);
	assert_non_null(strstr(yaml, "          # 2 requests by curl, first 2026-04-01 03:29, last "
				     "2026-04-01 03:29 UTC\n          - allow:\n"));
	assert_non_null(strstr(yaml, "      # 1 uninspected connection by ssh, first 2026-04-01 03:28"));
	learn_free(l);
}

static void the_order_of_the_log_does_not_matter(void **state)
{
	struct learn *a = learn_new(false), *b = learn_new(false);
	auto_free char *x = NULL, *y = NULL;

	(void)state;
	see_request(a, "/usr/bin/curl", "api.example.com", "GET", "/a");
	see_connection(a, "/usr/bin/ssh", "git.example.org", 22);
	see_request(a, "/usr/bin/wget", "api.example.com", "GET", "/a");
	see_request(b, "/usr/bin/wget", "api.example.com", "GET", "/a");
	see_connection(b, "/usr/bin/ssh", "git.example.org", 22);
	see_request(b, "/usr/bin/curl", "api.example.com", "GET", "/a");
	x = learned(a);
	y = learned(b);
	assert_string_equal(x, y);
	learn_free(a);
	learn_free(b);
}

static void a_preset_is_used_where_it_says_the_same(void **state)
{
	struct learn *l = learn_new(false);
	auto_free char *yaml = NULL;

	(void)state;
	for (int i = 0; i < 300; i++) {
		static const char *const methods[] = { "GET", "HEAD", "OPTIONS" };

		for (size_t k = 0; k < ARRAY_SIZE(methods); k++) {
			char path[64];

			(void)snprintf(path, sizeof(path), "/n%03dx/a/b%03dx", i, i);
			see_request(l, "/usr/bin/curl", "api.example.com", methods[k], path);
		}
	}
	yaml = learned(l);
	assert_non_null(strstr(yaml, "access: read-only\n"));
	learn_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_seen_allows_nothing),
		cmocka_unit_test(what_would_be_a_pattern_is_no_evidence),
		cmocka_unit_test(comments_name_the_code_that_asked),
		cmocka_unit_test(what_was_seen_is_allowed_and_one_more_is_not),
		cmocka_unit_test(graphql_is_learned_as_operations),
		cmocka_unit_test(json_rpc_and_mcp_are_learned_as_calls),
		cmocka_unit_test(one_other_request_makes_a_path_rest_for_everybody),
		cmocka_unit_test(many_names_of_one_type_are_no_rule_each),
		cmocka_unit_test(ids_are_generalised_once_two_were_seen),
		cmocka_unit_test(words_are_generalised_only_when_many_were_seen),
		cmocka_unit_test(very_many_paths_become_their_directory),
		cmocka_unit_test(wildcards_in_a_path_stay_literal),
		cmocka_unit_test(hosts_of_a_service_and_programs_alike_share_a_rule),
		cmocka_unit_test(refused_things_are_left_out_unless_asked_for),
		cmocka_unit_test(what_the_proxy_serves_itself_needs_no_rule),
		cmocka_unit_test(evidence_is_told_in_a_comment),
		cmocka_unit_test(the_order_of_the_log_does_not_matter),
		cmocka_unit_test(a_preset_is_used_where_it_says_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
