/*
 * Landlock: the second wall behind the mounts. What they say of files it says again, and of what they cannot
 * refuse as well: a pipe or a device of the host in a read-only directory is not written, either.
 */
#pragma once

/* Confines the calling process to read @ro and to do everything below @rw: the ABI that does now, or -errno. */
int landlock_apply(char **ro, char **rw);
