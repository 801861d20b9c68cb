/* Denials become proposals, as upstream's mapper makes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/policy_print.h"
#include "lib/proposal.h"
#include "lib/str.h"
#include "tests/support/vectors.h"

static const char *text(json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static uint32_t number(json_t *o, const char *key)
{
	return (uint32_t)json_integer_value(json_object_get(o, key));
}

static bool notes_hold(const struct proposal *p, const char *word)
{
	const char *notes[4];

	proposal_notes(p, notes);
	for (size_t i = 0; notes[i]; i++)
		if (strstr(notes[i], word))
			return true;
	return false;
}

static bool ports_are_noted(json_t *in, json_t *x)
{
	const struct proposal p = { .host = text(in, "host"), .port = (uint16_t)number(in, "port") };

	return notes_hold(&p, "ephemeral") == vector_flag(x, "ephemeral_note") &&
	       notes_hold(&p, "database") == vector_flag(x, "database_note");
}

static void feed(struct proposals *all, json_t *denial)
{
	bool is_ssrf = str_eq(text(denial, "stage"), "ssrf");
	struct event e = { .time_ms = 1,
		.adapter = EVENT_CONNECT,
		.action = EVENT_DENY,
		.host = text(denial, "host"),
		.port = number(denial, "port"),
		.binary = text(denial, "binary"),
		.count = number(denial, "count"),
		.engine = is_ssrf ? "ssrf" : "l4" };
	json_t *samples = json_object_get(denial, "samples"), *s;
	size_t i;

	if (!json_array_size(samples))
		assert_int_equal(proposals_event(all, &e), 0);
	json_array_foreach(samples, i, s) {
		e.adapter = EVENT_L7;
		e.engine = "l7";
		e.method = text(s, "method");
		e.target = text(s, "path");
		e.count = number(s, "count");
		assert_int_equal(proposals_event(all, &e), 0);
	}
}

static bool rules_agree(const struct doc_endpoint *ep, json_t *want)
{
	json_t *rules = json_object_get(want, "rules"), *r;
	size_t i;

	if (ep->rules.n != json_array_size(rules))
		return false;
	json_array_foreach(rules, i, r) {
		json_t *allow = json_object_get(r, "allow");
		const struct doc_rule *got = &ep->rules.list[i].allow;

		if (!str_eq(got->method.text, text(allow, "method")) ||
			!str_eq(got->path.text, text(allow, "path")))
			return false;
	}
	return true;
}

static bool proposal_agrees(const struct proposal *p, json_t *want)
{
	json_t *endpoint = json_object_get(want, "endpoint");
	auto_policy_doc struct policy_doc *d = policy_doc_new();
	const struct doc_endpoint *ep;
	struct merge_op op;

	assert_non_null(d);
	assert_int_equal(proposal_step(p, d, &op), 0);
	ep = op.rule->endpoints.list;
	return str_eq(op.rule_name, text(want, "rule_name")) &&
	       str_eq(ep->host.text, text(endpoint, "host")) &&
	       ep->port.value == (int64_t)number(endpoint, "port") &&
	       str_eq(ep->protocol.text, text(endpoint, "protocol")) &&
	       str_eq(ep->enforcement.text, text(endpoint, "enforcement")) &&
	       rules_agree(ep, endpoint) && op.rule->binaries.n == 1 &&
	       str_eq(op.rule->binaries.list[0].path.text,
		       json_string_value(json_array_get(json_object_get(want, "binaries"), 0)));
}

static bool proposals_agree(json_t *in, json_t *x)
{
	json_t *denials = json_object_get(in, "denials"), *want = json_object_get(x, "proposals"), *d;
	struct proposals *all = proposals_new();
	const struct proposal *const *list;
	bool ok;
	size_t i, n;

	assert_non_null(all);
	json_array_foreach(denials, i, d)
		feed(all, d);
	list = proposals_list(all, &n);
	ok = n == json_array_size(want);
	for (i = 0; ok && i < n; i++)
		ok = proposal_agrees(list[i], json_array_get(want, i));
	proposals_free(all);
	return ok;
}

static bool one_case(const char *id, json_t *in, json_t *x)
{
	const char *kind = text(in, "kind");
	char path[PROPOSAL_PATH_MAX];

	(void)id;
	if (str_eq(kind, "generalise-path")) {
		proposal_generalise(text(in, "path"), path);
		return str_eq(path, text(x, "path"));
	}
	if (str_eq(kind, "looks-like-id"))
		return proposal_looks_like_id(text(in, "segment")) == vector_flag(x, "id");
	if (str_eq(kind, "confidence")) {
		double got = proposal_confidence(number(in, "count"), (uint16_t)number(in, "port"),
			vector_flag(in, "ssrf"));
		double off = got - json_number_value(json_object_get(x, "confidence"));

		return off < 0.0001 && off > -0.0001;
	}
	if (str_eq(kind, "security-note-internal"))
		return proposal_is_internal(text(in, "host")) == vector_flag(x, "internal_note");
	if (str_eq(kind, "security-note-port"))
		return ports_are_noted(in, x);
	if (str_eq(kind, "no-proposal-for"))
		return proposal_is_proposable(text(in, "host")) != vector_flag(x, "skip");
	return str_eq(kind, "proposals") && proposals_agree(in, x);
}

static void upstreams_cases_agree(void **state)
{
	(void)state;
	assert_int_equal(vectors_run("tests/vectors/advisor_proposals.jsonl", one_case), 0);
}

static struct event denial(const char *binary, const char *path)
{
	return (struct event){ .time_ms = 5,
		.adapter = path ? EVENT_L7 : EVENT_TCP,
		.action = EVENT_DENY,
		.host = "h.test",
		.port = 443,
		.binary = binary,
		.engine = path ? "l7" : "l4",
		.method = path ? "GET" : NULL,
		.target = path };
}

static void a_group_has_one_id_and_counts(void **state)
{
	struct event e = denial("/usr/bin/curl", NULL);
	struct proposals *all = proposals_new();
	const struct proposal *const *list;
	size_t n;

	(void)state;
	assert_int_equal(proposals_event(all, &e), 0);
	e.count = 4;
	e.time_ms = 9;
	assert_int_equal(proposals_event(all, &e), 0);
	list = proposals_list(all, &n);
	assert_int_equal(n, 1);
	assert_int_equal(list[0]->count, 5);
	assert_int_equal(list[0]->first_ms, 5);
	assert_int_equal(list[0]->last_ms, 9);
	assert_int_equal(strlen(list[0]->id), PROPOSAL_ID_LEN);
	proposals_free(all);
}

static void a_path_with_pattern_characters_matches_itself_alone(void **state)
{
	const struct event e = denial("/usr/bin/curl", "/a*b/[x]");
	struct proposals *all = proposals_new();
	auto_policy_doc struct policy_doc *d = policy_doc_new();
	const struct proposal *const *list;
	struct merge_op op;
	size_t n;

	(void)state;
	assert_int_equal(proposals_event(all, &e), 0);
	list = proposals_list(all, &n);
	assert_int_equal(proposal_step(list[0], d, &op), 0);
	assert_string_equal(
		op.rule->endpoints.list[0].rules.list[0].allow.path.text, "/a[*]b/[[]x[]]");
	proposals_free(all);
}

/* Out of order, by several askers, refused for the address: all of it is in the one proposal. */
static void a_proposal_says_who_asked_and_since_when(void **state)
{
	struct event e = denial("/usr/bin/curl", NULL);
	struct proposals *all = proposals_new();
	const struct proposal *const *list;
	size_t n;

	(void)state;
	e.asker = "a";
	assert_int_equal(proposals_event(all, &e), 0);
	e.time_ms = 2;
	assert_int_equal(proposals_event(all, &e), 0);
	list = proposals_list(all, &n);
	assert_int_equal(n, 1);
	assert_int_equal(list[0]->first_ms, 2);
	assert_int_equal(list[0]->last_ms, 5);
	assert_string_equal(list[0]->asker, "a");
	assert_false(list[0]->has_more_askers);
	assert_false(notes_hold(list[0], "protected range"));
	e.asker = "b";
	e.engine = "ssrf";
	assert_int_equal(proposals_event(all, &e), 0);
	list = proposals_list(all, &n);
	assert_string_equal(list[0]->asker, "a");
	assert_true(list[0]->has_more_askers);
	assert_true(notes_hold(list[0], "protected range"));
	proposals_free(all);
}

static void what_is_proposed_has_its_limits(void **state)
{
	struct proposals *all = proposals_new();
	const struct proposal *const *list;
	char host[32], path[32], longest[300];
	struct event e;
	size_t n;

	(void)state;
	for (int i = 0; i <= PROPOSAL_SAMPLES_MAX; i++) {
		(void)snprintf(path, sizeof(path), "/%c%c", 'a' + i / 26, 'a' + i % 26);
		e = denial("/usr/bin/curl", path);
		assert_int_equal(proposals_event(all, &e), 0);
		assert_int_equal(proposals_event(all, &e), 0);
	}
	list = proposals_list(all, &n);
	assert_int_equal(n, 1);
	assert_int_equal(list[0]->n_samples, PROPOSAL_SAMPLES_MAX);
	assert_int_equal(list[0]->count, 2 * (PROPOSAL_SAMPLES_MAX + 1));
	for (int i = 0; i < PROPOSAL_SAMPLES_MAX; i++)
		assert_int_equal(list[0]->samples[i].count, 2);
	for (int i = 0; i < PROPOSALS_MAX + 1; i++) {
		(void)snprintf(host, sizeof(host), "h%d.test", i);
		e = denial("/usr/bin/curl", NULL);
		e.host = host;
		assert_int_equal(proposals_event(all, &e), 0);
	}
	(void)proposals_list(all, &n);
	assert_int_equal(n, PROPOSALS_MAX);
	assert_int_equal(proposals_left_out(all), 2);
	memset(longest, 'h', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_false(proposal_is_proposable(longest));
	proposals_free(all);
}

static void what_no_rule_would_allow_is_not_proposed(void **state)
{
	struct event odd_binary = denial("/tmp/*", NULL), broken = denial("/usr/bin/curl", "/x");
	struct event allowed = denial("/usr/bin/curl", NULL), model = denial("/usr/bin/curl", NULL);
	struct proposals *all = proposals_new();
	size_t n;

	(void)state;
	broken.engine = "http-parser";
	allowed.action = EVENT_ALLOW;
	model.host = "inference.local";
	assert_int_equal(proposals_event(all, &model), 0);
	assert_int_equal(proposals_event(all, &odd_binary), 0);
	assert_int_equal(proposals_event(all, &broken), 0);
	assert_int_equal(proposals_event(all, &allowed), 0);
	(void)proposals_list(all, &n);
	assert_int_equal(n, 0);
	proposals_free(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(upstreams_cases_agree),
		cmocka_unit_test(a_group_has_one_id_and_counts),
		cmocka_unit_test(a_path_with_pattern_characters_matches_itself_alone),
		cmocka_unit_test(a_proposal_says_who_asked_and_since_when),
		cmocka_unit_test(what_is_proposed_has_its_limits),
		cmocka_unit_test(what_no_rule_would_allow_is_not_proposed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
