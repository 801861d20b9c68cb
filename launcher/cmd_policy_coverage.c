/*
 * openshell policy coverage: which rules of the policy in force were used, by what and how often,
 * and which never were: candidates to remove.
 */
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "launcher/cmd.h"
#include "launcher/coverage.h"
#include "launcher/out.h"
#include "launcher/sandbox.h"
#include "lib/buf.h"
#include "lib/str.h"

struct coverage_options {
	enum out_format format;
	bool unused;
};

const struct cli_option cmd_policy_coverage_options[] = {
	{ CLI_FLAG, "unused", 0, offsetof(struct coverage_options, unused), 0, NULL,
		"Show only what was never used" },
	{ CLI_FORMAT, "output", 'o', offsetof(struct coverage_options, format), 0, "FORMAT",
		"table, json or yaml" },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

static json_t *row_json(const struct coverage_row *row)
{
	json_t *binaries = json_array();

	for (size_t i = 0; i < row->n_binaries; i++)
		json_array_append_new(binaries, json_string(row->binaries[i]));
	return json_pack("{s:s, s:s, s:I, s:I, s:o}", "place", row->place, "what", row->what,
		"count", (json_int_t)row->count, "last_used_ms", (json_int_t)row->last_ms,
		"binaries", binaries);
}

static int print_json(const struct coverage *c, const struct coverage_options *o)
{
	json_t *all = json_array();

	for (size_t i = 0; i < c->n; i++)
		if (!o->unused || !c->rows[i].count)
			json_array_append_new(all, row_json(&c->rows[i]));
	return out_json(all, o->format);
}

/* The sandbox chose the name. */
static void print_binary(const char *path)
{
	auto_buf struct buf safe;

	buf_init(&safe, 65536);
	if (str_escape(&safe, path, strlen(path)) == 0 && buf_cstr(&safe))
		printf("%8s  %-19s      by %s\n", "", "", buf_cstr(&safe));
}

static void print_row(const struct coverage_row *row)
{
	const char *rule = strchr(row->place, ' ');
	char when[24] = "never";

	if (row->count)
		out_time(when, row->last_ms);
	printf("%8llu  %-19s  %s%s%s%s\n", (unsigned long long)row->count, when, rule ? "    " : "",
		rule ? row->what : row->place, rule ? "" : "  ", rule ? "" : row->what);
	for (size_t i = 0; i < row->n_binaries && !rule; i++)
		print_binary(row->binaries[i]);
}

static int print_table(const struct coverage *c, const struct coverage_options *o)
{
	size_t unused = 0;

	printf("%8s  %-19s  %s\n", "USED", "LAST", "WHAT");
	for (size_t i = 0; i < c->n; i++) {
		unused += c->rows[i].count == 0;
		if (!o->unused || !c->rows[i].count)
			print_row(&c->rows[i]);
	}
	if (!c->n)
		out_note("the policy allows no network");
	else if (unused)
		out_note("%zu of %zu were never used", unused, c->n);
	return CLI_OK;
}

int cmd_policy_coverage(const struct cli_command *cmd, int argc, char **argv)
{
	auto_coverage struct coverage c = { 0 };
	struct coverage_options o = { 0 };
	auto_state struct state *s = NULL;
	struct err err = { 0 };
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r < 0)
		r = sandbox_open(a.pos[0], &s);
	if (r >= 0)
		return r;
	if (coverage_load(&c, s, 0, &err) < 0)
		return out_fail(CLI_FAILED, &err);
	return o.format == OUT_TABLE ? print_table(&c, &o) : print_json(&c, &o);
}
