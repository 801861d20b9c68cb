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
#include <time.h>

#include "launcher/cmd.h"
#include "launcher/out.h"
#include "launcher/policyedit.h"
#include "launcher/policysubmit.h"
#include "launcher/sandbox.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/event_render.h"
#include "lib/fd.h"
#include "lib/logstore.h"
#include "lib/policy.h"
#include "lib/policy_merge.h"
#include "lib/policy_print.h"
#include "lib/proposal.h"
#include "lib/str.h"
#include "lib/strv.h"

enum { DECISIONS_MAX = 4 * 1024 * 1024, WAIT_S = 60 };

static const char decisions_file[] = "proposals.json";

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

/* What is looked at: a sandbox, its policy, its denials and what people said of them. */
struct view {
	struct state *state;
	char *yaml; /* the policy in force */
	struct policy *policy;
	struct proposals *proposals;
	json_t *decisions; /* id → {status, reason, at_ms} */
};

static void view_done(struct view *v)
{
	state_close(v->state);
	free(v->yaml);
	policy_unref(v->policy);
	proposals_free(v->proposals);
	json_decref(v->decisions);
}

#define auto_view __attribute__((cleanup(view_done)))

static int take_line(void *arg, const struct event_peek *peek, const char *line, size_t len)
{
	auto_event_record struct event_record record = { 0 };
	int r = event_parse(line, len, &record);

	(void)peek;
	return r < 0 ? (r == -EINVAL ? 0 : r) : proposals_event(arg, &record.event);
}

static int read_denials(const char *name, struct proposals *p, struct err *err)
{
	const struct logstore_query denials = { .min_level = EVENT_INFO };
	struct logstore_view *log = NULL;
	auto_close int dir = state_log_open(name, err);
	int r;

	if (dir < 0)
		return dir;
	r = logstore_view_open(&log, dir);
	if (r == 0)
		r = logstore_read(log, &denials, take_line, p);
	logstore_view_free(log);
	return r < 0 ? err_set(err, r, "log of '%s': %s", name, err_name(r)) : 0;
}

static json_t *read_decisions(const struct state *s)
{
	auto_free char *text = NULL;
	json_t *j = NULL;
	size_t len;

	if (fd_slurp_at(s->dir, decisions_file, DECISIONS_MAX, &text, &len) == 0)
		j = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	return json_is_object(j) ? j : json_object();
}

static int view_load(struct view *v, struct err *err)
{
	struct state_revision rev;
	int r = sandbox_policy(v->state, 0, &rev, &v->yaml, err);

	if (r == 0)
		r = policy_load(v->yaml, strlen(v->yaml), &v->policy, NULL);
	v->proposals = proposals_new();
	v->decisions = read_decisions(v->state);
	if (!v->proposals || !v->decisions)
		return -ENOMEM;
	return r < 0 ? r : read_denials(v->state->name, v->proposals, err);
}

static int view_open(struct view *v, const char *name)
{
	struct err err = { 0 };
	int r = sandbox_open(name, &v->state);

	if (r >= 0)
		return r;
	r = view_load(v, &err);
	if (r < 0 && !err.text[0])
		(void)err_set(&err, r, "%s", err_name(r));
	return r < 0 ? out_fail(CLI_FAILED, &err) : -1;
}

/* Whether the policy in force allows by now what was refused then. */
static bool is_allowed(const struct policy *policy, const struct proposal *p)
{
	struct intent in = { .host = p->host, .port = p->port, .binary = p->binary };
	struct decision d;

	policy_decide(policy, &in, &d);
	if (d.verdict == VERDICT_DENY)
		return false;
	for (size_t i = 0; i < p->n_samples; i++) {
		const struct request rq = { .method = p->samples[i].method,
			.path = p->samples[i].path };

		in.request = &rq;
		policy_decide(policy, &in, &d);
		if (d.verdict != VERDICT_ALLOW)
			return false;
	}
	return true;
}

static const char *status_of(const struct view *v, const struct proposal *p)
{
	const char *said = json_string_value(
		json_object_get(json_object_get(v->decisions, p->id), "status"));

	if (is_allowed(v->policy, p))
		return "approved";
	return str_eq(said, "rejected") ? said : "pending";
}

static int decide(struct view *v, const char *id, const char *status, const char *reason)
{
	struct timespec ts;
	json_t *o;
	auto_free char *text = NULL;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	o = json_pack("{s:s, s:s, s:I}", "status", status, "reason", reason ? reason : "", "at_ms",
		(json_int_t)ts.tv_sec * 1000);
	if (!o || json_object_set_new(v->decisions, id, o) < 0)
		return -ENOMEM;
	text = json_dumps(v->decisions, JSON_COMPACT | JSON_SORT_KEYS);
	return text ? fd_replace_file(v->state->dir, decisions_file, text, strlen(text)) : -ENOMEM;
}

/* The rule alone, as YAML, to be read before it is approved. */
static char *rule_text(const struct proposal *p)
{
	auto_policy_doc struct policy_doc *d = policy_doc_new();
	struct merge_report report = { 0 };
	auto_buf struct buf out;
	struct merge_op op;

	buf_init(&out, POLICY_TEXT_MAX);
	if (!d || proposal_step(p, d, &op) < 0 || policy_merge(d, &op, 1, &report, NULL) < 0 ||
		policy_print(&out, d) < 0)
		return NULL;
	return buf_steal(&out);
}

static json_t *proposal_json(const struct view *v, const struct proposal *p)
{
	json_t *requests = json_array(), *flags = json_array(), *o;
	auto_free char *rule = rule_text(p);
	const char *notes[4];

	for (size_t i = 0; i < p->n_samples; i++)
		json_array_append_new(requests,
			json_pack("{s:s, s:s, s:i}", "method", p->samples[i].method, "path",
				p->samples[i].path, "count", (int)p->samples[i].count));
	proposal_notes(p, notes);
	for (size_t i = 0; notes[i]; i++)
		json_array_append_new(flags, json_string(notes[i]));
	o = json_pack("{s:s, s:s, s:s, s:i, s:s, s:i, s:I, s:I, s:f, s:o, s:o, s:s}", "id", p->id,
		"status", status_of(v, p), "host", p->host, "port", (int)p->port, "binary",
		p->binary, "hit_count", (int)p->count, "first_seen_ms", (json_int_t)p->first_ms,
		"last_seen_ms", (json_int_t)p->last_ms, "confidence",
		proposal_confidence(p->count, p->port, p->is_ssrf), "requests", requests,
		"security_notes", flags, "rule", rule ? rule : "");
	return o;
}

static bool is_wanted(const struct view *v, const struct proposal *p, const char *status)
{
	return str_eq(status, "all") || str_eq(status, status_of(v, p));
}

static void print_one(const struct view *v, const struct proposal *p)
{
	auto_free char *rule = rule_text(p);
	const char *notes[4];
	char when[24];
	auto_buf struct buf safe;

	buf_init(&safe, 65536);
	(void)str_escape(&safe, p->binary, strlen(p->binary));
	(void)buf_puts(&safe, " wants ");
	(void)str_escape(&safe, p->host, strlen(p->host));
	out_time(when, p->last_ms);
	printf("%s  %s  %s:%u\n    %u refused, last %s, confidence %.2f\n", p->id, status_of(v, p),
		buf_cstr(&safe) ? buf_cstr(&safe) : "", p->port, p->count, when,
		proposal_confidence(p->count, p->port, p->is_ssrf));
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
	auto_view struct view v = { 0 };
	const struct proposal *const *list;
	json_t *all = NULL;
	struct cli_args a;
	size_t n, shown = 0;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r < 0 && !str_eq(o.status, "pending") && !str_eq(o.status, "approved") &&
		!str_eq(o.status, "rejected") && !str_eq(o.status, "all"))
		r = cli_usage_error("--status is pending, approved, rejected or all");
	if (r < 0)
		r = view_open(&v, a.pos[0]);
	if (r >= 0)
		return r;
	list = proposals_list(v.proposals, &n);
	if (o.format != OUT_TABLE)
		all = json_array();
	for (size_t i = 0; i < n; i++) {
		if (!is_wanted(&v, list[i], o.status))
			continue;
		shown++;
		if (all)
			json_array_append_new(all, proposal_json(&v, list[i]));
		else
			print_one(&v, list[i]);
	}
	if (all)
		return out_json(all, o.format);
	if (!shown)
		out_note("no %s proposals", str_eq(o.status, "all") ? "" : o.status);
	if (proposals_left_out(v.proposals))
		out_note("%zu more destinations were refused than are listed",
			proposals_left_out(v.proposals));
	return CLI_OK;
}

static const struct proposal *find(struct view *v, const char *id)
{
	const struct proposal *const *list;
	size_t n;

	list = proposals_list(v->proposals, &n);
	for (size_t i = 0; i < n; i++)
		if (str_eq(list[i]->id, id))
			return list[i];
	return NULL;
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
static int approve(struct view *v, char *const *ids)
{
	auto_policy_doc struct policy_doc *d = NULL;
	auto_close int lock = policy_edit_lock(v->state);
	auto_free char *after = NULL;
	struct merge_report report = { 0 };
	struct err err = { 0 };
	int r;

	r = policy_doc_parse(v->yaml, strlen(v->yaml), &d, NULL);
	for (; *ids && r == 0; ids++) {
		const struct proposal *p = find(v, *ids);
		struct merge_op op;

		if (!p)
			return out_error(CLI_FAILED, "no proposal '%s'", *ids);
		r = proposal_step(p, d, &op);
		if (r == 0)
			r = policy_merge(d, &op, 1, &report, &err);
	}
	if (r == 0)
		r = policy_edit_print(d, &after, &err);
	if (r < 0 && !err.text[0])
		(void)err_set(&err, r, "%s", err_name(r));
	if (r < 0)
		return out_fail(CLI_FAILED, &err);
	for (size_t i = 0; i < report.n_warnings; i++)
		out_note("warning: %s", report.warnings[i].text);
	return policy_submit(v->state, after, "rule approve", true, WAIT_S);
}

int cmd_rule_approve(const struct cli_command *cmd, int argc, char **argv)
{
	struct rule_options o = { 0 };
	auto_view struct view v = { 0 };
	auto_strv char **ids = NULL;
	const char *name;
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r < 0)
		r = ids_of(&o, &a, &name, &ids);
	if (r < 0)
		r = view_open(&v, name);
	if (r < 0)
		r = approve(&v, ids);
	strv_free(o.chunk_id);
	return r;
}

int cmd_rule_approve_all(const struct cli_command *cmd, int argc, char **argv)
{
	struct rule_options o = { 0 };
	auto_view struct view v = { 0 };
	auto_strv char **ids = NULL;
	const struct proposal *const *list;
	size_t n, flagged = 0;
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r < 0)
		r = view_open(&v, a.pos[0]);
	if (r >= 0)
		return r;
	list = proposals_list(v.proposals, &n);
	for (size_t i = 0; i < n; i++) {
		const char *notes[4];

		if (!is_wanted(&v, list[i], "pending"))
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
	return approve(&v, ids);
}

int cmd_rule_reject(const struct cli_command *cmd, int argc, char **argv)
{
	struct rule_options o = { 0 };
	auto_view struct view v = { 0 };
	auto_strv char **ids = NULL;
	const char *name;
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r < 0)
		r = ids_of(&o, &a, &name, &ids);
	if (r < 0)
		r = view_open(&v, name);
	for (char **id = ids; r < 0 && id && *id; id++) {
		int e = find(&v, *id) ? decide(&v, *id, "rejected", o.reason) : -ENOENT;

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
