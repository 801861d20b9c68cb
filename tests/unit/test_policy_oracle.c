/*
 * The compiled decision against an obvious one: for every question, look at every rule of every
 * endpoint of every policy as it was written. A million random questions to random policies.
 */
#include "unit/policy_test.h"

#include "lib/cleanup.h"
#include "unit/slow_glob.h"

enum { POLICIES = 5000, QUESTIONS = 200, GROUPS_MAX = 24, ENDPOINTS_MAX = 3, RULES_MAX = 3 };

static uint64_t seed = 0x2545f4914f6cdd1du;

static unsigned int draw(unsigned int n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned int)(seed >> 33) % n;
}

#define PICK(list) (list)[draw(ARRAY_SIZE(list))]

static const char *const host_patterns[] = { "a.test.com", "b.test.com", "x.a.test.com",
	"*.test.com", "**.test.com", "*.a.test.com", "a*.test.com", "*.*.test.com", "*-x.test.com",
	"a-*.test.com", "a.test.com", "a.test.com", "a.test.com", "other.org" };
static const char *const hosts[] = { "a.test.com", "b.test.com", "x.a.test.com", "y.a.test.com",
	"test.com", "a.b.c.test.com", "ab.test.com", "a-x.test.com", "other.org", "nowhere.net" };
static const char *const binary_patterns[] = { "/usr/bin/curl", "/usr/bin/git", "/usr/bin/*",
	"/opt/**", "/opt/x" };
static const char *const binaries[] = { "/usr/bin/curl", "/usr/bin/git", "/opt/x", "/opt/y/z",
	"/bin/sh" };
static const char *const endpoint_paths[] = { "", "", "", "/**", "/v1/**", "/v1/a" };
static const char *const rule_methods[] = { "GET", "POST", "*", "HEAD" };
static const char *const methods[] = { "GET", "POST", "HEAD", "get", "PUT" };
static const char *const rule_paths[] = { "**", "/v1/**", "/v1/*", "/v1/a", "/**/b", "/v?/[ab]" };
static const char *const paths[] = { "/", "/v1/", "/v1/a", "/v1/a/b", "/v2/b", "/b" };
static const uint16_t ports[] = { 443, 80, 8443 };

struct slow_rule {
	const char *method, *path;
};

struct slow_endpoint {
	const char *host, *path;
	uint16_t ports[2];
	bool is_rest;
	struct slow_rule allow[RULES_MAX], deny[RULES_MAX];
	unsigned int n_allow, n_deny;
};

struct slow_group {
	char key[16];
	struct slow_endpoint endpoints[ENDPOINTS_MAX];
	const char *binaries[2];
	unsigned int n_endpoints, n_binaries;
};

struct slow_policy {
	struct slow_group groups[GROUPS_MAX];
	unsigned int n;
};

/* --- making one, twice --- */

static void make_rules(struct slow_rule *rules, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		rules[i] = (struct slow_rule){ PICK(rule_methods), PICK(rule_paths) };
}

static void make_endpoint(struct slow_endpoint *e)
{
	e->host = PICK(host_patterns);
	e->path = PICK(endpoint_paths);
	e->ports[0] = PICK(ports);
	e->ports[1] = PICK(ports);
	e->is_rest = draw(3) > 0;
	e->n_allow = 1 + draw(RULES_MAX);
	e->n_deny = draw(RULES_MAX);
	make_rules(e->allow, e->n_allow);
	make_rules(e->deny, e->n_deny);
}

static void make_policy(struct slow_policy *p)
{
	p->n = draw(GROUPS_MAX + 1);
	for (unsigned int i = 0; i < p->n; i++) {
		struct slow_group *g = &p->groups[i];

		/* the order of the keys is not that of the file */
		snprintf(g->key, sizeof(g->key), "p%u%u", draw(10), i);
		g->n_endpoints = 1 + draw(ENDPOINTS_MAX);
		for (unsigned int k = 0; k < g->n_endpoints; k++)
			make_endpoint(&g->endpoints[k]);
		g->n_binaries = draw(3);
		for (unsigned int k = 0; k < g->n_binaries; k++)
			g->binaries[k] = PICK(binary_patterns);
	}
}

static size_t write_rules(
	char *out, const char *name, bool is_allow, const struct slow_rule *rules, unsigned int n)
{
	size_t at = 0;

	if (n)
		at += (size_t)sprintf(out, "        %s:\n", name);
	for (unsigned int i = 0; i < n; i++)
		at += (size_t)sprintf(out + at, "        - %s{ method: '%s', path: '%s' }%s\n",
			is_allow ? "{ allow: " : "", rules[i].method, rules[i].path,
			is_allow ? " }" : "");
	return at;
}

static size_t write_endpoint(char *out, const struct slow_endpoint *e)
{
	size_t at = (size_t)sprintf(out, "      - host: '%s'\n        ports: [%u, %u]\n", e->host,
		e->ports[0], e->ports[1]);

	if (*e->path)
		at += (size_t)sprintf(out + at, "        path: '%s'\n", e->path);
	if (!e->is_rest)
		return at;
	at += (size_t)sprintf(out + at, "        protocol: rest\n        enforcement: enforce\n");
	at += write_rules(out + at, "rules", true, e->allow, e->n_allow);
	return at + write_rules(out + at, "deny_rules", false, e->deny, e->n_deny);
}

static void write_policy(char *out, const struct slow_policy *p)
{
	size_t at = (size_t)sprintf(out, "version: 1\n%s", p->n ? "network_policies:\n" : "");

	for (unsigned int i = 0; i < p->n; i++) {
		const struct slow_group *g = &p->groups[i];

		at += (size_t)sprintf(out + at, "  %s:\n    endpoints:\n", g->key);
		for (unsigned int k = 0; k < g->n_endpoints; k++)
			at += write_endpoint(out + at, &g->endpoints[k]);
		at += (size_t)sprintf(out + at, "    binaries:%s\n", g->n_binaries ? "" : " []");
		for (unsigned int k = 0; k < g->n_binaries; k++)
			at += (size_t)sprintf(out + at, "      - path: '%s'\n", g->binaries[k]);
	}
}

/* --- the obvious decision --- */

static bool slow_host(const char *pattern, const char *host)
{
	return strchr(pattern, '*') ? slow_match('.', pattern, host) : strcmp(pattern, host) == 0;
}

static bool slow_binary(const struct slow_group *g, const struct intent *in)
{
	for (unsigned int i = 0; i < g->n_binaries; i++) {
		const char *p = g->binaries[i];

		if (slow_match('/', p, in->binary) || slow_match('/', p, in->ancestors[0]))
			return true;
	}
	return false;
}

static bool slow_connects(
	const struct slow_group *g, const struct slow_endpoint *e, const struct intent *in)
{
	return slow_host(e->host, in->host) && slow_binary(g, in) &&
	       (e->ports[0] == in->port || e->ports[1] == in->port);
}

static bool same_method(const char *rule, const char *method)
{
	return strcmp(rule, "*") == 0 || strcasecmp(rule, method) == 0 ||
	       (strcmp(rule, "GET") == 0 && strcasecmp(method, "HEAD") == 0);
}

static bool slow_rules(const struct slow_rule *rules, unsigned int n, const struct request *r)
{
	for (unsigned int i = 0; i < n; i++)
		if (same_method(rules[i].method, r->method) &&
			slow_match('/', rules[i].path, r->path))
			return true;
	return false;
}

struct slow_answer {
	bool connects, allows, denies, is_selected;
	const char *key; /* the smallest that connects */
};

/* The selection of endpoint paths, by its definition for the patterns used here. */
static bool slow_select(const char *path, const char *text)
{
	size_t n = strlen(path);

	if (!n || strcmp(path, "/**") == 0)
		return true;
	if (strcmp(path, "/v1/**") == 0)
		return strncmp(text, "/v1", 3) == 0 && (text[3] == '\0' || text[3] == '/');
	return strcmp(path, text) == 0;
}

static struct slow_answer slow_decide(
	const struct slow_policy *p, const struct intent *in, const struct request *r)
{
	struct slow_answer a = { 0 };

	for (unsigned int i = 0; i < p->n; i++) {
		const struct slow_group *g = &p->groups[i];

		for (unsigned int k = 0; k < g->n_endpoints; k++) {
			const struct slow_endpoint *e = &g->endpoints[k];

			if (!slow_connects(g, e, in))
				continue;
			a.connects = true;
			if (!a.key || strcmp(g->key, a.key) < 0)
				a.key = g->key;
			a.is_selected |= e->is_rest && slow_select(e->path, r->path);
			if (!e->is_rest || (*e->path && !slow_match('/', e->path, r->path)))
				continue;
			a.allows |= slow_rules(e->allow, e->n_allow, r);
			a.denies |= slow_rules(e->deny, e->n_deny, r);
		}
	}
	return a;
}

static void compare(const struct slow_policy *slow, const struct policy *p, const char *text)
{
	const char *ancestors[] = { PICK(binaries), NULL };
	struct request r = { .method = PICK(methods), .path = PICK(paths) };
	struct intent in = { .host = PICK(hosts),
		.port = PICK(ports),
		.binary = PICK(binaries),
		.ancestors = ancestors };
	struct slow_answer a = slow_decide(slow, &in, &r);
	bool allows = a.connects && a.is_selected && a.allows && !a.denies;
	struct decision connection, request;

	policy_decide(p, &in, &connection);
	in.request = &r;
	policy_decide(p, &in, &request);
	if ((connection.verdict == VERDICT_ALLOW) == a.connects &&
		(!a.connects || strcmp(connection.policy_key, a.key) == 0) &&
		(request.verdict == VERDICT_ALLOW) == allows)
		return;
	fail_msg("%s\n%s:%u %s (%s) %s %s: %d %d, the slow one says %d %d", text, in.host, in.port,
		in.binary, ancestors[0], r.method, r.path, connection.verdict, request.verdict,
		a.connects, allows);
}

static void a_million_random_questions_are_answered_as_the_slow_decision_says(void **state)
{
	static char text[65536];

	(void)state;
	for (int i = 0; i < POLICIES; i++) {
		struct slow_policy slow = { .n = 0 };
		struct policy *p = NULL;

		make_policy(&slow);
		write_policy(text, &slow);
		assert_int_equal(policy_load_refused(text, strlen(text), &p, NULL), 0);
		for (int k = 0; k < QUESTIONS; k++)
			compare(&slow, p, text);
		policy_unref(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_million_random_questions_are_answered_as_the_slow_decision_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
