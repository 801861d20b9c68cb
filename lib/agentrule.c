#include "lib/agentrule.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/jsontext.h"
#include "lib/policy.h"
#include "lib/policy_print.h"
#include "lib/proposal.h"
#include "lib/str.h"

/* --- names: agents write protobuf's JSON (allowedIps), policies are written in snake case --- */

static const char *const snake_keys[] = { "deny_rules", "allowed_ips", "allow_encoded_slash",
	"operation_type", "operation_name", "persisted_queries", "graphql_persisted_queries",
	"graphql_max_body_bytes", "json_rpc", "max_body_bytes", "strict_tool_names",
	"allow_all_known_mcp_methods", "websocket_credential_rewrite",
	"request_body_credential_rewrite", "allow_uninspected_credentials", "credential_signing",
	"signing_service", "signing_region", "credential_binding", NULL };

/* The key that @camel stands for, or @camel. */
static const char *snake_of(const char *camel)
{
	char name[64];
	size_t n = 0;

	for (const char *p = camel; *p; p++) {
		if (n + 2 >= sizeof(name))
			return camel;
		if (isupper((unsigned char)*p))
			name[n++] = '_';
		name[n++] = (char)tolower((unsigned char)*p);
	}
	name[n] = '\0';
	for (size_t i = 0; snake_keys[i]; i++)
		if (str_eq(name, snake_keys[i]))
			return snake_keys[i];
	return camel;
}

static json_t *renamed(const json_t *v);

static json_t *renamed_list(const json_t *v)
{
	json_t *a = json_array();

	for (size_t i = 0; a && i < json_array_size(v); i++) {
		if (json_array_append_new(a, renamed(json_array_get(v, i))) < 0) {
			json_decref(a);
			return NULL;
		}
	}
	return a;
}

/* The keys below these are the agent's own words. */
static bool is_free(const char *key)
{
	return str_eq(key, "query") || str_eq(key, "params") ||
	       str_eq(key, "graphql_persisted_queries");
}

static json_t *renamed_map(const json_t *v)
{
	json_t *o = json_object(), *item;
	const char *key;

	json_object_foreach ((json_t *)v, key, item) {
		const char *name = snake_of(key);

		/* Both spellings of one key: which one counts is nobody's guess. */
		if (json_object_get(o, name) ||
			json_object_set_new(o, name,
				is_free(name) ? json_incref(item) : renamed(item)) < 0) {
			json_decref(o);
			return NULL;
		}
	}
	return o;
}

static json_t *renamed(const json_t *v)
{
	if (json_is_array(v))
		return renamed_list(v);
	return json_is_object(v) ? renamed_map(v) : json_deep_copy(v);
}

/* --- one operation --- */

static const char *or_empty(const struct doc_str *s)
{
	return s->text ? s->text : "";
}

static const char *text_of(const json_t *o, const char *camel, const char *snake)
{
	const char *s = json_string_value(json_object_get(o, camel));

	return s ? s : json_string_value(json_object_get(o, snake));
}

static bool name_is_good(const char *name)
{
	size_t n =
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");

	return n && !name[n] && n <= AGENTRULE_NAME_MAX && name[0] != '_' && name[0] != '-' &&
	       name[0] != '.';
}

/* {"version":1,"network_policies":{NAME:RULE}}: JSON is YAML. */
static char *as_policy(const char *name, const json_t *rule)
{
	json_t *body = renamed(rule), *root;
	char *text;

	if (!body)
		return NULL;
	root = json_pack("{s:i, s:{s:o}}", "version", 1, "network_policies", name, body);
	text = root ? jsontext_dumps(root, JSON_ENCODE_ANY) : NULL;
	json_decref(root);
	return text;
}

static int print(const struct policy_doc *d, char **ret)
{
	auto_buf struct buf out;
	int r;

	buf_init(&out, AGENTRULE_BODY_MAX);
	r = policy_print(&out, d);
	if (r < 0)
		return r;
	*ret = buf_steal(&out);
	return *ret ? 0 : -ENOMEM;
}

static int check(const char *text, struct err *err)
{
	struct policy_findings findings = { 0 };
	struct policy *policy = NULL;
	int r = policy_load(text, strlen(text), &policy, &findings);

	if (r < 0)
		policy_findings_to_err(&findings, "rule", err);
	policy_findings_done(&findings);
	policy_unref(policy);
	return r;
}

/* What a proposal without these would grant is nothing, or not what it says. */
static int check_rule(const struct policy_doc *d, struct err *err)
{
	const struct doc_network_policy *p = d->network_policies.list;

	if (d->network_policies.n != 1 || !p->endpoints.n)
		return err_set(err, -EINVAL, "the rule has no endpoints");
	if (!p->binaries.n)
		return err_set(
			err, -EINVAL, "the rule has no binaries: name the program that asks");
	for (size_t i = 0; i < p->endpoints.n; i++) {
		const char *host = p->endpoints.list[i].host.text;

		if (!host || !host[0])
			return err_set(
				err, -EINVAL, "an endpoint without a host cannot be proposed");
		if (!proposal_is_proposable(host))
			return err_set(err, -EINVAL, "%.200s can be allowed by no policy", host);
	}
	return 0;
}

static int take_rule(struct agentrule *a, const char *name, const json_t *rule, struct err *err)
{
	auto_policy_doc struct policy_doc *d = NULL;
	auto_free char *text = as_policy(name, rule);
	int r = text ? check(text, err) :
		       err_set(err, -EINVAL, "rule: a key is there in two spellings");

	if (r == 0)
		r = policy_doc_parse(text, strlen(text), &d, NULL);
	if (r == 0)
		r = check_rule(d, err);
	if (r == 0)
		r = print(d, &a->yaml);
	if (r < 0)
		return r;
	a->name = strdup(name);
	a->binary = strdup(or_empty(&d->network_policies.list[0].binaries.list[0].path));
	return a->name && a->binary ? 0 : -ENOMEM;
}

static int take_operation(struct agentrules *ret, const json_t *op, struct err *err)
{
	const json_t *add = json_object_get(op, "addRule"), *rule;
	const char *name;

	if (!add)
		add = json_object_get(op, "add_rule");
	if (!json_is_object(add) || json_object_size(op) != 1)
		return err_set(err, -EINVAL,
			"operations[%zu]: addRule is the only operation that can be proposed",
			ret->n);
	rule = json_object_get(add, "rule");
	name = text_of(add, "ruleName", "rule_name");
	if (!name)
		name = text_of(rule, "name", "name");
	if (!json_is_object(rule) || !name)
		return err_set(
			err, -EINVAL, "operations[%zu].addRule needs ruleName and rule", ret->n);
	if (!name_is_good(name))
		return err_set(err, -EINVAL,
			"operations[%zu].addRule.ruleName: up to %d letters, digits, '_', '-' and "
			"'.', "
			"beginning with a letter or digit",
			ret->n, AGENTRULE_NAME_MAX);
	return take_rule(&ret->list[ret->n++], name, rule, err);
}

static void take_intent(struct agentrules *ret, const json_t *root)
{
	const char *s = text_of(root, "intentSummary", "intent_summary");
	size_t n = s ? strnlen(s, AGENTRULE_INTENT_MAX) : 0;

	/* Cut between characters. */
	while (n && s[n] && ((unsigned char)s[n] & 0xc0) == 0x80)
		n--;
	memcpy(ret->intent, s ? s : "", n);
	ret->intent[n] = '\0';
}

static int take_all(struct agentrules *ret, const json_t *root, struct err *err)
{
	const json_t *ops = json_object_get(root, "operations");
	size_t n = json_array_size(ops);
	int r = 0;

	if (!json_is_object(root))
		return err_set(err, -EINVAL, "the body is no JSON object");
	if (!json_is_array(ops) || n == 0 || n > AGENTRULE_OPERATIONS_MAX)
		return err_set(err, -EINVAL, "'operations' must be a list of 1 to %d operations",
			AGENTRULE_OPERATIONS_MAX);
	take_intent(ret, root);
	for (size_t i = 0; i < n && r == 0; i++)
		r = take_operation(ret, json_array_get(ops, i), err);
	return r;
}

int agentrules_parse(struct agentrules *ret, const char *json, size_t len, struct err *err)
{
	const char *why = NULL;
	json_t *root = NULL;
	int r = jsontext_parse(json, len, &root, &why);

	*ret = (struct agentrules){ 0 };
	if (r == -EBADMSG)
		return err_set(err, -EINVAL, "the body is not JSON: %s", why);
	if (r < 0)
		return r;
	r = take_all(ret, root, err);
	json_decref(root);
	if (r < 0)
		agentrules_done(ret);
	return r;
}

void agentrules_done(struct agentrules *a)
{
	for (size_t i = 0; i < a->n; i++) {
		free(a->list[i].name);
		free(a->list[i].binary);
		free(a->list[i].yaml);
	}
	*a = (struct agentrules){ 0 };
}

/* --- what to look out for --- */

struct notes {
	const char **list;
	size_t n;
};

static void note(struct notes *n, bool applies, const char *text)
{
	for (size_t i = 0; i < n->n; i++)
		applies = applies && n->list[i] != text;
	if (applies && n->n < AGENTRULE_NOTES_MAX)
		n->list[n->n++] = text;
}

static bool is_any(const struct doc_str *s)
{
	return s->text && (str_eq(s->text, "*") || str_eq(s->text, "**") || str_eq(s->text, "/**"));
}

static void note_rules(struct notes *n, const struct doc_endpoint *e)
{
	for (size_t i = 0; i < e->rules.n; i++) {
		const struct doc_rule *a = &e->rules.list[i].allow;

		note(n, is_any(&a->method), "every method");
		note(n, is_any(&a->path), "every path");
	}
}

static void note_port(struct notes *n, int64_t port)
{
	struct proposal p = { .host = "", .port = (uint16_t)port };
	const char *list[4];

	proposal_notes(&p, list);
	for (size_t i = 0; list[i]; i++)
		note(n, true, list[i]);
}

static void note_endpoint(struct notes *n, const struct doc_endpoint *e)
{
	const char *protocol = e->protocol.text;

	note(n, strpbrk(or_empty(&e->host), "*?[{") != NULL, "host wildcard");
	note(n, proposal_is_internal(or_empty(&e->host)), "internal address");
	note(n, e->allowed_ips.n > 0, "reaches private addresses (allowed_ips)");
	note(n, !protocol || str_eq(protocol, "") || str_eq(protocol, "tcp"),
		"not inspected: everything may be sent there");
	note(n, e->tls.text && str_eq(e->tls.text, "skip"), "TLS is not opened (tls: skip)");
	note(n, protocol && e->access.text && str_eq(e->access.text, "full"),
		"every method and path");
	note(n, protocol && !str_eq(e->enforcement.text, "enforce"),
		"rules are not enforced (enforcement is not 'enforce')");
	note(n,
		e->allow_uninspected_credentials.value || e->credential_binding.provider.text ||
			e->request_body_credential_rewrite.value ||
			e->websocket_credential_rewrite.value,
		"touches credentials");
	note_rules(n, e);
	note_port(n, e->port.value);
	for (size_t i = 0; i < e->ports.n; i++)
		note_port(n, e->ports.list[i].value);
}

void agentrule_notes(const struct policy_doc *d, const char **ret)
{
	struct notes n = { ret, 0 };

	for (size_t p = 0; p < d->network_policies.n; p++) {
		const struct doc_network_policy *rule = &d->network_policies.list[p];

		for (size_t i = 0; i < rule->endpoints.n; i++)
			note_endpoint(&n, &rule->endpoints.list[i]);
		for (size_t i = 0; i < rule->binaries.n; i++)
			note(&n, strpbrk(or_empty(&rule->binaries.list[i].path), "*?[{") != NULL,
				"binary wildcard");
	}
	ret[n.n] = NULL;
}
