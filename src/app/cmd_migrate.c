/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_migrate.c - opsd migrate [--plan]: brings the database to this program's schema. */
#include <stdio.h>
#include <stdlib.h>

#include "app/once.h"
#include "app/options.h"
#include "base/str.h"
#include "store/migrate.h"

static struct call *ask(struct db *db, void *data,
			void (*answer)(void *data, const json_t *value, const struct err *err),
			void *answer_data)
{
	const bool *plan_only = data;

	return store_migrate_start(db, store_migrations, store_migrations_n, *plan_only, answer,
				   answer_data);
}

static void list(const json_t *value, const char *member, const char *verb)
{
	size_t i;
	json_t *name;

	json_array_foreach(json_object_get(value, member), i, name)
	{
		(void)printf("%-8s %s\n", verb, json_string_value(name));
	}
}

static int print(const json_t *value, bool json, void *data)
{
	const bool *plan_only = data;
	size_t pending = json_array_size(json_object_get(value, "pending"));

	if (json) {
		char *text = json_text(value);

		(void)puts(text);
		free(text);
	} else if (pending == 0) {
		(void)puts("The database is up to date.");
	} else if (*plan_only) {
		list(value, "pending", "pending");
	} else {
		list(value, "done", "applied");
	}
	return *plan_only && pending > 0 ? APP_FINDING : APP_GOOD;
}

int cmd_migrate(struct app_options *options)
{
	bool plan_only = options->argc == 1 && str_eq(options->argv[0], "--plan");
	const struct once once = {
		.url_setting = "database.owner_url", .ask = ask, .print = print, .data = &plan_only
	};

	if (options->argc > 0 && !plan_only)
		return app_fail(APP_USAGE, "migrate [--plan]");
	return once_run(options, &once);
}
