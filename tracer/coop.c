#include "tracer/coop.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/analyzer.h"
#include "lib/cleanup.h"
#include "tracer/notify.h"
#include "tracer/spare.h"
#include "tracer/stacks.h"

enum { BACKLOG = 128 };

/* One question. */
struct peer {
	uint64_t id;
	int fd;
	int lent; /* the program's socket; -1: not asked yet */
	LIST_ENTRY(peer) link;
};

struct coop {
	struct call_source source; /* fd: an epoll set of the listener and who has not asked yet */
	int listener;
	uint64_t next_id;
	unsigned int n_peers;
	LIST_HEAD(, peer) peers;
};

static struct coop *coop_of(struct call_source *src)
{
	return container_of(src, struct coop, source);
}

static void peer_drop(struct coop *c, struct peer *p)
{
	LIST_REMOVE(p, link);
	c->n_peers--;
	(void)close(p->fd);
	if (p->lent >= 0)
		(void)close(p->lent);
	free(p);
}

static struct peer *peer_of(struct coop *c, const struct call *call)
{
	struct peer *p;

	LIST_FOREACH(p, &c->peers, link)
		if (p->id == call->req.id)
			return p;
	return NULL;
}

/* Whoever is too many is refused by closing. */
static void accept_peer(struct coop *c)
{
	bool is_last;
	auto_close int fd = spare_accept(c->listener, &is_last);
	struct peer *p = fd >= 0 && !is_last && c->n_peers < COOPS_PEERS_MAX ? calloc(1, sizeof(*p)) : NULL;
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = p };

	if (is_last)
		spare_close(take_fd(fd));
	if (!p)
		return;
	if (epoll_ctl(c->source.fd, EPOLL_CTL_ADD, fd, &e) < 0) {
		free(p);
		return;
	}
	p->id = ++c->next_id;
	p->fd = take_fd(fd);
	p->lent = -1;
	LIST_INSERT_HEAD(&c->peers, p, link);
	c->n_peers++;
}

/* The one descriptor of a message that has one; any others are closed. */
static int take_lent(struct msghdr *mh)
{
	int lent = -1;

	for (struct cmsghdr *cm = CMSG_FIRSTHDR(mh); cm; cm = CMSG_NXTHDR(mh, cm)) {
		const int *fds = (const int *)CMSG_DATA(cm);

		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
			if (lent < 0)
				lent = fds[i];
			else
				(void)close(fds[i]);
		}
	}
	return lent;
}

static bool take_request(struct peer *p, struct coops_request *ret)
{
	char control[CMSG_SPACE(4 * sizeof(int))];
	struct iovec iov = { .iov_base = ret, .iov_len = sizeof(*ret) };
	struct msghdr mh = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(p->fd, &mh, MSG_CMSG_CLOEXEC);

	if (n < 0)
		return false;
	p->lent = take_lent(&mh);
	return n == sizeof(*ret) && !(mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) && p->lent >= 0 &&
	       ret->magic == COOPS_MAGIC &&
	       (ret->nr == SYS_connect || ret->nr == SYS_getpeername) && ret->len <= COOPS_ADDR_MAX;
}

static bool make_call(const struct peer *p, const struct coops_request *rq, struct call *ret)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	if (getsockopt(p->fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0 || who.pid <= 0)
		return false;
	*ret = (struct call){
		.held = -1, .is_cooperative = true, .lent = p->lent, .to_len = rq->len
	};
	ret->req.id = p->id;
	ret->req.pid = (uint32_t)who.pid;
	ret->req.data.nr = (int)rq->nr;
	ret->req.data.args[0] = (uint64_t)rq->fd;
	ret->req.data.args[2] = rq->len;
	ret->req.data.args[3] = STACKS_MAGIC;
	ret->req.data.args[4] = rq->record;
	memcpy(&ret->to, rq->addr, rq->len);
	return true;
}

static bool receive(struct call_source *src, struct call *ret)
{
	struct coop *c = coop_of(src);
	struct coops_request rq;
	struct epoll_event e;
	struct peer *p;

	if (epoll_wait(src->fd, &e, 1, 0) != 1)
		return false;
	p = e.data.ptr;
	if (!p) {
		accept_peer(c);
		return false;
	}
	(void)epoll_ctl(src->fd, EPOLL_CTL_DEL, p->fd, NULL);
	if (take_request(p, &rq) && make_call(p, &rq, ret))
		return true;
	peer_drop(c, p);
	return false;
}

static bool has_more(struct call_source *src)
{
	struct pollfd p = { .fd = src->fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* Who asks again, or hangs up, does not wait for this answer. */
static bool is_valid(struct call_source *src, const struct call *call)
{
	struct peer *p = peer_of(coop_of(src), call);
	struct pollfd pfd = { .fd = p ? p->fd : -1, .events = POLLIN | POLLRDHUP };

	return p && poll(&pfd, 1, 0) == 0;
}

static void respond(struct call_source *src, const struct call *call, const struct answer *a)
{
	struct peer *p = peer_of(coop_of(src), call);
	struct coops_reply rp = { .value = a->kind == ANSWER_CONTINUE ? -ENOSYS : a->value };

	if (!p)
		return;
	if (call->to_len <= COOPS_ADDR_MAX && call->req.data.nr == SYS_getpeername) {
		rp.len = call->to_len;
		memcpy(rp.addr, &call->to, call->to_len);
	}
	(void)send(p->fd, &rp, sizeof(rp), MSG_NOSIGNAL | MSG_DONTWAIT);
	peer_drop(coop_of(src), p);
}

/* gcc 12: the source owns itself until its free(). */
ANALYZER_OFF("-Wanalyzer-malloc-leak")
static void coop_free(struct call_source *src)
{
	struct coop *c = coop_of(src);
	struct peer *p;

	while ((p = LIST_FIRST(&c->peers)))
		peer_drop(c, p);
	cleanup_close(&c->listener);
	cleanup_close(&src->fd);
	free(c);
}
ANALYZER_ON

static const struct call_source_ops ops = { receive, has_more, is_valid, respond, coop_free };

/* By way of the descriptor: the directory's own path may be too long for a socket's address. */
int coop_listen(int runtime_dir, struct err *err)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	auto_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)snprintf(
		at.sun_path, sizeof(at.sun_path), "/proc/self/fd/%d/%s", runtime_dir, COOP_FILE);
	(void)unlinkat(runtime_dir, COOP_FILE, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, BACKLOG) < 0)
		return err_set(
			err, -errno, "the socket of the preload library: %s", err_name(errno));
	return take_fd(fd);
}

/* gcc 12: the source owns itself until its free(). */
ANALYZER_OFF("-Wanalyzer-malloc-leak")
struct call_source *coop_new(int fd, struct err *err)
{
	struct epoll_event e = { .events = EPOLLIN };
	struct coop *c = calloc(1, sizeof(*c));

	if (!c) {
		(void)close(fd);
		(void)err_set(err, -ENOMEM, "%s", err_name(-ENOMEM));
		return NULL;
	}
	c->listener = fd;
	LIST_INIT(&c->peers);
	c->source = (struct call_source){ .ops = &ops, .fd = epoll_create1(EPOLL_CLOEXEC) };
	if (c->source.fd >= 0 && epoll_ctl(c->source.fd, EPOLL_CTL_ADD, fd, &e) == 0)
		return &c->source;
	(void)err_set(err, -errno, "the preload library's socket: %s", err_name(errno));
	coop_free(&c->source);
	return NULL;
}
ANALYZER_ON
