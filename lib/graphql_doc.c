/*
 * Two passes over an array of tokens. The first checks the syntax of the whole document and notes
 * where operations and fragments begin: what a server would not parse must not be judged either.
 * The second walks the root selection sets only, fragments included, each once.
 *
 * Beyond the specification: type definitions are refused, and so are two operations or two
 * fragments of one name, for servers differ in which they take.
 */
#include "lib/graphql_doc.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/arena.h"

enum kind {
	END = 0,
	NAME,
	NUMBER,
	STRING,
	SPREAD /* ... */
};	       /* other punctuators: the character */

struct token {
	uint32_t at, len;
	uint32_t kind;
};

struct definition {
	uint32_t name; /* token; 0 of an anonymous operation, for no name is the first token */
	uint32_t set;  /* token of its "{" */
	enum graphql_type type;
	bool is_visited;
};

struct doc {
	struct arena *arena;
	const char *text;
	size_t len;
	struct token *tokens; /* ends with END */
	size_t n_tokens, n_alloc;
	size_t at; /* the token that is looked at */
	unsigned int depth;
	const char *why;
	struct definition ops[GRAPHQL_OPERATIONS_MAX], fragments[GRAPHQL_OPERATIONS_MAX];
	size_t n_ops, n_fragments;
	const char **fields;
	size_t n_fields;
};

static int refuse(struct doc *d, const char *why)
{
	d->why = why;
	return -EBADMSG;
}

static bool is_name_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int add_token(struct doc *d, uint32_t kind, size_t at, size_t len)
{
	if (d->n_tokens > GRAPHQL_TOKENS_MAX)
		return refuse(d, "document has too many tokens");
	if (d->n_tokens == d->n_alloc) {
		size_t n = d->n_alloc ? 2 * d->n_alloc : 256;
		struct token *t = reallocarray(d->tokens, n, sizeof(*t));

		if (!t)
			return -ENOMEM;
		d->tokens = t;
		d->n_alloc = n;
	}
	d->tokens[d->n_tokens++] = (struct token){ (uint32_t)at, (uint32_t)len, kind };
	return 0;
}

/* What separates tokens and means nothing: blanks, line ends, commas, comments, the BOM. */
static size_t skip_ignored(const struct doc *d, size_t i)
{
	while (i < d->len) {
		char c = d->text[i];

		if (c == '#') {
			while (i < d->len && d->text[i] != '\n' && d->text[i] != '\r')
				i++;
		} else if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ',') {
			i++;
		} else if (d->len - i >= 3 && memcmp(d->text + i, "\xef\xbb\xbf", 3) == 0) {
			i += 3;
		} else {
			break;
		}
	}
	return i;
}

static size_t skip_digits(const struct doc *d, size_t i)
{
	while (i < d->len && is_digit(d->text[i]))
		i++;
	return i;
}

/* The end of the number at @i, or 0. */
static size_t lex_number(const struct doc *d, size_t i)
{
	size_t start, end;

	i += d->text[i] == '-';
	start = i;
	end = skip_digits(d, i);
	if (end == start || (d->text[start] == '0' && end > start + 1))
		return 0;
	if (end < d->len && d->text[end] == '.') {
		start = end + 1;
		end = skip_digits(d, start);
		if (end == start)
			return 0;
	}
	if (end < d->len && (d->text[end] | 0x20) == 'e') {
		start = end + 1;
		if (start < d->len && (d->text[start] == '+' || d->text[start] == '-'))
			start++;
		end = skip_digits(d, start);
		if (end == start)
			return 0;
	}
	if (end < d->len && (is_name_start(d->text[end]) || d->text[end] == '.'))
		return 0;
	return end;
}

static size_t skip_hex(const struct doc *d, size_t i)
{
	while (i < d->len && strchr("0123456789abcdefABCDEF", d->text[i]) && d->text[i])
		i++;
	return i;
}

/* The end of the escape whose letter is at @i, or 0. */
static size_t lex_escape(const struct doc *d, size_t i)
{
	size_t end;

	if (i >= d->len)
		return 0;
	if (d->text[i] != 'u')
		return d->text[i] && strchr("\"\\/bfnrt", d->text[i]) ? i + 1 : 0;
	if (i + 1 < d->len && d->text[i + 1] == '{') {
		end = skip_hex(d, i + 2);
		return end > i + 2 && end < d->len && d->text[end] == '}' ? end + 1 : 0;
	}
	end = skip_hex(d, i + 1);
	return end >= i + 5 ? i + 5 : 0;
}

/* The end of the block string that begins at @i (its first quote), or 0. */
static size_t lex_block(const struct doc *d, size_t i)
{
	for (i += 3; i + 3 <= d->len; i++) {
		if (d->text[i] == '\\' && i + 4 <= d->len &&
			memcmp(d->text + i + 1, "\"\"\"", 3) == 0)
			i += 3;
		else if (memcmp(d->text + i, "\"\"\"", 3) == 0)
			return i + 3;
	}
	return 0;
}

static size_t lex_string(const struct doc *d, size_t i)
{
	if (d->len - i >= 3 && memcmp(d->text + i, "\"\"\"", 3) == 0)
		return lex_block(d, i);
	for (i++; i < d->len && d->text[i] != '"';) {
		if (d->text[i] == '\n' || d->text[i] == '\r')
			return 0;
		i = d->text[i] == '\\' ? lex_escape(d, i + 1) : i + 1;
		if (!i)
			return 0;
	}
	return i < d->len ? i + 1 : 0;
}

/* One token at @i: its end, or 0 with @ret_kind untouched. */
static size_t lex_one(const struct doc *d, size_t i, uint32_t *ret_kind)
{
	char c = d->text[i];
	size_t end = i + 1;

	if (is_name_start(c)) {
		*ret_kind = NAME;
		while (end < d->len && (is_name_start(d->text[end]) || is_digit(d->text[end])))
			end++;
	} else if (is_digit(c) || c == '-') {
		*ret_kind = NUMBER;
		end = lex_number(d, i);
	} else if (c == '"') {
		*ret_kind = STRING;
		end = lex_string(d, i);
	} else if (c == '.') {
		*ret_kind = SPREAD;
		end = d->len - i >= 3 && memcmp(d->text + i, "...", 3) == 0 ? i + 3 : 0;
	} else {
		*ret_kind = (unsigned char)c;
		end = c && strchr("!$&()=@[]{}:|", c) ? end : 0;
	}
	return end;
}

static int lex(struct doc *d)
{
	size_t i = skip_ignored(d, 0);

	while (i < d->len) {
		uint32_t kind = END;
		size_t end = lex_one(d, i, &kind);
		int r;

		if (!end)
			return refuse(d, "document has a malformed token");
		r = add_token(d, kind, i, end - i);
		if (r < 0)
			return r;
		i = skip_ignored(d, end);
	}
	return add_token(d, END, d->len, 0);
}

static uint32_t peek(const struct doc *d)
{
	return d->tokens[d->at].kind;
}

static bool token_is(const struct doc *d, size_t at, const char *word)
{
	const struct token *t = &d->tokens[at];

	return t->kind == NAME && t->len == strlen(word) &&
	       memcmp(d->text + t->at, word, t->len) == 0;
}

static bool same_name(const struct doc *d, size_t a, size_t b)
{
	const struct token *x = &d->tokens[a], *y = &d->tokens[b];

	return x->len == y->len && memcmp(d->text + x->at, d->text + y->at, x->len) == 0;
}

static bool take(struct doc *d, uint32_t kind)
{
	if (peek(d) != kind)
		return false;
	d->at++;
	return true;
}

static int expect(struct doc *d, uint32_t kind)
{
	return take(d, kind) ? 0 : refuse(d, "document does not parse");
}

static int enter(struct doc *d)
{
	return ++d->depth > GRAPHQL_DEPTH_MAX ? refuse(d, "document is nested too deeply") : 0;
}

static int parse_value(struct doc *d);

/* The rest of a list or an object, up to @close. */
static int parse_values(struct doc *d, uint32_t close, bool is_object)
{
	int r = enter(d);

	while (r == 0 && !take(d, close)) {
		if (is_object)
			r = expect(d, NAME);
		if (r == 0 && is_object)
			r = expect(d, ':');
		if (r == 0)
			r = parse_value(d);
	}
	d->depth--;
	return r;
}

static int parse_value(struct doc *d)
{
	switch (peek(d)) {
	case NAME:
	case NUMBER:
	case STRING:
		d->at++;
		return 0;
	case '$':
		d->at++;
		return expect(d, NAME);
	case '[':
		d->at++;
		return parse_values(d, ']', false);
	case '{':
		d->at++;
		return parse_values(d, '}', true);
	default:
		return refuse(d, "document does not parse");
	}
}

static int parse_arguments(struct doc *d)
{
	if (!take(d, '('))
		return 0;
	if (peek(d) == ')')
		return refuse(d, "document has an empty argument list");
	return parse_values(d, ')', true);
}

static int parse_directives(struct doc *d)
{
	int r = 0;

	while (r == 0 && take(d, '@')) {
		r = expect(d, NAME);
		if (r == 0)
			r = parse_arguments(d);
	}
	return r;
}

static int parse_type(struct doc *d)
{
	int r = enter(d);

	if (r == 0 && take(d, '[')) {
		r = parse_type(d);
		if (r == 0)
			r = expect(d, ']');
	} else if (r == 0) {
		r = expect(d, NAME);
	}
	if (r == 0)
		(void)take(d, '!');
	d->depth--;
	return r;
}

static int parse_variable(struct doc *d)
{
	int r = expect(d, '$');

	if (r == 0)
		r = expect(d, NAME);
	if (r == 0)
		r = expect(d, ':');
	if (r == 0)
		r = parse_type(d);
	if (r == 0 && take(d, '='))
		r = parse_value(d);
	return r < 0 ? r : parse_directives(d);
}

static int parse_variables(struct doc *d)
{
	int r = 0;

	if (!take(d, '('))
		return 0;
	do
		r = parse_variable(d);
	while (r == 0 && !take(d, ')'));
	return r;
}

static int parse_set(struct doc *d);

static int parse_optional_set(struct doc *d)
{
	return peek(d) == '{' ? parse_set(d) : 0;
}

static int parse_field(struct doc *d)
{
	int r = expect(d, NAME);

	if (r == 0 && take(d, ':'))
		r = expect(d, NAME);
	if (r == 0)
		r = parse_arguments(d);
	if (r == 0)
		r = parse_directives(d);
	return r < 0 ? r : parse_optional_set(d);
}

/* After "...": a fragment's name, or an inline fragment. */
static int parse_spread(struct doc *d)
{
	int r = 0;

	if (peek(d) == NAME && !token_is(d, d->at, "on")) {
		d->at++;
		return parse_directives(d);
	}
	if (take(d, NAME))
		r = expect(d, NAME);
	if (r == 0)
		r = parse_directives(d);
	return r < 0 ? r : parse_set(d);
}

static int parse_set(struct doc *d)
{
	int r = enter(d);

	if (r == 0)
		r = expect(d, '{');
	if (r == 0 && peek(d) == '}')
		return refuse(d, "document has an empty selection set");
	while (r == 0 && !take(d, '}'))
		r = take(d, SPREAD) ? parse_spread(d) : parse_field(d);
	d->depth--;
	return r;
}

static int add_definition(
	struct doc *d, struct definition *list, size_t *n, const struct definition *def)
{
	if (*n == GRAPHQL_OPERATIONS_MAX)
		return refuse(d, "document has too many definitions");
	for (size_t i = 0; i < *n; i++) {
		if (def->name && list[i].name && same_name(d, list[i].name, def->name))
			return refuse(d, "document defines a name twice");
	}
	list[(*n)++] = *def;
	return 0;
}

static int parse_fragment(struct doc *d)
{
	struct definition def = { .name = (uint32_t)d->at };
	int r = token_is(d, d->at, "on") ? refuse(d, "document does not parse") : expect(d, NAME);

	if (r == 0 && !token_is(d, d->at, "on"))
		r = refuse(d, "document does not parse");
	if (r == 0) {
		d->at++;
		r = expect(d, NAME);
	}
	if (r == 0)
		r = parse_directives(d);
	def.set = (uint32_t)d->at;
	if (r == 0)
		r = parse_set(d);
	return r < 0 ? r : add_definition(d, d->fragments, &d->n_fragments, &def);
}

static int parse_operation(struct doc *d, enum graphql_type type)
{
	struct definition def = { .type = type };
	int r;

	if (peek(d) == NAME)
		def.name = (uint32_t)d->at++;
	r = parse_variables(d);
	if (r == 0)
		r = parse_directives(d);
	def.set = (uint32_t)d->at;
	if (r == 0)
		r = parse_set(d);
	return r < 0 ? r : add_definition(d, d->ops, &d->n_ops, &def);
}

static int parse_definition(struct doc *d)
{
	static const struct {
		const char *word;
		enum graphql_type type;
	} table[] = { { "query", GRAPHQL_QUERY }, { "mutation", GRAPHQL_MUTATION },
		{ "subscription", GRAPHQL_SUBSCRIPTION } };

	if (peek(d) == '{')
		return parse_operation(d, GRAPHQL_QUERY);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (token_is(d, d->at, table[i].word)) {
			d->at++;
			return parse_operation(d, table[i].type);
		}
	}
	if (!token_is(d, d->at, "fragment"))
		return refuse(
			d, "document has a definition that is neither operation nor fragment");
	d->at++;
	return parse_fragment(d);
}

static int parse_document(struct doc *d)
{
	int r = lex(d);

	while (r == 0 && peek(d) != END)
		r = parse_definition(d);
	return r;
}

static char *name_of(struct doc *d, size_t token)
{
	return arena_strndup(d->arena, d->text + d->tokens[token].at, d->tokens[token].len);
}

static struct definition *find_fragment(struct doc *d, size_t token)
{
	for (size_t i = 0; i < d->n_fragments; i++) {
		if (same_name(d, d->fragments[i].name, token))
			return &d->fragments[i];
	}
	return NULL;
}

/* The index of the token after the group that opens at @at: brackets are known to be balanced. */
static size_t skip_group(const struct doc *d, size_t at)
{
	unsigned int depth = 0;

	do {
		uint32_t kind = d->tokens[at++].kind;

		depth += kind == '{' || kind == '(' || kind == '[';
		depth -= kind == '}' || kind == ')' || kind == ']';
	} while (depth);
	return at;
}

/* Past arguments and directives at @at. */
static size_t skip_decoration(const struct doc *d, size_t at)
{
	for (;;) {
		if (d->tokens[at].kind == '(')
			at = skip_group(d, at);
		else if (d->tokens[at].kind == '@')
			at += 2;
		else
			return at;
	}
}

static int collect(struct doc *d, size_t at);

/* At the token after "...": the token after the selection, or an error. */
static ssize_t collect_spread(struct doc *d, size_t at)
{
	struct definition *f;
	int r = 0;

	if (d->tokens[at].kind == NAME && !token_is(d, at, "on")) {
		f = find_fragment(d, at);
		if (f && !f->is_visited) {
			f->is_visited = true;
			r = collect(d, f->set);
		}
		return r < 0 ? r : (ssize_t)skip_decoration(d, at + 1);
	}
	if (d->tokens[at].kind == NAME)
		at += 2;
	at = skip_decoration(d, at);
	r = collect(d, at);
	return r < 0 ? r : (ssize_t)skip_group(d, at);
}

static ssize_t collect_field(struct doc *d, size_t at)
{
	size_t name = d->tokens[at + 1].kind == ':' ? at + 2 : at;
	const char *text = name_of(d, name);

	if (!text)
		return -ENOMEM;
	d->fields[d->n_fields++] = text;
	at = skip_decoration(d, name + 1);
	return (ssize_t)(d->tokens[at].kind == '{' ? skip_group(d, at) : at);
}

/*
 * The fields of the selection set that opens at @at. Fragments may nest as deep as there are
 * fragments; that is bounded, and so is this recursion.
 */
static int collect(struct doc *d, size_t at)
{
	int r = enter(d);

	if (r < 0)
		return r;
	for (at++; d->tokens[at].kind != '}';) {
		ssize_t next = d->tokens[at].kind == SPREAD ? collect_spread(d, at + 1)
							    : collect_field(d, at);

		if (next < 0)
			return (int)next;
		at = (size_t)next;
	}
	d->depth--;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void sort_fields(struct doc *d)
{
	size_t n = 0;

	qsort(d->fields, d->n_fields, sizeof(*d->fields), by_name);
	for (size_t i = 0; i < d->n_fields; i++) {
		if (!n || strcmp(d->fields[n - 1], d->fields[i]) != 0)
			d->fields[n++] = d->fields[i];
	}
	d->n_fields = n;
}

static int select_operation(struct doc *d, const char *name, const struct definition **ret)
{
	if (!d->n_ops)
		return refuse(d, "document contains no executable operation");
	if (!name || !name[0]) {
		if (d->n_ops > 1)
			return refuse(d, "document has multiple operations but no operationName");
		*ret = &d->ops[0];
		return 0;
	}
	for (size_t i = 0; i < d->n_ops; i++) {
		const struct token *t = &d->tokens[d->ops[i].name];

		if (d->ops[i].name && t->len == strlen(name) &&
			memcmp(d->text + t->at, name, t->len) == 0) {
			*ret = &d->ops[i];
			return 0;
		}
	}
	return refuse(d, "operationName was not found in the document");
}

/* Each token is at most one field: fragments are visited once. */
static int describe(struct doc *d, const struct definition *op, struct graphql_op *ret)
{
	int r;

	d->fields = arena_array(d->arena, d->n_tokens, sizeof(*d->fields));
	if (!d->fields)
		return -ENOMEM;
	r = collect(d, op->set);
	if (r < 0)
		return r;
	sort_fields(d);
	ret->type = op->type;
	ret->name = op->name ? name_of(d, op->name) : NULL;
	ret->fields = d->fields;
	ret->n_fields = d->n_fields;
	return op->name && !ret->name ? -ENOMEM : 0;
}

int graphql_doc_classify(struct arena *arena, const char *text, size_t len, const char *name,
	struct graphql_op *ret, const char **ret_why)
{
	struct doc d = { .arena = arena, .text = text, .len = len };
	const struct definition *op = NULL;
	int r;

	if (len > UINT32_MAX)
		return -ENOMEM;
	r = parse_document(&d);
	if (r == 0)
		r = select_operation(&d, name, &op);
	d.depth = 0;
	if (r == 0)
		r = describe(&d, op, ret);
	if (r == -EBADMSG)
		*ret_why = d.why;
	free(d.tokens);
	return r;
}
