#include "tracer/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/kernel.h"

static const uint64_t access_read = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE |
				    LANDLOCK_ACCESS_FS_READ_DIR;
static const uint64_t access_file = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE |
				    LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE |
				    LANDLOCK_ACCESS_FS_IOCTL_DEV;

/* Every file system right that Landlock ABI @abi knows. */
static uint64_t access_known(int abi)
{
	uint64_t all = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;

	if (abi >= 2)
		all |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		all |= LANDLOCK_ACCESS_FS_TRUNCATE;
	if (abi >= 5)
		all |= LANDLOCK_ACCESS_FS_IOCTL_DEV;
	return all;
}

static int ruleset_new(int abi, uint64_t handled)
{
	struct kernel_landlock_attr attr = { .handled_access_fs = handled };
	size_t size = offsetof(struct kernel_landlock_attr, handled_access_net);

	if (abi >= 6) {
		attr.scoped = LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET_ | LANDLOCK_SCOPE_SIGNAL_;
		size = sizeof(attr);
	}
	return (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
}

/* A path that is not there was not mounted either: nothing to allow. */
static int ruleset_allow(int ruleset, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = access };
	auto_close int fd = -1;
	struct stat st;

	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		rule.allowed_access &= access_file;
	rule.parent_fd = fd;
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return -errno;
	return 0;
}

static int ruleset_allow_all(int ruleset, char **paths, uint64_t access)
{
	int r = 0;

	for (; *paths && r == 0; paths++)
		r = ruleset_allow(ruleset, *paths, access);
	return r;
}

int landlock_apply(char **ro, char **rw)
{
	int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0,
		LANDLOCK_CREATE_RULESET_VERSION);
	auto_close int ruleset = -1;
	uint64_t known;
	int r;

	if (abi < 0)
		return -errno;
	known = access_known(abi);
	ruleset = ruleset_new(abi, known);
	if (ruleset < 0)
		return -errno;
	/* Directories between the granted paths can be listed: they hold mount points only. */
	r = ruleset_allow(ruleset, "/", LANDLOCK_ACCESS_FS_READ_DIR);
	if (r == 0)
		r = ruleset_allow_all(ruleset, ro, access_read & known);
	if (r == 0)
		r = ruleset_allow_all(ruleset, rw, known);
	if (r < 0)
		return r;
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return -errno;
	return abi;
}
