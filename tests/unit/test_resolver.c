/* The resolver process, asked for what no name server has to be asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <semaphore.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/msg.h"
#include "lib/netaddr.h"
#include "lib/proto.h"
#include "tracer/resolver.h"

enum { MANY = 4 * RESOLVER_QUEUE_MAX, BEYOND = 7 };

/* A name server that is silent until it is let go; shared with the resolver process. */
static struct silence {
	sem_t begun, over;
} *silence;

static void wait_for(sem_t *s)
{
	while (sem_wait(s) < 0 && errno == EINTR)
		;
}

/* The library's, but for one name. */
int getaddrinfo(const char *restrict name, const char *restrict service,
	const struct addrinfo *restrict hints, struct addrinfo **restrict ret)
{
	static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

	if (strcmp(name, "silent.test") == 0) {
		(void)sem_post(&silence->begun);
		wait_for(&silence->over);
		name = "127.0.0.1";
	}
	if (!real)
		real = (int (*)(const char *, const char *, const struct addrinfo *,
			struct addrinfo **))dlsym(RTLD_NEXT, "getaddrinfo");
	return real(name, service, hints, ret);
}

struct subject {
	pid_t pid;
	int sock;
};

static struct subject subject(void)
{
	struct subject s;
	int pidfd;

	s.pid = resolver_start(&s.sock, &pidfd);
	assert_true(s.pid > 0);
	(void)close(pidfd);
	return s;
}

/* How it ended when nobody asks any more. A sanitizer with a finding ends it otherwise. */
static int end(const struct subject *s)
{
	int status;

	(void)close(s->sock);
	assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
	return status;
}

static void ask(const struct subject *s, uint32_t id, const char *name)
{
	auto_msg_out struct msg_out m;

	msg_out_init(&m, RESOLVER_ASK, id);
	msg_put_str(&m, name);
	assert_int_equal(msg_send(s->sock, &m), 0);
}

/* The EAI_ error and, in @ret_id and @ret, whose it is and the first address. */
static int answer(const struct subject *s, uint32_t *ret_id, struct netaddr *ret)
{
	auto_msg_in struct msg_in m = { 0 };
	const struct netaddr *addrs;
	size_t len;
	int e;

	assert_int_equal(msg_recv(s->sock, &m), 1);
	assert_int_equal(m.type, RESOLVER_ANSWER);
	*ret_id = m.id;
	e = -(int)msg_get_u32(&m);
	(void)msg_get_str(&m);
	addrs = msg_get_bytes(&m, &len);
	assert_true(msg_in_done(&m));
	assert_int_equal(len % sizeof(*addrs), 0);
	assert_int_equal(e == 0, len > 0);
	if (e == 0)
		*ret = addrs[0];
	return e;
}

static void an_address_is_answered_as_it_is(void **state)
{
	struct subject s = subject();
	struct netaddr got, want;
	uint32_t id;

	(void)state;
	assert_int_equal(netaddr_parse("192.0.2.7", &want), 0);
	ask(&s, 7, "192.0.2.7");
	assert_int_equal(answer(&s, &id, &got), 0);
	assert_int_equal(id, 7);
	assert_memory_equal(&got, &want, sizeof(got));
	assert_int_equal(end(&s), 0);
}

static void what_is_no_name_is_an_error_with_its_number(void **state)
{
	struct subject s = subject();
	struct netaddr got;
	uint32_t id;

	(void)state;
	ask(&s, 8, "a..b");
	assert_int_equal(answer(&s, &id, &got), EAI_NONAME);
	assert_int_equal(id, 8);
	assert_int_equal(end(&s), 0);
}

/* More than it queues, as fast as they can be sent: some are refused, none is forgotten. */
static void of_many_each_is_answered_once(void **state)
{
	static bool is_answered[MANY];
	struct subject s = subject();
	struct pollfd p = { .fd = s.sock };
	uint32_t n_asked = 0, n_answered = 0, id;
	struct netaddr got;

	(void)state;
	while (n_answered < MANY) {
		int e;

		p.events = n_asked < MANY ? POLLIN | POLLOUT : POLLIN;
		assert_int_equal(poll(&p, 1, 30000), 1);
		if (p.revents & POLLOUT)
			ask(&s, n_asked++, "127.0.0.1");
		if (!(p.revents & POLLIN))
			continue;
		e = answer(&s, &id, &got);
		assert_true(e == 0 || e == EAI_MEMORY);
		assert_true(id < n_asked);
		assert_false(is_answered[id]);
		is_answered[id] = true;
		n_answered++;
	}
	assert_int_equal(end(&s), 0);
}

/* All threads wait, and so many that the queue is full: the next ones are refused, and with an answer in
 * sight each of the others gets one. */
static void beyond_the_queue_a_question_is_refused_at_once(void **state)
{
	enum { ASKED = RESOLVER_THREADS + RESOLVER_QUEUE_MAX };
	struct subject s = subject();
	struct netaddr got;
	uint32_t id;

	(void)state;
	for (uint32_t i = 0; i < RESOLVER_THREADS; i++)
		ask(&s, i, "silent.test");
	for (int i = 0; i < RESOLVER_THREADS; i++)
		wait_for(&silence->begun);
	for (uint32_t i = RESOLVER_THREADS; i < ASKED + BEYOND; i++)
		ask(&s, i, "127.0.0.1");
	for (uint32_t i = 0; i < BEYOND; i++) {
		assert_int_equal(answer(&s, &id, &got), EAI_MEMORY);
		assert_int_equal(id, ASKED + i);
	}
	for (int i = 0; i < RESOLVER_THREADS; i++)
		assert_int_equal(sem_post(&silence->over), 0);
	for (int i = 0; i < ASKED; i++) {
		assert_int_equal(answer(&s, &id, &got), 0);
		assert_true(id < ASKED);
	}
	assert_int_equal(end(&s), 0);
}

static void what_is_no_question_ends_it(void **state)
{
	struct subject s = subject();
	char c;

	(void)state;
	assert_int_equal(msg_send_empty(s.sock, RESOLVER_ANSWER, 1), 0);
	assert_int_equal(read(s.sock, &c, 1), 0);
	assert_int_equal(WEXITSTATUS(end(&s)), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_is_answered_as_it_is),
		cmocka_unit_test(what_is_no_name_is_an_error_with_its_number),
		cmocka_unit_test(of_many_each_is_answered_once),
		cmocka_unit_test(beyond_the_queue_a_question_is_refused_at_once),
		cmocka_unit_test(what_is_no_question_ends_it),
	};

	silence = mmap(NULL, sizeof(*silence), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (silence == MAP_FAILED || sem_init(&silence->begun, 1, 0) < 0 || sem_init(&silence->over, 1, 0) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
