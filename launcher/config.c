#include "launcher/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/arena.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/state.h"
#include "lib/str.h"
#include "lib/strv.h"
#include "lib/yaml.h"

enum { CONFIG_MAX = 1024 * 1024, CONFIG_ARENA_MAX = 16 * 1024 * 1024 };

static const char file[] = "config.yaml";

void config_done(struct config *c)
{
	strv_free(c->connect_to);
	free(c->upstream_ca);
	free(c->upstream_proxy);
	free(c->no_proxy);
	*c = (struct config){ 0 };
}

static int fill(char **at, const char *value)
{
	if (*at || !value || !value[0])
		return 0;
	*at = strdup(value);
	return *at ? 0 : -ENOMEM;
}

/* --- the environment --- */

static int push_words(char ***list, const char *words)
{
	while (words && *words) {
		size_t n = strcspn(words, " \t\n");
		auto_free char *one = strndup(words, n);
		int r = !one ? -ENOMEM : (n ? strv_push(list, one) : 0);

		if (r < 0)
			return r;
		words += n;
		words += strspn(words, " \t\n");
	}
	return 0;
}

static int from_environment(struct config *c)
{
	int r;

	r = push_words(&c->connect_to, getenv("OPENSHELL_CONNECT_TO"));
	if (r == 0)
		r = fill(&c->upstream_ca, getenv("OPENSHELL_UPSTREAM_CA"));
	if (r == 0)
		r = fill(&c->upstream_proxy, getenv("OPENSHELL_UPSTREAM_PROXY"));
	if (r == 0)
		r = fill(&c->no_proxy, getenv("OPENSHELL_NO_PROXY"));
	return r;
}

/* --- the file --- */

static void on_yaml_error(void *opaque, struct yaml_pos pos, const char *text)
{
	struct err *err = opaque;

	if (err && !err->text[0])
		(void)err_set(err, -EINVAL, "%s:%u:%u: %s", file, pos.line, pos.column, text);
}

static int expected(const struct yaml_node *n, const char *key, const char *what, struct err *err)
{
	return err_set(err, -EINVAL, "%s:%u:%u: %s: expected %s, got %s", file, n->pos.line,
		n->pos.column, key, what, yaml_kind_name(n));
}

/* One value, or a list of them. */
static int read_list(char ***ret, const struct yaml_node *n, const char *key, struct err *err)
{
	if (n->type == YAML_SCALAR)
		return strv_push(ret, n->text);
	if (n->type != YAML_LIST)
		return expected(n, key, "a string or a list of strings", err);
	for (uint32_t i = 0; i < n->n; i++) {
		int r;

		if (n->list[i]->type != YAML_SCALAR)
			return expected(n->list[i], key, "a string", err);
		r = strv_push(ret, n->list[i]->text);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_text(char **ret, const struct yaml_node *n, const char *key, struct err *err)
{
	return n->type == YAML_SCALAR ? fill(ret, n->text) : expected(n, key, "a string", err);
}

/* no_proxy is one text with commas; a list of hosts reads better in a file. */
static int read_joined(char **ret, const struct yaml_node *n, const char *key, struct err *err)
{
	auto_strv char **list = NULL;
	auto_free char *joined = NULL;
	size_t len = 1;
	int r;

	r = read_list(&list, n, key, err);
	for (size_t i = 0; r == 0 && list && list[i]; i++)
		len += strlen(list[i]) + 1;
	joined = r == 0 ? calloc(1, len) : NULL;
	if (!joined)
		return r < 0 ? r : -ENOMEM;
	for (size_t i = 0; list && list[i]; i++) {
		if (i > 0)
			(void)strcat(joined, ",");
		(void)strcat(joined, list[i]);
	}
	return fill(ret, joined);
}

static int read_pair(struct config *c, const struct yaml_pair *p, struct err *err)
{
	static const char *const known[] = { "connect_to", "upstream_ca", "upstream_proxy",
		"no_proxy", NULL };
	const char *key = p->key->text, *best;

	if (str_eq(key, "connect_to"))
		return read_list(&c->connect_to, p->value, key, err);
	if (str_eq(key, "upstream_ca"))
		return read_text(&c->upstream_ca, p->value, key, err);
	if (str_eq(key, "upstream_proxy"))
		return read_text(&c->upstream_proxy, p->value, key, err);
	if (str_eq(key, "no_proxy"))
		return read_joined(&c->no_proxy, p->value, key, err);
	best = str_suggest(key, known);
	return err_set(err, -EINVAL, "%s:%u:%u: unknown key '%s'%s%s%s", file, p->key->pos.line,
		p->key->pos.column, key, best ? " (did you mean '" : "", best ? best : "",
		best ? "'?)" : "");
}

static int parse(struct config *c, const char *text, size_t len, struct err *err)
{
	const struct yaml_node *root = NULL;
	auto_arena struct arena arena;
	int r;

	arena_init(&arena, CONFIG_ARENA_MAX);
	r = yaml_load(&arena, text, len, on_yaml_error, err, &root);
	if (r < 0 || !root)
		return r;
	if (root->type != YAML_MAP)
		return err_set(err, -EINVAL, "%s: expected a map of settings", file);
	for (uint32_t i = 0; r == 0 && i < root->n; i++)
		r = read_pair(c, &root->map[i], err);
	return r;
}

static int from_file(struct config *c, struct err *err)
{
	auto_close int dir = state_config_open(NULL);
	auto_free char *text = NULL;
	size_t len;
	int r;

	if (dir < 0)
		return 0;
	r = fd_slurp_at(dir, file, CONFIG_MAX, &text, &len);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return err_set(err, r, "cannot read %s: %s", file, err_name(r));
	return parse(c, text, len, err);
}

int config_complete(struct config *c, struct err *err)
{
	int r;

	r = from_environment(c);
	if (r == 0)
		r = from_file(c, err);
	if (r == -ENOMEM)
		return err_set(err, r, "out of memory");
	return r;
}
