/*
 * lib/log.h without a log, for tests/bench/proxy.sh: the proxy linked with this is the yardstick for
 * what its log costs. It is no part of the product: only the benchmark builds it, nothing installs it.
 */
#include "lib/log.h"

#include <stdlib.h>
#include <unistd.h>

#include "lib/cleanup.h"

struct log {
	int fd;
};

struct log *log_new(int fd)
{
	struct log *log = calloc(1, sizeof(*log));

	if (log)
		log->fd = fd;
	else
		cleanup_close(&fd);
	return log;
}

void log_free(struct log *log)
{
	if (log)
		cleanup_close(&log->fd);
	free(log);
}

void log_set_fd(struct log *log, int fd)
{
	cleanup_close(&log->fd);
	log->fd = fd;
}

void log_event(struct log *log, const struct event *e)
{
	(void)log;
	(void)e;
}

int log_flush(struct log *log)
{
	(void)log;
	return 0;
}

size_t log_written(const struct log *log)
{
	(void)log;
	return 0;
}
