/* SPDX-License-Identifier: Apache-2.0 */
/* rollout.c - what a change to the pods of a workload meets: kinds that roll out, and what holds
 * one up; pure. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

bool rollout_kind(const char *kind)
{
	const struct kube_kind *found = kube_kind_find(kind);

	return found != NULL &&
	       (str_eq(found->kind, "Deployment") || str_eq(found->kind, "StatefulSet") ||
		str_eq(found->kind, "DaemonSet"));
}

void rollout_warn(struct planning *planning)
{
	const json_t *object = planning->object;
	int64_t first = jget_int(object, "spec.updateStrategy.rollingUpdate.partition", 0);
	struct owners *owners = &planning->owners;

	if (jget_bool(object, "spec.paused", false))
		owners_warn(owners, "Its rollout is paused: nothing happens to its pods until it "
				    "is resumed, and then it does.");
	if (str_eq(jget_str(object, "spec.updateStrategy.type"), "OnDelete"))
		owners_warn(owners, "Its update strategy is OnDelete: each pod changes only when "
				    "somebody deletes it.");
	if (jget_int(object, "spec.replicas", 1) == 0)
		owners_warn(owners, "It has 0 replicas: no pod changes now.");
	if (first > 0)
		owners_warn(owners, "Only pods from number %" PRId64 " on change (partition).",
			    first);
	if (str_eq(jget_str(object, "spec.strategy.type"), "Recreate"))
		owners_warn(owners,
			    "Its strategy is Recreate: all pods stop before new ones start.");
}

/* --- vertical autoscalers: they write the resources of pods, whatever the template says --- */

size_t vpas_ask(const struct place *place, const struct action_run *run, const json_t *object,
		struct kube_request *requests, char **ret_query)
{
	(void)place;
	(void)object;
	(void)ret_query;
	if (!run->asked || (json_object_size(json_object_get(run->with, "requests")) == 0 &&
			    json_object_size(json_object_get(run->with, "limits")) == 0))
		return 0;
	requests[0].kind = kube_kind_find("VerticalPodAutoscaler");
	requests[0].query = "limit=500";
	return 1;
}

void vpas_say(struct planning *planning)
{
	const json_t *list = planning->more != NULL ? planning->more[0].body : NULL;
	json_t *vpa;
	size_t i;

	json_array_foreach(json_object_get(list, "items"), i, vpa)
	{
		const char *mode = jget_str_or(vpa, "spec.updatePolicy.updateMode", "Auto");
		char *who;

		if (str_eq(mode, "Off") ||
		    !place_is(planning->place, jget(vpa, "spec.targetRef"), "Deployment"))
			continue;
		who = xasprintf("VerticalPodAutoscaler %s", jget_str_or(vpa, "metadata.name", "?"));
		owners_add(&planning->owners, who, NULL,
			   "writes the resources of each new pod (%s): what is set here seems "
			   "ignored",
			   mode);
		free(who);
	}
}
