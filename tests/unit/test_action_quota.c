/* SPDX-License-Identifier: Apache-2.0 */
/* action/quota: which quota is too small for the pods of a change, counted as the server's quota
 * admission counts; and silence where admission may still decide otherwise. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "../../src/action/internal.h"
#include "base/xalloc.h"

/* A quota and one status; scopes is JSON that goes into its spec. */
static json_t *quota_of(const char *scopes, const char *hard, const char *used)
{
	char *text = xasprintf("{\"items\":[{\"metadata\":{\"name\":\"q\"},\"spec\":{%s},"
			       "\"status\":{\"hard\":{%s},\"used\":{%s}}}]}",
			       scopes, hard, used);
	json_t *list = json_loads(text, 0, NULL);

	assert_non_null(list);
	free(text);
	return list;
}

static char *first_warning(const json_t *warnings)
{
	return xstrdup(json_array_size(warnings) > 0
			       ? json_string_value(json_array_get(warnings, 0))
			       : "");
}

#define TAIL ". The change is accepted, but pods beyond the quota do not start."
#define BOX(more) "{\"containers\":[{\"name\":\"a\"" more "}]}"
#define RES(amounts) ",\"resources\":{" amounts "}"
#define ONE                                                                                        \
	BOX(RES("\"requests\":{\"cpu\":\"500m\",\"memory\":\"512Mi\"},\"limits\":{\"cpu\":"        \
		"\"1\"}"))

/* `pods` more of `spec`, by a quota of what is used of what is hard. */
static const struct {
	const char *scopes, *hard, *used, *spec;
	int64_t pods;
	const char *says; /* "": nothing */
} rows[] = {
	/* counts */
	{ "", "\"pods\":\"10\"", "\"pods\":\"8\"", ONE, 4,
	  "Quota q: pods 8 of 10 used, this needs 4 more" TAIL },
	{ "", "\"pods\":\"10\"", "\"pods\":\"8\"", ONE, 2, "" },
	{ "", "\"count/pods\":\"10\"", "\"count/pods\":\"10\"", ONE, 1,
	  "Quota q: count/pods 10 of 10 used, this needs 1 more" TAIL },
	{ "", "\"services\":\"1\",\"count/jobs.batch\":\"0\",\"requests.storage\":\"1\"",
	  "\"services\":\"1\",\"count/jobs.batch\":\"0\",\"requests.storage\":\"1\"", ONE, 9, "" },
	{ "", "\"pods\":\"10\"", "", ONE, 99, "" }, /* not counted yet */
	/* amounts */
	{ "", "\"requests.cpu\":\"4\"", "\"requests.cpu\":\"3500m\"", ONE, 2,
	  "Quota q: requests.cpu 3500m of 4 used, this needs 1 more" TAIL },
	{ "", "\"cpu\":\"4\"", "\"cpu\":\"3500m\"", ONE, 1, "" },
	{ "", "\"limits.cpu\":\"4\",\"requests.memory\":\"4Gi\"",
	  "\"limits.cpu\":\"3500m\",\"requests.memory\":\"3840Mi\"", ONE, 1,
	  "Quota q: limits.cpu 3500m of 4 used, this needs 1 more; requests.memory 3840Mi of 4Gi "
	  "used, this needs 512Mi more" TAIL },
	/* a request that is not set is what the limit is */
	{ "", "\"requests.memory\":\"1Gi\"", "\"requests.memory\":\"0\"",
	  BOX(RES("\"limits\":{\"memory\":\"600Mi\"}")), 2,
	  "Quota q: requests.memory 0 of 1Gi used, this needs 1200Mi more" TAIL },
	/* a LimitRange may say what is not set; of devices nobody does */
	{ "", "\"limits.memory\":\"1Gi\"", "\"limits.memory\":\"1Gi\"", ONE, 5, "" },
	{ "", "\"requests.example.com/gpu\":\"1\"", "\"requests.example.com/gpu\":\"1\"", ONE, 5,
	  "" },
	{ "", "\"requests.example.com/gpu\":\"1\"", "\"requests.example.com/gpu\":\"1\"",
	  BOX(RES("\"limits\":{\"example.com/gpu\":\"1\"}")), 1,
	  "Quota q: requests.example.com/gpu 1 of 1 used, this needs 1 more" TAIL },
	/* the largest of those that run before, or all that run together */
	{ "", "\"requests.cpu\":\"1\"", "\"requests.cpu\":\"0\"",
	  "{\"initContainers\":[{\"resources\":{\"requests\":{\"cpu\":\"2\"}}}],\"containers\":[{"
	  "\"resources\":{\"requests\":{\"cpu\":\"1\"}}}]}",
	  1, "Quota q: requests.cpu 0 of 1 used, this needs 2 more" TAIL },
	{ "", "\"requests.cpu\":\"1\"", "\"requests.cpu\":\"0\"",
	  "{\"initContainers\":[{\"restartPolicy\":\"Always\",\"resources\":{\"requests\":{\"cpu\":"
	  "\"1\"}}},{\"resources\":{\"requests\":{\"cpu\":\"2\"}}}],\"containers\":[{\"resources\":"
	  "{\"requests\":{\"cpu\":\"500m\"}}}]}",
	  1, "Quota q: requests.cpu 0 of 1 used, this needs 3 more" TAIL },
	{ "", "\"requests.cpu\":\"1\"", "\"requests.cpu\":\"0\"",
	  "{\"runtimeClassName\":\"vm\",\"containers\":[{\"resources\":{\"requests\":{\"cpu\":"
	  "\"9\"}}}]}",
	  1, "" },
	/* scopes */
	{ "\"scopes\":[\"Terminating\"]", "\"pods\":\"0\"", "\"pods\":\"0\"", ONE, 1, "" },
	{ "\"scopes\":[\"NotTerminating\"]", "\"pods\":\"0\"", "\"pods\":\"0\"", ONE, 1,
	  "Quota q: pods 0 of 0 used, this needs 1 more" TAIL },
	{ "\"scopes\":[\"Terminating\"]", "\"pods\":\"0\"", "\"pods\":\"0\"",
	  "{\"activeDeadlineSeconds\":60,\"containers\":[{}]}", 1,
	  "Quota q: pods 0 of 0 used, this needs 1 more" TAIL },
	{ "\"scopes\":[\"BestEffort\"]", "\"pods\":\"0\"", "\"pods\":\"0\"", ONE, 1, "" },
	{ "\"scopes\":[\"BestEffort\"]", "\"pods\":\"0\"", "\"pods\":\"0\"", BOX(""), 1, "" },
	{ "\"scopes\":[\"NotBestEffort\"]", "\"pods\":\"0\"", "\"pods\":\"0\"", ONE, 1,
	  "Quota q: pods 0 of 0 used, this needs 1 more" TAIL },
	{ "\"scopes\":[\"NotBestEffort\",\"Terminating\"]", "\"pods\":\"0\"", "\"pods\":\"0\"", ONE,
	  1, "" },
	{ "\"scopes\":[\"CrossNamespacePodAffinity\"]", "\"pods\":\"0\"", "\"pods\":\"0\"", ONE, 1,
	  "" },
#define CLASS(rule)                                                                                \
	"\"scopeSelector\":{\"matchExpressions\":[{\"scopeName\":\"PriorityClass\"," rule "}]}"
#define HIGH "{\"priorityClassName\":\"high\",\"containers\":[{}]}"
	{ CLASS("\"operator\":\"In\",\"values\":[\"low\",\"high\"]"), "\"pods\":\"0\"",
	  "\"pods\":\"0\"", HIGH, 1, "Quota q: pods 0 of 0 used, this needs 1 more" TAIL },
	{ CLASS("\"operator\":\"In\",\"values\":[\"low\"]"), "\"pods\":\"0\"", "\"pods\":\"0\"",
	  HIGH, 1, "" },
	{ CLASS("\"operator\":\"NotIn\",\"values\":[\"low\"]"), "\"pods\":\"0\"", "\"pods\":\"0\"",
	  HIGH, 1, "Quota q: pods 0 of 0 used, this needs 1 more" TAIL },
	{ CLASS("\"operator\":\"Exists\""), "\"pods\":\"0\"", "\"pods\":\"0\"", HIGH, 1,
	  "Quota q: pods 0 of 0 used, this needs 1 more" TAIL },
	/* there may be a default class */
	{ CLASS("\"operator\":\"Exists\""), "\"pods\":\"0\"", "\"pods\":\"0\"", ONE, 1, "" },
};

static void test_more_pods(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *spec = json_loads(rows[i].spec, 0, NULL);
		json_t *quotas = quota_of(rows[i].scopes, rows[i].hard, rows[i].used);
		struct pods_wish wish = { .spec = spec, .pods = rows[i].pods };
		struct owners owners = { NULL, json_array() };
		char *says;

		assert_non_null(spec);
		quotas_say(&owners, quotas, &wish);
		says = first_warning(owners.warnings);
		if (strcmp(says, rows[i].says) != 0)
			fail_msg("row %zu: %s", i, says);
		free(says);
		json_decref(owners.warnings);
		json_decref(quotas);
		json_decref(spec);
	}
}

/* Nothing is known of the pods: their number still is. */
static void test_unknown_pods(void **state)
{
	json_t *quotas = quota_of("", "\"pods\":\"10\",\"requests.cpu\":\"1\"",
				  "\"pods\":\"8\",\"requests.cpu\":\"1\"");
	json_t *scoped =
		quota_of("\"scopes\":[\"NotBestEffort\"]", "\"pods\":\"0\"", "\"pods\":\"0\"");
	struct pods_wish wish = { .pods = 12, .when = " at 20 replicas" };
	struct owners owners = { NULL, json_array() };

	(void)state;
	quotas_say(&owners, scoped, &wish);
	quotas_say(&owners, NULL, &wish);
	assert_int_equal(json_array_size(owners.warnings), 0);
	quotas_say(&owners, quotas, &wish);
	assert_string_equal(json_string_value(json_array_get(owners.warnings, 0)),
			    "Quota q: pods 8 of 10 used, this needs 12 more at 20 replicas" TAIL);
	json_decref(owners.warnings);
	json_decref(quotas);
	json_decref(scoped);
}

#define WORKLOAD(n, have, strategy)                                                                \
	"{\"spec\":{\"replicas\":" n "," strategy "\"template\":{\"spec\":" ONE                    \
	"}},\"status\":{\"replicas\":" have ",\"desiredNumberScheduled\":" n "}}"
#define BIG "{\"spec\":" BOX(RES("\"requests\":{\"cpu\":\"2\"}")) "}"
#define SAME "{\"spec\":" ONE "}"
#define PODS "pods 9 of 9 used, this needs 1 more"
#define CPU(amount) "requests.cpu 4 of 4 used, this needs " amount " more"
#define ROLLS(fields) "\"strategy\":{\"type\":\"RollingUpdate\",\"rollingUpdate\":{" fields "}},"

/* One of 500m of CPU becomes one of the template, while the quota has no more of it. */
static void test_rollout(void **state)
{
	static const struct {
		const char *kind, *workload, *template, *needs; /* "": it goes without */
	} all[] = {
		/* of three a quarter may not be missing: one more comes first */
		{ "Deployment", WORKLOAD("3", "3", ""), SAME, PODS "; " CPU("500m") },
		{ "Deployment", WORKLOAD("4", "4", ""), SAME, "" },
		{ "Deployment", WORKLOAD("3", "3", ROLLS("\"maxUnavailable\":1,\"maxSurge\":1")),
		  SAME, "" },
		{ "Deployment",
		  WORKLOAD("9", "9", ROLLS("\"maxUnavailable\":0,\"maxSurge\":\"10%\"")), SAME,
		  PODS "; " CPU("500m") },
		{ "Deployment", WORKLOAD("3", "3", "\"strategy\":{\"type\":\"Recreate\"},"), SAME,
		  "" },
		{ "Deployment", WORKLOAD("3", "3", "\"strategy\":{\"type\":\"Recreate\"},"), BIG,
		  CPU("4500m") },
		{ "Deployment", WORKLOAD("3", "3", ""), BIG, PODS "; " CPU("5") },
		{ "Deployment", WORKLOAD("0", "0", ""), BIG, "" },
		{ "StatefulSet", WORKLOAD("3", "3", ""), SAME, "" },
		{ "StatefulSet", WORKLOAD("3", "3", ""), BIG, CPU("4500m") },
		{ "DaemonSet", WORKLOAD("2", "0", ""), SAME, "" },
		{ "DaemonSet",
		  WORKLOAD("2", "0", "\"updateStrategy\":{\"rollingUpdate\":{\"maxSurge\":1}},"),
		  SAME, PODS "; " CPU("500m") },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		json_t *object = json_loads(all[i].workload, 0, NULL);
		json_t *template = json_loads(all[i].template, 0, NULL);
		json_t *quotas = quota_of("", "\"pods\":\"9\",\"requests.cpu\":\"4\"",
					  "\"pods\":\"9\",\"requests.cpu\":\"4\"");
		struct place place = { .kind = kube_kind_find(all[i].kind) };
		struct planning planning = { .place = &place,
					     .object = object,
					     .quotas = quotas,
					     .owners = { NULL, json_array() } };
		char *says, *want;

		assert_non_null(object);
		assert_non_null(template);
		quotas_of_rollout(&planning, template);
		says = first_warning(planning.owners.warnings);
		want = *all[i].needs != '\0' ? xasprintf("Quota q: %s" TAIL, all[i].needs)
					     : xstrdup("");
		if (strcmp(says, want) != 0)
			fail_msg("row %zu: %s, not %s", i, says, want);
		free(want);
		free(says);
		json_decref(planning.owners.warnings);
		json_decref(quotas);
		json_decref(template);
		json_decref(object);
	}
}

/* What counts is how many pods there are, not how many there should be. */
static void test_scale(void **state)
{
	json_t *object = json_loads(WORKLOAD("5", "3", ""), 0, NULL);
	json_t *quotas = quota_of("", "\"pods\":\"10\"", "\"pods\":\"8\"");
	struct place place = { .kind = kube_kind_find("Deployment") };
	struct planning planning = { .place = &place,
				     .object = object,
				     .quotas = quotas,
				     .owners = { NULL, json_array() } };

	(void)state;
	quotas_of_scale(&planning, 5);
	assert_int_equal(json_array_size(planning.owners.warnings), 0);
	quotas_of_scale(&planning, 6);
	assert_string_equal(json_string_value(json_array_get(planning.owners.warnings, 0)),
			    "Quota q: pods 8 of 10 used, this needs 3 more" TAIL);
	json_decref(planning.owners.warnings);
	json_decref(quotas);
	json_decref(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_more_pods),
		cmocka_unit_test(test_unknown_pods),
		cmocka_unit_test(test_rollout),
		cmocka_unit_test(test_scale),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
