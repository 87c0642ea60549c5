/* SPDX-License-Identifier: Apache-2.0 */
/* kube_cronjob.c - suspend the runs of a CronJob, or let them go on. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

static const struct action_param params[] = {
	{ "cluster", ACTION_TEXT, true, "a cluster of the configuration" },
	{ "namespace", ACTION_TEXT, true, "the CronJob's namespace" },
	{ "name", ACTION_TEXT, true, "the CronJob's name" },
	{ "suspend", ACTION_BOOL, true, "true: no more runs; false: runs again" },
	{ NULL, ACTION_TEXT, false, NULL },
};

static json_t *cronjob_fields(const json_t *plan)
{
	return json_pack("{s:{s:O}}", "spec", "suspend", jget(plan, "precondition.to"));
}

static json_t *cronjob_value(const json_t *object, const json_t *plan)
{
	(void)plan;
	return json_boolean(jget_bool(object, "spec.suspend", false));
}

static json_t *cronjob_path(const json_t *plan)
{
	(void)plan;
	return json_pack("[s, s]", "f:spec", "f:suspend");
}

static bool cronjob_build(struct planning *planning, struct err *err)
{
	bool from = jget_bool(planning->object, "spec.suspend", false);
	bool to = planning->back != NULL ? json_is_true(planning->back)
					 : jget_bool(planning->run->with, "suspend", false);
	size_t active = json_array_size(jget(planning->object, "status.active"));

	(void)err;
	if (from != to)
		planning_change(planning, "suspend", json_boolean(from), json_boolean(to));
	planning_expect(planning, json_boolean(from), json_boolean(to));
	if (to && active > 0)
		owners_warn(&planning->owners, "%zu of its jobs run now and go on.", active);
	if (from && !to && jget(planning->object, "spec.startingDeadlineSeconds") == NULL)
		owners_warn(&planning->owners,
			    "A run that was missed meanwhile may start at once (schedule %s).",
			    jget_str_or(planning->object, "spec.schedule", "?"));
	return true;
}

static const struct change_kind change = { .fixed = "CronJob",
					   .build = cronjob_build,
					   .fields = cronjob_fields,
					   .value = cronjob_value,
					   .path = cronjob_path };

CHANGE_STEPS(change)
CHANGE_BACK(change)

static struct call *plan_cronjob(struct action_env *env, const struct action_run *run,
				 action_done_fn done, void *data)
{
	return change_plan(&change, env, run, done, data);
}

static bool check_cronjob(const json_t *with, const struct action_env *env, const char **ret_param,
			  struct err *err)
{
	return place_check(env, with, false, ret_param, err);
}

static const struct action_need needs[] = {
	{ .verbs = "get patch", .kinds = "CronJob", .object = "name" },
	{ .verbs = "list", .kinds = "CronJob", .spare = true },
	WATCH_NEED("CronJob", "name"),
	GITOPS_NEEDS,
	{ .verbs = NULL },
};

const struct action_kind action_kube_cronjob = {
	.name = "kube.cronjob",
	.about = "Suspend a CronJob, or let it run again",
	.params = params,
	.effect = ACTION_CONDITIONAL,
	.check = check_cronjob,
	.plan = plan_cronjob,
	.apply = apply_change,
	.look = look_change,
	.revert = revert_change,
	.follow = follow_change,
	.needs = needs,
};
