/*
 * sandbox ssh-config and ssh-proxy: ssh, scp, sftp, rsync, git and editors reach a sandbox.
 *
 * The server is the host's own sshd, started inside for each connection on the descriptors of
 * ssh-proxy. It needs no privilege there. Who may use it is decided by the control socket, as for
 * every other command; the key pair exists because ssh wants one. It lives in the runtime
 * directory, belongs to one sandbox, and IdentitiesOnly keeps it from being offered elsewhere, and
 * other keys from being offered here.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/cmd.h"
#include "launcher/ctl.h"
#include "launcher/out.h"
#include "launcher/sandbox.h"
#include "launcher/session.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/proto.h"
#include "lib/self.h"
#include "lib/state.h"
#include "lib/str.h"

extern char **environ;

enum { SSH_PATH_MAX = 4096, PUBLIC_KEY_MAX = 4096 };

struct proxy_options {
	const char *name;
};

const struct cli_option cmd_ssh_proxy_options[] = {
	{ CLI_STR, "name", 0, offsetof(struct proxy_options, name), 0, "NAME", "The sandbox" },
	{ CLI_IGNORED, "gateway-name", 0, 0, 0, "NAME", "Accepted for scripts" },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

/*
 * Inside; $1 is the public key. The environment of the sandbox goes along with SetEnv, for sshd
 * gives its sessions a bare one. Of several SetEnv lines only the first counts: it is one line.
 */
static const char serve[] =
	"umask 077\n"
	"sshd=$(command -v sshd || command -v /usr/sbin/sshd) || {\n"
	"	echo 'openshell: there is no SSH server in the sandbox' >&2\n"
	"	echo 'hint: install openssh-server on the host; it need not run there' >&2\n"
	"	exit 127\n"
	"}\n"
	"d=$(mktemp -d /tmp/.openshell-ssh.XXXXXX) || exit\n"
	"trap 'trap \"\" HUP INT TERM; rm -rf \"$d\"' EXIT\n"
	"trap 'exit 1' HUP INT TERM\n"
	"ssh-keygen -q -t ed25519 -N '' -f \"$d/host\" || exit\n"
	"printf '%s\\n' \"$1\" >\"$d/authorized\"\n"
	"cat >\"$d/config\" <<EOF\n"
	"HostKey $d/host\n"
	"AuthorizedKeysFile $d/authorized\n"
	"AuthenticationMethods publickey\n"
	"UsePAM no\n"
	"StrictModes no\n"
	"PidFile none\n"
	"PrintMotd no\n"
	"PrintLastLog no\n"
	"UseDNS no\n"
	"X11Forwarding no\n"
	"LogLevel ERROR\n"
	"AcceptEnv LANG LC_* COLORTERM\n"
	"Subsystem sftp internal-sftp\n"
	"EOF\n"
	"{\n"
	"	printf SetEnv\n"
	"	for key in $(env | sed -n 's/^\\([A-Za-z_][A-Za-z0-9_]*\\)=.*/\\1/p'); do\n"
	"		case $key in HOME|USER|LOGNAME|SHELL|PWD|OLDPWD|SHLVL|TERM|_) continue ;; "
	"esac\n"
	"		eval \"value=\\$$key\"\n"
	"		printf ' \"%s=%s\"' \"$key\" \"$(printf %s \"$value\" | sed "
	"'s/[\"\\\\]/\\\\&/g')\"\n"
	"	done\n"
	"	echo\n"
	"} >>\"$d/config\"\n"
	"\"$sshd\" -i -e -f \"$d/config\"\n";

/* The path of a file in the sandbox's runtime directory. */
static int runtime_path(const char *name, const char *file, char *ret, size_t size, struct err *err)
{
	auto_close int dir = state_runtime_dir(name, err);
	char link[64], path[SSH_PATH_MAX];
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
static int key_path(const char *name, char *ret, size_t size, struct err *err)
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

/* --- ssh-config --- */

/* ssh_config(5): "%" starts a token, and ProxyCommand goes through a shell. */
static void print_escaped(const char *s, bool for_shell)
{
	for (; *s; s++) {
		if (*s == '%')
			(void)putchar('%');
		if (for_shell && *s == '\'')
			(void)fputs("'\\'", stdout);
		(void)putchar(*s);
	}
}

static int print_config(const char *name, const char *key)
{
	char self[SSH_PATH_MAX];
	int r = self_path(self, sizeof(self), NULL);

	if (r < 0)
		return out_error(CLI_FAILED, "cannot find our own program: %s", err_name(r));
	(void)printf("Host openshell-%s openshell-%s.default\n    User sandbox\n", name, name);
	(void)printf("    IdentityFile \"");
	print_escaped(key, false);
	(void)printf("\"\n    IdentitiesOnly yes\n    IdentityAgent none\n    ForwardAgent no\n"
		     "    ForwardX11 no\n    StrictHostKeyChecking no\n"
		     "    UserKnownHostsFile /dev/null\n    GlobalKnownHostsFile /dev/null\n"
		     "    LogLevel ERROR\n    ProxyCommand '");
	print_escaped(self, true);
	(void)printf("' ssh-proxy --name %s\n", name);
	return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}

int cmd_ssh_config(const struct cli_command *cmd, int argc, char **argv)
{
	char name[STATE_NAME_MAX + 1], key[SSH_PATH_MAX];
	auto_close int sock = -1;
	struct err err = { 0 };
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, NULL, &a);

	if (r < 0)
		r = sandbox_reach(a.pos[0], name, &sock);
	if (r >= 0)
		return r;
	if (key_path(name, key, sizeof(key), &err) < 0)
		return out_fail(CLI_FAILED, &err);
	return print_config(name, key);
}

/* --- ssh-proxy --- */

static int load_public_key(const char *name, char **ret, struct err *err)
{
	auto_close int dir = -1;
	char path[SSH_PATH_MAX];
	int r;

	r = key_path(name, path, sizeof(path), err);
	if (r < 0)
		return r;
	dir = state_runtime_dir(name, err);
	r = dir < 0 ? dir : fd_slurp_at(dir, "ssh_key.pub", PUBLIC_KEY_MAX, ret, NULL);
	if (r < 0)
		return err_set(
			err, r, "cannot read the key of sandbox '%s': %s", name, err_name(r));
	(*ret)[strcspn(*ret, "\n")] = '\0';
	return 0;
}

static int serve_inside(int sock, const char *name, char *key)
{
	char *const argv[] = { (char[]){ "sh" }, (char[]){ "-c" }, (char *)(uintptr_t)serve,
		(char[]){ "sh" }, key, NULL };
	struct ctl_exec exec = { .kind = CTL_EXEC_EXTRA, .workdir = "/sandbox", .argv = argv };
	struct session session = { .sock = sock, .name = name };
	struct err err = { 0 };
	int r;

	session_block_signals();
	if (ctl_send_exec(sock, &exec, &err) < 0)
		return out_fail(CLI_FAILED, &err);
	r = session_run(&session);
	return r < 0 ? CLI_FAILED : r;
}

int cmd_ssh_proxy(const struct cli_command *cmd, int argc, char **argv)
{
	struct proxy_options o = { 0 };
	auto_free char *key = NULL;
	char name[STATE_NAME_MAX + 1];
	auto_close int sock = -1;
	struct err err = { 0 };
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r < 0)
		r = sandbox_reach(o.name ? o.name : a.pos[0], name, &sock);
	if (r >= 0)
		return r;
	if (load_public_key(name, &key, &err) < 0)
		return out_fail(CLI_FAILED, &err);
	return serve_inside(sock, name, key);
}
