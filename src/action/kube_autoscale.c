/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kube_autoscale.c - the range within which a HorizontalPodAutoscaler moves.  Both bounds go in one
 * patch: one at a time could pass through a minimum above the maximum.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

enum { REPLICAS_MAX = 100000 };

static const struct action_param params[] = {
	{ "cluster", ACTION_TEXT, true, "a cluster of the configuration" },
	{ "namespace", ACTION_TEXT, true, "the autoscaler's namespace" },
	{ "name", ACTION_TEXT, true, "the HorizontalPodAutoscaler's name" },
	{ "min", ACTION_NUMBER, false, "the fewest replicas; without it as it is" },
	{ "max", ACTION_NUMBER, false, "the most replicas; without it as it is" },
	{ NULL, ACTION_TEXT, false, NULL },
};

static json_t *range(int64_t min, int64_t max)
{
	return json_pack("{s:I, s:I}", "min", (json_int_t)min, "max", (json_int_t)max);
}

static json_t *autoscale_fields(const json_t *plan)
{
	return json_pack("{s:{s:O, s:O}}", "spec", "minReplicas", jget(plan, "precondition.to.min"),
			 "maxReplicas", jget(plan, "precondition.to.max"));
}

static json_t *autoscale_value(const json_t *object, const json_t *plan)
{
	(void)plan;
	return range(jget_int(object, "spec.minReplicas", 1),
		     jget_int(object, "spec.maxReplicas", 0));
}

/* The bounds have one owner in practice: who wrote the most is found by it. */
static json_t *autoscale_path(const json_t *plan)
{
	(void)plan;
	return json_pack("[s, s]", "f:spec", "f:maxReplicas");
}

static void one_change(struct planning *planning, const char *field, int64_t from, int64_t to)
{
	if (from != to)
		planning_change(planning, field, json_integer(from), json_integer(to));
}

static void warn(struct planning *planning, int64_t min, int64_t max)
{
	const json_t *labels = jget(planning->object, "metadata.labels");
	const char *keda = json_string_value(json_object_get(labels, "scaledobject.keda.sh/name"));
	int64_t now = jget_int(planning->object, "status.currentReplicas", -1);

	if (keda != NULL)
		owners_warn(&planning->owners,
			    "KEDA ScaledObject %s makes this autoscaler and "
			    "sets its range back; change it there instead.",
			    keda);
	if (now > max)
		owners_warn(&planning->owners,
			    "%" PRId64 " replicas run now: it will take %" PRId64 " away.", now,
			    now - max);
	if (now >= 0 && now < min)
		owners_warn(&planning->owners,
			    "%" PRId64 " replicas run now: it will add %" PRId64 ".", now,
			    min - now);
}

/* What it scales, for what a pod of it takes. */
static size_t autoscale_more(const struct place *place, const struct action_run *run,
			     const json_t *object, struct kube_request *requests, char **ret_query)
{
	const json_t *ref = jget(object, "spec.scaleTargetRef");

	(void)place;
	(void)ret_query;
	if (!run->asked || !str_eq(jget_str(ref, "kind"), "Deployment"))
		return 0;
	requests[0].kind = kube_kind_find("Deployment");
	requests[0].name = jget_str_or(ref, "name", "");
	return 1;
}

/* The fewest come at once, the most when it wants them. */
static void forecast(struct planning *planning, int64_t min, int64_t max, int64_t old_max)
{
	const json_t *target = planning->more != NULL ? planning->more[0].body : NULL;
	int64_t have = jget_int(planning->object, "status.currentReplicas", 0);
	int64_t at = min > have ? min : max;
	char when[48];
	struct pods_wish wish = { .pods = at - have };

	if (at <= have || (at == max && max <= old_max))
		return;
	if (str_eq(jget_str(target, "kind"), "Deployment"))
		wish.spec = jget(target, "spec.template.spec");
	(void)snprintf(when, sizeof(when), " at %" PRId64 " replicas", at);
	wish.when = when;
	quotas_say(&planning->owners, planning->quotas, &wish);
}

static bool autoscale_build(struct planning *planning, struct err *err)
{
	const json_t *with = planning->back != NULL ? planning->back : planning->run->with;
	int64_t old_min = jget_int(planning->object, "spec.minReplicas", 1);
	int64_t old_max = jget_int(planning->object, "spec.maxReplicas", 0);
	int64_t min = number_of(json_object_get(with, "min"), old_min);
	int64_t max = number_of(json_object_get(with, "max"), old_max);

	if (min < 1 || max < min || max > REPLICAS_MAX) {
		err_set(err, ERR_INVALID,
			"the range %" PRId64 " to %" PRId64
			" makes no sense: the fewest must be at "
			"least 1 and at most the most",
			min, max);
		return false;
	}
	one_change(planning, "min", old_min, min);
	one_change(planning, "max", old_max, max);
	planning_expect(planning, range(old_min, old_max), range(min, max));
	warn(planning, min, max);
	forecast(planning, min, max, old_max);
	return true;
}

static const struct change_kind change = { .fixed = "HorizontalPodAutoscaler",
					   .quota = true,
					   .more = autoscale_more,
					   .build = autoscale_build,
					   .fields = autoscale_fields,
					   .value = autoscale_value,
					   .path = autoscale_path };

CHANGE_STEPS(change)
CHANGE_BACK(change)

static struct call *plan_autoscale(struct action_env *env, const struct action_run *run,
				   action_done_fn done, void *data)
{
	return change_plan(&change, env, run, done, data);
}

static bool check_autoscale(const json_t *with, const struct action_env *env,
			    const char **ret_param, struct err *err)
{
	if (!place_check(env, with, false, ret_param, err))
		return false;
	*ret_param = "max";
	if (json_object_get(with, "min") != NULL || json_object_get(with, "max") != NULL)
		return true;
	err_set(err, ERR_INVALID, "min or max is needed");
	return false;
}

static const struct action_need needs[] = {
	{ .verbs = "get patch", .kinds = "HorizontalPodAutoscaler", .object = "name" },
	{ .verbs = "list", .kinds = "HorizontalPodAutoscaler", .spare = true },
	{ .verbs = "get", .kinds = "Deployment", .spare = true },
	QUOTA_NEED,
	WATCH_NEED("HorizontalPodAutoscaler", "name"),
	GITOPS_NEEDS,
	{ .verbs = NULL },
};

const struct action_kind action_kube_autoscale = {
	.name = "kube.autoscale",
	.about = "Set the range of an autoscaler",
	.params = params,
	.effect = ACTION_CONDITIONAL,
	.check = check_autoscale,
	.plan = plan_autoscale,
	.apply = apply_change,
	.look = look_change,
	.revert = revert_change,
	.follow = follow_change,
	.needs = needs,
};
