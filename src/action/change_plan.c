/* SPDX-License-Identifier: Apache-2.0 */
/*
 * change_plan.c - the plan of a change to one object, there and back: read it and what scales it,
 * let the kind say what would change, find who else owns the value, then send the very patch as a
 * dry run.
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

/* What is read at once. */
enum read { OBJECT, HPAS, SCALED_OBJECTS, QUOTAS, READS };

struct planner {
	struct act act;
	const struct change_kind *kind;
	struct place place;
	bool back;              /* the way back from run->plan */
	enum read reads[READS]; /* which, in their order */
	size_t n_reads;
	json_t *got[READS]; /* NULL: not asked for, or not seen */
	struct owners seen; /* warnings only: what could not be seen */
	size_t mores;       /* of the kind; those of git come after them */
	struct gitops git;
	json_t *plan;
};

static void on_finish(struct act *act)
{
	struct planner *planner = (struct planner *)act;

	for (size_t i = 0; i < READS; i++)
		json_decref(planner->got[i]);
	gitops_finish(&planner->git);
	json_decref(planner->seen.warnings);
	json_decref(planner->plan);
}

static void on_near(void *data, const struct err *err)
{
	act_end_badly(data, err);
}

static void end_planned(struct planner *planner)
{
	json_t *plan = planner->plan;

	planner->plan = NULL;
	act_end(&planner->act, plan);
}

static void on_tried(void *data, const struct err *err)
{
	struct planner *planner = data;

	if (err != NULL)
		act_end_badly(&planner->act, err);
	else
		end_planned(planner);
}

static void try_it(struct planner *planner)
{
	planner->act.inner = dry_run_start(planner->kind, &planner->place, planner->act.run,
					   planner->plan, on_tried, planner);
}

/* --- who else --- */

/* What opsd may not see of the quotas is not spoken of: it is a forecast more or less. */
static void keep(struct planner *planner, enum read read, const struct gathered *item)
{
	static const char *const names[] = {
		[HPAS] = "HorizontalPodAutoscalers", [SCALED_OBJECTS] = "KEDA's ScaledObjects"
	};

	planner->got[read] = json_incref(item->body);
	if (item->problem == KUBE_NO_RESOURCE && read == SCALED_OBJECTS)
		env_set_keda_missing(planner->act.env, planner->place.kube);
	else if (item->problem != KUBE_FINE && (read == HPAS || read == SCALED_OBJECTS))
		owners_warn(&planner->seen, "opsd could not see whether %s scale this: %s",
			    names[read], item->err.msg);
}

static void others(struct planner *planner, struct planning *planning)
{
	const struct change_kind *kind = planner->kind;
	json_t *path = kind->path != NULL ? kind->path(planning->plan) : NULL;

	owners_of_object(&planning->owners, &planner->place, planning->object, path, &planner->git);
	json_decref(path);
	if (!kind->scaled)
		return;
	scalers_say(&planning->owners, &planner->place, planner->got[HPAS],
		    planner->got[SCALED_OBJECTS], &planning->step);
	json_array_extend(planning->owners.warnings, planner->seen.warnings);
}

/* --- the way back --- */

static bool same_object(const struct planner *planner, const json_t *object, struct err *err)
{
	char *what;

	if (!planner->back || str_eq(jget_str(object, "metadata.uid"),
				     jget_str(planner->act.run->plan, "precondition.uid")))
		return true;
	what = place_text(&planner->place);
	err_set(err, ERR_INVALID,
		"%s was deleted and created again since; there is nothing to set back.", what);
	free(what);
	return false;
}

/* Somebody set something else meanwhile: then it is not ours to set back without asking. */
static void put_foreign(struct planner *planner, const json_t *object)
{
	const struct change_kind *kind = planner->kind;
	const json_t *done = planner->act.run->plan;
	json_t *written = jget(done, "precondition.to"), *before = jget(done, "precondition.from");
	json_t *now = kind->value(object, done);

	if (!json_equal(now, written) && !json_equal(now, before)) {
		json_t *path = kind->path != NULL ? kind->path(done) : NULL;
		char *who = owners_writer(object, path), *is = value_text(now);
		char *was = value_text(written), *says;

		says = xasprintf("%s is now %s, not %s as this change left it%s%s.",
				 change_field(done), is, was, who != NULL ? "; set by " : "",
				 who != NULL ? who : "");
		json_object_set_new(planner->plan, "foreign", json_string(says));
		json_decref(path);
		free(who);
		free(is);
		free(was);
		free(says);
	}
	json_decref(now);
}

/* --- the plan --- */

/* What was read of those who keep it as Git has it: after the kind's own. */
static void take_git(struct planner *planner, const struct gathered *more)
{
	size_t at = planner->mores;

	for (size_t i = 0; i < planner->git.n && planner->act.run->asked; i++)
		if (planner->git.keepers[i].name != NULL)
			planner->git.keepers[i].object = more[at++].body;
}

static bool make_plan(struct planner *planner, const struct gathered *more, struct err *err)
{
	struct planning planning;
	bool good;

	planning_start(&planning, &planner->place, planner->act.run, planner->got[OBJECT]);
	planning.more = more;
	planning.quotas = planner->got[QUOTAS];
	take_git(planner, more);
	if (planner->back)
		planning.back = jget(planner->act.run->plan, "precondition.from");
	good = planner->kind->build(&planning, err);
	if (good)
		others(planner, &planning);
	planner->plan = planning_plan(&planning);
	if (good && planner->back)
		put_foreign(planner, planner->got[OBJECT]);
	return good;
}

static void on_more(void *data, const struct gathered *more)
{
	struct planner *planner = data;
	struct err err;

	planner->act.inner = NULL;
	if (!make_plan(planner, more, &err))
		act_end_badly(&planner->act, &err);
	else if (json_array_size(json_object_get(planner->plan, "changes")) == 0 ||
		 !planner->act.run->asked)
		end_planned(planner);
	else
		try_it(planner);
}

/* What they will do to the change is in their own objects; opsd may not be allowed to read those.
 */
static size_t ask_git(struct planner *planner, struct kube_request *requests)
{
	size_t n = 0;

	for (size_t i = 0; i < planner->git.n; i++) {
		const struct keeper *keeper = &planner->git.keepers[i];

		if (keeper->name == NULL)
			continue;
		requests[n].kind = keeper->kind;
		requests[n].space = keeper->space;
		requests[n++].name = keeper->name;
	}
	return n;
}

/* false: there is nothing more to read. */
static bool ask_more(struct planner *planner)
{
	const struct change_kind *kind = planner->kind;
	const struct action_run *run = planner->act.run;
	struct kube_request requests[CHANGE_MORE + GITOPS_MAX] = { 0 };
	char *query = NULL;
	size_t n = 0;

	if (kind->more != NULL)
		n = kind->more(&planner->place, run, planner->got[OBJECT], requests, &query);
	for (size_t i = 0; i < n; i++)
		requests[i].space = planner->place.space;
	planner->mores = n;
	gitops_find(&planner->git, env_argo_cd(planner->act.env, planner->place.kube),
		    &planner->place, planner->got[OBJECT]);
	if (run->asked)
		n += ask_git(planner, &requests[n]);
	for (size_t i = 0; i < n; i++) {
		requests[i].method = "GET";
		requests[i].request_id = run->request_id;
		requests[i].person = run->person;
		requests[i].timeout_ms = run->timeout_ms;
	}
	if (n > 0)
		planner->act.inner =
			gather_start(planner->place.kube, requests, n, on_more, planner);
	free(query);
	return n > 0;
}

static void on_read(void *data, const struct gathered *items)
{
	struct planner *planner = data;
	const struct gathered *object = &items[0];
	struct err err;

	planner->act.inner = NULL;
	if (object->problem == KUBE_NOT_FOUND && !planner->back) {
		planner->act.inner = nearby_start(&planner->place, planner->act.run, &object->err,
						  on_near, planner);
		return;
	}
	if (object->problem != KUBE_FINE) {
		act_end_badly(&planner->act, &object->err);
		return;
	}
	for (size_t i = 0; i < planner->n_reads; i++)
		keep(planner, planner->reads[i], &items[i]);
	if (!same_object(planner, planner->got[OBJECT], &err))
		act_end_badly(&planner->act, &err);
	else if (!ask_more(planner))
		on_more(planner, NULL);
}

static void choose_reads(struct planner *planner)
{
	const struct change_kind *kind = planner->kind;
	bool asked = planner->act.run->asked;

	planner->reads[planner->n_reads++] = OBJECT;
	if (kind->scaled)
		planner->reads[planner->n_reads++] = HPAS;
	/* A KEDA that is at work shows by the label of its autoscaler; only a preview says more. */
	if (kind->scaled && asked && !env_keda_missing(planner->act.env, planner->place.kube))
		planner->reads[planner->n_reads++] = SCALED_OBJECTS;
	if (kind->quota && asked)
		planner->reads[planner->n_reads++] = QUOTAS;
}

static void ask(struct planner *planner)
{
	static const char *const kinds[] = { [HPAS] = "HorizontalPodAutoscaler",
					     [SCALED_OBJECTS] = "ScaledObject",
					     [QUOTAS] = "ResourceQuota" };
	const struct action_run *run = planner->act.run;
	struct kube_request requests[READS] = { 0 };

	choose_reads(planner);
	for (size_t i = 0; i < planner->n_reads; i++) {
		enum read read = planner->reads[i];

		requests[i].method = "GET";
		requests[i].space = planner->place.space;
		requests[i].kind =
			read == OBJECT ? planner->place.kind : kube_kind_find(kinds[read]);
		requests[i].name = read == OBJECT ? planner->place.name : NULL;
		requests[i].query = read == OBJECT ? NULL : "limit=500";
		requests[i].request_id = run->request_id;
		requests[i].person = run->person;
		requests[i].timeout_ms = run->timeout_ms;
	}
	planner->act.inner =
		gather_start(planner->place.kube, requests, planner->n_reads, on_read, planner);
}

static struct planner *planner_new(const struct change_kind *kind, struct action_env *env,
				   const struct action_run *run, action_done_fn done, void *data)
{
	struct act *act = act_new(sizeof(struct planner), env, run, done, data);
	struct planner *planner = (struct planner *)act;

	act->finish = on_finish;
	planner->kind = kind;
	planner->seen.warnings = json_array();
	return planner;
}

struct call *change_plan(const struct change_kind *kind, struct action_env *env,
			 const struct action_run *run, action_done_fn done, void *data)
{
	struct planner *planner = planner_new(kind, env, run, done, data);

	if (!place_read(&planner->place, env, run->with, kind->fixed, PLACE_OBJECT,
			&planner->act.err))
		return act_fail(&planner->act);
	ask(planner);
	return &planner->act.call;
}

struct call *change_revert(const struct change_kind *kind, struct action_env *env,
			   const struct action_run *run, action_done_fn done, void *data)
{
	struct planner *planner = planner_new(kind, env, run, done, data);

	if (!place_read(&planner->place, env, run->with, kind->fixed, PLACE_OBJECT,
			&planner->act.err))
		return act_fail(&planner->act);
	if (jget(run->plan, "precondition.from") == NULL) {
		err_set(&planner->act.err, ERR_INVALID, "the plan does not say what was before");
		return act_fail(&planner->act);
	}
	planner->back = true;
	ask(planner);
	return &planner->act.call;
}
