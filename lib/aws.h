/*
 * What names of Amazon's servers say, and how a policy asks for their signatures.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum {
	AWS_WORD_MAX = 63, /* bytes of a region or a service */
};

/* What credential_signing asks for: whether a signature covers the body. */
enum aws_signing {
	AWS_SIGN_NOTHING = 0,
	AWS_SIGN_AUTO,	  /* sigv4: as the client's own signature would have */
	AWS_SIGN_BODY,	  /* sigv4:body */
	AWS_SIGN_NO_BODY, /* sigv4:no_body */
};

/* How requests are signed, and for whom. */
struct signing {
	enum aws_signing mode;
	const char *service; /* set when mode is */
	const char *region;  /* NULL: what the host's name says */
};

/* What a policy may say, NULL at the end. */
extern const char *const aws_signing_words[];

/* Of a policy's word; AWS_SIGN_NOTHING for any other, and for NULL. */
enum aws_signing aws_signing_parse(const char *word);

/* Letters, digits, "-" and "_", at most AWS_WORD_MAX: what a service's or a region's name is made of. */
bool aws_is_word(const char *s);

/*
 * The region in the name of a server: the label before amazonaws.com, amazonaws.com.cn or api.aws, "dualstack"
 * skipped. @host may be a pattern, for the region is what its end says. False when there is none: global
 * endpoints, names of other people.
 */
bool aws_region(const char *host, char ret[static AWS_WORD_MAX + 1]);
