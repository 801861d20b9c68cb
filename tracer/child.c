#include "tracer/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/instrument.h"
#include "lib/self.h"
#include "lib/str.h"

void child_program(char *out, size_t size, const char *name)
{
	const char *dir = getenv("OPENSHELL_LIBEXEC");

	if (dir && str_format(out, size, "%s/%s", dir, name))
		return;
	if (self_path(out, size, name) == 0 && access(out, X_OK) == 0)
		return;
	(void)str_format(out, size, LIBEXECDIR "/%s", name);
}

/* Nobody listens to a child. Of a build with a sanitizer the tests do: what confines itself could open no file
 * for a report. */
static const char *stderr_of_child(void)
{
	const char *log = IS_SANITIZED ? getenv(INSTRUMENT_LOG) : NULL;

	return log ? log : "/dev/null";
}

static int set_up_fds(posix_spawn_file_actions_t *fa, const struct child_fd *fds, size_t n_fds)
{
	int r = 0;

	for (int i = 0; i < 2 && r == 0; i++)
		r = posix_spawn_file_actions_addopen(fa, i, "/dev/null", O_RDWR, 0);
	if (r == 0)
		r = posix_spawn_file_actions_addopen(fa, STDERR_FILENO, stderr_of_child(), O_WRONLY | O_APPEND, 0);
	/* dup2 of a descriptor onto itself clears CLOEXEC (glibc 2.29): what is meant here. */
	for (size_t i = 0; i < n_fds && r == 0; i++)
		r = posix_spawn_file_actions_adddup2(fa, fds[i].fd, fds[i].target);
	return -r;
}

static int set_up_signals(posix_spawnattr_t *attr)
{
	sigset_t none, ignored;
	int r;

	/* What is handled becomes default by exec(2); what we ignore would stay ignored. */
	(void)sigemptyset(&none);
	(void)sigemptyset(&ignored);
	(void)sigaddset(&ignored, SIGPIPE);
	(void)sigaddset(&ignored, SIGHUP);
	(void)sigaddset(&ignored, SIGXFSZ);
	r = posix_spawnattr_setsigmask(attr, &none);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(attr, &ignored);
	if (r == 0)
		r = posix_spawnattr_setflags(attr,
			POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	return -r;
}

/*
 * What ends a child again has to work before there is one: a filter around us may lack it. (A bwrap
 * that is killed as it starts may leave its own child waiting for it.)
 */
static int can_end_children(struct err *err)
{
	auto_close int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	if (pidfd < 0)
		return err_set(err, -errno, "pidfd_open: %s", err_name(errno));
	if (syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) < 0)
		return err_set(err, -errno, "pidfd_send_signal: %s", err_name(errno));
	return 0;
}

pid_t child_start(const char *path, char *const *argv, const struct child_fd *fds, size_t n_fds,
	int *ret_pidfd, struct err *err)
{
	char *env[] = { (char *)"PATH=/usr/local/bin:/usr/bin:/bin", NULL, NULL };
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	pid_t pid = 0;
	int r = can_end_children(err), pidfd;

	if (r < 0)
		return r;
	(void)posix_spawn_file_actions_init(&fa);
	(void)posix_spawnattr_init(&attr);
	r = set_up_fds(&fa, fds, n_fds);
	if (r == 0)
		r = set_up_signals(&attr);
	if (r == 0)
		r = -posix_spawnp(&pid, path, &fa, &attr, argv, env);
	(void)posix_spawn_file_actions_destroy(&fa);
	(void)posix_spawnattr_destroy(&attr);
	if (r < 0)
		return err_set(err, r, "starting %s: %s", path, err_name(r));
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return err_set(err, -errno, "pidfd_open: %s", err_name(errno));
	*ret_pidfd = pidfd;
	return pid;
}
