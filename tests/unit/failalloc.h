/*
 * Allocations that fail when they are told to, and a count of those that live.
 *
 * In a plain build the program's own malloc() and its kin take the place of glibc's for every
 * library in it (libyaml, jansson, nghttp2, zlib). AddressSanitizer needs that place for itself:
 * there the linker wraps the calls of our own code (WRAP_test_failalloc in the GNUmakefile).
 */
#pragma once

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
	unsigned long n;       /* asked for since failalloc_begin() */
	unsigned long fail_at; /* which one fails; 0: none */
	bool fail_all_after;   /* and whether those behind it do, too */
	unsigned long failed;
	atomic_long live;
} failalloc;

static void failalloc_begin(unsigned long fail_at, bool fail_all_after)
{
	failalloc.n = failalloc.failed = 0;
	failalloc.fail_at = fail_at;
	failalloc.fail_all_after = fail_all_after;
}

static bool failalloc_fails(void)
{
	failalloc.n++;
	if (!failalloc.fail_at || failalloc.n < failalloc.fail_at ||
		(failalloc.n > failalloc.fail_at && !failalloc.fail_all_after))
		return false;
	failalloc.failed++;
	errno = ENOMEM;
	return true;
}

#ifdef __SANITIZE_ADDRESS__
enum { FAILALLOC_COUNTS = 0 }; /* leaks are the sanitizer's to find */
#define REAL(name) __real_##name
#define OURS(name) __wrap_##name
#else
enum { FAILALLOC_COUNTS = 1 };
#define REAL(name) __libc_##name
#define OURS(name) name
void __libc_free(void *p);
#endif

void *REAL(malloc)(size_t size);
void *REAL(calloc)(size_t n, size_t size);
void *REAL(realloc)(void *p, size_t size);
void *OURS(malloc)(size_t size);
void *OURS(calloc)(size_t n, size_t size);
void *OURS(realloc)(void *p, size_t size);

static void *failalloc_count(void *p)
{
	failalloc.live += FAILALLOC_COUNTS && p;
	return p;
}

void *OURS(malloc)(size_t size)
{
	return failalloc_fails() ? NULL : failalloc_count(REAL(malloc)(size));
}

void *OURS(calloc)(size_t n, size_t size)
{
	return failalloc_fails() ? NULL : failalloc_count(REAL(calloc)(n, size));
}

void *OURS(realloc)(void *p, size_t size)
{
	void *q = failalloc_fails() ? NULL : REAL(realloc)(p, size);

	failalloc.live += FAILALLOC_COUNTS && q && !p;
	return q;
}

#ifdef __SANITIZE_ADDRESS__
void *__wrap_reallocarray(void *p, size_t n, size_t size);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);
int __wrap_asprintf(char **ret, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void *__real_reallocarray(void *p, size_t n, size_t size);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return failalloc_fails() ? NULL : __real_reallocarray(p, n, size);
}

char *__wrap_strdup(const char *s)
{
	return failalloc_fails() ? NULL : __real_strdup(s);
}

char *__wrap_strndup(const char *s, size_t n)
{
	return failalloc_fails() ? NULL : __real_strndup(s, n);
}

int __wrap_asprintf(char **ret, const char *fmt, ...)
{
	va_list ap;
	int r;

	if (failalloc_fails())
		return -1;
	va_start(ap, fmt);
	r = vasprintf(ret, fmt, ap);
	va_end(ap);
	return r;
}
#else
void free(void *p)
{
	failalloc.live -= p != NULL;
	__libc_free(p);
}
#endif

/* An arena asks for memory seldom; whoever asks the arena is refused all the same (wrapped in each
 * build). */
struct arena;
void *__real_arena_alloc(struct arena *a, size_t size);
void *__wrap_arena_alloc(struct arena *a, size_t size);
void *__real_arena_array(struct arena *a, size_t n, size_t size);
void *__wrap_arena_array(struct arena *a, size_t n, size_t size);
char *__real_arena_strndup(struct arena *a, const char *s, size_t len);
char *__wrap_arena_strndup(struct arena *a, const char *s, size_t len);

void *__wrap_arena_alloc(struct arena *a, size_t size)
{
	return failalloc_fails() ? NULL : __real_arena_alloc(a, size);
}

void *__wrap_arena_array(struct arena *a, size_t n, size_t size)
{
	return failalloc_fails() ? NULL : __real_arena_array(a, n, size);
}

char *__wrap_arena_strndup(struct arena *a, const char *s, size_t len)
{
	return failalloc_fails() ? NULL : __real_arena_strndup(a, s, len);
}
