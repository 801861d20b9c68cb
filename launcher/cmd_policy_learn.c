/*
 * openshell policy learn: runs a command in audit mode, or reads the log of a sandbox, and writes
 * the smallest policy that allows what was seen.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/cmd.h"
#include "launcher/evidence.h"
#include "launcher/out.h"
#include "launcher/policyfile.h"
#include "launcher/sandbox.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/learn.h"
#include "lib/policy_diff.h"
#include "lib/policy_merge.h"
#include "lib/policy_print.h"
#include "lib/state.h"
#include "lib/str.h"
#include "lib/strv.h"

struct learn_options {
	const char *from, *output, *merge;
	char **deny;
	bool include_denied, stacks;
};

const struct cli_option cmd_policy_learn_options[] = {
	{ CLI_STR, "from", 0, offsetof(struct learn_options, from), 0, "NAME",
		"Read this sandbox's log instead of running a command" },
	{ CLI_STR, "output", 'o', offsetof(struct learn_options, output), 0, "FILE",
		"Where to write the policy (default: standard output)" },
	{ CLI_STR, "merge", 0, offsetof(struct learn_options, merge), 0, "FILE",
		"Extend this policy, and say on standard error what that allows" },
	{ CLI_LIST, "deny", 0, offsetof(struct learn_options, deny), 0, "HOST[:PORT]",
		"Never let the command get there; repeatable" },
	{ CLI_FLAG, "include-denied", 0, offsetof(struct learn_options, include_denied), 0, NULL,
		"Allow what was refused, too" },
	{ CLI_FLAG, "stacks", 0, offsetof(struct learn_options, stacks), 0, NULL,
		"Record who in the command asked, for the comments (it costs time)" },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

static int fail(int r)
{
	return out_error(-1, "%s",
		r == -E2BIG ? "the log shows more different things than a policy can hold"
			    : err_name(r));
}

/* --- the evidence --- */

static int take_event(void *arg, const struct event *e)
{
	return learn_event(arg, e);
}

/* The sandbox's home, for the names of functions in programs that lie there; -1 if it is gone. */
static int home_of(const char *name)
{
	auto_state struct state *s = NULL;

	return state_open(&s, name, NULL) < 0 ? -1 : state_subdir(s, "home");
}

static int read_log(const char *name, struct learn *l)
{
	const struct logstore_query everything = { 0 };
	auto_close int home = home_of(name);
	struct err err = { 0 };
	int r = evidence_read(name, home, &everything, take_event, l, &err);

	if (r == -E2BIG)
		return fail(r);
	return r < 0 ? out_fail(-1, &err) : 0;
}

static int child_arguments(
	char ***argv, const char *name, const struct learn_options *o, char **command)
{
	const char *const words[] = { "openshell", "sandbox", "create", "--name", name, "--no-keep",
		"--audit", NULL };
	int r = 0;

	for (size_t i = 0; r == 0 && words[i]; i++)
		r = strv_push(argv, words[i]);
	if (r == 0 && o->stacks)
		r = strv_push(argv, "--stacks");
	for (size_t i = 0; r == 0 && o->deny && o->deny[i]; i++) {
		r = strv_push(argv, "--deny");
		if (r == 0)
			r = strv_push(argv, o->deny[i]);
	}
	if (r == 0)
		r = strv_push(argv, "--");
	return r < 0 ? r : strv_push_n(argv, command, strv_len(command));
}

static void run_child(const char *name, const struct learn_options *o, char **command)
{
	auto_strv char **argv = NULL;

	if (child_arguments(&argv, name, o, command) == 0)
		(void)execv("/proc/self/exe", argv);
	_exit(CLI_NO_START);
}

/* Runs the command in a sandbox of its own that lets everything through. */
static int run(const char *name, const struct learn_options *o, char **command)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0)
		run_child(name, o, command);
	if (pid < 0)
		return fail(-errno);
	/* What ends the command from the keyboard is not to end us before the policy is written. */
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGQUIT, SIG_IGN);
	if (waitpid(pid, &status, 0) < 0)
		return fail(-errno);
	(void)signal(SIGINT, SIG_DFL);
	(void)signal(SIGQUIT, SIG_DFL);
	if (WIFEXITED(status) && WEXITSTATUS(status) == CLI_NO_START)
		return out_error(-1, "the command was not started; there is nothing to learn from");
	if (status)
		out_note("the command failed; the policy allows what it did until then");
	return 0;
}

/* --- the policy --- */

/* The document and, where the sandbox still exists, its static sections. */
static int statics_of(const char *name, struct policy_doc **ret)
{
	auto_state struct state *s = NULL;
	auto_free char *text = NULL;
	struct state_revision rev;

	if (state_open(&s, name, NULL) == 0)
		(void)sandbox_policy(s, 0, &rev, &text, NULL);
	if (policy_doc_parse(text ? text : policy_default_yaml,
		    strlen(text ? text : policy_default_yaml), ret, NULL) < 0)
		return out_error(-1, "the policy of sandbox '%s' cannot be read", name);
	return 0;
}

static int show_diff(const struct policy_doc *before, const struct policy_doc *after)
{
	auto_policy_diff struct policy_diff d = { 0 };
	int r = policy_diff(before, after, &d);

	if (r < 0)
		return fail(r);
	out_note_lines("the policy now allows:", d.gained);
	out_note_lines("and does no longer:", d.lost);
	if (!d.gained && !d.lost)
		out_note("the policy allows all of it already");
	return 0;
}

/* Whether @d allows already all that one endpoint of a learned rule is for; -ENOMEM. */
static int is_allowed(
	const struct policy_doc *d, const struct doc_network_policy *rule, struct doc_endpoint *e)
{
	struct doc_network_policy alone = *rule;
	struct policy_doc seen = *d;
	auto_policy_diff struct policy_diff diff = { 0 };
	int r;

	alone.endpoints = (struct doc_endpoints){ .list = e, .n = 1, .is_set = true };
	seen.network_policies =
		(struct doc_network_policies){ .list = &alone, .n = 1, .is_set = true };
	r = policy_diff(d, &seen, &diff);
	return r < 0 ? r : !diff.gained;
}

/*
 * Takes out of @learned what @d allows already. Merged, it could only rewrite what is there, or
 * have requests inspected, and most of them refused, that were let through without.
 */
static int drop_allowed(const struct policy_doc *d, struct policy_doc *learned)
{
	struct doc_network_policies *rules = &learned->network_policies;
	size_t n_rules = 0;

	for (size_t i = 0; i < rules->n; i++) {
		struct doc_endpoints *l = &rules->list[i].endpoints;
		size_t n = 0;

		for (size_t k = 0; k < l->n; k++) {
			int r = is_allowed(d, &rules->list[i], &l->list[k]);

			if (r < 0)
				return fail(r);
			if (!r)
				l->list[n++] = l->list[k];
		}
		l->n = n;
		if (n)
			rules->list[n_rules++] = rules->list[i];
	}
	rules->n = n_rules;
	return 0;
}

/* Adds the rules of @learned to @d, one by one. */
static int merge_rules(struct policy_doc *d, const struct policy_doc *learned)
{
	for (size_t i = 0; i < learned->network_policies.n; i++) {
		const struct doc_network_policy *p = &learned->network_policies.list[i];
		struct merge_op op = {
			.type = MERGE_ADD_RULE,
			.rule_name = p->head.key.text,
			.rule = p,
			.is_evidence = true,
		};
		struct merge_report report;
		struct err err = { 0 };

		if (policy_merge(d, &op, 1, &report, &err) < 0)
			return out_fail(-1, &err);
		for (size_t k = 0; k < report.n_warnings; k++)
			out_note("warning: %s", report.warnings[k].text);
	}
	return 0;
}

static int print_merged(const char *path, struct policy_doc *learned, struct buf *out)
{
	auto_policy_doc struct policy_doc *before = NULL, *after = NULL;
	auto_free char *text = NULL;
	int r;

	if (policyfile_load(path, POLICYFILE_TO_CHANGE, &text) < 0)
		return -1;
	if (policy_doc_parse(text, strlen(text), &before, NULL) < 0 ||
		policy_doc_parse(text, strlen(text), &after, NULL) < 0)
		return out_error(-1, "policy '%s' cannot be read", path);
	if (drop_allowed(before, learned) < 0 || merge_rules(after, learned) < 0 ||
		show_diff(before, after) < 0)
		return -1;
	r = policy_print(out, after);
	return r < 0 ? fail(r) : 0;
}

/* What we write must load: a policy that does not is our mistake, and is not written. */
static int check(struct buf *out)
{
	struct policy_findings findings = { 0 };
	struct policy *policy = NULL;
	struct err err = { 0 };
	int r = buf_cstr(out) ? policy_load(buf_cstr(out), out->len, &policy, &findings) : -ENOMEM;

	if (r < 0)
		policy_findings_to_err(&findings, "the learned policy", &err);
	policy_findings_done(&findings);
	policy_unref(policy);
	return r < 0 ? out_fail(-1, &err) : 0;
}

static int write_out(const char *path, const struct buf *out)
{
	auto_close int fd = -1;
	int r;

	if (!path || str_eq(path, "-"))
		return fd_write_all(STDOUT_FILENO, buf_head(out), out->len) < 0 ? fail(-EIO) : 0;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	r = fd < 0 ? -errno : fd_write_all(fd, buf_head(out), out->len);
	return r < 0 ? out_error(-1, "'%s': %s", path, err_name(r)) : 0;
}

static int print_learned(
	struct learn *l, const char *name, const struct learn_options *o, struct buf *out)
{
	auto_policy_doc struct policy_doc *statics = NULL, *learned = NULL;
	int r;

	if (statics_of(name, &statics) < 0)
		return -1;
	r = learn_policy(l, statics, &learned);
	if (r == 0 && o->merge)
		return print_merged(o->merge, learned, out);
	if (r == 0)
		r = policy_print_commented(out, learned, learn_comment, l);
	return r < 0 ? fail(r) : 0;
}

static int learn_from(const char *name, const struct learn_options *o)
{
	struct learn *l = learn_new(o->include_denied);
	auto_buf struct buf out = { 0 };
	int r = l ? read_log(name, l) : fail(-ENOMEM);

	buf_init(&out, POLICY_TEXT_MAX);
	if (r == 0)
		r = print_learned(l, name, o, &out);
	if (r == 0)
		r = check(&out);
	if (r == 0)
		r = write_out(o->output, &out);
	if (r == 0 && learn_left_out(l))
		out_note("%zu refusals are not allowed by this policy; --include-denied adds them",
			learn_left_out(l));
	if (r == 0 && learn_unsayable(l))
		out_note("left out, of hosts that are no names or programs whose path would be a "
			 "pattern: %zu; no rule is made of them",
			learn_unsayable(l));
	if (r == 0 && !learn_uses(l))
		out_note("no connections were seen: the policy allows none");
	learn_free(l);
	return r < 0 ? CLI_FAILED : CLI_OK;
}

int cmd_policy_learn(const struct cli_command *cmd, int argc, char **argv)
{
	struct learn_options o = { 0 };
	char name[STATE_NAME_MAX + 1];
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r < 0 && !o.from == !a.command)
		r = cli_usage_error("learn needs either --from NAME or -- CMD");
	if (r < 0 && o.from)
		r = sandbox_name(o.from, name);
	if (r < 0 && o.from && o.deny)
		r = cli_usage_error("--deny goes with a command to run");
	if (r < 0 && o.from && o.stacks)
		r = cli_usage_error("--stacks goes with a command to run; from a log that has "
				    "stacks they are read");
	if (r < 0 && !o.from)
		state_name_generate(name);
	if (r < 0)
		r = !o.from && run(name, &o, a.command) < 0 ? CLI_FAILED : learn_from(name, &o);
	strv_free(o.deny);
	return r;
}
