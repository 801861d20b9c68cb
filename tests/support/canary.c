/*
 * canary - hears what should not have left: TCP connects, datagrams, DNS questions, Unix sockets.
 *
 * usage: canary LOG [ADDRESS [UNIX-PATH]]
 *
 * Binds the same port number for TCP and UDP on ADDRESS (default 127.0.0.1) and prints it. A TCP
 * connection is logged as `tcp` and closed; a datagram as `udp`, and as `dns NAME` when it reads as
 * a DNS question. UNIX-PATH is a stream socket (a leading @ makes it abstract); a connection to it
 * is logged as `unix`. The test that shows silence shows first that the canary sings.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/fd.h"

enum { DNS_HEADER = 12, TRIES = 64 };

static int log_fd;

static void say(const char *what, const char *detail)
{
	char line[600];
	int n = snprintf(line, sizeof(line), "%s%s%s\n", what, *detail ? " " : "", detail);

	(void)fd_write_all(log_fd, line, (size_t)n);
}

/* The first name of a DNS question as dotted text; empty where it does not read as one. */
static void dns_name(const unsigned char *p, size_t len, char *ret_name, size_t size)
{
	size_t at = DNS_HEADER, out = 0;

	*ret_name = '\0';
	while (at < len && p[at] > 0 && p[at] < 64 && at + 1 + p[at] < len) {
		size_t n = p[at];

		if (out + n + 2 > size)
			return;
		memcpy(ret_name + out, p + at + 1, n);
		out += n;
		ret_name[out++] = '.';
		at += n + 1;
	}
	ret_name[out > 0 ? out - 1 : 0] = '\0';
}

static void on_datagram(int fd)
{
	unsigned char bytes[2048];
	char name[256];
	ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

	say("udp", "");
	if (n > DNS_HEADER) {
		dns_name(bytes, (size_t)n, name, sizeof(name));
		if (*name)
			say("dns", name);
	}
}

static void on_connection(int fd, const char *what)
{
	int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

	say(what, "");
	if (peer >= 0)
		(void)close(peer);
}

static int inet_bound(int type, const char *address, uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	if (inet_pton(AF_INET, address, &sin.sin_addr) != 1 ||
		bind(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in sin = { 0 };
	socklen_t len = sizeof(sin);

	(void)getsockname(fd, (struct sockaddr *)&sin, &len);
	return ntohs(sin.sin_port);
}

static int unix_bound(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t len = strlen(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (len >= sizeof(sun.sun_path))
		return -1;
	memcpy(sun.sun_path, path, len);
	if (*path == '@')
		sun.sun_path[0] = '\0';
	if (bind(fd, (struct sockaddr *)&sun,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0 ||
		listen(fd, 64) < 0)
		return -1;
	return fd;
}

int main(int argc, char **argv)
{
	const char *address = argc > 2 ? argv[2] : "127.0.0.1";
	struct pollfd p[3] = { { .fd = -1 }, { .fd = -1 }, { .fd = -1 } };

	if (argc < 2)
		return 2;
	log_fd = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	for (int i = 0; i < TRIES && p[1].fd < 0; i++) {
		if (p[0].fd >= 0)
			(void)close(p[0].fd);
		p[0].fd = inet_bound(SOCK_STREAM, address, 0);
		p[1].fd = inet_bound(SOCK_DGRAM, address, port_of(p[0].fd));
	}
	p[2].fd = argc > 3 ? unix_bound(argv[3]) : -1;
	if (log_fd < 0 || p[1].fd < 0 || listen(p[0].fd, 64) < 0 || (argc > 3 && p[2].fd < 0)) {
		perror("canary");
		return 1;
	}
	printf("%u\n", port_of(p[0].fd));
	(void)fflush(stdout);
	for (int i = 0; i < 3; i++)
		p[i].events = POLLIN;
	while (poll(p, 3, -1) > 0) {
		if (p[0].revents)
			on_connection(p[0].fd, "tcp");
		if (p[1].revents)
			on_datagram(p[1].fd);
		if (p[2].revents)
			on_connection(p[2].fd, "unix");
	}
}
