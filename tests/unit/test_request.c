/* SPDX-License-Identifier: Apache-2.0 */
/* test_request.c - the names of states, whose address counts, and what a plan means. */
#include "test.h"

#include <string.h>

#include "core/request.h"

static void test_states(void **state)
{
	enum request_state found;

	(void)state;
	for (int i = REQUEST_RECEIVED; i <= REQUEST_CANCELLED; i++) {
		assert_true(
			request_state_from_name(request_state_name((enum request_state)i), &found));
		assert_int_equal(found, i);
	}
	assert_string_equal(request_state_name(REQUEST_CONFIRMING), "confirming");
	assert_string_equal(request_state_name(REQUEST_APPROVING), "approving");
	assert_false(request_state_final(REQUEST_APPROVING));
	assert_false(request_state_from_name("done", &found));
	assert_false(request_state_from_name(NULL, &found));
	assert_false(request_state_final(REQUEST_RUNNING));
	assert_false(request_state_final(REQUEST_UNKNOWN)); /* it waits for a person */
	assert_true(request_state_final(REQUEST_SUCCEEDED));
	assert_true(request_state_final(REQUEST_CANCELLED));
}

static void test_asker(void **state)
{
	struct request *rq = request_create();

	(void)state;
	request_set_asker(rq, "ok", "Ana@Example.com", "Ana", "Europe/Madrid");
	assert_true(rq->asker.facts_fresh);
	assert_string_equal(rq->asker.email_key, "ana@example.com");
	assert_string_equal(rq->asker.tz, "Europe/Madrid");
	request_set_asker(rq, "unconfirmed", "ana@example.com", "Ana", NULL);
	assert_null(rq->asker.email_key);
	assert_string_equal(rq->asker.verdict, "unconfirmed");
	request_set_asker(rq, "ok", "an\xc3\xa1@example.com", "Ana", NULL);
	assert_null(rq->asker.email_key);
	request_set_asker(rq, "ok", NULL, "Ana", NULL);
	assert_null(rq->asker.email_key);
	request_destroy(rq);
	request_destroy(NULL);
}

static void digest(const char *text, char ret_digest[65])
{
	json_t *plan = json_loads(text, 0, NULL);

	assert_non_null(plan);
	plan_digest(plan, ret_digest);
	json_decref(plan);
}

#define TARGET "\"target\":{\"cluster\":\"main\",\"name\":\"w\"}"
#define CHANGES "\"changes\":[{\"field\":\"replicas\",\"from\":3,\"to\":5}]"

static void test_digest(void **state)
{
	char a[65], b[65];

	(void)state;
	digest("{" TARGET "," CHANGES ",\"precondition\":{\"uid\":\"u1\",\"version\":\"7\"}}", a);
	assert_int_equal(strlen(a), 64);
	/* The same meaning: order, warnings, owners, versions do not count. */
	digest("{" CHANGES "," TARGET ",\"precondition\":{\"version\":\"8\",\"uid\":\"u1\"},"
	       "\"warnings\":[\"w\"],\"owners\":[{\"who\":\"x\"}]}",
	       b);
	assert_string_equal(a, b);
	/* Another object of the same name, another change, another target. */
	digest("{" TARGET "," CHANGES ",\"precondition\":{\"uid\":\"u2\"}}", b);
	assert_string_not_equal(a, b);
	digest("{" TARGET ",\"changes\":[{\"field\":\"replicas\",\"from\":4,\"to\":5}],"
	       "\"precondition\":{\"uid\":\"u1\"}}",
	       b);
	assert_string_not_equal(a, b);
	digest("{\"target\":{\"cluster\":\"main\",\"name\":\"v\"}," CHANGES
	       ",\"precondition\":{\"uid\":\"u1\"}}",
	       b);
	assert_string_not_equal(a, b);
	digest("{}", b);
	assert_int_equal(strlen(b), 64);
}

static void expect_lock(const char *plan, const char *lock)
{
	json_t *value = json_loads(plan, 0, NULL);
	char *text = plan_lock(value);

	assert_non_null(value);
	if (lock == NULL)
		assert_null(text);
	else
		assert_string_equal(text, lock);
	free(text);
	json_decref(value);
}

static void test_the_lock_is_the_object(void **state)
{
	(void)state;
	expect_lock(
		"{\"target\":{\"cluster\":\"main\",\"namespace\":\"ads\",\"kind\":\"Deployment\","
		"\"name\":\"w\"},\"precondition\":{\"uid\":\"1\"}}",
		"main/ads/Deployment/w");
	expect_lock(
		"{\"target\":{\"cluster\":\"main\",\"namespace\":\"ads\",\"kind\":\"ConfigMap\","
		"\"name\":\"c\",\"key\":\"size\"}}",
		"main/ads/ConfigMap/c"); /* another key is the same object */
	expect_lock("{\"target\":{\"cluster\":\"main\",\"kind\":\"Node\",\"name\":\"n\"}}",
		    "main//Node/n");
	expect_lock("{\"target\":{\"api\":\"p\",\"method\":\"PUT\",\"path\":\"/d/7\"}}",
		    "api/p/d/7");
	expect_lock("{\"target\":{\"api\":\"p\",\"method\":\"DELETE\",\"path\":\"/d/7\"}}",
		    "api/p/d/7");
	expect_lock("{\"target\":{\"api\":\"p\",\"method\":\"POST\",\"path\":\"/tasks\"}}", NULL);
	expect_lock("{}", NULL);
	assert_null(plan_lock(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_lock_is_the_object),
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_asker),
		cmocka_unit_test(test_digest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
