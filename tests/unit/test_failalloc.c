/*
 * Every entry point of parsers and engines, again and again, with the n-th allocation failing,
 * alone and with all behind it: no crash, no leak, and either an error or the answer that it gives
 * with all memory in the world; where it decides, a refusal instead. Never an allow that was not
 * one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <jansson.h>

#include "launcher/eval.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/event.h"
#include "lib/event_render.h"
#include "lib/glob.h"
#include "lib/graphql.h"
#include "lib/http1.h"
#include "lib/inference.h"
#include "lib/jsonrpc.h"
#include "lib/learn.h"
#include "lib/log.h"
#include "lib/logstore.h"
#include "lib/loop.h"
#include "lib/msg.h"
#include "lib/netaddr.h"
#include "lib/ocsf.h"
#include "lib/policy.h"
#include "lib/policy_diff.h"
#include "lib/policy_print.h"
#include "lib/policy_resolve.h"
#include "lib/policy_static.h"
#include "lib/policy_update.h"
#include "lib/profile.h"
#include "lib/proposal.h"
#include "lib/redact.h"
#include "lib/spec.h"
#include "lib/strv.h"
#include "lib/tuple.h"
#include "lib/websocket.h"
#include "lib/yaml.h"
#include "proxy/http2.h"
#include "tracer/dns.h"
#include "tracer/filehash.h"
#include "tracer/names.h"
#include "tracer/once.h"
#include "tracer/owner.h"
#include "tracer/peers.h"
#include "unit/failalloc.h"

enum { RESULT_MAX = 8192, ALLOCATIONS_MAX = 100000 };

/* What an entry point gave, as text. */
static char result[RESULT_MAX];

static int give(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static int give(const char *fmt, ...)
{
	char *to = result + strlen(result);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(to, (size_t)(result + sizeof(result) - to), fmt, ap);
	va_end(ap);
	return 0;
}

static const char policy_text[] =
	"version: 1\n"
	"filesystem_policy: {include_workdir: true, read_only: [/usr, /etc], read_write: [/tmp]}\n"
	"process: {run_as_user: sandbox}\n"
	"network_policies:\n"
	"  a:\n"
	"    name: named\n"
	"    endpoints:\n"
	"      - host: '*.example.com'\n"
	"        ports: [443, 80]\n"
	"        protocol: rest\n"
	"        enforcement: enforce\n"
	"        rules:\n"
	"          - allow: {method: GET, path: '/v1/**', query: {page: {any: ['1', '2*']}}}\n"
	"          - allow: {method: POST, path: '/v1/*/x'}\n"
	"        deny_rules:\n"
	"          - {method: GET, path: '/v1/secret/**'}\n"
	"        allowed_ips: [10.0.0.0/8]\n"
	"      - {host: g.example.org, port: 443, protocol: graphql, enforcement: enforce, access: "
	"read-only}\n"
	"      - {host: m.example.org, port: 443, protocol: mcp, enforcement: enforce,\n"
	"         rules: [{allow: {method: tools/call, tool: {any: [read, 'list*']}}}]}\n"
	"    binaries: [{path: /usr/bin/curl}, {path: '/opt/**/node'}]\n"
	"  b:\n"
	"    endpoints: [{host: plain.test, port: 7000}]\n"
	"    binaries: [{path: /usr/bin/git}]\n";

static const char other_text[] = "version: 1\n"
				 "network_policies:\n"
				 "  a:\n"
				 "    endpoints:\n"
				 "      - {host: api.example.com, port: 443, protocol: rest, "
				 "enforcement: enforce, access: full}\n"
				 "    binaries: [{path: /usr/bin/curl}]\n";

static struct policy *policy; /* made before anything fails */

/* ---- YAML, policies ---- */

static int run_yaml(void)
{
	static const char text[] = "a: &x [1, 'two', {three: null}]\nb: *x\nc: |\n  text\n";
	const struct yaml_node *root = NULL;
	struct arena arena;
	int r;

	arena_init(&arena, YAML_ARENA_MAX);
	r = yaml_load(&arena, text, strlen(text), NULL, NULL, &root);
	if (r == 0)
		(void)give("%u pairs, %u nodes", root->n, root->weight);
	arena_done(&arena);
	return r;
}

static int decide(const char *text, const char *host, const char *path)
{
	struct request rq = { .method = "GET", .path = path };
	struct intent in = {
		.host = host, .port = 443, .binary = "/usr/bin/curl", .request = path ? &rq : NULL
	};
	struct policy_findings f = { 0 };
	struct policy *p = NULL;
	struct decision d;
	int r = policy_load(text, strlen(text), &p, &f);

	if (r == 0) {
		policy_decide(p, &in, &d);
		(void)give(d.verdict == VERDICT_DENY ? "deny" : "allow");
	}
	policy_unref(p);
	policy_findings_done(&f);
	return r;
}

static int run_policy_allows(void)
{
	return decide(policy_text, "api.example.com", "/v1/a");
}

static int run_policy_denies(void)
{
	return decide(policy_text, "api.example.com", "/v1/secret/a");
}

static int run_policy_denies_host(void)
{
	return decide(policy_text, "evil.test", NULL);
}

/* More ports than the index has room for at first. */
static int run_policy_ports(void)
{
	static char text[1024];

	if (!text[0]) {
		(void)strcpy(text, "version: 1\nnetwork_policies: {p: {binaries: [{path: /usr/bin/curl}], "
				   "endpoints: [{host: many.test, ports: [443");
		for (int port = 1; port < 40; port++)
			(void)sprintf(text + strlen(text), ", %d", port);
		(void)strcat(text, "]}]}}\n");
	}
	return decide(text, "many.test", NULL);
}

/* What the index sorts: many policies for one host, many wildcards under one name. */
static int run_policy_many(void)
{
	static char text[4096];

	if (!text[0]) {
		(void)strcpy(text, "version: 1\nnetwork_policies:\n");
		for (int i = 0; i < 9; i++)
			(void)sprintf(text + strlen(text),
				"  p%d: {endpoints: [{host: one.test, port: 443}, {host: '%s%d%s.wide.test', port: 443}], "
				"binaries: [{path: /usr/bin/p%d}, {path: '/usr/bin/c*'}]}\n",
				i, i % 2 ? "w" : "*-", i, i % 2 ? "*" : "", i);
	}
	return decide(text, "one.test", NULL);
}

static int run_policy_registry(void)
{
	return decide("version: 1\n"
		      "network_middlewares:\n"
		      "  m: {middleware: openshell/regex, on_error: fail_open,\n"
		      "      endpoints: {include: ['*.test'], exclude: [z.test]}}\n"
		      "network_policies:\n"
		      "  g:\n"
		      "    endpoints:\n"
		      "      - {host: g.test, port: 443, path: '/g/**', protocol: graphql, enforcement: enforce, access: full,\n"
		      "         persisted_queries: allow_registered, credential_binding: {provider: p},\n"
		      "         graphql_persisted_queries: {x: {operation_type: query, operation_name: X, fields: [a, b]}}}\n"
		      "    binaries: [{path: /usr/bin/curl}]\n",
		"g.test", NULL);
}

/* /bin/sh is a link wherever we run: what it leads to is in the answer. */
static int run_policy_resolve(void)
{
	static const char text[] = "version: 1\nnetwork_policies: {p: {endpoints: [{host: h, port: 1}], "
				   "binaries: [{path: /bin/sh}]}}\n";
	auto_free char *out = NULL;
	int r = policy_resolve_binaries(text, strlen(text), &out);

	return r < 0 ? r : give("%s", out);
}

static int run_policy_static(void)
{
	auto_free char *out = NULL;
	struct err err = { 0 };
	int r = policy_static_complete(policy_text, other_text, &out, &err);

	return r < 0 ? r : give("%s", out);
}

static int run_policy_is_wrong(void)
{
	return decide(
		"version: 1\nnetwork_policies:\n  p:\n    endpoints: [{hst: a, port: 99999}]\n",
		"a", NULL);
}

static int print(const struct policy_doc *d)
{
	struct buf out;
	int r;

	buf_init(&out, 1 << 20);
	r = policy_print(&out, d);
	if (r == 0 && buf_cstr(&out))
		(void)give("%s", buf_cstr(&out));
	else
		r = -ENOMEM;
	buf_done(&out);
	return r;
}

static int run_policy_print(void)
{
	auto_policy_doc struct policy_doc *d = NULL;
	int r = policy_doc_parse(policy_text, strlen(policy_text), &d, NULL);

	return r < 0 ? r : print(d);
}

static int run_policy_update(void)
{
	auto_policy_doc struct policy_doc *d = NULL;
	char *endpoints[] = { (char *)"new.test:443:read-only:rest:enforce:allowed-ip=10.1.0.0/16", NULL };
	char *rules[] = { (char *)"nobody", NULL };
	char *allow[] = { (char *)"new.test:443:POST:/v2/**", NULL };
	char *remove[] = { (char *)"plain.test:7000", NULL };
	char *binaries[] = { (char *)"/usr/bin/wget", NULL };
	struct update_flags f = { .add_endpoint = endpoints,
		.add_allow = allow,
		.remove_endpoint = remove,
		.remove_rule = rules,
		.binary = binaries };
	static struct merge_report report;
	struct update_plan plan;
	struct err err = { 0 };
	int r = policy_doc_parse(policy_text, strlen(policy_text), &d, NULL);

	if (r == 0)
		r = update_plan_make(d, &f, &plan, &err);
	if (r == 0)
		r = policy_merge(d, plan.ops, plan.n, &report, &err);
	return r < 0 ? r : print(d);
}

static int run_policy_diff(void)
{
	auto_policy_doc struct policy_doc *a = NULL, *b = NULL;
	struct policy_diff diff = { 0 };
	int r = policy_doc_parse(policy_text, strlen(policy_text), &a, NULL);

	if (r == 0)
		r = policy_doc_parse(other_text, strlen(other_text), &b, NULL);
	if (r == 0)
		r = policy_diff(a, b, &diff);
	if (r == 0)
		(void)give("%zu %zu %zu", strv_len(diff.gained), strv_len(diff.lost),
			strv_len(diff.changed));
	policy_diff_done(&diff);
	return r;
}

/* ---- questions: everything that a request goes through ---- */

static json_t *question; /* made before anything fails */

static int run_question(void)
{
	json_t *answer = eval_question(policy, question);
	const char *decision = json_string_value(json_object_get(answer, "decision"));
	int r = decision ? give("%s", decision) : -ENOMEM;

	json_decref(answer);
	return r;
}

/* ---- protocols ---- */

static int run_graphql(void)
{
	static const char body[] =
		"{\"query\":\"query A($x: Int) { viewer { login } ...F } "
		"fragment F on Query { repo(id: $x) { name } } mutation B { del }\","
		"\"operationName\":\"A\"}";
	auto_graphql struct graphql *g = NULL;
	int r = graphql_parse_body(body, strlen(body), &g);
	const struct graphql_facts *f;

	if (r < 0)
		return r;
	f = graphql_facts(g);
	return f->error ? give("deny") : give("%zu operations", f->n_ops);
}

static int run_jsonrpc(void)
{
	static const char body[] =
		"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":"
		"\"read\",\"arguments\":{\"a\":[1,2,{\"b\":null}]}}},"
		"{\"jsonrpc\":\"2.0\",\"method\":\"ping\"}]";
	const struct jsonrpc_options opt = { .is_mcp = true, .strict_tool_names = true };
	auto_jsonrpc struct jsonrpc *j = NULL;
	int r = jsonrpc_parse(&opt, body, strlen(body), &j);
	const struct jsonrpc_facts *f;

	if (r < 0)
		return r;
	f = jsonrpc_facts(j);
	return f->error ? give("deny") : give("%zu calls", f->n_calls);
}

static int run_inference(void)
{
	static const char body[] = "{\"a\":[{\"model\":\"x\"}],\"mod\\u0065l\":\"y\",\"b\":1.5}";
	auto_buf struct buf out;
	const char *why = NULL;
	int r;

	buf_init(&out, 4096);
	r = inference_set_model(&out, body, strlen(body), "m", &why);
	if (r == 0)
		r = inference_path(&out, INFERENCE_OPENAI, "/v1", "m", "/v1/models?limit=1", 18);
	return r < 0 ? r : give("%.*s", (int)out.len, buf_head(&out));
}

static int run_glob(void)
{
	auto_glob struct glob *a = NULL, *b = NULL;
	const char *why = NULL;
	int r = glob_compile("/a/{b,c*}/**/[x-z]?", GLOB_PATH, &a, &why);

	if (r == 0)
		r = glob_compile("/a/*/q/**", GLOB_PATH, &b, &why);
	if (r == 0)
		(void)give("%d %d", glob_match(a, "/a/b/q/xx", 9), glob_match(b, "/a/b", 4));
	/* One that cannot be told is taken for an overlap. */
	return r < 0 ? r : glob_overlaps(a, b) < 0 ? -ENOMEM : 0;
}

static int run_http1(void)
{
	static const char head[] =
		"POST /a?b=c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
	static const char body[] = "5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n";
	static struct http1_request rq;
	struct http1_send s = { .method = "POST",
		.path = "/a",
		.query = "b=c",
		.query_len = 3,
		.authority = &rq.authority,
		.framing = HTTP1_CHUNKED };
	struct chunked c;
	const char *why, *data;
	struct buf out;
	size_t used, n, at = 0;
	int r = http1_request_parse(&rq, head, strlen(head), &why);

	buf_init(&out, 65536);
	if (r == 0)
		r = http1_request_write(&out, &s, rq.fields.list, rq.fields.n);
	chunked_init(&c);
	while (r == 0 || r == CHUNKED_DATA) {
		r = chunked_next(&c, body + at, strlen(body) - at, &used, &data, &n, &why);
		at += used;
		if (r == CHUNKED_DATA && chunked_put(&out, data, n) < 0)
			r = -ENOMEM;
		if (r == CHUNKED_MORE)
			r = -EIO;
	}
	if (r == CHUNKED_END && buf_cstr(&out))
		r = give("%s%.*s", buf_cstr(&out), (int)c.trailers.len, buf_head(&c.trailers));
	else
		r = r < 0 ? r : -ENOMEM;
	chunked_done(&c);
	buf_done(&out);
	return r;
}

static void on_request(void *arg, struct h2_stream *st, const struct http1_request *rq,
	unsigned int status, const char *why)
{
	struct http1_answer a = { .status = rq ? 200 : status, .framing = HTTP1_LENGTH };

	(void)arg;
	(void)why;
	if (rq)
		(void)give("%s ", rq->effective_method);
	if (h2_respond(st, &a, NULL, 0) < 0)
		h2_reset(st, 2);
}

static void on_response(
	void *arg, struct h2_stream *st, const struct http1_response *rs, const char *why)
{
	(void)arg;
	(void)st;
	(void)why;
	if (rs)
		(void)give("%u ", rs->status);
}

static const struct h2_handler h2_handler = { .on_request = on_request,
	.on_response = on_response };

static int h2_carry(struct h2 *from, struct h2 *to)
{
	struct buf wire;
	int r;

	buf_init(&wire, 512 * 1024);
	r = h2_send(from, &wire);
	if (r >= 0 && wire.len)
		r = h2_recv(to, buf_head(&wire), wire.len);
	buf_done(&wire);
	return r < 0 ? r : 0;
}

static int run_http2(void)
{
	static const struct url_authority authority = { .host = "h", .port = 443 };
	static const struct http1_header list[] = {
		{ .name = "accept", .name_len = 6, .value = "x", .value_len = 1 }
	};
	struct http1_send s = {
		.method = "GET", .path = "/", .authority = &authority, .framing = HTTP1_NO_BODY
	};
	struct h2 *server = h2_new(H2_SERVER, &h2_handler, NULL),
		  *client = h2_new(H2_CLIENT, &h2_handler, NULL);
	struct h2_stream *st;
	int r = server && client ? h2_request(client, &s, true, list, 1, &st) : -ENOMEM;

	for (int i = 0; i < 3 && r == 0; i++) {
		r = h2_carry(client, server);
		if (r == 0)
			r = h2_carry(server, client);
	}
	h2_free(server);
	h2_free(client);
	return r == 0 && !strchr(result, '2') ? -EIO : r;
}

static int run_websocket(void)
{
	static const char mask[4] = { 1, 2, 3, 4 };
	struct ws_parser p;
	struct ws_item item;
	struct buf frames;
	size_t used, at = 0;
	int r;

	buf_init(&frames, 65536);
	ws_parser_init(&p, false, true);
	r = ws_write_frame(&frames, WS_TEXT, "hello", 5, (const uint8_t *)mask);
	if (r == 0)
		r = ws_write_close(&frames, (enum ws_close)1000, "bye", (const uint8_t *)mask);
	while (r >= 0 && at < frames.len) {
		r = ws_next(&p, buf_head(&frames) + at, frames.len - at, &used, &item);
		at += used;
		if (r > 0)
			(void)give("%d:%zu ", r, item.len);
		if (r == WS_MORE && !used)
			break;
	}
	ws_parser_done(&p);
	buf_done(&frames);
	return r < 0 ? r : 0;
}

static int run_redact(void)
{
	struct buf out;
	int r;

	buf_init(&out, 4096);
	r = redact(&out, "a sk-0123456789abcdef b", 23);
	if (r >= 0 && buf_cstr(&out))
		r = give("%s", buf_cstr(&out));
	else
		r = -ENOMEM;
	buf_done(&out);
	return r;
}

/* ---- events, the log, what is learned ---- */

static const char *const ancestors[] = { "/usr/bin/git", "/usr/bin/bash", NULL };

static const struct event event = { .time_ms = 1775014132118,
	.level = EVENT_WARN,
	.adapter = EVENT_L7,
	.action = EVENT_DENY,
	.host = "api.example.com",
	.port = 443,
	.binary = "/usr/bin/curl",
	.pid = 7,
	.ancestors = ancestors,
	.policy = "p",
	.engine = "l7",
	.method = "GET",
	.target = "/v1/items/12345",
	.reason = "not permitted\x1b" };

static int run_event(void)
{
	struct event_record record = { 0 };
	const struct ocsf_origin origin = { .sandbox = "s" };
	struct buf line, text;
	int r;

	buf_init(&line, 65536);
	buf_init(&text, 65536);
	r = event_format(&line, &event);
	if (r == 0)
		r = event_parse(buf_head(&line), line.len - 1, &record);
	if (r == 0)
		r = event_render_text(&text, &record.event, false);
	if (r == 0)
		r = ocsf_render_shorthand(&text, &record.event);
	if (r == 0)
		r = ocsf_render_json(&text, &record.event, &origin);
	if (r == 0 && buf_cstr(&text))
		r = give("%s", buf_cstr(&text));
	else if (r == 0)
		r = -ENOMEM;
	event_record_done(&record);
	buf_done(&line);
	buf_done(&text);
	return r;
}

/* What log_flush() says is written is in the file, whole lines, each. */
static int run_log(void)
{
	auto_close int fd = memfd_create("log", MFD_CLOEXEC);
	struct log *log = log_new(fd);
	struct event e = event;
	static char text[65536];
	int lines = 0, r = log ? 0 : -ENOMEM;
	ssize_t n;

	for (int i = 0; log && i < 8; i++) {
		e.pid = (uint32_t)i;
		log_event(log, &e);
	}
	if (log)
		r = log_flush(log);
	n = pread(fd, text, sizeof(text), 0);
	for (ssize_t i = 0; i < n; i++)
		lines += text[i] == '\n';
	if (r == 0)
		(void)give("%d", lines);
	log_free(log);
	return r < 0 ? r : 0;
}

static int log_dir = -1; /* with a segment, made before anything fails */

static int count_line(void *arg, const struct event_peek *peek, const char *line, size_t len)
{
	(void)peek;
	(void)line;
	(void)len;
	++*(int *)arg;
	return 0;
}

static int run_logstore(void)
{
	struct logstore_query q = { .last = 5 };
	struct logstore_view *v = NULL;
	struct logstore *s = NULL;
	struct err err = { 0 };
	int lines = 0, r = logstore_open(&s, log_dir, 1, &err);

	if (r == 0)
		r = logstore_view_open(&v, log_dir);
	if (r == 0)
		r = logstore_read(v, &q, count_line, &lines);
	if (r == 0)
		(void)give("%d", lines);
	logstore_view_free(v);
	logstore_free(s);
	return r;
}

static int run_learn(void)
{
	auto_policy_doc struct policy_doc *statics = NULL, *d = NULL;
	struct learn *l = learn_new(true);
	struct event e = event;
	int r = l ? 0 : -ENOMEM;

	for (int i = 0; i < 12 && r == 0; i++) {
		char path[32];

		(void)snprintf(path, sizeof(path), "/v1/items/%d", 1000 + i);
		e.target = path;
		e.action = EVENT_AUDIT;
		e.level = EVENT_INFO;
		r = learn_event(l, &e);
	}
	if (r == 0)
		r = policy_doc_parse(other_text, strlen(other_text), &statics, NULL);
	if (r == 0)
		r = learn_policy(l, statics, &d);
	if (r == 0)
		r = print(d);
	learn_free(l);
	return r;
}

static int run_proposals(void)
{
	struct proposals *p = proposals_new();
	const struct proposal *const *list;
	size_t n = 0;
	int r = p ? proposals_event(p, &event) : -ENOMEM;

	list = r == 0 ? proposals_list(p, &n) : NULL;
	if (list && n == 1)
		(void)give("%s", list[0]->host);
	else
		r = r < 0 ? r : -ENOMEM;
	proposals_free(p);
	return r;
}

/* ---- metadata, messages ---- */

static int run_spec(void)
{
	static const char json[] =
		"{\"id\":\"i\",\"name\":\"n\",\"created_at_ms\":1,\"workdir\":\"/w\",\"ro\":[\"/"
		"a\",\"/b\"],"
		"\"env\":[\"A=b\"],\"keep\":true,\"intercept\":\"seccomp\",\"command\":[\"x\"]}";
	auto_spec struct sandbox_spec s = { 0 };
	auto_free char *again = NULL;
	struct err err = { 0 };
	int r = spec_from_json(&s, json, strlen(json), &err);

	if (r < 0)
		return r;
	again = spec_to_json(&s);
	return again ? give("%s", again) : -ENOMEM;
}

static int run_profile(void)
{
	static const char text[] =
		"# head\nprofile:\n  name: x\n  commands: [a, b]\n  home_read_write: [.x]\n"
		"version: 1\nnetwork_policies: {}\n";
	auto_free char *made = NULL;
	struct profile p = { 0 };
	struct err err = { 0 };
	int r = profile_parse(&p, text, strlen(text), &err);

	if (r < 0)
		return r;
	made = profile_policy(&p, "/usr/bin/x", "/usr/lib/x");
	r = made ? give("%s", made) : -ENOMEM;
	profile_done(&p);
	return r;
}

static int run_message(void)
{
	char *parents[] = { (char *)"/usr/bin/git", (char *)"/usr/bin/bash", NULL };
	const struct tuple t = { .mode = TUPLE_TRANSPARENT,
		.source = { .family = AF_INET },
		.source_port = 9,
		.host = "h",
		.port = 443,
		.binary = "/usr/bin/curl",
		.ancestors = parents,
		.sha256 = "x" };
	struct msg_out out;
	struct msg_in in = { 0 };
	struct tuple got = { 0 };
	int sv[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return -errno;
	msg_out_init(&out, 1, 2);
	tuple_put(&out, &t);
	r = msg_send(sv[0], &out);
	msg_out_done(&out);
	(void)close(sv[0]);
	if (r == 0) {
		r = msg_recv(sv[1], &in);
		r = r <= 0 ? -EIO : tuple_get(&in, &got) ? 0 : -ENOMEM;
	}
	if (r == 0)
		(void)give("%s %zu", got.binary, strv_len(got.ancestors));
	free(got.ancestors);
	if (in.body)
		msg_in_free(&in);
	(void)close(sv[1]);
	return r;
}

/* ---- the supervisor's tables ---- */

static int run_names(void)
{
	static const uint8_t query[] =
		"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01h\x04test\x00\x00\x01\x00\x01";
	uint8_t answer[DNS_MESSAGE_MAX];
	struct names *n = names_new();
	struct netaddr v4, v6;
	int r = n ? names_assign(n, "h.test", &v4, &v6) : -ENOMEM;
	size_t len;

	if (r == 0) {
		len = dns_answer(n, "me", query, sizeof(query) - 1, answer);
		(void)give("%s %zu %d", names_lookup(n, &v4) ?: "?", len,
			len > 3 ? answer[3] & 0xf : -1);
	}
	names_free(n);
	return r;
}

/* Without memory something is told again rather than not at all. */
static int run_once(void)
{
	struct once *o = once_new();
	int r = o ? 0 : -ENOMEM;

	if (o && !once_is_new(o, "udp", "h", 1, "/b"))
		(void)give("lost");
	once_free(o);
	return r;
}

static int run_peers(void)
{
	const struct sockaddr_in asked = { .sin_family = AF_INET, .sin_port = 9 };
	auto_close int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_storage got = { 0 };
	struct peers *p = peers_new();
	int r = p ? peers_set(p, sock, 7, (const struct sockaddr *)&asked, sizeof(asked)) : -ENOMEM;

	if (r == 0)
		(void)peers_get(p, sock, &got);
	peers_free(p);
	return r;
}

static void on_hashed(void *arg)
{
	*(bool *)arg = true;
}

/* An identity that could not be learned is refused, by error or by reason. */
static int run_owner(void)
{
	struct loop *loop = loop_new();
	struct filehash *hashes = loop ? filehash_new(loop) : NULL;
	bool has_hashed = false;
	struct owners *o = hashes ? owners_new(hashes, getppid(), on_hashed, &has_hashed) : NULL;
	const struct owner *who = NULL;
	int r = o ? owner_get(o, getpid(), &who) : -ENOMEM;

	while (r == -EINPROGRESS) {
		has_hashed = false;
		while (!has_hashed && r == -EINPROGRESS)
			r = loop_turn(loop, 5000) < 0 ? -EIO : r;
		if (r == -EINPROGRESS)
			r = owner_get(o, getpid(), &who);
	}
	if (r == 0)
		(void)(who->denied ? give("deny") : give("%s %s", who->binary, who->sha256));
	owners_free(o);
	if (hashes)
		filehash_free(hashes);
	if (loop)
		loop_free(loop);
	return r;
}

/* ---- the loop over the n-th ---- */

struct entry {
	const char *name;
	int (*run)(void);
	bool is_error; /* with all the memory, too */
	const char *question;
};

static const struct entry entries[] = {
	{ "yaml", run_yaml, .is_error = false },
	{ "policy allows", run_policy_allows, .is_error = false },
	{ "policy denies", run_policy_denies, .is_error = false },
	{ "policy denies a host", run_policy_denies_host, .is_error = false },
	{ "policy of many ports", run_policy_ports, .is_error = false },
	{ "policies of one host", run_policy_many, .is_error = false },
	{ "policy with a registry", run_policy_registry, .is_error = false },
	{ "policy resolve", run_policy_resolve, .is_error = false },
	{ "policy static", run_policy_static, .is_error = false },
	{ "policy is wrong", run_policy_is_wrong, .is_error = true },
	{ "policy print", run_policy_print, .is_error = false },
	{ "policy update", run_policy_update, .is_error = false },
	{ "policy diff", run_policy_diff, .is_error = false },
	{ "connection", run_question,
		.question = "{\"host\":\"api.example.com\",\"port\":443,\"binary\":\"/usr/bin/"
			    "curl\"}" },
	{ "address", run_question,
		.question = "{\"host\":\"api.example.com\",\"port\":443,\"binary\":\"/usr/bin/"
			    "curl\",\"ips\":[\"127.0.0.1\"]}" },
	{ "request", run_question,
		.question = "{\"host\":\"api.example.com\",\"port\":443,\"binary\":\"/usr/bin/"
			    "curl\",\"method\":\"GET\","
			    "\"path\":\"/v1/a?page=1\",\"headers\":{\"Accept\":\"x\"}}" },
	{ "denied request", run_question,
		.question = "{\"host\":\"api.example.com\",\"port\":443,\"binary\":\"/usr/bin/"
			    "curl\",\"method\":\"GET\","
			    "\"path\":\"/v1/secret/a?page=1\"}" },
	{ "denied query", run_question,
		.question = "{\"host\":\"api.example.com\",\"port\":443,\"binary\":\"/usr/bin/"
			    "curl\",\"method\":\"GET\","
			    "\"path\":\"/v1/a?page=9\"}" },
	{ "raw request", run_question,
		.question = "{\"host\":\"api.example.com\",\"port\":443,\"binary\":\"/usr/bin/"
			    "curl\",\"raw_b64\":"
			    "\"R0VUIC92MS9hP3BhZ2U9MSBIVFRQLzEuMQ0KSG9zdDogYXBpLmV4YW1wbGUuY29tDQoN"
			    "Cg==\"}" },
	{ "graphql query", run_question,
		.question = "{\"host\":\"g.example.org\",\"port\":443,\"binary\":\"/usr/bin/"
			    "curl\",\"method\":\"POST\","
			    "\"path\":\"/graphql\",\"body\":\"{\\\"query\\\":\\\"query { viewer { "
			    "a } }\\\"}\"}" },
	{ "graphql mutation", run_question,
		.question = "{\"host\":\"g.example.org\",\"port\":443,\"binary\":\"/usr/bin/"
			    "curl\",\"method\":\"POST\","
			    "\"path\":\"/graphql\",\"body\":\"{\\\"query\\\":\\\"mutation { del "
			    "}\\\"}\"}" },
	{ "tool", run_question,
		.question = "{\"host\":\"m.example.org\",\"port\":443,\"binary\":\"/usr/bin/"
			    "curl\",\"method\":\"POST\","
			    "\"path\":\"/\",\"headers\":{\"Content-Type\":\"application/"
			    "json\"},\"body\":\"{\\\"jsonrpc\\\":"
			    "\\\"2.0\\\",\\\"id\\\":1,\\\"method\\\":\\\"tools/"
			    "call\\\",\\\"params\\\":{\\\"name\\\":\\\"list_x\\\"}}\"}" },
	{ "other tool", run_question,
		.question = "{\"host\":\"m.example.org\",\"port\":443,\"binary\":\"/usr/bin/"
			    "curl\",\"method\":\"POST\","
			    "\"path\":\"/\",\"headers\":{\"Content-Type\":\"application/"
			    "json\"},\"body\":\"{\\\"jsonrpc\\\":"
			    "\\\"2.0\\\",\\\"id\\\":1,\\\"method\\\":\\\"tools/"
			    "call\\\",\\\"params\\\":{\\\"name\\\":\\\"write\\\"}}\"}" },
	{ "graphql", run_graphql, .is_error = false },
	{ "json-rpc", run_jsonrpc, .is_error = false },
	{ "inference", run_inference, .is_error = false },
	{ "glob", run_glob, .is_error = false },
	{ "http/1", run_http1, .is_error = false },
	{ "http/2", run_http2, .is_error = false },
	{ "websocket", run_websocket, .is_error = false },
	{ "redact", run_redact, .is_error = false },
	{ "event", run_event, .is_error = false },
	{ "log", run_log, .is_error = false },
	{ "log store", run_logstore, .is_error = false },
	{ "learn", run_learn, .is_error = false },
	{ "proposals", run_proposals, .is_error = false },
	{ "spec", run_spec, .is_error = false },
	{ "profile", run_profile, .is_error = false },
	{ "message", run_message, .is_error = false },
	{ "names", run_names, .is_error = false },
	{ "once", run_once, .is_error = false },
	{ "peers", run_peers, .is_error = false },
	{ "owner", run_owner, .is_error = false },
};

static int run_with(const struct entry *e, unsigned long fail_at, bool and_after)
{
	long live = failalloc.live;
	int r;

	result[0] = '\0';
	failalloc_begin(fail_at, and_after);
	r = e->run();
	failalloc.fail_at = 0;
	if (failalloc.live != live)
		fail_msg("%s: allocation %lu of it fails: %ld blocks leak", e->name, fail_at,
			failalloc.live - live);
	return r;
}

static void check(const struct entry *e, unsigned long n, bool and_after, const char *expected)
{
	int r = run_with(e, n, and_after);

	if (e->is_error ? r >= 0
			: r >= 0 && strcmp(result, expected) != 0 && strcmp(result, "deny") != 0)
		fail_msg("%s: allocation %lu%s fails: %d '%s' instead of '%s'", e->name, n,
			and_after ? " and all behind it" : "", r, result, expected);
}

/* The test of each entry; its allocations are counted as it goes. */
static void fails_closed_without_memory(void **state)
{
	const struct entry *e = *state;
	static char expected[RESULT_MAX];
	unsigned long n = 0;
	int r;

	if (e->question)
		question = json_loads(e->question, 0, NULL);
	(void)e->run(); /* what is made once for all is made */
	r = run_with(e, 0, false);
	if (e->is_error != (r < 0) || (!e->is_error && !e->question && !result[0] &&
					      strcmp(e->name, "once") && strcmp(e->name, "peers")))
		fail_msg("%s: %d '%s'", e->name, r, result);
	memcpy(expected, result, sizeof(expected));
	do {
		check(e, ++n, false, expected);
		if (failalloc.failed)
			check(e, n, true, expected);
	} while (failalloc.failed && n < ALLOCATIONS_MAX);
	assert_true(n < ALLOCATIONS_MAX);
	if (e->question)
		json_decref(question);
}

static int make_log(char *dir)
{
	struct logstore *s = NULL;
	struct err err = { 0 };
	struct event e = event;
	struct log *log;

	if (!mkdtemp(dir) || (log_dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 ||
		logstore_open(&s, log_dir, 1, &err) < 0)
		return -1;
	log = log_new(logstore_open_writer(s));
	for (e.pid = 0; e.pid < 8; e.pid++)
		log_event(log, &e);
	log_free(log);
	logstore_free(s);
	return 0;
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(entries)];
	char dir[] = "/tmp/test_failalloc_XXXXXX";
	int failed;

	for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
		tests[i] = (struct CMUnitTest){ .name = entries[i].name,
			.test_func = fails_closed_without_memory,
			.initial_state = (void *)(uintptr_t)&entries[i] };
	if (policy_load(policy_text, strlen(policy_text), &policy, NULL) < 0 || make_log(dir) < 0)
		return 1;
	failed = _cmocka_run_group_tests("failalloc", tests, ARRAY_SIZE(tests), NULL, NULL);
	(void)unlinkat(log_dir, "00000001-0000000000001.log", 0);
	(void)rmdir(dir);
	return failed;
}
