/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of a ConfigMap: shown, set only as planned, and with the restart that they need. */
#include "kube_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SETTING(key, value)                                                                        \
	"{\"cluster\":\"main\",\"namespace\":\"ads\",\"name\":\"settings\",\"key\":\"" key         \
	"\",\"value\":\"" value "\"}"

/* The plan as text holds… */
static void assert_holds(const struct end *end, const char *text)
{
	char *all = json_text(end->result);

	if (strstr(all, text) == NULL)
		fail_msg("\"%s\" is not in %s", text, all);
	free(all);
}

static char *setting_now(struct world *world, const char *key)
{
	json_t *answer = world_control(
		world, "object", "{\"kind\":\"ConfigMap\",\"ns\":\"ads\",\"name\":\"settings\"}");
	const char *text = json_string_value(json_object_get(jget(answer, "object.data"), key));
	char *own = text == NULL ? NULL : strdup(text);

	json_decref(answer);
	return own;
}

static void test_config(void **state)
{
	const struct action_kind *kind = world_kind("kube.config");
	struct world world;
	struct end plan, end;
	char *now;

	(void)state;
	world_open(&world);
	plan = world_act(&world, kind, ACT_PLAN, SETTING("LOG_LEVEL", "debug"), NULL);
	assert_good(plan);
	assert_holds(&plan, "[{\"field\":\"LOG_LEVEL\",\"from\":\"info\",\"to\":\"debug\"}]");
	assert_string_equal(jget_str(plan.result, "target.key"), "LOG_LEVEL");
	world_do(&world, "fault", "{\"mode\":\"close_after\",\"verb\":\"patch\",\"times\":1}");
	end = world_act(&world, kind, ACT_APPLY, SETTING("LOG_LEVEL", "debug"), plan.result);
	assert_kind(end, ERR_UNCERTAIN);
	end_free(&end);
	end = world_act(&world, kind, ACT_LOOK, SETTING("LOG_LEVEL", "debug"), plan.result);
	assert_string_equal(jget_str(end.result, "state"), "done");
	end_free(&end);
	end = world_act(&world, kind, ACT_APPLY, SETTING("LOG_LEVEL", "debug"), plan.result);
	assert_good(end);
	end_free(&end);
	now = setting_now(&world, "LOG_LEVEL");
	assert_string_equal(now, "debug");
	free(now);
	end_free(&plan);
	/* a new key, beside the others */
	plan = world_act(&world, kind, ACT_PLAN, SETTING("LOG_LEVEI", "x"), NULL);
	assert_holds(&plan, "did you mean LOG_LEVEL?");
	end_free(&plan);
	plan = world_act(&world, kind, ACT_PLAN, SETTING("ZONE", "b"), NULL);
	world_do(&world, "set",
		 "{\"kind\":\"ConfigMap\",\"ns\":\"ads\",\"name\":\"settings\",\"data\":{\"ZONE\":"
		 "\"a\"},\"patch\":{\"metadata\":{\"annotations\":{\"opsd/last-request\":null}}}}");
	end = world_act(&world, kind, ACT_APPLY, SETTING("ZONE", "b"), plan.result);
	assert_kind(end, ERR_INVALID);
	assert_says(end, "ZONE is now \"a\" (was absent)");
	end_free(&end);
	end_free(&plan);
	now = setting_now(&world, "BATCH_SIZE");
	assert_string_equal(now, "500");
	free(now);
	world_close(&world);
}

#define RESTARTING                                                                                 \
	"{\"cluster\":\"main\",\"namespace\":\"ads\",\"name\":\"settings\",\"key\":\"LOG_LEVEL\"," \
	"\"value\":"                                                                               \
	"\"debug\",\"restart\":\"workers-dev\"}"

static char *restarted_at(struct world *world)
{
	json_t *answer =
		world_control(world, "object",
			      "{\"kind\":\"Deployment\",\"ns\":\"ads\",\"name\":\"workers-dev\"}");
	const char *at = json_string_value(
		json_object_get(jget(answer, "object.spec.template.metadata.annotations"),
				"kubectl.kubernetes.io/restartedAt"));
	char *own = at == NULL ? NULL : strdup(at);

	json_decref(answer);
	return own;
}

/* The setting and the restart that it needs: both, whatever is lost in between. */
static void test_config_restarts(void **state)
{
	const struct action_kind *kind = world_kind("kube.config");

	(void)state;
	for (int lost = 0; lost < 3; lost++) { /* no answer, the first, the second */
		struct world world;
		struct end plan, end;
		char *now, *at;

		world_open(&world);
		plan = world_act(&world, kind, ACT_PLAN, RESTARTING, NULL);
		assert_good(plan);
		assert_holds(
			&plan,
			"{\"field\":\"restart of Deployment workers-dev\",\"from\":null,\"to\":"
			"\"now\"}");
		if (lost > 0)
			world_do(&world, "fault",
				 "{\"mode\":\"close_after\",\"verb\":\"patch\",\"times\":1,"
				 "\"skip\":%d}",
				 lost - 1);
		end = world_act(&world, kind, ACT_APPLY, RESTARTING, plan.result);
		if (lost > 0) {
			assert_kind(end, ERR_UNCERTAIN);
			end_free(&end);
			end = world_act(&world, kind, ACT_LOOK, RESTARTING, plan.result);
			assert_good(end);
			assert_string_equal(jget_str(end.result, "state"),
					    lost == 1 ? "not_done" : "done");
			end_free(&end);
			end = world_act(&world, kind, ACT_APPLY, RESTARTING, plan.result);
		}
		assert_good(end);
		assert_holds(&end, "LOG_LEVEL info → debug");
		assert_holds(&end, "Deployment workers-dev restarted");
		now = setting_now(&world, "LOG_LEVEL");
		assert_string_equal(now, "debug");
		free(now);
		at = restarted_at(&world);
		assert_string_equal(at, jget_str(plan.result, "restart.precondition.to"));
		free(at);
		end_free(&end);
		end_free(&plan);
		world_close(&world);
	}
}

/* The setting is set and stays so; what could not be restarted is said. */
static void test_config_restart_refused(void **state)
{
	const struct action_kind *kind = world_kind("kube.config");
	struct world world;
	struct end plan, end;

	(void)state;
	world_open(&world);
	plan = world_act(&world, kind, ACT_PLAN, RESTARTING, NULL);
	assert_good(plan);
	world_do(&world, "delete",
		 "{\"kind\":\"Deployment\",\"ns\":\"ads\",\"name\":\"workers-dev\"}");
	end = world_act(&world, kind, ACT_APPLY, RESTARTING, plan.result);
	assert_good(end);
	assert_holds(&end, "Deployment workers-dev was not restarted: ");
	end_free(&end);
	end_free(&plan);
	/* known beforehand, it is refused as a whole */
	plan = world_act(
		&world, kind, ACT_PLAN,
		"{\"cluster\":\"main\",\"namespace\":\"ads\",\"name\":\"settings\",\"key\":"
		"\"LOG_LEVEL\",\"value\":\"warn\",\"restart\":\"workers-prodd\"}",
		NULL);
	assert_true(plan.failed);
	assert_says(plan, "did you mean workers-prod?");
	world_close(&world);
}

static void test_config_refusals(void **state)
{
	const struct action_kind *kind = world_kind("kube.config");
	struct world world;
	struct end end;

	(void)state;
	world_open(&world);
	world_do(&world, "create",
		 "{\"object\":{\"kind\":\"ConfigMap\",\"metadata\":{\"namespace\":\"ads\",\"name\":"
		 "\"frozen\"},\"immutable\":true,\"data\":{\"A\":\"1\"}}}");
	world_do(&world, "create",
		 "{\"object\":{\"kind\":\"ConfigMap\",\"metadata\":{\"namespace\":\"ads\",\"name\":"
		 "\"files\"},\"data\":{\"app.ini\":\"a=1\\nb=2\\n\"},\"binaryData\":{\"logo\":"
		 "\"AAAA\"}}}");
	end = world_act(&world, kind, ACT_PLAN,
			"{\"cluster\":\"main\",\"namespace\":\"ads\",\"name\":\"frozen\",\"key\":"
			"\"A\",\"value\":\"2\"}",
			NULL);
	assert_kind(end, ERR_INVALID);
	assert_says(end, "immutable");
	end = world_act(&world, kind, ACT_PLAN,
			"{\"cluster\":\"main\",\"namespace\":\"ads\",\"name\":\"files\",\"key\":"
			"\"app.ini\",\"value\":\"2\"}",
			NULL);
	assert_says(end, "several lines");
	end = world_act(&world, kind, ACT_PLAN,
			"{\"cluster\":\"main\",\"namespace\":\"ads\",\"name\":\"files\",\"key\":"
			"\"logo\",\"value\":\"2\"}",
			NULL);
	assert_says(end, "binary");
	end = world_act(&world, kind, ACT_PLAN, SETTING("LOG LEVEL", "x"), NULL);
	assert_says(end, "cannot be a key");
	end = world_act(&world, kind, ACT_PLAN, SETTING("LOG_LEVEL", "a\\nb"), NULL);
	assert_says(end, "several lines");
	end = world_act(&world, kind, ACT_PLAN,
			"{\"cluster\":\"main\",\"namespace\":\"ads\",\"name\":\"setings\",\"key\":"
			"\"A\",\"value\":\"2\"}",
			NULL);
	assert_says(end, "did you mean settings?");
	/* shown: one line each, nothing binary */
	end = world_act(&world, kind, ACT_APPLY,
			"{\"cluster\":\"main\",\"namespace\":\"ads\",\"name\":\"files\"}", NULL);
	assert_good(end);
	assert_holds(&end, "[\"app.ini\",\"a=1 … (8 bytes)\"]");
	assert_holds(&end, "[\"logo\",\"(binary data)\"]");
	end_free(&end);
	end = world_act(&world, kind, ACT_APPLY,
			"{\"cluster\":\"main\",\"namespace\":\"ads\",\"name\":\"settings\",\"key\":"
			"\"BATCH_SIZE\"}",
			NULL);
	assert_holds(&end, "[[\"BATCH_SIZE\",\"500\"]]");
	end_free(&end);
	world_close(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_config_restarts),
		cmocka_unit_test(test_config_restart_refused),
		cmocka_unit_test(test_config_refusals),
	};
	int failed;

	http_library_init();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	http_library_finish();
	return failed;
}
