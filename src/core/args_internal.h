/* SPDX-License-Identifier: Apache-2.0 */
/* args_internal - the parts of args: splitting into words, and one value of one parameter; pure. */
#ifndef OPSD_CORE_ARGS_INTERNAL_H
#define OPSD_CORE_ARGS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"
#include "core/args.h"

struct param;

/* Declared by a command, and with those that are implied (core/later.h). */
enum { ARGS_DECLARED_MAX = 20, ARGS_PARAMS_MAX = ARGS_DECLARED_MAX + 3 };
enum { ARGS_WORDS_MAX = 64, ARGS_SHOWN_LEN = 200, ARGS_SAMPLE_LEN = 160 };

/* One word of a line; all pointers into the text. */
struct args_word {
	const char *start, *end;
	const char *key; /* NULL: no "key=" in front */
	size_t key_len;
	const char *value, *value_end; /* within the quotes, if there are any */
	char quote;                    /* '"', '\'', or 0 */
	bool unclosed, tail; /* the quote does not end; something follows it without a space */
};

/* The next word from p, where p is not a space; false at the end. */
bool args_word_next(const char **p, struct args_word *ret_word);

/* The value without its quotes and escapes.  The caller frees. */
char *args_word_value(const struct args_word *word);

/* text in double quotes when it would not read back as one word.  The caller frees. */
char *args_quote(const char *text);

void args_problem(struct args_problems *problems, const char *param, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* At most 40 characters of an outside text, made harmless for a sentence. */
void args_shown_word(const char *text, size_t len, char ret_shown[ARGS_SHOWN_LEN]);

/* "a whole number from 0 to 200" */
void args_describe(const struct param *param, char *ret_text, size_t size);

/* "count=5": a value that works, from the command's tests or made up. */
void args_sample(const struct command *command, const struct param *param,
		 char ret_text[ARGS_SAMPLE_LEN]);

/* A value made up from the declaration alone, as text.  The caller frees. */
char *args_made_up(const struct param *param);

/* false: problems has a new one. */
bool args_value(const struct command *command, const struct param *param, const char *text,
		json_t **ret_value, struct args_problems *problems);

/* A typed value back to the text that reads as it: 5400 of a duration to "1h30m".  The caller
 * frees. */
char *args_value_text(const struct param *param, const json_t *value);

#endif
