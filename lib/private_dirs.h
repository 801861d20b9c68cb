/*
 * The directories that a sandbox has of its own, whatever the host has there (design.md, section 5): what is
 * mounted (tracer/mounts.c), and what cannot be a working directory (launcher/paths.c).
 */
#pragma once

/* X(path, the end of a name in enum mount_kind) */
#define PRIVATE_DIRS(X)      \
	X("/dev", DEV)       \
	X("/proc", PROC)     \
	X("/run", TMPFS)     \
	X("/tmp", TMPFS)     \
	X("/var/log", TMPFS) \
	X("/var/tmp", TMPFS)
