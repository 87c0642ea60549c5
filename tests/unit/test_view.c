/* SPDX-License-Identifier: Apache-2.0 */
/* view: every kind of element to a text. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "slack/view.h"

static void reads(const char *state, const char *expected)
{
	struct err err;
	json_t *in = json_parse(state, strlen(state), 1 << 20, &err), *out;
	char *text;

	assert_non_null(in);
	out = slack_view_values(in);
	text = json_text(out);
	assert_string_equal(text, expected);
	free(text);
	json_decref(out);
	json_decref(in);
}

static void test_elements(void **state)
{
	(void)state;
	reads("{\"a\":{\"a\":{\"type\":\"plain_text_input\",\"value\":\"x y\"}}}",
	      "{\"a\":\"x y\"}");
	reads("{\"n\":{\"n\":{\"type\":\"number_input\",\"value\":\"20\"}}}", "{\"n\":\"20\"}");
	reads("{\"s\":{\"s\":{\"type\":\"static_select\",\"selected_option\":{\"text\":{\"type\":"
	      "\"plain_text\",\"text\":\"Prod\"},\"value\":\"prod\"}}}}",
	      "{\"s\":\"prod\"}");
	reads("{\"m\":{\"m\":{\"type\":\"checkboxes\",\"selected_options\":[{\"value\":\"a\"},"
	      "{\"value\":\"b\"}]}}}",
	      "{\"m\":\"a,b\"}");
	reads("{\"u\":{\"u\":{\"type\":\"users_select\",\"selected_user\":\"U1\"}}}",
	      "{\"u\":\"U1\"}");
	reads("{\"u\":{\"u\":{\"type\":\"multi_users_select\",\"selected_users\":[\"U1\",\"U2\"]}}"
	      "}",
	      "{\"u\":\"U1,U2\"}");
	reads("{\"d\":{\"d\":{\"type\":\"datepicker\",\"selected_date\":\"2026-11-25\"}}}",
	      "{\"d\":\"2026-11-25\"}");
	reads("{\"d\":{\"d\":{\"type\":\"datetimepicker\",\"selected_date_time\":1795576327}}}",
	      "{\"d\":\"1795576327\"}");
	reads("{\"f\":{\"f\":{\"type\":\"file_input\",\"files\":[{\"id\":\"F1\"}]}}}",
	      "{\"f\":\"F1\"}");
	reads("{\"r\":{\"r\":{\"type\":\"rich_text_input\",\"rich_text_value\":{\"type\":\"rich_"
	      "text\","
	      "\"elements\":[{\"type\":\"rich_text_section\",\"elements\":[{\"type\":\"text\","
	      "\"text\":\"hi \"},{\"type\":\"user\",\"user_id\":\"U1\"}]},{\"type\":"
	      "\"rich_text_section\",\"elements\":[{\"type\":\"link\",\"url\":\"https://"
	      "x\"}]}]}}}}",
	      "{\"r\":\"hi @U1\\nhttps://x\"}");
}

static void test_unset(void **state)
{
	json_t *values;

	(void)state;
	reads("{\"a\":{\"a\":{\"type\":\"plain_text_input\",\"value\":null}},"
	      "\"b\":{\"b\":{\"type\":\"static_select\",\"selected_option\":null}},"
	      "\"c\":{\"c\":{\"type\":\"checkboxes\",\"selected_options\":[]}},"
	      "\"d\":{\"d\":{\"type\":\"plain_text_input\",\"value\":\"\"}},"
	      "\"e\":{\"e\":{\"type\":\"button\"}},\"f\":{},\"g\":null,\"h\":{\"h\":3}}",
	      "{}");
	reads("{}", "{}");
	values = slack_view_values(NULL);
	assert_int_equal(json_object_size(values), 0);
	json_decref(values);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_elements),
		cmocka_unit_test(test_unset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
