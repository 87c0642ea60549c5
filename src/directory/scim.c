/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scim.c - SCIM 2.0 as a client (RFC 7643, 7644; cursors: RFC 9865).
 *
 * No order is promised, so rows may come twice or slip between pages: what counts is that as many
 * different ones came as the server says there are, and that it says the same on every page.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "walk.h"

#define GROUPS "Groups" /* as it stands in the address, and names the list */
#define LIST "urn:ietf:params:scim:api:messages:2.0:ListResponse"

enum { COUNT = 100 };

static const char *const keys[] = { "bearer", "token_url", "client_id", "client_secret",
				    "scope",  "paging",    NULL };

static bool by_cursor(const struct source *source)
{
	return str_eq(source_text(source, "paging"), "cursor");
}

static bool check(struct source *source, struct err *err)
{
	const char *paging = source_text(source, "paging");

	if (paging != NULL && !str_eq(paging, "index") && !str_eq(paging, "cursor")) {
		err_set(err, ERR_INVALID, "paging is index or cursor, not \"%.40s\"", paging);
		return false;
	}
	if (source_text(source, "token_url") == NULL)
		return source_need_secret(source, "bearer", err);
	if (json_object_get(source->node, "bearer") != NULL) {
		err_set(err, ERR_INVALID,
			"bearer is a token, token_url gives one: set one of both");
		return false;
	}
	return http_url_ok(source_text(source, "token_url"), true, err) &&
	       source_need(source, "client_id", err) &&
	       source_need_secret(source, "client_secret", err);
}

static bool next_ask(const struct source *source, const json_t *before, struct token_ask *ask,
		     struct err *err)
{
	const char *scope = source_text(source, "scope");
	char *secret = source_secret(source, "client_secret", err);

	(void)before;
	if (secret == NULL)
		return false;
	ask->url = xstrdup(source_text(source, "token_url"));
	ask->form = token_form((const char *const[]){
		"grant_type", "client_credentials", "client_id", source_text(source, "client_id"),
		"client_secret", secret, scope != NULL ? "scope" : NULL, scope, NULL });
	secret_free(secret);
	return true;
}

/* ---- pages ---- */

static bool is_list(const json_t *page, struct err *err)
{
	size_t i;
	json_t *schema;

	json_array_foreach(json_object_get(page, "schemas"), i, schema)
	{
		if (str_eq(json_string_value(schema), LIST))
			return true;
	}
	err_set(err, ERR_INVALID, "it is no ListResponse: this is no page of a SCIM server");
	return false;
}

static char *page_url(const struct walk *walk, const char *list, const char *where)
{
	bool groups = str_eq(list, GROUPS);

	return xasprintf("%s/%s?%s&count=%d%s", walk_source(walk)->url, list, where, COUNT,
			 groups ? "&attributes=id,displayName,members" : "");
}

static bool is_whole(const struct listing *listing, size_t distinct, struct err *err)
{
	if (listing->total == (int64_t)distinct)
		return true;
	err_set(err, ERR_RETRY, "it says that there are %lld, and lists %zu different ones",
		(long long)listing->total, distinct);
	return false;
}

/* Takes totalResults, and turns to the page after n more rows. */
static bool take_page(struct walk *walk, struct listing *listing, const json_t *page,
		      size_t distinct, struct err *err)
{
	int64_t total = jget_int(page, "totalResults", -1);
	size_t n = json_array_size(json_object_get(page, "Resources"));
	bool by_index = !by_cursor(walk_source(walk)), more;
	const char *cursor = jget_str(page, "nextCursor");
	char *where;

	if (total < 0 && (by_index || json_object_get(page, "totalResults") != NULL)) {
		err_set(err, ERR_INVALID, "it does not say how many there are (totalResults)");
		return false;
	}
	if (listing->total >= 0 && total != listing->total) {
		err_set(err, ERR_RETRY, "it says that there are %lld, and %lld before",
			(long long)total, (long long)listing->total);
		return false;
	}
	listing->total = total;
	listing->rows += n;
	more = by_index ? n > 0 && (int64_t)listing->rows < total : !str_empty(cursor);
	if (!more)
		return total < 0 || is_whole(listing, distinct, err);
	if (by_index) {
		where = xasprintf("startIndex=%zu", listing->rows + 1);
	} else {
		char *escaped = http_escape(cursor);

		where = xasprintf("cursor=%s", escaped);
		free(escaped);
	}
	more = walk_next(walk, listing, page_url(walk, listing->what, where), err);
	free(where);
	return more;
}

/* The primary address, or the user name if that is one. */
static const char *address_of(const json_t *user)
{
	const char *name = jget_str(user, "userName"), *first = NULL;
	size_t i;
	json_t *item;

	json_array_foreach(json_object_get(user, "emails"), i, item)
	{
		const char *value = jget_str(item, "value");

		if (value != NULL && jget_bool(item, "primary", false))
			return value;
		if (first == NULL)
			first = value;
	}
	if (first != NULL)
		return first;
	return name != NULL && strchr(name, '@') != NULL ? name : NULL;
}

static bool read_user(struct walk *walk, struct listing *listing, const json_t *user,
		      struct err *err)
{
	const json_t *active = json_object_get(user, "active");
	const struct directory_person person = {
		.id = jget_str(user, "id"),
		.name = jget_str_or(
			user, "displayName",
			jget_str_or(user, "name.formatted", jget_str_or(user, "userName", ""))),
		.state = jget_bool(user, "active", true) ? "active" : "suspended",
		.kind = "human",
		.email = address_of(user),
	};
	size_t i;
	json_t *item;

	(void)listing;
	if (active != NULL && !json_is_boolean(active) &&
	    jget_bool(user, "active", true) != jget_bool(user, "active", false)) {
		err_set(err, ERR_INVALID, "user %.40s: active is neither true nor false",
			person.id != NULL ? person.id : "?");
		return false;
	}
	if (!roster_person(walk_roster(walk), &person, NULL, err))
		return false;
	json_array_foreach(json_object_get(user, "emails"), i, item)
	{
		if (!roster_alias(walk_roster(walk), person.id, jget_str(item, "value"), err))
			return false;
	}
	return true;
}

static bool read_group(struct walk *walk, struct listing *listing, const json_t *row,
		       struct err *err)
{
	const struct directory_group group = { .id = jget_str(row, "id"),
					       .name = jget_str_or(row, "displayName", "") };
	const json_t *members = json_object_get(row, "members");
	size_t before = roster_groups(walk_roster(walk)), i;
	json_t *item;

	(void)listing;
	if (!roster_group(walk_roster(walk), &group, NULL, err))
		return false;
	if (members != NULL && !json_is_array(members)) {
		err_set(err, ERR_INVALID, "members of group %.60s is no list", group.id);
		return false;
	}
	if (roster_groups(walk_roster(walk)) == before)
		return true; /* it came before */
	json_array_foreach(members, i, item)
	{
		const char *type = jget_str_or(item, "type", "");
		enum member_kind kind = str_ieq(type, "Group")  ? MEMBER_GROUP
					: str_ieq(type, "User") ? MEMBER_PERSON
								: MEMBER_EITHER;

		if (!roster_member(walk_roster(walk), group.id, jget_str(item, "value"), kind, err))
			return false;
	}
	return true;
}

static bool read_list(struct walk *walk, struct listing *listing, const struct ask_answer *answer,
		      struct err *err)
{
	bool groups = str_eq(listing->what, GROUPS);
	const struct roster *roster = walk_roster(walk);
	json_t *rows;

	return is_list(answer->json, err) &&
	       walk_rows(answer->json, "Resources", true, &rows, err) &&
	       walk_each(walk, listing, rows, groups ? read_group : read_user, err) &&
	       take_page(walk, listing, answer->json,
			 groups ? roster_groups(roster) : roster_people(roster), err);
}

static void begin_list(struct walk *walk, const char *list)
{
	walk_list(walk, list,
		  page_url(walk, list, by_cursor(walk_source(walk)) ? "cursor" : "startIndex=1"),
		  read_list);
}

static void begin(struct walk *walk)
{
	begin_list(walk, GROUPS);
}

static void last(struct walk *walk)
{
	begin_list(walk, "Users");
}

static const char *const headers[] = { "Accept: application/scim+json, application/json", NULL };
static const struct walk_kind how = { .begin = begin,
				      .last = last,
				      .headers = headers,
				      .strangers = STRANGER_REFUSED,
				      .bearer = "bearer",
				      .token = next_ask };

const struct source_kind source_scim = {
	.name = "scim", .keys = keys, .per_minute = 600, .check = check, .walk = &how
};
