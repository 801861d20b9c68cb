#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "tracer/procfs.h"

static void parent_comes_after_the_last_parenthesis(void **state)
{
	pid_t ppid = 0;

	(void)state;
	assert_int_equal(procfs_stat_ppid("17 (a) S 5 17 17", &ppid), 0);
	assert_int_equal(ppid, 5);
	assert_int_equal(procfs_stat_ppid("17 (a) R 1\n) S 5 (b) S 9 17 17", &ppid), 0);
	assert_int_equal(ppid, 9);
}

static void malformed_stat_is_refused(void **state)
{
	static const char *const bad[] = { "", "17 (a", "17 (a)", "17 (a) ", "17 (a) S", "17 (a) S ",
		"17 (a) S x", "17 (a) S -1", "17 (a) S 99999999999" };
	pid_t ppid = 42;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(procfs_stat_ppid(bad[i], &ppid), -EINVAL);
	assert_int_equal(ppid, 42);
}

static void processor_time_is_user_and_system(void **state)
{
	const char *text = "17 (x) y) R 5 17 17 0 -1 4194304 120 0 0 0 30 12 0 0 20 0 1 0 99";
	uint64_t ticks = 0;
	char c = 0;

	(void)state;
	assert_int_equal(procfs_stat_run(text, &c, &ticks), 0);
	assert_int_equal(c, 'R');
	assert_int_equal(ticks, 42);
	assert_int_equal(procfs_stat_run("17 (x) R 5 17", &c, &ticks), -EINVAL);
}

static void last_number_of_a_field_counts(void **state)
{
	const char *text = "Name:\tTgid: 7\nTgid:\t12\nNStgid:\t12\t3\t1\nEmpty:\n";
	pid_t v = 0;

	(void)state;
	assert_int_equal(procfs_status_number(text, "Tgid", &v), 0);
	assert_int_equal(v, 12);
	assert_int_equal(procfs_status_number(text, "NStgid", &v), 0);
	assert_int_equal(v, 1);
	assert_int_equal(procfs_status_number(text, "Empty", &v), -EINVAL);
	assert_int_equal(procfs_status_number(text, "Absent", &v), -EINVAL);
}

#define MASKS(pnd, shd, blk, ign) \
	"SigPnd:\t" pnd "\nShdPnd:\t" shd "\nSigBlk:\t" blk "\nSigIgn:\t" ign "\nSigCgt:\t0\n"

static void only_a_signal_that_would_be_taken_counts(void **state)
{
	static const struct {
		const char *text;
		int want;
	} cases[] = {
		{ MASKS("0000000000000000", "0000000000000000", "0", "0"), 0 },
		{ MASKS("0000000000002000", "0000000000000000", "0", "0"), 1 },
		{ MASKS("0000000000000000", "8000000000000000", "0", "0"), 1 },
		{ MASKS("0000000000002000", "0", "0000000000002000", "0"), 0 },
		{ MASKS("0000000000002000", "0", "0", "0000000000002000"), 0 },
		{ MASKS("0000000000002001", "0", "0000000000002000", "0"), 1 },
		{ "SigPnd:\t0\n", -EINVAL },
		{ MASKS("x", "0", "0", "0"), -EINVAL },
		{ "", -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(procfs_status_has_signal(cases[i].text), cases[i].want);
}

static void own_process_reads_back(void **state)
{
	auto_close int dir = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	pid_t v = 0;

	(void)state;
	assert_int_equal(procfs_ppid(dir, &v), 0);
	assert_int_equal(v, getppid());
	assert_int_equal(procfs_tgid(dir, &v), 0);
	assert_int_equal(v, getpid());
	assert_int_equal(procfs_has_signal(dir), 0);
}

/* A child that waits until it is told to go; @words: its argv. */
static pid_t child_start(char *const words[], int *ret_hold)
{
	int hold[2], ready[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		(void)dup2(hold[0], STDIN_FILENO);
		(void)execv("/bin/cat", words);
		_exit(127);
	}
	(void)close(hold[0]);
	(void)close(ready[1]);
	/* The end of file comes with the exec. */
	assert_int_equal(read(ready[0], &c, 1), 0);
	(void)close(ready[0]);
	*ret_hold = hold[1];
	return pid;
}

static int procdir_of(pid_t pid)
{
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void a_command_line_is_words_between_blanks(void **state)
{
	char *const words[] = { (char *)"cat", (char *)"-", (char *)"-u", NULL };
	int hold;
	pid_t pid = child_start(words, &hold);
	auto_close int dir = procdir_of(pid);
	char text[64], cut[6];

	(void)state;
	assert_int_equal(procfs_cmdline(dir, text, sizeof(text)), 0);
	assert_string_equal(text, "cat - -u");
	assert_int_equal(procfs_cmdline(dir, cut, sizeof(cut)), 0);
	assert_string_equal(cut, "cat -");
	(void)close(hold);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void a_process_that_is_gone_is_told_apart_from_a_bad_one(void **state)
{
	char *const words[] = { (char *)"cat", NULL };
	int hold;
	pid_t pid = child_start(words, &hold), v = 42;
	auto_close int dir = procdir_of(pid);
	char text[64], other[] = "/tmp/procfs.XXXXXX";

	(void)state;
	assert_int_equal(procfs_ppid(dir, &v), 0);
	assert_int_equal(v, getpid());
	assert_int_equal(procfs_ns_pid(dir, &v), 0);
	assert_int_equal(v, pid);
	(void)close(hold);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	v = 42;
	assert_int_equal(procfs_ppid(dir, &v), -ESRCH);
	assert_int_equal(procfs_tgid(dir, &v), -ESRCH);
	assert_int_equal(procfs_ns_pid(dir, &v), -ESRCH);
	assert_int_equal(procfs_has_signal(dir), -ESRCH);
	assert_int_equal(procfs_cmdline(dir, text, sizeof(text)), -ESRCH);
	assert_int_equal(v, 42);
	/* A directory in the place of a file is an error of its own. */
	assert_non_null(mkdtemp(other));
	(void)close(dir);
	dir = open(other, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(dir, "stat", 0700), 0);
	assert_int_equal(procfs_ppid(dir, &v), -EISDIR);
	assert_int_equal(unlinkat(dir, "stat", AT_REMOVEDIR), 0);
	assert_int_equal(rmdir(other), 0);
	assert_int_equal(procfs_ppid(-1, &v), -EBADF);
}

static void a_stat_without_its_fields_has_no_state(void **state)
{
	static const char *const bad[] = { "", "17 (a", "17 (a)x", "17 (a) ", "17 (a) S",
		"17 (x) R 5 17 17 0 -1 4194304 120 0 0 0", "17 (x) R 5 17 17 0 -1 4194304 120 0 0 0 a b" };
	uint64_t ticks = 42;
	char c = 'c';

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(procfs_stat_run(bad[i], &c, &ticks), -EINVAL);
	assert_int_equal(ticks, 42);
	assert_int_equal(c, 'c');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parent_comes_after_the_last_parenthesis),
		cmocka_unit_test(malformed_stat_is_refused),
		cmocka_unit_test(processor_time_is_user_and_system),
		cmocka_unit_test(last_number_of_a_field_counts),
		cmocka_unit_test(only_a_signal_that_would_be_taken_counts),
		cmocka_unit_test(own_process_reads_back),
		cmocka_unit_test(a_command_line_is_words_between_blanks),
		cmocka_unit_test(a_process_that_is_gone_is_told_apart_from_a_bad_one),
		cmocka_unit_test(a_stat_without_its_fields_has_no_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
