#include "lib/policy_merge.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/policy_merge_check.h"
#include "lib/policy_merge_endpoint.h"
#include "lib/str.h"

static const char *const error_names[] = {
	[MERGE_OK] = "Ok",
	[MERGE_NO_MEMORY] = "NoMemory",
	[MERGE_EMPTY_ADD_RULE_ENDPOINTS] = "EmptyAddRuleEndpoints",
	[MERGE_PROVIDER_RULE] = "ProviderRule",
	[MERGE_MCP_CONTRACT_CONFLICT] = "McpContractConflict",
	[MERGE_CONFLICTING_INSPECTION_CONTRACTS] = "ConflictingInspectionContracts",
	[MERGE_NEW_BINARY_WOULD_INHERIT] = "NewBinaryWouldInheritAuthorization",
	[MERGE_EXISTING_BINARIES_WOULD_INHERIT] = "ExistingBinariesWouldInheritAuthorization",
	[MERGE_UNDECLARED_PORT_WOULD_CHANGE] = "UndeclaredPortWouldChange",
	[MERGE_AMBIGUOUS_ENDPOINT_RULE] = "AmbiguousEndpointRule",
	[MERGE_CANNOT_REMOVE_BINARY_FROM_ANY] = "CannotRemoveBinaryFromAnyBinaryScope",
	[MERGE_ENDPOINT_NOT_FOUND] = "EndpointNotFound",
	[MERGE_ENDPOINT_HAS_NO_L7] = "EndpointHasNoL7Inspection",
	[MERGE_UNSUPPORTED_PROTOCOL] = "UnsupportedEndpointProtocol",
	[MERGE_NO_ALLOW_BASE] = "EndpointHasNoAllowBase",
	[MERGE_UNSUPPORTED_ACCESS_PRESET] = "UnsupportedAccessPreset",
};

const char *merge_error_name(enum merge_error e)
{
	return e < ARRAY_SIZE(error_names) ? error_names[e] : "Unknown";
}

int merge_fail(struct merge *m, enum merge_error e, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	m->report->error = e;
	return err_set(m->err, e == MERGE_NO_MEMORY ? -ENOMEM : -EINVAL, "%s", text);
}

static int no_memory(struct merge *m)
{
	return merge_fail(m, MERGE_NO_MEMORY, "%s", err_name(-ENOMEM));
}

static void __attribute__((format(printf, 3, 4)))
warn(struct merge *m, const char *name, const char *fmt, ...)
{
	struct merge_report *r = m->report;
	va_list ap;

	if (r->n_warnings == MERGE_WARNINGS_MAX)
		return;
	r->warnings[r->n_warnings].name = name;
	va_start(ap, fmt);
	(void)vsnprintf(r->warnings[r->n_warnings].text, MERGE_TEXT_MAX, fmt, ap);
	va_end(ap);
	r->n_warnings++;
}

/* --- looking around --- */

static bool is_provider(const char *key)
{
	return str_starts(key, "_provider_");
}

static struct doc_network_policy *rule_find(const struct policy_doc *d, const char *key)
{
	for (size_t i = 0; i < d->network_policies.n; i++)
		if (strcmp(d->network_policies.list[i].head.key.text, key) == 0)
			return &d->network_policies.list[i];
	return NULL;
}

static bool rules_overlap(const struct doc_network_policy *a, const struct doc_network_policy *b)
{
	for (size_t i = 0; i < a->endpoints.n; i++)
		for (size_t j = 0; j < b->endpoints.n; j++)
			if (endpoint_same_host(&a->endpoints.list[i], &b->endpoints.list[j]) &&
				endpoint_shares_port(&a->endpoints.list[i], &b->endpoints.list[j]))
				return true;
	return false;
}

/* The user's rule, with the smallest key, that already speaks of a destination of @rule. */
static struct doc_network_policy *rule_overlapping(
	const struct policy_doc *d, const struct doc_network_policy *rule)
{
	struct doc_network_policy *found = NULL;

	for (size_t i = 0; i < d->network_policies.n; i++) {
		struct doc_network_policy *p = &d->network_policies.list[i];

		if (!is_provider(p->head.key.text) && rules_overlap(p, rule) &&
			(!found || strcmp(p->head.key.text, found->head.key.text) < 0))
			found = p;
	}
	return found;
}

/* --- adding a rule --- */

/* Room for all ports of @e; NULL (and an error) when out of memory. Lives with the document. */
static uint16_t *port_room(struct merge *m, const struct doc_endpoint *e)
{
	uint16_t *room = policy_doc_grow(m->d, NULL, 0, endpoint_ports(e) * sizeof(*room));

	if (!room)
		(void)no_memory(m);
	return room;
}

/* @n_ports 0: those it has. */
static int add_endpoint(struct merge *m, struct doc_network_policy *p, const struct doc_endpoint *e,
	const uint16_t *ports, size_t n_ports)
{
	struct doc_endpoint *grown =
		policy_doc_grow(m->d, p->endpoints.list, p->endpoints.n, sizeof(*grown));

	if (!grown)
		return no_memory(m);
	grown[p->endpoints.n] = *e;
	if (n_ports && !endpoint_set_ports(m->d, &grown[p->endpoints.n], ports, n_ports))
		return no_memory(m);
	p->endpoints =
		(struct doc_endpoints){ .list = grown, .n = p->endpoints.n + 1, .is_set = true };
	return 0;
}

static int add_binaries(
	struct merge *m, struct doc_network_policy *p, const struct doc_network_policy *rule)
{
	for (size_t i = 0; i < rule->binaries.n; i++) {
		struct doc_binaries *l = &p->binaries;
		struct doc_binary *grown;

		if (merge_has_binary(p, rule->binaries.list[i].path.text))
			continue;
		grown = policy_doc_grow(m->d, l->list, l->n, sizeof(*grown));
		if (!grown)
			return no_memory(m);
		grown[l->n] = rule->binaries.list[i];
		*l = (struct doc_binaries){ .list = grown, .n = l->n + 1, .is_set = true };
	}
	return 0;
}

static int insert_rule(struct merge *m, const char *key, const struct doc_network_policy *rule)
{
	struct doc_network_policies *l = &m->d->network_policies;
	struct doc_network_policy *grown = policy_doc_grow(m->d, l->list, l->n, sizeof(*grown));
	struct doc_network_policy *p;
	int r = 0;

	if (!grown)
		return no_memory(m);
	p = &grown[l->n];
	*p = (struct doc_network_policy){ .head = { .is_set = true, .key.text = key },
		.name = rule->name };
	for (size_t i = 0; r == 0 && i < rule->endpoints.n; i++)
		r = add_endpoint(m, p, &rule->endpoints.list[i], NULL, 0);
	if (r == 0)
		r = add_binaries(m, p, rule);
	*l = (struct doc_network_policies){ .list = grown, .n = l->n + 1, .is_set = true };
	return r;
}

/* What endpoint_merge() tells, on behalf of one endpoint. */
struct teller {
	struct merge *m;
	const char *host;
	uint16_t port;
};

static void on_retained(void *arg, const char *field, const char *existing, const char *incoming)
{
	static const struct {
		const char *field, *name;
	} names[] = { { "protocol", "ExistingProtocolRetained" },
		{ "enforcement", "ExistingEnforcementRetained" }, { "tls", "ExistingTlsRetained" },
		{ "access", "ExistingAccessRetained" } };
	const struct teller *t = arg;
	const char *name = "ExistingFieldRetained";

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i].field, field) == 0)
			name = names[i].name;
	if (!existing)
		warn(t->m, "IgnoredIncomingAccessBecauseRulesExist",
			"endpoint %s:%u has explicit rules; access %s was ignored", t->host,
			t->port, incoming);
	else
		warn(t->m, name, "endpoint %s:%u keeps %s %s; %s was ignored", t->host, t->port,
			field, existing, incoming);
}

static void on_expanded(void *arg, const char *access)
{
	const struct teller *t = arg;

	warn(t->m, "ExpandedAccessPreset", "endpoint %s:%u: access %s was written out as rules",
		t->host, t->port, access);
}

static int merge_endpoint(
	struct merge *m, struct doc_endpoint *to, const struct doc_endpoint *from, uint16_t port)
{
	struct teller t = { .m = m, .host = to->host.text ? to->host.text : "", .port = port };
	struct endpoint_merge merge = {
		.d = m->d, .on_retained = on_retained, .on_expanded = on_expanded, .arg = &t
	};
	int r = endpoint_merge(&merge, to, from);

	if (r == -EINVAL)
		return merge_fail(m, MERGE_UNSUPPORTED_ACCESS_PRESET,
			"endpoint %s:%u: access '%s' cannot be written out as rules", t.host, port,
			to->access.text);
	return r < 0 ? no_memory(m) : 0;
}

/* Some port of @f before the @n-th is @e's as well: they were merged there. */
static bool shares_earlier(const struct doc_endpoint *e, const struct doc_endpoint *f, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (endpoint_has_port(e, endpoint_port(f, i)))
			return true;
	return false;
}

/* Ports that one of the first @n_before endpoints has already are merged there, others added. */
static int fold_endpoint(struct merge *m, struct doc_network_policy *target, size_t n_before,
	const struct doc_endpoint *f)
{
	size_t n_rest = 0;
	uint16_t *rest = port_room(m, f);

	if (!rest)
		return -ENOMEM;

	for (size_t i = 0; i < endpoint_ports(f); i++) {
		uint16_t port = endpoint_port(f, i);
		bool is_there = false;

		for (size_t j = 0; j < n_before; j++) {
			struct doc_endpoint *e = &target->endpoints.list[j];
			int r = 0;

			if (!endpoint_same_selector(e, f) || !endpoint_has_port(e, port))
				continue;
			is_there = true;
			if (!shares_earlier(e, f, i))
				r = merge_endpoint(m, e, f, port);
			if (r < 0)
				return r;
		}
		if (!is_there)
			rest[n_rest++] = port;
	}
	return n_rest ? add_endpoint(m, target, f, rest, n_rest) : 0;
}

static int fold_rule(
	struct merge *m, struct doc_network_policy *target, const struct doc_network_policy *rule)
{
	size_t n_before = target->endpoints.n;
	int r = 0;

	for (size_t i = 0; r == 0 && i < rule->endpoints.n; i++)
		r = fold_endpoint(m, target, n_before, &rule->endpoints.list[i]);
	if (r < 0)
		return r;
	if (!target->binaries.n && rule->binaries.n) {
		warn(m, "ExistingAnyBinaryScopeRetained",
			"rule '%s' names no binary; it was not narrowed to those given",
			target->head.key.text);
		return 0;
	}
	return add_binaries(m, target, rule);
}

static int add_rule(struct merge *m, const struct merge_op *op)
{
	struct doc_network_policy *target = rule_find(m->d, op->rule_name);
	bool is_named = target != NULL;
	int r;

	if (!op->rule->endpoints.n)
		return merge_fail(m, MERGE_EMPTY_ADD_RULE_ENDPOINTS, "rule '%s' has no endpoints",
			op->rule_name);
	if (is_provider(op->rule_name))
		return merge_fail(
			m, MERGE_PROVIDER_RULE, "rule '%s' belongs to a provider", op->rule_name);
	r = merge_check_contracts(m, op);
	if (r < 0)
		return r;
	if (!target)
		target = rule_overlapping(m->d, op->rule);
	if (!target)
		return insert_rule(m, op->rule_name, op->rule);
	r = merge_check_widening(m, target, op->rule);
	if (r == 0)
		return fold_rule(m, target, op->rule);
	if (is_named || r == -ENOMEM)
		return r;
	warn(m, "KeptRequestedRuleNameToAvoidWidening",
		"'%s' stays a rule of its own beside '%s': %s", op->rule_name,
		target->head.key.text, m->err ? m->err->text : "");
	m->report->error = MERGE_OK;
	m->report->n_ports = 0;
	if (m->err)
		*m->err = (struct err){ 0 };
	return insert_rule(m, op->rule_name, op->rule);
}

/* --- rules for requests --- */

/* The one endpoint of a user's rule at host and port; NULL (and an error) if none or several. */
static struct doc_endpoint *l7_target(
	struct merge *m, const struct merge_op *op, struct doc_network_policy **ret_rule)
{
	const struct doc_endpoint wanted = { .host.text = op->host };
	struct doc_endpoint *found = NULL;

	for (size_t i = 0; i < m->d->network_policies.n; i++) {
		struct doc_network_policy *p = &m->d->network_policies.list[i];

		for (size_t j = 0; j < p->endpoints.n; j++) {
			struct doc_endpoint *e = &p->endpoints.list[j];

			if (is_provider(p->head.key.text) || !endpoint_same_host(e, &wanted) ||
				!endpoint_has_port(e, op->port))
				continue;
			if (found) {
				(void)merge_fail(m, MERGE_AMBIGUOUS_ENDPOINT_RULE,
					"endpoint %s:%u stands in '%s' and in '%s': which is "
					"meant?",
					op->host, op->port, (*ret_rule)->head.key.text,
					p->head.key.text);
				return NULL;
			}
			found = e;
			*ret_rule = p;
		}
	}
	if (!found)
		(void)merge_fail(m, MERGE_ENDPOINT_NOT_FOUND,
			"no rule of this policy has an endpoint %s:%u", op->host, op->port);
	return found;
}

static int check_l7(struct merge *m, const struct merge_op *op, const struct doc_endpoint *e)
{
	if (!e->protocol.text || !e->protocol.text[0])
		return merge_fail(m, MERGE_ENDPOINT_HAS_NO_L7,
			"endpoint %s:%u has no protocol: its requests are not inspected", op->host,
			op->port);
	if (!str_case_eq(e->protocol.text, "rest") && !str_case_eq(e->protocol.text, "websocket"))
		return merge_fail(m, MERGE_UNSUPPORTED_PROTOCOL,
			"endpoint %s:%u has protocol %s; methods and paths belong to rest and "
			"websocket",
			op->host, op->port, e->protocol.text);
	if (op->type == MERGE_ADD_DENY && !e->rules.n && !(e->access.text && e->access.text[0]))
		return merge_fail(m, MERGE_NO_ALLOW_BASE,
			"endpoint %s:%u allows nothing that could be denied", op->host, op->port);
	return 0;
}

/* An endpoint of several ports keeps the others as they are, in an endpoint of their own. */
static struct doc_endpoint *split_port(
	struct merge *m, struct doc_network_policy *p, struct doc_endpoint *e, uint16_t port)
{
	size_t at = (size_t)(e - p->endpoints.list), n = 0;
	uint16_t *others = port_room(m, e);

	for (size_t i = 0; others && i < endpoint_ports(e); i++)
		if (endpoint_port(e, i) != port)
			others[n++] = endpoint_port(e, i);
	if (!others || (n && add_endpoint(m, p, e, others, n) < 0))
		return NULL;
	if (!endpoint_set_ports(m->d, &p->endpoints.list[at], &port, 1)) {
		(void)no_memory(m);
		return NULL;
	}
	return &p->endpoints.list[at];
}

static int add_l7(struct merge *m, const struct merge_op *op)
{
	struct doc_network_policy *rule = NULL;
	struct doc_endpoint *e = l7_target(m, op, &rule);
	int r = e ? check_l7(m, op, e) : -EINVAL;

	if (r < 0)
		return r;
	e = split_port(m, rule, e, op->port);
	if (!e)
		return -ENOMEM;
	if (op->type == MERGE_ADD_ALLOW && e->access.text && e->access.text[0]) {
		struct teller t = { .m = m, .host = op->host, .port = op->port };
		const char *access = e->access.text;

		if (endpoint_expand_access(m->d, e) < 0)
			return merge_fail(m, MERGE_UNSUPPORTED_ACCESS_PRESET,
				"endpoint %s:%u: access '%s' cannot be written out as rules",
				op->host, op->port, access);
		on_expanded(&t, access);
	}
	for (size_t i = 0; r == 0 && i < op->n_rules; i++)
		r = op->type == MERGE_ADD_ALLOW ? endpoint_add_rule(m->d, e, &op->rules[i])
						: endpoint_add_deny(m->d, e, &op->rules[i]);
	return r < 0 ? no_memory(m) : 0;
}

/* --- taking away --- */

static void drop_rule(struct policy_doc *d, size_t i)
{
	struct doc_network_policies *l = &d->network_policies;

	memmove(&l->list[i], &l->list[i + 1], (l->n - i - 1) * sizeof(*l->list));
	l->n--;
}

static int drop_port(struct merge *m, struct doc_network_policy *p, size_t i, uint16_t port)
{
	struct doc_endpoint *e = &p->endpoints.list[i];
	uint16_t *rest = port_room(m, e);
	size_t n = 0;

	for (size_t j = 0; rest && j < endpoint_ports(e); j++)
		if (endpoint_port(e, j) != port)
			rest[n++] = endpoint_port(e, j);
	if (!rest)
		return -ENOMEM;
	if (n)
		return endpoint_set_ports(m->d, e, rest, n) ? 0 : no_memory(m);
	memmove(e, e + 1, (p->endpoints.n - i - 1) * sizeof(*e));
	p->endpoints.n--;
	return 0;
}

static int remove_endpoint(struct merge *m, const struct merge_op *op)
{
	const struct doc_endpoint wanted = { .host.text = op->host };
	bool is_found = false;

	for (size_t i = m->d->network_policies.n; i-- > 0;) {
		struct doc_network_policy *p = &m->d->network_policies.list[i];

		for (size_t j = p->endpoints.n; j-- > 0 && !is_provider(p->head.key.text);) {
			const struct doc_endpoint *e = &p->endpoints.list[j];

			if (!endpoint_same_host(e, &wanted) || !endpoint_has_port(e, op->port))
				continue;
			is_found = true;
			if (drop_port(m, p, j, op->port) < 0)
				return -ENOMEM;
			if (!p->endpoints.n) {
				drop_rule(m->d, i);
				break;
			}
		}
	}
	if (!is_found)
		warn(m, "EndpointNotFound", "no rule has an endpoint %s:%u; nothing was removed",
			op->host, op->port);
	return 0;
}

static int remove_rule(struct merge *m, const struct merge_op *op)
{
	struct doc_network_policy *p = rule_find(m->d, op->rule_name);

	if (is_provider(op->rule_name))
		return merge_fail(
			m, MERGE_PROVIDER_RULE, "rule '%s' belongs to a provider", op->rule_name);
	if (p)
		drop_rule(m->d, (size_t)(p - m->d->network_policies.list));
	else
		warn(m, "RuleNotFound", "there is no rule '%s'; nothing was removed",
			op->rule_name);
	return 0;
}

static int remove_binary(struct merge *m, const struct merge_op *op)
{
	struct doc_network_policy *p = rule_find(m->d, op->rule_name);
	struct doc_binaries *l;

	if (!p)
		return remove_rule(m, op);
	l = &p->binaries;
	if (!l->n)
		return merge_fail(m, MERGE_CANNOT_REMOVE_BINARY_FROM_ANY,
			"rule '%s' names no binary that could be removed", op->rule_name);
	for (size_t i = l->n; i-- > 0;) {
		if (!str_eq(l->list[i].path.text, op->binary))
			continue;
		memmove(&l->list[i], &l->list[i + 1], (l->n - i - 1) * sizeof(*l->list));
		l->n--;
	}
	if (!l->n)
		drop_rule(m->d, (size_t)(p - m->d->network_policies.list));
	return 0;
}

static int (*const steps[])(struct merge *m, const struct merge_op *op) = {
	[MERGE_ADD_RULE] = add_rule,
	[MERGE_REMOVE_ENDPOINT] = remove_endpoint,
	[MERGE_REMOVE_RULE] = remove_rule,
	[MERGE_ADD_ALLOW] = add_l7,
	[MERGE_ADD_DENY] = add_l7,
	[MERGE_REMOVE_BINARY] = remove_binary,
};

int policy_merge(struct policy_doc *d, const struct merge_op *ops, size_t n,
	struct merge_report *ret, struct err *err)
{
	struct err local = { 0 };
	struct merge m = { .d = d, .report = ret, .err = err ? err : &local };
	int r = 0;

	*ret = (struct merge_report){ 0 };
	for (size_t i = 0; r == 0 && i < n; i++) {
		ret->step = i;
		r = steps[ops[i].type](&m, &ops[i]);
	}
	return r;
}
