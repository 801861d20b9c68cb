/* Policy revisions on disk. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/jsontext.h"
#include "lib/policy.h"
#include "lib/state_internal.h"
#include "lib/str.h"

enum { RECORD_MAX = 4096, REVISION_MAX = 1000000000 };

static int dir_open(const struct state *s)
{
	int fd = openat(s->dir, "policy", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int write_file(
	const struct state *s, uint32_t version, const char *suffix, const char *data, size_t len)
{
	auto_close int dir = state_subdir(s, "policy");
	char name[24];

	if (dir < 0)
		return dir;
	(void)str_format(name, sizeof(name), "%u.%s", version, suffix);
	return state_write_file(s, dir, name, data, len);
}

static int slurp(const struct state *s, uint32_t version, const char *suffix, size_t max,
	char **ret, size_t *ret_len)
{
	auto_close int dir = dir_open(s);
	char name[24];

	if (dir < 0)
		return dir;
	(void)str_format(name, sizeof(name), "%u.%s", version, suffix);
	return fd_slurp_at(dir, name, max, ret, ret_len);
}

int state_revision_update(const struct state *s, const struct state_revision *r)
{
	auto_free char *text = NULL;
	json_t *o;

	o = json_pack("{s:I, s:s, s:I, s:s, s:s}", "version", (json_int_t)r->version, "hash",
		r->hash, "created_at_ms", (json_int_t)r->created_ms, "origin", r->origin, "status",
		r->status);
	text = o ? jsontext_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	return text ? write_file(s, r->version, "json", text, strlen(text)) : -ENOMEM;
}

int state_revision_write(
	const struct state *s, const struct state_revision *r, const char *yaml, size_t len)
{
	int e;

	e = write_file(s, r->version, "yaml", yaml, len);
	return e < 0 ? e : state_revision_update(s, r);
}

int state_revision_remove(const struct state *s, uint32_t version)
{
	static const char *const suffixes[] = { "json", "yaml" };
	auto_close int dir = dir_open(s);
	char name[24];
	int r = dir < 0 ? dir : 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(suffixes); i++) {
		(void)str_format(name, sizeof(name), "%u.%s", version, suffixes[i]);
		if (unlinkat(dir, name, 0) < 0)
			r = -errno;
	}
	return r;
}

static int parse(const char *text, size_t len, struct state_revision *ret)
{
	const char *hash, *origin, *status;
	json_int_t version, created;
	json_t *o;
	bool ok;

	o = jsontext_load(text, len, JSON_REJECT_DUPLICATES, NULL);
	ok = o && json_unpack(o, "{s:I, s:s, s:I, s:s, s:s}", "version", &version, "hash", &hash,
			  "created_at_ms", &created, "origin", &origin, "status", &status) == 0;
	ok = ok && version > 0 && version <= REVISION_MAX && created >= 0 &&
	     str_copy(ret->hash, sizeof(ret->hash), hash) &&
	     str_copy(ret->origin, sizeof(ret->origin), origin) &&
	     str_copy(ret->status, sizeof(ret->status), status);
	if (ok) {
		ret->version = (uint32_t)version;
		ret->created_ms = (uint64_t)created;
	}
	json_decref(o);
	return ok ? 0 : -EINVAL;
}

int state_revision_read(const struct state *s, uint32_t version, struct state_revision *ret,
	char **ret_yaml, size_t *ret_len)
{
	auto_free char *record = NULL, *yaml = NULL;
	struct state_revision rev = { 0 };
	size_t len;
	int r;

	r = slurp(s, version, "json", RECORD_MAX, &record, &len);
	if (r < 0)
		return r;
	r = parse(record, len, &rev);
	if (r < 0)
		return r;
	if (ret_yaml) {
		r = slurp(s, version, "yaml", POLICY_TEXT_MAX, &yaml, ret_len);
		if (r < 0)
			return r;
		*ret_yaml = take_ptr(yaml);
	}
	*ret = rev;
	return 0;
}

/* "N.json" */
static uint32_t record_version(const char *name)
{
	char digits[16];
	uint64_t v;
	size_t len = strlen(name);

	if (!str_ends(name, ".json") || len - 5 >= sizeof(digits))
		return 0;
	memcpy(digits, name, len - 5);
	digits[len - 5] = '\0';
	return str_to_u64(digits, REVISION_MAX, &v) == 0 ? (uint32_t)v : 0;
}

uint32_t state_revision_last(const struct state *s)
{
	int fd = dir_open(s);
	auto_closedir DIR *d = NULL;
	uint32_t last = 0;
	struct dirent *e;

	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		if (fd >= 0)
			(void)close(fd);
		return 0;
	}
	while ((e = readdir(d))) {
		uint32_t v = record_version(e->d_name);

		last = v > last ? v : last;
	}
	return last;
}
