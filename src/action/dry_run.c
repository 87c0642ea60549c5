/* SPDX-License-Identifier: Apache-2.0 */
/* dry_run.c - the very patch of a plan as a dry run: a policy says no before anybody is asked to
 * confirm, and what admission would make of the value is in the preview. */
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "internal.h"

struct dry_run {
	struct call call;
	struct call *inner;
	const struct change_kind *kind;
	json_t *plan;
	call_done_fn then;
	void *data;
};

static void dry_run_free(struct dry_run *dry)
{
	json_decref(dry->plan);
	free(dry);
}

static void on_cancel(struct call *call)
{
	struct dry_run *dry = (struct dry_run *)call;

	call_cancel(&dry->inner);
	dry_run_free(dry);
}

/* A webhook of the cluster may set something else than what was asked for. */
static void warn_mutated(struct dry_run *dry, struct owners *owners, const json_t *object)
{
	json_t *wanted = jget(dry->plan, "precondition.to");
	json_t *would = dry->kind->value(object, dry->plan);

	if (!json_equal(would, wanted)) {
		char *is = value_text(would), *was = value_text(wanted);

		owners_warn(owners, "The cluster would make it %s instead of %s.", is, was);
		free(is);
		free(was);
	}
	json_decref(would);
}

bool no_dry_run(struct owners *owners, const struct err *err)
{
	if (strstr(err->msg, "does not support dry run") == NULL)
		return false;
	owners_warn(owners, "A webhook of the cluster cannot be asked beforehand; it may still "
			    "refuse the change.");
	return true;
}

static void on_answer(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct dry_run *dry = data;
	struct owners owners = { NULL, json_object_get(dry->plan, "warnings") };
	json_t *text;
	size_t i;

	json_array_foreach(answer->warnings, i, text)
		owners_warn(&owners, "The cluster warns: %s", json_string_value(text));
	if (err == NULL && json_is_object(answer->body))
		warn_mutated(dry, &owners, answer->body);
	/* A conflict is only its status that moved meanwhile: apply reads again.  A webhook that
	 * cannot be asked says nothing about the change itself. */
	if (err != NULL && (answer->problem == KUBE_CONFLICT || no_dry_run(&owners, err)))
		err = NULL;
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
					.content_type = change_content(kind),
					.request_id = run->request_id,
					.person = run->person,
					.dry_run = true,
					.timeout_ms = run->timeout_ms };

	dry->call.cancel = on_cancel;
	dry->kind = kind;
	dry->plan = json_incref(plan);
	dry->then = then;
	dry->data = data;
	dry->inner = kube_call(place->kube, &request, on_answer, dry);
	json_decref(body);
	return &dry->call;
}
