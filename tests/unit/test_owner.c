#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/loop.h"
#include "tracer/filehash.h"
#include "tracer/owner.h"

/* What openat() of an executable fails with, once; 0: it does not. */
static int exe_error;
/* As Linux before 6.9: no pidfd of a thread, and of its number none at all. */
static bool has_no_thread_pidfds;

int __real_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...)
{
	if (!exe_error || strcmp(path, "exe") != 0)
		return __real_openat(dir, path, flags);
	errno = exe_error;
	exe_error = 0;
	return -1;
}

static bool is_leader(pid_t tid)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d", (int)tid, (int)tid);
	return access(path, F_OK) == 0 && syscall(SYS_tgkill, tid, tid, 0) == 0;
}

long __real_syscall(long nr, ...);
long __wrap_syscall(long nr, ...);
long __wrap_syscall(long nr, ...)
{
	long a[6];
	va_list ap;

	va_start(ap, nr);
	for (size_t i = 0; i < ARRAY_SIZE(a); i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (nr == SYS_pidfd_open && has_no_thread_pidfds && ((unsigned int)a[1] || !is_leader((pid_t)a[0]))) {
		errno = EINVAL;
		return -1;
	}
	return __real_syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* The test itself plays pid 1: its children are what a sandbox would run. */
struct fixture {
	struct loop *loop;
	struct filehash *hashes;
	struct owners *owners;
	bool has_hashed;
	char dir[64], path[128];
};

static void on_hashed(void *arg)
{
	((struct fixture *)arg)->has_hashed = true;
}

static void copy_file(const char *from, const char *to)
{
	auto_close int in = open(from, O_RDONLY | O_CLOEXEC);
	auto_close int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	struct stat st;

	assert_int_equal(fstat(in, &st), 0);
	/* Not copy_file_range(2): before 6.8 it wants both on one file system. */
	assert_int_equal(sendfile(out, in, NULL, (size_t)st.st_size), st.st_size);
}

/* A process that runs @path (cat) and waits; -1: the descriptor @fd. */
static pid_t start(const char *path, int fd)
{
	int ready[2], hold[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe(hold), 0);
	(void)fcntl(hold[1], F_SETFD, FD_CLOEXEC);
	pid = fork();
	if (pid == 0) {
		char *const argv[] = { (char *)"cat", NULL };

		(void)dup2(hold[0], 0);
		if (path)
			(void)execv(path, argv);
		else
			(void)fexecve(fd, argv, environ);
		_exit(127);
	}
	(void)close(ready[1]);
	/* The end of file comes with the exec. hold[1] stays open: cat waits. */
	assert_int_equal(read(ready[0], &c, 1), 0);
	(void)close(ready[0]);
	(void)close(hold[0]);
	return pid;
}

static void stop(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}

/* The owner, hashed. */
static int get(struct fixture *f, pid_t pid, const struct owner **ret)
{
	int r;

	while ((r = owner_get(f->owners, pid, ret)) == -EINPROGRESS) {
		f->has_hashed = false;
		while (!f->has_hashed)
			assert_int_equal(loop_turn(f->loop, 5000), 0);
	}
	return r;
}

static void a_path_and_a_hash_name_a_binary(void **state)
{
	struct fixture *f = *state;
	const struct owner *who = NULL;
	pid_t pid = start(f->path, -1);

	assert_int_equal(get(f, pid, &who), 0);
	assert_string_equal(who->binary, f->path);
	assert_int_equal(strlen(who->sha256), FILEHASH_HEX);
	assert_null(who->denied);
	assert_null(who->ancestors[0]);
	/* Known now: no hash is waited for. */
	assert_int_equal(owner_get(f->owners, pid, &who), 0);
	assert_int_equal(owner_known_pid(f->owners, pid), who->pid);
	stop(pid);
}

/* Tells @told who it is once there are @depth of them between it and the test; all wait for the end of @hold. */
static void nest(int depth, int told, int hold)
{
	pid_t self;
	char c;

	while (depth > 0 && fork() == 0)
		depth--;
	self = getpid();
	if (depth == 0 && write(told, &self, sizeof(self)) != sizeof(self))
		_exit(1);
	(void)!read(hold, &c, 1);
	_exit(0);
}

/* What owner_get() says of a process with @depth ancestors. */
static int get_with_ancestors(struct fixture *f, int depth)
{
	const struct owner *who = NULL;
	int told[2], hold[2], r;
	pid_t first, last = -1;

	assert_int_equal(pipe(told), 0);
	assert_int_equal(pipe(hold), 0);
	first = fork();
	if (first == 0) {
		(void)close(hold[1]);
		nest(depth, told[1], hold[0]);
	}
	(void)close(hold[0]);
	assert_int_equal(read(told[0], &last, sizeof(last)), sizeof(last));
	r = get(f, last, &who);
	(void)close(told[0]);
	(void)close(told[1]);
	(void)close(hold[1]);
	assert_int_equal(waitpid(first, NULL, 0), first);
	return r;
}

static void ancestors_beyond_the_limit_make_nobody(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get_with_ancestors(f, OWNER_DEPTH_MAX), 0);
	assert_int_equal(get_with_ancestors(f, OWNER_DEPTH_MAX + 1), -ELOOP);
}

static void a_process_that_ended_is_nobody(void **state)
{
	struct fixture *f = *state;
	const struct owner *who = NULL;
	pid_t pid = start(f->path, -1);

	assert_int_equal(get(f, pid, &who), 0);
	stop(pid);
	assert_int_equal(owner_get(f->owners, pid, &who), -ESRCH);
	assert_int_equal(owner_getfd(f->owners, pid, 0), -ESRCH);
	assert_int_equal(owner_procdir(f->owners, pid), -ESRCH);
}

static void a_deleted_binary_has_no_name(void **state)
{
	struct fixture *f = *state;
	const struct owner *who = NULL;
	pid_t pid = start(f->path, -1);

	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(get(f, pid, &who), 0);
	assert_null(who->binary);
	assert_non_null(strstr(who->denied, "not a file of the sandbox"));
	stop(pid);
}

/* The same path, another inode: what runs is not what the path means. */
static void a_replaced_binary_has_no_name(void **state)
{
	struct fixture *f = *state;
	const struct owner *who = NULL;
	pid_t pid = start(f->path, -1);

	assert_int_equal(unlink(f->path), 0);
	copy_file("/bin/cat", f->path);
	assert_int_equal(get(f, pid, &who), 0);
	assert_null(who->binary);
	stop(pid);
}

static void a_file_called_deleted_is_itself(void **state)
{
	struct fixture *f = *state;
	const struct owner *who = NULL;
	char odd[160];
	pid_t pid;

	(void)snprintf(odd, sizeof(odd), "%s (deleted)", f->path);
	copy_file("/bin/cat", odd);
	pid = start(odd, -1);
	assert_int_equal(get(f, pid, &who), 0);
	assert_string_equal(who->binary, odd);
	stop(pid);
	(void)unlink(odd);
}

static void a_memfd_has_no_name(void **state)
{
	struct fixture *f = *state;
	const struct owner *who = NULL;
	auto_close int in = open("/bin/cat", O_RDONLY | O_CLOEXEC);
	auto_close int fd = memfd_create("cat", MFD_CLOEXEC);
	struct stat st;
	pid_t pid;

	assert_int_equal(fstat(in, &st), 0);
	for (off_t left = st.st_size; left > 0;) {
		char chunk[65536];
		ssize_t n = read(in, chunk, sizeof(chunk));

		assert_int_equal(write(fd, chunk, (size_t)n), n);
		left -= n;
	}
	pid = start(NULL, fd);
	assert_int_equal(get(f, pid, &who), 0);
	assert_null(who->binary);
	assert_non_null(who->denied);
	stop(pid);
}

static void a_changed_binary_is_refused_until_trusted(void **state)
{
	struct fixture *f = *state;
	const struct owner *who = NULL;
	pid_t pid = start(f->path, -1);
	auto_close int fd = -1;

	assert_int_equal(get(f, pid, &who), 0);
	assert_null(who->denied);
	stop(pid);
	fd = open(f->path, O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_int_equal(write(fd, "x", 1), 1);
	(void)close(take_fd(fd));
	pid = start(f->path, -1);
	assert_int_equal(get(f, pid, &who), 0);
	assert_non_null(strstr(who->denied, "hash changed"));
	assert_int_equal(owner_trust(f->owners, f->path), 0);
	assert_int_equal(get(f, pid, &who), 0);
	assert_null(who->denied);
	stop(pid);
	assert_int_equal(owner_trust(f->owners, "/never/seen"), -ENOENT);
}

/* As many bytes, and a modification time that was put back: ctime tells. */
static void a_change_that_keeps_size_and_time_is_noticed(void **state)
{
	struct fixture *f = *state;
	const struct owner *who = NULL;
	pid_t pid = start(f->path, -1);
	struct timespec times[2];
	auto_close int fd = -1;
	struct stat st;
	char last;

	assert_int_equal(get(f, pid, &who), 0);
	assert_null(who->denied);
	stop(pid);
	fd = open(f->path, O_RDWR | O_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(pread(fd, &last, 1, st.st_size - 1), 1);
	last ^= 1;
	assert_int_equal(pwrite(fd, &last, 1, st.st_size - 1), 1);
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	assert_int_equal(futimens(fd, times), 0);
	(void)close(take_fd(fd));
	pid = start(f->path, -1);
	assert_int_equal(get(f, pid, &who), 0);
	stop(pid);
	assert_non_null(who->denied);
	assert_non_null(strstr(who->denied, "hash changed"));
}

/* exec: the pid stays, the identity does not. */
static void an_exec_is_another_identity(void **state)
{
	struct fixture *f = *state;
	const struct owner *who = NULL;
	int ready[2], go[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe(go), 0);
	pid = fork();
	if (pid == 0) {
		(void)close(go[1]);
		(void)!read(go[0], &c, 1);
		(void)dup2(go[0], 0);
		(void)execl(f->path, "cat", NULL);
		_exit(127);
	}
	(void)close(ready[1]);
	assert_int_equal(get(f, pid, &who), 0);
	assert_string_not_equal(who->binary, f->path);
	assert_int_equal(write(go[1], "x", 1), 1);
	assert_int_equal(read(ready[0], &c, 1), 0);
	assert_int_equal(get(f, pid, &who), 0);
	assert_string_equal(who->binary, f->path);
	stop(pid);
	(void)close(ready[0]);
	(void)close(go[0]);
	(void)close(go[1]);
}

static unsigned int open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n;
}

/* A task is two descriptors. Who was forgotten is looked at anew, and is who it was. */
static void of_tasks_the_least_recently_used_are_forgotten(void **state)
{
	enum { FILES = 256, KEPT = FILES / 4, TASKS = 2 * KEPT };
	struct fixture *f = *state;
	struct rlimit before, few;
	const struct owner *who = NULL;
	struct owners *all = f->owners;
	pid_t pids[TASKS];
	int hold[2];
	unsigned int at_first;
	char c;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = (struct rlimit){ FILES, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	f->owners = owners_new(f->hashes, getpid(), on_hashed, f);
	assert_int_equal(pipe(hold), 0);
	for (int i = 0; i < TASKS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			(void)close(hold[1]);
			(void)!read(hold[0], &c, 1);
			_exit(0);
		}
	}
	at_first = open_descriptors();
	for (int i = 0; i < TASKS; i++) {
		assert_int_equal(get(f, pids[i], &who), 0);
		assert_int_equal(open_descriptors() - at_first, 2 * (i < KEPT ? i + 1 : KEPT));
	}
	assert_int_equal(owner_known_pid(f->owners, pids[0]), 0);
	assert_int_equal(owner_known_pid(f->owners, pids[TASKS - 1]), pids[TASKS - 1]);
	assert_int_equal(get(f, pids[0], &who), 0);
	assert_int_equal(who->pid, pids[0]);
	assert_null(who->denied);
	(void)close(hold[1]);
	for (int i = 0; i < TASKS; i++)
		assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
	(void)close(hold[0]);
	owners_free(f->owners);
	f->owners = all;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* What is asked about the program that @path names. */
static int get_of(struct fixture *f, const char *path, int out)
{
	char *const argv[] = { (char *)"cat", NULL };
	const struct owner *who = NULL;
	pid_t pid = vfork();
	int r;

	if (pid == 0) {
		(void)dup2(out, 0);
		(void)execv(path, argv);
		_exit(127);
	}
	r = get(f, pid, &who);
	if (r == 0)
		assert_string_equal(who->binary, path);
	stop(pid);
	return r;
}

/* Beyond what is remembered nobody is believed, for a hash that was forgotten would be trusted anew. */
static void binaries_beyond_the_limit_are_refused(void **state)
{
	struct fixture *f = *state;
	char path[160];
	int hold[2];

	assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
	for (int i = 0; i <= OWNER_BINARIES_MAX; i++) {
		(void)snprintf(path, sizeof(path), "%s-%d", f->path, i);
		assert_int_equal(link(f->path, path), 0);
		assert_int_equal(get_of(f, path, hold[0]), i < OWNER_BINARIES_MAX ? 0 : -EUSERS);
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(get_of(f, f->path, hold[0]), -EUSERS);
	(void)snprintf(path, sizeof(path), "%s-%d", f->path, 0);
	assert_int_equal(link(f->path, path), 0);
	assert_int_equal(get_of(f, path, hold[0]), 0);
	assert_int_equal(unlink(path), 0);
	(void)close(hold[0]);
	(void)close(hold[1]);
}

static void descriptors_are_duplicated_by_number(void **state)
{
	struct fixture *f = *state;
	pid_t pid = start(f->path, -1);
	struct stat st;
	int fd = owner_getfd(f->owners, pid, 0);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
	(void)close(fd);
	assert_int_equal(owner_getfd(f->owners, pid, 999), -EBADF);
	stop(pid);
}

/* Two descriptors are kept of each: whoever was not seen for the longest is forgotten, and nobody is refused. */
static void more_tasks_than_are_remembered_are_known_all_the_same(void **state)
{
	enum { FILES = 128, TASKS = FILES };
	struct fixture *f = *state;
	const struct owner *who = NULL;
	struct rlimit saved, few;
	pid_t pids[TASKS];

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &saved), 0);
	few = (struct rlimit){ .rlim_cur = FILES, .rlim_max = saved.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	owners_free(f->owners);
	f->owners = owners_new(f->hashes, getpid(), on_hashed, f);
	for (int i = 0; i < TASKS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			(void)pause();
			_exit(0);
		}
	}
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < TASKS; i++)
			assert_int_equal(get(f, pids[i], &who), 0);
	/* Who was seen last is known, who was seen first is not. */
	assert_true(owner_known_pid(f->owners, pids[TASKS - 1]) > 0);
	assert_int_equal(owner_known_pid(f->owners, pids[0]), 0);
	for (int i = 0; i < TASKS; i++)
		stop(pids[i]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &saved), 0);
}

/* Between two looks it ended, we had no descriptor, or the file may not be read: nobody, nobody yet, and somebody
 * who is refused. */
static void an_executable_that_cannot_be_opened_makes_nobody(void **state)
{
	struct fixture *f = *state;
	const struct owner *who = NULL;
	pid_t pid = start(f->path, -1);

	exe_error = ENOENT;
	assert_int_equal(owner_get(f->owners, pid, &who), -ESRCH);
	exe_error = EMFILE;
	assert_int_equal(owner_get(f->owners, pid, &who), -EMFILE);
	exe_error = EACCES;
	assert_int_equal(owner_get(f->owners, pid, &who), 0);
	assert_string_equal(who->binary, f->path);
	assert_non_null(strstr(who->denied, "cannot be hashed"));
	/* For good, as long as it is this file: nothing is read again. */
	assert_int_equal(owner_get(f->owners, pid, &who), 0);
	assert_non_null(who->denied);
	stop(pid);
}

static void *tell_tid(void *arg)
{
	pid_t tid = gettid();

	if (write(*(int *)arg, &tid, sizeof(tid)) == sizeof(tid))
		(void)pause();
	return NULL;
}

/* Its descriptors are its process's, which has a pidfd on any kernel. */
static void a_thread_is_known_where_it_has_no_pidfd_of_its_own(void **state)
{
	struct fixture *f = *state;
	int told[2], got;
	pid_t pid, tid = -1;
	struct stat st;

	assert_int_equal(pipe(told), 0);
	pid = fork();
	if (pid == 0) {
		pthread_t t;

		(void)dup2(told[1], 0);
		if (pthread_create(&t, NULL, tell_tid, &told[1]) == 0)
			(void)pthread_join(t, NULL);
		_exit(1);
	}
	assert_int_equal(read(told[0], &tid, sizeof(tid)), sizeof(tid));
	assert_int_not_equal(tid, pid);
	has_no_thread_pidfds = true;
	got = owner_getfd(f->owners, tid, 0);
	assert_true(got >= 0);
	assert_int_equal(fstat(got, &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
	(void)close(got);
	got = owner_getfd(f->owners, pid, 0);
	assert_true(got >= 0);
	(void)close(got);
	stop(pid);
	assert_int_equal(owner_getfd(f->owners, tid, 0), -ESRCH);
	has_no_thread_pidfds = false;
	(void)close(told[0]);
	(void)close(told[1]);
}

/* Descriptors that this process may open yet, from now on. */
static void leave_room_for(int n)
{
	struct rlimit limit;
	int fds[3];

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	/* The lowest number that is free, with nothing free below it: holes are filled. */
	for (int i = 0; i < 3; i++)
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	limit.rlim_cur = (rlim_t)fds[0] + (rlim_t)n;
	for (int i = 0; i < 3; i++) {
		assert_true(i == 0 || fds[i] == fds[i - 1] + 1);
		(void)close(fds[i]);
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void leave_room(const struct rlimit *limit)
{
	assert_int_equal(setrlimit(RLIMIT_NOFILE, limit), 0);
}

/* Each descriptor that it takes is missing in turn: nobody is known as anybody, nothing is remembered of it, and with
 * room again the answer is the right one. */
static void out_of_descriptors_nobody_is_taken_for_anybody(void **state)
{
	struct fixture *f = *state;
	const struct owner *who = NULL;
	struct rlimit limit;
	pid_t pid = start(f->path, -1);
	int n, r;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	for (n = 0;; n++) {
		leave_room_for(n);
		r = owner_get(f->owners, pid, &who);
		leave_room(&limit);
		if (r != -EMFILE)
			break;
	}
	assert_true(n >= 3);
	assert_int_equal(r, -EINPROGRESS);
	assert_int_equal(get(f, pid, &who), 0);
	assert_string_equal(who->binary, f->path);
	assert_null(who->denied);
	stop(pid);
}

/* The same for its descriptors: a shortage is no "there is none". */
static void out_of_descriptors_none_is_duplicated(void **state)
{
	struct fixture *f = *state;
	struct rlimit limit;
	pid_t pid = start(f->path, -1);
	int n, fd;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	for (n = 0;; n++) {
		leave_room_for(n);
		fd = owner_getfd(f->owners, pid, 0);
		leave_room(&limit);
		if (fd >= 0)
			break;
		assert_int_equal(fd, -EMFILE);
	}
	assert_true(n >= 2);
	(void)close(fd);
	stop(pid);
}

static void without_a_root_there_is_nobody_to_know(void **state)
{
	struct fixture *f = *state;
	pid_t pid = start(f->path, -1);

	stop(pid);
	assert_null(owners_new(f->hashes, pid, on_hashed, f));
	owners_free(NULL);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/owner-test.XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	(void)snprintf(f->path, sizeof(f->path), "%s/cat", f->dir);
	copy_file("/bin/cat", f->path);
	f->loop = loop_new();
	f->hashes = filehash_new(f->loop);
	f->owners = owners_new(f->hashes, getpid(), on_hashed, f);
	*state = f;
	return f->owners ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	owners_free(f->owners);
	filehash_free(f->hashes);
	loop_free(f->loop);
	(void)unlink(f->path);
	(void)rmdir(f->dir);
	free(f);
	return 0;
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(a_path_and_a_hash_name_a_binary),
		EACH(ancestors_beyond_the_limit_make_nobody),
		EACH(a_process_that_ended_is_nobody),
		EACH(a_deleted_binary_has_no_name),
		EACH(a_replaced_binary_has_no_name),
		EACH(a_file_called_deleted_is_itself),
		EACH(a_memfd_has_no_name),
		EACH(a_changed_binary_is_refused_until_trusted),
		EACH(a_change_that_keeps_size_and_time_is_noticed),
		EACH(an_exec_is_another_identity),
		EACH(of_tasks_the_least_recently_used_are_forgotten),
		EACH(binaries_beyond_the_limit_are_refused),
		EACH(descriptors_are_duplicated_by_number),
		EACH(more_tasks_than_are_remembered_are_known_all_the_same),
		EACH(an_executable_that_cannot_be_opened_makes_nobody),
		EACH(a_thread_is_known_where_it_has_no_pidfd_of_its_own),
		EACH(out_of_descriptors_nobody_is_taken_for_anybody),
		EACH(out_of_descriptors_none_is_duplicated),
		EACH(without_a_root_there_is_nobody_to_know),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
