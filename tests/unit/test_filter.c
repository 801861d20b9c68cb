/* What the seccomp program says, asked of the kernel: a child installs it and tries. */
#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "tracer/filter.h"

struct try {
	long nr, args[6];
	int want; /* errno; 0: the call succeeds; -1: anything but EPERM and ENOSYS */
};

static const struct filter_options usual = { 0 }, nesting = { .allow_user_namespaces = true },
				   traced = { .is_traced = true };

static void install(const struct filter_options *o)
{
	struct sock_fprog p;
	void *code;
	size_t len;

	if (filter_build(o, &code, &len) < 0)
		_exit(101);
	p = (struct sock_fprog){ .len = (unsigned short)(len / sizeof(struct sock_filter)),
		.filter = code };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &p) < 0)
		_exit(102);
}

static bool comes_out(const struct try *t)
{
	long r = syscall(t->nr, t->args[0], t->args[1], t->args[2], t->args[3], t->args[4],
		t->args[5]);

	if (t->want == 0)
		return r >= 0;
	if (t->want < 0)
		return r >= 0 || (errno != EPERM && errno != ENOSYS);
	return r < 0 && errno == t->want;
}

/* The number of the first try that came out otherwise, 0 when none did. */
static int tried(const struct filter_options *o, const struct try *list, size_t n)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		install(o);
		for (size_t i = 0; i < n; i++)
			if (!comes_out(&list[i]))
				_exit((int)i + 1);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void what_reaches_other_processes_and_the_kernel_is_refused(void **state)
{
	static const struct try list[] = {
		{ SYS_ptrace, { 0 }, EPERM },
		{ SYS_process_vm_readv, { 0 }, EPERM },
		{ SYS_process_vm_writev, { 0 }, EPERM },
		{ SYS_pidfd_getfd, { -1 }, EPERM },
		{ SYS_mount, { 0 }, EPERM },
		{ SYS_umount2, { 0 }, EPERM },
		{ SYS_pivot_root, { 0 }, EPERM },
		{ SYS_fsopen, { 0 }, EPERM },
		{ SYS_open_tree, { -1 }, EPERM },
		{ SYS_move_mount, { -1 }, EPERM },
		{ SYS_mount_setattr, { -1 }, EPERM },
		{ SYS_setns, { -1 }, EPERM },
		{ SYS_chroot, { 0 }, EPERM },
		{ SYS_open_by_handle_at, { -1 }, EPERM },
		{ SYS_keyctl, { 0 }, EPERM },
		{ SYS_add_key, { 0 }, EPERM },
		{ SYS_request_key, { 0 }, EPERM },
		{ SYS_bpf, { 0 }, EPERM },
		{ SYS_perf_event_open, { 0 }, EPERM },
		{ SYS_userfaultfd, { 0 }, EPERM },
		{ SYS_init_module, { 0 }, EPERM },
		{ SYS_kexec_load, { 0 }, EPERM },
	};

	(void)state;
	assert_int_equal(tried(&usual, list, ARRAY_SIZE(list)), 0);
}

static void what_has_a_fallback_does_not_exist(void **state)
{
	static const struct try list[] = {
		{ SYS_io_uring_setup, { 1 }, ENOSYS },
		{ SYS_io_uring_enter, { -1 }, ENOSYS },
		{ SYS_io_uring_register, { -1 }, ENOSYS },
		{ SYS_clone3, { 0 }, ENOSYS },
	};

	(void)state;
	assert_int_equal(tried(&usual, list, ARRAY_SIZE(list)), 0);
}

static void calls_nobody_has_looked_at_do_not_exist(void **state)
{
	static const struct try list[] = {
		{ FILTER_NR_REVIEWED + 1, { -1 }, ENOSYS },
		{ FILTER_NR_REVIEWED + 2, { -1 }, ENOSYS },
		{ 5000, { -1 }, ENOSYS },
#ifdef __x86_64__
		{ 0x40000000 | SYS_getpid, { 0 }, ENOSYS },
#endif
	};

	(void)state;
	assert_int_equal(tried(&usual, list, ARRAY_SIZE(list)), 0);
}

static void one_argument_makes_the_difference(void **state)
{
	static const struct try list[] = {
		{ SYS_ioctl, { 0, TIOCSTI, 0 }, EPERM },
		{ SYS_ioctl, { 0, TIOCLINUX, 0 }, EPERM },
		{ SYS_ioctl, { 0, (long)(0xffffffff00000000ul | TIOCSTI), 0 }, EPERM },
		{ SYS_ioctl, { 0, TCGETS, 0 }, -1 },
		{ SYS_prctl, { PR_SET_MM, 1 }, EPERM },
		{ SYS_prctl, { PR_GET_DUMPABLE }, -1 },
		{ SYS_execveat, { -1, 0, 0, 0, AT_EMPTY_PATH }, EPERM },
		{ SYS_execveat, { -1, 0, 0, 0, 0 }, -1 },
		{ SYS_sendmsg, { -1, 0, MSG_FASTOPEN }, EOPNOTSUPP },
		{ SYS_seccomp, { SECCOMP_SET_MODE_FILTER, 0, 0 }, EPERM },
		{ SYS_prctl, { PR_SET_SECCOMP, SECCOMP_MODE_FILTER, 0 }, EPERM },
	};

	(void)state;
	assert_int_equal(tried(&usual, list, ARRAY_SIZE(list)), 0);
}

/* seccomp compares 64 bits where the kernel takes an int: what stands above it is no other number. */
#define ABOVE(v) ((long)(0x100000000ul | (v)))

static void the_upper_half_of_an_int_makes_no_difference(void **state)
{
	static const struct try list[] = {
		{ SYS_prctl, { ABOVE(PR_SET_MM), 1 }, EPERM },
		{ SYS_prctl, { ABOVE(PR_SET_SECCOMP), SECCOMP_MODE_FILTER, 0 }, EPERM },
		{ SYS_seccomp, { ABOVE(SECCOMP_SET_MODE_FILTER), 0, 0 }, EPERM },
		{ SYS_prctl, { ABOVE(PR_GET_DUMPABLE) }, -1 },
		{ SYS_execveat, { -1, 0, 0, 0, ABOVE(AT_EMPTY_PATH) }, EPERM },
		{ SYS_sendmsg, { -1, 0, ABOVE(MSG_FASTOPEN) }, EOPNOTSUPP },
		{ SYS_socket, { ABOVE(AF_UNIX), SOCK_DGRAM, 0 }, ENOSYS },
		{ SYS_socket, { ABOVE(AF_PACKET), SOCK_RAW, 0 }, ENOSYS },
		{ SYS_socket, { AF_INET, ABOVE(SOCK_RAW), 0 }, ENOSYS },
		{ SYS_socket, { AF_INET, SOCK_STREAM, ABOVE(132) }, ENOSYS },
		{ SYS_socketpair, { ABOVE(AF_UNIX), SOCK_DGRAM, 0 }, ENOSYS },
		{ SYS_socketpair, { AF_UNIX, ABOVE(SOCK_DGRAM), 0 }, ENOSYS },
	};

	(void)state;
	assert_int_equal(tried(&usual, list, ARRAY_SIZE(list)), 0);
	assert_int_equal(tried(&traced, list, ARRAY_SIZE(list)), 0);
}

static void namespaces_need_the_policys_word(void **state)
{
	static const struct try refused[] = {
		{ SYS_unshare, { CLONE_NEWUSER }, EPERM },
		{ SYS_unshare, { CLONE_NEWNS }, EPERM },
		{ SYS_unshare, { CLONE_NEWNET | CLONE_FS }, EPERM },
		{ SYS_unshare, { CLONE_NEWTIME }, EPERM },
		{ SYS_unshare, { CLONE_FS }, 0 },
		{ SYS_clone, { CLONE_NEWUSER | SIGCHLD }, EPERM },
		{ SYS_clone, { CLONE_NEWPID | SIGCHLD }, EPERM },
	};
	static const struct try allowed[] = {
		{ SYS_unshare, { CLONE_NEWUSER }, -1 },
		{ SYS_seccomp, { SECCOMP_SET_MODE_FILTER, 0, 0 }, -1 },
		{ SYS_mount, { 0 }, -1 },
		{ SYS_keyctl, { 0 }, EPERM },
		{ SYS_io_uring_setup, { 1 }, ENOSYS },
	};

	(void)state;
	assert_int_equal(tried(&usual, refused, ARRAY_SIZE(refused)), 0);
	/* Where the test itself may not, EPERM is the kernel's: only as root is this certain. */
	if (getuid() == 0)
		assert_int_equal(tried(&nesting, allowed, ARRAY_SIZE(allowed)), 0);
}

static void ordinary_calls_pass(void **state)
{
	static const struct try list[] = {
		{ SYS_getpid, { 0 }, 0 },
		{ SYS_socket, { AF_UNIX, SOCK_STREAM, 0 }, 0 },
		{ SYS_socket, { AF_INET, SOCK_STREAM, 0 }, 0 },
		{ SYS_socket, { AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 6 }, -1 },
		{ SYS_memfd_create, { (long)"x", 0 }, 0 },
		{ SYS_pidfd_open, { 1, 0 }, -1 },
		/* A pair: nowhere to put it, but nobody is asked. */
		{ SYS_socketpair, { AF_UNIX, SOCK_STREAM, 0, 0 }, EFAULT },
	};

	(void)state;
	assert_int_equal(tried(&usual, list, ARRAY_SIZE(list)), 0);
}

/* Without a listener a notification is ENOSYS, and a stop without a tracer: that is how it shows here. */
static void what_the_supervisor_answers_is_notified(void **state)
{
	static const struct try list[] = {
		{ SYS_connect, { -1, 0, 0 }, ENOSYS },
		{ SYS_getpeername, { -1, 0, 0 }, ENOSYS },
		{ SYS_sendto, { -1, 0, 0, 0, 1, 16 }, ENOSYS },
		{ SYS_sendto, { -1, 0, 0, 0, 0, 0 }, EBADF },
		{ SYS_socket, { AF_PACKET, SOCK_RAW, 0 }, ENOSYS },
		{ SYS_socket, { AF_INET, SOCK_RAW, 1 }, ENOSYS },
		{ SYS_socket, { AF_INET, SOCK_DGRAM, 1 }, ENOSYS },
		{ SYS_socket, { AF_INET, SOCK_STREAM, 132 }, ENOSYS },
		{ SYS_socket, { AF_NETLINK, SOCK_RAW, 4 }, ENOSYS },
		{ SYS_socket, { 38, SOCK_SEQPACKET, 0 }, ENOSYS },
		{ SYS_socket, { 40, SOCK_STREAM, 0 }, ENOSYS },
		{ SYS_socketpair, { AF_UNIX, SOCK_DGRAM, 0 }, ENOSYS },
		{ SYS_socketpair, { AF_TIPC, SOCK_SEQPACKET, 0 }, ENOSYS },
		{ SYS_socketpair, { AF_ALG, SOCK_SEQPACKET, 0 }, ENOSYS },
	};

	(void)state;
	assert_int_equal(tried(&usual, list, ARRAY_SIZE(list)), 0);
	assert_int_equal(tried(&traced, list, ARRAY_SIZE(list)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_reaches_other_processes_and_the_kernel_is_refused),
		cmocka_unit_test(what_has_a_fallback_does_not_exist),
		cmocka_unit_test(calls_nobody_has_looked_at_do_not_exist),
		cmocka_unit_test(one_argument_makes_the_difference),
		cmocka_unit_test(the_upper_half_of_an_int_makes_no_difference),
		cmocka_unit_test(namespaces_need_the_policys_word),
		cmocka_unit_test(ordinary_calls_pass),
		cmocka_unit_test(what_the_supervisor_answers_is_notified),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
