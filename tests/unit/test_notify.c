/*
 * The moment of the answer (invariant 7), seen from a source of calls of the test's own: what was
 * decided is in the file by then, and what cannot be written is not granted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "tracer/dgramgate.h"
#include "tracer/filehash.h"
#include "tracer/names.h"
#include "tracer/notify.h"
#include "tracer/once.h"
#include "tracer/owner.h"
#include "tracer/peers.h"
#include "tracer/sandbox.h"

struct fixture {
	struct sandbox s;
	struct call_source source; /* fd: readable while a call waits */
	struct seccomp_data asked;
	pid_t caller;
	int file; /* the log, as a reader has it */
	int link[2];
	struct answer told;
	off_t logged; /* bytes of the log when it was told */
	unsigned int n_left; /* calls that wait behind the one that is received */
	unsigned int n_taken, n_refused, n_beyond, n_granted;
};

static struct fixture *of(struct call_source *src)
{
	return container_of(src, struct fixture, source);
}

static bool receive(struct call_source *src, struct call *ret)
{
	eventfd_t n;

	if (of(src)->n_left) {
		of(src)->n_left--;
		of(src)->n_taken++;
		*ret = (struct call){ .req = { .id = of(src)->n_taken, .pid = (uint32_t)of(src)->caller, .data = of(src)->asked },
			.held = -1 };
		return true;
	}
	*ret = (struct call){ .req = { .id = 1, .pid = (uint32_t)of(src)->caller, .data = of(src)->asked },
		.held = -1 };
	return eventfd_read(src->fd, &n) == 0;
}

static bool has_more(struct call_source *src)
{
	return of(src)->n_left > 0;
}

static bool is_valid(struct call_source *src, const struct call *c)
{
	(void)src;
	(void)c;
	return true;
}

static void respond(struct call_source *src, const struct call *c, const struct answer *a)
{
	(void)c;
	of(src)->told = *a;
	of(src)->n_granted += a->kind == ANSWER_CONTINUE;
	of(src)->n_beyond += a->kind == ANSWER_ERROR && a->value == -EAGAIN;
	of(src)->n_refused += a->kind == ANSWER_ERROR && a->value == -EAFNOSUPPORT;
	of(src)->logged = lseek(of(src)->file, 0, SEEK_END);
}

static void no_free(struct call_source *src)
{
	(void)src;
}

static const struct call_source_ops ops = { receive, has_more, is_valid, respond, no_free };

/* socket(@domain, SOCK_STREAM, @protocol), asked and answered. */
static void ask(struct fixture *f, int domain, int protocol)
{
	f->asked = (struct seccomp_data){ .nr = SYS_socket,
		.args = { (uint64_t)domain, SOCK_STREAM, (uint64_t)protocol } };
	f->told = (struct answer){ .kind = ANSWER_PARK_HASH };
	assert_int_equal(eventfd_write(f->source.fd, 1), 0);
	while (f->told.kind == ANSWER_PARK_HASH)
		assert_int_equal(loop_turn(f->s.loop, 5000), 0);
}

static void on_hashed(void *arg)
{
	struct fixture *f = arg;

	notifier_retry(f->s.notifier);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err err;

	*state = f;
	f->caller = getpid();
	f->file = memfd_create("log", MFD_CLOEXEC);
	f->s.loop = loop_new();
	f->s.log = log_new(open("/dev/null", O_WRONLY | O_CLOEXEC));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, f->link) < 0)
		return -1;
	f->s.hashes = filehash_new(f->s.loop);
	f->s.owners = owners_new(f->s.hashes, getpid(), on_hashed, f);
	f->s.once = once_new();
	f->s.gate = dgramgate_new();
	f->s.proxy_link.fd = f->link[0];
	f->s.sockets.diag = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	f->source =
		(struct call_source){ .ops = &ops, .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	f->s.notifier = notifier_new(&f->s, &f->source, &err);
	return f->s.notifier && f->s.log ? 0 : -1;
}

/* The log goes to a description of its own of @path. */
static void log_to(struct fixture *f, const char *path)
{
	int fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC);

	assert_true(fd >= 0);
	log_set_fd(f->s.log, fd);
}

static void log_to_file(struct fixture *f)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", f->file);
	log_to(f, path);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	notifier_free(f->s.notifier);
	log_to_file(f);
	log_free(f->s.log);
	dgramgate_free(f->s.gate);
	names_free(f->s.names);
	peers_free(f->s.peers);
	policy_unref(f->s.policy);
	once_free(f->s.once);
	owners_free(f->s.owners);
	filehash_free(f->s.hashes);
	loop_free(f->s.loop);
	cleanup_close(&f->source.fd);
	cleanup_close(&f->link[0]);
	cleanup_close(&f->link[1]);
	cleanup_close(&f->s.sockets.diag);
	cleanup_close(&f->file);
	free(f);
	return 0;
}

static void a_refusal_is_in_the_log_when_it_is_told(void **state)
{
	struct fixture *f = *state;
	char line[4096] = "";

	log_to_file(f);
	ask(f, AF_ALG, 0);
	assert_int_equal(f->told.kind, ANSWER_ERROR);
	assert_int_equal(f->told.value, -EAFNOSUPPORT);
	assert_true(f->logged > 0);
	assert_true(pread(f->file, line, sizeof(line) - 1, 0) > 0);
	assert_non_null(strstr(line, "socket(38,1,0)"));
}

static void what_is_fine_leaves_no_line(void **state)
{
	struct fixture *f = *state;

	log_to_file(f);
	ask(f, AF_INET, 0);
	assert_int_equal(f->told.kind, ANSWER_CONTINUE);
	assert_int_equal(f->logged, 0);
}

/* Something decided before could not be written: nothing is granted until it is. */
static void a_log_that_is_full_grants_nothing(void **state)
{
	struct fixture *f = *state;

	log_to(f, "/dev/full");
	ask(f, AF_ALG, 0);
	assert_int_equal(f->told.value, -EAFNOSUPPORT);
	ask(f, AF_INET, 0);
	assert_int_equal(f->told.kind, ANSWER_ERROR);
	assert_int_equal(f->told.value, -EIO);
	log_to_file(f);
	ask(f, AF_INET, 0);
	assert_int_equal(f->told.kind, ANSWER_CONTINUE);
	assert_true(f->logged > 0);
}

/* As many as are kept are taken; those that wait in the kernel are none the worse, and nobody is let through. */
static void of_a_flood_a_bounded_number_is_taken(void **state)
{
	enum { FLOOD = NOTIFY_PENDING_MAX + 500 };
	struct fixture *f = *state;

	log_to_file(f);
	f->asked = (struct seccomp_data){ .nr = SYS_socket, .args = { AF_ALG, SOCK_STREAM, 0 } };
	f->n_left = FLOOD;
	assert_int_equal(eventfd_write(f->source.fd, 1), 0);
	while (f->n_refused + f->n_beyond < FLOOD) {
		assert_int_equal(loop_turn(f->s.loop, 5000), 0);
		assert_true(f->n_taken - f->n_refused - f->n_beyond <= NOTIFY_PENDING_MAX);
		if (f->n_refused + f->n_beyond == 0)
			assert_int_equal(f->n_taken, NOTIFY_PENDING_MAX);
	}
	assert_int_equal(f->n_granted, 0);
	assert_true(f->n_refused >= NOTIFY_PENDING_MAX);
}

static void take_one(struct fixture *f)
{
	struct pollfd p = { .fd = f->source.fd, .events = POLLIN };

	assert_int_equal(eventfd_write(f->source.fd, 1), 0);
	while (poll(&p, 1, 0) == 1)
		assert_int_equal(loop_turn(f->s.loop, 5000), 0);
}

/* Connects to @sa that wait until the proxy, which never does, takes more. */
static void proxy_is_busy(struct fixture *f, int sock, const struct sockaddr_in *sa)
{
	static const char junk[4096];
	const struct owner *who;

	f->s.names = names_new();
	f->s.peers = peers_new();
	f->s.proxy.pid = getpid();
	assert_int_equal(policy_load(policy_default_yaml, strlen(policy_default_yaml), &f->s.policy, NULL), 0);
	while (send(f->link[0], junk, sizeof(junk), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
	/* A child, for who we are is the parent's business, too. */
	f->caller = fork();
	if (f->caller == 0) {
		(void)pause();
		_exit(0);
	}
	while (owner_get(f->s.owners, f->caller, &who) == -EINPROGRESS)
		assert_int_equal(loop_turn(f->s.loop, 5000), 0);
	f->asked = (struct seccomp_data){ .nr = SYS_connect,
		.args = { (uint64_t)sock, (uintptr_t)sa, sizeof(*sa) } };
}

static void who_would_be_one_too_many_to_wait_is_refused(void **state)
{
	const struct sockaddr_in sa = { .sin_family = AF_INET,
		.sin_port = htons(443),
		.sin_addr.s_addr = htonl(0xc0000201) };
	auto_close int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct fixture *f = *state;
	char text[4096] = "";

	log_to_file(f);
	proxy_is_busy(f, sock, &sa);
	f->told = (struct answer){ .kind = ANSWER_PARK_PROXY };
	for (int i = 0; i < NOTIFY_PENDING_MAX; i++)
		take_one(f);
	assert_int_equal(f->told.kind, ANSWER_PARK_PROXY); /* nobody was told anything */
	take_one(f);
	(void)kill(f->caller, SIGKILL);
	assert_int_equal(waitpid(f->caller, NULL, 0), f->caller);
	assert_int_equal(f->told.kind, ANSWER_ERROR);
	assert_int_equal(f->told.value, -EAGAIN);
	assert_int_equal(f->n_beyond, 1);
	assert_true(f->logged > 0);
	assert_true(pread(f->file, text, sizeof(text) - 1, 0) > 0);
	assert_non_null(strstr(text, "too many calls wait"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_refusal_is_in_the_log_when_it_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_fine_leaves_no_line, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			of_a_flood_a_bounded_number_is_taken, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_log_that_is_full_grants_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			who_would_be_one_too_many_to_wait_is_refused, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
