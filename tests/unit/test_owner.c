#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/kernel.h"
#include "lib/loop.h"
#include "tracer/filehash.h"
#include "tracer/owner.h"

/* What openat() of an executable fails with, once; 0: it does not. */
static int exe_error;

/* What happens, once, when a file of this name is opened in /proc: something before, and another file in its stead. */
static struct {
	const char *name;
	void (*before)(void);
	int fd; /* -1: the file itself */
} surprise;

int __real_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...)
{
	if (surprise.name && strcmp(path, surprise.name) == 0) {
		surprise.name = NULL;
		if (surprise.before)
			surprise.before();
		return surprise.fd < 0 ? __real_openat(dir, path, flags) : surprise.fd;
	}
	if (!exe_error || strcmp(path, "exe") != 0)
		return __real_openat(dir, path, flags);
	errno = exe_error;
	exe_error = 0;
	return -1;
}

/* What happens, once, when the path of an executable has been read. */
static void (*after_path)(void);

ssize_t __real_readlinkat(int dir, const char *path, char *out, size_t size);
ssize_t __wrap_readlinkat(int dir, const char *path, char *out, size_t size);
ssize_t __wrap_readlinkat(int dir, const char *path, char *out, size_t size)
{
	ssize_t n = __real_readlinkat(dir, path, out, size);
	void (*now)(void) = after_path;

	after_path = NULL;
	if (now)
		now();
	return n;
}

/* The next file that is looked at lies on another device, as it were. */
static bool is_elsewhere;

int __real_fstat(int fd, struct stat *st);
int __wrap_fstat(int fd, struct stat *st);
int __wrap_fstat(int fd, struct stat *st)
{
	int r = __real_fstat(fd, st);

	st->st_dev += is_elsewhere;
	is_elsewhere = false;
	return r;
}

/* There is no memory for the next piece of this size, nor for the next text. */
static _Atomic size_t size_missing;
static bool is_text_missing;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
	if (size != size_missing)
		return __real_malloc(size);
	size_missing = 0;
	return NULL;
}

static int __attribute__((format(printf, 2, 0))) print(char **out, const char *fmt, va_list ap)
{
	if (!is_text_missing)
		return vasprintf(out, fmt, ap);
	is_text_missing = false;
	return -1;
}

int __wrap_asprintf(char **out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int __wrap___asprintf_chk(char **out, int flag, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

int __wrap_asprintf(char **out, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = print(out, fmt, ap);
	va_end(ap);
	return n;
}

int __wrap___asprintf_chk(char **out, int flag, const char *fmt, ...)
{
	va_list ap;
	int n;

	(void)flag;
	va_start(ap, fmt);
	n = print(out, fmt, ap);
	va_end(ap);
	return n;
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

static void append(const char *path)
{
	auto_close int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);

	assert_int_equal(write(fd, "x", 1), 1);
}

static void a_changed_binary_is_refused_until_trusted(void **state)
{
	struct fixture *f = *state;
	const struct owner *who = NULL;
	pid_t pid = start(f->path, -1);

	assert_int_equal(get(f, pid, &who), 0);
	assert_null(who->denied);
	stop(pid);
	append(f->path);
	pid = start(f->path, -1);
	assert_int_equal(get(f, pid, &who), 0);
	assert_non_null(strstr(who->denied, "hash changed"));
	assert_int_equal(owner_trust(f->owners, f->path), 0);
	assert_int_equal(get(f, pid, &who), 0);
	assert_null(who->denied);
	assert_int_equal(strlen(who->sha256), FILEHASH_HEX);
	stop(pid);
	/* As it is now, not whatever it will be. */
	append(f->path);
	pid = start(f->path, -1);
	assert_int_equal(get(f, pid, &who), 0);
	assert_non_null(who->denied);
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

/* A shell, that of @path, and another below it, of the system's, that waits. */
struct shells {
	pid_t pid, below;
	int hold;
};

static void start_shells(struct shells *ret, const char *path)
{
	int hold[2], told[2];
	char text[16] = "";

	assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
	assert_int_equal(pipe2(told, O_CLOEXEC), 0);
	ret->pid = fork();
	if (ret->pid == 0) {
		(void)dup2(hold[0], 0);
		(void)dup2(told[1], 1);
		(void)execl(path, "sh", "-c", "/bin/sh -c 'echo $$; read _; :'; :", NULL);
		_exit(127);
	}
	assert_true(read(told[0], text, sizeof(text) - 1) > 0);
	ret->below = (pid_t)strtol(text, NULL, 10);
	ret->hold = hold[1];
	(void)close(hold[0]);
	(void)close(told[0]);
	(void)close(told[1]);
}

static void stop_shells(struct shells *s)
{
	(void)close(s->hold);
	assert_int_equal(waitpid(s->pid, NULL, 0), s->pid);
}

/* A rule for an ancestor is one for the program that it was. */
static void a_changed_ancestor_refuses_as_the_caller_would(void **state)
{
	struct fixture *f = *state;
	const struct owner *who = NULL;
	struct shells s;

	copy_file("/bin/sh", f->path);
	start_shells(&s, f->path);
	assert_int_equal(get(f, s.below, &who), 0);
	assert_string_equal(who->ancestors[0], f->path);
	assert_null(who->denied);
	stop_shells(&s);
	append(f->path);
	start_shells(&s, f->path);
	assert_int_equal(get(f, s.below, &who), 0);
	assert_string_equal(who->ancestors[0], f->path);
	assert_non_null(who->denied);
	assert_non_null(strstr(who->denied, "hash changed"));
	assert_int_equal(owner_trust(f->owners, f->path), 0);
	assert_int_equal(get(f, s.below, &who), 0);
	assert_null(who->denied);
	stop_shells(&s);
}

/* Of a file that cannot be read to its end nothing is known. */
static void a_binary_that_cannot_be_hashed_is_refused_until_trusted(void **state)
{
	struct fixture *f = *state;
	const struct owner *who = NULL;
	pid_t pid = start(f->path, -1);

	size_missing = 256 * 1024; /* filehash.c, READ_CHUNK */
	assert_int_equal(get(f, pid, &who), 0);
	assert_int_equal(size_missing, 0);
	assert_string_equal(who->binary, f->path);
	assert_non_null(who->denied);
	assert_non_null(strstr(who->denied, "cannot be hashed"));
	assert_int_equal(owner_trust(f->owners, f->path), 0);
	assert_int_equal(get(f, pid, &who), 0);
	assert_null(who->denied);
	stop(pid);
}

static void without_memory_for_the_reason_it_is_refused_all_the_same(void **state)
{
	struct fixture *f = *state;
	const struct owner *who = NULL;
	pid_t pid = start(f->path, -1);

	assert_int_equal(get(f, pid, &who), 0);
	stop(pid);
	append(f->path);
	is_text_missing = true;
	pid = start(f->path, -1);
	assert_int_equal(get(f, pid, &who), 0);
	assert_false(is_text_missing);
	assert_non_null(who->denied);
	stop(pid);
}

/* It executes the original while the changed file is about to be read: what is hashed then is not what is trusted. */
static void the_hash_of_one_file_is_no_word_for_another(void **state)
{
	struct fixture *f = *state;
	const struct owner *who = NULL;
	pid_t pid = start(f->path, -1);

	assert_int_equal(get(f, pid, &who), 0);
	stop(pid);
	append(f->path);
	pid = start(f->path, -1);
	surprise.name = "exe";
	surprise.before = NULL;
	surprise.fd = open("/bin/cat", O_RDONLY | O_CLOEXEC);
	assert_int_equal(get(f, pid, &who), 0);
	assert_null(surprise.name);
	assert_non_null(who->denied);
	assert_non_null(strstr(who->denied, "hash changed"));
	stop(pid);
}

/* A file of the same number on another device: a mount of the workload's own (threats.md 24) has what numbers it
 * likes. */
static void a_number_on_another_device_is_another_file(void **state)
{
	struct fixture *f = *state;
	const struct owner *who = NULL;
	pid_t pid = start(f->path, -1);

	is_elsewhere = true;
	assert_int_equal(get(f, pid, &who), 0);
	assert_false(is_elsewhere);
	assert_null(who->binary);
	assert_non_null(who->denied);
	stop(pid);
}

/* Somebody else's child, it says at first: that number was its parent's until a moment ago. */
static void who_has_the_number_of_a_parent_that_ended_is_no_ancestor(void **state)
{
	struct fixture *f = *state;
	const struct owner *who = NULL;
	pid_t other = start(f->path, -1), child = fork();
	char text[64];

	if (child == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)pause();
		_exit(0);
	}
	assert_int_equal(get(f, other, &who), 0);
	(void)snprintf(text, sizeof(text), "%d (child) S %d 0 0", (int)child, (int)other);
	surprise.name = "stat";
	surprise.before = NULL;
	surprise.fd = memfd_create("stat", MFD_CLOEXEC);
	assert_int_equal(pwrite(surprise.fd, text, strlen(text), 0), strlen(text));
	assert_int_equal(owner_get(f->owners, child, &who), -ESRCH);
	assert_null(surprise.name);
	assert_int_equal(get(f, child, &who), 0);
	assert_null(who->ancestors[0]);
	stop(child);
	stop(other);
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

static int exec_go, exec_ready;

static void let_it_exec(void)
{
	char c;

	assert_int_equal(write(exec_go, "x", 1), 1);
	assert_int_equal(read(exec_ready, &c, 1), 0);
}

/* A process that executes @path when let_it_exec() says so. */
static pid_t start_waiting(const char *path)
{
	int ready[2], go[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		(void)!read(go[0], &c, 1);
		(void)dup2(go[0], 0);
		(void)execl(path, "cat", NULL);
		_exit(127);
	}
	(void)close(ready[1]);
	(void)close(go[0]);
	exec_go = go[1];
	exec_ready = ready[0];
	return pid;
}

static void stop_waiting(pid_t pid)
{
	stop(pid);
	(void)close(exec_ready);
	(void)close(exec_go);
}

/* In the middle of being looked at: what was read of both is nobody's, and is not remembered. */
static void an_exec_under_our_eyes_makes_nobody(void **state)
{
	struct fixture *f = *state;
	const struct owner *who = NULL;
	pid_t pid = start_waiting(f->path);

	surprise.name = "status"; /* after its executable, before its parent */
	surprise.before = let_it_exec;
	surprise.fd = -1;
	assert_int_equal(owner_get(f->owners, pid, &who), -ESRCH);
	assert_null(surprise.name);
	assert_int_equal(get(f, pid, &who), 0);
	assert_string_equal(who->binary, f->path);
	stop_waiting(pid);
	/* Between the path and the file. */
	pid = start_waiting(f->path);
	after_path = let_it_exec;
	assert_int_equal(owner_get(f->owners, pid, &who), -ESRCH);
	assert_null(after_path);
	assert_int_equal(get(f, pid, &who), 0);
	assert_string_equal(who->binary, f->path);
	stop_waiting(pid);
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
	int ready[2], r;
	pid_t pid;
	char c;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = vfork();
	if (pid == 0) {
		(void)dup2(out, 0);
		(void)execv(path, argv);
		_exit(127);
	}
	/* vfork() returns while the program is being exchanged; the end of file comes when it has been. */
	(void)close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 0);
	(void)close(ready[0]);
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

/* Kernels: this one, that before 6.9, and that without CONFIG_KCMP besides. */
enum kernel { KERNEL_THIS = 0, KERNEL_6_8, KERNEL_6_8_WITHOUT_KCMP };
static enum kernel kernel;
static struct {
	pid_t number, before; /* asked for the process @number for the first time, the kernel gives @before */
} recycled;

long __wrap_syscall(long nr, long a, long b, long c, long d, long e, long f);
long __real_syscall(long nr, long a, long b, long c, long d, long e, long f);

static long fails(int errnum)
{
	errno = errnum;
	return -1;
}

/* pidfd_open(2) as it was: EINVAL for the flag and for a number that is no process. */
static long old_pidfd_open(pid_t pid, unsigned int flags)
{
	long fd;

	if (flags)
		return fails(EINVAL);
	if (pid == recycled.number) {
		pid = recycled.before;
		recycled.number = 0;
	}
	fd = __real_syscall(SYS_pidfd_open, pid, 0, 0, 0, 0, 0);
	return fd < 0 && errno == ENOENT ? fails(EINVAL) : fd;
}

long __wrap_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	if (nr == SYS_pidfd_open && kernel != KERNEL_THIS)
		return old_pidfd_open((pid_t)a, (unsigned int)b);
	if (nr == SYS_kcmp && kernel == KERNEL_6_8_WITHOUT_KCMP)
		return fails(ENOSYS);
	return __real_syscall(nr, a, b, c, d, e, f);
}

/* Two files, and where a process and its thread have them. */
enum { FILE_NONE, FILE_A, FILE_B, FILES };
enum { NUMBER = 200 };

struct tables {
	bool is_shared;
	int process, thread; /* what NUMBER is */
};

struct child {
	pid_t pid, tid;
	int files[FILES];
	const struct tables *tables;
	int ready[2];
};

static void place(const int *files, int which)
{
	if (which == FILE_NONE)
		(void)close(NUMBER);
	else
		(void)dup2(files[which], NUMBER);
}

static void *be_thread(void *arg)
{
	struct child *c = arg;
	pid_t tid = gettid();

	if (!c->tables->is_shared) {
		(void)unshare(CLONE_FILES);
		place(c->files, c->tables->thread);
	}
	(void)!write(c->ready[1], &tid, sizeof(tid));
	(void)pause();
	return NULL;
}

static void start_threaded(struct child *c, const struct tables *t)
{
	pthread_t thread;

	c->tables = t;
	assert_int_equal(pipe2(c->ready, O_CLOEXEC), 0);
	c->files[FILE_A] = memfd_create("a", MFD_CLOEXEC);
	c->files[FILE_B] = memfd_create("b", MFD_CLOEXEC);
	c->pid = fork();
	if (c->pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		place(c->files, t->process);
		(void)pthread_create(&thread, NULL, be_thread, c);
		(void)pthread_join(thread, NULL);
		_exit(1);
	}
	assert_int_equal(read(c->ready[0], &c->tid, sizeof(c->tid)), sizeof(c->tid));
}

static void stop_threaded(struct child *c)
{
	stop(c->pid);
	(void)close(c->ready[0]);
	(void)close(c->ready[1]);
	(void)close(c->files[FILE_A]);
	(void)close(c->files[FILE_B]);
}

/* Which of the files @fd is, which is closed; or the error that it is. */
static int which(const struct child *c, int fd)
{
	struct stat is, a, b;

	if (fd < 0)
		return fd;
	assert_int_equal(fstat(fd, &is), 0);
	(void)close(fd);
	assert_int_equal(fstat(c->files[FILE_A], &a), 0);
	assert_int_equal(fstat(c->files[FILE_B], &b), 0);
	return is.st_ino == a.st_ino ? FILE_A : is.st_ino == b.st_ino ? FILE_B : FILE_NONE;
}

static bool has_threads_of_its_own(void)
{
	auto_close int fd = (int)__real_syscall(SYS_pidfd_open, getpid(), PIDFD_THREAD, 0, 0, 0, 0);

	return fd >= 0;
}

static void the_descriptor_of_a_thread_is_its_own_or_none(void **state)
{
	static const struct {
		struct tables tables;
		int old, new; /* what it is before 6.9, and since */
	} cases[] = {
		{ { true, FILE_A, FILE_A }, FILE_A, FILE_A },
		{ { true, FILE_NONE, FILE_NONE }, -EBADF, -EBADF },
		{ { false, FILE_A, FILE_A }, FILE_A, FILE_A },
		{ { false, FILE_A, FILE_B }, -EOPNOTSUPP, FILE_B },
		{ { false, FILE_NONE, FILE_B }, -EOPNOTSUPP, FILE_B },
		{ { false, FILE_A, FILE_NONE }, -EBADF, -EBADF },
	};

	for (size_t i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
		const size_t row = i / 2;
		struct fixture *f = *state;
		struct child c;

		kernel = i % 2 == 0 ? KERNEL_6_8 : KERNEL_THIS;
		start_threaded(&c, &cases[row].tables);
		assert_int_equal(which(&c, owner_getfd(f->owners, c.tid, NUMBER)),
			kernel == KERNEL_THIS && has_threads_of_its_own() ? cases[row].new : cases[row].old);
		/* The process's own, whatever the thread has. */
		assert_int_equal(which(&c, owner_getfd(f->owners, c.pid, NUMBER)),
			cases[row].tables.process == FILE_NONE ? -EBADF : cases[row].tables.process);
		stop_threaded(&c);
	}
	kernel = KERNEL_THIS;
}

static void where_nobody_can_tell_a_thread_has_no_descriptor(void **state)
{
	static const struct tables shared = { true, FILE_A, FILE_A };
	struct fixture *f = *state;
	struct child c;

	kernel = KERNEL_6_8_WITHOUT_KCMP;
	start_threaded(&c, &shared);
	assert_int_equal(which(&c, owner_getfd(f->owners, c.tid, NUMBER)), -EOPNOTSUPP);
	assert_int_equal(which(&c, owner_getfd(f->owners, c.pid, NUMBER)), FILE_A);
	kernel = KERNEL_THIS;
	stop_threaded(&c);
}

/* A thread's number that was another process's thread before: the pidfd that is remembered is of that one. */
static void a_recycled_thread_gets_nothing_of_who_had_its_number(void **state)
{
	static const struct tables gone = { true, FILE_A, FILE_A }, here = { true, FILE_B, FILE_B };
	struct fixture *f = *state;
	struct child before, now;

	kernel = KERNEL_6_8;
	start_threaded(&before, &gone);
	start_threaded(&now, &here);
	recycled.number = now.pid;
	recycled.before = before.pid;
	assert_int_equal(which(&now, owner_getfd(f->owners, now.tid, NUMBER)), FILE_B);
	assert_int_equal(recycled.number, 0);
	kernel = KERNEL_THIS;
	stop_threaded(&before);
	stop_threaded(&now);
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
		EACH(a_changed_ancestor_refuses_as_the_caller_would),
		EACH(a_binary_that_cannot_be_hashed_is_refused_until_trusted),
		EACH(without_memory_for_the_reason_it_is_refused_all_the_same),
		EACH(the_hash_of_one_file_is_no_word_for_another),
		EACH(a_number_on_another_device_is_another_file),
		EACH(who_has_the_number_of_a_parent_that_ended_is_no_ancestor),
		EACH(an_exec_is_another_identity),
		EACH(an_exec_under_our_eyes_makes_nobody),
		EACH(of_tasks_the_least_recently_used_are_forgotten),
		EACH(binaries_beyond_the_limit_are_refused),
		EACH(descriptors_are_duplicated_by_number),
		EACH(more_tasks_than_are_remembered_are_known_all_the_same),
		EACH(the_descriptor_of_a_thread_is_its_own_or_none),
		EACH(where_nobody_can_tell_a_thread_has_no_descriptor),
		EACH(a_recycled_thread_gets_nothing_of_who_had_its_number),
		EACH(an_executable_that_cannot_be_opened_makes_nobody),
		EACH(out_of_descriptors_nobody_is_taken_for_anybody),
		EACH(out_of_descriptors_none_is_duplicated),
		EACH(without_a_root_there_is_nobody_to_know),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
