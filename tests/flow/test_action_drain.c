/* SPDX-License-Identifier: Apache-2.0 */
/* Emptying a node: who leaves, who stays, whom a budget keeps, and what ends it. */
#include "kube_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODE "\"cluster\":\"main\",\"name\":\"node-1\""

static void open_full(struct world *world)
{
	world_open(world);
	world_do(world, "settings", "{\"workloads\":\"full\",\"observe_ms\":1,\"step_ms\":1}");
	world_do(world, "reset", "{}");
	world_do(world, "token", "{\"token\":\"kube-token-of-test\",\"file\":\"%s\"}",
		 getenv("KUBE_TOKEN"));
}

static void close_full(struct world *world)
{
	world_do(world, "settings",
		 "{\"workloads\":\"instant\",\"observe_ms\":20,\"step_ms\":150}");
	world_close(world);
}

static size_t pods_on(struct world *world, const char *node)
{
	json_t *answer = world_control(world, "objects", "{\"kinds\":[\"Pod\"]}"), *pod;
	size_t n = 0, i;

	json_array_foreach(json_object_get(answer, "items"), i, pod) n +=
		strcmp(jget_str_or(pod, "spec.nodeName", ""), node) == 0;
	json_decref(answer);
	return n;
}

static void make_pod(struct world *world, const char *name, const char *more_meta,
		     const char *more_spec)
{
	world_do(world, "create",
		 "{\"object\":{\"kind\":\"Pod\",\"metadata\":{\"namespace\":\"ads\",\"name\":\"%"
		 "s\"%s},"
		 "\"spec\":{\"nodeName\":\"node-1\",\"containers\":[{\"name\":\"c\",\"image\":\"i:"
		 "1\"}]%s},"
		 "\"status\":{\"phase\":\"Running\"}}}",
		 name, more_meta, more_spec);
}

static struct end begin(struct world *world, const char *with, json_t **ret_since)
{
	const struct action_kind *kind = world_kind("kube.drain");
	struct end plan = world_act(world, kind, ACT_PLAN, with, NULL), end;

	assert_good(plan);
	end = world_act(world, kind, ACT_APPLY, with, plan.result);
	assert_good(end);
	*ret_since = json_incref(end.result);
	end_free(&end);
	return plan;
}

static const char *look(struct world *world, const char *with, const struct end *plan,
			json_t **since)
{
	json_t *values = json_loads(with, 0, NULL);
	struct end end;
	char *text;

	json_object_set(values, "test_since", *since);
	text = json_text(values);
	end = world_act(world, world_kind("kube.drain"), ACT_FOLLOW, text, plan->result);
	assert_good(end);
	json_decref(*since);
	*since = json_incref(end.result);
	end_free(&end);
	json_decref(values);
	free(text);
	return jget_str_or(*since, "state", "?");
}

static void assert_holds(const json_t *value, const char *text)
{
	char *all = json_text(value);

	if (strstr(all, text) == NULL)
		fail_msg("\"%s\" is not in %s", text, all);
	free(all);
}

static void test_drain(void **state)
{
	struct world world;
	struct end plan, back;
	json_t *since, *node;
	size_t first;

	(void)state;
	open_full(&world);
	/* these stay: they would be back at once */
	make_pod(&world, "mirror", ",\"annotations\":{\"kubernetes.io/config.mirror\":\"x\"}", "");
	make_pod(&world, "agent",
		 ",\"ownerReferences\":[{\"apiVersion\":\"apps/"
		 "v1\",\"kind\":\"DaemonSet\",\"name\":\"a\","
		 "\"uid\":\"u\",\"controller\":true}]",
		 "");
	first = pods_on(&world, "node-1");
	assert_true(first > 3);
	plan = begin(&world, "{" NODE "}", &since);
	assert_holds(plan.result, "{\"field\":\"unschedulable\",\"from\":false,\"to\":true}");
	assert_int_equal(jget_int(json_array_get(jget(plan.result, "changes"), 1), "from", 0),
			 first - 2);
	assert_int_equal(pods_on(&world, "node-1"), first); /* so far only the cordon */
	while (strcmp(look(&world, "{" NODE "}", &plan, &since), "going") == 0)
		assert_int_equal(jget_int(since, "of", 0), first - 2);
	assert_string_equal(jget_str(since, "state"), "done");
	assert_true(jget_bool(since, "final", false));
	assert_int_equal(pods_on(&world, "node-1"), 2);
	/* the way back is to let pods come again */
	back = world_act(&world, world_kind("kube.drain"), ACT_REVERT,
			 "{" NODE ",\"test_request\":\"R1KH2M8Q4ZT7WX0B\"}", plan.result);
	assert_good(back);
	end_free(&plan);
	plan = world_act(&world, world_kind("kube.drain"), ACT_APPLY,
			 "{" NODE ",\"test_request\":\"R1KH2M8Q4ZT7WX0B\"}", back.result);
	assert_good(plan);
	node = world_control(&world, "object", "{\"kind\":\"Node\",\"name\":\"node-1\"}");
	assert_false(jget_bool(node, "object.spec.unschedulable", false));
	json_decref(node);
	json_decref(since);
	end_free(&plan);
	end_free(&back);
	close_full(&world);
}

static void test_budget_holds_it_up(void **state)
{
	struct world world;
	struct end plan;
	json_t *since;

	(void)state;
	open_full(&world);
	world_do(&world, "create",
		 "{\"object\":{\"kind\":\"PodDisruptionBudget\",\"metadata\":{\"namespace\":"
		 "\"ads\",\"name\":"
		 "\"keep\"},\"spec\":{\"minAvailable\":6,\"selector\":{\"matchLabels\":{\"app\":"
		 "\"workers-prod\"}}}}}");
	plan = begin(&world, "{" NODE "}", &since);
	while (strcmp(look(&world, "{" NODE "}", &plan, &since), "stuck") != 0)
		assert_string_equal(jget_str(since, "state"), "going");
	assert_holds(since, "The disruption budget keep needs 6 healthy pods and has 6 currently");
	/* once the budget allows it, it goes on */
	world_do(&world, "set",
		 "{\"kind\":\"PodDisruptionBudget\",\"ns\":\"ads\",\"name\":\"keep\",\"patch\":{"
		 "\"spec\":{"
		 "\"minAvailable\":0}}}");
	while (strcmp(look(&world, "{" NODE "}", &plan, &since), "done") != 0)
		assert_string_not_equal(jget_str(since, "state"), "failed");
	json_decref(since);
	end_free(&plan);
	close_full(&world);
}

static void test_given_up(void **state)
{
	struct world world;
	struct end plan;
	json_t *since, *keep;

	(void)state;
	open_full(&world);
	world_do(&world, "create",
		 "{\"object\":{\"kind\":\"PodDisruptionBudget\",\"metadata\":{\"namespace\":"
		 "\"ads\",\"name\":"
		 "\"keep\"},\"spec\":{\"minAvailable\":6,\"selector\":{\"matchLabels\":{\"app\":"
		 "\"workers-prod\"}}}}}");
	plan = begin(&world, "{" NODE ",\"timeout\":60}", &since);
	while (strcmp(look(&world, "{" NODE ",\"timeout\":60}", &plan, &since), "stuck") != 0)
		;
	keep = json_object_get(since, "keep"); /* as if it had begun two minutes ago */
	json_object_set_new(keep, "begun_ms",
			    json_integer(jget_int(keep, "begun_ms", 0) - 120 * 1000));
	assert_string_equal(look(&world, "{" NODE ",\"timeout\":60}", &plan, &since), "failed");
	assert_holds(since, "pods are still on node node-1");
	assert_holds(since, "disruption budget keep");
	json_decref(since);
	end_free(&plan);
	close_full(&world);
}

static void test_uncordoned_meanwhile(void **state)
{
	struct world world;
	struct end plan;
	json_t *since;
	size_t left;

	(void)state;
	open_full(&world);
	plan = begin(&world, "{" NODE "}", &since);
	left = pods_on(&world, "node-1");
	world_do(&world, "set",
		 "{\"kind\":\"Node\",\"name\":\"node-1\",\"patch\":{\"spec\":{\"unschedulable\":"
		 "null}}}");
	assert_string_equal(look(&world, "{" NODE "}", &plan, &since), "superseded");
	assert_holds(since, "somebody let pods onto the node again");
	assert_int_equal(pods_on(&world, "node-1"), left);
	json_decref(since);
	end_free(&plan);
	close_full(&world);
}

static void test_what_would_be_lost(void **state)
{
	const struct action_kind *kind = world_kind("kube.drain");
	struct world world;
	struct end end;

	(void)state;
	open_full(&world);
	make_pod(&world, "alone", "", "");
	end = world_act(&world, kind, ACT_PLAN, "{" NODE "}", NULL);
	assert_kind(end, ERR_INVALID);
	assert_says(end,
		    "of its pods nobody makes 1 again, and 0 keep data on the node, like alone");
	end_free(&end);
	end = world_act(&world, kind, ACT_PLAN, "{" NODE ",\"force\":true}", NULL);
	assert_good(end);
	assert_holds(end.result, "1 of them nobody makes again, like alone.");
	end_free(&end);
	world_do(&world, "delete", "{\"kind\":\"Pod\",\"ns\":\"ads\",\"name\":\"alone\"}");
	make_pod(&world, "data",
		 ",\"ownerReferences\":[{\"apiVersion\":\"apps/"
		 "v1\",\"kind\":\"ReplicaSet\",\"name\":\"a\","
		 "\"uid\":\"u\",\"controller\":true}]",
		 ",\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}]");
	end = world_act(&world, kind, ACT_PLAN, "{" NODE "}", NULL);
	assert_kind(end, ERR_INVALID);
	assert_says(end, "0 again, and 1 keep data on the node, like data");
	end_free(&end);
	world_do(&world, "rbac", "{\"deny\":[{\"resource\":\"pods\",\"verb\":\"list\"}]}");
	end = world_act(&world, kind, ACT_PLAN, "{" NODE "}", NULL);
	assert_kind(end, ERR_DENIED);
	assert_says(end, "opsd may not list pods");
	end_free(&end);
	close_full(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_budget_holds_it_up),
		cmocka_unit_test(test_given_up),
		cmocka_unit_test(test_uncordoned_meanwhile),
		cmocka_unit_test(test_what_would_be_lost),
	};
	int failed;

	http_library_init();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	http_library_finish();
	return failed;
}
