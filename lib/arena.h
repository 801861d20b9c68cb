/*
 * Memory that is released all at once: what a parser of one message hands out lives in one of
 * these, up to a maximum.
 */
#pragma once

#include <stddef.h>

struct arena_block;

struct arena {
	struct arena_block *blocks; /* newest first; owned */
	size_t left;		    /* bytes free in the newest */
	size_t used, max;	    /* bytes taken from the system, and how many that may become */
};

#define auto_arena __attribute__((cleanup(arena_done)))

void arena_init(struct arena *a, size_t max);
void arena_done(struct arena *a);

/* Zeroed, aligned for any type; NULL past the maximum or when memory is out. */
void *arena_alloc(struct arena *a, size_t size);
/* @n elements of @size bytes. */
void *arena_array(struct arena *a, size_t n, size_t size);
/* A copy of @len bytes with a NUL added. */
char *arena_strndup(struct arena *a, const char *s, size_t len);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
