/* SPDX-License-Identifier: Apache-2.0 */
/* id.c - ids from the clock and the kernel's random source. */
#include "base/id.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"

/* Crockford's base 32: no I, L, O or U; sorts as its values do. */
static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

enum { TIME_DIGITS = 9, RANDOM_DIGITS = 6 };

static void fill_random(void *p, size_t size)
{
	unsigned char *at = p;

	while (size > 0) {
		ssize_t n = getrandom(at, size, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			abort(); /* an id that can be guessed is worse than none */
		at += n;
		size -= (size_t)n;
	}
}

static void put_digits(char *to, unsigned n, uint64_t value)
{
	while (n-- > 0) {
		to[n] = digits[value % 32];
		value /= 32;
	}
}

void id_request(char ret_id[ID_REQUEST_LEN])
{
	uint64_t random;

	fill_random(&random, sizeof(random));
	ret_id[0] = 'R';
	put_digits(ret_id + 1, TIME_DIGITS, (uint64_t)clock_wall_ms());
	put_digits(ret_id + 1 + TIME_DIGITS, RANDOM_DIGITS, random);
	ret_id[ID_REQUEST_LEN - 1] = '\0';
}

bool id_is_request(const char *text)
{
	return text != NULL && text[0] == 'R' && strlen(text) == ID_REQUEST_LEN - 1 &&
	       strspn(text + 1, digits) == TIME_DIGITS + RANDOM_DIGITS;
}

void id_uuid(char ret_id[ID_UUID_LEN])
{
	unsigned char b[16];

	fill_random(b, sizeof(b));
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	(void)snprintf(ret_id, ID_UUID_LEN,
		       "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
		       b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
		       b[13], b[14], b[15]);
}
