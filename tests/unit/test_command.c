/* SPDX-License-Identifier: Apache-2.0 */
/* test_command.c - usage, example and templates of one declared command. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "core/command.h"

static const char *const roles[] = { "dev", "prod" };
static const struct param params[] = {
	{ .name = "team", .type = PARAM_STRING },
	{ .name = "role", .type = PARAM_ENUM, .values = roles, .n_values = 2 },
	{ .name = "count", .type = PARAM_INTEGER, .min = 10, .max = 200 },
	{ .name = "for", .type = PARAM_DURATION, .min = 1, .max = 86400, .optional = true },
	{ .name = "token", .type = PARAM_STRING, .secret = true },
	{ .name = "reason", .type = PARAM_TEXT, .max = 300 },
};
static const struct command scale = {
	.prefix = "workers",
	.name = "scale",
	.title = "workers scale",
	.params = params,
	.n_params = 6,
	.risk = 2,
};

static void test_usage_and_example(void **state)
{
	struct command command = scale;
	const struct command_test tests[] = {
		{ .text = "team=x role=dev", .expect = "deny" },
		{ .text = "team=ads role=dev count=10 reason=load", .expect = "approval" },
	};
	char *text = command_usage(&scale);

	(void)state;
	assert_string_equal(text, "workers scale team= role= count= [for=] reason=");
	free(text);
	text = command_example(&scale);
	assert_string_equal(text,
			    "workers scale team=team role=dev count=10 reason=\"because of load\"");
	free(text);
	command.tests = tests;
	command.n_tests = 2;
	text = command_example(&command);
	assert_string_equal(text, "workers scale team=ads role=dev count=10 reason=load");
	free(text);
}

static void check_fill(const char *node, const char *args, const char *expected)
{
	json_t *n = json_loads(node, JSON_DECODE_ANY, NULL), *a = json_loads(args, 0, NULL);
	json_t *want = json_loads(expected, JSON_DECODE_ANY, NULL), *got = command_fill(n, a);

	assert_non_null(want);
	if (!json_equal(got, want))
		fail_msg("%s: got %s", node, json_dumps(got, JSON_ENCODE_ANY));
	json_decref(n);
	json_decref(a);
	json_decref(want);
	json_decref(got);
}

static void test_fill(void **state)
{
	const char *args = "{\"team\":\"ads\",\"count\":5,\"dry\":true,\"evil\":\"{team}\"}";

	(void)state;
	check_fill("\"{count}\"", args, "5");
	check_fill("\"{dry}\"", args, "true");
	check_fill("\"workers-{team}\"", args, "\"workers-ads\"");
	check_fill("\"{team}/{count}/{dry}\"", args, "\"ads/5/true\"");
	check_fill("\"{absent}\"", args, "null");
	check_fill("\"a{absent}b\"", args, "\"ab\"");
	check_fill("\"{evil}\"", args, "\"{team}\""); /* a value is never a template */
	check_fill("\"x{evil}\"", args, "\"x{team}\"");
	check_fill("\"{\\\"team\\\"}{Team}{ team }{team\"", args,
		   "\"{\\\"team\\\"}{Team}{ team }{team\"");
	check_fill("{\"a\":[\"{team}\",1,null],\"{team}\":{\"b\":\"{count}\"}}", args,
		   "{\"a\":[\"ads\",1,null],\"{team}\":{\"b\":5}}");
}

static void test_questions(void **state)
{
	static const struct approval_rule rule = { .need = 1 };
	struct command quick = { .risk = 1 };

	(void)state;
	assert_false(command_shows_plan(&quick));
	quick.approvals = &rule;
	quick.n_approvals = 1;
	assert_true(command_shows_plan(&quick));
	assert_true(command_shows_plan(&scale));
	assert_string_equal(command_param(&scale, "role")->name, "role");
	assert_null(command_param(&scale, "rol"));
	assert_string_equal(param_type_name(PARAM_DURATION), "duration");
	assert_true(command_needs_confirmation(&scale));
	assert_false(command_reads(&scale));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_usage_and_example),
		cmocka_unit_test(test_fill),
		cmocka_unit_test(test_questions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
