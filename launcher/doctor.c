#include "launcher/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/ctl.h"
#include "launcher/doctor_checks.h"
#include "launcher/out.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/kernel.h"
#include "lib/state.h"
#include "lib/str.h"

extern char **environ;

enum { BWRAP_MIN = 400, SYSCTL_MAX = 4096, OUTPUT_MAX = 4096 };

const char *doctor_state_name(enum doctor_state s)
{
	static const char *const names[] = { "ok", "warning", "missing" };

	return names[s];
}

void doctor_set(char *at, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(at, size, fmt, ap);
	va_end(ap);
}

/* --- small instruments --- */

/* A file's first line, or "" when it cannot be read. */
static void read_line(char *ret, size_t size, const char *path)
{
	auto_free char *text = NULL;

	ret[0] = '\0';
	if (fd_slurp_at(AT_FDCWD, path, SYSCTL_MAX, &text, NULL) < 0)
		return;
	text[strcspn(text, "\n")] = '\0';
	(void)snprintf(ret, size, "%s", text);
}

long doctor_sysctl(const char *path)
{
	char text[64], *end;
	long v;

	read_line(text, sizeof(text), path);
	v = strtol(text, &end, 10);
	return text[0] && *end == '\0' ? v : -1;
}

static bool has_file(const char *path)
{
	return access(path, F_OK) == 0;
}

/* Runs @argv, its output (both streams) into @ret: its wait status, or -errno. */
static int run(char *const argv[], char *ret, size_t size)
{
	posix_spawn_file_actions_t fa;
	auto_close int out = memfd_create("doctor", MFD_CLOEXEC);
	int status, r;
	pid_t pid;
	ssize_t n;

	if (out < 0 || posix_spawn_file_actions_init(&fa) != 0)
		return -ENOMEM;
	(void)posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	(void)posix_spawn_file_actions_adddup2(&fa, out, 1);
	(void)posix_spawn_file_actions_adddup2(&fa, out, 2);
	r = posix_spawnp(&pid, argv[0], &fa, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&fa);
	if (r != 0)
		return -r;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	n = pread(out, ret, size - 1, 0);
	ret[n > 0 ? n : 0] = '\0';
	return status;
}

int doctor_in_child(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return -1;
	if (pid == 0)
		_exit(fn());
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The command for this distribution's package manager. */
static const char *install_command(const char *package, char *ret, size_t size)
{
	static const char *const managers[][2] = {
		{ "/usr/bin/apt-get", "sudo apt-get install %s" },
		{ "/usr/bin/dnf", "sudo dnf install %s" },
		{ "/usr/bin/pacman", "sudo pacman -S %s" },
		{ "/usr/bin/zypper", "sudo zypper install %s" },
		{ "/sbin/apk", "sudo apk add %s" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(managers); i++) {
		if (has_file(managers[i][0])) {
			(void)snprintf(ret, size, managers[i][1], package);
			return ret;
		}
	}
	(void)snprintf(ret, size, "install the package '%s'", package);
	return ret;
}

/* --- the checks --- */

static void check_kernel(struct doctor_check *c)
{
	struct utsname u;

	(void)uname(&u);
	FOUND(c, "Linux %s", u.release);
}

static int try_userns(void)
{
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS) < 0)
		return errno == EPERM ? 1 : errno == ENOSPC ? 2 : 3;
	return 0;
}

/* What looks like a poor kernel is ourselves, one floor up. */
static bool is_inside_of_ours(struct doctor_check *c)
{
	const char *name = getenv("OPENSHELL_SANDBOX");

	if (!name || !has_file("/run/openshell/init"))
		return false;
	REMEDY(c, "this is inside the openshell sandbox '%.32s' already, and there are none in it: run it outside", name);
	return true;
}

static void userns_remedy(struct doctor_check *c, int why)
{
	if (is_inside_of_ours(c))
		return;
	if (doctor_sysctl("/proc/sys/kernel/unprivileged_userns_clone") == 0)
		REMEDY(c, "sudo sysctl -w kernel.unprivileged_userns_clone=1");
	else if (doctor_sysctl("/proc/sys/user/max_user_namespaces") == 0 || why == 2)
		REMEDY(c, "sudo sysctl -w user.max_user_namespaces=28633");
	else if (has_file("/.dockerenv") || has_file("/run/.containerenv"))
		REMEDY(c, "start the container with --security-opt seccomp=unconfined "
			  "--security-opt apparmor=unconfined");
	else
		REMEDY(c,
			"the kernel must be built with CONFIG_USER_NS, and a security module must "
			"not forbid it");
}

static void check_userns(struct doctor_check *c)
{
	int r = doctor_in_child(try_userns);

	if (r == 0) {
		FOUND(c, "user, network and mount namespaces work");
		return;
	}
	c->state = DOCTOR_FAIL;
	FOUND(c, "this account cannot create user namespaces");
	COST(c, "no sandbox can start");
	userns_remedy(c, r);
}

/* Ubuntu 23.10 and later let a program use a user namespace only with an AppArmor profile. */
static const char apparmor_remedy[] =
	"printf 'abi <abi/4.0>,\\ninclude <tunables/global>\\nprofile bwrap /usr/bin/bwrap "
	"flags=(unconfined) {\\n  userns,\\n}\\n' | sudo tee /etc/apparmor.d/bwrap && "
	"sudo apparmor_parser -r /etc/apparmor.d/bwrap";

static int try_bwrap(char *ret, size_t size)
{
	char *const argv[] = { (char[]){ "bwrap" }, (char[]){ "--unshare-all" },
		(char[]){ "--ro-bind" }, (char[]){ "/" }, (char[]){ "/" }, (char[]){ "true" },
		NULL };

	return run(argv, ret, size);
}

static void check_apparmor(struct doctor_check *c)
{
	long restricted = doctor_sysctl("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
	char out[OUTPUT_MAX];

	if (restricted <= 0) {
		FOUND(c, restricted < 0 ? "no restriction in this kernel" : "restriction is off");
		return;
	}
	if (try_bwrap(out, sizeof(out)) == 0) {
		FOUND(c, "restricted, and bubblewrap has a profile");
		return;
	}
	c->state = DOCTOR_FAIL;
	FOUND(c, "AppArmor restricts user namespaces and bubblewrap has no profile");
	COST(c, "no sandbox can start");
	REMEDY(c, "%s", apparmor_remedy);
}

int doctor_bwrap_version(const char *text)
{
	unsigned int major, minor, patch = 0;
	char space;

	if (sscanf(text, "bubblewrap%c%3u.%3u.%3u", &space, &major, &minor, &patch) < 3 ||
		space != ' ' || minor > 99 || patch > 99)
		return -1;
	return (int)(major * 10000 + minor * 100 + patch);
}

static void check_bwrap(struct doctor_check *c)
{
	char *const argv[] = { (char[]){ "bwrap" }, (char[]){ "--version" }, NULL };
	char out[OUTPUT_MAX], command[128];
	int r = run(argv, out, sizeof(out)), version;

	out[strcspn(out, "\n")] = '\0';
	version = r == 0 ? doctor_bwrap_version(out) : -1;
	if (r < 0 || version < 0) {
		c->state = DOCTOR_FAIL;
		FOUND(c, "bubblewrap is not installed");
		COST(c, "no sandbox can start");
		REMEDY(c, "%s", install_command("bubblewrap", command, sizeof(command)));
		return;
	}
	FOUND(c, "%.200s", out);
	if (version >= BWRAP_MIN)
		return;
	c->state = DOCTOR_FAIL;
	COST(c, "0.4.0 or later is needed");
	REMEDY(c, "%s", install_command("bubblewrap", command, sizeof(command)));
}

static void check_bwrap_works(struct doctor_check *c)
{
	char out[OUTPUT_MAX];
	int r = try_bwrap(out, sizeof(out));

	if (r == 0) {
		FOUND(c, "a bare sandbox starts");
		return;
	}
	c->state = DOCTOR_FAIL;
	out[strcspn(out, "\n")] = '\0';
	FOUND(c, "a bare sandbox does not start: %.180s", r < 0 ? err_name(r) : out);
	COST(c, "no sandbox can start");
	if (!is_inside_of_ours(c))
		REMEDY(c, "mend what is missing above, then try: bwrap --unshare-all --ro-bind / / true");
}

/* --- the second wall --- */

static void check_landlock(struct doctor_check *c)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	if (abi > 0) {
		FOUND(c, "ABI %ld", abi);
		return;
	}
	c->state = DOCTOR_WARN;
	FOUND(c, errno == EOPNOTSUPP ? "built in, but not enabled" : "not in this kernel");
	COST(c, "no second wall around files; policies with compatibility: hard_requirement are "
		"refused");
	REMEDY(c, "add landlock to the lsm= list on the kernel's command line (kernel 5.13 or "
		  "later)");
}

/* --- looking into other processes --- */

static int try_getfd(void)
{
	int pidfd, fd;
	pid_t pid = fork();

	if (pid == 0) {
		(void)pause();
		_exit(0);
	}
	pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	fd = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, 0, 0);
	if (pid > 0) {
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
	}
	return fd >= 0 ? 0 : 1;
}

static void check_getfd(struct doctor_check *c)
{
	if (doctor_in_child(try_getfd) == 0) {
		FOUND(c, "works on our own children");
		return;
	}
	c->state = DOCTOR_FAIL;
	FOUND(c, "pidfd_getfd is refused");
	COST(c, "connections cannot be intercepted, and no sandbox can start");
	if (doctor_sysctl("/proc/sys/kernel/yama/ptrace_scope") >= 2)
		REMEDY(c, "sudo sysctl -w kernel.yama.ptrace_scope=1");
	else
		REMEDY(c, "a kernel of 5.6 or later is needed, and a container must allow it");
}

/* --- conveniences --- */

static void check_cgroup(struct doctor_check *c)
{
	char line[512], path[600], controllers[256];

	read_line(line, sizeof(line), "/proc/self/cgroup");
	if (!str_starts(line, "0::")) {
		c->state = DOCTOR_WARN;
		FOUND(c, "no unified cgroup hierarchy");
		COST(c, "no resource limits");
		return;
	}
	(void)str_format(path, sizeof(path), "/sys/fs/cgroup%s/cgroup.controllers", line + 3);
	read_line(controllers, sizeof(controllers), path);
	(void)str_format(path, sizeof(path), "/sys/fs/cgroup%s/cgroup.procs", line + 3);
	if (access(path, W_OK) == 0 && strstr(controllers, "memory")) {
		FOUND(c, "delegated: %.200s", controllers);
		return;
	}
	c->state = DOCTOR_WARN;
	FOUND(c, "the cgroup of this session is not delegated");
	COST(c, "no resource limits");
	REMEDY(c, "systemd-run --user --scope -p Delegate=yes openshell …");
}

static const char *const trust_stores[] = {
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/ssl/cert.pem",
};

static void check_trust_store(struct doctor_check *c)
{
	char command[128];

	for (size_t i = 0; i < ARRAY_SIZE(trust_stores); i++) {
		if (access(trust_stores[i], R_OK) == 0) {
			FOUND(c, "%s", trust_stores[i]);
			return;
		}
	}
	c->state = DOCTOR_WARN;
	FOUND(c, "no certificate bundle");
	COST(c, "no real server can be verified: inspected HTTPS fails");
	REMEDY(c, "%s", install_command("ca-certificates", command, sizeof(command)));
}

static void check_wsl(struct doctor_check *c)
{
	char version[256];

	read_line(version, sizeof(version), "/proc/version");
	str_lower(version);
	if (!strstr(version, "microsoft")) {
		FOUND(c, "not WSL");
		return;
	}
	FOUND(c, strstr(version, "wsl2") ? "WSL 2" : "WSL");
	if (strstr(version, "wsl2"))
		return;
	c->state = DOCTOR_FAIL;
	COST(c, "WSL 1 has no namespaces: no sandbox can start");
	REMEDY(c, "wsl.exe --set-version DISTRIBUTION 2");
}

static void check_programs(struct doctor_check *c)
{
	static const char *const names[] = { "openshell-tracer", "openshell-proxy",
		"openshell-init" };
	static const char *const extras[] = { "openshell-unwinder", "libopenshell-preload.so" };
	char dir[DOCTOR_TEXT_MAX - 64], path[DOCTOR_TEXT_MAX];

	if (ctl_program_dir(dir, sizeof(dir), NULL) < 0)
		dir[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		(void)str_format(path, sizeof(path), "%s/%s", dir, names[i]);
		if (access(path, X_OK) == 0)
			continue;
		c->state = DOCTOR_FAIL;
		FOUND(c, "'%.200s' is missing", path);
		COST(c, "no sandbox can start");
		REMEDY(c, "reinstall openshell, or set OPENSHELL_LIBEXEC");
		return;
	}
	FOUND(c, "%.200s", dir);
	for (size_t i = 0; i < ARRAY_SIZE(extras); i++) {
		(void)str_format(path, sizeof(path), "%s/%s", dir, extras[i]);
		if (access(path, R_OK) == 0)
			continue;
		c->state = DOCTOR_WARN;
		FOUND(c, "'%.200s' is missing", path);
		COST(c, "no --stacks, no --intercept preload");
		REMEDY(c, "reinstall openshell, or set OPENSHELL_LIBEXEC");
	}
}

static void check_state(struct doctor_check *c)
{
	auto_close int root = -1, runtime = -1;
	struct err err = { 0 };

	root = state_root_open(&err);
	runtime = root < 0 ? -1 : state_runtime_open(&err);
	if (runtime >= 0 && faccessat(root, ".", W_OK, AT_EACCESS) == 0) {
		FOUND(c, "state and runtime directories are private and writable");
		return;
	}
	c->state = DOCTOR_FAIL;
	FOUND(c, "%.200s", err.text[0] ? err.text : "the state directory is not writable");
	COST(c, "no sandbox can start");
	REMEDY(c, "%s",
		err.hint[0] ? err.hint : "set XDG_STATE_HOME to a directory you can write to");
}

static const struct {
	const char *name;
	void (*fn)(struct doctor_check *c);
} table[] = {
	{ "kernel", check_kernel },
	{ "features", doctor_check_features },
	{ "programs", check_programs },
	{ "user_namespaces", check_userns },
	{ "apparmor", check_apparmor },
	{ "bubblewrap", check_bwrap },
	{ "sandbox", check_bwrap_works },
	{ "seccomp", doctor_check_seccomp },
	{ "ptrace", doctor_check_ptrace },
	{ "interception", doctor_check_interception },
	{ "pidfd_getfd", check_getfd },
	{ "landlock", check_landlock },
	{ "cgroup", check_cgroup },
	{ "trust_store", check_trust_store },
	{ "state", check_state },
	{ "wsl", check_wsl },
};

void doctor_run(struct doctor *d)
{
	memset(d, 0, sizeof(*d));
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct doctor_check *c = &d->checks[d->n++];

		c->name = table[i].name;
		table[i].fn(c);
	}
}

bool doctor_can_start(const struct doctor *d)
{
	for (size_t i = 0; i < d->n; i++) {
		if (d->checks[i].state == DOCTOR_FAIL)
			return false;
	}
	return true;
}

void doctor_hint(const char *said)
{
	struct doctor d;

	doctor_run(&d);
	for (size_t i = 0; i < d.n; i++) {
		const struct doctor_check *c = &d.checks[i];

		if (c->state != DOCTOR_FAIL)
			continue;
		if (!str_eq(c->found, said))
			out_hint("%s%s%s", c->found, c->remedy[0] ? ": " : "", c->remedy);
		else if (c->remedy[0])
			out_hint("%s", c->remedy);
		return;
	}
}

json_t *doctor_json(const struct doctor *d)
{
	json_t *checks = json_array();

	for (size_t i = 0; i < d->n; i++) {
		const struct doctor_check *c = &d->checks[i];

		(void)json_array_append_new(
			checks, json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", c->name, "state",
					doctor_state_name(c->state), "found", c->found, "cost",
					c->cost, "remedy", c->remedy));
	}
	return json_pack("{s:b, s:o}", "can_start", doctor_can_start(d), "checks", checks);
}

void doctor_print(const struct doctor *d)
{
	static const char *const marks[] = { "✓", "!", "✗" };
	static const char *const colours[] = { "\033[32m", "\033[33m", "\033[31m" };
	bool colour = out_has_colour(stdout);

	for (size_t i = 0; i < d->n; i++) {
		const struct doctor_check *c = &d->checks[i];

		(void)printf("%s%s%s %-16s %s\n", colour ? colours[c->state] : "", marks[c->state],
			colour ? "\033[0m" : "", c->name, c->found);
		if (c->cost[0])
			(void)printf("    costs: %s\n", c->cost);
		if (c->remedy[0])
			(void)printf("    mend:  %s\n", c->remedy);
	}
	(void)printf(doctor_can_start(d) ? "Sandboxes can start.\n" : "Sandboxes cannot start.\n");
}
