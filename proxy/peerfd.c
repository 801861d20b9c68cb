#include "proxy/peerfd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <unistd.h>

static int first_reserved = INT_MAX;

void peerfd_set_limit(int nofile)
{
	first_reserved = nofile - PEERFD_RESERVED;
}

static bool is_reserved(int fd)
{
	return fd >= first_reserved;
}

void peerfd_end_by_reset(int fd)
{
	static const struct linger now = { .l_onoff = 1, .l_linger = 0 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

int peerfd_accept(int listener, struct sockaddr_storage *ret_from, socklen_t *ret_len)
{
	int fd;

	*ret_len = sizeof(*ret_from);
	fd = accept4(listener, (struct sockaddr *)ret_from, ret_len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (!is_reserved(fd))
		return fd;
	peerfd_end_by_reset(fd);
	(void)close(fd);
	return -EMFILE;
}

int peerfd_socket(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);

	if (fd < 0)
		return -errno;
	if (!is_reserved(fd))
		return fd;
	(void)close(fd);
	return -EMFILE;
}

int peerfd_pipe(int pipe[2])
{
	int fds[2];

	if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0)
		return -errno;
	if (is_reserved(fds[0]) || is_reserved(fds[1])) {
		(void)close(fds[0]);
		(void)close(fds[1]);
		return -EMFILE;
	}
	pipe[0] = fds[0];
	pipe[1] = fds[1];
	return 0;
}
