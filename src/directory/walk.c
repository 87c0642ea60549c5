/* SPDX-License-Identifier: Apache-2.0 */
/* walk.c - see walk.h.  A place is one list being read; pump() is the only function that starts. */
#include "walk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/xalloc.h"

#define uthash_malloc(size) xmalloc(size)
#include <uthash.h>

enum { ROUNDS_MAX = 3, PAGES_MAX = 50000, LISTS_MAX = 200000, WHAT_MAX = 300 };

struct place {
	struct listing listing;
	struct list_node node; /* on walk->waiting or walk->active */
	struct walk *walk;
	struct call *call;
	walk_read_fn read;
	char *what, *subject;
	char *url;      /* of the page that is asked for */
	char *next_url; /* set while a page is read */
	unsigned token; /* which token the last question carried */
	bool renewed;   /* the token was renewed for this page */
};

struct seen { /* a page's address: none is read twice */
	UT_hash_handle hh;
	char url[];
};

struct known { /* a group that is listed, or inside another one */
	UT_hash_handle hh;
	char *name; /* NULL: not listed yet, or set aside */
	walk_url_fn url;
	walk_read_fn read;
	bool wanted, asked;
	char id[];
};

struct walk {
	struct call call;
	struct source *source;
	const struct walk_kind *kind;
	uv_timer_t deadline; /* the memory goes in its close callback */
	struct roster *roster;
	json_t *memo;
	bool at_last; /* the last lists are being read */
	struct list waiting, active;
	struct seen *seen;
	struct known *known;
	struct call *token_call;
	char *token;
	int64_t renew_ms; /* when the token is to be renewed */
	unsigned token_number;
	unsigned round;
	size_t calls, pages, lists, members; /* members: lists of them */
	char trouble[ERR_MSG_MAX];           /* why it was read again */
	source_done_fn done;
	void *data;
};

static void pump(struct walk *walk);

/* ---- ends ---- */

static void place_free(struct list *on, struct place *place)
{
	call_cancel(&place->call);
	list_remove(on, &place->node);
	free(place->what);
	free(place->subject);
	free(place->url);
	free(place->next_url);
	free(place);
}

static void forget_groups(struct walk *walk)
{
	struct known *known, *next;

	HASH_ITER(hh, walk->known, known, next)
	{
		HASH_DEL(walk->known, known);
		free(known->name);
		free(known);
	}
}

/* Forgets everything that was read. */
static void clear(struct walk *walk)
{
	struct seen *seen, *next;
	struct list_node *node;

	forget_groups(walk);

	call_cancel(&walk->token_call);
	while ((node = list_first(&walk->active)) != NULL)
		place_free(&walk->active, list_entry(node, struct place, node));
	while ((node = list_first(&walk->waiting)) != NULL)
		place_free(&walk->waiting, list_entry(node, struct place, node));
	HASH_ITER(hh, walk->seen, seen, next)
	{
		HASH_DEL(walk->seen, seen);
		free(seen);
	}
	roster_destroy(walk->roster);
	walk->roster = NULL;
	json_decref(walk->memo);
	walk->memo = NULL;
	walk->at_last = false;
	walk->lists = walk->members = 0;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void end(struct walk *walk)
{
	clear(walk);
	secret_free(walk->token);
	uv_close((uv_handle_t *)&walk->deadline, on_closed);
}

static void on_cancel(struct call *call)
{
	end((struct walk *)call);
}

/* group: id of the one whose members could not be read; NULL: it was something else. */
static void fail_at(struct walk *walk, const char *group, const struct err *err)
{
	json_t *notes = group != NULL ? json_pack("{s:s}", "group", group) : json_object();
	const struct source_answer answer = { .notes = notes };
	struct err own = *err;

	if (!str_starts(own.msg, walk->source->label))
		err_prefix(&own, "%s", walk->source->label);
	own.kind = ERR_INVALID;
	clear(walk);
	walk->done(walk->data, &answer, &own);
	json_decref(notes);
	end(walk);
}

static void fail(struct walk *walk, const struct err *err)
{
	fail_at(walk, NULL, err);
}

static void on_deadline(uv_timer_t *timer)
{
	struct walk *walk = timer->data;
	struct err err;

	err_set(&err, ERR_TIMEOUT,
		"it was not read whole within %u minutes (%zu pages were); set minutes higher, or "
		"per_minute if the quota allows it",
		walk->source->minutes, walk->pages);
	fail(walk, &err);
}

static void begin(struct walk *walk)
{
	clear(walk);
	walk->roster = roster_create();
	walk->memo = json_object();
	walk->kind->begin(walk);
	pump(walk);
}

/* Something changed while it was read, or it contradicts itself: from the start. */
static void again(struct walk *walk, const char *group, const struct err *err)
{
	struct err own;

	if (walk->source->probing) {
		fail(walk, err);
		return;
	}
	if (++walk->round < ROUNDS_MAX) {
		log_warn("directory source read again", LOG_STR("source", walk->source->name),
			 LOG_STR("reason", err->msg));
		(void)snprintf(walk->trouble, sizeof(walk->trouble), "%s", err->msg);
		begin(walk);
		return;
	}
	err_set(&own, ERR_INVALID,
		"read %d times, and each time it contradicted itself: %s; the source is "
		"inconsistent, the next run tries again",
		ROUNDS_MAX, err->msg);
	fail_at(walk, group, &own);
}

static void finish(struct walk *walk)
{
	json_t *notes = json_object();
	struct err err;
	struct source_answer answer = { .notes = notes };

	if (walk->source->probing)
		notes_count(notes, roster_people(walk->roster), roster_groups(walk->roster));
	else
		answer.directory = roster_finish(walk->roster, walk->kind->strangers, notes, &err);
	if (answer.directory == NULL && !walk->source->probing) {
		json_decref(notes);
		if (err.kind == ERR_RETRY)
			again(walk, NULL, &err);
		else
			fail(walk, &err);
		return;
	}
	json_object_set_new(notes, "calls", json_integer((json_int_t)walk->calls));
	json_object_set_new(notes, "pages", json_integer((json_int_t)walk->pages));
	if (walk->round > 0)
		json_object_set_new(notes, "read_again", json_string(walk->trouble));
	clear(walk);
	walk->done(walk->data, &answer, NULL);
	json_decref(notes);
	end(walk);
}

/* ---- the token ---- */

static void on_token(void *data, const char *text, int64_t life_s, const json_t *body,
		     const struct err *failure)
{
	struct walk *walk = data;
	struct err err;

	walk->token_call = NULL;
	if (failure != NULL) {
		fail(walk, failure);
		return;
	}
	if (walk->kind->token_check != NULL && !walk->kind->token_check(body, &err)) {
		fail(walk, &err);
		return;
	}
	secret_free(walk->token);
	walk->token = xstrdup(text);
	log_mask(walk->token);
	walk->token_number++;
	walk->renew_ms = clock_mono_ms() + life_s * 800;
	pump(walk);
}

static bool is_asked_for(const struct walk *walk)
{
	const char *bearer = walk->kind->bearer;

	return bearer == NULL || json_object_get(walk->source->node, bearer) == NULL;
}

/* A token that is good for a while; false: it is being fetched, or the walk is over. */
static bool have_token(struct walk *walk)
{
	struct err err;

	if (walk->token != NULL && clock_mono_ms() < walk->renew_ms)
		return true;
	if (!is_asked_for(walk)) {
		walk->token = source_secret(walk->source, walk->kind->bearer, &err);
		walk->renew_ms = INT64_MAX;
		if (walk->token != NULL)
			return true;
		fail(walk, &err);
		return false;
	}
	if (walk->token_call == NULL) {
		walk->calls++;
		walk->token_call = token_start(walk->source, walk->kind->token, on_token, walk);
	}
	return false;
}

/* ---- pages ---- */

static void turn_page(struct walk *walk, struct place *place)
{
	if (place->next_url == NULL) {
		place_free(&walk->active, place);
	} else {
		free(place->url);
		place->url = place->next_url;
		place->next_url = NULL;
		list_remove(&walk->active, &place->node);
		list_push(&walk->waiting, &place->node);
	}
	pump(walk);
}

static void on_refusal(struct walk *walk, struct place *place, const struct ask_answer *answer,
		       const struct err *failure)
{
	struct err err = *failure;

	/* The token may have ended early, or another place has renewed it meanwhile. */
	if (answer != NULL && answer->status == 401 && is_asked_for(walk) &&
	    !(place->renewed && place->token == walk->token_number)) {
		if (place->token == walk->token_number) {
			place->renewed = true;
			walk->renew_ms = 0;
		}
		list_remove(&walk->active, &place->node);
		list_push(&walk->waiting, &place->node);
		pump(walk);
		return;
	}
	if (answer != NULL && answer->status == 404 && place->subject != NULL) {
		err.kind = ERR_RETRY; /* deleted after it was listed? */
		again(walk, place->subject, &err);
		return;
	}
	fail_at(walk, answer != NULL && answer->status == 401 ? NULL : place->subject, &err);
}

static void on_answer(void *data, const struct ask_answer *answer, const struct err *failure)
{
	struct place *place = data;
	struct walk *walk = place->walk;
	struct err err;

	place->call = NULL;
	if (failure != NULL) {
		on_refusal(walk, place, answer, failure);
		return;
	}
	walk->pages++;
	place->listing.pages++;
	place->renewed = false;
	if (walk->pages > PAGES_MAX) {
		err_set(&err, ERR_INVALID, "more than %d pages", PAGES_MAX);
		fail(walk, &err);
		return;
	}
	if (!json_is_object(answer->json) && !json_is_array(answer->json))
		err_set(&err, ERR_INVALID, "it is neither an object nor a list");
	else if (place->read(walk, &place->listing, answer, &err)) {
		turn_page(walk, place);
		return;
	}
	err_prefix(&err, "%s, page %zu", place->what, place->listing.pages);
	if (err.kind == ERR_RETRY)
		again(walk, place->subject, &err);
	else
		fail_at(walk, place->subject, &err);
}

static void start(struct walk *walk, struct place *place)
{
	char what[WHAT_MAX];
	const struct ask ask = { .what = what,
				 .url = place->url,
				 .bearer = walk->token,
				 .headers = walk->kind->headers };

	(void)snprintf(what, sizeof(what), "%s, page %zu", place->what, place->listing.pages + 1);
	list_remove(&walk->waiting, &place->node);
	list_push(&walk->active, &place->node);
	place->token = walk->token_number;
	walk->calls++;
	place->call = ask_start(walk->source, &ask, on_answer, place);
}

static void pump(struct walk *walk)
{
	struct list_node *node;

	if (walk->waiting.count + walk->active.count == 0 && walk->at_last) {
		finish(walk);
		return;
	}
	if (walk->waiting.count + walk->active.count == 0) {
		walk->at_last = true;
		walk->kind->last(walk);
	}
	if (walk->waiting.count == 0 || !have_token(walk))
		return;
	while (walk->active.count < SOURCE_ACTIVE && (node = list_first(&walk->waiting)) != NULL)
		start(walk, list_entry(node, struct place, node));
}

/* ---- for the kinds ---- */

const struct source *walk_source(const struct walk *walk)
{
	return walk->source;
}

struct roster *walk_roster(const struct walk *walk)
{
	return walk->roster;
}

json_t *walk_memo(const struct walk *walk)
{
	return walk->memo;
}

/* false: this page was read before. */
static bool first_time(struct walk *walk, const char *url)
{
	size_t len = strlen(url);
	struct seen *seen;

	HASH_FIND(hh, walk->seen, url, len, seen);
	if (seen != NULL)
		return false;
	seen = xcalloc(1, sizeof(*seen) + len + 1);
	memcpy(seen->url, url, len);
	HASH_ADD(hh, walk->seen, url, (unsigned)len, seen);
	return true;
}

/* what and url are taken over. */
static void add_list(struct walk *walk, char *what, char *url, const char *subject,
		     walk_read_fn read)
{
	struct place *place;

	assert(walk->lists < LISTS_MAX);
	/* One list of members shows whether they may be read. */
	if ((walk->source->probing && subject != NULL && walk->members > 0) ||
	    !first_time(walk, url)) {
		free(what);
		free(url);
		return;
	}
	place = xcalloc(1, sizeof(*place));
	place->walk = walk;
	place->read = read;
	place->what = what;
	walk->members += subject != NULL;
	place->subject = xstrdup_null(subject);
	place->url = url;
	place->listing =
		(struct listing){ .what = place->what, .subject = place->subject, .total = -1 };
	walk->lists++;
	list_push(&walk->waiting, &place->node);
}

void walk_list(struct walk *walk, const char *what, char *url, walk_read_fn read)
{
	add_list(walk, xstrdup(what), url, NULL, read);
}

static struct known *know(struct walk *walk, const char *id)
{
	size_t len = strlen(id);
	struct known *known;

	HASH_FIND(hh, walk->known, id, len, known);
	if (known != NULL)
		return known;
	known = xcalloc(1, sizeof(*known) + len + 1);
	memcpy(known->id, id, len);
	HASH_ADD(hh, walk->known, id, (unsigned)len, known);
	return known;
}

static void read_members(struct walk *walk, struct known *known)
{
	if (!known->wanted || known->asked || known->name == NULL)
		return;
	known->asked = true;
	roster_read(walk->roster, known->id);
	add_list(walk, xasprintf("members of %.100s (%.100s)", known->name, known->id),
		 known->url(walk, known->id), known->id, known->read);
}

bool walk_group(struct walk *walk, const struct directory_group *group, walk_url_fn url,
		walk_read_fn read, struct err *err)
{
	struct directory_group own = *group;
	struct known *known;

	own.unread = true; /* as yet */
	own.aside = source_sets_aside(walk->source, group->id);
	if (!roster_group(walk->roster, &own, NULL, err))
		return false;
	known = know(walk, group->id);
	if (own.aside || known->name != NULL)
		return true;
	known->name = xstrdup(group->name);
	known->url = url;
	known->read = read;
	known->wanted = known->wanted || source_reads(walk->source, group->id, group->name);
	read_members(walk, known);
	return true;
}

bool walk_member(struct walk *walk, const struct listing *listing, const char *member,
		 enum member_kind kind, struct err *err)
{
	struct known *known;

	if (!roster_member(walk->roster, listing->subject, member, kind, err))
		return false;
	if (kind == MEMBER_GROUP) {
		known = know(walk, member);
		known->wanted = true;
		read_members(walk, known);
	}
	return true;
}

bool walk_next(struct walk *walk, struct listing *listing, char *url, struct err *err)
{
	struct place *place = (struct place *)listing; /* its first member */
	bool good = false;

	if (!source_same_peer(url, walk->source->url)) {
		err_set(err, ERR_INVALID,
			"its next page is said to be at another address (%.80s): the token is not "
			"sent there",
			url);
	} else if (walk->source->probing) {
		good = true;
	} else if (!first_time(walk, url)) {
		err_set(err, ERR_INVALID, "its next page is one that was read before");
	} else {
		place->next_url = url;
		url = NULL;
		good = true;
	}
	free(url);
	return good;
}

bool walk_rows(const json_t *page, const char *member, bool may_lack, json_t **ret_rows,
	       struct err *err)
{
	*ret_rows = json_object_get(page, member);
	if (json_is_array(*ret_rows) || (*ret_rows == NULL && may_lack))
		return true;
	err_set(err, ERR_INVALID, "it has no list \"%s\": this is no page of the API that is asked",
		member);
	return false;
}

bool walk_each(struct walk *walk, struct listing *listing, const json_t *rows, walk_row_fn row,
	       struct err *err)
{
	size_t i;
	json_t *item;

	json_array_foreach(rows, i, item)
	{
		if (!row(walk, listing, item, err))
			return false;
	}
	return true;
}

static void on_begin(void *data)
{
	struct walk *walk = data;

	walk->token_call = NULL;
	begin(walk);
}

struct call *walk_start(struct source *source, const struct walk_kind *kind, source_done_fn done,
			void *data)
{
	struct walk *walk = xcalloc(1, sizeof(*walk));

	walk->call.cancel = on_cancel;
	walk->source = source;
	walk->kind = kind;
	walk->done = done;
	walk->data = data;
	list_init(&walk->waiting);
	list_init(&walk->active);
	(void)uv_timer_init(source->loop, &walk->deadline);
	walk->deadline.data = walk;
	(void)uv_timer_start(&walk->deadline, on_deadline, (uint64_t)source->minutes * 60000, 0);
	walk->token_call = call_defer(source->loop, on_begin, walk);
	return &walk->call;
}
