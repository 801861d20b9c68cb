/*
 * pairs - whole-process times of two commands, measured in turn.
 *
 * usage: pairs [-n PAIRS] [-w WARM-UPS] [-p COMMAND] -- A... [--- B...]
 *
 * Starts A and B alternately with posix_spawn() and waits for each, so that whatever else the
 * machine does hits both alike. -p is a shell command run before each A and not timed. Prints the
 * medians in microseconds, `A B`, or `A -` without B. A command that fails ends the run: a time
 * that a failure took is no measurement.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"

extern char **environ;

static posix_spawn_file_actions_t quiet;

static double now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static double run_us(char **argv)
{
	double start = now_us();
	int status = 0;
	pid_t pid;

	if (posix_spawnp(&pid, argv[0], &quiet, NULL, argv, environ) != 0 ||
		waitpid(pid, &status, 0) < 0 || status != 0) {
		fprintf(stderr, "pairs: %s failed (status %#x)\n", argv[0], (unsigned int)status);
		exit(1);
	}
	return now_us() - start;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof(*v), by_value);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* Cuts @argv at @separator: what follows, or NULL. */
static char **cut(char **argv, const char *separator)
{
	for (; *argv; argv++) {
		if (strcmp(*argv, separator) == 0) {
			*argv = NULL;
			return argv + 1;
		}
	}
	return NULL;
}

static int measure(int pairs, int warm, const char *prepare, char **a, char **b)
{
	auto_free double *ta = calloc((size_t)pairs, sizeof(*ta));
	auto_free double *tb = calloc((size_t)pairs, sizeof(*tb));

	if (!ta || !tb)
		return 1;
	for (int i = -warm; i < pairs; i++) {
		int at = i < 0 ? 0 : i;

		if (prepare && system(prepare) != 0) {
			fprintf(stderr, "pairs: '%s' failed\n", prepare);
			return 1;
		}
		ta[at] = run_us(a);
		if (b)
			tb[at] = run_us(b);
	}
	printf("%.1f ", median(ta, pairs));
	if (b)
		printf("%.1f\n", median(tb, pairs));
	else
		puts("-");
	return 0;
}

int main(int argc, char **argv)
{
	int opt, pairs = 31, warm = 3;
	const char *prepare = NULL;
	char **b;

	while ((opt = getopt(argc, argv, "+n:w:p:")) != -1) {
		if (opt == 'n')
			pairs = atoi(optarg);
		else if (opt == 'w')
			warm = atoi(optarg);
		else if (opt == 'p')
			prepare = optarg;
		else
			return 2;
	}
	if (optind >= argc || pairs < 1)
		return 2;
	b = cut(argv + optind, "---");
	(void)posix_spawn_file_actions_init(&quiet);
	(void)posix_spawn_file_actions_addopen(&quiet, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	(void)posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	return measure(pairs, warm, prepare, argv + optind, b);
}
