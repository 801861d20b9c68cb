/* What a workload's sendmsg() carries, taken apart as the kernel does it: the kernel is asked, too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "tracer/sendparse.h"

/* A control buffer of its very length, so that AddressSanitizer sees what lies behind. */
static char *control;
static size_t control_len;

static void begin(void)
{
	free(control);
	control = NULL;
	control_len = 0;
}

/* A message about standard error; @pad: whether what follows would be aligned. */
static void add_rights(bool pad)
{
	const int fd = STDERR_FILENO;
	const struct cmsghdr h = {
		.cmsg_len = CMSG_LEN(sizeof(fd)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS
	};
	size_t size = pad ? CMSG_SPACE(sizeof(fd)) : CMSG_LEN(sizeof(fd));

	control = realloc(control, control_len + size);
	assert_non_null(control);
	memset(control + control_len, 0, size);
	memcpy(control + control_len, &h, sizeof(h));
	memcpy(control + control_len + CMSG_LEN(0), &fd, sizeof(fd));
	control_len += size;
}

/* How many control messages are seen, or -errno. */
static int seen(void)
{
	struct cmsghdr *cm;
	size_t at = 0;
	int n = 0, r;

	while ((r = sendparse_control(control, control_len, &at, &cm)) > 0)
		n++;
	return r < 0 ? r : n;
}

/* How many descriptors the kernel passes on, or -errno. */
static int passed(void)
{
	union {
		char space[CMSG_SPACE(16 * sizeof(int))];
		struct cmsghdr align;
	} got;
	struct iovec iov = { (char[]){ "x" }, 1 };
	struct msghdr out = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = control_len };
	struct msghdr in = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &got, .msg_controllen = sizeof(got)
	};
	int sv[2], n = 0;

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sv), 0);
	if (sendmsg(sv[0], &out, 0) < 0)
		n = -errno;
	else
		assert_int_equal(recvmsg(sv[1], &in, MSG_CMSG_CLOEXEC), 1);
	if (n == 0 && in.msg_controllen) {
		n = (int)((got.align.cmsg_len - CMSG_LEN(0)) / sizeof(int));
		for (int i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(&got.align) + (size_t)i * sizeof(fd), sizeof(fd));
			(void)close(fd);
		}
	}
	(void)close(sv[0]);
	(void)close(sv[1]);
	return n;
}

static void every_control_message_is_seen(void **state)
{
	(void)state;
	for (int n = 1; n < 5; n++) {
		begin();
		for (int i = 0; i < n; i++)
			add_rights(true);
		assert_int_equal(seen(), n);
		assert_int_equal(passed(), n);
	}
}

/* The kernel takes it; CMSG_NXTHDR of glibc 2.35 ends before it. */
static void the_last_one_needs_no_padding(void **state)
{
	(void)state;
	for (int n = 0; n < 4; n++) {
		begin();
		for (int i = 0; i < n; i++)
			add_rights(true);
		add_rights(false);
		assert_int_equal(seen(), n + 1);
		assert_int_equal(passed(), n + 1);
	}
}

static void a_length_that_is_none_is_refused(void **state)
{
	const size_t wrong[] = { 0, 1, sizeof(struct cmsghdr) - 1, CMSG_LEN(sizeof(int)) + 1, 4096, SIZE_MAX,
		SIZE_MAX - 7 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		begin();
		add_rights(true);
		add_rights(false);
		memcpy(control + CMSG_SPACE(sizeof(int)), &wrong[i], sizeof(wrong[i]));
		assert_int_equal(seen(), -EINVAL);
		assert_int_equal(passed(), -EINVAL);
	}
}

static void what_is_shorter_than_a_header_is_none(void **state)
{
	(void)state;
	begin();
	add_rights(true);
	control_len = sizeof(struct cmsghdr) - 1;
	assert_int_equal(seen(), 0);
	assert_int_equal(passed(), 0);
	begin();
}

/* Of two netlink messages, which lie in a block of exactly @len bytes. */
static bool is_question(unsigned int first_len, unsigned int first, unsigned int second, size_t len)
{
	char bytes[256] = "";
	const struct nlmsghdr a = { .nlmsg_len = first_len, .nlmsg_type = (uint16_t)first };
	const struct nlmsghdr b = { .nlmsg_len = 16, .nlmsg_type = (uint16_t)second };
	auto_free char *exact = malloc(len);
	size_t at = NLMSG_ALIGN(first_len);

	memcpy(bytes, &a, sizeof(a));
	if (at >= sizeof(a) && at <= sizeof(bytes) - sizeof(b))
		memcpy(bytes + at, &b, sizeof(b));
	assert_non_null(exact);
	memcpy(exact, bytes, len);
	return sendparse_is_question(exact, len);
}

static void questions_to_netlink_are_told_from_changes(void **state)
{
	(void)state;
	assert_true(is_question(16, RTM_GETLINK, RTM_GETADDR, 32));
	assert_true(is_question(17, RTM_GETLINK, RTM_GETADDR, 36));
	assert_false(is_question(16, RTM_NEWADDR, RTM_GETADDR, 32));
	assert_false(is_question(16, RTM_GETLINK, RTM_NEWADDR, 32));
	assert_false(is_question(17, RTM_GETLINK, RTM_DELLINK, 36));
	assert_false(is_question(16, RTM_SETLINK, RTM_GETADDR, 16));
	assert_false(is_question(0, RTM_GETLINK, RTM_GETADDR, 32));
	assert_false(is_question(33, RTM_GETLINK, RTM_GETADDR, 32));
	assert_false(is_question(16, RTM_GETLINK, RTM_GETADDR, 15));
}

/* The padding behind its last message is not in the block. */
static void nothing_is_read_behind_a_message_of_odd_length(void **state)
{
	(void)state;
	for (unsigned int len = 16; len < 64; len++)
		assert_true(is_question(len, RTM_GETLINK, RTM_NEWADDR, len));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_control_message_is_seen),
		cmocka_unit_test(the_last_one_needs_no_padding),
		cmocka_unit_test(a_length_that_is_none_is_refused),
		cmocka_unit_test(what_is_shorter_than_a_header_is_none),
		cmocka_unit_test(questions_to_netlink_are_told_from_changes),
		cmocka_unit_test(nothing_is_read_behind_a_message_of_odd_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
