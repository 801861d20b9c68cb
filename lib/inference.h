/*
 * Requests to models, as https://inference.local takes them (openshell-upstream.md, section 9): which are
 * recognised, for which kind of provider, what of them goes on, and how the model in them is replaced.
 *
 * Text in, facts and text out: no socket, no state.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct buf;

/* Of Anthropic's API, where a client names none. */
#define INFERENCE_ANTHROPIC_VERSION "2023-06-01"

enum {
	INFERENCE_MODEL_MAX = 256,    /* bytes of a model's name */
	INFERENCE_BODY_MAX = 10 * 1024 * 1024,
	INFERENCE_CHUNKS_MAX = 4096,  /* of a body that comes in chunks */
	INFERENCE_ANSWER_MAX = 32 * 1024 * 1024,
	INFERENCE_TIMEOUT_S = 60,     /* where a route says 0 */
	INFERENCE_TIMEOUT_MAX_S = 3600,
	INFERENCE_IDLE_MS = 120 * 1000, /* between two pieces of an answer */
};

/* What a server speaks. */
enum inference_style {
	INFERENCE_OPENAI = 0,
	INFERENCE_ANTHROPIC,
	INFERENCE_BEDROCK,
	INFERENCE_STYLES,
};

struct inference_pattern {
	const char *protocol; /* "openai_chat_completions" … */
	const char *kind;     /* for the log */
	bool is_streaming;
	bool has_body;
	unsigned int styles; /* bits: 1 << enum inference_style */
};

/*
 * What @method and @target (as it was sent, with its query) ask for; NULL when that is not recognised. The path
 * has to be spelt the one way there is: nothing is decoded, no "//", no dot segments; but the model in the path of
 * Bedrock, which is replaced, may hold escapes other than of a slash.
 */
const struct inference_pattern *inference_match(const char *method, const char *target, size_t len);

/*
 * The path at the server: what @target says, below @base ("" or a path without a final slash). OpenAI's @base
 * takes the place of /v1; Anthropic's stands before it, unless it ends so itself; Bedrock's path names @model.
 * With its leading "/", and the parameters that are known. 0, -ENOBUFS, -ENOMEM.
 */
int inference_path(struct buf *out, enum inference_style style, const char *base, const char *model,
	const char *target, size_t len);

/* Whether a client's field goes on to a server of provider type @type. */
bool inference_header_passes(const char *type, const char *name, size_t len);

/*
 * Appends @body with @model in place of its own; nested ones stay. Anything but one JSON object that everybody
 * reads alike is -EBADMSG with the reason; -ENOBUFS, -ENOMEM.
 */
int inference_set_model(
	struct buf *out, const char *body, size_t len, const char *model, const char **ret_why);

/* Printable ASCII without blanks, of up to INFERENCE_MODEL_MAX bytes. */
bool inference_model_is_good(const char *model);
