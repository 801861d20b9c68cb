/*
 * Framed messages between our own processes, over SOCK_SEQPACKET.
 *
 * A message is {type, request id, body, descriptors}. Bodies are written and read with a cursor;
 * errors are sticky, so a caller puts or gets everything and checks once. A reader must end
 * exactly at the end of the body (msg_in_done()), anything else is a protocol error and the
 * connection is closed. A body above MSG_INLINE_MAX travels in a sealed memfd, because a
 * seqpacket must fit the socket's send buffer.
 *
 * Numbers are in host order: both ends are on one machine and of one build (PROTO_VERSION).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/buf.h"

enum {
	MSG_FDS_MAX = 8,
	MSG_INLINE_MAX = 32 * 1024,
	MSG_PLAIN_MAX = 1024,
	MSG_BODY_MAX = 16 * 1024 * 1024,
	MSG_STRV_MAX = 256 * 1024, /* strings in one vector: more than execve(2) has room for */
};

struct msg_out {
	uint16_t type;
	uint32_t id;
	struct buf body;
	int fds[MSG_FDS_MAX]; /* borrowed: the caller keeps and closes them */
	unsigned int n_fds;
	int error; /* first failure while writing, -errno */
};

struct msg_in {
	uint16_t type;
	uint32_t id;
	char *body; /* owned */
	size_t len, at;
	int fds[MSG_FDS_MAX]; /* owned until msg_get_fd() takes one */
	unsigned int n_fds, next_fd;
	pid_t sender;  /* with SO_PASSCRED: the sender's pid as seen here; else 0 */
	bool is_bad;   /* a get went past the end or found nonsense */
};

/* A local starts as { 0 } where anything may return before msg_out_init(). */
#define auto_msg_out __attribute__((cleanup(msg_out_done)))
#define auto_msg_in  __attribute__((cleanup(msg_in_done_)))

void msg_out_init(struct msg_out *m, uint16_t type, uint32_t id);
void msg_out_done(struct msg_out *m);
/* The same for one that holds secrets: nothing of it stays in memory. */
void msg_out_wipe(struct msg_out *m);
void msg_put_u32(struct msg_out *m, uint32_t v);
void msg_put_u64(struct msg_out *m, uint64_t v);
void msg_put_bytes(struct msg_out *m, const void *data, size_t len);
/* NULL is told apart from "". */
void msg_put_str(struct msg_out *m, const char *s);
/* A NULL-terminated vector; NULL counts as empty. */
void msg_put_strv(struct msg_out *m, char *const *v);
void msg_put_fd(struct msg_out *m, int fd);

/* Sends as one packet: 0; -EAGAIN when a non-blocking socket is full; else -errno. */
int msg_send(int sock, const struct msg_out *m);
/* The same with send(2) alone, for a sender whose sendmsg(2) is intercepted: a short message (up to
 * MSG_PLAIN_MAX bytes) without descriptors; -EMSGSIZE for another. */
int msg_send_plain(int sock, const struct msg_out *m);
/* type, id, nothing else. */
int msg_send_empty(int sock, uint16_t type, uint32_t id);

/* One packet: 1; 0 when the peer is gone; -EAGAIN; -EPROTO for a malformed one; -errno. */
int msg_recv(int sock, struct msg_in *ret);
/* Releases body and the descriptors nobody took. */
void msg_in_free(struct msg_in *m);
void msg_in_done_(struct msg_in *m);

uint32_t msg_get_u32(struct msg_in *m);
uint64_t msg_get_u64(struct msg_in *m);
/* Point into the body: valid until msg_in_free(). NULL for an absent string or when bad. */
const char *msg_get_str(struct msg_in *m);
const void *msg_get_bytes(struct msg_in *m, size_t *ret_len);
/* A vector of pointers into the body, NULL-terminated; the caller frees the vector alone. */
char **msg_get_strv(struct msg_in *m);
/* The next descriptor, now the caller's; -1 (and bad) when there is none. */
int msg_get_fd(struct msg_in *m);
/* True when every get succeeded and the body is used up. */
bool msg_in_done(const struct msg_in *m);
