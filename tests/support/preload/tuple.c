/*
 * For tests and benches of the proxy without a sandbox: registers each connection with
 * tests/support/proxy_driver.c, as the supervisor would.
 *
 * A connect() to 127.0.0.1:PROXY_PORT is registered as that of an explicit proxy client. One to
 * 127.0.0.1:TUPLE_DIAL (if set) goes to the proxy instead and is registered as transparent, to
 * TUPLE_HOST:TUPLE_PORT.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int env_port(const char *name)
{
	const char *text = getenv(name);

	return text ? atoi(text) : -1;
}

static void tell(int fd, int is_transparent)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	struct sockaddr_in own;
	socklen_t len = sizeof(own);
	const char *path = getenv("PROXY_TUPLES"), *host = getenv("TUPLE_HOST");
	const char *binary = getenv("TUPLE_BINARY");
	char text[512];
	int sock;

	if (!path || getsockname(fd, (struct sockaddr *)&own, &len) < 0)
		return;
	(void)snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	if (is_transparent)
		(void)snprintf(text, sizeof(text), "%d %s %d %s", ntohs(own.sin_port),
			host ? host : "localhost", env_port("TUPLE_PORT"), binary ? binary : "");
	else
		(void)snprintf(text, sizeof(text), "%d", ntohs(own.sin_port));
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	(void)sendto(sock, text, strlen(text), 0, (struct sockaddr *)&to, sizeof(to));
	(void)close(sock);
}

int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	static int (*real)(int, const struct sockaddr *, socklen_t);
	const struct sockaddr_in *sin = (const struct sockaddr_in *)addr;
	struct sockaddr_in proxy;
	int r, saved, to_proxy = 0, is_transparent = 0;

	if (!real)
		real = (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "connect");
	if (addr->sa_family == AF_INET) {
		to_proxy = ntohs(sin->sin_port) == env_port("PROXY_PORT");
		is_transparent = ntohs(sin->sin_port) == env_port("TUPLE_DIAL");
	}
	if (is_transparent) {
		proxy = *sin;
		proxy.sin_port = htons((uint16_t)env_port("PROXY_PORT"));
		addr = (const struct sockaddr *)&proxy;
	}
	r = real(fd, addr, len);
	saved = errno;
	if ((to_proxy || is_transparent) && (r == 0 || saved == EINPROGRESS))
		tell(fd, is_transparent);
	errno = saved;
	return r;
}
