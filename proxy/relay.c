/*
 * Splice moves pages, not bytes: from the socket into a pipe and from the pipe into the other
 * socket. A way holds a pipe only while bytes are in it, so idle relays cost two sockets and
 * nothing else; a few empty pipes are kept for whoever moves next.
 */
#include "proxy/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "proxy/peerfd.h"

struct relay_way {
	int pipe[2];	/* -1 while empty */
	size_t in_pipe;
	bool is_ended;	/* the source said its last; what is in the pipe still goes */
	bool is_done;	/* and the destination was told */
	bool is_blocked; /* the destination has no room */
	uint64_t moved;
};

enum { WAY_UP = 0, WAY_DOWN, WAYS };

static int spare[RELAY_PIPES_SPARE][2];
static unsigned int n_spare;

static int take_pipe(struct relay_way *w)
{
	int r;

	if (w->pipe[0] >= 0)
		return 0;
	if (n_spare) {
		n_spare--;
		w->pipe[0] = spare[n_spare][0];
		w->pipe[1] = spare[n_spare][1];
		return 0;
	}
	r = peerfd_pipe(w->pipe);
	if (r < 0)
		return r;
	/* Best effort: the user's quota for pipes may be used up. */
	(void)fcntl(w->pipe[0], F_SETPIPE_SZ, RELAY_PIPE_SIZE);
	return 0;
}

static void give_pipe(struct relay_way *w)
{
	if (w->pipe[0] < 0)
		return;
	if (w->in_pipe == 0 && n_spare < RELAY_PIPES_SPARE) {
		spare[n_spare][0] = w->pipe[0];
		spare[n_spare][1] = w->pipe[1];
		n_spare++;
	} else {
		(void)close(w->pipe[0]);
		(void)close(w->pipe[1]);
	}
	w->pipe[0] = w->pipe[1] = -1;
}

void relay_free(struct relay_way *ways)
{
	if (!ways)
		return;
	give_pipe(&ways[WAY_UP]);
	give_pipe(&ways[WAY_DOWN]);
	free(ways);
}

/* Fills the pipe: 1 when something came, 0 when nothing did, -errno. */
static int fill(struct relay_way *w, int from)
{
	ssize_t n;
	int r = take_pipe(w);

	if (r < 0)
		return r;
	n = splice(from, NULL, w->pipe[1], NULL, RELAY_PIPE_SIZE, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n == 0)
		w->is_ended = true;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	w->in_pipe += (size_t)n;
	return n > 0;
}

/* Empties the pipe as far as @to takes it: 0 or -errno. */
static int drain(struct relay_way *w, int to)
{
	w->is_blocked = false;
	while (w->in_pipe) {
		ssize_t n = splice(w->pipe[0], NULL, to, NULL, w->in_pipe,
			SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return -errno;
		if (n <= 0) {
			w->is_blocked = true;
			return 0;
		}
		w->in_pipe -= (size_t)n;
		w->moved += (size_t)n;
	}
	return 0;
}

/* Moves what there is one way, within a budget: 0 or -errno. */
static int move(struct relay_way *w, int from, int to)
{
	size_t budget = PUMP_BUDGET / RELAY_PIPE_SIZE * 4;
	int r = drain(w, to);

	while (r == 0 && !w->is_blocked && !w->is_ended && budget--) {
		r = fill(w, from);
		if (r <= 0)
			break;
		r = drain(w, to);
	}
	if (w->in_pipe == 0)
		give_pipe(w);
	if (r == 0 && w->is_ended && w->in_pipe == 0 && !w->is_done) {
		w->is_done = true;
		r = shutdown(to, SHUT_WR) < 0 && errno != ENOTCONN ? -errno : 0;
	}
	return r;
}

static void log_end(struct conn *c, int r)
{
	struct event e = conn_event(c);

	e.level = EVENT_INFO;
	e.action = EVENT_ALLOW;
	e.engine = "l4";
	e.message = r == -EMFILE || r == -ENFILE ? "cut: out of descriptors" : "closed";
	e.bytes_up = c->relay[WAY_UP].moved + c->bytes_up;
	e.bytes_down = c->relay[WAY_DOWN].moved;
	log_event(c->px->log, &e);
}

/* What the kernel is to tell, from the state of both ways: the one place that says so. */
static int want(struct conn *c)
{
	struct relay_way *up = &c->relay[WAY_UP], *down = &c->relay[WAY_DOWN];
	uint32_t client = 0, server = 0;
	int r;

	if (!up->is_ended && !up->is_blocked)
		client |= EPOLLIN;
	if (!down->is_ended && !down->is_blocked)
		server |= EPOLLIN;
	if (down->is_blocked)
		client |= EPOLLOUT;
	if (up->is_blocked || c->leg->side.out.len)
		server |= EPOLLOUT;
	r = watch_set(c->px->loop, &c->client.w, client);
	return r < 0 ? r : watch_set(c->px->loop, &c->leg->side.w, server);
}

/* Both ways, once what the client had said before the relay began is on its way. */
static int move_both(struct conn *c)
{
	int client = c->client.w.fd, server = c->leg->side.w.fd;
	int r = side_flush(&c->leg->side);

	if (r == 0)
		r = move(&c->relay[WAY_UP], client, server);
	else if (r == -EAGAIN)
		r = 0;
	return r < 0 ? r : move(&c->relay[WAY_DOWN], server, client);
}

void relay_on_event(struct conn *c, uint32_t events)
{
	int r = move_both(c);

	(void)events;
	if (r == 0 && !(c->relay[WAY_UP].is_done && c->relay[WAY_DOWN].is_done))
		r = want(c);
	else if (r == 0)
		r = 1;
	if (r == 0) {
		(void)timer_set(c->px->loop, &c->deadline, RELAY_IDLE_MS);
		return;
	}
	log_end(c, r);
	if (r < 0)
		conn_reset(c);
	else
		conn_close(c);
}

void relay_begin(struct conn *c)
{
	struct buf *in = &c->client.in;

	c->relay = calloc(WAYS, sizeof(*c->relay));
	if (!c->relay) {
		conn_reset(c);
		return;
	}
	for (int i = 0; i < WAYS; i++)
		c->relay[i].pipe[0] = c->relay[i].pipe[1] = -1;
	conn_set_state(c, CONN_RELAY);
	if (c->state != CONN_RELAY)
		return;
	if (in->len) {
		c->bytes_up = in->len;
		if (side_send(&c->leg->side, buf_head(in), in->len) < 0) {
			conn_reset(c);
			return;
		}
		buf_done(in);
	}
	relay_on_event(c, 0);
}
