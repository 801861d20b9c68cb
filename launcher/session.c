#include "launcher/session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "launcher/agent.h"
#include "launcher/cli.h"
#include "launcher/ctl.h"
#include "launcher/doctor.h"
#include "launcher/out.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/proto.h"

enum {
	KEY_CTRL_P = 0x10,
	KEY_CTRL_Q = 0x11,
	KEY_EOF = 0x04,
	RELAY_CHUNK = 64 * 1024,
	INPUT_MAX = 256 * 1024, /* typed and not yet taken; then we stop reading the keyboard */
	ANSWER_MS = 10000, /* until the supervisor says that the command runs */
	FORWARD_MS = 100, /* between looks whether we are in the foreground: nobody tells */
	DRAIN_MS = 50,	  /* the kernel may still be moving the last output of an ended command */
	KILL_GRACE_S = 2, /* between SIGTERM and SIGKILL of a command that ran out of time */
};

enum { ON_GOING = -1 };

/* As a shell has them. */
enum { NOT_EXECUTABLE = 126, NOT_FOUND = 127 };

/* What a turn of the loop waits for. */
enum source { FROM_CTL, FROM_SIGNAL, FROM_TIMER, FROM_KEYBOARD, FROM_MASTER, SOURCES };

struct run {
	const struct session *s;
	int signals; /* signalfd */
	int timer;   /* timerfd, or -1 */
	int master;  /* the sandbox's terminal, or -1 */
	uint32_t id; /* the supervisor's number of the session; 0: not started yet */
	bool is_started;
	bool is_raw;
	bool is_background; /* the shell's job control: the keyboard is somebody else's */
	bool has_input;	    /* the keyboard has not ended */
	bool is_detach_key; /* Ctrl-P was typed and is held back */
	bool is_out_of_time;
	struct termios saved;
	struct buf input; /* for the master */
};

static const int handled[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH,
	SIGUSR1, SIGUSR2 };

static void handled_set(sigset_t *set)
{
	(void)sigemptyset(set);
	for (size_t i = 0; i < ARRAY_SIZE(handled); i++)
		(void)sigaddset(set, handled[i]);
}

void session_block_signals(void)
{
	sigset_t set;

	handled_set(&set);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
}

/* --- our terminal --- */

/* -1: not the terminal that our jobs are controlled from, so there is nothing to respect. */
static bool is_foreground(void)
{
	pid_t group = tcgetpgrp(STDIN_FILENO);

	return group < 0 || group == getpgrp();
}

/* In the background the kernel would stop us for it (SIGTTOU), and for reading. */
static void raw_on(struct run *run)
{
	struct termios raw;

	run->is_background = !is_foreground();
	if (run->is_background || run->is_raw || tcgetattr(STDIN_FILENO, &run->saved) < 0)
		return;
	raw = run->saved;
	cfmakeraw(&raw);
	run->is_raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
}

static void raw_off(struct run *run)
{
	if (run->is_raw)
		(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &run->saved);
	run->is_raw = false;
}

static void size_follow(const struct run *run)
{
	struct winsize ws;

	if (run->master >= 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0)
		(void)ioctl(run->master, TIOCSWINSZ, &ws);
}

/* fg(1) sends SIGCONT to what was stopped only, so each turn looks. */
static void come_forward(struct run *run)
{
	if (!run->is_background || !is_foreground())
		return;
	raw_on(run);
	size_follow(run);
}

/* --- signals --- */

static void send_signal(const struct run *run, int sig)
{
	auto_msg_out struct msg_out m;

	msg_out_init(&m, CTL_SIGNAL, 0);
	msg_put_u32(&m, run->id);
	msg_put_u32(&m, (uint32_t)sig);
	(void)msg_send(run->s->sock, &m);
}

/*
 * Ctrl-Z. The command is in a session of its own, where the kernel ignores SIGTSTP for want of a
 * shell that could continue it: it is stopped for good, then so are we.
 */
static void suspend(struct run *run)
{
	if (!run->s->is_tty)
		send_signal(run, SIGSTOP);
	raw_off(run);
	(void)raise(SIGSTOP);
}

static void resume(struct run *run)
{
	if (run->s->is_tty) {
		raw_on(run);
		size_follow(run);
	} else {
		send_signal(run, SIGCONT);
	}
}

static int on_signal(struct run *run)
{
	struct signalfd_siginfo si;

	if (read(run->signals, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return ON_GOING;
	switch ((int)si.ssi_signo) {
	case SIGWINCH:
		size_follow(run);
		return ON_GOING;
	case SIGTSTP:
		suspend(run);
		return ON_GOING;
	case SIGCONT:
		resume(run);
		return ON_GOING;
	}
	/* Nothing runs yet, or the terminal is gone: leaving closes the connection, and the
	 * supervisor draws its conclusions. */
	if (!run->is_started || (run->s->is_tty && si.ssi_signo == SIGHUP))
		return 128 + (int)si.ssi_signo;
	send_signal(run, (int)si.ssi_signo);
	return ON_GOING;
}

/* --- time --- */

static int timer_start(unsigned int seconds)
{
	struct itimerspec t = { .it_value.tv_sec = seconds };
	auto_close int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);

	if (fd < 0 || timerfd_settime(fd, 0, &t, NULL) < 0)
		return -errno;
	return take_fd(fd);
}

static int on_timer(struct run *run)
{
	int again;

	send_signal(run, run->is_out_of_time ? SIGKILL : SIGTERM);
	run->is_out_of_time = true;
	again = timer_start(KILL_GRACE_S);
	if (again >= 0)
		(void)dup3(again, run->timer, O_CLOEXEC);
	if (again >= 0)
		(void)close(again);
	return ON_GOING;
}

/* --- bytes --- */

/* Copies what the sandbox's terminal has to ours: false at its end. */
static bool pump_output(struct run *run)
{
	char data[RELAY_CHUNK];
	ssize_t n = read(run->master, data, sizeof(data));

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	return n > 0 && fd_write_all(STDOUT_FILENO, data, (size_t)n) == 0;
}

static void close_master(struct run *run)
{
	(void)close(run->master);
	run->master = -1;
}

/* The last output: to its end, or to a silence where a background process keeps the line. */
static void drain(struct run *run)
{
	struct pollfd p = { .fd = run->master, .events = POLLIN };

	while (run->master >= 0 && poll(&p, 1, DRAIN_MS) > 0) {
		if (!pump_output(run))
			close_master(run);
	}
}

/* Takes in typed bytes: true when they end with the keys for leaving. */
static bool type(struct run *run, const char *data, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (run->is_detach_key && data[i] == KEY_CTRL_Q)
			return true;
		if (run->is_detach_key)
			(void)buf_putc(&run->input, KEY_CTRL_P);
		run->is_detach_key = data[i] == KEY_CTRL_P;
		if (!run->is_detach_key)
			(void)buf_putc(&run->input, data[i]);
	}
	return false;
}

static int detach(struct run *run)
{
	raw_off(run);
	out_note("detached; 'openshell sandbox connect %s' comes back", run->s->name);
	return CLI_OK;
}

static int on_keyboard(struct run *run)
{
	char data[4096];
	ssize_t n = read(STDIN_FILENO, data, sizeof(data));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return ON_GOING;
	if (n > 0)
		return type(run, data, (size_t)n) ? detach(run) : ON_GOING;
	run->has_input = false;
	(void)buf_putc(&run->input, KEY_EOF);
	return ON_GOING;
}

static void feed(struct run *run)
{
	ssize_t n;

	if (run->master < 0 || run->input.len == 0)
		return;
	n = write(run->master, buf_head(&run->input), run->input.len);
	if (n > 0)
		buf_consume(&run->input, (size_t)n);
}

/* --- the supervisor --- */

static int on_started(struct run *run, struct msg_in *m)
{
	const char *replay;
	size_t len;

	run->id = msg_get_u32(m);
	replay = msg_get_bytes(m, &len);
	if (run->s->is_tty)
		run->master = msg_get_fd(m);
	if (!msg_in_done(m))
		return out_error(CLI_FAILED, "the supervisor answered nonsense");
	run->is_started = true;
	if (run->s->timeout_s)
		run->timer = timer_start(run->s->timeout_s);
	if (run->master < 0)
		return ON_GOING;
	/* Whoever else holds the terminal's master shares this flag; all of them poll. */
	(void)fd_set_nonblock(run->master, true);
	raw_on(run);
	size_follow(run);
	if (len)
		(void)fd_write_all(STDOUT_FILENO, replay, len);
	return ON_GOING;
}

static int on_exited(struct run *run, struct msg_in *m)
{
	uint32_t id = msg_get_u32(m);
	int status = (int)msg_get_u32(m);

	if (!msg_in_done(m))
		return out_error(CLI_FAILED, "the supervisor answered nonsense");
	if (id != run->id)
		return ON_GOING;
	drain(run);
	if (run->is_out_of_time)
		return CLI_TIMEOUT;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* It is there for who calls, who may wonder why not inside. */
static void say_where(const struct session *s, struct err *err)
{
	struct err ignored = { 0 };
	struct agent a = { 0 };

	if (s->command && agent_find(&a, s->command, NULL, &ignored) == 0 && a.ro && a.ro[0])
		(void)err_hint(err, 0, "outside it is '%s'; a sandbox made with --ro %s has it, by that path",
			a.program, a.ro[0]);
	agent_done(&a);
}

static int on_failed(struct run *run, struct msg_in *m)
{
	struct err err = { 0 };
	int status = CLI_FAILED, r;

	r = ctl_failure(m, &status, &err);
	raw_off(run);
	if (r == -ENOENT && !run->is_started && status == CLI_FAILED)
		return -ENOENT;
	if (status == NOT_FOUND || status == NOT_EXECUTABLE)
		(void)err_wrap(&err, r, "'%s'", run->s->command ? run->s->command : "command");
	if (status == NOT_FOUND)
		say_where(run->s, &err);
	/* A name that is taken is an error of the request, not of the sandbox. */
	if (r == -EEXIST && !run->is_started)
		status = CLI_FAILED;
	(void)out_fail(status, &err);
	if (status == CLI_NO_START && !run->is_started && !err.hint[0])
		doctor_hint(err.text);
	return status;
}

static int on_gone(struct run *run)
{
	raw_off(run);
	if (run->is_started)
		return out_error(CLI_FAILED,
			"the supervisor of '%s' has ended, and with it the sandbox", run->s->name);
	(void)out_error(CLI_NO_START, "the supervisor of '%s' ended before the sandbox was up",
		run->s->name);
	doctor_hint("");
	return CLI_NO_START;
}

static int on_ctl(struct run *run)
{
	auto_msg_in struct msg_in m = { 0 };
	int r = ctl_recv(run->s->sock, &m);

	if (r == -EAGAIN || r == -EINTR)
		return ON_GOING;
	if (r <= 0)
		return on_gone(run);
	switch (m.type) {
	case CTL_READY:
		if (run->s->on_ready)
			run->s->on_ready(run->s->arg);
		break;
	case CTL_STARTED:
		return on_started(run, &m);
	case CTL_EXITED:
		return on_exited(run, &m);
	case CTL_FAILED:
		return on_failed(run, &m);
	}
	return ON_GOING;
}

/* --- the loop --- */

static void want(const struct run *run, struct pollfd p[SOURCES])
{
	bool typing = run->master >= 0 && run->has_input && !run->is_background &&
		      buf_room(&run->input) > 2 * sizeof(char[4096]);

	p[FROM_CTL] = (struct pollfd){ .fd = run->s->sock, .events = POLLIN };
	p[FROM_SIGNAL] = (struct pollfd){ .fd = run->signals, .events = POLLIN };
	p[FROM_TIMER] = (struct pollfd){ .fd = run->timer, .events = POLLIN };
	p[FROM_KEYBOARD] = (struct pollfd){ .fd = typing ? STDIN_FILENO : -1, .events = POLLIN };
	p[FROM_MASTER] = (struct pollfd){ .fd = run->master,
		.events = (short)(POLLIN | (run->input.len ? POLLOUT : 0)) };
}

static int no_answer(const struct run *run)
{
	(void)out_error(CLI_FAILED, "sandbox '%s' runs but does not answer", run->s->name);
	out_hint("'openshell sandbox stop %s' ends it", run->s->name);
	return CLI_FAILED;
}

static int turn(struct run *run)
{
	struct pollfd p[SOURCES];
	bool is_asking = !run->is_started && !run->s->on_ready;
	int r = ON_GOING, n;

	come_forward(run);
	want(run, p);
	n = poll(p, SOURCES, is_asking ? ANSWER_MS : run->is_background ? FORWARD_MS : -1);
	if (n < 0)
		return errno == EINTR ? ON_GOING : out_error(CLI_FAILED, "poll failed");
	if (n == 0 && is_asking)
		return no_answer(run);
	if (p[FROM_MASTER].revents & POLLOUT)
		feed(run);
	if (p[FROM_MASTER].revents & (POLLIN | POLLHUP | POLLERR) && !pump_output(run))
		close_master(run);
	if (p[FROM_SIGNAL].revents)
		r = on_signal(run);
	if (r < 0 && p[FROM_TIMER].revents)
		r = on_timer(run);
	if (r < 0 && p[FROM_KEYBOARD].revents)
		r = on_keyboard(run);
	if (r == ON_GOING && p[FROM_CTL].revents)
		r = on_ctl(run);
	return r;
}

int session_run(const struct session *s)
{
	struct run run = { .s = s, .signals = -1, .timer = -1, .master = -1, .has_input = true };
	sigset_t set;
	int r = ON_GOING;

	handled_set(&set);
	run.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (run.signals < 0)
		return out_error(CLI_FAILED, "signalfd: %s", err_name(errno));
	buf_init(&run.input, INPUT_MAX);
	while (r == ON_GOING)
		r = turn(&run);
	raw_off(&run);
	if (run.master >= 0)
		close_master(&run);
	if (run.timer >= 0)
		(void)close(run.timer);
	(void)close(run.signals);
	buf_done(&run.input);
	return r;
}
