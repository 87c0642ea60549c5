/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of action on a declared API. */
#include "kube_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/expr.h"

static void assert_holds(const struct end *end, const char *text)
{
	char *all = json_text(end->result);

	if (strstr(all, text) == NULL)
		fail_msg("\"%s\" is not in %s", text, all);
	free(all);
}

static void fault(struct world *world, const char *json)
{
	json_decref(world_api(world, "clear", "{}"));
	json_decref(world_api(world, "fault", "%s", json));
}

static size_t tasks_made(struct world *world)
{
	json_t *answer = world_api(world, "objects", "{}");
	size_t n = json_array_size(json_object_get(answer, "tasks"));

	json_decref(answer);
	return n;
}

#define DATASETS(more)                                                                             \
	"{\"api\":\"platform\",\"path\":\"/"                                                       \
	"datasets\",\"query\":{\"owner\":\"ads\",\"status\":null,"                                 \
	"\"name\":\"\",\"limit\":5}" more "}"
#define ROWS ",\"columns\":[\"Name\",\"State\"],\"rows\":\"[.answer.items[] | [.name, .status]]\""

static void test_list(void **state)
{
	const struct action_kind *kind = world_kind("http.list");
	struct world world;
	struct end end, next;
	char with[600];

	(void)state;
	world_open(&world);
	end = world_act(&world, kind, ACT_APPLY, DATASETS(ROWS ",\"title\":\"Datasets\""), NULL);
	assert_good(end);
	assert_string_equal(jget_str(end.result, "title"), "Datasets");
	assert_int_equal(json_array_size(json_object_get(end.result, "rows")), 5);
	assert_holds(&end, "[\"ads.clicks\",\"ready\"]");
	assert_holds(&end, "\"columns\":[\"Name\",\"State\"]");
	(void)snprintf(with, sizeof(with), DATASETS(ROWS ",\"test_cursor\":\"%s\""),
		       jget_str_or(end.result, "next", "none"));
	next = world_act(&world, kind, ACT_APPLY, with, NULL);
	assert_good(next);
	assert_holds(&next, "[\"ads.bids\",");
	end_free(&end);
	end_free(&next);
	/* without rows: what the API names its fields */
	end = world_act(&world, kind, ACT_APPLY, DATASETS(""), NULL);
	assert_good(end);
	assert_holds(&end, "\"columns\":[\"name\",\"owner\",\"status\"");
	end_free(&end);
	world_close(&world);
}

static void test_list_troubles(void **state)
{
	static const struct {
		const char *fault, *says;
		enum err_kind kind;
	} rows[] = {
		{ "{\"mode\":\"status\",\"code\":500}", "answered 500: something broke",
		  ERR_RETRY },
		{ "{\"mode\":\"status\",\"code\":429,\"retry_after\":7}", "answered 429",
		  ERR_RETRY },
		{ "{\"mode\":\"unauthorized\"}", "opsd's token for it is not accepted",
		  ERR_DENIED },
		{ "{\"mode\":\"html\"}", "is no JSON", ERR_INVALID },
		{ "{\"mode\":\"garbage\"}", "is no JSON", ERR_INVALID },
		{ "{\"mode\":\"huge\"}", "larger than", ERR_INVALID },
		{ "{\"mode\":\"wrong_shape\"}", "", ERR_INVALID },
		{ "{\"mode\":\"redirect\"}", "redirects are not followed", ERR_INVALID },
		{ "{\"mode\":\"close\"}", "closed the connection", ERR_RETRY },
	};
	const struct action_kind *kind = world_kind("http.list");
	struct world world;

	(void)state;
	world_open(&world);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct end end;

		fault(&world, rows[i].fault);
		end = world_act(&world, kind, ACT_APPLY, DATASETS(ROWS), NULL);
		assert_kind(end, rows[i].kind);
		assert_says(end, rows[i].says);
		end_free(&end);
	}
	json_decref(world_api(&world, "clear", "{}"));
	{
		struct end end = world_act(&world, kind, ACT_APPLY,
					   "{\"api\":\"platform\",\"path\":\"/"
					   "datasets\",\"query\":{\"owne\":\"a&b=c\"}}",
					   NULL);

		assert_kind(end, ERR_INVALID);
		assert_says(end, "unknown argument owne;"); /* the & and = were escaped */
		end_free(&end);
	}
	world_close(&world);
}

/* A value is one part of a path, and no more than that. */
static void test_paths(void **state)
{
	static const struct {
		const char *with, *says;
	} rows[] = {
		{ "{\"api\":\"platform\",\"method\":\"GET\",\"args\":{\"name\":\"a/b\"},\"path\":"
		  "\"/datasets/a/b\"}",
		  "name may not hold a /" },
		{ "{\"api\":\"platform\",\"method\":\"GET\",\"path\":\"/datasets/..\"}",
		  "cannot be a part" },
		{ "{\"api\":\"platform\",\"method\":\"GET\",\"path\":\"/datasets/./x\"}",
		  "cannot be a part" },
		{ "{\"api\":\"platform\",\"method\":\"GET\",\"path\":\"/datasets/\"}",
		  "cannot be a part" },
		{ "{\"api\":\"platform\",\"method\":\"GET\",\"path\":\"datasets\"}",
		  "must begin with /" },
		{ "{\"api\":\"platform\",\"method\":\"GET\",\"path\":\"/datasets/x?y=%2f#z\"}",
		  "no dataset named x?y=%2f#z" },
		{ "{\"api\":\"other\",\"method\":\"GET\",\"path\":\"/datasets\"}",
		  "no API \"other\"" },
	};
	const struct action_kind *kind = world_kind("http.call");
	struct world world;
	struct end end;

	(void)state;
	world_open(&world);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		end = world_act(&world, kind, ACT_APPLY, rows[i].with, NULL);
		assert_kind(end, ERR_INVALID);
		assert_says(end, rows[i].says);
		end_free(&end);
	}
	end = world_act(
		&world, kind, ACT_APPLY,
		"{\"api\":\"platform\",\"method\":\"GET\",\"path\":\"/datasets/ads.clicks\","
		"\"fields\":\"[[\\\"Owner\\\", .answer.owner]]\"}",
		NULL);
	assert_good(end);
	assert_holds(&end, "\"fields\":[[\"Owner\",\"ads\"]]");
	end_free(&end);
	world_close(&world);
}

#define TASK(more)                                                                                 \
	"{\"api\":\"platform\",\"path\":\"/tasks\",\"body\":{\"kind\":\"refresh\",\"dataset\":"    \
	"\"ads.clicks\"},\"done\":\"\\\"task \\\\(.answer.id)\\\"\"" more "}"

static void test_call(void **state)
{
	const struct action_kind *kind = world_kind("http.call");
	struct world world;
	struct end plan, end;
	json_t *seen;

	(void)state;
	world_open(&world);
	plan = world_act(&world, kind, ACT_PLAN, TASK(""), NULL);
	assert_good(plan);
	assert_holds(&plan, "[{\"field\":\"request\",\"from\":null,\"to\":\"POST /tasks\"}]");
	assert_int_equal(tasks_made(&world), 0);
	end = world_act(&world, kind, ACT_APPLY, TASK(""), plan.result);
	assert_good(end);
	assert_string_equal(jget_str(end.result, "done"), "task task-000001");
	assert_int_equal(jget_int(end.result, "evidence.status", 0), 202);
	end_free(&end);
	seen = world_api(&world, "requests", "{}");
	assert_string_equal(jget_str(json_array_get(json_object_get(seen, "requests"), 0),
				     "headers.idempotency-key"),
			    REQUEST_ID);
	json_decref(seen);
	end_free(&plan);
	/* the API's own refusal */
	end = world_act(
		&world, kind, ACT_APPLY,
		"{\"api\":\"platform\",\"path\":\"/tasks\",\"body\":{\"kind\":\"nonsense\"}}",
		NULL);
	assert_kind(end, ERR_INVALID);
	assert_says(end, "API platform: POST /tasks answered 422: kind must be one of");
	end_free(&end);
	world_close(&world);
}

/* The answer is lost.  What the API's owner promises decides what can be known. */
static void test_call_unclear_end(void **state)
{
	static const struct {
		const char *mode, *retry, *look;
		size_t made;
	} rows[] = {
		{ "close_after", "idempotent", "done", 1 },
		{ "close", "idempotent", "done", 1 },
		{ "hang_after", "idempotent", "done", 1 },
		{ "close_after", "never", "unknown", 1 },
		{ "close", "never", "unknown", 0 },
	};
	const struct action_kind *kind = world_kind("http.call");

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct world world;
		struct end plan, end;
		char with[600], text[100];

		world_open(&world);
		(void)snprintf(with, sizeof(with), TASK(",\"retry\":\"%s\""), rows[i].retry);
		plan = world_act(&world, kind, ACT_PLAN, with, NULL);
		(void)snprintf(text, sizeof(text), "{\"mode\":\"%s\",\"times\":1}", rows[i].mode);
		fault(&world, text);
		end = world_act(&world, kind, ACT_APPLY, with, plan.result);
		assert_kind(end, ERR_UNCERTAIN);
		end_free(&end);
		end = world_act(&world, kind, ACT_LOOK, with, plan.result);
		assert_good(end);
		assert_string_equal(jget_str(end.result, "state"), rows[i].look);
		end_free(&end);
		assert_int_equal(tasks_made(&world), rows[i].made);
		end_free(&plan);
		world_close(&world);
	}
}

static void test_call_looks_where_told(void **state)
{
	static const struct {
		const char *done, *look;
	} rows[] = { { ".answer.status == \\\"ready\\\"", "done" },
		     { ".answer.status == \\\"gone\\\"", "not_done" },
		     { "null", "unknown" } };
	const struct action_kind *kind = world_kind("http.call");
	struct world world;

	(void)state;
	world_open(&world);
	for (size_t i = 0; i < 3; i++) {
		char with[800];
		struct end end;

		(void)snprintf(with, sizeof(with),
			       TASK(",\"look_path\":\"/datasets/ads.clicks\",\"look_done\":\"%s\""),
			       rows[i].done);
		end = world_act(&world, kind, ACT_LOOK, with, NULL);
		assert_good(end);
		assert_string_equal(jget_str(end.result, "state"), rows[i].look);
		end_free(&end);
	}
	assert_int_equal(tasks_made(&world), 0);
	world_close(&world);
}

#define LONG                                                                                       \
	"{\"api\":\"platform\",\"path\":\"/tasks\",\"retry\":\"idempotent\",\"task_path\":\"/"     \
	"tasks\","                                                                                 \
	"\"percent\":\".answer.progress\",\"says\":\"\\\"task \\\\(.answer.id) is "                \
	"\\\\(.answer.state)\\\"\",\"result\":\".answer.error // \\\"no "                          \
	"error\\\"\",\"body\":{\"kind\":"                                                          \
	"\"compact\",\"dataset\":\"ads.clicks\"}%s}"

static struct end follow(struct world *world, const json_t *since)
{
	json_t *with;
	char text[1200];
	struct end end;
	char *all;

	(void)snprintf(text, sizeof(text), LONG, "");
	with = json_loads(text, 0, NULL);
	assert_non_null(with);
	json_object_set(with, "test_since", (json_t *)(uintptr_t)since);
	all = json_text(with);
	end = world_act(world, world_kind("http.task"), ACT_FOLLOW, all, NULL);
	json_decref(with);
	free(all);
	return end;
}

static void test_task(void **state)
{
	static const struct {
		const char *outcome, *state, *says, *text;
	} rows[] = { { "succeeded", "done", "is succeeded", "no error" },
		     { "failed", "failed", "is failed", "worker 3 ran out of memory" } };
	const struct action_kind *kind = world_kind("http.task");
	char with[1200];

	(void)state;
	(void)snprintf(with, sizeof(with), LONG, "");
	for (size_t i = 0; i < 2; i++) {
		struct world world;
		struct end plan, end;
		json_t *since;

		world_open(&world);
		json_decref(world_api(&world, "outcome", "{\"outcome\":\"%s\"}", rows[i].outcome));
		plan = world_act(&world, kind, ACT_PLAN, with, NULL);
		assert_good(plan);
		/* its answer is lost: the same again under the same key is the same task */
		fault(&world, "{\"mode\":\"close_after\",\"times\":1}");
		end = world_act(&world, kind, ACT_APPLY, with, plan.result);
		assert_kind(end, ERR_UNCERTAIN);
		end_free(&end);
		end = world_act(&world, kind, ACT_LOOK, with, plan.result);
		assert_good(end);
		assert_string_equal(jget_str(end.result, "state"), "done");
		assert_string_equal(jget_str(end.result, "evidence.task"), "task-000001");
		assert_int_equal(tasks_made(&world), 1);
		since = json_incref(end.result);
		end_free(&end);
		/* until it is over */
		for (;;) {
			end = follow(&world, since);
			assert_good(end);
			json_decref(since);
			since = json_incref(end.result);
			end_free(&end);
			if (strcmp(jget_str_or(since, "state", ""), "going") != 0)
				break;
			assert_in_range(jget_int(since, "have", -1), 0, 100);
			assert_int_equal(jget_int(since, "of", -1), 100);
		}
		assert_string_equal(jget_str(since, "state"), rows[i].state);
		assert_non_null(strstr(jget_str_or(since, "says", ""), rows[i].says));
		assert_string_equal(jget_str(since, "text"), rows[i].text);
		assert_true(jget_bool(since, "final", false));
		json_decref(since);
		end_free(&plan);
		world_close(&world);
	}
}

static void test_task_that_is_lost(void **state)
{
	json_t *gone = json_pack("{s:{s:s}}", "evidence", "task", "task-999999");
	json_t *none = json_pack("{s:{s:i}}", "evidence", "status", 202);
	json_t *odd = json_pack("{s:{s:s}}", "evidence", "task", "../datasets");
	struct world world;
	struct end end;

	(void)state;
	world_open(&world);
	end = follow(&world, gone);
	assert_good(end);
	assert_string_equal(jget_str(end.result, "state"), "failed");
	assert_holds(&end, "does not know this task any more");
	end_free(&end);
	end = follow(&world, none);
	assert_good(end);
	assert_holds(&end, "named no task to follow");
	end_free(&end);
	end = follow(&world, odd); /* an id is one part of the path */
	assert_good(end);
	assert_holds(&end, "named no task to follow");
	end_free(&end);
	fault(&world, "{\"mode\":\"close\",\"times\":9}");
	end = follow(&world, gone);
	assert_kind(end, ERR_RETRY);
	end_free(&end);
	json_decref(gone);
	json_decref(none);
	json_decref(odd);
	world_close(&world);
}

static void test_checks(void **state)
{
	static const struct {
		const char *kind, *with, *param; /* NULL: it is good */
	} rows[] = {
		{ "http.call", TASK(""), NULL },
		{ "http.call", TASK(",\"retry\":\"always\""), "retry" },
		{ "http.call", TASK(",\"method\":\"FETCH\""), "method" },
		{ "http.call", TASK(",\"look_path\":\"/x\""), "look_done" },
		{ "http.call", "{\"api\":\"platfrom\",\"path\":\"/x\"}", "api" },
		{ "http.call", "{\"api\":\"platform\",\"path\":\"x\"}", "path" },
		{ "http.list", "{\"api\":\"platform\",\"path\":\"/x?y=1\"}", "path" },
		{ "http.list", "{\"api\":\"{api}\",\"path\":\"/x/{y}\"}", NULL },
		{ "kube.scale", "{\"cluster\":\"main\",\"kind\":\"{kind}\",\"name\":\"w-{role}\"}",
		  NULL },
		{ "kube.scale", "{\"cluster\":\"mian\",\"name\":\"w\"}", "cluster" },
		{ "kube.scale", "{\"cluster\":\"main\",\"kind\":\"Job\",\"name\":\"w\"}", "kind" },
		{ "kube.scale", "{\"cluster\":\"main\",\"kind\":\"Deploymet\",\"name\":\"w\"}",
		  "kind" },
		{ "kube.scale", "{\"cluster\":\"main\",\"namespace\":\"A\",\"name\":\"w\"}",
		  "namespace" },
		{ "kube.scale", "{\"cluster\":\"main\",\"namespace\":\"a\",\"name\":\"W\"}",
		  "name" },
		{ "kube.config", "{\"cluster\":\"main\",\"name\":\"w\",\"value\":\"x\"}", "key" },
		{ "kube.config", "{\"cluster\":\"main\",\"name\":\"w\",\"key\":\"a b\"}", "key" },
		{ "kube.list", "{\"cluster\":\"main\",\"kind\":\"Pods\"}", NULL },
	};
	struct world world;

	(void)state;
	world_open(&world);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *with = json_loads(rows[i].with, 0, NULL);
		const char *param = NULL;
		struct err err = { 0 };
		bool good = world_kind(rows[i].kind)->check(with, world.env, &param, &err);

		if (good != (rows[i].param == NULL))
			fail_msg("%s: %s", rows[i].with, err.msg);
		if (!good)
			assert_string_equal(param, rows[i].param);
		json_decref(with);
	}
	world_close(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_list_troubles),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_call),
		cmocka_unit_test(test_call_unclear_end),
		cmocka_unit_test(test_call_looks_where_told),
		cmocka_unit_test(test_task),
		cmocka_unit_test(test_task_that_is_lost),
		cmocka_unit_test(test_checks),
	};
	int failed;

	http_library_init();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	expr_forget();
	http_library_finish();
	return failed;
}
