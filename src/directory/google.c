/* SPDX-License-Identifier: Apache-2.0 */
/*
 * google.c - Google Workspace: the Admin SDK's Directory API, as a service account with domain-wide
 * delegation.  Without a key of its own Google signs for it: whoever this machine or a token of the
 * cluster is must be allowed to have that done.
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
#define CLOUD_SCOPE "https://www.googleapis.com/auth/cloud-platform"
#define USER_FIELDS                                                                                \
	"nextPageToken,kind,users(id,primaryEmail,name/fullName,aliases,nonEditableAliases,"       \
	"suspended,archived)"

#define METADATA_URL "http://169.254.169.254"
#define STS_URL "https://sts.googleapis.com/v1/token"
#define IAM_URL "https://iamcredentials.googleapis.com"

static const char *const keys[] = { "key",     "service_account", "federated_token", "audience",
				    "admin",   "customer",        "token_url",       "metadata_url",
				    "sts_url", "iam_url",         SOURCE_SCOPE_KEYS, NULL };

static bool keyless(const struct source *source)
{
	return json_object_get(source->node, "service_account") != NULL;
}

static bool federated(const struct source *source)
{
	return json_object_get(source->node, "federated_token") != NULL;
}

static bool check_identity(const struct source *source, struct err *err)
{
	if (!keyless(source))
		return source_need_secret(source, "key", err);
	if (json_object_get(source->node, "key") != NULL) {
		err_set(err, ERR_INVALID,
			"key is for a service account that signs itself; with "
			"service_account Google signs: set one of both");
		return false;
	}
	if (!federated(source))
		return source_need(source, "service_account", err);
	return source_need(source, "service_account", err) &&
	       source_need(source, "audience", err) &&
	       source_need_secret(source, "federated_token", err);
}

static bool check(struct source *source, struct err *err)
{
	static const char *const urls[] = { "token_url", "metadata_url", "sts_url", "iam_url" };

	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
		if (source_text(source, urls[i]) != NULL &&
		    !http_url_ok(source_text(source, urls[i]), true, err))
			return false;
	return check_identity(source, err) && source_need(source, "admin", err);
}

/* ---- the token ---- */

static const char *text_or(const struct source *source, const char *path, const char *fallback)
{
	const char *text = source_text(source, path);

	return text != NULL ? text : fallback;
}

/* iat is not in the future: a clock that runs ahead is refused. */
static json_t *claims_of(const struct source *source, const char *account)
{
	int64_t now = clock_wall_ms() / 1000 - 5;

	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "iss", account, "sub",
			 source_text(source, "admin"), "scope", SCOPES, "aud",
			 text_or(source, "token_url", TOKEN_URL), "iat", (json_int_t)now, "exp",
			 (json_int_t)now + 3600);
}

/* The access token, for claims that were signed. */
static void ask_by_jwt(const struct source *source, const char *jwt, struct token_ask *ask)
{
	ask->url = xstrdup(text_or(source, "token_url", TOKEN_URL));
	ask->form = token_form((const char *const[]){ "grant_type",
						      "urn:ietf:params:oauth:grant-type:jwt-bearer",
						      "assertion", jwt, NULL });
}

static bool ask_by_key(const struct source *source, struct token_ask *ask, struct err *err)
{
	char *text = source_secret(source, "key", err), *jwt = NULL;
	const char *pem, *email;
	struct err unreadable;
	json_t *key, *claims;

	if (text == NULL)
		return false;
	key = json_parse(text, strlen(text), strlen(text), &unreadable);
	pem = jget_str(key, "private_key");
	email = jget_str(key, "client_email");
	if (pem == NULL || email == NULL) {
		err_set(err, ERR_INVALID,
			"it is not the JSON key of a service account (client_email, private_key)");
	} else {
		claims = claims_of(source, email);
		jwt = jwt_rs256(pem, jget_str(key, "private_key_id"), claims, err);
		json_decref(claims);
	}
	if (jwt != NULL)
		ask_by_jwt(source, jwt, ask);
	else
		err_prefix(err, "%s.key", source->label);
	json_decref(key);
	secret_free(jwt);
	secret_free(text);
	return jwt != NULL;
}

/* Who we are: a token of the cluster, which is renewed in its file, for one of Google's (RFC 8693).
 */
static bool ask_for_ours(const struct source *source, struct token_ask *ask, struct err *err)
{
	char *token = source_secret(source, "federated_token", err);

	if (token == NULL)
		return false;
	ask->what = "the exchange of federated_token";
	ask->advice = "audience must be the provider of the workload identity pool, the token one "
		      "for it, and its conditions must let the token's subject in";
	ask->url = xstrdup(text_or(source, "sts_url", STS_URL));
	ask->form = token_form((const char *const[]){
		"grant_type", "urn:ietf:params:oauth:grant-type:token-exchange", "audience",
		source_text(source, "audience"), "scope", CLOUD_SCOPE, "requested_token_type",
		"urn:ietf:params:oauth:token-type:access_token", "subject_token_type",
		"urn:ietf:params:oauth:token-type:jwt", "subject_token", token, NULL });
	secret_free(token);
	return true;
}

/* Or what the machine is, as the cloud says. */
static bool ask_metadata(const struct source *source, struct token_ask *ask)
{
	static const char *const headers[] = { "Metadata-Flavor: Google", NULL };

	ask->what = "the token of the metadata server";
	ask->advice = "this pod or machine needs a service account (Workload Identity), or set "
		      "federated_token and audience";
	ask->headers = headers;
	ask->url = xasprintf("%s/computeMetadata/v1/instance/service-accounts/default/token",
			     text_or(source, "metadata_url", METADATA_URL));
	return true;
}

/* Has the claims signed with a key that Google keeps. */
static bool ask_signature(const struct source *source, const json_t *before, struct token_ask *ask,
			  struct err *err)
{
	const char *account = source_text(source, "service_account");
	const char *token = jget_str(before, "access_token");
	json_t *claims, *body;
	char *payload, *escaped;

	if (!token_usable(token)) {
		err_set(err, ERR_INVALID, "the answer about who this is holds no access_token");
		return false;
	}
	claims = claims_of(source, account);
	payload = json_text(claims);
	body = json_pack("{s:s}", "payload", payload);
	escaped = http_escape(account);
	ask->what = "the signature of service_account";
	ask->advice = "IAM Service Account Credentials API must be enabled, and this identity "
		      "needs roles/iam.serviceAccountTokenCreator on service_account";
	ask->bearer = xstrdup(token);
	ask->json = json_text(body);
	ask->url = xasprintf("%s/v1/projects/-/serviceAccounts/%s:signJwt",
			     text_or(source, "iam_url", IAM_URL), escaped);
	free(escaped);
	free(payload);
	json_decref(body);
	json_decref(claims);
	return true;
}

static bool next_ask(const struct source *source, const json_t *before, struct token_ask *ask,
		     struct err *err)
{
	const char *jwt;

	if (!keyless(source))
		return ask_by_key(source, ask, err);
	ask->more = ask->step < 2;
	if (ask->step == 0)
		return federated(source) ? ask_for_ours(source, ask, err)
					 : ask_metadata(source, ask);
	if (ask->step == 1)
		return ask_signature(source, before, ask, err);
	jwt = jget_str(before, "signedJwt");
	if (jwt != NULL)
		ask_by_jwt(source, jwt, ask);
	else
		err_set(err, ERR_INVALID, "the answer of signJwt holds no signedJwt");
	return jwt != NULL;
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
	return walk_member(walk, listing, jget_str(row, "id"),
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
	return walk_group(walk, &group, members_url, read_members, err);
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
					   .metadata = true,
					   .check = check,
					   .walk = &how,
					   .passing = passing,
					   .advice = advice };
