/* SPDX-License-Identifier: Apache-2.0 */
/* The way back of each kind that has one: what is still ours goes back, what is back already is
 * left alone, and what somebody else has set since is theirs until a person says otherwise. */
#include "kube_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define LATER "R1KH2M8Q4ZT7WX0B" /* the id of the request that sets it back */

struct row {
	const char *kind, *object, *name;
	const char *with, *field; /* of the object, read with jget */
	const char *before, *written;
	const char *others; /* a merge patch by somebody else */
	const char *says;
};

static const struct row rows[] = {
	{ "kube.scale", "Deployment", "workers-dev", "\"replicas\":5", "spec|replicas", "2", "5",
	  "{\"spec\":{\"replicas\":9}}", "replicas is now 9, not 5 as this change left it" },
	{ "kube.config", "ConfigMap", "settings", "\"key\":\"LOG_LEVEL\",\"value\":\"debug\"",
	  "data|LOG_LEVEL", "\"info\"", "\"debug\"", "{\"data\":{\"LOG_LEVEL\":\"warn\"}}",
	  "LOG_LEVEL is now \"warn\", not \"debug\"" },
	{ "kube.config", "ConfigMap", "settings", "\"key\":\"ZONE\",\"value\":\"b\"", "data|ZONE",
	  "null", "\"b\"", "{\"data\":{\"ZONE\":\"c\"}}", "ZONE is now \"c\", not \"b\"" },
	{ "kube.cronjob", "CronJob", "compaction", "\"suspend\":true", "spec|suspend", "null",
	  "true", NULL, NULL },
	{ "kube.set", "Deployment", "workers-dev",
	  "\"image\":\"registry.example.com/worker:1.5.0\"",
	  "spec|template|spec|containers|0|image", "\"registry.example.com/worker:1.4.2\"",
	  "\"registry.example.com/worker:1.5.0\"",
	  "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"worker\",\"image\":"
	  "\"other:1\"}"
	  "]}}}}",
	  "image is now image \"other:1\", not image \"registry.example.com/worker:1.5.0\"" },
	{ "kube.set", "Deployment", "workers-dev", "\"env\":{\"QUEUE\":\"b\"}",
	  "spec|template|spec|containers|0|env|0|value", "null", "\"b\"",
	  "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"worker\",\"image\":"
	  "\"registry.example.com/"
	  "worker:1.4.2\",\"env\":[{\"name\":\"QUEUE\",\"value\":\"c\"}]}]}}}}",
	  "env QUEUE is now env QUEUE \"c\", not env QUEUE \"b\"" },
	{ "kube.set", "Deployment", "workers-dev", "\"requests\":{\"memory\":\"1024Mi\"}",
	  "spec|template|spec|containers|0|resources|requests|memory", "\"512Mi\"", "\"1Gi\"", NULL,
	  NULL },
	{ "kube.patch", "Deployment", "workers-dev",
	  "\"kind\":\"Deployment\",\"allow\":[\"/spec/minReadySeconds\"],\"path\":"
	  "\"/spec/minReadySeconds\",\"value\":30",
	  "spec|minReadySeconds", "null", "30", "{\"spec\":{\"minReadySeconds\":5}}",
	  "/spec/minReadySeconds is now 5, not 30" },
	{ "kube.keda", "ScaledObject", "workers-dev", "\"pause\":true,\"replicas\":3",
	  "metadata|annotations|autoscaling.keda.sh/paused-replicas", "null", "\"3\"", NULL, NULL },
	{ "kube.cordon", "Node", "node-1", "\"cordon\":true", "spec|unschedulable", "null", "true",
	  NULL, NULL },
	{ "kube.autoscale", "HorizontalPodAutoscaler", "workers-dev", "\"min\":4,\"max\":20",
	  "spec|maxReplicas", "10", "20", "{\"spec\":{\"maxReplicas\":30}}",
	  "min is now min 4, max 30, not min 4, max 20" },
};

/* "spec|containers|0|image": names hold slashes and dots; a number is a place in a list. */
static const json_t *at(const json_t *node, const char *path)
{
	while (node != NULL && *path != '\0') {
		size_t len = strcspn(path, "|");
		char step[100];

		(void)snprintf(step, sizeof(step), "%.*s", (int)len, path);
		node = json_is_array(node) ? json_array_get(node, (size_t)atoi(step))
					   : json_object_get(node, step);
		path += len + (path[len] == '|' ? 1 : 0);
	}
	return node;
}

static char *now(struct world *world, const struct row *row)
{
	bool node = strcmp(row->object, "Node") == 0;
	json_t *object =
		world_control(world, "object", "{\"kind\":\"%s\",\"ns\":\"%s\",\"name\":\"%s\"}",
			      row->object, node ? "" : "ads", row->name);
	const json_t *value = at(json_object_get(object, "object"), row->field);
	/* false is what an absent truth means */
	char *text = value == NULL || json_is_false(value) ? strdup("null")
							   : json_dumps(value, JSON_ENCODE_ANY);

	json_decref(object);
	return text;
}

static void assert_now(struct world *world, const struct row *row, const char *want)
{
	char *text = now(world, row);

	assert_string_equal(text, want);
	free(text);
}

static void put_with(char *with, size_t size, const struct row *row, const char *id)
{
	(void)snprintf(with, size,
		       "{\"cluster\":\"main\",\"namespace\":\"ads\",\"name\":\"%s\",%s%s%s%s}",
		       row->name, row->with, id != NULL ? ",\"test_request\":\"" : "",
		       id != NULL ? id : "", id != NULL ? "\"" : "");
}

/* Plans and applies; the plan is the caller's. */
static struct end change(struct world *world, const struct row *row)
{
	const struct action_kind *kind = world_kind(row->kind);
	struct end plan, end;
	char with[500];

	world_do(world, "settings", "{\"hpa_ms\":600000}"); /* it must not scale in between */
	world_do(world, "obstacle", "{\"what\":\"%s\",\"ns\":\"ads\",\"name\":\"workers-dev\"}",
		 strcmp(row->kind, "kube.keda") == 0 ? "keda" : "hpa");
	put_with(with, sizeof(with), row, NULL);
	assert_now(world, row, row->before);
	plan = world_act(world, kind, ACT_PLAN, with, NULL);
	assert_good(plan);
	end = world_act(world, kind, ACT_APPLY, with, plan.result);
	assert_good(end);
	end_free(&end);
	assert_now(world, row, row->written);
	/* quiet: the patch whose answer is lost must be one that was taken */
	if (strcmp(row->object, "Deployment") == 0)
		world_wait(world, "Deployment", "ads", row->name,
			   "{\"status\":{\"observedGeneration\":2}}");
	return plan;
}

static void test_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct action_kind *kind = world_kind(rows[i].kind);
		struct end plan, back, end;
		struct world world;
		char with[500];

		world_open(&world);
		plan = change(&world, &rows[i]);
		put_with(with, sizeof(with), &rows[i], LATER);
		back = world_act(&world, kind, ACT_REVERT, with, plan.result);
		assert_good(back);
		assert_null(json_object_get(back.result, "foreign"));
		assert_true(json_equal(jget(back.result, "target"), jget(plan.result, "target")));
		assert_now(&world, &rows[i], rows[i].written); /* a plan changes nothing */
		/* its answer is lost: the mark of this request says that it was done */
		end = world_act(&world, kind, ACT_LOOK, with, back.result);
		assert_string_equal(jget_str(end.result, "state"), "not_done");
		end_free(&end);
		world_do(&world, "fault",
			 "{\"mode\":\"close_after\",\"verb\":\"patch\",\"times\":1}");
		end = world_act(&world, kind, ACT_APPLY, with, back.result);
		assert_kind(end, ERR_UNCERTAIN);
		end_free(&end);
		end = world_act(&world, kind, ACT_LOOK, with, back.result);
		assert_string_equal(jget_str(end.result, "state"), "done");
		end_free(&end);
		assert_now(&world, &rows[i], rows[i].before);
		end_free(&back);
		/* once more: it is back already */
		back = world_act(&world, kind, ACT_REVERT, with, plan.result);
		assert_good(back);
		assert_int_equal(json_array_size(json_object_get(back.result, "changes")), 0);
		assert_null(json_object_get(back.result, "foreign"));
		end_free(&back);
		end_free(&plan);
		world_close(&world);
	}
}

static void test_foreign(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct action_kind *kind = world_kind(rows[i].kind);
		struct end plan, back, end;
		struct world world;
		char with[500];

		if (rows[i].others == NULL)
			continue;
		world_open(&world);
		plan = change(&world, &rows[i]);
		world_do(&world, "set",
			 "{\"kind\":\"%s\",\"ns\":\"ads\",\"name\":\"%s\",\"manager\":\"kubectl-"
			 "edit\","
			 "\"patch\":%s}",
			 rows[i].object, rows[i].name, rows[i].others);
		put_with(with, sizeof(with), &rows[i], LATER);
		back = world_act(&world, kind, ACT_REVERT, with, plan.result);
		assert_good(back);
		assert_non_null(strstr(jget_str_or(back.result, "foreign", ""), rows[i].says));
		assert_non_null(
			strstr(jget_str_or(back.result, "foreign", ""), "kubectl-edit at 2"));
		/* a person may still want it */
		end = world_act(&world, kind, ACT_APPLY, with, back.result);
		assert_good(end);
		end_free(&end);
		assert_now(&world, &rows[i], rows[i].before);
		end_free(&back);
		end_free(&plan);
		world_close(&world);
	}
}

/* Somebody is quicker than the way back: nothing is written over. */
static void test_raced(void **state)
{
	const struct action_kind *kind = world_kind("kube.scale");
	struct end plan, back, end;
	struct world world;
	char with[500];

	(void)state;
	world_open(&world);
	plan = change(&world, &rows[0]);
	put_with(with, sizeof(with), &rows[0], LATER);
	back = world_act(&world, kind, ACT_REVERT, with, plan.result);
	assert_good(back);
	world_do(
		&world, "set",
		"{\"kind\":\"Deployment\",\"ns\":\"ads\",\"name\":\"workers-dev\",\"replicas\":7}");
	end = world_act(&world, kind, ACT_APPLY, with, back.result);
	assert_kind(end, ERR_INVALID);
	assert_says(end, "replicas is now 7 (was 5)");
	end_free(&end);
	assert_now(&world, &rows[0], "7");
	end_free(&back);
	end_free(&plan);
	world_close(&world);
}

static void test_another_object(void **state)
{
	const struct action_kind *kind = world_kind("kube.config");
	struct end plan, back;
	struct world world;
	char with[500];

	(void)state;
	world_open(&world);
	plan = change(&world, &rows[1]);
	put_with(with, sizeof(with), &rows[1], LATER);
	world_do(&world, "delete", "{\"kind\":\"ConfigMap\",\"ns\":\"ads\",\"name\":\"settings\"}");
	back = world_act(&world, kind, ACT_REVERT, with, plan.result);
	assert_kind(back, ERR_INVALID);
	assert_says(back, "does not exist");
	world_do(&world, "create",
		 "{\"object\":{\"kind\":\"ConfigMap\",\"metadata\":{\"namespace\":\"ads\",\"name\":"
		 "\"settings\"},\"data\":{\"LOG_LEVEL\":\"debug\"}}}");
	back = world_act(&world, kind, ACT_REVERT, with, plan.result);
	assert_kind(back, ERR_INVALID);
	assert_says(back, "there is nothing to set back");
	assert_now(&world, &rows[1], "\"debug\"");
	end_free(&plan);
	world_close(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_back),
		cmocka_unit_test(test_foreign),
		cmocka_unit_test(test_raced),
		cmocka_unit_test(test_another_object),
	};
	int failed;

	http_library_init();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	http_library_finish();
	return failed;
}
