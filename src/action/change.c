/* SPDX-License-Identifier: Apache-2.0 */
/*
 * change.c - one value of one object, set only if it still is what the plan says.
 *
 * One merge patch carries the value, the object's uid, its resourceVersion and the annotation that
 * says which request it was.  The version makes two sendings exclude each other; the uid keeps a
 * namesake safe; the annotation, written by the same stroke, lets anybody see later whether it
 * happened.  The version also moves when only the status does: after a conflict the object is read
 * again, and when uid and value still are as planned the patch goes out with the new version.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/id.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/facts.h"
#include "internal.h"

enum { PATCHES_MAX = 5, VALUE_TEXT_MAX = 1000 };

struct change {
	struct act act;
	const struct change_kind *kind;
	struct place place;
	unsigned patches;
	char *version;
};

static void patch(struct change *change);

static void on_finish(struct act *act)
{
	free(((struct change *)act)->version);
}

json_t *change_body(const struct change_kind *kind, const json_t *plan, const char *version,
		    const char *request_id)
{
	json_t *body = kind->fields(plan);
	json_t *metadata = json_object_get(body, "metadata"), *notes;

	if (metadata == NULL)
		json_object_set_new(body, "metadata", metadata = json_object());
	notes = json_object_get(metadata, "annotations");
	if (notes == NULL)
		json_object_set_new(metadata, "annotations", notes = json_object());
	json_object_set_new(metadata, "uid",
			    json_string(jget_str_or(plan, "precondition.uid", "")));
	json_object_set_new(metadata, "resourceVersion", json_string(version));
	json_object_set_new(notes, ACTION_MARK, json_string(request_id));
	return body;
}

const char *change_content(const struct change_kind *kind)
{
	return kind->strategic ? "application/strategic-merge-patch+json"
			       : "application/merge-patch+json";
}

static const json_t *as_planned(const json_t *plan)
{
	return jget(plan, "precondition.from");
}

const char *change_field(const json_t *plan)
{
	return jget_str_or(json_array_get(json_object_get(plan, "changes"), 0), "field",
			   "the value");
}

static const char *mark_of(const json_t *object)
{
	return object_note(object, "metadata.annotations", ACTION_MARK);
}

static void put_members(struct buf *buf, const json_t *value)
{
	const char *key;
	json_t *member;

	json_object_foreach((json_t *)(uintptr_t)value, key, member)
	{
		char *text = json_is_object(member) ? xstrdup("…") : value_text(member);

		(void)buf_printf(buf, "%s%s %s", buf->len > 0 ? ", " : "", key, text);
		free(text);
	}
}

char *value_text(const json_t *value)
{
	struct buf buf;

	if (value == NULL || json_is_null(value))
		return xstrdup("absent");
	if (json_is_string(value))
		return xasprintf("\"%s\"", json_string_value(value));
	if (!json_is_object(value))
		return json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
	buf_init(&buf, VALUE_TEXT_MAX);
	put_members(&buf, value);
	return buf_take(&buf);
}

static json_t *evidence(const json_t *object)
{
	static const char *const keys[] = { "uid", "resourceVersion", "generation" };
	json_t *found = json_object();

	for (size_t i = 0; i < 3; i++) {
		json_t *value = json_object_get(json_object_get(object, "metadata"), keys[i]);

		if (value != NULL)
			json_object_set(found, keys[i], value);
	}
	return found;
}

/* --- apply --- */

static void end_done(struct change *change, const json_t *object, const struct kube_answer *answer)
{
	const json_t *plan = change->act.run->plan;
	const json_t *wanted = jget(plan, "precondition.to");
	char *text = facts_changes_text(json_object_get(plan, "changes"));
	json_t *now = object != NULL ? change->kind->value(object, plan) : NULL;
	json_t *outcome = json_object(), *found = evidence(object);

	if (now != NULL && !json_equal(now, (json_t *)(uintptr_t)wanted)) {
		char *is = value_text(now), *more;

		more = xasprintf("%s (the cluster made it %s)", text, is);
		free(is);
		free(text);
		text = more;
	}
	if (answer != NULL && *answer->audit_id != '\0')
		json_object_set_new(found, "audit_id", json_string(answer->audit_id));
	if (answer != NULL && json_array_size(answer->warnings) > 0)
		json_object_set(found, "warnings", (json_t *)(uintptr_t)answer->warnings);
	json_object_set_new(outcome, "done", json_string(text));
	json_object_set_new(outcome, "evidence", found);
	json_decref(now);
	free(text);
	act_end(&change->act, outcome);
}

static void end_changed(struct change *change, const json_t *now)
{
	char *what = place_text(&change->place), *is = value_text(now);
	char *was = value_text(as_planned(change->act.run->plan));
	struct err err;

	err_set(&err, ERR_INVALID,
		"%s was changed by somebody else meanwhile: %s is now %s (was %s). Ask again if it "
		"still should be changed.",
		what, change_field(change->act.run->plan), is, was);
	free(what);
	free(is);
	free(was);
	act_end_badly(&change->act, &err);
}

static void end_other_object(struct change *change)
{
	char *what = place_text(&change->place);
	struct err err;

	err_set(&err, ERR_INVALID,
		"%s was deleted and created again meanwhile; nothing was changed. Ask again.",
		what);
	free(what);
	act_end_badly(&change->act, &err);
}

/* After a conflict: whose is it now? */
static void on_read_again(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct change *change = data;
	const struct action_run *run = change->act.run;
	const json_t *object = answer->body;
	json_t *now;
	bool same;

	change->act.inner = NULL;
	if (err != NULL) {
		act_end_badly(&change->act, err);
		return;
	}
	if (!str_eq(jget_str(object, "metadata.uid"), jget_str(run->plan, "precondition.uid"))) {
		end_other_object(change);
		return;
	}
	if (str_eq(mark_of(object),
		   run->request_id)) { /* an earlier sending of this very request */
		end_done(change, object, answer);
		return;
	}
	now = change->kind->value(object, run->plan);
	same = json_equal(now, (json_t *)(uintptr_t)as_planned(run->plan));
	if (!same || change->patches >= PATCHES_MAX) {
		end_changed(change, now);
	} else {
		free(change->version);
		change->version = xstrdup(jget_str_or(object, "metadata.resourceVersion", ""));
		patch(change);
	}
	json_decref(now);
}

static void read_again(struct change *change)
{
	change->act.inner = place_get(&change->place, change->act.run, on_read_again, change);
}

static void on_patched(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct change *change = data;

	change->act.inner = NULL;
	if (err == NULL)
		end_done(change, answer->body, answer);
	else if (answer->problem == KUBE_CONFLICT)
		read_again(change);
	else
		act_end_badly(&change->act, err);
}

static void patch(struct change *change)
{
	const struct action_run *run = change->act.run;
	json_t *body = change_body(change->kind, run->plan, change->version, run->request_id);
	struct kube_request request = { .method = "PATCH",
					.kind = change->place.kind,
					.space = change->place.space,
					.name = change->place.name,
					.body = body,
					.content_type = change_content(change->kind),
					.request_id = run->request_id,
					.person = run->person,
					.timeout_ms = run->timeout_ms };

	change->patches++;
	change->act.inner = kube_call(change->place.kube, &request, on_patched, change);
	json_decref(body);
}

static struct change *change_new(const struct change_kind *kind, struct action_env *env,
				 const struct action_run *run, action_done_fn done, void *data)
{
	struct act *act = act_new(sizeof(struct change), env, run, done, data);
	struct change *change = (struct change *)act;

	change->kind = kind;
	act->finish = on_finish;
	return change;
}

struct call *change_apply(const struct change_kind *kind, struct action_env *env,
			  const struct action_run *run, action_done_fn done, void *data)
{
	struct change *change = change_new(kind, env, run, done, data);
	const char *version = jget_str(run->plan, "precondition.resourceVersion");

	if (!place_read(&change->place, env, run->with, kind->fixed, PLACE_OBJECT,
			&change->act.err))
		return act_fail(&change->act);
	if (version == NULL || jget_str(run->plan, "precondition.uid") == NULL) {
		err_set(&change->act.err, ERR_INTERNAL, "the plan has no precondition");
		return act_fail(&change->act);
	}
	change->version = xstrdup(version);
	patch(change);
	return &change->act.call;
}

/* --- look --- */

static void end_look(struct change *change, const char *state, const json_t *object, char *says)
{
	const json_t *plan = change->act.run->plan;
	json_t *look = json_object();

	json_object_set_new(look, "state", json_string(state));
	json_object_set_new(look, "says", json_string(says));
	json_object_set_new(look, "evidence", evidence(object));
	if (str_eq(state, "done")) {
		char *text = facts_changes_text(json_object_get(plan, "changes"));

		json_object_set_new(look, "done", json_string(text));
		free(text);
	}
	free(says);
	act_end(&change->act, look);
}

/* The mark of neither this request nor of the one that was there when it was planned: somebody
 * else's may have been written over ours.  (An id does not say when its request acts: it may have
 * waited for approval or for its time.) */
static bool other_request(const char *mark, const json_t *plan)
{
	return mark != NULL && id_is_request(mark) &&
	       !str_eq(mark, jget_str(plan, "precondition.mark"));
}

static void on_looked(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct change *change = data;
	const struct action_run *run = change->act.run;
	const char *field = change_field(run->plan);
	const json_t *object = answer->body;
	char *what, *is;
	json_t *now;

	change->act.inner = NULL;
	if (err != NULL && answer->problem != KUBE_NOT_FOUND) {
		act_end_badly(&change->act, err);
		return;
	}
	what = place_text(&change->place);
	if (err != NULL) {
		end_look(change, "unknown", NULL, xasprintf("%s does not exist any more.", what));
		free(what);
		return;
	}
	now = change->kind->value(object, run->plan);
	is = value_text(now);
	if (!str_eq(jget_str(object, "metadata.uid"), jget_str(run->plan, "precondition.uid")))
		end_look(change, "not_done", object,
			 xasprintf("%s was deleted and created again since; this one was not "
				   "changed.",
				   what));
	else if (str_eq(mark_of(object), run->request_id))
		end_look(change, "done", object,
			 xasprintf("%s carries this request's mark; %s is %s.", what, field, is));
	else if (other_request(mark_of(object), run->plan))
		end_look(change, "unknown", object,
			 xasprintf("%s was changed by request %s since; %s is %s.", what,
				   mark_of(object), field, is));
	else
		end_look(change, "not_done", object,
			 xasprintf("%s does not carry this request's mark; %s is %s.", what, field,
				   is));
	json_decref(now);
	free(what);
	free(is);
}

struct call *change_look(const struct change_kind *kind, struct action_env *env,
			 const struct action_run *run, action_done_fn done, void *data)
{
	struct change *change = change_new(kind, env, run, done, data);
	struct kube_request request = { .method = "GET",
					.request_id = run->request_id,
					.person = run->person,
					.timeout_ms = run->timeout_ms };

	if (!place_read(&change->place, env, run->with, kind->fixed, PLACE_OBJECT,
			&change->act.err))
		return act_fail(&change->act);
	request.kind = change->place.kind;
	request.space = change->place.space;
	request.name = change->place.name;
	change->act.inner = kube_call(change->place.kube, &request, on_looked, change);
	return &change->act.call;
}
