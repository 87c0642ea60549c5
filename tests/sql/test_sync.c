/* SPDX-License-Identifier: Apache-2.0 */
/* sync: from a snapshot to the copy; brakes both ways; addresses that move; what its role may not
 * do. */
#include "store_world.h"
#include "sync_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/email_cases.h"

#define MEMBERS                                                                                    \
	"SELECT coalesce(string_agg(p.display_name || '@' || g.name_key || CASE WHEN m.direct "    \
	"THEN '' ELSE '*' END, ' '"                                                                \
	" ORDER BY g.name_key, p.display_name), '') FROM dir.membership m JOIN dir.person p "      \
	"USING (person_id)"                                                                        \
	" JOIN dir.grp g USING (group_id)"

#define OWNER_OF(key)                                                                              \
	"SELECT p.external_id FROM dir.person_email e JOIN dir.person p USING (person_id) WHERE "  \
	"e.email_key = '" key "'"

static struct ran again(const char *time, const char *people, const char *groups, bool plan_only,
			const char *accept)
{
	struct buf yaml;
	struct ran ran;

	snapshot(&yaml, time, people, groups);
	ran = sync_run(yaml.data, plan_only, accept);
	buf_finish(&yaml);
	assert_string_equal(ran.msg, "");
	return ran;
}

/* A grant makes its group one in use. */
static void use_group(const char *name)
{
	char sql[700];

	good("INSERT INTO authz.action (name, risk) VALUES ('workers.status', 0) ON CONFLICT DO "
	     "NOTHING");
	good("INSERT INTO authz.revision VALUES (1, 'c', '{x}', 'x', now(), '\\x01') ON CONFLICT "
	     "DO NOTHING");
	snprintf(sql, sizeof(sql),
		 "INSERT INTO authz.permit (stable_key, capability, action_id, group_id, origin, "
		 "revision)"
		 " SELECT 'k-%s', 'request', a.action_id, g.group_id, 'file', 1 FROM authz.action "
		 "a, dir.grp g"
		 " WHERE a.name = 'workers.status' AND g.name_key = '%s'",
		 name, name);
	good(sql);
}

/* "u5 u6 u7 " or "u5,u6,u7," */
static void names(char *to, size_t size, char after, int from, int n)
{
	size_t len = 0;

	to[0] = '\0';
	for (int i = from; i < from + n; i++)
		len += (size_t)snprintf(to + len, size - len, "u%d%c", i, after);
	assert_true(len < size);
}

static void test_first_load_and_no_change(void **state)
{
	struct ran ran;

	(void)state;
	fresh();
	ran = again("05:00", "ana ben", "ads=ana,ben", true, NULL);
	expect_outcome(&ran, "planned");
	assert_true(has_line(&ran, "+ person p-ana (ana, active, human)"));
	assert_true(has_line(&ran, "+ address ana@example.com of p-ana"));
	assert_true(has_line(&ran, "+ member p-ana of ads"));
	assert_int_equal(jget_int(ran.value, "plan.changes", 0), 7);
	json_decref(ran.value);
	owner_sees("SELECT count(*) FROM dir.person", "0");
	owner_sees("SELECT count(*) FROM dir.sync_run", "0");
	expect_sync("05:00", "ana ben", "ads=ana,ben", "applied");
	owner_sees(MEMBERS, "ana@ads ben@ads");
	owner_sees("SELECT generation FROM dir.source", "1");
	expect_sync("05:00", "ana ben", "ads=ana,ben", "unchanged");
	owner_sees("SELECT generation FROM dir.source", "1");
	owner_sees("SELECT s.fetch_started_at = max(r.fetch_started_at) FROM dir.source s, "
		   "dir.sync_run r"
		   " GROUP BY s.fetch_started_at",
		   "t");
	expect_sync("05:10", "ana", "ads=ana", "applied");
	owner_sees(MEMBERS, "ana@ads");
	owner_sees("SELECT string_agg(op::text || generation, ' ') FROM dir.membership_change",
		   "-2");
	owner_sees("SELECT state || ' ' || gone_gen FROM dir.person WHERE external_id = 'p-ben'",
		   "gone 2");
	expect_sync("05:20", "ana ben", "ads=ana,ben", "applied"); /* back, the same person */
	owner_sees(MEMBERS, "ana@ads ben@ads");
	owner_sees("SELECT count(*) FROM dir.person", "2");
}

static void test_cycle_and_nesting(void **state)
{
	(void)state;
	fresh();
	expect_sync("05:00", "ana ben cho", "a=ana+b b=ben+c c=cho+a", "applied");
	owner_sees(MEMBERS, "ana@a ben@a* cho@a* ana@b* ben@b cho@b* ana@c* ben@c* cho@c");
	expect_sync("05:10", "ana ben cho", "a=ana,ben+b b=ben+c c=cho", "applied");
	owner_sees(MEMBERS, "ana@a ben@a cho@a* ben@b cho@b* cho@c");
	owner_sees("SELECT count(*) FROM dir.member_group", "2");
}

static void test_suspension_acts_at_once(void **state)
{
	(void)state;
	fresh();
	expect_sync("05:00", "ana ben", "ads=ana,ben", "applied");
	use_group("ads");
	owner_sees("SELECT code FROM authz.decide((SELECT person_id FROM dir.person WHERE "
		   "external_id = 'p-ana'),"
		   " 'request', 'workers.status', '{}')",
		   "allowed");
	expect_sync("05:10", "ana:suspended ben", "ads=ana,ben", "applied");
	owner_sees("SELECT code FROM authz.decide((SELECT person_id FROM dir.person WHERE "
		   "external_id = 'p-ana'),"
		   " 'request', 'workers.status', '{}')",
		   "person_not_active");
	owner_sees(MEMBERS, "ana@ads ben@ads"); /* the rows stay */
}

/* Half of a directory, and a departure that the source says aloud. */
static void test_half_a_directory(void **state)
{
	char people[4000], half[4000], groups[4000], list[4000];
	struct ran ran;

	(void)state;
	fresh();
	names(people, sizeof(people), ' ', 0, 300);
	names(list, sizeof(list), ',', 0, 300);
	snprintf(groups, sizeof(groups), "all=%.*s", (int)strlen(list) - 1, list);
	expect_sync("05:00", people, groups, "applied");
	names(half, sizeof(half), ' ', 0, 150);
	memcpy(half, "u0:suspended ", 13);
	names(half + 13, sizeof(half) - 13, ' ', 1, 149);
	names(list, sizeof(list), ',', 0, 150);
	snprintf(groups, sizeof(groups), "all=%.*s", (int)strlen(list) - 1, list);
	ran = again("05:10", half, groups, false, NULL);
	expect_outcome(&ran, "refused");
	assert_true(has_brake(&ran, "total_removals"));
	assert_true(has_brake(&ran, "people_lost"));
	json_decref(ran.value);
	owner_sees("SELECT count(*) FROM dir.membership", "300");
	owner_sees("SELECT string_agg(external_id, ' ') FROM dir.person WHERE state <> 'active'",
		   "p-u0");
	owner_sees("SELECT generation FROM dir.source", "2");
	owner_sees("SELECT s.fetch_started_at < r.fetch_started_at FROM dir.source s, dir.sync_run "
		   "r WHERE r.state = 'refused'",
		   "t"); /* so the copy grows old */
}

static void test_empty_source(void **state)
{
	struct ran ran;

	(void)state;
	fresh();
	expect_sync("05:00", "ana ben", "ads=ana,ben", "applied");
	ran = again("05:10", "", "", false, NULL);
	expect_outcome(&ran, "refused");
	assert_true(has_brake(&ran, "empty_source"));
	json_decref(ran.value);
	expect_sync("05:10", "ana ben", "", "refused");
	owner_sees(MEMBERS, "ana@ads ben@ads");
}

static void test_group_in_use(void **state)
{
	struct ran ran;

	(void)state;
	fresh();
	expect_sync("05:00", "a b c d e f g h", "ads=a,b,c,d,e,f web=g,h free=a,b,c,d,e,f",
		    "applied");
	use_group("ads");
	use_group("web");
	ran = again("05:10", "a b c d e f g h", "ads=a,b web=g,h free=a", false, NULL);
	expect_outcome(&ran, "refused");
	assert_true(has_brake(&ran, "in_use_group_halved"));
	json_decref(ran.value);
	ran = again("05:10", "a b c d e f g h", "ads=a,b,c,d,e,f web free=a", false, NULL);
	assert_true(has_brake(&ran, "in_use_group_emptied"));
	json_decref(ran.value);
	ran = again("05:10", "a b c d e f g h", "ads=a,b,c,d,e,f free=a", false, NULL);
	assert_true(has_brake(&ran, "in_use_group_vanished"));
	json_decref(ran.value);
	expect_sync("05:10", "a b c d e f g h", "ads=a,b,c,d,e web=g,h free=a",
		    "applied"); /* ordinary, and nobody uses free */
	owner_sees("SELECT count(*) FROM dir.membership", "8");
}

/* Growth of a group in use: its additions wait, the rest goes through; two people may let them in.
 */
static void test_surge_is_held(void **state)
{
	char people[600], groups[600], list[600], sha[80];
	struct ran ran;

	(void)state;
	fresh();
	names(people, sizeof(people), ' ', 0, 30);
	names(list, sizeof(list), ',', 5, 20);
	snprintf(groups, sizeof(groups), "ads=u0,u1 staff=%.*s", (int)strlen(list) - 1, list);
	expect_sync("05:00", people, groups, "applied");
	use_group("ads");
	snprintf(groups, sizeof(groups), "ads=u0,u1+staff staff=%.*s,u29", (int)strlen(list) - 1,
		 list);
	ran = again("05:10", people, groups, false, NULL);
	expect_outcome(&ran, "applied"); /* u29 of staff */
	assert_true(has_brake(&ran, "in_use_group_surge"));
	assert_int_equal(jget_int(ran.value, "result.held", 0), 21);
	json_decref(ran.value);
	owner_sees("SELECT count(*) FROM dir.membership m JOIN dir.grp g USING (group_id) WHERE "
		   "name_key = 'ads'",
		   "2");
	ran = again("05:20", people, groups, false, NULL);
	expect_outcome(&ran, "unchanged");
	assert_true(has_brake(&ran, "in_use_group_surge"));
	snprintf(sha, sizeof(sha), "%s", jget_str_or(ran.value, "plan.sha256", ""));
	json_decref(ran.value);
	sync_by[0] = "u0@example.com";
	sync_by[1] = "u1@example.com";
	ran = again("05:30", people, groups, false, sha);
	sync_by[0] = "ana@example.com";
	sync_by[1] = "ben@example.com";
	expect_outcome(&ran, "applied");
	json_decref(ran.value);
	owner_sees("SELECT count(*) FROM dir.membership m JOIN dir.grp g USING (group_id) WHERE "
		   "name_key = 'ads'",
		   "23");
	owner_sees("SELECT array_to_string(override_by, ' ') FROM dir.sync_run WHERE override_by "
		   "IS NOT NULL",
		   "u0@example.com u1@example.com");
}

static void test_accepted_plan(void **state)
{
	char sha[80];
	struct buf yaml;
	struct ran ran;

	(void)state;
	fresh();
	expect_sync("05:00", "ana ben", "ads=ana,ben", "applied");
	ran = again("05:10", "ana ben", "", true, NULL);
	snprintf(sha, sizeof(sha), "%s", jget_str_or(ran.value, "plan.sha256", ""));
	json_decref(ran.value);
	snapshot(&yaml, "05:10", "ana ben", "");
	ran = sync_run(yaml.data, false, sha); /* a brake has not stopped it yet */
	assert_non_null(strstr(ran.msg, "was not stopped within the last hour"));
	ran = sync_run(yaml.data, false, NULL);
	expect_outcome(&ran, "refused");
	assert_string_equal(jget_str_or(ran.value, "plan.sha256", ""), sha);
	json_decref(ran.value);
	buf_finish(&yaml);
	snapshot(&yaml, "05:10", "ana", "");
	ran = sync_run(yaml.data, false, sha); /* another plan */
	assert_non_null(strstr(ran.msg, "not the accepted one"));
	buf_finish(&yaml);
	snapshot(&yaml, "05:10", "ana ben", "");
	sync_by[1] = "ANA@example.com"; /* the same person */
	ran = sync_run(yaml.data, false, sha);
	assert_non_null(strstr(ran.msg, "two active people of the directory"));
	sync_by[1] = "nobody@example.com";
	ran = sync_run(yaml.data, false, sha);
	assert_non_null(strstr(ran.msg, "two active people of the directory"));
	sync_by[1] = "ben@example.com";
	buf_finish(&yaml);
	ran = again("05:10", "ana ben", "", false, sha);
	expect_outcome(&ran, "applied");
	json_decref(ran.value);
	owner_sees(MEMBERS, "");
	expect_sync("05:20", "ana ben", "ads=ana,ben", "applied");
	snapshot(&yaml, "05:30", "ana ben", "");
	ran = sync_run(yaml.data, false, sha); /* the same plan again, and accepted once before */
	assert_non_null(strstr(ran.msg, "this plan was accepted already"));
	buf_finish(&yaml);
}

/* What the audit channel and the audit log are told, and not each time again. */
static void test_alarm(void **state)
{
	(void)state;
	fresh();
	expect_sync("05:00", "ana ben", "ads=ana,ben", "applied");
	owner_sees("SELECT count(*) FROM ops.message", "0");
	expect_sync("05:10", "ana ben", "", "refused");
	owner_sees("SELECT string_agg((body ->> 'event') || ' ' || channel || ' ' || (body #>> "
		   "'{brakes,0,name}'), '|') FROM ops.message",
		   "directory.refused C0AUDIT empty_source");
	expect_sync("05:10", "ana ben", "", "refused"); /* the same again is no news */
	owner_sees("SELECT count(*) FROM ops.message", "1");
	good("UPDATE dir.sync_run SET finished_at = finished_at - interval '5 hours'");
	expect_sync("05:10", "ana ben", "", "refused"); /* but it is not forgotten */
	owner_sees("SELECT count(*) FROM ops.message", "2");
	expect_sync("05:20", "ana ben", "ads=ana,ben", "unchanged");
	owner_sees("SELECT body ->> 'event' FROM ops.message ORDER BY id DESC LIMIT 1",
		   "directory.clear");
	expect_sync("05:30", "ana ben", "ads=ana,ben", "unchanged");
	owner_sees("SELECT count(*) FROM ops.message", "3");
	owner_sees("SELECT count(*) FILTER (WHERE event = 'directory.applied' AND outcome = "
		   "'success') || ' ' || count(*) FILTER (WHERE event = 'directory.refused' AND "
		   "outcome = 'failure') || ' ' || count(*) FROM ops.audit",
		   "1 3 4");
	expect_sync("05:40", "ana", "ads=ana", "applied");
	owner_sees(
		"SELECT body::json #>> '{facts,members_removed}' FROM ops.audit ORDER BY id DESC "
		"LIMIT 1",
		"1");
}

static void test_accepted_plan_ends_after_an_hour(void **state)
{
	struct buf yaml;
	char sha[80];
	struct ran ran;

	(void)state;
	fresh();
	expect_sync("05:00", "ana ben", "ads=ana,ben", "applied");
	ran = again("05:10", "ana ben", "", false, NULL);
	snprintf(sha, sizeof(sha), "%s", jget_str_or(ran.value, "plan.sha256", ""));
	json_decref(ran.value);
	good("UPDATE dir.sync_run SET finished_at = finished_at - interval '61 minutes'");
	snapshot(&yaml, "05:10", "ana ben", "");
	ran = sync_run(yaml.data, false, sha);
	buf_finish(&yaml);
	assert_non_null(strstr(ran.msg, "was not stopped within the last hour"));
}

/* The same address with another id is another person. */
static void test_moved_address(void **state)
{
	static const char *const moved =
		"format: dirsnap/1\ngenerated_at: 2026-11-25T05:10:00Z\npeople:\n"
		"  - { id: p-new, email: Ana@Example.com, name: new }\n"
		"  - { id: p-ben, email: ben@example.com, name: ben }\n"
		"groups: []\ncounts: { people: 2, groups: 0, members: 0 }\n";
	struct ran ran;

	(void)state;
	fresh();
	expect_sync("05:00", "ana ben", "", "applied");
	ran = sync_run(moved, false, NULL);
	expect_outcome(&ran, "applied");
	assert_true(
		has_line(&ran, "! address ana@example.com moves from p-ana to p-new: quarantine"));
	json_decref(ran.value);
	owner_sees(OWNER_OF("ana@example.com"), "p-ana");
	owner_sees("SELECT count(*) FROM dir.email_quarantine WHERE email_key = 'ana@example.com' "
		   "AND released_at IS NULL",
		   "1");
	ran = sync_run(moved, false, NULL);
	expect_outcome(&ran, "unchanged"); /* said once */
	json_decref(ran.value);
	good("UPDATE dir.email_quarantine SET released_by = 'dia', released_at = "
	     "clock_timestamp()");
	ran = sync_run(moved, false, NULL);
	expect_outcome(&ran, "applied");
	json_decref(ran.value);
	owner_sees(OWNER_OF("ana@example.com"), "p-new");
	expect_sync("05:20", "ana ben", "", "applied"); /* and back: held again */
	owner_sees("SELECT count(*) FROM dir.email_quarantine WHERE released_at IS NULL", "1");
}

static void test_addresses(void **state)
{
	static const char *const form =
		"format: dirsnap/1\ngenerated_at: 2026-11-25T05:%s:00Z\npeople:\n"
		"  - { id: p-ana, email: %s, aliases: [%s], name: ana }\n"
		"  - { id: p-out, email: out@elsewhere.example, name: out }\n"
		"  - { id: p-two, email: %s, name: two }\n"
		"groups: []\ncounts: { people: 3, groups: 0, members: 0 }\n";
	char yaml[800];
	struct ran ran;

	(void)state;
	fresh();
	snprintf(yaml, sizeof(yaml), form, "00", "ana@example.com", "a.ruiz@example.com",
		 "two@example.com");
	ran = sync_run(yaml, false, NULL);
	expect_outcome(&ran, "applied");
	json_decref(ran.value);
	owner_sees("SELECT string_agg(email_key || CASE WHEN is_primary THEN '!' ELSE '' END, ' ' "
		   "ORDER BY email_key)"
		   " FROM dir.person_email",
		   "a.ruiz@example.com ana@example.com! two@example.com!");
	snprintf(yaml, sizeof(yaml), form, "10", "a.ruiz@example.com", "ana@example.com",
		 "two@example.com");
	ran = sync_run(yaml, false, NULL); /* the two change places */
	expect_outcome(&ran, "applied");
	json_decref(ran.value);
	owner_sees("SELECT string_agg(email_key || CASE WHEN is_primary THEN '!' ELSE '' END, ' ' "
		   "ORDER BY email_key)"
		   " FROM dir.person_email",
		   "a.ruiz@example.com! ana@example.com two@example.com!");
	snprintf(yaml, sizeof(yaml), form, "20", "a.ruiz@example.com", "", "a.ruiz@example.com");
	ran = sync_run(yaml, false, NULL); /* listed for two: nobody's */
	expect_outcome(&ran, "applied");
	assert_true(has_line(
		&ran, "! address a.ruiz@example.com is listed for several people: nobody's"));
	assert_true(has_line(&ran, "- address ana@example.com of p-ana"));
	json_decref(ran.value);
	owner_sees("SELECT count(*) FROM dir.email_quarantine WHERE email_key = "
		   "'a.ruiz@example.com' AND released_at IS NULL",
		   "1");
}

/* The CHECK takes exactly the keys that email_key() makes. */
static void test_addresses_in_the_database(void **state)
{
	size_t n = 0;

	(void)state;
	fresh();
	expect_sync("05:00", "ana", "", "applied");
	good("DELETE FROM dir.person_email");
	for (size_t i = 0; i < sizeof(email_cases) / sizeof(email_cases[0]); i++) {
		const char *key = email_cases[i].key;
		const char *params[] = { key != NULL ? key : email_cases[i].text };
		struct db_statement statement = { .sql = "INSERT INTO dir.person_email SELECT $1, "
							 "person_id, false FROM dir.person",
						  .n = 1,
						  .params = params };
		struct seen seen = { 0 };

		db_start(world.db, &statement, 1, PATIENCE_MS, on_done, &seen);
		wait_for(&seen);
		assert_string_equal(seen.sqlstate, key != NULL ? "" : "23514");
		n += key != NULL;
	}
	assert_int_equal(n, 7);
}

static void test_old_and_stale_snapshots(void **state)
{
	(void)state;
	fresh();
	expect_sync("05:10", "ana ben", "ads=ana,ben", "applied");
	expect_sync("05:00", "ana", "ads=ana", "stale"); /* made before the applied one */
	owner_sees("SELECT string_agg(state, ' ' ORDER BY run_id) FROM dir.sync_run",
		   "applied stale");
	good("UPDATE dir.source SET fetch_started_at = clock_timestamp() + interval '1 minute'");
	expect_sync("05:20", "ana", "ads=ana", "stale"); /* fetched before it */
	owner_sees(MEMBERS, "ana@ads ben@ads");
}

static void test_busy(void **state)
{
	struct db_session *holder;

	(void)state;
	fresh();
	expect_sync("05:00", "ana", "", "applied");
	holder = aside();
	aside_run(holder, "BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('dirsync:company', "
			  "0))");
	expect_sync("05:10", "ana", "", "busy");
	aside_run(holder, "COMMIT");
	db_session_close(holder);
	expect_sync("05:10", "ana", "", "unchanged");
}

static void test_broken_file(void **state)
{
	struct ran ran;

	(void)state;
	fresh();
	ran = sync_run(
		"format: dirsnap/1\ngenerated_at: 2026-11-25T05:00:00Z\npeople: []\ngroups: []\n",
		false, NULL);
	expect_outcome(&ran, "failed");
	json_decref(ran.value);
	owner_sees("SELECT state || ' ' || error FROM dir.sync_run",
		   "failed directory.yaml:1:1: the closing counts are missing: i");
}

static void test_role_cannot_touch_grants(void **state)
{
	static const char *const refused[] = {
		"INSERT INTO authz.action (name, risk) VALUES ('x.y', 0)",
		"DELETE FROM authz.permit",
		"UPDATE authz.permit SET capability = 'approve'",
		"SELECT * FROM authz.permit",
		"DELETE FROM dir.membership_change",
		"UPDATE dir.membership_change SET op = '+'",
		"DELETE FROM dir.person",
		"UPDATE dir.email_quarantine SET released_by = 'me', released_at = now()",
		"SELECT * FROM ops.request",
	};
	struct db *owner;

	(void)state;
	fresh();
	owner = world.db;
	world.db = as_role("opsd_sync");
	{
		struct db *sync = world.db;

		for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
			struct seen seen = ask(refused[i]);

			assert_int_equal(seen.kind, ERR_INVALID);
			assert_true(strcmp(seen.sqlstate, "42501") == 0 ||
				    strcmp(seen.sqlstate, "42P01") == 0);
		}
		world.db = owner;
		db_destroy(sync);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_first_load_and_no_change),
		TEST(test_cycle_and_nesting),
		TEST(test_suspension_acts_at_once),
		TEST(test_half_a_directory),
		TEST(test_empty_source),
		TEST(test_group_in_use),
		TEST(test_surge_is_held),
		TEST(test_accepted_plan),
		TEST(test_alarm),
		TEST(test_accepted_plan_ends_after_an_hour),
		TEST(test_moved_address),
		TEST(test_addresses),
		TEST(test_addresses_in_the_database),
		TEST(test_old_and_stale_snapshots),
		TEST(test_busy),
		TEST(test_broken_file),
		TEST(test_role_cannot_touch_grants),
	};

	return world_main(tests, sizeof(tests) / sizeof(tests[0]));
}
