/* What the keys of `openshell term` do to its model. */
#include <stdlib.h>
#include <string.h>

#include "launcher/term_lines.h"
#include "launcher/term_model.h"
#include "launcher/term_view.h"
#include "lib/cleanup.h"
#include "lib/str.h"

/* ---- Moving ------------------------------------------------------------------------------ */

enum { FAR = 1000000 };

static enum term_want on_up(struct term_model *m)
{
	return term_move(m, -1);
}

static enum term_want on_down(struct term_model *m)
{
	return term_move(m, 1);
}

static enum term_want on_page_up(struct term_model *m)
{
	return term_move(m, -term_page(m));
}

static enum term_want on_page_down(struct term_model *m)
{
	return term_move(m, term_page(m));
}

static enum term_want on_first(struct term_model *m)
{
	return term_move(m, -FAR);
}

static enum term_want on_last(struct term_model *m)
{
	return term_move(m, FAR);
}

/* ---- Screens ----------------------------------------------------------------------------- */

static enum term_want on_open(struct term_model *m)
{
	if (!m->n_sandboxes)
		return TERM_NOTHING;
	return term_show_events(m, &m->sandboxes[term_chosen_index(m)].origin);
}

static enum term_want on_all(struct term_model *m)
{
	return term_show_events(m, NULL);
}

/* The event under the cursor, copied: from here on nothing can change it. */
static bool pick(struct term_model *m)
{
	const struct stream_event *e = stream_find(&m->stream, m->cursor);
	struct stream_event copy;

	if (!e)
		return false;
	copy = *e;
	copy.line = strndup(e->line, e->len);
	if (!copy.line)
		return false;
	term_details_done(&m->details);
	m->details.event = copy;
	return true;
}

static enum term_want on_details(struct term_model *m)
{
	if (!pick(m))
		return TERM_NOTHING;
	term_push(m, TERM_DETAILS);
	return TERM_JUDGE;
}

/* Which policy is meant: that of the event, of the sandbox shown, or of the one chosen. */
static const struct stream_origin *policy_origin(const struct term_model *m)
{
	const struct stream_event *e = stream_find(&m->stream, m->cursor);

	if (m->screen == TERM_DETAILS)
		return &m->details.event.origin;
	if (m->screen == TERM_EVENTS)
		return m->scope.name[0] ? &m->scope : e ? &e->origin : NULL;
	return m->n_sandboxes ? &m->sandboxes[term_chosen_index(m)].origin : NULL;
}

static enum term_want on_policy(struct term_model *m)
{
	const struct stream_origin *of = policy_origin(m);

	if (!of)
		return TERM_NOTHING;
	term_policy_done(&m->policy);
	m->policy.origin = *of;
	term_push(m, TERM_POLICY);
	return TERM_READ_RULES;
}

static enum term_want on_reread(struct term_model *m)
{
	struct stream_origin of = m->policy.origin;

	term_policy_done(&m->policy);
	m->policy.origin = of;
	return TERM_READ_RULES;
}

static enum term_want on_help(struct term_model *m)
{
	term_push(m, TERM_HELP);
	return TERM_NOTHING;
}

static enum term_want on_quit(struct term_model *m)
{
	(void)m;
	return TERM_QUIT;
}

static enum term_want on_redraw(struct term_model *m)
{
	(void)m;
	return TERM_REDRAW;
}

/* ---- Filters ----------------------------------------------------------------------------- */

static enum term_want on_denied(struct term_model *m)
{
	m->stream.filter.is_denied_only = !m->stream.filter.is_denied_only;
	return TERM_STREAM;
}

static uint32_t source_bits(const char *source)
{
	uint32_t bits = 0;

	for (unsigned int a = EVENT_LIFECYCLE; a <= EVENT_SOCKET; a++)
		if (str_eq(event_source((enum event_adapter)a), source))
			bits |= 1u << a;
	return bits;
}

/* All, what happened in it, what was done to it, then one adapter after the other. */
static uint32_t source_choice(size_t i)
{
	return i == 0	? 0
	       : i == 1 ? source_bits("sandbox")
	       : i == 2 ? source_bits("gateway")
			: 1u << (i - 3);
}

enum { SOURCE_CHOICES = EVENT_SOCKET + 1 + 3 };

static enum term_want step_source(struct term_model *m, size_t by)
{
	size_t i = 0;

	while (i < SOURCE_CHOICES - 1 && source_choice(i) != m->stream.filter.adapters)
		i++;
	m->stream.filter.adapters = source_choice((i + by) % SOURCE_CHOICES);
	return TERM_STREAM;
}

static enum term_want on_source(struct term_model *m)
{
	return step_source(m, 1);
}

static enum term_want on_source_back(struct term_model *m)
{
	return step_source(m, SOURCE_CHOICES - 1);
}

static enum term_want on_host(struct term_model *m)
{
	m->prompt = TERM_TYPE_HOST;
	(void)str_copy(m->typed, sizeof(m->typed), m->stream.filter.host);
	return TERM_NOTHING;
}

static enum term_want on_clear(struct term_model *m)
{
	m->stream.filter = (struct stream_filter){ 0 };
	return TERM_STREAM;
}

static enum term_want on_follow(struct term_model *m)
{
	if (m->is_following)
		m->is_following = false;
	else
		term_follow(m);
	return TERM_NOTHING;
}

/* ---- Search ------------------------------------------------------------------------------ */

static bool search_sandboxes(struct term_model *m, int direction)
{
	size_t n = m->n_sandboxes, from = term_chosen_index(m);

	for (size_t i = 1; i <= n; i++) {
		size_t at = (from + (direction > 0 ? i : n - i)) % n;

		if (strcasestr(m->sandboxes[at].origin.name, m->search)) {
			m->chosen = m->sandboxes[at].origin;
			return true;
		}
	}
	return false;
}

static bool search_events(struct term_model *m, int direction)
{
	uint64_t found = stream_search(&m->stream, m->cursor, direction, m->search);

	if (!found)
		return false;
	m->is_following = false;
	m->cursor = found;
	return true;
}

static bool search_lines(struct term_model *m, int direction)
{
	auto_lines struct term_lines l = { 0 };
	int found;

	if (term_lines_build(&l, m, m->cols) < 0)
		return false;
	found = term_lines_search(&l, m->found_line, direction, m->search);
	if (found < 0)
		return false;
	m->found_line = found;
	if (found < m->scroll || found >= m->scroll + term_page(m))
		term_scroll_to(m, found);
	return true;
}

static enum term_want search(struct term_model *m, int direction)
{
	bool is_found;

	if (!m->search[0])
		return TERM_NOTHING;
	if (m->screen == TERM_SANDBOXES)
		is_found = search_sandboxes(m, direction);
	else if (m->screen == TERM_EVENTS)
		is_found = search_events(m, direction);
	else
		is_found = search_lines(m, direction);
	if (!is_found)
		term_say(m, true, "nothing found: %s", m->search);
	return TERM_NOTHING;
}

static enum term_want on_search(struct term_model *m)
{
	m->prompt = TERM_TYPE_SEARCH;
	m->typed[0] = '\0';
	return TERM_NOTHING;
}

static enum term_want on_next(struct term_model *m)
{
	return search(m, 1);
}

static enum term_want on_previous(struct term_model *m)
{
	return search(m, -1);
}

/* ---- Decisions --------------------------------------------------------------------------- */

static enum term_want ask(struct term_model *m, enum term_question question)
{
	if (m->screen == TERM_EVENTS && !pick(m))
		return TERM_NOTHING;
	m->asking = question;
	return TERM_JUDGE;
}

static enum term_want on_approve(struct term_model *m)
{
	return ask(m, TERM_ASK_APPROVE);
}

static enum term_want on_reject(struct term_model *m)
{
	return ask(m, TERM_ASK_REJECT);
}

/* Nothing but "y" is a yes, and that only when all it is about can be seen. */
static enum term_want answer(struct term_model *m, uint32_t key)
{
	if (key == 'y' && !term_is_too_small(m) && term_question_fits(m))
		return TERM_DECIDE;
	if (key == 'n' || key == 'q' || key == TERM_KEY_ESCAPE) {
		m->question = TERM_ASK_NOTHING;
		term_say(m, false, "nothing was changed");
	}
	return TERM_NOTHING;
}

/* ---- What is typed ----------------------------------------------------------------------- */

/* The last character goes: all the bytes of it. */
static void typed_shorten(char *typed)
{
	size_t n = strlen(typed);

	while (n && ((unsigned char)typed[--n] & 0xc0) == 0x80)
		;
	typed[n] = '\0';
}

static void typed_add(char *typed, uint32_t cp)
{
	size_t n = strlen(typed);
	char bytes[5] = "";

	if (cp < 0x80) {
		bytes[0] = (char)cp;
	} else if (cp < 0x800) {
		bytes[0] = (char)(0xc0 | cp >> 6);
		bytes[1] = (char)(0x80 | (cp & 0x3f));
	} else if (cp < 0x10000) {
		bytes[0] = (char)(0xe0 | cp >> 12);
		bytes[1] = (char)(0x80 | (cp >> 6 & 0x3f));
		bytes[2] = (char)(0x80 | (cp & 0x3f));
	} else {
		bytes[0] = (char)(0xf0 | cp >> 18);
		bytes[1] = (char)(0x80 | (cp >> 12 & 0x3f));
		bytes[2] = (char)(0x80 | (cp >> 6 & 0x3f));
		bytes[3] = (char)(0x80 | (cp & 0x3f));
	}
	if (n + strlen(bytes) < TERM_TYPED_MAX)
		(void)strcpy(typed + n, bytes);
}

static enum term_want typed_done(struct term_model *m)
{
	enum term_prompt prompt = m->prompt;

	m->prompt = TERM_TYPE_NOTHING;
	if (prompt == TERM_TYPE_SEARCH) {
		if (m->typed[0])
			(void)str_copy(m->search, sizeof(m->search), m->typed);
		return search(m, 1);
	}
	(void)str_copy(m->stream.filter.host, sizeof(m->stream.filter.host), m->typed);
	str_lower(m->stream.filter.host);
	return TERM_STREAM;
}

static enum term_want type(struct term_model *m, uint32_t key)
{
	if (key == TERM_KEY_ENTER)
		return typed_done(m);
	if (key == TERM_KEY_ESCAPE)
		m->prompt = TERM_TYPE_NOTHING;
	else if (key == TERM_KEY_BACKSPACE)
		typed_shorten(m->typed);
	else if (key >= 0x20 && key != 0x7f && key < TERM_KEY_UP)
		typed_add(m->typed, key);
	return TERM_NOTHING;
}

/* ---- Keys -------------------------------------------------------------------------------- */

#define ON(screen) (1u << TERM_##screen)

enum {
	LIST = ON(SANDBOXES),
	EVENTS = ON(EVENTS),
	DETAILS = ON(DETAILS),
	POLICY = ON(POLICY),
	HELP = ON(HELP),
	TEXT = DETAILS | POLICY | HELP,
	ANY = LIST | EVENTS | TEXT,
};

const struct term_binding term_bindings[] = {
	{ LIST, TERM_KEY_ENTER, on_open, "Enter", "decisions", "decisions of the sandbox" },
	{ LIST, 'l', on_open, NULL, NULL, NULL },
	{ LIST, 'L', on_all, "L", "of all", "decisions of all sandboxes" },
	{ EVENTS, TERM_KEY_ENTER, on_details, "Enter", "show",
		"details of the event, and the rule that would allow it" },
	{ EVENTS | DETAILS, 'a', on_approve, "a", "approve",
		"approve: add the rule to the policy (asks first)" },
	{ EVENTS | DETAILS, 'x', on_reject, "x", "reject",
		"reject: do not propose this again (asks first)" },
	{ EVENTS, 'd', on_denied, "d", "denied", "only what was denied, or all" },
	{ EVENTS, 's', on_source, "s", "source",
		"next source: sandbox, gateway, one adapter; S goes back" },
	{ EVENTS, 'S', on_source_back, NULL, NULL, NULL },
	{ EVENTS, 'h', on_host, "h", "host", "only hosts that hold a text" },
	{ EVENTS, 'c', on_clear, "c", NULL, "clear all filters" },
	{ EVENTS, 'f', on_follow, "f", NULL, "follow the newest, or stay" },
	{ LIST | EVENTS | DETAILS, 'p', on_policy, "p", "policy",
		"policy of the sandbox, with the use of its rules" },
	{ POLICY, 'r', on_reread, "r", "read anew", "read the policy and its use anew" },
	{ TEXT, TERM_KEY_DOWN, on_down, "j k", "scroll", NULL },
	{ ANY, 'k', on_up, "j k", NULL, "down, up (or the arrows)" },
	{ ANY, 'j', on_down, NULL, NULL, NULL },
	{ ANY, TERM_KEY_UP, on_up, NULL, NULL, NULL },
	{ ANY, TERM_KEY_DOWN, on_down, NULL, NULL, NULL },
	{ ANY, TERM_KEY_PAGE_DOWN, on_page_down, "Space", NULL, "a page down; b or PgUp: up" },
	{ ANY, ' ', on_page_down, NULL, NULL, NULL },
	{ ANY, 6, on_page_down, NULL, NULL, NULL }, /* Ctrl-F */
	{ ANY, TERM_KEY_PAGE_UP, on_page_up, NULL, NULL, NULL },
	{ ANY, 'b', on_page_up, NULL, NULL, NULL },
	{ ANY, 2, on_page_up, NULL, NULL, NULL }, /* Ctrl-B */
	{ ANY, 'g', on_first, "g G", NULL, "to the first, to the last" },
	{ ANY, 'G', on_last, NULL, NULL, NULL },
	{ ANY, TERM_KEY_HOME, on_first, NULL, NULL, NULL },
	{ ANY, TERM_KEY_END, on_last, NULL, NULL, NULL },
	{ ANY, '/', on_search, "/", "search", "search; n next, N previous" },
	{ ANY, 'n', on_next, NULL, NULL, NULL },
	{ ANY, 'N', on_previous, NULL, NULL, NULL },
	{ EVENTS | TEXT, TERM_KEY_ESCAPE, term_back, "Esc", "back", "back to the screen before" },
	{ EVENTS | TEXT, TERM_KEY_BACKSPACE, term_back, NULL, NULL, NULL },
	{ ANY, 12, on_redraw, "Ctrl-L", NULL, "draw the screen anew" },
	{ LIST | EVENTS | DETAILS | POLICY, '?', on_help, "?", "help", "this help" },
	{ HELP, 'q', term_back, NULL, NULL, NULL },
	{ LIST | EVENTS | DETAILS | POLICY, 'q', on_quit, "q", "quit", "quit" },
	{ 0 },
};

enum term_want term_key(struct term_model *m, uint32_t key)
{
	if (term_is_too_small(m))
		return key == 'q' ? TERM_QUIT : TERM_NOTHING;
	m->message[0] = '\0';
	if (m->question)
		return answer(m, key);
	if (m->prompt)
		return type(m, key);
	for (const struct term_binding *b = term_bindings; b->screens; b++)
		if (b->key == key && (b->screens & 1u << m->screen))
			return b->run(m);
	return TERM_NOTHING;
}
