#include "lib/proposal.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/arena.h"
#include "lib/cleanup.h"
#include "lib/netaddr.h"
#include "lib/str.h"

enum { ARENA_MAX = 64 * 1024 * 1024, BUCKETS = 4096 };

struct group {
	struct proposal pub;
	struct group *next; /* of the same bucket */
};

struct proposals {
	struct arena arena;
	struct group *buckets[BUCKETS];
	const struct proposal **list; /* owned */
	size_t n, room, n_left_out;
};

struct proposals *proposals_new(void)
{
	struct proposals *p = calloc(1, sizeof(*p));

	if (p)
		arena_init(&p->arena, ARENA_MAX);
	return p;
}

void proposals_free(struct proposals *p)
{
	if (!p)
		return;
	arena_done(&p->arena);
	free(p->list);
	free(p);
}

size_t proposals_left_out(const struct proposals *p)
{
	return p->n_left_out;
}

static uint64_t mix(uint64_t h, const char *s)
{
	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 1099511628211ull;
	return (h ^ 0xff) * 1099511628211ull;
}

static uint64_t group_hash(const struct event *e)
{
	return mix(mix(14695981039346656037ull ^ e->port, e->host), e->binary);
}

/* --- judgement, as upstream's mapper has it --- */

bool proposal_is_proposable(const char *host)
{
	struct netaddr a;
	char name[256];
	size_t n;

	if (netaddr_parse_host(host, &a) == 0)
		return netaddr_classify(&a) != NETADDR_BLOCKED;
	if (!str_copy(name, sizeof(name), host))
		return false;
	str_lower(name);
	n = strlen(name);
	if (n && name[n - 1] == '.')
		name[n - 1] = '\0';
	/* That one takes a route and no rule. */
	if (str_eq(name, "inference.local"))
		return false;
	return name[0] && !str_eq(name, "localhost") && !str_eq(name, "metadata.google.internal");
}

bool proposal_is_internal(const char *host)
{
	struct netaddr a;

	return netaddr_parse_host(host, &a) == 0 && netaddr_classify(&a) != NETADDR_PUBLIC;
}

static bool is_listed(uint16_t port, const uint16_t *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == port)
			return true;
	return false;
}

double proposal_confidence(uint32_t count, uint16_t port, bool is_ssrf)
{
	static const uint16_t known[] = { 80, 443, 8080, 8443, 5432, 3306, 6379, 27017, 9200, 9092,
		2181, 11211, 5672, 6443, 53, 587, 993, 995 };
	double c = 0.5;

	c += count >= 10 ? 0.2 : count >= 3 ? 0.1 : 0;
	c += is_listed(port, known, ARRAY_SIZE(known)) ? 0.15 : 0;
	c -= is_ssrf ? 0.2 : 0;
	return c < 0.1 ? 0.1 : c > 0.95 ? 0.95 : c;
}

void proposal_notes(const struct proposal *p, const char *ret[4])
{
	static const uint16_t databases[] = { 5432, 3306, 6379, 27017, 9200, 11211, 5672 };
	size_t n = 0;

	if (p->is_ssrf)
		ret[n++] = "the address was refused: it lies in a protected range";
	else if (proposal_is_internal(p->host))
		ret[n++] = "internal address";
	if (p->port > 49152)
		ret[n++] = "ephemeral port";
	if (is_listed(p->port, databases, ARRAY_SIZE(databases)))
		ret[n++] = "database port";
	ret[n] = NULL;
}

bool proposal_looks_like_id(const char *segment)
{
	size_t len = strlen(segment), hex = 0, digits = 0, dashes = 0;

	for (const char *s = segment; *s; s++) {
		hex += isxdigit((unsigned char)*s) != 0;
		digits += *s >= '0' && *s <= '9';
		dashes += *s == '-';
	}
	return (len >= 2 && digits == len) || (hex >= 24 && dashes > 0) || (len >= 16 && hex == len);
}

void proposal_generalise(const char *path, char *ret)
{
	char *last;

	(void)snprintf(ret, PROPOSAL_PATH_MAX, "%.*s", (int)strcspn(path, "?"), path);
	last = strrchr(ret, '/');
	if (last && proposal_looks_like_id(last + 1))
		(void)snprintf(last + 1, PROPOSAL_PATH_MAX - (size_t)(last + 1 - ret), "*");
}

void proposal_rule_name(const char *host, uint16_t port, char *ret, size_t size)
{
	char name[256];
	size_t n = 0;

	for (const char *s = host; *s && n < sizeof(name) - 1; s++) {
		if (*s == '.' || *s == '-')
			name[n++] = '_';
		else if (isalnum((unsigned char)*s))
			name[n++] = *s;
	}
	name[n] = '\0';
	(void)snprintf(ret, size, "allow_%s_%u", name, port);
}

/* --- collecting --- */

static const char *keep(struct proposals *p, const char *s)
{
	return arena_strndup(&p->arena, s, strlen(s));
}

static struct group *group_find(struct proposals *p, const struct event *e, uint64_t hash)
{
	struct group *g;

	for (g = p->buckets[hash % BUCKETS]; g; g = g->next)
		if (g->pub.port == e->port && str_eq(g->pub.host, e->host) &&
			str_eq(g->pub.binary, e->binary))
			break;
	return g;
}

static int list_add(struct proposals *p, const struct proposal *pub)
{
	size_t room = p->room ? 2 * p->room : 64;
	const struct proposal **list = p->list;

	if (p->n == p->room) {
		list = reallocarray(list, room, sizeof(struct proposal *));
		if (!list)
			return -ENOMEM;
		p->list = list;
		p->room = room;
	}
	p->list[p->n++] = pub;
	return 0;
}

static int group_add(struct proposals *p, const struct event *e, uint64_t hash, struct group **ret)
{
	struct group *g = arena_alloc(&p->arena, sizeof(*g));

	if (!g)
		return -ENOMEM;
	memset(g, 0, sizeof(*g));
	g->pub.host = keep(p, e->host);
	g->pub.binary = keep(p, e->binary);
	g->pub.port = (uint16_t)e->port;
	g->pub.first_ms = e->time_ms;
	(void)snprintf(g->pub.id, sizeof(g->pub.id), "%012llx",
		(unsigned long long)(hash & 0xffffffffffffull));
	if (!g->pub.host || !g->pub.binary || list_add(p, &g->pub) < 0)
		return -ENOMEM;
	g->next = p->buckets[hash % BUCKETS];
	p->buckets[hash % BUCKETS] = g;
	*ret = g;
	return 0;
}

static int sample_add(struct proposals *p, struct proposal *pub, const struct event *e)
{
	char path[PROPOSAL_PATH_MAX];
	struct proposal_sample *s;

	proposal_generalise(e->target, path);
	for (size_t i = 0; i < pub->n_samples; i++) {
		s = &pub->samples[i];
		if (str_eq(s->method, e->method) && str_eq(s->path, path)) {
			s->count += e->count ? e->count : 1;
			return 0;
		}
	}
	if (pub->n_samples == PROPOSAL_SAMPLES_MAX)
		return 0;
	s = &pub->samples[pub->n_samples];
	*s = (struct proposal_sample){ .method = keep(p, e->method),
		.path = keep(p, path),
		.count = e->count ? e->count : 1 };
	if (!s->method || !s->path)
		return -ENOMEM;
	pub->n_samples++;
	return 0;
}

/*
 * What a REST rule can say. GraphQL, JSON-RPC and MCP operations need rules that a person writes; a
 * binary whose name is a pattern would be granted as one.
 */
static bool is_expressible(const struct event *e)
{
	return !e->operation && !strpbrk(e->binary, "*?[]{}") &&
	       (e->adapter != EVENT_L7 || (e->method && e->target));
}

static bool is_denial(const struct event *e)
{
	return (e->action == EVENT_DENY || e->action == EVENT_AUDIT) && e->host && e->port &&
	       e->binary && (e->adapter == EVENT_CONNECT || e->adapter == EVENT_FORWARD ||
			e->adapter == EVENT_TCP || e->adapter == EVENT_L7) &&
	       is_expressible(e) &&
	       /* refused for what it was, not for what it wanted: no rule would allow it */
	       !str_eq(e->engine, "tls") && !str_eq(e->engine, "http-parser") &&
	       !str_eq(e->engine, "upstream");
}

static int note_asker(struct proposals *p, struct proposal *pub, const char *asker)
{
	if (!asker)
		return 0;
	if (!pub->asker)
		pub->asker = keep(p, asker);
	else
		pub->has_more_askers |= !str_eq(pub->asker, asker);
	return pub->asker ? 0 : -ENOMEM;
}

int proposals_event(struct proposals *p, const struct event *e)
{
	struct group *g;
	uint64_t hash;
	int r = 0;

	if (!is_denial(e) || !proposal_is_proposable(e->host))
		return 0;
	hash = group_hash(e);
	g = group_find(p, e, hash);
	if (!g && p->n >= PROPOSALS_MAX) {
		p->n_left_out++;
		return 0;
	}
	if (!g)
		r = group_add(p, e, hash, &g);
	if (r == 0)
		r = note_asker(p, &g->pub, e->asker);
	if (r < 0)
		return r;
	g->pub.count += e->count ? e->count : 1;
	if (e->time_ms < g->pub.first_ms)
		g->pub.first_ms = e->time_ms;
	if (e->time_ms > g->pub.last_ms)
		g->pub.last_ms = e->time_ms;
	g->pub.is_ssrf = g->pub.is_ssrf || str_eq(e->engine, "ssrf");
	return e->adapter == EVENT_L7 ? sample_add(p, &g->pub, e) : 0;
}

static int by_confidence(const void *a, const void *b)
{
	const struct proposal *x = *(const struct proposal *const *)a;
	const struct proposal *y = *(const struct proposal *const *)b;
	double cx = proposal_confidence(x->count, x->port, x->is_ssrf);
	double cy = proposal_confidence(y->count, y->port, y->is_ssrf);
	int r = (cx < cy) - (cx > cy);

	if (r == 0)
		r = strcmp(x->host, y->host);
	if (r == 0)
		r = (int)x->port - (int)y->port;
	return r ? r : strcmp(x->binary, y->binary);
}

const struct proposal *const *proposals_list(struct proposals *p, size_t *ret_n)
{
	if (p->n)
		qsort(p->list, p->n, sizeof(struct proposal *), by_confidence);
	*ret_n = p->n;
	return p->list;
}

/* --- the rule --- */

static int by_method_and_path(const void *a, const void *b)
{
	const struct proposal_sample *x = a, *y = b;
	int r = strcmp(x->method, y->method);

	return r ? r : strcmp(x->path, y->path);
}

/* A path as a pattern that matches itself: what globs give a meaning is put in brackets. */
static struct doc_str pattern_of(struct policy_doc *d, const char *path)
{
	char text[4 * PROPOSAL_PATH_MAX];
	size_t len = strlen(path), n = 0;
	bool has_star = len >= 2 && path[len - 2] == '/' && path[len - 1] == '*';

	for (size_t i = 0; i < len; i++) {
		bool is_special = strchr("*?[]{}", path[i]) != NULL;

		if (is_special && !(has_star && i == len - 1)) {
			text[n++] = '[';
			text[n++] = path[i];
			text[n++] = ']';
		} else {
			text[n++] = path[i];
		}
	}
	text[n] = '\0';
	return policy_doc_string(d, text);
}

static int add_rules(const struct proposal *p, struct policy_doc *d, struct doc_endpoint *ep)
{
	struct proposal_sample sorted[PROPOSAL_SAMPLES_MAX];

	memcpy(sorted, p->samples, sizeof(sorted));
	qsort(sorted, p->n_samples, sizeof(sorted[0]), by_method_and_path);
	ep->protocol = policy_doc_string(d, "rest");
	ep->enforcement = policy_doc_string(d, "enforce");
	ep->rules.is_set = true;
	for (size_t i = 0; i < p->n_samples; i++) {
		struct doc_allow *a;

		ep->rules.list = policy_doc_grow(d, ep->rules.list, ep->rules.n,
			sizeof(*ep->rules.list));
		if (!ep->rules.list)
			return -ENOMEM;
		a = &ep->rules.list[ep->rules.n++];
		a->head.is_set = a->allow.head.is_set = true;
		a->allow.method = policy_doc_string(d, sorted[i].method);
		a->allow.path = pattern_of(d, sorted[i].path);
		if (!a->allow.method.text || !a->allow.path.text)
			return -ENOMEM;
	}
	return ep->protocol.text && ep->enforcement.text ? 0 : -ENOMEM;
}

int proposal_step(const struct proposal *p, struct policy_doc *d, struct merge_op *ret)
{
	struct doc_network_policy *rule = policy_doc_grow(d, NULL, 0, sizeof(*rule));
	struct doc_endpoint *ep = policy_doc_grow(d, NULL, 0, sizeof(*ep));
	struct doc_binary *binary = policy_doc_grow(d, NULL, 0, sizeof(*binary));
	char name[300];
	int r = 0;

	if (!rule || !ep || !binary)
		return -ENOMEM;
	proposal_rule_name(p->host, p->port, name, sizeof(name));
	rule->head.is_set = ep->head.is_set = binary->head.is_set = true;
	rule->name = policy_doc_string(d, name);
	rule->head.key = rule->name;
	ep->host = policy_doc_string(d, p->host);
	ep->port = (struct doc_int){ .is_set = true, .value = p->port };
	binary->path = policy_doc_string(d, p->binary);
	rule->endpoints.list = ep;
	rule->binaries.list = binary;
	rule->endpoints.n = rule->binaries.n = 1;
	rule->endpoints.is_set = rule->binaries.is_set = true;
	if (p->n_samples)
		r = add_rules(p, d, ep);
	if (r < 0 || !rule->name.text || !ep->host.text || !binary->path.text)
		return -ENOMEM;
	*ret = (struct merge_op){ .type = MERGE_ADD_RULE, .rule_name = rule->name.text, .rule = rule };
	return 0;
}
