/* SPDX-License-Identifier: Apache-2.0 */
/* action/why: which pods a rollout waits for, which one is spoken of, and what kind of trouble it
 * is. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "../../src/action/internal.h"

static json_t *value_of(const char *text)
{
	json_t *value = json_loads(text, 0, NULL);

	assert_non_null(value);
	return value;
}

#define POD(name, status)                                                                          \
	"{\"metadata\":{\"name\":\"" name "\",\"uid\":\"u-" name "\"},\"status\":{" status "}}"
#define WAITS(reason)                                                                              \
	"\"phase\":\"Pending\",\"containerStatuses\":[{\"name\":\"w\",\"state\":{\"waiting\":{"    \
	"\"reason\":\"" reason "\"}}}]"
#define READY "\"phase\":\"Running\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]"
#define UNREADY                                                                                    \
	"\"phase\":\"Running\",\"containerStatuses\":[{\"name\":\"w\",\"ready\":false,\"state\":{" \
	"\"running\":{}}}]"
#define WEB "{\"kind\":\"Deployment\",\"metadata\":{\"uid\":\"u-web\"}}"

static const struct {
	const char *object, *pods, *warning, *text, *cause;
	bool trouble;
} rows[] = {
	{ WEB, "[" POD("a", WAITS("ErrImagePull")) "]", NULL, "a: w: ErrImagePull", "image", true },
	/* the one in trouble, though others are only starting; and how many there are */
	{ WEB,
	  "[" POD("a", READY) "," POD("b", WAITS("ContainerCreating")) "," POD(
		  "c", WAITS("CrashLoopBackOff")) "]",
	  NULL, "c: w: CrashLoopBackOff; and 1 more that are not ready", "crash", true },
	{ WEB, "[" POD("a", WAITS("CreateContainerConfigError")) "]", NULL,
	  "CreateContainerConfigError", "config", true },
	{ WEB, "[" POD("a", UNREADY) "]", "Readiness probe failed: 503",
	  "a: w runs, but is not ready. Readiness probe failed: 503", "ready", false },
	{ WEB, "[" POD("a", WAITS("ContainerCreating")) "]",
	  "MountVolume.SetUp failed for volume \"c\"", "MountVolume.SetUp failed", "volume",
	  false },
	{ WEB, "[" POD("a", WAITS("ContainerCreating")) "]", NULL, "a: w: ContainerCreating", NULL,
	  false },
	{ WEB, "[]", "pods \"web-\" is forbidden: exceeded quota: q", "no pods can be made: pods",
	  "quota", true },
	{ "{\"kind\":\"Deployment\",\"status\":{\"conditions\":[{\"type\":\"ReplicaFailure\","
	  "\"status\":\"True\",\"message\":\"violates PodSecurity\"}]}}",
	  "[]", NULL, "no pods can be made: violates PodSecurity", "policy", true },
	{ "{\"kind\":\"StatefulSet\"}", "[" POD("q-2", WAITS("CrashLoopBackOff")) "]", NULL,
	  "helps only once this pod is deleted", "crash", true },
	{ WEB, "[" POD("a", READY) "]", NULL, NULL, NULL, false },
};

static void test_reasons(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *object = value_of(rows[i].object), *pods = value_of(rows[i].pods);
		struct why why;

		why_read(&why, object, pods);
		assert_true(why.unclear || rows[i].warning == NULL);
		why_add(&why, rows[i].warning);
		if ((why.text == NULL) != (rows[i].text == NULL) ||
		    why.trouble != rows[i].trouble ||
		    (why.text != NULL && strstr(why.text, rows[i].text) == NULL))
			fail_msg("row %zu: %s, %d", i, why.text, why.trouble);
		if (rows[i].cause == NULL)
			assert_null(why.cause);
		else
			assert_string_equal(why.cause, rows[i].cause);
		free(why.text);
		json_decref(object);
		json_decref(pods);
	}
}

/* Of the Deployment's own revision, not of a stranger that has the same labels. */
static void test_whose_pods(void **state)
{
	json_t *object =
		value_of("{\"kind\":\"Deployment\",\"metadata\":{\"uid\":\"d\",\"annotations\":{"
			 "\"deployment.kubernetes.io/revision\":\"2\"}}}");
#define SET(uid, owner, revision)                                                                  \
	"{\"metadata\":{\"uid\":\"" uid "\",\"ownerReferences\":[{\"uid\":\"" owner                \
	"\"}],\"annotations\":{\"deployment.kubernetes.io/revision\":\"" revision "\"}}}"
	json_t *sets = value_of("{\"items\":[" SET("s1", "d", "1") "," SET(
		"x", "other", "2") "," SET("s2", "d", "2") "]}");
#define OF(name, owner, more)                                                                      \
	"{\"metadata\":{\"name\":\"" name "\"" more ",\"ownerReferences\":[{\"uid\":\"" owner      \
	"\"}]}}"
	json_t *pods = value_of("{\"items\":[" OF("old", "s1", "") "," OF("new", "s2", "") "," OF(
		"leaves", "s2", ",\"deletionTimestamp\":\"t\"") "]}");
	json_t *found;

	(void)state;
	assert_string_equal(why_set(sets, object), "s2");
	found = why_pods(object, "s2", pods);
	assert_int_equal(json_array_size(found), 1);
	assert_string_equal(jget_str(json_array_get(found, 0), "metadata.name"), "new");
	json_decref(found);
	/* not there yet: none is taken for it */
	json_object_set_new(jget(object, "metadata.annotations"),
			    "deployment.kubernetes.io/revision", json_string("3"));
	assert_null(why_set(sets, object));
	json_decref(object);
	json_decref(sets);
	json_decref(pods);
}

/* What happened before the change says nothing about it. */
static void test_warnings(void **state)
{
	json_t *object =
		value_of("{\"metadata\":{\"managedFields\":[{\"manager\":\"opsd\",\"time\":"
			 "\"2026-11-25T10:00:00Z\"}]}}");
#define EVENT(type, at, note)                                                                      \
	"{\"type\":\"" type "\",\"eventTime\":\"" at "\",\"note\":\"" note "\",\"reason\":\"R\"}"
	json_t *before =
		value_of("{\"items\":[" EVENT("Warning", "2026-11-25T09:59:59Z", "old") "]}");
	json_t *since = value_of(
		"{\"items\":[" EVENT("Warning", "2026-11-25T10:00:02.000001Z", "late") "," EVENT(
			"Warning", "2026-11-25T10:00:00.5Z",
			"early") "," EVENT("Normal", "2026-11-25T10:00:09Z", "fine") "]}");
	json_t *bare = value_of("{\"items\":[" EVENT("Warning", "2026-11-25T10:00:00Z", "") "]}");

	(void)state;
	assert_null(why_warning(before, object));
	assert_string_equal(why_warning(since, object), "late");
	assert_string_equal(why_warning(bare, object), "R");
	json_decref(object);
	json_decref(before);
	json_decref(since);
	json_decref(bare);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_whose_pods),
		cmocka_unit_test(test_warnings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
