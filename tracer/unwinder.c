/*
 * openshell-unwinder - walks the stacks of the workload for a supervisor with --stacks.
 *
 * May: hold a task of the workload still for a moment, read its registers and its memory, answer.
 * May not, once confine() has returned: open files, make sockets, run programs, write into another
 * process or set its registers: the kernel would kill it. libunwind interprets tables that a
 * hostile program made; this is all that a mistake in there could reach.
 *
 * The registers of a call that lent them come with the question. For any other call the task must
 * stop, and it waits for an answer to its notification, during which it takes no interrupt
 * (SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV). So it is interrupted here, which stays pending; the
 * supervisor hears of that and tells the call to be restarted (ERESTARTNOINTR); on its way to doing
 * so the task takes the interrupt, and stops, with everything as it was. It is let go, makes the
 * same call again and is notified of again. On kernels without the flag (before 5.19) the interrupt
 * ends the notification at once, and what follows is the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/instrument.h"
#include "lib/kernel.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "tracer/env.h"
#include "tracer/registers.h"
#include "tracer/unwind.h"

enum {
	STOP_TIMEOUT_MS = 300,
	MAPS_SIZE = 4 * 1024 * 1024,
};

#define MEMORY_MAX (256UL * 1024 * 1024)

#ifdef __SANITIZE_ADDRESS__
/* What LeakSanitizer does at exit is refused by the filter (lib/instrument.h). */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0:symbolize=0";
}
#endif

/* Confinement. */

#define LOAD(field)                                                                                \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned int)offsetof(struct seccomp_data, field))
#define VERDICT(v)   BPF_STMT(BPF_RET | BPF_K, (v))
#define ALLOW(value) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, 1), VERDICT(SECCOMP_RET_ALLOW)

#if defined(__x86_64__)
#define UNWINDER_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define UNWINDER_ARCH AUDIT_ARCH_AARCH64
#else
#error "state the audit architecture of this machine"
#endif

/* What libunwind, malloc(3) and the loop below need. Of ptrace(2) what only looks and lets go. */
static const struct sock_filter filter[] = {
	LOAD(arch),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, UNWINDER_ARCH, 1, 0),
	VERDICT(SECCOMP_RET_KILL_PROCESS),
	LOAD(nr),
	ALLOW(__NR_process_vm_readv),
	ALLOW(__NR_recvmsg),
	ALLOW(__NR_sendmsg),
	ALLOW(__NR_pread64),
	ALLOW(__NR_close),
	ALLOW(__NR_wait4),
	ALLOW(__NR_rt_sigtimedwait),
	ALLOW(__NR_rt_sigprocmask),
	ALLOW(__NR_clock_gettime),
	ALLOW(__NR_futex),
	ALLOW(__NR_sysinfo), /* qsort(3) asks how much memory there is */
	ALLOW(__NR_brk),
	ALLOW(__NR_munmap),
	ALLOW(__NR_madvise),
	ALLOW(__NR_mremap),
	ALLOW(__NR_exit_group),
#ifdef __SANITIZE_ADDRESS__
	ALLOW(__NR_sigaltstack), /* its runtime, before every call that does not return */
	ALLOW(__NR_write),	 /* and its report */
#endif
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_mmap, 0, 4),
	LOAD(args[2]),
	BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 4 /* PROT_EXEC */, 0, 1),
	VERDICT(SECCOMP_RET_KILL_PROCESS),
	VERDICT(SECCOMP_RET_ALLOW),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_ptrace, 1, 0),
	VERDICT(SECCOMP_RET_KILL_PROCESS),
	LOAD(args[0]),
	ALLOW(PTRACE_SEIZE),
	ALLOW(PTRACE_INTERRUPT),
	ALLOW(PTRACE_GETREGSET),
	ALLOW(PTRACE_DETACH),
	VERDICT(SECCOMP_RET_KILL_PROCESS),
};

static int confine(void)
{
	const struct sock_fprog prog = { .len = ARRAY_SIZE(filter),
		.filter = (struct sock_filter *)filter };
	const struct rlimit none = { 0, 0 }, memory = { MEMORY_MAX, MEMORY_MAX };

	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return -errno;
	/* A sanitizer's report is a file, its shadow memory alone larger than all we need. */
	if (!IS_SANITIZED && (setrlimit(RLIMIT_FSIZE, &none) < 0 || setrlimit(RLIMIT_AS, &memory) < 0))
		return -errno;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) < 0)
		return -errno;
	return 0;
}

/* Answers. */

static void answer(uint32_t id, const struct stack *s)
{
	auto_msg_out struct msg_out m;
	char text[STACK_TEXT_MAX + 1];

	stack_format(s, text);
	msg_out_init(&m, UNWIND_STACK, id);
	msg_put_str(&m, text);
	if (msg_send(UNWIND_FD, &m) < 0)
		_exit(1);
}

static void answer_none(uint32_t id, const char *why, int r)
{
	struct stack s = { 0 };

	(void)snprintf(s.reason, sizeof(s.reason), r < 0 ? "%s: %s" : "%s", why,
		r < 0 ? strerrordesc_np(-r) : "");
	answer(id, &s);
}

/* Walking. */

static char *read_maps(int fd)
{
	static char text[MAPS_SIZE + 1];
	size_t len = 0;
	ssize_t n;

	while (len < MAPS_SIZE && (n = pread(fd, text + len, MAPS_SIZE - len, (off_t)len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	return text;
}

/* What was asked for. */
struct question {
	uint32_t id;
	pid_t tid;
	int maps, exe; /* owned; exe may be -1 */
};

static void question_done(struct question *q)
{
	cleanup_close(&q->maps);
	cleanup_close(&q->exe);
}

static void walk(const struct question *q, const uint64_t regs[UNWIND_REGS], enum stack_by by)
{
	const struct unwind_task task = { .tid = q->tid,
		.regs = regs,
		.maps = read_maps(q->maps),
		.exe = q->exe,
		.skipped = by == STACK_PRELOAD ? ENV_PRELOAD_FILE : NULL };
	static struct stack s;

	unwind(&task, &s);
	s.by = s.n_frames ? by : STACK_NONE;
	answer(q->id, &s);
}

static long ms_until(const struct timespec *end)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (end->tv_sec - now.tv_sec) * 1000 + (end->tv_nsec - now.tv_nsec) / 1000000;
}

/* Waits for the task to stop: 0 and what it stopped for, -ESRCH when it ended, -ETIMEDOUT. */
static int await_stop(pid_t tid, int *ret_status)
{
	struct timespec end;
	sigset_t child;

	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += 1;
	(void)sigemptyset(&child);
	(void)sigaddset(&child, SIGCHLD);
	for (;;) {
		long ms = ms_until(&end) - (1000 - STOP_TIMEOUT_MS);
		const struct timespec left = { .tv_sec = 0, .tv_nsec = ms * 1000000 };
		pid_t r = waitpid(tid, ret_status, __WALL | WNOHANG);

		if (r == tid)
			return WIFSTOPPED(*ret_status) ? 0 : -ESRCH;
		if (r < 0)
			return -ESRCH;
		if (ms <= 0)
			return -ETIMEDOUT;
		(void)sigtimedwait(&child, NULL, &left);
	}
}

/* A signal that the task stopped for is its own and goes on to it. */
static void let_go(pid_t tid, int status)
{
	const int sig = status >> 16 == PTRACE_EVENT_STOP ? 0 : WSTOPSIG(status);

	(void)ptrace(PTRACE_DETACH, tid, NULL, (void *)(long)sig);
}

static void stop_and_walk(const struct question *q)
{
	const uint32_t id = q->id;
	const pid_t tid = q->tid;
	uint64_t regs[UNWIND_REGS];
	int status, r;

	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) < 0 ||
		ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) < 0) {
		answer_none(id, "the task cannot be stopped", -errno);
		return;
	}
	if (msg_send_empty(UNWIND_FD, UNWIND_HELD, id) < 0)
		_exit(1);
	r = await_stop(tid, &status);
	if (r == -ETIMEDOUT) {
		/* Only our end lets a task go that does not stop. */
		answer_none(id, "the task does not stop", 0);
		_exit(0);
	}
	if (r == 0)
		r = registers_read(tid, regs);
	/* The supervisor has the answer before the task asks again. */
	if (r == 0)
		walk(q, regs, STACK_PTRACE);
	else
		answer_none(id, "the task's registers cannot be read", r);
	if (r != -ESRCH)
		let_go(tid, status);
}

static void on_ask(struct msg_in *m)
{
	__attribute__((
		cleanup(question_done))) struct question q = { .id = m->id, .maps = -1, .exe = -1 };
	uint64_t copy[UNWIND_REGS];
	const void *regs;
	enum stack_by by;
	size_t len;

	q.tid = (pid_t)msg_get_u32(m);
	by = (enum stack_by)msg_get_u32(m);
	q.maps = msg_get_fd(m);
	if (msg_get_u32(m))
		q.exe = msg_get_fd(m);
	regs = msg_get_bytes(m, &len);
	if (!msg_in_done(m) || (len && len != sizeof(copy)))
		_exit(1);
	if (!len) {
		stop_and_walk(&q);
		return;
	}
	memcpy(copy, regs, sizeof(copy));
	walk(&q, copy, by);
}

int main(void)
{
	sigset_t child;

	if (fcntl(UNWIND_FD, F_GETFD) < 0) {
		(void)fprintf(
			stderr, "openshell-unwinder: is started by the supervisor, not by hand\n");
		return 2;
	}
	instrument_begin();
	(void)sigemptyset(&child);
	(void)sigaddset(&child, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &child, NULL);
	unwind_prepare();
	if (confine() < 0)
		return 1;
	for (;;) {
		auto_msg_in struct msg_in m = { 0 };

		if (msg_recv(UNWIND_FD, &m) <= 0 || m.type != UNWIND_ASK)
			return 0;
		on_ask(&m);
	}
}
