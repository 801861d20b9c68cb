#include "lib/policy_merge_check.h"

#include <string.h>

#include "lib/cleanup.h"
#include "lib/glob.h"
#include "lib/policy_merge_endpoint.h"
#include "lib/policy_shape.h"
#include "lib/str.h"

void merge_note_port(struct merge *m, uint16_t port)
{
	if (m->report->n_ports < MERGE_PORTS_MAX)
		m->report->ports[m->report->n_ports++] = port;
}

bool merge_has_binary(const struct doc_network_policy *p, const char *path)
{
	for (size_t i = 0; i < p->binaries.n; i++)
		if (str_eq(p->binaries.list[i].path.text, path))
			return true;
	return false;
}

/* --- one way of inspecting each host and port --- */

static int64_t int_or(const struct doc_int *v, int64_t fallback)
{
	return v->is_set ? v->value : fallback;
}

static bool bool_or(const struct doc_bool *v, bool fallback)
{
	return v->is_set ? v->value : fallback;
}

static bool same_mcp_contract(const struct doc_mcp *a, const struct doc_mcp *b)
{
	return int_or(&a->max_body_bytes, 65536) == int_or(&b->max_body_bytes, 65536) &&
	       bool_or(&a->strict_tool_names, true) == bool_or(&b->strict_tool_names, true) &&
	       bool_or(&a->allow_all_known_mcp_methods, false) ==
		       bool_or(&b->allow_all_known_mcp_methods, false);
}

static bool is_mcp(const struct doc_endpoint *e)
{
	return str_case_eq(e->protocol.text, "mcp");
}

/* Requests for @inner's path are also @outer's, or nobody can tell: then both would read the same body. */
static bool path_covers(const struct doc_endpoint *outer, const struct doc_endpoint *inner)
{
	const char *pattern = endpoint_path(outer), *path = endpoint_path(inner), *why;
	auto_glob struct glob *g = NULL;

	if (!pattern[0] || strcmp(pattern, path) == 0)
		return true;
	return glob_compile(pattern, GLOB_SELECT, &g, &why) < 0 || glob_match(g, path, strlen(path));
}

/*
 * One of the endpoint's rules may allow a request at the path: then a client that MCP's rules
 * refuse could ask by method and path instead. What cannot be told counts as one.
 */
static bool grants_at(const struct doc_endpoint *e, const char *path)
{
	if (!e->rules.n || path[strcspn(path, "*?[]{}\\")])
		return true;
	for (size_t i = 0; i < e->rules.n; i++) {
		const char *pattern = e->rules.list[i].allow.path.text, *why;
		auto_glob struct glob *g = NULL;

		if (!pattern || glob_compile(pattern, GLOB_PATH, &g, &why) < 0 ||
			glob_match(g, path, strlen(path)))
			return true;
	}
	return false;
}

/* Both would read the same request, one of them as MCP. */
static bool reads_mcp_twice(
	const struct merge_op *op, const struct doc_endpoint *mcp, const struct doc_endpoint *other)
{
	if (!other->protocol.text || !path_covers(other, mcp))
		return false;
	return !op->is_evidence || endpoint_path(other)[0] || grants_at(other, endpoint_path(mcp));
}

static int fail_contract(
	struct merge *m, const struct merge_op *op, const char *key, const struct doc_endpoint *new)
{
	if (!op->is_evidence)
		return merge_fail(m, MERGE_CONFLICTING_INSPECTION_CONTRACTS,
			"endpoint %s:%u would be inspected in two ways: one MCP contract per host "
			"and port, and no broader endpoint beside it",
			new->host.text, m->report->ports[0]);
	return merge_fail(m, MERGE_CONFLICTING_INSPECTION_CONTRACTS,
		"MCP was seen at %s:%u, and rule '%s' of the policy lets requests to the same path "
		"through by method: give one of the two endpoints there a path of its own, or "
		"rules "
		"whose paths leave MCP's out, and merge again",
		new->host.text, m->report->ports[0], key);
}

static int check_contract(struct merge *m, const struct merge_op *op, const char *key,
	const struct doc_endpoint *old, const struct doc_endpoint *new)
{
	bool is_same_path = endpoint_same_selector(old, new);
	bool is_conflict;

	if (is_mcp(old) && is_mcp(new))
		is_conflict = !same_mcp_contract(&old->mcp, &new->mcp);
	else if (is_mcp(new))
		is_conflict = reads_mcp_twice(op, new, old);
	else
		is_conflict = is_mcp(old) && reads_mcp_twice(op, old, new);
	if (!is_conflict)
		return 0;
	for (size_t i = 0; i < endpoint_ports(new); i++)
		if (endpoint_has_port(old, endpoint_port(new, i)))
			merge_note_port(m, endpoint_port(new, i));
	if (is_mcp(old) && is_mcp(new) && is_same_path)
		return merge_fail(m, MERGE_MCP_CONTRACT_CONFLICT,
			"endpoint %s:%u: its MCP options differ from those that are there already",
			new->host.text, m->report->ports[0]);
	return fail_contract(m, op, key, new);
}

int merge_check_contracts(struct merge *m, const struct merge_op *op)
{
	for (size_t i = 0; i < op->rule->endpoints.n; i++) {
		const struct doc_endpoint *new = &op->rule->endpoints.list[i];

		for (size_t j = 0; j < m->d->network_policies.n; j++) {
			const struct doc_network_policy *p = &m->d->network_policies.list[j];

			for (size_t k = 0; k < p->endpoints.n; k++) {
				const struct doc_endpoint *old = &p->endpoints.list[k];
				int r = 0;

				if (endpoint_same_host(old, new) && endpoint_shares_port(old, new))
					r = check_contract(m, op, p->head.key.text, old, new);
				if (r < 0)
					return r;
			}
		}
	}
	return 0;
}

/* --- would merging grant more than was asked for? --- */

/* Every endpoint of the rule that is about this port asks for all that @e grants there. */
static bool declares_port(
	const struct doc_network_policy *rule, const struct doc_endpoint *e, uint16_t port)
{
	bool is_declared = false;

	for (size_t i = 0; i < rule->endpoints.n; i++) {
		const struct doc_endpoint *f = &rule->endpoints.list[i];

		if (!endpoint_same_selector(e, f) || !endpoint_has_port(f, port))
			continue;
		if (!endpoint_declares(f, e))
			return false;
		is_declared = true;
	}
	return is_declared;
}

/* A binary that joins a rule gets all its endpoints: each must have been asked for. */
static int check_new_binaries(struct merge *m, const struct doc_network_policy *target,
	const struct doc_network_policy *rule)
{
	const char *new_binary = NULL;

	for (size_t i = 0; i < rule->binaries.n && target->binaries.n; i++)
		if (!merge_has_binary(target, rule->binaries.list[i].path.text))
			new_binary = rule->binaries.list[i].path.text;
	for (size_t i = 0; new_binary && i < target->endpoints.n; i++) {
		const struct doc_endpoint *e = &target->endpoints.list[i];

		for (size_t j = 0; j < endpoint_ports(e); j++)
			if (!declares_port(rule, e, endpoint_port(e, j)))
				merge_note_port(m, endpoint_port(e, j));
		if (m->report->n_ports)
			return merge_fail(m, MERGE_NEW_BINARY_WOULD_INHERIT,
				"%s would get what rule '%s' allows at %s:%u, which was not asked "
				"for",
				new_binary, target->head.key.text, e->host.text ? e->host.text : "",
				m->report->ports[0]);
	}
	return 0;
}

/* The first binary of the target that the rule does not name; NULL when it names all. */
static const char *undeclared_binary(
	const struct doc_network_policy *target, const struct doc_network_policy *rule)
{
	if (!target->binaries.n)
		return rule->binaries.n ? "any binary" : NULL;
	for (size_t i = 0; i < target->binaries.n; i++)
		if (!merge_has_binary(rule, target->binaries.list[i].path.text))
			return target->binaries.list[i].path.text;
	return NULL;
}

/* Port @port of @f is new to the rule, or merging @f would change an endpoint there. */
static bool changes_port(
	const struct doc_network_policy *target, const struct doc_endpoint *f, uint16_t port)
{
	bool is_there = false;

	for (size_t i = 0; i < target->endpoints.n; i++) {
		const struct doc_endpoint *e = &target->endpoints.list[i];

		if (!endpoint_same_selector(e, f) || !endpoint_has_port(e, port))
			continue;
		if (endpoint_would_change(e, f))
			return true;
		is_there = true;
	}
	return !is_there;
}

static bool changes_target(const struct doc_network_policy *target, const struct doc_endpoint *f)
{
	for (size_t i = 0; i < endpoint_ports(f); i++)
		if (changes_port(target, f, endpoint_port(f, i)))
			return true;
	return false;
}

static int check_existing_binaries(struct merge *m, const struct doc_network_policy *target,
	const struct doc_network_policy *rule)
{
	const char *undeclared = undeclared_binary(target, rule);

	for (size_t i = 0; undeclared && i < rule->endpoints.n; i++) {
		const struct doc_endpoint *f = &rule->endpoints.list[i];

		if (!changes_target(target, f))
			continue;
		for (size_t j = 0; j < endpoint_ports(f); j++)
			merge_note_port(m, endpoint_port(f, j));
		return merge_fail(m, MERGE_EXISTING_BINARIES_WOULD_INHERIT,
			"%s of rule '%s' would get %s:%u too, which was not asked for: name it "
			"with "
			"--binary, or use another --rule-name",
			undeclared, target->head.key.text, f->host.text ? f->host.text : "",
			m->report->ports[0]);
	}
	return 0;
}

static bool same_but_ports(const struct doc_endpoint *a, const struct doc_endpoint *b)
{
	struct doc_endpoint x = *a, y = *b;

	x.port = y.port = (struct doc_int){ 0 };
	x.ports = y.ports = (struct doc_ints){ 0 };
	return doc_equal(&doc_endpoint_shape, &x, &y);
}

/* The rule asks for the same as @f on this port. */
static bool names_port(
	const struct doc_network_policy *rule, const struct doc_endpoint *f, uint16_t port)
{
	for (size_t i = 0; i < rule->endpoints.n; i++)
		if (endpoint_has_port(&rule->endpoints.list[i], port) &&
			same_but_ports(f, &rule->endpoints.list[i]))
			return true;
	return false;
}

/* Changing an endpoint changes it on all its ports. */
static int check_ports(struct merge *m, const struct doc_endpoint *e,
	const struct doc_network_policy *rule, const struct doc_endpoint *f)
{
	if (!endpoint_same_selector(e, f) || !endpoint_shares_port(e, f) ||
		!endpoint_would_change(e, f))
		return 0;
	for (size_t i = 0; i < endpoint_ports(e); i++)
		if (!names_port(rule, f, endpoint_port(e, i)))
			merge_note_port(m, endpoint_port(e, i));
	if (!m->report->n_ports)
		return 0;
	return merge_fail(m, MERGE_UNDECLARED_PORT_WOULD_CHANGE,
		"endpoint %s would change on port %u too, which was not asked for", f->host.text,
		m->report->ports[0]);
}

int merge_check_widening(struct merge *m, const struct doc_network_policy *target,
	const struct doc_network_policy *rule)
{
	int r;

	r = check_new_binaries(m, target, rule);
	if (r == 0)
		r = check_existing_binaries(m, target, rule);
	for (size_t i = 0; r == 0 && i < rule->endpoints.n; i++)
		for (size_t j = 0; r == 0 && j < target->endpoints.n; j++)
			r = check_ports(
				m, &target->endpoints.list[j], rule, &rule->endpoints.list[i]);
	return r;
}
