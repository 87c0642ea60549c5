/* SPDX-License-Identifier: Apache-2.0 */
/*
 * driver - one step of an action kind on a cluster, for the Python tests: the configuration's
 * clusters as JSON in argv[1]; then a request a line on standard input, an answer a line on
 * standard output.
 *
 * request { "kind", "step": "plan"|"apply"|"look"|"revert"|"follow", "with", "plan"?, "since"?,
 * "id"? } or { "watch": of a progress, "id"? }: until all of it is known; answer  { "result" } or {
 * "error", "says" }
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "action/env.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "core/action.h"
#include "net/http.h"

enum { LINE_MAX_BYTES = 1 << 20, TIMEOUT_MS = 15000 };

struct step {
	bool done;
};

static void say(json_t *answer)
{
	(void)json_dumpf(answer, stdout, JSON_COMPACT);
	(void)fputc('\n', stdout);
	(void)fflush(stdout);
	json_decref(answer);
}

static void on_result(void *data, const json_t *result, const struct err *err)
{
	struct step *step = data;

	step->done = true;
	if (err != NULL)
		say(json_pack("{s:s, s:s}", "error", err_kind_name(err->kind), "says", err->msg));
	else
		say(json_pack("{s:O}", "result", result));
}

static action_fn step_of(const struct action_kind *kind, const char *name)
{
	if (str_eq(name, "plan"))
		return kind->plan;
	if (str_eq(name, "apply"))
		return kind->apply;
	if (str_eq(name, "look"))
		return kind->look;
	if (str_eq(name, "revert"))
		return kind->revert;
	return str_eq(name, "follow") ? kind->follow : NULL;
}

static const struct action_kind *kind_of(const char *name)
{
	for (size_t i = 0; action_kinds[i] != NULL; i++)
		if (str_eq(action_kinds[i]->name, name))
			return action_kinds[i];
	return NULL;
}

static void run(uv_loop_t *loop, struct action_env *env, const json_t *request)
{
	const struct action_kind *kind = kind_of(jget_str(request, "kind"));
	action_fn fn = kind == NULL ? NULL : step_of(kind, jget_str(request, "step"));
	struct action_run run = { .request_id = jget_str_or(request, "id", "R1KH2M8Q4ZT7WX0A"),
				  .with = json_object_get(request, "with"),
				  .args = json_object_get(request, "with"),
				  .plan = json_object_get(request, "plan"),
				  .since = json_object_get(request, "since"),
				  .asked = true,
				  .timeout_ms = TIMEOUT_MS };
	struct step step = { .done = false };

	/* A read has no other step. */
	if (fn == NULL || (action_effect_of(kind, run.with) == ACTION_READ && fn != kind->apply)) {
		say(json_pack("{s:s, s:s}", "error", "none", "says", "no such step"));
		return;
	}
	uv_update_time(loop); /* it stood still while nothing was asked */
	(void)fn(env, &run, on_result, &step);
	while (!step.done)
		(void)uv_run(loop, UV_RUN_ONCE);
}

struct watched {
	bool in_step, over;
};

static void on_news(void *data, bool in_step)
{
	((struct watched *)data)->in_step = in_step;
}

static void on_watch_over(void *data, const struct err *err)
{
	((struct watched *)data)->over = true;
	say(json_pack("{s:s, s:s}", "error", err_kind_name(err->kind), "says", err->msg));
}

static void watch(uv_loop_t *loop, struct action_env *env, const json_t *request)
{
	struct watched watched = { .in_step = false };
	struct call *call;

	uv_update_time(loop);
	call = action_env_watch(env, json_object_get(request, "watch"),
				jget_str_or(request, "id", "R1KH2M8Q4ZT7WX0A"), on_news,
				on_watch_over, &watched);
	while (!watched.over && !watched.in_step)
		(void)uv_run(loop, UV_RUN_ONCE);
	if (watched.over)
		return;
	call_cancel(&call);
	say(json_pack("{s:{s:b}}", "result", "in_step", 1));
}

int main(int argc, char **argv)
{
	static char line[LINE_MAX_BYTES];
	json_t *clusters = argc > 1 ? json_loads(argv[1], 0, NULL) : NULL;
	json_t *apis = json_object();
	struct action_env *env;
	struct diags diags;
	uv_loop_t loop;

	http_library_init();
	(void)uv_loop_init(&loop);
	diags_init(&diags);
	env = action_env_create(&loop, clusters, apis, "", &diags);
	if (env == NULL) {
		(void)fprintf(stderr, "%s\n", diag_text(&diags.items[0]));
		return 3;
	}
	while (fgets(line, sizeof(line), stdin) != NULL) {
		json_t *request = json_loads(line, 0, NULL);

		if (json_object_get(request, "watch") != NULL)
			watch(&loop, env, request);
		else
			run(&loop, env, request);
		json_decref(request);
	}
	action_env_destroy(env);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	if (uv_loop_close(&loop) != 0)
		return 4;
	diags_finish(&diags);
	json_decref(clusters);
	json_decref(apis);
	http_library_finish();
	return 0;
}
