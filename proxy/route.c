/*
 * RTM_GETROUTE (rtnetlink(7)) answers with the route that a packet would take; the type of that
 * route says whose the address is. The kernel answers within send(2): nothing is waited for. No
 * packet leaves. bind(2) would not do: with net.ipv4.ip_nonlocal_bind it succeeds for everybody.
 */
#include "proxy/route.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_MAX = 4096 };

struct question {
	struct nlmsghdr head;
	struct rtmsg route;
	struct rtattr attr;
	uint8_t addr[16];
};

static int route_fd = -1;
static uint32_t sequence;

int route_begin(void)
{
	route_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	return route_fd < 0 ? -errno : 0;
}

static int ask(const struct netaddr *a)
{
	size_t size = a->family == AF_INET ? 4 : 16;
	struct question q = { .head = { .nlmsg_type = RTM_GETROUTE,
				      .nlmsg_flags = NLM_F_REQUEST,
				      .nlmsg_seq = ++sequence },
		.route = { .rtm_family = (uint8_t)a->family, .rtm_dst_len = (uint8_t)(8 * size) },
		.attr = { .rta_type = RTA_DST, .rta_len = (uint16_t)RTA_LENGTH(size) } };

	q.head.nlmsg_len = (uint32_t)(NLMSG_LENGTH(sizeof(q.route)) + RTA_LENGTH(size));
	memcpy(q.addr, a->bytes, size);
	return send(route_fd, &q, q.head.nlmsg_len, 0) == (ssize_t)q.head.nlmsg_len ? 0 : -EIO;
}

/* The type of the route (RTN_…), -errno when there is none. */
static int answer(void)
{
	union {
		struct nlmsghdr head;
		char bytes[ANSWER_MAX];
	} got;
	const struct rtmsg *route = NLMSG_DATA(&got.head);
	const struct nlmsgerr *error = NLMSG_DATA(&got.head);
	ssize_t n;

	do
		n = recv(route_fd, &got, sizeof(got), 0);
	while (n >= (ssize_t)sizeof(got.head) && got.head.nlmsg_seq != sequence);
	if (n >= (ssize_t)NLMSG_LENGTH(sizeof(*route)) && got.head.nlmsg_type == RTM_NEWROUTE)
		return route->rtm_type;
	if (n >= (ssize_t)NLMSG_LENGTH(sizeof(*error)) && got.head.nlmsg_type == NLMSG_ERROR &&
		error->error < 0)
		return error->error;
	return -EIO;
}

bool route_is_own(const struct netaddr *a)
{
	int type = ask(a);

	if (type == 0)
		type = answer();
	/* Nowhere to go: the dial will say so. */
	if (type == -ENETUNREACH || type == -EHOSTUNREACH || type == -EACCES || type == -EINVAL)
		return false;
	return type != RTN_UNICAST && type != RTN_UNREACHABLE && type != RTN_BLACKHOLE &&
	       type != RTN_PROHIBIT && type != RTN_THROW;
}
