/*
 * openshell-init - pid 1 of a sandbox, the only code of ours inside it.
 *
 * May: confine itself and thereby everything it starts (Landlock, seccomp), start the commands the
 * supervisor names, reap.
 * May not: decide anything. It speaks to the supervisor alone, and when the supervisor is gone it
 * ends, and the kernel ends everything else in its pid namespace.
 *
 * It is static and links nothing but the message framing and Landlock, because it is on the path of every
 * start. bubblewrap installs filters with prctl(2), which cannot return a notification listener;
 * hence the filter is installed here, with seccomp(2), and its listener is handed out. Where there
 * cannot be one, the supervisor traces this process and all that come of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/kernel.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "tracer/landlock.h"

enum { SESSIONS_MAX = 256 };

struct session {
	uint32_t id; /* the supervisor's number */
	pid_t pid;   /* 0: slot is free */
};

static struct session sessions[SESSIONS_MAX];

static int listener = -1; /* until the supervisor, which has fetched it, says something */

static _Noreturn void fail(int errnum, const char *text)
{
	auto_msg_out struct msg_out m;

	msg_out_init(&m, INIT_FAILED, 0);
	msg_put_u32(&m, (uint32_t)errnum);
	msg_put_str(&m, text);
	(void)msg_send_plain(INIT_FD, &m);
	_exit(125);
}

static int filter_install(const void *code, size_t len, unsigned long flags)
{
	struct sock_fprog prog = { .len = (unsigned short)(len / sizeof(struct sock_filter)),
		.filter = (struct sock_filter *)code };
	int r = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);

	return r < 0 ? -errno : r;
}

/*
 * The filter with its listener. WAIT_KILLABLE_RECV (5.19) keeps a notification alive while the
 * caller handles ordinary signals: without it a connect that was carried out could be repeated.
 */
static int listener_install(const void *code, size_t len)
{
	int fd = filter_install(code, len,
		SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);

	return fd == -EINVAL ? filter_install(code, len, SECCOMP_FILTER_FLAG_NEW_LISTENER) : fd;
}

/*
 * The listener's number, not the listener: sendmsg() is notified from now on, and nobody could answer
 * yet. The supervisor fetches it (pidfd_getfd).
 */
static void send_ready(int abi, const char *note)
{
	auto_msg_out struct msg_out m;

	msg_out_init(&m, INIT_READY, 0);
	msg_put_u32(&m, abi > 0 ? (uint32_t)abi : 0);
	msg_put_str(&m, note);
	msg_put_u32(&m, (uint32_t)listener);
	if (msg_send_plain(INIT_FD, &m) < 0)
		_exit(125);
}

static const char *landlock_note; /* why it is not applied */
static int landlock_abi;

static void send_unfiltered(int errnum)
{
	auto_msg_out struct msg_out m;

	msg_out_init(&m, INIT_UNFILTERED, 0);
	msg_put_u32(&m, (uint32_t)errnum);
	if (msg_send_plain(INIT_FD, &m) < 0)
		_exit(125);
}

static void on_setup(struct msg_in *m)
{
	size_t len;
	const void *code = msg_get_bytes(m, &len);
	enum init_landlock mode = (enum init_landlock)msg_get_u32(m);
	auto_free char **ro = msg_get_strv(m);
	auto_free char **rw = msg_get_strv(m);
	int abi = 0;

	if (!msg_in_done(m) || !ro || !rw)
		fail(EPROTO, "init: malformed set-up");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		fail(errno, "no_new_privs");
	if (mode != INIT_LANDLOCK_OFF)
		abi = landlock_apply(ro, rw);
	if (abi < 0 && mode == INIT_LANDLOCK_REQUIRED)
		fail(-abi, "Landlock cannot be applied, and the policy says hard_requirement");
	if (abi < 0)
		landlock_note = strerror(-abi);
	landlock_abi = abi;
	listener = len ? listener_install(code, len) : 0;
	if (len && listener >= 0) {
		send_ready(landlock_abi, landlock_note);
		return;
	}
	send_unfiltered(-listener);
	listener = -1;
}

/*
 * A filter around ours may have a listener, and a notification goes before a stop: then somebody else
 * would answer what the supervisor has to. So each call that ought to stop is made once.
 */
static void prove_stops(void)
{
	static const struct {
		int nr;
		long args[5];
	} calls[] = {
		{ SYS_connect, { -1 } },
		{ SYS_getpeername, { -1 } },
		{ SYS_sendto, { -1, 0, 0, 0, 1 } }, /* with an address */
		{ SYS_sendmsg, { -1 } },
		{ SYS_sendmmsg, { -1 } },
		{ SYS_socket, { -1 } },
		{ SYS_socketpair, { AF_UNIX, SOCK_DGRAM } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		const long *a = calls[i].args;

		if (syscall(calls[i].nr, a[0], a[1], a[2], a[3], a[4], 0) != INIT_PROOF)
			fail(EBUSY, "a seccomp listener around this sandbox answers for it");
	}
}

static void on_traced(struct msg_in *m)
{
	size_t len;
	const void *code = msg_get_bytes(m, &len);
	int r = msg_in_done(m) ? filter_install(code, len, 0) : -EPROTO;

	if (r < 0)
		fail(-r, "the seccomp filter");
	prove_stops();
	send_ready(landlock_abi, landlock_note);
}

static void on_cooperative(struct msg_in *m)
{
	size_t len;
	const void *code = msg_get_bytes(m, &len);
	int r = msg_in_done(m) ? filter_install(code, len, 0) : -EPROTO;

	if (r < 0)
		fail(-r, "the seccomp filter");
	send_ready(landlock_abi, landlock_note);
}

/* Sessions. */

static struct session *session_by_pid(pid_t pid)
{
	for (size_t i = 0; i < SESSIONS_MAX; i++)
		if (sessions[i].pid == pid)
			return &sessions[i];
	return NULL;
}

static struct session *session_by_id(uint32_t id)
{
	for (size_t i = 0; i < SESSIONS_MAX; i++)
		if (sessions[i].pid && sessions[i].id == id)
			return &sessions[i];
	return NULL;
}

struct spawn {
	uint32_t id, flags, rows, cols;
	const char *cwd;
	char **env, **argv;
	int stdio[3]; /* owned */
	int master;   /* owned; -1 without a terminal */
};

static void spawn_done(struct spawn *s)
{
	for (int i = 0; i < 3; i++)
		cleanup_close(&s->stdio[i]);
	cleanup_close(&s->master);
	free(s->env);
	free(s->argv);
}

static void spawn_failed(uint32_t id, int errnum, const char *stage)
{
	auto_msg_out struct msg_out m;

	msg_out_init(&m, INIT_SPAWN_FAILED, id);
	msg_put_u32(&m, (uint32_t)errnum);
	msg_put_str(&m, stage);
	(void)msg_send(INIT_FD, &m);
}

/* A terminal of the sandbox's own /dev/pts: its name resolves inside, and TIOCSTI reaches nobody. */
static int open_terminal(struct spawn *s)
{
	struct winsize size = { .ws_row = (unsigned short)s->rows,
		.ws_col = (unsigned short)s->cols };
	int unlock = 0;

	s->master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (s->master < 0)
		return -errno;
	if (ioctl(s->master, TIOCSPTLCK, &unlock) < 0)
		return -errno;
	s->stdio[0] = ioctl(s->master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (s->stdio[0] < 0)
		return -errno;
	(void)ioctl(s->stdio[0], TIOCSWINSZ, &size);
	for (int i = 1; i < 3; i++) {
		s->stdio[i] = fcntl(s->stdio[0], F_DUPFD_CLOEXEC, 4);
		if (s->stdio[i] < 0)
			return -errno;
	}
	return 0;
}

struct exec_failure {
	int errnum;
	char stage[16];
};

static _Noreturn void child_failed(int report, const char *stage)
{
	struct exec_failure f = { .errnum = errno };

	memcpy(f.stage, stage, strlen(stage) + 1);
	(void)!write(report, &f, sizeof(f));
	_exit(127);
}

static void reset_signals(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		(void)signal(i, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool is_elf(const char *path)
{
	char magic[4] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool is = read(fd, magic, sizeof(magic)) == sizeof(magic) && memcmp(magic, "\177ELF", sizeof(magic)) == 0;

	(void)close(fd);
	return is;
}

/*
 * A script whose first line names no interpreter is the shell's, as it is to a shell and to glibc's execvp(3), which
 * is not musl's. Returns where it is none, with execvp()'s error.
 */
static void exec_script(char *const *argv)
{
	size_t n = 0;
	char **shell;

	while (argv[n])
		n++;
	shell = strchr(argv[0], '/') && !is_elf(argv[0]) ? calloc(n + 2, sizeof(*shell)) : NULL;
	if (shell) {
		shell[0] = (char[]){ "/bin/sh" };
		memcpy(shell + 1, argv, n * sizeof(*argv));
		(void)execv(shell[0], shell);
		free(shell);
	}
	errno = ENOEXEC;
}

static _Noreturn void child_run(const struct spawn *s, int report)
{
	(void)setsid();
	if (s->master >= 0 && ioctl(s->stdio[0], TIOCSCTTY, 0) < 0)
		child_failed(report, "terminal");
	for (int i = 0; i < 3; i++)
		if (dup2(s->stdio[i], i) < 0)
			child_failed(report, "stdio");
	if (chdir(s->cwd) < 0)
		child_failed(report, "chdir");
	reset_signals();
	environ = s->env;
	(void)execvp(s->argv[0], s->argv);
	if (errno == ENOEXEC)
		exec_script(s->argv);
	child_failed(report, "exec");
}

/* Waits for the exec to have happened: an empty report means that it did. */
static int exec_outcome(int report, struct exec_failure *ret)
{
	ssize_t n;

	do
		n = read(report, ret, sizeof(*ret));
	while (n < 0 && errno == EINTR);
	return n == sizeof(*ret) ? -ret->errnum : 0;
}

static void spawned(const struct spawn *s, pid_t pid)
{
	auto_msg_out struct msg_out m;

	msg_out_init(&m, INIT_SPAWNED, s->id);
	msg_put_u32(&m, (uint32_t)pid);
	if (s->master >= 0)
		msg_put_fd(&m, s->master);
	(void)msg_send(INIT_FD, &m);
}

static void spawn(const struct spawn *s)
{
	auto_close int report_r = -1, report_w = -1;
	struct session *slot = session_by_pid(0);
	struct exec_failure failure;
	int p[2];
	pid_t pid;

	if (!slot) {
		spawn_failed(s->id, EAGAIN, "sessions");
		return;
	}
	if (pipe2(p, O_CLOEXEC) < 0) {
		spawn_failed(s->id, errno, "pipe");
		return;
	}
	report_r = p[0];
	report_w = p[1];
	pid = fork();
	if (pid < 0) {
		spawn_failed(s->id, errno, "fork");
		return;
	}
	if (pid == 0)
		child_run(s, report_w);
	(void)close(take_fd(report_w));
	if (exec_outcome(report_r, &failure) < 0) {
		(void)waitpid(pid, NULL, 0);
		spawn_failed(s->id, failure.errnum, failure.stage);
		return;
	}
	*slot = (struct session){ .id = s->id, .pid = pid };
	spawned(s, pid);
}

static void on_spawn(struct msg_in *m)
{
	__attribute__((cleanup(spawn_done))) struct spawn s = { .id = m->id,
		.stdio = { -1, -1, -1 },
		.master = -1 };
	int r = 0;

	s.flags = msg_get_u32(m);
	s.rows = msg_get_u32(m);
	s.cols = msg_get_u32(m);
	s.cwd = msg_get_str(m);
	s.env = msg_get_strv(m);
	s.argv = msg_get_strv(m);
	for (int i = 0; i < 3 && !(s.flags & CTL_EXEC_TTY); i++)
		s.stdio[i] = msg_get_fd(m);
	if (!msg_in_done(m) || !s.cwd || !s.env || !s.argv || !s.argv[0]) {
		spawn_failed(m->id, EPROTO, "message");
		return;
	}
	if (s.flags & CTL_EXEC_TTY)
		r = open_terminal(&s);
	if (r < 0)
		spawn_failed(s.id, -r, "terminal");
	else
		spawn(&s);
}

static void on_signal(struct msg_in *m)
{
	struct session *s = session_by_id(m->id);
	int sig = (int)msg_get_u32(m);

	if (msg_in_done(m) && s)
		(void)kill(-s->pid, sig);
}

static void exited(struct session *s, int status)
{
	auto_msg_out struct msg_out m;

	msg_out_init(&m, INIT_EXITED, s->id);
	msg_put_u32(&m, (uint32_t)status);
	*s = (struct session){ 0 };
	if (msg_send(INIT_FD, &m) < 0)
		_exit(125);
}

/* Most are nobody's session: what daemons and shells leave behind becomes a child of pid 1. */
static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct session *s = session_by_pid(pid);

		if (s)
			exited(s, status);
	}
}

static void on_message(void)
{
	auto_msg_in struct msg_in m = { 0 };
	int r = msg_recv(INIT_FD, &m);

	if (r == 0 || (r < 0 && r != -EAGAIN))
		_exit(125);
	if (r < 0)
		return;
	cleanup_close(&listener);
	listener = -1;
	switch (m.type) {
	case INIT_SETUP:
		on_setup(&m);
		break;
	case INIT_TRACED:
		on_traced(&m);
		break;
	case INIT_COOPERATIVE:
		on_cooperative(&m);
		break;
	case INIT_SPAWN:
		on_spawn(&m);
		break;
	case INIT_SIGNAL:
		on_signal(&m);
		break;
	default:
		fail(EPROTO, "init: unknown message");
	}
}

int main(void)
{
	const struct rlimit no_core = { 0, 0 };
	struct pollfd pfd[2] = { { .fd = INIT_FD, .events = POLLIN }, { .events = POLLIN } };
	sigset_t all;

	if (getpid() != 1) {
		(void)fprintf(stderr, "openshell-init: runs as pid 1 of a sandbox only\n");
		return 2;
	}
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* with bwrap; without a supervisor: on_message() */
	(void)setrlimit(RLIMIT_CORE, &no_core);
	(void)syscall(SYS_close_range, INIT_FD + 1, ~0U, 0);
	(void)fd_set_cloexec(INIT_FD, true);
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	pfd[1].fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (pfd[1].fd < 0)
		fail(errno, "signalfd");
	if (msg_send_empty(INIT_FD, INIT_HELLO, 0) < 0)
		fail(EPIPE, "hello");
	for (;;) {
		struct signalfd_siginfo si;

		if (poll(pfd, 2, -1) < 0 && errno != EINTR)
			fail(errno, "poll");
		while (read(pfd[1].fd, &si, sizeof(si)) == sizeof(si))
			;
		reap();
		if (pfd[0].revents)
			on_message();
	}
}
