/* SPDX-License-Identifier: Apache-2.0 */
/* err: kinds, sentences, and the cut at a character. */
#include "test.h"

#include <string.h>

#include "base/err.h"
#include "base/str.h"

static void test_set(void **state)
{
	struct err err;

	(void)state;
	err_set(&err, ERR_DENIED, "%s may not %s", "ann", "scale");
	assert_int_equal(err.kind, ERR_DENIED);
	assert_string_equal(err.msg, "ann may not scale");
}

static void test_prefix(void **state)
{
	struct err err;

	(void)state;
	err_set(&err, ERR_RETRY, "connection refused");
	err_prefix(&err, "cluster %s", "main");
	assert_int_equal(err.kind, ERR_RETRY);
	assert_string_equal(err.msg, "cluster main: connection refused");
}

/* A long text is cut so that what is left is UTF-8, wherever the limit falls. */
static void test_cut(void **state)
{
	static const char *const chars[] = { "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80" };
	char text[2048];
	struct err err;

	(void)state;
	for (size_t kind = 0; kind < 4; kind++) {
		for (size_t lead = 0; lead < 5; lead++) {
			size_t n = lead, len = strlen(chars[kind]);

			memset(text, 'x', lead);
			for (; n + len < sizeof(text); n += len)
				memcpy(text + n, chars[kind], len);
			text[n] = '\0';
			err_set(&err, ERR_INVALID, "%s", text);
			assert_true(strlen(err.msg) < ERR_MSG_MAX);
			assert_true(strlen(err.msg) >= ERR_MSG_MAX - 4);
			assert_true(str_utf8_valid(err.msg, strlen(err.msg)));
			err_prefix(&err, "p");
			assert_true(str_utf8_valid(err.msg, strlen(err.msg)));
			assert_true(str_starts(err.msg, "p: "));
		}
	}
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(err_kind_name(ERR_NONE), "none");
	assert_string_equal(err_kind_name(ERR_INVALID), "invalid");
	assert_string_equal(err_kind_name(ERR_DENIED), "denied");
	assert_string_equal(err_kind_name(ERR_RETRY), "retry");
	assert_string_equal(err_kind_name(ERR_TIMEOUT), "timeout");
	assert_string_equal(err_kind_name(ERR_UNCERTAIN), "uncertain");
	assert_string_equal(err_kind_name(ERR_INTERNAL), "internal");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
