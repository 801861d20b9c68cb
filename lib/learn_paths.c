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

const char *learn_path_quote(struct arena *a, const char *path)
{
	auto_buf struct buf b = { 0 };
	int r = 0;

	buf_init(&b, PATH_BYTES_MAX);
	for (; *path && r == 0; path++) {
		bool is_special = strchr("*?[]{}\\", *path) != NULL;

		r = is_special ? buf_printf(&b, "[%c]", *path) : buf_putc(&b, *path);
	}
	return r == 0 && buf_cstr(&b) ? arena_strndup(a, buf_cstr(&b), b.len) : NULL;
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

/* Which segments a mask replaces: all ids, or the one with this number. */
struct mask {
	bool ids;
	size_t segment;
};

/* @path with masked segments as "*"; NULL when out of memory, @path itself if none is. */
static const char *masked(struct arena *a, const char *path, const struct mask *m)
{
	auto_buf struct buf b = { 0 };
	bool is_masked = false;
	const char *s = path;
	int r = 0;

	buf_init(&b, PATH_BYTES_MAX);
	for (size_t i = 0; *s && r == 0; i++) {
		size_t n = strcspn(s + 1, "/") + 1;
		bool hit = *s == '/' && n > 1 && (m->ids ? is_id(s + 1, n - 1) : i == m->segment);

		is_masked |= hit;
		r = hit ? buf_puts(&b, "/*") : buf_append(&b, s, n);
		s += n;
	}
	if (r < 0 || !buf_cstr(&b))
		return NULL;
	return is_masked ? arena_strndup(a, buf_cstr(&b), b.len) : path;
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
static size_t fold_run(const struct candidate *c, size_t n, size_t least, struct learn_paths *out)
{
	struct learn_path one = { .path = c[0].mask };
	size_t run = 1;

	while (run < n && strcmp(c[run].mask, c[0].mask) == 0)
		run++;
	if (run < least) {
		for (size_t i = 0; i < run; i++)
			out->list[out->n++] = c[i].path;
		return run;
	}
	for (size_t i = 0; i < run; i++) {
		one.distinct += c[i].path.distinct;
		learn_seen_add(&one.seen, &c[i].path.seen);
	}
	out->list[out->n++] = one;
	return run;
}

static int fold(struct arena *a, struct learn_paths *p, const struct mask *m, size_t least)
{
	auto_free struct candidate *c = calloc(p->n + 1, sizeof(*c));
	struct learn_paths out = { .list = p->list };
	size_t n = p->n;

	if (!c)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		c[i].path = p->list[i];
		c[i].mask = masked(a, p->list[i].path, m);
		if (!c[i].mask)
			return -ENOMEM;
	}
	qsort(c, n, sizeof(*c), by_mask);
	for (size_t i = 0; i < n;)
		i += fold_run(&c[i], n - i, least, &out);
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
	struct learn_path one = { 0 };
	size_t n = common_directory(p);

	buf_init(&b, PATH_BYTES_MAX);
	/* "**" is what the access presets say. */
	if (buf_append(&b, p->list[0].path, n > 1 ? n : 0) < 0 || buf_puts(&b, "**") < 0)
		return -ENOMEM;
	one.path = arena_strndup(a, buf_head(&b), b.len);
	if (!one.path)
		return -ENOMEM;
	for (size_t i = 0; i < p->n; i++) {
		one.distinct += p->list[i].distinct;
		learn_seen_add(&one.seen, &p->list[i].seen);
	}
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
	struct mask m = { .ids = true };
	int r = fold(a, p, &m, 2);

	m.ids = false;
	for (m.segment = 0; r == 0 && m.segment < SEGMENTS_MAX && p->n >= LEARN_SIBLINGS;
		m.segment++)
		r = fold(a, p, &m, LEARN_SIBLINGS);
	if (r == 0 && p->n > LEARN_PATHS)
		r = collapse(a, p);
	if (r == 0 && p->n)
		qsort(p->list, p->n, sizeof(*p->list), by_path);
	return r;
}
