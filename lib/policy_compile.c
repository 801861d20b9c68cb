/*
 * Document → compiled policy. The document has been checked, so nothing here judges; what a check
 * would have refused (policy_load_refused()) compiles to something that allows nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/policy_impl.h"
#include "lib/str.h"

static void *p_alloc(struct policy *p, size_t n, size_t size)
{
	return arena_array(&p->arena, n, size);
}

static const char *p_copy(struct policy *p, const char *s)
{
	return arena_strndup(&p->arena, s, strlen(s));
}

/* A glob that the policy owns; NULL in @ret for text that is no pattern. */
static int p_glob(
	struct policy *p, const char *pattern, enum glob_flavour flavour, struct glob **ret)
{
	auto_glob struct glob *g = NULL;
	const char *why;
	int r;

	*ret = NULL;
	if (p->n_globs == p->alloc_globs) {
		size_t n = p->alloc_globs ? p->alloc_globs * 2 : 16;
		struct glob **grown = realloc(p->globs, n * sizeof(struct glob *));

		if (!grown)
			return -ENOMEM;
		p->globs = grown;
		p->alloc_globs = n;
	}
	r = glob_compile(pattern, flavour, &g, &why);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	*ret = g;
	p->globs[p->n_globs++] = take_ptr(g);
	return 0;
}

static int compile_strs(
	struct policy *p, const struct doc_strs *in, enum glob_flavour flavour, struct matcher *ret)
{
	struct glob **globs = p_alloc(p, in->n, sizeof(struct glob *));

	if (!globs)
		return -ENOMEM;
	for (size_t i = 0; i < in->n; i++) {
		int r = in->list[i].text ? p_glob(p, in->list[i].text, flavour, &globs[i]) : 0;

		if (r < 0)
			return r;
	}
	ret->globs = globs;
	ret->n = in->n;
	return 0;
}

static int compile_query(struct policy *p, const struct doc_matchers *in, struct rule *rule)
{
	rule->query = p_alloc(p, in->n, sizeof(*rule->query));
	if (!rule->query)
		return -ENOMEM;
	rule->n_query = in->n;
	for (size_t i = 0; i < in->n; i++) {
		int r = compile_strs(p, &in->list[i].values, GLOB_VALUE, &rule->query[i]);

		if (r < 0)
			return r;
		rule->query[i].key = p_copy(p, in->list[i].head.key.text);
		if (!rule->query[i].key)
			return -ENOMEM;
	}
	return 0;
}

static enum rule_type rule_type_parse(const char *text)
{
	static const struct {
		const char *name;
		enum rule_type type;
	} types[] = { { "*", RULE_TYPE_ANY }, { "query", RULE_TYPE_QUERY },
		{ "mutation", RULE_TYPE_MUTATION }, { "subscription", RULE_TYPE_SUBSCRIPTION } };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (strcmp(types[i].name, text) == 0)
			return types[i].type;
	return RULE_TYPE_NONE;
}

/* tool, or its long form params.name. */
static const struct doc_matcher *tool_of(const struct doc_rule *in)
{
	if (in->tool.head.is_set)
		return &in->tool;
	for (size_t i = 0; i < in->params.n; i++)
		if (strcmp(in->params.list[i].head.key.text, "name") == 0)
			return &in->params.list[i];
	return NULL;
}

static int compile_method(
	struct policy *p, const struct endpoint *e, const char *method, struct rule *rule)
{
	if (!method)
		return 0;
	rule->method = p_copy(p, method);
	if (!rule->method)
		return -ENOMEM;
	return e->protocol == PROTOCOL_MCP ? p_glob(p, method, GLOB_VALUE, &rule->method_glob) : 0;
}

static int compile_graphql(struct policy *p, const struct doc_rule *in, struct rule *rule)
{
	int r = 0;

	if (doc_has(&in->operation_type))
		rule->type = rule_type_parse(in->operation_type.text);
	if (doc_has(&in->operation_name))
		r = p_glob(p, in->operation_name.text, GLOB_VALUE, &rule->operation);
	return r ? r : compile_strs(p, &in->fields, GLOB_VALUE, &rule->fields);
}

static int compile_rule(struct policy *p, const struct endpoint *e, const struct doc_rule *in,
	size_t number, struct rule *rule)
{
	const struct doc_matcher *tool = tool_of(in);
	const char *method = doc_has(&in->method) ? in->method.text : NULL;
	int r;

	rule->number = (int)number;
	if (!method && tool)
		method = "tools/call";
	r = compile_method(p, e, method, rule);
	if (!r && doc_has(&in->path))
		r = p_glob(p, in->path.text, GLOB_PATH, &rule->path);
	if (!r)
		r = compile_query(p, &in->query, rule);
	if (!r)
		r = compile_graphql(p, in, rule);
	if (!r && tool)
		r = compile_strs(p, &tool->values, GLOB_VALUE, &rule->tool);
	return r;
}

/* --- access presets: openshell-upstream.md section 2.4 --- */

struct preset {
	const char *access;
	bool graphql;
	const char *methods[8]; /* for GraphQL: operation types */
};

static const struct preset presets[] = {
	{ "read-only", false, { "GET", "HEAD", "OPTIONS" } },
	{ "read-write", false, { "GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH" } },
	{ "full", false, { "*" } },
	{ "read-only", true, { "query" } },
	{ "read-write", true, { "query", "mutation" } },
	{ "full", true, { "*" } },
};
static const struct preset websocket_presets[] = {
	{ "read-only", false, { "GET" } },
	{ "read-write", false, { "GET", "WEBSOCKET_TEXT" } },
	{ "full", false, { "*" } },
};

static const struct preset *preset_find(enum policy_protocol protocol, const char *access)
{
	const struct preset *list = protocol == PROTOCOL_WEBSOCKET ? websocket_presets : presets;
	size_t n = protocol == PROTOCOL_WEBSOCKET ? ARRAY_SIZE(websocket_presets)
						  : ARRAY_SIZE(presets);

	if (protocol == PROTOCOL_JSON_RPC || protocol == PROTOCOL_MCP)
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (list[i].graphql == (protocol == PROTOCOL_GRAPHQL) &&
			strcmp(list[i].access, access) == 0)
			return &list[i];
	return NULL;
}

static int compile_preset(struct policy *p, const char *access, struct endpoint *e)
{
	const struct preset *preset = preset_find(e->protocol, access);
	size_t n = 0;

	if (!preset)
		return 0;
	while (n < ARRAY_SIZE(preset->methods) && preset->methods[n])
		n++;
	e->rules = p_alloc(p, n, sizeof(*e->rules));
	if (!e->rules)
		return -ENOMEM;
	e->n_rules = n;
	for (size_t i = 0; i < n; i++) {
		e->rules[i].number = -1;
		e->rules[i].any_path = true;
		if (preset->graphql)
			e->rules[i].type = rule_type_parse(preset->methods[i]);
		else
			e->rules[i].method = preset->methods[i];
	}
	return 0;
}

static int compile_allow(struct policy *p, const struct doc_endpoint *in, struct endpoint *e)
{
	if (doc_has(&in->access) && !in->rules.n)
		return compile_preset(p, in->access.text, e);
	e->rules = p_alloc(p, in->rules.n, sizeof(*e->rules));
	if (!e->rules)
		return -ENOMEM;
	for (size_t i = 0; i < in->rules.n; i++) {
		int r = 0;

		if (in->rules.list[i].allow.head.is_set)
			r = compile_rule(
				p, e, &in->rules.list[i].allow, i, &e->rules[e->n_rules++]);
		if (r < 0)
			return r;
	}
	return 0;
}

static int compile_deny(struct policy *p, const struct doc_endpoint *in, struct endpoint *e)
{
	e->deny_rules = p_alloc(p, in->deny_rules.n, sizeof(*e->deny_rules));
	if (!e->deny_rules)
		return -ENOMEM;
	e->n_deny = in->deny_rules.n;
	for (size_t i = 0; i < e->n_deny; i++) {
		int r = compile_rule(p, e, &in->deny_rules.list[i], i, &e->deny_rules[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

/* What the rules say together. */
static void summarize(struct endpoint *e)
{
	const struct {
		const struct rule *list;
		size_t n;
	} both[] = { { e->rules, e->n_rules }, { e->deny_rules, e->n_deny } };

	for (size_t k = 0; k < ARRAY_SIZE(both); k++) {
		for (size_t i = 0; i < both[k].n; i++) {
			const struct rule *r = &both[k].list[i];

			if (e->protocol == PROTOCOL_WEBSOCKET)
				e->websocket_graphql |= r->type != RULE_TYPE_NONE;
			if (k == 0 && r->tool.n)
				e->mcp_tools_narrowed = true;
		}
	}
}

/* --- the rest of an endpoint --- */

/*
 * An address in its one spelling; else lower case, without the root dot. A host that was written
 * stays one: nothing is left of "." but that, for an endpoint without a host is one for every host.
 */
static int compile_host(struct policy *p, const struct doc_endpoint *in, struct endpoint *e)
{
	const char *text = in->host.text ? in->host.text : "";
	size_t len = strlen(text);
	char addr[NETADDR_TEXT_MAX];
	char *host;

	e->is_ip = netaddr_parse_host(text, &e->ip) == 0;
	if (e->is_ip)
		text = netaddr_format(&e->ip, addr, sizeof(addr));
	else if (len > 1 && text[len - 1] == '.')
		len--;
	host = arena_strndup(&p->arena, text, e->is_ip ? strlen(text) : len);
	if (!host)
		return -ENOMEM;
	str_lower(host);
	e->host = host;
	return strchr(host, '*') ? p_glob(p, host, GLOB_HOST, &e->host_glob) : 0;
}

static int compile_ports(struct policy *p, const struct doc_endpoint *in, struct endpoint *e)
{
	e->ports = p_alloc(p, in->ports.n + 1, sizeof(*e->ports));
	if (!e->ports)
		return -ENOMEM;
	for (size_t i = 0; i < in->ports.n; i++)
		if (in->ports.list[i].value)
			e->ports[e->n_ports++] = (uint16_t)in->ports.list[i].value;
	if (!in->ports.n && in->port.value)
		e->ports[e->n_ports++] = (uint16_t)in->port.value;
	return 0;
}

/* How much of a path is literal: upstream's measure of what is more specific. */
static size_t path_specificity(const char *path)
{
	size_t n = 0;

	for (; *path; path++)
		n += *path != '*';
	return n;
}

static int compile_path(struct policy *p, const struct doc_endpoint *in, struct endpoint *e)
{
	int r;

	e->path = doc_has(&in->path) ? p_copy(p, in->path.text) : "";
	if (!e->path)
		return -ENOMEM;
	if (!e->path[0])
		return 0;
	e->specificity = path_specificity(e->path);
	r = p_glob(p, e->path, GLOB_SELECT, &e->path_select);
	return r ? r : p_glob(p, e->path, GLOB_PATH, &e->path_rule);
}

/* Upstream's list of what an entry must not touch; each address is judged again when dialled. */
static bool touches_blocked(const struct netprefix *p)
{
	static const char *const blocked[] = { "127.0.0.0/8", "169.254.0.0/16", "0.0.0.0",
		"::", "::1", "fe80::/10" };

	for (size_t i = 0; i < ARRAY_SIZE(blocked); i++) {
		struct netprefix b;

		if (netprefix_parse(blocked[i], &b) == 0 && netprefix_overlaps(p, &b))
			return true;
	}
	return false;
}

int policy_ip_parse(const char *text, struct netprefix *ret)
{
	struct netprefix p;

	if (netprefix_parse(text, &p) < 0)
		return -EINVAL;
	if (touches_blocked(&p))
		return -EPERM;
	*ret = p;
	return 0;
}

/* One bad entry makes the list hold nothing, as upstream has it. */
static int compile_ips(struct policy *p, const struct doc_endpoint *in, struct endpoint *e)
{
	bool is_valid = true;

	e->allowed_ips = p_alloc(p, in->allowed_ips.n, sizeof(*e->allowed_ips));
	if (!e->allowed_ips)
		return -ENOMEM;
	e->n_allowed_ips = in->allowed_ips.n;
	for (size_t i = 0; i < e->n_allowed_ips; i++)
		is_valid &= policy_ip_parse(in->allowed_ips.list[i].text, &e->allowed_ips[i]) == 0;
	if (!is_valid)
		memset(e->allowed_ips, 0, e->n_allowed_ips * sizeof(*e->allowed_ips));
	return 0;
}

static int compile_persisted(
	struct policy *p, const struct doc_persisted *in, struct persisted *out)
{
	const char **fields = p_alloc(p, in->fields.n, sizeof(*fields));
	const char *type = in->operation_type.text ? in->operation_type.text : "";

	out->id = p_copy(p, in->head.key.text);
	if (!fields || !out->id)
		return -ENOMEM;
	switch (rule_type_parse(type)) {
	case RULE_TYPE_QUERY:
		out->op.type = GRAPHQL_QUERY;
		break;
	case RULE_TYPE_MUTATION:
		out->op.type = GRAPHQL_MUTATION;
		break;
	case RULE_TYPE_SUBSCRIPTION:
		out->op.type = GRAPHQL_SUBSCRIPTION;
		break;
	case RULE_TYPE_NONE:
	case RULE_TYPE_ANY:
		break;
	}
	if (doc_has(&in->operation_name) && !(out->op.name = p_copy(p, in->operation_name.text)))
		return -ENOMEM;
	for (size_t i = 0; i < in->fields.n; i++)
		if (!(fields[i] = p_copy(p, in->fields.list[i].text)))
			return -ENOMEM;
	out->op.fields = fields;
	out->op.n_fields = in->fields.n;
	return 0;
}

static int persisted_compare(const void *a, const void *b)
{
	return strcmp(((const struct persisted *)a)->id, ((const struct persisted *)b)->id);
}

static int compile_registry(struct policy *p, const struct doc_endpoint *in, struct endpoint *e)
{
	e->allow_registered = doc_has(&in->persisted_queries) &&
			      strcmp(in->persisted_queries.text, "allow_registered") == 0;
	e->n_persisted = in->graphql_persisted_queries.n;
	e->persisted = p_alloc(p, e->n_persisted, sizeof(*e->persisted));
	if (!e->persisted)
		return -ENOMEM;
	for (size_t i = 0; i < e->n_persisted; i++) {
		int r = compile_persisted(
			p, &in->graphql_persisted_queries.list[i], &e->persisted[i]);

		if (r < 0)
			return r;
	}
	qsort(e->persisted, e->n_persisted, sizeof(*e->persisted), persisted_compare);
	return 0;
}

/* One limit for whatever body the protocol has; the mcp stanza wins over json_rpc. */
static size_t body_limit(const struct doc_endpoint *in, const struct endpoint *e)
{
	const struct doc_int *limit = &in->graphql_max_body_bytes;

	switch (e->protocol) {
	case PROTOCOL_GRAPHQL:
		break;
	case PROTOCOL_JSON_RPC:
	case PROTOCOL_MCP:
		limit = in->mcp.max_body_bytes.is_set ? &in->mcp.max_body_bytes
						      : &in->json_rpc.max_body_bytes;
		break;
	case PROTOCOL_NONE:
	case PROTOCOL_TCP:
	case PROTOCOL_REST:
	case PROTOCOL_WEBSOCKET:
	case PROTOCOL_SQL:
		return 0;
	}
	return limit->is_set ? (size_t)limit->value : POLICY_BODY_DEFAULT;
}

static void compile_flags(const struct doc_endpoint *in, struct endpoint *e)
{
	int protocol = in->protocol.text ? policy_protocol_parse(in->protocol.text) : 0;

	e->protocol = protocol < 0 ? PROTOCOL_NONE : (enum policy_protocol)protocol;
	e->tls_skip = doc_has(&in->tls) && strcmp(in->tls.text, "skip") == 0;
	e->is_enforcing = doc_has(&in->enforcement) && strcmp(in->enforcement.text, "enforce") == 0;
	e->allow_encoded_slash = in->allow_encoded_slash.value;
	e->mcp_strict_tool_names =
		!in->mcp.strict_tool_names.is_set || in->mcp.strict_tool_names.value;
	e->mcp_all_methods = in->mcp.allow_all_known_mcp_methods.value;
	e->body_max = body_limit(in, e);
}

static int compile_signing(struct policy *p, const struct doc_endpoint *in, struct endpoint *e)
{
	const char *service = in->signing_service.text, *region = in->signing_region.text;

	e->signing.mode = aws_signing_parse(in->credential_signing.text);
	if (e->signing.mode == AWS_SIGN_NOTHING)
		return 0;
	/* A policy that was refused for want of a service can be asked as well. */
	e->signing.service = p_copy(p, service ? service : "");
	if (region && region[0] && !(e->signing.region = p_copy(p, region)))
		return -ENOMEM;
	return e->signing.service ? 0 : -ENOMEM;
}

static int compile_credentials(struct policy *p, const struct doc_endpoint *in, struct endpoint *e)
{
	const char *provider = in->credential_binding.provider.text;

	e->allow_uninspected_credentials = in->allow_uninspected_credentials.value;
	e->rewrite_body = in->request_body_credential_rewrite.value && e->protocol == PROTOCOL_REST;
	e->rewrite_websocket = in->websocket_credential_rewrite.value &&
			       (e->protocol == PROTOCOL_REST || e->protocol == PROTOCOL_WEBSOCKET);
	if (provider && provider[0] && !(e->credential_provider = p_copy(p, provider)))
		return -ENOMEM;
	return compile_signing(p, in, e);
}

typedef int endpoint_step(struct policy *p, const struct doc_endpoint *in, struct endpoint *e);

static int compile_endpoint(struct policy *p, const struct doc_endpoint *in, struct endpoint *e)
{
	static endpoint_step *const steps[] = { compile_host, compile_ports, compile_path,
		compile_ips, compile_allow, compile_deny, compile_registry, compile_credentials };

	compile_flags(in, e);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		int r = steps[i](p, in, e);

		if (r < 0)
			return r;
	}
	summarize(e);
	return 0;
}

static int name_compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Without "*" a binary is a literal, whatever else stands in it. */
static int compile_binaries(struct policy *p, const struct doc_binaries *in, struct group *g)
{
	g->binaries = p_alloc(p, in->n, sizeof(*g->binaries));
	g->binary_globs = p_alloc(p, in->n, sizeof(struct glob *));
	if (!g->binaries || !g->binary_globs)
		return -ENOMEM;
	for (size_t i = 0; i < in->n; i++) {
		const char *path = in->list[i].path.text;
		int r;

		if (!strchr(path, '*')) {
			if (!(g->binaries[g->n_binaries++] = p_copy(p, path)))
				return -ENOMEM;
			continue;
		}
		r = p_glob(p, path, GLOB_PATH, &g->binary_globs[g->n_binary_globs++]);
		if (r < 0)
			return r;
	}
	qsort(g->binaries, g->n_binaries, sizeof(*g->binaries), name_compare);
	return 0;
}

static int compile_group(struct policy *p, const struct doc_network_policy *in, struct group *g)
{
	g->key = p_copy(p, in->head.key.text);
	g->name = doc_has(&in->name) ? p_copy(p, in->name.text) : g->key;
	g->n_endpoints = in->endpoints.n;
	g->endpoints = p_alloc(p, in->endpoints.n, sizeof(*g->endpoints));
	if (!g->key || !g->name || !g->endpoints)
		return -ENOMEM;
	for (size_t i = 0; i < g->n_endpoints; i++) {
		int r;

		g->endpoints[i].group = g;
		g->endpoints[i].number = (int)i;
		r = compile_endpoint(p, &in->endpoints.list[i], &g->endpoints[i]);
		if (r < 0)
			return r;
	}
	return compile_binaries(p, &in->binaries, g);
}

static int group_compare(const void *a, const void *b)
{
	const struct doc_network_policy *x = *(const struct doc_network_policy *const *)a;
	const struct doc_network_policy *y = *(const struct doc_network_policy *const *)b;

	return strcmp(x->head.key.text, y->head.key.text);
}

static int compile_groups(struct policy *p, const struct doc_network_policies *in)
{
	auto_free const struct doc_network_policy **order = calloc(in->n + 1, sizeof(*order));

	p->groups = p_alloc(p, in->n, sizeof(*p->groups));
	if (!order || !p->groups)
		return -ENOMEM;
	for (size_t i = 0; i < in->n; i++)
		order[i] = &in->list[i];
	qsort(order, in->n, sizeof(*order), group_compare);
	p->n_groups = in->n;
	for (size_t i = 0; i < in->n; i++) {
		int r = compile_group(p, order[i], &p->groups[i]);

		p->groups[i].doc_index = (size_t)(order[i] - in->list);
		if (r < 0)
			return r;
	}
	return 0;
}

static int compile_middlewares(struct policy *p, const struct doc_middlewares *in)
{
	p->middlewares = p_alloc(p, in->n, sizeof(*p->middlewares));
	if (!p->middlewares)
		return -ENOMEM;
	p->n_middlewares = in->n;
	for (size_t i = 0; i < in->n; i++) {
		const struct doc_middleware *m = &in->list[i];
		struct middleware *out = &p->middlewares[i];
		struct matcher include, exclude;
		int r = compile_strs(p, &m->endpoints.include, GLOB_SELECTOR, &include);

		if (!r)
			r = compile_strs(p, &m->endpoints.exclude, GLOB_SELECTOR, &exclude);
		if (r < 0)
			return r;
		*out = (struct middleware){ include.globs, exclude.globs, include.n, exclude.n,
			p_copy(p, doc_has(&m->name) ? m->name.text : m->head.key.text),
			doc_has(&m->on_error) && strcmp(m->on_error.text, "fail_open") == 0 };
		if (!out->name)
			return -ENOMEM;
	}
	return 0;
}

/* --- static sections --- */

/* Collapses "//", "/./" and a final "/"; ".." was refused. */
static const char *normalize_path(struct policy *p, const char *path)
{
	char *out = arena_strndup(&p->arena, path, strlen(path)), *to = out;

	for (const char *s = path; out && *s;) {
		size_t n;

		s += strspn(s, "/");
		n = strcspn(s, "/");
		if (n && !(n == 1 && s[0] == '.')) {
			*to++ = '/';
			memcpy(to, s, n);
			to += n;
		}
		s += n;
	}
	if (out && to == out)
		*to++ = '/';
	if (out)
		*to = '\0';
	return out;
}

static const char *const *compile_paths(struct policy *p, const struct doc_strs *in)
{
	const char **list = p_alloc(p, in->n + 1, sizeof(*list));

	for (size_t i = 0; list && i < in->n; i++)
		if (!(list[i] = normalize_path(p, in->list[i].text)))
			return NULL;
	return list;
}

static int compile_account(struct policy *p, const struct doc_str *in, const char **ret)
{
	*ret = doc_has(in) ? p_copy(p, in->text) : NULL;
	return doc_has(in) && !*ret ? -ENOMEM : 0;
}

static int compile_static(struct policy *p, const struct policy_doc *doc)
{
	struct policy_static *s = &p->statics;
	const struct doc_filesystem *fs = &doc->filesystem_policy;

	s->has_filesystem = fs->head.is_set;
	s->has_landlock = doc->landlock.head.is_set;
	s->has_process = doc->process.head.is_set;
	/* an absent section grants the working directory, one without the key does not */
	s->include_workdir = fs->head.is_set ? fs->include_workdir.value : true;
	s->read_only = compile_paths(p, &fs->read_only);
	s->read_write = compile_paths(p, &fs->read_write);
	s->landlock_required = doc_has(&doc->landlock.compatibility) &&
			       strcmp(doc->landlock.compatibility.text, "hard_requirement") == 0;
	s->allow_user_namespaces = doc->process.allow_user_namespaces.value;
	if (!s->read_only || !s->read_write ||
		compile_account(p, &doc->process.run_as_user, &s->run_as_user) < 0 ||
		compile_account(p, &doc->process.run_as_group, &s->run_as_group) < 0)
		return -ENOMEM;
	return 0;
}

static void cleanup_policy_ref(struct policy **p)
{
	policy_unref(*p);
}

int policy_compile(const struct policy_doc *doc, struct policy **ret)
{
	__attribute__((cleanup(cleanup_policy_ref))) struct policy *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->refs = 1;
	arena_init(&p->arena, POLICY_ARENA_MAX);
	r = compile_static(p, doc);
	if (!r)
		r = compile_groups(p, &doc->network_policies);
	if (!r)
		r = compile_middlewares(p, &doc->network_middlewares);
	if (!r)
		r = policy_index_build(p);
	if (r < 0)
		return r;
	*ret = take_ptr(p);
	return 0;
}

/* Generations are handed between threads; the count is all that changes. */
struct policy *policy_ref(struct policy *p)
{
	__atomic_add_fetch(&p->refs, 1, __ATOMIC_RELAXED);
	return p;
}

void policy_unref(struct policy *p)
{
	if (!p || __atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (size_t i = 0; i < p->n_globs; i++)
		glob_free(p->globs[i]);
	free(p->globs);
	free(p->buckets);
	arena_done(&p->arena);
	free(p);
}

const struct policy_static *policy_static(const struct policy *p)
{
	return &p->statics;
}

/* --- words --- */

static const struct {
	const char *name;
	enum policy_protocol protocol;
} protocols[] = {
	{ "tcp", PROTOCOL_TCP },
	{ "rest", PROTOCOL_REST },
	{ "websocket", PROTOCOL_WEBSOCKET },
	{ "graphql", PROTOCOL_GRAPHQL },
	{ "json-rpc", PROTOCOL_JSON_RPC },
	{ "mcp", PROTOCOL_MCP },
	{ "sql", PROTOCOL_SQL },
};

int policy_protocol_parse(const char *text)
{
	if (!*text)
		return PROTOCOL_NONE;
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		if (str_case_eq(text, protocols[i].name))
			return (int)protocols[i].protocol;
	return -1;
}

const char *policy_protocol_name(enum policy_protocol p)
{
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		if (protocols[i].protocol == p)
			return protocols[i].name;
	return "";
}
