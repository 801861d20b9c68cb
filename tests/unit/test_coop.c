#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "preload/coop.h"
#include "tracer/coop.h"
#include "tracer/filter_code.h"
#include "tracer/notify.h"

/* The two sides share no header: the library stands alone. */
static void both_sides_mean_the_same_messages(void **state)
{
	(void)state;
	assert_string_equal(COOP_PATH, COOPS_PATH);
	assert_true(COOP_MAGIC == COOPS_MAGIC);
	assert_int_equal(sizeof(struct coop_request), sizeof(struct coops_request));
	assert_int_equal(offsetof(struct coop_request, fd), offsetof(struct coops_request, fd));
	assert_int_equal(
		offsetof(struct coop_request, record), offsetof(struct coops_request, record));
	assert_int_equal(offsetof(struct coop_request, addr), offsetof(struct coops_request, addr));
	assert_int_equal(sizeof(struct coop_reply), sizeof(struct coops_reply));
	assert_int_equal(offsetof(struct coop_reply, addr), offsetof(struct coops_reply, addr));
}

struct fixture {
	char dir[32];
	int dirfd;
	struct call_source *src;
};

static void set_up(struct fixture *f)
{
	struct err err = { 0 };
	int fd;

	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/test_coop.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->dirfd = open(f->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd = coop_listen(f->dirfd, &err);
	assert_true(fd >= 0);
	f->src = coop_new(fd, &err);
	assert_non_null(f->src);
}

static void tear_down(struct fixture *f)
{
	call_source_free(f->src);
	(void)unlinkat(f->dirfd, COOP_FILE, 0);
	(void)close(f->dirfd);
	(void)rmdir(f->dir);
}

static int dial(const struct fixture *f)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)snprintf(to.sun_path, sizeof(to.sun_path), "%s/%s", f->dir, COOP_FILE);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static void send_with(int sock, const void *data, size_t len, const int *fds, size_t n)
{
	char control[CMSG_SPACE(8 * sizeof(int))] = { 0 };
	struct iovec iov = { (void *)data, len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n) {
		mh.msg_control = control;
		mh.msg_controllen = CMSG_SPACE(n * sizeof(int));
		CMSG_FIRSTHDR(&mh)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&mh)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&mh)->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&mh)), fds, n * sizeof(int));
	}
	assert_int_equal(sendmsg(sock, &mh, 0), (ssize_t)len);
}

static int open_descriptors(void)
{
	int n = 0;

	for (int i = 0; i < 256; i++)
		n += fcntl(i, F_GETFD) >= 0;
	return n;
}

static void a_question_becomes_a_call_and_is_answered_once(void **state)
{
	const struct coops_request rq = {
		.magic = COOPS_MAGIC, .nr = SYS_connect, .fd = 9, .len = 3, .addr = "abc"
	};
	const struct answer a = { .kind = ANSWER_ERROR, .value = -111, .fd = -1 };
	struct coops_reply rp;
	struct fixture f;
	struct call c;
	const int fds[] = { 0 };
	int sock, before;

	(void)state;
	set_up(&f);
	before = open_descriptors();
	sock = dial(&f);
	assert_false(f.src->ops->receive(f.src, &c));
	send_with(sock, &rq, sizeof(rq), fds, 1);
	assert_true(f.src->ops->receive(f.src, &c));
	assert_true(c.is_cooperative);
	assert_int_equal(c.req.pid, getpid());
	assert_int_equal(c.req.data.args[0], 9);
	assert_int_equal(c.to_len, 3);
	assert_memory_equal(&c.to, "abc", 3);
	assert_true(f.src->ops->is_valid(f.src, &c));
	f.src->ops->respond(f.src, &c, &a);
	assert_false(f.src->ops->is_valid(f.src, &c));
	assert_int_equal(recv(sock, &rp, sizeof(rp), 0), sizeof(rp));
	assert_true(rp.value == -111);
	(void)close(sock);
	assert_int_equal(open_descriptors(), before);
	tear_down(&f);
}

static void who_hangs_up_does_not_wait(void **state)
{
	const struct coops_request rq = { .magic = COOPS_MAGIC, .nr = SYS_connect };
	const int fds[] = { 0 };
	struct fixture f;
	struct call c;
	int sock;

	(void)state;
	set_up(&f);
	sock = dial(&f);
	assert_false(f.src->ops->receive(f.src, &c));
	send_with(sock, &rq, sizeof(rq), fds, 1);
	assert_true(f.src->ops->receive(f.src, &c));
	(void)close(sock);
	assert_false(f.src->ops->is_valid(f.src, &c));
	tear_down(&f);
}

/* Whoever is too many is refused at once, and has room as soon as somebody has gone. */
static void more_questions_than_there_is_room_for_are_refused(void **state)
{
	static int socks[COOPS_PEERS_MAX];
	struct rlimit files;
	struct fixture f;
	struct call c;
	char byte;
	int sock;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	files.rlim_cur = files.rlim_max;
	if (files.rlim_max < 2 * COOPS_PEERS_MAX + 64)
		skip();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	set_up(&f);
	for (size_t i = 0; i < ARRAY_SIZE(socks); i++) {
		socks[i] = dial(&f);
		assert_false(f.src->ops->receive(f.src, &c));
	}
	assert_int_equal(recv(socks[COOPS_PEERS_MAX - 1], &byte, 1, MSG_DONTWAIT), -1);
	sock = dial(&f);
	assert_false(f.src->ops->receive(f.src, &c));
	assert_int_equal(recv(sock, &byte, 1, MSG_DONTWAIT), 0);
	(void)close(sock);
	(void)close(socks[0]);
	assert_false(f.src->ops->receive(f.src, &c));
	socks[0] = dial(&f);
	assert_false(f.src->ops->receive(f.src, &c));
	assert_int_equal(recv(socks[0], &byte, 1, MSG_DONTWAIT), -1);
	for (size_t i = 0; i < ARRAY_SIZE(socks); i++)
		(void)close(socks[i]);
	tear_down(&f);
}

/* Each is dropped, with every descriptor that came along. */
static void nonsense_is_no_call(void **state)
{
	const struct coops_request good = { .magic = COOPS_MAGIC, .nr = SYS_connect };
	struct coops_request bad[4] = { good, good, good, good };
	const int fds[] = { 0, 1, 2, 0, 1, 2 };
	char longer[sizeof(good) + 1] = { 0 };
	const struct {
		const void *data;
		size_t len, n_fds;
	} cases[] = { { "x", 1, 0 }, { &good, sizeof(good), 0 }, { &good, sizeof(good) - 1, 1 },
		{ longer, sizeof(longer), 1 }, { &bad[0], sizeof(good), 1 },
		{ &bad[1], sizeof(good), 1 }, { &bad[2], sizeof(good), 1 },
		{ &good, sizeof(good), 6 } };
	struct fixture f;
	struct call c;
	int before;

	(void)state;
	bad[0].magic = 1;
	bad[1].nr = SYS_execve;
	bad[2].len = COOPS_ADDR_MAX + 1;
	memcpy(longer, &good, sizeof(good));
	set_up(&f);
	before = open_descriptors();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int sock = dial(&f);

		assert_false(f.src->ops->receive(f.src, &c));
		send_with(sock, cases[i].data, cases[i].len, fds, cases[i].n_fds);
		if (f.src->ops->receive(f.src, &c))
			fail_msg("case %zu was taken", i);
		(void)close(sock);
		assert_int_equal(open_descriptors(), before);
	}
	tear_down(&f);
}

/* There is nobody to notify and nobody to stop for: such a call would fail. */
static void a_cooperative_filter_asks_nobody(void **state)
{
	const struct sock_filter *f = filter_usual_cooperative;

	(void)state;
	assert_true(filter_usual_cooperative_len > 100 * sizeof(*f));
	for (size_t i = 0; i < filter_usual_cooperative_len / sizeof(*f); i++)
		if (f[i].code == (BPF_RET | BPF_K))
			assert_true(f[i].k == SECCOMP_RET_ALLOW ||
				    (f[i].k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_sides_mean_the_same_messages),
		cmocka_unit_test(a_question_becomes_a_call_and_is_answered_once),
		cmocka_unit_test(who_hangs_up_does_not_wait),
		cmocka_unit_test(nonsense_is_no_call),
		cmocka_unit_test(more_questions_than_there_is_room_for_are_refused),
		cmocka_unit_test(a_cooperative_filter_asks_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
