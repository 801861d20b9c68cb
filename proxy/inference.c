#include "proxy/inference.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "lib/cleanup.h"
#include "lib/inference_route.h"
#include "lib/placeholder.h"
#include "lib/str.h"
#include "proxy/conn.h"
#include "proxy/exchange_internal.h"
#include "proxy/inference_internal.h"
#include "proxy/judge.h"
#include "proxy/sigv4.h"

bool inference_is(const char *host, uint16_t port)
{
	return port == 443 && strcmp(host, "inference.local") == 0;
}

/* --- the route --- */

static void inference_unref(struct inference *in)
{
	if (!in || --in->refs > 0)
		return;
	explicit_bzero(in, sizeof(*in));
	free(in);
}

int inference_on_message(struct proxy *px, struct msg_in *m)
{
	struct inference *in = NULL;
	size_t len;
	const void *data = msg_get_bytes(m, &len);
	int r = 0;

	if (!msg_in_done(m))
		return -EPROTO;
	if (len) {
		in = calloc(1, sizeof(*in));
		r = in ? inference_route_get(&in->route, data, len) : -ENOMEM;
		explicit_bzero(m->body, m->len);
	}
	if (r < 0) {
		free(in);
		return r;
	}
	if (in)
		in->refs = 1;
	inference_unref(px->inference);
	px->inference = in;
	return 0;
}

void inference_call_done(struct inference_call *call)
{
	target_unref(call->target);
	inference_unref(call->on);
	*call = (struct inference_call){ 0 };
}

/* --- understanding --- */

/* What the last look left behind; one request at a time, as in inspect.c. */
static struct buf collected, rewritten;

static void forget(void)
{
	buf_done(&collected);
	buf_done(&rewritten);
	buf_init(&collected, INFERENCE_BODY_MAX);
	buf_init(&rewritten, INFERENCE_BODY_MAX + 2 * INFERENCE_MODEL_MAX);
}

/* One way through the body, from piece to piece: data is not looked at. */
static int walk(const struct http1_fields *f, const char **rest, size_t *len, struct buf *to, const char **ret_why)
{
	struct http1_body b;
	size_t all = 0, chunks = 0;
	int r = CHUNKED_DATA;

	http1_body_init(&b, f->framing, f->content_length);
	while (r == CHUNKED_DATA) {
		const char *slice;
		size_t used = 0, n = 0;

		r = http1_body_next(&b, *rest, *len, &used, &slice, &n, ret_why);
		*rest += used;
		*len -= used;
		if (r == CHUNKED_DATA && ((all += n) > INFERENCE_BODY_MAX || ++chunks > INFERENCE_CHUNKS_MAX))
			r = -EMSGSIZE;
		else if (r == CHUNKED_DATA && to && buf_append(to, slice, n) < 0)
			r = -ENOMEM;
	}
	http1_body_done(&b);
	if (r == -EMSGSIZE)
		*ret_why = "the body is larger than 10 MiB, or comes in more than 4096 chunks";
	return r < 0 ? r : r == CHUNKED_END;
}

/* 1: it is whole, and @rest moved past it; 0: some is missing; -errno. */
static int collect(const struct http1_fields *f, const char **rest, size_t *len, const char **ret_why)
{
	const char *at = *rest;
	size_t left = *len;
	int r;

	if (f->framing == HTTP1_LENGTH && f->content_length > INFERENCE_BODY_MAX)
		r = -EMSGSIZE;
	else if (f->framing == HTTP1_LENGTH && left < f->content_length)
		return 0;
	else
		r = walk(f, &at, &left, NULL, ret_why);
	if (r == -EMSGSIZE)
		*ret_why = "the body is larger than 10 MiB, or comes in more than 4096 chunks";
	return r <= 0 ? r : walk(f, rest, len, &collected, ret_why);
}

/* 1: j->body is what goes up; 0: some is missing; -errno with the reason. */
static int take_body(struct judged *j, const struct inference_call *call, const char **rest, size_t *len,
	const char **ret_why)
{
	const struct http1_fields *f = &j->rq.fields;
	int r;

	if (!call->what->has_body) {
		*ret_why = "there is no body to such a request";
		return f->framing == HTTP1_CHUNKED || f->content_length ? -EBADMSG : 1;
	}
	*ret_why = "a compressed body cannot be read";
	r = http1_find(f->list, f->n, HTTP1_CONTENT_ENCODING) ? -EBADMSG : collect(f, rest, len, ret_why);
	if (r <= 0)
		return r;
	/* Bedrock's model stands in the path, and in the body of some models it is an error. */
	if (inference_type(call->on->route.type)->style == INFERENCE_BEDROCK) {
		j->body.data = collected.len ? buf_head(&collected) : "";
		j->body.len = collected.len;
		return 1;
	}
	r = inference_set_model(&rewritten, collected.len ? buf_head(&collected) : "", collected.len,
		call->on->route.model, ret_why);
	j->body.data = buf_head(&rewritten);
	j->body.len = rewritten.len;
	return r < 0 ? r : 1;
}

static bool is_compatible(const struct inference_call *call)
{
	return call->what->styles & (1u << inference_type(call->on->route.type)->style);
}

/* Which route, and what for. */
static bool recognise(struct conn *c, struct judged *j)
{
	struct inference_call *call = &c->ex.call;
	struct inference *in = c->px->inference;

	call->what = c->is_tls ? inference_match(j->rq.effective_method, j->rq.target, j->rq.target_len) : NULL;
	if (!call->what) {
		request_fault(c, j, 403, "policy_denied", "inference",
			"connection not allowed by policy: %s %s is no request to a model that is recognised%s",
			request_method(j), request_path(j), c->is_tls ? "" : " without TLS");
		return false;
	}
	if (!in) {
		request_fault(c, j, 400, "no_inference_route", "inference",
			"there is no route to a model; outside the sandbox: openshell inference set");
		return false;
	}
	in->refs++;
	call->on = in;
	if (is_compatible(call))
		return true;
	request_fault(c, j, 400, "no_compatible_route", "inference",
		"the route's provider, of type %s, does not understand %s", in->route.type, call->what->protocol);
	return false;
}

enum request_outcome inference_judge(struct conn *c, struct judged *j, const char **rest, size_t *len)
{
	const char *why = "malformed body";
	int r;

	forget();
	inference_call_done(&c->ex.call);
	if (!recognise(c, j))
		return REQUEST_REFUSED;
	r = take_body(j, &c->ex.call, rest, len, &why);
	if (r == 0)
		return REQUEST_INCOMPLETE;
	if (r == -ENOMEM)
		request_fault(c, j, 503, "overloaded", "inference", "no memory for the body");
	else if (r < 0)
		request_fault(c, j, r == -EBADMSG ? 400 : 413, "invalid_request", "inference", "%s", why);
	if (r < 0)
		return REQUEST_REFUSED;
	judge_log_inference(c, request_method(j), request_path(j));
	return REQUEST_ALLOWED;
}

/* --- the way up --- */

static size_t add(struct http1_header *list, size_t n, const char *name, const char *value)
{
	list[n] = (struct http1_header){ .name = name,
		.value = value,
		.name_len = (uint16_t)strlen(name),
		.value_len = (uint16_t)strlen(value) };
	return n + 1;
}

static bool is_called(const struct http1_header *h, const char *name)
{
	return h->name_len == strlen(name) && strncasecmp(h->name, name, h->name_len) == 0;
}

/* What the client's fields leave, and ours. */
static size_t choose_fields(const struct judged *j, const struct inference_route *r, bool has_body,
	struct http1_header *list)
{
	static const char version[] = "anthropic-version";
	bool has_version = false;
	size_t n = 0;

	for (size_t i = 0; i < j->rq.fields.n; i++) {
		const struct http1_header *h = &j->rq.fields.list[i];

		if (h->is_hop || !inference_header_passes(r->type, h->name, h->name_len))
			continue;
		has_version |= is_called(h, version);
		list[n++] = *h;
	}
	n = add(list, n, "User-Agent", "openshell");
	if (has_body)
		n = add(list, n, "Content-Type", "application/json");
	if (inference_type(r->type)->style == INFERENCE_ANTHROPIC && !has_version)
		n = add(list, n, version, INFERENCE_ANTHROPIC_VERSION);
	return n;
}

int inference_write(struct conn *c, const struct judged *j)
{
	struct exchange *ex = &c->ex;
	const struct inference_route *route = &ex->call.on->route;
	bool has_body = ex->call.what->has_body;
	struct http1_header list[HTTP1_HEADERS_MAX + 3];
	auto_buf struct buf path;
	struct http1_send s = { .method = j->rq.effective_method,
		.authority = &route->server,
		.default_port = route->is_tls ? 443 : 80,
		.framing = has_body ? HTTP1_LENGTH : HTTP1_NO_BODY,
		.content_length = j->body.len };
	int r;

	buf_init(&path, HTTP1_HEAD_MAX);
	r = inference_path(&path, inference_type(route->type)->style, route->base, route->model, j->rq.target,
		j->rq.target_len);
	s.path = r == 0 ? buf_cstr(&path) : NULL;
	if (!s.path)
		return r < 0 ? r : -ENOMEM;
	buf_reset(&ex->head);
	r = http1_request_write(&ex->head, &s, list, choose_fields(j, route, has_body, list));
	ex->inject.head_len = ex->head.len;
	return r;
}

/* Amazon's keys sign. */
static int put_signed(const struct inference_route *r, const struct exchange *ex, struct buf *out)
{
	struct sigv4 s = { .key_id = r->key_id,
		.key_id_len = strlen(r->key_id),
		.secret = r->secret,
		.secret_len = strlen(r->secret),
		.token = r->token[0] ? r->token : NULL,
		.token_len = strlen(r->token),
		.region = r->region,
		.service = "bedrock",
		.body = buf_head(&ex->head) + ex->inject.head_len,
		.body_len = ex->head.len - ex->inject.head_len,
		.now = time(NULL) };

	return sigv4_sign(&s, buf_head(&ex->head), ex->inject.head_len, out);
}

static int put_head(const struct inference_route *r, const struct exchange *ex, struct buf *out)
{
	int e;

	if (inference_type(r->type)->style == INFERENCE_BEDROCK && r->key_id[0])
		return put_signed(r, ex, out);
	e = buf_append(out, buf_head(&ex->head), ex->inject.head_len - 2);
	e = e == 0 ? inference_credential_put(out, r) : e;
	if (e == 0 && r->secret[0])
		e = buf_puts(out, "\r\n");
	return e == 0 ? buf_puts(out, "\r\n") : e;
}

int inference_send(struct conn *c)
{
	struct exchange *ex = &c->ex;
	size_t body = ex->head.len - ex->inject.head_len;
	struct buf out;
	int r;

	/* What was taken away meanwhile is not used any more. */
	if (ex->call.on != c->px->inference) {
		leg_close(take_ptr(c->leg));
		exchange_fault(c, 503, "upstream_unreachable", "inference", "the route to a model has changed: once more");
		return -EACCES;
	}
	ex->call.began_ms = loop_now_ms(c->px->loop);
	buf_init(&out, ex->head.len + WRITING_MAX);
	r = buf_reserve(&out, ex->head.len + HTTP1_HEAD_MAX) ? put_head(&ex->call.on->route, ex, &out) : -ENOMEM;
	if (r == 0)
		r = buf_append(&out, buf_head(&ex->head) + ex->inject.head_len, body);
	if (r == 0 && out.len > SEND_PENDING_MAX)
		c->leg->side.out.max = out.len;
	if (r == 0)
		r = side_send(&c->leg->side, buf_head(&out), out.len);
	placeholder_wipe(&out);
	return r;
}

/* --- the way down --- */

uint64_t inference_patience_ms(const struct conn *c)
{
	const struct inference_call *call = &c->ex.call;

	return c->ex.has_answer || !call->on ? INFERENCE_IDLE_MS : 1000ull * call->on->route.timeout_s;
}

/* What would have the client come back as somebody, or to another place. */
static void strip(struct http1_fields *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (is_called(&f->list[i], "set-cookie") || is_called(&f->list[i], "alt-svc"))
			f->list[i].is_hop = true;
}

bool inference_on_answer(struct conn *c, struct http1_response *rs)
{
	struct inference_call *call = &c->ex.call;

	judge_log_inference_answer(c, rs->status);
	/* What it says of our key, some of the key among it, is not for the sandbox. */
	if (rs->status == 401) {
		leg_close(take_ptr(c->leg));
		exchange_fault(c, 401, "upstream_unauthorized", "inference",
			"the provider '%s' refuses the credential; outside the sandbox: openshell provider update",
			call->on->route.provider);
		return false;
	}
	strip(&rs->fields);
	call->is_event_stream = rs->is_event_stream && c->ex.minor > 0;
	return true;
}

bool inference_end_stream(struct conn *c, const char *why)
{
	static const char start[] = "\n\ndata: {\"error\":{\"type\":\"proxy_stream_error\",\"message\":\"";
	auto_buf struct buf line = { 0 };
	struct buf *out = &c->px->writing;
	int r;

	if (!c->ex.call.is_event_stream || c->ex.down_framing != HTTP1_CHUNKED)
		return false;
	buf_init(&line, 1024);
	buf_reset(out);
	r = buf_puts(&line, start);
	r = r == 0 ? str_json_escape(&line, why, strlen(why)) : r;
	r = r == 0 ? buf_puts(&line, "\"}}\n\n") : r;
	r = r == 0 ? chunked_put(out, buf_head(&line), line.len) : r;
	r = r == 0 ? buf_puts(out, CHUNKED_LAST) : r;
	r = r == 0 ? side_send(&c->client, buf_head(out), out->len) : r;
	buf_reset(out);
	if (r < 0)
		return false;
	conn_finish(c);
	return true;
}
