/* SPDX-License-Identifier: Apache-2.0 */
/* args_value.c - one text to one typed value by a parameter's declaration, or what is wrong. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args_internal.h"
#include "base/buf.h"
#include "base/pattern.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/command.h"

enum { SHOWN_CHARS = 40, STRING_MAX = 200, TEXT_MAX = 1000, DAY = 86400 };

/* clang-format off */
static const struct { char unit; int64_t seconds; } units[] = {
	{ 'd', DAY }, { 'h', 3600 }, { 'm', 60 }, { 's', 1 },
};
/* clang-format on */
enum { N_UNITS = sizeof(units) / sizeof(units[0]) };

void args_problem(struct args_problems *problems, const char *param, const char *fmt, ...)
{
	struct args_problem *problem;
	size_t whole;
	va_list ap;

	if (problems->n == ARGS_PROBLEMS_MAX)
		return;
	problem = &problems->items[problems->n++];
	problem->param = param;
	va_start(ap, fmt);
	(void)vsnprintf(problem->text, sizeof(problem->text), fmt, ap);
	va_end(ap);
	/* A cut may fall into a character; several problems are shown one after the other. */
	whole = strlen(problem->text);
	if (whole > sizeof(problem->text) - 2)
		whole = sizeof(problem->text) - 2;
	while (whole > 0 && !str_utf8_valid(problem->text, whole))
		whole--;
	if (whole > 0 && strchr(".?!", problem->text[whole - 1]) == NULL)
		problem->text[whole++] = '.';
	problem->text[whole] = '\0';
}

void args_shown_word(const char *text, size_t len, char ret_shown[ARGS_SHOWN_LEN])
{
	size_t n = 0, chars = 0;

	while (len > 0 && *text != '\0' && chars < SHOWN_CHARS) {
		uint32_t cp = 0;
		size_t step = str_utf8_next(text, len, &cp);

		if (step == 0 || cp < 0x20 || cp == 0x7f) {
			ret_shown[n++] = '?';
		} else {
			memcpy(ret_shown + n, text, step);
			n += step;
		}
		step = step == 0 ? 1 : step;
		text += step;
		len -= step;
		chars++;
	}
	ret_shown[n] = '\0';
	if (len > 0 && *text != '\0')
		memcpy(ret_shown + n, "…", sizeof("…"));
}

/* --- durations and times --- */

bool args_duration(const char *text, int64_t *ret_s)
{
	int64_t total = 0;
	size_t next = 0; /* units come largest first, each once */

	if (text == NULL || *text == '\0')
		return false;
	while (*text != '\0') {
		int64_t n = 0;
		size_t digits = strspn(text, "0123456789");

		if (digits == 0 || digits > 9)
			return false;
		for (size_t i = 0; i < digits; i++)
			n = n * 10 + (text[i] - '0');
		text += digits;
		while (next < N_UNITS && units[next].unit != *text)
			next++;
		if (next == N_UNITS)
			return false;
		total += n * units[next++].seconds;
		text++;
	}
	*ret_s = total;
	return true;
}

char *args_duration_text(int64_t seconds)
{
	struct buf buf;

	if (seconds <= 0)
		return xasprintf("%" PRId64 "s", seconds);
	buf_init(&buf, 80);
	for (size_t i = 0; i < N_UNITS; i++) {
		if (seconds >= units[i].seconds)
			buf_printf(&buf, "%" PRId64 "%c", seconds / units[i].seconds,
				   units[i].unit);
		seconds %= units[i].seconds;
	}
	return buf_take(&buf);
}

/* n digits at p as a number, -1 when they are not. */
static int digits_at(const char *p, int n)
{
	int value = 0;

	for (int i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return -1;
		value = value * 10 + (p[i] - '0');
	}
	return value;
}

static bool is_clock(const char *text)
{
	int hour, minute;

	if (strlen(text) != 5 || text[2] != ':')
		return false;
	hour = digits_at(text, 2);
	minute = digits_at(text + 3, 2);
	return hour >= 0 && hour <= 23 && minute >= 0 && minute <= 59;
}

static int month_days(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

static bool is_date(const char *text)
{
	int year = digits_at(text, 4), month, day;

	if (year < 2000 || text[4] != '-')
		return false;
	month = digits_at(text + 5, 2);
	if (month < 1 || month > 12 || text[7] != '-')
		return false;
	day = digits_at(text + 8, 2);
	return day >= 1 && day <= month_days(year, month);
}

static bool is_time(const char *text)
{
	if (strlen(text) == strlen("2026-11-25T18:00"))
		return is_date(text) && text[10] == 'T' && is_clock(text + 11);
	return is_clock(text);
}

/* --- words about a parameter --- */

static void describe_range(const struct param *param, const char *what, char *text, size_t size)
{
	bool duration = param->type == PARAM_DURATION;
	char *min = duration ? args_duration_text(param->min) : xasprintf("%" PRId64, param->min);
	char *max = duration ? args_duration_text(param->max) : xasprintf("%" PRId64, param->max);
	bool low = param->min != INT64_MIN && !(duration && param->min <= 1);
	bool high = param->max != INT64_MAX;

	(void)snprintf(text, size, "%s%s%s%s%s", what,
		       low && high ? " from "
		       : low       ? " of at least "
		       : high      ? " of at most "
				   : "",
		       low ? min : "", low && high ? " to " : "", high ? max : "");
	free(min);
	free(max);
}

static void describe_values(const struct param *param, char *text, size_t size)
{
	struct buf buf;

	buf_init(&buf, size - 1);
	for (size_t i = 0; i < param->n_values; i++)
		buf_printf(&buf, "%s%s",
			   i == 0                     ? ""
			   : i + 1 == param->n_values ? " or "
						      : ", ",
			   param->values[i]);
	(void)snprintf(text, size, "%s", buf.overflow ? "one of its values" : buf_text(&buf));
	buf_finish(&buf);
}

void args_describe(const struct param *param, char *ret_text, size_t size)
{
	switch (param->type) {
	case PARAM_STRING:
		(void)snprintf(ret_text, size, "%s", "one word");
		break;
	case PARAM_TEXT:
		(void)snprintf(ret_text, size, "a text of at most %" PRId64 " characters",
			       param->max > 0 && param->max < TEXT_MAX ? param->max : TEXT_MAX);
		break;
	case PARAM_ENUM:
		describe_values(param, ret_text, size);
		break;
	case PARAM_INTEGER:
		describe_range(param, "a whole number", ret_text, size);
		break;
	case PARAM_BOOLEAN:
		(void)snprintf(ret_text, size, "%s", "yes or no");
		break;
	case PARAM_DURATION:
		describe_range(param, "a duration", ret_text, size);
		break;
	case PARAM_TIME:
		(void)snprintf(ret_text, size, "%s", "a time, 18:00 or 2026-11-25T18:00");
		break;
	case PARAM_PERSON:
		(void)snprintf(ret_text, size, "%s", "a person, @mentioned or by e-mail address");
		break;
	}
}

static char *made_up_word(const struct param *param)
{
	static const char *const words[] = {
		"ads", "main", "a", "1", "abc", "A1", "ads-main", "ads/main", "v1.2.3", "2026-11-25"
	};

	if (param->pattern == NULL)
		return xstrdup(param->name);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (pattern_matches(param->pattern, words[i]))
			return xstrdup(words[i]);
	return xstrdup("…");
}

static int64_t within(const struct param *param, int64_t wanted)
{
	if (wanted < param->min)
		return param->min;
	return wanted > param->max ? param->max : wanted;
}

char *args_made_up(const struct param *param)
{
	if (param->fallback != NULL)
		return args_value_text(param, param->fallback);
	switch (param->type) {
	case PARAM_TEXT:
		return xstrdup(param->max >= 16 || param->max <= 0 ? "because of load" : "load");
	case PARAM_ENUM:
		return xstrdup(param->n_values > 0 ? param->values[0] : "…");
	case PARAM_INTEGER:
		return xasprintf("%" PRId64, within(param, 5));
	case PARAM_BOOLEAN:
		return xstrdup("yes");
	case PARAM_DURATION:
		return args_duration_text(within(param, 7200));
	case PARAM_TIME:
		return xstrdup("18:00");
	case PARAM_PERSON:
		return xstrdup("ana@example.com");
	case PARAM_STRING:
		break;
	}
	return made_up_word(param);
}

void args_sample(const struct command *command, const struct param *param,
		 char ret_text[ARGS_SAMPLE_LEN])
{
	char *value = NULL, *quoted;

	for (size_t i = 0; i < command->n_tests && value == NULL; i++) {
		json_t *typed;

		if (str_eq(command->tests[i].expect, "invalid"))
			continue;
		typed = args_typed(command, command->tests[i].text);
		value = xstrdup_null(jget_str(typed, param->name));
		json_decref(typed);
	}
	if (value == NULL)
		value = args_made_up(param);
	quoted = args_quote(value);
	if (snprintf(ret_text, ARGS_SAMPLE_LEN, "%s=%s", param->name, quoted) >= ARGS_SAMPLE_LEN)
		(void)snprintf(ret_text, ARGS_SAMPLE_LEN, "%s=…", param->name);
	free(quoted);
	free(value);
}

/* --- one value --- */

/* What a reader gets wrong most often, said about the text; "" when nothing special is known. */
static const char *number_hint(const char *text)
{
	if (*text == '+')
		return "; a \"+\" is not a change, write the number that is wanted";
	if (strpbrk(text, "_,'. ") != NULL)
		return "; no separators or decimals";
	if (*text == '0' && text[1] >= '0' && text[1] <= '9')
		return "; no leading zeros";
	return "";
}

static bool wrong(const struct command *command, const struct param *param, const char *text,
		  const char *hint, struct args_problems *problems)
{
	char expected[ARGS_SHOWN_LEN], sample[ARGS_SAMPLE_LEN], shown[ARGS_SHOWN_LEN];

	args_describe(param, expected, sizeof(expected));
	if (param->secret) {
		args_problem(problems, param->name, "%s must be %s", param->name, expected);
		return false;
	}
	args_sample(command, param, sample);
	args_shown_word(text, strlen(text), shown);
	args_problem(problems, param->name, "%s must be %s, like %s (you wrote \"%s\"%s)",
		     param->name, expected, sample, shown, hint);
	return false;
}

/* Leading zeros are refused: one reader in ten means octal, and the others mistyped. */
static bool plain_number(const char *text, int64_t *ret_n)
{
	const char *digits = *text == '-' ? text + 1 : text;

	if (*digits < '0' || *digits > '9' || (digits[0] == '0' && digits[1] != '\0'))
		return false;
	return str_to_i64(text, ret_n);
}

static json_t *to_integer(const struct param *param, const char *text, const char **ret_hint)
{
	int64_t n;

	if (plain_number(text, &n) && n >= param->min && n <= param->max)
		return json_integer(n);
	*ret_hint = number_hint(text);
	return NULL;
}

static json_t *to_duration(const struct param *param, const char *text, const char **ret_hint)
{
	int64_t n;

	if (args_duration(text, &n) && n > 0 && n >= param->min && n <= param->max)
		return json_integer(n);
	if (str_to_i64(text, &n))
		*ret_hint = "; a unit is missing: 90s, 15m, 2h or 1d";
	return NULL;
}

static json_t *to_boolean(const char *text)
{
	static const char *const yes[] = { "true", "yes", "on" };
	static const char *const no[] = { "false", "no", "off" };

	for (size_t i = 0; i < 3; i++) {
		if (str_ieq(text, yes[i]))
			return json_true();
		if (str_ieq(text, no[i]))
			return json_false();
	}
	return NULL;
}

static json_t *to_enum(const struct param *param, const char *text, char hint[ARGS_SHOWN_LEN])
{
	const char *near = str_nearest(text, param->values, param->n_values);

	for (size_t i = 0; i < param->n_values; i++)
		if (str_eq(text, param->values[i]))
			return json_string(text);
	for (size_t i = 0; i < param->n_values; i++)
		if (str_ieq(text, param->values[i])) /* phones write the first letter large */
			return json_string(param->values[i]);
	if (near != NULL)
		(void)snprintf(hint, ARGS_SHOWN_LEN, "; did you mean \"%s\"?", near);
	return NULL;
}

static json_t *to_person(const char *text)
{
	static const char id[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	const char *at = strchr(text, '@');

	if (at == text && (text[1] == 'U' || text[1] == 'W')) {
		size_t len = strspn(text + 1, id);

		return len >= 3 && len <= 30 && text[1 + len] == '\0' ? json_string(text) : NULL;
	}
	if (at == NULL || at == text || strchr(at + 1, '@') != NULL || strlen(text) > 254)
		return NULL;
	if (strpbrk(text, " \t\n<>\"(),;:\\") != NULL || strchr(at, '.') == NULL || at[1] == '.')
		return NULL;
	return json_string(text);
}

static size_t characters(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static bool too_long(const struct param *param, const char *text, struct args_problems *problems)
{
	int64_t ceiling = param->type == PARAM_TEXT ? TEXT_MAX : STRING_MAX;
	int64_t max = param->max > 0 && param->max < ceiling ? param->max : ceiling;
	size_t n = characters(text);

	if (n <= (size_t)max)
		return false;
	args_problem(problems, param->name,
		     "%s may have at most %" PRId64 " characters, this one has %zu", param->name,
		     max, n);
	return true;
}

static bool has_control(const struct param *param, const char *text)
{
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if ((c < 0x20 && !(c == '\n' && param->type == PARAM_TEXT)) || c == 0x7f)
			return true;
	}
	return false;
}

static json_t *to_word(const struct param *param, const char *text, const char **ret_hint)
{
	if (param->pattern != NULL) {
		if (pattern_matches(param->pattern, text))
			return json_string(text);
		*ret_hint = "; its letters or length do not fit";
		return NULL;
	}
	if (strpbrk(text, " \t\n") == NULL)
		return json_string(text);
	*ret_hint = "; no spaces";
	return NULL;
}

static json_t *convert(const struct param *param, const char *text, const char **ret_hint,
		       char hint[ARGS_SHOWN_LEN])
{
	switch (param->type) {
	case PARAM_TEXT:
		return json_string(text);
	case PARAM_ENUM:
		*ret_hint = hint;
		return to_enum(param, text, hint);
	case PARAM_INTEGER:
		return to_integer(param, text, ret_hint);
	case PARAM_BOOLEAN:
		return to_boolean(text);
	case PARAM_DURATION:
		return to_duration(param, text, ret_hint);
	case PARAM_TIME:
		return is_time(text) ? json_string(text) : NULL;
	case PARAM_PERSON:
		return to_person(text);
	case PARAM_STRING:
		break;
	}
	return to_word(param, text, ret_hint);
}

static char *trimmed(const char *text)
{
	size_t len;

	text += strspn(text, " \t\r\n");
	len = strlen(text);
	while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
		len--;
	return xstrndup(text, len);
}

bool args_value(const struct command *command, const struct param *param, const char *text,
		json_t **ret_value, struct args_problems *problems)
{
	char hint_text[ARGS_SHOWN_LEN] = "", *own;
	const char *hint = "";
	json_t *value = NULL;

	if (!str_utf8_valid(text, strlen(text))) {
		args_problem(problems, param->name, "%s holds bytes that are not UTF-8 text",
			     param->name);
		return false;
	}
	own = trimmed(text);
	if (has_control(param, own)) {
		args_problem(problems, param->name, "%s holds a control character", param->name);
	} else if (*own == '\0') {
		(void)wrong(command, param, own, "; it is empty", problems);
	} else if (!too_long(param, own, problems)) {
		value = convert(param, own, &hint, hint_text);
		if (value == NULL)
			(void)wrong(command, param, own, hint, problems);
	}
	free(own);
	if (value != NULL)
		*ret_value = value;
	return value != NULL;
}

char *args_value_text(const struct param *param, const json_t *value)
{
	if (json_is_string(value))
		return xstrdup(json_string_value(value));
	if (json_is_boolean(value))
		return xstrdup(json_is_true(value) ? "true" : "false");
	if (!json_is_integer(value))
		return xstrdup("");
	return param->type == PARAM_DURATION
		       ? args_duration_text(json_integer_value(value))
		       : xasprintf("%" PRId64, (int64_t)json_integer_value(value));
}
