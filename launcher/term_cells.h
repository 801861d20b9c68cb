/*
 * A screen as a grid of cells, without a terminal: what a view draws, a unit test reads and the
 * curses layer copies out.
 *
 * Whatever text is put into it passes cells_escape(): nothing but printable characters whose width
 * is known, with the combining marks that belong to them, ever stands in a cell. What cannot be
 * shown (controls, escapes, characters that reorder or are invisible, bytes that are not UTF-8, and
 * whatever the locale has no character for) is written as \xNN or \u{NNNN}.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wchar.h>

struct buf;

enum {
	CELLS_MARKS_MAX = 2,   /* combining marks on one character; the next ones are escaped */
	CELLS_ROWS_MAX = 1000, /* of any terminal; the rest stays empty */
	CELLS_COLS_MAX = 1000,
	CELLS_TEXT_MAX = 65536, /* bytes of one text that are looked at */
};

enum cells_style {
	CELLS_PLAIN = 0,
	CELLS_DIM,
	CELLS_BOLD,
	CELLS_BAR,  /* title and status bar */
	CELLS_HEAD, /* names of columns and sections */
	CELLS_ALLOW,
	CELLS_DENY,
	CELLS_AUDIT,
	CELLS_ACCENT,
	CELLS_STYLES,
	CELLS_SELECTED = 0x40, /* ored to a style: the row under the cursor */
	CELLS_FOUND = 0x80,    /* what was searched for */
};

struct cell {
	wchar_t text[CELLS_MARKS_MAX + 2]; /* ends with 0; empty: the right half of a wide one */
	uint8_t style;
};

struct cells {
	int rows, cols;
	struct cell *list; /* owned; rows * cols */
};

/* Blank, of that size: 0 or -ENOMEM. Zeroed or used before. */
int cells_reset(struct cells *c, int rows, int cols);
void cells_done(struct cells *c);

/*
 * Appends @s as it may be shown. 0, or what buf_append() says.
 */
int cells_escape(struct buf *out, const char *s, size_t len);
/* Columns that @escaped takes. */
int cells_width(const char *escaped);
/* Bytes at the front of @escaped that fit @width columns; @ret_width is what they take. */
size_t cells_fit(const char *escaped, int width, int *ret_width);

/*
 * Puts @text (escaped here) at @row and @col and fills up to @width columns with blanks; what does
 * not fit is cut, and marked. A negative width: to the end of the row. Returns the columns of the
 * text. Outside of the grid nothing happens.
 */
int cells_put(struct cells *c, int row, int col, int width, uint8_t style, const char *text);
/* The same for text that cells_escape() made. */
int cells_put_escaped(
	struct cells *c, int row, int col, int width, uint8_t style, const char *escaped);
/* Adds @bits to the style of a part of a row. */
void cells_mark(struct cells *c, int row, int col, int width, uint8_t bits);
/* A frame with @title around the rows and columns inside it, which are blanked. */
void cells_box(struct cells *c, int row, int col, int rows, int cols, const char *title);

/* A row as UTF-8, without blanks at its end; the caller frees. For tests. */
char *cells_row_text(const struct cells *c, int row);
