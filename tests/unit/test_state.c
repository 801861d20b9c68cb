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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/state.h"
#include "lib/str.h"
#include "lib/strv.h"

static char base[64];

/* Whom the kernel says we are (GNUmakefile): somebody else than who made the files. */
static uid_t other_user;

uid_t __real_geteuid(void);
uid_t __wrap_geteuid(void);
uid_t __wrap_geteuid(void)
{
	return other_user ? other_user : __real_geteuid();
}

static int set_up(void **state)
{
	(void)state;
	(void)str_copy(base, sizeof(base), "/tmp/openshell-test-state-XXXXXX");
	if (!mkdtemp(base))
		return -1;
	(void)setenv("XDG_STATE_HOME", base, 1);
	(void)setenv("XDG_CONFIG_HOME", base, 1);
	(void)setenv("XDG_RUNTIME_DIR", base, 1);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return state_tree_remove(AT_FDCWD, base);
}

static struct state *created(const char *name, bool keep)
{
	struct sandbox_spec spec = { .name = (char *)(uintptr_t)name, .keep = keep };
	struct state *s = NULL;
	struct err err = { 0 };

	if (state_create(&s, &spec, &err) < 0)
		fail_msg("%s", err.text);
	return s;
}

static bool exists(const char *path)
{
	char full[256];

	(void)str_format(full, sizeof(full), "%s/openshell/%s", base, path);
	return access(full, F_OK) == 0;
}

static void put(const char *path, const char *text)
{
	char full[256];
	FILE *f;

	(void)str_format(full, sizeof(full), "%s/openshell/%s", base, path);
	f = fopen(full, "w");
	assert_non_null(f);
	(void)fputs(text, f);
	(void)fclose(f);
}

static void make_subdir(const struct state *s, const char *name)
{
	int fd = state_subdir(s, name);

	assert_true(fd >= 0);
	(void)close(fd);
}

static void names_follow_the_rules(void **state)
{
	static const char *const good[] = { "a", "0", "my-box", "9-a", "aaaaaaaaaaaaaaaaaaa" };
	static const char *const bad[] = { "", "-a", "a-", "a--b", "A", "a b", "a.b", "a/b", "..",
		"aaaaaaaaaaaaaaaaaaaa" };
	struct err err = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(state_name_check(good[i], &err), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		err.text[0] = '\0';
		assert_int_equal(state_name_check(bad[i], &err), -EINVAL);
		assert_true(err.text[0]);
	}
}

static void generated_names_are_good_names(void **state)
{
	char name[STATE_NAME_MAX + 1];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		state_name_generate(name);
		assert_int_equal(state_name_check(name, NULL), 0);
	}
}

static void a_new_sandbox_is_private_and_complete(void **state)
{
	static const char *const parts[] = { "sandboxes/demo/metadata.json", "sandboxes/demo/lock",
		"sandboxes/demo/home" };
	auto_state struct state *s = created("demo", true);
	struct stat st;

	(void)state;
	assert_int_equal(fstat(s->dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		assert_true(exists(parts[i]));
}

static void a_taken_name_is_refused_with_a_hint(void **state)
{
	auto_state struct state *s = created("demo", true), *again = NULL;
	struct sandbox_spec spec = { .name = (char *)(uintptr_t) "demo" };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(state_create(&again, &spec, &err), -EEXIST);
	assert_non_null(strstr(err.hint, "openshell sandbox delete demo"));
}

static void a_dead_unkept_sandbox_gives_its_name_away(void **state)
{
	struct state *s = created("demo", false);

	(void)state;
	state_close(s);
	s = created("demo", false);
	assert_true(state_is_running(s));
	state_close(s);
}

static void the_lock_tells_who_lives(void **state)
{
	struct state *s = created("demo", true);
	auto_state struct state *other = NULL;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(state_open(&other, "demo", &err), 0);
	assert_true(state_is_running(other));
	assert_int_equal(state_lock(other, &err), -EBUSY);
	state_close(s);
	assert_false(state_is_running(other));
	assert_int_equal(state_lock(other, &err), 0);
}

/* What cannot be looked at is not free: its owner may live. */
static void a_lock_that_cannot_be_opened_counts_as_held(void **state)
{
	auto_state struct state *s = created("demo", true);

	(void)state;
	assert_false(state_lock_is_held(s->dir, "absent"));
	assert_int_equal(symlinkat("lock", s->dir, "linked"), 0);
	assert_true(state_lock_is_held(s->dir, "linked"));
}

/* Who opened it before it was deleted holds a directory that has another name by now, or none. */
static void a_sandbox_that_was_deleted_meanwhile_is_not_locked(void **state)
{
	struct state *s = created("demo", true);
	auto_state struct state *waiting = NULL, *again = NULL;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(state_open(&waiting, "demo", &err), 0);
	assert_int_equal(state_retire(s, &err), 0);
	state_close(s);
	assert_int_equal(state_lock(waiting, &err), -ENOENT);
	assert_string_equal(err.text, "sandbox 'demo' not found");
	again = created("demo", true);
	assert_int_equal(state_lock(waiting, &err), -ENOENT);
	assert_true(waiting->lock < 0);
}

static void a_killed_owner_lets_go_of_the_lock(void **state)
{
	auto_state struct state *s = NULL;
	int up[2], status;
	char c;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(up), 0);
	pid = fork();
	if (pid == 0) {
		(void)created("demo", true);
		assert_int_equal(write(up[1], "", 1), 1);
		(void)pause();
		_exit(0);
	}
	assert_int_equal(read(up[0], &c, 1), 1);
	assert_int_equal(state_open(&s, "demo", NULL), 0);
	assert_true(state_is_running(s));
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &status, 0);
	assert_false(state_is_running(s));
	(void)close(up[0]);
	(void)close(up[1]);
}

static void an_unknown_sandbox_is_not_found(void **state)
{
	struct state *s = NULL;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(state_open(&s, "nobody", &err), -ENOENT);
	assert_string_equal(err.text, "sandbox 'nobody' not found");
	assert_int_equal(state_open(&s, "../etc", &err), -EINVAL);
}

static void removal_frees_the_name_and_archives_the_log(void **state)
{
	auto_state struct state *s = created("demo", true);
	auto_close int log = -1;
	char text[16] = { 0 };
	int fd;

	(void)state;
	make_subdir(s, "log");
	put("sandboxes/demo/log/0.jsonl", "hello");
	put("sandboxes/demo/home/file", "x");
	assert_int_equal(state_remove(s, NULL), 0);
	assert_false(exists("sandboxes/demo"));
	log = state_log_open("demo", NULL);
	assert_true(log >= 0);
	fd = openat(log, "0.jsonl", O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, text, sizeof(text)), 5);
	assert_string_equal(text, "hello");
	(void)close(fd);
}

static void the_newest_archived_log_is_found(void **state)
{
	auto_close int log = -1;

	(void)state;
	for (int i = 0; i < 3; i++) {
		auto_state struct state *s = created("demo", true);
		char path[64];

		make_subdir(s, "log");
		(void)str_format(path, sizeof(path), "sandboxes/demo/log/%d", i);
		put(path, "");
		assert_int_equal(state_remove(s, NULL), 0);
	}
	log = state_log_open("demo", NULL);
	assert_int_equal(faccessat(log, "2", F_OK, 0), 0);
	assert_true(state_log_open("dem", NULL) == -ENOENT);
}

static void old_archives_are_pruned(void **state)
{
	auto_state struct state *s = created("demo", true);
	char path[256];

	(void)state;
	(void)str_format(path, sizeof(path), "%s/openshell/archive", base);
	(void)mkdir(path, 0700);
	(void)str_format(path, sizeof(path), "%s/openshell/archive/old.1000", base);
	assert_int_equal(mkdir(path, 0700), 0);
	state_archive_prune();
	assert_false(exists("archive/old.1000"));
}

static void links_are_removed_and_not_followed(void **state)
{
	auto_state struct state *s = created("demo", true);
	auto_state struct state *other = created("other", true);
	char target[256], link[256];

	(void)state;
	put("sandboxes/other/home/precious", "x");
	(void)str_format(target, sizeof(target), "%s/openshell/sandboxes/other/home", base);
	(void)str_format(link, sizeof(link), "%s/openshell/sandboxes/demo/home/link", base);
	assert_int_equal(symlink(target, link), 0);
	assert_int_equal(state_remove(s, NULL), 0);
	assert_true(exists("sandboxes/other/home/precious"));
}

static void a_tree_deeper_than_any_path_is_removed(void **state)
{
	auto_state struct state *s = created("demo", true);
	int dir = openat(s->dir, "home", O_RDONLY | O_DIRECTORY);

	(void)state;
	for (int i = 0; i < 3000; i++) {
		int next;

		assert_int_equal(mkdirat(dir, "deep-directory", 0700), 0);
		next = openat(dir, "deep-directory", O_RDONLY | O_DIRECTORY);
		assert_true(next >= 0);
		(void)close(dir);
		dir = next;
	}
	(void)close(dir);
	assert_int_equal(state_remove(s, NULL), 0);
	assert_false(exists("sandboxes/demo"));
}

static void unreadable_directories_are_removed(void **state)
{
	auto_state struct state *s = created("demo", true);

	(void)state;
	assert_int_equal(mkdirat(s->dir, "home/a", 0700), 0);
	assert_int_equal(mkdirat(s->dir, "home/a/b", 0700), 0);
	assert_int_equal(fchmodat(s->dir, "home/a/b", 0, 0), 0);
	assert_int_equal(fchmodat(s->dir, "home/a", 0, 0), 0);
	assert_int_equal(state_remove(s, NULL), 0);
	assert_false(exists("sandboxes/demo"));
}

static void the_list_is_sorted_and_leaves_passing_names_out(void **state)
{
	auto_state struct state *b = created("bravo", true), *a = created("alpha", true);
	auto_strv char **names = NULL;
	char path[256];

	(void)state;
	(void)str_format(path, sizeof(path), "%s/openshell/sandboxes/.del-x-1-1", base);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(state_list(&names, NULL), 0);
	assert_int_equal(strv_len(names), 2);
	assert_string_equal(names[0], "alpha");
	assert_string_equal(names[1], "bravo");
}

static void on_cleaned(const char *name, bool kept, void *arg)
{
	char *seen = arg, one[64];

	(void)str_format(one, sizeof(one), "%s:%d ", name, kept);
	(void)strcat(seen, one);
}

static void sweeping_clears_what_the_dead_left(void **state)
{
	struct state *dead = created("dead", false), *kept = created("kept", true);
	auto_state struct state *live = created("live", false);
	char seen[256] = "", path[256];
	int pid_file = -1, dir;

	(void)state;
	dir = state_runtime_claim("kept", &pid_file, NULL);
	assert_true(dir >= 0);
	(void)close(dir);
	(void)close(pid_file);
	state_close(dead);
	state_close(kept);
	(void)str_format(path, sizeof(path), "%s/openshell/sandboxes/.del-x-1-1", base);
	assert_int_equal(mkdir(path, 0700), 0);
	state_sweep(on_cleaned, seen);
	assert_true(str_eq(seen, "dead:0 kept:1 ") || str_eq(seen, "kept:1 dead:0 "));
	assert_false(exists("sandboxes/dead"));
	assert_false(exists("sandboxes/.del-x-1-1"));
	assert_false(exists("kept"));
	assert_true(exists("sandboxes/kept"));
	assert_true(exists("sandboxes/live"));
	seen[0] = '\0';
	state_sweep(on_cleaned, seen);
	assert_string_equal(seen, "");
}

static void a_runtime_directory_of_another_process_is_left_alone(void **state)
{
	int up[2], status, pid_file;
	struct err err = { 0 };
	pid_t pid;
	char c;

	(void)state;
	assert_int_equal(pipe(up), 0);
	pid = fork();
	if (pid == 0) {
		(void)state_runtime_claim("demo", &pid_file, NULL);
		assert_int_equal(write(up[1], "", 1), 1);
		(void)pause();
		_exit(0);
	}
	assert_int_equal(read(up[0], &c, 1), 1);
	assert_false(state_runtime_remove("demo"));
	assert_int_equal(state_runtime_claim("demo", &pid_file, &err), -EBUSY);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &status, 0);
	assert_true(state_runtime_remove("demo"));
	assert_false(exists("demo"));
	(void)close(up[0]);
	(void)close(up[1]);
}

static void a_control_socket_is_reached_by_name(void **state)
{
	auto_state struct state *s = created("demo", true);
	int pid_file = -1, dir, listener, client, server;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(state_control_connect("demo", &err), -ENOENT);
	dir = state_runtime_claim("demo", &pid_file, &err);
	listener = state_control_listen(dir, &err);
	assert_true(listener >= 0);
	client = state_control_connect("demo", &err);
	assert_true(client >= 0);
	server = accept(listener, NULL, NULL);
	assert_true(server >= 0);
	(void)close(server);
	(void)close(client);
	(void)close(listener);
	(void)close(dir);
	(void)close(pid_file);
}

static void a_stopped_sandbox_says_how_to_start_it(void **state)
{
	struct state *s = created("demo", true);
	struct err err = { 0 };

	(void)state;
	state_close(s);
	assert_int_equal(state_control_connect("demo", &err), -ECONNREFUSED);
	assert_string_equal(err.text, "sandbox 'demo' is not running");
	assert_non_null(strstr(err.hint, "openshell sandbox start demo"));
}

static void the_last_used_name_is_kept_and_forgotten(void **state)
{
	char name[STATE_NAME_MAX + 1];

	(void)state;
	assert_false(state_last_used(name));
	state_last_used_set("demo");
	assert_true(state_last_used(name));
	assert_string_equal(name, "demo");
	state_last_used_clear("other");
	assert_true(state_last_used(name));
	state_last_used_clear("demo");
	assert_false(state_last_used(name));
}

static void revisions_come_back_byte_for_byte(void **state)
{
	auto_state struct state *s = created("demo", true);
	struct state_revision r = {
		.version = 1, .hash = "abc", .created_ms = 5, .origin = "create", .status = "loaded"
	};
	struct state_revision got;
	auto_free char *yaml = NULL;
	size_t len;

	(void)state;
	assert_int_equal(state_revision_last(s), 0);
	assert_int_equal(state_revision_write(s, &r, "version: 1\n# \xff\n", 15), 0);
	r.version = 12;
	assert_int_equal(state_revision_write(s, &r, "x", 1), 0);
	assert_int_equal(state_revision_last(s), 12);
	assert_int_equal(state_revision_read(s, 1, &got, &yaml, &len), 0);
	assert_int_equal(len, 15);
	assert_memory_equal(yaml, "version: 1\n# \xff\n", 15);
	assert_string_equal(got.origin, "create");
	assert_int_equal(got.created_ms, 5);
	assert_int_equal(state_revision_read(s, 2, &got, NULL, NULL), -ENOENT);
}

static void metadata_comes_back(void **state)
{
	auto_state struct state *s = created("demo", true);
	auto_spec struct sandbox_spec spec = { 0 };

	(void)state;
	assert_int_equal(state_load_spec(s, &spec, NULL), 0);
	assert_string_equal(spec.name, "demo");
	assert_true(spec.keep);
}

static void a_runtime_directory_that_others_can_enter_is_not_used(void **state)
{
	char path[256];
	int fd;

	(void)state;
	(void)str_format(path, sizeof(path), "%s/shared", base);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)setenv("XDG_RUNTIME_DIR", path, 1);
	(void)str_format(path, sizeof(path), "%s/shared/openshell", base);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chmod(path, 0777), 0);
	fd = state_runtime_open(NULL);
	if (fd >= 0) {
		struct stat a, b;

		assert_int_equal(fstat(fd, &a), 0);
		assert_int_equal(stat(path, &b), 0);
		assert_int_not_equal(a.st_ino, b.st_ino);
		(void)close(fd);
	}
}

static void a_runtime_directory_of_another_user_is_not_used(void **state)
{
	struct err err = { 0 };
	char own[64];
	int fd = state_runtime_open(&err);

	(void)state;
	assert_true(fd >= 0); /* the control */
	(void)close(fd);
	other_user = geteuid() + 1234567;
	(void)str_format(own, sizeof(own), "/tmp/openshell-%u", (unsigned int)other_user);
	assert_int_equal(state_runtime_open(&err), -EPERM);
	(void)rmdir(own);
	other_user = 0;
	assert_non_null(strstr(err.text, "is not a private directory of yours"));
}

static void a_runtime_directory_that_is_a_link_is_not_used(void **state)
{
	char path[256], link[256];
	struct stat a, b;
	int fd;

	(void)state;
	(void)str_format(path, sizeof(path), "%s/elsewhere", base);
	(void)str_format(link, sizeof(link), "%s/openshell", base);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(symlink(path, link), 0);
	assert_int_equal(stat(path, &a), 0);
	fd = state_runtime_open(NULL);
	if (fd >= 0) {
		assert_int_equal(fstat(fd, &b), 0);
		assert_false(a.st_dev == b.st_dev && a.st_ino == b.st_ino);
		(void)close(fd);
	}
	assert_int_equal(unlink(link), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_follow_the_rules),
		cmocka_unit_test(generated_names_are_good_names),
		T(a_new_sandbox_is_private_and_complete),
		T(a_taken_name_is_refused_with_a_hint),
		T(a_dead_unkept_sandbox_gives_its_name_away),
		T(the_lock_tells_who_lives),
		T(a_lock_that_cannot_be_opened_counts_as_held),
		T(a_sandbox_that_was_deleted_meanwhile_is_not_locked),
		T(a_killed_owner_lets_go_of_the_lock),
		T(an_unknown_sandbox_is_not_found),
		T(removal_frees_the_name_and_archives_the_log),
		T(the_newest_archived_log_is_found),
		T(old_archives_are_pruned),
		T(links_are_removed_and_not_followed),
		T(a_tree_deeper_than_any_path_is_removed),
		T(unreadable_directories_are_removed),
		T(the_list_is_sorted_and_leaves_passing_names_out),
		T(sweeping_clears_what_the_dead_left),
		T(a_runtime_directory_of_another_process_is_left_alone),
		T(a_control_socket_is_reached_by_name),
		T(a_stopped_sandbox_says_how_to_start_it),
		T(the_last_used_name_is_kept_and_forgotten),
		T(revisions_come_back_byte_for_byte),
		T(metadata_comes_back),
		T(a_runtime_directory_that_others_can_enter_is_not_used),
		T(a_runtime_directory_of_another_user_is_not_used),
		T(a_runtime_directory_that_is_a_link_is_not_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
