/* Each forbidden call is provoked in a child, whose death is the proof; the control survives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/instrument.h"
#include "proxy/isolate.h"

/* The wait status of a child that confines itself and runs @fn. */
static int confined(void (*fn)(void))
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct err err = { .text = "" };

		if (isolate_final(&err) < 0)
			_exit(77);
		fn();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void dies(void (*fn)(void))
{
	int status = confined(fn);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void use_a_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || close(fd) < 0)
		_exit(1);
}

static void open_a_file(void)
{
	(void)open("/etc/passwd", O_RDONLY | O_CLOEXEC);
}

static void start_a_process(void)
{
	(void)fork();
}

static void run_a_program(void)
{
	char *const none[] = { NULL };

	(void)execve("/bin/true", none, none);
}

static void open_a_unix_socket(void)
{
	(void)socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static void open_a_raw_packet_socket(void)
{
	(void)socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
}

static void make_memory_executable(void)
{
	(void)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void bind_a_port(void)
{
	struct sockaddr sa = { .sa_family = AF_INET };

	(void)bind(0, &sa, sizeof(sa));
}

static void signal_somebody(void)
{
	(void)kill(getppid(), 0);
}

static void sockets_still_work(void **state)
{
	int status;

	(void)state;
	status = confined(use_a_socket);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void files_cannot_be_opened(void **state)
{
	(void)state;
	dies(open_a_file);
}

static void nothing_can_be_started(void **state)
{
	(void)state;
	dies(start_a_process);
	dies(run_a_program);
}

static void only_tcp_sockets_can_be_made(void **state)
{
	(void)state;
	dies(open_a_unix_socket);
	dies(open_a_raw_packet_socket);
	dies(bind_a_port);
}

static void memory_cannot_become_executable(void **state)
{
	(void)state;
	dies(make_memory_executable);
}

static void nobody_can_be_signalled(void **state)
{
	(void)state;
	dies(signal_somebody);
}

/* 1 GiB for everything, what there was before included. A sanitizer's own memory would not fit. */
static void take_memory(size_t mib)
{
	for (size_t i = 0; i < mib / 64; i++)
		if (mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
			_exit(3);
}

static void take_some_memory(void)
{
	take_memory(768);
}

static void take_too_much_memory(void)
{
	take_memory(1088);
}

static void memory_has_a_limit(void **state)
{
	(void)state;
	/* Not skip(): in TAP cmocka writes "not ok" before it. */
	if (IS_SANITIZED) {
		print_message("# SKIP memory_has_a_limit: there is none beside a sanitizer (docs/sanitizers.md)\n");
		return;
	}
	assert_int_equal(confined(take_some_memory), 0);
	assert_int_equal(WEXITSTATUS(confined(take_too_much_memory)), 3);
}

/* The child waits once it is confined, so that it can be looked at. */
static void nothing_is_left_to_dump(void **state)
{
	struct rlimit core = { 1, 1 };
	struct err err = { .text = "" };
	int status = 0, ready[2], hold[2];
	char byte = 0;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(hold), 0);
	pid = fork();
	if (pid == 0) {
		/* Nobody may look into it any more, so it says itself. */
		byte = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1 && isolate_final(&err) == 0 ? 'y' : 'n';
		(void)!write(ready[1], &byte, 1);
		(void)!read(hold[0], &byte, 1);
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(byte, 'y');
	assert_int_equal(prlimit(pid, RLIMIT_CORE, NULL, &core), 0);
	assert_true(core.rlim_cur == 0 && core.rlim_max == 0);
	(void)kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	for (int i = 0; i < 2; i++) {
		(void)close(ready[i]);
		(void)close(hold[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sockets_still_work),
		cmocka_unit_test(files_cannot_be_opened),
		cmocka_unit_test(nothing_can_be_started),
		cmocka_unit_test(only_tcp_sockets_can_be_made),
		cmocka_unit_test(memory_cannot_become_executable),
		cmocka_unit_test(nobody_can_be_signalled),
		cmocka_unit_test(memory_has_a_limit),
		cmocka_unit_test(nothing_is_left_to_dump),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
