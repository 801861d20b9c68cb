/*
 * Descriptors: everything is CLOEXEC from birth, reads and writes finish or fail, and files are
 * replaced as a whole.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* All of @len bytes, EINTR retried: 0 or -errno. For blocking descriptors. */
int fd_write_all(int fd, const void *data, size_t len);

int fd_set_nonblock(int fd, bool on);
int fd_set_cloexec(int fd, bool on);

/* A sealed, read-only-by-content memfd holding @data; its offset is 0. fd or -errno. */
int fd_memfile(const char *name, const void *data, size_t len);

/* The whole of a regular file or memfd from offset 0, NUL-terminated, at most @max bytes; caller
 * frees. @ret_len may be NULL. 0, -EFBIG, -ENOMEM, -errno. */
int fd_slurp(int fd, size_t max, char **ret_data, size_t *ret_len);
/* The same by name, relative to @dirfd. */
int fd_slurp_at(int dirfd, const char *path, size_t max, char **ret_data, size_t *ret_len);

/*
 * Replaces @name in @dirfd by @data as a whole: temporary file, fsync, rename. Mode 0600. A reader
 * sees the old or the new content; after a crash one of the two is there.
 */
int fd_replace_file(int dirfd, const char *name, const void *data, size_t len);
