#include "tracer/watchman.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tracer/thread.h"

enum { IDLE_TICKS = 100, SIGNAL = SIGUSR1 };

struct watchman {
	pthread_t thread;
	bool is_running;
	pid_t tid; /* who is watched */
	atomic_uint calls; /* odd while a call is under way */
	atomic_uint is_asleep; /* the thread waits on this word */
	atomic_bool is_ending;
};

static void ignore(int sig)
{
	(void)sig;
}

struct watchman *watchman_new(void)
{
	/* Without SA_RESTART: interrupting is what it is for. */
	const struct sigaction sa = { .sa_handler = ignore };
	struct watchman *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->tid = (pid_t)syscall(SYS_gettid);
	(void)sigaction(SIGNAL, &sa, NULL);
	return w;
}

static void wake(struct watchman *w)
{
	atomic_store(&w->is_asleep, 0);
	(void)syscall(SYS_futex, &w->is_asleep, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* Until a call begins after @seen. */
static void sleep_until_call(struct watchman *w, unsigned int seen)
{
	atomic_store(&w->is_asleep, 1);
	if (atomic_load(&w->calls) == seen && !atomic_load(&w->is_ending))
		(void)syscall(SYS_futex, &w->is_asleep, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
	atomic_store(&w->is_asleep, 0);
}

static void *watch(void *arg)
{
	const struct timespec tick = { .tv_nsec = WATCHMAN_MS * 1000000L };
	struct watchman *w = arg;
	unsigned int idle = 0;

	while (!atomic_load(&w->is_ending)) {
		unsigned int seen = atomic_load(&w->calls);

		(void)nanosleep(&tick, NULL);
		if (atomic_load(&w->calls) != seen)
			idle = 0;
		else if (seen % 2)
			(void)syscall(SYS_tgkill, getpid(), w->tid, SIGNAL);
		else if (++idle >= IDLE_TICKS)
			sleep_until_call(w, seen);
	}
	return NULL;
}

static int start(struct watchman *w)
{
	int r = thread_start(&w->thread, watch, w);

	w->is_running = r == 0;
	return r;
}

int watchman_begin(struct watchman *w)
{
	int r = w->is_running ? 0 : start(w);

	if (r < 0)
		return r;
	(void)atomic_fetch_add(&w->calls, 1);
	if (atomic_load(&w->is_asleep))
		wake(w);
	return 0;
}

void watchman_end(struct watchman *w)
{
	(void)atomic_fetch_add(&w->calls, 1);
}

void watchman_free(struct watchman *w)
{
	if (!w)
		return;
	if (w->is_running) {
		atomic_store(&w->is_ending, true);
		wake(w);
		(void)pthread_join(w->thread, NULL);
	}
	free(w);
}
