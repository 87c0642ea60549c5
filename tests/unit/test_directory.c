/* SPDX-License-Identifier: Apache-2.0 */
/* directory: both forms of a snapshot, and everything that makes one unusable. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/xalloc.h"
#include "core/directory.h"

static const char yaml[] =
	"format: dirsnap/1\n"
	"generated_at: 2026-11-25T05:00:00Z\n"
	"people:\n"
	"  - { id: p1, email: Ana@example.com, name: Ana Ruiz, aliases: [a@example.com] }\n"
	"  - { id: p2, name: Bot, kind: service }\n"
	"  - { id: p3, email: old@example.com, state: gone }\n"
	"groups:\n"
	"  - { id: g1, name: team-ads, members: [p1, p2], groups: [g2] }\n"
	"  - { id: g2, name: all, everyone: true }\n"
	"counts: { people: 3, groups: 2, members: 2 }\n";

static const char csv[] = "dirsnap/1,2026-11-25T05:00:00Z,,,,\r\n"
			  "person,p1,Ana@example.com,\"Ruiz, \"\"Ana\"\"\",active,human\r\n"
			  "person,p2,,,active,service\n"
			  "alias,p1,a@example.com,,,\n"
			  "group,g1,team-ads,,,\n"
			  "group,g2,all,true,,\n"
			  "member,g1,p1,,,\n"
			  "nested,g1,g2,,,\n";

static const char json[] = "{\"format\":\"dirsnap/1\",\"generated_at\":\"2026-11-25T05:00:00Z\",\n"
			   "\"people\":[{\"id\":\"p1\",\"email\":\"Ana@example.com\",\"aliases\":["
			   "\"a@example.com\"]},\n"
			   "{\"id\":\"p2\",\"email\":null,\"state\":\"suspended\"}],\n"
			   "\"groups\":[{\"id\":\"g1\",\"name\":\"team-ads\",\"members\":[\"p1\"],"
			   "\"groups\":[\"g2\"]},\n"
			   "{\"id\":\"g2\",\"name\":\"all\",\"everyone\":true}],\n"
			   "\"counts\":{\"people\":2,\"groups\":2,\"members\":1}}";

static struct directory *parse(const char *file, const char *text, size_t len, char ret_first[600])
{
	struct diags diags;
	struct directory *directory;

	diags_init(&diags);
	directory = directory_parse(file, text, len, &diags);
	ret_first[0] = '\0';
	if (diags.n > 0)
		snprintf(ret_first, 600, "%s", diag_text(&diags.items[0]));
	assert_int_equal(directory == NULL, diags.n > 0);
	diags_finish(&diags);
	return directory;
}

static void expect(const char *file, const char *text, const char *sentence)
{
	char first[600];
	struct directory *directory = parse(file, text, strlen(text), first);

	assert_null(directory);
	if (strstr(first, sentence) == NULL)
		assert_string_equal(first, sentence);
}

/* The text with one part replaced. */
static char *with(const char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);

	assert_non_null(at);
	return xasprintf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

static void expect_with(const char *from, const char *to, const char *sentence)
{
	char *text = with(yaml, from, to);

	expect("d.yaml", text, sentence);
	free(text);
}

static void test_yaml(void **state)
{
	char first[600];
	struct directory *d = parse("d.yaml", yaml, strlen(yaml), first);

	(void)state;
	assert_string_equal(first, "");
	assert_int_equal(d->n_people, 3);
	assert_string_equal(d->people[0].email, "Ana@example.com");
	assert_string_equal(d->people[0].state, "active");
	assert_string_equal(d->people[1].kind, "service");
	assert_null(d->people[1].email);
	assert_string_equal(d->people[2].state, "gone");
	assert_int_equal(d->aliases.n, 1);
	assert_int_equal(d->members.n, 2);
	assert_string_equal(d->nested.items[0].b, "g2");
	assert_true(d->groups[1].everyone);
	assert_string_equal(d->generated_at, "2026-11-25T05:00:00Z");
	directory_destroy(d);
}

static void test_yaml_refusals(void **state)
{
	(void)state;
	expect_with("dirsnap/1", "dirsnap/2",
		    "d.yaml:1:1: a snapshot begins with format: dirsnap/1");
	expect_with("people: 3,", "people: 4,",
		    "the closing counts say 4 people, 2 groups, 2 members; there are 3, 2, 2");
	expect_with("counts:", "count:", "did you mean counts");
	expect_with("2026-11-25T05:00:00Z", "yesterday", "generated_at is written");
	expect_with("id: p2", "id: p1", "two people have the id \"p1\"");
	expect_with("id: g2, name: all", "id: g1, name: all", "two groups have the id \"g1\"");
	expect_with("name: all", "name: team-ads", "two groups have the name \"team-ads\"");
	expect_with("members: [p1, p2]", "members: [p1, p9]", "a member who is nobody: \"p9\"");
	expect_with("groups: [g2]", "groups: [g9]", "nesting of the unknown group \"g9\"");
	expect_with("state: gone", "state: left",
		    "d.yaml:6:5: a state is active, suspended, archived or gone, not \"left\"");
	expect_with("state: gone", "stat: gone",
		    "d.yaml:6:5: unknown member \"stat\", did you mean state");
	expect_with("kind: service", "kind: robot", "a kind is human, service or guest");
	expect_with("members: [p1, p2]", "members: p1", "members is a list");
	expect_with("id: p3", "id: \"a\\nb\"", "not a usable id of a person");
	expect("d.yaml", "people: [", "d.yaml:");
	expect("d.yaml", "", "d.yaml:");
}

static void expect_json(const char *from, const char *to, const char *sentence)
{
	char *text = with(json, from, to);

	expect("d.json", text, sentence);
	free(text);
}

static void test_json(void **state)
{
	char first[600];
	struct directory *d = parse("d.json", json, strlen(json), first);

	(void)state;
	assert_string_equal(first, "");
	assert_int_equal(d->n_people, 2);
	assert_string_equal(d->people[0].email, "Ana@example.com");
	assert_string_equal(d->people[1].state, "suspended");
	assert_string_equal(d->aliases.items[0].b, "a@example.com");
	assert_string_equal(d->members.items[0].a, "g1");
	assert_string_equal(d->nested.items[0].b, "g2");
	assert_true(d->groups[1].everyone);
	directory_destroy(d);
	expect_json("\"people\":2", "\"people\":3", "the closing counts say 3 people");
	expect_json("\"suspended\"", "false", "d.json: /people/1: state is a text in quotes");
	expect_json("\"suspended\"", "null", "d.json: /people/1: state is a text in quotes");
	expect_json("\"everyone\":true", "\"everyone\":\"true\"",
		    "/groups/1: everyone is true or false");
	expect_json("\"id\":\"p2\"", "\"id\":2", "/people/1: id is a text in quotes");
	expect_json("\"state\"", "\"stat\"",
		    "/people/1: unknown member \"stat\", did you mean state");
	expect_json("\"p1\",\"email\"", "\"p1\",\"id\":\"p3\",\"email\"", "duplicate");
	expect_json("\"p1\"],", "\"p9\"],", "a member who is nobody: \"p9\"");
	for (size_t i = 0; i < strlen(json); i++)
		assert_null(parse("d.json", json, i, first));
}

static void test_csv(void **state)
{
	char first[600];
	char *text = xasprintf("%send,2,2,1,,\n", csv);
	struct directory *d = parse("d.csv", text, strlen(text), first);

	(void)state;
	assert_string_equal(first, "");
	assert_string_equal(d->people[0].name, "Ruiz, \"Ana\"");
	assert_int_equal(d->members.n, 1);
	assert_int_equal(d->nested.n, 1);
	directory_destroy(d);
	free(text);
	/* printf '\xef\xbb\xbfdirsnap/1,2026-11-25T05:00:00Z,,,,\n' | sha256sum */
	text = xasprintf("\xef\xbb\xbf"
			 "dirsnap/1,2026-11-25T05:00:00Z,,,,\nend,0,0,0,%s,\n",
			 "573583cbaca7c5c9c80e7a9b9884f8841317d0893293d7b9b7978b4f03a61444");
	d = parse("d.csv", text, strlen(text), first);
	assert_string_equal(first, "");
	directory_destroy(d);
	text[30] = '1'; /* the time */
	expect("d.csv", text, "d.csv:2:1: the SHA-256 of what stands before is another one");
	free(text);
}

static void test_csv_refusals(void **state)
{
	static const struct {
		const char *tail, *sentence;
	} cases[] = {
		{ "", "the file is cut off" },
		{ "end,2,2,2,,\n", "d.csv:9:1: the closing counts say" },
		{ "member,g1\n", "d.csv:9:1: fewer than 6 columns" },
		{ "member,g1,p1,,,,\n", "d.csv:9:1: more than 6 columns" },
		{ "person,\"p9,,,,\n", "d.csv:9:1: a quote that is not closed" },
		{ "person,\"p9\"x,,,,\n", "d.csv:9:1: text after a closing quote" },
		{ "person,p\"9,,,,\n", "d.csv:9:1: a quote inside" },
		{ "person,p9,,,active,human\rgroup", "d.csv:9:1: a carriage return without" },
		{ "robot,p9,,,,\n", "d.csv:9:1: a record is person" },
		{ "end,x,2,2,,\n", "d.csv:9:1: the last record is" },
		{ "end,2,2,1,,\nperson,p9,,,active,human\n",
		  "d.csv:10:1: a record after the last one" },
		{ "alias,p9,x@example.com,,,\nend,2,2,1,,\n", "an alias of the unknown person" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = xasprintf("%s%s", csv, cases[i].tail);

		expect("d.csv", text, cases[i].sentence);
		free(text);
	}
	expect("d.csv", "person,p1,,,,\n", "d.csv:1:1: a snapshot begins with");
}

static void test_nul(void **state)
{
	static const char text[] =
		"dirsnap/1,2026-11-25T05:00:00Z,,,,\nperson,p\0x,,,active,human\n";
	char first[600];

	(void)state;
	assert_null(parse("d.csv", text, sizeof(text) - 1, first));
	assert_non_null(strstr(first, "a NUL byte"));
}

/* Every cut of a good file is refused, in both forms. */
static void test_every_cut_is_refused(void **state)
{
	char *text = xasprintf("%send,2,2,1,,\n", csv);
	char first[600];

	(void)state;
	for (size_t i = 0; i + 2 < strlen(text); i++) {
		if (i + 3 < strlen(text)) /* without its last comma it has five columns, without its
					     last line feed all */
			assert_null(parse("d.csv", text, i, first));
	}
	for (size_t i = 0; i < strlen(yaml) - 12; i++)
		assert_null(parse("d.yaml", yaml, i, first));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_yaml),
		cmocka_unit_test(test_yaml_refusals),
		cmocka_unit_test(test_csv),
		cmocka_unit_test(test_csv_refusals),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_every_cut_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
