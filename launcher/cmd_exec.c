/* sandbox exec and sandbox connect: commands and shells in a running sandbox. */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "launcher/cmd.h"
#include "launcher/ctl.h"
#include "launcher/editor.h"
#include "launcher/out.h"
#include "launcher/sandbox.h"
#include "launcher/session.h"
#include "lib/cleanup.h"
#include "lib/proto.h"
#include "lib/spec.h"
#include "lib/state.h"
#include "lib/strv.h"

struct exec_options {
	const char *name, *workdir;
	char **env;
	unsigned int timeout_s;
	int tty;
};

#define AT(field) offsetof(struct exec_options, field)

enum { TIMEOUT_S_MAX = 7 * 86400 };

const struct cli_option cmd_exec_options[] = {
	{ CLI_STR, "name", 'n', AT(name), 0, "NAME", "The sandbox (default: the last used one)" },
	{ CLI_STR, "workdir", 'w', AT(workdir), 0, "DIR", "Directory inside to start in" },
	{ CLI_LIST, "env", 'e', AT(env), 0, "KEY=VALUE", "Set a variable for it; repeatable" },
	{ CLI_UINT, "timeout", 0, AT(timeout_s), TIMEOUT_S_MAX, "SECONDS",
		"End it after so long, with status 124 (0: never)" },
	{ CLI_CHOICE, "tty", 't', AT(tty), 1, NULL, "Give the command a terminal" },
	{ CLI_CHOICE, "no-tty", 'T', AT(tty), -1, NULL, "Give it none" },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

struct connect_options {
	const char *editor;
};

const struct cli_option cmd_connect_options[] = {
	{ CLI_STR, "editor", 0, offsetof(struct connect_options, editor), 0, "EDITOR",
		"Open it in an editor instead: vscode or cursor" },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

static bool on_terminal(void)
{
	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
}

static int run(int sock, const char *name, const struct ctl_exec *exec, unsigned int timeout_s)
{
	struct session session = { .sock = sock, .name = name, .timeout_s = timeout_s };
	struct err err = { 0 };
	int r;

	session.is_tty = exec->flags & CTL_EXEC_TTY;
	session.command = exec->argv ? exec->argv[0] : NULL;
	if (ctl_send_exec(sock, exec, &err) < 0)
		return out_fail(CLI_FAILED, &err);
	state_last_used_set(name);
	r = session_run(&session);
	return r == -ENOENT ? out_error(CLI_FAILED, "sandbox '%s': the command is not there", name)
			    : r;
}

/* --- exec --- */

static int check_exec(const struct exec_options *o, const struct cli_args *a)
{
	struct err err = { 0 };

	if (a->n_command == 0)
		return cli_usage_error("there is no command to run");
	if (a->n_command > SPEC_ARGV_MAX)
		return out_error(CLI_USAGE, "more than %d arguments", SPEC_ARGV_MAX);
	if (o->workdir && (strlen(o->workdir) > SPEC_WORKDIR_MAX || strpbrk(o->workdir, "\r\n")))
		return out_error(CLI_USAGE,
			"--workdir: longer than %d bytes, or it contains a newline",
			SPEC_WORKDIR_MAX);
	if (spec_env_check_all(o->env, &err) < 0)
		return out_error(CLI_USAGE, "--env: %s", err.text);
	return -1;
}

static int exec(const struct exec_options *o, const struct cli_args *a)
{
	struct ctl_exec request = {
		.kind = CTL_EXEC_EXTRA, .workdir = o->workdir, .env = o->env, .argv = a->command
	};
	char name[STATE_NAME_MAX + 1];
	auto_close int sock = -1;
	int r;

	r = check_exec(o, a);
	if (r < 0)
		r = sandbox_reach(o->name, name, &sock);
	if (r >= 0)
		return r;
	if (o->tty ? o->tty > 0 : on_terminal())
		request.flags |= CTL_EXEC_TTY;
	session_block_signals();
	return run(sock, name, &request, o->timeout_s);
}

int cmd_exec(const struct cli_command *cmd, int argc, char **argv)
{
	struct exec_options o = { 0 };
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r < 0)
		r = exec(&o, &a);
	strv_free(o.env);
	return r;
}

/* --- connect --- */

static int send_attach(int sock, struct err *err)
{
	struct winsize ws = { 0 };
	auto_msg_out struct msg_out m;

	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws);
	msg_out_init(&m, CTL_ATTACH, 0);
	msg_put_u32(&m, ws.ws_row);
	msg_put_u32(&m, ws.ws_col);
	return ctl_send(sock, &m, err);
}

/* To the main process: -ENOENT when it has ended, or has no terminal. */
static int attach(int sock, const char *name)
{
	struct session session = { .sock = sock, .is_tty = true, .name = name };
	struct err err = { 0 };

	if (send_attach(sock, &err) < 0)
		return out_fail(CLI_FAILED, &err);
	return session_run(&session);
}

static int open_in_editor(const char *editor, const char *name)
{
	auto_spec struct sandbox_spec spec = { 0 };
	auto_state struct state *s = NULL;
	struct err err = { 0 };

	if (state_open(&s, name, &err) < 0 || state_load_spec(s, &spec, &err) < 0)
		return out_fail(CLI_FAILED, &err);
	state_last_used_set(name);
	return editor_open(editor, name, spec.workdir ? spec.workdir : "/sandbox");
}

int cmd_connect(const struct cli_command *cmd, int argc, char **argv)
{
	struct ctl_exec shell = { .kind = CTL_EXEC_EXTRA, .flags = CTL_EXEC_LOGIN };
	char name[STATE_NAME_MAX + 1];
	struct connect_options o = { 0 };
	auto_close int sock = -1;
	struct err err = { 0 };
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r < 0 && o.editor && editor_check(o.editor, &err) < 0)
		return out_fail(CLI_USAGE, &err);
	if (r < 0)
		r = sandbox_reach(a.pos[0], name, &sock);
	if (r >= 0)
		return r;
	if (o.editor)
		return open_in_editor(o.editor, name);
	session_block_signals();
	if (on_terminal()) {
		state_last_used_set(name);
		r = attach(sock, name);
		if (r != -ENOENT)
			return r;
		shell.flags |= CTL_EXEC_TTY;
	}
	return run(sock, name, &shell, 0);
}
