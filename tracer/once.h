/*
 * Has this been said? A bounded set of (what, host, port, binary), so that a refusal that repeats
 * is logged once per destination.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct once;

enum { ONCE_MAX = 4096 }; /* beyond: everything is new again */

struct once *once_new(void);
void once_free(struct once *o);
/* True the first time. Strings may be NULL. A NULL @o finds everything new. */
bool once_is_new(struct once *o, const char *what, const char *host, uint16_t port,
	const char *binary);
