#include "unit/policy_test.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/policy_resolve.h"

/* A directory that no sandbox has for itself, with a link "tool". */
static char dir[280];

static int make_dir(void **state)
{
	char path[300];

	(void)state;
	if (!getcwd(path, 200))
		return -1;
	/* A checkout below /tmp is in a directory that every sandbox has for itself. */
	if (policy_path_is_private(path))
		snprintf(path, sizeof(path), "%s", getpwuid(getuid())->pw_dir);
	snprintf(dir, sizeof(dir), "%.250s/policy_resolve.XXXXXX", path);
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/tool", dir);
	if (symlink("/usr/bin/env", path) < 0)
		return -1;
	return 0;
}

static int remove_dir(void **state)
{
	char path[300];

	(void)state;
	snprintf(path, sizeof(path), "%s/tool", dir);
	(void)unlink(path);
	return rmdir(dir);
}

static char *resolved(const char *binary)
{
	char text[1024], *out = NULL;

	snprintf(text, sizeof(text),
		"version: 1\nnetwork_policies:\n  p:\n    endpoints: [{ host: h.test, port: 443 "
		"}]\n"
		"    binaries: [{ path: '%s' }]\n",
		binary);
	assert_int_equal(policy_resolve_binaries(text, strlen(text), &out), 0);
	return out;
}

static bool may(const char *text, const char *binary)
{
	struct policy *p = policy_of(text);
	struct intent in = { .host = "h.test", .port = 443, .binary = binary };
	struct decision d;

	policy_decide(p, &in, &d);
	policy_unref(p);
	return d.verdict == VERDICT_ALLOW;
}

static void the_target_of_a_link_may_do_what_the_link_may(void **state)
{
	char real[4096], link[300];
	auto_free char *text = NULL;

	(void)state;
	snprintf(link, sizeof(link), "%s/tool", dir);
	assert_non_null(realpath("/usr/bin/env", real));
	text = resolved(link);
	assert_true(may(text, real));
	assert_true(may(text, link));
}

static void a_target_that_is_named_already_is_not_added(void **state)
{
	char real[4096], text[8192];
	auto_free char *out = NULL;

	(void)state;
	assert_non_null(realpath("/usr/bin/env", real));
	(void)snprintf(text, sizeof(text),
		"version: 1\nnetwork_policies:\n  p:\n    endpoints: [{ host: h.test, port: 443 }]\n"
		"    binaries: [{ path: %s/tool }, { path: %s }]\n",
		dir, real);
	assert_int_equal(policy_resolve_binaries(text, strlen(text), &out), 0);
	assert_string_equal(out, text);
}

static void what_is_no_link_stays_as_it_was_written(void **state)
{
	auto_free char *plain = resolved("/nowhere/tool"), *glob = resolved("/usr/bin/*");

	(void)state;
	assert_non_null(strstr(plain, "binaries: [{ path: '/nowhere/tool' }]"));
	assert_non_null(strstr(glob, "binaries: [{ path: '/usr/bin/*' }]"));
}

/* Anybody may put a link into the host's /tmp; the sandbox has another one. */
static void links_in_private_directories_are_not_followed(void **state)
{
	static const char link[] = "/tmp/openshell-test-policy-resolve";
	auto_free char *text = NULL;

	(void)state;
	(void)unlink(link);
	assert_int_equal(symlink("/usr/bin/env", link), 0);
	text = resolved(link);
	(void)unlink(link);
	assert_false(may(text, "/usr/bin/env"));
}

static void what_is_no_policy_is_refused(void **state)
{
	char *out = NULL;

	(void)state;
	assert_int_equal(policy_resolve_binaries("version: [", 10, &out), -EINVAL);
	assert_null(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_target_of_a_link_may_do_what_the_link_may),
		cmocka_unit_test(a_target_that_is_named_already_is_not_added),
		cmocka_unit_test(what_is_no_link_stays_as_it_was_written),
		cmocka_unit_test(links_in_private_directories_are_not_followed),
		cmocka_unit_test(what_is_no_policy_is_refused),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
