#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/stack.h"
#include "lib/str.h"
#include "preload/stack.h"
#include "tracer/stacks.h"

/* The two sides share no header: the library stands alone. */
static void both_sides_mean_the_same_record(void **state)
{
	(void)state;
	assert_true(STACK_MAGIC == STACKS_MAGIC);
	assert_int_equal(sizeof(struct stack_record), sizeof(struct stacks_record));
	assert_int_equal(offsetof(struct stack_record, regs), offsetof(struct stacks_record, regs));
	assert_int_equal(STACK_REGS, STACKS_REGS);
	assert_int_equal(STACK_RBX, STACKS_RBX);
	assert_int_equal(STACK_RBP, STACKS_RBP);
	assert_int_equal(STACK_R12, STACKS_R12);
	assert_int_equal(STACK_R15, STACKS_R15);
	assert_int_equal(STACK_RSP, STACKS_RSP);
	assert_int_equal(STACK_RIP, STACKS_RIP);
}

static void example(struct stack *s)
{
	*s = (struct stack){ .by = STACK_PRELOAD };
	(void)stack_add_frame(s, (unsigned int)stack_add_module(s, "/bin/a b", 0xabc), 0x10);
	(void)stack_add_frame(s, (unsigned int)stack_add_module(s, "[vdso]", 0), 0x20);
	(void)stack_add_frame(s, (unsigned int)stack_add_module(s, "/bin/a b", 0xabc), 0x30);
}

static void what_is_written_reads_back(void **state)
{
	char text[STACK_TEXT_MAX + 1];
	struct stack s, back;

	(void)state;
	example(&s);
	stack_format(&s, text);
	assert_string_equal(text, "by=preload 0+10,1+20,0+30\nabc /bin/a b\n0 [vdso]");
	assert_int_equal(stack_parse(text, &back), 0);
	assert_int_equal(back.by, STACK_PRELOAD);
	assert_int_equal(back.n_frames, 3);
	assert_int_equal(back.n_modules, 2);
	assert_int_equal(back.frames[2].module, 0);
	assert_true(back.frames[2].offset == 0x30);
	assert_true(back.modules[0].fingerprint == 0xabc);
	assert_string_equal(back.modules[0].path, "/bin/a b");
}

static void no_stack_has_a_reason(void **state)
{
	struct stack s = { .reason = "it took too long" }, back;
	char text[STACK_TEXT_MAX + 1];

	(void)state;
	stack_format(&s, text);
	assert_int_equal(stack_parse(text, &back), 0);
	assert_int_equal(back.by, STACK_NONE);
	assert_string_equal(back.reason, "it took too long");
}

static void malformed_text_is_no_stack(void **state)
{
	static const char *const bad[] = { "", "by=", "by=preload", "by=gdb 0+1\n1 /x",
		"by=preload 0+1", "by=preload 1+1\n1 /x", "by=preload 0\n1 /x",
		"by=preload 0+\n1 /x", "by=preload -0+1\n1 /x", "by=preload 0+1 \n1 /x",
		"by=preload 0+1\n/x", "by=preload 0+1\n1/x", "by=preload 0+fffffffffffffffff\n1 /x",
		"by=preload 32+1\n1 /x", "by=preload 0+ 1\n1 /x", "by=ptrace 0x0+1\n1 /x" };
	struct stack s;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (stack_parse(bad[i], &s) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(s.n_frames, 0);
		assert_int_equal(s.by, STACK_NONE);
		assert_string_not_equal(s.reason, "");
	}
}

static void more_frames_than_fit_are_left_out(void **state)
{
	char path[STACK_PATH_MAX], text[STACK_TEXT_MAX + 1];
	struct stack s = { .by = STACK_PTRACE }, back;

	(void)state;
	for (int i = 0; i < STACK_MODULES_MAX; i++) {
		(void)snprintf(path, sizeof(path), "/%d/%0*d", i, 480, 0);
		assert_int_equal(stack_add_module(&s, path, UINT64_MAX), i);
		assert_int_equal(stack_add_frame(&s, (unsigned int)i, UINT64_MAX), 0);
	}
	assert_int_equal(stack_add_module(&s, "/one/more", 1), -ENOSPC);
	stack_format(&s, text);
	assert_int_equal(stack_parse(text, &back), 0);
	assert_in_range(back.n_frames, 6, 8);
	assert_int_equal(back.n_frames, back.n_modules);
}

static void frames_and_paths_are_bounded(void **state)
{
	char path[STACK_PATH_MAX + 100], text[STACK_TEXT_MAX + 1];
	struct stack s = { .by = STACK_PTRACE }, back;

	(void)state;
	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(stack_add_module(&s, path, 7), 0);
	/* Cut, it names no file: nothing may be read from it. */
	assert_true(s.modules[0].fingerprint == 0);
	for (int i = 0; i < STACK_FRAMES_MAX; i++)
		assert_int_equal(stack_add_frame(&s, 0, (uint64_t)i), 0);
	assert_int_equal(stack_add_frame(&s, 0, 1), -ENOSPC);
	stack_format(&s, text);
	assert_int_equal(stack_parse(text, &back), 0);
	assert_int_equal(back.n_frames, STACK_FRAMES_MAX);
}

static void another_build_has_another_fingerprint(void **state)
{
	uint8_t head[STACK_HEAD_SIZE] = { 0 };
	uint64_t first = stack_fingerprint(head);

	(void)state;
	assert_true(first != 0);
	head[STACK_HEAD_SIZE - 1] = 1;
	assert_true(stack_fingerprint(head) != first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_sides_mean_the_same_record),
		cmocka_unit_test(what_is_written_reads_back),
		cmocka_unit_test(no_stack_has_a_reason),
		cmocka_unit_test(malformed_text_is_no_stack),
		cmocka_unit_test(more_frames_than_fit_are_left_out),
		cmocka_unit_test(frames_and_paths_are_bounded),
		cmocka_unit_test(another_build_has_another_fingerprint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
