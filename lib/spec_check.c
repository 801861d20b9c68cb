/* The checks on single values of a spec: pure, no I/O. */
#include "lib/spec.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/str.h"

enum { LABEL_PART_MAX = 63, LABEL_PREFIX_MAX = 253, HOST_MAX = 253 };

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Labels take any letter there is, as upstream does; the bytes of those beyond ASCII have bit 7. */
static bool is_label_alnum(char c)
{
	return is_alnum(c) || (c & 0x80);
}

static bool env_key_is_good(const char *s, size_t len)
{
	if (len == 0 || len > SPEC_ENV_KEY_MAX || (s[0] >= '0' && s[0] <= '9'))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!is_alnum(s[i]) && s[i] != '_')
			return false;
	}
	return true;
}

/* v1_KEY and s<64 hex>_KEY are forms of upstream's credential placeholders. */
static bool env_key_is_reserved(const char *key)
{
	size_t digits = strspn(key + 1, "0123456789"), hex = strspn(key + 1, "0123456789abcdef");

	return str_starts(key, "OPENSHELL_") || (key[0] == 'v' && digits && key[1 + digits] == '_') ||
	       (key[0] == 's' && hex == 64 && key[65] == '_');
}

int spec_env_check(const char *entry, struct err *err)
{
	const char *eq = strchr(entry, '=');
	size_t len = eq ? (size_t)(eq - entry) : strlen(entry);

	if (!eq)
		return err_set(err, -EINVAL, "'%.64s' is not KEY=VALUE", entry);
	if (!env_key_is_good(entry, len))
		return err_set(err, -EINVAL, "'%.*s': keys must match [A-Za-z_][A-Za-z0-9_]*",
			(int)(len > 64 ? 64 : len), entry);
	if (env_key_is_reserved(entry))
		return err_set(err, -EINVAL, "'%.*s' is reserved", (int)len, entry);
	if (strpbrk(eq + 1, "\r\n"))
		return err_set(
			err, -EINVAL, "the value of '%.*s' contains a newline", (int)len, entry);
	if (strlen(eq + 1) > SPEC_ENV_VALUE_MAX)
		return err_set(err, -EINVAL, "the value of '%.*s' exceeds %d bytes", (int)len,
			entry, SPEC_ENV_VALUE_MAX);
	return 0;
}

/* Digits, at least one, up to @ret_end. */
static bool parse_digits(const char *s, uint64_t max, uint64_t *ret, const char **ret_end)
{
	char text[24];
	size_t n = strspn(s, "0123456789");

	*ret_end = s + n;
	for (; n > 1 && *s == '0'; n--)
		s++;
	return n && str_format(text, sizeof(text), "%.*s", (int)(n < 24 ? n : 24), s) &&
	       str_to_u64(text, max, ret) == 0;
}

enum { CPU_MAX = 1000000 };

int spec_cpu_parse(const char *text, uint64_t *ret, struct err *err)
{
	uint64_t whole = 0, part = 0;
	const char *p;
	bool is_good = parse_digits(text, CPU_MAX, &whole, &p);

	if (is_good && str_eq(p, "m")) {
		p++;
	} else if (is_good) {
		whole *= 1000;
		if (*p == '.') {
			const char *start = ++p;
			static const unsigned int scale[] = { 0, 100, 10, 1 };

			is_good = parse_digits(start, 999, &part, &p) && p - start <= 3;
			whole += is_good ? part * scale[p - start] : 0;
		}
	}
	if (!is_good || *p || !whole)
		return err_set(err, -EINVAL, "'%s' is no amount of processors such as 500m or 2.5", text);
	*ret = whole;
	return 0;
}

int spec_memory_parse(const char *text, uint64_t *ret, struct err *err)
{
	static const struct {
		const char *name;
		uint64_t factor;
	} units[] = { { "", 1 }, { "k", 1000 }, { "M", 1000000 }, { "G", 1000000000 },
		{ "T", 1000000000000 }, { "Ki", 1ULL << 10 }, { "Mi", 1ULL << 20 },
		{ "Gi", 1ULL << 30 }, { "Ti", 1ULL << 40 } };
	uint64_t v = 0;
	const char *p;

	for (size_t i = 0; parse_digits(text, INT64_MAX, &v, &p) && v && i < ARRAY_SIZE(units); i++) {
		if (!str_eq(p, units[i].name) || v > INT64_MAX / units[i].factor)
			continue;
		*ret = v * units[i].factor;
		return 0;
	}
	return err_set(err, -EINVAL, "'%s' is no amount of memory such as 512Mi or 8G", text);
}

int spec_env_check_all(char *const *env, struct err *err)
{
	size_t total = 0, n = 0;

	for (; env && env[n]; n++) {
		int r = spec_env_check(env[n], err);

		if (r < 0)
			return r;
		total += strlen(env[n]);
	}
	if (n > SPEC_ENV_MAX)
		return err_set(err, -EINVAL, "more than %d variables", SPEC_ENV_MAX);
	if (total > SPEC_ENV_TOTAL_MAX)
		return err_set(err, -EINVAL, "more than %d bytes of variables", SPEC_ENV_TOTAL_MAX);
	return 0;
}

/* One part of a label: letters and digits at both ends, "-", "_" and "." between. */
static int label_part_check(const char *what, const char *s, size_t len, struct err *err)
{
	if (len > LABEL_PART_MAX)
		return err_set(
			err, -EINVAL, "label %s exceeds %d characters", what, LABEL_PART_MAX);
	if (!is_label_alnum(s[0]))
		return err_set(err, -EINVAL, "label %s must start with alphanumeric", what);
	if (!is_label_alnum(s[len - 1]))
		return err_set(err, -EINVAL, "label %s must end with alphanumeric", what);
	for (size_t i = 0; i < len; i++) {
		if (!is_label_alnum(s[i]) && !strchr("-_.", s[i]))
			return err_set(err, -EINVAL, "label %s has invalid characters", what);
	}
	return 0;
}

static int label_prefix_check(const char *s, size_t len, struct err *err)
{
	if (len == 0)
		return err_set(err, -EINVAL, "label key prefix cannot be empty");
	for (size_t i = 0; i < len; i++) {
		if (!is_alnum(s[i]) && s[i] != '-' && s[i] != '.')
			return err_set(err, -EINVAL, "label key prefix has invalid characters");
	}
	return 0;
}

static int label_key_check(const char *s, size_t len, struct err *err)
{
	const char *slash = memchr(s, '/', len);
	int r;

	if (len == 0)
		return err_set(err, -EINVAL, "label key cannot be empty");
	if (len > LABEL_PREFIX_MAX)
		return err_set(err, -EINVAL, "label key exceeds %d characters", LABEL_PREFIX_MAX);
	if (!slash)
		return label_part_check("key", s, len, err);
	r = label_prefix_check(s, (size_t)(slash - s), err);
	if (r < 0)
		return r;
	len -= (size_t)(slash + 1 - s);
	if (len == 0)
		return err_set(err, -EINVAL, "label key cannot be empty after '/'");
	return label_part_check("key", slash + 1, len, err);
}

static int label_check(const char *s, size_t len, struct err *err)
{
	const char *eq = memchr(s, '=', len);
	int r;

	if (!eq)
		return err_set(err, -EINVAL, "expected 'key=value', got '%.*s'",
			(int)(len > 64 ? 64 : len), s);
	r = label_key_check(s, (size_t)(eq - s), err);
	if (r < 0 || eq + 1 == s + len)
		return r;
	return label_part_check("value", eq + 1, (size_t)(s + len - eq - 1), err);
}

int spec_label_check(const char *entry, struct err *err)
{
	return label_check(entry, strlen(entry), err);
}

/* Steps through the non-empty items of a comma-separated list. NULL at the end. */
static const char *next_item(const char *s, size_t *ret_len)
{
	s += strspn(s, ",");
	*ret_len = strcspn(s, ",");
	return *ret_len ? s : NULL;
}

int spec_selector_check(const char *selector, struct err *err)
{
	size_t n = 0, len;

	for (const char *s = selector; (s = next_item(s, &len)); s += len) {
		int r = label_check(s, len, err);

		if (r < 0)
			return r;
		if (++n > SPEC_LABELS_MAX)
			return err_set(err, -EINVAL, "more than %d labels in the selector",
				SPEC_LABELS_MAX);
	}
	return 0;
}

static bool has_label(char *const *labels, const char *s, size_t len)
{
	for (size_t i = 0; labels && labels[i]; i++) {
		if (strlen(labels[i]) == len && memcmp(labels[i], s, len) == 0)
			return true;
	}
	return false;
}

bool spec_selector_matches(const char *selector, char *const *labels)
{
	size_t len;

	for (const char *s = selector; (s = next_item(s, &len)); s += len) {
		if (!has_label(labels, s, len))
			return false;
	}
	return true;
}

static bool port_is_good(const char *s)
{
	uint64_t v;

	return str_to_u64(s, 65535, &v) == 0 && v > 0;
}

static bool address_is_good(const char *s)
{
	struct in6_addr a;

	return inet_pton(AF_INET, s, &a) == 1 || inet_pton(AF_INET6, s, &a) == 1;
}

/* Cuts "[v6]" or text up to the next ':' off the front; NULL when there is none. */
static char *cut(char **s)
{
	char *start = *s, *end;

	if (start[0] == '[') {
		end = strchr(++start, ']');
		if (!end || (end[1] != ':' && end[1] != '\0'))
			return NULL;
		*end++ = '\0';
	} else {
		end = start + strcspn(start, ":");
	}
	*s = *end ? end + 1 : end;
	*end = '\0';
	return *start ? start : NULL;
}

int spec_connect_to_check(const char *entry, struct err *err)
{
	char text[2 * HOST_MAX + 32], *s = text;
	const char *host, *port, *addr, *to;

	if (!str_copy(text, sizeof(text), entry))
		return err_set(err, -EINVAL, "'%.64s…' is too long for HOST:PORT:ADDR:PORT", entry);
	host = cut(&s);
	port = cut(&s);
	addr = cut(&s);
	to = cut(&s);
	if (!host || !port || !addr || !to || *s || str_ends(entry, ":"))
		return err_set(err, -EINVAL, "'%s' is not HOST:PORT:ADDR:PORT", entry);
	if (!port_is_good(port) || !port_is_good(to))
		return err_set(err, -EINVAL, "'%s': a port is not between 1 and 65535", entry);
	if (!address_is_good(addr))
		return err_set(err, -EINVAL, "'%s': '%s' is not an IP address", entry, addr);
	return 0;
}
