#include "tracer/dnsserver.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "tracer/dns.h"
#include "tracer/spare.h"

enum { DATAGRAMS_A_TURN = 64, FRAME_MAX = DNS_MESSAGE_MAX + 2 };

/* A TCP client: two bytes of length, a query; the same back (RFC 1035 section 4.2.2). */
struct client {
	struct dnsserver *server;
	struct watch watch;
	struct timer idle;
	uint8_t in[FRAME_MAX], out[FRAME_MAX];
	size_t n_in, n_out, sent;
	LIST_ENTRY(client) link;
};

struct dnsserver {
	struct loop *loop;
	struct names *names;
	const char *own_name;
	struct watch udp[2], tcp[2];
	LIST_HEAD(, client) clients;
	unsigned int n_clients;
};

static void on_datagram(struct dnsserver *d, struct watch *w)
{
	for (int i = 0; i < DATAGRAMS_A_TURN; i++) {
		uint8_t query[DNS_MESSAGE_MAX], answer[DNS_MESSAGE_MAX];
		struct sockaddr_storage from;
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(w->fd, query, sizeof(query), MSG_DONTWAIT | MSG_TRUNC,
			(struct sockaddr *)&from, &from_len);
		size_t len;

		if (n < 0)
			return;
		len = dns_answer(d->names, d->own_name, query, (size_t)n, answer);
		if (len)
			(void)sendto(w->fd, answer, len, MSG_DONTWAIT | MSG_NOSIGNAL,
				(struct sockaddr *)&from, from_len);
	}
}

static void on_udp4(struct loop *loop, struct watch *w, uint32_t events)
{
	(void)loop;
	(void)events;
	on_datagram(container_of(w, struct dnsserver, udp[0]), w);
}

static void on_udp6(struct loop *loop, struct watch *w, uint32_t events)
{
	(void)loop;
	(void)events;
	on_datagram(container_of(w, struct dnsserver, udp[1]), w);
}

static void client_destroy(struct watch *w)
{
	struct client *c = container_of(w, struct client, watch);

	(void)close(w->fd);
	free(c);
}

static void client_end(struct client *c)
{
	struct dnsserver *d = c->server;

	timer_clear(d->loop, &c->idle);
	LIST_REMOVE(c, link);
	d->n_clients--;
	watch_bury(d->loop, &c->watch);
}

static void on_idle(struct loop *loop, struct timer *t)
{
	(void)loop;
	client_end(container_of(t, struct client, idle));
}

/* Sends what there is: false when the client is finished. */
static bool client_send(struct client *c)
{
	while (c->sent < c->n_out) {
		ssize_t n = send(c->watch.fd, c->out + c->sent, c->n_out - c->sent,
			MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN;
		c->sent += (size_t)n;
	}
	c->n_out = c->sent = 0;
	return true;
}

/* How long the next query is, its length included, as far as is known. */
static size_t client_wants(const struct client *c)
{
	return c->n_in < 2 ? 2 : 2 + ((size_t)c->in[0] << 8 | c->in[1]);
}

/* Answers the next query, which is there whole: false when it is none. */
static bool client_answer(struct client *c)
{
	size_t want = client_wants(c) - 2, len;

	len = dns_answer(c->server->names, c->server->own_name, c->in + 2, want, c->out + 2);
	if (!len)
		return false;
	c->out[0] = (uint8_t)(len >> 8);
	c->out[1] = (uint8_t)len;
	c->n_out = len + 2;
	c->n_in -= want + 2;
	memmove(c->in, c->in + want + 2, c->n_in);
	return client_send(c);
}

/* Answers what is there, one after the other, as far as the answers can be sent (RFC 7766, 6.2.1.1). */
static bool client_answer_all(struct client *c)
{
	while (!c->n_out && c->n_in >= 2 && c->n_in >= client_wants(c))
		if (!client_answer(c))
			return false;
	return client_wants(c) <= sizeof(c->in);
}

static bool client_step(struct client *c, uint32_t events)
{
	ssize_t n;

	if (c->n_out && (!client_send(c) || !client_answer_all(c)))
		return false;
	if (c->n_out || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return true;
	n = recv(c->watch.fd, c->in + c->n_in, sizeof(c->in) - c->n_in, MSG_DONTWAIT);
	if (n <= 0)
		return n < 0 && errno == EAGAIN;
	c->n_in += (size_t)n;
	return client_answer_all(c);
}

static void on_client(struct loop *loop, struct watch *w, uint32_t events)
{
	struct client *c = container_of(w, struct client, watch);

	if (!client_step(c, events) || timer_set(loop, &c->idle, DNS_IDLE_MS) < 0 ||
		watch_set(loop, w, c->n_out ? EPOLLOUT : EPOLLIN) < 0)
		client_end(c);
}

static void accept_client(struct dnsserver *d, int listener)
{
	bool is_last;
	int fd = spare_accept(listener, &is_last);
	struct client *c;

	if (is_last)
		spare_close(fd);
	if (is_last || fd < 0)
		return;
	c = d->n_clients < DNS_CLIENTS_MAX ? calloc(1, sizeof(*c)) : NULL;
	if (!c) {
		(void)close(fd);
		return;
	}
	c->server = d;
	c->idle.on_time = on_idle;
	watch_init(&c->watch, fd, on_client, client_destroy);
	LIST_INSERT_HEAD(&d->clients, c, link);
	d->n_clients++;
	if (watch_set(d->loop, &c->watch, EPOLLIN) < 0 ||
		timer_set(d->loop, &c->idle, DNS_IDLE_MS) < 0)
		client_end(c);
}

static void on_tcp4(struct loop *loop, struct watch *w, uint32_t events)
{
	(void)loop;
	(void)events;
	accept_client(container_of(w, struct dnsserver, tcp[0]), w->fd);
}

static void on_tcp6(struct loop *loop, struct watch *w, uint32_t events)
{
	(void)loop;
	(void)events;
	accept_client(container_of(w, struct dnsserver, tcp[1]), w->fd);
}

static bool serve(struct dnsserver *d, struct watch *w, int *fd, watch_fn *fn)
{
	watch_init(w, take_fd(*fd), fn, NULL);
	return w->fd < 0 || watch_set(d->loop, w, EPOLLIN) == 0;
}

struct dnsserver *dnsserver_new(struct loop *loop, struct names *names, const char *own_name,
	struct netns_sockets *s)
{
	struct dnsserver *d = calloc(1, sizeof(*d));
	bool ok;

	if (!d)
		return NULL;
	d->loop = loop;
	d->names = names;
	d->own_name = own_name;
	ok = serve(d, &d->udp[0], &s->dns4, on_udp4);
	ok = serve(d, &d->udp[1], &s->dns6, on_udp6) && ok;
	ok = serve(d, &d->tcp[0], &s->dns4_tcp, on_tcp4) && ok;
	ok = serve(d, &d->tcp[1], &s->dns6_tcp, on_tcp6) && ok;
	if (ok)
		return d;
	dnsserver_free(d);
	return NULL;
}

static void stop_serving(struct dnsserver *d, struct watch *w)
{
	if (w->fd < 0)
		return;
	(void)watch_set(d->loop, w, 0);
	(void)close(w->fd);
}

void dnsserver_free(struct dnsserver *d)
{
	if (!d)
		return;
	for (struct client *c; (c = LIST_FIRST(&d->clients));)
		client_end(c);
	for (int i = 0; i < 2; i++) {
		stop_serving(d, &d->udp[i]);
		stop_serving(d, &d->tcp[i]);
	}
	free(d);
}
