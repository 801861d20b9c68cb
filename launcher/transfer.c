#include "launcher/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/cli.h"
#include "launcher/ctl.h"
#include "launcher/out.h"
#include "launcher/session.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/proto.h"
#include "lib/state.h"
#include "lib/str.h"

extern char **environ;

enum { LIST_MAX_BYTES = 256 * 1024 * 1024 };

/* Inside: the content of a directory … */
static const char unpack_dir[] = "mkdir -p -- \"$1\" && exec tar -x -f - -C \"$1\"";
/* … or one file, named by what is there already. $2 is its mode. */
static const char unpack_file[] = "case $1 in */) mkdir -p -- \"$1\" ;; *) mkdir -p -- \"$(dirname "
				  "-- \"$1\")\" ;; esac || exit\n"
				  "if [ -d \"$1\" ]; then exec tar -x -f - -C \"$1\"; fi\n"
				  "tar -x -O -f - >\"$1\" && chmod \"$2\" \"$1\"";
static const char pack[] =
	"cd -- \"$(dirname -- \"$1\")\" && exec tar -c -f - -- \"$(basename -- \"$1\")\"";

char *transfer_basename(const char *path)
{
	size_t len = strlen(path), start;
	char *name;

	while (len > 0 && path[len - 1] == '/')
		len--;
	for (start = len; start > 0 && path[start - 1] != '/';)
		start--;
	name = strndup(path + start, len - start);
	if (name && (!name[0] || str_eq(name, ".") || str_eq(name, ".."))) {
		free(name);
		return NULL;
	}
	return name;
}

/* --- programs on our side --- */

/* Starts @argv with these descriptors as its standard ones. */
static int start(char *const argv[], int in, int out, int err, pid_t *ret_pid)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	sigset_t none;
	int r;

	(void)sigemptyset(&none);
	if (posix_spawn_file_actions_init(&fa) != 0)
		return -ENOMEM;
	(void)posix_spawnattr_init(&attr);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	(void)posix_spawn_file_actions_adddup2(&fa, in, STDIN_FILENO);
	(void)posix_spawn_file_actions_adddup2(&fa, out, STDOUT_FILENO);
	(void)posix_spawn_file_actions_adddup2(&fa, err, STDERR_FILENO);
	r = -posix_spawnp(ret_pid, argv[0], &fa, &attr, argv, environ);
	(void)posix_spawnattr_destroy(&attr);
	(void)posix_spawn_file_actions_destroy(&fa);
	return r;
}

/* True when it ended well. */
static bool finish(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return false;
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* --- the other side --- */

/* Runs a script inside with this standard input or output (-1: ours), which it closes. */
static int run_inside(const char *sandbox, const char *script, char *const args[3], int in, int out)
{
	const int stdio[3] = { in >= 0 ? in : STDIN_FILENO, out >= 0 ? out : STDOUT_FILENO,
		STDERR_FILENO };
	char *const argv[] = { (char[]){ "sh" }, (char[]){ "-c" }, (char *)(uintptr_t)script,
		(char[]){ "sh" }, args[0], args[1], args[2], NULL };
	struct ctl_exec exec = { .kind = CTL_EXEC_EXTRA, .argv = argv, .stdio = stdio };
	struct session session = { .name = sandbox };
	auto_close int sock = -1;
	struct err err = { 0 };
	int r;

	sock = state_control_connect(sandbox, &err);
	r = sock < 0 ? sock : ctl_send_exec(sock, &exec, &err);
	if (in >= 0)
		(void)close(in);
	if (out >= 0)
		(void)close(out);
	if (r < 0)
		return out_fail(CLI_FAILED, &err);
	session.sock = sock;
	return session_run(&session);
}

/* tar's own numbers mean nothing to our callers; a signal does. */
static int outcome(int status, bool has_our_side_ended_well)
{
	if (status >= 128)
		return status;
	return status == 0 && has_our_side_ended_well ? CLI_OK : CLI_FAILED;
}

/* --- upload --- */

/*
 * What git would track below @dir, as a NUL-separated list. The repository may be the workload's:
 * its configuration must not make git run anything (fsmonitor, hooks, fetching what is missing).
 * -ENOENT when this is no work tree or there is no git.
 */
static int git_files(const char *dir, char **ret, size_t *ret_len)
{
	char *const argv[] = { (char[]){ "git" }, (char[]){ "-C" }, (char *)(uintptr_t)dir,
		(char[]){ "-c" }, (char[]){ "core.fsmonitor=false" }, (char[]){ "-c" },
		(char[]){ "core.hooksPath=/dev/null" }, (char[]){ "ls-files" }, (char[]){ "-z" },
		(char[]){ "--cached" }, (char[]){ "--others" }, (char[]){ "--exclude-standard" },
		NULL };
	auto_close int out = memfd_create("files", MFD_CLOEXEC);
	auto_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	pid_t pid;

	(void)setenv("GIT_NO_LAZY_FETCH", "1", 1);
	(void)setenv("GIT_OPTIONAL_LOCKS", "0", 1);
	if (out < 0 || null < 0 || start(argv, null, out, null, &pid) < 0 || !finish(pid))
		return -ENOENT;
	return fd_slurp(out, LIST_MAX_BYTES, ret, ret_len);
}

/* Drops what is in git's index and not on disk; tar would complain. */
static int drop_missing(const char *dir, const char *list, size_t len, struct buf *ret)
{
	auto_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	for (const char *name = list; name < list + len; name += strlen(name) + 1) {
		if (faccessat(fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (buf_append(ret, name, strlen(name) + 1) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* The names to pack, as a file for tar to read: descriptor or -errno. */
static int list_files(const char *dir, bool is_whole)
{
	auto_free char *list = NULL;
	auto_buf struct buf present;
	size_t len = 0;
	int r;

	buf_init(&present, LIST_MAX_BYTES);
	r = is_whole ? -ENOENT : git_files(dir, &list, &len);
	if (r == -ENOENT)
		return fd_memfile("files", ".", 2);
	if (r == 0)
		r = drop_missing(dir, list, len, &present);
	if (r < 0)
		return r;
	return fd_memfile("files", present.len ? buf_head(&present) : "", present.len);
}

/* Packs what @list (or, if that is negative, @name) names below @dir into @out. */
static int start_packing(const char *dir, const char *name, int list, int out, pid_t *ret_pid)
{
	char *const by_list[] = { (char[]){ "tar" }, (char[]){ "-c" }, (char[]){ "-f" },
		(char[]){ "-" }, (char[]){ "-C" }, (char *)(uintptr_t)dir, (char[]){ "--null" },
		(char[]){ "--verbatim-files-from" }, (char[]){ "-T" }, (char[]){ "-" }, NULL };
	char *const by_name[] = { (char[]){ "tar" }, (char[]){ "-c" }, (char[]){ "-f" },
		(char[]){ "-" }, (char[]){ "-C" }, (char *)(uintptr_t)dir, (char[]){ "--" },
		(char *)(uintptr_t)name, NULL };

	return start(list >= 0 ? by_list : by_name, list >= 0 ? list : STDIN_FILENO, out,
		STDERR_FILENO, ret_pid);
}

struct upload {
	const char *sandbox, *dest;
	char *dir, *name; /* owned: the file's directory and name; name NULL for a directory */
	char mode[8];
	int list;
};

static void upload_done(struct upload *u)
{
	free(u->dir);
	free(u->name);
	cleanup_close(&u->list);
}

static int send_packed(const struct upload *u)
{
	char *const args[3] = { (char *)(uintptr_t)u->dest, (char *)(uintptr_t)u->mode, NULL };
	int p[2], status;
	pid_t pid;
	int r;

	if (pipe2(p, O_CLOEXEC) < 0)
		return out_error(CLI_FAILED, "pipe: %s", err_name(errno));
	r = start_packing(u->dir, u->name, u->list, p[1], &pid);
	(void)close(p[1]);
	if (r < 0) {
		(void)close(p[0]);
		return out_error(CLI_FAILED, "cannot run tar: %s", err_name(r));
	}
	status = run_inside(u->sandbox, u->name ? unpack_file : unpack_dir, args, p[0], -1);
	return outcome(status, finish(pid));
}

static int look_at(struct upload *u, const char *local, bool is_whole)
{
	auto_free char *path = realpath(local, NULL);
	struct stat st;
	char *slash;

	if (!path || stat(path, &st) < 0)
		return -errno;
	(void)str_format(u->mode, sizeof(u->mode), "%o", st.st_mode & 0777);
	if (S_ISDIR(st.st_mode)) {
		u->dir = take_ptr(path);
		u->list = list_files(u->dir, is_whole);
		return u->list < 0 ? u->list : 0;
	}
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	slash = strrchr(path, '/');
	u->name = strdup(slash + 1);
	*slash = '\0';
	u->dir = strdup(path[0] ? path : "/");
	return u->name && u->dir ? 0 : -ENOMEM;
}

int transfer_upload(const char *sandbox, const char *local, const char *dest, bool is_whole)
{
	__attribute__((cleanup(upload_done))) struct upload u = { .sandbox = sandbox, .list = -1 };
	auto_free char *base = NULL, *given = transfer_basename(local);
	int r = look_at(&u, local, is_whole);

	if (r < 0)
		return out_error(CLI_FAILED, "cannot upload '%s': %s", local, err_name(r));
	if (!dest && asprintf(&base, "/sandbox/%s", given ? given : "") < 0)
		return out_error(CLI_FAILED, "out of memory");
	u.dest = dest ? dest : base;
	return send_packed(&u);
}

/* --- download --- */

/* Where it goes: into @dest if that is a directory, else by that name. The caller frees. */
static char *target_of(const char *dest, const char *name)
{
	struct stat st;
	char *target;

	if (stat(dest, &st) < 0 || !S_ISDIR(st.st_mode))
		return strdup(dest);
	return asprintf(&target, "%s/%s", dest, name) < 0 ? NULL : target;
}

static int unpack_into(const char *sandbox, const char *path, const char *dir)
{
	char *const tar[] = { (char[]){ "tar" }, (char[]){ "-x" }, (char[]){ "-f" },
		(char[]){ "-" }, (char[]){ "-C" }, (char *)(uintptr_t)dir,
		(char[]){ "--no-same-owner" }, (char[]){ "--no-same-permissions" }, NULL };
	char *const args[3] = { (char *)(uintptr_t)path, NULL, NULL };
	int p[2], r, status;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0)
		return out_error(CLI_FAILED, "pipe: %s", err_name(errno));
	r = start(tar, p[0], STDERR_FILENO, STDERR_FILENO, &pid);
	(void)close(p[0]);
	if (r < 0) {
		(void)close(p[1]);
		return out_error(CLI_FAILED, "cannot run tar: %s", err_name(r));
	}
	status = run_inside(sandbox, pack, args, -1, p[1]);
	return outcome(status, finish(pid));
}

static int move_out(const char *tmp, const char *name, const char *target)
{
	auto_free char *from = NULL;

	if (asprintf(&from, "%s/%s", tmp, name) < 0)
		return out_error(CLI_FAILED, "out of memory");
	if (rename(from, target) == 0)
		return CLI_OK;
	(void)out_error(CLI_FAILED, "cannot write '%s': %s", target, err_name(errno));
	if (errno == ENOTEMPTY || errno == EEXIST || errno == EISDIR || errno == ENOTDIR)
		out_hint("something else is there; remove it or name another place");
	return CLI_FAILED;
}

/* Beside the target, so that the last step is one rename. */
static int download_to(const char *sandbox, const char *path, const char *name, const char *target)
{
	auto_free char *tmp = NULL;
	const char *slash = strrchr(target, '/');
	int n = slash ? (int)(slash - target + 1) : 0, status;

	if (asprintf(&tmp, "%.*s.openshell-download-XXXXXX", n, target) < 0)
		return out_error(CLI_FAILED, "out of memory");
	if (!mkdtemp(tmp))
		return out_error(
			CLI_FAILED, "cannot write beside '%s': %s", target, err_name(errno));
	status = unpack_into(sandbox, path, tmp);
	if (status == CLI_OK)
		status = move_out(tmp, name, target);
	(void)state_tree_remove(AT_FDCWD, tmp);
	return status;
}

int transfer_download(const char *sandbox, const char *path, const char *dest)
{
	auto_free char *name = transfer_basename(path), *target = NULL;

	if (!name)
		return out_error(CLI_USAGE, "'%s' names nothing that could be copied", path);
	target = target_of(dest, name);
	if (!target)
		return out_error(CLI_FAILED, "out of memory");
	return download_to(sandbox, path, name, target);
}
