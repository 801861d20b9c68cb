/* sandbox delete, stop and start. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launcher/cmd.h"
#include "launcher/ctl.h"
#include "launcher/inference.h"
#include "launcher/out.h"
#include "launcher/provider.h"
#include "launcher/sandbox.h"
#include "launcher/settings.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/proto.h"
#include "lib/state.h"
#include "lib/str.h"
#include "lib/strv.h"

/* A supervisor that does not end in this time is killed: the sandbox dies with it. */
enum { END_TIMEOUT_MS = 10000, KILL_TIMEOUT_MS = 5000 };

struct delete_options {
	bool all;
};

const struct cli_option cmd_delete_options[] = {
	{ CLI_FLAG, "all", 0, offsetof(struct delete_options, all), 0, NULL, "Every sandbox" },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

/* --- ending a supervisor --- */

/* One request without fields, and CTL_DONE; a supervisor that ends over it has done as asked. */
static int ask(const char *name, uint16_t type, struct err *err)
{
	auto_close int sock = state_control_connect(name, err);
	auto_msg_in struct msg_in m = { 0 };
	int r;

	if (sock < 0)
		return sock;
	r = msg_send_empty(sock, type, 0);
	if (r == 0)
		r = ctl_wait(sock, CTL_DONE, END_TIMEOUT_MS, &m, NULL, err);
	return r == -EPIPE || r == -ECONNRESET ? 0 : r;
}

/* A supervisor that does not answer, or whose runtime directory is gone. The sandbox dies with it.
 */
static int kill_supervisor(const struct state *s, struct err *err)
{
	auto_close int pidfd = sandbox_supervisor(s);
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	if (pidfd == -ESRCH)
		return 0;
	if (pidfd < 0 || syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0)
		return err_set(err, -EIO,
			"the supervisor of sandbox '%s' does not answer, and cannot "
			"be killed",
			s->name);
	out_note("the supervisor of sandbox '%s' did not answer and was killed", s->name);
	if (poll(&p, 1, KILL_TIMEOUT_MS) != 1)
		return err_set(err, -ETIME, "the supervisor of sandbox '%s' does not die", s->name);
	return 0;
}

/* Asks it to end, and sees to it. It is the last process of its sandbox, and what it says comes before its end. */
static int end_supervisor(const struct state *s, uint16_t request, struct err *err)
{
	auto_close int pidfd = sandbox_supervisor(s);
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	int r = ask(s->name, request, err);

	if (r < 0 && state_is_running(s))
		return kill_supervisor(s, err);
	if (r == 0 && pidfd >= 0)
		(void)poll(&p, 1, END_TIMEOUT_MS);
	return 0;
}

/* --- delete --- */

/* One without a supervisor. */
static int remove_dead(const char *name, struct err *err)
{
	auto_state struct state *s = NULL;
	int r;

	r = state_open(&s, name, err);
	if (r == 0)
		r = state_lock(s, err);
	if (r == 0)
		r = state_remove(s, err);
	state_archive_prune();
	return r;
}

static int delete_one(const char *name, struct err *err)
{
	auto_state struct state *s = NULL;
	int r;

	r = state_open(&s, name, err);
	if (r < 0)
		return r;
	if (state_is_running(s))
		r = end_supervisor(s, CTL_DELETE, err);
	if (r < 0)
		return r;
	/* Gone, unless the supervisor died before it could remove the state. */
	r = remove_dead(name, err);
	return r == -ENOENT ? 0 : r;
}

static int delete_named(char *const *names)
{
	int status = CLI_OK;

	for (size_t i = 0; names[i]; i++) {
		struct err err = { 0 };
		int r = state_name_check(names[i], &err) < 0 ? -ENOENT : delete_one(names[i], &err);

		if (r == 0) {
			state_last_used_clear(names[i]);
			out_done("Deleted sandbox %s", names[i]);
			continue;
		}
		status = CLI_FAILED;
		if (r == -ENOENT)
			out_mark("!", "Sandbox %s not found", names[i]);
		else
			(void)out_fail(CLI_FAILED, &err);
	}
	return status;
}

static int delete_all(void)
{
	auto_strv char **names = NULL;
	struct err err = { 0 };

	if (state_list(&names, &err) < 0)
		return out_fail(CLI_FAILED, &err);
	if (!names) {
		(void)out_mark("·", "No sandboxes to delete.");
		return CLI_OK;
	}
	return delete_named(names);
}

int cmd_delete(const struct cli_command *cmd, int argc, char **argv)
{
	struct delete_options o = { 0 };
	char name[STATE_NAME_MAX + 1], *one[] = { name, NULL };
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r >= 0)
		return r;
	if (o.all && a.n_pos)
		return cli_usage_error("--all conflicts with names");
	if (o.all)
		return delete_all();
	if (a.n_pos)
		return delete_named(a.pos);
	r = sandbox_name(NULL, name);
	return r >= 0 ? r : delete_named(one);
}

/* --- stop and start --- */

int cmd_stop(const struct cli_command *cmd, int argc, char **argv)
{
	auto_state struct state *s = NULL;
	struct err err = { 0 };
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, NULL, &a);

	if (r < 0)
		r = sandbox_open(a.pos[0], &s);
	if (r >= 0)
		return r;
	if (!state_is_running(s)) {
		out_mark("·", "Sandbox %s is not running", s->name);
		return CLI_OK;
	}
	if (end_supervisor(s, CTL_STOP, &err) < 0)
		return out_fail(CLI_FAILED, &err);
	out_done("Stopped sandbox %s", s->name);
	return CLI_OK;
}

static int restart(const struct sandbox_spec *spec, char *const *providers)
{
	auto_msg_in struct msg_in m = { 0 };
	auto_close int sock = -1;
	struct err err = { 0 };
	int status = CLI_NO_START, r;

	sock = ctl_spawn(&err);
	r = sock < 0 ? sock : ctl_send_restart(sock, spec, &err);
	if (r == 0)
		r = ctl_wait(sock, CTL_READY, -1, &m, &status, &err);
	if (r == 0 && providers)
		r = provider_send(sock, providers, true, &err);
	if (r < 0)
		return out_fail(status, &err);
	if (inference_deliver(sock, INFERENCE_DELIVER_WAIT, &err) < 0)
		out_note("https://inference.local is not there: %s", err.text);
	state_last_used_set(spec->name);
	out_done("Started sandbox %s", spec->name);
	return CLI_OK;
}

int cmd_start(const struct cli_command *cmd, int argc, char **argv)
{
	auto_spec struct sandbox_spec spec = { 0 };
	auto_state struct state *s = NULL;
	auto_strv char **providers = NULL;
	struct err err = { 0 };
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, NULL, &a);

	if (r < 0)
		r = sandbox_open(a.pos[0], &s);
	if (r >= 0)
		return r;
	if (state_is_running(s)) {
		out_mark("·", "Sandbox %s is running already", s->name);
		return CLI_OK;
	}
	if (state_load_spec(s, &spec, &err) < 0)
		return out_fail(CLI_FAILED, &err);
	spec.agent_proposals = settings_agent_proposals(s);
	if (provider_attached(s, &providers, &err) < 0 || provider_check(providers, &err) < 0)
		return out_fail(CLI_NO_START, &err);
	return restart(&spec, providers);
}

/* --- trust --- */

static int send_trust(int sock, const char *path, struct err *err)
{
	auto_msg_in struct msg_in answer = { 0 };
	auto_msg_out struct msg_out m;
	int r;

	msg_out_init(&m, CTL_TRUST, 0);
	msg_put_str(&m, path);
	r = ctl_send(sock, &m, err);
	return r < 0 ? r : ctl_wait(sock, CTL_DONE, END_TIMEOUT_MS, &answer, NULL, err);
}

int cmd_trust(const struct cli_command *cmd, int argc, char **argv)
{
	char name[STATE_NAME_MAX + 1];
	auto_close int sock = -1;
	struct err err = { 0 };
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, NULL, &a);

	if (r < 0)
		r = sandbox_reach(a.pos[0], name, &sock);
	if (r >= 0)
		return r;
	if (send_trust(sock, a.pos[1], &err) < 0)
		return out_fail(CLI_FAILED, &err);
	out_done("Sandbox %s trusts %s as it is now", name, a.pos[1]);
	return CLI_OK;
}
