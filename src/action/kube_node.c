/* SPDX-License-Identifier: Apache-2.0 */
/* kube_node.c - keep new pods away from a node, or let them come again. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

static const struct action_param params[] = {
	{ "cluster", ACTION_TEXT, true, "a cluster of the configuration" },
	{ "name", ACTION_TEXT, true, "the node's name" },
	{ "cordon", ACTION_BOOL, true, "true: no new pods; false: they come again" },
	{ NULL, ACTION_TEXT, false, NULL },
};

json_t *cordon_fields(const json_t *plan)
{
	return json_pack("{s:{s:O}}", "spec", "unschedulable", jget(plan, "precondition.to"));
}

json_t *cordon_value(const json_t *object, const json_t *plan)
{
	(void)plan;
	return json_boolean(jget_bool(object, "spec.unschedulable", false));
}

json_t *cordon_path(const json_t *plan)
{
	(void)plan;
	return json_pack("[s, s]", "f:spec", "f:unschedulable");
}

static bool cordon_build(struct planning *planning, struct err *err)
{
	bool from = jget_bool(planning->object, "spec.unschedulable", false);
	bool to = planning->back != NULL ? json_is_true(planning->back)
					 : jget_bool(planning->run->with, "cordon", false);

	(void)err;
	if (from != to)
		planning_change(planning, "unschedulable", json_boolean(from), json_boolean(to));
	planning_expect(planning, json_boolean(from), json_boolean(to));
	if (to)
		owners_warn(&planning->owners, "The pods that run there stay.");
	return true;
}

static const struct change_kind change = { .fixed = "Node",
					   .build = cordon_build,
					   .fields = cordon_fields,
					   .value = cordon_value,
					   .path = cordon_path };

CHANGE_STEPS(change)
CHANGE_BACK(change)

static struct call *plan_cordon(struct action_env *env, const struct action_run *run,
				action_done_fn done, void *data)
{
	return change_plan(&change, env, run, done, data);
}

static bool check_cordon(const json_t *with, const struct action_env *env, const char **ret_param,
			 struct err *err)
{
	return place_check(env, with, false, ret_param, err);
}

static const struct action_need needs[] = {
	{ .verbs = "get patch", .kinds = "Node", .object = "name" },
	{ .verbs = "list", .kinds = "Node", .spare = true },
	WATCH_NEED("Node", "name"),
	{ .verbs = NULL },
};

const struct action_kind action_kube_cordon = {
	.name = "kube.cordon",
	.about = "Keep new pods away from a node, or let them come again",
	.params = params,
	.effect = ACTION_CONDITIONAL,
	.check = check_cordon,
	.plan = plan_cordon,
	.apply = apply_change,
	.look = look_change,
	.revert = revert_change,
	.follow = follow_change,
	.needs = needs,
};
