/* SPDX-License-Identifier: Apache-2.0 */
/* opsd_resolve.c - says what came of a request whose outcome is unknown. */
#include <stdlib.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "core/own.h"
#include "internal.h"

static const struct action_param params[] = {
	{ "request", ACTION_TEXT, true, "the request whose outcome is unknown" },
	{ "happened", ACTION_BOOL, true, "whether its effect is there" },
	{ "reason", ACTION_TEXT, true, "how that is known" },
	{ NULL, ACTION_TEXT, false, NULL },
};

static const char *state_of(const json_t *with)
{
	return jget_bool(with, "happened", false) ? "succeeded" : "failed";
}

static struct call *ask(struct action_env *env, const struct action_run *run, const char *what,
			action_done_fn answered, action_done_fn done, void *data)
{
	struct act *act = act_new(sizeof(*act), env, run, done, data);
	const struct own_port *own = env_own(env);
	json_t *args =
		json_pack("{s:s, s:s, s:s}", "id", jget_str_or(run->with, "request", ""), "state",
			  state_of(run->with), "reason", jget_str_or(run->with, "reason", ""));

	if (own->ask == NULL) {
		json_decref(args);
		err_set(&act->err, ERR_INVALID, "There is no database here.");
		return act_fail(act);
	}
	act->inner = own->ask(own->ctx, what, run->request_id, args, answered, act);
	json_decref(args);
	return &act->call;
}

static void on_plan(void *data, const json_t *found, const struct err *err)
{
	struct act *act = data;
	const char *id = jget_str_or(act->run->with, "request", ""),
		   *state = jget_str(found, "state");
	char *field;
	json_t *plan;

	act->inner = NULL;
	if (err == NULL && !str_eq(state, "unknown")) {
		if (state == NULL)
			err_set(&act->err, ERR_INVALID, "There is no request %.40s.", id);
		else
			err_set(&act->err, ERR_INVALID, "%.40s is %s, not unknown.", id, state);
		err = &act->err;
	}
	if (err != NULL) {
		act_end_badly(act, err);
		return;
	}
	field = xasprintf("outcome of %s (%s)", jget_str_or(found, "command", "?"),
			  jget_str_or(found, "name", "?"));
	plan = json_pack("{s:{s:s, s:s}, s:[{s:s, s:s, s:s}], s:[], s:[]}", "target", "own",
			 "outcome", "name", id, "changes", "field", field, "from", "unknown", "to",
			 state_of(act->run->with), "owners", "warnings");
	free(field);
	act_end(act, plan);
}

static void on_resolved(void *data, const json_t *value, const struct err *err)
{
	struct act *act = data;

	act->inner = NULL;
	if (err == NULL && !jget_bool(value, "resolved", false)) {
		err_set(&act->err, ERR_INVALID, "Somebody has said already what came of it.");
		err = &act->err;
	}
	if (err != NULL)
		act_end_badly(act, err);
	else
		act_end(act, json_pack("{s:s, s:O}", "done", "said", "evidence", value));
}

static void on_look(void *data, const json_t *found, const struct err *err)
{
	struct act *act = data;
	bool done = jget_bool(found, "done", false);

	act->inner = NULL;
	if (err != NULL)
		act_end_badly(act, err);
	else
		act_end(act,
			json_pack("{s:s, s:s, s:O}", "state", done ? "done" : "not_done", "says",
				  done ? "It was said." : "It was not said.", "evidence", found));
}

static struct call *plan(struct action_env *env, const struct action_run *run, action_done_fn done,
			 void *data)
{
	return ask(env, run, "resolve.plan", on_plan, done, data);
}

static struct call *apply(struct action_env *env, const struct action_run *run, action_done_fn done,
			  void *data)
{
	return ask(env, run, "resolve", on_resolved, done, data);
}

static struct call *look(struct action_env *env, const struct action_run *run, action_done_fn done,
			 void *data)
{
	return ask(env, run, "resolve.look", on_look, done, data);
}

const struct action_kind action_opsd_resolve = {
	.name = "opsd.resolve",
	.about = "Says what came of a request whose outcome is unknown",
	.params = params,
	.effect = ACTION_CONDITIONAL,
	.plan = plan,
	.apply = apply,
	.look = look,
};
