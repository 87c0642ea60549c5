/* SPDX-License-Identifier: Apache-2.0 */
/* Containers, revisions, single values, pauses, nodes and deletions: what each kind plans and
 * refuses, and what the cluster then has. */
#include "kube_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"

#define DEV "\"cluster\":\"main\",\"namespace\":\"ads\",\"name\":\"workers-dev\""
#define ANY "\"cluster\":\"main\",\"namespace\":\"ads\","
#define IMAGE(tag) "{" DEV ",\"image\":\"registry.example.com/worker:" tag "\"}"

static json_t *object_now(struct world *world, const char *kind, const char *ns, const char *name)
{
	return world_control(world, "object", "{\"kind\":\"%s\",\"ns\":\"%s\",\"name\":\"%s\"}",
			     kind, ns, name);
}

static void assert_holds(const struct end *end, const char *text)
{
	char *all = json_text(end->result);

	if (strstr(all, text) == NULL)
		fail_msg("\"%s\" is not in %s", text, all);
	free(all);
}

static void assert_lacks(const struct end *end, const char *text)
{
	char *all = json_text(end->result);

	if (strstr(all, text) != NULL)
		fail_msg("\"%s\" is in %s", text, all);
	free(all);
}

static void refuses(struct world *world, const char *kind, const char *with, const char *says)
{
	struct end end = world_act(world, world_kind(kind), ACT_PLAN, with, NULL);

	assert_true(end.failed);
	assert_says(end, says);
	end_free(&end);
}

/* Plans and applies, each time as another request; what it did is in the cluster. */
static void does(struct world *world, const char *kind, const char *with)
{
	static unsigned requests;
	json_t *values = json_loads(with, 0, NULL);
	char id[ID_REQUEST_LEN], *text;
	struct end plan, end;

	(void)snprintf(id, sizeof(id), "R1KH2M8Q4ZT7%04u", ++requests);
	json_object_set_new(values, "test_request", json_string(id));
	text = json_text(values);
	plan = world_act(world, world_kind(kind), ACT_PLAN, text, NULL);
	assert_good(plan);
	end = world_act(world, world_kind(kind), ACT_APPLY, text, plan.result);
	assert_good(end);
	end_free(&end);
	end_free(&plan);
	json_decref(values);
	free(text);
}

static const json_t *container_now(const json_t *object)
{
	return json_array_get(jget(object, "object.spec.template.spec.containers"), 0);
}

static void test_set(void **state)
{
	const char *with =
		"{" DEV ",\"container\":\"worker\",\"image\":\"w:2\",\"env\":{\"LEVEL\":"
		"\"debug\",\"N\":5,\"NONE\":null},\"limits\":{\"cpu\":\"1500m\",\"memory\":"
		"\"0.5Gi\"}}";
	struct world world;
	struct end plan;
	json_t *object;

	(void)state;
	world_open(&world);
	plan = world_act(&world, world_kind("kube.set"), ACT_PLAN, with, NULL);
	assert_good(plan);
	assert_holds(&plan, "{\"field\":\"image\",\"from\":\"registry.example.com/worker:1.4.2\","
			    "\"to\":\"w:2\"}");
	assert_holds(&plan, "{\"field\":\"env LEVEL\",\"from\":null,\"to\":\"debug\"}");
	assert_holds(&plan, "{\"field\":\"env N\",\"from\":null,\"to\":\"5\"}");
	assert_holds(&plan, "{\"field\":\"limits.memory\",\"from\":null,\"to\":\"512Mi\"}");
	assert_lacks(&plan, "NONE");
	end_free(&plan);
	does(&world, "kube.set", with);
	object = object_now(&world, "Deployment", "ads", "workers-dev");
	assert_string_equal(jget_str(container_now(object), "image"), "w:2");
	assert_string_equal(jget_str(container_now(object), "resources.limits.cpu"), "1500m");
	/* what nobody spoke of is as it was */
	assert_string_equal(jget_str(container_now(object), "resources.requests.cpu"), "500m");
	assert_int_equal(jget_int(object, "object.spec.replicas", 0), 2);
	json_decref(object);
	/* the same once more: nothing would change */
	plan = world_act(&world, world_kind("kube.set"), ACT_PLAN, with, NULL);
	assert_int_equal(json_array_size(json_object_get(plan.result, "changes")), 0);
	end_free(&plan);
	world_close(&world);
}

static void test_set_refusals(void **state)
{
	struct world world;

	(void)state;
	world_open(&world);
	refuses(&world, "kube.set", "{" DEV "}", "image, env, requests or limits is needed");
	refuses(&world, "kube.set", "{" DEV ",\"container\":\"web\",\"image\":\"w:2\"}",
		"has no container web; it has worker");
	refuses(&world, "kube.set", "{" DEV ",\"image\":\"w 2\"}", "cannot be an image");
	refuses(&world, "kube.set", "{" DEV ",\"limits\":{\"memory\":\"much\"}}",
		"\"much\" is no amount of memory");
	refuses(&world, "kube.set", "{" DEV ",\"kind\":\"CronJob\",\"image\":\"w:2\"}",
		"not a CronJob");
	world_do(&world, "set",
		 "{\"kind\":\"Deployment\",\"ns\":\"ads\",\"name\":\"workers-dev\",\"patch\":{"
		 "\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"worker\",\"image\":"
		 "\"w:1\",\"env\":[{\"name\":\"TOKEN\",\"valueFrom\":{\"secretKeyRef\":{\"name\":"
		 "\"s\",\"key\":\"k\"}}}]}]}}}}}");
	refuses(&world, "kube.set", "{" DEV ",\"env\":{\"TOKEN\":\"x\"}}",
		"TOKEN comes from a Secret");
	refuses(&world, "kube.set", "{" ANY "\"name\":\"workers-deb\",\"image\":\"w:2\"}",
		"did you mean workers-dev?");
	world_do(&world, "admission", "{\"deny\":\"images need a digest\"}");
	refuses(&world, "kube.set", IMAGE("9"), "images need a digest");
	world_close(&world);
}

/* A vertical autoscaler writes over what is set here: the preview says so. */
static void test_set_under_vpa(void **state)
{
	const char *with = "{" DEV ",\"requests\":{\"cpu\":\"1\"}}";
	struct world world;
	struct end plan;

	(void)state;
	world_open(&world);
	plan = world_act(&world, world_kind("kube.set"), ACT_PLAN, with, NULL);
	assert_good(plan);
	assert_lacks(&plan, "VerticalPodAutoscaler");
	end_free(&plan);
	world_do(&world, "create",
		 "{\"object\":{\"kind\":\"VerticalPodAutoscaler\",\"metadata\":{\"namespace\":"
		 "\"ads\",\"name\":\"fit\"},\"spec\":{\"targetRef\":{\"apiVersion\":\"apps/v1\","
		 "\"kind\":\"Deployment\",\"name\":\"workers-dev\"},\"updatePolicy\":{"
		 "\"updateMode\":\"Recreate\"}}}}");
	plan = world_act(&world, world_kind("kube.set"), ACT_PLAN, with, NULL);
	assert_good(plan);
	assert_holds(&plan, "VerticalPodAutoscaler fit");
	end_free(&plan);
	world_do(&world, "without", "{\"kinds\":[\"VerticalPodAutoscaler\"]}");
	plan = world_act(&world, world_kind("kube.set"), ACT_PLAN, with, NULL);
	assert_good(plan);
	assert_lacks(&plan, "VerticalPodAutoscaler");
	end_free(&plan);
	world_close(&world);
}

/* Revisions are made by controllers: a cluster where they work, and have nothing to do now. */
static void open_with_controllers(struct world *world)
{
	world_open(world);
	world_do(world, "settings", "{\"workloads\":\"full\",\"observe_ms\":1,\"step_ms\":1}");
	world_do(world, "reset", "{}");
	world_do(world, "token", "{\"token\":\"kube-token-of-test\",\"file\":\"%s\"}",
		 getenv("KUBE_TOKEN"));
}

static void close_with_controllers(struct world *world)
{
	world_do(world, "settings",
		 "{\"workloads\":\"instant\",\"observe_ms\":20,\"step_ms\":150}");
	world_close(world);
}

static void wait_revision(struct world *world, const char *revision)
{
	char want[200];

	(void)snprintf(
		want, sizeof(want),
		"{\"metadata\":{\"annotations\":{\"deployment.kubernetes.io/revision\":\"%s\"}}}",
		revision);
	world_wait(world, "Deployment", "ads", "workers-dev", want);
}

static void assert_image(struct world *world, const char *kind, const char *name, const char *want)
{
	const char *ns = strcmp(kind, "StatefulSet") == 0 ? "core" : "ads";
	json_t *object = object_now(world, kind, ns, name);

	assert_string_equal(jget_str(container_now(object), "image"), want);
	json_decref(object);
}

static void test_undo(void **state)
{
	const struct action_kind *kind = world_kind("kube.undo");
	struct world world;
	struct end plan, back, end;

	(void)state;
	open_with_controllers(&world);
	refuses(&world, "kube.undo", "{" DEV "}", "it keeps no earlier revision");
	does(&world, "kube.set", IMAGE("1.5.0"));
	wait_revision(&world, "2");
	does(&world, "kube.set", "{" DEV ",\"env\":{\"MODE\":\"x\"}}");
	wait_revision(&world, "3");
	plan = world_act(&world, kind, ACT_PLAN, "{" DEV ",\"revision\":1}", NULL);
	assert_good(plan);
	assert_holds(&plan, "{\"field\":\"revision\",\"from\":3,\"to\":1}");
	assert_holds(&plan, "{\"field\":\"image of worker\",\"from\":"
			    "\"registry.example.com/worker:1.5.0\",\"to\":"
			    "\"registry.example.com/worker:1.4.2\"}");
	assert_lacks(&plan, "containers"); /* no template is recorded: it may hold anything */
	end = world_act(&world, kind, ACT_APPLY, "{" DEV ",\"revision\":1}", plan.result);
	assert_good(end);
	end_free(&end);
	end = world_act(&world, kind, ACT_LOOK, "{" DEV ",\"revision\":1}", plan.result);
	assert_string_equal(jget_str(end.result, "state"), "done");
	end_free(&end);
	assert_image(&world, "Deployment", "workers-dev", "registry.example.com/worker:1.4.2");
	/* and back to what it was, variable and all */
	back = world_act(&world, kind, ACT_REVERT,
			 "{" DEV ",\"test_request\":\"R1KH2M8Q4ZT7WX0B\"}", plan.result);
	assert_good(back);
	end = world_act(&world, kind, ACT_APPLY, "{" DEV ",\"test_request\":\"R1KH2M8Q4ZT7WX0B\"}",
			back.result);
	assert_good(end);
	end_free(&end);
	assert_image(&world, "Deployment", "workers-dev", "registry.example.com/worker:1.5.0");
	end_free(&plan);
	end_free(&back);
	refuses(&world, "kube.undo", "{" DEV ",\"revision\":99}", "it keeps no such revision");
	close_with_controllers(&world);
}

static void test_undo_statefulset(void **state)
{
	const char *queue = "{\"cluster\":\"main\",\"namespace\":\"core\",\"kind\":\"StatefulSet\","
			    "\"name\":\"queue\"}";
	struct world world;

	(void)state;
	open_with_controllers(&world);
	does(&world, "kube.set",
	     "{\"cluster\":\"main\",\"namespace\":\"core\",\"kind\":\"StatefulSet\",\"name\":"
	     "\"queue\",\"image\":\"registry.example.com/queue:4.0\"}");
	world_wait(&world, "StatefulSet", "core", "queue",
		   "{\"status\":{\"observedGeneration\":2}}");
	does(&world, "kube.undo", queue);
	assert_image(&world, "StatefulSet", "queue", "registry.example.com/queue:3.9");
	close_with_controllers(&world);
}

static void test_undo_refuses(void **state)
{
	struct world world;
	struct end plan, end;

	(void)state;
	open_with_controllers(&world);
	does(&world, "kube.set", IMAGE("1.5.0"));
	wait_revision(&world, "2");
	plan = world_act(&world, world_kind("kube.undo"), ACT_PLAN, "{" DEV "}", NULL);
	assert_good(plan);
	/* somebody deploys in between: it is not undone blindly */
	world_do(&world, "set",
		 "{\"kind\":\"Deployment\",\"ns\":\"ads\",\"name\":\"workers-dev\",\"patch\":{"
		 "\"metadata\":{\"annotations\":{\"opsd/last-request\":null}},\"spec\":{"
		 "\"template\":{\"metadata\":{\"labels\":{\"more\":\"x\"}}}}}}");
	end = world_act(&world, world_kind("kube.undo"), ACT_APPLY, "{" DEV "}", plan.result);
	assert_kind(end, ERR_INVALID);
	assert_says(end, "was changed by somebody else meanwhile");
	end_free(&end);
	end_free(&plan);
	world_do(&world, "obstacle",
		 "{\"what\":\"pause\",\"ns\":\"ads\",\"name\":\"workers-dev\"}");
	refuses(&world, "kube.undo", "{" DEV "}", "its rollout is paused");
	close_with_controllers(&world);
}

#define PATCH(path, value)                                                                         \
	"{" DEV ",\"kind\":\"Deployment\",\"allow\":[\"/spec/minReadySeconds\",\"/spec/strategy/"  \
	"type\",\"/metadata/labels/*\",\"/spec/template/spec/containers/*\"],\"path\":\"" path     \
	"\",\"value\":" value "}"

static void test_patch(void **state)
{
	struct world world;
	struct end plan;
	json_t *object;

	(void)state;
	world_open(&world);
	plan = world_act(&world, world_kind("kube.patch"), ACT_PLAN,
			 PATCH("/metadata/labels/cost~1center", "\"42\""), NULL);
	assert_good(plan);
	assert_holds(&plan, "{\"field\":\"/metadata/labels/cost~1center\",\"from\":null,\"to\":"
			    "\"42\"}");
	end_free(&plan);
	does(&world, "kube.patch", PATCH("/metadata/labels/cost~1center", "\"42\""));
	does(&world, "kube.patch", PATCH("/spec/minReadySeconds", "7"));
	/* a typed text is a number where a number stands */
	does(&world, "kube.patch", PATCH("/spec/minReadySeconds", "\"9\""));
	object = object_now(&world, "Deployment", "ads", "workers-dev");
	assert_string_equal(json_string_value(json_object_get(
				    jget(object, "object.metadata.labels"), "cost/center")),
			    "42");
	assert_int_equal(jget_int(object, "object.spec.minReadySeconds", 0), 9);
	json_decref(object);
	refuses(&world, "kube.patch", PATCH("/spec/paused", "true"), "not among the paths");
	refuses(&world, "kube.patch", PATCH("/metadata/labels/a/b", "\"x\""), "only labels");
	refuses(&world, "kube.patch", PATCH("/spec/template/spec/containers/0", "\"x\""),
		"leads through a list");
	refuses(&world, "kube.patch", PATCH("/spec/strategy/type", "{\"a\":1}"),
		"a value is needed");
	refuses(&world, "kube.patch", PATCH("/status/replicas", "1"), "only what is wanted");
	/* the schema says no: its own words, without the object in them */
	refuses(&world, "kube.patch", PATCH("/spec/minReadySeconds", "\"soon\""), "wrong type");
	world_close(&world);
}

static void test_patch_checked(void **state)
{
	static const struct {
		const char *allow, *kind, *says;
	} rows[] = {
		{ "[\"/spec/replicas\"]", "Deployment", "kube.scale" },
		{ "[\"/status/x\"]", "Deployment", "only what is wanted" },
		{ "[\"/metadata/finalizers\"]", "Deployment", "labels and annotations" },
		{ "[\"/metadata/ownerReferences/x\"]", "Deployment", "labels and annotations" },
		{ "[\"/data/x\"]", "ConfigMap", "kube.config" },
		{ "[\"*\"]", "Deployment", "looks like" },
		{ "[]", "Deployment", "at least one path" },
		{ "[\"/spec/x\"]", "Secret", "kube.secret" },
		{ "[\"/spec/x\"]", "Deployment", "not among the paths" },
	};
	const struct action_kind *kind = world_kind("kube.patch");

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *with = json_pack("{s:s, s:s, s:s, s:o, s:s, s:i}", "cluster", "main",
					 "kind", rows[i].kind, "name", "x", "allow",
					 json_loads(rows[i].allow, 0, NULL), "path", "/spec/y",
					 "value", 1);
		const char *param = NULL;
		struct err err;

		assert_false(kind->check(with, NULL, &param, &err));
		if (strstr(err.msg, rows[i].says) == NULL)
			fail_msg("\"%s\" is not in: %s", rows[i].says, err.msg);
		json_decref(with);
	}
}

static void test_keda(void **state)
{
	struct world world;
	struct end plan;
	json_t *object;

	(void)state;
	world_open(&world);
	world_do(&world, "obstacle", "{\"what\":\"keda\",\"ns\":\"ads\",\"name\":\"workers-dev\"}");
	plan = world_act(&world, world_kind("kube.keda"), ACT_PLAN,
			 "{" DEV ",\"pause\":true,\"replicas\":5}", NULL);
	assert_good(plan);
	assert_holds(&plan, "{\"field\":\"pause\",\"from\":\"off\",\"to\":\"at 5 replicas\"}");
	end_free(&plan);
	does(&world, "kube.keda", "{" DEV ",\"pause\":true,\"replicas\":5}");
	/* KEDA goes to that number */
	world_wait(&world, "Deployment", "ads", "workers-dev", "{\"spec\":{\"replicas\":5}}");
	plan = world_act(&world, world_kind("kube.scale"), ACT_PLAN, "{" DEV ",\"replicas\":8}",
			 NULL);
	assert_holds(&plan, "is paused at 5 replicas and keeps them there");
	assert_holds(
		&plan,
		"\"lever\":{\"kind\":\"kube.keda\",\"with\":{\"cluster\":\"main\","
		"\"namespace\":\"ads\",\"name\":\"workers-dev\",\"pause\":true,\"replicas\":8}}");
	end_free(&plan);
	plan = world_act(&world, world_kind("kube.keda"), ACT_PLAN, "{" DEV ",\"pause\":false}",
			 NULL);
	assert_holds(&plan, "{\"field\":\"pause\",\"from\":\"at 5 replicas\",\"to\":\"off\"}");
	assert_holds(&plan, "again by its triggers, from 2 to 10");
	end_free(&plan);
	does(&world, "kube.keda", "{" DEV ",\"pause\":false}");
	object = object_now(&world, "ScaledObject", "ads", "workers-dev");
	assert_null(json_object_get(jget(object, "object.metadata.annotations"),
				    "autoscaling.keda.sh/paused-replicas"));
	json_decref(object);
	refuses(&world, "kube.keda", "{" DEV ",\"pause\":true,\"replicas\":-1}", "from 0 to");
	world_do(&world, "without", "{\"kinds\":[\"ScaledObject\"]}");
	refuses(&world, "kube.keda", "{" DEV ",\"pause\":true}", "scaledobjects");
	world_close(&world);
}

static void test_cordon(void **state)
{
	struct world world;
	struct end plan;
	json_t *object;

	(void)state;
	world_open(&world);
	plan = world_act(&world, world_kind("kube.cordon"), ACT_PLAN,
			 "{\"cluster\":\"main\",\"name\":\"node-2\",\"cordon\":true}", NULL);
	assert_good(plan);
	assert_holds(&plan, "{\"field\":\"unschedulable\",\"from\":false,\"to\":true}");
	assert_holds(&plan, "The pods that run there stay.");
	end_free(&plan);
	does(&world, "kube.cordon", "{\"cluster\":\"main\",\"name\":\"node-2\",\"cordon\":true}");
	object = object_now(&world, "Node", "", "node-2");
	assert_true(jget_bool(object, "object.spec.unschedulable", false));
	json_decref(object);
	refuses(&world, "kube.cordon", "{\"cluster\":\"main\",\"name\":\"node-9\",\"cordon\":true}",
		"node-9");
	world_do(&world, "rbac", "{\"deny\":[{\"resource\":\"nodes\",\"verb\":\"patch\"}]}");
	refuses(&world, "kube.cordon", "{\"cluster\":\"main\",\"name\":\"node-1\",\"cordon\":true}",
		"opsd may not patch nodes");
	world_close(&world);
}

static void test_delete_job(void **state)
{
	const struct action_kind *kind = world_kind("kube.delete");
	const char *with = "{" ANY "\"name\":\"import\"}";
	struct world world;
	struct end plan, end;
	json_t *found;

	(void)state;
	world_open(&world);
	world_do(&world, "job", "{\"name\":\"import\",\"outcome\":\"hang\"}");
	world_do(&world, "create",
		 "{\"settled\":false,\"object\":{\"apiVersion\":\"batch/v1\",\"kind\":\"Job\","
		 "\"metadata\":{\"namespace\":\"ads\",\"name\":\"import\"},\"spec\":{\"template\":{"
		 "\"metadata\":{},\"spec\":{\"restartPolicy\":\"Never\",\"containers\":[{\"name\":"
		 "\"t\",\"image\":\"t:1\"}]}}}}}");
	world_wait(&world, "Job", "ads", "import", "{\"status\":{\"active\":1}}");
	plan = world_act(&world, kind, ACT_PLAN, with, NULL);
	assert_good(plan);
	assert_holds(&plan, "{\"field\":\"Job\",\"from\":\"running\",\"to\":\"deleted\"}");
	assert_holds(&plan, "1 of its pods run now");
	/* the answer is lost */
	world_do(&world, "fault", "{\"mode\":\"close_after\",\"verb\":\"delete\",\"times\":1}");
	end = world_act(&world, kind, ACT_APPLY, with, plan.result);
	assert_kind(end, ERR_UNCERTAIN);
	end_free(&end);
	end = world_act(&world, kind, ACT_LOOK, with, plan.result);
	assert_string_equal(jget_str(end.result, "state"), "done");
	end_free(&end);
	/* with its pods: tried once, done once */
	found = world_control(&world, "requests", "{\"verb\":\"delete\",\"resource\":\"jobs\"}");
	assert_int_equal(json_array_size(json_object_get(found, "requests")), 2);
	json_decref(found);
	found = world_control(&world, "objects", "{\"kinds\":[\"Pod\"]}");
	{
		char *all = json_text(found);

		assert_null(strstr(all, "import-"));
		free(all);
	}
	json_decref(found);
	end_free(&plan);
	refuses(&world, "kube.delete", with, "import");
	refuses(&world, "kube.delete", "{" DEV ",\"kind\":\"Deployment\"}", "not a Deployment");
	world_close(&world);
}

/* A namesake is left alone. */
static void test_delete_only_that_one(void **state)
{
	const struct action_kind *kind = world_kind("kube.delete");
	const char *with = "{" ANY "\"name\":\"import\"}";
	const char *made =
		"{\"settled\":false,\"object\":{\"apiVersion\":\"batch/v1\",\"kind\":\"Job\","
		"\"metadata\":{\"namespace\":\"ads\",\"name\":\"import\"},\"spec\":{"
		"\"template\":{\"metadata\":{},\"spec\":{\"restartPolicy\":\"Never\","
		"\"containers\":[{\"name\":\"t\",\"image\":\"t:1\"}]}}}}}";
	struct world world;
	struct end plan, end;

	(void)state;
	world_open(&world);
	world_do(&world, "create", "%s", made);
	plan = world_act(&world, kind, ACT_PLAN, with, NULL);
	assert_good(plan);
	world_do(&world, "delete", "{\"kind\":\"Job\",\"ns\":\"ads\",\"name\":\"import\"}");
	world_do(&world, "create", "%s", made);
	end = world_act(&world, kind, ACT_APPLY, with, plan.result);
	assert_kind(end, ERR_INVALID);
	assert_says(end, "deleted and created again");
	end_free(&end);
	json_decref(object_now(&world, "Job", "ads", "import")); /* it is there */
	end_free(&plan);
	world_close(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_set_refusals),
		cmocka_unit_test(test_set_under_vpa),
		cmocka_unit_test(test_undo),
		cmocka_unit_test(test_undo_statefulset),
		cmocka_unit_test(test_undo_refuses),
		cmocka_unit_test(test_patch),
		cmocka_unit_test(test_patch_checked),
		cmocka_unit_test(test_keda),
		cmocka_unit_test(test_cordon),
		cmocka_unit_test(test_delete_job),
		cmocka_unit_test(test_delete_only_that_one),
	};
	int failed;

	http_library_init();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	http_library_finish();
	return failed;
}
