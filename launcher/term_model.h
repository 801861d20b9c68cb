/*
 * `openshell term` without a terminal and without effects: what is on the screen, and what a key
 * does to it. Whatever has to be read or done outside comes back as an enum term_want, which
 * launcher/term_world.c carries out.
 *
 * A decision is bound to what was displayed. The event is copied when it is picked, the rule is
 * made from that copy alone, the question shows all that the rule grants, and nothing that
 * arrives meanwhile touches either: the answer is about these bytes, for the sandbox of that id.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "launcher/coverage.h"
#include "launcher/term_stream.h"
#include "lib/policy_diff.h"
#include "lib/proposal.h"

enum {
	TERM_ROWS_MIN = 10,
	TERM_COLS_MIN = 40,
	TERM_TYPED_MAX = 128,
	TERM_MESSAGE_MAX = 512,
	TERM_DEPTH_MAX = 8,	      /* screens on top of each other */
	TERM_COVERAGE_EVENTS = 10000, /* the newest, that the use of rules is counted in */
};

enum term_screen {
	TERM_SANDBOXES = 0, /* all there are */
	TERM_EVENTS,	    /* decisions of one or of all, as they come */
	TERM_DETAILS,	    /* of one event, with the rule that would allow it */
	TERM_POLICY,	    /* of one sandbox, with the use of its rules */
	TERM_HELP,
};

/* What the caller is to do. */
enum term_want {
	TERM_NOTHING = 0,
	TERM_QUIT,
	TERM_STREAM,	 /* read the events anew: scope or filter changed */
	TERM_JUDGE,	 /* fill in m->details for its event */
	TERM_READ_RULES, /* fill in m->policy for its origin */
	TERM_DECIDE,	 /* carry out m->question on m->details */
	TERM_REDRAW,	 /* the terminal may show something else than we think */
};

/* Keys that are no character. */
enum term_key {
	TERM_KEY_UP = 0x110000,
	TERM_KEY_DOWN,
	TERM_KEY_PAGE_UP,
	TERM_KEY_PAGE_DOWN,
	TERM_KEY_HOME,
	TERM_KEY_END,
	TERM_KEY_ENTER,
	TERM_KEY_ESCAPE,
	TERM_KEY_BACKSPACE,
};

struct term_sandbox {
	struct stream_origin origin;
	const char *phase; /* a constant */
	uint64_t created_ms;
	bool is_audit;
	uint32_t revision;
	uint64_t allowed, denied;
	bool has_more;	   /* older events were not counted */
	char *last_denied; /* its line, or NULL; owned */
};

/* What is known of one event. Zeroed: of none. */
struct term_details {
	struct stream_event event;	   /* a copy; owned */
	struct proposals *proposals;	   /* of this event alone; owned */
	const struct proposal *proposal;   /* NULL: no rule would allow it … */
	char why_not[TERM_MESSAGE_MAX];	   /* … for this reason */
	char *rule;			   /* as YAML; owned */
	const char *status;		   /* "pending", "approved", "rejected"; a constant */
	struct policy_diff effect;	   /* of the rule on the policy … */
	uint32_t version;		   /* … of this version; 0: it cannot be approved … */
	char unreadable[TERM_MESSAGE_MAX]; /* … for this reason */
};

struct term_policy {
	struct stream_origin origin;
	struct coverage coverage;
	char error[TERM_MESSAGE_MAX]; /* why it could not be read */
};

enum term_question { TERM_ASK_NOTHING = 0, TERM_ASK_APPROVE, TERM_ASK_REJECT };
enum term_prompt { TERM_TYPE_NOTHING = 0, TERM_TYPE_SEARCH, TERM_TYPE_HOST };

struct term_model {
	int rows, cols;
	uint64_t now_ms;
	enum term_screen screen, below[TERM_DEPTH_MAX];
	size_t depth;

	struct term_sandbox *sandboxes; /* by name; owned */
	size_t n_sandboxes;
	struct stream_origin chosen; /* under the cursor */
	size_t sandboxes_top;

	struct stream stream;
	struct stream_origin scope; /* whose events; no name: of all */
	bool is_scope_gone, is_following;
	uint64_t cursor, top; /* numbers of events */

	struct term_details details;
	struct term_policy policy;
	int scroll, n_lines; /* first line of a screen of text; how many there are */
	int found_line;	     /* by search; -1: none */

	enum term_question question, asking; /* shown; wanted once the event is judged */
	enum term_prompt prompt;
	char typed[TERM_TYPED_MAX], search[TERM_TYPED_MAX];
	char message[TERM_MESSAGE_MAX]; /* in place of the keys, until the next one */
	bool is_error;
};

void term_model_init(struct term_model *m);
void term_model_done(struct term_model *m);

/* One key: a code point or an enum term_key. */
enum term_want term_key(struct term_model *m, uint32_t key);

/* The next list of sandboxes; it and what it owns become the model's. */
void term_set_sandboxes(struct term_model *m, struct term_sandbox *list, size_t n);
void term_sandboxes_free(struct term_sandbox *list, size_t n);
/* After TERM_STREAM: the events are there. After events came: the cursor follows, if it does. */
void term_stream_ready(struct term_model *m);
void term_stream_grew(struct term_model *m);
/* After TERM_JUDGE. */
void term_judged(struct term_model *m);
/* After TERM_DECIDE, or whenever there is something to say. */
void term_say(struct term_model *m, bool is_error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Shows the events of one sandbox, or of all where @of is NULL. */
enum term_want term_show_events(struct term_model *m, const struct stream_origin *of);

/* One screen on top of the others, and back. */
void term_push(struct term_model *m, enum term_screen screen);
enum term_want term_back(struct term_model *m);
/* The cursor, or a text, by so many rows; never beyond the ends. */
enum term_want term_move(struct term_model *m, long by);
void term_scroll_to(struct term_model *m, long line);
/* From here on the cursor is at the newest event. */
void term_follow(struct term_model *m);
/* Where the cursor is in the list of sandboxes, which is not empty. */
size_t term_chosen_index(const struct term_model *m);

void term_details_done(struct term_details *d);
void term_policy_done(struct term_policy *p);

bool term_is_too_small(const struct term_model *m);
/* Rows between the bars (and the heads of columns) of the current screen. */
int term_page(const struct term_model *m);
/* The sandbox of that origin in the list, or NULL. */
const struct term_sandbox *term_find_sandbox(
	const struct term_model *m, const struct stream_origin *of);
bool term_same_origin(const struct stream_origin *a, const struct stream_origin *b);

/* What the keys of a screen do, for the bar and for help. */
struct term_binding {
	unsigned int screens; /* bits 1 << enum term_screen */
	uint32_t key;
	enum term_want (*run)(struct term_model *m);
	const char *label; /* the key's name; NULL: one more key for the line above */
	const char *brief; /* for the bar; NULL: not there */
	const char *about; /* for help */
};

extern const struct term_binding term_bindings[]; /* ends with a zeroed one */
