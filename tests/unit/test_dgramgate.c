#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tracer/dgramgate.h"

static pid_t child(void (*fn)(void))
{
	pid_t pid = fork();

	if (pid == 0) {
		fn();
		_exit(0);
	}
	return pid;
}

static void spin(void)
{
	for (volatile int i = 0;; i = i + 1)
		;
}

static void end(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}

static void it_is_shut_until_asked(void **state)
{
	struct dgramgate *g = dgramgate_new();

	(void)state;
	assert_false(dgramgate_is_open(g));
	assert_int_equal(dgramgate_open(g), 0);
	assert_true(dgramgate_is_open(g));
	dgramgate_free(g);
}

static void odd_numbers_may_not_pass(void **state)
{
	struct dgramgate *g = dgramgate_new();

	(void)state;
	assert_false(dgramgate_passed(g, 0));
	assert_false(dgramgate_passed(g, -1));
	assert_false(dgramgate_passed(g, 4 * 1024 * 1024));
	assert_true(dgramgate_passed(g, 4 * 1024 * 1024 - 1));
	dgramgate_free(g);
}

static void who_is_gone_is_not_waited_for(void **state)
{
	struct dgramgate *g = dgramgate_new();
	pid_t pid = child(spin);

	(void)state;
	end(pid);
	assert_true(dgramgate_passed(g, pid));
	assert_int_equal(dgramgate_open(g), 0);
	dgramgate_free(g);
}

/* It runs: so it is waited for, but no longer than it takes to be sure. */
static void who_runs_is_waited_for(void **state)
{
	struct dgramgate *g = dgramgate_new();
	pid_t pid = child(spin);
	int r, tries = 0;

	(void)state;
	assert_true(dgramgate_passed(g, pid));
	assert_int_equal(dgramgate_open(g), -EAGAIN);
	assert_true(dgramgate_is_open(g));
	while ((r = dgramgate_open(g)) == -EAGAIN && tries++ < 10000000)
		(void)sched_yield();
	assert_int_equal(r, 0);
	end(pid);
	dgramgate_free(g);
}

static void a_new_call_ends_the_wait(void **state)
{
	struct dgramgate *g = dgramgate_new();
	pid_t pid = child(spin);

	(void)state;
	assert_true(dgramgate_passed(g, pid));
	assert_int_equal(dgramgate_open(g), -EAGAIN);
	dgramgate_returned(g, pid);
	assert_int_equal(dgramgate_open(g), 0);
	end(pid);
	dgramgate_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_shut_until_asked),
		cmocka_unit_test(odd_numbers_may_not_pass),
		cmocka_unit_test(who_is_gone_is_not_waited_for),
		cmocka_unit_test(who_runs_is_waited_for),
		cmocka_unit_test(a_new_call_ends_the_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
