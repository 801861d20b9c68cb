#include "proxy/request.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "proxy/inference.h"
#include "proxy/judge.h"

const char *request_path(const struct judged *j)
{
	return j->target.path[0] ? j->target.path : "/";
}

const char *request_method(const struct judged *j)
{
	return j->rq.effective_method[0] ? j->rq.effective_method : "-";
}

void request_fault(struct conn *c, struct judged *j, unsigned int status, const char *error,
	const char *engine, const char *fmt, ...)
{
	struct refusal *r = &j->refusal;
	va_list ap;

	*r = (struct refusal){ .status = status, .error = error, .layer = LAYER_HTTP };
	va_start(ap, fmt);
	(void)vsnprintf(r->detail, sizeof(r->detail), fmt, ap);
	va_end(ap);
	judge_log_refusal(c, r, request_method(j), request_path(j), engine);
}

void request_unreadable(struct conn *c, struct judged *j, int r, const char *why)
{
	if (r == -EMSGSIZE)
		request_fault(c, j, 431, "invalid_request", "http-parser",
			"the request head is too large");
	else
		request_fault(c, j, 400, "invalid_request", "http-parser", "%s",
			why ? why : "malformed request");
}

static bool method_is_good(struct conn *c, struct judged *j)
{
	if (j->rq.is_trace)
		request_fault(c, j, 405, "method_not_allowed", "http-parser",
			"%s is never forwarded", j->rq.method);
	else if (j->rq.form == HTTP1_AUTHORITY)
		request_unreadable(c, j, -EBADMSG, "CONNECT within a connection");
	else if (j->rq.upgrade == HTTP1_UPGRADE_INVALID)
		request_unreadable(c, j, -EBADMSG, j->rq.upgrade_why);
	else
		return true;
	return false;
}

static int canonicalize(struct judged *j, unsigned int flags, const char **ret_why)
{
	if (j->rq.form != HTTP1_ASTERISK)
		return url_canonicalize(j->rq.target, j->rq.target_len, flags, &j->target, ret_why);
	j->target = (struct url_target){ .path = "*", .path_len = 1 };
	return 0;
}

static int parse_query(struct judged *j, const char **ret_why)
{
	j->query.n = 0;
	if (!j->target.query_len)
		return 0;
	return url_query_parse(&j->query, j->target.query, j->target.query_len, ret_why);
}

/* The endpoint that the path selects says whether encoded slashes may stay. */
static int select_inspection(struct conn *c, struct judged *j, const char **ret_why)
{
	struct intent in = judge_intent(c);

	j->inspection = (struct inspection){ 0 };
	if (c->is_inspected && !c->refusal && !c->is_inference)
		(void)policy_select(c->policy, &in, j->target.path, &j->inspection);
	if (!c->px->had_credentials)
		j->inspection.rewrite_body = j->inspection.rewrite_websocket = false;
	return j->inspection.allow_encoded_slash ? 0 : canonicalize(j, 0, ret_why);
}

static bool target_is_good(struct conn *c, struct judged *j)
{
	const char *why = "malformed target";
	int r = canonicalize(j, URL_ENCODED_SLASH, &why);

	if (r == 0)
		r = parse_query(j, &why);
	if (r == 0 && c->is_inspected)
		r = http1_override_by_query(&j->rq, j->query.params, j->query.n, &why);
	if (r == 0)
		r = select_inspection(c, j, &why);
	if (r == 0 && j->rq.form == HTTP1_ABSOLUTE && j->rq.is_https != c->is_tls) {
		why = "the scheme of the target is not that of the connection";
		r = -EBADMSG;
	}
	if (r < 0)
		request_unreadable(c, j, r, why);
	return r == 0;
}

static bool host_agrees(const struct conn *c, const struct judged *j)
{
	const struct url_authority *a = &j->rq.authority;

	if (!a->host[0]) /* HTTP/1.0 without Host: there is no other name to disagree */
		return true;
	/* Without a port some clients mean the scheme's, some the connection's. */
	return strcmp(a->host, c->host) == 0 && (a->port == c->port || !a->port);
}

/* A client of forward mode never said CONNECT. */
static void refuse_connection(const struct conn *c, struct judged *j)
{
	struct refusal *r = &j->refusal;
	char authority[CONN_AUTHORITY_MAX];

	*r = *c->refusal;
	if (!c->is_forward || !r->is_denial || r->layer != LAYER_L4)
		return;
	/* A path that is too long for it is cut. */
	if (snprintf(r->detail, sizeof(r->detail), "%s %s%s not permitted by policy", request_method(j),
		    conn_authority(c, authority), request_path(j)) < 0)
		r->detail[0] = '\0';
}

/* What was decided for the whole connection is told to each request on it. */
static bool connection_is_good(struct conn *c, struct judged *j)
{
	if (c->refusal) {
		refuse_connection(c, j);
		return false;
	}
	if (host_agrees(c, j))
		return true;
	request_fault(c, j, 421, "misdirected_request", "request-authority",
		"Host %s does not agree with %s:%u", j->rq.authority.host, c->host, c->port);
	return false;
}

static void set_facts(struct judged *j)
{
	j->facts = (struct request){ .method = j->rq.effective_method,
		.path = j->target.path,
		.query = j->query.params,
		.n_query = j->query.n,
		.is_websocket_upgrade = j->rq.upgrade == HTTP1_UPGRADE_WEBSOCKET };
}

/* Asks policy, or (forward mode on an endpoint without protocol) knows that it was asked. */
static enum request_outcome decide(struct conn *c, struct judged *j)
{
	if (c->is_advisor)
		judge_log_advisor(c, j->rq.effective_method, j->target.path);
	if (c->is_passthrough)
		judge_log_passthrough(c, j->rq.effective_method, j->target.path);
	if (c->is_advisor || c->is_passthrough || !c->is_inspected)
		return REQUEST_ALLOWED;
	judge_request(c, &j->facts, &j->body, &j->decision);
	if (j->decision.verdict != VERDICT_DENY)
		return REQUEST_ALLOWED;
	judge_refusal(c, &j->decision, j->rq.effective_method, j->target.path, &j->refusal);
	return REQUEST_REFUSED;
}

/* Nobody said what the bodies of this endpoint are, and what no rule allows may pass. */
static bool is_guessing(const struct conn *c, const struct judged *j)
{
	const struct inspection *in = &j->inspection;
	bool is_audit = c->px->is_audit || (in->protocol != PROTOCOL_NONE && !in->is_enforcing);

	return is_audit && c->is_inspected && inspect_is_guessable(&j->rq);
}

enum request_outcome request_judge(struct conn *c, struct judged *j, const char **rest, size_t *len)
{
	const char *why = NULL;
	int r = 1;

	j->target.path[0] = '\0';
	j->body = (struct inspected){ 0 };
	if (!method_is_good(c, j) || !target_is_good(c, j) || !connection_is_good(c, j))
		return REQUEST_REFUSED;
	if (c->is_inference)
		return inference_judge(c, j, rest, len);
	set_facts(j);
	if (inspect_is_wanted(&j->inspection, &j->rq)) {
		r = inspect_request(&j->inspection, &j->rq, rest, len, &j->facts, &j->body, &why);
		if (r == 0)
			return REQUEST_INCOMPLETE;
	} else if (is_guessing(c, j)) {
		r = inspect_guess(&j->rq, *rest, *len, &j->facts, &j->body);
		if (r == 0 && !c->has_waited)
			return REQUEST_GUESSING;
	}
	if (r >= 0)
		return decide(c, j);
	if (r == -ENOMEM)
		request_fault(c, j, 503, "overloaded", "http-parser", "no memory for the body");
	else if (r == -EPERM)
		request_fault(c, j, 403, "middleware_failed", "middleware", "%s", why);
	else
		request_fault(c, j, r == -EMSGSIZE ? 413 : 400, "invalid_request", "http-parser",
			"%s", why);
	return REQUEST_REFUSED;
}

bool request_is_still_allowed(struct conn *c, const char *sent, size_t len, struct inspection *ret_how)
{
	static struct judged j;
	struct intent in = judge_intent(c);
	const char *why, *rest;
	size_t scan = 0, left;
	int r = 1, n = http1_head_find(sent, len, len + 1, &scan, &why);

	if (n <= 0 || http1_request_parse(&j.rq, sent, (size_t)n, &why) < 0 ||
		canonicalize(&j, URL_ENCODED_SLASH, &why) < 0 || parse_query(&j, &why) < 0 ||
		select_inspection(c, &j, &why) < 0)
		return false;
	rest = sent + n;
	left = len - (size_t)n;
	set_facts(&j);
	if (inspect_is_wanted(&j.inspection, &j.rq))
		r = inspect_request(&j.inspection, &j.rq, &rest, &left, &j.facts, &j.body, &why);
	if (r < 0 || (r == 0 && !inspect_may_be_missed(&j.inspection, &j.rq)))
		return false;
	*ret_how = j.inspection;
	in.request = &j.facts;
	policy_decide(c->policy, &in, &j.decision);
	return j.decision.verdict != VERDICT_DENY || c->px->is_audit;
}

/*
 * Content has no meaning there (RFC 9110 sections 9.3.1, 9.3.2, 9.3.5), so that some servers take it for the
 * next request, which nobody would have judged. They are told that there is none.
 */
static bool is_odd_body(const struct judged *j)
{
	static const char *const methods[] = { "GET", "HEAD", "DELETE" };
	const struct http1_fields *f = &j->rq.fields;

	if (f->framing == HTTP1_NO_BODY || (f->framing == HTTP1_LENGTH && !f->content_length))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (strcmp(j->rq.effective_method, methods[i]) == 0)
			return true;
	return false;
}

int request_to_send(const struct conn *c, const struct judged *j, struct http1_send *ret,
	struct url_authority *own)
{
	const struct http1_fields *f = &j->rq.fields;
	const char *why;

	*ret = (struct http1_send){ .method = j->rq.effective_method,
		.path = j->target.path,
		.query = j->target.query,
		.query_len = j->target.query_len,
		.authority = &j->rq.authority,
		.default_port = c->is_tls ? 443 : 80,
		.framing = f->framing,
		.content_length = f->content_length,
		.close = is_odd_body(j),
		.via = c->is_forward,
		.expect = j->rq.expect_continue && f->framing != HTTP1_NO_BODY };
	if (j->body.data) {
		ret->framing = HTTP1_LENGTH;
		ret->content_length = j->body.len;
		ret->expect = false;
	}
	if (j->rq.authority.host[0])
		return 0;
	if (url_host_parse(c->host, strlen(c->host), own, &why) < 0)
		return -EBADMSG;
	own->port = c->port;
	ret->authority = own;
	return 0;
}
