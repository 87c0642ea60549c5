/* SPDX-License-Identifier: Apache-2.0 */
/*
 * follow.c - one look at how a change comes along: is the value still ours, has its controller done
 * what it says, and if not, what does it wait for?
 *
 * Between looks nothing is remembered but what the answer's "keep" holds, so that any replica can
 * take the next one.  One that follows a watch's news takes what is known and asks for nothing else
 * but the name of a new ReplicaSet; one that is due by time asks for all of it.  Until it is
 * complete another generation means that another change came on top; after that only the value
 * counts.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/id.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

enum { AGAIN_MS = 2000, STAYS_MS = 10000 };

struct follow {
	struct act act;
	const struct change_kind *kind;
	struct place place;
	json_t *object;
	json_t *pods, *fresh; /* as they are known, and those of the new revision */
	int asked[2];         /* which of the requests it is; < 0: none */
	char *set;            /* uid of the new ReplicaSet; NULL: not known */
	char *note;           /* what the events said of why.about */
	struct why why;
	struct rollout rollout;
	bool sure; /* the object was asked for */
};

static void forget(struct follow *follow)
{
	json_decref(follow->object);
	json_decref(follow->pods);
	json_decref(follow->fresh);
	free(follow->set);
	free(follow->note);
	free(follow->why.text);
	follow->object = follow->pods = follow->fresh = NULL;
	follow->set = follow->note = NULL;
	memset(&follow->why, 0, sizeof(follow->why));
	memset(&follow->rollout, 0, sizeof(follow->rollout));
	follow->rollout.of = -1;
}

static void on_finish(struct act *act)
{
	forget((struct follow *)act);
}

/* --- the answer --- */

static bool was_done(const struct follow *follow)
{
	return jget_bool(follow->act.run->since, "keep.done", false);
}

static int64_t generation_of(const struct follow *follow)
{
	const json_t *since = follow->act.run->since;

	return jget_int(since, "keep.generation", jget_int(since, "evidence.generation", 0));
}

/* What the next look is given. */
static json_t *keep_of(const struct follow *follow, bool done)
{
	json_t *keep = json_pack("{s:I, s:b}", "generation", (json_int_t)generation_of(follow),
				 "done", done || was_done(follow));

	if (follow->set != NULL) {
		json_object_set_new(keep, "set", json_string(follow->set));
		json_object_set_new(
			keep, "set_of",
			json_integer(jget_int(follow->object, "metadata.generation", 0)));
	}
	if (follow->note != NULL) {
		json_object_set_new(keep, "note", json_string(follow->note));
		json_object_set_new(keep, "about", json_string(follow->why.about));
	}
	return keep;
}

/* Whoever watches these knows of the next step when it is made. */
static json_t *watch_of(const struct follow *follow, bool done)
{
	json_t *watch = json_pack("[o]", watched_wish(&follow->place, NULL));

	if (!done && !was_done(follow) && follow->rollout.of >= 0) {
		char *selector = pods_selector(follow->object);

		json_array_append_new(watch, watched_wish(&follow->place, selector));
		free(selector);
	}
	return watch;
}

/* A watch may be behind: what somebody is told of for good is asked of the cluster itself. */
static bool is_sure(const struct follow *follow, const char *state)
{
	return !follow->act.run->known || follow->sure || str_eq(state, "going") ||
	       str_eq(state, "stuck") || (str_eq(state, "done") && was_done(follow));
}

static void ask_object(struct follow *follow);

static void make_sure(struct follow *follow)
{
	forget(follow);
	follow->sure = true;
	ask_object(follow);
}

/* Takes says. */
static void end(struct follow *follow, const char *state, char *says, const char *why)
{
	bool done = str_eq(state, "done");
	json_t *progress;

	if (!is_sure(follow, state)) {
		free(says);
		make_sure(follow);
		return;
	}
	progress = json_pack("{s:s, s:s, s:s*, s:s*, s:i, s:o, s:o}", "state", state, "says", says,
			     "why", why, "cause", why != NULL ? follow->why.cause : NULL,
			     "again_ms", done ? STAYS_MS : AGAIN_MS, "keep", keep_of(follow, done),
			     "watch", watch_of(follow, done));

	/* The numbers of a change that is not ours any more are not ours either. */
	if (follow->rollout.of > 0 && !str_eq(state, "undone") && !str_eq(state, "superseded")) {
		json_object_set_new(progress, "have", json_integer(follow->rollout.have));
		json_object_set_new(progress, "of", json_integer(follow->rollout.of));
	}
	free(says);
	act_end(&follow->act, progress);
}

/* --- is it still ours? --- */

static void end_gone(struct follow *follow, const char *how)
{
	char *what = place_text(&follow->place);

	end(follow, "undone", xasprintf("%s %s", what, how), NULL);
	free(what);
}

static void end_other_value(struct follow *follow, const json_t *object, const json_t *now)
{
	const json_t *plan = follow->act.run->plan;
	const char *mark = object_note(object, "metadata.annotations", ACTION_MARK);
	json_t *path = follow->kind->path != NULL ? follow->kind->path(plan) : NULL;
	char *who = owners_writer(object, path), *is = value_text(now);
	char *was = value_text(jget(plan, "precondition.to"));

	if (mark != NULL && id_is_request(mark) && !str_eq(mark, follow->act.run->request_id))
		end(follow, "superseded",
		    xasprintf("%s is now %s: request %s changed it", change_field(plan), is, mark),
		    NULL);
	else
		end(follow, "undone",
		    xasprintf("%s is %s %s, not %s%s%s", change_field(plan), is,
			      json_equal(now, jget(plan, "precondition.from")) ? "again" : "now",
			      was, who != NULL ? ": set by " : "", who != NULL ? who : ""),
		    NULL);
	json_decref(path);
	free(who);
	free(is);
	free(was);
}

/* Who changed the spec last, by the record of the fields below spec; NULL: nobody else. */
static void end_superseded(struct follow *follow, const json_t *object)
{
	json_t *path = json_pack("[s]", "f:spec");
	char *who = owners_writer(object, path);

	end(follow, "superseded",
	    xasprintf("another change came on top before this one was complete%s%s",
		      who != NULL ? ": by " : "", who != NULL ? who : ""),
	    NULL);
	json_decref(path);
	free(who);
}

/* --- what it waits for --- */

enum { PODS, SETS, ASKED_MAX };

static void ask(const struct follow *follow, struct kube_request *request, const char *kind,
		const char *query)
{
	const struct action_run *run = follow->act.run;

	memset(request, 0, sizeof(*request));
	request->method = "GET";
	request->kind = kube_kind_find(kind);
	request->space = follow->place.space;
	request->query = query;
	request->request_id = run->request_id;
	request->person = run->person;
	request->timeout_ms = run->timeout_ms;
}

static void end_waiting(struct follow *follow)
{
	const struct rollout *rollout = &follow->rollout;

	end(follow,
	    rollout->state == ROLLOUT_FAILED ? "failed"
	    : follow->why.trouble            ? "stuck"
					     : "going",
	    xstrdup(rollout->says), follow->why.text);
}

static void on_events(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct follow *follow = data;
	const char *warning = err == NULL ? why_warning(answer->body, follow->object) : NULL;

	follow->act.inner = NULL;
	why_add(&follow->why, warning);
	free(follow->note);
	follow->note = xstrdup_null(warning);
	end_waiting(follow);
}

/* The events are asked for only where nothing else says why; between two askings what they said of
 * the same thing counts. */
static void read_why(struct follow *follow, const json_t *pods)
{
	json_t *fresh = why_pods(follow->object, follow->set, pods);
	struct why *why = &follow->why;
	struct kube_request request;
	char *query;

	why_read(why, follow->object, fresh);
	json_decref(follow->fresh);
	follow->fresh = fresh; /* the reason speaks of one of them */
	if (!why->unclear) {
		end_waiting(follow);
		return;
	}
	if (follow->act.run->known && !follow->act.run->quiet) {
		const json_t *since = follow->act.run->since;

		if (str_eq(jget_str(since, "keep.about"), why->about)) {
			follow->note = xstrdup_null(jget_str(since, "keep.note"));
			why_add(why, follow->note);
		}
		end_waiting(follow);
		return;
	}
	query = xasprintf("limit=100&fieldSelector=regarding.uid%%3D%s", why->about);
	ask(follow, &request, "Event", query);
	follow->act.inner = kube_call(follow->place.kube, &request, on_events, follow);
	free(query);
}

static void on_pods(void *data, const struct gathered *items)
{
	struct follow *follow = data;
	const json_t *pods = follow->pods;

	follow->act.inner = NULL;
	if (follow->asked[PODS] >= 0)
		pods = items[follow->asked[PODS]].body;
	if (follow->asked[SETS] >= 0)
		follow->set =
			xstrdup_null(why_set(items[follow->asked[SETS]].body, follow->object));
	read_why(follow, pods);
}

/* Its ReplicaSet stays the same as long as its generation does. */
static bool wants_set(struct follow *follow)
{
	const json_t *since = follow->act.run->since;

	if (!str_eq(follow->place.kind->kind, "Deployment"))
		return false;
	if (follow->act.run->known && jget_int(since, "keep.set_of", 0) ==
					      jget_int(follow->object, "metadata.generation", -1))
		follow->set = xstrdup_null(jget_str(since, "keep.set"));
	return follow->set == NULL;
}

static void ask_pods(struct follow *follow)
{
	struct kube_request requests[ASKED_MAX];
	char *query = pods_query(follow->object), *selector = pods_selector(follow->object);
	size_t n = 0;

	follow->pods = follow->act.run->known ? watched_pods(&follow->place, selector) : NULL;
	follow->asked[PODS] = follow->asked[SETS] = -1;
	if (follow->pods == NULL) {
		follow->asked[PODS] = (int)n;
		ask(follow, &requests[n++], "Pod", query);
	}
	if (wants_set(follow)) {
		follow->asked[SETS] = (int)n;
		ask(follow, &requests[n++], "ReplicaSet", query);
	}
	if (n > 0)
		follow->act.inner = gather_start(follow->place.kube, requests, n, on_pods, follow);
	else
		read_why(follow, follow->pods);
	free(selector);
	free(query);
}

/* --- the look --- */

static void read_state(struct follow *follow)
{
	const struct rollout *rollout = &follow->rollout;
	const json_t *object = follow->object;

	if (was_done(follow) || !follow->kind->rolls)
		end(follow, "done", xstrdup("as it was set"), NULL);
	else if (jget_int(object, "metadata.generation", 0) > generation_of(follow) &&
		 generation_of(follow) > 0)
		end_superseded(follow, object);
	else if (rollout->state == ROLLOUT_DONE)
		end(follow, "done", xstrdup(rollout->says), NULL);
	else if (rollout->state == ROLLOUT_PAUSED)
		end(follow, "stuck", xstrdup("its rollout is paused"),
		    "nothing happens until somebody resumes it");
	else if (rollout->state == ROLLOUT_UNSEEN) /* its pods are those of before */
		end(follow, "going", xstrdup(rollout->says), NULL);
	else
		ask_pods(follow);
}

/* object NULL: it is gone. */
static void take_object(struct follow *follow, const json_t *object)
{
	const struct action_run *run = follow->act.run;
	json_t *now;

	if (object == NULL) {
		end_gone(follow, "does not exist any more");
		return;
	}
	if (!str_eq(jget_str(object, "metadata.uid"), jget_str(run->plan, "precondition.uid"))) {
		end_gone(follow, "was deleted and created again");
		return;
	}
	follow->object = json_incref((json_t *)(uintptr_t)object);
	if (follow->kind->rolls)
		rollout_read(object, follow->place.kind, &follow->rollout);
	now = follow->kind->value(object, run->plan);
	if (json_equal(now, jget(run->plan, "precondition.to")))
		read_state(follow);
	else
		end_other_value(follow, object, now);
	json_decref(now);
}

static void on_object(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct follow *follow = data;

	follow->act.inner = NULL;
	if (err != NULL && answer->problem != KUBE_NOT_FOUND)
		act_end_badly(&follow->act, err);
	else
		take_object(follow, err == NULL ? answer->body : NULL);
}

static void ask_object(struct follow *follow)
{
	follow->act.inner = place_get(&follow->place, follow->act.run, on_object, follow);
}

static void on_known(void *data)
{
	struct follow *follow = data;
	const json_t *object;

	follow->act.inner = NULL;
	if (watched_object(&follow->place, &object))
		take_object(follow, object);
	else
		ask_object(follow);
}

struct call *change_follow(const struct change_kind *kind, struct action_env *env,
			   const struct action_run *run, action_done_fn done, void *data)
{
	struct act *act = act_new(sizeof(struct follow), env, run, done, data);
	struct follow *follow = (struct follow *)act;

	act->finish = on_finish;
	follow->kind = kind;
	forget(follow);
	if (!place_read(&follow->place, env, run->with, kind->fixed, PLACE_OBJECT, &act->err))
		return act_fail(act);
	if (run->known)
		act->inner = call_defer(env_loop(env), on_known, follow);
	else
		ask_object(follow);
	return &act->call;
}
