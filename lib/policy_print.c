#include "lib/policy_print.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/policy_shape.h"
#include "lib/str.h"

/* Where the text stands: how deep, and whether the next key continues a "- ". */
struct printer {
	struct buf *out;
	int r;
	policy_comment_fn *comment;
	void *arg;
};

static void put(struct printer *p, const char *s)
{
	if (p->r == 0)
		p->r = buf_puts(p->out, s);
}

static void indent(struct printer *p, unsigned int depth)
{
	while (depth--)
		put(p, "  ");
}

/* --- scalars --- */

/* Plain text that no YAML reader, 1.1 or 1.2, takes for anything but a string. */
static bool is_plain(const char *s)
{
	static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/_";
	static const char rest[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/_"
				   "0123456789.-+@*=";
	static const char *const words[] = { "true", "false", "yes", "no", "on", "off", "null", "y",
		"n", NULL };

	if (!s[0] || !strchr(first, s[0]) || s[strspn(s, rest)])
		return false;
	for (size_t i = 0; words[i]; i++)
		if (str_case_eq(words[i], s))
			return false;
	return true;
}

int policy_print_string(struct buf *out, const char *s)
{
	int r;

	if (is_plain(s))
		return buf_puts(out, s);
	r = buf_putc(out, '"');
	if (r == 0)
		r = str_json_escape(out, s, strlen(s));
	return r < 0 ? r : buf_putc(out, '"');
}

static void put_string(struct printer *p, const char *s)
{
	if (p->r == 0)
		p->r = policy_print_string(p->out, s);
}

static void put_key(struct printer *p, const char *key)
{
	put_string(p, key);
	put(p, ":");
}

static void put_int(struct printer *p, int64_t v)
{
	if (p->r == 0)
		p->r = buf_printf(p->out, "%" PRId64, v);
}

static void put_ints(struct printer *p, const struct doc_ints *l)
{
	put(p, " [");
	for (size_t i = 0; i < l->n; i++) {
		put(p, i ? ", " : "");
		put_int(p, l->list[i].value);
	}
	put(p, "]\n");
}

static void put_strs(struct printer *p, const struct doc_strs *l, unsigned int depth)
{
	put(p, l->n ? "\n" : " []\n");
	for (size_t i = 0; i < l->n; i++) {
		indent(p, depth);
		put(p, "- ");
		put_string(p, l->list[i].text);
		put(p, "\n");
	}
}

static void put_matcher(struct printer *p, const struct doc_matcher *m, unsigned int depth)
{
	if (m->is_any || m->is_glob) {
		put(p, "\n");
		indent(p, depth);
		put(p, m->is_any ? "any:" : "glob: ");
	} else {
		put(p, " ");
	}
	if (m->is_any) {
		put_strs(p, &m->values, depth + 1);
		return;
	}
	put_string(p, m->values.n ? m->values.list[0].text : "");
	put(p, "\n");
}

/* --- structures --- */

static void put_fields(struct printer *p, const struct doc_shape *shape, const void *at,
	unsigned int depth, bool is_item);

static void put_comment(struct printer *p, const struct doc_head *head, unsigned int depth)
{
	const char *text = p->comment ? p->comment(p->arg, head) : NULL;

	while (text && *text) {
		size_t n = strcspn(text, "\n");

		indent(p, depth);
		put(p, "# ");
		if (p->r == 0)
			p->r = str_escape(p->out, text, n);
		put(p, "\n");
		text += n + (text[n] != '\0');
	}
}

static void put_list(struct printer *p, const struct doc_shape *sub, const struct doc_any_list *l,
	unsigned int depth)
{
	put(p, l->n ? "\n" : " []\n");
	for (size_t i = 0; i < l->n; i++) {
		const void *at = (const char *)l->list + i * sub->size;

		put_comment(p, at, depth);
		indent(p, depth);
		put(p, "- ");
		put_fields(p, sub, at, depth + 1, true);
	}
}

static int by_key(const void *a, const void *b)
{
	const struct doc_head *const *x = a, *const *y = b;

	return strcmp((*x)->key.text, (*y)->key.text);
}

/* The entries of a map, sorted; NULL (and an error) when out of memory. The caller frees. */
static const struct doc_head **sorted(struct printer *p, const struct doc_any_list *l, size_t size)
{
	const struct doc_head **heads = calloc(l->n + 1, sizeof(*heads));

	if (!heads) {
		p->r = -ENOMEM;
		return NULL;
	}
	for (size_t i = 0; i < l->n; i++)
		heads[i] = (const void *)((const char *)l->list + i * size);
	qsort(heads, l->n, sizeof(*heads), by_key);
	return heads;
}

static void put_map(struct printer *p, const struct doc_shape *sub, const struct doc_any_list *l,
	unsigned int depth)
{
	auto_free const struct doc_head **heads = sorted(p, l, sub->size);

	put(p, l->n ? "\n" : " {}\n");
	for (size_t i = 0; heads && i < l->n; i++) {
		put_comment(p, heads[i], depth);
		indent(p, depth);
		put_key(p, heads[i]->key.text);
		put(p, "\n");
		put_fields(p, sub, heads[i], depth + 1, false);
	}
}

static void put_matchers(struct printer *p, const struct doc_any_list *l, unsigned int depth)
{
	auto_free const struct doc_head **heads = sorted(p, l, sizeof(struct doc_matcher));

	put(p, l->n ? "\n" : " {}\n");
	for (size_t i = 0; heads && i < l->n; i++) {
		indent(p, depth);
		put_key(p, heads[i]->key.text);
		put_matcher(p, (const void *)heads[i], depth + 1);
	}
}

static bool is_empty(const struct doc_shape *shape, const void *at)
{
	for (const struct doc_field *f = shape->fields; f->name; f++)
		if (doc_field_is_set(f, (const char *)at + f->offset))
			return false;
	return true;
}

static void put_section(
	struct printer *p, const struct doc_shape *sub, const void *at, unsigned int depth)
{
	put(p, is_empty(sub, at) ? " " : "\n");
	put_fields(p, sub, at, depth, false);
}

static void put_value(
	struct printer *p, const struct doc_field *f, const void *value, unsigned int depth)
{
	switch (f->kind) {
	case DOC_FIELD_STR:
		put(p, " ");
		put_string(p, ((const struct doc_str *)value)->text);
		put(p, "\n");
		break;
	case DOC_FIELD_BOOL:
		put(p, ((const struct doc_bool *)value)->value ? " true\n" : " false\n");
		break;
	case DOC_FIELD_INT:
		put(p, " ");
		put_int(p, ((const struct doc_int *)value)->value);
		put(p, "\n");
		break;
	case DOC_FIELD_STRS:
		put_strs(p, value, depth);
		break;
	case DOC_FIELD_INTS:
		put_ints(p, value);
		break;
	case DOC_FIELD_SECTION:
		put_section(p, f->sub, value, depth);
		break;
	case DOC_FIELD_LIST:
		put_list(p, f->sub, value, depth);
		break;
	case DOC_FIELD_MAP:
		put_map(p, f->sub, value, depth);
		break;
	case DOC_FIELD_MATCHER:
		put_matcher(p, value, depth);
		break;
	case DOC_FIELD_MATCHERS:
		put_matchers(p, value, depth);
		break;
	}
}

/* The first key of a list's element stands behind its "- ". */
static void put_fields(struct printer *p, const struct doc_shape *shape, const void *at,
	unsigned int depth, bool is_item)
{
	if (is_empty(shape, at)) {
		if (!is_item)
			indent(p, depth);
		put(p, "{}\n");
		return;
	}
	for (const struct doc_field *f = shape->fields; f->name; f++) {
		const void *value = (const char *)at + f->offset;

		if (!doc_field_is_set(f, value))
			continue;
		if (!is_item)
			indent(p, depth);
		is_item = false;
		put_key(p, f->name);
		put_value(p, f, value, depth + 1);
	}
}

int policy_print_commented(
	struct buf *out, const struct policy_doc *d, policy_comment_fn *comment, void *arg)
{
	struct printer p = { .out = out, .comment = comment, .arg = arg };

	put_fields(&p, &policy_doc_shape, d, 0, false);
	return p.r;
}

int policy_print(struct buf *out, const struct policy_doc *d)
{
	return policy_print_commented(out, d, NULL, NULL);
}
