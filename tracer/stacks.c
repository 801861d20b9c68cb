#include "tracer/stacks.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/proto.h"
#include "lib/stack.h"
#include "tracer/child.h"
#include "tracer/notify.h"
#include "tracer/owner.h"
#include "tracer/remote.h"
#include "tracer/sandbox.h"
#include "tracer/unwind.h"

enum {
	TICK_MS = 250,
	KEPT_MS = 5000, /* an answer that nobody came for */
	RESTARTNOINTR =
		513, /* the kernel's ERESTARTNOINTR: the call is made again, whatever the handler */
};

enum entry_state {
	ENTRY_ASKED = 0, /* the unwinder walks, or stops the task first */
	ENTRY_HELD,	 /* the task will stop as soon as its call is told to restart */
	ENTRY_RELEASED,	 /* it was told so */
	ENTRY_DONE,	 /* text is there */
};

/* One call. The same call of the same task, notified of a second time, is still this one. */
struct entry {
	enum entry_state state;
	uint32_t number; /* what the unwinder calls it */
	uint64_t id;	 /* of the notification */
	bool is_once;	 /* its registers are known: no second notification is to be expected */
	bool is_second;	 /* id is that of the second */
	pid_t tid;
	int nr;
	__u64 args[6];
	uint64_t late_ms;
	char text[STACK_TEXT_MAX + 1];
	TAILQ_ENTRY(entry) link;
};

struct stacks {
	struct sandbox *sandbox;
	struct watch link; /* to the unwinder; fd -1: not running */
	pid_t pid;
	int pidfd;
	unsigned int n_starts;
	TAILQ_HEAD(, entry) entries; /* the oldest first */
	unsigned int n_entries;
	uint32_t next_number;
	uint64_t heard_ms; /* when the unwinder was started, or last said something */
	struct timer tick;
};

static void entry_drop(struct stacks *st, struct entry *e)
{
	TAILQ_REMOVE(&st->entries, e, link);
	st->n_entries--;
	free(e);
}

static void entry_fail(struct entry *e, const char *why)
{
	e->state = ENTRY_DONE;
	(void)snprintf(e->text, sizeof(e->text), "by=none %s", why);
}

/* The unwinder. */

static void unwinder_end(struct stacks *st)
{
	struct entry *e;

	if (st->link.fd < 0)
		return;
	(void)watch_set(st->sandbox->loop, &st->link, 0);
	(void)close(take_fd(st->link.fd));
	(void)syscall(SYS_pidfd_send_signal, st->pidfd, SIGKILL, NULL, 0);
	(void)close(take_fd(st->pidfd));
	while (waitpid(st->pid, NULL, 0) < 0 && errno == EINTR)
		;
	TAILQ_FOREACH(e, &st->entries, link)
		if (e->state != ENTRY_DONE)
			entry_fail(e, "the unwinder ended");
	if (st->sandbox->notifier)
		notifier_retry(st->sandbox->notifier);
}

static struct entry *entry_by_number(struct stacks *st, uint32_t number)
{
	struct entry *e;

	TAILQ_FOREACH(e, &st->entries, link)
		if (e->number == number)
			return e;
	return NULL;
}

static void take_text(struct entry *e, const char *text)
{
	e->state = ENTRY_DONE;
	(void)snprintf(e->text, sizeof(e->text), "%s", text);
}

/* The one call that waits for @e is judged; a thousand others are not asked again for it. */
static void wake(struct stacks *st, const struct entry *e)
{
	if (st->sandbox->notifier)
		notifier_retry_one(st->sandbox->notifier, e->id);
}

static bool take_message(struct stacks *st, struct msg_in *m)
{
	struct entry *e = entry_by_number(st, m->id);
	const char *text;

	if (m->type == UNWIND_HELD) {
		if (e && e->state == ENTRY_ASKED) {
			e->state = ENTRY_HELD;
			wake(st, e);
		}
		return msg_in_done(m);
	}
	text = msg_get_str(m);
	if (m->type != UNWIND_STACK || !msg_in_done(m) || !text)
		return false;
	if (e && e->state != ENTRY_DONE)
		take_text(e, text);
	if (e)
		wake(st, e);
	return true;
}

static void on_unwinder(struct loop *loop, struct watch *w, uint32_t events)
{
	struct stacks *st = container_of(w, struct stacks, link);
	auto_msg_in struct msg_in m = { 0 };
	int r = msg_recv(w->fd, &m);

	(void)events;
	if (r == -EAGAIN)
		return;
	st->heard_ms = loop_now_ms(loop);
	if (r <= 0 || !take_message(st, &m))
		unwinder_end(st);
}

static int unwinder_spawn(struct stacks *st, int theirs)
{
	char path[PATH_MAX];
	char *argv[] = { (char *)"openshell-unwinder", NULL };
	const struct child_fd fds[] = { { theirs, UNWIND_FD } };
	struct err err = { 0 };
	pid_t pid;

	child_program(path, sizeof(path), "openshell-unwinder");
	pid = child_start(path, argv, fds, ARRAY_SIZE(fds), &st->pidfd, &err);
	if (pid < 0)
		sandbox_say(st->sandbox, EVENT_ERROR, "no stacks: %s", err.text);
	return pid;
}

static int unwinder_start(struct stacks *st)
{
	auto_close int ours = -1, theirs = -1;
	int sv[2], r;

	if (st->link.fd >= 0)
		return 0;
	if (st->n_starts > STACKS_RESTARTS_MAX + 1)
		return -EPIPE;
	if (st->n_starts++ > STACKS_RESTARTS_MAX) {
		sandbox_say(st->sandbox, EVENT_ERROR,
			"no stacks any more: the unwinder ended too often");
		return -EPIPE;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return -errno;
	ours = sv[0];
	theirs = sv[1];
	r = fd_set_nonblock(ours, true);
	if (r == 0)
		r = unwinder_spawn(st, theirs);
	if (r < 0)
		return r;
	st->pid = r;
	st->heard_ms = loop_now_ms(st->sandbox->loop);
	watch_init(&st->link, take_fd(ours), on_unwinder, NULL);
	return watch_set(st->sandbox->loop, &st->link, EPOLLIN);
}

/* Asking. */

/* The record that came with the call, in the order of libunwind's numbers. */
static bool read_lent(const struct call *c, uint64_t ret[UNWIND_REGS])
{
	const __u64 *args = c->req.data.args;
	const uint64_t *r;
	struct stacks_record rec;

	if ((c->req.data.nr != SYS_connect && c->req.data.nr != SYS_sendmsg) ||
		args[3] != STACKS_MAGIC)
		return false;
	if (remote_read((pid_t)c->req.pid, args[4], &rec, sizeof(rec)) < 0 ||
		rec.magic != STACKS_MAGIC)
		return false;
	r = rec.regs;
	memcpy(ret,
		(const uint64_t[UNWIND_REGS]){ 0, 0, 0, r[STACKS_RBX], 0, 0, r[STACKS_RBP],
			r[STACKS_RSP], 0, 0, 0, 0, r[STACKS_R12], r[STACKS_R13], r[STACKS_R14],
			r[STACKS_R15], r[STACKS_RIP] },
		sizeof(uint64_t) * UNWIND_REGS);
	return true;
}

/* Where we trace everybody, the caller stands still for us already. STACK_NONE: it has to be
 * stopped. */
static enum stack_by registers_of(
	const struct stacks *st, const struct call *c, uint64_t ret[UNWIND_REGS])
{
	if (read_lent(c, ret))
		return STACK_PRELOAD;
	if (st->sandbox->intercept == SPEC_INTERCEPT_PTRACE &&
		registers_read((pid_t)c->req.pid, ret) == 0)
		return STACK_PTRACE;
	return STACK_NONE;
}

static int ask(struct stacks *st, struct entry *e, const struct call *c)
{
	auto_msg_out struct msg_out m = { 0 };
	uint64_t regs[UNWIND_REGS];
	int procdir = owner_procdir(st->sandbox->owners, e->tid);
	auto_close int maps = procdir < 0 ? -1 : openat(procdir, "maps", O_RDONLY | O_CLOEXEC);
	auto_close int exe = -1;
	enum stack_by by;
	int r;

	if (maps < 0)
		return procdir < 0 ? procdir : -errno;
	exe = openat(procdir, "exe", O_RDONLY | O_CLOEXEC);
	by = registers_of(st, c, regs);
	e->is_once = by != STACK_NONE;
	r = unwinder_start(st);
	if (r < 0)
		return r;
	msg_out_init(&m, UNWIND_ASK, e->number);
	msg_put_u32(&m, (uint32_t)e->tid);
	msg_put_u32(&m, by);
	msg_put_u32(&m, exe >= 0);
	msg_put_bytes(&m, regs, e->is_once ? sizeof(regs) : 0);
	msg_put_fd(&m, maps);
	if (exe >= 0)
		msg_put_fd(&m, exe);
	return msg_send(st->link.fd, &m);
}

static bool make_room(struct stacks *st)
{
	struct entry *e;

	if (st->n_entries < STACKS_PENDING_MAX)
		return true;
	TAILQ_FOREACH(e, &st->entries, link) {
		if (e->state != ENTRY_DONE)
			continue;
		entry_drop(st, e);
		return true;
	}
	return false;
}

static struct entry *entry_new(struct stacks *st, const struct call *c)
{
	struct entry *e = make_room(st) ? calloc(1, sizeof(*e)) : NULL;
	int r;

	if (!e)
		return NULL;
	e->number = ++st->next_number;
	e->id = c->req.id;
	e->tid = (pid_t)c->req.pid;
	e->nr = c->req.data.nr;
	memcpy(e->args, c->req.data.args, sizeof(e->args));
	e->late_ms = loop_now_ms(st->sandbox->loop) + STACKS_TIMEOUT_MS;
	TAILQ_INSERT_TAIL(&st->entries, e, link);
	st->n_entries++;
	r = ask(st, e, c);
	if (r == 0 && !st->tick.slot)
		r = timer_set(st->sandbox->loop, &st->tick, TICK_MS);
	if (r < 0)
		entry_fail(e, r == -EAGAIN ? "too many at once"
			      : r == -EPIPE ? "the unwinder has ended"
					    : err_name(r));
	return e;
}

/* What took too long is given up, and with it an unwinder that has been silent for as long. */
static void on_tick(struct loop *loop, struct timer *t)
{
	struct stacks *st = container_of(t, struct stacks, tick);
	const uint64_t now = loop_now_ms(loop);
	struct entry *e, *next;
	bool is_late = false;

	for (e = TAILQ_FIRST(&st->entries); e; e = next) {
		next = TAILQ_NEXT(e, link);
		if (e->state == ENTRY_DONE && now > e->late_ms + KEPT_MS) {
			entry_drop(st, e);
		} else if (e->state != ENTRY_DONE && now > e->late_ms) {
			entry_fail(e, "it took too long");
			wake(st, e);
			is_late = true;
		}
	}
	if (is_late && now > st->heard_ms + STACKS_TIMEOUT_MS)
		unwinder_end(st);
	if (!TAILQ_EMPTY(&st->entries))
		(void)timer_set(loop, t, TICK_MS);
}

static bool is_same_call(const struct entry *e, const struct call *c)
{
	return e->tid == (pid_t)c->req.pid && e->nr == c->req.data.nr &&
	       memcmp(e->args, c->req.data.args, sizeof(e->args)) == 0;
}

/* An entry about an earlier call of the task, which is over, is dropped. */
static struct entry *entry_of(struct stacks *st, const struct call *c)
{
	struct entry *e, *next;

	for (e = TAILQ_FIRST(&st->entries); e; e = next) {
		next = TAILQ_NEXT(e, link);
		if (e->tid != (pid_t)c->req.pid)
			continue;
		if (e->id == c->req.id)
			return e;
		if (is_same_call(e, c) && !e->is_once && !e->is_second) {
			e->is_second = true;
			e->id = c->req.id;
			return e;
		}
		entry_drop(st, e);
	}
	return NULL;
}

bool stacks_get(struct stacks *st, struct notifier *n, const struct call *c, const char **ret_text,
	struct answer *ret_answer)
{
	struct entry *e;

	*ret_text = NULL;
	if (!st)
		return true;
	e = entry_of(st, c);
	if (!e)
		e = entry_new(st, c);
	if (!e) {
		*ret_text = "by=none too many at once";
		return true;
	}
	if (e->state == ENTRY_DONE) {
		*ret_text = e->text;
		return true;
	}
	*ret_answer = (struct answer){ .kind = ANSWER_PARK_HASH, .fd = -1 };
	if (e->state == ENTRY_HELD && !e->is_second && notifier_is_valid(n, c)) {
		e->state = ENTRY_RELEASED;
		*ret_answer =
			(struct answer){ .kind = ANSWER_ERROR, .value = -RESTARTNOINTR, .fd = -1 };
	}
	return false;
}

struct stacks *stacks_new(struct sandbox *s)
{
	struct stacks *st = calloc(1, sizeof(*st));

	if (!st)
		return NULL;
	st->sandbox = s;
	st->link.fd = st->pidfd = -1;
	st->tick.on_time = on_tick;
	TAILQ_INIT(&st->entries);
	return st;
}

void stacks_free(struct stacks *st)
{
	struct entry *e;

	if (!st)
		return;
	unwinder_end(st);
	timer_clear(st->sandbox->loop, &st->tick);
	while ((e = TAILQ_FIRST(&st->entries)))
		entry_drop(st, e);
	free(st);
}
