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
#include "launcher/ruleagent.h"
#include "launcher/sandbox.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/policy_diff.h"
#include "lib/policy_merge.h"
#include "lib/proposal.h"
#include "lib/str.h"
#include "lib/strv.h"

enum {
	WAIT_MS = 60000,
	EFFECTS_MAX = 100, /* proposals whose effect `rule get` works out, likeliest first */
	EFFECT_TRIES = 5,  /* of a policy that others are changing */
};

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

/* What approving it would do to the policy in force: false where nobody can tell. */
static bool effect_of(const struct denials *d, const struct proposal *p, struct policy_diff *ret)
{
	const struct denials_approval a = { .list = &p, .n = 1 };
	struct err err = { 0 };
	uint32_t version;

	return str_eq(denials_status(d, p), "pending") &&
	       denials_effect(d, &a, ret, &version, &err) == 0;
}

static json_t *lines_json(char *const *lines)
{
	json_t *list = json_array();

	for (; lines && *lines; lines++)
		json_array_append_new(list, json_string(*lines));
	return list;
}

static json_t *proposal_json(struct denials *d, const struct proposal *p)
{
	json_t *requests = json_array(), *flags = json_array(), *o;
	auto_free char *rule = denials_rule_text(p);
	char id[PROPOSAL_ID_LEN + 1];
	const char *notes[4];

	for (size_t i = 0; i < p->n_samples; i++)
		json_array_append_new(requests,
			json_pack("{s:s, s:s, s:i}", "method", p->samples[i].method, "path",
				p->samples[i].path, "count", (int)p->samples[i].count));
	proposal_notes(p, notes);
	for (size_t i = 0; notes[i]; i++)
		json_array_append_new(flags, json_string(notes[i]));
	o = json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:s*, s:i, s:I, s:I, s:f, s:o, s:o, s:s}",
		"id", denials_shown_id(d, p, id), "source", "denials", "status",
		denials_status(d, p), "host", p->host, "port", (int)p->port, "binary", p->binary,
		"asked_by", p->asker, "hit_count", (int)p->count, "first_seen_ms",
		(json_int_t)p->first_ms, "last_seen_ms", (json_int_t)p->last_ms, "confidence",
		proposal_confidence(p->count, p->port, p->is_ssrf), "requests", requests,
		"security_notes", flags, "rule", rule ? rule : "");
	return o;
}

static bool is_wanted(const struct denials *d, const struct proposal *p, const char *status)
{
	return str_eq(status, "all") || str_eq(status, denials_status(d, p));
}

static void print_lines(const char *head, char *const *lines)
{
	if (lines)
		printf("    %s\n", head);
	for (; lines && *lines; lines++)
		printf("      %s\n", *lines);
}

/* It can be more than the rule says: an entry it is merged into is shared with others. */
static void add_effect(const struct denials *d, const struct proposal *p, json_t *to)
{
	auto_policy_diff struct policy_diff effect = { 0 };

	if (!effect_of(d, p, &effect))
		return;
	if (to) {
		json_object_set_new(to, "gained", lines_json(effect.gained));
		json_object_set_new(to, "lost", lines_json(effect.lost));
		return;
	}
	print_lines("approved, the policy would allow:", effect.gained);
	print_lines("and no longer:", effect.lost);
}

static void print_one(struct denials *d, const struct proposal *p)
{
	char id[PROPOSAL_ID_LEN + 1];
	auto_free char *rule = denials_rule_text(p);
	const char *notes[4];
	char when[24];
	auto_buf struct buf safe;

	buf_init(&safe, 65536);
	(void)str_escape(&safe, p->binary, strlen(p->binary));
	(void)buf_puts(&safe, " wants ");
	(void)str_escape(&safe, p->host, strlen(p->host));
	out_time(when, p->last_ms);
	printf("%s  %s  %s:%u\n    %u refused, last %s, confidence %.2f\n",
		denials_shown_id(d, p, id),
		denials_status(d, p), buf_cstr(&safe) ? buf_cstr(&safe) : "", p->port, p->count,
		when, proposal_confidence(p->count, p->port, p->is_ssrf));
	if (p->asker)
		printf("    asked by %s%s\n", p->asker, p->has_more_askers ? " and others" : "");
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
		if (all)
			json_array_append_new(all, proposal_json(&d, list[i]));
		else
			print_one(&d, list[i]);
		if (shown++ < EFFECTS_MAX)
			add_effect(&d, list[i],
				all ? json_array_get(all, json_array_size(all) - 1) : NULL);
	}
	shown += ruleagent_show(&d.inbox, o.status, all);
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

static int unknown(const char *id)
{
	struct err err = { 0 };

	(void)err_set(&err, -ENOENT, "no proposal '%s'", id);
	(void)err_hint(&err, -ENOENT,
		"what it asks for has changed if it was there before: openshell rule get");
	return out_fail(CLI_FAILED, &err);
}

/* The policy has them: now those who wait hear of it, and the history. */
static int note_approved(struct denials *d, const struct denials_approval *a)
{
	struct err err = { 0 };
	int r = 0;

	for (size_t i = 0; i < a->n_items && r == 0; i++)
		r = ruleagent_decide(d->state->name, a->items[i]->id, "approved", NULL, &err);
	for (size_t i = 0; i < a->n && r == 0; i++)
		r = denials_decide(d, a->list[i], "approved", NULL);
	if (r < 0 && !err.text[0])
		(void)err_set(&err, r, "%s", err_name(r));
	return r < 0 ? out_fail(CLI_FAILED, &err) : CLI_OK;
}

/*
 * Approves, and says what that allows: told of the very policy that was changed, so all is worked
 * out anew when another one came to decide meanwhile.
 */
static int approve_as_told(const struct denials *d, struct denials_approval *a,
	struct merge_report *ret_report, struct policy_answer *ret, int *ret_status,
	struct err *err)
{
	int r = -ESTALE;

	for (int i = 0; i < EFFECT_TRIES && r == -ESTALE; i++) {
		auto_policy_diff struct policy_diff effect = { 0 };

		*ret_report = (struct merge_report){ 0 };
		*err = (struct err){ 0 };
		r = denials_effect(d, a, &effect, &a->version, err);
		if (r == 0)
			r = denials_approve(d, a, ret_report, ret, ret_status, err);
		if (r < 0)
			continue;
		out_note_lines("the policy now allows:", effect.gained);
		out_note_lines("and does no longer:", effect.lost);
	}
	return r;
}

/* One revision for all of them: they are allowed together or not at all. */
static int approve(struct denials *d, char *const *ids)
{
	auto_free const struct proposal **list = calloc(strv_len(ids) + 1, sizeof(*list));
	auto_free const struct inbox_item **items = calloc(strv_len(ids) + 1, sizeof(*items));
	struct denials_approval a = {
		.list = list, .items = items, .origin = "rule approve", .timeout_ms = WAIT_MS
	};
	struct merge_report report = { 0 };
	struct policy_answer answer = { 0 };
	struct err err = { 0 };
	int status = CLI_FAILED, r;

	if (!list || !items)
		return out_error(CLI_FAILED, "%s", err_name(-ENOMEM));
	for (char *const *id = ids; id && *id; id++) {
		items[a.n_items] = inbox_find(&d->inbox, *id);
		list[a.n] = items[a.n_items] ? NULL : denials_find_shown(d, *id);
		if (items[a.n_items])
			a.n_items++;
		else if (list[a.n])
			a.n++;
		else
			return unknown(*id);
	}
	r = approve_as_told(d, &a, &report, &answer, &status, &err);
	for (size_t i = 0; i < report.n_warnings; i++)
		out_note("warning: %s", report.warnings[i].text);
	r = policy_report(d->state, r, status, &answer, true, &err);
	return r == CLI_OK ? note_approved(d, &a) : r;
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
	char id[PROPOSAL_ID_LEN + 1];
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
		else if (strv_push(&ids, denials_shown_id(&d, list[i], id)) < 0)
			return out_error(CLI_FAILED, "%s", err_name(-ENOMEM));
	}
	r = ruleagent_pending(&d.inbox, o.with_flagged, &ids, &flagged);
	if (r < 0)
		return out_error(CLI_FAILED, "%s", err_name(r));
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
		const struct inbox_item *item = inbox_find(&d.inbox, *id);
		const struct proposal *p = item ? NULL : denials_find_shown(&d, *id);
		struct err err = { 0 };
		int e = -ENOENT;

		if (item)
			e = ruleagent_decide(d.state->name, *id, "rejected", o.reason, &err);
		else if (p)
			e = denials_reject(&d, p, o.reason);
		if (err.text[0])
			r = out_fail(CLI_FAILED, &err);
		else if (e == -ENOENT)
			r = unknown(*id);
		else if (e < 0)
			r = out_error(CLI_FAILED, "proposal '%s': %s", *id, err_name(e));
		else
			out_done("Rejected %s", *id);
	}
	strv_free(o.chunk_id);
	return r < 0 ? CLI_OK : r;
}

/* --- clear, history --- */

int cmd_rule_clear(const struct cli_command *cmd, int argc, char **argv)
{
	auto_denials struct denials d = { 0 };
	struct err err = { 0 };
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, NULL, &a);

	if (r < 0)
		r = denials_of(a.pos[0], &d);
	if (r >= 0)
		return r;
	r = denials_clear(&d);
	if (r == 0 && d.inbox.n_pending)
		r = ruleagent_decide(d.state->name, NULL, NULL, NULL, &err);
	if (r < 0 && !err.text[0])
		(void)err_set(&err, r, "%s", err_name(r));
	if (r < 0)
		return out_fail(CLI_FAILED, &err);
	out_done("Cleared what waited for a decision in sandbox %s", d.state->name);
	return CLI_OK;
}

static int by_time(const void *a, const void *b)
{
	json_int_t x = json_integer_value(json_object_get(*(json_t *const *)a, "at_ms"));
	json_int_t y = json_integer_value(json_object_get(*(json_t *const *)b, "at_ms"));

	return (x > y) - (x < y);
}

/* Decisions in the order in which they were taken. */
static json_t *history(const struct denials *d)
{
	json_t *all = json_array(), *sorted = json_array(), *o, **list;
	const char *key;
	size_t n;

	json_object_foreach (d->decisions, key, o) {
		if (json_is_object(o))
			json_array_append_new(all, json_pack("{s:s, s:O, s:O, s:O, s:O?, s:s}", "source",
							   "denials", "status", json_object_get(o, "status"),
							   "reason", json_object_get(o, "reason"), "at_ms",
							   json_object_get(o, "at_ms"), "what",
							   json_object_get(o, "what"), "group", key));
	}
	ruleagent_history(&d->inbox, all);
	n = json_array_size(all);
	list = calloc(n + 1, sizeof(json_t *));
	for (size_t i = 0; list && i < n; i++)
		list[i] = json_array_get(all, i);
	if (list)
		qsort(list, n, sizeof(json_t *), by_time);
	for (size_t i = 0; list && i < n; i++)
		json_array_append(sorted, list[i]);
	free(list);
	json_decref(all);
	return sorted;
}

static void print_history(const json_t *o)
{
	const char *what = json_string_value(json_object_get(o, "what"));
	const char *reason = json_string_value(json_object_get(o, "reason"));
	auto_buf struct buf safe;
	char when[24];

	buf_init(&safe, 65536);
	(void)str_escape(&safe, what ? what : "?", strlen(what ? what : "?"));
	if (reason && reason[0]) {
		(void)buf_puts(&safe, ": ");
		(void)str_escape(&safe, reason, strlen(reason));
	}
	out_time(when, (uint64_t)json_integer_value(json_object_get(o, "at_ms")));
	printf("%s  %-10s  %-7s  %s\n", when, json_string_value(json_object_get(o, "status")),
		json_string_value(json_object_get(o, "source")), buf_cstr(&safe) ? buf_cstr(&safe) : "");
}

int cmd_rule_history(const struct cli_command *cmd, int argc, char **argv)
{
	enum out_format format = OUT_TABLE;
	auto_denials struct denials d = { 0 };
	struct cli_args a;
	json_t *all;
	int r = cli_parse(cmd, argc, argv, &format, &a);

	if (r < 0)
		r = denials_of(a.pos[0], &d);
	if (r >= 0)
		return r;
	all = history(&d);
	if (format != OUT_TABLE)
		return out_json(all, format);
	for (size_t i = 0; i < json_array_size(all); i++)
		print_history(json_array_get(all, i));
	if (!json_array_size(all))
		out_note("nothing was decided yet");
	json_decref(all);
	return CLI_OK;
}
