/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_freeze.c - opsd freeze, opsd unfreeze: stopping changes without Slack, as an operator. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/once.h"
#include "app/options.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "chat/words.h"
#include "store/hold.h"

enum { HOURS_MAX = 24 * 366 };

struct holding {
	json_t *what;
	char *reason;
	const char *id;
	int64_t hours;
	enum { HOLD_LIST, HOLD_FREEZE, HOLD_UNFREEZE } verb;
};

static struct call *ask(struct db *db, void *data,
			void (*answer)(void *data, const json_t *value, const struct err *err),
			void *answer_data)
{
	struct holding *holding = data;

	switch (holding->verb) {
	case HOLD_FREEZE:
		return store_freeze(db, holding->what, holding->reason, holding->hours * 3600,
				    answer, answer_data);
	case HOLD_UNFREEZE:
		return store_unfreeze(db, holding->id, holding->reason, answer, answer_data);
	case HOLD_LIST:
		break;
	}
	return store_freezes(db, answer, answer_data);
}

static void print_one(const json_t *freeze)
{
	char *text = words_frozen(freeze);

	(void)printf("%-16s %s\n", jget_str_or(freeze, "id", "?"), text);
	free(text);
}

static int print(const json_t *value, bool json, void *data)
{
	struct holding *holding = data;
	json_t *freeze;
	size_t i;

	if (json) {
		char *text = json_text(value);

		(void)puts(text);
		free(text);
	} else if (json_is_object(value)) {
		print_one(value);
	} else {
		json_array_foreach(value, i, freeze) print_one(freeze);
		(void)printf("%zu %s\n", json_array_size(value),
			     holding->verb == HOLD_UNFREEZE ? "lifted" : "in force");
	}
	return holding->verb == HOLD_UNFREEZE && json_array_size(value) == 0 ? APP_FINDING
									     : APP_GOOD;
}

/* "k=v"; the first word without "=" is the id of unfreeze. */
static bool take_word(struct holding *holding, const char *word)
{
	const char *equals = strchr(word, '=');
	size_t len = equals != NULL ? (size_t)(equals - word) : 0;
	char *name;

	if (equals == NULL) {
		if (holding->verb != HOLD_UNFREEZE || holding->id != NULL)
			return false;
		holding->id = word;
		return true;
	}
	if (len == strlen("reason") && strncmp(word, "reason", len) == 0) {
		free(holding->reason);
		holding->reason = xstrdup(equals + 1);
		return true;
	}
	if (holding->verb == HOLD_UNFREEZE)
		return false;
	if (len == strlen("hours") && strncmp(word, "hours", len) == 0)
		return str_to_i64(equals + 1, &holding->hours) && holding->hours > 0 &&
		       holding->hours <= HOURS_MAX;
	name = xstrndup(word, len);
	json_object_set_new(holding->what, name, json_string(equals + 1));
	free(name);
	return len > 0 && equals[1] != '\0';
}

static int run(struct app_options *options, struct holding *holding)
{
	const struct once once = {
		.url_setting = "database.grants_url", .ask = ask, .print = print, .data = holding
	};
	int code = APP_GOOD;

	holding->what = json_object();
	if (holding->verb == HOLD_FREEZE && options->argc == 1 && str_eq(options->argv[0], "list"))
		holding->verb = HOLD_LIST;
	for (int i = 0; holding->verb != HOLD_LIST && i < options->argc && code == APP_GOOD; i++)
		if (!take_word(holding, options->argv[i]))
			code = app_fail(APP_USAGE, "\"%s\" is not understood; opsd --help",
					options->argv[i]);
	if (code == APP_GOOD && holding->verb != HOLD_LIST && str_empty(holding->reason))
		code = app_fail(APP_USAGE, "say why: reason=\"incident 7\"");
	if (code == APP_GOOD)
		code = once_run(options, &once);
	json_decref(holding->what);
	free(holding->reason);
	return code;
}

int cmd_freeze(struct app_options *options)
{
	struct holding holding = { .verb = HOLD_FREEZE };

	return run(options, &holding);
}

int cmd_unfreeze(struct app_options *options)
{
	struct holding holding = { .verb = HOLD_UNFREEZE };

	return run(options, &holding);
}
