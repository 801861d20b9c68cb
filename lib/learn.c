#include "lib/learn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/learn_paths.h"
#include "lib/policy_merge_endpoint.h"
#include "lib/policy_shape.h"
#include "lib/str.h"

enum {
	LEARN_ARENA_MAX = 256 * 1024 * 1024,
	LEARN_BUCKETS = 16384,
	LEARN_KEY_MAX = 128,
	LEARN_PATH_MAX = 64 * 1024
};

/* --- evidence --- */

struct asked {
	const char *method, *template; /* the path without ids */
	const char *path;	       /* the first one seen, quoted */
	bool is_many;		       /* others were seen */
	struct learn_seen seen;
	size_t next;	/* of the same use; index + 1 */
	size_t in_hash; /* of the same bucket */
	size_t use;
};

struct use {
	const char *binary, *host;
	uint16_t port;
	struct learn_seen seen; /* connections */
	size_t asked;		/* first request; index + 1 */
	size_t in_hash;
};

struct comment {
	const struct doc_head *head;
	const char *text;
};

struct learn {
	bool with_denied;
	size_t n_left_out;
	struct arena arena;
	struct use *uses; /* owned */
	size_t n_uses, room_uses;
	struct asked *asked; /* owned */
	size_t n_asked, room_asked;
	size_t use_hash[LEARN_BUCKETS], asked_hash[LEARN_BUCKETS];
	struct buf path, template; /* of the event that is being taken in */
	struct comment *comments;  /* owned */
	size_t n_comments, room_comments;
};

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

/* Room for one more of @size bytes in the array that @list points to; false when out of memory. */
static bool one_more(void *list, size_t n, size_t *room, size_t size)
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

static const char *keep(struct learn *l, const char *s)
{
	return arena_strndup(&l->arena, s, strlen(s));
}

static int use_find(struct learn *l, const struct event *e, size_t *ret)
{
	size_t *head = &l->use_hash[bucket(e->port, e->binary, e->host)];
	struct use *u;

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
	if (!one_more(&l->uses, l->n_uses, &l->room_uses, sizeof(*l->uses)))
		return -ENOMEM;
	u = &l->uses[l->n_uses];
	*u = (struct use){ .binary = keep(l, e->binary),
		.host = keep(l, e->host),
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

static struct asked *asked_find(struct learn *l, size_t at, size_t use, const char *method)
{
	for (; at; at = l->asked[at - 1].in_hash) {
		struct asked *a = &l->asked[at - 1];

		if (a->use == use && strcmp(a->method, method) == 0 &&
			strcmp(a->template, buf_cstr(&l->template)) == 0)
			return a;
	}
	return NULL;
}

static int asked_add(struct learn *l, size_t use, const struct event *e)
{
	struct learn_seen seen = { e->count, e->time_ms, e->until_ms };
	size_t *head;
	struct asked *a;
	int r = take_path(l, e->target);

	if (r < 0)
		return r;
	head = &l->asked_hash[bucket(use, e->method, buf_cstr(&l->template))];
	a = asked_find(l, *head, use, e->method);
	if (a) {
		a->is_many |= strcmp(a->path, buf_cstr(&l->path)) != 0;
		learn_seen_add(&a->seen, &seen);
		return 0;
	}
	if (l->n_asked == LEARN_REQUESTS_MAX)
		return -E2BIG;
	if (!one_more(&l->asked, l->n_asked, &l->room_asked, sizeof(*l->asked)))
		return -ENOMEM;
	a = &l->asked[l->n_asked];
	*a = (struct asked){ .method = keep(l, e->method),
		.path = keep(l, buf_cstr(&l->path)),
		.template = keep(l, buf_cstr(&l->template)),
		.use = use,
		.next = l->uses[use].asked,
		.in_hash = *head,
		.seen = seen };
	if (!a->method || !a->path || !a->template)
		return -ENOMEM;
	l->uses[use].asked = *head = ++l->n_asked;
	return 0;
}

/* Refusals that no rule could lift are no evidence: broken requests, forbidden addresses. */
static bool is_liftable(const struct event *e)
{
	return str_eq(e->engine, "l4") || (e->engine && str_starts(e->engine, "l7"));
}

static bool is_evidence(struct learn *l, const struct event *e)
{
	bool is_connection = e->adapter == EVENT_CONNECT || e->adapter == EVENT_TCP ||
			     e->adapter == EVENT_FORWARD;

	if (!e->host || !e->host[0] || !e->binary || !e->port || e->message)
		return false;
	if (!is_connection && !(e->adapter == EVENT_L7 && e->method && e->target))
		return false;
	if (e->action != EVENT_DENY)
		return e->action == EVENT_ALLOW || e->action == EVENT_AUDIT;
	l->n_left_out += !l->with_denied && is_liftable(e);
	return l->with_denied && is_liftable(e);
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
	if (r < 0)
		return r;
	if (e->adapter == EVENT_L7)
		return asked_add(l, use, &one);
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

static int comment_add(struct learn *l, const struct doc_head *head, const char *what, bool is_many,
	const struct learn_seen *seen)
{
	char first[32], last[32];
	struct comment *c;

	if (!one_more(&l->comments, l->n_comments, &l->room_comments, sizeof(*l->comments)))
		return -ENOMEM;
	stamp(first, sizeof(first), seen->first_ms);
	stamp(last, sizeof(last), seen->last_ms);
	c = &l->comments[l->n_comments];
	c->head = head;
	c->text = arena_printf(&l->arena, "%llu %s%s%s, first %s, last %s UTC\n",
		(unsigned long long)seen->count, what, seen->count == 1 ? "" : "s",
		is_many ? " for several paths" : "", first, last);
	if (!c->text)
		return -ENOMEM;
	l->n_comments++;
	return 0;
}

static int by_head(const void *a, const void *b)
{
	const struct comment *x = a, *y = b;

	return x->head < y->head ? -1 : x->head > y->head;
}

const char *learn_comment(void *arg, const struct doc_head *head)
{
	const struct learn *l = arg;
	struct comment key = { .head = head };
	const struct comment *c = NULL;

	if (l->n_comments)
		c = bsearch(&key, l->comments, l->n_comments, sizeof(key), by_head);
	return c ? c->text : NULL;
}

/* --- one use becomes an endpoint --- */

static int by_request(const void *a, const void *b)
{
	const struct asked *x = a, *y = b;
	int order = strcmp(x->method, y->method);

	return order ? order : strcmp(x->path, y->path);
}

/* The requests of a use, by method; the caller frees. NULL when out of memory. */
static struct asked *requests_of(const struct learn *l, const struct use *u, size_t *ret_n)
{
	struct asked *list;
	size_t n = 0;

	for (size_t i = u->asked; i; i = l->asked[i - 1].next)
		n++;
	list = calloc(n + 1, sizeof(*list));
	for (size_t i = u->asked, k = 0; list && i; i = l->asked[i - 1].next)
		list[k++] = l->asked[i - 1];
	if (list && n)
		qsort(list, n, sizeof(*list), by_request);
	*ret_n = n;
	return list;
}

/* GET allows HEAD as well. */
static bool is_implied(const struct doc_endpoint *e, const char *method, const char *path)
{
	for (size_t i = 0; i < e->rules.n && strcmp(method, "HEAD") == 0; i++)
		if (str_eq(e->rules.list[i].allow.method.text, "GET") &&
			str_eq(e->rules.list[i].allow.path.text, path))
			return true;
	return false;
}

/* Evidence for the rules of an endpoint, in their order: pointers move while the list grows. */
struct evidence {
	struct learn_path *list; /* owned */
	size_t n, room;
};

static void evidence_done(struct evidence *v)
{
	free(v->list);
}

static int evidence_add(struct evidence *v, const struct learn_path *p)
{
	if (!one_more(&v->list, v->n, &v->room, sizeof(*v->list)))
		return -ENOMEM;
	v->list[v->n++] = *p;
	return 0;
}

/* The rules for one method: @n requests. */
static int add_method(struct learn *l, struct policy_doc *d, struct doc_endpoint *e,
	const struct asked *asked, size_t n, struct evidence *v)
{
	struct learn_paths paths = { .list = arena_array(&l->arena, n, sizeof(*paths.list)),
		.n = n };
	int r = paths.list ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < n; i++)
		paths.list[i] = (struct learn_path){ .path = asked[i].is_many ? asked[i].template
									      : asked[i].path,
			.is_many = asked[i].is_many,
			.seen = asked[i].seen };
	if (r == 0)
		r = learn_paths_generalise(&l->arena, &paths);
	for (size_t i = 0; r == 0 && i < paths.n; i++) {
		struct doc_rule rule = { .head.is_set = true };

		if (is_implied(e, asked[0].method, paths.list[i].path))
			continue;
		rule.method = policy_doc_string(d, asked[0].method);
		rule.path = policy_doc_string(d, paths.list[i].path);
		r = rule.method.text && rule.path.text ? endpoint_add_rule(d, e, &rule) : -ENOMEM;
		if (r == 0)
			r = evidence_add(v, &paths.list[i]);
	}
	return r;
}

/* An access preset, if it says just what the rules say. */
static void prefer_preset(struct doc_endpoint *e)
{
	static const char *const presets[] = { "read-only", "read-write", "full" };

	for (size_t i = 0; i < ARRAY_SIZE(presets); i++) {
		struct doc_endpoint as_preset = *e;
		const struct doc_rule *rules;
		size_t n_same = 0;
		int n;

		as_preset.access.text = presets[i];
		n = access_rules(&as_preset, &rules);
		for (int k = 0; k < n; k++)
			n_same += rules_have(e, &rules[k]) ||
				  is_implied(e, rules[k].method.text, rules[k].path.text);
		if (n <= 0 || n_same != (size_t)n || e->rules.n > (size_t)n)
			continue;
		e->access = as_preset.access;
		e->rules = (struct doc_allows){ 0 };
		return;
	}
}

static int endpoint_of(struct learn *l, struct policy_doc *d, const struct use *u,
	struct doc_endpoint *ret, struct evidence *v)
{
	struct doc_endpoint e = { .head.is_set = true, .host = policy_doc_string(d, u->host) };
	auto_free struct asked *asked = NULL;
	size_t n = 0;
	int r = 0;

	asked = requests_of(l, u, &n);
	if (!asked || !e.host.text || !endpoint_set_ports(d, &e, &u->port, 1))
		return -ENOMEM;
	if (n) {
		e.protocol.text = "rest";
		e.enforcement.text = "enforce";
	}
	for (size_t i = 0, k; r == 0 && i < n; i += k) {
		for (k = 1; i + k < n && strcmp(asked[i].method, asked[i + k].method) == 0;)
			k++;
		if (strcmp(asked[i].method, "WEBSOCKET_TEXT") == 0)
			e.protocol.text = "websocket";
		r = add_method(l, d, &e, &asked[i], k, v);
	}
	if (r == 0 && n)
		prefer_preset(&e);
	*ret = e;
	return r;
}

/* --- endpoints become rules --- */

/* An endpoint with everybody who used it in just this way. */
struct unit {
	struct doc_endpoint e;
	struct evidence evidence;
	struct learn_seen seen;
	const char **binaries; /* sorted; owned */
	size_t n_binaries;
	bool is_done;
};

struct units {
	struct unit *list; /* owned */
	size_t n;
};

static void units_done(struct units *u)
{
	for (size_t i = 0; i < u->n; i++) {
		evidence_done(&u->list[i].evidence);
		free(u->list[i].binaries);
	}
	free(u->list);
}

static int by_use(const void *a, const void *b)
{
	const struct use *x = a, *y = b;
	int order = strcmp(x->host, y->host);

	if (!order)
		order = (int)x->port - (int)y->port;
	return order ? order : strcmp(x->binary, y->binary);
}

/* The unit before that is used in the same way, whoever uses it; NULL if there is none. */
static struct unit *same_endpoint(struct units *u, const struct doc_endpoint *e)
{
	for (size_t i = u->n; i-- > 0 && endpoint_same_host(&u->list[i].e, e);)
		if (doc_equal(&doc_endpoint_shape, &u->list[i].e, e))
			return &u->list[i];
	return NULL;
}

static void evidence_merge(struct evidence *to, const struct evidence *from)
{
	for (size_t i = 0; i < to->n && i < from->n; i++) {
		learn_seen_add(&to->list[i].seen, &from->list[i].seen);
		to->list[i].is_many |= from->list[i].is_many;
	}
}

static int unit_take(struct learn *l, struct policy_doc *d, struct units *us, const struct use *u)
{
	struct unit *unit = &us->list[us->n], *same;
	const char **binaries;
	int r;

	*unit = (struct unit){ .seen = u->seen };
	r = endpoint_of(l, d, u, &unit->e, &unit->evidence);
	for (size_t i = 0; r == 0 && i < unit->evidence.n; i++)
		learn_seen_add(&unit->seen, &unit->evidence.list[i].seen);
	same = r == 0 ? same_endpoint(us, &unit->e) : NULL;
	if (same) {
		evidence_merge(&same->evidence, &unit->evidence);
		learn_seen_add(&same->seen, &unit->seen);
		evidence_done(&unit->evidence);
		unit = same;
	} else {
		us->n++;
	}
	binaries = r == 0 ? reallocarray(unit->binaries, unit->n_binaries + 1, sizeof(*binaries))
			  : NULL;
	if (!binaries)
		return r < 0 ? r : -ENOMEM;
	binaries[unit->n_binaries++] = u->binary;
	unit->binaries = binaries;
	return 0;
}

static bool same_binaries(const struct unit *a, const struct unit *b)
{
	if (a->n_binaries != b->n_binaries)
		return false;
	for (size_t i = 0; i < a->n_binaries; i++)
		if (strcmp(a->binaries[i], b->binaries[i]) != 0)
			return false;
	return true;
}

/*
 * The part of a host name that a person takes for the service: the last two labels, three where
 * the second level is one like "co.uk". Addresses are taken whole.
 */
static const char *service_of(const char *host)
{
	const char *label[3] = { host, host, host };
	size_t second;

	if (strchr(host, ':') || host[strspn(host, "0123456789.")] == '\0')
		return host;
	for (const char *p = host; (p = strchr(p, '.'));) {
		label[2] = label[1];
		label[1] = label[0];
		label[0] = ++p;
	}
	second = strcspn(label[1], ".");
	return strlen(label[0]) == 2 && second <= 3 && label[1] != host ? label[2] : label[1];
}

static bool key_is_taken(const struct policy_doc *d, const char *key)
{
	for (size_t i = 0; i < d->network_policies.n; i++)
		if (str_eq(d->network_policies.list[i].head.key.text, key))
			return true;
	return false;
}

/* "github_com", with the program's name if that is taken, then with a number. */
static const char *key_for(struct learn *l, const struct policy_doc *d, const struct unit *u)
{
	const char *base = strrchr(u->binaries[0], '/');
	char service[LEARN_KEY_MAX], key[2 * LEARN_KEY_MAX];
	unsigned int number = 2;
	size_t n = 0;

	for (const char *p = service_of(u->e.host.text); *p && n < sizeof(service) - 1; p++)
		service[n++] = (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') ? *p : '_';
	service[n] = '\0';
	(void)snprintf(key, sizeof(key), "%s", service);
	if (key_is_taken(d, key))
		(void)snprintf(key, sizeof(key), "%s_%.64s", service, base ? base + 1 : "program");
	while (key_is_taken(d, key))
		(void)snprintf(key, sizeof(key), "%s_%u", service, number++);
	return keep(l, key);
}

static int rule_binaries(struct policy_doc *d, struct doc_network_policy *p, const struct unit *u)
{
	struct doc_binary *list = policy_doc_grow(d, NULL, 0, u->n_binaries * sizeof(*list));

	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < u->n_binaries; i++) {
		list[i].head.is_set = true;
		list[i].path = policy_doc_string(d, u->binaries[i]);
		if (!list[i].path.text)
			return -ENOMEM;
	}
	p->binaries = (struct doc_binaries){ .list = list, .n = u->n_binaries, .is_set = true };
	return 0;
}

static int comment_endpoint(struct learn *l, const struct doc_endpoint *e, const struct unit *u)
{
	bool is_http = e->protocol.text != NULL;
	int r = 0;

	if (!e->rules.n)
		return comment_add(l, &e->head, is_http ? "request" : "uninspected connection",
			false, &u->seen);
	for (size_t i = 0; r == 0 && i < e->rules.n; i++)
		r = comment_add(l, &e->rules.list[i].head, "request", u->evidence.list[i].is_many,
			&u->evidence.list[i].seen);
	return r;
}

/* The rule that @first begins: every endpoint of the same service that the same programs use. */
static int rule_of(struct learn *l, struct policy_doc *d, struct units *us, size_t first)
{
	struct doc_network_policies *all = &d->network_policies;
	struct doc_network_policy *grown = policy_doc_grow(d, all->list, all->n, sizeof(*grown)),
				  *p;
	struct unit *lead = &us->list[first];
	struct doc_endpoint *list;
	size_t n = 0;
	int r;

	list = policy_doc_grow(d, NULL, 0, (us->n - first) * sizeof(*list));
	if (!grown || !list)
		return -ENOMEM;
	p = &grown[all->n];
	p->head = (struct doc_head){ .is_set = true, .key.text = key_for(l, d, lead) };
	r = p->head.key.text ? rule_binaries(d, p, lead) : -ENOMEM;
	for (size_t i = first; r == 0 && i < us->n; i++) {
		struct unit *u = &us->list[i];

		if (u->is_done || !same_binaries(lead, u) ||
			strcmp(service_of(lead->e.host.text), service_of(u->e.host.text)) != 0)
			continue;
		u->is_done = true;
		list[n] = u->e;
		r = comment_endpoint(l, &list[n++], u);
	}
	p->endpoints = (struct doc_endpoints){ .list = list, .n = n, .is_set = true };
	*all = (struct doc_network_policies){ .list = grown, .n = all->n + 1, .is_set = true };
	return r;
}

static int build(struct learn *l, struct policy_doc *d)
{
	__attribute__((cleanup(units_done))) struct units us = { 0 };
	auto_free struct use *uses = calloc(l->n_uses + 1, sizeof(*uses));
	int r = 0;

	us.list = calloc(l->n_uses + 1, sizeof(*us.list));
	if (!uses || !us.list)
		return -ENOMEM;
	if (l->n_uses)
		memcpy(uses, l->uses, l->n_uses * sizeof(*uses));
	qsort(uses, l->n_uses, sizeof(*uses), by_use);
	for (size_t i = 0; r == 0 && i < l->n_uses; i++)
		r = unit_take(l, d, &us, &uses[i]);
	for (size_t i = 0; r == 0 && i < us.n; i++)
		if (!us.list[i].is_done)
			r = rule_of(l, d, &us, i);
	if (r == 0 && l->n_comments)
		qsort(l->comments, l->n_comments, sizeof(*l->comments), by_head);
	return r;
}

int learn_policy(struct learn *l, const struct policy_doc *statics, struct policy_doc **ret)
{
	auto_policy_doc struct policy_doc *d = policy_doc_new();
	int r;

	if (!d)
		return -ENOMEM;
	d->head.is_set = true;
	d->version = (struct doc_int){ .is_set = true, .value = 1 };
	d->filesystem_policy = statics->filesystem_policy;
	d->landlock = statics->landlock;
	d->process = statics->process;
	d->network_policies.is_set = true;
	l->n_comments = 0;
	r = build(l, d);
	if (r == 0)
		*ret = take_ptr(d);
	return r;
}
