#include "launcher/cli.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/out.h"
#include "lib/cleanup.h"
#include "lib/str.h"
#include "lib/strv.h"

enum { NAME_PATH_MAX = 128, SUGGEST_MAX = 64 };

/* "openshell", then " sandbox", then " create": grown on the way down the tree. */
static char path[NAME_PATH_MAX] = "openshell";

const char *cli_path(void)
{
	return path;
}

static void path_push(const char *name)
{
	size_t n = strlen(path);

	(void)str_format(path + n, sizeof(path) - n, " %s", name);
}

const struct cli_option cli_global_options[] = {
	{ CLI_IGNORED, "gateway", 'g', 0, 0, "NAME", "Accepted for scripts; there is one gateway" },
	{ CLI_IGNORED, "gateway-endpoint", 0, 0, 0, "URL", "The same" },
	{ CLI_IGNORED, "gateway-insecure", 0, 0, 0, NULL, "The same" },
	{ CLI_IGNORED, "workspace", 0, 0, 0, "NAME", "The same" },
	{ CLI_IGNORED, "verbose", 'v', 0, 0, NULL, "The same" },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

int cli_usage_error(const char *fmt, ...)
{
	char text[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)out_error(CLI_USAGE, "%s", text);
	out_hint("'%s --help' shows how it is used", path);
	return CLI_USAGE;
}

/* --- help --- */

static void option_help(const struct cli_option *o)
{
	char left[64];

	(void)str_format(left, sizeof(left), "%c%c%s --%s%s%s", o->letter ? '-' : ' ',
		o->letter ? o->letter : ' ', o->letter ? "," : " ", o->name, o->arg ? " " : "",
		o->arg ? o->arg : "");
	if (strlen(left) > 26)
		(void)printf("  %s\n  %-26s  %s\n", left, "", o->help);
	else
		(void)printf("  %-26s  %s\n", left, o->help);
}

static void options_help(const struct cli_command *cmd)
{
	(void)printf("\nOptions:\n");
	for (const struct cli_option *o = cmd->options; o && o->kind != CLI_END; o++) {
		if (o->kind != CLI_REFUSED)
			option_help(o);
	}
	(void)printf("  %-26s  %s\n", "-h, --help", "Show this help");
	if (cmd == &cli_root)
		(void)printf("  %-26s  %s\n", "-V, --version", "Show the version");
}

static void subs_help(const struct cli_command *cmd)
{
	(void)printf("\nCommands:\n");
	for (const struct cli_command *c = cmd->subs; c->name; c++) {
		if (!c->is_hidden)
			(void)printf("  %-14s  %s\n", c->name, c->summary);
	}
}

static int help(const struct cli_command *cmd)
{
	(void)printf("%s\n\nUsage: %s%s%s%s\n", cmd->summary, path,
		cmd->subs ? " COMMAND" : (cmd->options ? " [OPTIONS]" : ""), cmd->args ? " " : "",
		cmd->args ? cmd->args : "");
	if (cmd->alias)
		(void)printf("Alias: %s\n", cmd->alias);
	if (cmd->subs)
		subs_help(cmd);
	options_help(cmd);
	if (cmd->examples)
		(void)printf("\nEXAMPLES\n%s", cmd->examples);
	return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}

/* --- options --- */

static const struct cli_option *in_table(
	const struct cli_option *table, const char *name, size_t len, char letter)
{
	for (const struct cli_option *o = table; o && o->kind != CLI_END; o++) {
		if (name ? strlen(o->name) == len && strncmp(o->name, name, len) == 0
			 : o->letter == letter)
			return o;
	}
	return NULL;
}

/* By long name, or by letter when @name is NULL. */
static const struct cli_option *find_option(
	const struct cli_command *cmd, const char *name, size_t len, char letter)
{
	const struct cli_option *o = in_table(cmd->options, name, len, letter);

	return o ? o : in_table(cli_global_options, name, len, letter);
}

static int unknown_option(const struct cli_command *cmd, const char *arg)
{
	const char *names[SUGGEST_MAX + 1] = { NULL }, *best;
	char given[64];
	size_t n = 0;

	(void)snprintf(given, sizeof(given), "%.*s", (int)strcspn(arg, "="), arg);
	for (const struct cli_option *o = cmd->options; o && o->kind != CLI_END; o++) {
		if (o->kind != CLI_REFUSED && n < SUGGEST_MAX)
			names[n++] = o->name;
	}
	best = str_starts(given, "--") ? str_suggest(given + 2, names) : NULL;
	if (!best)
		return cli_usage_error("unknown option '%s'", given);
	(void)out_error(CLI_USAGE, "unknown option '%s'", given);
	out_hint("did you mean '--%s'?", best);
	return CLI_USAGE;
}

static int bad_value(const struct cli_option *o, const char *value, const char *want)
{
	return cli_usage_error("--%s: '%s' is not %s", o->name, value, want);
}

static int store_uint(const struct cli_option *o, const char *value, unsigned int *ret)
{
	uint64_t v;

	if (str_to_u64(value, (uint64_t)o->value, &v) < 0) {
		char want[48];

		(void)str_format(want, sizeof(want), "a number from 0 to %d", o->value);
		return bad_value(o, value, want);
	}
	*ret = (unsigned int)v;
	return -1;
}

/* --tty and --no-tty are two options of one choice. */
static int store_choice(const struct cli_command *cmd, const struct cli_option *o, int *at)
{
	const struct cli_option *other = cmd->options;

	while (*at && *at != o->value &&
		!(other->kind == CLI_CHOICE && other->at == o->at && other->value == *at))
		other++;
	if (*at && *at != o->value)
		return cli_usage_error("--%s conflicts with --%s", other->name, o->name);
	*at = o->value;
	return -1;
}

/* Stores the value of an option; @value is NULL for those that take none. */
static int store(
	const struct cli_command *cmd, const struct cli_option *o, const char *value, void *opts)
{
	void *at = opts ? (char *)opts + o->at : NULL;

	assert(at || o->kind == CLI_REFUSED || o->kind == CLI_IGNORED);
	switch (o->kind) {
	case CLI_FLAG:
		*(bool *)at = true;
		break;
	case CLI_CHOICE:
		return store_choice(cmd, o, at);
	case CLI_STR:
		*(const char **)at = value;
		break;
	case CLI_LIST:
		if (strv_push(at, value) < 0)
			return out_error(CLI_FAILED, "out of memory");
		break;
	case CLI_UINT:
		return store_uint(o, value, at);
	case CLI_FORMAT:
		if (out_format_parse(value, at) < 0)
			return bad_value(o, value, "table, json or yaml");
		break;
	case CLI_REFUSED:
		return out_error(CLI_USAGE, "--%s is not available: %s", o->name, o->help);
	case CLI_IGNORED:
	case CLI_END:
		break;
	}
	return -1;
}

static bool takes_value(const struct cli_option *o)
{
	return o->kind != CLI_FLAG && o->kind != CLI_CHOICE && o->kind != CLI_REFUSED && o->arg;
}

struct parser {
	const struct cli_command *cmd;
	int argc, at;
	char **argv;
	void *opts;
};

/* The option's value: after "=", or the next argument. */
static int apply(struct parser *p, const struct cli_option *o, const char *attached)
{
	if (!takes_value(o)) {
		if (attached && o->kind != CLI_REFUSED)
			return cli_usage_error("--%s takes no value", o->name);
		return store(p->cmd, o, NULL, p->opts);
	}
	if (!attached && p->at >= p->argc)
		return cli_usage_error("--%s needs a value: %s", o->name, o->arg);
	return store(p->cmd, o, attached ? attached : p->argv[p->at++], p->opts);
}

static int long_option(struct parser *p, const char *arg)
{
	const char *eq = strchr(arg, '=');
	size_t len = eq ? (size_t)(eq - arg - 2) : strlen(arg + 2);
	const struct cli_option *o = find_option(p->cmd, arg + 2, len, 0);

	return o ? apply(p, o, eq ? eq + 1 : NULL) : unknown_option(p->cmd, arg);
}

static int short_options(struct parser *p, const char *arg)
{
	for (const char *s = arg + 1; *s; s++) {
		const struct cli_option *o = find_option(p->cmd, NULL, 0, *s);
		int r;

		if (!o)
			return unknown_option(p->cmd, arg);
		if (takes_value(o) && s[1])
			return apply(p, o, s[1] == '=' ? s + 2 : s + 1);
		r = apply(p, o, NULL);
		if (r >= 0)
			return r;
	}
	return -1;
}

static bool is_help(const char *arg)
{
	return str_eq(arg, "--help") || str_eq(arg, "-h");
}

static int check_counts(const struct cli_command *cmd, const struct cli_args *a)
{
	if (a->n_command && cmd->trailing == CLI_NO_COMMAND)
		return cli_usage_error("'%s' takes no command after '--'", path);
	if (a->n_pos > (int)cmd->max_args && cmd->trailing == CLI_COMMAND) {
		(void)out_error(CLI_USAGE, "unexpected argument '%s'", a->pos[cmd->max_args]);
		out_hint("a command to run comes after '--': %s … -- %s", path,
			a->pos[cmd->max_args]);
		return CLI_USAGE;
	}
	if (a->n_pos > (int)cmd->max_args)
		return cli_usage_error("unexpected argument '%s'", a->pos[cmd->max_args]);
	if (a->n_pos < (int)cmd->min_args)
		return cli_usage_error("missing argument: %s", cmd->args ? cmd->args : "");
	return -1;
}

static void take_command(struct parser *p, struct cli_args *ret)
{
	ret->command = p->argv + p->at;
	ret->n_command = p->argc - p->at;
	p->at = p->argc;
}

int cli_parse(
	const struct cli_command *cmd, int argc, char **argv, void *opts, struct cli_args *ret)
{
	struct parser p = { .cmd = cmd, .argc = argc, .at = 1, .argv = argv, .opts = opts };
	int r = -1;

	*ret = (struct cli_args){ .pos = argv };
	while (r < 0 && p.at < argc) {
		char *arg = argv[p.at++];

		if (is_help(arg))
			return help(cmd);
		if (str_eq(arg, "--")) {
			take_command(&p, ret);
		} else if (str_starts(arg, "--")) {
			r = long_option(&p, arg);
		} else if (arg[0] == '-' && arg[1]) {
			r = short_options(&p, arg);
		} else if (cmd->trailing == CLI_COMMAND_HERE) {
			p.at--;
			take_command(&p, ret);
		} else {
			argv[ret->n_pos++] = arg; /* never beyond what was read */
		}
	}
	if (r >= 0)
		return r;
	argv[ret->n_pos] = NULL; /* the name's own slot makes sure that one is free */
	return check_counts(cmd, ret);
}

/* --- the tree --- */

const struct cli_command *cli_find(const struct cli_command *group, const char *name)
{
	for (const struct cli_command *c = group->subs; c && c->name; c++) {
		if (str_eq(name, c->name) || (c->alias && str_eq(name, c->alias)))
			return c;
	}
	return NULL;
}

static int unknown_command(const struct cli_command *group, const char *name)
{
	const char *names[SUGGEST_MAX + 1] = { NULL }, *best;
	size_t n = 0;

	for (const struct cli_command *c = group->subs; c->name; c++) {
		if (!c->is_hidden && n < SUGGEST_MAX)
			names[n++] = c->name;
	}
	best = str_suggest(name, names);
	if (!best)
		return cli_usage_error("unknown command '%s'", name);
	(void)out_error(CLI_USAGE, "unknown command '%s'", name);
	out_hint("did you mean '%s %s'?", path, best);
	return CLI_USAGE;
}

static int version(void)
{
	(void)printf("openshell %s\n", VERSION);
	return CLI_OK;
}

/* Global options before the command: how many arguments they take up. 0: not one; -1: an error. */
static int skip_global(int argc, char **argv)
{
	struct cli_command none = { .name = "openshell" };
	struct parser p = { .cmd = &none, .argc = argc, .at = 1, .argv = argv };
	const char *arg = argv[0];
	int r = str_starts(arg, "--") ? long_option(&p, arg) : short_options(&p, arg);

	return r >= 0 ? -1 : p.at;
}

static int run_group(const struct cli_command *group, int argc, char **argv)
{
	const struct cli_command *c;
	int at = 1;

	while (at < argc && argv[at][0] == '-') {
		int n;

		if (is_help(argv[at]))
			return help(group);
		if (group == &cli_root && (str_eq(argv[at], "--version") || str_eq(argv[at], "-V")))
			return version();
		n = skip_global(argc - at, argv + at);
		if (n < 0)
			return CLI_USAGE;
		at += n;
	}
	if (at >= argc) {
		(void)help(group);
		return CLI_USAGE;
	}
	c = cli_find(group, argv[at]);
	if (!c)
		return unknown_command(group, argv[at]);
	path_push(c->name);
	return cli_run(c, argc - at, argv + at);
}

int cli_run(const struct cli_command *cmd, int argc, char **argv)
{
	if (cmd->subs)
		return run_group(cmd, argc, argv);
	return cmd->main ? cmd->main(argc, argv) : cmd->run(cmd, argc, argv);
}
