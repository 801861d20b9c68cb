#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/policy_static.h"
#include "support/vectors.h"

static struct policy_doc *doc_of(json_t *json)
{
	struct policy_doc *d = NULL;
	auto_free char *text = NULL;

	if (!json_object_get(json, "version"))
		(void)json_object_set_new(json, "version", json_integer(1));
	text = json_dumps(json, 0);
	assert_int_equal(policy_doc_parse(text, strlen(text), &d, NULL), 0);
	return d;
}

static bool static_case(const char *id, json_t *input, json_t *expect)
{
	auto_policy_doc struct policy_doc *live = doc_of(json_object_get(input, "live"));
	auto_policy_doc struct policy_doc *update = doc_of(json_object_get(input, "update"));
	const char *reason = json_string_value(json_object_get(expect, "reason"));
	struct err err = { 0 };
	int r = policy_static_check(live, update, &err);

	if (vector_flag(expect, "accept") ? r == 0 : r == -EINVAL && strstr(err.text, reason))
		return true;
	print_message("%s: %s\n", id, err.text);
	return false;
}

static void upstream_static_field_vectors_pass(void **state)
{
	(void)state;
	assert_int_equal(vectors_run("tests/vectors/static_fields.jsonl", static_case), 0);
}

static const char whole[] = "version: 1\n"
			    "filesystem_policy:\n"
			    "  include_workdir: true\n"
			    "  read_only: [/usr]\n"
			    "landlock:\n"
			    "  compatibility: best_effort\n"
			    "process:\n"
			    "  run_as_user: sandbox\n";

static void absent_sections_are_taken_from_the_live_policy(void **state)
{
	auto_free char *got = NULL;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(policy_static_complete(whole, "version: 1\n", &got, &err), 0);
	assert_string_equal(got, "version: 1\n"
				 "filesystem_policy:\n"
				 "  include_workdir: true\n"
				 "  read_only:\n"
				 "    - /usr\n"
				 "landlock:\n"
				 "  compatibility: best_effort\n"
				 "process:\n"
				 "  run_as_user: sandbox\n");
}

static void a_complete_update_stays_as_it_was_written(void **state)
{
	char *got = (char *)(uintptr_t) "untouched";
	struct err err = { 0 };

	(void)state;
	assert_int_equal(policy_static_complete(whole, whole, &got, &err), 0);
	assert_null(got);
}

static void a_changed_section_is_refused_by_name(void **state)
{
	char *got = NULL;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(policy_static_complete(whole,
				 "version: 1\nprocess: {run_as_user: \"1000\"}\n", &got, &err),
		-EINVAL);
	assert_string_equal(err.text, "process: process policy cannot be changed on a live sandbox "
				      "(applied at startup)");
}

static void whether_the_working_directory_is_shared_cannot_be_changed(void **state)
{
	struct err err = { 0 };
	char *got = NULL;

	(void)state;
	assert_int_equal(policy_static_complete(whole, "version: 1\nfilesystem_policy: {read_only: [/usr]}\n", &got, &err),
		-EINVAL);
	assert_string_equal(err.text, "filesystem_policy: include_workdir cannot be changed on a live sandbox "
				      "(applied at startup)");
}

static void what_is_no_policy_is_refused_with_its_place(void **state)
{
	struct err err = { 0 };
	char *got = NULL;

	(void)state;
	assert_int_equal(policy_static_complete(whole, "version: 1\nproces: {}\n", &got, &err), -EINVAL);
	assert_string_equal(err.text, "policy:2:1: unknown field 'proces' (did you mean 'process'?)");
	assert_int_equal(policy_static_complete("", whole, &got, &err), -EINVAL);
	assert_null(got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(upstream_static_field_vectors_pass),
		cmocka_unit_test(absent_sections_are_taken_from_the_live_policy),
		cmocka_unit_test(a_complete_update_stays_as_it_was_written),
		cmocka_unit_test(a_changed_section_is_refused_by_name),
		cmocka_unit_test(whether_the_working_directory_is_shared_cannot_be_changed),
		cmocka_unit_test(what_is_no_policy_is_refused_with_its_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
