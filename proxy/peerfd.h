/*
 * Every descriptor that a peer makes the proxy open.
 *
 * Should: be the only place in proxy/ that calls accept4(), socket() or pipe2(). The last numbers are kept for
 * what the supervisor sends: without them it could not tell of a new policy or log, and the proxy, which loses a
 * message whose descriptor finds no room, would end. Whoever gets one of them here is told that there is none.
 */
#pragma once

#include <sys/socket.h>

enum { PEERFD_RESERVED = 16 };

/* The numbers end at @nofile. Until this was called none is kept. */
void peerfd_set_limit(int nofile);

/* The next connection, or -errno. One that would get a kept number is reset: -EMFILE. */
int peerfd_accept(int listener, struct sockaddr_storage *ret_from, socklen_t *ret_len);

/* Closing @fd will reset its connection: a refusal, and no orderly end. */
void peerfd_end_by_reset(int fd);

/* A TCP socket, or -errno. */
int peerfd_socket(int family);

/* 0, or -errno with @pipe untouched. */
int peerfd_pipe(int pipe[2]);
