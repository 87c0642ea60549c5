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

static json_t *scale_path(const json_t *plan)
{
	(void)plan;
	return json_pack("[s, s]", "f:spec", "f:replicas");
}

/* --- plan --- */

/* A ReplicaSet of a Deployment is set back at once: refuse, and say where to go. */
static const char *deployment_of(const json_t *object)
{
	json_t *ref;
	size_t i;

	json_array_foreach(jget(object, "metadata.ownerReferences"), i,
			   ref) if (jget_bool(ref, "controller", false) &&
				    str_eq(jget_str(ref, "kind"),
					   "Deployment")) return jget_str_or(ref, "name", "?");
	return NULL;
}

static bool scale_build(struct planning *planning, struct err *err)
{
	const json_t *object = planning->object;
	const json_t *wanted = planning->back != NULL
				       ? planning->back
				       : json_object_get(planning->run->with, "replicas");
	int64_t from = jget_int(object, "spec.replicas", 1), to = number_of(wanted, from);
	const char *deployment = deployment_of(object);
	char *what;

	if (deployment != NULL) {
		what = place_text(planning->place);
		err_set(err, ERR_INVALID,
			"%s belongs to Deployment %s, which would set it back at once; scale the "
			"Deployment instead",
			what, deployment);
		free(what);
		return false;
	}
	if (to != from)
		planning_change(planning, "replicas", json_integer(from), json_integer(to));
	planning_expect(planning, json_integer(from), json_integer(to));
	planning->step = (struct step){ .from = from, .to = to, .set = true };
	if (to > from)
		quotas_of_scale(planning, to);
	if (jget_bool(object, "spec.paused", false))
		owners_warn(&planning->owners, "Its rollout is paused: the number of replicas "
					       "changes, other changes wait.");
	return true;
}

static const struct change_kind change = { .fixed = "Deployment",
					   .rolls = true,
					   .quota = true,
					   .scaled = true,
					   .build = scale_build,
					   .fields = scale_fields,
					   .value = scale_value,
					   .path = scale_path };

CHANGE_STEPS(change)
CHANGE_BACK(change)

static bool replicas_ok(const struct action_run *run, struct err *err)
{
	const char *name = jget_str_or(run->with, "kind", change.fixed);
	const struct kube_kind *kind = kube_kind_find(name);
	int64_t to = number_of(json_object_get(run->with, "replicas"), -1);

	if (kind != NULL && !kind->scalable)
		err_set(err, ERR_INVALID, "a %s cannot be scaled", kind->kind);
	else if (to < 0 || to > REPLICAS_MAX)
		err_set(err, ERR_INVALID, "replicas must be a whole number from 0 to %d",
			REPLICAS_MAX);
	else
		return true;
	return false;
}

static struct call *plan_scale(struct action_env *env, const struct action_run *run,
			       action_done_fn done, void *data)
{
	struct err err;

	if (!replicas_ok(run, &err))
		return act_refuse(env, run, &err, done, data);
	return change_plan(&change, env, run, done, data);
}

static bool check_scale(const json_t *with, const struct action_env *env, const char **ret_param,
			struct err *err)
{
	return place_check(env, with, true, ret_param, err);
}

static const struct action_need needs[] = {
	{ .verbs = "get patch", .kinds = "Deployment StatefulSet ReplicaSet", .object = "name" },
	{ .verbs = "list", .kinds = "Deployment StatefulSet ReplicaSet", .spare = true },
	WATCH_NEED("Deployment StatefulSet ReplicaSet", "name"),
	WATCH_PODS_NEED,
	{ .verbs = "list", .kinds = "HorizontalPodAutoscaler", .spare = true },
	{ .verbs = "list", .kinds = "ScaledObject", .spare = true },
	{ .verbs = "list", .kinds = "Pod", .spare = true },
	{ .verbs = "list", .kinds = "Event", .spare = true },
	{ .verbs = "list", .kinds = "ReplicaSet", .spare = true },
	QUOTA_NEED,
	GITOPS_NEEDS,
	{ .verbs = NULL },
};

const struct action_kind action_kube_scale = {
	.name = "kube.scale",
	.about = "Set the number of replicas of a workload",
	.params = params,
	.effect = ACTION_CONDITIONAL,
	.check = check_scale,
	.plan = plan_scale,
	.apply = apply_change,
	.look = look_change,
	.revert = revert_change,
	.follow = follow_change,
	.needs = needs,
};
