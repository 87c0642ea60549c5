/* SPDX-License-Identifier: Apache-2.0 */
/* The further kinds of action on a cluster: restart, autoscaler, CronJob, job, events, logs. */
#include "kube_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEV "\"cluster\":\"main\",\"namespace\":\"ads\",\"name\":\"workers-dev\""
#define CRON "\"cluster\":\"main\",\"namespace\":\"ads\",\"name\":\"compaction\""

static json_t *object_now(struct world *world, const char *kind, const char *name)
{
	return world_control(world, "object", "{\"kind\":\"%s\",\"ns\":\"ads\",\"name\":\"%s\"}",
			     kind, name);
}

static void assert_holds(const struct end *end, const char *text)
{
	char *all = json_text(end->result);

	if (strstr(all, text) == NULL)
		fail_msg("\"%s\" is not in %s", text, all);
	free(all);
}

static void obstacle(struct world *world, const char *what)
{
	world_do(world, "obstacle", "{\"what\":\"%s\",\"ns\":\"ads\",\"name\":\"workers-dev\"}",
		 what);
}

/* plan, apply with a lost answer, look, apply again: done once. */
static void assert_settles(struct world *world, const struct action_kind *kind, const char *with,
			   const char *verb, const struct end *plan)
{
	struct end end;

	world_do(world, "fault", "{\"mode\":\"close_after\",\"verb\":\"%s\",\"times\":1}", verb);
	end = world_act(world, kind, ACT_APPLY, with, plan->result);
	assert_kind(end, ERR_UNCERTAIN);
	end_free(&end);
	end = world_act(world, kind, ACT_LOOK, with, plan->result);
	assert_good(end);
	assert_string_equal(jget_str(end.result, "state"), "done");
	end_free(&end);
	end = world_act(world, kind, ACT_APPLY, with, plan->result);
	assert_good(end);
	end_free(&end);
}

static void test_restart(void **state)
{
	const struct action_kind *kind = world_kind("kube.restart");
	struct world world;
	struct end plan, again, end;
	json_t *object;

	(void)state;
	world_open(&world);
	plan = world_act(&world, kind, ACT_PLAN, "{" DEV "}", NULL);
	assert_good(plan);
	assert_holds(&plan, "[{\"field\":\"restarted at\",\"from\":null,\"to\":\"now\"}]");
	again = world_act(&world, kind, ACT_PLAN, "{" DEV "}", NULL);
	assert_true(json_equal(json_object_get(plan.result, "changes"),
			       json_object_get(again.result, "changes")));
	end_free(&again);
	end = world_act(&world, kind, ACT_LOOK, "{" DEV "}", plan.result);
	assert_string_equal(jget_str(end.result, "state"), "not_done");
	end_free(&end);
	assert_settles(&world, kind, "{" DEV "}", "patch", &plan);
	object = object_now(&world, "Deployment", "workers-dev");
	assert_string_equal(json_string_value(json_object_get(
				    jget(object, "object.spec.template.metadata.annotations"),
				    "kubectl.kubernetes.io/restartedAt")),
			    jget_str(plan.result, "precondition.to"));
	json_decref(object);
	end_free(&plan);
	obstacle(&world, "pause");
	end = world_act(&world, kind, ACT_PLAN, "{" DEV "}", NULL);
	assert_kind(end, ERR_INVALID);
	assert_says(end, "paused");
	end = world_act(
		&world, kind, ACT_PLAN,
		"{\"cluster\":\"main\",\"namespace\":\"ads\",\"name\":\"settings\",\"kind\":"
		"\"ConfigMap\"}",
		NULL);
	assert_says(end, "not a ConfigMap");
	world_close(&world);
}

static void test_autoscale(void **state)
{
	const struct action_kind *kind = world_kind("kube.autoscale");
	struct world world;
	struct end plan, end;
	json_t *object;

	(void)state;
	world_open(&world);
	obstacle(&world, "hpa");
	plan = world_act(&world, kind, ACT_PLAN, "{" DEV ",\"min\":12,\"max\":30}", NULL);
	assert_good(plan);
	assert_holds(&plan,
		     "[{\"field\":\"min\",\"from\":2,\"to\":12},{\"field\":\"max\",\"from\":10,"
		     "\"to\":30}]");
	assert_settles(&world, kind, "{" DEV ",\"min\":12,\"max\":30}", "patch", &plan);
	object = object_now(&world, "HorizontalPodAutoscaler", "workers-dev");
	assert_int_equal(jget_int(object, "object.spec.minReplicas", 0), 12);
	assert_int_equal(jget_int(object, "object.spec.maxReplicas", 0), 30);
	json_decref(object);
	end_free(&plan);
	end = world_act(&world, kind, ACT_PLAN, "{" DEV ",\"min\":40}", NULL);
	assert_kind(end, ERR_INVALID);
	assert_says(end, "40 to 30 makes no sense");
	/* only one bound, and somebody moves the other */
	plan = world_act(&world, kind, ACT_PLAN, "{" DEV ",\"max\":31}", NULL);
	assert_good(plan);
	world_do(&world, "set",
		 "{\"kind\":\"HorizontalPodAutoscaler\",\"ns\":\"ads\",\"name\":\"workers-dev\","
		 "\"patch\":{\"spec\":{\"minReplicas\":5},\"metadata\":{\"annotations\":"
		 "{\"opsd/last-request\":null}}}}");
	end = world_act(&world, kind, ACT_APPLY, "{" DEV ",\"max\":31}", plan.result);
	assert_kind(end, ERR_INVALID);
	assert_says(end, "changed by somebody else");
	end_free(&plan);
	world_close(&world);
}

static void test_cronjob(void **state)
{
	const struct action_kind *kind = world_kind("kube.cronjob");
	struct world world;
	struct end plan;
	json_t *object;

	(void)state;
	world_open(&world);
	plan = world_act(&world, kind, ACT_PLAN, "{" CRON ",\"suspend\":true}", NULL);
	assert_good(plan);
	assert_holds(&plan, "[{\"field\":\"suspend\",\"from\":false,\"to\":true}]");
	assert_settles(&world, kind, "{" CRON ",\"suspend\":true}", "patch", &plan);
	object = object_now(&world, "CronJob", "compaction");
	assert_true(jget_bool(object, "object.spec.suspend", false));
	json_decref(object);
	end_free(&plan);
	plan = world_act(&world, kind, ACT_PLAN, "{" CRON ",\"suspend\":false}", NULL);
	assert_holds(&plan, "may start at once (schedule 17 3 * * *)");
	end_free(&plan);
	plan = world_act(&world, kind, ACT_PLAN, "{" CRON ",\"suspend\":true}", NULL);
	assert_int_equal(json_array_size(json_object_get(plan.result, "changes")), 0);
	end_free(&plan);
	world_close(&world);
}

static size_t jobs_now(struct world *world)
{
	json_t *answer = world_control(world, "objects", "{\"kinds\":\"Job\"}");
	size_t n = json_array_size(json_object_get(answer, "items"));

	json_decref(answer);
	return n;
}

static void test_job(void **state)
{
	static const char with[] = "{" CRON ",\"env\":{\"DAY\":\"2026-11-24\",\"LIMIT\":5}}";
	const struct action_kind *kind = world_kind("kube.job");
	struct world world;
	struct end plan, end;
	json_t *answer, *job;
	char *all;

	(void)state;
	world_open(&world);
	plan = world_act(&world, kind, ACT_PLAN, with, NULL);
	assert_good(plan);
	assert_holds(&plan, "[{\"field\":\"job\",\"from\":null,\"to\":\"compaction-");
	end = world_act(&world, kind, ACT_LOOK, with, plan.result);
	assert_string_equal(jget_str(end.result, "state"), "not_done");
	end_free(&end);
	assert_settles(&world, kind, with, "create", &plan);
	assert_int_equal(jobs_now(&world), 1);
	answer = world_control(&world, "objects", "{\"kinds\":\"Job\"}");
	job = json_array_get(json_object_get(answer, "items"), 0);
	all = json_text(job);
	assert_non_null(strstr(all, "\"cronjob.kubernetes.io/instantiate\":\"manual\""));
	assert_non_null(strstr(all, "{\"name\":\"DAY\",\"value\":\"2026-11-24\"}"));
	assert_non_null(strstr(all, "{\"name\":\"LIMIT\",\"value\":\"5\"}"));
	assert_non_null(strstr(all, "\"opsd/last-request\":\"" REQUEST_ID "\""));
	assert_string_equal(
		jget_str(json_array_get(jget(job, "metadata.ownerReferences"), 0), "uid"),
		jget_str(plan.result, "precondition.uid"));
	free(all);
	json_decref(answer);
	/* another CronJob of the same name is not what was agreed to */
	world_do(&world, "delete", "{\"kind\":\"CronJob\",\"ns\":\"ads\",\"name\":\"compaction\"}");
	end = world_act(&world, kind, ACT_APPLY, with, plan.result);
	assert_kind(end, ERR_INVALID);
	end_free(&plan);
	end = world_act(&world, kind, ACT_PLAN,
			"{\"cluster\":\"main\",\"namespace\":\"web\",\"name\":"
			"\"compacton\"}",
			NULL);
	assert_says(end, "did you mean compaction?");
	world_close(&world);
}

/* Arguments of its own, and a job that serves as a template. */
static void test_job_of_a_template(void **state)
{
	static const char with[] =
		"{\"cluster\":\"main\",\"namespace\":\"ads\",\"kind\":\"Job\","
		"\"name\":\"import\",\"args\":[\"--day\",\"2026-11-24\",null,7]}";
	const struct action_kind *kind = world_kind("kube.job");
	struct world world;
	struct end plan, end;
	json_t *answer, *job;
	char *all;

	(void)state;
	world_open(&world);
	world_do(&world, "create",
		 "{\"settled\":false,\"object\":{\"apiVersion\":\"batch/v1\",\"kind\":\"Job\","
		 "\"metadata\":{\"namespace\":\"ads\",\"name\":\"import\"},\"spec\":{\"suspend\":"
		 "true,"
		 "\"template\":{\"metadata\":{\"labels\":{\"app\":\"import\",\"job-name\":"
		 "\"import\","
		 "\"batch.kubernetes.io/"
		 "controller-uid\":\"u\"}},\"spec\":{\"restartPolicy\":\"Never\","
		 "\"containers\":[{\"name\":\"t\",\"image\":\"t:1\",\"args\":[\"--all\"]}]}}}}}");
	plan = world_act(&world, kind, ACT_PLAN, with, NULL);
	assert_good(plan);
	assert_holds(&plan, "\"field\":\"args\"");
	end = world_act(&world, kind, ACT_APPLY, with, plan.result);
	assert_good(end);
	answer =
		world_control(&world, "object", "{\"kind\":\"Job\",\"ns\":\"ads\",\"name\":\"%s\"}",
			      jget_str(end.result, "evidence.job"));
	job = json_object_get(answer, "object");
	all = json_text(jget(job, "spec.template"));
	assert_non_null(strstr(all, "\"args\":[\"--day\",\"2026-11-24\",\"7\"]"));
	assert_null(strstr(all, "\"job-name\":\"import\"")); /* of the other one */
	free(all);
	assert_false(jget_bool(job, "spec.suspend", false));
	assert_int_equal(jget_int(job, "spec.ttlSecondsAfterFinished", 0), 24 * 3600);
	assert_null(jget(job, "metadata.ownerReferences"));
	json_decref(answer);
	end_free(&end);
	end_free(&plan);
	end = world_act(&world, kind, ACT_PLAN, "{" CRON ",\"kind\":\"Deployment\"}", NULL);
	assert_says(end, "not of a Deployment");
	world_close(&world);
}

/* Until it ends; its log is for the requester. */
static void test_job_followed(void **state)
{
	static const struct {
		const char *outcome, *state, *says;
	} rows[] = { { "complete", "done", "is complete" },
		     { "fail", "failed", "failed: Job has reached the specified backoff limit" } };
	const struct action_kind *kind = world_kind("kube.job");

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct world world;
		struct end plan, end;
		json_t *since, *with = json_loads("{" CRON "}", 0, NULL);

		world_open(&world);
		world_do(&world, "job",
			 "{\"outcome\":\"%s\",\"lines\":[\"one\",\"\\u001b[31mtwo\"],"
			 "\"run_ms\":20}",
			 rows[i].outcome);
		plan = world_act(&world, kind, ACT_PLAN, "{" CRON "}", NULL);
		assert_good(plan);
		end = world_act(&world, kind, ACT_APPLY, "{" CRON "}", plan.result);
		assert_good(end);
		since = json_incref(end.result);
		end_free(&end);
		for (;;) {
			char *text;

			json_object_set(with, "test_since", since);
			text = json_text(with);
			end = world_act(&world, kind, ACT_FOLLOW, text, plan.result);
			free(text);
			assert_good(end);
			json_decref(since);
			since = json_incref(end.result);
			end_free(&end);
			if (strcmp(jget_str_or(since, "state", ""), "going") != 0)
				break;
		}
		assert_string_equal(jget_str(since, "state"), rows[i].state);
		assert_non_null(strstr(jget_str_or(since, "says", ""), rows[i].says));
		assert_string_equal(jget_str(since, "text"), "one\ntwo\n");
		assert_true(jget_bool(since, "final", false));
		/* cleaned away since */
		world_do(&world, "delete", "{\"kind\":\"Job\",\"ns\":\"ads\",\"name\":\"%s\"}",
			 jget_str(since, "keep.job"));
		json_object_set(with, "test_since", since);
		{
			char *text = json_text(with);

			end = world_act(&world, kind, ACT_FOLLOW, text, plan.result);
			free(text);
		}
		assert_good(end);
		assert_holds(&end, "is gone: it ended and was cleaned away");
		end_free(&end);
		json_decref(since);
		json_decref(with);
		end_free(&plan);
		world_close(&world);
	}
}

/* A name that is taken by something else is no success. */
static void test_job_name_taken(void **state)
{
	const struct action_kind *kind = world_kind("kube.job");
	struct world world;
	struct end plan, end;
	const char *name;

	(void)state;
	world_open(&world);
	plan = world_act(&world, kind, ACT_PLAN, "{" CRON "}", NULL);
	name = jget_str(json_array_get(json_object_get(plan.result, "changes"), 0), "to");
	world_do(&world, "create",
		 "{\"object\":{\"kind\":\"Job\",\"metadata\":{\"namespace\":\"ads\",\"name\":\"%"
		 "s\"},"
		 "\"spec\":{\"template\":{\"spec\":{\"restartPolicy\":\"Never\",\"containers\":"
		 "[{\"name\":\"t\",\"image\":\"i\"}]}}}}}",
		 name);
	end = world_act(&world, kind, ACT_APPLY, "{" CRON "}", plan.result);
	assert_kind(end, ERR_INVALID);
	assert_says(end, "is not this request's");
	end = world_act(&world, kind, ACT_LOOK, "{" CRON "}", plan.result);
	assert_string_equal(jget_str(end.result, "state"), "not_done");
	end_free(&end);
	end_free(&plan);
	world_close(&world);
}

static void test_events(void **state)
{
	const struct action_kind *kind = world_kind("kube.events");
	struct world world;
	struct end end = { 0 };

	(void)state;
	world_open(&world);
	world_do(&world, "settings", "{\"workloads\":\"full\",\"step_ms\":5}");
	world_do(&world, "stuck", "{\"name\":\"workers-dev\",\"reason\":\"ImagePullBackOff\"}");
	world_do(
		&world, "set",
		"{\"kind\":\"Deployment\",\"ns\":\"ads\",\"name\":\"workers-dev\",\"replicas\":4}");
	do { /* the watchdog ends it */
		end_free(&end);
		end = world_act(&world, kind, ACT_APPLY,
				"{\"cluster\":\"main\",\"namespace\":\"ads\",\"name\":"
				"\"workers-dev\",\"warnings\":true}",
				NULL);
		assert_good(end);
	} while (json_array_size(json_object_get(end.result, "rows")) == 0);
	assert_holds(&end, "[\"When\",\"Type\",\"Reason\",\"Object\",\"What\",\"Times\"]");
	assert_holds(&end, "\"Warning\"");
	assert_holds(&end, "\"Pod workers-dev-");
	end_free(&end);
	/* the same trouble, told by the status */
	end = world_act(&world, world_kind("kube.status"), ACT_APPLY, "{" DEV "}", NULL);
	assert_good(end);
	assert_holds(&end, "[\"Pod\",\"Phase\",\"Restarts\",\"Why\"]");
	assert_holds(&end, "worker: ImagePullBackOff");
	end_free(&end);
	world_do(&world, "stuck", "{\"name\":\"workers-dev\",\"off\":true}");
	world_do(&world, "settings", "{\"workloads\":\"instant\"}");
	world_close(&world);
}

/* Each kind has what one asks of it; numbers and states by the API's own fields. */
static void test_status_of_each(void **state)
{
	static const struct {
		const char *object, *with, *shows[3];
	} rows[] = {
		{ "{\"kind\":\"DaemonSet\",\"metadata\":{\"namespace\":\"ads\",\"name\":\"agent\","
		  "\"generation\":1},\"spec\":{\"template\":{\"metadata\":{\"labels\":{\"app\":"
		  "\"agent\"}},\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"agent:1\"}]}},"
		  "\"selector\":{\"matchLabels\":{\"app\":\"agent\"}}},"
		  "\"status\":{\"observedGeneration\":1,\"desiredNumberScheduled\":3,"
		  "\"numberReady\":2,"
		  "\"updatedNumberScheduled\":3,\"numberAvailable\":2}}",
		  "\"kind\":\"DaemonSet\"",
		  { "[\"Name\",\"Ready\",\"Rollout\",\"Image\"]",
		    "[\"agent\",\"2/3\",\"starting: 2 of 3 available\",\"agent:1\"]",
		    "[\"Ready\",\"2/3\"],[\"Updated\",\"3\"],[\"Available\",\"2\"]" } },
		{ "{\"kind\":\"Job\",\"metadata\":{\"namespace\":\"ads\",\"name\":\"agent\"},"
		  "\"spec\":{\"completions\":4,\"suspend\":true,\"template\":{\"spec\":{"
		  "\"containers\":[{"
		  "\"name\":\"a\",\"image\":\"task:1\"}],\"restartPolicy\":\"Never\"}}},\"status\":"
		  "{\"succeeded\":1,\"failed\":"
		  "2,"
		  "\"startTime\":\"2026-11-25T10:00:00Z\",\"conditions\":[{\"type\":\"Failed\","
		  "\"status\":\"True\",\"reason\":\"BackoffLimitExceeded\",\"message\":"
		  "\"Job has reached the specified backoff limit\"}]}}",
		  "\"kind\":\"Job\"",
		  { "[\"Name\",\"State\",\"Succeeded\",\"Failed\",\"Started\"]",
		    "[\"agent\",\"failed\",\"1/4\",\"2\",\"2026-11-25T10:00:00Z\"]",
		    "\"text\":\"Job has reached the specified backoff limit" } },
		{ "{\"kind\":\"CronJob\",\"metadata\":{\"namespace\":\"ads\",\"name\":\"agent\"},"
		  "\"spec\":{\"schedule\":\"17 3 * * "
		  "*\",\"timeZone\":\"Europe/Berlin\",\"suspend\":true,"
		  "\"jobTemplate\":{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":"
		  "\"a\","
		  "\"image\":\"task:2\"}],\"restartPolicy\":\"Never\"}}}}},\"status\":{"
		  "\"lastScheduleTime\":"
		  "\"2026-11-25T03:17:00Z\",\"active\":[{\"name\":\"x\"}]}}",
		  "\"kind\":\"CronJob\"",
		  { "\"Schedule\",\"Suspended\",\"Running\",\"Last run\",\"Last success\"]",
		    "[\"agent\",\"17 3 * * *\",\"yes\",\"1\",\"2026-11-25T03:17:00Z\",\"-\"]",
		    "[\"Time "
		    "zone\",\"Europe/Berlin\"],[\"Suspended\",\"yes\"],[\"Running\",\"1\"]" } },
	};
	const struct action_kind *kind = world_kind("kube.status");
	struct world world;
	struct end all, one;

	(void)state;
	world_open(&world);
	world_do(&world, "settings", "{\"workloads\":\"off\"}");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char with[200];

		world_do(&world, "create", "{\"object\":%s,\"settled\":true}", rows[i].object);
		(void)snprintf(with, sizeof(with),
			       "{\"cluster\":\"main\",\"namespace\":\"ads\",%s}", rows[i].with);
		all = world_act(&world, kind, ACT_APPLY, with, NULL);
		assert_good(all);
		assert_holds(&all, rows[i].shows[0]);
		assert_holds(&all, rows[i].shows[1]);
		(void)snprintf(with, sizeof(with),
			       "{\"cluster\":\"main\",\"namespace\":\"ads\",\"name\":\"agent\",%s}",
			       rows[i].with);
		one = world_act(&world, kind, ACT_APPLY, with, NULL);
		assert_good(one);
		assert_holds(&one, rows[i].shows[2]);
		end_free(&all);
		end_free(&one);
	}
	one = world_act(&world, kind, ACT_APPLY,
			"{\"cluster\":\"main\",\"namespace\":\"ads\",\"kind\":\"ConfigMap\"}",
			NULL);
	assert_kind(one, ERR_INVALID);
	assert_says(one, "a ConfigMap has no such status; use kube.list");
	end_free(&one);
	world_do(&world, "settings", "{\"workloads\":\"instant\"}");
	world_close(&world);
}

static void test_logs(void **state)
{
	const struct action_kind *kind = world_kind("kube.logs");
	struct world world;
	struct end end;
	json_t *pods;
	char with[400];
	const char *pod;

	(void)state;
	world_open(&world);
	world_do(&world, "settings", "{\"workloads\":\"full\",\"step_ms\":5}");
	world_do(
		&world, "set",
		"{\"kind\":\"Deployment\",\"ns\":\"ads\",\"name\":\"workers-dev\",\"replicas\":3}");
	world_do(&world, "wait",
		 "{\"kind\":\"Deployment\",\"ns\":\"ads\",\"name\":\"workers-dev\",\"want\":"
		 "{\"status\":{\"readyReplicas\":3}}}");
	end = world_act(&world, kind, ACT_APPLY, "{" DEV "}", NULL);
	assert_good(end);
	assert_holds(&end, "Log of pod ads/workers-dev-");
	pod = strstr(jget_str(end.result, "title"), "workers-dev-");
	(void)snprintf(with, sizeof(with), "%.*s", (int)strcspn(pod, " "), pod);
	end_free(&end);
	pods = world_control(&world, "objects", "{\"kinds\":\"Pod\"}");
	json_decref(pods);
	world_do(&world, "log",
		 "{\"ns\":\"ads\",\"pod\":\"%s\",\"container\":\"worker\",\"line\":"
		 "\"\\u001b[31mred\\u001b[0m {json}\\u0007 bell\"}",
		 with);
	end = world_act(&world, kind, ACT_APPLY, "{" DEV ",\"lines\":1}", NULL);
	assert_good(end);
	assert_holds(&end, "red {json} bell");
	end_free(&end);
	end = world_act(&world, kind, ACT_APPLY, "{" DEV ",\"container\":\"nobody\"}", NULL);
	assert_kind(end, ERR_INVALID);
	world_do(&world, "settings", "{\"workloads\":\"instant\",\"step_ms\":150}");
	world_close(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_restart),           cmocka_unit_test(test_autoscale),
		cmocka_unit_test(test_cronjob),           cmocka_unit_test(test_job),
		cmocka_unit_test(test_job_of_a_template), cmocka_unit_test(test_job_followed),
		cmocka_unit_test(test_job_name_taken),    cmocka_unit_test(test_events),
		cmocka_unit_test(test_status_of_each),    cmocka_unit_test(test_logs),
	};
	int failed;

	http_library_init();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	http_library_finish();
	return failed;
}
