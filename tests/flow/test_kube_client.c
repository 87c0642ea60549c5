/* SPDX-License-Identifier: Apache-2.0 */
/* kube/client: against the stand-in for Kubernetes, which answers in the API server's own words. */
#include "kube_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct kube_request get_workers(void)
{
	struct kube_request request = { .method = "GET",
					.kind = kube_kind_find("Deployment"),
					.space = "ads",
					.name = "workers-dev",
					.request_id = REQUEST_ID,
					.timeout_ms = 10000 };

	return request;
}

static struct kube_request patch_workers(const json_t *body)
{
	struct kube_request request = get_workers();

	request.method = "PATCH";
	request.body = body;
	request.content_type = "application/merge-patch+json";
	return request;
}

static json_t *replicas(int n)
{
	return json_pack("{s:{s:i}}", "spec", "replicas", n);
}

static int64_t replicas_now(struct world *world)
{
	json_t *answer =
		world_control(world, "object",
			      "{\"kind\":\"Deployment\",\"ns\":\"ads\",\"name\":\"workers-dev\"}");
	int64_t n = jget_int(answer, "object.spec.replicas", -1);

	json_decref(answer);
	return n;
}

static void test_read_and_write(void **state)
{
	struct kube_request request = get_workers();
	json_t *body = replicas(5), *seen, *record;
	struct world world;
	struct end end;

	(void)state;
	world_open(&world);
	end = world_ask(&world, &request);
	assert_good(end);
	assert_int_equal(end.status, 200);
	assert_int_equal(jget_int(end.result, "spec.replicas", 0), 2);
	assert_string_equal(end.audit_id, REQUEST_ID);
	end_free(&end);
	request = patch_workers(body);
	end = world_ask(&world, &request);
	assert_good(end);
	assert_int_equal(jget_int(end.result, "spec.replicas", 0), 5);
	end_free(&end);
	assert_int_equal(replicas_now(&world), 5);
	seen = world_control(&world, "requests", "{\"verb\":\"patch\"}");
	record = json_array_get(json_object_get(seen, "requests"), 0);
	assert_string_equal(jget_str(record, "headers.content-type"),
			    "application/merge-patch+json");
	assert_string_equal(jget_str(record, "headers.audit-id"), REQUEST_ID);
	assert_int_equal(strncmp(jget_str(record, "headers.user-agent"), "opsd/", 5), 0);
	assert_string_equal(jget_str(record, "query.fieldManager"), "opsd");
	assert_string_equal(jget_str(record, "query.fieldValidation"), "Strict");
	json_decref(seen);
	json_decref(body);
	world_close(&world);
}

static void test_dry_run_changes_nothing(void **state)
{
	json_t *body = replicas(9);
	struct kube_request request = patch_workers(body);
	struct world world;
	struct end end;

	(void)state;
	world_open(&world);
	request.dry_run = true;
	end = world_ask(&world, &request);
	assert_good(end);
	assert_int_equal(jget_int(end.result, "spec.replicas", 0), 9);
	assert_int_equal(replicas_now(&world), 2);
	end_free(&end);
	json_decref(body);
	world_close(&world);
}

/* What the cluster refuses, in words for people. */
static void test_refusals(void **state)
{
	static const struct {
		const char *fault, *says;
		enum err_kind kind;
		enum kube_problem problem;
	} rows[] = {
		{ "{\"mode\":\"forbidden\"}", "may not patch deployments", ERR_DENIED,
		  KUBE_FORBIDDEN },
		{ "{\"mode\":\"missing\"}", "does not exist", ERR_INVALID, KUBE_NOT_FOUND },
		{ "{\"mode\":\"conflict\"}", "changed by somebody else", ERR_INVALID,
		  KUBE_CONFLICT },
		{ "{\"mode\":\"webhook_denied\",\"message\":\"no Fridays\"}", "no Fridays",
		  ERR_DENIED, KUBE_POLICY },
		{ "{\"mode\":\"webhook_down\"}", "nothing was changed", ERR_RETRY,
		  KUBE_UNAVAILABLE },
		{ "{\"mode\":\"server_timeout\"}", "no clear answer", ERR_UNCERTAIN,
		  KUBE_NOT_CLEAR },
		{ "{\"mode\":\"timeout\",\"applied\":true}", "no clear answer", ERR_UNCERTAIN,
		  KUBE_NOT_CLEAR },
		{ "{\"mode\":\"html\"}", "a proxy in front of the cluster answered 502",
		  ERR_UNCERTAIN, KUBE_NOT_CLEAR },
		{ "{\"mode\":\"close\"}", "closed the connection", ERR_UNCERTAIN, KUBE_NOT_CLEAR },
		{ "{\"mode\":\"close_after\"}", "closed the connection", ERR_UNCERTAIN,
		  KUBE_NOT_CLEAR },
		{ "{\"mode\":\"truncate\"}", "middle of its answer", ERR_UNCERTAIN,
		  KUBE_NOT_CLEAR },
	};
	json_t *body = replicas(3);
	struct kube_request request = patch_workers(body);
	struct world world;

	(void)state;
	world_open(&world);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct end end;

		world_do(&world, "clear", "{}");
		world_do(&world, "fault", "%s", rows[i].fault);
		end = world_ask(&world, &request);
		assert_kind(end, rows[i].kind);
		assert_says(end, rows[i].says);
		assert_says(end, "cluster main: Deployment ads/workers-dev");
		assert_int_equal(end.problem, rows[i].problem);
		end_free(&end);
		/* a write goes out once, whatever becomes of it */
		assert_int_equal(world_count(&world, "patch", "deployments"), (int)i + 1);
	}
	json_decref(body);
	world_close(&world);
}

static void test_reads_are_tried_again(void **state)
{
	static const char *const faults[] = { "close", "truncate" };
	struct kube_request request = get_workers();
	struct world world;

	(void)state;
	world_open(&world);
	for (size_t i = 0; i < 2; i++) {
		struct end end;

		world_do(&world, "fault", "{\"mode\":\"%s\",\"times\":1,\"verb\":\"get\"}",
			 faults[i]);
		end = world_ask(&world, &request);
		assert_good(end);
		end_free(&end);
	}
	world_do(&world, "fault", "{\"mode\":\"hang\",\"verb\":\"get\"}");
	request.timeout_ms = 300;
	{
		struct end end = world_ask(&world, &request);

		assert_kind(end, ERR_TIMEOUT);
		end_free(&end);
	}
	world_do(&world, "clear", "{}");
	request.timeout_ms = 10000;
	world_do(&world, "fault", "{\"mode\":\"server_timeout\",\"verb\":\"get\"}");
	{
		struct end end = world_ask(&world, &request);

		assert_kind(end, ERR_RETRY);
		end_free(&end);
	}
	world_close(&world);
}

/* A busy cluster says when to come back; then anything may be sent again. */
static void test_retry_after(void **state)
{
	json_t *body = replicas(4);
	struct kube_request request = patch_workers(body);
	struct world world;
	struct end end;

	(void)state;
	world_open(&world);
	world_do(&world, "fault",
		 "{\"mode\":\"throttle\",\"retry_after\":1,\"times\":1,\"verb\":\"patch\"}");
	end = world_ask(&world, &request);
	assert_good(end);
	assert_int_equal(replicas_now(&world), 4);
	end_free(&end);
	/* no time for it */
	world_do(&world, "fault", "{\"mode\":\"throttle\",\"retry_after\":30,\"verb\":\"patch\"}");
	end = world_ask(&world, &request);
	assert_kind(end, ERR_RETRY);
	assert_says(end, "busy; nothing was changed");
	end_free(&end);
	json_decref(body);
	world_close(&world);
}

static void test_token_is_renewed(void **state)
{
	json_t *body = replicas(7);
	struct kube_request request = patch_workers(body);
	struct world world;
	struct end end;

	(void)state;
	world_open(&world);
	/* the old one is revoked, the new one is in the file before anybody looks */
	world_do(&world, "token", "{\"file\":\"%s\"}", getenv("KUBE_TOKEN"));
	end = world_ask(&world, &request);
	assert_good(end);
	assert_int_equal(replicas_now(&world), 7);
	end_free(&end);
	/* revoked and not renewed: one attempt to read it again, then the sentence */
	world_do(&world, "token", "{}");
	end = world_ask(&world, &request);
	assert_kind(end, ERR_DENIED);
	assert_int_equal(end.problem, KUBE_UNKNOWN_US);
	assert_says(end, "no longer accepts opsd's credentials");
	end_free(&end);
	json_decref(body);
	world_close(&world);
}

static void test_missing_kinds(void **state)
{
	struct kube_request request = { .method = "GET",
					.kind = kube_kind_find("ScaledObject"),
					.space = "ads",
					.timeout_ms = 10000 };
	struct world world;
	struct end end;

	(void)state;
	world_open(&world);
	world_do(&world, "without", "{\"kinds\":[\"ScaledObject\"]}");
	end = world_ask(&world, &request);
	assert_int_equal(end.problem, KUBE_NO_RESOURCE);
	assert_says(end, "no such resource");
	end_free(&end);
	request = get_workers();
	request.name = "nobody";
	end = world_ask(&world, &request);
	assert_int_equal(end.problem, KUBE_NOT_FOUND);
	assert_says(end, "Deployment ads/nobody does not exist");
	end_free(&end);
	world_close(&world);
}

/* The server's message of a change that cannot be decoded holds the whole object. */
static void test_content_does_not_leak(void **state)
{
	json_t *body = json_pack("{s:{s:i}}", "data", "LOG_LEVEL", 5);
	json_t *typo = json_pack("{s:s}", "dataa", "x");
	struct kube_request request = { .method = "PATCH",
					.kind = kube_kind_find("ConfigMap"),
					.space = "ads",
					.name = "settings",
					.body = body,
					.content_type = "application/merge-patch+json",
					.timeout_ms = 10000 };
	struct world world;
	struct end end;

	(void)state;
	world_open(&world);
	end = world_ask(&world, &request);
	assert_kind(end, ERR_INVALID);
	assert_null(strstr(end.err.msg, "BATCH_SIZE"));
	assert_null(strstr(end.err.msg, "500"));
	end_free(&end);
	request.body = typo;
	end = world_ask(&world, &request);
	assert_kind(end, ERR_INVALID);
	assert_says(end, "unknown field");
	assert_null(strstr(end.err.msg, "BATCH_SIZE"));
	end_free(&end);
	json_decref(body);
	json_decref(typo);
	world_close(&world);
}

static void test_large_answers(void **state)
{
	struct kube_request request = get_workers();
	struct world world;
	struct end end;

	(void)state;
	world_open(&world);
	/* 300 KB are parsed off the loop */
	for (int i = 0; i < 30; i++)
		world_do(&world, "create",
			 "{\"object\":{\"kind\":\"ConfigMap\",\"metadata\":{\"namespace\":\"web\","
			 "\"name\":\"pad-%d\"},\"data\":{\"K\":\"%03000d\"}}}",
			 i, 7);
	request.kind = kube_kind_find("ConfigMap");
	request.space = "web";
	request.name = NULL;
	end = world_ask(&world, &request);
	assert_good(end);
	assert_true(json_array_size(json_object_get(end.result, "items")) >= 30);
	end_free(&end);
	request.max_body = 1000;
	end = world_ask(&world, &request);
	assert_kind(end, ERR_INVALID);
	assert_says(end, "larger than 1000 bytes");
	end_free(&end);
	world_do(&world, "fault", "{\"mode\":\"garbage\"}");
	request.max_body = 0;
	end = world_ask(&world, &request);
	assert_kind(end, ERR_INVALID);
	assert_says(end, "cannot be read");
	end_free(&end);
	world_close(&world);
}

static void test_unreachable(void **state)
{
	struct kube_request request = get_workers();
	struct world world;
	struct end end;

	(void)state;
	world_open(&world);
	world_do(&world, "listen", "{\"on\":false}");
	end = world_ask(&world, &request);
	assert_kind(end, ERR_RETRY);
	assert_says(end, "refused");
	assert_int_equal(end.problem, KUBE_UNAVAILABLE);
	end_free(&end);
	world_do(&world, "listen", "{\"on\":true}");
	world_close(&world);
}

/* What is sent again, and how often, as client-go has it: with Retry-After anything, up to ten
 * times; without it nothing; after a broken connection reads only. */
static void test_how_often(void **state)
{
#define STATUS "{\"mode\":\"status\",\"code\":503,\"reason\":\"ServiceUnavailable\""
	static const struct {
		const char *fault;
		int reads, writes; /* requests that the cluster saw */
		bool read_good, write_good;
	} rows[] = {
		{ STATUS ",\"retry_after\":0,\"times\":1}", 2, 2, true, true },
		{ STATUS ",\"retry_after\":0}", 11, 11, false, false },
		{ STATUS ",\"times\":1}", 1, 1, false, false },
		{ "{\"mode\":\"throttle\",\"retry_after\":0,\"times\":3}", 4, 4, true, true },
		{ "{\"mode\":\"raw\",\"code\":429,\"times\":1}", 1, 1, false, false },
		{ "{\"mode\":\"close\",\"times\":1}", 2, 1, true, false },
		{ "{\"mode\":\"truncate\",\"times\":1}", 2, 1, true, false },
	};
	json_t *body = replicas(4);
	struct world world;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (int writes = 0; writes < 2; writes++) {
			struct kube_request request = writes ? patch_workers(body) : get_workers();
			struct end end;

			world_open(&world);
			world_do(&world, "fault", "%s", rows[i].fault);
			end = world_ask(&world, &request);
			if (end.failed == (writes ? rows[i].write_good : rows[i].read_good))
				fail_msg("row %zu, %s: %s", i, request.method, end.err.msg);
			assert_int_equal(
				world_count(&world, writes ? "patch" : "get", "deployments"),
				writes ? rows[i].writes : rows[i].reads);
			end_free(&end);
			world_close(&world);
		}
	}
	json_decref(body);
}

/* Never a part of a request: a list without its selector would be another list. */
static void test_too_long(void **state)
{
	struct kube_request request = { .method = "GET",
					.kind = kube_kind_find("Deployment"),
					.space = "ads" };
	char query[10000];
	struct world world;
	struct end end;

	(void)state;
	world_open(&world);
	memset(query, 'a', sizeof(query) - 1);
	query[sizeof(query) - 1] = '\0';
	request.query = query;
	end = world_ask(&world, &request);
	assert_kind(end, ERR_INVALID);
	assert_says(end, "too long");
	assert_int_equal(world_count(&world, "list", "deployments"), 0);
	end_free(&end);
	world_close(&world);
}

static void on_cancelled(void *data, const struct kube_answer *answer, const struct err *err)
{
	(void)answer;
	assert_non_null(err);
	*(bool *)data = true;
}

static void test_cancel(void **state)
{
	struct kube_request request = get_workers();

	(void)state;
	for (unsigned turns = 0; turns < 10; turns++) {
		struct world world;
		struct call *call;
		bool ended = false, told;

		world_open(&world);
		world_do(&world, "fault", "{\"mode\":\"close\",\"verb\":\"get\"}");
		call = kube_call(world.kube, &request, on_cancelled, &ended);
		for (unsigned i = 0; i < turns; i++)
			(void)uv_run(&world.loop, UV_RUN_NOWAIT);
		told = ended;
		if (!told)
			call_cancel(&call);
		world_close(&world);
		assert_true(ended == told);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_and_write),
		cmocka_unit_test(test_dry_run_changes_nothing),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_reads_are_tried_again),
		cmocka_unit_test(test_retry_after),
		cmocka_unit_test(test_token_is_renewed),
		cmocka_unit_test(test_missing_kinds),
		cmocka_unit_test(test_content_does_not_leak),
		cmocka_unit_test(test_large_answers),
		cmocka_unit_test(test_unreachable),
		cmocka_unit_test(test_how_often),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_cancel),
	};
	int failed;

	http_library_init();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	http_library_finish();
	return failed;
}
