/* SPDX-License-Identifier: Apache-2.0 */
/* What a preview says of the namespace's quotas, and of what would be refused; and what it leaves
 * out where opsd may not see them. */
#include "kube_world.h"

#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

#define ADS "\"cluster\":\"main\",\"namespace\":\"ads\""
#define DEV ADS ",\"name\":\"workers-dev\""
#define TAIL ". The change is accepted, but pods beyond the quota do not start."

/* A quota of that, of which that is used. */
static void open_quota(struct world *world, const char *hard, const char *used)
{
	char *counted = xasprintf("{\"status\":{\"hard\":{%s}}}", hard);

	world_open(world);
	world_do(world, "create",
		 "{\"object\":{\"kind\":\"ResourceQuota\",\"metadata\":{\"namespace\":\"ads\","
		 "\"name\":\"compute\"},\"spec\":{\"hard\":{%s}}}}",
		 hard);
	/* Its controller has looked once; from now on the namespace is as the test says. */
	world_wait(world, "ResourceQuota", "ads", "compute", counted);
	free(counted);
	world_do(world, "set",
		 "{\"kind\":\"ResourceQuota\",\"ns\":\"ads\",\"name\":\"compute\",\"status\":{"
		 "\"hard\":{%s},\"used\":{%s}}}",
		 hard, used);
}

/* The one warning of a plan that speaks of a quota; "": none does.  The caller frees. */
static char *forecast(struct world *world, const char *kind, const char *with)
{
	struct end plan = world_act(world, world_kind(kind), ACT_PLAN, with, NULL);
	char *found = NULL;
	json_t *text;
	size_t i;

	assert_good(plan);
	json_array_foreach(json_object_get(plan.result, "warnings"), i, text)
	{
		if (strstr(json_string_value(text), "uota") == NULL)
			continue;
		assert_null(found);
		found = xstrdup(json_string_value(text));
	}
	end_free(&plan);
	return found != NULL ? found : xstrdup("");
}

static void assert_forecast(struct world *world, const char *kind, const char *with,
			    const char *want)
{
	char *says = forecast(world, kind, with);

	assert_string_equal(says, want);
	free(says);
}

static void test_scale(void **state)
{
	struct world world;

	(void)state;
	open_quota(&world, "\"pods\":\"10\",\"requests.cpu\":\"5\"",
		   "\"pods\":\"8\",\"requests.cpu\":\"4\"");
	assert_forecast(&world, "kube.scale", "{" DEV ",\"replicas\":4}", "");
	assert_forecast(&world, "kube.scale", "{" DEV ",\"replicas\":6}",
			"Quota compute: pods 8 of 10 used, this needs 4 more; requests.cpu 4 of 5 "
			"used, this needs 2 more" TAIL);
	assert_forecast(&world, "kube.scale", "{" DEV ",\"replicas\":1}", "");
	/* Nobody is asked: then nobody reads a forecast. */
	assert_forecast(&world, "kube.scale", "{" DEV ",\"replicas\":6,\"test_unasked\":true}", "");
	/* Not allowed to see quotas: as if there were none. */
	world_do(&world, "rbac",
		 "{\"deny\":[{\"resource\":\"resourcequotas\",\"verb\":\"list\"}]}");
	assert_forecast(&world, "kube.scale", "{" DEV ",\"replicas\":6}", "");
	world_close(&world);
}

/* Of two workers none may be missing: a new one comes before an old one goes. */
static void test_rollout(void **state)
{
	static const char new_ones[] = "Quota compute: pods 10 of 10 used, this needs 1 more" TAIL;
	struct world world;

	(void)state;
	open_quota(&world, "\"pods\":\"10\"", "\"pods\":\"10\"");
	assert_forecast(&world, "kube.restart", "{" DEV "}", new_ones);
	assert_forecast(&world, "kube.set", "{" DEV ",\"image\":\"w:2\"}", new_ones);
	assert_forecast(&world, "kube.config",
			"{" ADS ",\"name\":\"settings\",\"key\":\"LOG_LEVEL\",\"value\":\"debug\","
			"\"restart\":\"workers-dev\"}",
			new_ones);
	/* Of six one may. */
	assert_forecast(&world, "kube.restart", "{" ADS ",\"name\":\"workers-prod\"}", "");
	world_close(&world);
}

static void test_resources(void **state)
{
	struct world world;

	(void)state;
	open_quota(&world, "\"requests.memory\":\"8Gi\"", "\"requests.memory\":\"6Gi\"");
	/* 6 × 1Gi for 6 × 512Mi */
	assert_forecast(&world, "kube.set",
			"{" ADS ",\"name\":\"workers-prod\",\"requests\":{\"memory\":\"1Gi\"}}",
			"Quota compute: requests.memory 6Gi of 8Gi used, this needs 3Gi more" TAIL);
	assert_forecast(&world, "kube.set",
			"{" ADS ",\"name\":\"workers-prod\",\"requests\":{\"memory\":\"256Mi\"}}",
			"");
	world_close(&world);
}

static void test_autoscaler(void **state)
{
	struct world world;

	(void)state;
	open_quota(&world, "\"pods\":\"10\",\"requests.cpu\":\"8\"",
		   "\"pods\":\"8\",\"requests.cpu\":\"4\"");
	world_do(&world, "obstacle",
		 "{\"what\":\"hpa\",\"ns\":\"ads\",\"name\":\"workers-dev\",\"low\":1,\"high\":3}");
	world_do(&world, "set",
		 "{\"kind\":\"HorizontalPodAutoscaler\",\"ns\":\"ads\",\"name\":\"workers-dev\","
		 "\"status\":{\"currentReplicas\":2}}");
	assert_forecast(&world, "kube.autoscale", "{" DEV ",\"max\":4}", "");
	assert_forecast(&world, "kube.autoscale", "{" DEV ",\"max\":12}",
			"Quota compute: pods 8 of 10 used, this needs 10 more at 12 replicas; "
			"requests.cpu 4 of 8 used, this needs 5 more at 12 replicas" TAIL);
	assert_forecast(&world, "kube.autoscale", "{" DEV ",\"min\":6,\"max\":12}",
			"Quota compute: pods 8 of 10 used, this needs 4 more at 6 replicas" TAIL);
	/* Without what it scales only the number of pods is known. */
	world_do(&world, "rbac",
		 "{\"deny\":[{\"group\":\"apps\",\"resource\":\"deployments\",\"verb\":\"get\"}]}");
	assert_forecast(&world, "kube.autoscale", "{" DEV ",\"max\":12}",
			"Quota compute: pods 8 of 10 used, this needs 10 more at 12 replicas" TAIL);
	world_close(&world);
}

/* A job's pods are forecast; the job itself is refused before anybody confirms it. */
static void test_job(void **state)
{
	static const char with[] = "{" ADS ",\"name\":\"compaction\"}";
	struct world world;
	struct end end;

	(void)state;
	open_quota(&world, "\"pods\":\"8\"", "\"pods\":\"8\"");
	world_do(
		&world, "set",
		"{\"kind\":\"CronJob\",\"ns\":\"ads\",\"name\":\"compaction\",\"patch\":{\"spec\":{"
		"\"jobTemplate\":{\"spec\":{\"parallelism\":3,\"completions\":2}}}}}");
	assert_forecast(&world, "kube.job", with,
			"Quota compute: pods 8 of 8 used, this needs 2 more" TAIL);
	assert_int_equal(world_count(&world, "create", "jobs"), 1); /* the dry run */
	world_do(&world, "create",
		 "{\"object\":{\"kind\":\"ResourceQuota\",\"metadata\":{\"namespace\":\"ads\","
		 "\"name\":\"jobless\"},\"spec\":{\"hard\":{\"count/jobs.batch\":\"0\"}}}}");
	end = world_act(&world, world_kind("kube.job"), ACT_PLAN, with, NULL);
	assert_kind(end, ERR_DENIED);
	assert_says(end, "exceeded quota: jobless, requested: count/jobs.batch=1");
	end_free(&end);
	world_do(&world, "delete",
		 "{\"kind\":\"ResourceQuota\",\"ns\":\"ads\",\"name\":\"jobless\"}");
	world_do(&world, "admission", "{\"deny\":\"no jobs on Fridays\",\"kind\":\"Job\"}");
	end = world_act(&world, world_kind("kube.job"), ACT_PLAN, with, NULL);
	assert_true(end.failed);
	assert_says(end, "no jobs on Fridays");
	end_free(&end);
	/* Made again after it was approved: nobody is asked, nothing is tried. */
	end = world_act(&world, world_kind("kube.job"), ACT_PLAN,
			"{" ADS ",\"name\":\"compaction\",\"test_unasked\":true}", NULL);
	assert_good(end);
	end_free(&end);
	world_do(&world, "admission", "{\"clear\":true}");
	world_close(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scale),     cmocka_unit_test(test_rollout),
		cmocka_unit_test(test_resources), cmocka_unit_test(test_autoscaler),
		cmocka_unit_test(test_job),
	};
	int failed;

	http_library_init();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	http_library_finish();
	return failed;
}
