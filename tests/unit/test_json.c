/* SPDX-License-Identifier: Apache-2.0 */
/* json: reads that survive anything, parsing with limits, the hashed form. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"

static json_t *parse(const char *text)
{
	struct err err;
	json_t *value = json_parse(text, strlen(text), 1 << 20, &err);

	assert_non_null(value);
	return value;
}

static void test_paths(void **state)
{
	json_t *v = parse("{\"a\":{\"b\":{\"c\":\"deep\",\"n\":7,\"t\":true,\"f\":\"false\"}},"
			  "\"nil\":null,\"list\":[1],\"big\":9223372036854775807,\"real\":1.5}");

	(void)state;
	assert_string_equal(jget_str(v, "a.b.c"), "deep");
	assert_null(jget_str(v, "a.b"));
	assert_null(jget_str(v, "a.b.c.d"));
	assert_null(jget_str(v, "a.x.c"));
	assert_null(jget_str(v, ""));
	assert_null(jget_str(NULL, "a"));
	assert_null(jget_str(v, "nil"));
	assert_string_equal(jget_str_or(v, "nil", "none"), "none");
	assert_int_equal(jget_int(v, "a.b.n", -1), 7);
	assert_int_equal(jget_int(v, "a.b.c", -1), -1);
	assert_int_equal(jget_int(v, "real", -1), -1);
	assert_int_equal(jget_int(v, "list.0", -1), -1);
	assert_true(jget_int(v, "big", 0) == INT64_MAX);
	assert_true(jget_bool(v, "a.b.t", false));
	assert_false(jget_bool(v, "a.b.f", true));
	assert_true(jget_bool(v, "a.b.n", true));
	assert_true(json_is_null(jget(v, "nil")));
	assert_true(json_is_array(jget(v, "list")));
	json_decref(v);
}

static void test_parse_refuses(void **state)
{
	static const char *const bad[] = {
		"",         "{",     "{\"a\":1,\"a\":2}",   "\"\\u0000\"", "[1] x",
		"\"\xff\"", "1e400", "9223372036854775808", "NaN",         "{'a':1}",
	};
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_null(json_parse(bad[i], strlen(bad[i]), 1000, &err));
		assert_int_equal(err.kind, ERR_INVALID);
		assert_non_null(strstr(err.msg, "line"));
	}
	assert_null(json_parse("[1,2,3]", 7, 6, &err));
	assert_non_null(strstr(err.msg, "longer"));
}

static void test_parse_depth(void **state)
{
	size_t n = 100000;
	char *text = malloc(2 * n);
	struct err err;

	(void)state;
	assert_non_null(text);
	memset(text, '[', n);
	memset(text + n, ']', n);
	assert_null(json_parse(text, 2 * n, 2 * n, &err));
	free(text);
}

static void test_text(void **state)
{
	json_t *v = parse("{ \"b\" : 0.1, \"a\" : [ 1, \"x\" ] }");
	char *canonical = json_canonical(v), *text = json_text(v), *null = json_text(NULL);

	(void)state;
	assert_string_equal(canonical, "{\"a\":[1,\"x\"],\"b\":0.1}");
	assert_string_equal(text, "{\"b\":0.1,\"a\":[1,\"x\"]}");
	assert_string_equal(null, "null");
	free(canonical);
	free(text);
	free(null);
	json_decref(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_parse_refuses),
		cmocka_unit_test(test_parse_depth),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
