/* Which frame of a stack is the one that asked, and what of it can be printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "launcher/asker.h"

static struct askers *askers;

static int set_up(void **state)
{
	(void)state;
	askers = askers_new(-1);
	return askers ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	askers_free(askers);
	return 0;
}

static void the_innermost_frame_outside_the_c_library_asked(void **state)
{
	(void)state;
	assert_string_equal(askers_name(askers, "by=preload 0+10,1+20,2+30\n0 /lib/libc.so.6\n0 "
						"/lib64/ld-linux-x86-64.so.2\n0 /usr/bin/curl"),
		"curl+0x30");
	assert_string_equal(
		askers_name(askers, "by=ptrace 0+10,1+20\n0 /opt/tool\n0 /lib/libc.so.6"),
		"tool+0x10");
}

static void without_such_a_frame_there_is_nobody(void **state)
{
	(void)state;
	assert_null(askers_name(askers, NULL));
	assert_null(askers_name(askers, ""));
	assert_null(askers_name(askers, "by=none its registers lead nowhere"));
	assert_null(askers_name(askers, "by=preload 0+10\n0 /lib/libc.so.6"));
	assert_null(askers_name(askers, "by=preload 7+10\n0 /usr/bin/curl"));
}

static void what_the_workload_named_cannot_act_on_a_terminal(void **state)
{
	(void)state;
	assert_string_equal(askers_name(askers, "by=ptrace 0+10\n0 /tmp/a\x1b[2J\xe2\x80\xae\tb"),
		"a\\x1b[2J\\u{202e}\\x09b+0x10");
}

static void one_stack_is_looked_up_once(void **state)
{
	static const char stack[] = "by=ptrace 0+10\n0 /opt/tool";
	const char *first = askers_name(askers, stack);

	(void)state;
	assert_ptr_equal(askers_name(askers, stack), first);
}

static void too_many_stacks_have_no_words(void **state)
{
	char stack[64];

	(void)state;
	for (unsigned int i = 0; i < ASKERS_MAX; i++) {
		(void)snprintf(stack, sizeof(stack), "by=ptrace 0+%x\n0 /opt/tool", i + 1);
		assert_non_null(askers_name(askers, stack));
	}
	assert_null(askers_name(askers, "by=ptrace 0+ffffff\n0 /opt/tool"));
	assert_string_equal(askers_name(askers, "by=ptrace 0+1\n0 /opt/tool"), "tool+0x1");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_innermost_frame_outside_the_c_library_asked),
		TEST(without_such_a_frame_there_is_nobody),
		TEST(what_the_workload_named_cannot_act_on_a_terminal),
		TEST(one_stack_is_looked_up_once),
		TEST(too_many_stacks_have_no_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
