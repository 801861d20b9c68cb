#include "proxy/der.h"

#include <stdio.h>
#include <string.h>

void der_init(struct der *d)
{
	d->at = DER_MAX;
	d->is_full = false;
}

void der_raw(struct der *d, const void *data, size_t n)
{
	if (n > d->at) {
		d->is_full = true;
		return;
	}
	d->at -= n;
	memcpy(d->bytes + d->at, data, n);
}

static void put_byte(struct der *d, unsigned int b)
{
	uint8_t byte = (uint8_t)b;

	der_raw(d, &byte, 1);
}

void der_wrap(struct der *d, unsigned int tag, size_t end)
{
	size_t len = end - d->at;

	put_byte(d, len & 0xff);
	if (len > 0xff)
		put_byte(d, (unsigned int)(len >> 8));
	if (len > 0x7f)
		put_byte(d, len > 0xff ? 0x82 : 0x81);
	put_byte(d, tag);
}

void der_element(struct der *d, unsigned int tag, const void *data, size_t n)
{
	size_t end = d->at;

	der_raw(d, data, n);
	der_wrap(d, tag, end);
}

void der_positive(struct der *d, const uint8_t *data, size_t n)
{
	size_t end = d->at;

	while (n > 1 && data[0] == 0) {
		data++;
		n--;
	}
	der_raw(d, data, n);
	if (data[0] & 0x80)
		put_byte(d, 0);
	der_wrap(d, DER_INTEGER, end);
}

struct civil {
	int64_t year;
	unsigned int month, day;
};

/* Days since 1970-01-01 to a date; years run from March so that the leap day comes last. */
static struct civil civil_from_days(int64_t days)
{
	int64_t z = days + 719468, era = z / 146097;
	unsigned int doe = (unsigned int)(z - era * 146097);
	unsigned int yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned int doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	unsigned int mp = (5 * doy + 2) / 153;
	unsigned int month = mp < 10 ? mp + 3 : mp - 9;

	return (struct civil){ .year = era * 400 + yoe + (month <= 2),
		.month = month,
		.day = doy - (153 * mp + 2) / 5 + 1 };
}

void der_time(struct der *d, int64_t unix_time)
{
	struct civil c = civil_from_days(unix_time / 86400);
	unsigned int s = (unsigned int)(unix_time % 86400);
	char text[40];
	int n;

	if (unix_time < 0 || c.year > 9999) {
		d->is_full = true;
		return;
	}
	n = snprintf(text, sizeof(text), "%04lld%02u%02u%02u%02u%02uZ", (long long)c.year, c.month,
		c.day, s / 3600, s / 60 % 60, s % 60);
	if (c.year < 2050)
		der_element(d, DER_UTC_TIME, text + 2, (size_t)n - 2);
	else
		der_element(d, DER_GENERALIZED_TIME, text, (size_t)n);
}
