/*
 * CMSG_NXTHDR and NLMSG_NEXT are not for this. That of glibc before 2.36.1 passes over a last control message
 * whose padding is not there, and the kernel takes it: numbers of descriptors in it would be ours. NLMSG_NEXT
 * takes the padding off a length that it may not be in.
 */
#include "tracer/sendparse.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>

int sendparse_control(char *control, size_t len, size_t *at, struct cmsghdr **ret)
{
	struct cmsghdr *cm = (struct cmsghdr *)(control + *at);

	if (*at > len || len - *at < sizeof(*cm))
		return 0;
	if (cm->cmsg_len < sizeof(*cm) || cm->cmsg_len > len - *at)
		return -EINVAL;
	*at += CMSG_ALIGN(cm->cmsg_len);
	*ret = cm;
	return 1;
}

/* The types of rtnetlink come in fours: NEW, DEL, GET, SET. */
static bool is_get(unsigned int type)
{
	return type < RTM_BASE || (type - RTM_BASE) % 4 == 2;
}

bool sendparse_is_question(const void *data, size_t len)
{
	const char *p = data;
	bool is_any = false;

	while (len >= sizeof(struct nlmsghdr)) {
		struct nlmsghdr h;
		size_t step;

		memcpy(&h, p, sizeof(h));
		if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > len)
			break;
		if (!is_get(h.nlmsg_type))
			return false;
		is_any = true;
		step = NLMSG_ALIGN((size_t)h.nlmsg_len);
		if (step >= len)
			break;
		p += step;
		len -= step;
	}
	return is_any;
}
