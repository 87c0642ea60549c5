/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kube_scale.c - how many replicas a Deployment, StatefulSet or ReplicaSet shall have.
 *
 * The patch goes to the object itself and not to /scale, because only there can the same stroke
 * carry our mark.  Plan: the object and what scales it, then the patch as a dry run, so that a
 * policy says no before anybody is asked to confirm.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

enum { REPLICAS_MAX = 100000 };

static const struct action_param params[] = {
	{ "cluster", ACTION_TEXT, true, "a cluster of the configuration" },
	{ "namespace", ACTION_TEXT, true, "the object's namespace" },
	{ "kind", ACTION_TEXT, false, "Deployment (the default), StatefulSet or ReplicaSet" },
	{ "name", ACTION_TEXT, true, "the object's name" },
	{ "replicas", ACTION_NUMBER, true, "how many there shall be" },
	{ NULL, ACTION_TEXT, false, NULL },
};

struct scale {
	struct act act;
	struct place place;
	int64_t to;
	json_t *plan;
};

/* --- what is changed --- */

static json_t *scale_fields(const json_t *plan)
{
	return json_pack("{s:{s:O}}", "spec", "replicas", jget(plan, "precondition.to"));
}

static json_t *scale_value(const json_t *object, const json_t *plan)
{
	(void)plan;
	return json_integer(jget_int(object, "spec.replicas", 1));
}

static const struct change_kind change = { .fixed = "Deployment",
					   .fields = scale_fields,
					   .value = scale_value };

/* --- plan --- */

static void on_finish(struct act *act)
{
	json_decref(((struct scale *)act)->plan);
}

static void on_near(void *data, const struct err *err)
{
	act_end_badly(data, err);
}

static void warn_lists(struct scale *scale, struct owners *owners, const struct gathered *items)
{
	static const char *const names[] = { "HorizontalPodAutoscalers", "KEDA's ScaledObjects" };

	for (size_t i = 0; i < 2; i++) {
		enum kube_problem problem = items[i + 1].problem;

		if (problem == KUBE_NO_RESOURCE && i == 1)
			env_set_keda_missing(scale->act.env, scale->place.kube);
		else if (problem != KUBE_FINE)
			owners_warn(owners, "opsd could not see whether %s scale this: %s",
				    names[i], items[i + 1].err.msg);
	}
}

/* A ReplicaSet of a Deployment is set back at once: refuse, and say where to go. */
static bool controlled_by_deployment(struct scale *scale, const json_t *object)
{
	json_t *ref;
	size_t i;

	json_array_foreach(jget(object, "metadata.ownerReferences"), i, ref)
	{
		char *what;
		struct err err;

		if (!jget_bool(ref, "controller", false) ||
		    !str_eq(jget_str(ref, "kind"), "Deployment"))
			continue;
		what = place_text(&scale->place);
		err_set(&err, ERR_INVALID,
			"%s belongs to Deployment %s, which would set it back at once; scale the "
			"Deployment instead",
			what, jget_str_or(ref, "name", "?"));
		free(what);
		act_end_badly(&scale->act, &err);
		return true;
	}
	return false;
}

static void build_plan(struct scale *scale, const struct gathered *items)
{
	const json_t *object = items[0].body;
	int64_t from = jget_int(object, "spec.replicas", 1), step = scale->to - from;
	struct planning planning;

	planning_start(&planning, &scale->place, scale->act.run, object);
	if (step != 0)
		planning_change(&planning, "replicas", json_integer(from), json_integer(scale->to));
	planning_expect(&planning, json_integer(from), json_integer(scale->to));
	owners_of_object(&planning.owners, &scale->place, object, "f:spec", "f:replicas");
	owners_of_replicas(&planning.owners, &scale->place, items[1].body, items[2].body,
			   scale->to);
	warn_lists(scale, &planning.owners, items);
	if (jget_bool(object, "spec.paused", false))
		owners_warn(&planning.owners, "Its rollout is paused: the number of replicas "
					      "changes, other changes wait.");
	scale->plan = planning_plan(&planning);
	json_object_set_new(scale->plan, "step_percent",
			    json_integer((step < 0 ? -step : step) * 100 / (from > 0 ? from : 1)));
}

static void on_tried(void *data, const struct err *err)
{
	struct scale *scale = data;
	json_t *plan = scale->plan;

	if (err != NULL) {
		act_end_badly(&scale->act, err);
		return;
	}
	scale->plan = NULL;
	act_end(&scale->act, plan);
}

static void on_seen(void *data, const struct gathered *items)
{
	struct scale *scale = data;
	const json_t *object = items[0].body;

	scale->act.inner = NULL;
	if (items[0].problem == KUBE_NOT_FOUND) {
		scale->act.inner =
			nearby_start(&scale->place, scale->act.run, &items[0].err, on_near, scale);
		return;
	}
	if (items[0].problem != KUBE_FINE) {
		act_end_badly(&scale->act, &items[0].err);
		return;
	}
	if (controlled_by_deployment(scale, object))
		return;
	build_plan(scale, items);
	if (json_array_size(json_object_get(scale->plan, "changes")) == 0 || !scale->act.run->asked)
		on_tried(scale, NULL);
	else
		scale->act.inner = dry_run_start(&change, &scale->place, scale->act.run,
						 scale->plan, on_tried, scale);
}

static void ask(struct scale *scale)
{
	const struct action_run *run = scale->act.run;
	struct kube_request requests[3];
	/* A KEDA that is at work shows by the label of its autoscaler; only a preview says more. */
	size_t n = !run->asked || env_keda_missing(scale->act.env, scale->place.kube) ? 2 : 3;

	memset(requests, 0, sizeof(requests));
	for (size_t i = 0; i < 3; i++) {
		requests[i].method = "GET";
		requests[i].space = scale->place.space;
		requests[i].request_id = run->request_id;
		requests[i].timeout_ms = run->timeout_ms;
	}
	requests[0].kind = scale->place.kind;
	requests[0].name = scale->place.name;
	requests[1].kind = kube_kind_find("HorizontalPodAutoscaler");
	requests[1].query = "limit=500";
	requests[2].kind = kube_kind_find("ScaledObject");
	requests[2].query = "limit=500";
	scale->act.inner = gather_start(scale->place.kube, requests, n, on_seen, scale);
}

static struct call *plan_scale(struct action_env *env, const struct action_run *run,
			       action_done_fn done, void *data)
{
	struct act *act = act_new(sizeof(struct scale), env, run, done, data);
	struct scale *scale = (struct scale *)act;

	act->finish = on_finish;
	scale->to = number_of(json_object_get(run->with, "replicas"), -1);
	if (!place_read(&scale->place, env, run->with, change.fixed, PLACE_OBJECT, &act->err))
		return act_fail(act);
	if (!scale->place.kind->scalable) {
		err_set(&act->err, ERR_INVALID, "a %s cannot be scaled", scale->place.kind->kind);
		return act_fail(act);
	}
	if (scale->to < 0 || scale->to > REPLICAS_MAX) {
		err_set(&act->err, ERR_INVALID, "replicas must be a whole number from 0 to %d",
			REPLICAS_MAX);
		return act_fail(act);
	}
	ask(scale);
	return &act->call;
}

static struct call *apply_scale(struct action_env *env, const struct action_run *run,
				action_done_fn done, void *data)
{
	return change_apply(&change, env, run, done, data);
}

static struct call *look_scale(struct action_env *env, const struct action_run *run,
			       action_done_fn done, void *data)
{
	return change_look(&change, env, run, done, data);
}

static bool check_scale(const json_t *with, const struct action_env *env, const char **ret_param,
			struct err *err)
{
	return place_check(env, with, true, ret_param, err);
}

const struct action_kind action_kube_scale = {
	.name = "kube.scale",
	.about = "Set the number of replicas of a workload",
	.params = params,
	.effect = ACTION_CONDITIONAL,
	.check = check_scale,
	.plan = plan_scale,
	.apply = apply_scale,
	.look = look_scale,
};
