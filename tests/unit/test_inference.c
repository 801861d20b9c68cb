#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/cli.h"
#include "launcher/inference.h"
#include "launcher/provider.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/http1.h"
#include "lib/inference.h"
#include "lib/inference_route.h"
#include "lib/str.h"
#include "proxy/conn.h"
#include "proxy/inference.h"
#include "proxy/inference_internal.h"
#include "proxy/route.h"
#include "tests/support/vectors.h"

/* The table belongs to main.c, which tests do not link. */
const struct cli_command cli_root = { .name = "openshell" };

/* --- vectors --- */

static size_t unbase64(const char *s, char *ret)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned int bits = 0, n = 0;
	size_t len = 0;

	for (; *s && *s != '='; s++) {
		bits = bits << 6 | (unsigned int)(strchr(digits, *s) - digits);
		n += 6;
		if (n >= 8) {
			n -= 8;
			ret[len++] = (char)(bits >> n);
		}
	}
	return len;
}

/* "complete" and the body, "incomplete", "invalid": as our parser has it. */
static const char *parsed(const char *raw, size_t len, struct buf *body)
{
	static struct http1_request rq;
	struct http1_body b;
	const char *why, *slice;
	size_t scan = 0, used, n;
	int head = http1_head_find(raw, len, HTTP1_HEAD_MAX, &scan, &why), r = CHUNKED_DATA;

	if (head <= 0)
		return head ? "invalid" : "incomplete";
	if (http1_request_parse(&rq, raw, (size_t)head, &why) < 0)
		return "invalid";
	http1_body_init(&b, rq.fields.framing, rq.fields.content_length);
	for (size_t at = (size_t)head; r == CHUNKED_DATA; at += used) {
		used = n = 0;
		r = http1_body_next(&b, raw + at, len - at, &used, &slice, &n, &why);
		if (r == CHUNKED_DATA)
			assert_int_equal(buf_append(body, slice, n), 0);
	}
	http1_body_done(&b);
	return r == CHUNKED_END ? "complete" : r < 0 ? "invalid" : "incomplete";
}

static bool parse_case(const char *id, json_t *input, json_t *expect)
{
	const char *result = json_string_value(json_object_get(expect, "result"));
	const char *want = json_string_value(json_object_get(expect, "body_b64"));
	char raw[4096], text[4096];
	size_t len = unbase64(json_string_value(json_object_get(input, "raw_b64")), raw);
	auto_buf struct buf body;
	const char *got;

	buf_init(&body, sizeof(raw));
	got = parsed(raw, len, &body);
	/* Two where upstream knows to be lax: a 1.1 request without Host, a coding that nobody knows. */
	if (strcmp(id, "inf-039") == 0)
		return strcmp(got, "invalid") == 0;
	if (strcmp(id, "inf-043") == 0)
		return strcmp(got, "invalid") == 0;
	if (strcmp(got, result) != 0)
		return false;
	return !want || (unbase64(want, text) == body.len && memcmp(text, buf_head(&body), body.len) == 0);
}

static bool pattern_case(const char *id, json_t *input, json_t *expect)
{
	const char *path = json_string_value(json_object_get(input, "path"));
	const char *kind = json_string_value(json_object_get(input, "kind"));
	const struct inference_pattern *p;

	if (kind && strcmp(kind, "parse") == 0)
		return parse_case(id, input, expect);
	p = inference_match(json_string_value(json_object_get(input, "method")), path, strlen(path));
	if (!json_is_true(json_object_get(expect, "match")))
		return !p;
	return p && strcmp(p->protocol, json_string_value(json_object_get(expect, "protocol"))) == 0 &&
	       strcmp(p->kind, json_string_value(json_object_get(expect, "kind"))) == 0 &&
	       p->is_streaming == (strcmp(json_string_value(json_object_get(expect, "framing")), "streaming") == 0);
}

static void requests_are_recognised_as_upstream_does(void **state)
{
	(void)state;
	assert_int_equal(vectors_run("tests/vectors/inference_patterns.jsonl", pattern_case), 0);
}

static void a_path_has_one_spelling(void **state)
{
	static const char *const bad[] = { "/v1/../v1/models", "/v1//models", "/v1/models/../x", "/v1/models//x",
		"/v1/models/%2e%2e/x", "/v1/models/a%2Fb", "/v1/models/a;b", "/v1/models/%61", "/v1/models/.", "//v1/models",
		"v1/models", "", "?", "/v1/models#", "/v1/models/\x01", "https://inference.local/v1/models" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (inference_match("GET", bad[i], strlen(bad[i])))
			fail_msg("%s is recognised", bad[i]);
	assert_non_null(inference_match("GET", "/v1/models/a.b/c:d", strlen("/v1/models/a.b/c:d")));
}

static void a_model_in_a_path_is_one_segment(void **state)
{
	static const char *const bad[] = { "/model/a/b/invoke", "/model/../invoke", "/model/./invoke", "/model/%2e%2e/invoke",
		"/model/a%2Fb/invoke", "/model/a%5cb/../invoke", "/model/;/invoke", "/model/%00/invoke", "/model/invoke",
		"/model/a/invoke-with-response-stream", "/model/%2/invoke" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (inference_match("POST", bad[i], strlen(bad[i])))
			fail_msg("%s is recognised", bad[i]);
	assert_non_null(inference_match("POST", "/model/a%3A1/invoke", strlen("/model/a%3A1/invoke")));
}

/* --- where it goes --- */

static const char *path(enum inference_style style, const char *base, const char *target)
{
	static struct buf out;

	buf_done(&out);
	buf_init(&out, 4096);
	assert_int_equal(inference_path(&out, style, base, "m/1:2", target, strlen(target)), 0);
	return buf_cstr(&out);
}

static void paths_go_below_the_base(void **state)
{
	(void)state;
	assert_string_equal(path(INFERENCE_OPENAI, "", "/v1/models"), "/v1/models");
	assert_string_equal(path(INFERENCE_OPENAI, "/v1", "/v1/models"), "/v1/models");
	assert_string_equal(path(INFERENCE_OPENAI, "/v1/openai", "/v1/models/x"), "/v1/openai/models/x");
	assert_string_equal(path(INFERENCE_ANTHROPIC, "", "/v1/messages"), "/v1/messages");
	assert_string_equal(path(INFERENCE_ANTHROPIC, "/v1", "/v1/messages"), "/v1/messages");
	assert_string_equal(path(INFERENCE_ANTHROPIC, "/a", "/v1/messages"), "/a/v1/messages");
	assert_string_equal(path(INFERENCE_BEDROCK, "", "/model/x/invoke?trace=1"), "/model/m%2F1:2/invoke");
}

static void only_known_parameters_pass(void **state)
{
	(void)state;
	assert_string_equal(path(INFERENCE_OPENAI, "", "/v1/models?key=k&limit=3&&api_key=x&after=a"),
		"/v1/models?limit=3&after=a");
	assert_string_equal(path(INFERENCE_OPENAI, "", "/v1/models?limit=\"&betas=1&%6bey=1"), "/v1/models");
	assert_string_equal(path(INFERENCE_ANTHROPIC, "", "/v1/messages?beta=true"), "/v1/messages?beta=true");
}

static bool passes(const char *type, const char *name)
{
	return inference_header_passes(type, name, strlen(name));
}

static void only_known_fields_pass(void **state)
{
	static const char *const never[] = { "Authorization", "x-api-key", "Cookie", "Host", "Content-Length",
		"Transfer-Encoding", "Connection", "Proxy-Authorization", "X-Amz-Security-Token", "X-Forwarded-For",
		"accept-encoding", "openai-project", "" };
	static const char *const types[] = { "openai", "anthropic", "nvidia", "deepinfra", "aws-bedrock", "generic" };

	(void)state;
	for (size_t t = 0; t < ARRAY_SIZE(types); t++)
		for (size_t i = 0; i < ARRAY_SIZE(never); i++)
			assert_false(passes(types[t], never[i]));
	assert_true(passes("openai", "OpenAI-Organization") && passes("openai", "x-model-id"));
	assert_true(passes("anthropic", "anthropic-version") && passes("anthropic", "Anthropic-Beta"));
	assert_true(passes("nvidia", "x-model-id") && passes("deepinfra", "X-Model-Id"));
	assert_false(passes("anthropic", "x-model-id") || passes("openai", "anthropic-beta"));
	assert_false(passes("aws-bedrock", "x-model-id"));
}

/* --- the model --- */

static const char *with_model(const char *body)
{
	static struct buf out;
	const char *why = NULL;
	int r;

	buf_done(&out);
	buf_init(&out, 4096);
	r = inference_set_model(&out, body, strlen(body), "M", &why);
	if (r < 0) {
		assert_int_equal(r, -EBADMSG);
		assert_non_null(why);
		return NULL;
	}
	return buf_cstr(&out);
}

static void the_model_is_replaced_and_nothing_else(void **state)
{
	static const char *const cases[][2] = {
		{ "{\"model\":\"a\"}", "{\"model\":\"M\"}" },
		{ " { \"x\" : 1 , \"model\" : \"a\\\"}\" , \"y\":[{}] } ", " { \"x\" : 1 , \"model\" : \"M\", \"y\":[{}] } " },
		{ "{\"model\":{\"model\":[1,{\"a\":\"}\"}]},\"z\":1e400}", "{\"model\":\"M\",\"z\":1e400}" },
		{ "{\"mod\\u0065l\":null}", "{\"mod\\u0065l\":\"M\"}" },
		{ "{}", "{\"model\":\"M\"}" },
		{ "{ }", "{\"model\":\"M\" }" },
		{ "{\"a\":1}", "{\"model\":\"M\",\"a\":1}" },
		{ "{\"a\":{\"model\":\"x\"},\"b\":[{\"model\":\"y\"}]}",
			"{\"model\":\"M\",\"a\":{\"model\":\"x\"},\"b\":[{\"model\":\"y\"}]}" },
		{ "{\"a\":\"\\\\\",\"model\":\"\\\\\\\"\"}", "{\"a\":\"\\\\\",\"model\":\"M\"}" },
		{ "{\"n\":12345678901234567.10,\"model\":1}", "{\"n\":12345678901234567.10,\"model\":\"M\"}" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *got = with_model(cases[i][0]);

		if (strstr(cases[i][0], "1e400")) /* a number that nobody can hold is refused */
			assert_null(got);
		else
			assert_string_equal(got ? got : "(refused)", cases[i][1]);
	}
}

static void a_body_that_reads_in_two_ways_is_refused(void **state)
{
	static const char *const bad[] = { "", " ", "[]", "\"model\"", "1", "{", "{\"model\":}", "{\"model\":\"a\"}x",
		"{\"model\":\"a\"}{\"model\":\"b\"}", "{\"model\":\"a\",\"model\":\"b\"}", "{\"model\":1,\"mod\\u0065l\":2}",
		"{\"Model\":1}", "{\"model\":1,\"MODEL\":2}", "{\"a\":{\"b\":1,\"b\":2}}", "{\"a\":\"\\u0000\"}",
		"\xef\xbb\xbf{}", "{\"model\":\"\xff\"}", "{'model':1}", "{\"model\":1,}" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (with_model(bad[i]))
			fail_msg("%s is taken", bad[i]);
}

static void a_model_is_written_as_a_string(void **state)
{
	auto_buf struct buf out;
	const char *why;

	(void)state;
	buf_init(&out, 4096);
	assert_int_equal(inference_set_model(&out, "{}", 2, "a\"\\b", &why), 0);
	assert_string_equal(buf_cstr(&out), "{\"model\":\"a\\\"\\\\b\"}");
	assert_true(inference_model_is_good("meta/llama-3:8b") && !inference_model_is_good("a b"));
	assert_false(inference_model_is_good("") || inference_model_is_good("\xc3\xa9"));
}

static void nothing_is_cut_where_there_is_no_room(void **state)
{
	const char *why;

	(void)state;
	for (size_t max = 0; max < strlen("{\"model\":\"M\",\"a\":1}"); max++) {
		auto_buf struct buf out;

		buf_init(&out, max);
		assert_int_equal(inference_set_model(&out, "{\"a\":1}", 7, "M", &why), -ENOBUFS);
	}
}

/* --- routes --- */

static int parse(struct inference_route *r, const char *url)
{
	struct err err = { 0 };
	int e;

	memset(r, 0, sizeof(*r));
	e = inference_base_parse(r, url, &err);
	assert_true(e == 0 || err.text[0]);
	return e;
}

static void base_urls_are_taken_apart(void **state)
{
	static struct inference_route r;
	static const char *const bad[] = { "", "ollama", "ftp://a/", "https://", "https://u:p@a/", "https://a/?x=1",
		"https://a/#x", "https://a/b/../c", "https://a//b", "http://93.184.216.34/", "http://169.254.169.254/",
		"https://169.254.169.254/", "https://0.0.0.0/", "https://a/%2e" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (parse(&r, bad[i]) == 0)
			fail_msg("%s is taken", bad[i]);
	assert_int_equal(parse(&r, "https://api.test/v1/"), 0);
	assert_true(r.is_tls && r.server.port == 443 && !inference_is_local(&r));
	assert_string_equal(r.base, "/v1");
	assert_int_equal(parse(&r, "http://127.0.0.1:11434"), 0);
	assert_true(!r.is_tls && r.server.port == 11434 && inference_is_local(&r) && !r.base[0]);
	assert_int_equal(parse(&r, "http://[::1]:8080/v1"), 0);
	assert_true(inference_is_local(&r));
	assert_int_equal(parse(&r, "http://192.168.1.5/v1"), 0);
	assert_false(inference_is_local(&r));
}

static void a_route_arrives_as_it_was_sent(void **state)
{
	static struct inference_route r, got;
	auto_buf struct buf out;

	(void)state;
	buf_init(&out, 65536);
	assert_int_equal(parse(&r, "https://[2001:db8::1]:8443/v1"), 0);
	strcpy(r.provider, "p");
	strcpy(r.type, "openai");
	strcpy(r.model, "m");
	strcpy(r.secret, "s");
	r.timeout_s = 7;
	r.is_own = true;
	assert_int_equal(inference_route_put(&out, &r), 0);
	assert_int_equal(inference_route_get(&got, buf_head(&out), out.len), 0);
	assert_string_equal(got.server.host, r.server.host);
	assert_string_equal(got.secret, "s");
	assert_true(got.is_tls && got.is_own && got.timeout_s == 7 && got.server.port == 8443);
	for (size_t len = 0; len < out.len; len++)
		assert_int_equal(inference_route_get(&got, buf_head(&out), len), -EPROTO);
	assert_int_equal(buf_putc(&out, '\0'), 0);
	assert_int_equal(inference_route_get(&got, buf_head(&out), out.len), -EPROTO);
}

/* --- what may be dialled --- */

static bool may_dial(struct inference *in, const char *address, bool is_pinned)
{
	static struct conn c;
	struct target t = { .is_pinned = is_pinned, .n_addrs = address != NULL };

	c.ex.call.on = in;
	if (address)
		assert_int_equal(netaddr_parse(address, &t.addrs[0]), 0);
	return inference_may_dial(&c, &t);
}

static void a_name_leads_where_its_route_may(void **state)
{
	static struct inference in;

	(void)state;
	assert_int_equal(route_begin(), 0);
	assert_false(may_dial(NULL, "93.184.216.34", false)); /* no route */
	in.route.is_tls = true;
	assert_true(may_dial(&in, "93.184.216.34", false));
	assert_false(may_dial(&in, NULL, false));
	for (int is_own = 0; is_own < 2; is_own++) {
		in.route.is_own = is_own;
		assert_int_equal(may_dial(&in, "192.168.1.5", false), is_own);
		assert_int_equal(may_dial(&in, "fd00::5", false), is_own);
		assert_false(may_dial(&in, "127.0.0.1", false) || may_dial(&in, "::1", false));
		assert_false(may_dial(&in, "169.254.169.254", false) || may_dial(&in, "::ffff:127.0.0.1", false));
		assert_true(may_dial(&in, "127.0.0.1", true)); /* the operator's literal */
	}
	in.route.is_tls = false; /* in clear: only to neighbours */
	assert_true(may_dial(&in, "192.168.1.5", false));
	assert_false(may_dial(&in, "93.184.216.34", false));
}

/* --- the file --- */

static char base[] = "/tmp/test_inference.XXXXXX";

static int own_config(void **state)
{
	(void)state;
	if (!mkdtemp(base))
		return -1;
	return setenv("XDG_CONFIG_HOME", base, 1);
}

static int drop_config(void **state)
{
	static const char *const names[] = { "/openshell/providers/p.json", "/openshell/providers", "/openshell", "" };
	char path[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		(void)snprintf(path, sizeof(path), "%s%s", base, names[i]);
		(void)remove(path);
	}
	return 0;
}

static void the_setting_is_kept_in_a_private_file(void **state)
{
	struct inference_setting s = { .provider = "p", .model = "m", .timeout_s = 5 }, got;
	struct err err = { 0 };
	char path[128];
	struct stat st;
	int fd;

	(void)state;
	assert_int_equal(inference_load(&got, &err), 0);
	assert_int_equal(inference_remove(&err), -ENOENT);
	assert_int_equal(inference_save(&s, &err), 0);
	(void)snprintf(path, sizeof(path), "%s/openshell/inference.json", base);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(inference_load(&got, &err), 1);
	assert_memory_equal(&got, &s, sizeof(s));
	assert_true(inference_uses("p") && !inference_uses("q"));
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_int_equal(write(fd, "{\"provider\":1}", 14), 14);
	(void)close(fd);
	assert_int_equal(inference_load(&got, &err), -EIO);
	assert_int_equal(inference_remove(&err), 0);
	assert_int_equal(inference_load(&got, &err), 0);
}

static json_t *provider(const char *type, const char *credentials, const char *config)
{
	json_t *p = json_pack("{s:s, s:s, s:o, s:[], s:o}", "name", "p", "type", type, "credentials",
		json_loads(credentials, 0, NULL), "endpoints", "config", json_loads(config, 0, NULL));
	struct err err;

	assert_int_equal(provider_save("p", p, &err), 0);
	return p;
}

static struct inference_route *made(const char *type, const char *credentials, const char *config, struct err *err)
{
	struct inference_setting s = { .provider = "p", .model = "m" };
	json_t *p = provider(type, credentials, config);

	provider_free(p);
	*err = (struct err){ 0 };
	return inference_route_make(&s, err);
}

static void routes_are_made_of_providers(void **state)
{
	struct inference_route *r;
	struct err err;

	(void)state;
	r = made("openai", "{\"OPENAI_API_KEY\":\"k\"}", "{}", &err);
	assert_non_null(r);
	assert_string_equal(r->server.host, "api.openai.com");
	assert_string_equal(r->secret, "k");
	assert_true(!r->is_own && r->timeout_s == 60);
	inference_route_free(r);
	r = made("aws-bedrock", "{\"AWS_ACCESS_KEY_ID\":\"i\",\"AWS_SECRET_ACCESS_KEY\":\"k\"}", "{\"region\":\"eu-x-1\"}", &err);
	assert_non_null(r);
	assert_string_equal(r->server.host, "bedrock-runtime.eu-x-1.amazonaws.com");
	assert_string_equal(r->key_id, "i");
	inference_route_free(r);
	r = made("aws-bedrock", "{\"AWS_BEARER_TOKEN_BEDROCK\":\"b\",\"AWS_ACCESS_KEY_ID\":\"i\"}", "{\"region\":\"x\"}", &err);
	assert_non_null(r);
	assert_true(strcmp(r->secret, "b") == 0 && !r->key_id[0]);
	inference_route_free(r);
	r = made("generic", "{\"ANY\":\"k\"}", "{\"base_url\":\"http://localhost:1/v1\"}", &err);
	assert_non_null(r);
	assert_true(r->is_own && strcmp(r->secret, "k") == 0);
	inference_route_free(r);
}

static void what_is_no_route_says_why(void **state)
{
	static const struct {
		const char *type, *credentials, *config, *why;
	} cases[] = {
		{ "github", "{\"T\":\"k\"}", "{}", "not known to have models" },
		{ "google-vertex-ai", "{\"T\":\"k\"}", "{}", "minted" },
		{ "openai", "{\"T\":\"k\"}", "{}", "has no OPENAI_API_KEY" },
		{ "generic", "{\"T\":\"k\"}", "{}", "names no server" },
		{ "generic", "{\"T\":\"k\",\"U\":\"l\"}", "{\"base_url\":\"https://a/v1\"}", "not one key alone" },
		{ "aws-bedrock", "{\"AWS_SECRET_ACCESS_KEY\":\"k\"}", "{}", "has no region" },
		{ "aws-bedrock", "{\"AWS_SECRET_ACCESS_KEY\":\"k\"}", "{\"region\":\"x\"}", "has no AWS_SECRET_ACCESS_KEY" },
	};
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_null(made(cases[i].type, cases[i].credentials, cases[i].config, &err));
		if (!strstr(err.text, cases[i].why))
			fail_msg("'%s' instead of '%s'", err.text, cases[i].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_recognised_as_upstream_does),
		cmocka_unit_test(a_path_has_one_spelling),
		cmocka_unit_test(a_model_in_a_path_is_one_segment),
		cmocka_unit_test(paths_go_below_the_base),
		cmocka_unit_test(only_known_parameters_pass),
		cmocka_unit_test(only_known_fields_pass),
		cmocka_unit_test(the_model_is_replaced_and_nothing_else),
		cmocka_unit_test(a_body_that_reads_in_two_ways_is_refused),
		cmocka_unit_test(a_model_is_written_as_a_string),
		cmocka_unit_test(nothing_is_cut_where_there_is_no_room),
		cmocka_unit_test(base_urls_are_taken_apart),
		cmocka_unit_test(a_route_arrives_as_it_was_sent),
		cmocka_unit_test(a_name_leads_where_its_route_may),
		cmocka_unit_test(the_setting_is_kept_in_a_private_file),
		cmocka_unit_test(routes_are_made_of_providers),
		cmocka_unit_test(what_is_no_route_says_why),
	};

	return cmocka_run_group_tests(tests, own_config, drop_config);
}
