#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/kernel.h"

/* The kernel, played: what it says to the calls that tell one from another. */
static struct {
	int landlock_abi; /* or -errno */
	int seccomp;	  /* errno */
	int pidfd_thread, kcmp; /* errno, or 0 */
} plays;

long __wrap_syscall(long nr, long a, long b, long c, long d, long e, long f);

static long fails(int errnum)
{
	errno = errnum;
	return -1;
}

long __wrap_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	(void)a, (void)c, (void)d, (void)e, (void)f;
	switch (nr) {
	case SYS_landlock_create_ruleset:
		return plays.landlock_abi < 0 ? fails(-plays.landlock_abi) : plays.landlock_abi;
	case SYS_seccomp:
		return fails(plays.seccomp);
	case SYS_pidfd_open:
		assert_int_equal(b, PIDFD_THREAD);
		return plays.pidfd_thread ? fails(plays.pidfd_thread) : dup(0);
	case SYS_kcmp:
		return plays.kcmp ? fails(plays.kcmp) : 0;
	default:
		fail_msg("system call %ld", nr);
		return -1;
	}
}

#define SET(feature) (1U << KERNEL_##feature)

static void what_a_kernel_lacks_is_what_it_refuses(void **state)
{
	const unsigned int later = SET(LANDLOCK_TRUNCATE) | SET(LANDLOCK_IOCTL_DEV) | SET(LANDLOCK_SCOPE);
	const struct {
		int landlock_abi, seccomp, pidfd_thread, kcmp;
		unsigned int missing;
	} cases[] = {
		{ 7, EFAULT, 0, 0, 0 },
		{ 6, EFAULT, 0, 0, 0 },
		{ 5, EFAULT, 0, 0, SET(LANDLOCK_SCOPE) },
		{ 4, EFAULT, 0, 0, SET(LANDLOCK_SCOPE) | SET(LANDLOCK_IOCTL_DEV) },
		{ 3, EFAULT, 0, 0, SET(LANDLOCK_SCOPE) | SET(LANDLOCK_IOCTL_DEV) },
		{ 2, EFAULT, 0, 0, later },
		{ 1, EFAULT, 0, 0, later | SET(LANDLOCK_REFER) },
		/* Without Landlock there is nothing of it to miss. */
		{ -EOPNOTSUPP, EFAULT, 0, 0, 0 },
		{ -ENOSYS, EFAULT, 0, 0, 0 },
		{ 6, EINVAL, 0, 0, SET(NOTIFY_KILLABLE) },
		{ 6, EFAULT, EINVAL, 0, SET(PIDFD_THREAD) },
		{ 6, EFAULT, EINVAL, ENOSYS, SET(PIDFD_THREAD) | SET(KCMP) },
		/* Not asked, where threads have pidfds. */
		{ 6, EFAULT, 0, ENOSYS, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		plays.landlock_abi = cases[i].landlock_abi;
		plays.seccomp = cases[i].seccomp;
		plays.pidfd_thread = cases[i].pidfd_thread;
		plays.kcmp = cases[i].kcmp;
		assert_int_equal(kernel_missing(), cases[i].missing);
	}
}

static void only_a_listener_hands_its_cpu_over(void **state)
{
	(void)state;
	assert_false(kernel_sync_wake_up(0));
	assert_false(kernel_sync_wake_up(-1));
}

static void what_is_missing_is_printed(void **state)
{
	static const struct {
		unsigned int missing;
		enum kernel_text which;
		const char *text;
	} cases[] = {
		{ 0, KERNEL_NAMES, "" },
		{ SET(PIDFD_THREAD), KERNEL_NAMES, "pidfd_thread" },
		{ SET(PIDFD_THREAD) | SET(LANDLOCK_SCOPE), KERNEL_NAMES, "landlock_scope,pidfd_thread" },
		{ SET(PIDFD_THREAD) | SET(LANDLOCK_SCOPE), KERNEL_NAMES_SINCE,
			"landlock_scope (6.12), pidfd_thread (6.9)" },
		{ SET(NOTIFY_SYNC) | SET(NOTIFY_KILLABLE), KERNEL_COSTS,
			"a signal can make a connect happen twice; slower connects" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_buf struct buf b = { .max = 256 };

		assert_int_equal(kernel_print(&b, cases[i].missing, cases[i].which), 0);
		assert_string_equal(buf_cstr(&b), cases[i].text);
	}
}

static void what_does_not_fit_is_said(void **state)
{
	auto_buf struct buf b = { .max = 20 };

	(void)state;
	assert_int_equal(kernel_print(&b, SET(PIDFD_THREAD) | SET(LANDLOCK_SCOPE), KERNEL_NAMES), -ENOBUFS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_kernel_lacks_is_what_it_refuses),
		cmocka_unit_test(only_a_listener_hands_its_cpu_over),
		cmocka_unit_test(what_is_missing_is_printed),
		cmocka_unit_test(what_does_not_fit_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
