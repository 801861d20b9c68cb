#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <llhttp.h>
#include <stdio.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/http1.h"
#include "lib/wsupgrade.h"
#include "tests/support/vectors.h"

static struct http1_request req;
static struct http1_response res;

/* Finds and parses: NULL when accepted, else why not. */
static const char *refused(const char *raw, size_t len)
{
	const char *why = NULL;
	size_t scan = 0;
	int n = http1_head_find(raw, len, HTTP1_HEAD_MAX, &scan, &why);

	if (n == 0)
		return "incomplete";
	if (n < 0)
		return why;
	return http1_request_parse(&req, raw, (size_t)n, &why) < 0 ? why : NULL;
}

static const char *refused_text(const char *raw)
{
	return refused(raw, strlen(raw));
}

static const char *refused_response(const char *raw, const char *method)
{
	const char *why = NULL;

	return http1_response_parse(&res, raw, strlen(raw), method, &why) < 0 ? why : NULL;
}

static void assert_reason(const char *raw, const char *word)
{
	const char *why = refused_text(raw);

	if (!why || !strstr(why, word))
		fail_msg("'%s': %s, not '%s'", raw, why ? why : "accepted", word);
}

static bool framing_is(json_t *want)
{
	json_t *length = json_object_get(want, "content_length");
	const char *name = json_string_value(want);

	if (!want)
		return true;
	if (length)
		return req.fields.framing == HTTP1_LENGTH &&
		       req.fields.content_length == (uint64_t)json_integer_value(length);
	return req.fields.framing == (strcmp(name, "chunked") == 0 ? HTTP1_CHUNKED : HTTP1_NO_BODY);
}

/* What upstream takes and we do not: compat.md. */
static bool is_stricter(const char *id)
{
	static const char *const ids[] = { "http-023", "http-066" };

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		if (strcmp(id, ids[i]) == 0)
			return true;
	}
	return false;
}

static bool smuggling_case(const char *id, json_t *input, json_t *expect)
{
	bool accept = strcmp(json_string_value(json_object_get(expect, "decision")), "accept") == 0;
	const char *target = json_string_value(json_object_get(expect, "canonical_target"));
	const char *why = NULL;
	struct url_target t;
	size_t len;
	unsigned char *raw =
		vector_base64(json_string_value(json_object_get(input, "raw_b64")), &len);
	static struct url_query q;

	why = refused((char *)raw, len);
	if (!why && url_canonicalize(req.target, req.target_len,
			    vector_flag(input, "allow_encoded_slash") ? URL_ENCODED_SLASH : 0, &t,
			    &why) == 0)
		(void)url_query_parse(&q, t.query, t.query_len, &why);
	free(raw);
	if (is_stricter(id))
		return why;
	if (why)
		return !accept;
	return accept && (!target || strcmp(t.path, target) == 0) &&
	       framing_is(json_object_get(expect, "body_framing"));
}

static void every_smuggling_attempt_of_the_table_is_judged(void **state)
{
	(void)state;
	assert_int_equal(vectors_run("tests/vectors/http_smuggling.jsonl", smuggling_case), 0);
}

static bool upgrade_case(const char *id, json_t *input, json_t *expect)
{
	const char *raw = json_string_value(json_object_get(input, "raw")), *why;
	const char *accept = json_string_value(json_object_get(expect, "accept"));
	bool valid = strcmp(json_string_value(json_object_get(expect, "upgrade")), "valid") == 0;
	json_t *protocols = json_object_get(expect, "subprotocols");
	char computed[WS_ACCEPT_SIZE];
	struct ws_upgrade u;

	(void)id;
	if (refused_text(raw))
		return false;
	if (!valid)
		return req.upgrade == HTTP1_UPGRADE_INVALID && req.upgrade_why;
	if (req.upgrade != HTTP1_UPGRADE_WEBSOCKET ||
		ws_upgrade_parse(&u, req.method, req.minor, &req.fields, &why) < 0)
		return false;
	ws_accept(computed, u.key);
	if (json_object_get(expect, "forwarded_extension") && u.extension)
		return false;
	return (!accept || strcmp(accept, computed) == 0) &&
	       (!protocols || json_array_size(protocols) == u.n_protocols);
}

static void every_websocket_upgrade_of_the_table_is_judged(void **state)
{
	(void)state;
	assert_int_equal(vectors_run("tests/vectors/websocket_upgrade.jsonl", upgrade_case), 0);
}

static bool chunked_case(const char *id, json_t *input, json_t *expect)
{
	bool accept = strcmp(json_string_value(json_object_get(expect, "decision")), "accept") == 0;
	const char *wire = json_string_value(json_object_get(input, "wire_b64")), *why, *data;
	struct buf decoded;
	struct chunked c;
	size_t len, used, n, at = 0;
	unsigned char *raw = vector_base64(wire, &len);
	int r;

	buf_init(&decoded, 65536);
	chunked_init(&c);
	while ((r = chunked_next(&c, (char *)raw + at, len - at, &used, &data, &n, &why)) ==
		CHUNKED_DATA) {
		assert_int_equal(buf_append(&decoded, data, n), 0);
		at += used;
	}
	if (strcmp(id, "chunk-010") == 0) /* "+5": compat.md */
		accept = r < 0 ? false : true;
	else if (accept && r == CHUNKED_END)
		accept = strcmp(buf_cstr(&decoded),
				 json_string_value(json_object_get(expect, "decoded"))) == 0;
	buf_done(&decoded);
	chunked_done(&c);
	free(raw);
	return (r == CHUNKED_END) == accept;
}

static void every_chunked_body_of_the_table_is_judged(void **state)
{
	(void)state;
	assert_int_equal(vectors_run("tests/vectors/chunked_body.jsonl", chunked_case), 0);
}

/* The published request of CVE-2023-30589, given to llhttp itself. */
static void llhttp_is_built_in_strict_mode(void **state)
{
	static const char attack[] = "POST / HTTP/1.1\r\nHost: h\r\n"
				     "X-Abc: \rxTransfer-Encoding: chunked\r\n\r\n"
				     "1\r\nA\r\n0\r\n\r\n";
	llhttp_settings_t settings = { 0 };
	llhttp_t p;

	(void)state;
	llhttp_init(&p, HTTP_REQUEST, &settings);
	assert_int_not_equal(llhttp_execute(&p, attack, sizeof(attack) - 1), HPE_OK);
	assert_non_null(refused_text(attack));
}

static void head_is_found_whatever_the_pieces(void **state)
{
	static const char raw[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\nrest";
	const char *why;

	(void)state;
	for (size_t step = 1; step < sizeof(raw); step++) {
		size_t scan = 0, len = 0;
		int n = 0;

		while (n == 0 && len < sizeof(raw) - 1) {
			len = len + step < sizeof(raw) - 1 ? len + step : sizeof(raw) - 1;
			n = http1_head_find(raw, len, HTTP1_HEAD_MAX, &scan, &why);
		}
		assert_int_equal(n, sizeof(raw) - 1 - 4);
	}
}

static void head_past_the_limit_is_refused(void **state)
{
	static char raw[HTTP1_HEAD_MAX + 1];
	const char *why;
	size_t scan = 0;

	(void)state;
	memset(raw, 'a', sizeof(raw));
	memcpy(raw, "GET / HTTP/1.1\r\nX: ", 19);
	assert_int_equal(http1_head_find(raw, HTTP1_HEAD_MAX - 1, HTTP1_HEAD_MAX, &scan, &why), 0);
	assert_int_equal(
		http1_head_find(raw, HTTP1_HEAD_MAX, HTTP1_HEAD_MAX, &scan, &why), -EMSGSIZE);
	memcpy(raw + HTTP1_HEAD_MAX - 4, "\r\n\r\n", 4);
	scan = 0;
	assert_int_equal(
		http1_head_find(raw, sizeof(raw), HTTP1_HEAD_MAX, &scan, &why), HTTP1_HEAD_MAX);
}

static void lines_that_do_not_end_in_crlf_are_refused(void **state)
{
	(void)state;
	assert_reason("GET / HTTP/1.1\nHost: h\n\n", "CRLF");
	assert_reason("GET / HTTP/1.1\r\nHost: h\n\r\n", "CRLF");
	assert_reason("GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", "CRLF");
	assert_reason("GET / HTTP/1.1\r\nHost: h\r\nX: a\r\r\n\r\n", "CRLF");
	assert_reason("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "empty line");
}

static void ambiguous_heads_are_refused(void **state)
{
	static const struct {
		const char *lines, *word;
	} table[] = {
		{ "Host: h\r\nHost: h\r\n", "more than one Host" },
		{ "Host: h\r\nContent-Length: +5\r\n", "invalid Content-Length" },
		{ "Host: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n",
			"more than one Content-Length" },
		{ "Host: h\r\nContent-Length: 99999999999999999999\r\n", "invalid Content-Length" },
		{ "Host: h\r\nContent-Length: 9223372036854775808\r\n", "invalid Content-Length" },
		{ "Host: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
			"Transfer-Encoding" },
		{ "Host: h\r\nTransfer-Encoding: xchunked\r\n", "Transfer-Encoding" },
		{ "Host: h\r\nTransfer-Encoding: \x0b"
		  "chunked\r\n",
			"control byte" },
		{ "Host: h\r\nTransfer-Encoding : chunked\r\n", "blank before" },
		{ "Host: h\r\nConnection: Host\r\n", "framing or routing" },
		{ "Host: h\r\nX: \xff\r\n", "UTF-8" },
		{ "Host: u@h\r\n", "invalid authority" },
		{ "Host: h, h\r\n", "invalid authority" },
		{ "Host: h\r\nX-HTTP-Method-Override: GET\r\nX-HTTP-Method: GET\r\n",
			"more than one method override" },
		{ "Host: h\r\nX-Method-Override: FROB\r\n", "unknown method" },
		{ "Host: h\r\nX_HTTP_Method-Override: FROB\r\n", "unknown method" },
		{ "Host: h\r\nX-HTTP-Method: PUT\r\nX_HTTP_METHOD: PUT\r\n", "more than one method override" },
		{ "Host: h\r\nX-Original-URL: /b\r\n", "another resource" },
		{ "Host: h\r\nx_rewrite_url: /b\r\n", "another resource" },
		{ "Host: h\r\nX-Method-Override: \r\n", "unknown method" },
		{ "Host: h\r\nContent_Length: 5\r\n", "another header's" },
		{ "Host: h\r\nTransfer_Encoding: chunked\r\n", "another header's" },
		{ "Host: h\r\ncontent_type: text/plain\r\n", "another header's" },
		{ "Host: h\r\nSec-WebSocket_Key: x\r\n", "another header's" },
		{ "Host: h\r\nExpect: 200-ok\r\n", "unsupported expectation" },
		{ "Host: h\r\nnocolon\r\n", "missing ':'" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char raw[512];

		(void)snprintf(raw, sizeof(raw), "POST /a HTTP/1.1\r\n%s\r\n", table[i].lines);
		assert_reason(raw, table[i].word);
	}
}

static void chunked_in_http10_is_refused(void **state)
{
	(void)state;
	assert_reason(
		"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.0");
}

static void too_many_fields_are_refused_as_too_large(void **state)
{
	char raw[4096] = "GET / HTTP/1.1\r\nHost: h\r\n";
	const char *why;

	(void)state;
	for (size_t i = 1; i < HTTP1_HEADERS_MAX; i++)
		strcat(raw, "X: y\r\n");
	strcat(raw, "\r\n");
	assert_null(refused_text(raw));
	strcpy(raw + strlen(raw) - 2, "X: y\r\n\r\n");
	assert_int_equal(http1_request_parse(&req, raw, strlen(raw), &why), -EMSGSIZE);
}

static void too_many_options_of_connection_are_refused(void **state)
{
	char raw[4096] = "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive";

	(void)state;
	for (size_t i = 0; i < HTTP1_NOMINATED_MAX; i++)
		strcat(raw, ", x");
	strcat(raw, "\r\n\r\n");
	assert_null(refused_text(raw));
	strcpy(raw + strlen(raw) - 4, ", x\r\n\r\n");
	assert_reason(raw, "too many options");
}

static void targets_have_their_form(void **state)
{
	(void)state;
	assert_null(
		refused_text("CONNECT Example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n"));
	assert_int_equal(req.form, HTTP1_AUTHORITY);
	assert_string_equal(req.authority.host, "example.com");
	assert_int_equal(req.authority.port, 443);
	assert_null(refused_text("CONNECT h:443 HTTP/1.0\r\n\r\n"));
	assert_reason("CONNECT h:443 HTTP/1.1\r\nHost: other:443\r\n\r\n", "does not match");
	assert_reason("CONNECT h HTTP/1.1\r\nHost: h\r\n\r\n", "no port");
	assert_reason("CONNECT / HTTP/1.1\r\nHost: h\r\n\r\n", "host contains");
	assert_null(refused_text("GET http://h:80/x HTTP/1.1\r\nHost: h\r\n\r\n"));
	assert_int_equal(req.form, HTTP1_ABSOLUTE);
	assert_false(req.is_https);
	assert_reason("GET http://h/ HTTP/1.1\r\nHost: other\r\n\r\n", "does not match");
	assert_reason("GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n", "scheme");
	assert_null(refused_text("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"));
	assert_int_equal(req.form, HTTP1_ASTERISK);
	assert_reason("GET * HTTP/1.1\r\nHost: h\r\n\r\n", "not a path");
	assert_reason("GET h/x HTTP/1.1\r\nHost: h\r\n\r\n", "not a path");
}

static void well_known_methods_are_canonicalised(void **state)
{
	(void)state;
	assert_null(refused_text("delete /a HTTP/1.1\r\nHost: h\r\n\r\n"));
	assert_string_equal(req.method, "DELETE");
	assert_null(refused_text("Frob /a HTTP/1.1\r\nHost: h\r\n\r\n"));
	assert_string_equal(req.method, "Frob");
	assert_null(refused_text("TRACK /a HTTP/1.1\r\nHost: h\r\n\r\n"));
	assert_true(req.is_trace);
	assert_reason("ABCDEFGHIJABCDEFGHIJABCDEFGHIJAB / HTTP/1.1\r\nHost: h\r\n\r\n", "too long");
}

static void method_override_is_what_counts(void **state)
{
	(void)state;
	assert_null(refused_text(
		"POST /a HTTP/1.1\r\nHost: h\r\nx-http-method-override: delete\r\n\r\n"));
	assert_string_equal(req.method, "POST");
	assert_string_equal(req.effective_method, "DELETE");
	assert_null(refused_text("POST /a HTTP/1.1\r\nHost: h\r\n\r\n"));
	assert_string_equal(req.effective_method, "POST");
}

static void connection_options_decide_keep_alive(void **state)
{
	(void)state;
	assert_null(refused_text("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
	assert_true(req.keep_alive);
	assert_null(refused_text("GET / HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\n\r\n"));
	assert_false(req.keep_alive);
	assert_null(refused_text("GET / HTTP/1.0\r\nHost: h\r\n\r\n"));
	assert_false(req.keep_alive);
	assert_null(refused_text("GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n"));
	assert_true(req.keep_alive);
	assert_null(refused_text("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\n\r\n"));
	assert_true(req.expect_continue);
	assert_null(
		refused_text("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\n"
			     "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"));
	assert_int_equal(req.upgrade, HTTP1_UPGRADE_H2C);
}

static void request_is_written_from_what_was_judged(void **state)
{
	static const char raw[] = "POST /a HTTP/1.1\r\nhOST: Example.com.\r\nAccept:   */*  "
				  "\r\nConnection: X-Secret, keep-alive\r\n"
				  "x-secret: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nTrailer: "
				  "X-T\r\nProxy-Authorization: Basic x\r\n"
				  "Content-Length: 3\r\nExpect: 100-continue\r\nX-HTTP-Method: "
				  "PUT\r\nUpgrade: h2c\r\n\r\n";
	struct http1_send s = { .path = "/b",
		.query = "q=1&r",
		.query_len = 3,
		.default_port = 443,
		.framing = HTTP1_LENGTH,
		.content_length = 3,
		.via = true,
		.close = true };
	struct buf out;

	(void)state;
	assert_null(refused_text(raw));
	s.method = req.effective_method;
	s.authority = &req.authority;
	buf_init(&out, 4096);
	assert_int_equal(http1_request_write(&out, &s, req.fields.list, req.fields.n), 0);
	assert_string_equal(buf_cstr(&out),
		"PUT /b?q=1 HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\n"
		"Content-Length: 3\r\nVia: 1.1 openshell-sandbox\r\n"
		"Connection: close\r\n\r\n");
	buf_done(&out);
}

static void written_requests_parse_to_the_same_facts(void **state)
{
	static const char raw[] =
		"GET /ws HTTP/1.1\r\nHost: [2001:DB8::1]:8080\r\nUpgrade: websocket\r\n"
		"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
		"Sec-WebSocket-Version: 13\r\n"
		"Sec-WebSocket-Extensions: foo, permessage-deflate; "
		"client_no_context_takeover\r\n\r\n";
	struct http1_send s = {
		.method = "GET", .path = "/ws", .default_port = 80, .ws = HTTP1_WS_REWRITE
	};
	struct url_authority authority;
	struct ws_upgrade u;
	const char *why;
	struct buf out;

	(void)state;
	assert_null(refused_text(raw));
	assert_int_equal(ws_upgrade_parse(&u, "GET", 1, &req.fields, &why), 0);
	assert_string_equal(u.extension, WS_DEFLATE_OFFER);
	authority = req.authority;
	s.authority = &authority;
	s.ws_extension = u.extension;
	buf_init(&out, 4096);
	assert_int_equal(http1_request_write(&out, &s, req.fields.list, req.fields.n), 0);
	assert_null(refused(buf_head(&out), out.len));
	assert_int_equal(req.upgrade, HTTP1_UPGRADE_WEBSOCKET);
	assert_string_equal(req.authority.host, "2001:db8::1");
	assert_int_equal(req.authority.port, 8080);
	assert_null(strstr(buf_cstr(&out), "foo"));
	buf_done(&out);
}

static void responses_have_their_framing(void **state)
{
	static const struct {
		const char *raw, *method;
		enum http1_framing framing;
		bool keep_alive;
	} table[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "GET", HTTP1_LENGTH, true },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD", HTTP1_NO_BODY, true },
		{ "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "GET", HTTP1_LENGTH, true },
		{ "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "GET", HTTP1_LENGTH, true },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", "GET", HTTP1_CHUNKED,
			true },
		{ "HTTP/1.1 200 OK\r\n\r\n", "GET", HTTP1_UNTIL_CLOSE, false },
		{ "HTTP/1.0 200 OK\r\n\r\n", "GET", HTTP1_UNTIL_CLOSE, false },
		{ "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", "GET", HTTP1_LENGTH, false },
		{ "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n", "GET",
			HTTP1_LENGTH, true },
		{ "HTTP/1.1 100 Continue\r\n\r\n", "GET", HTTP1_NO_BODY, true },
		{ "HTTP/1.1 204 No Content\r\n\r\n", "GET", HTTP1_NO_BODY, true },
		{ "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", "GET", HTTP1_NO_BODY,
			true },
		{ "HTTP/1.1 200 OK\r\n\r\n", "CONNECT", HTTP1_NO_BODY, true },
		{ "HTTP/1.1 200 OK\r\nX: \xe9\r\nContent-Length: 1\r\n\r\n", "GET", HTTP1_LENGTH,
			true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const char *why = refused_response(table[i].raw, table[i].method);

		if (why)
			fail_msg("'%s': %s", table[i].raw, why);
		assert_int_equal(res.fields.framing, table[i].framing);
		assert_int_equal(res.keep_alive, table[i].keep_alive);
	}
}

static void ambiguous_responses_are_refused(void **state)
{
	static const char *const table[] = {
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX: a\x01\r\n\r\n",
		"HTTP/2 200 OK\r\n\r\n",
		"HTTP/1.1 99 x\r\n\r\n",
		"HTTP/1.1 600 x\r\n\r\n",
		"HTTP/1.1  200 x\r\n\r\n",
		"HTTP/1.1 2000\r\n\r\n",
		"HTTP/1.1 200 a\nX: b\r\n\r\n",
		"ICY 200 OK\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (!refused_response(table[i], "GET"))
			fail_msg("'%s' was accepted", table[i]);
	}
}

static void response_is_written_without_its_hops(void **state)
{
	struct http1_answer a = {
		.status = 200, .reason = "OK", .reason_len = 2, .framing = HTTP1_CHUNKED
	};
	struct buf out;

	(void)state;
	assert_null(
		refused_response("HTTP/1.0 200 OK\r\nServer: s\r\nConnection: x-hop\r\nX-Hop: 1\r\n"
				 "Content-Type: text/event-stream; charset=utf-8\r\n\r\n",
			"GET"));
	assert_true(res.is_event_stream);
	buf_init(&out, 4096);
	assert_int_equal(http1_response_write(&out, &a, res.fields.list, res.fields.n), 0);
	assert_string_equal(buf_cstr(&out),
		"HTTP/1.1 200 OK\r\nServer: s\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
		"Transfer-Encoding: chunked\r\n\r\n");
	buf_done(&out);
}

static void websocket_answer_must_fit_the_question(void **state)
{
#define KEY    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define ANSWER "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
#define ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
#define EXT    "Sec-WebSocket-Extensions: permessage-deflate"
	static const struct {
		const char *answer;
		int r;
		bool deflate;
	} table[] = {
		{ ANSWER ACCEPT "\r\n", 0, false },
		{ ANSWER ACCEPT "Sec-WebSocket-Protocol: chat\r\n\r\n", 0, false },
		{ ANSWER ACCEPT "Sec-WebSocket-Protocol: other\r\n\r\n", -EBADMSG, false },
		{ ANSWER ACCEPT EXT "; client_no_context_takeover\r\n\r\n", 0, true },
		{ ANSWER ACCEPT EXT "\r\n\r\n", -EBADMSG, false },
		{ ANSWER ACCEPT EXT
			"; client_no_context_takeover; client_max_window_bits=8\r\n\r\n",
			-EBADMSG, false },
		{ ANSWER ACCEPT "Sec-WebSocket-Extensions: foo\r\n\r\n", -EBADMSG, false },
		{ ANSWER ACCEPT ACCEPT "\r\n", -EBADMSG, false },
		{ ANSWER "\r\n", -EBADMSG, false },
		{ ANSWER "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOp=\r\n\r\n", -EBADMSG,
			false },
	};
	struct ws_upgrade u;
	const char *why;
	bool deflate;

	(void)state;
	assert_null(refused_text("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
				 "Connection: Upgrade\r\n" KEY "Sec-WebSocket-Version: 13\r\n"
				 "Sec-WebSocket-Protocol: chat, v2\r\n\r\n"));
	assert_int_equal(ws_upgrade_parse(&u, "GET", 1, &req.fields, &why), 0);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_null(refused_response(table[i].answer, "GET"));
		assert_true(res.is_upgrade);
		deflate = false;
		assert_int_equal(
			ws_answer_check(&u, &res.fields, WS_DEFLATE_OFFER, false, &deflate, &why),
			table[i].r);
		assert_int_equal(deflate, table[i].deflate);
	}
	/* what nobody took for an upgrade is none, with the right key, too */
	assert_null(refused_response("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" ACCEPT "\r\n", "GET"));
	assert_int_equal(ws_answer_check(&u, &res.fields, NULL, true, &deflate, &why), -EBADMSG);
	assert_string_equal(why, "server's answer is not a WebSocket upgrade");
}

static void an_upgrade_says_so_in_every_field(void **state)
{
#define WS(fields) "GET / HTTP/1.1\r\nHost: h\r\n" fields "\r\n"
#define GOOD_KEY   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION_13 "Sec-WebSocket-Version: 13\r\n"
#define UPGRADE	   "Connection: Upgrade\r\nUpgrade: websocket\r\n"
#define EXTENDED(value) WS(UPGRADE GOOD_KEY VERSION_13 "Sec-WebSocket-Extensions: " value "\r\n")
	static const struct {
		const char *raw, *why;
	} bad[] = {
		{ WS("Connection: Upgrade\r\nUpgrade: h2c\r\n" GOOD_KEY VERSION_13), "is missing Upgrade: websocket" },
		{ WS("Upgrade: websocket\r\n" GOOD_KEY VERSION_13), "is missing Connection: Upgrade" },
		{ WS(UPGRADE VERSION_13), "needs one valid Sec-WebSocket-Key" },
		{ WS(UPGRADE GOOD_KEY GOOD_KEY VERSION_13), "needs one valid Sec-WebSocket-Key" },
		{ WS(UPGRADE "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n" VERSION_13), "needs one valid" },
		{ WS(UPGRADE "Sec-WebSocket-Key: dGhlIHNhbXBs!SBub25jZQ==\r\n" VERSION_13), "needs one valid" },
		{ WS(UPGRADE "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n" VERSION_13), "needs one valid" },
		{ WS(UPGRADE GOOD_KEY), "needs Sec-WebSocket-Version: 13" },
		{ WS(UPGRADE GOOD_KEY "Sec-WebSocket-Version: 8\r\n"), "needs Sec-WebSocket-Version: 13" },
		{ WS(UPGRADE GOOD_KEY VERSION_13 VERSION_13), "needs Sec-WebSocket-Version: 13" },
		{ WS(UPGRADE GOOD_KEY VERSION_13 "Content-Length: 1\r\n"), "has a body" },
		{ WS(UPGRADE GOOD_KEY VERSION_13 "Transfer-Encoding: chunked\r\n"), "has a body" },
		{ WS(UPGRADE GOOD_KEY VERSION_13 "Sec-WebSocket-Protocol: a,,b\r\n"), "invalid Sec-WebSocket-Protocol" },
		{ WS(UPGRADE GOOD_KEY VERSION_13 "Sec-WebSocket-Protocol: a b\r\n"), "invalid Sec-WebSocket-Protocol" },
		{ EXTENDED("a b"), "invalid WebSocket extension" },
		{ EXTENDED("foo, ; x"), "invalid WebSocket extension" },
		{ EXTENDED("foo; a b"), "invalid WebSocket extension parameter" },
		{ EXTENDED("foo; a=\"b\""), "invalid WebSocket extension parameter" },
		{ EXTENDED("foo; a="), "invalid WebSocket extension parameter" },
	};
	static const struct {
		const char *raw, *extension;
	} good[] = {
		{ WS(UPGRADE GOOD_KEY VERSION_13), NULL },
		{ WS(UPGRADE GOOD_KEY VERSION_13 "Content-Length: 0\r\n"), NULL },
		{ EXTENDED("foo; a = \t b , permessage-deflate\t;\tclient_no_context_takeover "), WS_DEFLATE_OFFER },
		{ EXTENDED("permessage-deflate; server_no_context_takeover; client_no_context_takeover"),
			WS_DEFLATE_OFFER_BOTH },
		{ EXTENDED("permessage-deflate"), NULL },
		{ EXTENDED("permessage-deflate; client_no_context_takeover=1"), NULL },
		{ EXTENDED("permessage-deflate; client_no_context_takeover; client_no_context_takeover"), NULL },
		{ EXTENDED("permessage-deflate; client_no_context_takeover; client_max_window_bits"), NULL },
	};
	struct ws_upgrade u;
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_null(refused_text(bad[i].raw));
		why = "";
		if (ws_upgrade_parse(&u, "GET", 1, &req.fields, &why) != -EBADMSG || !strstr(why, bad[i].why))
			fail_msg("%s: '%s'", bad[i].raw, why);
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_null(refused_text(good[i].raw));
		if (ws_upgrade_parse(&u, "GET", 1, &req.fields, &why) < 0)
			fail_msg("%s: %s", good[i].raw, why);
		if (good[i].extension ? !u.extension || strcmp(u.extension, good[i].extension) != 0 : u.extension != NULL)
			fail_msg("%s: %s", good[i].raw, u.extension ? u.extension : "none");
	}
	assert_int_equal(ws_upgrade_parse(&u, "POST", 1, &req.fields, &why), -EBADMSG);
	assert_string_equal(why, "WebSocket upgrade must use GET");
	assert_int_equal(ws_upgrade_parse(&u, "GET", 0, &req.fields, &why), -EBADMSG);
	assert_string_equal(why, "WebSocket upgrade needs HTTP/1.1");
}

static void too_many_subprotocols_are_refused(void **state)
{
	char raw[1024] = "GET / HTTP/1.1\r\nHost: h\r\n" UPGRADE GOOD_KEY VERSION_13 "Sec-WebSocket-Protocol: p";
	struct ws_upgrade u;
	const char *why;

	(void)state;
	for (int i = 1; i < WS_PROTOCOLS_MAX; i++)
		(void)strcat(raw, ",p");
	(void)strcat(raw, "\r\n\r\n");
	assert_null(refused_text(raw));
	assert_int_equal(ws_upgrade_parse(&u, "GET", 1, &req.fields, &why), 0);
	assert_int_equal(u.n_protocols, WS_PROTOCOLS_MAX);
	(void)strcpy(strrchr(raw, 'p') + 1, ",p\r\n\r\n");
	assert_null(refused_text(raw));
	assert_int_equal(ws_upgrade_parse(&u, "GET", 1, &req.fields, &why), -EBADMSG);
	assert_string_equal(why, "too many WebSocket subprotocols");
}

/* Decodes @wire in steps of @step bytes: the text, or NULL; @c keeps the trailers. */
static const char *dechunk(struct chunked *c, const char *wire, size_t step)
{
	static char text[256];
	size_t len = strlen(wire), at = 0, used, n, n_text = 0;
	const char *data, *why;
	int r = CHUNKED_MORE;

	chunked_init(c);
	while (r >= 0 && r != CHUNKED_END && at < len) {
		size_t piece = len - at < step ? len - at : step;

		r = chunked_next(c, wire + at, piece, &used, &data, &n, &why);
		if (r == CHUNKED_DATA) {
			memcpy(text + n_text, data, n);
			n_text += n;
		}
		at += r >= 0 ? used : 0;
	}
	text[n_text] = '\0';
	return r == CHUNKED_END ? text : NULL;
}

static void chunks_decode_whatever_the_pieces(void **state)
{
	static const char wire[] =
		"5;a=b\r\nhello\r\n0006 \r\n world\r\n0;x\r\nX-T: 1\r\nHost: evil\r\n\r\n";

	(void)state;
	for (size_t step = 1; step <= sizeof(wire); step++) {
		const char *why;
		struct chunked c;
		struct buf out;

		assert_string_equal(dechunk(&c, wire, step), "hello world");
		buf_init(&out, 256);
		assert_int_equal(
			http1_trailers_write(&out, buf_head(&c.trailers), c.trailers.len, &why), 0);
		assert_string_equal(buf_cstr(&out), "X-T: 1\r\n\r\n");
		buf_done(&out);
		chunked_done(&c);
	}
}

static void malformed_chunks_are_refused(void **state)
{
	static const char *const table[] = { "+5\r\nhello\r\n0\r\n\r\n",
		"0x5\r\nhello\r\n0\r\n\r\n", "5\nhello\r\n0\r\n\r\n", "5\r\nhello0\r\n\r\n",
		"5\r\nhello\n0\r\n\r\n", ";\r\n\r\n", "5 5\r\nhello\r\n0\r\n\r\n",
		"5;\n\r\nhello\r\n0\r\n\r\n", "5;a\x01\r\nhello\r\n0\r\n\r\n",
		"ffffffffffffffff\r\n", "00000000000000005\r\nhello\r\n", "5\r\rhello\r\n0\r\n\r\n",
		"0\r\nX: a\n\r\n", "0\r\nX: a\rb\r\n\r\n" };

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct chunked c;

		if (dechunk(&c, table[i], 1000))
			fail_msg("'%s' was accepted", table[i]);
		chunked_done(&c);
	}
}

static void long_extensions_and_trailers_are_refused(void **state)
{
	static char wire[CHUNKED_TRAILERS_MAX + 100];
	struct chunked c;

	(void)state;
	memset(wire, 'a', sizeof(wire) - 1);
	memcpy(wire, "5;", 2);
	assert_null(dechunk(&c, wire, 1000));
	assert_int_equal(c.state, CHUNKED_BROKEN);
	chunked_done(&c);
	memcpy(wire, "0\r\n", 3);
	assert_null(dechunk(&c, wire, 1000));
	assert_int_equal(c.state, CHUNKED_BROKEN);
	chunked_done(&c);
}

static void body_ends_where_its_framing_says(void **state)
{
	const char *data, *why;
	struct http1_body b;
	size_t used, n;

	(void)state;
	http1_body_init(&b, HTTP1_LENGTH, 3);
	assert_false(http1_body_may_end(&b));
	assert_int_equal(http1_body_next(&b, "abcd", 4, &used, &data, &n, &why), CHUNKED_DATA);
	assert_int_equal(used, 3);
	assert_int_equal(http1_body_next(&b, "d", 1, &used, &data, &n, &why), CHUNKED_END);
	assert_int_equal(used, 0);
	assert_true(http1_body_may_end(&b));
	http1_body_init(&b, HTTP1_UNTIL_CLOSE, 0);
	assert_int_equal(http1_body_next(&b, "abc", 3, &used, &data, &n, &why), CHUNKED_DATA);
	assert_int_equal(http1_body_next(&b, "", 0, &used, &data, &n, &why), CHUNKED_MORE);
	assert_true(http1_body_may_end(&b));
	http1_body_init(&b, HTTP1_NO_BODY, 0);
	assert_int_equal(http1_body_next(&b, "abc", 3, &used, &data, &n, &why), CHUNKED_END);
	assert_int_equal(used, 0);
	http1_body_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_smuggling_attempt_of_the_table_is_judged),
		cmocka_unit_test(every_websocket_upgrade_of_the_table_is_judged),
		cmocka_unit_test(every_chunked_body_of_the_table_is_judged),
		cmocka_unit_test(llhttp_is_built_in_strict_mode),
		cmocka_unit_test(head_is_found_whatever_the_pieces),
		cmocka_unit_test(head_past_the_limit_is_refused),
		cmocka_unit_test(lines_that_do_not_end_in_crlf_are_refused),
		cmocka_unit_test(ambiguous_heads_are_refused),
		cmocka_unit_test(chunked_in_http10_is_refused),
		cmocka_unit_test(too_many_fields_are_refused_as_too_large),
		cmocka_unit_test(too_many_options_of_connection_are_refused),
		cmocka_unit_test(targets_have_their_form),
		cmocka_unit_test(well_known_methods_are_canonicalised),
		cmocka_unit_test(method_override_is_what_counts),
		cmocka_unit_test(connection_options_decide_keep_alive),
		cmocka_unit_test(request_is_written_from_what_was_judged),
		cmocka_unit_test(written_requests_parse_to_the_same_facts),
		cmocka_unit_test(responses_have_their_framing),
		cmocka_unit_test(ambiguous_responses_are_refused),
		cmocka_unit_test(response_is_written_without_its_hops),
		cmocka_unit_test(websocket_answer_must_fit_the_question),
		cmocka_unit_test(an_upgrade_says_so_in_every_field),
		cmocka_unit_test(too_many_subprotocols_are_refused),
		cmocka_unit_test(chunks_decode_whatever_the_pieces),
		cmocka_unit_test(malformed_chunks_are_refused),
		cmocka_unit_test(long_extensions_and_trailers_are_refused),
		cmocka_unit_test(body_ends_where_its_framing_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
