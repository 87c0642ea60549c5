/* SPDX-License-Identifier: Apache-2.0 */
/* grants: the file to rows, and every mistake at its place. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/err.h"
#include "base/xalloc.h"
#include "core/grants.h"

static const char actions_text[] =
	"[{\"name\":\"config.set\",\"risk\":1,\"scope\":[{\"name\":\"team\",\"type\":\"enum\"}]},"
	"{\"name\":\"datasets.read\",\"risk\":0,\"scope\":[]},"
	"{\"name\":\"workers.drop\",\"risk\":2,\"scope\":[{\"name\":\"team\",\"type\":\"enum\"}]},"
	"{\"name\":\"workers.scale\",\"risk\":1,\"scope\":[{\"name\":\"team\",\"type\":\"enum\"},"
	"{\"name\":\"count\",\"type\":\"int\"}]},"
	"{\"name\":\"workers.status\",\"risk\":0,\"scope\":[{\"name\":\"team\",\"type\":\"enum\"}]}"
	"]";

/* The rows as canonical text, or the first mistake. */
static char *parse(const char *text)
{
	struct err err;
	json_t *actions =
		json_parse(actions_text, strlen(actions_text), sizeof(actions_text), &err);
	struct diags diags;
	json_t *rows;
	char *result;

	diags_init(&diags);
	rows = grants_parse("g.yaml", text, strlen(text), actions, &diags);
	assert_int_equal(rows == NULL, diags.n > 0);
	result = rows != NULL ? json_canonical(rows) : xstrdup(diag_text(&diags.items[0]));
	json_decref(rows);
	json_decref(actions);
	diags_finish(&diags);
	return result;
}

static void expect_all(const char *text, const char *result)
{
	char *got = parse(text);

	assert_string_equal(got, result);
	free(got);
}

/* One grant; result is a part of what comes out. */
static void expect(const char *grant, const char *part)
{
	char *text = xasprintf("groups: { ads: { name: team-ads, id: g1 } }\ngrants:\n  - { %s }\n",
			       grant);
	char *got = parse(text);

	if (strstr(got, part) == NULL)
		assert_string_equal(got, part);
	free(got);
	free(text);
}

static void test_rows(void **state)
{
	(void)state;
	expect_all("grants:\n"
		   "  - key: b\n"
		   "    who: group:team-ads\n"
		   "    can: request\n"
		   "    action: workers.scale\n"
		   "    where: { team: [web, ads, web], count: 0..50 }\n"
		   "  - { key: a, who: \"person:Ana@example.com\", can: approve, action: "
		   "datasets.read, from: 2026-11-01,\n"
		   "      until: 2026-12-01T18:00:00Z, reason: on call }\n",
		   "[{\"action\":\"datasets.read\",\"can\":\"approve\",\"effect\":\"allow\","
		   "\"from\":\"2026-11-01\",\"key\":\"a\","
		   "\"person\":\"ana@example.com\",\"reason\":\"on "
		   "call\",\"scope\":{},\"until\":\"2026-12-01T18:00:00Z\"},"
		   "{\"action\":\"workers.scale\",\"can\":\"request\",\"effect\":\"allow\","
		   "\"group\":\"team-ads\",\"key\":\"b\","
		   "\"reason\":\"\",\"scope\":{\"count\":{\"max\":50,\"min\":0},\"team\":{"
		   "\"values\":[\"ads\",\"web\"]}}}]");
	expect_all("grants: []", "[]");
}

static void test_groups(void **state)
{
	(void)state;
	expect("key: k, who: \"group:ads\", can: request, action: datasets.read",
	       "\"group\":\"team-ads\",\"group_id\":\"g1\"");
	expect("key: k, who: \"group:other\", can: request, action: datasets.read",
	       "\"group\":\"other\"");
	expect("key: k, who: \"group-id:G 7\", can: request, action: datasets.read",
	       "\"group_id\":\"G 7\"");
}

static void test_demands(void **state)
{
	(void)state;
	expect_all("actions: { workers.scale: { approvals: 6 } }\ngrants: []",
		   "g.yaml:1:40: approvals is a number from 0 to 5, not \"\"");
	expect_all("actions: { workers.scal: { approvals: 1 } }\ngrants: []",
		   "g.yaml:1:26: no command has the action \"workers.scal\"");
	expect_all("actions: { workers.scale: { third_starts: maybe } }\ngrants: []",
		   "g.yaml:1:43: third_starts is true or false, not \"maybe\"");
	expect_all("actions: { workers.scale: { apart_from: workers.scale } }\ngrants: []",
		   "g.yaml:1:41: no command has another action \"workers.scale\"");
	expect_all("actions: { workers.scale: { third: true } }\ngrants: []",
		   "g.yaml:1:27: unknown member \"third\"");
	expect_all("actions: { workers.scale: { approvals: 2, third_starts: true, apart_from: "
		   "datasets.read } }\ngrants: []",
		   "[]");
	expect("key: k, who: \"group:ads\", can: request, action: datasets.read",
	       "\"group_id\":\"g1\"");
}

static void test_several_rows(void **state)
{
	static const char grant[] = "key: k, who: \"group:ads\", can: [request, approve], action: "
				    "[config.set, datasets.read], "
				    "where: { team: any }";

	(void)state;
	/* datasets.read has no team: a constraint that is dropped would widen the grant */
	expect(grant,
	       "g.yaml:3:5: datasets.read has no scope \"team\": name its actions one by one");
	expect("key: k, who: \"group:ads\", can: [request, approve], action: [config.set, "
	       "workers.status], where: { team: any }",
	       "\"key\":\"k:config.set:approve\"");
	expect("key: k, who: \"group:ads\", can: [request, approve], action: [config.set, "
	       "workers.status], where: { team: any }",
	       "\"key\":\"k:workers.status:request\"");
	expect("key: k, who: \"group:ads\", can: request, action: config.set, where: { team: any }",
	       "\"scope\":{\"team\":{\"any\":true}}");
}

static void test_wildcards(void **state)
{
	char *got;

	(void)state;
	got = parse("grants:\n  - { key: k, who: \"group:a\", can: request, action: workers.*, "
		    "where: { team: any } }\n");
	assert_non_null(
		strstr(got, "workers.scale needs where: { count: … }; write any for no limit"));
	free(got);
	got = parse("grants:\n  - { key: k, who: \"group:a\", effect: forbid, can: request, "
		    "action: workers.* }\n");
	assert_non_null(strstr(got, "k:workers.scale:request"));
	assert_non_null(strstr(got, "k:workers.status:request"));
	assert_null(strstr(got, "workers.drop")); /* risk 2 is never meant by a wildcard */
	free(got);
	expect("key: k, who: \"group:a\", can: request, action: \"*\"",
	       "no command has the action \"*\"");
	expect("key: k, who: \"group:a\", can: request, action: \"*.*\"",
	       "no command has the action \"*.*\"");
	expect("key: k, who: \"group:a\", can: request, action: \"work*.scale\"",
	       "no command has the action");
	expect("key: k, who: \"group:a\", can: request, action: \"nothing.*\"",
	       "no action of risk 0 or 1 is meant by \"nothing.*\"");
}

static void test_ranges(void **state)
{
	(void)state;
	expect("key: k, who: \"group:a\", can: request, action: workers.scale, where: { team: a, "
	       "count: 7 }",
	       "\"count\":{\"max\":7,\"min\":7}");
	expect("key: k, who: \"group:a\", can: request, action: workers.scale, where: { team: a, "
	       "count: 5.. }",
	       "\"count\":{\"min\":5}");
	expect("key: k, who: \"group:a\", can: request, action: workers.scale, where: { team: a, "
	       "count: ..-5 }",
	       "\"count\":{\"max\":-5}");
	expect("key: k, who: \"group:a\", can: request, action: workers.scale, where: { team: a, "
	       "count: 9..5 }",
	       "a number, a range such as 0..50, or any: \"9..5\"");
	expect("key: k, who: \"group:a\", can: request, action: workers.scale, where: { team: a, "
	       "count: .. }",
	       "a number, a range");
	expect("key: k, who: \"group:a\", can: request, action: workers.scale, where: { team: [], "
	       "count: any }",
	       "a text, a list of texts, or any");
	expect("key: k, who: \"group:a\", can: request, action: workers.scale, where: { team: [a, "
	       "3], count: any }",
	       "a text, a list of texts, or any");
}

static void test_mistakes(void **state)
{
	(void)state;
	expect("key: K!, who: \"group:a\", can: request, action: datasets.read",
	       "g.yaml:3:12: a key is made of");
	expect("key: k, who: ana, can: request, action: datasets.read",
	       "who is group:NAME, group-id:ID or person:ADDRESS, not \"ana\"");
	expect("key: k, who: \"person:ana\", can: request, action: datasets.read",
	       "not an e-mail address: \"ana\"");
	expect("key: k, who: \"group:a\", can: aprove, action: datasets.read",
	       "not \"aprove\", did you mean \"approve\"");
	expect("key: k, who: \"group:a\", can: request, action: datasets.raed",
	       "\"datasets.raed\", did you mean \"datasets.read\"");
	expect("key: k, who: \"group:a\", can: request", "no command has the action \"\"");
	expect("key: k, who: \"group:a\", action: datasets.read",
	       "one can request, approve or execute, not \"\"");
	expect("key: k, who: \"group:a\", can: request, action: datasets.read, wehre: {}",
	       "did you mean \"where\"");
	expect("key: k, who: \"group:a\", can: request, action: datasets.read, until: tomorrow",
	       "a time is 2026-12-31");
	expect("key: k, who: \"group:a\", can: request, action: config.set",
	       "config.set needs where: { team: … }");
	expect("key: k, who: \"group:a\", can: request, action: datasets.read }\n  - { key: k, "
	       "who: \"group:b\", can: request, action: datasets.read",
	       "g.yaml:4:5: two grants have the key \"k\"");
	expect("key: k, effect: maybe, who: \"group:a\", can: request, action: datasets.read",
	       "an effect is allow or forbid");
	expect_all("groups: { a: 3 }\ngrants: []\n",
		   "g.yaml:1:14: a group is { name: …, id: … }, here \"a\"");
	expect_all("[]", "g.yaml:1:1: the file has a list grants (and may have groups)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),      cmocka_unit_test(test_groups),
		cmocka_unit_test(test_demands),   cmocka_unit_test(test_several_rows),
		cmocka_unit_test(test_wildcards), cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_mistakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
