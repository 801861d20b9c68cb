#include "lib/analyzer.h"
#include "lib/jsontext.h"
#include "lib/spec.h"

#include <errno.h>
#include <jansson.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "lib/strv.h"

enum field_type { FIELD_STR, FIELD_LIST, FIELD_BOOL, FIELD_U64, FIELD_INTERCEPT };

/* The JSON keys are stable: metadata.json outlives the build that wrote it. */
static const struct field {
	const char *key;
	enum field_type type;
	size_t at;
} fields[] = {
	{ "id", FIELD_STR, offsetof(struct sandbox_spec, id) },
	{ "name", FIELD_STR, offsetof(struct sandbox_spec, name) },
	{ "created_at_ms", FIELD_U64, offsetof(struct sandbox_spec, created_ms) },
	{ "workdir", FIELD_STR, offsetof(struct sandbox_spec, workdir) },
	{ "ro", FIELD_LIST, offsetof(struct sandbox_spec, ro) },
	{ "rw", FIELD_LIST, offsetof(struct sandbox_spec, rw) },
	{ "protect", FIELD_LIST, offsetof(struct sandbox_spec, protect) },
	{ "home", FIELD_LIST, offsetof(struct sandbox_spec, home) },
	{ "home_ro", FIELD_LIST, offsetof(struct sandbox_spec, home_ro) },
	{ "links", FIELD_LIST, offsetof(struct sandbox_spec, links) },
	{ "env", FIELD_LIST, offsetof(struct sandbox_spec, env) },
	{ "providers", FIELD_LIST, offsetof(struct sandbox_spec, providers) },
	{ "labels", FIELD_LIST, offsetof(struct sandbox_spec, labels) },
	{ "keep", FIELD_BOOL, offsetof(struct sandbox_spec, keep) },
	{ "audit", FIELD_BOOL, offsetof(struct sandbox_spec, audit) },
	{ "agent_proposals", FIELD_BOOL, offsetof(struct sandbox_spec, agent_proposals) },
	{ "stacks", FIELD_BOOL, offsetof(struct sandbox_spec, stacks) },
	{ "connect_to", FIELD_LIST, offsetof(struct sandbox_spec, connect_to) },
	{ "deny", FIELD_LIST, offsetof(struct sandbox_spec, deny) },
	{ "upstream_ca", FIELD_STR, offsetof(struct sandbox_spec, upstream_ca) },
	{ "upstream_proxy", FIELD_STR, offsetof(struct sandbox_spec, upstream_proxy) },
	{ "no_proxy", FIELD_STR, offsetof(struct sandbox_spec, no_proxy) },
	{ "intercept", FIELD_INTERCEPT, offsetof(struct sandbox_spec, intercept) },
	{ "command", FIELD_LIST, offsetof(struct sandbox_spec, command) },
	{ "cpu_milli", FIELD_U64, offsetof(struct sandbox_spec, cpu_milli) },
	{ "memory", FIELD_U64, offsetof(struct sandbox_spec, memory) },
	{ "tty", FIELD_BOOL, offsetof(struct sandbox_spec, tty) },
};

static const char *const intercept_names[] = {
	[SPEC_INTERCEPT_AUTO] = "auto",
	[SPEC_INTERCEPT_SECCOMP] = "seccomp",
	[SPEC_INTERCEPT_PTRACE] = "ptrace",
	[SPEC_INTERCEPT_PRELOAD] = "preload",
};

static void *at(const struct sandbox_spec *s, const struct field *f)
{
	return (char *)s + f->at;
}

void spec_done(struct sandbox_spec *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (fields[i].type == FIELD_STR)
			free(*(char **)at(s, &fields[i]));
		else if (fields[i].type == FIELD_LIST)
			strv_free(*(char ***)at(s, &fields[i]));
	}
	memset(s, 0, sizeof(*s));
}

const char *spec_intercept_name(enum spec_intercept i)
{
	return intercept_names[i];
}

int spec_intercept_parse(const char *name, enum spec_intercept *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(intercept_names); i++) {
		if (str_eq(name, intercept_names[i])) {
			*ret = (enum spec_intercept)i;
			return 0;
		}
	}
	return -EINVAL;
}

static json_t *list_to_json(char *const *list)
{
	json_t *a = json_array();

	for (size_t i = 0; list && list[i]; i++) {
		if (json_array_append_new(a, json_string(list[i])) < 0) {
			json_decref(a);
			return NULL;
		}
	}
	return a;
}

static json_t *field_to_json(const struct sandbox_spec *s, const struct field *f)
{
	const void *p = at(s, f);

	switch (f->type) {
	case FIELD_STR:
		return *(char *const *)p ? json_string(*(char *const *)p) : json_null();
	case FIELD_LIST:
		return list_to_json(*(char **const *)p);
	case FIELD_BOOL:
		return json_boolean(*(const bool *)p);
	case FIELD_U64:
		return json_integer((json_int_t) * (const uint64_t *)p);
	case FIELD_INTERCEPT:
		return json_string(spec_intercept_name(*(const enum spec_intercept *)p));
	}
	return NULL;
}

char *spec_to_json(const struct sandbox_spec *s)
{
	json_t *root = json_object();
	char *text = NULL;
	bool ok = true;

	for (size_t i = 0; ok && i < ARRAY_SIZE(fields); i++)
		ok = json_object_set_new(root, fields[i].key, field_to_json(s, &fields[i])) == 0;
	if (ok)
		text = jsontext_dumps(root, JSON_COMPACT);
	json_decref(root);
	return text;
}

static int list_from_json(char ***ret, const json_t *v)
{
	auto_strv char **list = NULL;

	if (!json_is_array(v) || json_array_size(v) > SPEC_LIST_MAX)
		return -EINVAL;
	for (size_t i = 0; i < json_array_size(v); i++) {
		const char *s = json_string_value(json_array_get(v, i));
		int r = s ? strv_push(&list, s) : -EINVAL;

		if (r < 0)
			return r;
	}
	*ret = take_ptr(list);
	return 0;
}

/* gcc 12: what hangs below @ret is the caller's. */
ANALYZER_OFF("-Wanalyzer-malloc-leak")
static int str_from_json(char **ret, const json_t *v)
{
	if (json_is_null(v))
		return 0;
	if (!json_is_string(v))
		return -EINVAL;
	*ret = strdup(json_string_value(v));
	return *ret ? 0 : -ENOMEM;
}
ANALYZER_ON

static int field_from_json(struct sandbox_spec *s, const struct field *f, const json_t *v)
{
	void *p = at(s, f);

	switch (f->type) {
	case FIELD_STR:
		return str_from_json(p, v);
	case FIELD_LIST:
		return list_from_json(p, v);
	case FIELD_BOOL:
		*(bool *)p = json_is_true(v);
		return json_is_boolean(v) ? 0 : -EINVAL;
	case FIELD_U64:
		*(uint64_t *)p = (uint64_t)json_integer_value(v);
		return json_is_integer(v) && json_integer_value(v) >= 0 ? 0 : -EINVAL;
	case FIELD_INTERCEPT:
		return json_is_string(v) ? spec_intercept_parse(json_string_value(v), p) : -EINVAL;
	}
	return -EINVAL;
}

static const struct field *field_find(const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (str_eq(key, fields[i].key))
			return &fields[i];
	}
	return NULL;
}

static int fill(struct sandbox_spec *s, json_t *root, struct err *err)
{
	const char *key;
	json_t *v;
	int r;

	if (!json_is_object(root))
		return err_set(err, -EINVAL, "sandbox metadata: not a JSON object");
	json_object_foreach (root, key, v) {
		const struct field *f = field_find(key);

		if (!f)
			return err_set(err, -EINVAL, "sandbox metadata: unknown key '%s'", key);
		r = field_from_json(s, f, v);
		if (r < 0)
			return err_set(err, r, "sandbox metadata: bad value of '%s'", key);
	}
	if (!s->name)
		return err_set(err, -EINVAL, "sandbox metadata: no name");
	return 0;
}

int spec_from_json(struct sandbox_spec *ret, const char *json, size_t len, struct err *err)
{
	struct sandbox_spec s = { 0 };
	json_error_t why;
	json_t *root;
	int r;

	root = jsontext_load(json, len, JSON_REJECT_DUPLICATES, &why);
	if (!root)
		return err_set(err, -EINVAL, "sandbox metadata: %s", why.text);
	r = fill(&s, root, err);
	json_decref(root);
	if (r < 0) {
		spec_done(&s);
		return r;
	}
	*ret = s;
	return 0;
}

void spec_new_id(char ret[37])
{
	unsigned char b[16];

	/* With flags 0 and up to 256 bytes this blocks at boot at most and cannot fail after. */
	if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
		abort();
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40); /* RFC 9562: version 4, variant 10 */
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	(void)str_format(ret, 37,
		"%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
		b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
		b[15]);
}
