#include "lib/kernel.h"

#include <errno.h>
#include <linux/kcmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"

static const struct {
	const char *name, *since, *cost;
} features[] = {
	[KERNEL_LANDLOCK_REFER] = { "landlock_refer", "5.19", "no rename across directories" },
	[KERNEL_LANDLOCK_TRUNCATE] = { "landlock_truncate", "6.2", "no second wall before truncate(2)" },
	[KERNEL_LANDLOCK_IOCTL_DEV] = { "landlock_ioctl_dev", "6.10", "before ioctl(2) of devices" },
	[KERNEL_LANDLOCK_SCOPE] = { "landlock_scope", "6.12", "before signals and abstract sockets" },
	[KERNEL_NOTIFY_KILLABLE] = { "notify_wait_killable", "5.19", "a signal can make a connect happen twice" },
	[KERNEL_NOTIFY_SYNC] = { "notify_sync_wake_up", "6.6", "slower connects" },
	[KERNEL_PIDFD_THREAD] = { "pidfd_thread", "6.9", "threads with a descriptor table of their own are refused" },
	[KERNEL_KCMP] = { "kcmp", "6.9, or CONFIG_KCMP", "and all threads but the first" },
};

/* Flags are looked at before the program, which is nowhere: EFAULT is as far as it comes. */
static bool has_wait_killable(void)
{
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		       SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, NULL) < 0 &&
	       errno == EFAULT;
}

static bool has_pidfd_thread(void)
{
	auto_close int fd = (int)syscall(SYS_pidfd_open, getpid(), PIDFD_THREAD);

	return fd >= 0;
}

static bool has_kcmp(void)
{
	return syscall(SYS_kcmp, getpid(), getpid(), KCMP_VM, 0, 0) == 0;
}

/* Without any there is nothing to be missed in it: that is said elsewhere. */
static unsigned int missing_of_landlock(void)
{
	static const struct {
		enum kernel_feature id;
		int abi;
	} since[] = {
		{ KERNEL_LANDLOCK_REFER, 2 },
		{ KERNEL_LANDLOCK_TRUNCATE, 3 },
		{ KERNEL_LANDLOCK_IOCTL_DEV, 5 },
		{ KERNEL_LANDLOCK_SCOPE, 6 },
	};
	int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	unsigned int missing = 0;

	for (size_t i = 0; i < ARRAY_SIZE(since); i++)
		if (abi > 0 && abi < since[i].abi)
			missing |= 1U << since[i].id;
	return missing;
}

bool kernel_sync_wake_up(int listener)
{
	return ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS,
		       (unsigned long)SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) == 0;
}

unsigned int kernel_missing(void)
{
	unsigned int missing = missing_of_landlock();

	if (!has_wait_killable())
		missing |= 1U << KERNEL_NOTIFY_KILLABLE;
	if (!has_pidfd_thread())
		missing |= 1U << KERNEL_PIDFD_THREAD;
	/* It is for nothing but what the other one lacks. */
	if (missing & 1U << KERNEL_PIDFD_THREAD && !has_kcmp())
		missing |= 1U << KERNEL_KCMP;
	return missing;
}

static const char *text_of(size_t i, enum kernel_text which)
{
	return which == KERNEL_COSTS ? features[i].cost : features[i].name;
}

int kernel_print(struct buf *out, unsigned int missing, enum kernel_text which)
{
	static const char *const separators[] = { ",", ", ", "; " };
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(features) && r == 0; i++) {
		if (!(missing & 1U << i))
			continue;
		r = buf_printf(out, "%s%s", out->len ? separators[which] : "", text_of(i, which));
		if (r == 0 && which == KERNEL_NAMES_SINCE)
			r = buf_printf(out, " (%s)", features[i].since);
	}
	return r;
}
