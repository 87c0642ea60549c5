/* SPDX-License-Identifier: Apache-2.0 */
/*
 * restarting.c - a change of settings, and then the restart of the workload that reads them.
 *
 * Both are conditional changes with our mark, so the pair may be done again after a crash between
 * them: the first is found done and the second is made.  A restart that is refused takes nothing
 * back: the change is done, and the outcome says what was not.
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

struct restarting {
	struct act act;
	struct action_run second; /* of the restart */
	json_t *with;             /* its parameters */
	json_t *first;            /* what the first step gave */
};

static void on_finish(struct act *act)
{
	struct restarting *r = (struct restarting *)act;

	json_decref(r->with);
	json_decref(r->first);
}

/* The Deployment that is to be restarted; NULL: none. */
static const char *workload_of(const json_t *with)
{
	const char *text = jget_str(with, "restart");

	return str_empty(text) ? NULL : text;
}

static struct restarting *restarting_new(struct action_env *env, const struct action_run *run,
					 action_done_fn done, void *data)
{
	struct act *act = act_new(sizeof(struct restarting), env, run, done, data);
	struct restarting *r = (struct restarting *)act;

	act->finish = on_finish;
	r->with = json_pack("{s:s, s:s, s:s}", "cluster", jget_str_or(run->with, "cluster", ""),
			    "namespace", jget_str_or(run->with, "namespace", ""), "name",
			    jget_str_or(run->with, "restart", ""));
	r->second = *run;
	r->second.with = r->with;
	r->second.plan = json_object_get(run->plan, "restart");
	return r;
}

static char *workload_text(const struct restarting *r)
{
	return xasprintf("Deployment %s", jget_str_or(r->with, "name", "?"));
}

/* --- plan --- */

static void on_restart_planned(void *data, const json_t *result, const struct err *err)
{
	struct restarting *r = data;
	json_t *plan, *change, *text;
	char *what, *field;
	size_t i;

	r->act.inner = NULL;
	if (err != NULL) {
		act_end_badly(&r->act, err);
		return;
	}
	plan = json_deep_copy(r->first);
	what = workload_text(r);
	field = xasprintf("restart of %s", what);
	change = json_pack("{s:s, s:n, s:s}", "field", field, "from", "to", "now");
	json_array_append_new(json_object_get(plan, "changes"), change);
	json_array_foreach(json_object_get(result, "warnings"), i, text)
		json_array_append(json_object_get(plan, "warnings"), text);
	json_array_extend(json_object_get(plan, "owners"), json_object_get(result, "owners"));
	json_object_set(plan, "restart", (json_t *)(uintptr_t)result);
	free(what);
	free(field);
	act_end(&r->act, plan);
}

static void on_first_planned(void *data, const json_t *result, const struct err *err)
{
	struct restarting *r = data;

	r->act.inner = NULL;
	if (err != NULL) {
		act_end_badly(&r->act, err);
	} else if (json_array_size(json_object_get(result, "changes")) == 0) {
		act_end(&r->act,
			json_incref((json_t *)(uintptr_t)result)); /* nothing to restart for */
	} else {
		r->first = json_incref((json_t *)(uintptr_t)result);
		r->second.plan = NULL;
		r->act.inner =
			action_kube_restart.plan(r->act.env, &r->second, on_restart_planned, r);
	}
}

struct call *restarting_plan(const struct restart_base *base, struct action_env *env,
			     const struct action_run *run, action_done_fn done, void *data)
{
	struct restarting *r;

	if (workload_of(run->with) == NULL)
		return base->plan(env, run, done, data);
	r = restarting_new(env, run, done, data);
	r->act.inner = base->plan(env, run, on_first_planned, r);
	return &r->act.call;
}

struct call *restarting_revert(const struct restart_base *base, struct action_env *env,
			       const struct action_run *run, action_done_fn done, void *data)
{
	struct restarting *r;

	if (workload_of(run->with) == NULL)
		return base->revert(env, run, done, data);
	r = restarting_new(env, run, done, data);
	r->act.inner = base->revert(env, run, on_first_planned, r);
	return &r->act.call;
}

/* --- apply --- */

static void end_applied(struct restarting *r, const json_t *restarted, const struct err *err)
{
	json_t *outcome = json_deep_copy(r->first),
	       *evidence = json_object_get(outcome, "evidence");
	const char *done = jget_str_or(outcome, "done", "");
	char *what = workload_text(r), *text;

	if (err == NULL)
		text = xasprintf("%s, %s restarted", done, what);
	else
		text = xasprintf("%s; %s was not restarted: %s", done, what, err->msg);
	json_object_set_new(outcome, "done", json_string(text));
	json_object_set_new(evidence, "restarted", json_boolean(err == NULL));
	if (err == NULL)
		json_object_set(evidence, "generation", jget(restarted, "evidence.generation"));
	free(what);
	free(text);
	act_end(&r->act, outcome);
}

static void on_restarted(void *data, const json_t *result, const struct err *err)
{
	struct restarting *r = data;

	r->act.inner = NULL;
	/* Then a look tells, and the pair is done again. */
	if (err != NULL && err->kind == ERR_UNCERTAIN)
		act_end_badly(&r->act, err);
	else
		end_applied(r, result, err);
}

static void on_first_applied(void *data, const json_t *result, const struct err *err)
{
	struct restarting *r = data;

	r->act.inner = NULL;
	if (err != NULL) {
		act_end_badly(&r->act, err);
		return;
	}
	r->first = json_incref((json_t *)(uintptr_t)result);
	r->act.inner = action_kube_restart.apply(r->act.env, &r->second, on_restarted, r);
}

struct call *restarting_apply(const struct restart_base *base, struct action_env *env,
			      const struct action_run *run, action_done_fn done, void *data)
{
	struct restarting *r;

	if (json_object_get(run->plan, "restart") == NULL)
		return base->apply(env, run, done, data);
	r = restarting_new(env, run, done, data);
	r->act.inner = base->apply(env, run, on_first_applied, r);
	return &r->act.call;
}

/* --- look --- */

static void on_restart_looked(void *data, const json_t *result, const struct err *err)
{
	struct restarting *r = data;
	const char *state = jget_str_or(result, "state", "unknown");
	json_t *look;

	r->act.inner = NULL;
	if (err != NULL) {
		act_end_badly(&r->act, err);
		return;
	}
	if (str_eq(state, "done")) {
		end_applied(r, result, NULL);
		return;
	}
	look = json_deep_copy(result);
	json_object_del(look, "done");
	act_end(&r->act, look);
}

static void on_first_looked(void *data, const json_t *result, const struct err *err)
{
	struct restarting *r = data;

	r->act.inner = NULL;
	if (err != NULL) {
		act_end_badly(&r->act, err);
	} else if (!str_eq(jget_str(result, "state"), "done")) {
		act_end(&r->act, json_incref((json_t *)(uintptr_t)result));
	} else {
		r->first = json_incref((json_t *)(uintptr_t)result);
		r->act.inner =
			action_kube_restart.look(r->act.env, &r->second, on_restart_looked, r);
	}
}

struct call *restarting_look(const struct restart_base *base, struct action_env *env,
			     const struct action_run *run, action_done_fn done, void *data)
{
	struct restarting *r;

	if (json_object_get(run->plan, "restart") == NULL)
		return base->look(env, run, done, data);
	r = restarting_new(env, run, done, data);
	r->act.inner = base->look(env, run, on_first_looked, r);
	return &r->act.call;
}

/* --- follow: the restart is what takes its time --- */

static void on_followed(void *data, const json_t *result, const struct err *err)
{
	struct restarting *r = data;

	if (err != NULL)
		act_end_badly(&r->act, err);
	else
		act_end(&r->act, json_incref((json_t *)(uintptr_t)result));
}

struct call *restarting_follow(const struct restart_base *base, struct action_env *env,
			       const struct action_run *run, action_done_fn done, void *data)
{
	struct restarting *r;

	if (!jget_bool(run->since, "evidence.restarted", false))
		return base->follow(env, run, done, data);
	r = restarting_new(env, run, done, data);
	r->act.inner = action_kube_restart.follow(env, &r->second, on_followed, r);
	return &r->act.call;
}

bool restarting_check(const json_t *with, const char **ret_param, struct err *err)
{
	const char *name = workload_of(with);

	if (name == NULL || has_template(name) || kube_name_ok(name))
		return true;
	*ret_param = "restart";
	err_set(err, ERR_INVALID, "must be the name of a Deployment");
	return false;
}
