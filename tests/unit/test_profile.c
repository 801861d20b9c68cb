#include "lib/profile.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "launcher/agent.h"

static int parse(struct profile *p, const char *text, struct err *err)
{
	return profile_parse(p, text, strlen(text), err);
}

static void a_profile_is_read_and_its_section_cut_out_of_the_policy(void **state)
{
	struct profile p;
	struct err err;

	(void)state;
	assert_int_equal(parse(&p,
				 "# head\nprofile:\n  name: x\n  commands: [a, b]\n"
				 "  home_read_write: [.x]\nversion: 1\nnetwork_policies: {}\n",
				 &err),
		0);
	assert_string_equal(p.name, "x");
	assert_true(profile_is_for(&p, "b"));
	assert_false(profile_is_for(&p, "c"));
	assert_string_equal(p.home_rw[0], ".x");
	assert_string_equal(p.policy, "# head\n\n\n\n\nversion: 1\nnetwork_policies: {}\n");
	profile_done(&p);
}

static void the_section_may_stand_last(void **state)
{
	struct profile p;
	struct err err;

	(void)state;
	assert_int_equal(parse(&p, "version: 1\nprofile:\n  name: x", &err), 0);
	assert_string_equal(p.policy, "version: 1\n\n");
	profile_done(&p);
}

static void what_is_wrong_is_said_with_its_place(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{ "version: 1\n", "no section" },
		{ "", "no section" },
		{ "profile: []\n", "not a map" },
		{ "profile:\n  name: x\n  comands: [a]\n", "3:3: unknown key" },
		{ "profile:\n  commands: [a]\n", "'name'" },
		{ "profile:\n  name: X\n", "'name'" },
		{ "profile:\n  name: [x]\n", "expected a string" },
		{ "profile:\n  name: x\n  commands: a\n", "expected a list" },
		{ "profile:\n  name: x\n  commands: [a/b]\n", "not the name of a command" },
		{ "profile:\n  name: x\n  home_read_write: [/etc]\n", "below the home" },
		{ "profile:\n  name: x\n  home_read_write: [../x]\n", "below the home" },
		{ "profile:\n  name: x\n  home_read_write: [a/../../x]\n", "below the home" },
		{ "profile:\n  name: x\n  home_read_write: [.]\n", "below the home" },
		{ "profile:\n  name: x\n  protect: ['a//b']\n", "below the home" },
		{ "profile: {name: x}\nprofile: {name: y}\n", "" },
		{ "{profile: {name: x}, version: 1}\n", "lines of its own" },
		{ "profile: {name: x\n", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct profile p;
		struct err err;

		assert_int_equal(parse(&p, bad[i].text, &err), -EINVAL);
		if (!strstr(err.text, bad[i].says))
			fail_msg("%s: said '%s'", bad[i].text, err.text);
	}
}

static void variables_are_replaced_and_quoted(void **state)
{
	struct profile p;
	struct err err;
	char *text;

	(void)state;
	assert_int_equal(
		parse(&p,
			"profile:\n  name: x\na: \"${agent}\"\nb: \"${install}/**\"\nc: \"${c}\"\n",
			&err),
		0);
	text = profile_policy(&p, "/a \"q\\", "/i");
	assert_string_equal(text, "\n\na: \"/a \\\"q\\\\\"\nb: \"/i/**\"\nc: \"${c}\"\n");
	free(text);
	profile_done(&p);
}

static void an_installation_is_a_package_a_prefix_or_a_file(void **state)
{
	static const struct {
		const char *real, *install;
	} cases[] = {
		{ "/h/.npm/lib/node_modules/@a/b/bin/x.js", "/h/.npm/lib/node_modules/@a/b" },
		{ "/h/.npm/lib/node_modules/b/cli.js", "/h/.npm/lib/node_modules/b" },
		{ "/h/u/.claude/local/node_modules/@a/b/cli.js", "/h/u/.claude/local/node_modules" },
		{ "/h/u/.bun/install/global/node_modules/b/cli.js", "/h/u/.bun/install/global/node_modules" },
		{ "/h/u/work/node_modules/b/cli.js", "/h/u/work/node_modules/b" },
		{ "/h/g/5/.pnpm/a@1/node_modules/a/x.js", "/h/g/5/.pnpm" },
		{ "/home/linuxbrew/.linuxbrew/Cellar/node/22/bin/node",
			"/home/linuxbrew/.linuxbrew" },
		{ "/h/u/.nvm/versions/node/v22/bin/node", "/h/u/.nvm/versions/node/v22" },
		{ "/h/u/.local/share/pipx/venvs/a/bin/a", "/h/u/.local/share/pipx/venvs/a" },
		{ "/h/u/.local/share/claude/versions/2.1",
			"/h/u/.local/share/claude/versions/2.1" },
		/* Places for everything are never granted whole. */
		{ "/h/u/.local/bin/x", "/h/u/.local/bin/x" },
		{ "/h/u/bin/x", "/h/u/bin/x" },
		{ "/h/bin/x", "/h/bin/x" },
		{ "/bin/x", "/bin/x" },
		{ "/opt/bin/x", "/opt/bin/x" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *install = agent_install_of(cases[i].real, "/h/u", "/h/u/work");

		assert_string_equal(install, cases[i].install);
		free(install);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_profile_is_read_and_its_section_cut_out_of_the_policy),
		cmocka_unit_test(the_section_may_stand_last),
		cmocka_unit_test(what_is_wrong_is_said_with_its_place),
		cmocka_unit_test(variables_are_replaced_and_quoted),
		cmocka_unit_test(an_installation_is_a_package_a_prefix_or_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
