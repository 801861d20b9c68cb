/*
 * openshell policy update: changes the policy of a running sandbox by small steps. Reads the last
 * revision, merges, validates, submits; two updates at once take turns.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "launcher/cmd.h"
#include "launcher/out.h"
#include "launcher/policyfile.h"
#include "launcher/policyedit.h"
#include "launcher/policysubmit.h"
#include "launcher/sandbox.h"
#include "lib/cleanup.h"
#include "lib/policy_merge.h"
#include "lib/policy_print.h"
#include "lib/policy_shape.h"
#include "lib/policy_update.h"
#include "lib/strv.h"

enum { SECONDS_MAX = 86400 };

struct update_options {
	char **add_endpoint, **remove_endpoint, **add_allow, **add_deny, **remove_rule, **binary;
	const char *rule_name;
	bool dry_run, wait;
	unsigned int timeout_s;
};

const struct cli_option cmd_policy_update_options[] = {
	{ CLI_LIST, "add-endpoint", 0, offsetof(struct update_options, add_endpoint), 0, "SPEC",
		"host:port[:access[:protocol[:enforcement[:options]]]]; repeatable" },
	{ CLI_LIST, "binary", 0, offsetof(struct update_options, binary), 0, "PATH",
		"Who may use the added endpoints; repeatable" },
	{ CLI_STR, "rule-name", 0, offsetof(struct update_options, rule_name), 0, "NAME",
		"The rule to add the endpoint to (default: made from host and port)" },
	{ CLI_LIST, "remove-endpoint", 0, offsetof(struct update_options, remove_endpoint), 0,
		"HOST:PORT", "Take it out of every rule; repeatable" },
	{ CLI_LIST, "remove-rule", 0, offsetof(struct update_options, remove_rule), 0, "NAME",
		"Remove a rule; repeatable" },
	{ CLI_LIST, "add-allow", 0, offsetof(struct update_options, add_allow), 0, "SPEC",
		"host:port:METHOD:path_glob on an endpoint that is there; repeatable" },
	{ CLI_LIST, "add-deny", 0, offsetof(struct update_options, add_deny), 0, "SPEC",
		"The same, refused whatever else allows it; repeatable" },
	{ CLI_FLAG, "dry-run", 0, offsetof(struct update_options, dry_run), 0, NULL,
		"Print the policy that would come out, and change nothing" },
	{ CLI_FLAG, "wait", 0, offsetof(struct update_options, wait), 0, NULL,
		"Return when it decides; status 124 when it does not in time" },
	{ CLI_UINT, "timeout", 0, offsetof(struct update_options, timeout_s), SECONDS_MAX,
		"SECONDS", "How long --wait waits (default 60)" },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

static void options_done(struct update_options *o)
{
	strv_free(o->add_endpoint);
	strv_free(o->remove_endpoint);
	strv_free(o->add_allow);
	strv_free(o->add_deny);
	strv_free(o->remove_rule);
	strv_free(o->binary);
}

static struct update_flags flags_of(const struct update_options *o)
{
	return (struct update_flags){
		.add_endpoint = o->add_endpoint,
		.remove_endpoint = o->remove_endpoint,
		.add_allow = o->add_allow,
		.add_deny = o->add_deny,
		.remove_rule = o->remove_rule,
		.binary = o->binary,
		.rule_name = o->rule_name,
	};
}

/* A rule without binaries allows nothing to anybody: say so before it is written down. */
static int check_usage(const struct update_options *o)
{
	struct update_flags f = flags_of(o);
	struct err err = { 0 };

	if (update_check_flags(&f, &err) < 0)
		return cli_usage_error("%s", err.text);
	if (!o->add_endpoint || o->binary)
		return -1;
	(void)out_error(CLI_USAGE,
		"--add-endpoint without --binary would allow nothing: no program is named");
	out_hint("openshell policy update … --add-endpoint %s --binary /usr/bin/curl",
		o->add_endpoint[0]);
	return CLI_USAGE;
}

static bool is_same(const struct policy_doc *d, const char *yaml)
{
	auto_policy_doc struct policy_doc *before = NULL;

	return policy_doc_parse(yaml, strlen(yaml), &before, NULL) == 0 &&
	       doc_equal(&policy_doc_shape, d, before);
}

/* What becomes of @yaml: 0, or -errno with text. NULL when it stays as it is. */
static int apply(const char *yaml, const struct update_options *o, char **ret_yaml, struct err *err)
{
	auto_policy_doc struct policy_doc *d = NULL;
	struct policy_findings findings = { 0 };
	struct update_flags f = flags_of(o);
	struct merge_report report = { 0 };
	struct update_plan plan;
	int r;

	r = policy_doc_parse(yaml, strlen(yaml), &d, &findings);
	if (r < 0)
		policy_findings_to_err(&findings, "the sandbox's policy", err);
	policy_findings_done(&findings);
	if (r == 0)
		r = update_plan_make(d, &f, &plan, err);
	if (r == 0)
		r = policy_merge(d, plan.ops, plan.n, &report, err);
	for (size_t i = 0; i < report.n_warnings; i++)
		out_note("warning: %s", report.warnings[i].text);
	return r < 0 || is_same(d, yaml) ? r : policy_edit_print(d, ret_yaml, err);
}

static int update(const struct state *s, const struct update_options *o)
{
	auto_close int lock = policy_edit_lock(s);
	auto_free char *before = NULL, *after = NULL;
	struct state_revision rev;
	struct err err = { 0 };

	if (lock < 0)
		return out_error(CLI_FAILED, "sandbox '%s': %s", s->name, err_name(lock));
	if (sandbox_policy(s, 0, &rev, &before, &err) < 0 || apply(before, o, &after, &err) < 0)
		return out_fail(CLI_FAILED, &err);
	if (!after)
		out_mark("·", "Policy unchanged (version %u, hash: %.12s)", rev.version, rev.hash);
	if (!after && !o->dry_run)
		return CLI_OK;
	if (!o->dry_run)
		return policy_submit(s, after, "policy update", o->wait, o->timeout_s);
	(void)fputs(after ? after : before, stdout);
	return CLI_OK;
}

int cmd_policy_update(const struct cli_command *cmd, int argc, char **argv)
{
	struct update_options o = { .timeout_s = 60 };
	auto_state struct state *s = NULL;
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r < 0)
		r = check_usage(&o);
	if (r < 0)
		r = sandbox_open(a.pos[0], &s);
	if (r < 0)
		r = update(s, &o);
	options_done(&o);
	return r;
}
