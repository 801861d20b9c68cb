/*
 * Stops, as ptrace(2) has them for PTRACE_SEIZE.
 *
 * A seccomp stop is a call: a record of it is kept until it is answered. Every other stop is
 * attended to at once, and changes nothing for the program: signals are delivered as they came, a
 * group stop lasts until SIGCONT (PTRACE_LISTEN), children and threads are traced from birth.
 *
 * Nothing but us and SIGKILL ends a stop, and a tracee's number is not used again before we have
 * waited for its end; so a caller waits as long as its number is in the same stop. Only execve() of
 * another thread takes a number over while the leader that had it stands in a call; then the stop
 * is another one, and the record goes with the event.
 *
 * waitpid() with __WCLONE: of our children it takes those that signal anything but SIGCHLD, which
 * none does, and tracees always (wait(2), 4.7). So it never takes what another part of the
 * supervisor waits for, and after a tracee's end its real parent is told as ever.
 */
#include "tracer/trace.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/queue.h>
#include <sys/signalfd.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/analyzer.h"
#include "lib/cleanup.h"
#include "tracer/notify.h"

enum {
	BUCKETS = 1024,
	STOPS_TURN_MAX = 64, /* attended to before other events are looked at */
	OPTIONS = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
		  PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL,
};

/* A call that waits for its answer, or that was told to be restarted. */
struct stop {
	pid_t tid;
	int nr;
	uint64_t id; /* 0: answered; the kernel's restart is to be set up in the next trap */
	LIST_ENTRY(stop) bucket;
};

struct trace {
	struct call_source source; /* fd: SIGCHLD */
	pid_t init;
	uint64_t last_id;
	LIST_HEAD(, stop) stops[BUCKETS];
	bool has_next;
	struct call next; /* with has_next: found by has_more(), not received yet */
};

static struct trace *trace_of(struct call_source *src)
{
	return container_of(src, struct trace, source);
}

/* Records. */

static struct stop *stop_find(struct trace *t, pid_t tid)
{
	struct stop *st;

	LIST_FOREACH (st, &t->stops[(unsigned int)tid % BUCKETS], bucket)
		if (st->tid == tid)
			return st;
	return NULL;
}

static void stop_forget(struct stop *st)
{
	if (!st)
		return;
	LIST_REMOVE(st, bucket);
	free(st);
}

/* Registers of a tracee that stands still. */

/*
 * The number of the system call a tracee stands in, and its result. A caller that cannot be told is
 * killed: it must not go on with what it asked for. With ESRCH it cannot: it has been killed, or
 * execve() of another thread has killed it and takes its number, and whom it would mean then is new.
 */
static void set_call(pid_t tid, long nr, int64_t result)
{
#if defined(__x86_64__)
	if (ptrace(PTRACE_POKEUSER, tid, offsetof(struct user, regs.orig_rax), nr) == 0 &&
		ptrace(PTRACE_POKEUSER, tid, offsetof(struct user, regs.rax), (long)result) == 0)
		return;
	if (errno == ESRCH)
		return;
#else
	(void)nr;
	(void)result;
#endif
	(void)kill(tid, SIGKILL);
}

/* Reads the call @tid stands in: false when it stands in none (any more). */
static bool get_call(pid_t tid, struct seccomp_data *ret)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info) <= 0 ||
		info.op != PTRACE_SYSCALL_INFO_SECCOMP)
		return false;
	*ret = (struct seccomp_data){ .nr = (int)info.seccomp.nr,
		.arch = info.arch,
		.instruction_pointer = info.instruction_pointer };
	for (size_t i = 0; i < ARRAY_SIZE(ret->args); i++)
		ret->args[i] = info.seccomp.args[i];
	return true;
}

/* ESRCH: killed meanwhile; its end is reported in its turn. */
static void resume(pid_t tid, int sig)
{
	(void)ptrace(PTRACE_CONT, tid, NULL, (long)sig);
}

/* Stops. */

static bool take_call(struct trace *t, pid_t tid)
{
	struct stop *st = calloc(1, sizeof(*st));

	t->next = (struct call){ .req = { .id = ++t->last_id, .pid = (uint32_t)tid }, .held = -1 };
	if (!get_call(tid, &t->next.req.data)) {
		free(st);
		return false;
	}
	if (!st) {
		set_call(tid, -1, -ENOMEM);
		resume(tid, 0);
		return false;
	}
	*st = (struct stop){ .tid = tid, .nr = t->next.req.data.nr, .id = t->next.req.id };
	LIST_INSERT_HEAD(&t->stops[(unsigned int)tid % BUCKETS], st, bucket);
	t->has_next = true;
	return true;
}

static bool is_stopping(int sig)
{
	return sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU;
}

/*
 * A trap that is no signal: the birth of a child, a group stop or its end, or what respond() asked
 * for. It comes before any signal is taken, so the kernel finds the call that is to be restarted as
 * if it had returned ERESTARTSYS by itself, and does what the signal's handler wants.
 */
static void on_trap(struct trace *t, pid_t tid, int sig)
{
	struct stop *st = stop_find(t, tid);

	if (st && st->id == 0) {
		set_call(tid, st->nr, -NOTIFY_RESTARTSYS);
		stop_forget(st);
	}
	if (is_stopping(sig))
		(void)ptrace(PTRACE_LISTEN, tid, NULL, NULL);
	else
		resume(tid, 0);
}

/* Pid 1 cannot be stopped from inside; traced, it could. */
static void deliver(const struct trace *t, pid_t tid, int sig)
{
	resume(tid, tid == t->init && sig == SIGSTOP ? 0 : sig);
}

/* What a waitpid() said. True when it is a call, in @t->next. */
static bool attend(struct trace *t, pid_t tid, int status)
{
	if (!WIFSTOPPED(status)) {
		stop_forget(stop_find(t, tid));
		return false;
	}
	switch (status >> 16) {
	case 0:
		deliver(t, tid, WSTOPSIG(status));
		return false;
	case PTRACE_EVENT_SECCOMP:
		return take_call(t, tid);
	case PTRACE_EVENT_STOP:
		on_trap(t, tid, WSTOPSIG(status));
		return false;
	case PTRACE_EVENT_EXEC:
		stop_forget(stop_find(t, tid));
		resume(tid, 0);
		return false;
	default: /* somebody has been born, and is reported in its turn */
		resume(tid, 0);
		return false;
	}
}

/*
 * The signal is taken only when nobody is left to wait for, so that the descriptor stays readable
 * as long as somebody is. One stop behind another may share its signal.
 */
static pid_t next_stop(struct trace *t, int *ret_status)
{
	const int flags = __WCLONE | __WNOTHREAD | WNOHANG;
	struct signalfd_siginfo si;
	pid_t tid = waitpid(-1, ret_status, flags);

	if (tid > 0)
		return tid;
	while (read(t->source.fd, &si, sizeof(si)) == sizeof(si))
		;
	tid = waitpid(-1, ret_status, flags);
	if (tid > 0)
		(void)raise(SIGCHLD);
	return tid;
}

static bool find_call(struct trace *t)
{
	for (int i = 0; i < STOPS_TURN_MAX && !t->has_next; i++) {
		int status;
		pid_t tid = next_stop(t, &status);

		if (tid <= 0)
			return false;
		(void)attend(t, tid, status);
	}
	return t->has_next;
}

/* The source of calls. */

static bool receive(struct call_source *src, struct call *ret)
{
	struct trace *t = trace_of(src);

	if (!find_call(t))
		return false;
	*ret = t->next;
	t->has_next = false;
	return true;
}

static bool has_more(struct call_source *src)
{
	return find_call(trace_of(src));
}

static bool is_valid(struct call_source *src, const struct call *c)
{
	const struct stop *st = stop_find(trace_of(src), (pid_t)c->req.pid);
	struct seccomp_data now;

	return st && st->id == c->req.id && get_call(st->tid, &now);
}

/* The trap comes before the signal that waits; until then the call is one that was interrupted. */
static void restart(struct stop *st)
{
	st->id = 0;
	set_call(st->tid, -1, -EINTR);
	(void)ptrace(PTRACE_INTERRUPT, st->tid, NULL, NULL);
	resume(st->tid, 0);
}

static void respond(struct call_source *src, const struct call *c, const struct answer *a)
{
	struct stop *st = stop_find(trace_of(src), (pid_t)c->req.pid);

	if (!st || st->id != c->req.id)
		return;
	if (a->kind == ANSWER_ERROR && a->value == -NOTIFY_RESTARTSYS) {
		restart(st);
		return;
	}
	if (a->kind != ANSWER_CONTINUE)
		set_call(st->tid, -1, a->value);
	resume(st->tid, 0);
	stop_forget(st);
}

/* gcc 12: the source owns itself until its free(). */
ANALYZER_OFF("-Wanalyzer-malloc-leak")
/* Every tracee has been killed with init; the kernel keeps it until its tracer has waited for it.
 */
static void trace_free(struct call_source *src)
{
	struct trace *t = trace_of(src);

	while (waitpid(-1, NULL, __WCLONE | __WNOTHREAD) > 0 || errno == EINTR)
		;
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct stop *st; (st = LIST_FIRST(&t->stops[i]));)
			stop_forget(st);
	cleanup_close(&src->fd);
	free(t);
}
ANALYZER_ON

static const struct call_source_ops ops = { receive, has_more, is_valid, respond, trace_free };

static int open_signals(void)
{
	sigset_t set;
	int fd;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static int seize(pid_t tid)
{
#if defined(__x86_64__)
	return ptrace(PTRACE_SEIZE, tid, NULL, (long)OPTIONS) < 0 ? -errno : 0;
#else
	(void)tid;
	return -ENOSYS; /* set_call() knows no other registers */
#endif
}

/* gcc 12: the source owns itself until its free(). */
ANALYZER_OFF("-Wanalyzer-malloc-leak")
struct call_source *trace_new(pid_t init, struct err *err)
{
	struct trace *t = calloc(1, sizeof(*t));
	int r;

	if (!t) {
		(void)err_set(err, -ENOMEM, "%s", err_name(-ENOMEM));
		return NULL;
	}
	t->source = (struct call_source){ .ops = &ops, .fd = open_signals() };
	t->init = init;
	r = t->source.fd < 0 ? t->source.fd : seize(init);
	if (r == 0)
		return &t->source;
	(void)err_set(err, r, "init of the sandbox cannot be traced: %s", err_name(r));
	(void)err_hint(err, r, "%s",
		r == -EPERM ? "somebody else traces openshell (strace, a debugger), or "
			      "kernel.yama.ptrace_scope is 3: openshell doctor says more"
			    : "openshell doctor says what this host lacks and how to mend it");
	trace_free(&t->source);
	return NULL;
}
ANALYZER_ON
