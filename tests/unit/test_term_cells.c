#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/term_cells.h"
#include "lib/buf.h"
#include "lib/cleanup.h"

static int utf8(void **state)
{
	(void)state;
	return setlocale(LC_ALL, "C.UTF-8") ? 0 : -1;
}

static int ascii(void **state)
{
	(void)state;
	return setlocale(LC_ALL, "C") ? 0 : -1;
}

static void assert_escaped(const char *from, const char *want)
{
	auto_buf struct buf out = { 0 };

	buf_init(&out, 65536);
	assert_int_equal(cells_escape(&out, from, strlen(from)), 0);
	assert_string_equal(buf_cstr(&out), want);
}

static void assert_row(const struct cells *c, int row, const char *want)
{
	auto_free char *text = cells_row_text(c, row);

	assert_string_equal(text, want);
}

static void what_could_move_or_forge_is_spelled_out(void **state)
{
	(void)state;
	assert_escaped("plain text", "plain text");
	assert_escaped("\x1b[2J", "\\x1b[2J");
	assert_escaped("\x1b]52;c;cm0=\x07", "\\x1b]52;c;cm0=\\x07");
	assert_escaped("a\r\nb\tc\x7f", "a\\x0d\\x0ab\\x09c\\x7f");
	assert_escaped("\xc2\x9b"
		       "31m",
		"\\x9b31m"); /* CSI in one byte, as C1 */
	assert_escaped("a\xe2\x80\xae"
		       "b",
		"a\\u{202e}b"); /* right to left */
	assert_escaped("a\xe2\x81\xa6"
		       "b",
		"a\\u{2066}b"); /* isolate */
	assert_escaped("\xff\xfe", "\\xff\\xfe");
	assert_escaped("a\xe2\x80\x8b"
		       "b",
		"a\\u{200b}b"); /* zero width space */
	assert_escaped("\\x1b", "\\\\x1b");
}

static void what_the_terminal_may_measure_otherwise_is_spelled_out(void **state)
{
	(void)state;
	assert_escaped("a\xef\xb8\x8f", "a\\u{fe0f}");	  /* variation selector */
	assert_escaped("\xe3\x85\xa4", "\\u{3164}");	  /* Hangul filler */
	assert_escaped("\xee\x80\x80", "\xee\x80\x80");	  /* private use: one column */
	assert_escaped("\xf3\xa0\x84\x80", "\\u{e0100}"); /* variation selector 17 */
}

static void combining_marks_need_a_character_and_are_few(void **state)
{
	(void)state;
	assert_escaped("e\xcc\x81", "e\xcc\x81");
	assert_escaped("\xcc\x81", "\\u{301}");
	assert_escaped("e\xcc\x81\xcc\x82\xcc\x83", "e\xcc\x81\xcc\x82\\u{303}");
	assert_int_equal(cells_width("e\xcc\x81"), 1);
	assert_int_equal(cells_width("\xe6\x97\xa5\xe6\x9c\xac"), 4);
}

static void in_a_plain_locale_all_but_ascii_is_spelled_out(void **state)
{
	struct cells c = { 0 };

	(void)state;
	assert_escaped("caf\xc3\xa9", "caf\\u{e9}");
	assert_int_equal(cells_reset(&c, 3, 10), 0);
	(void)cells_put(&c, 0, 0, -1, CELLS_PLAIN, "0123456789ab");
	assert_row(&c, 0, "012345678~");
	cells_box(&c, 0, 0, 3, 10, "");
	assert_row(&c, 0, "+--------+");
	cells_done(&c);
}

static void text_is_cut_and_padded_by_columns(void **state)
{
	struct cells c = { 0 };

	(void)state;
	assert_int_equal(cells_reset(&c, 2, 12), 0);
	assert_int_equal(cells_put(&c, 0, 0, 5, CELLS_PLAIN, "abc"), 3);
	(void)cells_put(&c, 0, 5, -1, CELLS_PLAIN, "x");
	assert_row(&c, 0, "abc  x");
	assert_int_equal(cells_put(&c, 1, 0, 5, CELLS_PLAIN, "abcdef"), 5);
	assert_row(&c, 1, "abcd\xe2\x80\xa6");
	/* Half of a wide character is never shown. */
	assert_int_equal(
		cells_put(&c, 1, 0, 4, CELLS_PLAIN, "\xe6\x97\xa5\xe6\x97\xa5\xe6\x97\xa5"), 3);
	assert_row(&c, 1, "\xe6\x97\xa5\xe2\x80\xa6 \xe2\x80\xa6");
	cells_done(&c);
}

static void the_half_of_a_wide_character_that_is_covered_takes_the_other_with_it(void **state)
{
	struct cells c = { 0 };

	(void)state;
	assert_int_equal(cells_reset(&c, 1, 6), 0);
	(void)cells_put(&c, 0, 0, -1, CELLS_PLAIN, "\xe6\x97\xa5\xe6\x97\xa5\xe6\x97\xa5");
	(void)cells_put(&c, 0, 1, 2, CELLS_PLAIN, "xy");
	assert_row(&c, 0, " xy \xe6\x97\xa5");
	cells_done(&c);
}

static void outside_of_the_grid_nothing_happens(void **state)
{
	struct cells c = { 0 };

	(void)state;
	assert_int_equal(cells_reset(&c, 2, 4), 0);
	assert_int_equal(cells_put(&c, 2, 0, -1, CELLS_PLAIN, "x"), 0);
	assert_int_equal(cells_put(&c, 0, 4, 3, CELLS_PLAIN, "x"), 0);
	assert_int_equal(cells_put(&c, -1, -1, 3, CELLS_PLAIN, "x"), 0);
	(void)cells_put(&c, 1, 2, 30, CELLS_PLAIN, "xyz");
	assert_row(&c, 0, "");
	assert_row(&c, 1, "  x\xe2\x80\xa6");
	cells_mark(&c, 5, 0, 9, CELLS_SELECTED);
	assert_int_equal(cells_reset(&c, 0, 0), 0);
	assert_int_equal(cells_put(&c, 0, 0, -1, CELLS_PLAIN, "x"), 0);
	cells_done(&c);
}

#define T(name) cmocka_unit_test_setup(name, utf8)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_could_move_or_forge_is_spelled_out),
		T(what_the_terminal_may_measure_otherwise_is_spelled_out),
		T(combining_marks_need_a_character_and_are_few),
		cmocka_unit_test_setup(in_a_plain_locale_all_but_ascii_is_spelled_out, ascii),
		T(text_is_cut_and_padded_by_columns),
		T(the_half_of_a_wide_character_that_is_covered_takes_the_other_with_it),
		T(outside_of_the_grid_nothing_happens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
