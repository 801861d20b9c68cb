#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "tracer/peers.h"

static int bound(uint16_t *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(*port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	const int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

static const struct sockaddr_in asked = { .sin_family = AF_INET, .sin_port = 0xbb01 };

static void a_socket_finds_what_it_asked_for(void **state)
{
	struct peers *p = peers_new();
	struct sockaddr_storage got;
	uint16_t port = 0;
	auto_close int fd = bound(&port);

	(void)state;
	assert_int_equal(peers_get(p, fd, &got), 0);
	assert_int_equal(peers_set(p, fd, port, (const struct sockaddr *)&asked, sizeof(asked)), 0);
	assert_int_equal(peers_get(p, fd, &got), sizeof(asked));
	assert_memory_equal(&got, &asked, sizeof(asked));
	peers_free(p);
}

/* The port comes again, the socket's cookie does not. */
static void another_socket_with_the_port_finds_nothing(void **state)
{
	struct peers *p = peers_new();
	struct sockaddr_storage got;
	uint16_t port = 0;
	int fd = bound(&port);

	(void)state;
	assert_int_equal(peers_set(p, fd, port, (const struct sockaddr *)&asked, sizeof(asked)), 0);
	(void)close(fd);
	fd = bound(&port);
	assert_int_equal(peers_get(p, fd, &got), 0);
	(void)close(fd);
	peers_free(p);
}

static void other_families_have_no_entry(void **state)
{
	struct peers *p = peers_new();
	struct sockaddr_storage got;
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(peers_get(p, fd, &got), 0);
	peers_free(p);
}

static int bound6(uint16_t *port)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*port = ntohs(a.sin6_port);
	return fd;
}

/* What connect(2) does not keep, getpeername(2) does not tell: the flow, and the scope of an address without one. */
static void an_ipv6_peer_is_told_as_the_kernel_would(void **state)
{
	struct sockaddr_in6 wide = { .sin6_family = AF_INET6, .sin6_port = htons(443), .sin6_flowinfo = 7, .sin6_scope_id = 3 };
	struct peers *p = peers_new();
	struct sockaddr_storage got;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&got;
	uint16_t port = 0;
	auto_close int fd = bound6(&port);

	(void)state;
	assert_int_equal(inet_pton(AF_INET6, "2001:db8::1", &wide.sin6_addr), 1);
	assert_int_equal(peers_set(p, fd, port, (const struct sockaddr *)&wide, sizeof(wide)), 0);
	assert_int_equal(peers_get(p, fd, &got), sizeof(*in6));
	assert_int_equal(in6->sin6_port, wide.sin6_port);
	assert_memory_equal(&in6->sin6_addr, &wide.sin6_addr, sizeof(in6->sin6_addr));
	assert_int_equal(in6->sin6_flowinfo, 0);
	assert_int_equal(in6->sin6_scope_id, 0);
	/* One that was said later stands; without the scope, which is the kernel's older form. */
	assert_int_equal(inet_pton(AF_INET6, "fe80::1", &wide.sin6_addr), 1);
	assert_int_equal(peers_set(p, fd, port, (const struct sockaddr *)&wide, 24), 0);
	assert_int_equal(peers_get(p, fd, &got), sizeof(*in6));
	assert_int_equal(in6->sin6_scope_id, 0);
	assert_int_equal(peers_set(p, fd, port, (const struct sockaddr *)&wide, sizeof(wide)), 0);
	assert_int_equal(peers_get(p, fd, &got), sizeof(*in6));
	assert_int_equal(in6->sin6_scope_id, 3);
	peers_free(p);
}

/* The same port in both families is two sockets. */
static void families_do_not_mix(void **state)
{
	struct peers *p = peers_new();
	struct sockaddr_storage got;
	uint16_t port = 0;
	auto_close int fd6 = bound6(&port);
	auto_close int fd4 = bound(&port);

	(void)state;
	assert_int_equal(peers_set(p, fd6, port, (const struct sockaddr *)&asked, sizeof(asked)), 0);
	assert_int_equal(peers_get(p, fd4, &got), 0);
	assert_int_equal(peers_get(p, fd6, &got), sizeof(asked));
	peers_free(p);
}

static void what_is_no_socket_is_not_noted(void **state)
{
	struct peers *p = peers_new();
	struct sockaddr_storage got;
	int pipes[2];

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(peers_set(p, pipes[0], 1, (const struct sockaddr *)&asked, sizeof(asked)), -ENOTSOCK);
	assert_int_equal(peers_get(p, pipes[0], &got), 0);
	(void)close(pipes[0]);
	(void)close(pipes[1]);
	peers_free(p);
	peers_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_socket_finds_what_it_asked_for),
		cmocka_unit_test(another_socket_with_the_port_finds_nothing),
		cmocka_unit_test(other_families_have_no_entry),
		cmocka_unit_test(an_ipv6_peer_is_told_as_the_kernel_would),
		cmocka_unit_test(families_do_not_mix),
		cmocka_unit_test(what_is_no_socket_is_not_noted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
