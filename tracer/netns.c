#include "tracer/netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/nsfs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/msg.h"
#include "lib/netaddr.h"
#include "tracer/addrs.h"

enum { LOOPBACK_INDEX = 1, PROXY_BACKLOG = 4096, DNS_BACKLOG = 128, N_BOUND = 6, N_SOCKETS = 7 };

enum { NETNS_DONE = 1, NETNS_FAILED };

struct nl_request {
	struct nlmsghdr head;
	union {
		struct ifaddrmsg addr;
		struct rtmsg route;
	};
	char attrs[128];
};

static void nl_attr(struct nl_request *r, unsigned short type, const void *data, size_t len)
{
	struct rtattr *a = (struct rtattr *)((char *)r + NLMSG_ALIGN(r->head.nlmsg_len));

	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(len);
	memcpy(RTA_DATA(a), data, len);
	r->head.nlmsg_len = (uint32_t)(NLMSG_ALIGN(r->head.nlmsg_len) + RTA_ALIGN(a->rta_len));
}

/* Sends and waits for the kernel's acknowledgement: 0 or its -errno. */
static int nl_call(int nl, struct nl_request *r)
{
	struct {
		struct nlmsghdr head;
		struct nlmsgerr err;
		char rest[512];
	} answer;
	ssize_t n;

	r->head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
	if (send(nl, r, r->head.nlmsg_len, 0) < 0)
		return -errno;
	n = recv(nl, &answer, sizeof(answer), 0);
	if (n < 0)
		return -errno;
	if ((size_t)n < NLMSG_LENGTH(sizeof(struct nlmsgerr)) ||
		answer.head.nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	return answer.err.error == -EEXIST ? 0 : answer.err.error;
}

static size_t addr_size(const struct netaddr *a)
{
	return a->family == AF_INET ? 4 : 16;
}

static int add_address(int nl, const char *text)
{
	struct nl_request r = { .head = { .nlmsg_len = NLMSG_LENGTH(sizeof(struct ifaddrmsg)),
					.nlmsg_type = RTM_NEWADDR } };
	struct netaddr a;

	if (netaddr_parse(text, &a) < 0)
		return -EINVAL;
	r.addr.ifa_family = (unsigned char)a.family;
	r.addr.ifa_prefixlen = (unsigned char)(addr_size(&a) * 8);
	r.addr.ifa_flags = a.family == AF_INET6 ? IFA_F_NODAD : 0;
	r.addr.ifa_index = LOOPBACK_INDEX;
	nl_attr(&r, IFA_LOCAL, a.bytes, addr_size(&a));
	nl_attr(&r, IFA_ADDRESS, a.bytes, addr_size(&a));
	return nl_call(nl, &r);
}

/* Datagrams to synthetic addresses stay here and are refused by ICMP at once. */
static int add_local_route(int nl, const char *text, unsigned char bits, const char *source)
{
	struct nl_request r = { .head = { .nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)),
					.nlmsg_type = RTM_NEWROUTE } };
	const uint32_t index = LOOPBACK_INDEX;
	struct netaddr dst, src;

	if (netaddr_parse(text, &dst) < 0 || netaddr_parse(source, &src) < 0)
		return -EINVAL;
	r.route = (struct rtmsg){ .rtm_family = (unsigned char)dst.family,
		.rtm_dst_len = bits,
		.rtm_table = RT_TABLE_LOCAL,
		.rtm_protocol = RTPROT_BOOT,
		.rtm_scope = dst.family == AF_INET ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE,
		.rtm_type = RTN_LOCAL };
	nl_attr(&r, RTA_DST, dst.bytes, addr_size(&dst));
	nl_attr(&r, RTA_PREFSRC, src.bytes, addr_size(&src));
	nl_attr(&r, RTA_OIF, &index, sizeof(index));
	return nl_call(nl, &r);
}

static int bound_socket(const char *text, int type, uint16_t port, int backlog)
{
	struct sockaddr_storage ss;
	struct netaddr a;
	auto_close int fd = -1;
	const int one = 1;
	socklen_t len;

	if (netaddr_parse(text, &a) < 0)
		return -EINVAL;
	fd = socket(a.family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (a.family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	len = netaddr_to_sockaddr(&a, port, &ss);
	if (bind(fd, (struct sockaddr *)&ss, len) < 0)
		return -errno;
	if (backlog && listen(fd, backlog) < 0)
		return -errno;
	return take_fd(fd);
}

static int join(int netns_fd)
{
	auto_close int userns = ioctl(netns_fd, NS_GET_USERNS);

	if (userns < 0)
		return -errno;
	/* Fails with EINVAL when it is our own: then no joining is needed. */
	if (setns(userns, CLONE_NEWUSER) < 0 && errno != EINVAL)
		return -errno;
	return setns(netns_fd, CLONE_NEWNET) < 0 ? -errno : 0;
}

static void write_sysctl(const char *path, const char *value)
{
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)!write(fd, value, strlen(value));
}

/*
 * All that the sandbox connects to outside is one address here, the proxy's, so its ephemeral ports
 * are used up by 28,000 connections a minute: closed ones keep theirs for so long (TIME_WAIT), and
 * long before the last the kernel's search for a free one takes milliseconds. On loopback nothing
 * comes late, so a port may be used again at once; what a second's flood closes beyond that is
 * forgotten. Where the sysctls cannot be written the limit stays.
 */
static void reuse_ports(void)
{
	write_sysctl("/proc/sys/net/ipv4/tcp_tw_reuse", "1");
	write_sysctl("/proc/sys/net/ipv4/tcp_max_tw_buckets", "16384");
}

static int configure(const char **ret_what)
{
	auto_close int nl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	int r;

	*ret_what = "netlink";
	if (nl < 0)
		return -errno;
	*ret_what = "address " ADDRS_HOST4;
	r = add_address(nl, ADDRS_HOST4);
	if (r < 0)
		return r;
	*ret_what = "route " ADDRS_SYNTH4;
	r = add_local_route(nl, ADDRS_SYNTH4, ADDRS_SYNTH4_BITS, ADDRS_HOST4);
	if (r < 0)
		return r;
	/* A host without IPv6 has a sandbox without IPv6. */
	if (add_address(nl, ADDRS_HOST6) == 0)
		(void)add_local_route(nl, ADDRS_SYNTH6, ADDRS_SYNTH6_BITS, ADDRS_HOST6);
	reuse_ports();
	return 0;
}

static int bind_all(int fds[N_SOCKETS], bool has_resolv_conf)
{
	/* Where none is named, resolvers look there. */
	const char *second = has_resolv_conf ? ADDRS_HOST6 : "127.0.0.1";
	const struct {
		const char *addr;
		int type;
		uint16_t port;
		int backlog;
	} wanted[N_BOUND] = {
		{ ADDRS_HOST4, SOCK_STREAM, ADDRS_PROXY_PORT, PROXY_BACKLOG },
		{ ADDRS_HOST6, SOCK_STREAM, ADDRS_PROXY_PORT, PROXY_BACKLOG },
		{ ADDRS_HOST4, SOCK_DGRAM, ADDRS_DNS_PORT, 0 },
		{ second, SOCK_DGRAM, ADDRS_DNS_PORT, 0 },
		{ ADDRS_HOST4, SOCK_STREAM, ADDRS_DNS_PORT, DNS_BACKLOG },
		{ second, SOCK_STREAM, ADDRS_DNS_PORT, DNS_BACKLOG },
	};

	for (size_t i = 0; i < N_BOUND; i++) {
		fds[i] = bound_socket(wanted[i].addr, wanted[i].type, wanted[i].port,
			wanted[i].backlog);
		/* IPv6 (the odd ones) may be missing, IPv4 may not. */
		if (fds[i] < 0 && i % 2 == 0)
			return fds[i];
	}
	fds[N_BOUND] = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	return 0;
}

static _Noreturn void child(int netns_fd, bool has_resolv_conf, int sock)
{
	int fds[N_SOCKETS] = { -1, -1, -1, -1, -1, -1, -1 };
	auto_msg_out struct msg_out m;
	const char *what = "joining the network namespace";
	uint32_t present = 0;
	int r = join(netns_fd);

	if (r == 0)
		r = configure(&what);
	if (r == 0) {
		what = "binding the proxy's sockets";
		r = bind_all(fds, has_resolv_conf);
	}
	msg_out_init(&m, r < 0 ? NETNS_FAILED : NETNS_DONE, 0);
	for (uint32_t i = 0; i < N_SOCKETS && r == 0; i++)
		present |= fds[i] >= 0 ? 1u << i : 0;
	msg_put_u32(&m, r < 0 ? (uint32_t)-r : present);
	msg_put_str(&m, what);
	for (uint32_t i = 0; i < N_SOCKETS; i++)
		if (present & 1u << i)
			msg_put_fd(&m, fds[i]);
	_exit(msg_send(sock, &m) < 0);
}

static int take_answer(int sock, struct netns_sockets *ret, struct err *err)
{
	auto_msg_in struct msg_in m = { 0 };
	int fds[N_SOCKETS] = { -1, -1, -1, -1, -1, -1, -1 };
	const char *what;
	uint32_t v;
	int r = msg_recv(sock, &m);

	if (r <= 0)
		return err_set(err, r < 0 ? r : -EPIPE, "network set-up ended without an answer");
	v = msg_get_u32(&m);
	what = msg_get_str(&m);
	if (m.type != NETNS_DONE)
		return err_set(err, -(int)v, "network of the sandbox: %s: %s", what ? what : "",
			err_name((int)v));
	for (uint32_t i = 0; i < N_SOCKETS; i++)
		if (v & 1u << i)
			fds[i] = msg_get_fd(&m);
	*ret = (struct netns_sockets){ fds[0], fds[1], fds[2], fds[3], fds[4], fds[5],
		fds[6] };
	return 0;
}

int netns_setup(int netns_fd, bool has_resolv_conf, struct netns_sockets *ret, struct err *err)
{
	auto_close int here = -1, there = -1;
	int sv[2], r;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return err_set(err, -errno, "socketpair: %s", err_name(errno));
	here = sv[0];
	there = sv[1];
	pid = fork();
	if (pid < 0)
		return err_set(err, -errno, "fork: %s", err_name(errno));
	if (pid == 0)
		child(netns_fd, has_resolv_conf, there);
	(void)close(take_fd(there));
	r = take_answer(here, ret, err);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return r;
}

void netns_sockets_close(struct netns_sockets *s)
{
	int *fds[N_SOCKETS] = { &s->proxy4, &s->proxy6, &s->dns4, &s->dns6, &s->dns4_tcp,
		&s->dns6_tcp, &s->diag };

	for (size_t i = 0; i < N_SOCKETS; i++) {
		cleanup_close(fds[i]);
		*fds[i] = -1;
	}
}
