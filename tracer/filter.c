/*
 * Four answers, in this order of thought:
 *
 *  - ENOSYS for what programs probe and have a fallback for: io_uring (it performs system calls
 *    that seccomp never sees), clone3 (its flags are behind a pointer; libc falls back to clone),
 *    and every foreign ABI (i386, x32), whose numbers would mean something else here.
 *  - EPERM for what no workload needs and what would reach other processes, the kernel's rarer
 *    corners or a namespace of one's own. This is upstream's list with compat.md's additions.
 *  - Notification for connect and its kin, and for sockets of families that are refused, so that
 *    the refusal can be logged. Where there are protected paths also for calls that may write to a
 *    path, which all go on.
 *    For a sandbox that is traced the same calls stop for the tracer, but for those that write;
 *    without one they are ENOSYS. In a cooperative one nobody is asked: the calls pass, the
 *    sockets are refused at once.
 *  - Everything else passes: the network namespace holds nothing but loopback, the mounts hold
 *    nothing but what was granted.
 */
#include "tracer/filter.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/kernel.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

/* seccomp(2) compares 64 bits where the kernel takes an int and ignores the upper half of the register. */
#define IS_INT SCMP_CMP_MASKED_EQ, (uint64_t)UINT32_MAX

#define CLONE_NEW_ANY                                                                              \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
		CLONE_NEWPID | CLONE_NEWNET)

static const int refused[] = {
	/* other processes */
	SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev),
	SCMP_SYS(pidfd_getfd), SCMP_SYS(process_madvise), SCMP_SYS(kcmp),
	/* mounts */
	SCMP_SYS(mount), SCMP_SYS(umount), SCMP_SYS(umount2), SCMP_SYS(pivot_root),
	SCMP_SYS(fsopen), SCMP_SYS(fsconfig), SCMP_SYS(fsmount), SCMP_SYS(fspick),
	SCMP_SYS(move_mount), SCMP_SYS(open_tree), SCMP_SYS(mount_setattr), SCMP_SYS(chroot),
	SCMP_SYS(setns), SCMP_SYS(open_by_handle_at), SCMP_SYS(name_to_handle_at),
	/* keyrings cross namespaces */
	SCMP_SYS(keyctl), SCMP_SYS(add_key), SCMP_SYS(request_key),
	/* kernel surface */
	SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd), SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load), SCMP_SYS(init_module), SCMP_SYS(finit_module),
	SCMP_SYS(delete_module), SCMP_SYS(quotactl), SCMP_SYS(quotactl_fd), SCMP_SYS(swapon),
	SCMP_SYS(swapoff), SCMP_SYS(reboot), SCMP_SYS(acct), SCMP_SYS(syslog), SCMP_SYS(lookup_dcookie),
	SCMP_SYS(vhangup), SCMP_SYS(iopl), SCMP_SYS(ioperm), SCMP_SYS(settimeofday),
	SCMP_SYS(clock_settime), SCMP_SYS(adjtimex), SCMP_SYS(clock_adjtime), SCMP_SYS(nfsservctl),
	SCMP_SYS(fanotify_init), SCMP_SYS(move_pages), SCMP_SYS(migrate_pages), SCMP_SYS(modify_ldt),
};

/* Refused unless the policy lets programs sandbox themselves. */
static const int nesting[] = {
	SCMP_SYS(mount), SCMP_SYS(umount), SCMP_SYS(umount2), SCMP_SYS(pivot_root),
	SCMP_SYS(move_mount), SCMP_SYS(open_tree), SCMP_SYS(mount_setattr), SCMP_SYS(chroot),
	SCMP_SYS(fsopen), SCMP_SYS(fsconfig), SCMP_SYS(fsmount), SCMP_SYS(fspick), SCMP_SYS(setns),
};

static const int absent[] = {
	SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register),
	SCMP_SYS(clone3),
};

static const int notified[] = { SCMP_SYS(connect), SCMP_SYS(getpeername) };

static bool is_nesting(int nr)
{
	for (size_t i = 0; i < ARRAY_SIZE(nesting); i++)
		if (nesting[i] == nr)
			return true;
	return false;
}

/* How the supervisor comes to be asked; and where it cannot be. */
static uint32_t ask(const struct filter_options *o)
{
	if (o->is_cooperative)
		return SCMP_ACT_ALLOW;
	return o->is_traced ? SCMP_ACT_TRACE(0) : SCMP_ACT_NOTIFY;
}

/* A socket that is refused: by the supervisor, who logs it, or at once. */
static uint32_t ask_or_refuse(const struct filter_options *o, int errnum)
{
	return o->is_cooperative ? SCMP_ACT_ERRNO((uint32_t)errnum) : ask(o);
}

static int add(scmp_filter_ctx ctx, uint32_t action, int nr, unsigned int n,
	const struct scmp_arg_cmp *cmp)
{
	int r;

	/* What passes needs no rule. */
	if (action == SCMP_ACT_ALLOW)
		return 0;
	r = seccomp_rule_add_array(ctx, action, nr, n, cmp);
	/* A call this architecture does not have needs no rule. */
	return r == -EDOM || r == -EOPNOTSUPP ? 0 : r;
}

static int add_refused(scmp_filter_ctx ctx, const struct filter_options *o)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(refused) && r == 0; i++)
		if (!o->allow_user_namespaces || !is_nesting(refused[i]))
			r = add(ctx, SCMP_ACT_ERRNO(EPERM), refused[i], 0, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(absent) && r == 0; i++)
		r = add(ctx, SCMP_ACT_ERRNO(ENOSYS), absent[i], 0, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(notified) && r == 0; i++)
		r = add(ctx, ask(o), notified[i], 0, NULL);
	return r;
}

/* Any of the flags in @mask, one rule a bit: seccomp compares, it does not intersect. */
static int add_any_flag(scmp_filter_ctx ctx, uint32_t action, int nr, unsigned int arg,
	uint64_t mask)
{
	int r = 0;

	for (uint64_t bit = 1; bit && bit <= mask && r == 0; bit <<= 1) {
		struct scmp_arg_cmp cmp = SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, bit, bit);

		if (mask & bit)
			r = add(ctx, action, nr, 1, &cmp);
	}
	return r;
}

static int add_namespaces(scmp_filter_ctx ctx, const struct filter_options *o)
{
	struct scmp_arg_cmp set_filter = SCMP_A0(IS_INT, SECCOMP_SET_MODE_FILTER);
	struct scmp_arg_cmp prctl_filter = SCMP_A0(IS_INT, PR_SET_SECCOMP);
	int r;

	if (o->allow_user_namespaces)
		return 0;
	r = add_any_flag(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(unshare), 0,
		CLONE_NEW_ANY | CLONE_NEWTIME);
	if (r == 0)
		r = add_any_flag(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 0, CLONE_NEW_ANY);
	if (r == 0)
		r = add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(seccomp), 1, &set_filter);
	if (r == 0)
		r = add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prctl), 1, &prctl_filter);
	return r;
}

/*
 * What a tracer needs that a listener does not. No child begins life untraced. And of several filters'
 * answers a notification goes before a stop, so there must be no listener of the workload's own: it is
 * told what it would be told if ours were one.
 */
static int add_traced(scmp_filter_ctx ctx, const struct filter_options *o)
{
	const struct scmp_arg_cmp listens = SCMP_A1(SCMP_CMP_MASKED_EQ,
		SECCOMP_FILTER_FLAG_NEW_LISTENER, SECCOMP_FILTER_FLAG_NEW_LISTENER);
	int r;

	if (!o->is_traced)
		return 0;
	r = add_any_flag(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 0, CLONE_UNTRACED);
	/* Otherwise seccomp(2) installs no filter at all. */
	if (r == 0 && o->allow_user_namespaces)
		r = add(ctx, SCMP_ACT_ERRNO(EBUSY), SCMP_SYS(seccomp), 1, &listens);
	return r;
}

/* Single calls that one argument makes dangerous. */
static int add_arguments(scmp_filter_ctx ctx)
{
	const struct {
		int nr;
		struct scmp_arg_cmp cmp;
	} rules[] = {
		{ SCMP_SYS(ioctl), SCMP_A1(IS_INT, TIOCSTI) },
		{ SCMP_SYS(ioctl), SCMP_A1(IS_INT, TIOCLINUX) },
		{ SCMP_SYS(prctl), SCMP_A0(IS_INT, PR_SET_MM) },
		{ SCMP_SYS(execveat), SCMP_A4(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH) },
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rules) && r == 0; i++)
		r = add(ctx, SCMP_ACT_ERRNO(EPERM), rules[i].nr, 1, &rules[i].cmp);
	return r;
}

/* sendto with an address, messages, and the fast-open flag that makes a send connect. */
static int add_sends(scmp_filter_ctx ctx, const struct filter_options *o)
{
	const struct scmp_arg_cmp has_addr = SCMP_A4(SCMP_CMP_NE, 0);
	const struct scmp_arg_cmp opens[] = {
		SCMP_A2(SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, MSG_FASTOPEN),
		SCMP_A3(SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, MSG_FASTOPEN),
	};
	const struct scmp_arg_cmp sends[] = {
		SCMP_A2(SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, 0),
		SCMP_A3(SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, 0),
	};
	int r;

	r = add(ctx, ask(o), SCMP_SYS(sendto), 1, &has_addr);
	if (r == 0)
		r = add(ctx, SCMP_ACT_ERRNO(EOPNOTSUPP), SCMP_SYS(sendmsg), 1, &opens[0]);
	if (r == 0)
		r = add(ctx, ask(o), SCMP_SYS(sendmsg), 1, &sends[0]);
	if (r == 0)
		r = add(ctx, SCMP_ACT_ERRNO(EOPNOTSUPP), SCMP_SYS(sendmmsg), 1, &opens[1]);
	if (r == 0)
		r = add(ctx, ask(o), SCMP_SYS(sendmmsg), 1, &sends[1]);
	return r;
}

/*
 * Sockets. What every program makes passes without a detour: AF_UNIX but for datagrams, netlink's route
 * family, and streams and datagrams of IPv4 and IPv6 with protocol 0 or TCP. The rest is notified:
 * socket_handle() lets explicit UDP and MPTCP go on (all arguments are numbers, nothing can be
 * exchanged behind the answer) and refuses the others, so that the attempt is in the log.
 */
static int add_socket_families(scmp_filter_ctx ctx, const struct filter_options *o)
{
	struct scmp_arg_cmp above = SCMP_A0(SCMP_CMP_GT, AF_NETLINK);
	int r = add(ctx, ask_or_refuse(o, EAFNOSUPPORT), SCMP_SYS(socket), 1, &above);

	for (unsigned int f = 0; f < AF_NETLINK && r == 0; f++) {
		struct scmp_arg_cmp is = SCMP_A0(SCMP_CMP_EQ, f);

		if (f != AF_UNIX && f != AF_INET && f != AF_INET6)
			r = add(ctx, ask_or_refuse(o, EAFNOSUPPORT), SCMP_SYS(socket), 1, &is);
	}
	return r;
}

static int add_inet_family(scmp_filter_ctx ctx, const struct filter_options *o,
	unsigned int family)
{
	static const unsigned int types[] = { 0, SOCK_RAW, SOCK_RDM, SOCK_SEQPACKET, SOCK_DCCP,
		SOCK_PACKET };
	struct scmp_arg_cmp cmp[2] = { SCMP_A0(SCMP_CMP_EQ, family),
		SCMP_A2(SCMP_CMP_GT, IPPROTO_TCP) };
	int r = add(ctx, ask(o), SCMP_SYS(socket), 2, cmp);

	for (unsigned int proto = 1; proto < IPPROTO_TCP && r == 0; proto++) {
		cmp[1] = (struct scmp_arg_cmp)SCMP_A2(SCMP_CMP_EQ, proto);
		r = add(ctx, ask_or_refuse(o, EPROTONOSUPPORT), SCMP_SYS(socket), 2, cmp);
	}
	for (size_t i = 0; i < ARRAY_SIZE(types) && r == 0; i++) {
		cmp[1] = (struct scmp_arg_cmp)SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, types[i]);
		r = add(ctx, ask_or_refuse(o, EPERM), SCMP_SYS(socket), 2, cmp);
	}
	return r;
}

/*
 * Datagrams of AF_UNIX (SOCK_RAW is another word for it there): the supervisor has to know that there
 * are some (dgramgate.h). Pairs of another family are made by TIPC alone, but every family's module
 * would be loaded to find that out; and a word that is AF_UNIX only to the kernel is looked at.
 */
static int add_unix_datagrams(scmp_filter_ctx ctx, const struct filter_options *o)
{
	static const unsigned int types[] = { SOCK_DGRAM, SOCK_RAW };
	const struct scmp_arg_cmp other = SCMP_A0(SCMP_CMP_NE, AF_UNIX);
	int r = add(ctx, ask_or_refuse(o, EAFNOSUPPORT), SCMP_SYS(socketpair), 1, &other);

	for (size_t i = 0; i < ARRAY_SIZE(types) && r == 0; i++) {
		struct scmp_arg_cmp cmp[2] = { SCMP_A0(SCMP_CMP_EQ, AF_UNIX),
			SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, types[i]) };

		r = add(ctx, ask(o), SCMP_SYS(socket), 2, cmp);
		if (r == 0)
			r = add(ctx, ask(o), SCMP_SYS(socketpair), 2, cmp);
	}
	return r;
}

static int add_sockets(scmp_filter_ctx ctx, const struct filter_options *o)
{
	struct scmp_arg_cmp netlink[2] = { SCMP_A0(SCMP_CMP_EQ, AF_NETLINK),
		SCMP_A2(SCMP_CMP_NE, NETLINK_ROUTE) };
	int r = add_socket_families(ctx, o);

	if (r == 0)
		r = add_inet_family(ctx, o, AF_INET);
	if (r == 0)
		r = add_inet_family(ctx, o, AF_INET6);
	if (r == 0)
		r = add(ctx, ask_or_refuse(o, EPROTONOSUPPORT), SCMP_SYS(socket), 2, netlink);
	if (r == 0)
		r = add_unix_datagrams(ctx, o);
	return r;
}

/*
 * Calls that may write to a path, so that what a protected one refuses is in the log (fsnote.c has
 * what is left out, and why). Opening for reading is not among them: the flags are numbers. A new
 * file (O_EXCL) counts if it will be executable, a removal if it names its path alone (rm FILE, not
 * rm -r).
 */
static int add_opens(scmp_filter_ctx ctx, const struct filter_options *o, int nr, unsigned int flags)
{
	static const unsigned int bits[] = { O_WRONLY, O_RDWR, O_CREAT, O_TRUNC };
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(bits) && r == 0; i++) {
		struct scmp_arg_cmp opens = SCMP_CMP(flags, SCMP_CMP_MASKED_EQ, bits[i] | O_EXCL, bits[i]);

		r = add(ctx, ask(o), nr, 1, &opens);
	}
	for (unsigned int x = S_IXOTH; x <= S_IXUSR && r == 0; x <<= 3) {
		struct scmp_arg_cmp makes[2] = {
			SCMP_CMP(flags, SCMP_CMP_MASKED_EQ, O_CREAT | O_EXCL, O_CREAT | O_EXCL),
			SCMP_CMP(flags + 1, SCMP_CMP_MASKED_EQ, x, x) };

		r = add(ctx, ask(o), nr, 2, makes);
	}
	return r;
}

static int add_writes(scmp_filter_ctx ctx, const struct filter_options *o)
{
	static const int whole[] = { SCMP_SYS(creat), SCMP_SYS(openat2), SCMP_SYS(truncate),
		SCMP_SYS(chmod), SCMP_SYS(fchmodat), SYS_fchmodat2, SCMP_SYS(rename),
		SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(symlink), SCMP_SYS(symlinkat),
		SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(mknod), SCMP_SYS(mknodat) };
	const struct scmp_arg_cmp by_path =
		SCMP_A0(IS_INT, (uint32_t)AT_FDCWD);
	int r = 0;

	if (!o->asks_writes)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(whole) && r == 0; i++)
		r = add(ctx, ask(o), whole[i], 0, NULL);
	if (r == 0)
		r = add(ctx, ask(o), SCMP_SYS(unlinkat), 1, &by_path);
	if (r == 0)
		r = add_opens(ctx, o, SCMP_SYS(open), 1);
	return r < 0 ? r : add_opens(ctx, o, SCMP_SYS(openat), 2);
}

static int add_everything(scmp_filter_ctx ctx, const struct filter_options *o)
{
	int r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));

	/* A binary tree over the numbers: calls that pass are the common case. */
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (r == 0)
		r = add_refused(ctx, o);
	if (r == 0)
		r = add_namespaces(ctx, o);
	if (r == 0)
		r = add_traced(ctx, o);
	if (r == 0)
		r = add_arguments(ctx);
	if (r == 0)
		r = add_sends(ctx, o);
	if (r == 0)
		r = add_sockets(ctx, o);
	if (r == 0)
		r = add_writes(ctx, o);
	return r;
}

/*
 * libseccomp knows the calls of its own day; a kernel may have more, and nobody has looked at what
 * they reach (open_tree_attr in 6.15, say). They do not exist here.
 * x32 numbers lie above as well.
 */
static const struct sock_filter unknown_calls[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, FILTER_NR_REVIEWED, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
};

static int export(scmp_filter_ctx ctx, void **ret_code, size_t *ret_len)
{
	auto_close int fd = memfd_create("filter", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, unknown_calls, sizeof(unknown_calls));
	if (r == 0)
		r = seccomp_export_bpf(ctx, fd);
	if (r < 0)
		return r;
	return fd_slurp(fd, 65536 * sizeof(struct sock_filter), (char **)ret_code, ret_len);
}

int filter_build(const struct filter_options *o, void **ret_code, size_t *ret_len)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int r;

	if (!ctx)
		return -ENOMEM;
	r = add_everything(ctx, o);
	if (r == 0)
		r = export(ctx, ret_code, ret_len);
	seccomp_release(ctx);
	return r;
}
