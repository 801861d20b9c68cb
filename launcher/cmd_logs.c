/*
 * openshell logs: renders the log of a sandbox, of one that is gone too. Reads the segments
 * itself; no supervisor is asked.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/cli.h"
#include "launcher/cmd.h"
#include "launcher/out.h"
#include "launcher/sandbox.h"
#include "launcher/symbols.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/event_render.h"
#include "lib/jsontext.h"
#include "lib/logstore.h"
#include "lib/ocsf.h"
#include "lib/stack.h"
#include "lib/state.h"
#include "lib/str.h"
#include "lib/strv.h"

enum { LAST_DEFAULT = 200, RENDERED_MAX = 16 * EVENT_LINE_MAX };

enum form { FORM_TEXT = 0, FORM_SHORTHAND, FORM_JSON };

struct logs_options {
	const char *last;
	const char *since;
	const char *level;
	char **sources;
	const char *form;
	enum out_format output;
	bool tail, stacks;
};

const struct cli_option cmd_logs_options[] = {
	{ CLI_STR, "lines", 'n', offsetof(struct logs_options, last), 0, "N",
		"only the last N events (200; all with --since; 0: all)" },
	{ CLI_STR, "since", 0, offsetof(struct logs_options, since), 0, "DURATION",
		"only events of the last 30s, 5m, 2h, 1d" },
	{ CLI_FLAG, "tail", 0, offsetof(struct logs_options, tail), 0, NULL,
		"go on printing as events come" },
	{ CLI_FLAG, "stacks", 0, offsetof(struct logs_options, stacks), 0, NULL,
		"with the call stacks that --stacks recorded, and names of functions" },
	{ CLI_STR, "level", 0, offsetof(struct logs_options, level), 0, "LEVEL",
		"error, warn, info, debug or trace, and what is worse" },
	{ CLI_LIST, "source", 0, offsetof(struct logs_options, sources), 0, "SOURCE",
		"sandbox, gateway, all, or an adapter: connect, l7, dns …; repeatable" },
	{ CLI_STR, "format", 0, offsetof(struct logs_options, form), 0, "FORM",
		"text, shorthand (upstream's line), json (OCSF 1.8, one a line)" },
	{ CLI_FORMAT, "output", 'o', offsetof(struct logs_options, output), 0, "FORMAT",
		"table (text), json (as --format json), yaml" },
	{ 0 },
};

/* What is printed, and how. */
struct printer {
	enum form form;
	bool is_coloured;
	json_t *list; /* YAML: collected */
	struct ocsf_origin origin;
	struct buf out;
	struct symbols *symbols; /* --stacks */
	size_t torn; /* lines that looked like events and were none */
};

/* ---- Options to a query ------------------------------------------------------------------ */

static int parse_last(const struct logs_options *o, struct logstore_query *q)
{
	uint64_t n = o->since ? 0 : LAST_DEFAULT;

	if (o->last && str_to_u64(o->last, SIZE_MAX / 2, &n) < 0)
		return cli_usage_error("-n wants a number, not '%s'", o->last);
	q->last = (size_t)n;
	return -1;
}

static int parse_since(const struct logs_options *o, struct logstore_query *q)
{
	uint64_t now = event_now_ms(), ms;

	if (!o->since)
		return -1;
	if (str_to_duration_ms(o->since, &ms) < 0)
		return cli_usage_error("--since wants 30s, 5m, 2h or 1d, not '%s'", o->since);
	q->since_ms = now > ms ? now - ms : 0;
	return -1;
}

static int parse_level(const struct logs_options *o, struct logstore_query *q)
{
	if (!o->level || str_case_eq(o->level, "trace"))
		return -1;
	if (!event_level_from_name(o->level, &q->min_level))
		return cli_usage_error(
			"--level wants error, warn, info, debug or trace, not '%s'", o->level);
	return -1;
}

static uint32_t adapters_of(const char *source)
{
	uint32_t bits = 0;

	for (unsigned int a = EVENT_LIFECYCLE; a <= EVENT_SOCKET; a++)
		if (str_case_eq(source, "all") || str_case_eq(source, event_source(a)) ||
			str_case_eq(source, event_adapter_name(a)))
			bits |= 1u << a;
	return bits;
}

static int parse_sources(const struct logs_options *o, struct logstore_query *q)
{
	for (char **s = o->sources; s && *s; s++) {
		uint32_t bits = adapters_of(*s);

		if (!bits)
			return cli_usage_error("--source wants sandbox, gateway, all or an adapter "
					       "such as connect, l7, dns, not '%s'",
				*s);
		q->adapters |= bits;
	}
	return -1;
}

static int parse_form(const struct logs_options *o, struct printer *p)
{
	static const char *const names[] = { "text", "shorthand", "json" };

	if (o->output == OUT_JSON)
		p->form = FORM_JSON;
	if (o->output == OUT_YAML && o->tail)
		return cli_usage_error("--tail has no end to make YAML of: use -o json");
	if (!o->form)
		return -1;
	if (o->output != OUT_TABLE)
		return cli_usage_error("--format and -o exclude each other");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (str_eq(o->form, names[i])) {
			p->form = (enum form)i;
			return -1;
		}
	}
	return cli_usage_error("--format wants text, shorthand or json, not '%s'", o->form);
}

static int parse_query(const struct logs_options *o, struct logstore_query *q, struct printer *p)
{
	int r;

	if ((r = parse_last(o, q)) >= 0 || (r = parse_since(o, q)) >= 0 ||
		(r = parse_level(o, q)) >= 0 || (r = parse_sources(o, q)) >= 0)
		return r;
	return parse_form(o, p);
}

/* ---- Printing --------------------------------------------------------------------------- */

static int render(struct printer *p, const struct event *e)
{
	if (p->form == FORM_JSON || p->list)
		return ocsf_render_json(&p->out, e, &p->origin);
	if (p->form == FORM_SHORTHAND)
		return ocsf_render_shorthand(&p->out, e);
	return event_render_text(&p->out, e, p->is_coloured);
}

/* JSON has the frames in any case, text where they are asked for. */
static const struct stack *frames_of(struct printer *p, const struct event *e, struct stack *ret)
{
	if (!e->stack || (!p->symbols && p->form != FORM_JSON && !p->list))
		return NULL;
	(void)stack_parse(e->stack, ret);
	if (p->symbols)
		symbols_resolve(p->symbols, ret);
	return ret;
}

static int emit(struct printer *p)
{
	if (p->list)
		return json_array_append_new(
			       p->list, jsontext_load(buf_head(&p->out), p->out.len, 0, NULL)) < 0
			       ? -ENOMEM
			       : 0;
	return fwrite(buf_head(&p->out), 1, p->out.len, stdout) == p->out.len ? 0 : -EIO;
}

static int print_line(void *arg, const struct event_peek *peek, const char *line, size_t len)
{
	auto_event_record struct event_record record = { 0 };
	struct printer *p = arg;
	struct stack stack;
	int r;

	(void)peek;
	r = event_parse(line, len, &record);
	if (r == -EINVAL) {
		p->torn++;
		return 0;
	}
	buf_reset(&p->out);
	if (r == 0) {
		record.event.frames = frames_of(p, &record.event, &stack);
		r = render(p, &record.event);
	}
	return r < 0 ? r : emit(p);
}

/* ---- Reading ---------------------------------------------------------------------------- */

/* Prints what comes until the sandbox is gone. */
static int follow(struct logstore_view *v, const struct logstore_query *q, struct printer *p)
{
	struct pollfd poller = { .fd = logstore_watch(v), .events = POLLIN };
	bool is_there = true;
	int wait_ms = -1, r;

	do {
		r = logstore_follow(v, q, event_now_ms(), print_line, p, &wait_ms);
		if (r == 0 && fflush(stdout) != 0)
			r = -errno;
		if (r < 0 || !is_there)
			return r;
		if (poll(&poller, 1, wait_ms) < 0 && errno != EINTR)
			return -errno;
		is_there = logstore_watch_clear(v);
	} while (true);
}

static int show(int dirfd, const struct logstore_query *q, struct printer *p, bool is_tailing)
{
	struct logstore_view *v = NULL;
	int r;

	r = logstore_view_open(&v, dirfd);
	if (r == 0 && is_tailing)
		r = logstore_watch(v);
	if (r >= 0)
		r = logstore_read(v, q, print_line, p);
	if (r == 0 && is_tailing)
		r = follow(v, q, p);
	if (v)
		p->torn += logstore_torn(v);
	logstore_view_free(v);
	return r;
}

static bool is_gone(const char *name)
{
	auto_state struct state *s = NULL;

	return state_open(&s, name, NULL) == -ENOENT;
}

/* The sandbox's id, if it is still there to tell; its name otherwise. And where its home is. */
static void find_origin(const char *name, struct sandbox_spec *spec, struct printer *p, char *host,
	size_t size, int *ret_home)
{
	auto_state struct state *s = NULL;

	p->origin.sandbox = name;
	if (gethostname(host, size) == 0)
		p->origin.hostname = host;
	if (state_open(&s, name, NULL) < 0)
		return;
	if (state_load_spec(s, spec, NULL) == 0)
		p->origin.id = spec->id;
	*ret_home = state_subdir(s, "home");
}

static int finish(struct printer *p, int r)
{
	int status = CLI_OK;

	if (r == 0 && p->list)
		status = out_json(p->list, OUT_YAML);
	else
		json_decref(p->list);
	if (r == 0 && fflush(stdout) != 0)
		r = -errno;
	buf_done(&p->out);
	symbols_free(p->symbols);
	if (p->torn)
		out_note("%zu torn or foreign line%s skipped", p->torn, p->torn == 1 ? "" : "s");
	if (r < 0)
		return out_error(CLI_FAILED, "log: %s", err_name(r));
	return status;
}

static int print_log(const char *name, const struct logs_options *o, const struct logstore_query *q,
	struct printer *p)
{
	auto_spec struct sandbox_spec spec = { 0 };
	auto_close int dirfd = -1, home = -1;
	struct err err = { 0 };
	char host[256] = "";

	dirfd = state_log_open(name, &err);
	if (dirfd < 0)
		return out_fail(CLI_FAILED, &err);
	find_origin(name, &spec, p, host, sizeof(host) - 1, &home);
	if (o->stacks && !(p->symbols = symbols_new(home)))
		return out_error(CLI_FAILED, "log: %s", err_name(-ENOMEM));
	p->is_coloured = out_has_colour(stdout);
	p->list = o->output == OUT_YAML ? json_array() : NULL;
	buf_init(&p->out, RENDERED_MAX);
	return finish(p, show(dirfd, q, p, o->tail && !is_gone(name)));
}

int cmd_logs(const struct cli_command *cmd, int argc, char **argv)
{
	struct logs_options o = { 0 };
	struct logstore_query q = { 0 };
	struct printer p = { 0 };
	struct cli_args args = { 0 };
	char name[STATE_NAME_MAX + 1];
	int status;

	status = cli_parse(cmd, argc, argv, &o, &args);
	if (status < 0)
		status = parse_query(&o, &q, &p);
	if (status < 0)
		status = sandbox_name(args.n_pos ? args.pos[0] : NULL, name);
	if (status < 0)
		status = print_log(name, &o, &q, &p);
	strv_free(o.sources);
	return status;
}
