/* What a sandbox may leave behind as a repository's settings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/gitadopt.h"

static void reduces(const char *text, const char *want, int want_left)
{
	struct buf out;
	int left;

	buf_init(&out, 64 * 1024);
	left = gitadopt_config(&out, text);
	assert_string_equal(out.len ? buf_cstr(&out) : "", want);
	assert_int_equal(left, want_left);
	buf_done(&out);
}

static void what_git_writes_itself_is_kept(void **state)
{
	static const char text[] = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n"
				   "[remote \"origin\"]\n\turl = https://example.com/x.git\n"
				   "\tfetch = +refs/heads/*:refs/remotes/origin/*\n"
				   "[branch \"main\"]\n\tremote = origin\n\tmerge = refs/heads/main\n"
				   "[user]\n\tname = A Person\n\temail = a@example.com\n";

	(void)state;
	reduces(text, text, 0);
	reduces("[CORE]\n\tFileMode=false\n# why\n", "[core]\n\tfilemode = false\n", 0);
	reduces("", "", 0);
}

/* Each of these runs a program, or leads to settings that do. */
static void what_could_run_a_program_is_not(void **state)
{
	static const char *const bad[] = {
		"[core]\n\tfsmonitor = /tmp/evil\n",
		"[core]\n\tsshCommand = /tmp/evil\n",
		"[core]\n\thooksPath = /tmp/evil\n",
		"[core]\n\tpager = evil\n",
		"[core]\n\teditor = evil\n",
		"[core]\n\tworktree = /home/me\n",
		"[core]\n\tbare = true\n",
		"[core]\n\tgitProxy = evil\n",
		"[core] fsmonitor = /tmp/evil\n",
		"[core]fsmonitor = /tmp/evil\n",
		"[core \"x\"]\n\tfilemode = true\n",
		"[core]\n\tfilemode = true ; \\\n\tfsmonitor = evil\n",
		"[core]\n\tfilemode = \"true\"\n",
		"[include]\n\tpath = /tmp/evil\n",
		"[includeIf \"gitdir:/\"]\n\tpath = /tmp/evil\n",
		"[alias]\n\tst = !evil\n",
		"[filter \"x\"]\n\tsmudge = evil\n",
		"[diff \"x\"]\n\ttextconv = evil\n",
		"[credential]\n\thelper = !evil\n",
		"[remote \"o\"]\n\turl = ext::sh -c evil\n",
		"[remote \"o\"]\n\turl = --upload-pack=evil\n",
		"[remote \"o\"]\n\tuploadpack = evil\n",
		"[remote \"o\"]\n\tvcs = evil\n",
		"[remote \"o\\\"]\n[core]\n\tx = y\"]\n\turl = a\n",
		"[remote]\n\turl = https://example.com/\n",
		"[submodule \"x\"]\n\tupdate = !evil\n",
		"[url \"ext::evil \"]\n\tinsteadOf = https://\n",
		"[gpg]\n\tprogram = evil\n",
		"[extensions]\n\tworktreeConfig = true\n",
		"[user]\n\tname = x\\\n",
		"[user]\n\tname = a\x01z\n",
		"[user]\n\tsigningkey\n",
		"fsmonitor = evil\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct buf out;

		buf_init(&out, 64 * 1024);
		if (gitadopt_config(&out, bad[i]) != 1 || (out.len && strstr(buf_cstr(&out), "vil")))
			fail_msg("case %zu is kept: %s", i, bad[i]);
		buf_done(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_git_writes_itself_is_kept),
		cmocka_unit_test(what_could_run_a_program_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
