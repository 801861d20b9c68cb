#include "tracer/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/barred.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/kernel.h"
#include "lib/proto.h"
#include "lib/str.h"
#include "lib/tuple.h"
#include "tracer/backend.h"
#include "tracer/change.h"
#include "tracer/control.h"
#include "tracer/dgramgate.h"
#include "tracer/dnsserver.h"
#include "tracer/filehash.h"
#include "tracer/names.h"
#include "tracer/notify.h"
#include "tracer/once.h"
#include "tracer/owner.h"
#include "tracer/peers.h"
#include "tracer/resolver.h"
#include "tracer/session.h"
#include "tracer/stacks.h"
#include "tracer/start.h"
#include "tracer/watchman.h"

enum {
	STOP_GRACE_MS = 2000,
	ROTATE_EVERY_MS = 5000,
	BWRAP_END_MS = 2000,
	SETTLED_MS = 50,
};

/* The log. */

void sandbox_log(struct sandbox *s, const struct event *e)
{
	struct event copy = *e;

	if (!s->log)
		return;
	if (!copy.generation)
		copy.generation = s->revision;
	log_event(s->log, &copy);
}

void sandbox_say(struct sandbox *s, enum event_level level, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	sandbox_log(s, &(struct event){ .level = level, .adapter = EVENT_LIFECYCLE, .message = text });
}

static uint64_t wall_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static int log_open(struct sandbox *s, struct err *err)
{
	auto_close int dir = state_subdir(s->state, "log");
	int fd, r;

	if (dir < 0)
		return err_set(err, dir, "log directory: %s", err_name(dir));
	r = logstore_open(&s->store, dir, wall_ms(), err);
	if (r < 0)
		return r;
	fd = logstore_open_writer(s->store);
	s->log = fd < 0 ? NULL : log_new(fd);
	return s->log ? 0 : err_set(err, -EIO, "log: %s", err_name(fd < 0 ? fd : -ENOMEM));
}

static int send_log_fd(struct sandbox *s)
{
	auto_msg_out struct msg_out m = { 0 };
	auto_close int fd = -1;

	if (!s->proxy.pid)
		return 0;
	fd = logstore_open_writer(s->store);
	if (fd < 0)
		return fd;
	msg_out_init(&m, PROXY_LOG, 0);
	msg_put_fd(&m, fd);
	return msg_send(s->proxy_link.fd, &m);
}

/* Both writers go on in the current segment. 0 or -errno: what was not done is tried again, see on_log_time(). */
static int log_move(struct sandbox *s)
{
	int fd = logstore_open_writer(s->store), r;

	if (fd >= 0)
		log_set_fd(s->log, fd);
	r = send_log_fd(s);
	return fd < 0 ? fd : r;
}

/* What an unkept sandbox puts off until its command runs. */
static void on_settled(struct loop *loop, struct timer *t)
{
	struct sandbox *s = container_of(t, struct sandbox, settled);
	struct err err;

	(void)loop;
	if (change_record_first(s, &err) < 0)
		sandbox_say(s, EVENT_WARN, "%s", err.text);
}

static void on_log_time(struct loop *loop, struct timer *t)
{
	struct sandbox *s = container_of(t, struct sandbox, log_timer);
	bool was_stuck = s->is_log_stuck;
	unsigned int pruned = 0;
	struct err err = { 0 };
	int r;

	(void)log_flush(s->log);
	r = logstore_rotate(s->store, wall_ms(), &pruned, &err);
	if (r == 1 || was_stuck) {
		int moved = log_move(s);

		r = r < 0 ? r : moved < 0 ? err_set(&err, moved, "new log segment: %s", err_name(moved)) : 0;
	}
	s->is_log_stuck = r < 0;
	if (r < 0 && !was_stuck)
		sandbox_say(s, EVENT_WARN, "the log goes on in the old segment: %s", err.text);
	if (pruned)
		sandbox_say(s, EVENT_WARN, "%u old log segments were removed for room", pruned);
	(void)timer_set(loop, t, ROTATE_EVERY_MS);
}

static void after_turn(struct loop *loop, void *arg)
{
	struct sandbox *s = arg;

	(void)loop;
	if (s->log)
		(void)log_flush(s->log);
}


static void retry_parked(void *arg)
{
	struct sandbox *s = arg;

	if (s->notifier)
		notifier_retry(s->notifier);
}

/* What needs no process: made while bubblewrap still mounts. */
static int start_services(struct sandbox *s, struct err *err)
{
	s->hashes = filehash_new(s->loop);
	s->names = names_new();
	s->peers = peers_new();
	s->once = once_new();
	s->watchman = watchman_new();
	s->gate = dgramgate_new();
	s->stacks = s->spec.stacks ? stacks_new(s) : NULL;
	if (s->spec.stacks && !s->stacks)
		return err_set(err, -ENOMEM, "%s", err_name(-ENOMEM));
	if (!s->hashes || !s->names || !s->peers || !s->watchman || !s->gate)
		return err_set(err, -ENOMEM, "%s", err_name(-ENOMEM));
	s->dns = dnsserver_new(s->loop, s->names, s->spec.name, &s->sockets);
	if (!s->dns)
		return err_set(err, -ENOMEM, "the sandbox's resolver cannot be started");
	return control_listen(s, err);
}

static int start_interception(struct sandbox *s, struct err *err)
{
	s->owners = owners_new(s->hashes, s->init.pid, retry_parked, s);
	if (!s->owners)
		return err_set(err, -errno, "the sandbox's root directory cannot be looked at: %s",
			err_name(errno));
	s->notifier = notifier_new(s, s->calls, err);
	return s->notifier ? 0 : -EIO;
}

/* Events of the running sandbox. */

/* One message is; those that follow are not. */
static bool is_lost(struct sandbox *s, const char *whose, int r)
{
	if (r == -ENOMEM)
		sandbox_say(s, EVENT_ERROR, "a message of %s was lost: the supervisor is out of memory", whose);
	return r == -ENOMEM;
}

static void on_init_message(struct loop *loop, struct watch *w, uint32_t events)
{
	struct sandbox *s = container_of(w, struct sandbox, init_link);
	auto_msg_in struct msg_in m = { 0 };
	int r = msg_recv(w->fd, &m);

	(void)events;
	if (r > 0)
		session_on_init(s, &m);
	else if (r != -EAGAIN && !is_lost(s, "init", r))
		(void)watch_set(loop, w, 0); /* its end follows through the pidfd */
}

static void kill_child(const struct child *c)
{
	if (c->pid)
		(void)syscall(SYS_pidfd_send_signal, c->watch.fd, SIGKILL, NULL, 0);
}

static void reap_child(struct child *c)
{
	while (c->pid && waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
		;
	c->pid = 0;
}

/* It has no state, and whoever asks for another does so for want of this one. */
static void end_resolver(struct sandbox *s)
{
	if (!s->resolver.pid)
		return;
	kill_child(&s->resolver);
	reap_child(&s->resolver);
	cleanup_close(&s->resolver.watch.fd);
}

static void start_resolver(struct sandbox *s)
{
	auto_close int sock = -1, pidfd = -1;
	auto_msg_out struct msg_out m = { 0 };
	pid_t pid;

	end_resolver(s);
	pid = resolver_start(&sock, &pidfd);
	if (pid < 0) {
		sandbox_say(s, EVENT_ERROR, "the resolver process cannot be started: %s", err_name(pid));
		return;
	}
	s->resolver.pid = pid;
	s->resolver.watch.fd = take_fd(pidfd);
	msg_out_init(&m, PROXY_RESOLVER, 0);
	msg_put_fd(&m, sock);
	(void)msg_send(s->proxy_link.fd, &m);
}

static void on_proxy_ca(struct sandbox *s, struct msg_in *m)
{
	const char *pem = msg_get_str(m);
	struct err err = { 0 };

	if (!msg_in_done(m) || !pem)
		(void)err_set(&err, -EPROTO, "the proxy answered nonsense");
	else
		(void)cafiles_fill(&s->ca, pem, &err);
	if (err.text[0])
		sandbox_say(s, EVENT_ERROR, "%s", err.text);
}

static void on_proxy_message(struct loop *loop, struct watch *w, uint32_t events)
{
	struct sandbox *s = container_of(w, struct sandbox, proxy_link);
	auto_msg_in struct msg_in m = { 0 };
	int r = msg_recv(w->fd, &m);

	(void)events;
	if (r == -EAGAIN || is_lost(s, "the proxy", r))
		return;
	if (r <= 0)
		(void)watch_set(loop, w, 0);
	else if (m.type == PROXY_CA)
		on_proxy_ca(s, &m);
	else if (m.type == PROXY_POLICY_DONE)
		change_done(s, &m);
	else if (m.type == PROXY_NEED_RESOLVER)
		start_resolver(s);
	else if (m.type == PROXY_ASK)
		advisor_ask(s, &m);
}

/* The workload keeps running, without network: never with more. */
static void on_proxy_end(struct loop *loop, struct watch *w, uint32_t events)
{
	struct sandbox *s = container_of(w, struct sandbox, proxy.watch);
	int status = 0;

	(void)events;
	(void)watch_set(loop, w, 0);
	(void)waitpid(s->proxy.pid, &status, 0);
	s->proxy.pid = 0;
	s->is_proxy_gone = true;
	cafiles_release(&s->ca);
	change_end_all(s);
	sandbox_say(s, EVENT_ERROR,
		"the proxy ended (status %d): the sandbox has no network until it is started again",
		status);
}

static void on_bwrap_end(struct loop *loop, struct watch *w, uint32_t events)
{
	struct sandbox *s = container_of(w, struct sandbox, bwrap.watch);

	(void)events;
	(void)watch_set(loop, w, 0);
	(void)waitpid(s->bwrap.pid, NULL, 0);
	s->bwrap.pid = 0;
	if (s->phase != PHASE_STOPPING)
		sandbox_say(s, EVENT_ERROR, "the sandbox's init ended unexpectedly");
	sandbox_end(s, s->is_removed_at_end || !s->spec.keep);
}

static int watch_child(struct sandbox *s, struct child *c, watch_fn *fn)
{
	watch_init(&c->watch, c->watch.fd, fn, NULL);
	return watch_set(s->loop, &c->watch, EPOLLIN);
}

static int watch_link(struct sandbox *s, struct watch *w, watch_fn *fn)
{
	int fd = w->fd;

	watch_init(w, fd, fn, NULL);
	(void)fd_set_nonblock(fd, true);
	return watch_set(s->loop, w, EPOLLIN);
}

static int watch_everything(struct sandbox *s)
{
	int r = watch_link(s, &s->init_link, on_init_message);

	if (r == 0)
		r = watch_link(s, &s->proxy_link, on_proxy_message);
	if (r == 0)
		r = watch_child(s, &s->bwrap, on_bwrap_end);
	if (r == 0 && s->proxy.pid)
		r = watch_child(s, &s->proxy, on_proxy_end);
	s->log_timer.on_time = on_log_time;
	s->settled.on_time = on_settled;
	if (r == 0)
		r = timer_set(s->loop, &s->settled, SETTLED_MS);
	if (r == 0)
		r = timer_set(s->loop, &s->log_timer, ROTATE_EVERY_MS);
	loop_set_after_turn(s->loop, after_turn, s);
	return r;
}

/* Of this kernel. */
static unsigned int missing_features(const struct sandbox *s)
{
	unsigned int missing = kernel_missing();

	if (s->intercept == SPEC_INTERCEPT_SECCOMP && !kernel_sync_wake_up(s->calls->fd))
		missing |= 1U << KERNEL_NOTIFY_SYNC;
	return missing;
}

static void say_started(struct sandbox *s)
{
	const unsigned int missing = missing_features(s);
	auto_buf struct buf names = { .max = 512 };

	(void)kernel_print(&names, missing, KERNEL_NAMES);
	sandbox_say(s, EVENT_INFO,
		"sandbox started: intercept=%s landlock_abi=%d policy_revision=%u%s%.*s%s%s%s",
		spec_intercept_name(s->intercept), s->landlock_abi, s->revision,
		missing ? " missing=" : "", (int)names.len, missing ? buf_head(&names) : "",
		s->spec.stacks ? " stacks=on" : "",
		s->intercept == SPEC_INTERCEPT_PRELOAD ? " cooperative: nothing is enforced;" : "",
		s->spec.audit ? " audit: connections are let through and recorded; SSRF ranges and "
				"the file system stay enforced" :
				"");
	if (s->no_listener)
		sandbox_say(s, EVENT_WARN,
			"intercepting with ptrace, which is slower: a seccomp listener cannot be had: %s",
			err_name(-s->no_listener));
	if (s->intercept == SPEC_INTERCEPT_PRELOAD)
		sandbox_say(s, EVENT_WARN,
			"only programs that load the preload library have a network, and only what they "
			"connect by it is recorded");
	for (char **p = s->mounts.skipped; p && *p; p++)
		sandbox_say(s, EVENT_WARN, "path '%s' does not exist and was skipped", *p);
	for (char **p = s->mounts.ungranted; p && *p; p++)
		sandbox_say(s, EVENT_WARN,
			"the working directory's git directory '%s' is not granted (--rw grants it)", *p);
	for (char **p = s->protect.notes; p && *p; p++)
		sandbox_say(s, EVENT_WARN, "%s", *p);
}

static int prepare(struct sandbox *s, bool is_new, struct err *err)
{
	int r = barred_new(s->spec.deny, &s->barred, err);

	if (r < 0)
		return err_wrap(err, r, "--deny");
	r = is_new ? state_create(&s->state, &s->spec, err)
		   : state_open(&s->state, s->spec.name, err);
	if (r == 0 && !is_new)
		r = state_lock(s->state, err);
	if (r < 0)
		return r;
	s->runtime_dir = state_runtime_claim(s->spec.name, &s->pid_file, err);
	if (s->runtime_dir < 0)
		return s->runtime_dir;
	s->has_runtime = true;
	stubs_sweep(s->state->dir, NULL, NULL);
	return 0;
}

/* What was asked for by name is there, or nothing starts: another backend could enforce less. */
static int check_backend(const struct sandbox *s, struct err *err)
{
	if (s->spec.intercept == SPEC_INTERCEPT_PRELOAD && !s->spec.audit) {
		(void)err_set(err, -EOPNOTSUPP,
			"--intercept preload: it is cooperative and can enforce nothing: what does not ask is not seen");
		return err_hint(err, -EOPNOTSUPP, "with --audit it records what cooperates; openshell doctor "
						  "says what would let this host enforce");
	}
	if (backend_exists(s->spec.intercept))
		return 0;
	(void)err_set(err, -EOPNOTSUPP, "--intercept %s: not available in this version",
		spec_intercept_name(s->spec.intercept));
	return err_hint(err, -EOPNOTSUPP, "leave --intercept out, or say --intercept seccomp");
}

int sandbox_start(struct sandbox *s, const char *policy_yaml, bool is_new, struct err *err)
{
	int r = check_backend(s, err);

	s->agent_proposals = s->spec.agent_proposals;
	if (r == 0)
		r = prepare(s, is_new, err);
	if (r == 0)
		r = change_first(s, policy_yaml, is_new, err);
	if (r == 0 && (s->spec.cpu_milli || s->spec.memory))
		r = cgroup_make(&s->cgroup, "/sys/fs/cgroup", "/proc/self/cgroup", s->spec.name,
			s->spec.cpu_milli, s->spec.memory, err);
	if (r == 0)
		r = start_bwrap(s, err);
	if (r == 0)
		r = log_open(s, err);
	if (r == 0)
		r = start_network(s, err);
	if (r == 0)
		r = start_services(s, err);
	if (r == 0)
		r = start_finish(s, err);
	if (r == 0)
		r = start_interception(s, err);
	if (r == 0)
		r = watch_everything(s);
	if (r == 0) {
		protect_watch(s);
		s->phase = PHASE_READY;
		say_started(s);
		return 0;
	}
	sandbox_say(s, EVENT_ERROR, "the sandbox could not be started: %s", err->text);
	sandbox_end(s, is_new && s->state);
	return r;
}

int sandbox_wake_proxy(struct sandbox *s)
{
	struct err err = { 0 };
	int r;

	if (s->proxy.pid)
		return 0;
	if (s->is_proxy_gone)
		return -EPIPE;
	r = start_proxy(s, &err);
	if (s->proxy.pid && watch_child(s, &s->proxy, on_proxy_end) < 0)
		r = -ENOMEM;
	if (r == 0)
		return 0;
	sandbox_say(s, EVENT_ERROR, "the proxy cannot be started: %s",
		err.text[0] ? err.text : err_name(r));
	s->is_proxy_gone = true;
	cafiles_release(&s->ca);
	return r;
}

int sandbox_send_tuple(struct sandbox *s, const struct tuple *t)
{
	auto_msg_out struct msg_out m = { 0 };

	if (!s->proxy.pid)
		return -EPIPE;
	msg_out_init(&m, PROXY_TUPLE, 0);
	tuple_put(&m, t);
	return msg_send(s->proxy_link.fd, &m);
}

/* The end. */

/* A bwrap that has started no init yet: killed, it might leave its child behind (start.c). It is let come
 * to its end, where init finds nobody. */
static void end_bwrap(struct sandbox *s)
{
	struct pollfd p = { .fd = s->bwrap.watch.fd, .events = POLLIN };

	if (!s->bwrap.pid)
		return;
	if (s->init_link.fd > 0)
		(void)shutdown(s->init_link.fd, SHUT_RDWR);
	if (poll(&p, 1, BWRAP_END_MS) != 1)
		kill_child(&s->bwrap);
}

/* With init goes its whole pid namespace: the kernel leaves nobody behind. */
static void kill_everything(struct sandbox *s)
{
	if (s->init.pid)
		kill_child(&s->init);
	else
		end_bwrap(s);
	kill_child(&s->proxy);
	call_source_free(take_ptr(s->calls));
	reap_child(&s->bwrap);
	reap_child(&s->proxy);
	end_resolver(s);
	s->init.pid = 0;
}

/* The name is free, and the locks are: who is told of the end may use both at once. */
static void retire_state(struct sandbox *s)
{
	struct err err = { 0 };

	if (s->is_removed_at_end && s->state && state_retire(s->state, &err) < 0)
		(void)fprintf(stderr, "openshell-tracer: %s\n", err.text);
	if (s->has_runtime)
		(void)state_runtime_remove(s->spec.name);
	s->has_runtime = false;
	cleanup_close(&s->pid_file);
	s->pid_file = -1;
	if (!s->is_removed_at_end)
		state_close(take_ptr(s->state));
}

/* Unlinking can wait for the disk. */
static void discard_state(struct sandbox *s)
{
	struct err err = { 0 };

	if (s->state && state_discard(s->state, &err) < 0)
		(void)fprintf(stderr, "openshell-tracer: %s\n", err.text);
	state_close(take_ptr(s->state));
	if (s->is_removed_at_end)
		state_archive_prune();
}

static void on_swept(void *arg, bool is_trouble, const char *text)
{
	sandbox_say(arg, is_trouble ? EVENT_WARN : EVENT_INFO, "%s", text);
}

void sandbox_end(struct sandbox *s, bool is_removed)
{
	if (s->phase == PHASE_ENDING)
		return;
	s->phase = PHASE_ENDING;
	s->is_removed_at_end = s->is_removed_at_end || is_removed;
	timer_clear(s->loop, &s->grace);
	timer_clear(s->loop, &s->log_timer);
	timer_clear(s->loop, &s->settled);
	sandbox_say(s, EVENT_INFO, "sandbox %s", s->is_removed_at_end ? "deleted" : "stopped");
	notifier_free(take_ptr(s->notifier));
	stacks_free(take_ptr(s->stacks));
	cafiles_release(&s->ca);
	kill_everything(s);
	cleanup_close(&s->coop_listener);
	s->coop_listener = -1;
	advisor_done(&s->advisor);
	credentials_done(&s->credentials);
	inference_done(&s->inference);
	cgroup_remove(&s->cgroup);
	protect_done(&s->protect);
	if (s->state)
		stubs_sweep(s->state->dir, on_swept, s);
	log_free(take_ptr(s->log));
	logstore_free(take_ptr(s->store));
	retire_state(s);
	change_end_all(s);
	/* A wrapped command has ended when nothing of it is left under its name; whoever asked for
	 * the deletion waits until nothing is left at all. */
	session_end_all(s);
	discard_state(s);
	control_end_all(s);
	loop_stop(s->loop);
}

static void on_grace(struct loop *loop, struct timer *t)
{
	struct sandbox *s = container_of(t, struct sandbox, grace);

	(void)loop;
	sandbox_end(s, s->is_removed_at_end);
}

void sandbox_stop(struct sandbox *s)
{
	if (s->phase != PHASE_READY)
		return;
	if (LIST_EMPTY(&s->sessions)) {
		sandbox_end(s, !s->spec.keep);
		return;
	}
	s->phase = PHASE_STOPPING;
	session_signal_all(s, SIGHUP);
	session_signal_all(s, SIGTERM);
	s->grace.on_time = on_grace;
	if (timer_set(s->loop, &s->grace, STOP_GRACE_MS) < 0)
		sandbox_end(s, !s->spec.keep);
}
