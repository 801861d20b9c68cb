#include "proxy/isolate.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/instrument.h"
#include "lib/kernel.h"
#include "proxy/peerfd.h"

#if defined(__x86_64__)
#define ISOLATE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ISOLATE_ARCH AUDIT_ARCH_AARCH64
#else
#error "state the audit architecture of this machine"
#endif

enum { NOFILE_WANTED = 65536 };

/* Should all connections use what they may at once, some fail and are closed; the host stays well. */
#define MEMORY_MAX (1024UL * 1024 * 1024)

#define ARG_LOW(n)  ((unsigned int)offsetof(struct seccomp_data, args[n]))
#define LOAD_NR	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define VERDICT(v)  BPF_STMT(BPF_RET | BPF_K, (v))
#define ALLOW(name)                                                                                \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##name, 0, 1), VERDICT(SECCOMP_RET_ALLOW)
/* Allowed unless one of @bits is set in argument @n: for PROT_EXEC. */
#define ALLOW_WITHOUT(name, n, bits)                                                               \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##name, 0, 4),                                    \
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARG_LOW(n)),                                    \
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (bits), 0, 1),                                \
		VERDICT(SECCOMP_RET_KILL_PROCESS), VERDICT(SECCOMP_RET_ALLOW)
/* Allowed when argument @n is @a or @b. */
#define ALLOW_EITHER(name, n, a, b)                                                                \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##name, 0, 5),                                    \
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARG_LOW(n)),                                    \
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (a), 2, 0),                                    \
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (b), 1, 0),                                    \
		VERDICT(SECCOMP_RET_KILL_PROCESS), VERDICT(SECCOMP_RET_ALLOW)

/*
 * Grouped by who needs them. The frequent ones come first: the filter runs on every call. It is
 * not stricter about socket types than the address family, because whoever can make this process
 * call socket() can also use the sockets it has.
 */
static const struct sock_filter filter[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ISOLATE_ARCH, 1, 0),
	VERDICT(SECCOMP_RET_KILL_PROCESS),
	LOAD_NR, /* that of an x32 call is in no list: it has a bit of its own */
	/* stream_*.c, relay.c, lib/log.c */
	ALLOW(recvfrom),
	ALLOW(sendto),
	ALLOW(write),
	ALLOW(read),
	ALLOW(splice),
	/* lib/loop.c */
#ifdef __NR_epoll_wait
	ALLOW(epoll_wait),
#endif
	ALLOW(epoll_pwait),
	ALLOW(epoll_ctl),
	ALLOW(clock_gettime),
	/* lib/msg.c */
	ALLOW(sendmsg),
	ALLOW(recvmsg),
	/* listener.c, dial.c, peerfd.c */
	ALLOW(accept4),
	ALLOW(close),
	ALLOW(connect),
	ALLOW_EITHER(socket, 0, AF_INET, AF_INET6),
	ALLOW(getsockopt),
	ALLOW(setsockopt),
	ALLOW(getsockname),
	ALLOW(getpeername),
	ALLOW(shutdown),
	ALLOW(pipe2),
	/* F_SETPIPE_SZ, F_SETFL and F_SETFD on descriptors we hold: nothing is opened by it. */
	ALLOW(fcntl),
	/* The allocator. W^X: no memory becomes executable any more. */
	ALLOW(brk),
	ALLOW_WITHOUT(mmap, 2, PROT_EXEC),
	ALLOW_WITHOUT(mprotect, 2, PROT_EXEC),
	ALLOW(munmap),
	ALLOW(mremap),
	ALLOW(madvise),
	/* ca.c, OpenSSL */
	ALLOW(getrandom),
	ALLOW(futex),
	ALLOW(sysinfo), /* glibc: qsort() asks how much memory there is */
	ALLOW(getpid),
	/* trust.c, folded log lines, long messages: files that were handed in as descriptors */
#ifdef __NR_newfstatat
	ALLOW(newfstatat),
#endif
	ALLOW(fstat),
	ALLOW(pread64),
	ALLOW(pwrite64),
	ALLOW(lseek),
#ifdef __SANITIZE_ADDRESS__
	ALLOW(sigaltstack), /* its runtime, before every call that does not return */
#endif
	/* Leaving, in order or by abort(). */
	ALLOW(rt_sigreturn),
	ALLOW(rt_sigprocmask),
	ALLOW(restart_syscall),
	ALLOW(gettid),
	ALLOW(tgkill),
	ALLOW(exit),
	ALLOW(exit_group),
	VERDICT(SECCOMP_RET_KILL_PROCESS),
};

static int limit_resources(void)
{
	const struct rlimit none = { 0, 0 };
	struct rlimit memory;

	if (setrlimit(RLIMIT_CORE, &none) < 0 || setrlimit(RLIMIT_NPROC, &none) < 0)
		return -errno;
	if (getrlimit(RLIMIT_DATA, &memory) < 0)
		return -errno;
	/* The caller may have set less (ulimit -d), and less it stays. */
	if (memory.rlim_max > MEMORY_MAX)
		memory.rlim_max = MEMORY_MAX;
	memory.rlim_cur = memory.rlim_max;
	/* A sanitizer's shadow memory alone is larger. */
	if (!IS_SANITIZED && setrlimit(RLIMIT_DATA, &memory) < 0)
		return -errno;
	return 0;
}

static int limit_files(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return -errno;
	files.rlim_cur = files.rlim_max < NOFILE_WANTED ? files.rlim_max : NOFILE_WANTED;
	peerfd_set_limit((int)files.rlim_cur);
	return setrlimit(RLIMIT_NOFILE, &files) < 0 ? -errno : 0;
}

static __u64 fs_rights(int abi)
{
	__u64 rights = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;

	if (abi >= 2)
		rights |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		rights |= LANDLOCK_ACCESS_FS_TRUNCATE;
	if (abi >= 5)
		rights |= LANDLOCK_ACCESS_FS_IOCTL_DEV;
	return rights;
}

/* Every right is handled and none is granted. Connecting stays free, binding does not. */
static int landlock_nothing(void)
{
	enum { NET_BIND_TCP = 1 };
	int abi = (int)syscall(__NR_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct kernel_landlock_attr attr = { .handled_access_fs = fs_rights(abi) };
	size_t size = sizeof(attr.handled_access_fs);
	auto_close int fd = -1;

	if (abi < 0)
		return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -errno;
	if (abi >= 4) {
		attr.handled_access_net = NET_BIND_TCP;
		size = offsetof(struct kernel_landlock_attr, scoped);
	}
	if (abi >= 6) {
		attr.scoped = LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET_ | LANDLOCK_SCOPE_SIGNAL_;
		size = sizeof(attr);
	}
	fd = (int)syscall(__NR_landlock_create_ruleset, &attr, size, 0);
	if (fd < 0)
		return -errno;
	return syscall(__NR_landlock_restrict_self, fd, 0) < 0 ? -errno : 0;
}

static int install_filter(void)
{
	const struct sock_fprog program = { .len = ARRAY_SIZE(filter),
		.filter = (struct sock_filter *)filter };

	return syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}

int isolate_final(struct err *err)
{
	int r = limit_files();

	if (r < 0)
		return err_set(err, r, "limit of descriptors: %s", err_name(r));
	if (instrument_stays_open())
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_set(err, -errno, "prctl: %s", err_name(-errno));
	r = limit_resources();
	if (r < 0)
		return err_set(err, r, "resource limits: %s", err_name(r));
	r = landlock_nothing();
	if (r < 0)
		return err_set(err, r, "Landlock: %s", err_name(r));
	r = install_filter();
	return r < 0 ? err_set(err, r, "seccomp filter: %s", err_name(r)) : 0;
}
