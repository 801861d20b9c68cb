#include "proxy/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static ssize_t tcp_recv(struct stream *s, void *buf, size_t n)
{
	ssize_t got;

	do
		got = recv(s->fd, buf, n, 0);
	while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

static ssize_t tcp_send(struct stream *s, const void *buf, size_t n)
{
	ssize_t sent;

	do
		sent = send(s->fd, buf, n, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : sent;
}

static int tcp_nothing(struct stream *s)
{
	(void)s;
	return 0;
}

static int tcp_shutdown(struct stream *s)
{
	return shutdown(s->fd, SHUT_WR) < 0 && errno != ENOTCONN ? -errno : 0;
}

static uint32_t tcp_events(const struct stream *s, bool want_recv, bool want_send)
{
	(void)s;
	return (want_recv ? EPOLLIN : 0u) | (want_send ? EPOLLOUT : 0u);
}

static bool tcp_has_pending(const struct stream *s)
{
	(void)s;
	return false;
}

static void tcp_destroy(struct stream *s)
{
	free(s);
}

static const struct stream_ops tcp_ops = {
	.recv = tcp_recv,
	.send = tcp_send,
	.handshake = tcp_nothing,
	.flush = tcp_nothing,
	.shutdown = tcp_shutdown,
	.events = tcp_events,
	.has_pending = tcp_has_pending,
	.destroy = tcp_destroy,
};

struct stream *stream_tcp_new(int fd)
{
	struct stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->ops = &tcp_ops;
	s->fd = fd;
	return s;
}
