#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/cmd.h"
#include "launcher/term_cells.h"
#include "launcher/term_lines.h"
#include "launcher/term_model.h"
#include "launcher/term_view.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/str.h"
#include "lib/strv.h"

/* The program's own is in main.c, which no test links. */
const struct cli_command cli_root = { .name = "openshell" };

static const struct stream_origin demo = { .name = "demo", .id = "1" };
static const struct stream_origin again = { .name = "demo", .id = "2" };
static const uint64_t t0 = 1775014132118;

static struct term_model m;
static struct cells c;

static int set_up(void **state)
{
	(void)state;
	if (!setlocale(LC_ALL, "C.UTF-8"))
		return -1;
	term_model_init(&m);
	m.rows = 24;
	m.cols = 80;
	m.now_ms = t0 + 60000;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	term_model_done(&m);
	cells_done(&c);
	return 0;
}

/* ---- Helpers ----------------------------------------------------------------------------- */

static void put_event(const struct stream_origin *from, struct event e)
{
	auto_buf struct buf line = { 0 };

	buf_init(&line, EVENT_LINE_MAX);
	if (!e.time_ms)
		e.time_ms = t0 + 1000 * m.stream.last_number;
	assert_int_equal(event_format(&line, &e), 0);
	assert_true(stream_add(&m.stream, from, buf_head(&line), line.len - 1) >= 0);
	term_stream_grew(&m);
}

static struct event denial(const char *host)
{
	return (struct event){
		.level = EVENT_WARN,
		.adapter = EVENT_CONNECT,
		.action = EVENT_DENY,
		.host = host,
		.port = 443,
		.binary = "/usr/bin/curl",
		.reason = "no matching network policy",
	};
}

static struct event refused_request(const char *method, const char *target)
{
	struct event e = denial("api.github.com");

	e.adapter = EVENT_L7;
	e.method = method;
	e.target = target;
	e.engine = "l7";
	return e;
}

static struct event allowed(const char *host)
{
	struct event e = denial(host);

	e.level = EVENT_INFO;
	e.action = EVENT_ALLOW;
	e.reason = NULL;
	return e;
}

static void put_sandboxes(size_t n)
{
	struct term_sandbox *list = calloc(n + 1, sizeof(*list));

	for (size_t i = 0; i < n; i++) {
		(void)snprintf(list[i].origin.name, sizeof(list[i].origin.name), "box-%02zu", i);
		(void)strcpy(list[i].origin.id, "x");
		list[i].phase = "Ready";
		list[i].created_ms = t0;
		list[i].revision = 3;
		list[i].allowed = 12;
	}
	term_set_sandboxes(&m, list, n);
}

/* What launcher/term_world.c does for TERM_JUDGE, from the event alone. */
static void judge(void)
{
	auto_event_record struct event_record record = { 0 };
	const struct proposal *const *list;
	size_t n;

	assert_int_equal(event_parse(m.details.event.line, m.details.event.len, &record), 0);
	proposals_free(m.details.proposals);
	m.details.proposals = proposals_new();
	assert_int_equal(proposals_event(m.details.proposals, &record.event), 0);
	list = proposals_list(m.details.proposals, &n);
	m.details.proposal = n ? list[0] : NULL;
	m.details.status = "pending";
	m.details.version = 1;
	(void)strcpy(m.details.why_not, "It was allowed.");
	term_judged(&m);
}

static bool screen_has(const char *text)
{
	bool is_there = false;

	assert_int_equal(term_draw(&m, &c), 0);
	for (int row = 0; row < c.rows; row++) {
		auto_free char *line = cells_row_text(&c, row);

		is_there |= strstr(line, text) != NULL;
	}
	return is_there;
}

static char *row_text(int row)
{
	assert_int_equal(term_draw(&m, &c), 0);
	return cells_row_text(&c, row);
}

static void press(const char *keys)
{
	for (; *keys; keys++)
		(void)term_key(&m, (uint32_t)*keys);
}

static enum term_want show(const struct stream_origin *of)
{
	enum term_want want = term_show_events(&m, of);

	term_stream_ready(&m);
	return want;
}

static const char *cursor_host(void)
{
	static char host[256];
	auto_event_record struct event_record record = { 0 };
	const struct stream_event *e = stream_find(&m.stream, m.cursor);

	if (!e || event_parse(e->line, e->len, &record) < 0)
		return NULL;
	(void)str_copy(host, sizeof(host), record.event.host);
	return host;
}

/* ---- Lists ------------------------------------------------------------------------------- */

static void sandboxes_stand_in_columns(void **state)
{
	auto_free char *head = NULL, *row = NULL, *bar = NULL;

	(void)state;
	put_sandboxes(2);
	head = row_text(1);
	row = row_text(2);
	bar = row_text(23);
	assert_string_equal(
		head, "NAME                PHASE     AGE MODE    REV ALLOWED  DENIED LAST DENIED");
	assert_string_equal(row, "box-00              Ready      1m enforce   3      12       0");
	assert_string_equal(bar,
		" Enter decisions  L of all  p policy  / search  q quit                   ? help");
}

static void an_empty_list_says_how_to_begin(void **state)
{
	(void)state;
	assert_true(screen_has("openshell sandbox create -- CMD"));
	press("jkGg");
	assert_int_equal(term_key(&m, TERM_KEY_ENTER), TERM_NOTHING);
	assert_int_equal(term_key(&m, 'p'), TERM_NOTHING);
}

static void the_cursor_stays_with_the_name_when_the_list_changes(void **state)
{
	(void)state;
	put_sandboxes(40);
	press("jjjjj");
	assert_string_equal(m.chosen.name, "box-05");
	put_sandboxes(40);
	assert_string_equal(m.chosen.name, "box-05");
	press("G");
	assert_true(screen_has("box-39"));
	put_sandboxes(3);
	assert_string_equal(m.chosen.name, "box-02");
	assert_true(screen_has("box-00"));
}

static void events_stand_in_columns(void **state)
{
	auto_free char *head = NULL, *connection = NULL, *request = NULL;

	(void)state;
	put_event(&demo, denial("api.github.com"));
	put_event(&demo, refused_request("POST", "/repos/a/b"));
	assert_int_equal(show(&demo), TERM_STREAM);
	head = row_text(1);
	connection = row_text(2);
	request = row_text(3);
	assert_string_equal(
		head, "TIME UTC ACTION SOURCE    PROGRAM      DESTINATION              WHAT");
	assert_string_equal(connection, "03:28:52 deny   CONNECT   curl         api.github.com:443 "
					"      no matching net\xe2\x80\xa6");
	assert_string_equal(request,
		"03:28:53 deny   L7        curl         api.github.com:443       POST /repos/a/b");
}

static void the_newest_is_followed_until_the_cursor_moves(void **state)
{
	(void)state;
	put_event(&demo, denial("one.test"));
	put_event(&demo, denial("two.test"));
	(void)show(&demo);
	put_event(&demo, denial("three.test"));
	assert_string_equal(cursor_host(), "three.test");
	press("k");
	put_event(&demo, denial("four.test"));
	assert_string_equal(cursor_host(), "two.test");
	press("G");
	put_event(&demo, denial("five.test"));
	assert_string_equal(cursor_host(), "five.test");
	press("f");
	put_event(&demo, denial("six.test"));
	assert_string_equal(cursor_host(), "five.test");
}

static void only_so_many_events_are_kept_and_the_cursor_survives(void **state)
{
	(void)state;
	(void)show(&demo);
	put_event(&demo, denial("first.test"));
	press("kf");
	for (int i = 0; i < STREAM_KEPT + 10; i++)
		put_event(&demo, denial("more.test"));
	assert_true(m.stream.n <= STREAM_KEPT);
	assert_string_equal(cursor_host(), "more.test");
	assert_true(screen_has("more.test"));
}

/* ---- Filters and search ------------------------------------------------------------------ */

static void filters_let_in_what_they_name(void **state)
{
	(void)state;
	(void)show(NULL);
	assert_int_equal(term_key(&m, 'd'), TERM_STREAM);
	put_event(&demo, allowed("ok.test"));
	put_event(&demo, denial("no.test"));
	assert_int_equal(m.stream.n, 1);
	assert_int_equal(stream_query(&m.stream.filter).min_level, EVENT_WARN);
	press("h");
	press("API");
	assert_int_equal(term_key(&m, TERM_KEY_ENTER), TERM_STREAM);
	assert_string_equal(stream_query(&m.stream.filter).contains, "api");
	put_event(&demo, denial("no.test"));
	put_event(&demo, denial("api.test"));
	assert_int_equal(m.stream.n, 2);
	assert_true(screen_has("decisions of all, denied, host api"));
	assert_int_equal(term_key(&m, 'c'), TERM_STREAM);
	assert_null(stream_query(&m.stream.filter).contains);
}

static void sources_go_round_both_ways(void **state)
{
	(void)state;
	(void)show(NULL);
	press("s");
	assert_true(screen_has(", sandbox"));
	press("s");
	assert_true(screen_has(", gateway"));
	press("s");
	assert_true(screen_has(", LIFECYCLE"));
	press("SSS");
	assert_int_equal(m.stream.filter.adapters, 0);
	press("S");
	assert_int_equal(m.stream.filter.adapters, 1u << EVENT_SOCKET);
	press("s");
	assert_int_equal(m.stream.filter.adapters, 0);
}

static void a_search_goes_on_and_round(void **state)
{
	(void)state;
	put_event(&demo, denial("one.test"));
	put_event(&demo, denial("two.test"));
	put_event(&demo, denial("one.example"));
	(void)show(&demo);
	press("/ONE\x1b");
	(void)term_key(&m, TERM_KEY_ESCAPE);
	assert_string_equal(cursor_host(), "one.example");
	press("/ONE");
	(void)term_key(&m, TERM_KEY_ENTER);
	assert_string_equal(cursor_host(), "one.test");
	press("n");
	assert_string_equal(cursor_host(), "one.example");
	press("N");
	assert_string_equal(cursor_host(), "one.test");
	press("/nowhere");
	(void)term_key(&m, TERM_KEY_ENTER);
	assert_true(screen_has("nothing found: nowhere"));
	assert_string_equal(cursor_host(), "one.test");
}

static void typing_takes_whole_characters(void **state)
{
	(void)state;
	(void)term_key(&m, '/');
	(void)term_key(&m, 'a');
	(void)term_key(&m, 0xe9);
	(void)term_key(&m, 0x1f600);
	assert_string_equal(m.typed, "a\xc3\xa9\xf0\x9f\x98\x80");
	(void)term_key(&m, TERM_KEY_BACKSPACE);
	(void)term_key(&m, TERM_KEY_BACKSPACE);
	assert_string_equal(m.typed, "a");
	for (int i = 0; i < 500; i++)
		(void)term_key(&m, 'x');
	assert_true(strlen(m.typed) < TERM_TYPED_MAX);
	(void)term_key(&m, TERM_KEY_ESCAPE);
	assert_string_equal(m.search, "");
}

/* ---- Details and decisions --------------------------------------------------------------- */

static void details_show_every_field_and_unknown_ones(void **state)
{
	static const char line[] =
		"{\"t\":1775014132118,\"p\":64,\"l\":2,\"a\":\"CONNECT\",\"d\":\"deny\","
		"\"h\":\"api.github.com\",\"o\":443,\"b\":\"/usr/bin/curl\","
		"\"f\":[\"/bin/sh\",\"/usr/bin/env\"],\"stack\":\"main.py:3 f\\nmain.py:9 g\","
		"\"novel\":{\"x\":1}}";

	(void)state;
	assert_int_equal(stream_add(&m.stream, &demo, line, strlen(line)), 1);
	(void)show(&demo);
	assert_int_equal(term_key(&m, TERM_KEY_ENTER), TERM_JUDGE);
	judge();
	m.rows = 60;
	assert_true(screen_has("time         2026-04-01 03:28:52.118 UTC"));
	assert_true(screen_has("decision     deny"));
	assert_true(screen_has("binary       /usr/bin/curl"));
	assert_true(screen_has("ancestors    /bin/sh"));
	assert_true(screen_has("             /usr/bin/env"));
	assert_true(screen_has("stack        main.py:3 f"));
	assert_true(screen_has("             main.py:9 g"));
	assert_true(screen_has("novel        {\"x\": 1}"));
	assert_true(screen_has("The rule that would allow it (not decided on yet)"));
	(void)term_key(&m, TERM_KEY_ESCAPE);
	assert_int_equal(m.screen, TERM_EVENTS);
}

static void a_question_shows_all_that_is_granted(void **state)
{
	(void)state;
	put_event(&demo, refused_request("POST", "/repos/a/issues/17"));
	(void)show(&demo);
	assert_int_equal(term_key(&m, 'a'), TERM_JUDGE);
	judge();
	assert_true(screen_has("Approve?"));
	assert_true(screen_has("sandbox      demo"));
	assert_true(screen_has("binary       /usr/bin/curl"));
	assert_true(screen_has("host         api.github.com"));
	assert_true(screen_has("port         443"));
	assert_true(screen_has("method       POST"));
	assert_true(screen_has("path         /repos/a/issues/*"));
	assert_true(screen_has("asked for    /repos/a/issues/17"));
	/* What merging it would open beyond that is said as well. */
	assert_int_equal(strv_push(&m.details.effect.gained, "/usr/bin/wget may POST"), 0);
	assert_true(screen_has("  /usr/bin/wget may POST"));
}

static void an_answer_is_about_what_was_shown_whatever_came_since(void **state)
{
	(void)state;
	put_event(&demo, refused_request("GET", "/harmless"));
	(void)show(&demo);
	(void)term_key(&m, 'a');
	judge();
	/* The same program, host and port; the list moves under the question. */
	for (int i = 0; i < STREAM_KEPT + 100; i++)
		put_event(&again, refused_request("DELETE", "/everything"));
	put_sandboxes(1);
	assert_true(screen_has("path         /harmless"));
	assert_int_equal(term_key(&m, 'y'), TERM_DECIDE);
	assert_string_equal(m.details.event.origin.id, "1");
	assert_int_equal(m.details.proposal->n_samples, 1);
	assert_string_equal(m.details.proposal->samples[0].method, "GET");
	assert_string_equal(m.details.proposal->samples[0].path, "/harmless");
}

static void nothing_but_y_is_a_yes(void **state)
{
	static const uint32_t others[] = { 'Y', 'a', 'x', ' ', 'j', TERM_KEY_ENTER, TERM_KEY_DOWN,
		'/', '?' };

	(void)state;
	put_event(&demo, denial("api.github.com"));
	(void)show(&demo);
	(void)term_key(&m, 'a');
	judge();
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		assert_int_equal(term_key(&m, others[i]), TERM_NOTHING);
		assert_int_equal(m.question, TERM_ASK_APPROVE);
	}
	assert_int_equal(term_key(&m, 'n'), TERM_NOTHING);
	assert_int_equal(m.question, TERM_ASK_NOTHING);
	assert_int_equal(term_key(&m, 'y'), TERM_NOTHING);
}

/* A name that is longer than the window must not hide what comes behind it. */
static void what_does_not_fit_cannot_be_approved(void **state)
{
	char path[1000];

	(void)state;
	memset(path, 'a', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	put_event(&demo, refused_request("GET", path));
	(void)show(&demo);
	(void)term_key(&m, 'a');
	judge();
	m.rows = 12;
	m.cols = 60;
	assert_true(screen_has("enlarge the window"));
	assert_int_equal(term_key(&m, 'y'), TERM_NOTHING);
	m.rows = 60; /* the control: enlarged, it can */
	assert_false(screen_has("enlarge the window"));
	assert_int_equal(term_key(&m, 'y'), TERM_DECIDE);
	m.rows = 5;
	assert_int_equal(term_key(&m, 'y'), TERM_NOTHING);
}

static void a_connection_is_granted_whole_and_says_so(void **state)
{
	(void)state;
	put_event(&demo, denial("api.github.com"));
	(void)show(&demo);
	(void)term_key(&m, 'a');
	judge();
	assert_true(screen_has("method       any: the connection was refused"));
	(void)term_key(&m, 'n');
	(void)term_key(&m, 'x');
	judge();
	assert_true(screen_has("Reject?"));
	assert_true(screen_has("Stays refused"));
}

static void what_no_rule_allows_is_not_asked_about(void **state)
{
	(void)state;
	put_event(&demo, allowed("api.github.com"));
	(void)show(&demo);
	(void)term_key(&m, 'a');
	judge();
	assert_int_equal(m.question, TERM_ASK_NOTHING);
	assert_true(screen_has("It was allowed."));
}

static void without_a_policy_to_compare_with_nothing_is_asked(void **state)
{
	(void)state;
	put_event(&demo, denial("api.github.com"));
	(void)show(&demo);
	(void)term_key(&m, 'a');
	m.details.version = 0;
	(void)strcpy(m.details.unreadable, "this sandbox 'demo' is gone");
	m.details.proposal = &(const struct proposal){ .host = "api.github.com" };
	term_judged(&m);
	assert_int_equal(m.question, TERM_ASK_NOTHING);
	assert_true(screen_has("this sandbox 'demo' is gone"));
	m.details.proposal = NULL;
}

/* ---- Hostile bytes ----------------------------------------------------------------------- */

static void nothing_hostile_stands_in_a_cell(void **state)
{
	static const char evil[] = "a\x1b]52;c;cm0=\x07\x1b[2J\xe2\x80\xae\xc2\x9b"
				   "b\r\nq";
	struct event e = refused_request(evil, evil);

	(void)state;
	e.host = e.reason = e.nearest = e.policy = e.stack = evil;
	e.binary = "/bin/\x1b"
		   "c\xe2\x80\xae"; /* with a bracket it would not be proposed */
	put_event(&demo, e);
	(void)show(&demo);
	m.rows = 60;
	for (int screen = 0; screen < 3; screen++) {
		assert_int_equal(term_draw(&m, &c), 0);
		for (int i = 0; i < c.rows * c.cols; i++) {
			for (const wchar_t *w = c.list[i].text; *w; w++) {
				assert_true(*w >= 0x20 && (*w < 0x7f || *w >= 0xa0));
				assert_true(*w != 0x202e);
			}
		}
		assert_true(screen_has("\\x1b]52;c;"));
		(void)term_key(&m, screen ? 'a' : TERM_KEY_ENTER);
		judge();
	}
	assert_int_equal(m.question, TERM_ASK_APPROVE);
}

/* ---- Other screens ----------------------------------------------------------------------- */

static void help_names_every_key_of_the_bars(void **state)
{
	auto_lines struct term_lines l = { 0 };

	(void)state;
	press("?");
	assert_int_equal(m.screen, TERM_HELP);
	assert_int_equal(term_lines_build(&l, &m, 80), 0);
	for (const struct term_binding *b = term_bindings; b->screens; b++) {
		bool is_there = !b->about;

		for (size_t i = 0; i < l.n && !is_there; i++)
			is_there = strstr(l.list[i].text, b->about) != NULL;
		assert_true(is_there);
	}
	press("q");
	assert_int_equal(m.screen, TERM_SANDBOXES);
	assert_int_equal(term_key(&m, 'q'), TERM_QUIT);
}

static void text_scrolls_and_stops_at_its_ends(void **state)
{
	auto_free char *bar = NULL;

	(void)state;
	m.rows = 12;
	press("?");
	press("kkk");
	assert_int_equal(m.scroll, 0);
	press("G");
	assert_true(m.scroll > 0);
	assert_true(screen_has("Times are UTC"));
	bar = row_text(0);
	assert_non_null(strstr(bar, "help"));
	press("/everywhere");
	(void)term_key(&m, TERM_KEY_ENTER);
	assert_int_equal(m.scroll, 0);
}

static void rules_show_their_use(void **state)
{
	struct coverage_row *rows = calloc(2, sizeof(*rows));

	(void)state;
	put_sandboxes(1);
	assert_int_equal(term_key(&m, 'p'), TERM_READ_RULES);
	(void)strcpy(rows[0].place, "network_policies.a.endpoints[0]");
	(void)strcpy(rows[0].what, "api.github.com:443");
	rows[0].count = 7;
	rows[0].last_ms = t0;
	(void)strcpy(rows[1].place, "network_policies.a.endpoints[0] rules[0]");
	(void)strcpy(rows[1].what, "GET /zen");
	m.policy.coverage = (struct coverage){ .rows = rows, .n = 2, .room = 2, .version = 3 };
	assert_true(screen_has("policy of box-00"));
	assert_true(screen_has("       7  2026-04-01 03:28  api.github.com:443"));
	assert_true(screen_has("       0  never               GET /zen"));
	(void)strcpy(m.policy.error, "it is gone");
	assert_true(screen_has("it is gone"));
}

static void every_size_can_be_drawn(void **state)
{
	(void)state;
	put_sandboxes(3);
	put_event(&demo, refused_request("GET", "/a/very/long/path/that/has/to/be/cut"));
	for (int screen = 0; screen < 6; screen++) {
		for (m.rows = 0; m.rows < 40; m.rows += 3) {
			for (m.cols = 0; m.cols < 200; m.cols += 7)
				assert_int_equal(term_draw(&m, &c), 0);
		}
		m.rows = 24;
		m.cols = 80;
		if (screen == 0)
			(void)show(&demo);
		else if (screen == 1)
			(void)term_key(&m, TERM_KEY_ENTER), judge();
		else if (screen == 2)
			(void)term_key(&m, 'a'), judge();
		else
			press(screen == 3 ? "np" : "?");
	}
}

static void a_window_too_small_only_quits(void **state)
{
	(void)state;
	put_sandboxes(1);
	m.cols = 39;
	assert_true(screen_has("40x10 at least"));
	assert_int_equal(term_key(&m, TERM_KEY_ENTER), TERM_NOTHING);
	assert_int_equal(m.screen, TERM_SANDBOXES);
	assert_int_equal(term_key(&m, 'q'), TERM_QUIT);
}

static void a_sandbox_that_is_deleted_while_shown_is_said_to_be_gone(void **state)
{
	struct stream_origin box = { .name = "box-00", .id = "x" };

	(void)state;
	put_sandboxes(1);
	(void)show(&box);
	assert_false(screen_has("(gone)"));
	put_sandboxes(0);
	assert_true(screen_has("decisions of box-00 (gone)"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(sandboxes_stand_in_columns),
		T(an_empty_list_says_how_to_begin),
		T(the_cursor_stays_with_the_name_when_the_list_changes),
		T(events_stand_in_columns),
		T(the_newest_is_followed_until_the_cursor_moves),
		T(only_so_many_events_are_kept_and_the_cursor_survives),
		T(filters_let_in_what_they_name),
		T(sources_go_round_both_ways),
		T(a_search_goes_on_and_round),
		T(typing_takes_whole_characters),
		T(details_show_every_field_and_unknown_ones),
		T(a_question_shows_all_that_is_granted),
		T(an_answer_is_about_what_was_shown_whatever_came_since),
		T(nothing_but_y_is_a_yes),
		T(what_does_not_fit_cannot_be_approved),
		T(a_connection_is_granted_whole_and_says_so),
		T(what_no_rule_allows_is_not_asked_about),
		T(without_a_policy_to_compare_with_nothing_is_asked),
		T(nothing_hostile_stands_in_a_cell),
		T(help_names_every_key_of_the_bars),
		T(text_scrolls_and_stops_at_its_ends),
		T(rules_show_their_use),
		T(every_size_can_be_drawn),
		T(a_window_too_small_only_quits),
		T(a_sandbox_that_is_deleted_while_shown_is_said_to_be_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
