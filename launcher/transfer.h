/*
 * Files into and out of a running sandbox: tar on both sides of a pipe.
 *
 * What comes out of a sandbox is hostile. It is unpacked into a fresh directory, where no link of
 * the user's can lead it astray, and the one thing that was asked for is moved to its place.
 */
#pragma once

#include <stdbool.h>

#include "lib/err.h"

/*
 * Copies @local into the sandbox: a directory's content into @dest, a file to @dest, or into it
 * where that is a directory. @dest NULL: /sandbox and the name. Of a git work tree what it ignores
 * stays out, unless @is_whole. Returns the status to exit with, after an error.
 */
int transfer_upload(const char *sandbox, const char *local, const char *dest, bool is_whole);

/* Copies @path of the sandbox to @dest, or into it where that is a directory. */
int transfer_download(const char *sandbox, const char *path, const char *dest);

/* "a/b/" → "b"; "/", "." and ".." have none (NULL). The caller frees. Pure. */
char *transfer_basename(const char *path);
