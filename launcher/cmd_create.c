/* sandbox create: from the command line to a spec, from the spec to a running sandbox. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "launcher/autoprovider.h"
#include "launcher/cmd.h"
#include "launcher/config.h"
#include "launcher/credential.h"
#include "launcher/ctl.h"
#include "launcher/doctor.h"
#include "launcher/editor.h"
#include "launcher/forward.h"
#include "launcher/inference.h"
#include "launcher/out.h"
#include "launcher/paths.h"
#include "launcher/policyfile.h"
#include "launcher/profiles.h"
#include "launcher/provider.h"
#include "launcher/sandbox.h"
#include "launcher/session.h"
#include "launcher/settings.h"
#include "launcher/transfer.h"
#include "lib/barred.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/proto.h"
#include "lib/spec.h"
#include "lib/state.h"
#include "lib/str.h"
#include "lib/strv.h"

struct options {
	const char *name, *policy, *workdir, *approval_mode, *intercept;
	char **providers;
	char **env, **labels, **ro, **rw, **forward, **upload, **deny;
	struct config config;
	bool no_git_ignore, keep, no_keep, detach, audit, stacks, no_credential_warnings;
	int tty; /* 1: --tty, -1: --no-tty, 0: as it is */
	int auto_providers; /* enum autoprovider */
	const char *profile, *cpu, *memory, *editor;
	bool no_profile;
	enum out_format format;
	bool has_format;
};

#define AT(field) offsetof(struct options, field)

const struct cli_option cmd_create_options[] = {
	{ CLI_STR, "name", 0, AT(name), 0, "NAME", "Name it; a named sandbox is kept" },
	{ CLI_FLAG, "keep", 0, AT(keep), 0, NULL, "Keep it when its command ends" },
	{ CLI_FLAG, "no-keep", 0, AT(no_keep), 0, NULL, "Remove it when its command ends" },
	{ CLI_FLAG, "detach", 'd', AT(detach), 0, NULL, "Start it and return; implies --keep" },
	{ CLI_STR, "policy", 0, AT(policy), 0, "FILE",
		"Policy to start with [env: OPENSHELL_SANDBOX_POLICY]" },
	{ CLI_STR, "profile", 0, AT(profile), 0, "NAME",
		"Profile of the agent (default: the one that is for the command)" },
	{ CLI_FLAG, "no-profile", 0, AT(no_profile), 0, NULL, "Apply none" },
	{ CLI_LIST, "env", 0, AT(env), 0, "KEY=VALUE", "Set a variable inside; repeatable" },
	{ CLI_FLAG, "no-credential-warnings", 0, AT(no_credential_warnings), 0, NULL,
		"Say nothing about --env values that look like secrets" },
	{ CLI_LIST, "label", 0, AT(labels), 0, "KEY=VALUE", "Label it; repeatable" },
	{ CLI_STR, "workdir", 0, AT(workdir), 0, "DIR",
		"Directory to grant and start in (default: the current one)" },
	{ CLI_LIST, "ro", 0, AT(ro), 0, "PATH", "Grant one more path, read-only; repeatable" },
	{ CLI_LIST, "rw", 0, AT(rw), 0, "PATH", "Grant one more path, read-write; repeatable" },
	{ CLI_FLAG, "audit", 0, AT(audit), 0, NULL,
		"Let every connection through and record what a policy would need" },
	{ CLI_LIST, "deny", 0, AT(deny), 0, "HOST[:PORT]",
		"Never let it through, whatever policy or --audit say; repeatable" },
	{ CLI_FLAG, "stacks", 0, AT(stacks), 0, NULL,
		"Record the call stack of every connection attempt (for audits: it costs time)" },
	{ CLI_LIST, "connect-to", 0, AT(config.connect_to), 0, "H:P:ADDR:P",
		"Dial ADDR:P for H:P; repeatable" },
	{ CLI_STR, "upstream-ca", 0, AT(config.upstream_ca), 0, "FILE",
		"More root certificates to verify servers with" },
	{ CLI_STR, "upstream-proxy", 0, AT(config.upstream_proxy), 0, "URL",
		"Reach the network through this proxy" },
	{ CLI_STR, "no-proxy", 0, AT(config.no_proxy), 0, "LIST", "Hosts to reach without it" },
	{ CLI_STR, "intercept", 0, AT(intercept), 0, "BACKEND",
		"auto, seccomp, ptrace or preload" },
	{ CLI_LIST, "forward", 0, AT(forward), 0, "[BIND:]PORT",
		"Forward a port of the host to it; repeatable, implies --keep" },
	{ CLI_LIST, "upload", 0, AT(upload), 0, "LOCAL[:DEST]",
		"Copy a file or directory in before the shell starts; repeatable" },
	{ CLI_FLAG, "no-git-ignore", 0, AT(no_git_ignore), 0, NULL,
		"With --upload: also what git ignores" },
	{ CLI_CHOICE, "tty", 't', AT(tty), 1, NULL, "Give the command a terminal" },
	{ CLI_CHOICE, "no-tty", 'T', AT(tty), -1, NULL, "Give it none" },
	{ CLI_STR, "approval-mode", 0, AT(approval_mode), 0, "MODE",
		"Who approves proposed rules: manual" },
	{ CLI_LIST, "provider", 0, AT(providers), 0, "NAME",
		"Let it use this provider's credentials; repeatable" },
	{ CLI_CHOICE, "auto-providers", 0, AT(auto_providers), AUTOPROVIDER_MAKE, NULL,
		"Make the agent's provider of the variables that are set here, without asking" },
	{ CLI_CHOICE, "no-auto-providers", 0, AT(auto_providers), AUTOPROVIDER_NEVER, NULL,
		"Use the providers that are named, and no others" },
	{ CLI_FORMAT, "output", 'o', AT(format), 0, "FORMAT",
		"Show the new sandbox as table, json or yaml; implies --detach" },
	{ CLI_REFUSED, "from", 0, 0, 0, NULL,
		"a sandbox here shows the host's own files, there are no images to build it from" },
	{ CLI_REFUSED, "gpu", 0, 0, 0, NULL,
		"devices are not handed out by a gateway; grant them with --rw /dev/…" },
	{ CLI_REFUSED, "driver-config-json", 0, 0, 0, NULL,
		"there is no compute driver on a single machine" },
	{ CLI_STR, "cpu", 0, AT(cpu), 0, "N", "Processors it may use: 500m, 2.5" },
	{ CLI_STR, "memory", 0, AT(memory), 0, "SIZE", "Memory it may use: 512Mi, 8G" },
	{ CLI_STR, "editor", 0, AT(editor), 0, "EDITOR",
		"Start it and open it in an editor: vscode or cursor; implies --keep" },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

static void options_done(struct options *o)
{
	strv_free(o->providers);
	strv_free(o->env);
	strv_free(o->labels);
	strv_free(o->ro);
	strv_free(o->rw);
	strv_free(o->forward);
	strv_free(o->upload);
	strv_free(o->deny);
	strv_free(o->config.connect_to);
}

/* --- from options to a spec --- */

static int check_all(char *const *list, int (*check)(const char *, struct err *),
	const char *option, struct err *err)
{
	for (size_t i = 0; list && list[i]; i++) {
		int r = check(list[i], err);

		if (r < 0)
			return err_wrap(err, r, "%s", option);
	}
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int take_deny(struct sandbox_spec *s, struct options *o, struct err *err)
{
	struct barred *barred = NULL;
	int r = barred_new(o->deny, &barred, err);

	barred_free(barred);
	if (r < 0)
		return err_wrap(err, r, "--deny");
	s->deny = take_ptr(o->deny);
	return 0;
}

static int take_labels(struct sandbox_spec *s, struct options *o, struct err *err)
{
	int r = check_all(o->labels, spec_label_check, "--label", err);

	if (r < 0)
		return r;
	if (strv_len(o->labels) > SPEC_LABELS_MAX)
		return err_set(err, -EINVAL, "--label: more than %d labels", SPEC_LABELS_MAX);
	s->labels = take_ptr(o->labels);
	if (s->labels)
		qsort(s->labels, strv_len(s->labels), sizeof(char *), by_text);
	return 0;
}

static int take_env(struct sandbox_spec *s, struct options *o, struct err *err)
{
	int r = spec_env_check_all(o->env, err);

	if (r < 0)
		return err_wrap(err, r, "--env");
	s->env = take_ptr(o->env);
	for (size_t i = 0; s->env && s->env[i] && !o->no_credential_warnings; i++) {
		if (credential_is_likely(s->env[i]))
			out_note("warning: --env %.*s looks like a credential, and everything in "
				 "the "
				 "sandbox can read it (--no-credential-warnings silences this)",
				(int)strcspn(s->env[i], "="), s->env[i]);
	}
	return 0;
}

static int take_paths(char ***ret, char *const *from, const char *option, struct err *err)
{
	for (size_t i = 0; from && from[i]; i++) {
		auto_free char *path = path_absolute(from[i]);

		if (!path)
			return err_set(
				err, -errno, "%s '%s': %s", option, from[i], err_name(errno));
		if (strv_push(ret, path) < 0)
			return err_set(err, -ENOMEM, "out of memory");
		if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			out_note("warning: %s '%s' is skipped: %s", option, path, err_name(errno));
	}
	return 0;
}

static int take_upstream_ca(struct sandbox_spec *s, const char *file, struct err *err)
{
	auto_close int fd = -1;

	if (!file)
		return 0;
	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "--upstream-ca '%s': %s", file, err_name(errno));
	s->upstream_ca = path_absolute(file);
	return s->upstream_ca ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static int copy(char **ret, const char *s)
{
	*ret = s ? strdup(s) : NULL;
	return s && !*ret ? -ENOMEM : 0;
}

/* Where connections go: flags first, then what the environment and the settings file add. */
static int take_upstream(struct sandbox_spec *s, struct options *o, struct err *err)
{
	auto_config struct config c = { 0 };
	int r;

	c.connect_to = take_ptr(o->config.connect_to);
	if (copy(&c.upstream_ca, o->config.upstream_ca) < 0 ||
		copy(&c.upstream_proxy, o->config.upstream_proxy) < 0 ||
		copy(&c.no_proxy, o->config.no_proxy) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	r = config_complete(&c, err);
	if (r < 0)
		return r;
	r = check_all(c.connect_to, spec_connect_to_check, "--connect-to", err);
	if (r < 0)
		return r;
	if (c.upstream_proxy && !str_starts(c.upstream_proxy, "http://"))
		/* Not shown: it may hold a password. */
		return err_set(err, -EINVAL, "--upstream-proxy: not an http:// URL");
	r = take_upstream_ca(s, c.upstream_ca, err);
	s->connect_to = take_ptr(c.connect_to);
	s->upstream_proxy = take_ptr(c.upstream_proxy);
	s->no_proxy = take_ptr(c.no_proxy);
	return r;
}

/* An argument may be any bytes; what is remembered of it is text. */
static int remember_argument(char ***command, const char *arg)
{
	size_t len = strnlen(arg, SPEC_COMMAND_ARG_SHOWN);
	auto_buf struct buf text;
	const char *shown;

	buf_init(&text, 8 * SPEC_COMMAND_ARG_SHOWN);
	if (str_is_utf8(arg, strlen(arg)) && len < SPEC_COMMAND_ARG_SHOWN)
		return strv_push(command, arg);
	if (str_escape(&text, arg, len) < 0)
		return -ENOMEM;
	shown = buf_cstr(&text);
	return shown ? strv_push(command, shown) : -ENOMEM;
}

static int take_limits(struct sandbox_spec *s, const struct options *o, struct err *err)
{
	int r = o->cpu ? spec_cpu_parse(o->cpu, &s->cpu_milli, err) : 0;

	if (r < 0)
		return err_wrap(err, r, "--cpu");
	r = o->memory ? spec_memory_parse(o->memory, &s->memory, err) : 0;
	return r < 0 ? err_wrap(err, r, "--memory") : 0;
}

static int take_command(struct sandbox_spec *s, const struct cli_args *a, struct err *err)
{
	if (a->n_command > SPEC_ARGV_MAX)
		return err_set(err, -E2BIG, "more than %d arguments", SPEC_ARGV_MAX);
	for (int i = 0; i < a->n_command; i++) {
		if (strlen(a->command[i]) > SPEC_ARG_MAX)
			return err_set(
				err, -E2BIG, "an argument is longer than %d bytes", SPEC_ARG_MAX);
		if (i < SPEC_COMMAND_SHOWN && remember_argument(&s->command, a->command[i]) < 0)
			return err_set(err, -ENOMEM, "out of memory");
	}
	return 0;
}

static int take_name(struct sandbox_spec *s, const struct options *o, struct err *err)
{
	char name[STATE_NAME_MAX + 1], id[37];
	struct timespec now;
	int r;

	if (o->name) {
		r = state_name_check(o->name, err);
		if (r < 0)
			return err_wrap(err, r, "--name '%s'", o->name);
	}
	state_name_generate(name);
	spec_new_id(id);
	(void)clock_gettime(CLOCK_REALTIME, &now);
	s->created_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	s->keep = !o->no_keep && (o->name || o->keep || o->detach || o->forward || o->editor);
	if (copy(&s->name, o->name ? o->name : name) < 0 || copy(&s->id, id) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	return 0;
}

static int forward_check(const char *text, struct err *err)
{
	struct forward_spec spec;

	return forward_parse(text, &spec, err);
}

static int spec_fill(
	struct sandbox_spec *s, struct options *o, const struct cli_args *a, struct err *err)
{
	int r;

	s->audit = o->audit;
	s->stacks = o->stacks;
	s->agent_proposals = settings_agent_proposals(NULL);
	s->tty = o->tty ? o->tty > 0 : o->detach || (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO));
	if (o->intercept && spec_intercept_parse(o->intercept, &s->intercept) < 0)
		return err_set(err, -EINVAL,
			"--intercept '%s': not one of auto, seccomp, ptrace, preload",
			o->intercept);
	r = check_all(o->forward, forward_check, "--forward", err);
	if (r == 0)
		r = take_name(s, o, err);
	if (r == 0)
		r = take_limits(s, o, err);
	if (r == 0)
		r = take_labels(s, o, err);
	if (r == 0)
		r = take_deny(s, o, err);
	if (r == 0)
		r = take_env(s, o, err);
	if (r == 0)
		r = take_command(s, a, err);
	if (r == 0)
		r = take_paths(&s->ro, o->ro, "--ro", err);
	if (r == 0)
		r = take_paths(&s->rw, o->rw, "--rw", err);
	if (r == 0)
		r = take_upstream(s, o, err);
	if (r == 0)
		r = path_workdir(o->workdir, &s->workdir, err);
	if (r == 0 && s->workdir && !str_is_utf8(s->workdir, strlen(s->workdir)))
		r = err_set(
			err, -EILSEQ, "the working directory's name '%s' is not UTF-8", s->workdir);
	return r;
}

/* --- running it --- */

static int send_exec(
	int sock, const struct sandbox_spec *s, const struct cli_args *a, struct err *err)
{
	struct ctl_exec exec = { .kind = CTL_EXEC_MAIN, .argv = a->command };

	if (s->tty)
		exec.flags |= CTL_EXEC_TTY;
	if (!a->command)
		exec.flags |= CTL_EXEC_LOGIN;
	return ctl_send_exec(sock, &exec, err);
}

struct ready {
	const struct sandbox_spec *spec;
	const struct options *options;
};

static void forward_all(const char *name, char *const *ports)
{
	for (size_t i = 0; ports && ports[i]; i++) {
		struct forward_spec f;
		struct err err = { 0 };

		if (forward_parse(ports[i], &f, &err) < 0 ||
			forward_start(name, &f, NULL, &err) < 0)
			(void)out_error(CLI_FAILED, "--forward: %s", err.text);
		else
			out_done("Forwarding %s port %u to sandbox %s", f.bind, f.port, name);
	}
}

/* LOCAL[:DEST]; the last colon splits. */
static void upload_all(const char *name, char *const *specs, bool is_whole)
{
	for (size_t i = 0; specs && specs[i]; i++) {
		const char *colon = strrchr(specs[i], ':');
		auto_free char *local =
			colon ? strndup(specs[i], (size_t)(colon - specs[i])) : strdup(specs[i]);

		if (local && transfer_upload(name, local, colon ? colon + 1 : NULL, is_whole) == 0)
			out_done("Uploaded %s", local);
	}
}

/* The sandbox is up, and its command about to start: time for what need not come first. */
static void on_ready(void *arg)
{
	const struct ready *ready = arg;
	const char *name = ready->spec->name;

	if (ready->spec->keep)
		state_last_used_set(name);
	sandbox_sweep();
	upload_all(name, ready->options->upload, ready->options->no_git_ignore);
	forward_all(name, ready->options->forward);
}

static int start_failed(int status, const struct err *err)
{
	(void)out_fail(status, err);
	if (status == CLI_NO_START && !err->hint[0])
		doctor_hint(err->text);
	return status;
}

/* Waits until the main process runs, and leaves it to itself. */
static int leave(int sock, const struct sandbox_spec *s, const struct options *o)
{
	auto_msg_in struct msg_in m = { 0 };
	auto_info struct sandbox_info info = { 0 };
	struct ready ready = { s, o };
	struct err err = { 0 };
	int status = CLI_NO_START, r;

	r = ctl_wait(sock, CTL_READY, -1, &m, &status, &err);
	if (r == 0) {
		msg_in_free(&m);
		on_ready(&ready);
		r = ctl_wait(sock, CTL_STARTED, -1, &m, &status, &err);
	}
	if (r < 0)
		return start_failed(r == -EEXIST ? CLI_FAILED : status, &err);
	if (o->format == OUT_TABLE) {
		out_done("Created sandbox %s", s->name);
		return o->editor ? editor_open(o->editor, s->name, s->workdir ? s->workdir : "/sandbox")
				 : CLI_OK;
	}
	if (sandbox_info_load(&info, s->name, &err) < 0)
		return out_fail(CLI_FAILED, &err);
	return out_json(sandbox_info_json(&info), o->format);
}

/* A sandbox without a model is better than none. */
static void send_route(int sock)
{
	struct err err = { 0 };

	if (inference_deliver(sock, INFERENCE_DELIVER_AHEAD, &err) < 0)
		out_note("https://inference.local is not there: %s", err.text);
}

static int launch(int sock, const struct sandbox_spec *s, const struct options *o,
	const struct cli_args *a, const char *policy)
{
	struct ready ready = { s, o };
	struct session session = {
		.sock = sock, .is_tty = s->tty, .name = s->name, .on_ready = on_ready, .arg = &ready,
		.command = a->n_command ? a->command[0] : NULL,
	};
	struct err err = { 0 };
	int r;

	r = ctl_send_start(sock, s, policy, &err);
	if (r == 0 && s->providers)
		r = provider_send(sock, s->providers, false, &err);
	if (r == 0)
		send_route(sock);
	if (r == 0)
		r = send_exec(sock, s, a, &err);
	/* When it could not even read what we sent, its own words say more than ours. */
	if (r < 0 && r != -EPIPE)
		return out_fail(CLI_NO_START, &err);
	return o->detach ? leave(sock, s, o) : session_run(&session);
}

static int check_conflicts(const struct options *o, const struct cli_args *a)
{
	const char *keeper = o->keep	  ? "keep"
			     : o->detach  ? "detach"
			     : o->forward ? "forward"
			     : o->editor  ? "editor"
					  : NULL;
	struct err err;

	if (o->no_keep && keeper)
		return cli_usage_error("--no-keep conflicts with --%s", keeper);
	if (o->editor && editor_check(o->editor, &err) < 0)
		return cli_usage_error("%s", err.text);
	if (o->editor && (a->command || o->format != OUT_TABLE))
		return cli_usage_error("--editor goes with a shell, not with %s",
			a->command ? "a command" : "--output");
	if (a->command && a->n_command == 0)
		return cli_usage_error("there is no command after '--'");
	if (o->upload && a->command)
		return cli_usage_error("--upload goes with a shell, not with a command");
	if (o->no_git_ignore && !o->upload)
		return cli_usage_error("--no-git-ignore goes with --upload");
	if (o->approval_mode && !str_eq(o->approval_mode, "manual"))
		return cli_usage_error("--approval-mode '%s': what an agent proposes is approved by a "
				       "person (manual), or the agent would write its own policy",
			o->approval_mode);
	return -1;
}

/* The sandbox must not rewrite the policy that it, or the next one, is made with. */
static int protect_policy(struct sandbox_spec *s, const char *file)
{
	auto_free char *path = realpath(file, NULL);

	return path ? strv_push(&s->protect, path) : 0;
}

static int create(struct options *o, const struct cli_args *a)
{
	auto_spec struct sandbox_spec spec = { 0 };
	auto_free char *policy = NULL, *provider = NULL;
	auto_close int sock = -1;
	const char *file = o->policy ? o->policy : getenv("OPENSHELL_SANDBOX_POLICY");
	struct err err = { 0 };
	int r;

	r = check_conflicts(o, a);
	if (r >= 0)
		return r;
	if (o->format != OUT_TABLE || o->editor)
		o->detach = true;
	if (!o->detach)
		session_block_signals();
	/* It loads while we look at what was asked; one that is told nothing ends by itself. */
	sock = ctl_spawn(&err);
	if (sock < 0)
		return out_fail(CLI_NO_START, &err);
	r = spec_fill(&spec, o, a, &err);
	if (r == -EINVAL)
		return out_fail(CLI_USAGE, &err);
	spec.providers = take_ptr(o->providers);
	if (r == 0 && !o->no_profile)
		r = profiles_apply(&spec, o->profile, &policy, &provider, &err);
	if (r == 0 && provider)
		r = autoprovider_add(&spec, provider, (enum autoprovider)o->auto_providers, &err);
	if (r == 0)
		r = provider_check(spec.providers, &err);
	if (r < 0)
		return out_fail(CLI_NO_START, &err);
	if (file && file[0])
		free(take_ptr(policy));
	if (file && file[0] && policyfile_load(file, POLICYFILE_TO_START, &policy) < 0)
		return CLI_NO_START;
	if (file && file[0] && protect_policy(&spec, file) < 0)
		return out_error(CLI_FAILED, "out of memory");
	if (o->audit)
		out_note("audit: connections are let through and recorded; SSRF ranges, --deny and "
			 "the "
			 "file system stay enforced");
	return launch(sock, &spec, o, a, policy);
}

int cmd_create(const struct cli_command *cmd, int argc, char **argv)
{
	struct options o = { 0 };
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r < 0)
		r = create(&o, &a);
	options_done(&o);
	return r;
}
