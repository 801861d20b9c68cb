#include "launcher/coverage.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/sandbox.h"
#include "lib/analyzer.h"
#include "lib/cleanup.h"
#include "lib/event_render.h"
#include "lib/logstore.h"
#include "lib/policy_doc.h"
#include "lib/str.h"

enum { ROWS_MAX = 200000 };

void coverage_done(struct coverage *c)
{
	for (size_t i = 0; i < c->n; i++)
		for (size_t j = 0; j < c->rows[i].n_binaries; j++)
			free(c->rows[i].binaries[j]);
	free(c->rows);
}

static struct coverage_row *row_add(struct coverage *c)
{
	size_t room = c->room ? 2 * c->room : 64;
	struct coverage_row *rows = c->rows;

	if (c->n == ROWS_MAX)
		return NULL;
	if (c->n == c->room) {
		rows = reallocarray(rows, room, sizeof(*rows));
		if (!rows)
			return NULL;
		c->rows = rows;
		c->room = room;
	}
	rows[c->n] = (struct coverage_row){ .count = 0 };
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
		const struct doc_rule *r =
			is_deny ? &ep->deny_rules.list[k] : &ep->rules.list[k].allow;
		struct coverage_row *row = row_add(c);
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

static int add_endpoint(
	struct coverage *c, const char *key, size_t index, const struct doc_endpoint *ep)
{
	struct coverage_row *row = row_add(c);
	char place[COVERAGE_PLACE_MAX - 32];
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

/* gcc 12: the row owns it. */
ANALYZER_OFF("-Wanalyzer-malloc-leak")
static void used(struct coverage_row *row, const struct event *e)
{
	row->count += e->count ? e->count : 1;
	if (e->time_ms > row->last_ms)
		row->last_ms = e->time_ms;
	for (size_t i = 0; i < row->n_binaries; i++)
		if (str_eq(row->binaries[i], e->binary))
			return;
	if (e->binary && row->n_binaries < COVERAGE_BINARIES_MAX) {
		row->binaries[row->n_binaries] = strdup(e->binary);
		row->n_binaries += row->binaries[row->n_binaries] != NULL;
	}
}
ANALYZER_ON

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
	char place[COVERAGE_PLACE_MAX];
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

static int read_log(struct coverage *c, const char *name, size_t last, struct err *err)
{
	const struct logstore_query query = { .last = last };
	struct logstore_view *v = NULL;
	auto_close int dir = state_log_open(name, err);
	int r;

	if (dir < 0)
		return dir;
	r = logstore_view_open(&v, dir);
	if (r == 0)
		r = logstore_read(v, &query, take_line, c);
	logstore_view_free(v);
	return r < 0 ? err_set(err, r, "log of '%s': %s", name, err_name(r)) : 0;
}

int coverage_load(struct coverage *c, const struct state *s, size_t last, struct err *err)
{
	auto_policy_doc struct policy_doc *d = NULL;
	auto_free char *yaml = NULL;
	struct state_revision rev;
	int r = sandbox_policy(s, 0, &rev, &yaml, err);

	if (r == 0)
		r = policy_doc_parse(yaml, strlen(yaml), &d, NULL);
	if (r == 0)
		r = rows_of(c, d);
	c->version = r == 0 ? rev.version : 0;
	if (r == 0)
		r = read_log(c, s->name, last, err);
	return r < 0 && err && !err->text[0] ? err_set(err, r, "%s", err_name(r)) : r;
}
