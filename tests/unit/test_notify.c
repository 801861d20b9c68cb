/*
 * The moment of the answer (invariant 7), seen from a source of calls of the test's own: what was
 * decided is in the file by then, and what cannot be written is not granted. And calls that wait: for room, for
 * the proxy, for a hash, for a moment; until there is what they wait for, or their caller has enough of it.
 *
 * The handler of getpeername(2) is the test's own (GNUmakefile), and gives the answers it is told to.
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
#include <stdio.h>
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

	bool is_caller_gone;
	unsigned int n_told;
};

/* What the handler of getpeername(2) says, the last one as often as it is asked; and what it does before. */
static struct answer script[4];
static void (*before_answer)(struct call *c);
static unsigned int n_asked;
static int held_last; /* what the last question held */

struct answer __wrap_getpeername_handle(struct sandbox *s, struct notifier *n, struct call *c);
struct answer __wrap_getpeername_handle(struct sandbox *s, struct notifier *n, struct call *c)
{
	struct answer a = script[n_asked < ARRAY_SIZE(script) ? n_asked : ARRAY_SIZE(script) - 1];

	(void)s;
	(void)n;
	n_asked++;
	held_last = c->held;
	if (before_answer)
		before_answer(c);
	return a;
}

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
	(void)c;
	return !of(src)->is_caller_gone;
}

static void respond(struct call_source *src, const struct call *c, const struct answer *a)
{
	(void)c;
	of(src)->told = *a;
	of(src)->n_told++;
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

/* Whatever filter notified it: nobody has judged it. */
static void a_call_that_nobody_handles_does_not_go_on(void **state)
{
	struct fixture *f = *state;

	f->asked = (struct seccomp_data){ .nr = SYS_getpid };
	assert_int_equal(eventfd_write(f->source.fd, 1), 0);
	while (!f->n_told)
		assert_int_equal(loop_turn(f->s.loop, 5000), 0);
	assert_int_equal(f->told.kind, ANSWER_ERROR);
	assert_int_equal(f->told.value, -ENOSYS);
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

/* ---- calls that wait ---- */

static const struct answer done = { .kind = ANSWER_VALUE, .value = 7, .fd = -1 };
static const struct answer wait_for_hash = { .kind = ANSWER_PARK_HASH, .fd = -1 };
static const struct answer wait_for_proxy = { .kind = ANSWER_PARK_PROXY, .fd = -1 };

/* getpeername(2) is called @n times. */
static void call(struct fixture *f, unsigned int n)
{
	f->asked = (struct seccomp_data){ .nr = SYS_getpeername };
	f->n_left = n - 1;
	f->n_taken = 1;
	f->n_told = 0;
	assert_int_equal(eventfd_write(f->source.fd, 1), 0);
}

static void turn_until_asked(struct fixture *f, unsigned int n)
{
	while (n_asked < n)
		assert_int_equal(loop_turn(f->s.loop, 5000), 0);
}

static void turn_until_told(struct fixture *f, unsigned int n)
{
	while (f->n_told < n)
		assert_int_equal(loop_turn(f->s.loop, 5000), 0);
}

static void say(struct answer first, struct answer then)
{
	n_asked = 0;
	before_answer = NULL;
	script[0] = first;
	for (size_t i = 1; i < ARRAY_SIZE(script); i++)
		script[i] = then;
}

/* Fills what @fd sends to. */
static void fill(int fd)
{
	static const char much[4096];

	while (send(fd, much, sizeof(much), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
	assert_int_equal(errno, EAGAIN);
}

static void empty(int fd)
{
	char much[4096];

	while (recv(fd, much, sizeof(much), MSG_DONTWAIT) > 0)
		;
}

/* A socket without room: [0] sends, [1] receives. */
static void full_pair(int pair[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	fill(pair[0]);
}

static struct answer wait_for_room(const int pair[2], uint32_t timeout_ms)
{
	return (struct answer){ .kind = ANSWER_PARK_WRITE,
		.fd = fcntl(pair[0], F_DUPFD_CLOEXEC, 3),
		.value = -EAGAIN,
		.timeout_ms = timeout_ms };
}

static void close_pair(int pair[2])
{
	(void)close(pair[0]);
	(void)close(pair[1]);
}

static void who_waits_for_room_goes_on_when_there_is(void **state)
{
	struct fixture *f = *state;
	int pair[2];

	full_pair(pair);
	say(wait_for_room(pair, 0), done);
	call(f, 1);
	turn_until_asked(f, 1);
	assert_int_equal(held_last, -1);
	assert_int_equal(f->n_told, 0);
	empty(pair[1]);
	turn_until_told(f, 1);
	assert_int_equal(f->told.value, 7);
	assert_int_equal(n_asked, 2);
	assert_int_equal(held_last, script[0].fd); /* the same socket, and the caller's number may mean another by now */
	close_pair(pair);
}

static void the_callers_own_patience_counts_from_the_first_time(void **state)
{
	const struct answer wait_a_moment = { .kind = ANSWER_PARK_RETRY, .fd = -1, .value = -ETIMEDOUT, .timeout_ms = 20 };
	struct fixture *f = *state;
	int pair[2];

	full_pair(pair);
	say(wait_for_room(pair, 20), done);
	call(f, 1);
	turn_until_told(f, 1);
	assert_int_equal(f->told.kind, ANSWER_ERROR);
	assert_int_equal(f->told.value, -EAGAIN);
	assert_int_equal(n_asked, 1);
	say(wait_a_moment, wait_a_moment);
	call(f, 1);
	turn_until_told(f, 1);
	assert_int_equal(f->told.value, -ETIMEDOUT);
	assert_true(n_asked > 1);
	close_pair(pair);
}

/* A process that is stopped, and for which a signal waits that it has a handler for. */
static pid_t with_signal(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		(void)raise(SIGSTOP);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(kill(pid, SIGUSR1), 0);
	return pid;
}

static void part_has_gone(struct call *c)
{
	c->n_sent = 5;
}

/* As the kernel itself has it: started again or not by what the handler wants, with a time of its own never, and
 * what has gone is told. */
static void a_signal_ends_the_wait(void **state)
{
	struct fixture *f = *state;
	int pair[2];

	f->caller = with_signal();
	full_pair(pair);
	say(wait_for_room(pair, 0), done);
	call(f, 1);
	turn_until_told(f, 1);
	assert_int_equal(f->told.kind, ANSWER_ERROR);
	assert_int_equal(f->told.value, -NOTIFY_RESTARTSYS);
	say(wait_for_room(pair, 60000), done);
	call(f, 1);
	turn_until_told(f, 1);
	assert_int_equal(f->told.value, -EINTR);
	say(wait_for_room(pair, 60000), done);
	before_answer = part_has_gone;
	call(f, 1);
	turn_until_told(f, 1);
	assert_int_equal(f->told.kind, ANSWER_VALUE);
	assert_int_equal(f->told.value, 5);
	/* A hash is soon there: who waits for it hears of its refusal before its signal. */
	say(wait_for_hash, done);
	call(f, 1);
	turn_until_asked(f, 1);
	notifier_retry(f->s.notifier);
	turn_until_told(f, 1);
	assert_int_equal(f->told.value, 7);
	(void)kill(f->caller, SIGKILL);
	(void)waitpid(f->caller, NULL, 0);
	close_pair(pair);
}

static void who_is_gone_is_not_asked_about_again(void **state)
{
	struct fixture *f = *state;
	int pair[2];

	full_pair(pair);
	say(wait_for_room(pair, 0), done);
	call(f, 1);
	turn_until_asked(f, 1);
	f->is_caller_gone = true;
	while (fcntl(script[0].fd, F_GETFD) >= 0) /* is closed when it is over */
		assert_int_equal(loop_turn(f->s.loop, 5000), 0);
	empty(pair[1]);
	/* Gone while it waits for its turn. */
	say(wait_for_hash, done);
	f->is_caller_gone = false;
	call(f, 1);
	turn_until_asked(f, 1);
	notifier_retry(f->s.notifier);
	f->is_caller_gone = true;
	assert_int_equal(loop_turn(f->s.loop, 0), 0);
	assert_int_equal(n_asked, 1);
	assert_int_equal(f->n_told, 0);
	close_pair(pair);
}

/* Its link takes so many at once; the others get their turn after those. */
static void who_waits_for_the_proxy_goes_on_when_it_has_read(void **state)
{
	enum { MANY = 150 };
	struct fixture *f = *state;

	fill(f->link[0]);
	say(wait_for_proxy, wait_for_proxy);
	call(f, MANY);
	turn_until_asked(f, MANY);
	assert_int_equal(f->n_told, 0);
	say(done, done);
	empty(f->link[1]);
	turn_until_told(f, MANY);
	assert_int_equal(n_asked, MANY);
}

static void of_those_that_wait_for_a_hash_one_may_go_on(void **state)
{
	struct fixture *f = *state;

	say(wait_for_hash, wait_for_hash);
	call(f, 3);
	turn_until_asked(f, 3);
	say(done, done);
	notifier_retry_one(f->s.notifier, 2);
	notifier_retry_one(f->s.notifier, 99); /* nobody's */
	turn_until_told(f, 1);
	assert_int_equal(loop_turn(f->s.loop, 0), 0);
	assert_int_equal(f->n_told, 1);
	notifier_retry(f->s.notifier);
	turn_until_told(f, 3);
}

static void expect_in_log(struct fixture *f, const char *text)
{
	static char lines[65536];
	ssize_t n = pread(f->file, lines, sizeof(lines) - 1, 0);

	assert_true(n >= 0);
	lines[n] = '\0';
	assert_non_null(strstr(lines, text));
}

static void who_cannot_be_waited_for_is_refused_and_the_log_says_why(void **state)
{
	struct fixture *f = *state;

	log_to_file(f);
	say((struct answer){ .kind = ANSWER_PARK_WRITE, .fd = -1 }, done);
	call(f, 1);
	turn_until_told(f, 1);
	assert_int_equal(f->told.kind, ANSWER_ERROR);
	assert_int_equal(f->told.value, -ENOMEM);
	expect_in_log(f, "the supervisor is out of file descriptors");
}

static void beyond_the_limit_nobody_waits_and_the_log_says_so(void **state)
{
	struct fixture *f = *state;

	log_to_file(f);
	say(wait_for_hash, wait_for_hash);
	call(f, NOTIFY_PENDING_MAX);
	turn_until_asked(f, NOTIFY_PENDING_MAX);
	assert_int_equal(f->n_told, 0);
	call(f, 1);
	turn_until_told(f, 1);
	assert_int_equal(f->told.value, -EAGAIN);
	expect_in_log(f, "too many calls wait");
}

static int refused_fd;

static void want_stack(struct call *c)
{
	c->wants_stack = n_asked == 1;
	c->wait = wait_for_hash;
}

/* What was about to be told is forgotten: the question is put again when the stack is here. */
static void a_refusal_waits_for_its_stack(void **state)
{
	struct fixture *f = *state;

	refused_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	say((struct answer){ .kind = ANSWER_ERROR, .value = -EPERM, .fd = refused_fd },
		(struct answer){ .kind = ANSWER_ERROR, .value = -EACCES, .fd = -1 });
	before_answer = want_stack;
	call(f, 1);
	turn_until_asked(f, 1);
	assert_int_equal(f->n_told, 0);
	assert_int_equal(fcntl(refused_fd, F_GETFD), -1);
	notifier_retry(f->s.notifier);
	turn_until_told(f, 1);
	assert_int_equal(f->told.value, -EACCES);
}

/* tear_down() ends the notifier with the call still waiting. */
static void who_waits_at_the_end_is_told_nothing(void **state)
{
	struct fixture *f = *state;
	int pair[2];

	full_pair(pair);
	say(wait_for_room(pair, 0), done);
	call(f, 1);
	turn_until_asked(f, 1);
	notifier_free(f->s.notifier);
	f->s.notifier = NULL;
	assert_int_equal(loop_turn(f->s.loop, 0), 0);
	assert_int_equal(fcntl(script[0].fd, F_GETFD), -1);
	assert_int_equal(f->n_told, 0);
	close_pair(pair);
}

static void without_a_proxy_it_does_not_start_and_says_why(void **state)
{
	struct fixture *f = *state;
	struct err err = { .text = "" };
	int link = f->s.proxy_link.fd;

	f->s.proxy_link.fd = -1;
	assert_null(notifier_new(&f->s, &f->source, &err));
	assert_non_null(strstr(err.text, "interception: "));
	f->s.proxy_link.fd = link;
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

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
		EACH(a_call_that_nobody_handles_does_not_go_on),
		EACH(who_waits_for_room_goes_on_when_there_is),
		EACH(the_callers_own_patience_counts_from_the_first_time),
		EACH(a_signal_ends_the_wait),
		EACH(who_is_gone_is_not_asked_about_again),
		EACH(who_waits_for_the_proxy_goes_on_when_it_has_read),
		EACH(of_those_that_wait_for_a_hash_one_may_go_on),
		EACH(who_cannot_be_waited_for_is_refused_and_the_log_says_why),
		EACH(beyond_the_limit_nobody_waits_and_the_log_says_so),
		EACH(a_refusal_waits_for_its_stack),
		EACH(who_waits_at_the_end_is_told_nothing),
		EACH(without_a_proxy_it_does_not_start_and_says_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
