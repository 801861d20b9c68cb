#include "proxy/inspect.h"

#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/graphql.h"
#include "lib/jsonrpc.h"
#include "lib/jsontext.h"
#include "lib/operation.h"
#include "lib/redact.h"
#include "lib/websocket.h"
#include "proxy/limits.h"
#include "proxy/sigv4.h"

/* What the last look left behind: facts point into it. One process, one thread, one request. */
static struct {
	struct graphql *graphql;
	struct jsonrpc *jsonrpc;
	struct buf decoded, redacted;
	char operation[OPERATION_TEXT_MAX];
} held;

static void forget(void)
{
	graphql_free(take_ptr(held.graphql));
	jsonrpc_free(take_ptr(held.jsonrpc));
	buf_done(&held.decoded);
	buf_done(&held.redacted);
	buf_init(&held.decoded, SIGN_BODY_MAX);
	buf_init(&held.redacted, INSPECT_BODY_MAX);
	held.operation[0] = '\0';
}

static bool looks_into_bodies(const struct inspection *in)
{
	return in->protocol == PROTOCOL_GRAPHQL || in->protocol == PROTOCOL_JSON_RPC ||
	       in->protocol == PROTOCOL_MCP;
}

/* Its hash has to be known before the head is written. */
static bool signs_body(const struct inspection *in, const struct http1_request *rq)
{
	char said[SIGV4_HASH_MAX + 1];

	return in->signing.mode && sigv4_payload(in->signing.mode, &rq->fields, said) == SIGV4_HASH;
}

bool inspect_is_wanted(const struct inspection *in, const struct http1_request *rq)
{
	return looks_into_bodies(in) ||
	       ((in->redact || in->rewrite_body || signs_body(in, rq)) && rq->fields.framing != HTTP1_NO_BODY);
}

size_t inspect_body_max(const struct inspection *in, const struct http1_request *rq)
{
	size_t max = signs_body(in, rq) ? SIGN_BODY_MAX : REDACT_BODY_MAX;

	if (looks_into_bodies(in))
		max = in->body_max < INSPECT_BODY_MAX ? in->body_max : INSPECT_BODY_MAX;
	if (((in->redact && !in->redact_may_fail) || in->rewrite_body) && max > REDACT_BODY_MAX)
		max = REDACT_BODY_MAX;
	return max;
}

/* The whole body as one slice: 1 with @rest moved past it, 0 when some is missing, -errno. */
static int collect(const struct http1_request *rq, size_t max, const char **rest, size_t *len,
	const char **ret, size_t *ret_len, const char **ret_why)
{
	struct http1_body b;
	int r = CHUNKED_DATA;

	*ret_why = "the body is larger than what may be inspected";
	if (rq->fields.framing == HTTP1_LENGTH && rq->fields.content_length > max)
		return -EMSGSIZE;
	if (rq->fields.framing == HTTP1_LENGTH && *len < rq->fields.content_length)
		return 0; /* not looked at again with each byte that comes */
	http1_body_init(&b, rq->fields.framing, rq->fields.content_length);
	while (r == CHUNKED_DATA) {
		const char *slice;
		size_t used = 0, n = 0;

		r = http1_body_next(&b, *rest, *len, &used, &slice, &n, ret_why);
		*rest += used;
		*len -= used;
		if (r == CHUNKED_DATA && held.decoded.len + n > max)
			r = -EMSGSIZE;
		else if (r == CHUNKED_DATA && buf_append(&held.decoded, slice, n) < 0)
			r = -ENOMEM;
	}
	http1_body_done(&b);
	*ret = buf_cstr(&held.decoded);
	*ret_len = held.decoded.len;
	if (r == -EMSGSIZE)
		*ret_why = "the body is larger than what may be inspected";
	return r < 0 ? r : !*ret ? -ENOMEM : r == CHUNKED_END;
}

static int understand(const struct inspection *in, const struct http1_request *rq, const char *body,
	size_t len, struct request *facts)
{
	struct jsonrpc_options opt = { .is_mcp = in->protocol == PROTOCOL_MCP,
		.strict_tool_names = in->mcp_strict_tool_names };
	int r;

	if (in->protocol == PROTOCOL_GRAPHQL) {
		r = graphql_parse_request(facts->method, facts->query, facts->n_query,
			rq->fields.list, rq->fields.n, body, len, &held.graphql);
		if (r < 0)
			return r;
		facts->graphql = graphql_facts(held.graphql);
		operation_of_graphql(held.operation, facts->graphql);
	} else if (looks_into_bodies(in)) {
		r = jsonrpc_parse_request(&opt, facts->method, rq->fields.list, rq->fields.n, body,
			len, &held.jsonrpc);
		if (r < 0)
			return r;
		facts->jsonrpc = jsonrpc_facts(held.jsonrpc);
		operation_of_jsonrpc(held.operation, facts->jsonrpc);
	}
	return 0;
}

int inspect_redact(const struct inspection *in, const char *text, size_t len, const char **ret,
	size_t *ret_len)
{
	int r;

	*ret = text;
	*ret_len = len;
	if (!in->redact || !len)
		return 0;
	buf_reset(&held.redacted);
	r = redact(&held.redacted, text, len);
	if (r < 0 && r != -ENOMEM && in->redact_may_fail)
		return 0;
	if (r < 0)
		return r == -ENOMEM ? r : -EPERM;
	*ret = held.redacted.len ? buf_head(&held.redacted) : "";
	*ret_len = held.redacted.len;
	return 0;
}

bool inspect_may_be_missed(const struct inspection *in, const struct http1_request *rq)
{
	return in->redact_may_fail && !looks_into_bodies(in) && !signs_body(in, rq);
}

/* Only a middleware wanted the body, and it gives way: what came streams through as it is. */
static bool may_stream(const struct inspection *in, const struct http1_request *rq, int r)
{
	return r == -EMSGSIZE && inspect_may_be_missed(in, rq);
}

int inspect_request(const struct inspection *in, const struct http1_request *rq, const char **rest,
	size_t *len, struct request *facts, struct inspected *ret, const char **ret_why)
{
	const char *body = "", *at = *rest;
	size_t n = 0, left = *len;
	int r;

	forget();
	if (rq->fields.framing != HTTP1_NO_BODY) {
		r = collect(rq, inspect_body_max(in, rq), &at, &left, &body, &n, ret_why);
		if (may_stream(in, rq, r))
			return 1;
		if (r <= 0)
			return r;
		*rest = at;
		*len = left;
	}
	r = understand(in, rq, body, n, facts);
	if (r < 0)
		return r;
	ret->operation = held.operation[0] ? held.operation : NULL;
	ret->protocol = in->protocol;
	if (rq->fields.framing == HTTP1_NO_BODY)
		return 1;
	r = inspect_redact(in, body, n, &ret->data, &ret->len);
	*ret_why = "the body cannot be searched for secrets: it is compressed or no text";
	return r < 0 ? r : 1;
}

/* ---- audit ---- */

static bool is_json_post(const struct http1_request *rq)
{
	const struct http1_fields *f = &rq->fields;

	return strcmp(rq->effective_method, "POST") == 0 && f->framing != HTTP1_NO_BODY &&
	       !rq->expect_continue && !jsontext_check_headers(f->list, f->n, false) &&
	       (f->framing != HTTP1_LENGTH || f->content_length <= GUESS_BODY_MAX);
}

bool inspect_is_guessable(const struct http1_request *rq)
{
	return is_json_post(rq) ||
	       (strcmp(rq->effective_method, "GET") == 0 && rq->fields.framing == HTTP1_NO_BODY &&
		       rq->upgrade == HTTP1_UPGRADE_NONE);
}

/* MCP when every call is one of its methods and carries what that one requires. */
static int guess_jsonrpc(const struct http1_request *rq, const char *body, size_t len,
	const struct request *facts, struct inspected *ret)
{
	static const enum policy_protocol protocols[] = { PROTOCOL_MCP, PROTOCOL_JSON_RPC };

	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
		struct jsonrpc_options opt = { .is_mcp = i == 0, .strict_tool_names = true };
		const struct jsonrpc_facts *f;
		int r;

		jsonrpc_free(take_ptr(held.jsonrpc));
		r = jsonrpc_parse_request(&opt, facts->method, rq->fields.list, rq->fields.n, body,
			len, &held.jsonrpc);
		if (r < 0)
			return r;
		f = jsonrpc_facts(held.jsonrpc);
		if (f->error || (opt.is_mcp && !f->receive_stream && !jsonrpc_is_mcp(f)))
			continue;
		/* An event stream is asked for in many protocols. */
		ret->protocol = f->receive_stream ? PROTOCOL_NONE : protocols[i];
		operation_of_jsonrpc(held.operation, f);
		return 0;
	}
	return 0;
}

/* A hash or an id alone is no operation: bodies with an "id" are common. */
static int guess_graphql(const struct http1_request *rq, const char *body, size_t len,
	const struct request *facts, struct inspected *ret)
{
	const struct graphql_facts *f;
	int r;

	r = graphql_parse_request(facts->method, facts->query, facts->n_query, rq->fields.list,
		rq->fields.n, body, len, &held.graphql);
	if (r < 0)
		return r;
	f = graphql_facts(held.graphql);
	for (size_t i = 0; i < f->n_ops; i++)
		if (f->ops[i].type == GRAPHQL_NONE)
			return 0;
	if (f->error || !f->n_ops)
		return 0;
	ret->protocol = PROTOCOL_GRAPHQL;
	operation_of_graphql(held.operation, f);
	return 0;
}

int inspect_guess(const struct http1_request *rq, const char *rest, size_t len,
	const struct request *facts, struct inspected *ret)
{
	const char *body = "", *why;
	const size_t here = len;
	size_t n = 0;
	int r = 1;

	forget();
	if (rq->fields.framing != HTTP1_NO_BODY)
		r = collect(rq, GUESS_BODY_MAX, &rest, &len, &body, &n, &why);
	/* Too large, or malformed, which is told when it is carried: it streams. */
	if (r == -EMSGSIZE || r == -EBADMSG || (r == 0 && here > 2 * GUESS_BODY_MAX))
		return 1;
	if (r <= 0)
		return r;
	r = guess_jsonrpc(rq, body, n, facts, ret);
	if (r == 0 && !held.operation[0])
		r = guess_graphql(rq, body, n, facts, ret);
	if (r < 0)
		return r;
	ret->operation = held.operation[0] ? held.operation : NULL;
	return 1;
}

int inspect_message(const struct inspection *in, const char *text, size_t len,
	struct request *facts, const char **ret_operation)
{
	int r;

	forget();
	*ret_operation = NULL;
	if (!in->websocket_graphql)
		return 0;
	r = graphql_parse_message(text, len, &held.graphql);
	if (r < 0)
		return r;
	facts->graphql = graphql_facts(held.graphql);
	operation_of_graphql(held.operation, facts->graphql);
	*ret_operation = held.operation[0] ? held.operation : graphql_message_type(held.graphql);
	return 0;
}
