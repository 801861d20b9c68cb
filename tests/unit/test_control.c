/* Who may talk to the supervisor, how many at once, and about what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/loop.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "tracer/control.h"
#include "tracer/sandbox.h"
#include "tracer/session.h"

static struct sandbox s;

static int set_up(void **state)
{
	struct rlimit l;

	(void)state;
	/* The soft limit of a shell is 1024, and both ends are ours. */
	if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_max < 3 * CONTROLS_MAX)
		return -1;
	l.rlim_cur = l.rlim_max < 4096 ? l.rlim_max : 4096;
	if (setrlimit(RLIMIT_NOFILE, &l) < 0)
		return -1;
	s = (struct sandbox){ .loop = loop_new(), .spec = { .keep = true } };
	return s.loop ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	control_end_all(&s);
	loop_free(s.loop);
	return 0;
}

/* A connected pair; SO_PEERCRED of both ends names whoever made it. */
static void pair(int sv[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv), 0);
}

static bool is_ended(int fd)
{
	char c;

	return recv(fd, &c, 1, MSG_DONTWAIT) == 0;
}

static void one_command_too_many_is_turned_away(void **state)
{
	int theirs[CONTROLS_MAX + 1];

	(void)state;
	for (int i = 0; i <= CONTROLS_MAX; i++) {
		int sv[2];

		pair(sv);
		theirs[i] = sv[1];
		assert_true((control_new(&s, sv[0]) != NULL) == (i < CONTROLS_MAX));
	}
	assert_false(is_ended(theirs[CONTROLS_MAX - 1]));
	assert_true(is_ended(theirs[CONTROLS_MAX]));
	for (int i = 0; i <= CONTROLS_MAX; i++)
		(void)close(theirs[i]);
}

/* Sends an end of a pair that it made as the user @uid, and waits to see it end. */
static _Noreturn void be_another(int link, uid_t uid)
{
	struct msg_out m;
	int sv[2];

	if (setuid(uid) < 0)
		_exit(2);
	pair(sv);
	msg_out_init(&m, 1, 0);
	msg_put_fd(&m, sv[0]);
	if (msg_send(link, &m) < 0 || close(sv[0]) < 0 || fcntl(sv[1], F_SETFL, 0) < 0)
		_exit(2);
	_exit(recv(sv[1], sv, 1, 0) == 0 ? 0 : 1);
}

static void another_user_is_not_heard(void **state)
{
	auto_msg_in struct msg_in m = { 0 };
	int status = -1, link[2], sv[2];
	pid_t pid;

	(void)state;
	/* Not skip(): in TAP cmocka writes "not ok" before it. */
	if (getuid() != 0) {
		print_message("# SKIP another_user_is_not_heard: only root can be another user\n");
		return;
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link), 0);
	pid = fork();
	if (pid == 0)
		be_another(link[1], 65534);
	assert_int_equal(msg_recv(link[0], &m), 1);
	assert_null(control_new(&s, msg_get_fd(&m)));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	(void)close(link[0]);
	(void)close(link[1]);
	/* The control: we ourselves are. */
	pair(sv);
	assert_non_null(control_new(&s, sv[0]));
	(void)close(sv[1]);
}

static void send_exec(int fd, uint32_t request)
{
	char *none[] = { NULL }, *argv[] = { (char *)"true", NULL };
	auto_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	auto_msg_out struct msg_out m;

	msg_out_init(&m, CTL_EXEC, request);
	msg_put_u32(&m, CTL_EXEC_EXTRA);
	for (int i = 0; i < 3; i++)
		msg_put_u32(&m, 0); /* flags, rows, cols */
	msg_put_str(&m, NULL);
	msg_put_strv(&m, none);
	msg_put_strv(&m, argv);
	for (int i = 0; i < 3; i++)
		msg_put_fd(&m, null);
	assert_int_equal(msg_send(fd, &m), 0);
	assert_int_equal(loop_turn(s.loop, 5000), 0);
}

static void send_signal(int fd, uint32_t session, uint32_t sig)
{
	auto_msg_out struct msg_out m;

	msg_out_init(&m, CTL_SIGNAL, 0);
	msg_put_u32(&m, session);
	msg_put_u32(&m, sig);
	assert_int_equal(msg_send(fd, &m), 0);
	assert_int_equal(loop_turn(s.loop, 5000), 0);
}

/* What init is told: the signal, for @session; 0: nothing. */
static uint32_t signalled(int init, uint32_t session)
{
	auto_msg_in struct msg_in m = { 0 };
	uint32_t sig;

	if (msg_recv(init, &m) == -EAGAIN)
		return 0;
	assert_int_equal(m.type, INIT_SIGNAL);
	assert_int_equal(m.id, session);
	sig = msg_get_u32(&m);
	assert_true(msg_in_done(&m));
	return sig;
}

static void another_commands_session_is_not_signalled(void **state)
{
	auto_msg_in struct msg_in m = { 0 };
	int init[2], own[2], other[2];

	(void)state;
	pair(init);
	pair(own);
	pair(other);
	s.phase = PHASE_READY;
	s.init_link.fd = init[0];
	assert_non_null(control_new(&s, own[0]));
	assert_non_null(control_new(&s, other[0]));
	send_exec(own[1], 7);
	assert_int_equal(msg_recv(init[1], &m), 1);
	assert_int_equal(m.type, INIT_SPAWN);
	send_signal(other[1], m.id, SIGTERM);
	assert_int_equal(signalled(init[1], m.id), 0);
	send_signal(own[1], m.id, SIGHUP); /* the control */
	assert_int_equal(signalled(init[1], m.id), SIGHUP);
	send_signal(own[1], m.id + 1, SIGHUP);
	assert_int_equal(signalled(init[1], m.id), 0);
	session_end_all(&s);
	for (int i = 0; i < 2; i++)
		(void)close(init[i]);
	(void)close(own[1]);
	(void)close(other[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_command_too_many_is_turned_away, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_user_is_not_heard, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_commands_session_is_not_signalled, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
