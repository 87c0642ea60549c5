/* SPDX-License-Identifier: Apache-2.0 */
/* str.c - small text questions. */
#include "base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { DISTANCE_MAX = 64 }; /* bytes compared; longer texts count as wholly different */

bool str_eq(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return strcmp(a, b) == 0;
}

static int fold(char c)
{
	return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

bool str_ieq(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	while (*a != '\0' && fold(*a) == fold(*b)) {
		a++;
		b++;
	}
	return fold(*a) == fold(*b);
}

bool str_starts(const char *s, const char *prefix)
{
	return s != NULL && strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
	size_t len = strlen(suffix), n = s == NULL ? 0 : strlen(s);

	return s != NULL && n >= len && memcmp(s + n - len, suffix, len) == 0;
}

bool str_empty(const char *s)
{
	return s == NULL || *s == '\0';
}

bool str_to_i64(const char *s, int64_t *ret_n)
{
	const char *digits;
	char *end;
	long long n;

	if (s == NULL)
		return false;
	digits = *s == '-' || *s == '+' ? s + 1 : s;
	if (*digits < '0' || *digits > '9')
		return false;
	errno = 0;
	n = strtoll(s, &end, 10);
	if (errno != 0 || *end != '\0')
		return false;
	*ret_n = n;
	return true;
}

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;

	return least < c ? least : c;
}

size_t str_distance(const char *a, const char *b)
{
	size_t rows[3][DISTANCE_MAX + 1];
	size_t la = strlen(a), lb = strlen(b);

	if (la > DISTANCE_MAX || lb > DISTANCE_MAX)
		return strcmp(a, b) == 0 ? 0 : (la > lb ? la : lb);
	for (size_t j = 0; j <= lb; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t *row = rows[i % 3], *up = rows[(i - 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t same = a[i - 1] == b[j - 1] ? 0 : 1;

			row[j] = min3(up[j] + 1, row[j - 1] + 1, up[j - 1] + same);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = min3(row[j], row[j], rows[(i - 2) % 3][j - 2] + 1);
		}
	}
	return rows[la % 3][lb];
}

const char *str_nearest(const char *s, const char *const *names, size_t n)
{
	const char *best = NULL;
	size_t limit = strlen(s) / 3;

	if (limit < 1)
		limit = 1;
	for (size_t i = 0; i < n; i++) {
		size_t d = str_distance(s, names[i]);

		if (d <= limit && (best == NULL || d < limit)) {
			best = names[i];
			limit = d;
		}
	}
	return best;
}

/* Bytes a sequence with this first byte has, and the smallest code point that needs so many. */
static size_t utf8_shape(unsigned char first, uint32_t *ret_bits, uint32_t *ret_least)
{
	if (first < 0x80) {
		*ret_bits = first;
		*ret_least = 0;
		return 1;
	}
	if (first >= 0xc2 && first <= 0xdf) {
		*ret_bits = first & 0x1f;
		*ret_least = 0x80;
		return 2;
	}
	if (first >= 0xe0 && first <= 0xef) {
		*ret_bits = first & 0x0f;
		*ret_least = 0x800;
		return 3;
	}
	if (first >= 0xf0 && first <= 0xf4) {
		*ret_bits = first & 0x07;
		*ret_least = 0x10000;
		return 4;
	}
	return 0;
}

size_t str_utf8_next(const char *s, size_t n, uint32_t *ret_cp)
{
	uint32_t cp = 0, least = 0;
	size_t len;

	if (n == 0)
		return 0;
	len = utf8_shape((unsigned char)s[0], &cp, &least);
	if (len == 0 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if ((c & 0xc0) != 0x80)
			return 0;
		cp = cp << 6 | (c & 0x3f);
	}
	if (cp < least || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
		return 0;
	*ret_cp = cp;
	return len;
}

bool str_utf8_valid(const char *s, size_t n)
{
	uint32_t cp;

	while (n > 0) {
		size_t len = str_utf8_next(s, n, &cp);

		if (len == 0)
			return false;
		s += len;
		n -= len;
	}
	return true;
}

size_t str_utf8_prefix(const char *s, size_t max)
{
	size_t n = strnlen(s, max);

	while (n > 0 && ((unsigned char)s[n] & 0xC0) == 0x80)
		n--;
	return n;
}

/* Bytes and UTF-16 units of the character at s; a bad byte counts as one of each. */
static size_t utf16_step(const char *s, size_t n, size_t *ret_units)
{
	uint32_t cp = 0;
	size_t len = str_utf8_next(s, n, &cp);

	*ret_units = len > 0 && cp > 0xffff ? 2 : 1;
	return len > 0 ? len : 1;
}

size_t str_utf16_len(const char *s)
{
	size_t total = 0, units, n = strlen(s);

	for (size_t at = 0; at < n; total += units)
		at += utf16_step(s + at, n - at, &units);
	return total;
}

size_t str_utf16_prefix(const char *s, size_t units)
{
	size_t at = 0, n = strlen(s), step_units;

	while (at < n) {
		size_t len = utf16_step(s + at, n - at, &step_units);

		if (step_units > units)
			break;
		units -= step_units;
		at += len;
	}
	return at;
}
