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
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/cmd.h"
#include "launcher/ctl.h"
#include "launcher/out.h"
#include "launcher/sandbox.h"
#include "launcher/session.h"
#include "launcher/sshconfig.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/proto.h"
#include "lib/state.h"
#include "lib/str.h"

enum { PUBLIC_KEY_MAX = 4096 };

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

/* --- ssh-config --- */

int cmd_ssh_config(const struct cli_command *cmd, int argc, char **argv)
{
	char name[STATE_NAME_MAX + 1];
	auto_close int sock = -1;
	struct err err = { 0 };
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, NULL, &a);

	if (r < 0)
		r = sandbox_reach(a.pos[0], name, &sock);
	if (r >= 0)
		return r;
	return sshconfig_write(stdout, name, &err) < 0 ? out_fail(CLI_FAILED, &err) : CLI_OK;
}

/* --- ssh-proxy --- */

static int load_public_key(const char *name, char **ret, struct err *err)
{
	auto_close int dir = -1;
	char path[SSHCONFIG_PATH_MAX];
	int r;

	r = sshconfig_key(name, path, sizeof(path), err);
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
