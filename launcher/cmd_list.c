/* sandbox list and sandbox get: what there is, read from the state directory. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/cmd.h"
#include "launcher/out.h"
#include "launcher/sandbox.h"
#include "lib/cleanup.h"
#include "lib/state.h"
#include "lib/str.h"
#include "lib/strv.h"

struct list_options {
	unsigned int limit, offset;
	bool ids, names;
	const char *selector;
	enum out_format format;
};

struct get_options {
	bool policy_only;
	enum out_format format;
};

enum { LIMIT_MAX = 100000 };

const struct cli_option cmd_list_options[] = {
	{ CLI_UINT, "limit", 0, offsetof(struct list_options, limit), LIMIT_MAX, "N",
		"Show at most N (default 100)" },
	{ CLI_UINT, "offset", 0, offsetof(struct list_options, offset), LIMIT_MAX, "N",
		"Pass over the first N" },
	{ CLI_FLAG, "ids", 0, offsetof(struct list_options, ids), 0, NULL, "Show ids alone" },
	{ CLI_FLAG, "names", 0, offsetof(struct list_options, names), 0, NULL, "Show names alone" },
	{ CLI_STR, "selector", 'l', offsetof(struct list_options, selector), 0, "KEY=VALUE,…",
		"Show those with all of these labels" },
	{ CLI_IGNORED, "all-workspaces", 'A', 0, 0, NULL, "Accepted for scripts" },
	{ CLI_FORMAT, "output", 'o', offsetof(struct list_options, format), 0, "FORMAT",
		"table, json or yaml" },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

const struct cli_option cmd_get_options[] = {
	{ CLI_FLAG, "policy-only", 0, offsetof(struct get_options, policy_only), 0, NULL,
		"Print the policy alone" },
	{ CLI_FORMAT, "output", 'o', offsetof(struct get_options, format), 0, "FORMAT",
		"table, json or yaml" },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

/* --- list --- */

struct infos {
	struct sandbox_info *list;
	size_t n;
};

static void infos_done(struct infos *i)
{
	for (size_t k = 0; k < i->n; k++)
		sandbox_info_done(&i->list[k]);
	free(i->list);
}

#define auto_infos __attribute__((cleanup(infos_done)))

/* Those that the options ask for. One that is unreadable is named, and the rest shown. */
static int collect(struct infos *ret, const struct list_options *o, struct err *err)
{
	auto_strv char **names = NULL;
	size_t skip = o->offset;
	int r;

	r = state_list(&names, err);
	if (r < 0)
		return r;
	ret->list = calloc(strv_len(names) + 1, sizeof(*ret->list));
	if (!ret->list)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; names && names[i] && ret->n < o->limit; i++) {
		struct sandbox_info *info = &ret->list[ret->n];
		struct err why = { 0 };

		r = sandbox_info_load(info, names[i], &why);
		if (r < 0 && r != -ENOENT)
			(void)out_fail(CLI_FAILED, &why);
		if (r < 0 ||
			!spec_selector_matches(o->selector ? o->selector : "", info->spec.labels))
			sandbox_info_done(info);
		else if (skip > 0 && skip--)
			sandbox_info_done(info);
		else
			ret->n++;
	}
	return 0;
}

static int list_table(const struct infos *i)
{
	enum { COLUMNS = 3 };
	auto_free const char **cells = calloc((i->n + 1) * COLUMNS, sizeof(*cells));
	auto_free char(*created)[24] = calloc(i->n + 1, sizeof(*created));

	if (!cells || !created)
		return out_error(CLI_FAILED, "out of memory");
	cells[0] = "NAME";
	cells[1] = "CREATED";
	cells[2] = "PHASE";
	for (size_t k = 0; k < i->n; k++) {
		out_time(created[k], i->list[k].spec.created_ms);
		cells[(k + 1) * COLUMNS] = i->list[k].spec.name;
		cells[(k + 1) * COLUMNS + 1] = created[k];
		cells[(k + 1) * COLUMNS + 2] = i->list[k].phase;
	}
	if (i->n == 0)
		(void)puts("No sandboxes found.");
	else
		out_table(cells, i->n + 1, COLUMNS);
	return CLI_OK;
}

static int list_lines(const struct infos *i, bool ids)
{
	for (size_t k = 0; k < i->n; k++)
		(void)puts(ids ? i->list[k].spec.id : i->list[k].spec.name);
	return CLI_OK;
}

static int list_json(const struct infos *i, enum out_format format)
{
	json_t *a = json_array();

	for (size_t k = 0; k < i->n; k++)
		(void)json_array_append_new(a, sandbox_info_json(&i->list[k]));
	return out_json(a, format);
}

int cmd_list(const struct cli_command *cmd, int argc, char **argv)
{
	struct list_options o = { .limit = 100 };
	auto_infos struct infos infos = { 0 };
	struct err err = { 0 };
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r >= 0)
		return r;
	if (o.ids && o.names)
		return cli_usage_error("--ids conflicts with --names");
	if (o.selector && spec_selector_check(o.selector, &err) < 0)
		return out_error(CLI_USAGE, "--selector: %s", err.text);
	sandbox_sweep();
	if (collect(&infos, &o, &err) < 0)
		return out_fail(CLI_FAILED, &err);
	if (o.ids || o.names)
		return list_lines(&infos, o.ids);
	return o.format == OUT_TABLE ? list_table(&infos) : list_json(&infos, o.format);
}

/* --- get --- */

static void print_list(const char *head, char *const *list)
{
	for (size_t i = 0; list && list[i]; i++)
		(void)printf("  %-16s  %s\n", i ? "" : head, list[i]);
}

static void get_table(const struct sandbox_info *i, const char *yaml)
{
	char created[24];

	out_time(created, i->spec.created_ms);
	(void)printf("Sandbox:\n");
	(void)printf("  %-16s  %s\n", "Id:", i->spec.id ? i->spec.id : "-");
	(void)printf("  %-16s  %s\n", "Name:", i->spec.name);
	(void)printf("  %-16s  %s\n", "Phase:", i->phase);
	(void)printf("  %-16s  %s\n", "Created:", created);
	(void)printf("  %-16s  %s\n", "Kept:", i->spec.keep ? "yes" : "no");
	(void)printf("  %-16s  %s\n", "Mode:", i->spec.audit ? "audit" : "enforce");
	if (i->intercept)
		(void)printf("  %-16s  %s\n", "Intercepted by:", i->intercept);
	(void)printf("  %-16s  %s\n", "Workdir:", i->spec.workdir ? i->spec.workdir : "/sandbox");
	print_list("Read-only:", i->spec.ro);
	print_list("Read-write:", i->spec.rw);
	print_list("Labels:", i->spec.labels);
	(void)printf("  %-16s  %s\n", "Policy source:", "sandbox");
	(void)printf("  %-16s  %u\n", "Revision:", i->policy_version);
	if (yaml)
		(void)printf("---\n%s", yaml);
}

static int get_json(const struct sandbox_info *i, const char *yaml, enum out_format format)
{
	json_t *o = sandbox_info_json(i);

	(void)json_object_set_new(o, "policy_source", json_string("sandbox"));
	(void)json_object_set_new(o, "revision", json_integer(i->policy_version));
	(void)json_object_set_new(
		o, "workdir", i->spec.workdir ? json_string(i->spec.workdir) : json_null());
	(void)json_object_set_new(o, "policy", yaml ? sandbox_policy_json(yaml) : json_null());
	return out_json(o, format);
}

int cmd_get(const struct cli_command *cmd, int argc, char **argv)
{
	auto_info struct sandbox_info info = { 0 };
	auto_state struct state *s = NULL;
	auto_free char *yaml = NULL;
	struct get_options o = { 0 };
	struct state_revision rev;
	struct err err = { 0 };
	char name[STATE_NAME_MAX + 1];
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r < 0)
		r = sandbox_name(a.pos[0], name);
	if (r >= 0)
		return r;
	sandbox_sweep();
	if (sandbox_info_load(&info, name, &err) < 0 || state_open(&s, name, &err) < 0)
		return out_fail(CLI_FAILED, &err);
	r = sandbox_policy(s, 0, &rev, &yaml, &err);
	if (o.policy_only)
		return r < 0 ? out_fail(CLI_FAILED, &err) : (fputs(yaml, stdout), CLI_OK);
	if (o.format != OUT_TABLE)
		return get_json(&info, yaml, o.format);
	get_table(&info, yaml);
	return CLI_OK;
}
