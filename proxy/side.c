#include "proxy/side.h"

#include <errno.h>
#include <sys/epoll.h>

#include "lib/cleanup.h"
#include "proxy/limits.h"

void side_init(struct side *s, int fd, watch_fn *on_event, void (*destroy)(struct watch *w))
{
	watch_init(&s->w, fd, on_event, destroy);
	s->stream = NULL;
	buf_init(&s->in, SIDE_IN_MAX);
	buf_init(&s->out, SEND_PENDING_MAX);
	s->wants_recv = false;
}

void side_done(struct side *s)
{
	stream_free(s->stream);
	s->stream = NULL;
	buf_done(&s->in);
	buf_done(&s->out);
	cleanup_close(&s->w.fd);
	s->w.fd = -1;
}

int side_send(struct side *s, const void *data, size_t len)
{
	const char *p = data;
	ssize_t n = 0;

	while (len && !s->out.len) {
		n = stream_send(s->stream, p, len);
		if (n == -EAGAIN)
			break;
		if (n < 0)
			return (int)n;
		p += n;
		len -= (size_t)n;
	}
	return len ? buf_append(&s->out, p, len) : 0;
}

int side_flush(struct side *s)
{
	while (s->out.len) {
		ssize_t n = stream_send(s->stream, buf_head(&s->out), s->out.len);

		if (n < 0)
			return (int)n;
		buf_consume(&s->out, (size_t)n);
	}
	if (s->out.data)
		buf_done(&s->out);
	return stream_flush(s->stream);
}

static uint32_t events_for(const struct side *s, bool recv)
{
	if (!s->stream)
		return recv ? EPOLLIN : 0;
	return stream_events(s->stream, recv, s->out.len > 0);
}

int side_want(struct loop *loop, struct side *s, bool recv)
{
	uint32_t want = events_for(s, recv);

	s->wants_recv = recv;
	if (s->w.fd < 0) /* memory: whoever fills it has been told by stream_events() */
		return 0;
	return watch_set(loop, &s->w, want | (s->w.want & EPOLLIN));
}

bool side_is_unwanted(struct loop *loop, struct side *s, uint32_t events)
{
	uint32_t want = events_for(s, s->wants_recv);

	if ((events & EPOLLOUT) || (want & EPOLLIN))
		return false;
	(void)watch_set(loop, &s->w, want);
	return true;
}
