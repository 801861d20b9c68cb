/*
 * sendto() and sendmsg() with an address: attempts to reach somebody by datagram.
 *
 * All six arguments of sendto() are taken, so a datagram with an address goes out by sendmsg(),
 * which is the same to the kernel and has three to spare. What has no address is none of our
 * business.
 */
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "preload/preload.h"
#include "preload/stack.h"

PRELOAD_EXPORT ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	if (!msg || !msg->msg_name)
		return preload_result(stack_plain_call(SYS_sendmsg, fd, (long)msg, flags, 0, 0, 0));
	return preload_result(stack_call(SYS_sendmsg, fd, (long)msg, flags));
}

PRELOAD_EXPORT ssize_t sendto(int fd, const void *data, size_t len, int flags,
	const struct sockaddr *addr, socklen_t addr_len)
{
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
	const struct msghdr msg = {
		.msg_name = (void *)addr, .msg_namelen = addr_len, .msg_iov = &iov, .msg_iovlen = 1
	};

	/* A length that sendto() refuses sendmsg() would cut. */
	if (!addr || addr_len > sizeof(struct sockaddr_storage))
		return preload_result(stack_plain_call(
			SYS_sendto, fd, (long)data, (long)len, flags, (long)addr, addr_len));
	return preload_result(stack_call(SYS_sendmsg, fd, (long)&msg, flags));
}
