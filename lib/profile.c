#include "lib/analyzer.h"
#include "lib/profile.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/str.h"
#include "lib/strv.h"
#include "lib/yaml.h"

enum { ARENA_MAX = 8 * 1024 * 1024, POLICY_MAX = 4 * PROFILE_TEXT_MAX };

void profile_done(struct profile *p)
{
	free(p->name);
	free(p->description);
	free(p->not_granted);
	free(p->provider);
	strv_free(p->commands);
	strv_free(p->home_rw);
	strv_free(p->home_ro);
	strv_free(p->protect);
	free(p->policy);
	*p = (struct profile){ 0 };
}

static int fail(struct err *err, struct yaml_pos pos, const char *what, const char *detail)
{
	return err_set(err, -EINVAL, "%u:%u: %s%s%s", pos.line, pos.column, what, detail ? " " : "",
		detail ? detail : "");
}

static void on_yaml_error(void *opaque, struct yaml_pos pos, const char *text)
{
	struct err *err = opaque;

	if (!err->text[0])
		(void)fail(err, pos, text, NULL);
}

/* --- the section --- */

/* Relative, without "." or "..": it stays below the home directory. */
static bool is_home_path(const char *s)
{
	for (;;) {
		size_t n = strcspn(s, "/");

		if (n == 0 || (n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
			return false;
		if (!s[n])
			return true;
		s += n + 1;
	}
}

/* gcc 12: what hangs below @ret is the caller's. */
ANALYZER_OFF("-Wanalyzer-malloc-leak")
static int take_text(char **ret, const struct yaml_node *n, struct err *err)
{
	if (n->type != YAML_SCALAR || yaml_kind(n) == YAML_NULL)
		return fail(err, n->pos, "expected a string, got", yaml_kind_name(n));
	*ret = strdup(n->text);
	return *ret ? 0 : -ENOMEM;
}
ANALYZER_ON

static int take_list(char ***ret, const struct yaml_node *n, bool are_paths, struct err *err)
{
	if (n->type != YAML_LIST)
		return fail(err, n->pos, "expected a list, got", yaml_kind_name(n));
	if (n->n > PROFILE_LIST_MAX)
		return fail(err, n->pos, "the list is too long", NULL);
	for (uint32_t i = 0; i < n->n; i++) {
		const struct yaml_node *e = n->list[i];

		if (e->type != YAML_SCALAR || !e->text[0])
			return fail(err, e->pos, "expected a string, got", yaml_kind_name(e));
		if (are_paths ? !is_home_path(e->text) : strchr(e->text, '/') != NULL)
			return fail(err, e->pos,
				are_paths ? "not a path below the home directory:"
					  : "not the name of a command:",
				e->text);
		if (strv_push(ret, e->text) < 0)
			return -ENOMEM;
	}
	return 0;
}

static const struct key {
	const char *name;
	size_t at;
	bool is_list, are_paths;
} keys[] = {
	{ "name", offsetof(struct profile, name), false, false },
	{ "description", offsetof(struct profile, description), false, false },
	{ "not_granted", offsetof(struct profile, not_granted), false, false },
	{ "provider", offsetof(struct profile, provider), false, false },
	{ "commands", offsetof(struct profile, commands), true, false },
	{ "home_read_write", offsetof(struct profile, home_rw), true, true },
	{ "home_read_only", offsetof(struct profile, home_ro), true, true },
	{ "protect", offsetof(struct profile, protect), true, true },
};

static int take_key(struct profile *p, const struct yaml_pair *pair, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		void *at = (char *)p + keys[i].at;

		if (!str_eq(pair->key->text, keys[i].name))
			continue;
		return keys[i].is_list ? take_list(at, pair->value, keys[i].are_paths, err)
				       : take_text(at, pair->value, err);
	}
	return fail(err, pair->key->pos, "unknown key under 'profile':", pair->key->text);
}

static bool is_name(const char *s)
{
	return s && s[0] && strlen(s) <= PROFILE_NAME_MAX &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(s);
}

static int take_section(struct profile *p, const struct yaml_node *n, struct err *err)
{
	int r = 0;

	if (n->type != YAML_MAP)
		return fail(err, n->pos, "'profile' is not a map but", yaml_kind_name(n));
	for (uint32_t i = 0; i < n->n && r == 0; i++)
		r = take_key(p, &n->map[i], err);
	if (r == 0 && !is_name(p->name))
		return fail(err, n->pos, "'name' must be of a-z, 0-9 and '-'", NULL);
	return r;
}

/* --- the policy: the other sections --- */

/* The section's lines become empty, so that the positions of errors stay right. */
static int cut_section(const char *text, size_t len, uint32_t from, uint32_t to, char **ret)
{
	char *out = malloc(len + 1);
	uint32_t line = 1;
	size_t n = 0;

	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < len; i++) {
		if (line < from || line >= to || text[i] == '\n')
			out[n++] = text[i];
		line += text[i] == '\n';
	}
	out[n] = '\0';
	*ret = out;
	return 0;
}

static const struct yaml_node *find_section(
	const struct yaml_node *root, uint32_t *ret_from, uint32_t *ret_to)
{
	const struct yaml_node *found = NULL;

	for (uint32_t i = 0; i < root->n; i++) {
		const struct yaml_pair *pair = &root->map[i];

		if (str_eq(pair->key->text, "profile")) {
			found = pair->value;
			*ret_from = pair->key->pos.line;
			*ret_to = i + 1 < root->n ? root->map[i + 1].key->pos.line : UINT32_MAX;
		}
	}
	return found;
}

int profile_parse(struct profile *ret, const char *text, size_t len, struct err *err)
{
	const struct yaml_pos top = { 1, 1 };
	const struct yaml_node *root = NULL, *section;
	auto_arena struct arena arena;
	struct profile p = { 0 };
	uint32_t from = 0, to = 0;
	int r;

	err->text[0] = '\0';
	arena_init(&arena, ARENA_MAX);
	if (len > PROFILE_TEXT_MAX)
		return fail(err, top, "the profile is too long", NULL);
	r = yaml_load(&arena, text, len, on_yaml_error, err, &root);
	if (r < 0)
		return r;
	section = root && root->type == YAML_MAP ? find_section(root, &from, &to) : NULL;
	if (!section)
		return fail(err, top, "there is no section 'profile'", NULL);
	/* The section is cut out by lines, so it must have its own. */
	if (to <= from)
		return fail(err, section->pos, "'profile' must stand on lines of its own", NULL);
	r = take_section(&p, section, err);
	if (r == 0)
		r = cut_section(text, len, from, to, &p.policy);
	if (r < 0) {
		profile_done(&p);
		return r;
	}
	*ret = p;
	return 0;
}

/* What a YAML string in double quotes and a path pattern take literally. */
static int put_value(struct buf *out, const char *value)
{
	int r = 0;

	for (; *value && r == 0; value++) {
		if (*value == '"' || *value == '\\')
			r = buf_append(out, "\\", 1);
		if (r == 0)
			r = buf_append(out, value, 1);
	}
	return r;
}

char *profile_policy(const struct profile *p, const char *agent, const char *install)
{
	const struct {
		const char *name, *value;
	} vars[] = { { "${agent}", agent }, { "${install}", install } };
	struct buf out;
	const char *s = p->policy;
	char *text;
	int r = 0;

	buf_init(&out, POLICY_MAX);
	while (*s && r == 0) {
		size_t i = 0;

		while (i < ARRAY_SIZE(vars) && !str_starts(s, vars[i].name))
			i++;
		r = i < ARRAY_SIZE(vars) ? put_value(&out, vars[i].value) : buf_append(&out, s, 1);
		s += i < ARRAY_SIZE(vars) ? strlen(vars[i].name) : 1;
	}
	text = r < 0 ? NULL : buf_steal(&out);
	buf_done(&out);
	return text;
}

bool profile_is_for(const struct profile *p, const char *command)
{
	for (char **c = p->commands; c && *c; c++)
		if (str_eq(*c, command))
			return true;
	return false;
}
