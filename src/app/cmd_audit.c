/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_audit.c - opsd audit list: search the log from a terminal. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/once.h"
#include "app/options.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "store/audit.h"

enum { LIMIT_DEFAULT = 50, LIMIT_MAX = 10000 };

struct audit_question {
	json_t *filter;
	unsigned limit;
};

static struct call *ask(struct db *db, void *data,
			void (*answer)(void *data, const json_t *value, const struct err *err),
			void *answer_data)
{
	struct audit_question *question = data;

	return store_audit_list(db, question->filter, question->limit, answer, answer_data);
}

static int print(const json_t *value, bool json, void *data)
{
	size_t i;
	json_t *entry;

	(void)data;
	json_array_foreach(value, i, entry)
	{
		char *text = json_text(entry);

		if (json)
			(void)puts(text);
		else
			(void)printf(
				"%s  %-16s %-22s %-8s %s\n", jget_str_or(entry, "at", ""),
				jget_str_or(entry, "request", ""), jget_str_or(entry, "action", ""),
				jget_str_or(entry, "outcome", ""), jget_str_or(entry, "actor", ""));
		free(text);
	}
	return APP_GOOD;
}

static bool take_word(struct audit_question *question, const char *word)
{
	static const char *const names[] = { "request", "person", "action", "outcome", "since" };
	const char *equals = strchr(word, '=');
	int64_t limit;

	if (str_starts(word, "limit=")) {
		if (!str_to_i64(word + strlen("limit="), &limit) || limit < 1 || limit > LIMIT_MAX)
			return false;
		question->limit = (unsigned)limit;
		return true;
	}
	for (size_t i = 0; equals != NULL && i < sizeof(names) / sizeof(names[0]); i++) {
		if (strlen(names[i]) == (size_t)(equals - word) && str_starts(word, names[i])) {
			json_object_set_new(question->filter, names[i], json_string(equals + 1));
			return true;
		}
	}
	return false;
}

int cmd_audit(struct app_options *options)
{
	struct audit_question question = { .filter = json_object(), .limit = LIMIT_DEFAULT };
	const struct once once = {
		.url_setting = "database.url", .ask = ask, .print = print, .data = &question
	};
	int code = APP_GOOD;

	if (options->argc < 1 || !str_eq(options->argv[0], "list"))
		code = app_fail(
			APP_USAGE,
			"audit list [request=… person=… action=… outcome=… since=…] [limit=N]");
	for (int i = 1; i < options->argc && code == APP_GOOD; i++)
		if (!take_word(&question, options->argv[i]))
			code = app_fail(APP_USAGE, "\"%s\" is no filter of audit list",
					options->argv[i]);
	if (code == APP_GOOD)
		code = once_run(options, &once);
	json_decref(question.filter);
	return code;
}
