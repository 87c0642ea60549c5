/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h - what the action kinds share. */
#ifndef OPSD_ACTION_INTERNAL_H
#define OPSD_ACTION_INTERNAL_H

#include "action/env.h"
#include "base/err.h"
#include "core/action.h"
#include "kube/client.h"
#include "kube/kind.h"

#define ACTION_MARK "opsd/last-request" /* annotation: which request changed the object last */

/* --- env.c --- */

struct api {
	char *name, *url, *ca_file; /* url: no slash at the end */
	char *bearer;               /* a secret; NULL: none */
	struct http *http;
};

uv_loop_t *env_loop(const struct action_env *env);
const struct own_port *env_own(const struct action_env *env);
struct kube *env_kube(const struct action_env *env, const char *name);
const struct api *env_api(const struct action_env *env, const char *name);

size_t env_clusters(const struct action_env *env);
struct kube *env_cluster_at(const struct action_env *env, size_t i);
size_t env_apis(const struct action_env *env);
const struct api *env_api_at(const struct action_env *env, size_t i);

/* Does with name a cluster (an API) that is configured?  A template or a missing env passes. */
bool env_check_cluster(const struct action_env *env, const json_t *with, const char **ret_param,
		       struct err *err);
bool env_check_api(const struct action_env *env, const json_t *with, const char **ret_param,
		   struct err *err);

/* The namespace of Argo CD there. */
const char *env_argo_cd(const struct action_env *env, const struct kube *kube);
/* A cluster without KEDA is not asked for it each time. */
bool env_keda_missing(const struct action_env *env, const struct kube *kube);
void env_set_keda_missing(struct action_env *env, const struct kube *kube);

/* --- act.c: what every kind's calls have in common --- */

struct act { /* first member of a kind's own struct */
	struct call call;
	struct action_env *env;
	const struct action_run *run;
	struct call *inner;              /* what is waited for */
	void (*finish)(struct act *act); /* frees what the kind holds; may be NULL */
	action_done_fn done;
	void *data;
	struct err err; /* of act_fail */
};

struct act *act_new(size_t size, struct action_env *env, const struct action_run *run,
		    action_done_fn done, void *data);
void act_end(struct act *act, json_t *result); /* takes result */
void act_end_badly(struct act *act, const struct err *err);
/* On the next turn; for what is wrong at once.  err is in act->err. */
struct call *act_fail(struct act *act);
/* The whole call is that refusal. */
struct call *act_refuse(struct action_env *env, const struct action_run *run, const struct err *err,
			action_done_fn done, void *data);

/* Text that may still hold a {template}. */
bool has_template(const char *text);
int64_t number_of(const json_t *value, int64_t fallback); /* also "5" */
/* Any value as a text of at most 200 characters for a table.  A new reference. */
json_t *cell_of(const json_t *value);

/* --- place.c: the object that with names --- */

struct place {
	struct kube *kube;
	const struct kube_kind *kind;
	const char *space; /* NULL: cluster-wide, or all namespaces where that is allowed */
	const char *name;  /* NULL where a name is not needed */
};

enum place_needs { PLACE_LIST, PLACE_OBJECT };

/* fixed: the kind when with names none. */
bool place_read(struct place *place, const struct action_env *env, const json_t *with,
		const char *fixed, enum place_needs needs, struct err *err);
bool place_check(const struct action_env *env, const json_t *with, bool scalable,
		 const char **ret_param, struct err *err);
/* Reads the object: a GET as run's person. */
struct call *place_get(const struct place *place, const struct action_run *run, kube_done_fn done,
		       void *data);
json_t *place_target(const struct place *place);
/* Does ref ({ "apiVersion", "kind", "name" }) name it? */
bool place_is(const struct place *place, const json_t *ref, const char *default_kind);
char *place_text(const struct place *place); /* "Deployment ads/web on cluster main" */

struct step { /* of a number: scaling from 3 to 5 */
	int64_t from, to;
	bool set;
};

/* --- gather.c: several requests to one cluster at once --- */

struct gathered {
	enum kube_problem problem;
	struct err err;
	json_t *body; /* NULL on error */
};

enum { GATHER_MAX = 8 };
typedef void (*gather_done_fn)(void *data, const struct gathered *items);
struct call *gather_start(struct kube *kube, const struct kube_request *requests, size_t n,
			  gather_done_fn done, void *data);

/* --- owners.c: who else owns a field and what they will do to it; pure --- */

struct owners {
	json_t *owners, *warnings; /* arrays of the plan */
};
struct gitops;

/* Of any object: being deleted, a controller, who keeps it as Git has it, Helm, and who wrote the
 * field that is at path in managedFields ([ "f:spec", "f:replicas" ]; NULL: none). */
void owners_of_object(struct owners *owners, const struct place *place, const json_t *object,
		      const json_t *path, const struct gitops *git);
/* Does an entry of managedFields hold the field? */
bool owners_holds(const json_t *entry, const json_t *path);
/* One more owner; lever (taken, may be NULL) is what lasts instead. */
void owners_add(struct owners *owners, const char *who, json_t *lever, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void owners_warn(struct owners *owners, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "kubectl-edit at 2026-11-25T10:16:02Z": who wrote the field last, by the server's record; NULL:
 * nobody else than opsd.  The caller frees. */
char *owners_writer(const json_t *object, const json_t *path);
const char *object_note(const json_t *object, const char *list, const char *key);

/* --- gitops.c: Argo CD and Flux; pure --- */

enum { GITOPS_MAX = 3 };

struct gitops { /* who keeps an object as Git has it */
	struct keeper {
		const struct kube_kind *kind; /* Application, Kustomization, HelmRelease */
		char *space, *name;           /* name NULL: not known which */
		bool home;                    /* it is where Argo CD itself is */
		const json_t *object;         /* borrowed; NULL: not read */
	} keepers[GITOPS_MAX];
	size_t n;
};

/* argo_cd: the namespace of its own. */
void gitops_find(struct gitops *git, const char *argo_cd, const struct place *place,
		 const json_t *object);
void gitops_finish(struct gitops *git);
void gitops_say(struct owners *owners, const struct gitops *git, const struct place *place,
		const json_t *object, const json_t *path);
/* Is that manager one of those who were found? */
bool gitops_wrote(const struct gitops *git, const char *manager);
#define GITOPS_NEEDS                                                                               \
	{ .verbs = "get", .kinds = "Application", .at = ACTION_AT_ARGO_CD, .spare = true },        \
		{ .verbs = "get", .kinds = "Kustomization", .at = ACTION_AT_FLUX, .spare = true }, \
		{ .verbs = "get", .kinds = "HelmRelease", .at = ACTION_AT_FLUX, .spare = true },   \
		{ .verbs = "get", .kinds = "Kustomization", .spare = true },                       \
	{                                                                                          \
		.verbs = "get", .kinds = "HelmRelease", .spare = true                              \
	}

#define KEDA_PAUSED "autoscaling.keda.sh/paused"
#define KEDA_PAUSED_AT "autoscaling.keda.sh/paused-replicas"

/* --- scalers.c: autoscalers that set replicas; pure --- */

/* Lists may be NULL. */
void scalers_say(struct owners *owners, const struct place *place, const json_t *hpas,
		 const json_t *scaled_objects, const struct step *step);

/* --- quota.c: whether the pods of a change can start; pure --- */

struct pods_wish {          /* what a change does to the pods that there are */
	const json_t *spec; /* of a pod that comes; NULL: not known */
	int64_t pods;       /* so many come in all */
	const json_t *was;  /* of one that goes; NULL: none does */
	int64_t gone;       /* so many go */
	int64_t least;      /* so many come before one goes */
	const char *when;   /* " at 20 replicas"; NULL: at once */
};
struct planning;

/* quotas: a list, or NULL.  A warning for each that is too small. */
void quotas_say(struct owners *owners, const json_t *quotas, const struct pods_wish *wish);
void quotas_of_scale(struct planning *planning, int64_t to);
/* Its pods are replaced, one after the other, by those of a template. */
void quotas_of_rollout(struct planning *planning, const json_t *template);
#define QUOTA_NEED                                                                                 \
	{                                                                                          \
		.verbs = "list", .kinds = "ResourceQuota", .spare = true                           \
	}

/* --- planning.c: the parts of a plan --- */

struct planning { /* what a kind's build fills in */
	const struct place *place;
	const struct action_run *run;
	const json_t *object;
	const json_t *back;          /* the value to go back to; NULL: with says what it shall be */
	const struct gathered *more; /* what the kind's more asked for */
	const json_t *quotas;        /* of the namespace, as a list; NULL: not seen */
	json_t *plan;                /* owned; these are of it: */
	json_t *changes;             /* array */
	json_t *precondition;        /* has uid and resourceVersion */
	json_t *target;
	struct owners owners;
	struct step step; /* of a number that changes; for those that scale */
};

void planning_start(struct planning *planning, const struct place *place,
		    const struct action_run *run, const json_t *object);
/* One more change of the plan; from and to are stolen. */
void planning_change(struct planning *planning, const char *field, json_t *from, json_t *to);
/* What the change insists on and what it makes of it; both are stolen. */
void planning_expect(struct planning *planning, json_t *from, json_t *to);
json_t *planning_plan(struct planning *planning); /* takes all; a new reference */

/* --- change.c, change_plan.c: set something in one object, only if it still is as planned, with
 * our mark ---
 *
 * A plan's precondition holds uid, resourceVersion, from (the value as planned) and to (as wanted).
 */

enum { CHANGE_MORE = 2 };

struct change_kind {
	const char *fixed; /* the kind when with names none */
	bool scaled;       /* what scales the object matters */
	bool rolls;        /* pods come and go by it: it is complete when its controller says so */
	bool quota;        /* it makes pods, which the namespace's quotas may hold back */
	bool strategic;    /* lists are merged by their keys: containers, env */
	/* What else is to be read once the object is known; fills in kind, name and query (which
	 * the caller frees).  How many, at most CHANGE_MORE.  NULL: nothing. */
	size_t (*more)(const struct place *place, const struct action_run *run,
		       const json_t *object, struct kube_request *requests, char **ret_query);
	/* Planning, there or back; false: err (the change is refused). */
	bool (*build)(struct planning *planning, struct err *err);
	/* What to merge into the object, of a plan; a new reference. */
	json_t *(*fields)(const json_t *plan);
	/* The value that the plan is about, as it is now; a new reference, null when absent. */
	json_t *(*value)(const json_t *object, const json_t *plan);
	/* Where managedFields has it, as owners_of_object takes it; a new reference.  NULL: nobody
	 * but opsd writes it. */
	json_t *(*path)(const json_t *plan);
};

/* How the server is to read the body of the patch. */
const char *change_content(const struct change_kind *kind);
/* The body of the conditional patch: fields, uid, version and our mark.  A new reference. */
json_t *change_body(const struct change_kind *kind, const json_t *plan, const char *version,
		    const char *request_id);
const char *change_field(const json_t *plan); /* "replicas": what a sentence calls the value */
/* "5", "\"a\"", "absent", "min 2, max 10": a value in a sentence.  The caller frees. */
char *value_text(const json_t *value);

/* Reads the object and what else matters, builds, and if somebody is asked then the cluster is, by
 * a dry run. */
struct call *change_plan(const struct change_kind *kind, struct action_env *env,
			 const struct action_run *run, action_done_fn done, void *data);
/* The same for the way back from run->plan. */
struct call *change_revert(const struct change_kind *kind, struct action_env *env,
			   const struct action_run *run, action_done_fn done, void *data);
struct call *change_apply(const struct change_kind *kind, struct action_env *env,
			  const struct action_run *run, action_done_fn done, void *data);
struct call *change_look(const struct change_kind *kind, struct action_env *env,
			 const struct action_run *run, action_done_fn done, void *data);

/* --- follow.c --- */

struct call *change_follow(const struct change_kind *kind, struct action_env *env,
			   const struct action_run *run, action_done_fn done, void *data);

/* apply_change, look_change and follow_change of a kind that is one change; CHANGE_LOOKS: the last
 * two, for one that applies in its own way; CHANGE_BACK: and revert_change. */
#define CHANGE_STEPS(kind)                                                                         \
	static struct call *apply_change(struct action_env *env, const struct action_run *run,     \
					 action_done_fn done, void *data)                          \
	{                                                                                          \
		return change_apply(&(kind), env, run, done, data);                                \
	}                                                                                          \
	CHANGE_LOOKS(kind)
#define CHANGE_LOOKS(kind)                                                                         \
	static struct call *look_change(struct action_env *env, const struct action_run *run,      \
					action_done_fn done, void *data)                           \
	{                                                                                          \
		return change_look(&(kind), env, run, done, data);                                 \
	}                                                                                          \
	static struct call *follow_change(struct action_env *env, const struct action_run *run,    \
					  action_done_fn done, void *data)                         \
	{                                                                                          \
		return change_follow(&(kind), env, run, done, data);                               \
	}
#define CHANGE_BACK(kind)                                                                          \
	static struct call *revert_change(struct action_env *env, const struct action_run *run,    \
					  action_done_fn done, void *data)                         \
	{                                                                                          \
		return change_revert(&(kind), env, run, done, data);                               \
	}

/* --- rollout.c: what a change to the pods of a workload meets; pure --- */

bool rollout_kind(const char *kind); /* Deployment, StatefulSet or DaemonSet */
/* The place, and that its kind is one of those; fixed: the kind that it is when none is named. */
bool rollout_check(const json_t *with, const struct action_env *env, const char *fixed,
		   const char **ret_param, struct err *err);
void rollout_warn(struct planning *planning);
/* VerticalPodAutoscalers, as a kind's more, and what they do. */
size_t vpas_ask(const struct place *place, const struct action_run *run, const json_t *object,
		struct kube_request *requests, char **ret_query);
void vpas_say(struct planning *planning);

enum rollout_state { ROLLOUT_UNSEEN, ROLLOUT_GOING, ROLLOUT_DONE, ROLLOUT_PAUSED, ROLLOUT_FAILED };
struct rollout {
	enum rollout_state state;
	int64_t have, of; /* of < 0: a kind that has no rollout */
	char says[200];
};
struct rollout_counts {
	int64_t wanted, have, updated, ready, available;
};
/* false: a kind that has no rollout. */
bool rollout_counts(const json_t *object, const struct kube_kind *kind, struct rollout_counts *ret);
/* How far the controller of a workload is with what its spec says. */
void rollout_read(const json_t *object, const struct kube_kind *kind, struct rollout *ret);
/* Why its controller cannot make pods (quota, policy …), in the cluster's words; NULL: it can. */
const char *rollout_refusal(const json_t *object);

/* --- restarting.c: a change of settings, then the restart of the Deployment that "restart" names
 * ---
 */

struct restart_base { /* the change; revert may be NULL */
	action_fn plan, apply, look, revert, follow;
};
struct call *restarting_plan(const struct restart_base *base, struct action_env *env,
			     const struct action_run *run, action_done_fn done, void *data);
struct call *restarting_apply(const struct restart_base *base, struct action_env *env,
			      const struct action_run *run, action_done_fn done, void *data);
struct call *restarting_look(const struct restart_base *base, struct action_env *env,
			     const struct action_run *run, action_done_fn done, void *data);
struct call *restarting_revert(const struct restart_base *base, struct action_env *env,
			       const struct action_run *run, action_done_fn done, void *data);
struct call *restarting_follow(const struct restart_base *base, struct action_env *env,
			       const struct action_run *run, action_done_fn done, void *data);
bool restarting_check(const json_t *with, const char **ret_param, struct err *err);
/* What that takes beside the right to the settings. */
#define RESTARTING_NEEDS                                                                           \
	{ .verbs = "get patch", .kinds = "Deployment", .object = "restart", .when = "restart" },   \
		{ .verbs = "list", .kinds = "Pod", .when = "restart", .spare = true },             \
		{ .verbs = "list", .kinds = "ReplicaSet", .when = "restart", .spare = true },      \
		{ .verbs = "list", .kinds = "Event", .when = "restart", .spare = true },           \
		{ .verbs = "list", .kinds = "ResourceQuota", .when = "restart", .spare = true },   \
		{ .verbs = "list watch",                                                           \
		  .kinds = "Deployment",                                                           \
		  .object = "restart",                                                             \
		  .when = "restart",                                                               \
		  .spare = true },                                                                 \
	{                                                                                          \
		.verbs = "watch", .kinds = "Pod", .when = "restart", .spare = true                 \
	}

/* The steps of a kind whose base has that name: plan_both, apply_both … */
#define RESTARTING_STEP(step)                                                                      \
	static struct call *step##_both(struct action_env *env, const struct action_run *run,      \
					action_done_fn done, void *data)                           \
	{                                                                                          \
		return restarting_##step(&base, env, run, done, data);                             \
	}

/* --- quantity.c --- */

/* An amount of CPU or memory as the server writes it: "1024Mi" is "1Gi", "0.5" is "500m".  The
 * caller frees; NULL: it is none, or has a fraction that the server would round. */
char *quantity_canonical(const char *text);
/* In thousandths, rounded up; false: it is none, or too large. */
bool quantity_milli(const char *text, int64_t *ret);
/* bytes: in Ki, Mi, Gi where it is a whole number of them.  The caller frees. */
char *quantity_text(int64_t milli, bool bytes);

/* --- dry_run.c: the patch as a dry run --- */

/* then(data, err) with err NULL when it would be taken; warnings go to the plan. */
struct call *dry_run_start(const struct change_kind *kind, const struct place *place,
			   const struct action_run *run, json_t *plan, call_done_fn then,
			   void *data);

/* It was only that a webhook cannot be asked beforehand: then that is a warning. */
bool no_dry_run(struct owners *owners, const struct err *err);

/* --- nearby.c --- */

/* Adds " (did you mean …?)" to a NOT_FOUND by the names that are there; calls then(data, err). */
struct call *nearby_start(const struct place *place, const struct action_run *run,
			  const struct err *err, call_done_fn then, void *data);

/* --- pods.c: the pods of a workload; pure --- */

char *pods_selector(const json_t *workload); /* "app=web"; the caller frees */
char *pods_query(const json_t *workload);    /* of a list of its pods; the caller frees */
bool pods_ready(const json_t *pod);
bool pods_owned(const json_t *object, const char *uid); /* is that its owner? */
/* Is why what nobody waits out: it takes somebody to put it right? */
bool pods_trouble(const char *why);
/* [name, phase, restarts, why] of each that is not ready.  A new reference. */
json_t *pods_unready_rows(const json_t *pods);

struct worst {             /* of pods that are not ready: the first in trouble, or the first */
	const json_t *pod; /* NULL: all are ready */
	char why[300];
	size_t n; /* that are not ready */
};
void pods_worst(const json_t *pods, struct worst *ret);

/* --- why.c: what a rollout waits for; pure --- */

/* The uid of the ReplicaSet that a Deployment is to become; NULL: not there yet. */
const char *why_set(const json_t *sets, const json_t *object);
/* The pods that are to come up: of the newest revision, and not on their way out.  set: of a
 * Deployment; NULL: not known.  A new reference. */
json_t *why_pods(const json_t *object, const char *set, const json_t *all);
/* The last warning since opsd changed the object; NULL: none. */
const char *why_warning(const json_t *events, const json_t *object);

struct why {
	char *text;        /* owned; NULL: no reason is seen */
	const char *cause; /* "image", "memory", "crash", "config", "volume", "nodes", "quota",
			      "policy", "ready"; NULL: none of these */
	const char *about; /* uid of what the events may say more of */
	bool trouble;      /* it will not end without somebody */
	bool unclear;      /* the events may say more */
};
void why_read(struct why *why, const json_t *object, const json_t *pods);
void why_add(struct why *why, const char *warning); /* what the events say; NULL: nothing */

/* The last lines of a log that fit into a message, without what is no text.  The caller frees. */
char *logs_tail(const char *raw); /* kube_logs.c */

/* --- watching.c: what the watches of followed changes know --- */

/* One of the progress's "watch": the place's object, or the pods of a selector in its namespace.  A
 * new reference. */
json_t *watched_wish(const struct place *place, const char *selector);
/* Is it known?  Then object is lent; NULL: it is gone. */
bool watched_object(const struct place *place, const json_t **ret_object);
/* { "items" } as a list has them, a new reference; NULL: not known. */
json_t *watched_pods(const struct place *place, const char *selector);

/* The verbs with which the place's object can be watched, and, with list, its pods. */
#define WATCH_NEED(which, param)                                                                   \
	{                                                                                          \
		.verbs = "list watch", .kinds = which, .object = param, .spare = true              \
	}
#define WATCH_PODS_NEED                                                                            \
	{                                                                                          \
		.verbs = "watch", .kinds = "Pod", .spare = true                                    \
	}

/* --- follow_job.c --- */

/* The strings of place must live until it is done. */
struct call *job_follow(const struct place *place, struct action_env *env,
			const struct action_run *run, action_done_fn done, void *data);

/* --- kube_node.c: a node that takes no new pods, as a change --- */

json_t *cordon_fields(const json_t *plan);
json_t *cordon_value(const json_t *object, const json_t *plan);
json_t *cordon_path(const json_t *plan);

/* --- kube_events.c --- */

/* When an event was seen last; "": unknown. */
const char *events_when(const json_t *event);

/* --- jobs.c: how a Job is; pure --- */

/* "complete", "failed", "finishing", "suspended", "running" or "waiting". */
const char *job_state(const json_t *job);
const char *job_failure(const json_t *job); /* the cluster's words; "" */

/* --- opsd_freeze.c --- */

char *own_what_text(const json_t *what); /* "team=ads cluster=main" or "everything"; freed */

/* --- the kinds --- */

/* clang-format off */
extern const struct action_kind action_access_break_glass;
extern const struct action_kind action_access_end;
extern const struct action_kind action_access_grant;
extern const struct action_kind action_access_list;
extern const struct action_kind action_access_relink;
extern const struct action_kind action_access_suspend;
extern const struct action_kind action_http_call;
extern const struct action_kind action_http_list;
extern const struct action_kind action_http_task;
extern const struct action_kind action_kube_autoscale;
extern const struct action_kind action_kube_config;
extern const struct action_kind action_kube_cordon;
extern const struct action_kind action_kube_cronjob;
extern const struct action_kind action_kube_delete;
extern const struct action_kind action_kube_drain;
extern const struct action_kind action_kube_events;
extern const struct action_kind action_kube_job;
extern const struct action_kind action_kube_keda;
extern const struct action_kind action_kube_list;
extern const struct action_kind action_kube_logs;
extern const struct action_kind action_kube_patch;
extern const struct action_kind action_kube_restart;
extern const struct action_kind action_kube_scale;
extern const struct action_kind action_kube_secret;
extern const struct action_kind action_kube_set;
extern const struct action_kind action_kube_status;
extern const struct action_kind action_kube_undo;
extern const struct action_kind action_opsd_freeze;
extern const struct action_kind action_opsd_resolve;
extern const struct action_kind action_opsd_unfreeze;
/* clang-format on */

#endif
