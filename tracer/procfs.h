/*
 * Parsers for the text of /proc. Pure: bytes in, numbers out (proc(5)).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The parent's pid from the text of /proc/PID/stat; -EINVAL when malformed. The name in it may
 * hold anything, parentheses and newlines too. */
int procfs_stat_ppid(const char *text, pid_t *ret);
/* State letter and processor time (user and system, in clock ticks) from the same text. */
int procfs_stat_run(const char *text, char *ret_state, uint64_t *ret_ticks);
/* The number in the field @name of /proc/PID/status; of several numbers (NSpid) the last. */
int procfs_status_number(const char *text, const char *name, pid_t *ret);

/* Whether /proc/TID/status tells of a signal that waits and is neither blocked nor ignored: 1, 0;
 * -EINVAL when malformed. */
int procfs_status_has_signal(const char *text);

/* The same, read from @procdir (an open /proc/PID): 0, -ESRCH when the process is gone, -errno. */
int procfs_ppid(int procdir, pid_t *ret);
/* Of the process, as numbered here; and as its own pid namespace numbers it. */
int procfs_tgid(int procdir, pid_t *ret);
int procfs_ns_pid(int procdir, pid_t *ret);
int procfs_has_signal(int procdir);
/* NULs become blanks; cut to @size. Information only: the process chooses it. */
int procfs_cmdline(int procdir, char *out, size_t size);
