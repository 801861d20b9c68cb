/*
 * For tests of deadlines and of clocks that jump: the test owns the clocks of a process.
 *
 * CLOCK_FILE names four 64-bit numbers that the test shares with the process: milliseconds that are added to
 * the monotonic clock; a count of the returns of epoll_wait(), so that the test knows when a jump has been
 * seen; milliseconds that are added to the wall clock (signed); milliseconds that the host has slept, which
 * the clock of the time since boot has and the monotonic one has not. Waits are cut short, for a jump wakes
 * nobody.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_MS = 5 };

static struct {
	_Atomic uint64_t ahead_ms, turns;
	_Atomic int64_t wall_ms, slept_ms;
} * shared;

__attribute__((constructor)) static void attach(void)
{
	const char *path = getenv("CLOCK_FILE");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p;

	if (fd < 0)
		return;
	p = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p != MAP_FAILED)
		shared = p;
	(void)close(fd);
}

static void add(struct timespec *t, int64_t ms)
{
	int64_t ns = t->tv_nsec + ms % 1000 * 1000000;

	t->tv_sec += (time_t)(ms / 1000) - (ns < 0) + (ns >= 1000000000);
	t->tv_nsec = (long)((ns + 1000000000) % 1000000000);
}

int clock_gettime(clockid_t id, struct timespec *t)
{
	static int (*real)(clockid_t, struct timespec *);
	int r;

	if (!real)
		real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	r = real(id, t);
	if (r == 0 && shared)
		add(t, id == CLOCK_MONOTONIC ? (int64_t)shared->ahead_ms
		       : id == CLOCK_BOOTTIME ? (int64_t)shared->ahead_ms + shared->slept_ms
		       : id == CLOCK_REALTIME ? shared->wall_ms : 0);
	return r;
}

time_t time(time_t *ret)
{
	struct timespec t = { 0 };

	(void)clock_gettime(CLOCK_REALTIME, &t);
	if (ret)
		*ret = t.tv_sec;
	return t.tv_sec;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
	struct timespec t = { 0 };

	(void)zone;
	(void)clock_gettime(CLOCK_REALTIME, &t);
	ret->tv_sec = t.tv_sec;
	ret->tv_usec = t.tv_nsec / 1000;
	return 0;
}

int epoll_wait(int fd, struct epoll_event *ev, int n, int timeout)
{
	static int (*real)(int, struct epoll_event *, int, int);
	int r;

	if (!real)
		real = (int (*)(int, struct epoll_event *, int, int))dlsym(RTLD_NEXT, "epoll_wait");
	r = real(fd, ev, n, shared && (timeout < 0 || timeout > WAIT_MS) ? WAIT_MS : timeout);
	/* A look in vain, as under load before the loop sleeps, is no turn. */
	if (shared && (r != 0 || timeout != 0))
		shared->turns++;
	return r;
}
