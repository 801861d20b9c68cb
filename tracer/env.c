#include "tracer/env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/analyzer.h"
#include "lib/cleanup.h"
#include "lib/spec.h"
#include "lib/state.h"
#include "lib/str.h"
#include "lib/strv.h"
#include "tracer/addrs.h"

#define PATH "/sandbox/.local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define PROXY_URL "http://" ADDRS_HOST4 ":3128"
#define NO_PROXY "127.0.0.1,localhost,::1" /* and the sandbox's own name, which the proxy cannot reach */

static const char *const base[] = {
	"HOME=/sandbox",
	"USER=sandbox",
	"LOGNAME=sandbox",
	"PATH=" PATH,
	/* openshell-upstream.md, section 3.11, with compat.md's additions */
	"ALL_PROXY=" PROXY_URL,
	"HTTP_PROXY=" PROXY_URL,
	"HTTPS_PROXY=" PROXY_URL,
	"http_proxy=" PROXY_URL,
	"https_proxy=" PROXY_URL,
	"grpc_proxy=" PROXY_URL,
	"NODE_USE_ENV_PROXY=1",
	"NODE_EXTRA_CA_CERTS=" ENV_CA_FILE,
	"DENO_CERT=" ENV_CA_FILE,
	"SSL_CERT_FILE=" ENV_BUNDLE_FILE,
	"REQUESTS_CA_BUNDLE=" ENV_BUNDLE_FILE,
	"CURL_CA_BUNDLE=" ENV_BUNDLE_FILE,
	"GIT_SSL_CAINFO=" ENV_BUNDLE_FILE,
	"AWS_CA_BUNDLE=" ENV_BUNDLE_FILE,
	"PIP_CERT=" ENV_BUNDLE_FILE,
	"CARGO_HTTP_CAINFO=" ENV_BUNDLE_FILE,
	"NIX_SSL_CERT_FILE=" ENV_BUNDLE_FILE,
};

static size_t key_len(const char *entry)
{
	return strcspn(entry, "=");
}

/* gcc 12: the vector owns the copy. */
ANALYZER_OFF("-Wanalyzer-malloc-leak")
static int set(char ***env, const char *entry)
{
	size_t n = key_len(entry);
	char *copy;

	for (char **e = *env; e && *e; e++) {
		if (key_len(*e) != n || strncmp(*e, entry, n) != 0)
			continue;
		copy = strdup(entry);
		if (!copy)
			return -1;
		free(*e);
		*e = copy;
		return 0;
	}
	return strv_push(env, entry);
}
ANALYZER_ON

static int set_all(char ***env, char *const *entries)
{
	int r = 0;

	for (; entries && *entries && r == 0; entries++)
		r = set(env, *entries);
	return r;
}

static int set_format(char ***env, const char *key, const char *value)
{
	char entry[4096];

	return str_format(entry, sizeof(entry), "%s=%s", key, value ? value : "") ?
		       set(env, entry) :
		       0;
}

static int set_no_proxy(char ***env, const char *name)
{
	char value[sizeof(NO_PROXY) + STATE_NAME_MAX + 2];

	if (!str_format(value, sizeof(value), NO_PROXY ",%s", name ? name : "localhost"))
		return 0;
	return set_format(env, "NO_PROXY", value) < 0 ? -1 : set_format(env, "no_proxy", value);
}

/* Behind what the user has there: whose hooks call the next one find ours. */
static int add_preload(char ***env)
{
	const char *theirs = env_get(*env, "LD_PRELOAD");
	char value[4096];

	if (!theirs || !*theirs)
		return set_format(env, "LD_PRELOAD", ENV_PRELOAD_FILE);
	return str_format(value, sizeof(value), "%s:%s", theirs, ENV_PRELOAD_FILE) ?
		       set_format(env, "LD_PRELOAD", value) :
		       0;
}

char **env_build(const struct sandbox_spec *spec, char *const *placeholders, char *const *caller,
	bool is_tty)
{
	const char *shell = access("/bin/bash", X_OK) == 0 ? "/bin/bash" : "/bin/sh";
	auto_strv char **env = NULL;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(base) && r == 0; i++)
		r = strv_push(&env, base[i]);
	if (r == 0)
		r = set_no_proxy(&env, spec->name);
	if (r == 0 && spec->links)
		r = set_format(&env, "PATH", ENV_BIN_DIR ":" PATH);
	if (r == 0)
		r = set_format(&env, "SHELL", shell);
	if (r == 0)
		r = set_format(&env, "TERM", is_tty ? "xterm-256color" : "dumb");
	if (r == 0)
		r = set_format(&env, "OPENSHELL_SANDBOX", spec->name);
	if (r == 0)
		r = set_format(&env, "OPENSHELL_SANDBOX_ID", spec->id);
	if (r == 0)
		r = set_all(&env, placeholders);
	if (r == 0)
		r = set_all(&env, spec->env);
	if (r == 0)
		r = set_all(&env, caller);
	if (r == 0 && (spec->stacks || spec->intercept == SPEC_INTERCEPT_PRELOAD))
		r = add_preload(&env);
	return r < 0 ? NULL : take_ptr(env);
}

const char *env_get(char *const *env, const char *key)
{
	size_t n = strlen(key);

	for (; env && *env; env++)
		if (key_len(*env) == n && strncmp(*env, key, n) == 0)
			return *env + n + 1;
	return NULL;
}
