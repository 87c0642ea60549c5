/* SPDX-License-Identifier: Apache-2.0 */
/* scope: groups that come into use, go out of use, or are set aside: what the sync makes of them,
 * and what a decision says while nobody knows who is in one. */
#include "sync_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define MEMBERS                                                                                    \
	"SELECT coalesce(string_agg(p.display_name || '@' || g.name_key || CASE WHEN m.direct "    \
	"THEN '' ELSE '*' END, ' ' ORDER BY g.name_key, p.display_name), '') FROM dir.membership " \
	"m JOIN dir.person p USING (person_id) JOIN dir.grp g USING (group_id)"
#define SCOPE                                                                                      \
	"SELECT coalesce(string_agg(external_id, ' ' ORDER BY external_id), '') FROM dir.grp g "   \
	"WHERE NOT dir.unread(g)"

static const char all[] = "a b c d e f g h i j k l";

static void begin(void)
{
	fresh();
	sync_unread = sync_aside = sync_failure = sync_failing = NULL;
}

static struct ran again(const char *time, const char *groups, const char *accept)
{
	struct buf yaml;
	struct ran ran;

	snapshot(&yaml, time, all, groups);
	ran = sync_run(yaml.data, false, accept);
	buf_finish(&yaml);
	assert_string_equal(ran.msg, "");
	return ran;
}

static void permit(const char *key, const char *effect, const char *can, const char *group)
{
	char sql[700];

	good("INSERT INTO authz.action (name, risk) VALUES ('workers.status', 0) ON CONFLICT DO "
	     "NOTHING");
	good("INSERT INTO authz.revision VALUES (1, 'c', '{x}', 'x', now(), '\\x01') ON CONFLICT "
	     "DO NOTHING");
	snprintf(sql, sizeof(sql),
		 "INSERT INTO authz.permit (stable_key, effect, capability, action_id, group_id, "
		 "origin, revision) SELECT '%s', '%s', '%s', a.action_id, g.group_id, 'file', 1 "
		 "FROM authz.action a, dir.grp g WHERE a.name = 'workers.status' AND g.name_key = "
		 "'%s'",
		 key, effect, can, group);
	good(sql);
}

static void decides(const char *person, const char *code)
{
	char sql[300];

	snprintf(sql, sizeof(sql),
		 "SELECT code FROM authz.decide((SELECT person_id FROM dir.person WHERE "
		 "external_id = 'p-%s'), 'request', 'workers.status', '{}')",
		 person);
	owner_sees(sql, code);
}

/* What a refusal says of groups that nobody knows, under this name. */
static void says(const char *person, const char *member, const char *value)
{
	char sql[500];

	snprintf(
		sql, sizeof(sql),
		"SELECT coalesce(ops.decision_json(authz.decide(p.person_id, 'request', "
		"'workers.status', '{}'), p.person_id, 'workers.status', '{}')::json ->> '%s', '') "
		"FROM dir.person p WHERE p.external_id = 'p-%s'",
		member, person);
	owner_sees(sql, value);
}

static size_t n_brakes(const struct ran *ran)
{
	return json_array_size(json_object_get(json_object_get(ran->value, "plan"), "brakes"));
}

/* Twelve people at once, which would be a surge in a group that was known. */
static void test_comes_into_use(void **state)
{
	struct ran ran;

	(void)state;
	begin();
	sync_unread = " g-web ";
	ran = again("05:00", "ads=a web", NULL);
	expect_outcome(&ran, "applied");
	json_decref(ran.value);
	permit("ads", "allow", "request", "ads");
	owner_sees("SELECT dir.sync_before('company', 's') -> 'groups'", "[\"g-ads\"]");
	permit("web", "allow", "request", "web");
	owner_sees("SELECT dir.sync_before('company', 's') -> 'groups'", "[\"g-ads\", \"g-web\"]");
	decides("a", "allowed");
	decides("b", "no_matching_grant"); /* not known to be in it */
	says("b", "unread", "[\"web\"]");
	says("b", "groups", "[\"ads\"]"); /* and that would do already */
	sync_unread = NULL;
	ran = again("05:10", "ads=a web=a,b,c,d,e,f,g,h,i,j,k,l", NULL);
	expect_outcome(&ran, "applied");
	assert_int_equal(n_brakes(&ran), 0);
	assert_true(has_line(&ran, "* group web (g-web) comes into use: its 12 members are read"));
	assert_true(has_line(&ran, "+ member p-b of web (read for the first time)"));
	assert_int_equal(jget_int(ran.value, "plan.counts.members_added", -1), 0);
	assert_int_equal(jget_int(ran.value, "plan.counts.members_in", -1), 12);
	json_decref(ran.value);
	owner_sees("SELECT count(*) FROM dir.membership_change WHERE by_scope AND op = '+'", "12");
	decides("b", "allowed");
	ran = again("05:20", "ads=a web=a,b,c,d,e,f,g,h,i,j,k,l", NULL);
	expect_outcome(&ran, "unchanged");
	json_decref(ran.value);
}

/* All that the group has, and more than a twentieth of everything. */
static void test_goes_out_of_use(void **state)
{
	struct ran ran;

	(void)state;
	begin();
	ran = again("05:00", "ads=a web=a,b,c,d,e,f,g,h", NULL);
	json_decref(ran.value);
	permit("web", "allow", "request", "web");
	permit("ads", "allow", "request", "ads");
	decides("b", "allowed");
	good("DELETE FROM authz.permit WHERE stable_key = 'web'");
	sync_unread = " g-web ";
	ran = again("05:10", "ads=a web", NULL);
	expect_outcome(&ran, "applied");
	assert_int_equal(n_brakes(&ran), 0);
	assert_true(has_line(
		&ran, "* group web (g-web) is not in use any more: its 8 members are not kept"));
	assert_true(has_line(&ran, "- member p-b of web (not read any more)"));
	json_decref(ran.value);
	owner_sees(MEMBERS, "a@ads");
	owner_sees("SELECT count(*) FROM dir.membership_change WHERE by_scope AND op = '-'", "8");
	/* the last one goes, too: that is no empty source */
	good("DELETE FROM authz.permit");
	sync_unread = " g-web g-ads ";
	ran = again("05:20", "ads web", NULL);
	expect_outcome(&ran, "applied");
	json_decref(ran.value);
	owner_sees(MEMBERS, "");
	/* but a group that comes does not hide that all others lost everybody */
	sync_unread = " g-web ";
	ran = again("05:30", "ads=a,b web", NULL);
	json_decref(ran.value);
	sync_unread = NULL;
	ran = again("05:40", "ads web=c", NULL);
	expect_outcome(&ran, "refused");
	assert_true(has_brake(&ran, "empty_source"));
	json_decref(ran.value);
}

/* Whoever may be in it is everybody. */
static void test_forbid_of_an_unread_group(void **state)
{
	struct ran ran;

	(void)state;
	begin();
	sync_unread = " g-web ";
	ran = again("05:00", "ads=a,b web", NULL);
	json_decref(ran.value);
	permit("ads", "allow", "request", "ads");
	decides("a", "allowed");
	permit("stop-web", "forbid", "request", "web");
	decides("a", "members_unknown");
	decides("b", "members_unknown");
	says("a", "unread", "[\"web\"]");
	says("a", "grant", "stop-web");
	sync_unread = NULL;
	ran = again("05:10", "ads=a,b web=b", NULL);
	json_decref(ran.value);
	decides("a", "allowed");
	decides("b", "forbidden");
}

/* The grant came while the source was read: nothing is known of the group, and nothing made up. */
static void test_grant_while_the_sync_reads(void **state)
{
	struct ran ran;

	(void)state;
	begin();
	sync_unread = " g-web ";
	ran = again("05:00", "ads=a web", NULL);
	json_decref(ran.value);
	permit("web", "allow", "request", "web");
	ran = again("05:10", "ads=a web", NULL); /* asked before that */
	expect_outcome(&ran, "unchanged");
	json_decref(ran.value);
	decides("b", "no_matching_grant");
	says("b", "unread", "[\"web\"]");
	sync_unread = NULL;
	ran = again("05:20", "ads=a web=b", NULL);
	json_decref(ran.value);
	decides("b", "allowed");
	/* it was read, it is in use, and now it is not read: that is a loss, not a change of use */
	sync_unread = " g-web ";
	ran = again("05:30", "ads=a web", NULL);
	expect_outcome(&ran, "refused");
	assert_true(has_brake(&ran, "in_use_group_emptied"));
	json_decref(ran.value);
	decides("b", "allowed");
}

/* A run that asked earlier which groups are in use, and ended later. */
static void test_two_syncs(void **state)
{
	(void)state;
	begin();
	sync_unread = " g-web ";
	expect_sync("05:00", all, "ads=a web", "applied");
	permit("web", "allow", "request", "web");
	sync_unread = NULL;
	expect_sync("05:10", all, "ads=a web=b", "applied");
	good("UPDATE dir.source SET fetch_started_at = clock_timestamp() + interval '1 minute'");
	sync_unread = " g-web ";
	expect_sync("05:10", all, "ads=a web", "stale");
	owner_sees(MEMBERS, "a@ads b@web");
}

static void test_vanishes_unread(void **state)
{
	struct ran ran;

	(void)state;
	begin();
	sync_unread = " g-web ";
	ran = again("05:00", "ads=a web", NULL);
	json_decref(ran.value);
	permit("stop-web", "forbid", "request", "web");
	permit("ads", "allow", "request", "ads");
	ran = again("05:10", "ads=a", NULL);
	expect_outcome(&ran, "refused"); /* a page is missing, or two people say that it is meant */
	assert_true(has_brake(&ran, "in_use_group_vanished"));
	json_decref(ran.value);
	decides("a", "members_unknown");
}

static void test_nested_through_its_parent(void **state)
{
	struct ran ran;

	(void)state;
	begin();
	sync_unread = " g-top g-sub ";
	ran = again("05:00", "ads=a top sub", NULL);
	json_decref(ran.value);
	permit("top", "allow", "request", "top");
	sync_unread = NULL;
	ran = again("05:10", "ads=a top=b+sub sub=c", NULL);
	expect_outcome(&ran, "applied");
	assert_int_equal(n_brakes(&ran), 0);
	json_decref(ran.value);
	owner_sees(MEMBERS, "a@ads c@sub b@top c@top*");
	decides("c", "allowed");
	owner_sees(SCOPE, "g-ads g-sub g-top");
	/* out of the parent: what it loses by that counts as a loss, what is known of sub does not
	 */
	sync_unread = " g-sub ";
	ran = again("05:20", "ads=a top=b sub", NULL);
	expect_outcome(&ran, "applied");
	assert_true(has_line(&ran, "- member p-c of top (through another group)"));
	assert_true(has_line(&ran, "- member p-c of sub (not read any more)"));
	json_decref(ran.value);
	owner_sees(MEMBERS, "a@ads b@top");
	/* into it again: a group in use gains by a newly nested group */
	sync_unread = NULL;
	ran = again("05:30", "ads=a top=b+sub sub=c", NULL);
	expect_outcome(&ran, "applied");
	assert_true(has_brake(&ran, "in_use_group_surge"));
	json_decref(ran.value);
	owner_sees(MEMBERS, "a@ads c@sub b@top");
	decides("c", "no_matching_grant");
}

/* What it holds back is of that group only. */
static void test_comes_into_use_beside_a_held_one(void **state)
{
	struct ran ran;

	(void)state;
	begin();
	sync_unread = " g-top g-sub ";
	ran = again("05:00", "ads=a far=b top sub", NULL);
	json_decref(ran.value);
	permit("ads", "allow", "request", "ads");
	permit("top", "allow", "request", "top");
	sync_unread = NULL;
	ran = again("05:10", "ads=a+far far=b top=c+sub sub=d", NULL);
	assert_true(has_brake(&ran, "in_use_group_surge"));
	assert_int_equal(n_brakes(&ran), 1);
	json_decref(ran.value);
	owner_sees(MEMBERS, "a@ads b@far d@sub c@top d@top*");
	ran = again("05:20", "ads=a+far far=b top=c+sub sub=d,e", NULL);
	assert_int_equal(n_brakes(&ran), 1); /* e comes through a nesting that was let in */
	json_decref(ran.value);
	owner_sees(MEMBERS, "a@ads b@far d@sub e@sub c@top d@top* e@top*");
}

static void test_renamed(void **state)
{
	struct ran ran;

	(void)state;
	begin();
	ran = again("05:00", "web=a", NULL);
	json_decref(ran.value);
	permit("web", "allow", "request", "web");
	good("INSERT INTO authz.rule_group SELECT 'web', group_id FROM dir.grp");
	good("UPDATE dir.grp SET external_id = 'g-platform' WHERE name_key = 'web'");
	/* it has another name now, and another group has its old one */
	ran = again("05:10", "platform=a web=b", NULL);
	json_decref(ran.value);
	owner_sees("SELECT dir.sync_before('company', 's') -> 'groups'", "[\"g-platform\"]");
	decides("a", "allowed");
	decides("b", "no_matching_grant");
	owner_sees("SELECT name_key FROM dir.grp WHERE group_id = ops.rule_group('{\"group\": "
		   "\"web\"}')",
		   "platform");
	owner_sees("SELECT name_key FROM dir.grp WHERE group_id = ops.rule_group('{\"group\": "
		   "\"Platform\"}')",
		   "platform"); /* one that was not reviewed: by its name */
	/* as its source spells it */
	good("UPDATE dir.grp SET name_key = 'Data Platform' WHERE name_key = 'platform'");
	owner_sees("SELECT name_key FROM dir.grp WHERE group_id = ops.rule_group('{\"group\": "
		   "\"data platform\"}')",
		   "Data Platform");
}

static void test_set_aside(void **state)
{
	struct ran ran;

	(void)state;
	begin();
	ran = again("05:00", "ads=a web=a,b,c,d,e,f,g,h,i,j,k over=+web sub=l", NULL);
	json_decref(ran.value);
	permit("web", "allow", "request", "web");
	permit("over", "allow", "approve", "over");
	sync_unread = sync_aside = " g-web ";
	ran = again("05:10", "ads=a web over=+web sub=l", NULL);
	expect_outcome(&ran, "unchanged");
	assert_int_equal(
		json_array_size(json_object_get(json_object_get(ran.value, "plan"), "aside")), 1);
	json_decref(ran.value);
	owner_sees("SELECT count(*) FILTER (WHERE g.name_key = 'web') || ' ' || count(*) FILTER "
		   "(WHERE g.name_key = 'over') FROM dir.membership m JOIN dir.grp g USING "
		   "(group_id)",
		   "11 11");
	owner_sees("SELECT aside_since < (SELECT fetch_started_at FROM dir.source) FROM dir.grp "
		   "WHERE name_key = 'web'",
		   "t"); /* since it was read last */
	decides("b", "allowed");
	good("UPDATE dir.grp SET aside_since = aside_since - interval '24 hours'");
	ran = again("05:20", "ads=a web over=+web sub=l", NULL);
	expect_outcome(&ran,
		       "applied"); /* or one broken group would stop the directory after all */
	assert_int_equal(n_brakes(&ran), 0);
	assert_true(
		has_line(&ran, "- member p-b of over (through another group) (not read any more)"));
	assert_true(has_line(&ran, "* group web (g-web) has been set aside for more than 24 hours: "
				   "it counts as empty, without its 11 members"));
	json_decref(ran.value);
	owner_sees(MEMBERS, "a@ads l@sub");
	decides("b", "no_matching_grant");
	says("b", "closed", "[\"web\"]");
	permit("stop", "forbid", "request", "web");
	decides("b", "members_unknown");
	good("DELETE FROM authz.permit WHERE stable_key = 'stop'");
	ran = again("05:30", "ads=a web over=+web sub=l", NULL);
	expect_outcome(&ran, "unchanged"); /* and says so still */
	assert_int_equal(
		json_array_size(json_object_get(json_object_get(ran.value, "plan"), "aside")),
		2); /* of over, too, which holds it */
	json_decref(ran.value);
	/* it can be read again: from empty to eleven is a surge */
	sync_unread = sync_aside = NULL;
	ran = again("05:40", "ads=a web=a,b,c,d,e,f,g,h,i,j,k over=+web sub=l", NULL);
	assert_true(has_brake(&ran, "in_use_group_surge"));
	json_decref(ran.value);
	owner_sees("SELECT count(*) FROM dir.grp WHERE aside_since IS NOT NULL", "0");
	decides("b", "no_matching_grant");
}

/* A forbid to a group that holds one of which nobody knows who is in it: whoever may be in that one
 * is meant, too.  Rights are those of the members that are known. */
static void test_forbid_to_a_group_that_holds_a_blind_one(void **state)
{
	(void)state;
	begin();
	expect_sync("05:00", "ana ben cho", "all=ana,ben,cho top=ana+mid mid=+deep deep=ben",
		    "applied");
	permit("all", "allow", "request", "all");
	permit("stop", "forbid", "request", "top");
	sync_unread = sync_aside = " g-deep ";
	expect_sync("05:10", "ana ben cho", "all=ana,ben,cho top=ana+mid mid=+deep deep",
		    "unchanged");
	decides("ana", "forbidden");
	decides("ben", "forbidden"); /* as last known */
	decides("cho", "allowed");
	good("UPDATE dir.grp SET aside_since = aside_since - interval '24 hours'");
	expect_sync("05:20", "ana ben cho", "all=ana,ben,cho top=ana+mid mid=+deep deep",
		    "applied");
	owner_sees(MEMBERS, "ana@all ben@all cho@all ana@top");
	decides("ana", "forbidden");
	decides("ben", "members_unknown");
	decides("cho", "members_unknown");
	says("cho", "closed", "[\"top\"]");
	good("UPDATE authz.permit SET effect = 'allow' WHERE stable_key = 'stop'");
	good("DELETE FROM authz.permit WHERE stable_key = 'all'");
	decides("ana", "allowed");
	decides("ben", "no_matching_grant");
	sync_unread = sync_aside = NULL;
	expect_sync("05:30", "ana ben cho", "all=ana,ben,cho top=ana+mid mid=+deep deep=ben",
		    "applied");
	decides("ben", "allowed");
	owner_sees("SELECT count(*) FROM dir.grp WHERE blind_from IS NOT NULL", "0");
}

/* Somebody who left, and somebody who is suspended, of a group that is not read. */
static void test_set_aside_and_people(void **state)
{
	(void)state;
	begin();
	expect_sync("05:00", "ana ben cho", "web=ana,ben,cho", "applied");
	permit("web", "allow", "request", "web");
	sync_unread = sync_aside = " g-web ";
	expect_sync("05:10", "ana ben:suspended", "web", "applied");
	owner_sees(MEMBERS, "ana@web ben@web");
	decides("ana", "allowed");
	decides("ben", "person_not_active");
	decides("cho", "person_not_active");
}

static void test_third_failure_says_what_to_do(void **state)
{
	struct ran ran;

	(void)state;
	begin();
	expect_sync("05:00", "ana ben", "web=ana", "applied");
	sync_failure = "members of web (g-web), page 1: it answers 403";
	sync_failing = "g-web";
	for (int i = 0; i < 3; i++) {
		ran = again("05:10", "web=a", NULL);
		expect_outcome(&ran, "failed");
		json_decref(ran.value);
		owner_sees("SELECT error LIKE '%set_aside: [ \"g-web\" ]%' FROM dir.sync_run ORDER "
			   "BY run_id DESC LIMIT 1",
			   i < 2 ? "f" : "t");
	}
	owner_sees("SELECT count(*) FROM ops.message WHERE body ->> 'event' = 'directory.failed'",
		   "2"); /* at first, and when there is more to say */
	sync_failing = "g-ads";
	ran = again("05:10", "web=a", NULL);
	json_decref(ran.value);
	owner_sees("SELECT error LIKE '%set_aside%' FROM dir.sync_run ORDER BY run_id DESC LIMIT 1",
		   "f");
}

static void test_ended_grants_use_nothing(void **state)
{
	(void)state;
	begin();
	expect_sync("05:00", "ana ben", "web=ana", "applied");
	permit("web", "allow", "request", "web");
	good("UPDATE authz.permit SET valid = tstzrange(NULL, now() - interval '1 minute')");
	owner_sees("SELECT dir.sync_before('company', 's') -> 'groups'", "[]");
	good("UPDATE authz.permit SET valid = tstzrange(now() + interval '1 day', NULL)");
	owner_sees("SELECT dir.sync_before('company', 's') -> 'groups'", "[\"g-web\"]");
}

#define HELD(column)                                                                               \
	"SELECT " column " FROM dir.email_quarantine WHERE email_key = 'ana@example.com'"

/* One address, three owners after each other; nobody but the owner releases, and not in the middle
 * of a sync. */
static void test_released_address(void **state)
{
	static const char *const roles[] = { "opsd_service", "opsd_sync", "opsd_grants",
					     "opsd_auditor" };
	struct db *owner, *db;
	struct seen seen;

	(void)state;
	begin();
	owner = world.db;
	expect_sync("05:00", "ana ben cho", "", "applied");
	good("INSERT INTO dir.email_quarantine (email_key, old_person, new_person) SELECT "
	     "'ana@example.com', a.person_id, b.person_id FROM dir.person a, dir.person b WHERE "
	     "a.display_name = 'ana' AND b.display_name = 'ben'");
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		db = as_role(roles[i]);
		world.db = db;
		seen = ask("SELECT dir.release_address('ana@example.com', 'because')");
		assert_non_null(strstr(seen.msg, "permission denied"));
		world.db = owner;
		db_destroy(db);
	}
	seen = ask("SELECT dir.release_address('ana@example.com', ' ')");
	assert_non_null(strstr(seen.msg, "say why"));
	owner_sees("SELECT dir.release_address('ana@example.com', 'asked both') ->> 'code'",
		   "released");
	owner_sees("SELECT p.display_name || ' ' || e.is_primary FROM dir.person_email e JOIN "
		   "dir.person p USING (person_id) WHERE e.email_key = 'ana@example.com'",
		   "ben false"); /* whose primary one is another */
	owner_sees(HELD("released_by = session_user AND released_at IS NOT NULL"), "t");
	owner_sees("SELECT count(*) FROM ops.audit WHERE event = 'directory.address_released'",
		   "1");
	owner_sees("SELECT dir.release_address('ana@example.com', 'again') ->> 'code'",
		   "released_already");
	good("UPDATE dir.email_quarantine SET released_by = NULL, released_at = NULL, old_person = "
	     "new_person, new_person = (SELECT person_id FROM dir.person WHERE display_name = "
	     "'cho')");
	good("UPDATE dir.person SET state = 'gone', gone_gen = 1 WHERE display_name = 'cho'");
	owner_sees("SELECT dir.release_address('ana@example.com', 'asked both') ->> 'code'",
		   "gone");
	good("UPDATE dir.email_quarantine SET new_person = NULL");
	owner_sees("SELECT dir.release_address('ana@example.com', 'asked both') ->> 'code'",
		   "disputed");
	owner_sees("SELECT count(*) FROM ops.audit WHERE event = 'directory.address_released'",
		   "1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_comes_into_use),
		TEST(test_goes_out_of_use),
		TEST(test_forbid_of_an_unread_group),
		TEST(test_grant_while_the_sync_reads),
		TEST(test_two_syncs),
		TEST(test_vanishes_unread),
		TEST(test_nested_through_its_parent),
		TEST(test_comes_into_use_beside_a_held_one),
		TEST(test_renamed),
		TEST(test_set_aside),
		TEST(test_forbid_to_a_group_that_holds_a_blind_one),
		TEST(test_set_aside_and_people),
		TEST(test_third_failure_says_what_to_do),
		TEST(test_ended_grants_use_nothing),
		TEST(test_released_address),
	};

	return world_main(tests, sizeof(tests) / sizeof(tests[0]));
}
