/*
 * Screens of text of `openshell term`: the details of an event, a policy with the use of its rules,
 * help, and the question before a decision. Built anew whenever they are drawn, wrapped to the
 * width there is.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct term_model;

enum { TERM_LINES_MAX = 100000 };

struct term_line {
	uint8_t style; /* enum cells_style */
	char *text;    /* escaped (cells_escape()); owned */
};

struct term_lines {
	struct term_line *list; /* owned */
	size_t n, room;
};

#define auto_lines __attribute__((cleanup(term_lines_done)))

void term_lines_done(struct term_lines *l);

/* The text of the current screen, which is one of text. 0 or -ENOMEM. */
int term_lines_build(struct term_lines *ret, const struct term_model *m, int width);
/* All that m->question is about. 0 or -ENOMEM. */
int term_lines_question(struct term_lines *ret, const struct term_model *m, int width);
/* The next line that holds @text, from line @from (without it; -1: before the first) in
 * @direction, all the way round; -1 for none. Case does not matter. */
int term_lines_search(const struct term_lines *l, int from, int direction, const char *text);
