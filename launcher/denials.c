#include "launcher/denials.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "launcher/evidence.h"
#include "launcher/policyedit.h"
#include "launcher/ruleagent.h"
#include "launcher/sandbox.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/jsontext.h"
#include "lib/policy_print.h"
#include "lib/siphash.h"
#include "lib/str.h"

enum { DECISIONS_MAX = 4 * 1024 * 1024 };

static const char decisions_file[] = "proposals.json";

void denials_done(struct denials *d)
{
	state_close(d->state);
	policy_unref(d->policy);
	proposals_free(d->proposals);
	json_decref(d->decisions);
	if (d->has_inbox)
		inbox_done(&d->inbox);
	*d = (struct denials){ 0 };
}

static json_t *read_decisions(const struct state *s)
{
	auto_free char *text = NULL;
	json_t *j = NULL;
	size_t len;

	if (fd_slurp_at(s->dir, decisions_file, DECISIONS_MAX, &text, &len) == 0)
		j = jsontext_load(text, len, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(j))
		return j;
	json_decref(j);
	return json_object();
}

/* Sets @key to @value, which is used up. */
static int change_decisions(struct denials *d, const char *key, json_t *value)
{
	auto_close int lock = policy_edit_lock(d->state);
	auto_free char *text = NULL;

	/* Under the lock, so that what somebody else decided meanwhile stays. */
	json_decref(d->decisions);
	d->decisions = read_decisions(d->state);
	if (!value || !d->decisions || json_object_set_new(d->decisions, key, value) < 0)
		return -ENOMEM;
	text = jsontext_dumps(d->decisions, JSON_COMPACT | JSON_SORT_KEYS);
	return text ? fd_replace_file(d->state->dir, decisions_file, text, strlen(text)) : -ENOMEM;
}

int denials_load(struct denials *d, struct err *err)
{
	auto_free char *yaml = NULL;
	struct state_revision rev = { 0 };
	int r = sandbox_policy(d->state, 0, &rev, &yaml, err);

	if (r == 0)
		r = policy_load(yaml, strlen(yaml), &d->policy, NULL);
	d->version = rev.version;
	d->proposals = proposals_new();
	d->decisions = read_decisions(d->state);
	if (r == 0 && (!d->proposals || !d->decisions))
		r = -ENOMEM;
	inbox_init(&d->inbox);
	d->has_inbox = true;
	if (r == 0)
		r = ruleagent_load(&d->inbox, d->state, err);
	return r < 0 && !err->text[0] ? err_set(err, r, "%s", err_name(r)) : r;
}

static int take_event(void *arg, const struct event *e)
{
	return proposals_event(arg, e);
}

int denials_read_log(struct denials *d, struct err *err)
{
	json_int_t cleared = json_integer_value(json_object_get(d->decisions, "cleared_ms"));
	const struct logstore_query denials = { .min_level = EVENT_INFO,
		.since_ms = cleared > 0 ? (uint64_t)cleared + 1 : 0 };
	auto_close int home = state_subdir(d->state, "home");

	return evidence_read(d->state->name, home, &denials, take_event, d->proposals, err);
}

const struct proposal *denials_find(struct denials *d, const char *id)
{
	const struct proposal *const *list;
	size_t n;

	list = proposals_list(d->proposals, &n);
	for (size_t i = 0; i < n; i++)
		if (str_eq(list[i]->id, id))
			return list[i];
	return NULL;
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

const char *denials_status(const struct denials *d, const struct proposal *p)
{
	const char *said =
		json_string_value(json_object_get(json_object_get(d->decisions, p->id), "status"));

	if (is_allowed(d->policy, p))
		return "approved";
	return str_eq(said, "rejected") ? "rejected" : "pending";
}

char *denials_rule_text(const struct proposal *p)
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

/* --- names that stand for what was shown --- */

static int id_key(struct denials *d, unsigned char key[SIPHASH_KEY])
{
	const char *hex = json_string_value(json_object_get(d->decisions, "key"));
	char text[2 * SIPHASH_KEY + 1];

	if (hex && strlen(hex) == 2 * SIPHASH_KEY) {
		for (size_t i = 0; i < SIPHASH_KEY; i++)
			if (sscanf(hex + 2 * i, "%2hhx", &key[i]) != 1)
				return -EINVAL;
		return 0;
	}
	if (getrandom(key, SIPHASH_KEY, 0) != SIPHASH_KEY)
		return -EIO;
	str_to_hex(key, SIPHASH_KEY, text);
	return change_decisions(d, "key", json_string(text));
}

const char *denials_shown_id(
	struct denials *d, const struct proposal *p, char ret[PROPOSAL_ID_LEN + 1])
{
	auto_free char *rule = denials_rule_text(p);
	unsigned char key[SIPHASH_KEY];

	if (!rule || id_key(d, key) < 0)
		(void)str_copy(ret, PROPOSAL_ID_LEN + 1, "-");
	else
		(void)snprintf(ret, PROPOSAL_ID_LEN + 1, "%012llx",
			(unsigned long long)(siphash(key, rule, strlen(rule)) >> 16));
	return ret;
}

const struct proposal *denials_find_shown(struct denials *d, const char *id)
{
	const struct proposal *const *list;
	char shown[PROPOSAL_ID_LEN + 1];
	size_t n;

	list = proposals_list(d->proposals, &n);
	for (size_t i = 0; i < n; i++)
		if (str_eq(denials_shown_id(d, list[i], shown), id))
			return list[i];
	return NULL;
}

/* --- approving --- */

static int merge(
	struct policy_doc *d, const struct proposal *p, struct merge_report *ret, struct err *err)
{
	struct merge_op op;
	int r = proposal_step(p, d, &op);

	return r < 0 ? r : policy_merge(d, &op, 1, ret, err);
}

/* The policy in force, and the same with the rules of @a. */
struct change {
	struct policy_doc *before, *after; /* owned */
	struct policy_doc *items[INBOX_PENDING_MAX]; /* owned; .after points into them */
	size_t n_items;
	uint32_t version;
};

static void change_done(struct change *c)
{
	policy_doc_free(c->before);
	policy_doc_free(c->after);
	for (size_t i = 0; i < c->n_items; i++)
		policy_doc_free(c->items[i]);
}

#define auto_change __attribute__((cleanup(change_done)))

static int change_make(struct change *c, const struct denials *denials,
	const struct denials_approval *a, struct merge_report *ret_report, struct err *err)
{
	auto_free char *yaml = NULL;
	struct state_revision rev;
	int r = sandbox_policy(denials->state, 0, &rev, &yaml, err);

	if (r == 0 && a->version && a->version != rev.version)
		return err_set(err, -ESTALE, "the policy was changed meanwhile: look again");
	if (r == 0)
		r = policy_doc_parse(yaml, strlen(yaml), &c->before, NULL);
	if (r == 0)
		r = policy_doc_parse(yaml, strlen(yaml), &c->after, NULL);
	for (size_t i = 0; i < a->n && r == 0; i++)
		r = merge(c->after, a->list[i], ret_report, err);
	if (r == 0 && a->n_items > INBOX_PENDING_MAX)
		r = err_set(err, -E2BIG, "too many proposals at once");
	for (; c->n_items < a->n_items && r == 0; c->n_items++)
		r = ruleagent_merge(a->items[c->n_items], c->after, ret_report, &c->items[c->n_items], err);
	c->version = r == 0 ? rev.version : 0;
	return r < 0 && !err->text[0] ? err_set(err, r, "%s", err_name(r)) : r;
}

int denials_effect(const struct denials *denials, const struct denials_approval *a,
	struct policy_diff *ret, uint32_t *ret_version, struct err *err)
{
	auto_change struct change c = { 0 };
	struct merge_report report = { 0 };
	int r = change_make(&c, denials, a, &report, err);

	if (r == 0 && policy_diff(c.before, c.after, ret) < 0)
		r = err_set(err, -ENOMEM, "%s", err_name(-ENOMEM));
	if (r == 0)
		*ret_version = c.version;
	return r;
}

int denials_approve(const struct denials *denials, const struct denials_approval *a,
	struct merge_report *ret_report, struct policy_answer *ret, int *ret_status,
	struct err *err)
{
	/* Before the policy is read, so that no revision made meanwhile is undone. */
	auto_close int lock = policy_edit_lock(denials->state);
	auto_change struct change c = { 0 };
	auto_free char *yaml = NULL;
	int r = change_make(&c, denials, a, ret_report, err);

	if (r == 0)
		r = policy_edit_print(c.after, &yaml, err);
	if (r == 0)
		r = policy_send(
			denials->state, yaml, a->origin, a->timeout_ms, ret, ret_status, err);
	return r < 0 && !err->text[0] ? err_set(err, r, "%s", err_name(r)) : r;
}

int denials_decide(struct denials *d, const struct proposal *p, const char *status,
	const char *reason)
{
	char what[1024];

	(void)snprintf(what, sizeof(what), "%.600s wants %s:%u", p->binary, p->host, p->port);
	return change_decisions(d, p->id,
		json_pack("{s:s, s:s, s:I, s:s}", "status", status, "reason", reason ? reason : "",
			"at_ms", (json_int_t)event_now_ms(), "what", what));
}

int denials_reject(struct denials *d, const struct proposal *p, const char *reason)
{
	return denials_decide(d, p, "rejected", reason);
}

int denials_clear(struct denials *d)
{
	return change_decisions(d, "cleared_ms", json_integer((json_int_t)event_now_ms()));
}
