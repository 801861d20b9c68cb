/*
 * ptrace as a source of calls, asked of the kernel: children that stop, answered or not. What the kernel refuses
 * to the tracer, and memory that is not there, are the test's own (GNUmakefile).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "tracer/notify.h"
#include "tracer/trace.h"

static bool is_poke_refused, is_out_of_memory;

long __real_ptrace(enum __ptrace_request request, pid_t pid, void *addr, void *data);
long __wrap_ptrace(enum __ptrace_request request, pid_t pid, void *addr, void *data);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

/* Variadic where it is declared; its arguments are passed alike. */
long __wrap_ptrace(enum __ptrace_request request, pid_t pid, void *addr, void *data)
{
	if (is_poke_refused && request == PTRACE_POKEUSER) {
		errno = EIO;
		return -1;
	}
	return __real_ptrace(request, pid, addr, data);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return is_out_of_memory ? NULL : __real_calloc(n, size);
}

enum { CALL = SYS_getpriority, WAIT_MS = 10000 };

/*
 * A process that is traced before it does what it is for, with CALL stopping. As in a sandbox it is
 * no child of ours: its parent waits for it, and ends as it did.
 */
struct subject {
	pid_t pid, parent;
	struct call_source *src;
};

static void install(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CALL, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(code), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
		_exit(101);
}

static _Noreturn void be(void (*fn)(void), int go)
{
	char byte;

	if (read(go, &byte, 1) != 1)
		_exit(102);
	install();
	fn();
	_exit(0);
}

/* Says its child's pid, waits for it, and ends with its status: 128 + signal. */
static _Noreturn void be_parent(void (*fn)(void), int go, int say)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		be(fn, go);
	(void)!write(say, &pid, sizeof(pid));
	if (waitpid(pid, &status, 0) != pid)
		_exit(103);
	_exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

static struct subject subject(void (*fn)(void))
{
	struct subject s;
	struct err err;
	int go[2], said[2];

	assert_int_equal(pipe(go), 0);
	assert_int_equal(pipe(said), 0);
	s.parent = fork();
	if (s.parent == 0) {
		(void)close(go[1]);
		be_parent(fn, go[0], said[1]);
	}
	assert_int_equal(read(said[0], &s.pid, sizeof(s.pid)), sizeof(s.pid));
	s.src = trace_new(s.pid, &err);
	assert_non_null(s.src);
	assert_int_equal(write(go[1], "", 1), 1);
	for (int i = 0; i < 2; i++) {
		(void)close(go[i]);
		(void)close(said[i]);
	}
	return s;
}

/* The next call, within WAIT_MS. */
static bool next_call(struct call_source *src, struct call *ret)
{
	struct pollfd p = { .fd = src->fd, .events = POLLIN };

	while (poll(&p, 1, WAIT_MS) == 1)
		if (src->ops->receive(src, ret))
			return true;
	return false;
}

static void answer(
	struct call_source *src, const struct call *c, enum answer_kind kind, int64_t value)
{
	const struct answer a = { .kind = kind, .value = value, .fd = -1 };

	src->ops->respond(src, c, &a);
}

/* Attends to everything until the subject has ended, and its parent knows; how it did. */
static int end(struct subject *s)
{
	struct pollfd p = { .fd = s->src->fd, .events = POLLIN };
	siginfo_t si = { 0 };
	struct call c;
	int status;

	while (waitid(P_PID, (id_t)s->parent, &si, WEXITED | WNOHANG | WNOWAIT) == 0 &&
		si.si_pid == 0 && poll(&p, 1, WAIT_MS) == 1)
		assert_false(s->src->ops->receive(s->src, &c));
	assert_int_equal(waitpid(s->parent, &status, 0), s->parent);
	call_source_free(s->src);
	return WEXITSTATUS(status);
}

static long call(long a)
{
	long r = syscall(CALL, 0, a, 33, 44, 55, 66);

	return r < 0 ? -errno : r;
}

static void make_three(void)
{
	if (call(11) != 4711)
		_exit(1);
	if (call(12) != -EACCES)
		_exit(2);
	_exit(call(0) >= 0 ? 0 : 3);
}

static void a_call_is_told_what_was_answered(void **state)
{
	struct subject s = subject(make_three);
	struct call c;

	(void)state;
	assert_true(next_call(s.src, &c));
	assert_int_equal(c.req.pid, s.pid);
	assert_int_equal(c.req.data.nr, CALL);
	assert_int_equal(c.req.data.args[1], 11);
	assert_int_equal(c.req.data.args[5], 66);
	assert_int_equal(c.held, -1);
	assert_true(s.src->ops->is_valid(s.src, &c));
	answer(s.src, &c, ANSWER_VALUE, 4711);
	assert_false(s.src->ops->is_valid(s.src, &c));
	assert_true(next_call(s.src, &c));
	answer(s.src, &c, ANSWER_ERROR, -EACCES);
	assert_true(next_call(s.src, &c));
	answer(s.src, &c, ANSWER_CONTINUE, 0);
	assert_int_equal(end(&s), 0);
}

static void make_two(void)
{
	_exit(call(1) == 1 && call(2) == 2 ? 0 : 1);
}

/* An answer to a call that is over is no answer to the next one of the same task. */
static void an_old_call_is_not_the_new_one(void **state)
{
	struct subject s = subject(make_two);
	struct call old, c;

	(void)state;
	assert_true(next_call(s.src, &old));
	answer(s.src, &old, ANSWER_VALUE, 1);
	assert_true(next_call(s.src, &c));
	assert_false(s.src->ops->is_valid(s.src, &old));
	answer(s.src, &old, ANSWER_VALUE, 99);
	assert_true(s.src->ops->is_valid(s.src, &c));
	answer(s.src, &c, ANSWER_VALUE, 2);
	assert_int_equal(end(&s), 0);
}

static void make_one(void)
{
	_exit(call(1) == 1 ? 0 : 1);
}

static void a_caller_that_was_killed_does_not_wait(void **state)
{
	struct subject s = subject(make_one);
	struct call c;

	(void)state;
	assert_true(next_call(s.src, &c));
	assert_int_equal(kill(s.pid, SIGKILL), 0);
	/* Dead, and not waited for yet: the number is still its own. */
	while (s.src->ops->is_valid(s.src, &c))
		;
	answer(s.src, &c, ANSWER_VALUE, 1);
	assert_int_equal(end(&s), 128 + SIGKILL);
}

/* It would go on with what it asked for, which nobody has allowed. */
static void a_caller_that_cannot_be_told_is_killed(void **state)
{
	struct subject s = subject(make_one);
	struct call c;

	(void)state;
	assert_true(next_call(s.src, &c));
	is_poke_refused = true;
	answer(s.src, &c, ANSWER_ERROR, -EACCES);
	is_poke_refused = false;
	assert_int_equal(end(&s), 128 + SIGKILL);
}

static void make_one_without_memory(void)
{
	_exit(call(1) == -ENOMEM ? 0 : 1);
}

static void a_call_that_cannot_be_remembered_is_refused(void **state)
{
	struct subject s = subject(make_one_without_memory);
	int status;

	(void)state;
	is_out_of_memory = true;
	status = end(&s);
	is_out_of_memory = false;
	assert_int_equal(status, 0);
}

static int go_fd[2], alive_fd[2];

static void live_on(void)
{
	char byte;

	(void)close(go_fd[1]);
	if (read(go_fd[0], &byte, 1) == 1)
		(void)!write(alive_fd[1], "", 1);
}

/* The kernel sends the signal before anybody is told of the tracer's end. */
static void who_loses_its_tracer_dies(void **state)
{
	pid_t tracer;
	char byte;

	(void)state;
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	assert_int_equal(pipe(go_fd), 0);
	assert_int_equal(pipe(alive_fd), 0);
	tracer = fork();
	if (tracer == 0) {
		struct subject s = subject(live_on);

		(void)raise(s.pid > 0 ? SIGKILL : SIGABRT);
	}
	(void)close(alive_fd[1]);
	assert_int_equal(waitpid(tracer, NULL, 0), tracer);
	assert_int_equal(write(go_fd[1], "", 1), 1);
	assert_int_equal(read(alive_fd[0], &byte, 1), 0);
	while (waitpid(-1, NULL, 0) > 0)
		;
	(void)close(go_fd[0]);
	(void)close(go_fd[1]);
	(void)close(alive_fd[0]);
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
}

static int exec_fd[2], ready_fd[2];

/* This program anew, to make a call of its own. */
static void *exec_self(void *arg)
{
	char *argv[] = { (char *)"test_trace", (char *)"call", NULL };
	/* A search for leaks does not work in a tracee. */
	char *env[] = { (char *)"ASAN_OPTIONS=detect_leaks=0", NULL };
	char byte;

	(void)arg;
	(void)!write(ready_fd[1], "", 1);
	if (read(exec_fd[0], &byte, 1) == 1)
		(void)execve("/proc/self/exe", argv, env);
	_exit(1);
}

static void call_beside_an_exec(void)
{
	pthread_t t;

	(void)pthread_create(&t, NULL, exec_self, NULL);
	(void)call(1);
}

/* The leader's call, when the thread has been attended to since its birth and waits to be told. */
static struct subject exec_subject(struct call *ret)
{
	struct subject s;
	bool is_ready = false, has_call = false;

	assert_int_equal(pipe(exec_fd), 0);
	assert_int_equal(pipe(ready_fd), 0);
	s = subject(call_beside_an_exec);
	while (!is_ready || !has_call) {
		struct pollfd p[] = { { .fd = s.src->fd, .events = POLLIN },
			{ .fd = is_ready ? -1 : ready_fd[0], .events = POLLIN } };

		assert_true(poll(p, 2, WAIT_MS) > 0);
		has_call = (p[0].revents && s.src->ops->receive(s.src, ret)) || has_call;
		is_ready = p[1].revents || is_ready;
	}
	return s;
}

static void exec_done(void)
{
	for (int i = 0; i < 2; i++) {
		(void)close(exec_fd[i]);
		(void)close(ready_fd[i]);
	}
}

/* The thread takes over the leader's number, not its call. */
static void an_exec_ends_the_call_of_the_leader(void **state)
{
	struct subject s;
	struct call old, c;

	(void)state;
	s = exec_subject(&old);
	assert_int_equal(write(exec_fd[1], "", 1), 1);
	assert_true(next_call(s.src, &c));
	assert_int_equal(c.req.pid, old.req.pid);
	assert_int_equal(c.req.data.args[1], 2);
	assert_false(s.src->ops->is_valid(s.src, &old));
	answer(s.src, &old, ANSWER_VALUE, 99);
	assert_true(s.src->ops->is_valid(s.src, &c));
	answer(s.src, &c, ANSWER_VALUE, 9);
	assert_int_equal(end(&s), 9);
	exec_done();
}

/* The answer comes when the leader is dead and its number taken, and nobody has been told yet. */
static void an_answer_during_an_exec_kills_nobody(void **state)
{
	struct subject s;
	struct call old, c;
	siginfo_t si;

	(void)state;
	s = exec_subject(&old);
	assert_int_equal(write(exec_fd[1], "", 1), 1);
	/* ECHILD: the number is nobody's between the two. */
	while (waitid(P_PID, (id_t)s.pid, &si, WSTOPPED | WNOWAIT | __WALL) < 0)
		assert_true(errno == ECHILD || errno == EINTR);
	assert_int_equal(si.si_status >> 8, PTRACE_EVENT_EXEC);
	answer(s.src, &old, ANSWER_ERROR, -EACCES);
	assert_true(next_call(s.src, &c));
	assert_int_equal(c.req.data.args[1], 2);
	answer(s.src, &c, ANSWER_VALUE, 9);
	assert_int_equal(end(&s), 9);
	exec_done();
}

static void on_signal(int sig)
{
	(void)sig;
}

static void call_under_a_signal(int flags)
{
	struct sigaction act = { .sa_handler = on_signal, .sa_flags = flags };

	(void)sigaction(SIGUSR1, &act, NULL);
	_exit((int)-call(1));
}

static void call_interrupted(void)
{
	call_under_a_signal(0);
}

static void call_restarted(void)
{
	call_under_a_signal(SA_RESTART);
}

static void a_restart_is_what_the_handler_wants(void **state)
{
	struct subject s = subject(call_interrupted);
	struct call c;

	(void)state;
	assert_true(next_call(s.src, &c));
	assert_int_equal(kill(s.pid, SIGUSR1), 0);
	answer(s.src, &c, ANSWER_ERROR, -NOTIFY_RESTARTSYS);
	assert_int_equal(end(&s), EINTR);

	s = subject(call_restarted);
	assert_true(next_call(s.src, &c));
	assert_int_equal(kill(s.pid, SIGUSR1), 0);
	answer(s.src, &c, ANSWER_ERROR, -NOTIFY_RESTARTSYS);
	assert_true(next_call(s.src, &c));
	assert_int_equal(c.req.data.args[1], 1);
	answer(s.src, &c, ANSWER_ERROR, -EXDEV);
	assert_int_equal(end(&s), EXDEV);
}

/* A signal that was gone before it was taken: the call is made again, and nothing shows. */
static void a_restart_without_a_signal_is_a_restart(void **state)
{
	struct subject s = subject(make_one);
	struct call c;

	(void)state;
	assert_true(next_call(s.src, &c));
	answer(s.src, &c, ANSWER_ERROR, -NOTIFY_RESTARTSYS);
	assert_true(next_call(s.src, &c));
	answer(s.src, &c, ANSWER_VALUE, 1);
	assert_int_equal(end(&s), 0);
}

static void *thread_call(void *arg)
{
	(void)call((long)(intptr_t)arg);
	return NULL;
}

enum { THREADS = 50 };

static void call_in_threads(void)
{
	pthread_t t[THREADS];

	for (long i = 0; i < THREADS; i++)
		(void)pthread_create(&t[i], NULL, thread_call, (void *)(intptr_t)i);
	for (int i = 0; i < THREADS; i++)
		(void)pthread_join(t[i], NULL);
}

/* All of them wait, and none is lost between one signal and the next. */
static void many_callers_are_found(void **state)
{
	struct subject s = subject(call_in_threads);
	struct call c[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_true(next_call(s.src, &c[i]));
	assert_false(s.src->ops->has_more(s.src));
	for (int i = 0; i < THREADS; i++) {
		assert_true(s.src->ops->is_valid(s.src, &c[i]));
		answer(s.src, &c[i], ANSWER_VALUE, 0);
	}
	assert_int_equal(end(&s), 0);
}

/* What is no tracee is somebody else's to wait for. */
static void other_children_keep_their_status(void **state)
{
	struct subject s = subject(make_one);
	pid_t other = fork();
	siginfo_t si = { 0 };
	struct call c;
	int status;

	(void)state;
	if (other == 0)
		_exit(5);
	assert_int_equal(waitid(P_PID, (id_t)other, &si, WEXITED | WNOWAIT), 0);
	assert_true(next_call(s.src, &c));
	answer(s.src, &c, ANSWER_VALUE, 1);
	assert_int_equal(end(&s), 0);
	assert_int_equal(waitpid(other, &status, 0), other);
	assert_int_equal(WEXITSTATUS(status), 5);
}

static int block_sigchld(void **state)
{
	sigset_t set;

	(void)state;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	return pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void who_is_gone_is_refused_with_the_reason_and_the_remedy(void **state)
{
	struct err err = { .text = "" };
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_null(trace_new(pid, &err));
	assert_non_null(strstr(err.text, "cannot be traced: No such process"));
	assert_non_null(strstr(err.hint, "openshell doctor"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_is_told_what_was_answered),
		cmocka_unit_test(an_old_call_is_not_the_new_one),
		cmocka_unit_test(a_caller_that_was_killed_does_not_wait),
		cmocka_unit_test(a_caller_that_cannot_be_told_is_killed),
		cmocka_unit_test(a_call_that_cannot_be_remembered_is_refused),
		cmocka_unit_test(who_loses_its_tracer_dies),
		cmocka_unit_test(an_exec_ends_the_call_of_the_leader),
		cmocka_unit_test(an_answer_during_an_exec_kills_nobody),
		cmocka_unit_test(a_restart_is_what_the_handler_wants),
		cmocka_unit_test(a_restart_without_a_signal_is_a_restart),
		cmocka_unit_test(many_callers_are_found),
		cmocka_unit_test(other_children_keep_their_status),
		cmocka_unit_test(who_is_gone_is_refused_with_the_reason_and_the_remedy),
	};

	(void)argv;
	if (argc > 1)
		return (int)call(2);
	return cmocka_run_group_tests(tests, block_sigchld, NULL);
}
