/* SPDX-License-Identifier: Apache-2.0 */
/* action/rollout: how far a workload is, by the rules that kubectl rollout status has. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "../../src/action/internal.h"

#define SEEN "\"metadata\":{\"generation\":4},"
#define OBSERVED "\"observedGeneration\":4"

static const struct {
	const char *kind, *object;
	enum rollout_state state;
	int have, of;
	const char *says;
} rows[] = {
	{ "Deployment",
	  "{" SEEN "\"spec\":{\"replicas\":3},\"status\":{\"observedGeneration\":3,\"replicas\":3,"
	  "\"updatedReplicas\":3,\"availableReplicas\":3}}",
	  ROLLOUT_UNSEEN, 3, 3, "not yet seen" },
	{ "Deployment",
	  "{" SEEN "\"spec\":{\"replicas\":3},\"status\":{" OBSERVED ",\"replicas\":4,"
	  "\"updatedReplicas\":1,\"availableReplicas\":3}}",
	  ROLLOUT_GOING, 0, 3, "1 of 3 updated" }, /* the three that are available are old */
	{ "Deployment",
	  "{" SEEN "\"spec\":{\"replicas\":3},\"status\":{" OBSERVED ",\"replicas\":5,"
	  "\"updatedReplicas\":3,\"availableReplicas\":3}}",
	  ROLLOUT_GOING, 1, 3, "2 old ones are to end" },
	{ "Deployment",
	  "{" SEEN "\"spec\":{\"replicas\":3},\"status\":{" OBSERVED ",\"replicas\":3,"
	  "\"updatedReplicas\":3,\"availableReplicas\":2}}",
	  ROLLOUT_GOING, 2, 3, "2 of 3 available" },
	{ "Deployment",
	  "{" SEEN "\"spec\":{\"replicas\":3},\"status\":{" OBSERVED ",\"replicas\":3,"
	  "\"updatedReplicas\":3,\"availableReplicas\":3}}",
	  ROLLOUT_DONE, 3, 3, "complete" },
	{ "Deployment",
	  "{" SEEN "\"spec\":{\"replicas\":3,\"progressDeadlineSeconds\":60},\"status\":{" OBSERVED
	  ",\"replicas\":3,\"updatedReplicas\":1,\"conditions\":[{\"type\":\"Progressing\","
	  "\"status\":\"False\",\"reason\":\"ProgressDeadlineExceeded\"}]}}",
	  ROLLOUT_FAILED, 0, 3, "deadline of 60 s" },
	/* the deadline is of what was seen: not of a change that came after it */
	{ "Deployment",
	  "{" SEEN "\"spec\":{\"replicas\":3},\"status\":{\"observedGeneration\":3,\"conditions\":["
	  "{\"type\":\"Progressing\",\"status\":\"False\",\"reason\":"
	  "\"ProgressDeadlineExceeded\"}]}}",
	  ROLLOUT_UNSEEN, 0, 3, "not yet seen" },
	{ "Deployment",
	  "{" SEEN "\"spec\":{\"replicas\":3,\"paused\":true},\"status\":{" OBSERVED "}}",
	  ROLLOUT_PAUSED, 0, 3, "paused" },
	{ "Deployment", "{" SEEN "\"spec\":{\"replicas\":0},\"status\":{" OBSERVED "}}",
	  ROLLOUT_DONE, 0, 0, "0 replicas" },
	{ "StatefulSet",
	  "{" SEEN "\"spec\":{\"replicas\":3,\"updateStrategy\":{\"type\":\"RollingUpdate\","
	  "\"rollingUpdate\":{\"partition\":0}}},\"status\":{" OBSERVED ",\"replicas\":3,"
	  "\"readyReplicas\":2,\"updatedReplicas\":1}}",
	  ROLLOUT_GOING, 2, 3, "2 of 3 ready" },
	{ "StatefulSet",
	  "{" SEEN "\"spec\":{\"replicas\":3,\"updateStrategy\":{\"type\":\"RollingUpdate\","
	  "\"rollingUpdate\":{\"partition\":0}}},\"status\":{" OBSERVED ",\"replicas\":3,"
	  "\"readyReplicas\":3,\"updatedReplicas\":1,\"updateRevision\":\"b\","
	  "\"currentRevision\":\"a\"}}",
	  ROLLOUT_GOING, 1, 3, "1 of 3 updated" },
	{ "StatefulSet",
	  "{" SEEN "\"spec\":{\"replicas\":3,\"updateStrategy\":{\"type\":\"RollingUpdate\","
	  "\"rollingUpdate\":{\"partition\":2}}},\"status\":{" OBSERVED ",\"replicas\":3,"
	  "\"readyReplicas\":3,\"updatedReplicas\":1,\"updateRevision\":\"b\","
	  "\"currentRevision\":\"a\"}}",
	  ROLLOUT_DONE, 1, 1, "complete" }, /* one is from number 2 on */
	{ "DaemonSet",
	  "{" SEEN
	  "\"spec\":{\"updateStrategy\":{\"type\":\"RollingUpdate\"}},\"status\":{" OBSERVED
	  ",\"desiredNumberScheduled\":5,\"updatedNumberScheduled\":5,\"numberAvailable\":4}}",
	  ROLLOUT_GOING, 4, 5, "4 of 5 available" },
	{ "DaemonSet",
	  "{" SEEN "\"spec\":{\"updateStrategy\":{\"type\":\"OnDelete\"}},\"status\":{" OBSERVED
	  ",\"desiredNumberScheduled\":5,\"updatedNumberScheduled\":1,\"numberAvailable\":5}}",
	  ROLLOUT_DONE, 1, 5, "5 run (each is updated when it is deleted)" },
	{ "DaemonSet", "{" SEEN "\"spec\":{},\"status\":{" OBSERVED "}}", ROLLOUT_DONE, 0, 0,
	  "no node wants it" },
	{ "StatefulSet",
	  "{" SEEN "\"spec\":{\"replicas\":1,\"updateStrategy\":{\"type\":\"RollingUpdate\"}},"
	  "\"status\":{" OBSERVED ",\"replicas\":3,\"readyReplicas\":3,\"updatedReplicas\":3}}",
	  ROLLOUT_GOING, 1, 1, "2 old ones are to end" },
	{ "StatefulSet",
	  "{" SEEN "\"spec\":{\"replicas\":2,\"updateStrategy\":{\"type\":\"OnDelete\"}},"
	  "\"status\":{" OBSERVED ",\"replicas\":2,\"readyReplicas\":2,\"updatedReplicas\":0,"
	  "\"updateRevision\":\"b\",\"currentRevision\":\"a\"}}",
	  ROLLOUT_DONE, 2, 2, "2 run (each is updated when it is deleted)" },
	{ "ReplicaSet",
	  "{" SEEN "\"spec\":{\"replicas\":2},\"status\":{" OBSERVED
	  ",\"replicas\":2,\"readyReplicas\":1}}",
	  ROLLOUT_GOING, 1, 2, "1 of 2 ready" },
	{ "ConfigMap", "{" SEEN "\"data\":{}}", ROLLOUT_DONE, 0, -1, "complete" },
};

static void test_states(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *object = json_loads(rows[i].object, 0, NULL);
		struct rollout rollout;

		assert_non_null(object);
		rollout_read(object, kube_kind_find(rows[i].kind), &rollout);
		if (rollout.state != rows[i].state || rollout.have != rows[i].have ||
		    rollout.of != rows[i].of || strstr(rollout.says, rows[i].says) == NULL)
			fail_msg("%s: got %d, %d of %d, %s", rows[i].object, (int)rollout.state,
				 (int)rollout.have, (int)rollout.of, rollout.says);
		json_decref(object);
	}
}

static void test_refusal(void **state)
{
	json_t *object = json_loads("{\"status\":{\"conditions\":[{\"type\":\"ReplicaFailure\","
				    "\"status\":\"True\",\"reason\":\"FailedCreate\",\"message\":"
				    "\"exceeded quota: q\"}]}}",
				    0, NULL);

	(void)state;
	assert_string_equal(rollout_refusal(object), "exceeded quota: q");
	json_object_set_new(json_array_get(jget(object, "status.conditions"), 0), "status",
			    json_string("False"));
	assert_null(rollout_refusal(object));
	json_decref(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_states),
					    cmocka_unit_test(test_refusal) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
