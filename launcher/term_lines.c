#include "launcher/term_lines.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/out.h"
#include "launcher/term_cells.h"
#include "launcher/term_model.h"
#include "lib/analyzer.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/jsontext.h"
#include "lib/str.h"

enum { LABEL_COLS = 12, TEXT_MAX = 16 * CELLS_TEXT_MAX };

void term_lines_done(struct term_lines *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->list[i].text);
	free(l->list);
	*l = (struct term_lines){ 0 };
}

/* ---- Wrapping ---------------------------------------------------------------------------- */

/* Lines being made; the first error sticks. */
struct writer {
	struct term_lines *lines;
	int width, r;
};

/* gcc 12: the page owns the list. */
ANALYZER_OFF("-Wanalyzer-malloc-leak")
static void line_add(
	struct writer *w, uint8_t style, const char *lead, const char *text, size_t len)
{
	struct term_lines *l = w->lines;
	size_t room = l->room ? 2 * l->room : 64;
	struct term_line *list = l->list, line = { .style = style };

	if (w->r < 0 || l->n == TERM_LINES_MAX)
		return;
	if (l->n == l->room) {
		list = reallocarray(list, room, sizeof(*list));
		if (!list) {
			w->r = -ENOMEM;
			return;
		}
		l->list = list;
		l->room = room;
	}
	if (asprintf(&line.text, "%s%.*s", lead, (int)len, text) < 0)
		w->r = -ENOMEM;
	else
		l->list[l->n++] = line;
}
ANALYZER_ON

/* Escaped @text behind @lead, which is plain; what does not fit goes on below, as far in. */
static void wrap(struct writer *w, uint8_t style, const char *lead, const char *text)
{
	int indent = cells_width(lead), width = w->width - indent, used;
	auto_free char *blank = NULL;

	if (width < 1 || asprintf(&blank, "%*s", indent, "") < 0) {
		w->r = width < 1 ? w->r : -ENOMEM;
		return;
	}
	do {
		size_t n = cells_fit(text, width, &used);

		if (!n && *text) /* a wide character and one column: leave it out */
			break;
		line_add(w, style, lead, text, n);
		lead = blank;
		text += n;
	} while (*text && w->r == 0);
}

static void put(struct writer *w, uint8_t style, const char *lead, const char *text, size_t len)
{
	auto_buf struct buf safe = { 0 };

	buf_init(&safe, TEXT_MAX);
	if (w->r == 0)
		w->r = cells_escape(&safe, text, len);
	if (w->r == 0 && !buf_cstr(&safe))
		w->r = -ENOMEM;
	if (w->r == 0)
		wrap(w, style, lead, buf_cstr(&safe));
}

static void say(struct writer *w, uint8_t style, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* A line of ours; what is put into it from outside is escaped with it. */
static void say(struct writer *w, uint8_t style, const char *fmt, ...)
{
	auto_free char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0) {
		text = NULL;
		w->r = -ENOMEM;
	}
	va_end(ap);
	if (text)
		put(w, style, "", text, strlen(text));
}

static void field(struct writer *w, const char *label, const char *value)
{
	char lead[64];

	(void)snprintf(lead, sizeof(lead), "%-*s ", LABEL_COLS, label);
	put(w, CELLS_PLAIN, lead, value, strlen(value));
}

/* ---- Details ----------------------------------------------------------------------------- */

/* The keys of lib/event.c, in the order in which a person asks. Others follow under their own. */
static const struct label {
	const char *key, *label;
} labels[] = {
	{ "t", "time" },
	{ "a", "source" },
	{ "d", "decision" },
	{ "m", "message" },
	{ "b", "binary" },
	{ "h", "host" },
	{ "o", "port" },
	{ "v", "method" },
	{ "x", "path" },
	{ "z", "operation" },
	{ "w", "reason" },
	{ "q", "nearest" },
	/* Above the rule, and below it. */
	{ "k", "policy" },
	{ "e", "endpoint" },
	{ "y", "rule" },
	{ "i", "address" },
	{ "r", "protocol" },
	{ "s", "status" },
	{ "up", "bytes up" },
	{ "down", "bytes down" },
	{ "n", "count" },
	{ "u", "until" },
	{ "p", "pid" },
	{ "f", "ancestors" },
	{ "g", "engine" },
	{ "gen", "generation" },
	{ "c", "connection" },
	{ "l", "level" },
	{ "stack", "stack" },
};

enum { LABELS_ABOVE = 12 };

static const char *label_of(const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(labels); i++)
		if (str_eq(labels[i].key, key))
			return labels[i].label;
	return NULL;
}

static void field_time(struct writer *w, const char *label, uint64_t ms)
{
	char when[24], text[48];

	out_time(when, ms);
	(void)snprintf(text, sizeof(text), "%s.%03u UTC", when, (unsigned int)(ms % 1000));
	field(w, label, text);
}

/* A stack has a frame a line. */
static void field_text(struct writer *w, const char *label, const char *text)
{
	char lead[64];

	do {
		size_t n = strcspn(text, "\n");

		(void)snprintf(lead, sizeof(lead), "%-*s ", LABEL_COLS, label);
		put(w, CELLS_PLAIN, lead, text, n);
		text += n + (text[n] != '\0');
		label = "";
	} while (*text);
}

static void field_value(struct writer *w, const char *key, const char *label, const json_t *v)
{
	auto_free char *text = NULL;

	if (str_eq(key, "t") || str_eq(key, "u"))
		field_time(w, label, (uint64_t)json_integer_value(v));
	else if (str_eq(key, "l"))
		field(w, label, event_level_name((enum event_level)json_integer_value(v)));
	else if (json_is_string(v))
		field_text(w, label, json_string_value(v));
	else if ((text = jsontext_dumps(v, JSON_ENCODE_ANY)))
		field(w, label, text);
	else
		w->r = -ENOMEM;
}

/* A list has an entry a line. */
static void field_any(struct writer *w, const char *key, const char *label, const json_t *v)
{
	if (!json_is_array(v))
		field_value(w, key, label, v);
	for (size_t i = 0; i < json_array_size(v); i++)
		field_value(w, key, i ? "" : label, json_array_get(v, i));
}

static void known_fields(struct writer *w, const json_t *event, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		const json_t *value = json_object_get(event, labels[i].key);

		if (value)
			field_any(w, labels[i].key, labels[i].label, value);
	}
}

static void unknown_fields(struct writer *w, const json_t *event)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)(uintptr_t)event, key, value) {
		auto_buf struct buf safe = { 0 };

		buf_init(&safe, TEXT_MAX);
		if (!label_of(key) && cells_escape(&safe, key, strlen(key)) == 0 && buf_cstr(&safe))
			field_any(w, key, buf_cstr(&safe), value);
	}
}

static void rule_lines(struct writer *w, const char *rule)
{
	for (const char *line = rule; *line; line += strcspn(line, "\n") + 1) {
		size_t n = strcspn(line, "\n");

		/* Without the first line, "version: 1". */
		if (!str_starts(line, "version:"))
			put(w, CELLS_ACCENT, "  ", line, n);
		if (!line[n])
			break;
	}
}

static void note_lines(struct writer *w, const struct proposal *p)
{
	const char *notes[4];

	proposal_notes(p, notes);
	for (size_t i = 0; notes[i]; i++)
		say(w, CELLS_DENY, "! %s", notes[i]);
}

/* Where the rule is merged into what is there already, it may allow more than it says itself. */
static void effect_lines(struct writer *w, const struct policy_diff *effect)
{
	say(w, CELLS_HEAD,
		effect->gained ? "With it the policy allows, beyond what it does now:"
			       : "With it the policy allows no more than it does now.");
	for (char **line = effect->gained; line && *line; line++)
		put(w, CELLS_ACCENT, "  ", *line, strlen(*line));
	if (effect->lost)
		say(w, CELLS_HEAD, "and no longer:");
	for (char **line = effect->lost; line && *line; line++)
		put(w, CELLS_DENY, "  ", *line, strlen(*line));
}

static const char *status_words(const char *status)
{
	return str_eq(status, "approved")   ? "the policy allows it by now"
	       : str_eq(status, "rejected") ? "it was rejected"
					    : "not decided on yet";
}

static void rule_section(struct writer *w, const struct term_details *d)
{
	if (!d->proposal) {
		say(w, CELLS_HEAD, "No rule");
		say(w, CELLS_PLAIN, "  %s", d->why_not);
		return;
	}
	say(w, CELLS_HEAD, "The rule that would allow it (%s)", status_words(d->status));
	note_lines(w, d->proposal);
	rule_lines(w, d->rule ? d->rule : "");
	if (d->version)
		effect_lines(w, &d->effect);
	else
		say(w, CELLS_DENY, "%s", d->unreadable);
}

static void details(struct writer *w, const struct term_details *d)
{
	const char *line = d->event.line;
	size_t len = d->event.len;
	struct event_peek peek;
	json_auto_t *fields = event_peek(&line, &len, &peek) ? json_loadb(line, len, 0, NULL) : NULL;

	field(w, "sandbox", d->event.origin.name);
	known_fields(w, fields, 0, LABELS_ABOVE);
	say(w, CELLS_PLAIN, "%s", "");
	rule_section(w, d);
	say(w, CELLS_PLAIN, "%s", "");
	known_fields(w, fields, LABELS_ABOVE, ARRAY_SIZE(labels));
	unknown_fields(w, fields);
}

/* ---- The question ------------------------------------------------------------------------ */

static void grant_lines(struct writer *w, const struct term_details *d)
{
	auto_event_record struct event_record record = { 0 };
	const struct proposal *p = d->proposal;
	const char *asked = NULL;

	if (event_parse(d->event.line, d->event.len, &record) == 0)
		asked = record.event.target;
	if (!p->n_samples)
		field(w, "method", "any: the connection was refused, not a request");
	for (size_t i = 0; i < p->n_samples; i++) {
		field(w, "method", p->samples[i].method);
		field(w, "path", p->samples[i].path);
		if (asked && !str_eq(asked, p->samples[i].path))
			field(w, "asked for", asked);
	}
	note_lines(w, p);
}

int term_lines_question(struct term_lines *ret, const struct term_model *m, int width)
{
	struct writer w = { .lines = ret, .width = width };
	const struct term_details *d = &m->details;
	char port[12];

	(void)snprintf(port, sizeof(port), "%u", d->proposal->port);
	field(&w, "sandbox", d->event.origin.name);
	field(&w, "binary", d->proposal->binary);
	field(&w, "host", d->proposal->host);
	field(&w, "port", port);
	if (m->question == TERM_ASK_APPROVE) {
		grant_lines(&w, d);
		effect_lines(&w, &d->effect);
	} else {
		field(&w, "method", "any");
		say(&w, CELLS_DIM, "Stays refused, and is not proposed again.");
	}
	return w.r;
}

/* ---- Policy ------------------------------------------------------------------------------ */

static void coverage_line(struct writer *w, const struct coverage_row *row)
{
	const char *rule = strchr(row->place, ' ');
	char when[24] = "never";
	uint8_t style = !row->count ? CELLS_AUDIT : rule ? CELLS_PLAIN : CELLS_BOLD;

	if (row->count)
		out_time(when, row->last_ms);
	say(w, style, "%8" PRIu64 "  %-16.16s  %s%s", row->count, when, rule ? "  " : "",
		row->what);
	for (size_t i = 0; i < row->n_binaries && !rule; i++)
		say(w, CELLS_DIM, "%8s  %-16s    by %s", "", "", row->binaries[i]);
}

static void policy(struct writer *w, const struct term_policy *p)
{
	size_t unused = 0;

	if (p->error[0]) {
		say(w, CELLS_DENY, "%s", p->error);
		return;
	}
	for (size_t i = 0; i < p->coverage.n; i++)
		unused += p->coverage.rows[i].count == 0;
	if (p->coverage.n)
		say(w, CELLS_PLAIN,
			"Version %u: %zu endpoints and rules, %zu not used in the last %d events",
			p->coverage.version, p->coverage.n, unused, TERM_COVERAGE_EVENTS);
	else
		say(w, CELLS_PLAIN, "Version %u allows no network", p->coverage.version);
	say(w, CELLS_PLAIN, "%s", "");
	say(w, CELLS_HEAD, "%8s  %-16s  %s", "USED", "LAST (UTC)", "WHAT");
	for (size_t i = 0; i < p->coverage.n; i++)
		coverage_line(w, &p->coverage.rows[i]);
}

/* ---- Help -------------------------------------------------------------------------------- */

/* The screen whose section has the key; TERM_HELP for what works on most. */
static enum term_screen section_of(const struct term_binding *b)
{
	if (__builtin_popcount(b->screens) > 2)
		return TERM_HELP;
	return (enum term_screen)__builtin_ctz(b->screens);
}

static void help_section(struct writer *w, enum term_screen screen, const char *title)
{
	say(w, CELLS_HEAD, "%s", title);
	for (const struct term_binding *b = term_bindings; b->screens; b++) {
		char lead[32];

		if (!b->about || section_of(b) != screen)
			continue;
		(void)snprintf(lead, sizeof(lead), "  %-8s ", b->label);
		put(w, CELLS_PLAIN, lead, b->about, strlen(b->about));
	}
	say(w, CELLS_PLAIN, "%s", "");
}

static void help(struct writer *w)
{
	static const char *const words[] = {
		"allow    the policy allows it",
		"deny     refused; the program has been told so",
		"audit    let through, but a policy that is enforced would refuse it",
	};

	help_section(w, TERM_HELP, "Everywhere");
	help_section(w, TERM_SANDBOXES, "Sandboxes");
	help_section(w, TERM_EVENTS, "Decisions");
	help_section(w, TERM_POLICY, "Policy");
	say(w, CELLS_HEAD, "Words");
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		put(w, CELLS_PLAIN, "  ", words[i], strlen(words[i]));
	say(w, CELLS_PLAIN, "%s", "");
	/* Not through say(): these backslashes are ours. */
	wrap(w, CELLS_PLAIN, "",
		"Times are UTC. \\xNN and \\u{NNNN} stand for what a terminal must not get.");
}

/* ------------------------------------------------------------------------------------------ */

int term_lines_build(struct term_lines *ret, const struct term_model *m, int width)
{
	struct writer w = { .lines = ret, .width = width };

	if (m->screen == TERM_DETAILS)
		details(&w, &m->details);
	else if (m->screen == TERM_POLICY)
		policy(&w, &m->policy);
	else if (m->screen == TERM_HELP)
		help(&w);
	return w.r;
}

int term_lines_search(const struct term_lines *l, int from, int direction, const char *text)
{
	long n = (long)l->n, at = from < 0 && direction < 0 ? 0 : from;

	for (long i = 1; i <= n; i++) {
		long line = (at + direction * i + 2 * n) % n;

		if (strcasestr(l->list[line].text, text))
			return (int)line;
	}
	return -1;
}
