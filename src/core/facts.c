/* SPDX-License-Identifier: Apache-2.0 */
/* facts.c - a request as JSON facts, for the log and for Slack.  Secrets were masked by args_shown.
 */
#include "core/facts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "core/action.h"
#include "core/args.h"
#include "core/command.h"
#include "core/lever.h"
#include "core/request.h"

enum { CHANGES_TEXT_MAX = 2000, TARGET_TEXT_MAX = 1000 };
enum { CARD_TEXT_MAX = 1800, CARD_TARGET_MAX = 900, CARD_LINES_MAX = 10 };

static void put_str(json_t *obj, const char *key, const char *value)
{
	if (!str_empty(value))
		json_object_set_new(obj, key, json_string(value));
}

static void put_member(json_t *obj, const json_t *from, const char *key)
{
	json_t *value = json_object_get(from, key);

	if (value != NULL && !json_is_null(value))
		json_object_set(obj, key, value);
}

static json_t *who(const struct request *rq)
{
	json_t *obj = json_object();

	put_str(obj, "user", rq->asker.user);
	put_str(obj, "team", rq->asker.team);
	put_str(obj, "name", rq->person_name != NULL ? rq->person_name : rq->asker.name);
	put_str(obj, "email", rq->person_email);
	return obj;
}

/* With the command that lasts instead, where there is one. */
static void put_owners(json_t *facts, const struct request *rq)
{
	const json_t *from = json_object_get(rq->plan, "owners");
	json_t *owners, *owner;
	size_t i;

	if (!json_is_array(from))
		return;
	owners = json_array();
	json_array_foreach((json_t *)(uintptr_t)from, i, owner)
	{
		json_t *lever = json_object_get(owner, "lever"), *own = json_copy(owner);
		json_t *instead = lever != NULL && rq->catalog != NULL
					  ? lever_resolve(rq->catalog, lever, rq->args)
					  : NULL;

		json_object_del(own, "lever");
		if (instead != NULL)
			json_object_set_new(own, "instead", instead);
		json_array_append_new(owners, own);
	}
	json_object_set_new(facts, "owners", owners);
}

static json_t *facts_of(const struct request *rq)
{
	json_t *facts = json_object();

	put_str(facts, "request", rq->id);
	put_str(facts, "text", rq->command == NULL ? rq->text : NULL);
	if (rq->command != NULL) {
		json_t *shown = args_shown(rq->command, rq->args);

		put_str(facts, "command", rq->command->title);
		json_object_set_new(facts, "risk", json_integer(rq->command->risk));
		put_str(facts, "reason", jget_str(shown, "reason"));
		json_object_set_new(facts, "args", shown);
	}
	json_object_set_new(facts, "who", who(rq));
	put_str(facts, "channel", rq->asker.channel);
	put_member(facts, rq->plan, "target");
	put_member(facts, rq->plan, "changes");
	put_member(facts, rq->plan, "warnings");
	put_owners(facts, rq);
	put_member(facts, rq->plan, "foreign");
	put_member(facts, rq->plan, "when");
	put_str(facts, "undoes", rq->undoes);
	if (rq->reverts)
		json_object_set_new(facts, "revert", json_true());
	return facts;
}

static void put_ending(json_t *facts, const struct request *rq)
{
	json_object_set_new(facts, "outcome", json_string(request_state_name(rq->state)));
	put_str(facts, "code", rq->code);
	if (rq->approved_by != NULL)
		json_object_set(facts, "approved_by", rq->approved_by);
	if (rq->rejection != NULL)
		put_str(facts, "why", rq->rejection);
	else if (rq->state == REQUEST_FAILED || rq->state == REQUEST_UNKNOWN)
		put_str(facts, "why",
			rq->err.kind != ERR_NONE ? rq->err.msg : jget_str(rq->outcome, "says"));
	put_member(facts, rq->outcome, "done");
	put_member(facts, rq->outcome, "says");
	if (rq->detail != NULL)
		json_object_set(facts, "detail", rq->detail);
}

json_t *facts_announce(const struct request *rq)
{
	json_t *facts = facts_of(rq);

	put_ending(facts, rq);
	return facts;
}

/* What a button of ours brought replaces the message that the button stands in. */
static void put_replace(json_t *facts, const struct request *rq)
{
	const char *kind = rq->delivery.kind;

	if (str_eq(kind, "confirm") || str_eq(kind, "cancel") || str_eq(kind, "action"))
		json_object_set_new(facts, "replace", json_true());
}

static bool may_undo(const struct request *rq)
{
	return rq->undoes == NULL && rq->command != NULL &&
	       action_reversible(rq->command->kind, rq->command->with);
}

json_t *facts_reply(const struct request *rq)
{
	json_t *facts = facts_announce(rq);

	put_replace(facts, rq);

	if (rq->state == REQUEST_SUCCEEDED && rq->outcome != NULL && may_undo(rq))
		json_object_set_new(facts, "reversible", json_true());
	if (rq->answer != NULL)
		json_object_set(facts, "answer", rq->answer);
	put_str(facts, "cursor", rq->cursor);
	return facts;
}

json_t *facts_preview(const struct request *rq)
{
	json_t *facts = facts_of(rq);
	const json_t *before = json_object_get(rq->offered_plan, "changes");

	put_replace(facts, rq);
	put_str(facts, "digest", rq->digest);
	if (rq->unheard)
		json_object_set_new(facts, "unheard", json_true());
	else if (before != NULL)
		json_object_set(facts, "changed_since", (json_t *)(uintptr_t)before);
	return facts;
}

json_t *facts_progress(const struct request *rq, const json_t *progress)
{
	json_t *facts = facts_of(rq);

	json_object_set(facts, "progress", (json_t *)(uintptr_t)progress);
	if (may_undo(rq))
		json_object_set_new(facts, "reversible", json_true());
	return facts;
}

static void put_value(struct buf *buf, const json_t *value)
{
	if (json_is_string(value))
		buf_puts(buf, json_string_value(value));
	else if (json_is_integer(value))
		buf_printf(buf, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else if (json_is_boolean(value))
		buf_puts(buf, json_is_true(value) ? "true" : "false");
	else
		buf_puts(buf, "(none)");
}

char *facts_changes_text(const json_t *changes)
{
	struct buf buf;
	size_t i;
	json_t *change;

	buf_init(&buf, CHANGES_TEXT_MAX);
	json_array_foreach(changes, i, change)
	{
		buf_printf(&buf, "%s%s ", i == 0 ? "" : ", ",
			   jget_str_or(change, "field", "value"));
		put_value(&buf, json_object_get(change, "from"));
		buf_puts(&buf, " → ");
		put_value(&buf, json_object_get(change, "to"));
	}
	return buf_take(&buf);
}

/* Slack shows 2000 characters of a field and 50 blocks of a message; what is cut there nobody saw.
 */
static bool lines_fit(const json_t *items, const char *member)
{
	size_t i;
	json_t *item;

	json_array_foreach(items, i, item)
	{
		const char *text =
			member == NULL ? json_string_value(item) : jget_str(item, member);

		if (text != NULL && strlen(text) > CARD_TEXT_MAX)
			return false;
	}
	return json_array_size(items) <= CARD_LINES_MAX;
}

bool facts_fit_card(const json_t *plan)
{
	char *changes = facts_changes_text(json_object_get(plan, "changes"));
	char *target = facts_target_text(json_object_get(plan, "target"));
	bool fit = strlen(changes) <= CARD_TEXT_MAX && strlen(target) <= CARD_TARGET_MAX &&
		   lines_fit(json_object_get(plan, "owners"), "says") &&
		   lines_fit(json_object_get(plan, "warnings"), NULL);

	free(changes);
	free(target);
	return fit;
}

char *facts_target_text(const json_t *target)
{
	struct buf buf;

	buf_init(&buf, TARGET_TEXT_MAX);
	if (jget_str(target, "api") != NULL) {
		buf_printf(&buf, "%s %s on %s", jget_str_or(target, "method", "GET"),
			   jget_str_or(target, "path", "/"), jget_str(target, "api"));
		return buf_take(&buf);
	}
	if (jget_str(target, "own") != NULL) {
		buf_printf(&buf, "%s of %s", jget_str(target, "own"),
			   jget_str_or(target, "name", "everything"));
		return buf_take(&buf);
	}
	buf_printf(&buf, "%s ", jget_str_or(target, "kind", "object"));
	if (jget_str(target, "namespace") != NULL)
		buf_printf(&buf, "%s/", jget_str(target, "namespace"));
	buf_puts(&buf, jget_str_or(target, "name", "?"));
	if (jget_str(target, "key") != NULL)
		buf_printf(&buf, " key %s", jget_str(target, "key"));
	buf_printf(&buf, " on %s", jget_str_or(target, "cluster", "?"));
	return buf_take(&buf);
}
