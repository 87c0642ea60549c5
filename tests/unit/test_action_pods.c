/* SPDX-License-Identifier: Apache-2.0 */
/* action/pods: why a pod is not ready, from what its status says. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/action/internal.h"

#define NOT_READY                                                                                  \
	"\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\",\"message\":\"containers with "  \
	"unready status: [w]\"}]"

static const struct {
	const char *status, *why; /* NULL: it is not listed */
} rows[] = {
	{ "\"phase\":\"Running\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]", NULL },
	{ "\"phase\":\"Succeeded\"", NULL },
	{ "\"phase\":\"Pending\",\"conditions\":[{\"type\":\"PodScheduled\",\"status\":\"False\","
	  "\"reason\":\"Unschedulable\",\"message\":\"0/3 nodes are available\"}]",
	  "no node for it: 0/3 nodes are available" },
	{ "\"phase\":\"Pending\",\"initContainerStatuses\":[{\"name\":\"i\",\"state\":{\"waiting\":"
	  "{\"reason\":\"ErrImagePull\",\"message\":\"no such image\"}}}],\"containerStatuses\":"
	  "[{\"name\":\"w\",\"state\":{\"waiting\":{\"reason\":\"PodInitializing\"}}}]",
	  "init i: ErrImagePull: no such image" },
	{ "\"phase\":\"Running\",\"containerStatuses\":[{\"name\":\"w\",\"state\":{\"waiting\":"
	  "{\"reason\":\"CrashLoopBackOff\"}},\"lastState\":{\"terminated\":{\"reason\":"
	  "\"OOMKilled\",\"exitCode\":137}}}]",
	  "w: CrashLoopBackOff, last ended by OOMKilled (137)" },
	{ "\"phase\":\"Failed\",\"reason\":\"Evicted\"", "Evicted" },
	{ "\"phase\":\"Running\",\"containerStatuses\":[{\"name\":\"w\",\"state\":{\"running\":{}}}"
	  "]," NOT_READY,
	  "containers with unready status: [w]" },
	{ "\"phase\":\"Running\",\"containerStatuses\":[{\"name\":\"s\",\"ready\":true,\"state\":{"
	  "\"running\":{}}},{\"name\":\"w\",\"ready\":false,\"state\":{\"running\":{}}}]"
	  "," NOT_READY,
	  "w runs, but is not ready" },
	{ "\"phase\":\"Running\"", "not ready yet" },
};

static void test_why(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[1000];
		json_t *pods, *found;

		(void)snprintf(text, sizeof(text),
			       "[{\"metadata\":{\"name\":\"p\"},\"status\":{%s}}]", rows[i].status);
		pods = json_loads(text, 0, NULL);
		assert_non_null(pods);
		found = pods_unready_rows(pods);
		if (rows[i].why == NULL)
			assert_int_equal(json_array_size(found), 0);
		else
			assert_string_equal(
				json_string_value(json_array_get(json_array_get(found, 0), 3)),
				rows[i].why);
		json_decref(found);
		json_decref(pods);
	}
}

static void test_query(void **state)
{
	json_t *labelled = json_loads("{\"spec\":{\"selector\":{\"matchLabels\":{\"app\":\"w\","
				      "\"a/b\":\"x y\"}}}}",
				      0, NULL);
	json_t *bare = json_loads("{\"spec\":{\"selector\":{}}}", 0, NULL);
	char *query = pods_query(labelled);

	(void)state;
	assert_string_equal(query, "limit=200&labelSelector=app%3Dw%2Ca%2Fb%3Dx%20y");
	free(query);
	query = pods_query(bare);
	assert_string_equal(query, "limit=200&labelSelector=opsd%2Fnothing");
	free(query);
	json_decref(labelled);
	json_decref(bare);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_why),
		cmocka_unit_test(test_query),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
