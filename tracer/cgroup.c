#include "tracer/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/str.h"

enum { FILE_MAX_ = 64 * 1024, PERIOD_US = 100000 };

/* O_CREAT is for the trees of tests: the kernel's files are there. */
static int put(const char *dir, const char *file, const char *text)
{
	char path[PATH_MAX];
	auto_close int fd = -1;

	if (!str_format(path, sizeof(path), "%s/%s", dir, file))
		return -ENAMETOOLONG;
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
}

static bool has_word(const char *dir, const char *file, const char *word)
{
	auto_free char *text = NULL;
	char path[PATH_MAX];
	char *save = NULL;

	if (!str_format(path, sizeof(path), "%s/%s", dir, file) ||
		fd_slurp_at(AT_FDCWD, path, FILE_MAX_, &text, NULL) < 0)
		return false;
	for (char *w = strtok_r(text, " \n", &save); w; w = strtok_r(NULL, " \n", &save))
		if (str_eq(w, word))
			return true;
	return false;
}

static bool hands_down(const char *dir, const char *controller)
{
	char text[32];

	if (!has_word(dir, "cgroup.controllers", controller))
		return false;
	if (has_word(dir, "cgroup.subtree_control", controller))
		return true;
	(void)str_format(text, sizeof(text), "+%s", controller);
	return put(dir, "cgroup.subtree_control", text) == 0;
}

static bool is_usable(const char *dir, uint64_t cpu_milli, uint64_t memory)
{
	char procs[PATH_MAX];

	/* Moving a process needs write access to the common ancestor's list as well. */
	return str_format(procs, sizeof(procs), "%s/cgroup.procs", dir) && access(dir, W_OK) == 0 &&
	       access(procs, W_OK) == 0 && (!cpu_milli || hands_down(dir, "cpu")) &&
	       (!memory || hands_down(dir, "memory"));
}

/* Our own cgroup in the unified hierarchy, below @root; false without one. */
static bool own_place(const char *root, const char *self, char out[PATH_MAX])
{
	auto_free char *text = NULL;
	char *save = NULL;

	if (fd_slurp_at(AT_FDCWD, self, FILE_MAX_, &text, NULL) < 0)
		return false;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (str_starts(line, "0::/"))
			return str_format(out, PATH_MAX, "%s%s", root, line + 3);
	return false;
}

static bool find_parent(const char *root, char place[PATH_MAX], uint64_t cpu_milli, uint64_t memory)
{
	size_t n = strlen(root);

	for (;;) {
		char *slash = strrchr(place, '/');

		if (!slash || (size_t)(slash - place) < n)
			return false;
		*slash = '\0';
		if (is_usable(place, cpu_milli, memory))
			return true;
	}
}

static int set_limits(const char *dir, uint64_t cpu_milli, uint64_t memory)
{
	char text[64];
	int r = 0;

	(void)str_format(text, sizeof(text), "%llu %d",
		(unsigned long long)cpu_milli * PERIOD_US / 1000, PERIOD_US);
	if (cpu_milli)
		r = put(dir, "cpu.max", text);
	(void)str_format(text, sizeof(text), "%llu", (unsigned long long)memory);
	if (r == 0 && memory)
		r = put(dir, "memory.max", text);
	/* Else the limit would only move pages to swap; not every kernel accounts for it. */
	if (r == 0 && memory)
		(void)put(dir, "memory.swap.max", "0");
	return r;
}

int cgroup_make(struct cgroup *ret, const char *root, const char *self, const char *name,
	uint64_t cpu_milli, uint64_t memory, struct err *err)
{
	char place[PATH_MAX], dir[PATH_MAX];
	int r;

	if (!own_place(root, self, place) || !find_parent(root, place, cpu_milli, memory)) {
		(void)err_set(err, -ENOTSUP,
			"--cpu and --memory need a cgroup that is delegated to you, and there is "
			"none");
		return err_hint(err, -ENOTSUP,
			"in a systemd user session: systemd-run --user --scope -p Delegate=yes "
			"openshell …");
	}
	if (!str_format(dir, sizeof(dir), "%s/openshell-%s", place, name))
		return err_set(err, -ENAMETOOLONG, "cgroup '%s': too long", place);
	/* One that a killed supervisor left is as good as new: nothing is in it. */
	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return err_set(err, -errno, "cgroup '%s': %s", dir, err_name(errno));
	r = set_limits(dir, cpu_milli, memory);
	if (r < 0) {
		(void)rmdir(dir);
		return err_set(err, r, "cgroup '%s': %s", dir, err_name(r));
	}
	(void)str_copy(ret->path, sizeof(ret->path), dir);
	return 0;
}

int cgroup_add(const struct cgroup *c, pid_t pid, struct err *err)
{
	char text[16];
	int r;

	if (!c->path[0])
		return 0;
	(void)str_format(text, sizeof(text), "%d", (int)pid);
	r = put(c->path, "cgroup.procs", text);
	return r < 0 ? err_set(err, r, "cgroup '%s': %s", c->path, err_name(r)) : 0;
}

void cgroup_remove(struct cgroup *c)
{
	if (c->path[0])
		(void)rmdir(c->path);
	c->path[0] = '\0';
}
