/* SPDX-License-Identifier: Apache-2.0 */
/* act.c - the beginning and the end of a kind's call. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "core/command.h"
#include "internal.h"

enum { CELL_MAX = 200 };

static void act_free(struct act *act)
{
	if (act->finish != NULL)
		act->finish(act);
	free(act);
}

static void on_cancel(struct call *call)
{
	struct act *act = (struct act *)call;

	call_cancel(&act->inner);
	act_free(act);
}

struct act *act_new(size_t size, struct action_env *env, const struct action_run *run,
		    action_done_fn done, void *data)
{
	struct act *act = xcalloc(1, size);

	act->call.cancel = on_cancel;
	act->env = env;
	act->run = run;
	act->done = done;
	act->data = data;
	return act;
}

void act_end(struct act *act, json_t *result)
{
	act->inner = NULL;
	act->done(act->data, result, NULL);
	json_decref(result);
	act_free(act);
}

void act_end_badly(struct act *act, const struct err *err)
{
	struct err own = *err;

	act->inner = NULL;
	act->done(act->data, NULL, &own);
	act_free(act);
}

static void on_fail(void *data, const struct err *err)
{
	act_end_badly(data, err);
}

struct call *act_fail(struct act *act)
{
	act->inner = call_later(env_loop(act->env), &act->err, on_fail, act);
	return &act->call;
}

struct call *act_refuse(struct action_env *env, const struct action_run *run, const struct err *err,
			action_done_fn done, void *data)
{
	struct act *act = act_new(sizeof(*act), env, run, done, data);

	act->err = *err;
	return act_fail(act);
}

bool has_template(const char *text)
{
	const char *name;

	for (; text != NULL && *text != '\0'; text++)
		if (command_template(text, &name) > 0)
			return true;
	return false;
}

int64_t number_of(const json_t *value, int64_t fallback)
{
	int64_t n;

	if (json_is_integer(value))
		return json_integer_value(value);
	if (json_is_string(value) && str_to_i64(json_string_value(value), &n))
		return n;
	return fallback;
}

json_t *cell_of(const json_t *value)
{
	char *text, *cut;
	json_t *made;
	size_t len;

	if (value == NULL || json_is_null(value))
		return json_string("");
	if (json_is_string(value) && json_string_length(value) <= CELL_MAX)
		return json_incref((json_t *)(uintptr_t)value);
	text = json_is_string(value) ? xstrdup(json_string_value(value))
				     : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
	len = str_utf16_prefix(text, CELL_MAX);
	cut = xasprintf("%.*s%s", (int)len, text, text[len] != '\0' ? "…" : "");
	made = json_string(cut);
	free(text);
	free(cut);
	return made;
}
