#include "launcher/ruleagent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/ctl.h"
#include "launcher/out.h"
#include "lib/agentrule.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/policy.h"
#include "lib/policy_print.h"
#include "lib/proto.h"
#include "lib/str.h"
#include "lib/strv.h"

enum { ANSWER_MS = 10 * 1000, SHOWN_MAX = 256 * 1024 };

int ruleagent_load(struct inbox *b, const struct state *s, struct err *err)
{
	int r = inbox_load(b, s->dir);

	return r < 0 ? err_set(err, r, "proposals of agents in '%s': %s", s->name, err_name(r)) : 0;
}

/*
 * The rule as a policy of its own: parsed, checked and printed here, so that what is shown is what
 * would be merged. NULL when it is none.
 */
static struct policy_doc *doc_of(const struct inbox_item *i, struct err *err)
{
	struct policy_findings findings = { 0 };
	struct policy_doc *d = NULL;
	struct policy *policy = NULL;
	size_t len = strlen(i->rule);
	int r = policy_load(i->rule, len, &policy, &findings);

	if (r < 0)
		policy_findings_to_err(&findings, "rule", err);
	policy_findings_done(&findings);
	policy_unref(policy);
	if (r == 0)
		r = policy_doc_parse(i->rule, len, &d, NULL);
	/* Nothing but network policies can be proposed, whatever the text says. */
	if (r == 0 && (!d->network_policies.n || d->filesystem_policy.head.is_set ||
			      d->landlock.head.is_set || d->process.head.is_set ||
			      d->network_middlewares.n))
		r = err_set(err, -EINVAL, "rule: it is more than a rule");
	if (r == 0)
		return d;
	policy_doc_free(d);
	return NULL;
}

static char *text_of(const struct policy_doc *d)
{
	auto_buf struct buf out;

	buf_init(&out, SHOWN_MAX);
	return d && policy_print(&out, d) == 0 ? buf_steal(&out) : NULL;
}

static void notes_of(const struct policy_doc *d, const char **ret)
{
	ret[0] = NULL;
	if (d)
		agentrule_notes(d, ret);
	else
		ret[0] = "cannot be approved: it is no rule", ret[1] = NULL;
}

static json_t *item_json(const struct inbox_item *i)
{
	struct err err = { 0 };
	auto_policy_doc struct policy_doc *d = doc_of(i, &err);
	auto_free char *rule = text_of(d);
	const char *notes[AGENTRULE_NOTES_MAX + 1];
	json_t *list = json_array();

	notes_of(d, notes);
	for (size_t n = 0; notes[n]; n++)
		json_array_append_new(list, json_string(notes[n]));
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:I, s:I, s:s, s:o, s:s}", "id",
		i->id, "source", "agent", "status", inbox_status_name(i->status), "rule_name",
		i->rule_name, "binary", i->binary, "intent_summary", i->intent, "hit_count",
		(int)i->hits, "first_seen_ms", (json_int_t)i->at_ms, "decided_ms",
		(json_int_t)i->decided_ms, "rejection_reason", i->reason, "security_notes", list,
		"rule", rule ? rule : "");
}

/* One line of the agent's own words. */
static void print_escaped(const char *label, const char *text)
{
	auto_buf struct buf safe;

	buf_init(&safe, 16 * INBOX_TEXT_MAX);
	(void)str_escape(&safe, text, strlen(text));
	printf("%s%s", label, buf_cstr(&safe) ? buf_cstr(&safe) : "");
}

static void print_item(const struct inbox_item *i)
{
	struct err err = { 0 };
	auto_policy_doc struct policy_doc *d = doc_of(i, &err);
	auto_free char *rule = text_of(d);
	const char *notes[AGENTRULE_NOTES_MAX + 1];
	char when[24];

	out_time(when, i->at_ms);
	printf("%s  %s  proposed by an agent inside, %s\n", i->id, inbox_status_name(i->status),
		when);
	if (i->intent[0]) {
		print_escaped("    it says: \"", i->intent);
		printf("\"\n");
	}
	notes_of(d, notes);
	for (size_t n = 0; notes[n]; n++)
		printf("    ! %s\n", notes[n]);
	for (char *line = rule ? strtok(rule, "\n") : NULL; line; line = strtok(NULL, "\n")) {
		if (str_starts(line, "version:"))
			continue;
		print_escaped("    | ", line);
		printf("\n");
	}
}

size_t ruleagent_show(const struct inbox *b, const char *status, json_t *all)
{
	const struct inbox_item *i;
	size_t n = 0;

	TAILQ_FOREACH (i, &b->items, link) {
		if (!str_eq(status, "all") && !str_eq(status, inbox_status_name(i->status)))
			continue;
		n++;
		if (all)
			json_array_append_new(all, item_json(i));
		else
			print_item(i);
	}
	return n;
}

int ruleagent_merge(const struct inbox_item *i, struct policy_doc *d, struct merge_report *report,
	struct policy_doc **ret_from, struct err *err)
{
	struct policy_doc *from;
	int r = 0;

	if (i->status != INBOX_PENDING)
		return err_set(
			err, -EALREADY, "proposal '%s' is %s", i->id, inbox_status_name(i->status));
	from = doc_of(i, err);
	if (!from)
		return err->text[0] ? -EINVAL : -ENOMEM;
	for (size_t n = 0; n < from->network_policies.n && r == 0; n++) {
		struct doc_network_policy *rule = &from->network_policies.list[n];
		struct merge_op op = {
			.type = MERGE_ADD_RULE, .rule_name = rule->head.key.text, .rule = rule
		};

		r = policy_merge(d, &op, 1, report, err);
	}
	*ret_from = from;
	return r;
}

int ruleagent_pending(const struct inbox *b, bool with_flagged, char ***ids, size_t *flagged)
{
	const struct inbox_item *i;
	int r = 0;

	TAILQ_FOREACH (i, &b->items, link) {
		const char *notes[AGENTRULE_NOTES_MAX + 1];
		struct err err = { 0 };
		auto_policy_doc struct policy_doc *d = NULL;

		if (i->status != INBOX_PENDING || r < 0)
			continue;
		d = doc_of(i, &err);
		notes_of(d, notes);
		if (!d || (notes[0] && !with_flagged))
			(*flagged)++;
		else
			r = strv_push(ids, i->id);
	}
	return r;
}

int ruleagent_decide(const char *sandbox, const char *id, const char *status, const char *reason,
	struct err *err)
{
	auto_msg_in struct msg_in answer = { 0 };
	auto_msg_out struct msg_out m;
	auto_close int sock = state_control_connect(sandbox, err);
	int r;

	msg_out_init(&m, CTL_PROPOSAL, 0);
	if (sock < 0)
		return sock;
	msg_put_str(&m, id);
	msg_put_str(&m, status);
	msg_put_str(&m, reason);
	r = ctl_send(sock, &m, err);
	return r < 0 ? r : ctl_wait(sock, CTL_DONE, ANSWER_MS, &answer, NULL, err);
}

void ruleagent_history(const struct inbox *b, json_t *all)
{
	const struct inbox_item *i;

	TAILQ_FOREACH (i, &b->items, link)
		if (i->status == INBOX_APPROVED || i->status == INBOX_REJECTED)
			json_array_append_new(
				all, json_pack("{s:s, s:s, s:s, s:I, s:s, s:s}", "source", "agent",
					     "status", inbox_status_name(i->status), "reason",
					     i->reason, "at_ms", (json_int_t)i->decided_ms, "what",
					     i->rule_name, "id", i->id));
}
