/* forward start, stop and list. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launcher/cmd.h"
#include "launcher/forward.h"
#include "launcher/out.h"
#include "launcher/sandbox.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/state.h"
#include "lib/str.h"
#include "lib/strv.h"

enum { STOP_TIMEOUT_MS = 5000, PID_FILE_MAX = 128 };

struct start_options {
	bool background;
};

const struct cli_option cmd_forward_start_options[] = {
	{ CLI_FLAG, "background", 'd', offsetof(struct start_options, background), 0, NULL,
		"Go on in the background" },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

/* --- start --- */

struct ready {
	const struct forward_spec *spec;
	const char *name;
};

static void on_ready(void *arg)
{
	const struct ready *r = arg;

	out_done("Forwarding %s port %u to sandbox %s", r->spec->bind, r->spec->port, r->name);
}

static bool is_loopback(const char *ip)
{
	return str_starts(ip, "127.") || str_eq(ip, "::1");
}

int cmd_forward_start(const struct cli_command *cmd, int argc, char **argv)
{
	struct start_options o = { 0 };
	struct forward_spec spec;
	char name[STATE_NAME_MAX + 1];
	struct ready ready = { &spec, name };
	struct err err = { 0 };
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r < 0 && forward_parse(a.pos[0], &spec, &err) < 0)
		r = out_fail(CLI_USAGE, &err);
	if (r < 0)
		r = sandbox_name(a.pos[1], name);
	if (r >= 0)
		return r;
	if (!is_loopback(spec.bind))
		out_note("warning: others on the network can reach port %u of sandbox '%s'",
			spec.port, name);
	r = o.background ? forward_start(name, &spec, NULL, &err)
			 : forward_run(name, &spec, on_ready, &ready, &err);
	if (r < 0)
		return out_fail(CLI_FAILED, &err);
	if (o.background)
		on_ready(&ready);
	return CLI_OK;
}

/* --- stop --- */

static int end_process(int pid)
{
	auto_close int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	if (pidfd < 0 || syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0) < 0)
		return errno == ESRCH ? 0 : -errno;
	return poll(&p, 1, STOP_TIMEOUT_MS) == 1 ? 0 : -ETIME;
}

/* The lock proves that the number in the file is the process that forwards. */
static int stop(const char *name, const struct forward_spec *spec, struct err *err)
{
	auto_close int dir = state_runtime_dir(name, NULL);
	char file[32];
	int pid, r;

	(void)str_format(file, sizeof(file), "forward-%u", spec->port);
	if (dir < 0 || faccessat(dir, file, F_OK, 0) < 0 || !state_lock_is_held(dir, file))
		return err_set(
			err, -ENOENT, "port %u is not forwarded to sandbox '%s'", spec->port, name);
	pid = state_pid_read(dir, file);
	r = pid < 0 ? pid : end_process(pid);
	return r < 0 ? err_set(err, r, "cannot stop forwarding port %u: %s", spec->port,
			       err_name(r))
		     : 0;
}

int cmd_forward_stop(const struct cli_command *cmd, int argc, char **argv)
{
	struct forward_spec spec;
	char name[STATE_NAME_MAX + 1];
	struct err err = { 0 };
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, NULL, &a);

	if (r < 0 && forward_parse(a.pos[0], &spec, &err) < 0)
		r = out_fail(CLI_USAGE, &err);
	if (r < 0)
		r = sandbox_name(a.pos[1], name);
	if (r >= 0)
		return r;
	if (stop(name, &spec, &err) < 0)
		return out_fail(CLI_FAILED, &err);
	out_done("Stopped forwarding port %u to sandbox %s", spec.port, name);
	return CLI_OK;
}

/* --- list --- */

/* One forwarded port as JSON, or NULL when nobody forwards it (any more). */
static json_t *describe(int dir, const char *file, const char *sandbox)
{
	auto_free char *text = NULL;
	const char *bind;
	uint64_t port;

	if (!str_starts(file, "forward-") ||
		str_to_u64(file + strlen("forward-"), 65535, &port) < 0)
		return NULL;
	if (!state_lock_is_held(dir, file) || fd_slurp_at(dir, file, PID_FILE_MAX, &text, NULL) < 0)
		return NULL;
	bind = strchr(text, '\n');
	if (!bind)
		return NULL;
	text[strlen(text) - 1] = '\0';
	return json_pack("{s:s, s:s, s:I, s:i}", "sandbox", sandbox, "bind", bind + 1, "port",
		(json_int_t)port, "pid", state_pid_read(dir, file));
}

static void collect(json_t *list, const char *sandbox)
{
	int dir = state_runtime_dir(sandbox, NULL);
	auto_closedir DIR *d = dir < 0 ? NULL : fdopendir(dir);
	struct dirent *e;

	if (!d && dir >= 0)
		(void)close(dir);
	while (d && (e = readdir(d))) {
		json_t *one = describe(dirfd(d), e->d_name, sandbox);

		if (one)
			(void)json_array_append_new(list, one);
	}
}

static int list_table(const json_t *list)
{
	if (json_array_size(list) == 0) {
		(void)puts("No ports are forwarded.");
		return CLI_OK;
	}
	(void)printf("%-20s %-16s %-6s %s\n", "SANDBOX", "BIND", "PORT", "PID");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *o = json_array_get(list, i);

		(void)printf("%-20s %-16s %-6lld %lld\n",
			json_string_value(json_object_get(o, "sandbox")),
			json_string_value(json_object_get(o, "bind")),
			(long long)json_integer_value(json_object_get(o, "port")),
			(long long)json_integer_value(json_object_get(o, "pid")));
	}
	return CLI_OK;
}

int cmd_forward_list(const struct cli_command *cmd, int argc, char **argv)
{
	struct {
		enum out_format format;
	} o = { 0 };
	auto_strv char **names = NULL;
	struct err err = { 0 };
	struct cli_args a;
	json_t *list;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r >= 0)
		return r;
	if (state_list(&names, &err) < 0)
		return out_fail(CLI_FAILED, &err);
	list = json_array();
	for (size_t i = 0; names && names[i]; i++)
		collect(list, names[i]);
	if (o.format != OUT_TABLE)
		return out_json(list, o.format);
	r = list_table(list);
	json_decref(list);
	return r;
}
