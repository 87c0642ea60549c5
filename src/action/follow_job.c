/* SPDX-License-Identifier: Apache-2.0 */
/*
 * follow_job.c - one look at a job: its state by its conditions, and at the end the last lines of
 * its log, for the requester alone.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

enum { AGAIN_MS = 2000, LINES = 20, LOG_BYTES = 16 * 1024, SAYS_MAX = 400 };

struct job_follow {
	struct act act;
	struct place place; /* of the job */
	json_t *job;
	char *selector; /* of its pods */
	char why[SAYS_MAX];
};

static void on_finish(struct act *act)
{
	struct job_follow *follow = (struct job_follow *)act;

	json_decref(follow->job);
	free(follow->selector);
}

static bool is_over(const char *state)
{
	return str_eq(state, "complete") || str_eq(state, "failed");
}

/* Whoever watches these knows of the next step when it is made. */
static json_t *watch_of(const struct job_follow *follow)
{
	return json_pack("[o, o]", watched_wish(&follow->place, NULL),
			 watched_wish(&follow->place, follow->selector));
}

/* Takes nothing; text NULL: none. */
static void end(struct job_follow *follow, const char *text)
{
	const char *state = job_state(follow->job), *failure = job_failure(follow->job);
	int64_t failed = jget_int(follow->job, "status.failed", 0);
	int64_t of = jget_int(follow->job, "spec.completions", 1);
	char says[SAYS_MAX], *name = xstrdup(follow->place.name);
	json_t *progress;

	if (str_eq(state, "failed"))
		(void)snprintf(says, sizeof(says), "job %s failed: %.300s", name, failure);
	else if (failed > 0)
		(void)snprintf(says, sizeof(says),
			       "job %s is %s, after %" PRId64 " tries that failed", name, state,
			       failed);
	else
		(void)snprintf(says, sizeof(says), "job %s is %s", name, state);
	progress = json_pack("{s:s, s:s, s:s*, s:s*, s:b, s:i, s:{s:s}, s:o}", "state",
			     str_eq(state, "complete")                              ? "done"
			     : str_eq(state, "failed")                              ? "failed"
			     : follow->why[0] != '\0' || str_eq(state, "suspended") ? "stuck"
										    : "going",
			     "says", says, "why",
			     follow->why[0] != '\0'       ? follow->why
			     : str_eq(state, "suspended") ? "it does not run until somebody lets it"
							  : NULL,
			     "text", text, "final", 1, "again_ms", AGAIN_MS, "keep", "job", name,
			     "watch", watch_of(follow));
	if (of > 1) {
		json_object_set_new(progress, "have",
				    json_integer(jget_int(follow->job, "status.succeeded", 0)));
		json_object_set_new(progress, "of", json_integer(of));
	}
	free(name);
	act_end(&follow->act, progress);
}

/* The log is for the eye: without it the job's result is what it is. */
static void on_log(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct job_follow *follow = data;
	char *text = err == NULL ? logs_tail(answer->text) : NULL;

	follow->act.inner = NULL;
	end(follow, text);
	free(text);
}

/* The newest, since an earlier one failed; NULL: none. */
static const json_t *newest_pod(const json_t *pods, const json_t *job)
{
	const json_t *best = NULL;
	json_t *pod;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)pods, i, pod)
	{
		if (pods_owned(pod, jget_str(job, "metadata.uid")) &&
		    (best == NULL ||
		     strcmp(jget_str_or(pod, "metadata.creationTimestamp", ""),
			    jget_str_or(best, "metadata.creationTimestamp", "")) >= 0))
			best = pod;
	}
	return best;
}

static void ask_log(struct job_follow *follow, const json_t *pod)
{
	const struct action_run *run = follow->act.run;
	char *query = xasprintf("tailLines=%d&limitBytes=%d", LINES, LOG_BYTES);
	struct kube_request request = { .method = "GET",
					.kind = kube_kind_find("Pod"),
					.space = follow->place.space,
					.name = jget_str_or(pod, "metadata.name", ""),
					.subresource = "log",
					.query = query,
					.accept = "*/*",
					.request_id = run->request_id,
					.timeout_ms = run->timeout_ms / 2 + 1 };

	follow->act.inner = kube_call(follow->place.kube, &request, on_log, follow);
	free(query);
}

static void put_why(struct job_follow *follow, const json_t *pod)
{
	json_t *one = json_pack("[O]", pod), *rows = pods_unready_rows(one);
	const char *why = json_string_value(json_array_get(json_array_get(rows, 0), 3));

	if (why != NULL && pods_trouble(why))
		(void)snprintf(follow->why, sizeof(follow->why), "%s: %.300s",
			       jget_str_or(pod, "metadata.name", "?"), why);
	json_decref(one);
	json_decref(rows);
}

static void take_pods(struct job_follow *follow, const json_t *pods)
{
	const json_t *pod = newest_pod(json_object_get(pods, "items"), follow->job);

	if (pod != NULL && is_over(job_state(follow->job))) {
		ask_log(follow, pod);
		return;
	}
	/* One that failed is tried again, or ends the job. */
	if (pod != NULL && !str_eq(jget_str(pod, "status.phase"), "Failed"))
		put_why(follow, pod);
	end(follow, NULL);
}

static void on_pods(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct job_follow *follow = data;

	(void)err; /* then there is neither a log nor a reason */
	follow->act.inner = NULL;
	take_pods(follow, answer->body);
}

static void end_gone(struct job_follow *follow)
{
	char *says =
		xasprintf("job %s is gone: it ended and was cleaned away, or somebody deleted it",
			  follow->place.name);

	act_end(&follow->act,
		json_pack("{s:s, s:s, s:b}", "state", "superseded", "says", says, "final", 1));
	free(says);
}

static void take_job(struct job_follow *follow, const json_t *job)
{
	const struct action_run *run = follow->act.run;
	struct kube_request request = { .method = "GET",
					.kind = kube_kind_find("Pod"),
					.space = follow->place.space,
					.request_id = run->request_id,
					.timeout_ms = run->timeout_ms };
	json_t *pods;
	char *query;

	follow->job = json_incref((json_t *)(uintptr_t)job);
	follow->selector = pods_selector(job);
	pods = run->known ? watched_pods(&follow->place, follow->selector) : NULL;
	if (pods != NULL) {
		take_pods(follow, pods);
		json_decref(pods);
		return;
	}
	query = pods_query(job);
	request.query = query;
	follow->act.inner = kube_call(follow->place.kube, &request, on_pods, follow);
	free(query);
}

static void on_job(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct job_follow *follow = data;

	follow->act.inner = NULL;
	if (answer->problem == KUBE_NOT_FOUND)
		end_gone(follow);
	else if (err != NULL)
		act_end_badly(&follow->act, err);
	else
		take_job(follow, answer->body);
}

static void ask_job(struct job_follow *follow)
{
	follow->act.inner = place_get(&follow->place, follow->act.run, on_job, follow);
}

/* A watch may be behind: that a job is gone is asked of the cluster itself. */
static void on_known(void *data)
{
	struct job_follow *follow = data;
	const json_t *job;

	follow->act.inner = NULL;
	if (watched_object(&follow->place, &job) && job != NULL)
		take_job(follow, job);
	else
		ask_job(follow);
}

struct call *job_follow(const struct place *place, struct action_env *env,
			const struct action_run *run, action_done_fn done, void *data)
{
	struct act *act = act_new(sizeof(struct job_follow), env, run, done, data);
	struct job_follow *follow = (struct job_follow *)act;

	act->finish = on_finish;
	follow->place = *place;
	if (run->known)
		act->inner = call_defer(env_loop(env), on_known, follow);
	else
		ask_job(follow);
	return &act->call;
}
