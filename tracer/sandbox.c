#include "tracer/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/netaddr.h"
#include "lib/proto.h"
#include "lib/str.h"
#include "lib/strv.h"
#include "lib/tuple.h"
#include "tracer/addrs.h"
#include "tracer/change.h"
#include "tracer/child.h"
#include "tracer/control.h"
#include "tracer/dnsserver.h"
#include "tracer/env.h"
#include "tracer/etcfiles.h"
#include "tracer/filehash.h"
#include "tracer/filter.h"
#include "tracer/names.h"
#include "tracer/notify.h"
#include "tracer/once.h"
#include "tracer/owner.h"
#include "tracer/peers.h"
#include "tracer/resolver.h"
#include "tracer/session.h"

enum {
	START_TIMEOUT_MS = 15000, /* for each step of the start */
	STOP_GRACE_MS = 2000,
	ROTATE_EVERY_MS = 5000,
	SETTLED_MS = 50,
	OWN_ADDRS_MAX = 128,
	BWRAP_INFO_FD = 4, /* in bubblewrap: it says there what it started */
	STDERR_MAX = 2048,
};

/* The log. */

void sandbox_log(struct sandbox *s, const struct event *e)
{
	struct event copy = *e;

	if (!s->log)
		return;
	if (!copy.generation)
		copy.generation = s->revision;
	log_event(s->log, &copy);
}

void sandbox_say(struct sandbox *s, enum event_level level, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	sandbox_log(s, &(struct event){ .level = level, .adapter = EVENT_LIFECYCLE, .message = text });
}

static uint64_t wall_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static int log_open(struct sandbox *s, struct err *err)
{
	auto_close int dir = openat(s->state->dir, "log", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd, r;

	if (dir < 0)
		return err_set(err, -errno, "log directory: %s", err_name(errno));
	r = logstore_open(&s->store, take_fd(dir), wall_ms(), err);
	if (r < 0)
		return r;
	fd = logstore_open_writer(s->store);
	s->log = fd < 0 ? NULL : log_new(fd);
	return s->log ? 0 : err_set(err, -EIO, "log: %s", err_name(fd < 0 ? fd : -ENOMEM));
}

static void send_log_fd(struct sandbox *s)
{
	auto_close int fd = logstore_open_writer(s->store);
	auto_msg_out struct msg_out m;

	if (fd < 0 || !s->proxy.pid)
		return;
	msg_out_init(&m, PROXY_LOG, 0);
	msg_put_fd(&m, fd);
	(void)msg_send(s->proxy_link.fd, &m);
}

/* What an unkept sandbox puts off until its command runs. */
static void on_settled(struct loop *loop, struct timer *t)
{
	struct sandbox *s = container_of(t, struct sandbox, settled);
	struct err err;

	(void)loop;
	if (change_record_first(s, &err) < 0)
		sandbox_say(s, EVENT_WARN, "%s", err.text);
}

static void on_log_time(struct loop *loop, struct timer *t)
{
	struct sandbox *s = container_of(t, struct sandbox, log_timer);
	unsigned int pruned = 0;
	struct err err;

	(void)log_flush(s->log);
	if (logstore_rotate(s->store, wall_ms(), &pruned, &err) == 1) {
		int fd = logstore_open_writer(s->store);

		if (fd >= 0)
			log_set_fd(s->log, fd);
		send_log_fd(s);
		if (pruned)
			sandbox_say(s, EVENT_WARN, "%u old log segments were removed for room", pruned);
	}
	(void)timer_set(loop, t, ROTATE_EVERY_MS);
}

static void after_turn(struct loop *loop, void *arg)
{
	struct sandbox *s = arg;

	(void)loop;
	if (s->log)
		(void)log_flush(s->log);
}

/* Starting: a straight line. */

/* Waits for @fd to say something while @child lives. */
static int await(struct sandbox *s, int fd, const struct child *child, const char *what,
	struct err *err)
{
	struct pollfd p[2] = { { .fd = fd, .events = POLLIN },
		{ .fd = child->watch.fd, .events = POLLIN } };
	int r;

	(void)s;
	do
		r = poll(p, 2, START_TIMEOUT_MS);
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return err_set(err, -ETIMEDOUT, "%s did not answer within %d s", what,
			START_TIMEOUT_MS / 1000);
	if (p[0].revents & POLLIN)
		return 0;
	return err_set(err, -EPIPE, "%s ended unexpectedly", what);
}

static int await_message(struct sandbox *s, int fd, const struct child *child, const char *what,
	uint16_t type, struct msg_in *ret, struct err *err)
{
	int r = await(s, fd, child, what, err);

	if (r < 0)
		return r;
	r = msg_recv(fd, ret);
	if (r <= 0)
		return err_set(err, r < 0 ? r : -EPIPE, "%s ended unexpectedly", what);
	if (ret->type == type)
		return 0;
	if (ret->type == INIT_FAILED && type != PROXY_CA) {
		int errnum = (int)msg_get_u32(ret);
		const char *text = msg_get_str(ret);

		r = err_set(err, -errnum, "%s: %s", text ? text : what, err_name(errnum));
	} else {
		r = err_set(err, -EPROTO, "%s said something unexpected", what);
	}
	msg_in_free(ret);
	return r;
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

static size_t own_addresses(struct netaddr *out)
{
	struct ifaddrs *list = NULL;
	size_t n = 0;

	if (getifaddrs(&list) < 0)
		return 0;
	for (const struct ifaddrs *i = list; i && n < OWN_ADDRS_MAX; i = i->ifa_next) {
		socklen_t len = i->ifa_addr && i->ifa_addr->sa_family == AF_INET6 ?
					sizeof(struct sockaddr_in6) :
					sizeof(struct sockaddr_in);

		if (i->ifa_addr && netaddr_from_sockaddr(i->ifa_addr, len, &out[n], NULL) == 0)
			n++;
	}
	freeifaddrs(list);
	return n;
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
	struct netaddr own[OWN_ADDRS_MAX];
	auto_msg_out struct msg_out m;
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
	msg_put_str(&m, s->spec.upstream_proxy);
	msg_put_str(&m, s->spec.no_proxy);
	msg_put_u32(&m, s->spec.audit);
	msg_put_str(&m, "127.0.0.1");
	msg_put_bytes(&m, own, own_addresses(own) * sizeof(own[0]));
	msg_put_u32(&m, extra >= 0);
	msg_put_fd(&m, log_fd);
	msg_put_fd(&m, trust);
	if (extra >= 0)
		msg_put_fd(&m, extra);
	r = msg_send(s->proxy_link.fd, &m);
	return r < 0 ? err_set(err, r, "proxy: %s", err_name(r)) : 0;
}

static int start_proxy(struct sandbox *s, struct err *err)
{
	char path[PATH_MAX];
	char *argv[] = { (char *)"openshell-proxy", NULL };
	auto_close int theirs = -1;
	struct child_fd fds[2];
	size_t n = 1;
	int r = child_pair(&s->proxy_link.fd, &theirs, err);

	if (r < 0)
		return r;
	fds[0] = (struct child_fd){ theirs, PROXY_FD };
	if (getenv("OPENSHELL_DEBUG"))
		fds[n++] = (struct child_fd){ STDERR_FILENO, STDERR_FILENO };
	child_program(path, sizeof(path), "openshell-proxy");
	r = child_start(path, argv, fds, n, &s->proxy.watch.fd, err);
	if (r < 0)
		return r;
	s->proxy.pid = r;
	return proxy_setup(s, err);
}

/* The files that the proxy's CA will fill: they exist before they are mounted. */
static int make_ca_files(struct sandbox *s, struct err *err)
{
	static const char *const names[] = { "ca.pem", "ca-bundle.pem" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		auto_close int fd = openat(s->runtime_dir, names[i],
			O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0)
			return err_set(err, -errno, "runtime directory: %s: %s", names[i],
				err_name(errno));
	}
	return 0;
}

static int write_into(int dir, const char *name, const char *a, size_t a_len, const char *b)
{
	auto_close int fd = openat(dir, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	int r;

	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, a, a_len);
	if (r == 0 && a_len && a[a_len - 1] != '\n')
		r = fd_write_all(fd, "\n", 1);
	return r < 0 ? r : fd_write_all(fd, b, strlen(b));
}

/* The sandbox trusts what the host trusts, and its own CA besides. */
static int write_ca_files(struct sandbox *s, const char *pem, struct err *err)
{
	auto_close int trust = etcfiles_open_trust();
	auto_free char *host = NULL;
	size_t len = 0;
	int r = 0;

	if (trust >= 0)
		r = fd_slurp(trust, 16 * 1024 * 1024, &host, &len);
	if (r == 0)
		r = write_into(s->runtime_dir, "ca.pem", "", 0, pem);
	if (r == 0)
		r = write_into(s->runtime_dir, "ca-bundle.pem", host ? host : "", len, pem);
	return r < 0 ? err_set(err, r, "writing the trust bundle: %s", err_name(r)) : 0;
}

static int runtime_path(const struct sandbox *s, const char *name, char *out, size_t size)
{
	char link[64], dir[PATH_MAX];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", s->runtime_dir);
	n = readlink(link, dir, sizeof(dir) - 1);
	if (n < 0)
		return -errno;
	dir[n] = '\0';
	return str_format(out, size, "%s/%s", dir, name) ? 0 : -ENAMETOOLONG;
}

static int home_path(const struct sandbox *s, char *out, size_t size)
{
	char link[64], dir[PATH_MAX];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", s->state->dir);
	n = readlink(link, dir, sizeof(dir) - 1);
	if (n < 0)
		return -errno;
	dir[n] = '\0';
	return str_format(out, size, "%s/home", dir) ? 0 : -ENAMETOOLONG;
}

static int add_own_files(struct sandbox *s, struct err *err)
{
	char init[PATH_MAX], ca[PATH_MAX], bundle[PATH_MAX];
	int r;

	child_program(init, sizeof(init), "openshell-init");
	r = runtime_path(s, "ca.pem", ca, sizeof(ca));
	if (r == 0)
		r = runtime_path(s, "ca-bundle.pem", bundle, sizeof(bundle));
	if (r == 0)
		r = mounts_add(&s->mounts, MOUNT_RO, init, ENV_INIT_FILE, -1, true);
	if (r == 0)
		r = mounts_add(&s->mounts, MOUNT_RO, ca, ENV_CA_FILE, -1, true);
	if (r == 0)
		r = mounts_add(&s->mounts, MOUNT_RO, bundle, ENV_BUNDLE_FILE, -1, true);
	if (r == 0)
		r = etcfiles_add_trust(&s->mounts, bundle);
	return r < 0 ? err_set(err, r, "mounts: %s", err_name(r)) : 0;
}

/* run_as_user: a number is mapped onto the caller, a name or nothing keeps the caller's. */
static unsigned int mapped_id(const char *text, unsigned int own)
{
	uint64_t v;

	return text && str_to_u64(text, UINT32_MAX - 1, &v) == 0 ? (unsigned int)v : own;
}

static int plan_mounts(struct sandbox *s, const struct account *who, struct err *err)
{
	char home[PATH_MAX];
	int r = home_path(s, home, sizeof(home));

	if (r < 0)
		return err_set(err, r, "home of the sandbox: %s", err_name(r));
	r = mounts_plan(&s->mounts, policy_static(s->policy), &s->spec, home, err);
	if (r == 0)
		r = etcfiles_add(&s->mounts, s->spec.name, who, err);
	if (r == 0)
		r = add_own_files(s, err);
	if (r == 0)
		mounts_sort(&s->mounts);
	return r;
}

static int bwrap_args(struct sandbox *s, const struct account *who, char ***ret)
{
	char uid[16], gid[16], info[16];
	const char *head[] = { "bwrap", "--unshare-user", "--uid", uid, "--gid", gid,
		"--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts",
		"--unshare-cgroup-try", "--hostname", s->spec.name, "--die-with-parent",
		"--as-pid-1", "--cap-drop", "ALL", "--clearenv", "--info-fd", info };
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

static int start_bwrap(struct sandbox *s, struct err *err)
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
	fds = calloc(s->mounts.n + 3, sizeof(*fds));
	if (!fds)
		return -ENOMEM;
	for (size_t i = 0; i < s->mounts.n; i++)
		if (s->mounts.list[i].fd >= 0)
			fds[n++] = (struct child_fd){ s->mounts.list[i].fd, s->mounts.list[i].fd };
	fds[n++] = (struct child_fd){ err_w, STDERR_FILENO };
	fds[n++] = (struct child_fd){ info_w, BWRAP_INFO_FD };
	fds[n++] = (struct child_fd){ theirs, INIT_FD };
	r = child_start("bwrap", args, fds, n, &s->bwrap.watch.fd, err);
	if (r < 0)
		return err_hint(err, r, "install bubblewrap (Debian, Ubuntu, Fedora: package bubblewrap)");
	s->bwrap.pid = r;
	return 0;
}

/* What bubblewrap said before it gave up, which is better than anything we could. */
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
	(void)err_set(err, r, "bubblewrap: %s",
		str_starts(text, "bwrap: ") ? text + strlen("bwrap: ") : text);
	return err_hint(err, r, "openshell doctor says what this host lacks and how to mend it");
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

static int send_init_setup(struct sandbox *s, const void *filter, size_t filter_len,
	struct err *err)
{
	auto_strv char **ro = NULL;
	auto_strv char **rw = NULL;
	auto_msg_out struct msg_out m;
	int r = mounts_to_landlock(&s->mounts, &ro, &rw);

	if (r == 0) {
		msg_out_init(&m, INIT_SETUP, 0);
		msg_put_bytes(&m, filter, filter_len);
		msg_put_u32(&m, landlock_mode(policy_static(s->policy)));
		msg_put_strv(&m, ro);
		msg_put_strv(&m, rw);
		r = msg_send(s->init_link.fd, &m);
	} else {
		msg_out_init(&m, 0, 0);
	}
	return r < 0 ? err_set(err, r, "init: %s", err_name(r)) : 0;
}

static int take_ready(struct sandbox *s, struct err *err)
{
	auto_msg_in struct msg_in m = { 0 };
	const char *note;
	int r = await_message(s, s->init_link.fd, &s->bwrap, "init", INIT_READY, &m, err);

	if (r < 0)
		return r;
	s->landlock_abi = (int)msg_get_u32(&m);
	note = msg_get_str(&m);
	s->listener = msg_get_fd(&m);
	if (!msg_in_done(&m))
		return err_set(err, -EPROTO, "init of the sandbox answered nonsense");
	if (note)
		sandbox_say(s, EVENT_WARN, "Landlock is not applied: %s", note);
	return 0;
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
	return write_ca_files(s, pem, err);
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

static void retry_parked(void *arg)
{
	struct sandbox *s = arg;

	if (s->notifier)
		notifier_retry(s->notifier);
}

static int start_services(struct sandbox *s, struct err *err)
{
	s->hashes = filehash_new(s->loop);
	s->owners = s->hashes ? owners_new(s->hashes, s->init.pid, retry_parked, s) : NULL;
	s->names = names_new();
	s->peers = peers_new();
	s->once = once_new();
	if (!s->owners || !s->names || !s->peers)
		return err_set(err, -ENOMEM, "the sandbox's root directory cannot be looked at");
	s->dns = dnsserver_new(s->loop, s->names, s->spec.name, &s->sockets);
	if (!s->dns)
		return err_set(err, -ENOMEM, "the sandbox's resolver cannot be started");
	s->notifier = notifier_new(s, take_fd(s->listener), err);
	return s->notifier ? 0 : -EIO;
}

/* Events of the running sandbox. */

static void on_init_message(struct loop *loop, struct watch *w, uint32_t events)
{
	struct sandbox *s = container_of(w, struct sandbox, init_link);
	auto_msg_in struct msg_in m = { 0 };
	int r = msg_recv(w->fd, &m);

	(void)events;
	if (r > 0)
		session_on_init(s, &m);
	else if (r != -EAGAIN)
		(void)watch_set(loop, w, 0); /* its end follows through the pidfd */
}

static void start_resolver(struct sandbox *s)
{
	auto_close int sock = -1, pidfd = -1;
	auto_msg_out struct msg_out m;
	pid_t pid = resolver_start(&sock, &pidfd);

	if (pid < 0) {
		sandbox_say(s, EVENT_ERROR, "the resolver process cannot be started: %s", err_name(pid));
		return;
	}
	msg_out_init(&m, PROXY_RESOLVER, 0);
	msg_put_fd(&m, sock);
	(void)msg_send(s->proxy_link.fd, &m);
}

static void on_proxy_message(struct loop *loop, struct watch *w, uint32_t events)
{
	struct sandbox *s = container_of(w, struct sandbox, proxy_link);
	auto_msg_in struct msg_in m = { 0 };
	int r = msg_recv(w->fd, &m);

	(void)events;
	if (r == -EAGAIN)
		return;
	if (r <= 0)
		(void)watch_set(loop, w, 0);
	else if (m.type == PROXY_POLICY_DONE)
		change_done(s, &m);
	else if (m.type == PROXY_NEED_RESOLVER)
		start_resolver(s);
}

/* The workload keeps running, without network: never with more. */
static void on_proxy_end(struct loop *loop, struct watch *w, uint32_t events)
{
	struct sandbox *s = container_of(w, struct sandbox, proxy.watch);
	int status = 0;

	(void)events;
	(void)watch_set(loop, w, 0);
	(void)waitpid(s->proxy.pid, &status, 0);
	s->proxy.pid = 0;
	change_end_all(s);
	sandbox_say(s, EVENT_ERROR,
		"the proxy ended (status %d): the sandbox has no network until it is started again",
		status);
}

static void on_bwrap_end(struct loop *loop, struct watch *w, uint32_t events)
{
	struct sandbox *s = container_of(w, struct sandbox, bwrap.watch);

	(void)events;
	(void)watch_set(loop, w, 0);
	(void)waitpid(s->bwrap.pid, NULL, 0);
	s->bwrap.pid = 0;
	if (s->phase != PHASE_STOPPING)
		sandbox_say(s, EVENT_ERROR, "the sandbox's init ended unexpectedly");
	sandbox_end(s, s->is_removed_at_end || !s->spec.keep);
}

static int watch_child(struct sandbox *s, struct child *c, watch_fn *fn)
{
	watch_init(&c->watch, c->watch.fd, fn, NULL);
	return watch_set(s->loop, &c->watch, EPOLLIN);
}

static int watch_link(struct sandbox *s, struct watch *w, watch_fn *fn)
{
	int fd = w->fd;

	watch_init(w, fd, fn, NULL);
	(void)fd_set_nonblock(fd, true);
	return watch_set(s->loop, w, EPOLLIN);
}

static int watch_everything(struct sandbox *s)
{
	int r = watch_link(s, &s->init_link, on_init_message);

	if (r == 0)
		r = watch_link(s, &s->proxy_link, on_proxy_message);
	if (r == 0)
		r = watch_child(s, &s->bwrap, on_bwrap_end);
	if (r == 0)
		r = watch_child(s, &s->proxy, on_proxy_end);
	s->log_timer.on_time = on_log_time;
	s->settled.on_time = on_settled;
	if (r == 0)
		r = timer_set(s->loop, &s->settled, SETTLED_MS);
	if (r == 0)
		r = timer_set(s->loop, &s->log_timer, ROTATE_EVERY_MS);
	loop_set_after_turn(s->loop, after_turn, s);
	return r;
}

static void say_started(struct sandbox *s)
{
	sandbox_say(s, EVENT_INFO,
		"sandbox started: intercept=seccomp landlock_abi=%d policy_revision=%u%s",
		s->landlock_abi, s->revision,
		s->spec.audit ? " audit: connections are let through and recorded; SSRF ranges and "
				"the file system stay enforced" :
				"");
	for (char **p = s->mounts.skipped; p && *p; p++)
		sandbox_say(s, EVENT_WARN, "path '%s' does not exist and was skipped", *p);
}

static int prepare(struct sandbox *s, bool is_new, struct err *err)
{
	int r = is_new ? state_create(&s->state, &s->spec, err) :
			 state_open(&s->state, s->spec.name, err);

	if (r == 0 && !is_new)
		r = state_lock(s->state, err);
	if (r < 0)
		return r;
	s->runtime_dir = state_runtime_claim(s->spec.name, &s->pid_file, err);
	if (s->runtime_dir < 0)
		return s->runtime_dir;
	s->has_runtime = true;
	return 0;
}

static const char *const home_files[][2] = {
	{ ".profile", "# Read by login shells.\n[ -n \"$BASH\" ] && [ -f ~/.bashrc ] && . ~/.bashrc\n" },
	{ ".bashrc", "# Read by interactive shells of the sandbox.\n"
		     "case $- in *i*) ;; *) return ;; esac\n"
		     "PS1='\\u@\\h:\\w\\$ '\n" },
	{ ".curlrc", "# With -s curl would hide that the policy refused a request.\nshow-error\n" },
};

/* A new home gets the prompt of the walkthrough; afterwards it is the user's. */
int sandbox_furnish_home(struct sandbox *s, struct err *err)
{
	auto_close int home = openat(s->state->dir, "home", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (home < 0)
		return err_set(err, -errno, "home of the sandbox: %s", err_name(errno));
	for (size_t i = 0; i < ARRAY_SIZE(home_files); i++) {
		auto_close int fd = openat(home, home_files[i][0],
			O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		int r = fd < 0 ? -errno :
				 fd_write_all(fd, home_files[i][1], strlen(home_files[i][1]));

		if (r < 0 && r != -EEXIST)
			return err_set(err, r, "home of the sandbox: %s", err_name(r));
	}
	return 0;
}

static int bring_up(struct sandbox *s, struct err *err)
{
	auto_free void *filter = NULL;
	struct filter_options options;
	size_t filter_len;
	int r;

	r = make_ca_files(s, err);
	if (r == 0)
		r = start_bwrap(s, err);
	if (r == 0)
		r = start_proxy(s, err);
	if (r < 0)
		return r;
	/* While bubblewrap and the proxy set themselves up: */
	options.allow_user_namespaces = policy_static(s->policy)->allow_user_namespaces;
	r = filter_build(&options, &filter, &filter_len);
	if (r < 0)
		return err_set(err, r, "the seccomp filter: %s", err_name(r));
	r = change_send_current(s, err);
	/* A sandbox that ends with its command seldom lives to be asked for its revisions: theirs
	 * are recorded once it runs. */
	if (r == 0 && s->spec.keep)
		r = change_record_first(s, err);
	if (r == 0 && s->spec.keep)
		r = sandbox_furnish_home(s, err);
	if (r == 0)
		r = take_netns(s, err);
	if (r == 0)
		r = netns_setup(s->netns, &s->sockets, err);
	if (r == 0)
		r = send_listeners(s, err);
	if (r == 0)
		r = take_ca(s, err);
	if (r == 0)
		r = take_init(s, err);
	if (r == 0)
		r = send_init_setup(s, filter, filter_len, err);
	if (r == 0)
		r = take_ready(s, err);
	if (r == 0)
		r = take_proxy_ready(s, err);
	return r;
}

int sandbox_start(struct sandbox *s, const char *policy_yaml, bool is_new, struct err *err)
{
	int r = prepare(s, is_new, err);

	if (r == 0)
		r = change_first(s, policy_yaml, is_new, err);
	if (r == 0)
		r = log_open(s, err);
	if (r == 0)
		r = bring_up(s, err);
	if (r == 0)
		r = start_services(s, err);
	if (r == 0)
		r = watch_everything(s);
	if (r == 0)
		r = control_listen(s);
	if (r == 0) {
		s->phase = PHASE_READY;
		say_started(s);
		return 0;
	}
	sandbox_say(s, EVENT_ERROR, "the sandbox could not be started: %s", err->text);
	sandbox_end(s, is_new && s->state);
	return r;
}

int sandbox_send_tuple(struct sandbox *s, const struct tuple *t)
{
	auto_msg_out struct msg_out m;

	if (!s->proxy.pid)
		return -EPIPE;
	msg_out_init(&m, PROXY_TUPLE, 0);
	tuple_put(&m, t);
	return msg_send(s->proxy_link.fd, &m);
}

/* The end. */

static void kill_child(const struct child *c)
{
	if (c->pid)
		(void)syscall(SYS_pidfd_send_signal, c->watch.fd, SIGKILL, NULL, 0);
}

static void reap_child(struct child *c)
{
	while (c->pid && waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
		;
	c->pid = 0;
}

/* With init goes its whole pid namespace: the kernel leaves nobody behind. */
static void kill_everything(struct sandbox *s)
{
	kill_child(s->init.pid ? &s->init : &s->bwrap);
	kill_child(&s->proxy);
	reap_child(&s->bwrap);
	reap_child(&s->proxy);
	s->init.pid = 0;
}

static void remove_state(struct sandbox *s)
{
	struct err err = { 0 };

	if (s->is_removed_at_end && s->state && state_remove(s->state, &err) < 0)
		(void)fprintf(stderr, "openshell-tracer: %s\n", err.text);
	if (s->has_runtime)
		(void)state_runtime_remove(s->spec.name);
	s->has_runtime = false;
}

void sandbox_end(struct sandbox *s, bool is_removed)
{
	if (s->phase == PHASE_ENDING)
		return;
	s->phase = PHASE_ENDING;
	s->is_removed_at_end = s->is_removed_at_end || is_removed;
	timer_clear(s->loop, &s->grace);
	timer_clear(s->loop, &s->log_timer);
	timer_clear(s->loop, &s->settled);
	sandbox_say(s, EVENT_INFO, "sandbox %s", s->is_removed_at_end ? "deleted" : "stopped");
	notifier_free(take_ptr(s->notifier));
	kill_everything(s);
	log_free(take_ptr(s->log));
	logstore_free(take_ptr(s->store));
	remove_state(s);
	change_end_all(s);
	session_end_all(s);
	control_end_all(s);
	loop_stop(s->loop);
}

static void on_grace(struct loop *loop, struct timer *t)
{
	struct sandbox *s = container_of(t, struct sandbox, grace);

	(void)loop;
	sandbox_end(s, s->is_removed_at_end);
}

void sandbox_stop(struct sandbox *s)
{
	if (s->phase != PHASE_READY)
		return;
	if (LIST_EMPTY(&s->sessions)) {
		sandbox_end(s, !s->spec.keep);
		return;
	}
	s->phase = PHASE_STOPPING;
	session_signal_all(s, SIGHUP);
	session_signal_all(s, SIGTERM);
	s->grace.on_time = on_grace;
	if (timer_set(s->loop, &s->grace, STOP_GRACE_MS) < 0)
		sandbox_end(s, !s->spec.keep);
}
