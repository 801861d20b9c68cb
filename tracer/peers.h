/*
 * Which address a socket asked for: what getpeername() is to answer.
 *
 * The supervisor connected the socket to the proxy; the program must not notice. A connection is
 * found by its source port, and the socket's cookie (unique for the life of a socket) tells
 * whether the entry is still about it. Bounded by the number of ports.
 */
#pragma once

#include <stdint.h>
#include <sys/socket.h>

struct peers;

struct peers *peers_new(void);
void peers_free(struct peers *p);

/* Remembers what @sock, connected from @port, asked for. 0 or -ENOMEM. */
int peers_set(struct peers *p, int sock, uint16_t port, const struct sockaddr *asked, socklen_t len);
/* The address @sock asked for and its length; 0 when it is not one of ours. */
socklen_t peers_get(struct peers *p, int sock, struct sockaddr_storage *ret);
