/* SPDX-License-Identifier: Apache-2.0 */
/* intake_form.c - buttons that open a command's form; nothing is asked for until it is sent. */
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "chat/form.h"
#include "core/catalog.h"
#include "intake_internal.h"
#include "slack/envelope.h"

enum { VALUE_MAX = 4000 };

#define NO_FORM "The form could not be opened. Use the slash command."

static void open_form(struct intake *intake, const struct envelope *env, struct slack_via via)
{
	const struct command *command = catalog_find_title(intake->catalog, env->value);

	intake_ack(intake, via, env->id, NULL);
	if (command != NULL && env->trigger_id != NULL)
		intake_open(intake, env, form_view(command, NULL, env->channel), NO_FORM);
}

/* What lasts instead: its form, filled in. */
static void open_lever(struct intake *intake, const struct envelope *env, struct slack_via via)
{
	struct err err;
	json_t *value = env->value != NULL
				? json_parse(env->value, strlen(env->value), VALUE_MAX, &err)
				: NULL;
	const struct command *command =
		catalog_find_title(intake->catalog, jget_str(value, "command"));

	if (command == NULL || env->trigger_id == NULL) {
		intake_ack_note(intake, env, via,
				"This button belongs to a command that has changed. Ask again.");
	} else {
		intake_ack(intake, via, env->id, NULL);
		intake_open(intake, env,
			    form_view(command, json_object_get(value, "values"), env->channel),
			    NO_FORM);
	}
	json_decref(value);
}

bool intake_form_click(struct intake *intake, const struct envelope *env, struct slack_via via)
{
	if (str_eq(env->action_id, "open_form"))
		open_form(intake, env, via);
	else if (env->action_id != NULL && str_starts(env->action_id, "lever"))
		open_lever(intake, env, via);
	else
		return false;
	return true;
}
