/*
 * Connecting to one of several addresses: happy eyeballs (RFC 8305).
 *
 * The addresses were checked by the caller; exactly those are dialled. Families alternate, each
 * next address is tried DIAL_STAGGER_MS after the one before or as soon as that has failed, the
 * first that connects wins.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/loop.h"
#include "lib/netaddr.h"

struct dial;

/* @fd: connected, non-blocking, the receiver's from now on; or -errno. Never called from within
 * dial_start(). After it the dial no longer exists. */
typedef void dial_fn(void *arg, int fd, const struct netaddr *addr);

/* -EBUSY: too many connects in flight; -ENOMEM; -errno when no address could even be tried. */
int dial_start(struct loop *loop, const struct netaddr *addrs, size_t n, uint16_t port, dial_fn *fn,
	void *arg, struct dial **ret);
/* Gives up without a call. NULL is fine. */
void dial_cancel(struct dial *d);
