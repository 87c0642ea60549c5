/* SPDX-License-Identifier: Apache-2.0 */
/* check_policy.c - opsd check --policy: whether enough people could approve what needs it. */
#include <stdlib.h>

#include "app/check.h"
#include "app/config.h"
#include "base/err.h"
#include "base/secret.h"
#include "core/catalog.h"
#include "core/command.h"
#include "net/db.h"
#include "net/loop.h"
#include "store/audit.h"

struct asking {
	uv_loop_t loop;
	json_t *value;
	struct err err;
};

static json_t *rules_of(const struct catalog *catalog)
{
	json_t *rules = json_array();

	for (size_t i = 0; i < catalog_commands(catalog); i++) {
		const struct command *command = catalog_command(catalog, i);

		for (size_t j = 0; j < command->n_approvals; j++) {
			const struct approval_rule *rule = &command->approvals[j];

			json_array_append_new(
				rules,
				json_pack("{s:s, s:s, s:i, s:I, s:s*, s:s*}", "command",
					  command->title, "action", command->action, "risk",
					  command->risk, "need", (json_int_t)rule->need,
					  "can_approve", rule->can_approve, "group", rule->group));
		}
	}
	return rules;
}

static void on_answer(void *data, const json_t *value, const struct err *err)
{
	struct asking *asking = data;

	if (err != NULL)
		asking->err = *err;
	else
		asking->value = json_incref((json_t *)(uintptr_t)value);
	uv_stop(&asking->loop);
}

static void report(struct check *check, const json_t *found, size_t n_rules)
{
	size_t i;
	json_t *row;

	json_array_foreach(found, i, row)
	{
		const char *unread =
			json_string_value(json_array_get(json_object_get(row, "unread"), 0));

		check_line(check, false, "approvals",
			   "%s %s: %d would have to approve and %d could; %s (%d in all) could ask "
			   "and never be approved. %s%s%s",
			   jget_str_or(row, "command", "?"), jget_str_or(row, "scope", ""),
			   (int)jget_int(row, "need", 0), (int)jget_int(row, "have", 0),
			   jget_str_or(row, "example", "somebody"),
			   (int)jget_int(row, "requesters", 0),
			   unread != NULL ? "Nobody knows yet who is in " : "",
			   unread != NULL ? unread : "Give more people a grant to approve it.",
			   unread != NULL ? ": run `opsd sync`." : "");
	}
	if (json_array_size(found) == 0)
		check_line(check, true, "approvals",
			   "%zu rules; everybody who may ask could be approved", n_rules);
}

void check_policy(struct check *check, const struct config *config, const struct catalog *catalog)
{
	struct asking asking = { .err = { .kind = ERR_NONE } };
	json_t *rules = rules_of(catalog);
	char *url = config_secret(config, "database.url", &asking.err);
	struct db_config db_config = { .name = "check", .url = url, .connections = 1 };
	struct db *db;

	if (json_array_size(rules) > 0 && !config_has(config, "slack.approval_channel"))
		check_line(check, false, "slack.approval_channel",
			   "commands need approval, but no channel for cards is set");
	if (url != NULL) {
		loop_init(&asking.loop);
		db = db_create(&asking.loop, &db_config);
		(void)store_deadlocks(db, rules, on_answer, &asking);
		uv_run(&asking.loop, UV_RUN_DEFAULT);
		db_destroy(db);
		loop_finish(&asking.loop);
	}
	if (asking.value == NULL)
		check_line(check, false, "approvals", "%s", asking.err.msg);
	else
		report(check, asking.value, json_array_size(rules));
	json_decref(asking.value);
	json_decref(rules);
	secret_free(url);
}
