#include "launcher/term_bars.h"

#include <stdio.h>
#include <string.h>

#include "launcher/term_cells.h"
#include "launcher/term_model.h"
#include "lib/buf.h"

enum { TITLE_MAX = 1024 };

static void source_words(char ret[TITLE_MAX], uint32_t adapters)
{
	unsigned int first = (unsigned int)__builtin_ctz(adapters | 1u << 31);

	ret[0] = '\0';
	if (adapters)
		(void)snprintf(ret, TITLE_MAX, "%s",
			adapters & (adapters - 1) ? event_source((enum event_adapter)first)
						  : event_adapter_name((enum event_adapter)first));
}

static void events_title(char *ret, const struct term_model *m)
{
	const struct stream_filter *f = &m->stream.filter;
	char source[TITLE_MAX];

	source_words(source, f->adapters);
	(void)snprintf(ret, TITLE_MAX, "decisions of %s%s%s%s%s%s%.*s",
		m->scope.name[0] ? m->scope.name : "all", m->is_scope_gone ? " (gone)" : "",
		f->is_denied_only ? ", denied" : "", source[0] ? ", " : "", source,
		f->host[0] ? ", host " : "", STREAM_HOST_MAX, f->host);
}

static void title(char *ret, const struct term_model *m)
{
	if (m->screen == TERM_SANDBOXES)
		(void)snprintf(ret, TITLE_MAX, "sandboxes");
	else if (m->screen == TERM_EVENTS)
		events_title(ret, m);
	else if (m->screen == TERM_DETAILS)
		(void)snprintf(ret, TITLE_MAX, "an event of %s", m->details.event.origin.name);
	else if (m->screen == TERM_POLICY)
		(void)snprintf(ret, TITLE_MAX, "policy of %s", m->policy.origin.name);
	else
		(void)snprintf(ret, TITLE_MAX, "help");
}

static void title_right(char *ret, const struct term_model *m)
{
	size_t at = stream_at(&m->stream, m->cursor) + (m->stream.n > 0);
	int last = m->scroll + term_page(m);

	ret[0] = '\0';
	if (m->screen == TERM_SANDBOXES)
		(void)snprintf(ret, TITLE_MAX, "%zu", m->n_sandboxes);
	else if (m->screen == TERM_EVENTS)
		(void)snprintf(ret, TITLE_MAX, "%s%zu/%zu", m->is_following ? "following " : "", at,
			m->stream.n);
	else
		(void)snprintf(ret, TITLE_MAX, "%d-%d/%d", m->scroll + 1,
			last < m->n_lines ? last : m->n_lines, m->n_lines);
}

void term_draw_title(const struct term_model *m, struct cells *c)
{
	char left[TITLE_MAX + 32], right[TITLE_MAX], text[TITLE_MAX];
	int width;

	title(text, m);
	title_right(right, m);
	width = (int)strlen(right); /* ours: ASCII */
	(void)snprintf(left, sizeof(left), " openshell  %s", text);
	(void)cells_put(c, 0, 0, -1, CELLS_BAR, "");
	(void)cells_put(c, 0, 0, m->cols - width - 2, CELLS_BAR, left);
	(void)cells_put(c, 0, m->cols - width - 1, width, CELLS_BAR, right);
}

/* The keys, as many as fit; help, where the others are, always. */
static void draw_keys(const struct term_model *m, struct cells *c)
{
	static const char help[] = "? help";
	int row = m->rows - 1, col = 1, end = m->cols - 1;

	(void)cells_put(c, row, 0, -1, CELLS_BAR, "");
	if (m->screen != TERM_HELP) {
		end -= (int)strlen(help);
		(void)cells_put(c, row, end, (int)strlen(help), CELLS_BAR, help);
	}
	for (const struct term_binding *b = term_bindings; b->screens; b++) {
		char text[64];

		if (!b->brief || b->key == '?' || !(b->screens & 1u << m->screen))
			continue;
		(void)snprintf(text, sizeof(text), "%s %s", b->label, b->brief);
		if (col + (int)strlen(text) < end)
			col += cells_put(c, row, col, (int)strlen(text), CELLS_BAR, text) + 2;
	}
}

static const char *prompt_words(const struct term_model *m)
{
	return m->prompt == TERM_TYPE_SEARCH ? "/" : "host: ";
}

int term_cursor_col(const struct term_model *m)
{
	auto_buf struct buf shown = { 0 };
	int col;

	if (!m->prompt)
		return -1;
	buf_init(&shown, 12 * TERM_TYPED_MAX);
	(void)buf_puts(&shown, prompt_words(m));
	(void)cells_escape(&shown, m->typed, strlen(m->typed));
	col = buf_cstr(&shown) ? cells_width(buf_cstr(&shown)) : 0;
	return col < m->cols ? col : m->cols - 1;
}
void term_draw_bottom(const struct term_model *m, struct cells *c)
{
	char text[TERM_MESSAGE_MAX + 16];

	if (m->prompt)
		(void)snprintf(text, sizeof(text), "%s%s", prompt_words(m), m->typed);
	else
		(void)snprintf(text, sizeof(text), " %s", m->message);
	if (m->prompt)
		(void)cells_put(c, m->rows - 1, 0, -1, CELLS_PLAIN, text);
	else if (m->message[0])
		(void)cells_put(
			c, m->rows - 1, 0, -1, m->is_error ? CELLS_DENY : CELLS_ALLOW, text);
	else
		draw_keys(m, c);
}
