#include "launcher/sshconfig.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/self.h"
#include "lib/state.h"
#include "lib/str.h"

extern char **environ;

/* The path of a file in the sandbox's runtime directory. */
static int runtime_path(const char *name, const char *file, char *ret, size_t size, struct err *err)
{
	auto_close int dir = state_runtime_dir(name, err);
	char link[64], path[SSHCONFIG_PATH_MAX];
	ssize_t n;

	if (dir < 0)
		return dir;
	(void)str_format(link, sizeof(link), "/proc/self/fd/%d", dir);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return err_set(
			err, -errno, "cannot name the runtime directory: %s", err_name(errno));
	path[n] = '\0';
	if (!str_format(ret, size, "%s/%s", path, file))
		return err_set(err, -ENAMETOOLONG, "the runtime directory's path is too long");
	return 0;
}

static int run_keygen(const char *path)
{
	char *const argv[] = { (char[]){ "ssh-keygen" }, (char[]){ "-q" }, (char[]){ "-t" },
		(char[]){ "ed25519" }, (char[]){ "-N" }, (char[]){ "" }, (char[]){ "-C" },
		(char[]){ "openshell" }, (char[]){ "-f" }, (char *)(uintptr_t)path, NULL };
	int status;
	pid_t pid;
	int r = -posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);

	if (r < 0)
		return r;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

/* The sandbox's key pair, made when it is first asked for; two at once wait for each other. */
int sshconfig_key(const char *name, char *ret, size_t size, struct err *err)
{
	struct flock lk = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	auto_close int dir = -1, lock = -1;
	int r;

	r = runtime_path(name, "ssh_key", ret, size, err);
	if (r < 0)
		return r;
	dir = state_runtime_dir(name, err);
	lock = dir < 0 ? -1 : openat(dir, "ssh_lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (lock < 0 || fcntl(lock, F_OFD_SETLKW, &lk) < 0)
		return err_set(err, -EIO, "cannot lock the keys of sandbox '%s'", name);
	if (faccessat(dir, "ssh_key.pub", R_OK, 0) == 0)
		return 0;
	(void)unlinkat(dir, "ssh_key", 0);
	r = run_keygen(ret);
	if (r == -ENOENT) {
		(void)err_set(err, r, "ssh-keygen is not installed");
		return err_hint(err, r, "install the package 'openssh-client'");
	}
	return r < 0 ? err_set(err, r, "cannot make a key pair: %s", err_name(r)) : 0;
}

/* ssh_config(5): "%" starts a token, and ProxyCommand goes through a shell. */
static void print_escaped(FILE *f, const char *s, bool for_shell)
{
	for (; *s; s++) {
		if (*s == '%')
			(void)putc('%', f);
		if (for_shell && *s == '\'')
			(void)fputs("'\\'", f);
		(void)putc(*s, f);
	}
}

int sshconfig_write(FILE *f, const char *name, struct err *err)
{
	char self[SSHCONFIG_PATH_MAX], key[SSHCONFIG_PATH_MAX];
	int r = sshconfig_key(name, key, sizeof(key), err);

	if (r < 0)
		return r;
	r = self_path(self, sizeof(self), NULL);
	if (r < 0)
		return err_set(err, r, "cannot find our own program: %s", err_name(r));
	(void)fprintf(f, "Host openshell-%s openshell-%s.default\n    User sandbox\n", name, name);
	(void)fprintf(f, "    IdentityFile \"");
	print_escaped(f, key, false);
	(void)fprintf(f, "\"\n    IdentitiesOnly yes\n    IdentityAgent none\n    ForwardAgent no\n"
			 "    ForwardX11 no\n    StrictHostKeyChecking no\n"
			 "    UserKnownHostsFile /dev/null\n    GlobalKnownHostsFile /dev/null\n"
			 "    LogLevel ERROR\n    ProxyCommand '");
	print_escaped(f, self, true);
	(void)fprintf(f, "' ssh-proxy --name %s\n", name);
	return fflush(f) == 0 ? 0 : err_set(err, -EIO, "cannot write: %s", err_name(-errno));
}
