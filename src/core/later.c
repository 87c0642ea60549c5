/* SPDX-License-Identifier: Apache-2.0 */
/* later.c - for, until and at: their names, and what can be wrong with a time of day. */
#include "core/later.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "core/args.h"
#include "core/command.h"

static const struct {
	const char *name, *about;
} words[] = {
	{ "for", "How long it lasts; then it is set back" },
	{ "until", "Until when it lasts; then it is set back" },
	{ "at", "When it starts; without it at once" },
};
enum { N_WORDS = sizeof(words) / sizeof(words[0]) };

bool later_is_word(const char *name, size_t len)
{
	for (size_t i = 0; i < N_WORDS; i++)
		if (strlen(words[i].name) == len && memcmp(words[i].name, name, len) == 0)
			return true;
	return false;
}

const char *later_about(const char *name)
{
	for (size_t i = 0; i < N_WORDS; i++)
		if (str_eq(words[i].name, name))
			return words[i].about;
	return NULL;
}

bool later_asked(const json_t *args)
{
	for (size_t i = 0; i < N_WORDS; i++)
		if (json_object_get(args, words[i].name) != NULL)
			return true;
	return false;
}

json_t *later_without(const json_t *args)
{
	json_t *rest = json_copy((json_t *)(uintptr_t)args);

	for (size_t i = 0; i < N_WORDS; i++)
		json_object_del(rest, words[i].name);
	return rest;
}

int64_t later_max_s(const struct command *command)
{
	const struct param *param = command_param(command, "for");

	return param != NULL ? param->max : LATER_MAX_S;
}

char *later_problem(const json_t *answer, const json_t *args)
{
	const char *problem = jget_str_or(answer, "problem", "");
	const char *which = jget_str_or(answer, "which", "at");
	const char *text = jget_str_or(args, which, ""), *tz = jget_str_or(answer, "tz", "UTC");
	char *max, *said;

	if (str_eq(problem, "gap"))
		return xasprintf("%s=%s does not exist in %s: the clocks go forward over it that "
				 "day. Take another time.",
				 which, text, tz);
	if (str_eq(problem, "past") && str_eq(which, "until") &&
	    json_object_get(args, "at") != NULL)
		return xasprintf("until=%s is before its start at %s (both by the clocks of %s).",
				 text, jget_str_or(args, "at", ""), tz);
	if (str_eq(problem, "past"))
		return xasprintf("%s=%s is over (by the clocks of %s). A time without a date is "
				 "the next one, like %s=18:00.",
				 which, text, tz, which);
	if (str_eq(problem, "too_far"))
		return xasprintf("%s=%s is more than 30 days ahead.", which, text);
	max = args_duration_text(jget_int(answer, "max_s", LATER_MAX_S));
	said = xasprintf("until=%s is too far ahead: this change may last %s at most.", text, max);
	free(max);
	return said;
}
