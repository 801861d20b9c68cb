/*
 * What is asked of Landlock, and that its refusal is no success. The kernel is played: not each has it, and behind the
 * mounts most of it cannot be felt.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/kernel.h"
#include "tracer/landlock.h"

enum { RULES_MAX = 8 };

static struct {
	int abi;	/* or -errno, as the next */
	int on_ruleset, on_rule, on_restrict;
	struct kernel_landlock_attr handled;
	struct {
		char path[32];
		uint64_t access;
	} rules[RULES_MAX];
	size_t n_rules;
	unsigned int n_restricted;
} kernel;

static long says(int r)
{
	errno = r < 0 ? -r : errno;
	return r < 0 ? -1 : r;
}

static long add_rule(const struct landlock_path_beneath_attr *rule)
{
	char path[32];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", rule->parent_fd);
	assert_true(kernel.n_rules < RULES_MAX);
	n = readlink(path, kernel.rules[kernel.n_rules].path, sizeof(kernel.rules[0].path) - 1);
	assert_true(n > 0);
	kernel.rules[kernel.n_rules].path[n] = '\0';
	kernel.rules[kernel.n_rules++].access = rule->allowed_access;
	return says(kernel.on_rule);
}

long __wrap_syscall(long nr, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	(void)d, (void)e, (void)f;
	switch (nr) {
	case SYS_landlock_create_ruleset:
		if (c == LANDLOCK_CREATE_RULESET_VERSION)
			return says(kernel.abi);
		memset(&kernel.handled, 0, sizeof(kernel.handled));
		memcpy(&kernel.handled, (const void *)a, (size_t)b);
		return kernel.on_ruleset ? says(kernel.on_ruleset) : open("/dev/null", O_RDONLY | O_CLOEXEC);
	case SYS_landlock_add_rule:
		assert_int_equal(b, LANDLOCK_RULE_PATH_BENEATH);
		return add_rule((const void *)c);
	case SYS_landlock_restrict_self:
		kernel.n_restricted++;
		return says(kernel.on_restrict);
	default:
		fail_msg("system call %ld", nr);
		return -1;
	}
}

static int apply(void)
{
	char *ro[] = { (char *)"/usr", (char *)"/etc/passwd", (char *)"/nonexistent", NULL };
	char *rw[] = { (char *)"/tmp", (char *)"/dev/null", NULL };

	kernel.n_rules = 0;
	kernel.n_restricted = 0;
	return landlock_apply(ro, rw);
}

static void expect_rule(size_t i, const char *path, uint64_t access)
{
	assert_string_equal(kernel.rules[i].path, path);
	assert_int_equal(kernel.rules[i].access, access);
}

static void what_is_read_only_is_read_and_run_and_no_more(void **state)
{
	const uint64_t file = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE;
	const uint64_t read = file | LANDLOCK_ACCESS_FS_READ_DIR;
	const uint64_t first = (1ULL << 13) - 1; /* of the first ABI: all but what came later */
	const struct {
		int abi;
		uint64_t later, later_of_files, scoped;
	} cases[] = {
		{ 1, 0, 0, 0 },
		{ 2, LANDLOCK_ACCESS_FS_REFER, 0, 0 },
		{ 3, LANDLOCK_ACCESS_FS_REFER | LANDLOCK_ACCESS_FS_TRUNCATE, LANDLOCK_ACCESS_FS_TRUNCATE, 0 },
		{ 5, LANDLOCK_ACCESS_FS_REFER | LANDLOCK_ACCESS_FS_TRUNCATE | LANDLOCK_ACCESS_FS_IOCTL_DEV,
			LANDLOCK_ACCESS_FS_TRUNCATE | LANDLOCK_ACCESS_FS_IOCTL_DEV, 0 },
		{ 6, LANDLOCK_ACCESS_FS_REFER | LANDLOCK_ACCESS_FS_TRUNCATE | LANDLOCK_ACCESS_FS_IOCTL_DEV,
			LANDLOCK_ACCESS_FS_TRUNCATE | LANDLOCK_ACCESS_FS_IOCTL_DEV,
			LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET_ | LANDLOCK_SCOPE_SIGNAL_ },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		kernel.abi = cases[i].abi;
		assert_int_equal(apply(), cases[i].abi);
		assert_int_equal(kernel.handled.handled_access_fs, first | cases[i].later);
		assert_int_equal(kernel.handled.scoped, cases[i].scoped);
		assert_int_equal(kernel.n_rules, 5);
		expect_rule(0, "/", LANDLOCK_ACCESS_FS_READ_DIR);
		expect_rule(1, "/usr", read);
		expect_rule(2, "/etc/passwd", file);
		expect_rule(3, "/tmp", first | cases[i].later);
		expect_rule(4, "/dev/null", file | LANDLOCK_ACCESS_FS_WRITE_FILE | cases[i].later_of_files);
		assert_int_equal(kernel.n_restricted, 1);
	}
}

static void a_refusal_of_the_kernel_is_no_confinement(void **state)
{
	int *const refusals[] = { &kernel.abi, &kernel.on_ruleset, &kernel.on_rule, &kernel.on_restrict };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		kernel.abi = 6;
		assert_int_equal(apply(), 6); /* the control */
		*refusals[i] = -EOPNOTSUPP;
		assert_int_equal(apply(), -EOPNOTSUPP);
		assert_int_equal(kernel.n_restricted, refusals[i] == &kernel.on_restrict);
		*refusals[i] = 0;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_read_only_is_read_and_run_and_no_more),
		cmocka_unit_test(a_refusal_of_the_kernel_is_no_confinement),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
