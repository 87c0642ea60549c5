/* SPDX-License-Identifier: Apache-2.0 */
/*
 * args.c - text, form values or stored JSON to typed arguments; all three end in args_value().
 *
 * A text parameter takes every word up to the next known "key=", so that nobody has to quote a
 * reason.  Usual slips ("count = 5", "--count 5", "count:5") are told apart from wrong values.
 */
#include "core/args.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "args_internal.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/command.h"
#include "core/expr.h"
#include "core/later.h"

struct parse {
	const struct command *command;
	struct args_problems *problems; /* NULL: read what can be read */
	struct args_word *words;
	size_t n;
	bool named[ARGS_PARAMS_MAX];  /* "key=" stands somewhere in the text */
	bool seen[ARGS_PARAMS_MAX];   /* had its turn, well or badly */
	char *texts[ARGS_PARAMS_MAX]; /* NULL: no value */
	size_t used;                  /* arguments so far */
};

/* --- names --- */

/* The parameter of this name, whatever the case (phones capitalise); n_params: none. */
static size_t find(const struct command *command, const char *name, size_t len)
{
	for (size_t i = 0; i < command->n_params; i++) {
		const char *own = command->params[i].name;

		if (strlen(own) == len && strncasecmp(own, name, len) == 0)
			return i;
	}
	return command->n_params;
}

static bool known(const struct command *command, const char *name, size_t len)
{
	return find(command, name, len) < command->n_params;
}

static const char *nearest(const struct command *command, const char *name, size_t len)
{
	const char *names[ARGS_PARAMS_MAX], *near;
	char *own = xstrndup(name, len < 64 ? len : 64);

	for (size_t i = 0; i < command->n_params; i++)
		names[i] = command->params[i].name;
	near = str_nearest(own, names, command->n_params);
	free(own);
	return near;
}

static void unknown(const struct command *command, const char *name, size_t len,
		    struct args_problems *problems)
{
	const char *near = nearest(command, name, len);
	char shown[ARGS_SHOWN_LEN];
	struct buf all;

	args_shown_word(name, len, shown);
	buf_init(&all, 200);
	for (size_t i = 0; i < command->n_params; i++)
		if (!command->params[i].implied)
			buf_printf(&all, "%s%s", all.len > 0 ? ", " : "", command->params[i].name);
	if (later_is_word(name, len))
		args_problem(problems, NULL, "%s takes no %.*s=: %s", command->title, (int)len,
			     name,
			     command_reads(command) ? "it only reads"
						    : "what it does cannot be set back");
	else if (near != NULL)
		args_problem(problems, NULL, "There is no parameter \"%s\", did you mean \"%s\"?",
			     shown, near);
	else
		args_problem(problems, NULL, "There is no parameter \"%s\"; %s %s%s", shown,
			     command->title, all.len > 0 ? "takes " : "takes none", buf_text(&all));
	buf_finish(&all);
}

/* --- splitting --- */

static void split(struct parse *parse, const char *text)
{
	size_t cap = 16;
	struct args_word word;

	parse->words = xcalloc(cap, sizeof(*parse->words));
	while (args_word_next(&text, &word)) {
		if (parse->n == cap) {
			cap *= 2;
			parse->words = xrealloc(parse->words, cap * sizeof(*parse->words));
		}
		parse->words[parse->n++] = word;
		if (word.key != NULL) {
			size_t i = find(parse->command, word.key, word.key_len);

			if (i < parse->command->n_params)
				parse->named[i] = true;
		}
	}
}

static void parse_finish(struct parse *parse)
{
	for (size_t i = 0; i < ARGS_PARAMS_MAX; i++)
		free(parse->texts[i]);
	free(parse->words);
}

/* --- slips --- */

#define COMPLAIN(parse, ...)                                                                       \
	do {                                                                                       \
		if ((parse)->problems != NULL)                                                     \
			args_problem((parse)->problems, __VA_ARGS__);                              \
	} while (0)

/* "write count=5 …": about a known parameter, which then had its turn. */
static void slip(struct parse *parse, size_t i, const char *how)
{
	const struct param *param = &parse->command->params[i];
	char sample[ARGS_SAMPLE_LEN];

	parse->seen[i] = true;
	args_sample(parse->command, param, sample);
	COMPLAIN(parse, param->name, "Write %s, %s", sample, how);
}

/* A name that is followed by its value in another way than "="; words used up, 0: it is none. */
static size_t other_syntax(struct parse *parse, size_t at)
{
	const struct args_word *word = &parse->words[at], *next = word + 1;
	bool more = at + 1 < parse->n;
	const char *name = word->start + strspn(word->start, "-");
	size_t len = strcspn(name, "=: \t\r\n\"'");
	size_t i;

	if (word->quote != 0 && word->key == NULL)
		return 0;
	if (name > word->start && len > 0) { /* --count=5, --count 5 */
		i = find(parse->command, name, len);
		if (i == parse->command->n_params)
			return 0;
		slip(parse, i, "without dashes and with \"=\"");
		return word->key == NULL && more && next->key == NULL ? 2 : 1;
	}
	i = find(parse->command, name, len);
	if (word->key != NULL || i == parse->command->n_params)
		return 0;
	if (name[len] == ':') { /* count:5, count: 5 */
		slip(parse, i, "with \"=\" instead of \":\"");
		return name + len + 1 == word->end && more && next->key == NULL ? 2 : 1;
	}
	if (word->end == name + len && more && *next->start == '=') { /* count = 5, count =5 */
		slip(parse, i, "without spaces around \"=\"");
		return next->end == next->start + 1 && at + 2 < parse->n ? 3 : 2;
	}
	return 0;
}

/* --- words to texts --- */

/* A word that looks like a misspelt "key=" stops a text too, so that it is asked about. */
static bool ends_text(const struct parse *parse, const struct args_word *word)
{
	if (word->key == NULL)
		return false;
	return known(parse->command, word->key, word->key_len) ||
	       nearest(parse->command, word->key, word->key_len) != NULL;
}

/* From a value's start to before the next "key=". */
static char *take_text(struct parse *parse, size_t *at, const char *start)
{
	const char *end = parse->words[*at].end;

	while (*at + 1 < parse->n && !ends_text(parse, &parse->words[*at + 1]))
		end = parse->words[++*at].end;
	return xstrndup(start, (size_t)(end - start));
}

static void give(struct parse *parse, size_t i, size_t *at)
{
	const struct args_word *word = &parse->words[*at];
	const struct param *param = &parse->command->params[i];

	parse->used++;
	parse->seen[i] = true;
	if (param->type == PARAM_TEXT && word->quote == 0)
		parse->texts[i] = take_text(parse, at, word->value);
	else
		parse->texts[i] = args_word_value(word);
}

static void on_keyed(struct parse *parse, size_t *at)
{
	const struct args_word *word = &parse->words[*at];
	size_t i = find(parse->command, word->key, word->key_len);
	const struct param *param = &parse->command->params[i];
	bool empty = word->quote == 0 && word->value == word->end;
	char sample[ARGS_SAMPLE_LEN];

	if (i == parse->command->n_params) {
		if (parse->problems != NULL)
			unknown(parse->command, word->key, word->key_len, parse->problems);
		return;
	}
	if (parse->seen[i]) {
		COMPLAIN(parse, param->name, "%s is given more than once", param->name);
		return;
	}
	if (!empty) {
		give(parse, i, at);
		return;
	}
	if (*at + 1 < parse->n && parse->words[*at + 1].key == NULL) { /* count= 5 */
		slip(parse, i, "without a space after \"=\"");
		++*at;
		return;
	}
	parse->seen[i] = true;
	args_sample(parse->command, param, sample);
	COMPLAIN(parse, param->name, "%s has no value; write it like %s%s", param->name, sample,
		 param->optional ? " or leave it out" : "");
}

static void on_positional(struct parse *parse, size_t *at)
{
	const struct args_word *word = &parse->words[*at];
	const struct command *command = parse->command;
	char shown[ARGS_SHOWN_LEN];

	for (size_t i = 0; i < command->n_params; i++) {
		const struct param *param = &command->params[i];

		if (param->optional || param->fallback != NULL || param->secret ||
		    parse->named[i] || parse->seen[i])
			continue;
		give(parse, i, at);
		return;
	}
	args_shown_word(word->start, (size_t)(word->end - word->start), shown);
	COMPLAIN(parse, NULL,
		 "What is \"%s\" for? Name it (key=value), or quote values with spaces", shown);
}

/* false: the rest cannot be understood. */
static bool on_word(struct parse *parse, size_t *at)
{
	const struct args_word *word = &parse->words[*at];
	char shown[ARGS_SHOWN_LEN];
	size_t used;

	args_shown_word(word->start, (size_t)(word->end - word->start), shown);
	if (word->unclosed) {
		COMPLAIN(parse, NULL,
			 "The quote %c of %s is not closed; close it, or leave quotes out",
			 word->quote, shown);
		return false;
	}
	if (word->tail) {
		COMPLAIN(parse, NULL, "After the closing quote of %s comes a space", shown);
		return true;
	}
	used = other_syntax(parse, *at);
	if (used > 0) {
		*at += used - 1;
		return true;
	}
	if (*word->start == '=') {
		COMPLAIN(parse, NULL,
			 "Write key=value without spaces around \"=\" (you wrote \"%s\")", shown);
		return true;
	}
	if (word->key != NULL)
		on_keyed(parse, at);
	else
		on_positional(parse, at);
	if (parse->used <= ARGS_WORDS_MAX)
		return true;
	COMPLAIN(parse, NULL, "More than %d arguments", ARGS_WORDS_MAX);
	return false;
}

static void read_words(struct parse *parse)
{
	for (size_t at = 0; at < parse->n; at++)
		if (!on_word(parse, &at))
			return;
}

static bool size_is_sound(const char *text, struct args_problems *problems)
{
	size_t len = strlen(text), chars = 0;

	for (const char *p = text; *p != '\0'; p++)
		chars += ((unsigned char)*p & 0xc0) != 0x80;
	if (chars > ARGS_TEXT_MAX || len > (size_t)ARGS_TEXT_MAX * 4)
		args_problem(problems, NULL,
			     "The text may have at most %d characters, this one has %zu",
			     ARGS_TEXT_MAX, chars);
	else if (!str_utf8_valid(text, len))
		args_problem(problems, NULL, "The text holds bytes that are not UTF-8 text");
	else
		return true;
	return false;
}

/* --- texts to arguments --- */

static void missing(const struct command *command, const struct param *param,
		    struct args_problems *problems)
{
	char expected[ARGS_SHOWN_LEN], sample[ARGS_SAMPLE_LEN];

	args_describe(param, expected, sizeof(expected));
	args_sample(command, param, sample);
	args_problem(problems, param->name, "%s is missing: %s, like %s", param->name, expected,
		     param->secret ? "asked for in the form" : sample);
}

static json_t *take_values(const struct command *command, char *const *texts, const bool *seen,
			   struct args_problems *problems)
{
	json_t *args = json_object();

	for (size_t i = 0; i < command->n_params; i++) {
		const struct param *param = &command->params[i];
		json_t *value = NULL;

		if (texts[i] != NULL && args_value(command, param, texts[i], &value, problems))
			json_object_set_new(args, param->name, value);
		else if (!seen[i] && param->fallback != NULL)
			json_object_set(args, param->name, (json_t *)param->fallback);
	}
	if (json_object_get(args, "for") != NULL && json_object_get(args, "until") != NULL)
		args_problem(problems, "until", "Say either for or until when it shall last");
	return args;
}

/* Also says whether all that is wrong is absence. */
static json_t *finish(const struct command *command, char *const *texts, const bool *seen,
		      struct args_problems *problems)
{
	json_t *args = take_values(command, texts, seen, problems);
	size_t wrong = problems->n;

	for (size_t i = 0; i < command->n_params; i++) {
		const struct param *param = &command->params[i];

		if (!seen[i] && !param->optional && param->fallback == NULL)
			missing(command, param, problems);
	}
	if (problems->n == 0)
		return args;
	problems->missing_only = wrong == 0;
	json_decref(args);
	return NULL;
}

/* What is typed in a channel stays in Slack: a secret has its field in the form. */
static void refuse_secrets(struct parse *parse)
{
	for (size_t i = 0; i < parse->command->n_params; i++) {
		const struct param *param = &parse->command->params[i];

		if (!param->secret || parse->texts[i] == NULL)
			continue;
		free(parse->texts[i]);
		parse->texts[i] = NULL;
		args_problem(parse->problems, param->name,
			     "%s is secret: leave it out here, the form asks for it", param->name);
	}
}

static json_t *from_text(const struct command *command, const char *rest, bool whole,
			 struct args_problems *problems)
{
	struct parse parse = { .command = command, .problems = problems };
	json_t *args = NULL;

	assert(command->n_params <= ARGS_PARAMS_MAX);
	problems->n = 0;
	problems->missing_only = false;
	if (!size_is_sound(rest, problems))
		return NULL;
	split(&parse, rest);
	read_words(&parse);
	refuse_secrets(&parse);
	if (whole)
		args = finish(command, parse.texts, parse.seen, problems);
	else
		args = take_values(command, parse.texts, parse.seen, problems);
	parse_finish(&parse);
	if (problems->n == 0)
		return args;
	json_decref(args);
	return NULL;
}

json_t *args_from_text(const struct command *command, const char *rest,
		       struct args_problems *problems)
{
	return from_text(command, rest, true, problems);
}

json_t *args_given(const struct command *command, const char *rest, struct args_problems *problems)
{
	return from_text(command, rest, false, problems);
}

json_t *args_typed(const struct command *command, const char *rest)
{
	struct parse parse = { .command = command };
	struct args_problems size = { .n = 0 };
	json_t *typed = json_object();

	assert(command->n_params <= ARGS_PARAMS_MAX);
	if (!size_is_sound(rest, &size))
		return typed;
	split(&parse, rest);
	read_words(&parse);
	for (size_t i = 0; i < command->n_params; i++)
		if (parse.texts[i] != NULL && !command->params[i].secret)
			json_object_set_new(typed, command->params[i].name,
					    json_string(parse.texts[i]));
	parse_finish(&parse);
	return typed;
}

/* --- values of a form, stored arguments --- */

struct given {
	char *texts[ARGS_PARAMS_MAX];
	bool seen[ARGS_PARAMS_MAX];
};

static json_t *finish_given(const struct command *command, struct given *given,
			    struct args_problems *problems)
{
	json_t *args = finish(command, given->texts, given->seen, problems);

	for (size_t i = 0; i < ARGS_PARAMS_MAX; i++)
		free(given->texts[i]);
	return args;
}

static bool is_blank(const json_t *value)
{
	const char *text = json_string_value(value);

	return value == NULL || json_is_null(value) ||
	       (text != NULL && text[strspn(text, " \t\r\n")] == '\0');
}

static void refuse_unknown(const struct command *command, const json_t *values,
			   struct args_problems *problems)
{
	const char *key;
	json_t *value;

	problems->n = 0;
	problems->missing_only = false;
	json_object_foreach((json_t *)values, key, value)
	{
		if (command_param(command, key) == NULL)
			unknown(command, key, strlen(key), problems);
	}
}

json_t *args_from_values(const struct command *command, const json_t *values,
			 struct args_problems *problems)
{
	struct given given = { 0 };

	assert(command->n_params <= ARGS_PARAMS_MAX);
	refuse_unknown(command, values, problems);
	for (size_t i = 0; i < command->n_params; i++) {
		const struct param *param = &command->params[i];
		const json_t *value = json_object_get(values, param->name);

		if (is_blank(value))
			continue;
		given.seen[i] = true;
		if (json_is_string(value) || json_is_integer(value) || json_is_boolean(value))
			given.texts[i] = args_value_text(param, value);
		else
			args_problem(problems, param->name, "%s must be a text", param->name);
	}
	return finish_given(command, &given, problems);
}

static bool is_of_type(const struct param *param, const json_t *value)
{
	switch (param->type) {
	case PARAM_INTEGER:
	case PARAM_DURATION:
		return json_is_integer(value);
	case PARAM_BOOLEAN:
		return json_is_boolean(value);
	default:
		return json_is_string(value);
	}
}

json_t *args_from_json(const struct command *command, const json_t *typed,
		       struct args_problems *problems)
{
	struct given given = { 0 };

	assert(command->n_params <= ARGS_PARAMS_MAX);
	refuse_unknown(command, typed, problems);
	for (size_t i = 0; i < command->n_params; i++) {
		const struct param *param = &command->params[i];
		const json_t *value = json_object_get(typed, param->name);

		if (value == NULL || json_is_null(value))
			continue;
		given.seen[i] = true;
		if (is_of_type(param, value))
			given.texts[i] = args_value_text(param, value);
		else
			args_problem(problems, param->name, "%s is stored as another type",
				     param->name);
	}
	return finish_given(command, &given, problems);
}

/* --- what follows from arguments --- */

const char *args_guard(const struct command *command, const json_t *args, bool *ret_failed)
{
	*ret_failed = false;
	for (size_t i = 0; i < command->n_guards; i++) {
		const struct guard *guard = &command->guards[i];
		struct err err;
		bool bites = false;

		if (!expr_truth(guard->when, args, &bites, &err)) {
			*ret_failed = true;
			return NULL;
		}
		if (bites)
			return guard->deny;
	}
	return NULL;
}

static json_t *approval_json(const struct approval_rule *rule)
{
	json_t *json = json_pack("{s:I}", "need", (json_int_t)rule->need);

	if (rule->expires_s > 0)
		json_object_set_new(json, "expires_s", json_integer(rule->expires_s));
	if (rule->can_approve != NULL)
		json_object_set_new(json, "can_approve", json_string(rule->can_approve));
	if (rule->group != NULL)
		json_object_set_new(json, "group", json_string(rule->group));
	return json;
}

json_t *args_approvals(const struct command *command, const json_t *args, const json_t *plan,
		       struct err *err)
{
	json_t *input = json_copy((json_t *)args), *wanted = json_array();

	json_object_set_new(input, "plan",
			    plan != NULL ? json_incref((json_t *)plan) : json_object());
	for (size_t i = 0; i < command->n_approvals && wanted != NULL; i++) {
		const struct approval_rule *rule = &command->approvals[i];
		bool bites = true;

		if (rule->when != NULL && !expr_truth(rule->when, input, &bites, err)) {
			json_decref(wanted);
			wanted = NULL;
		} else if (bites) {
			json_array_append_new(wanted, approval_json(rule));
		}
	}
	json_decref(input);
	return wanted;
}

json_t *args_scope(const struct command *command, const json_t *args)
{
	return command->scope != NULL ? command_fill(command->scope, args) : json_object();
}

json_t *args_shown(const struct command *command, const json_t *args)
{
	json_t *shown = json_copy((json_t *)args);

	for (size_t i = 0; i < command->n_params; i++) {
		const struct param *param = &command->params[i];

		if (param->secret && json_object_get(shown, param->name) != NULL)
			json_object_set_new(shown, param->name, json_string("***"));
	}
	return shown;
}

char *args_text(const struct command *command, const json_t *args)
{
	struct buf buf;

	buf_init(&buf, (size_t)1024 * 1024);
	for (size_t i = 0; i < command->n_params; i++) {
		const struct param *param = &command->params[i];
		const json_t *value = json_object_get(args, param->name);
		char *text, *quoted;

		if (value == NULL || json_is_null(value))
			continue;
		text = param->secret ? xstrdup("***") : args_value_text(param, value);
		quoted = args_quote(text);
		buf_printf(&buf, "%s%s=%s", buf.len > 0 ? " " : "", param->name, quoted);
		free(quoted);
		free(text);
	}
	return buf_take(&buf);
}
