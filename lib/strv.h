/*
 * NULL-terminated vectors of strings that own their strings. NULL is an empty vector.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define auto_strv __attribute__((cleanup(cleanup_strv)))

void strv_free(char **v);

static inline void cleanup_strv(char ***v)
{
	strv_free(*v);
}

size_t strv_len(char *const *v);
bool strv_has(char *const *v, const char *s);
/* By bytes; NULL is fine. */
void strv_sort(char **v);
/* Appends a copy of @s: 0 or -ENOMEM (then *@v is as it was). */
int strv_push(char ***v, const char *s);
/* Appends copies of @n strings at @from, which need not end with NULL. */
int strv_push_n(char ***v, char *const *from, size_t n);
