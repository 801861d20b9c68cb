#include "launcher/term_cells.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/str.h"

int cells_reset(struct cells *c, int rows, int cols)
{
	size_t n;

	rows = rows < 0 ? 0 : rows > CELLS_ROWS_MAX ? CELLS_ROWS_MAX : rows;
	cols = cols < 0 ? 0 : cols > CELLS_COLS_MAX ? CELLS_COLS_MAX : cols;
	n = (size_t)rows * (size_t)cols;
	if (rows != c->rows || cols != c->cols || !c->list) {
		struct cell *list = reallocarray(c->list, n + 1, sizeof(*list));

		if (!list)
			return -ENOMEM;
		c->list = list;
	}
	c->rows = rows;
	c->cols = cols;
	for (size_t i = 0; i < n; i++)
		c->list[i] = (struct cell){ .text = L" " };
	return 0;
}

void cells_done(struct cells *c)
{
	free(c->list);
	*c = (struct cells){ 0 };
}

/* ---- Text that may be shown -------------------------------------------------------------- */

/* Zero columns, but it changes how the character before it looks or how wide it is. */
static bool is_selector(uint32_t cp)
{
	return (cp >= 0xfe00 && cp <= 0xfe0f) || (cp >= 0x180b && cp <= 0x180f) ||
	       (cp >= 0xe0000 && cp <= 0xe0fff);
}

/* Fillers that look like nothing and are counted as characters. */
static bool is_filler(uint32_t cp)
{
	return cp == 0x115f || cp == 0x1160 || cp == 0x3164 || cp == 0xffa0 || cp == 0x2800;
}

/* Appends what str_escape() let pass, one code point, unless the terminal could differ from us in
 * where the cursor is behind it. */
static int put_point(struct buf *out, const char *bytes, size_t n, uint32_t cp, int *marks)
{
	int width = is_selector(cp) || is_filler(cp) ? -1 : wcwidth((wchar_t)cp);

	if (width > 0)
		*marks = 0;
	if (width > 0 || (width == 0 && ++*marks <= CELLS_MARKS_MAX))
		return buf_append(out, bytes, n);
	*marks = CELLS_MARKS_MAX;
	return buf_printf(out, "\\u{%x}", (unsigned int)cp);
}

int cells_escape(struct buf *out, const char *s, size_t len)
{
	auto_buf struct buf safe = { 0 };
	int marks = CELLS_MARKS_MAX, r; /* none without a character before it */

	if (len > CELLS_TEXT_MAX)
		len = CELLS_TEXT_MAX;
	buf_init(&safe, 12 * CELLS_TEXT_MAX);
	r = str_escape(&safe, s, len);
	while (r == 0 && safe.len) {
		const char *p = buf_head(&safe);
		uint32_t cp = 0;
		size_t n = str_utf8_decode((const unsigned char *)p, safe.len, &cp);

		r = n ? put_point(out, p, n, cp, &marks) : -EILSEQ;
		buf_consume(&safe, n);
	}
	return r;
}

size_t cells_fit(const char *s, int width, int *ret_width)
{
	size_t len = strlen(s), at = 0;
	int used = 0;

	while (at < len) {
		uint32_t cp = 0;
		size_t n = str_utf8_decode((const unsigned char *)s + at, len - at, &cp);
		int w = n ? wcwidth((wchar_t)cp) : -1;

		if (w < 0 || used + w > width)
			break;
		used += w;
		at += n;
	}
	*ret_width = used;
	return at;
}

int cells_width(const char *s)
{
	int width;

	(void)cells_fit(s, CELLS_TEXT_MAX, &width);
	return width;
}

/* ---- Drawing ----------------------------------------------------------------------------- */

static struct cell *cell_at(const struct cells *c, int row, int col)
{
	return &c->list[(size_t)row * (size_t)c->cols + (size_t)col];
}

/* What is about to be covered may be half of a wide character: the other half becomes a blank. */
static void uncouple(struct cells *c, int row, int col, int width)
{
	if (col > 0 && !cell_at(c, row, col)->text[0])
		(void)wcscpy(cell_at(c, row, col - 1)->text, L" ");
	if (col + width < c->cols && !cell_at(c, row, col + width)->text[0])
		(void)wcscpy(cell_at(c, row, col + width)->text, L" ");
}

/* One code point at @col: a character, or a mark on the one before. The columns it takes. */
static int put_cell(struct cells *c, int row, int col, uint8_t style, uint32_t cp)
{
	int width = wcwidth((wchar_t)cp);
	struct cell *cell;

	if (width == 0) {
		while (col > 0 && !cell_at(c, row, --col)->text[0])
			;
		cell = cell_at(c, row, col);
		if (wcslen(cell->text) <= CELLS_MARKS_MAX)
			cell->text[wcslen(cell->text)] = (wchar_t)cp;
		return 0;
	}
	uncouple(c, row, col, width);
	for (int i = 0; i < width; i++) {
		cell = cell_at(c, row, col + i);
		*cell = (struct cell){ .text = { i ? 0 : (wchar_t)cp }, .style = style };
	}
	return width;
}

/* What stands for the rest of a text. */
static wchar_t ellipsis(void)
{
	return wcwidth(0x2026) == 1 ? 0x2026 : L'~';
}

int cells_put_escaped(
	struct cells *c, int row, int col, int width, uint8_t style, const char *escaped)
{
	int used, total;
	size_t len, at = 0;
	bool is_cut;

	if (row < 0 || row >= c->rows || col < 0 || col >= c->cols)
		return 0;
	if (width < 0 || width > c->cols - col)
		width = c->cols - col;
	len = cells_fit(escaped, width, &used);
	is_cut = escaped[len] != '\0' && width > 0;
	if (is_cut)
		len = cells_fit(escaped, width - 1, &used);
	for (total = 0; at < len;) {
		uint32_t cp = 0;

		at += str_utf8_decode((const unsigned char *)escaped + at, len - at, &cp);
		total += put_cell(c, row, col + total, style, cp);
	}
	if (is_cut)
		total += put_cell(c, row, col + total, style, (uint32_t)ellipsis());
	for (int i = total; i < width; i++)
		(void)put_cell(c, row, col + i, style, ' ');
	return total;
}

int cells_put(struct cells *c, int row, int col, int width, uint8_t style, const char *text)
{
	auto_buf struct buf safe = { 0 };

	buf_init(&safe, 16 * CELLS_TEXT_MAX);
	if (cells_escape(&safe, text, strlen(text)) < 0 || !buf_cstr(&safe))
		return 0;
	return cells_put_escaped(c, row, col, width, style, buf_cstr(&safe));
}

void cells_mark(struct cells *c, int row, int col, int width, uint8_t bits)
{
	for (int i = col; row >= 0 && row < c->rows && i < col + width && i < c->cols; i++)
		if (i >= 0)
			cell_at(c, row, i)->style |= bits;
}

static void put_line(struct cells *c, int row, int col, int cols, const char *const edge[3])
{
	(void)cells_put(c, row, col, 1, CELLS_ACCENT, edge[0]);
	for (int i = 1; i < cols - 1; i++)
		(void)cells_put(c, row, col + i, 1, CELLS_ACCENT, edge[1]);
	(void)cells_put(c, row, col + cols - 1, 1, CELLS_ACCENT, edge[2]);
}

void cells_box(struct cells *c, int row, int col, int rows, int cols, const char *title)
{
	static const char *const lines[2][3][3] = {
		{ { "+", "-", "+" }, { "|", " ", "|" }, { "+", "-", "+" } },
		{ { "┌", "─", "┐" }, { "│", " ", "│" }, { "└", "─", "┘" } },
	};
	const char *const(*set)[3] = lines[wcwidth(0x250c) == 1];

	for (int i = 0; i < rows; i++)
		put_line(c, row + i, col, cols, set[i == 0 ? 0 : i == rows - 1 ? 2 : 1]);
	(void)cells_put(c, row, col + 2, cells_width(title), CELLS_BOLD, title);
}

char *cells_row_text(const struct cells *c, int row)
{
	auto_buf struct buf out = { 0 };
	size_t len = 0;

	buf_init(&out, 16 * CELLS_TEXT_MAX);
	for (int col = 0; row >= 0 && row < c->rows && col < c->cols; col++) {
		for (const wchar_t *w = cell_at(c, row, col)->text; *w; w++) {
			char bytes[MB_LEN_MAX + 1] = "";
			int n = wctomb(bytes, *w);

			if (n < 0 || buf_append(&out, bytes, (size_t)n) < 0)
				return NULL;
			len = *w == L' ' ? len : out.len;
		}
	}
	buf_truncate(&out, len);
	return buf_cstr(&out) ? buf_steal(&out) : NULL;
}
