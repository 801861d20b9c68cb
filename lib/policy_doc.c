/*
 * YAML tree → policy document, driven by one table of keys.
 *
 * A shape is a structure of the schema: its size and its fields. A field says where it lives and
 * how it reads. Reading is one loop over a map's pairs, so that an unknown key, a wrong type or a
 * number out of range is found in the same way everywhere.
 */
#include "lib/policy_doc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/policy_findings.h"
#include "lib/policy_shape.h"
#include "lib/str.h"

#define AT(type, member) .offset = offsetof(struct type, member)
#define FIELD(type, member, k, ...)                                                                \
	{                                                                                          \
		.name = #member, .kind = (k), AT(type, member), __VA_ARGS__                        \
	}
#define SHAPE(type, table)                                                                         \
	{                                                                                          \
		sizeof(struct type), table                                                         \
	}
#define END                                                                                        \
	{                                                                                          \
		.name = NULL                                                                       \
	}

enum { PORT_MAX = 65535, BODY_MAX = 64 * 1024 * 1024 };

static const struct doc_field rule_fields[] = {
	FIELD(doc_rule, method, DOC_FIELD_STR),
	FIELD(doc_rule, path, DOC_FIELD_STR),
	FIELD(doc_rule, command, DOC_FIELD_STR),
	FIELD(doc_rule, query, DOC_FIELD_MATCHERS),
	FIELD(doc_rule, operation_type, DOC_FIELD_STR),
	FIELD(doc_rule, operation_name, DOC_FIELD_STR),
	FIELD(doc_rule, fields, DOC_FIELD_STRS),
	FIELD(doc_rule, tool, DOC_FIELD_MATCHER),
	FIELD(doc_rule, params, DOC_FIELD_MATCHERS),
	END,
};
const struct doc_shape doc_rule_shape = SHAPE(doc_rule, rule_fields);

static const struct doc_field allow_fields[] = {
	FIELD(doc_allow, allow, DOC_FIELD_SECTION, .sub = &doc_rule_shape),
	END,
};
static const struct doc_shape allow_shape = SHAPE(doc_allow, allow_fields);

static const struct doc_field persisted_fields[] = {
	FIELD(doc_persisted, operation_type, DOC_FIELD_STR),
	FIELD(doc_persisted, operation_name, DOC_FIELD_STR),
	FIELD(doc_persisted, fields, DOC_FIELD_STRS),
	END,
};
static const struct doc_shape persisted_shape = SHAPE(doc_persisted, persisted_fields);

static const struct doc_field json_rpc_fields[] = {
	FIELD(doc_json_rpc, max_body_bytes, DOC_FIELD_INT, .max = BODY_MAX),
	END,
};
static const struct doc_shape json_rpc_shape = SHAPE(doc_json_rpc, json_rpc_fields);

static const struct doc_field mcp_fields[] = {
	FIELD(doc_mcp, max_body_bytes, DOC_FIELD_INT, .max = BODY_MAX),
	FIELD(doc_mcp, strict_tool_names, DOC_FIELD_BOOL),
	FIELD(doc_mcp, allow_all_known_mcp_methods, DOC_FIELD_BOOL),
	END,
};
static const struct doc_shape mcp_shape = SHAPE(doc_mcp, mcp_fields);

static const struct doc_field binding_fields[] = {
	FIELD(doc_credential_binding, provider, DOC_FIELD_STR, .is_required = true),
	END,
};
static const struct doc_shape binding_shape = SHAPE(doc_credential_binding, binding_fields);

static const struct doc_field endpoint_fields[] = {
	FIELD(doc_endpoint, host, DOC_FIELD_STR),
	FIELD(doc_endpoint, port, DOC_FIELD_INT, .max = PORT_MAX),
	FIELD(doc_endpoint, ports, DOC_FIELD_INTS, .max = PORT_MAX),
	FIELD(doc_endpoint, path, DOC_FIELD_STR),
	FIELD(doc_endpoint, protocol, DOC_FIELD_STR),
	FIELD(doc_endpoint, tls, DOC_FIELD_STR),
	FIELD(doc_endpoint, enforcement, DOC_FIELD_STR),
	FIELD(doc_endpoint, access, DOC_FIELD_STR),
	FIELD(doc_endpoint, rules, DOC_FIELD_LIST, .sub = &allow_shape),
	FIELD(doc_endpoint, deny_rules, DOC_FIELD_LIST, .sub = &doc_rule_shape),
	FIELD(doc_endpoint, allowed_ips, DOC_FIELD_STRS),
	FIELD(doc_endpoint, allow_encoded_slash, DOC_FIELD_BOOL),
	FIELD(doc_endpoint, websocket_credential_rewrite, DOC_FIELD_BOOL),
	FIELD(doc_endpoint, request_body_credential_rewrite, DOC_FIELD_BOOL),
	FIELD(doc_endpoint, allow_uninspected_credentials, DOC_FIELD_BOOL),
	FIELD(doc_endpoint, persisted_queries, DOC_FIELD_STR),
	FIELD(doc_endpoint, graphql_persisted_queries, DOC_FIELD_MAP, .sub = &persisted_shape),
	FIELD(doc_endpoint, graphql_max_body_bytes, DOC_FIELD_INT, .max = BODY_MAX),
	FIELD(doc_endpoint, json_rpc, DOC_FIELD_SECTION, .sub = &json_rpc_shape),
	FIELD(doc_endpoint, mcp, DOC_FIELD_SECTION, .sub = &mcp_shape),
	FIELD(doc_endpoint, credential_signing, DOC_FIELD_STR),
	FIELD(doc_endpoint, signing_service, DOC_FIELD_STR),
	FIELD(doc_endpoint, signing_region, DOC_FIELD_STR),
	FIELD(doc_endpoint, credential_binding, DOC_FIELD_SECTION, .sub = &binding_shape),
	END,
};
const struct doc_shape doc_endpoint_shape = SHAPE(doc_endpoint, endpoint_fields);

static const struct doc_field binary_fields[] = {
	FIELD(doc_binary, path, DOC_FIELD_STR, .is_required = true),
	FIELD(doc_binary, harness, DOC_FIELD_BOOL),
	END,
};
static const struct doc_shape binary_shape = SHAPE(doc_binary, binary_fields);

static const struct doc_field network_policy_fields[] = {
	FIELD(doc_network_policy, name, DOC_FIELD_STR),
	FIELD(doc_network_policy, endpoints, DOC_FIELD_LIST, .sub = &doc_endpoint_shape),
	FIELD(doc_network_policy, binaries, DOC_FIELD_LIST, .sub = &binary_shape),
	END,
};
const struct doc_shape doc_network_policy_shape = SHAPE(doc_network_policy, network_policy_fields);

static const struct doc_field selector_fields[] = {
	FIELD(doc_selector, include, DOC_FIELD_STRS),
	FIELD(doc_selector, exclude, DOC_FIELD_STRS),
	END,
};
static const struct doc_shape selector_shape = SHAPE(doc_selector, selector_fields);

static const struct doc_field config_fields[] = {
	FIELD(doc_regex_config, mode, DOC_FIELD_STR),
	END,
};
static const struct doc_shape config_shape = SHAPE(doc_regex_config, config_fields);

static const struct doc_field middleware_fields[] = {
	FIELD(doc_middleware, name, DOC_FIELD_STR),
	FIELD(doc_middleware, middleware, DOC_FIELD_STR, .is_required = true),
	FIELD(doc_middleware, order, DOC_FIELD_INT, .min = INT32_MIN, .max = INT32_MAX),
	FIELD(doc_middleware, config, DOC_FIELD_SECTION, .sub = &config_shape),
	FIELD(doc_middleware, on_error, DOC_FIELD_STR),
	FIELD(doc_middleware, endpoints, DOC_FIELD_SECTION, .sub = &selector_shape),
	END,
};
static const struct doc_shape middleware_shape = SHAPE(doc_middleware, middleware_fields);

static const struct doc_field filesystem_fields[] = {
	FIELD(doc_filesystem, include_workdir, DOC_FIELD_BOOL),
	FIELD(doc_filesystem, read_only, DOC_FIELD_STRS),
	FIELD(doc_filesystem, read_write, DOC_FIELD_STRS),
	END,
};
static const struct doc_shape filesystem_shape = SHAPE(doc_filesystem, filesystem_fields);

static const struct doc_field landlock_fields[] = {
	FIELD(doc_landlock, compatibility, DOC_FIELD_STR),
	END,
};
static const struct doc_shape landlock_shape = SHAPE(doc_landlock, landlock_fields);

static const struct doc_field process_fields[] = {
	FIELD(doc_process, run_as_user, DOC_FIELD_STR),
	FIELD(doc_process, run_as_group, DOC_FIELD_STR),
	FIELD(doc_process, allow_user_namespaces, DOC_FIELD_BOOL),
	END,
};
static const struct doc_shape process_shape = SHAPE(doc_process, process_fields);

static const struct doc_field top_fields[] = {
	FIELD(policy_doc, version, DOC_FIELD_INT, .max = UINT32_MAX, .is_required = true),
	FIELD(policy_doc, filesystem_policy, DOC_FIELD_SECTION, .sub = &filesystem_shape),
	FIELD(policy_doc, landlock, DOC_FIELD_SECTION, .sub = &landlock_shape),
	FIELD(policy_doc, process, DOC_FIELD_SECTION, .sub = &process_shape),
	FIELD(policy_doc, network_policies, DOC_FIELD_MAP, .sub = &doc_network_policy_shape),
	FIELD(policy_doc, network_middlewares, DOC_FIELD_MAP, .sub = &middleware_shape),
	END,
};
const struct doc_shape policy_doc_shape = SHAPE(policy_doc, top_fields);

enum { FIELDS_OF_SHAPE_MAX = 32 };

/* --- reading --- */

struct reading {
	struct policy_doc *doc;
	struct policy_findings *findings;
	bool has_errors;
	bool out_of_memory;
};

static void *doc_alloc(struct reading *r, size_t n, size_t size)
{
	void *p = arena_array(&r->doc->arena, n, size);

	if (!p)
		r->out_of_memory = true;
	return p;
}

#define complain(r, pos, path, ...)                                                                \
	((r)->has_errors = true,                                                                   \
		policy_finding((r)->findings, POLICY_ERROR, (pos), (path), __VA_ARGS__))

static void expected(
	struct reading *r, const struct yaml_node *v, const struct doc_path *path, const char *what)
{
	enum yaml_kind kind = yaml_kind(v);

	if (v->type == YAML_SCALAR && kind != YAML_NULL)
		complain(r, v->pos, path, "expected %s, got %s '%.80s'%s", what,
			yaml_kind_name(v) + 2, v->text,
			strcmp(what, "a string") == 0 ? ": put it in quotes" : "");
	else
		complain(r, v->pos, path, "expected %s, got %s", what, yaml_kind_name(v));
}

static void read_str(struct reading *r, const struct yaml_node *v, const struct doc_path *path,
	struct doc_str *out)
{
	if (v->type != YAML_SCALAR || yaml_kind(v) != YAML_STRING) {
		expected(r, v, path, "a string");
		return;
	}
	out->pos = v->pos;
	out->text = v->text;
}

static void read_bool(struct reading *r, const struct yaml_node *v, const struct doc_path *path,
	struct doc_bool *out)
{
	if (v->type != YAML_SCALAR || yaml_kind(v) != YAML_BOOL) {
		expected(r, v, path, "true or false");
		return;
	}
	*out = (struct doc_bool){
		.is_set = true, .pos = v->pos, .value = v->text[0] == 't' || v->text[0] == 'T'
	};
}

static void read_int(struct reading *r, const struct yaml_node *v, const struct doc_path *path,
	const struct doc_field *f, struct doc_int *out)
{
	bool is_negative = v->type == YAML_SCALAR && v->text[0] == '-';
	uint64_t magnitude;
	int64_t value;
	int error;

	if (v->type != YAML_SCALAR || yaml_kind(v) != YAML_INTEGER) {
		expected(r, v, path, "a number");
		return;
	}
	error = str_to_u64(v->text + is_negative, INT64_MAX, &magnitude);
	if (error == -EINVAL) {
		complain(r, v->pos, path, "'%.80s' is not a plain decimal number", v->text);
		return;
	}
	value = is_negative ? -(int64_t)magnitude : (int64_t)magnitude;
	if (error || value < f->min || value > f->max) {
		complain(r, v->pos, path, "%.80s is out of range; expected %lld to %lld", v->text,
			(long long)f->min, (long long)f->max);
		return;
	}
	*out = (struct doc_int){ .is_set = true, .pos = v->pos, .value = value };
}

/* The storage of a list or map field, which all have the same layout. */
struct any_list {
	void *list;
	size_t n;
	bool is_set;
	struct yaml_pos pos;
};

/* Makes room for the entries; NULL when the node is of another type. */
static void *open_list(struct reading *r, const struct yaml_node *v, const struct doc_path *path,
	enum yaml_type type, size_t size, void *out)
{
	struct any_list l = { .n = v->n, .is_set = true, .pos = v->pos };

	if (v->type != type) {
		expected(r, v, path, type == YAML_MAP ? "a map" : "a list");
		return NULL;
	}
	l.list = doc_alloc(r, v->n, size);
	if (l.list)
		memcpy(out, &l, sizeof(l));
	return l.list;
}

static void read_strs(struct reading *r, const struct yaml_node *v, const struct doc_path *path,
	struct doc_strs *out)
{
	struct doc_str *list = open_list(r, v, path, YAML_LIST, sizeof(*list), out);

	for (size_t i = 0; list && i < v->n; i++)
		read_str(r, v->list[i], PATH_INDEX(path, i), &list[i]);
}

static void read_ints(struct reading *r, const struct yaml_node *v, const struct doc_path *path,
	const struct doc_field *f, struct doc_ints *out)
{
	struct doc_int *list = open_list(r, v, path, YAML_LIST, sizeof(*list), out);

	for (size_t i = 0; list && i < v->n; i++)
		read_int(r, v->list[i], PATH_INDEX(path, i), f, &list[i]);
}

static void matcher_one(struct reading *r, const struct yaml_node *v, const struct doc_path *path,
	struct doc_matcher *m)
{
	struct doc_str *s = doc_alloc(r, 1, sizeof(*s));

	if (!s)
		return;
	read_str(r, v, path, s);
	m->values = (struct doc_strs){ .list = s, .n = 1, .is_set = true, .pos = v->pos };
}

/* A map that is no matcher is an attempt to look inside arguments, which nothing here can. */
static void matcher_map(struct reading *r, const struct yaml_node *v, const struct doc_path *path,
	struct doc_matcher *m)
{
	for (size_t i = 0; i < v->n; i++) {
		const char *key = v->map[i].key->text;

		if (strcmp(key, "any") == 0) {
			m->is_any = true;
			read_strs(r, v->map[i].value, PATH_KEY(path, "any"), &m->values);
		} else if (strcmp(key, "glob") == 0) {
			m->is_glob = true;
			matcher_one(r, v->map[i].value, PATH_KEY(path, "glob"), m);
		} else {
			complain(r, v->map[i].key->pos, path,
				"unknown matcher keys: '%.80s'; expected a string, {any: [...]} or "
				"{glob: ...}",
				key);
		}
	}
	if (v->n == 0)
		complain(r, v->pos, path, "expected a string, {any: [...]} or {glob: ...}");
	else if (m->is_any && m->is_glob)
		complain(r, v->pos, path, "any and glob are mutually exclusive");
}

static void read_matcher(struct reading *r, const struct yaml_node *v, const struct doc_path *path,
	struct doc_matcher *m)
{
	m->head.is_set = true;
	m->head.pos = v->pos;
	if (v->type == YAML_MAP)
		matcher_map(r, v, path, m);
	else if (v->type == YAML_SCALAR)
		matcher_one(r, v, path, m);
	else
		expected(r, v, path, "a string, {any: [...]} or {glob: ...}");
}

static void read_matchers(struct reading *r, const struct yaml_node *v, const struct doc_path *path,
	struct doc_matchers *out)
{
	struct doc_matcher *list = open_list(r, v, path, YAML_MAP, sizeof(*list), out);

	for (size_t i = 0; list && i < v->n; i++) {
		const struct yaml_node *key = v->map[i].key;

		list[i].head.key = (struct doc_str){ key->text, key->pos };
		read_matcher(r, v->map[i].value, PATH_KEY(path, key->text), &list[i]);
	}
}

static void read_shape(struct reading *r, const struct yaml_node *v, const struct doc_path *path,
	const struct doc_shape *shape, void *out);

static void read_list(struct reading *r, const struct yaml_node *v, const struct doc_path *path,
	const struct doc_shape *shape, void *out)
{
	char *list = open_list(r, v, path, YAML_LIST, shape->size, out);

	for (size_t i = 0; list && i < v->n; i++)
		read_shape(r, v->list[i], PATH_INDEX(path, i), shape, list + i * shape->size);
}

static void read_map(struct reading *r, const struct yaml_node *v, const struct doc_path *path,
	const struct doc_shape *shape, void *out)
{
	char *list = open_list(r, v, path, YAML_MAP, shape->size, out);

	for (size_t i = 0; list && i < v->n; i++) {
		const struct yaml_node *key = v->map[i].key;
		struct doc_head *head = (struct doc_head *)(void *)(list + i * shape->size);

		read_shape(r, v->map[i].value, PATH_KEY(path, key->text), shape, head);
		head->key = (struct doc_str){ key->text, key->pos };
	}
}

/* A section without content ("landlock:") is absent, as upstream has it. */
static void read_section(struct reading *r, const struct yaml_node *v, const struct doc_path *path,
	const struct doc_shape *shape, void *out)
{
	if (yaml_kind(v) != YAML_NULL)
		read_shape(r, v, path, shape, out);
}

static void read_field(struct reading *r, const struct yaml_node *v, const struct doc_path *path,
	const struct doc_field *f, void *out)
{
	switch (f->kind) {
	case DOC_FIELD_STR:
		read_str(r, v, path, out);
		return;
	case DOC_FIELD_BOOL:
		read_bool(r, v, path, out);
		return;
	case DOC_FIELD_INT:
		read_int(r, v, path, f, out);
		return;
	case DOC_FIELD_STRS:
		read_strs(r, v, path, out);
		return;
	case DOC_FIELD_INTS:
		read_ints(r, v, path, f, out);
		return;
	case DOC_FIELD_SECTION:
		read_section(r, v, path, f->sub, out);
		return;
	case DOC_FIELD_LIST:
		read_list(r, v, path, f->sub, out);
		return;
	case DOC_FIELD_MAP:
		read_map(r, v, path, f->sub, out);
		return;
	case DOC_FIELD_MATCHER:
		read_matcher(r, v, path, out);
		return;
	case DOC_FIELD_MATCHERS:
		read_matchers(r, v, path, out);
		return;
	}
}

static const struct doc_field *field_find(const struct doc_shape *shape, const char *name)
{
	for (const struct doc_field *f = shape->fields; f->name; f++)
		if (f->name[0] == name[0] && strcmp(f->name, name) == 0)
			return f;
	return NULL;
}

static void unknown_key(struct reading *r, const struct yaml_node *key, const struct doc_path *path,
	const struct doc_shape *shape)
{
	const char *names[FIELDS_OF_SHAPE_MAX + 1], *meant;
	size_t n = 0;

	for (const struct doc_field *f = shape->fields; f->name; f++)
		names[n++] = f->name;
	names[n] = NULL;
	meant = str_suggest(key->text, names);
	complain(r, key->pos, path, "unknown field '%.80s'%s%s%s", key->text,
		meant ? " (did you mean '" : "", meant ? meant : "", meant ? "'?)" : "");
}

static void read_shape(struct reading *r, const struct yaml_node *v, const struct doc_path *path,
	const struct doc_shape *shape, void *out)
{
	struct doc_head *head =
		shape == &policy_doc_shape ? &((struct policy_doc *)out)->head : out;
	uint64_t seen = 0;

	if (v->type != YAML_MAP) {
		expected(r, v, path, "a map");
		return;
	}
	head->is_set = true;
	head->pos = v->pos;
	for (size_t i = 0; i < v->n; i++) {
		const struct yaml_node *key = v->map[i].key;
		const struct doc_field *f = field_find(shape, key->text);

		if (!f) {
			unknown_key(r, key, path, shape);
			continue;
		}
		seen |= 1ull << (f - shape->fields);
		read_field(r, v->map[i].value, PATH_KEY(path, f->name), f, (char *)out + f->offset);
	}
	for (const struct doc_field *f = shape->fields; f->name; f++)
		if (f->is_required && !(seen >> (f - shape->fields) & 1))
			complain(r, v->pos, path, "missing field '%s'", f->name);
}

static void on_yaml_error(void *opaque, struct yaml_pos pos, const char *text)
{
	struct reading *r = opaque;

	complain(r, pos, NULL, "%s", text);
}

static int read_text(struct reading *r, const char *text, size_t len)
{
	const struct yaml_node *root;
	int error;

	if (len > POLICY_TEXT_MAX) {
		complain(r, (struct yaml_pos){ 0 }, NULL, "too large: %zu bytes, at most %d", len,
			POLICY_TEXT_MAX);
		return -E2BIG;
	}
	error = yaml_load(&r->doc->arena, text, len, on_yaml_error, r, &root);
	if (error)
		return error;
	if (!root) {
		complain(r, ((struct yaml_pos){ 1, 1 }), NULL, "the policy is empty");
		return -EINVAL;
	}
	read_shape(r, root, NULL, &policy_doc_shape, r->doc);
	if (r->out_of_memory)
		return -ENOMEM;
	return r->has_errors ? -EINVAL : 0;
}

int policy_doc_parse(
	const char *text, size_t len, struct policy_doc **ret, struct policy_findings *findings)
{
	auto_policy_doc struct policy_doc *doc = policy_doc_new();
	struct reading r = { .doc = doc, .findings = findings };
	int error;

	if (!doc)
		return -ENOMEM;
	error = read_text(&r, text, len);
	policy_findings_sort(findings);
	if (error)
		return error;
	*ret = take_ptr(doc);
	return 0;
}

struct policy_doc *policy_doc_new(void)
{
	struct policy_doc *doc = calloc(1, sizeof(*doc));

	if (doc)
		arena_init(&doc->arena, YAML_ARENA_MAX);
	return doc;
}

void policy_doc_free(struct policy_doc *d)
{
	if (!d)
		return;
	arena_done(&d->arena);
	free(d);
}

struct doc_str policy_doc_string(struct policy_doc *d, const char *text)
{
	return (struct doc_str){ .text = arena_strndup(&d->arena, text, strlen(text)) };
}

void *policy_doc_grow(struct policy_doc *d, const void *list, size_t n, size_t size)
{
	void *grown = arena_array(&d->arena, n + 1, size);

	if (grown && n)
		memcpy(grown, list, n * size);
	return grown;
}

/* --- what keys there are --- */

static void walk_fields(const struct doc_shape *shape, const char *prefix,
	void (*each)(void *opaque, const char *path), void *opaque)
{
	char path[256];

	for (const struct doc_field *f = shape->fields; f->name; f++) {
		(void)snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "." : "", f->name);
		each(opaque, path);
		if (!f->sub)
			continue;
		if (f->kind == DOC_FIELD_MAP)
			(void)strcat(path, ".*");
		else if (f->kind == DOC_FIELD_LIST)
			(void)strcat(path, "[]");
		walk_fields(f->sub, path, each, opaque);
	}
}

void policy_doc_fields(void (*each)(void *opaque, const char *path), void *opaque)
{
	walk_fields(&policy_doc_shape, "", each, opaque);
}
