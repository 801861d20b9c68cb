/*
 * The proxy itself, from accept to close: a client's bytes and a server's, both made up, go through
 * the code of the product with a real policy, real sockets and OpenSSL. The first byte chooses the way
 * in: an explicit proxy client, a transparent one of port 80 or one of port 443, where a ClientHello
 * belongs; http://policy.local, which the proxy serves itself; a server behind another proxy. What follows
 * "\n--\n" is said by the server, or by that proxy.
 *
 * Whatever comes, the server hears no request but GET, and POST for GraphQL: the policy is read-only.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "proxy/ca.h"
#include "proxy/chain.h"
#include "proxy/conn.h"
#include "proxy/crypto.h"
#include "proxy/proxy.h"
#include "proxy/route.h"
#include "proxy/tls.h"
#include "proxy/trust.h"

enum { TURNS = 24 };

static const char policy_text[] =
	"version: 1\nnetwork_policies:\n  p:\n    endpoints:\n"
	"      - { host: h.test, port: 80, protocol: rest, enforcement: enforce, access: read-only }\n"
	"      - { host: h.test, port: 443, protocol: rest, enforcement: enforce, access: read-only }\n"
	"      - { host: g.test, port: 80, protocol: graphql, enforcement: enforce, access: read-only }\n"
	"      - { host: w.test, port: 80, protocol: websocket, enforcement: enforce, access: full }\n"
	"      - { host: c.test, port: 80, protocol: rest, enforcement: enforce, access: read-only }\n"
	"    binaries: [ { path: /bin/x } ]\n";

static struct proxy px;
static struct pin pins[4];
static int server_fd = -1;
static int supervisor = -1; /* hears questions, and answers none */

static void after_turn(struct loop *loop, void *arg)
{
	(void)loop;
	(void)arg;
	conns_commit_all(&px);
	(void)log_flush(px.log);
}

static void no_resolver(void *arg)
{
	(void)arg;
}

static uint16_t open_server(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);

	server_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert(bind(server_fd, (struct sockaddr *)&sin, len) == 0 && listen(server_fd, 64) == 0);
	assert(getsockname(server_fd, (struct sockaddr *)&sin, &len) == 0);
	return ntohs(sin.sin_port);
}

static void use_chain(uint16_t port)
{
	struct err err = { 0 };
	char url[64];

	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u", port);
	assert(chain_parse(url, "h.test,g.test,w.test", &px.chain, &err) == 0);
}

/* What the advisor asks goes there. */
static void use_supervisor(void)
{
	int pair[2];

	assert(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	px.link.fd = pair[0];
	supervisor = pair[1];
	px.has_advisor = true;
}

static void begin(void)
{
	static const char *const hosts[] = { "h.test", "h.test", "g.test", "w.test" };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int roots = open("/dev/null", O_RDONLY | O_CLOEXEC);
	uint16_t port = open_server();

	TAILQ_INIT(&px.idle_legs);
	TAILQ_INIT(&px.backs);
	TAILQ_INIT(&px.conns);
	TAILQ_INIT(&px.tupleless);
	TAILQ_INIT(&px.commits);
	buf_init(&px.writing, WRITING_MAX);
	crypto_init();
	for (size_t i = 0; i < ARRAY_SIZE(pins); i++) {
		(void)strcpy(pins[i].host, hosts[i]);
		pins[i].port = i == 1 ? 443 : 80;
		pins[i].to_port = port;
		assert(netaddr_parse("127.0.0.1", &pins[i].addr) == 0);
	}
	px.pins = pins;
	px.n_pins = ARRAY_SIZE(pins);
	px.loop = loop_new();
	px.log = log_new(null);
	px.trust = trust_new(&roots, 1);
	assert(px.loop && px.log && px.trust && route_begin() == 0);
	assert(ca_new("fuzz", &px.ca) == 0);
	px.tls = tls_new(px.ca, px.trust);
	px.resolver = resolver_new(px.loop, no_resolver, NULL);
	upstream_keep_sessions(px.tls);
	assert(policy_load(policy_text, sizeof(policy_text) - 1, &px.now.policy, NULL) == 0);
	px.now.number = 1;
	use_chain(port);
	use_supervisor();
	loop_set_after_turn(px.loop, after_turn, NULL);
}

/* The server hears what was allowed: nothing but GET, HEAD and OPTIONS, or HTTP/2's first words. */
static void check_heard(const char *data, ssize_t n)
{
	static const char *const allowed[] = { "GET ", "HEAD ", "OPTIONS ", "POST /", "PRI * HTTP/2.0", "\x16\x03",
		"CONNECT c.test:80 HTTP/1.1\r\n" };

	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		if (n >= (ssize_t)strlen(allowed[i]) && memcmp(data, allowed[i], strlen(allowed[i])) == 0)
			return;
	assert(n <= 0 || !"the server heard something else");
}

/* Accepts, listens, answers and hangs up. */
static void serve(const char *answer, size_t len)
{
	int fd = accept4(server_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	char heard[65536];

	if (fd < 0)
		return;
	for (int i = 0; i < 4; i++) {
		ssize_t n = recv(fd, heard, sizeof(heard), 0);

		if (n > 0) {
			check_heard(heard, n);
			break;
		}
		(void)loop_turn(px.loop, 0);
	}
	(void)!send(fd, answer, len, MSG_NOSIGNAL);
	(void)loop_turn(px.loop, 0);
	(void)close(fd);
}

static void start(unsigned int way, int fd)
{
	static const char *const hosts[] = { "h.test", "h.test", "h.test", "g.test", "w.test", "policy.local", "c.test" };
	const size_t n = way % ARRAY_SIZE(hosts);
	const struct tuple t = { .mode = n ? TUPLE_TRANSPARENT : TUPLE_EXPLICIT,
		.binary = (char *)"/bin/x",
		.host = hosts[n],
		.port = n == 2 ? 443 : 80 };
	struct conn *c;

	assert(conn_new(&px, fd, &c) == 0);
	conn_start(c, &t);
}

static void run(unsigned int way, const char *said, size_t len, const char *answer, size_t answer_len)
{
	char answered[65536];
	int pair[2];

	assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	start(way, pair[0]);
	for (size_t at = 0, turn = 0; turn < TURNS && !TAILQ_EMPTY(&px.conns); turn++) {
		ssize_t n = send(pair[1], said + at, len - at < 512 ? len - at : 512, MSG_NOSIGNAL);

		at += n > 0 ? (size_t)n : 0;
		if (at == len)
			(void)shutdown(pair[1], SHUT_WR);
		(void)loop_turn(px.loop, 0);
		serve(answer, answer_len);
		(void)!recv(pair[1], answered, sizeof(answered), 0);
	}
	while (recv(supervisor, answered, sizeof(answered), 0) > 0)
		;
	(void)close(pair[1]);
	while (!TAILQ_EMPTY(&px.conns))
		conn_close(TAILQ_FIRST(&px.conns));
	legs_retire(&px, 0);
	(void)loop_turn(px.loop, 0);
	serve("", 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char separator[] = "\n--\n";
	const char *said = (const char *)data + 1, *cut;

	if (!px.loop)
		begin();
	if (!size)
		return 0;
	cut = memmem(said, size - 1, separator, sizeof(separator) - 1);
	if (cut)
		run(data[0], said, (size_t)(cut - said), cut + sizeof(separator) - 1,
			size - 1 - (size_t)(cut - said) - (sizeof(separator) - 1));
	else
		run(data[0], said, size - 1, "", 0);
	return 0;
}
