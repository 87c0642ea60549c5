/* SPDX-License-Identifier: Apache-2.0 */
/* pattern: matches the whole text only, refuses well, survives a backtracking bomb. */
#include "test.h"

#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/pattern.h"

static bool matches(const char *source, const char *text)
{
	struct err err;
	struct pattern *pattern = pattern_create(source, &err);
	bool yes;

	assert_non_null(pattern);
	yes = pattern_matches(pattern, text);
	pattern_destroy(pattern);
	return yes;
}

static void test_whole(void **state)
{
	(void)state;
	assert_true(matches("[a-z][a-z0-9-]{1,30}", "ads"));
	assert_false(matches("[a-z][a-z0-9-]{1,30}", "ads\n"));
	assert_false(matches("[a-z]+$", "ads\n"));
	assert_false(matches("[a-z]+", "ads/x"));
	assert_false(matches("[a-z]+", "1ads"));
	assert_true(matches("a|ab", "ab"));
	assert_true(matches(".", "\xf0\x9f\x98\x80"));
	assert_false(matches(".", "\xff"));
	assert_true(matches("", ""));
}

static void test_refuses(void **state)
{
	char huge[PATTERN_MAX + 2];
	struct err err;

	(void)state;
	assert_null(pattern_create("[a-z", &err));
	assert_int_equal(err.kind, ERR_INVALID);
	assert_non_null(strstr(err.msg, "[a-z"));
	assert_null(pattern_create("(", &err));
	assert_null(pattern_create("\xff", &err));
	memset(huge, 'a', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	assert_null(pattern_create(huge, &err));
	pattern_destroy(NULL);
}

static void test_bomb(void **state)
{
	char text[65];
	clock_t before = clock();

	(void)state;
	memset(text, 'a', 64);
	text[63] = '!';
	text[64] = '\0';
	assert_false(matches("(a+)+b", text));
	assert_true((clock() - before) / CLOCKS_PER_SEC < 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_bomb),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
