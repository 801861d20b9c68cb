/*
 * caller - connects from a function with a known name, in one of the ways in which programs do, or
 * with a lie about its stack. For tests/e2e/stacks.t; there is a static one, too (caller-static).
 *
 * usage: caller ADDRESS PORT call|thread|vfork|fork|signal|raw|udp|LIE
 *
 * Prints `ok` or the name of the errno. A lie is a system call with the preload library's mark:
 * none (no record where it points), wild (registers that lead nowhere), loop (a stack that never
 * ends), borrowed (another function's address).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "tracer/stacks.h"

#define KEPT __attribute__((noinline, noclone))

static struct sockaddr_in to;
static int type = SOCK_STREAM;

static void say(long r)
{
	(void)printf("%s\n", r >= 0 ? "ok" : strerrorname_np(errno));
	(void)fflush(stdout);
}

/* The two functions that a stack must name; what follows the call keeps it from being a jump. */
KEPT static long knock_at_the_door(void)
{
	int fd = socket(AF_INET, type, 0);
	long r = type == SOCK_DGRAM ? sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to))
				    : connect(fd, (struct sockaddr *)&to, sizeof(to));

	(void)close(fd);
	return r;
}

KEPT static void pay_a_visit(void)
{
	say(knock_at_the_door());
}

static void *in_thread(void *arg)
{
	pay_a_visit();
	return arg;
}

static void thread(void)
{
	pthread_t t;

	if (pthread_create(&t, NULL, in_thread, NULL) == 0)
		(void)pthread_join(t, NULL);
}

/* The child shares our memory, and the parent stands still. */
static void vfork_child(void)
{
	pid_t pid = vfork();

	if (pid == 0) {
		pay_a_visit();
		_exit(0);
	}
	(void)waitpid(pid, NULL, 0);
	pay_a_visit();
}

static void fork_child(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		thread();
		_exit(0);
	}
	(void)waitpid(pid, NULL, 0);
}

static void on_signal(int sig)
{
	(void)sig;
	pay_a_visit();
}

static void in_handler(void)
{
	(void)signal(SIGUSR1, on_signal);
	(void)raise(SIGUSR1);
}

/* Not by way of connect(3): the preload library does not see it. */
KEPT static void raw(void)
{
	long r = syscall(SYS_connect, socket(AF_INET, type, 0), &to, sizeof(to), 0, 0, 0);

	say(r);
}

/* Lies. */

static void tell(const void *record)
{
	long r = syscall(
		SYS_connect, socket(AF_INET, type, 0), &to, sizeof(to), STACKS_MAGIC, record, 0);

	say(r);
}

static void lie_none(void)
{
	tell((void *)16);
	tell((void *)-16L);
}

static void lie_wild(void)
{
	struct stacks_record r = { .magic = STACKS_MAGIC };

	memset(r.regs, 0xfe, sizeof(r.regs));
	tell(&r);
	memset(r.regs, 0, sizeof(r.regs));
	tell(&r);
}

/* A chain of frame pointers, a hundred thousand of them, and one that leads to itself. */
static void lie_loop(void)
{
	enum { DEPTH = 100000 };
	struct stacks_record r = { .magic = STACKS_MAGIC };
	uint64_t *frames =
		mmap(NULL, DEPTH * 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (frames == MAP_FAILED)
		return;
	for (size_t i = 0; i < DEPTH - 1; i++) {
		frames[2 * i] = (uintptr_t)&frames[2 * i + 2];
		frames[2 * i + 1] = (uintptr_t)frames + 64;
	}
	r.regs[STACKS_RIP] = (uintptr_t)frames + 64;
	r.regs[STACKS_RBP] = r.regs[STACKS_RSP] = (uintptr_t)frames;
	tell(&r);
	frames[0] = (uintptr_t)frames;
	tell(&r);
}

static void lie_borrowed(void)
{
	struct stacks_record r = { .magic = STACKS_MAGIC };

	r.regs[STACKS_RIP] = (uintptr_t)knock_at_the_door + 8;
	r.regs[STACKS_RSP] = (uintptr_t)&r;
	tell(&r);
}

static void udp(void)
{
	type = SOCK_DGRAM;
	pay_a_visit();
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} ways[] = { { "call", pay_a_visit }, { "thread", thread }, { "vfork", vfork_child },
		{ "fork", fork_child }, { "signal", in_handler }, { "raw", raw }, { "udp", udp },
		{ "none", lie_none }, { "wild", lie_wild }, { "loop", lie_loop },
		{ "borrowed", lie_borrowed } };

	to = (struct sockaddr_in){ .sin_family = AF_INET };
	if (argc != 4 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
		return 2;
	to.sin_port = htons((uint16_t)atoi(argv[2]));
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		if (strcmp(ways[i].name, argv[3]) == 0) {
			ways[i].run();
			return 0;
		}
	}
	return 2;
}
