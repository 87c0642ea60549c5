/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_task.c - a long operation of an API: begun by a call, then asked for by its id until it is
 * over.
 *
 * It is begun like any other call (http_call.c), with the same classes of repetition.  What its
 * answers mean is said by expressions of the declaration.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "http_ask.h"

enum { ID_MAX = 200, SAYS_MAX = 300, RESULT_MAX = 2500, AGAIN_MS = 2000 };

#define ID_EXPR ".answer.id"
#define STATE_EXPR                                                                                 \
	"if .answer.state == \"succeeded\" then \"done\" elif .answer.state == \"failed\" or "     \
	".answer.state == \"cancelled\" then \"failed\" else \"going\" end"

static const struct action_param params[] = {
	{ "api", ACTION_TEXT, true, "an API of the configuration" },
	{ "path", ACTION_TEXT, true, "where it is begun by a POST, like /tasks" },
	{ "query", ACTION_OBJECT, false, "empty values are left out" },
	{ "body", ACTION_OBJECT, false, "sent as JSON" },
	{ "retry", ACTION_TEXT, false, "safe, idempotent or never (the default)" },
	{ "done", ACTION_EXPR, false,
	  "what to say of a good answer, like \"task \\(.answer.id)\"" },
	{ "id", ACTION_EXPR, false, "the task's id; " ID_EXPR " by default" },
	{ "task_path", ACTION_TEXT, true, "where tasks are asked for; /ID is added to it" },
	{ "state", ACTION_EXPR, false,
	  "of a task: \"going\", \"done\" or \"failed\"; from .answer.state by default" },
	{ "percent", ACTION_EXPR, false, "of a task: how far it is, 0 to 100" },
	{ "says", ACTION_EXPR, false, "of a task: a sentence about it; its state by default" },
	{ "result", ACTION_EXPR, false, "of a task that is over: a text for the requester alone" },
	{ "look_path", ACTION_TEXT, false, "asked by GET after an unclear end" },
	{ "look_done", ACTION_EXPR, false, "of its answer: true when it happened, false when not" },
	{ NULL, ACTION_TEXT, false, NULL },
};

json_t *http_task_id(const struct action_run *run, const json_t *answer)
{
	struct err ignored;
	json_t *id;

	if (jget_str(run->with, "task_path") == NULL)
		return NULL;
	id = http_shape(jget_str_or(run->with, "id", ID_EXPR), run->args, answer, &ignored);
	if (json_is_integer(id)) {
		char *text = xasprintf("%" JSON_INTEGER_FORMAT, json_integer_value(id));

		json_decref(id);
		id = json_string(text);
		free(text);
	}
	if (json_is_string(id) && json_string_length(id) > 0 && json_string_length(id) <= ID_MAX)
		return id;
	json_decref(id);
	return NULL;
}

/* --- follow --- */

/* A text of at most max characters; NULL when the declaration says none.  The caller frees. */
static char *text_of(const struct action_run *run, const char *param, const json_t *answer,
		     size_t max)
{
	const char *source = jget_str(run->with, param);
	struct err ignored;
	json_t *value = source != NULL ? http_shape(source, run->args, answer, &ignored) : NULL;
	char *text = NULL;

	if (json_is_string(value))
		text = xstrndup(json_string_value(value),
				str_utf16_prefix(json_string_value(value), max));
	json_decref(value);
	return text;
}

static int64_t percent_of(const struct action_run *run, const json_t *answer)
{
	const char *source = jget_str(run->with, "percent");
	struct err ignored;
	json_t *value = source != NULL ? http_shape(source, run->args, answer, &ignored) : NULL;
	double n = json_is_number(value) ? json_number_value(value) : -1;

	json_decref(value);
	return n >= 0 && n <= 100 ? (int64_t)n : -1;
}

static json_t *progress_of(const struct action_run *run, const json_t *answer, struct err *err)
{
	json_t *state =
		http_shape(jget_str_or(run->with, "state", STATE_EXPR), run->args, answer, err);
	const char *name = json_string_value(state);
	bool over = str_eq(name, "done") || str_eq(name, "failed");
	char *says = text_of(run, "says", answer, SAYS_MAX);
	char *result = over ? text_of(run, "result", answer, RESULT_MAX) : NULL;
	int64_t percent = over ? -1 : percent_of(run, answer);
	json_t *progress = NULL;

	if (over || str_eq(name, "going"))
		progress = json_pack("{s:s, s:s, s:s*, s:b, s:i, s:{s:O*}}", "state", name, "says",
				     says != NULL ? says : name, "text", result, "final", 1,
				     "again_ms", AGAIN_MS, "keep", "task",
				     jget(run->since, "keep.task"));
	else if (state != NULL)
		err_set(err, ERR_INVALID, "its state is neither going nor done nor failed");
	if (progress != NULL && percent >= 0) {
		json_object_set_new(progress, "have", json_integer(percent));
		json_object_set_new(progress, "of", json_integer(100));
	}
	json_decref(state);
	free(says);
	free(result);
	return progress;
}

static const char *task_of(const struct action_run *run)
{
	const char *kept = jget_str(run->since, "keep.task");

	return kept != NULL ? kept : jget_str(run->since, "evidence.task");
}

static void on_task(void *data, int status, const json_t *answer, const struct err *err)
{
	struct act *act = data;
	const struct action_run *run = act->run;
	json_t *progress;
	struct err own;

	act->inner = NULL;
	if (err != NULL && status == 404) {
		act_end(act, json_pack("{s:s, s:s, s:b}", "state", "failed", "says",
				       "the API does not know this task any more", "final", 1));
		return;
	}
	if (err != NULL) {
		act_end_badly(act, err);
		return;
	}
	progress = progress_of(run, answer, &own);
	if (progress == NULL) {
		act_end_badly(act, &own);
		return;
	}
	json_object_set_new(json_object_get(progress, "keep"), "task", json_string(task_of(run)));
	act_end(act, progress);
}

static void on_no_task(void *data)
{
	act_end(data, json_pack("{s:s, s:s}", "state", "superseded", "says",
				"the API's answer named no task to follow"));
}

static struct call *follow_task(struct action_env *env, const struct action_run *run,
				action_done_fn done, void *data)
{
	struct act *act = act_new(sizeof(*act), env, run, done, data);
	struct http_ask want = { .api = env_api(env, jget_str_or(run->with, "api", "")),
				 .method = "GET",
				 .timeout_ms = run->timeout_ms };
	const char *id = task_of(run);
	char *path;

	if (want.api == NULL) {
		err_set(&act->err, ERR_INVALID, "there is no API \"%.80s\" in the configuration",
			jget_str_or(run->with, "api", ""));
		return act_fail(act);
	}
	if (id == NULL || strchr(id, '/') != NULL || str_eq(id, ".") || str_eq(id, "..")) {
		act->inner = call_defer(env_loop(env), on_no_task, act);
		return &act->call;
	}
	path = xasprintf("%s/%s", jget_str_or(run->with, "task_path", ""), id);
	want.path = path;
	act->inner = http_ask_start(env, &want, on_task, act);
	free(path);
	return &act->call;
}

static bool check_task(const json_t *with, const struct action_env *env, const char **ret_param,
		       struct err *err)
{
	const char *path = jget_str_or(with, "task_path", "");

	if (!http_call_check(with, env, ret_param, err))
		return false;
	*ret_param = "task_path";
	err_set(err, ERR_INVALID, "must begin with /, not end with it, and hold no ? or #");
	return path[0] == '/' && !str_ends(path, "/") && strpbrk(path, "?#") == NULL;
}

const struct action_kind action_http_task = {
	.name = "http.task",
	.about = "Begin a long operation of an API and follow it to its end",
	.params = params,
	.secret = "body",
	.effect = ACTION_ONCE,
	.effect_of = http_call_effect,
	.check = check_task,
	.plan = http_call_plan,
	.apply = http_call_apply,
	.look = http_call_look,
	.follow = follow_task,
};
