#include "tracer/dgramgate.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "tracer/procfs.h"

/* PID_MAX_LIMIT of 64-bit kernels. Pages of the set that no task touches cost nothing. */
enum { TIDS_MAX = 4 * 1024 * 1024, WORD = 64, WORDS = TIDS_MAX / WORD };

/* A task that was running at the first look, and its processor time then. */
struct runner {
	pid_t tid;
	uint64_t ticks;
};

struct dgramgate {
	bool is_open;
	struct runner *runners; /* owned */
	size_t n_runners;
	uint64_t passed[WORDS]; /* one bit a tid */
};

struct dgramgate *dgramgate_new(void)
{
	return calloc(1, sizeof(struct dgramgate));
}

void dgramgate_free(struct dgramgate *g)
{
	if (g)
		free(g->runners);
	free(g);
}

bool dgramgate_is_open(const struct dgramgate *g)
{
	return g->is_open;
}

bool dgramgate_passed(struct dgramgate *g, pid_t tid)
{
	if (tid <= 0 || tid >= TIDS_MAX)
		return false;
	g->passed[tid / WORD] |= 1ull << (tid % WORD);
	return true;
}

void dgramgate_returned(struct dgramgate *g, pid_t tid)
{
	if (tid > 0 && tid < TIDS_MAX)
		g->passed[tid / WORD] &= ~(1ull << (tid % WORD));
}

static bool has_passed(const struct dgramgate *g, pid_t tid)
{
	return g->passed[tid / WORD] & 1ull << (tid % WORD);
}

/* Text of a file of this very thread: 0, -ESRCH when it is gone, -errno. */
static int read_task(pid_t tid, const char *name, char *out, size_t size)
{
	char path[64];
	auto_close int fd = -1;
	ssize_t n;

	(void)str_format(path, sizeof(path), "/proc/%d/task/%d/%s", (int)tid, (int)tid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, out, size - 1);
	if (n < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	out[n] = '\0';
	return 0;
}

/* A task in an uninterruptible sleep may be waiting for the listener's lock, on its way. */
static bool is_elsewhere(pid_t tid)
{
	char text[256], *end;
	long nr;

	if (read_task(tid, "syscall", text, sizeof(text)) < 0)
		return false;
	nr = strtol(text, &end, 10);
	return end != text && nr >= 0 && nr != SYS_sendmsg && nr != SYS_sendmmsg;
}

/* Whether @tid may still be on its way to the socket; @ret_ticks is its processor time so far. */
static bool is_on_its_way(pid_t tid, uint64_t *ret_ticks)
{
	char text[1024], state;
	int r = read_task(tid, "stat", text, sizeof(text));

	if (r == -ESRCH)
		return false;
	*ret_ticks = UINT64_MAX / 2; /* what cannot be read never has run enough */
	if (r < 0 || procfs_stat_run(text, &state, ret_ticks) < 0)
		return true;
	return state == 'R' || (state == 'D' && !is_elsewhere(tid));
}

static int first_look(struct dgramgate *g)
{
	size_t alloc = 0;

	for (size_t i = 0; i < WORDS; i++) {
		for (uint64_t bits = g->passed[i]; bits; bits &= bits - 1) {
			struct runner r = { .tid = (pid_t)(i * WORD) + __builtin_ctzll(bits) };

			if (!is_on_its_way(r.tid, &r.ticks))
				continue;
			if (g->n_runners == alloc) {
				struct runner *more = realloc(g->runners, (alloc + 64) * sizeof(*more));

				if (!more)
					return -ENOMEM;
				g->runners = more;
				alloc += 64;
			}
			g->runners[g->n_runners++] = r;
		}
	}
	return 0;
}

static void look_again(struct dgramgate *g)
{
	size_t left = 0;

	for (size_t i = 0; i < g->n_runners; i++) {
		const struct runner *r = &g->runners[i];
		uint64_t now;

		if (has_passed(g, r->tid) && is_on_its_way(r->tid, &now) &&
			now < r->ticks + DGRAMGATE_TICKS)
			g->runners[left++] = *r;
	}
	g->n_runners = left;
}

int dgramgate_open(struct dgramgate *g)
{
	int r = 0;

	if (g->is_open) {
		look_again(g);
	} else {
		g->is_open = true;
		r = first_look(g);
	}
	if (r < 0) {
		/* Nothing was created: the first look is repeated. */
		g->is_open = false;
		g->n_runners = 0;
		return r;
	}
	return g->n_runners ? -EAGAIN : 0;
}
