/* SPDX-License-Identifier: Apache-2.0 */
/* form.c - modals and the home tab, from declarations. */
#include "chat/form.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/args.h"
#include "core/command.h"
#include "slack/blocks.h"

enum { OPTIONS_MAX = 100, HINT_MAX = 300 };

static char *hint_of(const struct param *param)
{
	switch (param->type) {
	case PARAM_INTEGER:
		return xasprintf("A whole number from %" PRId64 " to %" PRId64, param->min,
				 param->max);
	case PARAM_DURATION:
		return xstrdup("A length of time, like 90m, 2h or 1d");
	case PARAM_TIME:
		return xstrdup("A time, like 18:00");
	case PARAM_PERSON:
		return xstrdup("An e-mail address or @name");
	case PARAM_STRING:
	case PARAM_TEXT:
	case PARAM_ENUM:
	case PARAM_BOOLEAN:
		break;
	}
	return NULL;
}

static void put_input(struct blocks *blocks, const struct param *param, const char *initial)
{
	struct option options[OPTIONS_MAX];
	char *hint = hint_of(param);
	struct input input = {
		.name = param->name,
		.label = param->about != NULL ? param->about : param->name,
		.hint = hint,
		.initial = initial,
		.optional = param->optional || param->fallback != NULL,
		.multiline = param->type == PARAM_TEXT,
		.max_length =
			param->type == PARAM_TEXT && param->max > 0 ? (unsigned)param->max : 0,
		.number = param->type == PARAM_INTEGER,
		.checkbox = param->type == PARAM_BOOLEAN,
	};

	if (param->type == PARAM_ENUM) {
		size_t n = param->n_values < OPTIONS_MAX ? param->n_values : OPTIONS_MAX;

		for (size_t i = 0; i < n; i++)
			options[i] = (struct option){ .text = param->values[i],
						      .value = param->values[i] };
		input.options = options;
		input.n_options = n;
	}
	blocks_input(blocks, &input);
	free(hint);
}

json_t *form_view(const struct command *command, const json_t *values, const char *channel)
{
	struct blocks *blocks = blocks_create(BLOCKS_MODAL);
	json_t *meta = json_pack("{s:s, s:s*}", "c", command->title, "ch", channel);
	char *text = json_text(meta);
	json_t *view;

	blocks_plain(blocks, command->about);
	for (size_t i = 0; i < command->n_params; i++)
		put_input(blocks, &command->params[i], jget_str(values, command->params[i].name));
	view = blocks_modal(blocks, command->title, command->risk >= 2 ? "Preview" : "Run",
			    "command", text);
	json_decref(meta);
	free(text);
	return view;
}

json_t *form_meta(const char *private_metadata)
{
	struct err err;
	json_t *meta;

	if (private_metadata == NULL)
		return NULL;
	meta = json_parse(private_metadata, strlen(private_metadata), FORM_META_MAX, &err);
	if (jget_str(meta, "c") == NULL) {
		json_decref(meta);
		return NULL;
	}
	return meta;
}

char *form_errors(const struct command *command, const struct args_problems *problems)
{
	json_t *errors = json_object();
	json_t *answer;
	char *text;

	for (size_t i = 0; i < problems->n; i++) {
		const char *name = problems->items[i].param;

		/* A key that is no input of the view would make Slack show "trouble connecting". */
		if (name == NULL || command_param(command, name) == NULL)
			name = command->n_params > 0 ? command->params[0].name : NULL;
		if (name != NULL && json_object_get(errors, name) == NULL)
			json_object_set_new(errors, name, json_string(problems->items[i].text));
	}
	answer = json_pack("{s:s, s:o}", "response_action", "errors", "errors", errors);
	text = json_text(answer);
	json_decref(answer);
	return text;
}
