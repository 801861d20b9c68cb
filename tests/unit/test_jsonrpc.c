#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "lib/http1.h"
#include "lib/jsonrpc.h"
#include "lib/jsontext.h"
#include "tests/support/vectors.h"

static bool same_call(const struct jsonrpc_call *call, json_t *want)
{
	const char *tool = json_string_value(json_object_get(want, "tool"));

	if (strcmp(call->method, json_string_value(json_object_get(want, "method"))) != 0)
		return false;
	return tool ? call->tool && strcmp(call->tool, tool) == 0 : !call->tool;
}

static bool same_facts(const struct jsonrpc_facts *f, json_t *expect)
{
	const char *error = json_string_value(json_object_get(expect, "error"));
	const char *part = json_string_value(json_object_get(expect, "error_contains"));
	json_t *calls = json_object_get(expect, "calls");

	if (error && (!f->error || strcmp(f->error, error) != 0))
		return false;
	if (part && (!f->error || !strstr(f->error, part)))
		return false;
	if (f->n_calls != json_array_size(calls) || (f->error && !error && !part))
		return false;
	for (size_t i = 0; i < f->n_calls; i++) {
		if (!same_call(&f->calls[i], json_array_get(calls, i)))
			return false;
	}
	return error || part ||
	       (f->is_batch == vector_flag(expect, "is_batch") &&
		       f->has_response == vector_flag(expect, "has_response"));
}

static bool raw_case(const struct jsonrpc_options *opt, const char *raw, json_t *expect)
{
	auto_jsonrpc struct jsonrpc *j = NULL;
	static struct http1_request r;
	const char *why;

	assert_int_equal(http1_request_parse(&r, raw, strlen(raw), &why), 0);
	assert_int_equal(
		jsonrpc_parse_request(opt, r.method, r.fields.list, r.fields.n, "", 0, &j), 0);
	return jsonrpc_facts(j)->receive_stream == vector_flag(expect, "receive_stream");
}

static bool request_case(const char *id, json_t *input, json_t *expect)
{
	struct jsonrpc_options opt = {
		.is_mcp = strcmp(json_string_value(json_object_get(input, "mode")), "mcp") == 0,
		.strict_tool_names = vector_flag(input, "strict_tool_names"),
	};
	const char *raw = json_string_value(json_object_get(input, "raw_request"));
	const char *body = json_string_value(json_object_get(input, "body"));
	auto_jsonrpc struct jsonrpc *j = NULL;

	(void)id;
	if (raw)
		return raw_case(&opt, raw, expect);
	assert_int_equal(jsonrpc_parse(&opt, body, strlen(body), &j), 0);
	return same_facts(jsonrpc_facts(j), expect);
}

static void every_message_of_the_table_is_understood(void **state)
{
	(void)state;
	assert_int_equal(vectors_run("tests/vectors/jsonrpc_mcp.jsonl", request_case), 0);
}

/* NULL when understood, else why not. */
static const char *error_of(bool is_mcp, const char *body)
{
	static char text[256];
	struct jsonrpc_options opt = { .is_mcp = is_mcp, .strict_tool_names = true };
	auto_jsonrpc struct jsonrpc *j = NULL;

	assert_int_equal(jsonrpc_parse(&opt, body, strlen(body), &j), 0);
	if (!jsonrpc_facts(j)->error)
		return NULL;
	(void)snprintf(text, sizeof(text), "%s", jsonrpc_facts(j)->error);
	return text;
}

#define CALL(id, method, params)                                                                   \
	"{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"" method "\",\"params\":" params "}"

static void keys_that_another_parser_would_fold_are_refused(void **state)
{
	(void)state;
	assert_non_null(error_of(false, "{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"method\":\"b\"}"));
	assert_non_null(error_of(false, "{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"Method\":\"b\"}"));
	assert_non_null(
		error_of(false, "{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"param\xc5\xbf\":1}"));
	assert_non_null(error_of(true, CALL("1", "tools/call", "{\"name\":\"a\",\"NAME\":\"b\"}")));
	assert_null(error_of(
		true, CALL("1", "tools/call", "{\"name\":\"a\",\"arguments\":{\"Name\":1}}")));
}

static void known_mcp_methods_need_their_parameters(void **state)
{
	(void)state;
	assert_non_null(error_of(true, CALL("1", "tools/call", "{}")));
	assert_non_null(error_of(true, CALL("1", "tools/call", "[\"x\"]")));
	assert_non_null(error_of(true, CALL("1", "tools/call", "{\"name\":5}")));
	assert_non_null(error_of(true, CALL("1", "initialize", "{}")));
	assert_non_null(error_of(true, CALL("1", "initialize",
					       "{\"protocolVersion\":\"1\",\"capabilities\":{},"
					       "\"clientInfo\":{\"name\":\"n\"}}")));
	assert_null(error_of(true, CALL("1", "initialize",
					   "{\"protocolVersion\":\"1\",\"capabilities\":{},"
					   "\"clientInfo\":{\"name\":\"n\",\"version\":\"1\"}}")));
	assert_null(error_of(true, CALL("\"a\"", "vendor/ext", "{\"name\":5}")));
	assert_null(error_of(false, CALL("1", "tools/call", "[1]")));
	assert_null(error_of(true, CALL("1", "tools/list", "null")));
	assert_null(error_of(true, CALL("1", "vendor/ext", "[1]")));
	assert_null(
		error_of(true, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}"));
	assert_non_null(error_of(true, CALL("1.5", "ping", "{}")));
	assert_non_null(error_of(true, CALL("null", "ping", "{}")));
}

static void a_tool_call_without_id_still_names_its_tool(void **state)
{
	struct jsonrpc_options opt = { .is_mcp = true };
	auto_jsonrpc struct jsonrpc *j = NULL;
	static const char body[] =
		"{\"jsonrpc\":\"2.0\",\"method\":\"tools/call\",\"params\":{\"name\":\"rm\"}}";

	(void)state;
	assert_int_equal(jsonrpc_parse(&opt, body, strlen(body), &j), 0);
	assert_string_equal(jsonrpc_facts(j)->calls[0].tool, "rm");
}

static void batches_keep_order_and_count_responses(void **state)
{
	struct jsonrpc_options opt = { .is_mcp = false };
	auto_jsonrpc struct jsonrpc *j = NULL;
	static const char body[] = "[{\"jsonrpc\":\"2.0\",\"method\":\"a\"},"
				   "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1},"
				   "{\"jsonrpc\":\"2.0\",\"method\":\"b\",\"id\":2}]";

	(void)state;
	assert_int_equal(jsonrpc_parse(&opt, body, strlen(body), &j), 0);
	assert_int_equal(jsonrpc_facts(j)->n_calls, 2);
	assert_string_equal(jsonrpc_facts(j)->calls[1].method, "b");
	assert_true(jsonrpc_facts(j)->has_response);
	assert_true(jsonrpc_facts(j)->is_batch);
}

static void deep_and_wide_json_is_refused_before_it_is_built(void **state)
{
	char deep[2 * JSONTEXT_DEPTH_MAX + 3];
	char *wide = malloc(2 * JSONTEXT_VALUES_MAX + 3);
	const char *why = NULL;
	json_t *v;

	(void)state;
	memset(deep, '[', JSONTEXT_DEPTH_MAX);
	memset(deep + JSONTEXT_DEPTH_MAX, ']', JSONTEXT_DEPTH_MAX);
	assert_int_equal(jsontext_parse(deep, 2 * JSONTEXT_DEPTH_MAX, &v, &why), 0);
	json_decref(v);
	memset(deep, '[', JSONTEXT_DEPTH_MAX + 1);
	memset(deep + JSONTEXT_DEPTH_MAX + 1, ']', JSONTEXT_DEPTH_MAX + 1);
	assert_int_not_equal(jsontext_parse(deep, 2 * JSONTEXT_DEPTH_MAX + 2, &v, &why), 0);
	assert_non_null(strstr(why, "deeply"));
	for (size_t i = 0; i <= JSONTEXT_VALUES_MAX; i++)
		memcpy(wide + 1 + 2 * i, "1,", 2);
	wide[0] = '[';
	wide[2 * JSONTEXT_VALUES_MAX + 2] = ']';
	assert_int_not_equal(jsontext_parse(wide, 2 * JSONTEXT_VALUES_MAX + 3, &v, &why), 0);
	assert_non_null(strstr(why, "too many"));
	free(wide);
}

static void brackets_in_strings_do_not_count(void **state)
{
	static const char text[] = "[\"[[[[\\\"[[\", \"\\\\\"]";
	const char *why;
	json_t *v;

	(void)state;
	assert_int_equal(jsontext_parse(text, strlen(text), &v, &why), 0);
	assert_int_equal(json_array_size(v), 2);
	json_decref(v);
}

/* What a server reads in another way than we do is no call of anything. */
static void a_request_says_that_its_body_is_json(void **state)
{
	static const char body[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}";
	static const struct {
		const char *method, *head;
		size_t n_calls;
		bool is_stream;
	} cases[] = {
		{ "POST", "", 1, false },
		{ "POST", "Content-Type: application/json\r\n", 1, false },
		{ "POST", "Content-Type: text/plain\r\n", 1, false },
		{ "POST", "Content-Type: application/json\r\nAccept: text/event-stream\r\n", 1, false },
		{ "POST", "Content-Type: application/json; charset=utf-7\r\n", 0, false },
		{ "POST", "Content-Type: application/x-www-form-urlencoded\r\n", 0, false },
		{ "POST", "Content-Type: application/json\r\nContent-Encoding: gzip\r\n", 0, false },
		{ "GET", "Accept: text/event-stream\r\n", 0, true },
		{ "GET", "", 0, false },
	};
	static struct http1_request r;
	struct jsonrpc_options opt = { .is_mcp = true, .strict_tool_names = true };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = strcmp(cases[i].method, "POST") == 0 ? sizeof(body) - 1 : 0;
		auto_jsonrpc struct jsonrpc *j = NULL;
		const struct jsonrpc_facts *f;
		const char *why = NULL;
		char head[512];

		(void)snprintf(head, sizeof(head), "%s / HTTP/1.1\r\nHost: h.test\r\n%sContent-Length: %zu\r\n\r\n", cases[i].method,
			cases[i].head, len);
		assert_int_equal(http1_request_parse(&r, head, strlen(head), &why), 0);
		assert_int_equal(jsonrpc_parse_request(&opt, r.method, r.fields.list, r.fields.n, body, len, &j), 0);
		f = jsonrpc_facts(j);
		if (f->n_calls != cases[i].n_calls || f->receive_stream != cases[i].is_stream ||
			!f->error != (cases[i].n_calls || cases[i].is_stream))
			fail_msg("%zu: %zu calls, %s", i, f->n_calls, f->error ? f->error : "no error");
	}
	for (size_t i = 0; i < 2; i++) { /* bytes behind a GET are a body, whatever it accepts */
		struct http1_header accept = { .id = HTTP1_ACCEPT, .name = "Accept", .name_len = 6,
			.value = "text/event-stream", .value_len = 17 };
		auto_jsonrpc struct jsonrpc *j = NULL;

		assert_int_equal(jsonrpc_parse_request(&opt, "GET", &accept, 1, body, i ? sizeof(body) - 1 : 0, &j), 0);
		assert_int_equal(jsonrpc_facts(j)->receive_stream, i == 0);
		assert_int_equal(jsonrpc_facts(j)->n_calls, i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_message_of_the_table_is_understood),
		cmocka_unit_test(keys_that_another_parser_would_fold_are_refused),
		cmocka_unit_test(known_mcp_methods_need_their_parameters),
		cmocka_unit_test(a_tool_call_without_id_still_names_its_tool),
		cmocka_unit_test(batches_keep_order_and_count_responses),
		cmocka_unit_test(deep_and_wide_json_is_refused_before_it_is_built),
		cmocka_unit_test(brackets_in_strings_do_not_count),
		cmocka_unit_test(a_request_says_that_its_body_is_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
