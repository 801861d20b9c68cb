/*
 * Whether a datagram socket of AF_UNIX may exist in the sandbox.
 *
 * Such a socket is the only one whose sendmsg() can leave the network namespace: the path in
 * msg_name may lead to a host program's socket in a granted tree. Its creation is notified, and all
 * arguments of socket(2) are numbers; so as long as none was created, every sendmsg() of the
 * sandbox can be let go on, unseen. From the first one on every sendmsg() is carried out by us
 * (send.c), for a look at the descriptor or the address would be outdated when the call goes on.
 *
 * Between the two lies a moment: a task that was let go on may not have fetched its socket yet when
 * the first datagram socket is put at that number. So the first creation waits until every task that
 * was let go on has made another notified call, or has been seen in an interruptible sleep (there is
 * none before the socket is fetched) or in another system call, or is gone, or has used far more
 * processor time since than the way from the answer to the socket can cost.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct dgramgate;

enum {
	DGRAMGATE_TICKS = 5, /* of processor time (USER_HZ): 50 ms, for a path of a microsecond */
};

struct dgramgate *dgramgate_new(void);
void dgramgate_free(struct dgramgate *g);

/* Whether a datagram socket exists, or one is being asked for. */
bool dgramgate_is_open(const struct dgramgate *g);
/* @tid is being let go on with a sendmsg(). False: it may not be (out of range). */
bool dgramgate_passed(struct dgramgate *g, pid_t tid);
/* @tid makes a new call: what it was let go on with is over. */
void dgramgate_returned(struct dgramgate *g, pid_t tid);
/* Before a datagram socket is created: 0, or -EAGAIN: ask again in a moment. */
int dgramgate_open(struct dgramgate *g);
