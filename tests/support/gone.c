/*
 * gone - waits until a process has ended, without polling.
 *
 * usage: gone PID SECONDS. Exits 0 when it has ended, 1 when it still runs.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"

int main(int argc, char **argv)
{
	auto_close int fd = -1;
	struct pollfd p;

	if (argc != 3) {
		fprintf(stderr, "usage: gone PID SECONDS\n");
		return 2;
	}
	fd = (int)syscall(SYS_pidfd_open, atoi(argv[1]), 0);
	if (fd < 0)
		return errno == ESRCH ? 0 : 1;
	p = (struct pollfd){ .fd = fd, .events = POLLIN };
	return poll(&p, 1, atoi(argv[2]) * 1000) == 1 ? 0 : 1;
}
