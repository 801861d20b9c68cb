#include "tracer/start.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/proto.h"
#include "lib/str.h"
#include "lib/strv.h"
#include "tracer/addrs.h"
#include "tracer/advisor.h"
#include "tracer/backend.h"
#include "tracer/cafiles.h"
#include "tracer/change.h"
#include "tracer/child.h"
#include "tracer/coop.h"
#include "tracer/credentials.h"
#include "tracer/env.h"
#include "tracer/etcfiles.h"
#include "tracer/home.h"
#include "tracer/inside.h"
#include "tracer/notify.h"
#include "tracer/sandbox.h"
#include "tracer/skill.h"

enum {
	START_TIMEOUT_MS = 15000, /* for each step of the start */
	BWRAP_INFO_FD = 4, /* in bubblewrap: it says there what it started */
	STDERR_MAX = 2048,
};

/* Waits for @fd to say something while @child lives. */
static int await(struct sandbox *s, int fd, const struct child *child, const char *what,
	struct err *err)
{
	struct pollfd p[] = { { .fd = fd, .events = POLLIN },
		{ .fd = child->watch.fd, .events = POLLIN },
		{ .fd = s->calls ? s->calls->fd : -1, .events = POLLIN } };
	int r;

	for (;;) {
		r = poll(p, ARRAY_SIZE(p), START_TIMEOUT_MS);
		if (r < 0 && errno == EINTR)
			continue;
		if (r == 0)
			return err_set(err, -ETIMEDOUT, "%s did not answer within %d s", what,
				START_TIMEOUT_MS / 1000);
		if (p[0].revents & POLLIN)
			return 0;
		if (r < 0 || !(p[2].revents & POLLIN))
			return err_set(err, -EPIPE, "%s ended unexpectedly", what);
		backend_prove(s);
	}
}

static int unexpected(const char *what, struct err *err)
{
	return err_set(err, -EPROTO, "%s said something unexpected", what);
}

static int failed(struct msg_in *m, const char *what, struct err *err)
{
	int errnum = (int)msg_get_u32(m);
	const char *text = msg_get_str(m);

	(void)err_set(err, -errnum, "%s: %s", text ? text : what, err_name(-errnum));
	return err_hint(err, -errnum, "openshell doctor says what this host lacks and how to mend it");
}

/* Something of init's could not be reached: it may have ended, and said why first. */
static int explain_init(struct sandbox *s, int r, struct err *err)
{
	struct pollfd p = { .fd = s->init_link.fd, .events = POLLIN };

	while (poll(&p, 1, 0) == 1 && p.revents & POLLIN) {
		auto_msg_in struct msg_in m = { 0 };

		if (msg_recv(p.fd, &m) <= 0)
			break;
		if (m.type == INIT_FAILED)
			return failed(&m, "init", err);
	}
	return r;
}

/* One message of whatever type, but for a failure. */
static int await_any(struct sandbox *s, int fd, const struct child *child, const char *what,
	struct msg_in *ret, struct err *err)
{
	int r = await(s, fd, child, what, err);

	if (r < 0)
		return r;
	r = msg_recv(fd, ret);
	if (r <= 0)
		return err_set(err, r < 0 ? r : -EPIPE, "%s ended unexpectedly", what);
	if (ret->type != INIT_FAILED || fd != s->init_link.fd)
		return 0;
	r = failed(ret, what, err);
	msg_in_free(ret);
	return r;
}

static int await_message(struct sandbox *s, int fd, const struct child *child, const char *what,
	uint16_t type, struct msg_in *ret, struct err *err)
{
	int r = await_any(s, fd, child, what, ret, err);

	if (r < 0 || ret->type == type)
		return r;
	msg_in_free(ret);
	return unexpected(what, err);
}

static int child_pair(int *ret_ours, int *ret_theirs, struct err *err)
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return err_set(err, -errno, "socketpair: %s", err_name(errno));
	*ret_ours = sv[0];
	*ret_theirs = sv[1];
	return 0;
}

static int open_extra_ca(const struct sandbox *s, struct err *err)
{
	int fd;

	if (!s->spec.upstream_ca)
		return -ENOENT;
	fd = open(s->spec.upstream_ca, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	return err_set(err, errno == ENOENT ? -ENODATA : -errno, "--upstream-ca '%s': %s",
		s->spec.upstream_ca, err_name(errno));
}

static int proxy_setup(struct sandbox *s, struct err *err)
{
	auto_close int log_fd = logstore_open_writer(s->store);
	auto_close int trust = etcfiles_open_trust();
	auto_close int extra = -1;
	auto_msg_out struct msg_out m = { 0 };
	int r = open_extra_ca(s, err);

	if (r < 0 && r != -ENOENT)
		return r;
	extra = r;
	if (trust < 0)
		trust = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (log_fd < 0 || trust < 0)
		return err_set(err, -EIO, "the log or the trust store cannot be opened");
	msg_out_init(&m, PROXY_SETUP, 0);
	msg_put_str(&m, s->spec.name);
	msg_put_strv(&m, s->spec.connect_to);
	msg_put_strv(&m, s->spec.deny);
	msg_put_str(&m, s->spec.upstream_proxy);
	msg_put_str(&m, s->spec.no_proxy);
	msg_put_u32(&m, s->spec.audit);
	msg_put_str(&m, "127.0.0.1");
	msg_put_u32(&m, extra >= 0);
	msg_put_fd(&m, log_fd);
	msg_put_fd(&m, trust);
	if (extra >= 0)
		msg_put_fd(&m, extra);
	r = msg_send(s->proxy_link.fd, &m);
	return r < 0 ? err_set(err, r, "proxy: %s", err_name(r)) : 0;
}

static int spawn_proxy(struct sandbox *s, struct err *err)
{
	char path[PATH_MAX];
	char *argv[] = { (char *)"openshell-proxy", NULL };
	struct child_fd fds[2] = { { s->proxy_end, PROXY_FD } };
	size_t n = 1;
	int r;

	if (getenv("OPENSHELL_DEBUG"))
		fds[n++] = (struct child_fd){ STDERR_FILENO, STDERR_FILENO };
	child_program(path, sizeof(path), "openshell-proxy");
	r = child_start(path, argv, fds, n, &s->proxy.watch.fd, err);
	(void)close(take_fd(s->proxy_end));
	if (r < 0)
		return r;
	s->proxy.pid = r;
	return 0;
}

static int runtime_path(const struct sandbox *s, const char *name, char *out, size_t size)
{
	char dir[PATH_MAX];
	int r = inside_path_of(s->runtime_dir, dir, sizeof(dir));

	if (r < 0)
		return r;
	return str_format(out, size, "%s/%s", dir, name) ? 0 : -ENAMETOOLONG;
}

static int home_path(const struct sandbox *s, char *out, size_t size)
{
	char dir[PATH_MAX];
	int r = inside_path_of(s->state->dir, dir, sizeof(dir));

	if (r < 0)
		return r;
	return str_format(out, size, "%s/home", dir) ? 0 : -ENAMETOOLONG;
}

/* Where the preload library asks. */
static int add_coop_socket(struct sandbox *s, struct err *err)
{
	char path[PATH_MAX];
	int r;

	s->coop_listener = coop_listen(s->runtime_dir, err);
	if (s->coop_listener < 0)
		return s->coop_listener;
	r = runtime_path(s, COOP_FILE, path, sizeof(path));
	if (r == 0)
		r = mounts_add(&s->mounts, MOUNT_RO, path, COOPS_PATH, -1, true);
	return r < 0 ? err_set(err, r, "mounts: %s", err_name(r)) : 0;
}

static int add_own_files(struct sandbox *s, struct err *err)
{
	char init[PATH_MAX], ca[PATH_MAX], bundle[PATH_MAX], java[PATH_MAX], preload[PATH_MAX];
	int r;

	child_program(init, sizeof(init), "openshell-init");
	r = runtime_path(s, CAFILES_CA, ca, sizeof(ca));
	if (r == 0)
		r = runtime_path(s, CAFILES_BUNDLE, bundle, sizeof(bundle));
	if (r == 0)
		r = runtime_path(s, CAFILES_JAVA, java, sizeof(java));
	if (r == 0)
		r = mounts_add(&s->mounts, MOUNT_RO, init, ENV_INIT_FILE, -1, true);
	if (r == 0)
		r = mounts_add(&s->mounts, MOUNT_RO, ca, ENV_CA_FILE, -1, true);
	if (r == 0)
		r = mounts_add(&s->mounts, MOUNT_RO, bundle, ENV_BUNDLE_FILE, -1, true);
	if (r == 0 && (s->spec.stacks || s->spec.intercept == SPEC_INTERCEPT_PRELOAD)) {
		child_program(preload, sizeof(preload), "libopenshell-preload.so");
		r = mounts_add(&s->mounts, MOUNT_RO, preload, ENV_PRELOAD_FILE, -1, true);
	}
	if (r == 0)
		r = etcfiles_add_trust(&s->mounts, bundle, java);
	if (r == 0 && s->agent_proposals)
		r = skill_add(&s->mounts);
	return r < 0 ? err_set(err, r, "mounts: %s", err_name(r)) : 0;
}

/* run_as_user: a number is mapped onto the caller, a name or nothing keeps the caller's. */
static unsigned int mapped_id(const char *text, unsigned int own)
{
	uint64_t v;

	return text && str_to_u64(text, UINT32_MAX - 1, &v) == 0 ? (unsigned int)v : own;
}

/*
 * A workload that was granted a tree around our own directories (--rw ~) must not get at them:
 * with its policy, its log and the control sockets of others it would own every sandbox.
 */
static int hide_ours(struct sandbox *s, struct err *err)
{
	int (*const roots[])(struct err *err) = { state_root_open, state_config_open,
		state_runtime_open };
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(roots) && r == 0; i++) {
		auto_close int fd = roots[i](err);
		char path[PATH_MAX];

		r = fd < 0 ? fd : inside_path_of(fd, path, sizeof(path));
		if (r == 0)
			r = mounts_hide(&s->mounts, path);
	}
	return r;
}

static int plan_mounts(struct sandbox *s, const struct account *who, struct err *err)
{
	char home[PATH_MAX];
	int r = home_path(s, home, sizeof(home));

	if (r < 0)
		return err_set(err, r, "home of the sandbox: %s", err_name(r));
	r = mounts_plan(&s->mounts, policy_static(s->policy), &s->spec, home, err);
	if (r == 0)
		r = hide_ours(s, err);
	if (r == 0)
		r = etcfiles_add(&s->mounts, s->spec.name, who, err);
	if (r == 0)
		r = add_own_files(s, err);
	if (r == 0 && s->spec.intercept == SPEC_INTERCEPT_PRELOAD)
		r = add_coop_socket(s, err);
	if (r == 0)
		mounts_sort(&s->mounts);
	return r;
}

/*
 * Not --die-with-parent: a bwrap that ends in its first microseconds, before it has told its child that the
 * user namespace is set up, leaves that child waiting for ever. So it is never made to: without us it
 * comes to its end, where init finds nobody at its link and goes, and with it everything. init itself
 * dies with bwrap.
 */
static int bwrap_args(struct sandbox *s, const struct account *who, char ***ret)
{
	char uid[16], gid[16], info[16];
	const char *head[] = { "bwrap", "--unshare-user", "--uid", uid, "--gid", gid,
		"--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts",
		"--unshare-cgroup-try", "--hostname", s->spec.name, "--as-pid-1", "--cap-drop", "ALL", "--clearenv", "--info-fd", info };
	const char *tail[] = { "--remount-ro", "/", "--chdir", "/", "--", ENV_INIT_FILE };
	auto_strv char **args = NULL;
	int r;

	(void)snprintf(uid, sizeof(uid), "%u", who->uid);
	(void)snprintf(gid, sizeof(gid), "%u", who->gid);
	(void)snprintf(info, sizeof(info), "%d", BWRAP_INFO_FD);
	r = strv_push_n(&args, (char *const *)head, ARRAY_SIZE(head));
	if (r == 0)
		r = mounts_to_bwrap(&s->mounts, &args);
	if (r == 0)
		r = strv_push_n(&args, (char *const *)tail, ARRAY_SIZE(tail));
	if (r < 0)
		return r;
	*ret = take_ptr(args);
	return 0;
}

int start_bwrap(struct sandbox *s, struct err *err)
{
	const struct policy_static *p = policy_static(s->policy);
	const struct account who = { mapped_id(p->run_as_user, getuid()),
		mapped_id(p->run_as_group, getgid()) };
	auto_close int theirs = -1, err_w = -1, info_w = -1;
	auto_free struct child_fd *fds = NULL;
	auto_strv char **args = NULL;
	const int one = 1;
	int pipefd[2], r;
	size_t n = 0;

	r = cafiles_make(&s->ca, s->runtime_dir, err);
	if (r == 0)
		r = plan_mounts(s, &who, err);
	if (r < 0)
		return r;
	r = bwrap_args(s, &who, &args);
	if (r < 0)
		return err_set(err, r, "%s", err_name(r));
	r = child_pair(&s->init_link.fd, &theirs, err);
	if (r < 0)
		return r;
	(void)setsockopt(s->init_link.fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one));
	if (pipe2(pipefd, O_CLOEXEC) < 0)
		return err_set(err, -errno, "pipe: %s", err_name(errno));
	s->bwrap_stderr = pipefd[0];
	err_w = pipefd[1];
	if (pipe2(pipefd, O_CLOEXEC) < 0)
		return err_set(err, -errno, "pipe: %s", err_name(errno));
	s->bwrap_info = pipefd[0];
	info_w = pipefd[1];
	fds = calloc(s->mounts.n + 4, sizeof(*fds));
	if (!fds)
		return -ENOMEM;
	for (size_t i = 0; i < s->mounts.n; i++)
		if (s->mounts.list[i].fd >= 0)
			fds[n++] = (struct child_fd){ s->mounts.list[i].fd, s->mounts.list[i].fd };
	fds[n++] = (struct child_fd){ err_w, STDERR_FILENO };
	fds[n++] = (struct child_fd){ info_w, BWRAP_INFO_FD };
	/* Somebody can always read what it has to say: see bwrap_args(). */
	fds[n++] = (struct child_fd){ s->bwrap_info, s->bwrap_info };
	fds[n++] = (struct child_fd){ theirs, INIT_FD };
	r = child_start("bwrap", args, fds, n, &s->bwrap.watch.fd, err);
	if (r < 0)
		return err_hint(err, r, "install bubblewrap (Debian, Ubuntu, Fedora: package bubblewrap)");
	s->bwrap.pid = r;
	return 0;
}

/* What bubblewrap said before it gave up, which is better than anything we could; the launcher adds what mends it. */
static int explain_bwrap(struct sandbox *s, int r, struct err *err)
{
	char text[STDERR_MAX];
	ssize_t n;

	(void)fcntl(s->bwrap_stderr, F_SETFL, O_NONBLOCK);
	n = read(s->bwrap_stderr, text, sizeof(text) - 1);
	if (n <= 0)
		return r;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return err_set(err, r, "bubblewrap: %s",
		str_starts(text, "bwrap: ") ? text + strlen("bwrap: ") : text);
}

static int take_init(struct sandbox *s, struct err *err)
{
	auto_msg_in struct msg_in m = { 0 };
	int r = await_message(s, s->init_link.fd, &s->bwrap, "bubblewrap", INIT_HELLO, &m, err);

	if (r < 0)
		return explain_bwrap(s, r, err);
	if (!msg_in_done(&m) || m.sender != s->init.pid)
		return err_set(err, -EPROTO, "init of the sandbox cannot be identified");
	return 0;
}

/*
 * bubblewrap says the pid of what will be init as soon as its namespaces exist, well before its
 * mounts are done: the network is set up meanwhile.
 */
static int take_netns(struct sandbox *s, struct err *err)
{
	char text[1024], path[64];
	const char *p;
	ssize_t n;
	int r = await(s, s->bwrap_info, &s->bwrap, "bubblewrap", err);

	if (r < 0)
		return explain_bwrap(s, r, err);
	n = read(s->bwrap_info, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	p = strstr(text, "\"child-pid\": ");
	s->init.pid = p ? (pid_t)strtol(p + strlen("\"child-pid\": "), NULL, 10) : 0;
	if (s->init.pid <= 0)
		return explain_bwrap(s, err_set(err, -EPROTO, "bubblewrap did not say what it started"),
			err);
	s->init.watch.fd = (int)syscall(SYS_pidfd_open, s->init.pid, 0);
	(void)str_format(path, sizeof(path), "/proc/%d/ns/net", (int)s->init.pid);
	s->netns = open(path, O_RDONLY | O_CLOEXEC);
	if (s->init.watch.fd < 0 || s->netns < 0)
		return explain_bwrap(s, err_set(err, -errno, "%s: %s", path, err_name(errno)), err);
	return 0;
}

static int send_listeners(struct sandbox *s, struct err *err)
{
	auto_msg_out struct msg_out m;
	int r;

	msg_out_init(&m, PROXY_LISTEN, 0);
	msg_put_u32(&m, ADDRS_PROXY_PORT);
	msg_put_fd(&m, s->sockets.proxy4);
	if (s->sockets.proxy6 >= 0)
		msg_put_fd(&m, s->sockets.proxy6);
	r = msg_send(s->proxy_link.fd, &m);
	/* The proxy alone holds them: when it is gone, nobody listens. */
	cleanup_close(&s->sockets.proxy4);
	cleanup_close(&s->sockets.proxy6);
	s->sockets.proxy4 = s->sockets.proxy6 = -1;
	return r < 0 ? err_set(err, r, "proxy: %s", err_name(r)) : 0;
}

static enum init_landlock landlock_mode(const struct policy_static *p)
{
	if (p->allow_user_namespaces)
		return INIT_LANDLOCK_OFF;
	return p->landlock_required ? INIT_LANDLOCK_REQUIRED : INIT_LANDLOCK_BEST_EFFORT;
}

static int send_init_setup(struct sandbox *s, struct err *err)
{
	const struct policy_static *p = policy_static(s->policy);
	auto_strv char **ro = NULL;
	auto_strv char **rw = NULL;
	auto_msg_out struct msg_out m;
	int r = mounts_to_landlock(&s->mounts, &ro, &rw);

	msg_out_init(&m, INIT_SETUP, 0);
	backend_put_filter(s, &m);
	msg_put_u32(&m, landlock_mode(p));
	msg_put_strv(&m, ro);
	msg_put_strv(&m, rw);
	if (r == 0)
		r = msg_send(s->init_link.fd, &m);
	if (r < 0)
		return explain_bwrap(s, err_set(err, r, "init: %s", err_name(r)), err);
	return 0;
}

static int take_ready(struct sandbox *s, struct err *err)
{
	auto_msg_in struct msg_in first = { 0 };
	auto_msg_in struct msg_in later = { 0 };
	struct msg_in *m = &first;
	const char *note;
	int r = await_any(s, s->init_link.fd, &s->bwrap, "init", m, err), number;

	if (r == 0 && m->type == INIT_UNFILTERED) {
		int errnum = (int)msg_get_u32(m);

		r = msg_in_done(m) ? backend_without_listener(s, errnum, err) : unexpected("init", err);
		m = &later;
		if (r == 0)
			r = await_any(s, s->init_link.fd, &s->bwrap, "init", m, err);
	}
	if (r < 0)
		return r;
	s->landlock_abi = (int)msg_get_u32(m);
	note = msg_get_str(m);
	number = (int)msg_get_u32(m);
	if (m->type != INIT_READY || !msg_in_done(m))
		return unexpected("init", err);
	if (note)
		sandbox_say(s, EVENT_WARN, "Landlock is not applied: %s", note);
	return s->calls ? 0 : backend_listen(s, number, err);
}

static int take_ca(struct sandbox *s, struct err *err)
{
	auto_msg_in struct msg_in m = { 0 };
	const char *pem;
	int r = await_message(s, s->proxy_link.fd, &s->proxy, "the proxy", PROXY_CA, &m, err);

	if (r < 0)
		return r;
	pem = msg_get_str(&m);
	if (!msg_in_done(&m) || !pem)
		return err_set(err, -EPROTO, "the proxy answered nonsense");
	return cafiles_fill(&s->ca, pem, err);
}

static int take_proxy_ready(struct sandbox *s, struct err *err)
{
	for (;;) {
		auto_msg_in struct msg_in m = { 0 };
		int r = await(s, s->proxy_link.fd, &s->proxy, "the proxy", err);

		if (r == 0 && msg_recv(s->proxy_link.fd, &m) <= 0)
			r = err_set(err, -EPIPE, "the proxy ended unexpectedly");
		if (r < 0 || m.type == PROXY_READY)
			return r;
		if (m.type != PROXY_POLICY_DONE)
			return err_set(err, -EPROTO, "the proxy answered nonsense");
	}
}

int start_proxy(struct sandbox *s, struct err *err)
{
	int r = spawn_proxy(s, err);

	if (r == 0)
		r = proxy_setup(s, err);
	if (r == 0)
		r = change_send_current(s, err);
	if (r == 0)
		r = advisor_tell(s);
	if (r == 0)
		r = credentials_tell(s);
	if (r == 0)
		r = inference_tell(s);
	return r == 0 ? send_listeners(s, err) : r;
}

/* Where it cannot wait until it is needed. */
static int start_proxy_at_once(struct sandbox *s, struct err *err)
{
	int r = start_proxy(s, err);

	if (r == 0)
		r = take_ca(s, err);
	return r == 0 ? take_proxy_ready(s, err) : r;
}

int start_network(struct sandbox *s, struct err *err)
{
	int r = protect_plan(&s->protect, &s->mounts, policy_static(s->policy), &s->spec,
		s->state->dir, err);

	if (r == 0)
		r = child_pair(&s->proxy_link.fd, &s->proxy_end, err);
	if (r == 0)
		r = cafiles_prepare(&s->ca, s->spec.upstream_ca, err);
	/* A sandbox that ends with its command seldom lives to be asked for its revisions: theirs
	 * are recorded once it runs. */
	if (r == 0 && s->spec.keep)
		r = change_record_first(s, err);
	if (r == 0 && s->spec.keep)
		r = home_furnish(s->state->dir, err);
	/* init finds its orders waiting when it comes up. */
	if (r == 0)
		r = send_init_setup(s, err);
	if (r == 0)
		r = take_netns(s, err);
	if (r == 0)
		r = netns_setup(s->netns, etcfiles_names_resolver(&s->mounts), &s->sockets, err);
	if (r < 0)
		return explain_init(s, r, err);
	return !s->ca.is_leased ? start_proxy_at_once(s, err) : r;
}

int start_finish(struct sandbox *s, struct err *err)
{
	int r = take_init(s, err);

	if (r == 0)
		r = cgroup_add(&s->cgroup, s->bwrap.pid, err);
	if (r == 0)
		r = cgroup_add(&s->cgroup, s->init.pid, err);
	if (r == 0)
		r = protect_apply(&s->protect, s->init.pid, err);
	return r == 0 ? take_ready(s, err) : explain_init(s, r, err);
}
