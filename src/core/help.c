/* SPDX-License-Identifier: Apache-2.0 */
/* help.c - the data of help texts, made of the declarations. */
#include "core/help.h"

#include <stdlib.h>

#include "args_internal.h"
#include "base/str.h"
#include "core/catalog.h"
#include "core/command.h"

static bool is_allowed(const struct command *command, const json_t *may)
{
	json_t *action;
	size_t i;

	if (!json_is_array(may)) /* null from the database: not known who that is */
		return true;
	json_array_foreach(may, i, action)
	{
		if (str_eq(json_string_value(action), command->action))
			return true;
	}
	return false;
}

static json_t *params_json(const struct command *command)
{
	json_t *params = json_array();

	for (size_t i = 0; i < command->n_params; i++) {
		const struct param *param = &command->params[i];
		char kind[ARGS_SHOWN_LEN];
		json_t *json;

		args_describe(param, kind, sizeof(kind));
		json = json_pack("{s:s, s:s, s:s, s:b}", "name", param->name, "about",
				 param->about != NULL ? param->about : "", "kind", kind, "optional",
				 param->optional || param->fallback != NULL);
		if (param->fallback != NULL) {
			char *text = args_value_text(param, param->fallback);

			json_object_set_new(json, "default", json_string(text));
			free(text);
		}
		json_array_append_new(params, json);
	}
	return params;
}

static json_t *command_json(const struct command *command, bool alone)
{
	char *usage = command_usage(command), *example = command_example(command);
	json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:i}", "title", command->title, "about",
				 command->about, "usage", usage, "example", example, "risk",
				 command->risk);

	if (alone)
		json_object_set_new(json, "params", params_json(command));
	free(usage);
	free(example);
	return json;
}

json_t *help_commands(const struct catalog *catalog, const char *topic, const json_t *may)
{
	json_t *commands = json_array();

	for (size_t i = 0; i < catalog_commands(catalog); i++) {
		const struct command *command = catalog_command(catalog, i);
		bool alone = str_eq(topic, command->title);

		if (topic != NULL && !alone && !str_eq(topic, command->prefix))
			continue;
		if (is_allowed(command, may))
			json_array_append_new(commands, command_json(command, alone));
	}
	return commands;
}
