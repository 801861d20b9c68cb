/*
 * A byte stream over a connected socket, plain or TLS.
 *
 * recv, send and handshake answer with a count > 0, 0 for an orderly end, -EAGAIN, or another
 * -errno. What TLS wants from the kernel in order to go on stays inside: stream_events() turns
 * "I want to receive" and "I want to send" into an epoll mask.
 *
 * A stream does not own its descriptor.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <openssl/types.h>

struct stream;

struct stream_ops {
	ssize_t (*recv)(struct stream *s, void *buf, size_t n);
	ssize_t (*send)(struct stream *s, const void *buf, size_t n);
	int (*handshake)(struct stream *s);
	int (*flush)(struct stream *s);
	int (*shutdown)(struct stream *s);
	uint32_t (*events)(const struct stream *s, bool want_recv, bool want_send);
	bool (*has_pending)(const struct stream *s);
	void (*destroy)(struct stream *s);
};

struct stream {
	const struct stream_ops *ops;
	int fd;
	const char *why; /* it ended, where somebody knows better than an errno; else NULL */
};

static inline ssize_t stream_recv(struct stream *s, void *buf, size_t n)
{
	return s->ops->recv(s, buf, n);
}

/* A count smaller than @n means that the rest will not go now. */
static inline ssize_t stream_send(struct stream *s, const void *buf, size_t n)
{
	return s->ops->send(s, buf, n);
}

/* 0 when done. */
static inline int stream_handshake(struct stream *s)
{
	return s->ops->handshake(s);
}

/* Pushes out what the stream itself still holds: 0 when nothing is left, -EAGAIN, -errno. */
static inline int stream_flush(struct stream *s)
{
	return s->ops->flush(s);
}

/* Ends our direction: close_notify where there is TLS, then FIN. 0, -EAGAIN (call again), -errno. */
static inline int stream_shutdown(struct stream *s)
{
	return s->ops->shutdown(s);
}

static inline uint32_t stream_events(const struct stream *s, bool want_recv, bool want_send)
{
	return s->ops->events(s, want_recv, want_send);
}

/* Bytes can be received although the kernel has none: do not wait for epoll. */
static inline bool stream_has_pending(const struct stream *s)
{
	return s->ops->has_pending(s);
}

/* NULL is fine. */
static inline void stream_free(struct stream *s)
{
	if (s)
		s->ops->destroy(s);
}

/* NULL when out of memory. */
struct stream *stream_tcp_new(int fd);

/*
 * TLS over @fd; @ssl is owned from now on, also on failure. @early (@early_len bytes, copied) is
 * what was already read from the socket. NULL when out of memory.
 */
struct stream *stream_tls_new(int fd, SSL *ssl, const void *early, size_t early_len);
/* The session of a TLS stream; NULL for any other. */
SSL *stream_ssl(const struct stream *s);
/* The last failure of a TLS stream in words; "" when there was none. */
const char *stream_tls_error(const struct stream *s);
