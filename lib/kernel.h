/*
 * Kernel interface newer than the headers we build with (Debian 12: Linux 6.1). Each constant
 * names the version that brought it; whether the running kernel has it is probed at run time.
 */
#pragma once

#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <sys/ioctl.h>

#include "lib/buf.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5) /* 5.19 */
#endif
#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0) /* 6.6 */
#endif
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS _IOW('!', 4, __u64) /* 6.6 */
#endif

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL /* 6.9 */
#endif
#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20 /* 5.12 */
#endif
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452 /* 6.6; the same on every architecture */
#endif

#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13) /* ABI 2, 5.19 */
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14) /* ABI 3, 6.2 */
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15) /* ABI 5, 6.10 */
#endif
#define LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET_ (1ULL << 0) /* ABI 6, 6.12 */
#define LANDLOCK_SCOPE_SIGNAL_               (1ULL << 1) /* ABI 6, 6.12 */

/* struct landlock_ruleset_attr as of ABI 6; shorter forms are taken by size. */
struct kernel_landlock_attr {
	__u64 handled_access_fs;
	__u64 handled_access_net; /* ABI 4, 6.7 */
	__u64 scoped;		  /* ABI 6, 6.12 */
};

/* What is used where it is there, and done without where it is not. */
enum kernel_feature {
	KERNEL_LANDLOCK_REFER,
	KERNEL_LANDLOCK_TRUNCATE,
	KERNEL_LANDLOCK_IOCTL_DEV,
	KERNEL_LANDLOCK_SCOPE,
	KERNEL_NOTIFY_KILLABLE,
	KERNEL_NOTIFY_SYNC,
	KERNEL_PIDFD_THREAD,
	KERNEL_KCMP,
};

/* Tries them, all but KERNEL_NOTIFY_SYNC: a set, 1 << feature each, of those that are missing. */
unsigned int kernel_missing(void);
/* Has @listener hand over its CPU (KERNEL_NOTIFY_SYNC): false where the kernel cannot. */
bool kernel_sync_wake_up(int listener);

enum kernel_text {
	KERNEL_NAMES,	    /* a,b */
	KERNEL_NAMES_SINCE, /* a (6.9), b (6.6) */
	KERNEL_COSTS,	    /* what it costs to go without; and that */
};

/* Into @out, which is empty. 0, or what buf_append() says. */
int kernel_print(struct buf *out, unsigned int missing, enum kernel_text which);
