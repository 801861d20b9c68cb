/*
 * A packet from another process of ours, which may have been taken over: the frame, descriptors beside it (the
 * first byte's lower half, up to more than there is room for), and who reads the body (its upper half).
 */
#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/msg.h"
#include "lib/tuple.h"
#include "proxy/credentials.h"
#include "proxy/resolve.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ID_AT = 4, FDS_MAX = 24, TUPLE, WORDS, CREDENTIALS, RESOLVER, READERS = 4 };

static struct loop *loop;
static unsigned int asked;
static int pair[2];

static void send_packet(const void *data, size_t size, size_t n_fds)
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
			memcpy(CMSG_DATA(&control.align) + i * sizeof(int), &pair[0], sizeof(int));
	}
	(void)!sendmsg(pair[0], &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void read_tuple(struct msg_in *m)
{
	struct tuple t;

	if (!tuple_get(m, &t))
		return;
	assert(msg_in_done(m) && t.ancestors);
	free(t.ancestors);
}

/* Every kind of word, by the body's own bytes, to its end. */
static void read_words(struct msg_in *m)
{
	while (!m->is_bad && !msg_in_done(m)) {
		size_t len;
		const char *s;
		char **v;

		switch (msg_get_u32(m) % 5) {
		case 0:
			(void)msg_get_u64(m);
			break;
		case 1:
			s = msg_get_str(m);
			assert(!s || s + strlen(s) < m->body + m->len);
			break;
		case 2:
			s = msg_get_bytes(m, &len);
			assert(!len || s + len <= m->body + m->len);
			break;
		case 3:
			v = msg_get_strv(m);
			for (char **one = v; one && *one; one++)
				assert(*one + strlen(*one) < m->body + m->len);
			free(v);
			break;
		default:
			cleanup_close(&(int){ msg_get_fd(m) });
		}
	}
}

static void read_credentials(struct msg_in *m)
{
	static struct proxy px;
	const struct credential_use use = { .host = "h.test", .path = "/", .port = 443 };
	const char *secret;
	size_t len;

	if (credentials_on_message(&px, m) < 0)
		return;
	if (credentials_find(&px, &use, "K", 1, &secret, &len) == 0)
		assert(strlen(secret) == len && credentials_cover(&px, "h.test", 443));
}

static void on_answer(struct resolve_query *q, const struct resolve_answer *a)
{
	(void)q;
	assert(a->n <= RESOLVED_ADDRS_MAX && (a->n || a->error[0]));
}

static void nobody(void *arg)
{
	(void)arg;
}

/*
 * The proxy's side of the resolver process, which owns its end of the pair. It lives on and takes one process
 * after the other: each time another name, for answers are kept, and the packet's id counts from the question's.
 */
static void ask_resolver(const uint8_t *data, size_t size, size_t n_fds)
{
	static struct resolver *r;
	auto_free char *packet = malloc(size + 1);
	struct resolve_query q = { 0 };
	struct resolve_answer a;
	char name[32];
	uint32_t id;

	if (!r)
		r = resolver_new(loop, nobody, NULL);
	(void)snprintf(name, sizeof(name), "h%u.test", asked++);
	assert(resolver_attach(r, fcntl(pair[1], F_DUPFD_CLOEXEC, 3)) == 0);
	assert(resolver_ask(r, &q, name, on_answer, &a) == 0);
	memcpy(packet, data, size);
	if (size >= ID_AT + sizeof(id)) {
		memcpy(&id, packet + ID_AT, sizeof(id));
		id += q.id - 1;
		memcpy(packet + ID_AT, &id, sizeof(id));
	}
	send_packet(packet, size, n_fds);
	(void)loop_turn(loop, 0);
	resolver_cancel(&q);
}

static void take(const void *data, size_t size, size_t n_fds, int reader)
{
	auto_msg_in struct msg_in m = { 0 };

	send_packet(data, size, n_fds);
	if (msg_recv(pair[1], &m) <= 0)
		return;
	assert(m.n_fds <= MSG_FDS_MAX && m.n_fds <= n_fds);
	if (reader == TUPLE)
		read_tuple(&m);
	else if (reader == WORDS)
		read_words(&m);
	else
		read_credentials(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int reader, next;

	if (!size)
		return 0;
	if (!loop)
		loop = loop_new();
	reader = TUPLE + (data[0] >> 4) % READERS;
	assert(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	if (reader == RESOLVER)
		ask_resolver(data + 1, size - 1, data[0] % 16);
	else
		take(data + 1, size - 1, (data[0] % 16) * 3 / 2, reader);
	(void)close(pair[0]);
	(void)close(pair[1]);
	/* Whatever came beside it has an owner, who has let it go. */
	next = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert(next >= 0 && next < 32);
	(void)close(next);
	return 0;
}
