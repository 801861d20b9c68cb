/*
 * The ways to intercept connections, each tried as the supervisor and init will use it.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/doctor_checks.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/kernel.h"

static int install(struct sock_filter *code, size_t n, unsigned long flags)
{
	struct sock_fprog prog = { .len = (unsigned short)n, .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
}

/* Notification. */

/* Notifies of getppid(2) and lets the rest pass. */
static int install_listener(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	return install(code, ARRAY_SIZE(code), SECCOMP_FILTER_FLAG_NEW_LISTENER);
}

/* A child asks, we answer with a number that no process has: the whole way, once. */
enum { ANSWER = 4242 };

static int answer_one(int listener)
{
	struct seccomp_notif req = { 0 };
	struct seccomp_notif_resp resp = { 0 };
	struct pollfd p = { .fd = listener, .events = POLLIN };

	if (poll(&p, 1, 5000) != 1 || ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &req) < 0)
		return 3;
	resp.id = req.id;
	resp.val = ANSWER;
	return ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &resp) < 0 ? 3 : 0;
}

enum { LISTENER_TAKEN = 1 };

/* 0, LISTENER_TAKEN, or anything else: does not work. */
static int try_notification(void)
{
	int listener = install_listener(), status, r;
	pid_t pid;

	if (listener < 0)
		return errno == EBUSY ? LISTENER_TAKEN : 2;
	pid = fork();
	if (pid == 0)
		_exit(syscall(SYS_getppid) == ANSWER ? 0 : 3);
	r = pid < 0 ? 3 : answer_one(listener);
	(void)close(listener); /* a child that still waits gets ENOSYS */
	if (pid > 0 && (waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status)))
		r = r ? r : 3;
	return r;
}

void doctor_check_seccomp(struct doctor_check *c)
{
	int r = doctor_in_child(try_notification);

	if (r == 0) {
		FOUND(c, "user notification works");
		return;
	}
	c->state = DOCTOR_WARN;
	COST(c, "connections take longer to intercept, with ptrace");
	if (r == LISTENER_TAKEN) {
		FOUND(c, "another seccomp listener is installed (WSL 2, a nested container)");
		REMEDY(c, "run openshell outside of it");
	} else {
		FOUND(c, "seccomp user notification does not work");
		REMEDY(c, "a kernel of 5.9 or later with CONFIG_SECCOMP_FILTER is needed");
	}
}

/* 1: a listener can be had, and does without. */
static int try_sync_wake_up(void)
{
	auto_close int listener = install_listener();

	return listener >= 0 && !kernel_sync_wake_up(listener);
}

void doctor_check_features(struct doctor_check *c)
{
	unsigned int missing = kernel_missing();
	auto_buf struct buf names = { .max = DOCTOR_TEXT_MAX }, costs = { .max = DOCTOR_TEXT_MAX };

	if (doctor_in_child(try_sync_wake_up) == 1)
		missing |= 1U << KERNEL_NOTIFY_SYNC;
	if (!missing) {
		FOUND(c, "the kernel has everything that is used");
		return;
	}
	c->state = DOCTOR_WARN;
	(void)kernel_print(&names, missing, KERNEL_NAMES_SINCE);
	(void)kernel_print(&costs, missing, KERNEL_COSTS);
	FOUND(c, "without %.*s", (int)names.len, buf_head(&names));
	COST(c, "%.*s", (int)costs.len, buf_head(&costs));
	REMEDY(c, "a newer kernel: 6.12 has them all");
}

/* Stops. */

static const int traced[] = { SYS_connect, SYS_getpeername, SYS_sendto, SYS_sendmsg, SYS_sendmmsg,
	SYS_socket, SYS_socketpair };

enum { TRACED = ARRAY_SIZE(traced) };

static int install_traced(void)
{
	struct sock_filter code[TRACED + 3] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		[TRACED + 1] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		[TRACED + 2] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
	};

	for (unsigned int i = 0; i < TRACED; i++)
		code[i + 1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
			(unsigned int)traced[i], (unsigned char)(TRACED - i), 0);
	return install(code, ARRAY_SIZE(code), 0);
}

/* In a user namespace of its own, as init is: that decides who may trace it. */
static _Noreturn void make_calls(int go)
{
	char byte;

	(void)unshare(CLONE_NEWUSER);
	if (read(go, &byte, 1) != 1 || install_traced() < 0)
		_exit(1);
	for (size_t i = 0; i < TRACED; i++)
		(void)syscall(traced[i], -1, 0, 0, 0, 0, 0);
	_exit(0);
}

/* How many calls of @pid have stopped for us when it has ended; -1: it did not come that far. */
static int count_stops(pid_t pid)
{
	int status, n = 0;

	while (waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status)) {
		if (status >> 16 == PTRACE_EVENT_SECCOMP)
			n++;
		(void)ptrace(PTRACE_CONT, pid, NULL, status >> 16 ? 0L : (long)WSTOPSIG(status));
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? n : -1;
}

enum { TRACE_REFUSED = 1, TRACE_TAKEN = 2 };

/* 0, TRACE_REFUSED, TRACE_TAKEN (a listener gets the calls instead), or else: does not work. */
static int try_trace(void)
{
	int go[2], n;
	pid_t pid;

	if (pipe(go) < 0)
		return 3;
	pid = fork();
	if (pid < 0)
		return 3;
	if (pid == 0) {
		(void)close(go[1]);
		make_calls(go[0]);
	}
	(void)close(go[0]);
	if (ptrace(PTRACE_SEIZE, pid, NULL, (long)(PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL)) <
		0) {
		(void)close(go[1]); /* it ends by itself */
		(void)waitpid(pid, NULL, 0);
		return TRACE_REFUSED;
	}
	n = write(go[1], "", 1) == 1 ? count_stops(pid) : -1;
	return n == TRACED ? 0 : n < 0 ? 3 : TRACE_TAKEN;
}

void doctor_check_ptrace(struct doctor_check *c)
{
	int r = doctor_in_child(try_trace);

	if (r == 0) {
		FOUND(c, "a supervisor can trace its sandbox");
		return;
	}
	c->state = DOCTOR_WARN;
	COST(c, "no second way to intercept connections");
	if (r == TRACE_TAKEN) {
		FOUND(c, "another seccomp listener answers the calls that would be traced");
		REMEDY(c, "run openshell outside of it");
	} else if (r != TRACE_REFUSED) {
		FOUND(c, "system calls do not stop for a tracer");
		REMEDY(c, "a kernel with CONFIG_SECCOMP_FILTER is needed");
	} else if (doctor_sysctl("/proc/sys/kernel/yama/ptrace_scope") >= 2) {
		FOUND(c, "kernel.yama.ptrace_scope = %ld",
			doctor_sysctl("/proc/sys/kernel/yama/ptrace_scope"));
		REMEDY(c, "sudo sysctl -w kernel.yama.ptrace_scope=1");
	} else {
		FOUND(c, "ptrace is refused");
		REMEDY(c, "a container must allow it: --cap-add SYS_PTRACE");
	}
}

/* The choice. */

void doctor_check_interception(struct doctor_check *c)
{
	int r = doctor_in_child(try_notification);

	if (r == 0) {
		FOUND(c, "seccomp: notification is the fastest that there is");
	} else if (doctor_in_child(try_trace) == 0) {
		FOUND(c, "ptrace: %s",
			r == LISTENER_TAKEN ? "the place of the seccomp listener is taken"
					    : "there is no seccomp notification");
	} else {
		c->state = DOCTOR_FAIL;
		FOUND(c, "neither seccomp notification nor ptrace works here");
		COST(c, "nothing can be enforced here, and no sandbox starts; --audit --intercept preload is "
			"cooperative, and enforces nothing");
		REMEDY(c, "mend one of the two above");
	}
}
