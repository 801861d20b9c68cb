/*
 * SipHash-2-4 (Aumasson and Bernstein, 2012): a short keyed hash. Whoever does not know the key
 * cannot find two texts with one value.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { SIPHASH_KEY = 16 };

uint64_t siphash(const unsigned char key[SIPHASH_KEY], const void *data, size_t len);
