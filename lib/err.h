/*
 * Errors for people.
 *
 * A call that can fail for a reason somebody must mend takes `struct err *err` last. It holds one
 * line of text and one optional line that says what to do. The return value stays -errno, so that
 * code decides on numbers and people read words.
 */
#pragma once

#include <stdarg.h>

#define ERR_TEXT_MAX 1024
#define ERR_HINT_MAX 512

struct err {
	char text[ERR_TEXT_MAX]; /* empty: nothing was said */
	char hint[ERR_HINT_MAX]; /* empty: no remedy known */
};

/*
 * Replaces the text; returns @r, so that `return err_set(err, -errno, …)` reads well. @err may be
 * NULL. A text that does not fit is cut. "%m" is not used: pass strerrordesc_np(-r).
 */
int err_set(struct err *err, int r, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the text that is there; returns @r. */
int err_wrap(struct err *err, int r, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Sets the remedy line; returns @r. */
int err_hint(struct err *err, int r, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The description of -@r; never NULL and never allocated ("unknown error" if there is none). */
const char *err_name(int r);
