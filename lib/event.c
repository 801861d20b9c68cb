/*
 * The compact line is written by hand: it is on the path of every decision, and has to cost well
 * under a microsecond. Runs of plain ASCII are copied whole, only the rest goes through
 * str_json_escape() character by character.
 *
 * The keys, which readers (lib/event_render.c, and people with jq) rely on:
 *
 *   t  time, ms            n  count, u  last time (folded lines)   c  connection   p  pid
 *   l  level 0-3           a  adapter       d  decision    m  message
 *   h  host                o  port          i  address     r  protocol
 *   b  binary              f  ancestors     k  policy      e  endpoint    y  rule
 *   g  engine              w  reason        q  nearest rule
 *   v  method              x  target        z  operation   s  status
 *   mod  model             via  provider    ms  latency
 *   up, down  bytes        gen  generation  stack
 */
#include "lib/event.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/str.h"

static const char *const adapter_names[] = {
	[EVENT_LIFECYCLE] = "LIFECYCLE",
	[EVENT_POLICY] = "POLICY",
	[EVENT_CONNECT] = "CONNECT",
	[EVENT_FORWARD] = "FORWARD",
	[EVENT_TCP] = "TCP",
	[EVENT_DNS] = "DNS",
	[EVENT_UNIX] = "UNIX",
	[EVENT_L7] = "L7",
	[EVENT_FS] = "FS",
	[EVENT_SOCKET] = "SOCKET",
};

static const char *const action_names[] = {
	[EVENT_NONE] = "none",
	[EVENT_ALLOW] = "allow",
	[EVENT_DENY] = "deny",
	[EVENT_AUDIT] = "audit",
};

static const char *const level_names[] = {
	[EVENT_DEBUG] = "DEBUG",
	[EVENT_INFO] = "INFO",
	[EVENT_WARN] = "WARN",
	[EVENT_ERROR] = "ERROR",
};

static const char *name_at(const char *const *names, size_t n, unsigned int i)
{
	return i < n ? names[i] : "?";
}

static bool name_find(const char *const *names, size_t n, const char *name, unsigned int *ret)
{
	for (size_t i = 0; i < n; i++) {
		if (((names[i][0] ^ name[0]) & ~0x20) == 0 && str_case_eq(names[i], name)) {
			*ret = (unsigned int)i;
			return true;
		}
	}
	return false;
}

const char *event_adapter_name(enum event_adapter a)
{
	return name_at(adapter_names, ARRAY_SIZE(adapter_names), a);
}

const char *event_action_name(enum event_action a)
{
	return name_at(action_names, ARRAY_SIZE(action_names), a);
}

const char *event_level_name(enum event_level l)
{
	return name_at(level_names, ARRAY_SIZE(level_names), l);
}

bool event_adapter_from_name(const char *name, enum event_adapter *ret)
{
	unsigned int i;

	if (!name_find(adapter_names, ARRAY_SIZE(adapter_names), name, &i))
		return false;
	*ret = (enum event_adapter)i;
	return true;
}

bool event_action_from_name(const char *name, enum event_action *ret)
{
	unsigned int i;

	if (!name_find(action_names, ARRAY_SIZE(action_names), name, &i))
		return false;
	*ret = (enum event_action)i;
	return true;
}

bool event_level_from_name(const char *name, enum event_level *ret)
{
	unsigned int i;

	if (!name_find(level_names, ARRAY_SIZE(level_names), name, &i))
		return false;
	*ret = (enum event_level)i;
	return true;
}

uint64_t event_now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/*
 * A line being written: the first error sticks, so that it is looked at once. Room is reserved in
 * steps and committed when they are used up, which spares a call for each of the many small parts.
 */
struct line {
	struct buf *out;
	char *p, *end; /* reserved, not committed */
	size_t left;   /* bytes of strings that may still be written */
	int r;
};

enum { LINE_STEP = 512 };

static void line_commit(struct line *l)
{
	if (l->p)
		buf_commit(l->out, (size_t)(l->p - (buf_head(l->out) + l->out->len)));
	l->p = l->end = NULL;
}

static bool line_reserve(struct line *l, size_t n)
{
	line_commit(l);
	if (l->r < 0)
		return false;
	if (n < LINE_STEP && LINE_STEP <= buf_room(l->out))
		n = LINE_STEP;
	l->p = buf_reserve(l->out, n);
	if (!l->p) {
		l->r = n > buf_room(l->out) ? -ENOBUFS : -ENOMEM;
		return false;
	}
	l->end = l->p + n;
	return true;
}

static int line_end(struct line *l)
{
	line_commit(l);
	return l->r;
}

static void put_bytes(struct line *l, const char *s, size_t n)
{
	if ((!l->p || (size_t)(l->end - l->p) < n) && !line_reserve(l, n))
		return;
	memcpy(l->p, s, n);
	l->p += n;
}

static void put(struct line *l, const char *s)
{
	put_bytes(l, s, strlen(s));
}

static void put_u64(struct line *l, uint64_t v)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	put_bytes(l, digits + at, sizeof(digits) - at);
}

void event_put_padded(char *p, size_t width, uint64_t v)
{
	size_t at = width;

	do {
		p[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v && at);
	memset(p, v ? '9' : ' ', v ? width : at);
}

static void put_odd(struct line *l, const char *s, size_t n)
{
	line_commit(l);
	if (l->r == 0)
		l->r = str_json_escape(l->out, s, n);
}

/* Splitting before a plain byte never splits a character: no UTF-8 sequence contains one. */
static void put_escaped(struct line *l, const char *s, size_t len)
{
	while (len && l->r == 0) {
		size_t n = str_json_plain(s, len);

		put_bytes(l, s, n);
		s += n;
		len -= n;
		for (n = 0; n < len && !str_json_plain(s + n, 1);)
			n++;
		if (n)
			put_odd(l, s, n);
		s += n;
		len -= n;
	}
}

/* What is longer than a field may be is cut, and shows that it was. */
static void put_string_n(struct line *l, const char *s, size_t len)
{
	size_t max = l->left < EVENT_FIELD_MAX ? l->left : EVENT_FIELD_MAX;
	size_t n = len < max ? len : max;

	put(l, "\"");
	put_escaped(l, s, n);
	put(l, n < len ? "\\u2026\"" : "\"");
	l->left -= n;
}

static void put_text(struct line *l, const char *key, const char *s)
{
	if (!s)
		return;
	put(l, key);
	put_string_n(l, s, strlen(s));
}

static void put_number(struct line *l, const char *key, uint64_t v)
{
	if (!v)
		return;
	put(l, key);
	put_u64(l, v);
}

static void put_list(struct line *l, const char *key, const char *const *list)
{
	if (!list || !list[0])
		return;
	put(l, key);
	put(l, "[");
	for (size_t i = 0; list[i]; i++) {
		if (i)
			put(l, ",");
		put_string_n(l, list[i], strlen(list[i]));
		if (!l->left)
			break;
	}
	put(l, "]");
}

static bool is_placeholder(const char *s, size_t len)
{
	return memmem(s, len, "openshell:resolve:env:", 22) ||
	       memmem(s, len, "OPENSHELL-RESOLVE-ENV-", 22);
}

/* The pieces of a text between @ends, those with a credential's placeholder hidden. */
static void put_pieces(struct line *l, const char *s, size_t len, const char *ends)
{
	put(l, "\"");
	while (len && l->left) {
		size_t n = strcspn(s, ends);

		n = n ? n : 1;
		n = n < len ? n : len;
		n = n < l->left ? n : l->left;
		if (is_placeholder(s, n))
			put(l, "[CREDENTIAL]");
		else
			put_escaped(l, s, n);
		l->left -= n;
		len -= n;
		s += n;
	}
	put(l, "\"");
}

/*
 * A path. The caller gives canonical ones without a query; should one come with a query all the
 * same, the query stays out of the log.
 */
static void put_target(struct line *l, const char *key, const char *s)
{
	size_t len;

	if (!s)
		return;
	len = strcspn(s, "?#");
	put(l, key);
	if (is_placeholder(s, len))
		put_pieces(l, s, len, "/");
	else
		put_string_n(l, s, len);
}

/* A sentence that may quote a path. */
static void put_sentence(struct line *l, const char *key, const char *s)
{
	if (!s)
		return;
	put(l, key);
	if (is_placeholder(s, strlen(s)))
		put_pieces(l, s, strlen(s), "/ \"';,?");
	else
		put_string_n(l, s, strlen(s));
}

static void put_padded(struct line *l, const char *key, size_t width, uint64_t v)
{
	char field[EVENT_TIME_WIDTH];

	event_put_padded(field, width, v);
	put(l, key);
	put_bytes(l, field, width);
}

int event_format_head(struct buf *out, const struct event *e)
{
	struct line l = { .out = out };
	uint64_t now = e->time_ms ? e->time_ms : event_now_ms();

	put_padded(&l, "{\"t\":", EVENT_TIME_WIDTH, now);
	if (e->count) {
		put_padded(&l, ",\"n\":", EVENT_COUNT_WIDTH, e->count);
		put_padded(&l, ",\"u\":", EVENT_TIME_WIDTH, e->until_ms ? e->until_ms : now);
	}
	put_number(&l, ",\"c\":", e->connection);
	put_number(&l, ",\"p\":", e->pid);
	return line_end(&l);
}

static void put_where(struct line *l, const struct event *e)
{
	put_text(l, ",\"h\":", e->host);
	put_number(l, ",\"o\":", e->port);
	put_text(l, ",\"i\":", e->addr);
	put_text(l, ",\"r\":", e->protocol);
	put_text(l, ",\"b\":", e->binary);
	put_list(l, ",\"f\":", e->ancestors);
}

static void put_why(struct line *l, const struct event *e)
{
	put_text(l, ",\"k\":", e->policy);
	put_text(l, ",\"e\":", e->endpoint);
	put_text(l, ",\"y\":", e->rule);
	put_text(l, ",\"g\":", e->engine);
	put_sentence(l, ",\"w\":", e->reason);
	put_sentence(l, ",\"q\":", e->nearest);
}

static void put_what(struct line *l, const struct event *e)
{
	put_text(l, ",\"v\":", e->method);
	put_target(l, ",\"x\":", e->target);
	put_text(l, ",\"z\":", e->operation);
	put_text(l, ",\"mod\":", e->model);
	put_text(l, ",\"via\":", e->provider);
	put_number(l, ",\"ms\":", e->latency_ms);
	put_number(l, ",\"s\":", e->status);
	put_number(l, ",\"up\":", e->bytes_up);
	put_number(l, ",\"down\":", e->bytes_down);
	put_number(l, ",\"gen\":", e->generation);
	put_text(l, ",\"stack\":", e->stack);
}

int event_format_identity(struct buf *out, const struct event *e)
{
	struct line l = { .out = out, .left = EVENT_SOURCE_MAX };

	put(&l, ",\"l\":");
	put_u64(&l, e->level);
	put(&l, ",\"a\":\"");
	put(&l, event_adapter_name(e->adapter));
	put(&l, "\"");
	if (e->action) {
		put(&l, ",\"d\":\"");
		put(&l, event_action_name(e->action));
		put(&l, "\"");
	}
	put_sentence(&l, ",\"m\":", e->message);
	put_where(&l, e);
	put_why(&l, e);
	put_what(&l, e);
	put(&l, "}\n");
	return line_end(&l);
}

int event_format(struct buf *out, const struct event *e)
{
	size_t before = out->len;
	int r;

	r = event_format_head(out, e);
	if (r == 0)
		r = event_format_identity(out, e);
	if (r < 0)
		buf_truncate(out, before);
	return r;
}
