/* SPDX-License-Identifier: Apache-2.0 */
/* conftree and diag: the strict subset, every refusal with its place, places by pointer. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/conftree.h"
#include "base/diag.h"

static struct diags diags;

static int setup(void **state)
{
	(void)state;
	diags_init(&diags);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	diags_finish(&diags);
	return 0;
}

static void reads(const char *yaml, const char *json)
{
	struct conftree *tree = conftree_parse("f.yaml", yaml, strlen(yaml), &diags);
	char *text;

	if (tree == NULL)
		fail_msg("%s: %s", yaml, diag_text(&diags.items[0]));
	text = json_text(conftree_root(tree));
	assert_string_equal(text, json);
	free(text);
	conftree_destroy(tree);
}

/* The first mistake begins with place and holds words. */
static void refuses_n(const char *yaml, size_t len, const char *place, const char *words)
{
	const char *text;

	assert_null(conftree_parse("f.yaml", yaml, len, &diags));
	assert_true(diags.n > 0);
	text = diag_text(&diags.items[0]);
	if (strncmp(text, place, strlen(place)) != 0 || strstr(text, words) == NULL)
		fail_msg("\"%.60s\" gave \"%s\", expected \"%s … %s\"", yaml, text, place, words);
	diags_finish(&diags);
}

static void refuses(const char *yaml, const char *place, const char *words)
{
	refuses_n(yaml, strlen(yaml), place, words);
}

static void test_scalars(void **state)
{
	(void)state;
	reads("[null, ~, Null, NULL]", "[null,null,null,null]");
	reads("a:\nb: ", "{\"a\":null,\"b\":null}");
	reads("[true, True, TRUE, false, False, FALSE]", "[true,true,true,false,false,false]");
	reads("[0, -0, 7, -12, +3, 9223372036854775807, -9223372036854775808]",
	      "[0,0,7,-12,3,9223372036854775807,-9223372036854775808]");
	reads("[1.5, -0.25, 10.0]", "[1.5,-0.25,10.0]");
	reads("[\"yes\", 'no', \"0777\", '12:30']", "[\"yes\",\"no\",\"0777\",\"12:30\"]");
	reads("[!!str yes, !!str 12]", "[\"yes\",\"12\"]");
	reads("[abc, 24h, 10m, 1.2.3, 127.0.0.1:9464, 2026-11-25, -, a b, -x, ., ...x, 0-9, 5Gi]",
	      "[\"abc\",\"24h\",\"10m\",\"1.2.3\",\"127.0.0.1:9464\",\"2026-11-25\",\"-\",\"a b\","
	      "\"-x\",\".\",\"...x\",\"0-9\",\"5Gi\"]");
	reads("a: |\n  two\n  lines\n", "{\"a\":\"two\\nlines\\n\"}");
	reads("on: 1\nyes: 2\n1: 3\n~: 4\n", "{\"on\":1,\"yes\":2,\"1\":3,\"~\":4}");
	reads("{\"a\": [1, 2.5, null, true, \"x\\u00e9\\/\"], \"b\": {}}",
	      "{\"a\":[1,2.5,null,true,\"x\xc3\xa9/\"],\"b\":{}}");
	reads("--- \nfoo\n...\n", "\"foo\"");
	reads("\xef\xbb\xbf"
	      "a: b",
	      "{\"a\":\"b\"}");
}

static void test_ambiguous(void **state)
{
	static const char *const words[] = { "yes", "Yes", "YES", "no",  "No", "NO", "on", "On",
					     "ON",  "off", "Off", "OFF", "y",  "Y",  "n",  "N" };
	char yaml[32];

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		(void)snprintf(yaml, sizeof(yaml), "a: %s", words[i]);
		refuses(yaml, "f.yaml:1:4: ", "quotes");
	}
	refuses("mode: 0777", "f.yaml:1:7: 0777", "leading zeros");
	refuses("a: -007", "f.yaml:1:4: ", "leading zeros");
	refuses("a: 01.5", "f.yaml:1:4: ", "leading zeros");
	refuses("a: 0x1F", "f.yaml:1:4: ", "another base");
	refuses("a: 0o17", "f.yaml:1:4: ", "another base");
	refuses("a: 0b101", "f.yaml:1:4: ", "another base");
	refuses("a: 12:30", "f.yaml:1:4: ", "base 60");
	refuses("a: 12:30:45", "f.yaml:1:4: ", "base 60");
	refuses("a: 190:20:30.15", "f.yaml:1:4: ", "base 60");
	refuses("a: 1e3", "f.yaml:1:4: ", "number");
	refuses("a: 1.5e+3", "f.yaml:1:4: ", "number");
	refuses("a: -1E-3", "f.yaml:1:4: ", "number");
	refuses("a: 1_000", "f.yaml:1:4: ", "without _");
	refuses("a: .5", "f.yaml:1:4: ", "before and after");
	refuses("a: 5.", "f.yaml:1:4: ", "before and after");
	refuses("a: -.inf", "f.yaml:1:4: ", "not a number");
	refuses("a: .NaN", "f.yaml:1:4: ", "not a number");
	refuses("a: 9223372036854775808", "f.yaml:1:4: ", "range");
	refuses("a: -9223372036854775809", "f.yaml:1:4: ", "range");
}

static void test_forbidden(void **state)
{
	(void)state;
	refuses("a: &x 1", "f.yaml:1:4: ", "anchor &x");
	refuses("a: &x {b: 1}", "f.yaml:1:4: ", "anchor &x");
	refuses("a: 1\nb: *x", "f.yaml:2:4: ", "alias *x");
	refuses("<<: {a: 1}", "f.yaml:1:1: ", "merge key");
	refuses("a: !!int 3", "f.yaml:1:4: ", "tag");
	refuses("a: !foo [1]", "f.yaml:1:4: ", "tag");
	refuses("a: ! x", "f.yaml:1:4: ", "tag");
	refuses("a: 1\nb: 2\na: 3", "f.yaml:3:1: ", "twice");
	refuses("{a: 1, \"a\": 2}", "f.yaml:1:8: ", "twice");
	refuses("? [a, b]\n: 1", "f.yaml:1:3: ", "key must be a word");
	refuses("a: {b}{c: 1}", "f.yaml:1", "");
	refuses("a: {{x}: 1}", "f.yaml:1:5: ", "quotes");
	refuses("{? : 1}", "f.yaml:1:4: ", "key is missing");
	refuses("a: \"x\\0y\"", "f.yaml:1:4: ", "NUL");
	refuses("\"x\\0y\": 1", "f.yaml:1:1: ", "NUL");
	refuses_n("a: x\0y", 6, "f.yaml:1:5: ", "");
	refuses("a: 1\n---\nb: 2", "f.yaml:2:1: ", "one document");
	refuses("", "f.yaml:1:1: ", "empty");
	refuses("# only words\n", "f.yaml:1:1: ", "empty");
}

static void test_syntax(void **state)
{
	(void)state;
	refuses("a: [1, 2", "f.yaml:2:1: ", "line 1");
	refuses("a: 1\n b: 2", "f.yaml:2:3: ", "mapping");
	refuses("a:\n\t- 1", "f.yaml:2:1: ", "");
	refuses("a: b\nc: \xff", "f.yaml:2:4: ", "UTF-8");
	refuses("a: b\nc: x\x01", "f.yaml:2:5: ", "control");
}

static void test_limits(void **state)
{
	struct buf buf;
	struct conftree *tree;

	(void)state;
	buf_init(&buf, 4 << 20);
	for (int i = 0; i < 64; i++)
		(void)buf_puts(&buf, "[");
	for (int i = 0; i < 64; i++)
		(void)buf_puts(&buf, "]");
	tree = conftree_parse("f.yaml", buf.data, buf.len, &diags);
	assert_non_null(tree);
	conftree_destroy(tree);
	buf_reset(&buf);
	for (int i = 0; i < 64000; i++)
		(void)buf_puts(&buf, "[");
	refuses_n(buf.data, buf.len, "f.yaml:1:65: ", "deeper");
	buf_reset(&buf);
	for (int i = 0; i < 100001; i++)
		(void)buf_puts(&buf, "- a\n- b\n");
	refuses_n(buf.data, buf.len, "f.yaml:", "nodes");
	buf_reset(&buf);
	while (buf.len <= 1 << 20)
		(void)buf_puts(&buf, "# 0123456789 0123456789 0123456789\n");
	refuses_n(buf.data, buf.len, "f.yaml: ", "longer");
	buf_finish(&buf);
}

/* All mistakes are reported, not the first only. */
static void test_all(void **state)
{
	const char *yaml = "a: yes\nb: 0x1\nc: 1\nc: 2\nd: *x\ne: off\n";

	(void)state;
	assert_null(conftree_parse("f.yaml", yaml, strlen(yaml), &diags));
	assert_int_equal(diags.n, 5);
	assert_int_equal(diags.items[2].line, 4);
	assert_int_equal(diags.items[4].line, 6);
}

static void test_places(void **state)
{
	const char *yaml = "commands:\n"
			   "  scale:\n"
			   "    risk: 2\n"
			   "    a/b~c: x\n"
			   "  list: [10, {k: v}]\n";
	struct conftree *tree = conftree_parse("f.yaml", yaml, strlen(yaml), &diags);
	int line = 0, column = 0;

	(void)state;
	assert_non_null(tree);
	assert_string_equal(conftree_file(tree), "f.yaml");
	assert_true(conftree_place(tree, "", &line, &column));
	assert_true(line == 1 && column == 1);
	assert_true(conftree_place(tree, "/commands/scale/risk", &line, &column));
	assert_true(line == 3 && column == 11);
	assert_true(conftree_key_place(tree, "/commands/scale/risk", &line, &column));
	assert_true(line == 3 && column == 5);
	assert_true(conftree_place(tree, "/commands/scale/a~1b~0c", &line, &column));
	assert_true(line == 4 && column == 12);
	assert_true(conftree_place(tree, "/commands/list/1/k", &line, &column));
	assert_true(line == 5 && column == 18);
	assert_false(conftree_place(tree, "/commands/none", &line, &column));
	assert_false(conftree_place(tree, "/commands/list/2", &line, &column));
	assert_false(conftree_place(tree, "/commands/list/x", &line, &column));
	assert_false(conftree_place(tree, "/commands/scale/risk/x", &line, &column));
	conftree_diag(tree, &diags, "/commands/scale/risk", "must be %d", 1);
	conftree_diag(tree, &diags, "/commands/scale/nothing/at/all", "is missing");
	assert_string_equal(diag_text(&diags.items[0]), "f.yaml:3:11: must be 1");
	assert_string_equal(diag_text(&diags.items[1]), "f.yaml:3:5: is missing");
	conftree_destroy(tree);
	conftree_destroy(NULL);
}

static void test_load(void **state)
{
	(void)state;
	assert_null(conftree_load("/nonexistent/opsd.yaml", &diags));
	assert_non_null(strstr(diag_text(&diags.items[0]), "/nonexistent/opsd.yaml"));
}

static void test_diags(void **state)
{
	(void)state;
	for (int i = 0; i < DIAG_MAX + 50; i++)
		diag_add(&diags, "f", i, 0, "no %d", i);
	assert_int_equal(diags.n, DIAG_MAX);
	assert_int_equal(diags.total, DIAG_MAX + 50);
	assert_string_equal(diag_text(&diags.items[0]), "f: no 0");
	assert_string_equal(diag_text(&diags.items[7]), "f:7: no 7");
	diags_finish(&diags);
	diag_add(&diags, NULL, 0, 0, "alone");
	assert_string_equal(diag_text(&diags.items[0]), "alone");
}

#define TREE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TREE_TEST(test_scalars), TREE_TEST(test_ambiguous), TREE_TEST(test_forbidden),
		TREE_TEST(test_syntax),  TREE_TEST(test_limits),    TREE_TEST(test_all),
		TREE_TEST(test_places),  TREE_TEST(test_load),      TREE_TEST(test_diags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
