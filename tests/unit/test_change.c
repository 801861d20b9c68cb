/* A policy of a running sandbox changes as a whole or not at all; the test is the launcher and the proxy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/proto.h"
#include "lib/str.h"
#include "tracer/change.h"
#include "tracer/control.h"
#include "tracer/sandbox.h"

#define STATICS                                                                                                   \
	"version: 1\n"                                                                                             \
	"filesystem_policy: { include_workdir: true, read_only: [/usr], read_write: [/tmp] }\n"                    \
	"landlock: { compatibility: best_effort }\n"                                                               \
	"process: { run_as_user: sandbox, run_as_group: sandbox }\n"
#define HOST(name)                                                                                                \
	"network_policies: { p: { endpoints: [ { host: " name                                                      \
	", port: 5 } ], binaries: [ { path: /usr/bin/curl } ] } }\n"

static const char old_policy[] = STATICS HOST("old.test"), new_policy[] = STATICS HOST("new.test");

struct fixture {
	struct sandbox s;
	struct control control;
	int launcher, proxy; /* the other ends */
	char base[64];
};

static void pair(int *ret_ours, int *ret_theirs)
{
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv), 0);
	*ret_ours = sv[0];
	*ret_theirs = sv[1];
}

static int set_up(void **state)
{
	static struct fixture f;
	struct sandbox_spec spec = { .name = (char *)(uintptr_t)"box", .keep = true };
	struct err err = { 0 };

	f = (struct fixture){ .control.sandbox = &f.s };
	(void)str_copy(f.base, sizeof(f.base), "/tmp/openshell-test-change-XXXXXX");
	if (!mkdtemp(f.base))
		return -1;
	(void)setenv("XDG_STATE_HOME", f.base, 1);
	f.s.loop = loop_new();
	f.s.proxy.pid = getpid();
	pair(&f.s.proxy_link.fd, &f.proxy);
	pair(&f.control.watch.fd, &f.launcher);
	if (state_create(&f.s.state, &spec, &err) < 0 || change_first(&f.s, old_policy, true, &err) < 0 ||
		change_record_first(&f.s, &err) < 0) {
		print_message("# %s\n", err.text);
		return -1;
	}
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	change_end_all(&f->s);
	(void)close(f->s.proxy_link.fd);
	(void)close(f->proxy);
	(void)close(f->control.watch.fd);
	(void)close(f->launcher);
	policy_unref(f->s.policy);
	free(f->s.policy_yaml);
	state_close(f->s.state);
	loop_free(f->s.loop);
	return state_tree_remove(AT_FDCWD, f->base);
}

/* Hands @m to @fn as if it had come from its sender. */
static void deliver(const struct msg_out *m, struct msg_in *ret)
{
	auto_close int ours = -1, theirs = -1;

	pair(&ours, &theirs);
	assert_int_equal(msg_send(theirs, m), 0);
	assert_int_equal(msg_recv(ours, ret), 1);
}

static void set(struct fixture *f, const char *yaml)
{
	auto_msg_out struct msg_out m;
	auto_msg_in struct msg_in in = { 0 };

	msg_out_init(&m, CTL_POLICY_SET, 7);
	msg_put_str(&m, yaml);
	msg_put_str(&m, "test");
	deliver(&m, &in);
	change_set(&f->s, &f->control, &in);
}

static void confirm(struct fixture *f, uint32_t version)
{
	auto_msg_out struct msg_out m;
	auto_msg_in struct msg_in in = { 0 };

	msg_out_init(&m, PROXY_POLICY_DONE, 2);
	msg_put_u32(&m, version);
	msg_put_u32(&m, 0);
	deliver(&m, &in);
	change_done(&f->s, &in);
}

/* What the launcher was told: its type, 0 for nothing. */
static uint16_t told(struct fixture *f, uint32_t *ret_version, char text[ERR_TEXT_MAX])
{
	auto_msg_in struct msg_in m = { 0 };
	const char *s = NULL;
	int r = msg_recv(f->launcher, &m);

	if (r == -EAGAIN)
		return 0;
	assert_int_equal(r, 1);
	assert_int_equal(m.id, 7);
	*ret_version = msg_get_u32(&m);
	(void)msg_get_u32(&m);
	if (m.type == CTL_FAILED)
		s = msg_get_str(&m);
	(void)str_copy(text, ERR_TEXT_MAX, s ? s : "");
	return m.type;
}

/* The number of the policy that the proxy was sent, 0 for none. */
static uint32_t sent(struct fixture *f, const char *part)
{
	auto_msg_in struct msg_in m = { 0 };
	uint32_t number;
	int r = msg_recv(f->proxy, &m);

	if (r == -EAGAIN)
		return 0;
	assert_int_equal(r, 1);
	assert_int_equal(m.type, PROXY_POLICY);
	number = msg_get_u32(&m);
	assert_non_null(strstr(msg_get_str(&m), part));
	return number;
}

static bool allows(struct fixture *f, const char *host)
{
	const struct intent in = { .host = host, .port = 5, .binary = "/usr/bin/curl" };
	struct decision d = { 0 };

	policy_decide(f->s.policy, &in, &d);
	return d.verdict == VERDICT_ALLOW;
}

static void is_refused(struct fixture *f, const char *yaml, const char *why)
{
	char text[ERR_TEXT_MAX] = "";
	uint32_t error = 0;

	set(f, yaml);
	assert_int_equal(told(f, &error, text), CTL_FAILED);
	if (!strstr(text, why))
		fail_msg("'%s' is not in '%s'", why, text);
	/* and nothing changed */
	assert_true(allows(f, "old.test"));
	assert_false(allows(f, "new.test"));
	assert_int_equal(f->s.revision, 1);
	assert_int_equal(state_revision_last(f->s.state), 1);
}

static bool has_file(struct fixture *f, const char *name)
{
	char path[200];

	(void)str_format(path, sizeof(path), "%s/openshell/sandboxes/box/policy/%s", f->base, name);
	return access(path, F_OK) == 0;
}

static void is_taken(struct fixture *f, const char *yaml)
{
	char text[ERR_TEXT_MAX];
	uint32_t version = 0;

	set(f, yaml);
	/* In force here; the launcher waits until it is in the proxy, too. */
	assert_true(allows(f, "new.test"));
	assert_false(allows(f, "old.test"));
	assert_int_equal(told(f, &version, text), 0);
	assert_int_equal(sent(f, "new.test"), 2);
	confirm(f, 2);
	assert_int_equal(told(f, &version, text), CTL_POLICY_DONE);
	assert_int_equal(version, 2);
	assert_int_equal(f->s.revision, 2);
	assert_int_equal(state_revision_last(f->s.state), 2);
}

static void a_policy_is_reported_when_both_decide_by_it(void **state)
{
	is_taken(*state, new_policy);
}

static void what_the_proxy_cannot_be_told_leaves_nothing_behind(void **state)
{
	struct fixture *f = *state;
	char junk[1024] = "";

	/* It does not read. */
	while (send(f->s.proxy_link.fd, junk, sizeof(junk), MSG_NOSIGNAL) > 0)
		;
	assert_int_equal(errno, EAGAIN);
	is_refused(f, new_policy, "it does not read");
	assert_false(has_file(f, "2.yaml"));
	while (recv(f->proxy, junk, sizeof(junk), 0) > 0)
		;
	is_taken(f, new_policy);
	assert_true(has_file(f, "2.yaml"));
}

static void what_cannot_be_recorded_is_not_in_force(void **state)
{
	struct fixture *f = *state;
	char path[200], aside[200];

	(void)str_format(path, sizeof(path), "%s/openshell/sandboxes/box/policy", f->base);
	(void)str_format(aside, sizeof(aside), "%s/aside", f->base);
	assert_int_equal(rename(path, aside), 0);
	assert_int_equal(symlink("nowhere", path), 0);
	set(f, new_policy);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rename(aside, path), 0);
	{
		char text[ERR_TEXT_MAX];
		uint32_t error;

		assert_int_equal(told(f, &error, text), CTL_FAILED);
	}
	assert_true(allows(f, "old.test"));
	assert_int_equal(sent(f, ""), 0);
	assert_int_equal(f->s.revision, 1);
	is_taken(f, new_policy);
}

static void a_policy_that_does_not_load_changes_nothing(void **state)
{
	struct fixture *f = *state;

	is_refused(f, "version: 1\nnetwork_policies: [", "policy");
	assert_int_equal(sent(f, ""), 0);
	is_taken(f, new_policy);
}

/* What is applied at the start cannot be claimed later: openshell-upstream.md, section 1.4. */
static void static_sections_do_not_change(void **state)
{
	static const struct {
		const char *policy, *why;
	} cases[] = {
		{ "version: 1\nprocess: { run_as_user: 0, run_as_group: 0 }\n" HOST("new.test"), "process" },
		{ "version: 1\nprocess: { run_as_user: sandbox, run_as_group: sandbox, allow_user_namespaces: true }\n"
		  HOST("new.test"), "process" },
		{ "version: 1\nlandlock: { compatibility: hard_requirement }\n" HOST("new.test"), "landlock" },
		{ "version: 1\nfilesystem_policy: { include_workdir: false, read_only: [/usr], read_write: [/tmp] }\n"
		  HOST("new.test"), "include_workdir" },
		{ "version: 1\nfilesystem_policy: { include_workdir: true, read_only: [], read_write: [/tmp] }\n"
		  HOST("new.test"), "read_only path '/usr'" },
		{ "version: 1\nfilesystem_policy: { include_workdir: true, read_only: [/usr], read_write: [] }\n"
		  HOST("new.test"), "read_write path '/tmp'" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		is_refused(f, cases[i].policy, cases[i].why);
		assert_int_equal(sent(f, ""), 0);
	}
	/* Absent is equal, and a path may come. */
	is_taken(f, "version: 1\nfilesystem_policy: { include_workdir: true, read_only: [/usr, /opt], read_write: [/tmp] }\n"
		HOST("new.test"));
}

static void the_same_policy_is_no_change(void **state)
{
	struct fixture *f = *state;
	char text[ERR_TEXT_MAX];
	uint32_t version = 0;

	set(f, old_policy);
	assert_int_equal(told(f, &version, text), CTL_POLICY_DONE);
	assert_int_equal(version, 1);
	assert_int_equal(sent(f, ""), 0);
	assert_int_equal(state_revision_last(f->s.state), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_policy_is_reported_when_both_decide_by_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_the_proxy_cannot_be_told_leaves_nothing_behind, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_cannot_be_recorded_is_not_in_force, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_policy_that_does_not_load_changes_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(static_sections_do_not_change, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_same_policy_is_no_change, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
