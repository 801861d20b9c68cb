/*
 * The cooperative backend: where nobody can hold a call from outside, the library asks of its own
 * accord.
 *
 * It is on where the sandbox has a socket at COOP_PATH. A connection is asked for there, by handing
 * the program's own socket over, and is made on that socket by the supervisor. One question, one
 * connection to COOP_PATH: nothing is kept between two calls. A program that does not ask has the
 * sandbox's network namespace, which leads nowhere.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The same in tracer/coop.h; tests/unit/test_coop.c compares them. */
#define COOP_PATH  "/run/openshell/preload.sock"
#define COOP_MAGIC 0x706f6f636c6c6873ULL

enum { COOP_ADDR_MAX = 128 };

struct coop_request {
	uint64_t magic;
	uint32_t nr; /* of the system call: connect or getpeername */
	int32_t fd;
	uint64_t record; /* address of a struct stack_record */
	uint32_t len;	 /* of the address, as the program gave it */
	uint8_t addr[COOP_ADDR_MAX];
};

struct coop_reply {
	int64_t value; /* the call's result; an error as -errno */
	uint32_t len;
	uint8_t addr[COOP_ADDR_MAX];
};

/* Whether to ask about descriptor @fd: the backend is on, and it is an Internet socket. */
bool coop_covers(int fd);
/* connect() as the supervisor makes it: 0 or -errno. */
long coop_connect(int fd, const void *addr, uint32_t len);
/* The address that was asked for, cut to @room, and its real length: 0 or -errno. */
long coop_getpeername(int fd, void *addr, uint32_t *len);
