/*
 * The seccomp listener as a source of calls: seccomp_unotify(2).
 */
#pragma once

#include "lib/err.h"

struct call_source;

/* @fd is owned from now on. NULL with text on failure. */
struct call_source *listener_open(int fd, struct err *err);
