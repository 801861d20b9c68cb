/*
 * Endpoints that contradict each other: openshell-upstream.md section 2.8.
 *
 * Two endpoints that can match the same connection must agree on how it is carried; two that can
 * match the same request with paths equally specific must agree on how it is read. Pairs are found
 * through the index: an endpoint is compared with those under the suffixes of its own host, which
 * is where everything that overlaps it and is not more specific stands.
 */
#include <stdarg.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/policy_check.h"
#include "lib/str.h"

/* Comparisons in one policy; a policy that needs more is refused, see too_many(). */
enum { OVERLAP_PAIRS_MAX = 4 * 1000 * 1000, OVERLAP_REPORTS_MAX = 50 };

struct side {
	const struct endpoint *e;
	const struct doc_endpoint *doc;
};

struct overlap {
	const struct policy *p;
	const struct doc_network_policies *docs;
	struct policy_findings *f;
	size_t pairs, reports;
	bool is_exhausted;
};

static const struct doc_endpoint *doc_of(const struct overlap *o, const struct endpoint *e)
{
	return &o->docs->list[e->group->doc_index].endpoints.list[e->number];
}

static const char *text_of(const struct doc_str *s)
{
	return s->text ? s->text : "";
}

/* --- one pair --- */

struct difference {
	char text[512];
};

static void __attribute__((format(printf, 4, 5)))
differ(struct difference *d, bool differs, const char *field, const char *fmt, ...)
{
	size_t at = strlen(d->text);
	char values[160];
	va_list ap;

	if (!differs)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(values, sizeof(values), fmt, ap);
	va_end(ap);
	(void)snprintf(
		d->text + at, sizeof(d->text) - at, "%s%s=%s", at ? "; " : "", field, values);
}

static bool same_ips(const struct endpoint *a, const struct endpoint *b)
{
	for (size_t i = 0; i < a->n_allowed_ips; i++) {
		bool found = false;

		for (size_t j = 0; j < b->n_allowed_ips && !found; j++)
			found = a->allowed_ips[i].bits == b->allowed_ips[j].bits &&
				netaddr_equal(&a->allowed_ips[i].addr, &b->allowed_ips[j].addr);
		if (!found)
			return false;
	}
	return true;
}

static void compare_carriage(const struct side *x, const struct side *y, struct difference *d)
{
	const struct endpoint *a = x->e, *b = y->e;
	bool ta = a->protocol == PROTOCOL_TCP, tb = b->protocol == PROTOCOL_TCP;

	differ(d, ta != tb, "protocol", "%s vs %s", ta ? "tcp" : "not tcp", tb ? "tcp" : "not tcp");
	differ(d, a->tls_skip != b->tls_skip, "tls", "%s vs %s", a->tls_skip ? "skip" : "auto",
		b->tls_skip ? "skip" : "auto");
	differ(d, !same_ips(a, b) || !same_ips(b, a), "allowed_ips", "different sets");
}

static const char *yes(bool b)
{
	return b ? "true" : "false";
}

static void compare_str(
	struct difference *d, const char *field, const struct doc_str *a, const struct doc_str *b)
{
	differ(d, strcmp(text_of(a), text_of(b)) != 0, field, "'%.40s' vs '%.40s'", text_of(a),
		text_of(b));
}

static void compare_bool(struct difference *d, const char *field, bool a, bool b)
{
	differ(d, a != b, field, "%s vs %s", yes(a), yes(b));
}

static int64_t graphql_limit(const struct doc_endpoint *e)
{
	return e->graphql_max_body_bytes.is_set ? e->graphql_max_body_bytes.value
						: POLICY_BODY_DEFAULT;
}

static void compare_reading(const struct side *x, const struct side *y, struct difference *d)
{
	const struct endpoint *a = x->e, *b = y->e;
	const struct doc_endpoint *da = x->doc, *db = y->doc;

	differ(d, a->protocol != b->protocol, "protocol", "%s vs %s",
		policy_protocol_name(a->protocol), policy_protocol_name(b->protocol));
	differ(d, a->is_enforcing != b->is_enforcing, "enforcement", "%s vs %s",
		a->is_enforcing ? "enforce" : "audit", b->is_enforcing ? "enforce" : "audit");
	compare_bool(d, "allow_encoded_slash", a->allow_encoded_slash, b->allow_encoded_slash);
	compare_bool(d, "websocket_credential_rewrite", da->websocket_credential_rewrite.value,
		db->websocket_credential_rewrite.value);
	compare_bool(d, "request_body_credential_rewrite",
		da->request_body_credential_rewrite.value,
		db->request_body_credential_rewrite.value);
	compare_bool(d, "websocket_graphql_policy", a->websocket_graphql, b->websocket_graphql);
	compare_str(d, "credential_signing", &da->credential_signing, &db->credential_signing);
	compare_str(d, "signing_service", &da->signing_service, &db->signing_service);
	compare_str(d, "signing_region", &da->signing_region, &db->signing_region);
	compare_str(d, "credential_binding.provider", &da->credential_binding.provider,
		&db->credential_binding.provider);
	if (a->protocol == b->protocol) {
		differ(d, a->body_max != b->body_max, "max_body_bytes", "%zu vs %zu", a->body_max,
			b->body_max);
		differ(d, graphql_limit(da) != graphql_limit(db), "graphql_max_body_bytes",
			"%lld vs %lld", (long long)graphql_limit(da), (long long)graphql_limit(db));
		compare_bool(d, "mcp.strict_tool_names", a->mcp_strict_tool_names,
			b->mcp_strict_tool_names);
	}
}

static bool hosts_overlap(const struct endpoint *a, const struct endpoint *b)
{
	if (!a->host[0] || !b->host[0])
		return a->host[0] == b->host[0];
	if (a->host_glob && b->host_glob)
		return glob_overlaps(a->host_glob, b->host_glob) != 0;
	if (a->host_glob)
		return glob_match(a->host_glob, b->host, strlen(b->host));
	if (b->host_glob)
		return glob_match(b->host_glob, a->host, strlen(a->host));
	return strcmp(a->host, b->host) == 0;
}

static bool paths_compete(const struct endpoint *a, const struct endpoint *b)
{
	if (a->specificity != b->specificity)
		return false;
	return !a->path_select || !b->path_select ||
	       glob_overlaps(a->path_select, b->path_select) != 0;
}

/* A plain layer 4 endpoint beside an inspected one is fine: it says nothing about requests. */
static bool is_inspected(const struct side *s)
{
	const struct doc_endpoint *d = s->doc;

	return policy_protocol_is_http(s->e->protocol) || s->e->protocol == PROTOCOL_SQL ||
	       doc_has(&d->credential_signing) || d->credential_binding.head.is_set ||
	       d->websocket_credential_rewrite.value || d->request_body_credential_rewrite.value ||
	       d->allow_encoded_slash.value;
}

static void report(struct overlap *o, const struct side *a, const struct side *b, uint16_t port,
	const struct difference *d)
{
	const struct doc_path *path =
		PATH_INDEX(PATH_KEY(PATH_KEY(PATH_KEY(NULL, "network_policies"), b->e->group->key),
				   "endpoints"),
			(size_t)b->e->number);

	if (o->reports++ == OVERLAP_REPORTS_MAX)
		o->is_exhausted = true;
	if (o->is_exhausted)
		return;
	bad(o->f, b->doc->head.pos, path,
		"network policies '%s' endpoint[%d] (%s%s) and '%s' endpoint[%d] (%s%s) overlap on "
		"port(s) %u with conflicting metadata: %s",
		a->e->group->key, a->e->number, a->e->host, a->e->path, b->e->group->key,
		b->e->number, b->e->host, b->e->path, port, d->text);
}

static bool is_before(const struct endpoint *x, const struct endpoint *y)
{
	return x->group != y->group ? x->group < y->group : x->number < y->number;
}

static void compare(
	struct overlap *o, const struct endpoint *one, const struct endpoint *other, uint16_t port)
{
	const struct endpoint *x = is_before(one, other) ? one : other, *y = x == one ? other : one;
	struct side a = { x, doc_of(o, x) }, b = { y, doc_of(o, y) };
	struct difference d = { "" };

	compare_carriage(&a, &b, &d);
	if (is_inspected(&a) && is_inspected(&b))
		compare_reading(&a, &b, &d);
	if (!d.text[0] || !hosts_overlap(x, y))
		return;
	/* what only concerns reading matters where the same request can reach both */
	d.text[0] = '\0';
	compare_carriage(&a, &b, &d);
	if (is_inspected(&a) && is_inspected(&b) && paths_compete(x, y))
		compare_reading(&a, &b, &d);
	if (d.text[0])
		report(o, &a, &b, port, &d);
}

/* --- all pairs --- */

static bool spend(struct overlap *o)
{
	if (o->is_exhausted)
		return false;
	if (++o->pairs <= OVERLAP_PAIRS_MAX)
		return true;
	o->is_exhausted = true;
	bad(o->f, (struct yaml_pos){ 0 }, PATH_KEY(NULL, "network_policies"),
		"too many endpoints share hosts and ports to be compared with each other");
	return false;
}

/*
 * Ten thousand endpoints that agree need no pairs: it is enough that each agrees with the first,
 * and each inspected one with the first of those.
 */
struct agreement {
	const struct endpoint *first, *first_inspected;
};

static bool agrees(struct overlap *o, struct agreement *with, const struct endpoint *e)
{
	struct side side = { e, doc_of(o, e) }, other;
	struct difference d = { "" };

	if (with->first) {
		other = (struct side){ with->first, doc_of(o, with->first) };
		compare_carriage(&other, &side, &d);
	} else {
		with->first = e;
	}
	if (with->first_inspected && is_inspected(&side)) {
		other = (struct side){ with->first_inspected, doc_of(o, with->first_inspected) };
		compare_reading(&other, &side, &d);
	} else if (is_inspected(&side)) {
		with->first_inspected = e;
	}
	return !d.text[0];
}

static bool all_agree(
	struct overlap *o, struct agreement *with, const struct endpoint **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!agrees(o, with, list[i]))
			return false;
	return true;
}

static void compare_within(struct overlap *o, const struct endpoint **list, size_t n, uint16_t port)
{
	struct agreement with = { 0 };

	if (n < 2 || all_agree(o, &with, list, n))
		return;
	for (size_t i = 1; i < n; i++)
		for (size_t j = 0; j < i && spend(o); j++)
			compare(o, list[j], list[i], port);
}

static void compare_across(struct overlap *o, const struct endpoint **xs, size_t nx,
	const struct endpoint **ys, size_t ny, uint16_t port)
{
	struct agreement with = { 0 };

	if (!nx || !ny || (all_agree(o, &with, xs, nx) && all_agree(o, &with, ys, ny)))
		return;
	for (size_t i = 0; i < nx; i++)
		for (size_t j = 0; j < ny && spend(o); j++)
			compare(o, ys[j], xs[i], port);
}

/* What stands under shorter suffixes of @b's: wildcards that may cover it. */
static void compare_above(struct overlap *o, const struct bucket *b)
{
	const char *suffix = b->suffix;

	while (suffix[0] && !o->is_exhausted) {
		const char *dot = strchr(suffix, '.');
		const struct bucket *above;

		suffix = dot ? dot + 1 : suffix + strlen(suffix);
		above = policy_index_find(o->p, suffix, b->port);
		if (!above)
			continue;
		compare_across(o, b->exact, b->n_exact, above->wild, above->n_wild, b->port);
		compare_across(o, b->wild, b->n_wild, above->wild, above->n_wild, b->port);
	}
}

void policy_check_overlaps(
	const struct policy *p, const struct policy_doc *doc, struct policy_findings *f)
{
	struct overlap o = { .p = p, .docs = &doc->network_policies, .f = f };

	for (size_t i = 0; i < p->n_buckets; i++) {
		const struct bucket *b = &p->buckets[i];

		if (!b->is_used || b->port == 0)
			continue;
		compare_within(&o, b->exact, b->n_exact, b->port);
		compare_within(&o, b->wild, b->n_wild, b->port);
		compare_across(&o, b->exact, b->n_exact, b->wild, b->n_wild, b->port);
		compare_above(&o, b);
	}
}
