/* SPDX-License-Identifier: Apache-2.0 */
/* planning.c - the parts of a plan, and its end. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

void planning_start(struct planning *planning, const struct place *place,
		    const struct action_run *run, const json_t *object)
{
	memset(planning, 0, sizeof(*planning));
	planning->place = place;
	planning->run = run;
	planning->object = object;
	planning->plan = json_object();
	planning->target = place_target(place);
	planning->changes = json_array();
	planning->owners.owners = json_array();
	planning->owners.warnings = json_array();
	planning->precondition =
		json_pack("{s:s, s:s, s:s*}", "uid", jget_str_or(object, "metadata.uid", ""),
			  "resourceVersion", jget_str_or(object, "metadata.resourceVersion", ""),
			  "mark", object_note(object, "metadata.annotations", ACTION_MARK));
	json_object_set_new(planning->plan, "target", planning->target);
	json_object_set_new(planning->plan, "changes", planning->changes);
	json_object_set_new(planning->plan, "owners", planning->owners.owners);
	json_object_set_new(planning->plan, "warnings", planning->owners.warnings);
	json_object_set_new(planning->plan, "precondition", planning->precondition);
}

void planning_change(struct planning *planning, const char *field, json_t *from, json_t *to)
{
	json_t *change = json_object();

	json_object_set_new(change, "field", json_string(field));
	json_object_set_new(change, "from", from);
	json_object_set_new(change, "to", to);
	json_array_append_new(planning->changes, change);
}

void planning_expect(struct planning *planning, json_t *from, json_t *to)
{
	json_object_set_new(planning->precondition, "from", from);
	json_object_set_new(planning->precondition, "to", to);
}

json_t *planning_plan(struct planning *planning)
{
	int64_t from = planning->step.from, size = planning->step.to - from;

	if (planning->step.set)
		json_object_set_new(
			planning->plan, "step_percent",
			json_integer((size < 0 ? -size : size) * 100 / (from > 0 ? from : 1)));
	return planning->plan;
}
