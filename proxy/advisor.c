#include "proxy/advisor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "lib/agentrule.h"
#include "lib/cleanup.h"
#include "lib/jsontext.h"
#include "lib/event_render.h"
#include "lib/http1.h"
#include "lib/ocsf.h"
#include "lib/proto.h"
#include "lib/str.h"
#include "proxy/conn.h"
#include "proxy/stream.h"
#include "proxy/upstream.h"

#define HOST  "policy.local"
#define URL   "http://" HOST
#define SKILL "/run/openshell/skills/policy_advisor.md"

enum {
	REQUEST_MAX =
		HTTP1_HEAD_MAX + 2 * AGENTRULE_BODY_MAX, /* chunks cost more than their bytes */
	ANSWER_MAX = 4 * 1024 * 1024,
	ASK_MAX = MSG_INLINE_MAX - 4096, /* of text in one question to the supervisor */
	DENIALS_DEFAULT = 10,
	DENIALS_MAX = 100,
	DENIAL_LINE_MAX = 4096,
	LOG_TAIL = 1024 * 1024, /* bytes of each segment that are looked at */
	WAIT_DEFAULT_S = 60,
	WAIT_MAX_S = 300,
	SUPERVISOR_MS = 10 * 1000,
};

struct server {
	struct stream stream;	 /* first */
	LIST_ENTRY(server) link; /* proxy->asks, while is_asking */
	struct proxy *px;
	struct leg *leg;
	struct buf in, out;
	size_t scan;
	bool is_taken;	  /* a request was understood or refused; the rest is thrown away */
	bool is_answered; /* @out is all there will be */
	bool has_said_continue;
	bool is_asking;
	bool is_timed_out; /* waiting was in vain */
	uint32_t request;  /* of the question */
	enum proxy_ask kind;
	unsigned int last;     /* denials */
	char id[64];	       /* of the proposal */
	struct timer wake;     /* the leg has something to read */
	struct timer patience; /* the supervisor, or whoever decides, takes too long */
};

bool advisor_is(const char *host, uint16_t port)
{
	return port == 80 && strcmp(host, HOST) == 0;
}

/* --- what denied agents are told --- */

int advisor_put_guidance(struct buf *out)
{
	return buf_puts(out,
		",\"agent_guidance\":\"OpenShell blocked this request with the sandbox's policy. "
		"If the "
		"user's task still needs it, read " SKILL ", propose the narrowest rule at " URL
		"/v1/proposals, wait until it is approved with policy_reloaded true, then repeat "
		"the "
		"request.\"");
}

int advisor_put_steps(struct buf *out)
{
	return buf_puts(out,
		"{\"action\":\"read_skill\",\"path\":\"" SKILL "\"},"
		"{\"action\":\"inspect_policy\",\"method\":\"GET\",\"url\":\"" URL
		"/v1/policy/current\"},"
		"{\"action\":\"inspect_recent_denials\",\"method\":\"GET\",\"url\":\"" URL
		"/v1/denials?last=5\"},"
		"{\"action\":\"submit_proposal\",\"method\":\"POST\",\"url\":\"" URL
		"/v1/proposals\",\"body_type\":\"PolicyMergeOperation\"}");
}

/* --- answering --- */

static void tell_leg(struct server *v)
{
	(void)timer_set(v->px->loop, &v->wake, 0);
}

static const char *phrase(unsigned int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 202:
		return "Accepted";
	case 400:
		return "Bad Request";
	case 404:
		return "Not Found";
	case 413:
		return "Content Too Large";
	case 429:
		return "Too Many Requests";
	default:
		return "Bad Gateway";
	}
}

static void end_question(struct server *v)
{
	if (v->is_asking)
		LIST_REMOVE(v, link);
	v->is_asking = false;
	timer_clear(v->px->loop, &v->patience);
}

/* Answers with @body, which is used up; NULL (out of memory) ends the connection. */
static void answer(struct server *v, unsigned int status, json_t *body)
{
	auto_free char *text = body ? jsontext_dumps(body, JSON_COMPACT) : NULL;

	json_decref(body);
	end_question(v);
	v->is_taken = v->is_answered = true;
	if (text)
		(void)buf_printf(&v->out,
			"HTTP/1.1 %u %s\r\nContent-Type: application/json\r\nContent-Length: "
			"%zu\r\n"
			"Connection: close\r\n\r\n%s",
			status, phrase(status), strlen(text), text);
	buf_done(&v->in);
	tell_leg(v);
}

static void answer_error(
	struct server *v, unsigned int status, const char *error, const char *detail)
{
	answer(v, status, json_pack("{s:s, s:s}", "error", error, "detail", detail));
}

/* --- asking the supervisor --- */

static void on_patience(struct loop *loop, struct timer *t);

static void ask(struct server *v, enum proxy_ask kind, char *const *args, uint64_t patience_ms)
{
	struct proxy *px = v->px;
	auto_msg_out struct msg_out m;
	int r;

	v->kind = kind;
	v->request = ++px->last_ask;
	msg_out_init(&m, PROXY_ASK, v->request);
	msg_put_u32(&m, kind);
	msg_put_strv(&m, args);
	if (!v->is_asking)
		LIST_INSERT_HEAD(&px->asks, v, link);
	v->is_asking = true;
	r = timer_set(px->loop, &v->patience, patience_ms);
	if (r == 0)
		r = msg_send(px->link.fd, &m);
	if (r < 0)
		answer_error(v, 502, "gateway_unavailable", err_name(r));
}

static void ask_about(struct server *v, enum proxy_ask kind, uint64_t patience_ms)
{
	char *args[] = { v->id, NULL };

	ask(v, kind, args, patience_ms);
}

/* --- proposals --- */

static void propose(struct server *v, const struct agentrules *rules)
{
	char *args[1 + 3 * AGENTRULE_OPERATIONS_MAX + 1] = { (char *)rules->intent };
	size_t n = 1, total = strlen(rules->intent);

	for (size_t i = 0; i < rules->n; i++) {
		args[n++] = rules->list[i].name;
		args[n++] = rules->list[i].binary;
		args[n++] = rules->list[i].yaml;
		total += strlen(rules->list[i].name) + strlen(rules->list[i].binary) +
			 strlen(rules->list[i].yaml) + 32;
	}
	if (total > ASK_MAX)
		answer_error(v, 413, "invalid_proposal",
			"the rules are too long: propose fewer at once");
	else
		ask(v, PROXY_ASK_PROPOSE, args, SUPERVISOR_MS);
}

static void on_submitted(struct server *v, const char *body, size_t len)
{
	static struct agentrules rules;
	struct err err = { 0 };
	int r = agentrules_parse(&rules, body, len, &err);

	if (r < 0)
		answer_error(v, 400, "invalid_proposal", err.text[0] ? err.text : err_name(r));
	else
		propose(v, &rules);
	agentrules_done(&rules);
}

static void submitted(struct server *v, char *const *ids)
{
	json_t *list = json_array();
	size_t n = 0;

	for (; ids[n]; n++)
		json_array_append_new(list, json_string(ids[n]));
	answer(v, 202,
		json_pack("{s:s, s:i, s:i, s:[], s:o}", "status", "submitted", "accepted_chunks",
			(int)n, "rejected_chunks", 0, "rejection_reasons", "accepted_chunk_ids",
			list));
}

static void not_submitted(struct server *v, int r)
{
	if (r == -EDQUOT)
		answer_error(v, 429, "too_many_proposals",
			"too many proposals wait for a decision; wait for one");
	else if (r == -EAGAIN)
		answer_error(v, 429, "too_many_proposals", "too many proposals a minute");
	else if (r == -EMSGSIZE || r == -EILSEQ)
		answer_error(v, 400, "invalid_proposal", "a rule is too long, or no UTF-8");
	else
		answer_error(v, 502, "proposal_submit_failed", err_name(r));
}

/* What became of one: status, reason, name, binary. */
static void tell_status(struct server *v, char *const *args, bool is_timed_out)
{
	json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "chunk_id", v->id, "status",
		args[0], "rule_name", args[2], "binary", args[3], "rejection_reason", args[1],
		"validation_result", "");

	if (is_timed_out)
		json_object_set_new(o, "timed_out", json_true());
	/* It is approved by whoever has seen the policy with it in force. */
	if (str_eq(args[0], "approved"))
		json_object_set_new(o, "policy_reloaded", json_true());
	answer(v, 200, o);
}

/* --- denials: the log's last lines, understood here --- */

/* Renders @line if it tells of a denial; false when that was the last one wanted. */
static bool take_denial(json_t *list, const char *line, size_t len, unsigned int last)
{
	auto_event_record struct event_record record = { 0 };
	struct event_peek peek;
	auto_buf struct buf text;
	size_t n;

	buf_init(&text, EVENT_LINE_MAX);
	if (!event_peek(&line, &len, &peek) || peek.level < EVENT_WARN ||
		event_parse(line, len, &record) < 0 || record.event.action != EVENT_DENY)
		return true;
	if (ocsf_render_shorthand(&text, &record.event) < 0)
		return true;
	n = text.len && buf_head(&text)[text.len - 1] == '\n' ? text.len - 1 : text.len;
	if (n > DENIAL_LINE_MAX)
		n = DENIAL_LINE_MAX;
	while (n && !str_is_utf8(buf_head(&text), n))
		n--;
	json_array_append_new(list, json_stringn(buf_head(&text), n));
	return json_array_size(list) < last;
}

/* The newest lines first. */
static bool take_denials(json_t *list, const char *data, size_t len, unsigned int last)
{
	while (len) {
		size_t end = data[len - 1] == '\n' ? len - 1 : len, at = end;

		while (at && data[at - 1] != '\n')
			at--;
		if (end > at && !take_denial(list, data + at, end - at, last))
			return false;
		len = at;
	}
	return true;
}

static bool read_denials(json_t *list, int fd, unsigned int last)
{
	auto_free char *data = malloc(LOG_TAIL);
	struct stat st;
	off_t at;
	ssize_t n;

	if (!data || fstat(fd, &st) < 0)
		return true;
	at = st.st_size > LOG_TAIL ? st.st_size - LOG_TAIL : 0;
	n = pread(fd, data, LOG_TAIL, at);
	return n <= 0 || take_denials(list, data, (size_t)n, last);
}

static void tell_denials(struct server *v, struct msg_in *m)
{
	json_t *list = json_array();
	bool go_on = true, has_log = m->n_fds > 0;

	while (m->next_fd < m->n_fds) {
		auto_close int fd = msg_get_fd(m);

		go_on = go_on && read_denials(list, fd, v->last);
	}
	answer(v, 200, json_pack("{s:o, s:b}", "denials", list, "log_available", (int)has_log));
}

/* --- the supervisor's answers --- */

static void tell_policy(struct server *v, int r, char *const *args)
{
	if (r < 0 || !args[0])
		answer_error(v, 404, "policy_unavailable", "no current sandbox policy is loaded");
	else
		answer(v, 200, json_pack("{s:s, s:s}", "format", "yaml", "policy_yaml", args[0]));
}

static size_t count(char *const *args)
{
	size_t n = 0;

	while (args[n])
		n++;
	return n;
}

static void tell_item(struct server *v, int r, char *const *args)
{
	if (r == -ENOENT)
		answer_error(
			v, 404, "chunk_not_found", "there is no such proposal in this sandbox");
	else if (r < 0 || count(args) != 4)
		answer_error(v, 502, "gateway_unavailable", err_name(r < 0 ? r : -EPROTO));
	else
		tell_status(v, args, v->is_timed_out && str_eq(args[0], "pending"));
}

int advisor_on_told(struct proxy *px, struct msg_in *m)
{
	int r = -(int)msg_get_u32(m);
	auto_free char **args = msg_get_strv(m);
	struct server *v;

	if (!msg_in_done(m) || !args)
		return -EPROTO;
	LIST_FOREACH (v, &px->asks, link)
		if (v->request == m->id)
			break;
	if (!v) /* its client has gone, or was answered when patience ended */
		return 0;
	timer_clear(px->loop, &v->patience);
	if (v->kind == PROXY_ASK_POLICY)
		tell_policy(v, r, args);
	else if (v->kind == PROXY_ASK_DENIALS)
		tell_denials(v, m);
	else if (v->kind != PROXY_ASK_PROPOSE)
		tell_item(v, r, args);
	else if (r < 0)
		not_submitted(v, r);
	else
		submitted(v, args);
	return 0;
}

int advisor_on_setting(struct proxy *px, struct msg_in *m)
{
	uint32_t on = msg_get_u32(m);

	if (!msg_in_done(m))
		return -EPROTO;
	px->has_advisor = on != 0;
	return 0;
}

static void on_patience(struct loop *loop, struct timer *t)
{
	struct server *v = container_of(t, struct server, patience);

	(void)loop;
	/* Nobody decided: how things are, then. */
	v->is_timed_out = v->kind == PROXY_ASK_WAIT;
	if (v->is_timed_out)
		ask_about(v, PROXY_ASK_STATUS, SUPERVISOR_MS);
	else
		answer_error(
			v, 502, "gateway_unavailable", "the supervisor did not answer in time");
}

/* --- routes --- */

/* The number that the query gives for @key, within 1 and @max; @otherwise without one. */
static unsigned int query_number(
	const char *query, const char *key, unsigned int max, unsigned int otherwise)
{
	size_t n = strlen(key);
	char text[24];
	uint64_t value;

	for (; query && *query; query += *query == '&') {
		size_t len = strcspn(query, "&");

		if (len > n && strncmp(query, key, n) == 0 && query[n] == '=' &&
			str_format(text, sizeof(text), "%.*s", (int)(len - n - 1), query + n + 1) &&
			str_to_u64(text, UINT32_MAX, &value) == 0)
			return value < 1 ? 1 : value > max ? max : (unsigned int)value;
		query += len;
	}
	return otherwise;
}

static void not_found(struct server *v, const char *method, const char *path)
{
	char detail[512];

	(void)snprintf(detail, sizeof(detail), "no such route: %s %.400s", method, path);
	answer_error(v, 404, "not_found", detail);
}

/* PATH or PATH/wait behind /v1/proposals/. */
static void on_proposal(
	struct server *v, const char *method, const char *path, const char *rest, const char *query)
{
	size_t n = strcspn(rest, "/");
	bool is_wait = strcmp(rest + n, "/wait") == 0;

	if (!n || n >= sizeof(v->id) || (rest[n] && !is_wait)) {
		not_found(v, method, path);
		return;
	}
	memcpy(v->id, rest, n);
	v->id[n] = '\0';
	if (is_wait)
		ask_about(v, PROXY_ASK_WAIT,
			1000ull * query_number(query, "timeout", WAIT_MAX_S, WAIT_DEFAULT_S));
	else
		ask_about(v, PROXY_ASK_STATUS, SUPERVISOR_MS);
}

static void route(struct server *v, const char *method, char *target, const char *body, size_t len)
{
	static const char proposals[] = "/v1/proposals/";
	char *query = strchr(target, '?');
	bool is_get = strcmp(method, "GET") == 0;
	char *none[] = { NULL };

	if (query)
		*query++ = '\0';
	if (!v->px->has_advisor) {
		answer_error(v, 404, "feature_disabled",
			"agent-driven policy proposals are not enabled in this sandbox; set the "
			"`agent_policy_proposals_enabled` setting to true to enable");
	} else if (is_get && strcmp(target, "/v1/policy/current") == 0) {
		ask(v, PROXY_ASK_POLICY, none, SUPERVISOR_MS);
	} else if (is_get && strcmp(target, "/v1/denials") == 0) {
		v->last = query_number(query, "last", DENIALS_MAX, DENIALS_DEFAULT);
		ask(v, PROXY_ASK_DENIALS, none, SUPERVISOR_MS);
	} else if (strcmp(method, "POST") == 0 && strcmp(target, "/v1/proposals") == 0) {
		on_submitted(v, body, len);
	} else if (is_get && str_starts(target, proposals)) {
		on_proposal(v, method, target, target + sizeof(proposals) - 1, query);
	} else {
		not_found(v, method, target);
	}
}

/* --- the request --- */

/* The body as one piece in @ret: 1, 0 when some is missing, -EMSGSIZE, -EBADMSG, -ENOMEM. */
static int collect(const struct http1_request *rq, const char *rest, size_t len, struct buf *ret)
{
	struct http1_body b;
	int r = CHUNKED_DATA;

	http1_body_init(&b, rq->fields.framing, rq->fields.content_length);
	while (r == CHUNKED_DATA) {
		const char *slice, *why;
		size_t used = 0, n = 0;

		r = http1_body_next(&b, rest, len, &used, &slice, &n, &why);
		rest += used;
		len -= used;
		if (r == CHUNKED_DATA && buf_append(ret, slice, n) < 0)
			r = -EMSGSIZE;
	}
	http1_body_done(&b);
	return r < 0 ? r : r == CHUNKED_END;
}

static void say_continue(struct server *v)
{
	if (v->has_said_continue)
		return;
	v->has_said_continue = true;
	(void)buf_puts(&v->out, "HTTP/1.1 100 Continue\r\n\r\n");
	tell_leg(v);
}

static void take_body(struct server *v, const struct http1_request *rq, size_t head_len)
{
	auto_free char *target = strndup(rq->target, rq->target_len);
	auto_buf struct buf body;
	int r = -EMSGSIZE;

	buf_init(&body, AGENTRULE_BODY_MAX);
	if (rq->fields.framing != HTTP1_LENGTH || rq->fields.content_length <= AGENTRULE_BODY_MAX)
		r = collect(rq, buf_head(&v->in) + head_len, v->in.len - head_len, &body);
	if (r == 0 && rq->expect_continue)
		say_continue(v);
	if (r == 0)
		return;
	v->is_taken = true;
	if (r == -EMSGSIZE)
		answer_error(v, 413, "invalid_proposal", "the body is larger than 64 KiB");
	else if (r < 0 || !target)
		answer_error(v, 400, "invalid_request", "malformed request body");
	else
		route(v, rq->effective_method, target, body.len ? buf_head(&body) : "", body.len);
}

static void take(struct server *v)
{
	static struct http1_request rq;
	const char *why = "malformed request";
	int r = http1_head_find(buf_head(&v->in), v->in.len, HTTP1_HEAD_MAX + 4096, &v->scan, &why);
	size_t head_len = r > 0 ? (size_t)r : 0;

	if (r == 0)
		return;
	if (r > 0)
		r = http1_request_parse(&rq, buf_head(&v->in), head_len, &why);
	v->scan = 0;
	if (r < 0)
		answer_error(v, 400, "invalid_request", why);
	else
		take_body(v, &rq, head_len);
}

/* --- the stream --- */

static struct server *server_of(struct stream *s)
{
	return (struct server *)s;
}

static ssize_t server_send(struct stream *s, const void *data, size_t n)
{
	struct server *v = server_of(s);

	if (v->is_taken)
		return (ssize_t)n;
	if (buf_append(&v->in, data, n) < 0)
		answer_error(v, 413, "invalid_proposal", "the body is larger than 64 KiB");
	else
		take(v);
	return (ssize_t)n;
}

static ssize_t server_recv(struct stream *s, void *out, size_t n)
{
	struct server *v = server_of(s);

	if (!v->out.len)
		return v->is_answered ? 0 : -EAGAIN;
	if (n > v->out.len)
		n = v->out.len;
	memcpy(out, buf_head(&v->out), n);
	buf_consume(&v->out, n);
	return (ssize_t)n;
}

static int server_nothing(struct stream *s)
{
	(void)s;
	return 0;
}

static bool server_has_pending(const struct stream *s)
{
	const struct server *v = (const struct server *)s;

	return v->out.len || v->is_answered;
}

static uint32_t server_events(const struct stream *s, bool want_recv, bool want_send)
{
	if (want_recv && server_has_pending(s))
		tell_leg(server_of((struct stream *)s));
	return (want_recv ? EPOLLIN : 0u) | (want_send ? EPOLLOUT : 0u);
}

static void server_destroy(struct stream *s)
{
	struct server *v = server_of(s);

	end_question(v);
	timer_clear(v->px->loop, &v->wake);
	buf_done(&v->in);
	buf_done(&v->out);
	free(v);
}

static const struct stream_ops server_ops = {
	.recv = server_recv,
	.send = server_send,
	.handshake = server_nothing,
	.flush = server_nothing,
	.shutdown = server_nothing,
	.events = server_events,
	.has_pending = server_has_pending,
	.destroy = server_destroy,
};

static void on_wake(struct loop *loop, struct timer *t)
{
	struct server *v = container_of(t, struct server, wake);

	(void)loop;
	if (v->leg->state == LEG_BUSY && v->leg->conn)
		conn_on_leg_event(v->leg->conn, EPOLLIN);
}

struct stream *advisor_stream_new(struct proxy *px, struct leg *leg)
{
	struct server *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->stream = (struct stream){ .ops = &server_ops, .fd = -1 };
	v->px = px;
	v->leg = leg;
	v->wake.on_time = on_wake;
	v->patience.on_time = on_patience;
	buf_init(&v->in, REQUEST_MAX);
	buf_init(&v->out, ANSWER_MAX);
	return &v->stream;
}
