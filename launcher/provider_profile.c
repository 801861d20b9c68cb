/* Types of providers: YAML files, the user's own before those that come with the program. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/profiles.h"
#include "launcher/provider.h"
#include "lib/arena.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/glob.h"
#include "lib/str.h"
#include "lib/strv.h"
#include "lib/yaml.h"

enum { FILE_MAX = 256 * 1024 };

void provider_profile_done(struct provider_profile *p)
{
	free(p->description);
	strv_free(p->keys);
	free(p->endpoints);
	*p = (struct provider_profile){ 0 };
}

/* --- endpoints --- */

static int check_endpoint(const struct provider_endpoint *e, struct err *err)
{
	const char *why = NULL;
	int r = e->host[0] && e->port ? glob_check(e->host, GLOB_HOST, &why) : -EINVAL;

	if (r == 0 && (str_eq(e->host, "*") || str_eq(e->host, "**")))
		r = -EINVAL;
	if (r == 0 && e->path[0])
		r = e->path[0] == '/' ? glob_check(e->path, GLOB_SELECT, &why) : -EINVAL;
	return r < 0 ? err_set(err, -EINVAL, "endpoint '%.200s:%u%.200s': %s", e->host, e->port,
			       e->path, why ? why : "not HOST:PORT or HOST:PORT/PATH")
		     : 0;
}

int provider_endpoint_parse(const char *text, struct provider_endpoint *ret, struct err *err)
{
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	const char *colon = memrchr(text, ':', n);
	char port[8] = "";
	uint64_t number = 0;

	*ret = (struct provider_endpoint){ 0 };
	if (!colon ||
		!str_format(ret->host, sizeof(ret->host), "%.*s", (int)(colon - text), text) ||
		!str_format(port, sizeof(port), "%.*s", (int)(text + n - colon - 1), colon + 1) ||
		str_to_u64(port, 65535, &number) < 0 ||
		!str_copy(ret->path, sizeof(ret->path), slash ? slash : ""))
		return err_set(
			err, -EINVAL, "endpoint '%.200s': not HOST:PORT or HOST:PORT/PATH", text);
	ret->port = (uint16_t)number;
	str_lower(ret->host);
	return check_endpoint(ret, err);
}

/* --- files --- */

static int own_open(void)
{
	auto_close int config = state_config_open(NULL);

	return config < 0 ? -1
			  : openat(config, "provider-profiles", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int builtin_open(void)
{
	auto_close int dir = profiles_builtin_open();

	return dir < 0 ? -1 : openat(dir, "providers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int (*const sources[])(void) = { own_open, builtin_open };

static void on_yaml_error(void *opaque, struct yaml_pos pos, const char *text)
{
	struct err *err = opaque;

	if (!err->text[0])
		(void)err_set(err, -EINVAL, "%u:%u: %s", pos.line, pos.column, text);
}

static const struct yaml_node *get(const struct yaml_node *map, const char *key)
{
	for (uint32_t i = 0; map && map->type == YAML_MAP && i < map->n; i++)
		if (str_eq(map->map[i].key->text, key))
			return map->map[i].value;
	return NULL;
}

static const char *text_of(const struct yaml_node *map, const char *key)
{
	const struct yaml_node *n = get(map, key);

	return n && n->type == YAML_SCALAR ? n->text : "";
}

static int take_endpoint(struct provider_endpoint *e, const struct yaml_node *n, struct err *err)
{
	uint64_t port;

	if (!str_copy(e->host, sizeof(e->host), text_of(n, "host")) ||
		!str_copy(e->path, sizeof(e->path), text_of(n, "path")) ||
		str_to_u64(text_of(n, "port"), 65535, &port) < 0)
		return err_set(err, -EINVAL, "%u:%u: an endpoint needs host and port", n->pos.line,
			n->pos.column);
	e->port = (uint16_t)port;
	str_lower(e->host);
	return check_endpoint(e, err);
}

static int take_profile(struct provider_profile *p, const struct yaml_node *n, struct err *err)
{
	const struct yaml_node *keys = get(n, "credentials"), *list = get(n, "endpoints");
	int r = 0;

	if (!n || n->type != YAML_MAP)
		return err_set(err, -EINVAL, "no map 'provider'");
	p->description = strdup(text_of(n, "description"));
	for (uint32_t i = 0; keys && keys->type == YAML_LIST && i < keys->n && r == 0; i++)
		r = keys->list[i]->type == YAML_SCALAR ? strv_push(&p->keys, keys->list[i]->text)
						       : -EINVAL;
	if (r < 0 || !list || list->type != YAML_LIST || list->n > PROVIDER_ENDPOINTS_MAX)
		return err_set(err, -EINVAL, "credentials or endpoints are no lists");
	p->endpoints = calloc(list->n + 1, sizeof(*p->endpoints));
	if (!p->endpoints || !p->description)
		return -ENOMEM;
	for (; p->n_endpoints < list->n && r == 0; p->n_endpoints++)
		r = take_endpoint(&p->endpoints[p->n_endpoints], list->list[p->n_endpoints], err);
	return r;
}

static int parse(struct provider_profile *p, const char *text, size_t len, struct err *err)
{
	const struct yaml_node *root = NULL;
	auto_arena struct arena arena;
	int r;

	arena_init(&arena, 16 * 1024 * 1024);
	r = yaml_load(&arena, text, len, on_yaml_error, err, &root);
	return r < 0 ? r : take_profile(p, get(root, "provider"), err);
}

int provider_profile_load(const char *type, struct provider_profile *ret, struct err *err)
{
	char file[PROVIDER_NAME_MAX + 8];
	int r = provider_name_check(type, err);

	if (r < 0)
		return r;
	(void)str_format(file, sizeof(file), "%s.yaml", type);
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		auto_close int dir = sources[i]();
		auto_free char *text = NULL;
		size_t len;

		if (dir < 0 || fd_slurp_at(dir, file, FILE_MAX, &text, &len) < 0)
			continue;
		(void)str_copy(ret->name, sizeof(ret->name), type);
		r = parse(ret, text, len, err);
		return r < 0 ? err_wrap(err, r, "provider type '%s'", type) : 0;
	}
	(void)err_set(err, -ENOENT, "there is no provider type '%s'", type);
	return err_hint(err, -ENOENT, "openshell provider list-profiles");
}

char **provider_profile_names(void)
{
	char **names = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
		profiles_list(&names, sources[i](), ".yaml", PROVIDER_NAME_MAX);
	strv_sort(names);
	return names;
}
