/* Each forbidden call is provoked in a child, whose death is the proof; the control survives. */
#include <errno.h>
#include <linux/landlock.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
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

static void make_memory_executable_later(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || mprotect(p, 4096, PROT_READ) < 0)
		_exit(1);
	(void)mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

#ifdef __x86_64__
/* Number 3 is read(2) there and close(2) here: the numbers of another ABI mean something else. */
static void read_by_another_abi(void)
{
	long r = 3;

	__asm__ volatile("int $0x80" : "+a"(r) : "b"(-1), "c"(0), "d"(0) : "memory");
}
#endif

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
	dies(make_memory_executable_later);
}

/* The wait status of a child that is not confined. */
static int free_status(void (*fn)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		fn();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

#ifdef __x86_64__
static void a_foreign_abi_is_refused(void **state)
{
	(void)state;
	if (free_status(read_by_another_abi) != 0)
		print_message("# SKIP a_foreign_abi_is_refused: this kernel has none\n");
	else
		dies(read_by_another_abi);
}
#endif

static int outside = -1; /* a socket of AF_UNIX from before */
static struct sockaddr_un listening = { .sun_family = AF_UNIX };
static socklen_t listening_len;

static void reach_somebody_outside(void)
{
	_exit(connect(outside, (struct sockaddr *)&listening, listening_len) == 0 ? 5 : errno);
}

/* Landlock is the second wall: what a descriptor from before could still do, it refuses (ABI 6, Linux 6.12). */
static void an_old_socket_reaches_nobody_outside(void **state)
{
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), status;

	(void)state;
	/* The kernel chooses an abstract name: unix(7). */
	assert_int_equal(bind(listener, (struct sockaddr *)&listening, sizeof(sa_family_t)), 0);
	listening_len = sizeof(listening);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&listening, &listening_len), 0);
	assert_int_equal(listen(listener, 2), 0);
	outside = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (syscall(__NR_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 6) {
		print_message("# SKIP an_old_socket_reaches_nobody_outside: Landlock ABI 6 is not here\n");
	} else {
		status = confined(reach_somebody_outside);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), EPERM);
		/* The control: without it the same socket does. */
		status = free_status(reach_somebody_outside);
		assert_int_equal(WEXITSTATUS(status), 5);
	}
	(void)close(outside);
	(void)close(listener);
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

/* A child that waits once it is confined, so that it can be looked at. It ends when *@ret_hold is closed. */
static pid_t wait_confined(uid_t uid, int *ret_hold)
{
	struct err err = { .text = "" };
	int ready[2], hold[2];
	char byte = 0;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(hold), 0);
	pid = fork();
	if (pid == 0) {
		(void)close(hold[1]);
		/* A change of user has made it undumpable by itself. */
		if (setuid(uid) < 0 || prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
			_exit(1);
		/* Nobody may look into it any more, so it says itself. */
		byte = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1 && isolate_final(&err) == 0 ? 'y' : 'n';
		(void)!write(ready[1], &byte, 1);
		(void)!read(hold[0], &byte, 1);
		_exit(0);
	}
	(void)close(ready[1]);
	(void)close(hold[0]);
	*ret_hold = hold[1];
	assert_int_equal(read(ready[0], &byte, 1), 1);
	(void)close(ready[0]);
	assert_int_equal(byte, 'y');
	return pid;
}

static void nothing_is_left_to_dump(void **state)
{
	struct rlimit core = { 1, 1 };
	int hold, r;
	pid_t pid = wait_confined(getuid(), &hold);

	(void)state;
	r = prlimit(pid, RLIMIT_CORE, NULL, &core);
	(void)close(hold);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(r, 0);
	assert_true(core.rlim_cur == 0 && core.rlim_max == 0);
}

/* What cannot be looked into is root's in /proc, whosever process it is: proc(5). */
static void nobody_can_look_into_it(void **state)
{
	int hold, r;
	pid_t pid = wait_confined(getuid() ? getuid() : 65534, &hold);
	struct stat st = { .st_uid = 1 };
	char path[64];

	(void)state;
	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	r = stat(path, &st);
	(void)close(hold);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(r, 0);
	assert_int_equal(st.st_uid, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sockets_still_work),
		cmocka_unit_test(files_cannot_be_opened),
		cmocka_unit_test(nothing_can_be_started),
		cmocka_unit_test(only_tcp_sockets_can_be_made),
		cmocka_unit_test(memory_cannot_become_executable),
#ifdef __x86_64__
		cmocka_unit_test(a_foreign_abi_is_refused),
#endif
		cmocka_unit_test(an_old_socket_reaches_nobody_outside),
		cmocka_unit_test(nobody_can_be_signalled),
		cmocka_unit_test(memory_has_a_limit),
		cmocka_unit_test(nothing_is_left_to_dump),
		cmocka_unit_test(nobody_can_look_into_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
