/*
 * libyaml's events, built into a tree.
 *
 * One open collection is one frame of an explicit stack (no recursion, so depth is ours to limit);
 * its children gather in a growing array and are copied to the arena once their number is known.
 */
#include "lib/yaml.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "lib/cleanup.h"
#include "lib/str.h"

struct frame {
	struct yaml_node *node;
	size_t first; /* index of its first child in the shared array */
};

/* In chains by hash: a text made of aliases must not cost their number times the anchors'. */
enum { ANCHOR_BUCKETS = 1024 };

struct anchor {
	struct anchor *next;
	const char *name;
	struct yaml_node *node;
};

struct reader {
	struct arena *arena;
	yaml_error_fn *on_error;
	void *opaque;
	struct frame frames[YAML_DEPTH_MAX];
	size_t depth;
	struct yaml_node **children; /* of all open collections, innermost last */
	size_t n_children, alloc_children;
	struct anchor *anchors[ANCHOR_BUCKETS]; /* in the arena */
	size_t n_anchors;
	struct yaml_node *root;
	size_t n_nodes;
	bool is_done;
	bool has_duplicates;
};

static struct yaml_pos pos_of(yaml_mark_t mark)
{
	return (struct yaml_pos){ (uint32_t)mark.line + 1, (uint32_t)mark.column + 1 };
}

static int __attribute__((format(printf, 4, 5)))
report(struct reader *r, int error, struct yaml_pos pos, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	r->on_error(r->opaque, pos, text);
	return error;
}

static int child_add(struct reader *r, struct yaml_node *n)
{
	if (r->n_children == r->alloc_children) {
		size_t alloc = r->alloc_children ? r->alloc_children * 2 : 256;
		struct yaml_node **grown = realloc(r->children, alloc * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		r->children = grown;
		r->alloc_children = alloc;
	}
	r->children[r->n_children++] = n;
	return 0;
}

/* Puts a finished or just opened node where it belongs. */
static int attach(struct reader *r, struct yaml_node *n)
{
	if (r->depth)
		return child_add(r, n);
	r->root = n;
	return 0;
}

static int count_nodes(struct reader *r, size_t n, struct yaml_pos pos)
{
	r->n_nodes += n;
	if (r->n_nodes > YAML_NODES_MAX)
		return report(r, -E2BIG, pos, "too large: more than %d values%s", YAML_NODES_MAX,
			n > 1 ? " once aliases are expanded" : "");
	return 0;
}

static struct anchor **anchor_bucket(struct reader *r, const char *name)
{
	uint32_t h = 2166136261u;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 16777619u;
	return &r->anchors[h % ANCHOR_BUCKETS];
}

static struct anchor *anchor_find(struct reader *r, const char *name)
{
	struct anchor *a = *anchor_bucket(r, name);

	while (a && strcmp(a->name, name) != 0)
		a = a->next;
	return a;
}

/* The most recent definition counts, so a name is replaced in place. */
static int anchor_add(struct reader *r, const char *name, struct yaml_node *n)
{
	struct anchor *a = name ? anchor_find(r, name) : NULL, **bucket;

	if (a)
		a->node = n;
	if (a || !name)
		return 0;
	if (r->n_anchors++ == YAML_ANCHORS_MAX)
		return report(r, -E2BIG, n->pos, "more than %d anchors", YAML_ANCHORS_MAX);
	a = arena_alloc(r->arena, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->name = arena_strndup(r->arena, name, strlen(name));
	if (!a->name)
		return -ENOMEM;
	a->node = n;
	bucket = anchor_bucket(r, name);
	a->next = *bucket;
	*bucket = a;
	return 0;
}

static int refuse_tag(struct reader *r, const yaml_char_t *tag, struct yaml_pos pos)
{
	return tag ? report(r, -EINVAL, pos, "tags are not supported ('%s')", (const char *)tag)
		   : 0;
}

static int on_alias(struct reader *r, const yaml_event_t *e)
{
	const char *name = (const char *)e->data.alias.anchor;
	struct anchor *a = anchor_find(r, name);
	struct yaml_pos pos = pos_of(e->start_mark);
	int error;

	if (!a)
		return report(r, -EINVAL, pos, "unknown anchor '*%s'", name);
	if (!a->node->is_finished)
		return report(r, -EINVAL, pos, "'*%s' contains itself", name);
	error = count_nodes(r, a->node->weight, pos);
	return error ? error : attach(r, a->node);
}

/* With room for @extra bytes behind it. */
static int node_new(struct reader *r, const yaml_event_t *e, enum yaml_type type, size_t extra,
	struct yaml_node **ret)
{
	struct yaml_node *n = arena_alloc(r->arena, sizeof(*n) + extra);
	int error;

	if (!n)
		return -ENOMEM;
	n->type = (uint8_t)type;
	n->pos = pos_of(e->start_mark);
	n->weight = 1;
	error = count_nodes(r, 1, n->pos);
	if (error)
		return error;
	*ret = n;
	return 0;
}

static int on_scalar(struct reader *r, const yaml_event_t *e)
{
	const char *value = (const char *)e->data.scalar.value;
	size_t len = e->data.scalar.length;
	struct yaml_node *n;
	int error = node_new(r, e, YAML_SCALAR, len + 1, &n);

	if (error)
		return error;
	if (memchr(value, '\0', len))
		return report(r, -EINVAL, n->pos, "NUL in a string");
	n->is_plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	n->is_finished = true;
	n->n = (uint32_t)len;
	n->text = memcpy(n + 1, value, len);
	error = refuse_tag(r, e->data.scalar.tag, n->pos);
	if (!error)
		error = anchor_add(r, (const char *)e->data.scalar.anchor, n);
	return error ? error : attach(r, n);
}

static int on_open(struct reader *r, const yaml_event_t *e, enum yaml_type type,
	const yaml_char_t *tag, const yaml_char_t *anchor)
{
	struct yaml_node *n;
	int error = node_new(r, e, type, 0, &n);

	if (!error)
		error = refuse_tag(r, tag, n->pos);
	if (!error && r->depth == YAML_DEPTH_MAX)
		error = report(r, -E2BIG, n->pos, "nested deeper than %d", YAML_DEPTH_MAX);
	if (!error)
		error = anchor_add(r, (const char *)anchor, n);
	if (!error)
		error = attach(r, n);
	if (!error)
		r->frames[r->depth++] = (struct frame){ n, r->n_children };
	return error;
}

static int key_compare(const void *a, const void *b)
{
	const struct yaml_node *x = *(struct yaml_node *const *)a,
			       *y = *(struct yaml_node *const *)b;
	int order = strcmp(x->text, y->text);

	if (order)
		return order;
	if (x->pos.line != y->pos.line)
		return x->pos.line < y->pos.line ? -1 : 1;
	return x->pos.column < y->pos.column ? -1 : x->pos.column > y->pos.column;
}

static void report_duplicate(
	struct reader *r, const struct yaml_node *again, const struct yaml_node *first)
{
	r->has_duplicates = true;
	(void)report(r, -EINVAL, again->pos, "duplicate key '%.64s' (first on line %u)",
		again->text, first->pos.line);
}

enum { FEW_KEYS = 16 };

/* Few keys are compared pairwise, many are sorted: a huge mapping must not cost its square. */
static int check_duplicates(struct reader *r, struct yaml_node *const *kids, size_t n_pairs)
{
	auto_free const struct yaml_node **keys = NULL;

	if (n_pairs <= FEW_KEYS) {
		for (size_t i = 1; i < n_pairs; i++)
			for (size_t j = 0; j < i; j++)
				if (kids[2 * i]->n == kids[2 * j]->n &&
					strcmp(kids[2 * i]->text, kids[2 * j]->text) == 0)
					report_duplicate(r, kids[2 * i], kids[2 * j]);
		return 0;
	}
	keys = calloc(n_pairs, sizeof(*keys));
	if (!keys)
		return -ENOMEM;
	for (size_t i = 0; i < n_pairs; i++)
		keys[i] = kids[2 * i];
	qsort(keys, n_pairs, sizeof(*keys), key_compare);
	for (size_t i = 1; i < n_pairs; i++)
		if (strcmp(keys[i]->text, keys[i - 1]->text) == 0)
			report_duplicate(r, keys[i], keys[i - 1]);
	return 0;
}

static int close_map(struct reader *r, struct yaml_node *n, struct yaml_node **kids, size_t count)
{
	struct yaml_pair *pairs = arena_array(r->arena, count / 2, sizeof(*pairs));

	if (!pairs)
		return -ENOMEM;
	for (size_t i = 0; i < count / 2; i++) {
		if (kids[2 * i]->type != YAML_SCALAR)
			return report(r, -EINVAL, kids[2 * i]->pos, "a key must be a string");
		if (kids[2 * i]->is_plain && strcmp(kids[2 * i]->text, "<<") == 0)
			return report(r, -EINVAL, kids[2 * i]->pos,
				"merge keys ('<<') are not supported");
		pairs[i] = (struct yaml_pair){ kids[2 * i], kids[2 * i + 1] };
	}
	n->map = pairs;
	n->n = (uint32_t)(count / 2);
	return check_duplicates(r, kids, count / 2);
}

static int close_list(struct reader *r, struct yaml_node *n, struct yaml_node **kids, size_t count)
{
	struct yaml_node **list = arena_array(r->arena, count, sizeof(struct yaml_node *));

	if (!list)
		return -ENOMEM;
	if (count)
		memcpy(list, kids, count * sizeof(struct yaml_node *));
	n->list = list;
	n->n = (uint32_t)count;
	return 0;
}

static int close_node(struct reader *r, const struct frame *f)
{
	struct yaml_node **kids = r->children ? r->children + f->first : NULL;
	size_t count = r->n_children - f->first;
	int error;

	r->n_children = f->first;
	for (size_t i = 0; kids && i < count; i++)
		f->node->weight += kids[i]->weight;
	error = f->node->type == YAML_MAP ? close_map(r, f->node, kids, count)
					  : close_list(r, f->node, kids, count);
	f->node->is_finished = true;
	return error;
}

static int on_close(struct reader *r)
{
	assert(r->depth > 0); /* libyaml's events are balanced */
	r->depth--;
	assert(r->frames[r->depth].node);
	return close_node(r, &r->frames[r->depth]);
}

static int on_document(struct reader *r, const yaml_event_t *e)
{
	if (r->root)
		return report(r, -EINVAL, pos_of(e->start_mark), "more than one document");
	if (e->data.document_start.tag_directives.start !=
		e->data.document_start.tag_directives.end)
		return report(r, -EINVAL, pos_of(e->start_mark), "tags are not supported (%%TAG)");
	return 0;
}

static int on_event(struct reader *r, const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return on_scalar(r, e);
	case YAML_ALIAS_EVENT:
		return on_alias(r, e);
	case YAML_SEQUENCE_START_EVENT:
		return on_open(
			r, e, YAML_LIST, e->data.sequence_start.tag, e->data.sequence_start.anchor);
	case YAML_MAPPING_START_EVENT:
		return on_open(
			r, e, YAML_MAP, e->data.mapping_start.tag, e->data.mapping_start.anchor);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return on_close(r);
	case YAML_DOCUMENT_START_EVENT:
		return on_document(r, e);
	case YAML_STREAM_END_EVENT:
		r->is_done = true;
		return 0;
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_DOCUMENT_END_EVENT:
		break;
	}
	return 0;
}

static int syntax_error(struct reader *r, const yaml_parser_t *p)
{
	if (p->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	return report(r, -EINVAL, pos_of(p->problem_mark), "%s%s%s",
		p->problem ? p->problem : "not YAML", p->context ? ", " : "",
		p->context ? p->context : "");
}

static int read_events(struct reader *r, yaml_parser_t *p)
{
	int error = 0;

	while (!error && !r->is_done) {
		yaml_event_t e;

		if (!yaml_parser_parse(p, &e))
			return syntax_error(r, p);
		error = on_event(r, &e);
		yaml_event_delete(&e);
	}
	if (!error && r->has_duplicates)
		error = -EINVAL;
	return error;
}

int yaml_load(struct arena *arena, const char *text, size_t len, yaml_error_fn *on_error,
	void *opaque, const struct yaml_node **ret_root)
{
	struct reader r = { .arena = arena, .on_error = on_error, .opaque = opaque };
	yaml_parser_t p;
	int error;

	if (!yaml_parser_initialize(&p))
		return -ENOMEM;
	/* never guess: UTF-16 would be a second way to write the same policy */
	yaml_parser_set_encoding(&p, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&p, (const unsigned char *)text, len);
	error = read_events(&r, &p);
	yaml_parser_delete(&p);
	free(r.children);
	if (error)
		return error;
	*ret_root = r.root;
	return 0;
}

/* --- how scalars read --- */

static bool is_one_of(const char *s, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(s, *words) == 0)
			return true;
	return false;
}

static bool is_digits(const char *s, const char *digits)
{
	return *s && s[strspn(s, digits)] == '\0';
}

static bool is_integer(const char *s)
{
	if (str_starts(s, "0x"))
		return is_digits(s + 2, "0123456789abcdefABCDEF");
	if (str_starts(s, "0o"))
		return is_digits(s + 2, "01234567");
	return is_digits(s + (*s == '-' || *s == '+'), "0123456789");
}

/* [-+]? ( . digits | digits ( . digits* )? ) ( e [-+]? digits )? */
static bool is_float(const char *s)
{
	size_t whole, part = 0;

	s += *s == '-' || *s == '+';
	whole = strspn(s, "0123456789");
	s += whole;
	if (*s == '.') {
		part = strspn(s + 1, "0123456789");
		s += 1 + part;
	}
	if (whole + part == 0)
		return false;
	if (*s == 'e' || *s == 'E') {
		s++;
		s += *s == '-' || *s == '+';
		return is_digits(s, "0123456789");
	}
	return *s == '\0';
}

enum yaml_kind yaml_kind(const struct yaml_node *n)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
	static const char *const bools[] = { "true", "True", "TRUE", "false", "False", "FALSE",
		NULL };
	static const char *const odd[] = { ".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", "-.inf",
		"-.Inf", "-.INF", "+.inf", "+.Inf", "+.INF", NULL };

	if (n->type != YAML_SCALAR || !n->is_plain)
		return YAML_STRING;
	if (is_one_of(n->text, nulls))
		return YAML_NULL;
	if (is_one_of(n->text, bools))
		return YAML_BOOL;
	if (is_integer(n->text))
		return YAML_INTEGER;
	return is_one_of(n->text, odd) || is_float(n->text) ? YAML_FLOAT : YAML_STRING;
}

const char *yaml_kind_name(const struct yaml_node *n)
{
	static const char *const names[] = { "a string", "nothing", "a boolean", "a number",
		"a number" };

	if (n->type == YAML_LIST)
		return "a list";
	if (n->type == YAML_MAP)
		return "a map";
	return names[yaml_kind(n)];
}
