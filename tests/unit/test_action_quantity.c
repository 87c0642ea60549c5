/* SPDX-License-Identifier: Apache-2.0 */
/* action/quantity: amounts as the server writes them. */
#include "test.h"

#include <stdlib.h>

#include "../../src/action/internal.h"

/* From the server's rules: no fraction, the largest suffix of which it is a whole number. */
static const struct {
	const char *text, *canonical;
} rows[] = {
	{ "0", "0" },           { "1", "1" },        { "1000", "1k" },     { "1500", "1500" },
	{ "0.5", "500m" },      { "500m", "500m" },  { "1000m", "1" },     { "2000000m", "2k" },
	{ "1.5", "1500m" },     { "1024Mi", "1Gi" }, { "512Mi", "512Mi" }, { "1.5Gi", "1536Mi" },
	{ "2048Ki", "2Mi" },    { "1Pi", "1Pi" },    { "5G", "5G" },       { "1000M", "1G" },
	{ "0.001", "1m" },      { "1.25k", "1250" }, { "0Mi", "0" },       { "", NULL },
	{ "a", NULL },          { "-1", NULL },      { "1.", NULL },       { ".5", NULL },
	{ "1Zi", NULL },        { "1 Gi", NULL },    { "0.5m", NULL },     { "0.1Ki", NULL },
	{ "1.2345", NULL },     { "1e3", NULL },     { "1gi", NULL },      { "9999999999", NULL },
	{ "999999999P", NULL },
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

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_canonical) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
