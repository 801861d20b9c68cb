#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/ocsf.h"
#include "support/vectors.h"

static const char *text_of(json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static uint32_t number_of(json_t *o, const char *key)
{
	return (uint32_t)json_integer_value(json_object_get(o, key));
}

static enum ocsf_class class_named(const char *name)
{
	static const struct {
		const char *name;
		enum ocsf_class class;
	} classes[] = {
		{ "network_activity", OCSF_NETWORK },
		{ "http_activity", OCSF_HTTP },
		{ "ssh_activity", OCSF_SSH },
		{ "detection_finding", OCSF_FINDING },
	};

	for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
		if (strcmp(classes[i].name, name) == 0)
			return classes[i].class;
	fail_msg("class %s", name);
	return OCSF_BASE;
}

static void context_of(struct ocsf *o, json_t *unmapped, char texts[][32])
{
	const char *key;
	json_t *value;
	size_t i = 0;

	json_object_foreach (unmapped, key, value) {
		if (json_is_integer(value))
			(void)snprintf(texts[i], 32, "%d", (int)json_integer_value(value));
		else
			(void)snprintf(texts[i], 32, "%s", json_is_true(value) ? "true" : "false");
		o->context[i] = (struct ocsf_pair){ key, texts[i] };
		i++;
	}
}

static int shorthand(struct buf *out, json_t *in)
{
	json_t *process = json_object_get(in, "process"), *dst = json_object_get(in, "dst");
	json_t *url = json_object_get(in, "url"), *src = json_object_get(in, "src");
	json_t *rule = json_object_get(in, "rule");
	char texts[OCSF_CONTEXT_MAX][32];
	struct ocsf o = {
		.class = class_named(text_of(in, "class")),
		.activity = text_of(in, "activity"),
		.severity = number_of(in, "severity"),
		.action = text_of(in, "action"),
		.process = text_of(process, "name"),
		.pid = number_of(process, "pid"),
		.src_ip = text_of(src, "ip"),
		.src_port = number_of(src, "port"),
		.dst = url			? text_of(url, "host")
		       : text_of(dst, "domain") ? text_of(dst, "domain")
						: text_of(dst, "ip"),
		.dst_port = number_of(url ? url : dst, "port"),
		.protocol = text_of(in, "protocol"),
		.rule = text_of(rule, "name"),
		.engine = text_of(rule, "type"),
		.method = text_of(in, "method"),
		.scheme = text_of(url, "scheme"),
		.path = text_of(url, "path"),
		.auth = text_of(in, "auth"),
		.title = text_of(in, "title"),
		.uid = text_of(in, "uid"),
		.message = text_of(in, "message"),
		.status_detail = text_of(in, "status_detail"),
	};

	context_of(&o, json_object_get(in, "unmapped"), texts);
	return ocsf_shorthand(out, &o);
}

static int log_line(struct buf *out, json_t *in)
{
	auto_buf struct buf message = { 0 };
	json_t *fields = json_object_get(in, "fields");
	auto_free char *sorted = json_dumps(fields, JSON_SORT_KEYS);
	json_t *in_order = json_loads(sorted, 0, NULL), *value;
	const char *key;
	int r;

	buf_init(&message, 4096);
	r = buf_puts(&message, text_of(in, "message"));
	json_object_foreach (in_order, key, value)
		r = buf_printf(&message, " %s=%s", key, json_string_value(value));
	if (r == 0)
		r = ocsf_log_line(out,
			(uint64_t)json_integer_value(json_object_get(in, "timestamp_ms")),
			text_of(in, "source"), text_of(in, "level"), text_of(in, "target"),
			buf_cstr(&message));
	buf_truncate(out, out->len - 1);
	json_decref(in_order);
	return r;
}

static bool vector_matches(const char *id, json_t *input, json_t *expect)
{
	auto_buf struct buf out = { 0 };
	json_t *tag = json_object_get(input, "severity_tag");
	json_t *line = json_object_get(input, "cli_log_line");
	int r;

	buf_init(&out, 65536);
	if (tag)
		r = buf_puts(&out, ocsf_severity_tag((unsigned int)json_integer_value(tag)));
	else
		r = line ? log_line(&out, line) : shorthand(&out, input);
	if (r == 0 && strcmp(buf_cstr(&out), text_of(expect, "line")) == 0)
		return true;
	print_message("%s: got %s\n", id, buf_cstr(&out));
	return false;
}

static void upstream_shorthand_vectors_pass(void **state)
{
	(void)state;
	assert_int_equal(vectors_run("tests/vectors/ocsf_shorthand.jsonl", vector_matches), 0);
}

static const struct event denied_connect = {
	.time_ms = 1775014132118,
	.level = EVENT_WARN,
	.adapter = EVENT_CONNECT,
	.action = EVENT_DENY,
	.host = "httpbin.org",
	.port = 443,
	.binary = "/usr/bin/curl",
	.pid = 64,
	.engine = "l4",
	.reason = "no matching network policy",
};

static const struct event denied_request = {
	.time_ms = 1775014132118,
	.level = EVENT_WARN,
	.adapter = EVENT_L7,
	.action = EVENT_DENY,
	.host = "api.github.com",
	.port = 443,
	.binary = "/usr/bin/curl",
	.pid = 64,
	.engine = "l7",
	.policy = "github_api",
	.method = "POST",
	.target = "/user/repos",
	.status = 403,
	.reason = "POST /user/repos not permitted by policy",
};

static void expect_shorthand(const struct event *e, const char *line)
{
	auto_buf struct buf out = { 0 };

	buf_init(&out, 65536);
	assert_int_equal(ocsf_render_shorthand(&out, e), 0);
	assert_string_equal(buf_cstr(&out), line);
}

static void events_become_upstream_lines(void **state)
{
	struct event allowed = denied_connect, audited = denied_request, loaded = { 0 };

	(void)state;
	expect_shorthand(&denied_connect,
		"[1775014132.118] [sandbox] [OCSF ] [ocsf] NET:OPEN [MED] DENIED /usr/bin/curl(64) "
		"-> httpbin.org:443 [policy:- engine:opa] [reason:no matching network policy]\n");
	allowed.action = EVENT_ALLOW;
	allowed.level = EVENT_INFO;
	allowed.reason = NULL;
	allowed.policy = "github_api";
	expect_shorthand(&allowed,
		"[1775014132.118] [sandbox] [OCSF ] [ocsf] NET:OPEN [INFO] ALLOWED "
		"/usr/bin/curl(64) -> httpbin.org:443 [policy:github_api engine:opa]\n");
	expect_shorthand(&denied_request,
		"[1775014132.118] [sandbox] [OCSF ] [ocsf] HTTP:POST [MED] DENIED "
		"/usr/bin/curl(64) "
		"-> POST http://api.github.com:443/user/repos [policy:github_api engine:l7] "
		"[reason:POST /user/repos not permitted by policy]\n");
	audited.action = EVENT_AUDIT;
	expect_shorthand(&audited,
		"[1775014132.118] [sandbox] [OCSF ] [ocsf] HTTP:POST [INFO] ALLOWED "
		"/usr/bin/curl(64) -> POST http://api.github.com:443/user/repos "
		"[policy:github_api engine:l7]\n");
	loaded.time_ms = denied_connect.time_ms;
	loaded.level = EVENT_INFO;
	loaded.adapter = EVENT_POLICY;
	loaded.message = "policy version 3 loaded";
	expect_shorthand(&loaded, "[1775014132.118] [gateway] [OCSF ] [ocsf] CONFIG:LOADED [INFO] "
				  "policy version 3 loaded\n");
	loaded.adapter = EVENT_LIFECYCLE;
	loaded.message = "sandbox started: x";
	expect_shorthand(&loaded, "[1775014132.118] [gateway] [OCSF ] [ocsf] LIFECYCLE:START "
				  "[INFO] openshell-sandbox success [msg:sandbox started: x]\n");
}

static void an_ssrf_denial_is_grave(void **state)
{
	struct event e = denied_connect;
	struct ocsf o;
	auto_buf struct buf text = { 0 };

	(void)state;
	buf_init(&text, 4096);
	e.engine = "ssrf";
	assert_int_equal(ocsf_from_event(&o, &e, &text), 0);
	assert_int_equal(o.severity, OCSF_HIGH);
}

static void a_tag_cannot_be_forged(void **state)
{
	struct event e = denied_connect;

	(void)state;
	e.policy = "a] [engine:opa";
	e.reason = "x\r\ny\x1b[31m";
	expect_shorthand(&e,
		"[1775014132.118] [sandbox] [OCSF ] [ocsf] NET:OPEN [MED] DENIED "
		"/usr/bin/curl(64) -> httpbin.org:443 "
		"[policy:a\\]\\u{20}\\[engine:opa engine:opa] [reason:x  y\\x1b[31m]\n");
}

static void no_field_acts_on_a_terminal(void **state)
{
	static const char evil[] = "a\x1b[2J\x7f\xe2\x80\xae\nb";
	struct event e = { .time_ms = 1,
		.action = EVENT_DENY,
		.message = evil,
		.host = evil,
		.addr = evil,
		.protocol = evil,
		.binary = evil,
		.policy = evil,
		.engine = evil,
		.reason = evil,
		.method = evil,
		.target = evil,
		.operation = evil };

	(void)state;
	for (unsigned int a = EVENT_LIFECYCLE; a <= EVENT_SOCKET; a++) {
		auto_buf struct buf out = { 0 };

		buf_init(&out, 1 << 20);
		e.adapter = (enum event_adapter)a;
		assert_int_equal(ocsf_render_shorthand(&out, &e), 0);
		assert_null(strpbrk(buf_cstr(&out), "\x1b\x7f"));
		assert_null(strstr(buf_cstr(&out), "\xe2\x80\xae"));
		assert_ptr_equal(strchr(buf_cstr(&out), '\n'), buf_cstr(&out) + out.len - 1);
	}
}

static void a_long_reason_is_cut_between_characters(void **state)
{
	struct event e = denied_connect;
	char reason[400];
	auto_buf struct buf out = { 0 };

	(void)state;
	buf_init(&out, 65536);
	memset(reason, 'r', sizeof(reason));
	memcpy(reason + 255, "\xc3\xa4", 2);
	reason[399] = '\0';
	e.reason = reason;
	assert_int_equal(ocsf_render_shorthand(&out, &e), 0);
	assert_non_null(strstr(buf_cstr(&out), "r...]\n"));
}

static json_t *as_json(const struct event *e)
{
	const struct ocsf_origin origin = { .sandbox = "demo", .id = "demo-1", .hostname = "box" };
	auto_buf struct buf out = { 0 };
	json_t *json;

	buf_init(&out, 1 << 20);
	assert_int_equal(ocsf_render_json(&out, e, &origin), 0);
	json = json_loads(buf_cstr(&out), JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(json);
	return json;
}

static json_int_t at(json_t *json, const char *key)
{
	return json_integer_value(json_object_get(json, key));
}

static void a_denied_request_is_an_http_activity(void **state)
{
	json_t *json = as_json(&denied_request);
	json_t *request = json_object_get(json, "http_request");

	(void)state;
	assert_int_equal(at(json, "class_uid"), 4002);
	assert_int_equal(at(json, "activity_id"), 6);
	assert_int_equal(at(json, "type_uid"), 400206);
	assert_int_equal(at(json, "category_uid"), 4);
	assert_int_equal(at(json, "time"), 1775014132118);
	assert_int_equal(at(json, "severity_id"), 3);
	assert_int_equal(at(json, "status_id"), 2);
	assert_int_equal(at(json, "action_id"), 2);
	assert_int_equal(at(json, "disposition_id"), 2);
	assert_string_equal(text_of(json, "disposition"), "Blocked");
	assert_string_equal(text_of(request, "http_method"), "POST");
	assert_string_equal(text_of(json_object_get(request, "url"), "path"), "/user/repos");
	assert_int_equal(at(json_object_get(json, "http_response"), "code"), 403);
	assert_string_equal(text_of(json_object_get(json, "metadata"), "version"), "1.8.0");
	assert_string_equal(text_of(json_object_get(json, "metadata"), "uid"), "demo-1");
	assert_string_equal(text_of(json_object_get(json, "firewall_rule"), "name"), "github_api");
	assert_string_equal(text_of(json, "message"),
		"L7_REQUEST deny POST api.github.com:443/user/repos reason=POST /user/repos not "
		"permitted by policy");
	json_decref(json);
}

static void an_answer_of_a_model_is_an_api_activity(void **state)
{
	struct event e = denied_connect;
	json_t *json;

	(void)state;
	e.level = EVENT_INFO;
	e.adapter = EVENT_L7;
	e.action = EVENT_ALLOW;
	e.reason = e.nearest = e.policy = NULL;
	e.method = "POST";
	e.target = "/v1/chat/completions";
	e.model = "m 1]";
	e.provider = "p";
	e.operation = "chat_completion";
	json = as_json(&e);
	assert_int_equal(at(json, "class_uid"), 4002); /* not answered yet */
	json_decref(json);
	e.latency_ms = 12;
	e.status = 200;
	expect_shorthand(&e, "[1775014132.118] [sandbox] [OCSF ] [ocsf] API:INFERENCE [INFO] Success m 1] via p 12ms "
			     "[chat_completion]\n");
	json = as_json(&e);
	assert_int_equal(at(json, "class_uid"), 6003);
	assert_int_equal(at(json, "type_uid"), 600399);
	assert_true(json_is_object(json_object_get(json, "api")));
	json_decref(json);
	e.status = 500;
	expect_shorthand(&e, "[1775014132.118] [sandbox] [OCSF ] [ocsf] API:INFERENCE [INFO] Failure m 1] via p 12ms "
			     "[chat_completion]\n");
}

/* Every enumeration comes with its text, and every class with the objects OCSF requires of it. */
static void every_adapter_gives_a_complete_event(void **state)
{
	static const char *const pairs[][2] = {
		{ "class_uid", "class_name" },
		{ "category_uid", "category_name" },
		{ "activity_id", "activity_name" },
		{ "type_uid", "type_name" },
		{ "severity_id", "severity" },
		{ "status_id", "status" },
	};
	static const struct {
		json_int_t class;
		const char *object;
	} required[] = { { 4001, "dst_endpoint" }, { 4002, "http_request" },
		{ 2004, "finding_info" }, { 5019, "device" }, { 6002, "app" } };

	(void)state;
	for (int a = EVENT_LIFECYCLE; a <= EVENT_SOCKET; a++) {
		struct event e = denied_connect;
		json_t *json;

		e.adapter = (enum event_adapter)a;
		json = as_json(&e);
		for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
			assert_true(json_is_integer(json_object_get(json, pairs[i][0])));
			assert_true(json_is_string(json_object_get(json, pairs[i][1])));
		}
		assert_int_equal(at(json, "type_uid"),
			at(json, "class_uid") * 100 + at(json, "activity_id"));
		for (size_t i = 0; i < ARRAY_SIZE(required); i++)
			assert_true(at(json, "class_uid") != required[i].class ||
				    json_object_get(json, required[i].object));
		assert_non_null(json_object_get(json, "metadata"));
		json_decref(json);
	}
}

static json_t *in(json_t *json, const char *key)
{
	json_t *found = json_object_get(json, key);

	if (!found)
		fail_msg("no %s", key);
	return found;
}

/* Every x_id has its text x beside it, wherever it stands. */
static void expect_twins(json_t *json)
{
	const char *key;
	json_t *value;
	size_t i;

	json_array_foreach (json, i, value)
		expect_twins(value);
	json_object_foreach (json, key, value) {
		size_t n = strlen(key);
		char twin[64];

		expect_twins(value);
		if (n < 4 || strcmp(key + n - 3, "_id") != 0)
			continue;
		(void)snprintf(twin, sizeof(twin), "%.*s", (int)n - 3, key);
		if (strcmp(twin, "activity") == 0)
			(void)snprintf(twin, sizeof(twin), "activity_name");
		assert_true(json_is_integer(value));
		if (!json_is_string(json_object_get(json, twin)))
			fail_msg("%s without %s", key, twin);
	}
}

static void every_number_has_its_text(void **state)
{
	static const enum event_action actions[] = { EVENT_NONE, EVENT_ALLOW, EVENT_DENY,
		EVENT_AUDIT };

	(void)state;
	for (unsigned int a = EVENT_LIFECYCLE; a <= EVENT_SOCKET; a++)
		for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
			struct event e = denied_request;
			json_t *json;

			e.adapter = (enum event_adapter)a;
			e.action = actions[i];
			e.protocol = "tcp";
			json = as_json(&e);
			expect_twins(json);
			json_decref(json);
		}
}

/* The list of openshell-upstream.md, section 5.2, for network and HTTP. */
static void a_connection_has_both_its_ends(void **state)
{
	static const char *const above[] = { "/usr/bin/make", "/bin/bash", NULL };
	struct event e = denied_connect;
	json_t *json, *who;

	(void)state;
	e.ancestors = above;
	json = as_json(&e);
	assert_string_equal(text_of(in(json, "src_endpoint"), "name"), "demo");
	assert_string_equal(text_of(in(json, "src_endpoint"), "uid"), "demo-1");
	assert_string_equal(text_of(in(json, "proxy_endpoint"), "name"), "openshell-proxy");
	assert_int_equal(at(in(json, "dst_endpoint"), "port"), e.port);
	assert_int_equal(at(json, "observation_point_id"), 1);
	assert_true(json_is_true(in(json, "is_src_dst_assignment_known")));
	who = in(in(json, "actor"), "process");
	assert_string_equal(text_of(who, "name"), e.binary);
	assert_int_equal(at(who, "pid"), e.pid);
	who = in(who, "parent_process");
	assert_string_equal(text_of(who, "name"), above[0]);
	assert_string_equal(text_of(in(who, "parent_process"), "name"), above[1]);
	json_decref(json);
}

/* What never reached the proxy does not name it, and what is not known is not there. */
static void nothing_is_invented(void **state)
{
	struct event e = denied_connect;
	json_t *json;

	(void)state;
	e.adapter = EVENT_SOCKET;
	e.binary = NULL;
	json = as_json(&e);
	assert_null(json_object_get(json, "proxy_endpoint"));
	assert_null(json_object_get(json, "actor"));
	assert_null(json_object_get(in(json, "src_endpoint"), "port"));
	assert_null(json_object_get(in(json, "src_endpoint"), "ip"));
	json_decref(json);
}

static void an_error_does_not_make_an_allowed_event_denied(void **state)
{
	struct event e = denied_connect;
	json_t *json;

	(void)state;
	e.action = EVENT_ALLOW;
	e.level = EVENT_ERROR;
	json = as_json(&e);
	assert_int_equal(at(json, "action_id"), 1);
	assert_string_equal(text_of(json, "disposition"), "Allowed");
	assert_string_equal(text_of(json, "status"), "Failure");
	json_decref(json);
}

static void a_finding_has_its_evidence(void **state)
{
	struct event e = denied_connect;
	json_t *json, *evidence;

	(void)state;
	e.adapter = EVENT_FS;
	e.addr = "/work/.git/hooks";
	e.nearest = "filesystem_policy.read_write";
	json = as_json(&e);
	evidence = json_array_get(in(json, "evidences"), 0);
	assert_string_equal(text_of(in(evidence, "file"), "path"), "/work/.git/hooks");
	assert_string_equal(text_of(in(in(evidence, "actor"), "process"), "name"), e.binary);
	assert_int_equal(at(json, "confidence_id"), 3);
	assert_true(json_is_true(in(json, "is_alert")));
	assert_string_equal(text_of(in(json, "remediation"), "desc"), e.nearest);
	json_decref(json);
}

static void folded_events_keep_their_count_and_times(void **state)
{
	struct event e = denied_connect;
	json_t *json;

	(void)state;
	e.count = 12;
	e.until_ms = e.time_ms + 900;
	json = as_json(&e);
	assert_int_equal(at(json, "count"), 12);
	assert_int_equal(at(json, "end_time") - at(json, "start_time"), 900);
	json_decref(json);
}

static void json_leaves_as_ascii(void **state)
{
	const struct ocsf_origin origin = { .sandbox = "demo" };
	struct event e = denied_connect;
	auto_buf struct buf out = { 0 };

	(void)state;
	buf_init(&out, 1 << 20);
	e.host = "a\xe2\x80\xae"
		 "b\x1b\x7f\xf3\xa0\x80\x81";
	assert_int_equal(ocsf_render_json(&out, &e, &origin), 0);
	for (size_t i = 0; i + 1 < out.len; i++)
		assert_in_range((unsigned char)buf_head(&out)[i], 0x20, 0x7e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(upstream_shorthand_vectors_pass),
		cmocka_unit_test(events_become_upstream_lines),
		cmocka_unit_test(an_ssrf_denial_is_grave),
		cmocka_unit_test(a_tag_cannot_be_forged),
		cmocka_unit_test(no_field_acts_on_a_terminal),
		cmocka_unit_test(a_long_reason_is_cut_between_characters),
		cmocka_unit_test(a_denied_request_is_an_http_activity),
		cmocka_unit_test(an_answer_of_a_model_is_an_api_activity),
		cmocka_unit_test(every_adapter_gives_a_complete_event),
		cmocka_unit_test(every_number_has_its_text),
		cmocka_unit_test(a_connection_has_both_its_ends),
		cmocka_unit_test(nothing_is_invented),
		cmocka_unit_test(an_error_does_not_make_an_allowed_event_denied),
		cmocka_unit_test(a_finding_has_its_evidence),
		cmocka_unit_test(folded_events_keep_their_count_and_times),
		cmocka_unit_test(json_leaves_as_ascii),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
