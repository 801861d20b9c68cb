/*
 * logsteps - writes a log that rotates, to be killed at any step of it (tests/e2e/faults-steps.t).
 *
 * usage: logsteps DIR LINES
 *
 * Continues the store in DIR. Prints the number of each event once log_flush() has said that it is
 * written, and lets a day pass every three of them, so that a new segment begins.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "lib/logstore.h"

enum { A_DAY_MS = 25 * 3600 * 1000, FIRST = 1000, EVERY = 3 };

static void write_one(struct log *log, uint32_t number)
{
	const struct event e = { .level = EVENT_INFO,
		.adapter = EVENT_LIFECYCLE,
		.message = "step",
		.pid = number };
	char line[32];
	int n = snprintf(line, sizeof(line), "%u\n", number);

	log_event(log, &e);
	if (log_flush(log) == 0)
		(void)fd_write_all(STDOUT_FILENO, line, (size_t)n);
}

int main(int argc, char **argv)
{
	uint64_t now = (uint64_t)time(NULL) * 1000;
	struct logstore *store = NULL;
	struct err err = { 0 };
	unsigned int pruned;
	struct log *log;
	int dir;

	dir = argc == 3 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (dir < 0 || logstore_open(&store, dir, now, &err) < 0) {
		fprintf(stderr, "logsteps: %s\n", err.text);
		return 1;
	}
	log = log_new(logstore_open_writer(store));
	for (int i = 0; log && i < atoi(argv[2]); i++) {
		write_one(log, (uint32_t)(FIRST + i));
		if (i % EVERY != EVERY - 1)
			continue;
		now += A_DAY_MS;
		if (logstore_rotate(store, now, &pruned, &err) == 1)
			log_set_fd(log, logstore_open_writer(store));
	}
	log_free(log);
	logstore_free(store);
	return log ? 0 : 1;
}
