/* SPDX-License-Identifier: Apache-2.0 */
/* grants: plan, apply, what they refuse, and what their role may not do. */
#include "sync_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/str.h"
#include "core/grants.h"
#include "store/grants.h"

static const char actions_text[] =
	"[{\"name\":\"datasets.read\",\"risk\":0,\"scope\":[]},"
	"{\"name\":\"workers.drop\",\"risk\":2,\"scope\":[{\"name\":\"team\",\"type\":\"enum\"}]},"
	"{\"name\":\"workers.scale\",\"risk\":1,\"scope\":[{\"name\":\"count\",\"type\":\"int\"},"
	"{\"name\":\"team\",\"type\":\"enum\"}]}]";

#define SCALE                                                                                      \
	"  - { key: ads-scale, who: \"group:ads\", can: request, action: workers.scale, where: { " \
	"team: ads, count: 0..50 } }\n"
#define DROP                                                                                       \
	"  - { key: sre-drop, who: \"group:sre\", can: [request, approve], action: workers.drop, " \
	"where: { team: any } }\n"
#define READ "  - { key: ads-read, who: \"group:ads\", can: request, action: datasets.read }\n"

static const char *const reviewers[] = { "dia", "eve" };

/* The same with a command whose rule wants approval by a group. */
static const char approved_text[] =
	"[{\"name\":\"datasets.read\",\"risk\":0,\"scope\":[],\"groups\":[\"Nobody\"]},"
	"{\"name\":\"workers.drop\",\"risk\":2,\"scope\":[{\"name\":\"team\",\"type\":\"enum\"}],"
	"\"groups\":[\"SRE\",\"sre\"]}]";

static const char *actions_now = actions_text;
static const char *login = "opsd_grants"; /* who runs it */
static const char *head = "";             /* of the file, before its grants */

static struct ran go(const char *list, struct store_grants grants)
{
	char text[6000];
	struct err err;
	struct ran ran = { 0 };
	struct diags diags;
	struct db *db = as_login("opsd_grants", login);
	json_t *actions = json_parse(actions_now, strlen(actions_now), strlen(actions_now), &err),
	       *rows;

	snprintf(text, sizeof(text), "%sgrants:%s\n%s", head, list[0] == '\0' ? " []" : "", list);
	diags_init(&diags);
	rows = grants_parse("g.yaml", text, strlen(text), actions, &diags);
	assert_string_equal(diags.n > 0 ? diag_text(&diags.items[0]) : "", "");
	grants.rows = rows;
	grants.actions = actions;
	grants.commit = "abc123";
	grants.reviewed_by = reviewers;
	grants.n_reviewed_by = 2;
	store_grants_start(db, &grants, on_value, &ran);
	while (ran.n == 0)
		once();
	json_decref(rows);
	json_decref(actions);
	diags_finish(&diags);
	db_destroy(db);
	return ran;
}

static struct ran plan(const char *list)
{
	return go(list, (struct store_grants){ .apply = false });
}

static void apply(const char *list, const char *outcome)
{
	struct ran ran = go(list, (struct store_grants){ .apply = true });

	expect_outcome(&ran, outcome);
	json_decref(ran.value);
}

static void company(void)
{
	fresh();
	expect_sync("05:00", "ana ben cho sam sue", "ads=ana,ben sre=sam,sue web=cho", "applied");
}

static void decides(const char *person, const char *can, const char *action, const char *scope,
		    const char *code)
{
	char sql[400];

	snprintf(sql, sizeof(sql),
		 "SELECT code FROM authz.decide((SELECT person_id FROM dir.person WHERE "
		 "external_id = 'p-%s'), '%s', '%s', '%s')",
		 person, can, action, scope);
	owner_sees(sql, code);
}

/* [{ can, action, people, names }] of "gain" or "lose" has this. */
static bool moves(const struct ran *ran, const char *member, const char *action, int64_t people,
		  const char *name)
{
	size_t i;
	json_t *row;

	json_array_foreach(json_object_get(json_object_get(ran->value, "plan"), member), i, row)
	{
		json_t *names = json_object_get(row, "names");

		if (str_eq(jget_str(row, "action"), action) &&
		    jget_int(row, "people", 0) == people &&
		    str_eq(json_string_value(json_array_get(names, 0)), name))
			return true;
	}
	return false;
}

static void test_plan_and_apply(void **state)
{
	struct ran ran;

	(void)state;
	company();
	ran = plan(SCALE DROP);
	expect_outcome(&ran, "planned");
	assert_true(has_line(
		&ran,
		"+ ads-scale: group ads can request workers.scale where count 0..50; team in ads"));
	assert_true(has_line(&ran, "+ sre-drop:workers.drop:approve: group sre can approve "
				   "workers.drop where team any"));
	assert_true(has_line(&ran, "+ action workers.scale: risk 1, scope count,team"));
	assert_true(moves(&ran, "gain", "workers.scale", 2, NULL)); /* names only from risk 2 on */
	assert_true(moves(&ran, "gain", "workers.drop", 2, "sam@example.com"));
	assert_int_equal(jget_int(ran.value, "plan.base", -1), 0);
	json_decref(ran.value);
	owner_sees("SELECT count(*) FROM authz.action", "0");
	apply(SCALE DROP, "applied");
	decides("ana", "request", "workers.scale", "{\"team\":\"ads\",\"count\":50}", "allowed");
	decides("ana", "request", "workers.scale", "{\"team\":\"ads\",\"count\":51}",
		"no_matching_grant");
	decides("ana", "request", "workers.scale", "{\"team\":\"web\",\"count\":5}",
		"no_matching_grant");
	decides("sam", "approve", "workers.drop", "{\"team\":\"web\"}", "allowed");
	decides("cho", "approve", "workers.drop", "{\"team\":\"web\"}", "no_matching_grant");
	owner_sees("SELECT revision || ' ' || git_commit || ' ' || array_to_string(reviewed_by, "
		   "',') FROM authz.revision",
		   "1 abc123 dia,eve");
	apply(SCALE DROP, "unchanged");
	owner_sees("SELECT max(revision) FROM authz.revision", "1");
}

static void test_change_and_removal(void **state)
{
	struct ran ran;

	(void)state;
	company();
	apply(SCALE DROP READ, "applied");
	ran = plan("  - { key: ads-scale, who: \"group:ads\", can: request, action: workers.scale, "
		   "where: { team: any, count: 0..50 } }\n" DROP);
	expect_outcome(&ran, "planned");
	assert_true(has_line(&ran,
			     "~ ads-scale: group ads can request workers.scale where count 0..50; "
			     "team in ads -> "
			     "group ads can request workers.scale where count 0..50; team any"));
	assert_true(has_line(&ran, "- ads-read: group ads can request datasets.read"));
	assert_int_equal(jget_int(ran.value, "plan.changes", 0), 2);
	assert_true(moves(&ran, "lose", "datasets.read", 2, NULL));
	json_decref(ran.value);
	apply(SCALE DROP, "applied");
	decides("ana", "request", "datasets.read", "{}", "no_matching_grant");
	apply(SCALE DROP READ,
	      "applied"); /* the same again is another plan: its base is another revision */
	owner_sees("SELECT max(revision) FROM authz.revision", "3");
}

static void test_reviewed_plan_only(void **state)
{
	char sha[80];
	struct ran ran;

	(void)state;
	company();
	ran = plan(SCALE);
	snprintf(sha, sizeof(sha), "%s", jget_str_or(ran.value, "plan.sha256", ""));
	json_decref(ran.value);
	apply(READ, "applied"); /* somebody else was quicker */
	ran = go(SCALE, (struct store_grants){ .apply = true, .plan = sha });
	assert_non_null(strstr(ran.msg, "on revision 1: plan and review again"));
	owner_sees("SELECT count(*) FROM authz.permit", "1");
	ran = plan(SCALE READ);
	snprintf(sha, sizeof(sha), "%s", jget_str_or(ran.value, "plan.sha256", ""));
	json_decref(ran.value);
	ran = go(SCALE READ, (struct store_grants){ .apply = true, .plan = sha });
	expect_outcome(&ran, "applied");
	json_decref(ran.value);
}

static void problem(const char *list, const char *what)
{
	struct ran ran = go(list, (struct store_grants){ .apply = true });
	char *text;

	expect_outcome(&ran, "refused");
	text = json_text(json_object_get(json_object_get(ran.value, "plan"), "problems"));
	if (strstr(text, what) == NULL)
		assert_string_equal(text, what);
	free(text);
	json_decref(ran.value);
	owner_sees("SELECT count(*) FROM authz.permit WHERE origin = 'file'", "0");
}

static void test_problems(void **state)
{
	(void)state;
	company();
	problem("  - { key: k, who: \"group:team-ads\", can: request, action: datasets.read }\n",
		"the directory has no group team-ads: did you mean ads?");
	problem("  - { key: k, who: \"group-id:g-no\", can: request, action: datasets.read }\n",
		"the directory has no group g-no");
	problem("  - { key: k, who: \"person:no@example.com\", can: request, action: datasets.read "
		"}\n",
		"nobody in the directory has the address no@example.com");
	problem("  - { key: k, who: \"person:ana@example.com\", can: request, action: "
		"datasets.read }\n",
		"a grant to one person ends within 90 days");
	good("INSERT INTO authz.action (name, risk) VALUES ('datasets.read', 0)");
	good("INSERT INTO authz.permit (stable_key, capability, action_id, group_id, valid, origin)"
	     " SELECT 'k', 'request', a.action_id, g.group_id, tstzrange(now(), now() + interval "
	     "'1 hour'), 'chat'"
	     " FROM authz.action a, dir.grp g LIMIT 1");
	problem("  - { key: k, who: \"group:ads\", can: request, action: datasets.read }\n",
		"the key is taken by a grant that was not made from a file");
	apply("", "applied"); /* the two other actions; a file without grants leaves what chat
				 granted */
	owner_sees("SELECT count(*) FROM authz.permit", "1");
}

static void test_group_with_another_id(void **state)
{
	struct ran ran;
	struct err err;
	const char *text = "[{\"key\":\"k\",\"effect\":\"allow\",\"can\":\"request\",\"action\":"
			   "\"datasets.read\",\"group\":\"ads\","
			   "\"group_id\":\"g-other\",\"scope\":{},\"reason\":\"\"}]";
	json_t *rows = json_parse(text, strlen(text), 1000, &err);
	json_t *actions =
		json_parse(actions_text, strlen(actions_text), sizeof(actions_text), &err);
	struct store_grants grants = { .rows = rows, .actions = actions };
	struct db *db;

	(void)state;
	company();
	db = as_role("opsd_grants");
	ran = (struct ran){ 0 };
	store_grants_start(db, &grants, on_value, &ran);
	while (ran.n == 0)
		once();
	expect_outcome(&ran, "refused");
	json_decref(ran.value);
	json_decref(rows);
	json_decref(actions);
	db_destroy(db);
}

static void test_brakes(void **state)
{
	char list[3000] = "", sha[80];
	struct ran ran;

	(void)state;
	company();
	for (int i = 0; i < 10; i++)
		snprintf(list + strlen(list), sizeof(list) - strlen(list),
			 "  - { key: k%d, who: \"group:ads\", can: request, action: datasets.read "
			 "}\n",
			 i);
	snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s", DROP);
	apply(list, "applied");
	ran = go(DROP, (struct store_grants){ .apply = true });
	expect_outcome(&ran, "refused");
	assert_true(has_brake(&ran, "many_vanish"));
	assert_false(has_brake(&ran, "last_approver"));
	json_decref(ran.value);
	ran = plan(SCALE);
	assert_true(has_brake(&ran, "last_approver"));
	snprintf(sha, sizeof(sha), "%s", jget_str_or(ran.value, "plan.sha256", ""));
	json_decref(ran.value);
	owner_sees("SELECT count(*) FROM authz.permit", "12");
	ran = go(SCALE, (struct store_grants){ .apply = true, .plan = sha, .accept = true });
	expect_outcome(&ran, "applied");
	json_decref(ran.value);
	owner_sees("SELECT count(*) FROM authz.permit", "1");
}

static void test_list(void **state)
{
	struct ran ran = { 0 };
	struct db *db;
	json_t *grant;

	(void)state;
	company();
	apply(SCALE DROP, "applied");
	db = as_role("opsd_grants");
	store_grants_list(db, on_value, &ran);
	while (ran.n == 0)
		once();
	assert_string_equal(ran.msg, "");
	assert_int_equal(json_array_size(json_object_get(ran.value, "grants")), 3);
	grant = json_array_get(json_object_get(ran.value, "grants"), 0);
	assert_string_equal(jget_str_or(grant, "text", ""),
			    "group ads can request workers.scale where count 0..50; team in ads");
	json_decref(ran.value);
	db_destroy(db);
}

/* Runs as somebody: plan, approve or apply; the digest of the plan comes back. */
static void turn(const char *who, const char *list, struct store_grants grants, const char *outcome,
		 char ret_sha[65])
{
	struct ran ran;

	login = who;
	ran = go(list, grants);
	login = "opsd_grants";
	expect_outcome(&ran, outcome);
	snprintf(ret_sha, 65, "%s", jget_str_or(ran.value, "plan.sha256", ""));
	json_decref(ran.value);
}

#define APPROVE(digest) ((struct store_grants){ .approve = true, .plan = (digest) })
#define APPLY(digest) ((struct store_grants){ .apply = true, .plan = (digest) })

static void test_dangerous_takes_two(void **state)
{
	char sha[65], other[65];

	(void)state;
	company();
	apply(SCALE, "applied"); /* the first file: nobody could be the second */
	turn("dia", SCALE DROP, (struct store_grants){ .apply = true }, "refused", sha);
	owner_sees("SELECT count(*) FROM authz.permit", "1");
	turn("dia", SCALE DROP, APPROVE(sha), "approved", other);
	turn("dia", SCALE DROP, APPLY(sha), "refused", other);      /* by oneself does not count */
	turn("eve", SCALE DROP READ, APPLY(sha), "refused", other); /* another plan */
	owner_sees("SELECT approved_by FROM authz.plan_approval", "dia_login");
	good("UPDATE authz.plan_approval SET at = clock_timestamp() - interval '61 minutes'");
	turn("eve", SCALE DROP, APPLY(sha), "refused", other); /* accepted at ten, not at eleven */
	turn("dia", SCALE DROP, APPROVE(sha), "approved", other);
	turn("eve", SCALE DROP, APPLY(sha), "applied", other);
	owner_sees("SELECT max(revision) FROM authz.revision", "2");
	/* What has low risk needs nobody, and neither does taking away. */
	apply(SCALE DROP READ, "applied");
	apply(DROP READ, "applied");
}

static void test_what_an_action_demands(void **state)
{
	struct ran ran;
	char sha[65];

	(void)state;
	company();
	head = "actions:\n  workers.drop: { approvals: 2, third_starts: true, apart_from: "
	       "workers.scale }\ngroups: { ads: { name: ads, owner: \"ask dia\" } }\n";
	ran = plan(SCALE DROP);
	assert_true(has_line(&ran,
			     "+ action workers.drop: risk 2, scope team, approvals 2, a third "
			     "person starts, apart from workers.scale"));
	assert_true(has_line(&ran, "~ group ads: owner ask dia"));
	json_decref(ran.value);
	apply(SCALE DROP, "applied");
	apply(SCALE DROP, "unchanged");
	owner_sees(
		"SELECT min_approvals || ' ' || approver_may_execute FROM authz.action WHERE name "
		"= 'workers.drop'",
		"2 false");
	owner_sees(
		"SELECT string_agg(name, ' ' ORDER BY name) FROM authz.sod_rule JOIN authz.action "
		"ON action_id IN (a, b)",
		"workers.drop workers.scale");
	owner_sees("SELECT owner FROM authz.group_owner", "ask dia");
	head = "actions:\n  workers.drop: { approvals: 2, third_starts: true }\n";
	turn("eve", SCALE DROP, (struct store_grants){ .apply = true }, "refused", sha);
	turn("dia", SCALE DROP, APPROVE(sha), "approved", sha);
	turn("eve", SCALE DROP, APPLY(sha), "applied", sha);
	owner_sees("SELECT count(*) FROM authz.sod_rule", "0");
	owner_sees("SELECT count(*) FROM authz.group_owner", "0");
	head = "";
}

static void test_role_cannot_touch_the_directory(void **state)
{
	static const char *const refused[] = {
		"INSERT INTO dir.membership SELECT 1, 1, true, 1",
		"UPDATE dir.person SET state = 'active'",
		"INSERT INTO authz.plan_approval (plan_sha256, approved_by) VALUES (repeat('0', "
		"64), 'x')",
		"UPDATE authz.plan_approval SET at = now()",
		"DELETE FROM authz.revision",
		"UPDATE authz.revision SET git_commit = 'x'",
		"SELECT dir.sync_open('x', 'file', '{}', '0', NULL, '', '{}')",
		"SELECT * FROM ops.request",
	};
	struct db *owner, *grants;

	(void)state;
	company();
	owner = world.db;
	grants = as_role("opsd_grants");
	world.db = grants;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		assert_string_equal(ask(refused[i]).sqlstate, "42501");
	world.db = owner;
	db_destroy(grants);
}

/* { op, effect, action, group } of "unread" has this. */
static bool unread(const struct ran *ran, const char *op, const char *effect, const char *group)
{
	size_t i;
	json_t *row;

	json_array_foreach(json_object_get(json_object_get(ran->value, "plan"), "unread"), i, row)
	{
		if (str_eq(jget_str(row, "op"), op) && str_eq(jget_str(row, "effect"), effect) &&
		    str_eq(jget_str(row, "group"), group))
			return true;
	}
	return false;
}

#define WEB_READ "  - { key: web-read, who: \"group:web\", can: request, action: datasets.read }\n"
#define WEB_STOP                                                                                   \
	"  - { key: web-stop, who: \"group:web\", effect: forbid, can: request, action: "          \
	"datasets.read, reason: r }\n"
#define WEB_APPROVES                                                                               \
	"  - { key: sre-drop, who: \"group:web\", can: [request, approve], action: workers.drop, " \
	"where: { team: any } }\n"

/* Nobody knows who is in web: no count is shown, and none is made up. */
static void test_groups_that_are_not_read(void **state)
{
	struct ran ran;

	(void)state;
	fresh();
	sync_unread = " g-web ";
	expect_sync("05:00", "ana ben cho sam sue", "ads=ana,ben sre=sam,sue web", "applied");
	sync_unread = NULL;
	ran = plan(READ WEB_READ);
	assert_true(moves(&ran, "gain", "datasets.read", 2, NULL));
	assert_true(unread(&ran, "+", "allow", "web"));
	assert_false(unread(&ran, "+", "allow", "ads"));
	json_decref(ran.value);
	apply(READ WEB_READ, "applied");
	decides("cho", "request", "datasets.read", "{}", "no_matching_grant");
	ran = plan(READ WEB_STOP);
	assert_true(unread(&ran, "-", "allow", "web"));
	assert_true(unread(&ran, "+", "forbid", "web"));
	json_decref(ran.value);
	apply(READ WEB_STOP, "applied");
	decides("ana", "request", "datasets.read", "{}", "members_unknown");
	expect_sync("05:10", "ana ben cho sam sue", "ads=ana,ben sre=sam,sue web=cho", "applied");
	decides("ana", "request", "datasets.read", "{}", "allowed");
	decides("cho", "request", "datasets.read", "{}", "forbidden");
}

/* Those who approve are others, and nobody knows them yet: until the next sync nobody could. */
static void test_last_approver_is_not_read(void **state)
{
	struct ran ran;

	(void)state;
	fresh();
	sync_unread = " g-web ";
	expect_sync("05:00", "ana ben cho sam sue", "sre=sam,sue web", "applied");
	sync_unread = NULL;
	apply(DROP, "applied");
	ran = plan(WEB_APPROVES);
	assert_true(has_brake(&ran, "last_approver"));
	json_decref(ran.value);
	expect_sync("05:10", "ana ben cho sam sue", "sre=sam,sue web=cho", "applied");
	ran = plan(WEB_APPROVES);
	assert_false(has_brake(&ran, "last_approver"));
	json_decref(ran.value);
}

/* A group that approves is pinned by what was reviewed: who takes its name is another one. */
static void test_approving_groups(void **state)
{
	struct ran ran;

	(void)state;
	company();
	actions_now = approved_text;
	ran = plan(DROP);
	assert_true(has_line(&ran, "+ approving group sre: id g-sre"));
	assert_string_equal(
		json_string_value(json_array_get(
			json_object_get(json_object_get(ran.value, "plan"), "unknown"), 0)),
		"nobody");
	json_decref(ran.value);
	apply(DROP, "applied");
	owner_sees("SELECT count(*) FROM authz.group_in_use", "1"); /* by grant and by rule */
	ran = plan(DROP);
	assert_int_equal(jget_int(ran.value, "plan.changes", -1), 0);
	json_decref(ran.value);
	good("UPDATE dir.grp SET name_key = 'platform' WHERE name_key = 'sre'");
	good("UPDATE dir.grp SET name_key = 'sre' WHERE name_key = 'web'");
	owner_sees("SELECT external_id FROM dir.grp WHERE group_id = ops.rule_group('{\"group\": "
		   "\"SRE\"}')",
		   "g-sre");
	ran = plan(WEB_READ DROP);
	assert_true(has_line(&ran, "~ approving group sre: id g-sre -> g-web"));
	assert_int_equal(
		json_array_size(json_object_get(json_object_get(ran.value, "plan"), "problems")),
		1); /* there is no web now */
	json_decref(ran.value);
	ran = plan(DROP);
	assert_string_equal(
		json_string_value(json_array_get(
			json_object_get(json_object_get(ran.value, "plan"), "dangerous"), 0)),
		"grant sre-drop:workers.drop:approve of workers.drop");
	assert_int_equal(
		json_array_size(json_object_get(json_object_get(ran.value, "plan"), "dangerous")),
		3);
	json_decref(ran.value);
	actions_now = actions_text;
	ran = plan(DROP);
	assert_true(has_line(&ran, "- approving group sre: no command names it"));
	json_decref(ran.value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_plan_and_apply),
		TEST(test_change_and_removal),
		TEST(test_reviewed_plan_only),
		TEST(test_problems),
		TEST(test_group_with_another_id),
		TEST(test_brakes),
		TEST(test_list),
		TEST(test_dangerous_takes_two),
		TEST(test_what_an_action_demands),
		TEST(test_role_cannot_touch_the_directory),
		TEST(test_groups_that_are_not_read),
		TEST(test_last_approver_is_not_read),
		TEST(test_approving_groups),
	};

	return world_main(tests, sizeof(tests) / sizeof(tests[0]));
}
