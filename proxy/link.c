/*
 * Each message has the phases in which it is permitted; anything else ends the process, and with
 * it the sandbox's network. Nothing the workload does reaches this code.
 */
#include "proxy/link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "lib/barred.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/instrument.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "lib/str.h"
#include "lib/url.h"
#include "proxy/advisor.h"
#include "proxy/ca.h"
#include "proxy/chain.h"
#include "proxy/conn.h"
#include "proxy/credentials.h"
#include "proxy/inference.h"
#include "proxy/isolate.h"
#include "proxy/listener.h"
#include "proxy/resolve.h"
#include "proxy/route.h"
#include "proxy/tls.h"
#include "proxy/trust.h"
#include "proxy/upstream.h"

enum phase { PHASE_FRESH = 1, PHASE_SETUP = 2, PHASE_READY = 4 };

/* Where leave() writes down why; NULL before there is one. */
static struct log *last_words;

static __attribute__((noreturn, format(printf, 1, 2))) void leave(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)fprintf(stderr, "openshell-proxy: %s\n", text);
	if (last_words) {
		log_event(last_words,
			&(struct event){ .level = EVENT_ERROR, .adapter = EVENT_LIFECYCLE, .message = text });
		(void)log_flush(last_words);
	}
	_exit(1);
}

/* "HOST:PORT:ADDR:PORT", ADDR in brackets when it is IPv6. */
static int parse_pin(const char *text, struct pin *ret)
{
	const char *host_end = strchr(text, ':');
	const char *addr = host_end ? strchr(host_end + 1, ':') : NULL;
	const char *last = strrchr(text, ':');
	char port[8], bare[NETADDR_TEXT_MAX];
	struct url_authority a;
	uint64_t from, to;
	const char *why;
	size_t len;

	if (!addr || last <= addr || url_host_parse(text, (size_t)(host_end - text), &a, &why) < 0)
		return -EINVAL;
	(void)str_format(port, sizeof(port), "%.*s", (int)(addr - host_end - 1), host_end + 1);
	addr++;
	len = (size_t)(last - addr);
	if (len > 2 && *addr == '[' && addr[len - 1] == ']') {
		addr++;
		len -= 2;
	}
	if (!str_format(bare, sizeof(bare), "%.*s", (int)len, addr) ||
		netaddr_parse(bare, &ret->addr) < 0 || str_to_u64(port, 65535, &from) < 0 ||
		str_to_u64(last + 1, 65535, &to) < 0 || !from || !to)
		return -EINVAL;
	ret->port = (uint16_t)from;
	ret->to_port = (uint16_t)to;
	return str_copy(ret->host, sizeof(ret->host), a.host) ? 0 : -EINVAL;
}

static int take_pins(struct proxy *px, char *const *list)
{
	size_t n = 0;

	while (list[n])
		n++;
	if (n > CONNECT_TO_MAX)
		return -E2BIG;
	px->pins = calloc(n + 1, sizeof(*px->pins));
	if (!px->pins)
		return -ENOMEM;
	for (; px->n_pins < n; px->n_pins++)
		if (parse_pin(list[px->n_pins], &px->pins[px->n_pins]) < 0)
			leave("connect_to '%s' is not HOST:PORT:ADDR:PORT", list[px->n_pins]);
	return 0;
}

static int take_files(struct proxy *px, struct msg_in *m, bool has_extra)
{
	int roots[2];

	px->log = last_words = log_new(msg_get_fd(m));
	roots[0] = msg_get_fd(m);
	roots[1] = has_extra ? msg_get_fd(m) : -1;
	px->trust = trust_new(roots, has_extra ? 2 : 1);
	return px->log && px->trust ? 0 : -ENOMEM;
}

static int send_ca(struct proxy *px, uint32_t id)
{
	auto_msg_out struct msg_out m = { 0 };
	auto_buf struct buf pem;
	int r;

	buf_init(&pem, 8192);
	r = ca_pem(px->ca, &pem);
	if (r < 0)
		return r;
	msg_out_init(&m, PROXY_CA, id);
	msg_put_str(&m, buf_cstr(&pem));
	return msg_send(px->link.fd, &m);
}

static int on_setup(struct proxy *px, struct msg_in *m)
{
	const char *sandbox = msg_get_str(m);
	auto_free char **pins = msg_get_strv(m), **deny = msg_get_strv(m);
	const char *chain = msg_get_str(m), *no_proxy = msg_get_str(m);
	const char *gateway;
	struct err err = { .text = "" };
	bool has_extra;
	int r;

	px->is_audit = msg_get_u32(m);
	gateway = msg_get_str(m);
	has_extra = msg_get_u32(m);
	if (!msg_in_done(m) || !sandbox || !str_copy(px->sandbox, sizeof(px->sandbox), sandbox))
		return -EPROTO;
	if (gateway && netaddr_parse(gateway, &px->host_gateway) < 0)
		return -EPROTO;
	if (chain && chain_parse(chain, no_proxy, &px->chain, &err) < 0)
		leave("%s", err.text);
	r = deny ? barred_new(deny, &px->barred, &err) : -EPROTO;
	if (r == -EINVAL)
		leave("--deny %s", err.text);
	if (r == 0)
		r = take_pins(px, pins);
	if (r == 0)
		r = route_begin();
	if (r == 0)
		r = take_files(px, m, has_extra);
	if (r == 0)
		r = ca_new(px->sandbox, &px->ca);
	if (r < 0)
		return r;
	px->tls = tls_new(px->ca, px->trust);
	px->resolver = resolver_new(px->loop, link_need_resolver, px);
	px->listener = listener_new(px);
	if (!px->tls || !px->resolver || !px->listener)
		return -ENOMEM;
	upstream_keep_sessions(px->tls);
	px->is_setup = true;
	return send_ca(px, m->id);
}

static unsigned int rejudge_all(struct proxy *px)
{
	struct conn *c, *next;
	unsigned int closed = 0;

	for (c = TAILQ_FIRST(&px->conns); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (conn_rejudge(c, &px->now))
			closed++;
	}
	return closed;
}

static int on_policy(struct proxy *px, struct msg_in *m)
{
	uint32_t number = msg_get_u32(m);
	const char *yaml = msg_get_str(m);
	struct policy *policy = NULL, *old = px->now.policy;
	auto_msg_out struct msg_out done = { 0 };
	unsigned int closed;
	int r;

	if (!msg_in_done(m) || !yaml)
		return -EPROTO;
	r = policy_load(yaml, strlen(yaml), &policy, NULL);
	if (r < 0)
		return r; /* it was validated: both ends are of one build, so this is out of memory */
	/* What the old one decided happens before the new one is in force: nothing is decided in between. */
	conns_commit_all(px);
	px->now = (struct generation){ .policy = policy, .number = number };
	closed = rejudge_all(px);
	legs_retire(px, number);
	policy_unref(old);
	msg_out_init(&done, PROXY_POLICY_DONE, m->id);
	msg_put_u32(&done, number);
	msg_put_u32(&done, closed);
	return msg_send(px->link.fd, &done);
}

static int on_listen(struct proxy *px, struct msg_in *m)
{
	struct err err = { .text = "" };
	int r;

	(void)msg_get_u32(m);
	if (!msg_in_done(m) || !px->now.policy)
		return -EPROTO;
	while (m->next_fd < m->n_fds) {
		r = listener_add(px->listener, msg_get_fd(m));
		if (r < 0)
			return r;
	}
	r = isolate_final(&err);
	if (r < 0)
		leave("the proxy cannot confine itself: %s", err.text);
	px->is_ready = true;
	return msg_send_empty(px->link.fd, PROXY_READY, m->id);
}

static int on_tuple(struct proxy *px, struct msg_in *m)
{
	return listener_on_tuple(px->listener, m);
}

static int on_log(struct proxy *px, struct msg_in *m)
{
	int fd = msg_get_fd(m);

	if (!msg_in_done(m))
		return -EPROTO;
	log_set_fd(px->log, fd);
	return 0;
}

static int on_resolver(struct proxy *px, struct msg_in *m)
{
	int fd = msg_get_fd(m);

	return msg_in_done(m) ? resolver_attach(px->resolver, fd) : -EPROTO;
}

static const struct {
	enum proxy_msg type;
	unsigned int phases;
	int (*fn)(struct proxy *px, struct msg_in *m);
} orders[] = {
	{ PROXY_SETUP, PHASE_FRESH, on_setup },
	{ PROXY_POLICY, PHASE_SETUP | PHASE_READY, on_policy },
	{ PROXY_LISTEN, PHASE_SETUP, on_listen },
	{ PROXY_TUPLE, PHASE_READY, on_tuple },
	{ PROXY_LOG, PHASE_SETUP | PHASE_READY, on_log },
	{ PROXY_RESOLVER, PHASE_SETUP | PHASE_READY, on_resolver },
	{ PROXY_CREDENTIALS, PHASE_SETUP | PHASE_READY, credentials_on_message },
	{ PROXY_INFERENCE, PHASE_SETUP | PHASE_READY, inference_on_message },
	{ PROXY_ADVISOR, PHASE_SETUP | PHASE_READY, advisor_on_setting },
	{ PROXY_TOLD, PHASE_READY, advisor_on_told },
};

static unsigned int phase_of(const struct proxy *px)
{
	return px->is_ready ? PHASE_READY : px->is_setup ? PHASE_SETUP : PHASE_FRESH;
}

static int obey(struct proxy *px, struct msg_in *m)
{
	for (size_t i = 0; i < ARRAY_SIZE(orders); i++)
		if (orders[i].type == m->type && (orders[i].phases & phase_of(px)))
			return orders[i].fn(px, m);
	return -EPROTO;
}

static void on_link(struct loop *loop, struct watch *w, uint32_t events)
{
	struct proxy *px = container_of(w, struct proxy, link);
	auto_msg_in struct msg_in m = { 0 };
	int r = msg_recv(w->fd, &m);

	(void)loop;
	(void)events;
	if (r == -EAGAIN)
		return;
	/* Without a supervisor there is nobody to serve: at once, and without a word. */
	if (r == 0 || r == -ECONNRESET) {
		(void)log_flush(px->log);
		instrument_end();
		_exit(0);
	}
	if (r > 0)
		r = obey(px, &m);
	if (r < 0)
		leave("the proxy cannot go on: message %u from the supervisor: %s", m.type, err_name(r));
}

int link_begin(struct proxy *px)
{
	watch_init(&px->link, PROXY_FD, on_link, NULL);
	return watch_set(px->loop, &px->link, EPOLLIN);
}

void link_need_resolver(void *arg)
{
	struct proxy *px = arg;

	if (msg_send_empty(px->link.fd, PROXY_NEED_RESOLVER, 0) < 0)
		leave("cannot ask for a resolver");
}
