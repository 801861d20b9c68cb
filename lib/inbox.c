#include "lib/inbox.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/cleanup.h"
#include "lib/jsontext.h"
#include "lib/fd.h"
#include "lib/str.h"

static const char file[] = "agent-proposals.json";

static const char *const status_names[] = { "pending", "approved", "rejected", "superseded" };

const char *inbox_status_name(enum inbox_status s)
{
	return status_names[s];
}

int inbox_status_parse(const char *name, enum inbox_status *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(status_names); i++) {
		if (str_eq(name, status_names[i])) {
			*ret = (enum inbox_status)i;
			return 0;
		}
	}
	return -EINVAL;
}

static void item_free(struct inbox_item *i)
{
	if (!i)
		return;
	free(i->rule_name);
	free(i->binary);
	free(i->intent);
	free(i->rule);
	free(i->reason);
	free(i);
}

static void item_remove(struct inbox *b, struct inbox_item *i)
{
	TAILQ_REMOVE(&b->items, i, link);
	b->n--;
	b->n_pending -= i->status == INBOX_PENDING;
	item_free(i);
}

static void item_append(struct inbox *b, struct inbox_item *i)
{
	TAILQ_INSERT_TAIL(&b->items, i, link);
	b->n++;
	b->n_pending += i->status == INBOX_PENDING;
}

void inbox_init(struct inbox *b)
{
	*b = (struct inbox){ 0 };
	TAILQ_INIT(&b->items);
}

void inbox_done(struct inbox *b)
{
	struct inbox_item *i;

	while ((i = TAILQ_FIRST(&b->items)))
		item_remove(b, i);
}

struct inbox_item *inbox_find(struct inbox *b, const char *id)
{
	struct inbox_item *i;

	TAILQ_FOREACH (i, &b->items, link)
		if (str_eq(i->id, id))
			return i;
	return NULL;
}

/* --- on disk --- */

static json_t *item_json(const struct inbox_item *i)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:i}", "id", i->id,
		"status", status_names[i->status], "rule_name", i->rule_name, "binary", i->binary,
		"intent", i->intent, "rule", i->rule, "reason", i->reason, "at_ms",
		(json_int_t)i->at_ms, "decided_ms", (json_int_t)i->decided_ms, "hits",
		(int)i->hits);
}

int inbox_save(const struct inbox *b, int dirfd)
{
	const struct inbox_item *i;
	json_t *all = json_array();
	auto_free char *text = NULL;
	int r = all ? 0 : -ENOMEM;

	TAILQ_FOREACH (i, &b->items, link)
		if (r == 0 && json_array_append_new(all, item_json(i)) < 0)
			r = -ENOMEM;
	if (r == 0)
		text = jsontext_dumps(all, JSON_COMPACT);
	json_decref(all);
	if (r < 0 || !text)
		return -ENOMEM;
	return fd_replace_file(dirfd, file, text, strlen(text));
}

static int take(char **ret, const char *text)
{
	*ret = text ? strdup(text) : NULL;
	return !text ? -EINVAL : *ret ? 0 : -ENOMEM;
}

static int item_from_json(struct inbox_item *i, json_t *j)
{
	const char *id, *status, *name, *binary, *intent, *rule, *reason;
	json_int_t at = 0, decided = 0;
	int hits = 0, r;

	if (json_unpack(j, "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:i}", "id", &id,
		    "status", &status, "rule_name", &name, "binary", &binary, "intent", &intent,
		    "rule", &rule, "reason", &reason, "at_ms", &at, "decided_ms", &decided, "hits",
		    &hits) < 0)
		return -EINVAL;
	if (strlen(id) != INBOX_ID_LEN || inbox_status_parse(status, &i->status) < 0)
		return -EINVAL;
	memcpy(i->id, id, sizeof(i->id));
	i->at_ms = (uint64_t)at;
	i->decided_ms = (uint64_t)decided;
	i->hits = (uint32_t)hits;
	r = take(&i->rule_name, name);
	if (r == 0)
		r = take(&i->binary, binary);
	if (r == 0)
		r = take(&i->intent, intent);
	if (r == 0)
		r = take(&i->rule, rule);
	return r == 0 ? take(&i->reason, reason) : r;
}

static int load_all(struct inbox *b, const json_t *all)
{
	if (!json_is_array(all) || json_array_size(all) > INBOX_ITEMS_MAX)
		return -EINVAL;
	for (size_t n = 0; n < json_array_size(all); n++) {
		struct inbox_item *i = calloc(1, sizeof(*i));
		int r = i ? item_from_json(i, json_array_get(all, n)) : -ENOMEM;

		if (r < 0) {
			item_free(i);
			return r;
		}
		item_append(b, i);
	}
	return 0;
}

int inbox_load(struct inbox *b, int dirfd)
{
	auto_free char *text = NULL;
	json_t *all;
	size_t len;
	int r = fd_slurp_at(dirfd, file, INBOX_FILE_MAX, &text, &len);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	all = jsontext_load(text, len, JSON_REJECT_DUPLICATES, NULL);
	r = load_all(b, all);
	json_decref(all);
	return r;
}

/* --- changes --- */

static int check(const char *text, size_t max)
{
	size_t len = strnlen(text, max + 1);

	if (len > max)
		return -EMSGSIZE;
	return str_is_utf8(text, len) ? 0 : -EILSEQ;
}

static struct inbox_item *item_new(const char *rule_name, const char *binary, const char *intent,
	const char *rule, uint64_t now_ms)
{
	struct inbox_item *i = calloc(1, sizeof(*i));
	uint64_t random;

	if (!i || getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
		free(i);
		return NULL;
	}
	(void)snprintf(i->id, sizeof(i->id), "%012llx", (unsigned long long)(random >> 16));
	i->rule_name = strdup(rule_name);
	i->binary = strdup(binary);
	i->intent = strdup(intent);
	i->rule = strdup(rule);
	i->reason = strdup("");
	i->at_ms = now_ms;
	i->hits = 1;
	if (i->rule_name && i->binary && i->intent && i->rule && i->reason)
		return i;
	item_free(i);
	return NULL;
}

/* The one that waits and would be answered by the same decision. */
static struct inbox_item *rival(struct inbox *b, const char *rule_name, const char *binary)
{
	struct inbox_item *i;

	TAILQ_FOREACH (i, &b->items, link)
		if (i->status == INBOX_PENDING && str_eq(i->rule_name, rule_name) &&
			str_eq(i->binary, binary))
			return i;
	return NULL;
}

static void make_room(struct inbox *b)
{
	struct inbox_item *i;

	if (b->n < INBOX_ITEMS_MAX)
		return;
	TAILQ_FOREACH (i, &b->items, link)
		if (i->status != INBOX_PENDING)
			break;
	if (i)
		item_remove(b, i);
}

int inbox_add(struct inbox *b, const char *rule_name, const char *binary, const char *intent,
	const char *rule, uint64_t now_ms, struct inbox_item **ret)
{
	struct inbox_item *old = rival(b, rule_name, binary), *i;
	int r = check(rule_name, INBOX_TEXT_MAX);

	if (r == 0)
		r = check(binary, INBOX_TEXT_MAX);
	if (r == 0)
		r = check(intent, INBOX_TEXT_MAX);
	if (r == 0)
		r = check(rule, INBOX_RULE_MAX);
	if (r < 0)
		return r;
	if (old && str_eq(old->rule, rule)) {
		old->hits += old->hits < INT32_MAX;
		*ret = old;
		return 0;
	}
	if (!old && b->n_pending >= INBOX_PENDING_MAX)
		return -EDQUOT;
	i = item_new(rule_name, binary, intent, rule, now_ms);
	if (!i)
		return -ENOMEM;
	if (old) {
		old->status = INBOX_SUPERSEDED;
		old->decided_ms = now_ms;
		b->n_pending--;
	}
	make_room(b);
	item_append(b, i);
	*ret = i;
	return 0;
}

int inbox_decide(struct inbox *b, struct inbox_item *item, enum inbox_status status,
	const char *reason, uint64_t now_ms)
{
	char *copy;
	int r = check(reason, INBOX_TEXT_MAX);

	if (r < 0)
		return r;
	if (item->status != INBOX_PENDING || status == INBOX_PENDING)
		return -EALREADY;
	copy = strdup(reason);
	if (!copy)
		return -ENOMEM;
	free(item->reason);
	item->reason = copy;
	item->status = status;
	item->decided_ms = now_ms;
	b->n_pending--;
	return 0;
}

void inbox_clear(struct inbox *b)
{
	struct inbox_item *i = TAILQ_FIRST(&b->items), *next;

	for (; i; i = next) {
		next = TAILQ_NEXT(i, link);
		if (i->status == INBOX_PENDING)
			item_remove(b, i);
	}
}
