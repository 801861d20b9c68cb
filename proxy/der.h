/*
 * Writes DER (X.690) from the end to the beginning, so that every length is known when its header
 * is written. For the two shapes of certificate that leaf.c needs; no allocation.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DER_MAX = 2048 };

enum der_tag {
	DER_BOOLEAN = 0x01,
	DER_INTEGER = 0x02,
	DER_BIT_STRING = 0x03,
	DER_OCTET_STRING = 0x04,
	DER_OID = 0x06,
	DER_UTF8_STRING = 0x0c,
	DER_UTC_TIME = 0x17,
	DER_GENERALIZED_TIME = 0x18,
	DER_SEQUENCE = 0x30,
	DER_SET = 0x31,
	DER_CONTEXT = 0x80,	       /* + number: primitive */
	DER_CONTEXT_CONSTRUCTED = 0xa0, /* + number */
};

struct der {
	uint8_t bytes[DER_MAX];
	size_t at;	 /* first byte written; DER_MAX when empty */
	bool is_full;	 /* something did not fit: the result is unusable */
};

void der_init(struct der *d);
static inline const uint8_t *der_data(const struct der *d)
{
	return d->bytes + d->at;
}
static inline size_t der_len(const struct der *d)
{
	return DER_MAX - d->at;
}

/* Puts bytes before what is there. */
void der_raw(struct der *d, const void *data, size_t n);
/* Puts the header of an element whose content is everything from @d->at up to @end. */
void der_wrap(struct der *d, unsigned int tag, size_t end);
/* A whole primitive element. */
void der_element(struct der *d, unsigned int tag, const void *data, size_t n);
/* A positive INTEGER from big-endian bytes; leading zeros are dropped. */
void der_positive(struct der *d, const uint8_t *data, size_t n);
/* UTCTime up to 2049, GeneralizedTime after (RFC 5280, 4.1.2.5). */
void der_time(struct der *d, int64_t unix_time);
