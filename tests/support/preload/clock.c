/*
 * For tests of deadlines and of clocks that jump: the test owns the clocks of a process.
 *
 * CLOCK_FILE names six 64-bit numbers that the test shares with the process: milliseconds that are added to
 * the monotonic clock; a count of the times that epoll_wait() found something; milliseconds that are added to
 * the wall clock (signed); milliseconds that the host has slept, which the clock of the time since boot has and
 * the monotonic one has not; a count of the times that epoll_wait() waited and found nothing, so that the test
 * knows when a jump has been seen and nothing is left to do; whether the monotonic clock stands still but for
 * what is added to it. Waits are cut short, for a jump wakes nobody.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum {
	WAIT_MS = 2,
	LOOK_NS = 1000, /* a clock that stands still goes on by so much with each look: who spins until it is late ends */
};

static struct {
	_Atomic uint64_t ahead_ms, found;
	_Atomic int64_t wall_ms, slept_ms;
	_Atomic uint64_t rests, stands;
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

static int real_gettime(clockid_t id, struct timespec *t)
{
	static int (*real)(clockid_t, struct timespec *);

	if (!real)
		real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	return real(id, t);
}

/* What the monotonic clock said when it was first looked at, and a little more each time. */
static int still_gettime(struct timespec *t)
{
	static struct timespec at;

	if (!at.tv_sec && real_gettime(CLOCK_MONOTONIC, &at) < 0)
		return -1;
	at.tv_nsec += LOOK_NS;
	if (at.tv_nsec >= 1000000000) {
		at.tv_nsec -= 1000000000;
		at.tv_sec++;
	}
	*t = at;
	return 0;
}

int clock_gettime(clockid_t id, struct timespec *t)
{
	bool is_still = shared && shared->stands && (id == CLOCK_MONOTONIC || id == CLOCK_BOOTTIME);
	int r = is_still ? still_gettime(t) : real_gettime(id, t);

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
	/* A look in vain, as under load before the loop sleeps, is no rest. */
	if (shared && r > 0)
		shared->found++;
	else if (shared && r == 0 && timeout != 0)
		shared->rests++;
	return r;
}
