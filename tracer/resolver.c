#include "tracer/resolver.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/kernel.h"
#include "lib/msg.h"
#include "lib/netaddr.h"
#include "lib/proto.h"
#include "tracer/thread.h"

struct question {
	uint32_t id;
	char *name;
	STAILQ_ENTRY(question) link;
};

/* Of the resolver process alone: it serves one socket and never returns. */
static struct {
	int sock;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	STAILQ_HEAD(, question) queue;
	unsigned int n_queued, n_threads, n_idle;
} self = { .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER };

static void allow_reading(int ruleset, const char *path)
{
	struct landlock_path_beneath_attr rule = {
		.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
		.parent_fd = open(path, O_PATH | O_CLOEXEC),
	};

	if (rule.parent_fd < 0)
		return;
	(void)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	(void)close(rule.parent_fd);
}

/* Where the kernel has no Landlock the process still holds nothing but its socket. */
static void confine(void)
{
	static const char *const readable[] = { "/etc", "/run", "/usr", "/lib", "/lib64",
		"/var/lib", "/dev", "/proc/self" };
	struct kernel_landlock_attr attr = { .handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) -
								  1 };
	const struct rlimit none = { 0, 0 };
	int ruleset;

	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	(void)setrlimit(RLIMIT_CORE, &none);
	(void)setrlimit(RLIMIT_FSIZE, &none);
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr,
		offsetof(struct kernel_landlock_attr, handled_access_net), 0);
	if (ruleset < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(readable); i++)
		allow_reading(ruleset, readable[i]);
	(void)syscall(SYS_landlock_restrict_self, ruleset, 0);
	(void)close(ruleset);
}

static size_t collect(const struct addrinfo *list, struct netaddr *out)
{
	size_t n = 0;

	for (; list && n < RESOLVER_ADDRS_MAX; list = list->ai_next)
		if (netaddr_from_sockaddr(list->ai_addr, list->ai_addrlen, &out[n], NULL) == 0)
			n++;
	return n;
}

static void answer(const struct question *q)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_ADDRCONFIG };
	struct netaddr addrs[RESOLVER_ADDRS_MAX];
	struct addrinfo *list = NULL;
	auto_msg_out struct msg_out m;
	int e = getaddrinfo(q->name, NULL, &hints, &list);
	size_t n = e == 0 ? collect(list, addrs) : 0;

	if (list)
		freeaddrinfo(list);
	msg_out_init(&m, RESOLVER_ANSWER, q->id);
	msg_put_u32(&m, (uint32_t)abs(e));
	msg_put_str(&m, e ? gai_strerror(e) : NULL);
	msg_put_bytes(&m, addrs, n * sizeof(addrs[0]));
	if (msg_send(self.sock, &m) < 0)
		_exit(0);
}

static void question_free(struct question *q)
{
	free(q->name);
	free(q);
}

static void *work(void *arg)
{
	(void)arg;
	for (;;) {
		struct question *q;

		(void)pthread_mutex_lock(&self.lock);
		self.n_idle++;
		while (!(q = STAILQ_FIRST(&self.queue)))
			(void)pthread_cond_wait(&self.wake, &self.lock);
		self.n_idle--;
		STAILQ_REMOVE_HEAD(&self.queue, link);
		self.n_queued--;
		(void)pthread_mutex_unlock(&self.lock);
		answer(q);
		question_free(q);
	}
	return NULL;
}

static void refuse(uint32_t id, int e)
{
	auto_msg_out struct msg_out m;

	msg_out_init(&m, RESOLVER_ANSWER, id);
	msg_put_u32(&m, (uint32_t)abs(e));
	msg_put_str(&m, gai_strerror(e));
	msg_put_bytes(&m, NULL, 0);
	if (msg_send(self.sock, &m) < 0)
		_exit(0);
}

static struct question *question_new(uint32_t id, const char *name)
{
	struct question *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->id = id;
	q->name = strdup(name);
	if (q->name)
		return q;
	question_free(q);
	return NULL;
}

/* Under the lock: whether there is a thread for one more question, now or when others are answered. */
static bool have_thread(void)
{
	pthread_t t;

	if (self.n_idle <= self.n_queued && self.n_threads < RESOLVER_THREADS &&
		thread_start(&t, work, NULL) == 0) {
		(void)pthread_detach(t);
		self.n_threads++;
	}
	return self.n_threads > 0;
}

static int enqueue(uint32_t id, const char *name)
{
	struct question *q = question_new(id, name);
	bool is_queued;

	if (!q)
		return EAI_MEMORY;
	(void)pthread_mutex_lock(&self.lock);
	is_queued = self.n_queued < RESOLVER_QUEUE_MAX && have_thread();
	if (is_queued) {
		STAILQ_INSERT_TAIL(&self.queue, q, link);
		self.n_queued++;
		(void)pthread_cond_signal(&self.wake);
	}
	(void)pthread_mutex_unlock(&self.lock);
	if (is_queued)
		return 0;
	question_free(q);
	return EAI_MEMORY;
}

static _Noreturn void serve(int sock)
{
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	self.sock = dup2(sock, 3);
	(void)syscall(SYS_close_range, 4, ~0U, 0);
	confine();
	STAILQ_INIT(&self.queue);
	for (;;) {
		auto_msg_in struct msg_in m = { 0 };
		const char *name;
		int e;

		if (msg_recv(self.sock, &m) <= 0)
			_exit(0);
		name = msg_get_str(&m);
		if (m.type != RESOLVER_ASK || !msg_in_done(&m) || !name)
			_exit(1);
		e = enqueue(m.id, name);
		if (e)
			refuse(m.id, e);
	}
}

pid_t resolver_start(int *ret_sock, int *ret_pidfd)
{
	auto_close int ours = -1, theirs = -1;
	int sv[2], pidfd;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return -errno;
	ours = sv[0];
	theirs = sv[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		serve(ours);
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return -errno;
	*ret_pidfd = pidfd;
	*ret_sock = take_fd(theirs);
	return pid;
}
