/* What the seccomp program says, asked of an interpreter: also the calls that would be notified. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "lib/cleanup.h"
#include "tracer/filter.h"

/* What the kernel's interpreter does with the few instructions that libseccomp writes. */
static uint32_t interpret(const struct sock_filter *code, size_t n, const struct seccomp_data *d)
{
	uint32_t a = 0, k;

	for (size_t pc = 0; pc < n; pc++) {
		const struct sock_filter *i = &code[pc];

		k = i->k;
		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_true(k + 4 <= sizeof(*d));
			memcpy(&a, (const char *)d + k, 4);
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= k;
			break;
		case BPF_JMP | BPF_JA:
			pc += k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += a == k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			pc += a > k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			pc += a >= k ? i->jt : i->jf;
			break;
		case BPF_RET | BPF_K:
			return k;
		default:
			fail_msg("instruction %#x", i->code);
		}
	}
	fail_msg("ran off the end");
	return 0;
}

static struct {
	void *code;
	size_t len;
} usual, nesting;

enum { PASS = SECCOMP_RET_ALLOW, ASK = SECCOMP_RET_USER_NOTIF };
#define REFUSE(e) (SECCOMP_RET_ERRNO | (e))

static uint32_t judge(bool is_nesting, uint32_t arch, int nr, const uint64_t *args)
{
	struct seccomp_data d = { .nr = nr, .arch = arch };
	const void *code = is_nesting ? nesting.code : usual.code;
	size_t len = is_nesting ? nesting.len : usual.len;

	memcpy(d.args, args, sizeof(d.args));
	return interpret(code, len / sizeof(struct sock_filter), &d);
}

static const struct {
	int nr;
	uint64_t args[6];
	uint32_t want;
} cases[] = {
	{ SYS_read, { 0 }, PASS },
	{ SYS_connect, { 3, 0x1000, 16 }, ASK },
	{ SYS_getpeername, { 3 }, ASK },
	{ SYS_sendto, { 3, 0x1000, 5, 0, 0, 0 }, PASS },
	{ SYS_sendto, { 3, 0x1000, 5, 0, 0x2000, 16 }, ASK },
	{ SYS_sendto, { 3, 0x1000, 5, 0, 1ull << 40, 16 }, ASK },
	{ SYS_sendmsg, { 3, 0x1000, 0 }, ASK },
	{ SYS_sendmsg, { 3, 0x1000, MSG_NOSIGNAL }, ASK },
	{ SYS_sendmsg, { 3, 0x1000, MSG_FASTOPEN }, REFUSE(EOPNOTSUPP) },
	{ SYS_sendmmsg, { 3, 0x1000, 2, 0 }, ASK },
	{ SYS_sendmmsg, { 3, 0x1000, 2, MSG_FASTOPEN | MSG_NOSIGNAL }, REFUSE(EOPNOTSUPP) },
	{ SYS_socket, { AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0 }, PASS },
	{ SYS_socket, { AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0 }, ASK },
	{ SYS_socket, { AF_UNIX, SOCK_RAW, 0 }, ASK },
	{ SYS_socketpair, { AF_UNIX, SOCK_STREAM, 0 }, PASS },
	{ SYS_socketpair, { AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0 }, ASK },
	{ SYS_socket, { AF_INET, SOCK_STREAM, 0 }, PASS },
	{ SYS_socket, { AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_TCP }, PASS },
	{ SYS_socket, { AF_INET, SOCK_DGRAM, 0 }, PASS },
	{ SYS_socket, { AF_INET, SOCK_DGRAM, IPPROTO_ICMP }, ASK },
	{ SYS_socket, { AF_INET, SOCK_STREAM, IPPROTO_SCTP }, ASK },
	{ SYS_socket, { AF_INET, SOCK_STREAM, 262 }, ASK },
	{ SYS_socket, { AF_INET, SOCK_RAW, 0 }, ASK },
	{ SYS_socket, { AF_INET, SOCK_SEQPACKET, 0 }, ASK },
	{ SYS_socket, { AF_NETLINK, SOCK_RAW, 0 }, PASS },
	{ SYS_socket, { AF_NETLINK, SOCK_RAW, 12 }, ASK },
	{ SYS_socket, { AF_PACKET, SOCK_RAW, 0 }, ASK },
	{ SYS_socket, { 40, SOCK_STREAM, 0 }, ASK }, /* vsock */
	{ SYS_socket, { 38, SOCK_SEQPACKET, 0 }, ASK }, /* alg */
	{ SYS_io_uring_setup, { 8 }, REFUSE(ENOSYS) },
	{ SYS_clone3, { 0 }, REFUSE(ENOSYS) },
	{ SYS_clone, { 17 /* SIGCHLD */ }, PASS },
	{ SYS_clone, { CLONE_NEWUSER }, REFUSE(EPERM) },
	{ SYS_unshare, { CLONE_FILES }, PASS },
	{ SYS_unshare, { CLONE_NEWNET | CLONE_FS }, REFUSE(EPERM) },
	{ SYS_setns, { 3 }, REFUSE(EPERM) },
	{ SYS_ptrace, { 0 }, REFUSE(EPERM) },
	{ SYS_bpf, { 0 }, REFUSE(EPERM) },
	{ SYS_keyctl, { 0 }, REFUSE(EPERM) },
	{ SYS_mount, { 0 }, REFUSE(EPERM) },
	{ SYS_ioctl, { 0, TIOCGWINSZ }, PASS },
	{ SYS_ioctl, { 0, TIOCSTI }, REFUSE(EPERM) },
	{ SYS_ioctl, { 0, 1ull << 32 | TIOCSTI }, REFUSE(EPERM) },
	{ SYS_ioctl, { 0, TIOCLINUX }, REFUSE(EPERM) },
	{ SYS_prctl, { PR_SET_NAME }, PASS },
	{ SYS_prctl, { PR_SET_MM }, REFUSE(EPERM) },
	{ SYS_prctl, { PR_SET_SECCOMP }, REFUSE(EPERM) },
	{ SYS_seccomp, { SECCOMP_SET_MODE_FILTER }, REFUSE(EPERM) },
	{ SYS_execveat, { 3, 0x1000, 0, 0, 0 }, PASS },
	{ SYS_execveat, { 3, 0x1000, 0, 0, AT_EMPTY_PATH }, REFUSE(EPERM) },
};

static void each_call_gets_its_answer(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint32_t got = judge(false, AUDIT_ARCH_X86_64, cases[i].nr, cases[i].args);

		if (got != cases[i].want)
			fail_msg("case %zu: system call %d: %#x, not %#x", i, cases[i].nr, got,
				cases[i].want);
	}
}

static void a_foreign_abi_does_not_exist(void **state)
{
	const uint64_t none[6] = { 0 };

	(void)state;
	assert_int_equal(judge(false, AUDIT_ARCH_I386, 102, none), REFUSE(ENOSYS));
	assert_int_equal(judge(false, AUDIT_ARCH_I386, 3, none), REFUSE(ENOSYS));
	assert_int_equal(judge(false, AUDIT_ARCH_X86_64, 0x40000000 | SYS_connect, none), REFUSE(ENOSYS));
	assert_int_equal(judge(true, AUDIT_ARCH_X86_64, 0x40000000 | SYS_read, none), REFUSE(ENOSYS));
}

static void nesting_opens_namespaces_and_nothing_else(void **state)
{
	const uint64_t newuser[6] = { CLONE_NEWUSER }, none[6] = { 0 };

	(void)state;
	assert_int_equal(judge(true, AUDIT_ARCH_X86_64, SYS_unshare, newuser), PASS);
	assert_int_equal(judge(true, AUDIT_ARCH_X86_64, SYS_mount, none), PASS);
	assert_int_equal(judge(true, AUDIT_ARCH_X86_64, SYS_connect, none), ASK);
	assert_int_equal(judge(true, AUDIT_ARCH_X86_64, SYS_ptrace, none), REFUSE(EPERM));
	assert_int_equal(judge(true, AUDIT_ARCH_X86_64, SYS_io_uring_setup, none), REFUSE(ENOSYS));
}

static int set_up(void **state)
{
	const struct filter_options no = { 0 }, yes = { .allow_user_namespaces = true };

	(void)state;
	return filter_build(&no, &usual.code, &usual.len) || filter_build(&yes, &nesting.code, &nesting.len);
}

static int tear_down(void **state)
{
	(void)state;
	free(usual.code);
	free(nesting.code);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_call_gets_its_answer),
		cmocka_unit_test(a_foreign_abi_does_not_exist),
		cmocka_unit_test(nesting_opens_namespaces_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
