/*
 * life - what processes do with each other, for a test that compares: alone, and where somebody
 * traces.
 *
 * Prints a line for each thing that could come out otherwise: stops, signals and what they carry,
 * exec by a thread, children born in every way, interrupted and restarted calls, ends.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char *self; /* a path that this program can be started by */

static void say(const char *what, long v)
{
	printf("%s: %ld\n", what, v);
	fflush(stdout);
}

/* A status as one number that says everything. */
static long how(int status)
{
	if (WIFSTOPPED(status))
		return 1000 + WSTOPSIG(status);
	if (WIFCONTINUED(status))
		return 2000;
	return WIFSIGNALED(status) ? 3000 + WTERMSIG(status) : WEXITSTATUS(status);
}

static long wait_for(pid_t pid, int flags)
{
	int status = 0;
	pid_t r;

	do
		r = waitpid(pid, &status, flags);
	while (r < 0 && errno == EINTR);
	return r == pid ? how(status) : -errno;
}

static pid_t child(void (*fn)(void))
{
	pid_t pid = fork();

	if (pid == 0) {
		fn();
		_exit(0);
	}
	return pid;
}

static void wait_forever(void)
{
	for (;;)
		(void)pause();
}

/* Until a file of /proc/PID has this text. */
static void await_text(const char *name, pid_t pid, const char *wanted)
{
	char path[64], text[512];

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	for (;;) {
		FILE *f = fopen(path, "re");

		text[0] = '\0';
		if (f && !fgets(text, sizeof(text), f))
			text[0] = '\0';
		if (f)
			(void)fclose(f);
		if (strstr(text, wanted))
			return;
		(void)poll(NULL, 0, 1);
	}
}

static void await_connect(pid_t pid)
{
	char nr[16];

	(void)snprintf(nr, sizeof(nr), "%d 0x", SYS_connect);
	await_text("syscall", pid, nr);
}

/* ---- stops ---- */

static volatile int *count; /* shared with the children */

static void on_count(int sig)
{
	(void)sig;
	++*count;
}

static void wait_and_count(void)
{
	(void)signal(SIGUSR1, on_count);
	++*count;
	wait_forever();
}

static void await_count(int n)
{
	while (*count < n)
		(void)poll(NULL, 0, 1);
}

/* Who is stopped does nothing at all, not even take a signal. */
static void stillness(void)
{
	pid_t pid;

	count = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid = child(wait_and_count);
	await_count(1);
	(void)kill(pid, SIGSTOP);
	say("to be still", wait_for(pid, WUNTRACED));
	(void)kill(pid, SIGUSR1);
	(void)poll(NULL, 0, 50);
	say("still", *count == 1);
	(void)kill(pid, SIGCONT);
	await_count(2);
	(void)kill(pid, SIGKILL);
	say("moved again, and killed", wait_for(pid, 0));
}

static void stops(void)
{
	static const int how_to[] = { SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU };

	for (size_t i = 0; i < sizeof(how_to) / sizeof(how_to[0]); i++) {
		pid_t pid = child(wait_forever);

		(void)kill(pid, how_to[i]);
		say("stopped", wait_for(pid, WUNTRACED));
		(void)kill(pid, SIGCONT);
		say("continued", wait_for(pid, WCONTINUED));
		(void)kill(pid, SIGSTOP);
		say("stopped again", wait_for(pid, WUNTRACED));
		(void)kill(pid, SIGTERM);
		(void)kill(pid, SIGCONT);
		say("ended by a signal that waited", wait_for(pid, 0));
	}
}

static void stop_myself_twice(void)
{
	for (int i = 0; i < 2; i++)
		(void)raise(SIGSTOP);
}

/* With a thread beside it: the group stops as one. */
static void *spin(void *arg)
{
	for (;;)
		(void)poll(NULL, 0, 1);
	return arg;
}

static void threads_that_stop(void)
{
	pthread_t t;

	(void)pthread_create(&t, NULL, spin, NULL);
	stop_myself_twice();
}

static void group_stops(void)
{
	pid_t pid = child(threads_that_stop);

	for (int i = 0; i < 2; i++) {
		say("group stopped", wait_for(pid, WUNTRACED));
		(void)kill(pid, SIGCONT);
	}
	say("group ended", wait_for(pid, 0));
	pid = child(threads_that_stop);
	say("stopped, to be killed", wait_for(pid, WUNTRACED));
	(void)kill(pid, SIGKILL);
	say("killed in its stop", wait_for(pid, 0));
}

/* ---- what signals carry ---- */

static volatile sig_atomic_t got, got_code, got_value;
static void *volatile got_addr;

static void on_info(int sig, siginfo_t *si, void *context)
{
	(void)context;
	got = sig;
	got_code = si->si_code;
	got_value = si->si_value.sival_int;
	got_addr = si->si_addr;
}

static void handle(int sig, int flags)
{
	struct sigaction act = { .sa_sigaction = on_info, .sa_flags = SA_SIGINFO | flags };

	(void)sigaction(sig, &act, NULL);
}

static void exit_7(void)
{
	_exit(7);
}

static void signals(void)
{
	const union sigval v = { .sival_int = 4711 };
	const struct timespec second = { .tv_sec = 5 };
	siginfo_t si = { 0 };
	sigset_t set;
	pid_t pid;

	handle(SIGUSR1, 0);
	(void)sigqueue(getpid(), SIGUSR1, v);
	say("value", got_value);
	say("from sigqueue", got_code == SI_QUEUE);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGUSR2);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)kill(getpid(), SIGUSR2);
	say("sigtimedwait", sigtimedwait(&set, &si, &second) == SIGUSR2 && si.si_pid == getpid());
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
	pid = child(exit_7);
	say("waitid", waitid(P_PID, (id_t)pid, &si, WEXITED) == 0 ? si.si_status : -1);
	say("CLD_EXITED", si.si_code == CLD_EXITED && si.si_pid == pid);
	say("waited for once", waitpid(pid, NULL, 0) < 0 && errno == ECHILD);
}

static void fault(void)
{
	struct sigaction act = { .sa_sigaction = on_info, .sa_flags = SA_SIGINFO | SA_RESETHAND };
	char *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)sigaction(SIGSEGV, &act, NULL);
	/* The first fault is handled, the second ends it. */
	*(volatile char *)page = 1;
}

static void faults(void)
{
	pid_t pid = child(fault);

	say("second fault", wait_for(pid, 0));
	pid = child((void (*)(void))abort);
	say("abort", wait_for(pid, 0));
}

/* ---- births ---- */

static char *exits_with_3[] = { (char *)"life", (char *)"exit-3", NULL };

static int cloned(void *arg)
{
	(void)arg;
	_exit(4);
}

static void births(void)
{
	static char stack[65536] __attribute__((aligned(16)));
	pid_t pid = vfork();

	if (pid == 0) {
		(void)execv(self, exits_with_3);
		_exit(99);
	}
	say("vfork and exec", wait_for(pid, 0));
	pid = clone(cloned, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL);
	say("clone in our memory", wait_for(pid, 0));
	pid = clone(cloned, stack + sizeof(stack), 0, NULL);
	say("clone without a signal", wait_for(pid, __WALL));
	pid = clone(cloned, stack + sizeof(stack), CLONE_UNTRACED | SIGCHLD, NULL);
	say("clone untraced", pid < 0 ? -errno : wait_for(pid, 0));
}

static void *exec_thread(void *arg)
{
	if (arg)
		await_connect(getpid());
	(void)execv(self, exits_with_3);
	_exit(99);
}

static void exec_beside_a_leader(void)
{
	pthread_t t;

	(void)pthread_create(&t, NULL, exec_thread, NULL);
	wait_forever();
}

static void *end_thread(void *arg)
{
	(void)arg;
	await_text("stat", getpid(), ") Z ");
	_exit(5);
}

static void end_leader_first(void)
{
	pthread_t t;

	(void)pthread_create(&t, NULL, end_thread, NULL);
	pthread_exit(NULL);
}

static void threads(void)
{
	pid_t pid = child(exec_beside_a_leader);

	say("exec by a thread", wait_for(pid, 0));
	pid = child(end_leader_first);
	say("the leader ends first", wait_for(pid, 0));
}

/* A child whose parent ends is somebody else's to wait for. */
static void orphans(void)
{
	int p[2];
	char c;
	pid_t pid;

	(void)!pipe(p);
	pid = fork();
	if (pid == 0) {
		if (fork() == 0) {
			(void)close(p[0]);
			while (getppid() == pid)
				(void)sched_yield();
			_exit(0);
		}
		_exit(6);
	}
	(void)close(p[1]);
	say("parent of an orphan", wait_for(pid, 0));
	say("the orphan ends", read(p[0], &c, 1));
	(void)close(p[0]);
}

/* ---- connects that wait ---- */

static struct sockaddr_in full; /* a listener whose queue is full */
static int full_listener = -1;

static void fill(void)
{
	socklen_t len = sizeof(full);

	full = (struct sockaddr_in){ .sin_family = AF_INET };
	full.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	full_listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)bind(full_listener, (struct sockaddr *)&full, sizeof(full));
	(void)listen(full_listener, 0);
	(void)getsockname(full_listener, (struct sockaddr *)&full, &len);
	(void)connect(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), (struct sockaddr *)&full,
		sizeof(full));
}

static int dial(void)
{
	return connect(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), (struct sockaddr *)&full,
		       sizeof(full)) < 0
		       ? -errno
		       : 0;
}

static void dial_interrupted(void)
{
	handle(SIGALRM, 0);
	say("connect with a handler", dial());
	say("it ran", got == SIGALRM);
}

static void dial_restarted(void)
{
	handle(SIGALRM, SA_RESTART);
	say("connect with SA_RESTART", dial());
	say("it ran, too", got == SIGALRM);
}

static void dial_ignoring(void)
{
	(void)signal(SIGALRM, SIG_IGN);
	_exit(dial() == 0 ? 0 : 1);
}

static void dial_simply(void)
{
	_exit(dial() == 0 ? 0 : 1);
}

static void make_room(void)
{
	(void)close(accept(full_listener, NULL, NULL));
}

static void *dial_thread(void *arg)
{
	(void)dial();
	return arg;
}

/* The leader stands in a connect when another thread becomes it. */
static void exec_beside_a_connect(void)
{
	pthread_t t;

	(void)pthread_create(&t, NULL, dial_thread, NULL);
	(void)pthread_create(&t, NULL, exec_thread, &full);
	(void)dial();
}

static void connects(void)
{
	pid_t pid;

	fill();
	pid = child(dial_interrupted);
	await_connect(pid);
	(void)kill(pid, SIGALRM);
	say("ended", wait_for(pid, 0));
	pid = child(dial_restarted);
	await_connect(pid);
	(void)kill(pid, SIGALRM);
	make_room();
	say("ended", wait_for(pid, 0));

	fill();
	pid = child(dial_ignoring);
	await_connect(pid);
	(void)kill(pid, SIGALRM);
	make_room();
	say("connect that ignores a signal", wait_for(pid, 0));

	fill();
	pid = child(dial_simply);
	await_connect(pid);
	(void)kill(pid, SIGSTOP);
	say("stopped in connect", wait_for(pid, WUNTRACED));
	(void)kill(pid, SIGCONT);
	say("continued in connect", wait_for(pid, WCONTINUED));
	make_room();
	say("connected after that", wait_for(pid, 0));

	fill();
	pid = child(dial_simply);
	await_connect(pid);
	(void)kill(pid, SIGKILL);
	say("killed in connect", wait_for(pid, 0));
	pid = child(dial_simply);
	await_connect(pid);
	(void)kill(pid, SIGTERM);
	say("ended in connect", wait_for(pid, 0));
	pid = child(exec_beside_a_connect);
	say("exec beside a connect", wait_for(pid, 0));
}

static void in_a_group_of_its_own(void)
{
	(void)setpgid(0, 0);
	stillness();
	stops();
	group_stops();
	signals();
	faults();
	births();
	threads();
	orphans();
	connects();
	say("children that are left", waitpid(-1, NULL, WNOHANG | __WALL) < 0 && errno == ECHILD);
}

int main(int argc, char **argv)
{
	self = argv[0];
	if (argc > 1 && strcmp(argv[1], "exit-3") == 0) {
		/* The new program's own calls are answered as its own. */
		int s = socket(AF_INET, SOCK_STREAM, 0);
		struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(1) };
		socklen_t len = sizeof(a);

		a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		if (connect(s, (struct sockaddr *)&a, sizeof(a)) == 0 || errno != ECONNREFUSED)
			return 97;
		if (getpeername(s, (struct sockaddr *)&a, &len) == 0 || errno != ENOTCONN)
			return 98;
		return 3;
	}
	/* SIGTSTP stops nobody in a process group that has no parent in the session. */
	return (int)wait_for(child(in_a_group_of_its_own), 0);
}
