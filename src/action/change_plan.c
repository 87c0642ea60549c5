/* SPDX-License-Identifier: Apache-2.0 */
/*
 * change_plan.c - the plan of a change to one object: read it, let the kind say what would change,
 * then send the very patch as a dry run, so that a policy says no before anybody is asked to
 * confirm.
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

/* --- the parts of a plan --- */

void planning_start(struct planning *planning, const struct place *place,
		    const struct action_run *run, const json_t *object)
{
	memset(planning, 0, sizeof(*planning));
	planning->place = place;
	planning->run = run;
	planning->object = object;
	planning->changes = json_array();
	planning->target = place_target(place);
	planning->precondition =
		json_pack("{s:s, s:s}", "uid", jget_str_or(object, "metadata.uid", ""),
			  "resourceVersion", jget_str_or(object, "metadata.resourceVersion", ""));
	planning->owners.owners = json_array();
	planning->owners.warnings = json_array();
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
	json_t *plan = json_object();

	json_object_set_new(plan, "target", planning->target);
	json_object_set_new(plan, "changes", planning->changes);
	json_object_set_new(plan, "owners", planning->owners.owners);
	json_object_set_new(plan, "warnings", planning->owners.warnings);
	json_object_set_new(plan, "precondition", planning->precondition);
	return plan;
}

/* --- the dry run --- */

struct dry_run {
	struct call call;
	struct call *inner;
	json_t *plan;
	call_done_fn then;
	void *data;
};

static void dry_run_free(struct dry_run *dry)
{
	json_decref(dry->plan);
	free(dry);
}

static void on_dry_cancel(struct call *call)
{
	struct dry_run *dry = (struct dry_run *)call;

	call_cancel(&dry->inner);
	dry_run_free(dry);
}

static void on_dry_run(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct dry_run *dry = data;
	struct owners owners = { NULL, json_object_get(dry->plan, "warnings") };
	json_t *text;
	size_t i;

	json_array_foreach(answer->warnings, i, text)
		owners_warn(&owners, "The cluster warns: %s", json_string_value(text));
	/* A conflict is only its status that moved meanwhile: apply reads again.  A webhook that
	 * cannot be asked says nothing about the change itself. */
	if (err != NULL && answer->problem == KUBE_CONFLICT) {
		err = NULL;
	} else if (err != NULL && strstr(err->msg, "does not support dry run") != NULL) {
		owners_warn(&owners, "A webhook of the cluster cannot be asked beforehand; it may "
				     "still refuse the change.");
		err = NULL;
	}
	dry->then(dry->data, err);
	dry_run_free(dry);
}

struct call *dry_run_start(const struct change_kind *kind, const struct place *place,
			   const struct action_run *run, json_t *plan, call_done_fn then,
			   void *data)
{
	struct dry_run *dry = xcalloc(1, sizeof(*dry));
	json_t *body = change_body(
		kind, plan, jget_str_or(plan, "precondition.resourceVersion", ""), run->request_id);
	struct kube_request request = { .method = "PATCH",
					.kind = place->kind,
					.space = place->space,
					.name = place->name,
					.body = body,
					.content_type = "application/merge-patch+json",
					.request_id = run->request_id,
					.dry_run = true,
					.unread = true,
					.timeout_ms = run->timeout_ms };

	dry->call.cancel = on_dry_cancel;
	dry->plan = json_incref(plan);
	dry->then = then;
	dry->data = data;
	dry->inner = kube_call(place->kube, &request, on_dry_run, dry);
	json_decref(body);
	return &dry->call;
}

/* --- a plan that needs only the object --- */

struct planner {
	struct act act;
	const struct change_kind *kind;
	struct place place;
	json_t *plan;
};

static void on_finish(struct act *act)
{
	json_decref(((struct planner *)act)->plan);
}

static void on_near(void *data, const struct err *err)
{
	act_end_badly(data, err);
}

static void on_tried(void *data, const struct err *err)
{
	struct planner *planner = data;
	json_t *plan = planner->plan;

	if (err != NULL) {
		act_end_badly(&planner->act, err);
		return;
	}
	planner->plan = NULL;
	act_end(&planner->act, plan);
}

static void on_read(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct planner *planner = data;
	const struct action_run *run = planner->act.run;
	struct planning planning;
	struct err own;
	bool good;

	planner->act.inner = NULL;
	if (answer->problem == KUBE_NOT_FOUND) {
		planner->act.inner = nearby_start(&planner->place, run, err, on_near, planner);
		return;
	}
	if (err != NULL) {
		act_end_badly(&planner->act, err);
		return;
	}
	planning_start(&planning, &planner->place, run, answer->body);
	good = planner->kind->build(&planning, &own);
	planner->plan = planning_plan(&planning);
	if (!good)
		act_end_badly(&planner->act, &own);
	else if (json_array_size(json_object_get(planner->plan, "changes")) == 0 || !run->asked)
		on_tried(planner, NULL);
	else
		planner->act.inner = dry_run_start(planner->kind, &planner->place, run,
						   planner->plan, on_tried, planner);
}

struct call *change_plan(const struct change_kind *kind, struct action_env *env,
			 const struct action_run *run, action_done_fn done, void *data)
{
	struct act *act = act_new(sizeof(struct planner), env, run, done, data);
	struct planner *planner = (struct planner *)act;
	struct kube_request request = { .method = "GET",
					.request_id = run->request_id,
					.timeout_ms = run->timeout_ms };

	act->finish = on_finish;
	planner->kind = kind;
	if (!place_read(&planner->place, env, run->with, kind->fixed, PLACE_OBJECT, &act->err))
		return act_fail(act);
	request.kind = planner->place.kind;
	request.space = planner->place.space;
	request.name = planner->place.name;
	act->inner = kube_call(planner->place.kube, &request, on_read, planner);
	return &act->call;
}
