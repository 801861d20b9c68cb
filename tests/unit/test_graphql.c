#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/graphql.h"
#include "lib/http1.h"
#include "lib/url.h"
#include "tests/support/vectors.h"

static const char *const type_names[] = { "", "query", "mutation", "subscription" };

static bool same_text(const char *got, json_t *want)
{
	return strcmp(got ? got : "", want ? json_string_value(want) : "") == 0;
}

static bool same_operation(
	const struct graphql_op *op, json_t *want, const char *type, const char *name)
{
	json_t *fields = json_object_get(want, "fields");

	if (!same_text(type_names[op->type], json_object_get(want, type)) ||
		!same_text(op->name, json_object_get(want, name)) ||
		op->is_persisted != vector_flag(want, "persisted_query") ||
		!same_text(op->persisted_hash, json_object_get(want, "persisted_query_hash")) ||
		!same_text(op->persisted_id, json_object_get(want, "persisted_query_id")) ||
		op->n_fields != json_array_size(fields))
		return false;
	for (size_t i = 0; i < op->n_fields; i++) {
		if (!same_text(op->fields[i], json_array_get(fields, i)))
			return false;
	}
	return true;
}

static bool same_facts(
	const struct graphql_facts *f, json_t *expect, const char *type, const char *name)
{
	const char *error = json_string_value(json_object_get(expect, "error_contains"));
	json_t *ops = json_object_get(expect, "operations");

	if (error)
		return f->error && strstr(f->error, error);
	if (f->error || f->n_ops != json_array_size(ops))
		return false;
	for (size_t i = 0; i < f->n_ops; i++) {
		if (!same_operation(&f->ops[i], json_array_get(ops, i), type, name))
			return false;
	}
	return true;
}

static bool request_case(const char *id, json_t *input, json_t *expect)
{
	const char *target = json_string_value(json_object_get(input, "target")), *why;
	const char *body = json_string_value(json_object_get(input, "body"));
	auto_graphql struct graphql *g = NULL;
	static struct url_query q;
	struct url_target t;

	(void)id;
	assert_int_equal(url_canonicalize(target, strlen(target), 0, &t, &why), 0);
	assert_int_equal(url_query_parse(&q, t.query, t.query_len, &why), 0);
	assert_int_equal(graphql_parse_request(json_string_value(json_object_get(input, "method")),
				 q.params, q.n, NULL, 0, body, strlen(body), &g),
		0);
	return same_facts(graphql_facts(g), expect, "operation_type", "operation_name");
}

static void every_request_of_the_table_is_classified(void **state)
{
	(void)state;
	assert_int_equal(vectors_run("tests/vectors/graphql.jsonl", request_case), 0);
}

static bool message_case(const char *id, json_t *input, json_t *expect)
{
	const char *text = json_string_value(json_object_get(input, "message"));
	const char *class = json_string_value(json_object_get(expect, "class"));
	const char *reason = json_string_value(json_object_get(expect, "reason"));
	auto_graphql struct graphql *g = NULL;
	const struct graphql_facts *f;

	(void)id;
	if (!text)
		return true; /* about frames: test_websocket.c */
	assert_int_equal(graphql_parse_message(text, strlen(text), &g), 0);
	f = graphql_facts(g);
	if (strcmp(class, "error") == 0)
		return f->error && strstr(f->error, reason);
	if (!same_text(graphql_message_type(g), json_object_get(expect, "message_type")))
		return false;
	if (strcmp(class, "control") == 0)
		return f->is_control && !f->n_ops;
	return !f->is_control && same_facts(f, expect, "type", "name");
}

static void every_websocket_message_of_the_table_is_classified(void **state)
{
	(void)state;
	assert_int_equal(vectors_run("tests/vectors/websocket_frames.jsonl", message_case), 0);
}

/* Classifies a document: "type name: fields", or the error. */
static const char *classify(const char *document, const char *name)
{
	static char text[512];
	auto_graphql struct graphql *g = NULL;
	json_t *envelope = json_pack("{s:s, s:s*}", "query", document, "operationName", name);
	char *body = json_dumps(envelope, 0);
	const struct graphql_facts *f;
	int n;

	assert_int_equal(graphql_parse_body(body, strlen(body), &g), 0);
	f = graphql_facts(g);
	if (f->error) {
		(void)snprintf(text, sizeof(text), "%s", f->error);
	} else {
		n = snprintf(text, sizeof(text), "%s %s:", type_names[f->ops[0].type],
			f->ops[0].name ? f->ops[0].name : "");
		for (size_t i = 0; i < f->ops[0].n_fields; i++)
			n += snprintf(
				text + n, sizeof(text) - (size_t)n, " %s", f->ops[0].fields[i]);
	}
	free(body);
	json_decref(envelope);
	return text;
}

static void documents_yield_their_root_fields(void **state)
{
	static const struct {
		const char *document, *name, *want;
	} table[] = {
		{ "{ a: deleteAll b }", NULL, "query : b deleteAll" },
		{ "query ($a: [Int!]! = [1, -2.5e3] @x, $b: S = {k: \"\\u00e9\"}) @d(a: $b) { a(x: "
		  "{y: [E, null]}) @i(if: true) { b } c }",
			NULL, "query : a c" },
		{ "{ ...F @d ...on T @d { x } ... @include(if: false) { y } ... { z } } fragment F "
		  "on T @d { on: fragment }",
			NULL, "query : fragment x y z" },
		{ "# comment { evil }\n{ a(s: \"} evil {\", b: \"\"\"}\\\"\"\" evil {\"\"\") , c }",
			NULL, "query : a c" },
		{ "\xef\xbb\xbfsubscription S { s }", NULL, "subscription S: s" },
		{ "query query { query }", NULL, "query query: query" },
		{ "query A { a } mutation B { b }", "B", "mutation B: b" },
		{ "{ a a a:b }", NULL, "query : a b" },
		{ "{ ...Missing }", NULL, "query :" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_string_equal(classify(table[i].document, table[i].name), table[i].want);
}

static void documents_that_do_not_parse_are_refused(void **state)
{
	static const char *const table[] = { "{", "{}", "{ a", "{ a } }", "{ a(} }", "{ a() }",
		"query {", "{ a b: }", "{ ... on }", "{ a(x: 01) }", "{ a(x: 1x) }",
		"{ a(x: \"\n\") }", "{ a(x: \"\\x\") }", "{ a(x: \"\"\" ) }", "{ a(x: $) }",
		"{ .. a }", "{ a! }", "type T { a: Int }", "{ a } type T { a: Int }",
		"fragment on on T { a } { a }", "query A { a } query A { b }",
		"{ ...F } fragment F on T { a } fragment F on T { b }", "{ a }\x01", "{ a ? }",
		"query A B { a }", "{ a } \xc3\xa9", "{ a(x: [1) }", "a { b }" };

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (strstr(classify(table[i], NULL), "query"))
			fail_msg("'%s' was taken as '%s'", table[i], classify(table[i], NULL));
	}
}

static void operation_name_must_be_found(void **state)
{
	(void)state;
	assert_non_null(strstr(classify("query A { a }", "B"), "not found"));
	assert_non_null(strstr(classify("{ a }", "A"), "not found"));
	assert_non_null(strstr(classify("{ a } { b }", NULL), "multiple operations"));
}

static void deep_and_long_documents_are_refused(void **state)
{
	char deep[1024] = "", *many = calloc(3, 20001);

	(void)state;
	for (int i = 0; i < 129; i++)
		strcat(deep, "{a");
	for (int i = 0; i < 129; i++)
		strcat(deep, "}");
	assert_non_null(strstr(classify(deep, NULL), "nested"));
	many[0] = '{';
	for (int i = 0; i < 20000; i++)
		memcpy(many + 1 + 2 * i, "a ", 2);
	strcat(many, "}");
	assert_non_null(strstr(classify(many, NULL), "too many tokens"));
	free(many);
}

static void fragments_that_name_each_other_are_visited_once(void **state)
{
	char doc[4096] = "{ ...F0 }";

	(void)state;
	for (int i = 0; i < 100; i++) {
		char one[64];

		(void)snprintf(one, sizeof(one), " fragment F%d on T { ...F%d ...F%d x }", i,
			(i + 1) % 100, (i + 7) % 100);
		strcat(doc, one);
	}
	assert_string_equal(classify(doc, NULL), "query : x");
}

static const char *error_of(const char *body)
{
	static char text[256];
	auto_graphql struct graphql *g = NULL;

	assert_int_equal(graphql_parse_body(body, strlen(body), &g), 0);
	(void)snprintf(text, sizeof(text), "%s",
		graphql_facts(g)->error ? graphql_facts(g)->error : "accepted");
	return text;
}

static void ambiguous_envelopes_are_refused(void **state)
{
	(void)state;
	assert_non_null(strstr(error_of("{\"query\":\"{a}\",\"query\":\"{b}\"}"), "duplicate"));
	assert_non_null(strstr(error_of("{\"query\":\"{a}\",\"Query\":\"{b}\"}"), "ambiguous"));
	assert_non_null(
		strstr(error_of("{\"query\":\"{a}\",\"operationname\":\"B\"}"), "ambiguous"));
	assert_non_null(
		strstr(error_of("{\"query\":\"{a}\",\"extension\xc5\xbf\":{}}"), "ambiguous"));
	assert_non_null(strstr(error_of("{\"query\":\"{a}\\u0000\"}"), "NUL"));
	assert_non_null(strstr(error_of("[]"), "batch request is empty"));
	assert_string_equal(
		error_of("{\"query\":\"{a}\",\"variables\":{\"Query\":1}}"), "accepted");
}

static const char *request_error(
	const char *method, const char *query, const char *type, const char *body)
{
	static char text[256];
	struct http1_header h = {
		.id = HTTP1_CONTENT_TYPE, .value = type, .value_len = (uint16_t)strlen(type)
	};
	auto_graphql struct graphql *g = NULL;
	static struct url_query q;
	const char *why;

	assert_int_equal(url_query_parse(&q, query, strlen(query), &why), 0);
	assert_int_equal(
		graphql_parse_request(method, q.params, q.n, &h, 1, body, strlen(body), &g), 0);
	(void)snprintf(text, sizeof(text), "%s",
		graphql_facts(g)->error ? graphql_facts(g)->error : "accepted");
	return text;
}

/* ASP.NET ignores case and joins what is there twice; PHP and Express take the last of what they take for one name. */
static void parameters_that_servers_read_in_different_ways_are_refused(void **state)
{
	static const char *const queries[] = { "query={a}&Query={b}", "query=query+A{a}&OperationName=B",
		"query={a}&+query={b}", "query={a}&%20%20query={b}", "query={a}&query%00={b}",
		"query={a}&query%00x={b}", "query={a}&query[]={b}", "query={a}&query[0]={b}", "query={a}&ID=x" };
	static const char body[] = "{\"query\":\"{a}\"}";

	(void)state;
	assert_string_equal(request_error("GET", "query={a}&querying=1&x.query=2&requery=3", "x", ""), "accepted");
	for (size_t i = 0; i < ARRAY_SIZE(queries); i++)
		assert_non_null(strstr(request_error("GET", queries[i], "x", ""), "different ways"));
	assert_string_equal(request_error("POST", "querying=1", "application/json", body), "accepted");
	assert_non_null(strstr(request_error("POST", "+query[]=x", "application/json", body), "URL"));
}

/* The first operation of @body, or of the query of a GET. */
static bool is_ambiguous(const char *query, const char *body)
{
	auto_graphql struct graphql *g = NULL;
	static struct url_query q;
	const char *why;

	assert_int_equal(url_query_parse(&q, query, strlen(query), &why), 0);
	assert_int_equal(graphql_parse_request(*body ? "POST" : "GET", q.params, q.n, NULL, 0, body, strlen(body), &g), 0);
	assert_null(graphql_facts(g)->error);
	return graphql_facts(g)->ops[0].is_ambiguous;
}

static void an_id_beside_anything_else_is_ambiguous(void **state)
{
	(void)state;
	assert_false(is_ambiguous("", "{\"query\":\"{a}\"}"));
	assert_false(is_ambiguous("", "{\"query\":\"{a}\",\"id\":null}"));
	assert_false(is_ambiguous("", "{\"query\":\"{a}\",\"extensions\":{\"persistedQuery\":{\"sha256Hash\":\"h\"}}}"));
	assert_false(is_ambiguous("", "{\"documentId\":\"x\"}"));
	assert_false(is_ambiguous("id=x", ""));
	assert_true(is_ambiguous("", "{\"query\":\"{a}\",\"documentId\":\"x\"}"));
	assert_true(is_ambiguous("", "{\"query\":\"{a}\",\"queryId\":7}"));
	assert_true(is_ambiguous("", "{\"id\":\"x\",\"documentId\":\"y\"}"));
	assert_true(is_ambiguous("", "{\"id\":\"x\",\"extensions\":{\"persistedQuery\":{\"sha256Hash\":\"h\"}}}"));
	assert_true(is_ambiguous("query={a}&id=x", ""));
}

static void requests_with_two_documents_or_another_type_are_refused(void **state)
{
	static const char body[] = "{\"query\":\"{a}\"}";

	(void)state;
	assert_string_equal(request_error("POST", "", "application/json", body), "accepted");
	assert_string_equal(
		request_error("POST", "x=1", "application/json; charset=UTF-8", body), "accepted");
	assert_string_equal(
		request_error("POST", "", "application/graphql+json", body), "accepted");
	assert_non_null(strstr(request_error("POST", "query=x", "application/json", body), "URL"));
	assert_non_null(strstr(
		request_error("POST", "", "multipart/form-data; boundary=x", body), "not JSON"));
	assert_non_null(strstr(
		request_error("POST", "", "application/x-www-form-urlencoded", body), "not JSON"));
	assert_non_null(strstr(
		request_error("POST", "", "application/json; charset=utf-7", body), "charset"));
	assert_non_null(strstr(
		request_error("POST", "", "application/json; Charset =utf-7", body), "charset"));
	assert_non_null(
		strstr(request_error("GET", "query={a}", "application/json", body), "body"));
	assert_string_equal(request_error("GET", "query={a}", "application/json", ""), "accepted");
	assert_string_equal(request_error("GET", "query={a}&extensions=x", "x", ""), "accepted");
	assert_non_null(strstr(request_error("GET", "extensions=x", "x", ""), "no query document"));
	assert_non_null(strstr(request_error("PUT", "", "application/json", body), "method"));
	assert_non_null(strstr(request_error("GET", "id=1&queryId=2", "x", ""), "combined"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_request_of_the_table_is_classified),
		cmocka_unit_test(every_websocket_message_of_the_table_is_classified),
		cmocka_unit_test(documents_yield_their_root_fields),
		cmocka_unit_test(documents_that_do_not_parse_are_refused),
		cmocka_unit_test(operation_name_must_be_found),
		cmocka_unit_test(deep_and_long_documents_are_refused),
		cmocka_unit_test(fragments_that_name_each_other_are_visited_once),
		cmocka_unit_test(ambiguous_envelopes_are_refused),
		cmocka_unit_test(parameters_that_servers_read_in_different_ways_are_refused),
		cmocka_unit_test(an_id_beside_anything_else_is_ambiguous),
		cmocka_unit_test(requests_with_two_documents_or_another_type_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
