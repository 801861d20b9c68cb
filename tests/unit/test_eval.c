#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "launcher/eval.h"
#include "unit/policy_test.h"

/* The answer to @question, JSON without its braces, for curl to h.test:443. */
static json_t *ask(const char *endpoint, const char *question)
{
	struct policy *p = policy_of_endpoint(endpoint);
	char text[4096];
	json_t *q, *a;

	snprintf(text, sizeof(text),
		"{\"host\":\"h.test\",\"port\":443,\"binary\":\"/usr/bin/curl\"%s}", question);
	q = json_loads(text, JSON_ALLOW_NUL, NULL);
	assert_non_null(q);
	a = eval_question(p, q);
	assert_non_null(a);
	json_decref(q);
	policy_unref(p);
	return a;
}

static void expect(const char *endpoint, const char *question, const char *wanted)
{
	json_t *a = ask(endpoint, question), *w = json_loads(wanted, 0, NULL), *v;
	const char *key;

	assert_non_null(w);
	json_object_foreach (w, key, v) {
		if (json_equal(json_object_get(a, key), v))
			continue;
		fail_msg("%s: %s", key, json_dumps(a, JSON_COMPACT));
	}
	json_decref(a);
	json_decref(w);
}

#define REST "host: h.test, port: 443, protocol: rest, enforcement: enforce, access: full"
#define READ "host: h.test, port: 443, protocol: rest, enforcement: enforce, access: read-only"

static void a_connection_is_judged_without_a_request(void **state)
{
	(void)state;
	expect(REST, "",
		"{\"decision\":\"allow\",\"layer\":\"l4\",\"policy\":\"p\",\"endpoint\":0}");
	expect(REST, ",\"ips\":[\"127.0.0.1\"]", "{\"decision\":\"deny\",\"layer\":\"ssrf\"}");
}

static void a_request_in_pieces_is_canonicalized_and_judged(void **state)
{
	(void)state;
	expect(READ, ",\"method\":\"GET\",\"path\":\"/a/../b%7e?x=1&x=%20\"",
		"{\"decision\":\"allow\",\"layer\":\"l7\",\"canonical_path\":\"/b~\","
		"\"query\":{\"x\":[\"1\",\" \"]},\"framing\":\"none\",\"upgrade\":\"none\"}");
	expect(READ, ",\"method\":\"POST\",\"path\":\"/x\",\"body\":\"\"",
		"{\"decision\":\"deny\",\"layer\":\"l7\",\"framing\":\"length\","
		"\"reason\":\"POST /x not permitted by policy\"}");
	expect(READ,
		",\"method\":\"GET\",\"path\":\"/"
		"x\",\"headers\":{\"X-HTTP-Method-Override\":\"DELETE\"}",
		"{\"decision\":\"deny\",\"reason\":\"DELETE /x not permitted by policy\"}");
}

static void a_malformed_request_is_a_denial_of_the_http_layer(void **state)
{
	static const char *const questions[] = {
		",\"method\":\"GET\",\"path\":\"/../x\"",
		",\"method\":\"GET\",\"path\":\"/a%2Fb\"",
		",\"method\":\"GE T\",\"path\":\"/\"",
		",\"method\":\"TRACE\",\"path\":\"/\"",
		/* a bare LF; CONNECT; another host; half a chunked body */
		",\"raw_b64\":\"R0VUIC8gSFRUUC8xLjEKSG9zdDogaC50ZXN0Cgo=\"",
		",\"raw_b64\":\"Q09OTkVDVCBoLnRlc3Q6NDQzIEhUVFAvMS4xDQpIb3N0OiBoLnRlc3Q6NDQzDQoNCg="
		"=\"",
		",\"raw_b64\":\"R0VUIC8gSFRUUC8xLjENCkhvc3Q6IGV2aWwudGVzdA0KDQo=\"",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++)
		expect(REST, questions[i], "{\"decision\":\"deny\",\"layer\":\"http\"}");
}

static void a_raw_request_goes_through_the_parser_of_the_proxy(void **state)
{
	(void)state;
	/* GET //x HTTP/1.1, Host: h.test */
	expect(REST, ",\"raw_b64\":\"R0VUIC8veCBIVFRQLzEuMQ0KSG9zdDogaC50ZXN0DQoNCg==\"",
		"{\"decision\":\"allow\",\"canonical_path\":\"/x\",\"framing\":\"none\"}");
}

static void an_encoded_slash_passes_where_the_endpoint_wants_it(void **state)
{
	(void)state;
	expect(REST ", allow_encoded_slash: true", ",\"method\":\"GET\",\"path\":\"/a%2fb\"",
		"{\"decision\":\"allow\",\"canonical_path\":\"/a%2Fb\"}");
}

static void bodies_are_understood_where_the_protocol_wants_it(void **state)
{
	static const char graphql[] = "host: h.test, port: 443, protocol: graphql, "
				      "enforcement: enforce, access: read-only";
	static const char mcp[] = "host: h.test, port: 443, protocol: mcp, enforcement: enforce, "
				  "rules: [{ allow: { method: tools/call, tool: read } }]";

	(void)state;
	expect(graphql,
		",\"method\":\"POST\",\"path\":\"/\",\"headers\":{\"Content-Type\":"
		"\"application/json\"},\"body\":\"{\\\"query\\\":\\\"{ a b }\\\"}\"",
		"{\"decision\":\"allow\",\"graphql\":{\"operations\":[{\"operation_type\":"
		"\"query\","
		"\"operation_name\":null,\"fields\":[\"a\",\"b\"],\"persisted_query\":false}],"
		"\"is_control\":false}}");
	expect(mcp,
		",\"method\":\"POST\",\"path\":\"/\",\"headers\":{\"Content-Type\":"
		"\"application/json\"},\"body\":\"{\\\"jsonrpc\\\":\\\"2.0\\\",\\\"id\\\":1,"
		"\\\"method\\\":\\\"tools/call\\\",\\\"params\\\":{\\\"name\\\":\\\"write\\\"}}\"",
		"{\"decision\":\"deny\",\"layer\":\"l7\"}");
}

static void a_message_is_judged_on_the_path_of_its_upgrade(void **state)
{
	static const char ws[] =
		"host: h.test, port: 443, protocol: websocket, enforcement: enforce, "
		"rules: [{ allow: { method: GET, path: '**' } }, "
		"{ allow: { method: WEBSOCKET_TEXT, path: /chat } }]";

	(void)state;
	expect(ws, ",\"path\":\"/chat\",\"ws_text\":\"hello\"", "{\"decision\":\"allow\"}");
	expect(ws, ",\"path\":\"/other\",\"ws_text\":\"hello\"",
		"{\"decision\":\"deny\",\"layer\":\"l7\"}");
}

static void a_host_that_is_none_is_denied(void **state)
{
	struct policy *p = policy_of_endpoint("host: '*.example.com', port: 443");
	json_t *q = json_loads("{\"host\":\"evil\\u0000.example.com\",\"port\":443,"
			       "\"binary\":\"/usr/bin/curl\"}",
		JSON_ALLOW_NUL, NULL);
	json_t *a = eval_question(p, q);

	(void)state;
	assert_string_equal(json_string_value(json_object_get(a, "decision")), "deny");
	json_decref(a);
	json_decref(q);
	policy_unref(p);
}

static void a_question_that_makes_no_sense_is_an_error(void **state)
{
	static const char *const questions[] = { ",\"metod\":\"GET\"", ",\"method\":\"GET\"",
		",\"ips\":[\"1.2.3\"]", ",\"raw_b64\":\"*\"", ",\"ancestors\":[1]" };

	(void)state;
	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		json_t *a = ask(REST, questions[i]);

		assert_non_null(json_object_get(a, "error"));
		assert_null(json_object_get(a, "decision"));
		json_decref(a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connection_is_judged_without_a_request),
		cmocka_unit_test(a_request_in_pieces_is_canonicalized_and_judged),
		cmocka_unit_test(a_malformed_request_is_a_denial_of_the_http_layer),
		cmocka_unit_test(a_raw_request_goes_through_the_parser_of_the_proxy),
		cmocka_unit_test(an_encoded_slash_passes_where_the_endpoint_wants_it),
		cmocka_unit_test(bodies_are_understood_where_the_protocol_wants_it),
		cmocka_unit_test(a_message_is_judged_on_the_path_of_its_upgrade),
		cmocka_unit_test(a_host_that_is_none_is_denied),
		cmocka_unit_test(a_question_that_makes_no_sense_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
