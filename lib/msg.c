#include "lib/msg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/analyzer.h"
#include "lib/cleanup.h"
#include "lib/fd.h"

struct frame {
	uint16_t type;
	uint16_t is_memfd; /* the body is in the last descriptor */
	uint32_t id;
	uint32_t len;
};

enum { STR_ABSENT = UINT32_MAX };

void msg_out_init(struct msg_out *m, uint16_t type, uint32_t id)
{
	*m = (struct msg_out){ .type = type, .id = id };
	buf_init(&m->body, MSG_BODY_MAX);
}

void msg_out_done(struct msg_out *m)
{
	buf_done(&m->body);
}

void msg_out_wipe(struct msg_out *m)
{
	if (m->body.data)
		explicit_bzero(m->body.data, m->body.alloc);
	msg_out_done(m);
}

static void put(struct msg_out *m, const void *data, size_t len)
{
	int r = buf_append(&m->body, data, len);

	if (r < 0 && !m->error)
		m->error = r;
}

void msg_put_u32(struct msg_out *m, uint32_t v)
{
	put(m, &v, sizeof(v));
}

void msg_put_u64(struct msg_out *m, uint64_t v)
{
	put(m, &v, sizeof(v));
}

void msg_put_bytes(struct msg_out *m, const void *data, size_t len)
{
	if (len > MSG_BODY_MAX) {
		m->error = -EMSGSIZE;
		return;
	}
	msg_put_u32(m, (uint32_t)len);
	put(m, data, len);
}

/* The NUL travels along, so that the reader can hand out pointers into the body. */
void msg_put_str(struct msg_out *m, const char *s)
{
	if (!s) {
		msg_put_u32(m, STR_ABSENT);
		return;
	}
	msg_put_bytes(m, s, strlen(s) + 1);
}

void msg_put_strv(struct msg_out *m, char *const *v)
{
	uint32_t n = 0;

	while (v && v[n])
		n++;
	if (n > MSG_STRV_MAX) {
		m->error = -E2BIG;
		return;
	}
	msg_put_u32(m, n);
	for (uint32_t i = 0; i < n; i++)
		msg_put_str(m, v[i]);
}

void msg_put_fd(struct msg_out *m, int fd)
{
	/* One place stays free for the memfd of a long body. */
	if (m->n_fds >= MSG_FDS_MAX - 1) {
		m->error = -E2BIG;
		return;
	}
	m->fds[m->n_fds++] = fd;
}

static int send_packet(int sock, const struct frame *f, const void *body, size_t len,
	const int *fds, unsigned int n_fds)
{
	union {
		char space[CMSG_SPACE(MSG_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov[2] = { { .iov_base = (void *)f, .iov_len = sizeof(*f) },
		{ .iov_base = (void *)body, .iov_len = len } };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 2 };

	if (n_fds) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	for (;;) {
		if (sendmsg(sock, &mh, MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno != EINTR)
			return -errno;
	}
}

int msg_send(int sock, const struct msg_out *m)
{
	struct frame f = { .type = m->type, .id = m->id, .len = (uint32_t)m->body.len };
	auto_close int memfd = -1;
	int fds[MSG_FDS_MAX];

	if (m->error)
		return m->error;
	if (m->body.len <= MSG_INLINE_MAX)
		return send_packet(sock, &f, m->body.len ? buf_head(&m->body) : "", m->body.len,
			m->fds, m->n_fds);
	memfd = fd_memfile("msg", buf_head(&m->body), m->body.len);
	if (memfd < 0)
		return memfd;
	memcpy(fds, m->fds, sizeof(fds));
	fds[m->n_fds] = memfd;
	f.is_memfd = 1;
	return send_packet(sock, &f, "", 0, fds, m->n_fds + 1);
}

int msg_send_plain(int sock, const struct msg_out *m)
{
	struct frame f = { .type = m->type, .id = m->id, .len = (uint32_t)m->body.len };
	char packet[sizeof(f) + MSG_PLAIN_MAX];

	if (m->error)
		return m->error;
	if (m->n_fds || m->body.len > MSG_PLAIN_MAX)
		return -EMSGSIZE;
	memcpy(packet, &f, sizeof(f));
	if (m->body.len)
		memcpy(packet + sizeof(f), buf_head(&m->body), m->body.len);
	for (;;) {
		if (send(sock, packet, sizeof(f) + m->body.len, MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno != EINTR)
			return -errno;
	}
}

int msg_send_empty(int sock, uint16_t type, uint32_t id)
{
	auto_msg_out struct msg_out m;

	msg_out_init(&m, type, id);
	return msg_send(sock, &m);
}

void msg_in_free(struct msg_in *m)
{
	for (unsigned int i = m->next_fd; i < m->n_fds; i++)
		(void)close(m->fds[i]);
	free(m->body);
	*m = (struct msg_in){ 0 };
}

void msg_in_done_(struct msg_in *m)
{
	msg_in_free(m);
}

/* False when there are too many. A peer may send more than ours do: where the socket does not ask for
 * SCM_CREDENTIALS, the kernel fills the room for them with descriptors. */
static bool take_fds(struct msg_in *m, const struct cmsghdr *c)
{
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	int fd;

	m->n_fds = n < MSG_FDS_MAX ? (unsigned int)n : MSG_FDS_MAX;
	memcpy(m->fds, CMSG_DATA(c), m->n_fds * sizeof(fd));
	for (size_t i = m->n_fds; i < n; i++) {
		memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
		(void)close(fd);
	}
	return n <= MSG_FDS_MAX;
}

static bool take_control(struct msg_in *m, struct msghdr *mh)
{
	bool fits = true;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS) {
			struct ucred cred;

			memcpy(&cred, CMSG_DATA(c), sizeof(cred));
			m->sender = cred.pid;
		} else if (c->cmsg_type == SCM_RIGHTS) {
			fits = take_fds(m, c) && fits;
		}
	}
	return fits;
}

/* Moves the body out of the memfd that came last. */
static int take_long_body(struct msg_in *m, uint32_t len)
{
	auto_close int fd = -1;
	size_t got = 0;
	int r;

	if (m->n_fds == 0)
		return -EPROTO;
	fd = m->fds[--m->n_fds];
	r = fd_slurp(fd, MSG_BODY_MAX, &m->body, &got);
	if (r < 0)
		return r;
	m->len = got;
	return got == len ? 0 : -EPROTO;
}

static int unpack(struct msg_in *m, const struct frame *f, const char *body, size_t len)
{
	m->type = f->type;
	m->id = f->id;
	if (f->is_memfd)
		return take_long_body(m, f->len);
	if (f->len != len)
		return -EPROTO;
	m->body = malloc(len + 1);
	if (!m->body)
		return -ENOMEM;
	memcpy(m->body, body, len);
	m->body[len] = '\0';
	m->len = len;
	return 0;
}

/* gcc 12: the copy owns the body. */
ANALYZER_OFF("-Wanalyzer-malloc-leak")
int msg_recv(int sock, struct msg_in *ret)
{
	union {
		char space[CMSG_SPACE(MSG_FDS_MAX * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control;
	char body[MSG_INLINE_MAX];
	struct frame f;
	struct iovec iov[2] = { { .iov_base = &f, .iov_len = sizeof(f) },
		{ .iov_base = body, .iov_len = sizeof(body) } };
	struct msghdr mh = { .msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	struct msg_in m = { 0 };
	bool fits;
	ssize_t n;
	int r;

	do
		n = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	fits = take_control(&m, &mh);
	if (n == 0)
		r = 0;
	else if ((size_t)n < sizeof(f) || (mh.msg_flags & MSG_TRUNC) || !fits)
		r = -EPROTO;
	else if (mh.msg_flags & MSG_CTRUNC)
		r = -EMFILE; /* its descriptors found no room; they are lost, and it is */
	else
		r = unpack(&m, &f, body, (size_t)n - sizeof(f));
	if (r < 0 || n == 0) {
		msg_in_free(&m);
		return r;
	}
	*ret = m;
	return 1;
}
ANALYZER_ON

static const void *get(struct msg_in *m, size_t len)
{
	const void *p = m->body + m->at;

	if (m->is_bad || len > m->len - m->at) {
		m->is_bad = true;
		return NULL;
	}
	m->at += len;
	return p;
}

uint32_t msg_get_u32(struct msg_in *m)
{
	const void *p = get(m, sizeof(uint32_t));
	uint32_t v = 0;

	if (p)
		memcpy(&v, p, sizeof(v));
	return v;
}

uint64_t msg_get_u64(struct msg_in *m)
{
	const void *p = get(m, sizeof(uint64_t));
	uint64_t v = 0;

	if (p)
		memcpy(&v, p, sizeof(v));
	return v;
}

const void *msg_get_bytes(struct msg_in *m, size_t *ret_len)
{
	uint32_t len = msg_get_u32(m);
	const void *p = get(m, len);

	*ret_len = p ? len : 0;
	return p;
}

const char *msg_get_str(struct msg_in *m)
{
	uint32_t len = msg_get_u32(m);
	const char *p;

	if (m->is_bad || len == STR_ABSENT)
		return NULL;
	p = get(m, len);
	if (!p || len == 0 || p[len - 1] != '\0' || memchr(p, '\0', len - 1)) {
		m->is_bad = true;
		return NULL;
	}
	return p;
}

char **msg_get_strv(struct msg_in *m)
{
	uint32_t n = msg_get_u32(m);
	char **v;

	if (n > MSG_STRV_MAX)
		m->is_bad = true;
	if (m->is_bad)
		return NULL;
	v = calloc(n + 1, sizeof(*v));
	if (!v) {
		m->is_bad = true;
		return NULL;
	}
	for (uint32_t i = 0; i < n; i++) {
		v[i] = (char *)msg_get_str(m);
		if (!v[i])
			m->is_bad = true;
	}
	if (m->is_bad) {
		free(v);
		return NULL;
	}
	return v;
}

int msg_get_fd(struct msg_in *m)
{
	if (m->is_bad || m->next_fd >= m->n_fds) {
		m->is_bad = true;
		return -1;
	}
	return m->fds[m->next_fd++];
}

bool msg_in_done(const struct msg_in *m)
{
	return !m->is_bad && m->at == m->len;
}
