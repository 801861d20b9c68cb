/*
 * What a program's library asks of the cooperative backend, over a socket that anything in the sandbox may
 * connect to. The first byte says how many descriptors stand beside it.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "tracer/coop.h"
#include "tracer/notify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FDS_MAX = 8 };

static struct call_source *source;
static struct sockaddr_un at = { .sun_family = AF_UNIX };
static socklen_t at_len = sizeof(sa_family_t); /* a name of the kernel's choice */

static void begin(void)
{
	struct err err = { 0 };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert(bind(fd, (struct sockaddr *)&at, at_len) == 0 && listen(fd, 16) == 0);
	at_len = sizeof(at);
	assert(getsockname(fd, (struct sockaddr *)&at, &at_len) == 0);
	source = coop_new(fd, &err);
	assert(source);
}

static void send_packet(int sock, const void *data, size_t size, size_t n_fds)
{
	union {
		char space[CMSG_SPACE(FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control = { .space = "" };
	struct iovec iov = { (void *)data, size };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds) {
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		control.align = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
			.cmsg_len = CMSG_LEN(n_fds * sizeof(int)) };
		for (size_t i = 0; i < n_fds; i++)
			memcpy(CMSG_DATA(&control.align) + i * sizeof(int), &sock, sizeof(int));
	}
	(void)!sendmsg(sock, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void answer(struct call *c)
{
	const struct answer a = { .kind = ANSWER_VALUE, .fd = -1 };

	assert(c->is_cooperative && c->lent >= 0 && c->to_len <= COOPS_ADDR_MAX);
	assert(c->req.data.nr == SYS_connect || c->req.data.nr == SYS_getpeername);
	assert(source->ops->is_valid(source, c));
	source->ops->respond(source, c, &a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct call c;
	int sock, next;

	if (!size)
		return 0;
	if (!source)
		begin();
	sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert(connect(sock, (struct sockaddr *)&at, at_len) == 0);
	assert(!source->ops->receive(source, &c)); /* that is its arrival */
	send_packet(sock, data + 1, size - 1, data[0] % (FDS_MAX + 1));
	if (source->ops->has_more(source) && source->ops->receive(source, &c))
		answer(&c);
	(void)close(sock);
	while (source->ops->has_more(source))
		(void)source->ops->receive(source, &c);
	next = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert(next >= 0 && next < 32);
	(void)close(next);
	return 0;
}
