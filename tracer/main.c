/*
 * openshell-tracer - the supervisor of one sandbox.
 *
 * May: start and end everything in the sandbox, read its /proc, duplicate its descriptors and carry
 * out its connects, write its state directory.
 * May not: parse what the workload or the network sends beyond a socket address and a DNS question;
 * that is the proxy's, which may do nothing else. When this process ends, so does the sandbox.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/proto.h"
#include "tracer/control.h"
#include "tracer/sandbox.h"
#include "tracer/spare.h"

enum { FILES_MIN = 256, FILES_WANTED = 65536 };

static void on_signal(struct loop *loop, struct watch *w, uint32_t events)
{
	struct sandbox *s = container_of(w, struct sandbox, signals);
	struct signalfd_siginfo si;

	(void)loop;
	(void)events;
	if (read(w->fd, &si, sizeof(si)) != sizeof(si))
		return;
	/* Somebody opens the certificates. */
	if (si.ssi_signo == SIGIO)
		(void)sandbox_wake_proxy(s);
	else
		sandbox_stop(s);
}

/* SIGTERM and SIGINT are a request to stop in order; SIGHUP and SIGPIPE mean nothing here. */
static int set_up_signals(struct sandbox *s)
{
	sigset_t stop, blocked;
	int fd;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	/* Whoever started us may ignore it; a tracer is told by it (trace.c). */
	(void)signal(SIGCHLD, SIG_DFL);
	(void)sigemptyset(&stop);
	(void)sigaddset(&stop, SIGTERM);
	(void)sigaddset(&stop, SIGINT);
	(void)sigaddset(&stop, SIGIO);
	blocked = stop;
	(void)sigaddset(&blocked, SIGCHLD);
	(void)sigprocmask(SIG_SETMASK, &blocked, NULL);
	fd = signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	watch_init(&s->signals, fd, on_signal, NULL);
	return watch_set(s->loop, &s->signals, EPOLLIN);
}

static void raise_limits(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max && l.rlim_cur < FILES_WANTED) {
		l.rlim_cur = l.rlim_max < FILES_WANTED ? l.rlim_max : FILES_WANTED;
		(void)setrlimit(RLIMIT_NOFILE, &l);
	}
	l = (struct rlimit){ 0, 0 };
	(void)setrlimit(RLIMIT_CORE, &l);
	/* A log that has reached `ulimit -f` cannot be written, which refuses: nobody dies of it. */
	(void)signal(SIGXFSZ, SIG_IGN);
}

/* What one caller's shell hands down has to last for everything that the sandbox does. */
static int check_limits(struct err *err)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur >= FILES_MIN)
		return spare_keep();
	(void)err_set(err, -EMFILE, "%llu open files are allowed (ulimit -n), a sandbox needs %d",
		(unsigned long long)l.rlim_cur, FILES_MIN);
	return err_hint(err, -EMFILE, "a shell in which 'ulimit -Hn' says %d or more; limits.conf(5) and systemd's "
				      "LimitNOFILE= set it", FILES_MIN);
}

static int take_start(struct sandbox *s, char **ret_policy, bool *ret_is_new, uint32_t *ret_id,
	struct err *err)
{
	auto_msg_in struct msg_in m = { 0 };
	const char *json, *policy;
	int r = msg_recv(CTL_START_FD, &m);

	if (r <= 0 || m.type != CTL_START)
		return err_set(err, r < 0 ? r : -EPROTO, "no request to start a sandbox");
	json = msg_get_str(&m);
	policy = msg_get_str(&m);
	*ret_is_new = msg_get_u32(&m) == 0;
	*ret_id = m.id;
	if (!msg_in_done(&m) || !json)
		return err_set(err, -EPROTO, "malformed request to start a sandbox");
	if (policy && !(*ret_policy = strdup(policy)))
		return err_set(err, -ENOMEM, "%s", err_name(-ENOMEM));
	return spec_from_json(&s->spec, json, strlen(json), err);
}

static void start_failed(uint32_t id, int r, const struct err *err)
{
	auto_msg_out struct msg_out m;

	msg_out_init(&m, CTL_FAILED, id);
	msg_put_u32(&m, (uint32_t)-r);
	msg_put_u32(&m, 125);
	msg_put_str(&m, err->text[0] ? err->text : err_name(r));
	msg_put_str(&m, err->hint[0] ? err->hint : NULL);
	(void)msg_send(CTL_START_FD, &m);
}

static int run(struct sandbox *s, struct err *err, uint32_t *ret_id)
{
	auto_free char *policy = NULL;
	struct control *starter;
	bool is_new = true;
	int r = take_start(s, &policy, &is_new, ret_id, err);

	if (r == 0)
		r = check_limits(err);
	if (r == 0)
		r = sandbox_start(s, policy, is_new, err);
	if (r < 0)
		return r;
	r = msg_send_empty(CTL_START_FD, CTL_READY, *ret_id);
	if (r == 0)
		r = fd_set_nonblock(CTL_START_FD, true);
	starter = r == 0 ? control_new(s, CTL_START_FD) : NULL;
	if (!starter) {
		sandbox_end(s, !s->spec.keep);
		return 0;
	}
	starter->is_starter = true;
	return loop_run(s->loop);
}

int main(void)
{
	/* Static: what it holds to the end is held, and what is lost on the way shows as a leak. */
	static struct sandbox s = { .runtime_dir = -1,
		.pid_file = -1,
		.bwrap_stderr = -1,
		.bwrap_info = -1,
		.proxy_end = -1,
		.coop_listener = -1,
		.ca = { -1, -1, -1, false },
		.netns = -1,
		.sockets = { -1, -1, -1, -1, -1, -1, -1 } };
	struct err err = { 0 };
	uint32_t id = 0;
	int r;

	if (fcntl(CTL_START_FD, F_GETFD) < 0) {
		(void)fprintf(stderr, "openshell-tracer: is started by openshell, not by hand\n");
		return 2;
	}
	(void)fd_set_cloexec(CTL_START_FD, true);
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	(void)setsid();
	/* The umask stays the caller's, for the workload inherits it; our own files name their mode. */
	raise_limits();
	s.loop = loop_new();
	r = s.loop ? set_up_signals(&s) : -ENOMEM;
	if (r == 0)
		r = run(&s, &err, &id);
	if (r < 0)
		start_failed(id, r, &err);
	return r < 0 ? 125 : 0;
}
