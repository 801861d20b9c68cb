/* What a sandbox sees of the file system, as bubblewrap is told. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "lib/strv.h"
#include "tracer/mounts.h"

static char base[] = "/tmp/test-mounts-XXXXXX";

static char *in_base(const char *name)
{
	static char paths[8][PATH_MAX];
	static unsigned int next;
	char *p = paths[next++ % 8];

	(void)snprintf(p, PATH_MAX, "%s/%s", base, name);
	return p;
}

static const struct mount *find(const struct mounts *m, const char *dest)
{
	for (size_t i = 0; i < m->n; i++)
		if (str_eq(m->list[i].dest, dest))
			return &m->list[i];
	return NULL;
}

static size_t place(const struct mounts *m, const char *dest)
{
	const struct mount *e = find(m, dest);

	assert_non_null(e);
	return (size_t)(e - m->list);
}

static int plan(struct mounts *m, const struct policy_static *p, const struct sandbox_spec *s)
{
	struct err err = { 0 };
	int r = mounts_plan(m, p, s, base, &err);

	mounts_sort(m);
	return r;
}

static void a_granted_path_is_mounted_at_its_own_place(void **state)
{
	const char *const ro[] = { in_base("ro"), NULL }, *const rw[] = { in_base("rw"), NULL };
	const struct policy_static p = { .has_filesystem = true, .read_only = ro, .read_write = rw };
	const struct sandbox_spec s = { 0 };
	struct mounts m = { 0 };

	(void)state;
	assert_int_equal(plan(&m, &p, &s), 0);
	assert_int_equal(find(&m, ro[0])->kind, MOUNT_RO);
	assert_int_equal(find(&m, rw[0])->kind, MOUNT_RW);
	assert_null(find(&m, "/usr"));
	mounts_done(&m);
}

static void the_private_directories_win_over_granted_ones(void **state)
{
	const char *const rw[] = { "/tmp", "/run", "/proc", "/dev/null", "/var/log", "/sandbox", NULL };
	const struct policy_static p = { .has_filesystem = true, .read_write = rw };
	const struct sandbox_spec s = { 0 };
	struct mounts m = { 0 };

	(void)state;
	assert_int_equal(plan(&m, &p, &s), 0);
	assert_int_equal(find(&m, "/tmp")->kind, MOUNT_TMPFS);
	assert_int_equal(find(&m, "/run")->kind, MOUNT_TMPFS);
	assert_int_equal(find(&m, "/var/log")->kind, MOUNT_TMPFS);
	assert_int_equal(find(&m, "/proc")->kind, MOUNT_PROC);
	assert_string_equal(find(&m, "/sandbox")->src, base);
	assert_null(find(&m, "/dev/null"));
	mounts_done(&m);
}

static void a_path_below_a_private_directory_is_bound_over_it(void **state)
{
	const char *const rw[] = { in_base("rw"), NULL };
	const struct policy_static p = { .has_filesystem = true, .read_write = rw };
	const struct sandbox_spec s = { 0 };
	struct mounts m = { 0 };

	(void)state;
	assert_int_equal(plan(&m, &p, &s), 0);
	assert_true(place(&m, "/tmp") < place(&m, rw[0]));
	assert_true(mounts_is_granted(&m, in_base("rw/socket")));
	assert_false(mounts_is_granted(&m, "/tmp/socket"));
	mounts_done(&m);
}

static void a_missing_path_is_skipped_and_named_or_refused(void **state)
{
	const char *const ro[] = { "/app", in_base("gone"), NULL };
	struct policy_static p = { .has_filesystem = true, .read_only = ro };
	const struct sandbox_spec s = { 0 };
	struct mounts m = { 0 };

	(void)state;
	assert_int_equal(plan(&m, &p, &s), 0);
	assert_int_equal(strv_len(m.skipped), 1);
	assert_string_equal(m.skipped[0], ro[1]);
	mounts_done(&m);
	p.landlock_required = true;
	assert_int_equal(plan(&m, &p, &s), -ENOENT);
	mounts_done(&m);
}

static void the_working_directory_is_granted_when_the_policy_says_so(void **state)
{
	struct policy_static p = { .has_filesystem = true, .include_workdir = true };
	const struct sandbox_spec s = { .workdir = in_base("rw") };
	struct mounts m = { 0 };

	(void)state;
	assert_int_equal(plan(&m, &p, &s), 0);
	assert_int_equal(find(&m, s.workdir)->kind, MOUNT_RW);
	mounts_done(&m);
	p.include_workdir = false;
	assert_int_equal(plan(&m, &p, &s), 0);
	assert_null(find(&m, s.workdir));
	mounts_done(&m);
}

static void our_own_directories_are_hidden_wherever_the_tree_is_mounted(void **state)
{
	const char *const rw[] = { in_base("link"), NULL };
	const struct policy_static p = { .has_filesystem = true, .read_write = rw };
	const struct sandbox_spec s = { 0 };
	struct mounts m = { 0 };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(mounts_plan(&m, &p, &s, base, &err), 0);
	assert_int_equal(mounts_hide(&m, in_base("rw/state")), 0);
	mounts_sort(&m);
	assert_int_equal(find(&m, in_base("link/state"))->kind, MOUNT_TMPFS);
	assert_true(place(&m, in_base("link")) < place(&m, in_base("link/state")));
	assert_null(find(&m, in_base("rw/state")));
	mounts_done(&m);
}

/* bubblewrap lays a file over another one, and makes one only in a directory that is the sandbox's own. */
static void a_file_of_ours_without_a_place_is_left_out(void **state)
{
	const char *const rw[] = { in_base("rw"), NULL };
	const struct policy_static p = { .has_filesystem = true, .read_write = rw };
	const struct sandbox_spec s = { 0 };
	const char *const paths[] = { in_base("rw/state/file"), in_base("rw/state/absent"), in_base("rw/state"),
		"/sandbox/absent", "/run/absent" };
	struct mounts m = { 0 };
	struct err err = { 0 };
	int fd;

	(void)state;
	assert_int_equal(mkdir(paths[2], 0700), 0);
	fd = open(paths[0], O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(mounts_plan(&m, &p, &s, base, &err), 0);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		assert_int_equal(mounts_add(&m, MOUNT_DATA, NULL, paths[i], open("/dev/null", O_RDONLY | O_CLOEXEC), true),
			0);
	mounts_sort(&m);
	assert_non_null(find(&m, paths[0]));
	assert_null(find(&m, paths[1]));
	assert_null(find(&m, paths[2]));
	assert_non_null(find(&m, paths[3]));
	assert_non_null(find(&m, paths[4]));
	mounts_done(&m);
	assert_int_equal(unlink(paths[0]), 0);
	assert_int_equal(rmdir(paths[2]), 0);
}

/* The sandbox has its own of them, and a mount of the host's over those would show its processes and terminals. */
static void processes_and_devices_of_the_host_are_never_granted(void **state)
{
	const char *const paths[] = { "/proc", "/proc/self", "/proc/sys/kernel", "/dev/null", "/dev/tty", "/dev/ptmx",
		"/dev/pts", "/dev/pts/0", "/dev/shm", "/dev/shm/x", "/sandbox", NULL };
	const struct policy_static p = { .has_filesystem = true, .read_only = paths, .read_write = paths };
	const struct sandbox_spec s = { 0 };
	struct mounts m = { 0 };

	(void)state;
	assert_int_equal(plan(&m, &p, &s), 0);
	for (size_t i = 0; i < m.n; i++)
		assert_true(m.list[i].is_private);
	assert_null(m.skipped);
	mounts_done(&m);
}

static void a_directory_holds_what_lies_below_it_and_not_what_begins_alike(void **state)
{
	(void)state;
	assert_true(mounts_is_under("/tmp", "/tmp"));
	assert_true(mounts_is_under("/tmp/x", "/tmp"));
	assert_false(mounts_is_under("/tmpx", "/tmp"));
	assert_false(mounts_is_under("/tm", "/tmp"));
}

static void the_root_directory_is_never_granted(void **state)
{
	const char *const ro[] = { "/", NULL };
	const struct policy_static p = { .has_filesystem = true, .read_only = ro };
	const struct sandbox_spec s = { 0 };
	struct mounts m = { 0 };

	(void)state;
	assert_int_equal(plan(&m, &p, &s), -EINVAL);
	mounts_done(&m);
}

static void bubblewrap_and_landlock_are_told_the_same(void **state)
{
	const char *const ro[] = { in_base("ro"), NULL };
	const struct policy_static p = { .has_filesystem = true, .read_only = ro };
	const struct sandbox_spec s = { 0 };
	auto_strv char **args = NULL;
	auto_strv char **ll_ro = NULL;
	auto_strv char **ll_rw = NULL;
	struct mounts m = { 0 };
	bool is_bound = false;

	(void)state;
	assert_int_equal(plan(&m, &p, &s), 0);
	assert_int_equal(mounts_to_bwrap(&m, &args), 0);
	assert_int_equal(mounts_to_landlock(&m, &ll_ro, &ll_rw), 0);
	for (size_t i = 0; args[i]; i++)
		is_bound = is_bound || (str_eq(args[i], "--ro-bind") && str_eq(args[i + 2], ro[0]));
	assert_true(is_bound);
	assert_string_equal(ll_ro[0], "/etc");
	assert_string_equal(ll_ro[1], ro[0]);
	mounts_done(&m);
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(base))
		return -1;
	return mkdir(in_base("ro"), 0700) || mkdir(in_base("rw"), 0700) ||
	       symlink(in_base("rw"), in_base("link"));
}

static int tear_down(void **state)
{
	(void)state;
	(void)unlink(in_base("link"));
	(void)rmdir(in_base("ro"));
	(void)rmdir(in_base("rw"));
	return rmdir(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_granted_path_is_mounted_at_its_own_place),
		cmocka_unit_test(the_private_directories_win_over_granted_ones),
		cmocka_unit_test(a_path_below_a_private_directory_is_bound_over_it),
		cmocka_unit_test(a_missing_path_is_skipped_and_named_or_refused),
		cmocka_unit_test(the_working_directory_is_granted_when_the_policy_says_so),
		cmocka_unit_test(our_own_directories_are_hidden_wherever_the_tree_is_mounted),
		cmocka_unit_test(a_file_of_ours_without_a_place_is_left_out),
		cmocka_unit_test(processes_and_devices_of_the_host_are_never_granted),
		cmocka_unit_test(a_directory_holds_what_lies_below_it_and_not_what_begins_alike),
		cmocka_unit_test(the_root_directory_is_never_granted),
		cmocka_unit_test(bubblewrap_and_landlock_are_told_the_same),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
