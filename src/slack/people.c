/* SPDX-License-Identifier: Apache-2.0 */
/*
 * people.c - what Slack says of a user, remembered for a while.
 *
 * An entry holds what is known, the request under way if there is one, and who waits for it.  The
 * oldest entries go when there are too many; one that is asked for just now never does.
 */
#include "slack/people.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "slack/web.h"

#define uthash_malloc(size) xmalloc(size)
#include <uthash.h>

enum { PEOPLE_MAX = 5000, KEEP_MS = 60 * 1000 };

struct entry {
	UT_hash_handle hh;     /* by user.id */
	struct list_node node; /* on people->order, the oldest first */
	struct slack_people *people;
	struct slack_user user;
	bool known;
	bool stale;        /* dropped while asking: the answer may be the old one */
	struct call *call; /* users.info under way */
	struct list waiters;
};

struct waiter {
	struct call call;
	struct list_node node;
	struct list *list; /* the entry's, or the batch that is being told */
	slack_people_fn done;
	void *data;
};

struct slack_people {
	uv_loop_t *loop;
	struct slack_web *web;
	char *team, *enterprise;
	struct entry *entries;
	struct list order;
	struct list *telling; /* the batch whose callbacks are running, or NULL */
	bool *gone;           /* while telling: set by destroy */
};

/* --- entries --- */

/* Cut at a character when it is too long. */
static void copy_text(char *to, size_t size, const char *text)
{
	size_t len = text == NULL ? 0 : strlen(text);
	uint32_t cp;
	size_t at = 0, step;

	while (at < len) {
		step = str_utf8_next(text + at, len - at, &cp);
		if (step == 0 || at + step >= size)
			break;
		at += step;
	}
	if (at > 0)
		memcpy(to, text, at);
	to[at] = '\0';
}

static void waiters_free(struct list *waiters)
{
	struct list_node *node;

	for (node = list_pop(waiters); node != NULL; node = list_pop(waiters))
		free(list_entry(node, struct waiter, node));
}

static void entry_free(struct entry *entry)
{
	struct slack_people *people = entry->people;

	call_cancel(&entry->call);
	waiters_free(&entry->waiters);
	list_remove(&people->order, &entry->node);
	HASH_DEL(people->entries, entry);
	free(entry);
}

static struct entry *entry_find(const struct slack_people *people, const char *user)
{
	struct entry *entry = NULL;
	char id[sizeof(entry->user.id)]; /* Slack's are shorter; a longer one finds nobody */

	copy_text(id, sizeof(id), user);
	HASH_FIND_STR(people->entries, id, entry);
	return entry;
}

static void make_room(struct slack_people *people)
{
	struct list_node *node = list_first(&people->order), *next;

	while (node != NULL && people->order.count >= PEOPLE_MAX) {
		struct entry *entry = list_entry(node, struct entry, node);

		next = list_next(&people->order, node);
		if (entry->call == NULL)
			entry_free(entry);
		node = next;
	}
}

static struct entry *entry_new(struct slack_people *people, const char *user)
{
	struct entry *entry = xcalloc(1, sizeof(*entry));

	make_room(people);
	entry->people = people;
	list_init(&entry->waiters);
	copy_text(entry->user.id, sizeof(entry->user.id), user);
	HASH_ADD_STR(people->entries, user.id, entry);
	list_push(&people->order, &entry->node);
	return entry;
}

/* --- asking --- */

static void on_cancel(struct call *call)
{
	struct waiter *waiter = (struct waiter *)call;

	list_remove(waiter->list, &waiter->node);
	free(waiter); /* the question goes on: its answer is worth keeping */
}

static void batch_take(struct list *batch, struct list *waiters)
{
	struct list_node *node;

	list_init(batch);
	for (node = list_pop(waiters); node != NULL; node = list_pop(waiters)) {
		list_entry(node, struct waiter, node)->list = batch;
		list_push(batch, node);
	}
}

/* A callback may ask again, cancel another that waits, or destroy people: then *gone is set. */
static void batch_tell(struct slack_people *people, struct list *batch,
		       const struct slack_user *user, const struct err *err)
{
	struct list_node *node;
	bool gone = false;

	people->telling = batch;
	people->gone = &gone;
	for (node = list_pop(batch); node != NULL; node = list_pop(batch)) {
		struct waiter *waiter = list_entry(node, struct waiter, node);
		slack_people_fn done = waiter->done;
		void *data = waiter->data;

		free(waiter);
		done(data, user, err);
		if (gone)
			return;
	}
	people->telling = NULL;
}

static void on_info(void *data, const struct slack_answer *answer, const struct err *err)
{
	struct entry *entry = data;
	struct slack_people *people = entry->people;
	struct slack_user user;
	struct list batch;
	bool ok = answer->class == SLACK_OK;

	entry->call = NULL;
	batch_take(&batch, &entry->waiters);
	if (ok) {
		slack_user_read(jget(answer->json, "user"), people->team, people->enterprise,
				&user);
		copy_text(user.id, sizeof(user.id), entry->user.id);
		entry->user = user;
		entry->known = !entry->stale;
	}
	entry->stale = false;
	if (!entry->known)
		entry_free(entry);
	batch_tell(people, &batch, ok ? &user : NULL, err);
}

struct call *slack_people_fetch(struct slack_people *people, const char *user, slack_people_fn done,
				void *data)
{
	struct entry *entry = entry_find(people, user);
	struct waiter *waiter = xcalloc(1, sizeof(*waiter));

	if (entry == NULL)
		entry = entry_new(people, user);
	waiter->call.cancel = on_cancel;
	waiter->done = done;
	waiter->data = data;
	waiter->list = &entry->waiters;
	list_push(&entry->waiters, &waiter->node);
	if (entry->call == NULL)
		entry->call = slack_web_call(people->web, "users.info",
					     json_pack("{s:s}", "user", entry->user.id), 0, on_info,
					     entry);
	return &waiter->call;
}

const struct slack_user *slack_people_cached(struct slack_people *people, const char *user,
					     int64_t max_age_ms)
{
	const struct entry *entry = entry_find(people, user);
	int64_t most = max_age_ms < KEEP_MS ? max_age_ms : KEEP_MS;

	if (entry == NULL || !entry->known || clock_mono_ms() - entry->user.fetched_ms > most)
		return NULL;
	return &entry->user;
}

void slack_people_drop(struct slack_people *people, const char *user)
{
	struct entry *entry = entry_find(people, user);

	if (entry == NULL)
		return;
	entry->known = false;
	entry->stale = entry->call != NULL;
	if (entry->call == NULL)
		entry_free(entry);
}

/* --- life --- */

struct slack_people *slack_people_create(uv_loop_t *loop, struct slack_web *web)
{
	struct slack_people *people = xcalloc(1, sizeof(*people));

	people->loop = loop;
	people->web = web;
	list_init(&people->order);
	return people;
}

void slack_people_set_home(struct slack_people *people, const char *team, const char *enterprise)
{
	free(people->team);
	free(people->enterprise);
	people->team = xstrdup_null(team);
	people->enterprise = xstrdup_null(enterprise);
}

void slack_people_destroy(struct slack_people *people)
{
	struct list_node *node;

	if (people == NULL)
		return;
	if (people->telling != NULL) {
		waiters_free(people->telling);
		*people->gone = true;
	}
	for (node = list_first(&people->order); node != NULL; node = list_first(&people->order))
		entry_free(list_entry(node, struct entry, node));
	free(people->team);
	free(people->enterprise);
	free(people);
}

/* --- the user object --- */

static bool has_team(const json_t *user, const char *team)
{
	const json_t *item;
	size_t i;

	json_array_foreach(jget(user, "enterprise_user.teams"), i,
			   item) if (str_eq(json_string_value(item), team)) return true;
	return false;
}

/* Ours is decided by the team, never by "is_stranger": people of shared channels are no strangers.
 */
static bool is_ours(const json_t *user, const char *team, const char *enterprise)
{
	const char *org = jget_str(user, "enterprise_user.enterprise_id");

	if (str_empty(team) || jget_bool(user, "is_stranger", false))
		return false;
	if (str_eq(jget_str(user, "team_id"), team) || has_team(user, team))
		return true;
	return !str_empty(enterprise) && str_eq(org, enterprise);
}

static enum slack_user_verdict verdict_of(const json_t *user, const char *team,
					  const char *enterprise)
{
	if (!is_ours(user, team, enterprise))
		return SLACK_USER_FOREIGN;
	if (jget_bool(user, "deleted", false))
		return SLACK_USER_DELETED;
	/* "is_app_user" is no such sign: people who have authorized an app carry it too. */
	if (jget_bool(user, "is_bot", false) || jget_bool(user, "is_workflow_bot", false) ||
	    jget_bool(user, "is_connector_bot", false) || str_eq(jget_str(user, "id"), "USLACKBOT"))
		return SLACK_USER_BOT;
	if (jget_bool(user, "is_restricted", false) ||
	    jget_bool(user, "is_ultra_restricted", false))
		return SLACK_USER_GUEST;
	if (jget_bool(user, "is_invited_user", false))
		return SLACK_USER_INVITED;
	if (str_empty(jget_str(user, "profile.email")))
		return SLACK_USER_NO_EMAIL;
	if (!jget_bool(user, "is_email_confirmed", false))
		return SLACK_USER_UNCONFIRMED;
	return SLACK_USER_OK;
}

static const char *name_of(const json_t *user)
{
	static const char *const members[] = { "profile.real_name", "real_name",
					       "profile.display_name", "name" };

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (!str_empty(jget_str(user, members[i])))
			return jget_str(user, members[i]);
	return "";
}

void slack_user_read(const json_t *user, const char *team, const char *enterprise,
		     struct slack_user *ret_user)
{
	const char *email = jget_str_or(user, "profile.email", "");

	*ret_user = (struct slack_user){ .verdict = verdict_of(user, team, enterprise) };
	copy_text(ret_user->id, sizeof(ret_user->id), jget_str(user, "id"));
	copy_text(ret_user->team, sizeof(ret_user->team), jget_str(user, "team_id"));
	if (strlen(email) < sizeof(ret_user->email))
		copy_text(ret_user->email, sizeof(ret_user->email), email);
	else if (ret_user->verdict == SLACK_USER_OK)
		ret_user->verdict = SLACK_USER_NO_EMAIL; /* half an address is another one */
	copy_text(ret_user->name, sizeof(ret_user->name), name_of(user));
	copy_text(ret_user->tz, sizeof(ret_user->tz), jget_str(user, "tz"));
	ret_user->tz_offset_s = jget_int(user, "tz_offset", 0);
	ret_user->fetched_ms = clock_mono_ms();
}

const char *slack_user_verdict_name(enum slack_user_verdict verdict)
{
	switch (verdict) {
	case SLACK_USER_OK:
		return "ok";
	case SLACK_USER_FOREIGN:
		return "foreign";
	case SLACK_USER_DELETED:
		return "deleted";
	case SLACK_USER_BOT:
		return "bot";
	case SLACK_USER_GUEST:
		return "guest";
	case SLACK_USER_INVITED:
		return "invited";
	case SLACK_USER_UNCONFIRMED:
		return "unconfirmed";
	case SLACK_USER_NO_EMAIL:
		return "no_email";
	}
	return "unknown";
}
