#include "launcher/credential.h"

#include <stddef.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/str.h"

enum { TOKEN_MIN = 12, KEY_MAX = 64 };

static bool has_token_shape(const char *value)
{
	static const char *const prefixes[] = { "sk-", "sk_live_", "rk_live_", "ghp_", "gho_",
		"ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "xoxa-", "xapp-",
		"AKIA", "ASIA", "AIza", "ya29.", "nvapi-", "hf_", "npm_", "pypi-", "dop_v1_", "SG.",
		"eyJ", "-----BEGIN" };

	if (strlen(value) < TOKEN_MIN)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		if (str_starts(value, prefixes[i]))
			return true;
	}
	return false;
}

static bool has_telling_name(const char *entry)
{
	static const char *const words[] = { "token", "secret", "password", "passwd", "api_key",
		"apikey", "access_key", "private_key", "credential" };
	char key[KEY_MAX] = "";

	(void)strncat(
		key, entry, strcspn(entry, "=") < KEY_MAX ? strcspn(entry, "=") : KEY_MAX - 1);
	str_lower(key);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strstr(key, words[i]))
			return true;
	}
	return false;
}

/* Placeholders stand for a secret and are none. */
static bool is_placeholder(const char *value)
{
	return strstr(value, "openshell:resolve:") || strstr(value, "OPENSHELL-RESOLVE-ENV-");
}

bool credential_is_likely(const char *entry)
{
	const char *eq = strchr(entry, '=');

	if (!eq || is_placeholder(eq + 1))
		return false;
	return has_token_shape(eq + 1) || (has_telling_name(entry) && strlen(eq + 1) >= TOKEN_MIN);
}
