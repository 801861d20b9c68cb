#include "launcher/term_model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/term_lines.h"
#include "launcher/term_view.h"
#include "lib/cleanup.h"
#include "lib/str.h"

void term_model_init(struct term_model *m)
{
	*m = (struct term_model){ .is_following = true, .found_line = -1 };
}

void term_sandboxes_free(struct term_sandbox *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(list[i].last_denied);
	free(list);
}

void term_details_done(struct term_details *d)
{
	free(d->event.line);
	free(d->rule);
	proposals_free(d->proposals);
	policy_diff_done(&d->effect);
	*d = (struct term_details){ 0 };
}

void term_policy_done(struct term_policy *p)
{
	coverage_done(&p->coverage);
	*p = (struct term_policy){ 0 };
}

void term_model_done(struct term_model *m)
{
	term_sandboxes_free(m->sandboxes, m->n_sandboxes);
	stream_done(&m->stream);
	term_details_done(&m->details);
	term_policy_done(&m->policy);
}

void term_say(struct term_model *m, bool is_error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(m->message, sizeof(m->message), fmt, ap);
	va_end(ap);
	m->is_error = is_error;
}

bool term_is_too_small(const struct term_model *m)
{
	return m->rows < TERM_ROWS_MIN || m->cols < TERM_COLS_MIN;
}

int term_page(const struct term_model *m)
{
	return m->rows - (m->screen == TERM_SANDBOXES || m->screen == TERM_EVENTS ? 3 : 2);
}

/* ---- Sandboxes --------------------------------------------------------------------------- */

bool term_same_origin(const struct stream_origin *a, const struct stream_origin *b)
{
	return str_eq(a->name, b->name) && str_eq(a->id, b->id);
}

const struct term_sandbox *term_find_sandbox(
	const struct term_model *m, const struct stream_origin *of)
{
	for (size_t i = 0; i < m->n_sandboxes; i++)
		if (term_same_origin(&m->sandboxes[i].origin, of))
			return &m->sandboxes[i];
	return NULL;
}

/* Where the cursor is; a sandbox that is gone leaves it with the next by name. */
size_t term_chosen_index(const struct term_model *m)
{
	size_t i = 0;

	while (i + 1 < m->n_sandboxes && strcmp(m->sandboxes[i].origin.name, m->chosen.name) < 0)
		i++;
	return i;
}

void term_set_sandboxes(struct term_model *m, struct term_sandbox *list, size_t n)
{
	term_sandboxes_free(m->sandboxes, m->n_sandboxes);
	m->sandboxes = list;
	m->n_sandboxes = n;
	if (n)
		m->chosen = list[term_chosen_index(m)].origin;
	m->is_scope_gone = m->scope.name[0] && !term_find_sandbox(m, &m->scope);
}

static void move_chosen(struct term_model *m, long by)
{
	long last = (long)m->n_sandboxes - 1, at = (long)term_chosen_index(m) + by;

	if (m->n_sandboxes)
		m->chosen = m->sandboxes[at < 0 ? 0 : at > last ? last : at].origin;
}

/* ---- Events ------------------------------------------------------------------------------ */

static void move_cursor(struct term_model *m, long by)
{
	long last = (long)m->stream.n - 1, at = (long)stream_at(&m->stream, m->cursor) + by;

	if (last < 0)
		return;
	at = at < 0 ? 0 : at > last ? last : at;
	m->cursor = m->stream.list[at].number;
	m->is_following = at == last && by > 0;
}

void term_follow(struct term_model *m)
{
	m->is_following = true;
	m->cursor = m->stream.n ? m->stream.list[m->stream.n - 1].number : 0;
}

void term_stream_grew(struct term_model *m)
{
	size_t at = stream_at(&m->stream, m->cursor);

	if (m->is_following)
		term_follow(m);
	else if (m->stream.n) /* the event itself may be too old to be kept */
		m->cursor = m->stream.list[at < m->stream.n ? at : m->stream.n - 1].number;
}

void term_stream_ready(struct term_model *m)
{
	m->top = 0;
	term_follow(m);
}

/* ---- Screens ----------------------------------------------------------------------------- */

void term_push(struct term_model *m, enum term_screen screen)
{
	if (m->screen == screen)
		return;
	if (m->depth < TERM_DEPTH_MAX)
		m->below[m->depth++] = m->screen;
	m->screen = screen;
	m->scroll = 0;
	m->found_line = -1;
}

enum term_want term_back(struct term_model *m)
{
	if (!m->depth)
		return TERM_NOTHING;
	m->screen = m->below[--m->depth];
	m->scroll = 0;
	m->found_line = -1;
	return TERM_NOTHING;
}

void term_scroll_to(struct term_model *m, long line)
{
	auto_lines struct term_lines l = { 0 };
	long last;

	if (term_lines_build(&l, m, m->cols) < 0)
		return;
	last = (long)l.n - term_page(m);
	m->scroll = (int)(line > last ? (last < 0 ? 0 : last) : line < 0 ? 0 : line);
}

enum term_want term_move(struct term_model *m, long by)
{
	if (m->screen == TERM_SANDBOXES)
		move_chosen(m, by);
	else if (m->screen == TERM_EVENTS)
		move_cursor(m, by);
	else
		term_scroll_to(m, m->scroll + by);
	return TERM_NOTHING;
}

enum term_want term_show_events(struct term_model *m, const struct stream_origin *of)
{
	m->scope = of ? *of : (struct stream_origin){ .name = "" };
	m->is_scope_gone = of && !term_find_sandbox(m, of);
	term_push(m, TERM_EVENTS);
	return TERM_STREAM;
}

/* ---- Decisions --------------------------------------------------------------------------- */

void term_judged(struct term_model *m)
{
	enum term_question asked = m->asking;

	m->asking = TERM_ASK_NOTHING;
	if (asked == TERM_ASK_NOTHING)
		return;
	if (!m->details.proposal)
		term_say(m, true, "%s", m->details.why_not);
	else if (!m->details.version)
		term_say(m, true, "%s", m->details.unreadable);
	else if (asked == TERM_ASK_APPROVE && str_eq(m->details.status, "approved"))
		term_say(m, false, "version %u of the policy allows this by now",
			m->details.version);
	else
		m->question = asked;
}
