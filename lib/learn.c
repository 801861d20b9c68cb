#include "lib/learn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/learn_internal.h"
#include "lib/operation.h"
#include "lib/str.h"

enum {
	LEARN_ARENA_MAX = 256 * 1024 * 1024,
	LEARN_PATH_MAX = 64 * 1024,
	LEARN_HOST_MAX = 253,
	LEARN_OPERATIONS_MAX = 64, /* of one request; one with more is learned by its path */
};

/* --- evidence --- */

struct learn *learn_new(bool with_denied)
{
	struct learn *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->with_denied = with_denied;
	arena_init(&l->arena, LEARN_ARENA_MAX);
	buf_init(&l->path, LEARN_PATH_MAX);
	buf_init(&l->template, LEARN_PATH_MAX);
	return l;
}

void learn_free(struct learn *l)
{
	if (!l)
		return;
	arena_done(&l->arena);
	buf_done(&l->path);
	buf_done(&l->template);
	free(l->uses);
	free(l->asked);
	free(l->comments);
	free(l->spoken);
	free(l);
}

size_t learn_uses(const struct learn *l)
{
	return l->n_uses;
}

size_t learn_left_out(const struct learn *l)
{
	return l->n_left_out;
}

size_t learn_unsayable(const struct learn *l)
{
	return l->n_unsayable;
}

bool learn_one_more(void *list, size_t n, size_t *room, size_t size)
{
	size_t bigger = *room ? 2 * *room : 64;
	void *old, *grown;

	if (n < *room)
		return true;
	memcpy(&old, list, sizeof(old));
	grown = reallocarray(old, bigger, size);
	if (!grown)
		return false;
	memcpy(list, &grown, sizeof(grown));
	*room = bigger;
	return true;
}

static size_t bucket(size_t seed, const char *a, const char *b)
{
	uint64_t h = 14695981039346656037u ^ seed;

	for (; *a; a++)
		h = (h ^ (unsigned char)*a) * 1099511628211u;
	h = (h ^ 0xff) * 1099511628211u;
	for (; *b; b++)
		h = (h ^ (unsigned char)*b) * 1099511628211u;
	return (h ^ h >> 32) % LEARN_BUCKETS;
}

const char *learn_keep(struct learn *l, const char *s)
{
	return arena_strndup(&l->arena, s, strlen(s));
}

static int use_find(struct learn *l, const struct event *e, size_t *ret)
{
	size_t *head = &l->use_hash[bucket(e->port, e->binary, e->host)];
	struct learn_use *u;

	for (size_t i = *head; i; i = l->uses[i - 1].in_hash) {
		u = &l->uses[i - 1];
		if (u->port == e->port && !strcmp(u->binary, e->binary) &&
			!strcmp(u->host, e->host)) {
			*ret = i - 1;
			return 0;
		}
	}
	if (l->n_uses == LEARN_USES_MAX)
		return -E2BIG;
	if (!learn_one_more(&l->uses, l->n_uses, &l->room_uses, sizeof(*l->uses)))
		return -ENOMEM;
	u = &l->uses[l->n_uses];
	*u = (struct learn_use){ .binary = learn_keep(l, e->binary),
		.host = learn_keep(l, e->host),
		.port = (uint16_t)e->port,
		.in_hash = *head };
	if (!u->binary || !u->host)
		return -ENOMEM;
	*ret = l->n_uses++;
	*head = l->n_uses;
	return 0;
}

/* The path of the event, quoted and without ids, into the buffers. */
static int take_path(struct learn *l, const char *target)
{
	int r;

	buf_reset(&l->path);
	buf_reset(&l->template);
	r = learn_path_quote(&l->path, target);
	if (r == 0 && !buf_cstr(&l->path))
		r = -ENOMEM;
	if (r == 0)
		r = learn_path_without_ids(&l->template, buf_cstr(&l->path));
	return r < 0 || buf_cstr(&l->template) ? r : -ENOMEM;
}

static bool same_operation(const struct learn_operation *a, const struct learn_operation *b)
{
	return a->kind == b->kind && strcmp(a->type, b->type) == 0 &&
	       strcmp(a->name, b->name) == 0 && strcmp(a->detail, b->detail) == 0;
}

static struct learn_asked *asked_find(struct learn *l, size_t at, size_t use, const char *method,
	const struct learn_operation *op)
{
	for (; at; at = l->asked[at - 1].in_hash) {
		struct learn_asked *a = &l->asked[at - 1];

		if (a->use == use && strcmp(a->method, method) == 0 &&
			strcmp(a->template, buf_cstr(&l->template)) == 0 &&
			same_operation(&a->op, op))
			return a;
	}
	return NULL;
}

/* One request, or one operation of it. */
static int asked_add(
	struct learn *l, size_t use, const struct event *e, const struct learn_operation *op)
{
	struct learn_seen seen = { e->count, e->time_ms, e->until_ms };
	const char *what = op->kind == LEARN_REST ? e->method : op->name;
	size_t *head = &l->asked_hash[bucket(use, what, buf_cstr(&l->template))];
	struct learn_asked *a = asked_find(l, *head, use, e->method, op);

	if (a) {
		a->is_many |= strcmp(a->path, buf_cstr(&l->path)) != 0;
		learn_seen_add(&a->seen, &seen);
		return 0;
	}
	if (l->n_asked == LEARN_REQUESTS_MAX)
		return -E2BIG;
	if (!learn_one_more(&l->asked, l->n_asked, &l->room_asked, sizeof(*l->asked)))
		return -ENOMEM;
	a = &l->asked[l->n_asked];
	*a = (struct learn_asked){ .method = learn_keep(l, e->method),
		.path = learn_keep(l, buf_cstr(&l->path)),
		.template = learn_keep(l, buf_cstr(&l->template)),
		.op = { op->kind, learn_keep(l, op->type), learn_keep(l, op->name),
			learn_keep(l, op->detail) },
		.use = use,
		.next = l->uses[use].asked,
		.in_hash = *head,
		.seen = seen };
	if (!a->method || !a->path || !a->template || !a->op.type || !a->op.name || !a->op.detail)
		return -ENOMEM;
	l->uses[use].asked = *head = ++l->n_asked;
	return 0;
}

/* The operations of a request that was understood; none where the text cannot be read back. */
struct operations {
	struct learn_operation list[LEARN_OPERATIONS_MAX];
	size_t n;
	char text[OPERATION_TEXT_MAX]; /* the parts point into it */
};

static enum learn_kind kind_of(const struct event *e)
{
	static const char *const engines[] = { [LEARN_GRAPHQL] = "l7-graphql",
		[LEARN_JSONRPC] = "l7-jsonrpc",
		[LEARN_MCP] = "l7-mcp" };

	for (size_t i = LEARN_GRAPHQL; i < ARRAY_SIZE(engines); i++)
		if (str_eq(e->engine, engines[i]))
			return (enum learn_kind)i;
	return str_eq(e->operation, OPERATION_STREAM) ? LEARN_MCP_ASIDE : LEARN_REST;
}

/* Cuts the text at the end of the slice. */
static const char *cut(struct operations *o, const char *base, const char *s, size_t len)
{
	char *at;

	if (!s || !len)
		return "";
	at = o->text + (s - base);
	at[len] = '\0';
	return at;
}

static void operations_of(struct operations *o, const struct event *e)
{
	enum learn_kind kind = kind_of(e);
	const char *text = e->operation ? e->operation : "";
	struct operation op;

	o->n = 0;
	if (kind == LEARN_REST || strlen(text) >= sizeof(o->text))
		return;
	memcpy(o->text, text, strlen(text) + 1);
	while (o->n < LEARN_OPERATIONS_MAX &&
		(kind == LEARN_GRAPHQL ? operation_next_graphql(&text, &op)
				       : operation_next_jsonrpc(&text, &op))) {
		struct learn_operation *to = &o->list[o->n++];

		to->kind = op.name && *op.name == '(' ? LEARN_MCP_ASIDE : kind;
		to->type = cut(o, e->operation, op.type, op.type_len);
		to->name = cut(o, e->operation, op.name, op.name_len);
		to->detail = cut(o, e->operation, op.detail, op.detail_len);
	}
	o->n = *text ? 0 : o->n;
}

static int request_add(struct learn *l, size_t use, const struct event *e)
{
	static const struct learn_operation rest = { LEARN_REST, "", "", "" };
	struct operations o;
	int r = take_path(l, e->target);

	operations_of(&o, e);
	if (r == 0 && !o.n)
		r = asked_add(l, use, e, &rest);
	for (size_t i = 0; r == 0 && i < o.n; i++)
		r = asked_add(l, use, e, &o.list[i]);
	return r;
}

/* Refusals that no rule could lift are no evidence: broken requests, forbidden addresses. */
static bool is_liftable(const struct event *e)
{
	return str_eq(e->engine, "l4") || (e->engine && str_starts(e->engine, "l7"));
}

/*
 * Both are the workload's choice, and in a policy they could be read as patterns: "*.example.com"
 * was no host that was seen, and a program called "*" is not all programs beside it.
 */
static bool is_sayable(const struct event *e)
{
	static const char name[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:";
	size_t len = strlen(e->host);

	return len <= LEARN_HOST_MAX && strspn(e->host, name) == len && !strchr(e->binary, '*');
}

/* Served by the proxy itself, whatever a policy says. */
static bool is_ours(const struct event *e)
{
	return str_eq(e->engine, "inference") || str_eq(e->engine, "advisor");
}

static bool is_evidence(struct learn *l, const struct event *e)
{
	bool is_connection = e->adapter == EVENT_CONNECT || e->adapter == EVENT_TCP ||
			     e->adapter == EVENT_FORWARD;

	if (!e->host || !e->host[0] || !e->binary || !e->port || e->message)
		return false;
	if (is_ours(e))
		return false;
	if (!is_connection && !(e->adapter == EVENT_L7 && e->method && e->target))
		return false;
	if (!is_sayable(e)) {
		l->n_unsayable++;
		return false;
	}
	if (e->action != EVENT_DENY)
		return e->action == EVENT_ALLOW || e->action == EVENT_AUDIT;
	l->n_left_out += !l->with_denied && is_liftable(e);
	return l->with_denied && is_liftable(e);
}

static int note_asker(struct learn *l, size_t use, const char *asker)
{
	struct learn_use *u = &l->uses[use];

	if (!asker)
		return 0;
	if (!u->asker)
		u->asker = learn_keep(l, asker);
	else
		u->has_more_askers |= strcmp(u->asker, asker) != 0;
	return u->asker ? 0 : -ENOMEM;
}

int learn_event(struct learn *l, const struct event *e)
{
	struct event one = *e;
	size_t use;
	int r;

	if (!is_evidence(l, e))
		return 0;
	one.count = e->count ? e->count : 1;
	one.until_ms = e->count ? e->until_ms : e->time_ms;
	r = use_find(l, &one, &use);
	if (r == 0)
		r = note_asker(l, use, e->asker);
	if (r < 0)
		return r;
	if (e->adapter == EVENT_L7)
		return request_add(l, use, &one);
	learn_seen_add(
		&l->uses[use].seen, &(struct learn_seen){ one.count, one.time_ms, one.until_ms });
	return 0;
}

/* --- comments --- */

static void stamp(char *text, size_t size, uint64_t ms)
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;

	text[0] = '\0';
	if (gmtime_r(&seconds, &tm))
		(void)strftime(text, size, "%Y-%m-%d %H:%M", &tm);
}

int learn_comment_add(struct learn *l, const struct doc_head *head, const char *what,
	const char *by, bool is_many, const struct learn_seen *seen)
{
	char first[32], last[32];
	struct learn_remark *c;

	if (!learn_one_more(&l->comments, l->n_comments, &l->room_comments, sizeof(*l->comments)))
		return -ENOMEM;
	stamp(first, sizeof(first), seen->first_ms);
	stamp(last, sizeof(last), seen->last_ms);
	c = &l->comments[l->n_comments];
	c->head = head;
	c->text = arena_printf(&l->arena, "%llu %s%s by %s%s, first %s, last %s UTC\n",
		(unsigned long long)seen->count, what, seen->count == 1 ? "" : "s", by,
		is_many ? " for several paths" : "", first, last);
	if (!c->text)
		return -ENOMEM;
	l->n_comments++;
	return 0;
}

static int by_head(const void *a, const void *b)
{
	const struct learn_remark *x = a, *y = b;

	return x->head < y->head ? -1 : x->head > y->head;
}

const char *learn_comment(void *arg, const struct doc_head *head)
{
	const struct learn *l = arg;
	struct learn_remark key = { .head = head };
	const struct learn_remark *c = NULL;

	if (l->n_comments)
		c = bsearch(&key, l->comments, l->n_comments, sizeof(key), by_head);
	return c ? c->text : NULL;
}

void learn_comments_sort(struct learn *l)
{
	if (l->n_comments)
		qsort(l->comments, l->n_comments, sizeof(*l->comments), by_head);
}
