#include "lib/analyzer.h"
#include "lib/strv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void strv_free(char **v)
{
	if (!v)
		return;
	for (size_t i = 0; v[i]; i++)
		free(v[i]);
	free(v);
}

size_t strv_len(char *const *v)
{
	size_t n = 0;

	while (v && v[n])
		n++;
	return n;
}

/* gcc 12: the vector owns the copy. */
ANALYZER_OFF("-Wanalyzer-malloc-leak")
int strv_push(char ***v, const char *s)
{
	size_t n = strv_len(*v);
	char **grown, *copy;

	copy = strdup(s);
	if (!copy)
		return -ENOMEM;
	grown = reallocarray(*v, n + 2, sizeof(char *));
	if (!grown) {
		free(copy);
		return -ENOMEM;
	}
	grown[n] = copy;
	grown[n + 1] = NULL;
	*v = grown;
	return 0;
}
ANALYZER_ON

int strv_push_n(char ***v, char *const *from, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int r = strv_push(v, from[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

bool strv_has(char *const *v, const char *s)
{
	for (; v && *v; v++)
		if (strcmp(*v, s) == 0)
			return true;
	return false;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void strv_sort(char **v)
{
	if (v)
		qsort(v, strv_len(v), sizeof(char *), by_text);
}
