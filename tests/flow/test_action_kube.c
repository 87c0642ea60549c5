/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of action on a cluster: what they plan, that they change only what was planned, and
 * that what became of them can be seen afterwards. */
#include "kube_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEV "\"cluster\":\"main\",\"namespace\":\"ads\",\"name\":\"workers-dev\""
#define SCALE(n) "{" DEV ",\"replicas\":" #n "}"
#define SETTING(key, value)                                                                        \
	"{\"cluster\":\"main\",\"namespace\":\"ads\",\"name\":\"settings\",\"key\":\"" key         \
	"\",\"value\":\"" value "\"}"

static int64_t replicas_now(struct world *world)
{
	json_t *answer =
		world_control(world, "object",
			      "{\"kind\":\"Deployment\",\"ns\":\"ads\",\"name\":\"workers-dev\"}");
	int64_t n = jget_int(answer, "object.spec.replicas", -1);

	json_decref(answer);
	return n;
}

static void others_set(struct world *world, int replicas)
{
	world_do(
		world, "set",
		"{\"kind\":\"Deployment\",\"ns\":\"ads\",\"name\":\"workers-dev\",\"replicas\":%d}",
		replicas);
}

/* The plan as text holds… */
static void assert_holds(const struct end *end, const char *text)
{
	char *all = json_text(end->result);

	if (strstr(all, text) == NULL)
		fail_msg("\"%s\" is not in %s", text, all);
	free(all);
}

static void test_scale(void **state)
{
	const struct action_kind *kind = world_kind("kube.scale");
	struct world world;
	struct end plan, end;

	(void)state;
	world_open(&world);
	plan = world_act(&world, kind, ACT_PLAN, SCALE(5), NULL);
	assert_good(plan);
	assert_string_equal(jget_str(plan.result, "target.kind"), "Deployment");
	assert_string_equal(jget_str(plan.result, "target.cluster"), "main");
	assert_int_equal(jget_int(plan.result, "step_percent", 0), 150);
	assert_holds(&plan, "[{\"field\":\"replicas\",\"from\":2,\"to\":5}]");
	assert_int_equal(replicas_now(&world), 2); /* the dry run changed nothing */
	end = world_act(&world, kind, ACT_LOOK, SCALE(5), plan.result);
	assert_string_equal(jget_str(end.result, "state"), "not_done");
	end_free(&end);
	end = world_act(&world, kind, ACT_APPLY, SCALE(5), plan.result);
	assert_good(end);
	assert_string_equal(jget_str(end.result, "done"), "replicas 2 → 5");
	assert_string_equal(jget_str(end.result, "evidence.audit_id"), REQUEST_ID);
	assert_int_equal(replicas_now(&world), 5);
	end_free(&end);
	end = world_act(&world, kind, ACT_LOOK, SCALE(5), plan.result);
	assert_string_equal(jget_str(end.result, "state"), "done");
	assert_string_equal(jget_str(end.result, "done"), "replicas 2 → 5");
	end_free(&end);
	/* once more changes nothing, and says the same */
	end = world_act(&world, kind, ACT_APPLY, SCALE(5), plan.result);
	assert_good(end);
	assert_int_equal(replicas_now(&world), 5);
	end_free(&end);
	end_free(&plan);
	/* nothing to do */
	plan = world_act(&world, kind, ACT_PLAN, SCALE(5), NULL);
	assert_int_equal(json_array_size(json_object_get(plan.result, "changes")), 0);
	end_free(&plan);
	world_close(&world);
}

/* A dry run whose answer is lost is asked again: it changes nothing. */
static void test_scale_tried_again(void **state)
{
	struct world world;
	struct end plan;

	(void)state;
	world_open(&world);
	world_do(&world, "fault", "{\"mode\":\"close_after\",\"verb\":\"patch\",\"times\":1}");
	plan = world_act(&world, world_kind("kube.scale"), ACT_PLAN, SCALE(5), NULL);
	assert_good(plan);
	assert_int_equal(world_count(&world, "patch", "deployments"), 2);
	assert_int_equal(replicas_now(&world), 2);
	end_free(&plan);
	world_close(&world);
}

static void test_scale_only_as_planned(void **state)
{
	const struct action_kind *kind = world_kind("kube.scale");
	struct world world;
	struct end plan, end;

	(void)state;
	world_open(&world);
	plan = world_act(&world, kind, ACT_PLAN, SCALE(5), NULL);
	/* only the version moves: it goes through */
	world_do(&world, "set",
		 "{\"kind\":\"Deployment\",\"ns\":\"ads\",\"name\":\"workers-dev\",\"patch\":"
		 "{\"metadata\":{\"labels\":{\"more\":\"x\"}}}}");
	end = world_act(&world, kind, ACT_APPLY, SCALE(5), plan.result);
	assert_good(end);
	assert_int_equal(replicas_now(&world), 5);
	end_free(&end);
	end_free(&plan);
	plan = world_act(&world, kind, ACT_PLAN, SCALE(6), NULL);
	others_set(&world, 9);
	/* as another request: the mark on the object is not its own */
	world_do(&world, "set",
		 "{\"kind\":\"Deployment\",\"ns\":\"ads\",\"name\":\"workers-dev\",\"patch\":"
		 "{\"metadata\":{\"annotations\":{\"opsd/last-request\":null}}}}");
	end = world_act(&world, kind, ACT_APPLY, SCALE(6), plan.result);
	assert_kind(end, ERR_INVALID);
	assert_says(end, "Deployment ads/workers-dev on cluster main was changed by somebody else");
	assert_says(end, "replicas is now 9 (was 5)");
	assert_int_equal(replicas_now(&world), 9);
	end_free(&end);
	end = world_act(&world, kind, ACT_LOOK, SCALE(6), plan.result);
	assert_string_equal(jget_str(end.result, "state"), "not_done");
	end_free(&end);
	end_free(&plan);
	/* a namesake is not the same object */
	plan = world_act(&world, kind, ACT_PLAN, SCALE(6), NULL);
	world_do(&world, "delete",
		 "{\"kind\":\"Deployment\",\"ns\":\"ads\",\"name\":\"workers-dev\"}");
	end = world_act(&world, kind, ACT_LOOK, SCALE(6), plan.result);
	assert_string_equal(jget_str(end.result, "state"), "unknown");
	end_free(&end);
	world_do(&world, "create",
		 "{\"object\":{\"kind\":\"Deployment\",\"metadata\":{\"namespace\":\"ads\","
		 "\"name\":\"workers-dev\"},\"spec\":{\"replicas\":9,\"selector\":{\"matchLabels\":"
		 "{\"a\":\"b\"}},\"template\":{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":"
		 "{\"containers\":[{\"name\":\"w\",\"image\":\"i:1\"}]}}}}}");
	end = world_act(&world, kind, ACT_APPLY, SCALE(6), plan.result);
	assert_kind(end, ERR_INVALID);
	assert_says(end, "deleted and created again");
	end_free(&end);
	end = world_act(&world, kind, ACT_LOOK, SCALE(6), plan.result);
	assert_string_equal(jget_str(end.result, "state"), "not_done");
	end_free(&end);
	end_free(&plan);
	world_close(&world);
}

/* The answer is lost: a look tells what happened. */
static void test_scale_unclear_end(void **state)
{
	static const struct {
		const char *mode, *look;
		int replicas;
	} rows[] = { { "close_after", "done", 7 },
		     { "hang_after", "done", 7 },
		     { "close", "not_done", 2 },
		     { "timeout", "not_done", 2 } };
	const struct action_kind *kind = world_kind("kube.scale");

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct world world;
		struct end plan, end;

		world_open(&world);
		plan = world_act(&world, kind, ACT_PLAN, SCALE(7), NULL);
		world_do(&world, "fault", "{\"mode\":\"%s\",\"verb\":\"patch\",\"times\":1}",
			 rows[i].mode);
		end = world_act(&world, kind, ACT_APPLY, SCALE(7), plan.result);
		assert_kind(end, ERR_UNCERTAIN);
		end_free(&end);
		assert_int_equal(replicas_now(&world), rows[i].replicas);
		end = world_act(&world, kind, ACT_LOOK, SCALE(7), plan.result);
		assert_good(end);
		assert_string_equal(jget_str(end.result, "state"), rows[i].look);
		end_free(&end);
		/* the same once more: done, exactly once */
		end = world_act(&world, kind, ACT_APPLY, SCALE(7), plan.result);
		assert_good(end);
		assert_int_equal(replicas_now(&world), 7);
		end_free(&end);
		end_free(&plan);
		world_close(&world);
	}
}

/* A later request wrote over the mark: nobody can say any more. */
static void test_scale_later_mark(void **state)
{
	const struct action_kind *kind = world_kind("kube.scale");
	struct world world;
	struct end plan, end;

	(void)state;
	world_open(&world);
	plan = world_act(&world, kind, ACT_PLAN, SCALE(7), NULL);
	world_do(&world, "set",
		 "{\"kind\":\"Deployment\",\"ns\":\"ads\",\"name\":\"workers-dev\",\"patch\":"
		 "{\"metadata\":{\"annotations\":{\"opsd/last-request\":\"R1KZZZZZZZZZZZZZ\"}}}}");
	end = world_act(&world, kind, ACT_LOOK, SCALE(7), plan.result);
	assert_string_equal(jget_str(end.result, "state"), "unknown");
	end_free(&end);
	end_free(&plan);
	/* one that was there when it was planned has written over nothing */
	plan = world_act(&world, kind, ACT_PLAN, SCALE(7), NULL);
	end = world_act(&world, kind, ACT_LOOK, SCALE(7), plan.result);
	assert_string_equal(jget_str(end.result, "state"), "not_done");
	end_free(&end);
	/* one that was asked for earlier may still have acted later */
	world_do(&world, "set",
		 "{\"kind\":\"Deployment\",\"ns\":\"ads\",\"name\":\"workers-dev\",\"patch\":"
		 "{\"metadata\":{\"annotations\":{\"opsd/last-request\":\"R1A0000000000000\"}}}}");
	end = world_act(&world, kind, ACT_LOOK, SCALE(7), plan.result);
	assert_string_equal(jget_str(end.result, "state"), "unknown");
	end_free(&end);
	end_free(&plan);
	world_close(&world);
}

static void test_scale_names_other_owners(void **state)
{
	static const struct {
		const char *obstacle, *says;
	} rows[] = {
		{ "argo", "Argo CD application ads-workers" },
		{ "flux", "Flux Kustomization flux-system/tenants" },
		{ "hpa", "HorizontalPodAutoscaler workers-dev (2 to 10)" },
		{ "keda", "KEDA ScaledObject workers-dev" },
		{ "pause", "Its rollout is paused" },
		{ "controlled", "WorkerFleet workers-dev" },
		{ "deleting", "being deleted" },
	};
	const struct action_kind *kind = world_kind("kube.scale");

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct world world;
		struct end plan;

		world_open(&world);
		world_do(&world, "obstacle",
			 "{\"what\":\"%s\",\"ns\":\"ads\",\"name\":\"workers-dev\"}",
			 rows[i].obstacle);
		plan = world_act(&world, kind, ACT_PLAN, SCALE(20), NULL);
		assert_good(plan);
		assert_holds(&plan, rows[i].says);
		if (strcmp(rows[i].obstacle, "flux") == 0)
			assert_holds(&plan,
				     "sets it back within 10m if Git holds this field, now at "
				     "main@sha1:1a2b3c4");
		if (strcmp(rows[i].obstacle, "hpa") == 0)
			assert_holds(&plan, "back into its range");
		if (strcmp(rows[i].obstacle, "keda") ==
		    0) /* its own autoscaler is not told twice */
			assert_null(strstr(
				jget_str_or(
					json_array_get(json_object_get(plan.result, "owners"), 1),
					"who", ""),
				"keda-hpa"));
		end_free(&plan);
		world_close(&world);
	}
}

static void test_scale_refusals(void **state)
{
	static const struct {
		const char *with, *says;
	} rows[] = {
		{ "{\"cluster\":\"main\",\"namespace\":\"ads\",\"name\":\"workers-deb\","
		  "\"replicas\":3}",
		  "did you mean workers-dev?" },
		{ "{\"cluster\":\"main\",\"namespace\":\"nowhere\",\"name\":\"workers-dev\","
		  "\"replicas\":3}",
		  "nothing of this kind is there" },
		{ "{\"cluster\":\"other\",\"namespace\":\"ads\",\"name\":\"workers-dev\","
		  "\"replicas\":3}",
		  "no cluster \"other\"" },
		{ "{\"cluster\":\"main\",\"namespace\":\"ads\",\"name\":\"../"
		  "pods\",\"replicas\":3}",
		  "cannot be a name" },
		{ "{\"cluster\":\"main\",\"namespace\":\"a/b\",\"name\":\"workers-dev\","
		  "\"replicas\":3}",
		  "cannot be a namespace" },
		{ "{\"cluster\":\"main\",\"namespace\":\"ads\",\"name\":\"workers-dev\","
		  "\"replicas\":-1}",
		  "from 0 to" },
		{ "{\"cluster\":\"main\",\"namespace\":\"ads\",\"name\":\"settings\",\"kind\":"
		  "\"ConfigMap\",\"replicas\":3}",
		  "cannot be scaled" },
	};
	const struct action_kind *kind = world_kind("kube.scale");
	struct world world;
	struct end end;

	(void)state;
	world_open(&world);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		end = world_act(&world, kind, ACT_PLAN, rows[i].with, NULL);
		assert_kind(end, ERR_INVALID);
		assert_says(end, rows[i].says);
		end_free(&end);
	}
	/* a policy says no while planning, before anybody is asked */
	world_do(&world, "admission", "{\"deny\":\"not on Fridays\"}");
	end = world_act(&world, kind, ACT_PLAN, SCALE(3), NULL);
	assert_kind(end, ERR_DENIED);
	assert_says(end, "not on Fridays");
	end_free(&end);
	world_do(&world, "admission", "{\"clear\":true}");
	/* what scales it cannot be seen: said, not hidden */
	world_do(&world, "rbac",
		 "{\"deny\":[{\"group\":\"autoscaling\",\"resource\":\"horizontalpodautoscalers\","
		 "\"verb\":\"list\"}]}");
	end = world_act(&world, kind, ACT_PLAN, SCALE(3), NULL);
	assert_good(end);
	assert_holds(&end, "could not see whether HorizontalPodAutoscalers scale this");
	end_free(&end);
	world_close(&world);
}

static void test_cluster_without_keda(void **state)
{
	const struct action_kind *kind = world_kind("kube.scale");
	struct world world;

	(void)state;
	world_open(&world);
	world_do(&world, "without", "{\"kinds\":[\"ScaledObject\"]}");
	for (int i = 0; i < 2; i++) {
		struct end end = world_act(&world, kind, ACT_PLAN, SCALE(3), NULL);

		assert_good(end);
		assert_int_equal(json_array_size(json_object_get(end.result, "warnings")), 0);
		end_free(&end);
	}
	world_close(&world);
}

/* Nobody waits for an answer: nothing is asked that only a preview would show. */
static void test_scale_unasked(void **state)
{
	const struct action_kind *kind = world_kind("kube.scale");
	struct world world;
	struct end plan;

	(void)state;
	world_open(&world);
	world_do(&world, "obstacle", "{\"what\":\"keda\",\"ns\":\"ads\",\"name\":\"workers-dev\"}");
	plan = world_act(&world, kind, ACT_PLAN, "{" DEV ",\"replicas\":5,\"test_unasked\":true}",
			 NULL);
	assert_good(plan);
	assert_holds(&plan, "KEDA ScaledObject workers-dev");
	assert_int_equal(world_count(&world, "patch", "deployments"), 0);
	assert_int_equal(world_count(&world, "get", "deployments"), 1);
	assert_int_equal(world_count(&world, "list", "scaledobjects"), 0);
	end_free(&plan);
	plan = world_act(&world, kind, ACT_PLAN, SCALE(5), NULL);
	assert_good(plan);
	assert_int_equal(world_count(&world, "patch", "deployments"), 1);
	assert_int_equal(world_count(&world, "list", "scaledobjects"), 1);
	end_free(&plan);
	world_close(&world);
}

static void test_the_cluster_changes_it(void **state)
{
	const struct action_kind *kind = world_kind("kube.scale");
	struct world world;
	struct end plan, end;

	(void)state;
	world_open(&world);
	plan = world_act(&world, kind, ACT_PLAN, SCALE(8), NULL);
	world_do(&world, "admission",
		 "{\"mutate\":{\"spec\":{\"replicas\":6}},\"kind\":\"Deployment\"}");
	end = world_act(&world, kind, ACT_APPLY, SCALE(8), plan.result);
	assert_good(end);
	assert_string_equal(jget_str(end.result, "done"), "replicas 2 → 8 (the cluster made it 6)");
	end_free(&end);
	end_free(&plan);
	world_close(&world);
}

static void test_list(void **state)
{
	const struct action_kind *kind = world_kind("kube.list");
	struct world world;
	char with[400];
	struct end end, next;

	(void)state;
	world_open(&world);
	end = world_act(
		&world, kind, ACT_APPLY,
		"{\"cluster\":\"main\",\"kind\":\"Namespace\",\"selector\":\"opsd/tenant=true\"}",
		NULL);
	assert_good(end);
	assert_int_equal(json_array_size(json_object_get(end.result, "rows")), 2);
	assert_holds(&end, "[[\"ads\",\"Active\"");
	assert_int_equal(jget_int(end.result, "total", 0), 2);
	end_free(&end);
	/* over all namespaces, in pages */
	end = world_act(&world, kind, ACT_APPLY,
			"{\"cluster\":\"main\",\"kind\":\"deploy\",\"limit\":3}", NULL);
	assert_good(end);
	assert_int_equal(json_array_size(json_object_get(end.result, "rows")), 3);
	assert_holds(&end, "[\"Name\",\"Namespace\",\"Ready\"");
	assert_holds(&end, "[\"workers-dev\",\"ads\",\"2/2\"");
	assert_non_null(jget_str(end.result, "next"));
	(void)snprintf(
		with, sizeof(with),
		"{\"cluster\":\"main\",\"kind\":\"deploy\",\"limit\":3,\"test_cursor\":\"%s\"}",
		jget_str(end.result, "next"));
	next = world_act(&world, kind, ACT_APPLY, with, NULL);
	assert_good(next);
	assert_int_equal(json_array_size(json_object_get(next.result, "rows")), 2);
	assert_null(jget_str(next.result, "next"));
	end_free(&end);
	end_free(&next);
	end = world_act(&world, kind, ACT_APPLY,
			"{\"cluster\":\"main\",\"kind\":\"Pod\",\"namespace\":\"ads\",\"fields\":"
			"\"no.such=1\"}",
			NULL);
	assert_kind(end, ERR_INVALID);
	end = world_act(&world, kind, ACT_APPLY, "{\"cluster\":\"main\",\"kind\":\"Deploymnt\"}",
			NULL);
	assert_says(end, "did you mean Deployment?");
	world_close(&world);
}

static const char *uid_now(struct world *world)
{
	static char uid[64];
	json_t *answer =
		world_control(world, "object",
			      "{\"kind\":\"Deployment\",\"ns\":\"ads\",\"name\":\"workers-dev\"}");

	(void)snprintf(uid, sizeof(uid), "%s", jget_str_or(answer, "object.metadata.uid", ""));
	json_decref(answer);
	return uid;
}

static void test_status(void **state)
{
	const struct action_kind *kind = world_kind("kube.status");
	struct world world;
	struct end end;

	(void)state;
	world_open(&world);
	world_do(&world, "obstacle", "{\"what\":\"hpa\",\"ns\":\"ads\",\"name\":\"workers-dev\"}");
	end = world_act(&world, kind, ACT_APPLY, "{" DEV "}", NULL);
	assert_good(end);
	assert_holds(&end, "[\"Ready\",\"2/2\"]");
	assert_holds(&end, "[\"Rollout\",\"complete\"]");
	assert_holds(&end, "[\"Autoscaler\",\"HorizontalPodAutoscaler workers-dev (2 to 10)\"]");
	assert_null(json_object_get(end.result, "text"));
	end_free(&end);
	/* with what happened to it, newest first */
	for (int n = 1; n <= 2; n++)
		world_do(
			&world, "create",
			"{\"settled\":false,\"object\":{\"apiVersion\":\"v1\",\"kind\":\"Event\","
			"\"metadata\":{\"namespace\":\"ads\",\"name\":\"e%d\"},\"involvedObject\":{"
			"\"kind\":\"Deployment\",\"namespace\":\"ads\",\"name\":\"workers-dev\","
			"\"uid\":"
			"\"%s\"},\"reason\":\"Scaled%d\",\"message\":\"up to "
			"%d\",\"type\":\"Normal\","
			"\"lastTimestamp\":\"2026-11-25T10:0%d:00Z\"}}",
			n, uid_now(&world), n, n, n);
	end = world_act(&world, kind, ACT_APPLY, "{" DEV "}", NULL);
	assert_good(end);
	assert_string_equal(
		jget_str(end.result, "text"),
		"2026-11-25T10:02:00 Scaled2: up to 2\n2026-11-25T10:01:00 Scaled1: up to 1");
	end_free(&end);
	end = world_act(&world, kind, ACT_APPLY, "{\"cluster\":\"main\",\"namespace\":\"ads\"}",
			NULL);
	assert_good(end);
	assert_holds(&end, "[\"workers-prod\",\"6/6\",\"complete\",");
	end_free(&end);
	world_close(&world);
}

static void on_nothing(void *data, const json_t *result, const struct err *err)
{
	(void)data;
	(void)result;
	(void)err;
	fail_msg("a cancelled call ended");
}

static void test_cancel_anywhere(void **state)
{
	static const char *const kinds[] = { "kube.scale", "kube.config", "kube.list",
					     "kube.status" };
	json_t *with = json_loads("{" DEV ",\"kind\":\"Deployment\",\"replicas\":3}", 0, NULL);
	json_t *setting = json_loads(SETTING("LOG_LEVEL", "x"), 0, NULL);

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		for (unsigned turns = 0; turns < 16; turns += 3) {
			const struct action_kind *kind = world_kind(kinds[i]);
			action_fn fn = kind->plan != NULL ? kind->plan : kind->apply;
			struct world world;
			struct action_run run = { .request_id = REQUEST_ID,
						  .with = i == 1 ? setting : with,
						  .asked = true,
						  .timeout_ms = 10000 };
			struct call *call;

			world_open(&world);
			world_do(&world, "settings", "{\"latency_ms\":200}");
			call = fn(world.env, &run, on_nothing, NULL);
			for (unsigned t = 0; t < turns; t++)
				(void)uv_run(&world.loop, UV_RUN_NOWAIT);
			call_cancel(&call);
			world_do(&world, "settings", "{\"latency_ms\":0}");
			world_close(&world);
		}
	}
	json_decref(with);
	json_decref(setting);
}

static unsigned lines_good, lines_bad;

static void on_line(void *data, bool good, const char *what, const char *says)
{
	(void)data;
	assert_non_null(says);
	assert_true(strcmp(what, "cluster main") == 0 || strcmp(what, "API platform") == 0);
	if (good)
		lines_good++;
	else
		lines_bad++;
}

static void on_probed(void *data, const struct err *err)
{
	assert_null(err);
	*(bool *)data = true;
}

static void test_probe(void **state)
{
	struct world world;
	bool done = false;

	(void)state;
	world_open(&world);
	lines_good = lines_bad = 0;
	/* data goes to both functions */
	(void)action_env_probe(world.env, on_line, on_probed, &done);
	while (!done)
		(void)uv_run(&world.loop, UV_RUN_ONCE);
	assert_int_equal(lines_good, 2);
	done = false;
	world_do(&world, "token", "{}");
	(void)action_env_probe(world.env, on_line, on_probed, &done);
	while (!done)
		(void)uv_run(&world.loop, UV_RUN_ONCE);
	assert_int_equal(lines_bad, 1);
	world_close(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scale),
		cmocka_unit_test(test_scale_tried_again),
		cmocka_unit_test(test_scale_only_as_planned),
		cmocka_unit_test(test_scale_unclear_end),
		cmocka_unit_test(test_scale_later_mark),
		cmocka_unit_test(test_scale_names_other_owners),
		cmocka_unit_test(test_scale_refusals),
		cmocka_unit_test(test_cluster_without_keda),
		cmocka_unit_test(test_scale_unasked),
		cmocka_unit_test(test_the_cluster_changes_it),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_cancel_anywhere),
		cmocka_unit_test(test_probe),
	};
	int failed;

	http_library_init();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	http_library_finish();
	return failed;
}
