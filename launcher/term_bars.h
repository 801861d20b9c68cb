/*
 * The first and the last row of `openshell term`: what is shown, and the keys, what is typed or
 * what there is to say.
 */
#pragma once

struct cells;
struct term_model;

void term_draw_title(const struct term_model *m, struct cells *c);
void term_draw_bottom(const struct term_model *m, struct cells *c);
/* The column of the text cursor in the last row while something is typed, else -1. */
int term_cursor_col(const struct term_model *m);
