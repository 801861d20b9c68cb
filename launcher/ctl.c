#include "launcher/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "launcher/cli.h"
#include "lib/cleanup.h"
#include "lib/proto.h"
#include "lib/self.h"
#include "lib/str.h"
#include "lib/strv.h"

extern char **environ;

enum { SOCKET_BUFFER = 512 * 1024, TRACER_PATH_MAX = 4096 };

/* --- starting a supervisor --- */

/* Relative to our own program: a build tree has them beside it, an installed copy, wherever it was
 * moved to, where `make install` puts them. */
static const char *const places[] = { "", "../libexec/openshell" };

static bool near_us(char *ret, size_t size)
{
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		char path[TRACER_PATH_MAX];

		if (self_path(ret, size, places[i]) == 0 &&
			str_format(path, sizeof(path), "%s/openshell-tracer", ret) &&
			access(path, X_OK) == 0)
			return true;
	}
	return false;
}

int ctl_program_dir(char *ret, size_t size, struct err *err)
{
	const char *dir = getenv("OPENSHELL_LIBEXEC");

	if (!dir || !dir[0]) {
		if (near_us(ret, size))
			return 0;
		dir = LIBEXECDIR;
	}
	if (!str_copy(ret, size, dir))
		return err_set(err, -ENAMETOOLONG, "the path '%.64s…' is too long", dir);
	return 0;
}

/* What the child does with descriptors, in order: our end becomes CTL_START_FD, the rest goes. */
static int child_files(posix_spawn_file_actions_t *fa, int sock)
{
	const char *debug = getenv("OPENSHELL_DEBUG");
	int r;

	r = posix_spawn_file_actions_adddup2(fa, sock, CTL_START_FD);
	if (r == 0)
		r = posix_spawn_file_actions_addopen(fa, STDIN_FILENO, "/dev/null", O_RDWR, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(fa, STDIN_FILENO, STDOUT_FILENO);
	if (r == 0 && !str_eq(debug, "1"))
		r = posix_spawn_file_actions_adddup2(fa, STDIN_FILENO, STDERR_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(fa, CTL_START_FD + 1);
	if (r == 0)
		r = posix_spawn_file_actions_addchdir_np(fa, "/");
	return -r;
}

static int child_attributes(posix_spawnattr_t *attr)
{
	sigset_t none, all;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	(void)posix_spawnattr_setsigmask(attr, &none);
	(void)posix_spawnattr_setsigdefault(attr, &all);
	return -posix_spawnattr_setflags(
		attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static int spawn(const char *path, int sock)
{
	char name[] = "openshell-tracer", *argv[] = { name, NULL };
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	pid_t pid;
	int r;

	r = -posix_spawn_file_actions_init(&fa);
	if (r < 0)
		return r;
	r = -posix_spawnattr_init(&attr);
	if (r == 0) {
		r = child_files(&fa, sock);
		if (r == 0)
			r = child_attributes(&attr);
		if (r == 0)
			r = -posix_spawn(&pid, path, &fa, &attr, argv, environ);
		(void)posix_spawnattr_destroy(&attr);
	}
	(void)posix_spawn_file_actions_destroy(&fa);
	return r;
}

int ctl_spawn(struct err *err)
{
	auto_close int ours = -1, theirs = -1;
	char dir[TRACER_PATH_MAX], path[TRACER_PATH_MAX + 32];
	int sv[2], size = SOCKET_BUFFER, r;

	r = ctl_program_dir(dir, sizeof(dir), err);
	if (r < 0)
		return r;
	(void)str_format(path, sizeof(path), "%s/openshell-tracer", dir);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return err_set(err, -errno, "cannot make a socket: %s", err_name(errno));
	ours = sv[0];
	theirs = sv[1];
	(void)setsockopt(ours, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	r = spawn(path, theirs);
	if (r == -ENOENT) {
		(void)err_set(err, r, "the supervisor '%s' is not installed", path);
		return err_hint(err, r, "reinstall openshell, or set OPENSHELL_LIBEXEC");
	}
	if (r < 0)
		return err_set(err, r, "cannot start the supervisor '%s': %s", path, err_name(r));
	return take_fd(ours);
}

/* Whether something is there to be read; behind a reset, too. */
static bool has_answer(int sock)
{
	char byte;
	ssize_t n = recv(sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && errno == ECONNRESET)
		n = recv(sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	return n > 0;
}

int ctl_send(int sock, const struct msg_out *m, struct err *err)
{
	int r = msg_send(sock, m);

	if (r == -EPIPE || r == -ECONNRESET)
		return has_answer(sock) ? 0 : err_set(err, -EPIPE, "the supervisor has ended");
	if (r == -EMSGSIZE || r == -E2BIG || r == -ENOBUFS)
		return err_set(err, r, "the request is too long");
	return r < 0 ? err_set(err, r, "cannot talk to the supervisor: %s", err_name(r)) : 0;
}

static int send_start(int sock, const struct sandbox_spec *spec, const char *policy,
	bool is_restart, struct err *err)
{
	auto_free char *json = spec_to_json(spec);
	auto_msg_out struct msg_out m;

	msg_out_init(&m, CTL_START, 0);
	if (!json)
		return err_set(err, -EINVAL, "a path or a value of the sandbox is not UTF-8");
	msg_put_str(&m, json);
	msg_put_str(&m, policy);
	msg_put_u32(&m, is_restart);
	return ctl_send(sock, &m, err);
}

int ctl_send_start(int sock, const struct sandbox_spec *spec, const char *policy, struct err *err)
{
	return send_start(sock, spec, policy, false, err);
}

int ctl_send_restart(int sock, const struct sandbox_spec *spec, struct err *err)
{
	return send_start(sock, spec, NULL, true, err);
}

/* --- running a command --- */

static bool is_inherited(const char *entry)
{
	static const char *const names[] = { "TERM=", "LANG=", "LANGUAGE=", "LC_", "TZ=" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (str_starts(entry, names[i]))
			return true;
	}
	return false;
}

static int exec_env(char ***ret, char *const *extra)
{
	auto_strv char **env = NULL;
	int r = 0;

	for (char **e = environ; r == 0 && *e; e++) {
		if (is_inherited(*e))
			r = strv_push(&env, *e);
	}
	if (r == 0)
		r = strv_push_n(&env, extra, strv_len(extra));
	if (r < 0)
		return r;
	*ret = take_ptr(env);
	return 0;
}

int ctl_send_exec(int sock, const struct ctl_exec *exec, struct err *err)
{
	auto_strv char **env = NULL;
	auto_msg_out struct msg_out m;
	struct winsize ws = { 0 };

	msg_out_init(&m, CTL_EXEC, 0);
	if (exec_env(&env, exec->env) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	if (exec->flags & CTL_EXEC_TTY)
		(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws);
	msg_put_u32(&m, exec->kind);
	msg_put_u32(&m, exec->flags);
	msg_put_u32(&m, ws.ws_row);
	msg_put_u32(&m, ws.ws_col);
	msg_put_str(&m, exec->workdir);
	msg_put_strv(&m, env);
	msg_put_strv(&m, exec->argv);
	for (int fd = 0; fd <= 2 && !(exec->flags & CTL_EXEC_TTY); fd++)
		msg_put_fd(&m, exec->stdio ? exec->stdio[fd] : fd);
	return ctl_send(sock, &m, err);
}

/* --- answers --- */

int ctl_failure(struct msg_in *m, int *ret_status, struct err *err)
{
	uint32_t e = msg_get_u32(m), status = msg_get_u32(m);
	const char *text = msg_get_str(m), *hint = msg_get_str(m);
	int r;

	if (!msg_in_done(m))
		return err_set(err, -EPROTO, "the supervisor answered nonsense");
	r = e > 0 && e < 4096 ? -(int)e : -EIO;
	(void)err_set(err, r, "%s", text ? text : err_name(r));
	if (hint && hint[0])
		(void)err_hint(err, r, "%s", hint);
	if (ret_status)
		*ret_status = status > 0 && status < 256 ? (int)status : CLI_FAILED;
	return r;
}

static int64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Until there is something to read: 0, or -ETIME at @deadline (-1: none). */
static int readable(int sock, int64_t deadline)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };
	int n;

	do {
		int64_t left = deadline < 0 ? -1 : deadline - now_ms();

		if (deadline >= 0 && left <= 0)
			return -ETIME;
		n = poll(&p, 1, (int)left);
	} while (n == 0 || (n < 0 && errno == EINTR));
	return n < 0 ? -errno : 0;
}

int ctl_recv(int sock, struct msg_in *ret)
{
	int r = msg_recv(sock, ret);

	return r == -ECONNRESET ? msg_recv(sock, ret) : r;
}

int ctl_wait(int sock, uint16_t want, int timeout_ms, struct msg_in *ret, int *ret_status,
	struct err *err)
{
	int64_t deadline = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;

	for (;;) {
		auto_msg_in struct msg_in m = { 0 };
		int r = readable(sock, deadline);

		if (r < 0)
			return err_set(err, r, "no answer from the supervisor");
		r = ctl_recv(sock, &m);
		if (r == 0 || r == -ECONNRESET)
			return err_set(err, -EPIPE, "the supervisor has ended");
		if (r < 0)
			return err_set(
				err, r, "cannot read the supervisor's answer: %s", err_name(r));
		if (m.type == want) {
			*ret = m;
			m = (struct msg_in){ 0 };
			return 0;
		}
		if (m.type == CTL_FAILED)
			return ctl_failure(&m, ret_status, err);
	}
}
