#include "lib/event_render.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/str.h"

/* ---- Reading ---------------------------------------------------------------------------- */

static const char line_start[] = "{\"t\":";

enum { LINE_START_LEN = sizeof(line_start) - 1 };

/*
 * Where the last event on the line begins; NULL if there is none. Quotes inside strings are
 * escaped, so the beginning of a line cannot stand inside one.
 */
static const char *whole_event(const char *line, size_t len)
{
	const char *p, *end = line + len;

	while ((p = memrchr(line, '{', len))) {
		if (end - p >= LINE_START_LEN && memcmp(p, line_start, LINE_START_LEN) == 0)
			return p;
		len = (size_t)(p - line);
	}
	return NULL;
}

/* A cursor over the head of a line; nothing is read beyond the end. */
struct cursor {
	const char *p, *end;
};

static bool skip_text(struct cursor *c, const char *text, size_t n)
{
	if ((size_t)(c->end - c->p) < n || memcmp(c->p, text, n) != 0)
		return false;
	c->p += n;
	return true;
}

static bool take_number(struct cursor *c, uint64_t *ret)
{
	const char *first;
	uint64_t v = 0;

	while (c->p < c->end && *c->p == ' ')
		c->p++;
	for (first = c->p; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++)
		v = v * 10 + (uint64_t)(*c->p - '0');
	if (c->p == first || c->p - first > 19)
		return false;
	*ret = v;
	return true;
}

static bool take_keyed(struct cursor *c, const char *key, uint64_t *ret)
{
	return skip_text(c, key, strlen(key)) && take_number(c, ret);
}

static bool take_adapter(struct cursor *c, enum event_adapter *ret)
{
	char name[16];
	size_t n = 0;

	if (!skip_text(c, ",\"a\":\"", 6))
		return false;
	while (c->p + n < c->end && c->p[n] != '"' && n < sizeof(name) - 1)
		n++;
	memcpy(name, c->p, n);
	name[n] = '\0';
	return event_adapter_from_name(name, ret);
}

static bool peek_head(const char *line, size_t len, struct event_peek *ret)
{
	struct cursor c = { .p = line, .end = line + len };
	uint64_t count = 0, ignored, level;

	*ret = (struct event_peek){ 0 };
	if (!take_keyed(&c, line_start, &ret->time_ms))
		return false;
	ret->until_ms = ret->time_ms;
	if (take_keyed(&c, ",\"n\":", &count) && !take_keyed(&c, ",\"u\":", &ret->until_ms))
		return false;
	(void)take_keyed(&c, ",\"c\":", &ignored);
	(void)take_keyed(&c, ",\"p\":", &ignored);
	if (!take_keyed(&c, ",\"l\":", &level) || level > EVENT_ERROR || count > UINT32_MAX)
		return false;
	ret->count = (uint32_t)count;
	ret->level = (enum event_level)level;
	return take_adapter(&c, &ret->adapter);
}

bool event_peek(const char **line, size_t *len, struct event_peek *ret)
{
	const char *whole;

	if (*len < LINE_START_LEN || (*line)[*len - 1] != '}')
		return false;
	whole = whole_event(*line, *len);
	if (!whole)
		return false;
	*len -= (size_t)(whole - *line);
	*line = whole;
	return peek_head(whole, *len, ret);
}

/* ---- Parsing ---------------------------------------------------------------------------- */

enum field_type { FIELD_STRING, FIELD_U32, FIELD_U64 };

#define TIME_MAX 9999999999999u /* EVENT_TIME_WIDTH digits */

/* The keys of lib/event.c that are plain values. */
static const struct field {
	const char *key;
	enum field_type type;
	size_t offset;
} fields[] = {
	{ "t", FIELD_U64, offsetof(struct event, time_ms) },
	{ "n", FIELD_U32, offsetof(struct event, count) },
	{ "u", FIELD_U64, offsetof(struct event, until_ms) },
	{ "c", FIELD_U64, offsetof(struct event, connection) },
	{ "p", FIELD_U32, offsetof(struct event, pid) },
	{ "m", FIELD_STRING, offsetof(struct event, message) },
	{ "h", FIELD_STRING, offsetof(struct event, host) },
	{ "o", FIELD_U32, offsetof(struct event, port) },
	{ "i", FIELD_STRING, offsetof(struct event, addr) },
	{ "r", FIELD_STRING, offsetof(struct event, protocol) },
	{ "b", FIELD_STRING, offsetof(struct event, binary) },
	{ "k", FIELD_STRING, offsetof(struct event, policy) },
	{ "e", FIELD_STRING, offsetof(struct event, endpoint) },
	{ "y", FIELD_STRING, offsetof(struct event, rule) },
	{ "g", FIELD_STRING, offsetof(struct event, engine) },
	{ "w", FIELD_STRING, offsetof(struct event, reason) },
	{ "q", FIELD_STRING, offsetof(struct event, nearest) },
	{ "v", FIELD_STRING, offsetof(struct event, method) },
	{ "x", FIELD_STRING, offsetof(struct event, target) },
	{ "z", FIELD_STRING, offsetof(struct event, operation) },
	{ "s", FIELD_U32, offsetof(struct event, status) },
	{ "up", FIELD_U64, offsetof(struct event, bytes_up) },
	{ "down", FIELD_U64, offsetof(struct event, bytes_down) },
	{ "gen", FIELD_U32, offsetof(struct event, generation) },
	{ "stack", FIELD_STRING, offsetof(struct event, stack) },
};

static bool field_take(struct event *e, const struct field *f, const json_t *value)
{
	void *to = (char *)e + f->offset;
	json_int_t v;

	if (f->type == FIELD_STRING) {
		*(const char **)to = json_string_value(value);
		return json_is_string(value);
	}
	v = json_integer_value(value);
	if (!json_is_integer(value) || v < 0 || (f->type == FIELD_U32 && v > UINT32_MAX))
		return false;
	if (f->type == FIELD_U32)
		*(uint32_t *)to = (uint32_t)v;
	else
		*(uint64_t *)to = (uint64_t)v;
	return true;
}

static bool fields_take(struct event *e, const json_t *json)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		const json_t *value = json_object_get(json, fields[i].key);

		if (value && !field_take(e, &fields[i], value))
			return false;
	}
	return e->time_ms && e->time_ms <= TIME_MAX && e->until_ms <= TIME_MAX;
}

static bool enums_take(struct event *e, const json_t *json)
{
	const json_t *level = json_object_get(json, "l");
	const char *adapter = json_string_value(json_object_get(json, "a"));
	const json_t *action = json_object_get(json, "d");
	json_int_t l = json_integer_value(level);

	if (!json_is_integer(level) || l < EVENT_DEBUG || l > EVENT_ERROR || !adapter)
		return false;
	e->level = (enum event_level)l;
	if (!event_adapter_from_name(adapter, &e->adapter))
		return false;
	if (!action)
		return true;
	return json_is_string(action) &&
	       event_action_from_name(json_string_value(action), &e->action);
}

static int ancestors_take(struct event_record *r, const json_t *list)
{
	size_t n = json_array_size(list);

	if (!list)
		return 0;
	if (!json_is_array(list))
		return -EINVAL;
	r->ancestors = calloc(n + 1, sizeof(*r->ancestors));
	if (!r->ancestors)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		r->ancestors[i] = json_string_value(json_array_get(list, i));
		if (!r->ancestors[i])
			return -EINVAL;
	}
	r->event.ancestors = r->ancestors;
	return 0;
}

int event_parse(const char *line, size_t len, struct event_record *ret)
{
	struct event_record r = { 0 };
	struct event_peek peek;
	int error = -EINVAL;

	if (len > EVENT_LINE_MAX || !event_peek(&line, &len, &peek))
		return -EINVAL;
	r.json = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(r.json) && fields_take(&r.event, r.json) && enums_take(&r.event, r.json))
		error = ancestors_take(&r, json_object_get(r.json, "f"));
	if (error < 0) {
		event_record_done(&r);
		return error;
	}
	*ret = r;
	return 0;
}

void event_record_done(struct event_record *r)
{
	json_decref(r->json);
	free(r->ancestors);
	*r = (struct event_record){ 0 };
}

/* ---- Text ------------------------------------------------------------------------------- */

const char *event_source(enum event_adapter a)
{
	return a == EVENT_LIFECYCLE || a == EVENT_POLICY ? "gateway" : "sandbox";
}

static int put_time(struct buf *out, uint64_t ms)
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;
	char text[40];

	if (!gmtime_r(&seconds, &tm) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm))
		return buf_printf(out, "%" PRIu64 "ms", ms);
	return buf_printf(out, "%s.%03uZ", text, (unsigned int)(ms % 1000));
}

/* Escaped, and in quotes when a reader would not see where it ends. */
static int put_value(struct buf *out, const char *s)
{
	auto_buf struct buf plain = { 0 };
	int r;

	buf_init(&plain, 16 * EVENT_LINE_MAX);
	r = str_escape(&plain, s, strlen(s));
	if (r < 0 || (plain.len && !memchr(buf_head(&plain), ' ', plain.len) &&
			     !memchr(buf_head(&plain), '"', plain.len)))
		return r < 0 ? r : buf_append(out, buf_head(&plain), plain.len);
	r = buf_putc(out, '"');
	for (size_t i = 0; r == 0 && i < plain.len; i++) {
		char c = buf_head(&plain)[i];

		r = c == '"' ? buf_puts(out, "\\\"") : buf_putc(out, c);
	}
	return r < 0 ? r : buf_putc(out, '"');
}

/* One line of text; the first error sticks. */
struct text {
	struct buf *out;
	int r;
};

static void text_puts(struct text *t, const char *s)
{
	if (t->r == 0)
		t->r = buf_puts(t->out, s);
}

static void text_string(struct text *t, const char *key, const char *value)
{
	if (!value)
		return;
	text_puts(t, " ");
	text_puts(t, key);
	text_puts(t, "=");
	if (t->r == 0)
		t->r = put_value(t->out, value);
}

static void text_number(struct text *t, const char *key, uint64_t value)
{
	if (value && t->r == 0)
		t->r = buf_printf(t->out, " %s=%" PRIu64, key, value);
}

static void text_ancestors(struct text *t, const char *const *list)
{
	auto_buf struct buf joined = { 0 };

	if (!list || !list[0])
		return;
	buf_init(&joined, EVENT_LINE_MAX);
	for (size_t i = 0; list[i] && t->r == 0; i++)
		t->r = buf_printf(&joined, "%s%s", i ? " -> " : "", list[i]);
	if (t->r == 0 && !buf_cstr(&joined))
		t->r = -ENOMEM;
	if (t->r == 0)
		text_string(t, "ancestors", buf_cstr(&joined));
}

static const char *action_or_null(const struct event *e)
{
	return e->action ? event_action_name(e->action) : NULL;
}

/* cli.md fixes these keys and their order; a path stands for host and port where there is one. */
static void text_connection(struct text *t, const struct event *e)
{
	bool is_path = e->adapter == EVENT_UNIX || e->adapter == EVENT_FS;

	text_string(t, "action", action_or_null(e));
	text_string(t, "dst_host", e->host);
	text_number(t, "dst_port", e->port);
	text_string(t, "path", is_path ? e->addr : NULL);
	text_string(t, "binary", e->binary);
	text_string(t, "deny_reason", e->reason);
	text_string(t, "policy", e->policy);
	text_number(t, "pid", e->pid);
	text_string(t, "dst_ip", is_path ? NULL : e->addr);
	text_string(t, "method", e->method);
	text_string(t, "target", e->target);
}

static void text_request(struct text *t, const struct event *e)
{
	text_string(t, "l7_decision", action_or_null(e));
	text_string(t, "dst_host", e->host);
	text_string(t, "l7_action", e->method);
	text_string(t, "l7_target", e->target);
	text_string(t, "l7_deny_reason", e->reason);
	text_string(t, "policy", e->policy);
	text_number(t, "dst_port", e->port);
	text_string(t, "binary", e->binary);
	text_number(t, "pid", e->pid);
	text_string(t, "dst_ip", e->addr);
}

static void text_administration(struct text *t, const struct event *e)
{
	text_string(t, "action", action_or_null(e));
	text_string(t, "message", e->message);
	text_string(t, "policy", e->policy);
	text_string(t, "reason", e->reason);
	text_string(t, "dst_host", e->host);
	text_number(t, "dst_port", e->port);
	text_string(t, "path", e->addr);
	text_string(t, "binary", e->binary);
	text_number(t, "pid", e->pid);
}

/* What follows the fixed keys, the same for all. */
static void text_details(struct text *t, const struct event *e)
{
	text_string(t, "protocol", e->protocol);
	text_string(t, "operation", e->operation);
	text_number(t, "status", e->status);
	text_string(t, "endpoint", e->endpoint);
	text_string(t, "rule", e->rule);
	text_string(t, "engine", e->engine);
	text_string(t, "nearest", e->nearest);
	text_ancestors(t, e->ancestors);
	text_number(t, "generation", e->generation);
	text_number(t, "connection", e->connection);
	text_number(t, "bytes_up", e->bytes_up);
	text_number(t, "bytes_down", e->bytes_down);
	text_string(t, "stack", e->stack);
	text_number(t, "count", e->count);
	if (!e->count || t->r < 0)
		return;
	text_puts(t, " until=");
	if (t->r == 0)
		t->r = put_time(t->out, e->until_ms);
}

static const char *const level_colours[] = {
	[EVENT_DEBUG] = "\033[2m",
	[EVENT_INFO] = "\033[32m",
	[EVENT_WARN] = "\033[33m",
	[EVENT_ERROR] = "\033[31m",
};

static void text_front(struct text *t, const struct event *e, bool is_coloured)
{
	if (t->r == 0)
		t->r = put_time(t->out, e->time_ms);
	text_puts(t, is_coloured ? level_colours[e->level & 3] : "");
	text_puts(t, " ");
	text_puts(t, event_level_name(e->level));
	text_puts(t, is_coloured ? "\033[0m" : "");
	text_puts(t, " [");
	text_puts(t, event_adapter_name(e->adapter));
	text_puts(t, "]");
}

int event_render_text(struct buf *out, const struct event *e, bool is_coloured)
{
	struct text t = { .out = out };

	text_front(&t, e, is_coloured);
	if (e->adapter == EVENT_L7)
		text_request(&t, e);
	else if (e->adapter == EVENT_LIFECYCLE || e->adapter == EVENT_POLICY)
		text_administration(&t, e);
	else
		text_connection(&t, e);
	if (e->adapter != EVENT_LIFECYCLE && e->adapter != EVENT_POLICY)
		text_string(&t, "message", e->message);
	text_details(&t, e);
	text_puts(&t, "\n");
	return t.r;
}
