#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/inbox.h"
#include "lib/siphash.h"

static struct inbox_item *add(struct inbox *b, const char *name, const char *rule, int want)
{
	struct inbox_item *i = NULL;

	assert_int_equal(inbox_add(b, name, "/usr/bin/curl", "why", rule, 1000, &i), want);
	return i;
}

static void the_same_waits_once(void **state)
{
	struct inbox b;
	struct inbox_item *i;

	(void)state;
	inbox_init(&b);
	i = add(&b, "a", "rule", 0);
	assert_int_equal(strlen(i->id), INBOX_ID_LEN);
	assert_ptr_equal(add(&b, "a", "rule", 0), i);
	assert_int_equal(i->hits, 2);
	assert_int_equal(b.n_pending, 1);
	inbox_done(&b);
}

static void a_newer_text_takes_the_place_under_a_new_id(void **state)
{
	struct inbox b;
	struct inbox_item *old, *new;

	(void)state;
	inbox_init(&b);
	old = add(&b, "a", "rule", 0);
	new = add(&b, "a", "other", 0);
	assert_string_not_equal(old->id, new->id);
	assert_string_equal(old->rule, "rule");
	assert_int_equal(old->status, INBOX_SUPERSEDED);
	assert_int_equal(inbox_decide(&b, old, INBOX_APPROVED, "", 1), -EALREADY);
	assert_int_equal(b.n_pending, 1);
	inbox_done(&b);
}

static void what_waits_is_bounded(void **state)
{
	struct inbox b;
	char name[16];

	(void)state;
	inbox_init(&b);
	for (int i = 0; i < INBOX_PENDING_MAX; i++) {
		(void)snprintf(name, sizeof(name), "r%d", i);
		(void)add(&b, name, "rule", 0);
	}
	(void)add(&b, "more", "rule", -EDQUOT);
	assert_int_equal(inbox_decide(&b, TAILQ_FIRST(&b.items), INBOX_REJECTED, "no", 5), 0);
	(void)add(&b, "more", "rule", 0);
	for (int i = 0; i < 3 * INBOX_ITEMS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "x%d", i);
		(void)add(&b, "more", name, 0);
	}
	assert_true(b.n <= INBOX_ITEMS_MAX);
	inbox_clear(&b);
	assert_int_equal(b.n_pending, 0);
	inbox_done(&b);
}

static void long_and_foreign_text_is_refused(void **state)
{
	static char text[INBOX_RULE_MAX + 2];
	struct inbox b;

	(void)state;
	inbox_init(&b);
	memset(text, 'x', INBOX_RULE_MAX + 1);
	(void)add(&b, "a", text, -EMSGSIZE);
	(void)add(&b, "a\xff", "rule", -EILSEQ);
	assert_int_equal(b.n, 0);
	inbox_done(&b);
}

static void what_is_saved_is_loaded(void **state)
{
	char dir[] = "/tmp/test-inbox.XXXXXX";
	struct inbox b, again;
	struct inbox_item *i;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	inbox_init(&b);
	inbox_init(&again);
	assert_int_equal(inbox_load(&b, fd), 0);
	(void)add(&b, "a", "rule \x1b\n", 0);
	i = add(&b, "b", "rule", 0);
	assert_int_equal(inbox_decide(&b, i, INBOX_REJECTED, "no: \"x\"", 77), 0);
	assert_int_equal(inbox_save(&b, fd), 0);
	assert_int_equal(inbox_load(&again, fd), 0);
	assert_int_equal(again.n, 2);
	assert_int_equal(again.n_pending, 1);
	i = inbox_find(&again, i->id);
	assert_non_null(i);
	assert_string_equal(i->reason, "no: \"x\"");
	assert_int_equal(i->decided_ms, 77);
	inbox_done(&b);
	inbox_done(&again);
	(void)unlinkat(fd, "agent-proposals.json", 0);
	(void)close(fd);
	(void)rmdir(dir);
}

/* The vectors of the paper's appendix and of its reference implementation. */
static void siphash_is_siphash(void **state)
{
	unsigned char key[SIPHASH_KEY], data[15];

	(void)state;
	for (unsigned char i = 0; i < SIPHASH_KEY; i++)
		key[i] = i;
	for (unsigned char i = 0; i < sizeof(data); i++)
		data[i] = i;
	assert_true(siphash(key, data, 15) == 0xa129ca6149be45e5);
	assert_true(siphash(key, data, 0) == 0x726fdb47dd0e0e31);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_waits_once),
		cmocka_unit_test(a_newer_text_takes_the_place_under_a_new_id),
		cmocka_unit_test(what_waits_is_bounded),
		cmocka_unit_test(long_and_foreign_text_is_refused),
		cmocka_unit_test(what_is_saved_is_loaded),
		cmocka_unit_test(siphash_is_siphash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
