#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/policy_doc.h"
#include "lib/policy_shape.h"

static struct policy_doc *doc_of(const char *fields)
{
	struct policy_doc *d = NULL;
	char text[1024];

	(void)snprintf(text, sizeof(text), "version: 1\nnetwork_policies: { p: { endpoints: [{ %s }] } }\n", fields);
	if (policy_doc_parse(text, strlen(text), &d, NULL) < 0)
		fail_msg("%s", text);
	return d;
}

/* Whether one is to be changed into the other is asked of this alone, so a difference that it does not
 * see is a change that is never made. */
static void what_says_the_same_is_equal_and_nothing_else(void **state)
{
	static const struct {
		const char *a, *b;
		bool want;
	} cases[] = {
		{ "host: h", "host: h", true },
		{ "host: h", "host: H", false },
		{ "host: h, port: 1", "port: 1, host: h", true },
		{ "host: h, port: 1", "host: h", false },
		{ "port: 1", "port: 2", false },
		{ "ports: [1, 2]", "ports: [1, 2]", true },
		{ "ports: [1, 2]", "ports: [1]", false },
		{ "ports: [1, 2]", "ports: [1, 3]", false },
		{ "allowed_ips: [a, b]", "allowed_ips: [a, b]", true },
		{ "allowed_ips: [a, b]", "allowed_ips: [a]", false },
		{ "allowed_ips: [a, b]", "allowed_ips: [b, a]", false },
		{ "allowed_ips: []", "host: h", false },
		{ "allow_encoded_slash: true", "allow_encoded_slash: false", false },
		{ "mcp: { strict_tool_names: true }", "mcp: { strict_tool_names: true }", true },
		{ "mcp: { strict_tool_names: true }", "mcp: {}", false },
		{ "mcp: {}", "mcp:", false },
		{ "deny_rules: [{ method: GET }]", "deny_rules: [{ method: GET }]", true },
		{ "deny_rules: [{ method: GET }, { method: PUT }]", "deny_rules: [{ method: GET }]", false },
		{ "deny_rules: [{ query: { a: x, b: y } }]", "deny_rules: [{ query: { b: y, a: x } }]", true },
		{ "deny_rules: [{ query: { a: x, b: y } }]", "deny_rules: [{ query: { a: x } }]", false },
		{ "deny_rules: [{ query: { a: x } }]", "deny_rules: [{ query: { a: y } }]", false },
		{ "deny_rules: [{ query: { a: x } }]", "deny_rules: [{ query: { b: x } }]", false },
		{ "deny_rules: [{ query: { a: x } }]", "deny_rules: [{ query: { a: { any: [x] } } }]", false },
		{ "deny_rules: [{ query: { a: { any: [x, y] } } }]", "deny_rules: [{ query: { a: { any: [x] } } }]", false },
		{ "deny_rules: [{ tool: { any: [x] } }]", "deny_rules: [{ tool: { any: [x] } }]", true },
		{ "deny_rules: [{ tool: { any: [x] } }]", "deny_rules: [{ tool: x }]", false },
		{ "graphql_persisted_queries: { a: { fields: [x] }, b: {} }",
			"graphql_persisted_queries: { b: {}, a: { fields: [x] } }", true },
		{ "graphql_persisted_queries: { a: { fields: [x] }, b: {} }",
			"graphql_persisted_queries: { a: {}, b: { fields: [x] } }", false },
		{ "graphql_persisted_queries: { a: {}, b: {} }", "graphql_persisted_queries: { a: {} }", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_policy_doc struct policy_doc *a = doc_of(cases[i].a), *b = doc_of(cases[i].b);

		if (doc_equal(&policy_doc_shape, a, b) != cases[i].want ||
			doc_equal(&policy_doc_shape, b, a) != cases[i].want)
			fail_msg("{%s} and {%s}", cases[i].a, cases[i].b);
		assert_true(doc_equal(&policy_doc_shape, a, a));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_says_the_same_is_equal_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
