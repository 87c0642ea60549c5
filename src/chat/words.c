/* SPDX-License-Identifier: Apache-2.0 */
/* words.c - the sentences.  Codes come from the decision function and from identification. */
#include "chat/words.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/args.h"
#include "core/command.h"
#include "core/facts.h"
#include "core/request.h"
#include "words_internal.h"

enum { WORDS_MAX = 6000 };

static const struct {
	const char *code, *text;
} refusals[] = {
	/* who: a sentence that helps the honest and tells a stranger nothing */
	{ "foreign_team", "This app works for members of its own workspace only." },
	{ "stranger", "This app works for members of its own workspace only." },
	{ "foreign", "This app works for members of its own workspace only." },
	{ "bot", "Bots and workflows cannot ask for operations. Ask as yourself." },
	{ "guest",
	  "Guest accounts cannot ask for operations. Ask a full member of the workspace." },
	{ "deleted", "This account is deactivated." },
	{ "invited",
	  "This account has not been activated yet. Sign in to Slack once, then try again." },
	{ "unconfirmed", "Your Slack e-mail address is not confirmed. Confirm it in your Slack "
			 "profile, then try again." },
	{ "no_email", "Your Slack profile shows this app no e-mail address. Ask a workspace admin "
		      "to check your profile." },
	{ "not_a_member", "This app works for full members of its own workspace only." },
	{ "no_usable_address", "Your Slack e-mail address is not one of the company's. Ask a "
			       "workspace admin to correct it." },
	{ "unknown_address", "Your Slack e-mail address is not in the company directory. Ask the "
			     "data platform team to check the directory sync." },
	{ "quarantined", "Your e-mail address belonged to somebody else before. Ask the data "
			 "platform team to release it." },
	{ "binding_changed",
	  "Your Slack account and the company directory no longer agree on who you are, so your "
	  "link is suspended. Ask the data platform team to look at it." },
	{ "binding_suspended", "The link between your Slack account and the directory is "
			       "suspended. Ask the data platform team to look at it." },
	{ "second_account", "Another Slack account is already linked to you. Use that one, or ask "
			    "the data platform team to swap them." },
	{ "needs_proof", "This needs a link proved by a company sign-in, and yours was made from "
			 "your e-mail address." },
	{ "person_not_active", "The company directory says that your account is not active." },
	{ "unknown_person", "You are not in the company directory." },
	/* what */
	{ "directory_stale",
	  "The company directory was last read too long ago to allow changes. Ask the data "
	  "platform team to look at the directory sync; reads still work." },
	{ "members_unknown",
	  "This is forbidden to a group, and nobody knows yet who is in it: until "
	  "then it is blocked for everybody." },
	{ "forbidden", "This is blocked for you at the moment by a rule that forbids it." },
	{ "unknown_action", "This command's action is not known to the permission tables. Ask the "
			    "data platform team to apply the grants." },
	{ "undeclared_scope",
	  "This command names a scope that the permission tables do not know. Ask the data "
	  "platform team to apply the grants." },
	{ "no_matching_grant", "You may not do this." },
	{ "not_requester", "Only the person who asked can confirm or cancel this." },
	{ "own_request", "You asked for this yourself, so somebody else has to approve it." },
	{ "not_approver", "You may not approve this." },
	{ "stale_card",
	  "This card is out of date: the change is not what it shows any more. Use the "
	  "newest card." },
	{ "too_few_approvers",
	  "This needs approval, and too few people besides you could give it." },
	{ "no_approval_channel", "This needs approval, and no channel for that is configured. Tell "
				 "the data platform team to set slack.approval_channel." },
	{ "approver_may_not_start", "You approved this, so somebody else has to give the start." },
	{ "not_approved_yet", "This is not approved yet; the start comes after the approvals." },
	{ "separated", "You took part in the other half of this change, and the two are for "
		       "different people." },
	{ "step_up", "This needs a company sign-in." },
	{ "proof_interrupted", "The company sign-in was interrupted, so nothing was done. Ask "
			       "again with the command." },
	{ "proof_failed", "The company sign-in did not prove who you are, so nothing was done." },
	{ "own_review", "It was you who took the right, so somebody else has to review it." },
	{ "not_reviewer", "You may not review this: it takes the right to approve break-glass." },
	{ "review_not_yet", "There is nothing to review yet." },
	{ "not_yours", "That request is not yours." },
	{ "not_resolver",
	  "Whoever asked cannot say what came of it; those who may approve it can, and "
	  "those with the grant ops.resolve." },
	{ "resolved_already", "Somebody has said already what came of this." },
	{ "had_secret", "It had a secret, which is not kept: say that it did not happen, and ask "
			"again with the command." },
	{ "end_has_passed", "The time until which it should last is over, so it was not started." },
	{ "no_such_request", "There is no such request." },
	{ "not_temporary", "This change is not temporary." },
	{ "stale_button", "It ends at another time now than this button knew. Use the newest "
			  "message, or `active`." },
	{ "stale_preview", "This is out of date: something changed since. Use the newest message, "
			   "or `active`." },
	{ "needs_approver", "It was approved until then. To keep it longer takes somebody who may "
			    "approve it, other than the person who asked: they can press the "
			    "button under `active`." },
	{ "approver_denied", "Somebody who was asked to approve this did not." },
};

static const struct {
	const char *outcome, *mark, *head;
} outcomes[] = {
	{ "approving", "⏳", "Waiting for approval" },
	{ "scheduled", "🕘", "Scheduled" },
	{ "kept", "📌", "Kept" },
	{ "extended", "🕘", "Extended" },
	{ "succeeded", "✅", "Done" },
	{ "failed", "❌", "Failed" },
	{ "unknown", "⚠️", "Not known whether it happened" },
	{ "denied", "⛔", "Refused" },
	{ "rejected", "✏️", "Not understood" },
	{ "expired", "⌛", "Expired" },
	{ "cancelled", "🚫", "Cancelled" },
	{ "frozen", "🧊", "Changes frozen" },
	{ "unfrozen", "🔥", "Freeze lifted" },
	/* of what had succeeded, seen later */
	{ "stuck", "⚠️", "Made, but it does not come up" },
	{ "undone", "↩️", "Made, but undone since" },
};

const char *words_mark(const char *outcome)
{
	for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++)
		if (str_eq(outcomes[i].outcome, outcome))
			return outcomes[i].mark;
	return "•";
}

static const char *head_of(const char *outcome)
{
	for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++)
		if (str_eq(outcomes[i].outcome, outcome))
			return outcomes[i].head;
	return "In progress";
}

char *words_accepted(const struct request *rq)
{
	char *args, *text;

	/* A read answers at once and a preview speaks for itself. */
	if (rq->command == NULL || rq->command->risk != 1)
		return NULL;
	args = args_text(rq->command, rq->args);
	text = xasprintf("⏳ %s %s: recorded as %s, under way.", rq->command->title, args, rq->id);
	free(args);
	return text;
}

static bool is_vote(const char *kind)
{
	return str_eq(kind, "approve") || str_eq(kind, "deny") || str_eq(kind, "withdraw") ||
	       str_eq(kind, "execute");
}

/* A new asking, and not a click on something that was asked before. */
static bool is_asking(const char *kind)
{
	return str_eq(kind, "slash") || str_eq(kind, "submit") || str_eq(kind, "action") ||
	       str_eq(kind, "undo");
}

char *words_not_recorded(const struct request *rq, const struct err *err)
{
	const char *why = "the database did not answer in time";

	if (err->kind == ERR_RETRY)
		why = "the database is out of reach";
	else if (err->kind == ERR_INVALID || err->kind == ERR_INTERNAL)
		why = "the database refused the record";
	if (is_vote(rq->delivery.kind) || request_resolves(rq))
		return xasprintf("Your click counts only if the card shows it: %s. Press again if "
				 "it does not; if it stays so, tell the data platform team.",
				 why);
	if (rq->unsure && !is_asking(rq->delivery.kind))
		return xasprintf("It is not known whether your click counts: %s. If it does, what "
				 "comes of it is shown here; if nothing is, press again.",
				 why);
	return xasprintf("Nothing was recorded and nothing will happen: %s. "
			 "Try again in a minute; if it stays so, tell the data platform team.",
			 why);
}

const char *words_unheard(void)
{
	return "opsd stopped while it took this in, so you may have been told that nothing was "
	       "recorded, or nothing at all. Nothing has been done. Run it if you still want it; "
	       "otherwise forget it.";
}

char *words_known(const struct request *rq)
{
	if (str_eq(rq->code, "stale_preview"))
		return xstrdup("This preview is out of date; a newer one was sent. Use the buttons "
			       "of that one.");
	if (rq->delivery.takes_text && str_eq(rq->known_state, "cancelled"))
		return xstrdup("Nothing comes of this: it was cancelled, or not recorded in time. "
			       "Ask again if you still want it.");
	return xasprintf("This was already taken: %s is %s.", rq->known_id, rq->known_state);
}

const char *words_may_unknown(void)
{
	return "What you may run is not known yet; every command is checked when you run it.";
}

const char *words_code(const char *code)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
		if (str_eq(refusals[i].code, code))
			return refusals[i].text;
	return "You may not do this.";
}

void words_names(struct buf *buf, const json_t *names, const char *last)
{
	size_t n = json_array_size(names);

	for (size_t i = 0; i < n; i++)
		buf_printf(buf, "%s%s",
			   i == 0       ? ""
			   : i + 1 == n ? last
					: ", ",
			   json_string_value(json_array_get(names, i)));
}

/* The approval rule that could not be met. */
static void put_rule(struct buf *buf, const json_t *rule)
{
	const char *group = jget_str(rule, "group");

	if (rule == NULL)
		return;
	buf_printf(buf, " It takes %d %s %s; there are %d. Ask the data platform team.",
		   (int)jget_int(rule, "need", 1),
		   group != NULL ? "of the group" : "with a grant to approve",
		   group != NULL ? group : jget_str_or(rule, "can_approve", "this"),
		   (int)jget_int(rule, "have", 0));
}

void words_put_unread(struct buf *buf, const json_t *groups)
{
	if (json_array_size(groups) == 0)
		return;
	buf_puts(buf, " The members of ");
	words_names(buf, groups, " and ");
	buf_puts(buf, " are read at the next sync.");
}

/* Groups that would decide it, if it were known who is in them. */
static void put_unread(struct buf *buf, const json_t *facts)
{
	const json_t *closed = jget(facts, "detail.closed"), *unread = jget(facts, "detail.unread");

	if (unread == NULL)
		unread = jget(facts, "detail.rule.unread");
	words_put_unread(buf, unread);
	if (json_array_size(closed) > 0) {
		buf_puts(buf, " The members of ");
		words_names(buf, closed, " and ");
		buf_puts(buf, " cannot be read at the moment: tell the data platform team.");
	}
}

const char *words_not_known_who(void)
{
	return "Nothing was recorded: Slack did not say in time who you are. Press the button "
	       "again.";
}

const char *words_not_ours(void)
{
	return "This button is not one of this app's. Ask again with the command.";
}

void words_time(struct buf *buf, int64_t ms)
{
	time_t at = (time_t)(ms / 1000);
	struct tm tm;
	char text[40];

	if (ms > 0 && gmtime_r(&at, &tm) != NULL &&
	    strftime(text, sizeof(text), " at %Y-%m-%d %H:%M UTC", &tm) > 0)
		buf_puts(buf, text);
}

static void put_too_late(struct buf *buf, const json_t *detail)
{
	const char *state = jget_str_or(detail, "state", "expired");
	const json_t *by = json_object_get(detail, "by");

	if (str_eq(state, "expired") || str_eq(state, "approving")) {
		buf_puts(buf, "This expired");
		words_time(buf, jget_int(detail, "at_ms", 0));
		buf_puts(buf, "; nothing was done. Ask again with the command.");
		return;
	}
	if (str_eq(state, "cancelled")) {
		buf_puts(buf, "This was cancelled; nothing was done.");
		return;
	}
	buf_printf(buf, "This was already %s", str_eq(state, "denied") ? "refused" : "approved");
	if (json_array_size(by) > 0) {
		buf_puts(buf, " by ");
		words_names(buf, by, " and ");
	}
	buf_puts(buf, ".");
}

char *words_vote(const struct request *rq)
{
	struct buf buf;
	size_t i;
	json_t *person;

	if (rq->known_id != NULL || str_eq(rq->code, "step_up")) /* the code says the rest */
		return NULL;
	if (rq->code == NULL)
		return rq->proving ? xstrdup("Your sign-in was accepted, and your decision counts.")
				   : NULL;
	if (str_eq(rq->code, "proof_failed") && rq->rejection != NULL)
		return xasprintf("Your approval does not count. %s", rq->rejection);
	buf_init(&buf, WORDS_MAX);
	if (str_eq(rq->code, "too_late")) {
		put_too_late(&buf, rq->detail);
	} else if (str_eq(rq->code, "voted_already")) {
		buf_printf(&buf, "You have already decided this: %s. One decision a person counts.",
			   str_eq(jget_str(rq->detail, "decision"), "deny") ? "not approved"
									    : "approved");
	} else if (str_eq(rq->code, "frozen")) {
		buf_puts(&buf, "Your approval was not counted, since nothing may start now.");
		words_put_freezes(&buf, json_object_get(rq->detail, "frozen"));
		buf_puts(&buf, " Approve it when that is lifted.");
	} else {
		buf_puts(&buf, words_code(rq->code));
		if (str_eq(rq->code, "not_approver")) {
			buf_puts(&buf, " Those who were asked:");
			json_array_foreach(json_object_get(rq->detail, "asked"), i, person)
				buf_printf(&buf, "%s %s", i > 0 ? "," : "",
					   jget_str_or(person, "name", "?"));
			buf_puts(&buf, ".");
		}
	}
	return buf_take(&buf);
}

char *words_refusal(const json_t *facts)
{
	const json_t *groups = jget(facts, "detail.groups");
	const json_t *people = jget(facts, "detail.people");
	const json_t *owners = jget(facts, "detail.owners");
	const char *scope = jget_str(facts, "detail.scope");
	struct buf buf;

	buf_init(&buf, WORDS_MAX);
	if (jget_str(facts, "why") != NULL) {
		buf_puts(&buf, jget_str(facts, "why"));
		return buf_take(&buf);
	}
	if (jget(facts, "detail.frozen") != NULL)
		words_put_frozen(&buf, jget(facts, "detail.frozen"));
	else if (jget(facts, "detail.holder") != NULL)
		words_put_busy(&buf, jget(facts, "detail.holder"));
	else if (jget(facts, "detail.undo") != NULL)
		words_put_undone(&buf, jget_str_or(facts, "undoes", "?"),
				 jget(facts, "detail.undo"));
	else if (str_eq(jget_str(facts, "code"), "approver_denied") &&
		 jget_str(facts, "detail.by") != NULL)
		buf_printf(&buf, "%s did not approve this: %s", jget_str(facts, "detail.by"),
			   jget_str_or(facts, "detail.reason", "no reason given"));
	else
		buf_puts(&buf, words_code(jget_str(facts, "code")));
	put_rule(&buf, jget(facts, "detail.rule"));
	put_unread(&buf, facts);
	if (scope != NULL)
		buf_printf(&buf, " Your grant covers %s only.", scope);
	if (json_array_size(groups) > 0) {
		buf_puts(&buf, " It takes membership of ");
		words_names(&buf, groups, " or ");
		buf_puts(&buf, ".");
	}
	if (json_array_size(owners) > 0) {
		buf_puts(&buf, " Ask ");
		words_names(&buf, owners, " or ");
		buf_puts(&buf, " to be let in.");
	}
	if (jget_str(facts, "detail.separate.action") != NULL)
		buf_printf(&buf, " It is %s, in request %s.",
			   jget_str(facts, "detail.separate.action"),
			   jget_str_or(facts, "detail.separate.request", "?"));
	if (json_array_size(people) > 0) {
		buf_puts(&buf, " Right now ");
		words_names(&buf, people, " or ");
		buf_puts(&buf, " can do it.");
	}
	return buf_take(&buf);
}

static bool nothing_to_do(const json_t *facts)
{
	const json_t *changes = json_object_get(facts, "changes");

	return json_is_array(changes) && json_array_size(changes) == 0;
}

char *words_headline(const json_t *facts)
{
	const char *outcome = jget_str_or(facts, "outcome", "");
	char *target = NULL, *changes = NULL, *when;
	struct buf buf;

	buf_init(&buf, WORDS_MAX);
	if (str_eq(outcome, "succeeded") && nothing_to_do(facts))
		buf_puts(&buf, "Nothing to do: it is so already");
	else if (words_head_later(facts) != NULL)
		buf_puts(&buf, words_head_later(facts));
	else
		buf_puts(&buf, head_of(outcome));
	if (json_object_get(facts, "target") != NULL) {
		target = facts_target_text(json_object_get(facts, "target"));
		buf_printf(&buf, ": %s", target);
	}
	changes = facts_changes_text(json_object_get(facts, "changes"));
	if (changes[0] != '\0')
		buf_printf(&buf, ", %s", changes);
	buf_puts(&buf, ".");
	if (str_eq(outcome, "extended"))
		buf_printf(&buf, " It is set back %s now.", jget_str_or(facts, "when.starts", "?"));
	when = nothing_to_do(facts) ? NULL : words_when(facts);
	if (when != NULL && (str_eq(outcome, "succeeded") || str_eq(outcome, "scheduled") ||
			     str_eq(outcome, "unknown")))
		buf_printf(&buf, " %s", when);
	free(when);
	free(target);
	free(changes);
	return buf_take(&buf);
}

/* "3 h", "12 min" */
static void put_age(struct buf *buf, int64_t seconds)
{
	if (seconds >= 2 * 3600)
		buf_printf(buf, "%d h", (int)(seconds / 3600));
	else
		buf_printf(buf, "%d min", (int)(seconds / 60));
}

static void put_brakes(struct buf *buf, const json_t *facts)
{
	enum { BRAKES_MAX = 5 };
	const json_t *brakes = json_object_get(facts, "brakes");
	const json_t *losses = jget(facts, "counts.losses");
	size_t i;
	json_t *item;

	json_array_foreach(brakes, i, item)
	{
		if (i < BRAKES_MAX)
			buf_printf(buf, "%s %s", i > 0 ? ";" : "",
				   jget_str_or(item, "detail", jget_str_or(item, "name", "?")));
	}
	if (json_array_size(brakes) > BRAKES_MAX)
		buf_printf(buf, "; and %zu more", json_array_size(brakes) - BRAKES_MAX);
	buf_puts(buf, ".");
	json_array_foreach(losses, i, item)
		buf_printf(buf, "%s %s −%d", i == 0 ? " Groups in use that lose most:" : ",",
			   jget_str_or(item, "group", "?"), (int)jget_int(item, "members", 0));
	if (json_array_size(losses) > 0)
		buf_puts(buf, ".");
}

char *words_directory(const json_t *facts)
{
	const char *event = jget_str_or(facts, "event", "");
	const char *source = jget_str_or(facts, "source", "?");
	struct buf buf;

	buf_init(&buf, WORDS_MAX);
	if (str_eq(event, "directory.clear")) {
		buf_printf(&buf, "✅ The directory sync of %s works again.", source);
		return buf_take(&buf);
	}
	if (str_eq(event, "directory.refused")) {
		buf_printf(&buf, "🚨 The directory sync of %s was stopped by a brake:", source);
		put_brakes(&buf, facts);
		buf_printf(&buf, " Nothing was applied but %d departures.",
			   (int)jget_int(facts, "notes.departures", 0));
	} else if (str_eq(event, "directory.held")) {
		buf_printf(&buf, "⚠️ The directory sync of %s holds new members back:", source);
		put_brakes(&buf, facts);
		buf_puts(&buf, " All other changes were applied.");
	} else {
		buf_printf(&buf, "🚨 The directory sync of %s failed, nothing was changed: %s.",
			   source, jget_str_or(facts, "error", "no reason given"));
	}
	if (!str_eq(event, "directory.held") && json_is_integer(json_object_get(facts, "age_s"))) {
		buf_puts(&buf, " Rights are decided on a copy that is ");
		put_age(&buf, jget_int(facts, "age_s", 0));
		buf_puts(&buf, " old.");
	}
	if (json_array_size(json_object_get(facts, "brakes")) > 0)
		buf_printf(&buf,
			   " If this is meant, read opsd sync --plan %s and let two people accept "
			   "what it shows; if not, repair the source: the next run tries again.",
			   source);
	return buf_take(&buf);
}

char *words_checkpoint(const json_t *facts)
{
	const char *key = jget_str(facts, "key");
	int64_t entries = jget_int(facts, "entries", 0);
	char *seal = xasprintf("%" PRId64 ":%s%s%s", jget_int(facts, "seal", 0),
			       jget_str_or(facts, "hash", "?"), key != NULL ? ":" : "",
			       key != NULL ? key : "");
	char *text =
		xasprintf("🔏 The audit log has %" PRId64 " new entr%s, sealed by %s. opsd audit "
			  "verify with that proves that nothing up to here was changed or cut off "
			  "since.",
			  entries, entries == 1 ? "y" : "ies", seal);

	free(seal);
	return text;
}

char *words_audit(const json_t *facts)
{
	const char *outcome = jget_str_or(facts, "outcome", "");
	const char *command = jget_str(facts, "command");
	char *stays;
	struct buf buf;

	buf_init(&buf, WORDS_MAX);
	if (command != NULL) {
		const char *key;
		json_t *value;

		buf_printf(&buf, "%s", command);
		json_object_foreach((json_t *)(uintptr_t)jget(facts, "args"), key, value)
		{
			char *text = str_eq(key, "for") && json_is_integer(value)
					     ? args_duration_text(json_integer_value(value))
				     : json_is_string(value) ? xstrdup(json_string_value(value))
							     : json_text(value);

			if (strcmp(key, "reason") != 0 && !json_is_null(value))
				buf_printf(&buf, " %s=%s", key, text);
			free(text);
		}
	} else {
		buf_printf(&buf, "“%.200s”", jget_str_or(facts, "text", ""));
	}
	if (str_eq(outcome, "denied") || str_eq(outcome, "rejected")) {
		char *why = words_refusal(facts);

		buf_printf(&buf, " — %s: %s", head_of(outcome), why);
		free(why);
	} else {
		char *head = words_headline(facts);

		buf_printf(&buf, " — %s", head);
		free(head);
		if (json_array_size(jget(facts, "approved_by")) > 0) {
			buf_puts(&buf, " Approved by ");
			words_names(&buf, jget(facts, "approved_by"), " and ");
			buf_puts(&buf, ".");
		}
		if (jget_str(facts, "why") != NULL)
			buf_printf(&buf, " %s", jget_str(facts, "why"));
	}
	stays = words_not_set_back(facts);
	if (stays != NULL)
		buf_printf(&buf, " %s", stays);
	free(stays);
	return buf_take(&buf);
}
