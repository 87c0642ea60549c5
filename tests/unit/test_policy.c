/* SPDX-License-Identifier: Apache-2.0 */
/* test_policy.c - the decision of a file of grants, by the rules of authz.decide. */
#include "test.h"

#include <string.h>

#include "core/policy.h"

static const char rows_text[] =
	"[{\"key\":\"a\",\"effect\":\"allow\",\"can\":\"request\",\"action\":\"w.scale\","
	"\"group\":\"ads\",\"scope\":{\"team\":{\"values\":[\"ads\"]},"
	"\"n\":{\"min\":0,\"max\":50}}},"
	"{\"key\":\"b\",\"effect\":\"allow\",\"can\":\"request\",\"action\":\"w.scale\","
	"\"group\":\"platform\",\"group_id\":\"g1\",\"scope\":{\"team\":{\"any\":true},"
	"\"n\":{\"any\":true}}},"
	"{\"key\":\"c\",\"effect\":\"allow\",\"can\":\"request\",\"action\":\"w.scale\","
	"\"group\":\"careless\",\"scope\":{\"team\":{\"any\":true}}},"
	"{\"key\":\"d\",\"effect\":\"forbid\",\"can\":\"request\",\"action\":\"w.scale\","
	"\"group\":\"platform\",\"scope\":{\"team\":{\"values\":[\"frozen\"]}}},"
	"{\"key\":\"e\",\"effect\":\"allow\",\"can\":\"approve\",\"action\":\"w.scale\","
	"\"group\":\"bosses\",\"scope\":{\"team\":{\"any\":true},\"n\":{\"any\":true}}},"
	"{\"key\":\"f\",\"effect\":\"allow\",\"can\":\"request\",\"action\":\"w.scale\","
	"\"person\":\"ana@example.com\",\"scope\":{\"team\":{\"any\":true},"
	"\"n\":{\"any\":true}}}]";

static bool allows(const char *group, const char *can, const char *scope_text, const char *by)
{
	json_t *rows = json_loads(rows_text, 0, NULL), *scope = json_loads(scope_text, 0, NULL);
	struct policy_ask ask = {
		.groups = &group, .n_groups = 1, .can = can, .action = "w.scale", .scope = scope
	};
	const char *key;
	bool allowed;

	assert_non_null(rows);
	assert_non_null(scope);
	allowed = policy_allows(rows, &ask, &key);
	if (by == NULL)
		assert_null(key);
	else
		assert_string_equal(key, by);
	json_decref(rows);
	json_decref(scope);
	return allowed;
}

static void test_policy(void **state)
{
	(void)state;
	assert_true(allows("ads", "request", "{\"team\":\"ads\",\"n\":50}", "a"));
	assert_false(allows("ads", "request", "{\"team\":\"ads\",\"n\":51}", NULL));
	assert_false(allows("ads", "request", "{\"team\":\"web\",\"n\":1}", NULL));
	assert_false(allows("ads", "request", "{\"team\":\"ads\",\"n\":null}", NULL));
	assert_false(allows("ads", "request", "{\"team\":\"ads\",\"n\":\"1\"}", NULL));
	assert_false(allows("ads", "approve", "{\"team\":\"ads\",\"n\":1}", NULL));
	assert_false(allows("other", "request", "{\"team\":\"ads\",\"n\":1}", NULL));
	assert_true(allows("platform", "request", "{\"team\":\"web\",\"n\":1}", "b"));
	assert_true(allows("g1", "request", "{\"team\":\"web\",\"n\":1}", "b"));
	/* An allow must speak of every scope. */
	assert_false(allows("careless", "request", "{\"team\":\"web\",\"n\":1}", NULL));
	/* A forbid beats the allow, and covers what it does not speak of. */
	assert_false(allows("platform", "request", "{\"team\":\"frozen\",\"n\":1}", "d"));
	assert_true(allows("bosses", "approve", "{\"team\":\"web\",\"n\":1}", "e"));
	/* An absent value is not any value. */
	assert_false(allows("platform", "request", "{\"team\":null,\"n\":1}", NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_policy) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
