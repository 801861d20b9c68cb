/*
 * What agents proposed from inside a sandbox, and what people said of it: agent-proposals.json in
 * the sandbox's state directory, written by the supervisor, read by the launcher.
 *
 * To the supervisor a proposal is bounded text that it keeps and hands on: the proxy understood it
 * first, whoever reviews it understands it anew. An item never changes what it asks for, and no id
 * is used twice, so that a decision by id is a decision about what was shown.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

enum {
	INBOX_ID_LEN = 12,	    /* hex digits */
	INBOX_PENDING_MAX = 32,	    /* beyond: refused until somebody decides */
	INBOX_ITEMS_MAX = 128,	    /* with those decided; beyond: the oldest decided one goes */
	INBOX_RULE_MAX = 16 * 1024, /* bytes of one rule */
	INBOX_TEXT_MAX = 1024,	    /* of each other text */
	INBOX_FILE_MAX = 16 * 1024 * 1024,
};

enum inbox_status { INBOX_PENDING = 0, INBOX_APPROVED, INBOX_REJECTED, INBOX_SUPERSEDED };

/* Strings are owned and never NULL. */
struct inbox_item {
	TAILQ_ENTRY(inbox_item) link;
	char id[INBOX_ID_LEN + 1];
	enum inbox_status status;
	char *rule_name, *binary, *intent;
	char *rule;   /* a policy with this rule alone, as YAML */
	char *reason; /* of whoever decided */
	uint64_t at_ms, decided_ms;
	uint32_t hits; /* how often the same was proposed */
};

/* Zeroed is not usable: inbox_init(). The oldest first. */
struct inbox {
	TAILQ_HEAD(, inbox_item) items;
	size_t n, n_pending;
};

void inbox_init(struct inbox *b);
void inbox_done(struct inbox *b);

/* What is in @dirfd: 0 (also when there is nothing yet), -EINVAL for a file that is not ours,
 * -errno. */
int inbox_load(struct inbox *b, int dirfd);
int inbox_save(const struct inbox *b, int dirfd);

struct inbox_item *inbox_find(struct inbox *b, const char *id);

/*
 * Adds a proposal under a new random id. The same text once more is the item that waits already;
 * another text under the same name by the same binary takes the place of one that waits. 0;
 * -EDQUOT: INBOX_PENDING_MAX wait; -EMSGSIZE; -EILSEQ: not UTF-8; -ENOMEM. Then nothing changed.
 */
int inbox_add(struct inbox *b, const char *rule_name, const char *binary, const char *intent,
	const char *rule, uint64_t now_ms, struct inbox_item **ret);
/* Of an item that waits. 0, -EALREADY, -EILSEQ, -ENOMEM. */
int inbox_decide(struct inbox *b, struct inbox_item *item, enum inbox_status status,
	const char *reason, uint64_t now_ms);
/* Forgets everything that waits. */
void inbox_clear(struct inbox *b);

const char *inbox_status_name(enum inbox_status s);
/* -EINVAL for a name that is none. */
int inbox_status_parse(const char *name, enum inbox_status *ret);
