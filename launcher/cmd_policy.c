/* policy set, get and list. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/cmd.h"
#include "launcher/out.h"
#include "launcher/policyfile.h"
#include "launcher/policysubmit.h"
#include "launcher/sandbox.h"
#include "lib/cleanup.h"
#include "lib/state.h"
#include "lib/str.h"

struct set_options {
	const char *policy;
	bool wait;
	unsigned int timeout_s;
};

struct get_options {
	unsigned int rev;
	bool full, base;
	enum out_format format;
};

struct list_options {
	unsigned int limit;
	enum out_format format;
};

enum { SECONDS_MAX = 86400, VERSION_MAX = 1000000000, HASH_SHOWN = 12 };

static const char no_global[] =
	"there is one user and no gateway that could hold a policy for all sandboxes";

const struct cli_option cmd_policy_set_options[] = {
	{ CLI_STR, "policy", 'p', offsetof(struct set_options, policy), 0, "FILE",
		"The new policy; - is standard input" },
	{ CLI_FLAG, "wait", 0, offsetof(struct set_options, wait), 0, NULL,
		"Return when it decides; status 124 when it does not in time" },
	{ CLI_UINT, "timeout", 0, offsetof(struct set_options, timeout_s), SECONDS_MAX, "SECONDS",
		"How long --wait waits (default 60)" },
	{ CLI_IGNORED, "yes", 'y', 0, 0, NULL, "Accepted for scripts" },
	{ CLI_REFUSED, "global", 0, 0, 0, NULL, no_global },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

const struct cli_option cmd_policy_get_options[] = {
	{ CLI_UINT, "rev", 0, offsetof(struct get_options, rev), VERSION_MAX, "N",
		"A version of the past (default 0: the one that decides)" },
	{ CLI_FLAG, "full", 0, offsetof(struct get_options, full), 0, NULL,
		"With all that was added to what was submitted (nothing, here)" },
	{ CLI_FLAG, "base", 0, offsetof(struct get_options, base), 0, NULL, "As it was submitted" },
	{ CLI_FORMAT, "output", 'o', offsetof(struct get_options, format), 0, "FORMAT",
		"table, json or yaml" },
	{ CLI_REFUSED, "global", 0, 0, 0, NULL, no_global },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

const struct cli_option cmd_policy_list_options[] = {
	{ CLI_UINT, "limit", 0, offsetof(struct list_options, limit), VERSION_MAX, "N",
		"Show the newest N (default 20)" },
	{ CLI_FORMAT, "output", 'o', offsetof(struct list_options, format), 0, "FORMAT",
		"table, json or yaml" },
	{ CLI_REFUSED, "global", 0, 0, 0, NULL, no_global },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

/* --- set --- */

int cmd_policy_set(const struct cli_command *cmd, int argc, char **argv)
{
	struct set_options o = { .timeout_s = 60 };
	auto_state struct state *s = NULL;
	auto_free char *yaml = NULL;
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r < 0 && !o.policy)
		r = cli_usage_error("--policy FILE is missing");
	if (r < 0)
		r = sandbox_open(a.pos[0], &s);
	if (r >= 0)
		return r;
	if (policyfile_load(o.policy, POLICYFILE_TO_CHANGE, &yaml) < 0)
		return CLI_FAILED;
	return policy_submit(s, yaml, "policy set", o.wait, o.timeout_s);
}

/* --- get --- */

static int print_table(const struct state_revision *rev, bool is_effective, const char *yaml)
{
	char created[24];

	out_time(created, rev->created_ms);
	(void)printf("Version:     %u\n", rev->version);
	(void)printf("Hash:        %s\n", rev->hash);
	(void)printf("Status:      %s\n", is_effective ? "Effective" : rev->status);
	(void)printf("Source:      sandbox\n");
	(void)printf("Origin:      %s\n", rev->origin);
	(void)printf("Created:     %s\n", created);
	(void)printf("Config rev:  %u\n", rev->version);
	(void)printf("---\n%s%s", yaml, str_ends(yaml, "\n") ? "" : "\n");
	return CLI_OK;
}

static json_t *revision_json(const struct state_revision *rev)
{
	char created[24];

	out_time(created, rev->created_ms);
	return json_pack("{s:i, s:s, s:s, s:s, s:s, s:I}", "version", (int)rev->version, "hash",
		rev->hash, "status", rev->status, "origin", rev->origin, "created_at", created,
		"created_at_ms", (json_int_t)rev->created_ms);
}

static json_t *get_json(const struct state *s, const struct state_revision *rev, const char *yaml)
{
	json_t *o = revision_json(rev);

	(void)json_object_set_new(o, "scope", json_string("sandbox"));
	(void)json_object_set_new(o, "sandbox", json_string(s->name));
	(void)json_object_set_new(o, "active_version", json_integer(state_revision_last(s)));
	(void)json_object_set_new(o, "config_revision", json_integer(rev->version));
	(void)json_object_set_new(o, "policy_source", json_string("sandbox"));
	(void)json_object_set_new(o, "provenance", json_string(rev->origin));
	(void)json_object_set_new(o, "policy", sandbox_policy_json(yaml));
	(void)json_object_set_new(o, "policy_yaml", json_string(yaml));
	return o;
}

int cmd_policy_get(const struct cli_command *cmd, int argc, char **argv)
{
	struct get_options o = { 0 };
	auto_state struct state *s = NULL;
	auto_free char *yaml = NULL;
	struct state_revision rev;
	struct err err = { 0 };
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r < 0 && o.full && o.base)
		r = cli_usage_error("--full conflicts with --base");
	if (r < 0)
		r = sandbox_open(a.pos[0], &s);
	if (r >= 0)
		return r;
	if (sandbox_policy(s, o.rev, &rev, &yaml, &err) < 0)
		return out_fail(CLI_FAILED, &err);
	if (o.format != OUT_TABLE)
		return out_json(get_json(s, &rev, yaml), o.format);
	return print_table(&rev, rev.version == state_revision_last(s), yaml);
}

/* --- list --- */

enum { COLUMNS = 5 };

struct row {
	char version[12], hash[HASH_SHOWN + 1], created[24];
	struct state_revision rev;
};

static int list_table(const struct row *rows, size_t n)
{
	static const char *const heads[COLUMNS] = { "VERSION", "HASH", "STATUS", "CREATED",
		"ORIGIN" };
	auto_free const char **cells = calloc((n + 1) * COLUMNS, sizeof(*cells));

	if (!cells)
		return out_error(CLI_FAILED, "out of memory");
	memcpy(cells, heads, sizeof(heads));
	for (size_t i = 0; i < n; i++) {
		const char *row[COLUMNS] = { rows[i].version, rows[i].hash, rows[i].rev.status,
			rows[i].created, rows[i].rev.origin };

		memcpy(cells + (i + 1) * COLUMNS, row, sizeof(row));
	}
	out_table(cells, n + 1, COLUMNS);
	return CLI_OK;
}

static int list_json(const struct row *rows, size_t n, enum out_format format)
{
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(a, revision_json(&rows[i].rev));
	return out_json(a, format);
}

/* The newest first, at most @limit; the caller frees. NULL when out of memory. */
static struct row *read_rows(const struct state *s, size_t limit, size_t *ret_n)
{
	uint32_t last = state_revision_last(s);
	struct row *rows = calloc(limit < last ? limit + 1 : last + 1, sizeof(*rows));

	for (uint32_t v = last; rows && v > 0 && *ret_n < limit; v--) {
		struct row *row = &rows[*ret_n];

		if (state_revision_read(s, v, &row->rev, NULL, NULL) < 0)
			continue;
		(void)str_format(row->version, sizeof(row->version), "%u", v);
		(void)snprintf(row->hash, sizeof(row->hash), "%.*s", HASH_SHOWN, row->rev.hash);
		out_time(row->created, row->rev.created_ms);
		(*ret_n)++;
	}
	return rows;
}

int cmd_policy_list(const struct cli_command *cmd, int argc, char **argv)
{
	struct list_options o = { .limit = 20 };
	auto_state struct state *s = NULL;
	auto_free struct row *rows = NULL;
	struct cli_args a;
	size_t n = 0;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r < 0)
		r = sandbox_open(a.pos[0], &s);
	if (r >= 0)
		return r;
	rows = read_rows(s, o.limit, &n);
	if (!rows)
		return out_error(CLI_FAILED, "out of memory");
	return o.format == OUT_TABLE ? list_table(rows, n) : list_json(rows, n, o.format);
}
