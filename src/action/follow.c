/* SPDX-License-Identifier: Apache-2.0 */
/*
 * follow.c - one look at how a change comes along: is the value still ours, has its controller done
 * what it says, and if not, what does it wait for?
 *
 * Between looks nothing is remembered but what the answer's "keep" holds, so that any replica can
 * take the next one.  Until it is complete another generation means that another change came on
 * top; after that only the value counts.
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

enum { AGAIN_MS = 2000, STAYS_MS = 10000, WHY_MAX = 400 };

struct follow {
	struct act act;
	const struct change_kind *kind;
	struct place place;
	json_t *object; /* while its pods are asked for */
	struct rollout rollout;
};

static void on_finish(struct act *act)
{
	json_decref(((struct follow *)act)->object);
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

/* Takes says. */
static void end(struct follow *follow, const char *state, char *says, const char *why)
{
	bool done = str_eq(state, "done");
	json_t *progress =
		json_pack("{s:s, s:s, s:s*, s:i, s:{s:I, s:b}}", "state", state, "says", says,
			  "why", why, "again_ms", done ? STAYS_MS : AGAIN_MS, "keep", "generation",
			  (json_int_t)generation_of(follow), "done", done || was_done(follow));

	if (follow->rollout.of > 0) {
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
		    xasprintf("%s is %s again, not %s%s%s", change_field(plan), is, was,
			      who != NULL ? ": set by " : "", who != NULL ? who : ""),
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

enum { PODS, SETS, EVENTS, ASKED };

static const char *newest_set(const json_t *sets, const json_t *object)
{
	const char *uid = jget_str(object, "metadata.uid"), *found = NULL;
	int64_t newest = -1, n;
	json_t *set, *ref;
	size_t i, j;

	json_array_foreach(json_object_get(sets, "items"), i, set)
	{
		const char *revision = object_note(set, "metadata.annotations",
						   "deployment.kubernetes.io/revision");

		json_array_foreach(jget(set, "metadata.ownerReferences"), j, ref)
		{
			if (str_eq(jget_str(ref, "uid"), uid) && revision != NULL &&
			    str_to_i64(revision, &n) && n > newest) {
				newest = n;
				found = jget_str(set, "metadata.uid");
			}
		}
	}
	return found;
}

static bool of_owner(const json_t *pod, const char *uid)
{
	json_t *ref;
	size_t i;

	json_array_foreach(jget(pod, "metadata.ownerReferences"), i,
			   ref) if (str_eq(jget_str(ref, "uid"), uid)) return true;
	return false;
}

/* The pods that are to come up: of the newest revision, and not on their way out. */
static json_t *new_pods(const struct follow *follow, const struct gathered *items)
{
	const char *set = newest_set(items[SETS].body, follow->object);
	const char *revision = jget_str(follow->object, "status.updateRevision");
	json_t *pods = json_array(), *pod;
	size_t i;

	json_array_foreach(json_object_get(items[PODS].body, "items"), i, pod)
	{
		const char *has = object_note(pod, "metadata.labels", "controller-revision-hash");

		if (jget_str(pod, "metadata.deletionTimestamp") != NULL ||
		    (set != NULL && !of_owner(pod, set)) ||
		    (revision != NULL && has != NULL && !str_eq(has, revision) && pods_ready(pod)))
			continue;
		json_array_append(pods, pod);
	}
	return pods;
}

static const char *last_warning(const json_t *events)
{
	const char *text = NULL, *when = "";
	json_t *event;
	size_t i;

	json_array_foreach(json_object_get(events, "items"), i, event)
	{
		const char *at = events_when(event);

		if (str_eq(jget_str(event, "type"), "Warning") && strcmp(at, when) >= 0) {
			when = at;
			text = jget_str_or(event, "note", jget_str(event, "reason"));
		}
	}
	return text;
}

static void put_why(const struct follow *follow, const struct gathered *items, char *why,
		    bool *ret_trouble)
{
	const char *refused = rollout_refusal(follow->object);
	json_t *pods = new_pods(follow, items), *rows = pods_unready_rows(pods);
	const json_t *first = json_array_get(rows, 0);
	const char *reason = json_string_value(json_array_get(first, 3));
	bool ordered = str_eq(follow->place.kind->kind, "StatefulSet");

	if (refused == NULL && json_array_size(rows) == 0)
		refused = last_warning(items[EVENTS].body);
	*ret_trouble = refused != NULL || (reason != NULL && pods_trouble(reason));
	if (refused != NULL)
		(void)snprintf(why, WHY_MAX, "no pods can be made: %.300s", refused);
	else if (reason != NULL)
		(void)snprintf(why, WHY_MAX, "%s: %.250s%s",
			       json_string_value(json_array_get(first, 0)), reason,
			       ordered && *ret_trouble
				       ? "; the next one waits for it, and a change "
					 "back helps only once this pod is deleted"
				       : "");
	json_decref(pods);
	json_decref(rows);
}

static void on_pods(void *data, const struct gathered *items)
{
	struct follow *follow = data;
	char why[WHY_MAX] = "";
	bool trouble;

	follow->act.inner = NULL;
	put_why(follow, items, why, &trouble);
	end(follow,
	    follow->rollout.state == ROLLOUT_FAILED ? "failed"
	    : trouble                               ? "stuck"
						    : "going",
	    xstrdup(follow->rollout.says), why[0] != '\0' ? why : NULL);
}

static void ask_pods(struct follow *follow)
{
	static const char *const kinds[] = {
		[PODS] = "Pod", [SETS] = "ReplicaSet", [EVENTS] = "Event"
	};
	const struct action_run *run = follow->act.run;
	char *query = pods_query(follow->object);
	char *events = xasprintf("limit=100&fieldSelector=regarding.uid%%3D%s",
				 jget_str_or(follow->object, "metadata.uid", ""));
	struct kube_request requests[ASKED];

	memset(requests, 0, sizeof(requests));
	for (size_t i = 0; i < ASKED; i++) {
		requests[i].method = "GET";
		requests[i].kind = kube_kind_find(kinds[i]);
		requests[i].space = follow->place.space;
		requests[i].query = i == EVENTS ? events : query;
		requests[i].request_id = run->request_id;
		requests[i].person = run->person;
		requests[i].timeout_ms = run->timeout_ms;
	}
	follow->act.inner = gather_start(follow->place.kube, requests, ASKED, on_pods, follow);
	free(query);
	free(events);
}

/* --- the look --- */

static void on_object(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct follow *follow = data;
	const struct action_run *run = follow->act.run;
	const json_t *object = answer->body;
	json_t *now;
	bool same;

	follow->act.inner = NULL;
	if (answer->problem == KUBE_NOT_FOUND) {
		end_gone(follow, "does not exist any more");
		return;
	}
	if (err != NULL) {
		act_end_badly(&follow->act, err);
		return;
	}
	if (!str_eq(jget_str(object, "metadata.uid"), jget_str(run->plan, "precondition.uid"))) {
		end_gone(follow, "was deleted and created again");
		return;
	}
	now = follow->kind->value(object, run->plan);
	same = json_equal(now, jget(run->plan, "precondition.to"));
	follow->object = json_incref((json_t *)(uintptr_t)object);
	if (follow->kind->rolls)
		rollout_read(object, follow->place.kind, &follow->rollout);
	if (!same)
		end_other_value(follow, object, now);
	else if (was_done(follow) || !follow->kind->rolls)
		end(follow, "done", xstrdup("as it was set"), NULL);
	else if (jget_int(object, "metadata.generation", 0) > generation_of(follow) &&
		 generation_of(follow) > 0)
		end_superseded(follow, object);
	else if (follow->rollout.state == ROLLOUT_DONE)
		end(follow, "done", xstrdup(follow->rollout.says), NULL);
	else if (follow->rollout.state == ROLLOUT_PAUSED)
		end(follow, "stuck", xstrdup("its rollout is paused"),
		    "nothing happens until somebody resumes it");
	else if (follow->rollout.state == ROLLOUT_UNSEEN) /* its pods are those of before */
		end(follow, "going", xstrdup(follow->rollout.says), NULL);
	else
		ask_pods(follow);
	json_decref(now);
}

struct call *change_follow(const struct change_kind *kind, struct action_env *env,
			   const struct action_run *run, action_done_fn done, void *data)
{
	struct act *act = act_new(sizeof(struct follow), env, run, done, data);
	struct follow *follow = (struct follow *)act;
	struct kube_request request = { .method = "GET",
					.request_id = run->request_id,
					.person = run->person,
					.timeout_ms = run->timeout_ms };

	act->finish = on_finish;
	follow->kind = kind;
	follow->rollout.of = -1;
	if (!place_read(&follow->place, env, run->with, kind->fixed, PLACE_OBJECT, &act->err))
		return act_fail(act);
	request.kind = follow->place.kind;
	request.space = follow->place.space;
	request.name = follow->place.name;
	act->inner = kube_call(follow->place.kube, &request, on_object, follow);
	return &act->call;
}
