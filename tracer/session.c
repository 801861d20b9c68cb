#include "tracer/session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "lib/strv.h"
#include "tracer/control.h"
#include "tracer/dgramgate.h"
#include "tracer/env.h"
#include "tracer/home.h"
#include "tracer/sandbox.h"

enum { GATE_TRIES = 100 }; /* of a millisecond */

static void session_destroy(struct watch *w)
{
	struct session *ss = container_of(w, struct session, master);

	cleanup_close(&w->fd);
	buf_done(&ss->replay);
	free(ss);
}

static void session_remove(struct session *ss)
{
	struct sandbox *s = ss->sandbox;

	if (s->main_session == ss)
		s->main_session = NULL;
	LIST_REMOVE(ss, link);
	watch_bury(s->loop, &ss->master);
}

static struct session *session_find(struct sandbox *s, uint32_t id)
{
	struct session *ss;

	LIST_FOREACH(ss, &s->sessions, link)
		if (ss->id == id)
			return ss;
	return NULL;
}

static unsigned int session_count(const struct sandbox *s)
{
	const struct session *ss;
	unsigned int n = 0;

	LIST_FOREACH(ss, &s->sessions, link)
		n++;
	return n;
}

/* The oldest output gives way: what is on the screen now matters. */
static void replay_append(struct session *ss, const char *data, size_t len)
{
	if (len > buf_room(&ss->replay))
		buf_consume(&ss->replay, len - buf_room(&ss->replay));
	(void)buf_append(&ss->replay, data, len);
}

static void on_master(struct loop *loop, struct watch *w, uint32_t events)
{
	struct session *ss = container_of(w, struct session, master);
	char data[4096];
	ssize_t n = read(w->fd, data, sizeof(data));

	(void)events;
	if (n > 0)
		replay_append(ss, data, (size_t)n);
	else if (n == 0 || errno != EAGAIN)
		(void)watch_set(loop, w, 0); /* hung up: the session's end follows */
}

static struct session *session_new(struct sandbox *s, bool is_main, struct control *c,
	uint32_t request)
{
	struct session *ss = calloc(1, sizeof(*ss));

	if (!ss)
		return NULL;
	ss->sandbox = s;
	ss->id = ++s->next_session;
	ss->is_main = is_main;
	ss->control = c;
	ss->request = request;
	buf_init(&ss->replay, SESSION_REPLAY_MAX);
	watch_init(&ss->master, -1, on_master, session_destroy);
	LIST_INSERT_HEAD(&s->sessions, ss, link);
	if (is_main)
		s->main_session = ss;
	return ss;
}

struct exec_request {
	uint32_t kind, flags, rows, cols;
	const char *cwd;
	char **env, **argv; /* the vectors are owned */
	int stdio[3];	    /* owned */
};

static void exec_request_done(struct exec_request *q)
{
	free(q->env);
	free(q->argv);
	for (int i = 0; i < 3; i++)
		cleanup_close(&q->stdio[i]);
}

static bool exec_request_get(struct msg_in *m, struct exec_request *q)
{
	q->kind = msg_get_u32(m);
	q->flags = msg_get_u32(m);
	q->rows = msg_get_u32(m);
	q->cols = msg_get_u32(m);
	q->cwd = msg_get_str(m);
	q->env = msg_get_strv(m);
	q->argv = msg_get_strv(m);
	for (int i = 0; i < 3 && !(q->flags & CTL_EXEC_TTY); i++)
		q->stdio[i] = msg_get_fd(m);
	return msg_in_done(m) && q->env && q->argv && (q->argv[0] || q->flags & CTL_EXEC_LOGIN);
}

static const char *start_dir(const struct sandbox *s, const struct exec_request *q)
{
	if (q->cwd)
		return q->cwd;
	if (s->spec.workdir && policy_static(s->policy)->include_workdir)
		return s->spec.workdir;
	return "/sandbox";
}

static int send_spawn(struct sandbox *s, const struct session *ss, const struct exec_request *q)
{
	bool is_tty = q->flags & CTL_EXEC_TTY;
	auto_strv char **env = env_build(&s->spec, s->credentials.env, q->env, is_tty);
	auto_msg_out struct msg_out m = { 0 };
	char *login[3] = { NULL, (char *)"-l", NULL };

	if (!env)
		return -ENOMEM;
	login[0] = (char *)env_get(env, "SHELL");
	msg_out_init(&m, INIT_SPAWN, ss->id);
	msg_put_u32(&m, q->flags);
	msg_put_u32(&m, q->rows);
	msg_put_u32(&m, q->cols);
	msg_put_str(&m, q->flags & CTL_EXEC_LOGIN && !q->cwd ? "/sandbox" : start_dir(s, q));
	msg_put_strv(&m, env);
	msg_put_strv(&m, q->flags & CTL_EXEC_LOGIN ? login : q->argv);
	for (int i = 0; i < 3 && !is_tty; i++)
		msg_put_fd(&m, q->stdio[i]);
	return msg_send(s->init_link.fd, &m);
}

static bool is_unix_socket(int fd)
{
	socklen_t len = sizeof(int);
	int domain = 0;

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
}

/*
 * A Unix socket of the host as standard input, output or error is a datagram socket, or whoever is at
 * its other end may pass one: from then on every sendmsg() is looked at (dgramgate.h). Waiting for
 * that is a matter of milliseconds, once in the life of a sandbox, and of none before its first
 * command.
 */
static int mind_sockets(struct sandbox *s, const struct exec_request *q)
{
	int r = 0;

	for (int i = 0; i < 3; i++) {
		if (q->stdio[i] < 0 || !is_unix_socket(q->stdio[i]))
			continue;
		r = dgramgate_open(s->gate);
		for (int tries = 0; r == -EAGAIN && tries < GATE_TRIES; tries++) {
			(void)poll(NULL, 0, 1);
			r = dgramgate_open(s->gate);
		}
		break;
	}
	return r;
}

void session_exec(struct sandbox *s, struct control *c, struct msg_in *m)
{
	__attribute__((cleanup(exec_request_done))) struct exec_request q = { .stdio = { -1, -1, -1 } };
	struct session *ss;
	int r;

	if (!exec_request_get(m, &q)) {
		control_failed(c, m->id, -EPROTO, 125, NULL, "malformed request");
		return;
	}
	if (s->phase != PHASE_READY || (q.kind == CTL_EXEC_MAIN && s->main_session)) {
		control_failed(c, m->id, -EBUSY, 125, NULL, "the sandbox is %s",
			s->phase == PHASE_READY ? "running its main process already" : "ending");
		return;
	}
	if (session_count(s) >= SESSIONS_LIMIT) {
		control_failed(c, m->id, -EAGAIN, 125, NULL, "%d commands are running in the sandbox",
			SESSIONS_LIMIT);
		return;
	}
	r = mind_sockets(s, &q);
	if (r < 0) {
		control_failed(c, m->id, r, 125, NULL,
			"standard input, output or error is a socket, and the sandbox is busy: try again");
		return;
	}
	if (q.flags & CTL_EXEC_LOGIN)
		(void)home_furnish(s->state->dir, NULL);
	ss = session_new(s, q.kind == CTL_EXEC_MAIN, c, m->id);
	r = ss ? send_spawn(s, ss, &q) : -ENOMEM;
	if (r < 0) {
		control_failed(c, m->id, r, 125, NULL, "starting the command: %s", err_name(r));
		if (ss)
			session_remove(ss);
	}
}

static void detach(struct session *ss)
{
	ss->control = NULL;
	if (ss->master.fd >= 0)
		(void)watch_set(ss->sandbox->loop, &ss->master, EPOLLIN);
}

static void send_started(struct session *ss, int master)
{
	auto_msg_out struct msg_out m;

	msg_out_init(&m, CTL_STARTED, ss->request);
	msg_put_u32(&m, ss->id);
	msg_put_bytes(&m, ss->replay.len ? buf_head(&ss->replay) : "", ss->replay.len);
	if (master >= 0)
		msg_put_fd(&m, master);
	control_send(ss->control, &m);
	buf_done(&ss->replay);
}

bool session_attach(struct sandbox *s, struct control *c, uint32_t request, uint32_t rows,
	uint32_t cols)
{
	const struct winsize size = { .ws_row = (unsigned short)rows,
		.ws_col = (unsigned short)cols };
	struct session *ss = s->main_session;

	if (!ss || !ss->is_running || ss->master.fd < 0 || ss->control)
		return false;
	(void)watch_set(s->loop, &ss->master, 0);
	if (rows && cols)
		(void)ioctl(ss->master.fd, TIOCSWINSZ, &size);
	ss->control = c;
	ss->request = request;
	send_started(ss, ss->master.fd);
	return true;
}

static void send_signal(struct sandbox *s, uint32_t id, int sig)
{
	auto_msg_out struct msg_out m;

	msg_out_init(&m, INIT_SIGNAL, id);
	msg_put_u32(&m, (uint32_t)sig);
	(void)msg_send(s->init_link.fd, &m);
}

void session_signal(struct sandbox *s, struct control *c, uint32_t id, uint32_t sig)
{
	const struct session *ss = session_find(s, id);

	if (ss && ss->control == c && sig > 0 && sig < NSIG)
		send_signal(s, id, (int)sig);
}

void session_signal_all(struct sandbox *s, int sig)
{
	const struct session *ss;

	LIST_FOREACH(ss, &s->sessions, link)
		send_signal(s, ss->id, sig);
}

/*
 * A launcher went away without detaching a terminal: the main process of a kept sandbox goes on,
 * unseen; everything else is hung up, as when a terminal closes.
 */
void session_abandon(struct sandbox *s, struct control *c)
{
	struct session *ss;

	LIST_FOREACH(ss, &s->sessions, link) {
		if (ss->control != c)
			continue;
		detach(ss);
		ss->is_orphan = !ss->is_running;
		if (!ss->is_main)
			send_signal(s, ss->id, SIGHUP);
	}
}

static void keep_master(struct session *ss, int master)
{
	ss->master.fd = fcntl(master, F_DUPFD_CLOEXEC, 3);
	if (ss->master.fd < 0)
		return;
	(void)fcntl(ss->master.fd, F_SETFL, fcntl(ss->master.fd, F_GETFL) | O_NONBLOCK);
	if (!ss->control)
		(void)watch_set(ss->sandbox->loop, &ss->master, EPOLLIN);
}

static void on_spawned(struct session *ss, struct msg_in *m)
{
	auto_close int master = -1;

	(void)msg_get_u32(m);
	if (m->n_fds)
		master = msg_get_fd(m);
	if (!msg_in_done(m))
		return;
	ss->is_running = true;
	send_started(ss, master);
	if (ss->is_main && master >= 0)
		keep_master(ss, master);
	if (ss->is_orphan)
		send_signal(ss->sandbox, ss->id, SIGHUP);
}

static void main_ended(struct sandbox *s)
{
	if (!s->spec.keep)
		sandbox_end(s, true);
}

static void on_spawn_failed(struct session *ss, struct msg_in *m)
{
	struct sandbox *s = ss->sandbox;
	int errnum = (int)msg_get_u32(m);
	const char *stage = msg_get_str(m);
	bool is_main = ss->is_main;

	if (!msg_in_done(m) || !stage)
		return;
	/* As a shell has it: 127 not found, 126 found but not to be run. */
	if (str_eq(stage, "exec"))
		control_failed(ss->control, ss->request, -errnum, errnum == ENOENT ? 127 : 126, NULL,
			"%s", errnum == ENOENT ? "not found in the sandbox" : err_name(errnum));
	else if (str_eq(stage, "chdir"))
		control_failed(ss->control, ss->request, -errnum, 125, NULL,
			"working directory: %s", err_name(errnum));
	else
		control_failed(ss->control, ss->request, -errnum, 125, NULL, "%s: %s", stage,
			err_name(errnum));
	session_remove(ss);
	if (is_main)
		main_ended(s);
}

static void send_exited(struct session *ss, uint32_t status)
{
	auto_msg_out struct msg_out m;

	msg_out_init(&m, CTL_EXITED, ss->request);
	msg_put_u32(&m, ss->id);
	msg_put_u32(&m, status);
	control_send(ss->control, &m);
}

static void on_exited(struct session *ss, struct msg_in *m)
{
	struct sandbox *s = ss->sandbox;
	uint32_t status = msg_get_u32(m);

	if (!msg_in_done(m))
		return;
	if (ss->is_main && !s->spec.keep) {
		/* Told when everything is gone: "leaves nothing behind" holds for who waits. */
		s->exit_status = status;
		ss->is_running = false;
		ss->has_exited = true;
		main_ended(s);
		return;
	}
	send_exited(ss, status);
	session_remove(ss);
	if (s->phase == PHASE_STOPPING && LIST_EMPTY(&s->sessions))
		sandbox_end(s, s->is_removed_at_end);
}

void session_on_init(struct sandbox *s, struct msg_in *m)
{
	struct session *ss = session_find(s, m->id);

	if (!ss)
		return;
	switch (m->type) {
	case INIT_SPAWNED:
		on_spawned(ss, m);
		break;
	case INIT_SPAWN_FAILED:
		on_spawn_failed(ss, m);
		break;
	case INIT_EXITED:
		on_exited(ss, m);
		break;
	}
}

void session_end_all(struct sandbox *s)
{
	for (struct session *ss; (ss = LIST_FIRST(&s->sessions));) {
		if (ss->is_running || ss->has_exited)
			send_exited(ss, ss->has_exited ? s->exit_status : SIGKILL);
		session_remove(ss);
	}
}
