/* Clients of the sandbox's resolver over TCP: how many, and for how long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "tracer/dnsserver.h"
#include "tracer/names.h"

struct fixture {
	struct loop *loop;
	struct names *names;
	struct dnsserver *server;
	struct sockaddr_in at;
};

static void set_up(struct fixture *f)
{
	struct netns_sockets s = { .dns4 = -1, .dns6 = -1, .dns6_tcp = -1 };
	socklen_t len = sizeof(f->at);

	f->loop = loop_new();
	f->names = names_new();
	f->at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	s.dns4_tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s.dns4_tcp, (struct sockaddr *)&f->at, len), 0);
	assert_int_equal(getsockname(s.dns4_tcp, (struct sockaddr *)&f->at, &len), 0);
	assert_int_equal(listen(s.dns4_tcp, 16), 0);
	f->server = dnsserver_new(f->loop, f->names, "box", &s);
	assert_non_null(f->server);
}

static void tear_down(struct fixture *f)
{
	dnsserver_free(f->server);
	(void)loop_turn(f->loop, 0);
	names_free(f->names);
	loop_free(f->loop);
}

/* Connected, and seen by the server. */
static int dial(const struct fixture *f)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (const struct sockaddr *)&f->at, sizeof(f->at)), 0);
	assert_int_equal(loop_turn(f->loop, 10000), 0);
	return fd;
}

/* The server waits for a question; false: it has closed. */
static bool is_served(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static void one_client_too_many_is_closed(void **state)
{
	static int clients[DNS_CLIENTS_MAX];
	struct fixture f;
	int more;

	(void)state;
	set_up(&f);
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		clients[i] = dial(&f);
	assert_true(is_served(clients[0]) && is_served(clients[DNS_CLIENTS_MAX - 1]));
	more = dial(&f);
	assert_false(is_served(more));
	(void)close(more);
	(void)close(clients[0]);
	assert_int_equal(loop_turn(f.loop, 10000), 0);
	clients[0] = dial(&f);
	assert_true(is_served(clients[0]));
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		(void)close(clients[i]);
	tear_down(&f);
}

static void who_asks_nothing_is_closed(void **state)
{
	struct fixture f;
	uint64_t began;
	int fd;

	(void)state;
	set_up(&f);
	fd = dial(&f);
	began = loop_now_ms(f.loop);
	while (is_served(fd))
		assert_int_equal(loop_turn(f.loop, 2 * DNS_IDLE_MS), 0);
	assert_true(loop_now_ms(f.loop) - began + 1 >= DNS_IDLE_MS);
	(void)close(fd);
	tear_down(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_client_too_many_is_closed),
		cmocka_unit_test(who_asks_nothing_is_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
