/* doctor, gateway and status: about this machine rather than one sandbox. */
#include <stddef.h>
#include <stdio.h>

#include "launcher/cmd.h"
#include "launcher/doctor.h"
#include "launcher/out.h"
#include "launcher/sandbox.h"
#include "lib/state.h"
#include "lib/str.h"
#include "lib/strv.h"

struct options {
	enum out_format format;
};

const struct cli_option cmd_format_options[] = {
	{ CLI_FORMAT, "output", 'o', offsetof(struct options, format), 0, "FORMAT",
		"table, json or yaml" },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

int cmd_doctor(const struct cli_command *cmd, int argc, char **argv)
{
	struct options o = { 0 };
	struct doctor d;
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r < 0 && a.n_pos && !str_eq(a.pos[0], "check"))
		r = cli_usage_error("unexpected argument '%s'", a.pos[0]);
	if (r >= 0)
		return r;
	doctor_run(&d);
	if (o.format == OUT_TABLE)
		doctor_print(&d);
	else if (out_json(doctor_json(&d), o.format) != CLI_OK)
		return CLI_FAILED;
	return doctor_can_start(&d) ? CLI_OK : CLI_FAILED;
}

/* --- gateway: there is none, and scripts go on --- */

static const char gateway[] = "local";

static bool is_gateway(const char *name)
{
	return str_eq(name, gateway) || str_eq(name, "openshell");
}

int cmd_gateway_start(const struct cli_command *cmd, int argc, char **argv)
{
	struct doctor d;
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, NULL, &a);

	if (r >= 0)
		return r;
	out_done("There is no gateway to start: each sandbox has a supervisor of its own");
	doctor_run(&d);
	if (!doctor_can_start(&d)) {
		out_mark("!", "This host cannot start sandboxes yet:");
		doctor_print(&d);
	}
	return CLI_OK;
}

int cmd_gateway_stop(const struct cli_command *cmd, int argc, char **argv)
{
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, NULL, &a);

	if (r >= 0)
		return r;
	out_done("There is no gateway to stop ('openshell sandbox stop NAME' stops a sandbox)");
	return CLI_OK;
}

int cmd_gateway_list(const struct cli_command *cmd, int argc, char **argv)
{
	static const char *const cells[] = { "NAME", "ENDPOINT", "ACTIVE", "local", "this machine",
		"*" };
	struct options o = { 0 };
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r >= 0)
		return r;
	if (o.format != OUT_TABLE)
		return out_json(json_pack("[{s:s, s:s, s:b}]", "name", gateway, "endpoint", "local",
					"active", 1),
			o.format);
	out_table(cells, 2, 3);
	return CLI_OK;
}

int cmd_gateway_select(const struct cli_command *cmd, int argc, char **argv)
{
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, NULL, &a);

	if (r >= 0)
		return r;
	if (a.n_pos && !is_gateway(a.pos[0])) {
		(void)out_error(CLI_FAILED, "Unknown gateway '%s'", a.pos[0]);
		out_hint("there is one, 'local', and it is always selected");
		return CLI_FAILED;
	}
	out_done("Gateway '%s' is selected", gateway);
	return CLI_OK;
}

/* How many there are, and how many of them run. */
static void count(size_t *ret_all, size_t *ret_running)
{
	auto_strv char **names = NULL;

	*ret_all = *ret_running = 0;
	if (state_list(&names, NULL) < 0)
		return;
	*ret_all = strv_len(names);
	for (size_t i = 0; i < *ret_all; i++) {
		auto_state struct state *s = NULL;

		if (state_open(&s, names[i], NULL) == 0 && state_is_running(s))
			(*ret_running)++;
	}
}

static int show_status(enum out_format format)
{
	size_t all, running;

	sandbox_sweep();
	count(&all, &running);
	if (format != OUT_TABLE)
		return out_json(json_pack("{s:s, s:s, s:s, s:I, s:I}", "gateway", gateway, "status",
					"ready", "version", VERSION, "sandboxes", (json_int_t)all,
					"running", (json_int_t)running),
			format);
	(void)printf("Gateway:    %s (no daemon needed)\nStatus:     Ready\nVersion:    %s\n"
		     "Sandboxes:  %zu (%zu running)\n",
		gateway, VERSION, all, running);
	return CLI_OK;
}

int cmd_gateway_info(const struct cli_command *cmd, int argc, char **argv)
{
	struct options o = { 0 };
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r >= 0)
		return r;
	if (a.n_pos && !is_gateway(a.pos[0]))
		return out_error(CLI_FAILED, "Unknown gateway '%s'", a.pos[0]);
	return show_status(o.format);
}

int cmd_status(const struct cli_command *cmd, int argc, char **argv)
{
	struct options o = { 0 };
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	return r >= 0 ? r : show_status(o.format);
}
