/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slack.c - Slack's own people and user groups, for companies without another directory.
 *
 * Who may edit a user group is a setting of the workspace: docs/directory.md says what that means.
 * People of other workspaces in shared channels are listed too: they are guests.
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "walk.h"

static const char *const keys[] = { "token", NULL };

static bool check(struct source *source, struct err *err)
{
	return source_need_secret(source, "token", err);
}

/* Slack says what is wrong with status 200. */
static bool is_ok(const json_t *page, struct err *err)
{
	const char *error = jget_str_or(page, "error", "no \"ok\"");
	const char *advice = "look it up in Slack's documentation of the method";

	if (jget_bool(page, "ok", false))
		return true;
	if (str_eq(error, "missing_scope"))
		advice = "the bot needs usergroups:read, users:read and users:read.email";
	else if (str_eq(error, "invalid_auth") || str_eq(error, "token_revoked") ||
		 str_eq(error, "account_inactive") || str_eq(error, "not_authed"))
		advice = "the token is not valid any more: install the app again";
	else if (str_eq(error, "no \"ok\""))
		advice = "this is no page of Slack's API";
	err_set(err, ERR_INVALID, "Slack says \"%.60s\"; %s", error, advice);
	return false;
}

static bool read_user(struct walk *walk, struct listing *listing, const json_t *user,
		      struct err *err)
{
	const json_t *memo = walk_memo(walk);
	const char *org = jget_str(user, "enterprise_user.enterprise_id");
	bool ours = str_eq(jget_str(user, "team_id"), jget_str(memo, "team")) ||
		    (org != NULL && str_eq(org, jget_str(memo, "enterprise")));
	bool guest = !ours || jget_bool(user, "is_restricted", false) ||
		     jget_bool(user, "is_ultra_restricted", false) ||
		     jget_bool(user, "is_stranger", false);
	bool bot = jget_bool(user, "is_bot", false) || jget_bool(user, "is_workflow_bot", false) ||
		   str_eq(jget_str(user, "id"), "USLACKBOT");
	const struct directory_person person = {
		.id = jget_str(user, "id"),
		.name = jget_str_or(user, "profile.real_name", jget_str_or(user, "name", "")),
		.state = jget_bool(user, "deleted", false) ? "suspended" : "active",
		.kind = bot     ? "service"
			: guest ? "guest"
				: "human",
		.email = jget_bool(user, "is_email_confirmed", false)
				 ? jget_str(user, "profile.email")
				 : NULL,
	};

	(void)listing;
	return roster_person(walk_roster(walk), &person, NULL, err);
}

static bool read_users(struct walk *walk, struct listing *listing, const struct ask_answer *answer,
		       struct err *err)
{
	const char *cursor = jget_str(answer->json, "response_metadata.next_cursor");
	json_t *rows;
	char *escaped, *url;

	if (!is_ok(answer->json, err) || !walk_rows(answer->json, "members", false, &rows, err) ||
	    !walk_each(walk, listing, rows, read_user, err))
		return false;
	if (str_empty(cursor))
		return true;
	escaped = http_escape(cursor);
	url = xasprintf("%s/users.list?limit=200&cursor=%s", walk_source(walk)->url, escaped);
	free(escaped);
	return walk_next(walk, listing, url, err);
}

static bool read_group(struct walk *walk, struct listing *listing, const json_t *row,
		       struct err *err)
{
	const struct directory_group group = { .id = jget_str(row, "id"),
					       .name = jget_str_or(row, "handle", "") };
	const json_t *users = json_object_get(row, "users");
	int64_t count = jget_int(row, "user_count", (int64_t)json_array_size(users));
	size_t i;
	json_t *user;

	(void)listing;
	if (jget_int(row, "date_delete", 0) != 0)
		return true;
	if (!json_is_array(users) || count != (int64_t)json_array_size(users)) {
		err_set(err, ERR_RETRY,
			"user group %.40s is said to have %lld people, and lists %zu",
			group.id != NULL ? group.id : "?", (long long)count,
			json_array_size(users));
		return false;
	}
	if (!roster_group(walk_roster(walk), &group, NULL, err))
		return false;
	json_array_foreach(users, i, user)
	{
		if (!roster_member(walk_roster(walk), group.id, json_string_value(user),
				   MEMBER_PERSON, err))
			return false;
	}
	return true;
}

static bool read_groups(struct walk *walk, struct listing *listing, const struct ask_answer *answer,
			struct err *err)
{
	json_t *rows;

	return is_ok(answer->json, err) &&
	       walk_rows(answer->json, "usergroups", false, &rows, err) &&
	       walk_each(walk, listing, rows, read_group, err);
}

/* Whose workspace this is: people of another one are guests. */
static bool read_home(struct walk *walk, struct listing *listing, const struct ask_answer *answer,
		      struct err *err)
{
	const char *team = jget_str(answer->json, "team_id");
	const char *enterprise = jget_str(answer->json, "enterprise_id");

	(void)listing;
	if (!is_ok(answer->json, err))
		return false;
	if (str_empty(team)) {
		err_set(err, ERR_INVALID, "Slack does not say whose token this is");
		return false;
	}
	json_object_set_new(walk_memo(walk), "team", json_string(team));
	if (enterprise != NULL)
		json_object_set_new(walk_memo(walk), "enterprise", json_string(enterprise));
	walk_list(walk, "user groups",
		  xasprintf("%s/usergroups.list?include_users=true&include_count=true",
			    walk_source(walk)->url),
		  read_groups);
	return true;
}

static void begin(struct walk *walk)
{
	walk_list(walk, "the token's workspace", xasprintf("%s/auth.test", walk_source(walk)->url),
		  read_home);
}

static void last(struct walk *walk)
{
	walk_list(walk, "users", xasprintf("%s/users.list?limit=200", walk_source(walk)->url),
		  read_users);
}

static const struct walk_kind how = {
	.begin = begin, .last = last, .strangers = STRANGER_REFUSED, .bearer = "token"
};

/* Tier 2: 20 questions a minute and method, 429 when it is more. */
const struct source_kind source_slack = { .name = "slack",
					  .keys = keys,
					  .url = "https://slack.com/api",
					  .per_minute = 60,
					  .check = check,
					  .walk = &how };
