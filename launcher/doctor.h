/*
 * What this host offers for sandboxes: tried, not guessed.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum doctor_state { DOCTOR_OK = 0, DOCTOR_WARN, DOCTOR_FAIL };

enum { DOCTOR_TEXT_MAX = 256, DOCTOR_CHECKS_MAX = 24 };

struct doctor_check {
	const char *name;	     /* stable: a key of the JSON output */
	enum doctor_state state;     /* WARN: works with less; FAIL: sandboxes cannot start */
	char found[DOCTOR_TEXT_MAX]; /* what there is */
	char cost[DOCTOR_TEXT_MAX];  /* what is lost; empty when nothing */
	char remedy[DOCTOR_TEXT_MAX *
		    2]; /* the exact command that mends it; empty when there is none */
};

struct doctor {
	struct doctor_check checks[DOCTOR_CHECKS_MAX];
	size_t n;
};

/* Runs every check. */
void doctor_run(struct doctor *d);
/* True when nothing failed. */
bool doctor_can_start(const struct doctor *d);
const char *doctor_state_name(enum doctor_state s);
json_t *doctor_json(const struct doctor *d);
/* For people, on standard output. */
void doctor_print(const struct doctor *d);

/* After a start that failed without saying what to do: the first thing that is missing on this host
 * and its remedy, as a hint. Nothing where nothing is missing. @said: what was told already, which
 * is not repeated. */
void doctor_hint(const char *said);

/* "bubblewrap 0.8.0" → 800 (major * 10000 + minor * 100 + patch), -1 if it is none. Pure. */
int doctor_bwrap_version(const char *text);
