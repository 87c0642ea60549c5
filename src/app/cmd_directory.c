/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_directory.c - opsd directory held|release: addresses in quarantine, as the owner of the
 * database. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/once.h"
#include "app/options.h"
#include "base/str.h"
#include "store/sync.h"

static const char usage[] = "directory held; directory release ADDRESS reason=WHY";

struct releasing {
	const char *address; /* NULL: list them */
	const char *reason;
};

/* clang-format off */
static const struct {
	const char *code, *sentence;
} refusals[] = {
	{ "not_held",	      "is not in quarantine: opsd directory held lists what is" },
	{ "released_already", "was released before" },
	{ "disputed",	      "is listed for several people at once: repair the source" },
	{ "gone",	      "would be that of somebody who is gone: leave it" },
	{ "busy",	      "was not released: a sync is under way, try again in a minute" },
};
/* clang-format on */

static struct call *ask(struct db *db, void *data,
			void (*answer)(void *data, const json_t *value, const struct err *err),
			void *answer_data)
{
	const struct releasing *releasing = data;

	if (releasing->address == NULL)
		return store_held(db, answer, answer_data);
	return store_release_address(db, releasing->address, releasing->reason, answer,
				     answer_data);
}

static void print_held(const json_t *held)
{
	size_t i;
	json_t *row;

	json_array_foreach(held, i, row)
	{
		(void)printf("%s, since %s, %s: was that of %s (%s, %s)",
			     jget_str_or(row, "address", "?"), jget_str_or(row, "since", "?"),
			     jget_str_or(row, "source", "?"), jget_str_or(row, "was", "?"),
			     jget_str_or(row, "was_id", "?"), jget_str_or(row, "was_state", "?"));
		if (jget_str(row, "new_id") != NULL)
			(void)printf(", is now that of %s (%s, %s)\n", jget_str_or(row, "new", "?"),
				     jget_str(row, "new_id"), jget_str_or(row, "new_state", "?"));
		else
			(void)puts(", is now listed for several people");
	}
	(void)printf("%zu in quarantine\n", json_array_size(held));
}

static int print_release(const json_t *value)
{
	const char *code = jget_str_or(value, "code", ""), *by = jget_str(value, "by");

	if (str_eq(code, "released")) {
		(void)printf("%s is that of %s (%s) from now on.\n", jget_str(value, "address"),
			     jget_str_or(value, "new", "?"), jget_str_or(value, "new_id", "?"));
		return APP_GOOD;
	}
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
		if (str_eq(refusals[i].code, code))
			(void)printf("%s %s%s%s\n", jget_str_or(value, "address", "?"),
				     refusals[i].sentence, by != NULL ? ", by " : "",
				     by != NULL ? by : "");
	return APP_FINDING;
}

static int print(const json_t *value, bool json, void *data)
{
	const struct releasing *releasing = data;
	char *text;

	if (!json && releasing->address == NULL) {
		print_held(value);
		return APP_GOOD;
	}
	if (!json)
		return print_release(value);
	text = json_text(value);
	(void)puts(text);
	free(text);
	return releasing->address == NULL || str_eq(jget_str(value, "code"), "released")
		       ? APP_GOOD
		       : APP_FINDING;
}

int cmd_directory(struct app_options *options)
{
	struct releasing releasing = { .address = NULL };
	const struct once once = {
		.url_setting = "database.owner_url", .ask = ask, .print = print, .data = &releasing
	};
	const char *what = options->argc > 0 ? options->argv[0] : "";
	bool list = str_eq(what, "held") && options->argc == 1;

	if (!list && (!str_eq(what, "release") || options->argc < 2))
		return app_fail(APP_USAGE, "%s", usage);
	if (!list)
		releasing.address = options->argv[1];
	for (int i = 2; i < options->argc; i++) {
		if (!str_starts(options->argv[i], "reason="))
			return app_fail(APP_USAGE, "%s", usage);
		releasing.reason = options->argv[i] + strlen("reason=");
	}
	if (!list && str_empty(releasing.reason))
		return app_fail(APP_USAGE, "say why: reason=\"the first Ana left in May\"");
	return once_run(options, &once);
}
