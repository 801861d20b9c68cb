#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/operation.h"

/* What was read, in a form that shows where every part began and ended. */
static void read_back(const char *text, bool is_graphql, char *ret, size_t size)
{
	struct operation o;

	ret[0] = '\0';
	while (is_graphql ? operation_next_graphql(&text, &o) : operation_next_jsonrpc(&text, &o)) {
		size_t n = strlen(ret);

		(void)snprintf(ret + n, size - n, "<%.*s|%.*s|%.*s>", (int)o.type_len, o.type,
			(int)o.name_len, o.name ? o.name : "", (int)o.detail_len,
			o.detail ? o.detail : "");
	}
	if (*text)
		(void)snprintf(ret, size, "unreadable");
}

static void graphql_operations_are_read_back(void **state)
{
	static const char *const two[] = { "viewer", "rate_1" }, *const one[] = { "addStar" };
	static const struct graphql_op ops[] = {
		{ .type = GRAPHQL_QUERY, .name = "Viewer", .fields = two, .n_fields = 2 },
		{ .type = GRAPHQL_MUTATION, .fields = one, .n_fields = 1 },
	};
	struct graphql_facts f = { .ops = ops, .n_ops = 2 };
	char text[OPERATION_TEXT_MAX], back[256];

	(void)state;
	operation_of_graphql(text, &f);
	assert_string_equal(text, "query Viewer{viewer,rate_1} mutation{addStar}");
	read_back(text, true, back, sizeof(back));
	assert_string_equal(back, "<query|Viewer|viewer,rate_1><mutation||addStar>");
}

static void calls_are_read_back(void **state)
{
	static const struct jsonrpc_call calls[] = { { "tools/call", "search" }, { "ping", NULL } };
	struct jsonrpc_facts f = { .calls = calls, .n_calls = 2, .has_response = true };
	char text[OPERATION_TEXT_MAX], back[256];

	(void)state;
	operation_of_jsonrpc(text, &f);
	assert_string_equal(text, "tools/call search, ping, (response)");
	read_back(text, false, back, sizeof(back));
	assert_string_equal(back, "<|tools/call|search><|ping|><|(response)|>");
	f = (struct jsonrpc_facts){ .receive_stream = true };
	operation_of_jsonrpc(text, &f);
	read_back(text, false, back, sizeof(back));
	assert_string_equal(back, "<|(event stream)|>");
}

static void a_name_cannot_pass_for_two(void **state)
{
	static const char *const names[] = { "a, b", "a b", "", "\"", "(response)", "caf\xc3\xa9",
		"a\nb", "a*" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct jsonrpc_call call = { names[i], NULL };
		struct jsonrpc_facts f = { .calls = &call, .n_calls = 1 };
		char text[OPERATION_TEXT_MAX], back[256];

		operation_of_jsonrpc(text, &f);
		read_back(text, false, back, sizeof(back));
		assert_string_equal(back, "unreadable");
	}
}

static void what_does_not_fit_is_not_read_back(void **state)
{
	struct jsonrpc_call calls[300];
	struct jsonrpc_facts f = { .calls = calls, .n_calls = ARRAY_SIZE(calls) };
	char text[OPERATION_TEXT_MAX], back[8192];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		calls[i] = (struct jsonrpc_call){ "method", NULL };
	operation_of_jsonrpc(text, &f);
	assert_true(strlen(text) < sizeof(text));
	assert_non_null(strstr(text, "\xe2\x80\xa6"));
	read_back(text, false, back, sizeof(back));
	assert_string_equal(back, "unreadable");
}

static void nonsense_is_not_read(void **state)
{
	static const char *const texts[] = { "query", "query{", "query{}", "query{a", "query{a,}",
		"query{,a}", "query {a}", "query A B{a}", "query{a}x", "persisted{}" };
	char back[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		read_back(texts[i], true, back, sizeof(back));
		assert_string_equal(back, "unreadable");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(graphql_operations_are_read_back),
		cmocka_unit_test(calls_are_read_back),
		cmocka_unit_test(a_name_cannot_pass_for_two),
		cmocka_unit_test(what_does_not_fit_is_not_read_back),
		cmocka_unit_test(nonsense_is_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
