/* What a program of ours is started with: nothing of the caller's environment (invariant 8). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "tracer/child.h"

/* What @argv says on standard output, when it has ended. */
static void started(char *const *argv, char *ret, size_t size)
{
	auto_close int pidfd = -1;
	struct err err = { 0 };
	ssize_t n, len = 0;
	int p[2];
	pid_t pid;

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	pid = child_start(argv[0], argv, &(struct child_fd){ p[1], STDOUT_FILENO }, 1, &pidfd, &err);
	assert_true(pid > 0);
	(void)close(p[1]);
	while ((n = read(p[0], ret + len, size - 1 - (size_t)len)) > 0)
		len += n;
	ret[len] = '\0';
	(void)close(p[0]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void nothing_of_the_environment_is_handed_down(void **state)
{
	char *argv[] = { (char *)"env", NULL };
	char out[4096];

	(void)state;
	assert_int_equal(setenv("A_SECRET_OF_THE_CALLER", "hunter2", 1), 0);
	assert_int_equal(setenv("LD_LIBRARY_PATH", "/nonexistent", 1), 0);
	started(argv, out, sizeof(out));
	(void)unsetenv("LD_LIBRARY_PATH");
	assert_string_equal(out, "PATH=/usr/local/bin:/usr/bin:/bin\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_of_the_environment_is_handed_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
