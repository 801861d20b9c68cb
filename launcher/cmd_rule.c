/*
 * openshell rule: the denials of a sandbox as proposals. Each shows the exact rule that would allow
 * it; what is approved becomes a revision of the policy at once, what is rejected stays rejected.
 *
 * A proposal is what the log shows and the policy in force does not allow; only the decisions of
 * people are kept, in proposals.json of the sandbox's state directory.
 */
#include <errno.h>
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/cmd.h"
#include "launcher/denials.h"
#include "launcher/out.h"
#include "launcher/policysubmit.h"
#include "launcher/sandbox.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/policy_merge.h"
#include "lib/proposal.h"
#include "lib/str.h"
#include "lib/strv.h"

enum { WAIT_MS = 60000 };

struct rule_options {
	enum out_format format;
	const char *status, *reason;
	char **chunk_id;
	bool with_flagged;
};

const struct cli_option cmd_rule_get_options[] = {
	{ CLI_STR, "status", 0, offsetof(struct rule_options, status), 0, "STATUS",
		"pending (default), approved, rejected or all" },
	{ CLI_FORMAT, "output", 'o', offsetof(struct rule_options, format), 0, "FORMAT",
		"table, json or yaml" },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

const struct cli_option cmd_rule_approve_options[] = {
	{ CLI_LIST, "chunk-id", 0, offsetof(struct rule_options, chunk_id), 0, "ID",
		"The proposal, as upstream names it; repeatable" },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

const struct cli_option cmd_rule_reject_options[] = {
	{ CLI_LIST, "chunk-id", 0, offsetof(struct rule_options, chunk_id), 0, "ID",
		"The proposal, as upstream names it; repeatable" },
	{ CLI_STR, "reason", 0, offsetof(struct rule_options, reason), 0, "TEXT",
		"Why, for whoever asks later" },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

const struct cli_option cmd_rule_approve_all_options[] = {
	{ CLI_FLAG, "include-security-flagged", 0, offsetof(struct rule_options, with_flagged), 0,
		NULL, "Also those with a security note" },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

static int denials_of(const char *name, struct denials *d)
{
	struct err err = { 0 };
	int r = sandbox_open(name, &d->state);

	if (r >= 0)
		return r;
	r = denials_load(d, &err);
	if (r == 0)
		r = denials_read_log(d, &err);
	return r < 0 ? out_fail(CLI_FAILED, &err) : -1;
}

static json_t *proposal_json(const struct denials *d, const struct proposal *p)
{
	json_t *requests = json_array(), *flags = json_array(), *o;
	auto_free char *rule = denials_rule_text(p);
	const char *notes[4];

	for (size_t i = 0; i < p->n_samples; i++)
		json_array_append_new(requests,
			json_pack("{s:s, s:s, s:i}", "method", p->samples[i].method, "path",
				p->samples[i].path, "count", (int)p->samples[i].count));
	proposal_notes(p, notes);
	for (size_t i = 0; notes[i]; i++)
		json_array_append_new(flags, json_string(notes[i]));
	o = json_pack("{s:s, s:s, s:s, s:i, s:s, s:i, s:I, s:I, s:f, s:o, s:o, s:s}", "id", p->id,
		"status", denials_status(d, p), "host", p->host, "port", (int)p->port, "binary",
		p->binary, "hit_count", (int)p->count, "first_seen_ms", (json_int_t)p->first_ms,
		"last_seen_ms", (json_int_t)p->last_ms, "confidence",
		proposal_confidence(p->count, p->port, p->is_ssrf), "requests", requests,
		"security_notes", flags, "rule", rule ? rule : "");
	return o;
}

static bool is_wanted(const struct denials *d, const struct proposal *p, const char *status)
{
	return str_eq(status, "all") || str_eq(status, denials_status(d, p));
}

static void print_one(const struct denials *d, const struct proposal *p)
{
	auto_free char *rule = denials_rule_text(p);
	const char *notes[4];
	char when[24];
	auto_buf struct buf safe;

	buf_init(&safe, 65536);
	(void)str_escape(&safe, p->binary, strlen(p->binary));
	(void)buf_puts(&safe, " wants ");
	(void)str_escape(&safe, p->host, strlen(p->host));
	out_time(when, p->last_ms);
	printf("%s  %s  %s:%u\n    %u refused, last %s, confidence %.2f\n", p->id,
		denials_status(d, p), buf_cstr(&safe) ? buf_cstr(&safe) : "", p->port, p->count,
		when, proposal_confidence(p->count, p->port, p->is_ssrf));
	proposal_notes(p, notes);
	for (size_t i = 0; notes[i]; i++)
		printf("    ! %s\n", notes[i]);
	/* Without the first line, "version: 1". */
	for (char *line = rule ? strtok(rule, "\n") : NULL; line; line = strtok(NULL, "\n"))
		if (!str_starts(line, "version:"))
			printf("    | %s\n", line);
}

int cmd_rule_get(const struct cli_command *cmd, int argc, char **argv)
{
	struct rule_options o = { .status = "pending" };
	auto_denials struct denials d = { 0 };
	const struct proposal *const *list;
	json_t *all = NULL;
	struct cli_args a;
	size_t n, shown = 0;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r < 0 && !str_eq(o.status, "pending") && !str_eq(o.status, "approved") &&
		!str_eq(o.status, "rejected") && !str_eq(o.status, "all"))
		r = cli_usage_error("--status is pending, approved, rejected or all");
	if (r < 0)
		r = denials_of(a.pos[0], &d);
	if (r >= 0)
		return r;
	list = proposals_list(d.proposals, &n);
	if (o.format != OUT_TABLE)
		all = json_array();
	for (size_t i = 0; i < n; i++) {
		if (!is_wanted(&d, list[i], o.status))
			continue;
		shown++;
		if (all)
			json_array_append_new(all, proposal_json(&d, list[i]));
		else
			print_one(&d, list[i]);
	}
	if (all)
		return out_json(all, o.format);
	if (!shown)
		out_note("no %s proposals", str_eq(o.status, "all") ? "" : o.status);
	if (proposals_left_out(d.proposals))
		out_note("%zu more destinations were refused than are listed",
			proposals_left_out(d.proposals));
	return CLI_OK;
}

/* NAME ID…, NAME --chunk-id ID…, or ID alone for the last used sandbox: the ids as a strv. */
static int ids_of(const struct rule_options *o, const struct cli_args *a, const char **ret_name,
	char ***ret_ids)
{
	int first = a->n_pos && strlen(a->pos[0]) != PROPOSAL_ID_LEN ? 1 : 0;
	int r = 0;

	*ret_name = first ? a->pos[0] : NULL;
	for (int i = first; i < a->n_pos && r == 0; i++)
		r = strv_push(ret_ids, a->pos[i]);
	for (char **id = o->chunk_id; id && *id && r == 0; id++)
		r = strv_push(ret_ids, *id);
	if (r < 0)
		return out_error(CLI_FAILED, "%s", err_name(r));
	return *ret_ids ? -1 : cli_usage_error("which proposal? 'openshell rule get' lists them");
}

/* One revision for all of them: they are allowed together or not at all. */
static int approve(struct denials *d, char *const *ids)
{
	auto_free const struct proposal **list = calloc(strv_len(ids) + 1, sizeof(*list));
	struct denials_approval a = {
		.list = list, .origin = "rule approve", .timeout_ms = WAIT_MS
	};
	struct merge_report report = { 0 };
	struct policy_answer answer = { 0 };
	struct err err = { 0 };
	int status = CLI_FAILED, r;

	for (; list && ids[a.n]; a.n++) {
		list[a.n] = denials_find(d, ids[a.n]);
		if (!list[a.n])
			return out_error(CLI_FAILED, "no proposal '%s'", ids[a.n]);
	}
	if (!list)
		return out_error(CLI_FAILED, "%s", err_name(-ENOMEM));
	r = denials_approve(d, &a, &report, &answer, &status, &err);
	for (size_t i = 0; i < report.n_warnings; i++)
		out_note("warning: %s", report.warnings[i].text);
	return policy_report(d->state, r, status, &answer, true, &err);
}

int cmd_rule_approve(const struct cli_command *cmd, int argc, char **argv)
{
	struct rule_options o = { 0 };
	auto_denials struct denials d = { 0 };
	auto_strv char **ids = NULL;
	const char *name;
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r < 0)
		r = ids_of(&o, &a, &name, &ids);
	if (r < 0)
		r = denials_of(name, &d);
	if (r < 0)
		r = approve(&d, ids);
	strv_free(o.chunk_id);
	return r;
}

int cmd_rule_approve_all(const struct cli_command *cmd, int argc, char **argv)
{
	struct rule_options o = { 0 };
	auto_denials struct denials d = { 0 };
	auto_strv char **ids = NULL;
	const struct proposal *const *list;
	size_t n, flagged = 0;
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r < 0)
		r = denials_of(a.pos[0], &d);
	if (r >= 0)
		return r;
	list = proposals_list(d.proposals, &n);
	for (size_t i = 0; i < n; i++) {
		const char *notes[4];

		if (!is_wanted(&d, list[i], "pending"))
			continue;
		proposal_notes(list[i], notes);
		if (notes[0] && !o.with_flagged)
			flagged++;
		else if (strv_push(&ids, list[i]->id) < 0)
			return out_error(CLI_FAILED, "%s", err_name(-ENOMEM));
	}
	if (flagged)
		out_note("%zu with a security note were left out: --include-security-flagged",
			flagged);
	if (!ids) {
		out_note("nothing to approve");
		return CLI_OK;
	}
	return approve(&d, ids);
}

int cmd_rule_reject(const struct cli_command *cmd, int argc, char **argv)
{
	struct rule_options o = { 0 };
	auto_denials struct denials d = { 0 };
	auto_strv char **ids = NULL;
	const char *name;
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r < 0)
		r = ids_of(&o, &a, &name, &ids);
	if (r < 0)
		r = denials_of(name, &d);
	for (char **id = ids; r < 0 && id && *id; id++) {
		const struct proposal *p = denials_find(&d, *id);
		int e = p ? denials_reject(&d, p, o.reason) : -ENOENT;

		if (e == -ENOENT)
			r = out_error(CLI_FAILED, "no proposal '%s'", *id);
		else if (e < 0)
			r = out_error(CLI_FAILED, "proposal '%s': %s", *id, err_name(e));
		else
			out_done("Rejected %s", *id);
	}
	strv_free(o.chunk_id);
	return r < 0 ? CLI_OK : r;
}
