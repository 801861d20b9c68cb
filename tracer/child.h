/*
 * Starting our helper programs with exactly the descriptors they are meant to have.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "lib/err.h"

struct child_fd {
	int fd;	    /* ours */
	int target; /* its number there */
};

/* The path of a program of ours: beside this one, or in the libexec directory. */
void child_program(char *out, size_t size, const char *name);

/*
 * Starts @path with @argv and an empty environment (but PATH), standard descriptors on /dev/null
 * except those in @fds. The child's pid, or -errno with text; @ret_pidfd is the caller's.
 */
pid_t child_start(const char *path, char *const *argv, const struct child_fd *fds, size_t n_fds,
	int *ret_pidfd, struct err *err);
