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

static struct program {
	void *code;
	size_t len;
} programs[2][2], /* nesting, traced */
	asking, asking_traced;

enum { PASS = SECCOMP_RET_ALLOW, ASK = SECCOMP_RET_USER_NOTIF, STOP = SECCOMP_RET_TRACE };
#define REFUSE(e) (SECCOMP_RET_ERRNO | (e))

static uint32_t judge_with(const struct program *p, uint32_t arch, int nr, const uint64_t *args)
{
	struct seccomp_data d = { .nr = nr, .arch = arch };

	memcpy(d.args, args, sizeof(d.args));
	return interpret(p->code, p->len / sizeof(struct sock_filter), &d);
}

static uint32_t judge(bool is_nesting, uint32_t arch, int nr, const uint64_t *args)
{
	return judge_with(&programs[is_nesting][false], arch, nr, args);
}

static const struct call {
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
	/* What the kernel refuses an ordinary user here, or loads no module for there, is asked about all the same. */
	{ SYS_socket, { AF_INET, SOCK_DCCP, 0 }, ASK },
	{ SYS_socket, { AF_INET, SOCK_STREAM, 12 }, ASK },
	{ SYS_socket, { AF_INET6, SOCK_RAW, 0 }, ASK },
	{ SYS_socket, { AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6 }, ASK },
	{ SYS_socket, { AF_INET6, SOCK_STREAM, IPPROTO_SCTP }, ASK },
	{ SYS_socketpair, { AF_UNSPEC, SOCK_STREAM, 0 }, ASK },
	{ SYS_socketpair, { 30, SOCK_STREAM, 0 }, ASK }, /* tipc */
	{ SYS_socket, { AF_NETLINK, SOCK_RAW, 1 }, ASK },
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

/* The whole list, written a second time: who takes a call out of the filter takes it out here, too. */
static const int kernel[] = { SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_pidfd_getfd,
	SYS_process_madvise, SYS_kcmp, SYS_open_by_handle_at, SYS_name_to_handle_at, SYS_keyctl, SYS_add_key,
	SYS_request_key, SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_kexec_load, SYS_kexec_file_load,
	SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_quotactl, SYS_quotactl_fd, SYS_swapon, SYS_swapoff,
	SYS_reboot, SYS_acct, SYS_syslog, SYS_lookup_dcookie, SYS_vhangup, SYS_iopl, SYS_ioperm, SYS_settimeofday,
	SYS_clock_settime, SYS_adjtimex, SYS_clock_adjtime, SYS_nfsservctl, SYS_fanotify_init, SYS_move_pages,
	SYS_migrate_pages, SYS_modify_ldt };
/* And what a program needs that is allowed to sandbox itself. */
static const int nested[] = { SYS_mount, SYS_umount2, SYS_pivot_root, SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_fspick,
	SYS_move_mount, SYS_open_tree, SYS_mount_setattr, SYS_chroot, SYS_setns };

static void are_all(bool is_nesting, const int *list, size_t n, uint32_t want)
{
	const uint64_t none[6] = { 0 };

	for (size_t i = 0; i < n; i++) {
		uint32_t got = judge(is_nesting, AUDIT_ARCH_X86_64, list[i], none);

		if (got != want)
			fail_msg("system call %d: %#x, not %#x", list[i], got, want);
	}
}

static void what_no_workload_needs_is_refused(void **state)
{
	(void)state;
	are_all(false, kernel, ARRAY_SIZE(kernel), REFUSE(EPERM));
	are_all(true, kernel, ARRAY_SIZE(kernel), REFUSE(EPERM));
	are_all(false, nested, ARRAY_SIZE(nested), REFUSE(EPERM));
	are_all(true, nested, ARRAY_SIZE(nested), PASS);
}

static void no_kind_of_namespace_is_made(void **state)
{
	static const uint64_t kinds[] = { CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER,
		CLONE_NEWPID, CLONE_NEWNET, 0x80 /* CLONE_NEWTIME, which clone(2) has no room for */ };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const uint64_t args[6] = { kinds[i] | CLONE_FS };

		assert_int_equal(judge(false, AUDIT_ARCH_X86_64, SYS_unshare, args), REFUSE(EPERM));
		assert_int_equal(judge(true, AUDIT_ARCH_X86_64, SYS_unshare, args), PASS);
		if (kinds[i] != 0x80)
			assert_int_equal(judge(false, AUDIT_ARCH_X86_64, SYS_clone, args), REFUSE(EPERM));
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

/* Every call of the table, in both programs: where one notifies the other stops, and that is all. */
static void a_traced_program_stops_where_the_other_notifies(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (int n = 0; n < 2; n++) {
			uint32_t usual = judge_with(&programs[n][0], AUDIT_ARCH_X86_64, cases[i].nr, cases[i].args);
			uint32_t got = judge_with(&programs[n][1], AUDIT_ARCH_X86_64, cases[i].nr, cases[i].args);

			if (got != (usual == ASK ? (uint32_t)STOP : usual))
				fail_msg("case %zu: system call %d: %#x and %#x", i, cases[i].nr, usual, got);
		}
	}
}

static void nothing_gets_away_from_a_tracer(void **state)
{
	const uint64_t untraced[6] = { CLONE_UNTRACED | 17 }, thread[6] = { CLONE_VM | CLONE_THREAD };
	const uint64_t listens[6] = { SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER | 1 };
	const uint64_t installs[6] = { SECCOMP_SET_MODE_FILTER, 1 };

	(void)state;
	for (int n = 0; n < 2; n++) {
		const struct program *p = &programs[n][1];

		assert_int_equal(judge_with(p, AUDIT_ARCH_X86_64, SYS_clone, untraced), REFUSE(EPERM));
		assert_int_equal(judge_with(p, AUDIT_ARCH_X86_64, SYS_clone, thread), PASS);
		assert_int_equal(judge_with(p, AUDIT_ARCH_I386, 102, untraced), REFUSE(ENOSYS));
	}
	assert_int_equal(judge_with(&programs[0][1], AUDIT_ARCH_X86_64, SYS_seccomp, listens), REFUSE(EPERM));
	assert_int_equal(judge_with(&programs[1][1], AUDIT_ARCH_X86_64, SYS_seccomp, listens), REFUSE(EBUSY));
	assert_int_equal(judge_with(&programs[1][1], AUDIT_ARCH_X86_64, SYS_seccomp, installs), PASS);
	assert_int_equal(judge(false, AUDIT_ARCH_X86_64, SYS_clone, untraced), PASS);
}

/* Of the calls that reach files by name only those are asked about that write. */
static const struct call writes[] = {
	{ SYS_openat, { 3, 0x1000, O_RDONLY | O_CLOEXEC }, PASS },
	{ SYS_openat, { 3, 0x1000, O_RDONLY | O_DIRECTORY | O_NOFOLLOW }, PASS },
	{ SYS_openat, { 3, 0x1000, O_PATH }, PASS },
	{ SYS_openat, { 3, 0x1000, O_WRONLY }, ASK },
	{ SYS_openat, { 3, 0x1000, O_RDWR | O_CLOEXEC }, ASK },
	{ SYS_openat, { 3, 0x1000, O_WRONLY | O_CREAT | O_TRUNC, 0666 }, ASK },
	{ SYS_openat, { 3, 0x1000, O_WRONLY | O_CREAT | O_EXCL, 0666 }, PASS },
	{ SYS_openat, { 3, 0x1000, O_WRONLY | O_CREAT | O_EXCL, 0755 }, ASK },
	{ SYS_openat, { 3, 0x1000, O_RDONLY | O_TRUNC }, ASK },
	{ SYS_open, { 0x1000, O_RDONLY }, PASS },
	{ SYS_open, { 0x1000, O_WRONLY | O_APPEND | O_CREAT, 0666 }, ASK },
	{ SYS_rename, { 0x1000, 0x2000 }, ASK },
	{ SYS_renameat2, { 3, 0x1000, 3, 0x2000, 1 }, ASK },
	{ SYS_unlinkat, { (uint64_t)AT_FDCWD, 0x1000, 0 }, ASK },
	{ SYS_unlinkat, { (uint32_t)AT_FDCWD, 0x1000, 0 }, ASK },
	{ SYS_unlinkat, { 3, 0x1000, 0 }, PASS },
	{ SYS_link, { 0x1000, 0x2000 }, PASS },
	{ SYS_newfstatat, { 3, 0x1000 }, PASS },
	{ 452 /* fchmodat2 */, { 3, 0x1000, 0777 }, ASK },
	{ SYS_chmod, { 0x1000, 0777 }, ASK },
	{ SYS_fchmodat, { 3, 0x1000, 0777 }, ASK },
	{ SYS_creat, { 0x1000, 0666 }, ASK },
	{ SYS_openat2, { 3, 0x1000, 0x2000, 24 }, ASK },
	{ SYS_truncate, { 0x1000, 0 }, ASK },
	{ SYS_renameat, { 3, 0x1000, 3, 0x2000 }, ASK },
	{ SYS_symlink, { 0x1000, 0x2000 }, ASK },
	{ SYS_symlinkat, { 0x1000, 3, 0x2000 }, ASK },
	{ SYS_mkdir, { 0x1000, 0777 }, ASK },
	{ SYS_mkdirat, { 3, 0x1000, 0777 }, ASK },
	{ SYS_mknod, { 0x1000, 0666 }, ASK },
	{ SYS_mknodat, { 3, 0x1000, 0666 }, ASK },
	{ SYS_connect, { 3 }, ASK },
};

static void writes_by_name_are_asked_about_where_that_is_wanted(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(writes); i++) {
		uint32_t want = writes[i].want;
		uint32_t stop = judge_with(&asking_traced, AUDIT_ARCH_X86_64, writes[i].nr, writes[i].args);
		uint32_t got = judge_with(&asking, AUDIT_ARCH_X86_64, writes[i].nr, writes[i].args);

		if (got != writes[i].want)
			fail_msg("case %zu: system call %d: %#x, not %#x", i, writes[i].nr, got,
				writes[i].want);
		assert_int_equal(stop, want == ASK ? (uint32_t)STOP : want);
		if (writes[i].nr != SYS_connect)
			assert_int_equal(
				judge(false, AUDIT_ARCH_X86_64, writes[i].nr, writes[i].args), PASS);
	}
}

static int set_up(void **state)
{
	const struct filter_options writing = { .asks_writes = true },
				    traced = { .asks_writes = true, .is_traced = true };

	(void)state;
	for (int i = 0; i < 4; i++) {
		const struct filter_options o = { .allow_user_namespaces = i & 1, .is_traced = i & 2 };
		struct program *p = &programs[o.allow_user_namespaces][o.is_traced];

		if (filter_build(&o, &p->code, &p->len) < 0)
			return -1;
	}
	return filter_build(&writing, &asking.code, &asking.len) ||
	       filter_build(&traced, &asking_traced.code, &asking_traced.len);
}

static int tear_down(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++)
		free(programs[i & 1][i >> 1].code);
	free(asking.code);
	free(asking_traced.code);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_call_gets_its_answer),
		cmocka_unit_test(what_no_workload_needs_is_refused),
		cmocka_unit_test(no_kind_of_namespace_is_made),
		cmocka_unit_test(a_foreign_abi_does_not_exist),
		cmocka_unit_test(nesting_opens_namespaces_and_nothing_else),
		cmocka_unit_test(a_traced_program_stops_where_the_other_notifies),
		cmocka_unit_test(nothing_gets_away_from_a_tracer),
		cmocka_unit_test(writes_by_name_are_asked_about_where_that_is_wanted),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
