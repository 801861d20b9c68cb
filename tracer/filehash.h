/*
 * SHA-256 of executables, off the event loop.
 *
 * A binary can be hundreds of megabytes; hashing it must not delay anybody else's connect. One
 * worker thread hashes, the loop is woken through an eventfd. The hash is nettle's: libcrypto would
 * cost every supervisor a millisecond to load and half a megabyte to keep.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/loop.h"

enum { FILEHASH_HEX = 64 };

struct filehash;

/* @error 0 and 64 hex digits, or -errno. */
typedef void filehash_fn(void *arg, int error, const char *hex);

/* NULL when out of memory or descriptors. */
struct filehash *filehash_new(struct loop *loop);
void filehash_free(struct filehash *f);

/* Queues @fd (owned from now on) for hashing; @done is called from the loop. 0 or -errno. */
int filehash_start(struct filehash *f, int fd, filehash_fn *done, void *arg);

/* A short text, here and now: @ret_hex holds FILEHASH_HEX + 1 bytes. */
void filehash_bytes(const void *data, size_t len, char *ret_hex);
