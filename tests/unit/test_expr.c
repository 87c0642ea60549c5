/* SPDX-License-Identifier: Apache-2.0 */
/* test_expr.c - what an expression may say, and what it answers. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "core/expr.h"

static json_t *json(const char *text)
{
	json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);

	assert_non_null(value);
	return value;
}

static void check_value(const char *source, const char *input, const char *expected)
{
	struct err err = { 0 };
	struct expr *expr = expr_compile(source, &err);
	json_t *in = json(input), *want = json(expected), *got = NULL;

	if (expr == NULL)
		fail_msg("%s: %s", source, err.msg);
	if (!expr_value(expr, in, &got, &err))
		fail_msg("%s: %s", source, err.msg);
	if (!json_equal(got, want))
		fail_msg("%s: got %s", source, json_dumps(got, JSON_ENCODE_ANY));
	json_decref(in);
	json_decref(want);
	json_decref(got);
	expr_destroy(expr);
}

static bool truth(const char *source, const char *input)
{
	struct err err = { 0 };
	struct expr *expr = expr_compile(source, &err);
	json_t *in = json(input);
	bool answer = false;

	if (expr == NULL)
		fail_msg("%s: %s", source, err.msg);
	if (!expr_truth(expr, in, &answer, &err))
		fail_msg("%s: %s", source, err.msg);
	json_decref(in);
	expr_destroy(expr);
	return answer;
}

static void check_refused(const char *source, const char *says)
{
	struct err err = { 0 };
	struct expr *expr = expr_compile(source, &err);

	if (expr != NULL)
		fail_msg("%s was accepted", source);
	assert_int_equal(err.kind, ERR_INVALID);
	if (says != NULL && strstr(err.msg, says) == NULL)
		fail_msg("%s: says \"%s\", not \"%s\"", source, err.msg, says);
}

static void test_conditions(void **state)
{
	const char *rule = ".role == \"prod\" or .plan.step_percent > 100";

	(void)state;
	assert_true(truth(rule, "{\"role\":\"prod\"}"));
	assert_false(truth(rule, "{\"role\":\"dev\"}"));
	assert_true(truth(rule, "{\"role\":\"dev\",\"plan\":{\"step_percent\":101}}"));
	assert_false(truth(rule, "{\"role\":\"dev\",\"plan\":{\"step_percent\":100}}"));
	assert_true(truth(".count == 0", "{\"count\":0}"));
	assert_true(truth("0", "null")); /* only false and null are false */
	assert_true(truth("\"\"", "null"));
	assert_false(truth("null", "{}"));
	assert_true(truth(".role | IN(\"dev\", \"prod\")", "{\"role\":\"dev\"}"));
	assert_true(truth(".a <= 3 and .a >= 3 and .a != 4", "{\"a\":3}"));
}

static void test_shaping(void **state)
{
	(void)state;
	check_value(".items | map([.name, (.size | tostring)])",
		    "{\"items\":[{\"name\":\"a\",\"size\":3}]}", "[[\"a\",\"3\"]]");
	check_value("{name: .a, \"b\": 2, env: 3}", "{\"a\":1}",
		    "{\"name\":1,\"b\":2,\"env\":3}"); /* keys are not words */
	check_value("{a, b}", "{\"a\":1,\"b\":2,\"c\":3}", "{\"a\":1,\"b\":2}");
	check_value(".env", "{\"env\":1}", "1");
	check_value("\"now input env\"", "null", "\"now input env\"");
	check_value("# env\n.a", "{\"a\":1}", "1");
	check_value("\"x\\(.a)y\"", "{\"a\":\"}\"}", "\"x}y\"");
	check_value(". as {a: $x} | $x", "{\"a\":7}", "7");
	check_value("if .a then .b else .c end", "{\"a\":1,\"b\":\"é\"}", "\"é\"");
	check_value(".a // \"none\"", "{}", "\"none\"");
	check_value("try (.a.b) catch \"no\"", "{\"a\":1}", "\"no\"");
	check_value("first(.[] | select(. > 1))", "[1,2,3]", "2");
	check_value("@uri \"a=\\(.v)\"", "{\"v\":\"ü &\"}", "\"a=%C3%BC%20%26\"");
}

static void test_numbers(void **state)
{
	(void)state;
	check_value(".", "9007199254740992", "9007199254740992");
	check_value(".", "-5", "-5");
	check_value(".", "0.5", "0.5");
	check_value(". * 2", "3", "6");
	check_value("1.5e2", "null", "150");
	check_value(".5", "null", "0.5");
	check_value("[., 1]", "1.25", "[1.25,1]");
}

static void test_refused_words(void **state)
{
	static const char *const words[] = {
		"env",
		"$ENV",
		"$ENV.HOME",
		"$ ENV",
		"input",
		"inputs",
		"debug",
		"stderr",
		"input_filename",
		"now",
		"localtime",
		"range(10)",
		"while(true;.)",
		"repeat(.)",
		"until(.;.)",
		"recurse",
		"..",
		"limit(1;.)",
		"nth(1)",
		"def f: f; f",
		"reduce .[] as $x (0;.)",
		"foreach .[] as $x (0;.)",
		"label $x | .",
		"getpath([])",
		"paths",
		"import \"a\" as a; .",
		"include \"a\"; .",
		"halt",
		"halt_error",
		"error(\"x\")",
		"implode",
		"index(\"\")",
		"test(\"a\")",
		"match(\"a\")",
		"sub(\"a\";\"b\")",
		"splits(\"a\")",
		"split(\"a\"; \"g\")",
		".a = 1",
		".a |= 1",
		".a += 1",
		".a //= 1",
		"$__loc__",
		"$__prog_args",
		"a::b",
		"@base64d",
		"@sh",
		"\"\\(env.HOME)\"",
		"\"\\(\"\\(now)\")\"",
		"{a: env}",
		"{(env): 1}",
		"[env]",
		"{a: (1, env)}",
		"{a: if . then 1, env else 2 end}",
		"# a\nenv",
		".a|env",
		"1.|env",
		"input_line_number",
		"get_search_list",
		"$__x",
		"fromjson",
		"walk(.)",
		"@json \"\\(now)\"",
		"ltrimstr(env)",
		"\"\\\\\\(now)\"",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		check_refused(words[i], "may not be used in an expression");
}

static void test_refused_texts(void **state)
{
	char *long_text = malloc(1200);
	char deep[300];

	(void)state;
	check_refused("", "may not be empty");
	check_refused(" \n ", "may not be empty");
	check_refused(".a ==== 1", NULL);
	check_refused(".a == = 1", NULL);
	check_refused("(.a", "does not close its brackets");
	check_refused(".a)", "closes a \")\" that is not open");
	check_refused("[.a)", "closes a \")\" that is not open");
	check_refused("if .a then 1", "does not close its \"if\"");
	check_refused(".a .b ]", "closes a \"]\"");
	check_refused(".a and", "syntax error");
	check_refused("\"abc", "string in the expression is not closed");
	check_refused("\"a\\(.b) c", "string in the expression is not closed");
	check_refused("$nothing", "$nothing is not defined");
	check_refused("\xff", "UTF-8");
	check_refused("selec(.a)", "did you mean \"select\"?");
	check_refused(".role === \"prod\"", "compare with \"==\"");
	check_refused("length(1;2)", "length/2 is not defined");
	memset(long_text, ' ', 1100);
	long_text[0] = '1';
	long_text[1100] = '\0';
	check_refused(long_text, "1000 bytes");
	free(long_text);
	memset(deep, '(', 200);
	deep[200] = '\0';
	check_refused(deep, "brackets");
}

static void test_failing(void **state)
{
	struct err err = { 0 };
	struct expr *expr = expr_compile(".a.b", &err);
	json_t *in = json("{\"a\":1}"), *value = NULL;
	bool answer;

	(void)state;
	assert_non_null(expr);
	assert_false(expr_value(expr, in, &value, &err));
	assert_int_equal(err.kind, ERR_INVALID);
	assert_non_null(strstr(err.msg, "Cannot index number with"));
	assert_null(value);
	assert_false(expr_truth(expr, in, &answer, &err));
	expr_destroy(expr);

	expr = expr_compile("empty", &err);
	assert_false(expr_truth(expr, in, &answer, &err));
	assert_non_null(strstr(err.msg, "gave no value"));
	expr_destroy(expr);
	json_decref(in);
}

static void test_ceilings(void **state)
{
	struct err err = { 0 };
	struct expr *expr = expr_compile("[., ., .]", &err);
	size_t len = 500 * 1024;
	char *text = malloc(len + 1);
	json_t *in, *value = NULL, *nest = json_integer(1);

	(void)state;
	memset(text, 'x', len);
	text[len] = '\0';
	in = json_string(text);
	free(text);
	assert_false(expr_value(expr, in, &value, &err));
	assert_non_null(strstr(err.msg, "larger than 1 MiB"));
	json_decref(in);
	for (int i = 0; i < 1500; i++) {
		json_t *outer = json_array();

		json_array_append_new(outer, nest);
		nest = outer;
	}
	assert_false(expr_value(expr, nest, &value, &err));
	json_decref(nest);
	expr_destroy(expr);
}

/* The same source is the same program, also after all gave it back. */
static void test_kept(void **state)
{
	struct err err = { 0 };
	struct expr *a = expr_compile(".kept", &err), *b = expr_compile(".kept", &err);

	(void)state;
	assert_ptr_equal(a, b);
	expr_destroy(a);
	assert_string_equal(expr_source(b), ".kept");
	expr_destroy(b);
	expr_destroy(NULL);
	a = expr_compile(".kept", &err);
	assert_ptr_equal(a, b);
	expr_destroy(a);
	expr_forget();
}

/* The file of definitions in the home directory would be read by libjq. */
static void test_home(void **state)
{
	char dir[] = "/tmp/opsd-expr-XXXXXX", path[64];
	const char *home = getenv("HOME");
	char *saved = home != NULL ? strdup(home) : NULL;
	FILE *file;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/.jq", dir);
	file = fopen(path, "w");
	assert_non_null(file);
	(void)fputs("def select(f): 1;", file);
	(void)fclose(file);
	(void)setenv("HOME", dir, 1);
	check_refused("select(.home)", "home directory");
	(void)unlink(path);
	(void)rmdir(dir);
	if (saved != NULL)
		(void)setenv("HOME", saved, 1);
	else
		(void)unsetenv("HOME");
	free(saved);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conditions),    cmocka_unit_test(test_shaping),
		cmocka_unit_test(test_numbers),       cmocka_unit_test(test_refused_words),
		cmocka_unit_test(test_refused_texts), cmocka_unit_test(test_failing),
		cmocka_unit_test(test_ceilings),      cmocka_unit_test(test_kept),
		cmocka_unit_test(test_home),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	expr_forget();
	return failed;
}
