/*
 * The first bytes of a client whose connection was decided, and TLS with it.
 */
#include "proxy/sniff.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "proxy/entry.h"
#include "proxy/exchange.h"
#include "proxy/front.h"
#include "proxy/judge.h"

enum { TLS_HANDSHAKE_RECORD = 0x16, SNIFF_READ = 4096 };

bool sniff_is_untouched(const struct conn *c)
{
	for (unsigned int i = 0; i < c->px->n_untouched; i++)
		if (strcmp(c->px->untouched[i], c->host) == 0)
			return true;
	return false;
}

/* The client does not want our certificate: its next attempt meets the real one. */
static void leave_untouched(struct conn *c)
{
	struct proxy *px = c->px;

	if (c->is_watched && px->n_untouched < UNTOUCHED_MAX && !sniff_is_untouched(c))
		(void)str_copy(px->untouched[px->n_untouched++], sizeof(px->untouched[0]), c->host);
}

static void log_client_tls(struct conn *c, const char *reason)
{
	struct event e = conn_event(c);

	e.level = EVENT_WARN;
	e.engine = "tls";
	e.action = EVENT_DENY;
	e.reason = reason;
	log_event(c->px->log, &e);
}

static void start_tls(struct conn *c)
{
	struct buf *in = &c->client.in;
	SSL *ssl;

	c->hello.host = c->host;
	c->hello.allow_h2 = true;
	ssl = tls_accept_new(c->px->tls, &c->hello);
	if (ssl)
		c->client.stream = stream_tls_new(c->client.w.fd, ssl, buf_head(in), in->len);
	buf_done(in);
	if (!c->client.stream) {
		log_client_tls(c, "out of memory");
		conn_reset(c);
		return;
	}
	c->is_tls = true;
	c->is_inspected = true;
	conn_set_state(c, CONN_HANDSHAKE);
	sniff_on_handshake(c, EPOLLIN);
}

enum preface { PREFACE_NO = 0, PREFACE_MAYBE, PREFACE_YES };

/* HTTP/2 with prior knowledge begins with what is no HTTP/1 method (RFC 9113 section 3.4). */
static enum preface preface_of(const struct buf *in)
{
	static const char start[] = "PRI * HTTP/2.0\r\n";
	size_t n = in->len < sizeof(start) - 1 ? in->len : sizeof(start) - 1;

	if (!n || memcmp(buf_head(in), start, n) != 0)
		return PREFACE_NO;
	return n == sizeof(start) - 1 ? PREFACE_YES : PREFACE_MAYBE;
}

static void start_plain(struct conn *c)
{
	bool is_h2 = preface_of(&c->client.in) == PREFACE_YES;

	c->client.stream = stream_tcp_new(c->client.w.fd);
	c->is_inspected = true;
	if (!c->client.stream)
		conn_reset(c);
	else if (is_h2)
		front_begin(c);
	else
		exchange_begin(c);
}

/* On an inspected endpoint only what can be inspected passes; a refusal needs a client to tell. */
static void refuse_unknown(struct conn *c)
{
	struct refusal r;

	if (!c->refusal) {
		entry_fault(&r, 403, "unsupported_l7_protocol",
			"neither TLS nor HTTP/1 on an inspected endpoint");
		judge_log_refusal(c, &r, NULL, NULL, "http-parser");
	}
	conn_commit(c, conn_reset);
}

/* Many protocols begin with a capital letter; a relay must not be denied to them. */
static bool is_inspectable(const struct buf *in)
{
	static const char *const starts[] = { "\x16\x03", "GET /", "HEAD /", "POST /", "PUT /",
		"PATCH /", "DELETE /", "OPTIONS " };

	for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
		size_t n = strlen(starts[i]);

		if (in->len >= n && memcmp(buf_head(in), starts[i], n) == 0)
			return true;
	}
	return false;
}

void sniff_on_client(struct conn *c, uint32_t events)
{
	struct buf *in = &c->client.in;
	ssize_t n = 0;

	if ((!in->len || preface_of(in) == PREFACE_MAYBE) && (events & EPOLLIN)) {
		n = buf_read(in, c->client.w.fd, SNIFF_READ);
		if (n == 0 || (n < 0 && n != -EAGAIN)) {
			conn_close(c);
			return;
		}
	}
	if (!in->len || preface_of(in) == PREFACE_MAYBE)
		(void)side_want(c->px->loop, &c->client, true);
	else if (c->is_watched && !c->refusal && !is_inspectable(in))
		entry_relay(c);
	else if ((uint8_t)*buf_head(in) == TLS_HANDSHAKE_RECORD)
		start_tls(c);
	else if (*buf_head(in) >= 'A' && *buf_head(in) <= 'Z')
		start_plain(c);
	else
		refuse_unknown(c);
}

/* The names must agree (421): the client asked us for one host and greets another. */
static void check_sni(struct conn *c)
{
	struct refusal r;

	if (!c->hello.is_bad_sni && (!c->hello.sni[0] || strcmp(c->hello.sni, c->host) == 0))
		return;
	if (c->refusal)
		return;
	entry_fault(&r, 421, "misdirected_request", "the TLS server name does not agree with %s:%u", c->host,
		c->port);
	judge_log_refusal(c, &r, NULL, NULL, "tls");
	if (conn_refuse(c, &r) < 0)
		conn_reset(c);
}

void sniff_on_handshake(struct conn *c, uint32_t events)
{
	int r = stream_handshake(c->client.stream);

	(void)events;
	if (r == -EAGAIN) {
		(void)side_want(c->px->loop, &c->client, true);
	} else if (r < 0) {
		leave_untouched(c);
		log_client_tls(c, stream_tls_error(c->client.stream));
		conn_close(c);
	} else {
		check_sni(c);
		if (c->state != CONN_CLOSED && c->hello.h2)
			front_begin(c);
		else if (c->state != CONN_CLOSED)
			exchange_begin(c);
	}
}
