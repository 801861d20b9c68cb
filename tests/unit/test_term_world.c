#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/cmd.h"
#include "launcher/term_world.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/logstore.h"
#include "lib/state.h"
#include "lib/str.h"

/* The program's own is in main.c, which no test links. */
const struct cli_command cli_root = { .name = "openshell" };

static const char policy[] = "version: 1\nnetwork_policies:\n  a:\n    endpoints:\n"
			     "      - { host: used.test, port: 443 }\n    binaries:\n"
			     "      - { path: /usr/bin/curl }\n";

static char base[64];
static struct logstore *store;
static struct term_model m;
static struct term_world *w;

/* A stopped sandbox "demo" with a policy and an empty log. */
static void make_sandbox(char *id)
{
	struct sandbox_spec spec = { .name = (char *)(uintptr_t) "demo", .id = id, .keep = true };
	struct state_revision rev = { .version = 1, .status = "loaded" };
	auto_state struct state *s = NULL;
	auto_close int dir = -1;

	assert_int_equal(state_create(&s, &spec, NULL), 0);
	assert_int_equal(state_revision_write(s, &rev, policy, strlen(policy)), 0);
	dir = state_subdir(s, "log");
	assert_int_equal(logstore_open(&store, dir, event_now_ms(), NULL), 0);
}

static void delete_sandbox(void)
{
	auto_state struct state *s = NULL;

	logstore_free(take_ptr(store));
	assert_int_equal(state_open(&s, "demo", NULL), 0);
	assert_int_equal(state_lock(s, NULL), 0);
	assert_int_equal(state_remove(s, NULL), 0);
}

static int set_up(void **state)
{
	(void)state;
	(void)str_copy(base, sizeof(base), "/tmp/openshell-test-term-XXXXXX");
	assert_non_null(mkdtemp(base));
	(void)setenv("XDG_STATE_HOME", base, 1);
	(void)setenv("XDG_CONFIG_HOME", base, 1);
	(void)setenv("XDG_RUNTIME_DIR", base, 1);
	make_sandbox((char *)(uintptr_t) "first");
	term_model_init(&m);
	m.rows = 24;
	m.cols = 80;
	w = world_new(&m);
	return w ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	world_free(w);
	term_model_done(&m);
	logstore_free(take_ptr(store));
	return state_tree_remove(AT_FDCWD, base);
}

static struct event event_of(enum event_action action, const char *host)
{
	return (struct event){
		.time_ms = event_now_ms(),
		.level = action == EVENT_DENY ? EVENT_WARN : EVENT_INFO,
		.adapter = EVENT_CONNECT,
		.action = action,
		.host = host,
		.port = 443,
		.binary = "/usr/bin/curl",
		.endpoint = action == EVENT_ALLOW ? "network_policies.a.endpoints[0]" : NULL,
	};
}

static void put_event(struct event e)
{
	struct log *log = log_new(logstore_open_writer(store));

	log_event(log, &e);
	assert_int_equal(log_flush(log), 0);
	log_free(log);
}

static bool follow(void)
{
	int wait_ms;

	return world_follow(w, &wait_ms);
}

static void the_list_counts_what_was_decided(void **state)
{
	(void)state;
	put_event(event_of(EVENT_ALLOW, "used.test"));
	put_event(event_of(EVENT_DENY, "one.test"));
	world_refresh(w);
	assert_int_equal(m.n_sandboxes, 1);
	assert_string_equal(m.sandboxes[0].phase, "Stopped");
	assert_int_equal(m.sandboxes[0].revision, 1);
	assert_int_equal(m.sandboxes[0].allowed, 1);
	assert_int_equal(m.sandboxes[0].denied, 1);
	assert_false(m.sandboxes[0].has_more);
	assert_non_null(strstr(m.sandboxes[0].last_denied, "one.test"));
	assert_false(follow());
	put_event(event_of(EVENT_DENY, "two.test"));
	assert_true(follow());
	assert_int_equal(m.sandboxes[0].denied, 2);
}

static void news_wake_the_poll(void **state)
{
	struct pollfd p[WORLD_FEEDS_MAX];

	(void)state;
	world_refresh(w);
	(void)follow();
	assert_int_equal(world_poll(w, p), 1);
	assert_int_equal(poll(p, 1, 0), 0);
	put_event(event_of(EVENT_DENY, "one.test"));
	assert_int_equal(poll(p, 1, 1000), 1);
	assert_true(follow());
	assert_int_equal(poll(p, 1, 0), 0);
}

static void nothing_is_lost_or_doubled_between_reading_and_following(void **state)
{
	(void)state;
	put_event(event_of(EVENT_DENY, "one.test"));
	world_refresh(w);
	put_event(event_of(EVENT_DENY, "two.test"));
	assert_int_equal(world_show(w, "demo", NULL), 0);
	assert_int_equal(m.stream.n, 2);
	assert_int_equal(m.sandboxes[0].denied, 2);
	put_event(event_of(EVENT_DENY, "three.test"));
	assert_true(follow());
	assert_int_equal(m.stream.n, 3);
	world_do(w, term_key(&m, 'd'));
	assert_int_equal(m.stream.n, 3);
	assert_int_equal(m.sandboxes[0].denied, 3);
	assert_false(follow());
}

static void a_log_that_rotates_is_followed(void **state)
{
	unsigned int pruned;

	(void)state;
	world_refresh(w);
	assert_int_equal(world_show(w, "demo", NULL), 0);
	put_event(event_of(EVENT_DENY, "before.test"));
	assert_int_equal(
		logstore_rotate(store, event_now_ms() + LOGSTORE_AGE_MAX_MS, &pruned, NULL), 1);
	put_event(event_of(EVENT_DENY, "after.test"));
	assert_true(follow());
	assert_int_equal(m.stream.n, 2);
	assert_non_null(strstr(m.stream.list[1].line, "after.test"));
}

static void a_deleted_sandbox_stays_readable_and_its_name_is_no_other(void **state)
{
	(void)state;
	put_event(event_of(EVENT_DENY, "one.test"));
	world_refresh(w);
	assert_int_equal(world_show(w, "demo", NULL), 0);
	delete_sandbox();
	make_sandbox((char *)(uintptr_t) "second");
	put_event(event_of(EVENT_DENY, "two.test"));
	world_refresh(w);
	(void)follow();
	assert_true(m.is_scope_gone);
	assert_int_equal(m.stream.n, 1);
	world_do(w, term_key(&m, 'd'));
	assert_int_equal(m.stream.n, 1);
	assert_non_null(strstr(m.stream.list[0].line, "one.test"));
	world_do(w, term_key(&m, 'a'));
	assert_int_equal(m.question, TERM_ASK_NOTHING);
	assert_non_null(strstr(m.message, "this sandbox 'demo' is gone"));
}

/* The name is the same, the sandbox is not. */
static void an_answer_about_one_sandbox_is_none_about_its_successor(void **state)
{
	(void)state;
	put_event(event_of(EVENT_DENY, "one.test"));
	world_refresh(w);
	assert_int_equal(world_show(w, "demo", NULL), 0);
	world_do(w, term_key(&m, 'x'));
	assert_int_equal(m.question, TERM_ASK_REJECT);
	delete_sandbox();
	make_sandbox((char *)(uintptr_t) "second");
	world_do(w, term_key(&m, 'y'));
	assert_true(m.is_error);
	assert_non_null(strstr(m.message, "this sandbox 'demo' is gone"));
	assert_int_equal(m.n_sandboxes, 1);
	assert_string_equal(m.sandboxes[0].origin.id, "second");
}

/* The question showed what it would do to another policy. */
static void an_answer_about_one_policy_is_none_about_the_next(void **state)
{
	struct state_revision rev = { .version = 2, .status = "loaded" };
	auto_state struct state *s = NULL;

	(void)state;
	put_event(event_of(EVENT_DENY, "one.test"));
	world_refresh(w);
	assert_int_equal(world_show(w, "demo", NULL), 0);
	world_do(w, term_key(&m, 'a'));
	assert_int_equal(m.question, TERM_ASK_APPROVE);
	assert_int_equal(state_open(&s, "demo", NULL), 0);
	assert_int_equal(state_revision_write(s, &rev, policy, strlen(policy)), 0);
	world_do(w, term_key(&m, 'y'));
	assert_true(m.is_error);
	assert_non_null(strstr(m.message, "the policy was changed meanwhile"));
}

static void the_effect_on_what_is_there_already_is_told(void **state)
{
	struct event e = event_of(EVENT_DENY, "used.test");

	(void)state;
	e.binary = "/usr/bin/wget";
	put_event(e);
	world_refresh(w);
	assert_int_equal(world_show(w, "demo", NULL), 0);
	world_do(w, term_key(&m, 'a'));
	assert_int_equal(m.question, TERM_ASK_APPROVE);
	assert_non_null(m.details.effect.gained);
	assert_non_null(strstr(m.details.effect.gained[0], "/usr/bin/wget"));
	assert_null(m.details.effect.gained[1]);
	assert_int_equal(m.details.version, 1);
}

static void a_rejection_is_kept(void **state)
{
	(void)state;
	put_event(event_of(EVENT_DENY, "one.test"));
	world_refresh(w);
	assert_int_equal(world_show(w, "demo", NULL), 0);
	world_do(w, term_key(&m, 'x'));
	assert_string_equal(m.details.status, "pending");
	world_do(w, term_key(&m, 'y'));
	assert_false(m.is_error);
	assert_string_equal(m.details.status, "rejected");
}

static void what_the_policy_allows_by_now_is_said_to_be(void **state)
{
	(void)state;
	put_event(event_of(EVENT_DENY, "used.test"));
	world_refresh(w);
	assert_int_equal(world_show(w, "demo", NULL), 0);
	world_do(w, term_key(&m, 'a'));
	assert_int_equal(m.question, TERM_ASK_NOTHING);
	assert_non_null(strstr(m.message, "version 1 of the policy allows this by now"));
}

static void a_stopped_sandbox_takes_no_policy_and_says_so(void **state)
{
	(void)state;
	put_event(event_of(EVENT_DENY, "one.test"));
	world_refresh(w);
	assert_int_equal(world_show(w, "demo", NULL), 0);
	world_do(w, term_key(&m, 'a'));
	assert_int_equal(m.question, TERM_ASK_APPROVE);
	world_do(w, term_key(&m, 'y'));
	assert_true(m.is_error);
	assert_non_null(strstr(m.message, "not approved"));
}

static void the_policy_shows_its_use(void **state)
{
	(void)state;
	put_event(event_of(EVENT_ALLOW, "used.test"));
	world_refresh(w);
	world_do(w, term_key(&m, 'p'));
	assert_string_equal(m.policy.error, "");
	assert_int_equal(m.policy.coverage.n, 1);
	assert_int_equal(m.policy.coverage.rows[0].count, 1);
	put_event(event_of(EVENT_ALLOW, "used.test"));
	world_do(w, term_key(&m, 'r'));
	assert_int_equal(m.policy.coverage.rows[0].count, 2);
}

static void what_never_was_cannot_be_shown(void **state)
{
	struct err err = { 0 };

	(void)state;
	world_refresh(w);
	assert_int_equal(world_show(w, "nobody", &err), -ENOENT);
	assert_string_not_equal(err.text, "");
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_list_counts_what_was_decided),
		T(news_wake_the_poll),
		T(nothing_is_lost_or_doubled_between_reading_and_following),
		T(a_log_that_rotates_is_followed),
		T(a_deleted_sandbox_stays_readable_and_its_name_is_no_other),
		T(an_answer_about_one_sandbox_is_none_about_its_successor),
		T(an_answer_about_one_policy_is_none_about_the_next),
		T(the_effect_on_what_is_there_already_is_told),
		T(a_rejection_is_kept),
		T(what_the_policy_allows_by_now_is_said_to_be),
		T(a_stopped_sandbox_takes_no_policy_and_says_so),
		T(the_policy_shows_its_use),
		T(what_never_was_cannot_be_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
