/* openshell provider, and openshell sandbox provider. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/cmd.h"
#include "launcher/inference.h"
#include "launcher/out.h"
#include "launcher/provider.h"
#include "launcher/sandbox.h"
#include "lib/cleanup.h"
#include "lib/event.h"
#include "lib/str.h"
#include "lib/strv.h"

struct options {
	const char *name, *type;
	char **credential, **config;
	bool from_existing;
	enum out_format format;
};

#define AT(field) offsetof(struct options, field)

#define CREDENTIAL_OPTIONS                                                                         \
	{ CLI_LIST, "credential", 0, AT(credential), 0, "KEY[=VALUE]",                             \
		"A secret, or the name of a variable that holds it; repeatable" },                 \
		{ CLI_FLAG, "from-existing", 0, AT(from_existing), 0, NULL,                        \
			"Take what the type's variables hold in this environment" },               \
	{                                                                                          \
		CLI_LIST, "config", 0, AT(config), 0, "KEY=VALUE",                                 \
			"endpoints=HOST:PORT[/PATH],…: where the secrets may be sent; "          \
			"base_url=URL, region=REGION: for inference; repeatable"                   \
	}

const struct cli_option cmd_provider_create_options[] = {
	{ CLI_STR, "name", 0, AT(name), 0, "NAME", "Name it" },
	{ CLI_STR, "type", 0, AT(type), 0, "TYPE",
		"What it is for: openshell provider list-profiles" },
	CREDENTIAL_OPTIONS,
	{ CLI_REFUSED, "from-gcloud-adc", 0, 0, 0, NULL,
		"this version knows static credentials; use --credential" },
	{ CLI_REFUSED, "runtime-credentials", 0, 0, 0, NULL,
		"this version knows static credentials; use --credential" },
	{ CLI_REFUSED, "global-profile", 0, 0, 0, NULL, "there is one user on this machine" },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

const struct cli_option cmd_provider_update_options[] = {
	CREDENTIAL_OPTIONS,
	{ CLI_REFUSED, "credential-expires-at", 0, 0, 0, NULL,
		"this version keeps no dates of expiry; update the secret when it changes" },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

struct list_options {
	unsigned int limit, offset;
	bool names;
	enum out_format format;
};

enum { LIMIT = 100, LIMIT_MAX = 100000 };

const struct cli_option cmd_provider_list_options[] = {
	{ CLI_UINT, "limit", 0, offsetof(struct list_options, limit), LIMIT_MAX, "N",
		"Show at most N (default 100)" },
	{ CLI_UINT, "offset", 0, offsetof(struct list_options, offset), LIMIT_MAX, "N",
		"Pass over the first N" },
	{ CLI_FLAG, "names", 0, offsetof(struct list_options, names), 0, NULL, "Show names alone" },
	{ CLI_IGNORED, "all-workspaces", 'A', 0, 0, NULL, "Accepted for scripts" },
	{ CLI_FORMAT, "output", 'o', offsetof(struct list_options, format), 0, "FORMAT",
		"table, json or yaml" },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

/* --- secrets and endpoints from the command line --- */

/* KEY=VALUE, or KEY alone: the variable of that name. */
static int take_credential(json_t *p, char *text, struct err *err)
{
	char *eq = strchr(text, '=');
	const char *secret = eq ? eq + 1 : getenv(text);
	int r;

	if (eq)
		*eq = '\0';
	if (!secret || !secret[0])
		return err_set(err, -EINVAL,
			eq ? "--credential %s: it is empty"
			   : "--credential %s: there is no such variable, or it is empty",
			text);
	r = provider_put_secret(p, text, secret, err);
	/* Our copy; whoever lists processes has seen the argument. KEY alone avoids that. */
	if (eq)
		explicit_bzero(eq + 1, strlen(eq + 1));
	return r < 0 ? err_wrap(err, r, "--credential") : 0;
}

static int take_endpoints(json_t *p, const char *list, struct err *err)
{
	json_t *all = json_array();
	int r = 0;

	while (*list && r == 0) {
		size_t n = strcspn(list, ",");
		auto_free char *one = strndup(list, n);
		struct provider_endpoint e;

		r = one ? provider_endpoint_parse(one, &e, err) : -ENOMEM;
		if (r == 0)
			json_array_append_new(all, json_string(one));
		list += n + (list[n] == ',');
	}
	if (r == 0 && json_array_size(all) > PROVIDER_ENDPOINTS_MAX)
		r = err_set(err, -E2BIG, "more than %d endpoints", PROVIDER_ENDPOINTS_MAX);
	if (r < 0) {
		json_decref(all);
		return r;
	}
	return json_object_set_new(p, "endpoints", all) < 0 ? -ENOMEM : 0;
}

static int take_config(json_t *p, const char *type, const char *pair, struct err *err)
{
	const char *key, *value;
	int r = inference_config_check(type, pair, &key, &value, err);
	json_t *all = json_object_get(p, "config");

	if (r < 0)
		return r;
	if (r == 0)
		return err_set(err, -EINVAL, "--config %.64s: there are 'endpoints' and, for models, 'base_url' and 'region'",
			pair);
	if (!all && json_object_set_new(p, "config", all = json_object()) < 0)
		return -ENOMEM;
	return json_object_set_new(all, key, json_string(value)) < 0 ? -ENOMEM : 0;
}

static int take_all(json_t *p, const struct options *o, struct err *err)
{
	auto_provider_profile struct provider_profile profile = { 0 };
	int r = provider_profile_load(json_string_value(json_object_get(p, "type")), &profile, err);

	if (r == 0 && o->from_existing)
		r = provider_take_existing(p, &profile, err);
	if (r == -ENOENT && !err->text[0])
		return err_set(err, r, "--from-existing: none of the variables of type '%s' is set", profile.name);
	for (char **c = o->credential; c && *c && r == 0; c++)
		r = take_credential(p, *c, err);
	for (char **c = o->config; c && *c && r == 0; c++) {
		if (str_starts(*c, "endpoints="))
			r = take_endpoints(p, *c + strlen("endpoints="), err);
		else
			r = take_config(p, profile.name, *c, err);
	}
	return r;
}

static int check_source(const struct options *o, bool is_needed)
{
	if (o->from_existing && o->credential)
		return cli_usage_error("--from-existing and --credential exclude each other");
	if (is_needed && !o->from_existing && !o->credential)
		return cli_usage_error("where is the secret? --credential KEY or --from-existing");
	return -1;
}

static int create(const struct options *o)
{
	struct err err = { 0 };
	json_t *p;
	int r;

	if (!o->name || !o->type)
		return cli_usage_error("--name and --type are needed");
	p = provider_name_check(o->name, &err) == 0 ? provider_load(o->name, &err) : NULL;
	if (p) {
		provider_free(p);
		return out_error(CLI_FAILED, "there is a provider '%s' already", o->name);
	}
	if (provider_name_check(o->name, &err) < 0)
		return out_fail(CLI_FAILED, &err);
	err = (struct err){ 0 };
	p = provider_new(o->name, o->type);
	r = p ? take_all(p, o, &err) : -ENOMEM;
	if (r == -ENOENT && inference_type(o->type) && inference_type(o->type)->why_not)
		(void)err_hint(&err, r, "'%s': %s", o->type, inference_type(o->type)->why_not);
	if (r == 0)
		r = provider_save(o->name, p, &err);
	provider_free(p);
	if (r < 0 && !err.text[0])
		(void)err_set(&err, r, "%s", err_name(r));
	if (r < 0)
		return out_fail(CLI_FAILED, &err);
	out_done("Created provider %s", o->name);
	return CLI_OK;
}

static void options_done(struct options *o)
{
	strv_free(o->credential);
	strv_free(o->config);
}

int cmd_provider_create(const struct cli_command *cmd, int argc, char **argv)
{
	struct options o = { 0 };
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r < 0)
		r = check_source(&o, true);
	if (r < 0)
		r = create(&o);
	options_done(&o);
	return r;
}

/* --- running sandboxes --- */

/* The sandbox, if it runs, gets what is attached to it now. 0 or -errno with text. */
static int refresh(const struct state *s, char *const *names, struct err *err)
{
	auto_close int sock = -1;

	if (!state_is_running(s))
		return 0;
	sock = state_control_connect(s->name, err);
	return sock < 0 ? sock : provider_send(sock, names, true, err);
}

/* Every sandbox that @provider is attached to: how many; those that run hear of the change. */
static size_t users_of(const char *provider, bool is_changed)
{
	auto_strv char **sandboxes = NULL;
	struct err err = { 0 };
	size_t n = 0;

	if (state_list(&sandboxes, &err) < 0)
		return 0;
	for (char **name = sandboxes; name && *name; name++) {
		auto_state struct state *s = NULL;
		auto_strv char **attached = NULL;

		err = (struct err){ 0 };
		if (state_open(&s, *name, &err) < 0 || provider_attached(s, &attached, &err) < 0 ||
			!strv_has(attached, provider))
			continue;
		n++;
		if (is_changed && refresh(s, attached, &err) < 0)
			(void)out_error(CLI_FAILED, "sandbox '%s': %s", *name, err.text);
	}
	return n;
}

static int update(const struct options *o, const char *name)
{
	struct err err = { 0 };
	json_t *p = provider_load(name, &err);
	int r = p ? take_all(p, o, &err) : -ENOENT;

	if (r == 0)
		r = provider_save(name, p, &err);
	provider_free(p);
	if (r < 0 && !err.text[0])
		(void)err_set(&err, r, "%s", err_name(r));
	if (r < 0)
		return out_fail(CLI_FAILED, &err);
	(void)users_of(name, true);
	out_done("Updated provider %s", name);
	return inference_provider_changed(name) ? CLI_OK : CLI_FAILED;
}

int cmd_provider_update(const struct cli_command *cmd, int argc, char **argv)
{
	struct options o = { 0 };
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r < 0)
		r = check_source(&o, !o.config);
	if (r < 0)
		r = update(&o, a.pos[0]);
	options_done(&o);
	return r;
}

int cmd_provider_delete(const struct cli_command *cmd, int argc, char **argv)
{
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, NULL, &a);

	for (int i = 0; r < 0 && i < a.n_pos; i++) {
		struct err err = { 0 };
		size_t n = users_of(a.pos[i], false);
		int e = provider_name_check(a.pos[i], &err);

		if (n)
			return out_error(CLI_FAILED,
				"provider '%s' is attached to %zu sandbox%s: openshell sandbox "
				"provider detach",
				a.pos[i], n, n == 1 ? "" : "es");
		if (e == 0 && inference_uses(a.pos[i]))
			return out_error(CLI_FAILED,
				"provider '%s' is the route of inference.local: openshell inference delete", a.pos[i]);
		e = e < 0 ? e : provider_remove(a.pos[i]);
		if (e < 0)
			return out_error(CLI_FAILED, "provider '%s': %s", a.pos[i],
				e == -ENOENT ? "there is none" : err_name(e));
		out_done("Deleted provider %s", a.pos[i]);
	}
	return r < 0 ? CLI_OK : r;
}

/* --- showing: names of secrets, never secrets --- */

static json_t *shown(const char *name, struct err *err)
{
	auto_provider_profile struct provider_profile profile = { 0 };
	json_t *p = provider_load(name, err), *keys = json_array(), *list = json_array(), *v, *o;
	const json_t *own = json_object_get(p, "endpoints");
	struct err ignored = { 0 };
	const char *key;

	if (!p) {
		json_decref(keys);
		json_decref(list);
		return NULL;
	}
	json_object_foreach (json_object_get(p, "credentials"), key, v) {
		json_array_append_new(keys, json_string(key));
	}
	if (json_array_size(own))
		json_array_extend(list, (json_t *)own);
	else if (provider_profile_load(
			 json_string_value(json_object_get(p, "type")), &profile, &ignored) == 0)
		for (size_t i = 0; i < profile.n_endpoints; i++) {
			const struct provider_endpoint *e = &profile.endpoints[i];

			json_array_append_new(
				list, json_sprintf("%s:%u%s", e->host, e->port, e->path));
		}
	o = json_pack("{s:s, s:O, s:o, s:o, s:O*, s:O?}", "name", name, "type",
		json_object_get(p, "type"), "credential_keys", keys, "endpoints", list,
		"config", json_object_get(p, "config"), "created_ms", json_object_get(p, "created_ms"));
	provider_free(p);
	return o;
}

static void print_list(const char *label, const json_t *list)
{
	printf("%s", label);
	for (size_t i = 0; i < json_array_size(list); i++)
		printf("%s%s", i ? ", " : "", json_string_value(json_array_get(list, i)));
	printf("\n");
}

int cmd_provider_get(const struct cli_command *cmd, int argc, char **argv)
{
	enum out_format format = OUT_TABLE;
	struct err err = { 0 };
	struct cli_args a;
	const char *key;
	json_t *o, *v;
	int r = cli_parse(cmd, argc, argv, &format, &a);

	if (r >= 0)
		return r;
	o = shown(a.pos[0], &err);
	if (!o)
		return out_fail(CLI_FAILED, &err);
	if (format != OUT_TABLE)
		return out_json(o, format);
	printf("Name:         %s\nType:         %s\n", a.pos[0],
		json_string_value(json_object_get(o, "type")));
	print_list("Credentials:  ", json_object_get(o, "credential_keys"));
	print_list("Endpoints:    ", json_object_get(o, "endpoints"));
	json_object_foreach (json_object_get(o, "config"), key, v) {
		printf("%-14s%s\n", str_eq(key, "region") ? "Region:" : "Base URL:", json_string_value(v));
	}
	json_decref(o);
	return CLI_OK;
}

static int list(char *const *names, enum out_format format)
{
	json_t *all = json_array();

	for (; names && *names; names++) {
		struct err err = { 0 };
		json_t *o = shown(*names, &err);

		if (o)
			json_array_append_new(all, o);
		else
			(void)out_error(CLI_FAILED, "%s", err.text);
	}
	if (format != OUT_TABLE)
		return out_json(all, format);
	if (!json_array_size(all))
		out_note("No providers found.");
	else
		printf("%-20s  %-14s  %s\n", "NAME", "TYPE", "CREDENTIALS");
	for (size_t i = 0; i < json_array_size(all); i++) {
		const json_t *o = json_array_get(all, i);

		printf("%-20s  %-14s  ", json_string_value(json_object_get(o, "name")),
			json_string_value(json_object_get(o, "type")));
		print_list("", json_object_get(o, "credential_keys"));
	}
	json_decref(all);
	return CLI_OK;
}

int cmd_provider_list(const struct cli_command *cmd, int argc, char **argv)
{
	struct list_options o = { .limit = LIMIT };
	auto_strv char **all = NULL, **chosen = NULL;
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);
	size_t n, first;

	if (r >= 0)
		return r;
	all = provider_names();
	n = strv_len(all);
	first = o.offset < n ? o.offset : n;
	if (strv_push_n(&chosen, all + first, o.limit < n - first ? o.limit : n - first) < 0)
		return out_error(CLI_FAILED, "out of memory");
	if (!o.names)
		return list(chosen, o.format);
	for (char **name = chosen; name && *name; name++)
		puts(*name);
	return CLI_OK;
}

int cmd_provider_profiles(const struct cli_command *cmd, int argc, char **argv)
{
	enum out_format format = OUT_TABLE;
	auto_strv char **names = NULL;
	json_t *all = json_array();
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &format, &a);

	names = r < 0 ? provider_profile_names() : NULL;
	for (char **n = names; n && *n; n++) {
		auto_provider_profile struct provider_profile p = { 0 };
		struct err err = { 0 };
		json_t *keys = json_array();

		if (provider_profile_load(*n, &p, &err) < 0)
			(void)out_error(CLI_FAILED, "%s", err.text);
		for (char **k = p.keys; k && *k; k++)
			json_array_append_new(keys, json_string(*k));
		json_array_append_new(
			all, json_pack("{s:s, s:s, s:o}", "name", *n, "description",
				     p.description ? p.description : "", "credential_keys", keys));
	}
	if (r < 0 && format != OUT_TABLE)
		return out_json(all, format);
	for (size_t i = 0; r < 0 && i < json_array_size(all); i++)
		printf("%-14s  %s\n",
			json_string_value(json_object_get(json_array_get(all, i), "name")),
			json_string_value(json_object_get(json_array_get(all, i), "description")));
	json_decref(all);
	return r < 0 ? CLI_OK : r;
}

/* --- sandbox provider --- */

int cmd_sandbox_provider_list(const struct cli_command *cmd, int argc, char **argv)
{
	enum out_format format = OUT_TABLE;
	auto_state struct state *s = NULL;
	auto_strv char **names = NULL;
	struct err err = { 0 };
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &format, &a);

	if (r < 0)
		r = sandbox_open(a.pos[0], &s);
	if (r >= 0)
		return r;
	if (provider_attached(s, &names, &err) < 0)
		return out_fail(CLI_FAILED, &err);
	return list(names, format);
}

static int change(struct state *s, const char *provider, bool is_attached)
{
	auto_strv char **now = NULL, **then = NULL;
	struct err err = { 0 };
	int r = provider_attached(s, &now, &err);

	for (char **n = now; n && *n && r == 0; n++)
		if (!str_eq(*n, provider))
			r = strv_push(&then, *n);
	if (r == 0 && is_attached)
		r = strv_push(&then, provider);
	/* What cannot be sent is not attached. */
	if (r == 0)
		r = provider_check(then, &err);
	if (r == 0)
		r = provider_attach_save(s, then);
	if (r == 0)
		r = refresh(s, then, &err);
	if (r < 0 && !err.text[0])
		(void)err_set(&err, r, "%s", err_name(r));
	if (r < 0)
		return out_fail(CLI_FAILED, &err);
	out_done("%s provider %s %s sandbox %s", is_attached ? "Attached" : "Detached", provider,
		is_attached ? "to" : "from", s->name);
	if (is_attached && state_is_running(s))
		out_note("commands that are started from now on have its variables");
	return CLI_OK;
}

static int change_command(const struct cli_command *cmd, int argc, char **argv, bool is_attached)
{
	auto_state struct state *s = NULL;
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, NULL, &a);

	if (r < 0)
		r = sandbox_open(a.pos[0], &s);
	return r < 0 ? change(s, a.pos[1], is_attached) : r;
}

int cmd_sandbox_provider_attach(const struct cli_command *cmd, int argc, char **argv)
{
	return change_command(cmd, argc, argv, true);
}

int cmd_sandbox_provider_detach(const struct cli_command *cmd, int argc, char **argv)
{
	return change_command(cmd, argc, argv, false);
}
