#include "lib/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 4096 };

struct arena_block {
	struct arena_block *next;
	size_t size;
	max_align_t data[];
};

void arena_init(struct arena *a, size_t max)
{
	*a = (struct arena){ .max = max };
}

void arena_done(struct arena *a)
{
	struct arena_block *next;

	for (struct arena_block *b = a->blocks; b; b = next) {
		next = b->next;
		free(b);
	}
	*a = (struct arena){ .max = a->max };
}

static int add_block(struct arena *a, size_t size)
{
	struct arena_block *b;

	if (size < BLOCK)
		size = BLOCK;
	if (size > a->max - a->used)
		return -1;
	b = calloc(1, sizeof(*b) + size);
	if (!b)
		return -1;
	b->next = a->blocks;
	b->size = size;
	a->blocks = b;
	a->left = size;
	a->used += size;
	return 0;
}

void *arena_alloc(struct arena *a, size_t size)
{
	const size_t align = _Alignof(max_align_t);
	char *data;

	if (size > a->max)
		return NULL;
	size = (size + align - 1) / align * align;
	if (a->left < size && add_block(a, size) < 0)
		return NULL;
	data = (char *)a->blocks->data + (a->blocks->size - a->left);
	a->left -= size;
	return data;
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
	size_t total;

	return __builtin_mul_overflow(n, size, &total) ? NULL : arena_alloc(a, total);
}

char *arena_strndup(struct arena *a, const char *s, size_t len)
{
	char *copy = len < a->max ? arena_alloc(a, len + 1) : NULL;

	if (copy && len)
		memcpy(copy, s, len);
	return copy;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	s = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
	if (!s)
		return NULL;
	va_start(ap, fmt);
	(void)vsnprintf(s, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return s;
}
