/*
 * What cannot be protected starts nothing: neither the stub of what is missing, nor the mount of what is there.
 *
 * Stubs fail as the test says (GNUmakefile); the mounts are real ones, in a mount namespace of the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/state.h"
#include "tracer/protect.h"

static int stub_failure, git_stub_failure;

int __real_stubs_make(struct stubs *s, int state_dir, const char *root, const char *path, const char *content,
	struct err *err);
int __wrap_stubs_make(struct stubs *s, int state_dir, const char *root, const char *path, const char *content,
	struct err *err);
int __real_stubs_make_git(struct stubs *s, int state_dir, const char *root, struct err *err);
int __wrap_stubs_make_git(struct stubs *s, int state_dir, const char *root, struct err *err);

int __wrap_stubs_make(struct stubs *s, int state_dir, const char *root, const char *path, const char *content,
	struct err *err)
{
	return stub_failure ? stub_failure : __real_stubs_make(s, state_dir, root, path, content, err);
}

int __wrap_stubs_make_git(struct stubs *s, int state_dir, const char *root, struct err *err)
{
	return git_stub_failure ? git_stub_failure : __real_stubs_make_git(s, state_dir, root, err);
}

struct fixture {
	char dir[64], work[80];
	int state;
	struct policy *policy;
	struct mount granted;
	struct mounts mounts;
};

/* A new plan for the empty working directory; how many paths it protects, or -errno. */
static int plan(struct fixture *f)
{
	const struct sandbox_spec spec = { 0 };
	struct protect p = { 0 };
	struct err err = { 0 };
	int r = protect_plan(&p, &f->mounts, policy_static(f->policy), &spec, f->state, &err);

	r = r < 0 ? r : (int)p.n;
	protect_done(&p);
	stubs_sweep(f->state, NULL, NULL);
	return r;
}

static void a_stub_that_cannot_be_made_starts_nothing(void **state)
{
	static const int failures[] = { -ENOSPC, -EIO, -EDQUOT, -EEXIST, -ENOMEM };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(failures); i++) {
		assert_true(plan(f) > 0); /* the control */
		stub_failure = failures[i];
		assert_int_equal(plan(f), failures[i]);
		stub_failure = 0;
		git_stub_failure = failures[i];
		assert_int_equal(plan(f), failures[i]);
		git_stub_failure = 0;
	}
}

/* The sandbox is the same user, and may not either. */
static void where_nobody_may_create_nothing_is_to_be_protected(void **state)
{
	static const int failures[] = { -EACCES, -EROFS, -EPERM };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(failures); i++) {
		stub_failure = git_stub_failure = failures[i];
		assert_int_equal(plan(f), 0);
	}
	stub_failure = git_stub_failure = 0;
}

static void a_mount_that_cannot_be_made_starts_nothing(void **state)
{
	struct fixture *f = *state;
	char there[128], absent[128];
	struct protect_entry list[] = { { .path = there, .is_ro = true }, { .path = absent, .is_ro = true } };
	struct protect p = { .list = list, .n = 1 };
	struct err err = { 0 };

	(void)snprintf(there, sizeof(there), "%s/there", f->work);
	(void)snprintf(absent, sizeof(absent), "%s/absent", f->work);
	assert_int_equal(mkdir(there, 0700), 0);
	assert_int_equal(access(there, W_OK), 0);
	assert_int_equal(protect_apply(&p, getpid(), &err), 0);
	assert_int_equal(access(there, W_OK), -1); /* the control */
	assert_int_equal(errno, EROFS);
	p.n = 2;
	assert_int_equal(protect_apply(&p, getpid(), &err), -ENOENT);
	assert_non_null(strstr(err.text, absent));
	while (umount2(there, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char path[80];

	*state = f;
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/protect-test.XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	(void)snprintf(f->work, sizeof(f->work), "%s/work", f->dir);
	(void)snprintf(path, sizeof(path), "%s/state", f->dir);
	if (mkdir(f->work, 0700) < 0 || mkdir(path, 0700) < 0)
		return -1;
	f->state = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->granted = (struct mount){ .kind = MOUNT_RW, .src = f->work, .dest = f->work };
	f->mounts = (struct mounts){ .list = &f->granted, .n = 1 };
	return policy_load(policy_default_yaml, strlen(policy_default_yaml), &f->policy, NULL);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	policy_unref(f->policy);
	(void)close(f->state);
	(void)state_tree_remove(AT_FDCWD, f->dir);
	free(f);
	return 0;
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		EACH(a_stub_that_cannot_be_made_starts_nothing),
		EACH(where_nobody_may_create_nothing_is_to_be_protected),
		EACH(a_mount_that_cannot_be_made_starts_nothing),
	};

	if (argc == 1) {
		(void)execlp("unshare", "unshare", "--user", "--map-root-user", "--mount", argv[0], "inside", NULL);
		return 127;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
