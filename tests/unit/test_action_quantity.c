/* SPDX-License-Identifier: Apache-2.0 */
/* action/quantity: amounts as the server writes them. */
#include "test.h"

#include <stdlib.h>

#include "../../src/action/internal.h"

/* From the server's rules: no fraction, the largest suffix of which it is a whole number. */
static const struct {
	const char *text, *canonical;
} rows[] = {
	{ "0", "0" },
	{ "1", "1" },
	{ "1000", "1k" },
	{ "1500", "1500" },
	{ "0.5", "500m" },
	{ "500m", "500m" },
	{ "1000m", "1" },
	{ "2000000m", "2k" },
	{ "1.5", "1500m" },
	{ "1024Mi", "1Gi" },
	{ "512Mi", "512Mi" },
	{ "1.5Gi", "1536Mi" },
	{ "2048Ki", "2Mi" },
	{ "1Pi", "1Pi" },
	{ "5G", "5G" },
	{ "1000M", "1G" },
	{ "0.001", "1m" },
	{ "1.25k", "1250" },
	{ "0Mi", "0" },
	{ "", NULL },
	{ "a", NULL },
	{ "-1", NULL },
	{ "1.", NULL },
	{ ".5", NULL },
	{ "1Zi", NULL },
	{ "1 Gi", NULL },
	{ "0.5m", NULL },
	{ "0.1Ki", NULL },
	{ "1.2345", NULL },
	{ "1e3", NULL },
	{ "1gi", NULL },
	{ "9999999999999999", NULL },
	{ "999999999P", NULL },
	{ "9999999999", "9999999999" },
	{ "6442450944", "6442450944" },
};

static void test_canonical(void **state)
{
	(void)state;
	assert_null(quantity_canonical(NULL));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *got = quantity_canonical(rows[i].text);

		if (rows[i].canonical == NULL)
			assert_null(got);
		else if (got == NULL)
			fail_msg("%s was refused", rows[i].text);
		else
			assert_string_equal(got, rows[i].canonical);
		free(got);
	}
}

/* The forms of the API's documentation; what is below a thousandth counts as one. */
static void test_milli(void **state)
{
	static const struct {
		const char *text;
		int64_t milli; /* -1: it is none */
	} all[] = {
		{ "0", 0 },
		{ "10", 10000 },
		{ "500m", 500 },
		{ "1.5", 1500 },
		{ "1k", 1000000 },
		{ "1Ki", 1024000 },
		{ "1Gi", 1073741824000 },
		{ "1u", 1 },
		{ "1500u", 2 },
		{ "250000000n", 250 },
		{ "1n", 1 },
		{ "0n", 0 },
		{ "123e6", 123000000000 },
		{ "12E2", 1200000 },
		{ "5e-1", 500 },
		{ "9E", -1 },
		{ "", -1 },
		{ "1x", -1 },
		{ "e3", -1 },
		{ "-1", -1 },
		{ "8Ei", -1 },
		{ "1e99", -1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		int64_t got;
		bool good = quantity_milli(all[i].text, &got);

		if (good != (all[i].milli >= 0) || (good && got != all[i].milli))
			fail_msg("%s: %d %lld", all[i].text, good, (long long)got);
	}
	assert_false(quantity_milli(NULL, &(int64_t){ 0 }));
}

static void test_text(void **state)
{
	static const struct {
		int64_t milli;
		bool bytes;
		const char *text;
	} all[] = {
		{ 0, false, "0" },
		{ 4000, false, "4" },
		{ 1500, false, "1500m" },
		{ 2000000, false, "2000" },
		{ 1073741824000, true, "1Gi" },
		{ 129000000000, true, "129000000" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		char *got = quantity_text(all[i].milli, all[i].bytes);

		assert_string_equal(got, all[i].text);
		free(got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_canonical),
					    cmocka_unit_test(test_milli),
					    cmocka_unit_test(test_text) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
