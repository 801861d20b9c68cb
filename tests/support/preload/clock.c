/*
 * For tests of deadlines: the test owns the proxy's monotonic clock.
 *
 * CLOCK_FILE names 16 bytes that the test shares with the process. The first eight are milliseconds
 * that are added to the clock; the second eight count the returns of epoll_wait(), so that the test
 * knows when a jump has been seen. Waits are cut short, for a jump wakes nobody.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_MS = 5 };

static struct {
	_Atomic uint64_t ahead_ms, turns;
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

int clock_gettime(clockid_t id, struct timespec *t)
{
	static int (*real)(clockid_t, struct timespec *);
	int r;

	if (!real)
		real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	r = real(id, t);
	if (r == 0 && id == CLOCK_MONOTONIC && shared) {
		uint64_t ahead = shared->ahead_ms;
		uint64_t ns = (uint64_t)t->tv_nsec + ahead % 1000 * 1000000;

		t->tv_sec += (time_t)(ahead / 1000 + ns / 1000000000);
		t->tv_nsec = (long)(ns % 1000000000);
	}
	return r;
}

int epoll_wait(int fd, struct epoll_event *ev, int n, int timeout)
{
	static int (*real)(int, struct epoll_event *, int, int);
	int r;

	if (!real)
		real = (int (*)(int, struct epoll_event *, int, int))dlsym(RTLD_NEXT, "epoll_wait");
	r = real(fd, ev, n, shared && (timeout < 0 || timeout > WAIT_MS) ? WAIT_MS : timeout);
	if (shared)
		shared->turns++;
	return r;
}
