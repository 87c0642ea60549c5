/* SPDX-License-Identifier: Apache-2.0 */
/* opsd_unfreeze.c - lifts a freeze. */
#include <stdlib.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/own.h"
#include "internal.h"

enum { TEXT_MAX = 1500 };

static const struct action_param params[] = {
	{ "freeze", ACTION_TEXT, false,
	  "the request that set it; without it the only one there is" },
	{ "reason", ACTION_TEXT, true, "why" },
	{ NULL, ACTION_TEXT, false, NULL },
};

static struct call *ask(struct act *act, const char *what, const json_t *args, action_done_fn done)
{
	const struct own_port *own = env_own(act->env);

	if (own->ask == NULL) {
		err_set(&act->err, ERR_INVALID, "There is no database here.");
		return act_fail(act);
	}
	act->inner = own->ask(own->ctx, what, act->run->request_id, args, done, act);
	return &act->call;
}

/* --- plan --- */

/* "R1 (team=ads, by Ann), R2 (everything, by Ben)" */
static char *names_of(const json_t *freezes)
{
	struct buf buf;
	json_t *freeze;
	size_t i;

	buf_init(&buf, TEXT_MAX);
	json_array_foreach(freezes, i, freeze)
	{
		char *what = own_what_text(json_object_get(freeze, "what"));

		buf_printf(&buf, "%s%s (%s, by %s)", i > 0 ? ", " : "",
			   jget_str_or(freeze, "id", "?"), what, jget_str_or(freeze, "by", "?"));
		free(what);
	}
	return buf_take(&buf);
}

/* The one that is meant; NULL with err unless there is none at all. */
static const json_t *pick(const json_t *freezes, const char *id, struct err *err)
{
	json_t *freeze, *found = NULL;
	char *names;
	size_t i, n = 0;

	json_array_foreach(freezes, i, freeze)
	{
		if (!str_empty(id) && !str_eq(jget_str(freeze, "id"), id))
			continue;
		found = freeze;
		n++;
	}
	if (n == 1 && !str_eq(jget_str(found, "id"), "read_only"))
		return found;
	if (json_array_size(freezes) == 0)
		return NULL;
	names = names_of(freezes);
	if (n == 1)
		err_set(err, ERR_INVALID,
			"The configuration keeps this freeze: take read_only out of it and start "
			"opsd again.");
	else
		err_set(err, ERR_INVALID, "%s: %.1400s. Say which, like freeze=%s.",
			n == 0 ? "There is no such freeze" : "There are several freezes", names,
			jget_str_or(json_array_get(freezes, 0), "id", "R…"));
	free(names);
	return NULL;
}

static void on_plan(void *data, const json_t *freezes, const struct err *err)
{
	struct act *act = data;
	const json_t *freeze;
	char *what, *from;
	json_t *plan;

	act->inner = NULL;
	if (err != NULL) {
		act_end_badly(act, err);
		return;
	}
	act->err.kind = ERR_NONE;
	freeze = pick(freezes, jget_str(act->run->with, "freeze"), &act->err);
	if (act->err.kind != ERR_NONE) {
		act_end_badly(act, &act->err);
		return;
	}
	if (freeze == NULL) {
		act_end(act,
			json_pack("{s:{s:s, s:s}, s:[], s:[], s:[]}", "target", "own", "freeze",
				  "name", "everything", "changes", "owners", "warnings"));
		return;
	}
	what = own_what_text(json_object_get(freeze, "what"));
	from = xasprintf("frozen by %s (%s)", jget_str_or(freeze, "by", "?"),
			 jget_str_or(freeze, "reason", "?"));
	plan = json_pack("{s:{s:s, s:s}, s:[{s:s, s:s, s:s}], s:[], s:[], s:{s:s}}", "target",
			 "own", "freeze", "name", what, "changes", "field", "changes", "from", from,
			 "to", "open", "owners", "warnings", "precondition", "uid",
			 jget_str_or(freeze, "id", ""));
	free(what);
	free(from);
	act_end(act, plan);
}

static struct call *plan(struct action_env *env, const struct action_run *run, action_done_fn done,
			 void *data)
{
	return ask(act_new(sizeof(struct act), env, run, done, data), "unfreeze.plan", NULL,
		   on_plan);
}

/* --- apply and look --- */

static void on_lifted(void *data, const json_t *value, const struct err *err)
{
	struct act *act = data;

	act->inner = NULL;
	if (err == NULL && !jget_bool(value, "lifted", false)) {
		err_set(&act->err, ERR_INVALID, "Somebody else has lifted it, or it has ended.");
		err = &act->err;
	}
	if (err != NULL)
		act_end_badly(act, err);
	else
		act_end(act, json_pack("{s:s, s:O}", "done", "lifted", "evidence", value));
}

static void on_look(void *data, const json_t *found, const struct err *err)
{
	struct act *act = data;
	bool gone = jget_bool(found, "done", false);

	act->inner = NULL;
	if (err != NULL)
		act_end_badly(act, err);
	else
		act_end(act,
			json_pack("{s:s, s:s, s:O}", "state", gone ? "done" : "not_done", "says",
				  gone ? "The freeze is lifted." : "The freeze is there.",
				  "evidence", found));
}

static struct call *about_it(struct action_env *env, const struct action_run *run, const char *what,
			     action_done_fn answered, action_done_fn done, void *data)
{
	struct act *act = act_new(sizeof(*act), env, run, done, data);
	json_t *args = json_pack("{s:s}", "id", jget_str_or(run->plan, "precondition.uid", ""));
	struct call *call = ask(act, what, args, answered);

	json_decref(args);
	return call;
}

static struct call *apply(struct action_env *env, const struct action_run *run, action_done_fn done,
			  void *data)
{
	return about_it(env, run, "unfreeze", on_lifted, done, data);
}

static struct call *look(struct action_env *env, const struct action_run *run, action_done_fn done,
			 void *data)
{
	return about_it(env, run, "unfreeze.look", on_look, done, data);
}

const struct action_kind action_opsd_unfreeze = {
	.name = "opsd.unfreeze",
	.about = "Lifts a freeze",
	.params = params,
	.effect = ACTION_CONDITIONAL,
	.plan = plan,
	.apply = apply,
	.look = look,
};
