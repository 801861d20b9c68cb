/* Stacks of a child of the test's own, walked from outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "tracer/registers.h"
#include "tracer/unwind.h"

#define KEPT __attribute__((noinline, noclone))

enum { MAPS_SIZE = 1 << 20, FUNCTION_MAX = 4096 };

extern const char __executable_start[];

/* What follows the call keeps it from being a jump. */
KEPT static int stop_here(void)
{
	int r = raise(SIGSTOP);

	return r + (int)getpid();
}

KEPT static int come_by(void)
{
	int r = stop_here();

	return r + (int)getppid();
}

struct subject {
	pid_t pid;
	uint64_t regs[UNWIND_REGS];
	char maps[MAPS_SIZE];
	int exe;
	struct unwind_task task;
};

static void read_maps(struct subject *s)
{
	char path[32];
	auto_close int fd = -1;
	size_t len = 0;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)s->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while ((n = read(fd, s->maps + len, sizeof(s->maps) - 1 - len)) > 0)
		len += (size_t)n;
	s->maps[len] = '\0';
	assert_true(len > 0);
}

/* A child that stands still in stop_here(). */
static struct subject *subject(void)
{
	static struct subject s;
	int status;

	s = (struct subject){ .pid = fork() };
	if (s.pid == 0) {
		(void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		_exit(come_by() == 0);
	}
	assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(registers_read(s.pid, s.regs), 0);
	read_maps(&s);
	s.exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	s.task = (struct unwind_task){ .tid = s.pid, .regs = s.regs, .maps = s.maps, .exe = s.exe };
	return &s;
}

static void end(struct subject *s)
{
	assert_int_equal(kill(s->pid, SIGKILL), 0);
	assert_int_equal(waitpid(s->pid, NULL, 0), s->pid);
	(void)close(s->exe);
}

/* The number of the frame that is in @fn of this program; -1. */
static int frame_in(const struct stack *s, int (*fn)(void))
{
	const uint64_t at = (uint64_t)(uintptr_t)fn - (uint64_t)(uintptr_t)__executable_start;

	for (unsigned int i = 0; i < s->n_frames; i++)
		if (strstr(s->modules[s->frames[i].module].path, "test_unwind") &&
			s->frames[i].offset > at && s->frames[i].offset < at + FUNCTION_MAX)
			return (int)i;
	return -1;
}

static void who_called_whom_is_found(void **state)
{
	struct subject *s = subject();
	struct stack got;
	int inner, outer;

	(void)state;
	unwind(&s->task, &got);
	assert_true(got.n_frames >= 3);
	inner = frame_in(&got, stop_here);
	outer = frame_in(&got, come_by);
	/* Innermost first, below them what raise(3) is made of. */
	assert_true(inner > 0);
	assert_int_equal(outer, inner + 1);
	assert_true(got.modules[got.frames[0].module].fingerprint != 0);
	end(s);
}

static void frames_of_a_library_that_is_left_out_are_left_out(void **state)
{
	struct subject *s = subject();
	struct stack got;
	char libc[STACK_PATH_MAX];

	(void)state;
	unwind(&s->task, &got);
	(void)snprintf(libc, sizeof(libc), "%s", got.modules[got.frames[0].module].path);
	read_maps(s);
	s->task.skipped = libc;
	unwind(&s->task, &got);
	assert_int_equal(frame_in(&got, stop_here), 0);
	end(s);
}

static void registers_that_lead_nowhere_are_a_reason(void **state)
{
	struct subject *s = subject();
	struct stack got;

	(void)state;
	memset(s->regs, 0, sizeof(s->regs));
	unwind(&s->task, &got);
	assert_int_equal(got.n_frames, 0);
	assert_true(got.reason[0]);
	end(s);
}

static void maps_that_are_no_maps_are_a_reason(void **state)
{
	struct subject *s = subject();
	struct stack got;

	(void)state;
	(void)snprintf(s->maps, sizeof(s->maps), "nothing of the kind\n");
	unwind(&s->task, &got);
	assert_int_equal(got.n_frames, 0);
	assert_true(got.reason[0]);
	end(s);
}

/* Nobody's registers can be read but a tracee's that stands still. */
static void registers_of_who_runs_are_not_to_be_had(void **state)
{
	uint64_t regs[UNWIND_REGS];

	(void)state;
	assert_true(registers_read(getpid(), regs) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_called_whom_is_found),
		cmocka_unit_test(frames_of_a_library_that_is_left_out_are_left_out),
		cmocka_unit_test(registers_that_lead_nowhere_are_a_reason),
		cmocka_unit_test(maps_that_are_no_maps_are_a_reason),
		cmocka_unit_test(registers_of_who_runs_are_not_to_be_had),
	};

	unwind_prepare();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
