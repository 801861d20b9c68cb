#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/policy_diff.h"
#include "lib/strv.h"

/* One rule for curl at a.example:443, as flow YAML. */
#define RULE(endpoint)                                                                             \
	"version: 1\nnetwork_policies: {p: {endpoints: [{host: a.example, port: 443, " endpoint    \
	"}], binaries: [{path: /usr/bin/curl}]}}\n"
#define REST(more) RULE("protocol: rest, enforcement: enforce, " more)

static void compare(const char *a, const char *b, struct policy_diff *ret)
{
	auto_policy_doc struct policy_doc *x = NULL, *y = NULL;

	assert_int_equal(policy_doc_parse(a, strlen(a), &x, NULL), 0);
	assert_int_equal(policy_doc_parse(b, strlen(b), &y, NULL), 0);
	assert_int_equal(policy_diff(x, y, ret), 0);
}

static void expect_lines(char *const *got, const char *const *want)
{
	size_t n = 0;

	for (; want[n]; n++) {
		if (n >= strv_len(got))
			fail_msg("missing: %s", want[n]);
		assert_string_equal(got[n], want[n]);
	}
	if (n < strv_len(got))
		fail_msg("unexpected: %s", got[n]);
}

#define LINES(...) ((const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

static void expect_diff(
	const char *a, const char *b, const char *const *gained, const char *const *lost)
{
	auto_policy_diff struct policy_diff d = { 0 }, back = { 0 };

	compare(a, b, &d);
	expect_lines(d.gained, gained);
	expect_lines(d.lost, lost);
	compare(b, a, &back);
	expect_lines(back.gained, lost);
	expect_lines(back.lost, gained);
}

static void equal_policies_do_not_differ(void **state)
{
	(void)state;
	expect_diff(REST("access: read-only"), REST("access: read-only"), LINES(), LINES());
}

static void a_preset_written_out_is_no_difference(void **state)
{
	(void)state;
	expect_diff(REST("access: read-only"),
		REST("rules: [{allow: {method: GET, path: '**'}}, {allow: {method: HEAD, path: "
		     "'/**'}}, "
		     "{allow: {method: OPTIONS, path: '**'}}]"),
		LINES(), LINES());
}

static void a_wider_preset_gains_methods(void **state)
{
	(void)state;
	expect_diff(REST("access: read-only"), REST("access: read-write"),
		LINES("/usr/bin/curl may POST, PUT, PATCH (any path) at a.example:443 [p]"),
		LINES());
}

static void a_narrower_path_is_a_loss_and_no_gain(void **state)
{
	(void)state;
	expect_diff(REST("rules: [{allow: {method: GET, path: /repos/**}}]"),
		REST("rules: [{allow: {method: GET, path: /repos/acme/*}}]"), LINES(),
		LINES("/usr/bin/curl may GET /repos/** at a.example:443 [p]"));
}

static void audit_and_no_inspection_are_named(void **state)
{
	(void)state;
	expect_diff(REST("access: full"), RULE("protocol: rest, access: full"),
		LINES("/usr/bin/curl may send any request to a.example:443 (audit: what no rule "
		      "allows is only logged) [p]"),
		LINES());
	expect_diff(RULE("protocol: rest, access: full"), RULE("allowed_ips: [10.0.0.0/8]"),
		LINES("/usr/bin/curl may reach private addresses in 10.0.0.0/8 as a.example:443 "
		      "[p]",
			"/usr/bin/curl may talk to a.example:443, uninspected [p]"),
		LINES());
}

static void a_deny_rule_takes_away(void **state)
{
	(void)state;
	expect_diff(REST("access: full"),
		REST("access: full, deny_rules: [{method: DELETE, path: /x}]"), LINES(),
		LINES("/usr/bin/curl may, as no rule denies it, DELETE /x at a.example:443 [p]"));
}

static void a_deny_rule_of_an_endpoint_that_is_gone_is_no_gain(void **state)
{
	(void)state;
	expect_diff(
		REST("rules: [{allow: {method: '*', path: '**'}}], deny_rules: [{method: DELETE, "
		     "path: /x}]"),
		"version: 1\n", LINES(),
		LINES("/usr/bin/curl may use any method (any path) at a.example:443 [p]"));
}

static void wildcards_cover_what_they_match(void **state)
{
	static const char wide[] =
		"version: 1\nnetwork_policies: {p: {endpoints: [{host: '*.a.example', "
		"port: 443}], binaries: [{path: /usr/bin/*}]}}\n";
	static const char narrow[] =
		"version: 1\nnetwork_policies: {p: {endpoints: [{host: x.a.example, "
		"port: 443}], binaries: [{path: /usr/bin/curl}]}}\n";

	(void)state;
	expect_diff(narrow, wide, LINES("/usr/bin/* may talk to *.a.example:443, uninspected [p]"),
		LINES());
}

static void a_rule_without_binaries_allows_nothing(void **state)
{
	(void)state;
	expect_diff("version: 1\n",
		"version: 1\nnetwork_policies: {p: {endpoints: [{host: a.example, port: 443}]}}\n",
		LINES(), LINES());
}

static void files_are_compared_too(void **state)
{
	auto_policy_diff struct policy_diff d = { 0 };

	(void)state;
	compare("version: 1\nfilesystem_policy: {include_workdir: true, read_only: [/usr, /etc]}\n",
		"version: 1\nfilesystem_policy: {read_only: [/usr], read_write: [/opt]}\n"
		"landlock: {compatibility: hard_requirement}\n",
		&d);
	expect_lines(d.gained, LINES("every program may write /opt"));
	expect_lines(d.lost, LINES("every program may read /etc",
				     "every program may write the working directory"));
	expect_lines(d.changed, LINES("landlock is not the same"));
}

static void operations_and_tools_are_described(void **state)
{
	(void)state;
	expect_diff("version: 1\n",
		RULE("protocol: graphql, enforcement: enforce, rules: [{allow: {operation_type: "
		     "query, operation_name: Viewer, fields: [viewer, user]}}]"),
		LINES("/usr/bin/curl may ask for query named Viewer of viewer, user at "
		      "a.example:443 [p]"),
		LINES());
	expect_diff("version: 1\n",
		RULE("protocol: mcp, enforcement: enforce, rules: [{allow: {method: tools/call, "
		     "tool: search}}]"),
		LINES("/usr/bin/curl may tools/call with tool search at a.example:443 [p]"),
		LINES());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_policies_do_not_differ),
		cmocka_unit_test(a_preset_written_out_is_no_difference),
		cmocka_unit_test(a_wider_preset_gains_methods),
		cmocka_unit_test(a_narrower_path_is_a_loss_and_no_gain),
		cmocka_unit_test(audit_and_no_inspection_are_named),
		cmocka_unit_test(a_deny_rule_takes_away),
		cmocka_unit_test(a_deny_rule_of_an_endpoint_that_is_gone_is_no_gain),
		cmocka_unit_test(wildcards_cover_what_they_match),
		cmocka_unit_test(a_rule_without_binaries_allows_nothing),
		cmocka_unit_test(files_are_compared_too),
		cmocka_unit_test(operations_and_tools_are_described),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
