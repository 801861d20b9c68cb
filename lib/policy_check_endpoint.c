/*
 * One endpoint: host, ports, addresses, protocol and the fields that belong to it.
 */
#include <errno.h>
#include <string.h>

#include "lib/aws.h"
#include "lib/cleanup.h"
#include "lib/policy_check.h"
#include "lib/str.h"

/* --- host: section 2.5 --- */

/* The fewest dots in what (a part of) a pattern matches: by way of a star, and by no star. */
struct dots {
	size_t starred, plain;
};

enum { NO_WAY = HOST_MAX + 2 }; /* more dots than a host has bytes */

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static struct dots dots_of(const char **s, bool is_nested);

static struct dots alternatives(const char **s)
{
	struct dots all = { NO_WAY, NO_WAY };

	do {
		struct dots one;

		(*s)++;
		one = dots_of(s, true);
		all = (struct dots){ least(all.starred, one.starred), least(all.plain, one.plain) };
	} while (**s == ',');
	*s += **s == '}';
	return all;
}

/* To the "]" of a class, which is one character and never the separator. */
static void skip_class(const char **s)
{
	(*s)++;
	*s += **s == '!' || **s == '^';
	*s += **s == ']';
	*s += strcspn(*s, "]");
}

static struct dots next_dots(const char **s)
{
	char c = **s;

	if (c == '{')
		return alternatives(s);
	if (c == '[')
		skip_class(s);
	*s += c == '\\';
	*s += **s != '\0';
	return c == '*' ? (struct dots){ 0, NO_WAY } : (struct dots){ NO_WAY, c == '.' };
}

/* Up to the end, within braces to that of the alternative. */
static struct dots dots_of(const char **s, bool is_nested)
{
	struct dots all = { NO_WAY, 0 };

	while (**s && !(is_nested && strchr(",}", **s))) {
		struct dots n = next_dots(s);

		all = (struct dots){ least(all.starred + least(n.starred, n.plain), all.plain + n.starred),
			all.plain + n.plain };
	}
	return all;
}

/* The labels of the shortest name that a star is part of; compile_host() takes the root dot away. */
static size_t count_labels(const char *host)
{
	size_t dots = dots_of(&(const char *){ host }, false).starred;

	return dots + !str_ends(host, ".");
}

/* Why a host with a star is refused, or NULL. */
static const char *wildcard_fault(const char *host)
{
	size_t first = strcspn(host, ".");

	if (strcmp(host, "*") == 0 || strcmp(host, "**") == 0)
		return "it matches all hosts";
	if (count_labels(host) <= 2)
		return "a TLD wildcard matches whole registries";
	if (strstr(host, "**") &&
		!(first == 2 && memcmp(host, "**", 2) == 0 && !strstr(host + 2, "**")))
		return "a recursive host wildcard '**' must be the entire first label";
	for (const char *label = host + first; *label;) {
		size_t n = strcspn(++label, ".");

		if (memchr(label, '*', n) && n != 1)
			return "after the first label '*' must be a whole label";
		label += n;
	}
	return NULL;
}

static void check_wildcard(const struct endpoint_check *c, const struct doc_path *path)
{
	const struct doc_str *host = &c->e->host;
	const char *fault = wildcard_fault(host->text);
	size_t star = strcspn(host->text, "*"), first = strcspn(host->text, ".");

	if (fault)
		bad(c->f, host->pos, path, "invalid host wildcard '%.80s': %s", host->text, fault);
	else
		check_pattern(c->f, host, GLOB_HOST, path);
	if (fault || star >= first || (star == 0 && (first == 1 || host->text[1] == '*')))
		return;
	if (star == 0 && host->text[1] != '-')
		odd(c->f, host->pos, path,
			"'%.80s' is wider than it looks: it also matches names "
			"such as 'evil%.80s'",
			host->text, host->text + 1);
}

/* What no name and no address is made of. */
static const char *host_fault(const char *host)
{
	struct netaddr a;
	size_t len = strlen(host);

	if (strstr(host, "://") || strchr(host, '/'))
		return "a URL is no host; write the name alone, and the path in 'path'";
	if (strchr(host, ':') && netaddr_parse_host(host, &a) < 0)
		return "write the port in 'port'";
	if (len > HOST_MAX + 1)
		return "it is longer than 253 bytes";
	for (const char *s = host; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return "it holds a control character";
	return NULL;
}

static void check_tcp_host(const struct endpoint_check *c, const struct doc_path *path)
{
	const char *host = c->e->host.text;
	size_t len = strlen(host);

	if (strchr(host, ' '))
		bad(c->f, c->e->host.pos, path, "'%.80s' holds whitespace", host);
	else if (host[len - 1] == '.')
		bad(c->f, c->e->host.pos, path, "omit the trailing DNS root dot");
	else if (host[0] == '.' || strstr(host, ".."))
		bad(c->f, c->e->host.pos, path, "'%.80s' has an empty label", host);
	else if (strpbrk(host, "{}"))
		bad(c->f, c->e->host.pos, path,
			"'%.80s': braces are not supported for protocol tcp", host);
}

static void check_reachable(const struct endpoint_check *c, const struct doc_path *path)
{
	const struct doc_str *host = &c->e->host;
	struct netaddr a;

	if (netaddr_parse_host(host->text, &a) == 0) {
		if (netaddr_classify(&a) == NETADDR_BLOCKED)
			odd(c->f, host->pos, path, "%s is %s: never reachable from a sandbox",
				host->text, netaddr_range_name(&a));
		return;
	}
	if (strpbrk(host->text, "?[]{}\\"))
		odd(c->f, host->pos, path,
			"'%.80s' can never match: without '*' it is a literal "
			"name",
			host->text);
	else if (strchr(host->text, ' '))
		odd(c->f, host->pos, path, "'%.80s' can never match: it holds whitespace",
			host->text);
	else if (host->text[0] == '.' || strstr(host->text, ".."))
		odd(c->f, host->pos, path, "'%.80s' can never match: it has an empty label",
			host->text);
}

static void check_host(const struct endpoint_check *c)
{
	const struct doc_path *path = PATH_KEY(c->path, "host");
	const struct doc_str *host = &c->e->host;
	const char *fault;

	if (!doc_has(host)) {
		if (c->protocol == PROTOCOL_MCP)
			bad(c->f, c->e->head.pos, path, "protocol mcp requires a host");
		else if (!c->e->allowed_ips.n || c->protocol == PROTOCOL_TCP)
			bad(c->f, c->e->head.pos, path,
				"endpoint host must not be empty unless allowed_ips constrains a "
				"non-TCP proxy endpoint");
		return;
	}
	fault = host_fault(host->text);
	if (fault) {
		meaningless(c->f, host->pos, path, "invalid host '%.80s': %s", host->text, fault);
		return;
	}
	if (c->protocol == PROTOCOL_TCP)
		check_tcp_host(c, path);
	if (strchr(host->text, '*'))
		check_wildcard(c, path);
	else
		check_reachable(c, path);
}

/* --- ports --- */

static void check_one_port(
	const struct endpoint_check *c, const struct doc_int *port, const struct doc_path *path)
{
	if (port->is_set && port->value == 0)
		bad(c->f, port->pos, path, "invalid port 0; expected 1..=65535");
}

static void check_ports(const struct endpoint_check *c)
{
	const struct doc_endpoint *e = c->e;
	const struct doc_path *path = PATH_KEY(c->path, "ports");

	if (e->port.is_set && e->ports.is_set)
		bad(c->f, e->ports.pos, path, "port and ports are mutually exclusive");
	else if (!e->port.is_set && !e->ports.n)
		bad(c->f, e->head.pos, PATH_KEY(c->path, "port"),
			"endpoint '%.80s' must declare at least one port", c->where);
	check_one_port(c, &e->port, PATH_KEY(c->path, "port"));
	for (size_t i = 0; i < e->ports.n; i++)
		check_one_port(c, &e->ports.list[i], PATH_INDEX(path, i));
}

/* --- allowed_ips: section 3.4 --- */

enum { WIDE_V4 = 16, WIDE_V6 = 32 };

static void check_ips(const struct endpoint_check *c)
{
	const struct doc_path *path = PATH_KEY(c->path, "allowed_ips");

	for (size_t i = 0; i < c->e->allowed_ips.n; i++) {
		const struct doc_str *s = &c->e->allowed_ips.list[i];
		struct netprefix p;
		int r = policy_ip_parse(s->text, &p);

		if (r == -EINVAL)
			bad(c->f, s->pos, PATH_INDEX(path, i),
				"'%.80s' is neither an address nor ADDRESS/BITS", s->text);
		else if (r == -EPERM)
			bad(c->f, s->pos, PATH_INDEX(path, i),
				"%s overlaps an always-blocked range (loopback, link-local or "
				"unspecified)",
				s->text);
		else if (p.bits < (p.addr.family == AF_INET ? WIDE_V4 : WIDE_V6))
			odd(c->f, s->pos, PATH_INDEX(path, i), "%s is a very wide range", s->text);
	}
}

/* --- words --- */

static void check_tls(const struct endpoint_check *c)
{
	const struct doc_str *tls = &c->e->tls;
	const struct doc_path *path = PATH_KEY(c->path, "tls");

	if (!doc_has(tls) || strcmp(tls->text, "auto") == 0)
		return;
	if (strcmp(tls->text, "terminate") == 0 || strcmp(tls->text, "passthrough") == 0)
		odd(c->f, tls->pos, path, "'%s' is deprecated and has no effect: TLS is detected",
			tls->text);
	else if (strcmp(tls->text, "skip") != 0)
		odd(c->f, tls->pos, path,
			"'%.80s' is treated as automatic; the only value with an "
			"effect is 'skip'",
			tls->text);
	else if (policy_protocol_is_http(c->protocol))
		odd(c->f, tls->pos, path,
			"with 'tls: skip' encrypted requests pass unseen: the rules "
			"hold for plain HTTP only");
}

static void check_enforcement(const struct endpoint_check *c)
{
	static const char *const words[] = { "enforce", "audit", NULL };
	const struct doc_str *s = &c->e->enforcement;
	const struct doc_path *path = PATH_KEY(c->path, "enforcement");

	if (!check_word(c->f, s, words, path))
		return;
	if (!doc_has(s) && policy_protocol_is_http(c->protocol))
		odd(c->f, c->e->head.pos, path,
			"omitted means 'audit': violations are logged and let through; write "
			"'enforcement: enforce' to refuse them");
	if (c->protocol == PROTOCOL_SQL && doc_has(s) && strcmp(s->text, "enforce") == 0)
		bad(c->f, s->pos, path,
			"SQL enforcement requires full SQL parsing; use enforcement: audit");
}

static void check_access(const struct endpoint_check *c)
{
	static const char *const words[] = { "read-only", "read-write", "full", NULL };
	const struct doc_str *s = &c->e->access;
	const struct doc_path *path = PATH_KEY(c->path, "access");

	if (!doc_has(s) || !check_word(c->f, s, words, path))
		return;
	if (c->protocol == PROTOCOL_NONE)
		odd(c->f, s->pos, path,
			"has no effect without 'protocol': the connection is relayed "
			"uninspected");
	else if (strcmp(s->text, "full") == 0)
		odd(c->f, s->pos, path, "'full' allows every method on every path");
}

static void check_path(const struct endpoint_check *c)
{
	const struct doc_str *s = &c->e->path;
	const struct doc_path *path = PATH_KEY(c->path, "path");

	if (!doc_has(s))
		return;
	if (s->text[0] != '/' && strcmp(s->text, "**") != 0)
		bad(c->f, s->pos, path, "path must start with '/' or be '**', got '%.80s'",
			s->text);
	else
		check_pattern(c->f, s, GLOB_PATH, path);
}

/* --- fields that belong to a protocol --- */

static void check_positive(
	const struct endpoint_check *c, const struct doc_int *n, const struct doc_path *path)
{
	if (n->is_set && n->value <= 0)
		bad(c->f, n->pos, path, "must be positive");
}

static void check_bodies(const struct endpoint_check *c)
{
	const struct doc_endpoint *e = c->e;
	bool is_graphql = c->protocol == PROTOCOL_GRAPHQL || c->protocol == PROTOCOL_WEBSOCKET;
	bool is_rpc = c->protocol == PROTOCOL_JSON_RPC || c->protocol == PROTOCOL_MCP;

	check_positive(c, &e->graphql_max_body_bytes, PATH_KEY(c->path, "graphql_max_body_bytes"));
	check_positive(c, &e->json_rpc.max_body_bytes,
		PATH_KEY(PATH_KEY(c->path, "json_rpc"), "max_body_bytes"));
	check_positive(
		c, &e->mcp.max_body_bytes, PATH_KEY(PATH_KEY(c->path, "mcp"), "max_body_bytes"));
	if (c->protocol == PROTOCOL_TCP)
		return;
	if (e->mcp.head.is_set && c->protocol != PROTOCOL_MCP)
		bad(c->f, e->mcp.head.pos, PATH_KEY(c->path, "mcp"),
			"mcp options are only valid for protocol mcp");
	if (e->json_rpc.head.is_set && !is_rpc)
		odd(c->f, e->json_rpc.head.pos, PATH_KEY(c->path, "json_rpc"),
			"has no effect: the protocol is not json-rpc or mcp");
	if (e->graphql_persisted_queries.n && !is_graphql)
		odd(c->f, e->graphql_persisted_queries.pos,
			PATH_KEY(c->path, "graphql_persisted_queries"),
			"has no effect: the protocol is not graphql or websocket");
}

static void check_registry(const struct endpoint_check *c)
{
	static const char *const words[] = { "deny", "allow_registered", NULL };
	static const char *const types[] = { "query", "mutation", "subscription" };
	const struct doc_persisteds *list = &c->e->graphql_persisted_queries;
	const struct doc_path *path = PATH_KEY(c->path, "graphql_persisted_queries");

	if (!check_word(
		    c->f, &c->e->persisted_queries, words, PATH_KEY(c->path, "persisted_queries")))
		return;
	for (size_t i = 0; i < list->n; i++) {
		const struct doc_persisted *p = &list->list[i];
		bool is_known = false;

		for (size_t k = 0; k < ARRAY_SIZE(types); k++)
			is_known |= doc_has(&p->operation_type) &&
				    strcmp(p->operation_type.text, types[k]) == 0;
		if (!is_known)
			bad(c->f, p->head.pos,
				PATH_KEY(PATH_KEY(path, p->head.key.text), "operation_type"),
				"operation_type must be query, mutation or subscription");
	}
}

/* What a signature says of its service and region; a name that says no region at all needs the policy's word. */
static void check_signing_words(const struct endpoint_check *c)
{
	const struct doc_endpoint *e = c->e;
	const struct {
		const struct doc_str *s;
		const char *key;
	} words[] = { { &e->signing_service, "signing_service" }, { &e->signing_region, "signing_region" } };
	char region[AWS_WORD_MAX + 1];

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (doc_has(words[i].s) && !aws_is_word(words[i].s->text))
			bad(c->f, words[i].s->pos, PATH_KEY(c->path, words[i].key),
				"'%.80s': must be letters, digits, '-' and '_', at most %d", words[i].s->text, AWS_WORD_MAX);
	if (!doc_has(&e->signing_region) && doc_has(&e->host) && !aws_region(e->host.text, region))
		odd(c->f, e->credential_signing.pos, PATH_KEY(c->path, "signing_region"),
			"'%.80s' names no region: requests are refused until signing_region says which", e->host.text);
}

static void check_signing(const struct endpoint_check *c)
{
	const struct doc_endpoint *e = c->e;
	const struct doc_path *path = PATH_KEY(c->path, "credential_signing");

	if (!doc_has(&e->credential_signing)) {
		if (doc_has(&e->signing_service) || doc_has(&e->signing_region))
			odd(c->f, e->head.pos, path,
				"signing_service and signing_region have no "
				"effect without credential_signing");
		return;
	}
	if (!check_word(c->f, &e->credential_signing, aws_signing_words, path))
		return;
	if (!doc_has(&e->signing_service))
		bad(c->f, e->credential_signing.pos, path,
			"credential_signing requires "
			"signing_service");
	if (e->request_body_credential_rewrite.value)
		bad(c->f, e->credential_signing.pos, path,
			"credential_signing and "
			"request_body_credential_rewrite are mutually exclusive");
	if (c->protocol == PROTOCOL_SQL || (doc_has(&e->tls) && strcmp(e->tls.text, "skip") == 0))
		odd(c->f, e->credential_signing.pos, path,
			"connections are refused: nobody may look into them, so nothing can be signed");
	check_signing_words(c);
}

static void check_rewrites(const struct endpoint_check *c)
{
	const struct doc_endpoint *e = c->e;
	bool is_rest = c->protocol == PROTOCOL_REST;

	if (c->protocol == PROTOCOL_TCP)
		return;
	if (e->websocket_credential_rewrite.value && !is_rest && c->protocol != PROTOCOL_WEBSOCKET)
		odd(c->f, e->websocket_credential_rewrite.pos,
			PATH_KEY(c->path, "websocket_credential_rewrite"),
			"websocket_credential_rewrite is ignored: the protocol is not rest or "
			"websocket");
	if (e->request_body_credential_rewrite.value && !is_rest)
		odd(c->f, e->request_body_credential_rewrite.pos,
			PATH_KEY(c->path, "request_body_credential_rewrite"),
			"request_body_credential_rewrite is ignored: the protocol is not rest");
	if (e->credential_binding.head.is_set && !doc_has(&e->credential_binding.provider))
		bad(c->f, e->credential_binding.head.pos,
			PATH_KEY(PATH_KEY(c->path, "credential_binding"), "provider"),
			"provider must not be empty");
}

/* What a raw TCP endpoint has and should not. */
static void check_tcp_fields(const struct endpoint_check *c)
{
	const struct doc_endpoint *e = c->e;
	const struct {
		const char *name;
		bool is_there;
	} fields[] = {
		{ "enforcement", doc_has(&e->enforcement) },
		{ "path", doc_has(&e->path) },
		{ "allow_encoded_slash", e->allow_encoded_slash.is_set },
		{ "websocket_credential_rewrite", e->websocket_credential_rewrite.is_set },
		{ "request_body_credential_rewrite", e->request_body_credential_rewrite.is_set },
		{ "persisted_queries", doc_has(&e->persisted_queries) },
		{ "graphql_persisted_queries", e->graphql_persisted_queries.n > 0 },
		{ "graphql_max_body_bytes", e->graphql_max_body_bytes.is_set },
		{ "json_rpc", e->json_rpc.head.is_set },
		{ "mcp", e->mcp.head.is_set },
		{ "credential_signing", doc_has(&e->credential_signing) },
		{ "signing_service", doc_has(&e->signing_service) },
		{ "signing_region", doc_has(&e->signing_region) },
		{ "credential_binding", e->credential_binding.head.is_set },
	};
	char list[512] = "";

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		size_t at = strlen(list);

		if (fields[i].is_there)
			(void)snprintf(list + at, sizeof(list) - at, "%s%s", at ? ", " : "",
				fields[i].name);
	}
	if (list[0])
		bad(c->f, e->protocol.pos, PATH_KEY(c->path, "protocol"),
			"protocol tcp does not support L7-only fields: %s; remove those fields",
			list);
	if (doc_has(&e->access) || e->rules.n || e->deny_rules.n)
		bad(c->f, e->protocol.pos, PATH_KEY(c->path, "protocol"),
			"protocol tcp does not support access, rules, or deny_rules; remove those "
			"L7 "
			"fields");
}

static void check_protocol(const struct endpoint_check *c)
{
	static const char *const words[] = { "tcp", "rest", "websocket", "graphql", "sql",
		"json-rpc", "mcp", NULL };
	const struct doc_str *s = &c->e->protocol;
	const char *meant;

	if (c->protocol == PROTOCOL_TCP)
		check_tcp_fields(c);
	if (!doc_has(s) || policy_protocol_parse(s->text) >= 0)
		return;
	meant = str_suggest(s->text, words);
	meaningless(c->f, s->pos, PATH_KEY(c->path, "protocol"),
		"unknown protocol '%.80s' (expected tcp, rest, websocket, graphql, sql, json-rpc, "
		"or "
		"mcp)%s%s%s",
		s->text, meant ? "; did you mean '" : "", meant ? meant : "", meant ? "'?" : "");
}

void policy_check_endpoint(
	const struct doc_endpoint *e, const struct doc_path *path, struct policy_findings *f)
{
	static void (*const checks[])(const struct endpoint_check *c) = { check_host, check_ports,
		check_ips, check_protocol, check_tls, check_enforcement, check_access, check_path,
		check_bodies, check_registry, check_signing, check_rewrites, policy_check_rules };
	int protocol = doc_has(&e->protocol) ? policy_protocol_parse(e->protocol.text) : 0;
	struct endpoint_check c = { f, e, path,
		protocol < 0 ? PROTOCOL_NONE : (enum policy_protocol)protocol,
		doc_has(&e->host) ? e->host.text : "" };

	for (size_t i = 0; i < ARRAY_SIZE(checks); i++)
		checks[i](&c);
}
