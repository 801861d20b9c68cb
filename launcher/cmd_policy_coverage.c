/*
 * openshell policy coverage: which rules of the policy in force were used, by what and how often,
 * and which never were: candidates to remove.
 *
 * The log names for every decision the endpoint, and for a request the rule, that took it. An
 * access preset has no rules of its own: the endpoint stands for it.
 */
#include <errno.h>
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/cmd.h"
#include "launcher/out.h"
#include "launcher/policysubmit.h"
#include "launcher/sandbox.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/event_render.h"
#include "lib/logstore.h"
#include "lib/policy_doc.h"
#include "lib/str.h"

enum { PLACE_MAX = 320, BINARIES_MAX = 8, ROWS_MAX = 200000 };

/* One thing that can be used: an endpoint, a rule or a deny rule of it. */
struct row {
	char place[PLACE_MAX]; /* as the log has it: "network_policies.K.endpoints[0]", " rules[1]" */
	char what[256];	       /* "api.github.com:443", "GET /zen", "deny DELETE **" */
	uint64_t count, last_ms;
	char *binaries[BINARIES_MAX]; /* owned; the first few that used it */
	size_t n_binaries;
};

struct coverage {
	struct row *rows;
	size_t n, room;
};

struct coverage_options {
	enum out_format format;
	bool unused;
};

const struct cli_option cmd_policy_coverage_options[] = {
	{ CLI_FLAG, "unused", 0, offsetof(struct coverage_options, unused), 0, NULL,
		"Show only what was never used" },
	{ CLI_FORMAT, "output", 'o', offsetof(struct coverage_options, format), 0, "FORMAT",
		"table, json or yaml" },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

static void coverage_done(struct coverage *c)
{
	for (size_t i = 0; i < c->n; i++)
		for (size_t j = 0; j < c->rows[i].n_binaries; j++)
			free(c->rows[i].binaries[j]);
	free(c->rows);
}

static struct row *row_add(struct coverage *c)
{
	size_t room = c->room ? 2 * c->room : 64;
	struct row *rows = c->rows;

	if (c->n == ROWS_MAX)
		return NULL;
	if (c->n == c->room) {
		rows = reallocarray(rows, room, sizeof(*rows));
		if (!rows)
			return NULL;
		c->rows = rows;
		c->room = room;
	}
	rows[c->n] = (struct row){ .count = 0 };
	return &rows[c->n++];
}

/* "GET /zen", "query viewer", "tools/call search": what a person recognises. */
static void describe(const struct doc_rule *r, char *out, size_t size)
{
	const char *head = r->method.text ? r->method.text : r->operation_type.text;
	const char *tail = r->path.text ? r->path.text : r->operation_name.text;

	if (!tail && r->tool.values.n)
		tail = r->tool.values.list[0].text;
	if (!tail && r->fields.n)
		tail = r->fields.list[0].text;
	(void)snprintf(out, size, "%s%s%s", head ? head : "*", tail ? " " : "", tail ? tail : "");
}

static int add_rules(struct coverage *c, const struct doc_endpoint *ep, const char *place)
{
	for (size_t i = 0; i < ep->rules.n + ep->deny_rules.n; i++) {
		bool is_deny = i >= ep->rules.n;
		size_t k = is_deny ? i - ep->rules.n : i;
		const struct doc_rule *r = is_deny ? &ep->deny_rules.list[k] :
						     &ep->rules.list[k].allow;
		struct row *row = row_add(c);
		char what[200];

		if (!row)
			return -ENOMEM;
		describe(r, what, sizeof(what));
		(void)str_format(row->place, sizeof(row->place), "%s %s[%zu]", place,
			is_deny ? "deny_rules" : "rules", k);
		(void)snprintf(row->what, sizeof(row->what), "%s%s", is_deny ? "deny " : "", what);
	}
	return 0;
}

static int add_endpoint(struct coverage *c, const char *key, size_t index,
	const struct doc_endpoint *ep)
{
	struct row *row = row_add(c);
	char place[PLACE_MAX - 32];
	int64_t port = ep->port.is_set ? ep->port.value : ep->ports.n ? ep->ports.list[0].value : 0;

	if (!row)
		return -ENOMEM;
	(void)str_format(place, sizeof(place), "network_policies.%s.endpoints[%zu]", key, index);
	(void)str_copy(row->place, sizeof(row->place), place);
	(void)snprintf(row->what, sizeof(row->what), "%s:%lld%s%s%s",
		ep->host.text ? ep->host.text : "(any)", (long long)port,
		ep->ports.n > 1 ? "…" : "", ep->access.text ? " " : "",
		ep->access.text ? ep->access.text : "");
	return add_rules(c, ep, place);
}

static int rows_of(struct coverage *c, const struct policy_doc *d)
{
	int r = 0;

	for (size_t i = 0; i < d->network_policies.n && r == 0; i++) {
		const struct doc_network_policy *p = &d->network_policies.list[i];

		for (size_t j = 0; j < p->endpoints.n && r == 0; j++)
			r = add_endpoint(c, p->head.key.text, j, &p->endpoints.list[j]);
	}
	return r;
}

static void used(struct row *row, const struct event *e)
{
	row->count += e->count ? e->count : 1;
	if (e->time_ms > row->last_ms)
		row->last_ms = e->time_ms;
	for (size_t i = 0; i < row->n_binaries; i++)
		if (str_eq(row->binaries[i], e->binary))
			return;
	if (e->binary && row->n_binaries < BINARIES_MAX) {
		row->binaries[row->n_binaries] = strdup(e->binary);
		row->n_binaries += row->binaries[row->n_binaries] != NULL;
	}
}

static void count(struct coverage *c, const char *place, const struct event *e)
{
	for (size_t i = 0; i < c->n; i++)
		if (str_eq(c->rows[i].place, place))
			used(&c->rows[i], e);
}

static int take_line(void *arg, const struct event_peek *peek, const char *line, size_t len)
{
	auto_event_record struct event_record record = { 0 };
	const struct event *e = &record.event;
	char place[PLACE_MAX];
	int r = event_parse(line, len, &record);

	(void)peek;
	if (r < 0)
		return r == -EINVAL ? 0 : r;
	if (!e->endpoint)
		return 0;
	/* Connections use the endpoint, requests its rules. */
	if (e->adapter != EVENT_L7)
		count(arg, e->endpoint, e);
	else if (e->rule && str_format(place, sizeof(place), "%s %s", e->endpoint, e->rule))
		count(arg, place, e);
	return 0;
}

static int read_log(struct coverage *c, const char *name, struct err *err)
{
	const struct logstore_query everything = { 0 };
	struct logstore_view *v = NULL;
	auto_close int dir = state_log_open(name, err);
	int r;

	if (dir < 0)
		return dir;
	r = logstore_view_open(&v, dir);
	if (r == 0)
		r = logstore_read(v, &everything, take_line, c);
	logstore_view_free(v);
	return r < 0 ? err_set(err, r, "log of '%s': %s", name, err_name(r)) : 0;
}

static int collect(struct coverage *c, const struct state *s, struct err *err)
{
	auto_policy_doc struct policy_doc *d = NULL;
	auto_free char *yaml = NULL;
	struct state_revision rev;
	int r = sandbox_policy(s, 0, &rev, &yaml, err);

	if (r == 0)
		r = policy_doc_parse(yaml, strlen(yaml), &d, NULL);
	if (r == 0)
		r = rows_of(c, d);
	return r < 0 ? r : read_log(c, s->name, err);
}

static json_t *row_json(const struct row *row)
{
	json_t *binaries = json_array();

	for (size_t i = 0; i < row->n_binaries; i++)
		json_array_append_new(binaries, json_string(row->binaries[i]));
	return json_pack("{s:s, s:s, s:I, s:I, s:o}", "place", row->place, "what", row->what,
		"count", (json_int_t)row->count, "last_used_ms", (json_int_t)row->last_ms,
		"binaries", binaries);
}

static int print_json(const struct coverage *c, const struct coverage_options *o)
{
	json_t *all = json_array();

	for (size_t i = 0; i < c->n; i++)
		if (!o->unused || !c->rows[i].count)
			json_array_append_new(all, row_json(&c->rows[i]));
	return out_json(all, o->format);
}

/* The sandbox chose the name. */
static void print_binary(const char *path)
{
	auto_buf struct buf safe;

	buf_init(&safe, 65536);
	if (str_escape(&safe, path, strlen(path)) == 0 && buf_cstr(&safe))
		printf("%8s  %-19s      by %s\n", "", "", buf_cstr(&safe));
}

static void print_row(const struct row *row)
{
	const char *rule = strchr(row->place, ' ');
	char when[24] = "never";

	if (row->count)
		out_time(when, row->last_ms);
	printf("%8llu  %-19s  %s%s%s%s\n", (unsigned long long)row->count, when, rule ? "    " : "",
		rule ? row->what : row->place, rule ? "" : "  ", rule ? "" : row->what);
	for (size_t i = 0; i < row->n_binaries && !rule; i++)
		print_binary(row->binaries[i]);
}

static int print_table(const struct coverage *c, const struct coverage_options *o)
{
	size_t unused = 0;

	printf("%8s  %-19s  %s\n", "USED", "LAST", "WHAT");
	for (size_t i = 0; i < c->n; i++) {
		unused += c->rows[i].count == 0;
		if (!o->unused || !c->rows[i].count)
			print_row(&c->rows[i]);
	}
	if (!c->n)
		out_note("the policy allows no network");
	else if (unused)
		out_note("%zu of %zu were never used", unused, c->n);
	return CLI_OK;
}

int cmd_policy_coverage(const struct cli_command *cmd, int argc, char **argv)
{
	__attribute__((cleanup(coverage_done))) struct coverage c = { 0 };
	struct coverage_options o = { 0 };
	auto_state struct state *s = NULL;
	struct err err = { 0 };
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r < 0)
		r = sandbox_open(a.pos[0], &s);
	if (r >= 0)
		return r;
	r = collect(&c, s, &err);
	if (r < 0 && !err.text[0])
		(void)err_set(&err, r, "%s", err_name(r));
	if (r < 0)
		return out_fail(CLI_FAILED, &err);
	return o.format == OUT_TABLE ? print_table(&c, &o) : print_json(&c, &o);
}
