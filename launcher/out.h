/*
 * What the launcher says: results on standard output as table, JSON or YAML, everything else on
 * standard error. Bytes from outside are escaped on their way to a terminal.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/err.h"

enum out_format { OUT_TABLE = 0, OUT_JSON, OUT_YAML };

/* -EINVAL for a name that is none. */
int out_format_parse(const char *name, enum out_format *ret);

/* "openshell: text" and, if there is one, "hint: …"; returns @status. */
int out_fail(int status, const struct err *err);
int out_error(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void out_hint(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* "openshell: text" for something the user should know and nothing failed. */
void out_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same with lines below it, which are escaped already; nothing when there are none (NULL). */
void out_note_lines(const char *head, char *const *below);
/* "✓ text", coloured on a terminal. */
void out_done(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* "MARK text" with another mark: "·", "!", "→" … */
void out_mark(const char *mark, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* True when @f is a terminal and NO_COLOR is not set. */
bool out_has_colour(FILE *f);

/* Prints @v (released here) in @format, which is not OUT_TABLE; returns the exit status. */
int out_json(json_t *v, enum out_format format);

/*
 * Columns padded to the widest cell. @cells holds n_rows * n_columns strings, the heads first;
 * NULL is an empty cell.
 */
void out_table(const char *const *cells, size_t n_rows, size_t n_columns);

/* "2026-04-01 04:04:32" (UTC) for milliseconds since the epoch. */
void out_time(char ret[24], uint64_t ms);
