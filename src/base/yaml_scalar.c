/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yaml_scalar.c - what a plain scalar means.
 *
 * Where YAML 1.1 and 1.2, or two people, would read a word differently, it is refused with what to
 * write instead.
 */
#include "yaml_scalar_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"

static bool is_one_of(const char *text, const char *const *words)
{
	for (; *words != NULL; words++)
		if (strcmp(text, *words) == 0)
			return true;
	return false;
}

static size_t digits_of(const char *s, const char *allowed)
{
	return strspn(s, allowed);
}

/* 12:30 and 1:02:03, which YAML 1.1 counts in sixties. */
static bool is_base60(const char *s)
{
	size_t n = digits_of(s, "0123456789_");

	if (n == 0 || s[n] != ':')
		return false;
	while (s[n] == ':') {
		size_t more = digits_of(s + n + 1, "0123456789");

		if (more == 0 || more > 2)
			return false;
		n += 1 + more;
	}
	return s[n] == '\0' ||
	       (s[n] == '.' && s[n + 1 + digits_of(s + n + 1, "0123456789")] == '\0');
}

static bool is_prefixed(const char *s)
{
	static const char *const bases[] = { "xX", "oO", "bB" };
	static const char *const allowed[] = { "0123456789abcdefABCDEF_", "01234567_", "01_" };

	if (s[0] != '0')
		return false;
	for (size_t i = 0; i < 3; i++)
		if (s[1] != '\0' && strchr(bases[i], s[1]) != NULL && s[2] != '\0' &&
		    s[2 + digits_of(s + 2, allowed[i])] == '\0')
			return true;
	return false;
}

/* Digits, perhaps a dot and digits, then an exponent. */
static bool has_exponent(const char *s)
{
	size_t n = digits_of(s, "0123456789"), whole = n;

	if (s[n] == '.')
		n += 1 + digits_of(s + n + 1, "0123456789");
	if (n == 0 || (whole == 0 && n == 1) || (s[n] != 'e' && s[n] != 'E'))
		return false;
	n++;
	if (s[n] == '+' || s[n] == '-')
		n++;
	return s[n] != '\0' && s[n + digits_of(s + n, "0123456789")] == '\0';
}

static json_t *refuse(struct err *err, const char *text, const char *why)
{
	err_set(err, ERR_INVALID, "%.80s %s", text, why);
	return NULL;
}

/* s is text without its sign and begins with a digit or a dot. */
static json_t *number(const char *text, const char *s, struct err *err)
{
	size_t whole = digits_of(s, "0123456789"), fraction = 0;
	int64_t n;
	double real;

	if (is_prefixed(s))
		return refuse(err, text,
			      "looks like a number of another base: write it in decimal, "
			      "or in quotes if it is text");
	if (is_base60(s))
		return refuse(err, text, "may be read as a number in base 60: put it in quotes");
	if (has_exponent(s))
		return refuse(err, text,
			      "may be read as a number or as text: write the number out, "
			      "or put it in quotes");
	if (strchr(s, '_') != NULL && s[digits_of(s, "0123456789_.")] == '\0')
		return refuse(err, text,
			      "may be read as a number: write it without _, or in quotes");
	if (s[whole] == '.')
		fraction = digits_of(s + whole + 1, "0123456789");
	if (s[whole] != '\0' && (s[whole] != '.' || s[whole + 1 + fraction] != '\0'))
		return json_string(text);
	if (s[whole] == '.' && (whole == 0 || fraction == 0)) {
		if (whole + fraction == 0)
			return json_string(text);
		return refuse(err, text, "needs digits before and after the dot");
	}
	if (whole > 1 && s[0] == '0')
		return refuse(err, text,
			      "has leading zeros: write it without them, or in quotes if "
			      "it is text");
	if (s[whole] == '\0') {
		if (!str_to_i64(text, &n))
			return refuse(err, text, "is out of the range of 64-bit integers");
		return json_integer(n);
	}
	real = strtod(text, NULL);
	if (!isfinite(real))
		return refuse(err, text, "is out of the range of numbers");
	return json_real(real);
}

json_t *yaml_scalar(const char *text, struct err *err)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
	static const char *const trues[] = { "true", "True", "TRUE", NULL };
	static const char *const falses[] = { "false", "False", "FALSE", NULL };
	static const char *const yes[] = { "yes", "Yes", "YES", "on", "On", "ON", "y", "Y", NULL };
	static const char *const no[] = { "no", "No", "NO", "off", "Off", "OFF", "n", "N", NULL };
	static const char *const odd[] = { ".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN", NULL };
	const char *unsigned_text = *text == '-' || *text == '+' ? text + 1 : text;

	if (is_one_of(text, nulls))
		return json_null();
	if (is_one_of(text, trues))
		return json_true();
	if (is_one_of(text, falses))
		return json_false();
	if (is_one_of(text, yes))
		return refuse(err, text,
			      "may be read as true or as a word: write true, or put it in "
			      "quotes");
	if (is_one_of(text, no))
		return refuse(err, text,
			      "may be read as false or as a word: write false, or put it "
			      "in quotes");
	if (is_one_of(unsigned_text, odd))
		return refuse(err, text, "is not a number that can be used here");
	if ((*unsigned_text >= '0' && *unsigned_text <= '9') || *unsigned_text == '.')
		return number(text, unsigned_text, err);
	return json_string(text);
}

bool yaml_tag_is_str(const char *tag)
{
	return tag == NULL || strcmp(tag, "tag:yaml.org,2002:str") == 0;
}
