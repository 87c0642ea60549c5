/* SPDX-License-Identifier: Apache-2.0 */
/* Following a change: how far it is, why it is stuck, who came in between, and whether it stays. */
#include "kube_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEV "\"cluster\":\"main\",\"namespace\":\"ads\",\"name\":\"workers-dev\""
#define IMAGE "{" DEV ",\"image\":\"registry.example.com/worker:1.5.0\"}"

struct followed {
	const struct action_kind *kind;
	const char *with;
	json_t *plan, *since; /* since: what the next look is given */
};

/* A cluster whose controllers work, step_ms between two steps of a rollout. */
static void open_full(struct world *world, unsigned step_ms)
{
	world_open(world);
	world_do(world, "settings",
		 "{\"workloads\":\"full\",\"observe_ms\":1,\"step_ms\":%u,\"hpa_ms\":50,"
		 "\"argo_ms\":50}",
		 step_ms);
	world_do(world, "reset", "{}");
	world_do(world, "token", "{\"token\":\"kube-token-of-test\",\"file\":\"%s\"}",
		 getenv("KUBE_TOKEN"));
}

static void close_full(struct world *world)
{
	world_do(world, "settings",
		 "{\"workloads\":\"instant\",\"observe_ms\":20,\"step_ms\":150,\"hpa_ms\":1000,"
		 "\"argo_ms\":5000}");
	world_close(world);
}

static struct followed change(struct world *world, const char *kind, const char *with)
{
	struct followed f = { .kind = world_kind(kind), .with = with };
	struct end plan = world_act(world, f.kind, ACT_PLAN, with, NULL), end;

	assert_good(plan);
	end = world_act(world, f.kind, ACT_APPLY, with, plan.result);
	assert_good(end);
	f.plan = json_incref(plan.result);
	f.since = json_incref(end.result);
	end_free(&plan);
	end_free(&end);
	return f;
}

static void followed_free(struct followed *f)
{
	json_decref(f->plan);
	json_decref(f->since);
}

/* One look; its state.  What it answered is f->since. */
static const char *look_by(struct world *world, struct followed *f, bool known)
{
	json_t *values = json_loads(f->with, 0, NULL);
	struct end end;
	char *text;

	json_object_set(values, "test_since", f->since);
	json_object_set_new(values, "test_known", json_boolean(known));
	text = json_text(values);
	end = world_act(world, f->kind, ACT_FOLLOW, text, f->plan);
	assert_good(end);
	json_decref(f->since);
	f->since = json_incref(end.result);
	end_free(&end);
	json_decref(values);
	free(text);
	return jget_str_or(f->since, "state", "?");
}

static const char *look(struct world *world, struct followed *f)
{
	return look_by(world, f, false);
}

/* Looks until it is so; the states on the way are going or stuck. */
static void look_until(struct world *world, struct followed *f, const char *state)
{
	const char *now = look(world, f);

	while (strcmp(now, state) != 0) {
		if (strcmp(now, "going") != 0 && strcmp(now, "stuck") != 0 &&
		    strcmp(now, "done") != 0)
			fail_msg("it is %s: %s", now, jget_str_or(f->since, "says", ""));
		now = look(world, f); /* the watchdog ends a wait that has no end */
	}
}

static void assert_since(const struct followed *f, const char *member, const char *text)
{
	const char *has = jget_str_or(f->since, member, "");

	if (strstr(has, text) == NULL)
		fail_msg("\"%s\" is not in %s: %s", text, member, has);
}

static void test_rollout(void **state)
{
	struct followed f;
	struct world world;

	(void)state;
	open_full(&world, 30);
	world_do(&world, "settings", "{\"workloads\":\"off\"}"); /* nobody sees to it yet */
	f = change(&world, "kube.set", IMAGE);
	assert_string_equal(look(&world, &f), "going");
	assert_int_equal(jget_int(f.since, "of", 0), 2);
	world_do(&world, "settings", "{\"workloads\":\"full\"}");
	world_do(&world, "stuck", "{\"name\":\"workers-dev\",\"off\":true}");
	look_until(&world, &f, "done");
	assert_int_equal(jget_int(f.since, "have", 0), 2);
	/* afterwards only the value counts: another change does not take it back */
	world_do(
		&world, "set",
		"{\"kind\":\"Deployment\",\"ns\":\"ads\",\"name\":\"workers-dev\",\"replicas\":3}");
	assert_string_equal(look(&world, &f), "done");
	world_do(&world, "set",
		 "{\"kind\":\"Deployment\",\"ns\":\"ads\",\"name\":\"workers-dev\",\"manager\":"
		 "\"kubectl-edit\",\"patch\":{\"spec\":{\"template\":{\"spec\":{\"containers\":[{"
		 "\"name\":\"worker\",\"image\":\"registry.example.com/worker:1.4.2\"}]}}}}}");
	assert_string_equal(look(&world, &f), "undone");
	assert_since(&f, "says", "set by kubectl-edit at 2");
	followed_free(&f);
	close_full(&world);
}

struct watched {
	struct call *call;
	bool in_step, over;
	unsigned news;
	enum err_kind why;
};

static void on_news(void *data, bool in_step)
{
	struct watched *watched = data;

	watched->in_step = in_step;
	watched->news++;
}

static void on_watch_over(void *data, const struct err *err)
{
	struct watched *watched = data;

	watched->call = NULL;
	watched->over = true;
	watched->why = err->kind;
}

static struct call *watch(struct world *world, const struct followed *f, struct watched *watched)
{
	memset(watched, 0, sizeof(*watched));
	watched->call = action_env_watch(world->env, json_object_get(f->since, "watch"), REQUEST_ID,
					 on_news, on_watch_over, watched);
	return watched->call;
}

static int requests(struct world *world)
{
	json_t *answer = world_control(world, "requests", "{\"limit\":1}");
	int n = (int)jget_int(answer, "total", 0);

	json_decref(answer);
	return n;
}

/* What is watched is not asked for; that it is complete, or not ours any more, is made sure of. */
static void test_watched(void **state)
{
	struct watched watched;
	struct followed f;
	struct world world;
	int before;

	(void)state;
	open_full(&world, 1);
	world_do(&world, "stuck", "{\"name\":\"workers-dev\",\"reason\":\"ImagePullBackOff\"}");
	f = change(&world, "kube.set", IMAGE);
	look_until(&world, &f, "stuck");
	assert_int_equal(json_array_size(json_object_get(f.since, "watch")), 2);
	watch(&world, &f, &watched);
	while (!watched.in_step)
		(void)uv_run(&world.loop, UV_RUN_ONCE);
	world_do(&world, "wait", "{\"watches\":2}"); /* their requests have come */
	before = requests(&world);
	assert_string_equal(look_by(&world, &f, true), "stuck");
	assert_since(&f, "why", "worker: ImagePullBackOff");
	assert_int_equal(requests(&world), before);
	world_do(&world, "stuck", "{\"name\":\"workers-dev\",\"off\":true}");
	while (strcmp(look_by(&world, &f, true), "done") != 0)
		(void)uv_run(&world.loop, UV_RUN_ONCE);
	assert_int_equal(json_array_size(json_object_get(f.since, "watch")), 1);
	assert_int_equal(requests(&world), before + 1); /* the one that made sure */
	assert_string_equal(look_by(&world, &f, true), "done");
	assert_int_equal(requests(&world), before + 1);
	call_cancel(&watched.call);
	assert_string_equal(look_by(&world, &f, true), "done"); /* nothing is known any more */
	assert_int_equal(requests(&world), before + 2);
	followed_free(&f);
	close_full(&world);
}

static void test_watching_ends(void **state)
{
	static const char *const kinds[] = { "deployments", "pods" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct watched watched;
		struct followed f;
		struct world world;

		open_full(&world, 1);
		world_do(&world, "stuck", "{\"name\":\"workers-dev\"}");
		world_do(&world, "rbac", "{\"deny\":[{\"resource\":\"%s\",\"verb\":\"watch\"}]}",
			 kinds[i]);
		f = change(&world, "kube.set", IMAGE);
		look_until(&world, &f, "stuck");
		watch(&world, &f, &watched);
		while (!watched.over)
			(void)uv_run(&world.loop, UV_RUN_ONCE);
		assert_int_equal(watched.why, ERR_DENIED);
		assert_false(watched.in_step);
		assert_int_equal(watched.news, 0);
		followed_free(&f);
		close_full(&world);
	}
}

static void test_stuck(void **state)
{
	struct followed f;
	struct world world;

	(void)state;
	open_full(&world, 1);
	world_do(&world, "stuck",
		 "{\"name\":\"workers-dev\",\"reason\":\"ImagePullBackOff\",\"message\":\"Back-off "
		 "pulling image\"}");
	f = change(&world, "kube.set", IMAGE);
	look_until(&world, &f, "stuck");
	assert_since(&f, "why", "worker: ImagePullBackOff");
	assert_since(&f, "says", "of 2");
	world_do(&world, "stuck", "{\"name\":\"workers-dev\",\"off\":true}");
	look_until(&world, &f, "done"); /* it may still recover */
	followed_free(&f);
	close_full(&world);
}

static void test_quota(void **state)
{
	struct followed f;
	struct world world;

	(void)state;
	open_full(&world, 1);
	world_do(&world, "obstacle", "{\"what\":\"quota\",\"ns\":\"ads\",\"pods\":10}");
	f = change(&world, "kube.scale", "{" DEV ",\"replicas\":9}");
	look_until(&world, &f, "stuck");
	assert_since(&f, "why", "exceeded quota: compute");
	followed_free(&f);
	close_full(&world);
}

static void test_statefulset_waits_for_a_pod(void **state)
{
	struct followed f;
	struct world world;

	(void)state;
	open_full(&world, 1);
	world_do(&world, "stuck",
		 "{\"ns\":\"core\",\"name\":\"queue\",\"kind\":\"StatefulSet\",\"reason\":"
		 "\"CrashLoopBackOff\"}");
	f = change(&world, "kube.set",
		   "{\"cluster\":\"main\",\"namespace\":\"core\",\"kind\":\"StatefulSet\",\"name\":"
		   "\"queue\",\"image\":\"registry.example.com/queue:4.0\"}");
	look_until(&world, &f, "stuck");
	assert_since(&f, "why", "queue-2: worker: CrashLoopBackOff");
	assert_since(&f, "why", "once this pod is deleted");
	followed_free(&f);
	close_full(&world);
}

static void test_superseded(void **state)
{
	struct followed f;
	struct world world;

	(void)state;
	open_full(&world, 1);
	world_do(&world, "stuck", "{\"name\":\"workers-dev\"}");
	f = change(&world, "kube.set", IMAGE);
	look_until(&world, &f, "stuck");
	/* somebody deploys on top: not failed, and not ours any more */
	world_do(&world, "set",
		 "{\"kind\":\"Deployment\",\"ns\":\"ads\",\"name\":\"workers-dev\",\"manager\":"
		 "\"deployer\",\"patch\":{\"spec\":{\"minReadySeconds\":1}}}");
	assert_string_equal(look(&world, &f), "superseded");
	assert_since(&f, "says", "deployer at 2");
	followed_free(&f);
	/* by a request of ours: it is named */
	f = change(&world, "kube.scale", "{" DEV ",\"replicas\":4}");
	world_do(&world, "set",
		 "{\"kind\":\"Deployment\",\"ns\":\"ads\",\"name\":\"workers-dev\",\"replicas\":6,"
		 "\"patch\":{\"metadata\":{\"annotations\":{\"opsd/last-request\":"
		 "\"R1KZZZZZZZZZZZZZ\"}}}}");
	assert_string_equal(look(&world, &f), "superseded");
	assert_since(&f, "says", "request R1KZZZZZZZZZZZZZ changed it");
	followed_free(&f);
	close_full(&world);
}

static void test_undone_by_an_owner(void **state)
{
	static const struct {
		const char *obstacle, *who;
	} rows[] = { { "hpa", "kube-controller-manager (scale) at 2" },
		     { "argo", "argocd-controller at 2" } };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct followed f;
		struct world world;

		open_full(&world, 1);
		world_do(&world, "obstacle",
			 "{\"what\":\"%s\",\"ns\":\"ads\",\"name\":\"workers-dev\"}",
			 rows[i].obstacle);
		f = change(&world, "kube.scale", "{" DEV ",\"replicas\":20}");
		look_until(&world, &f, "undone");
		assert_since(&f, "says", ", not 20");
		assert_since(&f, "says", rows[i].who);
		followed_free(&f);
		close_full(&world);
	}
}

static void test_gone(void **state)
{
	struct followed f;
	struct world world;

	(void)state;
	open_full(&world, 1);
	f = change(&world, "kube.config",
		   "{\"cluster\":\"main\",\"namespace\":\"ads\",\"name\":\"settings\",\"key\":"
		   "\"LOG_LEVEL\",\"value\":\"debug\"}");
	assert_string_equal(look(&world, &f), "done"); /* nothing rolls out */
	assert_null(json_object_get(f.since, "of"));
	world_do(&world, "delete", "{\"kind\":\"ConfigMap\",\"ns\":\"ads\",\"name\":\"settings\"}");
	assert_string_equal(look(&world, &f), "undone");
	assert_since(&f, "says", "does not exist any more");
	followed_free(&f);
	close_full(&world);
}

/* The cluster does not answer: that says nothing about the change. */
static void test_no_answer(void **state)
{
	struct followed f;
	struct world world;
	struct end end;

	(void)state;
	open_full(&world, 1);
	f = change(&world, "kube.scale", "{" DEV ",\"replicas\":3}");
	world_do(&world, "listen", "{\"on\":false}");
	end = world_act(&world, f.kind, ACT_FOLLOW, f.with, f.plan);
	assert_kind(end, ERR_RETRY);
	end_free(&end);
	world_do(&world, "listen", "{\"on\":true}");
	look_until(&world, &f, "done");
	followed_free(&f);
	close_full(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rollout),
		cmocka_unit_test(test_watched),
		cmocka_unit_test(test_watching_ends),
		cmocka_unit_test(test_stuck),
		cmocka_unit_test(test_quota),
		cmocka_unit_test(test_statefulset_waits_for_a_pod),
		cmocka_unit_test(test_superseded),
		cmocka_unit_test(test_undone_by_an_owner),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_no_answer),
	};
	int failed;

	http_library_init();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	http_library_finish();
	return failed;
}
