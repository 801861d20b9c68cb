#include "lib/event_render.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/stack.h"
#include "lib/str.h"

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

/* That there is a stack, and of how many frames; logs --stacks shows them. */
static void text_stack_size(struct text *t, const char *text)
{
	char value[32];
	struct stack s;

	if (!text)
		return;
	(void)stack_parse(text, &s);
	(void)snprintf(value, sizeof(value), s.by ? "%s:%u" : "%s", stack_by_name(s.by), s.n_frames);
	text_string(t, "stack", value);
}

/* What follows the fixed keys, the same for all. */
static void text_details(struct text *t, const struct event *e)
{
	text_string(t, "protocol", e->protocol);
	text_string(t, "operation", e->operation);
	text_string(t, "model", e->model);
	text_string(t, "provider", e->provider);
	text_number(t, "latency_ms", e->latency_ms);
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
	text_stack_size(t, e->stack);
	text_number(t, "count", e->count);
	if (!e->count || t->r < 0)
		return;
	text_puts(t, " until=");
	if (t->r == 0)
		t->r = put_time(t->out, e->until_ms);
}

/* The frames below the line, innermost first. */
static void text_frame(struct text *t, const struct stack *s, unsigned int i)
{
	const struct stack_frame *f = &s->frames[i];

	if (t->r == 0)
		t->r = buf_printf(t->out, "    #%-2u ", i);
	if (f->symbol && t->r == 0)
		t->r = str_escape(t->out, f->symbol, strlen(f->symbol));
	if (f->symbol && t->r == 0)
		t->r = buf_printf(t->out, "+0x%" PRIx64 "  ", f->into);
	if (t->r == 0)
		t->r = str_escape(t->out, s->modules[f->module].path, strlen(s->modules[f->module].path));
	if (t->r == 0)
		t->r = buf_printf(t->out, "+0x%" PRIx64 "\n", f->offset);
}

static void text_stack(struct text *t, const struct stack *s)
{
	text_puts(t, "    stack by=");
	text_puts(t, stack_by_name(s->by));
	text_puts(t, s->by == STACK_PRELOAD ? " (a hint: the workload lent the registers)" : "");
	if (s->by == STACK_NONE) {
		text_puts(t, ": ");
		if (t->r == 0)
			t->r = str_escape(t->out, s->reason, strlen(s->reason));
	}
	text_puts(t, "\n");
	for (unsigned int i = 0; i < s->n_frames; i++)
		text_frame(t, s, i);
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
	if (e->frames)
		text_stack(&t, e->frames);
	return t.r;
}
