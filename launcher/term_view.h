/*
 * Draws the model of `openshell term` into cells.
 */
#pragma once

#include <stdbool.h>

struct cells;
struct term_model;

/*
 * The whole screen, m->rows by m->cols; places that scroll are moved so that the cursor is seen.
 * 0 or -ENOMEM.
 */
int term_draw(struct term_model *m, struct cells *c);

/* Where the question stands, if all of it fits the window: only then may it be answered with yes.
 */
bool term_question_fits(const struct term_model *m);
