/*
 * What the supervisor takes over for a caller is bounded before it is copied, and is not more than the kernel
 * would have given the caller: addresses, descriptors, what stands beside a message, messages to netlink.
 * And whose a socket is, and which addresses are the sandbox's own.
 *
 * The real handlers; the caller is the test itself, in namespaces of its own where it may
 * do everything: what is refused, the handler has refused. The descriptors that are duplicated are counted, and an
 * older kernel is told by getsockopt(2) (GNUmakefile).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/netaddr.h"
#include "tracer/addrs.h"
#include "tracer/dgramgate.h"
#include "tracer/filehash.h"
#include "tracer/names.h"
#include "tracer/notify.h"
#include "tracer/once.h"
#include "tracer/owner.h"
#include "tracer/peers.h"
#include "tracer/sandbox.h"
#include "tracer/sockcall.h"

enum { OUTSIDE_AT = 60 }; /* a socket of the network namespace that the test comes from */

/* A policy that knows an address of the synthetic range, for everybody. */
static const char yaml[] = "version: 1\n"
			   "network_policies:\n"
			   "  literal:\n"
			   "    endpoints: [{ host: 198.18.1.2, port: 7000 }, { host: named.test, port: 7000 }]\n"
			   "    binaries: [{ path: '/**' }]\n";

struct fixture {
	struct sandbox s;
	struct call_source source;
	struct loop *loop; /* of the hashes */
	int log, pair[2];
	char dir[64];
	struct mount granted;
};

static unsigned int n_duplicated;
static bool is_before_cookies; /* Linux 5.14 */

int __real_owner_getfd(struct owners *o, pid_t tid, int fd);
int __wrap_owner_getfd(struct owners *o, pid_t tid, int fd);
int __real_getsockopt(int fd, int level, int name, void *v, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int name, void *v, socklen_t *len);

int __wrap_owner_getfd(struct owners *o, pid_t tid, int fd)
{
	n_duplicated++;
	return __real_owner_getfd(o, tid, fd);
}

int __wrap_getsockopt(int fd, int level, int name, void *v, socklen_t *len)
{
	if (is_before_cookies && level == SOL_SOCKET && name == SO_NETNS_COOKIE) {
		errno = ENOPROTOOPT;
		return -1;
	}
	return __real_getsockopt(fd, level, name, v, len);
}

static bool never(struct call_source *src)
{
	(void)src;
	return false;
}

static bool no_call(struct call_source *src, struct call *ret)
{
	(void)src;
	(void)ret;
	return false;
}

static bool is_valid(struct call_source *src, const struct call *c)
{
	(void)src;
	(void)c;
	return true;
}

static void respond(struct call_source *src, const struct call *c, const struct answer *a)
{
	(void)src;
	(void)c;
	(void)a;
}

static void no_free(struct call_source *src)
{
	(void)src;
}

static const struct call_source_ops ops = { no_call, never, is_valid, respond, no_free };

typedef struct answer handler(struct sandbox *s, struct notifier *n, struct call *c);

/* What @fn says to a call with these arguments: the value, or -errno. */
static int64_t ask(struct fixture *f, handler *fn, struct seccomp_data data)
{
	struct answer a;

	do {
		struct call c = { .req = { .id = 1, .pid = (uint32_t)getpid(), .data = data }, .held = -1 };

		a = fn(&f->s, f->s.notifier, &c);
	} while (a.kind == ANSWER_PARK_HASH && loop_turn(f->loop, 5000) == 0);
	assert_true(a.kind == ANSWER_VALUE || a.kind == ANSWER_ERROR);
	return a.value;
}

static int64_t ask_connect(struct fixture *f, int fd, const void *sa, socklen_t len)
{
	return ask(f, connect_handle,
		(struct seccomp_data){ .nr = SYS_connect, .args = { (uint64_t)fd, (uintptr_t)sa, len } });
}

static int64_t ask_sendto(struct fixture *f, int fd, const void *data, size_t n, const void *sa, socklen_t len)
{
	return ask(f, sendto_handle,
		(struct seccomp_data){ .nr = SYS_sendto,
			.args = { (uint64_t)fd, (uintptr_t)data, n, MSG_DONTWAIT, (uintptr_t)sa, len } });
}

static int64_t ask_sendmsg(struct fixture *f, int fd, const struct msghdr *mh)
{
	return ask(f, sendmsg_handle,
		(struct seccomp_data){ .nr = SYS_sendmsg, .args = { (uint64_t)fd, (uintptr_t)mh, MSG_DONTWAIT } });
}

/* What the kernel itself says. */
static int64_t really(ssize_t r)
{
	return r < 0 ? -errno : r;
}

static struct sockaddr_un at(const char *dir, const char *name)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s/%s", dir, name);
	return un;
}

static int listen_at(int type, const struct sockaddr_un *un)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_int_equal(bind(fd, (const struct sockaddr *)un, sizeof(*un)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 8), 0);
	return fd;
}

/* sockaddr_storage has room for more than any path of AF_UNIX, and the copy of a path has not. */
static void an_address_longer_than_its_family_has_is_refused(void **state)
{
	struct fixture *f = *state;
	union {
		struct sockaddr_storage room;
		struct sockaddr_un un;
	} to = { .un = at(f->dir, "heard") };
	int heard = listen_at(SOCK_DGRAM, &to.un);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(ask_sendto(f, fd, "x", 1, &to, sizeof(to.un)), 1);
	for (socklen_t len = sizeof(to.un) + 1; len <= sizeof(to); len++) {
		assert_int_equal(really(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, len)), -EINVAL);
		assert_int_equal(ask_sendto(f, fd, "x", 1, &to, len), -EINVAL);
		assert_int_equal(ask_connect(f, fd, &to, len), -EINVAL);
	}
	(void)unlink(to.un.sun_path);
	(void)close(heard);
	(void)close(fd);
}

/* Control messages that pass so many times our standard input, one message each; its length. */
static size_t put_rights(char *out, const size_t *counts, size_t n)
{
	const int fd = STDIN_FILENO;
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		const struct cmsghdr h = { .cmsg_len = CMSG_LEN(counts[i] * sizeof(fd)),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS };

		memcpy(out + at, &h, sizeof(h));
		for (size_t j = 0; j < counts[i]; j++)
			memcpy(out + at + CMSG_LEN(j * sizeof(fd)), &fd, sizeof(fd));
		at += CMSG_SPACE(counts[i] * sizeof(fd));
	}
	return at;
}

/* 253 (SCM_MAX_FD) are what a message of the kernel's has, and what there is room for here. */
static void no_descriptor_is_duplicated_beyond_those_of_one_message(void **state)
{
	static const struct {
		size_t counts[2], n;
		int64_t answer;
		unsigned int taken; /* with the socket */
	} cases[] = {
		{ { 253 }, 1, 1, 254 },
		{ { 254 }, 1, -EINVAL, 1 },
		{ { 2000 }, 1, -EINVAL, 1 },
		{ { 253, 1 }, 2, -EINVAL, 254 },
		{ { 200, 200 }, 2, -EINVAL, 201 },
	};
	struct fixture *f = *state;
	char control[8192] __attribute__((aligned(16)));
	struct iovec iov = { (char[]){ "x" }, 1 };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control };
		int sv[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sv), 0);
		mh.msg_controllen = put_rights(control, cases[i].counts, cases[i].n);
		n_duplicated = 0;
		assert_int_equal(ask_sendmsg(f, sv[0], &mh), cases[i].answer);
		assert_int_equal(n_duplicated, cases[i].taken);
		(void)close(sv[0]);
		(void)close(sv[1]);
	}
}

/* What the kernel does beside a message it does for us here: only what is known to need nothing of ours. */
static void what_stands_beside_a_message_is_of_known_kinds(void **state)
{
	static const struct {
		int type;
		unsigned char data[4];
		int64_t answer;
	} cases[] = {
		{ IP_TTL, { 64 }, 1 },
		{ IP_RETOPTS, { 1, 1, 1, 0 }, -EINVAL },
	};
	struct fixture *f = *state;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(to);

	assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&to, &len), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		union {
			char room[CMSG_SPACE(sizeof(cases[i].data))];
			struct cmsghdr h;
		} control = { .h = { CMSG_LEN(sizeof(cases[i].data)), IPPROTO_IP, cases[i].type } };
		struct iovec iov = { (char[]){ "x" }, 1 };
		struct msghdr mh = { .msg_name = &to,
			.msg_namelen = sizeof(to),
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = &control,
			.msg_controllen = sizeof(control) };

		memcpy(CMSG_DATA(&control.h), cases[i].data, sizeof(cases[i].data));
		assert_int_equal(really(sendmsg(fd, &mh, 0)), 1); /* the control */
		assert_int_equal(ask_sendmsg(f, fd, &mh), cases[i].answer);
	}
	(void)close(fd);
}

static int open_netlink(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	const struct sockaddr_nl self = { .nl_family = AF_NETLINK };

	assert_int_equal(bind(fd, (const struct sockaddr *)&self, sizeof(self)), 0);
	return fd;
}

/* Where the caller might change its network himself, as where somebody granted it a namespace of its own. */
static void netlink_answers_and_changes_nothing(void **state)
{
	struct {
		struct nlmsghdr h;
		struct ifaddrmsg a;
		struct rtattr attr;
		uint8_t addr[4];
	} change = { { sizeof(change), RTM_NEWADDR, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE, 1, 0 },
		{ AF_INET, 32, 0, 0, 1 }, { RTA_LENGTH(4), IFA_LOCAL }, { 10, 9, 8, 7 } };
	struct {
		struct nlmsghdr h;
		struct rtgenmsg g;
	} question = { { sizeof(question), RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, 2, 0 }, { AF_INET } };
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct fixture *f = *state;
	char got[8192] __attribute__((aligned(16)));
	const struct nlmsgerr *told = NLMSG_DATA((struct nlmsghdr *)got);
	int fd = open_netlink();

	assert_int_equal(ask_sendto(f, fd, &change, sizeof(change), &kernel, sizeof(kernel)), -EPERM);
	assert_int_equal(really(recv(fd, got, sizeof(got), MSG_DONTWAIT)), -EAGAIN);
	assert_int_equal(sendto(fd, &change, sizeof(change), 0, (const struct sockaddr *)&kernel, sizeof(kernel)),
		sizeof(change)); /* the control */
	assert_true(recv(fd, got, sizeof(got), MSG_DONTWAIT) >= (ssize_t)NLMSG_LENGTH(sizeof(*told)));
	assert_int_equal(told->error, 0);
	assert_int_equal(
		ask_sendto(f, fd, &question, sizeof(question), &kernel, sizeof(kernel)), sizeof(question));
	assert_true(recv(fd, got, sizeof(got), MSG_DONTWAIT) > 0);
	(void)close(fd);
}

/* Each tmpfs numbers its files from the start (5.9): a host's socket has the number of one of the sandbox's. */
static void a_socket_of_the_same_number_on_another_device_is_another(void **state)
{
	struct fixture *f = *state;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), home, there[2];
	struct sockaddr_un un[2];
	struct stat st[2];
	char dir[2][80];

	home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < 2; i++) {
		(void)snprintf(dir[i], sizeof(dir[i]), "%s/%d", f->dir, i);
		assert_int_equal(mkdir(dir[i], 0700), 0);
		assert_int_equal(mount("tmpfs", dir[i], "tmpfs", 0, NULL), 0);
		un[i] = at(dir[i], "socket");
		assert_int_equal(i == 1 ? unshare(CLONE_NEWNET) : 0, 0);
		there[i] = listen_at(SOCK_STREAM, &un[i]);
		assert_int_equal(stat(un[i].sun_path, &st[i]), 0);
	}
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	if (st[0].st_ino != st[1].st_ino)
		skip();
	assert_int_equal(ask_connect(f, fd, &un[1], sizeof(un[1])), -EACCES);
	assert_int_equal(really(accept(there[1], NULL, NULL)), -EAGAIN);
	assert_int_equal(ask_connect(f, fd, &un[0], sizeof(un[0])), 0); /* the control */
	for (int i = 0; i < 2; i++) {
		(void)close(there[i]);
		(void)umount2(dir[i], MNT_DETACH);
		(void)rmdir(dir[i]);
	}
	(void)close(home);
	(void)close(fd);
}

/* Before there were cookies a host's socket tells nothing of its namespace, not even that it is another. */
static void a_socket_from_outside_is_foreign_on_every_kernel(void **state)
{
	const struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(9), .sin_addr = { htonl(INADDR_LOOPBACK) }
	};
	struct fixture *f = *state;
	int own = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	for (int i = 0; i < 2; i++) {
		is_before_cookies = i == 1;
		assert_int_equal(sockcall_netns_id(own, &f->s.netns_id), 0);
		assert_int_equal(ask_sendto(f, own, "x", 1, &to, sizeof(to)), 1); /* the control */
		assert_int_equal(ask_sendto(f, OUTSIDE_AT, "x", 1, &to, sizeof(to)), -EACCES);
	}
	is_before_cookies = false;
	(void)close(own);
}

static struct netaddr addr(const char *text)
{
	struct netaddr a;

	assert_int_equal(netaddr_parse(text, &a), 0);
	return a;
}

static void the_sandboxs_own_addresses_end_where_they_end(void **state)
{
	static const struct {
		const char *text;
		bool is_loopback, is_own;
	} cases[] = {
		{ "0.0.0.0", true, false },
		{ "0.0.0.1", false, false },
		{ "0.1.2.3", false, false },
		{ "126.255.255.255", false, false },
		{ "127.0.0.0", true, false },
		{ "127.255.255.255", true, false },
		{ "128.0.0.0", false, false },
		{ "::", true, false },
		{ "::1", true, false },
		{ "::2", false, false },
		{ "::ff", false, false },
		{ "::101", false, false },
		{ "1::1", false, false },
		{ ADDRS_HOST4, false, true },
		{ "10.200.0.0", false, false },
		{ "10.200.0.2", false, false },
		{ "10.0.0.1", false, false },
		{ ADDRS_HOST6, false, true },
		{ "fd6f:7065:6e73::", false, false },
		{ "fd6f:7065:6e73::2", false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct netaddr a = addr(cases[i].text);

		if (sockcall_is_loopback(&a) != cases[i].is_loopback || sockcall_is_own(&a) != cases[i].is_own)
			fail_msg("%s", cases[i].text);
		assert_int_equal(sockcall_is_inside(&a), cases[i].is_loopback || cases[i].is_own);
	}
}

static int64_t ask_to_dial(struct fixture *f, const struct netaddr *a)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_storage to;
	socklen_t len = netaddr_to_sockaddr(a, 7000, &to);
	int64_t r = ask_connect(f, fd, &to, len);

	(void)close(fd);
	return r;
}

/* The text of the log since the last time. */
static const char *logged(struct fixture *f)
{
	static char text[4096];
	ssize_t n;

	(void)log_flush(f->s.log);
	n = pread(f->log, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	assert_int_equal(ftruncate(f->log, 0), 0);
	return text;
}

/* Its name was forgotten: what a policy says of the number itself is not about it. */
static void a_synthetic_address_without_a_name_is_no_literal(void **state)
{
	struct netaddr a = addr("198.18.1.2"), v6;
	struct fixture *f = *state;

	assert_int_equal(ask_to_dial(f, &a), -ECONNREFUSED);
	assert_non_null(strstr(logged(f), "the address stands for no name"));
	/* The control: with a name it gets as far as the proxy, which there is none of. */
	assert_int_equal(names_assign(f->s.names, "named.test", &a, &v6), 0);
	assert_int_equal(ask_to_dial(f, &a), -ECONNREFUSED);
	assert_non_null(strstr(logged(f), "the proxy is gone"));
}

static void on_hashed(void *arg)
{
	(void)arg;
}

static int set_up_files(struct fixture *f)
{
	char path[64];

	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/sockcall-test.XXXXXX");
	f->log = memfd_create("log", MFD_CLOEXEC);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", f->log);
	f->s.log = log_new(open(path, O_RDWR | O_APPEND | O_CLOEXEC));
	f->granted = (struct mount){ .kind = MOUNT_RW, .dest = f->dir };
	f->s.mounts = (struct mounts){ .list = &f->granted, .n = 1 };
	return mkdtemp(f->dir) && f->s.log ? 0 : -1;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err err;
	int own;

	*state = f;
	if (set_up_files(f) < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, f->pair) < 0)
		return -1;
	f->loop = loop_new();
	f->s.loop = loop_new();
	f->s.hashes = filehash_new(f->loop);
	f->s.owners = owners_new(f->s.hashes, getpid(), on_hashed, f);
	f->s.names = names_new();
	f->s.once = once_new();
	f->s.peers = peers_new();
	f->s.gate = dgramgate_new();
	f->s.is_proxy_gone = true;
	f->s.proxy_link.fd = f->pair[0];
	f->s.sockets.diag = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	own = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	f->source = (struct call_source){ .ops = &ops, .fd = f->pair[1] };
	f->s.notifier = notifier_new(&f->s, &f->source, &err);
	if (sockcall_netns_id(own, &f->s.netns_id) < 0 || dgramgate_open(f->s.gate) != 0 ||
		policy_load(yaml, strlen(yaml), &f->s.policy, NULL) < 0)
		return -1;
	(void)close(own);
	return f->s.owners && f->s.notifier ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	notifier_free(f->s.notifier);
	log_free(f->s.log);
	dgramgate_free(f->s.gate);
	policy_unref(f->s.policy);
	peers_free(f->s.peers);
	once_free(f->s.once);
	names_free(f->s.names);
	owners_free(f->s.owners);
	filehash_free(f->s.hashes);
	loop_free(f->s.loop);
	loop_free(f->loop);
	(void)close(f->s.sockets.diag);
	(void)close(f->pair[0]);
	(void)close(f->pair[1]);
	(void)close(f->log);
	(void)rmdir(f->dir);
	free(f);
	return 0;
}

static int raise_loopback(void **state)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r = ioctl(fd, SIOCSIFFLAGS, &ifr);

	(void)state;
	(void)close(fd);
	return r;
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		EACH(an_address_longer_than_its_family_has_is_refused),
		EACH(no_descriptor_is_duplicated_beyond_those_of_one_message),
		EACH(what_stands_beside_a_message_is_of_known_kinds),
		EACH(netlink_answers_and_changes_nothing),
		EACH(a_socket_of_the_same_number_on_another_device_is_another),
		EACH(a_socket_from_outside_is_foreign_on_every_kernel),
		EACH(the_sandboxs_own_addresses_end_where_they_end),
		EACH(a_synthetic_address_without_a_name_is_no_literal),
	};

	if (argc == 1) {
		if (dup2(socket(AF_INET, SOCK_DGRAM, 0), OUTSIDE_AT) != OUTSIDE_AT)
			return 127;
		(void)execlp("unshare", "unshare", "--user", "--map-root-user", "--net", "--pid", "--fork", "--mount-proc",
			"--kill-child", argv[0], "inside", NULL);
		return 127;
	}
	return cmocka_run_group_tests(tests, raise_loopback, NULL);
}
