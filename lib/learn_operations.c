/*
 * The part of lib/learn_build.c that is about GraphQL, JSON-RPC and MCP: which paths speak one of
 * them, and what their endpoints say.
 *
 * A path is judged in one way for everybody (two endpoints of different protocols at one path are
 * an error in a policy), so all evidence for it counts. One request there that was no operation,
 * or could not be read back, and the path is learned by its methods.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/learn_internal.h"
#include "lib/policy_merge_endpoint.h"
#include "lib/str.h"

/* --- who speaks what --- */

struct learn_spoken {
	const char *host, *template, *path;
	uint16_t port;
	unsigned int kinds; /* bits 1 << enum learn_kind */
	bool is_varied;	    /* more than one path has this template */
};

static int by_place(const void *a, const void *b)
{
	const struct learn_spoken *x = a, *y = b;
	int order = strcmp(x->host, y->host);

	if (!order)
		order = (int)x->port - (int)y->port;
	return order ? order : strcmp(x->template, y->template);
}

static struct learn_spoken place_of(const struct learn *l, const struct learn_asked *a)
{
	const struct learn_use *u = &l->uses[a->use];

	return (struct learn_spoken){ .host = u->host,
		.port = u->port,
		.template = a->template,
		.path = a->path,
		.kinds = 1u << a->op.kind,
		.is_varied = a->is_many };
}

int learn_spoken_prepare(struct learn *l)
{
	struct learn_spoken *list = calloc(l->n_asked + 1, sizeof(*list));
	size_t n = 0;

	free(l->spoken);
	l->spoken = list;
	l->n_spoken = 0;
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < l->n_asked; i++)
		list[i] = place_of(l, &l->asked[i]);
	if (l->n_asked)
		qsort(list, l->n_asked, sizeof(*list), by_place);
	for (size_t i = 0; i < l->n_asked; i++) {
		if (n && by_place(&list[n - 1], &list[i]) == 0) {
			list[n - 1].kinds |= list[i].kinds;
			list[n - 1].is_varied |=
				list[i].is_varied || strcmp(list[n - 1].path, list[i].path) != 0;
		} else {
			list[n++] = list[i];
		}
	}
	l->n_spoken = n;
	return 0;
}

enum learn_kind learn_spoken(const struct learn *l, const struct learn_asked *a)
{
	const unsigned int graphql = 1u << LEARN_GRAPHQL, jsonrpc = 1u << LEARN_JSONRPC,
			   mcp = 1u << LEARN_MCP, aside = 1u << LEARN_MCP_ASIDE;
	struct learn_spoken key = place_of(l, a);
	const struct learn_spoken *s = NULL;

	if (l->n_spoken)
		s = bsearch(&key, l->spoken, l->n_spoken, sizeof(key), by_place);
	if (!s || s->is_varied)
		return LEARN_REST;
	if (s->kinds == graphql)
		return LEARN_GRAPHQL;
	if (s->kinds == mcp || s->kinds == (mcp | aside))
		return LEARN_MCP;
	if (s->kinds == jsonrpc || s->kinds == (jsonrpc | mcp))
		return LEARN_JSONRPC;
	return LEARN_REST;
}

/* --- operations to rules --- */

/* One rule to be: operations that it stands for. */
struct ask {
	const char *type, *name, *detail;
	struct learn_seen seen;
};

static int by_rule(const void *a, const void *b)
{
	const struct ask *x = a, *y = b;
	int order = strcmp(x->type, y->type);

	if (!order)
		order = strcmp(x->name, y->name);
	return order ? order : strcmp(x->detail, y->detail);
}

/* Where many operations of one type were seen their names say little: the fields are what counts.
 */
static void drop_names(struct ask *asks, size_t n)
{
	for (size_t i = 0, k; i < n; i += k) {
		size_t names = 1;

		for (k = 1; i + k < n && strcmp(asks[i + k].type, asks[i].type) == 0; k++)
			names += strcmp(asks[i + k].name, asks[i + k - 1].name) != 0;
		for (size_t j = i; names >= LEARN_SIBLINGS && j < i + k; j++)
			asks[j].name = "";
	}
}

/* What of each operation its protocol's rules can tell apart. */
static struct ask ask_of(enum learn_kind kind, const struct learn_asked *a)
{
	return (struct ask){ .type = a->op.type,
		.name = a->op.name,
		.detail = kind == LEARN_JSONRPC ? "" : a->op.detail,
		.seen = a->seen };
}

static size_t asks_of(
	enum learn_kind kind, const struct learn_asked *asked, size_t n, struct ask *asks)
{
	size_t n_asks = 0;

	for (size_t i = 0; i < n; i++)
		if (asked[i].op.kind != LEARN_MCP_ASIDE)
			asks[n_asks++] = ask_of(kind, &asked[i]);
	qsort(asks, n_asks, sizeof(*asks), by_rule);
	if (kind == LEARN_GRAPHQL)
		drop_names(asks, n_asks);
	return n_asks;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(((const struct doc_str *)a)->text, ((const struct doc_str *)b)->text);
}

static bool strings_have(const struct doc_strs *s, const char *text, size_t len)
{
	for (size_t i = 0; i < s->n; i++)
		if (strncmp(s->list[i].text, text, len) == 0 && !s->list[i].text[len])
			return true;
	return false;
}

static int strings_add(
	struct learn *l, struct policy_doc *d, struct doc_strs *s, const char *text, size_t len)
{
	struct doc_str *grown;
	const char *kept;

	if (strings_have(s, text, len))
		return 0;
	kept = arena_strndup(&l->arena, text, len);
	grown = policy_doc_grow(d, s->list, s->n, sizeof(*grown));
	if (!kept || !grown)
		return -ENOMEM;
	grown[s->n] = policy_doc_string(d, kept);
	if (!grown[s->n].text)
		return -ENOMEM;
	*s = (struct doc_strs){ .list = grown, .n = s->n + 1, .is_set = true };
	return 0;
}

/* The root fields of all @n operations together. */
static int fields_of(struct learn *l, struct policy_doc *d, const struct ask *asks, size_t n,
	struct doc_strs *ret)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		const char *p = asks[i].detail;

		while (*p && r == 0) {
			size_t len = strcspn(p, ",");

			r = strings_add(l, d, ret, p, len);
			p += len + (p[len] == ',');
		}
	}
	if (r == 0 && ret->n)
		qsort((void *)(uintptr_t)ret->list, ret->n, sizeof(*ret->list), by_text);
	return r;
}

static int graphql_rule(struct learn *l, struct policy_doc *d, const struct ask *asks, size_t n,
	struct doc_rule *rule)
{
	rule->operation_type = policy_doc_string(d, asks[0].type);
	if (asks[0].name[0])
		rule->operation_name = policy_doc_string(d, asks[0].name);
	if (!rule->operation_type.text || (asks[0].name[0] && !rule->operation_name.text))
		return -ENOMEM;
	return fields_of(l, d, asks, n, &rule->fields);
}

static int call_rule(
	struct learn *l, struct policy_doc *d, const struct ask *ask, struct doc_rule *rule)
{
	rule->method = policy_doc_string(d, ask->name);
	if (!rule->method.text)
		return -ENOMEM;
	if (!ask->detail[0])
		return 0;
	rule->tool.head.is_set = true;
	return strings_add(l, d, &rule->tool.values, ask->detail, strlen(ask->detail));
}

/* How many operations, from the first on, one rule stands for. */
static size_t run_length(enum learn_kind kind, const struct ask *asks, size_t n)
{
	size_t k = 1;

	while (k < n && strcmp(asks[k].type, asks[0].type) == 0 &&
		strcmp(asks[k].name, asks[0].name) == 0 &&
		(kind == LEARN_GRAPHQL || strcmp(asks[k].detail, asks[0].detail) == 0))
		k++;
	return k;
}

static int add_rule(struct learn *l, struct policy_doc *d, enum learn_kind kind,
	const struct ask *asks, size_t n, struct doc_endpoint *e, struct learn_evidence *evidence)
{
	struct learn_path one = { .path = "" };
	struct doc_rule rule = { .head.is_set = true };
	int r = kind == LEARN_GRAPHQL ? graphql_rule(l, d, asks, n, &rule)
				      : call_rule(l, d, &asks[0], &rule);

	for (size_t i = 0; i < n; i++)
		learn_seen_add(&one.seen, &asks[i].seen);
	if (r == 0)
		r = endpoint_add_rule(d, e, &rule);
	return r < 0 ? r : learn_evidence_add(evidence, &one);
}

int learn_operations(struct learn *l, struct policy_doc *d, enum learn_kind kind,
	const struct learn_asked *asked, size_t n, struct doc_endpoint *ret,
	struct learn_evidence *evidence)
{
	static const char *const protocols[] = {
		[LEARN_GRAPHQL] = "graphql", [LEARN_JSONRPC] = "json-rpc", [LEARN_MCP] = "mcp"
	};
	auto_free struct ask *asks = calloc(n, sizeof(*asks));
	size_t n_asks;
	int r = 0;

	if (!asks)
		return -ENOMEM;
	ret->path = policy_doc_string(d, asked[0].path);
	if (!ret->path.text)
		return -ENOMEM;
	ret->protocol.text = protocols[kind];
	ret->enforcement.text = "enforce";
	n_asks = asks_of(kind, asked, n, asks);
	for (size_t i = 0, k; r == 0 && i < n_asks; i += k) {
		k = run_length(kind, &asks[i], n_asks - i);
		r = add_rule(l, d, kind, &asks[i], k, ret, evidence);
	}
	return r;
}
