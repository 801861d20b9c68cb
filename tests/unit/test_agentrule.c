#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/agentrule.h"

#define ENDPOINT                                                                                   \
	"{\"host\":\"api.test\",\"port\":443,\"protocol\":\"rest\",\"enforcement\":\"enforce\","   \
	"\"rules\":[{\"allow\":{\"method\":\"GET\",\"path\":\"/zen\"}}]}"
#define BINARIES	"\"binaries\":[{\"path\":\"/usr/bin/curl\"}]"
#define ADD(name, rule) "{\"addRule\":{\"ruleName\":\"" name "\",\"rule\":{" rule "}}}"
#define BODY(ops)	"{\"intent_summary\":\"see zen\",\"operations\":[" ops "]}"

static int parse(struct agentrules *a, const char *text, struct err *err)
{
	*err = (struct err){ 0 };
	return agentrules_parse(a, text, strlen(text), err);
}

static void one_rule_becomes_one_policy(void **state)
{
	struct agentrules a;
	struct err err;

	(void)state;
	assert_int_equal(
		parse(&a, BODY(ADD("zen", "\"endpoints\":[" ENDPOINT "]," BINARIES)), &err), 0);
	assert_int_equal(a.n, 1);
	assert_string_equal(a.intent, "see zen");
	assert_string_equal(a.list[0].name, "zen");
	assert_string_equal(a.list[0].binary, "/usr/bin/curl");
	assert_non_null(strstr(a.list[0].yaml, "path: /zen"));
	agentrules_done(&a);
}

static void protobuf_spelling_is_understood(void **state)
{
	struct agentrules a;
	struct err err;

	(void)state;
	assert_int_equal(parse(&a,
				 BODY(ADD("x", "\"endpoints\":[{\"host\":\"a.test\",\"port\":1,"
					       "\"allowedIps\":[\"10.0.0.0/8\"]}]," BINARIES)),
				 &err),
		0);
	assert_non_null(strstr(a.list[0].yaml, "allowed_ips"));
	agentrules_done(&a);
}

static void what_is_no_rule_is_refused(void **state)
{
	static const struct {
		const char *body, *why;
	} cases[] = {
		{ "", "not JSON" },
		{ "[]", "no JSON object" },
		{ "{\"operations\":[],\"operations\":[]}", "not JSON" },
		{ BODY(""), "1 to 16" },
		{ BODY("{\"removeRule\":{}}"), "addRule is the only" },
		{ BODY("{\"addRule\":{},\"removeRule\":{}}"), "addRule is the only" },
		{ BODY("{\"addRule\":{\"rule\":{}}}"), "ruleName and rule" },
		{ BODY(ADD("_provider_x", "\"endpoints\":[" ENDPOINT "]," BINARIES)),
			"beginning with" },
		{ BODY(ADD("a b", "\"endpoints\":[" ENDPOINT "]," BINARIES)), "letters" },
		{ BODY(ADD("x", BINARIES)), "no endpoints" },
		{ BODY(ADD("x", "\"endpoints\":[" ENDPOINT "]")), "no binaries" },
		{ BODY(ADD("x", "\"endpoints\":[{\"host\":\"localhost\",\"port\":1}]," BINARIES)),
			"no policy" },
		{ BODY(ADD("x", "\"endpoints\":[{\"host\":\"[::1]\",\"port\":80}]," BINARIES)), "no policy" },
		{ BODY(ADD("x", "\"endpoints\":[{\"host\":\"127.0.0.1.\",\"port\":80}]," BINARIES)),
			"no policy" },
		{ BODY(ADD("x",
			  "\"endpoints\":[{\"host\":\"169.254.169.254\",\"port\":80}]," BINARIES)),
			"no policy" },
		{ BODY(ADD("x",
			  "\"endpoints\":[" ENDPOINT "]," BINARIES ",\"filesystem_policy\":{}")),
			"unknown field" },
		{ BODY(ADD("x", "\"endpoints\":[{\"host\":\"a.test\",\"port\":443,\"denyRules\":[],"
				"\"deny_rules\":[]}]," BINARIES)),
			"two spellings" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct agentrules a;
		struct err err;
		int r = parse(&a, cases[i].body, &err);

		if (r >= 0 || !strstr(err.text, cases[i].why))
			print_error("%s: %d %s\n", cases[i].body, r, err.text);
		assert_true(r < 0);
		assert_non_null(strstr(err.text, cases[i].why));
	}
}

static bool has_note(const char *yaml, const char *want)
{
	auto_policy_doc struct policy_doc *d = NULL;
	const char *notes[AGENTRULE_NOTES_MAX + 1];

	assert_int_equal(policy_doc_parse(yaml, strlen(yaml), &d, NULL), 0);
	agentrule_notes(d, notes);
	for (size_t i = 0; notes[i]; i++)
		if (strstr(notes[i], want))
			return true;
	return false;
}

static void what_is_wide_is_noted(void **state)
{
#define POLICY(endpoint, binary)                                                                   \
	"{version: 1, network_policies: {x: {endpoints: [{" endpoint                               \
	"}], binaries: [{path: '" binary "'}]}}}"
#define NARROW	   "host: a.test, port: 443, protocol: rest, enforcement: enforce, "
#define RULE(m, p) "rules: [{allow: {method: '" m "', path: '" p "'}}]"

	(void)state;
	assert_false(has_note(POLICY(NARROW RULE("GET", "/a"), "/usr/bin/curl"), ""));
	assert_true(has_note(POLICY(NARROW RULE("*", "/a"), "/usr/bin/curl"), "every method"));
	assert_true(has_note(POLICY(NARROW RULE("GET", "/**"), "/usr/bin/curl"), "every path"));
	assert_true(has_note(POLICY("host: '*.a.test', port: 443", "/b"), "host wildcard"));
	assert_true(has_note(POLICY("host: a.test, port: 443", "/b"), "not inspected"));
	assert_true(has_note(POLICY("host: 10.1.2.3, port: 443", "/b"), "internal"));
	assert_true(has_note(POLICY("host: 10.1.2.3., port: 443", "/b"), "internal"));
	assert_true(has_note(POLICY("host: '[fd00::1]', port: 443", "/b"), "internal"));
	assert_true(has_note(POLICY("host: a.test, port: 5432", "/b"), "database"));
	assert_true(has_note(POLICY("host: a.test, port: 443, protocol: rest, access: full", "/b"),
		"not enforced"));
	assert_true(has_note(POLICY(NARROW RULE("GET", "/a"), "/usr/bin/*"), "binary wildcard"));
	assert_true(has_note(
		"{version: 1, network_policies: {x: {endpoints: [{port: 1}]}}}", "not inspected"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_rule_becomes_one_policy),
		cmocka_unit_test(protobuf_spelling_is_understood),
		cmocka_unit_test(what_is_no_rule_is_refused),
		cmocka_unit_test(what_is_wide_is_noted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
