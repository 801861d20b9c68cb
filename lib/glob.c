/*
 * Patterns as automata.
 *
 * A program is a row of states. Each state either consumes a byte and goes on to the next (BYTE,
 * ANY, CLASS), consumes bytes and stays (RUN: not the separator, ALL: every byte) or goes on
 * without consuming (RUN, ALL, SPLIT, JUMP). Jumps only ever go forward. So the set of live states
 * is a row of bits, and one ascending scan of it both follows the empty moves and takes the step.
 *
 * Two shortcuts carry most of the load: bytes before the first wildcard are compared at once, and
 * programs that are a literal, or a literal followed by ALL, never reach the automaton.
 */
#include "lib/glob.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"

enum op_code { OP_MATCH = 0, OP_BYTE, OP_ANY, OP_CLASS, OP_RUN, OP_ALL, OP_SPLIT, OP_JUMP };

struct op {
	uint8_t code;
	uint8_t arg;	 /* the byte, or the index of the class */
	uint16_t target; /* SPLIT: the other branch; JUMP: where to */
};

struct class
{
	uint64_t bits[4];
};

/* One allocation: the structure, the classes, the program, prefix and tail, the text. */
struct glob {
	const char *text;
	const char *prefix;
	const char *tail;
	const struct op *ops;
	uint16_t n_ops;
	uint16_t n_classes;
	uint16_t prefix_len; /* ops[0 .. prefix_len) are BYTE */
	uint16_t tail_len;   /* and so are those before MATCH, from the last jump's target on */
	char sep;	     /* what `*` does not cross; 0: it crosses everything */
	bool is_literal, is_any;
	bool is_prefix; /* after the prefix: ALL and the end */
	struct class classes[];
};

/* --- compiling --- */

struct compiler {
	const char *p, *start;
	enum glob_flavour flavour;
	char sep;
	unsigned int depth;
	const char *why;
	int error;
	size_t n_ops, n_classes;
	struct op ops[GLOB_OPS_MAX];
	struct class classes[GLOB_CLASSES_MAX];
};

static void fail(struct compiler *c, int error, const char *why)
{
	if (c->error)
		return;
	c->error = error;
	c->why = why;
}

static size_t emit(struct compiler *c, enum op_code code, uint8_t arg)
{
	if (c->error)
		return 0;
	if (c->n_ops == GLOB_OPS_MAX) {
		fail(c, -E2BIG, "the pattern is too long");
		return 0;
	}
	c->ops[c->n_ops] = (struct op){ .code = (uint8_t)code, .arg = arg };
	return c->n_ops++;
}

static void patch(struct compiler *c, size_t at)
{
	if (!c->error)
		c->ops[at].target = (uint16_t)c->n_ops;
}

static void emit_byte(struct compiler *c, char b)
{
	if (c->flavour >= GLOB_HOST && c->flavour != GLOB_SELECT && b >= 'A' && b <= 'Z')
		b = (char)(b - 'A' + 'a');
	(void)emit(c, OP_BYTE, (uint8_t)b);
}

/* A run after the same run adds states and no meaning. */
static void emit_run(struct compiler *c, enum op_code code)
{
	if (c->n_ops && c->ops[c->n_ops - 1].code == code && !c->depth)
		return;
	(void)emit(c, code, 0);
}

/* Nothing, or anything that ends in "/": zero or more whole segments. */
static void emit_segments(struct compiler *c)
{
	size_t split = emit(c, OP_SPLIT, 0);

	(void)emit(c, OP_ALL, 0);
	(void)emit(c, OP_BYTE, '/');
	patch(c, split);
}

static bool has_braces(enum glob_flavour f)
{
	return f == GLOB_PATH || f == GLOB_VALUE || f == GLOB_HOST;
}

/* Where components end: "/" for paths also where "/" does not separate (GLOB_SELECT). */
static bool ends_component(const struct compiler *c, char b)
{
	char mark = c->sep ? c->sep : '/';

	return b == '\0' || b == mark || (c->depth && (b == ',' || b == '}'));
}

static bool begins_component(const struct compiler *c)
{
	char mark = c->sep ? c->sep : '/';
	char before = c->p == c->start ? '\0' : c->p[-1];

	return before == '\0' || before == mark || (c->depth && (before == ',' || before == '{'));
}

static void compile_any_component(struct compiler *c)
{
	switch (c->flavour) {
	case GLOB_SELECTOR: /* one label or more */
		(void)emit(c, OP_ANY, 0);
		(void)emit(c, OP_ALL, 0);
		return;
	case GLOB_PATH:
	case GLOB_SELECT:
		if (*c->p == '/') {
			c->p++;
			emit_segments(c);
			return;
		}
		break;
	case GLOB_VALUE:
	case GLOB_HOST:
		break;
	}
	emit_run(c, OP_ALL);
}

static void compile_star(struct compiler *c)
{
	bool begins = begins_component(c);
	size_t n = strspn(c->p, "*");

	c->p += n;
	if (n == 2 && begins && ends_component(c, *c->p)) {
		compile_any_component(c);
		return;
	}
	if (n > 1 && (c->flavour == GLOB_SELECT || c->flavour == GLOB_SELECTOR))
		fail(c, -EINVAL, "'**' must be a whole component");
	emit_run(c, c->sep ? OP_RUN : OP_ALL);
}

static void class_add(struct class *k, unsigned char from, unsigned char to)
{
	for (unsigned int b = from; b <= to; b++)
		k->bits[b / 64] |= 1ull << (b % 64);
}

static bool class_has(const struct class *k, unsigned char b)
{
	return k->bits[b / 64] >> (b % 64) & 1;
}

/* After "[": ranges up to "]", which stands for itself in the first place. */
static bool parse_class(struct compiler *c, struct class *k)
{
	bool is_negated = *c->p == '!' || (*c->p == '^' && has_braces(c->flavour));
	const char *first;

	c->p += is_negated;
	first = c->p;
	for (; *c->p && (*c->p != ']' || c->p == first); c->p++) {
		unsigned char from = (unsigned char)c->p[0], to = from;

		if (c->p[1] == '-' && c->p[2] && c->p[2] != ']') {
			to = (unsigned char)c->p[2];
			c->p += 2;
		}
		if (to < from) {
			fail(c, -EINVAL, "a range in '[..]' runs backwards");
			return false;
		}
		class_add(k, from, to);
	}
	if (*c->p != ']') {
		fail(c, -EINVAL, "unclosed '['");
		return false;
	}
	c->p++;
	for (int i = 0; is_negated && i < 4; i++)
		k->bits[i] = ~k->bits[i];
	return true;
}

/* Upstream turns "." into a component of its own, so that a class cannot match it. */
static void class_finish(const struct compiler *c, struct class *k)
{
	if (c->sep == '.')
		k->bits['.' / 64] &= ~(1ull << ('.' % 64));
	if (c->flavour != GLOB_HOST && c->flavour != GLOB_SELECTOR)
		return;
	for (unsigned int b = 'A'; b <= 'Z'; b++)
		if (class_has(k, (unsigned char)b))
			class_add(
				k, (unsigned char)(b - 'A' + 'a'), (unsigned char)(b - 'A' + 'a'));
}

static void compile_class(struct compiler *c)
{
	struct class k = { 0 };

	c->p++;
	if (!parse_class(c, &k))
		return;
	class_finish(c, &k);
	if (c->n_classes == GLOB_CLASSES_MAX) {
		fail(c, -E2BIG, "too many '[..]'");
		return;
	}
	c->classes[c->n_classes] = k;
	(void)emit(c, OP_CLASS, (uint8_t)c->n_classes++);
}

static void compile_sequence(struct compiler *c);

/*
 * {a,b,c}: SPLIT to the next branch, the branch, JUMP to the end. The jumps are chained through
 * their targets until the end is known.
 */
static void compile_braces(struct compiler *c)
{
	size_t chain = SIZE_MAX;

	if (++c->depth > GLOB_DEPTH_MAX)
		fail(c, -E2BIG, "'{..}' nested too deep");
	do {
		size_t split, jump;

		c->p++; /* "{" or "," */
		split = emit(c, OP_SPLIT, 0);
		compile_sequence(c);
		if (c->error)
			return;
		jump = emit(c, OP_JUMP, 0);
		if (c->error)
			return;
		c->ops[jump].target = chain == SIZE_MAX ? 0 : (uint16_t)chain;
		chain = jump;
		patch(c, split);
	} while (*c->p == ',');
	if (*c->p != '}') {
		fail(c, -EINVAL, "unclosed '{'");
		return;
	}
	c->p++;
	c->depth--;
	/* the last SPLIT leads past the last branch: nowhere */
	(void)emit(c, OP_CLASS, UINT8_MAX);
	while (chain != SIZE_MAX && !c->error) {
		size_t next = c->ops[chain].target;

		patch(c, chain);
		chain = next ? next : SIZE_MAX;
	}
}

static void compile_escape(struct compiler *c)
{
	if (!c->p[1]) {
		fail(c, -EINVAL, "nothing after the last '\\'");
		return;
	}
	emit_byte(c, c->p[1]);
	c->p += 2;
}

/* Up to the end, or inside braces up to "," or "}". */
static void compile_sequence(struct compiler *c)
{
	while (*c->p && !c->error) {
		bool braces = has_braces(c->flavour);

		if (c->depth && (*c->p == ',' || *c->p == '}'))
			return;
		if (*c->p == '*')
			compile_star(c);
		else if (*c->p == '?')
			c->p++, (void)emit(c, OP_ANY, 0);
		else if (*c->p == '[')
			compile_class(c);
		else if (*c->p == '{' && braces)
			compile_braces(c);
		else if (*c->p == '}' && braces)
			fail(c, -EINVAL, "'}' without '{'");
		else if (*c->p == '\\' && braces)
			compile_escape(c);
		else
			emit_byte(c, *c->p++);
	}
}

/* A final "**" component of endpoint paths: X, or X and something below it. */
static bool compile_subtree(struct compiler *c, const char *pattern)
{
	size_t len = strlen(pattern);
	auto_free char *base = NULL;
	size_t split;

	if (c->flavour != GLOB_SELECT || len < 3 || strcmp(pattern + len - 3, "/**") != 0)
		return false;
	base = strndup(pattern, len - 3);
	if (!base) {
		fail(c, -ENOMEM, "out of memory");
		return true;
	}
	c->p = c->start = base;
	compile_sequence(c);
	split = emit(c, OP_SPLIT, 0);
	(void)emit(c, OP_BYTE, '/');
	(void)emit(c, OP_ALL, 0);
	patch(c, split);
	c->p = c->start = pattern + len;
	return true;
}

static void compile_literal(struct compiler *c, const char *text)
{
	c->n_ops = 0;
	c->error = 0;
	c->depth = 0;
	while (*text && !c->error)
		emit_byte(c, *text++);
}

static char separator_of(enum glob_flavour f)
{
	switch (f) {
	case GLOB_PATH:
		return '/';
	case GLOB_VALUE:
	case GLOB_HOST:
	case GLOB_SELECTOR:
		return '.';
	case GLOB_SELECT:
		break;
	}
	return '\0';
}

/* @c is large, and filled as far as it is used. */
static void compile(struct compiler *c, const char *pattern, enum glob_flavour flavour)
{
	c->flavour = flavour;
	c->depth = 0;
	c->error = 0;
	c->n_ops = 0;
	c->n_classes = 0;
	c->p = c->start = pattern;
	c->sep = separator_of(flavour);
	if (strlen(pattern) > GLOB_PATTERN_MAX)
		fail(c, -E2BIG, "the pattern is too long");
	else if (c->flavour == GLOB_SELECT && *pattern == '\0')
		(void)emit(c, OP_ALL, 0);
	else if (!compile_subtree(c, pattern))
		compile_sequence(c);
	if (c->error == -EINVAL && c->flavour == GLOB_SELECT)
		compile_literal(c, pattern);
	(void)emit(c, OP_MATCH, 0);
}

static size_t literal_prefix(const struct op *ops, char *prefix)
{
	size_t n = 0;

	for (; ops[n].code == OP_BYTE; n++)
		prefix[n] = (char)ops[n].arg;
	return n;
}

/* Where jumps lead, bytes before are not in every text. */
static size_t last_target(const struct op *ops, size_t n_ops)
{
	size_t last = 0;

	for (size_t i = 0; i < n_ops; i++)
		if (ops[i].target > last)
			last = ops[i].target;
	return last;
}

static size_t literal_tail(const struct op *ops, size_t n_ops, char *tail)
{
	size_t first = n_ops - 1, floor = last_target(ops, n_ops);

	while (first > floor && ops[first - 1].code == OP_BYTE)
		first--;
	for (size_t i = first; i < n_ops - 1; i++)
		tail[i - first] = (char)ops[i].arg;
	return n_ops - 1 - first;
}

static struct glob *assemble(const struct compiler *c, const char *pattern)
{
	size_t classes = c->n_classes * sizeof(*c->classes), ops = c->n_ops * sizeof(*c->ops);
	size_t text = strlen(pattern) + 1, n;
	struct glob *g = malloc(sizeof(*g) + classes + ops + 2 * c->n_ops + text);
	char *at;

	if (!g)
		return NULL;
	*g = (struct glob){
		.n_ops = (uint16_t)c->n_ops, .n_classes = (uint16_t)c->n_classes, .sep = c->sep
	};
	if (classes)
		memcpy(g->classes, c->classes, classes);
	at = (char *)g->classes + classes;
	g->ops = memcpy(at, c->ops, ops);
	at += ops;
	n = literal_prefix(g->ops, at);
	g->prefix = at;
	g->prefix_len = (uint16_t)n;
	at += c->n_ops;
	g->tail_len = (uint16_t)literal_tail(g->ops, g->n_ops, at);
	g->tail = at;
	g->text = memcpy(at + c->n_ops, pattern, text);
	g->is_literal = g->ops[n].code == OP_MATCH;
	g->is_prefix = g->ops[n].code == OP_ALL && g->ops[n + 1].code == OP_MATCH;
	g->is_any = g->is_prefix && n == 0;
	return g;
}

int glob_check(const char *pattern, enum glob_flavour flavour, const char **ret_why)
{
	struct compiler c;

	compile(&c, pattern, flavour);
	if (c.error)
		*ret_why = c.why;
	return c.error;
}

int glob_compile(
	const char *pattern, enum glob_flavour flavour, struct glob **ret, const char **ret_why)
{
	struct compiler c;
	struct glob *g;

	compile(&c, pattern, flavour);
	if (c.error) {
		*ret_why = c.why;
		return c.error;
	}
	g = assemble(&c, pattern);
	if (!g) {
		*ret_why = "out of memory";
		return -ENOMEM;
	}
	*ret = g;
	return 0;
}

void glob_free(struct glob *g)
{
	free(g);
}

const char *glob_text(const struct glob *g)
{
	return g->text;
}

const char *glob_prefix(const struct glob *g, size_t *ret_len)
{
	*ret_len = g->prefix_len;
	return g->prefix;
}

const char *glob_tail(const struct glob *g, size_t *ret_len)
{
	*ret_len = g->tail_len;
	return g->tail;
}

bool glob_is_literal(const struct glob *g)
{
	return g->is_literal;
}

bool glob_is_any(const struct glob *g)
{
	return g->is_any;
}

/* --- running --- */

enum { WORDS_MAX = (GLOB_OPS_MAX + 64) / 64 };

static bool op_takes(const struct glob *g, const struct op *op, unsigned char b)
{
	switch ((enum op_code)op->code) {
	case OP_BYTE:
		return op->arg == b;
	case OP_ANY:
	case OP_RUN:
		return !g->sep || b != (unsigned char)g->sep;
	case OP_CLASS:
		return op->arg < g->n_classes && class_has(&g->classes[op->arg], b);
	case OP_ALL:
		return true;
	case OP_MATCH:
	case OP_SPLIT:
	case OP_JUMP:
		break;
	}
	return false;
}

static inline void set_bit(uint64_t *set, size_t i)
{
	set[i / 64] |= 1ull << (i % 64);
}

/* The empty moves from state @i; all lead forward. */
static inline void follow(const struct op *op, size_t i, uint64_t *set)
{
	switch ((enum op_code)op->code) {
	case OP_RUN:
	case OP_ALL:
		set_bit(set, i + 1);
		return;
	case OP_SPLIT:
		set_bit(set, i + 1);
		set_bit(set, op->target);
		return;
	case OP_JUMP:
		set_bit(set, op->target);
		return;
	case OP_MATCH:
	case OP_BYTE:
	case OP_ANY:
	case OP_CLASS:
		return;
	}
}

/* One byte: closes @cur over the empty moves and fills @next. False when nothing is left. */
static bool step(const struct glob *g, uint64_t *cur, uint64_t *next, size_t words, unsigned char b)
{
	bool alive = false;

	memset(next, 0, words * sizeof(*next));
	for (size_t w = 0; w < words; w++) {
		uint64_t done = 0, todo;

		while ((todo = cur[w] & ~done) != 0) {
			size_t i = w * 64 + (size_t)__builtin_ctzll(todo);
			const struct op *op = &g->ops[i];

			done |= 1ull << (i % 64);
			follow(op, i, cur);
			if (!op_takes(g, op, b))
				continue;
			set_bit(next, op->code == OP_RUN || op->code == OP_ALL ? i : i + 1);
			alive = true;
		}
	}
	return alive;
}

/* After the last byte: does an empty move reach the end? */
static bool accepts(const struct glob *g, uint64_t *cur, size_t words)
{
	for (size_t w = 0; w < words; w++) {
		uint64_t done = 0, todo;

		while ((todo = cur[w] & ~done) != 0) {
			size_t i = w * 64 + (size_t)__builtin_ctzll(todo);

			done |= 1ull << (i % 64);
			if (g->ops[i].code == OP_MATCH)
				return true;
			follow(&g->ops[i], i, cur);
		}
	}
	return false;
}

static bool run(const struct glob *g, const char *text, size_t len)
{
	uint64_t a[WORDS_MAX], b[WORDS_MAX], *cur = a, *next = b;
	size_t words = g->n_ops / 64u + 1;

	memset(cur, 0, words * sizeof(*cur));
	set_bit(cur, g->prefix_len);
	for (size_t i = 0; i < len; i++) {
		uint64_t *t = cur;

		if (!step(g, cur, next, words, (unsigned char)text[i]))
			return false;
		cur = next;
		next = t;
	}
	return accepts(g, cur, words);
}

bool glob_match(const struct glob *g, const char *text, size_t len)
{
	if (!g || len < g->prefix_len || memcmp(text, g->prefix, g->prefix_len) != 0)
		return false;
	if (g->is_literal)
		return len == g->prefix_len;
	if (g->is_prefix)
		return true;
	if (len < g->tail_len || memcmp(text + len - g->tail_len, g->tail, g->tail_len) != 0)
		return false;
	return run(g, text + g->prefix_len, len - g->prefix_len);
}

/* --- do two patterns have a text in common? --- */

enum { OVERLAP_PRODUCT_MAX = 1 << 22 };

static bool share_byte(
	const struct glob *a, const struct op *x, const struct glob *b, const struct op *y)
{
	if (x->code == OP_BYTE)
		return op_takes(b, y, x->arg);
	if (y->code == OP_BYTE)
		return op_takes(a, x, y->arg);
	for (unsigned int c = 0; c < 256; c++)
		if (op_takes(a, x, (unsigned char)c) && op_takes(b, y, (unsigned char)c))
			return true;
	return false;
}

static bool stays(const struct op *op)
{
	return op->code == OP_RUN || op->code == OP_ALL;
}

/* The pairs of states reachable together, row by row; every move leads forward in both. */
struct product {
	const struct glob *a, *b;
	uint64_t *set;
	size_t stride; /* words a row */
};

static void pair_add(struct product *p, size_t i, size_t j)
{
	set_bit(p->set + i * p->stride, j);
}

static void pair_follow(struct product *p, size_t i, size_t j)
{
	const struct op *x = &p->a->ops[i], *y = &p->b->ops[j];

	if (stays(x) || x->code == OP_SPLIT)
		pair_add(p, i + 1, j);
	if (x->code == OP_SPLIT || x->code == OP_JUMP)
		pair_add(p, x->target, j);
	if (stays(y) || y->code == OP_SPLIT)
		pair_add(p, i, j + 1);
	if (y->code == OP_SPLIT || y->code == OP_JUMP)
		pair_add(p, i, y->target);
	if (share_byte(p->a, x, p->b, y))
		pair_add(p, stays(x) ? i : i + 1, stays(y) ? j : j + 1);
}

static bool product_search(struct product *p)
{
	for (size_t i = 0; i < p->a->n_ops; i++) {
		uint64_t *row = p->set + i * p->stride;

		for (size_t j = 0; j < p->b->n_ops; j++) {
			if (!(row[j / 64] >> (j % 64) & 1))
				continue;
			if (p->a->ops[i].code == OP_MATCH && p->b->ops[j].code == OP_MATCH)
				return true;
			pair_follow(p, i, j);
		}
	}
	return false;
}

int glob_overlaps(const struct glob *a, const struct glob *b)
{
	size_t common = a->prefix_len < b->prefix_len ? a->prefix_len : b->prefix_len;
	struct product p = { .a = a, .b = b, .stride = b->n_ops / 64u + 1 };
	auto_free uint64_t *set = NULL;

	if (memcmp(a->prefix, b->prefix, common) != 0)
		return 0;
	if (a->is_literal)
		return glob_match(b, a->prefix, a->prefix_len);
	if (b->is_literal)
		return glob_match(a, b->prefix, b->prefix_len);
	if ((size_t)a->n_ops * b->n_ops > OVERLAP_PRODUCT_MAX)
		return -E2BIG;
	set = calloc((a->n_ops + 1u) * p.stride, sizeof(*set));
	if (!set)
		return -ENOMEM;
	p.set = set;
	pair_add(&p, 0, 0);
	return product_search(&p);
}
