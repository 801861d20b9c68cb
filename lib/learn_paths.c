#include "lib/learn_paths.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/learn.h"

enum { PATH_BYTES_MAX = 64 * 1024, SEGMENTS_MAX = 32, ID_HEX_MIN = 8 };

void learn_seen_add(struct learn_seen *to, const struct learn_seen *more)
{
	if (!to->count || more->first_ms < to->first_ms)
		to->first_ms = more->first_ms;
	if (more->last_ms > to->last_ms)
		to->last_ms = more->last_ms;
	to->count += more->count;
}

int learn_path_quote(struct buf *out, const char *path)
{
	int r = 0;

	while (*path && r == 0) {
		size_t n = strcspn(path, "*?[]{}\\");

		r = n ? buf_append(out, path, n) : buf_printf(out, "[%c]", *path);
		path += n ? n : 1;
	}
	return r;
}

/* A number, or hexadecimal of some length with a digit in it, perhaps with hyphens: a uuid. */
static bool is_id(const char *s, size_t len)
{
	size_t digits = 0, hex = 0;

	for (size_t i = 0; i < len; i++) {
		bool is_letter = (s[i] >= 'a' && s[i] <= 'f') || (s[i] >= 'A' && s[i] <= 'F');

		digits += s[i] >= '0' && s[i] <= '9';
		hex += is_letter || s[i] == '-';
	}
	return len && (digits == len || (digits && digits + hex == len && len >= ID_HEX_MIN));
}

int learn_path_without_ids(struct buf *out, const char *path)
{
	int r = 0;

	while (*path && r == 0) {
		size_t n = strcspn(path + 1, "/") + 1;
		bool hit = *path == '/' && is_id(path + 1, n - 1);

		r = hit ? buf_puts(out, "/*") : buf_append(out, path, n);
		path += n;
	}
	return r;
}

/* @path with segment number @segment as "*"; @path itself if it has none, NULL without memory. */
static const char *masked(struct arena *a, const char *path, size_t segment)
{
	const char *s = path;
	size_t n;

	for (; *s && segment--; s += strcspn(s + 1, "/") + 1)
		continue;
	n = *s == '/' ? strcspn(s + 1, "/") : 0;
	if (!n)
		return path;
	return arena_printf(a, "%.*s/*%s", (int)(s - path), path, s + 1 + n);
}

struct candidate {
	const char *mask;
	struct learn_path path;
};

static int by_mask(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	int order = strcmp(x->mask, y->mask);

	return order ? order : strcmp(x->path.path, y->path.path);
}

/* The run of candidates with one mask becomes one path if it is long enough; how many it was. */
static size_t fold_run(const struct candidate *c, size_t n, struct learn_paths *out)
{
	struct learn_path one = { .path = c[0].mask, .is_many = true };
	size_t run = 1;

	while (run < n && strcmp(c[run].mask, c[0].mask) == 0)
		run++;
	if (run < LEARN_SIBLINGS) {
		for (size_t i = 0; i < run; i++)
			out->list[out->n++] = c[i].path;
		return run;
	}
	for (size_t i = 0; i < run; i++)
		learn_seen_add(&one.seen, &c[i].path.seen);
	out->list[out->n++] = one;
	return run;
}

static int fold(struct arena *a, struct learn_paths *p, size_t segment)
{
	auto_free struct candidate *c = calloc(p->n + 1, sizeof(*c));
	struct learn_paths out = { .list = p->list };
	size_t n = p->n;

	if (!c)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		c[i].path = p->list[i];
		c[i].mask = masked(a, p->list[i].path, segment);
		if (!c[i].mask)
			return -ENOMEM;
	}
	qsort(c, n, sizeof(*c), by_mask);
	for (size_t i = 0; i < n;)
		i += fold_run(&c[i], n - i, &out);
	p->n = out.n;
	return 0;
}

/* The directory all of them are in, with a slash; "/" at least. */
static size_t common_directory(const struct learn_paths *p)
{
	const char *first = p->list[0].path;
	size_t n = strlen(first);

	for (size_t i = 1; i < p->n; i++)
		for (size_t k = 0; k < n; k++)
			if (p->list[i].path[k] != first[k])
				n = k;
	while (n > 1 && first[n - 1] != '/')
		n--;
	return n;
}

static int collapse(struct arena *a, struct learn_paths *p)
{
	auto_buf struct buf b = { 0 };
	struct learn_path one = { .is_many = true };
	size_t n = common_directory(p);

	buf_init(&b, PATH_BYTES_MAX);
	/* "**" is what the access presets say. */
	if (buf_append(&b, p->list[0].path, n > 1 ? n : 0) < 0 || buf_puts(&b, "**") < 0)
		return -ENOMEM;
	one.path = arena_strndup(a, buf_head(&b), b.len);
	if (!one.path)
		return -ENOMEM;
	for (size_t i = 0; i < p->n; i++)
		learn_seen_add(&one.seen, &p->list[i].seen);
	p->list[0] = one;
	p->n = 1;
	return 0;
}

static int by_path(const void *a, const void *b)
{
	const struct learn_path *x = a, *y = b;

	return strcmp(x->path, y->path);
}

int learn_paths_generalise(struct arena *a, struct learn_paths *p)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < SEGMENTS_MAX && p->n >= LEARN_SIBLINGS; i++)
		r = fold(a, p, i);
	if (r == 0 && p->n > LEARN_PATHS)
		r = collapse(a, p);
	if (r == 0 && p->n)
		qsort(p->list, p->n, sizeof(*p->list), by_path);
	return r;
}
