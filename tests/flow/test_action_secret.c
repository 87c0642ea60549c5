/* SPDX-License-Identifier: Apache-2.0 */
/* A key of a Secret: set without reading one, and its value in no plan, outcome, sentence or
 * record. */
#include "kube_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define VALUE "hunter2-\xc3\xa9?>"
#define WITH                                                                                       \
	"{\"cluster\":\"main\",\"namespace\":\"ads\",\"name\":\"broker\",\"key\":\"password\","    \
	"\"value\":\"" VALUE "\"}"
#define CODED "aHVudGVyMi3DqT8+" /* of VALUE, by RFC 4648 */

static void open_secret(struct world *world)
{
	world_open(world);
	world_do(world, "create",
		 "{\"object\":{\"kind\":\"Secret\",\"metadata\":{\"namespace\":\"ads\",\"name\":"
		 "\"broker\"},\"data\":{\"password\":\"b2xk\",\"user\":\"YWRz\"}}}");
}

static void assert_no_value(const json_t *value)
{
	char *all = json_text(value);

	assert_null(strstr(all, "hunter2"));
	assert_null(strstr(all, "aHVudGVy"));
	assert_null(strstr(all, "b2xk")); /* nor what was there */
	free(all);
}

static void assert_data(struct world *world, const char *key, const char *want)
{
	json_t *answer = world_control(world, "object",
				       "{\"kind\":\"Secret\",\"ns\":\"ads\",\"name\":\"broker\"}");
	const char *is = json_string_value(json_object_get(jget(answer, "object.data"), key));

	assert_string_equal(is, want);
	json_decref(answer);
}

static void test_set(void **state)
{
	const struct action_kind *kind = world_kind("kube.secret");
	struct world world;
	struct end plan, end;

	(void)state;
	open_secret(&world);
	plan = world_act(&world, kind, ACT_PLAN, WITH, NULL);
	assert_good(plan);
	assert_no_value(plan.result);
	assert_string_equal(jget_str(json_array_get(jget(plan.result, "changes"), 0), "from"),
			    "(a secret)");
	assert_string_equal(jget_str(plan.result, "target.key"), "password");
	assert_data(&world, "password", "b2xk"); /* a dry run changes nothing */
	end = world_act(&world, kind, ACT_LOOK, WITH, plan.result);
	assert_string_equal(jget_str(end.result, "state"), "not_done");
	end_free(&end);
	/* its answer is lost */
	world_do(&world, "fault", "{\"mode\":\"close_after\",\"verb\":\"patch\",\"times\":1}");
	end = world_act(&world, kind, ACT_APPLY, WITH, plan.result);
	assert_kind(end, ERR_UNCERTAIN);
	assert_null(strstr(end.err.msg, "hunter2"));
	end_free(&end);
	end = world_act(&world, kind, ACT_LOOK, WITH, plan.result);
	assert_string_equal(jget_str(end.result, "state"), "done");
	end_free(&end);
	end = world_act(&world, kind, ACT_APPLY, WITH, plan.result); /* once more: the same */
	assert_good(end);
	assert_no_value(end.result);
	end_free(&end);
	assert_data(&world, "password", CODED);
	assert_data(&world, "user", "YWRz");
	/* the verb patch was enough: no Secret was read */
	assert_int_equal(world_count(&world, "get", "secrets"), 0);
	assert_int_equal(world_count(&world, "list", "secrets"), 0);
	assert_null(kind->revert);
	end_free(&plan);
	world_close(&world);
}

static void test_only_as_planned(void **state)
{
	const struct action_kind *kind = world_kind("kube.secret");
	struct world world;
	struct end plan, end;

	(void)state;
	open_secret(&world);
	plan = world_act(&world, kind, ACT_PLAN, WITH, NULL);
	assert_good(plan);
	/* another key moves only the version */
	world_do(&world, "set",
		 "{\"kind\":\"Secret\",\"ns\":\"ads\",\"name\":\"broker\",\"manager\":\"other\","
		 "\"data\":{\"more\":\"eA==\"}}");
	end = world_act(&world, kind, ACT_APPLY, WITH, plan.result);
	assert_good(end);
	end_free(&end);
	end_free(&plan);
	assert_data(&world, "password", CODED);
	/* this key: it is theirs */
	plan = world_act(&world, kind, ACT_PLAN, WITH, NULL);
	world_do(&world, "set",
		 "{\"kind\":\"Secret\",\"ns\":\"ads\",\"name\":\"broker\",\"manager\":\"rotator\","
		 "\"data\":{\"password\":\"bmV3ZXI=\"},\"patch\":{\"metadata\":{\"annotations\":{"
		 "\"opsd/last-request\":null}}}}");
	end = world_act(&world, kind, ACT_APPLY, WITH, plan.result);
	assert_kind(end, ERR_INVALID);
	assert_says(end, "was changed by somebody else meanwhile");
	end_free(&end);
	assert_data(&world, "password", "bmV3ZXI=");
	end_free(&plan);
	world_close(&world);
}

/* What the look says of a change whose outcome is that; the state, and its sentence in says. */
static const char *followed(struct world *world, const json_t *plan, const json_t *outcome,
			    char says[200])
{
	static char state[20];
	json_t *with = json_loads(WITH, 0, NULL);
	struct end end;
	char *text;

	json_object_set(with, "test_since", (json_t *)(uintptr_t)outcome);
	text = json_text(with);
	end = world_act(world, world_kind("kube.secret"), ACT_FOLLOW, text, plan);
	assert_good(end);
	assert_no_value(end.result);
	assert_true(jget_int(end.result, "again_ms", 0) > 0);
	(void)snprintf(state, sizeof(state), "%s", jget_str_or(end.result, "state", "?"));
	(void)snprintf(says, 200, "%s", jget_str_or(end.result, "says", "?"));
	end_free(&end);
	free(text);
	json_decref(with);
	return state;
}

/* Set and unset behind our back: it stays ours until the record of who wrote it says otherwise. */
static void test_followed(void **state)
{
	const struct action_kind *kind = world_kind("kube.secret");
	struct world world;
	struct end plan, end;
	char says[200];

	(void)state;
	open_secret(&world);
	plan = world_act(&world, kind, ACT_PLAN, WITH, NULL);
	end = world_act(&world, kind, ACT_APPLY, WITH, plan.result);
	assert_good(end);
	assert_string_equal(followed(&world, plan.result, end.result, says), "done");
	/* another key is nobody's matter */
	world_do(&world, "set",
		 "{\"kind\":\"Secret\",\"ns\":\"ads\",\"name\":\"broker\",\"manager\":\"other\","
		 "\"data\":{\"more\":\"eA==\"}}");
	assert_string_equal(followed(&world, plan.result, end.result, says), "done");
	world_do(&world, "set",
		 "{\"kind\":\"Secret\",\"ns\":\"ads\",\"name\":\"broker\",\"manager\":\"rotator\","
		 "\"data\":{\"password\":\"bmV3ZXI=\"}}");
	assert_string_equal(followed(&world, plan.result, end.result, says), "undone");
	assert_non_null(strstr(says, "password was written again: by rotator at "));
	world_do(&world, "set",
		 "{\"kind\":\"Secret\",\"ns\":\"ads\",\"name\":\"broker\",\"patch\":{\"metadata\":{"
		 "\"annotations\":{\"opsd/last-request\":\"R1KH2M8Q4ZT7WX0B\"}}}}");
	assert_string_equal(followed(&world, plan.result, end.result, says), "superseded");
	assert_string_equal(says, "request R1KH2M8Q4ZT7WX0B changed it since");
	world_do(&world, "delete", "{\"kind\":\"Secret\",\"ns\":\"ads\",\"name\":\"broker\"}");
	assert_string_equal(followed(&world, plan.result, end.result, says), "undone");
	assert_string_equal(says, "the Secret does not exist any more");
	assert_int_equal(world_count(&world, "get", "secrets"), 0);
	end_free(&end);
	end_free(&plan);
	world_close(&world);
}

static void test_refusals(void **state)
{
	static const struct {
		const char *with, *says;
	} rows[] = {
		{ "{\"cluster\":\"main\",\"namespace\":\"ads\",\"name\":\"broker\",\"key\":\"a/b\","
		  "\"value\":\"x\"}",
		  "cannot be a key" },
		{ "{\"cluster\":\"main\",\"namespace\":\"ads\",\"name\":\"broker\",\"key\":\"a\","
		  "\"value\":\"\"}",
		  "a value is needed" },
		{ "{\"cluster\":\"main\",\"namespace\":\"ads\",\"name\":\"brokr\",\"key\":\"a\","
		  "\"value\":\"x\"}",
		  "Secret ads/brokr does not exist" },
	};
	const struct action_kind *kind = world_kind("kube.secret");
	struct world world;
	struct end end;

	(void)state;
	open_secret(&world);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		end = world_act(&world, kind, ACT_PLAN, rows[i].with, NULL);
		assert_true(end.failed);
		assert_says(end, rows[i].says);
		end_free(&end);
	}
	/* a refusal of the cluster speaks of the object, and never echoes it */
	world_do(&world, "set",
		 "{\"kind\":\"Secret\",\"ns\":\"ads\",\"name\":\"broker\",\"patch\":{\"immutable\":"
		 "true}}");
	end = world_act(&world, kind, ACT_PLAN, WITH, NULL);
	assert_true(end.failed);
	assert_null(strstr(end.err.msg, "hunter2"));
	assert_null(strstr(end.err.msg, "aHVudGVy"));
	assert_null(strstr(end.err.msg, "b2xk"));
	end_free(&end);
	world_do(&world, "rbac", "{\"deny\":[{\"resource\":\"secrets\",\"verb\":\"patch\"}]}");
	end = world_act(&world, kind, ACT_PLAN, WITH, NULL);
	assert_kind(end, ERR_DENIED);
	assert_says(end, "opsd may not patch secrets");
	end_free(&end);
	world_close(&world);
}

static void test_checked(void **state)
{
	static const struct {
		const char *value, *says; /* NULL: it is taken */
	} rows[] = { { "{password}", NULL }, { "hunter2", "what stands in a declaration" } };
	const struct action_kind *kind = world_kind("kube.secret");

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		json_t *with =
			json_pack("{s:s, s:s, s:s, s:s, s:s}", "cluster", "main", "namespace",
				  "ads", "name", "broker", "key", "k", "value", rows[i].value);
		const char *param = NULL;
		struct err err;

		assert_true(kind->check(with, NULL, &param, &err) == (rows[i].says == NULL));
		if (rows[i].says != NULL)
			assert_non_null(strstr(err.msg, rows[i].says));
		json_decref(with);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),      cmocka_unit_test(test_only_as_planned),
		cmocka_unit_test(test_followed), cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_checked),
	};
	int failed;

	http_library_init();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	http_library_finish();
	return failed;
}
