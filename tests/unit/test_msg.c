/* Messages between our processes, of which one may have been taken over: what it sends is not what ours send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/msg.h"

enum { FDS_ROOM = 64 };

static int pair[2];

static int set_up(void **state)
{
	(void)state;
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
}

static int tear_down(void **state)
{
	(void)state;
	(void)close(pair[0]);
	(void)close(pair[1]);
	return 0;
}

static int open_descriptors(void)
{
	int n = 0;

	for (int i = 0; i < 256; i++)
		n += fcntl(i, F_GETFD) >= 0;
	return n;
}

/* A packet as no msg_send() makes it, with @n_fds descriptors. */
static void send_raw(const void *data, size_t len, size_t n_fds)
{
	union {
		char space[CMSG_SPACE(FDS_ROOM * sizeof(int))];
		struct cmsghdr align;
	} control = { .space = "" };
	struct iovec iov = { (void *)data, len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds) {
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		control.align = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
			.cmsg_len = CMSG_LEN(n_fds * sizeof(int)) };
		for (size_t i = 0; i < n_fds; i++)
			memcpy(CMSG_DATA(&control.align) + i * sizeof(int), &pair[0], sizeof(int));
	}
	assert_int_equal(sendmsg(pair[0], &mh, 0), (ssize_t)len);
}

static const uint32_t empty_frame[] = { 1, 2, 0 };

static void all_that_fit_arrive(void **state)
{
	auto_msg_in struct msg_in m = { 0 };
	int before = open_descriptors();

	(void)state;
	send_raw(empty_frame, sizeof(empty_frame), MSG_FDS_MAX);
	assert_int_equal(msg_recv(pair[1], &m), 1);
	assert_int_equal(m.n_fds, MSG_FDS_MAX);
	assert_int_equal(open_descriptors(), before + MSG_FDS_MAX);
	for (unsigned int i = 0; i < MSG_FDS_MAX; i++) {
		auto_close int fd = msg_get_fd(&m);

		assert_true(fd >= 0);
	}
	assert_int_equal(msg_get_fd(&m), -1);
	assert_int_equal(open_descriptors(), before);
}

/* The room for credentials, which nobody asked for, would take eight more. */
static void more_descriptors_than_there_is_room_for_are_refused(void **state)
{
	struct msg_in m = { 0 };
	int before = open_descriptors();

	(void)state;
	for (size_t n = MSG_FDS_MAX + 1; n <= FDS_ROOM; n++) {
		int r;

		send_raw(empty_frame, sizeof(empty_frame), n);
		r = msg_recv(pair[1], &m);
		assert_true(r == -EPROTO || (r == -EMFILE && n > MSG_FDS_MAX + 8));
		assert_null(m.body);
		assert_int_equal(open_descriptors(), before);
	}
	send_raw(empty_frame, sizeof(empty_frame), 0);
	assert_int_equal(msg_recv(pair[1], &m), 1);
	msg_in_free(&m);
}

static void a_frame_that_is_not_as_long_as_it_says_is_refused(void **state)
{
	static const uint32_t wrong[][4] = { { 1, 2, 3, 0 }, { 1, 2, 5, 0 }, { 1, 2, UINT32_MAX, 0 },
		{ 1 | 1 << 16, 2, 4, 0 } };
	struct msg_in m = { 0 };
	int before = open_descriptors();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		send_raw(wrong[i], sizeof(wrong[i]), 0);
		assert_int_equal(msg_recv(pair[1], &m), -EPROTO);
	}
	send_raw(wrong[0], 11, 1);
	assert_int_equal(msg_recv(pair[1], &m), -EPROTO);
	/* What it says is the body is no memfd. */
	send_raw(wrong[3], sizeof(wrong[3]), 1);
	assert_true(msg_recv(pair[1], &m) < 0);
	assert_int_equal(open_descriptors(), before);
}

static void nothing_is_read_past_the_end(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} wrong[] = {
		{ "", 0 },
		{ "\1\0\0", 3 },
		{ "\0\0\0\0", 4 },
		{ "\2\0\0\0x", 5 },
		{ "\2\0\0\0xy", 6 },
		{ "\3\0\0\0x\0", 6 },
		{ "\3\0\0\0x\0\0", 7 },
		{ "\xff\xff\xff\x7fx\0", 6 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct msg_in m = { .body = (char *)wrong[i].bytes, .len = wrong[i].len };

		assert_null(msg_get_str(&m));
		assert_false(msg_in_done(&m));
		assert_int_equal(msg_get_u64(&m), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_that_fit_arrive, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			more_descriptors_than_there_is_room_for_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_frame_that_is_not_as_long_as_it_says_is_refused, set_up, tear_down),
		cmocka_unit_test(nothing_is_read_past_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
