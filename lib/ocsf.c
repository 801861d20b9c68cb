#include "lib/ocsf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/event_render.h"
#include "lib/str.h"

/* ---- Shorthand -------------------------------------------------------------------------- */

const char *ocsf_severity_tag(unsigned int severity_id)
{
	static const char *const tags[] = { "[INFO]", "[INFO]", "[LOW]", "[MED]", "[HIGH]",
		"[CRIT]", "[FATAL]" };

	return severity_id < ARRAY_SIZE(tags) ? tags[severity_id] : "[INFO]";
}

/* A line being written; the first error sticks. */
struct line {
	struct buf *out;
	int r;
};

static void put_n(struct line *l, const char *s, size_t n)
{
	if (l->r == 0)
		l->r = buf_append(l->out, s, n);
}

static void put(struct line *l, const char *s)
{
	put_n(l, s, strlen(s));
}

static void put_number(struct line *l, uint64_t v)
{
	if (l->r == 0)
		l->r = buf_printf(l->out, "%" PRIu64, v);
}

static void put_clean(struct line *l, const char *s, size_t len)
{
	if (l->r == 0)
		l->r = str_escape(l->out, s, len);
}

static void put_upper(struct line *l, const char *s)
{
	for (; *s; s++) {
		char c = *s >= 'a' && *s <= 'z' ? (char)(*s - 0x20) : *s;

		put_clean(l, &c, 1);
	}
}

/* A value within a tag: blanks and brackets would end it. */
static void put_tag_value(struct line *l, const char *s)
{
	for (; *s; s++) {
		size_t n = strcspn(s, " []");

		put_clean(l, s, n);
		s += n;
		if (!*s)
			return;
		put(l, *s == ' ' ? "\\u{20}" : *s == '[' ? "\\[" : "\\]");
	}
}

/* Free text at the end of the line, on one line and cut between characters. */
static void put_tag_text(struct line *l, const char *tag, const char *s, size_t max)
{
	size_t len = strlen(s), n = len;

	if (!len)
		return;
	if (n > max)
		for (n = max; n && ((unsigned char)s[n] & 0xc0) == 0x80;)
			n--;
	put(l, tag);
	for (size_t i = 0; i < n;) {
		size_t plain = strcspn(s + i, "\r\n");

		plain = plain < n - i ? plain : n - i;
		put_clean(l, s + i, plain);
		i += plain;
		if (i < n)
			put(l, " ");
		i++;
	}
	put(l, n < len ? "...]" : "]");
}

static void put_title(struct line *l, const char *s)
{
	put(l, "\"");
	while (*s) {
		size_t n = strcspn(s, "\"\n\r\t");

		put_clean(l, s, n);
		s += n;
		if (*s)
			put(l, *s == '"'     ? "\\\""
				: *s == '\n' ? "\\n"
				: *s == '\r' ? "\\r"
					     : "\\t");
		s += *s != '\0';
	}
	put(l, "\"");
}

static void put_process(struct line *l, const struct ocsf *o)
{
	put_clean(l, o->process, strlen(o->process));
	put(l, "(");
	put_number(l, o->pid);
	put(l, ")");
}

static void put_endpoint(struct line *l, const char *host, uint32_t port)
{
	put_clean(l, host, strlen(host));
	if (!port)
		return;
	put(l, ":");
	put_number(l, port);
}

static void put_rule(struct line *l, const struct ocsf *o)
{
	if (!o->rule)
		return;
	put(l, " [policy:");
	put_tag_value(l, o->rule);
	put(l, " engine:");
	put_tag_value(l, o->engine ? o->engine : "-");
	put(l, "]");
}

static void put_context(struct line *l, const struct ocsf *o)
{
	for (size_t i = 0; i < OCSF_CONTEXT_MAX && o->context[i].key; i++) {
		put(l, i ? " " : " [");
		put(l, o->context[i].key);
		put(l, ":");
		put_tag_value(l, o->context[i].value);
	}
	if (o->context[0].key)
		put(l, "]");
}

static void put_reason(struct line *l, const struct ocsf *o)
{
	const char *text = o->status_detail ? o->status_detail : o->message;

	if (text && str_eq(o->action, "Denied"))
		put_tag_text(l, " [reason:", text, OCSF_REASON_MAX);
}

static void put_action(struct line *l, const struct ocsf *o)
{
	if (!o->action)
		return;
	put(l, " ");
	put_upper(l, o->action);
}

static void network(struct line *l, const struct ocsf *o)
{
	put_action(l, o);
	if (o->process) {
		put(l, " ");
		put_process(l, o);
	}
	if (o->dst) {
		put(l, o->process ? " -> " : " ");
		put_endpoint(l, o->dst, o->dst_port);
		if (o->protocol) {
			put(l, "/");
			put_clean(l, o->protocol, strlen(o->protocol));
		}
	}
	put_rule(l, o);
	put_context(l, o);
	put_reason(l, o);
	if (!o->action && !o->process && !o->dst && !o->rule && o->message)
		put_tag_text(l, " [msg:", o->message, OCSF_MSG_MAX);
}

static bool is_default_port(const struct ocsf *o)
{
	return !o->dst_port || (str_eq(o->scheme, "http") && o->dst_port == 80) ||
	       (str_eq(o->scheme, "https") && o->dst_port == 443);
}

static void http(struct line *l, const struct ocsf *o)
{
	put_action(l, o);
	put(l, " ");
	if (o->process) {
		put_process(l, o);
		put(l, " -> ");
	}
	put_clean(l, o->method, strlen(o->method));
	if (o->dst) {
		put(l, " ");
		put(l, o->scheme ? o->scheme : "http");
		put(l, "://");
		put_endpoint(l, o->dst, is_default_port(o) ? 0 : o->dst_port);
		put_clean(l, o->path ? o->path : "", strlen(o->path ? o->path : ""));
	}
	put_rule(l, o);
	put_context(l, o);
	put_reason(l, o);
}

static void ssh(struct line *l, const struct ocsf *o)
{
	put_action(l, o);
	if (o->src_ip) {
		put(l, " ");
		put_endpoint(l, o->src_ip, o->src_port);
	}
	if (!o->auth)
		return;
	put(l, " [auth:");
	put_tag_value(l, o->auth);
	put(l, "]");
}

static void process(struct line *l, const struct ocsf *o)
{
	put(l, " ");
	if (o->process)
		put_process(l, o);
	if (o->command)
		put_tag_text(l, " [cmd:", o->command, OCSF_REASON_MAX);
}

static void finding(struct line *l, const struct ocsf *o)
{
	put(l, " ");
	put_title(l, o->title ? o->title : "");
	if (!o->uid)
		return;
	put(l, " [type:");
	put_tag_value(l, o->uid);
	put(l, "]");
	put_context(l, o);
}

static void lifecycle(struct line *l, const struct ocsf *o)
{
	put(l, " ");
	put(l, o->app ? o->app : "openshell-sandbox");
	put(l, o->is_failure ? " failure" : " success");
	if (o->message)
		put_tag_text(l, " [msg:", o->message, OCSF_MSG_MAX);
}

/* The answer of a model. */
static void api(struct line *l, const struct ocsf *o)
{
	put(l, o->is_failure ? " Failure " : " Success ");
	put_clean(l, o->model, strlen(o->model));
	put(l, " via ");
	put_clean(l, o->provider ? o->provider : "-", strlen(o->provider ? o->provider : "-"));
	put(l, " ");
	put_number(l, o->latency_ms);
	put(l, "ms");
	if (!o->operation)
		return;
	put(l, " [");
	put_tag_value(l, o->operation);
	put(l, "]");
}

static void message_only(struct line *l, const struct ocsf *o)
{
	put(l, " ");
	put_clean(l, o->message ? o->message : "", strlen(o->message ? o->message : ""));
	put_context(l, o);
}

static const struct shape {
	enum ocsf_class class;
	const char *prefix;
	void (*put)(struct line *l, const struct ocsf *o);
} shapes[] = {
	{ OCSF_NETWORK, "NET:", network },
	{ OCSF_HTTP, "HTTP:", http },
	{ OCSF_SSH, "SSH:", ssh },
	{ OCSF_PROCESS, "PROC:", process },
	{ OCSF_FINDING, "FINDING:", finding },
	{ OCSF_LIFECYCLE, "LIFECYCLE:", lifecycle },
	{ OCSF_CONFIG, "CONFIG:", message_only },
	{ OCSF_API, "API:", api },
	{ OCSF_BASE, "EVENT", message_only },
};

int ocsf_shorthand(struct buf *out, const struct ocsf *o)
{
	const struct shape *shape = shapes;
	struct line l = { .out = out };

	while (shape->class != OCSF_BASE && shape->class != o->class)
		shape++;
	put(&l, shape->prefix);
	if (shape->class == OCSF_HTTP)
		put_upper(&l, o->method);
	else if (shape->class != OCSF_BASE)
		put_upper(&l, o->activity ? o->activity : "OTHER");
	put(&l, " ");
	put(&l, ocsf_severity_tag(o->severity));
	shape->put(&l, o);
	return l.r;
}

int ocsf_log_line(struct buf *out, uint64_t time_ms, const char *source, const char *level,
	const char *target, const char *message)
{
	return buf_printf(out, "[%" PRIu64 ".%03u] [%-7s] [%-5s] [%s] %s\n", time_ms / 1000,
		(unsigned int)(time_ms % 1000), source[0] ? source : "gateway", level, target,
		message);
}

/* ---- From an event ---------------------------------------------------------------------- */

static bool is_denied(const struct event *e)
{
	return e->action == EVENT_DENY;
}

/* Breaches rather than misses: a policy that lacks a line is not among them. */
static bool is_grave(const struct event *e)
{
	static const char *const engines[] = { "ssrf", "credentials", "credential-binding",
		"identity", "integrity" };

	for (size_t i = 0; i < ARRAY_SIZE(engines); i++)
		if (str_eq(e->engine, engines[i]))
			return true;
	return false;
}

static enum ocsf_severity severity(const struct event *e)
{
	if (is_denied(e))
		return is_grave(e) ? OCSF_HIGH : OCSF_MEDIUM;
	if (e->action != EVENT_NONE || e->level <= EVENT_INFO)
		return OCSF_INFORMATIONAL;
	return e->level == EVENT_WARN ? OCSF_MEDIUM : OCSF_HIGH;
}

static enum ocsf_class class_of(const struct event *e)
{
	switch (e->adapter) {
	case EVENT_LIFECYCLE:
		return OCSF_LIFECYCLE;
	case EVENT_POLICY:
		return OCSF_CONFIG;
	case EVENT_FS:
		return OCSF_FINDING;
	case EVENT_L7:
		return e->model && e->latency_ms ? OCSF_API : OCSF_HTTP;
	case EVENT_FORWARD:
		return e->method ? OCSF_HTTP : OCSF_NETWORK;
	default:
		return OCSF_NETWORK;
	}
}

/* The activities OCSF names for each class, with their numbers; what is none of them is 99. */
static const struct activity {
	enum ocsf_class class;
	int id;
	const char *name;
} activities[] = {
	{ OCSF_NETWORK, 1, "Open" },
	{ OCSF_NETWORK, 2, "Close" },
	{ OCSF_NETWORK, 5, "Refuse" },
	{ OCSF_HTTP, 1, "Connect" },
	{ OCSF_HTTP, 2, "Delete" },
	{ OCSF_HTTP, 3, "Get" },
	{ OCSF_HTTP, 4, "Head" },
	{ OCSF_HTTP, 5, "Options" },
	{ OCSF_HTTP, 6, "Post" },
	{ OCSF_HTTP, 7, "Put" },
	{ OCSF_HTTP, 8, "Trace" },
	{ OCSF_FINDING, 1, "Create" },
	{ OCSF_LIFECYCLE, 3, "Start" },
	{ OCSF_LIFECYCLE, 4, "Stop" },
	{ OCSF_CONFIG, 1, "Log" },
};

static const struct activity *activity_find(enum ocsf_class class, const char *name)
{
	for (size_t i = 0; name && i < ARRAY_SIZE(activities); i++)
		if (activities[i].class == class && str_case_eq(activities[i].name, name))
			return &activities[i];
	return NULL;
}

int ocsf_activity_id(enum ocsf_class class, const char *name)
{
	const struct activity *a = activity_find(class, name);

	return a ? a->id : 99;
}

/* The words our own messages begin with. */
static const struct {
	const char *word, *activity;
} message_words[] = {
	{ "start", "Start" },
	{ "stop", "Stop" },
	{ "delete", "Stop" },
	{ "end", "Stop" },
};

static const char *lifecycle_activity(const char *message)
{
	static const char subject[] = "sandbox ";

	if (message && str_starts(message, subject))
		message += sizeof(subject) - 1;
	for (size_t i = 0; message && i < ARRAY_SIZE(message_words); i++)
		if (str_starts(message, message_words[i].word))
			return message_words[i].activity;
	return "Other";
}

static const char *activity_of(const struct event *e, enum ocsf_class class)
{
	const struct activity *known;

	switch (class) {
	case OCSF_LIFECYCLE:
		return lifecycle_activity(e->message);
	case OCSF_CONFIG:
		return is_denied(e) || e->level == EVENT_ERROR ? "Failed" : "Loaded";
	case OCSF_FINDING:
		return is_denied(e) ? "Blocked" : "Create";
	case OCSF_API:
		return "Inference";
	case OCSF_HTTP:
		known = activity_find(class, e->method);
		return known ? known->name : "Other";
	default:
		if (e->adapter == EVENT_SOCKET)
			return "Refuse";
		return e->bytes_up || e->bytes_down ? "Close" : "Open";
	}
}

static const char *engine_of(const struct event *e)
{
	if (!e->engine || str_eq(e->engine, "l4"))
		return e->adapter == EVENT_L7 ? "l7" : "opa";
	return e->engine;
}

/* "CONNECT denied h:p", "L7_REQUEST audit GET h:p/path": upstream's words for what happened. */
static int compose_message(struct buf *text, const struct event *e)
{
	const char *verdict = is_denied(e) ? "denied" : "allowed";
	const char *host = e->host ? e->host : e->addr ? e->addr : "-";

	if (e->adapter == EVENT_L7)
		return buf_printf(text, "L7_REQUEST %s %s %s:%u%s%s%s",
			event_action_name(e->action), e->method ? e->method : "-", host, e->port,
			e->target ? e->target : "", e->reason ? " reason=" : "",
			e->reason ? e->reason : "");
	if (e->adapter == EVENT_FORWARD)
		return buf_printf(text, "FORWARD %s %s %s:%u%s", verdict,
			e->method ? e->method : "-", host, e->port, e->target ? e->target : "");
	return buf_printf(
		text, "%s %s %s:%u", event_adapter_name(e->adapter), verdict, host, e->port);
}

static const char *message_of(struct buf *text, const struct event *e)
{
	if (e->message)
		return e->message;
	return compose_message(text, e) < 0 ? NULL : buf_cstr(text);
}

int ocsf_from_event(struct ocsf *ret, const struct event *e, struct buf *text)
{
	enum ocsf_class class = class_of(e);
	struct ocsf o = {
		.class = class,
		.activity = activity_of(e, class),
		.severity = severity(e),
		.action = e->action == EVENT_NONE ? NULL
			  : is_denied(e)	  ? "Denied"
						  : "Allowed",
		.process = e->binary,
		.pid = e->pid,
		.dst = e->host ? e->host : e->addr,
		.dst_port = e->port,
		.protocol = e->adapter == EVENT_SOCKET ? e->protocol : NULL,
		.rule = class == OCSF_CONFIG || class == OCSF_LIFECYCLE ? NULL : "-",
		.engine = engine_of(e),
		.method = e->method ? e->method : "UNKNOWN",
		.scheme = "http",
		.path = e->target,
		.is_failure = is_denied(e) || e->level == EVENT_ERROR || (class == OCSF_API && e->status >= 400),
		.model = e->model,
		.provider = e->provider,
		.operation = e->operation,
		.latency_ms = e->latency_ms,
		.message = message_of(text, e),
		.status_detail = e->reason,
		.title = e->reason ? e->reason : e->message,
		.uid = class == OCSF_FINDING ? "filesystem" : NULL,
	};

	if (e->policy && o.rule)
		o.rule = e->policy;
	if (!o.message)
		return -ENOMEM;
	if (e->operation)
		o.context[0] = (struct ocsf_pair){ "op", e->operation };
	*ret = o;
	return 0;
}

int ocsf_render_shorthand(struct buf *out, const struct event *e)
{
	auto_buf struct buf text = { 0 }, line = { 0 };
	struct ocsf o;
	int r;

	buf_init(&text, 2 * EVENT_LINE_MAX);
	buf_init(&line, 16 * EVENT_LINE_MAX);
	r = ocsf_from_event(&o, e, &text);
	if (r == 0)
		r = ocsf_shorthand(&line, &o);
	if (r == 0 && e->count)
		r = buf_printf(&line, " [count:%u]", e->count);
	if (r < 0 || !buf_cstr(&line))
		return r < 0 ? r : -ENOMEM;
	return ocsf_log_line(
		out, e->time_ms, event_source(e->adapter), "OCSF", "ocsf", buf_cstr(&line));
}
