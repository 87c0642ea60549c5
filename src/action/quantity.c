/* SPDX-License-Identifier: Apache-2.0 */
/* quantity.c - amounts of CPU and memory, in the one form that the server keeps; pure. */
#include <inttypes.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

enum { DIGITS_MAX = 15, FRACTION_MAX = 3 };

static const char *const decimal[] = { "", "k", "M", "G", "T", "P", "E" };
static const char *const binary[] = { "", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei" };
enum { SUFFIXES = 7 };

/* "1.5" as 1500; *ret_rest is what follows.  false: it is no number. */
static bool thousandths(const char *text, int64_t *ret, const char **ret_rest)
{
	size_t whole = strspn(text, "0123456789"), part = 0;
	int64_t n = 0;

	if (whole == 0 || whole > DIGITS_MAX)
		return false;
	for (size_t i = 0; i < whole; i++)
		n = n * 10 + (text[i] - '0');
	text += whole;
	if (*text == '.') {
		part = strspn(++text, "0123456789");
		if (part == 0 || part > FRACTION_MAX)
			return false;
	}
	for (size_t i = 0; i < FRACTION_MAX; i++)
		n = n * 10 + (i < part ? text[i] - '0' : 0);
	*ret = n;
	*ret_rest = text + part;
	return true;
}

/* n of the unit that scale[] names, in the largest unit of which it is a whole number. */
static char *in_units(int64_t n, int64_t step, const char *const *scale)
{
	size_t i = 0;

	while (n != 0 && n % step == 0 && i + 1 < SUFFIXES) {
		n /= step;
		i++;
	}
	return xasprintf("%" PRId64 "%s", n, scale[i]);
}

static bool times(int64_t *n, int64_t step, size_t power)
{
	for (; power > 0; power--)
		if (__builtin_mul_overflow(*n, step, n))
			return false;
	return true;
}

char *quantity_canonical(const char *text)
{
	const char *suffix;
	int64_t n;

	if (text == NULL || !thousandths(text, &n, &suffix))
		return NULL;
	if (str_eq(suffix, "m"))
		return n % 1000 != 0      ? NULL
		       : n % 1000000 == 0 ? in_units(n / 1000000, 1000, decimal)
					  : xasprintf("%" PRId64 "m", n / 1000);
	for (size_t i = 0; i < SUFFIXES; i++) {
		bool two = i > 0 && str_eq(suffix, binary[i]);

		if (!two && !str_eq(suffix, decimal[i]))
			continue;
		if (!times(&n, two ? 1024 : 1000, i))
			return NULL;
		if (n % 1000 == 0)
			return in_units(n / 1000, two ? 1024 : 1000, two ? binary : decimal);
		return two ? NULL : xasprintf("%" PRId64 "m", n);
	}
	return NULL;
}

/* "e3", "E-2": a power of ten. */
static bool exponent(const char *text, int *ret)
{
	int64_t n;

	if ((*text != 'e' && *text != 'E') || !str_to_i64(text + 1, &n) || n < -9 || n > 18)
		return false;
	*ret = (int)n;
	return true;
}

/* n by 10 to the power; what is left of a thousandth counts as a whole one, as the server has it.
 */
static bool by_ten(int64_t *n, int power)
{
	for (; power < 0; power++)
		*n = *n / 10 + (*n % 10 != 0);
	return times(n, 10, (size_t)power);
}

bool quantity_milli(const char *text, int64_t *ret)
{
	static const struct {
		const char *suffix;
		int power;
	} small[] = { { "n", -9 }, { "u", -6 }, { "m", -3 } };
	const char *suffix;
	int power;

	if (text == NULL || !thousandths(text, ret, &suffix))
		return false;
	for (size_t i = 0; i < sizeof(small) / sizeof(small[0]); i++)
		if (str_eq(suffix, small[i].suffix))
			return by_ten(ret, small[i].power);
	for (size_t i = 0; i < SUFFIXES; i++) {
		if (str_eq(suffix, decimal[i]))
			return times(ret, 1000, i);
		if (str_eq(suffix, binary[i]))
			return times(ret, 1024, i);
	}
	return exponent(suffix, &power) && by_ten(ret, power);
}

char *quantity_text(int64_t milli, bool bytes)
{
	if (milli % 1000 != 0)
		return xasprintf("%" PRId64 "m", milli);
	return bytes ? in_units(milli / 1000, 1024, binary) : xasprintf("%" PRId64, milli / 1000);
}
