/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_explain.c - opsd explain PERSON ACTION [k=v …]: why somebody may or may not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/once.h"
#include "app/options.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "chat/words.h"
#include "store/audit.h"

struct explain_question {
	const char *person, *action;
	json_t *scope;
};

static struct call *ask(struct db *db, void *data,
			void (*answer)(void *data, const json_t *value, const struct err *err),
			void *answer_data)
{
	struct explain_question *question = data;

	return store_explain(db, question->person, question->action, question->scope, answer,
			     answer_data);
}

static int print(const json_t *value, bool json, void *data)
{
	struct explain_question *question = data;
	bool allowed = jget_bool(value, "allowed", false);
	char *what, *why;
	size_t i;
	json_t *grant;

	if (json) {
		char *text = json_text(value);

		(void)puts(text);
		free(text);
		return allowed ? APP_GOOD : APP_FINDING;
	}
	what = xasprintf("%s, %s", question->person, question->action);
	why = words_why(value, what);
	(void)puts(why);
	free(why);
	free(what);
	json_array_foreach(json_object_get(value, "grants"), i, grant)(void)
		printf("  %-28s %-7s %-32s %s\n", jget_str_or(grant, "key", ""),
		       jget_str_or(grant, "effect", ""), jget_str_or(grant, "via", ""),
		       jget_str_or(grant, "verdict", ""));
	return allowed ? APP_GOOD : APP_FINDING;
}

/* Numbers stay numbers: a scope may be a range. */
static json_t *value_of(const char *text)
{
	int64_t n;

	return str_to_i64(text, &n) ? json_integer(n) : json_string(text);
}

int cmd_explain(struct app_options *options)
{
	struct explain_question question = { .scope = json_object() };
	const struct once once = {
		.url_setting = "database.url", .ask = ask, .print = print, .data = &question
	};
	int code = APP_GOOD;

	if (options->argc < 2)
		code = app_fail(APP_USAGE,
				"explain PERSON ACTION [k=v …]; PERSON is an e-mail address");
	for (int i = 2; i < options->argc && code == APP_GOOD; i++) {
		char *word = xstrdup(options->argv[i]);
		char *equals = strchr(word, '=');

		if (equals == NULL) {
			code = app_fail(APP_USAGE, "\"%s\" is not of the form k=v", word);
		} else {
			*equals = '\0';
			json_object_set_new(question.scope, word, value_of(equals + 1));
		}
		free(word);
	}
	if (code == APP_GOOD) {
		question.person = options->argv[0];
		question.action = options->argv[1];
		code = once_run(options, &once);
	}
	json_decref(question.scope);
	return code;
}
