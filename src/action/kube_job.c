/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kube_job.c - run a task now: a CronJob's, as kubectl create job --from does it, or that of a job
 * that serves as a template; with variables and arguments of its own.
 *
 * The job's name is made of the request's id, so that a second sending meets the first: "exists
 * already" with our mark on it is success.
 */
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

enum { BASE_MAX = 40, HASH_LEN = 10, ENV_MAX = 32, ARGS_MAX = 32, TTL_S = 24 * 3600 };

static const struct action_param params[] = {
	{ "cluster", ACTION_TEXT, true, "a cluster of the configuration" },
	{ "namespace", ACTION_TEXT, true, "the namespace" },
	{ "kind", ACTION_TEXT, false,
	  "CronJob (the default), or Job: one that serves as a template, often suspended" },
	{ "name", ACTION_TEXT, true, "the CronJob or Job whose task is run" },
	{ "env", ACTION_OBJECT, false, "variables for its first container" },
	{ "args", ACTION_LIST, false, "arguments of its first container, in place of its own" },
	{ NULL, ACTION_TEXT, false, NULL },
};

struct job {
	struct act act;
	struct place place; /* of the CronJob, or of the job that is the template */
	char *job_name;
	json_t *plan; /* while it is tried */
	bool looks;
};

static void on_finish(struct act *act)
{
	json_decref(((struct job *)act)->plan);
	free(((struct job *)act)->job_name);
}

static char *job_name(const char *base, const char *request_id)
{
	char hex[DIGEST_HEX_LEN];
	size_t len = strlen(base) < BASE_MAX ? strlen(base) : BASE_MAX;

	digest_hex(request_id, strlen(request_id), hex);
	while (len > 0 && (base[len - 1] == '-' || base[len - 1] == '.'))
		len--;
	return xasprintf("%.*s-%.*s", (int)len, base, HASH_LEN, hex);
}

static bool startable(const char *kind, struct err *err)
{
	if (str_eq(kind, "CronJob") || str_eq(kind, "Job"))
		return true;
	err_set(err, ERR_INVALID, "the task of a CronJob or of a Job can be run, not of a %s",
		kind);
	return false;
}

static struct job *job_new(struct action_env *env, const struct action_run *run,
			   action_done_fn done, void *data)
{
	struct act *act = act_new(sizeof(struct job), env, run, done, data);
	struct job *job = (struct job *)act;

	act->finish = on_finish;
	if (place_read(&job->place, env, run->with, "CronJob", PLACE_OBJECT, &act->err) &&
	    startable(job->place.kind->kind, &act->err))
		job->job_name = job_name(job->place.name, run->request_id);
	return job;
}

static void ask(struct job *job, const char *method, const struct kube_kind *kind, const char *name,
		const json_t *body, kube_done_fn done)
{
	const struct action_run *run = job->act.run;
	struct kube_request request = { .method = method,
					.kind = kind,
					.space = job->place.space,
					.name = name,
					.body = body,
					.request_id = run->request_id,
					.person = run->person,
					.timeout_ms = run->timeout_ms };

	job->act.inner = kube_call(job->place.kube, &request, done, job);
}

/* --- the job --- */

static void add_env(json_t *job_spec, const json_t *wanted)
{
	json_t *container = json_array_get(jget(job_spec, "template.spec.containers"), 0);
	json_t *env = json_object_get(container, "env"), *value, *item;
	const char *key;
	size_t i;

	if (env == NULL) {
		env = json_array();
		json_object_set_new(container, "env", env);
	}
	json_object_foreach((json_t *)(uintptr_t)wanted, key, value)
	{
		json_array_foreach(env, i, item) if (str_eq(jget_str(item, "name"), key)) break;
		if (i < json_array_size(env))
			json_array_remove(env, i);
		if (!json_is_null(value) && json_array_size(env) < ENV_MAX)
			json_array_append_new(
				env, json_pack("{s:s, s:o}", "name", key, "value", cell_of(value)));
	}
}

static void set_args(json_t *job_spec, const json_t *wanted)
{
	json_t *container = json_array_get(jget(job_spec, "template.spec.containers"), 0);
	json_t *args, *value;
	size_t i;

	if (json_array_size(wanted) == 0)
		return;
	args = json_array();
	json_array_foreach((json_t *)(uintptr_t)wanted, i, value)
	{
		/* An optional parameter that was not given is no argument. */
		if (!json_is_null(value) && json_array_size(args) < ARGS_MAX)
			json_array_append_new(args, cell_of(value));
	}
	json_object_set_new(container, "args", args);
}

/* What the controller put into a job that was run once, or that kept it from running. */
static void strip(json_t *spec)
{
	static const char *const own[] = { "controller-uid", "job-name",
					   "batch.kubernetes.io/controller-uid",
					   "batch.kubernetes.io/job-name" };

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		json_object_del(jget(spec, "template.metadata.labels"), own[i]);
	json_object_del(spec, "selector");
	json_object_del(spec, "manualSelector");
	json_object_del(spec, "suspend");
	/* Nobody owns it, so nobody else cleans it away. */
	if (json_object_get(spec, "ttlSecondsAfterFinished") == NULL)
		json_object_set_new(spec, "ttlSecondsAfterFinished", json_integer(TTL_S));
}

/* What kubectl builds: owned by the CronJob, so that its history limits clean it up. */
static json_t *owners_of(const struct job *job, const json_t *source)
{
	return json_pack("[{s:s, s:s, s:s, s:s, s:b}]", "apiVersion", "batch/v1", "kind", "CronJob",
			 "name", job->place.name, "uid", jget_str_or(source, "metadata.uid", ""),
			 "controller", 1);
}

static json_t *build_job(const struct job *job, const json_t *source)
{
	bool cron = str_eq(job->place.kind->kind, "CronJob");
	const json_t *template = cron ? jget(source, "spec.jobTemplate") : source;
	json_t *spec = json_deep_copy(json_object_get(template, "spec"));
	json_t *notes = cron ? json_deep_copy(jget(template, "metadata.annotations")) : NULL;
	json_t *labels = json_deep_copy(jget(template, "metadata.labels"));

	if (notes == NULL)
		notes = json_object();
	if (cron)
		json_object_set_new(notes, "cronjob.kubernetes.io/instantiate",
				    json_string("manual"));
	else
		strip(spec);
	json_object_set_new(notes, ACTION_MARK, json_string(job->act.run->request_id));
	add_env(spec, json_object_get(job->act.run->with, "env"));
	set_args(spec, json_object_get(job->act.run->with, "args"));
	return json_pack("{s:s, s:s, s:{s:s, s:o, s:o*, s:o*}, s:o*}", "apiVersion", "batch/v1",
			 "kind", "Job", "metadata", "name", job->job_name, "annotations", notes,
			 "labels", labels, "ownerReferences", cron ? owners_of(job, source) : NULL,
			 "spec", spec);
}

/* --- plan --- */

static void on_near(void *data, const struct err *err)
{
	act_end_badly(data, err);
}

static void put_args(struct planning *planning)
{
	static const char *const names[] = { "env", "args" };

	for (size_t i = 0; i < 2; i++) {
		const json_t *value = json_object_get(planning->run->with, names[i]);
		char *text;

		if (json_object_size(value) + json_array_size(value) == 0)
			continue;
		text = json_dumps(value, JSON_COMPACT);
		planning_change(planning, names[i], json_null(), json_string(text));
		free(text);
	}
}

static void warn(struct planning *planning)
{
	const json_t *source = planning->object;
	bool cron = str_eq(planning->place->kind->kind, "CronJob");
	size_t active = json_array_size(jget(source, "status.active"));
	struct owners *owners = &planning->owners;
	bool vanishes =
		cron ? jget_int(source, "spec.successfulJobsHistoryLimit", 3) == 0 ||
				jget_int(source, "spec.failedJobsHistoryLimit", 1) == 0 ||
				jget_int(source, "spec.jobTemplate.spec.ttlSecondsAfterFinished",
					 3600) < 600
		     : jget_int(source, "spec.ttlSecondsAfterFinished", TTL_S) < 600;

	if (active > 0)
		owners_warn(owners, "%zu of its jobs run now; this one runs beside them.", active);
	if (vanishes)
		owners_warn(owners, "The job and its log are cleaned away soon after it ends.");
	/* Then its absence does not say that it never was. */
	json_object_set_new(planning->precondition, "vanishes", json_boolean(vanishes));
}

/* As many pods as run at once. */
static void forecast(struct planning *planning, const json_t *job_spec, const json_t *quotas)
{
	int64_t beside = jget_int(job_spec, "parallelism", 1);
	int64_t in_all = jget_int(job_spec, "completions", beside);
	struct pods_wish wish = { .spec = jget(job_spec, "template.spec"),
				  .pods = in_all < beside ? in_all : beside };

	quotas_say(&planning->owners, quotas, &wish);
}

/* That its name is taken is an earlier sending of this very request, or found when it is done. */
static void on_tried(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct job *job = data;
	json_t *plan = job->plan, *text;
	struct owners owners = { NULL, json_object_get(plan, "warnings") };
	size_t i;

	job->act.inner = NULL;
	if (err != NULL && answer->problem != KUBE_EXISTS && !no_dry_run(&owners, err)) {
		act_end_badly(&job->act, err);
		return;
	}
	json_array_foreach(answer->warnings, i, text)
		owners_warn(&owners, "The cluster warns: %s", json_string_value(text));
	job->plan = NULL;
	act_end(&job->act, plan);
}

/* A policy, or a quota of jobs, says no before anybody is asked to confirm. */
static void try_it(struct job *job, const json_t *source)
{
	const struct action_run *run = job->act.run;
	json_t *body = build_job(job, source);
	struct kube_request request = { .method = "POST",
					.kind = kube_kind_find("Job"),
					.space = job->place.space,
					.body = body,
					.dry_run = true,
					.request_id = run->request_id,
					.person = run->person,
					.timeout_ms = run->timeout_ms };

	job->act.inner = kube_call(job->place.kube, &request, on_tried, job);
	json_decref(body);
}

enum { SOURCE, QUOTAS, READS };

static void on_read(void *data, const struct gathered *items)
{
	struct job *job = data;
	const json_t *source = items[SOURCE].body;
	bool asked = job->act.run->asked, cron = str_eq(job->place.kind->kind, "CronJob");
	struct planning planning;
	json_t *plan;

	job->act.inner = NULL;
	if (items[SOURCE].problem == KUBE_NOT_FOUND) {
		job->act.inner =
			nearby_start(&job->place, job->act.run, &items[SOURCE].err, on_near, job);
		return;
	}
	if (items[SOURCE].problem != KUBE_FINE) {
		act_end_badly(&job->act, &items[SOURCE].err);
		return;
	}
	planning_start(&planning, &job->place, job->act.run, source);
	planning_change(&planning, "job", json_null(), json_string(job->job_name));
	put_args(&planning);
	warn(&planning);
	if (asked)
		forecast(&planning, jget(source, cron ? "spec.jobTemplate.spec" : "spec"),
			 items[QUOTAS].body);
	plan = planning_plan(&planning);
	if (!asked) {
		act_end(&job->act, plan);
		return;
	}
	job->plan = plan;
	try_it(job, source);
}

static struct call *plan_job(struct action_env *env, const struct action_run *run,
			     action_done_fn done, void *data)
{
	struct job *job = job_new(env, run, done, data);
	struct kube_request requests[READS] = { 0 };

	if (job->job_name == NULL)
		return act_fail(&job->act);
	for (size_t i = 0; i < READS; i++) {
		requests[i].method = "GET";
		requests[i].space = job->place.space;
		requests[i].request_id = run->request_id;
		requests[i].person = run->person;
		requests[i].timeout_ms = run->timeout_ms;
	}
	requests[SOURCE].kind = job->place.kind;
	requests[SOURCE].name = job->place.name;
	requests[QUOTAS].kind = kube_kind_find("ResourceQuota");
	requests[QUOTAS].query = "limit=500";
	job->act.inner =
		gather_start(job->place.kube, requests, run->asked ? READS : QUOTAS, on_read, job);
	return &job->act.call;
}

/* --- apply --- */

static void end_done(struct job *job, const json_t *made)
{
	json_t *outcome = json_object();
	char *text = xasprintf("job %s started", job->job_name);

	json_object_set_new(outcome, "done", json_string(text));
	json_object_set_new(outcome, "evidence",
			    json_pack("{s:s, s:s}", "job", job->job_name, "uid",
				      jget_str_or(made, "metadata.uid", "")));
	if (job->looks) {
		json_object_set_new(outcome, "state", json_string("done"));
		json_object_set_new(outcome, "says", json_string("The job is there."));
	}
	free(text);
	act_end(&job->act, outcome);
}

static bool ours(const struct job *job, const json_t *made)
{
	return str_eq(
		json_string_value(json_object_get(jget(made, "metadata.annotations"), ACTION_MARK)),
		job->act.run->request_id);
}

/* The name is taken: by an earlier sending of this very request? */
static void on_existing(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct job *job = data;
	struct err own;

	job->act.inner = NULL;
	if (err != NULL) {
		own = *err;
		own.kind = ERR_UNCERTAIN;
		act_end_badly(&job->act, &own);
	} else if (ours(job, answer->body)) {
		end_done(job, answer->body);
	} else {
		err_set(&own, ERR_INVALID, "a job %s exists already and is not this request's",
			job->job_name);
		act_end_badly(&job->act, &own);
	}
}

static void on_created(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct job *job = data;

	job->act.inner = NULL;
	if (err == NULL)
		end_done(job, answer->body);
	else if (answer->problem == KUBE_EXISTS)
		ask(job, "GET", kube_kind_find("Job"), job->job_name, NULL, on_existing);
	else
		act_end_badly(&job->act, err);
}

static void on_template(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct job *job = data;
	json_t *body;
	struct err own;

	job->act.inner = NULL;
	if (err != NULL) {
		act_end_badly(&job->act, err);
		return;
	}
	if (!str_eq(jget_str(answer->body, "metadata.uid"),
		    jget_str(job->act.run->plan, "precondition.uid"))) {
		err_set(&own, ERR_INVALID,
			"%s %s/%s was deleted and created again meanwhile; nothing was "
			"started. Ask again.",
			job->place.kind->kind, job->place.space, job->place.name);
		act_end_badly(&job->act, &own);
		return;
	}
	body = build_job(job, answer->body);
	ask(job, "POST", kube_kind_find("Job"), NULL, body, on_created);
	json_decref(body);
}

static struct call *apply_job(struct action_env *env, const struct action_run *run,
			      action_done_fn done, void *data)
{
	struct job *job = job_new(env, run, done, data);

	if (job->job_name == NULL)
		return act_fail(&job->act);
	ask(job, "GET", job->place.kind, job->place.name, NULL, on_template);
	return &job->act.call;
}

/* --- look --- */

static void on_looked(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct job *job = data;
	json_t *look;
	char *says;
	bool mine;

	job->act.inner = NULL;
	if (err != NULL && answer->problem != KUBE_NOT_FOUND) {
		act_end_badly(&job->act, err);
		return;
	}
	mine = err == NULL && ours(job, answer->body);
	if (mine) {
		end_done(job, answer->body);
		return;
	}
	says = xasprintf(err == NULL ? "A job %s is there, but it is not this request's."
				     : "There is no job %s.",
			 job->job_name);
	/* One that ended may have been cleaned away already: then it did run. */
	look = json_pack("{s:s, s:s, s:{s:s}}", "state", "not_done", "says", says, "evidence",
			 "job", job->job_name);
	if (jget_bool(job->act.run->plan, "precondition.vanishes", false))
		json_object_set_new(look, "state", json_string("unknown"));
	free(says);
	act_end(&job->act, look);
}

static struct call *look_job(struct action_env *env, const struct action_run *run,
			     action_done_fn done, void *data)
{
	struct job *job = job_new(env, run, done, data);

	if (job->job_name == NULL)
		return act_fail(&job->act);
	job->looks = true;
	ask(job, "GET", kube_kind_find("Job"), job->job_name, NULL, on_looked);
	return &job->act.call;
}

/* The name is on record: with it the look needs nothing else. */
static struct call *follow_the_job(struct action_env *env, const struct action_run *run,
				   action_done_fn done, void *data)
{
	struct place place;
	struct err err;

	if (!place_read(&place, env, run->with, "CronJob", PLACE_OBJECT, &err))
		return act_refuse(env, run, &err, done, data);
	place.kind = kube_kind_find("Job");
	place.name = jget_str(run->since, "keep.job");
	if (place.name == NULL)
		place.name = jget_str(run->since, "evidence.job");
	if (place.name == NULL) {
		err_set(&err, ERR_INVALID, "it is not on record which job it is");
		return act_refuse(env, run, &err, done, data);
	}
	return job_follow(&place, env, run, done, data);
}

static bool check_job(const json_t *with, const struct action_env *env, const char **ret_param,
		      struct err *err)
{
	const char *kind = jget_str_or(with, "kind", "CronJob");
	const struct kube_kind *found = kube_kind_find(kind);

	if (!place_check(env, with, false, ret_param, err))
		return false;
	*ret_param = "kind";
	return has_template(kind) || startable(found != NULL ? found->kind : kind, err);
}

static const struct action_need needs[] = {
	{ .verbs = "get", .kinds = "CronJob Job", .object = "name" },
	{ .verbs = "list", .kinds = "CronJob Job", .spare = true },
	{ .verbs = "get create", .kinds = "Job" },
	QUOTA_NEED,
	{ .verbs = "list", .kinds = "Pod", .spare = true },
	WATCH_PODS_NEED,
	{ .verbs = "list watch", .kinds = "Job", .spare = true },
	{ .verbs = "get", .kinds = "Pod", .subresource = "log", .spare = true },
	{ .verbs = NULL },
};

const struct action_kind action_kube_job = {
	.name = "kube.job",
	.about = "Run a task now: that of a CronJob, or of a job that is a template",
	.params = params,
	.effect = ACTION_KEYED,
	.check = check_job,
	.plan = plan_job,
	.apply = apply_job,
	.look = look_job,
	.follow = follow_the_job,
	.needs = needs,
};
