/*
 * What a workload's sendmsg() carries, as the supervisor takes it apart before it sends it in its own name.
 * The kernel is asked, too: it must pass on no descriptor that was not seen here.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "tracer/sendparse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEEN_MAX = 253 /* SCM_MAX_FD */ };

static size_t count_fds(const struct cmsghdr *cm)
{
	return (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
}

/* What is seen becomes @fd, as it does in the supervisor: how many, or -errno. What else may stand there is the
 * caller's business. */
static int replace(char *control, size_t len, int fd)
{
	struct cmsghdr *cm;
	size_t at = 0, seen = 0;
	int r;

	while ((r = sendparse_control(control, len, &at, &cm)) > 0) {
		assert((char *)cm >= control && (size_t)((char *)cm - control) + cm->cmsg_len <= len);
		if (cm->cmsg_level != SOL_SOCKET)
			continue;
		if (cm->cmsg_type != SCM_RIGHTS || seen + count_fds(cm) > SEEN_MAX)
			return -1;
		for (size_t i = 0; i < count_fds(cm); i++)
			memcpy(CMSG_DATA(cm) + i * sizeof(fd), &fd, sizeof(fd));
		seen += count_fds(cm);
	}
	return r < 0 ? r : (int)seen;
}

/* How many arrive at @sock. */
static int receive(int sock)
{
	static union {
		char space[CMSG_SPACE((SEEN_MAX + 1) * sizeof(int))];
		struct cmsghdr align;
	} got;
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr mh = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &got, .msg_controllen = sizeof(got)
	};
	int n;

	if (recvmsg(sock, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0 || !mh.msg_controllen)
		return 0;
	n = (int)count_fds(&got.align);
	for (int i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(&got.align) + (size_t)i * sizeof(fd), sizeof(fd));
		(void)close(fd);
	}
	return n;
}

static void try_control(const uint8_t *data, size_t size)
{
	static int null = -1, pair[2];
	auto_free char *control = malloc(size ? size : 1);
	struct iovec iov = { (char[]){ "x" }, 1 };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = size };
	int seen;

	if (null < 0) {
		null = open("/dev/null", O_RDWR | O_CLOEXEC);
		assert(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) == 0);
	}
	memcpy(control, data, size);
	seen = replace(control, size, null);
	if (seen >= 0 && sendmsg(pair[0], &mh, MSG_DONTWAIT) == 1)
		assert(receive(pair[1]) == seen);
}

static void try_netlink(const uint8_t *data, size_t size)
{
	auto_free char *exact = malloc(size ? size : 1);

	memcpy(exact, data, size);
	(void)sendparse_is_question(exact, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	try_control(data, size);
	try_netlink(data, size);
	return 0;
}
