/*
 * Bounded strings and strict numbers. Nothing here allocates unless it says so.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

/* Copies @src with its NUL; false (and an empty string) when it does not fit. */
bool str_copy(char *dst, size_t size, const char *src);
/* As snprintf, but false (and an empty string) when the result was cut. */
bool str_format(char *dst, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
/* NULL-safe equality; two NULLs are equal. */
bool str_eq(const char *a, const char *b);
/* ASCII only, independent of the locale. */
bool str_case_eq(const char *a, const char *b);
void str_lower(char *s);

/*
 * Decimal digits and nothing else (no sign, blank, or leading "+"), at most @max: 0, -EINVAL on
 * anything else, -ERANGE beyond @max. Leading zeros are refused, for "010" means eight to some.
 */
int str_to_u64(const char *s, uint64_t max, uint64_t *ret);
/* What a hexadecimal digit of either case counts; -1: it is none. */
int str_hex_digit(char c);
/* @len bytes as twice as many digits, in small letters. */
void str_to_hex(const void *data, size_t len, char *ret);
/* "30", "30s", "5m", "1h", "2d": milliseconds. A bare number counts seconds. 0 or -EINVAL. */
int str_to_duration_ms(const char *s, uint64_t *ret_ms);

/*
 * Appends bytes from outside for a person's terminal or a log line: printable UTF-8 as it is;
 * control characters, DEL, C1, bidirectional and zero-width controls, line separators, and bytes
 * that are not UTF-8 as \xNN or \u{NNNN}; the backslash doubled. 0 or what buf_append() says.
 */
int str_escape(struct buf *out, const char *s, size_t len);
/* The same as the inside of a JSON string (no quotes added): RFC 8259 section 7. */
int str_json_escape(struct buf *out, const char *s, size_t len);
/* Bytes at the front of @s that are the same inside a JSON string: ASCII that needs no escape. */
size_t str_json_plain(const char *s, size_t len);
/* The length of the UTF-8 sequence at @s and its code point, 0 if it is malformed (RFC 3629). */
size_t str_utf8_decode(const unsigned char *s, size_t len, uint32_t *ret_cp);

/* Writes a code point (at most 0x10ffff, no surrogate) as UTF-8, without a NUL: its 1 to 4 bytes. */
size_t str_utf8_encode(char *out, uint32_t cp);

/* Whether all of @s is well-formed UTF-8 (RFC 3629). */
bool str_is_utf8(const char *s, size_t len);

/* Levenshtein distance bounded by @limit (returns @limit + 1 beyond): for "did you mean". */
unsigned int str_distance(const char *a, const char *b, unsigned int limit);
/* The entry of NULL-terminated @names that @given most likely meant, or NULL. */
const char *str_suggest(const char *given, const char *const *names);
