/* A client of the sandbox's resolver over TCP: in one piece and in pieces it is told the same. */
#include <assert.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tracer/dnsserver.h"
#include "tracer/names.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SAID_MAX = 65536 };

static struct loop *loop;
static struct names *names;
static struct dnsserver *volatile server; /* read by nobody, and still there: LeakSanitizer sees it */
static struct sockaddr_un at = { .sun_family = AF_UNIX };
static socklen_t at_len = sizeof(sa_family_t);

static void begin(void)
{
	struct netns_sockets s = { .dns4 = -1, .dns6 = -1, .dns6_tcp = -1 };

	loop = loop_new();
	names = names_new();
	s.dns4_tcp = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert(bind(s.dns4_tcp, (struct sockaddr *)&at, at_len) == 0 && listen(s.dns4_tcp, 16) == 0);
	at_len = sizeof(at);
	assert(getsockname(s.dns4_tcp, (struct sockaddr *)&at, &at_len) == 0);
	server = dnsserver_new(loop, names, "box", &s);
	assert(server);
}

static void turn(int fd, uint8_t *said, size_t *n)
{
	ssize_t r;

	(void)loop_turn(loop, 0);
	while ((r = recv(fd, said + *n, SAID_MAX - *n, MSG_DONTWAIT)) > 0)
		*n += (size_t)r;
}

/* What the server says to @data, sent @step bytes at a time. */
static size_t talk(const uint8_t *data, size_t size, size_t step, uint8_t *said)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t n = 0;

	assert(connect(fd, (struct sockaddr *)&at, at_len) == 0);
	turn(fd, said, &n);
	for (size_t i = 0; i < size; i += step) {
		size_t len = size - i < step ? size - i : step;

		if (send(fd, data + i, len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)len)
			break;
		turn(fd, said, &n);
		turn(fd, said, &n);
	}
	(void)shutdown(fd, SHUT_WR);
	turn(fd, said, &n);
	(void)close(fd);
	(void)loop_turn(loop, 0);
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t whole[SAID_MAX], pieces[SAID_MAX];
	size_t n_whole, n_pieces;

	if (!size || size > 4096)
		return 0;
	if (!loop)
		begin();
	n_whole = talk(data + 1, size - 1, size, whole);
	n_pieces = talk(data + 1, size - 1, 1 + data[0] % 7, pieces);
	/* Nonsense ends a connection, and what was said last may be lost with it. */
	assert(memcmp(whole, pieces, n_whole < n_pieces ? n_whole : n_pieces) == 0);
	return 0;
}
