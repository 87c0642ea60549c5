/* SPDX-License-Identifier: Apache-2.0 */
/*
 * okta.c - Okta: users, groups and their members, as a service application with private_key_jwt.
 *
 * The list of users leaves out the deprovisioned, so they are asked for besides: a departure that
 * is said aloud.  Okta's groups do not nest.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/jwt.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "walk.h"

#define SCOPES "okta.users.read okta.groups.read"

static const char *const keys[] = { "client_id", "key", "kid", SOURCE_SCOPE_KEYS, NULL };

static bool check(struct source *source, struct err *err)
{
	return source_need(source, "client_id", err) && source_need_secret(source, "key", err);
}

/* ---- the token ---- */

static bool next_ask(const struct source *source, const json_t *before, struct token_ask *ask,
		     struct err *err)
{
	const char *client = source_text(source, "client_id");
	char *pem = source_secret(source, "key", err), *jwt;
	int64_t now = clock_wall_ms() / 1000 - 5;
	char jti[ID_UUID_LEN];
	json_t *claims;

	(void)before;
	if (pem == NULL)
		return false;
	id_uuid(jti);
	ask->url = xasprintf("%s/oauth2/v1/token", source->url);
	claims = json_pack("{s:s, s:s, s:s, s:I, s:I, s:s}", "iss", client, "sub", client, "aud",
			   ask->url, "iat", (json_int_t)now, "exp", (json_int_t)now + 300, "jti",
			   jti);
	jwt = jwt_rs256(pem, source_text(source, "kid"), claims, err);
	if (jwt != NULL)
		ask->form = token_form((const char *const[]){
			"grant_type", "client_credentials", "scope", SCOPES,
			"client_assertion_type", TOKEN_BY_JWT, "client_assertion", jwt, NULL });
	else
		err_prefix(err, "%s.key", source->label);
	json_decref(claims);
	secret_free(jwt);
	secret_free(pem);
	return ask->form != NULL;
}

/* A token without a scope would list nothing, or not all. */
static bool token_check(const json_t *body, struct err *err)
{
	const char *scope = jget_str_or(body, "scope", "");

	if (strstr(scope, "okta.users.read") != NULL && strstr(scope, "okta.groups.read") != NULL)
		return true;
	err_set(err, ERR_INVALID, "Okta grants \"%.100s\" only: grant the application " SCOPES,
		scope);
	return false;
}

static const char *advice(int status, const json_t *body)
{
	const char *error = jget_str_or(body, "error", "");

	if (str_eq(error, "invalid_dpop_proof"))
		return "switch \"Require DPoP\" off for this application";
	if (str_eq(error, "invalid_client"))
		return "client_id, or the public key that the application knows, is another one";
	if (str_eq(error, "invalid_scope") || status == 403)
		return "grant the application " SCOPES " and the role of a read-only administrator";
	return NULL;
}

/* ---- pages ---- */

/* <https://…>; rel="next", in one of several Link headers. */
static bool next_page(struct walk *walk, struct listing *listing, const struct ask_answer *answer,
		      struct err *err)
{
	const char *link;

	for (size_t i = 0; (link = http_header_at(answer->response, "Link", i)) != NULL; i++) {
		const char *end = strchr(link, '>');

		if (link[0] != '<' || end == NULL || strstr(end, "rel=\"next\"") == NULL)
			continue;
		return walk_next(walk, listing, xstrndup(link + 1, (size_t)(end - link - 1)), err);
	}
	return true;
}

static bool is_list(const json_t *page, struct err *err)
{
	if (json_is_array(page))
		return true;
	err_set(err, ERR_INVALID, "it is no list: this is no page of the API that is asked");
	return false;
}

/* The states of somebody who works here; false: an unknown one. */
static bool state_of(const char *status, const char **ret_state)
{
	static const char *const active[] = { "ACTIVE", "PASSWORD_EXPIRED", "LOCKED_OUT",
					      "RECOVERY" };
	static const char *const waiting[] = { "STAGED", "PROVISIONED", "SUSPENDED" };

	*ret_state = "archived";
	for (size_t i = 0; i < sizeof(active) / sizeof(active[0]); i++)
		if (str_eq(status, active[i]))
			*ret_state = "active";
	for (size_t i = 0; i < sizeof(waiting) / sizeof(waiting[0]); i++)
		if (str_eq(status, waiting[i]))
			*ret_state = "suspended";
	return !str_eq(*ret_state, "archived") || str_eq(status, "DEPROVISIONED");
}

static bool read_user(struct walk *walk, struct listing *listing, const json_t *user,
		      struct err *err)
{
	const char *first = jget_str_or(user, "profile.firstName", "");
	const char *status = jget_str(user, "status"), *state;
	char *name = xasprintf("%s%s%s", first, first[0] != '\0' ? " " : "",
			       jget_str_or(user, "profile.lastName", ""));
	struct directory_person person = { .id = jget_str(user, "id"),
					   .name = name,
					   .kind = "human",
					   .email = jget_str(user, "profile.email") };
	bool good = state_of(status, &state);

	(void)listing;
	person.state = state;
	if (!good)
		err_set(err, ERR_INVALID, "user %.40s has the unknown status \"%.40s\"",
			person.id != NULL ? person.id : "?", status != NULL ? status : "");
	good = good && roster_person(walk_roster(walk), &person, NULL, err);
	free(name);
	return good;
}

static bool read_page(struct walk *walk, struct listing *listing, const struct ask_answer *answer,
		      walk_row_fn row, struct err *err)
{
	return is_list(answer->json, err) && walk_each(walk, listing, answer->json, row, err) &&
	       next_page(walk, listing, answer, err);
}

static bool read_users(struct walk *walk, struct listing *listing, const struct ask_answer *answer,
		       struct err *err)
{
	return read_page(walk, listing, answer, read_user, err);
}

static bool read_member(struct walk *walk, struct listing *listing, const json_t *row,
			struct err *err)
{
	return walk_member(walk, listing, jget_str(row, "id"), MEMBER_PERSON, err);
}

static bool read_members(struct walk *walk, struct listing *listing,
			 const struct ask_answer *answer, struct err *err)
{
	return read_page(walk, listing, answer, read_member, err);
}

static char *members_url(const struct walk *walk, const char *group_id)
{
	char *id = http_escape(group_id);
	char *url = xasprintf("%s/api/v1/groups/%s/users?limit=1000", walk_source(walk)->url, id);

	free(id);
	return url;
}

static bool read_group(struct walk *walk, struct listing *listing, const json_t *row,
		       struct err *err)
{
	const struct directory_group group = {
		.id = jget_str(row, "id"),
		.name = jget_str_or(row, "profile.name", ""),
		.everyone = str_eq(jget_str(row, "type"), "BUILT_IN") &&
			    str_eq(jget_str(row, "profile.name"), "Everyone"),
	};

	(void)listing;
	return walk_group(walk, &group, members_url, read_members, err);
}

static bool read_groups(struct walk *walk, struct listing *listing, const struct ask_answer *answer,
			struct err *err)
{
	return read_page(walk, listing, answer, read_group, err);
}

static char *list_url(const struct walk *walk, const char *list)
{
	return xasprintf("%s/api/v1/%s?limit=200", walk_source(walk)->url, list);
}

static void begin(struct walk *walk)
{
	walk_list(walk, "groups", list_url(walk, "groups"), read_groups);
}

static void last(struct walk *walk)
{
	walk_list(walk, "users", list_url(walk, "users"), read_users);
	walk_list(
		walk, "deprovisioned users",
		xasprintf("%s/api/v1/users?limit=200&filter=status%%20eq%%20%%22DEPROVISIONED%%22",
			  walk_source(walk)->url),
		read_users);
}

static const struct walk_kind how = { .begin = begin,
				      .last = last,
				      .strangers = STRANGER_REFUSED,
				      .token = next_ask,
				      .token_check = token_check };

const struct source_kind source_okta = { .name = "okta",
					 .keys = keys,
					 .per_minute = 500,
					 .check = check,
					 .walk = &how,
					 .advice = advice };
