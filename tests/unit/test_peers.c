#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_socket_finds_what_it_asked_for),
		cmocka_unit_test(another_socket_with_the_port_finds_nothing),
		cmocka_unit_test(other_families_have_no_entry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
