#include "launcher/asker.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "launcher/symbols.h"
#include "lib/analyzer.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/stack.h"
#include "lib/str.h"

enum { BUCKETS = 512, SYMBOL_MAX = 120, MODULE_MAX = 64 };

struct asker {
	char *stack, *name; /* owned; name may be NULL */
	SLIST_ENTRY(asker) link;
};

struct askers {
	struct symbols *symbols;
	SLIST_HEAD(, asker) buckets[BUCKETS];
	unsigned int n;
};

struct askers *askers_new(int home)
{
	struct askers *a = calloc(1, sizeof(*a));

	if (a && !(a->symbols = symbols_new(home))) {
		free(a);
		return NULL;
	}
	return a;
}

void askers_free(struct askers *a)
{
	struct asker *one;

	for (size_t i = 0; a && i < BUCKETS; i++) {
		while ((one = SLIST_FIRST(&a->buckets[i]))) {
			SLIST_REMOVE_HEAD(&a->buckets[i], link);
			free(one->stack);
			free(one->name);
			free(one);
		}
	}
	if (a)
		symbols_free(a->symbols);
	free(a);
}

/* What every program calls on its way to the kernel. */
static bool is_c_library(const char *path)
{
	static const char *const names[] = { "libc.so", "libc-", "libc.musl", "ld-linux", "ld-musl",
		"ld-", "libpthread", "libresolv", "libnss_", "libopenshell-preload", "[vdso]" };
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_starts(base, names[i]))
			return true;
	return false;
}

/* The same of a program that has its C library built in; "__libc_connect" is one of connect()'s
 * names. */
static bool is_call(const char *symbol)
{
	static const char *const names[] = { "connect", "send", "sendto", "sendmsg", "sendmmsg",
		"syscall" };

	symbol += strspn(symbol, "_");
	if (str_starts(symbol, "libc_"))
		symbol += strlen("libc_");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_eq(symbol, names[i]))
			return true;
	return false;
}

static bool is_on_the_way(const struct stack *s, const struct stack_frame *f)
{
	return is_c_library(s->modules[f->module].path) || (f->symbol && is_call(f->symbol));
}

static int put_cut(struct buf *out, const char *s, size_t max)
{
	return str_escape(out, s, strnlen(s, max));
}

static char *describe(const struct stack *s, const struct stack_frame *f)
{
	const char *path = s->modules[f->module].path, *slash = strrchr(path, '/');
	auto_buf struct buf out = { 0 };
	int r = 0;

	buf_init(&out, 16 * (SYMBOL_MAX + MODULE_MAX));
	if (f->symbol)
		r = put_cut(&out, f->symbol, SYMBOL_MAX);
	if (r == 0 && f->symbol)
		r = buf_puts(&out, " in ");
	if (r == 0)
		r = put_cut(&out, slash ? slash + 1 : path, MODULE_MAX);
	if (r == 0 && !f->symbol)
		r = buf_printf(&out, "+0x%" PRIx64, f->offset);
	return r < 0 ? NULL : buf_steal(&out);
}

static char *name_of(struct askers *a, const char *text)
{
	struct stack s;

	if (stack_parse(text, &s) < 0)
		return NULL;
	symbols_resolve(a->symbols, &s);
	for (unsigned int i = 0; i < s.n_frames; i++)
		if (!is_on_the_way(&s, &s.frames[i]))
			return describe(&s, &s.frames[i]);
	return NULL;
}

static size_t bucket(const char *s)
{
	uint64_t h = 14695981039346656037u;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 1099511628211u;
	return (h ^ h >> 32) % BUCKETS;
}

/* gcc 12: the list owns it. */
ANALYZER_OFF("-Wanalyzer-malloc-leak")
const char *askers_name(struct askers *a, const char *stack)
{
	size_t at = stack ? bucket(stack) : 0;
	struct asker *one;

	if (!stack)
		return NULL;
	SLIST_FOREACH (one, &a->buckets[at], link)
		if (str_eq(one->stack, stack))
			return one->name;
	one = a->n < ASKERS_MAX ? calloc(1, sizeof(*one)) : NULL;
	if (!one || !(one->stack = strdup(stack))) {
		free(one);
		return NULL;
	}
	one->name = name_of(a, stack);
	SLIST_INSERT_HEAD(&a->buckets[at], one, link);
	a->n++;
	return one->name;
}
ANALYZER_ON
