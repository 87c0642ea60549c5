/* SPDX-License-Identifier: Apache-2.0 */
/* args_line.c - the first words of a line: which command, or help, or the nearest that exist. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args_internal.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/catalog.h"
#include "core/command.h"

enum { WORD_LEN = 64, NEAREST = 5, FAR = 1000 };

/* Commands of this prefix go by their name alone too: /ops freeze. */
#define OWN_PREFIX "ops"

struct scored {
	const struct command *command;
	size_t distance;
};

static const char *skip_spaces(const char *text)
{
	return text + strspn(text, " \t\r\n");
}

/* The word at text in lower case, cut at a character; returns what follows it. */
static const char *take_word(const char *text, char ret_word[WORD_LEN])
{
	size_t len = strcspn(text, " \t\r\n"), n = len < WORD_LEN - 1 ? len : WORD_LEN - 1;

	while (n > 0 && !str_utf8_valid(text, n) && str_utf8_valid(text, len))
		n--;
	for (size_t i = 0; i < n; i++)
		ret_word[i] =
			text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] - 'A' + 'a') : text[i];
	ret_word[n] = '\0';
	return skip_spaces(text + len);
}

static bool asks_help(const char *word)
{
	return str_eq(word, "help") || str_eq(word, "--help") || str_eq(word, "-h") ||
	       str_eq(word, "?");
}

static const char *const own_words[] = { "help", "active", "undo", "cancel" };

bool args_is_own_word(const char *word)
{
	for (size_t i = 0; i < sizeof(own_words) / sizeof(own_words[0]); i++)
		if (str_eq(own_words[i], word))
			return true;
	return false;
}

static const char *known_prefix(const struct catalog *catalog, const char *word)
{
	for (size_t i = 0; i < catalog_prefixes(catalog); i++)
		if (str_eq(catalog_prefix(catalog, i), word))
			return catalog_prefix(catalog, i);
	return NULL;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* A name is near when a third of it is other; FAR otherwise. */
static size_t near_name(const char *word, const char *name)
{
	size_t d = str_distance(word, name), limit = strlen(name) / 3;

	return d <= (limit > 1 ? limit : 1) ? d : FAR;
}

/* How far what was typed is from a command: from its title, or from its name alone. */
static size_t distance(const struct command *command, const char *first, const char *second)
{
	char *both = xasprintf("%s %s", first, second);
	size_t best = near_name(both, command->title);

	free(both);
	best = least(best, near_name(first, command->title));    /* workers.scale */
	best = least(best, near_name(first, command->name) + 1); /* the prefix was left out */
	if (str_eq(first, command->prefix))
		best = least(best, near_name(second, command->name));
	return best;
}

static void find_nearest(const struct catalog *catalog, const char *first, const char *second,
			 struct line *line)
{
	struct scored nearest[NEAREST + 1];
	size_t n = 0;

	for (size_t i = 0; i < catalog_commands(catalog); i++) {
		const struct command *command = catalog_command(catalog, i);
		size_t d = distance(command, first, second), at = n;

		if (d >= FAR)
			continue;
		while (at > 0 && nearest[at - 1].distance > d) {
			nearest[at] = nearest[at - 1];
			at--;
		}
		nearest[at] = (struct scored){ .command = command, .distance = d };
		if (n < NEAREST)
			n++;
	}
	for (size_t i = 0; i < n; i++)
		line->nearest[i] = nearest[i].command;
	line->n_nearest = n;
}

static void unknown_line(const struct catalog *catalog, const char *first, const char *second,
			 struct line *line)
{
	const char *prefix = known_prefix(catalog, first);
	char shown[ARGS_SHOWN_LEN];

	line->kind = LINE_UNKNOWN;
	line->prefix = prefix;
	(void)snprintf(line->word, sizeof(line->word), "%s", prefix != NULL ? second : first);
	args_shown_word(line->word, strlen(line->word), shown);
	find_nearest(catalog, first, second, line);
	if (prefix != NULL)
		(void)snprintf(line->problem, sizeof(line->problem),
			       "%s has no command \"%s\"; `help %s` lists what it has.", prefix,
			       shown, prefix);
	else
		(void)snprintf(line->problem, sizeof(line->problem),
			       "There is no command \"%s\"; `help` lists what you can run.", shown);
}

/* "help", "help workers", "help workers scale". */
static void help_line(const struct catalog *catalog, const char *only_prefix, const char *text,
		      struct line *line)
{
	char first[WORD_LEN] = "", second[WORD_LEN] = "";
	const char *rest = text;

	line->kind = LINE_HELP;
	if (only_prefix != NULL)
		(void)snprintf(first, sizeof(first), "%s", only_prefix);
	else
		rest = take_word(rest, first);
	(void)take_word(rest, second);
	line->prefix = known_prefix(catalog, first);
	line->command = line->prefix != NULL ? catalog_find(catalog, first, second) : NULL;
	if ((*first != '\0' && line->prefix == NULL) || (*second != '\0' && line->command == NULL))
		unknown_line(catalog, first, second, line);
}

void args_line(const struct catalog *catalog, const char *only_prefix, const char *text,
	       struct line *ret_line)
{
	char first[WORD_LEN] = "", second[WORD_LEN] = "", third[WORD_LEN] = "";
	const char *rest = skip_spaces(text), *after;

	*ret_line = (struct line){ .kind = LINE_HELP, .rest = text + strlen(text) };
	if (*rest == '/') /* the slash command itself, pasted with the rest */
		rest = take_word(rest, first);
	after = take_word(rest, first);
	if (asks_help(first)) {
		help_line(catalog, only_prefix, after, ret_line);
		return;
	}
	if (only_prefix == NULL && args_is_own_word(first)) {
		ret_line->kind = LINE_OWN;
		ret_line->rest = after;
		(void)snprintf(ret_line->word, sizeof(ret_line->word), "%s", first);
		return;
	}
	if (only_prefix != NULL)
		(void)snprintf(first, sizeof(first), "%s", only_prefix);
	else
		rest = after;
	if (only_prefix == NULL && known_prefix(catalog, first) == NULL &&
	    catalog_find(catalog, OWN_PREFIX, first) != NULL) {
		memcpy(second, first, sizeof(second));
		(void)snprintf(first, sizeof(first), "%s", OWN_PREFIX);
	} else {
		after = take_word(rest, second);
	}
	ret_line->prefix = known_prefix(catalog, first);
	if (*first == '\0' || (ret_line->prefix != NULL && (*second == '\0' || asks_help(second))))
		return;
	ret_line->command = ret_line->prefix != NULL ? catalog_find(catalog, first, second) : NULL;
	if (ret_line->command == NULL) {
		unknown_line(catalog, first, second, ret_line);
		return;
	}
	ret_line->rest = after;
	if (*take_word(after, third) == '\0' && asks_help(third))
		return;
	ret_line->kind = LINE_COMMAND;
}
