#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tracer/dgramgate.h"

static bool is_out_of_memory;

void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n)
{
	return is_out_of_memory ? NULL : __real_realloc(p, n);
}

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

/* Its own sleep, of the kind that no signal ends: that of vfork(2), while the child is there. */
static void sleep_for_a_child(void)
{
	if (vfork() == 0) {
		(void)pause();
		_exit(0);
	}
}

static char state_of(pid_t pid)
{
	char path[64], text[512] = "", *end;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	assert_non_null(f);
	assert_non_null(fgets(text, sizeof(text), f));
	(void)fclose(f);
	end = strrchr(text, ')');
	assert_non_null(end);
	return end[2];
}

/* The listener's lock is waited for in such a sleep, too: which call it is in tells them apart. */
static void who_sleeps_in_another_call_is_not_waited_for(void **state)
{
	struct dgramgate *g = dgramgate_new();
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		(void)setpgid(0, 0);
		sleep_for_a_child();
		_exit(0);
	}
	while (state_of(pid) != 'D')
		(void)sched_yield();
	assert_true(dgramgate_passed(g, pid));
	assert_int_equal(dgramgate_open(g), 0);
	(void)kill(-pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	dgramgate_free(g);
}

/* It stays shut, and the look at who runs is taken again. */
static void without_memory_it_does_not_open(void **state)
{
	struct dgramgate *g = dgramgate_new();
	pid_t pid = child(spin);

	(void)state;
	assert_true(dgramgate_passed(g, pid));
	is_out_of_memory = true;
	assert_int_equal(dgramgate_open(g), -ENOMEM);
	assert_false(dgramgate_is_open(g));
	is_out_of_memory = false;
	assert_int_equal(dgramgate_open(g), -EAGAIN);
	assert_true(dgramgate_is_open(g));
	end(pid);
	assert_int_equal(dgramgate_open(g), 0);
	dgramgate_free(g);
}

/* More of them than are made room for at once; each is waited for. */
static void a_crowd_is_waited_for(void **state)
{
	enum { CROWD = 66 };
	struct dgramgate *g = dgramgate_new();
	pid_t pids[CROWD];
	int r, tries = 0;

	(void)state;
	for (int i = 0; i < CROWD; i++) {
		pids[i] = child(spin);
		assert_true(dgramgate_passed(g, pids[i]));
	}
	assert_int_equal(dgramgate_open(g), -EAGAIN);
	for (int i = 0; i < CROWD - 1; i++)
		dgramgate_returned(g, pids[i]);
	end(pids[CROWD - 1]);
	while ((r = dgramgate_open(g)) == -EAGAIN && tries++ < 10000000)
		(void)sched_yield();
	assert_int_equal(r, 0);
	for (int i = 0; i < CROWD - 1; i++)
		(void)kill(pids[i], SIGKILL);
	for (int i = 0; i < CROWD - 1; i++)
		(void)waitpid(pids[i], NULL, 0);
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
		cmocka_unit_test(who_sleeps_in_another_call_is_not_waited_for),
		cmocka_unit_test(without_memory_it_does_not_open),
		cmocka_unit_test(a_crowd_is_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
