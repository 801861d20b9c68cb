#include "lib/policy_diff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/glob.h"
#include "lib/policy_merge_endpoint.h"
#include "lib/policy_shape.h"
#include "lib/str.h"
#include "lib/strv.h"

enum { BUCKETS = 4096, LINE_MAX_BYTES = 64 * 1024 };

/* --- grants --- */

enum grant_kind {
	GRANT_REQUEST = 0, /* one kind of request */
	GRANT_AUDIT,	   /* every request; those outside the rules are only logged */
	GRANT_CONNECT,	   /* every byte: nothing is inspected */
	GRANT_REACH,	   /* addresses that are private */
	GRANT_DENY,	   /* requests that are refused whatever allows them: the less the more */
};

/* Bytes are not looked at only where no inspected endpoint stands in the same place. */
enum grant_shade {
	SHADE_NONE = 0,
	SHADE_PARTLY, /* some of what the patterns match is inspected: covers nothing surely */
	SHADE_WHOLLY, /* the same place is inspected: grants nothing */
};

struct grant {
	enum grant_kind kind;
	const char *policy, *binary, *host, *selector;
	uint16_t port;
	const struct doc_rule *rule; /* REQUEST, DENY */
	const char *ip;		     /* REACH */
	enum grant_shade shade;	     /* CONNECT */
	size_t next;		     /* in its bucket; index + 1, 0 ends */
};

/* Of one document. Grants with a wildcard host are in a list of their own. */
struct grants {
	struct grant *list; /* owned */
	size_t n, room;
	size_t buckets[BUCKETS];
	size_t wild;
	int r;
};

static void grants_done(struct grants *g)
{
	free(g->list);
}

static bool is_pattern(const char *s)
{
	return strpbrk(s, "*?[{") != NULL;
}

static size_t bucket_of(const char *host)
{
	uint32_t h = 2166136261u;

	for (; *host; host++)
		h = (h ^ ((unsigned char)*host | 0x20)) * 16777619u;
	return h % BUCKETS;
}

static void grants_add(struct grants *g, const struct grant *one)
{
	size_t *head = is_pattern(one->host) ? &g->wild : &g->buckets[bucket_of(one->host)];

	if (g->n == g->room) {
		size_t room = g->room ? 2 * g->room : 64;
		struct grant *bigger = reallocarray(g->list, room, sizeof(*bigger));

		if (!bigger) {
			g->r = -ENOMEM;
			return;
		}
		g->list = bigger;
		g->room = room;
	}
	g->list[g->n] = *one;
	g->list[g->n++].next = *head;
	*head = g->n;
}

static bool is_uninspected(const struct doc_endpoint *e)
{
	return !e->protocol.text || !e->protocol.text[0] || str_case_eq(e->protocol.text, "tcp") ||
	       str_eq(e->tls.text, "skip");
}

static bool is_audit(const struct doc_endpoint *e)
{
	return !str_eq(e->enforcement.text, "enforce") || str_case_eq(e->protocol.text, "sql");
}

/* The profile of MCP, which needs no rules. */
static const struct doc_rule any_mcp = { .head.is_set = true, .method.text = "*" };

static void take_rules(struct grants *g, const struct doc_endpoint *e, struct grant *one)
{
	const struct doc_rule *rules = NULL;
	int n = e->access.text && e->access.text[0] ? access_rules(e, &rules) : 0;

	for (int i = 0; i < n; i++) {
		one->rule = &rules[i];
		grants_add(g, one);
	}
	for (size_t i = 0; i < e->rules.n; i++) {
		one->rule = &e->rules.list[i].allow;
		grants_add(g, one);
	}
	if (e->mcp.allow_all_known_mcp_methods.value) {
		one->rule = &any_mcp;
		grants_add(g, one);
	}
	one->kind = GRANT_DENY;
	for (size_t i = 0; i < e->deny_rules.n; i++) {
		one->rule = &e->deny_rules.list[i];
		grants_add(g, one);
	}
}

/* What one binary gets from one port of an endpoint. */
static void take_endpoint(struct grants *g, const struct doc_endpoint *e, struct grant one)
{
	for (size_t i = 0; i < e->allowed_ips.n; i++) {
		one.kind = GRANT_REACH;
		one.ip = e->allowed_ips.list[i].text;
		grants_add(g, &one);
	}
	one.ip = NULL;
	one.kind = is_uninspected(e) ? GRANT_CONNECT : is_audit(e) ? GRANT_AUDIT : GRANT_REQUEST;
	if (one.kind == GRANT_REQUEST)
		take_rules(g, e, &one);
	else
		grants_add(g, &one);
}

static void take_policy(struct grants *g, const struct doc_network_policy *p)
{
	struct grant one = { .policy = p->name.text ? p->name.text : p->head.key.text };

	for (size_t b = 0; b < p->binaries.n; b++) {
		one.binary = p->binaries.list[b].path.text;
		for (size_t i = 0; i < p->endpoints.n; i++) {
			const struct doc_endpoint *e = &p->endpoints.list[i];

			one.host = e->host.text ? e->host.text : "*";
			one.selector = endpoint_path(e);
			for (size_t j = 0; j < endpoint_ports(e); j++) {
				one.port = endpoint_port(e, j);
				take_endpoint(g, e, one);
			}
		}
	}
}

/* --- covering --- */

/* The pattern @wide surely matches whatever @narrow does. */
static bool pattern_covers(const char *wide, const char *narrow, enum glob_flavour flavour)
{
	auto_glob struct glob *g = NULL;
	const char *why;

	if (str_case_eq(wide, narrow))
		return flavour == GLOB_HOST || strcmp(wide, narrow) == 0;
	if (!is_pattern(wide) || is_pattern(narrow))
		return false;
	return glob_compile(wide, flavour, &g, &why) == 0 && glob_match(g, narrow, strlen(narrow));
}

static bool path_covers(const char *wide, const char *narrow)
{
	size_t n = strlen(wide);

	if (strcmp(wide, "**") == 0 || strcmp(wide, "/**") == 0)
		return true;
	if (n > 3 && str_ends(wide, "/**") && strncmp(wide, narrow, n - 2) == 0 &&
		strcspn(wide, "*?[{") == n - 2)
		return true;
	return pattern_covers(wide, narrow, GLOB_PATH);
}

static bool text_covers(
	const char *wide, const char *narrow, bool (*covers)(const char *, const char *))
{
	if (!wide || !narrow)
		return wide == narrow;
	return covers(wide, narrow);
}

static bool method_covers(const char *wide, const char *narrow)
{
	return strcmp(wide, "*") == 0 || str_case_eq(wide, narrow) ||
	       (str_case_eq(wide, "GET") && str_case_eq(narrow, "HEAD"));
}

/* Beyond method and path, a rule asks for no more than the other does. */
static bool rule_covers(const struct doc_rule *wide, const struct doc_rule *narrow)
{
	for (const struct doc_field *f = doc_rule_shape.fields; f->name; f++) {
		const void *x = (const char *)wide + f->offset;
		const void *y = (const char *)narrow + f->offset;
		bool is_any = f->offset == offsetof(struct doc_rule, operation_type) &&
			      str_eq(wide->operation_type.text, "*") && narrow->operation_type.text;

		if (f->offset == offsetof(struct doc_rule, method) ||
			f->offset == offsetof(struct doc_rule, path) || is_any)
			continue;
		if (doc_field_is_set(f, x) && !doc_field_equal(f, x, y))
			return false;
	}
	return text_covers(wide->method.text, narrow->method.text, method_covers) &&
	       text_covers(wide->path.text, narrow->path.text, path_covers);
}

static bool kind_covers(const struct grant *wide, const struct grant *narrow)
{
	if (wide->kind == GRANT_REACH || narrow->kind == GRANT_REACH)
		return wide->kind == narrow->kind && str_eq(wide->ip, narrow->ip);
	if (wide->kind == GRANT_DENY || narrow->kind == GRANT_DENY)
		return wide->kind == narrow->kind && rule_covers(wide->rule, narrow->rule);
	if (wide->kind == GRANT_REQUEST && narrow->kind == GRANT_REQUEST)
		return rule_covers(wide->rule, narrow->rule);
	return wide->kind >= narrow->kind;
}

/* Same program, host and port: @wide is about whatever @narrow is about. */
static bool place_covers(const struct grant *wide, const struct grant *narrow)
{
	return wide->port == narrow->port && pattern_covers(wide->host, narrow->host, GLOB_HOST) &&
	       pattern_covers(wide->binary, narrow->binary, GLOB_PATH) &&
	       (!wide->selector[0] || strcmp(wide->selector, narrow->selector) == 0);
}

static bool grant_covers(const struct grant *wide, const struct grant *narrow)
{
	return wide->shade == SHADE_NONE && place_covers(wide, narrow) && kind_covers(wide, narrow);
}

/* @wide allows requests where @narrow denies some. */
static bool allows_there(const struct grant *wide, const struct grant *narrow)
{
	return wide->kind <= GRANT_CONNECT && place_covers(wide, narrow);
}

typedef bool grant_relation(const struct grant *wide, const struct grant *narrow);

static bool chain_has(
	const struct grants *g, size_t at, const struct grant *narrow, grant_relation *holds)
{
	for (; at; at = g->list[at - 1].next)
		if (holds(&g->list[at - 1], narrow))
			return true;
	return false;
}

static bool grants_have(const struct grants *g, const struct grant *one, grant_relation *holds)
{
	return chain_has(g, g->wild, one, holds) ||
	       (!is_pattern(one->host) &&
		       chain_has(g, g->buckets[bucket_of(one->host)], one, holds));
}

static bool may_overlap(const char *a, const char *b, enum glob_flavour flavour)
{
	return pattern_covers(a, b, flavour) || pattern_covers(b, a, flavour) ||
	       (is_pattern(a) && is_pattern(b));
}

static enum grant_shade shade_by(const struct grant *c, const struct grant *inspected)
{
	if (inspected->kind > GRANT_AUDIT || inspected->port != c->port ||
		!may_overlap(inspected->host, c->host, GLOB_HOST) ||
		!may_overlap(inspected->binary, c->binary, GLOB_PATH))
		return SHADE_NONE;
	return str_case_eq(inspected->host, c->host) && str_eq(inspected->binary, c->binary) &&
			       !inspected->selector[0]
		       ? SHADE_WHOLLY
		       : SHADE_PARTLY;
}

static void shade_by_chain(const struct grants *g, size_t at, struct grant *c)
{
	for (; at; at = g->list[at - 1].next) {
		enum grant_shade shade = shade_by(c, &g->list[at - 1]);

		c->shade = shade > c->shade ? shade : c->shade;
	}
}

static void shade(struct grants *g, struct grant *c)
{
	if (c->kind != GRANT_CONNECT)
		return;
	shade_by_chain(g, g->wild, c);
	if (!is_pattern(c->host))
		shade_by_chain(g, g->buckets[bucket_of(c->host)], c);
	for (size_t i = 0; i < BUCKETS && is_pattern(c->host); i++)
		shade_by_chain(g, g->buckets[i], c);
}

static void grants_take(struct grants *g, const struct policy_doc *d)
{
	for (size_t i = 0; i < d->network_policies.n; i++)
		take_policy(g, &d->network_policies.list[i]);
	for (size_t i = 0; i < g->n; i++)
		shade(g, &g->list[i]);
}

static bool is_missing(const struct grants *in, const struct grant *one)
{
	return one->shade != SHADE_WHOLLY && !grants_have(in, one, grant_covers) &&
	       (one->kind != GRANT_DENY || grants_have(in, one, allows_there));
}

/* --- words --- */

struct words {
	struct buf out;
	int r;
};

static void say(struct words *w, const char *s)
{
	if (w->r == 0)
		w->r = str_escape(&w->out, s, strlen(s));
}

static void say_matcher(struct words *w, const struct doc_matcher *m)
{
	for (size_t i = 0; i < m->values.n; i++) {
		say(w, i ? " or " : "");
		say(w, m->values.list[i].text);
	}
}

static void say_matchers(struct words *w, const char *before, const struct doc_matchers *l)
{
	for (size_t i = 0; i < l->n; i++) {
		say(w, i ? ", " : before);
		say(w, l->list[i].head.key.text);
		say(w, "=");
		say_matcher(w, &l->list[i]);
	}
}

static void say_if(struct words *w, const char *before, const struct doc_str *s)
{
	if (!s->text)
		return;
	say(w, before);
	say(w, s->text);
}

/* What narrows a rule beyond method and path. */
static void say_details(struct words *w, const struct doc_rule *r)
{
	say_if(w, " command ", &r->command);
	say_if(w, " ", &r->operation_type);
	say_if(w, " named ", &r->operation_name);
	for (size_t i = 0; i < r->fields.n; i++) {
		say(w, i ? ", " : " of ");
		say(w, r->fields.list[i].text);
	}
	if (r->tool.head.is_set)
		say(w, " with tool ");
	say_matcher(w, &r->tool);
	say_matchers(w, " with params.", &r->params);
	say_matchers(w, " with query ", &r->query);
}

static bool same_but_method(const struct grant *a, const struct grant *b)
{
	struct doc_rule x, y;

	if (a->kind != b->kind || !a->rule || !b->rule || a->port != b->port ||
		strcmp(a->host, b->host) != 0 || strcmp(a->binary, b->binary) != 0 ||
		strcmp(a->selector, b->selector) != 0 || strcmp(a->policy, b->policy) != 0)
		return false;
	x = *a->rule;
	y = *b->rule;
	x.method = y.method = (struct doc_str){ 0 };
	return doc_equal(&doc_rule_shape, &x, &y);
}

/* The first of @n grants that differ in their method at most. */
static void say_what(struct words *w, const struct grant *const *g, size_t n)
{
	const struct doc_rule *r = g[0]->rule;

	for (size_t i = 0; i < n; i++) {
		const char *method = g[i]->rule->method.text;

		say(w, i ? ", " : "");
		say(w, method ? strcmp(method, "*") == 0 ? "use any method" : method : "ask for");
	}
	if (r->path.text)
		say(w, path_covers(r->path.text, "/") && is_pattern(r->path.text) ? " (any path)"
										  : " ");
	if (r->path.text && !(path_covers(r->path.text, "/") && is_pattern(r->path.text)))
		say(w, r->path.text);
	say_details(w, r);
}

static void say_where(struct words *w, const char *preposition, const struct grant *g)
{
	char port[8];

	(void)str_format(port, sizeof(port), ":%u", g->port);
	say(w, preposition);
	say(w, g->host);
	say(w, port);
	if (g->selector[0]) {
		say(w, " below ");
		say(w, g->selector);
	}
}

static void say_grants(struct words *w, const struct grant *const *g, size_t n)
{
	say(w, g[0]->binary);
	switch (g[0]->kind) {
	case GRANT_CONNECT:
		say_where(w, " may talk to ", g[0]);
		say(w, ", uninspected");
		break;
	case GRANT_AUDIT:
		say_where(w, " may send any request to ", g[0]);
		say(w, " (audit: what no rule allows is only logged)");
		break;
	case GRANT_REACH:
		say(w, " may reach private addresses in ");
		say(w, g[0]->ip);
		say_where(w, " as ", g[0]);
		break;
	case GRANT_REQUEST:
	case GRANT_DENY:
		say(w, g[0]->kind == GRANT_DENY ? " may, as no rule denies it, " : " may ");
		say_what(w, g, n);
		say_where(w, " at ", g[0]);
		break;
	}
	say(w, " [");
	say(w, g[0]->policy);
	say(w, "]");
}

static int push(char ***list, struct words *w)
{
	const char *line = w->r == 0 ? buf_cstr(&w->out) : NULL;
	int r = w->r < 0 ? w->r : line ? strv_push(list, line) : -ENOMEM;

	buf_reset(&w->out);
	w->r = 0;
	return r;
}

/* --- comparing --- */

/*
 * The grants of @of that @in does not cover, as lines. A deny rule works the other way round: one
 * that @of has and @in does not is what @in allows and @of does not, if @in allows anything there.
 */
static int uncovered(const struct grants *of, const struct grants *in, bool denies, char ***ret)
{
	auto_free const struct grant **found = calloc(of->n + 1, sizeof(*found));
	struct words w = { 0 };
	size_t n = 0;
	int r = 0;

	if (!found)
		return -ENOMEM;
	for (size_t i = 0; i < of->n; i++)
		if ((of->list[i].kind == GRANT_DENY) == denies && is_missing(in, &of->list[i]))
			found[n++] = &of->list[i];
	buf_init(&w.out, LINE_MAX_BYTES);
	for (size_t i = 0, k; r == 0 && i < n; i += k) {
		for (k = 1; i + k < n && same_but_method(found[i], found[i + k]);)
			k++;
		say_grants(&w, &found[i], k);
		r = push(ret, &w);
	}
	buf_done(&w.out);
	return r;
}

static bool has_path(const struct doc_strs *l, const char *path)
{
	for (size_t i = 0; i < l->n; i++)
		if (str_eq(l->list[i].text, path))
			return true;
	return false;
}

static int say_paths(
	const struct doc_strs *of, const struct doc_strs *not_in, const char *verb, char ***ret)
{
	struct words w = { 0 };
	int r = 0;

	buf_init(&w.out, LINE_MAX_BYTES);
	for (size_t i = 0; r == 0 && i < of->n; i++) {
		if (has_path(not_in, of->list[i].text))
			continue;
		say(&w, verb);
		say(&w, of->list[i].text);
		r = push(ret, &w);
	}
	buf_done(&w.out);
	return r;
}

static int files(const struct doc_filesystem *of, const struct doc_filesystem *in, char ***ret)
{
	int r = say_paths(&of->read_write, &in->read_write, "every program may write ", ret);

	if (r == 0)
		r = say_paths(&of->read_only, &in->read_only, "every program may read ", ret);
	if (r == 0 && of->include_workdir.value && !in->include_workdir.value)
		r = strv_push(ret, "every program may write the working directory");
	return r;
}

static int changed_section(
	const struct policy_doc *a, const struct policy_doc *b, const char *name, char ***ret)
{
	const struct doc_field *f = policy_doc_shape.fields;
	char line[128];

	while (f->name && strcmp(f->name, name) != 0)
		f++;
	if (doc_field_equal(f, (const char *)a + f->offset, (const char *)b + f->offset))
		return 0;
	(void)str_format(line, sizeof(line), "%s is not the same", name);
	return strv_push(ret, line);
}

static int changed(const struct policy_doc *a, const struct policy_doc *b, char ***ret)
{
	int r = changed_section(a, b, "landlock", ret);

	if (r == 0)
		r = changed_section(a, b, "process", ret);
	return r < 0 ? r : changed_section(a, b, "network_middlewares", ret);
}

void policy_diff_done(struct policy_diff *d)
{
	strv_free(d->gained);
	strv_free(d->lost);
	strv_free(d->changed);
	*d = (struct policy_diff){ 0 };
}

int policy_diff(const struct policy_doc *a, const struct policy_doc *b, struct policy_diff *ret)
{
	__attribute__((cleanup(grants_done))) struct grants x = { 0 }, y = { 0 };
	auto_policy_diff struct policy_diff d = { 0 };
	int r;

	grants_take(&x, a);
	grants_take(&y, b);
	r = x.r < 0 ? x.r : y.r;
	if (r == 0)
		r = files(&b->filesystem_policy, &a->filesystem_policy, &d.gained);
	if (r == 0)
		r = files(&a->filesystem_policy, &b->filesystem_policy, &d.lost);
	if (r == 0)
		r = uncovered(&y, &x, false, &d.gained);
	if (r == 0)
		r = uncovered(&x, &y, true, &d.gained);
	if (r == 0)
		r = uncovered(&x, &y, false, &d.lost);
	if (r == 0)
		r = uncovered(&y, &x, true, &d.lost);
	if (r == 0)
		r = changed(a, b, &d.changed);
	if (r < 0)
		return r;
	*ret = d;
	d = (struct policy_diff){ 0 };
	return 0;
}
