/*
 * The supervisor's half of http://policy.local: it keeps what agents propose and hands the proxy
 * the policy, the log and what became of a proposal. It understands none of it: a proposal is text
 * within limits (lib/inbox.h), approved by somebody outside who sends the policy that results.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lib/err.h"
#include "lib/inbox.h"
#include "lib/msg.h"

struct control;
struct sandbox;

enum {
	ADVISOR_WAITS_MAX = 64,	 /* requests that wait for a decision; beyond: -EBUSY */
	ADVISOR_PER_MINUTE = 30, /* accepted submissions */
};

struct advisor_wait {
	uint32_t request;
	char id[INBOX_ID_LEN + 1];
};

struct advisor {
	struct inbox inbox;
	bool is_loaded;
	bool is_broken; /* the file could not be read: nothing is accepted, and nothing overwritten
			 */
	struct advisor_wait waits[ADVISOR_WAITS_MAX];
	unsigned int n_waits;
	uint64_t minute_ms; /* when the present minute began */
	unsigned int n_minute;
};

/* PROXY_ASK. */
void advisor_ask(struct sandbox *s, struct msg_in *m);
/* CTL_PROPOSAL. */
void advisor_decide(struct sandbox *s, struct control *c, struct msg_in *m);
/* CTL_SETTING. */
void advisor_setting(struct sandbox *s, struct control *c, struct msg_in *m);
/* Tells the proxy whether it serves. 0 or -errno. */
int advisor_tell(struct sandbox *s);
void advisor_done(struct advisor *a);
