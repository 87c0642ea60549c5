/* SPDX-License-Identifier: Apache-2.0 */
/*
 * google.c - Google Workspace: the Admin SDK's Directory API, as a service account with domain-wide
 * delegation.
 *
 * Groups come before their members, members are the direct ones; "customer", never "domain", or
 * what belongs to a second domain would be missing.  Ids are texts: 21 digits fit no double.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/jwt.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "walk.h"

#define TOKEN_URL "https://oauth2.googleapis.com/token"
#define SCOPE "https://www.googleapis.com/auth/admin.directory."
#define SCOPES SCOPE "user.readonly " SCOPE "group.readonly " SCOPE "group.member.readonly"
#define USER_FIELDS                                                                                \
	"nextPageToken,kind,users(id,primaryEmail,name/fullName,aliases,nonEditableAliases,"       \
	"suspended,archived)"

static const char *const keys[] = { "key", "admin", "customer", "token_url", NULL };

static bool check(struct source *source, struct err *err)
{
	const char *token_url = source_text(source, "token_url");

	return source_need_secret(source, "key", err) && source_need(source, "admin", err) &&
	       (token_url == NULL || http_url_ok(token_url, true, err));
}

/* ---- the token ---- */

static char *token_url(const struct source *source)
{
	const char *url = source_text(source, "token_url");

	return xstrdup(url != NULL ? url : TOKEN_URL);
}

/* iat is not in the future: a clock that runs ahead is refused. */
static char *form_of(const struct source *source, const json_t *key, struct err *err)
{
	const char *pem = jget_str(key, "private_key"), *email = jget_str(key, "client_email");
	int64_t now = clock_wall_ms() / 1000 - 5;
	char *url = token_url(source), *jwt = NULL, *form = NULL;
	json_t *claims;

	if (pem == NULL || email == NULL) {
		err_set(err, ERR_INVALID,
			"%s.key is not the JSON key of a service account (client_email, "
			"private_key)",
			source->label);
		free(url);
		return NULL;
	}
	claims = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "iss", email, "sub",
			   source_text(source, "admin"), "scope", SCOPES, "aud", url, "iat",
			   (json_int_t)now, "exp", (json_int_t)now + 3600);
	jwt = jwt_rs256(pem, jget_str(key, "private_key_id"), claims, err);
	if (jwt != NULL)
		form = token_form((const char *const[]){
			"grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion",
			jwt, NULL });
	else
		err_prefix(err, "%s.key", source->label);
	json_decref(claims);
	secret_free(jwt);
	free(url);
	return form;
}

static bool next_ask(const struct source *source, const json_t *before, struct token_ask *ask,
		     struct err *err)
{
	char *text = source_secret(source, "key", err);
	struct err unreadable;
	json_t *key;

	(void)before;
	if (text == NULL)
		return false;
	key = json_parse(text, strlen(text), strlen(text), &unreadable);
	ask->form = form_of(source, key, err);
	ask->url = token_url(source);
	json_decref(key);
	secret_free(text);
	return ask->form != NULL;
}

static bool passing(int status, const json_t *body)
{
	const json_t *errors = jget(body, "error.errors");
	const char *reason = jget_str(json_array_get(errors, 0), "reason");

	return status == 403 &&
	       (str_eq(reason, "userRateLimitExceeded") || str_eq(reason, "rateLimitExceeded") ||
		str_eq(reason, "quotaExceeded"));
}

static const char *advice(int status, const json_t *body)
{
	if (str_eq(jget_str(body, "error"), "unauthorized_client"))
		return "enter the service account's client id and the three scopes under "
		       "Domain-wide "
		       "delegation in the admin console";
	if (str_eq(jget_str(body, "error"), "invalid_grant"))
		return "admin must be an active account of the customer, and this machine's clock "
		       "right";
	if (status == 404 && strstr(jget_str_or(body, "error.message", ""), "Domain not found"))
		return "admin is not an account of this customer";
	if (status == 400)
		return "admin is missing or no account that may read the directory";
	if (status == 403)
		return "admin lacks the role that reads users and groups, or the quota is used up";
	return NULL;
}

/* ---- pages ---- */

static bool is_kind(const json_t *page, const char *kind, struct err *err)
{
	if (str_eq(jget_str(page, "kind"), kind))
		return true;
	err_set(err, ERR_INVALID, "it is no %s: this is no page of the API that is asked", kind);
	return false;
}

/* base is freed. */
static bool next_page(struct walk *walk, struct listing *listing, char *base, const json_t *page,
		      struct err *err)
{
	const char *token = jget_str(page, "nextPageToken");
	char *escaped, *url;

	if (str_empty(token)) {
		free(base);
		return true;
	}
	escaped = http_escape(token);
	url = xasprintf("%s&pageToken=%s", base, escaped);
	free(escaped);
	free(base);
	return walk_next(walk, listing, url, err);
}

static char *list_url(const struct walk *walk, const char *list)
{
	const char *customer = source_text(walk_source(walk), "customer");
	char *escaped = http_escape(customer != NULL ? customer : "my_customer");
	bool users = str_eq(list, "users");
	char *url = xasprintf("%s/admin/directory/v1/%s?customer=%s&maxResults=%d%s",
			      walk_source(walk)->url, list, escaped, users ? 500 : 200,
			      users ? "&projection=basic&orderBy=email&fields=" USER_FIELDS : "");

	free(escaped);
	return url;
}

static bool read_user(struct walk *walk, struct listing *listing, const json_t *user,
		      struct err *err)
{
	static const char *const lists[] = { "aliases", "nonEditableAliases" };
	const char *email = jget_str(user, "primaryEmail");
	struct directory_person person = {
		.id = jget_str(user, "id"),
		.name = jget_str_or(user, "name.fullName", email != NULL ? email : ""),
		.state = jget_bool(user, "suspended", false)  ? "suspended"
			 : jget_bool(user, "archived", false) ? "archived"
							      : "active",
		.kind = "human",
		.email = email,
	};
	size_t k;
	json_t *alias;

	(void)listing;
	if (email == NULL || !json_is_boolean(json_object_get(user, "suspended"))) {
		err_set(err, ERR_INVALID,
			"user %.40s comes without primaryEmail or suspended: admin may not read "
			"all of a user",
			person.id != NULL ? person.id : "?");
		return false;
	}
	if (!roster_person(walk_roster(walk), &person, NULL, err))
		return false;
	for (size_t i = 0; i < 2; i++)
		json_array_foreach(json_object_get(user, lists[i]), k, alias)
		{
			if (!roster_alias(walk_roster(walk), person.id, json_string_value(alias),
					  err))
				return false;
		}
	return true;
}

static bool read_users(struct walk *walk, struct listing *listing, const struct ask_answer *answer,
		       struct err *err)
{
	json_t *rows;

	/* No company is without users: the one who asks is among them. */
	return is_kind(answer->json, "admin#directory#users", err) &&
	       walk_rows(answer->json, "users", listing->pages > 1, &rows, err) &&
	       walk_each(walk, listing, rows, read_user, err) &&
	       next_page(walk, listing, list_url(walk, "users"), answer->json, err);
}

static char *members_url(const struct walk *walk, const char *group)
{
	char *escaped = http_escape(group);
	char *url = xasprintf("%s/admin/directory/v1/groups/%s/members?maxResults=200",
			      walk_source(walk)->url, escaped);

	free(escaped);
	return url;
}

static bool read_member(struct walk *walk, struct listing *listing, const json_t *row,
			struct err *err)
{
	const char *type = jget_str_or(row, "type", "");

	/* CUSTOMER, "everybody", has no address and is no row of its own. */
	if (str_eq(type, "CUSTOMER"))
		return roster_everyone(walk_roster(walk), listing->subject, err);
	return roster_member(walk_roster(walk), listing->subject, jget_str(row, "id"),
			     str_eq(type, "GROUP") ? MEMBER_GROUP : MEMBER_PERSON, err);
}

static bool read_members(struct walk *walk, struct listing *listing,
			 const struct ask_answer *answer, struct err *err)
{
	json_t *rows;

	return is_kind(answer->json, "admin#directory#members", err) &&
	       walk_rows(answer->json, "members", true, &rows, err) &&
	       walk_each(walk, listing, rows, read_member, err) &&
	       next_page(walk, listing, members_url(walk, listing->subject), answer->json, err);
}

static bool read_group(struct walk *walk, struct listing *listing, const json_t *row,
		       struct err *err)
{
	const struct directory_group group = { .id = jget_str(row, "id"),
					       .name = jget_str_or(row, "email", "") };

	(void)listing;
	if (!roster_group(walk_roster(walk), &group, NULL, err))
		return false;
	walk_members(walk, &group, members_url(walk, group.id), read_members);
	return true;
}

static bool read_groups(struct walk *walk, struct listing *listing, const struct ask_answer *answer,
			struct err *err)
{
	json_t *rows;

	return is_kind(answer->json, "admin#directory#groups", err) &&
	       walk_rows(answer->json, "groups", true, &rows, err) &&
	       walk_each(walk, listing, rows, read_group, err) &&
	       next_page(walk, listing, list_url(walk, "groups"), answer->json, err);
}

static void begin(struct walk *walk)
{
	walk_list(walk, "groups", list_url(walk, "groups"), read_groups);
}

static void last(struct walk *walk)
{
	walk_list(walk, "users", list_url(walk, "users"), read_users);
}

static const struct walk_kind how = {
	.begin = begin, .last = last, .strangers = STRANGER_GUEST, .token = next_ask
};

/* The quota is 2,400 questions a minute. */
const struct source_kind source_google = { .name = "google",
					   .keys = keys,
					   .url = "https://admin.googleapis.com",
					   .per_minute = 2000,
					   .check = check,
					   .walk = &how,
					   .passing = passing,
					   .advice = advice };
