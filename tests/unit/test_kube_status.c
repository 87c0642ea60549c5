/* SPDX-License-Identifier: Apache-2.0 */
/* kube/status: the API server's answers, word for word, and what is said of them. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/kube/internal.h"
#include "base/err.h"
#include "kube/kind.h"

#define STATUS(code, reason, message, details)                                                     \
	"{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","       \
	"\"message\":\"" message "\",\"reason\":\"" reason "\",\"details\":{" details              \
	"},\"code\":" code "}"

static struct kube_asked asked(const char *method, const char *kind, const char *sub)
{
	struct kube_asked made = { .cluster = "main",
				   .method = method,
				   .kind = kube_kind_find(kind),
				   .space = "prod",
				   .name = "web",
				   .subresource = sub };

	return made;
}

static enum kube_problem read_one(const struct kube_asked *what, int status, const char *text,
				  struct err *err)
{
	struct kube_said said = { .status = status, .text = text, .len = strlen(text) };

	memset(err, 0, sizeof(*err));
	return kube_status_error(what, &said, err);
}

struct row {
	const char *method;
	int status;
	const char *body;
	enum kube_problem problem;
	enum err_kind kind;
	const char *says;
};

static const struct row rows[] = {
	{ "PATCH", 401, STATUS("401", "Unauthorized", "Unauthorized", ""), KUBE_UNKNOWN_US,
	  ERR_DENIED, "cluster main no longer accepts opsd's credentials" },
	{ "PATCH", 403,
	  STATUS("403", "Forbidden",
		 "deployments.apps \\\"web\\\" is forbidden: User \\\"u\\\" cannot patch resource "
		 "\\\"deployments\\\" in API group \\\"apps\\\" in the namespace \\\"prod\\\"",
		 "\"name\":\"web\",\"group\":\"apps\",\"kind\":\"deployments\""),
	  KUBE_FORBIDDEN, ERR_DENIED,
	  "opsd may not patch deployments in namespace prod here; a cluster administrator can "
	  "allow "
	  "it (RBAC: apiGroups [\"apps\"], resources [\"deployments\"], verbs [\"patch\"])" },
	{ "PATCH", 403,
	  STATUS("403", "Forbidden",
		 "pods \\\"web\\\" is forbidden: exceeded quota: q, requested: pods=5, used: "
		 "pods=8, "
		 "limited: pods=10",
		 ""),
	  KUBE_QUOTA, ERR_DENIED, "exceeded quota: q, requested: pods=5" },
	{ "POST", 403,
	  STATUS("403", "Forbidden", "x is forbidden: unable to create",
		 "\"causes\":[{\"reason\":\"NamespaceTerminating\",\"message\":\"m\"}]"),
	  KUBE_QUOTA, ERR_DENIED, "the namespace is being deleted" },
	{ "GET", 404,
	  STATUS("404", "NotFound", "deployments.apps \\\"web\\\" not found",
		 "\"name\":\"web\",\"group\":\"apps\",\"kind\":\"deployments\""),
	  KUBE_NOT_FOUND, ERR_INVALID, "cluster main: Deployment prod/web does not exist" },
	{ "GET", 404,
	  STATUS("404", "NotFound", "the server could not find the requested resource", ""),
	  KUBE_NO_RESOURCE, ERR_INVALID, "this cluster has no such resource (deployments)" },
	{ "GET", 404, "404 page not found\n", KUBE_NO_RESOURCE, ERR_INVALID,
	  "this cluster has no such resource" },
	{ "POST", 409,
	  STATUS("409", "AlreadyExists", "deployments.apps \\\"web\\\" already exists",
		 "\"name\":\"web\""),
	  KUBE_EXISTS, ERR_INVALID, "exists already" },
	{ "PATCH", 409,
	  STATUS("409", "Conflict",
		 "Operation cannot be fulfilled on deployments.apps \\\"web\\\": the object has "
		 "been "
		 "modified; please apply your changes to the latest version and try again",
		 "\"name\":\"web\""),
	  KUBE_CONFLICT, ERR_INVALID, "was changed by somebody else meanwhile" },
	{ "PATCH", 409,
	  STATUS("409", "Conflict", "Apply failed with 1 conflict",
		 "\"causes\":[{\"reason\":\"FieldManagerConflict\",\"field\":\".spec.replicas\","
		 "\"message\":\"conflict with \\\"hpa\\\"\"}]"),
	  KUBE_OWNED, ERR_INVALID, ".spec.replicas: conflict with \"hpa\"" },
	{ "GET", 410, STATUS("410", "Expired", "The provided continue parameter is too old", ""),
	  KUBE_EXPIRED, ERR_RETRY, "ask again" },
	{ "PATCH", 422,
	  "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
	  "\"message\":\"the server rejected our request due to an error in our request\","
	  "\"reason\":\"Invalid\",\"details\":{},\"code\":422}",
	  KUBE_UNTRUE, ERR_INVALID, "no longer as it was when the change was prepared" },
	{ "PATCH", 422,
	  STATUS("422", "Invalid", "Deployment.apps \\\"web\\\" is invalid: …",
		 "\"causes\":[{\"reason\":\"FieldValueInvalid\",\"message\":\"must be greater than "
		 "or equal to 0\",\"field\":\"spec.replicas\"}]"),
	  KUBE_INVALID, ERR_INVALID, "spec.replicas: must be greater than or equal to 0" },
	/* the object is no part of what is wrong with it */
	{ "PATCH", 422,
	  STATUS("422", "Invalid", "Job.batch \\\"web\\\" is invalid: …",
		 "\"causes\":[{\"message\":\"Invalid value: "
		 "{\\\"env\\\":{\\\"A\\\":\\\"}: b\\\"}}: field is "
		 "immutable\",\"field\":\"spec.template\"}]"),
	  KUBE_INVALID, ERR_INVALID, "refuses it: spec.template: field is immutable" },
	{ "PATCH", 422,
	  STATUS("422", "Invalid", "Job.batch \\\"web\\\" is invalid: …",
		 "\"causes\":[{\"message\":\"Invalid value: "
		 "core.PodSpec{A:1}\",\"field\":\"spec\"}]"),
	  KUBE_INVALID, ERR_INVALID, "refuses it: spec: the value is not allowed" },
	{ "PATCH", 422,
	  STATUS("422", "Invalid", "Deployment.apps \\\"web\\\" is invalid: …",
		 "\"causes\":[{\"message\":\"Invalid value: -1: must be "
		 "positive\",\"field\":\"spec.a\"}]"),
	  KUBE_INVALID, ERR_INVALID, "refuses it: spec.a: Invalid value: -1: must be positive" },
	{ "PATCH", 400,
	  STATUS("400", "BadRequest",
		 "admission webhook \\\"w.example.com\\\" denied the request: no Fridays", ""),
	  KUBE_POLICY, ERR_DENIED, "a policy of the cluster refuses it: admission webhook" },
	{ "PATCH", 422,
	  STATUS("422", "Invalid",
		 "deployments.apps \\\"web\\\" is forbidden: ValidatingAdmissionPolicy 'p' with "
		 "binding 'b' denied request: too many",
		 ""),
	  KUBE_POLICY, ERR_DENIED, "ValidatingAdmissionPolicy 'p'" },
	{ "PATCH", 429, "Too many requests, please try again later.\n", KUBE_BUSY, ERR_RETRY,
	  "Too many requests" },
	{ "POST", 429,
	  STATUS("429", "TooManyRequests", "Cannot evict pod as it would violate the budget.",
		 "\"causes\":[{\"reason\":\"DisruptionBudget\",\"message\":\"The "
		 "disruption budget b needs 2 healthy pods and has 2 currently\"}]"),
	  KUBE_POLICY, ERR_INVALID, "The disruption budget b needs 2 healthy pods" },
	{ "PATCH", 500,
	  STATUS("500", "InternalError",
		 "Internal error occurred: failed calling webhook \\\"w\\\": connection refused",
		 ""),
	  KUBE_UNAVAILABLE, ERR_RETRY, "nothing was changed" },
	{ "PATCH", 504, STATUS("504", "Timeout", "request did not complete", ""), KUBE_NOT_CLEAR,
	  ERR_UNCERTAIN, "no clear answer (504)" },
	{ "GET", 503, STATUS("503", "ServiceUnavailable", "the server is currently unable", ""),
	  KUBE_UNAVAILABLE, ERR_RETRY, "API is not available" },
	{ "PATCH", 502, "<html><head><title>502 Bad Gateway</title></head></html>", KUBE_NOT_CLEAR,
	  ERR_UNCERTAIN, "a proxy in front of the cluster answered 502" },
	{ "PATCH", 415,
	  STATUS("415", "UnsupportedMediaType", "the body was in an unknown format", ""),
	  KUBE_INVALID, ERR_INVALID, "could not read the request (415)" },
	{ "PATCH", 400, "", KUBE_INVALID, ERR_INVALID, "HTTP status 400" },
};

static void test_sentences(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct kube_asked what = asked(rows[i].method, "Deployment", NULL);
		struct err err;
		enum kube_problem problem = read_one(&what, rows[i].status, rows[i].body, &err);

		if (problem != rows[i].problem || err.kind != rows[i].kind ||
		    strstr(err.msg, rows[i].says) == NULL)
			fail_msg("%d: problem %d, %s: %s", rows[i].status, problem,
				 err_kind_name(err.kind), err.msg);
	}
}

static void test_subresource(void **state)
{
	struct kube_asked what = asked("PATCH", "DaemonSet", "scale");
	struct err err;

	(void)state;
	(void)read_one(
		&what, 404,
		STATUS("404", "NotFound", "the server could not find the requested resource", ""),
		&err);
	assert_non_null(strstr(err.msg, "daemonsets have no /scale on this cluster"));
	(void)read_one(&what, 403, STATUS("403", "Forbidden", "no", ""), &err);
	assert_non_null(strstr(err.msg, "resources [\"daemonsets/scale\"]"));
}

/* The messages of decoding errors hold the whole object. */
static void test_nothing_leaks(void **state)
{
	static const char echo[] =
		STATUS("422", "Invalid",
		       "ConfigMap \\\"web\\\" is invalid: patch: Invalid value: "
		       "{\\\"data\\\":{\\\"KEY\\\":\\\"hunter2\\\"}}: cannot unmarshal",
		       "\"causes\":[{\"reason\":\"FieldValueInvalid\",\"message\":\"Invalid value: "
		       "hunter2\",\"field\":\"patch\"}]");
	static const char strict[] =
		STATUS("422", "Invalid",
		       "patch: Invalid value: {\\\"KEY\\\":\\\"hunter2\\\"}: strict "
		       "decoding error: unknown field \\\"dataa\\\"",
		       "\"causes\":[{\"message\":\"hunter2\",\"field\":\"patch\"}]");
	static const char other[] = STATUS("422", "Invalid", "data: hunter2 is wrong",
					   "\"causes\":[{\"message\":\"hunter2\",\"field\":"
					   "\"data[KEY]\"}]");
	static const char policy[] = STATUS(
		"422", "Invalid",
		"secrets \\\"web\\\" is forbidden: ValidatingAdmissionPolicy 'p' with binding "
		"'b' denied request: hunter2 is too short",
		"");
	static const char webhook[] =
		STATUS("403", "Forbidden",
		       "admission webhook \\\"w.example.com\\\" denied the request: hunter2", "");
	struct kube_asked map = asked("PATCH", "ConfigMap", NULL);
	/* Secrets are no kind of ours; the guard holds all the same. */
	static const struct kube_kind secret = { "Secret", "secrets", NULL, "v1", true, false };
	struct err err;

	(void)state;
	(void)read_one(&map, 422, echo, &err);
	assert_null(strstr(err.msg, "hunter2"));
	(void)read_one(&map, 422, strict, &err);
	assert_null(strstr(err.msg, "hunter2"));
	assert_non_null(strstr(err.msg, "unknown field \"dataa\""));
	map.kind = &secret;
	(void)read_one(&map, 422, echo, &err);
	assert_null(strstr(err.msg, "hunter2"));
	(void)read_one(&map, 422, other, &err);
	assert_null(strstr(err.msg, "hunter2"));
	assert_non_null(strstr(err.msg, "data[KEY]"));
	/* A policy's words may quote the Secret: only who it is. */
	(void)read_one(&map, 422, policy, &err);
	assert_null(strstr(err.msg, "hunter2"));
	assert_non_null(strstr(err.msg, "a policy of the cluster refuses it: "
					"ValidatingAdmissionPolicy 'p' with binding 'b'; its words "
					"may quote the Secret"));
	(void)read_one(&map, 403, webhook, &err);
	assert_null(strstr(err.msg, "hunter2"));
	assert_non_null(strstr(err.msg, "admission webhook \"w.example.com\"; its words"));
	(void)read_one(&map, 500, "hunter2 plain", &err);
	assert_null(strstr(err.msg, "hunter2"));
	(void)read_one(&map, 400, other, &err);
	assert_null(strstr(err.msg, "hunter2"));
}

static void test_long_and_strange(void **state)
{
	struct kube_asked what = asked("GET", "Deployment", NULL);
	char *text = calloc(1, 100000);
	struct err err;

	(void)state;
	memset(text, 'x', 99999);
	(void)read_one(&what, 400, text, &err);
	assert_true(strlen(err.msg) < 400);
	(void)read_one(&what, 400, "\x01\x02\xff\xfe text", &err);
	for (const char *c = err.msg; *c != '\0'; c++)
		assert_true((unsigned char)*c >= 0x20);
	(void)read_one(&what, 400,
		       "{\"kind\":\"Status\",\"reason\":7,\"message\":[],\"details\":3}", &err);
	assert_int_equal(err.kind, ERR_INVALID);
	free(text);
}

static void test_kinds(void **state)
{
	char *path;

	(void)state;
	assert_string_equal(kube_kind_find("deploy")->kind, "Deployment");
	assert_string_equal(kube_kind_find("DEPLOYMENTS")->kind, "Deployment");
	assert_null(kube_kind_find("Deploymnt"));
	assert_null(kube_kind_find(NULL));
	assert_string_equal(kube_kind_nearest("Deploymnt"), "Deployment");
	assert_string_equal(kube_kind_group(kube_kind_find("Pod")), "");
	assert_string_equal(kube_kind_group(kube_kind_find("CronJob")), "batch");
	path = kube_kind_path(kube_kind_find("Deployment"), "ads", "w/../x", "scale");
	assert_string_equal(path, "/apis/apps/v1/namespaces/ads/deployments/w%2F..%2Fx/scale");
	free(path);
	path = kube_kind_path(kube_kind_find("Namespace"), "ads", "web", NULL);
	assert_string_equal(path, "/api/v1/namespaces/web");
	free(path);
	path = kube_kind_path(kube_kind_find("Pod"), NULL, NULL, NULL);
	assert_string_equal(path, "/api/v1/pods");
	free(path);
}

static void test_names(void **state)
{
	static const char *const good[] = { "a", "workers-dev", "a.b-c.9", "0x" };
	static const char *const bad[] = {
		"", "-a", "a-", "A", "a_b", "a/b", "a..b", "ä", ".", ".."
	};
	char longest[300];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(kube_name_ok(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(kube_name_ok(bad[i]));
		assert_false(kube_namespace_ok(bad[i]));
	}
	assert_false(kube_namespace_ok("a.b"));
	assert_false(kube_name_ok(NULL));
	memset(longest, 'a', sizeof(longest));
	longest[254] = '\0';
	assert_false(kube_name_ok(longest));
	longest[253] = '\0';
	assert_true(kube_name_ok(longest));
	longest[64] = '\0';
	assert_false(kube_namespace_ok(longest));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sentences),     cmocka_unit_test(test_subresource),
		cmocka_unit_test(test_nothing_leaks), cmocka_unit_test(test_long_and_strange),
		cmocka_unit_test(test_kinds),         cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
