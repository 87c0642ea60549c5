/* SPDX-License-Identifier: Apache-2.0 */
/* str: compare, numbers, distance, UTF-8 and UTF-16 counting. */
#include "test.h"

#include <string.h>

#include "base/str.h"

static void test_compare(void **state)
{
	(void)state;
	assert_true(str_eq(NULL, NULL));
	assert_false(str_eq(NULL, ""));
	assert_true(str_eq("a", "a"));
	assert_true(str_ieq("Scale", "sCALE"));
	assert_false(str_ieq("scale", "scales"));
	assert_false(str_ieq("\xc3\x89", "\xc3\xa9")); /* ASCII only */
	assert_true(str_starts("workers scale", "workers"));
	assert_false(str_starts("work", "workers"));
	assert_false(str_starts(NULL, ""));
	assert_true(str_ends("a.yaml", ".yaml"));
	assert_false(str_ends("yaml", ".yaml"));
	assert_true(str_empty(NULL) && str_empty("") && !str_empty(" "));
}

static void test_i64(void **state)
{
	static const char *const bad[] = { "",
					   " 1",
					   "1 ",
					   "+",
					   "-",
					   "0x1",
					   "1.0",
					   "1e3",
					   "--1",
					   "9223372036854775808",
					   "-9223372036854775809" };
	int64_t n = 42;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(str_to_i64(bad[i], &n));
	assert_false(str_to_i64(NULL, &n));
	assert_int_equal(n, 42);
	assert_true(str_to_i64("-17", &n) && n == -17);
	assert_true(str_to_i64("+17", &n) && n == 17);
	assert_true(str_to_i64("9223372036854775807", &n) && n == INT64_MAX);
	assert_true(str_to_i64("-9223372036854775808", &n) && n == INT64_MIN);
}

static void test_distance(void **state)
{
	char huge[200];

	(void)state;
	assert_int_equal(str_distance("", ""), 0);
	assert_int_equal(str_distance("", "abc"), 3);
	assert_int_equal(str_distance("scale", "scale"), 0);
	assert_int_equal(str_distance("sclae", "scale"), 1); /* neighbours swapped */
	assert_int_equal(str_distance("scle", "scale"), 1);
	assert_int_equal(str_distance("kitten", "sitting"), 3);
	memset(huge, 'a', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	assert_int_equal(str_distance(huge, "aaa"), 199);
	assert_int_equal(str_distance(huge, huge), 0);
}

static void test_nearest(void **state)
{
	static const char *const names[] = { "scale", "restart", "stop", "show" };

	(void)state;
	assert_string_equal(str_nearest("scael", names, 4), "scale");
	assert_string_equal(str_nearest("restrat", names, 4), "restart");
	assert_string_equal(str_nearest("stp", names, 4), "stop");
	assert_null(str_nearest("xyz", names, 4));
	assert_null(str_nearest("anything", names, 0));
	assert_string_equal(str_nearest("shop", names, 4), "stop"); /* the first of equals */
}

static void test_utf8(void **state)
{
	static const char *const bad[] = {
		"\x80",         "\xc0\xaf",         "\xc1\xbf",
		"\xc3",         "\xe0\x80\x80",     "\xe2\x82",
		"\xed\xa0\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80",
		"\xf8\x88\x80", "\xc3\x28",
	};
	uint32_t cp = 7;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(str_utf8_next(bad[i], strlen(bad[i]), &cp), 0);
		assert_false(str_utf8_valid(bad[i], strlen(bad[i])));
	}
	assert_int_equal(cp, 7);
	assert_int_equal(str_utf8_next("", 0, &cp), 0);
	assert_int_equal(str_utf8_next("\xe2\x82\xac", 3, &cp), 3);
	assert_int_equal(cp, 0x20ac);
	assert_int_equal(str_utf8_next("\xf4\x8f\xbf\xbf", 4, &cp), 4);
	assert_int_equal(cp, 0x10ffff);
	assert_true(str_utf8_valid("a\xc3\xa9\xf0\x9f\x98\x80", 7));
}

static void test_utf16(void **state)
{
	const char *text = "a\xc3\xa9\xf0\x9f\x98\x80z"; /* a, e acute, a face, z */

	(void)state;
	assert_int_equal(str_utf16_len(""), 0);
	assert_int_equal(str_utf16_len(text), 5);
	assert_int_equal(str_utf8_prefix("a\xc3\xa9z", 1), 1);
	assert_int_equal(str_utf8_prefix("a\xc3\xa9z", 2), 1); /* no half of a character */
	assert_int_equal(str_utf8_prefix("a\xc3\xa9z", 3), 3);
	assert_int_equal(str_utf8_prefix("a\xc3\xa9z", 9), 4);
	assert_int_equal(str_utf16_prefix(text, 0), 0);
	assert_int_equal(str_utf16_prefix(text, 1), 1);
	assert_int_equal(str_utf16_prefix(text, 2), 3);
	assert_int_equal(str_utf16_prefix(text, 3), 3); /* half a face does not fit */
	assert_int_equal(str_utf16_prefix(text, 4), 7);
	assert_int_equal(str_utf16_prefix(text, 99), 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compare),  cmocka_unit_test(test_i64),
		cmocka_unit_test(test_distance), cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_utf8),     cmocka_unit_test(test_utf16),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
