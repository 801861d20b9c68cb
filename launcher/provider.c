#include "launcher/provider.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/ctl.h"
#include "launcher/profiles.h"
#include "lib/cleanup.h"
#include "lib/event.h"
#include "lib/jsontext.h"
#include "lib/fd.h"
#include "lib/placeholder.h"
#include "lib/proto.h"
#include "lib/str.h"
#include "lib/strv.h"

enum { FILE_MAX = 1024 * 1024, BUNDLE_MAX = 8 * 1024 * 1024, ANSWER_MS = 10 * 1000 };

static const char attached_file[] = "providers.json";

/* --- checks --- */

int provider_name_check(const char *name, struct err *err)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_");

	if (!n || name[n] || n > PROVIDER_NAME_MAX || name[0] == '-' || name[0] == '_')
		return err_set(err, -EINVAL,
			"provider name '%.64s': up to %d of a-z, 0-9, '-' and '_', beginning with "
			"a letter "
			"or digit",
			name, PROVIDER_NAME_MAX);
	return 0;
}

/* "v7_X" and "s<64 hex>_X" are forms of a placeholder for X. */
static bool is_reserved(const char *key)
{
	size_t n = 1 + strspn(key + 1, key[0] == 'v' ? "0123456789" : "0123456789abcdefABCDEF");

	return (key[0] == 'v' && n > 1 && key[n] == '_') ||
	       (key[0] == 's' && n == 65 && key[n] == '_');
}

int provider_secret_check(const char *key, const char *secret, struct err *err)
{
	char entry[SPEC_ENV_KEY_MAX + 8];
	int r;

	if (!str_format(entry, sizeof(entry), "%s=x", key))
		return err_set(err, -EINVAL, "a variable's name is longer than %d bytes",
			SPEC_ENV_KEY_MAX);
	r = spec_env_check(entry, err);
	if (r < 0)
		return r;
	if (is_reserved(key))
		return err_set(
			err, -EINVAL, "'%s' is reserved: placeholders are written like that", key);
	if (!secret[0])
		return err_set(err, -EINVAL, "'%s' is empty", key);
	if (strlen(secret) > SPEC_ENV_VALUE_MAX)
		return err_set(
			err, -EINVAL, "'%s' is longer than %d bytes", key, SPEC_ENV_VALUE_MAX);
	for (const char *p = secret; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return err_set(err, -EINVAL, "'%s' holds a control character", key);
	return str_is_utf8(secret, strlen(secret))
		       ? 0
		       : err_set(err, -EINVAL, "'%s' is not UTF-8", key);
}

/* --- one provider on disk --- */

static int open_dir(struct err *err)
{
	auto_close int config = state_config_open(err);
	int fd;

	if (config < 0)
		return config;
	(void)mkdirat(config, "providers", 0700);
	fd = openat(config, "providers", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && fchmod(fd, 0700) == 0)
		return fd;
	(void)err_set(err, -errno, "the directory of providers: %s", err_name(errno));
	if (fd >= 0)
		(void)close(fd);
	return -EIO;
}

static bool file_name(const char *name, char *ret, size_t size)
{
	return str_format(ret, size, "%s.json", name);
}

void provider_free(json_t *p)
{
	json_t *v;
	const char *key;

	json_object_foreach (json_object_get(p, "credentials"), key, v) {
		if (json_is_string(v))
			explicit_bzero((char *)json_string_value(v), json_string_length(v));
	}
	json_decref(p);
}

json_t *provider_load(const char *name, struct err *err)
{
	auto_close int dir = -1;
	char file[PROVIDER_NAME_MAX + 8], *text = NULL;
	json_t *p = NULL;
	size_t len = 0;
	int r = provider_name_check(name, err);

	if (r < 0)
		return NULL;
	/* From here on there are secrets in memory: no core, and nobody looks. */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	dir = open_dir(err);
	(void)file_name(name, file, sizeof(file));
	r = dir < 0 ? dir : fd_slurp_at(dir, file, FILE_MAX, &text, &len);
	if (r == 0)
		p = jsontext_load(text, len, JSON_REJECT_DUPLICATES, NULL);
	if (text)
		explicit_bzero(text, len);
	free(text);
	if (json_is_object(json_object_get(p, "credentials")) &&
		json_is_string(json_object_get(p, "type")))
		return p;
	provider_free(p);
	if (r == -ENOENT) {
		(void)err_set(err, r, "there is no provider '%s'", name);
		(void)err_hint(err, r,
			"openshell provider list; openshell provider create --name %s", name);
	} else if (!err->text[0]) {
		(void)err_set(err, -EIO, "provider '%s' cannot be read", name);
	}
	return NULL;
}

json_t *provider_new(const char *name, const char *type)
{
	return json_pack("{s:s, s:s, s:{}, s:[], s:I}", "name", name, "type", type, "credentials", "endpoints",
		"created_ms", (json_int_t)event_now_ms());
}

int provider_put_secret(json_t *p, const char *key, const char *secret, struct err *err)
{
	json_t *all = json_object_get(p, "credentials");
	int r = provider_secret_check(key, secret, err);

	if (r < 0)
		return r;
	if (json_object_size(all) >= PROVIDER_KEYS_MAX && !json_object_get(all, key))
		return err_set(err, -E2BIG, "more than %d credentials", PROVIDER_KEYS_MAX);
	return json_object_set_new(all, key, json_string(secret)) < 0 ? -ENOMEM : 0;
}

int provider_take_existing(json_t *p, const struct provider_profile *profile, struct err *err)
{
	size_t n = 0;

	for (char **key = profile->keys; key && *key; key++) {
		const char *secret = getenv(*key);
		int r = secret && secret[0] ? provider_put_secret(p, *key, secret, err) : 0;

		if (r < 0)
			return r;
		n += secret && secret[0];
	}
	return n ? 0 : -ENOENT;
}

int provider_save(const char *name, const json_t *p, struct err *err)
{
	auto_close int dir = open_dir(err);
	char file[PROVIDER_NAME_MAX + 8], *text;
	int r;

	if (dir < 0)
		return dir;
	(void)file_name(name, file, sizeof(file));
	text = jsontext_dumps(p, JSON_COMPACT | JSON_SORT_KEYS);
	if (!text)
		return err_set(err, -ENOMEM, "out of memory");
	r = fd_replace_file(dir, file, text, strlen(text));
	explicit_bzero(text, strlen(text));
	free(text);
	return r < 0 ? err_set(err, r, "provider '%s': %s", name, err_name(r)) : 0;
}

int provider_remove(const char *name)
{
	struct err err = { 0 };
	auto_close int dir = open_dir(&err);
	char file[PROVIDER_NAME_MAX + 8];

	if (dir < 0)
		return dir;
	(void)file_name(name, file, sizeof(file));
	return unlinkat(dir, file, 0) < 0 ? -errno : 0;
}

char **provider_names(void)
{
	struct err err = { 0 };
	char **names = NULL;

	profiles_list(&names, open_dir(&err), ".json", PROVIDER_NAME_MAX);
	strv_sort(names);
	return names;
}

/* --- what is attached --- */

int provider_attached(const struct state *s, char ***ret, struct err *err)
{
	auto_spec struct sandbox_spec spec = { 0 };
	auto_free char *text = NULL;
	json_t *list;
	size_t len;
	int r = fd_slurp_at(s->dir, attached_file, FILE_MAX, &text, &len);

	if (r == -ENOENT) {
		r = state_load_spec(s, &spec, err);
		return r < 0 ? r : strv_push_n(ret, spec.providers, strv_len(spec.providers));
	}
	list = r == 0 ? jsontext_load(text, len, 0, NULL) : NULL;
	r = json_is_array(list) ? 0 : -EIO;
	for (size_t i = 0; i < json_array_size(list) && r == 0; i++) {
		const char *name = json_string_value(json_array_get(list, i));

		r = name ? strv_push(ret, name) : -EIO;
	}
	json_decref(list);
	return r < 0 ? err_set(err, r, "%s of '%s': %s", attached_file, s->name, err_name(r)) : 0;
}

int provider_attach_save(const struct state *s, char *const *names)
{
	json_t *list = json_array();
	auto_free char *text = NULL;

	for (; names && *names; names++)
		json_array_append_new(list, json_string(*names));
	text = jsontext_dumps(list, JSON_COMPACT);
	json_decref(list);
	return text ? fd_replace_file(s->dir, attached_file, text, strlen(text)) : -ENOMEM;
}

/* --- the bundle: proxy/credentials.h says how the bytes are ordered --- */

struct bundle {
	struct buf secrets;
	char **env;
	char **keys; /* KEY, and who has it, in pairs */
};

static void bundle_done(struct bundle *b)
{
	placeholder_wipe(&b->secrets);
	strv_free(b->env);
	strv_free(b->keys);
}

static int put(struct bundle *b, const char *text)
{
	return buf_append(&b->secrets, text, strlen(text) + 1);
}

static int put_number(struct bundle *b, size_t n)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%zu", n);
	return put(b, text);
}

static int put_endpoints(struct bundle *b, const struct provider_endpoint *list, size_t n)
{
	int r = put_number(b, n);

	for (size_t i = 0; i < n && r == 0; i++) {
		r = put(b, list[i].host);
		if (r == 0)
			r = put_number(b, list[i].port);
		if (r == 0)
			r = put(b, list[i].path);
	}
	return r;
}

static int check_key(struct bundle *b, const char *key, const char *provider, struct err *err)
{
	for (char **k = b->keys; k && *k; k += 2)
		if (str_eq(k[0], key))
			return err_set(err, -EEXIST, "providers '%s' and '%s' both have a %s", k[1],
				provider, key);
	return strv_push(&b->keys, key) < 0 ? -ENOMEM : strv_push(&b->keys, provider);
}

static int put_secret(struct bundle *b, const char *provider, const char *key, const char *secret,
	const struct provider_endpoint *list, size_t n, struct err *err)
{
	char placeholder[SPEC_ENV_KEY_MAX + 64], entry[2 * SPEC_ENV_KEY_MAX + 64];
	int r = check_key(b, key, provider, err);

	if (r < 0)
		return r;
	if (!placeholder_for(key, placeholder, sizeof(placeholder)) ||
		!str_format(entry, sizeof(entry), "%s=%s", key, placeholder))
		return -EINVAL;
	r = strv_push(&b->env, entry);
	if (r == 0)
		r = put(b, provider);
	if (r == 0)
		r = put(b, key);
	if (r == 0)
		r = put(b, secret);
	return r == 0 ? put_endpoints(b, list, n) : r;
}

/* Its own endpoints, else those of its type. */
static int endpoints_of(const json_t *p, struct provider_profile *profile, struct err *err)
{
	const json_t *own = json_object_get(p, "endpoints");
	size_t n = json_array_size(own);
	int r;

	if (!n)
		return provider_profile_load(
			json_string_value(json_object_get(p, "type")), profile, err);
	profile->endpoints = calloc(n, sizeof(*profile->endpoints));
	if (!profile->endpoints)
		return -ENOMEM;
	for (; profile->n_endpoints < n; profile->n_endpoints++) {
		const char *text = json_string_value(json_array_get(own, profile->n_endpoints));

		r = provider_endpoint_parse(
			text ? text : "", &profile->endpoints[profile->n_endpoints], err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int put_provider(struct bundle *b, const char *name, struct err *err)
{
	auto_provider_profile struct provider_profile profile = { 0 };
	json_t *p = provider_load(name, err), *v;
	const char *key;
	int r = p ? endpoints_of(p, &profile, err) : -ENOENT;

	json_object_foreach (json_object_get(p, "credentials"), key, v) {
		if (r == 0)
			r = json_is_string(v) ? put_secret(b, name, key, json_string_value(v),
							profile.endpoints, profile.n_endpoints, err)
					      : -EINVAL;
	}
	provider_free(p);
	return r;
}

static int bundle_make(struct bundle *b, char *const *names, struct err *err)
{
	int r = 0;

	buf_init(&b->secrets, BUNDLE_MAX);
	/* One block from the start: nothing of it is left behind by growing. Where there is nothing to
	 * keep, nothing of that size is to be wiped at each start either. */
	if (strv_len(names) > 0 && !buf_reserve(&b->secrets, 1024 * 1024))
		return err_set(err, -ENOMEM, "out of memory");
	if (strv_len(names) > PROVIDERS_ATTACHED_MAX)
		return err_set(err, -E2BIG, "more than %d providers", PROVIDERS_ATTACHED_MAX);
	for (; names && *names && r == 0; names++)
		r = put_provider(b, *names, err);
	if (r < 0 && !err->text[0])
		(void)err_set(err, r, "credentials: %s", err_name(r));
	return r;
}

int provider_check(char *const *names, struct err *err)
{
	struct bundle b = { 0 };
	int r = bundle_make(&b, names, err);

	bundle_done(&b);
	return r;
}

static int send_bundle(int sock, const struct bundle *b, bool is_answered, struct err *err)
{
	struct msg_out m;
	int r;

	msg_out_init(&m, CTL_CREDENTIALS, 0);
	msg_put_strv(&m, b->env);
	msg_put_bytes(&m, buf_head(&b->secrets), b->secrets.len);
	msg_put_u32(&m, is_answered);
	r = ctl_send(sock, &m, err);
	msg_out_wipe(&m);
	return r;
}

int provider_send(int sock, char *const *names, bool is_answered, struct err *err)
{
	auto_msg_in struct msg_in answer = { 0 };
	struct bundle b = { 0 };
	int r = bundle_make(&b, names, err);

	if (r == 0)
		r = send_bundle(sock, &b, is_answered, err);
	bundle_done(&b);
	return r == 0 && is_answered ? ctl_wait(sock, CTL_DONE, ANSWER_MS, &answer, NULL, err) : r;
}
