#include "launcher/term_view.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "launcher/term_bars.h"
#include "launcher/term_cells.h"
#include "launcher/term_lines.h"
#include "launcher/term_model.h"
#include "lib/cleanup.h"
#include "lib/str.h"

enum { CELL_MAX = 1024 };

static int min(int a, int b)
{
	return a < b ? a : b;
}

/* ---- Rows of columns --------------------------------------------------------------------- */

/* Puts one column after the other, a blank between them. */
struct row {
	struct cells *c;
	int at, col;
	uint8_t style;
};

static void row_put(struct row *r, int width, uint8_t style, const char *text)
{
	if (width != 0)
		(void)cells_put(
			r->c, r->at, r->col, width, style | (r->style & CELLS_SELECTED), text);
	r->col += width + (width > 0);
}

/* The rest of the row; the row of the cursor is marked to its end. */
static void row_end(struct row *r, uint8_t style, const char *text)
{
	(void)cells_put(r->c, r->at, r->col, -1, style, text);
	if (r->style & CELLS_SELECTED)
		cells_mark(r->c, r->at, 0, r->c->cols, CELLS_SELECTED);
}

static void row_number(struct row *r, int width, uint8_t style, uint64_t n, bool has_more)
{
	char number[32], text[64];

	(void)snprintf(number, sizeof(number), "%" PRIu64 "%s", n, has_more ? "+" : "");
	(void)snprintf(text, sizeof(text), "%*s", width, number);
	row_put(r, width, style, text);
}

/* ---- One event --------------------------------------------------------------------------- */

static uint8_t action_style(enum event_action a)
{
	static const uint8_t styles[] = {
		[EVENT_ALLOW] = CELLS_ALLOW,
		[EVENT_DENY] = CELLS_DENY,
		[EVENT_AUDIT] = CELLS_AUDIT,
	};

	return a < ARRAY_SIZE(styles) ? styles[a] : CELLS_PLAIN;
}

static const char *base_name(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return slash && slash[1] ? slash + 1 : path ? path : "";
}

/* "api.github.com:443", "[2001:db8::1]:443", "/run/user/1000/bus". */
static void destination(char *ret, const struct event *e)
{
	const char *host = e->host ? e->host : e->addr ? e->addr : "";
	bool is_v6 = strchr(host, ':') != NULL && e->port;

	if (e->port)
		(void)snprintf(ret, CELL_MAX, "%s%.900s%s:%u", is_v6 ? "[" : "", host,
			is_v6 ? "]" : "", e->port);
	else
		(void)snprintf(ret, CELL_MAX, "%.1000s", host);
}

/* What is most worth knowing in the space that is left. */
static void remark(char *ret, const struct event *e)
{
	const char *why = e->reason ? e->reason : e->message ? e->message : e->policy;
	char times[24] = "";

	if (e->count > 1)
		(void)snprintf(times, sizeof(times), "(%u times) ", e->count);
	if (e->operation)
		(void)snprintf(ret, CELL_MAX, "%s%.900s", times, e->operation);
	else if (e->method)
		(void)snprintf(ret, CELL_MAX, "%s%.100s %.800s", times, e->method,
			e->target ? e->target : "");
	else
		(void)snprintf(ret, CELL_MAX, "%s%.900s", times, why ? why : "");
}

/* The time of today, the date of what is older. */
static void short_time(char ret[16], uint64_t ms, uint64_t now_ms)
{
	enum { DAY_MS = 24 * 3600 * 1000 };
	time_t seconds = (time_t)(ms / 1000);
	bool is_today = ms / DAY_MS == now_ms / DAY_MS;
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) || !strftime(ret, 16, is_today ? "%H:%M:%S" : "%m-%d", &tm))
		(void)strcpy(ret, "?");
}

/* ---- Columns of the list of events ------------------------------------------------------- */

struct event_columns {
	int sandbox, source, program, destination;
};

enum { TIME_COLS = 8, ACTION_COLS = 6, SOURCE_COLS = 9, PROGRAM_COLS = 12, SANDBOX_COLS = 12 };

/* What there is room for: the source goes first, then the program; the destination never. */
static struct event_columns event_columns(const struct term_model *m)
{
	struct event_columns w = {
		.sandbox = m->scope.name[0] ? 0 : SANDBOX_COLS,
		.source = m->cols < (m->scope.name[0] ? 70 : 90) ? 0 : SOURCE_COLS,
		.program = m->cols < 50 ? 0 : PROGRAM_COLS,
	};
	int left = m->cols - TIME_COLS - ACTION_COLS - 2 - w.sandbox - w.source - w.program - 3;

	w.destination = min(left * 3 / 5, 40);
	if (w.destination < 18)
		w.destination = min(left, 18);
	return w;
}

static void event_heads(const struct term_model *m, struct cells *c)
{
	struct event_columns w = event_columns(m);
	struct row r = { .c = c, .at = 1 };

	row_put(&r, TIME_COLS, CELLS_HEAD, "TIME UTC");
	row_put(&r, ACTION_COLS, CELLS_HEAD, "ACTION");
	row_put(&r, w.source, CELLS_HEAD, "SOURCE");
	row_put(&r, w.sandbox, CELLS_HEAD, "SANDBOX");
	row_put(&r, w.program, CELLS_HEAD, "PROGRAM");
	row_put(&r, w.destination, CELLS_HEAD, "DESTINATION");
	row_end(&r, CELLS_HEAD, "WHAT");
}

static void event_row(
	const struct term_model *m, struct cells *c, int at, const struct stream_event *from)
{
	auto_event_record struct event_record record = { 0 };
	struct event_columns w = event_columns(m);
	const struct event *e = &record.event;
	struct row r = { .c = c, .at = at };
	char when[16], to[CELL_MAX], what[CELL_MAX];

	if (event_parse(from->line, from->len, &record) < 0)
		return;
	r.style = from->number == m->cursor ? CELLS_SELECTED : 0;
	short_time(when, e->time_ms, m->now_ms);
	destination(to, e);
	remark(what, e);
	row_put(&r, TIME_COLS, CELLS_DIM, when);
	row_put(&r, ACTION_COLS, action_style(e->action),
		e->action ? event_action_name(e->action) : "");
	row_put(&r, w.source, CELLS_PLAIN, event_adapter_name(e->adapter));
	row_put(&r, w.sandbox, CELLS_PLAIN, from->origin.name);
	row_put(&r, w.program, CELLS_PLAIN, base_name(e->binary));
	/* What has no destination says more in both columns. */
	if (to[0])
		row_put(&r, w.destination, CELLS_PLAIN, to);
	row_end(&r, e->level >= EVENT_ERROR ? CELLS_DENY : CELLS_PLAIN, what);
}

static void draw_events(struct term_model *m, struct cells *c)
{
	const struct stream *s = &m->stream;
	size_t page = (size_t)term_page(m), at = stream_at(s, m->cursor),
	       top = stream_at(s, m->top);

	if (at < top)
		top = at;
	if (at >= top + page)
		top = at - page + 1;
	if (top + page > s->n)
		top = s->n > page ? s->n - page : 0;
	m->top = s->n ? s->list[top].number : 0;
	event_heads(m, c);
	for (size_t i = 0; i < page && top + i < s->n; i++)
		event_row(m, c, 2 + (int)i, &s->list[top + i]);
	if (!s->n)
		(void)cells_put(c, 3, 2, -1, CELLS_DIM, "no events yet that fit");
}

/* ---- Sandboxes --------------------------------------------------------------------------- */

static void age(char ret[16], uint64_t now_ms, uint64_t then_ms)
{
	uint64_t s = now_ms > then_ms ? (now_ms - then_ms) / 1000 : 0;

	if (s < 60)
		(void)snprintf(ret, 16, "%" PRIu64 "s", s);
	else if (s < 3600)
		(void)snprintf(ret, 16, "%" PRIu64 "m", s / 60);
	else if (s < 2 * 24 * 3600)
		(void)snprintf(ret, 16, "%" PRIu64 "h", s / 3600);
	else
		(void)snprintf(ret, 16, "%" PRIu64 "d", s / (24 * 3600) % 100000);
}

static uint8_t phase_style(const char *phase)
{
	return str_eq(phase, "Ready")	  ? CELLS_ALLOW
	       : str_eq(phase, "Error")	  ? CELLS_DENY
	       : str_eq(phase, "Stopped") ? CELLS_DIM
					  : CELLS_AUDIT;
}

enum {
	NAME_COLS = 19,
	PHASE_COLS = 8,
	AGE_COLS = 4,
	MODE_COLS = 7,
	REVISION_COLS = 3,
	COUNT_COLS = 7,
	WIDE = 72, /* narrower: without mode and revision */
};

static void sandbox_heads(const struct term_model *m, struct cells *c)
{
	struct row r = { .c = c, .at = 1 };
	bool is_wide = m->cols >= WIDE;

	row_put(&r, min(NAME_COLS, m->cols - 34), CELLS_HEAD, "NAME");
	row_put(&r, PHASE_COLS, CELLS_HEAD, "PHASE");
	row_put(&r, AGE_COLS, CELLS_HEAD, " AGE");
	row_put(&r, is_wide ? MODE_COLS : 0, CELLS_HEAD, "MODE");
	row_put(&r, is_wide ? REVISION_COLS : 0, CELLS_HEAD, "REV");
	row_put(&r, COUNT_COLS, CELLS_HEAD, "ALLOWED");
	row_put(&r, COUNT_COLS, CELLS_HEAD, " DENIED");
	row_end(&r, CELLS_HEAD, "LAST DENIED");
}

static void last_denied(char *ret, const struct term_sandbox *s)
{
	auto_event_record struct event_record record = { 0 };

	ret[0] = '\0';
	if (s->last_denied && event_parse(s->last_denied, strlen(s->last_denied), &record) == 0)
		destination(ret, &record.event);
}

static void sandbox_row(
	const struct term_model *m, struct cells *c, int at, const struct term_sandbox *s)
{
	struct row r = { .c = c, .at = at };
	bool is_wide = m->cols >= WIDE;
	char old[16], right[32], last[CELL_MAX];

	r.style = term_same_origin(&s->origin, &m->chosen) ? CELLS_SELECTED : 0;
	age(old, m->now_ms, s->created_ms);
	(void)snprintf(right, sizeof(right), "%*s", AGE_COLS, old);
	last_denied(last, s);
	row_put(&r, min(NAME_COLS, m->cols - 34), CELLS_BOLD, s->origin.name);
	row_put(&r, PHASE_COLS, phase_style(s->phase), s->phase);
	row_put(&r, AGE_COLS, CELLS_PLAIN, right);
	row_put(&r, is_wide ? MODE_COLS : 0, s->is_audit ? CELLS_AUDIT : CELLS_PLAIN,
		s->is_audit ? "audit" : "enforce");
	if (is_wide)
		row_number(&r, REVISION_COLS, CELLS_PLAIN, s->revision, false);
	row_number(&r, COUNT_COLS, CELLS_PLAIN, s->allowed, s->has_more);
	row_number(&r, COUNT_COLS, s->denied ? CELLS_DENY : CELLS_PLAIN, s->denied, s->has_more);
	row_end(&r, CELLS_PLAIN, last);
}

static void draw_sandboxes(struct term_model *m, struct cells *c)
{
	size_t page = (size_t)term_page(m), at = 0;

	while (at + 1 < m->n_sandboxes && !term_same_origin(&m->sandboxes[at].origin, &m->chosen))
		at++;
	if (at < m->sandboxes_top)
		m->sandboxes_top = at;
	if (at >= m->sandboxes_top + page)
		m->sandboxes_top = at - page + 1;
	if (m->sandboxes_top + page > m->n_sandboxes)
		m->sandboxes_top = m->n_sandboxes > page ? m->n_sandboxes - page : 0;
	sandbox_heads(m, c);
	for (size_t i = 0; i < page && m->sandboxes_top + i < m->n_sandboxes; i++)
		sandbox_row(m, c, 2 + (int)i, &m->sandboxes[m->sandboxes_top + i]);
	if (m->n_sandboxes)
		return;
	(void)cells_put(c, 3, 2, -1, CELLS_PLAIN, "There is no sandbox. One begins with");
	(void)cells_put(c, 5, 6, -1, CELLS_ACCENT, "openshell sandbox create -- CMD");
}

/* ---- Text -------------------------------------------------------------------------------- */

static int draw_text(struct term_model *m, struct cells *c)
{
	auto_lines struct term_lines l = { 0 };
	int r = term_lines_build(&l, m, m->cols), page = term_page(m);

	m->n_lines = (int)l.n;
	if (m->scroll > (int)l.n - page)
		m->scroll = (int)l.n > page ? (int)l.n - page : 0;
	for (int i = 0; r == 0 && i < page && m->scroll + i < (int)l.n; i++) {
		const struct term_line *line = &l.list[m->scroll + i];
		uint8_t found = m->scroll + i == m->found_line ? CELLS_FOUND : 0;

		(void)cells_put_escaped(c, 1 + i, 0, -1, line->style | found, line->text);
	}
	return r;
}

/* ---- The question ------------------------------------------------------------------------ */

enum { QUESTION_COLS_MAX = 76, QUESTION_MARGIN = 2 };

static int question_cols(const struct term_model *m)
{
	return min(m->cols - 2, QUESTION_COLS_MAX);
}

static int question_lines(const struct term_model *m, struct term_lines *ret)
{
	return term_lines_question(ret, m, question_cols(m) - 2 - 2 * QUESTION_MARGIN);
}

/* Frame, keys and the blank line above them. */
static int question_rows(const struct term_lines *l)
{
	return (int)l->n + 4;
}

bool term_question_fits(const struct term_model *m)
{
	auto_lines struct term_lines l = { 0 };

	return question_lines(m, &l) == 0 && question_rows(&l) <= m->rows - 2;
}

static int draw_question(const struct term_model *m, struct cells *c)
{
	auto_lines struct term_lines l = { 0 };
	int r = question_lines(m, &l), cols = question_cols(m), rows = question_rows(&l);
	int left = (m->cols - cols) / 2, top = (m->rows - rows) / 2;
	bool is_approval = m->question == TERM_ASK_APPROVE;

	if (r < 0)
		return r;
	if (rows > m->rows - 2) {
		rows = 3;
		top = (m->rows - rows) / 2;
		cells_box(c, top, left, rows, cols, " ? ");
		(void)cells_put(c, top + 1, left + 2, cols - 4, CELLS_DENY,
			"enlarge the window to see all of it");
		return 0;
	}
	cells_box(c, top, left, rows, cols, is_approval ? " Approve? " : " Reject? ");
	for (int i = 0; i < (int)l.n; i++)
		(void)cells_put_escaped(c, top + 1 + i, left + 1 + QUESTION_MARGIN,
			cols - 2 - 2 * QUESTION_MARGIN, l.list[i].style, l.list[i].text);
	(void)cells_put(c, top + rows - 2, left + 1 + QUESTION_MARGIN,
		cols - 2 - 2 * QUESTION_MARGIN, CELLS_BOLD,
		is_approval ? "y approve   n cancel" : "y reject   n cancel");
	return 0;
}

/* ------------------------------------------------------------------------------------------ */

int term_draw(struct term_model *m, struct cells *c)
{
	int r = cells_reset(c, m->rows, m->cols);

	if (r < 0)
		return r;
	if (term_is_too_small(m)) {
		(void)cells_put(c, 0, 0, -1, CELLS_PLAIN, "40x10 at least; q quits");
		return 0;
	}
	if (m->screen == TERM_SANDBOXES)
		draw_sandboxes(m, c);
	else if (m->screen == TERM_EVENTS)
		draw_events(m, c);
	else
		r = draw_text(m, c);
	term_draw_title(m, c);
	if (r == 0 && m->question)
		r = draw_question(m, c);
	term_draw_bottom(m, c);
	return r;
}
