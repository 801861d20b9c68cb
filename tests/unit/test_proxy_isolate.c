/* Each forbidden call is provoked in a child, whose death is the proof; the control survives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sockets_still_work),
		cmocka_unit_test(files_cannot_be_opened),
		cmocka_unit_test(nothing_can_be_started),
		cmocka_unit_test(only_tcp_sockets_can_be_made),
		cmocka_unit_test(memory_cannot_become_executable),
		cmocka_unit_test(nobody_can_be_signalled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
