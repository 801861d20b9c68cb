/* profile list, profile show: what is granted to which agent. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "launcher/cmd.h"
#include "launcher/out.h"
#include "launcher/profiles.h"
#include "lib/cleanup.h"
#include "lib/strv.h"

struct options {
	enum out_format format;
};

static json_t *list_json(char *const *list)
{
	json_t *a = json_array();

	for (; list && *list; list++)
		(void)json_array_append_new(a, json_string(*list));
	return a;
}

static json_t *profile_json(const struct profile *p, const char *path)
{
	return json_pack("{s:s, s:s?, s:o, s:o, s:o, s:o, s:s?, s:s?, s:s}", "name", p->name,
		"description", p->description, "commands", list_json(p->commands),
		"home_read_write", list_json(p->home_rw), "home_read_only", list_json(p->home_ro),
		"protect", list_json(p->protect), "not_granted", p->not_granted,
		"provider", p->provider, "file", path);
}

static int list(char *const *names, enum out_format format)
{
	size_t n = strv_len(names), rows = 1;
	const char **cells = calloc((n + 1) * 3, sizeof(*cells));
	json_t *all = json_array();
	int status = CLI_OK;

	if (!cells)
		return out_error(CLI_FAILED, "out of memory");
	cells[0] = "NAME";
	cells[1] = "DESCRIPTION";
	cells[2] = "FILE";
	for (size_t i = 0; i < n; i++) {
		auto_free char *path = NULL;
		struct profile p = { 0 };
		struct err err = { 0 };

		if (profiles_load(names[i], &p, NULL, &path, &err) < 0) {
			status = out_fail(CLI_FAILED, &err);
			continue;
		}
		cells[rows * 3] = names[i];
		cells[rows * 3 + 1] = p.description;
		cells[rows++ * 3 + 2] = path;
		(void)json_array_append_new(all, profile_json(&p, path));
		p.description = NULL;
		path = NULL;
		profile_done(&p);
	}
	if (format == OUT_TABLE)
		out_table(cells, rows, 3);
	else if (out_json(json_incref(all), format) != CLI_OK)
		status = CLI_FAILED;
	json_decref(all);
	for (size_t i = 3; i < rows * 3; i++)
		if (i % 3)
			free((char *)cells[i]);
	free(cells);
	return status;
}

int cmd_profile_list(const struct cli_command *cmd, int argc, char **argv)
{
	auto_strv char **names = NULL;
	struct options o = { 0 };
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r >= 0)
		return r;
	names = profiles_names();
	return list(names, o.format);
}

int cmd_profile_show(const struct cli_command *cmd, int argc, char **argv)
{
	auto_free char *text = NULL, *path = NULL;
	struct options o = { 0 };
	struct profile p = { 0 };
	struct err err = { 0 };
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r >= 0)
		return r;
	if (profiles_load(a.pos[0], &p, &text, &path, &err) < 0)
		return out_fail(CLI_FAILED, &err);
	if (o.format != OUT_TABLE)
		r = out_json(profile_json(&p, path), o.format);
	else
		r = fputs(text, stdout) < 0 ? CLI_FAILED : CLI_OK;
	profile_done(&p);
	return r;
}
