/*
 * accept - the other end of a connect benchmark: accepts on loopback and closes when the peer does.
 *
 * Prints its port. One epoll loop, so that it costs as little as a server can.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 256 };

static int listen_loopback(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 || listen(fd, 4096) < 0 ||
		getsockname(fd, (struct sockaddr *)&sin, &len) < 0)
		return -1;
	printf("%u\n", ntohs(sin.sin_port));
	(void)fflush(stdout);
	return fd;
}

static void watch(int ep, int fd)
{
	struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };

	if (fd >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) < 0)
		(void)close(fd);
}

static void drain(int fd)
{
	char bytes[4096];

	if (read(fd, bytes, sizeof(bytes)) <= 0)
		(void)close(fd);
}

int main(void)
{
	struct rlimit files = { .rlim_cur = 65536, .rlim_max = 65536 };
	int listener, ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event events[BATCH];

	(void)setrlimit(RLIMIT_NOFILE, &files);
	listener = listen_loopback();
	if (listener < 0 || ep < 0)
		return 1;
	watch(ep, listener);
	for (;;) {
		int n = epoll_wait(ep, events, BATCH, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == listener)
				watch(ep, accept4(listener, NULL, NULL, SOCK_CLOEXEC));
			else
				drain(events[i].data.fd);
		}
	}
}
