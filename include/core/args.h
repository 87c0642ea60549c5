/* SPDX-License-Identifier: Apache-2.0 */
/*
 * args - what a person typed or filled in, to typed arguments; or what is wrong, said about the
 * argument.  Pure.
 *
 * Text: key=value in any order, "quotes" or 'quotes' (with \" and \\ inside), and positional values
 * for the required parameters that are not named, in their declared order; a text parameter takes
 * every word up to the next known "key=".  Names and enum values are taken in any case; secrets
 * from forms only.  The text was decoded by slack/text.h before.  At most 4,000 characters and 64
 * arguments.
 */
#ifndef OPSD_CORE_ARGS_H
#define OPSD_CORE_ARGS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"

struct catalog;
struct command;
struct err;

enum { ARGS_TEXT_MAX = 4000, ARGS_PROBLEMS_MAX = 16 };

struct args_problem {
	const char *param; /* NULL: about the whole */
	char text[400];    /* "count must be a whole number from 0 to 200, like count=5 (you wrote
			      "five")" */
};

struct args_problems {
	size_t n;
	bool missing_only; /* nothing is wrong but absent required parameters: a form can ask for
			      them */
	struct args_problem items[ARGS_PROBLEMS_MAX];
};

enum line_kind {
	LINE_COMMAND, /* command and rest are set */
	LINE_HELP,    /* help [prefix [name]]; prefix/command may be set */
	LINE_OWN,     /* another word of opsd itself: word and rest are set */
	LINE_UNKNOWN, /* problem says what, with the nearest titles */
};

/* A word that no prefix may have: "help", "active", … */
bool args_is_own_word(const char *word);

struct line {
	enum line_kind kind;
	const struct command *command;
	const char *prefix; /* LINE_HELP: of one prefix; NULL: all */
	const char *rest;   /* into text: the arguments */
	char word[64];      /* LINE_OWN: the word; else what was not known, cut */
	/* the nearest commands, best first: the caller leaves out those that the person may not run
	 */
	const struct command *nearest[5];
	size_t n_nearest;
	char problem[400];
};

/* only_prefix: the prefix a slash command of its own is bound to ("/workers scale …"), or NULL. */
void args_line(const struct catalog *catalog, const char *only_prefix, const char *text,
	       struct line *ret_line);

/* A new object with every parameter that has a value or a default; NULL: problems. */
json_t *args_from_text(const struct command *command, const char *rest,
		       struct args_problems *problems);

/* The same of what is given, whatever is missing. */
json_t *args_given(const struct command *command, const char *rest, struct args_problems *problems);

/* values: flat { name: "text" } of a form; what is typed there is checked by the same rules. */
json_t *args_from_values(const struct command *command, const json_t *values,
			 struct args_problems *problems);

/* A typed object of our own (a button's value, a stored row) checked again by the same rules. */
json_t *args_from_json(const struct command *command, const json_t *typed,
		       struct args_problems *problems);

/* Whatever of rest can be read, unchecked, as { name: "text" }: to fill in a form.  A new
 * reference, never NULL. */
json_t *args_typed(const struct command *command, const char *rest);

/* Guards: NULL, or the sentence of the first that denies (borrowed); *ret_failed when one could not
 * be evaluated. */
const char *args_guard(const struct command *command, const json_t *args, bool *ret_failed);

/* The approval rules that this use meets, plan or not: [{ "need": 1, "can_approve"?: action,
 * "group"?: name }]. NULL: err says which rule could not be evaluated; nothing may run then. */
json_t *args_approvals(const struct command *command, const json_t *args, const json_t *plan,
		       struct err *err);

/* What can be said of a use of which only args are given: { "scope", "rules"?: as args_approvals,
 * "denied"?: the sentence of a guard that denies it as it is, "open": { name: ["who" | "rule" |
 * "approval", …] } of what is not given and could change that, "idle": [other required names],
 * "plan"?: true, when the plan could make it need approval }. */
json_t *args_outlook(const struct command *command, const json_t *args);

/* The scope of this use: { "team": "ads", … } from command->scope and args.  A new reference. */
json_t *args_scope(const struct command *command, const json_t *args);

/* args as they may be shown and recorded: secret ones replaced by "***".  A new reference. */
json_t *args_shown(const struct command *command, const json_t *args);

/* "team=ads role=dev count=5": canonical text of args in declared order, secrets masked.  The
 * caller frees. */
char *args_text(const struct command *command, const json_t *args);

/* rest as it may be recorded: what follows the name of a secret parameter, in whatever spelling, is
 * "***".  The caller frees. */
char *args_redact(const struct command *command, const char *rest);

/* Seconds from "2h", "90m", "1d", "1h30m"; false: not a duration.  And back; the caller frees. */
bool args_duration(const char *text, int64_t *ret_s);
char *args_duration_text(int64_t seconds);

#endif
