#include "launcher/term_decide.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/denials.h"
#include "launcher/sandbox.h"
#include "launcher/term_model.h"
#include "lib/cleanup.h"
#include "lib/str.h"

enum { DECIDE_MS = 10000 }; /* a supervisor has to take a new policy within */

/* The sandbox itself, not another one that has got its name since. */
static int open_origin(struct state **ret, const struct stream_origin *of, struct err *err)
{
	auto_spec struct sandbox_spec spec = { 0 };
	auto_state struct state *s = NULL;
	int r = state_open(&s, of->name, err);

	if (r == 0)
		r = state_load_spec(s, &spec, err);
	if (r < 0)
		return r;
	if (!str_eq(spec.id ? spec.id : "-", of->id))
		return err_set(err, -ENOENT, "this sandbox '%s' is gone", of->name);
	*ret = take_ptr(s);
	return 0;
}

/* Why there is no rule for it. */
static const char *why_no_rule(const struct event *e)
{
	if (e->action == EVENT_ALLOW)
		return "It was allowed.";
	if (e->action == EVENT_NONE)
		return "It is not a decision.";
	if (e->operation)
		return "Rules for GraphQL, JSON-RPC and MCP operations are for a person to write: "
		       "openshell policy update.";
	if (e->host && !proposal_is_proposable(e->host))
		return "Loopback, link-local addresses and metadata services are never proposed.";
	if (e->binary && strpbrk(e->binary, "*?[]{}"))
		return "The name of its binary would be a pattern: no rule is proposed for it.";
	return "It was refused for what it was, not for what it wanted: no rule would allow it.";
}

/* What is known of it so far, and what the rule would do to the policy in force. */
static void judge_policy(struct term_details *d)
{
	const struct denials_approval a = { .list = &d->proposal, .n = 1 };
	auto_denials struct denials known = { 0 };
	struct err err = { 0 };
	int r = open_origin(&known.state, &d->event.origin, &err);

	if (r == 0)
		r = denials_load(&known, &err);
	if (r == 0)
		r = denials_effect(&known, &a, &d->effect, &d->version, &err);
	if (r < 0)
		(void)snprintf(d->unreadable, sizeof(d->unreadable), "%.500s", err.text);
	else
		d->status = denials_status(&known, d->proposal);
}

/* Back to the event alone. */
static void forget(struct term_details *d)
{
	struct stream_event event = d->event;

	d->event.line = NULL;
	term_details_done(d);
	d->event = event;
	d->status = "pending";
}

void decide_judge(struct term_details *d)
{
	auto_event_record struct event_record record = { 0 };
	const struct proposal *const *list = NULL;
	size_t n = 0;

	forget(d);
	d->proposals = proposals_new();
	if (!d->proposals || event_parse(d->event.line, d->event.len, &record) < 0)
		return;
	if (proposals_event(d->proposals, &record.event) == 0)
		list = proposals_list(d->proposals, &n);
	(void)str_copy(d->why_not, sizeof(d->why_not), why_no_rule(&record.event));
	if (!n)
		return;
	d->rule = denials_rule_text(list[0]);
	if (!d->rule)
		return;
	d->proposal = list[0];
	judge_policy(d);
}

static void approve(struct term_model *m, const struct denials *known)
{
	const struct denials_approval a = { .list = &m->details.proposal,
		.n = 1,
		.version = m->details.version,
		.origin = "term approve",
		.timeout_ms = DECIDE_MS };
	struct merge_report report = { 0 };
	struct policy_answer answer = { 0 };
	struct err err = { 0 };
	int r = denials_approve(known, &a, &report, &answer, NULL, &err);

	if (r == -ETIME)
		term_say(m, true, "the supervisor did not answer; the policy may yet change");
	else if (r < 0)
		term_say(m, true, "not approved: %s", err.text);
	else
		term_say(m, false, "approved: version %u of the policy decides%s%s", answer.active,
			report.n_warnings ? "; " : "",
			report.n_warnings ? report.warnings[0].text : "");
}

static void reject(struct term_model *m, struct denials *known)
{
	int r = denials_reject(known, m->details.proposal, NULL);

	if (r < 0)
		term_say(m, true, "not rejected: %s", err_name(r));
	else
		term_say(m, false, "rejected: it is not proposed again");
}

void decide(struct term_model *m)
{
	auto_denials struct denials known = { 0 };
	enum term_question question = m->question;
	struct err err = { 0 };
	int r = open_origin(&known.state, &m->details.event.origin, &err);

	m->question = TERM_ASK_NOTHING;
	if (r == 0)
		r = denials_load(&known, &err);
	if (r < 0)
		term_say(m, true, "nothing was changed: %s", err.text);
	else if (question == TERM_ASK_APPROVE)
		approve(m, &known);
	else
		reject(m, &known);
	decide_judge(&m->details);
}

void decide_read_rules(struct term_policy *p)
{
	auto_state struct state *s = NULL;
	struct err err = { 0 };
	int r = open_origin(&s, &p->origin, &err);

	if (r == 0)
		r = coverage_load(&p->coverage, s, TERM_COVERAGE_EVENTS, &err);
	if (r < 0)
		(void)snprintf(p->error, sizeof(p->error), "%.500s", err.text);
}
