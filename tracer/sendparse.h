/*
 * What stands beside a message, and messages to netlink: walked as the kernel does it. What it would take
 * for one more record we have looked at, too, and what it would refuse is refused.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* The control message at @at, which moves behind it: 1; 0 when there is none left; -EINVAL. */
int sendparse_control(char *control, size_t len, size_t *at, struct cmsghdr **ret);

/* Whether @data asks of rtnetlink, and changes nothing. */
bool sendparse_is_question(const void *data, size_t len);
