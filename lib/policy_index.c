/*
 * Which endpoints can match a host and a port?
 *
 * A hash table of (host suffix, port). An exact host stands under itself, a wildcard under the
 * literal labels at its end ("*.s3.*.amazonaws.com" under "amazonaws.com"), an endpoint without
 * host under the empty suffix. A host of n labels costs n + 1 look-ups, however many endpoints
 * there are. Where many share a suffix and a port, wildcards are found by what they begin or end
 * with, and the policies of one host by the binaries they name.
 *
 * The same table with port 0 serves the explanations: what else is allowed on this host, what is
 * allowed near it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/policy_impl.h"

enum { BUCKETS_MIN = 64 };

/* FNV-1a from the last byte to the first, so that each suffix extends the shorter one. */
static uint32_t hash_step(uint32_t h, char c)
{
	return (h ^ (unsigned char)c) * 16777619u;
}

static uint32_t hash_suffix(const char *s, size_t len)
{
	uint32_t h = 2166136261u;

	while (len)
		h = hash_step(h, s[--len]);
	return h;
}

static size_t slot_of(const struct policy *p, uint32_t hash, uint16_t port)
{
	return ((hash ^ port * 0x9e3779b1u) * 0x85ebca6bu >> 7) & (p->n_buckets - 1);
}

/* Its bucket, or the free one where it would be. */
static struct bucket *bucket_find(
	const struct policy *p, const char *suffix, size_t len, uint32_t hash, uint16_t port)
{
	for (size_t i = slot_of(p, hash, port);; i = (i + 1) & (p->n_buckets - 1)) {
		struct bucket *b = &p->buckets[i];

		if (!b->is_used)
			return b;
		if (b->hash == hash && b->port == port && b->suffix_len == len &&
			memcmp(b->suffix, suffix, len) == 0)
			return b;
	}
}

/* @n is a power of two, more than are used. */
static int buckets_resize(struct policy *p, size_t n)
{
	struct bucket *old = p->buckets, *new = calloc(n, sizeof(*new));
	size_t n_old = p->n_buckets;

	if (!new)
		return -ENOMEM;
	p->buckets = new;
	p->n_buckets = n;
	for (size_t i = 0; i < n_old; i++)
		if (old[i].is_used)
			*bucket_find(p, old[i].suffix, old[i].suffix_len, old[i].hash,
				old[i].port) = old[i];
	free(old);
	return 0;
}

static int bucket_open(struct policy *p, const char *suffix, uint16_t port, struct bucket **ret)
{
	size_t len = strlen(suffix);
	uint32_t hash = hash_suffix(suffix, len);
	struct bucket *b;

	if (p->n_used * 2 >= p->n_buckets && buckets_resize(p, p->n_buckets * 2) < 0)
		return -ENOMEM;
	b = bucket_find(p, suffix, len, hash, port);
	if (!b->is_used) {
		*b = (struct bucket){ .is_used = true,
			.hash = hash,
			.port = port,
			.suffix = suffix,
			.suffix_len = len };
		p->n_used++;
	}
	*ret = b;
	return 0;
}

static int list_add(struct policy *p, const struct endpoint ***list, uint32_t *n, uint32_t *alloc,
	const struct endpoint *e)
{
	/* an endpoint that names a port twice is listed once */
	if (*n && (*list)[*n - 1] == e)
		return 0;
	if (*n == *alloc) {
		uint32_t wanted = *alloc ? *alloc * 2 : 1;
		const struct endpoint **grown = arena_array(&p->arena, wanted, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		if (*n)
			memcpy(grown, *list, *n * sizeof(*grown));
		*list = grown;
		*alloc = wanted;
	}
	(*list)[(*n)++] = e;
	return 0;
}

/* The whole labels at the end of a host pattern that hold no wildcard. */
static const char *literal_suffix(const char *host)
{
	const char *at = host + strlen(host);

	while (at > host) {
		const char *label = at - (*at == '\0' ? 0 : 1);

		while (label > host && label[-1] != '.')
			label--;
		if (strcspn(label, "*?[]{}\\") < (size_t)(at - label))
			return *at == '.' ? at + 1 : at;
		at = label > host ? label - 1 : label;
	}
	return host;
}

static int index_add(struct policy *p, const struct endpoint *e, uint16_t port)
{
	bool is_exact = !e->host_glob && e->host[0];
	const char *suffix = is_exact ? e->host : literal_suffix(e->host);
	struct bucket *b;
	int r = bucket_open(p, suffix, port, &b);

	if (r < 0)
		return r;
	if (is_exact)
		return list_add(p, &b->exact, &b->n_exact, &b->alloc_exact, e);
	return list_add(p, &b->wild, &b->n_wild, &b->alloc_wild, e);
}

/* Leaves a trace of @e under each suffix of its host that has two labels or more. */
static int sample_add(struct policy *p, const struct endpoint *e)
{
	const char *suffix = e->host_glob ? literal_suffix(e->host) : e->host;
	struct bucket *b;

	if (e->is_ip)
		return 0;
	while (suffix && strchr(suffix, '.')) {
		int r = bucket_open(p, suffix, 0, &b);

		if (r < 0)
			return r;
		if (!b->sample)
			b->sample = e;
		suffix = strchr(suffix, '.') + 1;
	}
	return 0;
}

static int index_endpoint(struct policy *p, const struct endpoint *e)
{
	int r = index_add(p, e, 0);

	for (size_t i = 0; !r && i < e->n_ports; i++)
		r = index_add(p, e, e->ports[i]);
	return r ? r : sample_add(p, e);
}

/* --- many wildcards under one suffix --- */

enum { FEW_WILDCARDS = 8, BY_PREFIX = 0, BY_TAIL = 1 };

struct text {
	const char *at;
	size_t len;
};

static struct text text_of(const struct endpoint *e, int by)
{
	struct text t = { "", 0 };

	if (e->host_glob)
		t.at = by == BY_PREFIX ? glob_prefix(e->host_glob, &t.len)
				       : glob_tail(e->host_glob, &t.len);
	return t;
}

/* Shorter first, so that texts of one length are together. */
static int text_compare(struct text a, struct text b)
{
	if (a.len != b.len)
		return a.len < b.len ? -1 : 1;
	return memcmp(a.at, b.at, a.len);
}

static int prefix_compare(const void *a, const void *b)
{
	return text_compare(text_of(*(const struct endpoint *const *)a, BY_PREFIX),
		text_of(*(const struct endpoint *const *)b, BY_PREFIX));
}

static int tail_compare(const void *a, const void *b)
{
	return text_compare(text_of(*(const struct endpoint *const *)a, BY_TAIL),
		text_of(*(const struct endpoint *const *)b, BY_TAIL));
}

static int wild_list_build(struct policy *p, struct wild_list *w, int by)
{
	qsort(w->list, w->n, sizeof(*w->list), by == BY_PREFIX ? prefix_compare : tail_compare);
	w->lengths = arena_array(&p->arena, HOST_MAX + 1, sizeof(*w->lengths));
	if (!w->lengths)
		return -ENOMEM;
	for (size_t i = 0; i < w->n; i++) {
		size_t len = text_of(w->list[i], by).len;

		if (len <= HOST_MAX && (!w->n_lengths || w->lengths[w->n_lengths - 1] != len))
			w->lengths[w->n_lengths++] = (uint16_t)len;
	}
	return 0;
}

/* What begins with a letter goes by its beginning, "*-17.example.com" by its end. */
static int split_wildcards(struct policy *p, struct bucket *b)
{
	struct wild_list *w = arena_array(&p->arena, 2, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w[0].list = arena_array(&p->arena, b->n_wild, sizeof(*w->list));
	w[1].list = arena_array(&p->arena, b->n_wild, sizeof(*w->list));
	if (!w[0].list || !w[1].list)
		return -ENOMEM;
	for (size_t i = 0; i < b->n_wild; i++) {
		struct wild_list *to = &w[text_of(b->wild[i], BY_PREFIX).len ? BY_PREFIX : BY_TAIL];

		to->list[to->n++] = b->wild[i];
	}
	b->by_text = w;
	return wild_list_build(p, &w[0], BY_PREFIX) < 0 ? -ENOMEM
							: wild_list_build(p, &w[1], BY_TAIL);
}

/* The first entry that is not below @t. */
static size_t lower_bound(const struct wild_list *w, int by, struct text t)
{
	size_t low = 0, high = w->n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (text_compare(text_of(w->list[mid], by), t) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* --- many policies for one host --- */

enum { FEW_POLICIES = 8, CALLERS_PER_ENDPOINT_MAX = 8 };

/* The number of entries by_caller would have; 0 where it is of no use, or too large to be worth it.
 */
static size_t count_callers(const struct bucket *b)
{
	size_t n = 0, groups = 0;

	for (size_t i = 0; i < b->n_exact; i++) {
		n += b->exact[i]->group->n_binaries;
		groups += i == 0 || b->exact[i]->group != b->exact[i - 1]->group;
	}
	return groups > FEW_POLICIES && n <= b->n_exact * (size_t)CALLERS_PER_ENDPOINT_MAX ? n + 1
											   : 0;
}

static int caller_compare(const void *a, const void *b)
{
	const struct caller_entry *x = a, *y = b;
	int order = strcmp(x->binary, y->binary);

	if (order)
		return order;
	return x->endpoint < y->endpoint ? -1 : x->endpoint > y->endpoint;
}

static void add_callers(struct caller_list *c, const struct endpoint *e)
{
	const struct group *g = e->group;

	for (size_t i = 0; i < g->n_binaries; i++)
		c->list[c->n++] = (struct caller_entry){ g->binaries[i], e };
	if (g->n_binary_globs)
		c->patterns[c->n_patterns++] = e;
}

static int split_callers(struct policy *p, struct bucket *b)
{
	size_t n = count_callers(b);
	struct caller_list *c;

	if (!n)
		return 0;
	c = arena_alloc(&p->arena, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->list = arena_array(&p->arena, n, sizeof(*c->list));
	c->patterns = arena_array(&p->arena, b->n_exact, sizeof(*c->patterns));
	if (!c->list || !c->patterns)
		return -ENOMEM;
	for (size_t i = 0; i < b->n_exact; i++)
		add_callers(c, b->exact[i]);
	qsort(c->list, c->n, sizeof(*c->list), caller_compare);
	b->by_caller = c;
	return 0;
}

static size_t caller_bound(const struct caller_list *c, const char *binary)
{
	size_t low = 0, high = c->n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (strcmp(c->list[mid].binary, binary) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int split_large(struct policy *p, struct bucket *b)
{
	int r = b->n_exact > FEW_POLICIES ? split_callers(p, b) : 0;

	return !r && b->n_wild > FEW_WILDCARDS ? split_wildcards(p, b) : r;
}

/* Room for what the endpoints will need, so that the table is not moved while it fills. */
static int buckets_reserve(struct policy *p)
{
	size_t n = 0, size = BUCKETS_MIN;

	for (size_t g = 0; g < p->n_groups; g++)
		n += p->groups[g].n_endpoints;
	while (size < 4 * n)
		size *= 2;
	return buckets_resize(p, size);
}

int policy_index_build(struct policy *p)
{
	int r = buckets_reserve(p);

	for (size_t g = 0; !r && g < p->n_groups; g++)
		for (size_t i = 0; !r && i < p->groups[g].n_endpoints; i++)
			r = index_endpoint(p, &p->groups[g].endpoints[i]);
	for (size_t i = 0; !r && i < p->n_buckets; i++)
		r = split_large(p, &p->buckets[i]);
	return r;
}

/* --- asking --- */

static int name_compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum { FEW_BINARIES = 8 };

static bool has_literal(const struct group *g, const char *path)
{
	if (g->n_binaries > FEW_BINARIES)
		return bsearch(&path, g->binaries, g->n_binaries, sizeof(*g->binaries),
			       name_compare) != NULL;
	for (size_t i = 0; i < g->n_binaries; i++)
		if (strcmp(g->binaries[i], path) == 0)
			return true;
	return false;
}

static bool has_path(const struct group *g, const char *path)
{
	if (has_literal(g, path))
		return true;
	for (size_t i = 0; i < g->n_binary_globs; i++)
		if (glob_match(g->binary_globs[i], path, strlen(path)))
			return true;
	return false;
}

bool group_has_binary(const struct group *g, const struct intent *in)
{
	if (!in->binary)
		return false;
	if (has_path(g, in->binary))
		return true;
	for (const char *const *a = in->ancestors; a && *a; a++)
		if (has_path(g, *a))
			return true;
	return false;
}

void endpoint_walk_init(struct endpoint_walk *w, const struct policy *p, const struct intent *in)
{
	size_t len = in->host ? strlen(in->host) : 0;
	uint32_t h = 2166136261u;

	w->policy = p;
	w->in = in;
	w->port = in->port;
	w->ignore_binary = false;
	w->bucket = NULL;
	w->next = 0;
	w->end = 0;
	w->entries = NULL;
	w->group = NULL;
	w->host_len = len;
	w->at = 0;
	if (len > HOST_MAX) {
		w->at = len + 1; /* no such name: nothing is visited */
		return;
	}
	w->hashes[len] = h;
	while (len) {
		len--;
		h = hash_step(h, in->host[len]);
		w->hashes[len] = h;
	}
}

/* The lists of a bucket, in the order in which they are looked at. */
enum { STAGE_EXACT = 0, STAGE_CALLERS, STAGE_WILD, STAGE_PREFIX, STAGE_TAIL, STAGE_END };

/* Moves on to the next shorter suffix that has endpoints. */
static bool next_bucket(struct endpoint_walk *w)
{
	const char *host = w->in->host ? w->in->host : "";

	while (w->at <= w->host_len) {
		size_t at = w->at;
		const char *dot = memchr(host + at, '.', w->host_len - at);
		const struct bucket *b =
			bucket_find(w->policy, host + at, w->host_len - at, w->hashes[at], w->port);

		w->at = dot		   ? (size_t)(dot - host) + 1
			: at < w->host_len ? w->host_len
					   : w->host_len + 1;
		if (!b->is_used)
			continue;
		w->bucket = b;
		w->stage = at == 0 ? STAGE_EXACT : STAGE_WILD; /* exact means the whole host */
		return true;
	}
	w->bucket = NULL;
	return false;
}

static bool host_matches(const struct endpoint_walk *w, const struct endpoint *e)
{
	return !e->host_glob || glob_match(e->host_glob, w->in->host, w->host_len);
}

static bool binary_matches(struct endpoint_walk *w, const struct group *g)
{
	if (w->ignore_binary)
		return true;
	if (w->group != g) {
		w->group = g;
		w->group_matches = group_has_binary(g, w->in);
	}
	return w->group_matches;
}

static void step_over(
	struct endpoint_walk *w, const struct endpoint **list, size_t from, size_t end)
{
	w->list = list;
	w->entries = NULL;
	w->next = from;
	w->end = end;
}

/* The binary, then its ancestors; NULL after the last. */
static const char *caller_at(const struct intent *in, size_t i)
{
	if (i == 0)
		return in->binary;
	return in->ancestors ? in->ancestors[i - 1] : NULL;
}

/* The endpoints of policies that name the next caller. */
static bool next_caller(struct endpoint_walk *w)
{
	const struct caller_list *c = w->bucket->by_caller;
	const char *binary = caller_at(w->in, w->length);
	size_t end;

	if (!binary)
		return false;
	w->length++;
	step_over(w, NULL, caller_bound(c, binary), 0);
	w->entries = c->list;
	for (end = w->next; end < c->n && strcmp(c->list[end].binary, binary) == 0; end++)
		;
	w->end = end;
	return true;
}

/* The wildcards that begin (or end) as the host does, one length after the other. */
static bool next_length(struct endpoint_walk *w, int by)
{
	const struct wild_list *l = &w->bucket->by_text[by];

	while (w->length < l->n_lengths && l->lengths[w->length] <= w->host_len) {
		size_t len = l->lengths[w->length++], first, end;
		const char *host = w->in->host;
		struct text t = { by == BY_PREFIX ? host : host + w->host_len - len, len };

		first = end = lower_bound(l, by, t);
		while (end < l->n && text_compare(text_of(l->list[end], by), t) == 0)
			end++;
		if (first == end)
			continue;
		step_over(w, l->list, first, end);
		return true;
	}
	return false;
}

static bool next_list(struct endpoint_walk *w)
{
	const struct bucket *b = w->bucket;

	switch (w->stage) {
	case STAGE_EXACT:
		if (b->by_caller && !w->ignore_binary) {
			w->stage = STAGE_CALLERS;
			w->length = 0;
			step_over(w, b->by_caller->patterns, 0, b->by_caller->n_patterns);
		} else {
			w->stage = STAGE_WILD;
			step_over(w, b->exact, 0, b->n_exact);
		}
		return true;
	case STAGE_CALLERS:
		if (!next_caller(w))
			w->stage = STAGE_WILD;
		return true;
	case STAGE_WILD:
		w->stage = b->by_text ? STAGE_PREFIX : STAGE_END;
		w->length = 0;
		step_over(w, b->wild, 0, b->by_text ? 0 : b->n_wild);
		return true;
	case STAGE_PREFIX:
		if (next_length(w, BY_PREFIX))
			return true;
		w->stage = STAGE_TAIL;
		w->length = 0;
		return true;
	case STAGE_TAIL:
		return next_length(w, BY_TAIL);
	default:
		return false;
	}
}

const struct endpoint *endpoint_walk_next(struct endpoint_walk *w)
{
	for (;;) {
		const struct endpoint *e;

		if (w->next == w->end) {
			if ((!w->bucket || !next_list(w)) && !next_bucket(w))
				return NULL;
			continue;
		}
		e = w->entries ? w->entries[w->next].endpoint : w->list[w->next];
		w->next++;
		if (host_matches(w, e) && binary_matches(w, e->group))
			return e;
	}
}

const struct bucket *policy_index_find(const struct policy *p, const char *suffix, uint16_t port)
{
	size_t len = strlen(suffix);
	const struct bucket *b = bucket_find(p, suffix, len, hash_suffix(suffix, len), port);

	return b->is_used ? b : NULL;
}

const struct endpoint *policy_index_sibling(const struct policy *p, const char *host)
{
	const char *suffix = host;

	while (suffix && strchr(suffix, '.')) {
		const struct bucket *b = policy_index_find(p, suffix, 0);

		if (b && b->sample)
			return b->sample;
		suffix = strchr(suffix, '.') + 1;
	}
	return NULL;
}
