#include "lib/policy_merge_endpoint.h"

#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/policy_shape.h"
#include "lib/str.h"

/* --- what it is about --- */

size_t endpoint_ports(const struct doc_endpoint *e)
{
	return e->port.is_set ? 1 : e->ports.n;
}

uint16_t endpoint_port(const struct doc_endpoint *e, size_t i)
{
	return (uint16_t)(e->port.is_set ? e->port.value : e->ports.list[i].value);
}

bool endpoint_has_port(const struct doc_endpoint *e, uint16_t port)
{
	for (size_t i = 0; i < endpoint_ports(e); i++)
		if (endpoint_port(e, i) == port)
			return true;
	return false;
}

bool endpoint_set_ports(
	struct policy_doc *d, struct doc_endpoint *e, const uint16_t *ports, size_t n)
{
	struct doc_int *list = policy_doc_grow(d, NULL, 0, n * sizeof(*list));

	if (!list)
		return false;
	for (size_t i = 0; i < n; i++)
		list[i] = (struct doc_int){ .is_set = true, .value = ports[i] };
	e->port = n == 1 ? list[0] : (struct doc_int){ 0 };
	e->ports = (struct doc_ints){ 0 };
	if (n != 1)
		e->ports = (struct doc_ints){ .list = list, .n = n, .is_set = true };
	return true;
}

const char *endpoint_path(const struct doc_endpoint *e)
{
	const char *path = e->path.text ? e->path.text : "";

	return strcmp(path, "**") == 0 || strcmp(path, "/**") == 0 ? "" : path;
}

bool endpoint_same_host(const struct doc_endpoint *a, const struct doc_endpoint *b)
{
	return str_case_eq(a->host.text ? a->host.text : "", b->host.text ? b->host.text : "");
}

bool endpoint_same_selector(const struct doc_endpoint *a, const struct doc_endpoint *b)
{
	return endpoint_same_host(a, b) && strcmp(endpoint_path(a), endpoint_path(b)) == 0;
}

bool endpoint_shares_port(const struct doc_endpoint *a, const struct doc_endpoint *b)
{
	for (size_t i = 0; i < endpoint_ports(a); i++)
		if (endpoint_has_port(b, endpoint_port(a, i)))
			return true;
	return false;
}

/* --- rules --- */

bool rules_have(const struct doc_endpoint *e, const struct doc_rule *rule)
{
	for (size_t i = 0; i < e->rules.n; i++)
		if (doc_equal(&doc_rule_shape, &e->rules.list[i].allow, rule))
			return true;
	return false;
}

bool deny_rules_have(const struct doc_endpoint *e, const struct doc_rule *rule)
{
	for (size_t i = 0; i < e->deny_rules.n; i++)
		if (doc_equal(&doc_rule_shape, &e->deny_rules.list[i], rule))
			return true;
	return false;
}

int endpoint_add_rule(struct policy_doc *d, struct doc_endpoint *e, const struct doc_rule *rule)
{
	struct doc_allow *grown;

	if (rules_have(e, rule))
		return 0;
	grown = policy_doc_grow(d, e->rules.list, e->rules.n, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	grown[e->rules.n].head.is_set = true;
	grown[e->rules.n].allow = *rule;
	grown[e->rules.n++].allow.head.is_set = true;
	e->rules.list = grown;
	e->rules.is_set = true;
	return 0;
}

int endpoint_add_deny(struct policy_doc *d, struct doc_endpoint *e, const struct doc_rule *rule)
{
	struct doc_rule *grown;

	if (deny_rules_have(e, rule))
		return 0;
	grown = policy_doc_grow(d, e->deny_rules.list, e->deny_rules.n, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	grown[e->deny_rules.n] = *rule;
	grown[e->deny_rules.n++].head.is_set = true;
	e->deny_rules.list = grown;
	e->deny_rules.is_set = true;
	return 0;
}

/* --- access presets --- */

#define ALLOW_METHOD(m)                                                                            \
	{                                                                                          \
		.head.is_set = true, .method.text = m, .path.text = "**"                           \
	}
#define ALLOW_OPERATION(t)                                                                         \
	{                                                                                          \
		.head.is_set = true, .operation_type.text = t                                      \
	}

static const struct doc_rule http_rules[] = {
	ALLOW_METHOD("GET"),
	ALLOW_METHOD("HEAD"),
	ALLOW_METHOD("OPTIONS"),
	ALLOW_METHOD("POST"),
	ALLOW_METHOD("PUT"),
	ALLOW_METHOD("PATCH"),
};
static const struct doc_rule websocket_rules[] = {
	ALLOW_METHOD("GET"),
	ALLOW_METHOD("WEBSOCKET_TEXT"),
};
static const struct doc_rule graphql_rules[] = {
	ALLOW_OPERATION("query"),
	ALLOW_OPERATION("mutation"),
};
static const struct doc_rule any_method[] = { ALLOW_METHOD("*") };
static const struct doc_rule any_operation[] = { ALLOW_OPERATION("*") };

static const struct preset {
	const char *protocol, *access; /* protocol NULL: the others */
	const struct doc_rule *rules;
	int n;
} presets[] = {
	{ "websocket", "read-only", websocket_rules, 1 },
	{ "websocket", "read-write", websocket_rules, 2 },
	{ "graphql", "read-only", graphql_rules, 1 },
	{ "graphql", "read-write", graphql_rules, 2 },
	{ "graphql", "full", any_operation, 1 },
	{ NULL, "read-only", http_rules, 3 },
	{ NULL, "read-write", http_rules, 6 },
	{ NULL, "full", any_method, 1 },
};

int access_rules(const struct doc_endpoint *e, const struct doc_rule **ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(presets); i++) {
		const struct preset *p = &presets[i];

		if (!str_eq(p->access, e->access.text) ||
			(p->protocol && !str_case_eq(p->protocol, e->protocol.text)))
			continue;
		*ret = p->rules;
		return p->n;
	}
	return -1;
}

int endpoint_expand_access(struct policy_doc *d, struct doc_endpoint *e)
{
	const struct doc_rule *rules;
	int n = access_rules(e, &rules), r = 0;

	if (n < 0)
		return -EINVAL;
	e->access = (struct doc_str){ 0 };
	for (int i = 0; i < n && r == 0; i++)
		r = endpoint_add_rule(d, e, &rules[i]);
	return r;
}

/* --- merging --- */

/* Fields that are not merged like a plain value: they select, or are unions. */
static bool is_special(const struct doc_field *f)
{
	static const char *const names[] = { "host", "port", "ports", "path", "access", "rules",
		"deny_rules", "allowed_ips" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(f->name, names[i]) == 0)
			return true;
	return false;
}

static bool has_text(const struct doc_str *s)
{
	return s->text && s->text[0];
}

/* "" is written for absence in upstream's schema, and false is what absence means. */
static bool says_something(const struct doc_field *f, const void *value)
{
	if (f->kind == DOC_FIELD_STR)
		return has_text(value);
	if (f->kind == DOC_FIELD_BOOL)
		return ((const struct doc_bool *)value)->is_set &&
		       ((const struct doc_bool *)value)->value;
	return doc_field_is_set(f, value);
}

static bool has_ip(const struct doc_endpoint *e, const char *ip)
{
	for (size_t i = 0; i < e->allowed_ips.n; i++)
		if (str_eq(e->allowed_ips.list[i].text, ip))
			return true;
	return false;
}

static bool rules_would_change(const struct doc_endpoint *to, const struct doc_endpoint *from)
{
	for (size_t i = 0; i < from->rules.n; i++)
		if (!rules_have(to, &from->rules.list[i].allow))
			return true;
	for (size_t i = 0; i < from->deny_rules.n; i++)
		if (!deny_rules_have(to, &from->deny_rules.list[i]))
			return true;
	for (size_t i = 0; i < from->allowed_ips.n; i++)
		if (!has_ip(to, from->allowed_ips.list[i].text))
			return true;
	return has_text(&from->access) && !has_text(&to->access) && !to->rules.n;
}

bool endpoint_would_change(const struct doc_endpoint *to, const struct doc_endpoint *from)
{
	for (const struct doc_field *f = doc_endpoint_shape.fields; f->name; f++)
		if (!is_special(f) && says_something(f, (const char *)from + f->offset) &&
			!says_something(f, (const char *)to + f->offset))
			return true;
	return rules_would_change(to, from);
}

static bool declares_rules(const struct doc_endpoint *from, const struct doc_endpoint *to)
{
	if (has_text(&from->access) && !str_eq(from->access.text, to->access.text))
		return !has_text(&to->access) && !to->rules.n;
	if (!from->rules.n)
		return true;
	if (has_text(&to->access))
		return false;
	for (size_t i = 0; i < to->rules.n; i++)
		if (!rules_have(from, &to->rules.list[i].allow))
			return false;
	return true;
}

bool endpoint_declares(const struct doc_endpoint *from, const struct doc_endpoint *to)
{
	for (const struct doc_field *f = doc_endpoint_shape.fields; f->name; f++) {
		const void *x = (const char *)from + f->offset, *y = (const char *)to + f->offset;

		if (!is_special(f) && says_something(f, x) && says_something(f, y) &&
			!doc_field_equal(f, x, y))
			return false;
	}
	return declares_rules(from, to);
}

static const char *text_of(const struct doc_field *f, const void *value)
{
	return f->kind == DOC_FIELD_STR ? ((const struct doc_str *)value)->text : "its value";
}

static void merge_plain(
	const struct endpoint_merge *m, struct doc_endpoint *to, const struct doc_endpoint *from)
{
	for (const struct doc_field *f = doc_endpoint_shape.fields; f->name; f++) {
		const void *x = (const char *)from + f->offset;
		void *y = (char *)to + f->offset;
		size_t size = f->kind == DOC_FIELD_SECTION ? f->sub->size
			      : f->kind == DOC_FIELD_STR   ? sizeof(struct doc_str)
			      : f->kind == DOC_FIELD_BOOL  ? sizeof(struct doc_bool)
			      : f->kind == DOC_FIELD_INT   ? sizeof(struct doc_int)
							   : sizeof(struct doc_any_list);

		if (is_special(f) || !says_something(f, x) || doc_field_equal(f, x, y))
			continue;
		if (says_something(f, y))
			m->on_retained(m->arg, f->name, text_of(f, y), text_of(f, x));
		else
			memcpy(y, x, size);
	}
}

static int merge_ips(
	const struct endpoint_merge *m, struct doc_endpoint *to, const struct doc_endpoint *from)
{
	for (size_t i = 0; i < from->allowed_ips.n; i++) {
		struct doc_strs *l = &to->allowed_ips;
		struct doc_str *grown;

		if (has_ip(to, from->allowed_ips.list[i].text))
			continue;
		grown = policy_doc_grow(m->d, l->list, l->n, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		grown[l->n] = from->allowed_ips.list[i];
		*l = (struct doc_strs){ .list = grown, .n = l->n + 1, .is_set = true };
	}
	return 0;
}

static void merge_access(
	const struct endpoint_merge *m, struct doc_endpoint *to, const struct doc_endpoint *from)
{
	if (!has_text(&from->access) || str_eq(from->access.text, to->access.text))
		return;
	if (has_text(&to->access) || to->rules.n)
		m->on_retained(m->arg, "access", has_text(&to->access) ? to->access.text : NULL,
			from->access.text);
	else
		to->access = from->access;
}

static int merge_rules(
	const struct endpoint_merge *m, struct doc_endpoint *to, const struct doc_endpoint *from)
{
	int r = 0;

	if (from->rules.n && has_text(&to->access)) {
		const char *access = to->access.text;

		r = endpoint_expand_access(m->d, to);
		if (r < 0)
			return r;
		m->on_expanded(m->arg, access);
	}
	for (size_t i = 0; r == 0 && i < from->rules.n; i++)
		r = endpoint_add_rule(m->d, to, &from->rules.list[i].allow);
	for (size_t i = 0; r == 0 && i < from->deny_rules.n; i++)
		r = endpoint_add_deny(m->d, to, &from->deny_rules.list[i]);
	return r;
}

int endpoint_merge(
	const struct endpoint_merge *m, struct doc_endpoint *to, const struct doc_endpoint *from)
{
	int r;

	merge_access(m, to, from);
	merge_plain(m, to, from);
	r = merge_rules(m, to, from);
	return r < 0 ? r : merge_ips(m, to, from);
}
