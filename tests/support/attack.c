/*
 * attack - what a hostile workload tries, one attempt a name (see tests/e2e/escape-*.t).
 *
 * usage: attack NAME [ARGUMENT...]
 *
 * Prints a line per attempt: what was tried, a colon, and what became of it: `ok`, or the name of
 * the errno. It judges nothing: the test does, with a control beside it that shows that the same
 * attempt succeeds where it may.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <linux/rtnetlink.h>
#include <linux/seccomp.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"

enum { X32 = 0x40000000, MPTCP = 262 };

static void say(const char *what, long r)
{
	printf("%s: %s\n", what, r >= 0 ? "ok" : strerrorname_np(errno));
	(void)fflush(stdout);
}

static struct addrinfo *resolve(const char *host, const char *port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_family = AF_INET }, *to = NULL;
	int r = getaddrinfo(host, port, &hints, &to);

	if (r != 0) {
		printf("resolve %s: %s\n", host, gai_strerror(r));
		exit(3);
	}
	return to;
}

/* ---- 1: the address changes while the kernel or the supervisor reads it ---- */

static struct sockaddr_in flipped;
static struct sockaddr_in sides[2];
static atomic_bool is_over;

static void *flip(void *unused)
{
	for (unsigned int i = 0; !atomic_load_explicit(&is_over, memory_order_relaxed); i++)
		memcpy(&flipped, &sides[i & 1], sizeof(flipped));
	return unused;
}

/* ALLOWED DENIED PORT TRIES */
static int race_address(char **argv)
{
	int tries = atoi(argv[3]), connected = 0;
	pthread_t thread;

	memcpy(&sides[0], resolve(argv[0], argv[2])->ai_addr, sizeof(sides[0]));
	memcpy(&sides[1], resolve(argv[1], argv[2])->ai_addr, sizeof(sides[1]));
	if (pthread_create(&thread, NULL, flip, NULL) != 0)
		return 1;
	for (int i = 0; i < tries; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (connect(fd, (struct sockaddr *)&flipped, sizeof(flipped)) == 0)
			connected++;
		(void)close(fd);
	}
	atomic_store(&is_over, true);
	(void)pthread_join(thread, NULL);
	printf("race-address: %d of %d connected\n", connected, tries);
	return 0;
}

/* ---- 2: the descriptor becomes another socket meanwhile ---- */

static int swapped_fd;
static int swap_with[4];

static void *swap(void *unused)
{
	for (unsigned int i = 0; !atomic_load_explicit(&is_over, memory_order_relaxed); i++)
		(void)dup2(swap_with[i % ARRAY_SIZE(swap_with)], swapped_fd);
	return unused;
}

/* ALLOWED PORT TRIES */
static int race_descriptor(char **argv)
{
	struct addrinfo *to = resolve(argv[0], argv[1]);
	int pair[2], tries = atoi(argv[2]), failed = 0;
	pthread_t thread;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return 1;
	swapped_fd = socket(AF_INET, SOCK_STREAM, 0);
	swap_with[0] = socket(AF_INET, SOCK_DGRAM, 0);
	swap_with[1] = pair[0];
	swap_with[2] = socket(AF_INET, SOCK_STREAM, 0);
	swap_with[3] = open("/dev/null", O_RDWR | O_CLOEXEC);
	(void)listen(swap_with[2], 1);
	if (pthread_create(&thread, NULL, swap, NULL) != 0)
		return 1;
	for (int i = 0; i < tries; i++)
		failed += connect(swapped_fd, to->ai_addr, to->ai_addrlen) < 0;
	atomic_store(&is_over, true);
	(void)pthread_join(thread, NULL);
	printf("race-descriptor: %d of %d failed\n", failed, tries);
	return 0;
}

/* ---- 4: whose socket, whose memory ---- */

static char *const *exec_argv;
static char stack[65536] __attribute__((aligned(16)));

static int become(void *unused)
{
	(void)unused;
	(void)execv(exec_argv[0], exec_argv);
	_exit(127);
}

/* HOST PORT TRIES ALLOWED: connects while a child that shares memory and descriptors becomes ALLOWED. */
static int clone_vm(char **argv)
{
	struct addrinfo *to = resolve(argv[0], argv[1]);
	char *const child[] = { argv[3], (char[]){ "harmless" }, NULL };
	int tries = atoi(argv[2]), connected = 0, asked = 0, status;

	exec_argv = child;
	(void)fflush(stdout);
	for (int i = 0; i < tries; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		pid_t pid = clone(become, stack + sizeof(stack), CLONE_VM | CLONE_FILES | SIGCHLD, NULL);

		while (waitpid(pid, &status, WNOHANG) == 0) {
			connected += connect(fd, to->ai_addr, to->ai_addrlen) == 0;
			asked++;
		}
		(void)close(fd);
	}
	printf("clone-vm: %d of %d connected\n", connected, asked);
	return 0;
}

/* HOST PORT COMMAND...: COMMAND gets a fresh socket as descriptor 9. */
static int hand_over(char **argv)
{
	if (dup2(socket(AF_INET, SOCK_STREAM, 0), 9) != 9)
		return 1;
	(void)execv(argv[2], argv + 2);
	return 127;
}

/* HOST PORT: connects a socket that somebody else has opened. */
static int use_handed(char **argv)
{
	struct addrinfo *to = resolve(argv[0], argv[1]);

	say("handed over", connect(9, to->ai_addr, to->ai_addrlen));
	return 0;
}

/* ---- 5, 6: other doors to the same system calls ---- */

static void in_child(const char *what, long (*attempt)(void))
{
	int status = 0;
	pid_t pid;

	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		say(what, attempt());
		_exit(0);
	}
	if (waitpid(pid, &status, 0) == pid && WIFSIGNALED(status))
		printf("%s: killed by %s\n", what, sigabbrev_np(WTERMSIG(status)));
}

#ifdef __x86_64__
static long int80(long nr, long a, long b, long c)
{
	long r;

	__asm__ volatile("int $0x80"
			 : "=a"(r)
			 : "a"(nr), "b"(a), "c"(b), "d"(c)
			 : "memory", "r8", "r9", "r10", "r11");
	if (r < 0 && r > -4096) {
		errno = (int)-r;
		return -1;
	}
	return r;
}

/* i386: socket 359, connect 362, getpid 20 */
static long int80_socket(void)
{
	return int80(359, AF_INET, SOCK_STREAM, 0);
}

static long int80_getpid(void)
{
	return int80(20, 0, 0, 0);
}

static long x32_socket(void)
{
	return syscall(SYS_socket | X32, AF_INET, SOCK_STREAM, 0);
}

static long x32_connect(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };

	return syscall(SYS_connect | X32, socket(AF_INET, SOCK_STREAM, 0), &sin, sizeof(sin));
}
#endif

static int foreign_abi(char **argv)
{
	(void)argv;
#ifdef __x86_64__
	in_child("int80 socket", int80_socket);
	in_child("int80 getpid", int80_getpid);
	in_child("x32 socket", x32_socket);
	in_child("x32 connect", x32_connect);
#endif
	return 0;
}

static int io_uring(char **argv)
{
	struct io_uring_params p = { 0 };

	(void)argv;
	say("io_uring_setup", syscall(SYS_io_uring_setup, 4, &p));
	say("io_uring_enter", syscall(SYS_io_uring_enter, 0, 1, 0, 0, NULL, 0));
	say("io_uring_register", syscall(SYS_io_uring_register, 0, 0, NULL, 0));
	return 0;
}

/* ---- 7, 8: data without connect() ---- */

/* HOST PORT */
static int fast_open(char **argv)
{
	struct addrinfo *to = resolve(argv[0], argv[1]);
	struct iovec iov = { .iov_base = "x", .iov_len = 1 };
	struct mmsghdr many[2] = { 0 };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	say("sendto MSG_FASTOPEN", sendto(fd, "x", 1, MSG_FASTOPEN, to->ai_addr, to->ai_addrlen));
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i].msg_hdr = (struct msghdr){ .msg_name = to->ai_addr,
			.msg_namelen = to->ai_addrlen,
			.msg_iov = &iov,
			.msg_iovlen = 1 };
	fd = socket(AF_INET, SOCK_STREAM, 0);
	say("sendmsg MSG_FASTOPEN", sendmsg(fd, &many[0].msg_hdr, MSG_FASTOPEN));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	say("sendmmsg MSG_FASTOPEN", sendmmsg(fd, many, 2, MSG_FASTOPEN));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	say("TCP_FASTOPEN_CONNECT",
		setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof(one)));
	say("connect after it", connect(fd, to->ai_addr, to->ai_addrlen));
	say("send after it", send(fd, "x", 1, MSG_NOSIGNAL));
	return 0;
}

/* ADDRESS PORT */
static int udp(char **argv)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(argv[1])) };
	struct iovec iov = { .iov_base = "x", .iov_len = 1 };
	struct mmsghdr one = { .msg_hdr = { .msg_name = &sin,
				       .msg_namelen = sizeof(sin),
				       .msg_iov = &iov,
				       .msg_iovlen = 1 } };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	(void)inet_pton(AF_INET, argv[0], &sin.sin_addr);
	say("sendto", sendto(fd, "x", 1, 0, (struct sockaddr *)&sin, sizeof(sin)));
	say("sendmsg", sendmsg(fd, &one.msg_hdr, 0));
	say("sendmmsg", sendmmsg(fd, &one, 1, 0));
	say("connect", connect(fd, (struct sockaddr *)&sin, sizeof(sin)));
	say("send", send(fd, "x", 1, 0));
	say("write", write(fd, "x", 1));
	fd = socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE);
	say("udplite", fd < 0 ? -1 : sendto(fd, "x", 1, 0, (struct sockaddr *)&sin, sizeof(sin)));
	return 0;
}

/*
 * A question to netlink whose length needs padding, and has none. Where another one would begin lies what an
 * earlier message of the same size has left: a header that leads far away.
 */
static int netlink_odd(char **argv)
{
	enum { EARLIER = 40, ODD = 25 };
	const struct sockaddr_nl to = { .nl_family = AF_NETLINK };
	const struct nlmsghdr first = { .nlmsg_len = EARLIER, .nlmsg_type = RTM_GETLINK };
	const struct nlmsghdr far = { .nlmsg_len = INT32_MAX, .nlmsg_type = RTM_GETLINK };
	const struct nlmsghdr odd = { .nlmsg_len = ODD, .nlmsg_type = RTM_GETLINK };
	char earlier[EARLIER + sizeof(far)] = "", message[ODD] = "";
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
	long r = fd;

	(void)argv;
	memcpy(earlier, &first, sizeof(first));
	memcpy(earlier + NLMSG_ALIGN(ODD), &far, sizeof(far));
	memcpy(message, &odd, sizeof(odd));
	for (int i = 0; i < 100 && r >= 0; i++) {
		(void)sendto(fd, earlier, EARLIER, 0, (const struct sockaddr *)&to, sizeof(to));
		r = sendto(fd, message, ODD, 0, (const struct sockaddr *)&to, sizeof(to));
	}
	say("netlink", r);
	return 0;
}

/* ---- 9, 10: where to ---- */

static int dial(int fd, const struct sockaddr *to, socklen_t len)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	socklen_t size = sizeof(int);
	int r, so_error = 0;

	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	r = connect(fd, to, len);
	if (r == 0 || errno != EINPROGRESS)
		return r;
	if (poll(&p, 1, 3000) != 1) {
		errno = ETIMEDOUT;
		return -1;
	}
	(void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &so_error, &size);
	errno = so_error;
	return so_error ? -1 : 0;
}

/* PORT ADDRESS... of either family */
static int addresses(char **argv)
{
	uint16_t port = htons((uint16_t)atoi(argv[0]));

	for (argv++; *argv; argv++) {
		struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = port };
		struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6, .sin6_port = port };
		int fd, r;

		if (inet_pton(AF_INET, *argv, &sin.sin_addr) == 1) {
			fd = socket(AF_INET, SOCK_STREAM, 0);
			r = dial(fd, (struct sockaddr *)&sin, sizeof(sin));
		} else {
			(void)inet_pton(AF_INET6, *argv, &sin6.sin6_addr);
			fd = socket(AF_INET6, SOCK_STREAM, 0);
			r = dial(fd, (struct sockaddr *)&sin6, sizeof(sin6));
		}
		say(*argv, r);
		(void)close(fd);
	}
	return 0;
}

/* HOST PORT: connects and waits for the other end to close. */
static int reach(char **argv)
{
	struct addrinfo *to = resolve(argv[0], argv[1]);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char byte;

	say("reach", connect(fd, to->ai_addr, to->ai_addrlen));
	say("end", recv(fd, &byte, 1, 0));
	return 0;
}

/* ALLOWED DENIED PORT: one socket, several destinations. */
static int again(char **argv)
{
	struct addrinfo *good = resolve(argv[0], argv[2]), *bad = resolve(argv[1], argv[2]);
	struct sockaddr nothing = { .sa_family = AF_UNSPEC };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	say("allowed", connect(fd, good->ai_addr, good->ai_addrlen));
	say("again", connect(fd, bad->ai_addr, bad->ai_addrlen));
	say("unspec", connect(fd, &nothing, sizeof(nothing)));
	(void)connect(fd, bad->ai_addr, bad->ai_addrlen);
	say("write after denied", send(fd, "GET / HTTP/1.0\r\n\r\n", 18, MSG_NOSIGNAL));
	return 0;
}

/* ---- 11: arguments that are not what they should be ---- */

/* HOST PORT */
static int arguments(char **argv)
{
	static const unsigned int lengths[] = { 0, 1, 2, 7, 15, 129, 4096, 0x7fffffff, 0xffffffff };
	struct addrinfo *to = resolve(argv[0], argv[1]);
	long page = sysconf(_SC_PAGESIZE);
	char *two = mmap(
		NULL, (size_t)page * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char what[64];
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		fd = socket(AF_INET, SOCK_STREAM, 0);
		snprintf(what, sizeof(what), "length %u", lengths[i]);
		say(what, syscall(SYS_connect, fd, to->ai_addr, lengths[i]));
		(void)close(fd);
	}
	fd = socket(AF_INET, SOCK_STREAM, 0);
	say("null", syscall(SYS_connect, fd, NULL, 16));
	say("unmapped", syscall(SYS_connect, fd, 4096, 16));
	say("kernel", syscall(SYS_connect, fd, ~0UL - 4096, 16));
	(void)mprotect(two + page, (size_t)page, PROT_NONE);
	say("forbidden", syscall(SYS_connect, fd, two + page, 16));
	say("over the edge", syscall(SYS_connect, fd, two + page - 8, 16));
	memcpy(two + page - 16, to->ai_addr, 16);
	say("at the edge", syscall(SYS_connect, fd, two + page - 16, 16));
	say("descriptor -1", syscall(SYS_connect, -1, to->ai_addr, 16));
	say("descriptor 99999", syscall(SYS_connect, 99999, to->ai_addr, 16));
	say("a file", syscall(SYS_connect, open("/dev/null", O_RDWR | O_CLOEXEC), to->ai_addr, 16));
	return 0;
}

/* ---- 12: other families and protocols ---- */

static int families(char **argv)
{
	static const struct {
		const char *name;
		int family, type, protocol;
	} tries[] = {
		{ "inet stream", AF_INET, SOCK_STREAM, 0 },
		{ "inet6 stream", AF_INET6, SOCK_STREAM, 0 },
		{ "unix stream", AF_UNIX, SOCK_STREAM, 0 },
		{ "netlink route", AF_NETLINK, SOCK_RAW, 0 },
		{ "inet mptcp", AF_INET, SOCK_STREAM, MPTCP },
		{ "packet", AF_PACKET, SOCK_RAW, 0 },
		{ "inet raw", AF_INET, SOCK_RAW, IPPROTO_ICMP },
		{ "inet ping", AF_INET, SOCK_DGRAM, IPPROTO_ICMP },
		{ "inet6 raw", AF_INET6, SOCK_RAW, 58 },
		{ "sctp", AF_INET, SOCK_STREAM, 132 },
		{ "dccp", AF_INET, SOCK_DCCP, 33 },
		{ "vsock", AF_VSOCK, SOCK_STREAM, 0 },
		{ "alg", AF_ALG, SOCK_SEQPACKET, 0 },
		{ "rxrpc", AF_RXRPC, SOCK_DGRAM, AF_INET },
		{ "kcm", AF_KCM, SOCK_DGRAM, 0 },
		{ "tipc", AF_TIPC, SOCK_STREAM, 0 },
		{ "rds", AF_RDS, SOCK_SEQPACKET, 0 },
		{ "xdp", AF_XDP, SOCK_RAW, 0 },
		{ "smc", AF_SMC, SOCK_STREAM, 0 },
		{ "bluetooth", AF_BLUETOOTH, SOCK_RAW, 1 },
		{ "can", AF_CAN, SOCK_RAW, 1 },
		{ "nfc", AF_NFC, SOCK_RAW, 0 },
		{ "appletalk", AF_APPLETALK, SOCK_DGRAM, 0 },
		{ "ipx", AF_IPX, SOCK_DGRAM, 0 },
		{ "x25", AF_X25, SOCK_SEQPACKET, 0 },
		{ "key", AF_KEY, SOCK_RAW, 2 },
		{ "qipcrtr", AF_QIPCRTR, SOCK_DGRAM, 0 },
		{ "netlink generic", AF_NETLINK, SOCK_RAW, 16 },
		{ "netlink netfilter", AF_NETLINK, SOCK_RAW, 12 },
		{ "netlink audit", AF_NETLINK, SOCK_RAW, 9 },
	};

	(void)argv;
	for (size_t i = 0; i < ARRAY_SIZE(tries); i++) {
		int fd = socket(tries[i].family, tries[i].type, tries[i].protocol);

		say(tries[i].name, fd);
		if (fd >= 0)
			(void)close(fd);
	}
	return 0;
}

/* ---- 13, 14: other people's descriptors and processes ---- */

static int borrow(char **argv)
{
	int open_fds = 0, pidfd;
	char byte = 0;
	struct iovec local = { .iov_base = &byte, .iov_len = 1 },
		     remote = { .iov_base = (void *)4096, .iov_len = 1 };

	(void)argv;
	for (int fd = 3; fd < 1024; fd++)
		open_fds += fcntl(fd, F_GETFD) >= 0;
	printf("inherited descriptors: %d\n", open_fds);
	pidfd = (int)syscall(SYS_pidfd_open, 1, 0);
	for (int fd = 0; fd < 16; fd++) {
		if (syscall(SYS_pidfd_getfd, pidfd, fd, 0) >= 0)
			printf("pidfd_getfd init %d: ok\n", fd);
	}
	say("open /proc/1/mem", open("/proc/1/mem", O_RDWR | O_CLOEXEC));
	say("open /proc/1/fd/3", open("/proc/1/fd/3", O_RDWR | O_CLOEXEC));
	say("open /proc/1/environ", open("/proc/1/environ", O_RDONLY | O_CLOEXEC));
	say("ptrace init", ptrace(PTRACE_ATTACH, 1, NULL, NULL));
	say("process_vm_readv init", process_vm_readv(1, &local, 1, &remote, 1, 0));
	say("process_vm_writev init", process_vm_writev(1, &local, 1, &remote, 1, 0));
	say("kill init", kill(1, SIGKILL));
	say("stop init", kill(1, SIGSTOP));
	return 0;
}

/* HOST PORT: a process that cannot be looked into asks. */
static int undumpable(char **argv)
{
	struct addrinfo *to = resolve(argv[0], argv[1]);

	say("not dumpable", prctl(PR_SET_DUMPABLE, 0));
	say("connect", dial(socket(AF_INET, SOCK_STREAM, 0), to->ai_addr, to->ai_addrlen));
	return 0;
}

/* ---- 16: a filter of its own ---- */

static int own_filter(char **argv)
{
	struct sock_filter allow[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
	struct sock_fprog prog = { .len = 1, .filter = allow };
	struct addrinfo *to = resolve(argv[0], argv[1]);
	long r;

	r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog);
	say("listener of its own", r);
	say("filter of its own", syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog));
	say("connect after it", dial(socket(AF_INET, SOCK_STREAM, 0), to->ai_addr, to->ai_addrlen));
	return 0;
}

/* Lets everything go on that the listener is told of, until @child ends. */
static void let_go_on(int listener, pid_t child)
{
	struct pollfd p[] = { { .fd = listener, .events = POLLIN },
		{ .fd = (int)syscall(SYS_pidfd_open, child, 0), .events = POLLIN } };

	while (poll(p, 2, -1) > 0 && !(p[1].revents & POLLIN)) {
		struct seccomp_notif req = { 0 };
		struct seccomp_notif_resp resp = { .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };

		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &req) < 0)
			continue;
		resp.id = req.id;
		(void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &resp);
	}
}

/* Runs a command where a listener exists already that is told of system call @nr. */
static int run_under_listener(char **argv, int nr)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned int)nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(code), .filter = code };
	int status = 0, listener;
	pid_t child;

	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog);
	if (listener < 0) {
		perror("seccomp");
		return 3;
	}
	child = fork(); /* the listener is CLOEXEC: somebody has to keep it */
	if (child == 0) {
		(void)execvp(argv[0], argv);
		_exit(127);
	}
	let_go_on(listener, child);
	return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* COMMAND...: as on WSL2 and in some containers; of the listener's call nobody makes any. */
static int under_listener(char **argv)
{
	return run_under_listener(argv, SYS_uselib);
}

/* COMMAND...: the listener wants a call that the supervisor wants too. */
static int under_rival(char **argv)
{
	return run_under_listener(argv, SYS_getpeername);
}

/* COMMAND...: from inside, to answer for a supervisor that traces. */
static int under_mine(char **argv)
{
	return run_under_listener(argv, SYS_connect);
}

/* What is left of a process that runs a command behind a filter of its own. */
static int run_filtered(struct sock_filter *code, size_t n, char **argv)
{
	struct sock_fprog prog = { .len = (unsigned short)n, .filter = code };

	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0) < 0)
		return 3;
	(void)execvp(argv[0], argv);
	return 127;
}

#define REFUSE(call, errnum)                                                                       \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (call), 0, 1),                                         \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (errnum))
#define ARGUMENT(i) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[i]))

enum { NEW_NAMESPACES = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
			CLONE_NEWPID | CLONE_NEWNET };

/* COMMAND...: in a container that nobody gave a privilege, as Docker's and Podman's default filters leave one. */
static int under_container(char **argv)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		REFUSE(SYS_unshare, EPERM),
		REFUSE(SYS_setns, EPERM),
		REFUSE(SYS_mount, EPERM),
		REFUSE(SYS_umount2, EPERM),
		REFUSE(SYS_pivot_root, EPERM),
		REFUSE(SYS_clone3, ENOSYS),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3),
		ARGUMENT(0),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, NEW_NAMESPACES, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	return run_filtered(code, ARRAY_SIZE(code), argv);
}

/* COMMAND...: where pidfd_open(2) names processes alone, as before Linux 6.9. */
static int under_old_pidfds(char **argv)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 0, 3),
		ARGUMENT(1),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_EXCL, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	return run_filtered(code, ARRAY_SIZE(code), argv);
}

/* NAME COMMAND...: runs it where a system call does not exist. */
static int under_filter(char **argv)
{
	static const struct {
		const char *name;
		unsigned int nr;
	} calls[] = {
		{ "pidfd_open", SYS_pidfd_open },
		{ "pidfd_getfd", SYS_pidfd_getfd },
		{ "pidfd_send_signal", SYS_pidfd_send_signal },
		{ "seccomp", SYS_seccomp },
		{ "sendmsg", SYS_sendmsg },
		{ "recvmsg", SYS_recvmsg },
		{ "connect", SYS_connect },
		{ "landlock_create_ruleset", 444 },
		{ "landlock_restrict_self", 446 },
		{ "openat2", 437 },
		{ "clone3", 435 },
		{ "close_range", 436 },
		{ "process_vm_readv", SYS_process_vm_readv },
		{ "epoll_pwait2", 441 },
		{ "memfd_create", SYS_memfd_create },
		{ "unshare", SYS_unshare },
		{ "setns", SYS_setns },
		{ "none", 0xffff },
	};

	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		struct sock_filter code[] = {
			BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
			REFUSE(calls[i].nr, ENOSYS),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		};

		if (strcmp(calls[i].name, argv[0]) == 0)
			return run_filtered(code, ARRAY_SIZE(code), argv + 1);
	}
	return 2;
}

/* ---- 19: more than anybody can answer ---- */

static struct addrinfo *flood_to;

static void *flood_one(void *unused)
{
	while (!atomic_load_explicit(&is_over, memory_order_relaxed)) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		(void)connect(fd, flood_to->ai_addr, flood_to->ai_addrlen);
		(void)close(fd);
	}
	return unused;
}

/* HOST PORT THREADS: until standard input ends. */
static int flood(char **argv)
{
	int n = atoi(argv[2]);
	pthread_t thread;
	char byte;

	flood_to = resolve(argv[0], argv[1]);
	for (int i = 0; i < n; i++)
		if (pthread_create(&thread, NULL, flood_one, NULL) != 0)
			return 1;
	printf("flood: %d threads\n", n);
	(void)fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	_exit(0);
}

/* HOST PORT COUNT: each in its time, and the slowest of them, in milliseconds. */
static int patience(char **argv)
{
	struct addrinfo *to = resolve(argv[0], argv[1]);
	int count = atoi(argv[2]), made = 0;
	long worst = 0;

	for (int i = 0; i < count; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		struct timespec a, b;
		long ms;

		(void)clock_gettime(CLOCK_MONOTONIC, &a);
		made += connect(fd, to->ai_addr, to->ai_addrlen) == 0;
		(void)clock_gettime(CLOCK_MONOTONIC, &b);
		ms = (b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000;
		worst = ms > worst ? ms : worst;
		(void)close(fd);
	}
	printf("patience: %d of %d\nworst: %ld\n", made, count, worst);
	return 0;
}

/* ---- 18, 21: signals while connecting, and what connect() means ---- */

static void on_alarm(int sig)
{
	(void)sig;
}

/* HOST PORT COUNT: how many connections were made under an alarm a millisecond. */
static int storm(char **argv)
{
	struct itimerval every = { { 0, 1000 }, { 0, 1000 } };
	struct sigaction act = { .sa_handler = on_alarm };
	struct addrinfo *to = resolve(argv[0], argv[1]);
	int count = atoi(argv[2]), made = 0, interrupted = 0;

	(void)sigaction(SIGALRM, &act, NULL);
	(void)setitimer(ITIMER_REAL, &every, NULL);
	for (int i = 0; i < count; i++) {
		struct pollfd p = { .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
			.events = POLLOUT };
		int r = connect(p.fd, to->ai_addr, to->ai_addrlen);

		/* An interrupted connect goes on by itself; asking again would be EALREADY. */
		if (r < 0 && errno == EINTR) {
			interrupted++;
			do {
				(void)poll(&p, 1, 5000);
				r = connect(p.fd, to->ai_addr, to->ai_addrlen);
			} while (r < 0 && (errno == EINTR || errno == EALREADY));
			if (r < 0 && errno == EISCONN)
				r = 0;
		}
		if (r < 0)
			printf("failed: %s\n", strerrorname_np(errno));
		made += r == 0;
		(void)close(p.fd);
	}
	printf("interrupted: %d\n", interrupted);
	printf("storm: %d of %d made\n", made, count);
	return 0;
}

/* HOST PORT */
static int semantics(char **argv)
{
	struct addrinfo *to = resolve(argv[0], argv[1]);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	struct sockaddr_in peer = { 0 };
	socklen_t len = sizeof(peer), size = sizeof(int);
	int so_error = -1, r = connect(fd, to->ai_addr, to->ai_addrlen);

	printf("non-blocking: %s\n", r == 0 ? "connected" : strerrorname_np(errno));
	printf("poll: %d\n", poll(&p, 1, 5000));
	(void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &so_error, &size);
	printf("SO_ERROR: %d\n", so_error);
	say("again", connect(fd, to->ai_addr, to->ai_addrlen));
	(void)getpeername(fd, (struct sockaddr *)&peer, &len);
	printf("getpeername: %s\n", memcmp(&peer, to->ai_addr, 8) == 0 ? "the address asked for"
								       : inet_ntoa(peer.sin_addr));
	return 0;
}

/* ---- 22: pretending ---- */

static int pretend(char **argv)
{
	int fd = open("/usr/bin/curl", O_RDONLY | O_CLOEXEC);

	(void)argv;
	say("PR_SET_MM_EXE_FILE", prctl(PR_SET_MM, PR_SET_MM_EXE_FILE, fd, 0, 0));
	say("execveat of a descriptor",
		syscall(SYS_execveat, fd, "", (char *[]){ "curl", NULL }, NULL, AT_EMPTY_PATH));
	return 0;
}

/* ---- 24, 47, 48, 49: namespaces and the rest of the kernel ---- */

static int namespaces(char **argv)
{
	static const struct {
		const char *name;
		int flag;
	} kinds[] = {
		{ "user", CLONE_NEWUSER },
		{ "net", CLONE_NEWNET },
		{ "mount", CLONE_NEWNS },
		{ "pid", CLONE_NEWPID },
		{ "user and net", CLONE_NEWUSER | CLONE_NEWNET },
	};
	char what[64];
	long child;

	(void)argv;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		snprintf(what, sizeof(what), "unshare %s", kinds[i].name);
		say(what, unshare(kinds[i].flag));
	}
	child = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
	if (child == 0)
		_exit(0);
	say("clone user", child);
	say("mount", mount("none", "/tmp", "tmpfs", 0, NULL));
	say("remount /usr", mount("none", "/usr", NULL, MS_REMOUNT | MS_BIND, NULL));
	say("umount /usr", umount2("/usr", MNT_DETACH));
	say("chroot", chroot("/tmp"));
	say("pivot_root", syscall(SYS_pivot_root, "/tmp", "/tmp"));
	say("open_tree", syscall(428, AT_FDCWD, "/usr", 1));
	say("fsopen", syscall(430, "tmpfs", 0));
	say("setns", setns(open("/proc/1/ns/user", O_RDONLY | O_CLOEXEC), CLONE_NEWUSER));
	say("sethostname", sethostname("x", 1));
	return 0;
}

static int surface(char **argv)
{
	struct perf_event_attr perf = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(perf) };
	union bpf_attr bpf = {
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1
	};
	struct {
		struct file_handle h;
		char bytes[128];
	} handle = { .h = { .handle_bytes = 128 } };
	int mount_id;

	(void)argv;
	say("keyctl", syscall(SYS_keyctl, 0, -3, 1));
	say("add_key", syscall(SYS_add_key, "user", "x", "y", 1, -3));
	say("request_key", syscall(SYS_request_key, "user", "x", NULL, -3));
	say("bpf", syscall(SYS_bpf, BPF_MAP_CREATE, &bpf, sizeof(bpf)));
	say("perf_event_open", syscall(SYS_perf_event_open, &perf, 0, -1, -1, 0));
	say("userfaultfd", syscall(SYS_userfaultfd, 0));
	say("kexec_load", syscall(SYS_kexec_load, 0, 0, NULL, 0));
	say("init_module", syscall(SYS_init_module, "", 0, ""));
	say("swapon", syscall(SYS_swapon, "/tmp/x", 0));
	say("reboot", syscall(SYS_reboot, 0, 0, 0, NULL));
	say("acct", syscall(SYS_acct, "/tmp/x"));
	say("syslog", syscall(SYS_syslog, 3, NULL, 0));
	(void)name_to_handle_at(AT_FDCWD, "/usr", &handle.h, &mount_id, 0);
	say("open_by_handle_at",
		open_by_handle_at(open("/usr", O_RDONLY | O_CLOEXEC), &handle.h, O_RDONLY));
	say("open /proc/sysrq-trigger", open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC));
	say("open /proc/kcore", open("/proc/kcore", O_RDONLY | O_CLOEXEC));
	say("open /proc/sys/kernel/core_pattern",
		open("/proc/sys/kernel/core_pattern", O_WRONLY | O_CLOEXEC));
	say("open /sys/kernel", open("/sys/kernel", O_RDONLY | O_CLOEXEC));
	return 0;
}

/* What has to go on working. */
static int harmless(char **argv)
{
	int fd = memfd_create("x", MFD_CLOEXEC);
	pid_t child = fork();
	int pidfd;

	(void)argv;
	if (child == 0) {
		(void)pause();
		_exit(0);
	}
	pidfd = (int)syscall(SYS_pidfd_open, child, 0);
	say("memfd_create", fd);
	say("pidfd_open", pidfd);
	say("pidfd_send_signal", syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0));
	say("waitpid", waitpid(child, NULL, 0));
	say("nice", setpriority(PRIO_PROCESS, 0, 19)); /* less is more than a caller that is nice may */
	say("timer", poll(NULL, 0, 1));
	say("pipe", pipe2((int[2]){ 0 }, O_CLOEXEC));
	return 0;
}

/* ---- 44: the caller's terminal ---- */

static int terminal(char **argv)
{
	char command[] = "touch typed-by-the-sandbox\n", subcode = 3;
	int r = 0;

	(void)argv;
	printf("terminal: %s\n", isatty(0) ? ttyname(0) ?: "without a name" : "none");
	for (char *c = command; *c && r == 0; c++)
		r = ioctl(0, TIOCSTI, c);
	say("TIOCSTI", r);
	say("TIOCLINUX", ioctl(0, TIOCLINUX, &subcode));
	/* The high bits of the request are not looked at by the kernel. */
	say("TIOCSTI with high bits", syscall(SYS_ioctl, 0, (1UL << 32) | TIOCSTI, "x"));
	return 0;
}

static const struct {
	const char *name;
	int arguments;
	int (*run)(char **argv);
} attacks[] = {
	{ "race-address", 4, race_address },
	{ "race-descriptor", 3, race_descriptor },
	{ "clone-vm", 4, clone_vm },
	{ "hand-over", 3, hand_over },
	{ "use-handed", 2, use_handed },
	{ "foreign-abi", 0, foreign_abi },
	{ "io-uring", 0, io_uring },
	{ "fast-open", 2, fast_open },
	{ "udp", 2, udp },
	{ "netlink-odd", 0, netlink_odd },
	{ "addresses", 2, addresses },
	{ "reach", 2, reach },
	{ "again", 3, again },
	{ "arguments", 2, arguments },
	{ "families", 0, families },
	{ "borrow", 0, borrow },
	{ "undumpable", 2, undumpable },
	{ "own-filter", 2, own_filter },
	{ "under-listener", 1, under_listener },
	{ "under-rival", 1, under_rival },
	{ "under-mine", 1, under_mine },
	{ "under-container", 1, under_container },
	{ "under-old-pidfds", 1, under_old_pidfds },
	{ "under-filter", 2, under_filter },
	{ "flood", 3, flood },
	{ "patience", 3, patience },
	{ "storm", 3, storm },
	{ "semantics", 2, semantics },
	{ "pretend", 0, pretend },
	{ "namespaces", 0, namespaces },
	{ "surface", 0, surface },
	{ "harmless", 0, harmless },
	{ "terminal", 0, terminal },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(attacks); i++) {
		if (strcmp(argv[1], attacks[i].name) == 0 && argc - 2 >= attacks[i].arguments)
			return attacks[i].run(argv + 2);
	}
	fprintf(stderr, "usage: attack NAME [ARGUMENT...]\n");
	return 2;
}
