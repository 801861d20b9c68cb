/*
 * The caller dies while its call is looked at, and its number goes to somebody else at once
 * (threats.md 3, invariant 2): whatever was about to be done is not done, neither to the new bearer
 * of the number nor on its account.
 *
 * The real handlers, with a real listener and real processes. The moment is chosen by the linker:
 * each function that looks a task up by its number is wrapped (GNUmakefile), and strikes first when
 * it is its turn. The number is given away by clone3()'s set_tid, in a pid namespace of the test's
 * own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "tracer/filehash.h"
#include "tracer/listener.h"
#include "tracer/names.h"
#include "tracer/notify.h"
#include "tracer/once.h"
#include "tracer/owner.h"
#include "tracer/peers.h"
#include "tracer/remote.h"
#include "tracer/sandbox.h"

enum { SOCK_AT = 50 };

enum moment { NEVER = 0, AT_GETFD, AT_IDENTITY, AT_PROCDIR, AT_MEMORY };

struct fixture {
	struct loop *loop; /* of the hashes */
	struct sandbox s;
	struct call_source *source;
	int inet, unix_, pair[2]; /* listeners; where a message goes */
	pid_t caller, victim;
	struct call call;
	struct mount tmp; /* a directory that is the sandbox's own */
	char dir[64];
};

static struct fixture *fix;
static enum moment strike_at;

/* What a caller and its successor have at the same place, with other contents. */
static struct sockaddr_storage target;
static socklen_t target_len;
static char message[8];
static int family, type;  /* of the socket that each of them has */
static bool is_connected; /* to target, from the start */
static struct sockaddr_storage name;
static socklen_t name_len;

static pid_t fork_as(pid_t pid)
{
	struct clone_args args = {
		.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&pid, .set_tid_size = 1
	};

	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

static void own_socket(void)
{
	int fd = socket(family, type, 0);

	assert_int_equal(dup3(fd, SOCK_AT, O_CLOEXEC), SOCK_AT);
	(void)close(fd);
	if (is_connected)
		assert_int_equal(connect(SOCK_AT, (struct sockaddr *)&target, target_len), 0);
}

/* The successor: another process with another socket under the same number, which asked for
 * nothing. */
static void strike(enum moment m)
{
	if (strike_at != m)
		return;
	strike_at = NEVER;
	(void)kill(fix->caller, SIGKILL);
	assert_int_equal(waitpid(fix->caller, NULL, 0), fix->caller);
	memcpy(message, "victim", 7);
	fix->victim = fork_as(fix->caller);
	if (fix->victim == 0) {
		own_socket();
		for (;;)
			(void)pause();
	}
	memcpy(message, "caller", 7);
	assert_int_equal(fix->victim, fix->caller);
}

int __real_owner_getfd(struct owners *o, pid_t tid, int fd);
int __wrap_owner_getfd(struct owners *o, pid_t tid, int fd);
int __real_owner_get(struct owners *o, pid_t tid, const struct owner **ret);
int __wrap_owner_get(struct owners *o, pid_t tid, const struct owner **ret);
int __real_owner_procdir(struct owners *o, pid_t tid);
int __wrap_owner_procdir(struct owners *o, pid_t tid);
int __real_remote_read(pid_t tid, uint64_t addr, void *out, size_t len);
int __wrap_remote_read(pid_t tid, uint64_t addr, void *out, size_t len);

int __wrap_owner_getfd(struct owners *o, pid_t tid, int fd)
{
	strike(AT_GETFD);
	return __real_owner_getfd(o, tid, fd);
}

int __wrap_owner_get(struct owners *o, pid_t tid, const struct owner **ret)
{
	strike(AT_IDENTITY);
	return __real_owner_get(o, tid, ret);
}

int __wrap_owner_procdir(struct owners *o, pid_t tid)
{
	strike(AT_PROCDIR);
	return __real_owner_procdir(o, tid);
}

int __wrap_remote_read(pid_t tid, uint64_t addr, void *out, size_t len)
{
	strike(AT_MEMORY);
	return __real_remote_read(tid, addr, out, len);
}

int __real_close(int fd);
int __wrap_close(int fd);

/* A number that is closed twice may be somebody else's by the second time. */
int __wrap_close(int fd)
{
	int r = __real_close(fd);

	if (fd >= 0)
		assert_int_equal(r, 0);
	return r;
}

/* The caller: under a listener of its own, whose number it tells; then the call. */
static void be_caller(int to_test, int nr)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned int)nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(code), .filter = code };
	int listener;

	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	listener = (int)syscall(
		SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog);
	(void)!write(to_test, &listener, sizeof(listener));
	if (nr == SYS_connect)
		(void)connect(SOCK_AT, (struct sockaddr *)&target, target_len);
	else if (nr == SYS_getpeername)
		(void)getpeername(SOCK_AT, (struct sockaddr *)&name, &name_len);
	else
		(void)sendto(SOCK_AT, message, sizeof(message), 0, (struct sockaddr *)&target,
			target_len);
	_exit(0);
}

/* A call of a new caller, taken from its listener; the notifier is the real one. */
static void start_call(struct fixture *f, int nr)
{
	struct err err = { 0 };
	int p[2], number = -1, pidfd, listener;

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	memcpy(message, "caller", 7);
	own_socket();
	f->caller = fork();
	if (f->caller == 0)
		be_caller(p[1], nr);
	assert_int_equal(read(p[0], &number, sizeof(number)), sizeof(number));
	pidfd = (int)syscall(SYS_pidfd_open, f->caller, 0);
	listener = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
	assert_true(listener >= 0);
	f->call = (struct call){ .held = -1 };
	assert_int_equal(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &f->call.req), 0);
	f->source = listener_open(listener, &err);
	assert_non_null(f->source);
	f->s.notifier = notifier_new(&f->s, f->source, &err);
	if (!f->s.notifier)
		fail_msg("%s", err.text);
	(void)close(pidfd);
	(void)close(p[0]);
	(void)close(p[1]);
}

/* The handler's answer, once every binary is hashed. Then the blow may fall. */
static struct answer ask(struct fixture *f, enum moment m)
{
	const struct owner *who;
	int r;

	while ((r = owner_get(f->s.owners, f->caller, &who)) == -EINPROGRESS)
		assert_int_equal(loop_turn(f->loop, 5000), 0);
	assert_int_equal(r, 0);
	strike_at = m;
	switch (f->call.req.data.nr) {
	case SYS_connect:
		return connect_handle(&f->s, f->s.notifier, &f->call);
	case SYS_getpeername:
		return getpeername_handle(&f->s, f->s.notifier, &f->call);
	default:
		return sendto_handle(&f->s, f->s.notifier, &f->call);
	}
}

static void end_call(struct fixture *f)
{
	assert_int_equal(strike_at, NEVER); /* it fell */
	(void)kill(f->caller, SIGKILL);
	(void)waitpid(f->caller, NULL, 0);
	notifier_free(f->s.notifier);
	f->s.notifier = NULL;
	call_source_free(f->source);
}

static bool is_heard(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0)
		(void)close(fd);
	return fd >= 0;
}

static int listen_at(int fam, const void *sa, socklen_t len)
{
	int fd = socket(fam, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_int_equal(bind(fd, sa, len), 0);
	assert_int_equal(listen(fd, 8), 0);
	target_len = sizeof(target);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&target, &target_len), 0);
	return fd;
}

/* A connect to @listener: carried out for a caller that lives, never for its successor. */
static void expect_connect(struct fixture *f, int listener, enum moment m)
{
	struct answer a;

	start_call(f, SYS_connect);
	a = ask(f, NEVER);
	assert_int_equal(a.kind, ANSWER_VALUE);
	assert_true(is_heard(listener)); /* the control */
	end_call(f);

	start_call(f, SYS_connect);
	a = ask(f, m);
	assert_int_equal(a.kind, ANSWER_ERROR);
	assert_true(a.value < 0);
	assert_false(is_heard(listener));
	end_call(f);
}

static void loopback(struct fixture *f)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };

	f->inet = listen_at(AF_INET, &sin, sizeof(sin));
	family = AF_INET, type = SOCK_STREAM;
}

static void the_socket_of_the_next_bearer_is_not_connected(void **state)
{
	struct fixture *f = *state;

	loopback(f);
	expect_connect(f, f->inet, AT_GETFD);
}

static void an_address_in_its_memory_is_not_used(void **state)
{
	struct fixture *f = *state;

	loopback(f);
	expect_connect(f, f->inet, AT_MEMORY);
}

static void a_path_is_not_looked_up_in_its_view(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/socket", f->dir);
	f->unix_ = listen_at(AF_UNIX, &sun, sizeof(sun));
	family = AF_UNIX, type = SOCK_STREAM;
	expect_connect(f, f->unix_, AT_PROCDIR);
	(void)unlink(sun.sun_path);
}

/* Each decision takes a number: none is taken in the name of somebody who did not ask. */
static void nothing_is_decided_in_its_name(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_in sin = {
		.sin_family = AF_INET, .sin_port = htons(443), .sin_addr = { htonl(0xc0000201) }
	};

	family = AF_INET, type = SOCK_STREAM;
	memcpy(&target, &sin, sizeof(sin));
	target_len = sizeof(sin);
	start_call(f, SYS_connect);
	assert_int_equal(ask(f, NEVER).kind, ANSWER_ERROR); /* there is no proxy here */
	assert_int_equal(f->s.next_connection, 1);
	end_call(f);
	start_call(f, SYS_connect);
	assert_int_equal(ask(f, AT_IDENTITY).kind, ANSWER_ERROR);
	assert_int_equal(f->s.next_connection, 1);
	end_call(f);
}

/* What lies in the successor's memory does not go out over the caller's socket. */
static void its_memory_is_not_sent(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	char got[16] = "";
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	target_len = sizeof(target);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&target, &target_len), 0);
	family = AF_INET, type = SOCK_DGRAM;
	start_call(f, SYS_sendto);
	assert_int_equal(ask(f, NEVER).kind, ANSWER_VALUE);
	assert_int_equal(recv(fd, got, sizeof(got), 0), sizeof(message));
	assert_string_equal(got, "caller");
	end_call(f);
	start_call(f, SYS_sendto);
	assert_int_equal(ask(f, AT_MEMORY).kind, ANSWER_ERROR);
	assert_int_equal(recv(fd, got, sizeof(got), 0), -1);
	end_call(f);
	(void)close(fd);
}

static void its_memory_is_not_written(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_storage there;

	loopback(f);
	is_connected = true;
	name_len = sizeof(name);
	start_call(f, SYS_getpeername);
	assert_int_equal(ask(f, NEVER).kind, ANSWER_VALUE);
	assert_int_equal(remote_read(f->caller, (uintptr_t)&name, &there, sizeof(there)), 0);
	assert_memory_equal(&there, &target, target_len);
	end_call(f);
	start_call(f, SYS_getpeername);
	assert_int_equal(ask(f, AT_GETFD).kind, ANSWER_ERROR);
	assert_int_equal(remote_read(f->victim, (uintptr_t)&name, &there, sizeof(there)), 0);
	assert_int_equal(there.ss_family, 0);
	end_call(f);
	is_connected = false;
}

static void on_hashed(void *arg)
{
	(void)arg;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/stale-test.XXXXXX");
	if (!mkdtemp(f->dir) || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, f->pair) < 0)
		return -1;
	f->inet = f->unix_ = -1;
	f->loop = loop_new();
	f->s.loop = loop_new();
	f->s.hashes = filehash_new(f->loop);
	f->s.owners = owners_new(f->s.hashes, getpid(), on_hashed, f);
	f->s.names = names_new();
	f->s.once = once_new();
	f->s.peers = peers_new();
	f->s.is_proxy_gone = true;
	f->s.proxy_link.fd = f->pair[0];
	f->s.sockets.diag = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* of this network namespace */
	f->tmp = (struct mount){ .dest = f->dir, .is_private = true };
	f->s.mounts = (struct mounts){ .list = &f->tmp, .n = 1 };
	if (policy_load(policy_default_yaml, strlen(policy_default_yaml), &f->s.policy, NULL) < 0)
		return -1;
	*state = fix = f;
	return f->s.owners ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	cleanup_close(&f->inet);
	cleanup_close(&f->unix_);
	(void)close(f->pair[0]);
	(void)close(f->pair[1]);
	(void)close(f->s.sockets.diag);
	(void)close(SOCK_AT);
	policy_unref(f->s.policy);
	peers_free(f->s.peers);
	once_free(f->s.once);
	names_free(f->s.names);
	owners_free(f->s.owners);
	filehash_free(f->s.hashes);
	loop_free(f->s.loop);
	loop_free(f->loop);
	(void)rmdir(f->dir);
	free(f);
	return 0;
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		EACH(the_socket_of_the_next_bearer_is_not_connected),
		EACH(an_address_in_its_memory_is_not_used),
		EACH(a_path_is_not_looked_up_in_its_view),
		EACH(nothing_is_decided_in_its_name),
		EACH(its_memory_is_not_sent),
		EACH(its_memory_is_not_written),
	};

	/* Only the owner of a pid namespace hands out numbers. */
	if (argc == 1) {
		(void)execlp("unshare", "unshare", "--user", "--map-root-user", "--pid", "--fork",
			"--mount-proc", "--kill-child", argv[0], "inside", NULL);
		return 127;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
