/* SPDX-License-Identifier: Apache-2.0 */
/*
 * graph.c - Microsoft Graph: users, groups and their direct members, as an application.
 *
 * Counts are asked for and compared; a user of whom only the id may be read ends the fetch, since
 * Graph gives such partial objects without an error.
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

#define LOGIN_URL "https://login.microsoftonline.com"
#define USER_FIELDS "id,displayName,mail,userPrincipalName,accountEnabled,userType,proxyAddresses"

static const char *const keys[] = { "tenant",      "client_id", "client_secret",
				    "certificate", "key",       "federated_token",
				    "login_url",   "address",   SOURCE_SCOPE_KEYS,
				    NULL };

/* The setting that says how the application proves itself; NULL: err. */
static const char *proof_of(const struct source *source, struct err *err)
{
	static const char *const proofs[] = { "client_secret", "certificate", "federated_token" };
	const char *proof = NULL;

	for (size_t i = 0; i < sizeof(proofs) / sizeof(proofs[0]); i++) {
		if (json_object_get(source->node, proofs[i]) == NULL)
			continue;
		if (proof != NULL) {
			err_set(err, ERR_INVALID, "%s and %s: one of both proves the application",
				proof, proofs[i]);
			return NULL;
		}
		proof = proofs[i];
	}
	if (proof == NULL)
		err_set(err, ERR_INVALID,
			"client_secret, certificate or federated_token is missing");
	else if (json_object_get(source->node, "key") == NULL || str_eq(proof, "certificate"))
		return proof;
	else
		err_set(err, ERR_INVALID, "key is that of a certificate, which is missing");
	return NULL;
}

static bool check(struct source *source, struct err *err)
{
	const char *login = source_text(source, "login_url");
	const char *address = source_text(source, "address");
	const char *proof = proof_of(source, err);

	if (proof == NULL)
		return false;
	if (address != NULL && !str_eq(address, "mail") && !str_eq(address, "upn")) {
		err_set(err, ERR_INVALID, "address is mail or upn, not \"%.40s\"", address);
		return false;
	}
	return source_need(source, "tenant", err) && source_need(source, "client_id", err) &&
	       source_need_secret(source, proof, err) &&
	       (json_object_get(source->node, "key") == NULL ||
		source_need_secret(source, "key", err)) &&
	       (login == NULL || http_url_ok(login, true, err));
}

/* ---- the token ---- */

static char *token_url(const struct source *source)
{
	const char *login = source_text(source, "login_url");
	char *tenant = http_escape(source_text(source, "tenant"));
	char *url = xasprintf("%s/%s/oauth2/v2.0/token", login != NULL ? login : LOGIN_URL, tenant);

	free(tenant);
	return url;
}

/* A token that says who we are, signed with the key of a certificate that the application has. */
static char *certified(const struct source *source, const char *url, const char *certificate,
		       struct err *err)
{
	const char *client = source_text(source, "client_id");
	bool apart = json_object_get(source->node, "key") != NULL;
	char *key = source_secret(source, apart ? "key" : "certificate", err), *jwt;
	int64_t now = clock_wall_ms() / 1000 - 5;
	char jti[ID_UUID_LEN];
	json_t *claims;

	if (key == NULL)
		return NULL;
	id_uuid(jti);
	claims = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "aud", url, "iss", client, "sub",
			   client, "jti", jti, "iat", (json_int_t)now, "nbf", (json_int_t)now,
			   "exp", (json_int_t)now + 300);
	jwt = jwt_ps256(key, certificate, claims, err);
	if (jwt == NULL)
		err_prefix(err, "%s.certificate", source->label);
	json_decref(claims);
	secret_free(key);
	return jwt;
}

/* With a token of the cluster, which is renewed in its file, no secret is kept anywhere. */
static bool next_ask(const struct source *source, const json_t *before, struct token_ask *ask,
		     struct err *err)
{
	const char *proof = proof_of(source, err);
	bool secret = str_eq(proof, "client_secret");
	char *text = source_secret(source, proof, err), *scope, *jwt;

	(void)before;
	if (text == NULL)
		return false;
	ask->url = token_url(source);
	if (str_eq(proof, "certificate")) {
		jwt = certified(source, ask->url, text, err);
		secret_free(text);
		text = jwt;
	}
	if (text == NULL)
		return false;
	scope = xasprintf("%s/.default", source->url);
	ask->form = token_form((const char *const[]){
		"grant_type", "client_credentials", "client_id", source_text(source, "client_id"),
		"scope", scope, secret ? "client_secret" : "client_assertion", text,
		secret ? NULL : "client_assertion_type", TOKEN_BY_JWT, NULL });
	free(scope);
	secret_free(text);
	return true;
}

static const char *advice(int status, const json_t *body)
{
	if (str_eq(jget_str(body, "error"), "invalid_client"))
		return "the client's secret is wrong or has expired, its certificate is not that "
		       "of the application, or no federated credential fits the token";
	if (status == 403)
		return "the application needs User.Read.All and GroupMember.Read.All, with the "
		       "consent of an administrator";
	return NULL;
}

/* ---- pages ---- */

/* The count that comes with the first page must be that of all rows at the end. */
static bool take_page(struct walk *walk, struct listing *listing, const json_t *page, size_t n,
		      struct err *err)
{
	/* Its name holds dots: no path. */
	const json_t *count = json_object_get(page, "@odata.count");
	const char *next = json_string_value(json_object_get(page, "@odata.nextLink"));

	if (json_is_integer(count) && listing->total < 0)
		listing->total = json_integer_value(count);
	listing->rows += n;
	if (!str_empty(next))
		return walk_next(walk, listing, xstrdup(next), err);
	if (listing->total < 0) {
		err_set(err, ERR_INVALID, "it does not say how many there are (@odata.count)");
		return false;
	}
	if (listing->total == (int64_t)listing->rows)
		return true;
	err_set(err, ERR_RETRY, "it says that there are %lld, and lists %zu",
		(long long)listing->total, listing->rows);
	return false;
}

static bool read_addresses(struct walk *walk, const char *id, const json_t *user, struct err *err)
{
	size_t i;
	json_t *item;

	json_array_foreach(json_object_get(user, "proxyAddresses"), i, item)
	{
		const char *text = json_string_value(item);

		if (text != NULL && strncasecmp(text, "smtp:", 5) == 0 &&
		    !roster_alias(walk_roster(walk), id, text + 5, err))
			return false;
	}
	return true;
}

static bool read_user(struct walk *walk, struct listing *listing, const json_t *user,
		      struct err *err)
{
	const struct source *source = walk_source(walk);
	const char *upn = jget_str(user, "userPrincipalName");
	const json_t *enabled = json_object_get(user, "accountEnabled");
	bool by_upn = str_eq(source_text(source, "address"), "upn");
	const struct directory_person person = {
		.id = jget_str(user, "id"),
		.name = jget_str_or(user, "displayName", upn),
		.state = json_is_true(enabled) ? "active" : "suspended",
		.kind = str_eq(jget_str(user, "userType"), "Guest") ? "guest" : "human",
		.email = by_upn ? upn : jget_str(user, "mail"),
	};

	(void)listing;
	if (upn == NULL || !json_is_boolean(enabled)) {
		err_set(err, ERR_INVALID,
			"of user %.40s only a part may be read: the application needs "
			"User.Read.All",
			person.id != NULL ? person.id : "?");
		return false;
	}
	return roster_person(walk_roster(walk), &person, NULL, err) &&
	       read_addresses(walk, person.id, user, err);
}

static bool read_member(struct walk *walk, struct listing *listing, const json_t *row,
			struct err *err)
{
	const char *type = json_string_value(json_object_get(row, "@odata.type"));
	bool user = str_eq(type, "#microsoft.graph.user");

	if (type == NULL) {
		err_set(err, ERR_INVALID, "a member comes without its @odata.type");
		return false;
	}
	/* Devices, contacts and applications are no members for us. */
	return (!user && !str_eq(type, "#microsoft.graph.group")) ||
	       walk_member(walk, listing, jget_str(row, "id"), user ? MEMBER_PERSON : MEMBER_GROUP,
			   err);
}

static bool read_page(struct walk *walk, struct listing *listing, const json_t *page,
		      walk_row_fn row, struct err *err)
{
	json_t *rows;

	return walk_rows(page, "value", false, &rows, err) &&
	       walk_each(walk, listing, rows, row, err) &&
	       take_page(walk, listing, page, json_array_size(rows), err);
}

static bool read_users(struct walk *walk, struct listing *listing, const struct ask_answer *answer,
		       struct err *err)
{
	return read_page(walk, listing, answer->json, read_user, err);
}

static bool read_members(struct walk *walk, struct listing *listing,
			 const struct ask_answer *answer, struct err *err)
{
	return read_page(walk, listing, answer->json, read_member, err);
}

static char *members_url(const struct walk *walk, const char *group_id)
{
	char *id = http_escape(group_id);
	char *url = xasprintf("%s/v1.0/groups/%s/members?$select=id&$top=999&$count=true",
			      walk_source(walk)->url, id);

	free(id);
	return url;
}

static bool read_group(struct walk *walk, struct listing *listing, const json_t *row,
		       struct err *err)
{
	const struct directory_group group = { .id = jget_str(row, "id"),
					       .name = jget_str_or(row, "displayName", "") };

	(void)listing;
	return walk_group(walk, &group, members_url, read_members, err);
}

static bool read_groups(struct walk *walk, struct listing *listing, const struct ask_answer *answer,
			struct err *err)
{
	return read_page(walk, listing, answer->json, read_group, err);
}

static char *list_url(const struct walk *walk, const char *list, const char *fields)
{
	return xasprintf("%s/v1.0/%s?$select=%s&$top=999&$count=true", walk_source(walk)->url, list,
			 fields);
}

static void begin(struct walk *walk)
{
	walk_list(walk, "groups", list_url(walk, "groups", "id,displayName"), read_groups);
}

static void last(struct walk *walk)
{
	walk_list(walk, "users", list_url(walk, "users", USER_FIELDS), read_users);
}

static const char *const headers[] = { "Accept: application/json", "ConsistencyLevel: eventual",
				       NULL };
static const struct walk_kind how = { .begin = begin,
				      .last = last,
				      .headers = headers,
				      .strangers = STRANGER_REFUSED,
				      .token = next_ask };

const struct source_kind source_graph = { .name = "graph",
					  .keys = keys,
					  .url = "https://graph.microsoft.com",
					  .per_minute = 3000,
					  .check = check,
					  .walk = &how,
					  .advice = advice };
