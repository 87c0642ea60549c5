/* SPDX-License-Identifier: Apache-2.0 */
/* words_rights.c - the sentences about rights: who somebody is to us, why they may or may not. */
#include "chat/words.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/request.h"
#include "words_internal.h"

enum { WORDS_MAX = 6000, STALE_S = 45 * 60 };

/* "6 min", "3 h", "2 days" */
static void put_age(struct buf *buf, int64_t seconds)
{
	if (seconds < 120 * 60)
		buf_printf(buf, "%" PRId64 " min", seconds / 60);
	else if (seconds < (int64_t)48 * 3600)
		buf_printf(buf, "%" PRId64 " h", seconds / 3600);
	else
		buf_printf(buf, "%" PRId64 " days", seconds / 86400);
}

static void put_directory(struct buf *buf, int64_t age_s, int64_t generation)
{
	buf_puts(buf, "\nThe company directory was read ");
	put_age(buf, age_s);
	buf_printf(buf, " ago (generation %" PRId64 ").", generation);
}

/* The approval that a use would need, and who could give it now. */
static void put_approvals(struct buf *buf, const json_t *approvals)
{
	size_t i;
	json_t *rule;

	json_array_foreach(approvals, i, rule)
	{
		const char *group = jget_str(rule, "group");
		const char *start = jget_str(rule, "can_execute");
		const json_t *people = json_object_get(rule, "people");

		if (start != NULL)
			buf_printf(buf, "\nThe start is given by somebody else who can execute %s",
				   start);
		else
			buf_printf(buf, "\nIt needs approval by %d %s%s",
				   (int)jget_int(rule, "need", 1),
				   group != NULL ? "of the group " : "of those who can approve ",
				   group != NULL ? group : jget_str_or(rule, "can_approve", "it"));
		buf_puts(buf,
			 json_array_size(people) > 0 ? "; right now: " : "; right now nobody.");
		words_names(buf, people, " or ");
		if (json_array_size(people) > 0)
			buf_puts(buf, ".");
		words_put_unread(buf, json_object_get(rule, "unread"));
	}
}

/* Grants of the person's own that do not fit, and why not. */
static void put_grants(struct buf *buf, const json_t *grants)
{
	size_t i;
	json_t *grant;

	json_array_foreach(grants, i, grant)
	{
		const char *verdict = jget_str_or(grant, "verdict", "");

		if (jget_bool(grant, "mine", false) && !str_eq(verdict, "matches"))
			buf_printf(buf, "\nYour grant %s through %s: %s.",
				   jget_str_or(grant, "key", "?"), jget_str_or(grant, "via", "?"),
				   verdict);
	}
}

char *words_why(const json_t *why, const char *what)
{
	const char *group = jget_str(why, "detail.via.group");
	struct buf buf;

	buf_init(&buf, WORDS_MAX);
	if (jget_bool(why, "allowed", false)) {
		buf_printf(&buf, "Yes: %s. Grant %s", what, jget_str_or(why, "detail.grant", "?"));
		if (group != NULL)
			buf_printf(&buf, ", as a member of %s%s", group,
				   jget_bool(why, "detail.via.direct", true)
					   ? ""
					   : " through a group in it");
		buf_puts(&buf, ".");
		put_approvals(&buf, json_object_get(why, "approvals"));
	} else {
		char *refusal = words_refusal(why);

		buf_printf(&buf, "No: %s. %s", what, refusal);
		free(refusal);
		put_grants(&buf, json_object_get(why, "grants"));
	}
	if (json_is_integer(jget(why, "detail.age_s")))
		put_directory(&buf, jget_int(why, "detail.age_s", 0),
			      jget_int(why, "detail.generation", 0));
	if (jget_int(why, "detail.revision", 0) > 0)
		buf_printf(&buf, " Grants revision %" PRId64 ".",
			   jget_int(why, "detail.revision", 0));
	return buf_take(&buf);
}

static const char *change_words(const char *change)
{
	return str_eq(change, "who")    ? "who may"
	       : str_eq(change, "rule") ? "whether a rule of the command refuses it"
					: "whether it needs approval";
}

/* "\nNot given, and it could change this: role (who may, whether it needs approval)." */
static void put_open(struct buf *buf, const json_t *open)
{
	const char *name;
	json_t *changes, *change;
	bool first = true;
	size_t i;

	json_object_foreach((json_t *)(uintptr_t)open, name, changes)
	{
		buf_printf(buf, "%s%s (", first ? "\nNot given, and it could change this: " : ", ",
			   name);
		first = false;
		json_array_foreach(changes, i, change) buf_printf(
			buf, "%s%s", i > 0 ? ", " : "", change_words(json_string_value(change)));
		buf_puts(buf, ")");
	}
	if (!first)
		buf_puts(buf, ".");
}

char *words_outlook(const json_t *outlook)
{
	const char *denied = jget_str(outlook, "denied");
	const json_t *idle = json_object_get(outlook, "idle");
	struct buf buf;

	buf_init(&buf, WORDS_MAX);
	if (denied != NULL)
		buf_printf(&buf, "\nA rule of the command refuses it, whoever asks: %s", denied);
	if (jget_bool(outlook, "plan", false))
		buf_puts(&buf, "\nWhat it would change can make it need approval, too.");
	put_open(&buf, json_object_get(outlook, "open"));
	if (json_array_size(idle) > 0) {
		buf_puts(&buf, "\nNot given, and it makes no difference here: ");
		words_names(&buf, idle, " and ");
		buf_puts(&buf, ".");
	}
	return buf_take(&buf);
}

static void put_link(struct buf *buf, const json_t *link)
{
	const char *how = jget_str_or(link, "how", "email");

	buf_printf(buf, "\nYour Slack account was linked%s",
		   str_eq(how, "idp")     ? " by a company sign-in"
		   : str_eq(how, "admin") ? " by an administrator"
					  : " by its e-mail address");
	words_time(buf, jget_int(link, "since_ms", 0));
	if (jget_int(link, "proved_ms", 0) > 0) {
		buf_puts(buf, ", last proved");
		words_time(buf, jget_int(link, "proved_ms", 0));
	}
	buf_puts(buf, ".");
	if (jget_int(link, "enough_to", 3) < 3)
		buf_printf(buf,
			   " That is enough up to risk %d; above it a company sign-in is needed%s.",
			   (int)jget_int(link, "enough_to", 0),
			   jget_bool(link, "can_step_up", false) ? ", for which you will be asked"
								 : ", and none is configured here");
}

char *words_whoami(const json_t *who)
{
	const json_t *groups = json_object_get(who, "groups"), *timed;
	int64_t more = jget_int(who, "n_groups", 0) - (int64_t)json_array_size(groups);
	struct buf buf;
	size_t i;
	json_t *grant;

	if (!str_eq(jget_str(who, "code"), "ok"))
		return xasprintf("I do not know you. %s", words_code(jget_str(who, "code")));
	buf_init(&buf, WORDS_MAX);
	buf_printf(&buf, "You are %s (%s).", jget_str_or(who, "name", "?"),
		   jget_str_or(who, "email", "no address"));
	put_link(&buf, json_object_get(who, "link"));
	if (json_array_size(groups) > 0) {
		buf_puts(&buf, "\nGroups: ");
		words_names(&buf, groups, " and ");
		if (more > 0)
			buf_printf(&buf, ", and %" PRId64 " more", more);
		buf_puts(&buf, ".");
	} else {
		buf_puts(&buf, "\nYou are in no group.");
	}
	timed = json_object_get(who, "timed");
	json_array_foreach(timed, i, grant)
	{
		buf_printf(&buf, "\n%s %s until",
			   str_eq(jget_str(grant, "effect"), "forbid") ? "Blocked:" : "For a time:",
			   jget_str_or(grant, "action", "?"));
		words_time(&buf, jget_int(grant, "until_ms", 0));
		buf_puts(&buf, ".");
	}
	put_directory(&buf, jget_int(who, "directory.age_s", 0),
		      jget_int(who, "directory.generation", 0));
	return buf_take(&buf);
}

char *words_stale(int64_t age_s)
{
	struct buf buf;

	if (age_s <= STALE_S)
		return NULL;
	buf_init(&buf, WORDS_MAX);
	buf_puts(&buf, "⚠️ The company directory was last read ");
	put_age(&buf, age_s);
	buf_puts(&buf, " ago: who may do what may have changed since.");
	return buf_take(&buf);
}

char *words_sign_in(const char *what, const struct request *rq, const struct sign_in_code *code)
{
	return xasprintf("🔐 %s needs a company sign-in, for this one request (%s): %s\n"
			 "Open %s in a browser and type the code %s within %d minutes.\n"
			 "Only if it was you who just %s, here in Slack. Nobody else may "
			 "give you a code, and do not pass this one on.",
			 rq->proving ? "Your approval" : "This", rq->id, what, code->url,
			 code->code, (int)((code->lives_s + 59) / 60),
			 rq->proving ? "pressed the button below it" : "asked for this");
}

char *words_proof(const char *code)
{
	static const struct {
		const char *code, *text;
	} texts[] = {
		{ "too_many",
		  "You have had several company sign-ins within the hour, or one is "
		  "still open, so nothing was done. Finish that one, or try again in an "
		  "hour." },
		{ "once", "The company sign-in for this request was interrupted, so nothing was "
			  "done. Ask again with the command." },
		{ "open",
		  "A sign-in for this was begun just now: use the code that you were shown, "
		  "or press the button again in half a minute." },
		{ "another_person",
		  "The sign-in was somebody else's, not yours, so nothing was done. "
		  "The data platform team was told." },
		{ "token_used", "That sign-in was used before, so nothing was done. Ask again with "
				"the command." },
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (str_eq(texts[i].code, code))
			return xstrdup(texts[i].text);
	return xstrdup(words_code(code));
}

char *words_linked(const json_t *link)
{
	return xasprintf(
		"Your Slack account is now linked to %s in the company directory, because "
		"that is your address here. If it is not you, tell the data platform team. "
		"`whoami` shows the link at any time.",
		jget_str_or(link, "email", "somebody"));
}

static char *break_glass(const json_t *alarm)
{
	struct buf buf;

	buf_init(&buf, WORDS_MAX);
	buf_printf(&buf, "BREAK GLASS: took the %s", jget_str_or(alarm, "what", "right"));
	buf_puts(&buf, ". It ends");
	words_time(&buf, jget_int(alarm, "until_ms", 0));
	buf_printf(&buf, " and is then to be reviewed. Reason: %s (request %s)",
		   jget_str_or(alarm, "reason", "none given"), jget_str_or(alarm, "request", "?"));
	return buf_take(&buf);
}

char *words_alarm(const json_t *alarm)
{
	const char *kind = jget_str_or(alarm, "alarm", "");

	if (str_eq(kind, "link_suspended"))
		return xasprintf("The link of this Slack account to the directory was suspended: "
				 "%s. Find out whether the account is still theirs.",
				 jget_str_or(alarm, "why", "they do not agree"));
	if (str_eq(kind, "break_glass"))
		return break_glass(alarm);
	if (str_eq(kind, "access_ended"))
		return xasprintf(
			"%s of %s on %s has ended (%s).",
			str_eq(jget_str(alarm, "effect"), "forbid") ? "The block" : "The right",
			jget_str_or(alarm, "whose", "somebody"), jget_str_or(alarm, "action", "?"),
			jget_str_or(alarm, "grant", "?"));
	if (str_eq(kind, "proof_of_another"))
		return xasprintf(
			"A company sign-in for this Slack account's request %s was made by %s. "
			"Nothing "
			"was done. Find out who sent whom the code: it looks like phishing.",
			jget_str_or(alarm, "request", "?"),
			jget_str_or(alarm, "whose", "somebody else"));
	if (str_eq(kind, "address_released"))
		return xasprintf("The address %s was released by %s: it is that of %s (%s) now, "
				 "and was that of %s. Reason: %s",
				 jget_str_or(alarm, "address", "?"), jget_str_or(alarm, "by", "?"),
				 jget_str_or(alarm, "new", "?"), jget_str_or(alarm, "new_id", "?"),
				 jget_str_or(alarm, "was", "somebody"),
				 jget_str_or(alarm, "reason", "none given"));
	if (str_eq(kind, "reviewed"))
		return xasprintf("reviewed the break-glass %s of %s.",
				 jget_str_or(alarm, "request", "?"),
				 jget_str_or(alarm, "whose", "somebody"));
	return xasprintf("%s: %s", kind, jget_str_or(alarm, "why", ""));
}

char *words_review(const json_t *review)
{
	const json_t *used = json_object_get(review, "used");
	struct buf buf;
	size_t i;
	json_t *use;

	buf_init(&buf, WORDS_MAX);
	buf_printf(&buf,
		   "%sBreak-glass to be reviewed: %s took the right %s in request %s. Reason: %s",
		   jget_int(review, "reminders", 0) > 0 ? "Still not reviewed. " : "",
		   jget_str_or(review, "whose", "somebody"), jget_str_or(review, "what", "?"),
		   jget_str_or(review, "request", "?"),
		   jget_str_or(review, "reason", "none given"));
	if (json_array_size(used) == 0)
		buf_puts(&buf, "\nNothing was done with it.");
	json_array_foreach(used, i, use)
		buf_printf(&buf, "\n• %s: %s, %s", jget_str_or(use, "request", "?"),
			   jget_str_or(use, "command", "?"), jget_str_or(use, "state", "?"));
	return buf_take(&buf);
}

char *words_reviewed(const json_t *answer)
{
	const char *code = jget_str_or(answer, "code", "");
	char *text, *whole;

	if (str_eq(code, "reviewed_already"))
		return xasprintf("It was reviewed already by %s.",
				 jget_str_or(answer, "by", "somebody"));
	if (!str_eq(code, "reviewed"))
		return xstrdup(words_code(code));
	text = words_review(json_object_get(answer, "review"));
	whole = xasprintf("✅ Reviewed by %s. %s", jget_str_or(answer, "by", "somebody"), text);
	free(text);
	return whole;
}
