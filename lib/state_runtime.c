/* The runtime directory of a sandbox: its control socket and pid file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/state_internal.h"
#include "lib/str.h"

enum { CONTROL_BACKLOG = 64, CONNECT_TIMEOUT_S = 10, PID_TEXT_MAX = 24 };

static int dir_make(int runtime, const char *name)
{
	int fd;

	if (mkdirat(runtime, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(runtime, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int state_runtime_claim(const char *name, int *ret_pid_file, struct err *err)
{
	auto_close int runtime = -1, dir = -1, pid = -1;

	runtime = state_runtime_open(err);
	if (runtime < 0)
		return runtime;
	dir = dir_make(runtime, name);
	if (dir < 0)
		return err_set(err, dir, "cannot create the runtime directory of sandbox '%s': %s",
			name, err_name(dir));
	pid = state_lock_file(dir, "pid", true);
	if (pid == -EBUSY)
		return err_set(
			err, pid, "a sandbox named '%s' is running with its state elsewhere", name);
	if (pid >= 0 && state_pid_read(dir, "pid") != getpid()) {
		/* It was written without room: nobody would know whose the directory is, nor would we. */
		cleanup_close(&pid);
		pid = -ENOSPC;
	}
	if (pid < 0) {
		/* Else the next command would take it for what a supervisor that died left behind. */
		(void)state_runtime_remove(name);
		return err_set(err, pid, "cannot write the pid file of sandbox '%s': %s", name,
			err_name(pid));
	}
	(void)unlinkat(dir, "control", 0);
	*ret_pid_file = take_fd(pid);
	return take_fd(dir);
}

int state_pid_read(int dir, const char *name)
{
	auto_free char *text = NULL;
	uint64_t pid;
	int r;

	r = fd_slurp_at(dir, name, PID_TEXT_MAX, &text, NULL);
	if (r < 0)
		return r;
	text[strcspn(text, "\n")] = '\0';
	return str_to_u64(text, INT32_MAX, &pid) < 0 || pid <= 1 ? -EINVAL : (int)pid;
}

int state_runtime_dir(const char *name, struct err *err)
{
	auto_close int runtime = state_runtime_open(err);
	int fd;

	if (runtime < 0)
		return runtime;
	fd = openat(runtime, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "cannot open the runtime directory of sandbox '%s': %s",
			name, err_name(errno));
	return fd;
}

/* A supervisor holds the pid file of @dir, and it is not this process. */
static bool is_anothers(int dir)
{
	return state_lock_is_held(dir, "pid") && state_pid_read(dir, "pid") != getpid();
}

bool state_runtime_remove(const char *name)
{
	auto_close int runtime = state_runtime_open(NULL), dir = -1;

	if (runtime < 0)
		return false;
	dir = openat(runtime, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 || is_anothers(dir))
		return false;
	return state_tree_remove(runtime, name) == 0;
}

/* A socket address may hold 107 bytes and a runtime directory's path may be longer: go through
 * the descriptor. */
static void control_address(struct sockaddr_un *a, int dir)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	(void)str_format(a->sun_path, sizeof(a->sun_path), "/proc/self/fd/%d/control", dir);
}

int state_control_listen(int dir, struct err *err)
{
	struct sockaddr_un a;
	auto_close int fd = -1;

	control_address(&a, dir);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
		listen(fd, CONTROL_BACKLOG) < 0)
		return err_set(err, -errno, "cannot make the control socket: %s", err_name(errno));
	return take_fd(fd);
}

static int control_connect(const char *name)
{
	const struct timeval patience = { .tv_sec = CONNECT_TIMEOUT_S };
	auto_close int runtime = state_runtime_open(NULL), dir = -1, fd = -1;
	struct sockaddr_un a;

	if (runtime < 0)
		return runtime;
	dir = openat(runtime, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	control_address(&a, dir);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* With a supervisor that is stopped the queue of connections, and then of each, becomes full. */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	return take_fd(fd);
}

int state_control_connect(const char *name, struct err *err)
{
	auto_state struct state *s = NULL;
	int r;

	r = state_open(&s, name, err);
	if (r < 0)
		return r;
	r = control_connect(name);
	if (r >= 0)
		return r;
	if (state_is_running(s)) {
		(void)err_set(
			err, r, "sandbox '%s' runs but does not answer: %s", name, err_name(r));
		return err_hint(err, r, "'openshell sandbox stop %s' ends it", name);
	}
	(void)err_set(err, -ECONNREFUSED, "sandbox '%s' is not running", name);
	return err_hint(err, -ECONNREFUSED, "start it with 'openshell sandbox start %s'", name);
}
