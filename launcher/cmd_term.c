/*
 * openshell term: the full-screen view. It is a program of its own, openshell-term, which this one
 * becomes: loading curses would cost every other command.
 */
#include <errno.h>
#include <stddef.h>
#include <unistd.h>

#include "launcher/cmd.h"
#include "launcher/ctl.h"
#include "launcher/out.h"
#include "launcher/sandbox.h"
#include "lib/str.h"

struct term_options {
	const char *theme;
};

const struct cli_option cmd_term_options[] = {
	{ CLI_STR, "theme", 0, offsetof(struct term_options, theme), 0, "THEME",
		"auto (default), dark or light: the background that the colours are for" },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

static bool is_theme(const char *s)
{
	return str_eq(s, "auto") || str_eq(s, "dark") || str_eq(s, "light");
}

static int become_view(const char *theme, const char *name)
{
	char dir[STATE_PATH_MAX], path[STATE_PATH_MAX + 32];
	const char *argv[] = { "openshell-term", theme, name, NULL };
	struct err err = { 0 };

	if (ctl_program_dir(dir, sizeof(dir), &err) < 0)
		return out_fail(CLI_FAILED, &err);
	(void)str_format(path, sizeof(path), "%s/openshell-term", dir);
	(void)execv(path, (char *const *)(uintptr_t)argv);
	return out_error(CLI_FAILED, "cannot start '%s': %s", path, err_name(-errno));
}

int cmd_term(const struct cli_command *cmd, int argc, char **argv)
{
	struct term_options o = { .theme = "auto" };
	char name[STATE_NAME_MAX + 1];
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r < 0 && !is_theme(o.theme))
		r = cli_usage_error("--theme is auto, dark or light, not '%s'", o.theme);
	if (r < 0 && a.n_pos)
		r = sandbox_name(a.pos[0], name);
	if (r >= 0)
		return r;
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
		(void)out_error(CLI_FAILED, "term wants a terminal");
		out_hint("'openshell logs --tail' prints the same events");
		return CLI_FAILED;
	}
	sandbox_sweep();
	return become_view(o.theme, a.n_pos ? name : NULL);
}
