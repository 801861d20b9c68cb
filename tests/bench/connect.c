/*
 * connect - how long connect() takes.
 *
 * usage: connect HOST PORT COUNT           time COUNT connections, one after the other
 *        connect HOST PORT COUNT THREADS   the same while THREADS other threads do nothing but
 *                                          connect and close
 *        connect HOST PORT hold COUNT      hold COUNT connections until standard input ends
 *
 * Prints `p50 p99` in microseconds and connections per second, socket() and close() included; with hold, `held COUNT`. Run it inside and outside a sandbox to
 * compare. The name is resolved once, before the clock starts.
 */
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"

enum { WARM_UP = 20, THREADS_MAX = 4096, STACK = 64 * 1024 };

static struct addrinfo *to;
static atomic_bool is_over;

static double now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static int dial(double *ret_us)
{
	int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	double start = now_us();
	int r = connect(fd, to->ai_addr, to->ai_addrlen);

	*ret_us = now_us() - start;
	if (r < 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static void *flood(void *unused)
{
	double us;

	while (!atomic_load(&is_over)) {
		int fd = dial(&us);

		if (fd >= 0)
			(void)close(fd);
	}
	return unused;
}

static int flood_start(int threads)
{
	pthread_attr_t attr;
	pthread_t thread;

	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, STACK);
	for (int i = 0; i < threads; i++) {
		if (pthread_create(&thread, &attr, flood, NULL) != 0)
			return -1;
	}
	return 0;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int measure(int count)
{
	auto_free double *us = calloc((size_t)count, sizeof(*us));
	double start = 0;

	for (int i = -WARM_UP; us && i < count; i++) {
		int fd;

		if (i == 0)
			start = now_us();
		fd = dial(&us[i < 0 ? 0 : i]);

		if (fd < 0) {
			perror("connect");
			return 1;
		}
		(void)close(fd);
	}
	if (!us)
		return 1;
	start = count * 1e6 / (now_us() - start);
	qsort(us, (size_t)count, sizeof(*us), by_value);
	printf("%.1f %.1f %.0f\n", us[count / 2], us[count * 99 / 100], start);
	return 0;
}

static int hold(int count)
{
	double us;
	char byte;

	for (int i = 0; i < count; i++) {
		if (dial(&us) < 0) {
			perror("connect");
			return 1;
		}
	}
	printf("held %d\n", count);
	(void)fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}

int main(int argc, char **argv)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	int threads, r;

	if (argc < 4)
		return 2;
	r = getaddrinfo(argv[1], argv[2], &hints, &to);
	if (r != 0) {
		fprintf(stderr, "connect: %s: %s\n", argv[1], gai_strerror(r));
		return 1;
	}
	if (strcmp(argv[3], "hold") == 0)
		return argc == 5 ? hold(atoi(argv[4])) : 2;
	threads = argc > 4 ? atoi(argv[4]) : 0;
	if (threads > THREADS_MAX || flood_start(threads) < 0)
		return 1;
	r = measure(atoi(argv[3]));
	atomic_store(&is_over, true);
	(void)fflush(stdout);
	_exit(r);
}
