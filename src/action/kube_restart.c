/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kube_restart.c - new pods for a workload, one after the other, as kubectl rollout restart does
 * it.
 *
 * The time in the annotation is the plan's and is recorded with it, so that sending it twice is one
 * restart.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

#define RESTARTED_AT "kubectl.kubernetes.io/restartedAt"

static const struct action_param params[] = {
	{ "cluster", ACTION_TEXT, true, "a cluster of the configuration" },
	{ "namespace", ACTION_TEXT, true, "the object's namespace" },
	{ "kind", ACTION_TEXT, false, "Deployment (the default), StatefulSet or DaemonSet" },
	{ "name", ACTION_TEXT, true, "the object's name" },
	{ NULL, ACTION_TEXT, false, NULL },
};

static json_t *restart_fields(const json_t *plan)
{
	return json_pack("{s:{s:{s:{s:{s:O}}}}}", "spec", "template", "metadata", "annotations",
			 RESTARTED_AT, jget(plan, "precondition.to"));
}

static json_t *restart_value(const json_t *object, const json_t *plan)
{
	json_t *value =
		json_object_get(jget(object, "spec.template.metadata.annotations"), RESTARTED_AT);

	(void)plan;
	return value != NULL ? json_incref(value) : json_null();
}

/* NULL: a restart would do what it says. */
static const char *why_not(const json_t *object)
{
	if (jget_bool(object, "spec.paused", false))
		return "its rollout is paused: nothing would happen until it is resumed, and then "
		       "it would";
	if (str_eq(jget_str(object, "spec.updateStrategy.type"), "OnDelete"))
		return "its update strategy is OnDelete: a restart would restart nothing";
	return NULL;
}

static bool restart_build(struct planning *planning, struct err *err)
{
	const char *why = why_not(planning->object);
	char now[CLOCK_ISO_LEN], *what;

	if (why != NULL) {
		what = place_text(planning->place);
		err_set(err, ERR_INVALID, "%s: %s", what, why);
		free(what);
		return false;
	}
	clock_iso(clock_wall_ms(), now);
	/* Not the time itself: a plan that is made again must mean the same. */
	planning_change(planning, "restarted at", restart_value(planning->object, NULL),
			json_string("now"));
	planning_expect(planning, restart_value(planning->object, NULL), json_string(now));
	rollout_warn(planning);
	quotas_of_rollout(planning, jget(planning->object, "spec.template"));
	return true;
}

static const struct change_kind change = { .fixed = "Deployment",
					   .rolls = true,
					   .quota = true,
					   .build = restart_build,
					   .fields = restart_fields,
					   .value = restart_value };

CHANGE_STEPS(change)

static struct call *plan_restart(struct action_env *env, const struct action_run *run,
				 action_done_fn done, void *data)
{
	if (!rollout_kind(jget_str_or(run->with, "kind", change.fixed))) {
		struct err err;

		err_set(&err, ERR_INVALID,
			"a Deployment, StatefulSet or DaemonSet can be restarted, not a %.80s",
			jget_str_or(run->with, "kind", ""));
		return act_refuse(env, run, &err, done, data);
	}
	return change_plan(&change, env, run, done, data);
}

static bool check_restart(const json_t *with, const struct action_env *env, const char **ret_param,
			  struct err *err)
{
	return rollout_check(with, env, change.fixed, ret_param, err);
}

static const struct action_need needs[] = {
	{ .verbs = "get patch", .kinds = "Deployment StatefulSet DaemonSet", .object = "name" },
	{ .verbs = "list", .kinds = "Deployment StatefulSet DaemonSet", .spare = true },
	WATCH_NEED("Deployment StatefulSet DaemonSet", "name"),
	WATCH_PODS_NEED,
	{ .verbs = "list", .kinds = "Pod", .spare = true },
	{ .verbs = "list", .kinds = "Event", .spare = true },
	{ .verbs = "list", .kinds = "ReplicaSet", .spare = true },
	QUOTA_NEED,
	GITOPS_NEEDS,
	{ .verbs = NULL },
};

const struct action_kind action_kube_restart = {
	.name = "kube.restart",
	.about = "Restart the pods of a workload, one after the other",
	.params = params,
	.effect = ACTION_CONDITIONAL,
	.check = check_restart,
	.plan = plan_restart,
	.apply = apply_change,
	.look = look_change,
	.follow = follow_change,
	.needs = needs,
};
