/*
 * The preload library as a source of calls: the cooperative backend (preload/coop.h).
 *
 * For hosts on which a call can neither be notified of nor be traced. The library hands the
 * program's socket and a copy of the address over, so nothing has to be read from the program; who
 * asks the kernel says (SO_PEERCRED). The calls go through the same handlers as everybody's. But
 * only who wants to asks: nothing can be enforced this way, and a sandbox with a policy that is to
 * be enforced does not start.
 */
#pragma once

#include <stdint.h>

#include "lib/err.h"

struct call_source;

#define COOP_FILE "preload.sock" /* in the runtime directory */

#define COOPS_PATH  "/run/openshell/preload.sock"
#define COOPS_MAGIC 0x706f6f636c6c6873ULL

enum { COOPS_ADDR_MAX = 128, COOPS_PEERS_MAX = 1024 /* questions at a time; beyond: refused */ };

struct coops_request {
	uint64_t magic;
	uint32_t nr;
	int32_t fd;
	uint64_t record;
	uint32_t len;
	uint8_t addr[COOPS_ADDR_MAX];
};

struct coops_reply {
	int64_t value;
	uint32_t len;
	uint8_t addr[COOPS_ADDR_MAX];
};

/* A socket at COOP_FILE of the runtime directory, which the caller owns; -errno with text. */
int coop_listen(int runtime_dir, struct err *err);
/* The source; @fd is owned from now on. NULL with text on failure. */
struct call_source *coop_new(int fd, struct err *err);
