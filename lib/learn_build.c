/* The second half of lib/learn.h: evidence becomes endpoints, endpoints become rules. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/learn_internal.h"
#include "lib/policy_merge_endpoint.h"
#include "lib/policy_shape.h"
#include "lib/str.h"

enum {
	LEARN_KEY_MAX = 128,
	LEARN_USERS_SHOWN = 3,	  /* programs in the comment of a rule */
	LEARN_PROGRAM_MAX = 8192, /* an escaped file name, who asked, and what stands around it */
};

/* --- one use becomes an endpoint --- */

/* A request and how its path is judged. */
struct request_seen {
	struct learn_asked asked;
	enum learn_kind spoken;
};

static int by_request(const void *a, const void *b)
{
	const struct request_seen *x = a, *y = b;
	int order = (int)x->spoken - (int)y->spoken;

	if (!order && x->spoken != LEARN_REST)
		order = strcmp(x->asked.template, y->asked.template);
	if (!order)
		order = strcmp(x->asked.method, y->asked.method);
	if (!order)
		order = strcmp(x->asked.path, y->asked.path);
	return order ? order : strcmp(x->asked.op.name, y->asked.op.name);
}

/* What goes along with MCP needs a rule of MCP beside it, or it is a request like any other. */
static bool is_alone(const struct request_seen *list, size_t n, const struct request_seen *one)
{
	if (one->asked.op.kind != LEARN_MCP_ASIDE)
		return false;
	for (size_t i = 0; i < n; i++)
		if (list[i].asked.op.kind == LEARN_MCP &&
			strcmp(list[i].asked.template, one->asked.template) == 0)
			return false;
	return true;
}

/* gcc 12: the loop does not run without a list. */
ANALYZER_OFF("-Wanalyzer-possible-null-dereference")
/* The requests of a use, by how they are judged; the caller frees. NULL when out of memory. */
static struct request_seen *requests_of(
	const struct learn *l, const struct learn_use *u, size_t *ret_n)
{
	struct request_seen *list;
	size_t n = 0;

	for (size_t i = u->asked; i; i = l->asked[i - 1].next)
		n++;
	list = calloc(n + 1, sizeof(*list));
	for (size_t i = u->asked, k = 0; list && i; i = l->asked[i - 1].next) {
		list[k].spoken = learn_spoken(l, &l->asked[i - 1]);
		list[k++].asked = l->asked[i - 1];
	}
	for (size_t i = 0; list && i < n; i++)
		if (is_alone(list, n, &list[i]))
			list[i].spoken = LEARN_REST;
	if (list && n)
		qsort(list, n, sizeof(*list), by_request);
	*ret_n = n;
	return list;
}
ANALYZER_ON

/* GET allows HEAD as well. */
static bool is_implied(const struct doc_endpoint *e, const char *method, const char *path)
{
	for (size_t i = 0; i < e->rules.n && strcmp(method, "HEAD") == 0; i++)
		if (str_eq(e->rules.list[i].allow.method.text, "GET") &&
			str_eq(e->rules.list[i].allow.path.text, path))
			return true;
	return false;
}

static void evidence_done(struct learn_evidence *v)
{
	free(v->list);
}

int learn_evidence_add(struct learn_evidence *v, const struct learn_path *p)
{
	if (!learn_one_more(&v->list, v->n, &v->room, sizeof(*v->list)))
		return -ENOMEM;
	v->list[v->n++] = *p;
	return 0;
}

/* Different operations may have been asked for by one method at one path: as requests they are one.
 */
static size_t paths_of(const struct request_seen *rq, size_t n, struct learn_path *out)
{
	size_t n_out = 0;

	for (size_t i = 0; i < n; i++) {
		const struct learn_asked *a = &rq[i].asked;
		const char *path = a->is_many ? a->template : a->path;

		if (n_out && strcmp(out[n_out - 1].path, path) == 0) {
			learn_seen_add(&out[n_out - 1].seen, &a->seen);
			continue;
		}
		out[n_out++] =
			(struct learn_path){ .path = path, .is_many = a->is_many, .seen = a->seen };
	}
	return n_out;
}

/* The rules for one method: @n requests. */
static int add_method(struct learn *l, struct policy_doc *d, struct doc_endpoint *e,
	const struct request_seen *rq, size_t n, struct learn_evidence *v)
{
	struct learn_paths paths = { .list = arena_array(&l->arena, n, sizeof(*paths.list)) };
	const char *method = rq[0].asked.method;
	int r = paths.list ? 0 : -ENOMEM;

	if (r == 0) {
		paths.n = paths_of(rq, n, paths.list);
		r = learn_paths_generalise(&l->arena, &paths);
	}
	for (size_t i = 0; r == 0 && i < paths.n; i++) {
		struct doc_rule rule = { .head.is_set = true };

		if (is_implied(e, method, paths.list[i].path))
			continue;
		rule.method = policy_doc_string(d, method);
		rule.path = policy_doc_string(d, paths.list[i].path);
		r = rule.method.text && rule.path.text ? endpoint_add_rule(d, e, &rule) : -ENOMEM;
		if (r == 0)
			r = learn_evidence_add(v, &paths.list[i]);
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

/* The endpoint for requests that are judged by method and path; @n may be 0. */
static int rest_endpoint(struct learn *l, struct policy_doc *d, struct doc_endpoint *e,
	const struct request_seen *rq, size_t n, struct learn_evidence *v)
{
	int r = 0;

	if (n) {
		e->protocol.text = "rest";
		e->enforcement.text = "enforce";
	}
	for (size_t i = 0, k; r == 0 && i < n; i += k) {
		for (k = 1; i + k < n && strcmp(rq[i].asked.method, rq[i + k].asked.method) == 0;)
			k++;
		if (strcmp(rq[i].asked.method, "WEBSOCKET_TEXT") == 0)
			e->protocol.text = "websocket";
		r = add_method(l, d, e, &rq[i], k, v);
	}
	if (r == 0 && n)
		prefer_preset(e);
	return r;
}

/* The endpoint for operations at one path. */
static int operation_endpoint(struct learn *l, struct policy_doc *d, struct doc_endpoint *e,
	const struct request_seen *rq, size_t n, struct learn_evidence *v)
{
	auto_free struct learn_asked *asked = calloc(n, sizeof(*asked));

	if (!asked)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		asked[i] = rq[i].asked;
	return learn_operations(l, d, rq[0].spoken, asked, n, e, v);
}

/* How many of the requests, from the first on, belong into one endpoint. */
static size_t run_length(const struct request_seen *rq, size_t n)
{
	size_t k = 1;

	while (k < n && rq[k].spoken == rq[0].spoken &&
		(rq[0].spoken == LEARN_REST ||
			strcmp(rq[k].asked.template, rq[0].asked.template) == 0))
		k++;
	return k;
}

/* --- endpoints become rules --- */

/* An endpoint with everybody who used it in just this way. */
struct unit {
	struct doc_endpoint e;
	struct learn_evidence evidence;
	struct learn_seen seen;
	const struct learn_use **users; /* by binary; owned */
	size_t n_users;
	bool is_done;
};

struct units {
	struct unit *list; /* owned */
	size_t n, room;
};

static void units_done(struct units *u)
{
	for (size_t i = 0; i < u->n; i++) {
		evidence_done(&u->list[i].evidence);
		free(u->list[i].users);
	}
	free(u->list);
}

static int by_use(const void *a, const void *b)
{
	const struct learn_use *x = a, *y = b;
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

static void evidence_merge(struct learn_evidence *to, const struct learn_evidence *from)
{
	for (size_t i = 0; i < to->n && i < from->n; i++) {
		learn_seen_add(&to->list[i].seen, &from->list[i].seen);
		to->list[i].is_many |= from->list[i].is_many;
	}
}

/* gcc 12: the list owns it. */
ANALYZER_OFF("-Wanalyzer-malloc-leak")
/* One endpoint of a use; @n requests, 0 for one that is relayed. */
static int unit_take(struct learn *l, struct policy_doc *d, struct units *us,
	const struct learn_use *u, const struct request_seen *rq, size_t n)
{
	struct unit *unit, *same;
	const struct learn_use **users;
	int r;

	if (!learn_one_more(&us->list, us->n, &us->room, sizeof(*us->list)))
		return -ENOMEM;
	unit = &us->list[us->n];
	*unit = (struct unit){ .e = { .head.is_set = true,
				       .host = policy_doc_string(d, u->host) } };
	if (!n || rq[0].spoken == LEARN_REST)
		unit->seen = u->seen;
	if (!unit->e.host.text || !endpoint_set_ports(d, &unit->e, &u->port, 1))
		return -ENOMEM;
	r = n && rq[0].spoken != LEARN_REST
		    ? operation_endpoint(l, d, &unit->e, rq, n, &unit->evidence)
		    : rest_endpoint(l, d, &unit->e, rq, n, &unit->evidence);
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
	users = r == 0 ? reallocarray(unit->users, unit->n_users + 1, sizeof(struct learn_use *))
		       : NULL;
	if (!users)
		return r < 0 ? r : -ENOMEM;
	users[unit->n_users++] = u;
	unit->users = users;
	return 0;
}
ANALYZER_ON

static int use_take(
	struct learn *l, struct policy_doc *d, struct units *us, const struct learn_use *u)
{
	size_t n = 0;
	auto_free struct request_seen *rq = requests_of(l, u, &n);
	int r = rq ? 0 : -ENOMEM;

	if (r == 0 && !n)
		return unit_take(l, d, us, u, NULL, 0);
	for (size_t i = 0, k; r == 0 && i < n; i += k) {
		k = run_length(&rq[i], n - i);
		r = unit_take(l, d, us, u, &rq[i], k);
	}
	return r;
}

static bool same_binaries(const struct unit *a, const struct unit *b)
{
	if (a->n_users != b->n_users)
		return false;
	for (size_t i = 0; i < a->n_users; i++)
		if (strcmp(a->users[i]->binary, b->users[i]->binary) != 0)
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
	const char *base = strrchr(u->users[0]->binary, '/');
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
	return learn_keep(l, key);
}

static int rule_binaries(struct policy_doc *d, struct doc_network_policy *p, const struct unit *u)
{
	struct doc_binary *list = policy_doc_grow(d, NULL, 0, u->n_users * sizeof(*list));

	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < u->n_users; i++) {
		list[i].head.is_set = true;
		list[i].path = policy_doc_string(d, u->users[i]->binary);
		if (!list[i].path.text)
			return -ENOMEM;
	}
	p->binaries = (struct doc_binaries){ .list = list, .n = u->n_users, .is_set = true };
	return 0;
}

/* "curl", "curl (connect_to_host in libcurl.so.4 and others)". */
static int put_user(struct buf *b, const struct learn_use *u)
{
	const char *slash = strrchr(u->binary, '/');
	const char *name = slash ? slash + 1 : u->binary;
	int r = str_escape(b, name, strlen(name));

	if (r < 0 || !u->asker)
		return r;
	return buf_printf(b, " (%s%s)", u->asker, u->has_more_askers ? " and others" : "");
}

/* "curl, node and 3 more": who used it, in one line of a comment. */
static const char *users_of(struct learn *l, const struct unit *u)
{
	auto_buf struct buf b = { 0 };
	size_t shown = u->n_users < LEARN_USERS_SHOWN ? u->n_users : LEARN_USERS_SHOWN;
	int r = 0;

	buf_init(&b, LEARN_USERS_SHOWN * LEARN_PROGRAM_MAX);
	for (size_t i = 0; r == 0 && i < shown; i++) {
		r = i ? buf_puts(&b, ", ") : 0;
		if (r == 0)
			r = put_user(&b, u->users[i]);
	}
	if (r == 0 && u->n_users > shown)
		r = buf_printf(&b, " and %zu more", u->n_users - shown);
	return r == -ENOMEM || !buf_cstr(&b) ? NULL : learn_keep(l, buf_cstr(&b));
}

static int comment_endpoint(struct learn *l, const struct doc_endpoint *e, const struct unit *u)
{
	bool is_http = e->protocol.text != NULL;
	const char *by = users_of(l, u);
	int r = 0;

	if (!by)
		return -ENOMEM;
	if (!e->rules.n)
		return learn_comment_add(l, &e->head,
			is_http ? "request" : "uninspected connection", by, false, &u->seen);
	for (size_t i = 0; r == 0 && i < e->rules.n; i++)
		r = learn_comment_add(l, &e->rules.list[i].head, "request", by,
			u->evidence.list[i].is_many, &u->evidence.list[i].seen);
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
	auto_free struct learn_use *uses = calloc(l->n_uses + 1, sizeof(*uses));
	int r = uses ? learn_spoken_prepare(l) : -ENOMEM;

	if (r < 0)
		return r;
	if (l->n_uses)
		memcpy(uses, l->uses, l->n_uses * sizeof(*uses));
	qsort(uses, l->n_uses, sizeof(*uses), by_use);
	for (size_t i = 0; r == 0 && i < l->n_uses; i++)
		r = use_take(l, d, &us, &uses[i]);
	for (size_t i = 0; r == 0 && i < us.n; i++)
		if (!us.list[i].is_done)
			r = rule_of(l, d, &us, i);
	if (r == 0)
		learn_comments_sort(l);
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
