/*
 * One socket call of the workload: the caller, a duplicate of its socket, and what the socket is.
 * Shared by the handlers (connect.c, send.c, unixsock.c).
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "lib/event.h"
#include "tracer/notify.h"

struct netaddr;
struct sandbox;

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262 /* 5.6 */
#endif

struct sockcall {
	pid_t tid;
	struct call *call; /* NULL: its stack is of no interest */
	struct notifier *notifier;
	int sock; /* a duplicate of argument 0; owned */
	int domain, type, protocol; /* of the duplicate, not of what the number means by now */
	uint16_t port;	 /* IPv4 and IPv6: bound to; 0: the socket is fresh */
	bool is_foreign; /* of another network namespace; must not get anywhere new */
};

struct answer answer_error(int r);
struct answer answer_value(int64_t v);
/* Ask again in a moment; @late is what the caller is told when its SO_SNDTIMEO is over. */
struct answer answer_retry(const struct sockcall *sc, int late);

/*
 * Tells network namespaces apart: SO_NETNS_COOKIE (5.14), before that the namespace's inode
 * (SIOCGSKNS, 4.10), which the kernel shows of the sandbox's namespace and of no host's. -errno.
 */
int sockcall_netns_id(int sock, uint64_t *ret);
/*
 * Duplicates and looks; the notification was valid afterwards. -EBADF, -ENOTSOCK, -ESRCH, -EPERM, -EOPNOTSUPP
 * (owner_getfd): then @ret holds no socket, and sockcall_try() has left the line in the log to its caller.
 */
int sockcall_try(struct sandbox *s, struct notifier *n, struct call *c, struct sockcall *ret);
int sockcall_open(struct sandbox *s, struct notifier *n, struct call *c, struct sockcall *ret);
void sockcall_done(struct sockcall *sc);
/* The port it is bound to by now, 0: none; and the address with it. */
uint16_t sockcall_port(const struct sockcall *sc);
uint16_t sockcall_source(const struct sockcall *sc, struct netaddr *ret);
/* A copy of the address argument: -EINVAL, -EFAULT, -ESRCH. */
int sockcall_read_addr(const struct sockcall *sc, uint64_t addr, uint64_t len,
	struct sockaddr_storage *ret, socklen_t *ret_len);
bool sockcall_is_nonblocking(const struct sockcall *sc);
/* SO_SNDTIMEO; 0: none. */
uint32_t sockcall_send_timeout_ms(const struct sockcall *sc);
/* connect(2) that never waits, whatever the socket's mode: 0 or -errno. */
int sockcall_connect(const struct sockcall *sc, const struct sockaddr *sa, socklen_t len);
/* 127/8, ::1, 0.0.0.0, ::. */
bool sockcall_is_loopback(const struct netaddr *a);
/* Another address of the sandbox itself. */
bool sockcall_is_own(const struct netaddr *a);
/* One of the two. */
bool sockcall_is_inside(const struct netaddr *a);
/* Logs a refusal once per destination and program. With --stacks a call may be judged twice for that: it
 * says so in call->wants_stack, nothing is logged, and the refusal is to come to nothing but an answer. */
void sockcall_log_refused(struct sandbox *s, const struct sockcall *sc, enum event_adapter adapter,
	const char *protocol, const char *host, uint16_t port, const char *reason);

/* Logs, when @r says that a descriptor of the caller cannot be had, that its call was refused for that. */
void sockcall_log_unreachable(struct sandbox *s, const struct sockcall *sc, int r);

/* Logs, when @r says that descriptors or memory ran out here, that a call of @tid was refused for that. @host:
 * NULL when it is not known yet. */
void sockcall_log_shortage(struct sandbox *s, pid_t tid, int r, const char *host, uint16_t port);

/* unixsock.c */
struct answer unixsock_connect(struct sandbox *s, struct notifier *n, const struct sockcall *sc,
	struct call *c, const struct sockaddr_storage *ss, socklen_t len);
/*
 * The address under which the supervisor itself reaches what @ss names in the caller's view, when
 * the caller may reach it: 0, with @ret_fd (owned; -1 for an abstract name) keeping it alive;
 * -EACCES when it may not (logged), -ENOENT, -ECONNREFUSED …
 */
int unixsock_resolve(struct sandbox *s, struct notifier *n, const struct sockcall *sc,
	struct call *c, const struct sockaddr_storage *ss, socklen_t len,
	struct sockaddr_storage *ret, socklen_t *ret_len, int *ret_fd);
