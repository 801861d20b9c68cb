#include "launcher/eval.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/graphql.h"
#include "lib/http1.h"
#include "lib/jsonrpc.h"
#include "lib/str.h"
#include "lib/url.h"

struct bytes {
	const char *data; /* NULL: not given */
	size_t len;
};

struct eval {
	const struct policy *policy;
	const json_t *q;
	json_t *out; /* the answer so far */
	struct intent in;
	struct url_authority host;
	const char *ancestors[EVAL_ANCESTORS_MAX + 1];
	struct netaddr addrs[EVAL_ADDRS_MAX];
	struct decision d;
	/* the request, wherever it came from */
	struct request request;
	struct http1_request head;
	struct http1_header headers[HTTP1_HEADERS_MAX];
	size_t n_headers;
	char method[HTTP1_METHOD_MAX + 1];
	struct bytes target;
	struct buf raw, body;
	bool is_cut; /* the body is not complete: enough where only the head is judged */
	struct url_target url;
	struct url_query query;
	struct inspection look;
	struct graphql *graphql;
	struct jsonrpc *jsonrpc;
};

/* The question makes no sense: false, and the text is in the answer. */
static bool __attribute__((format(printf, 2, 3))) wrong(struct eval *e, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)json_object_set_new(e->out, "error", json_string(text));
	return false;
}

/* The proxy would have refused before any rule was asked. */
static bool __attribute__((format(printf, 3, 4)))
refuse(struct eval *e, enum decision_layer layer, const char *fmt, ...)
{
	va_list ap;

	e->d.verdict = VERDICT_DENY;
	e->d.layer = layer;
	e->d.rule = -1;
	va_start(ap, fmt);
	(void)vsnprintf(e->d.reason, sizeof(e->d.reason), fmt, ap);
	va_end(ap);
	e->d.nearest[0] = '\0';
	return false;
}

/* --- reading the question --- */

static struct bytes string_of(const struct eval *e, const char *key)
{
	const json_t *v = json_object_get(e->q, key);

	if (!json_is_string(v))
		return (struct bytes){ 0 };
	return (struct bytes){ json_string_value(v), json_string_length(v) };
}

static bool has_nul(struct bytes b)
{
	return b.data && memchr(b.data, '\0', b.len) != NULL;
}

/* Every key is one we know and of its type: a typo must not be an answer to another question. */
static bool check_keys(struct eval *e)
{
	static const struct {
		const char *name;
		json_type type;
	} keys[] = {
		{ "host", JSON_STRING },
		{ "port", JSON_INTEGER },
		{ "binary", JSON_STRING },
		{ "ancestors", JSON_ARRAY },
		{ "ips", JSON_ARRAY },
		{ "method", JSON_STRING },
		{ "path", JSON_STRING },
		{ "headers", JSON_OBJECT },
		{ "body", JSON_STRING },
		{ "body_b64", JSON_STRING },
		{ "raw_b64", JSON_STRING },
		{ "ws_text", JSON_STRING },
		{ "policy", JSON_STRING },
	};
	const char *key;
	json_t *v;

	json_object_foreach ((json_t *)e->q, key, v) {
		size_t i = 0;

		while (i < ARRAY_SIZE(keys) && strcmp(keys[i].name, key) != 0)
			i++;
		if (i == ARRAY_SIZE(keys) && strcmp(key, "id") != 0)
			return wrong(e, "unknown key '%.80s'", key);
		if (i < ARRAY_SIZE(keys) && !json_is_null(v) && json_typeof(v) != keys[i].type)
			return wrong(e, "'%s' has the wrong type", key);
	}
	return true;
}

static bool read_host(struct eval *e)
{
	struct bytes host = string_of(e, "host");
	json_int_t port = json_integer_value(json_object_get(e->q, "port"));
	const char *why;

	if (!host.data)
		return wrong(e, "'host' is missing");
	if (port < 1 || port > UINT16_MAX)
		return wrong(e, "'port' must be a number from 1 to 65535");
	e->in.port = (uint16_t)port;
	if (url_host_parse(host.data, host.len, &e->host, &why) < 0)
		return refuse(e, LAYER_L4, "invalid host: %s", why);
	e->in.host = e->host.host;
	return true;
}

static bool read_caller(struct eval *e)
{
	const json_t *list = json_object_get(e->q, "ancestors");
	struct bytes binary = string_of(e, "binary");

	if (has_nul(binary))
		return wrong(e, "'binary' holds a NUL");
	e->in.binary = binary.data;
	if (json_array_size(list) > EVAL_ANCESTORS_MAX)
		return wrong(e, "more than %d ancestors", EVAL_ANCESTORS_MAX);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);

		if (!json_is_string(v))
			return wrong(e, "'ancestors' must hold strings");
		e->ancestors[i] = json_string_value(v);
	}
	e->in.ancestors = e->ancestors;
	return true;
}

static bool read_addresses(struct eval *e)
{
	const json_t *list = json_object_get(e->q, "ips");

	if (json_array_size(list) > EVAL_ADDRS_MAX)
		return wrong(e, "more than %d addresses", EVAL_ADDRS_MAX);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *text = json_string_value(json_array_get(list, i));

		if (!text || netaddr_parse(text, &e->addrs[i]) < 0)
			return wrong(e, "'%.80s' is no address", text ? text : "");
	}
	if (json_is_array(list)) {
		e->in.addrs = e->addrs;
		e->in.n_addrs = json_array_size(list);
	}
	return true;
}

static bool add_header(struct eval *e, const char *name, const json_t *v)
{
	size_t len = strlen(name);
	struct http1_header *h = &e->headers[e->n_headers];

	if (e->n_headers == HTTP1_HEADERS_MAX)
		return wrong(e, "more than %d headers", HTTP1_HEADERS_MAX);
	if (!json_is_string(v) || len > UINT16_MAX || json_string_length(v) > UINT16_MAX)
		return wrong(e, "header '%.80s' is no string, or too long", name);
	*h = (struct http1_header){ .name = name,
		.name_len = (uint16_t)len,
		.value = json_string_value(v),
		.value_len = (uint16_t)json_string_length(v),
		.id = (uint8_t)http1_name_lookup(name, len) };
	e->n_headers++;
	return true;
}

static bool read_headers(struct eval *e)
{
	const char *name;
	json_t *v;

	json_object_foreach (json_object_get(e->q, "headers"), name, v) {
		size_t n = json_is_array(v) ? json_array_size(v) : 1;

		for (size_t i = 0; i < n; i++)
			if (!add_header(e, name, json_is_array(v) ? json_array_get(v, i) : v))
				return false;
	}
	return true;
}

/* --- a request in pieces: method, path, headers, body --- */

static bool decode_base64(struct eval *e, const char *key, struct buf *out)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	struct bytes in = string_of(e, key);
	uint32_t bits = 0;
	int n = 0;

	while (in.len && in.data[in.len - 1] == '=')
		in.len--;
	for (size_t i = 0; i < in.len; i++) {
		const char *at = in.data[i] ? strchr(digits, in.data[i]) : NULL;

		if (!at)
			return wrong(e, "'%s' is no base64", key);
		bits = bits << 6 | (uint32_t)(at - digits);
		n += 6;
		if (n < 8)
			continue;
		n -= 8;
		if (buf_putc(out, (char)(bits >> n & 0xff)) < 0)
			return wrong(e, "'%s' is too large", key);
	}
	return true;
}

/* Asks the parser of heads what it makes of the upgrade. */
static bool parse_upgrade(struct eval *e)
{
	const char *why;
	int r;

	r = buf_printf(&e->raw, "%s / HTTP/1.1\r\nHost: %s\r\n", e->method, e->host.host);
	for (size_t i = 0; !r && i < e->n_headers; i++)
		if (e->headers[i].id != HTTP1_HOST)
			r = buf_printf(&e->raw, "%.*s: %.*s\r\n", e->headers[i].name_len,
				e->headers[i].name, e->headers[i].value_len, e->headers[i].value);
	if (!r)
		r = buf_puts(&e->raw, "\r\n");
	if (r < 0)
		return refuse(e, LAYER_HTTP, "the headers are too large");
	if (http1_request_parse(&e->head, buf_head(&e->raw), e->raw.len, &why) < 0)
		return refuse(e, LAYER_HTTP, "%s", why);
	return true;
}

static bool read_body(struct eval *e)
{
	struct bytes body = string_of(e, "body");
	bool is_coded = string_of(e, "body_b64").data != NULL;

	(void)json_object_set_new(
		e->out, "framing", json_string(body.data || is_coded ? "length" : "none"));
	if (is_coded)
		return decode_base64(e, "body_b64", &e->body);
	if (body.data && buf_append(&e->body, body.data, body.len) < 0)
		return wrong(e, "'body' is too large");
	return true;
}

static bool read_pieces(struct eval *e)
{
	struct bytes method = string_of(e, "method");
	const char *why;

	e->target = string_of(e, "path");
	if (!method.data && string_of(e, "ws_text").data)
		method = (struct bytes){ "GET", 3 };
	if (!method.data || !e->target.data)
		return wrong(e, "'%s' is missing", e->target.data ? "method" : "path");
	if (!http1_is_token(method.data, method.len) || method.len > HTTP1_METHOD_MAX)
		return refuse(e, LAYER_HTTP, "invalid method");
	if (!read_headers(e) || !read_body(e))
		return false;
	if (http1_effective_method(e->method, method.data, e->headers, e->n_headers, &why) < 0)
		return refuse(e, LAYER_HTTP, "%s", why);
	return !http1_find(e->headers, e->n_headers, HTTP1_UPGRADE) || parse_upgrade(e);
}

/* --- a request as bytes --- */

static bool parse_head(struct eval *e, size_t *ret_len)
{
	const char *why = "the head is not complete";
	size_t scan = 0;
	int n = http1_head_find(buf_head(&e->raw), e->raw.len, HTTP1_HEAD_MAX, &scan, &why);

	if (n == -EMSGSIZE)
		return refuse(
			e, LAYER_HTTP, "the request head is larger than %d bytes", HTTP1_HEAD_MAX);
	if (n <= 0 || http1_request_parse(&e->head, buf_head(&e->raw), (size_t)n, &why) < 0)
		return refuse(e, LAYER_HTTP, "%s", why);
	*ret_len = (size_t)n;
	return true;
}

static bool collect_body(struct eval *e, const char *in, size_t len, struct http1_body *b)
{
	for (;;) {
		const char *data = NULL, *why = NULL;
		size_t used = 0, n = 0;
		int r = http1_body_next(b, in, len, &used, &data, &n, &why);

		if (r < 0)
			return refuse(e, LAYER_HTTP, "%s", why ? why : "the body is malformed");
		if (r == CHUNKED_END)
			return true;
		if (r == CHUNKED_MORE && b->framing == HTTP1_CHUNKED)
			return refuse(e, LAYER_HTTP, "the body is not complete");
		if (r == CHUNKED_MORE) {
			e->is_cut = true;
			return true;
		}
		if (buf_append(&e->body, data, n) < 0)
			return refuse(e, LAYER_HTTP, "the body is too large");
		in += used;
		len -= used;
	}
}

static bool parse_body(struct eval *e, size_t head_len)
{
	static const char *const framings[] = { "none", "length", "chunked", "none" };
	const struct http1_fields *f = &e->head.fields;
	struct http1_body b;
	bool is_whole;

	(void)json_object_set_new(e->out, "framing", json_string(framings[f->framing]));
	http1_body_init(&b, f->framing, f->content_length);
	is_whole = collect_body(e, buf_head(&e->raw) + head_len, e->raw.len - head_len, &b);
	http1_body_done(&b);
	return is_whole;
}

/* Host, or the authority of the target, is the host that was connected to. */
static bool check_authority(struct eval *e)
{
	const struct url_authority *a = &e->head.authority;

	if (e->head.form == HTTP1_AUTHORITY)
		return refuse(e, LAYER_HTTP, "CONNECT is not a request to a server");
	if (a->host[0] && strcmp(a->host, e->host.host) != 0)
		return refuse(e, LAYER_HTTP, "the request is for %s, the connection to %s", a->host,
			e->host.host);
	if (a->port && a->port != e->in.port)
		return refuse(e, LAYER_HTTP, "the request is for port %u, the connection to %u",
			a->port, e->in.port);
	return true;
}

static bool read_raw(struct eval *e)
{
	size_t head_len = 0;

	if (!decode_base64(e, "raw_b64", &e->raw) || !parse_head(e, &head_len) ||
		!parse_body(e, head_len) || !check_authority(e))
		return false;
	(void)str_copy(e->method, sizeof(e->method), e->head.effective_method);
	e->target = (struct bytes){ e->head.target, e->head.target_len };
	memcpy(e->headers, e->head.fields.list, e->head.fields.n * sizeof(*e->headers));
	e->n_headers = e->head.fields.n;
	return true;
}

/* --- what the endpoint wants to know of it --- */

static bool check_upgrade(struct eval *e)
{
	static const char *const names[] = { "none", "invalid", "valid", "none" };

	(void)json_object_set_new(e->out, "upgrade", json_string(names[e->head.upgrade]));
	e->request.is_websocket_upgrade = e->head.upgrade == HTTP1_UPGRADE_WEBSOCKET;
	if (e->head.upgrade == HTTP1_UPGRADE_INVALID)
		return refuse(e, LAYER_HTTP, "%s", e->head.upgrade_why);
	if (e->head.is_trace || str_case_eq(e->method, "TRACE") || str_case_eq(e->method, "TRACK"))
		return refuse(e, LAYER_HTTP, "%s is never forwarded", e->method);
	return true;
}

/* Encoded slashes are kept until the endpoint is known that says whether they may be. */
static bool canonicalize(struct eval *e)
{
	struct bytes t = e->target;
	const char *why;

	if (url_canonicalize(t.data, t.len, URL_ENCODED_SLASH, &e->url, &why) < 0)
		return refuse(e, LAYER_HTTP, "%s", why);
	(void)policy_select(e->policy, &e->in, e->url.path, &e->look);
	if (!e->look.allow_encoded_slash && url_canonicalize(t.data, t.len, 0, &e->url, &why) < 0)
		return refuse(e, LAYER_HTTP, "%s", why);
	(void)json_object_set_new(e->out, "canonical_path", json_string(e->url.path));
	if (url_query_parse(&e->query, e->url.query, e->url.query_len, &why) < 0)
		return refuse(e, LAYER_HTTP, "%s", why);
	e->request.path = e->url.path;
	e->request.query = e->query.params;
	e->request.n_query = e->query.n;
	return true;
}

static json_t *plain_string(const char *value)
{
	struct buf b;
	json_t *s;

	buf_init(&b, URL_QUERY_MAX + 2);
	s = url_plain(&b, value) < 0 ? NULL : json_stringn(b.len ? buf_head(&b) : "", b.len);
	buf_done(&b);
	return s;
}

static void show_query(struct eval *e)
{
	json_t *query = json_object();

	for (size_t i = 0; i < e->query.n; i++) {
		const struct query_param *p = &e->query.params[i];
		json_t *list = json_object_get(query, p->name);

		if (!list) {
			list = json_array();
			(void)json_object_set_new(query, p->name, list);
		}
		(void)json_array_append_new(list, plain_string(p->value));
	}
	(void)json_object_set_new(e->out, "query", query);
}

static json_t *string_or_null(const char *s)
{
	return s ? json_string(s) : json_null();
}

static json_t *operation_json(const struct graphql_op *op)
{
	static const char *const types[] = { "", "query", "mutation", "subscription" };
	json_t *fields = json_array();
	json_t *o = json_pack("{s:s, s:o, s:o, s:b}", "operation_type", types[op->type],
		"operation_name", string_or_null(op->name), "fields", fields, "persisted_query",
		op->is_persisted);

	for (size_t i = 0; o && i < op->n_fields; i++)
		(void)json_array_append_new(fields, json_string(op->fields[i]));
	if (o && op->persisted_hash)
		(void)json_object_set_new(
			o, "persisted_query_hash", json_string(op->persisted_hash));
	if (o && op->persisted_id)
		(void)json_object_set_new(o, "persisted_query_id", json_string(op->persisted_id));
	return o;
}

static void show_graphql(struct eval *e, const struct graphql_facts *f)
{
	json_t *list = json_array();
	json_t *o = json_pack("{s:o, s:b}", "operations", list, "is_control", f->is_control);

	for (size_t i = 0; o && i < f->n_ops; i++)
		(void)json_array_append_new(list, operation_json(&f->ops[i]));
	if (o && f->error)
		(void)json_object_set_new(o, "error", json_string(f->error));
	(void)json_object_set_new(e->out, "graphql", o);
	e->request.graphql = f;
}

static void show_jsonrpc(struct eval *e, const struct jsonrpc_facts *f)
{
	json_t *list = json_array();
	json_t *o = json_pack("{s:o, s:b, s:b, s:b}", "calls", list, "is_batch", f->is_batch,
		"has_response", f->has_response, "receive_stream", f->receive_stream);

	for (size_t i = 0; o && i < f->n_calls; i++)
		(void)json_array_append_new(
			list, json_pack("{s:s, s:o}", "method", f->calls[i].method, "tool",
				      string_or_null(f->calls[i].tool)));
	if (o && f->error)
		(void)json_object_set_new(o, "error", json_string(f->error));
	(void)json_object_set_new(e->out, "jsonrpc", o);
	e->request.jsonrpc = f;
}

static bool parse_graphql(struct eval *e)
{
	if (graphql_parse_request(e->method, e->query.params, e->query.n, e->headers, e->n_headers,
		    e->body.len ? buf_head(&e->body) : "", e->body.len, &e->graphql) < 0)
		return wrong(e, "out of memory");
	show_graphql(e, graphql_facts(e->graphql));
	return true;
}

static bool parse_jsonrpc(struct eval *e)
{
	struct jsonrpc_options opt = { .is_mcp = e->look.protocol == PROTOCOL_MCP,
		.strict_tool_names = e->look.mcp_strict_tool_names };

	if (jsonrpc_parse_request(&opt, e->method, e->headers, e->n_headers,
		    e->body.len ? buf_head(&e->body) : "", e->body.len, &e->jsonrpc) < 0)
		return wrong(e, "out of memory");
	show_jsonrpc(e, jsonrpc_facts(e->jsonrpc));
	return true;
}

static bool parse_message(struct eval *e, struct bytes text)
{
	(void)str_copy(e->method, sizeof(e->method), "WEBSOCKET_TEXT");
	e->request.is_websocket_upgrade = false;
	if (!e->look.websocket_graphql)
		return true;
	if (graphql_parse_message(text.data, text.len, &e->graphql) < 0)
		return wrong(e, "out of memory");
	show_graphql(e, graphql_facts(e->graphql));
	return true;
}

static bool inspect(struct eval *e)
{
	struct bytes text = string_of(e, "ws_text");

	if (text.data)
		return parse_message(e, text);
	if (e->look.body_max && e->body.len > e->look.body_max)
		return refuse(
			e, LAYER_L7, "the request body is larger than %zu bytes", e->look.body_max);
	if (e->look.body_max && e->is_cut)
		return refuse(e, LAYER_HTTP, "the body is not complete");
	switch (e->look.protocol) {
	case PROTOCOL_GRAPHQL:
		return parse_graphql(e);
	case PROTOCOL_JSON_RPC:
	case PROTOCOL_MCP:
		return parse_jsonrpc(e);
	case PROTOCOL_NONE:
	case PROTOCOL_TCP:
	case PROTOCOL_REST:
	case PROTOCOL_WEBSOCKET:
	case PROTOCOL_SQL:
		break;
	}
	return true;
}

/* --- answering --- */

static bool has_request(const struct eval *e)
{
	return string_of(e, "raw_b64").data || string_of(e, "method").data ||
	       string_of(e, "path").data || string_of(e, "ws_text").data;
}

/* The request, from its bytes to what the rules are asked about. False: @d says why. */
static bool understand(struct eval *e)
{
	bool is_raw = string_of(e, "raw_b64").data != NULL;

	if (!(is_raw ? read_raw(e) : read_pieces(e)))
		return false;
	e->request.method = e->method;
	if (!check_upgrade(e) || !canonicalize(e))
		return false;
	show_query(e);
	return inspect(e);
}

static bool decide(struct eval *e)
{
	if (!check_keys(e) || !read_host(e) || !read_caller(e) || !read_addresses(e))
		return false;
	policy_decide(e->policy, &e->in, &e->d);
	if (e->d.verdict != VERDICT_ALLOW || !has_request(e))
		return true;
	if (!understand(e))
		return false;
	e->in.request = &e->request;
	policy_decide(e->policy, &e->in, &e->d);
	return true;
}

static void set(struct eval *e, const char *key, json_t *v)
{
	(void)json_object_set_new(e->out, key, v);
}

static void show_decision(struct eval *e)
{
	static const char *const verdicts[] = { "deny", "audit", "allow" };
	static const char *const layers[] = { "l4", "ssrf", "l7", "http" };
	const struct decision *d = &e->d;

	set(e, "decision", json_string(verdicts[d->verdict]));
	set(e, "layer", json_string(layers[d->layer]));
	set(e, "policy", string_or_null(d->policy_key));
	set(e, "policy_name", string_or_null(d->policy));
	set(e, "endpoint", d->policy_key ? json_integer(d->endpoint) : json_null());
	set(e, "rule", d->rule >= 0 ? json_integer(d->rule) : json_null());
	if (d->is_deny_rule)
		set(e, "deny_rule", json_true());
	set(e, "reason", d->reason[0] ? json_string(d->reason) : json_null());
	if (d->nearest[0])
		set(e, "nearest", json_string(d->nearest));
}

static void eval_done(struct eval *e)
{
	graphql_free(e->graphql);
	jsonrpc_free(e->jsonrpc);
	buf_done(&e->raw);
	buf_done(&e->body);
	free(e);
}

json_t *eval_question(const struct policy *policy, const json_t *question)
{
	struct eval *e = calloc(1, sizeof(*e));
	json_t *out = json_object();

	if (!e || !out) {
		free(e);
		json_decref(out);
		return NULL;
	}
	e->policy = policy;
	e->q = question;
	e->out = out;
	buf_init(&e->raw, EVAL_BODY_MAX);
	buf_init(&e->body, EVAL_BODY_MAX);
	e->d.endpoint = -1;
	e->d.rule = -1;
	(void)decide(e);
	if (!json_object_get(out, "error"))
		show_decision(e);
	eval_done(e);
	return out;
}
