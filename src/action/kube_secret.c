/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kube_secret.c - set one key of a Secret, without ever reading one.
 *
 * What is needed beforehand, uid, version, mark and who wrote the key, is the metadata that the
 * answer to a dry run of an empty change holds; so the verb patch is enough, and no value comes
 * here.  The key is still as planned when the record of who wrote it says the same.  The new value
 * goes from the typed arguments to the cluster: no plan, outcome or sentence has it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/jwt.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

enum { VALUE_MAX = 8000, PATCHES_MAX = 5, STAYS_MS = 10000 };

#define METADATA "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

static const struct action_param params[] = {
	{ "cluster", ACTION_TEXT, true, "a cluster of the configuration" },
	{ "namespace", ACTION_TEXT, true, "the Secret's namespace" },
	{ "name", ACTION_TEXT, true, "the Secret's name" },
	{ "key", ACTION_TEXT, true, "the key" },
	{ "value", ACTION_TEXT, true, "its new value: the {name} of a secret parameter" },
	{ "restart", ACTION_TEXT, false, "a Deployment that reads it: it is restarted afterwards" },
	{ NULL, ACTION_TEXT, false, NULL },
};

struct secret {
	struct act act;
	struct place place;
	json_t *plan;
	char *version;
	unsigned patches;
};

static void on_finish(struct act *act)
{
	json_decref(((struct secret *)act)->plan);
	free(((struct secret *)act)->version);
}

static const char *key_of(const struct secret *secret)
{
	return jget_str_or(secret->act.run->with, "key", "");
}

static void send_patch(struct secret *secret, json_t *body, bool dry_run, kube_done_fn done)
{
	const struct action_run *run = secret->act.run;
	struct kube_request request = { .method = "PATCH",
					.kind = secret->place.kind,
					.space = secret->place.space,
					.name = secret->place.name,
					.person = run->person,
					.body = body,
					.content_type = "application/merge-patch+json",
					.accept = METADATA,
					.request_id = run->request_id,
					.dry_run = dry_run,
					.timeout_ms = run->timeout_ms };

	secret->act.inner = kube_call(secret->place.kube, &request, done, secret);
	json_decref(body);
}

/* Nothing is changed and nothing is read but the metadata. */
static void peek(struct secret *secret, kube_done_fn done)
{
	send_patch(secret, json_object(), true, done);
}

/* As the API wants bytes: the plain alphabet, filled up.  The caller frees. */
static char *base64(const char *value)
{
	char *url = base64url(value, strlen(value)), *text;
	size_t len = strlen(url);

	for (char *p = url; *p != '\0'; p++)
		*p = (char)(*p == '-' ? '+' : *p == '_' ? '/' : *p);
	text = xasprintf("%s%.*s", url, (int)((4 - len % 4) % 4), "===");
	secret_free(url);
	return text;
}

/* The change itself; version NULL: whatever it is now. */
static json_t *body_of(const struct secret *secret, const char *version)
{
	const struct action_run *run = secret->act.run;
	const char *value = jget_str_or(run->with, "value", "");
	char *coded = base64(value);
	json_t *body =
		json_pack("{s:{s:s}, s:{s:s, s:s*, s:{s:s}}}", "data", key_of(secret), coded,
			  "metadata", "uid", jget_str_or(secret->plan, "precondition.uid", ""),
			  "resourceVersion", version, "annotations", ACTION_MARK, run->request_id);

	secret_free(coded);
	return body;
}

/* Who wrote the key, opsd too: { "manager", "time" } of the newest record; null: there is no such
 * key. */
static json_t *writer_of(const struct secret *secret, const json_t *object)
{
	const json_t *last = NULL;
	char *field = xasprintf("f:%s", key_of(secret));
	json_t *entry;
	size_t i;

	json_array_foreach(jget(object, "metadata.managedFields"), i, entry)
	{
		const json_t *data = jget(entry, "fieldsV1.f:data");

		if (json_object_get(data, field) != NULL &&
		    (last == NULL ||
		     strcmp(jget_str_or(entry, "time", ""), jget_str_or(last, "time", "")) >= 0))
			last = entry;
	}
	free(field);
	if (last == NULL)
		return json_null();
	return json_pack("{s:s, s:s}", "manager", jget_str_or(last, "manager", "?"), "time",
			 jget_str_or(last, "time", "?"));
}

static void end_sentence(struct secret *secret, const char *says)
{
	char *what = place_text(&secret->place);
	struct err err;

	err_set(&err, ERR_INVALID, "%s %s", what, says);
	free(what);
	act_end_badly(&secret->act, &err);
}

/* --- plan --- */

static void on_tried(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct secret *secret = data;
	struct owners owners = { NULL, json_object_get(secret->plan, "warnings") };
	json_t *plan = secret->plan, *text;
	size_t i;

	secret->act.inner = NULL;
	if (err != NULL && answer->problem != KUBE_CONFLICT && !no_dry_run(&owners, err)) {
		act_end_badly(&secret->act, err);
		return;
	}
	json_array_foreach(answer->warnings, i, text)
		owners_warn(&owners, "The cluster warns: %s", json_string_value(text));
	secret->plan = NULL;
	act_end(&secret->act, plan);
}

static void make_plan(struct secret *secret, const json_t *object)
{
	const char *key = key_of(secret);
	json_t *writer = writer_of(secret, object), *path;
	struct planning planning;
	struct gitops git;
	char *leaf = xasprintf("f:%s", key);

	planning_start(&planning, &secret->place, secret->act.run, object);
	json_object_set_new(planning.target, "key", json_string(key));
	planning_change(&planning, key,
			json_is_null(writer) ? json_null() : json_string("(a secret)"),
			json_string("(the new secret)"));
	json_object_set_new(planning.precondition, "writer", writer);
	path = json_pack("[s, s]", "f:data", leaf);
	gitops_find(&git, env_argo_cd(secret->act.env, secret->place.kube), &secret->place, object);
	owners_of_object(&planning.owners, &secret->place, object, path, &git);
	gitops_finish(&git);
	owners_warn(&planning.owners, "What was there is not kept: this cannot be set back.");
	if (str_empty(jget_str(secret->act.run->with, "restart")))
		owners_warn(&planning.owners,
			    "Pods that read it as environment variables see the new value "
			    "only after a restart.");
	secret->plan = planning_plan(&planning);
	json_decref(path);
	free(leaf);
}

static void on_peeked(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct secret *secret = data;

	secret->act.inner = NULL;
	if (err != NULL) {
		act_end_badly(&secret->act, err);
		return;
	}
	make_plan(secret, answer->body);
	if (secret->act.run->asked) {
		send_patch(secret, body_of(secret, NULL), true, on_tried);
	} else {
		json_t *plan = secret->plan;

		secret->plan = NULL;
		act_end(&secret->act, plan);
	}
}

static struct secret *secret_new(struct action_env *env, const struct action_run *run,
				 action_done_fn done, void *data)
{
	struct act *act = act_new(sizeof(struct secret), env, run, done, data);

	act->finish = on_finish;
	return (struct secret *)act;
}

static bool key_ok(const char *key)
{
	size_t n = key == NULL ? 0 : strlen(key);

	return n > 0 && n <= 253 &&
	       strspn(key, "-._abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") ==
		       n;
}

static bool ready(struct secret *secret, struct action_env *env, const struct action_run *run)
{
	const char *value = jget_str(run->with, "value");

	if (!place_read(&secret->place, env, run->with, "Secret", PLACE_OBJECT, &secret->act.err))
		return false;
	if (!key_ok(key_of(secret)))
		err_set(&secret->act.err, ERR_INVALID,
			"\"%.80s\" cannot be a key: letters, digits, -, _ and . are allowed",
			key_of(secret));
	else if (str_empty(value) || strlen(value) > VALUE_MAX)
		err_set(&secret->act.err, ERR_INVALID, "a value is needed, of at most %d bytes",
			VALUE_MAX);
	else
		return true;
	return false;
}

static struct call *plan_secret(struct action_env *env, const struct action_run *run,
				action_done_fn done, void *data)
{
	struct secret *secret = secret_new(env, run, done, data);

	if (!ready(secret, env, run))
		return act_fail(&secret->act);
	peek(secret, on_peeked);
	return &secret->act.call;
}

/* --- apply --- */

static const char *mark_of(const json_t *object)
{
	return object_note(object, "metadata.annotations", ACTION_MARK);
}

static void end_done(struct secret *secret, const json_t *object)
{
	char *text = xasprintf("%s has its new value", key_of(secret));

	act_end(&secret->act, json_pack("{s:s, s:{s:s, s:s, s:o}}", "done", text, "evidence", "uid",
					jget_str_or(object, "metadata.uid", ""), "resourceVersion",
					jget_str_or(object, "metadata.resourceVersion", ""),
					"writer", writer_of(secret, object)));
	free(text);
}

static void patch(struct secret *secret);

/* After a conflict: is it ours already, or still as it was planned? */
static void on_peeked_again(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct secret *secret = data;
	const json_t *plan = secret->plan, *object = answer->body;
	json_t *writer;
	bool same;

	secret->act.inner = NULL;
	if (err != NULL) {
		act_end_badly(&secret->act, err);
		return;
	}
	if (!str_eq(jget_str(object, "metadata.uid"), jget_str(plan, "precondition.uid"))) {
		end_sentence(secret, "was deleted and created again meanwhile; nothing was "
				     "changed. Ask again.");
		return;
	}
	if (str_eq(mark_of(object), secret->act.run->request_id)) {
		end_done(secret, object);
		return;
	}
	writer = writer_of(secret, object);
	same = json_equal(writer, jget(plan, "precondition.writer"));
	json_decref(writer);
	if (!same || secret->patches >= PATCHES_MAX) {
		end_sentence(secret, "was changed by somebody else meanwhile. Ask again if this "
				     "key still should be changed.");
		return;
	}
	free(secret->version);
	secret->version = xstrdup(jget_str_or(object, "metadata.resourceVersion", ""));
	patch(secret);
}

static void on_patched(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct secret *secret = data;

	secret->act.inner = NULL;
	if (err == NULL)
		end_done(secret, answer->body);
	else if (answer->problem == KUBE_CONFLICT)
		peek(secret, on_peeked_again);
	else
		act_end_badly(&secret->act, err);
}

static void patch(struct secret *secret)
{
	secret->patches++;
	send_patch(secret, body_of(secret, secret->version), false, on_patched);
}

static struct call *apply_secret(struct action_env *env, const struct action_run *run,
				 action_done_fn done, void *data)
{
	struct secret *secret = secret_new(env, run, done, data);

	if (!ready(secret, env, run))
		return act_fail(&secret->act);
	secret->plan = json_incref((json_t *)(uintptr_t)run->plan);
	secret->version = xstrdup(jget_str_or(run->plan, "precondition.resourceVersion", ""));
	patch(secret);
	return &secret->act.call;
}

/* --- look --- */

static void on_looked(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct secret *secret = data;
	const json_t *plan = secret->act.run->plan;
	const char *mark = mark_of(answer->body), *state, *says;
	char *what;

	secret->act.inner = NULL;
	if (err != NULL && answer->problem != KUBE_NOT_FOUND) {
		act_end_badly(&secret->act, err);
		return;
	}
	if (err != NULL) {
		state = "unknown";
		says = "does not exist any more.";
	} else if (!str_eq(jget_str(answer->body, "metadata.uid"),
			   jget_str(plan, "precondition.uid"))) {
		state = "not_done";
		says = "was deleted and created again since; this one was not changed.";
	} else if (str_eq(mark, secret->act.run->request_id)) {
		state = "done";
		says = "carries this request's mark.";
	} else if (mark != NULL && id_is_request(mark) &&
		   !str_eq(mark, jget_str(plan, "precondition.mark"))) {
		state = "unknown";
		says = "was changed by another request since.";
	} else {
		state = "not_done";
		says = "does not carry this request's mark.";
	}
	what = place_text(&secret->place);
	act_end(&secret->act,
		json_pack("{s:s, s:s++, s:{s:o}, s:s*}", "state", state, "says", what, " ", says,
			  "evidence", "writer", writer_of(secret, answer->body), "done",
			  str_eq(state, "done") ? "the key has its new value" : NULL));
	free(what);
}

static struct call *look_secret(struct action_env *env, const struct action_run *run,
				action_done_fn done, void *data)
{
	struct secret *secret = secret_new(env, run, done, data);

	if (!place_read(&secret->place, env, run->with, "Secret", PLACE_OBJECT, &secret->act.err))
		return act_fail(&secret->act);
	peek(secret, on_looked);
	return &secret->act.call;
}

/* --- follow: a value that nobody reads is ours while the record of who wrote it is --- */

static void end_followed(struct secret *secret, const char *state, char *says)
{
	act_end(&secret->act,
		json_pack("{s:s, s:s, s:i}", "state", state, "says", says, "again_ms", STAYS_MS));
	free(says);
}

static bool of_other_request(const struct secret *secret, const char *mark)
{
	return mark != NULL && id_is_request(mark) && !str_eq(mark, secret->act.run->request_id);
}

static void on_followed(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct secret *secret = data;
	const struct action_run *run = secret->act.run;
	const json_t *object = answer->body;
	const char *mark = mark_of(object), *key = key_of(secret);
	json_t *writer;

	secret->act.inner = NULL;
	if (err != NULL && answer->problem != KUBE_NOT_FOUND) {
		act_end_badly(&secret->act, err);
		return;
	}
	writer = writer_of(secret, object);
	if (err != NULL)
		end_followed(secret, "undone", xstrdup("the Secret does not exist any more"));
	else if (!str_eq(jget_str(object, "metadata.uid"), jget_str(run->plan, "precondition.uid")))
		end_followed(secret, "undone", xstrdup("the Secret was deleted and made again"));
	else if (json_equal(writer, jget(run->since, "evidence.writer")))
		end_followed(secret, "done", xstrdup("as it was set"));
	else if (of_other_request(secret, mark))
		end_followed(secret, "superseded", xasprintf("request %s changed it since", mark));
	else if (json_is_null(writer))
		end_followed(secret, "undone", xasprintf("the key %s is gone", key));
	else
		end_followed(secret, "undone",
			     xasprintf("%s was written again: by %s at %s", key,
				       jget_str_or(writer, "manager", "?"),
				       jget_str_or(writer, "time", "?")));
	json_decref(writer);
}

static struct call *follow_secret(struct action_env *env, const struct action_run *run,
				  action_done_fn done, void *data)
{
	struct secret *secret = secret_new(env, run, done, data);

	if (!place_read(&secret->place, env, run->with, "Secret", PLACE_OBJECT, &secret->act.err))
		return act_fail(&secret->act);
	peek(secret, on_followed);
	return &secret->act.call;
}

static bool check_secret(const json_t *with, const struct action_env *env, const char **ret_param,
			 struct err *err)
{
	const char *key = jget_str(with, "key"), *value = jget_str(with, "value");

	if (!place_check(env, with, false, ret_param, err) ||
	    !restarting_check(with, ret_param, err))
		return false;
	*ret_param = "key";
	if (!has_template(key) && !key_ok(key)) {
		err_set(err, ERR_INVALID,
			"\"%.80s\" cannot be a key: letters, digits, -, _ and . are allowed",
			key != NULL ? key : "");
		return false;
	}
	*ret_param = "value";
	if (has_template(value))
		return true;
	err_set(err, ERR_INVALID,
		"must be the {name} of a secret parameter: what stands in a "
		"declaration is no secret");
	return false;
}

static const struct restart_base base = {
	.plan = plan_secret, .apply = apply_secret, .look = look_secret, .follow = follow_secret
};

RESTARTING_STEP(plan)
RESTARTING_STEP(apply)
RESTARTING_STEP(look)
RESTARTING_STEP(follow)

static const struct action_need needs[] = {
	{ .verbs = "patch", .kinds = "Secret", .object = "name" },
	RESTARTING_NEEDS,
	{ .verbs = NULL },
};

const struct action_kind action_kube_secret = {
	.name = "kube.secret",
	.about = "Set a key of a Secret, which is never read",
	.params = params,
	.secret = "value",
	.effect = ACTION_CONDITIONAL,
	.check = check_secret,
	.plan = plan_both,
	.apply = apply_both,
	.look = look_both,
	.follow = follow_both,
	.needs = needs,
};
