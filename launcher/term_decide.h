/*
 * Decisions of `openshell term`: which rule would allow an event, and carrying out what the user
 * answered. All of it is about one copied event and one sandbox, known by its id.
 */
#pragma once

struct term_details;
struct term_model;
struct term_policy;

/* Fills in the rule for d->event, or why there is none, and what was decided on it so far. The rule
 * is made of this event alone: others of its kind that came since are not in it. */
void decide_judge(struct term_details *d);
/* Carries m->question out on m->details, says what became of it, and ends the question. */
void decide(struct term_model *m);
/* Fills in the rules of p->origin and their use, or why they cannot be read. */
void decide_read_rules(struct term_policy *p);
